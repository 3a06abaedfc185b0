//! A fleet of simulated kiosks: real connections, real births, wills, telemetry and settings, and no
//! devices and no reading. Commands are answered as kiosks answer them, and not carried out.
//!
//! Promises:
//! - Settings are judged, kept on the disk and reported by the code that does it on kiosks.
//! - A planted failure is spread evenly over the kiosks, and is the same ones for the same numbers.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cic_kiosk::config::{Config, Mqtt};
use jiff::Timestamp;
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::Failure;
use super::commands::hex;
use crate::credentials::Credentials;
use crate::fleet::anomalies::Anomalies;
use crate::fleet::configuration::Configuration;
use crate::fleet::configuration::message::Level;
use crate::fleet::machine::Machine;
use crate::fleet::presence::{Birth, Model, Presence, Reason, shown};
use crate::fleet::telemetry::{OutboxFigures, SourceFigures, Telemetry};
use crate::mqtt::{self, Caller, Dial, Line, MAX_LETTER, Message, Topics};

/// Kiosks of a branch.
const BRANCH: usize = 20;

/// Files that the program has open beside the connections.
const FILES: u64 = 64;

/// Connections that are being made at the same time.
const DIALLING: usize = 64;

/// Messages of one kiosk that may be on their way.
const WINDOW: u16 = 8;

/// Between two tries to connect, at most.
const RETRY: Duration = Duration::from_secs(5);

/// Longest wait for a part of a package.
const PART: Duration = Duration::from_secs(60);

/// Bytes of a part of an output.
const OUTPUT_PART: usize = 32 << 10;

/// Kinds of commands that kiosks know.
const KINDS: [&str; 13] = [
    "scan",
    "identify",
    "reload",
    "restart",
    "reboot",
    "diagnostics",
    "log",
    "cloud",
    "wipe",
    "selftest",
    "model-update",
    "model-rollback",
    "config-rollback",
];

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many kiosks.
    pub kiosks: usize,
    /// Which share of them fails at everything, 0 to 1.
    pub fail: f64,
    /// What the branches' names begin with.
    pub prefix: String,
    /// Between two tellings of how a kiosk does.
    pub telemetry: Duration,
    /// Scans of a kiosk in a minute.
    pub scans_per_minute: f64,
    /// How long a command takes.
    pub work: Duration,
    /// Whether nothing stays retained at the end.
    pub clear: bool,
    /// Where the kiosks' state is.
    pub state: PathBuf,
}

impl Plan {
    /// Whether this kiosk is one that fails.
    pub fn fails(&self, number: usize) -> bool {
        let until = |number: usize| (number as f64 * self.fail + 1e-9).floor();
        until(number + 1) > until(number)
    }

    fn topics(&self, number: usize) -> Result<Topics, String> {
        let branch = format!("{}{:02}", self.prefix, number / BRANCH + 1).parse()?;
        Ok(Topics::new(branch, format!("k{:04}", number + 1).parse()?))
    }
}

/// Sees that so many connections can be.
///
/// # Errors
/// Where the machine allows fewer, with what to do.
pub fn allow(kiosks: usize) -> Result<(), String> {
    let need = kiosks as u64 + FILES;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= need) {
        return Ok(());
    }
    let most = limit.maximum.unwrap_or(u64::MAX);
    if most < need {
        return Err(format!(
            "{kiosks} kiosks need {need} open files, and this shell allows {most}: raise it as root with \
             `ulimit -Hn {need}`, or simulate fewer"
        ));
    }
    limit.current = Some(need);
    setrlimit(Resource::Nofile, limit)
        .map_err(|error| format!("cannot allow {need} open files: {error}"))
}

/// How many kiosks have said that they are there, since when.
#[derive(Clone, Debug, Default)]
pub struct Born {
    count: Arc<AtomicUsize>,
    news: watch::Sender<usize>,
}

impl Born {
    fn one_more(&self) {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        self.news.send_replace(count);
    }

    /// Waits until so many are there.
    pub async fn wait(&self, count: usize) {
        // The sender lives as long as this does.
        let _ = self.news.subscribe().wait_for(|born| *born >= count).await;
    }
}

