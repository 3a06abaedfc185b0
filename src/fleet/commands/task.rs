//! What a command orders, once its parameters are known to be right.

use cic_kiosk::config::CommandKind as Kind;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::message::{Code, Failure};
use crate::capture::Source;
use crate::mqtt::Topics;

/// How long the panel shows which kiosk it is, unless the command says otherwise; and at most.
const IDENTIFY_SECONDS: (u32, u32) = (30, 600);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Begin to scan, with this source or the first that can.
    Scan(Option<Source>),
    /// Show which kiosk it is, for so many seconds.
    Identify(u32),
    /// Read the configuration again.
    Reload,
    /// End, and be started again.
    Restart,
    /// Have the machine started again.
    Reboot,
    /// Send what helps to find out what is wrong.
    Diagnostics,
    /// Send the log of this time.
    Log(Timestamp, Option<Timestamp>),
    /// Ask the cloud service, or do not any more.
    Cloud(bool),
    /// Erase all papers and results.
    Wipe,
    /// Go back to the configuration from afar that was in force before.
    ConfigRollback,
    /// Read the built-in golden page.
    Selftest,
    /// Put a package of models in force.
    ModelUpdate(Update),
    /// Go back to the models that were in force before.
    ModelRollback,
}

/// A package of models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Where it comes from.
    pub from: From,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Its bytes.
    pub bytes: u64,
    /// Whether it may be no newer than what is used.
    pub allow_older: bool,
}

