//! Who may use the HTTP API, how often, and who did: keys, quotas and the audit log in one file.
//!
//! Promises:
//! - The file `keys.sqlite` may be open in several processes. A key that is added, rotated or
//!   revoked in one counts at the next request in all others.
//! - A secret is given out once, by [`KeyStore::add`] or [`KeyStore::rotate`]. The file holds only
//!   its Argon2id hash, the memory only a salted SHA-256 of it.
//! - A quota is kept by the audit log itself: a use is counted and recorded in one transaction, so
//!   that no two requests, processes or restarts get the last use both.
//! - No value from a paper, no file name and no URL is stored. Of a client there is its IP address.
//! - The file is never torn. A key that was added, rotated or revoked is on the disk when the call
//!   returns. Uses are not: a power cut may lose those of the last moments, and gives them back to
//!   their quotas.
//!
//! Calls block: up to five seconds where another process writes, and where a secret is new for as
//! long as Argon2 takes, after those that wait already. An asynchronous server calls them from a
//! thread for such work.

mod file;
#[cfg(test)]
mod fixture;
mod lockout;
mod looks;
mod secret;
mod store;
mod uses;

pub use secret::Credentials;
pub use store::KeyStore;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use argon2::password_hash;
use jiff::civil::Date;
use serde::Serialize;

use crate::database::DatabaseError;

/// The longest name of a key, in characters.
const MAX_NAME: usize = 64;

/// A key that has proven itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its number in the file.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Uses in a calendar day; `None`: any number.
    pub quota: Option<u32>,
}

/// A key as `keys list` shows it. Times are RFC 3339 in the machine's time zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its public half.
    pub api_key: String,
    /// Uses in a calendar day; `None`: any number.
    pub quota: Option<u32>,
    /// Uses of today that count.
    pub used_today: u32,
    /// When it was added.
    pub created: String,
    /// When its latest use began.
    pub last_used: Option<String>,
    /// Since when it is worth nothing.
    pub revoked: Option<String>,
}

/// A use that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUse {
    /// The scan's id, which no other use has.
    pub scan_id: String,
    /// Where the request comes from.
    pub client: IpAddr,
    /// How the document comes: `url`, `file`, `base64`, or `unknown` as yet.
    pub way: &'static str,
}

/// What a use came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UseEnd {
    /// The digit of the contract's error code. `6`, our own failure, gives the use back.
    pub code: &'static str,
    /// How the document came.
    pub way: &'static str,
    /// Its size.
    pub bytes: u64,
    /// Its pages.
    pub pages: u32,
    /// From the request to the answer, in milliseconds.
    pub elapsed_ms: u64,
}

/// Which uses to show; by default all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsesFilter {
    /// Of this day in the machine's time zone.
    pub day: Option<Date>,
    /// Of the key of this name.
    pub name: Option<String>,
}

/// A use in the audit log. What is absent is so while the use runs, and for good where its client
/// went away or the server ended; such a use counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditLine {
    /// When it began: RFC 3339 in the machine's time zone.
    pub at: String,
    /// The key's name.
    pub name: String,
    /// The key's public half.
    pub api_key: String,
    /// The scan's id, as in the answer.
    pub scan_id: String,
    /// The client's IP address.
    pub client: String,
    /// How the document came.
    pub way: String,
    /// Its size.
    pub bytes: Option<u64>,
    /// Its pages.
    pub pages: Option<u32>,
    /// The digit of the contract's error code.
    pub code: Option<String>,
    /// From the request to the answer, in milliseconds.
    pub elapsed_ms: Option<u64>,
}

/// A technician's look at what was read of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// When: RFC 3339 in the machine's time zone.
    pub at: String,
    /// The name of the key that he had logged in with.
    pub name: String,
    /// The scan's id.
    pub scan_id: String,
}

