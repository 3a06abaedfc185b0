//! Which settings may come from afar, and within which bounds.
//!
//! Whoever can write a kiosk's `desired` topics, or is the broker, may tune it, and stop it at worst.
//! He may not have a program or a library of his choice run, name files, open doors, change who the
//! kiosk is or whom it believes, have more of a document go further than it goes, or have records
//! erased. [`RULES`] decides about every key there is: a test fails for one that nobody has decided
//! about.

use cic_kiosk::config::{Broker, Config};
use toml::{Table, Value};

/// What a setting from afar may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Whatever is right at the kiosk.
    Free,
    /// A number up to that: more would keep the kiosk away, or busy, for good.
    AtMost(i64),
    /// `false`: it can be turned off from afar, and on at the kiosk alone.
    Off,
    /// A number up to the one that is set at the kiosk.
    NoMoreThanHere,
    /// A broker that `fleet.brokers` names, or the one that is set at the kiosk.
    KnownBroker,
    /// Nothing, for this reason.
    Never(&'static str),
}

use Rule::{AtMost, Free, KnownBroker, Never, NoMoreThanHere, Off};

const PATH: Rule = Never("it names a place on the kiosk");
const DOOR: Rule = Never("it opens a door of the kiosk");
const IDENTITY: Rule = Never("it says who the kiosk is");
const TRUST: Rule = Never("it says whom the kiosk believes");
const DEVICE: Rule = Never("it says which device is used");
const PROGRAM: Rule = Never("it is handed to a program of the system");
const GUARD: Rule = Never("it guards the kiosk's memory or disk against documents");
const FURTHER: Rule = Never("it says how far documents may go");
const RECORDS: Rule = Never("it says how long papers and records are kept");
const CONSENT: Rule = Never("customers are asked there whether they agree");
const LOSS: Rule = Never("results could be lost in silence");

const HOUR: i64 = 60 * 60;

