//! What is done to the file, step by step. Each of these runs inside somebody's transaction.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use cic_kiosk::config;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::file::MIGRATIONS;
use super::seal::{KeyId, SealingKeys};
use super::{Fault, Figures, Full, Kind, OutboxError, Seq, Source};

/// What is new, sealed already.
pub(super) struct New {
    pub(super) kind: Kind,
    pub(super) scan_id: String,
    pub(super) since: i64,
    pub(super) source: Option<Source>,
    pub(super) key: KeyId,
    pub(super) sealed: Vec<u8>,
}

/// A document that is somebody's now.
pub(super) struct Taken {
    pub(super) id: i64,
    pub(super) scan_id: String,
    pub(super) source: String,
    pub(super) accepted_at: i64,
    pub(super) attempt: u32,
    pub(super) notes: Option<String>,
}

/// A payload as it lies in the file.
pub(super) struct Payload {
    pub(super) scan_id: String,
    pub(super) sealed: Vec<u8>,
}

/// As times are stored.
pub(super) fn milliseconds(time: Timestamp) -> i64 {
    time.as_millisecond()
}

/// As times are shown. They fit unless somebody changed them by hand.
pub(super) fn timestamp(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or_default()
}

/// Adds what is new and not there; its place in the order is behind all others.
pub(super) fn insert(connection: &Connection, new: &New) -> rusqlite::Result<i64> {
    let source = new.source.map(Source::as_str);
    connection.execute(
        "INSERT INTO entries (kind, state, scan_id, since, source, key, bytes)
         VALUES (?1, 'waiting', ?2, ?3, ?4, ?5, ?6)",
        params![
            new.kind.as_str(),
            new.scan_id,
            new.since,
            source,
            new.key.as_str(),
            length(&new.sealed)
        ],
    )?;
    let id = connection.last_insert_rowid();
    insert_payload(connection, id, new.kind, &new.scan_id, &new.sealed)?;
    Ok(id)
}

pub(super) fn insert_payload(
    connection: &Connection,
    id: i64,
    kind: Kind,
    scan_id: &str,
    sealed: &[u8],
) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO payloads (id, kind, scan_id, sealed) VALUES (?1, ?2, ?3, ?4)",
        params![id, kind.as_str(), scan_id, sealed],
    )?;
    Ok(())
}

