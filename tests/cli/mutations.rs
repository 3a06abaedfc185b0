//! `serve` among strangers: ten thousand requests with something wrong about each.
//!
//! Whatever comes, the server lives, answers in the contract's JSON, gives back what it took, and
//! tells its log nothing of what was sent.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use image::{DynamicImage, ImageFormat};
use serde_json::Value as Json;
use tempfile::TempDir;

use crate::fixtures::{PdfBuilder, encoded};
use crate::kiosk::{bare_kiosk, kiosk, run};

/// All together. Each is made from its number (and the server's key), so that a failure can be had
/// again.
const REQUESTS: usize = 10_000;

/// The first ones take their time over the body, all at once.
const SLOW: usize = 24;

/// As many at a time as keep two cores busy while some wait for their answers.
const CLIENTS: usize = 16;

/// Bytes and pixels that a document may have here: a bit more than the seeds.
const MAX_BYTES: usize = 20_000;
const MAX_PIXELS: usize = 200_000;

/// What a request may have beside its document, and more: base64, the heads of a form.
const TOO_MANY_BYTES: usize = 200_000;

/// A short patience with bodies, and room for all clients: none is turned away.
const CONFIGURATION: &str = "[http]\nbody_seconds = 2\nqueue = 64\n[url]\nmax_seconds = 5\n";

/// More than the server has patience for.
const TOO_SLOW: Duration = Duration::from_secs(3);

/// After this time without an answer, the server may be waiting for more, and learns that there is
/// none.
const PATIENCE: Duration = Duration::from_millis(300);

/// Nothing takes longer, however loaded the machine is.
const LIMIT: Duration = Duration::from_secs(60);

/// What the server may hold at any time.
const MEMORY: u64 = 350 << 20;

/// What a heap may still grow by, until it has met all sizes: 6 KiB a request, less than any would
/// leave behind that was forgotten.
const UNSETTLED: u64 = 32 << 20;

const PATH: &str = "/api/v2/ocr/document/credit_report";
const BOUNDARY: &str = "7MA4YWxkTrZu0gW";

/// What is printed on the document, and its name: none of it is for a log.
const CIC_CODE: &str = "9473064492";
const ID_CARD: &str = "012345678901";
const ADDRESS: &str = "So 8 Pham Van Dong";
const NAME: &str = "of-a-customer.pdf";

#[test]
fn ten_thousand_mutated_requests_leave_the_server_as_it_was() {
    let server = Server::start();
    let seeds = Seeds::new(&server);
    let first = server.valid_answers(&seeds);
    let (threads, descriptors) = (server.count("task"), server.count("fd"));

    let memory = server.storm(&seeds);

    assert!(server.is_alive(), "the server ended: {}", server.log());
    assert_eq!(server.valid_answers(&seeds), first, "valid requests are answered as before");
    server.wait_until("threads", || server.count("task") <= threads);
    server.wait_until("descriptors", || server.count("fd") <= descriptors);

    let most = |range: Range<usize>| {
        let held = memory.iter().filter(|(done, _)| range.contains(done)).map(|(_, bytes)| *bytes);
        held.max().unwrap_or(0)
    };
    let (before, after) = (most(0..REQUESTS / 2), most(REQUESTS / 2..REQUESTS));
    assert!(after < MEMORY, "held {} MiB", after >> 20);
    let allowed = before + before / 10 + UNSETTLED;
    assert!(after < allowed, "{} MiB became {}", before >> 20, after >> 20);

    let log = server.log();
    // Decoders may panic over damaged files: they do so on threads of their own.
    let panic = log.lines().find(|line| line.contains("panicked") && !line.contains("\"decoder\""));
    assert_eq!(panic, None);
    let basic = server.authorisation.trim_start_matches("Basic ");
    for secret in [CIC_CODE, ID_CARD, ADDRESS, NAME, &server.secret, basic, "JVBERi"] {
        assert!(!log.contains(secret), "the log holds {secret}");
    }
}

