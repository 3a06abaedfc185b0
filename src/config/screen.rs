//! The kiosk's touch screen.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::positive;

/// The touch screen, which the program serves pages for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Screen {
    /// Whether there is one. Pages from devices are then taken with a customer's consent only, and
    /// nothing is sent before the customer has seen what was read. Default false.
    pub enabled: bool,
    /// Where its pages are served: on this machine alone; port 0 takes a free one. Default
    /// `127.0.0.1:8081`.
    #[serde(deserialize_with = "loopback")]
    pub listen: SocketAddr,
    /// Seconds without a touch or a page after which everything is forgotten and the screen begins
    /// anew; 20 seconds before, it asks whether somebody is there. Default 90, at least 30.
    #[serde(deserialize_with = "long_enough")]
    pub idle_seconds: NonZeroU32,
    /// Seconds that its last page stays. Default 15.
    pub done_seconds: NonZeroU32,
    /// Names of the keys (`cic-kiosk keys add`) that technicians log in with at `/admin`; without
    /// one there is no such page. Default none.
    pub admins: Vec<String>,
    /// Whether technicians may see what was read of scans that are still kept; each look is on
    /// record. Default false.
    pub show_values: bool,
}

/// The least of `idle_seconds`: who is asked whether they are there needs time to answer.
const LEAST_IDLE: u32 = 30;

impl Screen {
    /// How long nobody does anything before everything is forgotten.
    pub fn idle_time(&self) -> Duration {
        Duration::from_secs(self.idle_seconds.get().into())
    }

    /// How long the last page stays.
    pub fn done_time(&self) -> Duration {
        Duration::from_secs(self.done_seconds.get().into())
    }
}

impl Default for Screen {
    fn default() -> Self {
        Self {
            enabled: false,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)),
            idle_seconds: positive(90),
            done_seconds: positive(15),
            admins: Vec::new(),
            show_values: false,
        }
    }
}

fn loopback<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let address = SocketAddr::deserialize(deserializer)?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(serde::de::Error::custom(
        "the screen is served to this machine alone: expected a loopback address, as 127.0.0.1:8081",
    ))
}

fn long_enough<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NonZeroU32, D::Error> {
    let seconds = NonZeroU32::deserialize(deserializer)?;
    if seconds.get() >= LEAST_IDLE {
        return Ok(seconds);
    }
    Err(serde::de::Error::custom(format!("expected {LEAST_IDLE} or more seconds")))
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn screen_is_served_to_this_machine_alone_and_leaves_time_to_answer() {
        let parse = |text: &str| Config::parse(&format!("[screen]\n{text}"));
        assert!(parse("listen = \"[::1]:0\"\nidle_seconds = 30").is_ok());
        let error = parse("listen = \"0.0.0.0:8081\"").unwrap_err().to_string();
        assert!(error.contains("loopback"), "{error}");
        assert!(parse("idle_seconds = 29").unwrap_err().to_string().contains("30 or more"));
    }
}
