//! The contract's one path, from the request's head to its answer.
//!
//! The order is: key, place in the queue, quota, document, worker, engine. Each step can refuse, and
//! a step that was taken is given back when the client goes away.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, Response, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cic_kiosk::page::Files;
use cic_kiosk::report::schema::{ErrorCode, Meta};
use cic_kiosk::request::{self, BodyKind, Input, Parameters, RequestError};
use futures_util::FutureExt;
use jiff::Timestamp;
use ulid::Ulid;

use super::answer::{Refusal, json, status_of};
use super::gate::{Ticket, Worker};
use super::intake::Intake;
use super::{Api, PANIC, blocking};
use crate::keys::{Key, NewUse, UseEnd, UseError, VerifyError};
use crate::outbox::Source;
use crate::reading::{self, Work};
use crate::scan::Scan;

/// The `format_type` of a request that did not get as far as having one.
const UNKNOWN: &str = "unknown";

/// `GET` and `POST` of the contract.
pub async fn credit_report(
    State(api): State<Arc<Api>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let waits = head.headers.get(header::EXPECT).is_some();
    let mut intake = Intake::new(body, most_bytes(&api), api.settings.body_time(), waits);
    let mut visit = Visit {
        api: &api,
        scan: Ulid::new(),
        client: client.ip(),
        begun: Instant::now(),
        format_type: UNKNOWN,
        bytes: 0,
        answered: false,
    };
    // A mistake of ours is an answer, too, not a connection that breaks.
    let result = AssertUnwindSafe(visit.result(&head, &mut intake)).catch_unwind().await;
    let result = result.unwrap_or_else(|_| Err(Refusal::Internal(PANIC.to_owned())));
    intake.throw_away().await;
    visit.respond(result)
}

/// Base64 takes 4/3 and the lines of it a little more; a form adds its heads.
fn most_bytes(api: &Api) -> usize {
    let file = api.limits.max_bytes;
    file.saturating_add(file / 2).saturating_add(64 << 10)
}

/// One request under way.
struct Visit<'a> {
    api: &'a Arc<Api>,
    scan: Ulid,
    client: IpAddr,
    begun: Instant,
    format_type: &'static str,
    bytes: usize,
    answered: bool,
}

/// A document that was read, whatever the outcome.
struct Done {
    code: ErrorCode,
    pages: usize,
    json: Vec<u8>,
}

impl Visit<'_> {
    async fn result(&mut self, head: &Parts, intake: &mut Intake) -> Result<Done, Refusal> {
        let key = self.key(head).await?;
        intake.count_on(self.api.gate.enter()?);
        self.begin_use(key).await?;
        let result = self.read(head, intake).await;
        self.finish_use(&result).await?;
        result
    }

    /// Who asks, if the key is right.
    async fn key(&self, head: &Parts) -> Result<Key, Refusal> {
        let (api_key, secret) = credentials(head).ok_or(Refusal::Unauthorised(None))?;
        let client = self.client;
        let (keys, pair) = (Arc::clone(&self.api.keys), (api_key.clone(), secret.clone()));
        let known = blocking(move || {
            keys.recall(&pair.0, &pair.1, client)
                .map_err(|error| Refusal::Internal(error.to_string()))
        });
        if let Some(key) = known.await? {
            return Ok(key);
        }
        let _turn = self.api.verifying.try_acquire().map_err(|_| self.api.gate.full())?;
        let keys = Arc::clone(&self.api.keys);
        blocking(move || {
            keys.verify(&api_key, &secret, client).map_err(|error| match error {
                VerifyError::Wrong => Refusal::Unauthorised(None),
                VerifyError::LockedOut { retry_after } => Refusal::Unauthorised(Some(retry_after)),
                VerifyError::Store(error) => Refusal::Internal(error.to_string()),
            })
        })
        .await
    }

    async fn begin_use(&self, key: Key) -> Result<(), Refusal> {
        let new =
            NewUse { scan_id: self.scan.to_string(), client: self.client, way: self.format_type };
        let keys = Arc::clone(&self.api.keys);
        blocking(move || {
            keys.begin_use(&key, &new).map_err(|error| match error {
                UseError::OutOfQuota { retry_after } => Refusal::OutOfRequests(retry_after),
                UseError::Store(error) => Refusal::Internal(error.to_string()),
            })
        })
        .await
    }

    async fn finish_use(&self, result: &Result<Done, Refusal>) -> Result<(), Refusal> {
        let (code, pages) = match result {
            Ok(done) => (done.code, done.pages),
            Err(refusal) => (refusal.code(), 0),
        };
        let end = UseEnd {
            code: code.digit(),
            way: self.format_type,
            bytes: self.bytes as u64,
            pages: u32::try_from(pages).unwrap_or(u32::MAX),
            elapsed_ms: u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        let (keys, scan) = (Arc::clone(&self.api.keys), self.scan.to_string());
        blocking(move || {
            keys.finish_use(&scan, &end).map_err(|error| Refusal::Internal(error.to_string()))
        })
        .await
    }

    async fn read(&mut self, head: &Parts, intake: &mut Intake) -> Result<Done, Refusal> {
        let request = request_of(head, intake).await?;
        self.format_type = request.input.name();
        let ticket = intake.ticket().ok_or_else(|| Refusal::Internal("no ticket".to_owned()))?;
        let bytes = match request.input {
            Input::Url(url) => fetch(self.api, &url, ticket).await?,
            Input::File(bytes) | Input::Base64(bytes) => bytes,
        };
        self.bytes = bytes.len();
        let worker = ticket.worker().await?;
        self.engine(bytes, request.pictures, worker).await
    }

    /// Reads the document, and has the branch told of it where this is a kiosk. Should this future be
    /// dropped, the engine stops before its next stage.
    async fn engine(
        &self,
        bytes: Vec<u8>,
        pictures: bool,
        worker: Worker,
    ) -> Result<Done, Refusal> {
        let scan = Scan::new(self.scan, Source::Api, Timestamp::now());
        let desk = self.api.desk.as_ref();
        let document = Files::from(bytes);
        let copy = desk.and_then(|desk| desk.copy_for_cloud(&document));
        let drawn = pictures || desk.is_some_and(|desk| desk.wants_pictures());
        let (time, api) = (self.api.settings.reading_time(), Arc::clone(self.api));
        let work =
            Work { scan: scan.id, files: document, ahead: Vec::new(), pictures: drawn.into() };
        let done = move |done: reading::Done| {
            // Its place is free when the work is over, not when nobody waits for it any more.
            let _worker = worker;
            api.gate.took(done.took);
            api.metrics.read(done.pages, &done.stages);
        };
        let reading = self.api.reader.read_in_time(work, time, done);
        let mut answer = reading.await?;
        if let Some(desk) = desk {
            answer = desk.settle(&scan, copy, answer).await;
            desk.put(&scan, answer.clone()).await?;
        }
        if !pictures {
            answer.drop_pictures();
        }
        let Meta { pages, detail, .. } = answer.meta.clone().unwrap_or_default();
        match answer.error {
            ErrorCode::Internal => Err(Refusal::Internal(detail.unwrap_or_default())),
            code => blocking(move || Ok(Done { code, pages, json: answer.to_json() })).await,
        }
    }

    fn respond(mut self, result: Result<Done, Refusal>) -> Response<Body> {
        self.answered = true;
        let (code, pages) = match &result {
            Ok(done) => (done.code, done.pages),
            Err(refusal) => (refusal.code(), 0),
        };
        if let Err(Refusal::Full(_)) = result {
            self.api.metrics.turned_away();
        }
        let took = self.begun.elapsed();
        self.api.metrics.answered(code, self.format_type, took);
        log::info!(
            scan_id:% = self.scan, code = code.digit(), format_type = self.format_type,
            bytes = self.bytes, pages, elapsed_ms = took.as_millis() as u64;
            "answered"
        );
        match result {
            Ok(done) => json(self.scan, status_of(done.code), done.json),
            Err(refusal) => refusal.into_response(self.scan),
        }
    }
}

