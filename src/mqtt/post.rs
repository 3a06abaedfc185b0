//! What goes to the fleet and comes from it on the kiosk's connection, beside results.
//!
//! Promises:
//! - What is retained is published anew on each connection, in the newest form that it has; what is
//!   not is published once, and lost with a connection that breaks: the next one is newer.
//! - Of what came in, the newest message of each topic is kept until it is taken, and no more than
//!   [`LETTERS`] topics of [`MAX_LETTER`] bytes: who floods a kiosk takes it 2 MiB.
//! - Nothing here holds up a result: what the broker does not take of it is told in the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::fleet::presence::Birth;

/// The most bytes of a message that is taken in. The largest configuration that can be has a third
/// of it.
pub const MAX_LETTER: usize = 64 << 10;

/// Topics of which messages wait.
const LETTERS: usize = 32;

/// A message that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Its topic.
    pub topic: String,
    /// What it says; where that is more than [`MAX_LETTER`], how much.
    pub payload: Result<Vec<u8>, usize>,
}

/// A message that is to go out.
#[derive(Clone, Debug)]
pub struct Note {
    /// Its topic.
    pub topic: String,
    /// What it says.
    pub payload: Vec<u8>,
    /// Whether the broker keeps it.
    pub retain: bool,
    /// Another one for another content.
    number: u64,
}

/// What goes out and comes in. Clones are the same post.
#[derive(Clone)]
pub struct Post {
    inner: Arc<Inner>,
}

struct Inner {
    birth: watch::Sender<Birth>,
    /// Changes with each note.
    notes: watch::Sender<BTreeMap<String, Note>>,
    /// Of the last note.
    number: AtomicU64,
    subscriptions: Vec<String>,
    letters: Mutex<Vec<Letter>>,
    /// Changes with each letter.
    arrived: watch::Sender<()>,
    /// What the log has said the broker does not let us do.
    refused: Mutex<BTreeSet<String>>,
}

impl Post {
    /// Of a kiosk that is this, and listens to these topics.
    pub fn new(birth: Birth, subscriptions: Vec<String>) -> Self {
        let (birth, notes) = (watch::Sender::new(birth), watch::Sender::default());
        let (number, letters, arrived, refused) = Default::default();
        let inner = Inner { birth, notes, number, subscriptions, letters, arrived, refused };
        Self { inner: Arc::new(inner) }
    }

    /// What the kiosk is.
    pub fn birth(&self) -> watch::Receiver<Birth> {
        self.inner.birth.subscribe()
    }

    /// Changes what the kiosk is; the broker is told if anything did change.
    pub fn change_birth(&self, change: impl FnOnce(&mut Birth)) {
        self.inner.birth.send_if_modified(|birth| {
            let before = birth.clone();
            change(birth);
            *birth != before
        });
    }

    /// Has a message published, in the place of the one that was to go to this topic.
    pub fn put(&self, topic: String, payload: Vec<u8>, retain: bool) {
        let number = self.inner.number.fetch_add(1, Ordering::Relaxed);
        self.inner.notes.send_modify(|notes| {
            notes.insert(topic.clone(), Note { topic, payload, retain, number });
        });
    }

    /// Tells of each note that comes.
    pub(super) fn notes(&self) -> watch::Receiver<BTreeMap<String, Note>> {
        self.inner.notes.subscribe()
    }

    /// Topics of which something may be due.
    pub(super) fn topics(&self) -> usize {
        self.inner.notes.borrow().len()
    }

    /// What is to be published on a connection on which `told` was; that is kept up to date.
    pub(super) fn due(&self, told: &mut BTreeMap<String, u64>) -> Vec<Note> {
        let mut due = Vec::new();
        // Nobody needs to be told of what is taken away here.
        self.inner.notes.send_if_modified(|notes| {
            notes.retain(|topic, note| {
                if told.get(topic) != Some(&note.number) {
                    told.insert(topic.clone(), note.number);
                    due.push(note.clone());
                }
                note.retain
            });
            false
        });
        due
    }

