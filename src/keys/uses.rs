//! Uses: the audit log, which is also what quotas are counted by.
//!
//! A use is one row from its beginning. It counts while it runs, and after that unless it ended
//! with our own failure. One that never ended counts, too: its client went away, or the server did.

use std::time::Duration;

use jiff::ZonedDateTime;
use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::store::{KeyStore, Now};
use super::{AuditLine, Key, KeysError, NewUse, UseEnd, UseError, UsesFilter};
use crate::database;

impl KeyStore {
    /// Begins a use, if the key has one left today.
    pub fn begin_use(&self, key: &Key, new: &NewUse) -> Result<(), UseError> {
        let retry_after = self.work(|connection| {
            let transaction = database::write(connection)?;
            // After the wait for the lock, which may have lasted into the next day.
            let now = self.now();
            if let Some(quota) = key.quota
                && counted(&transaction, key.id, &now)? >= quota
            {
                return Ok(Some(until_midnight(&now.wall)));
            }
            record(&transaction, key, new, &now)?;
            transaction.commit()?;
            Ok(None)
        })?;
        match retry_after {
            None => Ok(()),
            Some(retry_after) => Err(UseError::OutOfQuota { retry_after }),
        }
    }

    /// Records what a use came to. It ends once.
    pub fn finish_use(&self, scan_id: &str, end: &UseEnd) -> Result<(), KeysError> {
        let changed = self.work(|connection| {
            connection.execute(
                "UPDATE uses SET code = ?2, way = ?3, bytes = ?4, pages = ?5, elapsed_ms = ?6
                 WHERE scan_id = ?1 AND code IS NULL",
                params![
                    scan_id,
                    end.code,
                    end.way,
                    stored(end.bytes),
                    end.pages,
                    stored(end.elapsed_ms)
                ],
            )
        })?;
        if changed == 0 {
            return Err(KeysError::UnknownUse { scan_id: scan_id.to_owned() });
        }
        Ok(())
    }

    /// Uses in the order in which they began. The name of no key is an error.
    pub fn uses(&self, filter: &UsesFilter) -> Result<Vec<AuditLine>, KeysError> {
        let now = self.now();
        let lines = self.work(|connection| {
            if let Some(name) = &filter.name
                && !is_known(connection, name)?
            {
                return Ok(None);
            }
            let mut uses = connection.prepare(
                "SELECT at, name, api_key, scan_id, client, way, bytes, pages, code, elapsed_ms
                 FROM uses JOIN keys ON keys.id = key_id
                 WHERE (?1 IS NULL OR day = ?1) AND (?2 IS NULL OR name = ?2)
                 ORDER BY uses.rowid",
            )?;
            let day = filter.day.map(|day| day.to_string());
            let lines = uses.query_map(params![day, filter.name], |row| line(row, &now))?;
            lines.collect::<rusqlite::Result<_>>().map(Some)
        })?;
        lines.ok_or_else(|| KeysError::Unknown { name: filter.name.clone().unwrap_or_default() })
    }

    /// Forgets the uses of all days before this one, and says how many there were.
    pub fn forget_uses_before(&self, day: Date) -> Result<usize, KeysError> {
        self.work(|connection| {
            connection.execute("DELETE FROM uses WHERE day < ?1", [day.to_string()])
        })
    }
}

/// A key's uses of today that count. `IS NOT` holds for a code that is not there yet.
pub(super) fn counted(connection: &Connection, key: i64, now: &Now) -> rusqlite::Result<u32> {
    connection.query_row(
        "SELECT count(*) FROM uses WHERE key_id = ?1 AND day = ?2 AND code IS NOT '6'",
        params![key, now.wall.date().to_string()],
        |row| row.get(0),
    )
}

fn record(connection: &Connection, key: &Key, new: &NewUse, now: &Now) -> rusqlite::Result<()> {
    let client = new.client.to_canonical().to_string();
    let (at, day) = (now.millisecond(), now.wall.date().to_string());
    connection.execute(
        "INSERT INTO uses (scan_id, key_id, at, day, client, way) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![new.scan_id, key.id, at, day, client, new.way],
    )?;
    connection.execute("UPDATE keys SET last_used_at = ?2 WHERE id = ?1", params![key.id, at])?;
    Ok(())
}

fn is_known(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let query = "SELECT id FROM keys WHERE name = ?1";
    Ok(connection.query_row(query, [name], |_| Ok(())).optional()?.is_some())
}

