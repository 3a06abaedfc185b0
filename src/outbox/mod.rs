//! The outbox: documents that wait to be read, and results that wait for the broker, in one file.
//!
//! Promises:
//! - What [`Outbox::accept`], [`Outbox::put`] and [`Outbox::finish`] have returned `Ok` for is on the
//!   disk, and stays until it is delivered or an operator purges it. A result comes and its document
//!   goes in one transaction.
//! - Nothing is ever dropped in silence. At a limit (entries, bytes, space on the disk, age of the
//!   oldest result that waits) new documents are refused with what to do; what was accepted may always be finished. What
//!   cannot be read, sent or opened becomes a dead letter, which keeps its payload and counts towards
//!   the limits.
//! - Payloads are sealed (see `seal`), each to its scan and kind. One whose key is not here stays,
//!   is counted, and holds nobody up.
//! - A scan whose pages come one by one is read when its source says that all are there. One whose
//!   source never does is set aside after an hour.
//! - An attempt to read a document is counted before it begins: a document that takes the program
//!   down is set aside after so many times.
//! - A file that is damaged is moved aside at the start, and all that can still be read of it is
//!   carried over. Damage met at work is an error, and the next start repairs it.
//! - Order is the order of coming, never that of the clock. The wall clock decides four things. An
//!   age: put forward it makes results look old, so that documents may be refused until those are
//!   delivered; put back it makes them look new. When what was delivered is erased: put forward at
//!   once, put back after one more such time. And what is shown. What waits is never erased by time.
//! - One process owns the outbox; commands beside it are let in, and what they put back into the queue
//!   is noticed within seconds.
//!
//! After an error nothing of the call is in the file, with one exception: where the power fails just
//! after the disk did, what was refused may be there after all. It is then done twice, not lost.
//!
//! Content that is deleted stays on the disk until its place is used again, but sealed: overwriting
//! it (`secure_delete`) would double what is written to a flash disk, and could promise nothing there.

mod console;
mod fate;
mod file;
mod handle;
mod link;
mod news;
mod pages;
mod recent;
mod salvage;
mod seal;
mod store;
#[cfg(test)]
mod tests;
mod wipe;
mod writer;

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use cic_kiosk::config;
use cic_kiosk::page::Files;
use jiff::Timestamp;
use serde::Serialize;
use ulid::Ulid;

pub use console::{Console, Entry, Resealed, Which};
pub use fate::Fate;
pub use pages::Notes;
pub use recent::{Recent, Summary};
pub use seal::{KeyId, Salt, SealingKeys, fresh_key};
pub use wipe::wipe;

use self::link::Link;
use self::news::News;
use self::store::Taken;
use self::writer::Writer;
use crate::database::DatabaseError;

/// The reason of a dead letter that does not open although its key is here.
const DAMAGED: &str = "damaged";

/// A place in the order of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Seq(pub i64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A document that waits to be read.
    Document,
    /// A result that waits for the broker.
    Result,
}

impl Kind {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Result => "result",
        }
    }

    fn from_stored(text: &str) -> Option<Self> {
        [Self::Document, Self::Result].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Where a document comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The HTTP API.
    Api,
    /// The camera.
    Camera,
    /// A document scanner by eSCL.
    Escl,
    /// The hot folder.
    Folder,
    /// A document scanner through SANE.
    Sane,
    /// `cic-kiosk submit`.
    Submit,
}

impl Source {
    const ALL: [Self; 6] =
        [Self::Api, Self::Camera, Self::Escl, Self::Folder, Self::Sane, Self::Submit];

    /// As it is stored, and as people call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Camera => "camera",
            Self::Escl => "escl",
            Self::Folder => "folder",
            Self::Sane => "sane",
            Self::Submit => "submit",
        }
    }

    /// The one that is called so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == name)
    }
}

/// A document in work.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    /// Whose it is.
    pub scan_id: Ulid,
    /// Where it came from; `None` where that was lost with a damaged file.
    pub source: Option<Source>,
    /// When it was accepted, by the wall clock of then.
    pub accepted_at: Timestamp,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// What is known of it.
    pub notes: Notes,
    /// The document.
    pub files: Files,
}

/// A result that waits for the broker.
#[derive(Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its place in the order.
    pub seq: Seq,
    /// Whose it is.
    pub scan_id: Ulid,
    /// The result.
    pub payload: Vec<u8>,
}

/// Without the document.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Document")
            .field("scan_id", &self.scan_id)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// Without the result.
impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Waiting")
            .field("seq", &self.seq)
            .field("scan_id", &self.scan_id)
            .finish_non_exhaustive()
    }
}

/// What [`Outbox::tidy`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Delivered results that were erased.
    pub erased: usize,
}

/// How things stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Documents that wait to be read, are being read, or whose pages are still coming.
    pub documents: u64,
    /// Results that wait for the broker.
    pub results_waiting: u64,
    /// How long the first of them has waited, by the wall clock.
    pub oldest_waiting_age: Option<Duration>,
    /// Results that the broker has, and that are not erased yet.
    pub delivered_kept: u64,
    /// Dead letters.
    pub dead: u64,
    /// Bytes of the file that hold something.
    pub bytes: u64,
    /// Entries that are sealed with keys that are not here.
    pub unreadable_by_key: Vec<(KeyId, u64)>,
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// There is too much.
    #[error(
        "{most} documents, results and dead letters are in it (outbox.max_entries): see that the \
         broker can be reached, and look at `cic-kiosk outbox list` for dead letters"
    )]
    Entries {
        /// The limit.
        most: u64,
    },
    /// The file would be too large.
    #[error(
        "its file would be larger than {most} bytes (outbox.max_bytes): see that the broker can be \
         reached, and look at `cic-kiosk outbox list` for dead letters"
    )]
    Bytes {
        /// The limit.
        most: u64,
    },
    /// The disk is nearly full.
    #[error(
        "the disk has less than {least} bytes of space left (outbox.min_free_bytes): make room on it"
    )]
    Space {
        /// The limit.
        least: u64,
    },
    /// The broker has not been there for too long.
    #[error(
        "a result has waited since {since} for the broker, more than {days} days \
         (outbox.max_age_days): see that the broker can be reached and that the clock is right"
    )]
    Age {
        /// When the oldest was made.
        since: Timestamp,
        /// The limit.
        days: u32,
    },
}

