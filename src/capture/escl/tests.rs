//! Against the strict scanner of `tests/capture/escl_server.py`, a process of its own.

use std::io::{BufRead, BufReader, Cursor};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use image::{ImageFormat, RgbImage};
use mdns_sd::{ServiceDaemon, ServiceInfo};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::capture::{Event, Outlet, Source, Taken, keep_at_work};

/// How long anything may take here, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A picture that does not compress, so that its file takes several reads.
fn picture(seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    let pixels = (0..200 * 280 * 3).map(|_| noise()).collect();
    let mut file = Cursor::new(Vec::new());
    RgbImage::from_raw(200, 280, pixels).unwrap().write_to(&mut file, ImageFormat::Jpeg).unwrap();
    file.into_inner()
}

/// The scanner.
struct Strict {
    child: Child,
    folder: TempDir,
    port: u16,
    tls: bool,
    pages: Vec<Vec<u8>>,
    glass: Vec<u8>,
    control: reqwest::Client,
}

impl Strict {
    fn new() -> Self {
        Self::with(None)
    }

    /// With TLS, by this certificate and key.
    fn with(tls: Option<&rcgen::CertifiedKey<rcgen::KeyPair>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pages: Vec<_> = (1..=8).map(picture).collect();
        let glass = picture(99);
        std::fs::create_dir(folder.path().join("feeder")).unwrap();
        for (number, page) in pages.iter().enumerate() {
            std::fs::write(folder.path().join(format!("feeder/{number}.jpg")), page).unwrap();
        }
        std::fs::write(folder.path().join("glass.jpg"), &glass).unwrap();
        let mut pinned = None;
        if let Some(tls) = tls {
            std::fs::write(folder.path().join("certificate"), tls.cert.pem()).unwrap();
            std::fs::write(folder.path().join("key"), tls.signing_key.serialize_pem()).unwrap();
            pinned = Some(Fingerprint::of(tls.cert.der()));
        }
        let (child, port) = spawn(folder.path(), 0, tls.is_some());
        let control = Trust::new(pinned).unwrap().client().unwrap().build().unwrap();
        Self { child, folder, port, tls: tls.is_some(), pages, glass, control }
    }

    fn url(&self) -> String {
        format!("http{}://127.0.0.1:{}/eSCL", if self.tls { "s" } else { "" }, self.port)
    }

    fn control(&self) -> String {
        self.url().replace("/eSCL", "/control")
    }

    async fn order(&self, orders: serde_json::Value) {
        let sent = self.control.post(self.control()).body(orders.to_string()).send().await;
        assert!(sent.unwrap().status().is_success());
    }

    /// What was asked of it.
    async fn requests(&self) -> Vec<String> {
        let told = self.control.get(self.control()).send().await.unwrap();
        serde_json::from_slice(&told.bytes().await.unwrap()).unwrap()
    }

    /// How many requests were like this.
    async fn count(&self, begin: &str, end: &str) -> usize {
        let fits = |it: &&String| it.starts_with(begin) && it.ends_with(end);
        self.requests().await.iter().filter(fits).count()
    }

    /// Waits until so many requests were like this.
    async fn wait_for(&self, begin: &str, end: &str, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.count(begin, end).await < count {
            assert!(Instant::now() < deadline, "{:?}", self.requests().await);
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn start_again(&mut self, port: u16) {
        (self.child, self.port) = spawn(self.folder.path(), port, self.tls);
    }

    /// Settings that lead to it.
    fn settings(&self) -> config::Escl {
        config::Escl { url: Some(self.url()), ..config::Escl::default() }
    }
}

impl Drop for Strict {
    fn drop(&mut self) {
        // It may have been killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &Path, port: u16, tls: bool) -> (Child, u16) {
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/capture/escl_server.py");
    let mut command = Command::new("python3");
    command.arg(program).arg("--feeder").arg(folder.join("feeder"));
    command.arg("--glass").arg(folder.join("glass.jpg")).args(["--port", &port.to_string()]);
    if tls {
        command.arg("--tls").arg(folder.join("certificate")).arg(folder.join("key"));
    }
    let mut child = command.stdout(Stdio::piped()).spawn().expect("python3 is installed");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, line.trim().parse().expect("a port"))
}

/// What came out of the source.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Page(Vec<u8>),
    End(End),
}

/// The source at work, and what keeps its pages.
struct Kiosk {
    seen: mpsc::UnboundedReceiver<Seen>,
    state: watch::Receiver<State>,
    orders: mpsc::Sender<Order>,
    stop: CancellationToken,
    work: JoinHandle<()>,
}

impl Kiosk {
    fn new(settings: config::Escl) -> Self {
        Self::slow(settings, Duration::ZERO)
    }

