//! Tables under a header: which column each piece belongs to, by the header's words first, then by
//! vertical rules, then by the white between columns. A table goes on over page breaks, with its
//! header printed again or not.

use super::fields::{Wanted, is_note, stacks};
use super::grammar;
use super::sections::is_unit;
use super::shapes::Shape;
use super::strip::{Piece, Strip, is_figures, rows, text_of};
use super::words;
use crate::geometry::Rect;

/// A header's cell must resemble its wording at least so much.
const ALIKE: f32 = 0.72;
/// Two headers that were read as one are each so alike.
const SURELY: f32 = 0.9;
/// So many letters are known as part of a header.
const PART: usize = 4;
/// A line of more words is no table's header.
const MOST_WORDS: usize = 60;
/// What a line's box has beside its text at each end, in em.
const BOX_MARGIN: f32 = 0.3;
/// A rule this close to what stands in a column is beside it, in em: boxes are a little too wide.
const CLOSE: f32 = 0.5;
/// In a row that is a header by its other cells, so much is enough.
const ALIKE_IN_HEADER: f32 = 0.45;

/// A table's body: its pieces with the column each stands in.
pub(super) struct Grid<R> {
    /// The section without headers; what rules part is asked of it.
    pub strip: Strip,
    /// Pieces of the body with their column; none for a column whose header was not recognised.
    pub cells: Vec<(Option<R>, Piece)>,
    /// The columns that the first header has.
    pub roles: Vec<R>,
}

#[derive(Clone, Debug)]
struct HeaderCell<R> {
    role: R,
    at: Rect,
    members: Vec<usize>,
}

/// A column's role and its right edge; the last one has no end.
type Columns<R> = Vec<(Option<R>, f32)>;

impl<R: Copy + PartialEq> Grid<R> {
    /// Reads a table with at least `least` of the wanted columns in its header; none where there
    /// is no such header.
    pub fn of(strip: &Strip, wanted: &Wanted<R>, least: usize) -> Option<Self> {
        let mut body = strip.clone();
        body.pieces.clear();
        body.across.clear();
        let mut cells = Vec::new();
        let mut columns: Option<Columns<R>> = None;
        let mut first_places = Vec::new();
        let mut roles = Vec::new();
        for mut segment in segments(strip) {
            segment.pieces = segment.pieces.iter().flat_map(|piece| heads(piece, wanted)).collect();
            part_pair(&mut segment.pieces, wanted);
            let mut header = header(&segment.pieces, wanted, least);
            if let Some(lean) = lean(&header, strip.em()) {
                segment.level(lean);
                header = self::header(&segment.pieces, wanted, least);
            }
            body.across.extend_from_slice(&segment.across);
            let used: Vec<usize> = header.iter().flat_map(|cell| cell.members.clone()).collect();
            let mut top = segment.pieces.first().map_or(0.0, |piece| piece.at.top);
            if let Some(bottom) = header.iter().map(|cell| cell.at.bottom).max_by(f32::total_cmp) {
                let start =
                    header.iter().map(|cell| cell.at.top).min_by(f32::total_cmp).unwrap_or(bottom);
                if columns.is_some() {
                    // The rules of a header that is printed again part no rows.
                    let steps = ((bottom - start) / strip.em()) as usize;
                    body.seams.extend((0..=steps).map(|i| start + i as f32 * strip.em()));
                    body.seams.push(bottom);
                }
                top = bottom;
            }
            let rest: Vec<&Piece> = segment
                .pieces
                .iter()
                .enumerate()
                .filter(|(i, piece)| {
                    !used.contains(i) && (header.is_empty() || piece.y() > top - piece.em())
                })
                .map(|(_, piece)| piece)
                .filter(|piece| !is_note(piece))
                .collect();
            if !header.is_empty() {
                // A header that is printed again and was read less well has nothing to add.
                if header.len() >= roles.len() {
                    roles = header.iter().map(|cell| cell.role).collect();
                    columns = Some(edges(&segment, &header, &rest));
                    first_places = places(&rest);
                }
            }
            let Some(columns) = &columns else { continue };
            let aside = match header.is_empty() {
                true => drift(&first_places, &places(&rest), strip.em()),
                false => 0.0,
            };
            let columns: &Columns<R> =
                &columns.iter().map(|(role, edge)| (*role, edge + aside)).collect();
            for &piece in &rest {
                let parts = parts(piece, columns);
                let is_cut = parts.len() > 1;
                for part in parts {
                    if (is_cut || part.key.is_empty()) && is_in_another(&part, piece, &rest) {
                        continue;
                    }
                    cells.push((column_of(&part, columns), part.clone()));
                    body.pieces.push(part);
                }
            }
        }
        columns.is_some().then_some(Self { strip: body, cells, roles })
    }

