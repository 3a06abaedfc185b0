//! The fleet, as it is put together out of what stands and comes at the broker.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};

use super::seen::{self, LevelReport, Presence, Queue, Reported, Status, Telemetry};
use super::text::Text;
use super::topics::{Id, Topic, Whom};
use crate::fleet::configuration::message::{Desired, Level};
use crate::mqtt::Message;

/// Topics that are remembered as odd; a broker that has more is told of by their number.
const MOST_ODD: usize = 1000;

/// All that is known.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// Kiosks by their names.
    pub kiosks: BTreeMap<Id, Kiosk>,
    /// What is wanted of whom.
    pub desired: BTreeMap<Whom, Desired>,
    /// The job queue's workers and submitters.
    pub queue: BTreeMap<String, Queue>,
    /// What nobody understands: topics, and what is wrong there.
    pub odd: BTreeMap<Text, Text>,
}

/// What is known of a kiosk.
#[derive(Clone, Debug, Default)]
pub struct Kiosk {
    /// Whether it is there.
    pub presence: Option<Presence>,
    /// Which configuration it has.
    pub reported: Option<Reported>,
    /// How it did last.
    pub telemetry: Option<Telemetry>,
}

impl Fleet {
    /// Takes in a message. Whether it was of the fleet's state.
    pub fn take(&mut self, message: &Message) -> bool {
        let Message { topic, payload, .. } = message;
        let is_gone = payload.is_empty();
        let odd = match Topic::of(topic) {
            Topic::Presence(id) => {
                let said = seen::read::<Presence>(payload);
                let kiosk = self.kiosks.entry(id.clone()).or_default();
                kiosk.presence = match &said {
                    _ if is_gone => None,
                    Ok(presence) => Some(presence.clone()),
                    // It is there, and says something: that is more than nothing.
                    Err(_) => Some(Presence::default()),
                };
                if kiosk.is_empty() {
                    self.kiosks.remove(&id);
                }
                said.err()
            }
            Topic::Reported(id) => {
                let said = seen::read::<Reported>(payload);
                let odd = said.as_ref().err().cloned();
                self.kiosks.entry(id).or_default().reported = said.ok();
                odd
            }
            Topic::Telemetry(id) => {
                let said = seen::read::<Telemetry>(payload);
                let odd = said.as_ref().err().cloned();
                if let Ok(telemetry) = said {
                    self.kiosks.entry(id).or_default().telemetry = Some(telemetry);
                }
                odd
            }
            Topic::Desired(whom) => match Desired::parse(payload) {
                Ok(desired) => {
                    self.desired.insert(whom, desired);
                    None
                }
                Err(refusal) => {
                    self.desired.remove(&whom);
                    Some(Text::of(&refusal.reason))
                }
            },
            Topic::Queue(name) => match seen::read::<Queue>(payload) {
                Ok(queue) => {
                    self.queue.insert(name, queue);
                    None
                }
                Err(odd) => {
                    self.queue.remove(&name);
                    Some(odd)
                }
            },
            Topic::Command(..) | Topic::Part(..) => return false,
            Topic::Other => Some(Text::of("no topic of a kiosk")),
        };
        let topic = Text::of(topic);
        match odd.filter(|_| !is_gone) {
            Some(odd) if self.odd.len() < MOST_ODD || self.odd.contains_key(&topic) => {
                self.odd.insert(topic, odd);
            }
            Some(_) => {}
            None => _ = self.odd.remove(&topic),
        }
        true
    }

    /// The versions that are wanted of a kiosk, and what it has: for each level that has either.
    pub fn levels(&self, id: &Id) -> Vec<LevelState> {
        let nothing = LevelReport::default();
        let reported = self.kiosks.get(id).and_then(|kiosk| kiosk.reported.as_ref());
        let state = |level| {
            let whom = whom(id, level);
            let wanted = self.desired.get(&whom).map(|desired| desired.version);
            let report = reported.map_or(&nothing, |reported| reported.of(level));
            let refused = report.refused.as_ref().map(seen::Refusal::shown);
            LevelState { level, wanted, has: report.version, refused }
        };
        let states = Level::ALL.into_iter().map(state);
        states
            .filter(|it| it.wanted.is_some() || it.has.is_some() || it.refused.is_some())
            .collect()
    }

