//! The record of everything that was sent to the cloud service, which is also what the daily budget
//! is counted by.
//!
//! Promises:
//! - A transfer is on the disk before its first byte leaves.
//! - It says what was sent where, when and under which consent, and nothing of what was in it.
//! - A restart gives no budget back. A day has its budget once: a clock that jumps to another day
//!   uses up that one's, and finds its own as it was when it comes back.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::civil::Date;
use jiff::{Timestamp, ZonedDateTime};
use rusqlite::{Connection, Row, params};
use serde::Serialize;

use crate::database::{self, DatabaseError, Migrations};

/// Name of the file in the state folder.
const FILE: &str = "transfers.sqlite";

const MIGRATIONS: &Migrations = &["
    CREATE TABLE transfers (
        id INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,        -- milliseconds since 1970
        day TEXT NOT NULL,          -- in the machine's time zone
        scan_id TEXT NOT NULL,
        pages TEXT NOT NULL,        -- a JSON array of 0-based indices
        bytes INTEGER NOT NULL,
        host TEXT NOT NULL,
        consent TEXT NOT NULL,
        outcome TEXT,               -- none: the program ended before it was known
        elapsed_ms INTEGER
    ) STRICT;
    CREATE INDEX transfers_of_day ON transfers (day);
"];

/// What is about to be sent.
#[derive(Clone, Debug)]
pub struct NewTransfer {
    /// Of the scan.
    pub scan_id: String,
    /// 0-based indices.
    pub pages: Vec<usize>,
    /// Of the document that is sent.
    pub bytes: usize,
    /// Where it goes.
    pub host: String,
    /// Reference of the consent.
    pub consent: String,
}

/// A line of the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Transfer {
    /// When it began (RFC 3339).
    pub at: String,
    /// Of the scan.
    pub scan_id: String,
    /// 0-based indices of the pages that were sent.
    pub pages: Vec<usize>,
    /// Of the document that was sent.
    pub bytes: u64,
    /// Where it went.
    pub host: String,
    /// Reference of the consent.
    pub consent: String,
    /// The service's code, or what failed; none where the program ended before that was known.
    pub outcome: Option<String>,
    /// How long it took.
    pub elapsed_ms: Option<u64>,
}

/// Why nothing may be sent.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// Today's budget is used up.
    #[error(
        "the day's budget of transfers is used up; raise cloud.daily_budget if it is too small"
    )]
    OutOfBudget,
    /// It cannot be recorded.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Of a day.
const COUNT: &str = "SELECT count(*) FROM transfers WHERE day = ?1";

type Clock = Box<dyn Fn() -> ZonedDateTime + Send + Sync>;

/// The record of a state folder.
pub struct Transfers {
    path: PathBuf,
    connection: Mutex<Connection>,
    clock: Clock,
}

impl Transfers {
    /// The record of a state folder, made where there is none.
    pub fn create(state: &Path) -> Result<Self, DatabaseError> {
        database::create(&state.join(FILE))?;
        Self::open(state)
    }

    /// The record of a state folder, which must be there.
    pub fn open(state: &Path) -> Result<Self, DatabaseError> {
        Self::with_clock(state, Box::new(ZonedDateTime::now))
    }

    fn with_clock(state: &Path, clock: Clock) -> Result<Self, DatabaseError> {
        let path = state.join(FILE);
        let connection = database::open(&path, MIGRATIONS)?;
        database::be_durable(&connection).map_err(|reason| DatabaseError::new(&path, reason))?;
        Ok(Self { path, connection: Mutex::new(connection), clock })
    }

    /// Records that something is about to be sent, if the day has budget left, and gives the
    /// record's id. When it returns, the record is on the disk.
    pub fn begin(&self, new: &NewTransfer, budget: u32) -> Result<i64, TransferError> {
        let id = self.work(|connection| {
            let transaction = database::write(connection)?;
            // After the wait for the lock, which may have lasted into the next day.
            let now = (self.clock)();
            let day = now.date().to_string();
            let used: u32 = transaction.query_row(COUNT, [&day], |row| row.get(0))?;
            if used >= budget {
                return Ok(None);
            }
            let pages = serde_json::to_string(&new.pages).unwrap_or_default();
            transaction.execute(
                "INSERT INTO transfers (at, day, scan_id, pages, bytes, host, consent)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    now.timestamp().as_millisecond(),
                    day,
                    new.scan_id,
                    pages,
                    i64::try_from(new.bytes).unwrap_or(i64::MAX),
                    new.host,
                    new.consent
                ],
            )?;
            let id = transaction.last_insert_rowid();
            transaction.commit()?;
            Ok(Some(id))
        })?;
        id.ok_or(TransferError::OutOfBudget)
    }

    /// Transfers that the day has had.
    pub fn used_today(&self) -> Result<u64, DatabaseError> {
        let day = (self.clock)().date().to_string();
        let used: u32 =
            self.work(|connection| connection.query_row(COUNT, [&day], |row| row.get(0)))?;
        Ok(used.into())
    }

    /// Records what it came to.
    pub fn finish(&self, id: i64, outcome: &str, elapsed: Duration) -> Result<(), DatabaseError> {
        self.work(|connection| {
            let elapsed = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
            connection.execute(
                "UPDATE transfers SET outcome = ?2, elapsed_ms = ?3 WHERE id = ?1",
                params![id, outcome, elapsed],
            )?;
            Ok(())
        })
    }

    /// All transfers, or those of a day, in the order in which they began.
    pub fn list(&self, day: Option<Date>) -> Result<Vec<Transfer>, DatabaseError> {
        let now = (self.clock)();
        self.work(|connection| {
            let mut transfers = connection.prepare(
                "SELECT at, scan_id, pages, bytes, host, consent, outcome, elapsed_ms
                 FROM transfers WHERE ?1 IS NULL OR day = ?1 ORDER BY id",
            )?;
            let day = day.map(|day| day.to_string());
            transfers.query_map([day], |row| transfer(row, &now))?.collect()
        })
    }

    fn work<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, DatabaseError> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut connection).map_err(|reason| DatabaseError::new(&self.path, reason))
    }
}

