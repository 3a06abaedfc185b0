//! Speaks HTTP with a scanner.
//!
//! Promises:
//! - Every answer has its limit in bytes and in time, whatever the scanner does.
//! - Nothing is asked of any other host, wherever the scanner says that a job is.
//! - An error says what a person can do, and no address.

use std::time::Duration;

use bytes::Bytes;
use image::ImageFormat;
use reqwest::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

use super::capabilities::Capabilities;
use super::pin::stranger;
use super::status::Status;
use crate::capture::Fault;
use crate::http::fetch::causes;

/// The longest XML that a scanner may answer with; real ones have up to 100 KiB.
const MAX_XML: usize = 1 << 20;

/// The pause after "busy" where the scanner names none, and the shortest in any case.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest pause that a scanner may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// Bytes at its end in which a JPEG's end is looked for: some scanners fill up the last block.
const JPEG_TAIL: usize = 4096;

/// What an answer may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Time for a page, with all that the scanner lets wait for it.
    pub page_time: Duration,
    /// Time for any other answer.
    pub timeout: Duration,
    /// Bytes of a page.
    pub max_bytes: usize,
}

/// A client of one scanner.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    /// Ends with `/`.
    base: Url,
    limits: Limits,
}

/// What came of asking for a job.
#[derive(Debug)]
pub enum Asked<T> {
    /// It has begun, and this leads to it.
    Begun(T),
    /// The scanner is busy; it may be asked again after this time.
    Later(Duration),
    /// It cannot begin now; its status says why.
    Refused,
}

impl Client {
    /// Of the scanner at this address.
    pub fn new(http: reqwest::Client, mut base: Url, limits: Limits) -> Self {
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        Self { http, base, limits }
    }

    /// What the scanner can do.
    pub async fn capabilities(&self) -> Result<Capabilities, Fault> {
        let xml = self.xml("ScannerCapabilities").await?;
        Capabilities::read(&xml).ok_or_else(|| no_answer("its capabilities"))
    }

    /// How it is.
    pub async fn status(&self) -> Result<Status, Fault> {
        let xml = self.xml("ScannerStatus").await?;
        Status::read(&xml).ok_or_else(|| no_answer("its status"))
    }

    /// Asks for a job with these settings.
    pub async fn ask(&self, ticket: Bytes) -> Result<Asked<Url>, Fault> {
        let deadline = self.soon();
        let request = self.request(Method::POST, self.below("ScanJobs"));
        let request = request.header(CONTENT_TYPE, "text/xml").body(ticket);
        let response = self.send(request, deadline).await?;
        match response.status() {
            StatusCode::CREATED => self.job(&response).map(Asked::Begun),
            StatusCode::SERVICE_UNAVAILABLE => Ok(Asked::Later(pause(&response))),
            StatusCode::CONFLICT => Ok(Asked::Refused),
            StatusCode::BAD_REQUEST | StatusCode::UNSUPPORTED_MEDIA_TYPE => Err(failing(
                "the scanner refuses its settings: change escl.dpi, escl.color or escl.duplex",
            )),
            status => Err(refusal(status)),
        }
    }

    /// Where a job is, by what the scanner says: on its own host, whatever host that names. Behind
    /// `ipp-usb` and the like, scanners do not know their own.
    fn job(&self, response: &Response) -> Result<Url, Fault> {
        let location = response.headers().get(LOCATION).and_then(|it| it.to_str().ok());
        let named = location.filter(|it| !it.is_empty());
        let named = named.and_then(|it| self.below("ScanJobs").join(it.trim()).ok());
        let named = named.filter(|url| !url.cannot_be_a_base());
        let named = named.ok_or_else(|| no_answer("where the scan is"))?;
        let mut job = self.base.clone();
        job.set_path(named.path().trim_end_matches('/'));
        job.set_query(named.query());
        Ok(job)
    }

