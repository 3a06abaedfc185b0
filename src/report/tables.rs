//! The report's tables, each read for what its rows must have: a look-up a code and a date, a
//! month three amounts, a contract two dates. A cell that was not read stays blank and moves no
//! other.

use super::align::{self, Anchor, Held};
use super::fields::{self, Wanted, is_grid};
use super::grammar;
use super::grid::{self, Grid};
use super::lenders;
use super::lexicon;
use super::schema::{Cell, Value};
use super::sections::{self, Kind};
use super::shapes::{self, Shape};
use super::strip::{Piece, Strip, median, rows, value_of};
use super::sums::{self, Figure, Sum};
use super::words;
use crate::text::Char;

/// Share of the confidence that stays where a lender is told by nothing but its nearness.
const NEAREST: f32 = 0.5;

/// Rows of cells in the contract's order.
pub(super) type RowsRead = Vec<Vec<Cell>>;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Column {
    Number,
    Lender,
    Code,
    Date,
    Second,
    Amount,
    Dollars,
    Product,
    Clock,
    Group,
    Contract,
    First,
    Third,
    Fourth,
}

pub(super) const NUMBER: &[&str] = &["stt", "sott", "tt"];
pub(super) const LENDER: &[&str] = &[
    "tentctd",
    "tentochuctindung",
    "tentctdchinhanhtctd",
    "tctdchinhanh",
    "tochuctindung",
    "tentctdchinhanh",
    "tctd",
];
pub(super) const CODE: &[&str] = &["matctd", "machinhanh", "matochuctindung", "matctdchinhanh"];

const MONTHS: &Wanted<Column> = &[
    (Column::Date, &["thang", "kybaocao", "thangnam"]),
    (Column::First, &["dunovay", "dunochovay", "dunovaytrieuvnd", "duno"]),
    (Column::Second, &["dunothe", "dunothetindung"]),
    (Column::Third, &["tongduno", "tongcong", "tongdunotrieuvnd", "tong"]),
];

const CONTRACTS: &Wanted<Column> = &[
    (Column::Number, NUMBER),
    (Column::Contract, &["sohopdong", "sohopdongtindung", "mahopdong"]),
    (Column::Lender, LENDER),
    (Column::Date, &["ngayky", "ngaykyhopdong", "ngaykyhd", "ngaybatdau"]),
    (Column::Second, &["ngayketthuc", "ngayketthuchopdong", "ngayketthuchd", "ngayhethan"]),
];

const LOOK_UPS: &Wanted<Column> = &[
    (Column::Number, NUMBER),
    (Column::Lender, LENDER),
    (Column::Code, CODE),
    (
        Column::Product,
        &["sanphamtracuu", "sanpham", "loaisanpham", "loaisanphamtracuu", "tensanpham"],
    ),
    (Column::Date, &["ngaytracuu", "ngayhoitin", "thoigiantracuu", "ngaytracuuthongtin"]),
    (Column::Clock, &["gio", "giotracuu"]),
];

const BAD_DEBTS: &Wanted<Column> = &[
    (Column::Number, NUMBER),
    (Column::Lender, LENDER),
    (Column::Date, &["ngayphatsinhcuoicung", "ngayphatsinh", "ngayphatsinhcuoi"]),
    (Column::Group, &["nhomno"]),
    (Column::Amount, &["sotienvnd", "sotien", "vnd", "sotientrieuvnd", "dunovnd"]),
    (Column::Dollars, &["usd", "sotienusd"]),
];

const CARDS: &Wanted<Column> = &[
    (Column::Number, NUMBER),
    (Column::First, &["tonghanmucthetindung", "tonghanmucthe", "hanmucthetindung"]),
    (
        Column::Second,
        &["tongsotienphaithanhtoanthe", "sotienphaithanhtoanthe", "tongsotienphaithanhtoan"],
    ),
    (
        Column::Third,
        &["tongsotienchamthanhtoanthe", "sotienchamthanhtoanthe", "tongsotienchamthanhtoan"],
    ),
    (Column::Fourth, &["soluongthetindung", "soluongthe"]),
    (Column::Lender, &["tentochucphathanhthe", "tochucphathanhthe", "tentctdphathanhthe"]),
];

const LATE: &Wanted<Column> = &[
    (Column::First, &["khachhangcochamthanhtoanthe", "cochamthanhtoanthe"]),
    (Column::Second, &["songaychamthanhtoanthelonnhat", "songaychamthanhtoanlonnhat"]),
    (Column::Third, &["solanchamthanhtoanthe", "solanchamthanhtoan"]),
];

const GUARANTEES: &Wanted<Column> = &[
    (Column::Number, &["baodamtienvaybangtaisan", "dambaotienvaybangtaisan"]),
    (Column::First, &["soluongtaisanbaodam", "soluongtaisandambao", "soluongtsbd"]),
    (
        Column::Second,
        &["sotctdcotaisanbaodam", "sotctdcotaisandambao", "sotochuctindungcotaisanbaodam"],
    ),
];

const VAMC: &Wanted<Column> = &[
    (Column::Number, NUMBER),
    (Column::Lender, &["tentctdbanno", "tctdbanno", "tentochuctindungbanno", "tentctd"]),
    (
        Column::Amount,
        &[
            "nogocconlaitrieuvnd",
            "nogocconlai",
            "dunotrieuvnd",
            "dunogoc",
            "sotienvnd",
            "sotien",
            "sotientrieuvnd",
            "dunodabanchovamc",
            "dunovnd",
        ],
    ),
    (Column::Date, &["ngaybaocao", "ngaybaocaogannhat", "ngaybanno"]),
];

/// Labels of a table's columns that no other table has.
pub(super) type Header = Wanted<Column>;

/// What tells tables apart by their headers alone.
pub(super) const HEADERS: &[(Kind, &Header)] = &[
    (Kind::Cards, CARDS),
    (
        Kind::Months,
        &[(Column::Second, &["dunothe", "dunothetindung"]), (Column::Third, &["tongduno"])],
    ),
    (
        Kind::BadDebt,
        &[
            (Column::Date, &["ngayphatsinhcuoicung", "ngayphatsinh", "ngayphatsinhcuoi"]),
            (Column::Group, &["nhomno"]),
        ],
    ),
    (Kind::Late, LATE),
    (Kind::Guarantee, GUARANTEES),
    (
        Kind::Contracts,
        &[
            (Column::Date, &["ngayky", "ngaykyhopdong", "ngaykyhd"]),
            (Column::Second, &["ngayketthuc", "ngayketthuchopdong", "ngayketthuchd"]),
        ],
    ),
    (
        Kind::LookUps,
        &[
            (Column::Product, &["sanphamtracuu", "sanpham", "loaisanpham", "loaisanphamtracuu"]),
            (Column::Date, &["ngaytracuu", "ngayhoitin", "thoigiantracuu"]),
        ],
    ),
];

/// Products of CIC that lenders look up. The list is not complete.
const PRODUCTS: &[&str] = &[
    "Bản trả lời tin S11A",
    "Báo cáo điểm tín dụng",
    "Cảnh báo khách hàng vay",
    "Chi tiết quan hệ tín dụng",
    "K11.1",
    "Quan hệ tín dụng khách hàng vay",
    "R14",
    "R20",
    "S10A",
    "S11A",
    "S11T",
    "S37",
    "Thông tin chủ thẻ",
    "Thông tin quan hệ tín dụng",
    "Thông tin tài sản đảm bảo",
    "Tra cứu lịch sử nợ xấu",
    "Vay tiêu dùng",
    "Xếp hạng tín dụng thể nhân",
];

/// What stands in place of the debt sold to VAMC.
const NOT_SOLD: &[&str] = &[
    "Khách hàng không có dư nợ đã bán cho VAMC",
    "Khách hàng không có nợ đã bán cho VAMC",
    "Không có dư nợ bán cho VAMC",
    "Không có thông tin về dư nợ đã bán cho VAMC",
];

/// A cell's value in its shape.
pub(super) fn cell(pieces: &[Piece], shape: Shape) -> Value {
    if shape == Shape::Lender {
        let name = bare(pieces);
        let mut value = lenders::value(&name);
        let letters = |pieces: &[Piece]| -> usize {
            pieces.iter().map(|piece| piece.key.chars().count()).sum()
        };
        // Letters that were left out may have been some of its own.
        if letters(&name) < letters(pieces) {
            value.confidence = value.confidence.min(lenders::DOUBTED);
        }
        return value;
    }
    let mut value = value_of(&pieces.iter().collect::<Vec<_>>());
    let read = shape.put(&value.text);
    if (!read.valid || read.folded > 0)
        && let Some(figure) = amid_specks(pieces, shape)
    {
        return cell(&[figure], shape);
    }
    // Thousands are parted by commas: a point was read for one.
    let pointed = shape == Shape::Amount && read.text.contains('.');
    if (!read.valid || read.folded > 0 || pointed)
        && let Some(likeliest) = grammar::read_again(pieces, shape)
    {
        value.text = likeliest.text;
        value.confidence = likeliest.probability;
        return value;
    }
    value.text = read.text;
    // They are parted wherever there are any: the comma was too faint, or stood for a blank.
    let from_picture = pieces.iter().any(Piece::is_from_picture);
    if shape == Shape::Amount
        && from_picture
        && let Some(parted) = shapes::parted(&value.text)
    {
        value.text = parted;
        value.confidence = value.confidence.min(grammar::PICKED);
    }
    // A look-alike that had to be read as a digit was not read well.
    value.confidence *= 0.8_f32.powi(read.folded as i32);
    value
}