/// All keys, in the order of the configuration.
pub const RULES: &[(&str, Rule)] = &[
    ("reading.models", PATH),
    ("reading.onnxruntime", PATH),
    ("reading.precision", Free),
    ("reading.worker", PATH),
    ("reading.threads", AtMost(64)),
    ("reading.review_below", Free),
    ("limits.max_bytes", GUARD),
    ("limits.max_pages", GUARD),
    ("limits.max_pixels", GUARD),
    ("limits.max_unpacked_bytes", GUARD),
    ("http.enabled", Off),
    ("http.listen", DOOR),
    ("http.state", PATH),
    ("http.tls", TRUST),
    ("http.allow_plain_http", DOOR),
    ("http.max_connections", AtMost(900)),
    ("http.workers", AtMost(64)),
    ("http.queue", AtMost(1000)),
    ("http.max_held_bytes", GUARD),
    ("http.body_seconds", AtMost(HOUR)),
    ("http.reading_seconds", AtMost(HOUR)),
    ("http.drain_seconds", AtMost(HOUR)),
    ("http.audit_days", RECORDS),
    ("url.allow", DOOR),
    ("url.authorities", TRUST),
    ("url.max_seconds", AtMost(HOUR)),
    ("url.max_redirects", AtMost(20)),
    ("kiosk.branch", IDENTITY),
    ("kiosk.id", IDENTITY),
    ("kiosk.state", PATH),
    ("kiosk.credentials", PATH),
    ("kiosk.socket", PATH),
    ("kiosk.attempts", AtMost(100)),
    ("kiosk.drain_seconds", AtMost(300)),
    ("folder.watch", PATH),
    ("folder.settle_seconds", AtMost(HOUR)),
    ("folder.keep_days", RECORDS),
    ("capture.asks", AtMost(100)),
    ("capture.idle_seconds", AtMost(HOUR)),
    ("camera.enabled", DEVICE),
    ("camera.device", DEVICE),
    ("camera.max_pixels", GUARD),
    ("camera.looks_per_second", AtMost(60)),
    ("camera.settle_seconds", AtMost(HOUR)),
    ("camera.exposure", Free),
    ("camera.focus", Free),
    ("camera.white_balance", Free),
    ("camera.steady_looks", AtMost(600)),
    ("camera.timeout_seconds", AtMost(HOUR)),
    ("escl.enabled", DEVICE),
    ("escl.url", DEVICE),
    ("escl.name", DEVICE),
    ("escl.certificate_sha256", TRUST),
    ("escl.tray", Free),
    ("escl.begin", Free),
    ("escl.duplex", Free),
    ("escl.color", Free),
    ("escl.dpi", AtMost(1200)),
    ("escl.page_seconds", AtMost(HOUR)),
    ("escl.timeout_seconds", AtMost(HOUR)),
    ("sane.enabled", DEVICE),
    ("sane.device", PROGRAM),
    ("sane.program", PROGRAM),
    ("sane.config_dir", PATH),
    ("sane.dpi", AtMost(1200)),
    ("sane.mode", PROGRAM),
    ("sane.source", PROGRAM),
    ("sane.options", PROGRAM),
    ("sane.page_seconds", AtMost(HOUR)),
    ("panel.chip", DEVICE),
    ("panel.lamp", DEVICE),
    ("panel.button", DEVICE),
    ("panel.light", DEVICE),
    ("panel.red", DEVICE),
    ("panel.debounce_ms", AtMost(10_000)),
    ("panel.long_press_ms", AtMost(60_000)),
    ("screen.enabled", CONSENT),
    ("screen.listen", DOOR),
    ("screen.idle_seconds", AtMost(600)),
    ("screen.done_seconds", AtMost(120)),
    ("screen.admins", TRUST),
    ("screen.show_values", Off),
    ("quality.min_sharpness", Free),
    ("quality.min_brightness", Free),
    ("quality.max_brightness", Free),
    ("quality.min_contrast", Free),
    ("quality.max_glare", Free),
    ("quality.min_dpi", Free),
    ("quality.max_skew", Free),
    ("decision.value_below", Free),
    ("decision.values", Free),
    ("decision.max_doubtful_values", Free),
    ("decision.max_expected_errors", Free),
    ("decision.max_failed_checks", Free),
    ("cloud.enabled", Off),
    ("cloud.address", FURTHER),
    ("cloud.hosts", FURTHER),
    ("cloud.authorities", TRUST),
    ("cloud.consent", FURTHER),
    ("cloud.send", FURTHER),
    ("cloud.attempt_seconds", AtMost(HOUR)),
    ("cloud.total_seconds", AtMost(HOUR)),
    ("cloud.attempts", AtMost(100)),
    ("cloud.backoff_milliseconds", AtMost(1000 * HOUR)),
    ("cloud.breaker_failures", AtMost(1000)),
    ("cloud.breaker_seconds", AtMost(24 * HOUR)),
    ("cloud.daily_budget", NoMoreThanHere),
    ("cloud.max_answer_bytes", GUARD),
    ("cloud.confidence_cap", Free),
    ("outbox.max_entries", NoMoreThanHere),
    ("outbox.max_bytes", GUARD),
    ("outbox.min_free_bytes", GUARD),
    ("outbox.max_age_days", AtMost(365)),
    ("outbox.keep_delivered_hours", NoMoreThanHere),
    ("mqtt.broker", KnownBroker),
    ("mqtt.protocol", LOSS),
    ("mqtt.user", IDENTITY),
    ("mqtt.authorities", TRUST),
    ("mqtt.certificate", IDENTITY),
    ("mqtt.renew_certificate", IDENTITY),
    ("mqtt.pictures", Off),
    ("mqtt.max_payload_bytes", LOSS),
    ("mqtt.window", AtMost(1000)),
    ("mqtt.keep_alive_seconds", AtMost(HOUR)),
    ("mqtt.connect_seconds", AtMost(300)),
    ("mqtt.ack_seconds", AtMost(HOUR)),
    ("mqtt.retry_min_seconds", AtMost(HOUR)),
    ("mqtt.retry_max_seconds", AtMost(HOUR)),
    ("claim.broker", TRUST),
    ("claim.user", IDENTITY),
    ("claim.certificate", IDENTITY),
    ("claim.authorities", TRUST),
    ("claim.authority_sha256", TRUST),
    ("claim.seal", IDENTITY),
    ("fleet.telemetry_seconds", AtMost(24 * HOUR)),
    ("fleet.configuration", DOOR),
    ("fleet.brokers", TRUST),
    ("fleet.trial_seconds", TRUST),
    ("fleet.time_server", TRUST),
    ("fleet.senders", TRUST),
    ("models.keys", TRUST),
    ("models.devices", IDENTITY),
    ("models.sources", TRUST),
    ("models.authorities", TRUST),
    ("models.max_bytes", GUARD),
    ("models.trial_documents", TRUST),
    ("models.trial_hours", TRUST),
    ("models.drift", TRUST),
];

