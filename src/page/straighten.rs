//! Straightening: the sheet of paper is found on a photograph, cut out and seen from straight
//! above, and its lines are made level. All of it is one resampling of the full picture.
//!
//! Invariant: a picture that fills its frame, as a scanner's does, is never cut.

mod outline;

use std::borrow::Cow;

use cic_kernels::{Channels, Shrink, ShrinkRoom, Span};
use image::{DynamicImage, GrayImage, Pixel, RgbImage};
use rayon::prelude::*;

use super::{Likeness, Quality};

/// Long side of the thumbnail that the paper is looked for on, in pixels.
const SEARCH_SIDE: u32 = 512;
/// Frames that are longer than wide by more than this hold no sheet that [`is_sheet`], which must
/// fill a fifth of its frame and is twice as long as wide at most.
const NARROWEST: u32 = 16;
/// Short side of the picture that skew is measured on: the baseline of 9 pt type smears by one
/// pixel at 0.06°.
const SKEW_WIDTH: f64 = 1000.0;
/// Largest short side of an aligned page: A4 at 300 dpi.
const MAX_WIDTH: f64 = 2500.0;
/// Paper must be brighter than the table by this many levels of 255 at least.
const MIN_STEP: f32 = 9.0;
/// How far an edge's points may lie off a straight line, in pixels of the thumbnail, and the share
/// of a side's scan lines that must agree on it.
const STRAIGHT: f64 = 1.2;
const MIN_SUPPORT: f32 = 0.35;
/// The same for the edge of a sheet that does not lie flat.
const CURLED: f64 = 4.0;
const MIN_CURLED_SUPPORT: f32 = 0.5;
/// What is left off inside each edge of the paper, as a share of its width: the edge's own shadow
/// and half a pixel of table would look like a rule.
const INSET: f64 = 0.0025;
/// Height of A4 over its width.
const A4: f64 = std::f64::consts::SQRT_2;
/// Sheets whose sides are in A4's ratio within this share are A4.
const A4_TOLERANCE: f64 = 0.06;
/// Skews searched, in degrees to either side.
const MAX_SKEW: f64 = 12.0;
/// Smaller skews are left: 0.04° is one pixel across A4 at 200 dpi.
const MIN_SKEW: f64 = 0.04;
/// Sides below this hold no line of text that could be levelled, in pixels.
const SMALLEST: f64 = 64.0;

/// A straightened picture.
pub(super) struct Straightened {
    /// Its pixels.
    pub image: DynamicImage,
    /// A small grey picture of it, not turned yet: what it was judged by.
    pub preview: GrayImage,
    /// Degrees it was turned by, clockwise.
    pub skew: f32,
    /// Whether it was cut out of a larger picture.
    pub cut: bool,
    /// Whether the paper runs out of that picture.
    pub cut_off: bool,
}

/// Cuts the paper out where a table can be seen around it, and levels its lines.
pub(super) fn straighten(picture: DynamicImage) -> Straightened {
    let (width, height) = (f64::from(picture.width()), f64::from(picture.height()));
    let grey = grey_thumbnail(&picture, SKEW_WIDTH as u32 * 5 / 4);
    if width < SMALLEST || height < SMALLEST {
        return Straightened {
            image: picture,
            preview: grey,
            skew: 0.0,
            cut: false,
            cut_off: false,
        };
    }
    let paper = find_paper(&picture, &grey);
    let cut = paper.is_some();
    let cut_off = paper.as_ref().is_some_and(|paper| paper.is_cut_off);
    let sheet = match &paper {
        Some(paper) => Sheet::photographed(&paper.quad),
        None => Sheet::scanned(width, height),
    };
    let preview = sheet.preview(&grey, width);
    let skew = skew(&preview);
    if !cut && skew.abs() < MIN_SKEW {
        return Straightened { image: picture, preview, skew: 0.0, cut, cut_off };
    }
    let image = sheet.draw(&picture, skew, paper_level(&preview));
    Straightened { image, preview, skew: -skew as f32, cut, cut_off }
}

/// A sheet of paper that lies in view of a camera.
pub struct Paper {
    /// How it looks; its resolution is that of the picture it was found on.
    pub quality: Quality,
    /// Whether something, such as a hand, lies over its edges.
    pub is_covered: bool,
    /// Its corners, from the top left one clockwise, as shares of the picture's width and height.
    pub corners: [[f32; 2]; 4],
    /// The sheet in grey, seen from straight above.
    preview: GrayImage,
}

impl Paper {
    /// Finds it on a grey picture of the table, when it is brighter than the table and three of its
    /// edges at least can be seen.
    pub fn find(grey: &GrayImage) -> Option<Self> {
        let (width, height) = (f64::from(grey.width()), f64::from(grey.height()));
        if width < SMALLEST || height < SMALLEST {
            return None;
        }
        let outline = find_paper(&DynamicImage::ImageLuma8(grey.clone()), grey)?;
        let sheet = Sheet::photographed(&outline.quad);
        let preview = sheet.preview(grey, width);
        let measured = Quality::measure(&preview, (sheet.width as u32, sheet.height as u32));
        Some(Self {
            quality: Quality { cut: true, cut_off: outline.is_cut_off, ..measured },
            is_covered: is_covered(grey, &outline.quad),
            corners: outline.quad.map(|dot| [(dot.x / width) as f32, (dot.y / height) as f32]),
            preview,
        })
    }

    /// By what it is known again.
    pub fn likeness(&self) -> Likeness {
        Likeness::of_grey(&self.preview)
    }
}