/// The only one of some pieces that has the shape as it is, where the reader doubts all others: a
/// stamp beside it. What has as many figures as the number of an identity is no stamp's.
fn amid_specks(pieces: &[Piece], shape: Shape) -> Option<Piece> {
    const DOUBTED: f32 = 0.6;
    const MANY: usize = 6;
    let least = |piece: &Piece| piece.chars.iter().map(|c| c.confidence).fold(1.0, f32::min);
    let (fitting, others): (Vec<&Piece>, Vec<&Piece>) =
        pieces.iter().partition(|piece| shape.put(&piece.text).is(&piece.text));
    let [figure] = fitting[..] else { return None };
    let is_stamp = |piece: &&Piece| {
        let figures = piece.chars.iter().filter(|c| c.value.is_ascii_digit()).count();
        least(piece) < DOUBTED && figures < MANY
    };
    let alone = !others.is_empty() && others.iter().all(is_stamp);
    alone.then(|| figure.clone())
}

/// The pieces of a name, without the marks before and after it: what is no letter, digit or bracket
/// begins or ends no name, and a letter alone that the reader itself doubts doesn't either.
fn bare(pieces: &[Piece]) -> Vec<Piece> {
    const DOUBTED: f32 = 0.7;
    let is_mark = |c: &Char| !c.value.is_alphanumeric() && !matches!(c.value, '(' | ')');
    let is_alone = |c: Option<&Char>| c.is_none_or(|c| c.value == ' ');
    let marks = |chars: &mut dyn Iterator<Item = &Char>| -> usize {
        let mut chars = chars.peekable();
        let mut marks = 0;
        while let Some(c) = chars.next() {
            let is_stray = c.confidence < DOUBTED && is_alone(chars.peek().copied()) && marks == 0;
            if !is_mark(c) && !is_stray {
                break;
            }
            marks += 1;
        }
        marks
    };
    let mut sorted: Vec<Piece> = pieces.to_vec();
    sorted.sort_by(|a, b| a.y().total_cmp(&b.y()));
    let mut name: Vec<Piece> = rows(&sorted).into_iter().flatten().cloned().collect();
    while let Some(first) = name.first() {
        match first.part(marks(&mut first.chars.iter()), first.chars.len()) {
            Some(rest) => {
                name[0] = rest;
                break;
            }
            None => drop(name.remove(0)),
        }
    }
    while let Some(last) = name.pop() {
        let end = last.chars.len() - marks(&mut last.chars.iter().rev());
        if let Some(rest) = last.part(0, end) {
            name.push(rest);
            break;
        }
    }
    name
}

fn line_height(line: &[Piece]) -> f32 {
    fields::height(&line.iter().collect::<Vec<_>>())
}

/// Rows of single-line cells: for each row the line of each column, blank where none was read.
pub(super) fn single_rows(strip: &Strip, columns: &[Vec<Vec<Piece>>]) -> Vec<Vec<Vec<Piece>>> {
    let heights: Vec<Vec<f32>> = columns
        .iter()
        .map(|column| column.iter().map(|line| line_height(line)).collect())
        .collect();
    let rules = |column: usize, entry: usize, y: f32| {
        let line = columns.get(column).and_then(|lines| lines.get(entry));
        let piece = line.and_then(|line| line.first());
        piece.map_or(0, |piece| strip.rules_between(piece.x(), piece.y(), y))
    };
    align::rows(&heights, strip.em(), rules)
        .into_iter()
        .map(|row| {
            row.into_iter()
                .enumerate()
                .map(|(column, entry)| {
                    entry
                        .and_then(|entry| columns.get(column)?.get(entry).cloned())
                        .unwrap_or_default()
                })
                .collect()
        })
        .collect()
}

/// Middle height of a row's cells.
pub(super) fn row_height(row: &[Vec<Piece>]) -> f32 {
    let pieces: Vec<&Piece> = row.iter().flatten().collect();
    fields::height(&pieces)
}

/// Lines of a column of words, allotted to rows at the given heights.
pub(super) fn worded(strip: &Strip, lines: &[Vec<Piece>], heights: &[f32]) -> Vec<Vec<Piece>> {
    let are_lenders = lines.iter().any(|line| begins_lender(line));
    let flat: Vec<align::Line> = lines
        .iter()
        .enumerate()
        .map(|(i, line)| {
            let y = line_height(line);
            let x = line.first().map_or(0.0, |piece| piece.x());
            let above = i.checked_sub(1).and_then(|i| lines.get(i)).map(|line| line_height(line));
            let ruled = above.is_some_and(|above| strip.rules_between(x, above, y) > 0);
            let begins = are_lenders.then(|| begins_lender(line));
            align::Line { y, ruled, begins }
        })
        .collect();
    let anchors: Vec<Anchor> = heights.iter().map(|&y| Anchor { top: y, middle: y }).collect();
    let x = lines.first().and_then(|line| line.first()).map_or(500.0, |piece| piece.x());
    let found = align::allot(&flat, &anchors, strip.em(), |y, anchor| {
        anchors.get(anchor).map_or(0, |anchor| strip.rules_between(x, y, anchor.middle))
    });
    let mut cells = vec![Vec::new(); heights.len()];
    for (line, anchor) in lines.iter().zip(found) {
        if let Some(cell) = anchor.and_then(|anchor| cells.get_mut(anchor)) {
            cell.extend(line.iter().cloned());
        }
    }
    cells
}

fn plain(pieces: &[Piece], shape: Shape) -> Cell {
    Cell::Plain(cell(pieces, shape))
}

/// `outstanding_loans`.
pub(super) fn months(strip: &Strip) -> RowsRead {
    let read = |row: &Vec<Vec<Piece>>| {
        let pieces = row.get(1..).unwrap_or_default();
        let mut values: Vec<Value> =
            pieces.iter().map(|pieces| cell(pieces, Shape::Amount)).collect();
        let mut figures: Vec<Figure> = pieces
            .iter()
            .zip(&mut values)
            .map(|(pieces, value)| Figure { pieces, value })
            .collect();
        sums::agree(&mut figures, &[Sum { total: 2, parts: vec![0, 1] }]);
        values.into_iter().map(Cell::Plain).collect()
    };
    month_rows(strip).iter().map(read).collect()
}

/// The months that the rows of `outstanding_loans` stand for, as printed; empty where none was read.
pub(super) fn month_names(strip: &Strip) -> Vec<String> {
    let name = |row: &Vec<Vec<Piece>>| row.first().map(|pieces| cell(pieces, Shape::Month).text);
    month_rows(strip).iter().filter_map(name).collect()
}

/// The pieces of month, loans, cards and total in each row.
fn month_rows(strip: &Strip) -> Vec<Vec<Vec<Piece>>> {
    let Some(grid) = Grid::of(strip, MONTHS, 2) else { return months_by_place(strip) };
    let columns = [
        grid.column(Column::Date, Shape::Month),
        grid.column(Column::First, Shape::Amount),
        grid.column(Column::Second, Shape::Amount),
        grid.column(Column::Third, Shape::Amount),
    ];
    let is_month = |row: &Vec<Vec<Piece>>| {
        let amounts = row.iter().skip(1).filter(|cell| !cell.is_empty()).count();
        let month = row.first().is_some_and(|cell| !cell.is_empty());
        amounts >= 2 || (month && amounts >= 1)
    };
    single_rows(&grid.strip, &columns).into_iter().filter(is_month).collect()
}

/// Months under a header that could not be read, as in a dithered fax: each row begins with its
/// month, and those with all three amounts tell where the columns stand.
fn months_by_place(strip: &Strip) -> Vec<Vec<Vec<Piece>>> {
    let rows: Vec<(&Piece, Vec<&Piece>)> = rows(&strip.pieces)
        .into_iter()
        .filter_map(|row| {
            let (first, rest) = row.split_first()?;
            let amounts = rest.iter().copied().filter(|p| Shape::Amount.put(&p.text).valid);
            Shape::Month.resembles(&first.text).then(|| (*first, amounts.collect()))
        })
        .collect();
    let full = || rows.iter().filter(|(_, amounts)| amounts.len() == 3);
    if full().count() < 2 {
        return Vec::new();
    }
    let columns: Vec<f32> = (0..3)
        .filter_map(|column| median(full().filter_map(|(_, all)| Some(all.get(column)?.x()))))
        .collect();
    let column_of = |piece: &Piece| {
        let away = |column: usize| columns.get(column).map_or(f32::MAX, |x| (x - piece.x()).abs());
        (0..3).min_by(|a, b| away(*a).total_cmp(&away(*b)))
    };
    rows.iter()
        .filter(|(_, amounts)| !amounts.is_empty())
        .map(|(month, amounts)| {
            let mut cells = vec![vec![(*month).clone()], Vec::new(), Vec::new(), Vec::new()];
            for (place, &piece) in amounts.iter().enumerate() {
                let column = if amounts.len() == 3 { Some(place) } else { column_of(piece) };
                if let Some(cell) = column.and_then(|column| cells.get_mut(column + 1)) {
                    cell.push(piece.clone());
                }
            }
            cells
        })
        .collect()
}