/// Whether a key may be set to this from afar, at a kiosk where that is set.
///
/// # Errors
/// Why not, in words that do not repeat the value.
pub fn judge(key: &str, value: &Value, here: &Config) -> Result<(), String> {
    let Some((_, rule)) = RULES.iter().find(|(name, _)| *name == key) else {
        return Err("there is no such key".to_owned());
    };
    let (section, name) = key.split_once('.').unwrap_or_default();
    let no_more = |most: i64, whose: &str| match value.as_integer() {
        Some(number) if number > most => Err(format!("expected {most}{whose} at most")),
        // What is no number is refused for that.
        _ => Ok(()),
    };
    match rule {
        Free => {}
        AtMost(most) => no_more(*most, "")?,
        Off if value.as_bool() == Some(true) => {
            return Err("it can only be turned off from afar".to_owned());
        }
        Off => {}
        NoMoreThanHere => {
            let here = Table::try_from(here).unwrap_or_default();
            let here = here.get(section).and_then(|section| section.get(name));
            no_more(here.and_then(Value::as_integer).unwrap_or(0), ", as is set at the kiosk,")?;
        }
        KnownBroker => {
            let wanted = value.as_str().and_then(|text| text.parse::<Broker>().ok());
            let known = |broker: &Broker| {
                *broker == here.mqtt.broker || here.fleet.brokers.contains(broker)
            };
            // What is no broker's address is refused for that.
            if wanted.is_some_and(|broker| !known(&broker)) {
                return Err(
                    "it is none of the brokers that fleet.brokers names at the kiosk".to_owned()
                );
            }
        }
        Never(reason) => return Err(format!("it may not be set from afar: {reason}")),
    }
    right(section, name, value)
}

/// The same for whoever does not know what is set at the kiosk: what goes by that is left to it.
///
/// # Errors
/// Why no kiosk lets it be set.
#[cfg(feature = "office")]
pub fn judge_anywhere(key: &str, value: &Value) -> Result<(), String> {
    let rule = RULES.iter().find(|(name, _)| *name == key).map(|(_, rule)| *rule);
    match (rule, key.split_once('.')) {
        (Some(NoMoreThanHere | KnownBroker), Some((section, name))) => right(section, name, value),
        _ => judge(key, value, &Config::default()),
    }
}

