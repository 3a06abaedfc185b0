//! What goes wrong with a connection.

use std::io;
use std::path::PathBuf;

use rumqttc::v5::mqttbytes;
use rumqttc::v5::mqttbytes::v5::{DisconnectReasonCode, PubAckReason};
use rumqttc::v5::{ConnectionError, StateError, TlsError};

use crate::credentials::CredentialError;

/// The reason code "packet too large".
const PACKET_TOO_LARGE: u8 = 0x95;

/// Why a connection could not be made, or ended. It holds nothing of a message.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A secret is not to be had.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// A credential is no text, and cannot be a password.
    #[error("the credential {0} is not UTF-8")]
    NotText(&'static str),
    /// A file of certificates cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A file of certificates holds none.
    #[error("{} holds no valid certificates in PEM", .0.display())]
    NoCertificates(PathBuf),
    /// The client's key is none, or not that of its certificate.
    #[error("mqtt-key is not, in PEM, the key of mqtt.certificate: {0}")]
    Key(String),
    /// No authority is trusted.
    #[error("no certificate authority is installed here; set mqtt.authorities")]
    NoAuthorities,
    /// No connection to the broker's machine.
    #[error("the broker cannot be reached ({0}); check mqtt.broker and the network")]
    Unreachable(io::Error),
    /// No TLS with the broker.
    #[error(
        "no secure connection with the broker: {0}; check mqtt.authorities and mqtt.certificate"
    )]
    Tls(String),
    /// The broker will not have us.
    #[error("the broker refuses the connection ({0}); check user, password and its rules")]
    Refused(String),
    /// Another client of the same name has connected.
    #[error("another client with this kiosk's name took over the connection; check kiosk.id")]
    TakenOver,
    /// The broker does not do in time what it should.
    #[error("the broker did not {0} in time")]
    Silent(&'static str),
    /// The broker closed the connection and did not say why. The client library does not understand
    /// a DISCONNECT without properties, as mosquitto sends it: such a one is here, too.
    #[error("the broker closed the connection; its log may say why")]
    Closed,
    /// The broker closed the connection and said why.
    #[error("the broker ended the connection ({0:?})")]
    Ended(DisconnectReasonCode),
    /// The broker does not take the message, for what the message is.
    #[error("the broker rejects the message ({0})")]
    Unfit(&'static str),
    /// The broker does not take the message, for what we or it are.
    #[error("the broker does not take messages ({0:?}); check its rules for this kiosk's topics")]
    NotTaken(PubAckReason),
    /// The broker sent more than is ever taken in. Brokers of MQTT 5 do not, as they are told.
    #[error(
        "the broker sent a message of more than 1 MiB: clear what is retained on the topics that \
         this kiosk listens to; it listens to none for an hour"
    )]
    TooMuch,
    /// The broker does not speak this version of MQTT, or not well.
    #[error("the broker does not speak MQTT as it should: {0}; check mqtt.protocol")]
    Protocol(String),
}

impl Failure {
    /// Whether a message that was alone on its way may be the cause. Silence and refusals are the
    /// broker's own, and no fault of a message.
    pub fn may_be_the_messages(&self) -> bool {
        matches!(self, Self::Closed | Self::Unfit(_))
    }

    /// Its kind, for metrics and health.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Credential(_) | Self::NotText(_) => "credential",
            Self::Unreadable { .. }
            | Self::NoCertificates(_)
            | Self::Key(_)
            | Self::NoAuthorities => "certificate",
            Self::Unreachable(_) => "unreachable",
            Self::Tls(_) => "tls",
            Self::Refused(_) => "refused",
            Self::TakenOver => "taken_over",
            Self::Silent(_) => "silent",
            Self::Closed | Self::Ended(_) => "closed",
            Self::Unfit(_) => "unfit",
            Self::NotTaken(_) => "not_taken",
            Self::TooMuch => "too_much",
            Self::Protocol(_) => "protocol",
        }
    }

    /// What makes it another failure than the last one. Errors of certificates tell the time, and
    /// would never be the same.
    pub fn reason(&self) -> String {
        match self {
            Self::Tls(_) => self.kind().to_owned(),
            other => other.to_string(),
        }
    }

    /// What a PUBACK that is none says of its message.
    pub fn of_reason(reason: PubAckReason) -> Self {
        match reason {
            PubAckReason::PayloadFormatInvalid => Self::Unfit("payload format invalid"),
            reason => Self::NotTaken(reason),
        }
    }

    /// An I/O error on a connection that stood: the other side is gone.
    fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Silent("keep the connection alive"),
            _ => Self::Closed,
        }
    }
}

