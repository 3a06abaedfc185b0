//! The kiosk's panel: lamp, button, status light.

use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::positive;

/// Lamp, button and status light on lines of a GPIO chip. What is not named is not there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Panel {
    /// Label or name of the chip, as `gpiodetect` shows them; without it there is no panel.
    pub chip: Option<String>,
    /// The lamp over the table.
    pub lamp: Option<Line>,
    /// The button: short to begin or to take a page, long to end the scan. The board's own resistor
    /// must hold its line while it is not pressed.
    pub button: Option<Line>,
    /// The status light; with `red` beside it, its green half.
    pub light: Option<Line>,
    /// The status light's red half.
    pub red: Option<Line>,
    /// Milliseconds that the button must stay as it is to count. Default 30.
    pub debounce_ms: NonZeroU32,
    /// Milliseconds after which a press is a long one. Default 1500.
    pub long_press_ms: NonZeroU32,
}

/// A line of the chip.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Its name, or its offset.
    pub line: LineName,
    /// Whether it is on, or pressed, when it is low. Default false.
    #[serde(default)]
    pub active_low: bool,
}

/// What a line is called.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(extend("examples" = ["GPIO17"]))]
pub enum LineName {
    /// Its offset on the chip.
    Offset(u32),
    /// The name that the board's device tree gives it.
    Name(String),
}

impl Panel {
    /// How long the button must stay as it is to count.
    pub fn debounce_time(&self) -> Duration {
        Duration::from_millis(self.debounce_ms.get().into())
    }

    /// When a press is a long one.
    pub fn long_press_time(&self) -> Duration {
        Duration::from_millis(self.long_press_ms.get().into())
    }
}

impl Panel {
    /// Whether there is a status light.
    pub fn has_light(&self) -> bool {
        self.chip.is_some() && self.light.is_some()
    }
}

impl Default for Panel {
    fn default() -> Self {
        Self {
            chip: None,
            lamp: None,
            button: None,
            light: None,
            red: None,
            debounce_ms: positive(30),
            long_press_ms: positive(1500),
        }
    }
}
