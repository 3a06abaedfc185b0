//! Compares answers with the truth: values, rows, whole documents, text, and whether confidence
//! tells right from wrong.
//!
//! Every scalar and every table cell of the truth counts. A value is right when it equals the
//! truth's after composing (NFC) and folding blanks; only the sentence of `debt_sold_to_vamc` may
//! lack its full stop. Rows are paired in order so that most cells agree; a row of the answer
//! without a partner is an invented one.
//!
//! Pure: files, clocks and printing are the caller's.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value as Json};
use unicode_normalization::UnicodeNormalization;

use crate::report::schema::{Answer, Cell, Field, Report, Table};

/// What a document says, as people wrote it down or a generator knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    /// How the document was captured, such as `scan`; figures are given for each kind.
    pub kind: String,
    /// What the answer should be.
    pub expected: Expected,
    /// The printed lines of each page, where they are known.
    pub text: Option<Vec<Vec<String>>>,
}

/// What an answer should be.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// An error with this digit.
    Error(String),
    /// These reports, in page order.
    Reports(Vec<ReportTruth>),
}

/// The values of one report.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportTruth {
    scalars: [String; 8],
    tables: [Vec<Vec<String>>; 8],
}

impl<'de> Deserialize<'de> for Truth {
    /// `{"kind", "info": {scalar: value, table: [[cell, ...], ...]}}`, or `"infos"` for several
    /// reports, or `"errorCode"`; `"text"` lists the lines of each page.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct File {
            kind: String,
            #[serde(rename = "errorCode")]
            error: Option<String>,
            info: Option<Map<String, Json>>,
            infos: Option<Vec<Map<String, Json>>>,
            text: Option<Vec<Vec<String>>>,
        }
        let file = File::deserialize(deserializer)?;
        let expected = match (file.error, file.infos, file.info) {
            (Some(digit), ..) => Expected::Error(digit),
            (None, Some(infos), _) => Expected::Reports(infos.iter().map(report_truth).collect()),
            (None, None, Some(info)) => Expected::Reports(vec![report_truth(&info)]),
            (None, None, None) => {
                return Err(serde::de::Error::custom("no info, no infos and no errorCode"));
            }
        };
        Ok(Self { kind: file.kind, expected, text: file.text })
    }
}

fn report_truth(info: &Map<String, Json>) -> ReportTruth {
    ReportTruth {
        scalars: Field::ALL.map(|field| info.get(field.name()).map(cell_text).unwrap_or_default()),
        tables: Table::ALL.map(|table| {
            let rows = info.get(table.name()).and_then(Json::as_array);
            rows.into_iter()
                .flatten()
                .filter_map(Json::as_array)
                .map(|row| row.iter().map(cell_text).collect())
                .collect()
        }),
    }
}

/// A cell of the truth as one string: a list of debts is written as [`debts_text`] does.
fn cell_text(cell: &Json) -> String {
    match cell {
        Json::String(text) => fold(text),
        Json::Array(debts) => debts_text(debts.iter().map(|debt| {
            let member = |name| debt.get(name).and_then(Json::as_str).unwrap_or_default();
            (member("debt_name"), member("debt"))
        })),
        Json::Null => String::new(),
        other => other.to_string(),
    }
}

fn debts_text<'a>(debts: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let lines: Vec<_> =
        debts.map(|(name, amount)| format!("{}={}", fold(name), fold(amount))).collect();
    lines.join(" | ")
}

/// Composed, with single blanks between words and none at the ends.
pub fn fold(text: &str) -> String {
    let composed: String = text.nfc().collect();
    composed.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A value of the truth with what the answer made of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// `cic_code`, `bad_debt[0][2]`; of a second report, `info[1].cic_code`.
    pub name: String,
    /// The scalar or the table it belongs to.
    pub field: &'static str,
    /// Whether it is a scalar, not a cell.
    pub is_scalar: bool,
    /// The truth.
    pub expected: String,
    /// The answer; none where its row is missing.
    pub found: Option<String>,
    /// The answer's confidence; none where its row is missing.
    pub confidence: Option<f32>,
    /// Whether both agree.
    pub is_right: bool,
}

/// A document compared with its truth.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Every value of the truth.
    pub values: Vec<Judged>,
    /// Rows of the answer that the truth does not have.
    pub invented_rows: usize,
    /// Whether there is no answer, or one without the reports that the truth has.
    pub failed: bool,
    /// Whether nothing is wrong, missing or invented.
    pub is_whole: bool,
}