/// Whether something lies over an edge of the paper. Whoever reaches over it from outside the
/// picture crosses an edge, and there the step from table to paper is missing.
fn is_covered(grey: &GrayImage, quad: &[Dot; 4]) -> bool {
    /// Places on each edge: on A4 each is a third of a finger wide.
    const PLACES: usize = 48;
    /// Places in a row: more than a finger, which holds no more than the margin.
    const GAP: usize = 5;
    let side = |i: usize| {
        let (from, to) = (quad[i], quad[(i + 1) % 4]);
        let length = from.distance(to).max(1.0);
        let (dx, dy) = ((to.x - from.x) / length, (to.y - from.y) / length);
        // Mean of a strip along this place, some pixels inside (or, below zero, outside).
        let strip = |place: usize, depths: [f64; 5]| {
            let (mut sum, mut count) = (0.0, 0.0);
            for (part, depth) in (0..8).flat_map(|part| depths.map(|depth| (part, depth))) {
                let share = (place as f64 + f64::from(part) / 8.0) / PLACES as f64;
                let along = length * (0.05 + 0.9 * share);
                let x = from.x + dx * along - dy * depth;
                let y = from.y + dy * along + dx * depth;
                if x >= 0.0
                    && y >= 0.0
                    && let Some(pixel) = grey.get_pixel_checked(x as u32, y as u32)
                {
                    sum += f64::from(pixel.0[0]);
                    count += 1.0;
                }
            }
            (count > 0.0).then(|| sum / count)
        };
        // Far enough from the edge for a photocopy's black rim, and a sheet that sticks out below.
        let step = |place| {
            let inside = strip(place, [22.0, 23.0, 24.0, 25.0, 26.0])?;
            let outside = strip(place, [-22.0, -23.0, -24.0, -25.0, -26.0])?;
            // As a share, which is the same in bright and in dim light.
            Some((inside - outside) / (inside + outside).max(1.0))
        };
        let steps: Vec<Option<f64>> = (0..PLACES).map(step).collect();
        let usual = median(steps.iter().flatten().copied());
        let is_missing = |step: &Option<f64>| step.is_some_and(|step| step.abs() < 0.3 * usual);
        steps.windows(GAP).any(|places| places.iter().all(is_missing))
    };
    (0..4).any(side)
}

/// The value in the middle; 0 of none.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    let middle = values.len() / 2;
    match values.is_empty() {
        true => 0.0,
        false => *values.select_nth_unstable_by(middle, f64::total_cmp).1,
    }
}

/// Where the paper lies in the picture, and the size it is drawn at.
struct Sheet {
    width: f64,
    height: f64,
    /// From the sheet's pixels to the picture's.
    to_picture: Projective,
}

impl Sheet {
    fn scanned(width: f64, height: f64) -> Self {
        Self { width, height, to_picture: Projective::IDENTITY }
    }

    /// A sheet with these corners: top left, top right, bottom right, bottom left.
    fn photographed(quad: &[Dot; 4]) -> Self {
        let [tl, tr, br, bl] = *quad;
        let width = tl.distance(tr).max(bl.distance(br));
        let height = tl.distance(bl).max(tr.distance(br));
        let (short, long) = (width.min(height), width.max(height));
        let is_a4 = (long / short / A4 - 1.0).abs() < A4_TOLERANCE;
        let short = short.min(MAX_WIDTH);
        let long = if is_a4 { short * A4 } else { long / width.min(height) * short };
        let (width, height) = if width <= height { (short, long) } else { (long, short) };
        let (width, height) = (width.round(), height.round());
        let inset = INSET * short;
        let unit = Projective::new([
            [(1.0 - 2.0 * inset / width) / width, 0.0, inset / width],
            [0.0, (1.0 - 2.0 * inset / height) / height, inset / height],
            [0.0, 0.0, 1.0],
        ]);
        Self { width, height, to_picture: Projective::unit_square_to(quad).after(&unit) }
    }

    /// From the levelled sheet's pixels to the unlevelled sheet's.
    fn turn(&self, degrees: f64) -> Projective {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let (x, y) = (self.width / 2.0, self.height / 2.0);
        Projective::new([
            [cos, -sin, x - cos * x + sin * y],
            [sin, cos, y - sin * x - cos * y],
            [0.0, 0.0, 1.0],
        ])
    }

    /// The sheet in grey, not levelled yet, its short side [`SKEW_WIDTH`] pixels at most.
    fn preview(&self, grey: &GrayImage, picture_width: f64) -> GrayImage {
        let scale = (self.width.min(self.height) / SKEW_WIDTH).max(1.0);
        let (width, height) = (self.width / scale, self.height / scale);
        let shrink = f64::from(grey.width()) / picture_width;
        let to_picture =
            Projective::scaling(shrink).after(&self.to_picture).after(&Projective::scaling(scale));
        let mapping = Mapping { turn: Projective::IDENTITY, to_picture, inside: (width, height) };
        let size = ((width as u32).max(1), (height as u32).max(1));
        let pixels = warp::<1>(grey.as_raw(), grey.dimensions(), size, &mapping, paper_level(grey));
        GrayImage::from_raw(size.0, size.1, pixels).unwrap_or_default()
    }

    fn draw(&self, picture: &DynamicImage, skew: f64, ground: u8) -> DynamicImage {
        let size = (self.width as u32, self.height as u32);
        let mapping = Mapping {
            turn: self.turn(skew),
            to_picture: self.to_picture,
            inside: (self.width, self.height),
        };
        // A sheet drawn much smaller than photographed is shrunk by averaging first: bilinear
        // sampling would skip pixels.
        let step = self.to_picture.scale_at(self.width / 2.0, self.height / 2.0);
        if step > 1.6 {
            let (width, height) = (picture.width(), picture.height());
            let shrink = |side: u32| (f64::from(side) / step).round() as u32;
            let small = picture.thumbnail_exact(shrink(width), shrink(height));
            let ratio = f64::from(small.width()) / f64::from(width);
            let to_picture = Projective::scaling(ratio).after(&self.to_picture);
            return draw_mapped(&small, size, &Mapping { to_picture, ..mapping }, ground);
        }
        draw_mapped(picture, size, &mapping, ground)
    }
}

fn draw_mapped(
    picture: &DynamicImage,
    (width, height): (u32, u32),
    mapping: &Mapping,
    ground: u8,
) -> DynamicImage {
    let from = (picture.width(), picture.height());
    let size = (width, height);
    if let DynamicImage::ImageLuma8(grey) = picture {
        let pixels = warp::<1>(grey.as_raw(), from, size, mapping, ground);
        return GrayImage::from_raw(width, height, pixels)
            .map_or_else(DynamicImage::default, DynamicImage::ImageLuma8);
    }
    let rgb = match picture {
        DynamicImage::ImageRgb8(rgb) => Cow::Borrowed(rgb),
        other => Cow::Owned(other.to_rgb8()),
    };
    let pixels = warp::<3>(rgb.as_raw(), from, size, mapping, ground);
    RgbImage::from_raw(width, height, pixels)
        .map_or_else(DynamicImage::default, DynamicImage::ImageRgb8)
}

