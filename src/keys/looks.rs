//! Looks: which technician saw what was read of which scan.
//!
//! A look is on the disk before anything is shown. It is kept for as long as uses are.

use jiff::civil::Date;
use rusqlite::params;

use super::store::KeyStore;
use super::{Key, KeysError, Look};

impl KeyStore {
    /// Records that who holds this key looks at a scan, and forgets the looks before that day.
    pub fn record_look(&self, key: &Key, scan_id: &str, oldest: Date) -> Result<(), KeysError> {
        let now = self.now();
        self.change(|transaction| {
            transaction.execute("DELETE FROM looks WHERE day < ?1", [oldest.to_string()])?;
            transaction.execute(
                "INSERT INTO looks (at, day, key_id, scan_id) VALUES (?1, ?2, ?3, ?4)",
                params![now.millisecond(), now.wall.date().to_string(), key.id, scan_id],
            )?;
            Ok(())
        })
    }

    /// The latest looks, the last one first.
    pub fn looks(&self, most: u32) -> Result<Vec<Look>, KeysError> {
        let now = self.now();
        self.work(|connection| {
            let mut looks = connection.prepare(
                "SELECT at, name, scan_id FROM looks JOIN keys ON keys.id = key_id
                 ORDER BY looks.rowid DESC LIMIT ?1",
            )?;
            let looks = looks.query_map([most], |row| {
                Ok(Look { at: now.show(row.get(0)?), name: row.get(1)?, scan_id: row.get(2)? })
            })?;
            looks.collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::fixture::{Fixture, key};
    use super::*;

    #[test]
    fn looks_are_listed_with_who_looked_and_old_ones_are_forgotten() {
        let fixture = Fixture::new();
        let store = fixture.open();
        let (an, binh) = (key(&store, "an", None), key(&store, "binh", None));
        let today = store.now().wall.date();
        store.record_look(&an, "A", today).unwrap();
        store.record_look(&binh, "B", today).unwrap();
        let seen = |store: &KeyStore| -> Vec<(String, String)> {
            let looks = store.looks(50).unwrap().into_iter();
            looks.map(|look| (look.name, look.scan_id)).collect()
        };
        let expected = [("binh", "B"), ("an", "A")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(seen(&store), expected);
        assert_eq!(seen(&fixture.open()), expected, "another process sees them, too");
        fixture.pass(Duration::from_secs(48 * 60 * 60));
        store.record_look(&an, "C", store.now().wall.date()).unwrap();
        assert_eq!(seen(&store), [("an".to_owned(), "C".to_owned())]);
    }

    #[test]
    fn revoked_key_is_good_no_more_and_keeps_its_name() {
        let fixture = Fixture::new();
        let store = fixture.open();
        let credentials = store.add("an", None).unwrap();
        let (api_key, secret) = (&credentials.api_key, &credentials.api_secret);
        let an = store.verify(api_key, secret, super::super::fixture::CLIENT).unwrap();
        assert!(store.is_good(&an).unwrap());
        store.revoke("an").unwrap();
        assert!(!store.is_good(&an).unwrap());
        assert_eq!(store.name_of(api_key).unwrap().as_deref(), Some("an"));
        assert_eq!(store.name_of("another").unwrap(), None);
    }
}
