//! The outline of a sheet, found by its four edges at once: slower than looking for one after the
//! other, but sheets that lie far from straight, on a table hardly darker than they are, or half in
//! a shadow are found too.
//!
//! An edge shows as the same step in brightness, as a share, wherever light and shadow fall on it.
//! Straight rows of such steps are gathered (Duda and Hart, "Use of the Hough transformation to
//! detect lines and curves in pictures", 1972), and of all sets of four the one is taken that most of
//! its own length can be seen of.
//!
//! Invariant: what is found has A4's proportions, is brighter than what lies around it, and all its
//! edges are seen.

use std::f64::consts::TAU;

use image::{DynamicImage, GrayImage, RgbImage};

use super::{A4, Dot, Edge, SIDES, Side, corners, is_sheet};

/// Steps smaller than this, as a share of brightness, are grain.
const MIN_STEP: f32 = 0.035;
/// The same of hue.
const MIN_HUE_STEP: f32 = 0.02;
/// More steps than these are grain: the smallest are left out.
const MOST_STEPS: usize = 4000;
/// Added to every level: below it, a camera's noise is a large share of brightness.
const DARK: f32 = 12.0;
/// Pixels on either side of an edge that are compared, along and across it.
const DEEP: usize = 3;
const WIDE: usize = 2;
/// Directions that lines are told apart in: one a degree.
const DIRECTIONS: usize = 360;
/// How far a step's own direction may be off its line's, in degrees.
const VAGUE: isize = 6;
/// How far a step may be off its line, in pixels: a sheet that does not lie flat has bent edges.
const BENT: f64 = 1.8;
/// Lines looked at for each side of a sheet.
const CANDIDATES: usize = 14;
/// Share of its length that must be seen of each edge, and of all together.
const MIN_SEEN: f64 = 0.3;
const MIN_SEEN_OF_ALL: f64 = 0.62;
/// What a pixel of an edge that is not seen takes from those that are: of two outlines seen equally
/// well the larger one is the sheet's, and not a part of it.
const UNSEEN: f64 = 0.5;
/// Share of a picture that a photographed sheet fills at most: a scanned one fills more of it.
const MAX_FILLED: f64 = 0.88;
/// Long side over short side, give or take this share, of A4 seen from aside.
const TOLERANCE: f64 = 0.07;
/// The same of a picture that a scanner made of a sheet of A4; no camera's comes so close.
const SCANNED: f64 = 0.03;
/// Share of a scanned picture's width that a sheet fills at least.
const MIN_WIDE: f64 = 0.9;

/// The edges of the sheet in a picture, on a small one of its brightness, where it can be made out.
pub(super) fn find(picture: &DynamicImage, small: &GrayImage) -> Option<[Edge; 4]> {
    let field = Field::of_brightness(small);
    let size = (field.width, field.height);
    let brightness = field.steps(MIN_STEP);
    let outline = |steps: &[Step]| best(&lines(steps, size), (size.0 as f64, size.1 as f64));
    let found = match picture {
        DynamicImage::ImageRgb8(rgb) => {
            let hue = Field::of_hue(rgb, size).steps(MIN_HUE_STEP);
            // Paper is bluer than the table all around, or redder.
            let with = |turn: f64| {
                let hue = hue.iter().map(|step| Step { direction: step.direction + turn, ..*step });
                outline(&brightness.iter().copied().chain(hue).collect::<Vec<_>>())
            };
            let (bluer, redder) = rayon::join(|| with(0.0), || with(180.0));
            bluer.into_iter().chain(redder).max_by(|a, b| a.0.total_cmp(&b.0))
        }
        _ => outline(&brightness),
    };
    found.map(|(_, edges)| edges.map(|edge| edge.scaled(2.0)))
}

/// Logarithms of what a picture shows, at half the small one's size and without print.
struct Field {
    width: usize,
    height: usize,
    /// Sums over all pixels above and to the left; one row and one column more than the picture.
    sums: Vec<f32>,
}

