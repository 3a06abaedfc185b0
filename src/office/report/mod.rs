//! What a fleet did in some minutes, as a page that needs nothing else.
//!
//! Promises:
//! - One HTML file without scripts, and without anything that is fetched from elsewhere.
//! - Every text from the broker is escaped, and numbers are those that kiosks told: a counter that
//!   began anew is counted from nothing.

mod charts;
mod page;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::fleet::Fleet;
use super::seen::{Counts, Status, Telemetry};
use super::text::Text;
use super::topics::{Id, Topic};
use crate::mqtt::Message;

pub use page::page;

/// Widths of a column, in seconds: what a clock has marks for.
const WIDTHS: [i64; 9] = [10, 30, 60, 120, 300, 600, 1800, 3600, 21600];

/// Columns that are enough to see.
const COLUMNS: i64 = 40;

/// Outcomes, in the order in which they are piled up.
pub const OUTCOMES: [&str; 6] = ["local", "cloud", "no_report", "review", "unreadable", "dead"];

/// A message as it is recorded: one line of JSON each.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Recorded {
    /// When it came, RFC 3339.
    #[serde(serialize_with = "as_text", deserialize_with = "of_text")]
    pub at: Timestamp,
    /// Its topic.
    pub topic: String,
    /// What it says; what is no UTF-8 in it was replaced.
    pub payload: String,
    /// Whether it stood at the broker before.
    #[serde(default)]
    pub retained: bool,
}

impl Recorded {
    /// Of a message that has just come.
    pub fn of(message: &Message, at: Timestamp) -> Self {
        let payload = String::from_utf8_lossy(&message.payload).into_owned();
        Self { at, topic: message.topic.clone(), payload, retained: message.retained }
    }
}

fn as_text<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

fn of_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom("at: expected a time of RFC 3339"))
}

/// What is known of a while.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The fleet at its end.
    pub fleet: Fleet,
    /// What kiosks told in it.
    told: BTreeMap<Id, Vec<(Timestamp, Telemetry)>>,
    began: Option<Timestamp>,
    ended: Option<Timestamp>,
}

impl Report {
    /// Takes in a message, in the order in which they came.
    pub fn take(&mut self, recorded: Recorded) {
        let Recorded { at, topic, payload, retained } = recorded;
        self.began.get_or_insert(at);
        self.ended = Some(at);
        let message = Message { topic, payload: payload.into(), retained };
        self.fleet.take(&message);
        if let Topic::Telemetry(id) = Topic::of(&message.topic)
            && let Some(telemetry) = self.fleet.kiosks.get(&id).and_then(|it| it.telemetry.clone())
        {
            self.told.entry(id).or_default().push((at, telemetry));
        }
    }

    /// It lasted until then.
    pub fn end(&mut self, at: Timestamp) {
        self.began.get_or_insert(at);
        self.ended = self.ended.max(Some(at));
    }

    /// From when until when.
    pub fn span(&self) -> (Timestamp, Timestamp) {
        let began = self.began.unwrap_or_default();
        (began, self.ended.unwrap_or(began))
    }

    /// Seconds of a column.
    fn width(&self) -> i64 {
        let (began, ended) = self.span();
        let seconds = ended.as_second() - began.as_second();
        WIDTHS.into_iter().find(|width| width * COLUMNS >= seconds).unwrap_or(WIDTHS[8])
    }

    /// Scans that ended, by when it was told and how they ended.
    pub fn columns(&self) -> Vec<Column> {
        let ((began, ended), width) = (self.span(), self.width());
        let place = |at: Timestamp| (at.as_second() - began.as_second()).max(0) / width;
        // A record may hold a time that nobody lived in.
        let count = place(ended).min(10 * COLUMNS) + 1;
        let column = |number| Column {
            at: Timestamp::from_second(began.as_second() + number * width).unwrap_or_default(),
            scans: BTreeMap::new(),
        };
        let mut columns: Vec<_> = (0..count).map(column).collect();
        for (at, outcomes) in self.told.values().flat_map(|told| steps(told)) {
            let last = columns.len() - 1;
            let column = &mut columns[(place(at) as usize).min(last)];
            for (outcome, count) in outcomes {
                *column.scans.entry(outcome).or_default() += count;
            }
        }
        columns
    }

