//! The stages of a page's way, and who is told of them.
//!
//! The engine reads no clock: whoever wants timings or progress observes.

use serde::{Deserialize, Serialize};

/// A stage of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Bytes to a straightened page, with its text layer where it has one.
    Decode,
    /// Finding lines and rules in a page's picture.
    Detect,
    /// Reading those lines.
    Recognise,
    /// Making reports of all pages.
    Report,
}

impl Stage {
    /// All stages, in the order of a page's way.
    pub const ALL: [Self; 4] = [Self::Decode, Self::Detect, Self::Recognise, Self::Report];

    /// A lower-case name, for logs and for `meta.elapsed_ms`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Detect => "detect",
            Self::Recognise => "recognise",
            Self::Report => "report",
        }
    }
}

/// Told when a stage begins and ends, on the thread that does the work.
///
/// A stage can come twice on one page, one after the other (a page that had to be turned), and
/// ends even when it fails. Pages come in no promised order.
pub trait Observer: Sync {
    /// Work of `stage` begins on a page (0-based; 0 for what concerns all pages).
    fn begin(&self, stage: Stage, page: usize) {
        let _ = (stage, page);
    }

    /// It is over.
    fn end(&self, stage: Stage, page: usize) {
        let _ = (stage, page);
    }

    /// Asked before each stage: whether nobody wants the result any more.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Nobody watches.
impl Observer for () {}

/// The observer said that nobody wants the result any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

/// An observer of one page.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    observer: &'a dyn Observer,
    page: usize,
}

impl<'a> Watch<'a> {
    /// Tells `observer` about the page with this 0-based index.
    pub fn new(observer: &'a dyn Observer, page: usize) -> Self {
        Self { observer, page }
    }

    /// Does the work between the two calls, or none of it where the observer cancels.
    pub fn stage<T, E: From<Cancelled>>(
        &self,
        stage: Stage,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        if self.observer.is_cancelled() {
            return Err(Cancelled.into());
        }
        self.observer.begin(stage, self.page);
        let result = work();
        self.observer.end(stage, self.page);
        result
    }
}