/// Only a client that went away leaves no answer.
impl Drop for Visit<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.api.metrics.gone();
            log::info!(scan_id:% = self.scan; "the client went away");
        }
    }
}

/// Key and secret of HTTP Basic authentication (RFC 7617).
fn credentials(head: &Parts) -> Option<(String, String)> {
    let value = head.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, digits) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64_STANDARD.decode(digits.trim()).ok()?).ok()?;
    let (api_key, secret) = text.split_once(':')?;
    Some((api_key.to_owned(), secret.to_owned()))
}

/// What the request asks for, from its query and its body.
async fn request_of(head: &Parts, intake: &mut Intake) -> Result<request::Request, Refusal> {
    let query = Parameters::from_form(head.uri.query().unwrap_or_default().as_bytes())?;
    // A body without a type is none that means anything; GET has none.
    let content_type =
        head.headers.get(header::CONTENT_TYPE).filter(|_| head.method == Method::POST);
    let Some(content_type) = content_type else { return Ok(query.request(Parameters::default())?) };
    let kind = content_type
        .to_str()
        .map_err(|_| RequestError::UnknownContentType)
        .and_then(BodyKind::of)?;
    if let BodyKind::Multipart(boundary) = kind {
        let form = request::multipart(&mut *intake, &boundary).await;
        // Why the body ended, the intake knows better.
        intake.failure().map_or(Ok(()), Err)?;
        let form = form?;
        return blocking(move || Ok(query.request(form)?)).await;
    }
    let body = intake.whole().await?;
    blocking(move || {
        let body = match kind {
            BodyKind::Json => Parameters::from_json(&body)?,
            _ => Parameters::from_form(&body)?,
        };
        Ok(query.request(body)?)
    })
    .await
}

async fn fetch(api: &Api, url: &str, ticket: &mut Ticket) -> Result<Vec<u8>, Refusal> {
    let mut download = api.fetcher.get(url).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = download.chunk().await? {
        ticket.hold(chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials_in(value: &str) -> Option<(String, String)> {
        let request = Request::builder().header(header::AUTHORIZATION, value).body(Body::empty());
        credentials(&request.unwrap().into_parts().0)
    }

    #[test]
    fn key_and_secret_are_parted_at_the_first_colon() {
        let pair = ("Aladdin".to_owned(), "open sesame".to_owned());
        // The example of RFC 7617.
        assert_eq!(credentials_in("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), Some(pair.clone()));
        assert_eq!(credentials_in("bAsIc QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), Some(pair));
        let colons = Some(("a".to_owned(), "b:c".to_owned()));
        assert_eq!(credentials_in("Basic YTpiOmM="), colons);
    }

    #[test]
    fn what_is_no_basic_authentication_is_none() {
        for value in ["", "Basic", "Basic *", "Bearer QWxhZGRpbjpvcGVu", "Basic YWJj", "Basic /w=="]
        {
            assert_eq!(credentials_in(value), None, "{value}");
        }
    }
}
