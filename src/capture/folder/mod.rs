//! The hot folder: whoever can write a file hands in documents there.
//!
//! Promises:
//! - A file is taken when it is complete: when it has stayed as it is for a while, or at once when
//!   the kernel says that it was closed after writing, or moved in.
//! - One file becomes one scan, whenever the program is killed: its scan's id becomes part of its
//!   name before it is accepted, and what is accepted twice under one id is one scan.
//! - What no page can be had of is refused before it is accepted. A file that was accepted stays,
//!   hidden, until its scan's outcome is known: what was read goes to `done`, what was not to
//!   `failed`, with the reason beside it. Nothing is ever overwritten.
//! - What is in `done` is erased in time. What is in `failed` stays until somebody looks.
//! - However many files there are, few are held in memory, and old ones are not looked at again.
//! - No link is followed out of the folder, and no pipe waited for.
//! - A folder that goes away and comes back is used again.

mod eyes;
mod files;

use std::future::pending;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cic_kiosk::config;
use cic_kiosk::page::Limits;
use jiff::Timestamp;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use self::files::{Content, Files, Look, Taken};
use super::{Fault, Source, State};
use crate::outbox::{Fate, Outbox};
use crate::reading::Reader;

/// How often the folder is looked at when nobody says that there is something: for network shares.
const SLOW: Duration = Duration::from_secs(30);

/// How soon it is looked at again when something is wrong.
const AGAIN: Duration = Duration::from_secs(1);

/// The least time between two looks: many files may come at once.
const GAP: Duration = Duration::from_millis(100);

/// How often `done` is looked through.
const TIDY: Duration = Duration::from_secs(60 * 60);

/// After that long, a disk or a share is said not to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The hot folder.
#[derive(Clone)]
pub struct HotFolder {
    /// What is set for it.
    pub settings: config::Folder,
    /// What a document may cost.
    pub limits: Limits,
    /// Looks into documents.
    pub reader: Arc<Reader>,
    /// Where documents go.
    pub outbox: Outbox,
    /// Tells of scans that are done with, whoever handed them in.
    pub ended: broadcast::Sender<Ulid>,
    /// How the folder is.
    pub state: watch::Sender<State>,
    /// Nothing more is done when this is cancelled.
    pub stop: CancellationToken,
}

impl HotFolder {
    /// Works until it is told to stop.
    ///
    /// # Errors
    /// None: whatever is wrong with the folder is a state of it.
    pub async fn work(self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let Some(path) = self.settings.watch.clone() else { return Ok(()) };
        let woken = Arc::new(Notify::new());
        let (settles, keeps_done) = (self.settings.settle_time(), self.settings.keep_days > 0);
        let limits = self.limits.clone();
        let files = Files::new(&path, settles, keeps_done, limits, Arc::clone(&woken));
        let stop = self.stop.clone();
        let keep_house = keep_house(path, self.settings.keep_time());
        let files = Arc::new(Mutex::new(files));
        let worker = Worker { ended: self.ended.subscribe(), folder: self, files, woken };
        tokio::select! {
            () = worker.watch() => {}
            () = keep_house => {}
            // What is under way can be cut off anywhere, as by a power cut.
            () = stop.cancelled() => {}
        }
        Ok(())
    }
}

struct Worker {
    folder: HotFolder,
    files: Arc<Mutex<Files>>,
    ended: broadcast::Receiver<Ulid>,
    woken: Arc<Notify>,
}

impl Worker {
    async fn watch(mut self) {
        let mut asked = None;
        loop {
            let due = asked.is_none_or(|asked: Instant| asked.elapsed() >= SLOW);
            let settled = if due { self.settle_all().await } else { Ok(()) };
            if due && settled.is_ok() {
                asked = Some(Instant::now());
            }
            let outcome = match settled {
                Ok(()) => self.look().await,
                Err(fault) => Err(fault),
            };
            let pause = match &outcome {
                Err(_) => AGAIN,
                Ok(look) if look.more => Duration::ZERO,
                Ok(look) if look.unsettled => self.folder.settings.settle_time(),
                Ok(_) => SLOW,
            };
            self.tell(outcome.map_or_else(State::from, |_| State::Ready));
            sleep(GAP).await;
            self.wait(pause).await;
        }
    }

    /// Puts files away as their scans end, until it is time for a look.
    async fn wait(&mut self, pause: Duration) {
        let time = Instant::now() + pause;
        loop {
            let settled = tokio::select! {
                () = sleep_until(time) => return,
                () = self.woken.notified() => return,
                ended = self.ended.recv() => match ended {
                    Ok(scan) => self.settle(vec![scan]).await,
                    Err(RecvError::Lagged(_)) => self.settle_all().await,
                    // The folder has a sender itself.
                    Err(RecvError::Closed) => return,
                },
            };
            if let Err(fault) = settled {
                self.tell(fault.into());
                return;
            }
        }
    }

