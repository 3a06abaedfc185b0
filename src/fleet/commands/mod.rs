//! Commands: given by the fleet's operators, judged here, done once, and answered where they stand.
//!
//! Promises:
//! - Nothing is done for a sender that the kiosk's own configuration does not name, nor of a kind that
//!   it does not name for him. Every message that can be answered is: by what became of it, or by why
//!   it is refused. No message makes the program fail.
//! - That a command was begun is on the disk before it is begun: it is done once, however often it
//!   comes, and whatever fails. What was interrupted has failed, but for what is done by being started
//!   again.
//! - A command is not begun after its time, nor by a clock that is before its time. What is
//!   remembered of each sender is bounded, and nothing is forgotten before its time is over.
//!
//! Here is what is decided, and kept. Who listens, and does what is ordered, is the daemon.

pub mod message;
pub mod task;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use cic_kiosk::config::{CommandKind as Kind, Name, Senders};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use ulid::Ulid;

use self::message::{Code, Command, Failure, Given, Message, Progress, SLACK, Status};
use self::task::Task;
use super::anomalies::Anomalies;
use super::kept::{Found, KeptFile};
use super::presence::shown as time;
use crate::mqtt::{Letter, MAX_LETTER, Topics};

/// Name of the file in the state folder.
const FILE: &str = "commands.json";

/// Commands of one sender that wait.
const MOST_WAITING: usize = 16;

/// Commands of one sender that are remembered and could still be begun if they were not.
const MOST_KNOWN: usize = 64;

/// How long one is remembered whose time is over, as long as there is room: a clock may be put back.
const AFTER: SignedDuration = SignedDuration::from_hours(24);

/// The largest result that is kept and published; what is larger goes in parts.
const MOST_RESULT: usize = 16 << 10;

/// Whose command it is, and which: older ones come first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub struct Address {
    /// Its id.
    pub id: Ulid,
    /// Who has sent it.
    pub sender: Name,
}

/// A command that was begun.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
struct Known {
    address: Address,
    kind: Kind,
    at: Timestamp,
    expires: Timestamp,
    started: Timestamp,
    /// The run of the program, and the start of the machine, in which it was begun.
    run: Ulid,
    boot_id: Option<String>,
    phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    Executing,
    Successful(Timestamp, Json),
    Failed(Timestamp, Failure),
}

/// What is kept over restarts.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Kept {
    commands: Vec<Known>,
    /// The cloud service is not to be asked.
    cloud_off: bool,
}

/// A command to be done.
#[derive(Clone, Debug, PartialEq)]
pub struct Begun {
    /// Which one.
    pub address: Address,
    /// What is to be done.
    pub task: Task,
}

/// What was last said at each topic of a command that is remembered. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Told(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

/// The commands of one kiosk.
#[derive(Debug)]
pub struct Commands {
    kept: Kept,
    file: KeptFile,
    topics: Topics,
    anomalies: Anomalies,
    /// This run of the program, and this start of the machine.
    run: Ulid,
    boot_id: Option<String>,
    waiting: BTreeMap<Address, (Given, Task)>,
    told: Told,
    /// What is to be published, retained.
    said: Vec<(String, Vec<u8>)>,
}

impl Kept {
    /// What the state folder keeps. Where that is lost, the cloud service is not asked until somebody
    /// orders it: it may be that somebody had it turned off.
    pub fn load(state: &Path) -> Self {
        let what = "which commands were done is not known, and the cloud service is not asked until \
                    a command turns it on";
        match KeptFile::new(state, FILE).load(what) {
            Found::Whole(kept) => kept,
            Found::Nothing => Self::default(),
            Found::Lost => Self { cloud_off: true, ..Self::default() },
        }
    }

    /// Whether a command has begun to erase everything, which must be done before anything else is.
    pub fn must_wipe(&self) -> bool {
        self.commands.iter().any(|it| it.kind == Kind::Wipe && it.phase == Phase::Executing)
    }
}

