//! The devices that a configuration sets up.

use cic_kiosk::config::Config;

use super::{Fault, PageSource, Port, Source};

/// A device that is set up.
pub enum Device {}

impl Device {
    /// The one of this name, whether or not it is enabled.
    ///
    /// # Errors
    /// Which setting is wrong.
    pub fn named(name: Source, config: &Config) -> Result<Self, String> {
        let _ = config;
        Err(format!("{} is no device", name.as_str()))
    }
}

impl PageSource for Device {
    async fn capture(&mut self, _: &mut Port) -> Result<(), Fault> {
        match *self {}
    }
}
