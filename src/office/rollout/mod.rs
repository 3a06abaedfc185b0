//! A model or settings for a fleet in waves: what is planned, and how far it is.
//!
//! Promises:
//! - Which kiosk belongs to which wave is settled at the start, and stands in the state.
//! - The state is one file on the operator's machine. It is on the disk, whole, before the kiosks are
//!   told anything that stands in it: whatever is killed, `resume` goes on where it was.
//! - When more kiosks have failed than may, no other is told anything.

mod run;

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use toml::Table;
use ulid::Ulid;

use super::topics::Id;
use crate::fleet::presence::shown;

pub use run::Runner;

/// Bytes of a package's part, but for the last.
pub const CHUNK: usize = 48 << 10;

/// What is to be done, and how carefully.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// A package of models: a file, or an address that kiosks fetch it from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// SHA-256 of the package; only where it is an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Size of the package; only where it is an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Whether a package that is older than what a kiosk has is taken.
    pub allow_older: bool,
    /// A file of settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<PathBuf>,
    /// Of this branch alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// How many kiosks have it after each wave.
    pub waves: Vec<Wave>,
    /// Which share of them may fail.
    pub stop_at: Share,
    /// Seconds for which the kiosks of a wave are watched.
    pub soak_seconds: u64,
    /// By how much more of the scans may need a review.
    pub worse_by: Share,
    /// Seconds that a kiosk has for it.
    pub timeout_seconds: u64,
    /// Kiosks that are at it at the same time.
    pub at_once: usize,
    /// Whether settings that all kiosks have taken become those of all, or of the branch.
    pub promote: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            model: None,
            sha256: None,
            bytes: None,
            allow_older: false,
            settings: None,
            branch: None,
            waves: vec![Wave::Count(1), Wave::Share(5.0), Wave::Share(25.0), Wave::Share(100.0)],
            stop_at: Share(3.0),
            soak_seconds: 300,
            worse_by: Share(10.0),
            timeout_seconds: 600,
            at_once: 50,
            promote: false,
        }
    }
}

/// Up to how many kiosks a wave goes: `1`, or `5%`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Wave {
    /// So many.
    Count(usize),
    /// So many per cent of all.
    Share(f64),
}

impl Wave {
    fn of(self, all: usize) -> usize {
        let count = match self {
            Self::Count(count) => count,
            // A small number of per cent of a small number is one kiosk, not none.
            Self::Share(share) => (share / 100.0 * all as f64).ceil() as usize,
        };
        count.min(all)
    }
}

impl FromStr for Wave {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.ends_with('%') {
            return text.parse().map(|Share(share)| Self::Share(share));
        }
        let count = text.parse().ok().filter(|&count| count > 0);
        count.map(Self::Count).ok_or_else(|| "expected a number of kiosks, or N%".to_owned())
    }
}

impl TryFrom<String> for Wave {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Wave> for String {
    fn from(wave: Wave) -> Self {
        wave.to_string()
    }
}

impl fmt::Display for Wave {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Share(share) => write!(f, "{share}%"),
        }
    }
}

/// So many per cent: `3%`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Share(pub f64);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.strip_suffix('%').and_then(|number| number.trim().parse().ok());
        let number = number.filter(|number| (0.0..=100.0).contains(number));
        number.map(Self).ok_or_else(|| "expected 0% to 100%".to_owned())
    }
}

impl TryFrom<String> for Share {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Share> for String {
    fn from(share: Share) -> Self {
        format!("{}%", share.0)
    }
}

/// Why a roll-out cannot be.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// The plan is none.
    #[error("{0}")]
    Plan(String),
    /// A file cannot be read, or written.
    #[error("{}: {cause}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The state is damaged.
    #[error("{} is not the state of a roll-out: {reason}", path.display())]
    State {
        /// Where it is.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Somebody else is at it.
    #[error("another program is at {}: wait until it ends", .0.display())]
    Locked(PathBuf),
}

/// What kiosks are to take.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cargo {
    /// A package of models.
    Model {
        /// Where kiosks fetch it; where that is not said, from the broker.
        url: Option<String>,
        /// Where it is here; not where kiosks fetch it elsewhere.
        file: Option<PathBuf>,
        /// Its SHA-256.
        sha256: String,
        /// Its size.
        bytes: u64,
        /// Whether it may be older.
        allow_older: bool,
    },
    /// Settings.
    Settings(Table),
}

