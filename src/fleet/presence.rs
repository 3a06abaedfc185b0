//! Whether a kiosk is there and what it is, as its retained message says.

use std::collections::BTreeMap;
use std::path::Path;

use cic_kiosk::config::{Config, Senders};
use cic_kiosk::models::{Manifest, Precision};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::machine::Machine;
use crate::capture::{Device, Source};
use crate::reading;

/// What a kiosk is: all of it stands in every message of presence, so that it can be read of a kiosk
/// that is gone, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Birth {
    /// The program's version.
    pub version: String,
    /// The board, as its firmware calls it; not where that does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub board: Option<String>,
    /// The board's serial number; not where the firmware does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub serial: Option<String>,
    /// Changes whenever the machine is started, and with nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub boot_id: Option<String>,
    /// When the program was started, RFC 3339 in UTC.
    #[schemars(extend("format" = "date-time"))]
    pub started: String,
    /// The models that it reads with.
    pub models: Vec<Model>,
    /// The package that they are of; not where they are those that were installed with the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PackageInUse")]
    pub package: Option<PackageInUse>,
    /// What the models run on, from when they were first used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub provider: Option<String>,
    /// What can be had of this kiosk.
    pub capabilities: Vec<Capability>,
    /// Where its documents come from: `api`, `camera`, `escl`, `folder`, `sane` or `submit`.
    pub sources: Vec<String>,
    /// Which configuration from afar it has taken over.
    pub configuration: Versions,
    /// Which kinds of commands it takes from whom; nothing where it takes none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, Vec<String>>")]
    pub commands: Senders,
}

/// A model, as the manifest describes it. A file of another SHA-256 is not loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// `detector` or `recogniser`.
    pub kind: String,
    /// Its version.
    pub version: String,
    /// What it computes with: `int8` or `fp32`.
    pub precision: String,
    /// Its file's SHA-256, in hexadecimal.
    pub sha256: String,
}

/// A package of models that is read with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PackageInUse {
    /// Which one.
    pub version: String,
    /// Whether it has yet to show how it does.
    pub trial: bool,
}

/// What can be had of a kiosk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// It publishes telemetry.
    Telemetry,
    /// It takes a configuration from afar.
    Configuration,
    /// It takes commands from somebody.
    Commands,
    /// It answers the HTTP API.
    Http,
    /// It may ask the cloud service.
    Cloud,
    /// Its results have pictures.
    Pictures,
    /// Customers use its touch screen: its devices capture with their consent only.
    Screen,
}

/// Versions of the configurations that are taken over, by whom they are meant for; none where there
/// is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Versions {
    /// For all kiosks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub all: Option<u64>,
    /// For its branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub branch: Option<u64>,
    /// For this kiosk.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub kiosk: Option<u64>,
}

/// Whether the kiosk is there, and what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Presence {
    /// Whether the kiosk is connected.
    pub status: Status,
    /// When it became so, RFC 3339 in UTC. Of a kiosk that was lost, when the connection began that
    /// broke: the message was left with the broker then.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// Why the kiosk is not connected; only where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Reason")]
    pub reason: Option<Reason>,
    /// What it is.
    #[serde(flatten)]
    pub birth: Birth,
}

/// Whether the kiosk is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is.
    Online,
    /// It still is, and takes nothing new: its program is ending.
    Stopping,
    /// It is not.
    Offline,
}

/// Why a kiosk is not connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// Its program was ended.
    Stopped,
    /// Its settings for the broker have changed: it connects again with the new ones, maybe
    /// elsewhere.
    Reconnecting,
    /// The broker says so in the kiosk's place: power, network or program failed.
    Lost,
}

impl Birth {
    /// Of the kiosk with this configuration on this machine. Reads a few small files: blocks.
    pub fn of(config: &Config, machine: &Machine) -> Self {
        let identity = machine.identity();
        let devices = Device::enabled(config).into_iter();
        let folder = config.folder.watch.is_some().then_some(Source::Folder);
        let api = config.http.enabled.then_some(Source::Api);
        let sources = devices.chain(folder).chain(api).chain([Source::Submit]);
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            board: identity.board,
            serial: identity.serial,
            boot_id: identity.boot_id,
            started: now(),
            models: models(config, None),
            package: None,
            provider: None,
            capabilities: Self::capabilities(config),
            sources: sources.map(|source| source.as_str().to_owned()).collect(),
            configuration: Versions::default(),
            commands: config.fleet.senders.clone(),
        }
    }
}

impl Birth {
    /// What can be had of a kiosk with this configuration.
    pub fn capabilities(config: &Config) -> Vec<Capability> {
        [
            (Capability::Telemetry, true),
            (Capability::Configuration, config.fleet.configuration),
            (Capability::Commands, !config.fleet.senders.is_empty()),
            (Capability::Http, config.http.enabled),
            (Capability::Cloud, config.cloud.enabled),
            (Capability::Pictures, config.mqtt.pictures),
            (Capability::Screen, config.screen.enabled),
        ]
        .into_iter()
        .filter_map(|(capability, is_there)| is_there.then_some(capability))
        .collect()
    }
}

/// Those that are read with here: of this folder, or without one those that were installed. Where
/// there is no manifest, the log says so when one is needed.
pub fn models(config: &Config, folder: Option<&Path>) -> Vec<Model> {
    let precision = config.reading.precision.unwrap_or_else(Precision::for_this_machine);
    let installed = || reading::places(&config.reading).ok().map(|(folder, _)| folder);
    let Some(folder) = folder.map(Path::to_owned).or_else(installed) else { return Vec::new() };
    let Ok(manifest) = Manifest::open(&folder) else { return Vec::new() };
    let used = manifest.entries().iter().filter(|entry| entry.precision == precision);
    used.map(|entry| Model {
        name: entry.name.clone(),
        kind: entry.kind.name().to_owned(),
        version: entry.version.clone(),
        precision: entry.precision.name().to_owned(),
        sha256: entry.sha256.clone(),
    })
    .collect()
}

impl Presence {
    /// Connected since then.
    pub fn online(birth: Birth, since: Timestamp) -> Self {
        Self { status: Status::Online, since: shown(since), reason: None, birth }
    }

    /// Ending from now on.
    pub fn stopping(birth: Birth) -> Self {
        Self { status: Status::Stopping, since: now(), reason: None, birth }
    }

    /// Not connected from now on.
    pub fn offline(birth: Birth, reason: Reason) -> Self {
        Self { status: Status::Offline, since: now(), reason: Some(reason), birth }
    }

    /// As it is published.
    pub fn json(&self) -> Vec<u8> {
        serde_json::json!(self).to_string().into_bytes()
    }
}

/// By the kiosk's clock.
fn now() -> String {
    shown(Timestamp::now())
}

/// Fractions of a second would promise more than a kiosk's clock keeps.
pub fn shown(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or_default().to_string()
}
