//! The file `keys.sqlite`: where it is, and what is in it.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::KeysError;
use crate::database;

const NAME: &str = "keys.sqlite";

/// Times are milliseconds since 1970 in UTC; `day` is YYYY-MM-DD in the machine's time zone.
const MIGRATIONS: [&str; 2] = [
    "
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
",
    "
    CREATE TABLE looks (
        at INTEGER NOT NULL,
        day TEXT NOT NULL,
        key_id INTEGER NOT NULL REFERENCES keys (id),
        scan_id TEXT NOT NULL
    ) STRICT;
",
];

/// The file's place in the state folder.
pub(super) fn path_in(state: &Path) -> PathBuf {
    state.join(NAME)
}

/// Makes folder and file where there are none.
pub(super) fn create(state: &Path) -> Result<(), KeysError> {
    Ok(database::create(&path_in(state))?)
}

/// Opens the file, which must be there.
pub(super) fn open(state: &Path) -> Result<Connection, KeysError> {
    let path = path_in(state);
    if !path.exists() {
        return Err(KeysError::Missing { state: state.to_owned() });
    }
    Ok(database::open(&path, &MIGRATIONS)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_without_a_file_is_missing_and_stays_so() {
        let folder = tempfile::tempdir().unwrap();
        let error = open(folder.path()).unwrap_err();
        assert!(matches!(error, KeysError::Missing { .. }), "{error}");
        assert!(error.to_string().contains("keys add NAME --state"), "{error}");
        assert!(!path_in(folder.path()).exists());
    }
}
