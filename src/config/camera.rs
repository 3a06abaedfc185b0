//! The camera above the table.

use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::positive;

/// A camera that looks down on the paper (V4L2).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Camera {
    /// Whether pages are taken with it. Default false.
    pub enabled: bool,
    /// Which one: a name of `/dev/v4l/by-id` or `by-path`, or the card's name; without it, the only
    /// camera that there is.
    pub device: Option<String>,
    /// Pixels of the largest picture that is taken, width × height. Default 13 million: A4 at 300
    /// dpi has 9.
    pub max_pixels: u32,
    /// Looks at the table in a second. Default 4. Of what the camera can do, the largest picture is
    /// used that comes as often as that: fewer looks may allow a larger one.
    pub looks_per_second: NonZeroU32,
    /// Seconds for exposure, focus and white balance to settle: so long, at most, first frames are
    /// dropped, and paper has lain there before what was found is locked. Default 2.
    pub settle_seconds: NonZeroU32,
    /// Exposure in units of 100 µs; without it, automatic until it has settled, and then locked.
    pub exposure: Option<u32>,
    /// Focus in the camera's own units; without it, automatic until it has settled, then locked.
    pub focus: Option<u32>,
    /// White balance in kelvin; without it, automatic until it has settled, and then locked.
    pub white_balance: Option<u32>,
    /// Looks in a row that must show the same before a page is taken. Default 4.
    pub steady_looks: NonZeroU32,
    /// Seconds without a picture after which the camera counts as failing. Default 5.
    pub timeout_seconds: NonZeroU32,
}

impl Camera {
    /// Between two looks.
    pub fn look_time(&self) -> Duration {
        Duration::from_secs(1) / self.looks_per_second.get()
    }

    /// For exposure, focus and white balance to settle.
    pub fn settle_time(&self) -> Duration {
        Duration::from_secs(self.settle_seconds.get().into())
    }

    /// How long the camera may take for a picture.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.get().into())
    }
}

impl Default for Camera {
    fn default() -> Self {
        Self {
            enabled: false,
            device: None,
            max_pixels: 13_000_000,
            looks_per_second: positive(4),
            settle_seconds: positive(2),
            exposure: None,
            focus: None,
            white_balance: None,
            steady_looks: positive(4),
            timeout_seconds: positive(5),
        }
    }
}
