//! The fleet: what a kiosk tells those who look after a thousand of them, and what they may tell it.
//!
//! Promises:
//! - Whether a kiosk is there, and what it is, stands retained at its broker ([`presence`]).
//! - How it does is told at an interval and when it changes, over MQTT as to Prometheus
//!   ([`telemetry`]).
//! - What the fleet wants set is judged, taken over whole or not at all, and answered
//!   ([`configuration`]).
//! - What the fleet orders is done once, for whom the kiosk lets order it, and answered
//!   ([`commands`]).
//! - No value of a paper, and no name of a document, is in anything that is told here.

pub mod anomalies;
pub mod clock;
pub mod commands;
pub mod configuration;
pub mod counts;
pub mod kept;
pub mod machine;
pub mod presence;
pub mod telemetry;