    /// It takes so long to make a page safe.
    fn slow(settings: config::Escl, each: Duration) -> Self {
        let source = Escl::new(settings, 64 << 20).unwrap();
        let stop = CancellationToken::new();
        let (port, outlet) = Port::new(stop.clone());
        let Outlet { mut events, state, orders, .. } = outlet;
        let (tell, seen) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                let _ = match event {
                    Event::Page(page, taken) => {
                        sleep(each).await;
                        let told = tell.send(Seen::Page(page.picture));
                        let _ = taken.send(Taken::Kept);
                        told
                    }
                    Event::End(end) => tell.send(Seen::End(end)),
                };
            }
        });
        let (mut source, mut port) = (source, port);
        let work =
            tokio::spawn(async move { keep_at_work(&mut source, Source::Escl, &mut port).await });
        Self { seen, state, orders, stop, work }
    }

    async fn see(&mut self) -> Seen {
        timeout(PATIENCE, self.seen.recv()).await.expect("something comes out").unwrap()
    }

    async fn see_pages(&mut self, pages: &[Vec<u8>]) {
        for (number, page) in pages.iter().enumerate() {
            let seen = self.see().await;
            // Not compared by `assert_eq`, which would print them.
            assert!(seen == Seen::Page(page.clone()), "page {} is another", number + 1);
        }
    }

    async fn see_end(&mut self, end: End) {
        assert_eq!(self.see().await, Seen::End(end));
    }

    fn sees_nothing(&mut self) {
        assert!(self.seen.try_recv().is_err());
    }

    async fn be(&mut self, fits: impl Fn(&State) -> bool) -> State {
        let state = timeout(PATIENCE, self.state.wait_for(|state| fits(state))).await;
        state.unwrap_or_else(|_| panic!("it is never so")).unwrap().clone()
    }

    async fn be_ready(&mut self) {
        self.be(|state| *state == State::Ready).await;
    }

    /// Waits for a state with these words.
    async fn be_told(&mut self, words: &str) -> State {
        self.be(|state| reason(state).contains(words)).await
    }

    async fn order(&self, order: Order) {
        self.orders.send(order).await.unwrap();
    }
}

