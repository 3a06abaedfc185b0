//! Scans whose pages come one by one: each is safe when it is taken in, and nothing is read before
//! all are there.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use cic_kiosk::finding::Finding;
use cic_kiosk::page::Files;
use cic_kiosk::report::schema::Agreement;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::store::{self, New};
use super::{Fault, Kind, Outbox, OutboxError, SealingKeys, Source};

/// For the pages of a scan to come, in milliseconds. Nobody stands at a kiosk for longer.
const PATIENCE: i64 = 60 * 60 * 1000;

/// Bytes of the length before each file.
const LENGTH: usize = size_of::<u64>();

/// What is known of a scan beside its pages; nothing of it is secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notes {
    /// Pages that were asked for again, by their 0-based index, and what was wrong with them.
    pub asked: BTreeMap<usize, Vec<Finding>>,
    /// The program ended before its source had said that all pages are there.
    pub interrupted: bool,
    /// What the customer agreed to, where one was asked.
    pub consent: Option<Agreement>,
}

impl Notes {
    fn to_stored(&self) -> Option<String> {
        // It has nothing that JSON cannot say.
        (*self != Self::default()).then(|| serde_json::to_string(self).unwrap_or_default())
    }

    pub(super) fn from_stored(stored: Option<String>) -> Self {
        stored.and_then(|stored| serde_json::from_str(&stored).ok()).unwrap_or_default()
    }
}