    /// The visual lines of a column whose text could have the shape, or of which the reader held
    /// a text possible that has it, from top to bottom. Of a line with a stray piece beside the
    /// value, the value alone.
    pub fn column(&self, role: R, shape: Shape) -> Vec<Vec<Piece>> {
        whole(self.lines(role), shape)
            .into_iter()
            .filter_map(|line| {
                // Two figures that stand apart are two: one is another column's.
                let apart = |pair: &[Piece]| match pair {
                    [a, b] => b.at.left - a.at.right > a.em() && shape.put(&b.text).valid,
                    _ => false,
                };
                if let [first, ..] = &line[..]
                    && matches!(shape, Shape::Amount | Shape::Count)
                    && shape.put(&first.text).valid
                    && line.windows(2).any(apart)
                {
                    return Some(vec![first.clone()]);
                }
                let text = text_of(&line.iter().collect::<Vec<_>>());
                let whole = shape.put(&text);
                if whole.valid && whole.folded == 0 {
                    return Some(line);
                }
                if let Some(figure) = figure_of(&line, shape) {
                    return Some(vec![figure]);
                }
                if whole.valid {
                    return Some(line);
                }
                let alone = line.iter().find(|piece| shape.put(&piece.text).valid).cloned();
                match alone {
                    Some(piece) => Some(vec![piece]),
                    None => {
                        let could_be = || grammar::could_be(&line, shape);
                        (shape.resembles(&text) || could_be()).then_some(line)
                    }
                }
            })
            .collect()
    }

    /// The visual lines of a column, from top to bottom.
    pub fn lines(&self, role: R) -> Vec<Vec<Piece>> {
        let pieces: Vec<&Piece> =
            self.cells.iter().filter(|(r, _)| *r == Some(role)).map(|(_, piece)| piece).collect();
        rows(pieces).into_iter().map(|row| row.into_iter().cloned().collect()).collect()
    }

    /// Counts what has the shape to a column, wherever it stands: a header that was not read or
    /// an edge that is off takes no date from the dates.
    pub fn adopt(&mut self, role: R, shape: Shape) {
        for (held, piece) in &mut self.cells {
            if shape.put(&piece.text).valid {
                *held = Some(role);
            }
        }
    }

    /// Parts what has the shape among two columns by where it stands, left of the other's or not.
    pub fn adopt_pair(&mut self, left: R, right: R, shape: Shape) {
        let mut places: Vec<f32> = self
            .cells
            .iter()
            .filter(|(_, piece)| shape.put(&piece.text).valid)
            .map(|(_, piece)| piece.x())
            .collect();
        places.sort_by(f32::total_cmp);
        let widest = places
            .windows(2)
            .filter_map(|pair| match pair {
                [a, b] => Some((b - a, (a + b) / 2.0)),
                _ => None,
            })
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, edge)) = widest.filter(|(gap, _)| *gap > 3.0 * self.strip.em()) else {
            return;
        };
        for (held, piece) in &mut self.cells {
            if shape.put(&piece.text).valid {
                *held = Some(if piece.x() < edge { left } else { right });
            }
        }
    }

    /// Drops the row of a grand total, which is no lender's.
    pub fn drop_totals(&mut self, is_total: impl Fn(Option<R>, &Piece) -> bool) {
        let totals: Vec<(f32, f32)> = self
            .cells
            .iter()
            .filter(|(role, piece)| is_total(*role, piece))
            .map(|(_, piece)| (piece.y(), piece.em()))
            .collect();
        let in_total =
            |piece: &Piece| totals.iter().any(|(y, em)| (piece.y() - y).abs() < 0.7 * em);
        self.cells.retain(|(_, piece)| !in_total(piece));
        self.strip.pieces.retain(|piece| !in_total(piece));
    }
}

/// The only word of a line that has the shape as it is, where what stands beside it is no part of it:
/// has no digits, or stands apart.
fn figure_of(line: &[Piece], shape: Shape) -> Option<Piece> {
    /// How far from each other the parts of a number stand at most, in em.
    const APART: f32 = 0.5;
    const FAR_APART: f32 = 1.0;
    let has_digit = |word: &Piece| word.text.contains(|c: char| c.is_ascii_digit());
    let words: Vec<Piece> = line.iter().flat_map(Piece::words).collect();
    let is_figure = |word: &&Piece| has_digit(word) && shape.put(&word.text).is(&word.text);
    let mut figures = words.iter().filter(is_figure);
    let figure = figures.next().filter(|_| figures.next().is_none())?;
    // A stroke may be a one.
    let has_strokes = |word: &Piece| word.text.chars().any(|c| "Il|![]".contains(c));
    let apart = |word: &Piece| {
        let gap = word.at.left.max(figure.at.left) - word.at.right.min(figure.at.right);
        let least = match (has_digit(word), has_strokes(word)) {
            (true, _) => APART,
            (_, true) => FAR_APART,
            _ => f32::MIN,
        };
        gap > least * figure.em()
    };
    words.iter().all(|word| word.at == figure.at || apart(word)).then(|| figure.clone())
}

