//! The kiosk itself: who it is, and where its things are.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::positive;

/// The longest name, in characters.
const MAX_NAME: usize = 64;

/// A name that can be a level of an MQTT topic, a file's name and a field of a log: 1 to 64 of
/// `A-Z a-z 0-9 . _ -`, the first one a letter or a digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if begins && text.len() <= MAX_NAME && text.chars().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "expected 1 to {MAX_NAME} of the characters A-Z a-z 0-9 . _ -, beginning with a \
                 letter or a digit"
            ))
        }
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for Name {
    fn schema_name() -> Cow<'static, str> {
        "Name".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
            "examples": ["name-1"],
        })
    }
}

/// The kiosk itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Kiosk {
    /// Name of the branch, a level of every topic. `cic-kiosk run` needs it.
    pub branch: Option<Name>,
    /// Name of the kiosk, the next level. `cic-kiosk run` needs it.
    pub id: Option<Name>,
    /// Folder of what must survive a restart. Default `/var/lib/cic-kiosk`.
    pub state: PathBuf,
    /// Folder of secrets, one file each; without it `$CREDENTIALS_DIRECTORY`, which systemd sets.
    pub credentials: Option<PathBuf>,
    /// Unix socket that `cic-kiosk submit` sends documents to. Default
    /// `/run/cic-kiosk/submit.sock`.
    pub socket: PathBuf,
    /// Times that a document may take the program down before it is set aside. Default 3.
    pub attempts: NonZeroU32,
    /// Seconds that work under way may take at the end of the program; what is not done then is
    /// done after the next start. Default 20.
    pub drain_seconds: u32,
}

impl Kiosk {
    /// How long work under way may take at the end of the program.
    pub fn drain_time(&self) -> Duration {
        Duration::from_secs(self.drain_seconds.into())
    }
}

impl Default for Kiosk {
    fn default() -> Self {
        Self {
            branch: None,
            id: None,
            state: PathBuf::from("/var/lib/cic-kiosk"),
            credentials: None,
            socket: PathBuf::from("/run/cic-kiosk/submit.sock"),
            attempts: positive(3),
            drain_seconds: 20,
        }
    }
}

/// A folder that documents are dropped into.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Folder {
    /// Where; without it no folder is looked at. What was read is moved to `done` there, what cannot
    /// be read to `failed`, with a reason beside it.
    pub watch: Option<PathBuf>,
    /// Seconds that a file must have stayed as it is before it counts as complete, unless the kernel
    /// says that it was closed, or moved in. Default 2.
    pub settle_seconds: NonZeroU32,
    /// Days that files stay in `done`; they are customers' papers as they came. 0 erases a file as
    /// soon as it was read. Default 7.
    pub keep_days: u32,
}

impl Folder {
    /// How long a file must have stayed as it is.
    pub fn settle_time(&self) -> Duration {
        Duration::from_secs(self.settle_seconds.get().into())
    }

    /// How long files stay in `done`.
    pub fn keep_time(&self) -> Duration {
        Duration::from_secs(24 * 60 * 60 * u64::from(self.keep_days))
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self { watch: None, settle_seconds: positive(2), keep_days: 7 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_one_level_of_a_topic() {
        for name in ["HN-01", "kiosk_3.a", "7", &"a".repeat(64)] {
            assert_eq!(name.parse::<Name>().map(String::from).as_deref(), Ok(name));
        }
        for name in ["", "a/b", "+", "#", "$SYS", ".a", "-a", "Hà-Nội", "a b", &"a".repeat(65)] {
            assert!(name.parse::<Name>().is_err(), "{name}");
        }
    }
}
