//! Finds lines of text and rules on a page that is level to within a few degrees.
//!
//! The network marks *cores*: of each line the middle half of its height, drawn in a little at both
//! ends, so that neighbours do not touch. Connected pixels make a core; its centre line, straight
//! or gently curved, and its height give back the line's full box.

use std::ops::Range;

use cic_kernels::Scale;
use image::GrayImage;
use rayon::prelude::*;

use super::lone::{self, Picture};
use super::model::{Model, ModelError};
use crate::geometry::Rect;
use crate::text::{Direction, Rule};

/// The network was trained on pages whose shorter side has about this many pixels.
const SHORT_SIDE: u32 = 896;

/// Bounds the work for a strip of paper; an A4 page has 1267.
const LONG_SIDE: u32 = 2688;

/// The network halves its input five times.
const MULTIPLE: usize = 32;

/// Input pixels per pixel of the maps.
pub(super) const STRIDE: usize = 2;

/// A component holds pixels above `FLOOR`, with at least one above `PEAK`.
const FLOOR: f32 = 0.35;
const PEAK: f32 = 0.5;

/// The full box is twice as high as the core. The core's height is a sum of probabilities, which
/// inside it are a little below 1; the rest makes up for that.
const CORES_PER_BOX: f32 = 2.0 * 1.04;

/// The full box is 1.4 em high.
pub(super) const EM_PER_BOX: f32 = 1.4;

/// What the box extends beyond the core at both ends, in em: 0.1 that the core lacks, and a margin.
const GROW: f32 = 0.25;

/// Cores lower than this many map pixels are specks: their type would be below 3 points.
const LOWEST_CORE: f32 = 2.0;

/// Cores with a smaller sum of probabilities are specks: less than a full stop.
const SMALLEST_CORE: f32 = 2.0;

/// How much the heights (as a logarithm) of lines of one type size differ: the estimates' spread.
const LIKENESS: f32 = 0.12;

/// How far, in core heights, lines of one type size are from each other: a few lines.
const NEARNESS: f32 = 12.0;

/// Cores this many times as wide as high have a slope of their own; shorter ones take the page's.
const SLOPED: f32 = 4.0;

/// The same of the boxes that such cores grow to.
const SLOPED_BOX: f32 = SLOPED / CORES_PER_BOX + 2.0 * GROW / EM_PER_BOX;

/// Cores this many times as wide as high may be curved.
const CURVED: f32 = 14.0;

/// Steeper lines are no lines: the page was levelled before.
const STEEPEST: f32 = 0.12;

/// Text is cut at a rule where its probability falls below this share of what it is elsewhere.
const DIP: f32 = 0.7;

/// Rules shorter than this many map pixels are strokes of letters and checkboxes.
const SHORTEST_RULE: f32 = 8.0;

/// Rules with a gap of at most this many map pixels are one rule, broken by print or by letters.
const RULE_GAP: f32 = 8.0;

/// The stretch of a page that one line of text covers, along its centre line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextBox {
    middle: f32,
    half: f32,
    /// y of the centre line as a polynomial in (x - middle) / half.
    curve: [f32; 3],
    height: f32,
    turned: bool,
}

impl TextBox {
    /// A level box.
    pub fn level(rect: &Rect) -> Self {
        let centre = rect.centre();
        let half = (rect.width() / 2.0).max(0.5);
        let curve = [centre.y, 0.0, 0.0];
        Self { middle: centre.x, half, curve, height: rect.height(), turned: false }
    }

    /// The same stretch along another centre line: y as a polynomial of degree 2 that runs from -1
    /// at the left end to 1 at the right.
    pub fn with_curve(self, curve: [f32; 3]) -> Self {
        Self { curve, ..self }
    }

    /// The same line from another place to another, in pixels.
    pub fn reaching(self, left: f32, right: f32) -> Self {
        let (middle, half) = ((left + right) / 2.0, ((right - left) / 2.0).max(0.5));
        let [level, slope, bend] = self.curve;
        let (shift, stretch) = ((middle - self.middle) / self.half, half / self.half);
        let curve = [
            level + shift * (slope + shift * bend),
            stretch * (slope + 2.0 * shift * bend),
            stretch * stretch * bend,
        ];
        Self { middle, half, curve, ..self }
    }

    /// The same stretch of so many times the height.
    pub fn higher(self, times: f32) -> Self {
        Self { height: self.height * times, ..self }
    }

    /// The same stretch, to be read from its other end on its head.
    pub fn turned_over(&self) -> Self {
        Self { turned: !self.turned, ..*self }
    }

    /// The same stretch on the mirror image of a page of this width.
    pub fn mirrored(&self, width: f32) -> Self {
        let [level, slope, bend] = self.curve;
        Self { middle: width - self.middle, curve: [level, -slope, bend], ..*self }
    }