/// A place where it becomes brighter.
#[derive(Clone, Copy)]
struct Step {
    x: f64,
    y: f64,
    /// Whither it becomes brighter, in degrees clockwise from the right.
    direction: f64,
}

impl Field {
    fn of_brightness(small: &GrayImage) -> Self {
        let (width, height) = ((small.width() / 2) as usize, (small.height() / 2) as usize);
        let (raw, line) = (small.as_raw(), small.width() as usize);
        let mut levels = vec![0u8; width * height];
        for (y, row) in levels.chunks_exact_mut(width.max(1)).enumerate() {
            let (upper, lower) = (&raw[2 * y * line..], &raw[(2 * y + 1) * line..]);
            for (x, level) in row.iter_mut().enumerate() {
                *level = upper[2 * x].max(upper[2 * x + 1]).max(lower[2 * x]).max(lower[2 * x + 1]);
            }
        }
        // Print is narrower than this, and paper comes back to where it was.
        let levels = spread(&spread(&levels, width, u8::max), width, u8::min);
        let share: Vec<f32> = (0..=255u8).map(|level| (f32::from(level) + DARK).ln()).collect();
        Self::new((width, height), |x, y| share[usize::from(levels[y * width + x])])
    }

    /// Blue over red: no shadow and no grain changes it much.
    fn of_hue(picture: &RgbImage, (width, height): (usize, usize)) -> Self {
        /// So many pixels of each row and column of those that become one are looked at.
        const LOOKS: usize = 4;
        const ALL: usize = LOOKS * LOOKS;
        let share: Vec<f32> =
            (0..=ALL * 255).map(|sum| (sum as f32 / ALL as f32 + DARK).ln()).collect();
        let (raw, full) = (picture.as_raw(), (picture.width() as usize, picture.height() as usize));
        // Where looks fall in a row or a column, those of one small pixel after the other.
        let places = |small: usize, full: usize, stride: usize| -> Vec<usize> {
            let place = |look| (look * full + full / 2) / (small * LOOKS);
            (0..small * LOOKS).map(|look| place(look).min(full - 1) * stride).collect()
        };
        let (columns, rows) = (places(width, full.0, 3), places(height, full.1, 3 * full.0));
        Self::new((width, height), |x, y| {
            let (mut red, mut blue) = (0, 0);
            for row in &rows[y * LOOKS..(y + 1) * LOOKS] {
                for column in &columns[x * LOOKS..(x + 1) * LOOKS] {
                    let at = row + column;
                    red += usize::from(raw[at]);
                    blue += usize::from(raw[at + 2]);
                }
            }
            share[blue] - share[red]
        })
    }

    fn new((width, height): (usize, usize), value: impl Fn(usize, usize) -> f32) -> Self {
        let mut sums = vec![0.0; (width + 1) * (height + 1)];
        for y in 0..height {
            let mut row = 0.0;
            for x in 0..width {
                row += value(x, y);
                sums[(y + 1) * (width + 1) + x + 1] = sums[y * (width + 1) + x + 1] + row;
            }
        }
        Self { width, height, sums }
    }

    /// Sum from a pixel to another, which is not part of it.
    fn sum(&self, (left, top): (usize, usize), (right, bottom): (usize, usize)) -> f32 {
        let at = |x: usize, y: usize| self.sums[y * (self.width + 1) + x];
        at(right, bottom) - at(left, bottom) - at(right, top) + at(left, top)
    }

