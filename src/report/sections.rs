//! Finds where reports and their sections begin, by the words of titles and headings.
//!
//! Numbers before a heading differ between versions of the paper and are never looked at. A
//! heading may run over two lines, be the last line of a page, and be misread in places. Where it
//! cannot be read at all, its table's header tells that a section begins.

use std::collections::BTreeMap;

use super::fields;
use super::strip::{Piece, Strip, rows};
use super::tables;
use super::words;

/// What a section is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Between a title and the first heading: who asked, and when.
    Enquiry,
    Customer,
    Score,
    Loans,
    Cards,
    Vamc,
    Months,
    BadDebt,
    Late,
    Guarantee,
    Contracts,
    LookUps,
    /// A heading whose section the API has no member for.
    Other,
}

/// A section and its part of the strip, without the heading.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub kind: Kind,
    pub strip: Strip,
}

/// Folded wordings of headings.
const HEADINGS: &[(Kind, &[&str])] = &[
    (
        Kind::Customer,
        &[
            "thongtinchungvekhachhang",
            "thongtinnhandang",
            "thongtindinhdanh",
            "thongtinkhachhang",
            "thongtinvekhachhang",
            "thongtindinhdanhkhachhang",
        ],
    ),
    (Kind::Score, &["thongtindiemtindung", "thongtinvediemtindung", "thongtindiemvahangtindung"]),
    (
        Kind::Loans,
        &[
            "chitietvenovaykhongbaogomnothetindung",
            "chitietvenovay",
            "tinhtrangdunotindunghientai",
            "tinhtrangdunotindung",
            "thongtinvenovay",
            "chitietnovay",
        ],
    ),
    (
        Kind::Cards,
        &["thongtinthetindungvadunothetindung", "thongtinvethetindung", "thongtinthetindung"],
    ),
    (
        Kind::Vamc,
        &[
            "dunodabanchocongtyquanlytaisancuacactctdvietnamvamc",
            "dunodabanchocongtyquanlytaisancuacactctdvietnam",
            "nodabanchocongtyquanlytaisancuacactctdvietnamvamc",
            "dunodabanchocongtyquanlytaisancuacactochuctindungvietnamvamc",
            "dunodabanchovamc",
        ],
    ),
    (
        Kind::Months,
        &["dienbienduno12thanggannhat", "dienbienduno12thang", "dienbiendunotrong12thanggannhat"],
    ),
    (
        Kind::BadDebt,
        &[
            "lichsunoxautindungtrong05namgannhat",
            "lichsunoxau5namgannhat",
            "lichsunoxautrong05namgannhat",
            "lichsunoxautindung",
        ],
    ),
    (
        Kind::Late,
        &[
            "lichsuchamthanhtoanthetindungtrong03namgannhat",
            "lichsuchamthanhtoanthe3namgannhat",
            "lichsuchamthanhtoanthetindung",
        ],
    ),
    (
        Kind::Other,
        &[
            "nocanchuytrongvong12thanggannhat",
            "lichsunocanchuytrongvong12thanggannhat",
            "dunocanchuytrongvong12thanggannhat",
        ],
    ),
    (
        Kind::Guarantee,
        &[
            "thongtinvetaisandambao",
            "thongtinvetaisanbaodam",
            "thongtinvedambaotienvay",
            "thongtinvebaodamtienvay",
            "thongtintaisandambao",
        ],
    ),
    (Kind::Contracts, &["thongtinvehopdongtindung", "thongtinhopdongtindung"]),
    (
        Kind::LookUps,
        &[
            "danhsachtctdtracuuthongtinquanhetindungcuakhachhangtrong1namgannhat",
            "danhsachtctdtracuuthongtinquanhetindungcuakhachhang",
            "danhsachtochuctindungtracuuthongtinquanhetindungcuakhachhang",
            "danhsachtctdtracuuthongtin",
        ],
    ),
    (
        Kind::Other,
        &[
            "thongtinvequanhetindung",
            "thongtinquanhetindung",
            "thongtintindunghientai",
            "thongtinkhacvequanhetindung",
            "thongtinkhacvekhachhangvay",
            "thongtinkhacvekhachhang",
            "thongtinvetaisanvahopdong",
            "thongtinkhac",
            "ketthucbaocao",
        ],
    ),
];

