//! Against real servers on this machine: a kiosk's own API, which answers as the service does, and
//! servers that fail in every way there is.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use cic_kiosk::config::{self, Reading};
use cic_kiosk::page::{Document, Limits};
use cic_kiosk::report::schema::{Field, Meta, Report, Value};
use image::{DynamicImage, ImageFormat};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value as Json, json};

use super::transfers::Transfer;
use super::*;
use crate::http::fetch::{Fetcher, Limits as FetchLimits};
use crate::http::{Api, CREDIT_REPORT, router};
use crate::keys::KeyStore;

#[path = "../../tests/fixtures/mod.rs"]
mod fixtures;

/// Longer than any test waits.
const FOREVER: Duration = Duration::from_secs(120);

/// Answers requests until the process ends, and keeps their bodies.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

#[derive(Clone)]
struct Request {
    head: String,
    body: Vec<u8>,
}

impl Server {
    /// `respond` is told how many requests came before.
    fn start(
        scheme: &str,
        respond: impl Fn(usize, &mut dyn Write) -> io::Result<()> + Send + Sync + 'static,
        wrap: impl Fn(TcpStream) -> Box<dyn Duplex> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("{scheme}://{}/ocr", listener.local_addr().unwrap());
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let (kept, both) = (Arc::clone(&requests), Arc::new((respond, wrap)));
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (kept, both) = (Arc::clone(&kept), Arc::clone(&both));
                thread::spawn(move || {
                    let mut stream = both.1(socket);
                    let request = read_request(&mut *stream)?;
                    let number = {
                        let mut kept = kept.lock().unwrap();
                        kept.push(request);
                        kept.len() - 1
                    };
                    both.0(number, &mut *stream)?;
                    stream.flush()
                });
            }
        });
        Self { address, requests }
    }

    fn plain(
        respond: impl Fn(usize, &mut dyn Write) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::start("http", respond, |socket| Box::new(socket))
    }

    /// With this certificate.
    fn secure(own: &CertifiedKey<rcgen::KeyPair>) -> Self {
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let wrap = move |socket| -> Box<dyn Duplex> {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            Box::new(StreamOwned::new(session, socket))
        };
        Self::start("https", |_, client| client.write_all(&good()), wrap)
    }

    /// Always the same answer.
    fn saying(answer: Vec<u8>) -> Self {
        Self::plain(move |_, client| client.write_all(&answer))
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

trait Duplex: Read + Write {}
impl<T: Read + Write> Duplex for T {}

fn read_request(stream: &mut dyn Duplex) -> io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
        head += &line;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Request { head, body })
}

fn response(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} S\r\nContent-Length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

/// As the contract has it, with its code's status.
fn error(code: ErrorCode, headers: &str) -> Vec<u8> {
    let answer = Answer { error: code, ..Answer::default() };
    response(code.http_status(), headers, &serde_json::to_string(&answer).unwrap())
}

fn value(text: &str, confidence: f32) -> Value {
    Value { text: text.to_owned(), bounds: Some([1, 2, 3, 4]), confidence, page: Some(0) }
}

fn report(address: &str, confidence: f32) -> Report {
    let mut report = Report::default();
    *report.scalar_mut(Field::CicCode) = value("0184618475", 0.98);
    *report.scalar_mut(Field::Address) = value(address, confidence);
    report
}

/// The service's answer: it is sure of the address.
fn told() -> Json {
    let answer = Answer { reports: vec![report("Số 3", 0.99)], ..Answer::default() };
    serde_json::to_value(answer).unwrap()
}

fn good() -> Vec<u8> {
    response(200, "", &told().to_string())
}

/// What was read here: the address is in doubt.
fn local() -> Answer {
    let meta = Meta { pages: 1, ..Meta::default() };
    Answer::success(vec![report("Số 8", 0.4)], meta)
}

/// A kiosk's side, with a state folder of its own.
struct Kiosk {
    folder: tempfile::TempDir,
    config: Config,
}

