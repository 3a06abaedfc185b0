//! What an operator may do, beside a daemon at work or without one.

use std::path::Path;

use cic_kiosk::page::Files;
use jiff::tz::TimeZone;
use rusqlite::{Connection, Row, params};
use serde::Serialize;

use super::link::Link;
use super::pages::unpacked;
use super::seal::{Closed, KeyId, SealingKeys};
use super::{Fault, Kind, OutboxError, file, store};
use crate::database;

/// Entries that are sealed anew at once: a daemon beside it waits only for so many.
const BATCH: usize = 64;

/// The same in bytes, beyond the first.
const BATCH_BYTES: usize = 8 << 20;

/// Dead letters that are purged at once.
const PURGED_AT_ONCE: i64 = 500;

/// An entry as it is listed. Times are RFC 3339 in the machine's time zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its place in the order.
    pub seq: i64,
    /// `document` or `result`.
    pub kind: String,
    /// `open` (its pages are still coming), `waiting`, `delivered` or `dead`.
    pub state: String,
    /// Whose it is.
    pub scan_id: String,
    /// When the document was accepted or the result made.
    pub since: String,
    /// Where a document came from.
    pub source: Option<String>,
    /// How often its reading was begun.
    pub attempts: u32,
    /// When it was delivered or died.
    pub ended: Option<String>,
    /// Why it is dead.
    pub reason: Option<String>,
    /// The key that it is sealed with.
    pub key: String,
    /// Its size, sealed.
    pub bytes: i64,
}

/// Which dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those of a scan.
    Scan(String),
    /// All.
    All,
}

/// What sealing anew came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resealed {
    /// The key that everything should be sealed with now.
    pub key: KeyId,
    /// Entries that were sealed anew.
    pub resealed: u64,
    /// Entries that do not open although their key is here.
    pub damaged: u64,
    /// Entries that are sealed with other keys still.
    pub remaining: Vec<(KeyId, u64)>,
}

/// The outbox of a state folder, as an operator has it.
pub struct Console {
    link: Link,
}

impl Console {
    /// Opens the outbox, which must be there.
    ///
    /// # Errors
    /// [`OutboxError::Missing`] where it is not; whatever the disk has against it.
    pub fn open(state: &Path) -> Result<Self, OutboxError> {
        let path = file::path_in(state);
        if !path.exists() {
            return Err(OutboxError::Missing { state: state.to_owned() });
        }
        let mut link = Link::new(path);
        link.connection()?;
        Ok(Self { link })
    }

    /// All that waits, and all dead letters, in order.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn list(&mut self) -> Result<Vec<Entry>, OutboxError> {
        self.work(|connection| Ok(entries(connection, "state != 'delivered'", None)?))
    }

    /// All there is of a scan.
    ///
    /// # Errors
    /// [`OutboxError::Unknown`] where there is nothing.
    pub fn of_scan(&mut self, scan_id: &str) -> Result<Vec<Entry>, OutboxError> {
        self.work(|connection| {
            let found = entries(connection, "scan_id = ?1", Some(scan_id))?;
            if found.is_empty() { Err(unknown(scan_id)) } else { Ok(found) }
        })
    }

    /// A scan's result, or its document where there is no result yet.
    ///
    /// # Errors
    /// [`OutboxError::KeyMissing`], [`OutboxError::Unopened`], [`OutboxError::Unknown`].
    pub fn payload(&mut self, scan_id: &str, keys: &SealingKeys) -> Result<Files, OutboxError> {
        self.work(|connection| {
            for kind in [Kind::Result, Kind::Document] {
                if let Some(id) = store::find(connection, kind, scan_id)?
                    && let Some(payload) = store::payload_of(connection, id)?
                {
                    let opened = keys.open(kind, scan_id, payload.sealed);
                    let opened = opened.map_err(|closed| closed.of(scan_id))?;
                    return match kind {
                        Kind::Result => Ok(Files::from(opened)),
                        Kind::Document => {
                            unpacked(opened).ok_or_else(|| Closed::Damaged.of(scan_id).into())
                        }
                    };
                }
            }
            Err(unknown(scan_id))
        })
    }

    /// Puts dead letters back into the queue, as if they were new, and says how many.
    ///
    /// # Errors
    /// [`OutboxError::Unknown`] where the scan has none; where the disk fails.
    pub fn retry(&mut self, which: &Which) -> Result<usize, OutboxError> {
        let dead = self.dead(which)?;
        let mut retried = 0;
        // One by one: a payload is moved, and a daemon is at work.
        for id in dead {
            retried += self.work(|connection| {
                let transaction = database::write(connection)?;
                transaction.execute(
                    "UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'entries'",
                    [],
                )?;
                let changed = transaction.execute(
                    "UPDATE entries SET state = 'waiting', attempts = 0, ended_at = NULL,
                        reason = NULL,
                        id = (SELECT seq FROM sqlite_sequence WHERE name = 'entries')
                     WHERE id = ?1 AND state = 'dead'",
                    [id],
                )?;
                transaction.commit()?;
                Ok(changed)
            })?;
        }
        Ok(retried)
    }

    /// Erases dead letters, and says how many.
    ///
    /// # Errors
    /// [`OutboxError::Unknown`] where the scan has none; where the disk fails.
    pub fn purge(&mut self, which: &Which) -> Result<usize, OutboxError> {
        let dead = self.dead(which)?;
        let mut purged = 0;
        for ids in dead.chunks(PURGED_AT_ONCE as usize) {
            purged += self.work(|connection| {
                let transaction = database::write(connection)?;
                let mut changed = 0;
                for id in ids {
                    let query = "DELETE FROM entries WHERE id = ?1 AND state = 'dead'";
                    changed += transaction.execute(query, [id])?;
                }
                transaction.commit()?;
                Ok(changed)
            })?;
        }
        Ok(purged)
    }

    /// Seals everything with the current key that is sealed with another one. It may be interrupted
    /// at any moment, and begun again.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn reseal(&mut self, keys: &SealingKeys) -> Result<Resealed, OutboxError> {
        let key = keys.current().clone();
        let mut done = Resealed { key, resealed: 0, damaged: 0, remaining: Vec::new() };
        let mut after = 0;
        loop {
            let batch =
                self.work(|connection| batch(connection, keys, after, &mut done.damaged))?;
            let Some(last) = batch.last else { break };
            after = last;
            done.resealed += self.work(|connection| replace(connection, keys, &batch))?;
        }
        let totals = self.work(|connection| Ok(store::totals(connection)?))?;
        done.remaining = store::by_key(totals, |key| *key != done.key);
        Ok(done)
    }

    fn dead(&mut self, which: &Which) -> Result<Vec<i64>, OutboxError> {
        let scan_id = match which {
            Which::Scan(scan_id) => Some(scan_id.as_str()),
            Which::All => None,
        };
        self.work(|connection| {
            let mut dead = connection.prepare(
                "SELECT id FROM entries
                 WHERE state = 'dead' AND (?1 IS NULL OR scan_id = ?1) ORDER BY id",
            )?;
            let dead = dead.query_map([scan_id], |row| row.get(0))?;
            let dead = dead.collect::<rusqlite::Result<Vec<_>>>()?;
            match scan_id {
                Some(scan_id) if dead.is_empty() => {
                    Err(OutboxError::Unknown { what: format!("dead letter of {scan_id}") }.into())
                }
                _ => Ok(dead),
            }
        })
    }

    fn work<T>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> Result<T, Fault>,
    ) -> Result<T, OutboxError> {
        work(self.link.connection()?).map_err(|fault| match fault {
            Fault::Sqlite(reason) => self.link.failed(reason).into(),
            Fault::Refused(error) => error,
        })
    }
}

