//! `run`: the service on the kiosk.

use std::sync::Arc;

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
            let mut loaded = source.load()?;
            reading.apply(&mut loaded.config);
            Ok(loaded)
        };
        daemon::run(Arc::new(load), self.config.arguments(), |places| {
            let named = |name: &str, at: Option<&str>| at.map(|at| format!("{name} {at}"));
            let places = [named("http", places.api), named("screen", places.screen)];
            let places: Vec<String> = places.into_iter().flatten().collect();
            let line = if places.is_empty() {
                "ready\n".to_owned()
            } else {
                format!("ready: {}\n", places.join(", "))
            };
            Ok(print(&line)?)
        })?;
        Ok(true)
    }
}