    /// The kiosks that a filter lets through.
    pub fn select<'a>(&'a self, filter: &'a Filter) -> impl Iterator<Item = (&'a Id, &'a Kiosk)> {
        let now = Timestamp::now();
        self.kiosks.iter().filter(move |(id, kiosk)| filter.fits(id, kiosk, now))
    }

    /// A kiosk as JSON.
    pub fn json(&self, id: &Id) -> Json {
        let nothing = Kiosk::default();
        let kiosk = self.kiosks.get(id).unwrap_or(&nothing);
        let levels = self.levels(id).into_iter().map(|it| {
            let state = json!({"wanted": it.wanted, "has": it.has, "refused": it.refused});
            (it.level.name().to_owned(), state)
        });
        let mut json = json!({"branch": id.branch(), "kiosk": id.kiosk()});
        json["presence"] = json!(kiosk.presence);
        json["configuration"] = Json::Object(levels.collect());
        if let Some(telemetry) = &kiosk.telemetry {
            json["telemetry"] = json!(telemetry);
            json["faults"] = json!(telemetry.faults());
        }
        json
    }
}

/// Whom a level of a kiosk's configuration is meant for.
pub fn whom(id: &Id, level: Level) -> Whom {
    match level {
        Level::All => Whom::All,
        Level::Branch => Whom::Branch(id.branch().to_owned()),
        Level::Kiosk => Whom::Kiosk(id.clone()),
    }
}

impl Reported {
    /// What became of the configuration of a level.
    pub fn of(&self, level: Level) -> &LevelReport {
        match level {
            Level::All => &self.all,
            Level::Branch => &self.branch,
            Level::Kiosk => &self.kiosk,
        }
    }
}

/// Which version is wanted of a kiosk at a level, and which it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelState {
    /// The level.
    pub level: Level,
    /// What is wanted.
    pub wanted: Option<u64>,
    /// What is in force.
    pub has: Option<u64>,
    /// Why not what is wanted.
    pub refused: Option<String>,
}

impl LevelState {
    /// In a few characters: `kiosk 7`, `all 3→4` where 4 is wanted, `kiosk 6→7!` where it was refused.
    pub fn shown(&self) -> String {
        let number = |version: Option<u64>| version.map_or("-".to_owned(), |it| it.to_string());
        let mut text = format!("{} {}", self.level.name(), number(self.has));
        // What is not at the broker any more stays in force.
        if self.wanted.is_some() && self.wanted != self.has {
            text += &format!("→{}", number(self.wanted));
        }
        if self.refused.is_some() {
            text.push('!');
        }
        text
    }
}

impl Kiosk {
    fn is_empty(&self) -> bool {
        self.presence.is_none() && self.reported.is_none() && self.telemetry.is_none()
    }

    /// Whether it is connected.
    pub fn status(&self) -> Status {
        self.presence.as_ref().map_or(Status::Offline, |presence| presence.status)
    }
}

/// Which kiosks.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this branch.
    pub branch: Option<String>,
    /// Of this name.
    pub kiosk: Option<String>,
    /// In this state.
    pub status: Option<Status>,
    /// With this version of the program, or of a model or a package.
    pub version: Option<String>,
    /// Not connected for that long.
    pub stale: Option<SignedDuration>,
    /// With this somewhere in what it says of itself.
    pub text: Option<String>,
}

