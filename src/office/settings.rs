//! Settings for the fleet: what is wanted, what kiosks have of it, and the next version.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value as Json, json};
use toml::{Table, Value};

use super::fleet::{Fleet, whom};
use super::seen::Refusal;
use super::text::Text;
use super::topics::{Id, Whom};
use crate::fleet::configuration::message::{Desired, Level};
use crate::fleet::configuration::rules;
use crate::mqtt::MAX_LETTER;

/// Why settings cannot be sent.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SettingsError {
    /// A file is none of settings.
    #[error("{0}")]
    File(String),
    /// Kiosks would refuse it.
    #[error("no kiosk would take this: {}", .0.join("; "))]
    Keys(Vec<String>),
    /// There is too much of it.
    #[error("{0} bytes are more than the {MAX_LETTER} that a kiosk takes")]
    TooLarge(usize),
    /// There is no version after it.
    #[error("version {0} is the last one that there can be")]
    Last(u64),
}

/// Settings out of a file: TOML, or JSON where its name ends so.
///
/// # Errors
/// What is wrong with it.
pub fn parse(path: &Path, text: &str) -> Result<Table, SettingsError> {
    let wrong = |reason: String| SettingsError::File(format!("{}: {reason}", path.display()));
    let is_json = path.extension().is_some_and(|end| end == "json");
    if !is_json {
        return text.parse().map_err(|error: toml::de::Error| wrong(error.message().to_owned()));
    }
    let json: Json = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    // As a kiosk would read it.
    let message = json!({"version": 1, "settings": json}).to_string();
    let desired = Desired::parse(message.as_bytes());
    desired.map(|it| it.settings).map_err(|refusal| wrong(refusal.reason))
}

/// `SECTION.KEY=VALUE`, where the value is TOML or else text, put into settings.
///
/// # Errors
/// What is expected.
pub fn assign(text: &str, into: &mut Table) -> Result<(), SettingsError> {
    let expected = || SettingsError::File(format!("{text:?}: expected SECTION.KEY=VALUE"));
    let (name, value) = text.split_once('=').ok_or_else(expected)?;
    let (section, key) = name.split_once('.').ok_or_else(expected)?;
    let toml = format!("value = {value}").parse::<Table>().ok();
    let value = toml.and_then(|mut table| table.remove("value"));
    let value = value.unwrap_or_else(|| Value::String(text[name.len() + 1..].to_owned()));
    let place = into.entry(section).or_insert_with(|| Table::new().into());
    place.as_table_mut().ok_or_else(expected)?.insert(key.to_owned(), value);
    Ok(())
}

/// These settings with others over them, key by key.
#[must_use]
pub fn over(below: &Table, above: &Table) -> Table {
    let mut all = below.clone();
    for (section, keys) in above {
        match (all.get_mut(section), keys) {
            (Some(Value::Table(below)), Value::Table(keys)) => below.extend(keys.clone()),
            _ => _ = all.insert(section.clone(), keys.clone()),
        }
    }
    all
}

/// Takes a key out. Whether it was there.
pub fn unset(settings: &mut Table, key: &str) -> bool {
    let Some((section, key)) = key.split_once('.') else { return false };
    let Some(Value::Table(keys)) = settings.get_mut(section) else { return false };
    let was_there = keys.remove(key).is_some();
    if keys.is_empty() {
        settings.remove(section);
    }
    was_there
}

/// `now` with the keys of `changed` as they were `before`: what others have set since stays.
#[must_use]
pub fn restored(now: &Table, changed: &Table, before: &Table) -> Table {
    let mut all = now.clone();
    for (key, _) in flat(changed) {
        unset(&mut all, &key);
        if let Some((section, name)) = key.split_once('.')
            && let Some(value) = before.get(section).and_then(|keys| keys.get(name))
        {
            let place = all.entry(section).or_insert_with(|| Table::new().into());
            _ = place.as_table_mut().map(|place| place.insert(name.to_owned(), value.clone()));
        }
    }
    all
}

/// Each key with its section.
pub fn flat(settings: &Table) -> BTreeMap<String, Value> {
    let desired = Desired { version: 1, settings: settings.clone() };
    desired.keys().map(|(key, value)| (key, value.clone())).collect()
}

/// The message that sets this, if kiosks can take it: by the rules that they judge by, as far as those
/// do not go by what is set at a kiosk.
///
/// # Errors
/// Why they would not.
pub fn message(version: u64, settings: &Table) -> Result<Vec<u8>, SettingsError> {
    if let Some((name, _)) = settings.iter().find(|(_, keys)| !keys.is_table()) {
        return Err(SettingsError::Keys(vec![format!("{name}: expected a section")]));
    }
    let judge = |(key, value): (String, Value)| {
        let reason = rules::judge_anywhere(&key, &value).err()?;
        Some(format!("{}: {reason}", Text::of(&key)))
    };
    let wrong: Vec<_> = flat(settings).into_iter().filter_map(judge).collect();
    if !wrong.is_empty() {
        return Err(SettingsError::Keys(wrong));
    }
    let message = json!({"version": version, "settings": settings}).to_string().into_bytes();
    if message.len() > MAX_LETTER {
        return Err(SettingsError::TooLarge(message.len()));
    }
    match Desired::parse(&message) {
        Ok(_) => Ok(message),
        Err(refusal) => Err(SettingsError::Keys(vec![refusal.reason])),
    }
}