/// SQLite's integers have a sign.
pub(super) fn length(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

/// The id of what there is of a scan.
pub(super) fn find(
    connection: &Connection,
    kind: Kind,
    scan_id: &str,
) -> rusqlite::Result<Option<i64>> {
    let query = "SELECT id FROM entries WHERE kind = ?1 AND scan_id = ?2";
    connection.query_row(query, params![kind.as_str(), scan_id], |row| row.get(0)).optional()
}

/// Puts another payload in the place of one, if that is still there.
pub(super) fn replace(
    connection: &Connection,
    id: i64,
    key: &KeyId,
    sealed: &[u8],
) -> rusqlite::Result<bool> {
    let query = "UPDATE payloads SET sealed = ?2 WHERE id = ?1";
    let is_there = connection.execute(query, params![id, sealed])? > 0;
    let query = "UPDATE entries SET key = ?2, bytes = ?3 WHERE id = ?1";
    connection.execute(query, params![id, key.as_str(), length(sealed)])?;
    Ok(is_there)
}

/// Refuses what is new where the outbox is full. What the broker has already is given up before
/// that.
pub(super) fn admit(
    connection: &Connection,
    limits: &config::Outbox,
    now: i64,
    bytes: usize,
) -> Result<(), Fault> {
    check_waiting(connection, limits, now)?;
    let most = limits.max_bytes.get();
    while used_bytes(connection)?.saturating_add(bytes as u64) > most {
        if erase_delivered(connection, i64::MAX)? == 0 {
            return full(Full::Bytes { most });
        }
    }
    Ok(())
}

/// Refuses where the outbox is full whatever comes.
pub(super) fn check(
    connection: &Connection,
    limits: &config::Outbox,
    now: i64,
) -> Result<(), Fault> {
    check_waiting(connection, limits, now)?;
    let most = limits.max_bytes.get();
    let delivered =
        "SELECT EXISTS (SELECT 1 FROM totals WHERE state = 'delivered' AND entries > 0)";
    let delivered: bool = connection.query_row(delivered, [], |row| row.get(0))?;
    if used_bytes(connection)? >= most && !delivered {
        return full(Full::Bytes { most });
    }
    Ok(())
}

fn check_waiting(connection: &Connection, limits: &config::Outbox, now: i64) -> Result<(), Fault> {
    let least = limits.min_free_bytes;
    if free_bytes(connection).is_some_and(|free| free < least) {
        return full(Full::Space { least });
    }
    let entries: i64 = connection.query_row(
        "SELECT coalesce(sum(entries), 0) FROM totals WHERE state != 'delivered'",
        [],
        |row| row.get(0),
    )?;
    if entries.unsigned_abs() >= limits.max_entries.get() {
        return full(Full::Entries { most: limits.max_entries.get() });
    }
    if let Some(oldest) = oldest_result(connection)?
        && u128::from(now.saturating_sub(oldest).max(0).unsigned_abs())
            > limits.max_age().as_millis()
    {
        return full(Full::Age { since: timestamp(oldest), days: limits.max_age_days.get() });
    }
    Ok(())
}

/// Writes something that changes nothing.
pub(super) fn touch(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "user_version", MIGRATIONS.len() as i64)
}