    /// Where steps are largest across themselves.
    fn steps(&self, least: f32) -> Vec<Step> {
        let margin = DEEP.max(WIDE);
        let size = (DEEP * (2 * WIDE + 1)) as f32;
        let mut slopes = vec![(0.0f32, 0.0f32); self.width * self.height];
        for y in margin..self.height.saturating_sub(margin) {
            for x in margin..self.width.saturating_sub(margin) {
                let (up, down, left, right) = (y - WIDE, y + WIDE + 1, x - WIDE, x + WIDE + 1);
                let across = self.sum((x + 1, up), (x + 1 + DEEP, down))
                    - self.sum((x - DEEP, up), (x, down));
                let along = self.sum((left, y + 1), (right, y + 1 + DEEP))
                    - self.sum((left, y - DEEP), (right, y));
                slopes[y * self.width + x] = (across / size, along / size);
            }
        }
        let size_of = |(dx, dy): (f32, f32)| dx * dx + dy * dy;
        let mut steps = Vec::new();
        for y in margin..self.height.saturating_sub(margin) {
            for x in margin..self.width.saturating_sub(margin) {
                let at = y * self.width + x;
                let (dx, dy) = slopes[at];
                let here = size_of((dx, dy));
                if here < least * least {
                    continue;
                }
                let beside = if dx.abs() > dy.abs() { 1 } else { self.width };
                if here >= size_of(slopes[at - beside]) && here > size_of(slopes[at + beside]) {
                    let direction = f64::from(dy.atan2(dx)).to_degrees();
                    steps.push((here, Step { x: x as f64 + 0.5, y: y as f64 + 0.5, direction }));
                }
            }
        }
        if steps.len() > MOST_STEPS {
            steps.select_nth_unstable_by(MOST_STEPS, |a, b| b.0.total_cmp(&a.0));
            steps.truncate(MOST_STEPS);
        }
        steps.into_iter().map(|(_, step)| step).collect()
    }
}

/// Each pixel's value and those of its eight neighbours, made one.
fn spread(levels: &[u8], width: usize, join: fn(u8, u8) -> u8) -> Vec<u8> {
    let along = |from: &[u8], step: usize| -> Vec<u8> {
        let at = |i: Option<usize>| i.and_then(|i| from.get(i)).copied();
        let joined = |i: usize, here: u8| {
            let before = at(i.checked_sub(step)).unwrap_or(here);
            join(join(before, here), at(Some(i + step)).unwrap_or(here))
        };
        from.iter().enumerate().map(|(i, &here)| joined(i, here)).collect()
    };
    along(&along(levels, 1), width)
}

/// All places where x·cos + y·sin = `far`; it becomes brighter towards larger values.
#[derive(Clone, Copy)]
struct Straight {
    cos: f64,
    sin: f64,
    far: f64,
}

impl Straight {
    /// How far a place lies along it, and how far towards the brighter side.
    fn place(&self, x: f64, y: f64) -> (f64, f64) {
        (y * self.cos - x * self.sin, x * self.cos + y * self.sin - self.far)
    }

    /// The places of the steps that belong to it.
    fn places(&self, steps: &[Step], within: f64) -> impl Iterator<Item = (f64, f64)> {
        let degrees = self.sin.atan2(self.cos).to_degrees();
        steps.iter().filter_map(move |step| {
            let place = self.place(step.x, step.y);
            let turn = (step.direction - degrees + 540.0).rem_euclid(360.0) - 180.0;
            (place.1.abs() < within && turn.abs() < 2.0 * VAGUE as f64).then_some(place)
        })
    }

    /// The one that fits the steps near this one best; none where they are too few.
    fn fitted(&self, steps: &[Step], within: f64) -> Option<Self> {
        let points: Vec<(f64, f64)> = self.places(steps, within).collect();
        let (offset, slope) = super::least_squares(&points)?;
        let length = slope.hypot(1.0);
        Some(Self {
            cos: (self.cos + slope * self.sin) / length,
            sin: (self.sin - slope * self.cos) / length,
            far: (self.far + offset) / length,
        })
    }

    /// Whether it runs as another one does, seen from a place.
    fn is_like(&self, other: &Self, (x, y): (f64, f64)) -> bool {
        const COS: f64 = 0.9976; // 4°
        const APART: f64 = 3.0;
        let apart = self.place(x, y).1 - other.place(x, y).1;
        self.cos * other.cos + self.sin * other.sin > COS && apart.abs() < APART
    }

