//! What is new in the file, whichever process has put it there.

use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use tokio::sync::watch;

use super::{Kind, Seq};
use crate::database::DatabaseError;

/// Who waits for something is woken here.
pub(super) struct News {
    results: watch::Sender<Seq>,
    documents: watch::Sender<i64>,
    disk_fails: AtomicBool,
    damaged: watch::Sender<bool>,
}

impl News {
    /// From what is in the file now.
    pub(super) fn new(connection: &Connection) -> rusqlite::Result<Self> {
        let newest = |kind| newest(connection, kind);
        Ok(Self {
            results: watch::Sender::new(Seq(newest(Kind::Result)?)),
            documents: watch::Sender::new(newest(Kind::Document)?),
            disk_fails: AtomicBool::new(false),
            damaged: watch::Sender::new(false),
        })
    }

    pub(super) fn results(&self) -> watch::Receiver<Seq> {
        self.results.subscribe()
    }

    pub(super) fn documents(&self) -> watch::Receiver<i64> {
        self.documents.subscribe()
    }

    /// Whether the disk failed when something was last written.
    pub(super) fn does_disk_fail(&self) -> bool {
        self.disk_fails.load(Ordering::Relaxed)
    }

    pub(super) fn disk_fails(&self, fails: bool) {
        self.disk_fails.store(fails, Ordering::Relaxed);
    }

    /// Takes note where an error tells of damage.
    pub(super) fn hear(&self, error: &DatabaseError) {
        if matches!(error, DatabaseError::Damaged { .. }) {
            self.damaged.send_replace(true);
        }
    }

    pub(super) fn damage(&self) -> watch::Receiver<bool> {
        self.damaged.subscribe()
    }

    /// A document can be taken again.
    pub(super) fn document_again(&self) {
        self.documents.send_modify(|_| {});
    }

    /// Looks what is new, and wakes who waits for it.
    pub(super) fn look(&self, connection: &Connection) -> rusqlite::Result<()> {
        raise(&self.results, Seq(newest(connection, Kind::Result)?));
        raise(&self.documents, newest(connection, Kind::Document)?);
        Ok(())
    }
}

fn raise<T: PartialOrd + Copy>(sender: &watch::Sender<T>, newest: T) {
    sender.send_if_modified(|known| {
        let is_new = newest > *known;
        if is_new {
            *known = newest;
        }
        is_new
    });
}

/// The newest that waits.
fn newest(connection: &Connection, kind: Kind) -> rusqlite::Result<i64> {
    let query = "SELECT coalesce(max(id), 0) FROM entries WHERE kind = ?1 AND state = 'waiting'";
    connection.query_row(query, [kind.as_str()], |row| row.get(0))
}
