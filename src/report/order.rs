//! Puts the sheets of a document right: those of other papers aside, doubled ones away, the rest in
//! the order in which they were printed; and says which ones are missing.
//!
//! Printed page numbers decide where they are there and agree with each other; without them the
//! order of the sections does. In doubt the order given is kept.

use std::collections::BTreeSet;

use super::papers::{self, Paper};
use super::schema::{MissingPage, OtherPaper};
use super::sections::{self, Kind, Outline};
use super::strip::Strip;
use super::words;
use crate::text::{Line, PageText};

/// Outer parts of a page's height in which its number stands.
const MARGINS: (f32, f32) = (0.09, 0.9);

/// The least confidence of a page number that decides anything.
const SURE: f32 = 0.9;

/// The share of words that two pictures of one sheet have in common at least; of words with a
/// digit, two sheets of one long table have hardly any.
const SAME: f32 = 0.75;

/// With fewer words that have a digit, there is too little in which two sheets could differ.
const LEAST_FIGURES: usize = 4;

/// More pages than this say that a number was misread.
const MOST_PAGES: u32 = 99;

/// What became of the sheets.
#[derive(Debug, Default)]
pub(super) struct Sheets<'a> {
    /// Those that are read, in the order of reading.
    pub pages: Vec<&'a PageText>,
    /// The reports' sheets that are missing.
    pub missing: Vec<MissingPage>,
    /// Those that belong to other papers.
    pub others: Vec<OtherPaper>,
    /// What the first of them is, for a person.
    pub seems: Option<&'static str>,
}

/// A sheet, and what tells its place.
struct Sheet<'a> {
    page: &'a PageText,
    number: Option<Number>,
    outline: Outline,
    paper: Option<&'static Paper>,
    words: BTreeSet<String>,
    confidence: f32,
}

/// "3/4" or "Trang 3".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Number {
    page: u32,
    of: Option<u32>,
}

/// Puts the pages of a document right.
pub(super) fn put_right(pages: &[PageText]) -> Sheets<'_> {
    let mut result = Sheets::default();
    let mut sheets: Vec<Sheet> = Vec::new();
    let mut aside: Option<&Paper> = None;
    for page in pages {
        let sheet = Sheet::of(page);
        // A paper goes on until another one begins.
        if let Some(paper) = sheet.paper {
            aside = (!paper.is_read).then_some(paper);
        } else if sheet.outline.begins {
            aside = None;
        }
        match aside {
            Some(paper) => {
                result.seems = result.seems.or(Some(paper.name));
                let code = paper.code.map(str::to_owned);
                result.others.push(OtherPaper { page: page.page, code });
            }
            None if sheet.words.is_empty() => {}
            None => sheets.push(sheet),
        }
    }
    let sheets = without_doubles(sheets);
    for (report, mut group) in groups(sheets).into_iter().enumerate() {
        sort(&mut group);
        result.missing.extend(missing(&group).into_iter().map(|page| MissingPage { report, page }));
        result.pages.extend(group.iter().map(|sheet| sheet.page));
    }
    result
}

impl<'a> Sheet<'a> {
    fn of(page: &'a PageText) -> Self {
        let strip = Strip::of(std::slice::from_ref(page));
        let outline = sections::outline(&strip);
        let paper = papers::begins(&strip, &outline);
        let words: BTreeSet<String> = strip
            .pieces
            .iter()
            .flat_map(|piece| piece.text.split_whitespace())
            .map(words::fold)
            .filter(|word| !word.is_empty())
            .collect();
        let chars = || page.lines.iter().flat_map(|line| &line.chars);
        let confidence = chars().map(|c| c.confidence).sum::<f32>() / chars().count().max(1) as f32;
        Self { page, number: number(page), outline, paper, words, confidence }
    }

    /// The place of its first section among those of a report; none where no section begins.
    fn place(&self) -> Option<usize> {
        if self.outline.begins {
            return Some(0);
        }
        let place = |kind: &Kind| ORDER.iter().position(|other| other == kind);
        self.outline.headings.iter().find_map(place)
    }
}

/// The sections in the order of S11A; the score's place differs.
const ORDER: [Kind; 10] = [
    Kind::Customer,
    Kind::Loans,
    Kind::Cards,
    Kind::Vamc,
    Kind::Months,
    Kind::BadDebt,
    Kind::Late,
    Kind::Guarantee,
    Kind::Contracts,
    Kind::LookUps,
];

