//! Speaks HTTP with the cloud service.
//!
//! Promises:
//! - Only its own authorities are trusted, not the system's; no redirect is followed, no proxy of the
//!   environment asked, no cookie kept.
//! - An answer has its limit in bytes whatever it declares. Its limit in time is the caller's.
//! - What is sent has no name but its format's.

use std::io;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use cic_kiosk::report::schema::{Answer, ErrorCode};
use jiff::{Timestamp, fmt::rfc2822};
use reqwest::Response;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::multipart::{Form, Part};
use rustls::RootCertStore;

use super::failure::Failure;
use super::policy::Policy;
use super::strict::{self, Lie};
use super::{CloudError, KEY, SECRET};
use crate::credentials::{CredentialError, Credentials, Secret};
use crate::http::fetch::{bare_client, causes, trusted};

/// TCP's own first repetitions come after 1 s and 3 s.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// The longest pause that the service may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// A document as it is sent.
#[derive(Clone)]
pub struct Parcel {
    /// A picture or PDF.
    pub bytes: Bytes,
    /// Pages in it.
    pub pages: usize,
}

/// A client of the service.
pub struct Client {
    client: reqwest::Client,
    address: url::Url,
    key: Secret,
    secret: Secret,
    max_bytes: usize,
}

impl Client {
    /// A client with the credentials `cloud-key` and `cloud-secret`.
    ///
    /// # Errors
    /// Where a credential is missing, or the authorities are none.
    pub fn new(policy: &Policy, credentials: &Credentials) -> Result<Self, CloudError> {
        let roots = match &policy.authorities {
            Some(pem) => trusted(Vec::new(), Some(pem))?,
            None => RootCertStore::empty(),
        };
        let client = bare_client(roots)?.connect_timeout(CONNECT_TIME).build()?;
        Ok(Self {
            client,
            address: policy.address.clone(),
            key: credential(credentials, KEY, "the api_key of the cloud service")?,
            secret: credential(credentials, SECRET, "the api_secret of the cloud service")?,
            max_bytes: policy.max_answer_bytes,
        })
    }

