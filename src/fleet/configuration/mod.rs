//! Settings from afar: desired by the fleet, judged here, and reported.
//!
//! Promises:
//! - Nothing of a message that is refused is in force, and `reported` says why it was refused, key by
//!   key. No message makes the program fail.
//! - What is taken over is on the disk before it is in force, whole; whenever the power fails, the old
//!   settings or the new ones are there.
//! - Settings with which the broker is not reached, or the program not started, give way to those
//!   before them, and are not tried again under the same version.
//! - Whoever may order it can have what was in force before the last change back, once.
//! - What may not come from afar ([`rules`]) does not, even where it once could: it is judged again
//!   at each start, and whenever the kiosk's own settings change.
//!
//! Here is what is decided, and kept. Who asks, waits, and takes settings over is the daemon.

pub mod message;
mod rules;
mod store;

use std::collections::BTreeMap;
use std::path::Path;

use cic_kiosk::config::Config;
use jiff::Timestamp;
use toml::Table;

use self::message::{Code, Desired, Level, LevelReport, Refusal, Reported, Status, shown};
use self::store::{Kept, Levels, Store, Trial};
use super::anomalies::Anomalies;
use super::presence::{Versions, shown as time};
use crate::mqtt::MAX_LETTER;

/// Starts that are tried with settings with which none has succeeded.
const MOST_STARTS: u32 = 3;

/// Takes settings over: these, laid over the kiosk's own. Gives the keys that need a restart.
pub type Apply<'a> = &'a dyn Fn(&Table) -> Result<Vec<String>, String>;

/// The settings from afar of one kiosk.
#[derive(Debug)]
pub struct Configuration {
    kept: Kept,
    store: Store,
    anomalies: Anomalies,
    /// Why the last message of each level was refused.
    refused: Levels<Refusal>,
    needs_restart: Vec<String>,
}

impl Configuration {
    /// What the state folder keeps, as far as it may be in force at a kiosk with this configuration;
    /// and the configuration with it. This counts as one try to start.
    pub fn open(state: &Path, here: &Config, anomalies: Anomalies) -> (Self, Config) {
        let store = Store::new(state);
        let kept = store.load();
        let refused = kept.tried.clone();
        let needs_restart = Vec::new();
        let mut it = Self { kept, store, anomalies, refused, needs_restart };
        if let Some(trial) = &mut it.kept.trial {
            if trial.starts >= MOST_STARTS {
                let reason = format!("{MOST_STARTS} starts of the program failed with it");
                it.give_up(Code::NotStarted, &reason);
            } else {
                trial.starts += 1;
            }
            // Where the disk does not take it, it is tried once more than it should be.
            it.save_or_log();
        }
        let config = it.fit(here);
        (it, config)
    }

    /// Drops what may not be in force, or cannot, at a kiosk with this configuration; gives the
    /// configuration with the rest.
    pub fn fit(&mut self, here: &Config) -> Config {
        let mut fitting = Levels::default();
        let mut config = here.clone();
        for level in Level::ALL {
            let Some(desired) = self.kept.levels.get(level).cloned() else { continue };
            let mut with = fitting.clone();
            with.set(level, Some(desired.clone()));
            let judged = allowed(here).and_then(|()| judge(&desired, here));
            match judged.and_then(|()| over(here, &with, desired.version)) {
                Ok(merged) => (fitting, config) = (with, merged),
                Err(refusal) => {
                    log::error!(
                        "settings from afar ({}, version {}) are not in force any more: {}",
                        level.name(),
                        desired.version,
                        refusal.reason
                    );
                    self.refuse(level, refusal);
                }
            }
        }
        self.kept.levels = fitting;
        config
    }

    /// The program is ready: it could be started with what there is.
    pub fn started(&mut self) {
        if let Some(trial) = &mut self.kept.trial {
            (trial.start, trial.starts) = (false, 0);
            self.end_trial();
            self.save_or_log();
        }
    }

    /// The broker was reached with the settings that are in force.
    pub fn reached(&mut self) {
        if let Some(trial) = self.kept.trial.as_mut().filter(|trial| trial.reach) {
            trial.reach = false;
            self.end_trial();
            self.save_or_log();
            log::info!("the broker was reached with settings from afar; they stay");
        }
    }

    /// Whether the settings that are in force must yet show that the broker is reached with them.
    pub fn must_reach(&self) -> bool {
        self.kept.trial.as_ref().is_some_and(|trial| trial.reach)
    }

    /// The broker was not reached in time: what was before is in force again.
    pub fn roll_back(&mut self, apply: Apply) {
        let reason = "the broker was not reached with it in fleet.trial_seconds; publish it again \
                      under a higher version once it can be";
        self.give_up(Code::Unreachable, reason);
        self.save_or_log();
        self.apply_or_log(apply);
    }