    /// Scans that ended, and those that did not end well, of a kiosk in this while.
    pub fn counts(&self, id: &Id) -> Counts {
        let told = self.told.get(id).map(Vec::as_slice).unwrap_or_default();
        told.windows(2).fold(Counts::default(), |sum, pair| {
            sum.plus(pair[1].1.counts().since(pair[0].1.counts()))
        })
    }

    /// Values by their confidence, between two bounds each: of this while, or where nothing was read in
    /// it since the programs were started.
    pub fn confidence(&self) -> (Vec<(String, u64)>, bool) {
        let of = |since_start: bool| {
            let mut sums: BTreeMap<Text, u64> = BTreeMap::new();
            for told in self.told.values() {
                let Some((_, last)) = told.last() else { continue };
                let first = told.first().map(|(_, first)| first).filter(|_| !since_start);
                for (bound, count) in &last.confidence {
                    let before = first.and_then(|first| first.confidence.get(bound)).copied();
                    let before = before.filter(|before| before <= count).unwrap_or(0);
                    *sums.entry(bound.clone()).or_default() += count - before;
                }
            }
            sums
        };
        let (lately, mut is_lately) = (of(false), true);
        let mut sums = lately;
        if sums.values().all(|count| *count == 0) {
            (sums, is_lately) = (of(true), false);
        }
        let mut sums: Vec<(f64, u64)> = sums
            .into_iter()
            .filter_map(|(bound, count)| Some((bound.as_str().parse().ok()?, count)))
            .filter(|(bound, _): &(f64, u64)| (0.0..=1.0).contains(bound))
            .collect();
        sums.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut below = (0.0, 0);
        let bins = sums.into_iter().map(|(bound, count)| {
            let label = format!("{}–{bound}", below.0);
            let bin = (label, count.saturating_sub(below.1));
            below = (bound, count);
            bin
        });
        (bins.collect(), is_lately)
    }

    /// What somebody has to see to: kiosks that are not there or have faults, the worst first.
    pub fn failing(&self) -> Vec<(Id, Vec<String>)> {
        let mut failing: Vec<_> = self
            .fleet
            .kiosks
            .iter()
            .filter_map(|(id, kiosk)| {
                let mut faults =
                    kiosk.telemetry.as_ref().map(Telemetry::faults).unwrap_or_default();
                match (kiosk.status(), &kiosk.presence) {
                    (Status::Online, _) => {}
                    (status, Some(presence)) => {
                        let reason = presence.reason.as_ref().map_or("", Text::as_str);
                        let since = &presence.since;
                        faults.insert(0, format!("{} {reason} since {since}", status.name()));
                    }
                    (_, None) => faults.insert(0, "says nothing of itself".to_owned()),
                }
                (!faults.is_empty()).then(|| (id.clone(), faults))
            })
            .collect();
        failing.sort_by_key(|(id, faults)| (std::cmp::Reverse(faults.len()), id.clone()));
        failing
    }

    /// Branches by the share of scans that did not end well, the worst first.
    pub fn branches(&self) -> Vec<(String, Counts)> {
        let mut all: BTreeMap<&str, Counts> = BTreeMap::new();
        for id in self.told.keys() {
            let sum = all.entry(id.branch()).or_default();
            *sum = sum.plus(self.counts(id));
        }
        let share = |counts: &Counts| counts.share().unwrap_or(0.0);
        let mut all: Vec<_> = all.into_iter().map(|(name, it)| (name.to_owned(), it)).collect();
        all.retain(|(_, counts)| counts.total > 0);
        all.sort_by(|(_, one), (_, other)| share(other).total_cmp(&share(one)));
        all
    }

    /// Kiosks that have told how they do.
    pub fn heard(&self) -> usize {
        self.told.len()
    }
}

/// A column of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// When it begins.
    pub at: Timestamp,
    /// Scans that ended in it, by how.
    pub scans: BTreeMap<String, u64>,
}

impl Column {
    /// All of them, and those that did not end well.
    pub fn counts(&self) -> Counts {
        let telemetry = Telemetry {
            scans: BTreeMap::from([(
                Text::default(),
                self.scans.iter().map(|(name, count)| (Text::of(name), *count)).collect(),
            )]),
            ..Telemetry::default()
        };
        telemetry.counts()
    }
}

