//! Which line belongs to which row: dynamic programmes over heights, with the rules between as
//! evidence and never as a condition, since any of them may be missing or broken.

/// A visual line of a column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Height of its middle.
    pub y: f32,
    /// Rules between it and the line above it in the same column.
    pub ruled: bool,
    /// Whether it reads like the first line of a cell, where that can be told.
    pub begins: Option<bool>,
}

/// What lines are allotted to: a row of a table, or a label.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anchor {
    /// Height of its first line's middle.
    pub top: f32,
    /// Height of its own middle.
    pub middle: f32,
}

/// How cells of several lines stand beside cells of one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rest {
    Top,
    Middle,
}

/// Cost of a line that belongs nowhere, in em.
const STRAY: f32 = 2.2;
/// Cost of an anchor without lines.
const EMPTY: f32 = 1.2;
/// Cost of a rule between lines of one cell, or between a cell and its anchor.
const RULED: f32 = 3.0;
/// Cost of a line within a cell that reads like the first one of another, in em.
const BEGINS: f32 = 1.0;
/// A line so many em from an anchor, or a row from its holder, is never one of its own.
const FAR: f32 = 100.0;
/// Lines of one cell at most: a long name in a column of two syllables.
const LINES: usize = 16;

/// Gives each line its anchor, in order: every anchor gets neighbouring lines, which lie about its
/// middle or run down from its top (whichever fits the whole column better).
///
/// `rules(line, anchor)` counts the rules between a height and an anchor.
pub(super) fn allot(
    lines: &[Line],
    anchors: &[Anchor],
    em: f32,
    rules: impl Fn(f32, usize) -> usize,
) -> Vec<Option<usize>> {
    let top = allot_one(lines, anchors, em, &rules, Rest::Top);
    let middle = allot_one(lines, anchors, em, &rules, Rest::Middle);
    if top.0 < middle.0 { top.1 } else { middle.1 }
}

fn allot_one(
    lines: &[Line],
    anchors: &[Anchor],
    em: f32,
    rules: &impl Fn(f32, usize) -> usize,
    rest: Rest,
) -> (f32, Vec<Option<usize>>) {
    let (n, m) = (lines.len(), anchors.len());
    // best[i][j]: the cost of the first i lines and j anchors, and how many lines anchor j - 1
    // got in it; `n + 1` stands for a stray line.
    let mut best = vec![vec![(f32::INFINITY, 0_usize); m + 1]; n + 1];
    best[0][0] = (0.0, 0);
    for i in 0..=n {
        for j in 0..=m {
            let mut cell = best[i][j];
            if i > 0 {
                let cost = best[i - 1][j].0 + STRAY;
                if cost < cell.0 {
                    cell = (cost, n + 1);
                }
            }
            if j > 0 {
                let anchor = &anchors[j - 1];
                let far = |line: &Line| (line.y - anchor.middle).abs() > FAR * em;
                let most = if i > 0 && far(&lines[i - 1]) { 0 } else { LINES.min(i) };
                // What the steps between the lines taken cost, summed up as they become more.
                let mut steps = 0.0;
                for taken in 0..=most {
                    let group = &lines[i - taken..i];
                    if let [above, below, ..] = group {
                        steps += step_cost(above, below, em);
                    }
                    let cost = best[i - taken][j - 1].0
                        + steps
                        + place_cost(group, anchor, em, rest, |y| rules(y, j - 1));
                    if cost < cell.0 {
                        cell = (cost, taken);
                    }
                }
            }
            best[i][j] = cell;
        }
    }
    let mut found = vec![None; n];
    let (mut i, mut j) = (n, m);
    while i > 0 || j > 0 {
        let taken = best[i][j].1;
        if taken == n + 1 {
            i -= 1;
            continue;
        }
        if j == 0 {
            break;
        }
        for slot in &mut found[i - taken..i] {
            *slot = Some(j - 1);
        }
        i -= taken;
        j -= 1;
    }
    (best[n][m].0, found)
}

/// What it costs that lines stand where they do beside their anchor.
fn place_cost(
    group: &[Line],
    anchor: &Anchor,
    em: f32,
    rest: Rest,
    rules: impl Fn(f32) -> usize,
) -> f32 {
    let (Some(first), Some(last)) = (group.first(), group.last()) else { return EMPTY };
    let (at, to) = match rest {
        Rest::Top => (first.y, anchor.top),
        Rest::Middle => ((first.y + last.y) / 2.0, anchor.middle),
    };
    (at - to).abs() / em + RULED * rules(at).min(2) as f32
}

