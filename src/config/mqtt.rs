//! The branch's broker.

use std::borrow::Cow;
use std::fmt;
use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use url::Host;

use super::{ConfigError, positive};

/// Less than that is refused by the client library, and would cost more than it tells.
const MIN_KEEP_ALIVE: u16 = 5;

const PLAIN: &str = "mqtt";
const PLAIN_PORT: u16 = 1883;
const TLS: &str = "mqtts";
const TLS_PORT: u16 = 8883;
const UNIX: &str = "unix";

/// What leads to a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A TCP connection.
    Tcp {
        /// Name or address.
        host: Host,
        /// Never 0.
        port: u16,
        /// Whether TLS is spoken over it.
        tls: bool,
    },
    /// A Unix socket, by its absolute path.
    Unix(PathBuf),
}

/// Where a broker is: `mqtt://HOST[:PORT]`, `mqtts://HOST[:PORT]` or `unix:///PATH`. It holds neither
/// user nor password, and can be shown.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Broker(Place);

impl Broker {
    /// What leads there.
    pub fn place(&self) -> &Place {
        &self.0
    }

    /// Whether TLS is spoken with it.
    pub fn has_tls(&self) -> bool {
        matches!(self.0, Place::Tcp { tls: true, .. })
    }
}

impl From<Place> for Broker {
    fn from(place: Place) -> Self {
        Self(place)
    }
}

impl FromStr for Broker {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected =
            || "expected mqtt://HOST[:PORT], mqtts://HOST[:PORT] or unix:///PATH".to_owned();
        let (scheme, rest) = text.split_once("://").ok_or_else(expected)?;
        let (tls, default_port) = match scheme {
            PLAIN => (false, PLAIN_PORT),
            TLS => (true, TLS_PORT),
            UNIX if rest.starts_with('/') && !rest.ends_with('/') => {
                return Ok(Self(Place::Unix(rest.into())));
            }
            _ => return Err(expected()),
        };
        if rest.contains('@') {
            return Err(
                "a broker's address holds no user and no password: set mqtt.user, and give \
                        the password as the credential mqtt-password"
                    .to_owned(),
            );
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.rsplit_once(':') {
            // A colon inside the brackets of an IPv6 address begins no port.
            Some((host, port)) if !port.ends_with(']') => {
                let port = port.parse().ok().filter(|&port| port != 0);
                (host, port.ok_or("a port is a number from 1 to 65535")?)
            }
            _ => (rest, default_port),
        };
        let host = Host::parse(host).map_err(|_| expected())?;
        Ok(Self(Place::Tcp { host, port, tls }))
    }
}

impl TryFrom<String> for Broker {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Broker> for String {
    fn from(broker: Broker) -> Self {
        broker.to_string()
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.0 {
            Place::Tcp { host, port, tls } => {
                write!(f, "{}://{host}:{port}", if *tls { TLS } else { PLAIN })
            }
            Place::Unix(path) => write!(f, "{UNIX}://{}", path.display()),
        }
    }
}

impl JsonSchema for Broker {
    fn schema_name() -> Cow<'static, str> {
        "Broker".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^(mqtts?://[^@]+|unix:///.+)$"})
    }
}

/// A version of MQTT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Protocol {
    /// A broker says what it does not take, and why.
    #[default]
    #[serde(rename = "5")]
    V5,
    /// For brokers that know no other. Some throw away what they do not take, and acknowledge it.
    #[serde(rename = "3.1.1")]
    V3,
}

/// The branch's broker.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Mqtt {
    /// Where it is: `mqtt://HOST[:PORT]`, `mqtts://HOST[:PORT]` or `unix:///PATH`. Default
    /// `mqtt://127.0.0.1:1883`.
    pub broker: Broker,
    /// Version of MQTT: `5`, or `3.1.1` for a broker that knows no other. Some brokers throw away
    /// what they do not take, and with 3.1.1 acknowledge it all the same. Default `5`.
    pub protocol: Protocol,
    /// User name; its password is the credential `mqtt-password`.
    pub user: Option<String>,
    /// PEM file of the authorities that may vouch for the broker; without it, the system's.
    pub authorities: Option<PathBuf>,
    /// PEM file of the kiosk's own certificate and those that lead to its authority; its key is the
    /// credential `mqtt-key`. Both are read anew for each connection.
    pub certificate: Option<PathBuf>,
    /// Whether the kiosk asks for the next certificate when two thirds of its own one's time are over.
    /// Default true.
    pub renew_certificate: bool,
    /// Whether results are published with the pictures of their pages and tables: megabytes in
    /// place of kilobytes. Default false.
    pub pictures: bool,
    /// Bytes that a published result may have; a larger one becomes a dead letter at once. Without
    /// it, what the broker announces.
    pub max_payload_bytes: Option<NonZeroUsize>,
    /// Results that may be on their way without an acknowledgement. A broker may announce fewer, as
    /// mosquitto does (20). Default 100.
    pub window: NonZeroU16,
    /// Seconds after which a silent broker is asked whether it is there; it is given up when it has
    /// not answered after as many again. Default 30, at least 5.
    #[serde(deserialize_with = "keep_alive")]
    #[schemars(range(min = MIN_KEEP_ALIVE))]
    pub keep_alive_seconds: u16,
    /// Seconds that a connection may take: name, TCP, TLS and the broker's first answers. Default
    /// 10.
    pub connect_seconds: NonZeroU32,
    /// Seconds that the broker may take to acknowledge a result; then the connection is made anew.
    /// Default 30.
    pub ack_seconds: NonZeroU32,
    /// Seconds until the second try to connect; each further try waits twice as long, and up to as
    /// much again by chance. Default 1.
    pub retry_min_seconds: NonZeroU32,
    /// Seconds that the waiting between two tries grows to. Default 60.
    pub retry_max_seconds: NonZeroU32,
}