/// Where a package comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// A server.
    Url(String),
    /// The broker, which keeps its chunks.
    Topic,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelUpdate {
    url: Option<String>,
    topic: Option<String>,
    sha256: String,
    bytes: u64,
    #[serde(default)]
    allow_older: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scan {
    source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identify {
    seconds: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Log {
    since: Timestamp,
    until: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cloud {
    enabled: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wipe {
    kiosk: String,
}

impl Task {
    /// Of a command of this kind, with these parameters, for the kiosk of this id.
    ///
    /// # Errors
    /// What the parameters should be.
    pub fn new(kind: Kind, parameters: &Json, kiosk: &str) -> Result<Self, Failure> {
        Ok(match kind {
            Kind::Scan => {
                let expected = "source: expected camera, escl, sane, or nothing";
                match read::<Scan>(parameters, expected)?.source {
                    None => Self::Scan(None),
                    Some(name) => {
                        let source = Source::named(&name).ok_or_else(|| wrong(expected))?;
                        Self::Scan(Some(source))
                    }
                }
            }
            Kind::Identify => {
                let (usual, most) = IDENTIFY_SECONDS;
                let expected = format!("seconds: expected 1 to {most}, or nothing");
                let seconds = read::<Identify>(parameters, &expected)?.seconds.unwrap_or(usual);
                if !(1..=most).contains(&seconds) {
                    return Err(wrong(&expected));
                }
                Self::Identify(seconds)
            }
            Kind::Reload => nothing(parameters, Self::Reload)?,
            Kind::Restart => nothing(parameters, Self::Restart)?,
            Kind::Reboot => nothing(parameters, Self::Reboot)?,
            Kind::Diagnostics => nothing(parameters, Self::Diagnostics)?,
            Kind::Log => {
                let expected = "since, until: expected times as in RFC 3339, the second one later, \
                                or nothing";
                let Log { since, until } = read(parameters, expected)?;
                if until.is_some_and(|until| until <= since) {
                    return Err(wrong(expected));
                }
                Self::Log(since, until)
            }
            Kind::Cloud => {
                Self::Cloud(read::<Cloud>(parameters, "enabled: expected true or false")?.enabled)
            }
            Kind::Wipe => {
                let expected = "kiosk: expected the id of this kiosk, as a confirmation";
                if read::<Wipe>(parameters, expected)?.kiosk != kiosk {
                    return Err(wrong(expected));
                }
                Self::Wipe
            }
            Kind::ConfigRollback => nothing(parameters, Self::ConfigRollback)?,
            Kind::Selftest => nothing(parameters, Self::Selftest)?,
            Kind::ModelUpdate => {
                let expected = "expected sha256 in small hexadecimal digits, bytes, and either url, \
                                https://..., or topic, cic/v1/_all/_all/package/SHA256; allow_older: \
                                true, false, or nothing";
                let ModelUpdate { url, topic, sha256, bytes, allow_older } =
                    read(parameters, expected)?;
                let from = match (url, topic) {
                    (Some(url), None) => From::Url(url),
                    // A kiosk listens to no other.
                    (None, Some(topic)) if topic == Topics::chunks(&sha256) => From::Topic,
                    _ => return Err(wrong(expected)),
                };
                let is_digit = |c| matches!(c, '0'..='9' | 'a'..='f');
                if sha256.len() != 64 || !sha256.chars().all(is_digit) || bytes == 0 {
                    return Err(wrong(expected));
                }
                Self::ModelUpdate(Update { from, sha256, bytes, allow_older })
            }
            Kind::ModelRollback => nothing(parameters, Self::ModelRollback)?,
        })
    }
}

fn wrong(expected: &str) -> Failure {
    Failure::new(Code::Parameters, expected)
}

fn read<T: DeserializeOwned>(parameters: &Json, expected: &str) -> Result<T, Failure> {
    T::deserialize(parameters).map_err(|_| wrong(expected))
}

fn nothing(parameters: &Json, task: Task) -> Result<Task, Failure> {
    read::<Nothing>(parameters, "expected no parameters").map(|Nothing {}| task)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn task(kind: Kind, parameters: Json) -> Result<Task, Failure> {
        Task::new(kind, &parameters, "k1")
    }

    fn digest() -> String {
        "0a".repeat(32)
    }

    #[test]
    fn package_comes_from_a_server_or_in_chunks_that_its_digest_names() {
        let update = |from, allow_older| {
            Ok(Task::ModelUpdate(Update { from, sha256: digest(), bytes: 9, allow_older }))
        };
        let url = json!({"url": "https://a/b", "sha256": digest(), "bytes": 9});
        assert_eq!(
            task(Kind::ModelUpdate, url),
            update(From::Url("https://a/b".to_owned()), false)
        );
        let topic = format!("cic/v1/_all/_all/package/{}", digest());
        let topic = json!({"topic": topic, "sha256": digest(), "bytes": 9, "allow_older": true});
        assert_eq!(task(Kind::ModelUpdate, topic), update(From::Topic, true));
    }

    #[test]
    fn parameters_are_those_of_their_kind() {
        let since: Timestamp = "2026-03-02T08:00:00Z".parse().unwrap();
        for (kind, parameters, expected) in [
            (Kind::Scan, json!({}), Task::Scan(None)),
            (Kind::Scan, json!({"source": "camera"}), Task::Scan(Some(Source::Camera))),
            (Kind::Identify, json!({}), Task::Identify(30)),
            (Kind::Identify, json!({"seconds": 1}), Task::Identify(1)),
            (Kind::Cloud, json!({"enabled": false}), Task::Cloud(false)),
            (Kind::Wipe, json!({"kiosk": "k1"}), Task::Wipe),
            (Kind::Log, json!({"since": since.to_string()}), Task::Log(since, None)),
        ] {
            assert_eq!(task(kind, parameters), Ok(expected));
        }
    }

    #[test]
    fn others_are_refused_with_what_is_expected_and_not_repeated() {
        let (early, late) = ("2026-03-02T08:00:00Z", "2026-03-02T09:00:00Z");
        for (kind, parameters) in [
            (Kind::Scan, json!({"source": "s3cret"})),
            (Kind::Scan, json!({"s3cret": 1})),
            (Kind::Identify, json!({"seconds": 0})),
            (Kind::Identify, json!({"seconds": 601})),
            (Kind::Identify, json!({"seconds": "s3cret"})),
            (Kind::Log, json!({})),
            (Kind::Log, json!({"since": "s3cret"})),
            (Kind::Log, json!({"since": late, "until": early})),
            (Kind::Cloud, json!({})),
            (Kind::Wipe, json!({})),
            (Kind::Wipe, json!({"kiosk": "s3cret"})),
            (Kind::Reload, json!({"s3cret": 1})),
            (Kind::ModelUpdate, json!({"url": "https://a/b", "sha256": "s3cret", "bytes": 1})),
            (Kind::ModelUpdate, json!({"url": "https://a/b", "sha256": digest(), "bytes": 0})),
            (Kind::ModelUpdate, json!({"sha256": digest(), "bytes": 1})),
            (Kind::ModelUpdate, json!({"topic": "s3cret/#", "sha256": digest(), "bytes": 1})),
            (Kind::ModelUpdate, json!({"url": 1, "sha256": digest(), "bytes": "s3cret"})),
        ] {
            let failure = task(kind, parameters).unwrap_err();
            assert_eq!(failure.code, Code::Parameters);
            let reason = failure.reason;
            assert!(reason.contains("expected") && !reason.contains("s3cret"), "{reason}");
        }
    }

    #[test]
    fn kind_that_needs_nothing_takes_nothing() {
        for kind in [
            Kind::Reload,
            Kind::Restart,
            Kind::Reboot,
            Kind::ConfigRollback,
            Kind::Selftest,
            Kind::ModelRollback,
        ] {
            assert!(task(kind, json!({})).is_ok() && task(kind, json!({"a": 1})).is_err());
        }
    }
}