    /// Whether it is to be read from its right end on its head.
    pub fn is_turned(&self) -> bool {
        self.turned
    }

    /// Its height, in pixels: 1.4 em.
    pub fn height(&self) -> f32 {
        self.height
    }

    /// Its length, in pixels.
    pub fn length(&self) -> f32 {
        2.0 * self.half
    }

    /// Its left end, in pixels.
    pub fn left(&self) -> f32 {
        self.middle - self.half
    }

    /// Its right end, in pixels.
    pub fn right(&self) -> f32 {
        self.middle + self.half
    }

    /// y of the centre line.
    pub fn centre_at(&self, x: f32) -> f32 {
        let [level, slope, bend] = self.curve;
        let t = (x - self.middle) / self.half;
        level + t * (slope + t * bend)
    }

    /// Slope of the centre line: pixels down per pixel to the right.
    pub fn slope_at(&self, x: f32) -> f32 {
        let [_, slope, bend] = self.curve;
        (slope + 2.0 * bend * (x - self.middle) / self.half) / self.half
    }

    /// Slope in the middle of the centre line; none where the box is too short to have one of its own.
    pub fn own_slope(&self) -> Option<f32> {
        (self.length() >= SLOPED_BOX * self.height).then(|| self.slope_at(self.middle))
    }

    /// The level rectangle of the same height round the middle of the centre line. For a line that
    /// slants it is less than the line covers, but its height still tells the size of the type.
    pub fn rect(&self) -> Rect {
        let centre = self.curve[0] + self.curve[2] / 3.0;
        let rise = self.height / 2.0;
        Rect::new(self.left(), centre - rise, self.right(), centre + rise)
    }
}

/// What was found on a page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detection {
    /// Lines of text, in no promised order.
    pub boxes: Vec<TextBox>,
    /// Rules of tables, in no promised order.
    pub rules: Vec<Rule>,
    /// The lines run from top to bottom or from bottom to top: the page needs a quarter turn.
    pub sideways: bool,
}

/// Finds lines and rules.
pub struct Detector {
    model: Box<dyn Model>,
}

impl Detector {
    /// The model takes a page of shape `[1, 1, H, W]`, 1 being white, and gives maps of shape
    /// `[1, 3, H/2, W/2]` in 0..1: text cores, horizontal rules, vertical rules.
    pub fn new(model: Box<dyn Model>) -> Self {
        Self { model }
    }

    /// Looks at a page.
    pub fn detect(&self, page: &GrayImage) -> Result<Detection, ModelError> {
        let input = Input::of(page);
        let shape = [1, 1, input.height, input.width];
        let (height, width) = (input.height / STRIDE, input.width / STRIDE);
        let maps = self.model.run(shape, &input.data)?.expect(&[1, 3, height, width])?;
        let plane = |index: usize| Map {
            width,
            values: maps.get(index * width * height..(index + 1) * width * height).unwrap_or(&[]),
        };
        let mut found = find(plane(0), plane(1), plane(2), input.scale);
        if !found.sideways {
            let (x, y) = input.scale;
            let scale = (x / STRIDE as f32, y / STRIDE as f32);
            let picture = Picture { width: input.width, grey: &input.grey, scale };
            let rules: Vec<Rect> = found.rules.iter().map(|rule| rule.rect).collect();
            lone::add(&picture, plane(0), &rules, &mut found.boxes);
        }
        Ok(found)
    }
}

/// A page as the network takes it.
struct Input {
    /// The scaled page, padded with white.
    grey: Vec<u8>,
    /// The same, 1 being white.
    data: Vec<f32>,
    width: usize,
    height: usize,
    /// Page pixels per map pixel, to the right and down.
    scale: (f32, f32),
}

