//! The hot folder: whoever can write a file hands in documents there.
//!
//! Promises:
//! - A file is taken when it is complete, and removed when it is accepted, not before.
//! - One file becomes one scan, whenever the program is killed: its scan's id becomes part of its
//!   name before it is accepted, and what is accepted twice under one id is one scan.
//! - What can never be accepted is moved to `refused`, with nothing lost, so that it holds up nobody.
//!
//! The folder is looked at once a second rather than watched by the kernel, which sees no changes
//! that another machine makes on a network share.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use ulid::Ulid;

/// How often it is looked at.
pub const LOOK: Duration = Duration::from_secs(1);

/// Where files go that can never be accepted.
const REFUSED: &str = "refused";

/// A name with the scan's id: `.01JD….taken-report.pdf`. Hidden, so that nobody takes it for new.
const TAKEN: &str = ".taken-";

/// A folder that files are dropped into.
pub struct Folder {
    path: PathBuf,
    settles: Duration,
    max_bytes: usize,
    seen: HashMap<PathBuf, Seen>,
}

/// A file as it was when it was last seen to change.
struct Seen {
    bytes: u64,
    modified: Option<SystemTime>,
    since: Instant,
}

/// A file that has its scan's id.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// The scan's id.
    pub scan: Ulid,
    path: PathBuf,
}

impl Folder {
    /// A folder that is there; files have to stay as they are for `settles` to be complete.
    pub fn new(path: &Path, settles: Duration, max_bytes: usize) -> Self {
        Self { path: path.to_owned(), settles, max_bytes, seen: HashMap::new() }
    }

    /// The files that are complete, each under its scan's id from now on. Those that were taken
    /// before come first.
    pub fn take(&mut self) -> io::Result<Vec<Taken>> {
        let (mut taken, mut complete) = (Vec::new(), Vec::new());
        let mut seen = HashMap::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let Ok(file) = entry.metadata() else { continue };
            // No folder, and no link that leads out of the folder.
            if !file.is_file() {
                continue;
            }
            let path = entry.path();
            if let Some(scan) = name.to_str().and_then(scan_in) {
                taken.push(Taken { scan, path });
                continue;
            }
            // Programs that copy write to a hidden file first.
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let (bytes, modified) = (file.len(), file.modified().ok());
            if bytes > self.max_bytes as u64 {
                self.refuse(&path)?;
                continue;
            }
            let before = self.seen.remove(&path);
            let now = match before.filter(|it| (it.bytes, it.modified) == (bytes, modified)) {
                Some(unchanged) => unchanged,
                None => Seen { bytes, modified, since: Instant::now() },
            };
            if now.since.elapsed() >= self.settles && bytes > 0 {
                complete.push((modified, path));
            } else {
                seen.insert(path, now);
            }
        }
        self.seen = seen;
        complete.sort();
        let mut renamed = false;
        for (_, path) in complete {
            let scan = Ulid::new();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let to = path.with_file_name(format!(".{scan}{TAKEN}{}", shortened(&name)));
            fs::rename(&path, &to)?;
            taken.push(Taken { scan, path: to });
            renamed = true;
        }
        if renamed {
            // Or else a power cut might give the file its old name back, and then another id.
            File::open(&self.path)?.sync_all()?;
        }
        Ok(taken)
    }

    /// Reads a file that was taken; `None` where it was moved aside because it has grown too large.
    pub fn read(&self, taken: &Taken) -> io::Result<Option<Vec<u8>>> {
        let limit = (self.max_bytes as u64).saturating_add(1);
        let mut bytes = Vec::new();
        File::open(&taken.path)?.take(limit).read_to_end(&mut bytes)?;
        if bytes.len() <= self.max_bytes {
            return Ok(Some(bytes));
        }
        self.refuse(&taken.path)?;
        Ok(None)
    }

    /// Moves a file aside that can never be accepted, under a name that nothing has there.
    fn refuse(&self, path: &Path) -> io::Result<()> {
        let refused = self.path.join(REFUSED);
        fs::create_dir_all(&refused)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = name.trim_start_matches('.');
        let mut to = refused.join(name);
        if to.exists() {
            to = refused.join(format!("{}-{}", Ulid::new(), shortened(name)));
        }
        fs::rename(path, to)?;
        log::error!(
            "a file in the folder has more bytes than limits.max_bytes; it was moved to {REFUSED}"
        );
        Ok(())
    }

    /// Removes a file that was accepted.
    pub fn remove(&self, taken: &Taken) -> io::Result<()> {
        fs::remove_file(&taken.path)
    }
}

