//! What the fleet is told, and what it may tell the kiosk.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Broker, Name, positive};

/// The most senders: what is remembered of each has its place.
const MOST_SENDERS: usize = 16;

/// More often, it would cost more than it tells.
const MIN_TELEMETRY: u32 = 5;

/// What the fleet is told, and what it may tell the kiosk.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Fleet {
    /// Seconds between two messages of telemetry; what somebody may have to do something about is
    /// told within 5 seconds. Default 60, at least 5.
    #[serde(deserialize_with = "telemetry")]
    #[schemars(range(min = MIN_TELEMETRY))]
    pub telemetry_seconds: u32,
    /// Whether settings from afar are taken over. Default true.
    pub configuration: bool,
    /// Brokers that settings from afar may lead to, beside that of `mqtt.broker` here: whoever may
    /// write them could lead the results elsewhere. None by default.
    pub brokers: Vec<Broker>,
    /// Seconds in which the broker must be reached with settings for it that came from afar, before
    /// those that were are in force again. Default 120.
    pub trial_seconds: NonZeroU32,
    /// Time server, `HOST:PORT`, whose clock the kiosk's is compared with. Without it, nobody's.
    pub time_server: Option<String>,
    /// Who may order what with commands: names of senders, as the broker's rules know them, with
    /// lists of `scan`, `identify`, `reload`, `restart`, `reboot`, `diagnostics`, `log`, `cloud`,
    /// `wipe`, `config-rollback`, `selftest`, `model-update` and `model-rollback`. Nobody may order
    /// anything by default; at most 16 senders.
    #[serde(deserialize_with = "senders")]
    pub senders: Senders,
}

/// Which kinds of commands are taken from whom.
pub type Senders = BTreeMap<Name, BTreeSet<CommandKind>>;

/// What a command orders.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum CommandKind {
    /// A source begins to scan.
    Scan,
    /// The panel's light shows which kiosk it is.
    Identify,
    /// The configuration is read again.
    Reload,
    /// The program is ended in order and started again.
    Restart,
    /// The machine is started again.
    Reboot,
    /// What helps to find out what is wrong is sent, without any value of a paper.
    Diagnostics,
    /// The program's log of a time is sent.
    Log,
    /// The cloud service is not asked any more, or is again.
    Cloud,
    /// All papers and results are erased.
    Wipe,
    /// The configuration from afar is the one before the last.
    ConfigRollback,
    /// The built-in golden page is read and compared with its truth.
    Selftest,
    /// A package of models is fetched, tried and read with.
    ModelUpdate,
    /// The models are those before the last.
    ModelRollback,
}

impl CommandKind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Scan,
        Self::Identify,
        Self::Reload,
        Self::Restart,
        Self::Reboot,
        Self::Diagnostics,
        Self::Log,
        Self::Cloud,
        Self::Wipe,
        Self::ConfigRollback,
        Self::Selftest,
        Self::ModelUpdate,
        Self::ModelRollback,
    ];

    /// As it is called.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Identify => "identify",
            Self::Reload => "reload",
            Self::Restart => "restart",
            Self::Reboot => "reboot",
            Self::Diagnostics => "diagnostics",
            Self::Log => "log",
            Self::Cloud => "cloud",
            Self::Wipe => "wipe",
            Self::ConfigRollback => "config-rollback",
            Self::Selftest => "selftest",
            Self::ModelUpdate => "model-update",
            Self::ModelRollback => "model-rollback",
        }
    }

    /// The one that is called so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl Fleet {
    /// Between two messages of telemetry.
    pub fn telemetry_time(&self) -> Duration {
        Duration::from_secs(self.telemetry_seconds.into())
    }

    /// In which the broker must be reached.
    pub fn trial_time(&self) -> Duration {
        Duration::from_secs(self.trial_seconds.get().into())
    }
}

impl Default for Fleet {
    fn default() -> Self {
        Self {
            telemetry_seconds: 60,
            configuration: true,
            brokers: Vec::new(),
            trial_seconds: positive(120),
            time_server: None,
            senders: Senders::new(),
        }
    }
}

fn telemetry<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let seconds = u32::deserialize(deserializer)?;
    if seconds >= MIN_TELEMETRY {
        Ok(seconds)
    } else {
        Err(serde::de::Error::custom(format!("expected at least {MIN_TELEMETRY}")))
    }
}

fn senders<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Senders, D::Error> {
    let senders = Senders::deserialize(deserializer)?;
    if senders.len() <= MOST_SENDERS {
        Ok(senders)
    } else {
        Err(serde::de::Error::custom(format!("expected at most {MOST_SENDERS} senders")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_called_in_the_configuration_as_everywhere() {
        for kind in CommandKind::ALL {
            assert_eq!(serde_json::json!(kind), kind.as_str());
            assert_eq!(CommandKind::named(kind.as_str()), Some(kind));
        }
    }

    #[test]
    fn senders_are_names_with_kinds_that_there_are_and_not_too_many() {
        let parsed = |senders: &str| toml::from_str::<Fleet>(&format!("[senders]\n{senders}"));
        let fleet = parsed("desk = [\"scan\", \"config-rollback\"]\nother = []").unwrap();
        let desk = &fleet.senders[&"desk".parse().unwrap()];
        assert_eq!(desk, &BTreeSet::from([CommandKind::Scan, CommandKind::ConfigRollback]));
        assert!(parsed("desk = [\"dance\"]").is_err());
        assert!(parsed("\"#\" = [\"scan\"]").is_err());
        let many: String = (0..17).map(|number| format!("s{number} = []\n")).collect();
        assert!(parsed(&many).unwrap_err().to_string().contains("at most 16"));
    }
}
