//! A new configuration while the program runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use cic_kiosk::config::Config;
use toml::{Table, Value};

use super::{Daemon, Load, cloud};

impl Daemon {
    /// Reads the configuration again and takes over what can change. One that is wrong changes
    /// nothing.
    pub(super) fn reload(&self, load: &Load) {
        let old = Arc::clone(&self.settings.borrow());
        let taken = load().and_then(|new| {
            let (new, left) = taken_over(&old, new);
            let cloud = if (&new.cloud, &new.decision) == (&old.cloud, &old.decision) {
                None
            } else {
                Some(cloud(&new, &self.credentials, &self.reader)?)
            };
            Ok((new, left, cloud))
        });
        let (new, left, cloud) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                log::error!("the new configuration is not taken over, the old one stays: {error}");
                return;
            }
        };
        if let Some(cloud) = cloud {
            self.desk.ask(cloud);
        }
        self.outbox.set_limits(new.outbox.clone());
        self.settings.send_replace(Arc::new(new));
        log::info!("the configuration was read again");
        if !left.is_empty() {
            log::warn!("changes that need a restart: {}", left.join(", "));
        }
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
    config.kiosk.attempts = new.kiosk.attempts;
    config.kiosk.drain_seconds = new.kiosk.drain_seconds;
    let left = differences(&config, &new);
    (config, left)
}

/// The keys in which two configurations differ.
fn differences(one: &Config, other: &Config) -> Vec<String> {
    // Everything in a configuration can be written as TOML.
    let [one, other] = [one, other].map(|config| Table::try_from(config).unwrap_or_default());
    let mut keys = Vec::new();
    for (section, settings) in &one {
        let [one, other] =
            [Some(settings), other.get(section)].map(|it| it.and_then(Value::as_table));
        let names = one.into_iter().chain(other).flat_map(Table::keys);
        for key in BTreeSet::from_iter(names) {
            if one.and_then(|it| it.get(key)) != other.and_then(|it| it.get(key)) {
                keys.push(format!("{section}.{key}"));
            }
        }
    }
    keys
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
