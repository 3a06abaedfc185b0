//! The bounded queue in front of the engine.
//!
//! Promises:
//! - At most so many requests are in hand, and at most so many bytes of documents; whoever comes
//!   beyond that is turned away at once, with a time after which to come again.
//! - Requests that were let in are read in the order in which their documents were complete.
//! - Whatever is dropped (a ticket, a worker) gives back what it took, also when a client goes away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// Bytes are counted in pieces of this size, because a semaphore counts to 2^29 or so.
const PIECE: usize = 1024;

/// What a document takes before any was read: about that of three pages.
const FIRST_GUESS: Duration = Duration::from_secs(1);

/// Who comes again after longer than this might as well have waited.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Lets requests in, and gives them workers.
pub struct Gate {
    places: Arc<Semaphore>,
    workers: Arc<Semaphore>,
    pieces: Arc<Semaphore>,
    most: Most,
    /// Moving average of the time that a document takes, in milliseconds.
    document_ms: AtomicU64,
}

/// How much the gate lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most {
    /// Documents that are read at the same time.
    pub workers: usize,
    /// Requests beyond those.
    pub queue: usize,
    /// Bytes of documents in hand.
    pub bytes: usize,
}

/// There is no room; come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// After this time.
    pub retry_after: Duration,
}

/// A place in the queue, with the bytes that its request holds.
pub struct Ticket {
    gate: Arc<Gate>,
    _place: OwnedSemaphorePermit,
    pieces: Option<OwnedSemaphorePermit>,
    held: usize,
}

/// The right to read a document now.
pub struct Worker(
    #[expect(dead_code, reason = "what it holds is given back when it is dropped")]
    OwnedSemaphorePermit,
);

impl Gate {
    /// An open gate.
    pub fn new(most: Most) -> Arc<Self> {
        let semaphore =
            |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self {
            places: semaphore(most.workers.saturating_add(most.queue)),
            workers: semaphore(most.workers),
            pieces: semaphore(most.bytes.div_ceil(PIECE)),
            most,
            document_ms: AtomicU64::new(FIRST_GUESS.as_millis() as u64),
        })
    }

    /// Lets a request in.
    pub fn enter(self: &Arc<Self>) -> Result<Ticket, Full> {
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => {
                Ok(Ticket { gate: Arc::clone(self), _place: place, pieces: None, held: 0 })
            }
            Err(_) => Err(self.full()),
        }
    }

    /// Requests in hand, those being read among them.
    pub fn in_hand(&self) -> usize {
        (self.most.workers + self.most.queue).saturating_sub(self.places.available_permits())
    }

    /// Documents being read.
    pub fn at_work(&self) -> usize {
        self.most.workers.saturating_sub(self.workers.available_permits())
    }

    /// Takes note of the time that a document took.
    pub fn took(&self, time: Duration) {
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 8);
        // Two at the same time may lose one of their notes: it is an estimate.
        let average = self.document_ms.load(Ordering::Relaxed);
        self.document_ms
            .store(average.saturating_mul(7).saturating_add(time) / 8, Ordering::Relaxed);
    }

    /// What to say to somebody who is turned away: to come again when half of those who wait now
    /// will have been served.
    pub fn full(&self) -> Full {
        let rounds = self.in_hand().div_ceil(2 * self.most.workers.max(1)) as u64;
        let wait =
            Duration::from_millis(self.document_ms.load(Ordering::Relaxed).saturating_mul(rounds));
        Full { retry_after: wait.clamp(Duration::from_secs(1), LONGEST_WAIT) }
    }
}

impl Ticket {
    /// Takes room for further bytes.
    pub fn hold(&mut self, bytes: usize) -> Result<(), Full> {
        self.held = self.held.saturating_add(bytes);
        let had = self.pieces.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = u32::try_from(self.held.div_ceil(PIECE).saturating_sub(had)).unwrap_or(u32::MAX);
        match Arc::clone(&self.gate.pieces).try_acquire_many_owned(more) {
            Ok(permit) => {
                match &mut self.pieces {
                    Some(pieces) => pieces.merge(permit),
                    none => *none = Some(permit),
                }
                Ok(())
            }
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => Err(self.gate.full()),
        }
    }

    /// Waits for a worker, behind those who asked before.
    pub async fn worker(&self) -> Result<Worker, Full> {
        // Nobody closes the semaphore.
        let permit = Arc::clone(&self.gate.workers).acquire_owned().await;
        permit.map(Worker).map_err(|_| self.gate.full())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn gate(workers: usize, queue: usize, bytes: usize) -> Arc<Gate> {
        Gate::new(Most { workers, queue, bytes })
    }

    #[test]
    fn who_comes_beyond_workers_and_queue_is_turned_away_until_somebody_leaves() {
        let gate = gate(1, 1, 0);
        let first = gate.enter().expect("room for a worker");
        let _second = gate.enter().expect("room to wait");
        assert!(gate.enter().is_err());
        assert_eq!(gate.in_hand(), 2);
        drop(first);
        assert!(gate.enter().is_ok());
    }

    #[test]
    fn workers_are_given_in_the_order_they_were_asked_for() {
        let gate = gate(1, 2, 0);
        let tickets = [(); 3].map(|()| gate.enter().expect("room"));
        let worker = tickets[0].worker().now_or_never().expect("nobody works").ok();
        let (mut second, mut third) =
            (Box::pin(tickets[1].worker()), Box::pin(tickets[2].worker()));
        assert!(
            second.as_mut().now_or_never().is_none() && third.as_mut().now_or_never().is_none()
        );
        assert_eq!(gate.at_work(), 1);
        drop(worker);
        assert!(third.as_mut().now_or_never().is_none());
        let worker = second.now_or_never().expect("its turn");
        assert!(third.as_mut().now_or_never().is_none());
        drop(worker);
        assert!(third.now_or_never().is_some());
    }

    #[test]
    fn bytes_are_held_until_the_ticket_is_gone() {
        let gate = gate(2, 0, 10 * PIECE);
        let mut first = gate.enter().expect("room");
        let mut second = gate.enter().expect("room");
        for _ in 0..8 * PIECE / 128 {
            first.hold(128).expect("small pieces add up");
        }
        second.hold(2 * PIECE).expect("just enough");
        assert!(second.hold(1).is_err());
        drop(first);
        assert!(second.hold(4 * PIECE).is_ok());
    }

    #[test]
    fn the_time_to_come_again_grows_with_the_queue_and_with_what_documents_take() {
        let gate = gate(1, 9, 0);
        let _tickets: Vec<_> = (0..10).map(|_| gate.enter().expect("room")).collect();
        let before = gate.enter().err().expect("full").retry_after;
        for _ in 0..50 {
            gate.took(Duration::from_secs(4));
        }
        let after = gate.enter().err().expect("full").retry_after;
        assert_eq!(before, Duration::from_secs(5));
        assert!(after > Duration::from_secs(18) && after <= Duration::from_secs(20), "{after:?}");
    }
}