/// What it costs that two lines are neighbours in one cell: they follow each other closely.
fn step_cost(above: &Line, below: &Line, em: f32) -> f32 {
    let ruled = match (below.ruled, below.begins) {
        (false, _) => 0.0,
        // More likely, the rule shines through the sheet.
        (true, Some(false)) => RULED / 2.0,
        (true, _) => RULED,
    };
    let begins = if below.begins == Some(true) { BEGINS } else { 0.0 };
    ruled + begins + ((below.y - above.y) / em - 1.65).max(0.0) * 6.0
}

/// Joins columns of single-line cells into rows: each row holds at most one entry of each column,
/// in the order of heights. `rules(column, entry, y)` counts the rules between an entry and a
/// height.
pub(super) fn rows(
    columns: &[Vec<f32>],
    em: f32,
    rules: impl Fn(usize, usize, f32) -> usize,
) -> Vec<Vec<Option<usize>>> {
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.sort_by_key(|&c| std::cmp::Reverse(columns.get(c).map_or(0, Vec::len)));
    let mut rows: Vec<(f32, Vec<Option<usize>>)> = Vec::new();
    for column in order {
        let heights = columns.get(column).map_or(&[][..], Vec::as_slice);
        let seen: Vec<f32> = rows.iter().map(|row| nearest_height(row, columns, column)).collect();
        let matched = match_heights(&seen, heights, em, |entry, y| rules(column, entry, y));
        for (entry, &y) in heights.iter().enumerate() {
            match matched.get(entry).copied().flatten().and_then(|row| rows.get_mut(row)) {
                Some((_, cells)) => cells[column] = Some(entry),
                None => {
                    let mut cells = vec![None; columns.len()];
                    cells[column] = Some(entry);
                    rows.push((y, cells));
                }
            }
        }
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    rows.into_iter().map(|(_, cells)| cells).collect()
}

/// The height of a row's cell that stands nearest to a column: where the page leans, those further
/// away stand beside other rows.
fn nearest_height(
    (y, cells): &(f32, Vec<Option<usize>>),
    columns: &[Vec<f32>],
    column: usize,
) -> f32 {
    let heights = cells.iter().zip(columns).enumerate();
    heights
        .filter_map(|(other, (entry, heights))| Some((other, heights.get((*entry)?)?)))
        .min_by_key(|(other, _)| other.abs_diff(column))
        .map_or(*y, |(_, height)| *height)
}

/// For each height the row it belongs to, order kept.
fn match_heights(
    rows: &[f32],
    heights: &[f32],
    em: f32,
    rules: impl Fn(usize, f32) -> usize,
) -> Vec<Option<usize>> {
    const GAP: f32 = 0.75;
    let (n, m) = (heights.len(), rows.len());
    // A page that still leans moves a whole column up or down.
    let nearest = heights
        .iter()
        .filter_map(|y| rows.iter().map(|row| row - y).min_by(|a, b| a.abs().total_cmp(&b.abs())));
    let lean = super::strip::median(nearest).unwrap_or(0.0);
    let mut best = vec![vec![(f32::INFINITY, 0_u8); m + 1]; n + 1];
    best[0][0] = (0.0, 0);
    for i in 0..=n {
        for j in 0..=m {
            let mut cell = best[i][j];
            if i > 0 && best[i - 1][j].0 + GAP < cell.0 {
                cell = (best[i - 1][j].0 + GAP, 1);
            }
            if j > 0 && best[i][j - 1].0 + GAP < cell.0 {
                cell = (best[i][j - 1].0 + GAP, 2);
            }
            if i > 0 && j > 0 {
                let away = (heights[i - 1] + lean - rows[j - 1]).abs() / em;
                let ruled = rules(i - 1, rows[j - 1]) as f32;
                let cost = best[i - 1][j - 1].0 + away + 0.6 * ruled.min(2.0);
                if cost < cell.0 && away < 1.6 {
                    cell = (cost, 3);
                }
            }
            best[i][j] = cell;
        }
    }
    let mut matched = vec![None; n];
    let (mut i, mut j) = (n, m);
    while i > 0 || j > 0 {
        match best[i][j].1 {
            1 => i -= 1,
            2 => j -= 1,
            3 => {
                matched[i - 1] = Some(j - 1);
                i -= 1;
                j -= 1;
            }
            _ => break,
        }
    }
    matched
}

/// What spans a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Held {
    /// The holder; none where none seems to span it.
    pub by: Option<usize>,
    /// Whether it would be another one if holders stood otherwise beside their rows, which they may
    /// nearly as well.
    pub is_doubtful: bool,
}