    /// What is listened to.
    pub(super) fn subscriptions(&self) -> &[String] {
        &self.inner.subscriptions
    }

    /// Takes in what came.
    pub(super) fn arrive(&self, topic: &[u8], payload: &[u8]) {
        let Ok(topic) = std::str::from_utf8(topic) else { return };
        let whole = payload.len() <= MAX_LETTER;
        let payload = if whole { Ok(payload.to_vec()) } else { Err(payload.len()) };
        let mut letters = lock(&self.inner.letters);
        letters.retain(|letter| letter.topic != topic);
        if letters.len() < LETTERS {
            letters.push(Letter { topic: topic.to_owned(), payload });
        } else {
            log::warn!("a message was thrown away: those of {LETTERS} other topics wait already");
        }
        drop(letters);
        self.inner.arrived.send_replace(());
    }

    /// Waits for what comes in on such topics, oldest first. Nothing is lost when the wait is given up.
    pub async fn letter(&self, is_mine: impl Fn(&str) -> bool) -> Letter {
        let mut arrived = self.inner.arrived.subscribe();
        loop {
            arrived.mark_unchanged();
            {
                let mut letters = lock(&self.inner.letters);
                if let Some(place) = letters.iter().position(|letter| is_mine(&letter.topic)) {
                    return letters.remove(place);
                }
            }
            // The sender lives as long as this.
            let _ = arrived.changed().await;
        }
    }

    /// The broker does not let us do something with this topic: that is told once.
    pub(super) fn refused(&self, what: &str, topic: &str, reason: &str) {
        if lock(&self.inner.refused).insert(format!("{what} {topic}")) {
            log::warn!(
                "the broker does not let this kiosk {what} {topic} ({reason}); check its access \
                 rules"
            );
        }
    }
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("Post")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post() -> Post {
        Post::new(Birth::default(), Vec::new())
    }

    fn due(post: &Post, told: &mut BTreeMap<String, u64>) -> Vec<Vec<u8>> {
        post.due(told).into_iter().map(|note| note.payload).collect()
    }

    #[test]
    fn what_is_retained_goes_out_on_each_connection_and_what_is_not_goes_out_once() {
        let (post, mut told) = (post(), BTreeMap::new());
        post.put("reported".to_owned(), b"1".to_vec(), true);
        post.put("telemetry".to_owned(), b"2".to_vec(), false);
        assert_eq!(due(&post, &mut told), [b"1", b"2"]);
        assert!(due(&post, &mut told).is_empty());
        post.put("reported".to_owned(), b"3".to_vec(), true);
        assert_eq!(due(&post, &mut told), [b"3"]);
        assert_eq!(due(&post, &mut BTreeMap::new()), [b"3"]);
        post.put("telemetry".to_owned(), b"4".to_vec(), false);
        post.put("telemetry".to_owned(), b"5".to_vec(), false);
        assert_eq!(due(&post, &mut told), [b"5"]);
    }

    #[tokio::test]
    async fn newest_letter_of_each_topic_is_kept_and_no_more_than_a_few_are() {
        let post = post();
        for number in 0..1000 {
            post.arrive(format!("t/{}", number % 40).as_bytes(), number.to_string().as_bytes());
        }
        post.arrive(b"t/1", &vec![b' '; MAX_LETTER + 1]);
        post.arrive(b"\xff", b"no topic");
        let mut letters = Vec::new();
        while let Ok(letter) =
            tokio::time::timeout(std::time::Duration::from_millis(10), post.letter(|_| true)).await
        {
            letters.push(letter);
        }
        assert_eq!(letters.len(), LETTERS);
        let last = Letter { topic: "t/1".to_owned(), payload: Err(MAX_LETTER + 1) };
        assert_eq!(letters.last(), Some(&last));
        let topics: BTreeSet<_> = letters.iter().map(|letter| &letter.topic).collect();
        assert_eq!(topics.len(), LETTERS);
    }
}
