//! What the publisher asks of the store of results.

use std::error::Error;

use tokio::sync::watch;

use crate::outbox::{Outbox, OutboxError, Seq, Waiting};

/// Why the store did not do what it should.
pub type QueueError = Box<dyn Error + Send + Sync>;

/// A store of results. It alone remembers what was not acknowledged; here, nothing is.
pub trait Queue: Send + Sync + 'static {
    /// The oldest undelivered results behind `after`, `most` at most. It may give fewer, to hold
    /// little memory, but none only if there is none.
    fn waiting(
        &self,
        after: Option<Seq>,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Waiting>, QueueError>> + Send;

    /// This result, if it still waits.
    fn get(&self, seq: Seq) -> impl Future<Output = Result<Option<Waiting>, QueueError>> + Send;

    /// The broker has acknowledged these. What was delivered or buried before is passed over.
    fn delivered(&self, seqs: Vec<Seq>) -> impl Future<Output = Result<(), QueueError>> + Send;

    /// The broker will never take this one: it becomes a dead letter.
    fn bury(&self, seq: Seq, reason: &str) -> impl Future<Output = Result<(), QueueError>> + Send;

    /// The newest result that there is, from now on.
    fn subscribe(&self) -> watch::Receiver<Seq>;
}

impl Queue for Outbox {
    async fn waiting(&self, after: Option<Seq>, most: usize) -> Result<Vec<Waiting>, QueueError> {
        Ok(self.waiting(after, most).await?)
    }

    async fn get(&self, seq: Seq) -> Result<Option<Waiting>, QueueError> {
        Ok(self.get(seq).await?)
    }

    async fn delivered(&self, seqs: Vec<Seq>) -> Result<(), QueueError> {
        Ok(self.delivered(seqs).await?)
    }

    async fn bury(&self, seq: Seq, reason: &str) -> Result<(), QueueError> {
        match self.bury(seq, reason).await {
            Err(OutboxError::Unknown { .. }) => Ok(()),
            buried => Ok(buried?),
        }
    }

    fn subscribe(&self) -> watch::Receiver<Seq> {
        self.subscribe()
    }
}
