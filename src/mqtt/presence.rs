//! Whether a kiosk is there, as its retained message says it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

/// Whether the kiosk is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Presence {
    /// Whether the kiosk is connected.
    pub status: Status,
    /// When it became so, RFC 3339 in UTC. Of a kiosk that was lost, when the connection began that
    /// broke: the message was left with the broker then.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// The program's version.
    pub version: String,
    /// Why the kiosk is not connected; only where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Reason")]
    pub reason: Option<Reason>,
}

/// Whether the kiosk is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is.
    Online,
    /// It is not.
    Offline,
}

/// Why a kiosk is not connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// Its program was ended.
    Stopped,
    /// The broker says so in the kiosk's place: power, network or program failed.
    Lost,
}

impl Presence {
    /// Connected from now on.
    pub fn online() -> Self {
        Self::now(Status::Online, None)
    }

    /// Not connected from now on.
    pub fn offline(reason: Reason) -> Self {
        Self::now(Status::Offline, Some(reason))
    }

    fn now(status: Status, reason: Option<Reason>) -> Self {
        // Fractions of a second would promise more than a kiosk's clock keeps.
        let since = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
        let since = since.to_string();
        Self { status, since, version: env!("CARGO_PKG_VERSION").to_owned(), reason }
    }

    /// As it is published.
    pub fn json(&self) -> Vec<u8> {
        serde_json::json!(self).to_string().into_bytes()
    }
}
