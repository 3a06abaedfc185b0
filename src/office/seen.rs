//! What kiosks say, as far as it can be understood: other versions of the program say more, or less.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::text::Text;

/// A message as data, or what is wrong with it.
pub fn read<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Text> {
    // A list would do for an object, as far as serde is concerned.
    if payload.trim_ascii_start().starts_with(b"[") {
        return Err(Text::of("not in its form (a list at line 1, column 1)"));
    }
    serde_json::from_slice(payload).map_err(|error| {
        // What stands there may be anything: the place says enough.
        let place = format!("line {}, column {}", error.line(), error.column());
        let what = if error.is_data() { "not in its form" } else { "no JSON" };
        Text::of(&format!("{what} ({place})"))
    })
}

/// Whether a kiosk is there, and what it is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Presence {
    /// Whether it is connected.
    pub status: Status,
    /// Since when.
    #[serde(default)]
    pub since: Text,
    /// Why it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
    /// The program's version.
    #[serde(default)]
    pub version: Text,
    /// What the board is called.
    #[serde(default)]
    pub board: Text,
    /// When the program was started.
    #[serde(default)]
    pub started: Text,
    /// What it reads with.
    #[serde(default)]
    pub models: Vec<Model>,
    /// The package that the models are of; where there is none, they are the installed ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<Package>,
    /// What the models run on.
    #[serde(default)]
    pub provider: Text,
    /// What can be had of it.
    #[serde(default)]
    pub capabilities: Vec<Text>,
    /// Where its documents come from.
    #[serde(default)]
    pub sources: Vec<Text>,
    /// Which configuration it has taken over.
    #[serde(default)]
    pub configuration: Versions,
}

/// Whether a kiosk is connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is.
    Online,
    /// It ends.
    Stopping,
    /// It is not.
    Offline,
    /// It said something that nobody understands.
    #[default]
    Malformed,
}

impl Status {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Stopping => "stopping",
            Self::Offline => "offline",
            Self::Malformed => "malformed",
        }
    }
}

/// A model.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Model {
    /// Its name.
    pub name: Text,
    /// What it does.
    pub kind: Text,
    /// Its version.
    pub version: Text,
}

/// A package of models.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Package {
    /// Its version.
    pub version: Text,
    /// Whether it has yet to show that it works.
    pub trial: bool,
}

/// Versions of configurations, by whom they are meant for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Versions {
    /// For all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all: Option<u64>,
    /// For the branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<u64>,
    /// For the kiosk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kiosk: Option<u64>,
}

impl Presence {
    /// The models' versions in few words: the package's, or each model's.
    pub fn models_shown(&self) -> String {
        match &self.package {
            Some(package) if package.trial => format!("{} (trial)", package.version),
            Some(package) => package.version.to_string(),
            None => {
                let all: Vec<_> = self.models.iter().map(|model| model.version.as_str()).collect();
                let mut all: Vec<_> =
                    all.into_iter().filter(|version| !version.is_empty()).collect();
                all.dedup();
                all.join("+")
            }
        }
    }

    /// Seconds since when it is as it is, by the kiosk's clock.
    pub fn age(&self, now: Timestamp) -> Option<i64> {
        self.since
            .as_str()
            .parse::<Timestamp>()
            .ok()
            .map(|since| now.as_second() - since.as_second())
    }
}

/// Which configuration a kiosk has, and why it has not another.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Reported {
    /// `applied`, `trial` or `refused`.
    pub status: Text,
    /// What is meant for all.
    pub all: LevelReport,
    /// What is meant for the branch.
    pub branch: LevelReport,
    /// What is meant for the kiosk.
    pub kiosk: LevelReport,
    /// What comes from afar of its configuration.
    pub settings: BTreeMap<Text, Json>,
    /// Keys that are in force after the next start.
    pub needs_restart: Vec<Text>,
}

/// What became of the configurations of one level.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct LevelReport {
    /// The version in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Why the last one is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refusal>,
}