    /// As the edge on a side, if it may be one.
    fn edge(&self, side: Side, (width, height): (f64, f64)) -> Option<Edge> {
        const LEAST: f64 = 0.5; // 60°
        let Self { cos, sin, far } = *self;
        let (towards, offset, slope) = match side {
            Side::Left => (cos, far / cos, -sin / cos),
            Side::Right => (-cos, width - far / cos, sin / cos),
            Side::Top => (sin, far / sin, -cos / sin),
            Side::Bottom => (-sin, height - far / sin, cos / sin),
        };
        (towards > LEAST).then_some(Edge { side, offset, slope })
    }
}

/// A straight row of steps.
struct Line {
    straight: Straight,
    /// How many places were seen before each pixel along it, from `-reach` on.
    seen: Vec<u16>,
    reach: f64,
}

impl Line {
    fn of(straight: Straight, steps: &[Step], reach: f64) -> Self {
        let mut seen = vec![0u16; 2 * reach as usize + 2];
        for (along, _) in straight.places(steps, BENT) {
            if let Some(place) = seen.get_mut((along + reach) as usize + 1) {
                *place = 1;
            }
        }
        let mut all = 0;
        for place in &mut seen {
            all += *place;
            *place = all;
        }
        Self { straight, seen, reach }
    }

    /// How many pixels of it are seen between two of its places.
    fn seen_between(&self, a: Dot, b: Dot) -> f64 {
        let before = |dot: Dot| {
            let place = (self.straight.place(dot.x, dot.y).0 + self.reach).max(0.0) as usize;
            f64::from(self.seen[place.min(self.seen.len() - 1)])
        };
        (before(a) - before(b)).abs()
    }

    /// Whether it can be seen beyond one of two corners too, in a picture of this size: the edges of
    /// a part of a sheet go on there.
    fn goes_on(&self, a: Dot, b: Dot, (width, height): (f64, f64)) -> bool {
        /// Beyond a corner, steps are seen this far yet, and not this close to the frame.
        const NEAR: f64 = 5.0;
        /// As far as this share of the edge's length is looked.
        const FAR: f64 = 0.1;
        const MAX_SEEN: f64 = 0.6;
        let length = a.distance(b);
        let beyond = |from: Dot, to: Dot| {
            let (dx, dy) = ((to.x - from.x) / length, (to.y - from.y) / length);
            let room = |at: f64, step: f64, size: f64| match step > 0.0 {
                true => (size - NEAR - at) / step,
                false => (at - NEAR) / -step,
            };
            let most = room(to.x, dx, width).min(room(to.y, dy, height)).min(NEAR + FAR * length);
            let place = |far: f64| Dot { x: to.x + far * dx, y: to.y + far * dy };
            most > 2.0 * NEAR
                && self.seen_between(place(NEAR), place(most)) > MAX_SEEN * (most - NEAR)
        };
        beyond(a, b) || beyond(b, a)
    }
}