/// The server under test, with debug messages.
struct Server {
    child: Mutex<Child>,
    folder: TempDir,
    address: SocketAddr,
    authorisation: String,
    secret: String,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (state, configuration) = (folder.path().join("state"), folder.path().join("c.toml"));
        fs::write(&configuration, CONFIGURATION).expect("a file");
        let key =
            run(bare_kiosk().args(["keys", "add", "branch", "--json", "--state"]).arg(&state), b"")
                .json();
        let text = |member: &str| key[member].as_str().expect("it is printed").to_owned();
        let (api_key, secret) = (text("api_key"), text("api_secret"));
        let mut child = kiosk("serve")
            .args(["--listen", "127.0.0.1:0", "--allow-url-host", "127.0.0.1"])
            .args(["--max-bytes", &MAX_BYTES.to_string()])
            .args(["--max-pixels", &MAX_PIXELS.to_string()])
            .arg("--state")
            .arg(&state)
            .arg("--config")
            .arg(&configuration)
            .env("RUST_LOG", "debug")
            .stdout(Stdio::piped())
            .stderr(File::create(folder.path().join("log")).expect("a file"))
            .spawn()
            .expect("the program is built");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let address = line.trim().rsplit('/').next().and_then(|address| address.parse().ok());
        Self {
            child: Mutex::new(child),
            folder,
            address: address.expect("it says where it listens"),
            authorisation: format!("Basic {}", encode(format!("{api_key}:{secret}"))),
            secret,
        }
    }

    /// Sends all mutated requests. What the server held, and after how many of them.
    fn storm(&self, seeds: &Seeds) -> Vec<(usize, u64)> {
        let (next, done) = (AtomicUsize::new(SLOW), AtomicUsize::new(0));
        let (faults, codes) = (Mutex::new(Vec::new()), Mutex::new(BTreeMap::new()));
        let send = |number: usize| {
            let (name, attempt) = seeds.attempt(number);
            match self.send(&attempt).and_then(|answers| attempt.judge(&answers)) {
                Ok(judged) => {
                    let mut codes = codes.lock().expect("no panic");
                    judged.into_iter().for_each(|code| *codes.entry(code).or_insert(0_usize) += 1);
                }
                Err(fault) => {
                    faults.lock().expect("no panic").push(format!("{number} ({name}): {fault}"));
                }
            }
            done.fetch_add(1, Ordering::Relaxed);
        };
        let mut memory = Vec::new();
        thread::scope(|scope| {
            (0..SLOW).for_each(|number| _ = scope.spawn(move || send(number)));
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    while let number @ ..REQUESTS = next.fetch_add(1, Ordering::Relaxed) {
                        send(number);
                    }
                });
            }
            while done.load(Ordering::Relaxed) < REQUESTS {
                memory.push((done.load(Ordering::Relaxed), self.resident()));
                thread::sleep(Duration::from_millis(20));
            }
        });
        let (faults, codes) = (faults.into_inner().expect("no panic"), codes.into_inner());
        let few = &faults[..faults.len().min(10)];
        assert!(faults.is_empty(), "{} requests, among them\n{}", faults.len(), few.join("\n"));
        let codes = codes.expect("no panic");
        println!("answers by error code, `bare` without one: {codes:?}");
        let contract: usize = codes.iter().filter(|(code, _)| **code != BARE).map(|(_, n)| n).sum();
        assert!(contract > REQUESTS / 2, "most mutations get past the head: {codes:?}");
        memory
    }

    fn send(&self, attempt: &Attempt) -> Result<Vec<Answer>, String> {
        attempt.send(self.address).map_err(|error| error.to_string())
    }

    /// The data of the answers to each of the seeds.
    fn valid_answers(&self, seeds: &Seeds) -> Vec<Json> {
        let data = |seed: &Seed| {
            let attempt = Attempt::expecting(seed.code, seed.message.bytes());
            let answers = self.send(&attempt).expect("a valid request is answered");
            attempt.judge(&answers).expect("a valid request is answered well");
            answers[0].json().expect("JSON")["data"].take()
        };
        seeds.all.iter().map(data).collect()
    }

    fn is_alive(&self) -> bool {
        matches!(self.child.lock().expect("no panic").try_wait(), Ok(None))
    }

    fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < LIMIT, "{what} are not given back");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn process(&self, entry: &str) -> String {
        format!("/proc/{}/{entry}", self.child.lock().expect("no panic").id())
    }

    /// How many of these the process has: `fd` or `task`.
    fn count(&self, what: &str) -> usize {
        fs::read_dir(self.process(what)).map_or(usize::MAX, Iterator::count)
    }

    /// Bytes of memory that it holds now.
    fn resident(&self) -> u64 {
        let status = fs::read_to_string(self.process("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kilobytes.unwrap_or(0) * 1024
    }

    fn log(&self) -> String {
        let log = fs::read(self.folder.path().join("log")).expect("it was made");
        String::from_utf8_lossy(&log).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(child) = self.child.get_mut() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Serves these bytes at every address, for as long as the test runs.
fn origin(document: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away in between is none to worry about.
            let _ = serve_once(stream, &document);
        }
    });
    address
}

fn serve_once(mut stream: TcpStream, document: &[u8]) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = BufReader::new(stream.try_clone()?).lines();
    while head.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let length = document.len();
    write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n")?;
    stream.write_all(document)
}

