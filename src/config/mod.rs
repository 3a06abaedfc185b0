//! The configuration: one TOML text with defaults for everything.
//!
//! Promises:
//! - A key that is not known, a value of a wrong type or out of its range is refused, with its line
//!   and what would be right; nothing is ignored in silence.
//! - It is text in, data out: no file is read here, and no secret is ever held.

mod camera;
mod capture;
mod claim;
mod cloud;
mod decision;
mod example;
mod fleet;
mod kiosk;
mod layers;
mod models;
mod mqtt;
mod outbox;
mod panel;
mod scanner;
mod screen;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::{Table, Value};

pub use camera::Camera;
pub use capture::Capture;
pub use claim::{CertificateHash, Claim};
pub use cloud::{Cloud, Sent};
pub use decision::{Decision, Thresholds};
pub use example::{example, schema};
pub use fleet::{CommandKind, Fleet, Senders};
pub use kiosk::{Folder, Kiosk, Name};
pub use layers::{Layer, Loaded, VARIABLES};
pub use models::{Origin, Updates};
pub use mqtt::{Broker, Mqtt, Place, Protocol};
pub use outbox::Outbox;
pub use panel::{Line, LineName, Panel};
pub use scanner::{Begin, Escl, OptionName, Sane, Tray};
pub use screen::Screen;

use crate::models::Precision;
use crate::page::{Gate, Limits};

/// Everything that can be set.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How documents are read.
    pub reading: Reading,
    /// What a document may cost.
    pub limits: Limits,
    /// The HTTP API.
    pub http: Http,
    /// Documents that are fetched from an address.
    pub url: Url,
    /// The kiosk itself.
    pub kiosk: Kiosk,
    /// A folder that documents are dropped into.
    pub folder: Folder,
    /// Pages on their way from a device to a scan.
    pub capture: Capture,
    /// A camera that looks down on the paper.
    pub camera: Camera,
    /// A document scanner that speaks eSCL (AirScan).
    pub escl: Escl,
    /// A document scanner through SANE.
    pub sane: Sane,
    /// Lamp, button and status light.
    pub panel: Panel,
    /// The touch screen, which the program serves pages for.
    pub screen: Screen,
    /// What a page's picture must be like.
    pub quality: Gate,
    /// What is good enough as it was read here.
    pub decision: Decision,
    /// The cloud service, which is asked where that is allowed and the reading here is not good
    /// enough.
    pub cloud: Cloud,
    /// Results that wait for the broker.
    pub outbox: Outbox,
    /// The branch's broker.
    pub mqtt: Mqtt,
    /// How a kiosk without a certificate gets one.
    pub claim: Claim,
    /// What the fleet is told, and what it may tell the kiosk.
    pub fleet: Fleet,
    /// Packages of models, which take the place of the installed ones.
    pub models: Updates,
}