/// The longest straight rows of steps, longest first.
fn lines(steps: &[Step], (width, height): (usize, usize)) -> Vec<Line> {
    /// Rows shorter than this share of the picture's longer side are no edges.
    const SHORTEST: f64 = 0.12;
    const MOST: usize = 4 * CANDIDATES;
    let reach = (width as f64).hypot(height as f64).ceil();
    let row = 2 * reach as usize + 1;
    let turns: Vec<(f64, f64)> =
        (0..DIRECTIONS).map(|d| (d as f64 * TAU / DIRECTIONS as f64).sin_cos()).collect();
    let mut votes = vec![0u16; DIRECTIONS * row];
    for step in steps {
        let middle = step.direction.round() as isize;
        for direction in middle - VAGUE..=middle + VAGUE {
            let direction = direction.rem_euclid(DIRECTIONS as isize) as usize;
            let (sin, cos) = turns[direction];
            let far = (step.x * cos + step.y * sin + reach).max(0.0) as usize;
            votes[direction * row + far.min(row - 1)] += 1;
        }
    }
    let least = (SHORTEST * width.max(height) as f64) as u16;
    let mut peaks: Vec<(u16, usize, usize)> = Vec::new();
    for direction in 0..DIRECTIONS {
        let before = (direction + DIRECTIONS - 1) % DIRECTIONS;
        let after = (direction + 1) % DIRECTIONS;
        for far in 1..row - 1 {
            let here = votes[direction * row + far];
            if here >= least
                && (far - 1..=far + 1).all(|f| {
                    votes[before * row + f] <= here
                        && votes[after * row + f] <= here
                        && votes[direction * row + f] <= here
                })
            {
                peaks.push((here, direction, far));
            }
        }
    }
    peaks.sort_unstable_by(|a, b| b.cmp(a));
    let middle = (width as f64 / 2.0, height as f64 / 2.0);
    let mut lines: Vec<Line> = Vec::new();
    for (_, direction, far) in peaks.into_iter().take(4 * MOST) {
        let (sin, cos) = turns[direction];
        let rough = Straight { cos, sin, far: far as f64 + 0.5 - reach };
        let is_new = |one: &Straight| !lines.iter().any(|line| line.straight.is_like(one, middle));
        if !is_new(&rough) {
            continue;
        }
        let fitted = rough.fitted(steps, 2.5).and_then(|straight| straight.fitted(steps, BENT));
        let Some(fitted) = fitted.filter(is_new) else { continue };
        lines.push(Line::of(fitted, steps, reach));
        if lines.len() == MOST {
            break;
        }
    }
    lines
}

/// Of all sets of four lines the one that is a sheet's outline and most of which is seen.
fn best(lines: &[Line], size: (f64, f64)) -> Option<(f64, [Edge; 4])> {
    let of_side = |side: Side| -> Vec<(&Line, Edge)> {
        lines
            .iter()
            .filter_map(|line| Some((line, line.straight.edge(side, size)?)))
            .take(CANDIDATES)
            .collect()
    };
    let [left, top, right, bottom] = SIDES.map(of_side);
    // Opposite edges are parallel but for perspective.
    let pairs = |one: &[(&Line, Edge)], other: &[(&Line, Edge)]| -> Vec<(usize, usize)> {
        const PARALLEL: f64 = 0.94; // 20°
        let all = (0..one.len()).flat_map(|i| (0..other.len()).map(move |j| (i, j)));
        all.filter(|&(i, j)| {
            let (a, b) = (one[i].0.straight, other[j].0.straight);
            -(a.cos * b.cos + a.sin * b.sin) > PARALLEL
        })
        .collect()
    };
    let (across, down) = (pairs(&left, &right), pairs(&top, &bottom));
    let (mut best, mut filled) = (None, 0.0);
    for &(l, r) in &across {
        for &(t, b) in &down {
            let four = [&left[l], &top[t], &right[r], &bottom[b]];
            if !is_upright(&four.map(|(line, _)| line.straight)) {
                continue;
            }
            let edges = four.map(|(_, edge)| *edge);
            let Some(quad) = corners(&edges, size.0, size.1) else { continue };
            let seen = seen(&four.map(|(line, _)| *line), &quad, size);
            if seen > best.map_or(0.0, |(most, _)| most)
                && is_sheet(&quad, size.0, size.1)
                && is_a4(&quad)
                && !is_half(&quad, size)
            {
                best = Some((seen, edges));
                filled = area(&quad) / (size.0 * size.1);
            }
        }
    }
    best.filter(|_| filled < MAX_FILLED)
}

/// Whether the left edge of a sheet is the one that is most to the left: it is turned by 45° at most.
fn is_upright([left, top, right, bottom]: &[Straight; 4]) -> bool {
    let cos = left.cos + top.sin - right.cos - bottom.sin;
    let sin = left.sin - top.cos - right.sin + bottom.cos;
    cos >= sin.abs()
}