fn line(row: &Row<'_>, now: &Now) -> rusqlite::Result<AuditLine> {
    let natural = |number: Option<i64>| number.map(i64::unsigned_abs);
    Ok(AuditLine {
        at: now.show(row.get("at")?),
        name: row.get("name")?,
        api_key: row.get("api_key")?,
        scan_id: row.get("scan_id")?,
        client: row.get("client")?,
        way: row.get("way")?,
        bytes: natural(row.get("bytes")?),
        pages: row.get("pages")?,
        code: row.get("code")?,
        elapsed_ms: natural(row.get("elapsed_ms")?),
    })
}

/// SQLite's integers have a sign.
fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Until the next day begins, which is not at midnight where clocks are put forward just then.
fn until_midnight(now: &ZonedDateTime) -> Duration {
    let midnight = now.tomorrow().and_then(|tomorrow| tomorrow.start_of_day());
    // There is no tomorrow on the last day of the calendar only.
    midnight
        .ok()
        .and_then(|midnight| Duration::try_from(now.duration_until(&midnight)).ok())
        .unwrap_or(Duration::from_secs(24 * 60 * 60))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use jiff::tz::TimeZone;

    use super::super::fixture::{Fixture, end, key, new_use};
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn out_of_quota(begun: Result<(), UseError>) -> Option<Duration> {
        match begun {
            Err(UseError::OutOfQuota { retry_after }) => Some(retry_after),
            _ => None,
        }
    }

    #[test]
    fn quota_is_refused_until_midnight_and_then_begins_anew() {
        let fixture = Fixture::new();
        let store = fixture.open();
        let key = key(&store, "branch", Some(2));
        store.begin_use(&key, &new_use("A")).unwrap();
        store.begin_use(&key, &new_use("B")).unwrap();
        assert_eq!(out_of_quota(store.begin_use(&key, &new_use("C"))), Some(2 * HOUR));
        fixture.pass(2 * HOUR);
        store.begin_use(&key, &new_use("C")).unwrap();
    }

    #[test]
    fn quota_survives_reopening_and_is_shared_by_processes() {
        let fixture = Fixture::new();
        let (one, another) = (fixture.open(), fixture.open());
        let key = key(&one, "branch", Some(2));
        one.begin_use(&key, &new_use("A")).unwrap();
        another.begin_use(&key, &new_use("B")).unwrap();
        drop((one, another));
        assert!(out_of_quota(fixture.open().begin_use(&key, &new_use("C"))).is_some());
    }

    #[test]
    fn our_own_failure_gives_the_use_back_and_a_clients_does_not() {
        let fixture = Fixture::new();
        let store = fixture.open();
        let key = key(&store, "branch", Some(1));
        store.begin_use(&key, &new_use("A")).unwrap();
        store.finish_use("A", &end("6")).unwrap();
        store.begin_use(&key, &new_use("B")).unwrap();
        store.finish_use("B", &end("3")).unwrap();
        assert!(out_of_quota(store.begin_use(&key, &new_use("C"))).is_some());
    }

    #[test]
    fn quota_of_one_key_is_no_other_ones() {
        let fixture = Fixture::new();
        let store = fixture.open();
        let (one, another) = (key(&store, "one", Some(1)), key(&store, "another", Some(1)));
        store.begin_use(&one, &new_use("A")).unwrap();
        store.begin_use(&another, &new_use("B")).unwrap();
    }

    #[test]
    fn key_without_quota_is_never_refused() {
        let fixture = Fixture::new();
        let store = fixture.open();
        let key = key(&store, "branch", None);
        for index in 0..100 {
            store.begin_use(&key, &new_use(&index.to_string())).unwrap();
        }
        assert_eq!(store.list().unwrap()[0].used_today, 100);
    }

    #[test]
    fn eight_threads_of_two_processes_get_a_quota_of_five_five_times() {
        let fixture = Fixture::new();
        let stores = [fixture.open(), fixture.open()];
        let key = key(&stores[0], "branch", Some(5));
        let begun = AtomicUsize::new(0);
        thread::scope(|scope| {
            for (number, store) in stores.iter().cycle().take(8).enumerate() {
                let (key, begun) = (&key, &begun);
                scope.spawn(move || {
                    for index in 0..4 {
                        match store.begin_use(key, &new_use(&format!("{number}-{index}"))) {
                            Ok(()) => begun.fetch_add(1, Ordering::SeqCst),
                            Err(UseError::OutOfQuota { .. }) => 0,
                            Err(error) => panic!("{error}"),
                        };
                    }
                });
            }
        });
        assert_eq!(begun.into_inner(), 5);
        assert_eq!(stores[0].uses(&UsesFilter::default()).unwrap().len(), 5);
    }

    #[test]
    fn use_is_in_the_log_from_its_beginning_and_with_its_end() {
        let fixture = Fixture::new();
        let store = fixture.open();
        let key = key(&store, "branch", None);
        let mut new = new_use("A");
        new.client = "::ffff:10.0.0.9".parse().unwrap();
        store.begin_use(&key, &new).unwrap();
        let [running] = &store.uses(&UsesFilter::default()).unwrap()[..] else {
            panic!("one use expected")
        };
        assert_eq!((running.way.as_str(), &running.code, running.bytes), ("unknown", &None, None));
        store.finish_use("A", &end("0")).unwrap();
        let [line] = &store.uses(&UsesFilter::default()).unwrap()[..] else {
            panic!("one use expected")
        };
        let expected = AuditLine {
            at: "2026-03-04T22:00:00.000+07:00".to_owned(),
            name: "branch".to_owned(),
            api_key: store.list().unwrap()[0].api_key.clone(),
            scan_id: "A".to_owned(),
            client: "10.0.0.9".to_owned(),
            way: "file".to_owned(),
            bytes: Some(123_456),
            pages: Some(3),
            code: Some("0".to_owned()),
            elapsed_ms: Some(789),
        };
        assert_eq!(*line, expected);
    }

    #[test]
    fn use_ends_once() {
        let fixture = Fixture::new();
        let store = fixture.open();
        let key = key(&store, "branch", None);
        store.begin_use(&key, &new_use("A")).unwrap();
        store.finish_use("A", &end("0")).unwrap();
        for id in ["A", "never begun"] {
            let error = store.finish_use(id, &end("6")).unwrap_err();
            assert!(matches!(error, KeysError::UnknownUse { .. }), "{error}");
        }
        assert!(store.begin_use(&key, &new_use("A")).is_err(), "an id is used once");
    }

    #[test]
    fn uses_are_shown_by_day_and_by_key() {
        let fixture = Fixture::new();
        let store = fixture.open();
        let (one, another) = (key(&store, "one", None), key(&store, "another", None));
        store.begin_use(&one, &new_use("A")).unwrap();
        store.begin_use(&another, &new_use("B")).unwrap();
        fixture.pass(2 * HOUR);
        store.begin_use(&one, &new_use("C")).unwrap();
        let ids = |day: Option<&str>, name: Option<&str>| -> String {
            let day = day.map(|day| day.parse().unwrap());
            let filter = UsesFilter { day, name: name.map(str::to_owned) };
            store.uses(&filter).unwrap().into_iter().map(|line| line.scan_id).collect()
        };
        assert_eq!(ids(None, None), "ABC");
        assert_eq!(ids(Some("2026-03-04"), None), "AB");
        assert_eq!(ids(None, Some("one")), "AC");
        assert_eq!(ids(Some("2026-03-05"), Some("another")), "");
        let nobody = UsesFilter { name: Some("nobody".to_owned()), ..UsesFilter::default() };
        assert!(matches!(store.uses(&nobody), Err(KeysError::Unknown { .. })));
    }

    #[test]
    fn uses_before_a_day_are_forgotten_and_later_ones_kept() {
        let fixture = Fixture::new();
        let store = fixture.open();
        let key = key(&store, "branch", None);
        store.begin_use(&key, &new_use("A")).unwrap();
        fixture.pass(2 * HOUR);
        store.begin_use(&key, &new_use("B")).unwrap();
        let day = "2026-03-05".parse().unwrap();
        assert_eq!(store.forget_uses_before(day).unwrap(), 1);
        assert_eq!(store.uses(&UsesFilter::default()).unwrap()[0].scan_id, "B");
        assert_eq!(store.forget_uses_before(day).unwrap(), 0);
    }

    #[test]
    fn day_ends_when_the_next_begins_even_where_clocks_change() {
        let wait = |utc: &str, zone: &str| {
            let time: jiff::Timestamp = utc.parse().unwrap();
            until_midnight(&time.to_zoned_datetime(TimeZone::posix(zone).unwrap()))
        };
        assert_eq!(wait("2026-03-04T16:59:59.5Z", "<+07>-7"), Duration::from_millis(500));
        // 23 hours long: clocks were put forward that morning.
        let berlin = "CET-1CEST,M3.5.0,M10.5.0/3";
        assert_eq!(wait("2026-03-28T23:00:00Z", berlin), 23 * HOUR);
    }
}
