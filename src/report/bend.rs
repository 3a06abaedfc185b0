//! How a sheet that does not lie flat bends the lines of its picture, so that they can be laid level:
//! on a curled sheet, what stands at one end of a table's row lies beside the next row of its other
//! end.
//!
//! Each line of some length tells how much it falls. A smooth surface is laid through these slopes
//! by least squares, and summed up along x it says how far down a place has gone.

use crate::geometry::Rect;
use crate::text::{Direction, Line, PageText, Rule};

/// Powers of x, and of y, in a slope's polynomial: across a sheet it changes faster than down it.
const ACROSS: usize = 4;
const DOWN: usize = 3;
const TERMS: usize = ACROSS * DOWN;
/// Fewer lines than these say nothing about a sheet.
const FEWEST: usize = 3 * TERMS;
/// What a coefficient costs, as a share of what the lines weigh: where there are none, a sheet is flat.
const RIDGE: f64 = 1e-3;
/// Slopes that are this many times as far off as most are those of stamps and signatures.
const ASKEW: f64 = 3.0;
/// Slopes are told as well as this, whatever the lines say.
const EXACT: f64 = 0.002;
/// A page whose lines stay level to so many em is taken to lie flat.
const LEVEL: f32 = 0.25;

/// A page's bend.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bend {
    /// The page's middle and half of its width and height, in pixels.
    middle: (f32, f32),
    half: (f32, f32),
    /// Of x^i·y^j, in halves of the page from its middle, at `i * DOWN + j`.
    slope: [f64; TERMS],
}

impl Bend {
    /// That of a page, where its lines tell one.
    pub fn of(page: &PageText) -> Option<Self> {
        let half = (page.width.max(1) as f32 / 2.0, page.height.max(1) as f32 / 2.0);
        let mut bend = Self { middle: half, half, slope: [0.0; TERMS] };
        let em = super::strip::median(page.lines.iter().map(Line::em))?;
        let weight = |rect: &Rect| f64::from(rect.width() / em);
        let lines = page.lines.iter().filter_map(|line| {
            let at = line.rect.centre();
            let (x, y) = bend.place(at.x, at.y);
            let slope = f64::from(line.slope?);
            Some(Told { terms: terms(x, y), slope, weight: weight(&line.rect) })
        });
        let level = |rule: &&Rule| rule.direction == Direction::Horizontal;
        let rules = page.rules.iter().filter(level).map(|rule| {
            let (rect, y) = (&rule.rect, rule.rect.centre().y);
            let [from, to] = [rect.left, rect.right].map(|x| bend.place(x, y));
            let (before, after) = (summed(from.0, from.1), summed(to.0, to.1));
            let length = (to.0 - from.0).max(f64::MIN_POSITIVE);
            let terms = std::array::from_fn(|at| (after[at] - before[at]) / length);
            let slope = f64::from(rule.fall / rect.width().max(1.0));
            Told { terms, slope, weight: weight(rect) }
        });
        let told: Vec<Told> = lines.chain(rules).collect();
        if told.len() < FEWEST {
            return None;
        }
        let mut kept: Vec<&Told> = told.iter().collect();
        for _ in 0..3 {
            bend.slope = fitted(&kept)?;
            let off = |told: &Told| (told.slope - sum(&bend.slope, &told.terms)).abs();
            let mut offs: Vec<f64> = told.iter().map(off).collect();
            let middle = offs.len() / 2;
            let most = (ASKEW * *offs.select_nth_unstable_by(middle, f64::total_cmp).1).max(EXACT);
            kept = told.iter().filter(|told| off(told) <= most).collect();
        }
        let fall = |line: &Line| {
            let at = line.rect.centre();
            bend.fall(at.x, at.y).abs()
        };
        page.lines.iter().any(|line| fall(line) > LEVEL * em).then_some(bend)
    }

    /// How many pixels lower a place lies than the middle of its line.
    pub fn fall(&self, x: f32, y: f32) -> f32 {
        let (x, y) = self.place(x, y);
        sum(&self.slope, &summed(x, y)) as f32 * self.half.0
    }

    fn place(&self, x: f32, y: f32) -> (f64, f64) {
        let share =
            |at: f32, middle: f32, half: f32| f64::from(((at - middle) / half).clamp(-1.0, 1.0));
        (share(x, self.middle.0, self.half.0), share(y, self.middle.1, self.half.1))
    }
}

/// What a line or a rule says.
struct Told {
    terms: [f64; TERMS],
    slope: f64,
    weight: f64,
}

fn terms(x: f64, y: f64) -> [f64; TERMS] {
    std::array::from_fn(|at| x.powi((at / DOWN) as i32) * y.powi((at % DOWN) as i32))
}

/// The terms' integrals along x, from the middle on.
fn summed(x: f64, y: f64) -> [f64; TERMS] {
    let terms = terms(x, y);
    std::array::from_fn(|at| terms[at] * x / (at / DOWN + 1) as f64)
}

fn sum(slope: &[f64; TERMS], terms: &[f64; TERMS]) -> f64 {
    slope.iter().zip(terms).map(|(a, b)| a * b).sum()
}

