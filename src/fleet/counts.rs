//! What is counted of scans: how they ended, how sure their values are, how long their stages took,
//! and what was odd about them. Numbers under fixed names, and nothing of what a paper says.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use cic_kiosk::report::schema::{Answer, ErrorCode, Meta, Verdict};
use schemars::JsonSchema;
use serde::Serialize;

use crate::outbox::Source;
use crate::updates::trial::Record;

/// Upper bounds of the confidences that are told apart.
const BOUNDS: [(&str, f32); 8] = [
    ("0.5", 0.5),
    ("0.7", 0.7),
    ("0.8", 0.8),
    ("0.9", 0.9),
    ("0.95", 0.95),
    ("0.98", 0.98),
    ("0.99", 0.99),
    ("1", 1.0),
];

/// The stages of `meta.elapsed_ms` that are told of.
const STAGES: [&str; 6] = ["load", "decode", "detect", "recognise", "report", "cloud"];

/// Times of a stage that its quantiles are made of: a busy kiosk's day, and 2 KiB.
const RECENT: usize = 256;

/// How finely it is known when scans ended, in seconds, and for how many of these times: a day.
const TIME: u64 = 15 * 60;
const TIMES: usize = 96;

/// How a scan ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Good enough as it was read here.
    Local,
    /// Good enough with what the cloud service gave.
    Cloud,
    /// For a person to look at.
    Review,
    /// No report was found on it.
    NoReport,
    /// It could not be read for another reason.
    Unreadable,
    /// It was set aside as a dead letter.
    Dead,
}

impl Outcome {
    const ALL: [Self; 6] =
        [Self::Local, Self::Cloud, Self::Review, Self::NoReport, Self::Unreadable, Self::Dead];

    fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Cloud => "cloud",
            Self::Review => "review",
            Self::NoReport => "no_report",
            Self::Unreadable => "unreadable",
            Self::Dead => "dead",
        }
    }

    fn of(answer: &Answer) -> Self {
        match (answer.error, answer.meta.as_ref().and_then(|meta| meta.decision)) {
            (ErrorCode::Success, Some(Verdict::Cloud)) => Self::Cloud,
            (ErrorCode::Success, Some(Verdict::Review)) => Self::Review,
            (ErrorCode::Success, _) => Self::Local,
            (ErrorCode::NoReport, _) => Self::NoReport,
            _ => Self::Unreadable,
        }
    }
}

/// How long a stage took, of the last 256 documents that had it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct StageTimes {
    /// Documents that had it, since the start.
    pub count: u64,
    /// Half of them took no longer, in seconds.
    pub p50_seconds: f64,
    /// 95 % of them took no longer, in seconds.
    pub p95_seconds: f64,
}

/// All counts, by their names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counted {
    /// Scans by where they came from and how they ended.
    pub scans: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// Values whose confidence is at most that.
    pub confidence: BTreeMap<&'static str, u64>,
    /// How long the stages took.
    pub stages: BTreeMap<&'static str, StageTimes>,
    /// Scans that were odd, by how.
    pub odd: BTreeMap<&'static str, u64>,
    /// Whether the models have been used.
    pub models_used: bool,
}

/// Counts scans, from any thread.
#[derive(Default)]
pub struct Scans(Mutex<Counts>);

struct Counts {
    counted: Counted,
    recent: BTreeMap<&'static str, VecDeque<u64>>,
    begun: Instant,
    /// How many ended in which of the last times, by outcome; times in which none did are not there.
    ended: VecDeque<(u64, [u32; Outcome::ALL.len()])>,
}

impl Default for Counts {
    fn default() -> Self {
        let (counted, recent, ended) = Default::default();
        Self { counted, recent, begun: Instant::now(), ended }
    }
}

impl Scans {
    /// A scan was read, and judged.
    pub fn count(&self, source: Option<Source>, answer: &Answer) {
        let mut counts = self.lock();
        counts.end(source, Outcome::of(answer));
        for report in &answer.reports {
            for (_, value) in report.values() {
                for (name, _) in BOUNDS.iter().filter(|(_, bound)| value.confidence <= *bound) {
                    *counts.counted.confidence.entry(name).or_default() += 1;
                }
            }
        }
        let Some(meta) = &answer.meta else { return };
        counts.counted.models_used |= !meta.models.is_empty();
        for stage in STAGES {
            if let Some(took) = meta.elapsed_ms.get(stage).and_then(serde_json::Value::as_u64) {
                counts.took(stage, took);
            }
        }
        for (name, is_odd) in oddities(meta) {
            if is_odd {
                *counts.counted.odd.entry(name).or_default() += 1;
            }
        }
    }