/// `credit_contract`.
pub(super) fn contracts(strip: &Strip) -> RowsRead {
    let Some(mut grid) = Grid::of(strip, CONTRACTS, 2) else { return Vec::new() };
    grid.adopt_pair(Column::Date, Column::Second, Shape::Date);
    let columns =
        [grid.column(Column::Date, Shape::Date), grid.column(Column::Second, Shape::Date)];
    single_rows(&grid.strip, &columns)
        .into_iter()
        .map(|row| row.iter().map(|pieces| plain(pieces, Shape::Date)).collect())
        .collect()
}

/// `customers_look_up`.
pub(super) fn look_ups(strip: &Strip) -> RowsRead {
    let Some(mut grid) = Grid::of(strip, LOOK_UPS, 2) else { return Vec::new() };
    grid.adopt(Column::Code, Shape::Digits(8));
    grid.adopt(Column::Date, Shape::Date);
    let dates: Vec<Vec<Piece>> =
        grid.lines(Column::Date).into_iter().filter_map(|line| date_alone(&line)).collect();
    let columns = [grid.column(Column::Code, Shape::Digits(8)), dates];
    let rows = single_rows(&grid.strip, &columns);
    let heights: Vec<f32> = rows.iter().map(|row| row_height(row)).collect();
    let products = worded(&grid.strip, &grid.lines(Column::Product), &heights);
    rows.iter()
        .zip(products)
        .map(|(row, product)| {
            let pieces = |column: usize| row.get(column).map_or(&[][..], Vec::as_slice);
            vec![
                plain(pieces(0), Shape::Digits(8)),
                Cell::Plain(self::product(&product)),
                plain(pieces(1), Shape::Date),
            ]
        })
        .collect()
}

/// The product of a look-up: its name, or its code, which is doubted where none of CIC's looks so.
fn product(pieces: &[Piece]) -> Value {
    const DOUBTED: f32 = 0.8;
    let mut value = lexicon::value(&bare(pieces), PRODUCTS, true);
    if !pieces.iter().any(Piece::is_from_picture) || PRODUCTS.contains(&value.text.as_str()) {
        return value;
    }
    let (text, most) = if let Some(code) = known_code(&value.text) {
        (Some(code.to_owned()), DOUBTED)
    } else if let Some(code) = code_amid_specks(pieces) {
        (Some(code), lenders::DOUBTED)
    } else if let Some(name) = known_name(&value.text) {
        (Some(name.to_owned()), lenders::DOUBTED)
    } else if is_broken_code(&value.text) || words::lacks_a_vowel(&value.text) {
        (None, DOUBTED)
    } else {
        return value;
    };
    value.text = text.unwrap_or(value.text);
    value.confidence = value.confidence.min(most);
    value
}

/// The only word that is a product's code, where all others are short and the reader doubts them, or
/// are of a letter or two: specks.
fn code_amid_specks(pieces: &[Piece]) -> Option<String> {
    const DOUBTED: f32 = 0.6;
    const SHORT: usize = 4;
    const TINY: usize = 2;
    let words = pieces.iter().flat_map(|piece| piece.chars.split(|c| c.value == ' '));
    let text = |word: &[Char]| word.iter().map(|c| c.value).collect::<String>();
    let (codes, others): (Vec<&[Char]>, Vec<&[Char]>) =
        words.filter(|word| !word.is_empty()).partition(|word| is_code(&text(word)));
    let is_speck = |word: &&[Char]| {
        let is_doubted = || word.iter().any(|c| c.confidence < DOUBTED);
        word.len() <= TINY || word.len() <= SHORT && is_doubted()
    };
    match codes[..] {
        [code] if !others.is_empty() && others.iter().all(is_speck) => Some(text(code)),
        _ => None,
    }
}

/// The code of a product that a text is but for look-alikes: an "O" for a nought, a colon for a point.
fn known_code(text: &str) -> Option<&'static str> {
    let is_alike = |(read, known): (char, char)| {
        read.eq_ignore_ascii_case(&known)
            || shapes::look_alike(read) == Some(known)
            || shapes::look_alike(known) == Some(read)
            || known == '.' && matches!(read, ',' | ':' | ';')
    };
    let fits = |known: &&&str| {
        let is_as_long = known.chars().count() == text.chars().count();
        is_as_long && text.chars().zip(known.chars()).all(is_alike)
    };
    let mut fitting = PRODUCTS.iter().filter(|known| !known.contains(' ')).filter(fits);
    fitting.next().filter(|_| fitting.next().is_none()).copied()
}

/// The name of a product that a text is but for accents and one letter in ten, or for words that
/// were overlooked: there are so few that their letters tell them. None where it is one that is
/// printed in capitals.
fn known_name(text: &str) -> Option<&'static str> {
    let key = words::fold(text);
    let letters = key.chars().count();
    let capitals = text.chars().filter(|c| c.is_uppercase()).count();
    let names = || PRODUCTS.iter().copied().filter(|name| name.contains(' '));
    let edits = |name: &&str| words::distance(&words::fold(name), &key);
    let nearest = names().min_by_key(edits)?;
    if capitals * 2 >= letters || text.to_lowercase() == nearest.to_lowercase() {
        return None;
    }
    if edits(&nearest) * 10 <= letters {
        return Some(nearest);
    }
    let mut longer = names().filter(|name| is_most_of(text, name));
    longer.next().filter(|_| longer.next().is_none())
}

/// Whether a text is most of a name: its first word, and others of its words in their order.
fn is_most_of(text: &str, name: &str) -> bool {
    /// The share of the name's letters.
    const PART: f32 = 0.6;
    let mut rest = name.split(' ');
    let mut words = text.split(' ');
    words.next() == rest.next()
        && words.all(|word| rest.any(|other| other == word))
        && text.chars().count() as f32 >= PART * name.chars().count() as f32
}

/// Whether a text is a code of a product of which something was misread or overlooked: a letter or
/// two, or a few with figures that are none like "S11A", "R14" and "K11.1".
fn is_broken_code(text: &str) -> bool {
    const LONGEST: usize = 6;
    let signs: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let is_short =
        signs.len() <= 2 || signs.len() <= LONGEST && signs.iter().any(|c| c.is_ascii_digit());
    let is_begun = || PRODUCTS.iter().any(|known| *known != text && known.starts_with(text));
    is_short && (!is_code(text) || is_begun())
}

/// Whether a text is like the codes of CIC's products: "S11A", "R14" and "K11.1".
fn is_code(text: &str) -> bool {
    let [b'S' | b'R' | b'K', tens, ones, rest @ ..] = text.as_bytes() else { return false };
    let ends = match rest {
        [] => true,
        [letter] => letter.is_ascii_uppercase(),
        [b'.', figure] => figure.is_ascii_digit(),
        _ => false,
    };
    tens.is_ascii_digit() && ones.is_ascii_digit() && ends
}

/// The date of a line that may hold a time beside it.
fn date_alone(line: &[Piece]) -> Option<Vec<Piece>> {
    let [piece] = line else {
        let dated = line.iter().find(|piece| Shape::Date.resembles(&piece.text))?;
        return Some(vec![dated.clone()]);
    };
    if Shape::Date.resembles(&piece.text) {
        return Some(vec![piece.clone()]);
    }
    let (from, to) = shapes::find_date(&piece.text)?;
    Some(vec![piece.part(from, to)?])
}