/// Whether a part of a piece is the end of another piece, too: where boxes overlap, what stands
/// between them is read with both.
fn is_in_another(part: &Piece, piece: &Piece, all: &[&Piece]) -> bool {
    all.iter().filter(|other| other.at != piece.at).any(|other| {
        let (width, height) = (part.at.width(), part.at.height());
        part.at.overlap_x(&other.at) > 0.5 * width && part.at.overlap_y(&other.at) > 0.5 * height
    })
}

/// The lines of a column, those joined that have the shape together only: in a narrow column a code
/// goes on in the next line, and so does an amount that has too few digits behind its comma.
fn whole(lines: Vec<Vec<Piece>>, shape: Shape) -> Vec<Vec<Piece>> {
    /// From a line to the next one of the same cell, in em, at most.
    const NEXT: f32 = 1.9;
    let has_shape = |pieces: &[Piece]| {
        let text: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
        shape.put(&text).valid
    };
    let mut joined: Vec<Vec<Piece>> = Vec::new();
    for line in lines {
        let is_rest = |above: &[Piece]| match shape {
            Shape::Digits(_) => !has_shape(&line),
            Shape::Amount => {
                let text: String = above.iter().map(|piece| piece.text.as_str()).collect();
                text.contains(',') && is_figures(&text)
            }
            _ => false,
        };
        if let Some(above) = joined.last_mut()
            && is_rest(above)
            && let (Some(last), Some(first)) = (above.last(), line.first())
            && first.y() - last.y() < NEXT * last.em()
            && !has_shape(above)
            && has_shape(&[&above[..], &line].concat())
        {
            above.extend(line);
        } else {
            joined.push(line);
        }
    }
    joined
}

/// The parts of a section on each page.
fn segments(strip: &Strip) -> Vec<Strip> {
    let mut edges = vec![f32::MIN];
    let mut seams = strip.seams.clone();
    seams.sort_by(f32::total_cmp);
    edges.extend(seams);
    edges.push(f32::MAX);
    edges
        .windows(2)
        .filter_map(|edge| match edge {
            [top, bottom] => Some(strip.slice(*top, *bottom)),
            _ => None,
        })
        .filter(|segment| !segment.pieces.is_empty())
        .collect()
}

/// The headers of columns that a piece holds: of narrow columns, two can stand so close together that
/// they were read as one, in any of their lines.
pub(super) fn heads<R: Copy + PartialEq>(piece: &Piece, wanted: &Wanted<R>) -> Vec<Piece> {
    if piece.chars.iter().filter(|c| c.value == ' ').count() >= MOST_WORDS {
        return vec![piece.clone()];
    }
    if let Some(parts) = header_parts(piece, wanted) {
        return parts;
    }
    let match_of = |piece: &Piece| {
        let all = wanted.iter().map(|(role, wordings)| (*role, words::best(&piece.key, wordings)));
        all.max_by(|a, b| a.1.total_cmp(&b.1))
    };
    let whole = match_of(piece).map_or(0.0, |(_, alike)| alike);
    for (left, right) in halves(piece) {
        if let (Some(a), Some(b)) = (match_of(&left), match_of(&right))
            && a.0 != b.0
            && a.1.min(b.1) > whole.max(SURELY)
        {
            return [heads(&left, wanted), heads(&right, wanted)].concat();
        }
    }
    vec![piece.clone()]
}

/// Parts the one piece that reads like a header, but is two: "Số tiền USD" is one only beside "Số
/// tiền VND".
fn part_pair<R: Copy + PartialEq>(pieces: &mut Vec<Piece>, wanted: &Wanted<R>) {
    let pair = pieces.iter().enumerate().find_map(|(index, piece)| {
        let mut halves = halves(piece).into_iter();
        let pair = halves.find(|(left, right)| are_two(left, right, pieces, wanted));
        pair.map(|(left, right)| (index, left, right))
    });
    if let Some((index, left, right)) = pair {
        pieces.splice(index..=index, [left, right]);
    }
}

/// Whether neighbours are surely the headers of two columns, and none of these pieces is another
/// header of the left one's.
fn are_two<R: Copy + PartialEq>(
    left: &Piece,
    right: &Piece,
    pieces: &[Piece],
    wanted: &Wanted<R>,
) -> bool {
    let role_of = |piece: &Piece| {
        let surely = |(_, all): &&(R, &[&str])| words::best(&piece.key, all) >= SURELY;
        wanted.iter().find(surely).map(|(role, _)| *role)
    };
    let (Some(role), Some(other)) = (role_of(left), role_of(right)) else { return false };
    let is_its = |piece: &Piece| piece.at != left.at && role_of(piece) == Some(role);
    role != other && !pieces.iter().any(is_its)
}