/// A request that is not yet bytes.
#[derive(Clone)]
struct Message {
    line: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Message {
    fn set(&mut self, name: &str, value: impl Into<Vec<u8>>) -> &mut Self {
        self.unset(name).add(name, value)
    }

    fn unset(&mut self, name: &str) -> &mut Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    fn add(&mut self, name: &str, value: impl Into<Vec<u8>>) -> &mut Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    fn body(&mut self, body: impl Into<Vec<u8>>) -> &mut Self {
        self.body = body.into();
        self
    }

    fn head(&self) -> Vec<u8> {
        let mut bytes = format!("{}\r\n", self.line).into_bytes();
        let has = |name: &str| self.headers.iter().any(|(other, _)| other == name);
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        if !self.body.is_empty() && !has("Content-Length") && !has("Transfer-Encoding") {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    fn bytes(&self) -> Vec<u8> {
        [self.head(), self.body.clone()].concat()
    }
}

/// A valid request, and the error code of its answer.
struct Seed {
    message: Message,
    code: &'static str,
}

/// What mutations begin with.
struct Seeds {
    pdf: Vec<u8>,
    png: Vec<u8>,
    /// By URL, then in each kind of body, and last a picture.
    all: Vec<Seed>,
    /// The part of an address that must stay whole: with another host, the server would ask
    /// strangers.
    origin: String,
}

impl Seeds {
    fn new(server: &Server) -> Self {
        let (pdf, png) = (report(), encoded(&DynamicImage::new_rgb8(48, 32), ImageFormat::Png));
        let origin = format!("http://{}/", origin(pdf.clone()));
        let request = |method: &str, query: &str, content_type: &str, body: &[u8]| Message {
            line: format!("{method} {PATH}?{query} HTTP/1.1"),
            headers: [("Host", "kiosk"), ("Authorization", &server.authorisation)]
                .into_iter()
                .chain(Some(("Content-Type", content_type)).filter(|(_, kind)| !kind.is_empty()))
                .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
                .collect(),
            body: body.to_vec(),
        };
        let multipart = format!("multipart/form-data; boundary={BOUNDARY}");
        let escaped = encode(&pdf).replace('+', "%2B").replace('/', "%2f").replace('=', "%3D");
        let seeds = [
            ("0", request("GET", &format!("img={origin}{NAME}&format_type=url"), "", b"")),
            ("0", request("POST", "format_type=file&get_thumb=false", &multipart, &form(&pdf))),
            ("0", request("POST", "format_type=base64", "application/json", &json(&pdf))),
            (
                "0",
                request(
                    "POST",
                    "",
                    "application/x-www-form-urlencoded",
                    format!("get_thumb=True&format_type=base64&img={escaped}").as_bytes(),
                ),
            ),
            ("1", request("POST", "format_type=file", &multipart, &form(&png))),
        ];
        let all = seeds.into_iter().map(|(code, message)| Seed { message, code }).collect();
        Self { pdf, png, all, origin }
    }

    fn any(&self, dice: &mut Dice) -> &Seed {
        self.one_from(0, dice)
    }

    /// One with a body.
    fn posted(&self, dice: &mut Dice) -> &Seed {
        self.one_from(1, dice)
    }

    /// The picture comes rarely: it needs the models, and a hundred times as long as the others.
    fn one_from(&self, first: usize, dice: &mut Dice) -> &Seed {
        let end = self.all.len() - usize::from(dice.below(20) > 0);
        dice.one(&self.all[first..end])
    }

    fn multipart(&self) -> Message {
        self.all[1].message.clone()
    }

    fn json(&self) -> Message {
        self.all[2].message.clone()
    }

    /// Some place in a request where it may be changed.
    fn place(&self, dice: &mut Dice, bytes: &[u8]) -> usize {
        let origin = self.origin.as_bytes();
        let from = bytes.windows(origin.len()).position(|window| window == origin);
        let kept = from.map_or(0..0, |from| from..from + origin.len());
        loop {
            let place = dice.below(bytes.len());
            if !kept.contains(&place) {
                return place;
            }
        }
    }

    /// The request of this number, and what is wrong with it.
    fn attempt(&self, number: usize) -> (&'static str, Attempt) {
        let mut dice = Dice::new(number as u64);
        if number < SLOW {
            return ("slow body", slow_body(self, &mut dice));
        }
        let (name, mutation) = MUTATIONS[number % MUTATIONS.len()];
        (name, mutation(self, &mut dice))
    }
}

/// A report of a few lines on a small sheet. Its text layer needs no model: a reading takes
/// milliseconds.
fn report() -> Vec<u8> {
    let lines = [
        "BAO CAO CHI TIET QUAN HE TIN DUNG".to_owned(),
        "1. THONG TIN CHUNG VE KHACH HANG".to_owned(),
        format!("Ma so CIC: {CIC_CODE}"),
        format!("So CMND/CCCD: {ID_CARD}"),
        format!("Dia chi: {ADDRESS}"),
    ];
    let text: String = (0..)
        .zip(lines)
        .map(|(i, line)| format!("BT /F1 8 Tf 10 {} Td ({line}) Tj ET\n", 76 - 14 * i))
        .collect();
    let mut pdf = PdfBuilder::new();
    let content = pdf.stream("", text.as_bytes());
    pdf.page(&format!(
        "/MediaBox [0 0 240 90] /Contents {content} 0 R /Resources << /Font << /F1 << /Type /Font \
         /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >> >> >>"
    ));
    pdf.finish("")
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// In Latin-1, bytes that are no UTF-8 can be written as text.
fn latin_1(text: &str) -> Vec<u8> {
    text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap_or(b'?')).collect()
}

fn json(document: &[u8]) -> Vec<u8> {
    format!(r#"{{"img": "{}"}}"#, encode(document)).into_bytes()
}

/// A form with a document as its file.
fn form(document: &[u8]) -> Vec<u8> {
    let disposition = "form-data; name=\"img\"; filename=\"a.pdf\"";
    let head = format!("--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n").into_bytes();
    [&head, document, format!("\r\n--{BOUNDARY}--\r\n").as_bytes()].concat()
}

/// Marsaglia's xorshift with Vigna's multiplier: the same numbers for the same seed, everywhere.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // Seeds that are close give numbers that are far apart only after some rounds.
        (0..8).for_each(|_| _ = dice.roll());
        dice
    }

    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        (((self.roll() >> 32) * end as u64) >> 32) as usize
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// One of several texts, which bars part.
    fn text<'a>(&mut self, of: &'a str) -> &'a str {
        let texts: Vec<&str> = of.split(" | ").collect();
        texts[self.below(texts.len())]
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.roll().to_be_bytes()[0]).collect()
    }
}

