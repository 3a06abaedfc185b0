//! Listens to commands, has them done one after the other, and answers.
//!
//! What is decided about them, and kept, is [`crate::fleet::commands`]; what is done is [`deeds`].

mod deeds;
pub(super) mod diagnostics;
pub(super) mod journal;
mod models;
mod parts;

use std::ffi::OsString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cic_kiosk::config::{Config, Senders};
use serde_json::Value as Json;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::configuration::Configuring;
use super::figures::Figures;
use super::models::Models;
use super::supervisor::{Failure as Fault, Pulse};
use super::{DISK, Daemon};
use crate::capture::Sources;
use crate::fleet::commands::message::{Code, Failure, Progress};
use crate::fleet::commands::{Address, Commands};
use crate::mqtt::{Inbox, Post};
use crate::panel::Identify;
use deeds::Deeds;

/// Between two messages: whoever floods a kiosk shall not keep it busy.
const PAUSE: Duration = Duration::from_millis(20);

/// Between two tellings of how far a command is.
const TELL: Duration = Duration::from_secs(1);

/// What the rest of the daemon is asked to do.
pub enum Ask {
    /// To read the configuration again, and say which changes need a restart, or what is wrong.
    Reload(oneshot::Sender<Result<Vec<String>, String>>),
    /// To end in order; systemd starts the program again.
    End,
    /// To end at once.
    EndAtOnce,
}

/// Where a deed says how far it is.
#[derive(Clone)]
pub struct Report(watch::Sender<Progress>);

impl Report {
    /// So much of this step is done, of so much.
    pub fn at(&self, step: &'static str, done: u64, total: u64) {
        self.0.send_replace(Progress { step, done, total });
    }
}

/// What commands are done with that the daemon does not keep.
pub struct Means {
    /// The rest of the daemon.
    pub asks: mpsc::Sender<Ask>,
    /// Has the settings from afar.
    pub(super) configuring: Configuring,
    /// What the doctor is to be called with.
    pub doctor: Vec<OsString>,
    /// The panel's light.
    pub identify: Identify,
    /// Looks after the models.
    pub models: Models,
    /// The devices.
    pub sources: Sources,
}

impl Daemon {
    /// Begins to do what is ordered. The program is ready.
    pub(super) fn start_commands(&self, figures: &Figures, means: Means) {
        let Means { asks, configuring, doctor, identify, models, sources } = means;
        let told = lock(&self.commands).told();
        let inbox = self.post.listen(vec![self.topics.commands()], move |topic, message, kept| {
            told.is_news(topic, message, kept)
        });
        let deeds = Deeds {
            asks,
            commands: Arc::clone(&self.commands),
            configuring,
            control: self.control.clone(),
            doctor,
            figures: figures.clone(),
            identify,
            models,
            post: self.post.clone(),
            settings: self.settings.subscribe(),
            sources,
            topics: self.topics.clone(),
        };
        let commanding = Commanding {
            commands: Arc::clone(&self.commands),
            deeds,
            figures: figures.clone(),
            inbox: Arc::new(inbox),
            post: self.post.clone(),
            settings: self.settings.subscribe(),
            stop: self.stop.clone(),
        };
        self.supervisor.start("commands", move |pulse| commanding.clone().work(pulse));
    }
}

#[derive(Clone)]
struct Commanding {
    commands: Arc<Mutex<Commands>>,
    deeds: Deeds,
    figures: Figures,
    inbox: Arc<Inbox>,
    post: Post,
    settings: watch::Receiver<Arc<Config>>,
    stop: CancellationToken,
}

/// A command that is being done.
struct UnderWay {
    address: Address,
    deed: AbortOnDropHandle<Result<Json, Failure>>,
    progress: watch::Receiver<Progress>,
}

impl Commanding {
    async fn work(self, pulse: Pulse) -> Result<(), Fault> {
        self.change(&pulse, |commands| commands.nothing_is_under_way()).await?;
        let mut under_way: Option<UnderWay> = None;
        while !self.stop.is_cancelled() {
            if under_way.is_none() {
                under_way = self.begin(&pulse).await?;
            }
            let mut seen = under_way.as_ref().map(|it| (it.address.clone(), it.progress.clone()));
            tokio::select! {
                () = self.stop.cancelled() => {}
                letter = self.inbox.letter() => {
                    let (senders, now) = (self.senders(), self.figures.now());
                    self.change(&pulse, move |it| it.take(&letter, &senders, now)).await?;
                    sleep(PAUSE).await;
                }
                (address, outcome) = ended(&mut under_way) => {
                    under_way = None;
                    self.change(&pulse, move |it| it.finish(&address, outcome)).await?;
                }
                (address, progress) = got_on(&mut seen) => {
                    if let Some(it) = &mut under_way {
                        it.progress.mark_unchanged();
                    }
                    self.change(&pulse, move |it| it.is_at(&address, progress)).await?;
                }
            }
        }
        Ok(())
    }

    /// Begins with the next command, if one waits.
    async fn begin(&self, pulse: &Pulse) -> Result<Option<UnderWay>, Fault> {
        if !lock(&self.commands).is_any_waiting() {
            return Ok(None);
        }
        let (senders, now) = (self.senders(), self.figures.now());
        let Some(begun) = self.change(pulse, move |it| it.begin(&senders, now)).await? else {
            return Ok(None);
        };
        let progress = watch::Sender::default();
        let (deeds, address, seen) =
            (self.deeds.clone(), begun.address.clone(), progress.subscribe());
        // On a task of its own, so that a panic ends nothing but it.
        let deed = tokio::spawn(async move { deeds.execute(begun, Report(progress)).await });
        let deed = AbortOnDropHandle::new(deed);
        Ok(Some(UnderWay { address, deed, progress: seen }))
    }

    /// Changes something, on the disk too, and publishes what is said of it.
    async fn change<T: Send + 'static>(
        &self,
        pulse: &Pulse,
        change: impl FnOnce(&mut Commands) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let _busy = pulse.busy(DISK);
        let commands = Arc::clone(&self.commands);
        let changed = spawn_blocking(move || {
            let mut commands = lock(&commands);
            let changed = change(&mut commands);
            (changed, commands.said())
        });
        let (changed, said) = changed.await?;
        for (topic, payload) in said {
            self.post.insist(topic, payload, true);
        }
        Ok(changed)
    }

    fn senders(&self) -> Senders {
        self.settings.borrow().fleet.senders.clone()
    }
}

/// Waits for the end of what is under way.
async fn ended(under_way: &mut Option<UnderWay>) -> (Address, Result<Json, Failure>) {
    let Some(it) = under_way else { return std::future::pending().await };
    let outcome = (&mut it.deed).await.unwrap_or_else(|_| {
        Err(Failure::new(Code::Failed, "a defect of the program: its log says where"))
    });
    (it.address.clone(), outcome)
}

/// Waits until what is under way has got on, and something may be told of it again.
async fn got_on(seen: &mut Option<(Address, watch::Receiver<Progress>)>) -> (Address, Progress) {
    let Some((address, progress)) = seen else { return std::future::pending().await };
    sleep(TELL).await;
    if progress.changed().await.is_err() {
        return std::future::pending().await;
    }
    let progress = progress.borrow_and_update().clone();
    (address.clone(), progress)
}

fn lock(commands: &Mutex<Commands>) -> MutexGuard<'_, Commands> {
    commands.lock().unwrap_or_else(PoisonError::into_inner)
}