impl Filter {
    /// Whether it lets a kiosk through.
    pub fn fits(&self, id: &Id, kiosk: &Kiosk, now: Timestamp) -> bool {
        let nothing = Presence::default();
        let presence = kiosk.presence.as_ref().unwrap_or(&nothing);
        let is =
            |wanted: &Option<String>, what: &str| wanted.as_deref().is_none_or(|it| it == what);
        let has_version = |version: &String| {
            let models = presence.models.iter().map(|model| model.version.as_str());
            let package = presence.package.iter().map(|package| package.version.as_str());
            let mut all = models.chain(package).chain([presence.version.as_str()]);
            all.any(|it| it == version)
        };
        let is_stale = |least: &SignedDuration| {
            let age = presence.age(now);
            kiosk.status() != Status::Online && age.is_none_or(|age| age >= least.as_secs())
        };
        let has_text = |text: &String| {
            let all = format!("{id} {}", json!(presence)).to_lowercase();
            all.contains(&text.to_lowercase())
        };
        is(&self.branch, id.branch())
            && is(&self.kiosk, id.kiosk())
            && self.status.is_none_or(|status| status == kiosk.status())
            && self.version.as_ref().is_none_or(has_version)
            && self.stale.as_ref().is_none_or(is_stale)
            && self.text.as_ref().is_none_or(has_text)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A message that stood at the broker.
    pub fn message(topic: &str, payload: &str) -> Message {
        Message { topic: topic.to_owned(), payload: payload.to_owned().into(), retained: true }
    }

    fn fleet(messages: &[(&str, &str)]) -> Fleet {
        let mut fleet = Fleet::default();
        messages.iter().for_each(|(topic, payload)| _ = fleet.take(&message(topic, payload)));
        fleet
    }

    #[test]
    fn kiosk_is_put_together_from_its_messages_and_gone_when_they_are_cleared() {
        let mut fleet = fleet(&[
            ("cic/v1/b/k1/presence", r#"{"status":"online","version":"1"}"#),
            (
                "cic/v1/b/k1/config/reported",
                r#"{"all":{"version":3},"kiosk":{"version":6,"refused":{"version":7,"code":"keys"}}}"#,
            ),
            ("cic/v1/_all/_all/config/desired", r#"{"version":4,"settings":{}}"#),
            ("cic/v1/b/k1/config/desired", r#"{"version":7,"settings":{}}"#),
        ]);
        let id: Id = "b/k1".parse().unwrap();
        let shown: Vec<_> = fleet.levels(&id).iter().map(LevelState::shown).collect();
        assert_eq!(shown, ["all 3→4", "kiosk 6→7!"]);
        assert_eq!(fleet.kiosks[&id].status(), Status::Online);
        fleet.take(&message("cic/v1/b/k1/presence", ""));
        fleet.take(&message("cic/v1/b/k1/config/reported", ""));
        fleet.take(&message("cic/v1/b/k1/presence", ""));
        assert!(fleet.odd.is_empty(), "{:?}", fleet.odd);
        assert!(fleet.kiosks.is_empty(), "{:?}", fleet.kiosks);
    }

    #[test]
    fn garbage_is_named_and_changes_nothing_else() {
        let fleet = fleet(&[
            ("cic/v1/b/k1/presence", "\u{1b}[2J"),
            ("cic/v1/b/k2/presence", r#"{"status":"online"}"#),
            ("cic/v1/b/<script>/presence", r#"{"status":"online"}"#),
            ("cic/v1/b/k2/config/desired", "{}"),
            ("cic/v1/_queue/w1/state", "[]"),
        ]);
        assert_eq!(fleet.kiosks[&"b/k1".parse().unwrap()].status(), Status::Malformed);
        assert_eq!(fleet.kiosks.len(), 2);
        let odd: Vec<_> = fleet.odd.keys().map(Text::as_str).collect();
        assert_eq!(odd.len(), 4, "{odd:?}");
    }

    #[test]
    fn filter_goes_by_names_state_version_age_and_words() {
        let fleet = fleet(&[
            (
                "cic/v1/a/k1/presence",
                r#"{"status":"online","since":"2026-01-01T00:00:00Z","version":"1.0","board":"ROCK 5B"}"#,
            ),
            (
                "cic/v1/a/k2/presence",
                r#"{"status":"offline","since":"2026-01-01T00:00:00Z","version":"1.1"}"#,
            ),
            (
                "cic/v1/b/k1/presence",
                r#"{"status":"online","version":"1.1","package":{"version":"7"}}"#,
            ),
        ]);
        let select = |filter: Filter| {
            fleet.select(&filter).map(|(id, _)| id.to_string()).collect::<Vec<_>>().join(" ")
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(select(Filter::default()), "a/k1 a/k2 b/k1");
        assert_eq!(select(Filter { branch: some("a"), ..Filter::default() }), "a/k1 a/k2");
        assert_eq!(select(Filter { version: some("1.1"), ..Filter::default() }), "a/k2 b/k1");
        assert_eq!(select(Filter { version: some("7"), ..Filter::default() }), "b/k1");
        assert_eq!(select(Filter { text: some("rock"), ..Filter::default() }), "a/k1");
        assert_eq!(select(Filter { status: Some(Status::Offline), ..Filter::default() }), "a/k2");
        let stale = Some(SignedDuration::from_hours(1));
        assert_eq!(select(Filter { stale, ..Filter::default() }), "a/k2");
    }
}
