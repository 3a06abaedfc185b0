//! The topics as an office sees them: of many kiosks, and what may stand there.

use std::fmt;
use std::str::FromStr;

use cic_kiosk::config::Name;
use serde::{Deserialize, Serialize};

/// Stands in a topic for all branches, or all kiosks of one.
pub const ALL: &str = "_all";

/// Stands in a topic where the job queue's figures are.
const QUEUE: &str = "_queue";

/// A kiosk, by its names. As text, `BRANCH/KIOSK`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id {
    branch: String,
    kiosk: String,
}

impl Id {
    /// Of these names, if they can be a kiosk's.
    pub fn new(branch: &str, kiosk: &str) -> Option<Self> {
        let [branch, kiosk] = [branch, kiosk].map(|name| name.parse::<Name>().ok());
        Some(Self { branch: branch?.into(), kiosk: kiosk?.into() })
    }

    /// Its branch.
    pub fn branch(&self) -> &str {
        &self.branch
    }

    /// Its name in the branch.
    pub fn kiosk(&self) -> &str {
        &self.kiosk
    }

    /// One of its topics.
    pub fn topic(&self, last: &str) -> String {
        format!("cic/v1/{}/{}/{last}", self.branch, self.kiosk)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(&format!("{}/{}", self.branch, self.kiosk))
    }
}

impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names = text.split_once('/').and_then(|(branch, kiosk)| Self::new(branch, kiosk));
        names.ok_or_else(|| "expected BRANCH/KIOSK".to_owned())
    }
}

impl TryFrom<String> for Id {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.to_string()
    }
}

/// Whom a configuration is meant for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whom {
    /// All kiosks.
    All,
    /// Those of a branch.
    Branch(String),
    /// One.
    Kiosk(Id),
}

impl Whom {
    /// Where it stands what is wanted of them.
    pub fn desired(&self) -> String {
        match self {
            Self::All => format!("cic/v1/{ALL}/{ALL}/config/desired"),
            Self::Branch(branch) => format!("cic/v1/{branch}/{ALL}/config/desired"),
            Self::Kiosk(id) => id.topic("config/desired"),
        }
    }

    /// Whether this kiosk is one of them.
    pub fn has(&self, id: &Id) -> bool {
        match self {
            Self::All => true,
            Self::Branch(branch) => branch == id.branch(),
            Self::Kiosk(kiosk) => kiosk == id,
        }
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::All => f.pad("all kiosks"),
            Self::Branch(branch) => f.pad(&format!("branch {branch}")),
            Self::Kiosk(id) => f.pad(&format!("kiosk {id}")),
        }
    }
}

/// What a topic is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topic {
    /// A kiosk's presence.
    Presence(Id),
    /// A kiosk's telemetry.
    Telemetry(Id),
    /// Which configuration a kiosk has.
    Reported(Id),
    /// Which configuration is wanted.
    Desired(Whom),
    /// A command, by its sender and its id.
    Command(Id, String, String),
    /// A part of a command's output.
    Part(Id, String, String, usize),
    /// Figures of the job queue, by the name of who tells them.
    Queue(String),
    /// None of those that an office listens to.
    Other,
}

impl Topic {
    /// Of a topic's text.
    pub fn of(topic: &str) -> Self {
        let levels: Vec<_> = topic.split('/').collect();
        let Some(["cic", "v1", first, second, rest @ ..]) = levels.get(..) else {
            return Self::Other;
        };
        let named = |name: &str| name.parse::<Name>().is_ok();
        let found = match (*first, *second, rest) {
            (QUEUE, name, ["state"]) if named(name) => Some(Self::Queue(name.to_owned())),
            (ALL, ALL, ["config", "desired"]) => Some(Self::Desired(Whom::All)),
            (branch, ALL, ["config", "desired"]) if named(branch) => {
                Some(Self::Desired(Whom::Branch(branch.to_owned())))
            }
            (branch, kiosk, rest) => Id::new(branch, kiosk).and_then(|id| match rest {
                ["presence"] => Some(Self::Presence(id)),
                ["telemetry"] => Some(Self::Telemetry(id)),
                ["config", "reported"] => Some(Self::Reported(id)),
                ["config", "desired"] => Some(Self::Desired(Whom::Kiosk(id))),
                ["command", sender, it] if named(sender) && named(it) => {
                    Some(Self::Command(id, (*sender).to_owned(), (*it).to_owned()))
                }
                ["command", sender, it, "part", number] if named(sender) && named(it) => {
                    let number = number.parse().ok()?;
                    Some(Self::Part(id, (*sender).to_owned(), (*it).to_owned(), number))
                }
                _ => None,
            }),
        };
        found.unwrap_or(Self::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_is_what_its_levels_say() {
        let id = Id::new("HN-01", "k1").unwrap();
        for (topic, of) in [
            ("cic/v1/HN-01/k1/presence", Topic::Presence(id.clone())),
            ("cic/v1/HN-01/k1/config/desired", Topic::Desired(Whom::Kiosk(id.clone()))),
            ("cic/v1/HN-01/_all/config/desired", Topic::Desired(Whom::Branch("HN-01".into()))),
            ("cic/v1/_all/_all/config/desired", Topic::Desired(Whom::All)),
            ("cic/v1/_queue/w1/state", Topic::Queue("w1".into())),
            (
                "cic/v1/HN-01/k1/command/anna/1",
                Topic::Command(id.clone(), "anna".into(), "1".into()),
            ),
            (
                "cic/v1/HN-01/k1/command/anna/1/part/7",
                Topic::Part(id, "anna".into(), "1".into(), 7),
            ),
        ] {
            assert_eq!(Topic::of(topic), of, "{topic}");
        }
    }

    #[test]
    fn topic_with_names_that_nobody_can_have_is_none() {
        for topic in [
            "",
            "cic",
            "cic/v2/HN-01/k1/presence",
            "cic/v1/HN-01/\u{1b}[2J/presence",
            "cic/v1/_all/_all/presence",
            "cic/v1/<b>/k1/presence",
            "cic/v1/HN-01/k1/command/../x",
            "cic/v1/HN-01/k1/command/anna/1/part/x",
            "cic/v1//k1/presence",
        ] {
            assert_eq!(Topic::of(topic), Topic::Other, "{topic:?}");
        }
    }
}
