//! `run`: the service on the kiosk.

use clap::Args;

use super::config::ConfigArgs;
use super::setup::ReadingArgs;
use super::{Outcome, print};
use crate::daemon;

/// Run the kiosk's service: take documents, read them, deliver the results over MQTT
///
/// Everything is set in the configuration; `cic-kiosk config example` shows it. When all is ready
/// it prints one line. SIGHUP reads the configuration again, SIGTERM ends it.
#[derive(Args)]
pub struct Run {
    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    reading: ReadingArgs,
}

impl Run {
    /// Runs until it is told to stop.
    pub fn run(&self) -> Outcome {
        let (source, reading) = (self.config.clone(), self.reading.clone());
        let load = move || {
            let mut config = source.load()?.config;
            reading.apply(&mut config);
            Ok(config)
        };
        daemon::run(Box::new(load), self.config.arguments(), |address| {
            let line = address.map_or("ready\n".to_owned(), |at| format!("ready: http {at}\n"));
            Ok(print(&line)?)
        })?;
        Ok(true)
    }
}