/// Compares an answer with the truth; no answer counts as an empty one.
pub fn compare(truth: &Truth, answer: Option<&Answer>) -> Comparison {
    let truths = match &truth.expected {
        Expected::Error(digit) => {
            let is_whole = answer.is_some_and(|answer| answer.error.digit() == digit);
            return Comparison { failed: answer.is_none(), is_whole, ..Comparison::default() };
        }
        Expected::Reports(truths) => truths,
    };
    let reports = answer.map_or(&[][..], |answer| &answer.reports);
    let nothing = Report::default();
    let mut comparison = Comparison { failed: reports.is_empty(), ..Comparison::default() };
    for (index, truth) in truths.iter().enumerate() {
        let prefix = if index == 0 { String::new() } else { format!("info[{index}].") };
        compare_report(truth, reports.get(index).unwrap_or(&nothing), &prefix, &mut comparison);
    }
    for surplus in reports.iter().skip(truths.len()) {
        comparison.invented_rows +=
            Table::ALL.iter().map(|table| surplus.table(*table).rows.len()).sum::<usize>();
    }
    comparison.is_whole = reports.len() == truths.len()
        && comparison.invented_rows == 0
        && comparison.values.iter().all(|value| value.is_right);
    comparison
}

fn compare_report(truth: &ReportTruth, report: &Report, prefix: &str, into: &mut Comparison) {
    for field in Field::ALL {
        let value = report.scalar(field);
        let expected = &truth.scalars[field as usize];
        let found = fold(&value.text);
        let is_right = found == *expected
            || field == Field::DebtSoldToVamc
                && found.trim_end_matches('.') == expected.trim_end_matches('.');
        into.values.push(Judged {
            name: format!("{prefix}{}", field.name()),
            field: field.name(),
            is_scalar: true,
            expected: expected.clone(),
            found: Some(found),
            confidence: Some(value.confidence),
            is_right,
        });
    }
    for table in Table::ALL {
        let expected = &truth.tables[table as usize];
        let cells = &report.table(table).rows;
        let found: Vec<Vec<String>> =
            cells.iter().map(|row| row.iter().map(text_of).collect()).collect();
        let partners = pair_rows(expected, &found);
        into.invented_rows += found.len() - partners.iter().flatten().count();
        for (r, row) in expected.iter().enumerate() {
            let partner = partners[r];
            for (c, expected) in row.iter().enumerate() {
                let text = partner.and_then(|p| found[p].get(c));
                into.values.push(Judged {
                    name: format!("{prefix}{}[{r}][{c}]", table.name()),
                    field: table.name(),
                    is_scalar: false,
                    expected: expected.clone(),
                    found: text.cloned(),
                    confidence: partner
                        .and_then(|p| cells[p].get(c))
                        .map(|cell| cell.confidence().unwrap_or(0.0)),
                    is_right: text == Some(expected),
                });
            }
        }
    }
}

fn text_of(cell: &Cell) -> String {
    match cell {
        Cell::Plain(value) => fold(&value.text),
        Cell::Debts(debts) => {
            debts_text(debts.iter().map(|debt| (&debt.name[..], &debt.amount.text[..])))
        }
    }
}

/// For each row of the truth the answer's row that goes with it. Order is kept, and of all such
/// pairings the one with most equal cells is taken; among those, one with most pairs.
fn pair_rows(truth: &[Vec<String>], found: &[Vec<String>]) -> Vec<Option<usize>> {
    // A pair counts a hundredth of an equal cell, so that rows without an equal cell pair up too.
    let gain = |t: usize, f: usize| {
        1 + 100 * truth[t].iter().zip(&found[f]).filter(|(a, b)| a == b).count()
    };
    // best[t][f]: what can be gained from the rows from t and f on.
    let mut best = vec![vec![0; found.len() + 1]; truth.len() + 1];
    for t in (0..truth.len()).rev() {
        for f in (0..found.len()).rev() {
            best[t][f] = (best[t + 1][f + 1] + gain(t, f)).max(best[t + 1][f]).max(best[t][f + 1]);
        }
    }
    let mut partners = vec![None; truth.len()];
    let (mut t, mut f) = (0, 0);
    while t < truth.len() && f < found.len() {
        if best[t][f] == best[t + 1][f + 1] + gain(t, f) {
            partners[t] = Some(f);
            t += 1;
            f += 1;
        } else if best[t][f] == best[t + 1][f] {
            t += 1;
        } else {
            f += 1;
        }
    }
    partners
}

/// How many of how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Those that are right.
    pub right: usize,
    /// All.
    pub of: usize,
}

