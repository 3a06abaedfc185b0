//! What goes to the fleet and comes from it on the kiosk's connection, beside results.
//!
//! Promises:
//! - What stands for the kiosk ([`Post::put`], retained) is published anew on each connection, in the
//!   newest form that it has; what must arrive ([`Post::insist`]) is published until the broker has
//!   acknowledged it; all else is published once, and lost with a connection that breaks: the next one
//!   is newer.
//! - Who listens has an [`Inbox`] of his own. Of what came in, the newest message of each topic is
//!   kept until it is taken, and no more than [`LETTERS`] topics of [`MAX_LETTER`] bytes: who floods a
//!   kiosk takes it 2 MiB. What was thrown away is asked for again when there is room: what is
//!   retained is not lost.
//! - Nothing here holds up a result: what the broker does not take of it is told in the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use crate::fleet::presence::Birth;

/// The most bytes of a message that is taken in. The largest configuration that can be has a third
/// of it.
pub const MAX_LETTER: usize = 64 << 10;

/// Topics of which messages wait in an inbox.
const LETTERS: usize = 32;

/// Topics that the log has told of as refused. Names of topics come from afar, too.
const TOLD: usize = 64;

/// A message that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Its topic.
    pub topic: String,
    /// What it says; where that is more than [`MAX_LETTER`], how much.
    pub payload: Result<Vec<u8>, usize>,
}

/// For how long a message is published again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// Once.
    Sent,
    /// Until the broker has it.
    Acknowledged,
    /// On each connection.
    Replaced,
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
    /// Another one for another content; later ones have higher ones.
    pub(super) number: u64,
    until: Until,
}

/// Whether a message, by its topic, its payload (or its size), and whether the broker had kept it, is
/// to be taken in at all. It is asked by the event loop, and must not wait.
type Wanted = Box<dyn Fn(&str, Result<&[u8], usize>, bool) -> bool + Send + Sync>;

/// What goes out and comes in. Clones are the same post.
#[derive(Clone)]
pub struct Post {
    inner: Arc<Inner>,
}

struct Inner {
    birth: watch::Sender<Birth>,
    /// Changes with each note.
    notes: watch::Sender<BTreeMap<String, Note>>,
    /// Of the last note, or the last time that something was asked for.
    number: AtomicU64,
    boxes: Mutex<BTreeMap<u64, Letterbox>>,
    /// What is listened to; a higher number than before asks for it anew.
    filters: watch::Sender<BTreeMap<String, u64>>,
    /// What the log has said the broker does not let us do.
    refused: Mutex<BTreeSet<String>>,
    /// Topics of what somebody waits for, and the broker does not take.
    declined: Mutex<BTreeSet<String>>,
}

struct Letterbox {
    filters: Vec<String>,
    wanted: Wanted,
    letters: Vec<Letter>,
    /// Something was thrown away.
    overflown: bool,
    arrived: Arc<Notify>,
}

/// What somebody listens to, until this is dropped.
pub struct Inbox {
    post: Post,
    number: u64,
    arrived: Arc<Notify>,
}

