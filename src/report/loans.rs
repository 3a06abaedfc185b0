//! `loan_details`, in its three shapes: a grid row for each debt with the lender spanning them, a
//! row for each lender with the debts stacked in one cell, and a block for each lender.

use super::checks::is_group;
use super::fields::{self, Wanted};
use super::grid::Grid;
use super::lexicon;
use super::schema::{Cell, Debt, Value};
use super::shapes::{self, Shape};
use super::strip::{Piece, Strip, rows, text_of};
use super::sums::{self, Figure, Sum};
use super::tables::{
    CODE, LENDER, NUMBER, RowsRead, cell, held_by, row_height, single_rows, worded,
};
use super::words;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Column {
    Number,
    Code,
    Lender,
    Reported,
    Debt,
    Amount,
    Dollars,
    Total,
}

const LOANS: &Wanted<Column> = &[
    (Column::Number, NUMBER),
    (Column::Code, CODE),
    (Column::Lender, LENDER),
    (Column::Reported, &["ngaybaocaogannhat", "ngaybaocao", "ngaybcgannhat"]),
    (Column::Debt, &["loaiduno", "chitieu", "duno", "noidung", "chitietduno", "nhomno"]),
    (Column::Amount, &["sotien", "sotienvnd", "vnd", "sotientrieuvnd", "dunovnd"]),
    (Column::Dollars, &["usd", "sotienusd", "dunousd"]),
    (Column::Total, &["tongcong", "tongcongvnd", "tongduno", "tongdunovnd", "tong"]),
];

/// The confidence at most in a name that was told by its letters alone: below that of review, even if
/// the paper's sums agree.
const DOUBTED: f32 = 0.5;

/// Debts by term, and their groups.
const DEBTS: &[&str] = &[
    "Dư nợ cho vay ngắn hạn",
    "Dư nợ cho vay trung hạn",
    "Dư nợ cho vay dài hạn",
    "Dư nợ cho vay khác",
    "Dư nợ xấu khác",
    "Dư nợ đủ tiêu chuẩn",
    "Dư nợ cần chú ý",
    "Dư nợ dưới tiêu chuẩn",
    "Dư nợ nghi ngờ",
    "Dư nợ có khả năng mất vốn",
];

/// A debt as printed: its name's lines and its amount's.
#[derive(Clone, Debug, Default)]
struct Entry {
    name: Vec<Piece>,
    amount: Vec<Piece>,
}

impl Entry {
    fn debt(&self) -> Debt {
        let mut amount = cell(&self.amount, Shape::Amount);
        let mut name = lexicon::value(&self.name, DEBTS, true);
        name.text = bare_name(&name.text);
        if let Some(label) = lexicon::label(&name.text, DEBTS) {
            name.text = label.to_owned();
            name.confidence = name.confidence.min(DOUBTED);
        }
        if self.amount.is_empty() {
            // Each debt has an amount: this one was not read.
            amount = Value { text: String::new(), confidence: 0.0, ..name.clone() };
        } else {
            amount.confidence *= if name.text.is_empty() { 0.5 } else { name.confidence };
        }
        Debt { name: name.text, amount }
    }

    /// A group line stands under a term line and repeats its debt by quality.
    fn is_group(&self) -> bool {
        let text = text_of(&self.name.iter().collect::<Vec<_>>());
        text.starts_with(DASHES) || is_group(&text)
    }

    fn number(&self) -> Option<i64> {
        shapes::number(&cell(&self.amount, Shape::Amount).text)
    }
}

const DASHES: [char; 5] = ['-', '–', '—', '•', '+'];

/// The name without its dash and colon, and without what else stands before its dash, as the mark
/// of a step to the right does.
fn bare_name(text: &str) -> String {
    let name = match text.split_once("- ") {
        Some((mark, name)) if !mark.trim().contains(' ') && name.starts_with("Dư nợ") => name,
        _ => text,
    };
    let is_mark = |c: char| !c.is_alphanumeric() && c != ')';
    name.trim_start_matches(DASHES).trim_end_matches(is_mark).trim().to_owned()
}

/// Reads the section in whichever shape it has.
pub(super) fn loans(strip: &Strip) -> RowsRead {
    match Grid::of(strip, LOANS, 3)
        .filter(|grid| grid.roles.contains(&Column::Lender) || grid.roles.contains(&Column::Code))
    {
        Some(grid) => gridded(grid),
        None => blocks(strip),
    }
}