impl Kiosk {
    /// Two attempts of a second, without much of a wait in between.
    fn new(address: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(KEY), "the-key\n").unwrap();
        fs::write(folder.path().join(SECRET), "the-secret\n").unwrap();
        let mut config = Config::parse(
            "[cloud]\nenabled = true\nhosts = [\"127.0.0.1\"]\nconsent = \"2026/17\"\n\
             send = \"document\"\nattempts = 2\nattempt_seconds = 1\ntotal_seconds = 10\n\
             backoff_milliseconds = 1\nbreaker_failures = 100",
        )
        .unwrap();
        config.cloud.address = Some(address.to_owned());
        config.kiosk.state = folder.path().join("state");
        Self { folder, config }
    }

    fn with(address: &str, set: impl FnOnce(&mut config::Cloud)) -> Self {
        let mut kiosk = Self::new(address);
        set(&mut kiosk.config.cloud);
        kiosk
    }

    fn open(&self) -> Cloud {
        let credentials = Credentials::new(Some(self.folder.path()));
        let reader = Reader::new(&self.config);
        Cloud::new(&self.config, &credentials, Arc::new(reader)).unwrap()
    }

    fn transfers(&self) -> Vec<Transfer> {
        Transfers::open(&self.config.kiosk.state).unwrap().list(None).unwrap()
    }

    fn outcomes(&self) -> Vec<String> {
        let outcome = |transfer: Transfer| transfer.outcome.unwrap_or_default();
        self.transfers().into_iter().map(outcome).collect()
    }
}

async fn ask(cloud: &Cloud) -> Answer {
    ask_with(cloud, b"%PDF-1.7 the document", local()).await
}

async fn ask_with(cloud: &Cloud, document: &[u8], local: Answer) -> Answer {
    let decided = decide(&local, &Decision::default(), true);
    assert_eq!(decided.verdict, Verdict::Cloud);
    cloud.ask("01J", document.to_owned().into(), &decided, local).await
}

/// It is the local answer, and a person is to look at what is in doubt.
fn assert_for_review(answer: &Answer, case: &str) {
    assert_eq!(answer.reports, local().reports, "{case}");
    let meta = answer.meta.as_ref().unwrap();
    assert_eq!(meta.decision, Some(Verdict::Review), "{case}");
    assert_eq!((meta.source, &meta.needs_review[..]), (Source::Local, &["address".to_owned()][..]));
}

/// The kind of the one failure so far.
fn failed(cloud: &Cloud) -> &'static str {
    let failed = cloud.tally().failed;
    assert_eq!(failed.len(), 1, "{failed:?}");
    failed.into_keys().next().unwrap()
}

#[tokio::test]
async fn what_the_service_is_surer_of_is_taken() {
    let server = Server::saying(good());
    let kiosk = Kiosk::new(&server.address);
    let cloud = kiosk.open();
    let answer = ask(&cloud).await;
    assert_eq!(answer.reports[0].scalar(Field::Address).text, "Số 3");
    let meta = answer.meta.unwrap();
    assert_eq!((meta.decision, meta.source), (Some(Verdict::Cloud), Source::Merged));
    assert!(meta.needs_review.is_empty() && meta.elapsed_ms["cloud"].is_u64());
    let tally = Tally { asked: 1, merged: 1, sent: 1, ..Tally::default() };
    assert_eq!(cloud.tally(), tally);
}

#[tokio::test]
async fn request_is_the_contracts_and_tells_nothing_else() {
    let server = Server::saying(good());
    ask(&Kiosk::new(&server.address).open()).await;
    let [request] = &server.requests()[..] else { panic!("one request expected") };
    let head = request.head.to_lowercase();
    assert!(request.head.starts_with("POST /ocr?format_type=file&get_thumb=false HTTP/1.1\r\n"));
    // the-key:the-secret
    assert!(request.head.contains("Basic dGhlLWtleTp0aGUtc2VjcmV0\r\n"), "{}", request.head);
    assert!(head.contains("content-type: multipart/form-data; boundary="), "{head}");
    let body = String::from_utf8_lossy(&request.body);
    assert!(body.contains("name=\"img\"; filename=\"document.pdf\""), "{body}");
    assert!(body.contains("\r\n\r\n%PDF-1.7 the document\r\n"), "{body}");
    for word in ["cookie", "referer", "01j"] {
        assert!(!head.contains(word) && !body.to_lowercase().contains(word), "{word}");
    }
}