/// How a request goes over the wire.
enum Manner {
    /// All at once, and then its sender waits for the answer.
    Whole,
    /// All at once, and then the sender says that nothing more comes.
    Closed,
    /// The connection is closed after that, and no answer waited for.
    Dropped,
    /// So many bytes at once, then one after each pause, for longer than the server waits.
    Slow(usize, Duration),
}

/// What is sent, and what must come back.
struct Attempt {
    bytes: Vec<u8>,
    manner: Manner,
    /// Error codes of the answers, one for each request, where they are certain.
    expected: Vec<&'static str>,
}

impl Attempt {
    fn new(manner: Manner, bytes: Vec<u8>) -> Self {
        Self { bytes, manner, expected: Vec::new() }
    }

    fn whole(bytes: Vec<u8>) -> Self {
        Self::new(Manner::Whole, bytes)
    }

    fn expecting(code: &'static str, bytes: Vec<u8>) -> Self {
        Self { expected: vec![code], ..Self::whole(bytes) }
    }

    /// Sends it and gives all answers. An error says that the server neither answers nor closes.
    fn send(&self, to: SocketAddr) -> io::Result<Vec<Answer>> {
        let mut stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(LIMIT))?;
        // A server that has had enough may close before it has everything.
        let _ = self.write(&mut stream);
        match self.manner {
            Manner::Dropped => return Ok(Vec::new()),
            Manner::Closed => _ = stream.shutdown(Shutdown::Write),
            Manner::Whole | Manner::Slow(..) => {}
        }
        let mut patience = if self.expected.is_empty() { PATIENCE } else { LIMIT };
        let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            stream.set_read_timeout(Some(patience))?;
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && patience < LIMIT => {
                    patience = LIMIT;
                    let _ = stream.shutdown(Shutdown::Write);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                Err(_) => break,
            }
            let answers = self.answers(&received);
            if answers.len() >= self.expected.len().max(1) {
                return Ok(answers);
            }
        }
        Ok(self.answers(&received))
    }

    fn write(&self, stream: &mut TcpStream) -> io::Result<()> {
        let Manner::Slow(at_once, pause) = self.manner else {
            return stream.write_all(&self.bytes);
        };
        let begun = Instant::now();
        stream.write_all(&self.bytes[..at_once])?;
        for byte in &self.bytes[at_once..] {
            thread::sleep(pause);
            if begun.elapsed() > TOO_SLOW {
                break;
            }
            stream.write_all(&[*byte])?;
        }
        Ok(())
    }

    fn answers(&self, mut received: &[u8]) -> Vec<Answer> {
        let mut answers = Vec::new();
        while let Some((answer, rest)) = Answer::split(received, self.bytes.starts_with(b"HEAD ")) {
            // `100 Continue` is none yet.
            answers.extend(Some(answer).filter(|answer| answer.status >= 200));
            received = rest;
        }
        answers
    }

    /// Demands the contract of each answer, and gives their codes.
    fn judge(&self, answers: &[Answer]) -> Result<Vec<&'static str>, String> {
        let codes: Result<Vec<_>, _> = answers.iter().map(Answer::judge).collect();
        let codes = codes?;
        if codes.starts_with(&self.expected) {
            Ok(codes)
        } else {
            Err(format!("{codes:?} where {:?} is right", self.expected))
        }
    }
}

/// A response.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
    /// Whether it says how long its body is, and has none: an answer to HEAD.
    is_head: bool,
}

/// An answer without the contract's code, to what is no HTTP request.
const BARE: &str = "bare";

/// Code, message and HTTP statuses. A failure of our own (500) is right for no request here.
const CONTRACT: [(&str, &str, &[u16]); 7] = [
    ("0", "Success", &[200]),
    ("1", "Incorrect image format", &[422]),
    ("2", "Url is unavailable", &[424]),
    ("3", "Incorrect image format", &[400]),
    ("4", "Incorrect api_key or api_secret", &[401]),
    ("5", "Out of requests", &[429]),
    ("6", "Error when processing the request", &[404, 405, 503]),
];

impl Answer {
    /// The first response, where it is complete, and what follows it.
    fn split(received: &[u8], is_head: bool) -> Option<(Self, &[u8])> {
        let end = received.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = String::from_utf8(received[..end].to_vec()).ok()?;
        let status = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
        let answer = Self { status, head, body: Vec::new(), is_head };
        let length = answer.header("content-length").map_or(Some(0), |value| value.parse().ok())?;
        let length = if is_head { 0 } else { length };
        let body = received.get(end..end + length)?.to_vec();
        Some((Self { body, ..answer }, &received[end + length..]))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut values = lines.filter(|(other, _)| *other == name).map(|(_, value)| value.trim());
        values.next()
    }

