//! The files of the folder: which are complete, and where they go. All of it blocks.
//!
//! Everything is done relative to an opened folder, and no link is followed.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cic_kiosk::page::{Limits, PageError};
use jiff::Timestamp;
use rustix::fs::{AtFlags, Dir, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use tokio::sync::Notify;
use ulid::Ulid;

use super::Fault;
use super::eyes::{Eyes, Stamp};

/// Where files go that were read.
const DONE: &str = "done";

/// Where files go that cannot be read.
const FAILED: &str = "failed";

/// The end of the name of a file that says why another one failed.
const REASON: &str = ".reason.txt";

/// A name with the scan's id: `.01JD….taken-report.pdf`. Hidden, so that nobody takes it for new.
const TAKEN: &str = ".taken-";

/// Names that one look holds at most, of complete files and of others; what is beyond is for the
/// next.
const NAMES: usize = 4096;

/// Files that are taken at once: the oldest of those that were looked at.
const BATCH: usize = 256;

/// An empty file is given so many times as long to settle: somebody may be about to fill it.
const EMPTY: u32 = 30;

const NO_FILE: &str = "What was in its place when it was to be read was no file.";

const NO_PERMISSION: &str = "The kiosk's user may not read this file; let it, and put it back.";

/// A file that has its scan's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The scan's id.
    pub scan: Ulid,
    /// Whether that was before this look, so that it may have been accepted already.
    pub before: bool,
    name: String,
}

/// What a look has found.
#[derive(Debug, Default)]
pub struct Look {
    /// Files that have an id, and that nobody waits for yet.
    pub taken: Vec<Taken>,
    /// There are more.
    pub more: bool,
    /// There are some that are not complete yet.
    pub unsettled: bool,
}

/// What is in a file that was taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    /// Bytes that may be a document.
    Document(Vec<u8>),
    /// Nothing that can be one; why, in a sentence.
    Refused(String),
    /// It is still being written.
    Changing,
    /// It is not there any more.
    Gone,
}

/// A file as it was when it was last seen to change.
struct Seen {
    stamp: Stamp,
    since: Instant,
}

/// When a file was last written to, and its name.
type Aged = ((i64, i64), OsString);

/// A folder that files are dropped into.
pub struct Files {
    path: PathBuf,
    settles: Duration,
    keeps_done: bool,
    limits: Limits,
    eyes: Eyes,
    seen: HashMap<OsString, Seen>,
    /// Files whose scans' outcome is not known yet, by their scans' ids.
    waiting: HashMap<Ulid, String>,
}

impl Files {
    /// Of a folder in which files have to stay as they are for `settles` to be complete.
    pub fn new(
        path: &Path,
        settles: Duration,
        keeps_done: bool,
        limits: Limits,
        woken: Arc<Notify>,
    ) -> Self {
        Self {
            path: path.to_owned(),
            settles,
            keeps_done,
            limits,
            eyes: Eyes::new(woken),
            seen: HashMap::new(),
            waiting: HashMap::new(),
        }
    }

    /// Gives the files that are complete their scans' ids, oldest first. Those that have one, and
    /// that nobody waits for, come first.
    ///
    /// # Errors
    /// Where the folder is not there, or is of no use.
    pub fn look(&mut self) -> Result<Look, Fault> {
        let root = self.open().inspect_err(|_| self.eyes.close())?;
        if let Ok(folder) = fs::metadata(&self.path) {
            self.eyes.watch(&self.path, &folder);
        }
        for name in [DONE, FAILED] {
            check_aside(&root, name)?;
        }
        let (mut look, mut complete) = self.find()?;
        complete.sort_unstable();
        look.more |= complete.len() > BATCH;
        complete.truncate(BATCH);
        let (mut renamed, mut failure) = (false, None);
        for (_, name) in complete {
            let scan = Ulid::new();
            let to = format!(".{scan}{TAKEN}{}", shortened(&name.to_string_lossy()));
            match rename(&root, &name, &root, &to) {
                Ok(()) => {
                    look.taken.push(Taken { scan, before: false, name: to });
                    renamed = true;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // One that belongs to somebody else must not hold up the others.
                Err(error) => failure = Some(error),
            }
        }
        if renamed {
            // Or else a power cut might give the file its old name back, and then another id.
            match rustix::fs::fsync(&root) {
                // Some network shares have nothing to say to that.
                Ok(()) | Err(Errno::INVAL) => {}
                Err(error) => return Err(fault("kept", &error.into())),
            }
        }
        match failure {
            Some(error) if look.taken.is_empty() => Err(fault("renamed", &error)),
            _ => Ok(look),
        }
    }

    /// What there is to take, each with its age; reads no more than it can hold.
    fn find(&mut self) -> Result<(Look, Vec<Aged>), Fault> {
        let failed = |error: io::Error| fault("listed", &error);
        let hints = self.eyes.take_hints();
        let (mut look, mut complete) = (Look::default(), Vec::new());
        let mut seen = HashMap::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if let Some((scan, name)) = name.to_str().and_then(|it| Some((scan_in(it)?, it))) {
                if look.taken.len() == BATCH {
                    look.more = true;
                } else if !self.waiting.contains_key(&scan) {
                    look.taken.push(Taken { scan, before: true, name: name.to_owned() });
                }
                continue;
            }
            // Programs that copy write to a hidden file first.
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            // No folder, no pipe, and no link, which might lead out of the folder.
            let Ok(file) = entry.metadata() else { continue };
            if !file.is_file() {
                continue;
            }
            let stamp = Stamp::from(&file);
            let before = self.seen.remove(&name).filter(|seen| seen.stamp == stamp);
            let now = before.unwrap_or_else(|| Seen { stamp, since: Instant::now() });
            let settles = if stamp.bytes == 0 { self.settles * EMPTY } else { self.settles };
            let is_hinted = stamp.bytes > 0 && hints.get(&name) == Some(&stamp);
            if is_hinted || now.since.elapsed() >= settles {
                complete.push((stamp.modified, name));
                if complete.len() == NAMES {
                    look.more = true;
                    break;
                }
            } else {
                look.unsettled = true;
                if seen.len() < NAMES {
                    seen.insert(name, now);
                }
            }
        }
        self.seen = seen;
        Ok((look, complete))
    }