/// The fewest pieces that each are a part of a header, as a line of one is; none where there are none.
fn header_parts<R>(piece: &Piece, wanted: &Wanted<R>) -> Option<Vec<Piece>> {
    let wordings = || wanted.iter().flat_map(|(_, wordings)| *wordings);
    let longest = wordings().map(|wording| wording.len()).max()?;
    // Short ones resemble too much; but what a table begins with, as "STT", is one.
    let known = |part: &Piece, is_first: bool| match part.key.chars().count() >= PART {
        true => wordings().any(|wording| wording.contains(&part.key)),
        false => is_first && wordings().any(|wording| *wording == part.key),
    };
    let blanks = || piece.chars.iter().enumerate().filter(|(_, c)| c.value == ' ').map(|(i, _)| i);
    let starts: Vec<usize> = std::iter::once(0).chain(blanks().map(|blank| blank + 1)).collect();
    let ends: Vec<usize> = blanks().chain([piece.chars.len()]).collect();
    // What comes from each word on, from the last one: so every part is tried once, however many
    // ways there are to put them together.
    let mut fewest: Vec<Option<Vec<Piece>>> = vec![None; starts.len()];
    fewest.push(Some(Vec::new()));
    for (word, start) in starts.iter().enumerate().rev() {
        let parts = ends.iter().enumerate().skip(word).map_while(|(last, end)| {
            let part = piece.part(*start, *end);
            part.as_ref().is_none_or(|part| part.key.len() <= longest).then_some((last, part))
        });
        let parted = parts.filter_map(|(last, part)| {
            let part = part.filter(|part| known(part, word == 0))?;
            let rest = fewest.get(last + 1)?.as_ref()?;
            Some([vec![part], rest.clone()].concat())
        });
        let shortest = parted.min_by_key(Vec::len);
        if let Some(held) = fewest.get_mut(word) {
            *held = shortest;
        }
    }
    fewest.into_iter().next()?
}

/// A piece parted at each of its blanks.
fn halves(piece: &Piece) -> Vec<(Piece, Piece)> {
    let blanks = piece.chars.iter().enumerate().filter(|(_, c)| c.value == ' ');
    blanks
        .filter_map(|(blank, _)| {
            Some((piece.part(0, blank)?, piece.part(blank + 1, piece.chars.len())?))
        })
        .collect()
}

/// The header's cells: the best match for each column among the pieces above the first figure.
fn header<R: Copy + PartialEq>(
    pieces: &[Piece],
    wanted: &Wanted<R>,
    least: usize,
) -> Vec<HeaderCell<R>> {
    let figure = |piece: &&Piece| {
        let figures = piece.key.chars().filter(char::is_ascii_digit).count();
        !is_note(piece) && figures > 0 && figures * 2 >= piece.key.chars().count()
    };
    // A row with two figures is the body's; a single one can be a page's number or date.
    let end = rows(pieces)
        .iter()
        .find(|row| row.iter().filter(|piece| figure(piece)).count() >= 2)
        .and_then(|row| row.iter().find(|piece| figure(piece)))
        .or(pieces.iter().find(figure).as_ref())
        .map_or(f32::MAX, |piece| piece.y() + 0.8 * piece.em());
    let mut candidates: Vec<(f32, f32, HeaderCell<R>)> = Vec::new();
    for (start, piece) in pieces.iter().enumerate() {
        // The unit above a table resembles a header that names one, too.
        if piece.y() > end || figure(&piece) || is_unit(&piece.key) {
            continue;
        }
        for members in stacks(pieces, start) {
            let stack: Vec<&Piece> = members.iter().filter_map(|&i| pieces.get(i)).collect();
            if let [first, second, ..] = stack[..]
                && first.at.overlap_y(&second.at) > 0.5 * first.at.height()
                && are_two(first, second, pieces, wanted)
            {
                continue;
            }
            let key: String = stack.iter().map(|piece| piece.key.as_str()).collect();
            let found = wanted
                .iter()
                .map(|(role, wordings)| (*role, words::best(&key, wordings)))
                .max_by(|a, b| a.1.total_cmp(&b.1));
            let Some((role, alike)) = found.filter(|(_, alike)| *alike >= ALIKE_IN_HEADER) else {
                continue;
            };
            let at = stack.iter().fold(piece.at, |at, piece| at.union(&piece.at));
            let weight = alike + 0.004 * key.chars().count() as f32;
            candidates.push((weight, alike, HeaderCell { role, at, members }));
        }
    }
    candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut cells: Vec<HeaderCell<R>> = Vec::new();
    let free = |cells: &[HeaderCell<R>], cell: &HeaderCell<R>| {
        cells.iter().all(|other| {
            other.role != cell.role && !other.members.iter().any(|i| cell.members.contains(i))
        })
    };
    for (_, alike, cell) in &candidates {
        if *alike >= ALIKE && free(&cells, cell) {
            cells.push(cell.clone());
        }
    }
    // A header is one row: what matches far from the others is a word of the body.
    let middle = super::strip::median(cells.iter().map(|cell| cell.at.centre().y)).unwrap_or(0.0);
    cells.retain(|cell| (cell.at.centre().y - middle).abs() < 2.5 * cell.at.height().max(16.0));
    if cells.len() < least {
        return Vec::new();
    }
    let top = cells.iter().map(|cell| cell.at.top).fold(f32::MAX, f32::min);
    let bottom = cells.iter().map(|cell| cell.at.bottom).fold(f32::MIN, f32::max);
    for (_, _, cell) in &candidates {
        let inside = (top - 4.0..=bottom + 4.0).contains(&cell.at.centre().y);
        let beside = cells.iter().all(|other| other.at.overlap_x(&cell.at) <= 0.0);
        if inside && beside && free(&cells, cell) {
            cells.push(cell.clone());
        }
    }
    cells.sort_by(|a, b| a.at.centre().x.total_cmp(&b.at.centre().x));
    cells
}