/// Where a drawn pixel comes from: first turned, then projected into the picture.
struct Mapping {
    /// Affine.
    turn: Projective,
    to_picture: Projective,
    /// Turned pixels beyond this width and height are not paper.
    inside: (f64, f64),
}

impl Mapping {
    /// The pixels of row `y` that lie on paper, for a drawing of this width.
    fn on_paper(&self, y: f64, width: usize) -> std::ops::Range<usize> {
        let [a, b, _] = &self.turn.0;
        let (mut from, mut to) = (0.0, width as f64);
        for (row, limit) in [(a, self.inside.0), (b, self.inside.1)] {
            let (slope, at_zero) = (row[0], row[1] * y + row[2]);
            let (enter, leave) = (-at_zero / slope, (limit - at_zero) / slope);
            if slope.abs() > 1e-12 {
                from = enter.min(leave).max(from);
                to = enter.max(leave).min(to);
            } else if !(0.0..limit).contains(&at_zero) {
                return 0..0;
            }
        }
        // Pixel x has its centre at x + 0.5. On a row beside the paper both ends lie beyond it.
        let pixel = |place: f64| ((place - 0.5).ceil().max(0.0) as usize).min(width);
        pixel(from)..pixel(to).max(pixel(from))
    }
}

/// Pixels between exact projections: in between, places are interpolated, which errs by less
/// than 0.01 pixel for any sheet that [`is_sheet`].
const SPAN: usize = 16;
/// One pixel, in the fixed point that places are counted in.
const ONE: f64 = 65_536.0;

/// Draws `to` pixels of `N` channels, each interpolated between four of the source.
fn warp<const N: usize>(
    source: &[u8],
    from: (u32, u32),
    to: (u32, u32),
    mapping: &Mapping,
    ground: u8,
) -> Vec<u8> {
    let (width, height) = (to.0.max(1) as usize, to.1.max(1) as usize);
    // Memory is first touched, which takes a while, where rows are drawn side by side.
    let mut target = vec![0; width * height * N];
    let from = from.0 as usize;
    let whole = mapping.to_picture.after(&mapping.turn);
    let [[across, ..], [down, ..], [weight, ..]] = whole.0;
    target.par_chunks_exact_mut(width * N).enumerate().for_each(|(y, row)| {
        row.fill(ground);
        let y = y as f64 + 0.5;
        let paper = mapping.on_paper(y, width);
        // Along a row, the whole projection is one step after the other, and a division.
        let [x, y, w] = whole.weighted(0.5, y);
        let place = |at: usize| {
            let at = at as f64;
            let scale = ONE / (w + at * weight);
            // Centres of pixels lie at halves.
            let place = |start: f64, step: f64| ((start + at * step) * scale - 0.5 * ONE) as i64;
            (place(x, across), place(y, down))
        };
        let mut x = paper.start;
        let mut here = place(x);
        for span in row[paper.start * N..paper.end * N].chunks_mut(SPAN * N) {
            x += SPAN;
            let next = place(x);
            let step = ((next.0 - here.0) / SPAN as i64, (next.1 - here.1) / SPAN as i64);
            let places = Span { from: here, step };
            match N {
                1 => places.draw_grey(source, from, span),
                _ => places.draw_rgb(source, from, span),
            }
            here = next;
        }
    });
    target
}

/// A point in double precision: projections multiply errors.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Dot {
    x: f64,
    y: f64,
}

impl Dot {
    fn distance(self, other: Dot) -> f64 {
        (self.x - other.x).hypot(self.y - other.y)
    }
}

/// A projective map of the plane.
#[derive(Clone, Copy, Debug)]
struct Projective([[f64; 3]; 3]);

impl Projective {
    const IDENTITY: Self = Self([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);

    fn new(rows: [[f64; 3]; 3]) -> Self {
        Self(rows)
    }

    fn scaling(factor: f64) -> Self {
        Self([[factor, 0.0, 0.0], [0.0, factor, 0.0], [0.0, 0.0, 1.0]])
    }

    /// The map that takes (0,0), (1,0), (1,1), (0,1) to the corners (Heckbert, "Fundamentals of
    /// Texture Mapping", 1989, section 2.2.3).
    fn unit_square_to(quad: &[Dot; 4]) -> Self {
        let [a, b, c, d] = *quad;
        let (dx1, dx2, dx3) = (b.x - c.x, d.x - c.x, a.x - b.x + c.x - d.x);
        let (dy1, dy2, dy3) = (b.y - c.y, d.y - c.y, a.y - b.y + c.y - d.y);
        let determinant = dx1 * dy2 - dx2 * dy1;
        let g = (dx3 * dy2 - dx2 * dy3) / determinant;
        let h = (dx1 * dy3 - dx3 * dy1) / determinant;
        Self([
            [b.x - a.x + g * b.x, d.x - a.x + h * d.x, a.x],
            [b.y - a.y + g * b.y, d.y - a.y + h * d.y, a.y],
            [g, h, 1.0],
        ])
    }

    /// First `first`, then this one.
    fn after(&self, first: &Self) -> Self {
        let mut product = [[0.0; 3]; 3];
        for (row, out) in self.0.iter().zip(&mut product) {
            for (column, value) in out.iter_mut().enumerate() {
                *value = row.iter().zip(&first.0).map(|(a, b)| a * b[column]).sum();
            }
        }
        Self(product)
    }

    fn apply(&self, x: f64, y: f64) -> Dot {
        let [px, py, w] = self.weighted(x, y);
        Dot { x: px / w, y: py / w }
    }

    /// Homogeneous coordinates of a point's image.
    fn weighted(&self, x: f64, y: f64) -> [f64; 3] {
        self.0.map(|row| row[0] * x + row[1] * y + row[2])
    }

    /// How many units of the target one unit at (x, y) covers.
    fn scale_at(&self, x: f64, y: f64) -> f64 {
        let here = self.apply(x, y);
        let across = here.distance(self.apply(x + 1.0, y));
        let down = here.distance(self.apply(x, y + 1.0));
        (across * down).sqrt()
    }
}

const SIDES: [Side; 4] = [Side::Left, Side::Top, Side::Right, Side::Bottom];

/// A side of the frame, and how to walk from it inwards.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Left,
    Top,
    Right,
    Bottom,
}

/// An edge of the paper as `depth = offset + slope × along`: `along` runs down the left and right
/// sides and to the right on the top and bottom; `depth` is the distance from the frame's side.
#[derive(Clone, Copy, Debug)]
struct Edge {
    side: Side,
    offset: f64,
    slope: f64,
}

