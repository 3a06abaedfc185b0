//! MQTT: the daemon's connection with the branch's broker, and the demo's with any.
//!
//! Promises of the [`Publisher`]:
//! - A result is marked as delivered only after a PUBACK that says so. Until then it is published
//!   again on every new connection: at least once, and never lost on the way.
//! - The [`Queue`] alone remembers what was not acknowledged. A connection that broke is thrown away
//!   with all its state, whatever the broker, the client library or a session believe.
//! - A result that the broker will never take, for its size or because it breaks every connection
//!   alone, is buried, and does not hold up the others. A broker that is away, silent, or refuses
//!   this kiosk never has anything buried.
//! - Results made while a backlog drains go before it. Memory holds a window of results, not the
//!   backlog.
//! - What is retained as the kiosk's presence is true within the keep-alive time.
//! - What else is said and heard ([`Post`]) holds up no result, whatever the broker does with it.
//!
//! MQTT 5 is spoken, for its reasons: in MQTT 3.1.1 a broker acknowledges what it throws away.
//!
//! The demo speaks 3.1.1, which every broker does: [`publish`] returns `Ok` only after the broker's
//! PUBACK, and every wait has a limit.
//!
//! No payload, user name or password reaches a log or an error.

mod address;
mod client;
mod connection;
mod dial;
mod failure;
mod post;
mod probe;
mod publisher;
mod queue;
mod topics;
mod wire;

pub use address::BrokerAddress;
pub use client::{Subscriber, forget_session, publish};
pub use dial::Dial;
pub use post::{Inbox, Letter, MAX_LETTER, Post};
pub use probe::probe;
pub use publisher::{LinkState, Publisher};
pub use topics::Topics;

use std::time::Duration;

/// The most that MQTT's length field can express. The client's own default, 10 KiB, is less than
/// any answer, and the broker decides what is too much for it.
const MAX_PACKET: usize = 268_435_455;

/// The most bytes of a packet that is taken from a broker: one that must be read to be refused may
/// not take the memory of a page.
const MAX_INCOMING: usize = 1 << 20;

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
}

fn because(cause: &Option<String>) -> String {
    cause.as_ref().map_or_else(String::new, |cause| format!(" ({cause})"))
}

#[cfg(test)]
mod asyncapi;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod old_broker;
#[cfg(test)]
mod tests;