/// The coefficients that fit best, by weighted least squares.
fn fitted(told: &[&Told]) -> Option<[f64; TERMS]> {
    let mut rows = [[0.0; TERMS + 1]; TERMS];
    let mut all = 0.0;
    for Told { terms, slope, weight } in told {
        all += weight;
        for (row, a) in rows.iter_mut().zip(terms) {
            for (sum, b) in row.iter_mut().zip(terms.iter().chain([slope])) {
                *sum += weight * a * b;
            }
        }
    }
    // The mean slope is free.
    for (at, row) in rows.iter_mut().enumerate().skip(1) {
        row[at] += RIDGE * all;
    }
    solved(rows)
}

/// Solves linear equations, the right side last, by elimination; none where they do not tell.
fn solved(mut rows: [[f64; TERMS + 1]; TERMS]) -> Option<[f64; TERMS]> {
    for at in 0..TERMS {
        let largest =
            (at..TERMS).max_by(|&a, &b| rows[a][at].abs().total_cmp(&rows[b][at].abs()))?;
        rows.swap(at, largest);
        if rows[at][at].abs() < 1e-9 {
            return None;
        }
        rows[at] = rows[at].map(|value| value / rows[at][at]);
        let pivot = rows[at];
        for (_, row) in rows.iter_mut().enumerate().filter(|(other, _)| *other != at) {
            let share = row[at];
            for (value, above) in row.iter_mut().zip(&pivot) {
                *value -= share * above;
            }
        }
    }
    Some(rows.map(|[.., right]| right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::line;
    use crate::report::strip::{Strip, rows};

    /// How far a sheet's lines have fallen at a place of a page of 1000 by 1400 px.
    fn curl(x: f32, y: f32) -> f32 {
        let from_middle = x - 500.0;
        (1.6e-4 * from_middle * from_middle + 0.02 * from_middle) * (0.5 + y / 1400.0)
    }

    /// A page of lines of ten letters that lie as they do on such a sheet.
    fn page(fall: fn(f32, f32) -> f32) -> PageText {
        let mut page = PageText { width: 1000, height: 1400, ..PageText::default() };
        for (row, column) in (0..40).flat_map(|row| (0..6).map(move |column| (row, column))) {
            let (left, top) = (60.0 + 150.0 * column as f32, 40.0 + 32.0 * row as f32);
            let (x, y) = (left + 40.0, top + 11.0);
            let slope = (fall(x + 40.0, y) - fall(x - 40.0, y)) / 80.0;
            let moved = line("0123456789", left, top + fall(x, y));
            page.lines.push(Line { slope: Some(slope), ..moved });
        }
        page
    }

    #[track_caller]
    fn assert_told(page: &PageText) {
        let bend = Bend::of(page).expect("a bend");
        for (x, y) in [(60.0, 60.0), (950.0, 60.0), (300.0, 700.0), (900.0, 1300.0)] {
            let (told, is) = (bend.fall(x, y + curl(x, y)), curl(x, y));
            assert!((told - is).abs() < 2.0 + 0.05 * is.abs(), "{told} for {is} at {x}, {y}");
        }
    }

    #[test]
    fn bend_is_told_by_lines() {
        assert_told(&page(curl));
    }

    #[test]
    fn rows_of_a_curled_sheet_are_level_on_the_strip() {
        let mut page = page(curl);
        // What would be the date in a margin, if it stood below all else.
        let last = page.lines.pop().unwrap();
        let date = line("13/06/2022", last.rect.left, last.rect.top);
        page.lines.push(Line { slope: last.slope, ..date });
        let fallen = page.lines.iter().map(|line| curl(line.rect.centre().x, line.rect.top));
        assert!(fallen.fold(0.0, f32::max) > 32.0, "one end of a row lies beside the next one");
        let strip = Strip::of(&[page]);
        let rows = rows(&strip.pieces);
        assert!(rows.len() == 40 && rows.iter().all(|row| row.len() == 6));
        let back = strip.frames[0].back(&rows[39][5].at).unwrap();
        assert!((back.centre().y - rows[39][5].rect.centre().y).abs() < 4.0);
    }

    #[test]
    fn lines_of_a_stamp_tell_nothing() {
        let mut page = page(curl);
        page.lines.extend((0..20).map(|at| {
            let askew = line("NGÂN HÀNG", 600.0, 300.0 + 10.0 * at as f32);
            Line { slope: Some(0.11), ..askew }
        }));
        assert_told(&page);
    }

    #[test]
    fn bend_is_told_by_rules_where_columns_are_narrow() {
        let mut page = page(curl);
        page.lines.retain(|line| line.rect.left < 400.0);
        page.rules = (0..30)
            .map(|row| {
                let y = 50.0 + 45.0 * row as f32;
                let falls = [curl(60.0, y), curl(500.0, y), curl(960.0, y)];
                let [top, bottom] =
                    [f32::min, f32::max].map(|of| falls.into_iter().fold(falls[0], of));
                let rect = Rect::new(60.0, y + top, 960.0, y + bottom);
                Rule { fall: falls[2] - falls[0], ..Rule::level(Direction::Horizontal, rect) }
            })
            .collect();
        assert_told(&page);
    }

    #[test]
    fn flat_sheets_and_pages_of_a_few_lines_have_none() {
        assert!(Bend::of(&page(|_, _| 0.0)).is_none());
        let mut few = page(curl);
        few.lines.truncate(FEWEST - 1);
        assert!(Bend::of(&few).is_none());
        let mut wild = page(curl);
        for line in &mut wild.lines {
            line.slope = Some(f32::NAN);
            line.rect.right = f32::INFINITY;
        }
        assert!(Bend::of(&wild).is_none());
    }
}