/// Parts rows among the holders that span them, in order, each holder with one row at least
/// while rows last. A holder stands beside its first row, which costs less by `at_top`, in em, or
/// about the middle of its rows.
///
/// `parted(i)` says whether a rule parts row `i` from the one above in the holders' column, and
/// whether one does so in the rows' columns only, `rules(y, holder)` counts the rules between a height and a holder, and `fits(from, to, holder)`
/// is what is gained when the holder takes these rows, in em.
pub(super) fn partition(
    rows: &[f32],
    holders: &[f32],
    em: f32,
    at_top: f32,
    parted: impl Fn(usize) -> (bool, bool),
    rules: impl Fn(f32, usize) -> usize,
    fits: impl Fn(usize, usize, usize) -> f32,
) -> Vec<Held> {
    /// What speaks so little more for one of the two, in em, decides nothing.
    const LEAD: f32 = 0.5;
    let one = |rest| partition_one(rows, holders, em, &parted, &rules, &fits, rest);
    let (top, middle) = (one(Rest::Top), one(Rest::Middle));
    let ahead = middle.0 - (top.0 - at_top);
    let (found, other) = if ahead >= 0.0 { (top.1, middle.1) } else { (middle.1, top.1) };
    let held = |(by, other)| Held { by, is_doubtful: by != other && ahead.abs() < LEAD };
    found.into_iter().zip(other).map(held).collect()
}