impl Share {
    /// Right ones over all, 1 where there are none.
    pub fn value(&self) -> f64 {
        if self.of == 0 { 1.0 } else { self.right as f64 / self.of as f64 }
    }

    fn count(&mut self, is_right: bool) {
        self.right += usize::from(is_right);
        self.of += 1;
    }
}

impl AddAssign for Share {
    fn add_assign(&mut self, other: Self) {
        self.right += other.right;
        self.of += other.of;
    }
}

/// Edits that make the read text the printed one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Characters inserted, deleted or replaced.
    pub edits: usize,
    /// Characters printed.
    pub of: usize,
}

impl Edits {
    /// The character error rate; none where nothing is printed.
    pub fn rate(&self) -> Option<f64> {
        (self.of > 0).then(|| self.edits as f64 / self.of as f64)
    }
}

impl AddAssign for Edits {
    fn add_assign(&mut self, other: Self) {
        self.edits += other.edits;
        self.of += other.of;
    }
}

/// Compares the printed lines of a page with those read.
///
/// Lines have no order that both sides agree on, so each printed line is compared with the read
/// line nearest to it that is not taken yet, equal ones first. A line that is left over on either
/// side counts with all its characters.
pub fn compare_text(printed: &[String], read: &[String]) -> Edits {
    let characters = |lines: &[String]| -> Vec<Option<Vec<char>>> {
        lines.iter().map(|line| Some(fold(line).chars().collect())).collect()
    };
    let (mut printed, mut read) = (characters(printed), characters(read));
    let of = printed.iter().flatten().map(Vec::len).sum();

    for line in &mut printed {
        if let Some(same) = read.iter_mut().find(|other| *other == line) {
            *same = None;
            *line = None;
        }
    }
    let mut pairs = Vec::new();
    for (p, line) in printed.iter().enumerate() {
        for (r, other) in read.iter().enumerate() {
            if let (Some(line), Some(other)) = (line, other) {
                pairs.push((edit_distance(line, other), p, r));
            }
        }
    }
    pairs.sort_unstable();
    let mut edits = 0;
    for (distance, p, r) in pairs {
        if let (Some(line), Some(other)) = (&printed[p], &read[r])
            // Otherwise they have nothing to do with each other: one is missing, one is invented.
            && distance < line.len().max(other.len())
        {
            edits += distance;
            printed[p] = None;
            read[r] = None;
        }
    }
    edits += printed.iter().chain(&read).flatten().map(Vec::len).sum::<usize>();
    Edits { edits, of }
}

/// Levenshtein's distance: insertions, deletions and replacements.
pub fn edit_distance<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// Figures of one kind of document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Documents seen.
    pub documents: usize,
    /// Documents without an answer.
    pub failed: usize,
    /// Scalars.
    pub scalars: Share,
    /// Table cells.
    pub cells: Share,
    /// Rows that the answers have and the truth has not.
    pub invented_rows: usize,
    /// Documents without any mistake.
    pub whole: usize,
    /// Characters, where the truth has text.
    pub text: Edits,
    /// Pages read.
    pub pages: usize,
    /// Time taken for them.
    pub elapsed: Duration,
}

impl Tally {
    /// Scalars and cells together.
    pub fn values(&self) -> Share {
        let mut values = self.scalars;
        values += self.cells;
        values
    }

    /// Seconds per page; none where no page was timed.
    pub fn seconds_per_page(&self) -> Option<f64> {
        (self.pages > 0).then(|| self.elapsed.as_secs_f64() / self.pages as f64)
    }
}

impl AddAssign<&Self> for Tally {
    fn add_assign(&mut self, other: &Self) {
        self.documents += other.documents;
        self.failed += other.failed;
        self.scalars += other.scalars;
        self.cells += other.cells;
        self.invented_rows += other.invented_rows;
        self.whole += other.whole;
        self.text += other.text;
        self.pages += other.pages;
        self.elapsed += other.elapsed;
    }
}

/// How often the surest answers are wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coverage {
    /// The share of all values that is taken, the surest first.
    pub share: f64,
    /// The lowest confidence among them.
    pub threshold: f32,
    /// The share of them that is wrong.
    pub wrong: f64,
}

/// Figures of many documents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// By kind of document.
    pub kinds: BTreeMap<String, Tally>,
    /// By scalar and table, in the order of the contract.
    pub fields: Vec<(&'static str, Share)>,
    judged: Vec<(f32, bool)>,
}

