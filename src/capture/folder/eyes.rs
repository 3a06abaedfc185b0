//! What the kernel tells of the folder. It sees no changes that another machine makes on a network
//! share, and may lose some: a hint makes a look come early, and nothing depends on it.

use std::collections::HashMap;
#[cfg(test)]
use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// Hints that are kept; a file without one has to settle.
const MOST_HINTS: usize = 4096;

/// A file as it was at a moment; one that is written to becomes another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    /// Its size.
    pub bytes: u64,
    /// When it was last written to.
    pub modified: (i64, i64),
}

impl From<&Metadata> for Stamp {
    fn from(file: &Metadata) -> Self {
        let modified = (file.mtime(), file.mtime_nsec());
        Self { inode: file.ino(), bytes: file.len(), modified }
    }
}

/// What was heard since the last look.
#[derive(Default)]
struct Hints {
    /// Files that were closed after writing, or moved in, as they were then.
    complete: Mutex<HashMap<OsString, Stamp>>,
    /// The folder that was watched is no longer there.
    lost: AtomicBool,
    woken: Arc<Notify>,
}

/// Watches a folder.
pub struct Eyes {
    hints: Arc<Hints>,
    watcher: Option<(RecommendedWatcher, (u64, u64))>,
}

impl Eyes {
    /// Without a folder yet; wakes this when there is a reason for a look.
    pub fn new(woken: Arc<Notify>) -> Self {
        Self { hints: Arc::new(Hints { woken, ..Hints::default() }), watcher: None }
    }

    /// Watches this folder, which may be another one now than the last time.
    pub fn watch(&mut self, path: &Path, folder: &Metadata) {
        let identity = (folder.dev(), folder.ino());
        let lost = self.hints.lost.swap(false, Ordering::Relaxed);
        if !lost && self.watcher.as_ref().is_some_and(|(_, of)| *of == identity) {
            return;
        }
        self.watcher = None;
        let (hints, root) = (Arc::clone(&self.hints), path.to_owned());
        let watching = notify::recommended_watcher(move |event| hints.hear(&root, event));
        let watching = watching.and_then(|mut watcher| {
            watcher.watch(path, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        match watching {
            Ok(watcher) => self.watcher = Some((watcher, identity)),
            Err(error) => log::debug!("the kernel does not watch the folder: {:?}", error.kind),
        }
    }

    /// Forgets the folder, which is not there now.
    pub fn close(&mut self) {
        self.watcher = None;
    }

    /// Whether there is a hint of a file of this name.
    #[cfg(test)]
    pub fn has_hint(&self, name: &str) -> bool {
        self.hints.complete.lock().is_ok_and(|hints| hints.contains_key(OsStr::new(name)))
    }

    /// The files that are said to be complete, as they were then.
    pub fn take_hints(&mut self) -> HashMap<OsString, Stamp> {
        std::mem::take(&mut *self.hints.complete.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Hints {
    fn hear(&self, root: &Path, event: notify::Result<Event>) {
        let Ok(event) = event else {
            self.lost.store(true, Ordering::Relaxed);
            return self.woken.notify_one();
        };
        if event.need_rescan() {
            return self.woken.notify_one();
        }
        let Some(path) = event.paths.first() else { return };
        match event.kind {
            EventKind::Remove(_) if path == root => {
                self.lost.store(true, Ordering::Relaxed);
                self.woken.notify_one();
            }
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => {
                let Some(name) = path.file_name() else { return };
                // Our own names are hidden, and so are those of files that are not there yet.
                if name.as_encoded_bytes().starts_with(b".") {
                    return;
                }
                if let Ok(file) = fs::symlink_metadata(path) {
                    let complete = self.complete.lock();
                    let mut complete = complete.unwrap_or_else(PoisonError::into_inner);
                    if complete.len() < MOST_HINTS {
                        complete.insert(name.to_owned(), Stamp::from(&file));
                    }
                }
                self.woken.notify_one();
            }
            // A link of another file is never closed, and has to settle.
            EventKind::Create(_) => self.woken.notify_one(),
            _ => {}
        }
    }
}
