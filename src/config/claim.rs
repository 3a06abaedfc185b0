//! How a kiosk without a certificate gets one.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Broker, ConfigError};

/// SHA-256 of a certificate, as 64 hexadecimal digits; colons between them, as OpenSSL prints them,
/// may stay.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct CertificateHash(String);

impl CertificateHash {
    /// Lower case, without colons.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CertificateHash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits: String = text.chars().filter(|&c| c != ':').collect();
        if digits.len() == 64 && digits.chars().all(|c| c.is_ascii_hexdigit()) {
            Ok(Self(digits.to_ascii_lowercase()))
        } else {
            Err("expected the 64 hexadecimal digits of a certificate's SHA-256".to_owned())
        }
    }
}

impl TryFrom<String> for CertificateHash {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CertificateHash> for String {
    fn from(hash: CertificateHash) -> Self {
        hash.0
    }
}

impl fmt::Display for CertificateHash {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for CertificateHash {
    fn schema_name() -> Cow<'static, str> {
        "CertificateHash".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^([0-9A-Fa-f]{2}:?){32}$",
            // Of nothing.
            "examples": ["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
        })
    }
}

/// How a kiosk without a certificate gets one: `cic-kiosk claim`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Claim {
    /// Broker that certificates are asked for at, `mqtts://HOST[:PORT]`; the kiosk's own, too, unless
    /// `mqtt.broker` or the certificate's message names another.
    pub broker: Option<Broker>,
    /// User name there; its password is the credential `mqtt-password` of the claim's unit.
    pub user: Option<String>,
    /// PEM file of a certificate that kiosks share for this; its key is the credential `mqtt-key` of
    /// the claim's unit.
    pub certificate: Option<PathBuf>,
    /// PEM file of the authorities that may vouch for that broker; without it, the system's. It
    /// becomes `mqtt.authorities`, unless that is set.
    pub authorities: Option<PathBuf>,
    /// SHA-256 of the authority's certificate that the kiosk's own must lead to. Without it, that is
    /// one of `claim.authorities`.
    pub authority_sha256: Option<CertificateHash>,
    /// Whether the key is sealed to this machine, with its TPM2 where it has one. Default true; it is
    /// a plain file where `kiosk.credentials` is set, or systemd-creds is not there.
    pub seal: bool,
}

impl Claim {
    /// Whether the settings are safe.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.broker.as_ref().is_some_and(|broker| !broker.has_tls()) {
            return Err(ConfigError(
                "claim.broker must begin with mqtts://: whoever is on the way could take the \
                 kiosk's place"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

impl Default for Claim {
    fn default() -> Self {
        Self {
            broker: None,
            user: None,
            certificate: None,
            authorities: None,
            authority_sha256: None,
            seal: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn hash_is_taken_as_openssl_prints_it() {
        let printed = "AB:".repeat(31) + "CD";
        let hash: CertificateHash = printed.parse().unwrap();
        assert_eq!(hash.as_str(), "ab".repeat(31) + "cd");
        for wrong in ["", "ab", &"a".repeat(63), &"g".repeat(64)] {
            assert!(wrong.parse::<CertificateHash>().unwrap_err().contains("64"), "{wrong}");
        }
    }

    #[test]
    fn nobody_is_asked_for_a_certificate_in_the_clear() {
        let check = |broker: &str| {
            Config::parse(&format!("[claim]\nbroker = \"{broker}\"")).unwrap().check()
        };
        assert!(check("mqtt://b").unwrap_err().to_string().contains("mqtts://"));
        assert_eq!(check("mqtts://b"), Ok(()));
    }
}