impl Input {
    /// Scales the shorter side to the size the network knows, and pads with white.
    fn of(page: &GrayImage) -> Self {
        let (width, height) = (page.width().max(1), page.height().max(1));
        let short = f64::from(SHORT_SIDE) / f64::from(width.min(height));
        let long = f64::from(LONG_SIDE) / f64::from(width.max(height));
        let extent = |side: u32| ((f64::from(side) * short.min(long)).round() as u32).max(1);
        let (to_width, to_height) = (extent(width), extent(height));
        let from = (page.width() as usize, page.height() as usize);
        let padded = |side: u32| (side as usize).next_multiple_of(MULTIPLE);
        let (columns, rows) = (padded(to_width), padded(to_height));
        let shades: [f32; 256] = std::array::from_fn(|level| level as f32 / 255.0);
        let scaling = Scale::new(from, (to_width as usize, to_height as usize));
        // Memory is first touched, which takes a while, where rows are scaled side by side.
        let mut grey = vec![0; columns * rows];
        let mut data = vec![0.0; columns * rows];
        // Of a picture without pixels nothing is drawn: it is white.
        let drawn = if page.is_empty() { 0 } else { to_height as usize };
        let lines = grey.par_chunks_exact_mut(columns).zip(data.par_chunks_exact_mut(columns));
        lines.enumerate().for_each_init(Vec::new, |sums, (y, (grey, data))| {
            grey.fill(u8::MAX);
            if y < drawn {
                scaling.row(page, y, sums, &mut grey[..to_width as usize]);
            }
            for (value, &level) in data.iter_mut().zip(&*grey) {
                *value = shades[usize::from(level)];
            }
        });
        let scale = (
            STRIDE as f32 * width as f32 / to_width as f32,
            STRIDE as f32 * height as f32 / to_height as f32,
        );
        Self { grey, data, width: columns, height: rows, scale }
    }
}

/// A map of probabilities.
#[derive(Clone, Copy)]
pub struct Map<'a> {
    /// Pixels of a row.
    pub width: usize,
    /// Rows, one after the other.
    pub values: &'a [f32],
}

/// Makes lines and rules of the three maps; `scale` is page pixels per map pixel in x and y.
pub fn find(text: Map, horizontal: Map, vertical: Map, scale: (f32, f32)) -> Detection {
    let ((horizontal, vertical), components) = rayon::join(
        || (rules(horizontal, Direction::Horizontal), rules(vertical, Direction::Vertical)),
        || components(text),
    );
    if lies_sideways(&components) {
        return Detection { sideways: true, ..Detection::default() };
    }
    let cores: Vec<Core> = components
        .iter()
        .flat_map(|component| split(component, &vertical))
        .filter_map(|columns| Core::of(&columns))
        .collect();
    let cores = with_settled_heights(cores);
    let slope = page_slope(&cores);
    let boxes = cores.iter().map(|core| core.grown(slope, scale)).collect();
    let place = |rule: &Rule| {
        let ((x, y), rect) = (scale, rule.rect);
        let rect = Rect::new(rect.left * x, rect.top * y, rect.right * x, rect.bottom * y);
        Rule { rect, fall: rule.fall * y, ..*rule }
    };
    let rules = horizontal.iter().chain(&vertical).map(place).collect();
    Detection { boxes, rules, sideways: false }
}

/// Pixels that hang together.
struct Component {
    pixels: Vec<Pixel>,
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

#[derive(Clone, Copy)]
struct Pixel {
    x: usize,
    y: usize,
    probability: f32,
}

impl Component {
    /// The pixels' extent, each pixel being a unit square.
    fn bounds(&self) -> Rect {
        Rect::new(
            self.left as f32,
            self.top as f32,
            (self.right + 1) as f32,
            (self.bottom + 1) as f32,
        )
    }

    fn mass(&self) -> f32 {
        self.pixels.iter().map(|pixel| pixel.probability).sum()
    }

    /// Mean y of the pixels at its left end, and at its right one.
    fn ends(&self) -> (f32, f32) {
        /// So many columns are an end.
        const END: usize = 4;
        let mean = |columns: Range<usize>| {
            let (mut sum, mut count) = (0.0, 0.0);
            for pixel in self.pixels.iter().filter(|pixel| columns.contains(&pixel.x)) {
                sum += pixel.y as f32 + 0.5;
                count += 1.0;
            }
            sum / count
        };
        (
            mean(self.left..self.left + END),
            mean((self.right + 1).saturating_sub(END)..self.right + 1),
        )
    }