/// Why a configuration was refused.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Refusal {
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The kind of reason.
    pub code: Text,
    /// The reason.
    pub reason: Text,
    /// By the keys.
    pub keys: BTreeMap<Text, Text>,
}

impl Refusal {
    /// In one line.
    pub fn shown(&self) -> String {
        let keys: Vec<_> = self.keys.iter().map(|(key, why)| format!("{key}: {why}")).collect();
        let keys = if keys.is_empty() { String::new() } else { format!(" ({})", keys.join("; ")) };
        format!("{}: {}{keys}", self.code, self.reason)
    }
}

/// How a kiosk does.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Telemetry {
    /// When, by its clock.
    pub at: Text,
    /// Since the program was started.
    pub uptime_seconds: u64,
    /// Scans that ended, by source and outcome.
    pub scans: BTreeMap<Text, BTreeMap<Text, u64>>,
    /// Values whose confidence is at most that.
    pub confidence: BTreeMap<Text, u64>,
    /// How long the stages of reading took.
    pub stages: BTreeMap<Text, Stage>,
    /// What waits there.
    pub outbox: Outbox,
    /// Where documents come from.
    pub sources: BTreeMap<Text, Source>,
    /// Times that parts of the program failed.
    pub workers: BTreeMap<Text, u64>,
    /// The machine.
    pub machine: Machine,
    /// What should not happen.
    pub anomalies: BTreeMap<Text, u64>,
}

/// How long a stage took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Stage {
    /// Documents that had it.
    pub count: u64,
    /// 95 % of them took no longer.
    pub p95_seconds: f64,
}

/// What waits on a kiosk.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Outbox {
    /// Whether documents are accepted.
    pub accepts: bool,
    /// Documents that wait to be read.
    pub documents: u64,
    /// Results that wait for the broker.
    pub results: u64,
    /// What was set aside.
    pub dead: u64,
}

impl Default for Outbox {
    fn default() -> Self {
        Self { accepts: true, documents: 0, results: 0, dead: 0 }
    }
}

/// Where documents come from.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Source {
    /// How it is.
    pub state: Text,
    /// Whether it can do its work.
    pub ready: bool,
}

/// The machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Machine {
    /// The hottest sensor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature_celsius: Option<f64>,
    /// Whether it is slowed down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled: Option<bool>,
    /// Room on the disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_available_bytes: Option<u64>,
}

/// Outcomes that a person has to look at, or that nobody can use.
const FOR_REVIEW: [&str; 3] = ["review", "unreadable", "dead"];

impl Telemetry {
    /// Scans by how they ended.
    pub fn outcomes(&self) -> BTreeMap<&str, u64> {
        let mut all = BTreeMap::new();
        for (outcome, count) in self.scans.values().flatten() {
            let sum: &mut u64 = all.entry(outcome.as_str()).or_default();
            *sum = sum.saturating_add(*count);
        }
        all
    }

    /// All scans, and those that did not end well.
    pub fn counts(&self) -> Counts {
        let outcomes = self.outcomes();
        let add = |sum: u64, count: &u64| sum.saturating_add(*count);
        let total = outcomes.values().fold(0, add);
        let review = FOR_REVIEW.iter().filter_map(|name| outcomes.get(name)).fold(0, add);
        Counts { total, review }
    }

    /// What somebody has to see to, in a few words each.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, source) in self.sources.iter().filter(|(_, source)| !source.ready) {
            faults.push(format!("{name} {}", source.state));
        }
        if !self.outbox.accepts {
            faults.push("accepts no documents".to_owned());
        }
        if self.outbox.dead > 0 {
            faults.push(format!("{} dead letters", self.outbox.dead));
        }
        if self.machine.throttled == Some(true) {
            faults.push("throttled".to_owned());
        }
        for (name, count) in self.workers.iter().filter(|(_, count)| **count > 0) {
            faults.push(format!("{name} failed {count}×"));
        }
        faults
    }
}

/// Scans, and those of them that did not end well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Counts {
    /// All.
    pub total: u64,
    /// For review, unreadable, or dead.
    pub review: u64,
}