impl Cargo {
    /// What the plan names. Reads files.
    ///
    /// # Errors
    /// What is wrong with the plan or its files.
    pub fn of(plan: &Plan) -> Result<Self, RolloutError> {
        let wrong = |reason: &str| Err(RolloutError::Plan(reason.to_owned()));
        match (&plan.model, &plan.settings) {
            (Some(url), None) if url.starts_with("http://") || url.starts_with("https://") => {
                let (Some(sha256), Some(bytes)) = (plan.sha256.as_ref(), plan.bytes) else {
                    return wrong("a package at an address needs sha256 and bytes");
                };
                if sha256.len() != 64 || !sha256.bytes().all(|it| it.is_ascii_hexdigit()) {
                    return wrong("sha256: expected 64 hexadecimal digits");
                }
                let (url, file, sha256) = (Some(url.clone()), None, sha256.to_ascii_lowercase());
                Ok(Self::Model { url, file, sha256, bytes, allow_older: plan.allow_older })
            }
            (Some(file), None) => {
                let path = std::path::absolute(file).unwrap_or_else(|_| file.into());
                let package = read(&path)?;
                let sha256 = super::commands::hex(&Sha256::digest(&package));
                if plan.sha256.as_ref().is_some_and(|it| !it.eq_ignore_ascii_case(&sha256)) {
                    return wrong("the package has another SHA-256");
                }
                let (bytes, allow_older) = (package.len() as u64, plan.allow_older);
                Ok(Self::Model { url: None, file: Some(path), sha256, bytes, allow_older })
            }
            (None, Some(path)) => {
                let text = String::from_utf8(read(path)?);
                let text =
                    text.map_err(|_| RolloutError::Plan("settings: expected text".into()))?;
                let settings = super::settings::parse(path, &text);
                let settings = settings.map_err(|error| RolloutError::Plan(error.to_string()))?;
                super::settings::message(1, &settings)
                    .map_err(|error| RolloutError::Plan(error.to_string()))?;
                if settings.is_empty() {
                    return wrong("the file of settings sets nothing");
                }
                Ok(Self::Settings(settings))
            }
            _ => wrong("expected a model or settings, and not both"),
        }
    }

    /// In a few words.
    pub fn shown(&self) -> String {
        match self {
            Self::Model { sha256, bytes, .. } => {
                let short: String = sha256.chars().take(12).collect();
                format!("model package {short} ({bytes} bytes)")
            }
            Self::Settings(settings) => {
                let keys: Vec<_> = super::settings::flat(settings).into_keys().collect();
                format!("settings {}", keys.join(", "))
            }
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, RolloutError> {
    fs::read(path).map_err(|cause| RolloutError::File { path: path.to_owned(), cause })
}

/// How far a roll-out is.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct State {
    /// Of the roll-out.
    pub id: Ulid,
    /// When it began, RFC 3339 in UTC.
    pub began: String,
    /// How it is to be done.
    pub plan: Plan,
    /// What is to be taken.
    pub cargo: Cargo,
    /// How it stands.
    pub phase: Phase,
    /// The wave that it is at, from 0.
    pub wave: usize,
    /// Failures that somebody has seen and gone on after.
    pub accepted: usize,
    /// The kiosks, in the order of the waves.
    pub kiosks: Vec<Member>,
}

/// How a roll-out stands.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase", tag = "phase", content = "reason")]
pub enum Phase {
    /// It goes on, or was interrupted.
    Running,
    /// It has stopped by itself, for this reason.
    Stopped(String),
    /// All kiosks that were there have it.
    Done,
    /// It was given up.
    Aborted,
}

/// A kiosk in a roll-out.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Member {
    /// Which one.
    pub id: Id,
    /// How it stands with it.
    pub outcome: Outcome,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Whether it has taken it, whatever came then.
    #[serde(default)]
    pub taken: bool,
    /// The command that it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Ulid>,
    /// The version of its settings that were sent,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// and what was set for it alone before.
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    pub before: Table,
}

/// How it stands with a kiosk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is not its turn yet.
    Waiting,
    /// It was told.
    Sent,
    /// It has it.
    Done,
    /// It has not, or is worse with it.
    Failed,
    /// It was not connected when it was its turn.
    Absent,
    /// It has what it had before.
    Undone,
}