    fn json(&self) -> Option<Json> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Its error code, if the answer is as the contract says.
    fn judge(&self) -> Result<&'static str, String> {
        let fault = || format!("{}{}", self.head, String::from_utf8_lossy(&self.body));
        // What hyper says of broken heads never gets to our router, which sets this on everything.
        if self.header("x-content-type-options").is_none() {
            let is_bare = matches!(self.status, 400 | 408 | 414 | 431) && self.body.is_empty();
            return if is_bare { Ok(BARE) } else { Err(fault()) };
        }
        if self.is_head {
            return if matches!(self.status, 404 | 405) { Ok("6") } else { Err(fault()) };
        }
        let json = self.json().ok_or_else(fault)?;
        let entry = CONTRACT.iter().find(|(code, ..)| json["errorCode"] == *code);
        let (code, message, statuses) = entry.ok_or_else(fault)?;
        let mut members: Vec<&str> =
            json.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        members.sort_unstable();
        let info = json["data"]["info"].as_array().ok_or_else(fault)?;
        let announced = match self.status {
            401 => self.header("www-authenticate").is_some(),
            429 | 503 => self.header("retry-after").is_some(),
            405 => self.header("allow").is_some(),
            _ => true,
        };
        let holds = members == ["data", "errorCode", "errorMessage", "meta"]
            && json["errorMessage"] == *message
            && json["data"]["type"] == "credit_report"
            && info.is_empty() == (*code != "0")
            && json["meta"]["detail"].is_string() == (*code != "0")
            && statuses.contains(&self.status)
            && announced;
        if holds { Ok(code) } else { Err(fault()) }
    }
}

type Mutation = fn(&Seeds, &mut Dice) -> Attempt;

const MUTATIONS: [(&str, Mutation); 22] = [
    ("head cut off", head_cut_off),
    ("body cut off", body_cut_off),
    ("client gone", client_gone),
    ("wrong length", wrong_length),
    ("two lengths", two_lengths),
    ("chunks", chunks),
    ("broken chunks", broken_chunks),
    ("too large", too_large),
    ("content type", content_type),
    ("broken form", broken_form),
    ("broken base64", broken_base64),
    ("broken JSON", broken_json),
    ("flood of headers", flood_of_headers),
    ("wrong credentials", wrong_credentials),
    ("null bytes", null_bytes),
    ("query", query),
    ("bits flipped", bits_flipped),
    ("bits of the document flipped", bits_of_the_document_flipped),
    ("piece moved", piece_moved),
    ("pipeline", pipeline),
    ("request line", request_line),
    ("expectations", expectations),
];

fn head_cut_off(seeds: &Seeds, dice: &mut Dice) -> Attempt {
    let mut head = seeds.any(dice).message.head();
    head.truncate(dice.below(head.len()));
    Attempt::new(if dice.coin() { Manner::Closed } else { Manner::Dropped }, head)
}

fn body_cut_off(seeds: &Seeds, dice: &mut Dice) -> Attempt {
    let message = &seeds.posted(dice).message;
    let mut bytes = message.bytes();
    bytes.truncate(message.head().len() + dice.below(message.body.len()));
    Attempt::new(if dice.coin() { Manner::Closed } else { Manner::Dropped }, bytes)
}

fn client_gone(seeds: &Seeds, dice: &mut Dice) -> Attempt {
    Attempt::new(Manner::Dropped, seeds.any(dice).message.bytes())
}

/// Its head and some of its body come at once.
fn slow_body(seeds: &Seeds, dice: &mut Dice) -> Attempt {
    let message = &seeds.posted(dice).message;
    let at_once = message.head().len() + dice.below(message.body.len() / 2);
    let pause = Duration::from_millis(100 + 100 * dice.below(40) as u64);
    let slow = Attempt::new(Manner::Slow(at_once, pause), message.bytes());
    Attempt { expected: vec!["3"], ..slow }
}

fn wrong_length(seeds: &Seeds, dice: &mut Dice) -> Attempt {
    let mut message = seeds.posted(dice).message.clone();
    let length = message.body.len();
    let near = *dice.one(&[0, 1, length / 2, length - 1, length + 1, 2 * length]);
    let far = dice.text(
        "-1 |  | +5 | 0x10 | 1e3 | 5 5 | 5,5 | \u{664} | 4294967296 | 9223372036854775807 | \
         18446744073709551615 | 18446744073709551616",
    );
    message.set("Content-Length", if dice.coin() { near.to_string() } else { far.to_owned() });
    Attempt::whole(message.bytes())
}

fn two_lengths(seeds: &Seeds, dice: &mut Dice) -> Attempt {
    let mut message = seeds.posted(dice).message.clone();
    let length = message.body.len();
    let other = *dice.one(&[length, 0, 1, length + 1]);
    message.add("Content-Length", length.to_string());
    match dice.below(3) {
        0 => message.add("Content-Length", other.to_string()),
        1 => message.set("Content-Length", format!("{length}, {other}")),
        _ => message.add("Transfer-Encoding", "chunked"),
    };
    Attempt::whole(message.bytes())
}

/// The body in chunks of all sizes, without the last one.
fn in_chunks(body: &[u8], dice: &mut Dice) -> Vec<u8> {
    let (mut chunked, mut rest) = (Vec::new(), body);
    while !rest.is_empty() {
        let (chunk, others) = rest.split_at((1 + dice.below(300)).min(rest.len()));
        let extension = dice.text(" |  | ;a | ;a=\"b c\"");
        chunked.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
        rest = others;
    }
    chunked
}

