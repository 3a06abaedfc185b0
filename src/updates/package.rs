//! What a package says of itself, and whether it may be used here. Pure.

use std::fmt;
use std::str::FromStr;

use cic_kiosk::config::{Config, Name};
use cic_kiosk::models::MANIFEST;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use toml::Table;

use super::Refusal;

/// The form of packages that this program knows.
pub const FORMAT: u32 = 1;

/// Files that a package may have.
const MAX_FILES: usize = 64;

/// Characters of a file's name.
const MAX_NAME: usize = 64;

/// Three numbers that order packages and programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version([u32; 3]);

impl Version {
    /// This program's.
    pub fn of_program() -> Self {
        env!("CARGO_PKG_VERSION").parse().unwrap_or(Self([0; 3]))
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |part: &str| {
            // What is written in two ways would be two folders.
            let number: u32 = part.parse().ok()?;
            (number.to_string() == part).then_some(number)
        };
        let parts: Option<Vec<u32>> = text.split('.').map(number).collect();
        parts
            .and_then(|parts| parts.try_into().ok())
            .map(Self)
            .ok_or_else(|| "expected three numbers, as 1.2.0".to_owned())
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// `models/NAME` or `golden/NAME`.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// What the golden pages must show before the package is used.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Demand {
    /// The share of their values that must be right.
    pub right: f64,
    /// How much longer than with the models that are used now they may take.
    pub slowdown: f64,
}

/// What a package says of itself: its first file.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// The form of the package.
    pub format: u32,
    /// Which one it is. Later ones are larger.
    pub version: Version,
    /// When it was made.
    pub created: Timestamp,
    /// It is not installed after that.
    pub expires: Timestamp,
    /// Device classes that it is for.
    pub devices: Vec<Name>,
    /// The oldest program that can use it.
    pub program: Version,
    /// What its golden pages must show.
    pub golden: Demand,
    /// What is good enough with these models, in the place of the program's own defaults.
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    pub decision: Table,
    /// Its files, in their order.
    #[serde(rename = "file")]
    pub files: Vec<File>,
}

/// Where a package is to be used.
#[derive(Clone, Debug)]
pub struct Place {
    /// Device classes of this kiosk.
    pub devices: Vec<String>,
    /// The version of this program.
    pub program: Version,
    /// What time it is here.
    pub now: Timestamp,
    /// What is used now, if that is known.
    pub present: Option<Version>,
    /// Packages that did not do here.
    pub failed: Vec<Version>,
    /// Whether one that is not newer may be used.
    pub allow_older: bool,
}

impl Place {
    /// Device classes of a kiosk with this configuration.
    pub fn devices(config: &Config) -> Vec<String> {
        let own = config.models.devices.iter().map(ToString::to_string);
        [std::env::consts::ARCH.to_owned()].into_iter().chain(own).collect()
    }
}

impl Package {
    /// Reads what a package says of itself.
    ///
    /// # Errors
    /// Where it is not in the form that this program knows.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        struct Form {
            format: u32,
        }
        let broken = |error: toml::de::Error| Refusal::Malformed(error.message().to_owned());
        let Form { format } = toml::from_str(text).map_err(broken)?;
        if format != FORMAT {
            let reason = format!("its format is {format}; this program knows {FORMAT}");
            return Err(Refusal::Malformed(reason));
        }
        let package: Self = toml::from_str(text).map_err(broken)?;
        package.check()?;
        Ok(package)
    }

    fn check(&self) -> Result<(), Refusal> {
        let malformed = |reason: String| Err(Refusal::Malformed(reason));
        if self.files.len() > MAX_FILES {
            return malformed(format!("it has more than {MAX_FILES} files"));
        }
        for (index, file) in self.files.iter().enumerate() {
            if !is_plain(&file.path) {
                return malformed(format!("{:?} is no models/NAME or golden/NAME", file.path));
            }
            if self.files.iter().take(index).any(|other| other.path == file.path) {
                return malformed(format!("{} is there twice", file.path));
            }
        }
        let manifest = format!("models/{MANIFEST}");
        if !self.files.iter().any(|file| file.path == manifest) {
            return malformed(format!("it has no {manifest}"));
        }
        if self.golden_pages().next().is_none() {
            return malformed("it has no golden page".to_owned());
        }
        for page in self.golden_pages() {
            let truth = truth_of(page);
            if !self.files.iter().any(|file| file.path == truth) {
                return malformed(format!("{page} has no truth, {truth}"));
            }
        }
        let Demand { right, slowdown } = self.golden;
        if !(0.0..=1.0).contains(&right) || slowdown <= 0.0 || !slowdown.is_finite() {
            return malformed("golden.right is a share, golden.slowdown a factor".to_owned());
        }
        let decision = Table::from_iter([("decision".to_owned(), self.decision.clone().into())]);
        match Config::default().with(&decision) {
            Ok(_) => Ok(()),
            Err(error) => malformed(format!("decision: {error}")),
        }
    }

    /// Its golden pages' documents.
    pub fn golden_pages(&self) -> impl Iterator<Item = &str> {
        let paths = self.files.iter().map(|file| file.path.as_str());
        paths.filter(|path| path.starts_with("golden/") && !path.ends_with(".json"))
    }

    /// All bytes of its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }

    /// Whether it may be used there.
    ///
    /// # Errors
    /// Why not.
    pub fn judge(&self, place: &Place) -> Result<(), Refusal> {
        if self.program > place.program {
            return Err(Refusal::Program { needs: self.program, is: place.program });
        }
        if !self.devices.iter().any(|class| place.devices.iter().any(|it| it == class.as_str())) {
            let list = |names: &[String]| names.join(", ");
            let its: Vec<String> = self.devices.iter().map(ToString::to_string).collect();
            return Err(Refusal::Device { its: list(&its), here: list(&place.devices) });
        }
        if place.now >= self.expires {
            return Err(Refusal::Expired { at: self.expires, now: place.now });
        }
        if place.allow_older {
            return Ok(());
        }
        if place.failed.contains(&self.version) {
            return Err(Refusal::FailedBefore(self.version));
        }
        match place.present {
            Some(present) if self.version <= present => {
                Err(Refusal::Older { its: self.version, present })
            }
            _ => Ok(()),
        }
    }
}