/// Why the store cannot do what it should.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file is of no use.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// There is no store yet.
    #[error(
        "there is no key store in {}; the first `cic-kiosk keys add NAME --state {}` makes one",
        state.display(),
        state.display()
    )]
    Missing {
        /// The folder that should hold it.
        state: PathBuf,
    },
    /// The file that was opened is not the one that is there now.
    #[error(
        "{} was moved away or replaced while it was in use; restart whoever uses it",
        path.display()
    )]
    Replaced {
        /// Where it was.
        path: PathBuf,
    },
    /// This is no name for a key.
    #[error("a key's name has 1 to {MAX_NAME} printable characters and no blank at either end")]
    Name,
    /// Another key has the name.
    #[error("there is a key {name:?} already; `keys rotate` gives it a new secret")]
    Taken {
        /// The name.
        name: String,
    },
    /// A revoked key has the name.
    #[error(
        "{name:?} is the name of a revoked key and stays so, for the audit log; choose another name"
    )]
    TakenByRevoked {
        /// The name.
        name: String,
    },
    /// No key has the name.
    #[error("there is no key {name:?}; `keys list` shows those that there are")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The key is worth nothing any more.
    #[error("the key {name:?} is revoked for good; add one of another name")]
    Revoked {
        /// Its name.
        name: String,
    },
    /// No use of this id is under way.
    #[error("no use {scan_id} is under way: it has ended, or was never begun")]
    UnknownUse {
        /// The scan's id.
        scan_id: String,
    },
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    Random(getrandom::Error),
    /// Argon2 does not work, for want of memory or because a stored hash is damaged.
    #[error("cannot compute or read the hash of a secret: {0}")]
    Hash(password_hash::Error),
}

/// Why a client is not let in.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is no such key, or the secret is not the key's; which, is not told.
    #[error("the api_key or the api_secret is wrong")]
    Wrong,
    /// There were too many wrong ones; whether these are right was not looked at.
    #[error("too many wrong credentials; try again in {} s", whole_seconds(*retry_after))]
    LockedOut {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The store does not work.
    #[error(transparent)]
    Store(#[from] KeysError),
}

/// Why a use does not begin.
#[derive(Debug, thiserror::Error)]
pub enum UseError {
    /// The key has no use left today.
    #[error(
        "the key's quota of today is used up; the next day begins in {} s",
        whole_seconds(*retry_after)
    )]
    OutOfQuota {
        /// Until the next day begins in the machine's time zone.
        retry_after: Duration,
    },
    /// The store does not work.
    #[error(transparent)]
    Store(#[from] KeysError),
}

/// Rounded up: who waits as long as he is told must not come too early.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// Whether a key may be called so.
pub fn check_name(name: &str) -> Result<(), KeysError> {
    let length = name.chars().count();
    let fits = (1..=MAX_NAME).contains(&length) && name.trim() == name;
    if fits && name.chars().all(is_printable) { Ok(()) } else { Err(KeysError::Name) }
}

/// Neither a control character nor one that is invisible or turns the direction of writing: names
/// must not differ in what nobody sees, nor garble the terminal of whoever lists them.
fn is_printable(c: char) -> bool {
    let invisible = matches!(
        c,
        '\u{ad}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
    );
    !c.is_control() && !invisible && (c == ' ' || !c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_has_one_to_64_printable_characters() {
        for name in ["a", "Chi nhánh Hà Nội 2", &"ư".repeat(64)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        let bad =
            ["", " ", " a", "a ", "a\nb", "a\tb", "a\u{7f}", "a\u{202e}b", "\u{200b}", "a\u{a0}b"];
        for name in bad.into_iter().chain([&*"a".repeat(65)]) {
            assert!(matches!(check_name(name), Err(KeysError::Name)), "{name:?}");
        }
    }

    #[test]
    fn waits_are_told_in_seconds_rounded_up() {
        let error = VerifyError::LockedOut { retry_after: Duration::from_millis(29_001) };
        assert!(error.to_string().ends_with("in 30 s"), "{error}");
        let error = UseError::OutOfQuota { retry_after: Duration::from_secs(60) };
        assert!(error.to_string().ends_with("in 60 s"), "{error}");
    }
}