/// `bad_debt`.
pub(super) fn bad_debts(strip: &Strip) -> RowsRead {
    let Some(mut grid) = Grid::of(strip, BAD_DEBTS, 3) else { return Vec::new() };
    grid.adopt(Column::Date, Shape::Date);
    let columns = [
        grid.column(Column::Date, Shape::Date),
        grid.column(Column::Group, Shape::Count),
        grid.column(Column::Amount, Shape::Amount),
    ];
    // A date is a debt's, whatever was overlooked beside it.
    let is_dated = |row: &Vec<Vec<Piece>>| {
        row.first().is_some_and(|date| Shape::Date.put(&cell(date, Shape::Date).text).valid)
    };
    let rows: Vec<Vec<Vec<Piece>>> = single_rows(&grid.strip, &columns)
        .into_iter()
        .filter(|row| is_dated(row) || row.iter().filter(|cell| !cell.is_empty()).count() >= 2)
        .collect();
    let heights: Vec<f32> = rows.iter().map(|row| row_height(row)).collect();
    let numbers = grid.column(Column::Number, Shape::Count);
    let names = grid.lines(Column::Lender);
    let blocks = blocks(&grid.strip, &names);
    // A lender has a number and a name; where one of the two was not read, the other stands.
    let columns: [Vec<f32>; 2] = [
        numbers.iter().map(|line| line_height(line)).collect(),
        blocks.iter().map(|(first, last)| (first + last) / 2.0).collect(),
    ];
    let lenders = align::rows(&columns, grid.strip.em(), |_, _, _| 0);
    let numbered = |lender: &Vec<Option<usize>>| lender.first().copied().flatten();
    let lenders: Vec<Vec<Option<usize>>> =
        if lenders.len() > numbers.len() + 1 && !numbers.is_empty() {
            // Blocks of names that match no number are lines of one name set far apart.
            lenders.into_iter().filter(|lender| numbered(lender).is_some()).collect()
        } else {
            // So are those that read like none, unless none does.
            let begins = |(first, _): &(f32, f32)| {
                names.iter().any(|line| line_height(line) == *first && begins_lender(line))
            };
            let named: Vec<bool> = blocks.iter().map(begins).collect();
            let is_one = |lender: &Vec<Option<usize>>| {
                let block = lender.last().copied().flatten().and_then(|block| named.get(block));
                numbered(lender).is_some() || block == Some(&true) || !named.contains(&true)
            };
            lenders.into_iter().filter(is_one).collect()
        };
    let holders: Vec<f32> = lenders
        .iter()
        .filter_map(|lender| {
            lender.iter().zip(&columns).find_map(|(entry, column)| column.get((*entry)?).copied())
        })
        .collect();
    let at = names.first().or(numbers.first()).and_then(|line| line.first());
    let x = at.map_or(0.0, |piece| piece.at.left + piece.em());
    let beside = rows.iter().flatten().flatten().next().map_or(x, Piece::x);
    let at_top = at_top(&columns[0], &blocks, grid.strip.em());
    let held = held_by(&grid.strip, x, beside, &heights, &holders, at_top, |_, _, _| 0.0);
    let named = worded(&grid.strip, &names, &holders);
    // Every debt has a lender: where none seems to span it, the nearest one does.
    let is_there = |holder: usize| {
        lenders.get(holder).is_some_and(|lender| numbered(lender).is_some())
            || named.get(holder).is_some_and(|name| !name.is_empty())
    };
    let nearest = |row: usize| {
        let away = |holder: usize| {
            let (holder, row) = (holders.get(holder), heights.get(row));
            holder.zip(row).map_or(f32::MAX, |(holder, row)| (holder - row).abs())
        };
        (0..holders.len()).filter(|&h| is_there(h)).min_by(|a, b| away(*a).total_cmp(&away(*b)))
    };
    rows.iter()
        .zip(held)
        .enumerate()
        .map(|(index, (row, holder))| {
            let pieces = |column: usize| row.get(column).map_or(&[][..], Vec::as_slice);
            let spans = holder.by.filter(|&holder| is_there(holder));
            let is_sure = spans.is_some() && !holder.is_doubtful;
            let holder = spans.or_else(|| nearest(index));
            let number = holder
                .and_then(|holder| numbered(lenders.get(holder)?))
                .and_then(|entry| numbers.get(entry));
            let lender = holder.and_then(|holder| named.get(holder));
            let held = |pieces: Option<&Vec<Piece>>, shape| {
                let mut value = cell(pieces.map_or(&[][..], Vec::as_slice), shape);
                value.confidence *= if is_sure { 1.0 } else { NEAREST };
                Cell::Plain(value)
            };
            vec![
                plain(pieces(0), Shape::Date),
                plain(pieces(1), Shape::Count),
                plain(pieces(2), Shape::Amount),
                held(number, Shape::Count),
                held(lender, Shape::Lender),
            ]
        })
        .collect()
}

/// Whether a line reads like the first one of a lender's name.
fn begins_lender(line: &[Piece]) -> bool {
    line.first().is_some_and(lenders::begins)
}

/// How much speaks for cells that stand at the top of their rows, in em: that numbers stand beside
/// the first lines of names that have several, and not beside their middles.
fn at_top(numbers: &[f32], names: &[(f32, f32)], em: f32) -> f32 {
    let wrapped = names.iter().filter(|(first, last)| last - first > 0.8 * em);
    let votes = wrapped.filter_map(|&(first, last)| {
        let away = |to: f32| numbers.iter().map(|y| (y - to).abs()).min_by(f32::total_cmp);
        let (top, middle) = (away(first)?, away((first + last) / 2.0)?);
        (top.min(middle) < 0.3 * em).then_some(if top < middle { 1 } else { -1 })
    });
    votes.sum::<i32>().signum() as f32
}

/// For each row the holder that spans it; `x` lies in the holders' column and `beside` in one of
/// the rows'; `at_top` and `fits` are those of [`align::partition`].
pub(super) fn held_by(
    strip: &Strip,
    x: f32,
    beside: f32,
    heights: &[f32],
    holders: &[f32],
    at_top: f32,
    fits: impl Fn(usize, usize, usize) -> f32,
) -> Vec<Held> {
    let height = |i: usize| heights.get(i).copied().unwrap_or(0.0);
    align::partition(
        heights,
        holders,
        strip.em(),
        at_top,
        |i| {
            let between = |x| i > 0 && strip.rules_between(x, height(i - 1), height(i)) > 0;
            let ruled = between(x);
            (ruled, !ruled && between(beside))
        },
        |y, holder| holders.get(holder).map_or(0, |at| strip.rules_between(x, y, *at)),
        fits,
    )
}

/// First and last lines of lenders' cells: parted by a rule, by more than a line's step, or by how
/// they begin.
fn blocks(strip: &Strip, lines: &[Vec<Piece>]) -> Vec<(f32, f32)> {
    let em = strip.em();
    let mut blocks: Vec<(f32, f32)> = Vec::new();
    for line in lines {
        let y = line_height(line);
        let x = line.first().map_or(0.0, |piece| piece.x());
        match blocks.last_mut() {
            Some((_, last))
                if y - *last < 1.7 * em
                    && strip.rules_between(x, *last, y) == 0
                    && !begins_lender(line) =>
            {
                *last = y;
            }
            _ => blocks.push((y, y)),
        }
    }
    blocks
}

/// Rows of a grid whose every wanted cell is one line, or the one row of a block of labels.
fn grid_or_pairs(
    strip: &Strip,
    wanted: &Wanted<Column>,
    columns: &[(Column, Shape)],
) -> Vec<Vec<Vec<Piece>>> {
    // Of a grid's headers, two can have been read as one.
    let pieces: Vec<Piece> =
        strip.pieces.iter().flat_map(|piece| grid::heads(piece, wanted)).collect();
    let labelled = fields::labels(&pieces, wanted);
    if labelled.labels.is_empty() {
        return Vec::new();
    }
    if is_grid(&labelled) {
        let Some(mut grid) = Grid::of(strip, wanted, 2) else { return Vec::new() };
        grid.drop_totals(|_, piece| words::begins_with(&piece.key, "tongcong"));
        let columns: Vec<Vec<Vec<Piece>>> =
            columns.iter().map(|(role, shape)| grid.column(*role, *shape)).collect();
        return single_rows(&grid.strip, &columns);
    }
    let fields = fields::beside(strip, labelled);
    let row: Vec<Vec<Piece>> = columns
        .iter()
        .map(|(role, _)| {
            let field = fields.iter().find(|field| field.role == *role && !field.value.is_empty());
            field.map(|field| field.value.clone()).unwrap_or_default()
        })
        .collect();
    if row.iter().all(Vec::is_empty) { Vec::new() } else { vec![row] }
}

/// The row of a table that has one only: the first that has most cells, as a speck makes a row, too.
fn fullest(rows: Vec<Vec<Vec<Piece>>>) -> Option<Vec<Vec<Piece>>> {
    let cells = |row: &Vec<Vec<Piece>>| row.iter().filter(|cell| !cell.is_empty()).count();
    rows.into_iter().rev().max_by_key(cells)
}

/// `credit_card_info`.
pub(super) fn cards(strip: &Strip) -> RowsRead {
    let columns = [
        (Column::First, Shape::Amount),
        (Column::Second, Shape::Amount),
        (Column::Third, Shape::Amount),
        (Column::Fourth, Shape::Count),
    ];
    grid_or_pairs(strip, CARDS, &columns)
        .into_iter()
        .filter(|row| row.iter().filter(|cell| !cell.is_empty()).count() >= 2)
        .map(|row| {
            row.iter().zip(columns).map(|(pieces, (_, shape))| plain(pieces, shape)).collect()
        })
        .collect()
}

/// `late_payments`: the mark becomes `Y` or `N`.
///
/// A mark that was seen but not understood is decided by the figures beside it, which cannot both
/// be zero for a customer who was late; the confidence then says that it was not read.
pub(super) fn late_payments(strip: &Strip) -> RowsRead {
    const INFERRED: f32 = 0.5;
    let columns = [
        (Column::First, Shape::Answer),
        (Column::Second, Shape::Count),
        (Column::Third, Shape::Count),
    ];
    fullest(grid_or_pairs(strip, LATE, &columns))
        .into_iter()
        .filter_map(|row| {
            let [mark, days, times] = &row[..] else { return None };
            let (days, times) = (cell(days, Shape::Count), cell(times, Shape::Count));
            let mut answer = value_of(&mark.iter().collect::<Vec<_>>());
            match shapes::answer(&answer.text) {
                Some(known) => answer.text = known.to_owned(),
                None => {
                    let figures = [&days, &times].map(|value| shapes::number(&value.text));
                    answer.text = match figures {
                        [Some(0), Some(0)] => "N".to_owned(),
                        [Some(days), Some(times)] if days > 0 && times > 0 => "Y".to_owned(),
                        _ => String::new(),
                    };
                    answer.confidence = answer.confidence.min(INFERRED);
                    if answer.text.is_empty() {
                        answer = Value::default();
                    } else if answer.bounds.is_none() {
                        answer.confidence = INFERRED;
                        answer.bounds = days.bounds;
                        answer.page = days.page;
                    }
                }
            }
            Some(vec![Cell::Plain(answer), Cell::Plain(days), Cell::Plain(times)])
        })
        .collect()
}

