//! Reading in a process of its own: one that has no network, no devices, no secrets and no files but
//! the models, so that a decoder's fault sees nothing and reaches nobody.
//!
//! Promises:
//! - The [`Client`] does not trust the worker: what it says is bounded in size before it is taken in,
//!   and is data of known types; an answer's scan id, times and counts are our own or within our
//!   limits. A worker that says anything else is done with.
//! - A worker that dies is found guilty of the document that it was reading, if that was the only
//!   one. Where there were several, each is read again, alone, and so the guilty one is found.
//! - Whatever the worker does, who asked has an answer in time: a worker that does not end what
//!   nobody waits for any more is cut off, and ends itself when it is.
//! - A worker serves one connection, and one with nothing to do is let go: what it holds of memory,
//!   and whatever a document may have done to it, ends with it.
//!
//! The daemon connects to a socket of systemd's, which starts a worker for each connection, with the
//! connection as its stdin.

mod client;
mod protocol;
mod server;

#[cfg(feature = "office")]
pub use client::checked;
pub use client::{Client, Handle};
#[cfg(feature = "office")]
pub use protocol::{beginning, files, read as read_frame};
pub use server::serve;
