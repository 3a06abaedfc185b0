//! How long each stage takes, and on a terminal where the work stands.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cic_kiosk::stage::{Observer, Stage};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value as Json};

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
            clocks: Mutex::default(),
        }
    }
}

/// Watches one document being read.
pub struct Watch {
    line: ProgressBar,
    patience_ends: Instant,
    clocks: Mutex<Clocks>,
}

#[derive(Default)]
struct Clocks {
    running: HashMap<(Stage, usize), Instant>,
    spent: HashMap<Stage, Duration>,
}

impl Watch {
    /// Milliseconds of each stage that took place, in their order. Pages that are read at the same
    /// time count each.
    pub fn elapsed_ms(&self) -> Map<String, Json> {
        let clocks = self.clocks.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = |stage: Stage| clocks.spent.get(&stage).map(|spent| (stage, spent));
        Stage::ALL
            .into_iter()
            .filter_map(spent)
            .map(|(stage, spent)| (stage.name().to_owned(), milliseconds(*spent)))
            .collect()
    }
}

/// Whole milliseconds as a JSON number.
pub fn milliseconds(duration: Duration) -> Json {
    Json::from(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

impl Observer for Watch {
    fn begin(&self, stage: Stage, page: usize) {
        let now = Instant::now();
        let mut clocks = self.clocks.lock().unwrap_or_else(PoisonError::into_inner);
        clocks.running.insert((stage, page), now);
        if now >= self.patience_ends {
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
        let mut clocks = self.clocks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(begun) = clocks.running.remove(&(stage, page)) {
            *clocks.spent.entry(stage).or_default() += begun.elapsed();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.line.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_timed_in_their_order_and_added_up_over_pages() {
        let watch = Progress::new().watch("a.pdf".to_owned());
        for (stage, page) in [(Stage::Report, 0), (Stage::Decode, 0), (Stage::Decode, 1)] {
            watch.begin(stage, page);
            std::thread::sleep(Duration::from_millis(2));
            watch.end(stage, page);
        }
        let elapsed = watch.elapsed_ms();
        assert_eq!(elapsed.keys().collect::<Vec<_>>(), ["decode", "report"]);
        assert!(elapsed["decode"].as_u64() >= Some(4), "{elapsed:?}");
    }
}
