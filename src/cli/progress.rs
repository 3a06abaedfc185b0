//! On a terminal, where the work stands.

use std::time::{Duration, Instant};

use cic_kiosk::stage::{Observer, Stage};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value as Json};

use crate::reading::{Stopwatch, Timed};

/// What takes less than this shows no progress.
const PATIENCE: Duration = Duration::from_millis(500);

/// Lines on stderr, one for each document under way; nothing where stderr is no terminal.
pub struct Progress {
    lines: MultiProgress,
    begun: Instant,
}

impl Progress {
    /// Nothing is under way.
    pub fn new() -> Self {
        Self {
            lines: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
            begun: Instant::now(),
        }
    }

    /// Takes the lines away while something else is printed.
    pub fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.lines.suspend(print)
    }

    /// Begins a document; the watch ends it when it is dropped.
    pub fn watch(&self, name: String) -> Watch {
        let style = ProgressStyle::with_template("{spinner} {prefix}: {msg} ({elapsed})");
        let line = ProgressBar::new_spinner()
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
            .with_prefix(name);
        Watch {
            line: self.lines.add(line),
            patience_ends: self.begun + PATIENCE,
            stopwatch: Stopwatch::default(),
        }
    }
}

/// Watches one document being read, and keeps time.
pub struct Watch {
    line: ProgressBar,
    patience_ends: Instant,
    stopwatch: Stopwatch,
}

impl Observer for Watch {
    fn begin(&self, stage: Stage, page: usize) {
        self.stopwatch.begin(stage, page);
        if Instant::now() >= self.patience_ends {
            self.line.set_message(match stage {
                Stage::Decode => format!("page {}, decoding", page + 1),
                Stage::Detect => format!("page {}, finding lines", page + 1),
                Stage::Recognise => format!("page {}, reading lines", page + 1),
                Stage::Report => "making the report".to_owned(),
            });
            self.line.tick();
        }
    }

    fn end(&self, stage: Stage, page: usize) {
        self.stopwatch.end(stage, page);
    }
}

impl Timed for Watch {
    fn elapsed_ms(&self) -> Map<String, Json> {
        self.stopwatch.elapsed_ms()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.line.finish_and_clear();
    }
}
