//! What can be saved of a damaged file.
//!
//! The file is moved aside and kept, and every row that can still be read is carried over into
//! a new one. Payloads say themselves whose they are and prove it, so one is saved without its entry,
//! and one that does not open becomes a dead letter. Saving may be interrupted at any moment: the new
//! file gets its name when it is complete, and until then the next start begins again.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use super::seal::{Closed, KeyId, SealingKeys};
use super::{DAMAGED, Kind, OutboxError, file, link, store};
use crate::database::{self, DatabaseError};

/// Rows that are written at once.
const BATCH: usize = 256;

/// Rows that are looked for, one by one, where a table cannot be walked. With a scan every minute
/// these are two years.
const MOST_PROBED: i64 = 1_000_000;

/// What SQLite has beside a file.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// Moves a damaged file out of the way, with all that belongs to it, and says where it is now.
pub(super) fn move_aside(path: &Path) -> Result<PathBuf, OutboxError> {
    let number = (1..).find(|number| !aside(path, *number).exists()).unwrap_or_default();
    let damaged = aside(path, number);
    // From now on, a start without a file knows that it has to go on here.
    database::create(&fresh(path))?;
    let moved = fs::rename(path, &damaged).and_then(|()| move_companions(path, &damaged));
    moved.map_err(|reason| OutboxError::aside(path, reason))?;
    Ok(damaged)
}

/// The file that was moved aside last, where it was not saved to the end.
pub(super) fn interrupted(path: &Path) -> Result<Option<PathBuf>, OutboxError> {
    if path.exists() || !fresh(path).exists() {
        return Ok(None);
    }
    let aside = (1..).map(|number| aside(path, number)).take_while(|aside| aside.exists()).last();
    if let Some(damaged) = &aside {
        move_companions(path, damaged).map_err(|reason| OutboxError::aside(path, reason))?;
    }
    Ok(aside)
}

/// The new file, until it is complete.
fn fresh(path: &Path) -> PathBuf {
    file::beside(path, ".new")
}

fn aside(path: &Path, number: u32) -> PathBuf {
    file::beside(path, &format!(".damaged-{number}"))
}

/// The write-ahead log has what the file has not yet.
fn move_companions(path: &Path, damaged: &Path) -> io::Result<()> {
    for suffix in COMPANIONS {
        let (from, to) = (file::beside(path, suffix), file::beside(damaged, suffix));
        if from.exists() && !to.exists() {
            fs::rename(from, to)?;
        }
    }
    Ok(())
}

