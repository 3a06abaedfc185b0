//! Decides what becomes of a document that was read: good enough as it is, or the cloud service is
//! asked, or a person is to look at it.
//!
//! Pure: the same answer and settings always come to the same decision. An answer with an error is
//! no reading that could be doubted: it goes out as it is. One exception: where no report was found,
//! the cloud service may find one.

use std::collections::BTreeSet;

use crate::config::Decision;
use crate::report::schema::{Answer, Check, ErrorCode, Meta, Value, Verdict};

/// What was decided, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// What becomes of the document; [`Verdict::Cloud`] means that the service is to be asked.
    pub verdict: Verdict,
    /// Values below their threshold, named as in [`Report::values`]; those of a second report
    /// begin with `info[1].`.
    ///
    /// [`Report::values`]: crate::report::schema::Report::values
    pub doubtful: Vec<String>,
    /// Checks that failed.
    pub failed: Vec<Check>,
    /// Pages of what is in doubt, 0-based; none where all of the document is.
    pub pages: BTreeSet<usize>,
}

impl Decided {
    /// Writes a decision that is final into an answer's `meta`. Whatever made a document one for
    /// review is named there, once.
    pub fn record(&self, answer: &mut Answer) {
        let meta = answer.meta.get_or_insert_default();
        meta.decision = Some(self.verdict);
        if self.verdict == Verdict::Review {
            for name in self.concerned() {
                if !meta.needs_review.contains(name) {
                    meta.needs_review.push(name.clone());
                }
            }
        }
    }

    /// Doubtful values and those that failed checks concern.
    fn concerned(&self) -> impl Iterator<Item = &String> {
        self.doubtful.iter().chain(self.failed.iter().flat_map(|check| &check.fields))
    }
}

/// Decides; `cloud_allowed` says whether the cloud service may be asked.
pub fn decide(answer: &Answer, decision: &Decision, cloud_allowed: bool) -> Decided {
    let values = named_values(answer);
    let doubted =
        |(name, value): &(String, &Value)| value.confidence < decision.threshold(field_of(name));
    let doubtful: Vec<String> =
        values.iter().filter(|it| doubted(it)).map(|(name, _)| name.clone()).collect();
    let checks = answer.meta.iter().flat_map(|meta| &meta.checks);
    let failed: Vec<Check> = checks.filter(|check| !check.passed).cloned().collect();
    let expected: f32 = values.iter().map(|(_, value)| 1.0 - value.confidence).sum();
    // Where the doubt is in no single value, it is in all of them.
    let overall = expected > decision.max_expected_errors
        || failed.iter().any(|check| check.fields.is_empty());
    // Of pages that are missing the cloud service knows no more than we do.
    let whole = |meta: &Meta| !meta.interrupted && meta.missing_pages.is_empty();
    let is_whole = answer.meta.as_ref().is_none_or(whole);
    let good = doubtful.len() <= decision.max_doubtful_values
        && failed.len() <= decision.max_failed_checks
        && expected <= decision.max_expected_errors;
    let verdict = match answer.error {
        ErrorCode::NoReport if cloud_allowed => Verdict::Cloud,
        ErrorCode::Success if !good && cloud_allowed => Verdict::Cloud,
        ErrorCode::Success if !good || !is_whole => Verdict::Review,
        _ => Verdict::Local,
    };
    let mut decided = Decided { verdict, doubtful, failed, pages: BTreeSet::new() };
    let concerned: BTreeSet<&String> = decided.concerned().collect();
    let pages = values
        .iter()
        .filter(|(name, _)| overall || concerned.contains(name))
        .filter_map(|(_, value)| value.page)
        .collect();
    decided.pages = pages;
    decided
}

/// All values with their names over all reports.
fn named_values(answer: &Answer) -> Vec<(String, &Value)> {
    let mut values = Vec::new();
    for (index, report) in answer.reports.iter().enumerate() {
        let named = |name| crate::report::name_in(index, name);
        values.extend(report.values().into_iter().map(|(name, value)| (named(name), value)));
    }
    values
}