#[tokio::test]
async fn transfer_is_recorded_before_it_is_made_and_then_with_its_end() {
    let folder = Arc::new(Mutex::new(PathBuf::new()));
    let (place, seen) = (Arc::clone(&folder), Arc::new(Mutex::new(None)));
    let keep = Arc::clone(&seen);
    let server = Server::plain(move |_, client| {
        let transfers = Transfers::open(&place.lock().unwrap()).unwrap();
        *keep.lock().unwrap() = transfers.list(None).unwrap().pop();
        client.write_all(&good())
    });
    let kiosk = Kiosk::new(&server.address);
    folder.lock().unwrap().clone_from(&kiosk.config.kiosk.state);
    ask(&kiosk.open()).await;
    let before = seen.lock().unwrap().take().expect("it was recorded");
    assert_eq!((before.outcome.as_deref(), before.elapsed_ms), (None, None));
    let [after] = &kiosk.transfers()[..] else { panic!("one transfer expected") };
    assert_eq!((after.outcome.as_deref(), after.scan_id.as_str()), (Some("0"), "01J"));
    assert_eq!((after.pages.as_slice(), after.bytes), (&[0][..], 21));
    assert_eq!((after.host.as_str(), after.consent.as_str()), ("127.0.0.1", "2026/17"));
}

#[tokio::test]
async fn nothing_is_sent_that_cannot_be_recorded() {
    let server = Server::saying(good());
    let kiosk = Kiosk::new(&server.address);
    let cloud = kiosk.open();
    let file = kiosk.config.kiosk.state.join("transfers.sqlite");
    rusqlite::Connection::open(file).unwrap().execute_batch("DROP TABLE transfers").unwrap();
    assert_for_review(&ask(&cloud).await, "no record");
    assert_eq!((failed(&cloud), server.requests().len()), ("not_recorded", 0));
}

#[tokio::test]
async fn each_code_has_its_consequence() {
    for (code, kind, outcomes, opens) in [
        (ErrorCode::NoReport, "refused", &["1"][..], false),
        (ErrorCode::UrlUnavailable, "refused", &["2"], false),
        (ErrorCode::BadInput, "refused", &["3"], false),
        (ErrorCode::Unauthorised, "wrong_key", &["wrong_key"], true),
        (ErrorCode::OutOfRequests, "out_of_requests", &["out_of_requests"], true),
        (ErrorCode::Internal, "failed", &["failed", "failed"], false),
    ] {
        let server = Server::saying(error(code, ""));
        let kiosk = Kiosk::new(&server.address);
        let cloud = kiosk.open();
        assert_for_review(&ask(&cloud).await, kind);
        assert_eq!((failed(&cloud), cloud.tally().breaker_open), (kind, opens), "{code:?}");
        assert_eq!(kiosk.outcomes(), outcomes, "{code:?}");
        ask(&cloud).await;
        let again = if opens { outcomes.len() } else { outcomes.len() * 2 };
        assert_eq!(server.requests().len(), again, "{code:?}");
    }
}