/// How far down a header goes for each step to the right, where the page leans so much that its rows
/// stand beside others: the cells of a header stand on one height.
fn lean<R>(header: &[HeaderCell<R>], em: f32) -> Option<f32> {
    /// By so much, in em, a header leans from its first cell to its last one, at least.
    const LEAST: f32 = 0.6;
    /// Its cells are not further from the slanting line than this, in em.
    const OFF: f32 = 0.35;
    /// No page is photographed so crooked.
    const STEEPEST: f32 = 0.15;
    let ([first, .., last], 3..) = (header, header.len()) else { return None };
    let (from, to) = (first.at.centre(), last.at.centre());
    let slope = (to.y - from.y) / (to.x - from.x).max(1.0);
    let is_on_line = |cell: &HeaderCell<R>| {
        let at = cell.at.centre();
        (at.y - from.y - slope * (at.x - from.x)).abs() < OFF * em
    };
    let leans = (to.y - from.y).abs() > LEAST * em && slope.abs() < STEEPEST;
    (leans && header.iter().all(is_on_line)).then_some(slope)
}

/// The columns' edges: a vertical rule between two header cells, or else the white between what
/// stands in the two columns.
fn edges<R: Copy + PartialEq>(
    segment: &Strip,
    header: &[HeaderCell<R>],
    body: &[&Piece],
) -> Columns<R> {
    let top = header.iter().map(|cell| cell.at.top).min_by(f32::total_cmp).unwrap_or(0.0);
    let bottom = body.last().map_or(top, |piece| piece.at.bottom);
    let ruled = segment.columns_ruled(top, bottom);
    let extents = extents(header, body);
    let close = CLOSE * segment.em();
    let mut columns: Columns<R> = Vec::new();
    for (pair, extent) in header.windows(2).zip(extents.windows(2)) {
        let ([left, right], [its, next]) = (pair, extent) else { continue };
        let (from, to) = (left.at.centre().x, right.at.centre().x);
        let within = |range: std::ops::Range<f32>| -> Vec<f32> {
            ruled.iter().copied().filter(|x| range.contains(x)).collect()
        };
        // Rules that shine through the sheet and streaks stand anywhere, the table's own between its
        // columns, if close to what stands in them.
        let white = its.1 - close..next.0 + close;
        let between = within(if its.1 <= next.0 { white } else { from..to });
        match between[..] {
            [] if its.1 <= next.0 => columns.push((Some(left.role), (its.1 + next.0) / 2.0)),
            [] => columns.push((Some(left.role), least_cut(left.at, right.at, body))),
            [only] => columns.push((Some(left.role), only)),
            // A column whose header was not recognised stands between.
            [first, .., last] => columns.extend([(Some(left.role), first), (None, last)]),
        }
    }
    if let (Some(last), Some(its)) = (header.last(), extents.last()) {
        let beyond: Vec<f32> = ruled.iter().copied().filter(|x| *x > its.1).collect();
        match beyond[..] {
            [edge, _, ..] => columns.extend([(Some(last.role), edge), (None, f32::MAX)]),
            _ => columns.push((Some(last.role), f32::MAX)),
        }
    }
    // Likewise before the first: the table's left border, then an unknown column.
    if let Some(its) = extents.first() {
        let before: Vec<f32> = ruled.iter().copied().filter(|x| *x < its.0).collect();
        if let [_, .., edge] = before[..] {
            columns.insert(0, (None, edge));
        }
    }
    columns
}

