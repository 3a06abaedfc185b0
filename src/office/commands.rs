//! Commands: what is sent to kiosks, and what comes of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use ulid::Ulid;

use super::seen::{self, Command, Step};
use super::session::Session;
use super::text::Text;
use super::topics::{Id, Topic};
use crate::fleet::presence::shown;
use crate::mqtt::{Failure, Message, Sending};

/// Bytes of one part, and parts of one output, that are taken in: 64 MiB.
const MOST_PART: usize = 64 << 10;
const MOST_PARTS: usize = 2048;

/// How long is waited for parts that are missing when a command is done.
const LATE: Duration = Duration::from_secs(3);

/// What kiosks are to do.
#[derive(Clone, Debug)]
pub struct Order {
    /// What.
    pub kind: String,
    /// With what.
    pub parameters: Map<String, Json>,
    /// Until when it is to be begun.
    pub lasts: SignedDuration,
}

impl Order {
    /// As it is sent.
    pub fn json(&self, now: Timestamp) -> Vec<u8> {
        let expires = now.saturating_add(self.lasts).unwrap_or(Timestamp::MAX);
        let order = json!({
            "status": "init",
            "kind": self.kind,
            "at": shown(now),
            "expires": shown(expires),
            "parameters": self.parameters,
        });
        order.to_string().into_bytes()
    }
}

/// The topic of a command.
pub fn topic(to: &Id, sender: &str, id: Ulid) -> String {
    to.topic(&format!("command/{sender}/{id}"))
}

/// A parameter as it is written on a command line: `NAME=VALUE`, where the value is JSON or else text.
///
/// # Errors
/// What is expected.
pub fn parameter(text: &str) -> Result<(String, Json), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Json::from(value));
    Ok((name.to_owned(), value))
}

/// What came of one order, kiosk by kiosk.
#[derive(Debug)]
pub struct Answers {
    id: Ulid,
    sender: String,
    all: BTreeMap<Id, Answer>,
}

/// What came of an order at one kiosk.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The last that it said.
    pub command: Command,
    parts: BTreeMap<usize, Bytes>,
}

impl Answers {
    /// To an order that goes to these kiosks under this id.
    pub fn new(id: Ulid, sender: &str, to: impl IntoIterator<Item = Id>) -> Self {
        let all = to.into_iter().map(|id| (id, Answer::default())).collect();
        Self { id, sender: sender.to_owned(), all }
    }

    /// What has to be listened to.
    pub fn filters(&self) -> Vec<String> {
        let (sender, id) = (&self.sender, self.id);
        ["", "/part/+"].map(|end| format!("cic/v1/+/+/command/{sender}/{id}{end}")).to_vec()
    }

    /// What is to be published.
    pub fn letters(&self, order: &Order, now: Timestamp) -> Vec<Sending> {
        let payload = order.json(now);
        let one = |to: &Id| (topic(to, &self.sender, self.id), payload.clone(), true);
        self.all.keys().map(one).collect()
    }

    /// Takes in a message; gives the kiosk of which something is new.
    pub fn take(&mut self, message: &Message) -> Option<Id> {
        let is_ours = |sender: &str, id: &str| sender == self.sender && id == self.id.to_string();
        match Topic::of(&message.topic) {
            Topic::Command(to, sender, id) if is_ours(&sender, &id) => {
                let answer = self.all.get_mut(&to)?;
                if message.payload.is_empty() || answer.command.status.is_final() {
                    return None;
                }
                answer.command = seen::read(&message.payload).unwrap_or_else(|odd| Command {
                    status: Step::Failed,
                    code: Text::of("malformed"),
                    reason: Text::of(&format!("the kiosk's answer is {odd}")),
                    ..Command::default()
                });
                Some(to)
            }
            Topic::Part(to, sender, id, number) if is_ours(&sender, &id) => {
                let answer = self.all.get_mut(&to)?;
                if number < MOST_PARTS && message.payload.len() <= MOST_PART {
                    answer.parts.insert(number, message.payload.clone());
                }
                None
            }
            _ => None,
        }
    }