    /// The next page of a job, within the time for a page; `None` where there is none.
    pub async fn page(&self, job: &Url) -> Result<Option<Vec<u8>>, Fault> {
        let deadline = Instant::now() + self.limits.page_time;
        let mut url = job.clone();
        url.set_path(&format!("{}/NextDocument", job.path()));
        loop {
            let request = self.request(Method::GET, url.clone());
            let response = self.send(request, deadline).await?;
            match response.status() {
                StatusCode::OK => {
                    let page = self.body(response, deadline, self.limits.max_bytes).await?;
                    return picture(page).map(Some);
                }
                StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::GONE => return Ok(None),
                StatusCode::SERVICE_UNAVAILABLE => {
                    let pause = pause(&response);
                    drop(response);
                    timeout_at(deadline, sleep(pause)).await.map_err(|_| self.too_slow())?;
                }
                status => return Err(refusal(status)),
            }
        }
    }

    /// Ends a job, if the scanner still knows it.
    pub async fn delete(&self, job: Url) {
        let request = self.request(Method::DELETE, job);
        if let Err(fault) = self.send(request, self.soon()).await {
            log::debug!("a scan could not be cancelled at the scanner: {fault}");
        }
    }

    fn below(&self, name: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{name}", self.base.path()));
        url
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url)
    }

    fn soon(&self) -> Instant {
        Instant::now() + self.limits.timeout
    }

    async fn xml(&self, name: &str) -> Result<String, Fault> {
        let deadline = self.soon();
        let response = self.send(self.request(Method::GET, self.below(name)), deadline).await?;
        match response.status() {
            StatusCode::OK => {
                let body = self.body(response, deadline, MAX_XML).await?;
                Ok(String::from_utf8_lossy(&body).into_owned())
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                Err(failing("the scanner is busy and answers nothing: wait until it has finished"))
            }
            status => Err(refusal(status)),
        }
    }

    async fn send(&self, request: RequestBuilder, deadline: Instant) -> Result<Response, Fault> {
        let sent = timeout_at(deadline, request.send()).await.map_err(|_| self.too_slow())?;
        sent.map_err(|error| fault(&error))
    }

    async fn body(
        &self,
        mut response: Response,
        deadline: Instant,
        limit: usize,
    ) -> Result<Vec<u8>, Fault> {
        let mut body = Vec::new();
        loop {
            let chunk = timeout_at(deadline, response.chunk()).await;
            let chunk = chunk.map_err(|_| self.too_slow())?;
            let Some(chunk) = chunk.map_err(|error| fault(&error))? else { return Ok(body) };
            if body.len() + chunk.len() > limit {
                return Err(Fault::Failing(format!(
                    "the scanner sends more than {limit} bytes: set a smaller escl.dpi"
                )));
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// The scanner took longer than its limits allow.
    pub fn too_slow(&self) -> Fault {
        let (page, other) = (self.limits.page_time.as_secs(), self.limits.timeout.as_secs());
        Fault::Failing(format!(
            "the scanner did not answer in time ({page} s for a page, {other} s for anything else): \
             switch it off and on"
        ))
    }
}

fn failing(what: &str) -> Fault {
    Fault::Failing(what.to_owned())
}

fn no_answer(what: &str) -> Fault {
    Fault::Failing(format!("the scanner does not say {what}: check escl.url"))
}

fn refusal(status: StatusCode) -> Fault {
    match status.as_u16() {
        401 | 403 => {
            failing("the scanner does not permit it: allow scanning without a password there")
        }
        404 => failing("there is no eSCL at this address: check escl.url, or switch eSCL on there"),
        300..=399 => failing("the scanner answers from another address: put that into escl.url"),
        500..=599 => Fault::Failing(format!(
            "the scanner met an error (status {status}): look at its own panel, switch it off and on"
        )),
        _ => Fault::Failing(format!("the scanner answers with status {status}: check escl.url")),
    }
}

/// Only the kind of error is kept: its text may name addresses.
fn fault(error: &reqwest::Error) -> Fault {
    if let Some(seen) = stranger(error) {
        return Fault::Failing(format!(
            "the scanner's certificate is not trusted: if its SHA-256 is {seen} at the scanner too, \
             put that into escl.certificate_sha256"
        ));
    }
    if causes(error).any(|cause| cause.is::<rustls::Error>()) {
        return failing(
            "no secure connection with the scanner is possible: check that escl.url is right and its \
             TLS is 1.2 or newer",
        );
    }
    if error.is_connect() {
        return Fault::Absent(
            "the scanner cannot be reached: switch it on, check its cable and the network"
                .to_owned(),
        );
    }
    failing("the connection to the scanner broke off: check its cable and the network")
}

/// Seconds, as scanners give them.
fn pause(response: &Response) -> Duration {
    let asked = response.headers().get(RETRY_AFTER).and_then(|it| it.to_str().ok()?.parse().ok());
    asked.map_or(PAUSE, Duration::from_secs).clamp(PAUSE, LONGEST_PAUSE)
}

/// A page must be a whole picture: a server whose scanner jams may end its answer as if all were
/// well.
fn picture(bytes: Vec<u8>) -> Result<Vec<u8>, Fault> {
    let whole = match image::guess_format(&bytes) {
        Ok(ImageFormat::Jpeg) => {
            let tail = &bytes[bytes.len().saturating_sub(JPEG_TAIL)..];
            tail.windows(2).any(|pair| pair == [0xff, 0xd9])
        }
        Ok(ImageFormat::Png | ImageFormat::Tiff) => true,
        _ => return Err(failing("the scanner sent something that is no picture: begin again")),
    };
    if whole {
        Ok(bytes)
    } else {
        Err(failing("a page arrived incomplete: put the paper in again, and begin again"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(base: &str) -> Client {
        let limits = Limits {
            page_time: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            max_bytes: 1,
        };
        let http = super::super::pin::Trust::new(None).unwrap().client().unwrap().build().unwrap();
        Client::new(http, base.parse().unwrap(), limits)
    }

    fn job(base: &str, location: Option<&str>) -> Result<String, Fault> {
        let mut response = axum::http::Response::builder();
        if let Some(location) = location {
            response = response.header("Location", location);
        }
        let response = Response::from(response.body("").unwrap());
        client(base).job(&response).map(Into::into)
    }

    #[test]
    fn job_is_on_the_scanners_own_host_whatever_it_says() {
        let base = "http://10.0.0.9:8080/eSCL";
        for (location, expected) in [
            ("/eSCL/ScanJobs/7", "http://10.0.0.9:8080/eSCL/ScanJobs/7"),
            ("ScanJobs/7", "http://10.0.0.9:8080/eSCL/ScanJobs/7"),
            ("http://localhost/eSCL/ScanJobs/7/", "http://10.0.0.9:8080/eSCL/ScanJobs/7"),
            ("https://user@evil.example:1/x?a=b", "http://10.0.0.9:8080/x?a=b"),
            ("//evil.example/ScanJobs/7", "http://10.0.0.9:8080/ScanJobs/7"),
        ] {
            assert_eq!(job(base, Some(location)).as_deref(), Ok(expected), "{location}");
        }
    }

    #[test]
    fn job_without_a_place_is_none() {
        for location in [None, Some(""), Some("http://[")] {
            let fault = job("http://10.0.0.9/eSCL/", location).unwrap_err();
            assert!(fault.to_string().contains("where the scan is"), "{location:?}");
        }
    }

    #[test]
    fn page_must_be_a_whole_picture() {
        let jpeg = [&[0xff, 0xd8, 0xff, 0xe0][..], &[0; 9000], &[0xff, 0xd9]].concat();
        assert!(picture(jpeg.clone()).is_ok());
        assert!(picture([&jpeg[..], &[0; 500]].concat()).is_ok());
        assert!(picture(jpeg[..9000].to_vec()).is_err());
        assert!(picture(b"%PDF-1.7".to_vec()).is_err());
        assert!(picture(Vec::new()).is_err());
    }
}
