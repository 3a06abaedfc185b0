//! Document scanners, by eSCL or through SANE.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::positive;

/// Where a document scanner takes paper from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tray {
    /// The feeder where there is paper in it, else the glass.
    #[default]
    Auto,
    /// The feeder.
    Feeder,
    /// The glass.
    Glass,
}

/// What a scan begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Begin {
    /// Paper in the feeder, or the button.
    #[default]
    Paper,
    /// The button, or a command.
    Button,
}

/// A document scanner that speaks eSCL (AirScan): in the network, or on USB through `ipp-usb`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Escl {
    /// Whether pages are taken with it. Default false.
    pub enabled: bool,
    /// Its address, as `http://127.0.0.1:60000/eSCL`; without it, the scanner is looked for in the
    /// network by DNS-SD.
    pub url: Option<String>,
    /// Name, or UUID, of the scanner that is looked for; without it, the only one that there is.
    pub name: Option<String>,
    /// SHA-256 of the scanner's certificate, 64 hexadecimal digits, where it has one that no
    /// authority has signed: `https://` then trusts this certificate, and no other.
    pub certificate_sha256: Option<String>,
    /// Where the paper is. Default `auto`.
    pub tray: Tray,
    /// What a scan begins with. Default `paper`.
    pub begin: Begin,
    /// Whether both sides are scanned. Default false.
    pub duplex: bool,
    /// Whether in colour: stamps in red do not cover text then. Default true.
    pub color: bool,
    /// Dots per inch; the nearest that the scanner offers. Default 300.
    pub dpi: NonZeroU32,
    /// Seconds that the scanner may take for a page. Default 60.
    pub page_seconds: NonZeroU32,
    /// Seconds that it may take for any other answer. Default 10.
    pub timeout_seconds: NonZeroU32,
}

impl Escl {
    /// How long a page may take.
    pub fn page_time(&self) -> Duration {
        Duration::from_secs(self.page_seconds.get().into())
    }

    /// How long any other answer may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.get().into())
    }
}

impl Default for Escl {
    fn default() -> Self {
        Self {
            enabled: false,
            url: None,
            name: None,
            certificate_sha256: None,
            tray: Tray::Auto,
            begin: Begin::Paper,
            duplex: false,
            color: true,
            dpi: positive(300),
            page_seconds: positive(60),
            timeout_seconds: positive(10),
        }
    }
}

/// A document scanner through SANE's program `scanimage`. A scan begins with the button, or a
/// command.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sane {
    /// Whether pages are taken with it. Default false.
    pub enabled: bool,
    /// SANE's name of the device, as `scanimage -L` shows it; without it, the first one.
    pub device: Option<String>,
    /// The program. Default `scanimage`, looked for in `$PATH`.
    pub program: PathBuf,
    /// Dots per inch. Default 300.
    pub dpi: NonZeroU32,
    /// SANE's `mode`. Default `Color`.
    pub mode: String,
    /// SANE's `source`, as `ADF` or `Flatbed`; without it, the device's own choice.
    pub source: Option<String>,
    /// Other options of the device, by their names.
    pub options: BTreeMap<String, String>,
    /// Seconds that the scanner may take for a page. Default 60.
    pub page_seconds: NonZeroU32,
}

impl Sane {
    /// How long a page may take.
    pub fn page_time(&self) -> Duration {
        Duration::from_secs(self.page_seconds.get().into())
    }
}

impl Default for Sane {
    fn default() -> Self {
        Self {
            enabled: false,
            device: None,
            program: PathBuf::from("scanimage"),
            dpi: positive(300),
            mode: "Color".to_owned(),
            source: None,
            options: BTreeMap::new(),
            page_seconds: positive(60),
        }
    }
}
