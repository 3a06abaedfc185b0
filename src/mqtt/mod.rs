//! MQTT 3.1.1: publishing with an acknowledgement, receiving, and a broker inside this process.
//!
//! Promises:
//! - [`publish`] returns `Ok` only after the broker's PUBACK. While there is none, the message is
//!   offered again on every new connection.
//! - Every wait has a limit, and an error says which broker did not do what.
//! - No payload, user name or password reaches a log or an error.

mod address;
mod client;
mod embedded;

pub use address::BrokerAddress;
pub use client::{Subscriber, forget_session, publish};
pub use embedded::start_broker;

use std::io;
use std::time::Duration;

/// The most that MQTT's length field can express. The client's own default, 10 KiB, is less than
/// any answer, and the broker decides what is too much for it.
const MAX_PACKET: usize = 268_435_455;

/// Why a message did not get through.
#[derive(Debug, thiserror::Error)]
pub enum MqttError {
    /// Nothing happened in time.
    #[error("{broker} did not {expected} within {} s{}", limit.as_secs(), because(cause))]
    Timeout {
        /// Where the broker is.
        broker: String,
        /// What it should have done.
        expected: &'static str,
        /// How long was waited.
        limit: Duration,
        /// What went wrong last.
        cause: Option<String>,
    },
    /// The broker will not have us.
    #[error("{broker} refused the connection ({reason}); check user name, password and its rules")]
    Refused {
        /// Where the broker is.
        broker: String,
        /// The reason in its CONNACK.
        reason: String,
    },
    /// The broker will not have the subscription.
    #[error("{broker} refused the subscription to {topic}; check its access rules")]
    SubscriptionRefused {
        /// Where the broker is.
        broker: String,
        /// What was subscribed to.
        topic: String,
    },
    /// The message exceeds what MQTT can carry.
    #[error("the message is larger than MQTT can carry ({MAX_PACKET} bytes)")]
    TooLarge,
    /// The broker in this process does not start.
    #[error("the embedded broker does not start: {0}")]
    Embedded(#[from] io::Error),
}

fn because(cause: &Option<String>) -> String {
    cause.as_ref().map_or_else(String::new, |cause| format!(" ({cause})"))
}