    /// Sends a document and reads the answer: one with reports, or why there is none.
    pub async fn send(&self, parcel: Parcel) -> Result<Answer, Failure> {
        let (name, kind) = format_of(&parcel.bytes);
        let length = parcel.bytes.len() as u64;
        let part = Part::stream_with_length(parcel.bytes, length).file_name(name);
        let part = part.mime_str(kind).map_err(|error| failure(&error))?;
        let request = self
            .client
            .post(self.address.clone())
            .basic_auth(self.key.text().unwrap_or_default(), self.secret.text())
            .multipart(Form::new().part("img", part));
        let response = request.send().await.map_err(|error| failure(&error))?;
        let (status, pause) = (response.status().as_u16(), retry_after(response.headers()));
        let body = self.body(response).await?;
        judge(status, pause, strict::answer(&body, parcel.pages))
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
            if body.len() + chunk.len() > self.max_bytes {
                return Err(Failure::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// One line of text, as it fits a header.
fn credential(
    credentials: &Credentials,
    name: &str,
    hint: &str,
) -> Result<Secret, CredentialError> {
    let secret = credentials.need(name, hint)?;
    let fits = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
    match (secret.text().is_some_and(fits), credentials.path(name)) {
        (false, Some(path)) => {
            Err(CredentialError::Malformed { path, expected: "one line of text" })
        }
        _ => Ok(secret),
    }
}

/// What status and body come to together. The contract has no statuses: a service that knows nothing
/// else says 200 to everything, and one that has some must not contradict itself.
fn judge(
    status: u16,
    pause: Option<Duration>,
    answer: Result<Answer, Lie>,
) -> Result<Answer, Failure> {
    let answer = match (answer, status) {
        (Ok(answer), _) if status == answer.error.http_status() || status == 200 => answer,
        // A gateway before the service knows no contract.
        (_, 401 | 403) => return Err(Failure::WrongKey),
        (_, 429) => return Err(Failure::OutOfRequests(pause)),
        (_, 408 | 500..) => return Err(Failure::Failed),
        (Ok(_), _) => return Err(Failure::Lied(Lie("the HTTP status".to_owned()))),
        (Err(lie), 200..=299) => return Err(Failure::Lied(lie)),
        (Err(_), status) => return Err(Failure::Status(status)),
    };
    match answer.error {
        ErrorCode::Success => Ok(answer),
        ErrorCode::Unauthorised => Err(Failure::WrongKey),
        ErrorCode::OutOfRequests => Err(Failure::OutOfRequests(pause)),
        ErrorCode::Internal => Err(Failure::Failed),
        code @ (ErrorCode::NoReport | ErrorCode::UrlUnavailable | ErrorCode::BadInput) => {
            Err(Failure::Refused(code))
        }
    }
}

/// Only the kind of error is kept: its text may name addresses.
fn failure(error: &reqwest::Error) -> Failure {
    let is_tls = |cause: &(dyn std::error::Error + 'static)| cause.is::<rustls::Error>();
    let is_cut = |cause: &(dyn std::error::Error + 'static)| {
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        kind == Some(io::ErrorKind::UnexpectedEof)
    };
    match error {
        _ if causes(error).any(is_tls) => Failure::Tls,
        _ if error.is_timeout() => Failure::TimedOut,
        _ if error.is_connect() && !causes(error).any(is_cut) => Failure::Unreachable,
        _ => Failure::Broken,
    }
}

/// What `Retry-After` asks for: seconds, or the time until a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match u64::from_str(text) {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default()
        }
    };
    Some(pause.min(MAX_RETRY_AFTER))
}

/// A name and a type for what is sent, by its content: the one that it came with may be somebody's.
fn format_of(bytes: &[u8]) -> (&'static str, &'static str) {
    use image::ImageFormat;
    match image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => ("document.jpg", "image/jpeg"),
        Ok(ImageFormat::Png) => ("document.png", "image/png"),
        Ok(ImageFormat::Tiff) => ("document.tif", "image/tiff"),
        Ok(ImageFormat::WebP) => ("document.webp", "image/webp"),
        Ok(ImageFormat::Bmp) => ("document.bmp", "image/bmp"),
        _ => ("document.pdf", "application/pdf"),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn asked(text: &str) -> Option<Duration> {
        let value = HeaderValue::from_str(text).unwrap();
        retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value)]))
    }

    #[test]
    fn pause_is_asked_for_in_seconds_or_as_a_date() {
        assert_eq!(asked("120"), Some(Duration::from_secs(120)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(asked("Sun, 06 Nov 2095 08:49:37 GMT"), Some(MAX_RETRY_AFTER));
        assert_eq!(asked("99999999999999"), Some(MAX_RETRY_AFTER));
        assert_eq!((asked("soon"), asked("-1")), (None, None));
    }

    #[test]
    fn status_must_not_contradict_the_code() {
        let judged = |status, code| {
            let answer = Answer { error: code, ..Answer::default() };
            judge(status, None, Ok(answer)).map(|answer| answer.error)
        };
        for code in ErrorCode::ALL {
            let fits = judged(code.http_status(), code);
            assert_eq!(fits, judged(200, code), "{code:?}");
            assert!(!matches!(fits, Err(Failure::Lied(_))), "{code:?}");
            assert!(judged(418, code).is_err(), "{code:?}");
        }
        assert!(matches!(judged(201, ErrorCode::Success), Err(Failure::Lied(_))));
        assert!(matches!(judged(400, ErrorCode::Success), Err(Failure::Lied(_))));
        assert_eq!(judged(500, ErrorCode::Success), Err(Failure::Failed));
    }

    #[test]
    fn what_knows_no_contract_is_understood_by_its_status() {
        let judged = |status| judge(status, None, Err(Lie("the JSON".to_owned()))).unwrap_err();
        assert_eq!(judged(401), Failure::WrongKey);
        assert_eq!(judged(429), Failure::OutOfRequests(None));
        assert_eq!(judged(503), Failure::Failed);
        assert_eq!(judged(302), Failure::Status(302));
        assert_eq!(judged(404), Failure::Status(404));
        assert!(matches!(judged(200), Failure::Lied(_)));
    }
}