impl Post {
    /// Of a kiosk that is this.
    pub fn new(birth: Birth) -> Self {
        let (birth, notes) = (watch::Sender::new(birth), watch::Sender::default());
        let (number, boxes, filters, refused, declined) = Default::default();
        let inner = Inner { birth, notes, number, boxes, filters, refused, declined };
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

    /// Has a message published, in the place of the one that was to go to this topic: on each
    /// connection if it is retained, otherwise once.
    pub fn put(&self, topic: String, payload: Vec<u8>, retain: bool) {
        self.add(topic, payload, retain, if retain { Until::Replaced } else { Until::Sent });
    }

    /// Has a message published, in the place of the one that was to go to this topic, on as many
    /// connections as it takes until the broker has it.
    pub fn insist(&self, topic: String, payload: Vec<u8>, retain: bool) {
        self.add(topic, payload, retain, Until::Acknowledged);
    }

    /// The same of something that is not retained; waits until the broker has it. Whether it does:
    /// it may refuse it.
    pub async fn deliver(&self, topic: String, payload: Vec<u8>) -> bool {
        let mut notes = self.inner.notes.subscribe();
        self.insist(topic.clone(), payload, false);
        // The sender lives as long as `self`.
        let _ = notes.wait_for(|notes| !notes.contains_key(&topic)).await;
        !lock(&self.inner.declined).remove(&topic)
    }

    /// Waits until the broker has, or will never take, all that must arrive.
    pub async fn settled(&self) {
        let mut notes = self.inner.notes.subscribe();
        let is_settled = |note: &Note| note.until != Until::Acknowledged;
        // The sender lives as long as `self`.
        let _ = notes.wait_for(|notes| notes.values().all(is_settled)).await;
    }

    fn add(&self, topic: String, payload: Vec<u8>, retain: bool, until: Until) {
        let number = self.next();
        self.inner.notes.send_modify(|notes| {
            notes.insert(topic.clone(), Note { topic, payload, retain, number, until });
        });
    }

    fn next(&self) -> u64 {
        self.inner.number.fetch_add(1, Ordering::Relaxed)
    }

    /// Tells of each note that comes.
    pub(super) fn notes(&self) -> watch::Receiver<BTreeMap<String, Note>> {
        self.inner.notes.subscribe()
    }

    /// What is to be published on a connection on which `told` was, oldest first and no more than
    /// that; `told` is kept up to date.
    pub(super) fn due(&self, told: &mut BTreeMap<String, u64>, most: usize) -> Vec<Note> {
        let mut due = Vec::new();
        // Nobody needs to be told of what is taken away here.
        self.inner.notes.send_if_modified(|notes| {
            let is_due = |note: &&Note| told.get(&note.topic) != Some(&note.number);
            due = notes.values().filter(is_due).cloned().collect();
            due.sort_unstable_by_key(|note| note.number);
            due.truncate(most);
            for note in &due {
                if note.until == Until::Sent {
                    notes.remove(&note.topic);
                } else {
                    told.insert(note.topic.clone(), note.number);
                }
            }
            false
        });
        due
    }

    /// The broker has the message of this topic and number, or will never take it; `told` is what
    /// was published on its connection.
    pub(super) fn answered(
        &self,
        topic: &str,
        number: u64,
        taken: bool,
        told: &mut BTreeMap<String, u64>,
    ) {
        self.inner.notes.send_if_modified(|notes| {
            let is_it = |note: &&Note| note.number == number && note.until == Until::Acknowledged;
            let Some(note) = notes.get(topic).filter(is_it) else { return false };
            if !taken && !note.retain {
                lock(&self.inner.declined).insert(topic.to_owned());
            }
            notes.remove(topic);
            told.remove(topic);
            true
        });
    }

    /// Listens to what fits these filters and is wanted, from now on.
    pub fn listen(
        &self,
        filters: Vec<String>,
        wanted: impl Fn(&str, Result<&[u8], usize>, bool) -> bool + Send + Sync + 'static,
    ) -> Inbox {
        let (number, arrived) = (self.next(), Arc::new(Notify::new()));
        let letterbox = Letterbox {
            filters,
            wanted: Box::new(wanted),
            letters: Vec::new(),
            overflown: false,
            arrived: Arc::clone(&arrived),
        };
        lock(&self.inner.boxes).insert(number, letterbox);
        let inbox = Inbox { post: self.clone(), number, arrived };
        inbox.ask_again();
        inbox
    }

    /// What is listened to, and tells of changes of it.
    pub(super) fn filters(&self) -> watch::Receiver<BTreeMap<String, u64>> {
        self.inner.filters.subscribe()
    }

    /// Takes in what came; `retained` where it was there before it was listened to.
    pub(super) fn arrive(&self, topic: &[u8], payload: &[u8], retained: bool) {
        let Ok(topic) = std::str::from_utf8(topic) else { return };
        let whole = payload.len() <= MAX_LETTER;
        let payload = if whole { Ok(payload) } else { Err(payload.len()) };
        for letterbox in lock(&self.inner.boxes).values_mut() {
            let fits = letterbox.filters.iter().any(|filter| rumqttc::matches(topic, filter));
            if fits && (letterbox.wanted)(topic, payload, retained) {
                letterbox.arrive(topic, payload);
            }
        }
    }

    /// The broker does not let us do something with this topic: that is told once.
    pub(super) fn refused(&self, what: &str, topic: &str, reason: &str) {
        let mut refused = lock(&self.inner.refused);
        if refused.len() < TOLD && refused.insert(format!("{what} {topic}")) {
            log::warn!(
                "the broker does not let this kiosk {what} {topic} ({reason}); check its access \
                 rules"
            );
        }
    }
}

impl Letterbox {
    fn arrive(&mut self, topic: &str, payload: Result<&[u8], usize>) {
        self.letters.retain(|letter| letter.topic != topic);
        if self.letters.len() < LETTERS {
            let payload = payload.map(<[u8]>::to_vec);
            self.letters.push(Letter { topic: topic.to_owned(), payload });
        } else {
            if !self.overflown {
                log::warn!("messages of {LETTERS} topics wait already; others are asked for later");
            }
            self.overflown = true;
        }
        self.arrived.notify_one();
    }
}

impl Inbox {
    /// Waits for what comes in, oldest first. Nothing is lost when the wait is given up.
    pub async fn letter(&self) -> Letter {
        loop {
            if let Some(first) = self.take() {
                return first;
            }
            self.arrived.notified().await;
        }
    }