/// Folded beginnings of titles.
pub(super) const TITLES: &[&str] = &[
    "baocaochitietquanhetindung",
    "baocaoquanhetindung",
    "thongtintindungkhachhangvaycanhan",
    "baocaothongtintindung",
];

/// Who signs at the end, in a row of their own.
const SIGNERS: &[&str] = &[
    "nguoilap",
    "nguoilapbieu",
    "nguoikiemsoat",
    "kiemsoat",
    "nguoiduyet",
    "truongphong",
    "giamdoc",
];

/// A heading must resemble its wording at least so much: two letters in eleven may be misread.
const ALIKE: f32 = 0.82;

/// A signer's office must resemble its wording so much: a letter in eight may be misread, for in seven
/// it makes another word.
const SIGNED: f32 = 0.87;

/// What a row of the strip is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mark {
    Title,
    Heading(Kind),
}

struct Found {
    mark: Mark,
    /// Where the heading begins and ends on the strip.
    top: f32,
    bottom: f32,
}

/// Parts a strip into reports, each a list of sections from top to bottom.
///
/// A title begins a new report only when an enquiry or a customer follows it: the title that a
/// browser prints on every page does not.
pub(super) fn reports(strip: &Strip) -> Vec<Vec<Section>> {
    let found = marks(strip);
    let end = strip.pieces.last().map_or(0.0, |piece| piece.y() + 1.0);
    let mut reports: Vec<Vec<Section>> = Vec::new();
    let mut start = 0;
    while start < found.len() {
        let next = (start + 1..found.len())
            .find(|&i| begins_report(strip, &found, i) && has_body(strip, &found, start, i))
            .unwrap_or(found.len());
        let stop = found.get(next).map_or(end, |mark| mark.top);
        let sections = sections(strip, found.get(start..next).unwrap_or_default(), stop);
        if sections.iter().any(|section| section.kind != Kind::Other) {
            reports.push(sections);
        }
        start = next;
    }
    reports
}

/// What a page by itself shows of a report.
#[derive(Clone, Debug)]
pub(super) struct Outline {
    /// Whether a report begins on it: a title with an enquiry or a customer below.
    pub begins: bool,
    /// Its headings, from top to bottom.
    pub headings: Vec<Kind>,
    /// How high the first heading stands on the strip; infinity without one.
    pub first_heading: f32,
}

/// The outline of a strip of one page.
pub(super) fn outline(page: &Strip) -> Outline {
    let found = marks(page);
    let heading = |mark: &Found| match mark.mark {
        Mark::Heading(kind) => Some((kind, mark.top)),
        Mark::Title => None,
    };
    Outline {
        begins: (0..found.len()).any(|index| begins_report(page, &found, index)),
        headings: found.iter().filter_map(heading).map(|(kind, _)| kind).collect(),
        first_heading: found.iter().find_map(heading).map_or(f32::INFINITY, |(_, top)| top),
    }
}

/// Whether the title at `index` has a report under it.
fn begins_report(strip: &Strip, found: &[Found], index: usize) -> bool {
    let Some(title) = found.get(index).filter(|found| found.mark == Mark::Title) else {
        return false;
    };
    let after = found.get(index + 1..).unwrap_or_default();
    let following = after.iter().find(|found| !matches!(found.mark, Mark::Heading(Kind::Other)));
    let stop = after.first().map_or(f32::MAX, |found| found.top);
    following.is_some_and(|next| next.mark == Mark::Heading(Kind::Customer))
        || is_enquiry(&strip.slice(title.bottom, stop))
}

/// Whether there is more than titles from mark `start` to mark `end`.
fn has_body(strip: &Strip, found: &[Found], start: usize, end: usize) -> bool {
    let body = found.get(start..end).unwrap_or_default();
    let (Some(first), Some(next)) = (body.first(), found.get(end)) else { return false };
    body.iter().any(|found| matches!(found.mark, Mark::Heading(_)))
        || is_enquiry(&strip.slice(first.bottom, next.top))
}

fn is_enquiry(strip: &Strip) -> bool {
    const LABELS: &[&str] = &["donvitracuu", "nguoitracuu", "thoigiangui", "thoigianyeucau"];
    strip
        .pieces
        .iter()
        .any(|piece| LABELS.iter().any(|label| words::begins_with(&piece.key, label)))
}