/// Why this is no configuration: place, key and what would be right.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    fn new(error: &impl ToString) -> Self {
        Self(error.to_string().trim_end().to_owned())
    }

    /// With line, column and key, but without what stands there: it may be a password in the wrong
    /// place.
    fn in_text(error: &toml::de::Error, text: &str) -> Self {
        let before = error.span().and_then(|span| text.get(..span.start));
        let Some(before) = before else { return Self::new(&error.message()) };
        let number = before.matches('\n').count();
        let column = before.chars().rev().take_while(|&c| c != '\n').count();
        let line = text.lines().nth(number).unwrap_or_default();
        let key = line.split_once('=').map(|(key, _)| format!(", {}", key.trim()));
        Self(format!(
            "line {}, column {}{}: {}",
            number + 1,
            column + 1,
            key.unwrap_or_default(),
            error.message()
        ))
    }

    fn at(self, place: &str) -> Self {
        Self(format!("{place}: {}", self.0))
    }
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// With the line and what would be right there.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| ConfigError::in_text(&error, text))
    }

    /// This configuration with other values over it, by their sections and keys; each takes the place
    /// of a key's whole value.
    ///
    /// # Errors
    /// With what is wrong, or does not agree with what else is set.
    pub fn with(&self, settings: &Table) -> Result<Self, ConfigError> {
        let mut all = Table::try_from(self).map_err(|error| ConfigError::new(&error))?;
        for (section, keys) in settings {
            match (all.get_mut(section), keys) {
                (Some(Value::Table(below)), Value::Table(keys)) => below.extend(keys.clone()),
                _ => _ = all.insert(section.clone(), keys.clone()),
            }
        }
        let config: Self =
            all.try_into().map_err(|error: toml::de::Error| ConfigError::new(&error.message()))?;
        config.check()?;
        Ok(config)
    }

    /// This configuration with other defaults in `decision`, as models bring them: what is set here
    /// stays. Those that mean nothing are left out.
    #[must_use]
    pub fn with_defaults(&self, decision: &Table) -> Self {
        let written = |decision: &Decision| Table::try_from(decision).unwrap_or_default();
        let (own, defaults) = (written(&self.decision), written(&Decision::default()));
        let is_left = |key: &str| own.get(key) == defaults.get(key);
        let left = decision.iter().filter(|(key, _)| is_left(key));
        let left: Table = left.map(|(key, value)| (key.clone(), value.clone())).collect();
        self.with(&Table::from_iter([("decision".to_owned(), left.into())]))
            .unwrap_or_else(|_| self.clone())
    }

    /// The keys in which two configurations differ, `section.key`.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        // Everything in a configuration can be written as TOML.
        let [one, other] = [self, other].map(|config| Table::try_from(config).unwrap_or_default());
        let mut keys = Vec::new();
        for (section, settings) in &one {
            let [one, other] =
                [Some(settings), other.get(section)].map(|it| it.and_then(Value::as_table));
            let names = one.into_iter().chain(other).flat_map(Table::keys);
            for key in BTreeSet::from_iter(names) {
                if one.and_then(|it| it.get(key)) != other.and_then(|it| it.get(key)) {
                    keys.push(format!("{section}.{key}"));
                }
            }
        }
        keys
    }

    /// Whether the settings agree with each other.
    ///
    /// # Errors
    /// With the keys that do not.
    pub fn check(&self) -> Result<(), ConfigError> {
        let refused = |reason: &str| Err(ConfigError(reason.to_owned()));
        if self.http.is_plain_beyond_this_machine() {
            return refused(
                "http.listen can be reached from other machines, which would send keys and papers \
                 unencrypted: set http.tls, listen on 127.0.0.1, or set http.allow_plain_http",
            );
        }
        if self.http.max_held_bytes < self.limits.max_bytes {
            return refused(
                "http.max_held_bytes is less than limits.max_bytes, so that a document of the \
                 allowed size could never be sent: raise the one or lower the other",
            );
        }
        self.cloud.check().map_err(ConfigError)?;
        self.mqtt.check()?;
        self.claim.check()
    }
}

/// How documents are read.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Reading {
    /// Folder of the models and their manifest; without it, `models` beside the program or above.
    pub models: Option<PathBuf>,
    /// ONNX Runtime's shared library; without it, `ORT_DYLIB_PATH` or one beside the program.
    pub onnxruntime: Option<PathBuf>,
    /// What the models compute with; without it, what this processor is fastest with.
    pub precision: Option<Precision>,
    /// Socket of a process of its own that decodes and reads documents, as `cic-kiosk-worker.socket`
    /// gives it: one without network, devices and secrets. Without it, they are read in this process.
    pub worker: Option<PathBuf>,
    /// Threads, all together; without it, one for each core, four at most.
    pub threads: Option<NonZeroUsize>,
    /// Values of a lower confidence are named in `meta.needs_review`. Default 0.9.
    #[serde(deserialize_with = "share", serialize_with = "as_written")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub review_below: f32,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            models: None,
            onnxruntime: None,
            precision: None,
            worker: None,
            threads: None,
            review_below: crate::report::Options::default().review_below,
        }
    }
}