/// The page number in a page's margins.
fn number(page: &PageText) -> Option<Number> {
    let height = page.height.max(1) as f32;
    let is_outer = |line: &&Line| {
        !(MARGINS.0..=MARGINS.1).contains(&(line.rect.centre().y / height))
            && line.chars.iter().all(|c| c.confidence >= SURE)
    };
    let numbers: Vec<Number> =
        page.lines.iter().filter(is_outer).filter_map(|line| number_of(&line.text())).collect();
    let first = numbers.first().copied()?;
    // Two that differ are no page numbers, or one of them is none.
    let agree = numbers.iter().all(|number| number.page == first.page);
    let of = numbers.iter().find_map(|number| number.of);
    agree.then_some(Number { page: first.page, of })
}

/// "3/4", "Trang 3/4", "Trang 3", "Page 3 of 4", "- 3 -". A bare number may be a table's.
fn number_of(text: &str) -> Option<Number> {
    let folded = text.to_lowercase();
    let named = ["trang", "page"].iter().find_map(|word| folded.trim().strip_prefix(word));
    let rest = named.unwrap_or(folded.trim()).trim_matches(|c: char| c == ':' || c == ' ');
    let dashed = rest.strip_prefix(['-', '–']).and_then(|rest| rest.strip_suffix(['-', '–']));
    let count = |text: &str| text.trim().parse().ok().filter(|n| (1..=MOST_PAGES).contains(n));
    for between in ["/", "of", "trên"] {
        if let Some((page, of)) = rest.split_once(between) {
            let (page, of) = (count(page)?, count(of)?);
            return (page <= of).then_some(Number { page, of: Some(of) });
        }
    }
    let page = count(dashed.unwrap_or(rest))?;
    (named.is_some() || dashed.is_some()).then_some(Number { page, of: None })
}

/// Of several pictures of one sheet the one that was read best.
fn without_doubles(sheets: Vec<Sheet>) -> Vec<Sheet> {
    let mut kept: Vec<Sheet> = Vec::new();
    for sheet in sheets {
        match kept.iter_mut().find(|other| is_same(other, &sheet)) {
            Some(other) if other.confidence < sheet.confidence => *other = sheet,
            Some(_) => {}
            None => kept.push(sheet),
        }
    }
    kept
}

fn is_same(a: &Sheet, b: &Sheet) -> bool {
    if let (Some(a), Some(b)) = (a.number, b.number)
        && a != b
    {
        return false;
    }
    let common = |counts: &dyn Fn(&String) -> bool| {
        let union = a.words.union(&b.words).filter(|word| counts(word)).count();
        let both = a.words.intersection(&b.words).filter(|word| counts(word)).count();
        (both, both as f32 >= SAME * union as f32)
    };
    let (figures, same_figures) = common(&|word| word.chars().any(|c| c.is_ascii_digit()));
    figures >= LEAST_FIGURES && same_figures && common(&|_| true).1
}

/// The sheets of each report. Where all page numbers differ, they run through the whole document.
fn groups(mut sheets: Vec<Sheet>) -> Vec<Vec<Sheet>> {
    let begins = |sheet: &Sheet| sheet.outline.begins;
    let beginnings = sheets.iter().filter(|sheet| begins(sheet)).count();
    if beginnings < 2 || numbers(&sheets).is_some() {
        return vec![sheets];
    }
    // A stack that was laid in upside down begins with a last sheet and ends with a first one.
    if sheets.first().is_some_and(|sheet| !begins(sheet)) && sheets.last().is_some_and(begins) {
        sheets.reverse();
    }
    let mut groups: Vec<Vec<Sheet>> = Vec::new();
    for sheet in sheets {
        match groups.last_mut() {
            Some(group) if !begins(&sheet) => group.push(sheet),
            _ => groups.push(vec![sheet]),
        }
    }
    groups
}

/// The page numbers, where each sheet has one of its own, and a report's first sheet the lowest.
fn numbers(sheets: &[Sheet]) -> Option<BTreeSet<u32>> {
    let number = |sheet: &Sheet| Some(sheet.number?.page);
    let numbers: BTreeSet<u32> = sheets.iter().map(number).collect::<Option<_>>()?;
    let mut beginnings = sheets.iter().filter(|sheet| sheet.outline.begins);
    let fits = match (beginnings.next(), beginnings.next()) {
        (Some(first), None) => number(first) == numbers.first().copied(),
        _ => true,
    };
    (fits && numbers.len() == sheets.len()).then_some(numbers)
}

