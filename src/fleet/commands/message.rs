//! The messages: a command as its sender publishes it, and what the kiosk makes of it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use ulid::Ulid;

use crate::fleet::presence::shown as time;

/// How long a command may be good for.
pub const MOST_LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What two clocks may differ by.
pub const SLACK: SignedDuration = SignedDuration::from_mins(5);

/// What the time in a command's id may be away from its `at`.
const SAME_TIME: SignedDuration = SignedDuration::from_hours(1);

/// Characters that are told of what came from afar.
const MOST_CHARS: usize = 80;

/// A command and what became of it: what stands at its topic. `init` is its sender's, all else the
/// kiosk's.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Command {
    /// How far it is.
    pub status: Status,
    /// What is ordered; not of a message that was malformed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub kind: Option<String>,
    /// When it was given, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Option<String>,
    /// When it is not to be begun any more, RFC 3339; at most 7 days after `at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub expires: Option<String>,
    /// What the kind needs to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BTreeMap<String, Json>")]
    pub parameters: Option<Json>,
    /// When the kiosk began with it, by its clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started: Option<String>,
    /// What it is doing, of what takes its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Progress")]
    pub progress: Option<Progress>,
    /// When it ended, by the kiosk's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub finished: Option<String>,
    /// What came of one that was successful.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BTreeMap<String, Json>")]
    pub result: Option<Json>,
    /// What kind of reason one has that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Code")]
    pub code: Option<Code>,
    /// The reason, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub reason: Option<String>,
}

/// How far a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It was given.
    Init,
    /// The kiosk has begun with it.
    Executing,
    /// It was done.
    Successful,
    /// It was not done, or not wholly.
    Failed,
}

/// What a command is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Progress {
    /// The step: a word of a fixed list for each kind.
    pub step: &'static str,
    /// How much of the step is done, ...
    pub done: u64,
    /// ... and of how much.
    pub total: u64,
}

/// Kinds of reasons of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The message is not in its form.
    Malformed,
    /// The message has more than 64 KiB.
    TooLarge,
    /// The kiosk's own configuration does not let this sender order that.
    NotAllowed,
    /// Its time is over.
    Expired,
    /// The kiosk's clock is behind the time at which the command was given.
    Clock,
    /// There is no such kind.
    UnknownKind,
    /// The parameters are not those of its kind.
    Parameters,
    /// Too many commands wait, or are remembered of this sender.
    Busy,
    /// The program ended in the middle of it.
    Interrupted,
    /// The kiosk's disk does not take it.
    NotStored,
    /// The system does not let the program do that.
    NotPermitted,
    /// The kiosk has nothing that could do that, or not now.
    Unavailable,
    /// It was tried, and did not succeed.
    Failed,
}

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// What kind of reason it is.
    pub code: Code,
    /// The reason, for people; without anything of a paper.
    pub reason: String,
}

impl Failure {
    /// Of this kind, for that reason.
    pub fn new(code: Code, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

/// A command that was given, in its form; whether it may be followed is another question.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// What is ordered, as it stands there.
    pub kind: String,
    /// When it was given.
    pub at: Timestamp,
    /// When it is not to be begun any more.
    pub expires: Timestamp,
    /// What the kind needs to know.
    pub parameters: Json,
}

/// What a message is.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// A command.
    Given(Box<Given>),
    /// What a kiosk says of one.
    Said,
}

/// Whether a message is what a kiosk says of a command, as far as can be seen at once.
pub fn is_said(message: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Glance {
        status: Status,
    }
    serde_json::from_slice::<Glance>(message).is_ok_and(|it| it.status != Status::Init)
}

impl Message {
    /// Out of a message at the topic of this id.
    ///
    /// # Errors
    /// Why it is none, without what stands there.
    pub fn parse(message: &[u8], id: Ulid) -> Result<Self, Failure> {
        let malformed = |reason: &str| Err(Failure::new(Code::Malformed, reason));
        if is_said(message) {
            return Ok(Self::Said);
        }
        let json: Json = match serde_json::from_slice(message) {
            Ok(json) => json,
            Err(error) => {
                let place = format!("line {}, column {}", error.line(), error.column());
                return malformed(&format!("it is no JSON ({place})"));
            }
        };
        let known = ["status", "kind", "at", "expires", "parameters"];
        let named = |object: &serde_json::Map<String, Json>| {
            object.keys().all(|key| known.contains(&key.as_str()))
        };
        if !json.as_object().is_some_and(named) {
            return malformed("expected status, kind, at, expires, parameters, and nothing else");
        }
        if json["status"] != "init" {
            return malformed("status: expected init");
        }
        let Some(kind) = json["kind"].as_str() else {
            return malformed("kind: expected a word");
        };
        let moment = |key: &str| json[key].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        let (Some(at), Some(expires)) = (moment("at"), moment("expires")) else {
            return malformed("at, expires: expected times as in RFC 3339");
        };
        let life = expires.duration_since(at);
        if life <= SignedDuration::ZERO || life > MOST_LIFE {
            return malformed("expires: expected a time after at, and at most 7 days after it");
        }
        let made = i64::try_from(id.timestamp_ms()).ok();
        let made = made.and_then(|it| Timestamp::from_millisecond(it).ok());
        if made.is_none_or(|made| made.duration_since(at).abs() > SAME_TIME) {
            return malformed("at: expected within an hour of the time that is in the ULID");
        }
        let parameters = match &json["parameters"] {
            Json::Null => Json::Object(serde_json::Map::new()),
            parameters @ Json::Object(_) => parameters.clone(),
            _ => return malformed("parameters: expected an object"),
        };
        Ok(Self::Given(Box::new(Given { kind: shown(kind), at, expires, parameters })))
    }
}