impl Drop for Kiosk {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn reason(state: &State) -> &str {
    match state {
        State::Absent(reason) | State::Asking(reason) | State::Failing(reason) => reason,
        State::Ready | State::Busy => "",
    }
}

fn seconds(seconds: u32) -> NonZeroU32 {
    NonZeroU32::new(seconds).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_sheets_that_are_put_in_are_scanned_by_themselves_and_only_once() {
    let scanner = Strict::new();
    let mut kiosk = Kiosk::new(scanner.settings());
    kiosk.be_ready().await;
    scanner.wait_for("GET /eSCL/ScannerStatus", "200", 3).await;
    scanner.order(json!({ "loaded": 8 })).await;
    let begun = Instant::now();
    kiosk.see_pages(&scanner.pages[..1]).await;
    let first = begun.elapsed();
    kiosk.see_pages(&scanner.pages[1..]).await;
    kiosk.see_end(End::Paper).await;
    println!("first page after {first:?}, eight and the end after {:?}", begun.elapsed());
    kiosk.be_ready().await;
    scanner.wait_for("GET /eSCL/ScannerStatus", "200", 10).await;
    assert_eq!(scanner.count("POST /eSCL/ScanJobs", "201").await, 1);
    // The next lot is another scan.
    scanner.order(json!({ "loaded": 1 })).await;
    kiosk.see_pages(&scanner.pages[..1]).await;
    kiosk.see_end(End::Paper).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scanner_is_looked_at_about_once_a_second() {
    let scanner = Strict::new();
    let mut kiosk = Kiosk::new(scanner.settings());
    kiosk.be_ready().await;
    let (begun, before) = (Instant::now(), scanner.count("GET /eSCL/ScannerStatus", "200").await);
    sleep(Duration::from_secs(4)).await;
    let looks = scanner.count("GET /eSCL/ScannerStatus", "200").await - before;
    assert!(looks as f64 <= begun.elapsed().as_secs_f64() + 1.0, "{looks} looks");
}

#[tokio::test(flavor = "multi_thread")]
async fn paper_that_has_lain_there_waits_for_the_button() {
    let scanner = Strict::new();
    scanner.order(json!({ "loaded": 2 })).await;
    let mut kiosk = Kiosk::new(scanner.settings());
    scanner.wait_for("GET /eSCL/ScannerStatus", "200", 4).await;
    kiosk.sees_nothing();
    kiosk.order(Order::Start).await;
    kiosk.see_pages(&scanner.pages[..2]).await;
    kiosk.see_end(End::Paper).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_button_alone_paper_begins_nothing() {
    let scanner = Strict::new();
    let mut kiosk = Kiosk::new(config::Escl { begin: Begin::Button, ..scanner.settings() });
    kiosk.be_ready().await;
    sleep(GLANCE * 2).await;
    scanner.order(json!({ "loaded": 1 })).await;
    sleep(GLANCE * 2).await;
    kiosk.sees_nothing();
    kiosk.order(Order::Start).await;
    kiosk.see_pages(&scanner.pages[..1]).await;
    kiosk.see_end(End::Paper).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_cannot_see_paper_scans_for_the_button_and_never_by_itself() {
    let scanner = Strict::new();
    scanner.order(json!({ "airsane": true, "loaded": 2 })).await;
    let mut kiosk = Kiosk::new(scanner.settings());
    kiosk.be_ready().await;
    kiosk.order(Order::Start).await;
    kiosk.see_pages(&scanner.pages[..2]).await;
    kiosk.see_end(End::Paper).await;
    let looks = scanner.count("GET /eSCL/ScannerStatus", "200").await;
    scanner.wait_for("GET /eSCL/ScannerStatus", "200", looks + 6).await;
    assert_eq!(scanner.count("POST", "").await, 1);
    // It says that there is paper, and there is none.
    kiosk.order(Order::Start).await;
    kiosk.be_told("the feeder is empty: put the paper into it").await;
    kiosk.be_ready().await;
    kiosk.sees_nothing();
}

#[tokio::test(flavor = "multi_thread")]
async fn glass_gives_a_page_for_each_start_until_a_person_says_done() {
    let scanner = Strict::new();
    let mut kiosk = Kiosk::new(scanner.settings());
    kiosk.be_ready().await;
    for _ in 0..2 {
        kiosk.order(Order::Start).await;
        kiosk.see_pages(std::slice::from_ref(&scanner.glass)).await;
    }
    kiosk.be_ready().await;
    kiosk.sees_nothing();
    kiosk.order(Order::Done).await;
    kiosk.see_end(End::Person).await;
    scanner.wait_for("DELETE", "200", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_of_each_sheet_are_scanned() {
    let scanner = Strict::new();
    scanner.order(json!({ "loaded": 2 })).await;
    let settings = config::Escl { duplex: true, tray: Tray::Feeder, ..scanner.settings() };
    let mut kiosk = Kiosk::new(settings);
    kiosk.order(Order::Start).await;
    kiosk.see_pages(&scanner.pages[..4]).await;
    kiosk.see_end(End::Paper).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_feeder_is_said_and_nothing_else_is_scanned() {
    let scanner = Strict::new();
    let mut kiosk = Kiosk::new(config::Escl { tray: Tray::Feeder, ..scanner.settings() });
    kiosk.be_ready().await;
    kiosk.order(Order::Start).await;
    let state = kiosk.be_told("the feeder is empty: put the paper into it").await;
    assert!(matches!(state, State::Asking(_)));
    assert_eq!(scanner.count("POST", "").await, 0);
    kiosk.be_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrived_before_a_fault_is_given_and_the_fault_is_said_in_words() {
    let tried = [
        ("jam", "paper is jammed in the feeder: open its cover"),
        ("hatch", "the feeder's cover is open: close it"),
        ("abort", "the scan broke off: the scanner met an error"),
        ("blank", "the scan broke off: the scanner was not ready"),
        ("cut", "the connection to the scanner broke off"),
        ("torn", "a page arrived incomplete"),
        ("hang", "the scanner did not answer in time (5 s for a page"),
        ("error", "the scan broke off: the scanner met an error"),
        ("no_document", "something that is no picture"),
    ]
    .map(|(fault, words)| async move {
        let scanner = Strict::new();
        scanner.order(json!({ "loaded": 5, fault: 3 })).await;
        // Paper that is put in again after trouble would be scanned by itself.
        let mut settings = config::Escl { begin: Begin::Button, ..scanner.settings() };
        if fault == "hang" {
            settings.page_seconds = seconds(5);
        }
        let mut kiosk = Kiosk::new(settings);
        kiosk.order(Order::Start).await;
        kiosk.see_pages(&scanner.pages[..2]).await;
        kiosk.be_told(words).await;
        scanner.wait_for("DELETE", "200", 1).await;
        // It is told what to do until that is done; the rest is then scanned.
        scanner.order(json!({ "adf": "", fault: 0, "loaded": 1 })).await;
        kiosk.be_ready().await;
        kiosk.sees_nothing();
        kiosk.order(Order::Start).await;
        kiosk.see_pages(&scanner.pages[..1]).await;
        kiosk.see_end(End::Paper).await;
    });
    futures_util::future::join_all(tried).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paper_that_is_put_in_again_after_a_jam_goes_on_by_itself() {
    let scanner = Strict::new();
    scanner.order(json!({ "loaded": 3, "jam": 2 })).await;
    let mut kiosk = Kiosk::new(scanner.settings());
    kiosk.order(Order::Start).await;
    kiosk.see_pages(&scanner.pages[..1]).await;
    let state = kiosk.be(|state| matches!(state, State::Asking(_))).await;
    assert!(reason(&state).starts_with("paper is jammed"));
    let looks = scanner.count("GET /eSCL/ScannerStatus", "200").await;
    scanner.wait_for("GET /eSCL/ScannerStatus", "200", looks + 3).await;
    scanner.order(json!({ "jam": 0, "adf": "" })).await;
    kiosk.see_pages(&scanner.pages[..2]).await;
    kiosk.see_end(End::Paper).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scanner_that_is_out_of_order_or_busy_says_so_and_is_ready_afterwards() {
    let scanner = Strict::new();
    let mut kiosk = Kiosk::new(scanner.settings());
    for (orders, words) in [
        (json!({ "state": "Processing" }), "works for somebody else: wait"),
        (json!({ "state": "Testing" }), "tests itself: wait"),
        (json!({ "state": "Stopped" }), "has stopped: do what its own panel asks for"),
        (json!({ "state": "Down" }), "out of order: switch it off and on"),
        (json!({ "adf": "ScannerAdfHatchOpen" }), "cover is open: close it"),
        (json!({ "adf": "ScannerAdfInputTrayOverloaded" }), "take some of it out"),
    ] {
        scanner.order(orders).await;
        kiosk.be_told(words).await;
        scanner.order(json!({ "state": "Idle", "adf": "" })).await;
        kiosk.be_ready().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn busy_scanner_is_asked_again_as_it_says_and_not_for_ever() {
    let scanner = Strict::new();
    scanner.order(json!({ "loaded": 2, "busy": 2, "retry_after": "1", "wait": 2 })).await;
    let mut kiosk = Kiosk::new(config::Escl { page_seconds: seconds(6), ..scanner.settings() });
    kiosk.order(Order::Start).await;
    kiosk.see_pages(&scanner.pages[..2]).await;
    kiosk.see_end(End::Paper).await;
    assert_eq!(scanner.count("POST", "503").await, 2);
    assert_eq!(scanner.count("GET", "NextDocument 503").await, 2);

    scanner.order(json!({ "loaded": 1, "busy": 1000, "retry_after": "" })).await;
    kiosk.order(Order::Start).await;
    kiosk.be_told("busy with another scan: wait").await;
    scanner.order(json!({ "busy": 0, "wait": 1000 })).await;
    kiosk.be_ready().await;
    kiosk.order(Order::Start).await;
    kiosk.be_told("did not answer in time").await;
    // It asks for more time than a page may take.
    scanner.order(json!({ "retry_after": "18446744073709551615" })).await;
    kiosk.be_ready().await;
    kiosk.order(Order::Start).await;
    kiosk.be_told("did not answer in time").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scanner_that_denies_a_page_before_it_has_it_is_asked_again_and_not_for_ever() {
    let scanner = Strict::new();
    scanner.order(json!({ "loaded": 1, "early": 2 })).await;
    let mut kiosk = Kiosk::new(config::Escl { page_seconds: seconds(6), ..scanner.settings() });
    kiosk.order(Order::Start).await;
    kiosk.see_pages(&scanner.pages[..1]).await;
    kiosk.see_end(End::Paper).await;
    scanner.order(json!({ "loaded": 1, "early": 1000 })).await;
    kiosk.order(Order::Start).await;
    kiosk.be_told("did not answer in time").await;
    scanner.wait_for("DELETE", "200", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn job_is_found_wherever_the_scanner_says_that_it_is() {
    let scanner = Strict::new();
    let mut kiosk = Kiosk::new(scanner.settings());
    for location in ["url", "foreign"] {
        scanner.order(json!({ "loaded": 1, "location": location })).await;
        kiosk.order(Order::Start).await;
        kiosk.see_pages(&scanner.pages[..1]).await;
        kiosk.see_end(End::Paper).await;
    }
    scanner.order(json!({ "loaded": 1, "location": "none" })).await;
    kiosk.order(Order::Start).await;
    kiosk.be_told("does not say where the scan is").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_scan_is_deleted_at_the_scanner_in_the_middle_of_a_page() {
    let scanner = Strict::new();
    scanner.order(json!({ "loaded": 3, "page_seconds": 600 })).await;
    let mut kiosk = Kiosk::new(config::Escl { page_seconds: seconds(600), ..scanner.settings() });
    kiosk.order(Order::Start).await;
    scanner.wait_for("POST", "201", 1).await;
    kiosk.order(Order::Cancel).await;
    kiosk.see_end(End::Cancelled).await;
    scanner.wait_for("DELETE", "200", 1).await;
    kiosk.be_ready().await;
    kiosk.sees_nothing();
    scanner.order(json!({ "page_seconds": 0 })).await;
    kiosk.order(Order::Start).await;
    kiosk.see_pages(&scanner.pages[..3]).await;
    kiosk.see_end(End::Paper).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn source_that_is_stopped_ends_at_once_and_leaves_no_job() {
    let scanner = Strict::new();
    scanner.order(json!({ "loaded": 3, "page_seconds": 600 })).await;
    let mut kiosk = Kiosk::new(config::Escl { page_seconds: seconds(600), ..scanner.settings() });
    kiosk.order(Order::Start).await;
    scanner.wait_for("POST", "201", 1).await;
    kiosk.stop.cancel();
    timeout(Duration::from_secs(10), &mut kiosk.work).await.expect("it ends at once").unwrap();
    scanner.wait_for("DELETE", "200", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn done_during_a_scan_ends_it_after_its_last_page() {
    let scanner = Strict::new();
    scanner.order(json!({ "loaded": 2, "page_seconds": 1 })).await;
    let mut kiosk = Kiosk::new(scanner.settings());
    kiosk.order(Order::Start).await;
    scanner.wait_for("POST", "201", 1).await;
    kiosk.order(Order::Done).await;
    kiosk.see_pages(&scanner.pages[..2]).await;
    kiosk.see_end(End::Person).await;
    kiosk.be_ready().await;
    kiosk.sees_nothing();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_page_is_fetched_while_the_one_before_is_made_safe_and_no_more() {
    let scanner = Strict::new();
    scanner.order(json!({ "loaded": 3 })).await;
    let mut kiosk = Kiosk::slow(scanner.settings(), Duration::from_secs(5));
    kiosk.order(Order::Start).await;
    scanner.wait_for("GET", "NextDocument 200", 2).await;
    kiosk.sees_nothing();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scanner.count("GET", "NextDocument 200").await, 2);
    kiosk.see_pages(&scanner.pages[..3]).await;
    kiosk.see_end(End::Paper).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scanner_that_vanishes_in_the_middle_of_a_scan_is_used_again_when_it_is_back() {
    let mut scanner = Strict::new();
    scanner.order(json!({ "loaded": 3, "hang": 3 })).await;
    let mut kiosk = Kiosk::new(scanner.settings());
    kiosk.order(Order::Start).await;
    kiosk.see_pages(&scanner.pages[..2]).await;
    scanner.wait_for("GET", "hangs", 1).await;
    scanner.kill();
    let state = kiosk.be(|state| matches!(state, State::Absent(_))).await;
    assert_eq!(
        reason(&state),
        "the scanner cannot be reached: switch it on, check its cable and the network"
    );
    scanner.start_again(scanner.port);
    kiosk.be_ready().await;
    kiosk.order(Order::Start).await;
    kiosk.see_pages(std::slice::from_ref(&scanner.glass)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_a_fault_and_passes() {
    let scanner = Strict::new();
    for (name, words) in
        [("ScannerCapabilities", "does not say its capabilities"), ("ScannerStatus", "its status")]
    {
        scanner.order(json!({ "garbage": name })).await;
        let mut kiosk = Kiosk::new(scanner.settings());
        kiosk.be_told(words).await;
        scanner.order(json!({ "garbage": "" })).await;
        kiosk.be_ready().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn page_beyond_the_limit_is_refused() {
    let scanner = Strict::new();
    let source = Escl::new(scanner.settings(), 1000).unwrap();
    let client = source.find().await.unwrap().client;
    let there = client.capabilities().await.unwrap();
    let ticket = ticket(&there, Place::Glass, &source.settings).unwrap();
    let job = source.begin(&client, ticket.into()).await.unwrap().unwrap();
    let fault = job.next().await.unwrap_err();
    assert!(fault.to_string().contains("more than 1000 bytes"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_that_is_named_is_trusted_and_no_other() {
    let own = rcgen::generate_simple_self_signed(["scanner.local".to_owned()]).unwrap();
    let scanner = Strict::with(Some(&own));
    let seen = Fingerprint::of(own.cert.der()).to_string();
    for pin in [None, Some("0f".repeat(32))] {
        let mut kiosk = Kiosk::new(config::Escl { certificate_sha256: pin, ..scanner.settings() });
        let state = kiosk.be_told(&format!("if its SHA-256 is {seen} at the scanner")).await;
        assert!(matches!(state, State::Failing(_)));
    }
    scanner.order(json!({ "loaded": 2 })).await;
    let settings = config::Escl { certificate_sha256: Some(seen), ..scanner.settings() };
    let mut kiosk = Kiosk::new(settings);
    kiosk.order(Order::Start).await;
    kiosk.see_pages(&scanner.pages[..2]).await;
    kiosk.see_end(End::Paper).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_without_its_key_is_not_trusted() {
    // The scanner's certificate is known to everybody; its key is not.
    let own = rcgen::generate_simple_self_signed(["scanner.local".to_owned()]).unwrap();
    let thief = rcgen::KeyPair::generate().unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::try_from(thief.serialize_der()).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let stolen = rustls::sign::CertifiedKey::new(vec![own.cert.der().clone()], key);
    let stolen = std::sync::Arc::new(rustls::sign::SingleCertAndKey::from(stolen));
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(stolen);
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut talk = rustls::ServerConnection::new(server.clone().into()).unwrap();
            let _ = talk.complete_io(&mut stream);
        }
    });
    let settings = config::Escl {
        url: Some(format!("https://127.0.0.1:{port}/eSCL")),
        certificate_sha256: Some(Fingerprint::of(own.cert.der()).to_string()),
        ..config::Escl::default()
    };
    let fault = Escl::new(settings, 1).unwrap().probe().await.unwrap_err();
    assert!(fault.to_string().starts_with("no secure connection"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scanner_is_found_by_its_name_and_again_at_another_port() {
    let mut scanner = Strict::new();
    let name = format!("Strict Scanner {}", scanner.port);
    let uuid = format!("00000000-0000-0000-0000-{:012}", scanner.port);
    let mdns = ServiceDaemon::new().unwrap();
    let announce = |port| {
        let told = [("rs", "/eSCL"), ("ty", "Strict Scanner"), ("UUID", &uuid), ("txtvers", "1")];
        let host = format!("strict-{port}.local.");
        let kind = "_uscan._tcp.local.";
        let info = ServiceInfo::new(kind, &name, &host, "127.0.0.1", port, &told[..]).unwrap();
        mdns.register(info).unwrap();
    };
    announce(scanner.port);
    let settings = config::Escl { name: Some(name.clone()), ..config::Escl::default() };
    let mut kiosk = Kiosk::new(settings);
    kiosk.be_ready().await;
    let found = discover(SEARCH).await;
    let found = found.iter().find(|it| it.name == name).unwrap();
    assert_eq!((&found.model[..], &found.uuid), ("Strict Scanner", &uuid));

    scanner.kill();
    kiosk.be(|state| matches!(state, State::Absent(_))).await;
    scanner.start_again(0);
    announce(scanner.port);
    kiosk.be_ready().await;
    kiosk.order(Order::Start).await;
    kiosk.see_pages(std::slice::from_ref(&scanner.glass)).await;

    let by_uuid = config::Escl { name: Some(uuid.clone()), ..config::Escl::default() };
    assert!(Escl::new(by_uuid, 1).unwrap().probe().await.is_ok());
    let unknown = config::Escl { name: Some("nobody".to_owned()), ..config::Escl::default() };
    let fault = Escl::new(unknown, 1).unwrap().probe().await.unwrap_err();
    assert!(matches!(&fault, Fault::Absent(reason) if reason.contains("\"nobody\"")), "{fault}");
    mdns.shutdown().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn report_names_model_trays_and_state() {
    let scanner = Strict::new();
    scanner.order(json!({ "state": "Down" })).await;
    let report = Escl::new(scanner.settings(), 1).unwrap().probe().await.unwrap();
    assert_eq!(report.model, "Strict Scanner");
    assert_eq!(report.trays, ["glass", "feeder (both sides, 50 sheets)"]);
    assert!(matches!(report.state, State::Failing(_)));
}

/// AirSane in front of SANE's backend `test`, for one; what it answers is printed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real server: [ESCL_URL=…] cargo test real_server -- --ignored --nocapture"]
async fn real_server_gives_pages_from_its_glass_and_its_feeder() {
    let settings = config::Escl { url: std::env::var("ESCL_URL").ok(), ..config::Escl::default() };
    println!("{:#?}", discover(SEARCH).await);
    println!("{:#?}", Escl::new(settings.clone(), 1).unwrap().probe().await);
    for tray in [Tray::Glass, Tray::Feeder] {
        let mut kiosk = Kiosk::new(config::Escl { tray, ..settings.clone() });
        let mut state = kiosk.state.clone();
        tokio::spawn(async move {
            while state.changed().await.is_ok() {
                println!("{:?}", *state.borrow_and_update());
            }
        });
        kiosk.be_ready().await;
        let begun = Instant::now();
        kiosk.order(Order::Start).await;
        let mut pages = 0;
        while let Seen::Page(page) = kiosk.see().await {
            pages += 1;
            let size = image::load_from_memory(&page).map(|it| (it.width(), it.height())).unwrap();
            println!("{tray:?} {pages}: {} bytes, {size:?}, {:?}", page.len(), begun.elapsed());
            if tray == Tray::Glass {
                break;
            }
        }
        assert!(pages > 0);
        kiosk.be_ready().await;
        println!("{tray:?}: ready again after {:?}", begun.elapsed());
    }
}

#[test]
fn bad_settings_are_named_by_their_keys() {
    let refused = |settings| Escl::new(settings, 1).err().unwrap();
    let url = |url: &str| config::Escl { url: Some(url.to_owned()), ..config::Escl::default() };
    for bad in ["", "scanner", "ftp://scanner/eSCL", "http://a:b@scanner/eSCL", "http://s/?x=1"] {
        assert!(refused(url(bad)).starts_with("escl.url: "), "{bad}");
    }
    let pin = Some("0f".repeat(32));
    let short = config::Escl { certificate_sha256: Some("0f".to_owned()), ..url("https://s/eSCL") };
    assert!(refused(short).starts_with("escl.certificate_sha256: "));
    let plain = config::Escl { certificate_sha256: pin, ..url("http://s/eSCL") };
    assert!(refused(plain).starts_with("escl.certificate_sha256: "));
    let both = config::Escl { name: Some("A".to_owned()), ..url("http://s/eSCL") };
    assert!(refused(both).starts_with("escl.name: "));
}

#[test]
fn paper_counts_as_new_after_two_looks_without_and_two_with_it() {
    let (loaded, empty) = (Some(Feeder::Loaded), Some(Feeder::Empty));
    let new = |looks: &[Option<Feeder>]| {
        let mut paper = Paper::AT_THE_START;
        looks.iter().map(|look| paper.look(*look)).collect::<Vec<_>>().contains(&true)
    };
    assert!(new(&[empty, loaded, loaded]), "no scan can have left the feeder just now");
    assert!(new(&[empty, empty, loaded, loaded]));
    assert!(new(&[loaded, empty, empty, None, loaded, Some(Feeder::Processing), loaded]));
    assert!(new(&[Some(Feeder::Trouble("jam")), empty, loaded, loaded]));
    assert!(!new(&[loaded; 9]));
    assert!(!new(&[loaded, empty, loaded, loaded, empty, loaded, loaded]));
    assert!(!new(&[empty, empty, loaded, empty, empty, loaded]));
    assert!(!new(&[None; 9]));
}
