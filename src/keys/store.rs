//! The store: keys are added, rotated, revoked and verified. Their uses are in the module `uses`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{Timestamp, ZonedDateTime};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::lockout::Lockout;
use super::secret::{self, Verifier};
use super::{Credentials, Key, KeysError, Listed, VerifyError, check_name, file, uses};
use crate::database::{self, DatabaseError};

/// The keys of a state folder. Any number of threads and processes may work on them at once.
pub struct KeyStore {
    path: PathBuf,
    /// Of the file that was opened.
    identity: Option<(u64, u64)>,
    connection: Mutex<Connection>,
    pub(super) verifier: Verifier,
    lockout: Mutex<Lockout>,
    clock: Clock,
}

/// What time it is; in tests, what time it is said to be.
pub(super) type Clock = Box<dyn Fn() -> Now + Send + Sync>;

/// A moment by both clocks.
#[derive(Clone)]
pub(super) struct Now {
    /// For waits: it never goes back.
    pub(super) steady: Instant,
    /// For days and the log, in the machine's time zone.
    pub(super) wall: ZonedDateTime,
}

impl Now {
    fn by_the_machine() -> Self {
        Self { steady: Instant::now(), wall: ZonedDateTime::now() }
    }

    /// As times are stored.
    pub(super) fn millisecond(&self) -> i64 {
        self.wall.timestamp().as_millisecond()
    }

    /// A stored time in RFC 3339, in this moment's time zone. Milliseconds fit a timestamp unless
    /// somebody changed them by hand.
    pub(super) fn show(&self, millisecond: i64) -> String {
        let time = Timestamp::from_millisecond(millisecond).unwrap_or_default();
        let time = time.to_zoned_datetime(self.wall.time_zone().clone());
        time.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
    }
}

/// A key that a request names, with the hashes of the secrets that are good for it now.
type Found = (Key, Vec<String>);

/// A key that a person names.
struct Named {
    api_key: String,
    revoked: bool,
}

impl KeyStore {
    /// Opens the store of a state folder, and makes both where they are missing: the folder with
    /// mode 0700, the file with 0600.
    pub fn create(state: &Path) -> Result<Self, KeysError> {
        file::create(state)?;
        Self::open(state)
    }

    /// Opens the store of a state folder, which must be there.
    pub fn open(state: &Path) -> Result<Self, KeysError> {
        Self::with_clock(state, Box::new(Now::by_the_machine))
    }

    pub(super) fn with_clock(state: &Path, clock: Clock) -> Result<Self, KeysError> {
        let (path, connection) = (file::path_in(state), file::open(state)?);
        Ok(Self {
            identity: database::identity(&path),
            path,
            connection: Mutex::new(connection),
            verifier: Verifier::new()?,
            lockout: Mutex::default(),
            clock,
        })
    }

    /// Adds a key that may be used `quota` times a day, or any number of times.
    pub fn add(&self, name: &str, quota: Option<u32>) -> Result<Credentials, KeysError> {
        check_name(name)?;
        let credentials = Credentials::random()?;
        let hash = secret::hash(&credentials.api_secret)?;
        let created = self.now().millisecond();
        let namesake = self.change(|transaction| {
            let namesake = named(transaction, name)?;
            if namesake.is_none() {
                transaction.execute(
                    "INSERT INTO keys (name, api_key, secret_hash, quota, created_at)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![name, credentials.api_key, hash, quota, created],
                )?;
            }
            Ok(namesake)
        })?;
        let name = name.to_owned();
        match namesake {
            None => Ok(credentials),
            Some(Named { revoked: false, .. }) => Err(KeysError::Taken { name }),
            Some(Named { revoked: true, .. }) => Err(KeysError::TakenByRevoked { name }),
        }
    }

