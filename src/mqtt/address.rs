//! `mqtt://[USER[:PASSWORD]@]HOST[:PORT]`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

const SCHEME: &str = "mqtt://";
const DEFAULT_PORT: u16 = 1883;

/// Where a broker is, and as whom to go there. What it prints holds no credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    pub(super) host: String,
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
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, place) = match rest.rsplit_once('@') {
            Some((who, place)) => {
                let (user, password) = who.split_once(':').unwrap_or((who, ""));
                (Some((user.to_owned(), password.to_owned())), place)
            }
            None => (None, rest),
        };
        let (host, port) = match place.rsplit_once(':') {
            // A colon inside the brackets of an IPv6 address begins no port.
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| format!("{port:?} is no port"))?)
            }
            _ => (place, DEFAULT_PORT),
        };
        if host.is_empty() || host.contains(['/', ' ']) {
            return Err(expected());
        }
        Ok(Self { host: host.to_owned(), port, credentials })
    }
}

impl From<SocketAddr> for BrokerAddress {
    fn from(address: SocketAddr) -> Self {
        let host = match address {
            SocketAddr::V4(v4) => v4.ip().to_string(),
            SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
        };
        Self { host, port: address.port(), credentials: None }
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
    fn port_is_1883_unless_given() {
        assert_eq!(
            parse("mqtt://broker.branch/").unwrap().to_string(),
            "mqtt://broker.branch:1883"
        );
        assert_eq!(parse("mqtt://10.0.0.1:2883").unwrap().port, 2883);
        assert_eq!(parse("mqtt://[::1]").unwrap().host, "[::1]");
        assert_eq!(parse("mqtt://[::1]:99").unwrap().port, 99);
    }

    #[test]
    fn credentials_are_taken_and_never_shown() {
        let address = parse("mqtt://kiosk:p@ss:w@host").unwrap();
        assert_eq!(address.credentials, Some(("kiosk".to_owned(), "p@ss:w".to_owned())));
        assert_eq!(format!("{address} {address:?}"), "mqtt://host:1883 mqtt://host:1883");
    }

    #[test]
    fn anything_else_is_refused_with_what_is_expected() {
        for text in ["host", "http://host", "mqtt://", "mqtt://host/path", "mqtt://:1"] {
            assert!(parse(text).unwrap_err().contains("expected mqtt://"), "{text}");
        }
        assert!(parse("mqtt://host:port").unwrap_err().contains("no port"));
        assert!(parse("mqtts://host").unwrap_err().contains("TLS"));
    }
}