/// Whether a text begins a debt's name; any other line in its column goes on with the one above.
fn begins_debt(piece: &Piece) -> bool {
    const NAMES: &[&str] = &[
        "dunochovaynganhan",
        "dunochovaytrunghan",
        "dunochovaydaihan",
        "dunochovaykhac",
        "dunoxaukhac",
        "dunochovaytrung",
        "dunochovayngan",
        "dunochovaydai",
    ];
    let start: String = piece.key.chars().take(4).collect();
    let named = words::best(&piece.key, NAMES) > 0.75 || is_group(&piece.key);
    let dashed = piece.text.starts_with(DASHES) && piece.key.chars().count() >= 4;
    let capital = !piece.text.starts_with(char::is_lowercase);
    named || dashed || (capital && words::distance(&start, "duno") <= 1)
}

fn is_total(piece: &Piece) -> bool {
    words::begins_with(&piece.key, "tongcong")
        || words::begins_with(&piece.key, "tongduno")
        || piece.key == "tong"
}

fn gridded(mut grid: Grid<Column>) -> RowsRead {
    // A lender's branch can be called much like a total, which stands beside no debt.
    let debts = grid.cells.iter().filter(|(role, _)| *role == Some(Column::Debt));
    let debts: Vec<f32> =
        debts.filter(|(_, piece)| begins_debt(piece)).map(|(_, piece)| piece.y()).collect();
    grid.drop_totals(|role, piece| {
        let is_beside = |y: &f32| (piece.y() - y).abs() < 0.7 * piece.em();
        role != Some(Column::Total) && is_total(piece) && !debts.iter().any(is_beside)
    });
    let strip = &grid.strip;
    let entries = entries(&grid);
    let anchors = [
        grid.column(Column::Code, Shape::Digits(8)),
        grid.column(Column::Number, Shape::Count),
        grid.column(Column::Total, Shape::Amount),
    ];
    let lenders: Vec<Vec<Vec<Piece>>> = single_rows(strip, &anchors)
        .into_iter()
        .filter(|row| {
            let there = |column: usize| row.get(column).is_some_and(|cell| !cell.is_empty());
            there(0) || (there(1) && there(2))
        })
        .collect();
    let heights: Vec<f32> = lenders.iter().map(|row| row_height(row)).collect();
    let debts: Vec<f32> = entries.iter().map(entry_height).collect();
    let x = lenders.iter().flatten().flatten().next().map_or(0.0, |piece| piece.x());
    let total = |row: &Vec<Vec<Piece>>| shapes::number(&cell(row.get(2)?, Shape::Amount).text);
    let totals: Vec<Option<i64>> = lenders.iter().map(total).collect();
    let read: Vec<(bool, Option<i64>)> =
        entries.iter().map(|entry| (entry.is_group(), entry.number())).collect();
    let fits = |from: usize, to: usize, lender: usize| {
        let total = totals.get(lender).copied().flatten();
        belonging(read.get(from..to).unwrap_or_default(), total)
    };
    let beside = entries.iter().flat_map(|entry| &entry.name).next().map_or(x, Piece::x);
    let held = held_by(strip, x, beside, &debts, &heights, 0.0, fits);
    let names = worded(strip, &grid.lines(Column::Lender), &heights);
    lenders
        .iter()
        .zip(names)
        .enumerate()
        .map(|(index, (row, name))| {
            let pieces = |column: usize| row.get(column).map_or(&[][..], Vec::as_slice);
            let held = entries.iter().zip(&held).filter(|(_, held)| held.by == Some(index));
            let entries: Vec<&Entry> = held.map(|(entry, _)| entry).collect();
            let (debts, total) = owed(&entries, pieces(2));
            vec![
                Cell::Plain(cell(pieces(1), Shape::Count)),
                Cell::Plain(cell(pieces(0), Shape::Digits(8))),
                Cell::Plain(cell(&name, Shape::Lender)),
                Cell::Debts(debts),
                Cell::Plain(total),
            ]
        })
        .collect()
}