/// Nothing is wrong with chunks.
fn chunks(seeds: &Seeds, dice: &mut Dice) -> Attempt {
    let seed = seeds.posted(dice);
    let mut message = seed.message.clone();
    let end = dice.text("0\r\n\r\n | 000\r\n\r\n | 0;a=b\r\n\r\n | 0\r\nTrailer: x\r\n\r\n");
    let body = [in_chunks(&message.body, dice), end.into()].concat();
    message.set("Transfer-Encoding", "chunked").body(body);
    Attempt::expecting(seed.code, message.bytes())
}

fn broken_chunks(seeds: &Seeds, dice: &mut Dice) -> Attempt {
    let mut message = seeds.posted(dice).message.clone();
    let mut body = in_chunks(&message.body, dice);
    let end = dice.text(
        " | 0 | 0\r\n | -1\r\n\r\n | g\r\n | ffffffffffffffff\r\n | \r\n\r\n | 5\r\nab | \
         11111111111111111\r\n | 0\r\n\0\r\n\r\n | 1\n\n0\n\n | 7fffffff\r\na\r\n0\r\n\r\n",
    );
    body.extend_from_slice(end.as_bytes());
    if dice.coin() {
        let place = dice.below(body.len());
        body[place] = dice.bytes(1)[0];
    }
    let encoding = dice.text("chunked | chunked | chunked | gzip, chunked | gzip | x | ");
    message.set("Transfer-Encoding", encoding).body(body);
    Attempt::whole(message.bytes())
}

/// A document, or a request, beyond its limit.
fn too_large(seeds: &Seeds, dice: &mut Dice) -> Attempt {
    let most = *dice.one(&[2 * MAX_BYTES, TOO_MANY_BYTES]);
    let mut document = seeds.pdf.clone();
    document.resize(MAX_BYTES + 1 + dice.below(most - MAX_BYTES), b' ');
    let mut message = if dice.coin() { seeds.multipart() } else { seeds.json() };
    let is_form = message.body.starts_with(b"--");
    message.body(if is_form { form(&document) } else { json(&document) });
    if dice.below(4) == 0 {
        let body = [in_chunks(&message.body, dice), b"0\r\n\r\n".to_vec()].concat();
        message.set("Transfer-Encoding", "chunked").body(body);
    }
    Attempt::expecting("3", message.bytes())
}

fn content_type(seeds: &Seeds, dice: &mut Dice) -> Attempt {
    let mut message = seeds.posted(dice).message.clone();
    let form = "multipart/form-data; boundary=";
    let kind = dice.text(
        " | ; | text/plain | */* | \u{e9}/\u{ff} | image/png | application/json | a/b/c | \
         APPLICATION/JSON;charset=utf-16 | application/x-www-form-urlencoded | multipart/form-data",
    );
    let boundary =
        dice.text(" | \"\" | \" | a; boundary=b | \u{ff}\u{fe} | - | 7MA4YWxkTrZu0gW; a | é");
    match dice.below(10) {
        0 => message.unset("Content-Type"),
        1 => message.add("Content-Type", "text/plain"),
        2 => message.set("Content-Type", format!("{form}{}", "b".repeat(dice.below(2000)))),
        3..6 => message.set("Content-Type", latin_1(&format!("{form}{boundary}"))),
        _ => message.set("Content-Type", latin_1(kind)),
    };
    Attempt::whole(message.bytes())
}

fn broken_form(seeds: &Seeds, dice: &mut Dice) -> Attempt {
    let whole = String::from_utf8(form(b"DOCUMENT")).expect("text");
    let part = whole.trim_end_matches("--\r\n");
    let body = match dice.below(12) {
        0 => whole.replace("\r\n", "\n"),
        1 => whole.replace("name=\"img\"", ""),
        2 => whole.replace("name=\"img\"", "name=\"img"),
        3 => whole.replace("name=\"img\"", "name*=utf-8''i%6dg"),
        4 => whole.replace("form-data", "attachment"),
        5 => whole.replace("Content-Disposition", &"X".repeat(70_000)),
        6 => whole.replace("\r\n\r\n", &format!("\r\n{}\r\n\r\n", "A: b\r\n".repeat(100))),
        7 => part.to_owned(),
        8 => format!("{part}\r\n{whole}"),
        9 => format!("preamble{whole}{whole}epilogue"),
        10 => format!("--{BOUNDARY}--\r\n"),
        _ => format!("--{BOUNDARY}\r\n").repeat(1 + dice.below(3000)),
    };
    let mut body = body.into_bytes();
    if let Some(at) = body.windows(8).position(|window| window == b"DOCUMENT") {
        body.splice(at..at + 8, seeds.pdf.iter().copied());
    }
    Attempt::whole(seeds.multipart().body(body).bytes())
}

fn broken_base64(seeds: &Seeds, dice: &mut Dice) -> Attempt {
    let mut digits = encode(&seeds.pdf);
    for _ in 0..1 + dice.below(4) {
        let place = dice.below(digits.len());
        match dice.below(4) {
            0 => digits.truncate(place.max(1)),
            1 => digits.insert(place, '='),
            2 => digits.insert_str(place, dice.text("* | \\u0000 | \\n | -_ | é | data:,")),
            _ => _ = digits.remove(place.min(digits.len() - 1)),
        }
        // Never in the middle of a letter, nor of an escape.
        if !digits.is_ascii() || digits.contains('\\') {
            break;
        }
    }
    Attempt::whole(seeds.json().body(format!("{{\"img\": \"{digits}\"}}")).bytes())
}