    /// Reads a file that was taken.
    ///
    /// # Errors
    /// Where the folder is of no use now.
    pub fn read(&self, taken: &Taken) -> Result<Content, Fault> {
        let root = self.open()?;
        // A pipe would otherwise keep us waiting for somebody who writes to it.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file = match rustix::fs::openat(&root, &*taken.name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(Content::Gone),
            Err(Errno::LOOP | Errno::NXIO) => return Ok(Content::Refused(NO_FILE.to_owned())),
            Err(Errno::ACCESS | Errno::PERM) => {
                return Ok(Content::Refused(NO_PERMISSION.to_owned()));
            }
            Err(error) => return Err(fault("read", &error.into())),
        };
        let failed = |error: io::Error| fault("read", &error);
        let before = file.metadata().map_err(failed)?;
        if !before.is_file() {
            return Ok(Content::Refused(NO_FILE.to_owned()));
        }
        let limit = self.limits.max_bytes;
        if before.len() > limit as u64 {
            let bytes = usize::try_from(before.len()).unwrap_or(usize::MAX);
            return Ok(Content::Refused(PageError::TooManyBytes { bytes, limit }.to_string()));
        }
        let mut bytes = Vec::new();
        (&mut file).take(before.len() + 1).read_to_end(&mut bytes).map_err(failed)?;
        let after = file.metadata().map_err(failed)?;
        if Stamp::from(&before) != Stamp::from(&after) || bytes.len() as u64 != before.len() {
            return Ok(Content::Changing);
        }
        Ok(Content::Document(bytes))
    }

    /// Notes that a file's scan was accepted: it stays until its outcome is known.
    pub fn wait_for(&mut self, taken: Taken) {
        self.waiting.insert(taken.scan, taken.name);
    }

    /// Whose outcome is not known.
    pub fn waiting(&self) -> Vec<Ulid> {
        self.waiting.keys().copied().collect()
    }

    /// Those of these scans whose outcome is not known.
    pub fn waiting_of(&self, mut scans: Vec<Ulid>) -> Vec<Ulid> {
        scans.retain(|scan| self.waiting.contains_key(scan));
        scans
    }

    /// Lets go of a file that is to be taken anew.
    pub fn forget(&mut self, scan: Ulid) {
        self.waiting.remove(&scan);
    }

    /// Moves a file aside that was read, or erases it.
    ///
    /// # Errors
    /// Where that cannot be done now; it stays where it is.
    pub fn done(&mut self, scan: Ulid) -> Result<(), Fault> {
        let Some(name) = self.waiting.get(&scan) else { return Ok(()) };
        let root = self.open()?;
        let moved = if self.keeps_done {
            move_aside(&root, DONE, scan, name, None)
        } else {
            rustix::fs::unlinkat(&root, &**name, AtFlags::empty()).map_err(io::Error::from)
        };
        self.let_go(scan, moved)
    }

    /// Moves a file aside that cannot be read, with the reason beside it.
    ///
    /// # Errors
    /// Where that cannot be done now; it stays where it is.
    pub fn failed(&mut self, scan: Ulid, reason: &str) -> Result<(), Fault> {
        let Some(name) = self.waiting.get(&scan) else { return Ok(()) };
        let root = self.open()?;
        let moved = move_aside(&root, FAILED, scan, name, Some(reason));
        self.let_go(scan, moved)
    }

    fn let_go(&mut self, scan: Ulid, moved: io::Result<()>) -> Result<(), Fault> {
        match moved {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(fault("moved aside", &error))
            }
            // Somebody has taken it away, or it is gone with its disk and will be found again.
            _ => {
                self.waiting.remove(&scan);
                Ok(())
            }
        }
    }

    /// The folder as it is there now.
    fn open(&self) -> Result<OwnedFd, Fault> {
        open_root(&self.path).map_err(|error| fault("opened", &error))
    }
}