    /// Probability and its moment about y = 0, column by column.
    fn columns(&self) -> Columns {
        let mut columns =
            Columns { left: self.left, sums: vec![(0.0, 0.0); self.right - self.left + 1] };
        for pixel in &self.pixels {
            let (mass, moment) = &mut columns.sums[pixel.x - self.left];
            *mass += pixel.probability;
            *moment += pixel.probability * (pixel.y as f32 + 0.5);
        }
        columns
    }
}

/// Components of a map: 4-connected pixels above [`FLOOR`] that reach [`PEAK`] somewhere.
fn components(map: Map) -> Vec<Component> {
    let mut seen = vec![false; map.values.len()];
    let mut found = Vec::new();
    let mut open = Vec::new();
    for start in 0..map.values.len() {
        if seen[start] || map.values[start] < PEAK {
            continue;
        }
        seen[start] = true;
        open.push(start);
        let mut component = Component {
            pixels: Vec::new(),
            left: usize::MAX,
            top: usize::MAX,
            right: 0,
            bottom: 0,
        };
        while let Some(index) = open.pop() {
            let (x, y) = (index % map.width, index / map.width);
            component.pixels.push(Pixel { x, y, probability: map.values[index] });
            component.left = component.left.min(x);
            component.right = component.right.max(x);
            component.top = component.top.min(y);
            component.bottom = component.bottom.max(y);
            let neighbours = [
                (x > 0).then(|| index - 1),
                (x + 1 < map.width).then_some(index + 1),
                index.checked_sub(map.width),
                Some(index + map.width),
            ];
            for next in neighbours.into_iter().flatten() {
                if seen.get(next) == Some(&false) && map.values[next] >= FLOOR {
                    seen[next] = true;
                    open.push(next);
                }
            }
        }
        found.push(component);
    }
    found
}

/// Whether what is long on the page is long from top to bottom.
fn lies_sideways(components: &[Component]) -> bool {
    let (mut level, mut upright) = (0.0, 0.0);
    for component in components {
        let bounds = component.bounds();
        // A digit's core is higher than wide; only what is clearly longer tells a direction.
        if bounds.width() > 3.0 * bounds.height() {
            level += component.mass();
        } else if bounds.height() > 3.0 * bounds.width() && bounds.height() > 20.0 {
            upright += component.mass();
        }
    }
    upright > level
}

/// Sums over the columns of a component.
struct Columns {
    left: usize,
    sums: Vec<(f32, f32)>,
}

impl Columns {
    /// (x, probability, mean y) of each column that holds something.
    fn points(&self) -> impl Iterator<Item = (f32, f32, f32)> {
        let points = self.sums.iter().enumerate().filter(|(_, (mass, _))| *mass > 0.0);
        points
            .map(|(index, (mass, moment))| ((self.left + index) as f32 + 0.5, *mass, moment / mass))
    }

    fn mass(&self) -> f32 {
        self.sums.iter().map(|(mass, _)| mass).sum()
    }

    /// Height of the columns: their median, because a stamp or a smudge swells only a few.
    fn height(&self) -> f32 {
        let mut masses: Vec<f32> = self.sums.iter().map(|&(mass, _)| mass).collect();
        masses.sort_by(f32::total_cmp);
        // The outermost columns are half covered; in a narrow core they must not count.
        let rank = if masses.len() < 6 { masses.len().saturating_sub(1) } else { masses.len() / 2 };
        masses.get(rank).copied().unwrap_or(0.0)
    }

    /// Without the ends that are less than half as high as the rest.
    fn trimmed(&self, height: f32) -> Self {
        let full = |&(mass, _): &(f32, f32)| mass >= height / 2.0;
        let start = self.sums.iter().position(full).unwrap_or(0);
        let end = self.sums.iter().rposition(full).map_or(self.sums.len(), |last| last + 1);
        Self { left: self.left + start, sums: self.sums[start..end].to_vec() }
    }
}

/// A component, cut where it runs through a vertical rule: a line never leaves its cell.
fn split(component: &Component, vertical: &[Rule]) -> Vec<Columns> {
    let bounds = component.bounds();
    let height = bounds.height().min(component.mass() / bounds.width().max(1.0));
    let mut cuts: Vec<&Rect> = vertical
        .iter()
        .map(|rule| &rule.rect)
        .filter(|rule| {
            let x = rule.centre().x;
            let inside = bounds.left + height / 2.0 < x && x < bounds.right - height / 2.0;
            inside && rule.overlap_y(&bounds) > 0.8 * height
        })
        .collect();
    cuts.sort_by(|a, b| a.left.total_cmp(&b.left));
    let mut rest = component.columns();
    let mut parts = Vec::new();
    for rule in cuts {
        let start = (rule.left.floor().max(0.0) as usize).saturating_sub(rest.left);
        let end = (rule.right.ceil().max(0.0) as usize).saturating_sub(rest.left);
        let (Some(before), Some(crossed)) = (rest.sums.get(..start), rest.sums.get(start..end))
        else {
            continue;
        };
        // Where a streak of dirt runs through letters, the network still sees text.
        let dips = mean(crossed) < DIP * rest.height();
        if before.is_empty() || end == rest.sums.len() || !dips {
            continue;
        }
        let after = rest.sums.split_off(end);
        rest.sums.truncate(start);
        let next = Columns { left: rest.left + end, sums: after };
        parts.push(std::mem::replace(&mut rest, next));
    }
    parts.push(rest);
    parts
}

fn mean(sums: &[(f32, f32)]) -> f32 {
    sums.iter().map(|(mass, _)| mass).sum::<f32>() / sums.len().max(1) as f32
}

/// The middle half of a line, in map pixels.
struct Core {
    columns: Columns,
    height: f32,
    /// y along the core as a polynomial in -1..1; `None` for one too short to tell its slope.
    curve: Option<[f32; 3]>,
}

impl Core {
    /// `None` for a speck.
    fn of(columns: &Columns) -> Option<Self> {
        let height = columns.height();
        let columns = columns.trimmed(height);
        if height < LOWEST_CORE || columns.mass() < SMALLEST_CORE {
            return None;
        }
        let mut core = Self { columns, height, curve: None };
        if core.width() > SLOPED * height {
            core.curve = core.fitted();
        }
        Some(core)
    }