fn partition_one(
    rows: &[f32],
    holders: &[f32],
    em: f32,
    parted: &impl Fn(usize) -> (bool, bool),
    rules: &impl Fn(f32, usize) -> usize,
    fits: &impl Fn(usize, usize, usize) -> f32,
    rest: Rest,
) -> (f32, Vec<Option<usize>>) {
    // More than false rules on all sides of a row come to: those that shine through the sheet.
    const UNHELD: f32 = 8.0;
    let (n, m) = (rows.len(), holders.len());
    let mut best = vec![vec![(f32::INFINITY, 0_usize); m + 1]; n + 1];
    best[0][0] = (0.0, 0);
    for i in 0..=n {
        for j in 0..=m {
            let mut cell = best[i][j];
            if i > 0 && best[i - 1][j].0 + UNHELD < cell.0 {
                cell = (best[i - 1][j].0 + UNHELD, n + 1);
            }
            if j > 0 {
                if best[i][j - 1].0 + 2.0 * UNHELD < cell.0 {
                    cell = (best[i][j - 1].0 + 2.0 * UNHELD, 0);
                }
                // What rules cost in the rows taken, summed up as they become more.
                let mut ruled = 0.0;
                let holder = holders[j - 1];
                let is_far = i > 0 && (rows[i - 1] - holder).abs() > FAR * em;
                for taken in 1..=if is_far { 0 } else { i.min(40) } {
                    let from = i - taken;
                    let at = match rest {
                        Rest::Top => rows[from],
                        Rest::Middle => (rows[from] + rows[i - 1]) / 2.0,
                    };
                    let mut cost = best[from][j - 1].0 + ((at - holder).abs() / em).min(6.0);
                    if taken > 1 && parted(from + 1).0 {
                        ruled += RULED;
                    }
                    ruled += 2.0 * rules(rows[from], j - 1).min(2) as f32;
                    cost += ruled;
                    if from > 0 && parted(from).1 {
                        cost += RULED;
                    }
                    cost -= fits(from, i, j - 1);
                    if cost < cell.0 {
                        cell = (cost, taken);
                    }
                }
            }
            best[i][j] = cell;
        }
    }
    let mut found = vec![None; n];
    let (mut i, mut j) = (n, m);
    while i > 0 || j > 0 {
        let taken = best[i][j].1;
        if taken == n + 1 {
            i -= 1;
            continue;
        }
        if j == 0 {
            break;
        }
        for slot in &mut found[i - taken..i] {
            *slot = Some(j - 1);
        }
        i -= taken;
        j -= 1;
    }
    (best[n][m].0, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(ys: &[f32]) -> Vec<Line> {
        ys.iter().map(|&y| Line { y, ruled: false, begins: None }).collect()
    }

    #[test]
    fn line_that_begins_a_cell_goes_on_with_none() {
        // The second cell's first line stands beside its anchor, as do the middles of all but the
        // first line.
        let beginning = |y, begins| Line { y, ruled: false, begins: Some(begins) };
        let lines = [
            beginning(100.0, true),
            beginning(118.0, false),
            beginning(138.0, true),
            beginning(157.0, false),
        ];
        let found = allot(&lines, &anchors(&[100.2, 137.6]), 14.0, |_, _| 0);
        assert_eq!(found, [Some(0), Some(0), Some(1), Some(1)]);
    }

    #[test]
    fn false_rule_above_a_line_that_goes_on_leaves_it_in_its_cell() {
        let ruled = |begins| Line { y: 120.0, ruled: true, begins };
        let first = Line { y: 100.0, ruled: false, begins: Some(true) };
        let allotted = |second| allot(&[first, second], &anchors(&[100.0]), 14.0, |_, _| 0);
        assert_eq!(allotted(ruled(Some(false))), [Some(0), Some(0)]);
        assert_eq!(allotted(ruled(None)), [Some(0), None]);
    }

    fn holders(held: Vec<Held>) -> Vec<Option<usize>> {
        held.into_iter().map(|held| held.by).collect()
    }

    fn anchors(ys: &[f32]) -> Vec<Anchor> {
        ys.iter().map(|&y| Anchor { top: y, middle: y }).collect()
    }

    #[test]
    fn wrapped_cells_lie_about_the_middle_of_their_row() {
        let lines = lines(&[90.0, 110.0, 150.0, 190.0, 210.0]);
        let found = allot(&lines, &anchors(&[100.0, 150.0, 200.0]), 16.0, |_, _| 0);
        assert_eq!(found, [Some(0), Some(0), Some(1), Some(2), Some(2)]);
    }

    #[test]
    fn wrapped_cells_run_down_from_the_top_of_their_row() {
        let lines = lines(&[100.0, 120.0, 150.0, 180.0, 200.0]);
        let found = allot(&lines, &anchors(&[100.0, 150.0, 180.0]), 16.0, |_, _| 0);
        assert_eq!(found, [Some(0), Some(0), Some(1), Some(2), Some(2)]);
    }

    #[test]
    fn row_without_a_cell_stays_blank() {
        let found =
            allot(&lines(&[100.0, 200.0]), &anchors(&[100.0, 150.0, 200.0]), 16.0, |_, _| 0);
        assert_eq!(found, [Some(0), Some(2)]);
    }

    #[test]
    fn no_row_goes_without_its_cell_to_put_two_lines_nearer_to_another() {
        // Cells that stand half a line lower than their rows.
        let lines = lines(&[113.0, 140.0, 168.0]);
        let found = allot(&lines, &anchors(&[100.0, 129.0, 160.0]), 22.0, |_, _| 0);
        assert_eq!(found, [Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn columns_twice_as_long_take_twice_as_much_to_allot() {
        let asked = std::cell::Cell::new(0);
        let rules = |_: f32, _: usize| {
            asked.set(asked.get() + 1);
            0
        };
        let effort = |rows: usize| {
            let heights: Vec<f32> = (0..rows).map(|i| 30.0 * i as f32).collect();
            let own: Vec<Option<usize>> = (0..rows).map(Some).collect();
            asked.set(0);
            assert_eq!(allot(&lines(&heights), &anchors(&heights), 16.0, rules), own);
            let none = |_| (false, false);
            let found = partition(&heights, &heights, 16.0, 0.0, none, rules, |_, _, _| 0.0);
            assert_eq!(holders(found), own);
            asked.get()
        };
        assert!(effort(800) < 5 * effort(400) / 2);
    }

    #[test]
    fn line_far_from_every_row_is_stray() {
        let found = allot(&lines(&[100.0, 300.0]), &anchors(&[100.0]), 16.0, |_, _| 0);
        assert_eq!(found, [Some(0), None]);
    }

    #[test]
    fn rows_survive_a_missed_cell_and_a_leaning_page() {
        let columns = [vec![100.0, 125.0, 150.0, 175.0], vec![106.0, 156.0, 181.0]];
        assert_eq!(
            rows(&columns, 16.0, |_, _, _| 0),
            [
                vec![Some(0), Some(0)],
                vec![Some(1), None],
                vec![Some(2), Some(1)],
                vec![Some(3), Some(2)]
            ]
        );
    }

    #[test]
    fn rows_that_lean_by_nearly_one_are_followed_from_column_to_column() {
        let column = |down: f32| (0..4).map(|row| 100.0 + 40.0 * row as f32 + down).collect();
        let columns: Vec<Vec<f32>> = [0.0, 12.0, 24.0, 36.0].map(column).to_vec();
        let own: Vec<_> = (0..4).map(|row| vec![Some(row); 4]).collect();
        assert_eq!(rows(&columns, 20.0, |_, _, _| 0), own);
    }

    #[test]
    fn cell_that_only_one_column_has_makes_a_row_of_its_own() {
        let columns = [vec![100.0, 150.0], vec![100.0, 125.0, 150.0]];
        assert_eq!(rows(&columns, 16.0, |_, _, _| 0).len(), 3);
    }

    fn parted(rows: &[f32], holders: &[f32]) -> Vec<Option<usize>> {
        let none = |_| (false, false);
        self::holders(partition(rows, holders, 16.0, 0.0, none, |_, _| 0, |_, _, _| 0.0))
    }

    #[test]
    fn holders_stand_beside_their_first_row_or_amid_their_rows() {
        let rows = [100.0, 125.0, 150.0, 175.0];
        assert_eq!(parted(&rows, &[100.0, 175.0]), [Some(0), Some(0), Some(0), Some(1)]);
        assert_eq!(parted(&rows, &[125.0, 175.0]), [Some(0), Some(0), Some(0), Some(1)]);
    }

    #[test]
    fn rows_that_two_holders_may_span_equally_well_are_doubtful() {
        // One row and three about the last holder, or two and two below theirs.
        let rows = [100.0, 130.0, 160.0, 190.0, 220.0];
        let at = [100.0, 130.0, 190.0];
        let doubtful = |at_top| -> Vec<bool> {
            let none = |_| (false, false);
            let held = partition(&rows, &at, 16.0, at_top, none, |_, _| 0, |_, _, _| 0.0);
            held.iter().map(|held| held.is_doubtful).collect()
        };
        assert_eq!(doubtful(0.0), [false, false, true, false, false]);
        assert_eq!(doubtful(1.0), [false; 5]);
    }

    #[test]
    fn where_holders_stand_decides_between_rows_parted_in_two_ways() {
        // One row and seven about the second holder, or four and four.
        let rows: Vec<f32> = (0..8).map(|i| 100.0 + 25.0 * i as f32).collect();
        let parted = |at_top| {
            let none = |_| (false, false);
            holders(partition(&rows, &[100.0, 200.0], 16.0, at_top, none, |_, _| 0, |_, _, _| 0.0))
        };
        let first = |found: Vec<Option<usize>>| found.iter().filter(|h| **h == Some(0)).count();
        assert_eq!((first(parted(1.0)), first(parted(-1.0))), (4, 1));
    }

    #[test]
    fn a_cell_has_as_many_lines_as_a_long_name_takes() {
        let heights: Vec<f32> = (0..13).map(|i| 300.0 + 20.0 * i as f32).collect();
        let all: Vec<f32> = [100.0, 120.0].into_iter().chain(heights).collect();
        let found = allot(&lines(&all), &anchors(&[100.0, 300.0]), 16.0, |_, _| 0);
        let own = |at: usize| if at < 2 { Some(0) } else { Some(1) };
        assert_eq!(found, (0..15).map(own).collect::<Vec<_>>());
    }

    #[test]
    fn rules_decide_which_rows_a_holder_spans() {
        let rows = [100.0, 125.0, 150.0, 175.0];
        let found = partition(
            &rows,
            &[112.0, 160.0],
            16.0,
            0.0,
            |row| (row == 1, row != 1),
            |y, holder| usize::from((y < 112.0) != (holder == 0)),
            |_, _, _| 0.0,
        );
        assert_eq!(holders(found), [Some(0), Some(1), Some(1), Some(1)]);
    }
}
