//! Document scanners, by eSCL or through SANE.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
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
    /// The program: a name that is looked for in `$PATH`, or a whole path. Default `scanimage`.
    pub program: PathBuf,
    /// Folder of SANE's configuration; without it `/etc/sane.d`. In one whose `dll.conf` names the
    /// scanner's driver alone, no others are loaded, and the scanner is found sooner.
    pub config_dir: Option<PathBuf>,
    /// Dots per inch. Default 300.
    pub dpi: NonZeroU32,
    /// SANE's `mode`. Default `Color`.
    pub mode: String,
    /// SANE's `source`, as `ADF` or `Flatbed`; without it, the device's own choice.
    pub source: Option<String>,
    /// Other options of the device, by their names, such as `{ swcrop = "yes", x = "210" }`. None by
    /// default.
    pub options: BTreeMap<OptionName, String>,
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
            config_dir: None,
            dpi: positive(300),
            mode: "Color".to_owned(),
            source: None,
            options: BTreeMap::new(),
            page_seconds: positive(60),
        }
    }
}

/// The options of `scanimage` itself, and those that have a setting of their own.
const NOT_OPTIONS: [&str; 25] = [
    "accept-md5-only",
    "all-options",
    "batch",
    "batch-count",
    "batch-double",
    "batch-increment",
    "batch-print",
    "batch-prompt",
    "batch-start",
    "buffer-size",
    "device-name",
    "dont-scan",
    "format",
    "formatted-device-list",
    "help",
    "icc-profile",
    "list-devices",
    "mode",
    "output-file",
    "progress",
    "resolution",
    "source",
    "test",
    "verbose",
    "version",
];

/// The name of a scanner's option: of SANE's characters, `a-z 0-9 -`, and no option that is for
/// `scanimage` itself, which could make it write anywhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct OptionName(String);

impl OptionName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OptionName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if NOT_OPTIONS.contains(&text) {
            return Err(format!("`{text}` is no other option of the scanner"));
        }
        // One letter is short for an option of the program, but for those of the scanned area.
        let is_short = text.len() < 2 && !["l", "t", "x", "y"].contains(&text);
        let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
        if is_short || !begins || text.len() > 64 || !text.chars().all(fits) {
            return Err(
                "expected an option's name as `scanimage -A` shows it, without the --; or \
                        one of l, t, x and y"
                    .to_owned(),
            );
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for OptionName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<OptionName> for String {
    fn from(name: OptionName) -> Self {
        name.0
    }
}

impl JsonSchema for OptionName {
    fn schema_name() -> Cow<'static, str> {
        "OptionName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^([ltxy]|[a-z][a-z0-9-]{1,63})$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_is_the_scanners_own() {
        for name in ["swcrop", "page-height", "x", "y", "a4"] {
            assert!(name.parse::<OptionName>().is_ok(), "{name}");
        }
        let long = "a".repeat(65);
        for name in ["", "-x", "o", "d", "--batch", "output-file", "batch", "dpi=3", "A b", &long] {
            assert!(name.parse::<OptionName>().is_err(), "{name}");
        }
    }
}
