//! What became of scans: for a source that keeps its document until that is known, and for a customer
//! who waits.

use rusqlite::{Connection, OptionalExtension, Row};
use serde::Deserialize;
use ulid::Ulid;

use super::store;
use super::{Kind, Outbox, OutboxError, SealingKeys};

/// Scans that are looked up at once: others may read in between.
const AT_ONCE: usize = 256;

/// The digit of success in `errorCode`.
const SUCCESS: &str = "0";

/// What became of a scan's document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is still to be read.
    Waiting,
    /// It was read.
    Read,
    /// It was not, or is no report; why, in a sentence.
    Failed(String),
    /// The outbox knows nothing of it, or not any more.
    Unknown,
}

/// What tells of a result whether it has a report.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "errorCode")]
    error: String,
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    detail: Option<String>,
}

impl Outbox {
    /// What became of each of these scans.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub async fn fates(&self, scans: Vec<Ulid>) -> Result<Vec<(Ulid, Fate)>, OutboxError> {
        let mut fates = Vec::with_capacity(scans.len());
        for scans in scans.chunks(AT_ONCE) {
            let (scans, keys) = (scans.to_vec(), self.keys());
            let found = self.read(move |connection| {
                let fate = |scan: Ulid| Ok((scan, fate(connection, &keys, &scan.to_string())?));
                scans.into_iter().map(fate).collect::<Result<Vec<_>, _>>()
            });
            fates.extend(found.await?);
        }
        Ok(fates)
    }

    /// Whether a scan's document or its result is a dead letter now.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub async fn is_dead(&self, scan: Ulid) -> Result<bool, OutboxError> {
        let query = "SELECT EXISTS (SELECT 1 FROM entries WHERE scan_id = ?1 AND state = 'dead')";
        let scan = scan.to_string();
        self.read(move |connection| Ok(connection.query_row(query, [scan], |row| row.get(0))?))
            .await
    }
}

fn fate(connection: &Connection, keys: &SealingKeys, scan: &str) -> rusqlite::Result<Fate> {
    // A result before its document.
    let query = "SELECT id, kind, state, reason FROM entries
                 WHERE kind IN ('document', 'result') AND scan_id = ?1
                 ORDER BY kind DESC LIMIT 1";
    let read = |row: &Row<'_>| {
        let kind: String = row.get(1)?;
        Ok((row.get(0)?, kind, row.get::<_, String>(2)?, row.get::<_, Option<String>>(3)?))
    };
    let found = connection.query_row(query, [scan], read).optional()?;
    let Some((id, kind, state, reason)) = found else { return Ok(Fate::Unknown) };
    if kind == Kind::Document.as_str() {
        return Ok(match state.as_str() {
            "dead" => Fate::Failed(reason.unwrap_or_default()),
            _ => Fate::Waiting,
        });
    }
    let payload = store::payload_of(connection, id)?;
    let opened = payload.and_then(|it| keys.open(Kind::Result, scan, it.sealed).ok());
    let head = opened.and_then(|result| serde_json::from_slice::<Head>(&result).ok());
    Ok(match head {
        Some(head) if head.error != SUCCESS => {
            Fate::Failed(head.meta.and_then(|meta| meta.detail).unwrap_or_default())
        }
        // It was read, whatever the broker thinks of the result.
        _ => Fate::Read,
    })
}
