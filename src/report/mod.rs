//! Makes credit reports of lines of text: sections by their words, tables by rules and columns,
//! fields by labels, then the cross-checks that the paper allows and a confidence for each value.
//!
//! Pure logic over [`crate::text::PageText`]: it sees no picture, so a page read by its text layer
//! and a page read by its pixels go the same way. It takes values as printed. What the reader held
//! possible beside what it read, and what the form itself settles, can put a misread one right; what
//! would only be likely cannot (`docs/decisions/0025-only-what-can-be.md`).

mod address;
mod align;
mod bend;
mod checks;
pub mod confidence;
mod fields;
#[cfg(test)]
mod fixture;
mod grammar;
mod grid;
mod json_schema;
mod lenders;
mod lexicon;
mod loans;
pub mod merge;
mod order;
mod papers;
mod scalars;
pub mod schema;
mod sections;
mod shapes;
mod strip;
mod sums;
mod tables;
mod words;

use crate::geometry::Rect;
use crate::text::PageText;
use schema::{Check, MissingPage, OtherPaper, Region, Report, Table};
use sections::{Kind, Section};
use strip::Strip;

/// What can be set about reading.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Values of a lower confidence are to be reviewed by a person.
    pub review_below: f32,
}

impl Default for Options {
    fn default() -> Self {
        Self { review_below: 0.9 }
    }
}

/// What was read of a document.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// One for each title found, in page order; none where the pages hold no credit report.
    pub reports: Vec<Report>,
    /// The cross-checks that could be made, over all reports.
    pub checks: Vec<Check>,
    /// Values whose confidence is below the threshold, named as in [`Report::values`]; those of
    /// a second report begin with `info[1].`.
    pub needs_review: Vec<String>,
    /// The lowest confidence of all values read; 0 without any.
    pub confidence: f32,
    /// The pages that were read, in the order of reading, where that is not the order given.
    pub page_order: Vec<usize>,
    /// Pages that the reports should have.
    pub missing_pages: Vec<MissingPage>,
    /// Pages of other papers.
    pub other_papers: Vec<OtherPaper>,
    /// Where no report was found: a sentence on what the paper seems to be.
    pub detail: Option<String>,
}

/// Lines of a document at most: sixty full pages have fewer, and what takes the square of their
/// number still takes no more than some seconds.
const MOST_LINES: usize = 20_000;

/// Reads the reports on the pages of a document; those of one with too many lines it leaves alone.
pub fn read(pages: &[PageText], options: &Options) -> Reading {
    if pages.iter().map(|page| page.lines.len()).sum::<usize>() > MOST_LINES {
        let detail = format!(
            "The document has more than {MOST_LINES} lines of text: send the pages of one report at a time."
        );
        return Reading { detail: Some(detail), ..Reading::default() };
    }
    let sheets = order::put_right(pages);
    let strip = Strip::of(&sheets.pages);
    let mut reading = Reading {
        page_order: page_order(&sheets.pages, pages),
        missing_pages: sheets.missing,
        other_papers: sheets.others,
        ..Reading::default()
    };
    let mut lowest: Option<f32> = None;
    for sections in sections::reports(&strip) {
        let (report, checks) = report_of(&strip, &sections);
        if report.values().is_empty() {
            continue;
        }
        let index = reading.reports.len();
        let named = |name| name_in(index, name);
        for (name, value) in report.values() {
            lowest = Some(lowest.map_or(value.confidence, |low| low.min(value.confidence)));
            if value.confidence < options.review_below {
                reading.needs_review.push(named(name));
            }
        }
        reading.checks.extend(checks.into_iter().map(|mut check| {
            check.fields = check.fields.into_iter().map(named).collect();
            check
        }));
        reading.reports.push(report);
    }
    reading.confidence = lowest.unwrap_or(0.0);
    if reading.reports.is_empty() {
        reading.missing_pages.clear();
        reading.detail = Some(nothing_found(pages, sheets.seems));
    }
    reading
}

