//! Answers over HTTP: the contract's JSON with the status and headers that fit it.
//!
//! Invariant: whatever goes wrong, the body is the contract's JSON; what it says to a person holds
//! nothing of the request and nothing of this machine. The cause of a failure of our own goes to
//! the log, under the scan's id.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use cic_kiosk::report::schema::{Answer, ErrorCode, Meta};
use cic_kiosk::request::RequestError;
use ulid::Ulid;

use super::fetch::FetchError;
use super::gate::Full;
use super::intake::IntakeError;
use crate::outbox::OutboxError;
use crate::reading::ReadError;

/// The scan's id as a header, for those who keep logs of their own.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An outbox that is full or whose disk fails is seldom well again at once.
const OUTBOX_WAIT: Duration = Duration::from_secs(30);

/// Why a request gets no report.
#[derive(Debug)]
pub enum Refusal {
    /// No key and secret, or wrong ones. After this time, where too many were wrong.
    Unauthorised(Option<Duration>),
    /// The key's quota is used up until then.
    OutOfRequests(Duration),
    /// There is no room.
    Full(Full),
    /// The request makes no sense.
    Request(RequestError),
    /// Its body is not to be had.
    Intake(IntakeError),
    /// The document at the address is not to be had.
    Fetch(FetchError),
    /// The document takes longer than this to read.
    TooSlow(Duration),
    /// The result cannot be kept for the branch.
    Outbox(OutboxError),
    /// There is no such place.
    NoSuchPath,
    /// There is, but not for this method.
    NoSuchMethod,
    /// Anything else; what went wrong is for the log.
    Internal(String),
}

impl From<String> for Refusal {
    fn from(cause: String) -> Self {
        Self::Internal(cause)
    }
}

impl From<Full> for Refusal {
    fn from(full: Full) -> Self {
        Self::Full(full)
    }
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl From<IntakeError> for Refusal {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::Full(full) => Self::Full(full),
            error => Self::Intake(error),
        }
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooSlow(time) => Self::TooSlow(time),
            _ => Self::Internal(error.to_string()),
        }
    }
}

impl From<OutboxError> for Refusal {
    fn from(error: OutboxError) -> Self {
        Self::Outbox(error)
    }
}

impl From<FetchError> for Refusal {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
    }
}

impl Refusal {
    /// The contract's code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Unauthorised(_) => ErrorCode::Unauthorised,
            Self::OutOfRequests(_) => ErrorCode::OutOfRequests,
            Self::Request(error) => error.code(),
            Self::Intake(_) | Self::TooSlow(_) => ErrorCode::BadInput,
            Self::Fetch(_) => ErrorCode::UrlUnavailable,
            Self::Full(_)
            | Self::Outbox(_)
            | Self::NoSuchPath
            | Self::NoSuchMethod
            | Self::Internal(_) => ErrorCode::Internal,
        }
    }

    /// The HTTP status: the code's own, but for what the contract knows nothing of.
    fn status(&self) -> StatusCode {
        match self {
            Self::Full(_) | Self::Outbox(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::NoSuchMethod => StatusCode::METHOD_NOT_ALLOWED,
            _ => status_of(self.code()),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unauthorised(wait) => *wait,
            Self::OutOfRequests(wait) => Some(*wait),
            Self::Full(full) => Some(full.retry_after),
            Self::Outbox(_) => Some(OUTBOX_WAIT),
            _ => None,
        }
    }

    /// A sentence for a person.
    fn detail(&self) -> String {
        match self {
            Self::Unauthorised(None) => {
                "Send api_key and api_secret by HTTP Basic authentication.".to_owned()
            }
            Self::Unauthorised(Some(wait)) => {
                format!("Too many wrong keys; try again in {} s.", seconds(*wait))
            }
            Self::OutOfRequests(wait) => {
                format!("The key's quota for today is used up; try again in {} s.", seconds(*wait))
            }
            Self::Full(full) => format!(
                "Too many documents are being read; send it again in {} s.",
                seconds(full.retry_after)
            ),
            Self::Request(error) => error.to_string(),
            Self::Intake(error) => error.to_string(),
            Self::Fetch(error) => error.to_string(),
            Self::TooSlow(time) => format!(
                "Reading the document takes more than {} s; send one report at a time.",
                seconds(*time)
            ),
            Self::Outbox(_) => format!(
                "The result cannot be kept for the branch's systems now; send the document again in \
                 {} s.",
                seconds(OUTBOX_WAIT)
            ),
            Self::NoSuchPath => {
                "There is no such path here; /openapi.json shows what there is.".to_owned()
            }
            Self::NoSuchMethod => "The path is right, the method is not.".to_owned(),
            Self::Internal(_) => "The cause is in the log, under the scan's id.".to_owned(),
        }
    }

    /// The response to the request of this scan.
    pub fn into_response(self, scan: Ulid) -> Response<Body> {
        match &self {
            Self::Internal(cause) => log::error!(scan_id:% = scan; "request failed: {cause}"),
            Self::Outbox(cause) => log::error!(scan_id:% = scan; "result not kept: {cause}"),
            _ => {}
        }
        let meta =
            Meta { scan_id: scan.to_string(), detail: Some(self.detail()), ..Meta::default() };
        let mut response = json(scan, self.status(), Answer::failure(self.code(), meta).to_json());
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds(wait)));
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            let scheme = "Basic realm=\"credit report\", charset=\"UTF-8\"";
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
        }
        response
    }
}

/// The status that goes with a code.
pub fn status_of(code: ErrorCode) -> StatusCode {
    StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// A response with the contract's JSON.
pub fn json(scan: Ulid, status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(id) = HeaderValue::try_from(scan.to_string()) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

/// Whole seconds, and not too few: a client that comes back early comes twice.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