/// How much speaks for debts being those of a lender who owes this much, in em: they begin with a
/// term, make up the total, and so do the groups under the terms. Of each debt, whether it is a
/// group, and its amount.
fn belonging(debts: &[(bool, Option<i64>)], total: Option<i64>) -> f32 {
    /// Loss by a group without its term, gain by the total, and by that of all groups.
    const HEADLESS: f32 = 3.0;
    const TOTAL: f32 = 1.5;
    const GROUPS: f32 = 1.0;
    let adds_up = |groups: bool| {
        let amounts = debts.iter().filter(|(group, _)| *group == groups).map(|(_, amount)| *amount);
        total.is_some() && amounts.sum::<Option<i64>>() == total
    };
    let mut gain = if debts.first().is_some_and(|(group, _)| *group) { -HEADLESS } else { 0.0 };
    if adds_up(false) {
        gain += TOTAL + if adds_up(true) { GROUPS } else { 0.0 };
    }
    gain
}

/// A lender's debts and their total: all terms add up to it, and a term's groups to the term.
fn owed(entries: &[&Entry], total: &[Piece]) -> (Vec<Debt>, Value) {
    let mut debts: Vec<Debt> = entries.iter().map(|entry| entry.debt()).collect();
    let mut sum = cell(total, Shape::Amount);
    let groups: Vec<bool> = entries.iter().map(|entry| entry.is_group()).collect();
    let terms: Vec<usize> =
        groups.iter().enumerate().filter(|(_, group)| !**group).map(|(at, _)| at).collect();
    let mut sums: Vec<Sum> = terms
        .iter()
        .enumerate()
        .map(|(t, &term)| {
            let end = terms.get(t + 1).copied().unwrap_or(debts.len());
            Sum { total: term, parts: (term + 1..end).collect() }
        })
        .filter(|sum| !sum.parts.is_empty())
        .collect();
    sums.push(Sum { total: debts.len(), parts: terms });
    let of_debts = entries.iter().zip(&mut debts);
    let mut figures: Vec<Figure> = of_debts
        .map(|(entry, debt)| Figure { pieces: &entry.amount, value: &mut debt.amount })
        .chain([Figure { pieces: total, value: &mut sum }])
        .collect();
    sums::agree(&mut figures, &sums);
    (debts, sum)
}

fn entry_height(entry: &Entry) -> f32 {
    let pieces = if entry.amount.is_empty() { &entry.name } else { &entry.amount };
    fields::height(&pieces.iter().collect::<Vec<_>>())
}

/// The debts from top to bottom: names of one or more lines, each with its amount.
fn entries(grid: &Grid<Column>) -> Vec<Entry> {
    let mut names: Vec<Vec<Piece>> = Vec::new();
    for line in grid.lines(Column::Debt) {
        let begins = line.iter().take(2).any(begins_debt);
        match names.last_mut() {
            Some(name) if !begins => name.extend(line),
            None if !begins => {}
            _ => names.push(line),
        }
    }
    let amounts = grid.column(Column::Amount, Shape::Amount);
    let middle = |pieces: &[Piece]| fields::height(&pieces.iter().collect::<Vec<_>>());
    // As many names as amounts belong together one by one, even where wrapped names have pushed the
    // two out of step: down, and further with each of a lender's debts.
    let em = grid.strip.em();
    let in_step = names.len() == amounts.len()
        && names.iter().zip(&amounts).all(|(name, amount)| {
            (-4.0 * em..12.0 * em).contains(&(middle(name) - middle(amount)))
        });
    if in_step {
        return names
            .into_iter()
            .zip(amounts)
            .map(|(name, amount)| Entry { name, amount })
            .collect();
    }
    single_rows(&grid.strip, &[names, amounts])
        .into_iter()
        .filter_map(|row| match &row[..] {
            [name, amount] => Some(Entry { name: name.clone(), amount: amount.clone() }),
            _ => None,
        })
        .collect()
}

/// A lender's block while it is read.
#[derive(Default)]
struct Block {
    number: Vec<Piece>,
    code: Vec<Piece>,
    name: Vec<Piece>,
    entries: Vec<Entry>,
    total: Vec<Piece>,
}