#[tokio::test]
async fn used_up_quota_is_left_alone_for_as_long_as_the_service_asks() {
    let server = Server::plain(|number, client| match number {
        0 => client.write_all(&error(ErrorCode::OutOfRequests, "Retry-After: 1\r\n")),
        _ => client.write_all(&good()),
    });
    let cloud = Kiosk::new(&server.address).open();
    let begun = Instant::now();
    ask(&cloud).await;
    assert!(cloud.tally().breaker_open);
    while cloud.tally().breaker_open {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(ask(&cloud).await.meta.unwrap().decision, Some(Verdict::Cloud));
}

#[tokio::test]
async fn service_that_fails_is_tried_again() {
    let server = Server::plain(|number, client| match number {
        0 => client.write_all(&response(503, "", "<html>busy</html>")),
        _ => client.write_all(&good()),
    });
    let kiosk = Kiosk::new(&server.address);
    let answer = ask(&kiosk.open()).await;
    assert_eq!(answer.meta.unwrap().decision, Some(Verdict::Cloud));
    assert_eq!(kiosk.outcomes(), ["failed", "0"]);
}

/// The service's answer with one member replaced.
fn lie_text(place: &str, lie: Json) -> String {
    let mut json = told();
    *json.pointer_mut(place).expect(place) = lie;
    json.to_string()
}

fn lie(place: &str, lie: Json) -> Vec<u8> {
    response(200, "", &lie_text(place, lie))
}

#[tokio::test]
async fn answer_that_cannot_be_believed_leaves_all_as_it_was() {
    let halved = good()[..good().len() / 2].to_vec();
    let large = response(200, "", &"x".repeat(9 << 20));
    let code_6_under_201 = response(201, "", &lie_text("/errorCode", json!("6")));
    for (case, answer, kind, attempts) in [
        ("cut off", halved, "broken", 2),
        ("nothing", Vec::new(), "broken", 2),
        ("no HTTP", b"SSH-2.0-OpenSSH\r\n\r\n".to_vec(), "broken", 2),
        ("garbage", response(200, "", "<html>0184618475</html>"), "lied", 2),
        ("too large", large, "too_large", 1),
        ("200 with code 6", lie("/errorCode", json!("6")), "failed", 2),
        ("201 with code 6", code_6_under_201, "lied", 2),
        ("400 with code 0", response(400, "", &told().to_string()), "lied", 2),
        ("unknown code", lie("/errorCode", json!("9")), "lied", 2),
        ("code of another type", lie("/errorCode", json!(0)), "lied", 2),
        ("no report", lie("/data/info", json!([])), "lied", 2),
        ("value of another type", lie("/data/info/0/address", json!(["Số 3"])), "lied", 2),
        ("more than sure", lie("/data/info/0/address_confidence", json!(1.5)), "lied", 2),
        ("page of another type", lie("/data/info/0/address_id", json!("1")), "lied", 2),
        ("row of another width", lie("/data/info/0/bad_debt", json!([[{}]])), "lied", 2),
        ("another paper", lie("/data/info/0/cic_code", json!("7929689130")), "other_document", 1),
        ("no such path", response(404, "", "gone"), "status", 1),
    ] {
        let server = Server::saying(answer);
        let cloud = Kiosk::new(&server.address).open();
        assert_for_review(&ask(&cloud).await, case);
        assert_eq!((failed(&cloud), server.requests().len()), (kind, attempts), "{case}");
    }
}

#[tokio::test]
async fn service_that_is_not_there_is_unreachable() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cloud = Kiosk::new(&format!("http://{address}/ocr")).open();
    assert_for_review(&ask(&cloud).await, "nobody listens");
    assert_eq!(failed(&cloud), "unreachable");
}

#[tokio::test]
async fn redirect_is_not_followed() {
    let elsewhere = Server::saying(good());
    let location = format!("Location: {}\r\n", elsewhere.address);
    for status in [302, 307] {
        let server = Server::saying(response(status, &location, ""));
        let cloud = Kiosk::new(&server.address).open();
        assert_for_review(&ask(&cloud).await, "redirect");
        assert_eq!((failed(&cloud), server.requests().len()), ("status", 1));
    }
    assert_eq!(elsewhere.requests().len(), 0);
}