fn sections(strip: &Strip, found: &[Found], end: f32) -> Vec<Section> {
    let mut sections = Vec::new();
    // A title can be overlooked: who asked, and when, stands above the first heading all the same.
    if let Some(first) = found.first().filter(|mark| mark.mark == Mark::Heading(Kind::Customer)) {
        let above = strip.slice(f32::MIN, first.top);
        if is_enquiry(&above) {
            sections.push(Section { kind: Kind::Enquiry, strip: above });
        }
    }
    for (index, mark) in found.iter().enumerate() {
        let stop = found.get(index + 1).map_or(end, |next| next.top);
        let kind = match mark.mark {
            Mark::Heading(kind) => kind,
            // Only the first title has the enquiry under it; another one is a page's running
            // title, and what follows it goes on with the section before.
            Mark::Title if index == 0 || sections.is_empty() => Kind::Enquiry,
            Mark::Title => sections.last().map_or(Kind::Other, |section: &Section| section.kind),
        };
        sections.push(Section { kind, strip: strip.slice(mark.bottom, stop) });
    }
    let mut sections = joined(sections);
    for (kind, header) in tables::HEADERS {
        if sections.iter().any(|section| section.kind == *kind) {
            continue;
        }
        let found = sections
            .iter()
            .enumerate()
            .find_map(|(index, section)| Some((index, unheaded(&section.strip, *kind, header)?)));
        if let Some((index, start)) = found
            && let Some(section) = sections.get_mut(index)
        {
            let strip = section.strip.slice(start.bottom, f32::MAX);
            section.strip = section.strip.slice(f32::MIN, start.top);
            sections.insert(index + 1, Section { kind: *kind, strip });
        }
    }
    sections
}

/// Where a table begins whose heading was not read: at its header, of which two columns that no other
/// table has stand together. What is left of its heading above that is none of the section before.
fn unheaded(strip: &Strip, kind: Kind, header: &tables::Header) -> Option<Found> {
    /// So many rows a header has at most, or a list of labels.
    const ROWS: usize = 4;
    /// What resembles a heading so much, right above the table that it is for, is its heading.
    const HARDLY: f32 = 0.4;
    let rows = rows(&strip.pieces);
    // Where a label begins, so that few rows are looked at closely.
    let begins = |piece: &Piece| {
        let mut wordings = header.iter().flat_map(|(_, wordings)| *wordings);
        let start = piece.key.get(..4);
        start.is_some() && wordings.any(|wording| wording.get(..4) == start)
    };
    // On a page that lies crooked no height parts two tables.
    let together = |a: &fields::Label<_>, b: &fields::Label<_>| {
        let em = strip.em();
        let level = (a.at.centre().y - b.at.centre().y).abs() < 0.6 * em;
        a.role != b.role && (level || (a.at.left - b.at.left).abs() < em)
    };
    let is_header = |index: usize| {
        let window = rows.get(index..(index + ROWS).min(rows.len())).unwrap_or_default();
        let first = window.first().is_some_and(|row| row.iter().any(|piece| begins(piece)));
        let pieces: Vec<Piece> = window.iter().flatten().map(|piece| (*piece).clone()).collect();
        first && {
            let labels = fields::labels(&pieces, header).labels;
            labels.iter().any(|a| labels.iter().any(|b| together(a, b)))
        }
    };
    let at = (0..rows.len()).find(|index| is_header(*index))?;
    let top = |row: &[&Piece]| row.iter().map(|piece| piece.at.top).fold(f32::MAX, f32::min);
    let bottom = rows.get(at).map(|row| top(row))?;
    let wordings = HEADINGS.iter().filter(|(of, _)| *of == kind);
    let alike = |from: usize| {
        let heading = rows.get(from..at).unwrap_or_default().iter().flatten();
        let texts: Vec<&str> =
            heading.filter(|p| !is_unit(&p.key)).map(|piece| piece.text.as_str()).collect();
        let key = words::fold(without_number(&texts.join(" ")));
        wordings.clone().map(|(_, wordings)| words::best(&key, wordings)).fold(0.0, f32::max)
    };
    let heading = (1..=3)
        .filter_map(|above| at.checked_sub(above))
        .map(|from| (from, alike(from)))
        .filter(|(_, alike)| *alike >= HARDLY)
        .max_by(|a, b| a.1.total_cmp(&b.1));
    let start = heading.and_then(|(from, _)| rows.get(from)).map_or(bottom, |row| top(row));
    Some(Found { mark: Mark::Heading(kind), top: start, bottom })
}