    /// What was in force before the last message that was taken over is again; that is not tried
    /// again under its version.
    ///
    /// # Errors
    /// Why it is not, and nothing was changed.
    pub fn go_back(&mut self, here: &Config, apply: Apply) -> Result<(), Refusal> {
        let no = |reason: &str| Err(Refusal::new(Code::NotApplied, reason));
        if self.must_reach() {
            return no("settings are on trial: they are taken back if the broker is not reached");
        }
        let Some(levels) = self.kept.previous.clone().filter(|it| *it != self.kept.levels) else {
            return no("there are none before those that are in force");
        };
        let old = over(here, &self.kept.levels, 0).unwrap_or_else(|_| here.clone());
        let new = over(here, &levels, 0)?;
        let reason = "a command took it back; publish it again under a higher version";
        let mut tried = self.kept.tried.clone();
        let left = self.kept.levels.differing(&levels);
        for (level, version) in &left {
            let refusal = Refusal::new(Code::RolledBack, reason);
            tried.set(*level, Some(Refusal { version: Some(*version), ..refusal }));
        }
        let kept = Kept { levels, previous: None, tried, trial: None };
        self.try_out(kept, new.mqtt != old.mqtt, apply)?;
        for (level, version) in left {
            log::warn!("settings from afar ({}, version {version}): {reason}", level.name());
            self.refused.set(level, self.kept.tried.get(level).cloned());
        }
        self.anomalies.count("configurations_rolled_back");
        Ok(())
    }

    /// The kiosk's own settings have changed.
    pub fn fit_again(&mut self, here: &Config, apply: Apply) {
        let before = self.kept.levels.clone();
        self.fit(here);
        if self.kept.levels != before {
            self.save_or_log();
        }
        self.apply_or_log(apply);
    }

    /// A message came, or one that is larger than is taken in. Whether there is something new to
    /// report.
    pub fn take(
        &mut self,
        level: Level,
        message: Result<&[u8], usize>,
        here: &Config,
        apply: Apply,
    ) -> bool {
        // What is cleared at the broker is not heard of by who is away: it means nothing.
        if message == Ok(&[]) {
            return false;
        }
        let taken = message
            .map_err(|bytes| {
                let reason = format!("{bytes} bytes are more than the {MAX_LETTER} that are taken");
                Refusal::new(Code::TooLarge, reason)
            })
            .and_then(Desired::parse)
            .and_then(|desired| self.consider(level, desired, here, apply));
        match taken {
            Ok(is_new) => is_new,
            Err(refusal) => {
                log::warn!(
                    "settings from afar ({}) are refused: {}{}",
                    level.name(),
                    refusal.reason,
                    refusal.keys.keys().fold(String::new(), |all, key| all + " " + key)
                );
                self.refuse(level, refusal);
                true
            }
        }
    }

    fn consider(
        &mut self,
        level: Level,
        desired: Desired,
        here: &Config,
        apply: Apply,
    ) -> Result<bool, Refusal> {
        let version = desired.version;
        let refuse = |code, reason: &str| {
            Err(Refusal { version: Some(version), ..Refusal::new(code, reason) })
        };
        allowed(here).map_err(|refusal| Refusal { version: Some(version), ..refusal })?;
        match self.kept.levels.get(level) {
            Some(known) if *known == desired => {
                // What was refused meanwhile is not wanted any more.
                let was_refused = self.refused.get(level).is_some();
                self.refused.set(level, None);
                return Ok(was_refused);
            }
            Some(known) if known.version == version => {
                return refuse(
                    Code::Conflict,
                    "another content of this version is in force: publish it under a higher one",
                );
            }
            Some(known) if known.version > version => {
                let reason = format!("version {} is in force", known.version);
                return refuse(Code::Outdated, &reason);
            }
            _ => {}
        }
        match self.kept.tried.get(level) {
            Some(tried) if tried.version == Some(version) => return Err(tried.clone()),
            Some(tried) if tried.version > Some(version) => {
                let tried = tried.version.unwrap_or_default();
                return refuse(Code::Outdated, &format!("version {tried} was tried after it"));
            }
            _ => {}
        }
        judge(&desired, here)?;
        let mut levels = self.kept.levels.clone();
        levels.set(level, Some(desired));
        let new = over(here, &levels, version)?;
        let old = over(here, &self.kept.levels, version).unwrap_or_else(|_| here.clone());
        let kept = Kept {
            levels,
            previous: Some(self.kept.levels.clone()),
            tried: self.kept.tried.with(level, None),
            trial: None,
        };
        self.try_out(kept, new.mqtt != old.mqtt, apply)
            .map_err(|refusal| Refusal { version: Some(version), ..refusal })?;
        self.refused.set(level, None);
        log::info!("settings from afar ({}, version {version}) are taken over", level.name());
        Ok(true)
    }