impl Commands {
    /// Goes on with what is kept, in a new run of the program; `wiped` is what came of erasing
    /// everything, where that was to be done.
    pub fn open(
        state: &Path,
        kept: Kept,
        topics: Topics,
        boot_id: Option<String>,
        wiped: Option<Result<Json, Failure>>,
        anomalies: Anomalies,
    ) -> Self {
        let mut it = Self {
            kept,
            file: KeptFile::new(state, FILE),
            topics,
            anomalies,
            run: Ulid::new(),
            boot_id,
            waiting: BTreeMap::new(),
            told: Told::default(),
            said: Vec::new(),
        };
        let under_way = it.kept.commands.iter().filter(|known| known.phase == Phase::Executing);
        let under_way: Vec<_> = under_way.cloned().collect();
        for known in it.kept.commands.clone() {
            it.say(&known, None);
        }
        // They stand at the broker, unless the program ended before.
        it.said.clear();
        for known in under_way {
            let outcome = match known.kind {
                Kind::Restart => Ok(Json::Object(Default::default())),
                Kind::Reboot if it.boot_id.is_some() && it.boot_id != known.boot_id => {
                    Ok(Json::Object(Default::default()))
                }
                Kind::Reboot => Err(interrupted("the program was started again, not the machine")),
                Kind::Wipe => wiped.clone().unwrap_or_else(|| Err(interrupted(INTERRUPTED))),
                _ => Err(interrupted(INTERRUPTED)),
            };
            it.finish(&known.address, outcome);
        }
        it
    }

    /// Whether the cloud service is not to be asked, as far as commands are concerned.
    pub fn is_cloud_off(&self) -> bool {
        self.kept.cloud_off
    }

    /// Whether a command waits to be begun.
    pub fn is_any_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What was last said, for who looks at what comes in.
    pub fn told(&self) -> Told {
        self.told.clone()
    }

    /// What is to be published since this was last asked for: topics and payloads, to be retained.
    pub fn said(&mut self) -> Vec<(String, Vec<u8>)> {
        std::mem::take(&mut self.said)
    }

    /// Nothing is being done in this run of the program: what should be was interrupted.
    pub fn nothing_is_under_way(&mut self) {
        let executing = self.kept.commands.iter().find(|it| it.phase == Phase::Executing).cloned();
        if let Some(known) = executing {
            self.finish(&known.address, Err(interrupted("its worker failed; the log says how")));
        }
    }

    /// A message came. It is answered, or its command waits to be begun.
    pub fn take(&mut self, letter: &Letter, senders: &Senders, now: Timestamp) {
        let Some((sender, id)) = self.topics.command_in(&letter.topic) else { return };
        let id = id.parse::<Ulid>().ok().filter(|it| it.to_string() == id);
        let sender = sender.parse::<Name>().ok();
        let message = letter.payload.as_deref().map_err(|bytes| *bytes);
        let refuse = |it: &mut Self, code, reason: &str| {
            it.refuse(&letter.topic, None, &Failure::new(code, reason));
        };
        // Who takes a command back that has not begun, does.
        if message == Ok(&[]) {
            if let (Some(id), Some(sender)) = (id, sender) {
                self.waiting.remove(&Address { id, sender });
            }
            return;
        }
        let Some(sender) = sender.filter(|sender| senders.contains_key(sender)) else {
            return refuse(self, Code::NotAllowed, NOT_NAMED);
        };
        let Some(id) = id else {
            return refuse(self, Code::Malformed, "the topic's last level: expected a ULID");
        };
        let address = Address { id, sender };
        if let Some(known) = self.known(&address).cloned() {
            return self.say(&known, None);
        }
        // What its sender has changed meanwhile counts.
        self.waiting.remove(&address);
        let parsed = match message {
            Ok(message) => Message::parse(message, id),
            Err(bytes) => {
                let reason = format!("{bytes} bytes are more than the {MAX_LETTER} that are taken");
                Err(Failure::new(Code::TooLarge, reason))
            }
        };
        match parsed {
            Ok(Message::Said) => {}
            Ok(Message::Given(given)) => {
                let judged = self.judge(&address, &given, senders, now);
                match judged.and_then(|task| self.has_room(&address, now).map(|()| task)) {
                    Ok(task) => _ = self.waiting.insert(address, (*given, task)),
                    Err(failure) => self.refuse(&letter.topic, Some(&given), &failure),
                }
            }
            Err(failure) => self.refuse(&letter.topic, None, &failure),
        }
    }

