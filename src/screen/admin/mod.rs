//! The technician's view of the kiosk.
//!
//! Promises:
//! - Nothing but the form to log in is shown to who has not logged in with a key that the
//!   configuration names; see [`session`].
//! - No personal value is on any page, unless `screen.show_values` allows it; then each look is on
//!   the disk, with the key's name, before anything is shown.
//! - It changes nothing of the kiosk: a configuration can be proposed, and an operator puts it in
//!   force.
//! - It counts nothing itself: the figures are the ones that the fleet gets.
//! - It costs nothing while nobody has a page open.

mod camera;
mod charts;
mod configuration;
mod doctor;
mod frame;
mod lines;
mod live;
mod overview;
mod scans;
mod session;
mod test;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};
use cic_kiosk::config::{Config, Loaded};
use serde_json::Value as Json;
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use toml::Table;

pub use session::Sessions;

use crate::capture::Sources;
use crate::fleet::presence::Birth;
use crate::fleet::telemetry::Telemetry;
use crate::keys::KeyStore;
use crate::mqtt::LinkState;
use crate::outbox::Outbox;
use crate::scan::Desk;
use crate::screen::Visits;
use crate::updates::golden::Tried;

/// What the technician's pages are made of.
pub struct Deck {
    /// What is in force.
    pub settings: watch::Receiver<Arc<Config>>,
    /// Who may log in, and who looked at what.
    pub keys: Arc<KeyStore>,
    /// Who has.
    pub sessions: Sessions,
    /// Keys that are being verified: a flood of wrong ones must not take all threads.
    pub verifying: Semaphore,
    /// What takes a machine's time is done one after the other.
    pub working: Semaphore,
    /// The latest scans.
    pub outbox: Outbox,
    /// What was counted of scans.
    pub desk: Arc<Desk>,
    /// The devices.
    pub sources: Sources,
    /// While a customer is there, nobody else looks through the camera.
    pub visits: Visits,
    /// What the kiosk is.
    pub birth: watch::Receiver<Birth>,
    /// The connection with the broker.
    pub link: watch::Receiver<LinkState>,
    /// What the rest of the program does for it.
    pub means: Means,
    /// The last picture that was taken to be looked at, until it was.
    pub still: Mutex<Option<Arc<[u8]>>>,
    /// Streams end when this is cancelled.
    pub stop: CancellationToken,
}

impl Deck {
    /// See [`Deck::verifying`]. A hash is computed for one at a time.
    pub const MOST_VERIFYING: usize = 4;

    /// Where a proposed configuration is kept.
    fn proposed(&self) -> PathBuf {
        self.settings.borrow().kiosk.state.join("proposed.toml")
    }
}

/// Something that comes in a while, or why it does not.
pub type Awaited<T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send>>;

/// Keys of a configuration.
pub type KeysOf = Box<dyn Fn(&Config) -> Vec<String> + Send + Sync>;

/// What the rest of the program does for the technician's pages.
pub struct Means {
    /// All figures, as they are now.
    pub telemetry: Box<dyn Fn() -> Telemetry + Send + Sync>,
    /// What is set, and where. Reads files: blocks.
    pub configuration: Box<dyn Fn() -> InForce + Send + Sync>,
    /// The keys of a configuration that would take a restart to be in force.
    pub needs_restart: KeysOf,
    /// What the doctor finds, as `doctor --json` prints it.
    pub doctor: Box<dyn Fn() -> Awaited<Json> + Send + Sync>,
    /// The newest lines of the log of at least this priority, oldest first.
    pub log: Box<dyn Fn(&'static str) -> Awaited<String> + Send + Sync>,
    /// Reads the built-in golden page.
    pub selftest: Box<dyn Fn() -> Awaited<Tried> + Send + Sync>,
    /// The built-in golden page, as a file.
    pub golden: Box<dyn Fn() -> Awaited<Vec<u8>> + Send + Sync>,
}

/// What is set, and where.
pub struct InForce {
    /// What is in force.
    pub config: Arc<Config>,
    /// The kiosk's own configuration as its files are now, or what is wrong with them.
    pub files: Result<Loaded, String>,
    /// Settings from afar that lie over it.
    pub afar: Table,
}

/// The technician's pages.
pub fn router(deck: Arc<Deck>) -> Router {
    Router::new()
        .route("/admin", get(overview::page))
        .route("/admin/charts", get(charts::page))
        .route("/admin/scans", get(scans::page))
        .route("/admin/scans/{id}", post(scans::look))
        .route("/admin/camera", get(camera::page))
        .route(camera::PICTURE, get(camera::picture))
        .route("/admin/test", get(test::page).post(test::run))
        .route("/admin/test/page", get(test::golden))
        .route("/admin/test/picture", post(test::still))
        .route("/admin/test/picture.jpg", get(test::picture))
        .route("/admin/log", get(lines::page))
        .route("/admin/configuration", get(configuration::page).post(configuration::judge))
        .route("/admin/configuration/withdraw", post(configuration::withdraw))
        .route("/admin/doctor", get(doctor::page).post(doctor::run))
        .route(live::PATH, get(live::events))
        .route("/admin/logout", post(session::log_out))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&deck), session::guard))
        .route("/admin/login", get(session::form).post(session::log_in))
        .with_state(deck)
}

/// Does what blocks where it keeps nobody waiting.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, frame::Trouble> {
    spawn_blocking(work).await.map_err(|_| frame::Trouble::internal("a defect of the program"))
}