impl Block {
    fn row(&self) -> Vec<Cell> {
        let (debts, total) = owed(&self.entries.iter().collect::<Vec<_>>(), &self.total);
        vec![
            Cell::Plain(cell(&self.number, Shape::Count)),
            Cell::Plain(cell(&self.code, Shape::Digits(8))),
            Cell::Plain(cell(&self.name, Shape::Lender)),
            Cell::Debts(debts),
            Cell::Plain(total),
        ]
    }

    /// Takes a line of the lender's head: number, code and name in any of their orders.
    fn head(&mut self, piece: &Piece, first: bool) {
        let mut rest = piece.clone();
        if first
            && let Some(end) = number_end(piece)
            && let Some(number) = piece.part(0, end)
            && let Some(after) = piece.part(end, piece.chars.len())
        {
            self.number = vec![number];
            rest = after;
        }
        let Some((from, to)) = find_code(&rest) else {
            if !words::begins_with(&rest.key, "matctd") {
                self.name.push(rest);
            }
            return;
        };
        self.code.extend(rest.part(from, to));
        let chars: Vec<char> = rest.chars.iter().map(|c| c.value).collect();
        let left: String = chars.iter().take(from).collect();
        let right: String = chars.iter().skip(to).collect();
        let before = left.trim_end_matches(['(', '-', '–', ':', ' ']).chars().count();
        let skipped =
            right.chars().take_while(|c| matches!(c, ')' | '-' | '–' | ':' | ' ')).count();
        for part in [rest.part(0, before), rest.part(to + skipped, chars.len())] {
            let Some(part) = part else { continue };
            if !words::begins_with(&part.key, "matctd") && !part.key.is_empty() {
                self.name.push(part);
            }
        }
    }
}

/// Where "1." or "1)" ends before a lender's name.
fn number_end(piece: &Piece) -> Option<usize> {
    let chars: Vec<char> = piece.chars.iter().map(|c| c.value).collect();
    let digits = chars.iter().take_while(|c| c.is_ascii_digit()).count();
    let mark = chars.get(digits).is_some_and(|c| matches!(c, '.' | ')' | ',' | '/'));
    ((1..=2).contains(&digits) && mark && chars.len() > digits + 4).then_some(digits + 1)
}

/// Where eight digits stand that are no part of a longer number.
fn find_code(piece: &Piece) -> Option<(usize, usize)> {
    let chars: Vec<char> = piece.chars.iter().map(|c| c.value).collect();
    let mut start = 0;
    while start < chars.len() {
        let run = chars.iter().skip(start).take_while(|c| c.is_ascii_digit()).count();
        if run == 8 {
            return Some((start, start + 8));
        }
        start += run.max(1);
    }
    None
}

/// "1. Ngân hàng TMCP …" over its lines of debts, one block for each lender.
fn blocks(strip: &Strip) -> RowsRead {
    let mut found: Vec<Block> = Vec::new();
    let mut in_head = false;
    let em = strip.em();
    let mut amounts: Vec<(f32, Vec<Piece>)> = Vec::new();
    let mut last_name = f32::MIN;
    for row in rows(strip.pieces.iter().filter(|piece| !fields::is_note(piece))) {
        let Some(first) = row.first() else { continue };
        let figures: Vec<&&Piece> =
            row.iter().skip(1).filter(|p| Shape::Amount.resembles(&p.text)).collect();
        let amount: Vec<Piece> = figures.first().map(|p| (**p).clone()).into_iter().collect();
        if number_end(first).is_some() && !Shape::Date.resembles(&first.text) {
            let mut block = Block::default();
            block.head(first, true);
            found.push(block);
            in_head = true;
            continue;
        }
        let Some(block) = found.last_mut() else { continue };
        if is_total(first) {
            if block.total.is_empty() {
                block.total = amount;
            }
            in_head = false;
        } else if words::begins_with(&first.key, "ngaybaocao") || is_column_head(&row) {
            in_head = false;
        } else if begins_debt(first) {
            in_head = false;
            last_name = first.y();
            block.entries.push(Entry { name: vec![(*first).clone()], amount });
        } else if in_head {
            block.head(first, false);
        } else if let Some(entry) = block.entries.last_mut()
            && first.y() - last_name < 2.2 * em
            && entry.name.iter().any(|name| name.at.overlap_x(&first.at) > 0.0)
            && !Shape::Amount.resembles(&first.text)
        {
            last_name = first.y();
            entry.name.push((*first).clone());
            if entry.amount.is_empty() {
                entry.amount = amount;
            }
        } else if Shape::Amount.resembles(&first.text) {
            // The amount of a name of two lines stands between them.
            amounts.push((first.y(), vec![(*first).clone()]));
        }
        if let Some((y, _)) = amounts.last()
            && let Some(entry) = block.entries.last_mut()
            && entry.amount.is_empty()
            && entry.name.iter().any(|piece| (piece.y() - y).abs() < 1.2 * em)
        {
            entry.amount = amounts.pop().map(|(_, pieces)| pieces).unwrap_or_default();
        }
    }
    let is_read = |block: &Block| {
        !(block.code.is_empty() && block.entries.is_empty() && block.total.is_empty())
    };
    found.into_iter().filter(is_read).map(|block| block.row()).collect()
}