    /// The next command, which is on the disk as begun.
    pub fn begin(&mut self, senders: &Senders, now: Timestamp) -> Option<Begun> {
        while let Some((address, (given, _))) = self.waiting.pop_first() {
            let begun = self.judge(&address, &given, senders, now).and_then(|task| {
                let kind = Kind::named(&given.kind).ok_or_else(unknown_kind)?;
                self.keep(Known {
                    address: address.clone(),
                    kind,
                    at: given.at,
                    expires: given.expires,
                    started: now,
                    run: self.run,
                    boot_id: self.boot_id.clone(),
                    phase: Phase::Executing,
                })?;
                Ok(task)
            });
            match begun {
                Ok(task) => {
                    log::info!(sender:% = address.sender, id:% = address.id; "{} begins", given.kind);
                    return Some(Begun { address, task });
                }
                Err(failure) => {
                    let topic = self.topics.command(&address.sender, address.id);
                    self.refuse(&topic, Some(&given), &failure);
                }
            }
        }
        None
    }

    /// How far the command is.
    pub fn is_at(&mut self, address: &Address, progress: Progress) {
        if let Some(known) = self.known(address).filter(|it| it.phase == Phase::Executing).cloned()
        {
            self.say(&known, Some(progress));
        }
    }

    /// The command has ended.
    pub fn finish(&mut self, address: &Address, outcome: Result<Json, Failure>) {
        let now = Timestamp::now();
        let outcome = outcome.and_then(|result| {
            let bytes = result.to_string().len();
            if bytes <= MOST_RESULT {
                Ok(result)
            } else {
                let reason = format!("it was done, but its result of {bytes} bytes is too large");
                Err(Failure::new(Code::Failed, reason))
            }
        });
        let Some(known) = self.kept.commands.iter_mut().find(|it| it.address == *address) else {
            return;
        };
        let Address { sender, id } = address;
        let kind = known.kind.as_str();
        known.phase = match outcome {
            Ok(result) => {
                log::info!(sender:%, id:%; "{kind} is done");
                Phase::Successful(now, result)
            }
            Err(failure) => {
                log::warn!(sender:%, id:%; "{kind} has failed: {failure}");
                self.anomalies.count("commands_failed");
                Phase::Failed(now, failure)
            }
        };
        let known = known.clone();
        if let Err(error) = self.file.save(&self.kept) {
            log::error!("what became of a command cannot be kept: {error}");
        }
        self.say(&known, None);
    }

    /// Turns asking the cloud service off or on again, as far as commands are concerned.
    ///
    /// # Errors
    /// Where the disk fails; it is as it was then.
    pub fn turn_cloud(&mut self, on: bool) -> io::Result<()> {
        let before = std::mem::replace(&mut self.kept.cloud_off, !on);
        self.file.save(&self.kept).inspect_err(|_| self.kept.cloud_off = before)
    }

    fn known(&self, address: &Address) -> Option<&Known> {
        self.kept.commands.iter().find(|it| it.address == *address)
    }

    /// What is to be done, if it may be now.
    fn judge(
        &self,
        address: &Address,
        given: &Given,
        senders: &Senders,
        now: Timestamp,
    ) -> Result<Task, Failure> {
        let Some(kinds) = senders.get(&address.sender) else {
            return Err(Failure::new(Code::NotAllowed, NOT_NAMED));
        };
        let kind = Kind::named(&given.kind).ok_or_else(unknown_kind)?;
        if !kinds.contains(&kind) {
            let reason = "fleet.senders at the kiosk does not let this sender order that";
            return Err(Failure::new(Code::NotAllowed, reason));
        }
        if now >= given.expires {
            let reason = format!("its time was over at {}", time(given.expires));
            return Err(Failure::new(Code::Expired, reason));
        }
        if given.at.duration_since(now) > SLACK {
            let reason = format!(
                "the kiosk's clock says {}, which is before the command was given: it cannot tell \
                 whether its time is over; set the clock and give it again",
                time(now)
            );
            return Err(Failure::new(Code::Clock, reason));
        }
        Task::new(kind, &given.parameters, self.topics.kiosk().as_str())
    }

