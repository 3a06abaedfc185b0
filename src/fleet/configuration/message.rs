//! The messages: what is desired, and what is reported of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use toml::{Table, Value};

/// The largest version: what every JSON reader keeps whole.
const MAX_VERSION: u64 = (1 << 53) - 1;

/// Reasons of a refusal that are told; who sends more mistakes finds these first.
const MOST_KEYS: usize = 32;

/// Characters of a key that is told.
const MOST_CHARS: usize = 80;

/// Whom a configuration is meant for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// All kiosks.
    All,
    /// Those of a branch.
    Branch,
    /// This one.
    Kiosk,
}

impl Level {
    /// From the one that gives way to the one that wins.
    pub const ALL: [Self; 3] = [Self::All, Self::Branch, Self::Kiosk];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Branch => "branch",
            Self::Kiosk => "kiosk",
        }
    }
}

/// A configuration that is wanted of one kiosk, of those of a branch, or of all.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Desired {
    /// Grows with each change, from 1: what has a lower one than what was taken over is late, and is
    /// not taken over.
    #[schemars(range(min = 1, max = MAX_VERSION))]
    pub version: u64,
    /// Keys in their sections, as `cic-kiosk config schema` describes them. All that is wanted at
    /// this level: what is left out is as the other levels, or the kiosk, have it.
    #[schemars(with = "BTreeMap<String, BTreeMap<String, Json>>")]
    pub settings: Table,
}

impl Desired {
    /// Out of a message.
    ///
    /// # Errors
    /// Why it is none, without what stands there.
    pub fn parse(message: &[u8]) -> Result<Self, Refusal> {
        let malformed = |version: Option<u64>, reason: String| {
            Err(Refusal { version, ..Refusal::new(Code::Malformed, reason) })
        };
        let json: Json = match serde_json::from_slice(message) {
            Ok(json) => json,
            Err(error) => {
                let place = format!("line {}, column {}", error.line(), error.column());
                return malformed(None, format!("it is no JSON ({place})"));
            }
        };
        let version = json.get("version").and_then(Json::as_u64);
        let Some(version) = version.filter(|version| (1..=MAX_VERSION).contains(version)) else {
            return malformed(None, format!("version: expected a number from 1 to {MAX_VERSION}"));
        };
        let named = |object: &serde_json::Map<String, Json>| {
            object.keys().all(|key| ["version", "settings"].contains(&key.as_str()))
        };
        if !json.as_object().is_some_and(named) {
            let reason = "expected version and settings, and nothing else".to_owned();
            return malformed(Some(version), reason);
        }
        let Some(sections) = json.get("settings").and_then(Json::as_object) else {
            return malformed(Some(version), "settings: expected an object".to_owned());
        };
        let (mut settings, mut keys) = (Table::new(), BTreeMap::new());
        for (section, content) in sections {
            let Some(content) = content.as_object() else {
                keys.insert(shown(section), "expected a section, an object of keys".to_owned());
                continue;
            };
            let mut table = Table::new();
            for (key, value) in content {
                match to_toml(value) {
                    Ok(value) => _ = table.insert(key.clone(), value),
                    Err(reason) => _ = keys.insert(shown(&format!("{section}.{key}")), reason),
                }
            }
            settings.insert(section.clone(), Value::Table(table));
        }
        if keys.is_empty() {
            Ok(Self { version, settings })
        } else {
            Err(Refusal::of_keys(version, keys))
        }
    }

    /// Each key with its section, and its value.
    pub fn keys(&self) -> impl Iterator<Item = (String, &Value)> {
        let sections = self.settings.iter().filter_map(|(name, it)| Some((name, it.as_table()?)));
        sections.flat_map(|(section, keys)| {
            keys.iter().map(move |(key, value)| (format!("{section}.{key}"), value))
        })
    }
}

fn to_toml(value: &Json) -> Result<Value, String> {
    Ok(match value {
        Json::Null => return Err("null is no value: leave the key out".to_owned()),
        Json::Bool(is_so) => Value::Boolean(*is_so),
        Json::String(text) => Value::String(text.clone()),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::Integer(whole),
            (None, Some(real)) if !number.is_u64() => Value::Float(kept(real)),
            _ => return Err("expected a number below 2^63".to_owned()),
        },
        Json::Array(all) => Value::Array(all.iter().map(to_toml).collect::<Result<_, _>>()?),
        Json::Object(all) => {
            let one = |(key, value): (&String, &Json)| Ok((key.clone(), to_toml(value)?));
            Value::Table(all.iter().map(one).collect::<Result<_, String>>()?)
        }
    })
}

/// The number to 15 digits. With more, JSON's reader may give another number each time it is kept, and
/// a message that comes again would contradict itself.
fn kept(real: f64) -> f64 {
    format!("{real:.14e}").parse().unwrap_or(real)
}

/// A key as it is told: it may be anything.
pub fn shown(key: &str) -> String {
    key.chars().filter(|c| !c.is_control()).take(MOST_CHARS).collect()
}

/// What is reported of the configurations from afar.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Reported {
    /// When this was so, RFC 3339 in UTC, by the kiosk's clock.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// How things stand.
    pub status: Status,
    /// What is meant for all kiosks.
    pub all: LevelReport,
    /// What is meant for those of the branch.
    pub branch: LevelReport,
    /// What is meant for this one.
    pub kiosk: LevelReport,
    /// What comes from afar of the configuration, merged.
    #[schemars(with = "BTreeMap<String, BTreeMap<String, Json>>")]
    pub settings: Table,
    /// Keys of those that the program takes over when it is started again.
    pub needs_restart: Vec<String>,
}

