//! Where pages are between the scanner and the kiosk: a folder for this user's eyes only, which goes
//! with the scan.
//!
//! Its owner holds a lock on it as long as it runs. A folder that nobody holds was left by a crash.

use std::env;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use ulid::Ulid;

/// What the folders' names begin with.
const PREFIX: &str = "cic-kiosk-sane-";

/// A folder for one scan; it is removed with all that is in it when this is dropped.
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// An empty one.
    pub fn create(within: &Path) -> io::Result<Self> {
        let path = within.join(format!("{PREFIX}{}", Ulid::new()));
        // Fails where there is something already: nobody can put a folder of their own in its place.
        DirBuilder::new().mode(0o700).create(&path)?;
        let lock = File::open(&path).and_then(|folder| {
            folder.try_lock()?;
            Ok(folder)
        });
        match lock {
            Ok(lock) => Ok(Self { path, _lock: lock }),
            Err(error) => {
                let _ = fs::remove_dir(&path);
                Err(error)
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            log::warn!("a folder of scanned pages cannot be removed: {error}");
        }
    }
}

/// Where folders are made: what systemd gives the service for as long as it runs, or else the
/// system's place for temporary files.
pub(super) fn place() -> PathBuf {
    let given = env::var_os("RUNTIME_DIRECTORY").filter(|given| !given.is_empty());
    // There can be several, with colons between them.
    let first = given.and_then(|given| env::split_paths(&given).next());
    first.unwrap_or_else(env::temp_dir)
}

/// Removes what was left by a crash.
pub(super) fn sweep(within: &Path) {
    for entry in fs::read_dir(within).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes());
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_ours || !is_folder {
            continue;
        }
        // Another user's cannot be opened.
        let Ok(folder) = File::open(entry.path()) else { continue };
        if folder.try_lock().is_ok() && fs::remove_dir_all(entry.path()).is_ok() {
            log::warn!("removed a folder of scanned pages that a crash had left");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn folder_is_private_and_goes_with_its_scan() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::create(place.path()).unwrap();
        let mode = fs::metadata(folder.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::write(folder.path().join("1.tif"), "a page").unwrap();
        drop(folder);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_crash_left_is_swept_and_what_is_in_use_is_not() {
        let place = tempfile::tempdir().unwrap();
        let used = Folder::create(place.path()).unwrap();
        let left = place.path().join(format!("{PREFIX}{}", Ulid::new()));
        fs::create_dir(&left).unwrap();
        fs::write(left.join("1.tif"), "a page").unwrap();
        let other = place.path().join("other");
        fs::create_dir(&other).unwrap();
        sweep(place.path());
        assert!(used.path().exists() && other.exists() && !left.exists());
    }
}