impl Command {
    /// What is said of a message that is none.
    pub fn refused(failure: &Failure) -> Self {
        Self {
            status: Status::Failed,
            kind: None,
            at: None,
            expires: None,
            parameters: None,
            started: None,
            progress: None,
            finished: Some(time(Timestamp::now())),
            result: None,
            code: Some(failure.code),
            reason: Some(failure.reason.clone()),
        }
    }

    /// The same of one that could be read.
    #[must_use]
    pub fn of(mut self, kind: &str, at: Timestamp, expires: Timestamp) -> Self {
        self.kind = Some(kind.to_owned());
        self.at = Some(time(at));
        self.expires = Some(time(expires));
        self
    }

    /// As it is published.
    pub fn json(&self) -> Vec<u8> {
        serde_json::json!(self).to_string().into_bytes()
    }
}

/// What came from afar, as it is told: it may be anything.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MOST_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "2026-03-02T08:00:00Z";

    fn id() -> Ulid {
        Ulid::from_parts(AT.parse::<Timestamp>().unwrap().as_millisecond() as u64, 1)
    }

    fn parsed(message: &str) -> Result<Message, Failure> {
        Message::parse(message.as_bytes(), id())
    }

    fn given(more: &str) -> String {
        format!(
            "{{\"status\":\"init\",\"kind\":\"identify\",\"at\":\"{AT}\",\
              \"expires\":\"2026-03-02T09:00:00Z\"{more}}}"
        )
    }

    #[test]
    fn command_is_what_its_sender_gave() {
        let expected = Given {
            kind: "identify".to_owned(),
            at: AT.parse().unwrap(),
            expires: "2026-03-02T09:00:00Z".parse().unwrap(),
            parameters: serde_json::json!({"seconds": 3}),
        };
        let message = parsed(&given(",\"parameters\":{\"seconds\":3}"));
        assert_eq!(message, Ok(Message::Given(Box::new(expected))));
        assert!(parsed(&given("")).is_ok());
    }

    #[test]
    fn what_a_kiosk_says_is_no_command() {
        for status in ["executing", "successful", "failed"] {
            let said = format!("{{\"status\":\"{status}\",\"kind\":[],\"more\":1}}");
            assert_eq!(parsed(&said), Ok(Message::Said));
        }
        let said = Command::refused(&Failure::new(Code::Expired, "too late"));
        assert!(is_said(&said.json()) && !is_said(given("").as_bytes()));
    }

    #[test]
    fn anything_else_is_refused_with_what_is_expected_and_not_repeated() {
        let late = AT.replace("08:", "11:");
        for (message, words) in [
            (String::new(), "no JSON"),
            ("s3cret".to_owned(), "line 1"),
            ("[1]".to_owned(), "status"),
            ("{\"status\":\"s3cret\"}".to_owned(), "init"),
            (given(",\"more\":\"s3cret\""), "nothing else"),
            (given(",\"parameters\":\"s3cret\""), "object"),
            (given("").replace("identify\"", "\""), ""),
            (given("").replace("\"identify\"", "7"), "kind"),
            (given("").replace(AT, "s3cret"), "RFC 3339"),
            (given("").replace("02T09", "09T09"), "7 days"),
            (given("").replace("T09", "T07"), "after at"),
            (given("").replace(AT, &late).replace("T09", "T12"), "ULID"),
            ("[".repeat(60_000), "no JSON"),
        ] {
            match parsed(&message) {
                Err(failure) => {
                    assert_eq!(failure.code, Code::Malformed, "{message}");
                    assert!(failure.reason.contains(words), "{message}: {failure:?}");
                    assert!(!failure.reason.contains("s3cret"), "{failure:?}");
                }
                // An empty kind is in its form; nobody knows it.
                Ok(_) => assert_eq!(words, ""),
            }
        }
    }

    #[test]
    fn kind_from_afar_is_told_without_what_a_terminal_would_obey() {
        let message = given("").replace("identify", &format!("\\u001b[2J{}", "k".repeat(500)));
        let Ok(Message::Given(given)) = parsed(&message) else { panic!("{message}") };
        assert!(given.kind.starts_with("[2Jkk") && given.kind.len() == MOST_CHARS);
    }
}