    /// Gives a key a new secret. The one before works on for `overlap`; one before that ends now.
    pub fn rotate(&self, name: &str, overlap: Duration) -> Result<Credentials, KeysError> {
        let api_secret = secret::random_secret()?;
        let hash = secret::hash(&api_secret)?;
        let until = (!overlap.is_zero()).then(|| {
            let overlap = i64::try_from(overlap.as_millis()).unwrap_or(i64::MAX);
            self.now().millisecond().saturating_add(overlap)
        });
        let key = self.change(|transaction| {
            transaction.execute(
                "UPDATE keys SET old_secret_hash = iif(?2 IS NULL, NULL, secret_hash),
                    old_secret_until = ?2, secret_hash = ?3
                 WHERE name = ?1 AND revoked_at IS NULL",
                params![name, until, hash],
            )?;
            named(transaction, name)
        })?;
        let name = name.to_owned();
        match key {
            None => Err(KeysError::Unknown { name }),
            Some(Named { revoked: true, .. }) => Err(KeysError::Revoked { name }),
            Some(Named { api_key, .. }) => Ok(Credentials { api_key, api_secret }),
        }
    }

    /// Makes a key worth nothing, for good. It stays in the list and in the audit log. A key that
    /// is revoked already stays as it is.
    pub fn revoke(&self, name: &str) -> Result<(), KeysError> {
        let now = self.now().millisecond();
        let changed = self.change(|transaction| {
            transaction.execute(
                "UPDATE keys SET revoked_at = coalesce(revoked_at, ?2) WHERE name = ?1",
                params![name, now],
            )
        })?;
        if changed == 0 { Err(KeysError::Unknown { name: name.to_owned() }) } else { Ok(()) }
    }

    /// All keys, in the order in which they were added.
    pub fn list(&self) -> Result<Vec<Listed>, KeysError> {
        let now = self.now();
        let time = |time: Option<i64>| time.map(|time| now.show(time));
        self.work(|connection| {
            let mut keys = connection.prepare("SELECT * FROM keys ORDER BY id")?;
            let listed = keys.query_map([], |row| {
                Ok(Listed {
                    name: row.get("name")?,
                    api_key: row.get("api_key")?,
                    quota: row.get("quota")?,
                    used_today: uses::counted(connection, row.get("id")?, &now)?,
                    created: now.show(row.get("created_at")?),
                    last_used: time(row.get("last_used_at")?),
                    revoked: time(row.get("revoked_at")?),
                })
            })?;
            listed.collect()
        })
    }

    /// The key of credentials that were right before in this process, and are still. They pass
    /// without Argon2, and whatever others at the same address may have guessed. `None` says that
    /// [`KeyStore::verify`] has to look at them.
    pub fn recall(
        &self,
        api_key: &str,
        api_secret: &str,
        client: IpAddr,
    ) -> Result<Option<Key>, KeysError> {
        let found = self.find(api_key)?;
        let known = found.filter(|(_, hashes)| self.verifier.remembers(hashes, api_secret));
        if known.is_some() {
            self.lockout().succeeded(client, api_key);
        }
        Ok(known.map(|(key, _)| key))
    }

    /// The key that these credentials are good for. [`Lockout`] decides whether those that are not
    /// known yet are looked at.
    pub fn verify(
        &self,
        api_key: &str,
        api_secret: &str,
        client: IpAddr,
    ) -> Result<Key, VerifyError> {
        let found = self.find(api_key)?;
        let hashes = found.as_ref().map_or(&[][..], |(_, hashes)| hashes);
        let known = self.verifier.remembers(hashes, api_secret)
            || self.prove(hashes, api_key, api_secret, client)?;
        match found {
            Some((key, _)) if known => {
                self.lockout().succeeded(client, api_key);
                Ok(key)
            }
            _ => Err(VerifyError::Wrong),
        }
    }

    /// Whether a key that has proven itself is still worth something.
    pub fn is_good(&self, key: &Key) -> Result<bool, KeysError> {
        self.work(|connection| {
            let query = "SELECT revoked_at IS NULL FROM keys WHERE id = ?1";
            Ok(connection.query_row(query, [key.id], |row| row.get(0)).optional()? == Some(true))
        })
    }

    /// The name of the key with this public half, revoked or not.
    pub fn name_of(&self, api_key: &str) -> Result<Option<String>, KeysError> {
        self.work(|connection| {
            let query = "SELECT name FROM keys WHERE api_key = ?1";
            connection.query_row(query, [api_key], |row| row.get(0)).optional()
        })
    }

    /// Whether the store works and its file is still the one that was opened.
    pub fn ping(&self) -> Result<(), KeysError> {
        if self.identity != database::identity(&self.path) {
            return Err(KeysError::Replaced { path: self.path.clone() });
        }
        self.work(|connection| {
            connection.query_row("SELECT id FROM keys LIMIT 1", [], |_| Ok(())).optional()
        })?;
        Ok(())
    }