#[tokio::test]
async fn time_is_bounded_however_slowly_the_service_talks() {
    let silent = Server::plain(|_, _| {
        thread::sleep(FOREVER);
        Ok(())
    });
    let dripping = Server::plain(|_, client| {
        client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")?;
        loop {
            client.write_all(b" ")?;
            client.flush()?;
            thread::sleep(Duration::from_millis(50));
        }
    });
    for server in [&silent, &dripping] {
        let kiosk = Kiosk::new(&server.address);
        let cloud = kiosk.open();
        assert_for_review(&ask(&cloud).await, "slow");
        assert_eq!((failed(&cloud), server.requests().len()), ("timed_out", 2));
        assert_eq!(kiosk.outcomes(), ["timed_out", "timed_out"]);
    }
    let hurried = Kiosk::with(&silent.address, |cloud| {
        cloud.attempts = 100.try_into().unwrap();
        cloud.total_seconds = 2.try_into().unwrap();
    });
    let (cloud, begun) = (hurried.open(), Instant::now());
    assert_for_review(&ask(&cloud).await, "hurried");
    assert!(begun.elapsed() < Duration::from_millis(2500), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn only_the_pinned_authorities_are_trusted() {
    let make = || generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (own, other) = (make(), make());
    let server = Server::secure(&own);
    for (authority, kind) in [(&own, None), (&other, Some("tls"))] {
        let mut kiosk = Kiosk::new(&server.address);
        let path = kiosk.folder.path().join("ca.pem");
        fs::write(&path, authority.cert.pem()).unwrap();
        kiosk.config.cloud.authorities = Some(path);
        let cloud = kiosk.open();
        let answer = ask(&cloud).await;
        match kind {
            None => assert_eq!(answer.meta.unwrap().decision, Some(Verdict::Cloud)),
            Some(kind) => {
                assert_for_review(&answer, kind);
                assert_eq!(failed(&cloud), kind);
            }
        }
    }
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn budget_of_the_day_is_kept_over_restarts() {
    let server = Server::saying(good());
    let kiosk = Kiosk::with(&server.address, |cloud| cloud.daily_budget = 2);
    ask(&kiosk.open()).await;
    ask(&kiosk.open()).await;
    let cloud = kiosk.open();
    assert_for_review(&ask(&cloud).await, "out of budget");
    assert_eq!((failed(&cloud), server.requests().len()), ("out_of_budget", 2));
}

#[tokio::test]
async fn each_attempt_counts_for_the_budget() {
    let server = Server::saying(error(ErrorCode::Internal, ""));
    let kiosk = Kiosk::with(&server.address, |cloud| {
        cloud.daily_budget = 3;
        cloud.attempts = 10.try_into().unwrap();
    });
    assert_for_review(&ask(&kiosk.open()).await, "out of budget");
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn breaker_opens_after_failures_and_lets_a_probe_pass() {
    let server = Server::plain(|number, client| match number {
        0..3 => client.write_all(&error(ErrorCode::Internal, "")),
        _ => client.write_all(&good()),
    });
    let kiosk = Kiosk::with(&server.address, |cloud| {
        cloud.attempts = 10.try_into().unwrap();
        cloud.breaker_failures = 3.try_into().unwrap();
        cloud.breaker_seconds = 1.try_into().unwrap();
    });
    let cloud = kiosk.open();
    assert_for_review(&ask(&cloud).await, "open");
    assert_eq!((failed(&cloud), server.requests().len()), ("breaker_open", 3));
    while cloud.tally().breaker_open {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(ask(&cloud).await.meta.unwrap().decision, Some(Verdict::Cloud));
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn switch_cuts_off_what_is_being_sent_and_lets_nothing_more_out() {
    let server = Server::plain(|_, _| {
        thread::sleep(FOREVER);
        Ok(())
    });
    let kiosk = Kiosk::with(&server.address, |cloud| {
        cloud.attempt_seconds = 60.try_into().unwrap();
        cloud.total_seconds = 60.try_into().unwrap();
    });
    let cloud = kiosk.open();
    let throw = async {
        while server.requests().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        cloud.allow(false);
        Instant::now()
    };
    let (answer, thrown) = tokio::join!(ask(&cloud), throw);
    assert!(thrown.elapsed() < Duration::from_secs(2));
    assert_for_review(&answer, "forbidden");
    assert_eq!(kiosk.outcomes(), ["forbidden"]);
    assert_for_review(&ask(&cloud).await, "still forbidden");
    assert_eq!((cloud.is_allowed(), server.requests().len()), (false, 1));
    cloud.allow(true);
    assert!(cloud.is_allowed());
}

#[tokio::test]
async fn what_holds_no_report_here_goes_out_as_it_is_where_the_service_does_not_help() {
    let nothing = || Answer::failure(ErrorCode::NoReport, Meta { pages: 1, ..Meta::default() });
    let server = Server::plain(|number, client| match number {
        0 => client.write_all(&error(ErrorCode::NoReport, "")),
        _ => client.write_all(&good()),
    });
    let cloud = Kiosk::new(&server.address).open();
    let answer = ask_with(&cloud, b"%PDF-1.7", nothing()).await;
    assert_eq!(
        (answer.error, answer.meta.unwrap().decision),
        (ErrorCode::NoReport, Some(Verdict::Local))
    );
    let answer = ask_with(&cloud, b"%PDF-1.7", nothing()).await;
    assert_eq!((answer.error, answer.meta.unwrap().source), (ErrorCode::Success, Source::Cloud));
}

#[tokio::test]
async fn only_the_pages_in_doubt_are_sent() {
    let server = Server::saying(good());
    let kiosk = Kiosk::with(&server.address, |cloud| cloud.send = Sent::Pages);
    let mut pdf = fixtures::PdfBuilder::new();
    for word in ["First", "Second", "Third"] {
        pdf.drawn_page(&format!("BT /F1 40 Tf 72 700 Td ({word}) Tj ET"), "");
    }
    let mut local = local();
    local.reports[0].scalar_mut(Field::Address).page = Some(1);
    local.meta.get_or_insert_default().pages = 3;
    let answer = ask_with(&kiosk.open(), &pdf.finish(""), local).await;
    assert_eq!(answer.reports[0].scalar(Field::Address).text, "Số 3");
    assert_eq!(answer.reports[0].scalar(Field::Address).page, Some(1));
    let [transfer] = &kiosk.transfers()[..] else { panic!("one transfer expected") };
    assert_eq!(transfer.pages, [1]);
    let body = server.requests().remove(0).body;
    let at = |needle: &[u8]| body.windows(needle.len()).position(|window| window == needle);
    let (from, to) = (at(b"%PDF").unwrap(), at(b"%%EOF").unwrap() + 5);
    let sent = Document::open(body[from..to].to_vec(), &Limits::default()).unwrap();
    assert_eq!((sent.page_count(), to - from), (1, transfer.bytes as usize));
}

#[tokio::test]
async fn page_that_cannot_be_made_is_not_sent() {
    let server = Server::saying(good());
    let kiosk = Kiosk::with(&server.address, |cloud| cloud.send = Sent::Pages);
    let cloud = kiosk.open();
    assert_for_review(&ask_with(&cloud, b"no document", local()).await, "no pages");
    assert_eq!((failed(&cloud), server.requests().len()), ("no_pages", 0));
}

#[test]
fn cloud_without_a_policy_or_its_credentials_is_none() {
    let error = |kiosk: &Kiosk| {
        let credentials = Credentials::new(Some(kiosk.folder.path()));
        let reader = Reader::new(&kiosk.config);
        match Cloud::new(&kiosk.config, &credentials, Arc::new(reader)) {
            Ok(_) => panic!("it should be refused"),
            Err(error) => error.to_string(),
        }
    };
    let address = "http://127.0.0.1:1/ocr";
    assert!(error(&Kiosk::with(address, |cloud| cloud.enabled = false)).contains("cloud.enabled"));
    assert!(error(&Kiosk::with(address, |cloud| cloud.hosts.clear())).contains("cloud.hosts"));
    let kiosk = Kiosk::new(address);
    fs::write(kiosk.folder.path().join(SECRET), "two\nlines\n").unwrap();
    assert!(error(&kiosk).contains("one line of text"));
    fs::remove_file(kiosk.folder.path().join(SECRET)).unwrap();
    assert!(error(&kiosk).contains(SECRET));
    let mut kiosk = Kiosk::new("https://127.0.0.1:1/ocr");
    kiosk.config.cloud.authorities = Some(kiosk.folder.path().join("none.pem"));
    assert!(error(&kiosk).contains("none.pem"));
    fs::write(kiosk.folder.path().join("none.pem"), "no certificate").unwrap();
    assert!(error(&kiosk).contains("cloud.authorities"));
}

/// A kiosk's own API on a real socket, as the cloud service.
struct Service {
    address: String,
    keys: Arc<KeyStore>,
    _folder: tempfile::TempDir,
}

impl Service {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = Arc::new(KeyStore::create(folder.path()).unwrap());
        let reader = Arc::new(Reader::new(&Config { reading: reading(), ..Config::default() }));
        let fetcher = Fetcher::new(Vec::new(), FetchLimits::default(), None).unwrap();
        let settings = Config::default().http;
        let api = Api::new(reader, Arc::clone(&keys), fetcher, settings, Limits::default(), None);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}{CREDIT_REPORT}", listener.local_addr().unwrap());
        let service = router(api).into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { address, keys, _folder: folder }
    }

    /// A kiosk with a key of this many requests a day.
    fn kiosk(&self, name: &str, quota: Option<u32>) -> Kiosk {
        let kiosk = Kiosk::with(&self.address, |cloud| {
            cloud.attempt_seconds = 100.try_into().unwrap();
            cloud.total_seconds = 100.try_into().unwrap();
        });
        let credentials = self.keys.add(name, quota).unwrap();
        fs::write(kiosk.folder.path().join(KEY), credentials.api_key).unwrap();
        fs::write(kiosk.folder.path().join(SECRET), credentials.api_secret).unwrap();
        kiosk
    }
}

/// With this repository's models.
fn reading() -> Reading {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from);
    let library = library.unwrap_or(root.join(".cache/onnxruntime/libonnxruntime.so"));
    let models = Some(root.join("models"));
    Reading { models, onnxruntime: Some(library), ..Reading::default() }
}

fn nothing_here(pages: usize) -> Answer {
    Answer::failure(ErrorCode::NoReport, Meta { pages, ..Meta::default() })
}

fn scan() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/reports/scan.pdf");
    fs::read(path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn kiosk_as_the_service_answers_with_its_codes() {
    let service = Service::start().await;
    // A digital document that is no report.
    let kiosk = service.kiosk("letter", None);
    ask_with(
        &kiosk.open(),
        &fixtures::drawn_pdf("BT /F1 9 Tf 72 700 Td (A letter) Tj ET"),
        local(),
    )
    .await;
    assert_eq!(kiosk.outcomes(), ["1"]);

    let kiosk = service.kiosk("damaged", None);
    ask_with(&kiosk.open(), b"no picture", local()).await;
    assert_eq!(kiosk.outcomes(), ["3"]);

    let kiosk = service.kiosk("wrong", None);
    fs::write(kiosk.folder.path().join(SECRET), "0".repeat(64)).unwrap();
    ask_with(&kiosk.open(), b"no picture", local()).await;
    assert_eq!(kiosk.outcomes(), ["wrong_key"]);

    let kiosk = service.kiosk("few", Some(1));
    let cloud = kiosk.open();
    ask_with(&cloud, b"no picture", local()).await;
    ask_with(&cloud, b"no picture", local()).await;
    ask_with(&cloud, b"no picture", local()).await;
    assert_eq!(kiosk.outcomes(), ["3", "out_of_requests"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn kiosk_as_the_service_reads_every_format() {
    let service = Service::start().await;
    let document = Document::open(scan(), &Limits::default()).unwrap();
    let page = document.page(0).unwrap().image;
    // Digital: the same page's text lies in the document.
    let digital = fixtures::drawn_pdf(DIGITAL);
    let picture = |format| fixtures::encoded(&DynamicImage::ImageRgb8(page.to_rgb8()), format);
    for (case, bytes, pages) in [
        ("digital", digital, 1),
        ("scan", scan(), document.page_count()),
        ("jpg", picture(ImageFormat::Jpeg), 1),
        ("png", picture(ImageFormat::Png), 1),
        ("tiff", picture(ImageFormat::Tiff), 1),
        ("webp", picture(ImageFormat::WebP), 1),
        ("bmp", picture(ImageFormat::Bmp), 1),
    ] {
        let kiosk = service.kiosk(case, None);
        let answer = ask_with(&kiosk.open(), &bytes, nothing_here(pages)).await;
        assert_eq!(kiosk.outcomes(), ["0"], "{case}");
        assert_eq!(answer.error, ErrorCode::Success, "{case}");
        assert!(!answer.reports[0].scalar(Field::CicCode).text.is_empty(), "{case}");
        assert_eq!(answer.meta.unwrap().source, Source::Cloud, "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kiosk_as_the_service_reads_the_pages_in_doubt_and_mends_what_is_wrong() {
    let service = Service::start().await;
    let mut kiosk = service.kiosk("pages", None);
    kiosk.config.cloud.send = Sent::Pages;
    kiosk.config.reading = reading();
    let reader = crate::reading::Local::new(&kiosk.config);
    let read = reader.read(scan(), ulid::Ulid::new(), false, &crate::reading::Stopwatch::default());
    let right = read.reports[0].scalar(Field::CicCode).clone();
    let mut local = read.clone();
    let code = local.reports[0].scalar_mut(Field::CicCode);
    (code.text, code.confidence) = ("7929689130".to_owned(), 0.3);
    let page = right.page.unwrap();
    let decided = decide(&local, &Decision::default(), true);
    let decided = Decided { pages: BTreeSet::from([page]), ..decided };
    let answer = kiosk.open().ask("01J", scan().into(), &decided, local).await;
    let [transfer] = &kiosk.transfers()[..] else { panic!("one transfer expected") };
    assert_eq!(transfer.pages, [page]);
    let mended = answer.reports[0].scalar(Field::CicCode);
    assert_eq!((&mended.text, mended.bounds), (&right.text, right.bounds));
}

/// The beginning of a report in letters that every reader's Helvetica has.
const DIGITAL: &str = "BT /F1 14 Tf 150 780 Td (BAO CAO THONG TIN TIN DUNG) Tj ET \
                       BT /F1 11 Tf 60 740 Td (1. THONG TIN CHUNG VE KHACH HANG) Tj ET \
                       BT /F1 10 Tf 60 715 Td (Ma so CIC:) Tj 140 0 Td (0184618475) Tj ET";
