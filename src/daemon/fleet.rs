//! Tells the fleet how the kiosk does.

use std::sync::Arc;
use std::time::Duration;

use cic_kiosk::config::Config;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::figures::Figures;
use super::supervisor::Failure;
use super::{Daemon, LOOK};
use crate::fleet::clock;
use crate::mqtt::Post;

/// How often a time server is asked: a board's clock drifts by less than a second in that time.
const CLOCK: Duration = Duration::from_secs(15 * 60);

impl Daemon {
    /// Begins to publish telemetry, and to ask what time it is.
    pub(super) fn start_telemetry(&self, figures: &Figures) {
        let telling = Telling {
            post: self.post.clone(),
            topic: self.topics.telemetry(),
            figures: figures.clone(),
            settings: self.settings.subscribe(),
        };
        let stop = self.stop.clone();
        self.supervisor.start("telemetry", move |_| {
            let (telling, stop) = (telling.clone(), stop.clone());
            async move {
                tokio::select! {
                    told = telling.tell() => told,
                    () = stop.cancelled() => Ok(()),
                }
            }
        });
        let (figures, settings, stop) =
            (figures.clone(), self.settings.subscribe(), self.stop.clone());
        self.supervisor.start("clock", move |_| {
            let (figures, settings, stop) = (figures.clone(), settings.clone(), stop.clone());
            async move {
                tokio::select! {
                    asked = compare_clocks(figures, settings) => asked,
                    () = stop.cancelled() => Ok(()),
                }
            }
        });
    }
}

#[derive(Clone)]
struct Telling {
    post: Post,
    topic: String,
    figures: Figures,
    settings: watch::Receiver<Arc<Config>>,
}

impl Telling {
    /// Publishes at the interval that is set, when something has changed, and on each connection.
    async fn tell(mut self) -> Result<(), Failure> {
        let (mut link, mut looks) = (self.figures.link(), self.figures.looks());
        let mut told = Instant::now();
        let mut condition = None;
        let mut connections = 0;
        loop {
            let next = told + self.settings.borrow_and_update().fleet.telemetry_time();
            let (mut is_due, mut was_seen) = (false, false);
            tokio::select! {
                () = sleep_until(next) => is_due = true,
                looked = looks.changed() => {
                    looked?;
                    was_seen = true;
                }
                changed = link.changed() => changed?,
                changed = self.settings.changed() => changed?,
            }
            let (is_connected, number) = {
                let link = link.borrow_and_update();
                (link.connected_since.is_some(), link.connections)
            };
            if !is_connected {
                // It is told when there is somebody to tell.
                told = Instant::now();
                continue;
            }
            is_due |= number != connections;
            // The link changes with each result, too.
            if !is_due && !was_seen {
                continue;
            }
            let telemetry = self.figures.telemetry();
            let is_new = condition != Some(telemetry.condition());
            if is_due || is_new {
                self.post.put(self.topic.clone(), telemetry.json(), false);
                (told, connections) = (Instant::now(), number);
                condition = Some(telemetry.condition());
                let models_used = self.figures.models_used();
                self.post.change_birth(|birth| {
                    birth.provider = models_used.then(|| self.figures.provider().to_owned());
                });
            }
        }
    }
}

async fn compare_clocks(
    figures: Figures,
    mut settings: watch::Receiver<Arc<Config>>,
) -> Result<(), Failure> {
    let mut told = false;
    loop {
        let server = settings.borrow_and_update().fleet.time_server.clone();
        let offset = match &server {
            None => None,
            Some(server) => match clock::offset(server).await {
                Ok(offset) => {
                    told = false;
                    Some(offset)
                }
                Err(error) => {
                    if !told {
                        log::warn!("fleet.time_server does not tell the time: {error}");
                    }
                    told = true;
                    None
                }
            },
        };
        figures.clock_is_off_by(offset);
        let again =
            Instant::now() + if server.is_some() && offset.is_none() { 12 * LOOK } else { CLOCK };
        tokio::select! {
            () = sleep_until(again) => {}
            changed = settings.changed() => changed?,
        }
    }
}
