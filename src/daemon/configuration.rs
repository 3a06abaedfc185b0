//! Takes over what the fleet wants set, and reports what came of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cic_kiosk::config::Config;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::reload::Control;
use super::supervisor::{Failure, Pulse};
use super::{DISK, Daemon};
use crate::fleet::configuration::message::Level;
use crate::fleet::configuration::{Apply, Configuration};
use crate::fleet::presence::Versions;
use crate::mqtt::{Inbox, LinkState, Post, Topics};

/// Between two messages that change something: whoever floods a kiosk must not wear out its flash.
const PAUSE: Duration = Duration::from_millis(500);

impl Daemon {
    /// Begins to take over settings from afar. The program is ready, with those that there are.
    pub(super) fn start_configuration(&self, link: watch::Receiver<LinkState>) -> Configuring {
        let inbox = self.post.listen(self.topics.desired().to_vec(), |_, _, _| true);
        let configuring = Configuring {
            configuration: Arc::clone(&self.configuration),
            inbox: Arc::new(inbox),
            control: self.control.clone(),
            post: self.post.clone(),
            topics: self.topics.clone(),
            link,
            stop: self.stop.clone(),
        };
        let working = configuring.clone();
        self.supervisor.start("configuration", move |pulse| working.clone().work(pulse));
        configuring
    }
}

/// Who does that; clones are the same.
#[derive(Clone)]
pub(super) struct Configuring {
    configuration: Arc<Mutex<Configuration>>,
    inbox: Arc<Inbox>,
    control: Control,
    post: Post,
    topics: Topics,
    link: watch::Receiver<LinkState>,
    stop: CancellationToken,
}

impl Configuring {
    async fn work(mut self, pulse: Pulse) -> Result<(), Failure> {
        let mut reloads = self.control.reloads();
        self.change(&pulse, |configuration, here, apply| {
            configuration.started();
            // What needs a restart has had it.
            configuration.fit_again(here, apply);
            true
        })
        .await?;
        let mut deadline = None;
        while !self.stop.is_cancelled() {
            let must_reach = self.must_reach();
            if must_reach && self.is_reached() {
                self.change(&pulse, |configuration, _, _| {
                    configuration.reached();
                    true
                })
                .await?;
                continue;
            }
            let now = Instant::now();
            let until = match deadline {
                Some(until) if must_reach => until,
                _ if must_reach => now + self.control.here().fleet.trial_time(),
                _ => now,
            };
            deadline = must_reach.then_some(until);
            tokio::select! {
                () = self.stop.cancelled() => {}
                // Until it is known whether the last ones stay, no others are tried.
                letter = self.inbox.letter(), if !must_reach => {
                    let topics = self.topics.desired();
                    let level = topics.iter().position(|topic| *topic == letter.topic);
                    let Some(level) = level.and_then(|place| Level::ALL.get(place)) else {
                        continue;
                    };
                    let taken = self.change(&pulse, move |configuration, here, apply| {
                        let message = letter.payload.as_deref().map_err(|bytes| *bytes);
                        configuration.take(*level, message, here, apply)
                    });
                    if taken.await? {
                        sleep(PAUSE).await;
                    }
                }
                // It changes with each result, too.
                changed = self.link.changed(), if must_reach => changed?,
                () = sleep_until(until), if must_reach => {
                    self.change(&pulse, |configuration, _, apply| {
                        configuration.roll_back(apply);
                        true
                    })
                    .await?;
                }
                changed = reloads.changed() => {
                    changed?;
                    self.change(&pulse, |configuration, here, apply| {
                        configuration.fit_again(here, apply);
                        true
                    })
                    .await?;
                }
            }
        }
        Ok(())
    }

    /// Goes back to what was in force before the last change, and gives the versions in force.
    ///
    /// # Errors
    /// Why not, and nothing was changed.
    pub(super) async fn go_back(&self) -> Result<Versions, String> {
        let changed = self.changed(|configuration, here, apply| {
            let back = configuration.go_back(here, apply);
            (back.is_ok(), back.map(|()| configuration.versions()))
        });
        let back = changed.await.map_err(|error| error.to_string())?;
        back.map_err(|refusal| refusal.reason)
    }

    /// Changes something, on the disk too, and reports it if there is something to report. Whether
    /// there is.
    async fn change(
        &self,
        pulse: &Pulse,
        change: impl FnOnce(&mut Configuration, &Config, Apply) -> bool + Send + 'static,
    ) -> Result<bool, Failure> {
        let _busy = pulse.busy(DISK);
        self.changed(|configuration, here, apply| {
            let is_news = change(configuration, here, apply);
            (is_news, is_news)
        })
        .await
    }

    async fn changed<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Configuration, &Config, Apply) -> (bool, T) + Send + 'static,
    ) -> Result<T, Failure> {
        let it = self.clone();
        let changed = spawn_blocking(move || {
            let mut configuration = it.configuration.lock().unwrap_or_else(PoisonError::into_inner);
            let here = it.control.here();
            let apply =
                |afar: &toml::Table| it.control.lay_over(afar).map_err(|error| error.to_string());
            let (is_news, changed) = change(&mut configuration, &here, &apply);
            if is_news {
                it.report(&configuration);
            }
            changed
        });
        Ok(changed.await?)
    }

    /// What is reported of the settings from afar.
    pub(super) fn reported(&self) -> serde_json::Value {
        let configuration = self.configuration.lock().unwrap_or_else(PoisonError::into_inner);
        json!(configuration.reported())
    }

    fn report(&self, configuration: &Configuration) {
        let reported = json!(configuration.reported()).to_string().into_bytes();
        self.post.put(self.topics.reported(), reported, true);
        self.post.change_birth(|birth| birth.configuration = configuration.versions());
    }

    fn must_reach(&self) -> bool {
        self.configuration.lock().unwrap_or_else(PoisonError::into_inner).must_reach()
    }

    /// Whether there is a connection with the settings that are in force.
    fn is_reached(&mut self) -> bool {
        let link = self.link.borrow_and_update();
        link.connected_since.is_some() && link.settings.as_ref() == Some(&self.control.now().mqtt)
    }
}