/// The field or table of a value's name: `bad_debt` of `info[1].bad_debt[0][2]`.
fn field_of(name: &str) -> &str {
    let name = name.split_once("].").map_or(name, |(_, name)| name);
    name.split('[').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::schema::{Cell, Field, MissingPage, Report, Table};

    fn value(confidence: f32, page: usize) -> Value {
        Value { text: "1".to_owned(), bounds: None, confidence, page: Some(page) }
    }

    /// A code on page 0, an address on page 1, two cells on page 2; and the same again.
    fn sure() -> Answer {
        let mut report = Report::default();
        *report.scalar_mut(Field::CicCode) = value(0.99, 0);
        *report.scalar_mut(Field::Address) = value(0.99, 1);
        let row = vec![Cell::Plain(value(0.99, 2)), Cell::Plain(value(0.99, 2))];
        report.table_mut(Table::LoanGuarantee).rows = vec![row];
        Answer::success(vec![report.clone(), report], Meta::default())
    }

    fn doubt(answer: &mut Answer, report: usize, field: Field, confidence: f32) {
        answer.reports[report].scalar_mut(field).confidence = confidence;
    }

    fn fail(answer: &mut Answer, fields: &[&str]) {
        let fields = fields.iter().map(|name| (*name).to_owned()).collect();
        let check = Check { name: "month_total".to_owned(), passed: false, fields };
        answer.meta.get_or_insert_default().checks.push(check);
    }

    fn verdicts(answer: &Answer, decision: &Decision) -> [Verdict; 2] {
        [false, true].map(|allowed| decide(answer, decision, allowed).verdict)
    }

    const DOUBTED: [Verdict; 2] = [Verdict::Review, Verdict::Cloud];
    const GOOD: [Verdict; 2] = [Verdict::Local; 2];

    #[test]
    fn what_is_sure_is_good_as_it_is() {
        assert_eq!(verdicts(&sure(), &Decision::default()), GOOD);
    }

    #[test]
    fn scan_that_was_interrupted_is_for_a_person_however_sure_its_values() {
        let mut answer = sure();
        answer.meta.get_or_insert_default().interrupted = true;
        assert_eq!(verdicts(&answer, &Decision::default()), [Verdict::Review; 2]);
    }

    #[test]
    fn report_without_all_of_its_pages_is_for_a_person() {
        let mut answer = sure();
        let missing = MissingPage { report: 0, page: 2 };
        answer.meta.get_or_insert_default().missing_pages.push(missing);
        assert_eq!(verdicts(&answer, &Decision::default()), [Verdict::Review; 2]);
    }

    #[test]
    fn doubtful_value_is_named_and_located_in_its_report() {
        let mut answer = sure();
        doubt(&mut answer, 1, Field::Address, 0.89);
        let decided = decide(&answer, &Decision::default(), false);
        assert_eq!(decided.doubtful, ["info[1].address"]);
        assert_eq!(decided.pages, BTreeSet::from([1]));
        assert_eq!(verdicts(&answer, &Decision::default()), DOUBTED);
    }

    #[test]
    fn threshold_of_its_own_goes_over_the_common_one_in_every_report() {
        let values = "values = { cic_code = 0.995, address = 0.2, loan_guarantee = 0.999 }";
        let decision: Decision = toml::from_str(values).unwrap();
        let mut answer = sure();
        doubt(&mut answer, 0, Field::Address, 0.3);
        let expected = [
            "cic_code",
            "loan_guarantee[0][0]",
            "loan_guarantee[0][1]",
            "info[1].cic_code",
            "info[1].loan_guarantee[0][0]",
            "info[1].loan_guarantee[0][1]",
        ];
        assert_eq!(decide(&answer, &decision, false).doubtful, expected);
    }

    #[test]
    fn tolerated_doubts_and_failures_are_counted() {
        let mut answer = sure();
        doubt(&mut answer, 0, Field::CicCode, 0.5);
        fail(&mut answer, &["loan_guarantee[0][1]"]);
        for (doubts, failures, expected) in
            [(1, 1, GOOD), (0, 1, DOUBTED), (1, 0, DOUBTED), (0, 0, DOUBTED)]
        {
            let decision = Decision {
                max_doubtful_values: doubts,
                max_failed_checks: failures,
                ..Decision::default()
            };
            assert_eq!(verdicts(&answer, &decision), expected, "{doubts} {failures}");
        }
    }

    #[test]
    fn many_values_that_are_not_quite_sure_put_all_pages_in_doubt() {
        let mut answer = sure();
        let row = || vec![Cell::Plain(value(0.92, 7)), Cell::Plain(value(0.92, 7))];
        answer.reports[0].table_mut(Table::CreditContract).rows = (0..7).map(|_| row()).collect();
        let decided = decide(&answer, &Decision::default(), false);
        assert_eq!((decided.verdict, decided.doubtful.len()), (Verdict::Review, 0));
        assert_eq!(decided.pages, BTreeSet::from([0, 1, 2, 7]));
        let patient = Decision { max_expected_errors: 2.0, ..Decision::default() };
        assert_eq!(verdicts(&answer, &patient), GOOD);
    }

    #[test]
    fn failed_check_concerns_the_pages_of_its_values_and_without_any_all() {
        let mut answer = sure();
        fail(&mut answer, &["loan_guarantee[0][0]"]);
        assert_eq!(decide(&answer, &Decision::default(), true).pages, BTreeSet::from([2]));
        fail(&mut answer, &[]);
        assert_eq!(decide(&answer, &Decision::default(), true).pages, BTreeSet::from([0, 1, 2]));
    }

    #[test]
    fn what_holds_no_report_may_be_asked_of_the_cloud_and_no_other_error() {
        for code in ErrorCode::ALL.into_iter().skip(1) {
            let answer = Answer::failure(code, Meta::default());
            let allowed = decide(&answer, &Decision::default(), true);
            let asks = code == ErrorCode::NoReport;
            assert_eq!(allowed.verdict == Verdict::Cloud, asks, "{code:?}");
            assert!(allowed.pages.is_empty());
            assert_eq!(decide(&answer, &Decision::default(), false).verdict, Verdict::Local);
        }
    }

    #[test]
    fn review_names_what_made_it_doubtful_once() {
        let mut answer = sure();
        doubt(&mut answer, 0, Field::CicCode, 0.5);
        fail(&mut answer, &["cic_code", "loan_guarantee[0][1]"]);
        answer.meta.get_or_insert_default().needs_review = vec!["cic_code".to_owned()];
        let decided = decide(&answer, &Decision::default(), false);
        decided.record(&mut answer);
        decided.record(&mut answer);
        let meta = answer.meta.unwrap();
        assert_eq!(meta.needs_review, ["cic_code", "loan_guarantee[0][1]"]);
        assert_eq!(meta.decision, Some(Verdict::Review));
    }
}