/// The truth's file of a golden page's.
pub fn truth_of(page: &str) -> String {
    let stem = page.rsplit_once('.').map_or(page, |(stem, _)| stem);
    format!("{stem}.json")
}

/// A folder of ours and a name that leads nowhere else.
fn is_plain(path: &str) -> bool {
    let name = path.strip_prefix("models/").or_else(|| path.strip_prefix("golden/"));
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    name.is_some_and(|name| {
        name.len() <= MAX_NAME
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(fits)
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    fn text(change: impl Fn(&str) -> String) -> String {
        let digest = "0".repeat(64);
        let file =
            |path: &str| format!("[[file]]\npath = \"{path}\"\nbytes = 1\nsha256 = \"{digest}\"\n");
        let files = ["models/manifest.toml", "golden/a.png", "golden/a.json"].map(file).concat();
        change(&format!(
            "format = 1\nversion = \"1.2.0\"\ncreated = \"2026-01-01T00:00:00Z\"\n\
             expires = \"2027-01-01T00:00:00Z\"\ndevices = [\"aarch64\"]\nprogram = \"0.1.0\"\n\
             [golden]\nright = 0.9\nslowdown = 2.0\n[decision]\nvalue_below = 0.8\n{files}"
        ))
    }

    fn package(version: &str) -> Package {
        Package::parse(&text(|text| text.replace("1.2.0", version))).unwrap()
    }

    fn place() -> Place {
        Place {
            devices: vec!["aarch64".to_owned()],
            program: "0.1.0".parse().unwrap(),
            now: "2026-06-01T00:00:00Z".parse().unwrap(),
            present: "1.1.0".parse().ok(),
            failed: Vec::new(),
            allow_older: false,
        }
    }

    #[test]
    fn versions_are_three_numbers_in_their_order() {
        let version = |text: &str| text.parse::<Version>();
        assert!(version("1.10.0").unwrap() > version("1.9.9").unwrap());
        assert_eq!(version("1.2.0").unwrap().to_string(), "1.2.0");
        for wrong in ["", "1", "1.2", "1.2.3.4", "1.2.x", "01.2.3", "1.2.+3", "1.2.4294967296"] {
            assert!(version(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn package_is_read_and_written_again() {
        let package = package("1.2.0");
        assert_eq!(Package::parse(&toml::to_string(&package).unwrap()).unwrap(), package);
        assert_eq!(package.golden_pages().collect::<Vec<_>>(), ["golden/a.png"]);
    }

    #[test]
    fn package_of_another_form_is_refused_with_what_is_wrong() {
        for (from, to, words) in [
            ("format = 1", "format = 2", "this program knows 1"),
            ("models/manifest.toml", "models/other.toml", "no models/manifest.toml"),
            ("golden/a.png", "golden/b.png", "golden/b.png has no truth"),
            ("golden/a.png", "../a.png", "is no models/NAME"),
            ("golden/a.png", "golden/../a.png", "is no models/NAME"),
            ("golden/a.png", "/golden/a.png", "is no models/NAME"),
            ("golden/a.png", "golden/.a.png", "is no models/NAME"),
            ("golden/a.png", "golden/a.json", "twice"),
            ("right = 0.9", "right = 1.1", "share"),
            ("slowdown = 2.0", "slowdown = 0.0", "factor"),
            ("value_below", "value_above", "decision"),
            ("version = \"1.2.0\"", "version = \"1\"", "three numbers"),
            ("devices", "device", "unknown field"),
        ] {
            let refused = Package::parse(&text(|text| text.replacen(from, to, 1)));
            let error = refused.expect_err(to).to_string();
            assert!(error.contains(words), "{to}: {error}");
        }
    }

    #[test]
    fn package_is_used_where_it_fits_and_refused_with_its_reason_elsewhere() {
        let code = |change: fn(&mut Place)| {
            let mut place = place();
            change(&mut place);
            package("1.2.0").judge(&place).err().map(|refusal| refusal.code())
        };
        assert_eq!(code(|_| {}), None);
        assert_eq!(code(|place| place.present = None), None);
        assert_eq!(code(|it| it.program = "0.0.9".parse().unwrap()), Some("program"));
        assert_eq!(code(|it| it.devices = vec!["x86_64".to_owned()]), Some("device"));
        assert_eq!(code(|it| it.now = "2027-01-01T00:00:00Z".parse().unwrap()), Some("expired"));
        assert_eq!(code(|it| it.present = "1.2.0".parse().ok()), Some("older"));
        assert_eq!(code(|it| it.present = "1.10.0".parse().ok()), Some("older"));
        assert_eq!(code(|it| it.failed = vec!["1.2.0".parse().unwrap()]), Some("failed_before"));
    }

    #[test]
    fn older_package_is_used_where_that_is_said_and_never_one_that_does_not_fit() {
        let mut place = Place { allow_older: true, present: "9.0.0".parse().ok(), ..place() };
        place.failed = vec!["1.2.0".parse().unwrap()];
        assert_eq!(package("1.2.0").judge(&place).map_err(|it| it.code()), Ok(()));
        place.devices.clear();
        assert!(package("1.2.0").judge(&place).is_err());
    }
}