    fn width(&self) -> f32 {
        self.columns.sums.len() as f32
    }

    fn middle(&self) -> f32 {
        self.columns.left as f32 + self.width() / 2.0
    }

    /// The centre line by weighted least squares: a parabola where the core is long, else a
    /// straight line; `None` where that makes no sense.
    fn fitted(&self) -> Option<[f32; 3]> {
        let (middle, half) = (self.middle(), self.width() / 2.0);
        let mut powers = [0.0f64; 5];
        let mut sums = [0.0f64; 3];
        for (x, weight, y) in self.columns.points() {
            let t = f64::from((x - middle) / half);
            let mut term = f64::from(weight);
            for (degree, power) in powers.iter_mut().enumerate() {
                *power += term;
                if let Some(sum) = sums.get_mut(degree) {
                    *sum += term * f64::from(y);
                }
                term *= t;
            }
        }
        let steepest = STEEPEST * half;
        let sane = |curve: &[f32; 3]| {
            curve[1].abs() + 2.0 * curve[2].abs() <= steepest && curve[2].abs() <= 2.0 * self.height
        };
        let curved = self.width() > CURVED * self.height;
        let parabola = if curved { parabola(&powers, &sums).filter(sane) } else { None };
        parabola.or_else(|| straight(&powers, &sums).filter(sane))
    }

    fn slope(&self) -> Option<f32> {
        self.curve.map(|curve| 2.0 * curve[1] / self.width())
    }

    /// Mean y of a core that is taken to be straight.
    fn mean(&self) -> f32 {
        let (sum, mass) = self
            .columns
            .points()
            .fold((0.0, 0.0), |(sum, mass), (_, weight, y)| (sum + weight * y, mass + weight));
        sum / mass.max(f32::MIN_POSITIVE)
    }

    /// The full box on the page, for a core without a slope of its own with the page's.
    fn grown(&self, page_slope: f32, (scale_x, scale_y): (f32, f32)) -> TextBox {
        let half = self.width() / 2.0;
        let curve = self.curve.unwrap_or([self.mean(), page_slope * half, 0.0]);
        let height = self.height * CORES_PER_BOX;
        // The polynomial runs on over the longer stretch: its argument gets smaller.
        let longer = half + GROW * height / EM_PER_BOX;
        let stretch = longer / half;
        let curve = [curve[0], curve[1] * stretch, curve[2] * stretch * stretch];
        TextBox {
            middle: self.middle() * scale_x,
            half: longer * scale_x,
            curve: curve.map(|coefficient| coefficient * scale_y),
            height: height * scale_y,
            turned: false,
        }
    }
}

fn straight(powers: &[f64; 5], sums: &[f64; 3]) -> Option<[f32; 3]> {
    let [p0, p1, p2, ..] = *powers;
    let determinant = p0 * p2 - p1 * p1;
    if determinant.abs() < 1e-9 {
        return None;
    }
    let level = (sums[0] * p2 - sums[1] * p1) / determinant;
    let slope = (p0 * sums[1] - p1 * sums[0]) / determinant;
    Some([level as f32, slope as f32, 0.0])
}

/// Solves the normal equations by Cramer's rule.
fn parabola(powers: &[f64; 5], sums: &[f64; 3]) -> Option<[f32; 3]> {
    let [p0, p1, p2, p3, p4] = *powers;
    let matrix = [[p0, p1, p2], [p1, p2, p3], [p2, p3, p4]];
    let whole = determinant(&matrix);
    if whole.abs() < 1e-9 {
        return None;
    }
    let mut curve = [0.0; 3];
    for (column, coefficient) in curve.iter_mut().enumerate() {
        let mut replaced = matrix;
        for (row, &sum) in replaced.iter_mut().zip(sums) {
            row[column] = sum;
        }
        *coefficient = (determinant(&replaced) / whole) as f32;
    }
    Some(curve)
}

fn determinant(m: &[[f64; 3]; 3]) -> f64 {
    m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1])
        - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
        + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
}