impl Fleet {
    /// What is wanted of them, and not of others as well.
    pub fn settings(&self, of: &Whom) -> Table {
        self.desired.get(of).map(|desired| desired.settings.clone()).unwrap_or_default()
    }

    /// The version after all that any kiosk of them has seen: the broker may have forgotten some.
    ///
    /// # Errors
    /// [`SettingsError::Last`].
    pub fn next_version(&self, of: &Whom) -> Result<u64, SettingsError> {
        let level = match of {
            Whom::All => Level::All,
            Whom::Branch(_) => Level::Branch,
            Whom::Kiosk(_) => Level::Kiosk,
        };
        let of_kiosks = self.kiosks.iter().filter(|(id, _)| of.has(id)).flat_map(|(_, kiosk)| {
            let report = kiosk.reported.as_ref().map(|reported| reported.of(level));
            let refused = |refusal: &Refusal| refusal.version;
            let both = report.map(|it| [it.version, it.refused.as_ref().and_then(refused)]);
            both.into_iter().flatten().flatten()
        });
        let wanted = self.desired.get(of).map(|desired| desired.version);
        let last = of_kiosks.chain(wanted).max().unwrap_or(0);
        match last.checked_add(1).filter(|&next| next < 1 << 53) {
            Some(next) => Ok(next),
            None => Err(SettingsError::Last(last)),
        }
    }

    /// Where a kiosk does not have what is wanted of it.
    pub fn differences(&self, id: &Id) -> Vec<Difference> {
        let mut wanted = BTreeMap::new();
        let mut why = BTreeMap::new();
        let reported = self.kiosks.get(id).and_then(|kiosk| kiosk.reported.as_ref());
        for level in Level::ALL {
            let Some(desired) = self.desired.get(&whom(id, level)) else { continue };
            let refused = reported.and_then(|it| it.of(level).refused.as_ref());
            for (key, value) in desired.keys() {
                let reason = refused.map(|refusal| match refusal.keys.get(&Text::of(&key)) {
                    Some(reason) => reason.to_string(),
                    None => refusal.code.to_string(),
                });
                why.insert(key.clone(), reason);
                wanted.insert(key, json!(value));
            }
        }
        let has = reported.map(|reported| flat_json(&reported.settings)).unwrap_or_default();
        let keys: std::collections::BTreeSet<_> =
            wanted.keys().chain(has.keys()).cloned().collect();
        let restart = reported.map(|it| it.needs_restart.as_slice()).unwrap_or_default();
        keys.into_iter()
            .filter_map(|key| {
                let (wanted, has) = (wanted.get(&key), has.get(&key));
                let is_same =
                    matches!((wanted, has), (Some(one), Some(other)) if is_same(one, other));
                let waits = restart.iter().any(|name| name.as_str() == key);
                if is_same && !waits {
                    return None;
                }
                let why = match (why.get(&key).cloned().flatten(), wanted, reported) {
                    (Some(reason), ..) => reason,
                    _ if is_same => "in force after a restart".to_owned(),
                    (_, None, _) => "not wanted any more".to_owned(),
                    (_, _, None) => "nothing is reported".to_owned(),
                    _ => String::new(),
                };
                let shown = |value: Option<&Json>| value.map(|it| Text::of(&it.to_string()));
                Some(Difference {
                    key: Text::of(&key),
                    wanted: shown(wanted),
                    has: shown(has),
                    why,
                })
            })
            .collect()
    }
}

/// Where something is not as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// The key.
    pub key: Text,
    /// What is wanted.
    pub wanted: Option<Text>,
    /// What there is.
    pub has: Option<Text>,
    /// Why.
    pub why: String,
}

/// Where settings are not those of another place.
pub fn differences(wanted: &Table, has: &Table) -> Vec<Difference> {
    let (wanted, has) = (flat(wanted), flat(has));
    let keys: std::collections::BTreeSet<_> = wanted.keys().chain(has.keys()).collect();
    let shown = |value: Option<&Value>| value.map(|it| Text::of(&it.to_string()));
    keys.into_iter()
        .filter(|key| wanted.get(*key) != has.get(*key))
        .map(|key| Difference {
            key: Text::of(key),
            wanted: shown(wanted.get(key)),
            has: shown(has.get(key)),
            why: String::new(),
        })
        .collect()
}

fn flat_json(settings: &BTreeMap<Text, Json>) -> BTreeMap<String, Json> {
    let sections = settings.iter().filter_map(|(name, keys)| Some((name, keys.as_object()?)));
    let keys = sections.flat_map(|(section, keys)| {
        keys.iter().map(move |(key, value)| (format!("{section}.{key}"), value.clone()))
    });
    keys.collect()
}