/// Lets the kiosks live until `stop` is cancelled.
///
/// # Errors
/// Where a name, the disk or a task does not do.
pub async fn run(
    plan: Plan,
    settings: Mqtt,
    credentials: Credentials,
    password: Option<crate::credentials::Secret>,
    born: Born,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let here = Arc::new(Config {
        mqtt: Mqtt { window: nonzero(WINDOW), ..settings },
        ..Config::default()
    });
    let birth = {
        let here = Arc::clone(&here);
        spawn_blocking(move || birth(&here)).await?
    };
    let gate = Arc::new(Semaphore::new(DIALLING));
    let mut tasks = JoinSet::new();
    for number in 0..plan.kiosks {
        let topics = plan.topics(number)?;
        let state = plan.state.join(number.to_string());
        fs::create_dir_all(&state)?;
        let (configuration, _) = Configuration::open(&state, &here, Anomalies::default());
        let mut birth = birth.clone();
        birth.serial = Some(format!("SIM{:05}", number + 1));
        birth.board =
            Some(["Radxa ROCK 5B", "Raspberry Pi 5 Model B Rev 1.0"][number % 2].to_owned());
        birth.configuration = configuration.versions();
        let dial = Dial {
            settings: here.mqtt.clone(),
            credentials: credentials.clone(),
            topics: topics.clone(),
            renewed: None,
        };
        let (id, will) = (topics.client_id(), None);
        let kiosk = Kiosk {
            plan: plan.clone(),
            fails: plan.fails(number),
            here: Arc::clone(&here),
            caller: Caller { dial, id, password: password.clone(), will },
            topics,
            birth,
            package: None,
            configuration: Some(configuration),
            telemetry: Telemetry::default(),
            dice: Dice(number as u64 + 1),
            backlog: VecDeque::new(),
            began: Instant::now(),
            gate: Arc::clone(&gate),
        };
        let (born, stop) = (born.clone(), stop.clone());
        tasks.spawn(async move { kiosk.live(born, stop).await });
    }
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    let state = plan.state.clone();
    let _ = spawn_blocking(move || fs::remove_dir_all(state)).await;
    Ok(())
}

fn nonzero(number: u16) -> std::num::NonZeroU16 {
    std::num::NonZeroU16::new(number).unwrap_or(std::num::NonZeroU16::MIN)
}

/// Reads small files.
fn birth(here: &Config) -> Birth {
    let mut birth = Birth::of(here, &Machine::default());
    if birth.models.is_empty() {
        let model = |name: &str, kind: &str| Model {
            name: name.to_owned(),
            kind: kind.to_owned(),
            version: "1.0.0".to_owned(),
            precision: "int8".to_owned(),
            sha256: "0".repeat(64),
        };
        birth.models =
            vec![model("cic-detector", "detector"), model("cic-recogniser", "recogniser")];
    }
    birth.provider = Some("cpu".to_owned());
    birth
}

/// Numbers that look like chance and are the same each time (xorshift).
#[derive(Clone, Debug)]
struct Dice(u64);

impl Dice {
    /// From 0 to below 1.
    fn roll(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }
}

struct Kiosk {
    plan: Plan,
    fails: bool,
    here: Arc<Config>,
    caller: Caller,
    topics: Topics,
    birth: Birth,
    package: Option<String>,
    /// Not while the disk is at it.
    configuration: Option<Configuration>,
    telemetry: Telemetry,
    dice: Dice,
    /// What came while a package was fetched.
    backlog: VecDeque<Message>,
    began: Instant,
    gate: Arc<Semaphore>,
}