impl Edge {
    /// Coefficients of a·x + b·y = c, on a picture of this size.
    fn line(&self, width: f64, height: f64) -> [f64; 3] {
        match self.side {
            Side::Left => [1.0, -self.slope, self.offset],
            Side::Right => [1.0, self.slope, width - self.offset],
            Side::Top => [-self.slope, 1.0, self.offset],
            Side::Bottom => [self.slope, 1.0, height - self.offset],
        }
    }

    fn scaled(&self, factor: f64) -> Self {
        Self { offset: self.offset * factor, ..*self }
    }

    fn is_at_frame(&self) -> bool {
        self.offset == 0.0 && self.slope == 0.0
    }

    /// Where it runs along, between the corners of its sheet.
    fn extent(&self, [tl, tr, br, bl]: &[Dot; 4]) -> (f64, f64) {
        match self.side {
            Side::Left => (tl.y, bl.y),
            Side::Right => (tr.y, br.y),
            Side::Top => (tl.x, tr.x),
            Side::Bottom => (bl.x, br.x),
        }
    }

    /// The place `deep` from the frame's side, on a picture of this size.
    fn place(&self, along: f64, deep: f64, (width, height): (f64, f64)) -> Dot {
        match self.side {
            Side::Left => Dot { x: deep, y: along },
            Side::Right => Dot { x: width - deep, y: along },
            Side::Top => Dot { x: along, y: deep },
            Side::Bottom => Dot { x: along, y: height - deep },
        }
    }
}

/// Where paper lies.
struct Outline {
    /// Its corners in the picture's pixels: top left, top right, bottom right, bottom left.
    quad: [Dot; 4],
    /// Whether one of its sides or corners is outside the picture.
    is_cut_off: bool,
}

/// The paper, when a darker table can be seen around it on three sides at least.
fn find_paper(picture: &DynamicImage, grey: &GrayImage) -> Option<Outline> {
    let side = SEARCH_SIDE * grey.width() / grey.width().max(grey.height());
    let small = match picture {
        DynamicImage::ImageRgb8(rgb) => averaged(rgb, rgb.dimensions(), side, Channels::Whiteness),
        _ => shrunk(grey, side),
    };
    if small.width().min(small.height()) < SEARCH_SIDE / NARROWEST {
        return None;
    }
    let (width, height) = (f64::from(picture.width()), f64::from(picture.height()));
    let factor = width / f64::from(small.width());
    let one_by_one = find_edges(&small)?;
    let edges = match is_whole(&one_by_one, &small) {
        true => one_by_one,
        false => outline::find(picture, &small).unwrap_or(one_by_one),
    };
    let found = edges.iter().filter(|edge| !edge.is_at_frame()).count();
    if found < 3 {
        return None;
    }
    let edges = edges.map(|edge| edge.scaled(factor));
    let rough = corners(&edges, width, height)?;
    let refined = edges.map(|edge| refine(picture, edge, &rough).unwrap_or(edge));
    let quad = corners(&refined, width, height)?;
    let slack = 0.004 * width.max(height);
    let is_inside = |corner: &Dot| {
        (-slack..width + slack).contains(&corner.x) && (-slack..height + slack).contains(&corner.y)
    };
    let is_cut_off = found < 4 || !quad.iter().all(is_inside);
    is_sheet(&quad, width, height).then_some(Outline { quad, is_cut_off })
}

/// The edges that a darker table lies beside, each found by itself. A sheet that runs out of the
/// frame ends at the frame.
fn find_edges(small: &GrayImage) -> Option<[Edge; 4]> {
    let at_frame = |side| Edge { side, offset: 0.0, slope: 0.0 };
    let mut edges = SIDES.map(|side| find_edge(small, side).unwrap_or(at_frame(side)));
    let quad = corners(&edges, f64::from(small.width()), f64::from(small.height()))?;
    for edge in &mut edges {
        if !edge.is_at_frame() && !is_beside_table(small, edge, &quad) {
            *edge = at_frame(edge.side);
        }
    }
    Some(edges)
}

/// Whether the edges are those of a whole sheet of A4: that of a shadow does not run as the edge of
/// the sheet that is opposite to it does.
fn is_whole(edges: &[Edge; 4], small: &GrayImage) -> bool {
    const PARALLEL: f64 = 20.0; // degrees, in perspective
    let (width, height) = (f64::from(small.width()), f64::from(small.height()));
    // Seen from their own sides, parallel edges lean to opposite ones.
    let [left, top, right, bottom] = edges.map(|edge| edge.slope.atan().to_degrees());
    let are_parallel = (left + right).abs() < PARALLEL && (top + bottom).abs() < PARALLEL;
    are_parallel
        && edges.iter().all(|edge| !edge.is_at_frame())
        && corners(edges, width, height)
            .is_some_and(|quad| is_sheet(&quad, width, height) && outline::is_a4(&quad))
}

fn corners(edges: &[Edge; 4], width: f64, height: f64) -> Option<[Dot; 4]> {
    let [left, top, right, bottom] = edges.map(|edge| edge.line(width, height));
    let meet = |p: [f64; 3], q: [f64; 3]| {
        let determinant = p[0] * q[1] - q[0] * p[1];
        (determinant.abs() > 1e-6).then(|| Dot {
            x: (p[2] * q[1] - q[2] * p[1]) / determinant,
            y: (p[0] * q[2] - q[0] * p[2]) / determinant,
        })
    };
    Some([meet(left, top)?, meet(top, right)?, meet(right, bottom)?, meet(bottom, left)?])
}

/// Whether the corners are those of a sheet seen from above: convex, hardly beyond the frame,
/// a good part of it, and of a paper's proportions.
fn is_sheet(quad: &[Dot; 4], width: f64, height: f64) -> bool {
    let slack = 0.03;
    let inside = quad.iter().all(|p| {
        (-slack..1.0 + slack).contains(&(p.x / width))
            && (-slack..1.0 + slack).contains(&(p.y / height))
    });
    let turn = |i: usize| {
        let (a, b, c) = (quad[i], quad[(i + 1) % 4], quad[(i + 2) % 4]);
        let (ux, uy) = (b.x - a.x, b.y - a.y);
        let (vx, vy) = (c.x - b.x, c.y - b.y);
        (ux * vy - uy * vx) / (ux.hypot(uy) * vx.hypot(vy)).max(1e-9)
    };
    // The sine of each corner: 60° to 120°.
    let square = (0..4).all(|i| turn(i) > 0.86);
    let [a, b, c, d] = *quad;
    let area = ((c.x - a.x) * (d.y - b.y) - (d.x - b.x) * (c.y - a.y)).abs() / 2.0;
    let (across, down) = (a.distance(b) + d.distance(c), a.distance(d) + b.distance(c));
    let ratio = across.max(down) / across.min(down).max(1.0);
    inside && square && area > 0.2 * width * height && ratio < 2.0
}