/// The place between two headers that cuts least of what stands beside it, in the middle of the
/// widest such stretch. Boxes of neighbours can touch or overlap a little: the end of one costs
/// next to nothing, its middle a lot, as does what stands on the wrong side of its header.
fn least_cut(left: Rect, right: Rect, body: &[&Piece]) -> f32 {
    const STEPS: usize = 64;
    /// The cost of a piece that is cut in its middle or stands on the wrong side, in em.
    const WRONG: f32 = 2.0;
    /// That of a piece that is cut at a blank.
    const BLANK: f32 = 0.3;
    /// Costs that differ by less are the same.
    const SAME: f32 = 0.05;
    let (from, to) = (left.centre().x, right.centre().x);
    let place = |step: usize| from + (to - from) * step as f32 / STEPS as f32;
    let cost_of = |x: f32, piece: &Piece| {
        // Boxes are a little wider than what stands in them.
        let into = (x - piece.at.left).min(piece.at.right - x) / piece.em() - BOX_MARGIN;
        let below = |head: &Rect| piece.at.overlap_x(head) > 0.0;
        let misplaced = (below(&left) && !below(&right) && piece.x() > x)
            || (below(&right) && !below(&left) && piece.x() < x);
        // Two cells that were read as one line part at a blank.
        let to_blank = piece.blank_near(x).map_or(WRONG, |(_, distance)| distance / piece.em());
        if misplaced { WRONG } else { into.min(BLANK + to_blank).clamp(0.0, WRONG) }
    };
    let costs: Vec<f32> = (0..=STEPS)
        .map(|step| body.iter().map(|piece| cost_of(place(step), piece)).sum())
        .collect();
    let least = costs.iter().copied().fold(f32::MAX, f32::min);
    let mut widest = (0, 0);
    let mut start = 0;
    for (step, cost) in costs.iter().enumerate() {
        if *cost > least + SAME {
            start = step + 1;
        } else if step + 1 - start > widest.1 - widest.0 {
            widest = (start, step + 1);
        }
    }
    (place(widest.0) + place(widest.1.saturating_sub(1))) / 2.0
}

/// From where to where each column reaches: its header's cell and the run of the body's pieces
/// that belongs to it. Figures can stand far to the right of their header, so runs and headers
/// are matched in order, as close as can be.
fn extents<R>(header: &[HeaderCell<R>], body: &[&Piece]) -> Vec<(f32, f32)> {
    /// What a column without a run costs, and a run without a column; in strip units.
    const ALONE: f32 = 120.0;
    let heads: Vec<(f32, f32)> = header.iter().map(|cell| (cell.at.left, cell.at.right)).collect();
    let runs = runs(&heads, body);
    let (n, m) = (runs.len(), heads.len());
    let away = |run: (f32, f32), head: (f32, f32)| {
        let gap = (head.0 - run.1).max(run.0 - head.1).max(0.0);
        let apart = ((run.0 + run.1) - (head.0 + head.1)).abs() / 2.0;
        gap + 0.1 * apart
    };
    let mut best = vec![vec![(f32::INFINITY, 0_u8); m + 1]; n + 1];
    best[0][0] = (0.0, 0);
    for i in 0..=n {
        for j in 0..=m {
            let mut cell = best[i][j];
            if i > 0 && best[i - 1][j].0 + ALONE < cell.0 {
                cell = (best[i - 1][j].0 + ALONE, 1);
            }
            if j > 0 && best[i][j - 1].0 + ALONE < cell.0 {
                cell = (best[i][j - 1].0 + ALONE, 2);
            }
            if i > 0 && j > 0 {
                let cost = best[i - 1][j - 1].0 + away(runs[i - 1], heads[j - 1]);
                if cost < cell.0 {
                    cell = (cost, 3);
                }
            }
            best[i][j] = cell;
        }
    }
    let mut extents = heads.clone();
    let (mut i, mut j) = (n, m);
    while i > 0 || j > 0 {
        match best[i][j].1 {
            1 => i -= 1,
            2 => j -= 1,
            3 => {
                i -= 1;
                j -= 1;
                extents[j] = (heads[j].0.min(runs[i].0), heads[j].1.max(runs[i].1));
            }
            _ => break,
        }
    }
    extents
}

/// Where the body has text, from left to right: pieces that overlap make one run.
fn runs(heads: &[(f32, f32)], body: &[&Piece]) -> Vec<(f32, f32)> {
    // What reaches across two headers is a note or a total, and a mark is no cell.
    let spans_headers = |left: f32, right: f32| {
        heads.iter().filter(|head| left <= head.0 && head.1 <= right).count() >= 2
    };
    let mut spans: Vec<(f32, f32)> = body
        .iter()
        .filter(|piece| !piece.key.is_empty() || piece.text.chars().count() > 2)
        .map(|piece| (piece.at.left, piece.at.right))
        .filter(|(left, right)| !spans_headers(*left, *right))
        .collect();
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    let slack = body.first().map_or(0.0, |piece| 0.25 * piece.em());
    let mut runs: Vec<(f32, f32)> = Vec::new();
    for (left, right) in spans {
        match runs.last_mut() {
            Some(run) if left < run.1 - slack => run.1 = run.1.max(right),
            _ => runs.push((left, right)),
        }
    }
    runs
}

/// Where texts stand that are as long as all others of their shape, so that they tell where their
/// column is.
fn places(pieces: &[&Piece]) -> Vec<(Shape, f32)> {
    const EVEN: [Shape; 3] = [Shape::Date, Shape::Month, Shape::Digits(8)];
    let shape = |piece: &Piece| EVEN.into_iter().find(|shape| shape.put(&piece.text).valid);
    pieces.iter().filter_map(|piece| Some((shape(piece)?, piece.x()))).collect()
}

