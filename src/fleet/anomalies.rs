//! Things that should not happen, counted by what they are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts, from any thread. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Anomalies(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Anomalies {
    /// It has happened once more.
    pub fn count(&self, kind: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
    }

    /// How often each has happened.
    pub fn all(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