fn unknown(scan_id: &str) -> Fault {
    OutboxError::Unknown { what: format!("scan {scan_id}") }.into()
}

pub(super) fn entries(
    connection: &Connection,
    which: &str,
    scan_id: Option<&str>,
) -> rusqlite::Result<Vec<Entry>> {
    let zone = TimeZone::system();
    let show = |time: i64| {
        let time = store::timestamp(time).to_zoned_datetime(zone.clone());
        time.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
    };
    let read = |row: &Row<'_>| {
        Ok(Entry {
            seq: row.get("id")?,
            kind: row.get("kind")?,
            state: row.get("state")?,
            scan_id: row.get("scan_id")?,
            since: show(row.get("since")?),
            source: row.get("source")?,
            attempts: row.get("attempts")?,
            ended: row.get::<_, Option<i64>>("ended_at")?.map(show),
            reason: row.get("reason")?,
            key: row.get("key")?,
            bytes: row.get("bytes")?,
        })
    };
    let query = format!("SELECT * FROM entries WHERE {which} ORDER BY id");
    let mut entries = connection.prepare(&query)?;
    let parameters: &[&dyn rusqlite::ToSql] = if scan_id.is_some() { &[&scan_id] } else { &[] };
    entries.query_map(parameters, read)?.collect()
}

/// What is to be sealed anew, sealed already.
#[derive(Default)]
struct Batch {
    sealed: Vec<(i64, Vec<u8>)>,
    last: Option<i64>,
}

fn batch(
    connection: &Connection,
    keys: &SealingKeys,
    after: i64,
    damaged: &mut u64,
) -> Result<Batch, Fault> {
    let mut entries = connection
        .prepare("SELECT id, kind FROM entries WHERE id > ?1 AND key != ?2 ORDER BY id LIMIT ?3")?;
    let mut rows = entries.query(params![after, keys.current().as_str(), BATCH as i64])?;
    let (mut batch, mut bytes) = (Batch::default(), 0);
    while bytes < BATCH_BYTES
        && let Some(row) = rows.next()?
    {
        let (id, kind): (i64, String) = (row.get(0)?, row.get(1)?);
        batch.last = Some(id);
        let Some(payload) = store::payload_of(connection, id)? else { continue };
        bytes += payload.sealed.len();
        let kind = Kind::from_stored(&kind).unwrap_or(Kind::Result);
        match keys.open(kind, &payload.scan_id, payload.sealed) {
            Ok(opened) => batch.sealed.push((id, keys.seal(kind, &payload.scan_id, opened)?)),
            Err(Closed::Damaged) => *damaged += 1,
            Err(Closed::KeyMissing(_)) => {}
        }
    }
    Ok(batch)
}

/// What has gone meanwhile stays gone.
fn replace(connection: &mut Connection, keys: &SealingKeys, batch: &Batch) -> Result<u64, Fault> {
    let transaction = database::write(connection)?;
    let mut replaced = 0;
    for (id, sealed) in &batch.sealed {
        replaced += u64::from(store::replace(&transaction, *id, keys.current(), sealed)?);
    }
    transaction.commit()?;
    Ok(replaced)
}
