//! A new configuration while the program runs: the kiosk's own, read again, or settings from afar over
//! it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cic_kiosk::config::Config;
use tokio::sync::watch;
use toml::Table;

use super::supervisor::Failure;
use super::{Load, cloud};
use crate::credentials::Credentials;
use crate::fleet::presence::Birth;
use crate::mqtt::Post;
use crate::outbox::Outbox;
use crate::reading::Reader;
use crate::scan::Desk;

/// Changes what is set, for everybody. Clones are the same.
#[derive(Clone)]
pub struct Control {
    concerned: Concerned,
    given: Arc<Mutex<Given>>,
    reloads: watch::Sender<u64>,
}

/// What settings are changed of.
#[derive(Clone)]
pub struct Concerned {
    /// What is in force, for everybody who looks.
    pub settings: watch::Sender<Arc<Config>>,
    /// Has its limits.
    pub outbox: Outbox,
    /// Has the cloud, ...
    pub desk: Arc<Desk>,
    /// ... which reads with this one ...
    pub reader: Arc<Reader>,
    /// ... and takes its secrets from here.
    pub credentials: Credentials,
    /// Tells what the kiosk can.
    pub post: Post,
}

/// What the settings that are in force are made of.
#[derive(Clone)]
struct Given {
    /// The kiosk's own.
    here: Config,
    /// What is good enough with the models in force, where nothing else is said.
    decision: Table,
    /// What lies over them.
    afar: Table,
    /// Whatever they say, the cloud is not asked: a command has turned it off.
    cloud_off: bool,
}

impl Given {
    /// What is in force.
    fn config(&self) -> Result<Config, Failure> {
        let mut config = self.here.with_defaults(&self.decision).with(&self.afar)?;
        config.cloud.enabled &= !self.cloud_off;
        Ok(config)
    }
}

impl Control {
    /// Of what is in force: the kiosk's own configuration with settings from afar over it, and the
    /// cloud turned off where a command has done so.
    pub fn new(
        concerned: Concerned,
        here: Config,
        decision: Table,
        afar: Table,
        cloud_off: bool,
    ) -> Self {
        let given = Arc::new(Mutex::new(Given { here, decision, afar, cloud_off }));
        Self { concerned, given, reloads: watch::Sender::default() }
    }

    /// Reads the configuration again and takes over what can change. One that is wrong changes
    /// nothing. The log tells what came of it.
    ///
    /// # Errors
    /// What is wrong; otherwise the keys are given of what needs a restart.
    pub fn reload(&self, load: &Load) -> Result<Vec<String>, Failure> {
        let mut given = self.given();
        let taken = load().and_then(|loaded| {
            let new = Given { here: loaded.config, ..given.clone() };
            Ok((self.take_over(new.config()?)?, new))
        });
        let (left, new) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                log::error!("the new configuration is not taken over, the old one stays: {error}");
                return Err(error);
            }
        };
        *given = new;
        log::info!("the configuration was read again");
        if !left.is_empty() {
            log::warn!("changes that need a restart: {}", left.join(", "));
        }
        self.reloads.send_modify(|count| *count += 1);
        Ok(left)
    }

    /// Lays these settings over the kiosk's own, in the place of those that did. Gives the keys of
    /// them that need a restart.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn lay_over(&self, afar: &Table) -> Result<Vec<String>, Failure> {
        let mut given = self.given();
        let new = Given { afar: afar.clone(), ..given.clone() };
        let mut left = self.take_over(new.config()?)?;
        left.retain(|key| {
            let (section, key) = key.split_once('.').unwrap_or_default();
            afar.get(section).and_then(|keys| keys.get(key)).is_some()
        });
        *given = new;
        Ok(left)
    }

    /// Has the cloud asked or not, as far as a command may.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn turn_cloud(&self, on: bool) -> Result<(), Failure> {
        let mut given = self.given();
        let new = Given { cloud_off: !on, ..given.clone() };
        self.take_over(new.config()?)?;
        *given = new;
        Ok(())
    }

    /// Whether the configuration lets the cloud be asked, if no command has turned that off.
    pub fn may_ask_cloud(&self) -> bool {
        let given = Given { cloud_off: false, ..self.given().clone() };
        given.config().is_ok_and(|config| config.cloud.enabled)
    }

    /// The kiosk's own configuration.
    pub fn here(&self) -> Config {
        self.given().here.clone()
    }

    /// The settings from afar that lie over it.
    pub fn afar(&self) -> Table {
        self.given().afar.clone()
    }

    /// Takes these thresholds where the kiosk's own configuration and that from afar leave the defaults.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn lay_under(&self, decision: Table) -> Result<(), Failure> {
        let mut given = self.given();
        let new = Given { decision, ..given.clone() };
        self.take_over(new.config()?)?;
        *given = new;
        Ok(())
    }

    /// What is in force.
    pub fn now(&self) -> Arc<Config> {
        Arc::clone(&self.concerned.settings.borrow())
    }

    /// What of a configuration would take a restart to be in force.
    pub fn needs_restart(&self, new: &Config) -> Vec<String> {
        taken_over(&self.now(), new.clone()).1
    }

    /// Changes whenever the kiosk's own configuration was read again.
    pub fn reloads(&self) -> watch::Receiver<u64> {
        self.reloads.subscribe()
    }

    /// Takes over what can change, and gives the keys of what cannot.
    fn take_over(&self, new: Config) -> Result<Vec<String>, Failure> {
        let old = self.now();
        let Concerned { settings, outbox, desk, reader, credentials, post } = &self.concerned;
        let (new, left) = taken_over(&old, new);
        if (&new.cloud, &new.decision) != (&old.cloud, &old.decision) {
            desk.ask(cloud(&new, credentials, reader)?);
        }
        outbox.set_limits(new.outbox.clone());
        post.change_birth(|birth| {
            birth.capabilities = Birth::capabilities(&new);
            birth.commands = new.fleet.senders.clone();
        });
        settings.send_replace(Arc::new(new));
        Ok(left)
    }

    fn given(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The old configuration with what can change from the new one; and what would have to change, too.
fn taken_over(old: &Config, new: Config) -> (Config, Vec<String>) {
    let mut config = old.clone();
    config.decision = new.decision.clone();
    config.cloud = new.cloud.clone();
    config.capture = new.capture.clone();
    config.outbox = new.outbox.clone();
    config.mqtt = new.mqtt.clone();
    config.fleet = new.fleet.clone();
    config.models = new.models.clone();
    config.kiosk.attempts = new.kiosk.attempts;
    config.kiosk.drain_seconds = new.kiosk.drain_seconds;
    let left = config.differences(&new);
    (config, left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_change_is_taken_over_and_the_rest_is_named() {
        let old = Config::default();
        let new = Config::parse(
            "[outbox]\nkeep_delivered_hours = 1\n[kiosk]\ndrain_seconds = 7\nstate = \"/s\"\n\
             [http]\nqueue = 1",
        );
        let (config, left) = taken_over(&old, new.unwrap());
        assert_eq!((config.outbox.keep_delivered_hours, config.kiosk.drain_seconds), (1, 7));
        assert_eq!((&config.kiosk.state, config.http.queue), (&old.kiosk.state, old.http.queue));
        assert_eq!(left, ["http.queue", "kiosk.state"]);
    }
}
