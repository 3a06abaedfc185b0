//! The queue of jobs: documents that others read, behind a broker that they all reach.
//!
//! Whoever has documents is a [`Submitter`], and whoever reads them a [`Worker`]. A document goes to the
//! broker as a job, which hands it to one of the workers that share a subscription; the answer comes
//! back on a topic of the submitter's own.
//!
//! Promises:
//! - At least once, whatever the broker does: the submitter keeps a job until it has its answer, and puts
//!   it there again when its worker died, went silent, gave it back, or nobody took it. No broker, session
//!   or disk remembers it for us.
//! - One answer: a second one is dropped, and who still reads what is answered is told to leave it.
//! - A document that ends three workers, one after the other, is not put there again. Its asker is told,
//!   and a dead letter without the document tells others.
//! - A worker holds no more documents than it reads at a time, and answers for as long as somebody may
//!   still want them, no more than [`worker`]'s limits.
//! - What comes over the broker is judged as what it is, a stranger's: bounded, of known types, and of
//!   topics that fit. With the credential `queue-key`, documents and answers are sealed, each to its job,
//!   and what is not is neither read nor believed.
//! - No value of a paper reaches a log, a figure, a topic or an error.

mod ledger;
mod line;
mod message;
mod submitter;
mod worker;

#[cfg(test)]
pub use message::{Dead, State, Taken};
pub use submitter::{Patience, Submitter};
pub use worker::Worker;

use std::fs;
use std::time::Duration;

use cic_kiosk::config::{Config, Name, Protocol};
use ulid::Ulid;

use crate::credentials::Credentials;
use crate::mqtt::{Dial, Topics};
use crate::outbox::SealingKeys;

/// The credential that documents and answers are sealed with.
const KEY: &str = "queue-key";

/// All topics of the queue begin so. No branch can be called like that.
const ROOT: &str = "cic/v1/_queue";

/// What the workers share, so that each job goes to one of them.
const SHARED: &str = "$share/cic-workers";

/// How often a worker says that it still holds a job.
const SIGN_OF_LIFE: Duration = Duration::from_secs(3);

/// How often what is kept at the broker is renewed, if it has changed.
const STATE: Duration = Duration::from_secs(2);

/// The most bytes of a message that is no document and no answer.
const MAX_NOTE: usize = 4 << 10;

/// What a packet has beside topic and payload: head, lengths, packet identifier and an expiry.
const HEADER: usize = 32;

/// How one takes part: as whom, where, and with which key.
#[derive(Clone)]
pub struct Access {
    /// By which others know it.
    pub name: Name,
    dial: Dial,
    keys: Option<SealingKeys>,
    max_bytes: usize,
}

impl Access {
    /// At the broker of `[mqtt]`, with the credentials that there are.
    ///
    /// # Errors
    /// In a sentence, where something is missing or is not what it should be.
    pub fn new(
        config: &Config,
        name: Name,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        if config.mqtt.protocol != Protocol::V5 {
            return Err("the queue needs MQTT 5: set mqtt.protocol to \"5\"".into());
        }
        let credentials = Credentials::new(config.kiosk.credentials.as_deref());
        let keys = SealingKeys::find(&credentials, KEY)?;
        if keys.is_none() {
            log::warn!(
                "there is no credential {KEY}: whoever can listen at the broker can read papers"
            );
        }
        let topics = Topics::new("queue".parse()?, name.clone());
        let dial = Dial { settings: config.mqtt.clone(), credentials, topics, renewed: None };
        // All that it names is there, or the program does not begin.
        dial.options()?;
        Ok(Self { name, dial, keys, max_bytes: config.limits.max_bytes })
    }

    /// Nothing larger is taken in: a document as large as one may be, or an answer with pictures.
    fn max_packet(&self) -> usize {
        self.max_bytes.max(64 << 20).saturating_add(1 << 20)
    }
}

/// A job, wherever it is told of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Job {
    submitter: Name,
    /// Also the scan's.
    id: Ulid,
}

impl Job {
    /// As levels of a topic, and as what things are sealed to.
    fn path(&self) -> String {
        format!("{}/{}", self.submitter, self.id)
    }

    fn of(submitter: &str, id: &str) -> Option<Self> {
        // What is not written as we write it is not ours.
        let ulid = Ulid::from_string(id).ok().filter(|ulid| ulid.to_string() == id)?;
        Some(Self { submitter: submitter.parse().ok()?, id: ulid })
    }
}