    async fn look(&self) -> Result<Look, Fault> {
        // While nothing is accepted, files stay as they are.
        let accepts = self.folder.outbox.accepts().await;
        accepts.map_err(|error| Fault::Failing(format!("files have to wait: {error}")))?;
        let mut look = self.step(Files::look).await?;
        let taken = std::mem::take(&mut look.taken);
        // What was wrong is over only when all of this went well.
        if !taken.is_empty() && *self.folder.state.borrow() == State::Ready {
            self.tell(State::Busy);
        }
        let before = taken.iter().filter(|taken| taken.before);
        let before: Vec<_> = before.map(|taken| taken.scan).collect();
        let fates = self.fates(before).await?;
        for taken in taken {
            match fates.iter().find(|(scan, _)| *scan == taken.scan) {
                None | Some((_, Fate::Unknown)) => look.unsettled |= !self.accept(taken).await?,
                Some((scan, fate)) => {
                    self.step(move |files| files.wait_for(taken)).await;
                    self.put_away(*scan, fate.clone()).await?;
                }
            }
        }
        Ok(look)
    }

    /// Takes a file in, or puts it away as failed. Whether it was complete.
    async fn accept(&self, taken: Taken) -> Result<bool, Fault> {
        let (scan, copy) = (taken.scan, taken.clone());
        let content = self.step(move |files| files.read(&copy)).await?;
        let document = match content {
            Content::Document(document) => document,
            Content::Gone => return Ok(true),
            Content::Changing => return Ok(false),
            Content::Refused(reason) => {
                self.refuse(taken, reason).await?;
                return Ok(true);
            }
        };
        let opened = self.folder.reader.open(document.clone()).await;
        let opened = opened.map_err(|error| Fault::Failing(format!("files have to wait: {error}")));
        if let Err(error) = opened? {
            self.refuse(taken, error.to_string()).await?;
            return Ok(true);
        }
        let (bytes, now) = (document.len(), Timestamp::now());
        let accepted = self.folder.outbox.accept(scan, Source::Folder, now, document).await;
        accepted.map_err(|error| Fault::Failing(format!("files have to wait: {error}")))?;
        log::info!(scan_id:% = scan, source = "folder", bytes; "accepted");
        self.step(move |files| files.wait_for(taken)).await;
        Ok(true)
    }

    async fn refuse(&self, taken: Taken, reason: String) -> Result<(), Fault> {
        let scan = taken.scan;
        self.step(move |files| files.wait_for(taken)).await;
        self.put_away(scan, Fate::Failed(reason)).await
    }

    async fn settle_all(&self) -> Result<(), Fault> {
        let waiting = self.step(|files| files.waiting()).await;
        self.settle(waiting).await
    }

    /// Puts the files of these scans away, where it is known what became of them.
    async fn settle(&self, scans: Vec<Ulid>) -> Result<(), Fault> {
        let scans = self.step(move |files| files.waiting_of(scans)).await;
        for (scan, fate) in self.fates(scans).await? {
            self.put_away(scan, fate).await?;
        }
        Ok(())
    }

    async fn fates(&self, scans: Vec<Ulid>) -> Result<Vec<(Ulid, Fate)>, Fault> {
        if scans.is_empty() {
            return Ok(Vec::new());
        }
        let fates = self.folder.outbox.fates(scans).await;
        fates.map_err(|error| Fault::Failing(format!("files have to wait: {error}")))
    }

    async fn put_away(&self, scan: Ulid, fate: Fate) -> Result<(), Fault> {
        match fate {
            Fate::Waiting => Ok(()),
            Fate::Read => self.step(move |files| files.done(scan)).await,
            Fate::Failed(reason) => {
                log::warn!(scan_id:% = scan; "a file of the folder failed: {reason}");
                self.step(move |files| files.failed(scan, &reason)).await
            }
            // It is found and accepted anew.
            Fate::Unknown => {
                self.step(move |files| files.forget(scan)).await;
                self.woken.notify_one();
                Ok(())
            }
        }
    }

    /// One step on the folder's disk, which may be a share that does not answer.
    async fn step<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Files) -> T + Send + 'static,
    ) -> T {
        let files = Arc::clone(&self.files);
        let mut step =
            spawn_blocking(move || work(&mut files.lock().unwrap_or_else(PoisonError::into_inner)));
        loop {
            match timeout(PATIENCE, &mut step).await {
                Ok(Ok(done)) => return done,
                Ok(Err(error)) => match error.try_into_panic() {
                    // The supervisor knows what to do with it.
                    Ok(panic) => resume_unwind(panic),
                    // The program ends.
                    Err(_) => pending().await,
                },
                Err(_) => self.tell(State::Failing(
                    "folder.watch does not answer: check its disk, or the share".to_owned(),
                )),
            }
        }
    }

    fn tell(&self, state: State) {
        self.folder.state.send_if_modified(|now| {
            let changes = *now != state;
            if changes && let State::Absent(reason) | State::Failing(reason) = &state {
                log::warn!(source = "folder"; "{reason}");
            }
            *now = state;
            changes
        });
    }
}

async fn keep_house(path: PathBuf, keep: Duration) {
    loop {
        let path = path.clone();
        match spawn_blocking(move || files::tidy(&path, keep)).await {
            Ok(Ok(0)) => {}
            Ok(Ok(erased)) => log::info!(source = "folder", erased; "old files were erased"),
            // How the folder is, its state says.
            Ok(Err(error)) => log::debug!("old files were not erased: {error}"),
            // A panic there was told by the panic hook.
            Err(_) => {}
        }
        sleep(TIDY).await;
    }
}

#[cfg(test)]
mod tests;