/// None of these holds a document, whatever a lenient reader makes of it.
fn broken_json(seeds: &Seeds, dice: &mut Dice) -> Attempt {
    let deep = |open: &str, count: usize| format!("{{\"x\": {}", open.repeat(count)).into_bytes();
    let listed = dice.text(concat!(
        r#"null | [] | "QUJD" | {} | {"img": null} | {"img": ["QUJD"]} | "#,
        r#"{"img": {"img": "QUJD"}} | {"img": 1e999} | {"img": true} | {"img": "QUJD" | "#,
        r#"{"img": "QUJD", "img": "QUJD"} | "#,
        r#"{"img": "QUJD"}} | {"img": "ÿþ"} | {"img": "\ud800"} | {"img": "\udc00\ud800"} | "#,
        r#"{"\ud8": 1} | ï»¿{"img": "QUJD"} | {'img': 'QUJD'} | {"img": "QUJD",} | {"img": ""} | "#,
        r#"{"img": "QUJD", "get_thumb": 1} | {"img": "QUJD", "get_thumb": {}} | "#,
        r#"{"img": "QUJD", "format_type": "base64"} | {"img": "QUJD", "format_type": 1}"#,
    ));
    let body = match dice.below(12) {
        0 => deep("[", 1 + dice.below(60_000)),
        1 => deep("{\"a\":", 1 + dice.below(15_000)),
        2 => deep("\"img\": ", 1 + dice.below(100)),
        3 => "{\"img\": \"QUJD\"}".encode_utf16().flat_map(u16::to_le_bytes).collect(),
        4 => " ".repeat(1 + dice.below(50_000)).into_bytes(),
        5 => format!("{{\"img\": \"QUJD\", \"x\": 1{}}}", "0".repeat(50_000)).into_bytes(),
        6 => [b"{\"img\": \"", &dice.bytes(500)[..], b"\"}"].concat(),
        _ => latin_1(listed),
    };
    Attempt::expecting("3", seeds.json().body(body).bytes())
}

fn flood_of_headers(seeds: &Seeds, dice: &mut Dice) -> Attempt {
    let mut message = seeds.any(dice).message.clone();
    let many = 1 << (8 + dice.below(12));
    match dice.below(6) {
        0 => (0..90 + dice.below(200)).for_each(|i| _ = message.add(&format!("X-{i}"), "x")),
        1 => _ = message.add("X", "x".repeat(many)),
        2 => _ = message.add(&"X".repeat(many), "x"),
        3 => message.line = message.line.replace(PATH, &"/x".repeat(many / 4)),
        4 => _ = message.add("X", dice.text("a\r\n b | a\rb | \u{1} | a\n\tb | \u{7f}")),
        _ => _ = message.add(dice.text(" |   | X  | X: | é | \t | ( | X\0"), "x"),
    }
    Attempt::whole(message.bytes())
}

fn wrong_credentials(seeds: &Seeds, dice: &mut Dice) -> Attempt {
    let mut message = seeds.any(dice).message.clone();
    let right = message.headers.iter().find(|(name, _)| name == "Authorization");
    let right = String::from_utf8_lossy(&right.expect("all seeds have it").1).into_owned();
    let key = BASE64_STANDARD.decode(&right["Basic ".len()..]).expect("base64");
    let key = String::from_utf8_lossy(&key[..32]).into_owned();
    let value = match dice.below(12) {
        0 => String::new(),
        1 => right.replace("Basic", "Bearer"),
        2 => right.replace("Basic ", "Basic"),
        3 => right.replace("Basic ", "Basic *"),
        4 => format!("Basic {}", encode(&key)),
        5 => format!("Basic {}", encode(format!("{key}:"))),
        6 => format!("Basic {}", encode(dice.bytes(97))),
        7 => format!("Basic {}", "A".repeat(dice.below(20_000))),
        8 => format!("Basic {}", encode(format!("{key}:' OR 1=1 --"))),
        9 => format!("{right}, {right}"),
        10 => right.chars().rev().collect(),
        _ => right[..dice.below(right.len())].to_owned(),
    };
    message.set("Authorization", value);
    Attempt::expecting("4", message.bytes())
}

fn null_bytes(seeds: &Seeds, dice: &mut Dice) -> Attempt {
    let mut bytes = seeds.any(dice).message.bytes();
    for _ in 0..1 + dice.below(3) {
        let place = seeds.place(dice, &bytes);
        if dice.coin() {
            bytes[place] = 0;
        } else {
            bytes.insert(place, 0);
        }
    }
    Attempt::whole(bytes)
}