/// How things stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// What was desired is in force, as far as it needs no restart.
    Applied,
    /// It is in force, and will not stay so unless the broker is reached with it.
    Trial,
    /// Something that was desired is not in force.
    Refused,
}

/// What became of the configurations of one level.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct LevelReport {
    /// The version in force; not where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub version: Option<u64>,
    /// Why the last message was refused; not where it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Refusal")]
    pub refused: Option<Refusal>,
}

/// Why a message was refused. Nothing of it is in force.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Refusal {
    /// Its version, where it has one that could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub version: Option<u64>,
    /// What kind of reason it was.
    pub code: Code,
    /// The reason, for people.
    pub reason: String,
    /// What is wrong with which keys.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<String, String>,
}

/// Kinds of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The kiosk takes no settings from afar.
    Disabled,
    /// The message has more than 64 KiB.
    TooLarge,
    /// It is not in its form.
    Malformed,
    /// A later version is in force.
    Outdated,
    /// Another content of the same version is in force.
    Conflict,
    /// Keys that there are not, or may not come from afar, or have wrong values.
    Keys,
    /// The settings do not agree with each other, or with those of the kiosk.
    Contradiction,
    /// It could not be kept on the kiosk's disk.
    NotStored,
    /// It could not be taken over.
    NotApplied,
    /// The broker was not reached with it: the settings before it are in force again.
    Unreachable,
    /// The program could not be started with it: the settings before it are in force again.
    NotStarted,
    /// A command took it back: the settings before it are in force again.
    RolledBack,
}

impl Refusal {
    /// Without version and keys.
    pub fn new(code: Code, reason: impl Into<String>) -> Self {
        Self { version: None, code, reason: reason.into(), keys: BTreeMap::new() }
    }

    /// For what is wrong with keys.
    pub fn of_keys(version: u64, keys: BTreeMap<String, String>) -> Self {
        let count = keys.len();
        let plural = if count == 1 { "key is" } else { "keys are" };
        let keys: BTreeMap<_, _> = keys.into_iter().take(MOST_KEYS).collect();
        let reason = format!("{count} {plural} not taken; nothing was changed");
        Self { version: Some(version), keys, ..Self::new(Code::Keys, reason) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(message: &str) -> Refusal {
        Desired::parse(message.as_bytes()).expect_err(message)
    }

    #[test]
    fn desired_is_a_version_and_keys_in_sections() {
        let message = br#"{"version":3,"settings":{"decision":{"value_below":0.95,
            "values":{"cic_code":1}},"capture":{"asks":0},"http":{}}}"#;
        let desired = Desired::parse(message).unwrap();
        let keys: Vec<_> = desired.keys().map(|(key, _)| key).collect();
        assert_eq!(desired.version, 3);
        assert_eq!(keys, ["capture.asks", "decision.value_below", "decision.values"]);
    }

    #[test]
    fn anything_else_is_refused_with_what_is_expected_and_not_repeated() {
        for (message, words) in [
            ("", "no JSON"),
            ("s3cret", "line 1"),
            ("[1]", "version"),
            ("{\"version\":1", "no JSON"),
            ("{\"settings\":{}}", "version"),
            ("{\"version\":0,\"settings\":{}}", "from 1"),
            ("{\"version\":-1,\"settings\":{}}", "from 1"),
            ("{\"version\":\"s3cret\",\"settings\":{}}", "from 1"),
            ("{\"version\":9007199254740992,\"settings\":{}}", "from 1"),
            ("{\"version\":1}", "settings"),
            ("{\"version\":1,\"settings\":[\"s3cret\"]}", "object"),
            ("{\"version\":1,\"settings\":{},\"more\":\"s3cret\"}", "nothing else"),
        ] {
            let refusal = refused(message);
            assert_eq!(refusal.code, Code::Malformed, "{message}");
            assert!(refusal.reason.contains(words), "{message}: {refusal:?}");
            assert!(!format!("{refusal:?}").contains("s3cret"), "{refusal:?}");
        }
        let deep = "[".repeat(60_000);
        assert_eq!(refused(&deep).code, Code::Malformed);
    }

    #[test]
    fn value_that_no_configuration_can_have_is_refused_with_its_key() {
        let message = "{\"version\":1,\"settings\":{\"a\\u0007\":1,\"b\":{\"c\":null,\"d\":[null],
            \"e\":18446744073709551615}}}";
        let refusal = refused(message);
        assert_eq!((refusal.code, refusal.version), (Code::Keys, Some(1)));
        assert_eq!(refusal.keys.keys().collect::<Vec<_>>(), ["a", "b.c", "b.d", "b.e"]);
    }

    #[test]
    fn number_of_many_digits_is_the_same_when_it_was_kept() {
        for n in 1..2000 {
            let number = 1.0 / f64::from(n);
            let message =
                format!("{{\"version\":1,\"settings\":{{\"a\":{{\"b\":{number:.17}}}}}}}");
            let desired = Desired::parse(message.as_bytes()).unwrap();
            let kept = serde_json::to_vec(&desired).unwrap();
            assert_eq!(serde_json::from_slice::<Desired>(&kept).unwrap(), desired, "{message}");
        }
    }

    #[test]
    fn many_mistakes_make_no_large_answer() {
        let keys: Vec<_> =
            (0..5000).map(|n| format!("\"{n}{}\":null", "k".repeat(1000 % (n + 1)))).collect();
        let message = format!("{{\"version\":1,\"settings\":{{\"a\":{{{}}}}}}}", keys.join(","));
        let refusal = refused(&message);
        assert!(serde_json::to_string(&refusal).unwrap().len() < 8 << 10);
        assert!(refusal.reason.contains("5000"), "{refusal:?}");
    }
}
