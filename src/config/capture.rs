//! What holds for all devices that pages are taken with.

use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::positive;

/// Pages on their way from a device to a scan.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Capture {
    /// Times that a page which is not good enough (`quality`) is asked for again, before it is taken
    /// as it is. Default 2.
    pub asks: u32,
    /// Seconds without another page after which a scan is complete. Default 30.
    pub idle_seconds: NonZeroU32,
}

impl Capture {
    /// How long after its last page a scan is complete.
    pub fn idle_time(&self) -> Duration {
        Duration::from_secs(self.idle_seconds.get().into())
    }
}

impl Default for Capture {
    fn default() -> Self {
        Self { asks: 2, idle_seconds: positive(30) }
    }
}
