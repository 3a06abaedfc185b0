//! Documents that programs on this machine hand in, over HTTP on a Unix socket.
//!
//! | request | what it does |
//! | --- | --- |
//! | `PUT /scans/{id}` | hands in a document, which is a scan by itself |
//! | `PUT /scans/{id}/pages/{n}` | hands in the n-th file of a scan, counted from 1 |
//! | `PUT /scans/{id}/pages` | says that all files of the scan are there |
//!
//! Beside them, `orders` has what the devices are told.
//!
//! `201` says that what was handed in is safe. The client makes the id (a ULID), so that who is not
//! sure whether something got through sends it again, and it stays one scan. Whoever may write to the
//! socket may hand in.

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Path as Segment, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::put;
use axum::{Json, Router};
use bytes::Bytes;
use jiff::Timestamp;
use rustls::RootCertStore;
use serde_json::json;
use tokio::net;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::orders;
use super::supervisor::Failure;
use crate::capture::{Order, Source, Sources};
use crate::http::fetch::bare_client;
use crate::outbox::{Notes, Outbox, OutboxError};

/// Documents on their way in at a time; each is held in memory until it is accepted.
const AT_A_TIME: usize = 4;

/// For a document to arrive. On one machine it takes a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// The socket's owner and group may hand in.
const MODE: u32 = 0o660;

struct Counter {
    outbox: Outbox,
    max_bytes: usize,
    room: Semaphore,
}

/// The socket, bound.
pub struct Socket {
    path: PathBuf,
    listener: UnixListener,
}

impl Socket {
    /// Binds it, in place of one that a killed program left behind.
    ///
    /// # Errors
    /// In a sentence.
    pub fn bind(path: &Path) -> Result<Self, Failure> {
        let listener = bind(path).map_err(|error| {
            format!("cannot listen on {}: {error}; check kiosk.socket", path.display())
        })?;
        Ok(Self { path: path.to_owned(), listener })
    }

    /// Serves it until `stop` is cancelled. When that failed, it can be served again.
    pub async fn serve(
        &self,
        outbox: Outbox,
        sources: Sources,
        max_bytes: usize,
        stop: CancellationToken,
    ) -> Result<(), Failure> {
        let listener = net::UnixListener::from_std(self.listener.try_clone()?)?;
        let counter = Counter { outbox, max_bytes, room: Semaphore::new(AT_A_TIME) };
        let router = Router::new()
            .route("/scans/{scan_id}", put(accept))
            .route("/scans/{scan_id}/pages/{number}", put(add))
            .route("/scans/{scan_id}/pages", put(complete))
            .with_state(Arc::new(counter))
            .merge(orders::router(sources));
        let path = self.path.clone();
        let end = async move {
            stop.cancelled().await;
            // Who finds no socket knows at once that nobody is there.
            let _ = fs::remove_file(path);
        };
        axum::serve(listener, router).with_graceful_shutdown(end).await?;
        Ok(())
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    if fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
        if UnixStream::connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Why a document is not accepted.
enum Refusal {
    NoId,
    NoNumber,
    TooLarge(usize),
    CutOff,
    TooSlow,
    Empty,
    Outbox(OutboxError),
}

impl From<OutboxError> for Refusal {
    fn from(error: OutboxError) -> Self {
        Self::Outbox(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, detail) = match self {
            Self::NoId => (
                StatusCode::BAD_REQUEST,
                "the scan's id must be a ULID: 26 characters of Crockford's base 32".to_owned(),
            ),
            Self::NoNumber => {
                (StatusCode::BAD_REQUEST, "a page's number must be a number from 1 on".to_owned())
            }
            Self::TooLarge(most) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the document is too large: more than {most} bytes (limits.max_bytes)"),
            ),
            Self::CutOff => {
                (StatusCode::BAD_REQUEST, "the document did not arrive whole; send it again".into())
            }
            Self::TooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                format!("the document did not arrive within {} s", PATIENCE.as_secs()),
            ),
            Self::Empty => (StatusCode::BAD_REQUEST, "the document is empty".to_owned()),
            Self::Outbox(error) => {
                log::error!("a document was not accepted: {error}");
                let status = match error {
                    OutboxError::PageMissing { .. } | OutboxError::Unknown { .. } => {
                        StatusCode::CONFLICT
                    }
                    _ => StatusCode::SERVICE_UNAVAILABLE,
                };
                (status, error.to_string())
            }
        };
        (status, Json(json!({"detail": detail}))).into_response()
    }
}

/// A scan's id in a path.
struct Id(Ulid);

impl Id {
    fn of(segment: &str) -> Result<Self, Refusal> {
        segment.parse().map(Self).map_err(|_| Refusal::NoId)
    }

    fn created(&self) -> Response {
        (StatusCode::CREATED, Json(json!({"scan_id": self.0.to_string()}))).into_response()
    }
}

async fn accept(
    State(counter): State<Arc<Counter>>,
    Segment(scan): Segment<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let scan = Id::of(&scan)?;
    // Nobody closes the semaphore; without a turn it would still be only more memory.
    let _turn = counter.room.acquire().await;
    let document = document(request, counter.max_bytes).await?;
    let (bytes, now) = (document.len(), Timestamp::now());
    counter.outbox.accept(scan.0, Source::Submit, now, document).await?;
    log::info!(scan_id:% = scan.0, source = "submit", bytes; "accepted");
    Ok(scan.created())
}

