//! Pages are read while the next ones of their document are still captured.
//!
//! Promises:
//! - Whatever is not read ahead is read with its document: what is here is worth time, and nothing
//!   else. It is lost with the program.
//! - Few pages are in memory: what comes faster than it is read is not read ahead.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{BoxFuture, FutureExt, Shared};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use ulid::Ulid;

use crate::reading::{Ahead, Reader, Sheet};
use crate::scan::Desk;
use crate::screen;

/// Pages that are read, or wait for it, at a time. One is 25 MB.
const WAITING: usize = 4;

/// Pages that are read at a time: while one is cut into lines, another keeps the models busy.
const AT_A_TIME: usize = 2;

/// Scans whose pages are kept; a kiosk has one or two sources.
const SCANS: usize = 4;

/// Pages of a scan, by their numbers.
type Pages = BTreeMap<NonZeroUsize, Page>;

/// A page that is read, or was.
#[derive(Clone)]
struct Page {
    read: Shared<BoxFuture<'static, Option<Ahead>>>,
    work: AbortHandle,
}

/// Reads pages ahead.
#[derive(Clone)]
pub struct ReadAhead {
    reader: Arc<Reader>,
    desk: Arc<Desk>,
    waiting: Arc<Semaphore>,
    reading: Arc<Semaphore>,
    scans: Arc<Mutex<BTreeMap<Ulid, Pages>>>,
    /// Whether somebody wants to see the pages.
    shows: bool,
}

impl ReadAhead {
    /// With this reader. `shows`: somebody wants to see the pages.
    pub fn new(reader: Arc<Reader>, desk: Arc<Desk>, shows: bool) -> Self {
        let [waiting, reading] = [WAITING, AT_A_TIME].map(|it| Arc::new(Semaphore::new(it)));
        Self { reader, desk, waiting, reading, scans: Arc::default(), shows }
    }

    /// Begins to read a scan's page, in the place of what was read under its number.
    pub fn begin(&self, scan: Ulid, number: NonZeroUsize, page: Sheet) {
        let mut scans = self.scans();
        if let Some(before) = scans.get_mut(&scan).and_then(|pages| pages.remove(&number)) {
            before.work.abort();
        }
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else { return };
        let (reader, reading) = (Arc::clone(&self.reader), Arc::clone(&self.reading));
        let pictures = self.shows || self.desk.wants_pictures();
        let read = tokio::spawn(async move {
            let turn = reading.acquire_owned().await.ok()?;
            // On a task of its own: it goes on, and keeps its place, where nobody waits for it any more.
            let read = tokio::spawn(async move {
                let _held = (place, turn);
                reader.read_ahead(page, pictures).await
            });
            match read.await {
                Ok(Ok(read)) => {
                    log::debug!(scan_id:% = scan, number = number.get(); "page read ahead");
                    Some(read)
                }
                Ok(Err(error)) => {
                    log::debug!(scan_id:% = scan; "a page was not read ahead: {error}");
                    None
                }
                // Where it was, the panic hook has said.
                Err(_) => None,
            }
        });
        let work = read.abort_handle();
        let read = read.map(|read| read.ok().flatten()).boxed().shared();
        scans.entry(scan).or_default().insert(number, Page { read, work });
        while scans.len() > SCANS {
            scans.pop_first();
        }
    }

    /// What was read of a scan, in the order of its pages; what has begun is waited for.
    pub async fn take(&self, scan: Ulid) -> Vec<Option<Ahead>> {
        let pages = self.scans().remove(&scan).unwrap_or_default();
        read(pages).await
    }

    /// Forgets a scan.
    pub fn forget(&self, scan: Ulid) {
        self.scans().remove(&scan);
    }

    fn scans(&self) -> MutexGuard<'_, BTreeMap<Ulid, Pages>> {
        self.scans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl screen::Ahead for ReadAhead {
    async fn look(&self, scan: Ulid) -> Vec<Option<Ahead>> {
        let pages = self.scans().get(&scan).cloned().unwrap_or_default();
        read(pages).await
    }
}

async fn read(pages: Pages) -> Vec<Option<Ahead>> {
    let mut all = Vec::new();
    for (number, page) in pages {
        all.resize_with(number.get() - 1, || None);
        all.push(page.read.await);
    }
    all
}
