//! What is said over the queue, and how documents and answers lie in a message: a frame of
//! [`crate::worker`]'s protocol, sealed where there is a key.

use std::time::Duration;

use bytes::Bytes;
use cic_kiosk::config::Name;
use cic_kiosk::page::Files;
use cic_kiosk::report::schema::Answer;
use cic_kiosk::stage::Stage;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Access, Job, MAX_NOTE};
use crate::outbox::OutboxError;
use crate::reading::{Done, ReadError};
use crate::worker::{beginning, files, read_frame};

const JOB: &str = "queue job";
const ANSWER: &str = "queue answer";

/// Whether somebody of the queue is there, and how it does. Retained; its last will, too.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "QueueState")]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum State {
    /// It is.
    Online {
        /// When its program was started, RFC 3339 in UTC.
        #[schemars(extend("format" = "date-time"))]
        since: String,
        /// The program's version.
        version: String,
        /// What it does.
        #[serde(flatten)]
        figures: Figures,
    },
    /// It is not.
    Offline {
        /// What it was.
        role: Role,
    },
}

impl State {
    /// Of a program of this version that was started then.
    pub fn online(since: &str, figures: Figures) -> Self {
        let (since, version) = (since.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        Self::Online { since, version, figures }
    }
}

/// A part in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "QueueRole")]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads documents.
    Worker,
    /// Has documents.
    Submitter,
}

/// How somebody of the queue does.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "QueueFigures")]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Figures {
    /// Who reads documents.
    Worker {
        /// Documents that it reads at a time.
        #[serde(default)]
        threads: usize,
        /// Jobs that it holds.
        held: usize,
        /// Jobs that it has answered since its start.
        done: u64,
        /// Of these, by something else than a report.
        failed: u64,
        /// Jobs answered in the last minute; of a younger one, in its time.
        per_minute: f64,
    },
    /// Who has documents.
    Submitter {
        /// Jobs without an answer.
        backlog: usize,
        /// How long the oldest of them has waited.
        oldest_seconds: u64,
        /// Jobs that were answered since its start.
        answered: u64,
        /// Jobs that were not, in the end.
        failed: u64,
        /// How often a job was put there again.
        redelivered: u64,
        /// Jobs that became dead letters.
        dead: u64,
    },
}

/// What a worker says of a job that came to it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "QueueTaken")]
pub struct Taken {
    /// Its name.
    pub worker: Name,
    /// When its program was started: one that was started again holds nothing of what it held before.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// What it does with the job.
    pub state: Hold,
}

/// What a worker does with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "QueueHold")]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// It has it; said every few seconds for as long as that is so.
    Held,
    /// It does not read it, and somebody else may.
    Returned,
    /// It cannot open it: it is sealed with another key, or is none.
    Refused,
}

/// A job that is not tried again, retained until somebody clears it. The document is not part of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "QueueDead")]
pub struct Dead {
    /// When it was given up, RFC 3339 in UTC.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// Bytes of its message.
    pub bytes: usize,
    /// The workers that died with it or refused it, in their order.
    pub workers: Vec<Name>,
}

/// A document on its way.
#[derive(Debug, Deserialize, Serialize, PartialEq)]
struct Asked {
    /// Bytes of each file.
    files: Vec<usize>,
    /// Whether the answer has pictures.
    pictures: bool,
    /// How long reading may take.
    reading_ms: u64,
}

/// An answer on its way; where there is one, it is in the bytes.
#[derive(Debug, Deserialize, Serialize, PartialEq)]
enum Told {
    Read { took_ms: u64, stages: Vec<(Stage, u64)> },
    TooSlow { seconds: u64 },
    Panicked,
    Died,
    Unable { reason: String },
}

/// A job as a worker has it.
pub struct Document {
    /// What there is to read.
    pub files: Files,
    /// Whether the answer has pictures.
    pub pictures: bool,
    /// How long that may take.
    pub reading: Duration,
}

/// What came of a job.
pub enum Outcome {
    /// The answer's JSON, the time it took, and that of each stage.
    Read(Vec<u8>, Duration, Vec<(Stage, Duration)>),
    /// There is none.
    Failed(ReadError),
}

