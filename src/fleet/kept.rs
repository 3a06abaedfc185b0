//! Small files of the state folder that are kept whole.
//!
//! Promise: whenever the power fails, the file is the old one or the new one, whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// One of them, in JSON.
#[derive(Clone, Debug)]
pub struct KeptFile {
    path: PathBuf,
}

/// What there was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// It.
    Whole(T),
    /// No file.
    Nothing,
    /// A file that cannot be read, or is damaged. That was logged; a damaged one was moved aside.
    Lost,
}

impl KeptFile {
    /// Of this name, in this folder.
    pub fn new(state: &Path, name: &str) -> Self {
        Self { path: state.join(name) }
    }

    /// What is kept; `what` says what that is, and what becomes of it where it is lost.
    pub fn load<T: DeserializeOwned>(&self, what: &str) -> Found<T> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
            Err(error) => {
                log::error!("cannot read {}: {error}; {what}", self.path.display());
                return Found::Lost;
            }
        };
        match serde_json::from_slice(&text) {
            Ok(it) => Found::Whole(it),
            Err(error) => {
                let aside = self.path.with_extension("json.damaged");
                let place = format!("line {}, column {}", error.line(), error.column());
                log::error!(
                    "{} is damaged ({place}) and is moved to {}; {what}",
                    self.path.display(),
                    aside.display()
                );
                if let Err(error) = fs::rename(&self.path, &aside) {
                    log::error!("it cannot be moved: {error}");
                }
                Found::Lost
            }
        }
    }

    /// Keeps this. When it returns, it is on the disk.
    ///
    /// # Errors
    /// Where the disk fails; the file is as it was then.
    pub fn save(&self, kept: &impl Serialize) -> io::Result<()> {
        write(&self.path, &serde_json::to_vec(kept)?)
    }

    /// Takes away what a power cut has left of keeping something. Nobody may keep anything meanwhile.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn clean(&self) -> io::Result<()> {
        match fs::remove_file(beside(&self.path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Where a file is written before it takes its place.
fn beside(path: &Path) -> PathBuf {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    new.into()
}

/// Puts a file in the place of what there was, for this user's eyes only. When it returns, it is on
/// the disk.
///
/// # Errors
/// Where the disk fails; the file is as it was then.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = beside(path);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    // The name is on the disk when its folder is.
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use tempfile::tempdir;

    use super::*;

    #[test]
    fn what_is_saved_is_loaded_and_half_a_file_beside_it_changes_nothing() {
        let folder = tempdir().unwrap();
        let file = KeptFile::new(folder.path(), "it.json");
        assert_eq!(file.load::<u64>(""), Found::Nothing);
        file.save(&7).unwrap();
        let half = folder.path().join("it.json.new");
        fs::write(&half, "{\"half").unwrap();
        assert_eq!(file.load(""), Found::Whole(7));
        file.clean().unwrap();
        file.clean().unwrap();
        assert!(!half.exists());
        file.save(&8).unwrap();
        assert_eq!(file.load(""), Found::Whole(8));
    }

    #[test]
    fn damaged_file_is_moved_aside() {
        let folder = tempdir().unwrap();
        fs::write(folder.path().join("it.json"), "{\"levels\":").unwrap();
        assert_eq!(KeptFile::new(folder.path(), "it.json").load::<u64>(""), Found::Lost);
        assert!(folder.path().join("it.json.damaged").exists());
        assert!(!folder.path().join("it.json").exists());
    }
}
