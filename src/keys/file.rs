//! The file `keys.sqlite`: where it is, how it is opened, and what is in it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use super::KeysError;

const NAME: &str = "keys.sqlite";

/// How long another process may write. A transaction here takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// What makes version N+1 of the schema from version N; `PRAGMA user_version` says which one a file
/// has. What has been released is never changed, only added to.
///
/// Times are milliseconds since 1970 in UTC; `day` is YYYY-MM-DD in the machine's time zone.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE keys (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        api_key TEXT NOT NULL UNIQUE,
        secret_hash TEXT NOT NULL,
        old_secret_hash TEXT,
        old_secret_until INTEGER,
        quota INTEGER CHECK (quota > 0),
        created_at INTEGER NOT NULL,
        last_used_at INTEGER,
        revoked_at INTEGER
    ) STRICT;
    CREATE TABLE uses (
        scan_id TEXT NOT NULL UNIQUE,
        key_id INTEGER NOT NULL REFERENCES keys (id),
        at INTEGER NOT NULL,
        day TEXT NOT NULL,
        client TEXT NOT NULL,
        way TEXT NOT NULL,
        bytes INTEGER,
        pages INTEGER,
        code TEXT,
        elapsed_ms INTEGER
    ) STRICT;
    -- With the code in it, today's uses of a key are counted without a look at their rows.
    CREATE INDEX uses_by_key_and_day ON uses (key_id, day, code);
"];

const KNOWN: i64 = MIGRATIONS.len() as i64;

/// The file's place in the state folder.
pub(super) fn path_in(state: &Path) -> PathBuf {
    state.join(NAME)
}

/// Makes folder and file where there are none, for this user's eyes only. What is there keeps its
/// mode: whoever runs the machine may have widened it on purpose.
pub(super) fn create(state: &Path) -> Result<(), KeysError> {
    let path = path_in(state);
    let failed = |path: &Path, reason| KeysError::Create { path: path.to_owned(), reason };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(state)
        .map_err(|reason| failed(state, reason))?;
    // SQLite gives its other files, -wal and -shm, the mode of this one.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Err(reason) if reason.kind() != io::ErrorKind::AlreadyExists => Err(failed(&path, reason)),
        _ => Ok(()),
    }
}

/// Opens the file, and brings its schema up to date.
pub(super) fn open(state: &Path) -> Result<Connection, KeysError> {
    let path = path_in(state);
    if !path.exists() {
        return Err(KeysError::Missing { state: state.to_owned() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags);
    let mut connection = connection.map_err(|reason| error(&path, reason))?;
    set_up(&connection).map_err(|reason| error(&path, reason))?;
    migrate(&mut connection, &path)?;
    Ok(connection)
}

/// The write-ahead log lets readers and a writer work at once, and is never torn. With `NORMAL` it
/// reaches the disk only now and then, which is what uses can afford; see [`be_durable`] for keys.
fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    // Some network file systems cannot have it, and the journal instead must not be torn either.
    let synchronous = if mode == "wal" { "NORMAL" } else { "FULL" };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "foreign_keys", true)
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), KeysError> {
    let failed = |reason| error(path, reason);
    if version(connection).map_err(failed)? == KNOWN {
        return Ok(());
    }
    // Another process may be about to do the same: only who holds the write lock knows.
    let transaction = write(connection).map_err(failed)?;
    let found = version(&transaction).map_err(failed)?;
    let Some(missing) = usize::try_from(found).ok().and_then(|found| MIGRATIONS.get(found..))
    else {
        return Err(KeysError::Newer { path: path.to_owned(), found, known: KNOWN });
    };
    for step in missing {
        transaction.execute_batch(step).map_err(failed)?;
    }
    transaction.pragma_update(None, "user_version", KNOWN).map_err(failed)?;
    transaction.commit().map_err(failed)
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// A transaction that holds the write lock from its beginning, so that what it reads stays true.
pub(super) fn write(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// From now on, what this connection commits is on the disk when the commit returns.
pub(super) fn be_durable(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", "FULL")
}

/// Which file this is, whatever its name. Two files of one name differ in it.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// What SQLite says, in words that tell what to do.
pub(super) fn error(path: &Path, reason: rusqlite::Error) -> KeysError {
    let path = path.to_owned();
    match reason.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => KeysError::Busy { path },
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            KeysError::Damaged { path, reason }
        }
        _ => KeysError::File { path, reason },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::thread;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn folder_and_files_are_for_their_user_only() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("var/state");
        create(&state).unwrap();
        let connection = open(&state).unwrap();
        assert_eq!(mode(&state), 0o700);
        assert_eq!(mode(&path_in(&state)), 0o600);
        assert_eq!(mode(&state.join("keys.sqlite-wal")), 0o600);
        drop(connection);
    }

    #[test]
    fn file_has_a_write_ahead_log_foreign_keys_and_its_schemas_version() {
        let folder = tempfile::tempdir().unwrap();
        create(folder.path()).unwrap();
        let connection = open(folder.path()).unwrap();
        let says = |name: &str| -> String {
            let read = |row: &rusqlite::Row<'_>| row.get::<_, rusqlite::types::Value>(0);
            format!("{:?}", connection.query_row(&format!("PRAGMA {name}"), [], read).unwrap())
        };
        assert_eq!(says("journal_mode"), "Text(\"wal\")");
        assert_eq!(says("synchronous"), "Integer(1)");
        assert_eq!(says("foreign_keys"), "Integer(1)");
        assert_eq!(says("busy_timeout"), "Integer(5000)");
        assert_eq!(says("user_version"), format!("Integer({KNOWN})"));
    }

    #[test]
    fn state_without_a_file_is_missing_and_stays_so() {
        let folder = tempfile::tempdir().unwrap();
        let error = open(folder.path()).unwrap_err();
        assert!(matches!(error, KeysError::Missing { .. }), "{error}");
        assert!(error.to_string().contains("keys add NAME --state"), "{error}");
        assert!(!path_in(folder.path()).exists());
    }

    #[test]
    fn file_of_a_later_version_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        create(folder.path()).unwrap();
        let later = KNOWN + 1;
        open(folder.path()).unwrap().pragma_update(None, "user_version", later).unwrap();
        let error = open(folder.path()).unwrap_err();
        assert!(
            matches!(error, KeysError::Newer { found, known: KNOWN, .. } if found == later),
            "{error}"
        );
        let raw = Connection::open(path_in(folder.path())).unwrap();
        assert_eq!(version(&raw).unwrap(), later);
    }

    #[test]
    fn file_that_is_no_database_is_called_damaged() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(path_in(folder.path()), "not a database".repeat(1000)).unwrap();
        let error = open(folder.path()).unwrap_err();
        assert!(matches!(error, KeysError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("backup"), "{error}");
    }

    #[test]
    fn many_may_make_the_first_file_at_once() {
        let folder = tempfile::tempdir().unwrap();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    create(folder.path()).unwrap();
                    open(folder.path()).unwrap();
                });
            }
        });
    }
}