impl Outcome {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Absent => "absent",
            Self::Undone => "undone",
        }
    }
}

impl State {
    /// A roll-out of this to these kiosks, of which those that are not connected come last. Else their
    /// order is by chance, so that no branch comes first.
    ///
    /// # Errors
    /// What is wrong with the plan.
    pub fn new(
        plan: Plan,
        cargo: Cargo,
        kiosks: impl IntoIterator<Item = (Id, bool)>,
    ) -> Result<Self, RolloutError> {
        let id = Ulid::new();
        let key = |(kiosk, is_online): &(Id, bool)| {
            (!is_online, Sha256::digest(format!("{id} {kiosk}")).to_vec())
        };
        let mut kiosks: Vec<_> = kiosks.into_iter().collect();
        kiosks.sort_by_cached_key(key);
        let member = |(id, _)| Member {
            id,
            outcome: Outcome::Waiting,
            note: String::new(),
            taken: false,
            command: None,
            version: None,
            before: Table::new(),
        };
        let kiosks: Vec<_> = kiosks.into_iter().map(member).collect();
        let wrong = |reason: &str| Err(RolloutError::Plan(reason.to_owned()));
        let bounds: Vec<_> = plan.waves.iter().map(|wave| wave.of(kiosks.len())).collect();
        if kiosks.is_empty() {
            return wrong("there is no such kiosk");
        }
        if bounds.is_empty() || !bounds.is_sorted() {
            return wrong("waves: expected numbers that grow, as 1, 5%, 25%, 100%");
        }
        if !(1..=7 * 24 * 60 * 60).contains(&plan.timeout_seconds) {
            return wrong("timeout: expected 1 second to 7 days");
        }
        if plan.at_once == 0 {
            return wrong("at_once: expected a number from 1");
        }
        if plan.promote && matches!(cargo, Cargo::Model { .. }) {
            return wrong("promote is for settings: a model is each kiosk's own");
        }
        let began = shown(Timestamp::now());
        let phase = Phase::Running;
        Ok(Self { id, began, plan, cargo, phase, wave: 0, accepted: 0, kiosks })
    }

    /// Kiosks up to the end of a wave.
    pub fn bound(&self, wave: usize) -> usize {
        self.plan.waves.get(wave).map_or(self.kiosks.len(), |wave| wave.of(self.kiosks.len()))
    }

    /// Kiosks with which it stands so.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.kiosks.iter().filter(|member| member.outcome == outcome).count()
    }

    /// Why no other kiosk may be told anything, if it is so: more have failed than may, of those that
    /// have had it at the end of this wave.
    pub fn must_stop(&self) -> Option<String> {
        let told = &self.kiosks[..self.bound(self.wave)];
        let absent = told.iter().filter(|it| it.outcome == Outcome::Absent).count();
        let failed = self.count(Outcome::Failed).saturating_sub(self.accepted);
        let of = (told.len() - absent).saturating_sub(self.accepted);
        let allowed = self.plan.stop_at.0 / 100.0 * of as f64;
        (failed as f64 > allowed).then(|| {
            let share = 100.0 * failed as f64 / of.max(1) as f64;
            format!("{failed} of {of} kiosks failed ({share:.1} %, {}% may)", self.plan.stop_at.0)
        })
    }

    /// Goes on after a stop, or with those that were away. What has failed is tried again, or else
    /// counts no more.
    pub fn go_on(&mut self, retry: bool) {
        for member in &mut self.kiosks {
            let again = match member.outcome {
                Outcome::Failed => retry,
                Outcome::Absent => true,
                _ => false,
            };
            if again {
                (member.outcome, member.note) = (Outcome::Waiting, String::new());
            }
        }
        self.accepted = self.count(Outcome::Failed);
        // The wave is the first that has somebody left.
        let left = self.kiosks.iter().position(|it| it.outcome <= Outcome::Sent);
        self.wave = (0..self.plan.waves.len().saturating_sub(1))
            .find(|&wave| left.is_some_and(|left| left < self.bound(wave)))
            .unwrap_or(self.plan.waves.len() - 1);
        self.phase = Phase::Running;
    }
}