/// How much of an outline is seen, in pixels, less a share of what is not; 0 where it is too little
/// of one side or of all, where it becomes brighter outside, or where it goes on beyond a corner.
fn seen(lines: &[&Line; 4], [tl, tr, br, bl]: &[Dot; 4], size: (f64, f64)) -> f64 {
    let middle = Dot { x: (tl.x + tr.x + br.x + bl.x) / 4.0, y: (tl.y + tr.y + br.y + bl.y) / 4.0 };
    let (mut seen, mut length) = (0.0, 0.0);
    for (line, (from, to)) in lines.iter().zip([(bl, tl), (tl, tr), (tr, br), (br, bl)]) {
        let is_outside = line.straight.place(middle.x, middle.y).1 < 0.0;
        let (part, whole) = (line.seen_between(*from, *to), from.distance(*to));
        // A slanting line has fewer places than its length.
        let whole = whole * line.straight.cos.abs().max(line.straight.sin.abs());
        if is_outside || part < MIN_SEEN * whole || line.goes_on(*from, *to, size) {
            return 0.0;
        }
        seen += part;
        length += whole;
    }
    if seen < MIN_SEEN_OF_ALL * length { 0.0 } else { seen - UNSEEN * (length - seen) }
}

/// Whether a sheet has A4's proportions, seen from aside perhaps.
pub(super) fn is_a4([tl, tr, br, bl]: &[Dot; 4]) -> bool {
    let (across, down) = (tl.distance(*tr) + bl.distance(*br), tl.distance(*bl) + tr.distance(*br));
    (across.max(down) / across.min(down) / A4 - 1.0).abs() < TOLERANCE
}

/// Whether it is half of a scanned sheet, which has the proportions of a whole one.
fn is_half(quad: &[Dot; 4], (width, height): (f64, f64)) -> bool {
    let [tl, tr, br, bl] = quad;
    (height / width / A4 - 1.0).abs() < SCANNED
        && tl.distance(*tr).min(bl.distance(*br)) > MIN_WIDE * width
        && area(quad) < MAX_FILLED * width * height
}