    /// All of them.
    pub fn all(&self) -> &BTreeMap<Id, Answer> {
        &self.all
    }

    fn is_done(&self) -> bool {
        self.all.values().all(|answer| answer.command.status.is_final())
    }

    fn is_complete(&self) -> bool {
        self.all
            .values()
            .all(|answer| answer.parts_wanted().is_none_or(|it| answer.parts.len() >= it))
    }

    /// Takes in what comes, until all kiosks have done it and all parts are there, or until then.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn follow(
        &mut self,
        session: &mut Session,
        mut until: Instant,
        mut tell: impl FnMut(&Id, &Answer),
    ) -> Result<(), Failure> {
        let mut is_late = false;
        while !(self.is_done() && self.is_complete()) {
            if self.is_done() && !is_late {
                (is_late, until) = (true, until.min(Instant::now() + LATE));
            }
            let Some(message) = session.next_until(until).await? else { break };
            if let Some((id, answer)) =
                self.take(&message).and_then(|id| self.all.get_key_value(&id))
            {
                tell(id, answer);
            }
        }
        Ok(())
    }
}

/// Why an output is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Parts did not come, or do not make what the kiosk says.
    #[error("its output is damaged ({0}); send the command again")]
    Damaged(&'static str),
    /// It cannot be written.
    #[error("cannot write {}: {cause}", path.display())]
    Unwritable {
        /// Where to.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

impl Answer {
    fn parts_wanted(&self) -> Option<usize> {
        let parts = self.command.result.get("parts")?.as_u64()?;
        usize::try_from(parts).ok()
    }

    /// The output that came in parts, if there is one, and it is what the kiosk has sent.
    ///
    /// # Errors
    /// [`OutputError::Damaged`].
    pub fn output(&self) -> Result<Option<Vec<u8>>, OutputError> {
        let Some(wanted) = self.parts_wanted() else { return Ok(None) };
        let damaged = |what| Err(OutputError::Damaged(what));
        if wanted > MOST_PARTS {
            return damaged("too many parts");
        }
        if !self.parts.keys().copied().eq(0..wanted) {
            return damaged("parts are missing");
        }
        let output: Vec<u8> = self.parts.values().flatten().copied().collect();
        let result = &self.command.result;
        if result.get("bytes").and_then(Json::as_u64) != Some(output.len() as u64) {
            return damaged("another length");
        }
        let sha256 = result.get("sha256").and_then(Json::as_str).unwrap_or_default();
        if !sha256.eq_ignore_ascii_case(&hex(&Sha256::digest(&output))) {
            return damaged("another SHA-256");
        }
        Ok(Some(output))
    }

    /// Seconds from begin to end, by the kiosk's clock.
    pub fn seconds(&self) -> Option<i64> {
        let time = |text: &Text| text.as_str().parse::<Timestamp>().ok();
        let (begun, done) = (time(&self.command.started)?, time(&self.command.finished)?);
        Some(done.as_second() - begun.as_second())
    }

    /// What came of it, in one line.
    pub fn note(&self) -> String {
        let Command { progress, result, code, reason, .. } = &self.command;
        match (self.command.status, progress) {
            (Step::Failed, _) if reason.is_empty() => code.to_string(),
            (Step::Failed, _) => format!("{code}: {reason}"),
            (Step::Executing, Some(progress)) => {
                format!("{} {}/{}", progress.step, progress.done, progress.total)
            }
            (Step::Successful, _) if !is_empty(result) => Text::of(&result.to_string()).to_string(),
            _ => String::new(),
        }
    }
}

fn is_empty(result: &Json) -> bool {
    result.is_null() || result.as_object().is_some_and(Map::is_empty)
}

/// Writes an output into a file of its own.
///
/// # Errors
/// [`OutputError::Unwritable`].
pub fn save(
    folder: &Path,
    of: &Id,
    kind: &str,
    id: Ulid,
    output: &[u8],
) -> Result<PathBuf, OutputError> {
    let end = match output {
        [0x1f, 0x8b, ..] => "gz",
        [b'P', b'K', ..] => "zip",
        [b'{' | b'[', ..] => "json",
        _ => "txt",
    };
    // The kind is the operator's own word; the names are names.
    let path = folder.join(format!("{}-{}-{kind}-{id}.{end}", of.branch(), of.kiosk()));
    let written = fs::create_dir_all(folder).and_then(|()| {
        // What a kiosk tells of itself is nobody else's.
        let mut options = OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.write(true).create_new(true).open(&path)?.write_all(output)
    });
    match written {
        Ok(()) => Ok(path),
        Err(cause) => Err(OutputError::Unwritable { path, cause }),
    }
}

/// In hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut all, byte| {
        let _ = write!(all, "{byte:02x}");
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(answers: &mut Answers, end: &str, payload: impl Into<Bytes>) -> Option<Id> {
        let topic = format!("cic/v1/b/k1/command/anna/{}{end}", answers.id);
        answers.take(&Message { topic, payload: payload.into(), retained: false })
    }

    fn answers() -> (Answers, Id) {
        let id: Id = "b/k1".parse().unwrap();
        (Answers::new(Ulid::new(), "anna", [id.clone()]), id)
    }

    fn done(output: &[u8], parts: usize) -> String {
        let sha256 = hex(&Sha256::digest(output));
        let result = json!({"parts": parts, "bytes": output.len(), "sha256": sha256});
        json!({"status": "successful", "kind": "log", "result": result}).to_string()
    }

    #[test]
    fn output_is_put_together_from_its_parts_in_any_order() {
        let (mut answers, id) = answers();
        say(&mut answers, "/part/1", &b"world"[..]);
        assert!(!answers.is_done());
        say(&mut answers, "", done(b"hello world", 2));
        assert!(answers.is_done() && !answers.is_complete());
        assert!(answers.all[&id].output().is_err());
        say(&mut answers, "/part/0", &b"hello "[..]);
        assert!(answers.is_complete());
        assert_eq!(answers.all[&id].output().unwrap().unwrap(), b"hello world");
    }

    #[test]
    fn output_that_is_not_what_the_kiosk_says_is_damaged() {
        let (mut answers, id) = answers();
        say(&mut answers, "/part/0", &b"hello wOrld"[..]);
        say(&mut answers, "", done(b"hello world", 1));
        assert!(matches!(answers.all[&id].output(), Err(OutputError::Damaged("another SHA-256"))));
        // The last word is the last word.
        assert_eq!(say(&mut answers, "", done(b"hello wOrld", 1)), None);
    }

    #[test]
    fn garbage_for_an_answer_is_a_failure_that_says_so() {
        let (mut answers, id) = answers();
        say(&mut answers, "", "\u{1b}[2J");
        let answer = &answers.all[&id];
        assert!(answer.command.status == Step::Failed && answer.note().starts_with("malformed"));
    }

    #[test]
    fn messages_of_others_are_not_ours() {
        let (mut answers, _) = answers();
        let id = answers.id;
        for topic in
            [format!("cic/v1/b/k2/command/anna/{id}"), format!("cic/v1/b/k1/command/eve/{id}")]
        {
            let payload = r#"{"status":"failed"}"#.into();
            assert_eq!(answers.take(&Message { topic, payload, retained: false }), None);
        }
        assert!(!answers.is_done());
    }

    #[test]
    fn parameter_is_json_or_else_text() {
        assert_eq!(parameter("seconds=5"), Ok(("seconds".to_owned(), json!(5))));
        assert_eq!(parameter("since=-1h"), Ok(("since".to_owned(), json!("-1h"))));
        assert_eq!(parameter("enabled=true"), Ok(("enabled".to_owned(), json!(true))));
        assert!(parameter("x").is_err());
    }
}