/// Makes a new file with all that can be read of the damaged one.
pub(super) fn save(path: &Path, damaged: &Path, keys: &SealingKeys) -> Result<(), OutboxError> {
    let fresh = fresh(path);
    let failed = |reason| OutboxError::aside(path, reason);
    File::options().write(true).truncate(true).open(&fresh).map_err(failed)?;
    for suffix in COMPANIONS {
        // Of the last attempt, or of a file that somebody has removed: none belongs to the new one.
        remove(&file::beside(&fresh, suffix)).map_err(failed)?;
        remove(&file::beside(path, suffix)).map_err(failed)?;
    }
    file::make(&fresh)?;
    let mut into = file::open(&fresh)?;
    let saved = match open(damaged) {
        Ok(from) => carry_over(&from, &mut into, keys),
        Err(error) => {
            log::error!("nothing of {} can be read: {error}", damaged.display());
            Ok(Saved::default())
        }
    };
    let saved = saved.map_err(|reason| DatabaseError::new(&fresh, reason))?;
    link::checkpoint(&into).map_err(|reason| DatabaseError::new(&fresh, reason))?;
    drop(into);
    fs::rename(&fresh, path).map_err(failed)?;
    if let Some(folder) = path.parent() {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    }
    file::trust(path).map_err(failed)?;
    log::error!(
        "of the damaged outbox {} entries were saved, {} are dead letters because they are \
         damaged, {} are lost; the damaged file is kept as {}",
        saved.whole,
        saved.damaged,
        saved.lost,
        damaged.display()
    );
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// To read; but SQLite has to write where there is a write-ahead log.
fn open(damaged: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(damaged, flags)?;
    // Otherwise a file that is shorter than its head says would not be read at all.
    connection.pragma_update(None, "writable_schema", true)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    // It stays as it is, log and all.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

#[derive(Default)]
struct Saved {
    whole: u64,
    damaged: u64,
    lost: u64,
}

/// What is known of a payload beside it.
struct Known {
    kind: String,
    state: String,
    scan_id: String,
    since: i64,
    source: Option<String>,
    attempts: u32,
    ended_at: Option<i64>,
    reason: Option<String>,
    key: String,
}

struct Blob {
    kind: String,
    scan_id: String,
    sealed: Vec<u8>,
}

fn carry_over(
    from: &Connection,
    into: &mut Connection,
    keys: &SealingKeys,
) -> rusqlite::Result<Saved> {
    let mut saved = Saved::default();
    let mut ids = ids(from, "payloads");
    ids.append(&mut self::ids(from, "entries"));
    let ids: Vec<i64> = ids.into_iter().collect();
    for batch in ids.chunks(BATCH) {
        let transaction = database::write(into)?;
        for id in batch {
            carry_one(from, &transaction, keys, *id, &mut saved)?;
        }
        transaction.commit()?;
    }
    keep_numbering(from, into)?;
    Ok(saved)
}

fn carry_one(
    from: &Connection,
    into: &Connection,
    keys: &SealingKeys,
    id: i64,
    saved: &mut Saved,
) -> rusqlite::Result<()> {
    let known = known(from, id);
    let Some(blob) = blob(from, id) else {
        if let Some(known) = known {
            log::error!("the {} of the scan {} is lost", known.kind, known.scan_id);
            saved.lost += 1;
        }
        return Ok(());
    };
    let (row, is_whole) = judge(known, &blob, keys);
    if !insert(into, id, &row, &blob.sealed)? {
        saved.lost += 1;
    } else if is_whole {
        saved.whole += 1;
    } else {
        saved.damaged += 1;
    }
    Ok(())
}

/// What is to be known of a payload from now on, and whether it is whole.
fn judge(known: Option<Known>, blob: &Blob, keys: &SealingKeys) -> (Known, bool) {
    let now = store::milliseconds(Timestamp::now());
    let kind = Kind::from_stored(&blob.kind);
    let opened = keys.open(kind.unwrap_or(Kind::Result), &blob.scan_id, blob.sealed.clone());
    let (key, is_whole) = match opened {
        Ok(_) => (KeyId::of(&blob.sealed), true),
        // The head may be what is damaged.
        Err(Closed::KeyMissing(key)) => {
            let is_its_key = known.as_ref().is_none_or(|known| known.key == key.as_str());
            (Some(key), is_its_key && kind.is_some())
        }
        Err(Closed::Damaged) => (KeyId::of(&blob.sealed), false),
    };
    let known = known.unwrap_or_else(|| Known {
        kind: String::new(),
        state: "waiting".to_owned(),
        scan_id: String::new(),
        since: now,
        source: None,
        attempts: 0,
        ended_at: None,
        reason: None,
        key: String::new(),
    });
    let key = key.map_or(known.key, |key| key.to_string());
    // An opened payload has proven what it says of itself.
    let kind = kind.or(Kind::from_stored(&known.kind)).unwrap_or(Kind::Result).as_str().to_owned();
    let scan_id = blob.scan_id.clone();
    let row = if is_whole {
        Known { kind, scan_id, key, ..known }
    } else {
        let (state, reason) = ("dead".to_owned(), Some(DAMAGED.to_owned()));
        Known { kind, scan_id, key, state, reason, ended_at: Some(now), ..known }
    };
    (row, is_whole)
}

/// Whether it was written: what is garbage may contradict the rest.
fn insert(into: &Connection, id: i64, row: &Known, sealed: &[u8]) -> rusqlite::Result<bool> {
    let written = into.execute(
        "INSERT INTO entries (id, kind, state, scan_id, since, source, attempts, ended_at, reason,
            key, bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT DO NOTHING",
        params![
            id,
            row.kind,
            row.state,
            row.scan_id,
            row.since,
            row.source,
            row.attempts,
            row.ended_at,
            row.reason,
            row.key,
            store::length(sealed)
        ],
    )?;
    if written > 0 {
        let kind = Kind::from_stored(&row.kind).unwrap_or(Kind::Result);
        store::insert_payload(into, id, kind, &row.scan_id, sealed)?;
    }
    Ok(written > 0)
}

/// All ids that a table may have: those up to the first damage, those back from the end, and any
/// number between.
fn ids(from: &Connection, table: &str) -> BTreeSet<i64> {
    let walk = |order: &str| {
        let (mut ids, mut is_whole) = (Vec::new(), false);
        if let Ok(mut statement) =
            from.prepare(&format!("SELECT id FROM {table} NOT INDEXED {order}"))
            && let Ok(mut rows) = statement.query([])
        {
            is_whole = loop {
                match rows.next().and_then(|row| row.map(|row| row.get(0)).transpose()) {
                    Ok(Some(id)) => ids.push(id),
                    Ok(None) => break true,
                    Err(_) => break false,
                }
            };
        }
        (ids, is_whole)
    };
    let (forward, is_whole) = walk("ORDER BY id");
    let mut all: BTreeSet<i64> = forward.iter().copied().collect();
    if !is_whole {
        let (backward, _) = walk("ORDER BY id DESC");
        let last = backward.last().copied().or_else(|| numbering(from));
        let first = forward.last().map_or(1, |last| last.saturating_add(1));
        all.extend(backward);
        if let Some(last) = last {
            all.extend(first.max(last.saturating_sub(MOST_PROBED))..=last);
        }
    }
    all
}

fn blob(from: &Connection, id: i64) -> Option<Blob> {
    let read =
        |row: &Row<'_>| Ok(Blob { kind: row.get(0)?, scan_id: row.get(1)?, sealed: row.get(2)? });
    let query = "SELECT kind, scan_id, sealed FROM payloads WHERE id = ?1";
    from.query_row(query, [id], read).ok()
}

fn known(from: &Connection, id: i64) -> Option<Known> {
    let read = |row: &Row<'_>| {
        let known = Known {
            kind: row.get(0)?,
            state: row.get(1)?,
            scan_id: row.get(2)?,
            since: row.get(3)?,
            source: row.get(4)?,
            attempts: row.get(5)?,
            ended_at: row.get(6)?,
            reason: row.get(7)?,
            key: row.get(8)?,
        };
        Ok(matches!(known.state.as_str(), "open" | "waiting" | "delivered" | "dead")
            .then_some(known))
    };
    let query = "SELECT kind, state, scan_id, since, source, attempts, ended_at, reason, key
                 FROM entries NOT INDEXED WHERE id = ?1";
    from.query_row(query, [id], read).ok().flatten()
}

/// A place that was given once is not given again.
fn keep_numbering(from: &Connection, into: &Connection) -> rusqlite::Result<()> {
    let Some(last) = numbering(from) else { return Ok(()) };
    let query = "UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'entries'";
    if into.execute(query, [last])? == 0 {
        into.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('entries', ?1)", [last])?;
    }
    Ok(())
}

fn numbering(from: &Connection) -> Option<i64> {
    let query = "SELECT seq FROM sqlite_sequence WHERE name = 'entries'";
    from.query_row(query, [], |row| row.get(0)).optional().ok().flatten()
}