/// Whether what lies outside of an edge is darker than the paper inside of it, not only right
/// beside it: the edge of a grey row in a table has paper on both of its sides, which is darker on
/// one of them where the light falls off.
fn is_beside_table(grey: &GrayImage, edge: &Edge, quad: &[Dot; 4]) -> bool {
    const PLACES: usize = 40;
    /// Distances from the edge, as shares of the picture's longer side.
    const INSIDE: [f64; 3] = [0.008, 0.016, 0.024];
    const OUTSIDE: [f64; 9] = [0.012, 0.025, 0.04, 0.06, 0.08, 0.12, 0.18, 0.26, 0.36];
    const MOST_BRIGHT: f64 = 0.25;
    let size = (f64::from(grey.width()), f64::from(grey.height()));
    let unit = size.0.max(size.1);
    let level = |along: f64, deep: f64| {
        let Dot { x, y } = edge.place(along, deep, size);
        let within = (0.0..size.0).contains(&x) && (0.0..size.1).contains(&y);
        within.then(|| f32::from(grey.get_pixel(x as u32, y as u32).0[0]))
    };
    let (from, to) = edge.extent(quad);
    let (mut bright, mut all) = (0, 0);
    for place in 0..PLACES {
        let along = from + (to - from) * (0.05 + 0.9 * (place as f64 + 0.5) / PLACES as f64);
        let deep = edge.offset + edge.slope * along;
        // The brightest of a few: the others may be print.
        let paper = INSIDE.iter().filter_map(|d| level(along, deep + d * unit)).reduce(f32::max);
        let Some(paper) = paper else { continue };
        let outside = || OUTSIDE.iter().filter_map(|d| level(along, deep - d * unit));
        let Some(beside) = outside().next() else { continue };
        for beyond in outside() {
            let is_paper = beyond > beside + 0.7 * MIN_STEP && beyond > (beside + paper) / 2.0;
            bright += usize::from(is_paper || beyond > paper - 0.7 * MIN_STEP);
            all += 1;
        }
    }
    bright as f64 <= MOST_BRIGHT * all as f64
}

/// The straight edge that most scan lines from one side agree on.
fn find_edge(grey: &GrayImage, side: Side) -> Option<Edge> {
    let (width, height) = (grey.width() as usize, grey.height() as usize);
    let (lines, depth) = match side {
        Side::Left | Side::Right => (height, width),
        Side::Top | Side::Bottom => (width, height),
    };
    let raw = grey.as_raw();
    let at = |line: usize, deep: usize| {
        let (x, y) = match side {
            Side::Left => (deep, line),
            Side::Right => (width - 1 - deep, line),
            Side::Top => (line, deep),
            Side::Bottom => (line, height - 1 - deep),
        };
        f32::from(raw[y * width + x])
    };
    let reach = depth * 45 / 100;
    // Noise and grain of the table: the median step between neighbours beside the frame.
    let mut steps: Vec<f32> = (0..lines)
        .flat_map(|l| (1..4).map(move |d| (l, d)))
        .map(|(l, d)| (at(l, d + 1) - at(l, d)).abs())
        .collect();
    let middle = steps.len() / 2;
    let grain = *steps.select_nth_unstable_by(middle, f32::total_cmp).1;
    let step = MIN_STEP.max(6.0 * grain);
    let points: Vec<(f64, f64)> = (0..lines)
        .filter_map(|line| {
            let mut table = (at(line, 1) + at(line, 2)) / 2.0;
            for deep in 2..reach {
                let value = at(line, deep);
                if (0..3).all(|ahead| at(line, deep + ahead) - table > step) {
                    return Some((line as f64 + 0.5, deep as f64));
                }
                // Light falls off along the table: follow it slowly.
                table += 0.1 * (value - table).clamp(-step, step);
            }
            None
        })
        .collect();
    let (offset, slope) = fit_edge(&points, lines, STRAIGHT, MIN_SUPPORT)
        .or_else(|| fit_edge(&points, lines, CURLED, MIN_CURLED_SUPPORT))?;
    Some(Edge { side, offset, slope })
}

/// The line through most points, give or take `tolerance` pixels, if a share of `least` agrees:
/// every pair of a few dozen candidates is tried, which is exhaustive and needs no chance.
fn fit_edge(points: &[(f64, f64)], lines: usize, tolerance: f64, least: f32) -> Option<(f64, f64)> {
    const CANDIDATES: usize = 48;
    const STEEPEST: f64 = 0.9; // 42°: beyond it, one side cannot be told from the next.
    let stride = points.len().div_ceil(CANDIDATES).max(1);
    let candidates: Vec<_> = points.iter().step_by(stride).copied().collect();
    let mut best = (0, 0.0, 0.0);
    for (i, &(along, deep)) in candidates.iter().enumerate() {
        for &(further, other) in &candidates[i + 1..] {
            if further - along < 0.2 * lines as f64 {
                continue;
            }
            let slope = (other - deep) / (further - along);
            let offset = deep - slope * along;
            if slope.abs() > STEEPEST {
                continue;
            }
            let near = |p: &&(f64, f64)| (offset + slope * p.0 - p.1).abs() < tolerance;
            let support = points.iter().filter(near).count();
            if support > best.0 {
                best = (support, offset, slope);
            }
        }
    }
    let (support, offset, slope) = best;
    if (support as f32) < least * lines as f32 {
        return None;
    }
    let near: Vec<_> =
        points.iter().filter(|p| (offset + slope * p.0 - p.1).abs() < tolerance).copied().collect();
    least_squares(&near)
}