/// "Chỉ tiêu", "VND", "USD" over a block's columns.
fn is_column_head(row: &[&Piece]) -> bool {
    const HEADS: &[&str] = &["chitieu", "vnd", "usd", "sotien", "loaiduno", "sotienvnd"];
    row.iter().all(|piece| words::best(&piece.key, HEADS) > 0.7)
        || row.iter().any(|piece| words::similarity(&piece.key, "chitieu") > 0.8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Rect;
    use crate::report::fixture::{page, ruled, strip};
    use crate::text::{Direction, Rule};

    const HEADER: [(&str, f32, f32); 6] = [
        ("STT", 30.0, 100.0),
        ("Mã TCTD", 90.0, 100.0),
        ("Tên TCTD", 260.0, 100.0),
        ("Loại dư nợ", 520.0, 100.0),
        ("Số tiền", 740.0, 100.0),
        ("Tổng cộng VND", 840.0, 100.0),
    ];

    /// "1 | 01348002 | Sài Gòn - Hà Nội | Dư nợ …=4,028; … | 4,444"
    fn printed(rows: &RowsRead) -> Vec<String> {
        let cell = |cell: &Cell| match cell {
            Cell::Plain(value) => value.text.clone(),
            Cell::Debts(debts) => {
                let debts: Vec<String> =
                    debts.iter().map(|d| format!("{}={}", d.name, d.amount.text)).collect();
                debts.join("; ")
            }
        };
        rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join(" | ")).collect()
    }

    #[test]
    fn lender_that_spans_grid_rows_gets_the_debts_beside_it() {
        let body = [
            ("Dư nợ cho vay trung", 500.0, 130.0),
            ("4,028", 750.0, 141.0),
            ("hạn", 500.0, 152.0),
            ("1", 40.0, 163.0),
            ("01348002", 85.0, 163.0),
            ("Sài Gòn - Hà Nội", 200.0, 163.0),
            ("4,028", 880.0, 163.0),
            ("- Dư nợ nghi ngờ:", 500.0, 185.0),
            ("4,028", 750.0, 185.0),
            ("2", 40.0, 225.0),
            ("79321001", 85.0, 225.0),
            ("Quân đội", 200.0, 225.0),
            ("Dư nợ cho vay khác", 500.0, 225.0),
            ("66", 770.0, 225.0),
            ("66", 900.0, 225.0),
            ("Tổng cộng các TCTD", 200.0, 260.0),
            ("4,094", 880.0, 260.0),
        ];
        let rows = loans(&strip(&[&HEADER[..], &body].concat()));
        assert_eq!(
            printed(&rows),
            [
                "1 | 01348002 | Sài Gòn - Hà Nội | Dư nợ cho vay trung hạn=4,028; Dư nợ nghi ngờ=4,028 | 4,028",
                "2 | 79321001 | Quân đội | Dư nợ cho vay khác=66 | 66"
            ]
        );
    }

    #[test]
    fn branch_that_is_called_much_like_a_total_is_none() {
        let body = [
            ("1", 40.0, 130.0),
            ("96819109", 85.0, 130.0),
            ("Công ty Tài chính Mằn- CN", 200.0, 130.0),
            ("Dư nợ cho vay ngắn hạn", 500.0, 130.0),
            ("645", 760.0, 130.0),
            ("645", 880.0, 130.0),
            ("Tòng Đồng", 200.0, 155.0),
            ("- Dư nợ nghi ngờ", 500.0, 155.0),
            ("645", 760.0, 155.0),
            ("Tổng dư nợ", 200.0, 190.0),
            ("645", 880.0, 190.0),
        ];
        let rows = loans(&strip(&[&HEADER[..], &body].concat()));
        let row = "1 | 96819109 | Công ty Tài chính Mằn- CN Tòng Đồng | \
                   Dư nợ cho vay ngắn hạn=645; Dư nợ nghi ngờ=645 | 645";
        assert_eq!(printed(&rows), [row]);
    }

    #[test]
    fn rules_that_shine_through_the_sheet_take_no_debt_from_its_lender() {
        let body = [
            ("1", 40.0, 130.0),
            ("79353001", 85.0, 130.0),
            ("Ngân hàng TMCP Kiên Long", 200.0, 130.0),
            ("Dư nợ cho vay ngắn hạn", 500.0, 130.0),
            ("113,461", 750.0, 130.0),
            ("113,461", 860.0, 130.0),
            ("- Dư nợ cần chú ý", 500.0, 155.0),
            ("113,461", 750.0, 155.0),
            ("2", 40.0, 190.0),
            ("01311001", 85.0, 190.0),
            ("Ngân hàng TMCP Quân đội", 200.0, 190.0),
            ("Dư nợ cho vay dài hạn", 500.0, 190.0),
            ("6,273", 766.0, 190.0),
            ("6,273", 880.0, 190.0),
        ];
        let mut page = page(0, &[&HEADER[..], &body].concat());
        page.rules.extend([(20.0, 480.0), (600.0, 650.0)].map(|(left, right)| {
            Rule::level(Direction::Horizontal, Rect::new(left, 152.0, right, 155.0))
        }));
        let rows = loans(&Strip::of(&[page]));
        let debts = "Dư nợ cho vay ngắn hạn=113,461; Dư nợ cần chú ý=113,461";
        assert!(printed(&rows)[0].contains(debts), "{:?}", printed(&rows));
    }

    #[test]
    fn headers_of_narrow_columns_that_were_read_as_one_are_two() {
        for (together, read) in [("STT Mã TCTD", 2), ("STT Mã TCTD Tên TCTD/Chi nhánh TCTD", 3)]
        {
            let together = [&[(together, 30.0, 100.0)], &HEADER[read..]].concat();
            let body = [
                ("1", 45.0, 130.0),
                ("01348002", 85.0, 130.0),
                ("Quân đội", 200.0, 130.0),
                ("Dư nợ cho vay khác", 500.0, 130.0),
                ("66", 770.0, 130.0),
                ("66", 900.0, 130.0),
            ];
            let rows = loans(&strip(&[&together[..], &body].concat()));
            assert_eq!(printed(&rows), ["1 | 01348002 | Quân đội | Dư nợ cho vay khác=66 | 66"]);
        }
    }

    #[test]
    fn name_in_a_narrow_column_has_as_many_lines_as_it_takes() {
        let words = ["Ngân", "hàng", "TMCP", "Thịnh", "vượng", "và", "Phát", "triển"];
        let mut body: Vec<(&str, f32, f32)> = words
            .iter()
            .zip(0..)
            .map(|(word, i)| (*word, 200.0, 130.0 + 22.0 * i as f32))
            .collect();
        body.extend([
            ("1", 40.0, 130.0),
            ("01348002", 85.0, 130.0),
            ("Dư nợ cho vay khác", 500.0, 130.0),
            ("66", 770.0, 130.0),
            ("66", 900.0, 130.0),
        ]);
        let sheet = page(0, &[&HEADER[..], &body].concat());
        let edges = [20.0, 80.0, 180.0, 480.0, 720.0, 820.0, 970.0];
        let rows = loans(&Strip::of(&[ruled(sheet, &edges, &[95.0, 126.0, 310.0])]));
        let name = words.join(" ");
        assert_eq!(printed(&rows), [format!("1 | 01348002 | {name} | Dư nợ cho vay khác=66 | 66")]);
    }

    #[test]
    fn mark_before_a_debts_dash_is_none_of_its_name() {
        assert_eq!(bare_name("?i?]- Dư nợ nghi ngờ:"), "Dư nợ nghi ngờ");
        assert_eq!(bare_name("7 - Dư nợ nghi ngờ"), "Dư nợ nghi ngờ");
        assert_eq!(bare_name("- Dư nợ nghi ngờ :"), "Dư nợ nghi ngờ");
        assert_eq!(bare_name("Dư nợ xấu khác.–"), "Dư nợ xấu khác");
        assert_eq!(bare_name("Dư nợ - khác"), "Dư nợ - khác");
    }

    #[test]
    fn stacked_lines_are_paired_in_order_where_a_name_is_wrapped() {
        let body = [
            ("1", 40.0, 130.0),
            ("01348002", 85.0, 130.0),
            ("Quân đội", 200.0, 130.0),
            ("Dư nợ cho vay trung", 500.0, 130.0),
            ("102", 760.0, 130.0),
            ("102", 890.0, 130.0),
            ("hạn", 500.0, 152.0),
            ("102", 760.0, 152.0),
            ("- Dư nợ đủ tiêu chuẩn", 500.0, 174.0),
        ];
        let sheet = page(0, &[&HEADER[..], &body].concat());
        let edges = [20.0, 80.0, 180.0, 480.0, 720.0, 820.0, 970.0];
        let rows = loans(&Strip::of(&[ruled(sheet, &edges, &[95.0, 126.0, 200.0])]));
        assert_eq!(
            printed(&rows),
            [
                "1 | 01348002 | Quân đội | Dư nợ cho vay trung hạn=102; Dư nợ đủ tiêu chuẩn=102 | 102"
            ]
        );
    }

    #[test]
    fn debts_belong_to_the_lender_whose_total_they_and_their_groups_make_up() {
        // The second lender stands nearer to the last two debts of the first.
        let body = [
            ("1", 40.0, 130.0),
            ("01348002", 85.0, 130.0),
            ("Quân đội", 200.0, 130.0),
            ("59", 890.0, 130.0),
            ("Dư nợ cho vay ngắn hạn", 500.0, 130.0),
            ("59", 760.0, 130.0),
            ("- Dư nợ cần chú ý", 500.0, 155.0),
            ("31", 760.0, 155.0),
            ("- Dư nợ dưới tiêu chuẩn", 500.0, 180.0),
            ("9", 760.0, 180.0),
            ("- Dư nợ nghi ngờ", 500.0, 205.0),
            ("19", 760.0, 205.0),
            ("Dư nợ cho vay khác", 500.0, 230.0),
            ("8", 760.0, 230.0),
            ("- Dư nợ nghi ngờ", 500.0, 255.0),
            ("8", 760.0, 255.0),
            ("2", 40.0, 205.0),
            ("79321001", 85.0, 205.0),
            ("Sài Gòn", 200.0, 205.0),
            ("8", 890.0, 205.0),
        ];
        let rows = loans(&strip(&[&HEADER[..], &body].concat()));
        let debts = "Dư nợ cho vay ngắn hạn=59; Dư nợ cần chú ý=31; Dư nợ dưới tiêu chuẩn=9; Dư nợ nghi ngờ=19";
        assert_eq!(
            printed(&rows),
            [
                format!("1 | 01348002 | Quân đội | {debts} | 59"),
                "2 | 79321001 | Sài Gòn | Dư nợ cho vay khác=8; Dư nợ nghi ngờ=8 | 8".to_owned(),
            ]
        );
    }

    #[test]
    fn name_of_a_debt_that_is_told_by_its_letters_is_not_sure() {
        let body = [
            ("1. Ngân hàng TMCP Quân đội (01311001)", 60.0, 100.0),
            ("Dưnợ cho vaykác", 60.0, 130.0),
            ("5", 700.0, 130.0),
            ("Tổng cộng", 60.0, 160.0),
            ("5", 700.0, 160.0),
        ];
        let rows = loans(&strip(&body));
        assert!(printed(&rows)[0].contains("Dư nợ cho vay khác=5"));
        assert!(rows[0][3].confidence().unwrap() <= DOUBTED);
    }

    #[test]
    fn debt_without_its_amount_is_not_sure() {
        let body = [
            ("1. Ngân hàng TMCP Quân đội (01311001)", 60.0, 100.0),
            ("Dư nợ cho vay khác", 60.0, 130.0),
            ("Tổng cộng", 60.0, 160.0),
            ("5", 700.0, 160.0),
        ];
        let rows = loans(&strip(&body));
        assert_eq!(rows[0][3].confidence(), Some(0.0));
    }

    #[test]
    fn head_of_a_blocks_columns_and_marks_beside_its_debts_are_no_names() {
        let body = [
            ("1. Ngân hàng TMCP Quân đội (01311001)", 60.0, 100.0),
            ("- Chỉ tiêu", 200.0, 130.0),
            ("uô VND", 600.0, 130.0),
            ("Dư nợ cho vay khác", 60.0, 160.0),
            ("5", 700.0, 160.0),
            ("JD Qi UC", 800.0, 175.0),
            ("Tổng cộng", 60.0, 190.0),
            ("5", 700.0, 190.0),
        ];
        assert_eq!(
            printed(&loans(&strip(&body))),
            ["1 | 01311001 | Ngân hàng TMCP Quân đội | Dư nợ cho vay khác=5 | 5"]
        );
    }

    #[test]
    fn code_that_goes_on_in_the_next_line_is_one() {
        let body = [
            ("1", 40.0, 130.0),
            ("013480", 85.0, 130.0),
            ("02", 110.0, 152.0),
            ("Quân đội", 200.0, 130.0),
            ("Dư nợ cho vay khác", 500.0, 130.0),
            ("66", 770.0, 130.0),
            ("66", 900.0, 130.0),
        ];
        let rows = loans(&strip(&[&HEADER[..], &body].concat()));
        assert_eq!(printed(&rows), ["1 | 01348002 | Quân đội | Dư nợ cho vay khác=66 | 66"]);
    }

    #[test]
    fn blocks_are_read_in_all_forms_of_their_head() {
        for head in [
            &[("1. Ngân hàng TMCP Quân đội (01311001)", 60.0, 100.0)][..],
            &[("1. 01311001 - Ngân hàng TMCP Quân đội", 60.0, 100.0)],
            &[
                ("1. Ngân hàng TMCP", 60.0, 56.0),
                ("Quân đội", 60.0, 78.0),
                ("Mã TCTD: 01311001", 60.0, 100.0),
            ],
        ] {
            let body = [
                ("Ngày báo cáo gần nhất: 01/02/2025", 60.0, 130.0),
                ("Dư nợ cho vay dài hạn:", 60.0, 160.0),
                ("12", 700.0, 160.0),
                ("- Dư nợ cần chú ý:", 60.0, 190.0),
                ("12", 700.0, 190.0),
                ("Tổng cộng:", 60.0, 220.0),
                ("12", 700.0, 220.0),
                ("Tổng cộng các TCTD", 60.0, 250.0),
                ("12", 700.0, 250.0),
            ];
            let rows = loans(&strip(&[head, &body].concat()));
            let expected = "1 | 01311001 | Ngân hàng TMCP Quân đội | Dư nợ cho vay dài hạn=12; Dư nợ cần chú ý=12 | 12";
            assert_eq!(printed(&rows), [expected]);
        }
    }

    #[test]
    fn lender_of_a_block_whose_debts_are_too_faint_to_be_read_is_told_by_its_code() {
        let body = [
            ("1. Ngân hàng TMCP Quân đội", 60.0, 100.0),
            ("01311001", 60.0, 122.0),
            ("Chỉ tiêu", 200.0, 150.0),
            ("2. không có mã nào ở đây", 60.0, 200.0),
        ];
        let rows = loans(&strip(&body));
        assert_eq!(printed(&rows), ["1 | 01311001 | Ngân hàng TMCP Quân đội |  | "]);
    }

    #[test]
    fn name_in_brackets_keeps_them_beside_the_code() {
        let lines = [
            ("1. Mirae Asset (Việt Nam) (79703004)", 60.0, 100.0),
            ("Dư nợ cho vay khác", 60.0, 130.0),
            ("5", 700.0, 130.0),
            ("Tổng cộng", 60.0, 160.0),
            ("5", 700.0, 160.0),
        ];
        assert_eq!(
            printed(&loans(&strip(&lines))),
            ["1 | 79703004 | Mirae Asset (Việt Nam) | Dư nợ cho vay khác=5 | 5"]
        );
    }
}