/// Sorts the sheets of a report.
fn sort(sheets: &mut [Sheet]) {
    if numbers(sheets).is_some() {
        sheets.sort_by_key(|sheet| sheet.number.map(|number| number.page));
        return;
    }
    let places: Vec<usize> = sheets.iter().filter_map(Sheet::place).collect();
    let begins_late = sheets.iter().skip(1).any(|sheet| sheet.outline.begins);
    let is_s11a = sheets.iter().all(|s| s.paper.is_none_or(|paper| paper.code == Some("S11A")));
    let heads = places.iter().filter(|place| **place == 0).count();
    if begins_late && places.len() > 1 && places.is_sorted_by(|a, b| a >= b) {
        sheets.reverse();
    } else if is_s11a && heads < 2 && places.len() == sheets.len() {
        sheets.sort_by_key(Sheet::place);
    }
}

/// The numbers of a report's sheets that are not there.
fn missing(sheets: &[Sheet]) -> Vec<u32> {
    let Some(numbers) = numbers(sheets) else {
        // Sections without the person they are about: the first sheet, at least.
        let headless = sheets.first().is_some_and(|first| {
            !first.outline.begins && sheets.iter().any(|sheet| sheet.place().is_some_and(|p| p > 0))
        });
        let is_named = sheets.iter().any(|sheet| sheet.outline.headings.contains(&Kind::Customer));
        return if headless && !is_named { vec![1] } else { Vec::new() };
    };
    let of: BTreeSet<u32> = sheets.iter().filter_map(|sheet| sheet.number?.of).collect();
    let last = numbers.last().copied().unwrap_or(0);
    // Totals that differ say nothing.
    let total = of.first().copied().filter(|of_all| of.len() == 1 && *of_all >= last);
    (1..=total.unwrap_or(last)).filter(|number| !numbers.contains(number)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::page;

    const TITLE: (&str, f32, f32) = ("BÁO CÁO CHI TIẾT QUAN HỆ TÍN DỤNG", 330.0, 150.0);
    const CUSTOMER: (&str, f32, f32) = ("1. THÔNG TIN CHUNG VỀ KHÁCH HÀNG", 60.0, 260.0);
    const MONTHS: (&str, f32, f32) = ("2.4. Diễn biến dư nợ 12 tháng gần nhất", 60.0, 260.0);
    const LOOK_UPS: (&str, f32, f32) = ("4. DANH SÁCH TCTD TRA CỨU THÔNG TIN", 60.0, 260.0);

    fn footer(text: &'static str) -> (&'static str, f32, f32) {
        (text, 480.0, 1350.0)
    }

    /// Indices of the pages in the order of reading, and the missing ones.
    fn order(pages: &[PageText]) -> (Vec<usize>, Vec<(usize, u32)>) {
        let sheets = put_right(pages);
        let missing = sheets.missing.iter().map(|missing| (missing.report, missing.page));
        (sheets.pages.iter().map(|page| page.page).collect(), missing.collect())
    }

    #[test]
    fn page_numbers_are_read_in_their_usual_forms() {
        let number = |page, of| Some(Number { page, of });
        assert_eq!(number_of("Trang 2/4"), number(2, Some(4)));
        assert_eq!(number_of("2 / 4"), number(2, Some(4)));
        assert_eq!(number_of("Page 2 of 4"), number(2, Some(4)));
        assert_eq!(number_of("Trang: 12"), number(12, None));
        assert_eq!(number_of("- 3 -"), number(3, None));
        for text in ["3", "5/4", "12/2026", "0/3", "20/05/2024", "Trang", "-", ""] {
            assert_eq!(number_of(text), None, "{text}");
        }
    }

    #[test]
    fn printed_numbers_decide() {
        let pages = [
            page(0, &[LOOK_UPS, footer("Trang 3/3")]),
            page(1, &[TITLE, CUSTOMER, footer("Trang 1/3")]),
            page(2, &[("9 Ngân hàng", 60.0, 200.0), footer("Trang 2/3")]),
        ];
        assert_eq!(order(&pages), (vec![1, 2, 0], vec![]));
    }

    #[test]
    fn missing_pages_are_told_by_the_numbers_of_the_others() {
        let pages = [page(0, &[TITLE, CUSTOMER, footer("1/4")]), page(1, &[MONTHS, footer("3/4")])];
        assert_eq!(order(&pages), (vec![0, 1], vec![(0, 2), (0, 4)]));
    }

    #[test]
    fn number_that_contradicts_the_title_decides_nothing() {
        let pages =
            [page(0, &[TITLE, CUSTOMER, footer("Trang 7")]), page(1, &[MONTHS, footer("Trang 2")])];
        assert_eq!(order(&pages), (vec![0, 1], vec![]));
    }

    #[test]
    fn without_numbers_a_stack_laid_in_upside_down_is_turned() {
        let pages = [
            page(0, &[LOOK_UPS]),
            page(1, &[("79307001 Ngân hàng", 60.0, 200.0)]),
            page(2, &[MONTHS]),
            page(3, &[TITLE, CUSTOMER]),
        ];
        assert_eq!(order(&pages).0, [3, 2, 1, 0]);
    }

    #[test]
    fn without_numbers_sections_decide_where_every_page_has_one() {
        let pages = [page(0, &[TITLE, CUSTOMER]), page(1, &[LOOK_UPS]), page(2, &[MONTHS])];
        assert_eq!(order(&pages).0, [0, 2, 1]);
        let pages = [
            page(0, &[TITLE, CUSTOMER]),
            page(1, &[LOOK_UPS]),
            page(2, &[("79307001 Ngân hàng", 60.0, 200.0)]),
        ];
        assert_eq!(order(&pages).0, [0, 1, 2]);
    }

    #[test]
    fn page_that_was_taken_twice_is_read_once_from_the_better_picture() {
        let table = [
            ("08/2025", 60.0, 300.0),
            ("1,204", 300.0, 300.0),
            ("07/2025", 60.0, 330.0),
            ("1,391", 300.0, 330.0),
        ];
        let sheet =
            |index, more: &[(&str, f32, f32)]| page(index, &[&[MONTHS][..], &table, more].concat());
        let mut dim = sheet(1, &[]);
        dim.lines[0].chars[0].confidence = 0.5;
        let first = page(0, &[TITLE, CUSTOMER]);
        assert_eq!(order(&[first.clone(), dim.clone(), sheet(2, &[])]).0, [0, 2]);
        assert_eq!(order(&[first.clone(), sheet(1, &[]), dim]).0, [0, 1]);
        // The next page of a table has other figures.
        let mut next = sheet(2, &[]);
        next.lines[1] = crate::report::fixture::line("06/2025", 60.0, 300.0);
        next.lines[2] = crate::report::fixture::line("911", 300.0, 300.0);
        assert_eq!(order(&[first, sheet(1, &[]), next]).0, [0, 1, 2]);
    }

    #[test]
    fn each_report_has_its_own_numbers() {
        let pages = [
            page(0, &[TITLE, CUSTOMER, footer("1/2")]),
            page(1, &[MONTHS, footer("2/2")]),
            page(2, &[TITLE, CUSTOMER, footer("1/3")]),
            page(3, &[MONTHS, footer("3/3")]),
        ];
        assert_eq!(order(&pages), (vec![0, 1, 2, 3], vec![(1, 2)]));
    }

    #[test]
    fn sections_of_nobody_lack_their_first_page() {
        assert_eq!(order(&[page(0, &[MONTHS])]).1, [(0, 1)]);
        assert_eq!(
            order(&[page(0, &[CUSTOMER, ("2.4. Diễn biến dư nợ 12 tháng", 60.0, 400.0)])]).1,
            []
        );
    }

    #[test]
    fn pages_of_another_paper_are_put_aside_until_a_report_begins() {
        let pages = [
            page(0, &[("BÁO CÁO CẢNH BÁO KHÁCH HÀNG (mã phiếu S37)", 300.0, 100.0)]),
            page(1, &[("Khách hàng có nợ xấu.", 60.0, 300.0)]),
            page(2, &[TITLE, CUSTOMER]),
        ];
        let sheets = put_right(&pages);
        assert_eq!(sheets.pages.iter().map(|page| page.page).collect::<Vec<_>>(), [2]);
        let others: Vec<_> = sheets.others.iter().map(|o| (o.page, o.code.as_deref())).collect();
        assert_eq!(others, [(0, Some("S37")), (1, Some("S37"))]);
        assert!(sheets.seems.is_some_and(|seems| seems.contains("S37")));
    }
}
