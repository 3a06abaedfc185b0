//! What the technician's view shows and does, put together.

use std::ffi::OsString;
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;

use super::commands::{diagnostics, journal};
use super::figures::Figures;
use super::models::Models;
use super::supervisor::Failure;
use super::{Daemon, Load};
use crate::capture::Sources;
use crate::http::Api;
use crate::keys::KeyStore;
use crate::screen::Deck;
use crate::screen::admin::{InForce, Means, Sessions};

/// The newest lines of the log that are shown.
const MOST_LINES: usize = 500;

/// What the rest of the daemon has for it.
pub(super) struct Parts<'a> {
    pub(super) api: Option<&'a Api>,
    pub(super) figures: &'a Figures,
    pub(super) sources: Sources,
    pub(super) models: Models,
    /// What the doctor is to be called with.
    pub(super) doctor: Vec<OsString>,
    pub(super) load: Load,
}

impl Daemon {
    /// The technician's view, where somebody may log in.
    pub(super) fn deck(&self, parts: Parts<'_>) -> Result<Option<Deck>, Failure> {
        let Parts { api, figures, sources, models, doctor, load } = parts;
        let config = Arc::clone(&self.settings.borrow());
        let Some(visits) = self.visits.clone().filter(|_| !config.screen.admins.is_empty()) else {
            return Ok(None);
        };
        let keys = match api {
            Some(api) => api.keys(),
            None => {
                let state = config.http.state.as_deref().unwrap_or(&config.kiosk.state);
                Arc::new(KeyStore::create(state)?)
            }
        };
        let (telemetry, control, golden) = (figures.clone(), self.control.clone(), models.clone());
        let judge = self.control.clone();
        let means = Means {
            telemetry: Box::new(move || telemetry.telemetry()),
            configuration: Box::new(move || InForce {
                config: control.now(),
                files: load().map_err(|error| error.to_string()),
                afar: control.afar(),
            }),
            needs_restart: Box::new(move |new| judge.needs_restart(new)),
            doctor: Box::new(move || Box::pin(diagnostics::doctor(doctor.clone()))),
            log: Box::new(|priority| {
                Box::pin(async move {
                    let lines = journal::lines(None, None, Some(priority), MOST_LINES).await;
                    lines.map(|lines| lines.text).map_err(|failure| failure.to_string())
                })
            }),
            selftest: Box::new(move || {
                let models = models.clone();
                Box::pin(async move { models.test().await })
            }),
            golden: Box::new(move || {
                let models = golden.clone();
                Box::pin(async move { models.golden_page().await })
            }),
        };
        Ok(Some(Deck {
            settings: self.settings.subscribe(),
            keys,
            sessions: Sessions::default(),
            verifying: Semaphore::new(Deck::MOST_VERIFYING),
            working: Semaphore::new(1),
            outbox: self.outbox.clone(),
            desk: Arc::clone(&self.desk),
            sources,
            visits,
            birth: self.post.birth(),
            link: figures.link(),
            means,
            still: Mutex::default(),
            stop: self.stop.clone(),
        }))
    }
}
