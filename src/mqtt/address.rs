//! Where the demo publishes: `mqtt://[USER[:PASSWORD]@]HOST[:PORT]`.

use std::fmt;
use std::str::FromStr;

use cic_kiosk::config::{Broker, Place};
use url::Host;

const SCHEME: &str = "mqtt://";

/// Where a broker is, and as whom to go there. What it prints holds no credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) credentials: Option<(String, String)>,
}

impl FromStr for BrokerAddress {
    type Err = String;

    /// What stands before the last `@` is user and password as they are, without escapes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = || format!("expected {SCHEME}[USER[:PASSWORD]@]HOST[:PORT]");
        if text.starts_with("mqtts://") {
            return Err("TLS is not supported here; use mqtt:// to a broker near by".to_owned());
        }
        let rest = text.strip_prefix(SCHEME).ok_or_else(expected)?;
        let (credentials, place) = match rest.rsplit_once('@') {
            Some((who, place)) => {
                let (user, password) = who.split_once(':').unwrap_or((who, ""));
                (Some((user.to_owned(), password.to_owned())), place)
            }
            None => (None, rest),
        };
        let broker: Broker = format!("{SCHEME}{place}").parse()?;
        match broker.place() {
            Place::Tcp { host, port, .. } => {
                Ok(Self { host: host.clone(), port: *port, credentials })
            }
            Place::Unix(_) => Err(expected()),
        }
    }
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{SCHEME}{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<BrokerAddress, String> {
        text.parse()
    }

    #[test]
    fn credentials_are_taken_and_never_shown() {
        let address = parse("mqtt://kiosk:p@ss:w@host").unwrap();
        assert_eq!(address.credentials, Some(("kiosk".to_owned(), "p@ss:w".to_owned())));
        assert_eq!(format!("{address} {address:?}"), "mqtt://host:1883 mqtt://host:1883");
    }

    #[test]
    fn anything_else_is_refused_with_what_is_expected() {
        for text in ["host", "http://host", "unix:///a", "mqtt://", "mqtt://a@host/path"] {
            assert!(parse(text).unwrap_err().contains("expected mqtt://"), "{text}");
        }
        assert!(parse("mqtts://host").unwrap_err().contains("TLS"));
    }
}
