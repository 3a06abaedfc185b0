//! What is done for each kind of command.

use std::ffi::OsString;
use std::fmt::Display;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cic_kiosk::config::Config;
use serde_json::{Value as Json, json};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::{Ask, Report, lock};
use crate::capture::{CLOSED, Order, Source, Sources};
use crate::daemon::configuration::Configuring;
use crate::daemon::figures::Figures;
use crate::daemon::models::Models;
use crate::daemon::reload::Control;
use crate::daemon::systemd;
use crate::fleet::commands::message::{Code, Failure};
use crate::fleet::commands::task::Task;
use crate::fleet::commands::{Begun, Commands};
use crate::mqtt::{Post, Topics};
use crate::panel::Identify;

/// For the broker to hear that something was begun of which the program will end.
const COURTESY: Duration = Duration::from_secs(5);

/// Beside the socket of `cic-kiosk submit`, in a folder that the service alone may write to: a wish that
/// the machine is started again. systemd's cic-kiosk-reboot.path waits for it.
const REBOOT: &str = "reboot";

/// In which that wish must have been heeded, and the machine must have begun to end.
const REBOOT_TIME: Duration = Duration::from_secs(10);
const SHUTDOWN_TIME: Duration = Duration::from_secs(300);

/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(100);

/// What commands are done with.
#[derive(Clone)]
pub struct Deeds {
    /// The rest of the daemon.
    pub asks: mpsc::Sender<Ask>,
    /// Keeps what outlives a restart.
    pub commands: Arc<Mutex<Commands>>,
    /// Has the settings from afar.
    pub(in crate::daemon) configuring: Configuring,
    /// Changes settings.
    pub control: Control,
    /// What the doctor is to be called with.
    pub doctor: Vec<OsString>,
    /// How the kiosk does.
    pub figures: Figures,
    /// The panel's light.
    pub identify: Identify,
    /// Packages of models.
    pub models: Models,
    /// What goes out.
    pub post: Post,
    /// What is in force.
    pub settings: watch::Receiver<Arc<Config>>,
    /// The devices.
    pub sources: Sources,
    /// The kiosk's names.
    pub topics: Topics,
}

impl Deeds {
    /// Does what is ordered, and gives what came of it.
    ///
    /// # Errors
    /// Why it was not done.
    pub(super) async fn execute(&self, begun: Begun, report: Report) -> Result<Json, Failure> {
        match begun.task {
            Task::Scan(source) => self.scan(source),
            Task::Identify(seconds) => self.identify(seconds).await,
            Task::Reload => self.reload().await,
            Task::Restart => self.restart().await,
            Task::Reboot => self.reboot().await,
            Task::Cloud(on) => self.turn_cloud(on).await,
            Task::Selftest => self.test_models().await,
            Task::ModelUpdate(update) => self.update_models(update, report).await,
            Task::ModelRollback => self.roll_models_back().await,
            Task::Diagnostics => self.diagnostics(&begun.address, &report).await,
            Task::Log(since, until) => self.log(&begun.address, since, until, &report).await,
            Task::Wipe => self.wipe().await,
            Task::ConfigRollback => match self.configuring.go_back().await {
                Ok(versions) => Ok(json!({"configuration": versions})),
                Err(reason) => Err(Failure::new(Code::Unavailable, reason)),
            },
        }
    }

    fn scan(&self, source: Option<Source>) -> Result<Json, Failure> {
        let unavailable = |reason: &str| Err(Failure::new(Code::Unavailable, reason));
        let standing = self.sources.standing();
        let wanted = |it: &&crate::capture::Standing| source.is_none_or(|name| it.source == name);
        let mut wanted = standing.iter().filter(wanted).peekable();
        if wanted.peek().is_none() {
            return unavailable("this kiosk has no such source");
        }
        if self.sources.are_closed() {
            return unavailable(CLOSED);
        }
        // What waits for an order, or has a scan that another page can go to.
        let able = wanted.find(|it| it.state.is_well() && it.source != Source::Folder);
        let Some(able) = able else {
            return unavailable("no such source is ready: telemetry tells how they are");
        };
        if self.sources.order(Some(able.source), Order::Start) {
            return Ok(json!({"source": able.source.as_str()}));
        }
        unavailable("the source takes no order now: it has enough to do")
    }