/// The payload of a job.
pub fn job(access: &Access, job: &Job, document: Document) -> Result<Bytes, OutboxError> {
    let Document { files, pictures, reading } = document;
    let asked = Asked {
        files: files.0.iter().map(Vec::len).collect(),
        pictures,
        reading_ms: milliseconds(reading),
    };
    let mut frame = beginning(&asked, files.bytes());
    frame.reserve(files.bytes());
    files.0.iter().for_each(|file| frame.extend_from_slice(file));
    sealed(access, JOB, job, frame)
}

/// A job's document, if that is what it is.
pub fn document(access: &Access, job: &Job, payload: &Bytes) -> Option<Document> {
    let frame = opened(access, JOB, job, payload)?;
    let (asked, bytes) = read_frame::<Asked>(&mut &frame[..]).ok()??;
    let files = Files(files(bytes, &asked.files)?);
    let reading = Duration::from_millis(asked.reading_ms);
    Some(Document { files, pictures: asked.pictures, reading })
}

/// The payload of an answer.
pub fn answer(
    access: &Access,
    job: &Job,
    read: Result<(Answer, Option<Done>), ReadError>,
) -> Result<Bytes, OutboxError> {
    let (told, bytes) = match read {
        Ok((answer, done)) => {
            let (took, stages) = done.map(|done| (done.took, done.stages)).unwrap_or_default();
            let stages = stages.iter().map(|(stage, spent)| (*stage, milliseconds(*spent)));
            let (took_ms, stages) = (milliseconds(took), stages.collect());
            (Told::Read { took_ms, stages }, answer.to_json())
        }
        Err(ReadError::TooSlow(limit)) => (Told::TooSlow { seconds: limit.as_secs() }, Vec::new()),
        Err(ReadError::Panic) => (Told::Panicked, Vec::new()),
        Err(ReadError::Died) => (Told::Died, Vec::new()),
        Err(error) => (Told::Unable { reason: error.to_string() }, Vec::new()),
    };
    let mut frame = beginning(&told, bytes.len());
    frame.extend(bytes);
    sealed(access, ANSWER, job, frame)
}

/// What an answer says, if it is one.
pub fn outcome(access: &Access, job: &Job, payload: &Bytes) -> Option<Outcome> {
    let frame = opened(access, ANSWER, job, payload)?;
    let (told, bytes) = read_frame::<Told>(&mut &frame[..]).ok()??;
    let failed = |error| Some(Outcome::Failed(error));
    match told {
        Told::Read { took_ms, stages } => {
            let spent = |(stage, ms): &(Stage, u64)| (*stage, Duration::from_millis(*ms));
            let stages = stages.iter().take(Stage::ALL.len()).map(spent).collect();
            Some(Outcome::Read(bytes, Duration::from_millis(took_ms), stages))
        }
        Told::TooSlow { seconds } => failed(ReadError::TooSlow(Duration::from_secs(seconds))),
        Told::Panicked => failed(ReadError::Panic),
        Told::Died => failed(ReadError::Died),
        Told::Unable { reason } => {
            let reason = reason.chars().filter(|c| !c.is_control()).take(200).collect();
            failed(ReadError::Unable(reason))
        }
    }
}

fn sealed(access: &Access, what: &str, job: &Job, frame: Vec<u8>) -> Result<Bytes, OutboxError> {
    Ok(Bytes::from(match &access.keys {
        Some(keys) => keys.seal_as(what, &job.path(), frame)?,
        None => frame,
    }))
}

fn opened(access: &Access, what: &str, job: &Job, payload: &Bytes) -> Option<Vec<u8>> {
    match &access.keys {
        Some(keys) => keys.open_as(what, &job.path(), payload.to_vec()),
        None => Some(payload.to_vec()),
    }
}

/// A short message in JSON, if it is one.
pub fn note<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Option<T> {
    if payload.len() > MAX_NOTE { None } else { serde_json::from_slice(payload).ok() }
}

/// As a payload.
pub fn json(message: &impl Serialize) -> Bytes {
    // Only a map with keys that are no strings, or a failing Serialize, would not go.
    serde_json::to_vec(message).unwrap_or_default().into()
}