impl Counts {
    /// Their share, where there are any.
    pub fn share(self) -> Option<f64> {
        (self.total > 0).then(|| self.review as f64 / self.total as f64)
    }

    /// What was counted since, by a program that may have been started anew.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        if self.total < before.total || self.review < before.review {
            return self;
        }
        Self { total: self.total - before.total, review: self.review - before.review }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            total: self.total.saturating_add(other.total),
            review: self.review.saturating_add(other.review),
        }
    }
}

/// Where a command stands.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Command {
    /// How far it is.
    pub status: Step,
    /// What it is.
    #[serde(default)]
    pub kind: Text,
    /// When it was sent.
    #[serde(default)]
    pub at: Text,
    /// Until when it is to be begun.
    #[serde(default)]
    pub expires: Text,
    /// When it was begun.
    #[serde(default)]
    pub started: Text,
    /// When it was done.
    #[serde(default)]
    pub finished: Text,
    /// How far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub result: Json,
    /// Why it failed, in one word.
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub code: Text,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub reason: Text,
}

/// How far a command is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// It was sent.
    #[default]
    Init,
    /// It was begun.
    Executing,
    /// It was done.
    Successful,
    /// It was not.
    Failed,
}

impl Step {
    /// Whether nothing will change any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Successful | Self::Failed)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Executing => "executing",
            Self::Successful => "successful",
            Self::Failed => "failed",
        }
    }
}

/// How far a command is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Progress {
    /// What is being done.
    pub step: Text,
    /// So much of it,
    pub done: u64,
    /// of so much.
    pub total: u64,
}

/// Figures of the job queue.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Queue {
    /// Whether it is there.
    pub status: Status,
    /// `worker` or `submitter`.
    pub role: Text,
    /// Since when.
    pub since: Text,
    /// The program's version.
    pub version: Text,
    /// Jobs that a worker has.
    pub held: u64,
    /// Jobs that it did.
    pub done: u64,
    /// Jobs that failed.
    pub failed: u64,
    /// Jobs in a minute.
    pub per_minute: f64,
    /// Jobs that wait for an answer.
    pub backlog: u64,
    /// For how long the oldest of them does.
    pub oldest_seconds: u64,
    /// Jobs that were answered.
    pub answered: u64,
    /// Jobs that were given out again.
    pub redelivered: u64,
    /// Jobs that were given up.
    pub dead: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::presence;
    use crate::fleet::telemetry::tests::full;

    #[test]
    fn what_a_kiosk_publishes_is_understood() {
        let birth = presence::Birth { version: "1.2".into(), ..Default::default() };
        let said = presence::Presence::offline(birth, presence::Reason::Lost).json();
        let seen: Presence = read(&said).unwrap();
        assert_eq!((seen.status, seen.version.as_str()), (Status::Offline, "1.2"));
        assert_eq!(seen.reason, Some(Text::of("lost")));
        let seen: Telemetry = read(&full().json()).unwrap();
        assert_eq!(seen.counts(), Counts { total: 2, review: 0 });
        assert!(seen.faults().iter().any(|fault| fault == "11 dead letters"), "{seen:?}");
    }

    #[test]
    fn garbage_is_told_by_its_place_and_not_repeated() {
        for payload in [&b"s3cret"[..], b"\xff\xfe", b"{}", b"[1]", b"{\"status\":\"s3cret\"}", b""]
        {
            let error = read::<Presence>(payload).unwrap_err();
            assert!(
                error.as_str().contains("column") && !error.as_str().contains("s3cret"),
                "{error}"
            );
        }
        let deep = "[".repeat(100_000);
        assert!(read::<Telemetry>(deep.as_bytes()).is_err());
    }

    #[test]
    fn counts_since_a_restart_begin_at_nothing() {
        let [before, after] = [Counts { total: 10, review: 2 }, Counts { total: 15, review: 4 }];
        assert_eq!(after.since(before), Counts { total: 5, review: 2 });
        assert_eq!(before.since(after), before);
    }
}