/// Offset and slope of the line that fits best.
fn least_squares(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let count = points.len() as f64;
    let (sx, sy) = points.iter().fold((0.0, 0.0), |s, p| (s.0 + p.0, s.1 + p.1));
    let (mx, my) = (sx / count, sy / count);
    let (sxx, sxy) = points
        .iter()
        .fold((0.0, 0.0), |s, p| (s.0 + (p.0 - mx) * (p.0 - mx), s.1 + (p.0 - mx) * (p.1 - my)));
    (points.len() >= 2 && sxx > 0.0).then(|| (my - sxy / sxx * mx, sxy / sxx))
}

/// Fits an edge again on the full picture: at many places along it the step from table to paper
/// is located, and a line laid through them.
fn refine(picture: &DynamicImage, edge: Edge, quad: &[Dot; 4]) -> Option<Edge> {
    const PLACES: usize = 96;
    let (width, height) = (f64::from(picture.width()), f64::from(picture.height()));
    let (from, to) = edge.extent(quad);
    let reach = (0.008 * width.max(height)).max(5.0) as isize;
    let window = (reach / 3).max(3) as usize;
    let mut points = Vec::with_capacity(PLACES);
    for place in 0..PLACES {
        let share = 0.03 + 0.94 * (place as f64 + 0.5) / PLACES as f64;
        let along = from + (to - from) * share;
        let deep = edge.offset + edge.slope * along;
        let profile: Vec<f32> = (-reach..=reach)
            .map(|step| {
                let Dot { x, y } = edge.place(along, deep + step as f64, (width, height));
                whiteness_at(picture, x, y)
            })
            .collect();
        if let Some(step) = steepest(&profile, window) {
            points.push((along, deep - reach as f64 + step));
        }
    }
    let mut line = least_squares(&points)?;
    for _ in 0..3 {
        let miss = |p: &(f64, f64)| (line.0 + line.1 * p.0 - p.1).abs();
        let mut misses: Vec<f64> = points.iter().map(miss).collect();
        let middle = misses.len() / 2;
        let median = *misses.select_nth_unstable_by(middle, f64::total_cmp).1;
        let good: Vec<_> =
            points.iter().filter(|p| miss(p) <= (2.5 * median).max(0.7)).copied().collect();
        line = least_squares(&good)?;
    }
    (points.len() >= PLACES / 3).then_some(Edge { offset: line.0, slope: line.1, ..edge })
}

/// Where along a profile the mean of the window after exceeds the mean before by most, in
/// fractions of a step; none where that is hardly brighter.
fn steepest(profile: &[f32], window: usize) -> Option<f64> {
    let mean = |part: &[f32]| part.iter().sum::<f32>() / part.len() as f32;
    let rise: Vec<f32> = (window..profile.len() - window)
        .map(|i| mean(&profile[i..i + window]) - mean(&profile[i - window..i]))
        .collect();
    let (peak, &most) = rise.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
    if most < 0.7 * MIN_STEP {
        return None;
    }
    let beside = |i: Option<usize>| i.and_then(|i| rise.get(i)).copied().unwrap_or(most);
    let (before, after) = (beside(peak.checked_sub(1)), beside(Some(peak + 1)));
    let bend = before - 2.0 * most + after;
    let shift = if bend < -1e-3 { 0.5 * (before - after) / bend } else { 0.0 };
    Some((peak + window) as f64 + f64::from(shift.clamp(-0.5, 0.5)))
}

/// The [`whiteness`] of the pixel that holds a place; of the nearest one off the picture.
fn whiteness_at(picture: &DynamicImage, x: f64, y: f64) -> f32 {
    let x = (x.max(0.0) as u32).min(picture.width() - 1);
    let y = (y.max(0.0) as u32).min(picture.height() - 1);
    f32::from(match picture {
        DynamicImage::ImageLuma8(grey) => grey.get_pixel(x, y).0[0],
        DynamicImage::ImageRgb8(rgb) => whiteness(rgb.get_pixel(x, y).0),
        other => image::GenericImageView::get_pixel(other, x, y).to_luma().0[0],
    })
}

/// Brightness of most of the page.
fn paper_level(grey: &GrayImage) -> u8 {
    let mut values: Vec<u8> = grey.as_raw().iter().step_by(61).copied().collect();
    let rank = values.len() * 3 / 4;
    if values.is_empty() { 255 } else { *values.select_nth_unstable(rank).1 }
}

/// Angle of a page's lines in degrees, positive where they run down to the right; 0 where none is
/// to be seen.
///
/// The method is the projection profile: lower edges of strokes are projected along each angle,
/// and the angle at which they pile up most is the page's (W. Postl, US patent 4,723,297, 1988).
fn skew(grey: &GrayImage) -> f64 {
    let best = |sideways| Profile::of(grey, sideways).best();
    let (across, down) = rayon::join(|| best(false), || best(true));
    // Rules run both ways, lines of text one way only: the sharper profile is theirs.
    let (angle, sharpness) =
        if down.1 > 1.3 * across.1 { (-down.0, down.1) } else { (across.0, across.1) };
    if sharpness > 1.15 { angle } else { 0.0 }
}

/// Lower (or right) edges of strokes.
struct Profile {
    /// Along and across the lines.
    points: Vec<(f32, f32)>,
    /// The page's size along and across its lines.
    length: f32,
    extent: f32,
}

impl Profile {
    /// Of a page; `sideways` reads the page's columns as its lines.
    fn of(grey: &GrayImage, sideways: bool) -> Self {
        const ENOUGH: usize = 30_000;
        let (width, height) = (grey.width() as usize, grey.height() as usize);
        let raw = grey.as_raw();
        let step = if sideways { 1 } else { width };
        let mut points = Vec::new();
        for y in 2..height.saturating_sub(2) {
            for x in 2..width.saturating_sub(2) {
                let at = y * width + x;
                let (before, after) = (u32::from(raw[at - step]), u32::from(raw[at + step]));
                // A fifth darker, whatever the light.
                if after > before + 16 && before * 5 < after * 4 {
                    // Where within this pixel dark ends, by its own brightness: whole numbers
                    // would pile up by themselves at 0°.
                    let here = u32::from(raw[at]).clamp(before, after);
                    let within = (after - here) as f32 / (after - before) as f32;
                    points.push(if sideways {
                        (y as f32, x as f32 + within)
                    } else {
                        (x as f32, y as f32 + within)
                    });
                }
            }
        }
        let stride = points.len().div_ceil(ENOUGH).max(1);
        let points = points.into_iter().step_by(stride).collect();
        let (length, extent) = if sideways { (height, width) } else { (width, height) };
        Self { points, length: length as f32, extent: extent as f32 }
    }

