//! The contract's HTTP API, and what an operator asks: health, metrics, documentation.
//!
//! Promises:
//! - A program written for the cloud service works with another address and other keys.
//! - Every answer is the contract's JSON, whatever was asked, as long as the question was HTTP; and a
//!   client that goes away stops the work for it.
//! - Nobody gets far without a key: the document is looked at after the key.
//! - Memory is bounded: by the [`gate`] for documents, by limits for everything else.
//! - No value of a paper, no address and no secret reaches a log, a metric or an error's text.
//!
//! [`router`] makes the whole API, to be served here by [`server`] or mounted elsewhere.

mod answer;
mod contract;
mod crowd;
#[cfg(feature = "explorer")]
mod docs;
pub mod fetch;
pub mod gate;
mod intake;
mod metrics;
mod openapi;
pub mod server;

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use axum::middleware::{self, Next};
use axum::routing::get;
use axum::{Json, Router};
use cic_kiosk::config::{Config, Http};
use cic_kiosk::page::Limits;
use jiff::{ToSpan, ZonedDateTime};
use prometheus_client::collector::Collector;
use serde_json::json;
use tokio::sync::Semaphore;
use ulid::Ulid;

use crate::keys::KeyStore;
use crate::reading::Reader;
use crate::scan::Desk;
use answer::Refusal;
use fetch::{Allowed, Fetcher};
use gate::{Gate, Most};
use metrics::Metrics;

/// Where it was, the program's panic hook has said.
const PANIC: &str = "a panic";

/// The contract's path.
pub const CREDIT_REPORT: &str = "/api/v2/ocr/document/credit_report";

/// What the API works with.
pub struct Api {
    reader: Arc<Reader>,
    keys: Arc<KeyStore>,
    fetcher: Fetcher,
    gate: Arc<Gate>,
    metrics: Metrics,
    /// Keys that are being verified for the first time: a flood of wrong ones must not take all
    /// threads.
    verifying: Semaphore,
    settings: Http,
    limits: Limits,
    /// On a kiosk, the branch is told of what is read here.
    desk: Option<Arc<Desk>>,
    stopping: AtomicBool,
}

/// What makes the API a kiosk's.
pub struct Kiosk {
    /// Tells the branch of what is read.
    pub desk: Arc<Desk>,
    /// The kiosk's figures beside the API's own.
    pub figures: Box<dyn Collector>,
}

/// A hash is computed for each, one at a time, which takes some tens of milliseconds.
const MOST_VERIFYING: usize = 64;

/// How often records that are too old are looked for.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Api {
    /// An API that reads with this reader.
    pub fn new(
        reader: Arc<Reader>,
        keys: Arc<KeyStore>,
        fetcher: Fetcher,
        settings: Http,
        limits: Limits,
        kiosk: Option<Kiosk>,
    ) -> Arc<Self> {
        let gate = Gate::new(Most {
            workers: settings.workers.map_or_else(|| reader.threads(), usize::from),
            queue: settings.queue,
            bytes: settings.max_held_bytes,
        });
        let (desk, figures) = kiosk.map(|Kiosk { desk, figures }| (desk, figures)).unzip();
        let metrics = Metrics::new(&gate, figures);
        Arc::new(Self {
            reader,
            keys,
            fetcher,
            gate,
            metrics,
            verifying: Semaphore::new(MOST_VERIFYING),
            settings,
            limits,
            desk,
            stopping: AtomicBool::new(false),
        })
    }

    /// Who may use it.
    pub fn keys(&self) -> Arc<KeyStore> {
        Arc::clone(&self.keys)
    }

    /// Forgets the records of uses that are too old, now and once a day, for as long as it is
    /// polled.
    pub async fn keep_house(&self) {
        let mut days = tokio::time::interval(DAY);
        loop {
            days.tick().await;
            let (keys, days) = (Arc::clone(&self.keys), self.settings.audit_days.get());
            let forgotten = blocking(move || {
                let oldest = ZonedDateTime::now().checked_sub(i64::from(days).days());
                let oldest = oldest.map_err(|error| error.to_string())?.date();
                keys.forget_uses_before(oldest).map_err(|error| error.to_string())
            });
            match forgotten.await {
                Ok(0) => {}
                Ok(count) => log::info!("forgot {count} uses of keys, older than {days} days"),
                Err(error) => log::error!("cannot forget old uses of keys: {error}"),
            }
        }
    }

    /// From now on the API says that it is not ready, so that nobody sends more.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}

