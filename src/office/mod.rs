//! What an office has and no kiosk does: how a fleet is seen, told what to do, and changed in waves.
//!
//! Promises:
//! - It speaks to the broker alone. What is known of the fleet is what stands and comes there.
//! - Whatever anybody can write at the broker is data: what is malformed is shown as such, nothing of
//!   it reaches a terminal or a page as anything but text, and none of it makes the program fail.
//! - A question about what stands retained ends when all of it has come, not after a time.

pub mod commands;
pub mod fleet;
pub mod report;
pub mod rollout;
pub mod screen;
pub mod seen;
pub mod session;
pub mod settings;
pub mod simulate;
pub mod text;
pub mod topics;

/// Why something could not be done.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
