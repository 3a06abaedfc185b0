//! A store for tests, in a folder of its own and with clocks that go when they are told to.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::store::{Clock, KeyStore, Now};
use super::{Key, NewUse, UseEnd, file};

pub const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

/// An evening in Hanoi, two hours before midnight.
const BEGIN: &str = "2026-03-04T22:00:00+07:00[+07:00]";

pub struct Fixture {
    pub folder: tempfile::TempDir,
    now: Arc<Mutex<Now>>,
}

impl Fixture {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        file::create(folder.path()).unwrap();
        let now = Now { steady: Instant::now(), wall: BEGIN.parse().unwrap() };
        Self { folder, now: Arc::new(Mutex::new(now)) }
    }

    /// Opens the store, as each process does.
    pub fn open(&self) -> KeyStore {
        let now = Arc::clone(&self.now);
        let clock: Clock = Box::new(move || now.lock().unwrap().clone());
        KeyStore::with_clock(self.folder.path(), clock).unwrap()
    }

    pub fn pass(&self, duration: Duration) {
        let mut now = self.now.lock().unwrap();
        *now = Now { steady: now.steady + duration, wall: &now.wall + duration };
    }
}

/// A key of this quota, which is in the file.
pub fn key(store: &KeyStore, name: &str, quota: Option<u32>) -> Key {
    let credentials = store.add(name, quota).unwrap();
    store.verify(&credentials.api_key, &credentials.api_secret, CLIENT).unwrap()
}

pub fn new_use(scan_id: &str) -> NewUse {
    NewUse { scan_id: scan_id.to_owned(), client: CLIENT, way: "unknown" }
}

pub fn end(code: &'static str) -> UseEnd {
    UseEnd { code, way: "file", bytes: 123_456, pages: 3, elapsed_ms: 789 }
}