    fn has_room(&self, address: &Address, now: Timestamp) -> Result<(), Failure> {
        let waiting = self.waiting.keys().filter(|it| it.sender == address.sender).count();
        if waiting >= MOST_WAITING {
            let reason = format!("{MOST_WAITING} commands of this sender wait already");
            return Err(Failure::new(Code::Busy, reason));
        }
        let is_good = |it: &&Known| it.address.sender == address.sender && it.expires > now;
        if waiting + self.kept.commands.iter().filter(is_good).count() >= MOST_KNOWN {
            let reason = format!(
                "{MOST_KNOWN} commands of this sender are remembered until their time is over: let \
                 them expire earlier"
            );
            return Err(Failure::new(Code::Busy, reason));
        }
        Ok(())
    }

    /// Remembers one more, on the disk, and says so.
    fn keep(&mut self, known: Known) -> Result<(), Failure> {
        let (before, sender, now) =
            (self.kept.commands.clone(), &known.address.sender, known.started);
        let of_sender = |it: &Known| it.address.sender == *sender;
        let is_full = before.iter().filter(|it| of_sender(it)).count() >= MOST_KNOWN;
        self.kept.commands.retain(|it| {
            let over = now.duration_since(it.expires);
            let may_go = over > AFTER || is_full && of_sender(it) && over >= SignedDuration::ZERO;
            !may_go || it.phase == Phase::Executing
        });
        self.kept.commands.push(known.clone());
        if let Err(error) = self.file.save(&self.kept) {
            self.kept.commands = before;
            let reason = format!("the kiosk's disk does not take it: {error}");
            return Err(Failure::new(Code::NotStored, reason));
        }
        let topics = self.kept.commands.iter().map(|it| self.topic(&it.address));
        self.told.keep_only(&topics.collect());
        self.say(&known, None);
        Ok(())
    }

    fn topic(&self, address: &Address) -> String {
        self.topics.command(&address.sender, address.id)
    }

    fn say(&mut self, known: &Known, progress: Option<Progress>) {
        let topic = self.topic(&known.address);
        let payload = known.command(progress).json();
        self.told.tell(&topic, &payload);
        self.said.push((topic, payload));
    }

    fn refuse(&mut self, topic: &str, given: Option<&Given>, failure: &Failure) {
        self.anomalies.count(match failure.code {
            Code::NotAllowed => "commands_not_allowed",
            _ => "commands_refused",
        });
        log::warn!("a command is refused: {failure}");
        let command = Command::refused(failure);
        let command = match given {
            Some(given) => command.of(&given.kind, given.at, given.expires),
            None => command,
        };
        self.said.push((topic.to_owned(), command.json()));
    }
}

impl Known {
    fn command(&self, progress: Option<Progress>) -> Command {
        let (status, finished, result, failure) = match &self.phase {
            Phase::Executing => (Status::Executing, None, None, None),
            Phase::Successful(at, result) => (Status::Successful, Some(at), Some(result), None),
            Phase::Failed(at, failure) => (Status::Failed, Some(at), None, Some(failure)),
        };
        Command {
            status,
            kind: Some(self.kind.as_str().to_owned()),
            at: Some(time(self.at)),
            expires: Some(time(self.expires)),
            parameters: None,
            started: Some(time(self.started)),
            progress,
            finished: finished.map(|at| time(*at)),
            result: result.cloned(),
            code: failure.map(|it| it.code),
            reason: failure.map(|it| it.reason.clone()),
        }
    }
}

impl Told {
    /// Whether a message has to be looked at. What is said here comes back, and on each connection
    /// all that the broker keeps: only what differs from what it should be does.
    pub fn is_news(&self, topic: &str, message: Result<&[u8], usize>, retained: bool) -> bool {
        let Ok(message) = message else { return true };
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match told.get(topic) {
            Some(known) if known == message => false,
            known => (known.is_some() && retained) || !message::is_said(message),
        }
    }

    fn tell(&self, topic: &str, payload: &[u8]) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(topic.to_owned(), payload.to_vec());
    }

    fn keep_only(&self, topics: &std::collections::BTreeSet<String>) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|topic, _| topics.contains(topic));
    }
}

const NOT_NAMED: &str = "fleet.senders at the kiosk does not name this sender";

const INTERRUPTED: &str = "the program ended in the middle of it";

fn interrupted(reason: &str) -> Failure {
    Failure::new(Code::Interrupted, reason)
}

fn unknown_kind() -> Failure {
    Failure::new(Code::UnknownKind, "this kiosk's program knows no such kind of command")
}

#[cfg(test)]
mod tests;
