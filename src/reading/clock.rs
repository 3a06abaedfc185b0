//! Keeps the time of documents that are read.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cic_kiosk::stage::{Observer, Stage};
use serde_json::{Map, Value as Json};

/// An observer that keeps time.
pub trait Timed: Observer {
    /// Milliseconds of each stage that took place, in their order. Pages that are read at the same
    /// time count each.
    fn elapsed_ms(&self) -> Map<String, Json>;
}

/// Keeps time of a reading that can be cancelled.
#[derive(Default)]
pub struct Clock {
    pub(super) stopwatch: Stopwatch,
    cancelled: AtomicBool,
}

impl Clock {
    /// Nobody waits any more: the engine stops before its next stage.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// The time that each stage took, in their order.
    pub fn spent(&self) -> Vec<(Stage, Duration)> {
        self.stopwatch.spent()
    }
}

impl Observer for Clock {
    fn begin(&self, stage: Stage, page: usize) {
        self.stopwatch.begin(stage, page);
    }

    fn end(&self, stage: Stage, page: usize) {
        self.stopwatch.end(stage, page);
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

impl Timed for Clock {
    fn elapsed_ms(&self) -> Map<String, Json> {
        self.stopwatch.elapsed_ms()
    }
}

/// Keeps time of one document being read.
#[derive(Default)]
pub struct Stopwatch(Mutex<Clocks>);

#[derive(Default)]
struct Clocks {
    running: HashMap<(Stage, usize), Instant>,
    spent: HashMap<Stage, Duration>,
}

impl Stopwatch {
    /// Adds what was spent elsewhere.
    pub(super) fn add(&self, spent: &[(Stage, Duration)]) {
        let mut clocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (stage, spent) in spent {
            *clocks.spent.entry(*stage).or_default() += *spent;
        }
    }

    /// The time that each stage took, in their order.
    pub fn spent(&self) -> Vec<(Stage, Duration)> {
        let clocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = |stage: Stage| clocks.spent.get(&stage).map(|spent| (stage, *spent));
        Stage::ALL.into_iter().filter_map(spent).collect()
    }
}

impl Observer for Stopwatch {
    fn begin(&self, stage: Stage, page: usize) {
        let mut clocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clocks.running.insert((stage, page), Instant::now());
    }

    fn end(&self, stage: Stage, page: usize) {
        let mut clocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(begun) = clocks.running.remove(&(stage, page)) {
            *clocks.spent.entry(stage).or_default() += begun.elapsed();
        }
    }
}

impl Timed for Stopwatch {
    fn elapsed_ms(&self) -> Map<String, Json> {
        self.spent()
            .into_iter()
            .map(|(stage, spent)| (stage.name().to_owned(), milliseconds(spent)))
            .collect()
    }
}

/// Whole milliseconds as a JSON number.
pub(super) fn milliseconds(duration: Duration) -> Json {
    Json::from(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_timed_in_their_order_and_added_up_over_pages() {
        let watch = Stopwatch::default();
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
