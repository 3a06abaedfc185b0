//! The thread that writes. It takes what there is to do, all that waits with it, and commits it at
//! once: one wait for the disk does for many.
//!
//! Promises:
//! - Who is answered `Ok` has it on the disk.
//! - What fails by itself is undone by itself; the others of its batch are not touched.
//! - Where the disk fails, all of the batch fail, and are told that nothing was stored. The file is
//!   then opened anew, so that work goes on as soon as the disk does.
//! - What waits here is bounded in number and in bytes: who comes too fast waits.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::{runtime, time};

use super::link::{self, Link};
use super::news::News;
use super::{Fault, OutboxError};
use crate::database::{self, DatabaseError};

/// What may wait to be written.
const QUEUE: usize = 256;

/// What is written at once, at most. One wait for the disk takes milliseconds; with more than this
/// the writing would take longer than the waiting.
const BATCH: usize = 256;

/// The same in bytes. What is larger is written alone.
const BATCH_BYTES: usize = 8 << 20;

/// Bytes that may wait to be written. What is larger waits until nothing else does.
const HELD_BYTES: usize = 64 << 20;

/// How often it is looked whether another process has put something into the file.
const LOOK: Duration = Duration::from_secs(2);

/// Something to write, and somebody who waits for it.
trait Job: Send {
    /// Whether it is to be kept. An error is everybody's.
    fn apply(&mut self, connection: &Connection) -> rusqlite::Result<bool>;

    /// Tells what came of it.
    fn answer(self: Box<Self>, committed: Result<(), Arc<DatabaseError>>);
}

/// What waits.
struct Queued {
    job: Box<dyn Job>,
    bytes: usize,
    /// Of the bytes that may wait.
    _share: OwnedSemaphorePermit,
}

/// `None` ends the thread.
type Message = Option<Queued>;

/// The thread.
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    held: Arc<Semaphore>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Begins.
    pub(super) fn start(link: Link, news: Arc<News>) -> io::Result<Self> {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let runtime = runtime::Builder::new_current_thread().enable_time().build()?;
        let thread = thread::Builder::new()
            .name("outbox".to_owned())
            .spawn(move || runtime.block_on(write(link, waiting, &news)))?;
        let held = Arc::new(Semaphore::new(HELD_BYTES));
        Ok(Self { queue, held, thread: Mutex::new(Some(thread)) })
    }

    /// Does this in a transaction, and returns when it is on the disk. `bytes` says how much is
    /// written.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, OutboxError> {
        let share = bytes.min(HELD_BYTES) as u32;
        let share = Arc::clone(&self.held).acquire_many_owned(share).await;
        let share = share.map_err(|_| OutboxError::Closed)?;
        let (asker, answer) = oneshot::channel();
        let job = Box::new(Task { work: Some(work), done: None, asker });
        let sent = self.queue.send(Some(Queued { job, bytes, _share: share })).await;
        sent.map_err(|_| OutboxError::Closed)?;
        answer.await.map_err(|_| OutboxError::Closed)?
    }

    /// Writes what waits, and ends.
    pub(super) fn end(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        let mut end = None;
        while let Err(mpsc::error::TrySendError::Full(message)) = self.queue.try_send(end) {
            end = message;
            thread::sleep(Duration::from_millis(1));
        }
        if thread.join().is_err() {
            log::error!("the outbox's thread has panicked");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}

async fn write(mut link: Link, mut waiting: mpsc::Receiver<Message>, news: &News) {
    let mut ended = false;
    while !ended {
        match time::timeout(LOOK, waiting.recv()).await {
            Ok(Some(Some(first))) => {
                let (batch, last) = gather(first, &mut waiting);
                ended = last;
                commit(&mut link, batch, news);
            }
            Ok(_) => ended = true,
            // Nobody here had something to write, but another process may have.
            Err(_) => look(&mut link, news),
        }
    }
    link.close();
}

/// What waits already, up to the limits; and whether that was the last.
fn gather(first: Queued, waiting: &mut mpsc::Receiver<Message>) -> (Vec<Queued>, bool) {
    let mut bytes = first.bytes;
    let mut batch = vec![first];
    while batch.len() < BATCH && bytes < BATCH_BYTES {
        match waiting.try_recv() {
            Ok(Some(queued)) => {
                bytes += queued.bytes;
                batch.push(queued);
            }
            Ok(None) => return (batch, true),
            Err(_) => break,
        }
    }
    (batch, false)
}

fn commit(link: &mut Link, mut batch: Vec<Queued>, news: &News) {
    let jobs = batch.iter_mut().map(|queued| &mut queued.job);
    let committed = match link.connection() {
        Ok(connection) => apply(connection, jobs).map_err(|reason| link.failed(reason)),
        Err(error) => Err(error),
    };
    if committed.is_ok() {
        look(link, news);
    }
    if let Err(error) = &committed {
        news.disk_fails(true);
        news.hear(error);
    }
    let committed = committed.map_err(Arc::new);
    for queued in batch {
        queued.job.answer(committed.clone());
    }
}

fn apply<'a>(
    connection: &mut Connection,
    jobs: impl Iterator<Item = &'a mut Box<dyn Job>>,
) -> rusqlite::Result<()> {
    let mut transaction = database::write(connection)?;
    for job in jobs {
        let savepoint = transaction.savepoint()?;
        // Dropped, it is rolled back.
        if job.apply(&savepoint)? {
            savepoint.commit()?;
        }
    }
    transaction.commit()
}

fn look(link: &mut Link, news: &News) {
    let Ok(connection) = link.connection() else { return };
    if let Err(reason) = news.look(connection) {
        let error = link.failed(reason);
        news.hear(&error);
        log::warn!("{error}");
    }
}

struct Task<T, F> {
    work: Option<F>,
    done: Option<Result<T, Fault>>,
    asker: oneshot::Sender<Result<T, OutboxError>>,
}

impl<T: Send, F: FnOnce(&Connection) -> Result<T, Fault> + Send> Job for Task<T, F> {
    fn apply(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        let Some(work) = self.work.take() else { return Ok(false) };
        match work(connection) {
            // Of some errors SQLite undoes the whole transaction.
            Err(Fault::Sqlite(error))
                if link::is_of_the_file(&error) || connection.is_autocommit() =>
            {
                Err(error)
            }
            done => {
                let kept = done.is_ok();
                self.done = Some(done);
                Ok(kept)
            }
        }
    }

    fn answer(self: Box<Self>, committed: Result<(), Arc<DatabaseError>>) {
        let answer = match (committed, self.done) {
            (Err(reason), _) => Err(OutboxError::not_stored(reason)),
            (Ok(()), Some(Ok(done))) => Ok(done),
            (Ok(()), Some(Err(Fault::Refused(error)))) => Err(error),
            (Ok(()), Some(Err(Fault::Sqlite(reason)))) => Err(OutboxError::Failed { reason }),
            (Ok(()), None) => Err(OutboxError::Closed),
        };
        // Who does not wait any more has no use for it.
        let _ = self.asker.send(answer);
    }
}