    async fn identify(&self, seconds: u32) -> Result<Json, Failure> {
        let unavailable = |reason: &str| Err(Failure::new(Code::Unavailable, reason));
        if !self.settings.borrow().panel.has_light() {
            return unavailable("this kiosk has no light: panel.chip and panel.light are not set");
        }
        let time = Duration::from_secs(seconds.into());
        self.identify.show_until(Instant::now() + time);
        sleep(time).await;
        if self.identify.was_shown() {
            Ok(json!({"seconds": seconds}))
        } else {
            unavailable("the panel does not do its work: the kiosk's log says why")
        }
    }

    async fn reload(&self) -> Result<Json, Failure> {
        let (answer, answered) = oneshot::channel();
        self.ask(Ask::Reload(answer)).await;
        match answered.await {
            Ok(Ok(needs_restart)) => Ok(json!({"needs_restart": needs_restart})),
            Ok(Err(reason)) => Err(Failure::new(Code::Failed, reason)),
            Err(_) => std::future::pending().await,
        }
    }

    /// The next start of the program is its success.
    async fn restart(&self) -> Result<Json, Failure> {
        may_end()?;
        self.be_heard().await;
        self.ask(Ask::End).await;
        std::future::pending().await
    }

    /// The next start of the program does it, before it does anything else, and says so: what it has
    /// in memory is gone by then.
    async fn wipe(&self) -> Result<Json, Failure> {
        may_end()?;
        log::warn!("all papers and results are erased, as a command orders");
        self.be_heard().await;
        self.ask(Ask::EndAtOnce).await;
        std::future::pending().await
    }

    /// The next start of the machine is its success. The service may speak to nobody who could start
    /// it again: systemd waits for this file ([`REBOOT`]), and takes it away when it does.
    async fn reboot(&self) -> Result<Json, Failure> {
        let wish = self.settings.borrow().kiosk.socket.with_file_name(REBOOT);
        self.be_heard().await;
        let not_permitted = |why: &dyn Display| {
            let reason = format!(
                "nobody here starts the machine again ({why}): see that cic-kiosk-reboot.path runs"
            );
            Failure::new(Code::NotPermitted, reason)
        };
        tokio::fs::write(&wish, "").await.map_err(|error| not_permitted(&error))?;
        let deadline = Instant::now() + REBOOT_TIME;
        while wish.exists() {
            if Instant::now() > deadline {
                let _ = tokio::fs::remove_file(&wish).await;
                return Err(not_permitted(&format_args!("{} was not heeded", wish.display())));
            }
            sleep(LOOK).await;
        }
        sleep(SHUTDOWN_TIME).await;
        Err(Failure::new(Code::Failed, "systemd was asked, and the machine was not started again"))
    }

    async fn turn_cloud(&self, on: bool) -> Result<Json, Failure> {
        let (commands, control) = (Arc::clone(&self.commands), self.control.clone());
        let turned = spawn_blocking(move || {
            if on && !control.may_ask_cloud() {
                let reason = "cloud.enabled is false in the kiosk's own configuration, or in that \
                              from afar: a command cannot turn it on";
                return Err(Failure::new(Code::Unavailable, reason));
            }
            // Kept first: what was turned off is off after a power cut, too.
            lock(&commands).turn_cloud(on).map_err(|error| {
                let reason = format!("the kiosk's disk does not take it: {error}");
                Failure::new(Code::NotStored, reason)
            })?;
            control
                .turn_cloud(on)
                .map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
            Ok(json!({"enabled": on}))
        });
        turned.await.unwrap_or_else(|_| Err(Failure::new(Code::Failed, "a defect of the program")))
    }

    /// Waits a little, so that the broker has what was said.
    async fn be_heard(&self) {
        let _ = timeout(COURTESY, self.post.settled()).await;
    }

    /// Asks the rest of the daemon; where that ends already, there is nothing to wait for but the
    /// end.
    async fn ask(&self, ask: Ask) {
        if self.asks.send(ask).await.is_err() {
            std::future::pending().await
        }
    }
}

/// Whether somebody starts the program again when it ends.
fn may_end() -> Result<(), Failure> {
    if systemd::is_there() {
        return Ok(());
    }
    let reason = "systemd does not run this program: nobody would start it again";
    Err(Failure::new(Code::NotPermitted, reason))
}