impl Summary {
    /// Adds a document.
    pub fn add(&mut self, kind: &str, comparison: &Comparison) {
        let tally = self.kinds.entry(kind.to_owned()).or_default();
        tally.documents += 1;
        tally.failed += usize::from(comparison.failed);
        tally.invented_rows += comparison.invented_rows;
        tally.whole += usize::from(comparison.is_whole);
        for value in &comparison.values {
            let share = if value.is_scalar { &mut tally.scalars } else { &mut tally.cells };
            share.count(value.is_right);
            match self.fields.iter_mut().find(|(name, _)| *name == value.field) {
                Some((_, share)) => share.count(value.is_right),
                None => {
                    self.fields.push((value.field, Share { right: value.is_right.into(), of: 1 }))
                }
            }
            if let Some(confidence) = value.confidence {
                self.judged.push((confidence, value.is_right));
            }
        }
    }

    /// Adds what reading a document took.
    pub fn add_time(&mut self, kind: &str, pages: usize, elapsed: Duration) {
        let tally = self.kinds.entry(kind.to_owned()).or_default();
        tally.pages += pages;
        tally.elapsed += elapsed;
    }

    /// Adds the characters of a document.
    pub fn add_text(&mut self, kind: &str, text: Edits) {
        self.kinds.entry(kind.to_owned()).or_default().text += text;
    }

    /// All kinds together.
    pub fn total(&self) -> Tally {
        self.kinds.values().fold(Tally::default(), |mut total, tally| {
            total += tally;
            total
        })
    }

