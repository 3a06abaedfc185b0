//! Where packages are kept, and which of them is in force.
//!
//! ```text
//! STATE/models/in-force.json   which one, and what is known of it
//! STATE/models/1.2.0/          a package, unpacked
//! STATE/models/incoming/       what is being fetched or unpacked
//! STATE/models/lock            held by who changes anything
//! ```
//!
//! Promises:
//! - `in-force.json` is the old one or the new one, whole, and names a package that is wholly on the
//!   disk.
//! - What it does not name is nobody's, and goes at the next start or installation.
//! - Who cannot read what it names uses the package before, and without one the installed models.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};

use super::Refusal;
use super::archive::{FIRST, check_folder};
use super::package::{Package, Version};
use super::trial::Record;
use crate::fleet::kept::{Found, KeptFile};

/// The folder in the state folder.
const FOLDER: &str = "models";

/// What is in force.
const IN_FORCE: &str = "in-force.json";

/// What is on its way in.
const INCOMING: &str = "incoming";

/// Held by who changes anything.
const LOCK: &str = "lock";

/// How long what was ordered waits for it, looking so often.
const SOON: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(20);

/// Starts that a package on trial may fail.
const MAX_STARTS: u32 = 3;

/// How long what was fetched in part waits to be gone on with.
const PART_TIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Packages that did not do, as many as are remembered.
const MAX_FAILED: usize = 16;

/// A package that has yet to show how it does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Trial {
    /// Starts with it that did not come to anything yet.
    pub starts: u32,
    /// Seconds that the service has worked with it.
    pub seconds: u64,
    /// How documents were read before it.
    pub before: Record,
}

/// A package that was left.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Failed {
    /// Which one.
    pub version: Version,
    /// Why.
    pub reason: String,
}

/// What is in force, and what is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct InForce {
    /// The package; without one, the models that were installed with the program.
    pub current: Option<Version>,
    /// What was in force before; the same.
    pub previous: Option<Version>,
    /// Whether it is meant to be used although the installed models are newer.
    pub is_older: bool,
    /// The same of the one before.
    pub previous_is_older: bool,
    /// Until it has proven itself.
    pub trial: Option<Trial>,
    /// How documents were read with it.
    pub record: Record,
    /// Packages that did not do.
    pub failed: Vec<Failed>,
}

impl InForce {
    /// Goes back to what was before. What goes is not used again unasked if it `did_fail`.
    fn step_back(&mut self, reason: &str, did_fail: bool) {
        let before = self.trial.take().map(|trial| trial.before).unwrap_or_default();
        if let (Some(version), true) = (self.current, did_fail) {
            self.failed.retain(|it| it.version != version);
            self.failed.push(Failed { version, reason: reason.to_owned() });
            let surplus = self.failed.len().saturating_sub(MAX_FAILED);
            self.failed.drain(..surplus);
        }
        self.current = self.previous.take();
        self.is_older = std::mem::take(&mut self.previous_is_older);
        self.record = before;
    }
}

/// The folder of packages.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

/// Nobody else changes anything while this is held.
#[derive(Debug)]
pub struct Held {
    store: Store,
    _lock: File,
}

/// What the service begins to work with.
#[derive(Debug, Default)]
pub struct Begun {
    /// The package in force.
    pub package: Option<Package>,
    /// Packages that had to be left, and why.
    pub left: Vec<Failed>,
}

impl Store {
    /// Of the kiosk with this state folder.
    pub fn new(state: &Path) -> Self {
        Self { folder: state.join(FOLDER) }
    }

    /// What is in force. A file that cannot be read means the installed models: those always do.
    pub fn in_force(&self) -> InForce {
        match self.file().load("the installed models are used") {
            Found::Whole(it) => it,
            Found::Nothing | Found::Lost => InForce::default(),
        }
    }

    /// What the package in force says of itself.
    pub fn in_force_package(&self) -> Option<Package> {
        let folder = self.package(self.in_force().current?);
        Package::parse(&fs::read_to_string(folder.join(FIRST)).ok()?).ok()
    }

    fn file(&self) -> KeptFile {
        KeptFile::new(&self.folder, IN_FORCE)
    }

    /// The folder of a package's models.
    pub fn models(&self, version: Version) -> PathBuf {
        self.package(version).join("models")
    }

    /// The folder of a package.
    pub fn package(&self, version: Version) -> PathBuf {
        self.folder.join(version.to_string())
    }

    /// The packages that are there, in their order.
    pub fn packages(&self) -> Vec<Version> {
        let names = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut versions: Vec<Version> =
            names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        versions.sort_unstable();
        versions
    }