/// How far to the right of the first sheet's columns those of another sheet stand, which has no header
/// of its own, and no rules by which the two would have been laid in line.
fn drift(first: &[(Shape, f32)], other: &[(Shape, f32)], em: f32) -> f32 {
    /// The most by which sheets lie differently, in em.
    const MOST: f32 = 4.0;
    let off = |(shape, x): &(Shape, f32)| {
        let same = first.iter().filter(|(known, _)| known == shape);
        same.map(|(_, at)| x - at).min_by(|a, b| a.abs().total_cmp(&b.abs()))
    };
    let drift = super::strip::median(other.iter().filter_map(off)).unwrap_or(0.0);
    if drift.abs() <= MOST * em { drift } else { 0.0 }
}

/// A piece that runs across the edge of two columns is the text of two cells.
fn parts<R>(piece: &Piece, columns: &Columns<R>) -> Vec<Piece> {
    let em = piece.em();
    let crossing = columns
        .iter()
        .map(|(_, edge)| *edge)
        .find(|&edge| piece.at.left + 1.2 * em < edge && edge < piece.at.right - 1.2 * em);
    match crossing
        .and_then(|edge| piece.cut(edge, 1.0 * em))
        .or_else(|| figure_parted(piece, columns))
    {
        Some((left, right)) => {
            let mut all = parts(&left, columns);
            all.extend(parts(&right, columns));
            all
        }
        None => vec![piece.clone()],
    }
}

/// Words and the figure before or after them that stands beyond a column's edge, be it by one digit.
fn figure_parted<R>(piece: &Piece, columns: &Columns<R>) -> Option<(Piece, Piece)> {
    let mut blanks = piece.chars.iter().enumerate().filter(|(_, c)| c.value == ' ');
    let (first, last) = (blanks.next(), blanks.next_back());
    [first, last].into_iter().flatten().find_map(|(blank, _)| {
        let halves = (piece.part(0, blank)?, piece.part(blank + 1, piece.chars.len())?);
        let (left, right) = &halves;
        let edge = columns.iter().any(|(_, edge)| left.x() < *edge && *edge < right.x());
        (edge && is_figures(&left.text) != is_figures(&right.text)).then_some(halves)
    })
}

