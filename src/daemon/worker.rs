//! Reads accepted documents, one at a time, oldest first.
//!
//! Promises:
//! - A document leaves the outbox only in exchange for its result.
//! - A document that takes the program down, or cannot be read in time, is tried only so often, and
//!   then set aside with its reason; a failure that has nothing to do with it does not count.

use std::sync::Arc;
use std::time::Duration;

use cic_kiosk::config::Config;
use cic_kiosk::report::schema::{Answer, ErrorCode};
use cic_kiosk::stage::Stage;
use tokio::sync::{broadcast, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::ahead::ReadAhead;
use super::supervisor::{Failure, Pulse};
use crate::outbox::{Document, Outbox, OutboxError};
use crate::reading::{ReadError, Reader, Work};
use crate::scan::{Desk, Scan};

/// For what surrounds reading: judging, and the outbox on a slow disk.
const AROUND: Duration = Duration::from_secs(60);

/// Between two questions to an outbox whose disk fails.
const AGAIN: Duration = Duration::from_secs(1);

/// What a worker works with.
#[derive(Clone)]
pub struct Worker {
    /// Where documents are.
    pub outbox: Outbox,
    /// Reads them.
    pub reader: Arc<Reader>,
    /// Has read some of their pages already.
    pub ahead: ReadAhead,
    /// Judges them and hands them on.
    pub desk: Arc<Desk>,
    /// What is set.
    pub settings: watch::Receiver<Arc<Config>>,
    /// Nothing new is begun when this is cancelled,
    pub stop: CancellationToken,
    /// and nothing is finished any more when this is.
    pub give_up: CancellationToken,
    /// Hears of each scan that is done with, whatever became of it.
    pub ended: broadcast::Sender<Ulid>,
}

impl Worker {
    /// Works until it is told to stop.
    pub async fn work(self, pulse: Pulse) -> Result<(), Failure> {
        let mut documents = self.outbox.documents();
        while !self.stop.is_cancelled() {
            let attempts = self.settings.borrow().kiosk.attempts.get();
            match self.outbox.take(attempts).await {
                Ok(Some(document)) => self.read(document, &pulse).await?,
                Ok(None) => tokio::select! {
                    () = self.stop.cancelled() => {}
                    changed = documents.changed() => changed?,
                },
                Err(error) => self.wait_for_disk(&error, &self.stop).await,
            }
        }
        Ok(())
    }

    /// What the outbox cannot do now, it can do later: nothing is lost, and there is nobody to tell.
    async fn wait_for_disk(&self, error: &OutboxError, end: &CancellationToken) {
        log::warn!("the outbox fails, and is asked again: {error}");
        tokio::select! {
            () = end.cancelled() => {}
            () = sleep(AGAIN) => {}
        }
    }

    async fn read(&self, document: Document, pulse: &Pulse) -> Result<(), Failure> {
        let settings = Arc::clone(&self.settings.borrow());
        let limit = settings.http.reading_time();
        let busy = pulse.busy(limit + settings.cloud.total_time() + AROUND);
        let Document { scan_id, source, accepted_at, attempt, notes, files } = document;
        let scan = Scan { id: scan_id, source, captured_at: accepted_at, notes };
        // Whatever happens here, even a panic: it can be taken again.
        let _held = Held(&self.outbox, scan.id);
        let copy = self.desk.copy_for_cloud(&files);
        let work = async {
            let ahead = self.ahead.take(scan.id).await;
            let pictures = self.desk.wants_pictures();
            let work = Work { scan: scan.id, files, ahead, pictures: pictures.into() };
            let answer = self.reader.read_in_time(work, limit, |_| {}).await?;
            Ok::<_, ReadError>(self.desk.settle(&scan, copy, answer).await)
        };
        let answer = tokio::select! {
            answer = work => answer,
            () = self.give_up.cancelled() => {
                self.outbox.put_back(scan.id).await?;
                return Ok(());
            }
        };
        drop(busy);
        let failure = match answer {
            Err(error) if !error.is_its_own() => {
                self.outbox.put_back(scan.id).await?;
                return if error == ReadError::Interrupted { Ok(()) } else { Err(error.into()) };
            }
            Ok(answer) if answer.error == ErrorCode::Internal => detail(&answer),
            Ok(answer) => {
                tell(&scan, &answer);
                self.finish(&scan, answer).await;
                return Ok(());
            }
            Err(error) => error.to_string(),
        };
        // Without models no document can be read: that is not this one's fault.
        if let Err(error) = self.reader.load().await {
            self.outbox.put_back(scan.id).await?;
            return Err(error.into());
        }
        log::error!(scan_id:% = scan.id, attempt; "not read: {failure}");
        if attempt >= settings.kiosk.attempts.get() {
            self.outbox.bury_document(scan.id, &failure).await?;
            self.desk.scans().set_aside(scan.source);
            self.tell_end(&scan);
        }
        Ok(())
    }

    /// There may be nobody who waits for it.
    fn tell_end(&self, scan: &Scan) {
        let _ = self.ended.send(scan.id);
    }

    /// Puts the result in its document's place, however long the disk may take to be well again.
    async fn finish(&self, scan: &Scan, answer: Answer) {
        let payload = self.desk.payload(answer);
        while !self.give_up.is_cancelled() {
            match self.outbox.finish(scan.id, payload.clone()).await {
                Ok(_) => {
                    self.tell_end(scan);
                    return;
                }
                // Somebody has purged it.
                Err(error @ OutboxError::Unknown { .. }) => {
                    log::warn!(scan_id:% = scan.id; "{error}");
                    return;
                }
                Err(error) => self.wait_for_disk(&error, &self.give_up).await,
            }
        }
    }
}

/// A document in work, which can be taken again when this is dropped and it is still there.
struct Held<'a>(&'a Outbox, Ulid);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.release(self.1);
    }
}

fn detail(answer: &Answer) -> String {
    answer.meta.as_ref().and_then(|meta| meta.detail.clone()).unwrap_or_default()
}

/// What it took, and what it came to; nothing that is on the paper.
fn tell(scan: &Scan, answer: &Answer) {
    let Some(meta) = &answer.meta else { return };
    let mut whole = 0;
    for stage in Stage::ALL {
        if let Some(elapsed_ms) = meta.elapsed_ms.get(stage.name()).and_then(|ms| ms.as_u64()) {
            whole += elapsed_ms;
            log::debug!(scan_id:% = scan.id, stage = stage.name(), elapsed_ms; "stage");
        }
    }
    log::info!(
        scan_id:% = scan.id, stage = "read", elapsed_ms = whole, pages = meta.pages,
        code = answer.error.digit(), needs_review = meta.needs_review.len();
        "read"
    );
}