/// What is free on the disk of a file, for us; `None` where nobody knows.
fn free_bytes(connection: &Connection) -> Option<u64> {
    let disk = rustix::fs::statvfs(connection.path()?).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn full(full: Full) -> Result<(), Fault> {
    Err(OutboxError::Full(full).into())
}

/// Since when the first result in order waits.
pub(super) fn oldest_result(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let query = "SELECT since FROM entries WHERE kind = 'result' AND state = 'waiting'
                 ORDER BY id LIMIT 1";
    connection.query_row(query, [], |row| row.get(0)).optional()
}

/// Bytes of the file that hold something; what is free in it will be used again.
pub(super) fn used_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let query = "SELECT (page_count - freelist_count) * page_size
                 FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
    connection.query_row(query, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

/// Takes the first document that can be opened and is not in work, and counts the attempt. One that
/// was attempted too often dies, and the next is tried.
pub(super) fn take(
    connection: &Connection,
    keys: &SealingKeys,
    in_work: &HashSet<String>,
    most_attempts: u32,
    now: i64,
) -> rusqlite::Result<Option<Taken>> {
    let mut documents = connection.prepare(
        "SELECT id, scan_id, source, since, attempts, notes FROM entries
         WHERE kind = 'document' AND state = 'waiting'
            AND key IN (SELECT value FROM json_each(?1))
         ORDER BY id",
    )?;
    let mut rows = documents.query([known(keys)])?;
    while let Some(row) = rows.next()? {
        let document = Taken {
            id: row.get(0)?,
            scan_id: row.get(1)?,
            source: row.get::<_, Option<String>>(2)?.unwrap_or_default(),
            accepted_at: row.get(3)?,
            attempt: row.get::<_, u32>(4)?.saturating_add(1),
            notes: row.get(5)?,
        };
        if in_work.contains(&document.scan_id) {
            continue;
        }
        if document.attempt > most_attempts {
            let reason = format!("it was begun {most_attempts} times and never finished");
            bury(connection, document.id, &reason, now)?;
            continue;
        }
        let count = "UPDATE entries SET attempts = ?2 WHERE id = ?1";
        connection.execute(count, params![document.id, document.attempt])?;
        return Ok(Some(document));
    }
    Ok(None)
}

/// Gives a document's attempt back.
pub(super) fn put_back(connection: &Connection, scan_id: &str) -> rusqlite::Result<usize> {
    connection.execute(
        "UPDATE entries SET attempts = max(attempts - 1, 0)
         WHERE kind = 'document' AND scan_id = ?1",
        [scan_id],
    )
}

/// Puts a result in the place of its document. What is finished already stays as it is.
pub(super) fn finish(connection: &Connection, result: &New) -> Result<Seq, Fault> {
    let removed = connection.execute(
        "DELETE FROM entries WHERE kind = 'document' AND scan_id = ?1",
        [&result.scan_id],
    )?;
    match find(connection, Kind::Result, &result.scan_id)? {
        Some(id) => Ok(Seq(id)),
        None if removed == 0 => Err(OutboxError::Unknown { what: result.scan_id.clone() }.into()),
        None => Ok(Seq(insert(connection, result)?)),
    }
}

/// Makes something a dead letter, payload and all.
pub(super) fn bury(
    connection: &Connection,
    id: i64,
    reason: &str,
    now: i64,
) -> rusqlite::Result<usize> {
    connection.execute(
        "UPDATE entries SET state = 'dead', reason = ?2, ended_at = ?3
         WHERE id = ?1 AND state = 'waiting'",
        params![id, reason, now],
    )
}

/// Notes that the broker has these.
pub(super) fn delivered(connection: &Connection, seqs: &[Seq], now: i64) -> rusqlite::Result<()> {
    let mut deliver = connection.prepare(
        "UPDATE entries SET state = 'delivered', ended_at = ?2
         WHERE id = ?1 AND kind = 'result' AND state = 'waiting'",
    )?;
    for seq in seqs {
        deliver.execute(params![seq.0, now])?;
    }
    Ok(())
}

/// The id of the next result that waits behind this one and whose key is here, and its payload.
pub(super) fn next_result(
    connection: &Connection,
    keys: &SealingKeys,
    after: i64,
) -> rusqlite::Result<Option<(i64, Option<Payload>)>> {
    let id = connection
        .query_row(
            "SELECT id FROM entries
             WHERE kind = 'result' AND state = 'waiting' AND id > ?1
                AND key IN (SELECT value FROM json_each(?2))
             ORDER BY id LIMIT 1",
            params![after, known(keys)],
            |row| row.get(0),
        )
        .optional()?;
    let Some(id) = id else { return Ok(None) };
    Ok(Some((id, payload_of(connection, id)?)))
}

/// A result that waits.
pub(super) fn result(connection: &Connection, seq: Seq) -> rusqlite::Result<Option<Payload>> {
    connection
        .query_row(
            "SELECT e.scan_id, sealed FROM entries e JOIN payloads USING (id)
             WHERE id = ?1 AND e.kind = 'result' AND e.state = 'waiting'",
            [seq.0],
            payload,
        )
        .optional()
}

/// A payload, whatever became of it. Whose it is its entry says: what it says itself would always be
/// right.
pub(super) fn payload_of(connection: &Connection, id: i64) -> rusqlite::Result<Option<Payload>> {
    let query = "SELECT e.scan_id, sealed FROM entries e JOIN payloads USING (id) WHERE id = ?1";
    connection.query_row(query, [id], payload).optional()
}

fn payload(row: &Row<'_>) -> rusqlite::Result<Payload> {
    Ok(Payload { scan_id: row.get(0)?, sealed: row.get(1)? })
}

/// What is erased at once: long enough for the work to be worth it, short enough to let others in.
const ERASED_AT_ONCE: i64 = 500;

/// Erases some of what was delivered until then, and says how much.
pub(super) fn erase_delivered(connection: &Connection, until: i64) -> rusqlite::Result<usize> {
    connection.execute(
        "DELETE FROM entries WHERE id IN (
            SELECT id FROM entries
            WHERE kind = 'result' AND state = 'delivered' AND ended_at <= ?1
            ORDER BY id LIMIT ?2
         )",
        params![until, ERASED_AT_ONCE],
    )
}

/// What was delivered in the future, as the clock says that has been put back, was delivered now.
pub(super) fn deny_the_future(connection: &Connection, now: i64) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE entries SET ended_at = ?1
         WHERE kind = 'result' AND state = 'delivered' AND ended_at > ?1",
        [now],
    )?;
    Ok(())
}

