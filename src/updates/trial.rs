//! Whether a package does as well as what was used before it. Pure.
//!
//! Three shares are compared: of values that are not sure, of documents that a person has to look at,
//! and of documents that could not be read. Each document is one observation, whatever it holds: its
//! values are not independent.

use serde::{Deserialize, Serialize};

/// Fewer documents tell nothing.
const MIN_DOCUMENTS: u64 = 3;

/// A difference counts beyond so many standard errors: it is looked for after each document.
const SURE: f64 = 3.0;

/// Documents of which the record before a trial is made: older ones count less and less.
const RECENT: u64 = 500;

/// How documents were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Record {
    /// All of them.
    pub documents: u64,
    /// Those without a report, or that could not be read.
    pub unread: u64,
    /// Those for a person to look at.
    pub review: u64,
    /// Values that were read.
    pub values: u64,
    /// Those of a confidence of at most 0.9.
    pub unsure: u64,
}

impl Record {
    /// What came since an earlier one of the same counters.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        self.with(earlier, u64::saturating_sub)
    }

    /// Both together.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    /// The same, in which old documents count less.
    #[must_use]
    pub fn recent(&self) -> Self {
        if self.documents < 2 * RECENT {
            return *self;
        }
        self.with(&Self::default(), |count, _| count / 2)
    }

    fn with(&self, other: &Self, both: fn(u64, u64) -> u64) -> Self {
        Self {
            documents: both(self.documents, other.documents),
            unread: both(self.unread, other.unread),
            review: both(self.review, other.review),
            values: both(self.values, other.values),
            unsure: both(self.unsure, other.unsure),
        }
    }

    fn shares(&self) -> [(&'static str, f64); 3] {
        let share = |part: u64, of: u64| if of == 0 { 0.0 } else { part as f64 / of as f64 };
        [
            ("documents that cannot be read", share(self.unread, self.documents)),
            ("unsure values", share(self.unsure, self.values)),
            ("documents for review", share(self.review, self.documents)),
        ]
    }
}

/// A share that has grown too large.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the share of {what} is {after:.2}, and was {before:.2}")]
pub struct Drift {
    /// Of what.
    pub what: &'static str,
    /// Before.
    pub before: f64,
    /// Now.
    pub after: f64,
}

/// Whether readings have become worse by more than `allowed`, and by more than chance explains.
pub fn drift(before: &Record, after: &Record, allowed: f64) -> Option<Drift> {
    if before.documents < MIN_DOCUMENTS || after.documents < MIN_DOCUMENTS {
        return None;
    }
    let [n, m] = [before, after].map(|record| record.documents as f64);
    before.shares().into_iter().zip(after.shares()).find_map(|((what, before), (_, after))| {
        let pooled = (before * n + after * m) / (n + m);
        let error = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
        (after - before > allowed && after - before > SURE * error).then_some(Drift {
            what,
            before,
            after,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(documents: u64, unread: u64, review: u64, unsure: u64) -> Record {
        Record { documents, unread, review, values: documents * 40, unsure }
    }

    #[test]
    fn models_that_do_as_well_as_before_stay() {
        let before = record(200, 4, 40, 400);
        for after in [record(50, 1, 10, 100), record(50, 0, 0, 0), record(50, 2, 14, 150)] {
            assert_eq!(drift(&before, &after, 0.1), None, "{after:?}");
        }
    }

    #[test]
    fn each_share_that_grows_is_found_and_named() {
        let before = record(200, 4, 40, 400);
        for (after, what) in [
            (record(20, 10, 4, 40), "documents that cannot be read"),
            (record(20, 0, 16, 40), "documents for review"),
            (record(20, 0, 4, 400), "unsure values"),
        ] {
            let drift = drift(&before, &after, 0.1).expect(what);
            assert_eq!(drift.what, what);
            assert!(drift.after > drift.before);
        }
    }

    #[test]
    fn models_that_read_nothing_are_left_after_a_few_documents_and_chance_is_not_blamed() {
        let before = record(200, 4, 40, 400);
        assert!(drift(&before, &record(3, 3, 0, 0), 0.1).is_some());
        assert_eq!(drift(&before, &record(2, 2, 0, 0), 0.1), None);
        assert_eq!(drift(&before, &record(5, 1, 2, 20), 0.1), None);
    }

    #[test]
    fn where_nothing_was_read_before_nothing_can_be_compared() {
        assert_eq!(drift(&Record::default(), &record(50, 50, 0, 0), 0.1), None);
    }

    #[test]
    fn old_documents_count_less() {
        let long_ago = record(999, 0, 0, 0);
        assert_eq!(long_ago.recent(), long_ago);
        let more = long_ago.and(&record(1, 1, 1, 1));
        assert_eq!(more.recent().documents, 500);
        assert_eq!(more.since(&long_ago), record(1, 1, 1, 1));
    }
}