    /// The angle with the sharpest profile, in degrees, and how much sharper than the median
    /// angle's it is.
    fn best(&self) -> (f64, f64) {
        /// One point in so many tells where to look closer.
        const SPARSE: usize = 4;
        if self.points.len() < 200 {
            return (0.0, 0.0);
        }
        let sparse: Vec<(f32, f32)> = self.points.iter().step_by(SPARSE).copied().collect();
        let around = |centre: f64, reach: f64, step: f64| {
            let steps = (reach / step).round() as i32;
            (-steps..=steps).map(move |i| centre + f64::from(i) * step)
        };
        let mut histogram = Vec::new();
        let mut sharpest = |points: &[(f32, f32)], angles: &mut dyn Iterator<Item = f64>| {
            angles
                .map(|angle| (angle, self.sharpness(points, angle, &mut histogram)))
                .fold((0.0, 0.0), |a, b| if b.1 > a.1 { b } else { a })
        };
        let (coarse, _) = sharpest(&sparse, &mut around(0.0, MAX_SKEW, 0.25));
        let (fine, _) = sharpest(&self.points, &mut around(coarse, 0.2, 0.05));
        let (finest, sharpness) = sharpest(&self.points, &mut around(fine, 0.04, 0.01));
        let usual = around(0.0, MAX_SKEW, 2.0);
        let usual = median(usual.map(|a| self.sharpness(&self.points, a, &mut histogram)));
        (finest, sharpness / usual.max(1e-9))
    }

    /// Sum of squares of the profile of points at an angle.
    fn sharpness(&self, points: &[(f32, f32)], degrees: f64, histogram: &mut Vec<f32>) -> f64 {
        let slope = degrees.to_radians().tan() as f32;
        let margin = (self.length * slope.abs()).ceil();
        histogram.resize(2 * (self.extent + 2.0 * margin) as usize + 8, 0.0);
        cic_kernels::pile(points, slope, margin, histogram);
        cic_kernels::roughness(histogram)
    }
}

/// The picture in grey, its short side about `short` pixels (never enlarged), by area averages.
pub(super) fn grey_thumbnail(picture: &DynamicImage, short: u32) -> GrayImage {
    let (width, height) = (picture.width(), picture.height());
    let target = (u64::from(width) * u64::from(short) / u64::from(width.min(height).max(1))) as u32;
    match picture {
        DynamicImage::ImageLuma8(grey) => shrunk(grey, target),
        DynamicImage::ImageRgb8(rgb) => averaged(rgb, (width, height), target, Channels::Luma),
        other => shrunk(&other.to_luma8(), target),
    }
}

/// A grey picture at a smaller width, by area averages; itself where it is no wider.
fn shrunk(grey: &GrayImage, width: u32) -> GrayImage {
    averaged(grey, grey.dimensions(), width, Channels::Grey)
}

/// What a colour has in common with white: wood and cloth, however bright, have less than paper.
fn whiteness(channels: [u8; 3]) -> u8 {
    channels.into_iter().fold(u8::MAX, u8::min)
}