    /// Keeps the new settings, takes them over, and remembers what was before until they have shown
    /// what they have to.
    fn try_out(&mut self, kept: Kept, reach: bool, apply: Apply) -> Result<(), Refusal> {
        let before = self.kept.clone();
        // What was before the first of several that have shown nothing yet.
        let mut trial = self
            .kept
            .trial
            .take()
            .unwrap_or_else(|| Trial { before: before.levels.clone(), ..Trial::default() });
        // What is known of a restart is known when they are taken over: until then, it is needed.
        (trial.reach, trial.start) = (trial.reach || reach, true);
        let is_pending = before.trial.as_ref().is_some_and(|trial| trial.start);
        self.kept = Kept { trial: Some(trial), ..kept };
        let stored = self.store.save(&self.kept).map_err(|error| {
            let reason = format!("the kiosk's disk does not take it: {error}");
            Refusal::new(Code::NotStored, reason)
        });
        let applied = stored.and_then(|()| {
            apply(&self.kept.levels.merged())
                .map_err(|reason| Refusal::new(Code::NotApplied, reason))
        });
        match applied {
            Ok(needs_restart) => {
                if let Some(trial) = &mut self.kept.trial {
                    trial.start = is_pending || !needs_restart.is_empty();
                }
                self.needs_restart = needs_restart;
                if self.end_trial() {
                    self.save_or_log();
                }
                Ok(())
            }
            Err(refusal) => {
                self.kept = before;
                self.save_or_log();
                Err(refusal)
            }
        }
    }

    /// Ends the trial if there is nothing left to show. Whether it has.
    fn end_trial(&mut self) -> bool {
        let ends = self.kept.trial.as_ref().is_some_and(|trial| !trial.reach && !trial.start);
        if ends {
            self.kept.trial = None;
        }
        ends
    }

    /// Goes back to what was before the trial.
    fn give_up(&mut self, code: Code, reason: &str) {
        let Some(trial) = self.kept.trial.take() else { return };
        let tried = std::mem::replace(&mut self.kept.levels, trial.before);
        for level in Level::ALL {
            let (tried, now) = (tried.get(level), self.kept.levels.get(level));
            let Some(tried) = tried.filter(|tried| Some(*tried) != now) else { continue };
            let refusal = Refusal { version: Some(tried.version), ..Refusal::new(code, reason) };
            log::error!(
                "settings from afar ({}, version {}) are taken back: {reason}",
                level.name(),
                tried.version
            );
            self.kept.tried.set(level, Some(refusal.clone()));
            self.refused.set(level, Some(refusal));
        }
        self.anomalies.count("configurations_rolled_back");
    }

    fn refuse(&mut self, level: Level, refusal: Refusal) {
        self.anomalies.count("configurations_refused");
        self.refused.set(level, Some(refusal));
    }

    fn apply_or_log(&mut self, apply: Apply) {
        match apply(&self.kept.levels.merged()) {
            Ok(needs_restart) => self.needs_restart = needs_restart,
            Err(error) => log::error!("settings cannot be taken over: {error}"),
        }
    }

    fn save_or_log(&self) {
        if let Err(error) = self.store.save(&self.kept) {
            log::error!("what is known of settings from afar cannot be kept: {error}");
        }
    }

    /// Which versions are in force.
    pub fn versions(&self) -> Versions {
        self.kept.levels.versions()
    }

    /// What is in force from afar.
    pub fn settings(&self) -> Table {
        self.kept.levels.merged()
    }

    /// How things stand.
    pub fn reported(&self) -> Reported {
        let [all, branch, kiosk] = Level::ALL.map(|level| LevelReport {
            version: self.kept.levels.get(level).map(|desired| desired.version),
            refused: self.refused.get(level).cloned(),
        });
        let is_refused = [&all, &branch, &kiosk].iter().any(|level| level.refused.is_some());
        let status = match (self.must_reach(), is_refused) {
            (true, _) => Status::Trial,
            (false, true) => Status::Refused,
            (false, false) => Status::Applied,
        };
        Reported {
            at: time(Timestamp::now()),
            status,
            all,
            branch,
            kiosk,
            settings: self.settings(),
            needs_restart: self.needs_restart.clone(),
        }
    }
}

fn allowed(here: &Config) -> Result<(), Refusal> {
    if here.fleet.configuration {
        return Ok(());
    }
    let reason = "this kiosk takes no settings from afar: fleet.configuration is false there";
    Err(Refusal::new(Code::Disabled, reason))
}

/// Each key by itself.
fn judge(desired: &Desired, here: &Config) -> Result<(), Refusal> {
    let judged = desired.keys().filter_map(|(key, value)| {
        let reason = rules::judge(&key, value, here).err()?;
        Some((shown(&key), reason))
    });
    let keys: BTreeMap<_, _> = judged.collect();
    if keys.is_empty() { Ok(()) } else { Err(Refusal::of_keys(desired.version, keys)) }
}

/// The kiosk's settings with these over them, if they agree with each other.
fn over(here: &Config, levels: &Levels<Desired>, version: u64) -> Result<Config, Refusal> {
    here.with(&levels.merged()).map_err(|error| Refusal {
        version: Some(version),
        ..Refusal::new(Code::Contradiction, error.to_string())
    })
}

#[cfg(test)]
mod tests;
