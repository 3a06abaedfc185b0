//! What is kept of configurations from afar, over restarts: one small file in the state folder.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::message::{Desired, Level, Refusal};
use crate::fleet::kept::{Found, KeptFile};
use crate::fleet::presence::Versions;
use toml::Table;

/// Name of the file in the state folder.
const FILE: &str = "desired.json";

/// One thing for each level.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, bound(deserialize = "T: Deserialize<'de>"))]
pub struct Levels<T> {
    all: Option<T>,
    branch: Option<T>,
    kiosk: Option<T>,
}

impl<T> Default for Levels<T> {
    fn default() -> Self {
        Self { all: None, branch: None, kiosk: None }
    }
}

impl<T> Levels<T> {
    /// What there is for a level.
    pub fn get(&self, level: Level) -> Option<&T> {
        match level {
            Level::All => self.all.as_ref(),
            Level::Branch => self.branch.as_ref(),
            Level::Kiosk => self.kiosk.as_ref(),
        }
    }

    /// The same with another thing for a level.
    #[must_use]
    pub fn with(&self, level: Level, it: Option<T>) -> Self
    where
        T: Clone,
    {
        let mut with = self.clone();
        with.set(level, it);
        with
    }

    /// Changes what there is for a level.
    pub fn set(&mut self, level: Level, it: Option<T>) {
        match level {
            Level::All => self.all = it,
            Level::Branch => self.branch = it,
            Level::Kiosk => self.kiosk = it,
        }
    }
}

impl Levels<Desired> {
    /// All of them over each other, the kiosk's own on top.
    pub fn merged(&self) -> Table {
        let mut merged = Table::new();
        for level in Level::ALL {
            let Some(desired) = self.get(level) else { continue };
            for (section, keys) in &desired.settings {
                let keys = keys.as_table().cloned().unwrap_or_default();
                let place = merged.entry(section).or_insert_with(|| Table::new().into());
                if let Some(place) = place.as_table_mut() {
                    place.extend(keys);
                }
            }
        }
        merged
    }

    /// Levels, and their versions, that the others have otherwise or not at all.
    pub fn differing(&self, others: &Self) -> Vec<(Level, u64)> {
        let differs = |level: &Level| self.get(*level) != others.get(*level);
        let version = |level: Level| Some((level, self.get(level)?.version));
        Level::ALL.into_iter().filter(differs).filter_map(version).collect()
    }

    /// Which these are.
    pub fn versions(&self) -> Versions {
        let [all, branch, kiosk] = Level::ALL.map(|level| self.get(level).map(|it| it.version));
        Versions { all, branch, kiosk }
    }
}

/// Settings that have not shown yet that the kiosk can live with them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Trial {
    /// What was in force before, and is again when they have not.
    pub before: Levels<Desired>,
    /// They concern the broker, which must be reached with them.
    pub reach: bool,
    /// They need a restart, which must succeed with them.
    pub start: bool,
    /// Starts that were tried with them and did not succeed.
    pub starts: u32,
}

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Kept {
    /// What was taken over.
    pub levels: Levels<Desired>,
    /// What was in force before that, until somebody went back to it.
    pub previous: Option<Levels<Desired>>,
    /// If it has yet to show something.
    pub trial: Option<Trial>,
    /// What was tried and did not do: it stands retained at the broker, and comes again.
    pub tried: Levels<Refusal>,
}

/// The file.
#[derive(Clone, Debug)]
pub struct Store(KeptFile);

impl Store {
    /// In this state folder.
    pub fn new(state: &Path) -> Self {
        Self(KeptFile::new(state, FILE))
    }

    /// What is kept; nothing where there is no file, or none that is whole: what is desired comes
    /// again from the broker.
    pub fn load(&self) -> Kept {
        let what = "settings from afar are not in force until they come again from the broker";
        match self.0.load(what) {
            Found::Whole(kept) => kept,
            Found::Nothing | Found::Lost => Kept::default(),
        }
    }

    /// Keeps this. When it returns, it is on the disk.
    ///
    /// # Errors
    /// Where the disk fails; the file is as it was then.
    pub fn save(&self, kept: &Kept) -> io::Result<()> {
        self.0.save(kept)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::tempdir;

    use super::*;

    fn desired(version: u64, settings: &str) -> Option<Desired> {
        Some(Desired { version, settings: settings.parse().unwrap() })
    }

    fn levels() -> Levels<Desired> {
        Levels {
            all: desired(1, "[capture]\nasks = 1\nidle_seconds = 1\n[mqtt]\nwindow = 1"),
            branch: desired(2, "[capture]\nasks = 2\nidle_seconds = 2"),
            kiosk: desired(3, "[capture]\nasks = 3\n[decision]\nvalues = { cic_code = 0.5 }"),
        }
    }

    #[test]
    fn kiosks_own_settings_win_over_the_branchs_and_those_over_all() {
        let expected = "[capture]\nasks = 3\nidle_seconds = 2\n[mqtt]\nwindow = 1\n\
                        [decision]\nvalues = { cic_code = 0.5 }";
        assert_eq!(levels().merged(), expected.parse().unwrap());
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = tempdir().unwrap();
        let store = Store::new(folder.path());
        assert_eq!(store.load(), Kept::default());
        let trial = Trial { before: levels(), reach: true, start: false, starts: 2 };
        let previous = Some(Levels::default());
        let kept = Kept { levels: levels(), previous, trial: Some(trial), ..Kept::default() };
        store.save(&kept).unwrap();
        assert_eq!(store.load(), kept);
    }

    #[test]
    fn damaged_file_is_moved_aside_and_does_not_keep_the_kiosk_from_starting() {
        let folder = tempdir().unwrap();
        fs::write(folder.path().join(FILE), "{\"levels\":").unwrap();
        assert_eq!(Store::new(folder.path()).load(), Kept::default());
        assert!(folder.path().join("desired.json.damaged").exists());
        assert!(!folder.path().join(FILE).exists());
    }
}