/// The HTTP API.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Whether `cic-kiosk run` serves it. Default true.
    pub enabled: bool,
    /// Where it listens; port 0 takes a free one. Default `127.0.0.1:8080`.
    pub listen: SocketAddr,
    /// Folder of the keys and their uses; without it, `cic-kiosk run` has them in `kiosk.state`.
    pub state: Option<PathBuf>,
    /// Certificate and key; without them the API speaks plain HTTP.
    pub tls: Option<Tls>,
    /// Whether plain HTTP may be spoken beyond this machine. Passwords and papers can then be read
    /// on the way. Default false.
    pub allow_plain_http: bool,
    /// Connections at a time; more are closed at once. Default 900: a process commonly
    /// has 1024 descriptors, and needs some itself.
    pub max_connections: usize,
    /// Documents that are read at the same time; without it, as many as `reading.threads`.
    pub workers: Option<NonZeroUsize>,
    /// Requests that may wait for a worker; more are answered with 503 at once. Default 32: at a
    /// second for a document and two workers, the last one waits a quarter of a minute.
    pub queue: usize,
    /// Bytes of documents in hand, all requests together; more are answered with 503. While a
    /// document is decoded from base64 it is held twice. Default 256 MiB.
    pub max_held_bytes: usize,
    /// Seconds that a client may take to send a request. Default 60.
    pub body_seconds: NonZeroU32,
    /// Seconds that the reading of one document may take, without the time in the queue. Default
    /// 120: 40 pages on a slow board.
    pub reading_seconds: NonZeroU32,
    /// Seconds that requests under way may take at the end of the program. Default 30.
    pub drain_seconds: u32,
    /// Days that the record of a key's use is kept. Default 400.
    pub audit_days: NonZeroU32,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            state: None,
            tls: None,
            allow_plain_http: false,
            max_connections: 900,
            workers: None,
            queue: 32,
            max_held_bytes: 256 << 20,
            body_seconds: positive(60),
            reading_seconds: positive(120),
            drain_seconds: 30,
            audit_days: positive(400),
        }
    }
}

impl Http {
    /// Whether keys and papers would pass unencrypted between machines without anybody having said
    /// that they may.
    pub fn is_plain_beyond_this_machine(&self) -> bool {
        !self.listen.ip().is_loopback() && self.tls.is_none() && !self.allow_plain_http
    }

    /// How long a client may take to send a request.
    pub fn body_time(&self) -> Duration {
        Duration::from_secs(self.body_seconds.get().into())
    }

    /// How long the reading of one document may take.
    pub fn reading_time(&self) -> Duration {
        Duration::from_secs(self.reading_seconds.get().into())
    }

    /// How long requests under way may take at the end of the program.
    pub fn drain_time(&self) -> Duration {
        Duration::from_secs(self.drain_seconds.into())
    }
}

/// Certificate and key in PEM files, which are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate and those that lead to its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Documents that are fetched from an address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Url {
    /// Hosts and networks (CIDR) that may be asked although they are no public ones.
    pub allow: Vec<String>,
    /// PEM file of certificate authorities to trust beside the system's.
    pub authorities: Option<PathBuf>,
    /// Seconds that fetching may take, redirects and all. Default 30.
    pub max_seconds: NonZeroU32,
    /// Redirects that are followed. Default 5.
    pub max_redirects: usize,
}

impl Url {
    /// How long fetching may take.
    pub fn max_time(&self) -> Duration {
        Duration::from_secs(self.max_seconds.get().into())
    }
}

impl Default for Url {
    fn default() -> Self {
        Self { allow: Vec::new(), authorities: None, max_seconds: positive(30), max_redirects: 5 }
    }
}

/// A default that is not zero.
const fn positive(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}

/// A number from 0 to 1.
fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    let share = f32::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err(serde::de::Error::custom("expected a number from 0 to 1"))
    }
}