fn transfer(row: &Row<'_>, now: &ZonedDateTime) -> rusqlite::Result<Transfer> {
    let natural = |number: i64| number.unsigned_abs();
    let at = Timestamp::from_millisecond(row.get("at")?).unwrap_or_default();
    let at = at.to_zoned_datetime(now.time_zone().clone());
    let pages: String = row.get("pages")?;
    Ok(Transfer {
        at: at.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
        scan_id: row.get("scan_id")?,
        pages: serde_json::from_str(&pages).unwrap_or_default(),
        bytes: natural(row.get("bytes")?),
        host: row.get("host")?,
        consent: row.get("consent")?,
        outcome: row.get("outcome")?,
        elapsed_ms: row.get::<_, Option<i64>>("elapsed_ms")?.map(natural),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const EVENING: &str = "2026-03-04T22:00:00+07:00[+07:00]";

    struct Fixture {
        folder: tempfile::TempDir,
        now: Arc<Mutex<ZonedDateTime>>,
    }

    impl Fixture {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            Transfers::create(folder.path()).unwrap();
            Self { folder, now: Arc::new(Mutex::new(EVENING.parse().unwrap())) }
        }

        fn open(&self) -> Transfers {
            let now = Arc::clone(&self.now);
            let clock: Clock = Box::new(move || now.lock().unwrap().clone());
            Transfers::with_clock(self.folder.path(), clock).unwrap()
        }

        fn set(&self, time: &str) {
            *self.now.lock().unwrap() = time.parse().unwrap();
        }
    }

    fn new(scan_id: &str) -> NewTransfer {
        NewTransfer {
            scan_id: scan_id.to_owned(),
            pages: vec![0, 2],
            bytes: 1234,
            host: "ocr.example.vn".to_owned(),
            consent: "2026/17".to_owned(),
        }
    }

    fn is_spent(transfers: &Transfers, budget: u32) -> bool {
        matches!(transfers.begin(&new("S"), budget), Err(TransferError::OutOfBudget))
    }

    #[test]
    fn transfer_is_recorded_from_its_beginning_and_with_its_end() {
        let fixture = Fixture::new();
        let transfers = fixture.open();
        let id = transfers.begin(&new("A"), 1).unwrap();
        // Another process sees it before anything was sent.
        let [begun] = &fixture.open().list(None).unwrap()[..] else { panic!("one expected") };
        assert_eq!((&begun.outcome, begun.elapsed_ms), (&None, None));
        transfers.finish(id, "0", Duration::from_millis(789)).unwrap();
        let expected = Transfer {
            at: "2026-03-04T22:00:00.000+07:00".to_owned(),
            scan_id: "A".to_owned(),
            pages: vec![0, 2],
            bytes: 1234,
            host: "ocr.example.vn".to_owned(),
            consent: "2026/17".to_owned(),
            outcome: Some("0".to_owned()),
            elapsed_ms: Some(789),
        };
        assert_eq!(transfers.list(None).unwrap(), [expected]);
    }

    #[test]
    fn record_is_on_the_disk_when_it_is_made() {
        let fixture = Fixture::new();
        let transfers = fixture.open();
        let synchronous: i64 = transfers
            .work(|connection| connection.query_row("PRAGMA synchronous", [], |row| row.get(0)))
            .unwrap();
        assert_eq!(synchronous, 2, "FULL");
    }

    #[test]
    fn budget_is_of_a_calendar_day_and_survives_a_restart() {
        let fixture = Fixture::new();
        let transfers = fixture.open();
        transfers.begin(&new("A"), 2).unwrap();
        transfers.begin(&new("B"), 2).unwrap();
        drop(transfers);
        let transfers = fixture.open();
        assert!(is_spent(&transfers, 2));
        fixture.set("2026-03-05T00:00:00+07:00[+07:00]");
        transfers.begin(&new("C"), 2).unwrap();
        let day = |day: &str| transfers.list(Some(day.parse().unwrap())).unwrap().len();
        assert_eq!([day("2026-03-04"), day("2026-03-05"), day("2026-03-06")], [2, 1, 0]);
    }

    #[test]
    fn clock_that_jumps_neither_blocks_nor_renews_the_budget() {
        let fixture = Fixture::new();
        let transfers = fixture.open();
        transfers.begin(&new("A"), 1).unwrap();
        for elsewhere in ["2099-01-01T00:00:00+07:00[+07:00]", "1970-01-01T07:00:00+07:00[+07:00]"]
        {
            fixture.set(elsewhere);
            transfers.begin(&new("B"), 1).unwrap();
            assert!(is_spent(&transfers, 1));
            fixture.set(EVENING);
            assert!(is_spent(&transfers, 1));
            transfers.begin(&new("C"), 20).unwrap();
        }
    }
}