/// Where a state is kept; no other program has it meanwhile.
#[derive(Debug)]
pub struct Keeper {
    path: PathBuf,
    _lock: File,
}

impl Keeper {
    /// A new one.
    ///
    /// # Errors
    /// Where there is one already, or the disk fails.
    pub fn create(path: &Path, state: &State) -> Result<Self, RolloutError> {
        let lock = lock(path)?;
        if path.exists() {
            let cause = io::ErrorKind::AlreadyExists.into();
            return Err(RolloutError::File { path: path.to_owned(), cause });
        }
        let keeper = Self { path: path.to_owned(), _lock: lock };
        keeper.save(state)?;
        Ok(keeper)
    }

    /// One that is there.
    ///
    /// # Errors
    /// Where there is none, or somebody else is at it.
    pub fn open(path: &Path) -> Result<(Self, State), RolloutError> {
        let lock = lock(path)?;
        let state = load(path)?;
        Ok((Self { path: path.to_owned(), _lock: lock }, state))
    }

    /// Keeps this. When it returns, it is on the disk.
    ///
    /// # Errors
    /// Where the disk fails; the file is as it was then.
    pub fn save(&self, state: &State) -> Result<(), RolloutError> {
        let new = self.path.with_extension("new");
        let saved = (|| {
            let mut file = File::create(&new)?;
            serde_json::to_writer(&mut file, state)?;
            file.flush()?;
            file.sync_all()?;
            fs::rename(&new, &self.path)
        })();
        saved.map_err(|cause| RolloutError::File { path: self.path.clone(), cause })
    }
}

/// How far it is, for whoever only looks.
///
/// # Errors
/// Where there is none.
pub fn load(path: &Path) -> Result<State, RolloutError> {
    let state = serde_json::from_slice::<State>(&read(path)?);
    let wrong = |reason: String| RolloutError::State { path: path.to_owned(), reason };
    let state = state.map_err(|error| wrong(error.to_string()))?;
    if state.plan.waves.is_empty() || state.wave >= state.plan.waves.len() {
        return Err(wrong("it is at no wave".to_owned()));
    }
    Ok(state)
}