/// How many entries there are of a kind, in a state, under a key.
pub(super) struct Total {
    pub(super) kind: String,
    pub(super) state: String,
    pub(super) key: KeyId,
    pub(super) entries: u64,
}

/// How much there is. It costs the same however much that is.
pub(super) fn totals(connection: &Connection) -> rusqlite::Result<Vec<Total>> {
    let mut totals =
        connection.prepare("SELECT kind, state, key, entries FROM totals WHERE entries > 0")?;
    let read = |row: &Row<'_>| {
        let key = KeyId::from_stored(row.get(2)?);
        let entries = row.get::<_, i64>(3)?.unsigned_abs();
        Ok(Total { kind: row.get(0)?, state: row.get(1)?, key, entries })
    };
    totals.query_map([], read)?.collect()
}

/// Free pages that the file keeps for what comes next, 64 MiB of them: a file that shrank every night
/// and grew every day would only wear out its disk.
const PAGES_KEPT: i64 = 16 << 10;

/// Pages that are given back in one transaction, 4 MiB of them.
const PAGES_GIVEN_BACK: i64 = 1 << 10;

/// Gives the disk back some of what the file has free, and says whether there is more.
pub(super) fn give_back(connection: &Connection) -> rusqlite::Result<bool> {
    let free = |connection: &Connection| -> rusqlite::Result<i64> {
        connection.query_row("PRAGMA freelist_count", [], |row| row.get(0))
    };
    let before = free(connection)?;
    if before <= PAGES_KEPT {
        return Ok(false);
    }
    // Each row is a page.
    let vacuum = format!("PRAGMA incremental_vacuum({PAGES_GIVEN_BACK})");
    let mut vacuum = connection.prepare(&vacuum)?;
    let mut pages = vacuum.query([])?;
    while pages.next()?.is_some() {}
    Ok(free(connection)? < before)
}

/// How things stand.
pub(super) fn figures(
    connection: &Connection,
    keys: &SealingKeys,
    now: i64,
) -> rusqlite::Result<Figures> {
    let age = |since: i64| Duration::from_millis(now.saturating_sub(since).max(0).unsigned_abs());
    let mut figures = Figures {
        oldest_waiting_age: oldest_result(connection)?.map(age),
        bytes: used_bytes(connection)?,
        ..Figures::default()
    };
    let totals = totals(connection)?;
    for total in &totals {
        let figure = match (total.kind.as_str(), total.state.as_str()) {
            ("document", "open" | "waiting") => &mut figures.documents,
            ("result", "waiting") => &mut figures.results_waiting,
            ("result", "delivered") => &mut figures.delivered_kept,
            _ => &mut figures.dead,
        };
        *figure += total.entries;
    }
    figures.unreadable_by_key = by_key(totals, |key| !keys.has(key));
    Ok(figures)
}

/// Entries by their keys, of the keys that matter.
pub(super) fn by_key(totals: Vec<Total>, matters: impl Fn(&KeyId) -> bool) -> Vec<(KeyId, u64)> {
    let mut by_key = BTreeMap::new();
    for total in totals.into_iter().filter(|total| matters(&total.key)) {
        *by_key.entry(total.key).or_default() += total.entries;
    }
    by_key.into_iter().collect()
}

/// The keys that are here, as SQLite takes a list.
fn known(keys: &SealingKeys) -> String {
    serde_json::json!(keys.ids().map(KeyId::as_str).collect::<Vec<_>>()).to_string()
}