/// Sections that a running title has cut in two are one again.
fn joined(sections: Vec<Section>) -> Vec<Section> {
    let mut joined: Vec<Section> = Vec::new();
    for section in sections {
        match joined.last_mut() {
            Some(last) if last.kind == section.kind && last.kind != Kind::Other => {
                let Strip { pieces, across, upright, seams, .. } = section.strip;
                last.strip.pieces.extend(pieces);
                last.strip.across.extend(across);
                last.strip.upright.extend(upright);
                last.strip.seams.extend(seams);
            }
            _ => joined.push(section),
        }
    }
    joined
}

/// All titles and headings from top to bottom.
fn marks(strip: &Strip) -> Vec<Found> {
    let rows = rows(&strip.pieces);
    // Of each page by itself: another one may lie further to the left on the glass.
    let mut lefts: BTreeMap<usize, Vec<f32>> = BTreeMap::new();
    for piece in &strip.pieces {
        lefts.entry(piece.page).or_default().push(piece.at.left);
    }
    for lefts in lefts.values_mut() {
        lefts.sort_by(f32::total_cmp);
    }
    let margin = |row: &[&Piece]| {
        let lefts = row.first().and_then(|piece| lefts.get(&piece.page));
        lefts.and_then(|lefts| lefts.get(lefts.len() / 20).copied()).unwrap_or(0.0)
    };
    let mut marks = Vec::new();
    let mut index = 0;
    while let Some(row) = rows.get(index) {
        let below = rows.get(index + 1).map(Vec::as_slice);
        match mark_of(row, below, margin(row)) {
            Some((mark, used)) => {
                let last = rows.get(index + used - 1).unwrap_or(row);
                let y = |row: &[&Piece]| row.iter().map(|p| p.y()).sum::<f32>() / row.len() as f32;
                let em = row.first().map_or(16.0, |piece| piece.em());
                marks.push(Found { mark, top: y(row) - 0.4 * em, bottom: y(last) + 0.4 * em });
                index += used;
            }
            None => index += 1,
        }
    }
    marks
}

/// What a row is, and how many rows it takes (a wrapped heading takes two).
fn mark_of(row: &[&Piece], below: Option<&[&Piece]>, margin: f32) -> Option<(Mark, usize)> {
    let first = row.first()?;
    let last = row.last()?;
    if row.iter().all(|piece| words::best(&piece.key, SIGNERS) >= SIGNED) {
        return Some((Mark::Heading(Kind::Other), 1));
    }
    let centred = ((first.at.left + last.at.right) / 2.0 - 500.0).abs() < 60.0;
    if first.at.left > margin + 5.0 * first.em() && !centred {
        return None;
    }
    let (text, key) = heading_text(row)?;
    if is_title(&text, &key) {
        return Some((Mark::Title, 1));
    }
    if is_sentence(&key) {
        return None;
    }
    let alone = match is_torn(row) {
        true => None,
        false => heading_of(&text),
    };
    let alone = alone.or_else(|| numbered_heading(row));
    // A wrapped heading: the next line stands right below, has nothing beside it, and the two
    // together resemble a wording no less than the first alone.
    let wrapped = below.and_then(|below| {
        let next = below.first()?;
        let near = (0.6..2.3).contains(&((next.y() - first.y()) / first.em()));
        let one = below.len() == 1 && next.page == first.page;
        let shared = next.at.overlap_x(&first.at) > 0.0;
        if !(near && one && shared) {
            return None;
        }
        let key = words::fold(&format!("{text} {}", next.text));
        let both = best_heading(|wordings| words::best(&key, wordings))?;
        // What resembles a heading more without the line above it is one of its own.
        let own = heading_of(without_number(&next.text)).is_some_and(|(_, alike)| alike >= both.1);
        (!own).then_some(both)
    });
    match (alone, wrapped) {
        (None, Some((kind, _))) => Some((Mark::Heading(kind), 2)),
        (Some((_, least)), Some((kind, alike))) if alike >= (least - 0.04).max(0.9) => {
            Some((Mark::Heading(kind), 2))
        }
        (Some((kind, _)), _) => Some((Mark::Heading(kind), 1)),
        _ => None,
    }
}