/// Parameters that mean nothing, and addresses where nobody is asked.
fn query(seeds: &Seeds, dice: &mut Dice) -> Attempt {
    let query = dice.text(
        " | ? | img | img= | img=% | img=%zz | img=%00 | img=%ff%fe | &&&=&=; | %69mg=%51UJD | \
         format_type=%75rl | img=a&img=b | img=/ | img=data:,x | img=QUJD&format_type=base64 | \
         img=QUJD&format_type=file | img=QUJD&format_type=url&format_type=url | img=http:// | \
         img=http:/// | img=http://[::1 | img=http://[::ffff:10.0.0.1]/ | img=http://0.0.0.0/ | \
         img=http://169.254.169.254/latest | img=http://10.0.0.1:99999/ | img=file:///etc/passwd | \
         img=ftp://127.0.0.1/ | img=http://a:b@127.0.0.1:1/ | img=http://127.0.0.1:1/% | \
         img=http://0x7f.1:1/ | img=http://127.0.0.1:1%00/ | img=http://127.0.0.1:1/&get_thumb=a | \
         img=http://127.0.0.1:1/&get_thumb=%00 | img=http://127.0.0.1:1/&format_type=URL",
    );
    let mut message = seeds.all[0].message.clone();
    message.line = format!("GET {PATH}?{query} HTTP/1.1");
    Attempt::whole(message.bytes())
}

fn flip(dice: &mut Dice, bytes: &mut [u8], place: usize) {
    bytes[place] ^= 1 << dice.below(8);
}

fn bits_flipped(seeds: &Seeds, dice: &mut Dice) -> Attempt {
    let message = &seeds.any(dice).message;
    let (mut bytes, head) = (message.bytes(), message.head().len());
    // Heads are shorter than bodies, and deserve as much.
    let end = if dice.coin() { head } else { bytes.len() };
    for _ in 0..1 + dice.below(6) {
        let place = seeds.place(dice, &bytes[..end]);
        flip(dice, &mut bytes, place);
    }
    Attempt::whole(bytes)
}

fn bits_of_the_document_flipped(seeds: &Seeds, dice: &mut Dice) -> Attempt {
    let mut document = if dice.coin() { seeds.pdf.clone() } else { seeds.png.clone() };
    for _ in 0..1 + dice.below(8) {
        let place = dice.below(document.len());
        flip(dice, &mut document, place);
    }
    let mut message = if dice.coin() { seeds.multipart() } else { seeds.json() };
    let is_form = message.body.starts_with(b"--");
    message.body(if is_form { form(&document) } else { json(&document) });
    Attempt::whole(message.bytes())
}

/// A piece of a request at another place, or nowhere.
fn piece_moved(seeds: &Seeds, dice: &mut Dice) -> Attempt {
    let mut bytes = seeds.posted(dice).message.bytes();
    let from = dice.below(bytes.len());
    let to = (from + 1 + dice.below(200)).min(bytes.len());
    let piece: Vec<u8> =
        if dice.coin() { bytes.drain(from..to).collect() } else { bytes[from..to].to_vec() };
    if dice.below(3) > 0 {
        let place = dice.below(bytes.len());
        bytes.splice(place..place, piece);
    }
    Attempt::whole(bytes)
}

/// Several at once: valid ones, and then one that may be anything.
fn pipeline(seeds: &Seeds, dice: &mut Dice) -> Attempt {
    let (mut bytes, mut expected) = (Vec::new(), Vec::new());
    for _ in 0..2 + dice.below(2) {
        let seed = seeds.any(dice);
        bytes.extend(seed.message.bytes());
        expected.push(seed.code);
    }
    if dice.coin() {
        bytes.extend(bits_flipped(seeds, dice).bytes);
    }
    Attempt { expected, ..Attempt::whole(bytes) }
}

fn request_line(seeds: &Seeds, dice: &mut Dice) -> Attempt {
    let mut message = seeds.any(dice).message.clone();
    let methods = "HEAD | PUT | DELETE | OPTIONS | TRACE | CONNECT | BREW | post |  | G\0T";
    let versions = "HTTP/1.0 | HTTP/0.9 | HTTP/1.2 | HTTP/3.0 | HTTP/11.1 | http/1.1 |  | X";
    let (method, version) = match dice.below(3) {
        0 => (dice.text(methods), "HTTP/1.1"),
        1 => ("POST", dice.text(versions)),
        _ => ("POST", "HTTP/1.1"),
    };
    let target = match dice.below(8) {
        0 => "*".to_owned(),
        1 => format!("//{PATH}"),
        2 => format!("{PATH}/"),
        3 => format!("http://elsewhere{PATH}"),
        4 => format!("/x/..{PATH}%00"),
        5 => format!("{PATH} {PATH}"),
        6 => "elsewhere:443".to_owned(),
        _ => PATH.to_owned(),
    };
    message.line = format!("{method} {target} {version}");
    Attempt::whole(message.bytes())
}

/// What a client may ask of a connection.
fn expectations(seeds: &Seeds, dice: &mut Dice) -> Attempt {
    let mut message = seeds.posted(dice).message.clone();
    let header = dice.text(
        "Expect: 100-continue | Expect: 100-continue, x | Expect: 200-ok | Expect:  | \
         Upgrade: h2c | Upgrade: websocket | Connection: close, upgrade | \
         Connection: keep-alive, \u{1} | TE: gzip | Content-Encoding: gzip | Accept-Encoding: br | \
         Accept: text/html;q=x | Range: bytes=0-1 | Host: a\tb",
    );
    let (name, value) = header.split_once(": ").expect("each is a header");
    message.add(name, value);
    match dice.below(8) {
        0 => {
            let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            Attempt::whole([preface, dice.bytes(dice.0 as usize % 200)].concat())
        }
        1 => Attempt::new(Manner::Closed, message.head()),
        _ => Attempt::whole(message.bytes()),
    }
}