/// 1 and 1.0 are the same number.
fn is_same(one: &Json, other: &Json) -> bool {
    one == other || one.as_f64().is_some_and(|number| Some(number) == other.as_f64())
}

#[cfg(test)]
mod tests {
    use super::super::fleet::tests::message as said;
    use super::*;

    fn table(text: &str) -> Table {
        text.parse().unwrap()
    }

    #[test]
    fn version_is_after_all_that_was_seen_even_if_the_broker_has_forgotten() {
        let mut fleet = Fleet::default();
        assert_eq!(fleet.next_version(&Whom::All), Ok(1));
        fleet.take(&said("cic/v1/_all/_all/config/desired", r#"{"version":3,"settings":{}}"#));
        assert_eq!(fleet.next_version(&Whom::All), Ok(4));
        let reported =
            r#"{"all":{"version":3,"refused":{"version":9,"code":"keys"}},"kiosk":{"version":20}}"#;
        fleet.take(&said("cic/v1/b/k1/config/reported", reported));
        assert_eq!(fleet.next_version(&Whom::All), Ok(10));
        assert_eq!(fleet.next_version(&Whom::Branch("b".into())), Ok(1));
        assert_eq!(fleet.next_version(&Whom::Kiosk("b/k1".parse().unwrap())), Ok(21));
    }

    #[test]
    fn what_no_kiosk_would_take_is_not_sent() {
        for (settings, words) in [
            ("[kiosk]\nid = \"x\"", "from afar"),
            ("[capture]\nasks = \"many\"", "capture.asks"),
            ("[mqtt]\nwindow = 1001", "1000"),
            ("[captur]\nasks = 1", "no such key"),
            ("asks = 1", "section"),
        ] {
            let error = message(1, &table(settings)).unwrap_err().to_string();
            assert!(error.contains(words), "{settings}: {error}");
        }
        // What goes by what is set at the kiosk, the kiosk must say.
        assert!(message(1, &table("[cloud]\ndaily_budget = 1000")).is_ok());
        assert!(message(1, &table("[mqtt]\nbroker = \"mqtts://other\"")).is_ok());
        let long = format!("[decision]\nvalues = {{ {} }}", "k".repeat(70_000) + " = 0.5");
        assert!(message(1, &table(&long)).is_err());
    }

    #[test]
    fn assignment_is_toml_or_else_text() {
        let mut settings = Table::new();
        for text in ["capture.asks=3", "decision.value_below=0.9", "mqtt.broker=mqtts://b"] {
            assign(text, &mut settings).unwrap();
        }
        let expected =
            "[capture]\nasks = 3\n[decision]\nvalue_below = 0.9\n[mqtt]\nbroker = \"mqtts://b\"";
        assert_eq!(settings, table(expected));
        assert!(assign("asks=3", &mut settings).is_err() && assign("a.b", &mut settings).is_err());
        assert!(unset(&mut settings, "capture.asks") && !unset(&mut settings, "capture.asks"));
        assert!(!settings.contains_key("capture"));
    }

    #[test]
    fn undoing_puts_back_what_was_changed_and_leaves_what_others_set_since() {
        let before = table("[capture]\nasks = 1");
        let change = table("[capture]\nasks = 2\nidle_seconds = 9");
        let now = over(&over(&before, &change), &table("[decision]\nvalue_below = 0.5"));
        let expected = table("[capture]\nasks = 1\n[decision]\nvalue_below = 0.5");
        assert_eq!(restored(&now, &change, &before), expected);
    }

    #[test]
    fn differences_are_named_with_their_reasons() {
        let mut fleet = Fleet::default();
        fleet.take(&said("cic/v1/_all/_all/config/desired",
            r#"{"version":3,"settings":{"capture":{"asks":1,"idle_seconds":9},"decision":{"value_below":1}}}"#));
        fleet.take(&said(
            "cic/v1/b/k1/config/desired",
            r#"{"version":1,"settings":{"capture":{"asks":2}}}"#,
        ));
        fleet.take(&said("cic/v1/b/k1/config/reported",
            r#"{"kiosk":{"refused":{"version":1,"code":"keys","keys":{"capture.asks":"not today"}}},
                "settings":{"capture":{"asks":1},"decision":{"value_below":1.0},"http":{"queue":3}}}"#));
        let found = fleet.differences(&"b/k1".parse().unwrap());
        let shown: Vec<_> = found
            .iter()
            .map(|it| {
                let shown = |value: &Option<Text>| value.clone().unwrap_or_default().to_string();
                format!("{} {} {} {}", it.key, shown(&it.wanted), shown(&it.has), it.why)
            })
            .collect();
        assert_eq!(
            shown,
            [
                "capture.asks 2 1 not today",
                "capture.idle_seconds 9  ",
                "http.queue  3 not wanted any more"
            ]
        );
    }
}