/// The row's words, without a unit at its right end or a stray mark.
fn heading_text(row: &[&Piece]) -> Option<(String, String)> {
    let kept: Vec<&str> = parts_of_heading(row).map(|piece| piece.text.as_str()).collect();
    let text = without_number(&kept.join(" ")).to_owned();
    let key = words::fold(&text);
    (key.chars().count() >= 8).then_some((text, key))
}

fn parts_of_heading<'a>(row: &'a [&'a Piece]) -> impl Iterator<Item = &'a Piece> {
    let is_beside = |piece: &Piece| is_unit(&piece.key) || piece.key.chars().count() <= 2;
    let kept = row.iter().enumerate().filter(move |(i, piece)| *i == 0 || !is_beside(piece));
    kept.map(|(_, piece)| *piece)
}

/// Whether a row's words stand as far apart as those of two columns: the lender "Sài Gòn / Thương
/// Tín" beside the debt "xấu / khác" is no "Thông tin khác".
fn is_torn(row: &[&Piece]) -> bool {
    const APART: f32 = 3.0; // em
    let parts: Vec<&Piece> = parts_of_heading(row).collect();
    parts.windows(2).any(|pair| {
        let [left, right] = pair else { return false };
        right.at.left - left.at.right > APART * left.em()
    })
}

/// The text after "2.1.", "2.2 ", "IV." and the like.
fn without_number(text: &str) -> &str {
    let text = text.trim_start_matches(|c: char| !c.is_alphanumeric());
    let roman = text.trim_start_matches(['I', 'V', 'X']);
    if roman.len() < text.len() && roman.starts_with(['.', ')']) {
        return roman.trim_start_matches(|c: char| !c.is_alphabetic());
    }
    text.trim_start_matches(|c: char| !c.is_alphabetic())
}

/// The unit of a table's amounts, as printed above it.
pub(super) fn is_unit(key: &str) -> bool {
    (key.starts_with("donvi") || words::begins_with(key, "donvitinh"))
        && ["trieu", "vnd", "dong", "usd"].iter().any(|unit| key.contains(unit))
        || words::best(key, &["donvitrieuvnd", "donvitinhtrieudong", "donvitrieudong"]) > 0.8
}

/// A sentence that stands in place of a table looks like the heading above it.
pub(super) fn is_sentence(key: &str) -> bool {
    ["khongco", "khachhangkhong", "khachhanghien", "khachhangchua", "hienkhong"]
        .iter()
        .any(|start| words::begins_with(key, start))
}

fn is_title(text: &str, key: &str) -> bool {
    let letters: Vec<char> = text.chars().filter(|c| c.is_alphabetic()).collect();
    let capitals = letters.iter().filter(|c| c.is_uppercase()).count();
    capitals * 10 >= letters.len() * 6 && TITLES.iter().any(|title| words::begins_with(key, title))
}

/// The heading that the first piece of a row is, where others have got into its row: on a page that
/// lies crooked. Its number tells it from a cell of a table.
fn numbered_heading(row: &[&Piece]) -> Option<(Kind, f32)> {
    const SURELY: f32 = 0.92;
    let [first, _, ..] = row else { return None };
    let bare = without_number(&first.text);
    let is_numbered = bare.len() < first.text.len() && first.text.contains('.');
    is_numbered.then(|| heading_of(bare))?.filter(|(_, alike)| *alike >= SURELY)
}

/// The heading that a text is, and how much it resembles its wording.
fn heading_of(text: &str) -> Option<(Kind, f32)> {
    let full = words::fold(text);
    let bare = text.split_once('(').map(|(head, _)| words::fold(head)).unwrap_or_default();
    // What stands in brackets is left out now and then, and cannot be held against it.
    best_heading(|wordings| words::best(&full, wordings).max(words::best(&bare, wordings) - 0.01))
}

fn best_heading(alike: impl Fn(&[&str]) -> f32) -> Option<(Kind, f32)> {
    HEADINGS
        .iter()
        .map(|(kind, wordings)| (*kind, alike(wordings)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .filter(|(_, alike)| *alike >= ALIKE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{page, strip};

    fn kind(text: &str) -> Option<Kind> {
        heading_of(without_number(text)).map(|(kind, _)| kind)
    }

    #[test]
    fn headings_are_found_whatever_their_number() {
        for text in [
            "2.4. Diễn biến dư nợ 12 tháng gần nhất",
            "Diễn biến dư nợ 12 tháng gần nhất",
            "3.7\tDiễn biến dư  nợ 12 tháng gần nhất",
            "IV. Diễn biến dư nợ 12 tháng gần nhất",
        ] {
            assert_eq!(kind(text), Some(Kind::Months), "{text}");
        }
    }

    #[test]
    fn headings_are_found_with_misread_letters() {
        assert_eq!(kind("2.5 Lịch sừ nợ xâu tin dụnq trong O5 năm gẩn nhât"), Some(Kind::BadDebt));
        assert_eq!(kind("1. THÔNG TlN CHUNG VỂ KHACH HÀNG"), Some(Kind::Customer));
    }

    #[test]
    fn heading_of_a_page_that_lies_further_to_the_right_is_one() {
        let heading = "2.4. Diễn biến dư nợ 12 tháng gần nhất";
        let left: Vec<_> = (0..30).map(|n| ("một", 40.0, 100.0 + 40.0 * n as f32)).collect();
        let right = [(heading, 180.0, 100.0), ("hai", 180.0, 140.0), ("ba", 180.0, 180.0)];
        let strip = Strip::of(&[page(0, &right), page(1, &left)]);
        assert!(marks(&strip).iter().any(|found| found.mark == Mark::Heading(Kind::Months)));
    }

    #[test]
    fn tail_in_brackets_may_be_missing_or_other() {
        assert_eq!(kind("2.1 Chi tiết về nợ vay"), Some(Kind::Loans));
        assert_eq!(kind("2.1 Chi tiết về nợ vay (triệu đồng)"), Some(Kind::Loans));
        let list = "DANH SÁCH TCTD TRA CỨU THÔNG TIN QUAN HỆ TÍN DỤNG CỦA KHÁCH HÀNG";
        assert_eq!(kind(list), Some(Kind::LookUps));
        assert_eq!(kind(&format!("4. {list} (trong 1 năm gần nhất)")), Some(Kind::LookUps));
    }

    #[test]
    fn sibling_headings_are_told_apart() {
        assert_eq!(kind("2.7 Nợ cần chú ý trong vòng 12 tháng gần nhất"), Some(Kind::Other));
        assert_eq!(kind("3.1 Thông tin về tài sản đảm bảo"), Some(Kind::Guarantee));
        assert_eq!(kind("3.2 Thông tin về hợp đồng tín dụng"), Some(Kind::Contracts));
        assert_eq!(kind("4. THÔNG TIN ĐIỂM TÍN DỤNG"), Some(Kind::Score));
        assert_eq!(kind("3. THÔNG TIN KHÁC VỀ QUAN HỆ TÍN DỤNG"), Some(Kind::Other));
    }

    #[test]
    fn words_of_two_columns_are_no_heading() {
        let headings = |row: &[(&str, f32, f32)]| {
            let page = [&[("Ngân hàng TMCP Sài Gòn", 60.0, 100.0)], row].concat();
            outline(&strip(&page)).headings
        };
        assert_eq!(headings(&[("Thương Tín -", 60.0, 122.0), ("khác", 300.0, 122.0)]), []);
        let parted = [("THÔNG TIN", 60.0, 160.0), ("KHÁC", 140.0, 160.0)];
        assert_eq!(headings(&parted), [Kind::Other]);
    }

    #[test]
    fn labels_and_sentences_are_no_headings() {
        for text in ["Điểm tín dụng", "Tên khách hàng:", "Dư nợ cho vay dài hạn", "Tổng dư nợ"]
        {
            assert_eq!(kind(text), None, "{text}");
        }
        assert!(is_sentence(&words::fold("Khách hàng không có nợ xấu trong 05 năm gần nhất.")));
        assert!(is_sentence(&words::fold("Không có thông tin về hợp đồng tín dụng.")));
    }

    #[test]
    fn title_is_in_capitals_and_a_looked_up_product_is_none() {
        let title = "BÁO CÁO CHI TIẾT QUAN HỆ TÍN DỤNG (mã phiếu S11A)";
        assert!(is_title(title, &words::fold(title)));
        let product = "Báo cáo chi tiết quan hệ tín dụng";
        assert!(!is_title(product, &words::fold(product)));
    }

    #[test]
    fn signers_are_told_from_a_branch_that_is_nearly_called_so() {
        let signs = |text| {
            let strip = strip(&[(text, 60.0, 300.0)]);
            marks(&strip).len()
        };
        for office in ["GIÁM ĐỐC", "Nguời lập", "TRƯỞNG PHÒNG", "Người duyêt"] {
            assert_eq!(signs(office), 1, "{office}");
        }
        assert_eq!(signs("Giặm Đoạ"), 0);
    }

    #[test]
    fn heading_in_a_crooked_row_is_told_by_its_number() {
        let row = |text| {
            let strip = strip(&[(text, 60.0, 300.0), ("Tổng cộng", 700.0, 302.0)]);
            marks(&strip).len()
        };
        assert_eq!(row("2.4. Diễn biến dư nợ 12 tháng gần nhất"), 1);
        assert_eq!(row("Diễn biến dư nợ 12 tháng gần nhất"), 0);
    }

    #[test]
    fn enquiry_is_found_where_the_title_was_overlooked() {
        let kinds = |lines: &[(&str, f32, f32)]| -> Vec<Kind> {
            let strip = strip(lines);
            reports(&strip).into_iter().flatten().map(|section| section.kind).collect()
        };
        let asked = ("Đơn vị tra cứu:", 60.0, 200.0);
        let customer = ("1. THÔNG TIN CHUNG VỀ KHÁCH HÀNG", 60.0, 300.0);
        assert_eq!(kinds(&[asked, customer]), [Kind::Enquiry, Kind::Customer]);
        assert_eq!(kinds(&[("VIỆT NAM", 60.0, 200.0), customer]), [Kind::Customer]);
    }

    #[test]
    fn table_whose_heading_was_not_read_begins_at_its_header() {
        let sold = [
            ("2.3 Dư nợ đã bán cho VAMC", 60.0, 100.0),
            ("Không có dư nợ bán cho VAMC.", 60.0, 130.0),
        ];
        let header =
            [("Tháng", 100.0, 200.0), ("Dư nợ vay", 300.0, 200.0), ("Dư nợ thẻ", 500.0, 200.0)];
        let total = ("Tổng dư nợ", 700.0, 200.0);
        let month = [("02/2026", 100.0, 230.0), ("12", 300.0, 230.0), ("5", 500.0, 230.0)];
        let found = |lines: &[(&str, f32, f32)]| -> Vec<(Kind, usize)> {
            let strip = strip(lines);
            let sections = reports(&strip).into_iter().flatten();
            sections.map(|section| (section.kind, section.strip.pieces.len())).collect()
        };
        let lost = [&sold[..], &header, &[total], &month].concat();
        assert_eq!(found(&lost), [(Kind::Vamc, 1), (Kind::Months, 7)]);
        // What is left of the heading, and the unit under it, belong to nothing.
        let left = [("2ÁP6iếhn blếẾ dư Ề2 thh gần nhất", 60.0, 160.0)];
        let unit = [("(Đơn vị: triệu đồng)", 600.0, 180.0)];
        let hardly = [&sold[..], &left, &unit, &header, &[total], &month].concat();
        assert_eq!(found(&hardly), [(Kind::Vamc, 1), (Kind::Months, 7)]);
        // One column alone says nothing.
        let one = [&sold[..], &[total], &month].concat();
        assert_eq!(found(&one), [(Kind::Vamc, 5)]);
    }

    #[test]
    fn unit_line_is_told_from_the_enquirers_label() {
        assert!(is_unit(&words::fold("Đơn vị: Triệu VND")));
        assert!(is_unit(&words::fold("(Đơn vị tính: triệu đồng)")));
        assert!(!is_unit(&words::fold("Đơn vị tra cứu:")));
    }
}