/// The id in the name of a file that was taken.
fn scan_in(name: &str) -> Option<Ulid> {
    name.strip_prefix('.')?.split_once(TAKEN)?.0.parse().ok()
}

/// As much of a name as fits beside the id: file systems allow 255 bytes.
fn shortened(name: &str) -> &str {
    let mut start = name.len().saturating_sub(200);
    while !name.is_char_boundary(start) {
        start += 1;
    }
    &name[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 100;

    fn folder(settles: Duration) -> (tempfile::TempDir, Folder) {
        let folder = tempfile::tempdir().unwrap();
        let watched = Folder::new(folder.path(), settles, MAX);
        (folder, watched)
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn file_keeps_the_id_that_it_was_taken_under_until_it_is_removed() {
        let (folder, mut watched) = folder(Duration::ZERO);
        fs::write(folder.path().join("báo cáo.pdf"), "%PDF").unwrap();
        let [taken] = &watched.take().unwrap()[..] else { panic!("one file") };
        // As after a crash.
        let again = Folder::new(folder.path(), Duration::from_secs(60), MAX).take().unwrap();
        assert_eq!(std::slice::from_ref(taken), again);
        assert_eq!(watched.read(taken).unwrap(), Some(b"%PDF".to_vec()));
        watched.remove(taken).unwrap();
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn file_that_still_changes_is_left_alone() {
        let (folder, mut watched) = folder(Duration::from_millis(20));
        let path = folder.path().join("a.pdf");
        for content in ["%", "%P", "%PD"] {
            fs::write(&path, content).unwrap();
            assert_eq!(watched.take().unwrap(), []);
        }
        while watched.take().unwrap().is_empty() {
            std::thread::yield_now();
        }
        assert!(!path.exists());
    }

    #[test]
    fn hidden_and_empty_files_folders_and_links_are_no_documents() {
        let (folder, mut watched) = folder(Duration::ZERO);
        fs::write(folder.path().join(".part"), "%PDF").unwrap();
        fs::write(folder.path().join("empty"), "").unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        assert_eq!(watched.take().unwrap(), []);
    }

    #[test]
    fn file_that_is_too_large_is_moved_aside_whole() {
        let (folder, mut watched) = folder(Duration::ZERO);
        for _ in 0..2 {
            fs::write(folder.path().join("a.pdf"), vec![b'x'; MAX + 1]).unwrap();
            assert_eq!(watched.take().unwrap(), []);
        }
        let refused = folder.path().join(REFUSED);
        let names = names(&refused);
        assert!(names.len() == 2 && names.contains(&"a.pdf".to_owned()), "{names:?}");
        assert_eq!(fs::metadata(refused.join("a.pdf")).unwrap().len(), MAX as u64 + 1);
    }

    #[test]
    fn file_that_grows_after_it_was_taken_is_moved_aside_too() {
        let (folder, mut watched) = folder(Duration::ZERO);
        fs::write(folder.path().join("a.pdf"), "%PDF").unwrap();
        let taken = watched.take().unwrap();
        fs::write(&taken[0].path, vec![b'x'; MAX + 1]).unwrap();
        assert_eq!(watched.read(&taken[0]).unwrap(), None);
        assert!(names(&folder.path().join(REFUSED))[0].ends_with("a.pdf"));
    }

    #[test]
    fn names_as_long_as_a_file_system_allows_are_taken() {
        let (folder, mut watched) = folder(Duration::ZERO);
        fs::write(folder.path().join("ế".repeat(85)), "%PDF").unwrap();
        assert_eq!(watched.take().unwrap().len(), 1);
    }
}
