//! Packages of models: who may sign them, where they come from, and when one is left again.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Name, as_written, positive, share};

/// Packages of models, which take the place of the installed ones.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Updates {
    /// Public keys (minisign's, `RW...`) of those who may sign packages: the one that is used now,
    /// and the next. Without one, no package is installed.
    pub keys: Vec<String>,
    /// Device classes that this kiosk belongs to, beside its processor's (`aarch64`, `x86_64`).
    pub devices: Vec<Name>,
    /// Where packages may be fetched from: the beginnings of their addresses, `https://HOST/FOLDER/`.
    /// None by default.
    pub sources: Vec<Origin>,
    /// PEM file of the certificate authorities of those servers: these are trusted, and no others.
    pub authorities: Option<PathBuf>,
    /// Bytes that a package may have. Default 64 MiB.
    pub max_bytes: u64,
    /// Documents after which a new package has proven itself. Default 50.
    pub trial_documents: NonZeroU32,
    /// Hours of work after which it has, too. Default 72.
    pub trial_hours: NonZeroU32,
    /// How much larger than before the share of unsure values, of documents for review or of
    /// documents that cannot be read may be in that time; beyond, the models from before are used
    /// again. Default 0.1.
    #[serde(deserialize_with = "share", serialize_with = "as_written")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub drift: f32,
}

impl Default for Updates {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            devices: Vec::new(),
            sources: Vec::new(),
            authorities: None,
            max_bytes: 64 << 20,
            trial_documents: positive(50),
            trial_hours: positive(72),
            drift: 0.1,
        }
    }
}

/// The beginning of addresses: a server and a folder there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Origin(url::Url);

impl Origin {
    /// Whether an address begins like this. Both have been parsed: no `..` is left in them.
    pub fn holds(&self, address: &url::Url) -> bool {
        let same = |part: fn(&url::Url) -> Option<&str>| part(&self.0) == part(address);
        address.scheme() == "https"
            && same(url::Url::host_str)
            && self.0.port_or_known_default() == address.port_or_known_default()
            && address.username().is_empty()
            && address.password().is_none()
            && address.path().starts_with(self.0.path())
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address = url::Url::parse(text).ok().filter(|address| {
            address.scheme() == "https"
                && address.has_host()
                && address.username().is_empty()
                && address.password().is_none()
                && address.query().is_none()
                && address.fragment().is_none()
                && address.path().ends_with('/')
        });
        address.map(Self).ok_or_else(|| "expected https://HOST/FOLDER/".to_owned())
    }
}

impl TryFrom<String> for Origin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.0.into()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_below_a_source_are_its_own_and_no_others() {
        let origin: Origin = "https://updates.bank.vn/models/".parse().unwrap();
        let holds = |address: &str| origin.holds(&address.parse().unwrap());
        assert!(holds("https://updates.bank.vn/models/1.2.0.cicmodel"));
        assert!(holds("https://updates.bank.vn:443/models/a/b?c"));
        for other in [
            "http://updates.bank.vn/models/x",
            "https://updates.bank.vn/models",
            "https://updates.bank.vn/models/../x",
            "https://updates.bank.vn/models/%2e%2e/x",
            "https://updates.bank.vn:444/models/x",
            "https://updates.bank.vn.evil/models/x",
            "https://u@updates.bank.vn/models/x",
            "https://updates.bank.vn@evil/models/x",
        ] {
            assert!(!holds(other), "{other}");
        }
    }

    #[test]
    fn source_must_be_a_folder_that_is_encrypted_on_the_way() {
        for wrong in ["", "http://a/", "https://a/b", "https://a/?b/", "https://a:b@c/", "a/"] {
            assert!(wrong.parse::<Origin>().is_err(), "{wrong}");
        }
        assert!("https://a".parse::<Origin>().is_ok(), "the folder is the server's root");
    }
}
