//! What is said at the broker about certificates.

use cic_kiosk::config::{Broker, Name};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the key of a claim is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kept {
    /// Sealed with the machine's TPM2.
    Tpm2,
    /// Sealed with a key on the machine's disk.
    Host,
    /// In a file.
    File,
}

impl Kept {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tpm2 => "tpm2",
            Self::Host => "host",
            Self::File => "file",
        }
    }
}

/// A kiosk without a certificate asks for one. Whoever has the right to claim can say anything here:
/// the fingerprint of the key, which the kiosk shows, is what the office goes by.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct ClaimRequest {
    /// When it was written, RFC 3339 in UTC, by the kiosk's clock.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// The program's version.
    pub version: String,
    /// What the key is kept in.
    pub key: Kept,
    /// The board, as its firmware calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub board: Option<String>,
    /// The board's serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub serial: Option<String>,
    /// Of the time since the machine was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub boot_id: Option<String>,
    /// PKCS #10 in PEM. Its common name is BRANCH/KIOSK where the kiosk has a name already.
    pub csr: String,
}

/// What becomes of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum ClaimAnswer {
    /// The kiosk's certificate. The kiosk's names are in it.
    Issued {
        /// PEM: the kiosk's certificate first, its authority's last.
        chain: String,
        /// Where the kiosk's broker is, if it is not that of the claim.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "String")]
        broker: Option<Broker>,
    },
    /// There is none.
    Denied {
        /// Fingerprint of the key that it was denied to.
        fingerprint: String,
    },
}

/// A kiosk asks for the next certificate, of the key that it has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Renewal {
    /// When it was written, RFC 3339 in UTC, by the kiosk's clock.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// Serial number of the certificate that is to be followed by another, in hexadecimal.
    pub replaces: String,
    /// PKCS #10 in PEM.
    pub csr: String,
}

/// The next certificate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Issued {
    /// PEM: the kiosk's certificate first, its authority's last.
    pub chain: String,
}

/// Where a kiosk without a certificate asks.
pub fn claim_topic(id: &Name) -> String {
    format!("cic/v1/_claim/{id}/request")
}

/// Where it gets its answer.
pub fn verdict_topic(id: &Name) -> String {
    format!("cic/v1/_claim/{id}/certificate")
}

/// The names that a common name `BRANCH/KIOSK` is made of.
pub fn names(common_name: &str) -> Option<(Name, Name)> {
    let (branch, kiosk) = common_name.split_once('/')?;
    Some((branch.parse().ok()?, kiosk.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_name_is_two_names_or_nobodys() {
        let (branch, kiosk) = names("HN-01/k1").unwrap();
        assert_eq!((branch.as_str(), kiosk.as_str()), ("HN-01", "k1"));
        for wrong in ["HN-01", "HN-01/", "/k1", "HN-01/k1/x", "+/k1", "HN-01/#", "_all/_all"] {
            assert!(names(wrong).is_none(), "{wrong}");
        }
    }
}
