//! A connection that is opened anew after it has failed.

use std::path::PathBuf;

use rusqlite::{Connection, ErrorCode};

use super::file;
use crate::database::{self, DatabaseError};

/// A connection to the outbox, which may be closed for the moment.
pub(super) struct Link {
    path: PathBuf,
    /// With the identity of the file that was opened.
    open: Option<(Connection, Option<(u64, u64)>)>,
}

impl Link {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    /// The connection. Where another file has taken the place of the one that was opened, or none
    /// has, what is written to the old one would be lost.
    pub(super) fn connection(&mut self) -> Result<&mut Connection, DatabaseError> {
        let there = database::identity(&self.path);
        let open = match self.open.take() {
            Some(open) if there.is_some() && open.1 == there => open,
            _ => (file::open(&self.path)?, database::identity(&self.path)),
        };
        Ok(&mut self.open.insert(open).0)
    }

    /// What SQLite says. After an error of the disk it is in doubt what SQLite remembers of the
    /// file: the next to come opens it anew.
    pub(super) fn failed(&mut self, reason: rusqlite::Error) -> DatabaseError {
        if is_of_the_file(&reason) {
            self.open = None;
        }
        let error = DatabaseError::new(&self.path, reason);
        if matches!(error, DatabaseError::Damaged { .. }) {
            file::suspect(&self.path);
        }
        error
    }

    /// Moves the write-ahead log into the file and closes it.
    pub(super) fn close(&mut self) {
        if let Some((connection, _)) = self.open.take()
            && let Err(error) = checkpoint(&connection)
        {
            log::warn!("the outbox's write-ahead log stays as it is: {error}");
        }
    }
}

/// Moves the whole write-ahead log into the file, as soon as nobody else holds it back.
pub(super) fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// Moves of the write-ahead log what can be moved without waiting for anybody.
pub(super) fn checkpoint_some(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

/// Whether it is no matter of one statement: whatever else is in the transaction fails with it.
pub(super) fn is_of_the_file(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::SystemIoFailure
                | ErrorCode::DiskFull
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::OutOfMemory
                | ErrorCode::DatabaseBusy
        )
    )
}