impl Kiosk {
    async fn live(mut self, born: Born, stop: CancellationToken) {
        let (mut is_born, mut pause) = (false, Duration::from_millis(200));
        self.configure(|configuration| configuration.started()).await;
        while !stop.is_cancelled() {
            let since = Timestamp::now();
            let served = tokio::select! {
                line = self.connect(since) => match line {
                    Ok(line) => {
                        if !is_born {
                            born.one_more();
                        }
                        (is_born, pause) = (true, Duration::from_millis(200));
                        self.serve(line, since, &stop).await
                    }
                    Err(failure) => Err(failure),
                },
                () = stop.cancelled() => return,
            };
            let Err(failure) = served else { return };
            log::warn!("{}: {failure}", self.topics.presence());
            pause = (pause * 2).min(RETRY).mul_f64(0.5 + self.dice.roll());
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Connects, says that it is there, and listens.
    async fn connect(&mut self, since: Timestamp) -> Result<Line, mqtt::Failure> {
        let gate = Arc::clone(&self.gate);
        let _place = gate.acquire().await;
        let lost = self.presence(Presence::offline(self.birth.clone(), Reason::Lost));
        self.caller.will = Some((self.topics.presence(), lost));
        let line = self.caller.open().await?;
        let online = self.presence(Presence::online(self.birth.clone(), since));
        line.publish((self.topics.presence(), online, true)).await?;
        let mut listened = self.topics.desired().to_vec();
        listened.push(self.topics.presence().replace("/presence", "/command/+/+"));
        line.subscribe(&listened).await?;
        self.report(&line).await?;
        Ok(line)
    }

    async fn serve(
        &mut self,
        mut line: Line,
        since: Timestamp,
        stop: &CancellationToken,
    ) -> Result<(), mqtt::Failure> {
        // Not all at the same moment.
        let mut next = Instant::now() + self.plan.telemetry.mul_f64(self.dice.roll());
        self.tell(&line).await?;
        loop {
            let message = match self.backlog.pop_front() {
                Some(message) => Some(message),
                None => tokio::select! {
                    message = line.next() => Some(message?),
                    () = sleep_until(next) => None,
                    () = stop.cancelled() => break,
                },
            };
            match message {
                Some(message) => self.take(&message, &mut line, since).await?,
                None => {
                    next = Instant::now() + self.plan.telemetry;
                    self.count();
                    self.tell(&line).await?;
                }
            }
        }
        if self.plan.clear {
            let topics = [self.topics.presence(), self.topics.reported()];
            line.publish_all(topics.map(|topic| (topic, Vec::new(), true)).to_vec()).await?;
        } else {
            let offline = self.presence(Presence::offline(self.birth.clone(), Reason::Stopped));
            line.publish((self.topics.presence(), offline, true)).await?;
        }
        line.close().await;
        Ok(())
    }

    fn presence(&self, presence: Presence) -> Vec<u8> {
        let mut presence = json!(presence);
        if let Some(version) = &self.package {
            presence["package"] = json!({"version": version, "trial": false});
        }
        presence.to_string().into_bytes()
    }

    async fn take(
        &mut self,
        message: &Message,
        line: &mut Line,
        since: Timestamp,
    ) -> Result<(), mqtt::Failure> {
        let level = self.topics.desired().iter().position(|topic| *topic == message.topic);
        let Some(level) = level.and_then(|place| Level::ALL.get(place)).copied() else {
            return self.obey(message, line, since).await;
        };
        let payload = message.payload.clone();
        let (here, fails) = (Arc::clone(&self.here), self.fails);
        let is_news = self
            .configure(move |configuration| {
                let apply = |_: &toml::Table| match fails {
                    true => Err("a planted failure".to_owned()),
                    false => Ok(Vec::new()),
                };
                let whole = payload.len() <= MAX_LETTER;
                let message = if whole { Ok(&payload[..]) } else { Err(payload.len()) };
                let is_news = configuration.take(level, message, &here, &apply);
                // It is connected.
                configuration.reached();
                is_news
            })
            .await;
        if is_news == Some(true) {
            self.report(line).await?;
            let versions =
                self.configuration.as_ref().map(Configuration::versions).unwrap_or_default();
            if self.birth.configuration != versions {
                self.birth.configuration = versions;
                self.announce(line, since).await?;
            }
        }
        Ok(())
    }

    async fn announce(&self, line: &Line, since: Timestamp) -> Result<(), mqtt::Failure> {
        let online = self.presence(Presence::online(self.birth.clone(), since));
        line.publish((self.topics.presence(), online, true)).await
    }

    /// Does something that the disk takes part in. Nothing if that has panicked before.
    async fn configure<T: Send + 'static>(
        &mut self,
        change: impl FnOnce(&mut Configuration) -> T + Send + 'static,
    ) -> Option<T> {
        let mut configuration = self.configuration.take()?;
        let changed = spawn_blocking(move || {
            let result = change(&mut configuration);
            (configuration, result)
        });
        let (configuration, result) = changed.await.ok()?;
        self.configuration = Some(configuration);
        Some(result)
    }

    async fn report(&self, line: &Line) -> Result<(), mqtt::Failure> {
        let Some(configuration) = &self.configuration else { return Ok(()) };
        let reported = json!(configuration.reported()).to_string().into_bytes();
        line.publish((self.topics.reported(), reported, true)).await
    }

    /// Counts what would have been scanned since the last time.
    fn count(&mut self) {
        let expected = self.plan.scans_per_minute * self.plan.telemetry.as_secs_f64() / 60.0;
        let mut scans = expected.floor() as u64;
        scans += u64::from(self.dice.roll() < expected.fract());
        for _ in 0..scans {
            let (roll, bad) = (self.dice.roll(), if self.fails { 0.3 } else { 0.06 });
            let outcome = match roll {
                roll if roll < bad => "review",
                roll if roll < bad + 0.03 => "no_report",
                roll if roll < bad + 0.04 => "unreadable",
                _ => "local",
            };
            *self.telemetry.scans.entry("camera").or_default().entry(outcome).or_default() += 1;
            for _ in 0..20 {
                // Most values are sure: the root of a chance, near 1.
                let confidence = 1.0 - self.dice.roll().powi(if self.fails { 3 } else { 8 }) * 0.8;
                for (name, bound) in BOUNDS {
                    if confidence <= bound {
                        *self.telemetry.confidence.entry(name).or_default() += 1;
                    }
                }
            }
        }
    }

    /// Tells how it does.
    async fn tell(&mut self, line: &Line) -> Result<(), mqtt::Failure> {
        self.telemetry.at = shown(Timestamp::now());
        self.telemetry.uptime_seconds = self.began.elapsed().as_secs();
        self.telemetry.outbox = OutboxFigures { accepts: true, ..OutboxFigures::default() };
        self.telemetry.mqtt.connected = true;
        let state = if self.fails { "failing" } else { "ready" };
        let camera = SourceFigures { state, ready: !self.fails, ..SourceFigures::default() };
        self.telemetry.sources = BTreeMap::from([("camera", camera)]);
        self.telemetry.machine.temperature_celsius = Some(45.0 + (20.0 * self.dice.roll()).round());
        line.publish((self.topics.telemetry(), self.telemetry.json(), false)).await
    }

    /// Answers a command.
    async fn obey(
        &mut self,
        message: &Message,
        line: &mut Line,
        since: Timestamp,
    ) -> Result<(), mqtt::Failure> {
        let Ok(mut command) = serde_json::from_slice::<Json>(&message.payload) else {
            return Ok(());
        };
        if command["status"] != "init" {
            return Ok(());
        }
        let topic = message.topic.clone();
        let answer = |command: &Json| (topic.clone(), command.to_string().into_bytes(), true);
        let parameters = command["parameters"].take();
        command.as_object_mut().map(|it| it.shift_remove("parameters"));
        command["started"] = json!(shown(Timestamp::now()));
        let expires = command["expires"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
        let kind = command["kind"].as_str().unwrap_or_default().to_owned();
        let outcome = if expires.is_none_or(|at| at < Timestamp::now()) {
            Err(("expired", "it came too late"))
        } else if !KINDS.contains(&kind.as_str()) {
            Err(("unknown_kind", "there is no such command"))
        } else {
            command["status"] = json!("executing");
            line.publish(answer(&command)).await?;
            sleep(self.plan.work.mul_f64(0.5 + self.dice.roll())).await;
            match self.fails {
                true => Err(("failed", "a planted failure")),
                false => self.execute(&kind, &parameters, &topic, line).await?,
            }
        };
        command["finished"] = json!(shown(Timestamp::now()));
        match outcome {
            Ok(result) => (command["status"], command["result"]) = (json!("successful"), result),
            Err((code, reason)) => {
                command["status"] = json!("failed");
                (command["code"], command["reason"]) = (json!(code), json!(reason));
            }
        }
        line.publish(answer(&command)).await?;
        if kind.starts_with("model-") && command["status"] == "successful" {
            self.announce(line, since).await?;
        }
        Ok(())
    }

    /// As far as there is something to be seen of it.
    async fn execute(
        &mut self,
        kind: &str,
        parameters: &Json,
        topic: &str,
        line: &mut Line,
    ) -> Result<Result<Json, (&'static str, &'static str)>, mqtt::Failure> {
        Ok(match kind {
            "diagnostics" | "log" => {
                let name = self.topics.presence();
                let output: String =
                    (0..2000).map(|number| format!("{name} {number}: simulated\n")).collect();
                let parts = output.as_bytes().chunks(OUTPUT_PART);
                let letters = parts
                    .enumerate()
                    .map(|(n, part)| (format!("{topic}/part/{n}"), part.to_vec(), false));
                let letters: Vec<_> = letters.collect();
                let (count, sha256) = (letters.len(), hex(&Sha256::digest(&output)));
                line.publish_all(letters).await?;
                Ok(json!({"parts": count, "bytes": output.len(), "sha256": sha256}))
            }
            "model-update" => {
                let sha256 = parameters["sha256"].as_str().unwrap_or_default();
                if let Some(below) = parameters["topic"].as_str() {
                    let bytes = parameters["bytes"].as_u64().unwrap_or_default();
                    if self.fetch(below, bytes, line).await?.as_deref() != Some(sha256) {
                        return Ok(Err(("failed", "the package is not whole")));
                    }
                }
                let version: String = sha256.chars().take(12).collect();
                self.package = Some(version.clone());
                Ok(json!({"version": version}))
            }
            "model-rollback" if self.package.is_none() => {
                Err(("failed", "there is nothing to go back to"))
            }
            "model-rollback" => {
                self.package = None;
                Ok(json!({}))
            }
            _ => Ok(json!({})),
        })
    }

    /// Fetches a package part by part; gives its SHA-256 if all came.
    async fn fetch(
        &mut self,
        below: &str,
        bytes: u64,
        line: &mut Line,
    ) -> Result<Option<String>, mqtt::Failure> {
        let (mut sha256, mut got, mut number) = (Sha256::new(), 0, 0u64);
        while got < bytes {
            let topic = format!("{below}/{number}");
            line.subscribe(std::slice::from_ref(&topic)).await?;
            let part = loop {
                let Ok(message) = timeout(PART, line.next()).await else { return Ok(None) };
                match message? {
                    message if message.topic == topic => break message.payload,
                    message => self.backlog.push_back(message),
                }
            };
            line.unsubscribe(&topic)?;
            if part.is_empty() {
                return Ok(None);
            }
            sha256.update(&part);
            got += part.len() as u64;
            number += 1;
        }
        Ok((got == bytes).then(|| hex(&sha256.finalize())))
    }
}

/// Bounds of confidences, as kiosks tell them.
const BOUNDS: [(&str, f64); 8] = [
    ("0.5", 0.5),
    ("0.7", 0.7),
    ("0.8", 0.8),
    ("0.9", 0.9),
    ("0.95", 0.95),
    ("0.98", 0.98),
    ("0.99", 0.99),
    ("1", 1.0),
];

/// A folder for the kiosks' state.
pub fn state_folder() -> PathBuf {
    let name = format!("cic-kiosk-simulate-{}", Ulid::new());
    Path::new(&std::env::temp_dir()).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(kiosks: usize, fail: f64) -> Plan {
        Plan {
            kiosks,
            fail,
            prefix: "sim-".to_owned(),
            telemetry: Duration::from_secs(60),
            scans_per_minute: 1.0,
            work: Duration::ZERO,
            clear: false,
            state: PathBuf::new(),
        }
    }

    #[test]
    fn planted_failures_are_as_many_as_asked_for_and_spread() {
        for (kiosks, fail, count) in
            [(1000, 0.05, 50), (100, 0.05, 5), (10, 0.0, 0), (7, 1.0, 7), (100, 0.1, 10)]
        {
            let plan = plan(kiosks, fail);
            let failing: Vec<_> = (0..kiosks).filter(|&number| plan.fails(number)).collect();
            assert_eq!(failing.len(), count, "{kiosks} {fail}");
        }
        assert_eq!(
            (0..40).filter(|&number| plan(40, 0.05).fails(number)).collect::<Vec<_>>(),
            [19, 39]
        );
    }

    #[test]
    fn no_two_kiosks_have_the_same_name() {
        let plan = plan(1000, 0.0);
        let names: std::collections::BTreeSet<_> =
            (0..1000).map(|number| plan.topics(number).unwrap().client_id()).collect();
        assert_eq!(names.len(), 1000);
    }

    #[test]
    fn more_connections_than_the_machine_allows_are_refused_with_what_to_do() {
        let error = allow(1 << 40).unwrap_err();
        assert!(error.contains("ulimit"), "{error}");
    }
}