fn area([tl, tr, br, bl]: &[Dot; 4]) -> f64 {
    ((br.x - tl.x) * (bl.y - tr.y) - (bl.x - tr.x) * (br.y - tl.y)).abs() / 2.0
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;
    use crate::page::straighten::{find_paper, grey_thumbnail};

    const SIDE: u32 = 1300;

    /// The corners of a sheet of A4 in the middle of the picture, turned clockwise.
    fn turned(degrees: f64) -> [Dot; 4] {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let (x, y) = (300.0, 300.0 * A4);
        [(-x, -y), (x, -y), (x, y), (-x, y)].map(|(x, y)| Dot {
            x: x * cos - y * sin + f64::from(SIDE) / 2.0,
            y: x * sin + y * cos + f64::from(SIDE) / 2.0,
        })
    }

    /// A printed sheet on a table, in some light.
    fn photo(
        quad: &[Dot; 4],
        paper: [u8; 3],
        table: [u8; 3],
        light: fn(f64, f64) -> f64,
    ) -> DynamicImage {
        let [tl, tr, _, bl] = *quad;
        // From 0 to 1 across and down the sheet.
        let share = |to: Dot, x: f64, y: f64| {
            let (dx, dy) = (to.x - tl.x, to.y - tl.y);
            ((x - tl.x) * dx + (y - tl.y) * dy) / (dx * dx + dy * dy)
        };
        DynamicImage::ImageRgb8(RgbImage::from_fn(SIDE, SIDE, |px, py| {
            let (x, y) = (f64::from(px) + 0.5, f64::from(py) + 0.5);
            let (u, v) = (share(tr, x, y), share(bl, x, y));
            let is_paper = (0.0..1.0).contains(&u) && (0.0..1.0).contains(&v);
            let is_print = (0.1..0.9).contains(&u) && (0.08..0.9).contains(&v);
            let is_ink = is_print && (v * 50.0).fract() < 0.4 && (u * 90.0).fract() < 0.5;
            let colour = if is_paper { paper } else { table };
            let grain = f64::from((px * 7 + py * 13) % 5) - 2.0;
            let shade = light(x, y) * if is_ink { 0.3 } else { 1.0 };
            Rgb(colour.map(|level| (f64::from(level) * shade + grain).clamp(0.0, 255.0) as u8))
        }))
    }

    fn even(_: f64, _: f64) -> f64 {
        1.0
    }

    /// The straight edge of a shelf's shadow, across paper and table.
    fn shelf(x: f64, y: f64) -> f64 {
        1.0 - 0.45 * ((x + 0.6 * y - 900.0) / 40.0).clamp(0.0, 1.0)
    }

    #[track_caller]
    fn assert_found(quad: &[Dot; 4], picture: &DynamicImage) {
        let found = find_paper(picture, &grey_thumbnail(picture, 1250)).expect("no paper");
        assert!(!found.is_cut_off);
        for (want, got) in quad.iter().zip(&found.quad) {
            assert!(want.distance(*got) < 4.0, "{want:?}, {got:?}");
        }
    }

    #[test]
    fn a_sheet_that_lies_far_from_straight_is_found() {
        for degrees in [-42.0, -31.0, 33.0, 42.0] {
            let quad = turned(degrees);
            for table in [[30; 3], [150, 120, 90]] {
                let picture = photo(&quad, [225; 3], table, even);
                assert_found(&quad, &picture);
                assert_found(&quad, &DynamicImage::ImageLuma8(picture.to_luma8()));
            }
        }
    }

    #[test]
    fn a_sheet_that_is_hardly_brighter_than_its_table_is_found_in_a_shadow() {
        for degrees in [-8.0, 3.0, 35.0] {
            let quad = turned(degrees);
            let picture = photo(&quad, [205; 3], [178; 3], shelf);
            assert_found(&quad, &picture);
            assert_found(&quad, &DynamicImage::ImageLuma8(picture.to_luma8()));
        }
    }

    #[test]
    fn a_sheet_as_bright_as_its_table_is_found_by_its_hue() {
        let (bluish, reddish) = ([190, 196, 206], [206, 196, 190]);
        for (paper, table) in [(bluish, reddish), (reddish, bluish)] {
            let quad = turned(6.0);
            assert_found(&quad, &photo(&quad, paper, table, shelf));
        }
    }

    #[test]
    fn a_table_without_paper_has_no_outline() {
        let nowhere = [Dot { x: -2.0, y: -2.0 }; 4].map(|dot| Dot { x: dot.x - 1.0, ..dot });
        for light in [even, shelf] {
            let picture = photo(&nowhere, [225; 3], [150, 120, 90], light);
            assert!(find_paper(&picture, &grey_thumbnail(&picture, 1250)).is_none());
        }
    }

    #[test]
    fn neither_a_scan_with_dark_margins_nor_a_part_of_it_is_an_outline() {
        let scan = GrayImage::from_fn(360, 512, |x, y| {
            let is_margin = !(7..353).contains(&x) || y > 504;
            let is_row = (40..356).contains(&x) && (30..44).contains(&y);
            image::Luma([if is_margin {
                60
            } else if is_row {
                170
            } else {
                235
            }])
        });
        assert!(find(&DynamicImage::ImageLuma8(scan.clone()), &scan).is_none());
    }

    #[test]
    fn half_of_a_scan_is_no_sheet_though_it_has_the_proportions_of_one() {
        // Its side margins are lost in a shadow further down.
        let scan = GrayImage::from_fn(362, 512, |x, y| {
            let is_margin = y < 8 || y < 262 && !(7..355).contains(&x);
            image::Luma([if is_margin {
                60
            } else if y < 262 {
                235
            } else {
                205
            }])
        });
        assert!(find(&DynamicImage::ImageLuma8(scan.clone()), &scan).is_none());
    }

    #[test]
    fn pictures_of_any_size_are_looked_at() {
        for (width, height) in [(0, 0), (1, 1), (2, 700), (13, 13), (700, 3)] {
            let grey = GrayImage::new(width, height);
            assert!(find(&DynamicImage::ImageLuma8(grey.clone()), &grey).is_none());
        }
    }
}