    /// What the service begins to work with: the package in force if it is whole, fits this program
    /// and is newer than the `installed` models, and did not fail to start too often. Without one, the
    /// installed models.
    pub fn begin(&self, installed: Option<Version>, program: Version) -> Begun {
        let begun = match self.hold() {
            Ok(held) => held.begin(installed, program),
            Err(Refusal::Busy) => {
                // Somebody installs right now: what is in force stays until then.
                let now = self.in_force().current.map(|it| check_folder(&self.package(it)));
                Ok(Begun { package: now.and_then(Result::ok), left: Vec::new() })
            }
            Err(Refusal::Disk(error)) => Err(error),
            Err(error) => Err(io::Error::other(error)),
        };
        begun.unwrap_or_else(|error| {
            log::error!("packages of models are not used: {error}");
            Begun::default()
        })
    }

    /// Makes the folder if need be, and holds it.
    ///
    /// # Errors
    /// Where somebody else holds it, or it is another user's.
    pub fn hold(&self) -> Result<Held, Refusal> {
        if let Some(state) = self.folder.parent() {
            // What another user makes here, the service could not take away again.
            let (owner, user) = (fs::metadata(state)?.uid(), geteuid().as_raw());
            if owner != user {
                let reason = format!(
                    "{} belongs to user {owner}, and this is {user}; run this as that user, with \
                     `runuser -u cic-kiosk --`",
                    state.display()
                );
                return Err(io::Error::other(reason).into());
            }
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.folder.join(LOCK))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| Refusal::Busy)?;
        Ok(Held { store: self.clone(), _lock: lock })
    }

    /// The same for what was ordered: whoever only writes down how the models do is done in a moment.
    /// Blocks until then.
    ///
    /// # Errors
    /// Where somebody else holds it for longer, or it is another user's.
    pub fn hold_soon(&self) -> Result<Held, Refusal> {
        let deadline = Instant::now() + SOON;
        loop {
            match self.hold() {
                Err(Refusal::Busy) if Instant::now() < deadline => thread::sleep(PAUSE),
                held => return held,
            }
        }
    }
}

impl Held {
    /// Where what comes in may lie: it goes when nobody needs it.
    pub fn incoming(&self) -> io::Result<PathBuf> {
        let folder = self.store.folder.join(INCOMING);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(folder)
    }