impl From<ConnectionError> for Failure {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::MqttState(error) => error.into(),
            ConnectionError::Timeout(_) => Self::Silent("accept the connection"),
            ConnectionError::Io(error) => Self::Unreachable(error),
            ConnectionError::Tls(TlsError::Io(error)) if !is_of_tls(&error) => {
                Self::Unreachable(error)
            }
            ConnectionError::Tls(error) => Self::Tls(error.to_string()),
            ConnectionError::ConnectionRefused(code) => Self::Refused(format!("{code:?}")),
            ConnectionError::NotConnAck(_) => Self::Protocol("no CONNACK".to_owned()),
            ConnectionError::RequestsDone => Self::Closed,
        }
    }
}

impl From<rumqttc::ConnectionError> for Failure {
    fn from(error: rumqttc::ConnectionError) -> Self {
        use rumqttc::ConnectionError as Of;
        match error {
            Of::MqttState(error) => error.into(),
            Of::NetworkTimeout | Of::FlushTimeout => Self::Silent("accept the connection"),
            Of::Io(error) => Self::Unreachable(error),
            Of::Tls(TlsError::Io(error)) if !is_of_tls(&error) => Self::Unreachable(error),
            Of::Tls(error) => Self::Tls(error.to_string()),
            Of::ConnectionRefused(code) => Self::Refused(format!("{code:?}")),
            Of::NotConnAck(_) => Self::Protocol("no CONNACK".to_owned()),
            Of::RequestsDone => Self::Closed,
        }
    }
}

impl From<rumqttc::StateError> for Failure {
    fn from(error: rumqttc::StateError) -> Self {
        use rumqttc::StateError as Of;
        match error {
            Of::ConnectionAborted => Self::Closed,
            Of::Io(error) if is_of_tls(&error) => Self::Tls(error.to_string()),
            Of::Io(error) => Self::of_io(&error),
            Of::AwaitPingResp => Self::Silent("answer a ping"),
            Of::CollisionTimeout => Self::Silent("acknowledge a message"),
            Of::Deserialization(rumqttc::mqttbytes::Error::PayloadSizeLimitExceeded(_)) => {
                Self::TooMuch
            }
            other => Self::Protocol(other.to_string()),
        }
    }
}

fn is_of_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|cause| cause.is::<rustls::Error>())
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        match error {
            StateError::ConnectionAborted => Self::Closed,
            StateError::Io(error) | StateError::Deserialization(mqttbytes::Error::Io(error)) => {
                if is_of_tls(&error) {
                    Self::Tls(error.to_string())
                } else {
                    Self::of_io(&error)
                }
            }
            StateError::AwaitPingResp => Self::Silent("answer a ping"),
            StateError::CollisionTimeout => Self::Silent("acknowledge a message"),
            StateError::Deserialization(mqttbytes::Error::PayloadSizeLimitExceeded { .. }) => {
                Self::TooMuch
            }
            // Mosquitto says so in a PUBACK, where the client library does not know the code.
            StateError::Deserialization(mqttbytes::Error::InvalidConnectReturnCode(
                PACKET_TOO_LARGE,
            )) => Self::Unfit("packet too large"),
            StateError::ServerDisconnect { reason_code, .. } => match reason_code {
                DisconnectReasonCode::PacketTooLarge => Self::Unfit("packet too large"),
                DisconnectReasonCode::PayloadFormatInvalid => Self::Unfit("payload format invalid"),
                DisconnectReasonCode::SessionTakenOver => Self::TakenOver,
                other => Self::Ended(other),
            },
            other => Self::Protocol(other.to_string()),
        }
    }
}