/// A smaller picture of what some channels show, by area averages.
fn averaged(raw: &[u8], (width, height): (u32, u32), target: u32, channels: Channels) -> GrayImage {
    let target = target.clamp(1, width.max(1));
    let rows = ((u64::from(height) * u64::from(target) / u64::from(width.max(1))) as u32).max(1);
    let line = raw.len() / height.max(1) as usize;
    let shrink = Shrink::new(channels, width as usize, target as usize);
    let mut small = GrayImage::new(target, rows);
    small.par_chunks_exact_mut(target as usize).enumerate().for_each_init(
        ShrinkRoom::default,
        |room, (y, row)| {
            let (top, bottom) = cic_kernels::covered(y, height as usize, rows as usize);
            let covered = raw.get(top * line..bottom * line).unwrap_or_default();
            shrink.row(covered, room, row);
        },
    );
    small
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;

    impl Projective {
        fn inverse(&self) -> Self {
            let [[a, b, c], [d, e, f], [g, h, i]] = self.0;
            Self([
                [e * i - f * h, c * h - b * i, b * f - c * e],
                [f * g - d * i, a * i - c * g, c * d - a * f],
                [d * h - e * g, b * g - a * h, a * e - b * d],
            ])
        }
    }

    /// A page of text-like strokes and a table, from 0 to 1 in both directions.
    fn ink(x: f64, y: f64) -> bool {
        if !(0.08..0.92).contains(&x) || !(0.06..0.9).contains(&y) {
            return false;
        }
        let row = (y * 60.0).fract();
        let words = (x * 37.0 + (y * 60.0).floor() * 0.37).fract();
        let letters = (x * 180.0).fract();
        let in_table = (0.5..0.7).contains(&y);
        let rule = in_table && ((y * 20.0).fract() < 0.03 || ((x - 0.08) * 5.0).fract() < 0.012);
        rule || (row < 0.4 && words < 0.8 && letters < 0.55)
    }

    fn photo(quad: &[Dot; 4], size: (u32, u32), table: u8, shadow: f64) -> DynamicImage {
        let unit = Projective::unit_square_to(quad).inverse();
        let grey = GrayImage::from_fn(size.0, size.1, |px, py| {
            let (mut sum, samples) = (0.0, [0.25, 0.75]);
            for (dx, dy) in samples.iter().flat_map(|&dx| samples.map(|dy| (dx, dy))) {
                let Dot { x, y } = unit.apply(f64::from(px) + dx, f64::from(py) + dy);
                let on_paper = (0.0..1.0).contains(&x) && (0.0..1.0).contains(&y);
                // A soft shadow falls over the right half of the paper.
                let light = 1.0 - shadow * ((x - 0.4) * 3.0).clamp(0.0, 1.0);
                sum += match (on_paper, on_paper && ink(x, y)) {
                    (true, true) => 40.0 * light,
                    (true, false) => 225.0 * light,
                    _ => f64::from(table) + f64::from((px * 7 + py * 13) % 5),
                };
            }
            Luma([(sum / 4.0) as u8])
        });
        DynamicImage::ImageLuma8(grey)
    }

    fn dots(points: [(f64, f64); 4]) -> [Dot; 4] {
        points.map(|(x, y)| Dot { x, y })
    }

    /// A scan that fills its frame, its lines turned clockwise by these degrees.
    fn scan(degrees: f64) -> DynamicImage {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let grey = GrayImage::from_fn(1240, 1754, |px, py| {
            // Sampled four times over its height, as a scanner's pixels cover an area.
            let inked = [0.125, 0.375, 0.625, 0.875].into_iter().filter(|part| {
                let (x, y) = (f64::from(px) + 0.5 - 620.0, f64::from(py) + part - 877.0);
                let (x, y) = (x * cos + y * sin + 620.0, y * cos - x * sin + 877.0);
                ink(x / 1240.0, y / 1754.0)
            });
            Luma([245 - 54 * inked.count() as u8])
        });
        DynamicImage::ImageLuma8(grey)
    }

    const CORNERS: [(f64, f64); 4] =
        [(130.0, 160.0), (1060.0, 118.0), (1110.0, 1490.0), (85.0, 1440.0)];

    #[test]
    fn the_corners_of_a_sheet_are_found_to_a_thousandth_of_its_width() {
        for (table, shadow) in [(40, 0.0), (75, 0.45), (120, 0.2)] {
            let quad = dots(CORNERS);
            let picture = photo(&quad, (1200, 1620), table, shadow);
            let found = find_paper(&picture, &grey_thumbnail(&picture, 1250));
            let found = found.unwrap_or_else(|| panic!("no paper on a table of {table}"));
            assert!(!found.is_cut_off);
            for (want, got) in quad.iter().zip(&found.quad) {
                assert!(want.distance(*got) < 1.5, "table {table}: {want:?}, {got:?}");
            }
        }
    }

    #[test]
    fn a_photographed_sheet_comes_out_level_and_in_its_proportions() {
        let straight = straighten(photo(&dots(CORNERS), (1200, 1620), 60, 0.3));
        assert!(straight.cut);
        let (width, height) = (straight.image.width(), straight.image.height());
        assert!((f64::from(height) / f64::from(width) - A4).abs() < 0.01, "{width} × {height}");
        assert!(skew(&straight.image.to_luma8()).abs() < 0.05);
    }

    #[test]
    fn a_sheet_that_runs_out_of_the_frame_on_one_side_is_cut() {
        let quad = dots([(120.0, 130.0), (1080.0, 150.0), (1100.0, 1720.0), (100.0, 1700.0)]);
        let straight = straighten(photo(&quad, (1200, 1620), 50, 0.0));
        assert!(straight.cut && straight.cut_off);
    }

    #[test]
    fn a_scan_is_never_cut() {
        for degrees in [0.0, 1.3] {
            let straight = straighten(scan(degrees));
            assert!(!straight.cut && !straight.cut_off);
        }
        let blank = DynamicImage::ImageLuma8(GrayImage::from_pixel(800, 1100, Luma([250])));
        let straight = straighten(blank);
        assert!(!straight.cut && straight.skew == 0.0);
    }

    #[test]
    fn grey_row_of_a_scan_that_is_darker_at_its_foot_is_no_edge() {
        // The row lies from 370 down; what is below it is paper, or a table.
        let picture = |beyond: fn(f32) -> f32| {
            GrayImage::from_fn(360, 510, |_, y| {
                Luma([match y {
                    ..370 => 216,
                    370..381 => 185,
                    _ => beyond(y as f32 - 370.0) as u8,
                }])
            })
        };
        let edge = Edge { side: Side::Bottom, offset: 140.0, slope: 0.0 };
        let quad = dots([(0.0, 0.0), (360.0, 0.0), (360.0, 370.0), (0.0, 370.0)]);
        assert!(!is_beside_table(&picture(|down| 213.0 - 0.3 * down), &edge, &quad));
        assert!(is_beside_table(&picture(|_| 185.0), &edge, &quad));
        assert!(is_beside_table(&picture(|down| 185.0 + 0.1 * down), &edge, &quad));
    }

    #[test]
    fn skew_is_found_to_a_twentieth_of_a_degree() {
        for degrees in [-11.0, -5.0, -0.62, -0.1, 0.0, 0.33, 2.4, 6.5] {
            let found = skew(&grey_thumbnail(&scan(degrees), 1000));
            assert!((found - degrees).abs() < 0.05, "{degrees}: {found}");
        }
    }

    #[test]
    fn a_sideways_page_is_levelled_too() {
        let straight = straighten(scan(1.5).rotate90());
        assert!((straight.skew + 1.5).abs() < 0.05, "{}", straight.skew);
    }

    #[test]
    fn levelling_leaves_the_picture_s_size_alone() {
        let picture = scan(2.0);
        let straight = straighten(picture.clone());
        assert_eq!(
            (straight.image.width(), straight.image.height()),
            (picture.width(), picture.height())
        );
    }

    #[test]
    fn rows_that_miss_a_strip_turned_far_are_ground() {
        for degrees in [-9.0, 9.0] {
            let strip = DynamicImage::ImageLuma8(GrayImage::from_pixel(70, 2000, Luma([10])));
            let drawn = Sheet::scanned(70.0, 2000.0).draw(&strip, degrees, 255).to_luma8();
            assert!(drawn.rows().next().unwrap().all(|pixel| pixel.0 == [255]));
            assert_eq!(drawn.get_pixel(35, 1000).0, [10]);
        }
    }

    #[test]
    fn edges_that_lean_apart_are_none_of_one_sheet() {
        let small = GrayImage::new(384, 512);
        let whole = |each: [(f64, f64); 4]| {
            let edge = |at: usize| Edge { side: SIDES[at], offset: each[at].0, slope: each[at].1 };
            is_whole(&[0, 1, 2, 3].map(edge), &small)
        };
        assert!(whole([(40.0, 0.0), (41.0, 0.0), (40.0, 0.0), (41.0, 0.0)]));
        // A shadow's edge above, which makes another sheet of A4 of what lies below it.
        let lean = 12.0f64.to_radians().tan();
        assert!(!whole([(40.0, -0.02), (188.0, lean), (40.0, 0.02), (20.0, lean)]));
    }

    #[test]
    fn tiny_and_narrow_pictures_are_left_alone() {
        let narrow = [(65, 3000), (64, 33_000), (33_000, 64)];
        for (width, height) in [(1, 1), (1, 900), (63, 63), (64, 64)].into_iter().chain(narrow) {
            let straight = straighten(DynamicImage::new_rgb8(width, height));
            assert_eq!((straight.image.width(), straight.image.height()), (width, height));
        }
    }
}