/// Erases what has been in `done` for this long, and says how much that was. It goes by the scan's
/// id, which tells when the file was taken.
pub fn tidy(path: &Path, keep: Duration) -> io::Result<usize> {
    let root = open_root(path)?;
    let done = match open_aside(&root, DONE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        done => done?,
    };
    let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
    let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
    let mut erased = 0;
    // As they come: there may be millions.
    for entry in Dir::read_from(&done)? {
        let entry = entry?;
        let name = entry.file_name();
        let id = name.to_str().ok().and_then(|name| name.split_once('-')?.0.parse::<Ulid>().ok());
        if id.is_some_and(|id| now.saturating_sub(id.timestamp_ms()) >= keep) {
            rustix::fs::unlinkat(&done, name, AtFlags::empty())?;
            erased += 1;
        }
    }
    Ok(erased)
}

/// The folder may itself be a link: it is the operator's.
fn open_root(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

fn open_aside(root: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(root, name, flags, Mode::empty())?)
}

/// Refuses a link, or anything else, in the place of one of our folders.
fn check_aside(root: &OwnedFd, name: &str) -> Result<(), Fault> {
    match open_aside(root, name) {
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::NOTDIR | Errno::LOOP)) => {
            Err(Fault::Failing(format!(
                "`{name}` in folder.watch is a link or a file, and must be a folder: remove it"
            )))
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fault("opened", &error)),
        _ => Ok(()),
    }
}

/// Moves a file into one of our folders, under a name that begins with its scan's id.
fn move_aside(
    root: &OwnedFd,
    aside: &str,
    scan: Ulid,
    name: &str,
    reason: Option<&str>,
) -> io::Result<()> {
    // For its owner and group: papers lie there.
    match rustix::fs::mkdirat(root, aside, Mode::from_raw_mode(0o770)) {
        Err(error) if error != Errno::EXIST => return Err(error.into()),
        _ => {}
    }
    let aside = open_aside(root, aside)?;
    let original = name.split_once(TAKEN).map_or(name, |(_, original)| original);
    let to = format!("{scan}-{original}");
    if let Some(reason) = reason {
        // A file without its reason is better than one that stays.
        if let Err(error) = write_new(&aside, &format!("{to}{REASON}"), reason) {
            log::warn!(scan_id:% = scan; "the reason of a file that failed is not written: {error}");
        }
    }
    rename(root, name, &aside, &to)
}

fn write_new(folder: &OwnedFd, name: &str, text: &str) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o660)) {
        Ok(file) => File::from(file).write_all(format!("{text}\n").as_bytes()),
        // From before a crash.
        Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Renames, and never overwrites.
fn rename(
    from: &OwnedFd,
    name: impl AsRef<OsStr>,
    to: &OwnedFd,
    new: impl AsRef<OsStr>,
) -> io::Result<()> {
    let (name, new) = (name.as_ref(), new.as_ref());
    match rustix::fs::renameat_with(from, name, to, new, RenameFlags::NOREPLACE) {
        // Some network shares cannot promise it.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            if rustix::fs::statat(to, new, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            Ok(rustix::fs::renameat(from, name, to, new)?)
        }
        renamed => Ok(renamed?),
    }
}

/// What is wrong with the folder, and what to do; `what` could not be done with what is in it.
fn fault(what: &str, error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::NotFound => Fault::Absent(
            "folder.watch is not there: create it, or mount the share that it is on".to_owned(),
        ),
        io::ErrorKind::NotADirectory => {
            Fault::Failing("folder.watch is no folder: name one".to_owned())
        }
        io::ErrorKind::PermissionDenied => Fault::Failing(format!(
            "what is in folder.watch cannot be {what} ({error}): let the kiosk's user read and \
             write there"
        )),
        io::ErrorKind::ReadOnlyFilesystem => Fault::Failing(
            "folder.watch is read-only: mount it so that it can be written to".to_owned(),
        ),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Fault::Failing("the disk of folder.watch is full: make room on it".to_owned())
        }
        _ => Fault::Failing(format!(
            "what is in folder.watch cannot be {what} ({error}): check its disk, or the share"
        )),
    }
}

/// The id in the name of a file that was taken.
fn scan_in(name: &str) -> Option<Ulid> {
    name.strip_prefix('.')?.split_once(TAKEN)?.0.parse().ok()
}

/// As much of a name as fits beside the id and what else is added: file systems allow 255 bytes.
fn shortened(name: &str) -> &str {
    let mut start = name.len().saturating_sub(200);
    while !name.is_char_boundary(start) {
        start += 1;
    }
    &name[start..]
}

#[cfg(test)]
mod tests;