/// The column that most of a piece stands in.
fn column_of<R: Copy>(piece: &Piece, columns: &Columns<R>) -> Option<R> {
    let mut left = f32::MIN;
    let mut best = (0.0, None);
    for (role, right) in columns {
        let shared = piece.at.right.min(*right) - piece.at.left.max(left);
        if shared > best.0 {
            best = (shared, *role);
        }
        left = *right;
    }
    best.1
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::fixture;
    use super::super::tables::cell;
    use super::*;
    use crate::posteriors::Posteriors;

    const WANTED: &Wanted<u8> = &[(0, &["soluonghopdong"]), (1, &["hopdongtindung", "duno"])];

    fn texts_of(text: &str) -> Vec<String> {
        let piece = &fixture::strip(&[(text, 100.0, 100.0)]).pieces[0];
        heads(piece, WANTED).into_iter().map(|piece| piece.text).collect()
    }

    #[test]
    fn headers_read_as_one_line_are_parted_into_as_few_as_hold_all_words() {
        assert_eq!(texts_of("Số lượng  hợp đồng tín dụng"), ["Số lượng", "hợp đồng tín dụng"]);
        assert_eq!(texts_of("Dư nợ Số lượng hợp đồng"), ["Dư nợ", "Số lượng hợp đồng"]);
        assert_eq!(texts_of("Dư nợ ngày"), ["Dư nợ ngày"]);
    }

    #[test]
    fn headers_close_together_are_two_unless_the_first_is_there_already() {
        const SUMS: &Wanted<u8> =
            &[(0, &["stt"]), (1, &["sotien", "sotienvnd"]), (2, &["usd", "sotienusd"])];
        let columns = |lines: &[(&str, f32, f32)]| -> Vec<(Option<u8>, String)> {
            let below = [("1", 104.0, 130.0), ("22,974", 400.0, 130.0), ("15", 470.0, 130.0)];
            let strip = fixture::strip(&[lines, &below].concat());
            let grid = Grid::of(&strip, SUMS, 2).unwrap();
            grid.cells.into_iter().map(|(role, piece)| (role, piece.text)).collect()
        };
        let stt = ("STT", 100.0, 100.0);
        let parted = [(Some(0), "1"), (Some(1), "22,974"), (Some(2), "15")];
        let parted = parted.map(|(role, text)| (role, text.to_owned()));
        assert_eq!(columns(&[stt, ("Số tiền USD", 400.0, 100.0)]), parted);
        assert_eq!(columns(&[stt, ("Số tiền", 400.0, 100.0), ("USD", 460.0, 100.0)]), parted);
        let vnd = ("Số tiền VND", 250.0, 100.0);
        let dollars = columns(&[stt, vnd, ("Số tiền USD", 400.0, 100.0)]);
        assert!(dollars.contains(&(Some(2), "22,974".to_owned())), "{dollars:?}");
    }

    #[test]
    fn mark_that_stands_in_two_lines_is_read_once() {
        let strip = fixture::strip(&[
            ("Số lượng hợp đồng", 100.0, 100.0),
            ("Dư nợ", 400.0, 100.0),
            ("Tín Việt -", 100.0, 130.0),
            ("-", 171.0, 130.0),
            ("12", 400.0, 130.0),
        ]);
        let grid = Grid::of(&strip, WANTED, 2).unwrap();
        assert_eq!(grid.lines(0)[0].len(), 1);
    }

    #[test]
    fn figure_that_was_read_in_one_line_with_words_is_the_next_columns() {
        let columns: Columns<u8> = vec![(Some(0), 200.0), (Some(1), f32::MAX)];
        let parts_of = |text: &str, left: f32| -> Vec<String> {
            let piece = &fixture::strip(&[(text, left, 100.0)]).pieces[0];
            parts(piece, &columns).into_iter().map(|part| part.text).collect()
        };
        assert_eq!(parts_of("mất vốn 6", 134.0), ["mất vốn", "6"]);
        assert_eq!(parts_of("6 mất vốn", 188.0), ["6", "mất vốn"]);
        // Words go on, and a figure within its column is a part of them.
        assert_eq!(parts_of("mất vốn A", 134.0).len(), 1);
        assert_eq!(parts_of("mất vốn 6", 100.0).len(), 1);
    }

    #[test]
    fn letter_that_stands_apart_from_a_figure_is_none_of_its_digits() {
        let strip = fixture::strip(&[
            ("Số lượng", 100.0, 100.0),
            ("Dư nợ", 400.0, 100.0),
            ("5", 100.0, 130.0),
            ("72", 400.0, 130.0),
            ("B", 425.0, 130.0),
        ]);
        let wanted: &Wanted<u8> = &[(0, &["soluong"]), (1, &["duno"])];
        let amounts = Grid::of(&strip, wanted, 2).unwrap().column(1, Shape::Amount);
        assert_eq!(cell(&amounts[0], Shape::Amount).text, "72");
    }

    #[test]
    fn figure_is_told_from_what_was_read_beside_it() {
        let figure = |lines: &[(&str, f32, f32)], shape| {
            let strip = fixture::strip(lines);
            figure_of(&strip.pieces, shape).map(|figure| figure.text)
        };
        let date = Some("04/07/2021".to_owned());
        assert_eq!(figure(&[("04/07/2021 ƠNG", 100.0, 100.0)], Shape::Date), date);
        let apart = [("73", 100.0, 100.0), ("1HA", 130.0, 100.0)];
        assert_eq!(figure(&apart, Shape::Amount), Some("73".to_owned()));
        // Parts of one number, and two of which nothing says which it is.
        let near = [("1", 100.0, 100.0), (",2O4", 110.0, 100.0)];
        assert_eq!(figure(&near, Shape::Amount), None);
        assert_eq!(figure(&[("73", 100.0, 100.0), ("5", 150.0, 100.0)], Shape::Amount), None);
        // A stroke can be a one that stands a little apart.
        assert_eq!(figure(&[("]", 100.0, 100.0), ("7", 118.0, 100.0)], Shape::Amount), None);
    }

    #[test]
    fn figure_that_was_read_as_something_else_keeps_its_cell_where_the_reader_saw_it_too() {
        let mut sheet = fixture::page(
            0,
            &[
                ("Số lượng", 100.0, 100.0),
                ("Dư nợ", 400.0, 100.0),
                ("5", 100.0, 130.0),
                ("ê", 400.0, 130.0),
                ("7", 100.0, 160.0),
                ("ê", 400.0, 160.0),
            ],
        );
        let mut posteriors = Posteriors::new(400.0, 8.0);
        posteriors.push([(Some('ê'), 0.8), (Some('0'), 0.2)]);
        sheet.lines[3].posteriors = Some(Arc::new(posteriors));
        let wanted: &Wanted<u8> = &[(0, &["soluong"]), (1, &["duno"])];
        let grid = Grid::of(&Strip::of(&[sheet]), wanted, 2).unwrap();
        assert_eq!(grid.column(0, Shape::Amount).len(), 2);
        // The second one was not seen as anything else.
        let amounts = grid.column(1, Shape::Amount);
        assert_eq!(amounts.len(), 1);
        assert_eq!(cell(&amounts[0], Shape::Amount).text, "0");
    }

    #[test]
    fn a_line_that_parts_in_more_ways_than_can_be_counted_is_parted_at_once() {
        let line = |times| vec!["Hợp đồng"; times].join(" ");
        assert_eq!(texts_of(&line(MOST_WORDS / 2)).len(), MOST_WORDS / 2);
        assert_eq!(texts_of(&(line(MOST_WORDS / 2 - 1) + " x y")).len(), 1);
        assert_eq!(texts_of(&line(50_000)).len(), 1);
    }
}