/// With the digits that a person would write, not with those of the next 64-bit number.
fn as_written<S: Serializer>(share: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(share.to_string().parse().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Config::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn nothing_said_means_the_defaults() {
        let config = Config::parse("").unwrap();
        assert_eq!(config, Config::default());
        assert!(config.http.listen.ip().is_loopback());
        assert_eq!(config.check(), Ok(()));
    }

    #[test]
    fn everything_can_be_set() {
        let config = Config::parse(
            r#"
            [reading]
            models = "/m"
            onnxruntime = "/o.so"
            precision = "int8"
            worker = "/w.sock"
            threads = 2
            review_below = 0.8
            [limits]
            max_bytes = 1000
            max_pages = 2
            max_pixels = 3000
            max_unpacked_bytes = 4000
            [http]
            listen = "[::1]:0"
            state = "/s"
            tls = { certificate = "/c.pem", key = "/k.pem" }
            allow_plain_http = true
            max_connections = 10
            workers = 1
            queue = 0
            max_held_bytes = 5000
            body_seconds = 6
            reading_seconds = 7
            drain_seconds = 0
            audit_days = 9
            [url]
            allow = ["10.0.0.0/8", "files.bank.vn"]
            authorities = "/ca.pem"
            max_seconds = 10
            max_redirects = 0
            "#,
        )
        .unwrap();
        assert_eq!(config.reading.precision, Some(Precision::Int8));
        assert_eq!(config.limits.max_pages, 2);
        assert_eq!(config.http.body_time(), Duration::from_secs(6));
        assert_eq!(config.url.allow.len(), 2);
    }

    #[test]
    fn other_values_go_over_a_configuration_key_by_key() {
        let text = "[http]\nqueue = 1\nbody_seconds = 2\n[decision]\nvalues = { cic_code = 0.5 }";
        let config = Config::parse(text).unwrap();
        let with = |text: &str| config.with(&text.parse().unwrap());
        assert_eq!(with(""), Ok(config.clone()));
        let changed = with("[http]\nqueue = 3\n[decision]\nvalues = {}").unwrap();
        assert_eq!((changed.http.queue, changed.http.body_seconds.get()), (3, 2));
        assert_eq!(changed.decision.values, Decision::default().values);
        assert!(with("[http]\nqeue = 3").unwrap_err().to_string().contains("qeue"));
        assert!(with("[http]\nlisten = \"0.0.0.0:1\"").is_err());
    }

    #[test]
    fn other_defaults_hold_where_nothing_is_set() {
        let config = Config::parse("[decision]\nmax_failed_checks = 2").unwrap();
        let with = |text: &str| config.with_defaults(&text.parse().unwrap()).decision;
        let decision =
            with("max_failed_checks = 1\nvalue_below = 0.7\nvalues = { cic_code = 0.5 }");
        assert_eq!((decision.max_failed_checks, decision.value_below), (2, 0.7));
        assert_eq!(decision.threshold("cic_code"), 0.5);
        assert_eq!(with("value_above = 1"), config.decision);
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_known_ones() {
        let error = refused("[http]\nqueue = 3\nqeue = 4\n");
        assert!(error.contains("line 3") && error.contains("qeue"), "{error}");
        assert!(error.contains("`queue`"), "{error}");
        assert!(refused("[htp]").contains("htp"));
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_line_and_what_would_be_right() {
        for (text, words) in [
            ("[reading]\nreview_below = 1.5", "a number from 0 to 1"),
            ("[reading]\nthreads = 0", "nonzero"),
            ("[reading]\nprecision = \"int4\"", "`int8`"),
            ("[http]\nlisten = \"localhost\"", "socket address"),
            ("[http]\nqueue = \"many\"", "expected usize"),
            ("[http]\nbody_seconds = -1", "nonzero"),
            ("[http]\ntls = { certificate = \"/c.pem\" }", "missing field `key`"),
        ] {
            let error = refused(text);
            assert!(error.contains("line 2") && error.contains(words), "{text}: {error}");
        }
    }
}
