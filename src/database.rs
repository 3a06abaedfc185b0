//! SQLite files: how they are made, opened and brought up to date, and what their errors mean.
//!
//! Promises:
//! - Files are for this user's eyes only.
//! - A file of a later version of the program is refused and left as it is.
//! - An error says which file it is about and what can be done; it never quotes what is in it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

/// How long another process may write. A transaction here takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// What makes version N+1 of a schema from version N; `PRAGMA user_version` says which one a file
/// has. What has been released is never changed, only added to.
pub type Migrations = [&'static str];

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// A folder or file cannot be made.
    #[error("cannot create {}: {reason}", path.display())]
    Create {
        /// Which one.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// There is no file.
    #[error("there is no {}: what writes to it has not been used here", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file is a later version's.
    #[error(
        "{} was written by a later version of cic-kiosk (schema {found}, this one knows {known}); \
         use that version or a backup from before",
        path.display()
    )]
    Newer {
        /// Where it is.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The schema of this version.
        known: i64,
    },
    /// The file is no database, or no longer.
    #[error(
        "{} is damaged ({reason}); put a backup in its place, or move it away to begin anew",
        path.display()
    )]
    Damaged {
        /// Where it is.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// Another process does not let go of the file.
    #[error("{} is busy: another process has kept it locked; try again", path.display())]
    Busy {
        /// Where it is.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error(
        "cannot use {}: {reason}; check that this user may write to it and its folder, and that \
         there is space left",
        path.display()
    )]
    File {
        /// Where it is.
        path: PathBuf,
        /// What SQLite says.
        reason: rusqlite::Error,
    },
}

impl DatabaseError {
    /// What SQLite says, in words that tell what to do.
    pub fn new(path: &Path, reason: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match reason.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { path },
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Self::Damaged { path, reason: reason.to_string() }
            }
            _ => Self::File { path, reason },
        }
    }
}

/// Makes a file and its folder where there are none, for this user's eyes only. What is there keeps
/// its mode: whoever runs the machine may have widened it on purpose.
pub fn create(path: &Path) -> Result<(), DatabaseError> {
    let failed = |path: &Path, reason| DatabaseError::Create { path: path.to_owned(), reason };
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|reason| failed(folder, reason))?;
    }
    // SQLite gives its other files, -wal and -shm, the mode of this one.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(reason) if reason.kind() != io::ErrorKind::AlreadyExists => Err(failed(path, reason)),
        _ => Ok(()),
    }
}

/// Opens a file that is there, and brings its schema up to date.
pub fn open(path: &Path, migrations: &Migrations) -> Result<Connection, DatabaseError> {
    if !path.exists() {
        return Err(DatabaseError::Missing { path: path.to_owned() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags);
    let mut connection = connection.map_err(|reason| DatabaseError::new(path, reason))?;
    set_up(&connection).map_err(|reason| DatabaseError::new(path, reason))?;
    migrate(&mut connection, path, migrations)?;
    Ok(connection)
}

/// Turns the write-ahead log on; gives the journal that there is then. While others do the same,
/// SQLite says that the file is busy without waiting, as each of them could wait for the other.
fn with_log(connection: &Connection) -> rusqlite::Result<String> {
    let begun = Instant::now();
    loop {
        let mode = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0));
        match mode.as_ref().map_err(rusqlite::Error::sqlite_error_code) {
            Err(Some(ErrorCode::DatabaseBusy)) if begun.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(10));
            }
            _ => return mode,
        }
    }
}

/// The write-ahead log lets readers and a writer work at once, and is never torn. With `NORMAL` it
/// reaches the disk only now and then; see [`be_durable`].
fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    let mode = with_log(connection)?;
    // Some network file systems cannot have it, and the journal instead must not be torn either.
    let synchronous = if mode == "wal" { "NORMAL" } else { "FULL" };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "foreign_keys", true)
}

fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: &Migrations,
) -> Result<(), DatabaseError> {
    let failed = |reason| DatabaseError::new(path, reason);
    let known = migrations.len() as i64;
    if version(connection).map_err(failed)? == known {
        return Ok(());
    }
    // Another process may be about to do the same: only who holds the write lock knows.
    let transaction = write(connection).map_err(failed)?;
    let found = version(&transaction).map_err(failed)?;
    let Some(missing) = usize::try_from(found).ok().and_then(|found| migrations.get(found..))
    else {
        return Err(DatabaseError::Newer { path: path.to_owned(), found, known });
    };
    for step in missing {
        transaction.execute_batch(step).map_err(failed)?;
    }
    transaction.pragma_update(None, "user_version", known).map_err(failed)?;
    transaction.commit().map_err(failed)
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// A transaction that holds the write lock from its beginning, so that what it reads stays true.
pub fn write(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// From now on, what this connection commits is on the disk when the commit returns.
pub fn be_durable(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", "FULL")
}

/// Which file this is, whatever its name. Two files of one name differ in it.
pub fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const MIGRATIONS: &Migrations = &["CREATE TABLE a (b TEXT) STRICT", "SELECT 1"];

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn made(folder: &Path) -> (PathBuf, Connection) {
        let path = folder.join("var/state/some.sqlite");
        create(&path).unwrap();
        let connection = open(&path, &["CREATE TABLE a (b TEXT) STRICT"]).unwrap();
        (path, connection)
    }

    #[test]
    fn folder_and_files_are_for_their_user_only() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _connection) = made(folder.path());
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&path.with_extension("sqlite-wal")), 0o600);
    }

    #[test]
    fn file_has_a_write_ahead_log_foreign_keys_and_its_schemas_version() {
        let folder = tempfile::tempdir().unwrap();
        let (_, connection) = made(folder.path());
        let says = |name: &str| -> String {
            let read = |row: &rusqlite::Row<'_>| row.get::<_, rusqlite::types::Value>(0);
            format!("{:?}", connection.query_row(&format!("PRAGMA {name}"), [], read).unwrap())
        };
        assert_eq!(says("journal_mode"), "Text(\"wal\")");
        assert_eq!(says("synchronous"), "Integer(1)");
        assert_eq!(says("foreign_keys"), "Integer(1)");
        assert_eq!(says("busy_timeout"), "Integer(5000)");
        assert_eq!(says("user_version"), "Integer(1)");
        be_durable(&connection).unwrap();
        assert_eq!(says("synchronous"), "Integer(2)");
    }

    #[test]
    fn file_of_an_earlier_version_is_brought_up_to_date_and_keeps_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let (path, connection) = made(folder.path());
        connection.execute("INSERT INTO a VALUES ('kept')", []).unwrap();
        drop(connection);
        let steps = ["CREATE TABLE a (b TEXT) STRICT", "ALTER TABLE a ADD COLUMN c INTEGER"];
        let connection = open(&path, &steps).unwrap();
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let kept: (String, Option<i64>) =
            connection.query_row("SELECT b, c FROM a", [], row).unwrap();
        assert_eq!(kept, ("kept".to_owned(), None));
        assert_eq!(version(&connection).unwrap(), 2);
    }

    #[test]
    fn file_of_a_later_version_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (path, connection) = made(folder.path());
        connection.pragma_update(None, "user_version", 3).unwrap();
        drop(connection);
        let error = open(&path, MIGRATIONS).unwrap_err();
        assert!(matches!(error, DatabaseError::Newer { found: 3, known: 2, .. }), "{error}");
        assert_eq!(version(&Connection::open(path).unwrap()).unwrap(), 3);
    }

    #[test]
    fn file_that_is_no_database_is_called_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.sqlite");
        fs::write(&path, "not a database".repeat(1000)).unwrap();
        let error = open(&path, MIGRATIONS).unwrap_err();
        assert!(matches!(error, DatabaseError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("backup"), "{error}");
    }

    #[test]
    fn many_may_make_the_first_file_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.sqlite");
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    create(&path).unwrap();
                    open(&path, MIGRATIONS).unwrap();
                });
            }
        });
    }
}