/// From one telling to the next: what ended, by how.
fn steps(
    told: &[(Timestamp, Telemetry)],
) -> impl Iterator<Item = (Timestamp, BTreeMap<String, u64>)> {
    told.windows(2).map(|pair| {
        let [(_, before), (at, after)] = pair else { return Default::default() };
        let is_anew = after.counts().total < before.counts().total;
        let before = if is_anew { BTreeMap::new() } else { before.outcomes() };
        let after = after.outcomes().into_iter().map(|(name, count)| {
            (name.to_owned(), count.saturating_sub(before.get(name).copied().unwrap_or(0)))
        });
        (*at, after.collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(report: &mut Report, second: i64, topic: &str, payload: serde_json::Value) {
        let at = Timestamp::from_second(1_800_000_000 + second).unwrap();
        let payload = payload.to_string();
        report.take(Recorded { at, topic: topic.to_owned(), payload, retained: false });
    }

    fn telemetry(local: u64, review: u64) -> serde_json::Value {
        serde_json::json!({
            "scans": {"folder": {"local": local, "review": review}},
            "confidence": {"0.5": review, "0.9": review + local, "1": 10 * local + review},
            "outbox": {"accepts": true, "dead": review},
        })
    }

    #[test]
    fn throughput_is_what_was_counted_between_two_tellings_also_over_a_restart() {
        let mut report = Report::default();
        for (second, local, review) in [(0, 100, 0), (12, 107, 1), (25, 2, 1)] {
            said(&mut report, second, "cic/v1/b/k1/telemetry", telemetry(local, review));
        }
        let columns = report.columns();
        let counts: Vec<_> =
            columns.iter().map(|it| (it.counts().total, it.counts().review)).collect();
        assert_eq!(counts, [(0, 0), (8, 1), (3, 1)]);
        assert_eq!(report.counts(&"b/k1".parse().unwrap()), Counts { total: 11, review: 2 });
        assert_eq!(report.branches(), [("b".to_owned(), Counts { total: 11, review: 2 })]);
    }

    #[test]
    fn confidence_is_told_between_bounds() {
        let mut report = Report::default();
        said(&mut report, 0, "cic/v1/b/k1/telemetry", telemetry(10, 2));
        let (bins, is_lately) = report.confidence();
        let expected = [("0–0.5", 2), ("0.5–0.9", 10), ("0.9–1", 90)];
        assert!(!is_lately);
        assert_eq!(bins, expected.map(|(label, count)| (label.to_owned(), count)));
        said(&mut report, 9, "cic/v1/b/k1/telemetry", telemetry(11, 2));
        let (bins, is_lately) = report.confidence();
        assert!(is_lately && bins[1].1 == 1 && bins[2].1 == 9, "{bins:?}");
    }

    #[test]
    fn page_holds_what_was_told_and_no_markup_of_others() {
        let mut report = Report::default();
        said(
            &mut report,
            0,
            "cic/v1/b/k1/presence",
            serde_json::json!({"status": "offline", "version": "<script>alert(1)</script>", "board": "\"><img src=x>"}),
        );
        said(&mut report, 0, "cic/v1/b/<b>x/presence", serde_json::json!({"status": "online"}));
        said(&mut report, 0, "cic/v1/b/k1/telemetry", telemetry(0, 0));
        said(&mut report, 9, "cic/v1/b/k1/telemetry", telemetry(9, 3));
        let html = page(&report).unwrap();
        assert!(html.starts_with("<!DOCTYPE html>") && html.contains("<svg"));
        assert!(
            !html.contains("<script") && !html.contains("<img") && !html.contains("<b>x"),
            "{html}"
        );
        assert!(html.contains("&lt;script&gt;alert(1)"));
        assert!(html.contains("3 dead letters"));
        for fetched in ["src=", "href=", "url(", "@import"] {
            assert!(!html.contains(fetched), "{fetched}");
        }
    }

    #[test]
    fn page_of_nothing_is_a_page() {
        let mut report = Report::default();
        report.end(Timestamp::now());
        assert!(page(&report).unwrap().contains("0 kiosks"));
    }
}