/// Heights, each drawn towards those of lines nearby that are about as high.
///
/// A core is only a few map pixels high, so a single estimate is off by a tenth; but a page has few
/// sizes of type, and a letter's size is all that tells `c` from `C`.
fn with_settled_heights(mut cores: Vec<Core>) -> Vec<Core> {
    let places: Vec<(f32, f32, f32)> =
        cores.iter().map(|core| (core.mean(), core.height, core.width())).collect();
    let bell = |distance: f32| (-distance * distance / 2.0).exp();
    for (core, &(y, height, _)) in cores.iter_mut().zip(&places) {
        let (mut sum, mut weights) = (0.0, 0.0);
        for &(other_y, other, width) in &places {
            let unlike = (other / height).ln();
            let weight =
                width * bell(unlike / LIKENESS) * bell((other_y - y) / (NEARNESS * height));
            sum += weight * unlike;
            weights += weight;
        }
        core.height = height * (sum / weights).exp();
    }
    cores
}

/// The median of the long lines' slopes.
fn page_slope(cores: &[Core]) -> f32 {
    let mut slopes: Vec<f32> = cores.iter().filter_map(Core::slope).collect();
    slopes.sort_by(f32::total_cmp);
    slopes.get(slopes.len() / 2).copied().unwrap_or(0.0)
}

/// Rules of a map, in map pixels, joined over small gaps.
fn rules(map: Map, direction: Direction) -> Vec<Rule> {
    // Worked out lying, by their extent; a vertical rule is laid down and stood up again. Of a
    // horizontal one the heights of both ends tell how it falls.
    let ends = |component: &Component| match direction {
        Direction::Horizontal => component.ends(),
        Direction::Vertical => (0.0, 0.0),
    };
    let mut pieces: Vec<(Rect, (f32, f32))> = components(map)
        .iter()
        .map(|component| (laid(&component.bounds(), direction), ends(component)))
        .filter(|(piece, _)| piece.width() >= piece.height())
        .collect();
    pieces.sort_by(|(a, _), (b, _)| a.left.total_cmp(&b.left));
    let mut joined: Vec<(Rect, (f32, f32))> = Vec::new();
    for (piece, ends) in pieces {
        let continues = |(rule, _): &&mut (Rect, _)| {
            piece.left - rule.right <= RULE_GAP
                && piece.right > rule.right
                && piece.overlap_y(rule) > 0.0
        };
        match joined.iter_mut().rev().find(continues) {
            Some((rule, (_, end))) => (*rule, *end) = (rule.union(&piece), ends.1),
            None => joined.push((piece, ends)),
        }
    }
    joined
        .iter()
        .filter(|(rule, _)| rule.width() >= SHORTEST_RULE && rule.width() >= 3.0 * rule.height())
        .map(|(rule, (start, end))| match direction {
            Direction::Horizontal => Rule { direction, rect: *rule, fall: end - start },
            Direction::Vertical => Rule::level(direction, laid(rule, direction)),
        })
        .collect()
}