    fn take(&self) -> Option<Letter> {
        let mut boxes = lock(&self.post.inner.boxes);
        let letterbox = boxes.get_mut(&self.number)?;
        if !letterbox.letters.is_empty() {
            return Some(letterbox.letters.remove(0));
        }
        let overflown = std::mem::take(&mut letterbox.overflown);
        drop(boxes);
        if overflown {
            self.ask_again();
        }
        None
    }

    /// Has the broker send again what it keeps of this.
    pub fn ask_again(&self) {
        let number = self.post.next();
        let boxes = lock(&self.post.inner.boxes);
        let Some(letterbox) = boxes.get(&self.number) else { return };
        self.post.inner.filters.send_modify(|filters| {
            filters.extend(letterbox.filters.iter().map(|filter| (filter.clone(), number)));
        });
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let mut boxes = lock(&self.post.inner.boxes);
        let Some(gone) = boxes.remove(&self.number) else { return };
        let is_left = |filter: &String| boxes.values().any(|it| it.filters.contains(filter));
        self.post.inner.filters.send_modify(|filters| {
            for filter in gone.filters.iter().filter(|filter| !is_left(filter)) {
                filters.remove(filter);
            }
        });
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
        Post::new(Birth::default())
    }

    fn due(post: &Post, told: &mut BTreeMap<String, u64>) -> Vec<Vec<u8>> {
        post.due(told, 8).into_iter().map(|note| note.payload).collect()
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

    #[test]
    fn what_must_arrive_goes_out_on_each_connection_until_the_broker_has_it() {
        let (post, mut told) = (post(), BTreeMap::new());
        post.insist("state".to_owned(), b"1".to_vec(), true);
        let first = post.due(&mut told, 8).remove(0);
        assert!(due(&post, &mut told).is_empty());
        assert_eq!(due(&post, &mut BTreeMap::new()), [b"1"]);
        post.insist("state".to_owned(), b"2".to_vec(), true);
        // That is not the one that waits.
        post.answered("state", first.number, true, &mut told);
        let second = post.due(&mut told, 8).remove(0);
        assert_eq!(second.payload, b"2");
        post.answered("state", second.number, true, &mut told);
        assert!(due(&post, &mut BTreeMap::new()).is_empty() && told.is_empty());
    }

    #[test]
    fn many_notes_go_out_a_few_at_a_time_and_the_oldest_first() {
        let (post, mut told) = (post(), BTreeMap::new());
        for number in (0..20_u8).rev() {
            post.insist(format!("t/{number}"), vec![number], true);
        }
        let all: Vec<_> =
            std::iter::repeat_with(|| due(&post, &mut told)).take(3).flatten().collect();
        assert_eq!(all, (0..20_u8).rev().map(|number| vec![number]).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn who_waits_is_told_whether_the_broker_took_it() {
        for taken in [true, false] {
            let post = post();
            let broker = post.clone();
            let (is_taken, ()) =
                tokio::join!(post.deliver("part".to_owned(), vec![1]), async move {
                    let note = broker.due(&mut BTreeMap::new(), 8).remove(0);
                    broker.answered("part", note.number, taken, &mut BTreeMap::new());
                });
            assert_eq!(is_taken, taken);
        }
    }

    #[tokio::test]
    async fn newest_letter_of_each_topic_is_kept_and_the_others_are_asked_for_again() {
        let post = post();
        let inbox = post.listen(vec!["t/+".to_owned()], |topic, _, _| topic != "t/2");
        let asked = post.filters().borrow()["t/+"];
        for number in 0..1000 {
            post.arrive(
                format!("t/{}", number % 40).as_bytes(),
                number.to_string().as_bytes(),
                false,
            );
        }
        post.arrive(b"t/1", &vec![b' '; MAX_LETTER + 1], false);
        post.arrive(b"other/1", b"not listened to", false);
        post.arrive(b"\xff", b"no topic", false);
        let letters: Vec<_> = std::iter::from_fn(|| inbox.take()).collect();
        assert_eq!(letters.len(), LETTERS);
        let last = Letter { topic: "t/1".to_owned(), payload: Err(MAX_LETTER + 1) };
        assert_eq!(letters.last(), Some(&last));
        let topics: BTreeSet<_> = letters.iter().map(|letter| &letter.topic).collect();
        assert_eq!(topics.len(), LETTERS);
        assert!(!topics.contains(&"t/2".to_owned()));
        assert!(post.filters().borrow()["t/+"] > asked, "what was thrown away comes again");
        drop(inbox);
        assert!(post.filters().borrow().is_empty());
    }
}