/// The order of reading, where it is not simply that of the pages; blank ones do not count.
fn page_order(read: &[&PageText], given: &[PageText]) -> Vec<usize> {
    let order: Vec<usize> = read.iter().map(|page| page.page).collect();
    let printed = |page: &&PageText| page.lines.iter().any(|line| !line.chars.is_empty());
    let is_as_given = order.iter().copied().eq(given.iter().filter(printed).map(|page| page.page));
    if is_as_given { Vec::new() } else { order }
}

/// A sentence for a person, without a word of what is printed on the pages.
fn nothing_found(pages: &[PageText], seems: Option<&str>) -> String {
    const READ: &str = "Reports of CIC on a person are read: S11A, S11T and K11.1.";
    match seems {
        Some(paper) => format!("No credit report was found: the paper seems to be {paper}. {READ}"),
        None if pages.iter().all(|page| page.lines.is_empty()) => {
            "No credit report was found: nothing is printed on the pages.".to_owned()
        }
        None => format!("No credit report was found: the paper has none of its titles. {READ}"),
    }
}

/// The name of a value over all reports: those of a second one begin with `info[1].`.
pub(crate) fn name_in(report: usize, name: String) -> String {
    if report == 0 { name } else { format!("info[{report}].{name}") }
}

fn report_of(strip: &Strip, sections: &[Section]) -> (Report, Vec<Check>) {
    let mut report = Report::default();
    let mut months = Vec::new();
    for section in sections {
        let part = &section.strip;
        let table = match section.kind {
            Kind::Enquiry => {
                scalars::enquiry(part, &mut report);
                continue;
            }
            Kind::Customer => {
                scalars::customer(part, &mut report);
                continue;
            }
            Kind::Score => {
                scalars::score(part, &mut report);
                continue;
            }
            Kind::Vamc => {
                scalars::vamc(part, &mut report);
                continue;
            }
            Kind::Other => continue,
            Kind::Loans => (Table::LoanDetails, loans::loans(part)),
            Kind::Cards => (Table::CreditCardInfo, tables::cards(part)),
            Kind::Months => {
                months.extend(tables::month_names(part));
                (Table::OutstandingLoans, tables::months(part))
            }
            Kind::BadDebt => (Table::BadDebt, tables::bad_debts(part)),
            Kind::Late => (Table::LatePayments, tables::late_payments(part)),
            Kind::Guarantee => (Table::LoanGuarantee, tables::guarantees(part)),
            Kind::Contracts => (Table::CreditContract, tables::contracts(part)),
            Kind::LookUps => (Table::CustomersLookUp, tables::look_ups(part)),
        };
        let (table, rows) = table;
        let read = report.table_mut(table);
        if !rows.is_empty() {
            read.regions.extend(regions(strip, part));
        }
        read.rows.extend(rows);
    }
    let checks = checks::checks(&report, &months);
    confidence::settle(&mut report, &checks);
    (report, checks)
}

/// What a section covers on each page, with a little margin.
fn regions(strip: &Strip, part: &Strip) -> Vec<Region> {
    let margin = 0.6 * part.em();
    strip
        .frames
        .iter()
        .filter_map(|frame| {
            let pieces = part.pieces.iter().filter(|piece| piece.page == frame.page);
            let text = pieces.map(|piece| piece.at).reduce(|all, at| all.union(&at))?;
            // The table's own rules reach further than its text.
            let reach = part
                .across
                .iter()
                .filter(|rule| (text.top - margin..text.bottom + margin).contains(&rule.y))
                .fold(text, |all, rule| {
                    all.union(&Rect::new(rule.left, rule.y, rule.right, rule.y))
                });
            let rect = frame.back(&Rect::new(
                reach.left - margin,
                reach.top - margin,
                reach.right + margin,
                reach.bottom + margin,
            ))?;
            Some(Region { page: frame.page, rect })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_lines_than_a_report_has_are_refused_with_what_to_do() {
        let lines: Vec<(&str, f32, f32)> =
            (0..=MOST_LINES).map(|i| ("một", 100.0, 40.0 * i as f32)).collect();
        let reading = read(&[fixture::page(0, &lines)], &Options::default());
        assert!(reading.reports.is_empty());
        let detail = reading.detail.unwrap();
        assert!(
            detail.contains("more than 20000 lines") && detail.contains("one report at a time")
        );
    }
}