/// Swaps x and y of a vertical rule; a horizontal one stays as it is.
fn laid(rect: &Rect, direction: Direction) -> Rect {
    match direction {
        Direction::Horizontal => *rect,
        Direction::Vertical => Rect::new(rect.top, rect.left, rect.bottom, rect.right),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ocr::model::Tensor;
    use image::Luma;

    const WIDTH: usize = 200;
    const HEIGHT: usize = 120;

    /// Maps drawn with rectangles in map pixels.
    struct Drawn([Vec<f32>; 3]);

    impl Drawn {
        fn new() -> Self {
            Self(std::array::from_fn(|_| vec![0.0; WIDTH * HEIGHT]))
        }

        fn fill(&mut self, map: usize, inside: impl Fn(f32, f32) -> bool) {
            for (index, value) in self.0[map].iter_mut().enumerate() {
                let (x, y) = ((index % WIDTH) as f32 + 0.5, (index / WIDTH) as f32 + 0.5);
                if inside(x, y) {
                    *value = 0.95;
                }
            }
        }

        fn rect(&mut self, map: usize, left: f32, top: f32, right: f32, bottom: f32) {
            let rect = Rect::new(left, top, right, bottom);
            self.fill(map, |x, y| rect.contains(crate::geometry::Point::new(x, y)));
        }

        fn find(&self) -> Detection {
            let map = |index: usize| Map { width: WIDTH, values: &self.0[index] };
            find(map(0), map(1), map(2), (2.0, 2.0))
        }
    }

    fn close(a: f32, b: f32, tolerance: f32) -> bool {
        (a - b).abs() <= tolerance
    }

    #[test]
    fn a_line_that_reaches_further_runs_on_as_it_did() {
        let line =
            TextBox::level(&Rect::new(100.0, 40.0, 300.0, 60.0)).with_curve([50.0, 6.0, 2.0]);
        let longer = line.reaching(60.0, 300.0);
        assert!(close(longer.left(), 60.0, 1e-3) && close(longer.right(), 300.0, 1e-3));
        for x in [60.0, 100.0, 180.0, 300.0] {
            assert!(close(longer.centre_at(x), line.centre_at(x), 1e-3), "{x}");
            assert!(close(longer.slope_at(x), line.slope_at(x), 1e-4), "{x}");
        }
    }

    #[test]
    fn a_core_grows_to_the_full_box_of_its_line() {
        let mut maps = Drawn::new();
        maps.rect(0, 20.0, 50.0, 120.0, 57.0);
        let found = maps.find();
        let [line] = &found.boxes[..] else { panic!("one line: {found:?}") };
        let rect = line.rect();
        // 7 map pixels are 14 page pixels, half of a box of 28 (less the soft edges' 5 %): 20 em.
        assert!(close(rect.top, 93.0, 1.5) && close(rect.bottom, 121.0, 1.5), "{rect:?}");
        assert!(close(rect.left, 35.0, 1.0) && close(rect.right, 245.0, 1.0), "{rect:?}");
    }

    #[test]
    fn neighbouring_lines_stay_apart() {
        let mut maps = Drawn::new();
        maps.rect(0, 20.0, 40.0, 90.0, 46.0);
        maps.rect(0, 94.0, 40.0, 150.0, 46.0);
        maps.rect(0, 20.0, 49.0, 90.0, 55.0);
        assert_eq!(maps.find().boxes.len(), 3);
    }

    #[test]
    fn a_slanting_line_keeps_its_slope_and_a_short_neighbour_takes_it() {
        let mut maps = Drawn::new();
        let along = |x: f32| 40.0 + 0.05 * x;
        maps.fill(0, |x, y| (20.0..150.0).contains(&x) && (y - along(x)).abs() < 3.0);
        maps.fill(0, |x, y| (170.0..174.0).contains(&x) && (y - along(x)).abs() < 3.0);
        let found = maps.find();
        assert_eq!(found.boxes.len(), 2);
        for line in &found.boxes {
            let x = (line.left() + line.right()) / 2.0;
            assert!(close(line.slope_at(x), 0.05, 0.006), "{line:?}");
            assert!(close(line.centre_at(x), 2.0 * along(x / 2.0), 1.0), "{line:?}");
        }
    }

    #[test]
    fn a_long_line_follows_the_paper_s_curl() {
        let mut maps = Drawn::new();
        let along = |x: f32| 60.0 + 4.0 * ((x - 100.0) / 90.0).powi(2);
        maps.fill(0, |x, y| (10.0..190.0).contains(&x) && (y - along(x)).abs() < 2.5);
        let found = maps.find();
        let [line] = &found.boxes[..] else { panic!("one line: {found:?}") };
        for x in [15.0, 60.0, 100.0, 140.0, 185.0] {
            assert!(close(line.centre_at(2.0 * x), 2.0 * along(x), 1.2), "{line:?} at {x}");
        }
    }

    #[test]
    fn text_that_runs_through_a_vertical_rule_is_cut_there() {
        let mut maps = Drawn::new();
        maps.rect(0, 20.0, 50.0, 69.0, 57.0);
        maps.rect(0, 69.0, 53.0, 71.0, 55.0);
        maps.rect(0, 71.0, 50.0, 120.0, 57.0);
        maps.rect(2, 69.0, 30.0, 71.0, 90.0);
        let mut found = maps.find();
        found.boxes.sort_by(|a, b| a.left().total_cmp(&b.left()));
        let [first, second] = &found.boxes[..] else { panic!("two lines: {found:?}") };
        assert!(first.left() < 40.0 && second.right() > 240.0);
        assert!(first.right() < second.left() + 2.0 * GROW * 20.0);
    }

    #[test]
    fn a_streak_of_dirt_through_letters_cuts_nothing() {
        let mut maps = Drawn::new();
        maps.rect(0, 20.0, 50.0, 120.0, 57.0);
        maps.rect(2, 69.0, 0.0, 71.0, 119.0);
        assert_eq!(maps.find().boxes.len(), 1);
    }

    #[test]
    fn a_rule_above_the_text_cuts_nothing() {
        let mut maps = Drawn::new();
        maps.rect(0, 20.0, 50.0, 120.0, 57.0);
        maps.rect(2, 69.0, 10.0, 71.0, 48.0);
        assert_eq!(maps.find().boxes.len(), 1);
    }

    #[test]
    fn rules_are_joined_over_small_gaps_only() {
        let mut maps = Drawn::new();
        maps.rect(1, 10.0, 20.0, 60.0, 22.0);
        maps.rect(1, 64.0, 21.0, 110.0, 23.0);
        maps.rect(1, 140.0, 21.0, 190.0, 23.0);
        maps.rect(2, 10.0, 20.0, 12.0, 100.0);
        let found = maps.find();
        let of = |direction| {
            let mut rects: Vec<Rect> = found
                .rules
                .iter()
                .filter(|rule| rule.direction == direction)
                .map(|rule| rule.rect)
                .collect();
            rects.sort_by(|a, b| a.left.total_cmp(&b.left));
            rects
        };
        let horizontal = [Rect::new(20.0, 40.0, 220.0, 46.0), Rect::new(280.0, 42.0, 380.0, 46.0)];
        assert_eq!(of(Direction::Horizontal), horizontal);
        assert_eq!(of(Direction::Vertical), [Rect::new(20.0, 40.0, 24.0, 200.0)]);
    }

    #[test]
    fn rule_tells_how_much_it_falls() {
        let mut maps = Drawn::new();
        let along = |x: f32| 30.0 + 0.04 * x;
        maps.fill(1, |x, y| (20.0..180.0).contains(&x) && (y - along(x)).abs() < 1.5);
        maps.rect(2, 10.0, 20.0, 12.0, 100.0);
        let falls: Vec<f32> = maps.find().rules.iter().map(|rule| rule.fall).collect();
        let [slanting, upright] = falls[..] else { panic!("two rules: {falls:?}") };
        assert!(close(slanting, 2.0 * 0.04 * 160.0, 1.5), "{slanting}");
        assert_eq!(upright, 0.0);
    }

    #[test]
    fn specks_and_strokes_are_dropped() {
        let mut maps = Drawn::new();
        maps.rect(0, 20.0, 50.0, 22.0, 51.0);
        maps.rect(1, 50.0, 50.0, 55.0, 51.0);
        assert_eq!(maps.find(), Detection::default());
    }

    #[test]
    fn a_page_of_standing_lines_lies_sideways() {
        let mut maps = Drawn::new();
        for x in [20.0, 40.0, 60.0] {
            maps.rect(0, x, 10.0, x + 6.0, 100.0);
        }
        assert!(maps.find().sideways);
        maps.rect(0, 80.0, 10.0, 190.0, 40.0);
        assert!(!maps.find().sideways);
    }

    /// Marks as a core whatever is darker than half.
    struct Dark;

    impl Model for Dark {
        fn run(
            &self,
            [_, _, height, width]: [usize; 4],
            input: &[f32],
        ) -> Result<Tensor, ModelError> {
            let (rows, columns) = (height / 2, width / 2);
            let mut data = vec![0.0; 3 * rows * columns];
            for y in 0..rows {
                for x in 0..columns {
                    data[y * columns + x] = f32::from(input[2 * y * width + 2 * x] < 0.5);
                }
            }
            Ok(Tensor { shape: vec![1, 3, rows, columns], data })
        }
    }

    #[test]
    fn places_come_back_in_the_page_s_own_pixels() {
        let mut page = GrayImage::from_pixel(2480, 3508, Luma([255]));
        for y in 1000..1050 {
            for x in 300..1300 {
                page.put_pixel(x, y, Luma([0]));
            }
        }
        let found = Detector::new(Box::new(Dark)).detect(&page).unwrap();
        let [line] = &found.boxes[..] else { panic!("one line: {found:?}") };
        assert!(close(line.rect().centre().y, 1025.0, 4.0), "{line:?}");
        assert!(close(line.height(), 100.0, 8.0), "{line:?}");
        assert!(close(line.left(), 300.0 - 17.0, 6.0), "{line:?}");
        assert!(close(line.right(), 1300.0 + 17.0, 6.0), "{line:?}");
    }

    #[test]
    fn strips_and_single_pixels_are_looked_at_within_bounds() {
        for (width, height) in [(1, 1), (30_000, 20), (40, 9000)] {
            let page = GrayImage::from_pixel(width, height, Luma([255]));
            let input = Input::of(&page);
            assert!(input.width.max(input.height) <= LONG_SIDE as usize);
            assert!(Detector::new(Box::new(Dark)).detect(&page).unwrap().boxes.is_empty());
        }
    }

    #[test]
    fn a_model_with_another_output_is_an_error() {
        struct Strange;
        impl Model for Strange {
            fn run(&self, _: [usize; 4], _: &[f32]) -> Result<Tensor, ModelError> {
                Ok(Tensor { shape: vec![1], data: vec![0.0] })
            }
        }
        let page = GrayImage::from_pixel(100, 100, Luma([255]));
        assert!(matches!(
            Detector::new(Box::new(Strange)).detect(&page),
            Err(ModelError::Shape { .. })
        ));
    }
}
