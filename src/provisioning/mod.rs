//! The kiosk's own key and certificate: how it gets them, and how they stay good.
//!
//! Promises:
//! - The private key is made on the kiosk and never leaves it. What is asked for is a certificate of
//!   its public half, and the request proves that who asks has the other one.
//! - A certificate is taken only for this key and this kiosk's name, and only if it leads to an
//!   authority that is known from elsewhere than the message that brought it.
//! - Whenever the power fails, each file is the old one or the new one, whole, and the next run goes on
//!   where this one ended.

#[cfg(feature = "office")]
pub mod authority;
pub mod certificate;
pub mod claim;
pub mod files;
pub mod key;
pub mod message;
pub mod store;
