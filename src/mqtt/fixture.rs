//! Real brokers, a proxy that can fail, and a queue in memory.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cic_kiosk::config::Mqtt;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::queue::{Queue, QueueError};
use super::{Dial, Inbox, LinkState, Post, Publisher, Topics};
use crate::credentials::Credentials;
use crate::fleet::presence::Birth;
use crate::outbox::{Seq, Waiting};

/// For everything that must happen at some time.
const PATIENCE: Duration = Duration::from_secs(40);

/// Waits for a condition.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// A mosquitto that ends with its test.
pub struct Mosquitto {
    child: Child,
    folder: std::path::PathBuf,
    pub port: u16,
}

impl Mosquitto {
    /// With a plain listener on a free port, and these lines in its configuration.
    pub fn start(folder: &Path, lines: &str) -> Self {
        let port = free_port();
        // Under root it would become another user, who could write nothing here.
        let general = "user root\nlog_dest none\nallow_anonymous true\n";
        let config = format!("listener {port} 127.0.0.1\n{general}{lines}\n");
        std::fs::write(folder.join("mosquitto.conf"), config).unwrap();
        Self { child: spawn(folder, port), folder: folder.to_owned(), port }
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Politely: it writes what it has to remember.
    pub fn stop(&mut self) {
        let stopped = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(stopped.unwrap().success());
        self.child.wait().unwrap();
    }

    pub fn start_again(&mut self) {
        self.child = spawn(&self.folder, self.port);
    }

    pub fn address(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }
}

fn spawn(folder: &Path, port: u16) -> Child {
    // Debian installs it where only root's PATH leads.
    let debian = "/usr/sbin/mosquitto";
    let program = if Path::new(debian).exists() { debian } else { "mosquitto" };
    let child = Command::new(program)
        .arg("-c")
        .arg(folder.join("mosquitto.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("mosquitto is installed");
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(Instant::now() < deadline, "mosquitto does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A subscriber of everything, with its own persistent session.
pub struct Listener {
    messages: mpsc::UnboundedReceiver<Publish>,
    driver: JoinHandle<()>,
}

impl Listener {
    pub async fn connect(port: u16) -> Self {
        let mut options = MqttOptions::new("listener", "127.0.0.1", port);
        options.set_clean_start(false).set_session_expiry_interval(Some(600));
        options.set_max_packet_size(Some(100 << 20));
        let (client, mut events) = AsyncClient::new(options, 8);
        let (sender, messages) = mpsc::unbounded_channel();
        let (ready, mut is_ready) = watch::channel(false);
        let driver = tokio::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        client.try_subscribe("cic/v1/#", QoS::AtLeastOnce).unwrap();
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => drop(ready.send(true)),
                    Ok(Event::Incoming(Packet::Publish(message))) => {
                        let _ = sender.send(message);
                    }
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
        tokio::time::timeout(PATIENCE, is_ready.wait_for(|ready| *ready)).await.unwrap().unwrap();
        Self { messages, driver }
    }

    pub async fn next(&mut self) -> Publish {
        tokio::time::timeout(PATIENCE, self.messages.recv()).await.expect("a message").unwrap()
    }

    /// The scan that the next result is of.
    pub async fn next_scan(&mut self) -> Ulid {
        loop {
            let message = self.next().await;
            let topic = std::str::from_utf8(&message.topic).unwrap().to_owned();
            if let Some((_, scan)) = topic.split_once("/result/") {
                return scan.parse().unwrap();
            }
        }
    }

    /// The next presence of this status.
    pub async fn next_presence(&mut self, status: &str) -> serde_json::Value {
        loop {
            let message = self.next().await;
            if message.topic.ends_with(b"/presence") {
                let presence: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
                if presence["status"] == status {
                    return presence;
                }
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Publishes something, retained.
pub fn send(port: u16, topic: &str, payload: &[u8]) {
    let mut client = Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-t", topic, "-q", "1", "-r", "-s"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("mosquitto-clients is installed");
    std::io::Write::write_all(&mut client.stdin.take().unwrap(), payload).unwrap();
    assert!(client.wait().unwrap().success());
}

/// What a broker retains on a topic.
pub fn retained(port: u16, topic: &str) -> serde_json::Value {
    let shown = Command::new("mosquitto_sub")
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-t", topic, "-C", "1", "-W", "10"])
        .output()
        .expect("mosquitto-clients is installed");
    serde_json::from_slice(&shown.stdout).expect("a retained message")
}

/// Scan and payload.
type Stored = (Ulid, Arc<[u8]>);

/// A queue in memory.
#[derive(Debug)]
pub struct Memory {
    waiting: Mutex<BTreeMap<Seq, Stored>>,
    pub buried: Mutex<Vec<(Seq, String)>>,
    newest: watch::Sender<Seq>,
    /// The most results that were asked for at once.
    pub asked: AtomicUsize,
    /// Fails everything while it is set.
    pub is_broken: AtomicBool,
    /// How often it did.
    pub failures: AtomicUsize,
}

impl Memory {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            buried: Mutex::default(),
            newest: watch::Sender::new(Seq(0)),
            asked: AtomicUsize::new(0),
            is_broken: AtomicBool::new(false),
            failures: AtomicUsize::new(0),
        })
    }

    pub fn put(&self, payload: impl Into<Arc<[u8]>>) -> (Seq, Ulid) {
        let seq = Seq(self.newest.borrow().0 + 1);
        let scan = Ulid::new();
        self.waiting.lock().unwrap().insert(seq, (scan, payload.into()));
        self.newest.send_replace(seq);
        (seq, scan)
    }

    pub fn left(&self) -> usize {
        self.waiting.lock().unwrap().len()
    }

    pub fn buried(&self) -> Vec<Seq> {
        self.buried.lock().unwrap().iter().map(|(seq, _)| *seq).collect()
    }

    fn check(&self) -> Result<(), QueueError> {
        if self.is_broken.load(Ordering::Relaxed) {
            self.failures.fetch_add(1, Ordering::Relaxed);
            return Err("the disk is gone".into());
        }
        Ok(())
    }
}

impl Queue for Memory {
    async fn waiting(&self, after: Option<Seq>, most: usize) -> Result<Vec<Waiting>, QueueError> {
        self.check()?;
        self.asked.fetch_max(most, Ordering::Relaxed);
        let all = self.waiting.lock().unwrap();
        let behind = all.range((
            after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded),
            std::ops::Bound::Unbounded,
        ));
        let whole = |(&seq, (scan_id, payload)): (&Seq, &Stored)| Waiting {
            seq,
            scan_id: *scan_id,
            payload: payload.to_vec(),
        };
        Ok(behind.take(most).map(whole).collect())
    }

    async fn get(&self, seq: Seq) -> Result<Option<Waiting>, QueueError> {
        self.check()?;
        let all = self.waiting.lock().unwrap();
        let found = all.get(&seq);
        Ok(found.map(|(scan, payload)| Waiting { seq, scan_id: *scan, payload: payload.to_vec() }))
    }

    async fn delivered(&self, seqs: Vec<Seq>) -> Result<(), QueueError> {
        self.check()?;
        let mut all = self.waiting.lock().unwrap();
        seqs.iter().for_each(|seq| drop(all.remove(seq)));
        Ok(())
    }

    async fn bury(&self, seq: Seq, reason: &str) -> Result<(), QueueError> {
        self.check()?;
        self.waiting.lock().unwrap().remove(&seq);
        self.buried.lock().unwrap().push((seq, reason.to_owned()));
        Ok(())
    }

    fn subscribe(&self) -> watch::Receiver<Seq> {
        self.newest.subscribe()
    }
}

/// A publisher under way.
pub struct Kiosk {
    pub state: watch::Receiver<LinkState>,
    pub post: Post,
    pub inbox: Inbox,
    stop: CancellationToken,
    end: CancellationToken,
    task: JoinHandle<()>,
}

impl Kiosk {
    pub fn start(queue: &Arc<Memory>, settings: Mqtt, credentials: &Path) -> Self {
        let dial =
            Dial { settings, credentials: Credentials::new(Some(credentials)), topics: topics() };
        let link = watch::Sender::new(LinkState::default());
        let state = link.subscribe();
        let birth = Birth { version: env!("CARGO_PKG_VERSION").to_owned(), ..Birth::default() };
        let post = Post::new(birth);
        let inbox = post.listen(topics().desired().to_vec(), |_, _, _| true);
        let publisher = Publisher::new(Arc::clone(queue), dial, post.clone(), link);
        let (stop, end) = (CancellationToken::new(), CancellationToken::new());
        let task = tokio::spawn(publisher.run(stop.clone(), end.clone()));
        Self { state, post, inbox, stop, end, task }
    }

    pub fn state(&self) -> LinkState {
        self.state.borrow().clone()
    }

    pub async fn stop(self) {
        self.end.cancel();
        self.leave().await;
    }

    /// As where it connects again.
    pub async fn leave(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("an end").unwrap();
    }

    /// As if the machine lost its power.
    pub fn kill(self) {
        self.task.abort();
    }
}

pub fn topics() -> Topics {
    Topics::new("HN-01".parse().unwrap(), "k1".parse().unwrap())
}

/// With short waits.
pub fn settings(broker: &str, more: &str) -> Mqtt {
    let mut text = String::from("[mqtt]\nconnect_seconds = 2\nack_seconds = 2\n");
    let _ = write!(text, "keep_alive_seconds = 5\nretry_max_seconds = 1\nbroker = \"{broker}\"\n");
    cic_kiosk::config::Config::parse(&(text + more)).unwrap().mqtt
}

/// How a proxy treats what it should pass on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Passes everything on.
    None,
    /// Passes on nothing that the broker says, and keeps the connection.
    DeafClient,
    /// Passes on nothing at all, and keeps the connection.
    Hang,
    /// Closes the connection when the client sends a packet of more bytes, as brokers do.
    TooBig(usize),
}

/// A TCP proxy in front of a broker.
pub struct Proxy {
    pub address: String,
    pub fault: watch::Sender<Fault>,
    pub connections: Arc<AtomicUsize>,
}

impl Proxy {
    pub async fn start(to: u16) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = format!("mqtt://{}", listener.local_addr().unwrap());
        let (fault, seen) = watch::channel(Fault::None);
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let to = SocketAddr::from((Ipv4Addr::LOCALHOST, to));
                let Ok(broker) = tokio::net::TcpStream::connect(to).await else { continue };
                let ((from_client, to_client), (from_broker, to_broker)) =
                    (client.into_split(), broker.into_split());
                let seen = seen.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        () = upstream(from_client, to_broker, seen.clone()) => {}
                        () = downstream(from_broker, to_client, seen) => {}
                    }
                });
            }
        });
        Self { address, fault, connections }
    }
}