    /// A scan was set aside.
    pub fn set_aside(&self, source: Option<Source>) {
        self.lock().end(source, Outcome::Dead);
    }

    /// All of it, until now.
    pub fn counted(&self) -> Counted {
        let mut counts = self.lock();
        let Counts { counted, recent, .. } = &mut *counts;
        for (stage, times) in recent.iter() {
            let mut sorted: Vec<u64> = times.iter().copied().collect();
            sorted.sort_unstable();
            let entry = counted.stages.entry(stage).or_default();
            (entry.p50_seconds, entry.p95_seconds) = (quantile(&sorted, 50), quantile(&sorted, 95));
        }
        counted.clone()
    }

    /// How scans ended in each quarter of an hour of the last day, the present one last; nothing
    /// where none did.
    pub fn history(&self) -> Vec<BTreeMap<&'static str, u32>> {
        let counts = self.lock();
        let mut history = vec![BTreeMap::new(); TIMES];
        let now = counts.time();
        for (time, ended) in &counts.ended {
            let ago = usize::try_from(now.saturating_sub(*time)).unwrap_or(TIMES);
            if let Some(place) = (TIMES - 1).checked_sub(ago) {
                let ended = Outcome::ALL.iter().zip(ended).filter(|(_, count)| **count > 0);
                history[place] = ended.map(|(outcome, count)| (outcome.name(), *count)).collect();
            }
        }
        history
    }

    /// What tells how well documents are read.
    pub fn record(&self) -> Record {
        let counts = self.lock();
        let (scans, confidence) = (&counts.counted.scans, &counts.counted.confidence);
        let of = |outcomes: &[Outcome]| {
            let counts = scans.values().flatten();
            counts
                .filter(|(name, _)| outcomes.iter().any(|it| it.name() == **name))
                .map(|(_, count)| count)
                .sum()
        };
        let at_most = |bound: &str| confidence.get(bound).copied().unwrap_or_default();
        Record {
            documents: scans.values().flat_map(BTreeMap::values).sum(),
            unread: of(&[Outcome::NoReport, Outcome::Unreadable, Outcome::Dead]),
            review: of(&[Outcome::Review]),
            values: at_most("1"),
            unsure: at_most("0.9"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn end(&mut self, source: Option<Source>, outcome: Outcome) {
        let source = source.map_or("unknown", Source::as_str);
        let of_source = self.counted.scans.entry(source).or_default();
        *of_source.entry(outcome.name()).or_default() += 1;
        let now = self.time();
        if self.ended.back().is_none_or(|(time, _)| *time != now) {
            self.ended.push_back((now, Default::default()));
        }
        if self.ended.len() > TIMES {
            self.ended.pop_front();
        }
        if let Some((_, ended)) = self.ended.back_mut() {
            ended[outcome as usize] += 1;
        }
    }

    /// The number of the present time.
    fn time(&self) -> u64 {
        self.begun.elapsed().as_secs() / TIME
    }

    fn took(&mut self, stage: &'static str, milliseconds: u64) {
        let recent = self.recent.entry(stage).or_default();
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back(milliseconds);
        self.counted.stages.entry(stage).or_default().count += 1;
    }
}

/// What may be odd about a scan that was read.
fn oddities(meta: &Meta) -> [(&'static str, bool); 5] {
    [
        ("checks_failed", meta.checks.iter().any(|check| !check.passed)),
        ("pages_missing", !meta.missing_pages.is_empty()),
        ("other_papers", !meta.other_papers.is_empty()),
        ("poor_pictures", meta.quality.iter().any(|page| !page.findings.is_empty())),
        ("scans_interrupted", meta.interrupted),
    ]
}

/// The nearest rank of sorted milliseconds, in seconds.
fn quantile(sorted: &[u64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map_or(0.0, |milliseconds| *milliseconds as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cic_kiosk::report::schema::{Check, Field, Report, Value};
    use serde_json::{Map, json};

    use super::*;

    fn answer(confidence: f32, took: u64) -> Answer {
        let mut report = Report::default();
        let value = Value { text: "nobody's business".to_owned(), confidence, ..Value::default() };
        *report.scalar_mut(Field::CicCode) = value;
        let elapsed_ms: Map<_, _> =
            [("decode".to_owned(), json!(took)), ("nobody's".to_owned(), json!(1))]
                .into_iter()
                .collect();
        Answer::success(vec![report], Meta { elapsed_ms, ..Meta::default() })
    }

    #[test]
    fn scans_are_counted_by_source_and_outcome() {
        let scans = Scans::default();
        scans.count(Some(Source::Folder), &answer(0.9, 1));
        scans.count(Some(Source::Folder), &Answer::failure(ErrorCode::NoReport, Meta::default()));
        scans.set_aside(None);
        let scans = scans.counted().scans;
        let of = |outcomes: &[&'static str]| outcomes.iter().map(|it| (*it, 1)).collect();
        let expected: BTreeMap<&str, BTreeMap<&str, u64>> =
            [("folder", of(&["local", "no_report"])), ("unknown", of(&["dead"]))].into();
        assert_eq!(scans, expected);
    }

    #[test]
    fn record_tells_how_many_documents_and_values_were_read_how_well() {
        let scans = Scans::default();
        assert_eq!(scans.record(), Record::default());
        scans.count(Some(Source::Folder), &answer(0.95, 1));
        scans.count(None, &Answer::failure(ErrorCode::NoReport, Meta::default()));
        scans.set_aside(None);
        let sure = scans.record();
        assert_eq!((sure.documents, sure.unread, sure.review), (3, 2, 0));
        scans.count(None, &answer(0.85, 1));
        let more = scans.record().since(&sure);
        assert_eq!((more.documents, more.unread), (1, 0));
        assert_eq!(more.unsure, sure.unsure + 1);
    }

    #[test]
    fn history_has_a_day_of_quarters_of_an_hour_and_forgets_what_is_older() {
        let scans = Scans::default();
        let pass = |quarters: u64| {
            let mut counts = scans.lock();
            counts.begun = counts.begun.checked_sub(Duration::from_secs(quarters * TIME)).unwrap();
        };
        scans.set_aside(None);
        pass(95);
        scans.count(None, &answer(0.9, 1));
        scans.count(None, &answer(0.9, 1));
        let history = scans.history();
        assert_eq!((history.len(), &history[95]), (96, &BTreeMap::from([("local", 2)])));
        assert_eq!(history[0], BTreeMap::from([("dead", 1)]));
        pass(1);
        let history = scans.history();
        assert_eq!((history[0].len(), history[94].len(), history[95].len()), (0, 1, 0));
    }

    #[test]
    fn confidences_are_counted_at_every_bound_that_they_do_not_exceed() {
        let scans = Scans::default();
        scans.count(None, &answer(0.93, 1));
        scans.count(None, &answer(1.0, 1));
        let confidence = scans.counted().confidence;
        // A report without texts has values, too, of which nothing is expected.
        let more = |low: &str, high: &str| confidence[high] - confidence.get(low).unwrap_or(&0);
        assert_eq!((more("0.9", "0.95"), more("0.99", "1")), (1, 1), "{confidence:?}");
    }

    #[test]
    fn quantiles_are_those_of_the_last_documents_and_unknown_stages_are_not_told() {
        let scans = Scans::default();
        for _ in 0..50 {
            scans.count(None, &answer(1.0, 9_000_000));
        }
        for took in 1..=RECENT as u64 {
            scans.count(None, &answer(1.0, took));
        }
        let stages = scans.counted().stages;
        assert_eq!(stages.keys().collect::<Vec<_>>(), [&"decode"]);
        let expected = StageTimes { count: 50 + 256, p50_seconds: 0.128, p95_seconds: 0.244 };
        assert_eq!(stages["decode"], expected);
    }

    #[test]
    fn odd_scans_are_counted_once_by_what_is_odd() {
        let scans = Scans::default();
        let failed = Check { name: "month_total".to_owned(), passed: false, fields: Vec::new() };
        let meta =
            Meta { checks: vec![failed.clone(), failed], interrupted: true, ..Meta::default() };
        scans.count(None, &Answer::success(Vec::new(), meta));
        assert_eq!(
            scans.counted().odd,
            BTreeMap::from([("checks_failed", 1), ("scans_interrupted", 1)])
        );
    }
}