    /// The error rate against confidence: how often the surest values are wrong, for growing
    /// shares of all values. Empty where nothing was answered.
    pub fn coverage(&self) -> Vec<Coverage> {
        let mut judged = self.judged.clone();
        judged.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
        let of_share = |share: f64| {
            let taken = judged.get(..((judged.len() as f64 * share) as usize).max(1))?;
            let wrong = taken.iter().filter(|(_, is_right)| !is_right).count();
            Some(Coverage {
                share,
                threshold: taken.last()?.0,
                wrong: wrong as f64 / taken.len() as f64,
            })
        };
        [0.5, 0.8, 0.9, 0.95, 1.0].into_iter().filter_map(of_share).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::report::schema::{Debt, ErrorCode, Meta, Value};

    fn truth(info: Json) -> Truth {
        serde_json::from_value(json!({"kind": "scan", "info": info})).unwrap()
    }

    fn value(text: &str, confidence: f32) -> Value {
        Value { text: text.to_owned(), confidence, ..Value::default() }
    }

    fn row(texts: &[&str]) -> Vec<Cell> {
        texts.iter().map(|text| Cell::Plain(value(text, 0.9))).collect()
    }

    fn answer(change: impl FnOnce(&mut Report)) -> Answer {
        let mut report = Report::default();
        change(&mut report);
        Answer::success(vec![report], Meta::default())
    }

    fn wrong(comparison: &Comparison) -> Vec<&str> {
        let wrong = comparison.values.iter().filter(|value| !value.is_right);
        wrong.map(|value| &value.name[..]).collect()
    }

    #[test]
    fn composition_and_blanks_make_no_difference() {
        let truth = truth(json!({"address": "Ấp 3,  Xã Phước"}));
        let decomposed: String = "Ấp 3, Xã Phước ".nfd().collect();
        let answer = answer(|report| *report.scalar_mut(Field::Address) = value(&decomposed, 0.9));
        assert!(compare(&truth, Some(&answer)).is_whole);
    }

    #[test]
    fn full_stop_may_be_missing_from_the_vamc_sentence_only() {
        let truth = truth(json!({"debt_sold_to_vamc": "Không có.", "address": "Số 1."}));
        let answer = answer(|report| {
            *report.scalar_mut(Field::DebtSoldToVamc) = value("Không có", 0.9);
            *report.scalar_mut(Field::Address) = value("Số 1", 0.9);
        });
        assert_eq!(wrong(&compare(&truth, Some(&answer))), ["address"]);
    }

    #[test]
    fn row_missing_in_the_middle_costs_its_own_cells_only() {
        let truth = truth(json!({"credit_contract": [["1", "2"], ["3", "4"], ["5", "6"]]}));
        let answer = answer(|report| {
            report.table_mut(Table::CreditContract).rows = vec![row(&["1", "2"]), row(&["5", "6"])];
        });
        let comparison = compare(&truth, Some(&answer));
        assert_eq!(wrong(&comparison), ["credit_contract[1][0]", "credit_contract[1][1]"]);
        assert_eq!(comparison.invented_rows, 0);
        assert_eq!(comparison.values[10].confidence, None, "a missing row has no confidence");
    }

    #[test]
    fn row_too_many_is_invented_and_the_document_not_whole() {
        let truth = truth(json!({"credit_contract": [["1", "2"]]}));
        let answer = answer(|report| {
            report.table_mut(Table::CreditContract).rows = vec![row(&["0", "0"]), row(&["1", "2"])];
        });
        let comparison = compare(&truth, Some(&answer));
        assert_eq!((comparison.invented_rows, comparison.is_whole), (1, false));
        assert_eq!(wrong(&comparison), [""; 0]);
    }

    #[test]
    fn debts_count_as_one_cell_with_names_and_amounts() {
        let debts = json!([{"debt_name": "Dư nợ khác", "debt": "5"}]);
        let truth = truth(json!({"loan_details": [["1", "01", "A", debts, "5"]]}));
        let loans = |amount: &str| {
            let debt = Debt { name: "Dư nợ  khác".to_owned(), amount: value(amount, 0.4) };
            let mut cells = row(&["1", "01", "A", "", "5"]);
            cells[3] = Cell::Debts(vec![debt]);
            answer(|report| report.table_mut(Table::LoanDetails).rows = vec![cells])
        };
        assert!(compare(&truth, Some(&loans("5"))).is_whole);
        let comparison = compare(&truth, Some(&loans("6")));
        assert_eq!(wrong(&comparison), ["loan_details[0][3]"]);
        assert_eq!(comparison.values[11].confidence, Some(0.4));
    }

    #[test]
    fn expected_error_is_right_by_its_code() {
        let truth: Truth =
            serde_json::from_value(json!({"kind": "bad", "errorCode": "3"})).unwrap();
        let bad = Answer::failure(ErrorCode::BadInput, Meta::default());
        assert!(compare(&truth, Some(&bad)).is_whole);
        assert!(!compare(&truth, Some(&Answer::default())).is_whole);
        assert!(compare(&truth, None).failed);
    }

    #[test]
    fn report_too_many_invents_its_rows() {
        let truth = truth(json!({}));
        let mut answer = answer(|_| {});
        let mut second = Report::default();
        second.table_mut(Table::CreditContract).rows = vec![row(&["1", "2"])];
        answer.reports.push(second);
        let comparison = compare(&truth, Some(&answer));
        assert_eq!((comparison.invented_rows, comparison.is_whole), (1, false));
    }

    #[test]
    fn missing_second_report_is_wrong_under_its_own_name() {
        let truth: Truth = serde_json::from_value(
            json!({"kind": "scan", "infos": [{}, {"cic_code": "0184618475"}]}),
        )
        .unwrap();
        assert_eq!(wrong(&compare(&truth, Some(&answer(|_| {})))), ["info[1].cic_code"]);
    }

    #[test]
    fn truth_without_anything_expected_is_refused() {
        assert!(serde_json::from_value::<Truth>(json!({"kind": "scan"})).is_err());
    }

    fn lines(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn text_is_compared_line_by_line_in_any_order() {
        let printed = lines(&["Mã số CIC:", "0184618475", "Địa chỉ:"]);
        let read = lines(&["Đia chỉ:", "0184618475", "Mã số CIC:"]);
        assert_eq!(compare_text(&printed, &read), Edits { edits: 1, of: 28 });
    }

    #[test]
    fn line_that_is_missing_or_invented_costs_all_its_characters() {
        assert_eq!(compare_text(&lines(&["abc"]), &[]), Edits { edits: 3, of: 3 });
        assert_eq!(compare_text(&lines(&["abc"]), &lines(&["xy"])), Edits { edits: 5, of: 3 });
    }

    #[test]
    fn edit_distance_counts_the_three_kinds_of_edits() {
        assert_eq!(edit_distance(b"kitten", b"sitting"), 3);
        assert_eq!(edit_distance(b"", b"ab"), 2);
    }

    #[test]
    fn surest_values_come_first_in_the_coverage() {
        let mut summary = Summary::default();
        let truth = truth(json!({"credit_score": "590", "credit_rank": "4"}));
        let answer = answer(|report| {
            *report.scalar_mut(Field::CreditScore) = value("590", 0.9);
            *report.scalar_mut(Field::CreditRank) = value("5", 0.8);
        });
        summary.add("scan", &compare(&truth, Some(&answer)));
        let coverage = summary.coverage();
        assert_eq!(coverage[0], Coverage { share: 0.5, threshold: 0.0, wrong: 0.25 });
        assert_eq!(summary.total().values(), Share { right: 7, of: 8 });
    }
}
