//! The file `outbox.sqlite`: where it is, what is in it, and how it is opened.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use super::seal::SealingKeys;
use super::{OutboxError, salvage};
use crate::database::{self, DatabaseError};

const NAME: &str = "outbox.sqlite";

/// For the lock to be let go of, and between two looks whether it is.
const LOCK_TIME: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// How long a start may wait for the check. Every page of the file is read for it, and a backlog of
/// gigabytes must not keep a kiosk from working; what is beyond is found when it is used.
const CHECK_TIME: Duration = Duration::from_millis(500);

/// The write-ahead log gives back what it has beyond that, in bytes.
const WAL_BYTES: i64 = 64 << 20;

/// Times are milliseconds since 1970. A payload lies apart from what is known of it: counting,
/// listing, delivering and burying touch no payload. It says itself whose it is, so that it can be
/// saved where its entry is lost. The totals are kept by the file itself, for all processes.
pub(super) const MIGRATIONS: [&str; 2] = [
    "
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL CHECK (kind IN ('document', 'result')),
        state TEXT NOT NULL CHECK (state IN ('open', 'waiting', 'delivered', 'dead')),
        scan_id TEXT NOT NULL,
        since INTEGER NOT NULL,
        source TEXT,
        attempts INTEGER NOT NULL DEFAULT 0,
        ended_at INTEGER,
        reason TEXT,
        key TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        UNIQUE (kind, scan_id)
    ) STRICT;
    CREATE INDEX entries_in_order ON entries (kind, state, id, key);
    CREATE TABLE payloads (
        id INTEGER PRIMARY KEY REFERENCES entries (id) ON DELETE CASCADE ON UPDATE CASCADE,
        kind TEXT NOT NULL,
        scan_id TEXT NOT NULL,
        sealed BLOB NOT NULL
    ) STRICT;
    CREATE TABLE totals (
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        key TEXT NOT NULL,
        entries INTEGER NOT NULL,
        PRIMARY KEY (kind, state, key)
    ) STRICT, WITHOUT ROWID;
    CREATE TRIGGER entry_comes AFTER INSERT ON entries BEGIN
        INSERT INTO totals VALUES (new.kind, new.state, new.key, 1)
        ON CONFLICT DO UPDATE SET entries = entries + 1;
    END;
    CREATE TRIGGER entry_changes AFTER UPDATE OF state, key ON entries BEGIN
        UPDATE totals SET entries = entries - 1
        WHERE kind = old.kind AND state = old.state AND key = old.key;
        INSERT INTO totals VALUES (new.kind, new.state, new.key, 1)
        ON CONFLICT DO UPDATE SET entries = entries + 1;
    END;
    CREATE TRIGGER entry_goes AFTER DELETE ON entries BEGIN
        UPDATE totals SET entries = entries - 1
        WHERE kind = old.kind AND state = old.state AND key = old.key;
    END;
",
    "
    ALTER TABLE entries ADD COLUMN notes TEXT;
",
];

/// The file's place in the state folder.
pub(super) fn path_in(state: &Path) -> PathBuf {
    state.join(NAME)
}

/// A file's name with something behind it, as SQLite calls its own.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Says that this process has the outbox, until the lock is dropped. An operator's commands do
/// without. A program that was killed may have left a child that has not begun yet, and holds the lock
/// until it does: it is waited for.
pub(super) fn lock(state: &Path) -> Result<File, OutboxError> {
    let path = state.join("outbox.lock");
    database::create(&path)?;
    let failed = |reason| OutboxError::Lock { path: path.clone(), reason };
    let file = OpenOptions::new().write(true).open(&path).map_err(failed)?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_TIME => {
                thread::sleep(LOCK_PAUSE);
            }
            Err(TryLockError::WouldBlock) => return Err(OutboxError::InUse { path }),
            Err(TryLockError::Error(reason)) => return Err(failed(reason)),
        }
    }
}

/// Makes the file where there is none, checks it, and saves what can be saved where it is damaged.
/// Whoever calls it holds the lock.
pub(super) fn prepare(path: &Path, keys: &SealingKeys) -> Result<(), OutboxError> {
    if let Some(damaged) = salvage::interrupted(path)? {
        return salvage::save(path, &damaged, keys);
    }
    match make(path).and_then(|()| check(path)) {
        Err(DatabaseError::Damaged { reason, .. }) => {
            log::error!("the outbox {} is damaged ({reason})", path.display());
            salvage::save(path, &salvage::move_aside(path)?, keys)
        }
        checked => Ok(checked?),
    }
}

/// Makes an outbox with nothing in it.
pub(super) fn make(path: &Path) -> Result<(), DatabaseError> {
    database::create(path)?;
    let failed = |reason| DatabaseError::new(path, reason);
    if path.metadata().is_ok_and(|file| file.len() == 0) {
        // It counts only before anything is in the file; the journal's mode is what is written.
        let connection = Connection::open(path).map_err(failed)?;
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(failed)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    }
    database::open(path, &MIGRATIONS)?;
    Ok(())
}

/// Opens the file, which must be there; what is committed is on the disk.
pub(super) fn open(path: &Path) -> Result<Connection, DatabaseError> {
    let connection = database::open(path, &MIGRATIONS)?;
    let failed = |reason| DatabaseError::new(path, reason);
    database::be_durable(&connection).map_err(failed)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES).map_err(failed)?;
    Ok(connection)
}

/// Notes that damage was met at work: the next start then checks all, however long that takes.
pub(super) fn suspect(path: &Path) {
    if let Err(error) = File::create(mark(path)) {
        log::warn!("cannot note that {} is damaged: {error}", path.display());
    }
}

/// Takes the note away.
pub(super) fn trust(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(mark(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn mark(path: &Path) -> PathBuf {
    beside(path, "-suspect")
}

fn check(path: &Path) -> Result<(), DatabaseError> {
    let connection = database::open(path, &MIGRATIONS)?;
    let failed = |reason| DatabaseError::new(path, reason);
    let limit = if mark(path).exists() { Duration::MAX } else { CHECK_TIME };
    let checked = within(limit, &connection, || {
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
    });
    match checked {
        Ok(said) if said == "ok" => {}
        Ok(said) => return Err(damaged(path, said)),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            log::info!("the outbox is large: its check was ended after {CHECK_TIME:?}");
        }
        Err(error) => return Err(failed(error)),
    }
    trust(path).map_err(|reason| DatabaseError::Create { path: mark(path), reason })
}

fn damaged(path: &Path, reason: String) -> DatabaseError {
    DatabaseError::Damaged { path: path.to_owned(), reason }
}

/// Works on a connection, and interrupts it at the limit.
fn within<T>(limit: Duration, connection: &Connection, work: impl FnOnce() -> T) -> T {
    let interrupt = connection.get_interrupt_handle();
    let (done, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                interrupt.interrupt();
            }
        });
        let result = work();
        drop(done);
        result
    })
}