impl Outbox {
    /// Takes in a file of a scan, the `number`-th. It begins the scan where it is the first; again
    /// with the same number, or when the scan is complete, it changes nothing.
    ///
    /// # Errors
    /// [`OutboxError::PageMissing`] before the one that comes before it; as [`Outbox::accept`].
    pub async fn add(
        &self,
        scan_id: Ulid,
        source: Source,
        accepted_at: Timestamp,
        number: NonZeroUsize,
        file: Vec<u8>,
    ) -> Result<(), OutboxError> {
        let (keys, limits, now) = (self.inner.keys.clone(), self.limits(), self.now());
        let (scan_id, number, bytes) = (scan_id.to_string(), number.get(), file.len());
        self.write(bytes, move |connection| {
            let begun = document(connection, &scan_id)?;
            let mut files = match &begun {
                Some((_, state)) if state != "open" => return Ok(()),
                None if store::find(connection, Kind::Result, &scan_id)?.is_some() => return Ok(()),
                None => Files::default(),
                Some((id, _)) => files(connection, &keys, *id, &scan_id)?,
            };
            if number <= files.0.len() {
                return Ok(());
            }
            if number > files.0.len() + 1 {
                return Err(OutboxError::PageMissing { scan_id, number }.into());
            }
            store::admit(connection, &limits, now, bytes)?;
            files.0.push(file);
            let sealed = keys.seal(Kind::Document, &scan_id, packed(&files))?;
            let key = keys.current().clone();
            match begun {
                Some((id, _)) => {
                    store::replace(connection, id, &key, &sealed)?;
                }
                None => {
                    let (kind, source) = (Kind::Document, Some(source));
                    let since = store::milliseconds(accepted_at);
                    let id = store::insert(
                        connection,
                        &New { kind, scan_id, since, source, key, sealed },
                    )?;
                    connection.execute("UPDATE entries SET state = 'open' WHERE id = ?1", [id])?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Puts a better file in the place of one that an open scan has. Where it has none of this
    /// number, or is complete, it changes nothing.
    ///
    /// # Errors
    /// As [`Outbox::add`].
    pub async fn replace(
        &self,
        scan_id: Ulid,
        number: NonZeroUsize,
        file: Vec<u8>,
    ) -> Result<(), OutboxError> {
        let (keys, limits, now) = (self.inner.keys.clone(), self.limits(), self.now());
        let (scan_id, bytes) = (scan_id.to_string(), file.len());
        self.write(bytes, move |connection| {
            let Some((id, state)) = document(connection, &scan_id)? else { return Ok(()) };
            let mut files = files(connection, &keys, id, &scan_id)?;
            let Some(place) = files.0.get_mut(number.get() - 1).filter(|_| state == "open") else {
                return Ok(());
            };
            store::admit(connection, &limits, now, bytes)?;
            *place = file;
            let sealed = keys.seal(Kind::Document, &scan_id, packed(&files))?;
            store::replace(connection, id, keys.current(), &sealed)?;
            Ok(())
        })
        .await
    }

    /// Forgets an open scan, because a person wants that. Where it is not open it changes nothing.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn discard(&self, scan_id: Ulid) -> Result<(), OutboxError> {
        let scan_id = scan_id.to_string();
        self.write(0, move |connection| {
            let query = "DELETE FROM entries
                         WHERE kind = 'document' AND scan_id = ?1 AND state = 'open'";
            connection.execute(query, [&scan_id])?;
            Ok(())
        })
        .await
    }

    /// Completes the open scans of these sources, which cannot go on with them; for the start. How
    /// many there were.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn complete_interrupted(&self, sources: &[Source]) -> Result<usize, OutboxError> {
        let names: Vec<_> = sources.iter().map(|source| source.as_str()).collect();
        let names = serde_json::to_string(&names).unwrap_or_default();
        let notes = Notes { interrupted: true, ..Notes::default() }.to_stored();
        let completed = self
            .write(0, move |connection| {
                Ok(connection.execute(
                    "UPDATE entries SET state = 'waiting', notes = ?2
                     WHERE kind = 'document' AND state = 'open'
                        AND source IN (SELECT value FROM json_each(?1))",
                    params![names, notes],
                )?)
            })
            .await?;
        self.inner.news.document_again();
        Ok(completed)
    }

    /// Forgets the open scans of these sources, which nobody has agreed to send; for the start. How
    /// many there were.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn discard_interrupted(&self, sources: &[Source]) -> Result<usize, OutboxError> {
        let names: Vec<_> = sources.iter().map(|source| source.as_str()).collect();
        let names = serde_json::to_string(&names).unwrap_or_default();
        self.write(0, move |connection| {
            Ok(connection.execute(
                "DELETE FROM entries
                 WHERE kind = 'document' AND state = 'open'
                    AND source IN (SELECT value FROM json_each(?1))",
                [names],
            )?)
        })
        .await
    }

    /// Says that all files of a scan are there. Again it changes nothing.
    ///
    /// # Errors
    /// [`OutboxError::Unknown`] where there is no such scan; where the disk fails.
    pub async fn complete(&self, scan_id: Ulid, notes: &Notes) -> Result<(), OutboxError> {
        let (scan_id, notes) = (scan_id.to_string(), notes.to_stored());
        self.write(0, move |connection| {
            let changed = connection.execute(
                "UPDATE entries SET state = 'waiting', notes = ?2
                 WHERE kind = 'document' AND scan_id = ?1 AND state = 'open'",
                params![scan_id, notes],
            )?;
            let is_known = changed > 0
                || document(connection, &scan_id)?.is_some()
                || store::find(connection, Kind::Result, &scan_id)?.is_some();
            if is_known { Ok(()) } else { Err(OutboxError::Unknown { what: scan_id }.into()) }
        })
        .await?;
        self.inner.news.document_again();
        Ok(())
    }
}

/// Sets aside scans that were begun long ago and never completed.
pub(super) fn abandon(connection: &Connection, now: i64) -> Result<usize, Fault> {
    Ok(connection.execute(
        "UPDATE entries
         SET state = 'dead', ended_at = ?1, reason = 'its source never said that all pages are there'
         WHERE kind = 'document' AND state = 'open' AND since < ?2",
        params![now, now.saturating_sub(PATIENCE)],
    )?)
}

fn document(connection: &Connection, scan_id: &str) -> rusqlite::Result<Option<(i64, String)>> {
    let query = "SELECT id, state FROM entries WHERE kind = 'document' AND scan_id = ?1";
    connection.query_row(query, [scan_id], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// The files that a document has.
fn files(
    connection: &Connection,
    keys: &SealingKeys,
    id: i64,
    scan_id: &str,
) -> Result<Files, Fault> {
    let payload = store::payload_of(connection, id)?;
    let opened = payload.and_then(|it| keys.open(Kind::Document, scan_id, it.sealed).ok());
    let files = opened.and_then(unpacked);
    Ok(files.ok_or_else(|| OutboxError::Unopened { scan_id: scan_id.to_owned() })?)
}

/// A document as it is sealed: each file behind its length.
pub(super) fn packed(files: &Files) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(files.bytes() + files.0.len() * LENGTH);
    for file in &files.0 {
        bytes.extend_from_slice(&(file.len() as u64).to_le_bytes());
        bytes.extend_from_slice(file);
    }
    bytes
}

/// The same back; `None` where it is no such thing.
pub(super) fn unpacked(bytes: Vec<u8>) -> Option<Files> {
    let (mut files, mut rest) = (Vec::new(), &bytes[..]);
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<LENGTH>()?;
        let (file, after) =
            after.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        files.push(file.to_vec());
        rest = after;
    }
    Some(Files(files))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_back_as_they_were_packed() {
        for files in [Files::default(), Files(vec![b"a".to_vec(), Vec::new(), b"bcd".to_vec()])] {
            assert!(unpacked(packed(&files)) == Some(files));
        }
    }

    #[test]
    fn what_is_not_packed_is_not_unpacked() {
        let packed = packed(&Files(vec![b"abc".to_vec()]));
        for end in 1..packed.len() {
            assert!(unpacked(packed[..end].to_vec()).is_none(), "{end}");
        }
        assert!(unpacked(u64::MAX.to_le_bytes().to_vec()).is_none());
    }
}
