//! Everything that is of papers, erased.
//!
//! First goes what the sealing keys are mixed with: from then on nothing that is sealed opens, even
//! where a flash disk keeps old content. Then the files go. It may be interrupted at any moment, and
//! begun again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use super::seal::SALT;
use super::{OutboxError, file};

/// Zeros that are written at once.
const ZEROS: usize = 1 << 20;

/// Erases the outbox of a state folder, and what lies in the hot folder; says how many files went.
///
/// # Errors
/// [`OutboxError::InUse`] beside another daemon; where the disk fails, with what is left.
pub fn wipe(state: &Path, folder: Option<&Path>) -> Result<usize, OutboxError> {
    let _lock = file::lock(state)?;
    let failed = |reason| OutboxError::NotErased { reason };
    let mut erased = erase(state, |name| name.starts_with(SALT)).map_err(failed)?;
    // What SQLite has beside it, and what was set aside.
    let outbox = file::path_in(Path::new(""));
    let outbox = outbox.to_string_lossy();
    erased += erase(state, |name| name.starts_with(&*outbox)).map_err(failed)?;
    if let Some(folder) = folder {
        for folder in [folder.to_owned(), folder.join("done"), folder.join("failed")] {
            erased += erase(&folder, |_| true).map_err(failed)?;
        }
    }
    Ok(erased)
}

/// Overwrites and removes the files of a folder; none where there is no such folder. No link is
/// followed.
fn erase(folder: &Path, which: impl Fn(&str) -> bool) -> io::Result<usize> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut erased = 0;
    for entry in entries {
        let entry = entry?;
        if !entry.file_type()?.is_file() || !which(&entry.file_name().to_string_lossy()) {
            continue;
        }
        // A file that cannot be overwritten can be removed all the same.
        if let Err(error) = overwrite(&entry.path()) {
            log::warn!("a file is removed that could not be overwritten: {error}");
        }
        fs::remove_file(entry.path())?;
        erased += 1;
    }
    File::open(folder)?.sync_all()?;
    Ok(erased)
}

fn overwrite(path: &Path) -> io::Result<()> {
    let flags = OFlags::NOFOLLOW.bits() as i32;
    let mut file = OpenOptions::new().write(true).custom_flags(flags).open(path)?;
    let mut left = file.metadata()?.len();
    let zeros = vec![0; ZEROS];
    while left > 0 {
        let now = left.min(ZEROS as u64);
        file.write_all(&zeros[..now as usize])?;
        left -= now;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use cic_kiosk::config;
    use cic_kiosk::page::Files;
    use ulid::Ulid;

    use super::super::{Outbox, Salt, SealingKeys};
    use super::*;
    use crate::credentials::Credentials;

    const PAPER: &[u8] = b"what is on the paper";

    fn keys(folder: &Path) -> SealingKeys {
        SealingKeys::load(&Credentials::new(Some(folder)), folder).unwrap()
    }

    #[tokio::test]
    async fn after_a_wipe_nothing_is_there_and_a_copy_from_before_does_not_open() {
        let folder = tempfile::tempdir().unwrap();
        let (state, hot) = (folder.path(), folder.path().join("hot"));
        fs::write(state.join("outbox-key"), [7; 32]).unwrap();
        fs::create_dir_all(hot.join("done")).unwrap();
        fs::write(hot.join("done/paper.pdf"), PAPER).unwrap();
        fs::write(hot.join("other.pdf"), PAPER).unwrap();
        let elsewhere = state.join("not-ours");
        fs::write(&elsewhere, PAPER).unwrap();
        std::os::unix::fs::symlink(&elsewhere, hot.join("link.pdf")).unwrap();
        Salt::make(state).unwrap();
        let scan = Ulid::new();
        let outbox = Outbox::open(state, keys(state), config::Outbox::default()).unwrap();
        outbox.put(scan, PAPER.to_vec()).await.unwrap();
        outbox.close().await;
        let copy = fs::read(state.join("outbox.sqlite")).unwrap();

        assert!(wipe(state, Some(&hot)).unwrap() >= 4);
        assert!(!hot.join("done/paper.pdf").exists() && !hot.join("other.pdf").exists());
        assert_eq!(fs::read(&elsewhere).unwrap(), PAPER);
        Salt::make(state).unwrap();
        let outbox = Outbox::open(state, keys(state), config::Outbox::default()).unwrap();
        assert_eq!(outbox.figures().await.unwrap().results_waiting, 0);
        outbox.put(Ulid::new(), PAPER.to_vec()).await.unwrap();
        outbox.close().await;

        // The credential is the same: what was copied before does not open with it.
        for name in ["outbox.sqlite", "outbox.sqlite-wal", "outbox.sqlite-shm"] {
            let _ = fs::remove_file(state.join(name));
        }
        fs::write(state.join("outbox.sqlite"), copy).unwrap();
        let mut console = super::super::Console::open(state).unwrap();
        let opened = console.payload(&scan.to_string(), &keys(state)).map(|_: Files| ());
        assert!(matches!(opened, Err(OutboxError::KeyMissing { .. })), "{opened:?}");
        assert!(wipe(state, None).unwrap_or_default() > 0);
    }
}
