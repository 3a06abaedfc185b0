//! What the fleet is told, and what it may tell the kiosk.

use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Broker, positive};

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