/// Why the outbox did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// Nothing new is accepted.
    #[error("the outbox is full: {0}")]
    Full(Full),
    /// The disk failed when something was last written.
    #[error("the disk of the outbox fails; the log says how")]
    Failing,
    /// The disk did not take it.
    #[error("nothing was stored in the outbox: {reason}")]
    NotStored {
        /// Why.
        reason: Arc<DatabaseError>,
    },
    /// The file is of no use.
    #[error(transparent)]
    Database(DatabaseError),
    /// The file has damage.
    #[error(
        "the outbox {} is damaged ({reason}): start `cic-kiosk run` again, which saves what can be \
         read of it",
        path.display()
    )]
    Damaged {
        /// Where it is.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// One step was refused by SQLite.
    #[error("the outbox refused this: {reason}")]
    Failed {
        /// What SQLite says.
        reason: rusqlite::Error,
    },
    /// There is none.
    #[error("there is no outbox in {}: `cic-kiosk run` makes it", state.display())]
    Missing {
        /// The state folder.
        state: PathBuf,
    },
    /// Another process has it.
    #[error(
        "another `cic-kiosk run` holds {}: stop it first, or give this one another kiosk.state",
        path.display()
    )]
    InUse {
        /// The lock's file.
        path: PathBuf,
    },
    /// Something of it is still there.
    #[error("not everything was erased: {reason}")]
    NotErased {
        /// Why.
        reason: io::Error,
    },
    /// It cannot be said that this process has it.
    #[error("cannot lock {}: {reason}", path.display())]
    Lock {
        /// The lock's file.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// A damaged file cannot be moved.
    #[error(
        "the outbox {} is damaged and cannot be moved aside: {reason}; check that this user may \
         write to its folder",
        path.display()
    )]
    Aside {
        /// Where it is.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// The thread that writes cannot begin.
    #[error("cannot start the outbox's thread: {0}")]
    Thread(io::Error),
    /// Pages come in order.
    #[error("page {number} of the scan {scan_id} cannot be taken: the one before it is missing")]
    PageMissing {
        /// Which scan.
        scan_id: String,
        /// Which page, counted from 1.
        number: usize,
    },
    /// There is nothing of this name.
    #[error("the outbox has no {what}, or not any more; `cic-kiosk outbox list` shows what it has")]
    Unknown {
        /// A scan id, or a place in the order.
        what: String,
    },
    /// The key is not here.
    #[error(
        "it is sealed with the key {key}, which is not here: put that key into the credential \
         outbox-key-old"
    )]
    KeyMissing {
        /// Which one.
        key: KeyId,
    },
    /// A payload does not open.
    #[error("what the outbox holds of the scan {scan_id} is damaged: it does not open")]
    Unopened {
        /// Which scan.
        scan_id: String,
    },
    /// The system has no random bytes.
    #[error("the system gives no random bytes")]
    NoRandom,
    /// Nothing of this length can be sealed.
    #[error("it is too long to be sealed")]
    TooLong,
    /// It has ended.
    #[error("the outbox is closed")]
    Closed,
}

impl From<DatabaseError> for OutboxError {
    fn from(error: DatabaseError) -> Self {
        match error {
            // There is no backup of what comes and goes, and nobody needs one.
            DatabaseError::Damaged { path, reason } => Self::Damaged { path, reason },
            error => Self::Database(error),
        }
    }
}

impl OutboxError {
    fn not_stored(reason: Arc<DatabaseError>) -> Self {
        match &*reason {
            DatabaseError::Damaged { path, reason } => {
                Self::Damaged { path: path.clone(), reason: reason.clone() }
            }
            _ => Self::NotStored { reason },
        }
    }

    fn aside(path: &Path, reason: io::Error) -> Self {
        Self::Aside { path: path.to_owned(), reason }
    }
}

/// Why a step failed: by what SQLite says, or by what we do.
enum Fault {
    Sqlite(rusqlite::Error),
    Refused(OutboxError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<OutboxError> for Fault {
    fn from(error: OutboxError) -> Self {
        Self::Refused(error)
    }
}

/// What time it is; in tests, what time it is said to be.
type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// The outbox of a state folder. Copies are the same one.
#[derive(Clone)]
pub struct Outbox {
    inner: Arc<Inner>,
}

struct Inner {
    keys: SealingKeys,
    limits: RwLock<config::Outbox>,
    clock: Clock,
    /// Reading never waits for the disk to have written.
    reader: Arc<Mutex<Link>>,
    news: Arc<News>,
    in_work: Arc<InWork>,
    // Before the lock: it is let go when all is written.
    writer: Writer,
    _lock: File,
}

/// The scans whose documents are in work in this process.
#[derive(Default)]
struct InWork(Mutex<HashSet<String>>);

impl InWork {
    fn scans(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A document that is in work until this is dropped, unless it is kept.
struct Claim {
    taken: Taken,
    in_work: Arc<InWork>,
    kept: bool,
}

impl Claim {
    fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.kept {
            self.in_work.scans().remove(&self.taken.scan_id);
        }
    }
}