/// Beside the state, which is another file after each change.
fn lock(path: &Path) -> Result<File, RolloutError> {
    let beside = path.with_extension("lock");
    let file = OpenOptions::new().create(true).append(true).open(&beside);
    let file = file.map_err(|cause| RolloutError::File { path: beside, cause })?;
    file.try_lock().map_err(|_| RolloutError::Locked(path.to_owned()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(count: usize, away: usize) -> State {
        let kiosks = (0..count).map(|n| (Id::new("b", &format!("k{n}")).unwrap(), n >= away));
        let cargo = Cargo::Settings("[capture]\nasks = 1".parse().unwrap());
        State::new(Plan::default(), cargo, kiosks).unwrap()
    }

    fn fail(state: &mut State, count: usize) {
        for member in
            state.kiosks.iter_mut().filter(|it| it.outcome == Outcome::Waiting).take(count)
        {
            member.outcome = Outcome::Failed;
        }
    }

    #[test]
    fn waves_are_numbers_and_shares_and_reach_all() {
        let state = state(1000, 0);
        assert_eq!([0, 1, 2, 3].map(|wave| state.bound(wave)), [1, 50, 250, 1000]);
        let few = super::tests::state(3, 0);
        assert_eq!([0, 1, 2, 3].map(|wave| few.bound(wave)), [1, 1, 1, 3]);
        for text in ["0", "-1", "101%", "x", "%", "5 kiosks"] {
            assert!(text.parse::<Wave>().is_err(), "{text}");
        }
    }

    #[test]
    fn canary_that_fails_stops_it() {
        let mut state = state(1000, 0);
        fail(&mut state, 1);
        assert!(state.must_stop().unwrap().contains("1 of 1"));
    }

    #[test]
    fn it_stops_when_more_have_failed_than_may_at_the_end_of_the_wave() {
        let mut state = state(1000, 0);
        state.wave = 1;
        fail(&mut state, 1);
        assert_eq!(state.must_stop(), None);
        fail(&mut state, 1);
        assert!(state.must_stop().unwrap().contains("2 of 50"));
        state.wave = 2;
        assert_eq!(state.must_stop(), None);
        fail(&mut state, 5);
        assert_eq!(state.must_stop(), None);
        fail(&mut state, 1);
        assert!(state.must_stop().unwrap().contains("8 of 250"));
    }

    #[test]
    fn kiosks_that_are_away_come_last_and_count_for_nothing() {
        let mut state = state(100, 90);
        let away = |member: &Member| member.id.kiosk()[1..].parse::<usize>().unwrap() < 90;
        assert!(
            state.kiosks[..10].iter().all(|it| !away(it)) && state.kiosks[10..].iter().all(away)
        );
        state.wave = 3;
        for member in &mut state.kiosks[10..] {
            member.outcome = Outcome::Absent;
        }
        fail(&mut state, 1);
        assert!(state.must_stop().unwrap().contains("1 of 10"));
    }

    #[test]
    fn what_failed_is_tried_again_or_counts_no_more() {
        let mut stopped = state(1000, 0);
        stopped.wave = 1;
        stopped.kiosks[0].outcome = Outcome::Done;
        fail(&mut stopped, 3);
        let mut retried = stopped.clone();
        retried.go_on(true);
        assert_eq!((retried.count(Outcome::Failed), retried.wave, retried.accepted), (0, 1, 0));
        stopped.go_on(false);
        assert_eq!((stopped.count(Outcome::Failed), stopped.wave, stopped.accepted), (3, 1, 3));
        assert_eq!(stopped.must_stop(), None);
        fail(&mut stopped, 2);
        assert!(stopped.must_stop().unwrap().contains("2 of 47"));
    }

    #[test]
    fn state_is_kept_whole_and_for_one_program_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let mut state = state(10, 0);
        let keeper = Keeper::create(&path, &state).unwrap();
        state.phase = Phase::Stopped("for a reason".to_owned());
        state.kiosks[0].before = "[capture]\nasks = 3".parse().unwrap();
        keeper.save(&state).unwrap();
        assert!(matches!(Keeper::open(&path), Err(RolloutError::Locked(_))));
        assert_eq!(load(&path).unwrap(), state);
        drop(keeper);
        assert_eq!(Keeper::open(&path).unwrap().1, state);
        assert!(matches!(Keeper::create(&path, &state), Err(RolloutError::File { .. })));
        fs::write(&path, "{").unwrap();
        assert!(matches!(Keeper::open(&path), Err(RolloutError::State { .. })));
    }

    #[test]
    fn plan_is_a_file_with_defaults_for_everything() {
        let plan: Plan = toml::from_str("settings = \"s.toml\"\nwaves = [\"2\", \"50%\"]").unwrap();
        assert_eq!((plan.waves[1], plan.stop_at.0), (Wave::Share(50.0), 3.0));
        assert!(toml::from_str::<Plan>("model = \"x\"\nwave = 1").is_err());
        for (plan, words) in [
            ("", "not both"),
            ("model = \"https://x/p\"", "sha256"),
            ("settings = \"/nowhere\"", "/nowhere"),
        ] {
            let error = Cargo::of(&toml::from_str(plan).unwrap()).unwrap_err().to_string();
            assert!(error.contains(words), "{plan}: {error}");
        }
    }
}