/// Whether a value is one of its key's at all.
fn right(section: &str, name: &str, value: &Value) -> Result<(), String> {
    let settings = Table::from_iter([(name.to_owned(), value.clone())]);
    let all = Table::from_iter([(section.to_owned(), Value::Table(settings))]);
    let error = match all.try_into::<Config>() {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    // In front of what was expected stands what was there, which may be a secret in a wrong place.
    let message = error.message();
    Err(match message.split_once("expected ") {
        Some((_, expected)) => format!("expected {}", expected.trim()),
        None => message.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use cic_kiosk::config::schema;

    use super::*;

    fn judged(key: &str, value: impl Into<Value>) -> Result<(), String> {
        let here = "[mqtt]\nbroker = \"mqtts://here\"\n[fleet]\nbrokers = [\"mqtts://other:1\"]\n\
                    [cloud]\ndaily_budget = 20";
        judge(key, &value.into(), &Config::parse(here).unwrap())
    }

    /// Of the configuration's own schema.
    fn keys() -> BTreeSet<String> {
        let schema = serde_json::json!(schema());
        let sections = schema["properties"].as_object().unwrap();
        let keys = sections.iter().flat_map(|(section, of)| {
            let reference = of["$ref"].as_str().unwrap().trim_start_matches('#');
            let properties = schema.pointer(reference).unwrap()["properties"].as_object().unwrap();
            properties.keys().map(move |key| format!("{section}.{key}")).collect::<Vec<_>>()
        });
        keys.collect()
    }

    #[test]
    fn every_key_is_decided_about_and_no_other() {
        let decided: Vec<_> = RULES.iter().map(|(key, _)| (*key).to_owned()).collect();
        assert_eq!(decided.len(), BTreeSet::from_iter(&decided).len());
        let decided = BTreeSet::from_iter(decided);
        let keys = keys();
        assert_eq!(keys.difference(&decided).collect::<Vec<_>>(), Vec::<&String>::new());
        assert_eq!(decided.difference(&keys).collect::<Vec<_>>(), Vec::<&String>::new());
    }

    #[test]
    fn what_would_hand_over_the_kiosk_or_its_papers_is_refused() {
        for key in [
            "kiosk.credentials",
            "kiosk.state",
            "kiosk.id",
            "cloud.address",
            "cloud.hosts",
            "cloud.consent",
            "cloud.authorities",
            "mqtt.authorities",
            "mqtt.user",
            "mqtt.certificate",
            "reading.onnxruntime",
            "reading.models",
            "sane.program",
            "http.listen",
            "http.tls",
            "url.allow",
            "folder.watch",
            "fleet.brokers",
            "fleet.configuration",
            "fleet.senders",
        ] {
            let error = judged(key, "/x").unwrap_err();
            assert!(error.contains("from afar"), "{key}: {error}");
        }
    }

    #[test]
    fn what_lets_documents_go_further_can_only_be_turned_down() {
        for key in ["cloud.enabled", "mqtt.pictures", "http.enabled"] {
            assert!(judged(key, true).is_err() && judged(key, false).is_ok(), "{key}");
        }
        assert!(judged("cloud.daily_budget", 20).is_ok());
        assert!(judged("cloud.daily_budget", 21).unwrap_err().contains("20"));
    }

    #[test]
    fn broker_must_be_one_that_the_kiosk_names() {
        for known in ["mqtts://here", "mqtts://here:8883", "mqtts://other:1"] {
            assert_eq!(judged("mqtt.broker", known), Ok(()), "{known}");
        }
        for other in ["mqtt://here", "mqtts://other", "mqtts://evil", "unix:///run/m.sock"] {
            assert!(judged("mqtt.broker", other).unwrap_err().contains("fleet.brokers"), "{other}");
        }
        assert!(judged("mqtt.broker", "nothing").unwrap_err().contains("mqtt://HOST"));
    }

    #[test]
    fn wrong_value_is_refused_with_what_is_right_and_without_the_value() {
        for (key, value, words) in [
            ("mqtt.window", Value::from("s3cret"), "u16"),
            ("mqtt.window", Value::from(1001), "1000"),
            ("decision.value_below", Value::from(1.5), "from 0 to 1"),
            ("decision.values", Value::from("s3cret"), "map"),
            ("capture.idle_seconds", Value::from(0), "nonzero"),
            ("reading.precision", Value::from("s3cret"), "int8"),
            ("mqtt.brokr", Value::from("s3cret"), "no such key"),
            ("s3cret", Value::from(1), "no such key"),
        ] {
            let error = judged(key, value).unwrap_err();
            assert!(error.contains(words) && !error.contains("s3cret"), "{key}: {error}");
        }
    }
}