/// Now, as it stands in messages.
pub fn now() -> String {
    Timestamp::now().to_string()
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use cic_kiosk::config::Config;
    use cic_kiosk::report::schema::Meta;
    use ulid::Ulid;

    use super::*;

    fn access(key: Option<u8>) -> Access {
        let folder = tempfile::tempdir().unwrap();
        if let Some(key) = key {
            std::fs::write(folder.path().join("queue-key"), [key; 32]).unwrap();
        }
        let mut config = Config::default();
        config.kiosk.credentials = Some(folder.path().to_owned());
        Access::new(&config, "w".parse().unwrap()).unwrap()
    }

    fn id() -> Job {
        Job { submitter: "s".parse().unwrap(), id: Ulid::from_parts(1, 2) }
    }

    fn asked() -> Document {
        let files = Files(vec![b"paper".to_vec(), b"er".to_vec()]);
        Document { files, pictures: true, reading: Duration::from_secs(5) }
    }

    #[test]
    fn document_comes_as_it_went_sealed_or_not() {
        for key in [None, Some(1)] {
            let access = access(key);
            let payload = job(&access, &id(), asked()).unwrap();
            let shows = payload.windows(5).any(|part| part == b"paper");
            assert_eq!(shows, key.is_none());
            let document = document(&access, &id(), &payload).unwrap();
            assert_eq!(document.files.0, asked().files.0);
            assert!(document.pictures && document.reading == Duration::from_secs(5));
        }
    }

    #[test]
    fn what_is_sealed_to_another_job_or_with_another_key_or_not_at_all_is_not_read() {
        let other = Job { id: Ulid::from_parts(1, 3), ..id() };
        let payload = job(&access(Some(1)), &id(), asked()).unwrap();
        assert!(document(&access(Some(1)), &other, &payload).is_none());
        assert!(document(&access(Some(2)), &id(), &payload).is_none());
        assert!(document(&access(None), &id(), &payload).is_none());
        let plain = job(&access(None), &id(), asked()).unwrap();
        assert!(document(&access(Some(1)), &id(), &plain).is_none());
        // A document is no answer, either.
        assert!(outcome(&access(Some(1)), &id(), &payload).is_none());
    }

    #[test]
    fn answers_and_failures_come_as_they_went() {
        let access = access(Some(1));
        let there = |read| outcome(&access, &id(), &answer(&access, &id(), read).unwrap()).unwrap();
        let stages = vec![(Stage::Decode, Duration::from_millis(7))];
        let done = Done { pages: 1, took: Duration::from_millis(9), stages: stages.clone() };
        let report = Answer::success(Vec::new(), Meta::default());
        let Outcome::Read(json, took, spent) = there(Ok((report.clone(), Some(done)))) else {
            panic!("a failure")
        };
        assert_eq!((json, took, spent), (report.to_json(), Duration::from_millis(9), stages));
        for error in [
            ReadError::TooSlow(Duration::from_secs(3)),
            ReadError::Panic,
            ReadError::Died,
            ReadError::Unable("no models".to_owned()),
        ] {
            let Outcome::Failed(said) = there(Err(error.clone())) else { panic!("an answer") };
            assert_eq!(said, error);
        }
    }

    #[test]
    fn garbage_is_nothing_and_never_a_panic() {
        let access = access(None);
        let payload = job(&access, &id(), asked()).unwrap();
        for length in 0..payload.len() {
            assert!(document(&access, &id(), &payload.slice(..length)).is_none(), "{length}");
        }
        for byte in 0..payload.len() {
            let mut bad = payload.to_vec();
            bad[byte] ^= 0x55;
            let _ = document(&access, &id(), &bad.into());
        }
        assert!(note::<State>(b"{").is_none());
        assert!(note::<serde_json::Value>(&vec![b' '; MAX_NOTE + 1]).is_none());
    }

    #[test]
    fn state_is_laid_out_flat() {
        let figures =
            Figures::Worker { threads: 2, held: 2, done: 120, failed: 1, per_minute: 34.5 };
        let state = State::Online { since: now(), version: "1".to_owned(), figures };
        let value: serde_json::Value = serde_json::from_slice(&json(&state)).unwrap();
        assert_eq!(value["status"], "online");
        assert!(value["role"] == "worker" && value["held"] == 2, "{value}");
        assert_eq!(note::<State>(&json(&state)), Some(state));
        let gone = json(&State::Offline { role: Role::Worker });
        assert_eq!(gone, br#"{"status":"offline","role":"worker"}"#[..]);
    }
}