/// A fetcher of documents within the configuration's limits, which may ask these hosts, too.
pub fn fetcher(
    config: &Config,
    mut allowed: Vec<Allowed>,
) -> Result<Fetcher, Box<dyn Error + Send + Sync>> {
    for entry in &config.url.allow {
        let entry = entry.parse().map_err(|error| format!("allow in [url]: {error}"))?;
        allowed.push(entry);
    }
    let read = |path: &PathBuf| {
        fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    let authorities = config.url.authorities.as_ref().map(read).transpose()?;
    let limits = fetch::Limits {
        max_bytes: config.limits.max_bytes,
        max_time: config.url.max_time(),
        max_redirects: config.url.max_redirects,
        ..fetch::Limits::default()
    };
    Ok(Fetcher::new(allowed, limits, authorities.as_deref())?)
}

/// The whole API.
pub fn router(api: Arc<Api>) -> Router {
    let secure = api.settings.tls.is_some();
    let routes = Router::new()
        .route(
            CREDIT_REPORT,
            get(contract::credit_report).post(contract::credit_report).head(no_head),
        )
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .route("/openapi.json", get(openapi::document));
    #[cfg(feature = "explorer")]
    let routes = routes.merge(docs::router());
    routes
        .fallback(async || Refusal::NoSuchPath.into_response(Ulid::new()))
        .method_not_allowed_fallback(async || Refusal::NoSuchMethod.into_response(Ulid::new()))
        .layer(middleware::from_fn(move |request, next| guard(secure, request, next)))
        .with_state(api)
}

/// A HEAD comes with every GET, but this one would read a document and show nothing of it.
async fn no_head() -> Response<Body> {
    let mut response = Refusal::NoSuchMethod.into_response(Ulid::new());
    put(response.headers_mut(), header::ALLOW, "GET, POST");
    response
}

/// Headers that keep an answer where it belongs: no cache, no frame, no guessing of types.
async fn guard(secure: bool, request: Request, next: Next) -> Response<Body> {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    put(headers, header::CACHE_CONTROL, "no-store");
    put(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    put(headers, header::X_FRAME_OPTIONS, "DENY");
    put(headers, header::REFERRER_POLICY, "no-referrer");
    put(headers, header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    put(headers, HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if secure {
        put(headers, header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    response
}

/// Sets a header that is not set yet.
fn put(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.entry(name).or_insert(HeaderValue::from_static(value));
}

/// Whether the program runs.
async fn healthz() -> Json<serde_json::Value> {
    Json(json!({"status": "ok"}))
}

/// Whether it can take documents: the models are loaded or found before anything is served, so what
/// is left is the file of keys, the outbox on a kiosk, and that the end is not near.
async fn readyz(State(api): State<Arc<Api>>) -> (StatusCode, Json<serde_json::Value>) {
    let stopping = api.stopping.load(Ordering::Relaxed);
    let keys = Arc::clone(&api.keys);
    let keys = blocking(move || keys.ping().map_err(|error| error.to_string())).await;
    if let Err(cause) = &keys {
        log::error!("the keys are not to be had: {cause}");
    }
    let outbox = match &api.desk {
        Some(desk) => Some(desk.accepts().await),
        None => None,
    };
    let well = keys.is_ok() && outbox != Some(false) && !stopping;
    let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if well { "ready" } else { "not ready" };
    let mut body = json!({"status": word, "keys": keys.is_ok(), "stopping": stopping});
    if let Some(outbox) = outbox {
        body["outbox"] = outbox.into();
    }
    (status, Json(body))
}

async fn metrics_text(State(api): State<Arc<Api>>) -> ([(HeaderName, &'static str); 1], String) {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], api.metrics.text())
}

/// Runs work that waits or computes on a thread where nobody else is kept waiting by it. A panic
/// there is an error here.
async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<String> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(E::from(PANIC.to_owned())),
    }
}