async fn hang_while(fault: &mut watch::Receiver<Fault>, hangs: fn(Fault) -> bool) {
    let _ = fault.wait_for(|fault| !hangs(*fault)).await;
}

/// Passes on whole packets: their sizes are looked at.
async fn upstream(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut fault: watch::Receiver<Fault>,
) {
    loop {
        let Ok(kind) = from.read_u8().await else { return };
        let (mut length, mut head) = (0, vec![kind]);
        loop {
            let Ok(byte) = from.read_u8().await else { return };
            length |= usize::from(byte & 0x7f) << (7 * (head.len() - 1));
            head.push(byte);
            if byte & 0x80 == 0 {
                break;
            }
        }
        if matches!(*fault.borrow(), Fault::TooBig(most) if length > most) {
            return;
        }
        let mut body = vec![0; length];
        if from.read_exact(&mut body).await.is_err() {
            return;
        }
        hang_while(&mut fault, |fault| fault == Fault::Hang).await;
        if to.write_all(&head).await.is_err() || to.write_all(&body).await.is_err() {
            return;
        }
    }
}

async fn downstream(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut fault: watch::Receiver<Fault>,
) {
    let mut buffer = vec![0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        hang_while(&mut fault, |fault| matches!(fault, Fault::Hang | Fault::DeafClient)).await;
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
