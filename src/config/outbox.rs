//! Results that wait for the broker, and documents that wait to be read.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::positive;

/// Results that wait for the broker, and documents that wait to be read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Outbox {
    /// Documents, results and dead letters, all together; beyond it no document is accepted. Default
    /// 100000.
    pub max_entries: NonZeroU64,
    /// Bytes of the file; beyond it no document is accepted. What was delivered is erased before that.
    /// Default 4 GiB.
    pub max_bytes: NonZeroU64,
    /// Bytes that must be free on the disk; with fewer no document is accepted, so that what was
    /// accepted can be finished. Default 64 MiB.
    pub min_free_bytes: u64,
    /// Days that a result may wait for the broker; while an older one waits, no document is
    /// accepted. Default 30.
    pub max_age_days: NonZeroU32,
    /// Hours that a result is kept after the broker has acknowledged it, unless its place is needed
    /// before. Default 24.
    pub keep_delivered_hours: u32,
}

impl Outbox {
    /// How long a result may wait for the broker.
    pub fn max_age(&self) -> Duration {
        Duration::from_secs(u64::from(self.max_age_days.get()) * 24 * 60 * 60)
    }

    /// How long a result is kept after the broker has acknowledged it.
    pub fn keep_delivered(&self) -> Duration {
        Duration::from_secs(u64::from(self.keep_delivered_hours) * 60 * 60)
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            max_entries: NonZeroU64::new(100_000).unwrap_or(NonZeroU64::MAX),
            max_bytes: NonZeroU64::new(4 << 30).unwrap_or(NonZeroU64::MAX),
            min_free_bytes: 64 << 20,
            max_age_days: positive(30),
            keep_delivered_hours: 24,
        }
    }
}