async fn add(
    State(counter): State<Arc<Counter>>,
    Segment((scan, number)): Segment<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    let scan = Id::of(&scan)?;
    let number: NonZeroUsize = number.parse().map_err(|_| Refusal::NoNumber)?;
    let _turn = counter.room.acquire().await;
    let file = document(request, counter.max_bytes).await?;
    let (bytes, now) = (file.len(), Timestamp::now());
    counter.outbox.add(scan.0, Source::Submit, now, number, file).await?;
    log::info!(scan_id:% = scan.0, source = "submit", number = number.get(), bytes; "page accepted");
    Ok(scan.created())
}

async fn complete(
    State(counter): State<Arc<Counter>>,
    Segment(scan): Segment<String>,
) -> Result<Response, Refusal> {
    let scan = Id::of(&scan)?;
    counter.outbox.complete(scan.0, &Notes::default()).await?;
    log::info!(scan_id:% = scan.0, source = "submit"; "accepted");
    Ok(scan.created())
}

async fn document(request: Request<Body>, most: usize) -> Result<Vec<u8>, Refusal> {
    let declared = request.headers().get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > most) {
        return Err(Refusal::TooLarge(most));
    }
    let body = timeout(PATIENCE, to_bytes(request.into_body(), most.saturating_add(1))).await;
    let body = body.map_err(|_| Refusal::TooSlow)?;
    // Without a declared length, a body with too many bytes fails like one that was cut off.
    let body = body
        .map_err(|_| if declared.is_some() { Refusal::CutOff } else { Refusal::TooLarge(most) })?;
    match body.len() {
        0 => Err(Refusal::Empty),
        length if length > most => Err(Refusal::TooLarge(most)),
        _ => Ok(body.into()),
    }
}

/// A daemon's socket, to hand in documents.
pub struct Client {
    socket: PathBuf,
    client: reqwest::Client,
}

/// Tries to hand in a document when the answer got lost; the id keeps it one scan.
const TRIES: usize = 3;

/// Between them.
const PAUSE: Duration = Duration::from_millis(500);

impl Client {
    /// For a socket.
    pub fn new(socket: &Path) -> Result<Self, Failure> {
        let client = bare_client(RootCertStore::empty())?
            .unix_socket(socket)
            .timeout(PATIENCE * 2)
            .build()?;
        Ok(Self { socket: socket.to_owned(), client })
    }

    /// Hands in a document as a scan of its own, and gives the scan's id when it is accepted.
    ///
    /// # Errors
    /// In a sentence.
    pub async fn submit(&self, document: Vec<u8>) -> Result<Ulid, String> {
        let scan = Ulid::new();
        self.put(&format!("/scans/{scan}"), document).await?;
        Ok(scan)
    }

    /// Hands in files that are one scan together, in their order.
    ///
    /// # Errors
    /// In a sentence; what had been handed in of the scan is set aside later.
    pub async fn submit_together(&self, files: Vec<Vec<u8>>) -> Result<Ulid, String> {
        let scan = Ulid::new();
        for (index, file) in files.into_iter().enumerate() {
            self.put(&format!("/scans/{scan}/pages/{}", index + 1), file).await?;
        }
        self.put(&format!("/scans/{scan}/pages"), Vec::new()).await?;
        Ok(scan)
    }

    /// How the devices are, as JSON.
    ///
    /// # Errors
    /// In a sentence.
    pub async fn sources(&self) -> Result<serde_json::Value, String> {
        let answer = self.client.get("http://kiosk/sources").send().await;
        let answer = answer.map_err(|error| self.nobody(&error))?;
        let bytes = answer.bytes().await.map_err(|error| self.nobody(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| format!("the daemon's answer: {error}"))
    }

    /// Tells a device something; without a name, the one that it fits.
    ///
    /// # Errors
    /// In a sentence.
    pub async fn order(&self, source: Option<Source>, order: Order) -> Result<(), String> {
        let of = source.map_or("", Source::as_str);
        let path = format!("http://kiosk/orders/{}?source={of}", order.as_str());
        let answer = self.client.post(path).send().await;
        let answer = answer.map_err(|error| self.nobody(&error))?;
        if answer.status() == StatusCode::ACCEPTED { Ok(()) } else { Err(detail(answer).await) }
    }

    fn nobody(&self, error: &reqwest::Error) -> String {
        format!(
            "no daemon answers at {} ({}); is cic-kiosk running, and may this user write to the \
             socket?",
            self.socket.display(),
            root(error)
        )
    }

    async fn put(&self, path: &str, body: Vec<u8>) -> Result<(), String> {
        let body = Bytes::from(body);
        let mut failure = String::new();
        for attempt in 0..TRIES {
            if attempt > 0 {
                sleep(PAUSE).await;
            }
            // The host is for the protocol's sake; the socket decides where it goes.
            let request = self.client.put(format!("http://kiosk{path}"));
            match request.body(body.clone()).send().await {
                Ok(answer) if answer.status() == StatusCode::CREATED => return Ok(()),
                Ok(answer) => return Err(detail(answer).await),
                Err(error) => failure = self.nobody(&error),
            }
        }
        Err(failure)
    }
}

async fn detail(answer: reqwest::Response) -> String {
    let status = answer.status();
    let body: Option<serde_json::Value> =
        answer.bytes().await.ok().and_then(|body| serde_json::from_slice(&body).ok());
    let detail = body.as_ref().and_then(|body| body["detail"].as_str());
    detail.map_or_else(|| format!("the daemon answered {status}"), str::to_owned)
}

/// The innermost error says what it was.
fn root(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