/// `loan_guarantee`.
pub(super) fn guarantees(strip: &Strip) -> RowsRead {
    let columns = [(Column::First, Shape::Count), (Column::Second, Shape::Count)];
    fullest(grid_or_pairs(strip, GUARANTEES, &columns))
        .into_iter()
        .map(|row| row.iter().map(|pieces| plain(pieces, Shape::Count)).collect())
        .collect()
}

/// `debt_sold_to_vamc`: the amount of a table or a line, or else the sentence.
pub(super) fn vamc(strip: &Strip) -> Value {
    let amounts = grid_or_pairs(strip, VAMC, &[(Column::Amount, Shape::Amount)]);
    if let Some(amount) = amounts.iter().find_map(|row| row.first().filter(|c| !c.is_empty())) {
        return cell(amount, Shape::Amount);
    }
    if fields::labels(&strip.pieces, VAMC).labels.len() >= 2 {
        // A table whose amount was not read is no sentence.
        return Value::default();
    }
    let mut sentence: Vec<&Piece> = Vec::new();
    for row in rows(strip.pieces.iter().filter(|piece| !fields::is_note(piece))) {
        let near = sentence.last().is_none_or(|last| {
            row.first().is_some_and(|piece| piece.y() - last.y() < 2.2 * last.em())
        });
        if !near {
            break;
        }
        sentence.extend(row);
    }
    let sentence: Vec<Piece> = sentence.into_iter().cloned().collect();
    let mut value = lexicon::value(&sentence, NOT_SOLD, true);
    value.text.truncate(sentence_end(&value.text));
    if sentence.iter().any(Piece::is_from_picture) {
        // Nothing else ends a sentence.
        if let Some(start) = value.text.strip_suffix([',', ':', ';']) {
            value.text = format!("{start}.");
        }
        // The end of a heading that was read in two, or what is left of a sentence.
        if !sections::is_sentence(&words::fold(&value.text)) {
            let start = value.text.find("Không có").unwrap_or(0);
            value.text.drain(..start);
            value.confidence = value.confidence.min(lenders::DOUBTED);
        }
    }
    value
}