    /// Runs Argon2, if this client may guess. What is wrong counts against it.
    fn prove(
        &self,
        hashes: &[String],
        api_key: &str,
        api_secret: &str,
        client: IpAddr,
    ) -> Result<bool, VerifyError> {
        // Once at once, so that who is locked out does not wait, ...
        self.admit(client, api_key)?;
        let turn = self.verifier.turn();
        // ... and again, because meanwhile others may have sent the same secret, or used up this
        // client's guesses.
        if self.verifier.remembers(hashes, api_secret) {
            return Ok(true);
        }
        self.admit(client, api_key)?;
        let proven = turn.proves(hashes, api_secret)?;
        if !proven {
            self.lockout().failed(client, api_key, self.now().steady);
        }
        Ok(proven)
    }

    fn admit(&self, client: IpAddr, api_key: &str) -> Result<(), VerifyError> {
        let now = self.now().steady;
        let waits = self.lockout().check(client, api_key, now);
        waits.map_err(|retry_after| VerifyError::LockedOut { retry_after })
    }

    fn find(&self, api_key: &str) -> Result<Option<Found>, KeysError> {
        let now = self.now().millisecond();
        let found = |row: &Row<'_>| {
            let key = Key { id: row.get(0)?, name: row.get(1)?, quota: row.get(2)? };
            let old: Option<String> = row.get(4)?;
            Ok((key, [row.get(3)?].into_iter().chain(old).collect()))
        };
        self.work(|connection| {
            connection
                .query_row(
                    "SELECT id, name, quota, secret_hash,
                        iif(old_secret_until > ?2, old_secret_hash, NULL)
                     FROM keys WHERE api_key = ?1 AND revoked_at IS NULL",
                    params![api_key, now],
                    found,
                )
                .optional()
        })
    }

    pub(super) fn now(&self) -> Now {
        (self.clock)()
    }

    /// Works on the file, and says what went wrong in words.
    pub(super) fn work<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, KeysError> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut connection).map_err(|reason| DatabaseError::new(&self.path, reason).into())
    }

    /// Changes keys in one transaction, which is on the disk when this returns.
    pub(super) fn change<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, KeysError> {
        self.work(|connection| {
            database::be_durable(connection)?;
            let transaction = database::write(connection)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        })
    }

    fn lockout(&self) -> MutexGuard<'_, Lockout> {
        self.lockout.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn named(transaction: &Transaction<'_>, name: &str) -> rusqlite::Result<Option<Named>> {
    let read = |row: &Row<'_>| Ok(Named { api_key: row.get(0)?, revoked: row.get(1)? });
    let query = "SELECT api_key, revoked_at IS NOT NULL FROM keys WHERE name = ?1";
    transaction.query_row(query, [name], read).optional()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Seek, SeekFrom, Write};
    use std::thread;

    use super::super::fixture::{CLIENT, Fixture, key, new_use};
    use super::*;

    const WRONG: &str = "not the secret";

    fn verify(store: &KeyStore, credentials: &Credentials) -> Result<Key, VerifyError> {
        store.verify(&credentials.api_key, &credentials.api_secret, CLIENT)
    }

    fn is_wrong(verified: Result<Key, VerifyError>) -> bool {
        matches!(verified, Err(VerifyError::Wrong))
    }

    /// Fails ten times, which is what a client may.
    fn lock_out(store: &KeyStore, api_key: &str) {
        for _ in 0..10 {
            assert!(is_wrong(store.verify(api_key, WRONG, CLIENT)));
        }
        let refused = store.verify(api_key, WRONG, CLIENT);
        assert!(matches!(refused, Err(VerifyError::LockedOut { .. })), "{refused:?}");
    }

    #[test]
    fn key_survives_reopening_and_its_secret_is_not_in_any_file() {
        let fixture = Fixture::new();
        let credentials = fixture.open().add("branch", Some(7)).unwrap();
        let store = fixture.open();
        let key = verify(&store, &credentials).unwrap();
        assert_eq!((key.name.as_str(), key.quota), ("branch", Some(7)));
        for entry in fs::read_dir(fixture.folder.path()).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            let secret = credentials.api_secret.as_bytes();
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
    }

    #[test]
    fn right_secret_costs_argon2_once_per_process() {
        let fixture = Fixture::new();
        let credentials = fixture.open().add("branch", None).unwrap();
        let store = fixture.open();
        for _ in 0..50 {
            verify(&store, &credentials).unwrap();
        }
        assert_eq!(store.verifier.runs(), 1);
    }

    #[test]
    fn first_requests_at_once_share_one_argon2() {
        let fixture = Fixture::new();
        let store = fixture.open();
        let credentials = store.add("branch", None).unwrap();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| verify(&store, &credentials).unwrap());
            }
        });
        assert_eq!(store.verifier.runs(), 1);
    }

    #[test]
    fn unknown_key_is_answered_and_costs_like_a_wrong_secret() {
        let fixture = Fixture::new();
        let store = fixture.open();
        let credentials = store.add("branch", None).unwrap();
        assert!(is_wrong(store.verify(&credentials.api_key, WRONG, CLIENT)));
        assert_eq!(store.verifier.runs(), 1);
        assert!(is_wrong(store.verify(&"0".repeat(32), WRONG, CLIENT)));
        assert_eq!(store.verifier.runs(), 2);
    }

    #[test]
    fn key_added_or_revoked_in_one_process_counts_in_the_other_at_once() {
        let fixture = Fixture::new();
        let (server, cli) = (fixture.open(), fixture.open());
        let credentials = cli.add("branch", None).unwrap();
        assert!(verify(&server, &credentials).is_ok());
        cli.revoke("branch").unwrap();
        assert!(is_wrong(verify(&server, &credentials)));
    }

    #[test]
    fn revoking_again_changes_nothing() {
        let fixture = Fixture::new();
        let store = fixture.open();
        store.add("branch", None).unwrap();
        store.revoke("branch").unwrap();
        let before = store.list().unwrap();
        fixture.pass(Duration::from_secs(60));
        store.revoke("branch").unwrap();
        assert_eq!(store.list().unwrap(), before);
    }

    #[test]
    fn rotation_ends_the_old_secret_at_once_unless_it_may_overlap() {
        let fixture = Fixture::new();
        let store = fixture.open();
        let old = store.add("branch", None).unwrap();
        verify(&store, &old).unwrap();
        let new = store.rotate("branch", Duration::ZERO).unwrap();
        assert_eq!(new.api_key, old.api_key);
        assert!(verify(&store, &new).is_ok());
        assert!(is_wrong(verify(&store, &old)));
    }

    #[test]
    fn old_secret_works_until_its_overlap_is_over() {
        let fixture = Fixture::new();
        let (server, cli) = (fixture.open(), fixture.open());
        let old = cli.add("branch", None).unwrap();
        let new = cli.rotate("branch", Duration::from_secs(3600)).unwrap();
        fixture.pass(Duration::from_secs(3599));
        assert!(verify(&server, &old).is_ok() && verify(&server, &new).is_ok());
        fixture.pass(Duration::from_secs(1));
        assert!(is_wrong(verify(&server, &old)));
        assert!(verify(&server, &new).is_ok());
    }

    #[test]
    fn second_rotation_ends_the_first_secret_whatever_its_overlap() {
        let fixture = Fixture::new();
        let store = fixture.open();
        let hour = Duration::from_secs(3600);
        let secrets = [
            store.add("branch", None).unwrap(),
            store.rotate("branch", hour).unwrap(),
            store.rotate("branch", hour).unwrap(),
        ];
        assert!(is_wrong(verify(&store, &secrets[0])));
        assert!(verify(&store, &secrets[1]).is_ok() && verify(&store, &secrets[2]).is_ok());
    }

    #[test]
    fn name_is_taken_once_and_for_good() {
        let fixture = Fixture::new();
        let store = fixture.open();
        store.add("branch", None).unwrap();
        assert!(matches!(store.add("branch", None), Err(KeysError::Taken { .. })));
        store.revoke("branch").unwrap();
        assert!(matches!(store.add("branch", None), Err(KeysError::TakenByRevoked { .. })));
        assert!(matches!(store.rotate("branch", Duration::ZERO), Err(KeysError::Revoked { .. })));
        assert!(matches!(store.add("", None), Err(KeysError::Name)));
    }

    #[test]
    fn unknown_name_is_an_error() {
        let fixture = Fixture::new();
        let store = fixture.open();
        let unknown = |error| matches!(error, KeysError::Unknown { name } if name == "nobody");
        assert!(unknown(store.revoke("nobody").unwrap_err()));
        assert!(unknown(store.rotate("nobody", Duration::ZERO).unwrap_err()));
    }

    #[test]
    fn list_tells_all_of_a_key_but_its_secret() {
        let fixture = Fixture::new();
        let store = fixture.open();
        let key = key(&store, "branch", Some(5));
        store.add("idle", None).unwrap();
        fixture.pass(Duration::from_secs(90));
        store.begin_use(&key, &new_use("A")).unwrap();
        store.revoke("idle").unwrap();
        let [branch, idle] = &store.list().unwrap()[..] else { panic!("two keys expected") };
        assert_eq!((branch.name.as_str(), branch.quota, branch.used_today), ("branch", Some(5), 1));
        assert_eq!(branch.created, "2026-03-04T22:00:00.000+07:00");
        assert_eq!(branch.last_used.as_deref(), Some("2026-03-04T22:01:30.000+07:00"));
        assert_eq!((&branch.revoked, &idle.last_used, idle.used_today), (&None, &None, 0));
        assert_eq!(idle.revoked.as_deref(), Some("2026-03-04T22:01:30.000+07:00"));
    }

    #[test]
    fn who_guesses_is_refused_without_argon2_and_told_how_long() {
        let fixture = Fixture::new();
        let store = fixture.open();
        let credentials = store.add("branch", None).unwrap();
        lock_out(&store, &credentials.api_key);
        let runs = store.verifier.runs();
        let refused = verify(&store, &credentials);
        let Err(VerifyError::LockedOut { retry_after }) = refused else { panic!("{refused:?}") };
        assert_eq!((retry_after.as_secs(), store.verifier.runs()), (30, runs));
        fixture.pass(retry_after);
        assert!(verify(&store, &credentials).is_ok());
        assert!(is_wrong(store.verify(&credentials.api_key, WRONG, CLIENT)));
    }

    #[test]
    fn lock_out_stops_nobody_whose_credentials_were_right_before() {
        let fixture = Fixture::new();
        let store = fixture.open();
        let credentials = store.add("branch", None).unwrap();
        verify(&store, &credentials).unwrap();
        lock_out(&store, &credentials.api_key);
        assert!(verify(&store, &credentials).is_ok());
    }

    #[test]
    fn many_guesses_at_once_are_no_more_than_one_after_the_other() {
        let fixture = Fixture::new();
        let store = fixture.open();
        let credentials = store.add("branch", None).unwrap();
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| store.verify(&credentials.api_key, WRONG, CLIENT).unwrap_err());
            }
        });
        assert_eq!(store.verifier.runs(), 10);
    }

    #[test]
    fn ping_notices_a_file_that_was_moved_away_or_replaced() {
        let fixture = Fixture::new();
        let store = fixture.open();
        store.ping().unwrap();
        let path = file::path_in(fixture.folder.path());
        fs::rename(&path, path.with_extension("old")).unwrap();
        assert!(matches!(store.ping(), Err(KeysError::Replaced { .. })));
        fs::write(&path, "").unwrap();
        assert!(matches!(store.ping(), Err(KeysError::Replaced { .. })));
    }

    #[test]
    fn damage_inside_the_file_is_called_so() {
        let fixture = Fixture::new();
        let store = fixture.open();
        for index in 0..200 {
            let add = "INSERT INTO keys (name, api_key, secret_hash, created_at)
                       VALUES (?1, ?1, ?1, 0)";
            store.work(|c| c.execute(add, [format!("{index:064}")])).unwrap();
        }
        // Whoever closes the file last moves all into it.
        drop(store);
        let path = file::path_in(fixture.folder.path());
        let mut raw = fs::OpenOptions::new().write(true).open(path).unwrap();
        // Behind the first page, which has the schema.
        raw.seek(SeekFrom::Start(4096)).unwrap();
        raw.write_all(&[0xff; 4 * 4096]).unwrap();
        let error = fixture.open().list().unwrap_err();
        assert!(matches!(error, KeysError::Database(DatabaseError::Damaged { .. })), "{error}");
    }
}