/// What a topic of the queue is about.
#[derive(Debug, PartialEq, Eq)]
enum Topic {
    /// Whether somebody is there.
    State(Name),
    /// A document.
    Job(Job),
    /// A worker has the job.
    Taken(Job),
    /// The answer, by this worker.
    Answer(Job, Name),
    /// This worker need not do more for the job.
    Settled(Name, Job),
    /// A job that is not tried again.
    Dead(Job),
}

impl Topic {
    fn parse(topic: &[u8]) -> Option<Self> {
        let rest = std::str::from_utf8(topic).ok()?.strip_prefix(ROOT)?.strip_prefix('/')?;
        let levels: Vec<_> = rest.split('/').collect();
        Some(match levels[..] {
            [name, "state"] => Self::State(name.parse().ok()?),
            ["jobs", submitter, id] => Self::Job(Job::of(submitter, id)?),
            ["taken", submitter, id] => Self::Taken(Job::of(submitter, id)?),
            ["answers", submitter, id, worker] => {
                Self::Answer(Job::of(submitter, id)?, worker.parse().ok()?)
            }
            ["settled", worker, submitter, id] => {
                Self::Settled(worker.parse().ok()?, Job::of(submitter, id)?)
            }
            ["dead", submitter, id] => Self::Dead(Job::of(submitter, id)?),
            _ => return None,
        })
    }

    fn name(&self) -> String {
        match self {
            Self::State(name) => format!("{ROOT}/{name}/state"),
            Self::Job(job) => format!("{ROOT}/jobs/{}", job.path()),
            Self::Taken(job) => format!("{ROOT}/taken/{}", job.path()),
            Self::Answer(job, worker) => format!("{ROOT}/answers/{}/{worker}", job.path()),
            Self::Settled(worker, job) => format!("{ROOT}/settled/{worker}/{}", job.path()),
            Self::Dead(job) => format!("{ROOT}/dead/{}", job.path()),
        }
    }
}

/// What this machine is called, as a name, for who is not given one.
pub fn name_of_this(role: &str) -> Name {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let host: String = host.chars().filter(|c| fits(*c)).take(40).collect();
    let host = host.trim_start_matches(['.', '-']);
    let host = if host.is_empty() { "unnamed" } else { host };
    format!("{host}-{role}").parse().expect("a letter or digit, and what fits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        Job { submitter: "hn-01".parse().unwrap(), id: Ulid::from_parts(7, 9) }
    }

    #[test]
    fn topics_are_read_as_they_are_written() {
        let worker: Name = "w-1".parse().unwrap();
        for topic in [
            Topic::State(worker.clone()),
            Topic::Job(job()),
            Topic::Taken(job()),
            Topic::Answer(job(), worker.clone()),
            Topic::Settled(worker, job()),
            Topic::Dead(job()),
        ] {
            assert_eq!(Topic::parse(topic.name().as_bytes()), Some(topic));
        }
        assert_eq!(
            Topic::Job(job()).name(),
            format!("cic/v1/_queue/jobs/hn-01/{}", Ulid::from_parts(7, 9))
        );
    }

    #[test]
    fn topics_of_others_mean_nothing() {
        // One with letters.
        let id = Ulid::from_parts(7, 0xABC_DEF);
        for topic in [
            String::new(),
            "cic/v1/_queue".to_owned(),
            "cic/v1/_queue/".to_owned(),
            "cic/v1/_queue/-w/state".to_owned(),
            format!("cic/v1/_queue/jobs/hn-01/{}", id.to_string().to_lowercase()),
            "cic/v1/_queue/jobs/hn-01/1".to_owned(),
            format!("cic/v1/_queue/jobs/hn/01/{id}"),
            format!("cic/v1/_queuejobs/hn-01/{id}"),
            format!("cic/v1/hn-01/k1/result/{id}"),
        ] {
            assert_eq!(Topic::parse(topic.as_bytes()), None, "{topic}");
        }
        assert_eq!(Topic::parse(b"cic/v1/_queue/\xff/state"), None);
    }

    #[test]
    fn machines_name_is_a_name() {
        assert!(name_of_this("worker").as_str().ends_with("-worker"));
    }
}