/// Where a sentence ends, but for a mark or two that were read behind it.
fn sentence_end(text: &str) -> usize {
    let stop = text.rfind('.').map_or(text.len(), |stop| stop + 1);
    let behind = text.get(stop..).unwrap_or_default().chars().filter(|c| c.is_alphanumeric());
    if behind.count() <= 1 { stop } else { text.len() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Rect;
    use crate::report::fixture::{page, piece, ruled, strip, texts};
    use crate::text::{Direction, Rule};

    #[test]
    fn months_keep_their_columns_when_a_cell_was_not_read() {
        let rows = months(&strip(&[
            ("Tháng", 100.0, 100.0),
            ("Dư nợ vay (*)", 300.0, 100.0),
            ("Dư nợ thẻ", 500.0, 100.0),
            ("Tổng dư nợ", 700.0, 100.0),
            ("02/2026", 100.0, 130.0),
            ("(-)", 400.0, 130.0),
            ("(-)", 580.0, 130.0),
            ("(-)", 780.0, 130.0),
            ("01/2026", 100.0, 160.0),
            ("0", 580.0, 160.0),
            ("1,385", 780.0, 160.0),
            ("(*) Bao gồm cả dư nợ ngoại tệ đã quy đổi.", 100.0, 190.0),
        ]));
        assert_eq!(texts(&rows), [["(-)", "(-)", "(-)"], ["", "0", "1,385"]]);
    }

    #[test]
    fn months_under_a_header_that_was_not_read_are_told_by_their_places() {
        let rows = months(&strip(&[
            ("02/2026", 100.0, 130.0),
            ("7", 400.0, 130.0),
            ("(-)", 580.0, 130.0),
            ("7", 780.0, 130.0),
            ("01/2026", 100.0, 160.0),
            ("1,385", 380.0, 160.0),
            ("0", 580.0, 160.0),
            ("1,385", 780.0, 160.0),
            ("12/2025", 100.0, 190.0),
            ("9", 580.0, 190.0),
            ("(*) Bao gồm cả dư nợ ngoại tệ đã quy đổi.", 100.0, 220.0),
        ]));
        assert_eq!(texts(&rows), [["7", "(-)", "7"], ["1,385", "0", "1,385"], ["", "9", ""]]);
    }

    #[test]
    fn headers_of_several_lines_that_were_read_as_one_line_are_parted() {
        let rows = cards(&strip(&[
            ("Tổng hạn mức", 100.0, 100.0),
            ("thẻ tín dụng", 104.0, 122.0),
            ("Tổng số tiền Tổng số tiền Số lượng", 300.0, 100.0),
            ("phải thanh", 308.0, 122.0),
            ("chậm thanh", 412.0, 122.0),
            ("thẻ tín", 512.0, 122.0),
            ("toán thẻ", 316.0, 144.0),
            ("toán thẻ", 420.0, 144.0),
            ("dụng", 524.0, 144.0),
            ("Tên tổ chức phát hành thẻ", 640.0, 122.0),
            ("240", 140.0, 180.0),
            ("7", 340.0, 180.0),
            ("0", 440.0, 180.0),
            ("2", 536.0, 180.0),
            ("Ngân hàng TMCP An Bình", 640.0, 180.0),
        ]));
        assert_eq!(texts(&rows), [["240", "7", "0", "2"]]);
    }

    #[test]
    fn columns_whose_cells_touch_part_between_them() {
        // The boxes of a long name and of the product beside it overlap; no rule parts them, and most
        // products are too short to tell where their column begins.
        let header = [
            ("Mã TCTD", 100.0, 100.0),
            ("Tên tổ chức tín dụng", 300.0, 100.0),
            ("Sản phẩm tra cứu", 560.0, 100.0),
            ("Ngày hỏi tin", 720.0, 100.0),
        ];
        let mut lines = header.to_vec();
        for row in 0..6 {
            let y = 130.0 + 30.0 * row as f32;
            lines.push(("01607200", 100.0, y));
            lines.push(("Ngân hàng TMCP Đầu tư và Phát triển Việt", 200.0, y));
            lines.push((["Vay tiêu dùng", "S11A"][usize::from(row > 1)], 515.0, y));
            lines.push(("03/11/2022", 720.0, y));
        }
        let rows = look_ups(&strip(&lines));
        let products: Vec<&str> = texts(&rows).iter().map(|row| row[1]).collect();
        assert_eq!(products, ["Vay tiêu dùng", "Vay tiêu dùng", "S11A", "S11A", "S11A", "S11A"]);
    }

    #[test]
    fn rules_that_shine_through_the_sheet_make_no_columns() {
        let sheet = page(
            0,
            &[
                ("Tháng", 120.0, 100.0),
                ("Dư nợ vay (*)", 300.0, 100.0),
                ("Dư nợ thẻ", 510.0, 100.0),
                ("Tổng dư nợ", 710.0, 100.0),
                ("02/2028", 90.0, 130.0),
                ("273", 425.0, 130.0),
                ("62", 625.0, 130.0),
                ("335", 845.0, 130.0),
                ("01/2028", 90.0, 160.0),
                ("117", 425.0, 160.0),
                ("0", 633.0, 160.0),
                ("117", 845.0, 160.0),
            ],
        );
        let own = ruled(sheet, &[75.0, 230.0, 464.0, 652.0, 885.0], &[95.0, 126.0, 156.0, 190.0]);
        let both = ruled(own, &[350.0, 537.0, 771.0], &[95.0, 190.0]);
        let rows = months(&Strip::of(&[both]));
        assert_eq!(texts(&rows), [["273", "62", "335"], ["117", "0", "117"]]);
    }

    #[test]
    fn rows_that_lean_by_more_than_one_are_told_by_their_header() {
        let lean = |x: f32, y: f32| y + 0.07 * x;
        let mut lines = vec![
            ("Tên TCTD", 100.0, 100.0),
            ("Mã TCTD", 400.0, 100.0),
            ("Sản phẩm", 560.0, 100.0),
            ("Ngày tra cứu", 850.0, 100.0),
        ];
        let rows = [("01661001", "R11A", "22/09/2025"), ("01309001", "S37", "25/03/2025")];
        for (row, (code, product, date)) in (1..).zip(rows) {
            let y = 100.0 + 28.0 * row as f32;
            lines.extend([("Quân đội", 100.0, y), (code, 400.0, y)]);
            lines.extend([(product, 560.0, y), (date, 850.0, y)]);
        }
        let lines: Vec<_> = lines.iter().map(|&(text, x, y)| (text, x, lean(x, y))).collect();
        let expected = rows.map(|(code, product, date)| [code, product, date]);
        assert_eq!(texts(&look_ups(&strip(&lines))), expected);
    }

    #[test]
    fn streaks_through_a_table_make_no_columns() {
        let sheet = |left: f32| {
            let mut lines = vec![
                ("Tháng", 120.0, 100.0),
                ("Dư nợ vay (*)", 300.0, 100.0),
                ("Dư nợ thẻ", 510.0, 100.0),
                ("Tổng dư nợ", 710.0, 100.0),
            ];
            for (y, month) in [(130.0, "02/2028"), (160.0, "01/2028")] {
                let amounts = [(240.0, "273"), (470.0, "62"), (660.0, "335")];
                lines.push((month, 90.0, y));
                lines.extend(amounts.map(|(x, amount)| (amount, x + left, y)));
            }
            page(0, &lines)
        };
        let months_of = |page, streak: f32| {
            let page = ruled(page, &[75.0, 930.0], &[95.0, 126.0, 156.0, 190.0]);
            let rows = months(&Strip::of(&[ruled(page, &[streak, streak], &[95.0, 190.0])]));
            texts(&rows).concat().join(" ")
        };
        // Amounts at the left and at the right of their cells, and a streak beyond them.
        assert_eq!(months_of(sheet(0.0), 697.0), "273 62 335 273 62 335");
        assert_eq!(months_of(sheet(190.0), 820.0), "273 62 335 273 62 335");
    }

    #[test]
    fn unit_over_a_header_that_was_misread_names_no_column() {
        let rows = months(&strip(&[
            ("Đơn vị: Triệu VND", 770.0, 78.0),
            ("Tháng", 100.0, 100.0),
            ("Dư nợ vay n UO", 300.0, 100.0),
            ("Dư nợ thẻ tín dụng", 500.0, 100.0),
            ("Tổng dư nợ (*)", 700.0, 100.0),
            ("02/2026", 100.0, 130.0),
            ("73", 400.0, 130.0),
            ("17", 600.0, 130.0),
            ("90", 850.0, 130.0),
        ]));
        assert_eq!(texts(&rows), [["73", "17", "90"]]);
    }

    #[test]
    fn bad_debt_of_which_only_the_date_was_read_is_one() {
        let rows = bad_debts(&strip(&[
            ("STT", 60.0, 100.0),
            ("Tên TCTD", 200.0, 100.0),
            ("Ngày phát sinh cuối cùng", 380.0, 100.0),
            ("Nhóm nợ", 600.0, 100.0),
            ("Số tiền VND", 700.0, 100.0),
            ("1", 65.0, 145.0),
            ("Quân đội", 150.0, 145.0),
            ("23/09/2022", 440.0, 130.0),
            ("4", 625.0, 130.0),
            ("945", 700.0, 130.0),
            ("03/01/2022", 440.0, 160.0),
        ]));
        assert_eq!(texts(&rows)[1], ["03/01/2022", "", "", "1", "Quân đội"]);
    }

    #[test]
    fn table_goes_on_over_a_page_with_its_header_printed_again() {
        let header =
            [("Tháng", 100.0, 100.0), ("Dư nợ vay", 300.0, 100.0), ("Tổng dư nợ", 700.0, 100.0)];
        let first = [("02/2026", 100.0, 130.0), ("12", 400.0, 130.0), ("12", 780.0, 130.0)];
        let second = [("01/2026", 100.0, 130.0), ("7", 408.0, 130.0), ("7", 788.0, 130.0)];
        let pages = [page(0, &[header, first].concat()), page(1, &[header, second].concat())];
        let rows = months(&Strip::of(&pages));
        assert_eq!(texts(&rows), [["12", "", "12"], ["7", "", "7"]]);
    }

    #[test]
    fn table_goes_on_over_a_page_without_its_header() {
        let first = [
            ("Mã TCTD", 100.0, 100.0),
            ("Sản phẩm tra cứu", 300.0, 100.0),
            ("Ngày tra cứu", 700.0, 100.0),
            ("01661001", 100.0, 130.0),
            ("R11A", 300.0, 130.0),
            ("22/09/2025", 700.0, 130.0),
        ];
        let second = [
            ("01309001", 100.0, 60.0),
            ("Thông tin quan hệ tín", 300.0, 50.0),
            ("dụng", 300.0, 70.0),
            ("25/03/2025", 700.0, 60.0),
        ];
        let rows = look_ups(&Strip::of(&[page(0, &first), page(1, &second)]));
        assert_eq!(
            texts(&rows),
            [
                ["01661001", "R11A", "22/09/2025"],
                ["01309001", "Thông tin quan hệ tín dụng", "25/03/2025"]
            ]
        );
    }

    /// The products of look-ups in rows of their own, the lines of one that is misread with doubt
    /// in its last letter.
    fn products(lines: &[(&str, f32, f32)]) -> Vec<String> {
        let header = [
            ("Mã TCTD", 100.0, 100.0),
            ("Sản phẩm", 300.0, 100.0),
            ("Ngày tra cứu", 700.0, 100.0),
            ("01661001", 100.0, 130.0),
            ("22/09/2025", 700.0, 130.0),
        ];
        let mut sheet = page(0, &[&header[..], lines].concat());
        if let Some(last) = sheet.lines.last_mut().and_then(|line| line.chars.last_mut()) {
            last.confidence = 0.5;
        }
        let rows = look_ups(&Strip::of(&[sheet]));
        texts(&rows).iter().map(|row| row[1].to_owned()).collect()
    }

    #[test]
    fn marks_around_a_product_are_none_of_it() {
        assert_eq!(products(&[("- Vay tiêu dùng ·", 300.0, 130.0)]), ["Vay tiêu dùng"]);
        assert_eq!(products(&[("Vay tiêu dùng V", 300.0, 130.0)]), ["Vay tiêu dùng"]);
        assert_eq!(products(&[("Vay tiêu dùng (S11)", 300.0, 130.0)]), ["Vay tiêu dùng (S11)"]);
        assert_eq!(products(&[("K11.1", 300.0, 130.0)]), ["K11.1"]);
        assert_eq!(products(&[(". :", 300.0, 130.0)]), [""]);
    }

    #[test]
    fn code_of_a_product_that_looks_like_none_is_doubted() {
        let is_doubted = |piece: Piece| product(&[piece]).confidence < 0.9;
        for broken in ["R7", "S1A", "K11,1", "K11 1", "P17", "R", "S10", "7 S11A"] {
            assert!(is_doubted(piece(broken, broken, 0.0)), "{broken}");
        }
        for whole in ["S11A", "R17", "K11.1", "Vay", "Thông tin 12 tháng"] {
            assert!(!is_doubted(piece(whole, whole, 0.0)), "{whole}");
        }
        // A document's own text is as it was printed.
        assert!(!is_doubted(strip(&[("R7", 300.0, 130.0)]).pieces.remove(0)));
    }

    #[test]
    fn thousands_that_were_read_without_their_comma_get_it_back_with_doubt() {
        let value = cell(&[piece("20 553", "20 553", 0.0)], Shape::Amount);
        assert_eq!((value.text.as_str(), value.confidence), ("20,553", grammar::PICKED));
        assert_eq!(cell(&[piece("2,055", "2,055", 0.0)], Shape::Amount).confidence, 1.0);
        assert_eq!(cell(&strip(&[("20553", 300.0, 130.0)]).pieces, Shape::Amount).text, "20553");
    }

    #[test]
    fn few_letters_behind_a_known_product_are_none_of_it() {
        assert_eq!(products(&[("Vay tiêu dùng ội", 300.0, 130.0)]), ["Vay tiêu dùng"]);
        assert_eq!(products(&[("R20 1ôD", 300.0, 130.0)]), ["R20"]);
        assert_eq!(products(&[("Vay tiêu dùng nhanh", 300.0, 130.0)]), ["Vay tiêu dùng nhanh"]);
        assert_eq!(products(&[("Vay mua xe", 300.0, 130.0)]), ["Vay mua xe"]);
    }

    #[test]
    fn figure_beside_letters_that_the_reader_doubts_is_the_value() {
        let read = |confidence: f32| {
            let mut sheet = page(0, &[("Noàuần 19", 300.0, 100.0), ("0", 300.0, 130.0)]);
            for c in &mut sheet.lines[0].chars {
                c.confidence = confidence;
            }
            cell(&Strip::of(&[sheet]).pieces, Shape::Amount).text
        };
        assert_eq!(read(0.5), "0");
        assert_ne!(read(0.9), "0");
    }

    #[test]
    fn identity_beside_one_that_was_misread_is_not_the_only_one() {
        let mut sheet = page(0, &[("351797114", 300.0, 100.0), ("7491867 1y656", 400.0, 100.0)]);
        for c in &mut sheet.lines[1].chars {
            c.confidence = 0.3;
        }
        let value = cell(&Strip::of(&[sheet]).pieces, Shape::Identity);
        assert_ne!(value.text, "351797114");
        assert!(value.confidence < 0.5);
    }

    #[test]
    fn amount_goes_on_in_the_next_line_of_a_narrow_column() {
        let rows = months(&strip(&[
            ("Tháng", 100.0, 100.0),
            ("Dư nợ vay", 300.0, 100.0),
            ("Dư nợ thẻ", 500.0, 100.0),
            ("Tổng dư nợ", 700.0, 100.0),
            ("02/2026", 100.0, 141.0),
            ("262,8", 300.0, 130.0),
            ("12", 300.0, 152.0),
            ("0", 520.0, 141.0),
            ("262,8", 700.0, 130.0),
            ("12", 700.0, 152.0),
            ("01/2026", 100.0, 180.0),
            ("7", 300.0, 180.0),
            ("0", 520.0, 180.0),
            ("7", 700.0, 180.0),
        ]));
        assert_eq!(texts(&rows), [["262,812", "0", "262,812"], ["7", "0", "7"]]);
    }

    #[test]
    fn product_that_is_nearly_known_is_completed_and_doubted_where_the_reader_did_not_see_it() {
        let read = |chance| product(&[piece("Vạy tiêu dùng", "Vay tiêu dùng", chance)]);
        assert_eq!(read(0.1).text, "Vay tiêu dùng");
        assert!(read(0.1).confidence > 0.9);
        for (read, name) in [
            ("Vạỹ tiêu dùng", "Vay tiêu dùng"),
            ("ThôngGtín/chủ thẻ", "Thông tin chủ thẻ"),
            ("Cảnh báo khanh hàng Vay", "Cảnh báo khách hàng vay"),
            // Words that were overlooked.
            ("Quan hệ tín dụng khách", "Quan hệ tín dụng khách hàng vay"),
            ("Chi tiết quan dụng", "Chi tiết quan hệ tín dụng"),
        ] {
            let value = product(&[piece(read, read, 0.0)]);
            assert_eq!(value.text, name);
            assert!(value.confidence <= lenders::DOUBTED);
        }
        for kept in ["Vay tín dụng", "VAY TIÊU DÙNG", "Thông tin", "Quan hệ khách hàng mới"]
        {
            let value = product(&[piece(kept, kept, 0.0)]);
            assert_eq!((value.text.as_str(), value.confidence), (kept, 1.0));
        }
        let printed = strip(&[("Quan hệ tín dụng khách", 0.0, 0.0)]);
        assert_eq!(product(&printed.pieces).text, "Quan hệ tín dụng khách");
    }

    #[test]
    fn code_of_a_product_is_told_by_look_alikes_and_amid_specks() {
        for (read, code) in
            [("K11:1", "K11.1"), ("S1OA", "S10A"), ("k11.1", "K11.1"), ("RI4", "R14")]
        {
            let value = product(&[piece(read, read, 0.0)]);
            assert_eq!(value.text, code);
            assert!(value.confidence < 0.9);
        }
        let amid = |speck: &str, confidence| {
            let mut speck = piece(speck, speck, 0.0);
            for c in &mut speck.chars {
                c.confidence = confidence;
            }
            product(&[piece("R11A", "R11A", 0.0), speck]).text
        };
        assert_eq!(amid("/)", 0.5), "R11A");
        assert_eq!(amid("71DN", 0.5), "R11A");
        assert_eq!(amid("71DN", 0.9), "R11A 71DN");
        assert_eq!(amid("N G", 0.9), "R11A");
        assert_eq!(amid("thông tin", 0.5), "R11A thông tin");
    }

    #[test]
    fn row_under_headers_that_were_read_as_one_line_is_found() {
        let rows = guarantees(&strip(&[
            ("Bảo đảm tiền vay bằng", 60.0, 100.0),
            ("tài sản", 60.0, 122.0),
            ("Số lượng tài sản bảo Số TCTD có tài sản bảo", 300.0, 100.0),
            ("đảm", 360.0, 122.0),
            ("đảm", 540.0, 122.0),
            ("Có", 120.0, 160.0),
            ("3", 372.0, 160.0),
            ("2", 552.0, 160.0),
        ]));
        assert_eq!(texts(&rows), [["3", "2"]]);
    }

    #[test]
    fn columns_are_where_the_dates_are_on_a_sheet_that_lies_further_left() {
        let first = [
            ("STT", 60.0, 100.0),
            ("Tên TCTD", 200.0, 100.0),
            ("Ngày phát sinh cuối cùng", 380.0, 100.0),
            ("Nhóm nợ", 600.0, 100.0),
            ("Số tiền VND", 700.0, 100.0),
            ("USD", 800.0, 100.0),
            ("1", 65.0, 130.0),
            ("Ngân hàng TMCP Quân đội", 150.0, 130.0),
            ("23/09/2022", 440.0, 130.0),
            ("4", 625.0, 130.0),
            ("945", 700.0, 130.0),
            ("0", 800.0, 130.0),
        ];
        let second = [
            ("2", 25.0, 130.0),
            ("Ngân hàng TMCP An Bình", 110.0, 130.0),
            ("03/01/2022", 400.0, 130.0),
            ("5", 585.0, 130.0),
            ("2", 660.0, 130.0),
            ("0", 760.0, 130.0),
        ];
        let rows = bad_debts(&Strip::of(&[page(0, &first), page(1, &second)]));
        assert_eq!(texts(&rows)[1], ["03/01/2022", "5", "2", "2", "Ngân hàng TMCP An Bình"]);
    }

    #[test]
    fn signatures_below_a_table_are_none_of_its_last_row() {
        for office in ["GIÁM ĐỐC", "TRƯỞNG PHÒNG", "Người duyệt"] {
            let signed = [
                ("S11A", 300.0, 130.0),
                ("Người lập", 200.0, 160.0),
                (office, 300.0, 160.0),
                ("Uông Hà", 300.0, 180.0),
            ];
            let sheet = [
                ("DANH SÁCH TCTD TRA CỨU THÔNG TIN", 60.0, 70.0),
                ("Mã TCTD", 100.0, 100.0),
                ("Sản phẩm", 300.0, 100.0),
                ("Ngày tra cứu", 700.0, 100.0),
                ("01661001", 100.0, 130.0),
                ("22/09/2025", 700.0, 130.0),
            ];
            let strip = strip(&[&sheet[..], &signed].concat());
            let sections = crate::report::sections::reports(&strip).remove(0);
            let rows = look_ups(&sections[0].strip);
            assert_eq!(texts(&rows), [["01661001", "S11A", "22/09/2025"]]);
        }
    }

    #[test]
    fn amount_of_a_month_is_read_again_where_its_sum_says_so() {
        let mut sheet = page(
            0,
            &[
                ("Tháng", 100.0, 100.0),
                ("Dư nợ vay", 300.0, 100.0),
                ("Dư nợ thẻ", 500.0, 100.0),
                ("Tổng dư nợ", 700.0, 100.0),
                ("02/2026", 100.0, 130.0),
                ("13", 320.0, 130.0),
                ("0", 520.0, 130.0),
                ("18", 720.0, 130.0),
            ],
        );
        let mut posteriors = crate::posteriors::Posteriors::new(720.0, 8.0);
        posteriors.push([(Some('1'), 1.0)]);
        posteriors.push([(Some('8'), 0.8), (Some('3'), 0.2)]);
        sheet.lines[7].posteriors = Some(std::sync::Arc::new(posteriors));
        assert_eq!(texts(&months(&Strip::of(&[sheet]))), [["13", "0", "13"]]);
    }

    #[test]
    fn row_of_look_ups_without_a_readable_code_keeps_its_other_cells() {
        let rows = look_ups(&strip(&[
            ("Mã TCTD", 100.0, 100.0),
            ("Sản phẩm", 300.0, 100.0),
            ("Ngày tra cứu", 700.0, 100.0),
            ("01661001", 100.0, 130.0),
            ("R11A", 300.0, 130.0),
            ("22/09/2025", 700.0, 130.0),
            ("S37", 300.0, 160.0),
            ("23/09/2025", 700.0, 160.0),
        ]));
        assert_eq!(texts(&rows)[1], ["", "S37", "23/09/2025"]);
    }

    #[test]
    fn lender_of_bad_debts_is_repeated_on_each_row_it_spans() {
        let rows = bad_debts(&strip(&[
            ("STT", 60.0, 100.0),
            ("Tên TCTD/Chi nhánh TCTD", 120.0, 100.0),
            ("Ngày phát sinh cuối cùng", 400.0, 100.0),
            ("Nhóm nợ", 640.0, 100.0),
            ("Số tiền VND", 800.0, 100.0),
            ("23/09/2022", 440.0, 130.0),
            ("4", 660.0, 130.0),
            ("945", 860.0, 130.0),
            ("1", 70.0, 145.0),
            ("MB SHINSEI", 120.0, 145.0),
            ("03/01/2022", 440.0, 160.0),
            ("5", 660.0, 160.0),
            ("14", 868.0, 160.0),
        ]));
        assert_eq!(
            texts(&rows),
            [
                ["23/09/2022", "4", "945", "1", "MB SHINSEI"],
                ["03/01/2022", "5", "14", "1", "MB SHINSEI"]
            ]
        );
    }

    /// Bad debts of the lenders with these lines, and rules, in six rows 26 px apart: of each its
    /// lender's number and name.
    fn lenders_of(lines: &[(&str, f32, f32)], rules: &[f32]) -> Vec<(String, String)> {
        let header = [
            ("STT", 60.0, 100.0),
            ("Tên TCTD/Chi nhánh TCTD", 120.0, 100.0),
            ("Ngày phát sinh cuối cùng", 400.0, 100.0),
            ("Nhóm nợ", 640.0, 100.0),
            ("Số tiền VND", 800.0, 100.0),
        ];
        let row = |y: f32| [("23/09/2022", 440.0, y), ("4", 660.0, y), ("945", 860.0, y)];
        let rows = (0..6).flat_map(|i| row(130.0 + 26.0 * i as f32));
        let pieces: Vec<_> = header.into_iter().chain(rows).chain(lines.iter().copied()).collect();
        let mut page = page(0, &pieces);
        page.rules.extend(rules.iter().map(|&y| {
            Rule::level(Direction::Horizontal, Rect::new(60.0, y - 1.0, 350.0, y + 1.0))
        }));
        let rows = bad_debts(&Strip::of(&[page]));
        texts(&rows).iter().map(|row| (row[3].to_owned(), row[4].to_owned())).collect()
    }

    #[test]
    fn lenders_in_lines_that_follow_each_other_are_not_one_with_a_name_of_two_lines() {
        let lenders = lenders_of(
            &[
                ("1", 70.0, 130.0),
                ("NH TMCP Đoi Rỗng", 120.0, 130.0),
                ("2", 70.0, 156.0),
                ("Công ty Tài chính MB", 120.0, 156.0),
                ("3", 70.0, 221.0),
                ("Ngân hàng Rần Vấn", 120.0, 221.0),
            ],
            &[],
        );
        let numbers: Vec<&str> = lenders.iter().map(|(number, _)| number.as_str()).collect();
        assert_eq!(numbers, ["1", "2", "3", "3", "3", "3"]);
    }

    #[test]
    fn false_rule_through_a_lenders_name_makes_no_second_lender() {
        let lenders = lenders_of(
            &[("1", 70.0, 130.0), ("Ngân hàng Wzjt -", 120.0, 130.0), ("PGD Kỳ Anh", 120.0, 152.0)],
            &[152.0],
        );
        let whole = ("1".to_owned(), "Ngân hàng Wzjt - PGD Kỳ Anh".to_owned());
        assert_eq!(lenders, vec![whole; 6]);
    }

    #[test]
    fn lenders_that_stand_at_the_top_of_their_rows_hold_those_below() {
        let row = |y: f32| [("23/09/2022", 440.0, y), ("4", 660.0, y), ("945", 860.0, y)];
        let lender = |number, y: f32| {
            [(number, 70.0, y), ("NGÂN HÀNG MB", 120.0, y), ("SHINSEI", 120.0, y + 20.0)]
        };
        let header = [
            ("STT", 60.0, 100.0),
            ("Tên TCTD/Chi nhánh TCTD", 120.0, 100.0),
            ("Ngày phát sinh cuối cùng", 400.0, 100.0),
            ("Nhóm nợ", 640.0, 100.0),
            ("Số tiền VND", 800.0, 100.0),
        ];
        let mut pieces = header.to_vec();
        // The second number stands beside its first row, and amid all rows but the first, too.
        pieces.extend((0..8).flat_map(|i| row(130.0 + 30.0 * i as f32)));
        pieces.extend([lender("1", 130.0), lender("2", 250.0)].concat());
        let rows = bad_debts(&strip(&pieces));
        let numbers: Vec<&str> = texts(&rows).iter().map(|row| row[3]).collect();
        assert_eq!(numbers, ["1", "1", "1", "1", "2", "2", "2", "2"]);
    }

    #[test]
    fn cards_are_read_as_a_summary_and_as_a_grid() {
        let summary = cards(&strip(&[
            ("Tổng hạn mức thẻ tín dụng", 100.0, 100.0),
            ("30", 500.0, 100.0),
            ("Tổng số tiền phải thanh toán", 100.0, 130.0),
            ("17", 500.0, 140.0),
            ("thẻ", 100.0, 150.0),
            ("Tổng số tiền chậm thanh toán thẻ", 100.0, 180.0),
            ("1", 500.0, 180.0),
            ("Số lượng thẻ tín dụng", 100.0, 210.0),
            ("2", 500.0, 210.0),
        ]));
        assert_eq!(texts(&summary), [["30", "17", "1", "2"]]);
        let grid = page(
            0,
            &[
                ("Tổng hạn mức", 60.0, 100.0),
                ("thẻ tín dụng", 60.0, 122.0),
                ("Tổng số tiền phải", 250.0, 100.0),
                ("thanh toán thẻ", 260.0, 122.0),
                ("Tổng số tiền chậm", 450.0, 100.0),
                ("thanh toán thẻ", 460.0, 122.0),
                ("Số lượng thẻ tín dụng", 650.0, 111.0),
                ("200", 180.0, 160.0),
                ("194", 380.0, 160.0),
                ("0", 590.0, 160.0),
                ("1", 790.0, 160.0),
            ],
        );
        let edges = [40.0, 230.0, 430.0, 630.0, 840.0];
        let rows = cards(&Strip::of(&[ruled(grid, &edges, &[95.0, 150.0, 190.0])]));
        assert_eq!(texts(&rows), [["200", "194", "0", "1"]]);
    }

    #[test]
    fn late_payments_answer_yes_or_no_whatever_the_mark() {
        let read = |mark: &str, days: &str| {
            let rows = late_payments(&strip(&[
                ("Khách hàng có chậm thanh toán thẻ", 100.0, 100.0),
                (mark, 500.0, 100.0),
                ("Số ngày chậm thanh toán thẻ lớn nhất", 100.0, 130.0),
                (days, 500.0, 130.0),
                ("Số lần chậm thanh toán thẻ", 100.0, 160.0),
                (days, 500.0, 160.0),
            ]));
            texts(&rows).concat().join(" ")
        };
        assert_eq!(read("☑", "45"), "Y 45 45");
        assert_eq!(read("Không", "0"), "N 0 0");
    }

    #[test]
    fn speck_above_the_only_row_is_none() {
        let rows = late_payments(&strip(&[
            ("Khách hàng có chậm thanh toán thẻ", 60.0, 100.0),
            ("Số ngày chậm thanh toán thẻ lớn nhất", 370.0, 100.0),
            ("Số lần chậm thanh toán thẻ", 700.0, 100.0),
            ("A", 80.0, 121.0),
            ("Có", 180.0, 140.0),
            ("45", 500.0, 140.0),
            ("2", 800.0, 140.0),
        ]));
        assert_eq!(texts(&rows), [["Y", "45", "2"]]);
    }

    #[test]
    fn mark_that_was_not_understood_follows_its_figures_without_confidence() {
        let rows = late_payments(&strip(&[
            ("Khách hàng có chậm thanh toán thẻ", 100.0, 100.0),
            ("Số ngày chậm thanh toán thẻ lớn nhất", 100.0, 130.0),
            ("0", 500.0, 130.0),
            ("Số lần chậm thanh toán thẻ", 100.0, 160.0),
            ("0", 500.0, 160.0),
        ]));
        let mark = rows[0][0].plain().unwrap();
        assert_eq!(mark.text, "N");
        assert!(mark.confidence <= 0.5);
    }

    #[test]
    fn sentence_in_place_of_a_table_is_no_row() {
        let sentence = strip(&[("Không có thông tin về hợp đồng tín dụng.", 100.0, 100.0)]);
        assert!(contracts(&sentence).is_empty());
        assert!(look_ups(&sentence).is_empty());
        assert!(cards(&sentence).is_empty());
    }

    #[test]
    fn debt_sold_to_vamc_is_the_sentence_or_the_amount() {
        let none = vamc(&strip(&[
            ("Khách hàng không có dư nợ đã bán", 60.0, 100.0),
            ("cho VAMC.", 60.0, 122.0),
        ]));
        assert_eq!(none.text, "Khách hàng không có dư nợ đã bán cho VAMC.");
        for speck in ["Không có. N", "Không có. :"] {
            assert_eq!(vamc(&strip(&[(speck, 60.0, 100.0)])).text, "Không có.");
        }
        let drawn = |lines: &[(&str, f32, f32)]| {
            let mut page = page(0, lines);
            page.lines.iter_mut().for_each(|line| line.posteriors = Some(Default::default()));
            page
        };
        let seen = drawn(&[("Không có nợ bán,", 60.0, 100.0)]);
        assert_eq!(vamc(&Strip::of(&[seen])).text, "Không có nợ bán.");
        for (read, text) in [("VAMC) Không có.", "Không có."), ("cho", "cho"), ("", "")] {
            let value = vamc(&Strip::of(&[drawn(&[(read, 60.0, 100.0)])]));
            assert!(value.text == text && value.confidence <= 0.5, "{value:?}");
        }
        let sold = vamc(&strip(&[
            ("STT", 60.0, 100.0),
            ("Tên TCTD bán nợ", 200.0, 100.0),
            ("Nợ gốc còn lại (Triệu VND)", 450.0, 100.0),
            ("Ngày báo cáo", 760.0, 100.0),
            ("1", 70.0, 130.0),
            ("Ngân hàng TMCP Á Châu", 150.0, 130.0),
            ("72", 640.0, 130.0),
            ("18/04/2025", 770.0, 130.0),
        ]));
        assert_eq!(sold.text, "72");
    }
}