impl Mqtt {
    /// How long a silent broker is not asked.
    pub fn keep_alive(&self) -> Duration {
        Duration::from_secs(self.keep_alive_seconds.into())
    }

    /// How long a connection may take.
    pub fn connect_time(&self) -> Duration {
        Duration::from_secs(self.connect_seconds.get().into())
    }

    /// How long an acknowledgement may take.
    pub fn ack_time(&self) -> Duration {
        Duration::from_secs(self.ack_seconds.get().into())
    }

    /// How long is waited between two tries to connect: at first, and at most.
    pub fn retry_times(&self) -> (Duration, Duration) {
        let [min, max] = [self.retry_min_seconds, self.retry_max_seconds]
            .map(|seconds| Duration::from_secs(seconds.get().into()));
        (min, max)
    }

    /// Whether the settings agree with each other.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let refused = |reason: &str| Err(ConfigError(reason.to_owned()));
        if !self.broker.has_tls() && (self.authorities.is_some() || self.certificate.is_some()) {
            return refused(
                "mqtt.authorities and mqtt.certificate mean nothing without TLS: let mqtt.broker \
                 begin with mqtts://",
            );
        }
        if self.retry_max_seconds < self.retry_min_seconds {
            return refused("mqtt.retry_max_seconds is less than mqtt.retry_min_seconds");
        }
        Ok(())
    }
}

impl Default for Mqtt {
    fn default() -> Self {
        let localhost = Host::Ipv4(std::net::Ipv4Addr::LOCALHOST);
        Self {
            broker: Broker(Place::Tcp { host: localhost, port: PLAIN_PORT, tls: false }),
            protocol: Protocol::default(),
            user: None,
            authorities: None,
            certificate: None,
            renew_certificate: true,
            pictures: false,
            max_payload_bytes: None,
            window: NonZeroU16::new(100).unwrap_or(NonZeroU16::MIN),
            keep_alive_seconds: 30,
            connect_seconds: positive(10),
            ack_seconds: positive(30),
            retry_min_seconds: positive(1),
            retry_max_seconds: positive(60),
        }
    }
}

fn keep_alive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let seconds = u16::deserialize(deserializer)?;
    if seconds >= MIN_KEEP_ALIVE {
        Ok(seconds)
    } else {
        Err(serde::de::Error::custom(format!("expected a number from {MIN_KEEP_ALIVE} to 65535")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn parse(text: &str) -> Result<Broker, String> {
        text.parse()
    }

    fn shown(text: &str) -> String {
        parse(text).expect(text).to_string()
    }

    #[test]
    fn port_is_1883_or_with_tls_8883_unless_given() {
        assert_eq!(shown("mqtt://broker.branch/"), "mqtt://broker.branch:1883");
        assert_eq!(shown("mqtts://broker.branch"), "mqtts://broker.branch:8883");
        assert_eq!(shown("mqtt://10.0.0.1:2883"), "mqtt://10.0.0.1:2883");
        assert_eq!(shown("mqtts://[::1]"), "mqtts://[::1]:8883");
        assert_eq!(shown("mqtt://[::1]:99"), "mqtt://[::1]:99");
        assert_eq!(shown("unix:///run/mosquitto.sock"), "unix:///run/mosquitto.sock");
    }

    #[test]
    fn user_and_password_in_an_address_are_refused_with_where_they_belong_and_not_repeated() {
        for text in ["mqtt://kiosk:p@ss@host", "mqtts://kiosk@host:1", "mqtt://:p@ss@host"] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("mqtt.user") && error.contains("mqtt-password"), "{error}");
            assert!(!error.contains("p@ss") && !error.contains("kiosk"), "{error}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_is_expected() {
        for text in [
            "host",
            "http://host",
            "mqtt://",
            "mqtt://host/path",
            "mqtt://:1",
            "mqtt://a b",
            "unix://relative",
            "unix:///folder/",
            "mqtt://::1",
        ] {
            assert!(parse(text).unwrap_err().contains("expected mqtt://"), "{text}");
        }
        for text in ["mqtt://host:port", "mqtt://host:0", "mqtt://host:65536"] {
            assert!(parse(text).unwrap_err().contains("1 to 65535"), "{text}");
        }
    }

    #[test]
    fn settings_that_mean_nothing_together_are_refused() {
        let check = |text: &str| Config::parse(text).unwrap().check();
        let error = check("[mqtt]\ncertificate = \"/c.pem\"").unwrap_err().to_string();
        assert!(error.contains("mqtts://"), "{error}");
        assert_eq!(check("[mqtt]\nbroker = \"mqtts://b\"\ncertificate = \"/c.pem\""), Ok(()));
        let error = check("[mqtt]\nretry_min_seconds = 61").unwrap_err().to_string();
        assert!(error.contains("retry_max_seconds"), "{error}");
        let error = Config::parse("[mqtt]\nkeep_alive_seconds = 4").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("from 5"), "{error}");
    }
}