    /// Takes away what is nobody's. Of what comes in, this file stays.
    pub fn clean(&self, kept: Option<&str>) -> io::Result<()> {
        self.store.file().clean()?;
        let InForce { current, previous, .. } = self.store.in_force();
        for version in self.store.packages() {
            if Some(version) != current && Some(version) != previous {
                fs::remove_dir_all(self.store.package(version))?;
            }
        }
        for entry in fs::read_dir(self.incoming()?)? {
            let path = entry?.path();
            let is_kept = path.file_name().and_then(|name| name.to_str()) == kept && path.is_file();
            if path.is_dir() {
                fs::remove_dir_all(&path)?;
            } else if !is_kept {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Gives an unpacked package its place, in that of one of the same version that is not in force.
    pub fn place(&self, unpacked: &Path, version: Version) -> Result<(), Refusal> {
        let InForce { current, .. } = self.store.in_force();
        if current == Some(version) {
            return Err(Refusal::Older { its: version, present: version });
        }
        let place = self.store.package(version);
        if place.exists() {
            fs::remove_dir_all(&place)?;
        }
        fs::rename(unpacked, &place)?;
        Ok(File::open(&self.store.folder)?.sync_all()?)
    }

    /// Puts a package in force, on trial.
    pub fn switch(&self, version: Version, is_older: bool) -> io::Result<InForce> {
        self.change(|now| {
            // Who has not proven itself is nothing to go back to: what was there before it is.
            let before = match &now.trial {
                Some(trial) => trial.before,
                None => {
                    now.previous = now.current;
                    now.previous_is_older = now.is_older;
                    now.record
                }
            };
            if now.previous == Some(version) {
                now.previous = None;
            }
            now.current = Some(version);
            now.is_older = is_older;
            now.trial = Some(Trial { before: before.recent(), ..Trial::default() });
            now.record = Record::default();
            now.failed.retain(|it| it.version != version);
        })
    }

    /// Goes back to what was in force before.
    pub fn roll_back(&self, reason: &str) -> Result<InForce, Refusal> {
        if self.store.in_force().current.is_none() {
            return Err(Refusal::Nothing);
        }
        Ok(self.change(|now| now.step_back(reason, true))?)
    }

    /// Changes what is known. When this returns, it is on the disk.
    pub fn change(&self, change: impl FnOnce(&mut InForce)) -> io::Result<InForce> {
        let mut now = self.store.in_force();
        change(&mut now);
        self.store.file().save(&now)?;
        Ok(now)
    }

    fn begin(&self, installed: Option<Version>, program: Version) -> io::Result<Begun> {
        let mut begun = Begun::default();
        loop {
            let now = self.store.in_force();
            let Some(version) = now.current else { break };
            let (reason, did_fail) = match check_folder(&self.store.package(version)) {
                Err(error) => (error.to_string(), false),
                Ok(package) if package.program > program => (
                    format!("it needs cic-kiosk {}, and this is {program}", package.program),
                    false,
                ),
                Ok(_) if !now.is_older && installed.is_some_and(|it| it >= version) => {
                    ("the installed models are as new".to_owned(), false)
                }
                Ok(_) if now.trial.as_ref().is_some_and(|it| it.starts >= MAX_STARTS) => {
                    (format!("the service did not work after {MAX_STARTS} starts with it"), true)
                }
                Ok(package) => {
                    if now.trial.is_some() {
                        self.change(|now| {
                            now.trial.iter_mut().for_each(|trial| trial.starts += 1);
                        })?;
                    }
                    begun.package = Some(package);
                    break;
                }
            };
            self.change(|now| now.step_back(&reason, did_fail))?;
            begun.left.push(Failed { version, reason });
        }
        self.clean_keeping_parts()?;
        Ok(begun)
    }

    /// What was fetched in part is gone on with, unless nobody did for long; what was unpacked in part
    /// is not.
    pub fn clean_keeping_parts(&self) -> io::Result<()> {
        let mut parts: Vec<_> = fs::read_dir(self.incoming()?)?
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|it| it == "part"))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.file_name())))
            .collect();
        parts.sort_unstable();
        // By a clock that was put back, it is young.
        let newest = parts.pop().filter(|(at, _)| at.elapsed().unwrap_or_default() < PART_TIME);
        let newest = newest.and_then(|(_, name)| name.into_string().ok());
        self.clean(newest.as_deref())
    }

    /// The folder that is held.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tempfile::TempDir;

    use super::*;

    struct Fixture {
        state: TempDir,
        store: Store,
    }

    impl Fixture {
        fn new() -> Self {
            let state = tempfile::tempdir().unwrap();
            let store = Store::new(state.path());
            Self { state, store }
        }

        /// A package whose files are what it says, in force on trial.
        fn install(&self, version: &str) -> Version {
            let held = self.store.hold().unwrap();
            let folder = held.incoming().unwrap().join("unpacked");
            for part in ["models", "golden"] {
                fs::create_dir_all(folder.join(part)).unwrap();
            }
            let mut files = String::new();
            for path in ["models/manifest.toml", "golden/a.png", "golden/a.json"] {
                fs::write(folder.join(path), b"abc").unwrap();
                files += &format!(
                    "[[file]]\npath = \"{path}\"\nbytes = 3\nsha256 = \"ba7816bf8f01cfea414140de5d\
                     ae2223b00361a396177a9cb410ff61f20015ad\"\n"
                );
            }
            let text = format!(
                "format = 1\nversion = \"{version}\"\ncreated = \"2026-01-01T00:00:00Z\"\n\
                 expires = \"2027-01-01T00:00:00Z\"\ndevices = [\"any\"]\nprogram = \"0.1.0\"\n\
                 golden = {{ right = 1.0, slowdown = 2.0 }}\n{files}"
            );
            fs::write(folder.join(FIRST), text).unwrap();
            let version = version.parse().unwrap();
            held.place(&folder, version).unwrap();
            held.switch(version, false).unwrap();
            held.clean(None).unwrap();
            version
        }

        /// The same, and it has proven itself.
        fn prove(&self, version: &str) -> Version {
            let version = self.install(version);
            self.store.hold().unwrap().change(|now| now.trial = None).unwrap();
            version
        }

        fn begin(&self, installed: &str) -> Begun {
            let program = "0.1.0".parse().unwrap();
            self.store.begin(installed.parse().ok(), program)
        }

        fn begun(&self) -> Option<Version> {
            self.begin("0.0.1").package.map(|package| package.version)
        }
    }

    #[test]
    fn package_is_in_force_from_the_switch_on_and_the_one_before_stays() {
        let fixture = Fixture::new();
        assert_eq!(fixture.begun(), None);
        let [one, two] = ["1.0.0", "1.1.0"].map(|it| fixture.prove(it));
        let three = fixture.install("1.2.0");
        assert_eq!(fixture.begun(), Some(three));
        assert_eq!(fixture.store.packages(), [two, three], "{one} is nobody's any more");
        let back = fixture.store.hold().unwrap().roll_back("why not").unwrap();
        assert_eq!((back.current, back.trial), (Some(two), None));
        assert_eq!(back.failed, [Failed { version: three, reason: "why not".to_owned() }]);
        assert_eq!(fixture.begun(), Some(two));
        assert_eq!(fixture.store.packages(), [two]);
        fixture.store.hold().unwrap().roll_back("again").unwrap();
        assert_eq!(fixture.begun(), None);
        assert!(matches!(fixture.store.hold().unwrap().roll_back(""), Err(Refusal::Nothing)));
    }

    #[test]
    fn package_that_has_not_proven_itself_is_nothing_to_go_back_to() {
        let fixture = Fixture::new();
        let one = fixture.prove("1.0.0");
        fixture.install("1.1.0");
        fixture.install("1.2.0");
        let back = fixture.store.hold().unwrap().roll_back("worse").unwrap();
        assert_eq!((back.current, back.previous), (Some(one), None));
        assert_eq!(fixture.begun(), Some(one));
    }

    #[test]
    fn package_with_which_the_service_does_not_start_is_left_after_three_tries() {
        let fixture = Fixture::new();
        let version = fixture.install("1.0.0");
        for _ in 0..3 {
            assert_eq!(fixture.begun(), Some(version));
        }
        let begun = fixture.begin("0.0.1");
        assert!(begun.package.is_none() && begun.left[0].reason.contains("3 starts"));
        assert_eq!(fixture.store.in_force().failed[0].version, version);
    }

    #[test]
    fn damaged_package_is_left_for_the_one_before_and_that_for_the_installed_models() {
        let fixture = Fixture::new();
        let one = fixture.prove("1.0.0");
        let two = fixture.install("1.1.0");
        fs::write(fixture.store.models(two).join("manifest.toml"), b"abd").unwrap();
        assert_eq!(fixture.begun(), Some(one));
        fs::remove_file(fixture.store.package(one).join(FIRST)).unwrap();
        let begun = fixture.begin("0.0.1");
        assert!(begun.package.is_none() && begun.left.len() == 1);
        assert!(fixture.store.in_force().failed.is_empty(), "it is not the package's fault");
        fs::write(fixture.state.path().join("models/in-force.json"), b"{\"current\":").unwrap();
        assert_eq!(fixture.begun(), None);
    }

    #[test]
    fn installed_models_that_are_as_new_are_used_unless_an_older_package_was_asked_for() {
        let fixture = Fixture::new();
        let version = fixture.install("1.0.0");
        assert!(fixture.begin("0.9.0").package.is_some());
        assert!(fixture.begin("1.0.0").package.is_none());
        let version_again = fixture.install("1.0.0");
        assert_eq!(version, version_again);
        fixture.store.hold().unwrap().switch(version, true).unwrap();
        assert!(fixture.begin("2.0.0").package.is_some());
    }

    #[test]
    fn what_is_half_there_is_nobodys_and_goes() {
        let fixture = Fixture::new();
        let version = fixture.install("1.0.0");
        let folder = fixture.state.path().join("models");
        fs::create_dir_all(folder.join("incoming/unpacked/models")).unwrap();
        fs::create_dir_all(folder.join("9.9.9")).unwrap();
        fs::write(folder.join("incoming/x.cicmodel"), b"half").unwrap();
        fs::write(folder.join("incoming/y.part"), b"half").unwrap();
        fs::write(folder.join("in-force.json.new"), b"{\"curr").unwrap();
        assert_eq!(fixture.begun(), Some(version));
        assert_eq!(fixture.store.packages(), [version]);
        let left: Vec<_> = fs::read_dir(folder.join("incoming")).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "what was fetched in part is gone on with: {left:?}");
        assert!(!folder.join("in-force.json.new").exists());
        // Unless nobody has for too long.
        let part = File::options().append(true).open(left[0].path()).unwrap();
        part.set_modified(SystemTime::now() - PART_TIME).unwrap();
        assert_eq!(fixture.begun(), Some(version));
        assert_eq!(fs::read_dir(folder.join("incoming")).unwrap().count(), 0);
    }

    #[test]
    fn only_one_changes_anything_at_a_time() {
        let fixture = Fixture::new();
        let held = fixture.store.hold().unwrap();
        assert!(matches!(fixture.store.hold(), Err(Refusal::Busy)));
        // What was ordered waits for who is done soon.
        let store = fixture.store.clone();
        let ordered = thread::spawn(move || store.hold_soon().is_ok());
        thread::sleep(3 * PAUSE);
        drop(held);
        assert!(ordered.join().unwrap());
        assert!(fixture.store.hold().is_ok());
    }
}
