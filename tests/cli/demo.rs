//! `demo` with a real broker, and without.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::kiosk::{data, kiosk, run};

/// Ends when the test does.
pub struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The JSON that the demo's subscriber printed.
fn received(stdout: &str) -> Json {
    let at = stdout.find("by a subscriber:").expect("something was received");
    let json = stdout[at..].find('{').expect("an object");
    serde_json::from_str(&stdout[at + json..]).expect("JSON")
}

#[test]
fn report_reaches_its_own_subscriber() {
    let folder = tempfile::tempdir().expect("a folder");
    let (port, _log, _broker) = mosquitto(folder.path());
    let broker = format!("mqtt://127.0.0.1:{port}");
    let run = run(kiosk("demo").current_dir(folder.path()).args(["--broker", &broker]), b"");
    assert_eq!(run.code(), Some(0), "{}\n{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("QoS 1, acknowledged"), "{}", run.stdout);
    assert_eq!(received(&run.stdout)["errorCode"], "0");
    assert!(folder.path().join("demo-overlay.png").exists());
    assert!(run.peak_memory < 350 << 20, "took {} MiB", run.peak_memory >> 20);
}

#[test]
fn report_reaches_another_subscriber_through_mosquitto() {
    let folder = tempfile::tempdir().expect("a folder");
    let (port, log, _broker) = mosquitto(folder.path());
    let mut listener = Command::new("mosquitto_sub")
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-q", "1", "-C", "1"])
        .args(["-t", "cic-kiosk/demo/+"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("mosquitto-clients is installed");
    let lines = lines_of(listener.stdout.take().expect("piped"));
    let _listener = Peer(listener);
    wait_for(&log, "cic-kiosk/demo/+");

    let run = run(
        kiosk("demo")
            .current_dir(folder.path())
            .args(["--broker", &format!("mqtt://127.0.0.1:{port}")])
            .arg(data("reports/copy.pdf")),
        b"",
    );
    assert_eq!(run.code(), Some(0), "{}\n{}", run.stdout, run.stderr);
    let payload = wait_for(&lines, "{");
    let payload: Json = serde_json::from_str(&payload).expect("JSON");
    assert_eq!(payload["data"]["type"], "credit_report");
    assert_eq!(payload, received(&run.stdout));
}

#[test]
fn broker_that_is_not_there_is_named_in_time() {
    // Nobody listens on a port that was given up long ago (tcpmux).
    let place = "mqtt://127.0.0.1:1";
    let folder = tempfile::tempdir().expect("a folder");
    let run = run(
        kiosk("demo")
            .current_dir(folder.path())
            .args(["--broker", "mqtt://kiosk:secret@127.0.0.1:1"])
            .arg(data("reports/copy.pdf")),
        b"",
    );
    assert_eq!(run.code(), Some(1));
    assert!(run.stderr.contains(place) && run.stderr.contains("refused"), "{}", run.stderr);
    assert!(!run.stderr.contains("secret"), "{}", run.stderr);
}

#[test]
fn what_is_no_report_is_not_published() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = run(kiosk("demo").current_dir(folder.path()).arg("-"), b"");
    assert_eq!(run.code(), Some(1));
    assert!(run.stdout.starts_with("error 3:") && !run.stdout.contains("published"));
}

/// A mosquitto of our own on a port that was free a moment ago, with its log of subscriptions.
pub fn mosquitto(folder: &Path) -> (u16, mpsc::Receiver<String>, Peer) {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port();
    let config = folder.join("mosquitto.conf");
    let lines = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest stderr\nlog_type subscribe\n"
    );
    std::fs::write(&config, lines).expect("a file");
    // Debian installs it where only root's PATH leads.
    let program = ["/usr/sbin/mosquitto", "mosquitto"]
        .into_iter()
        .find(|program| !program.starts_with('/') || Path::new(program).exists())
        .expect("the last one needs no file");
    let mut broker = Command::new(program)
        .arg("-c")
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("mosquitto is installed");
    let log = lines_of(broker.stderr.take().expect("piped"));
    let broker = Peer(broker);
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(Instant::now() < deadline, "mosquitto does not listen");
        thread::sleep(Duration::from_millis(20));
    }
    (port, log, broker)
}

fn lines_of(source: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// The next line with this in it.
fn wait_for(lines: &mpsc::Receiver<String>, part: &str) -> String {
    let limit = Duration::from_secs(20);
    loop {
        let line = lines.recv_timeout(limit).unwrap_or_else(|_| panic!("no line with {part:?}"));
        if line.contains(part) {
            return line;
        }
    }
}
