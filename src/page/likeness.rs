//! By what a page is known again: how dense its ink is, on a coarse grid.
//!
//! Promises:
//! - Light, noise, blur, JPEG and a sheet that was cut out a little differently change nothing that
//!   matters; other text does, even on the same form.
//! - What a page says cannot be had back from it: a cell is larger than a letter.

use std::fmt;

use image::GrayImage;

use super::{Page, straighten::grey_thumbnail};

/// Cells across and down: of A4, 4.4 × 3.7 mm, a line of text high and two letters wide.
const COLUMNS: usize = 48;
const ROWS: usize = 80;
/// Cells in one byte.
const PACKED: usize = 4;
/// Cells on each side of one that its paper is looked for on.
const AROUND: usize = 3;
/// Ink below this share of black is none: paper's grain, noise.
const LEAST_INK: f32 = 0.03;
/// Cells by which two pictures of one page may be shifted, across and down.
const SHIFT: (isize, isize) = (2, 3);
/// Correlation from which on two pages are the same. Of two different pages with more on them than
/// one short table, none has more than 0.6; of one page in two pictures, one in fifteen has less,
/// which costs no more than to read it twice.
const SAME: f32 = 0.7;

/// How dense the ink is in each cell, in four steps: 960 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Likeness(Box<[u8; COLUMNS * ROWS / PACKED]>);

/// What it is of stays with it.
impl fmt::Debug for Likeness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Likeness").finish_non_exhaustive()
    }
}

impl Likeness {
    /// Of a straightened page.
    pub fn of(page: &Page) -> Self {
        Self::of_grey(&grey_thumbnail(&page.image, 10 * COLUMNS as u32))
    }

    /// Of a page's grey picture.
    pub(super) fn of_grey(grey: &GrayImage) -> Self {
        let inks = inks(grey);
        let mut inked: Vec<f32> = inks.iter().copied().filter(|ink| *ink > LEAST_INK).collect();
        let middle = inked.len() / 2;
        // Against the typical ink, so that pale and bold pictures of one page are alike.
        let typical = match inked.is_empty() {
            true => 1.0,
            false => *inked.select_nth_unstable_by(middle, f32::total_cmp).1,
        };
        let mut packed = Box::new([0; COLUMNS * ROWS / PACKED]);
        for (cells, byte) in inks.chunks_exact(PACKED).zip(packed.iter_mut()) {
            for (at, ink) in cells.iter().enumerate() {
                *byte |= ((1.5 * ink / typical).round().clamp(0.0, 3.0) as u8) << (2 * at);
            }
        }
        Self(packed)
    }

    /// As bytes, for another process.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// Of what [`Self::as_bytes`] gave. Whatever the bytes, it is some likeness; there must be as
    /// many as it has.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(Box::new(bytes.try_into().ok()?)))
    }

    /// Whether the other one is most likely of the same page, lying the same way up.
    pub fn is_same_page(&self, other: &Self) -> bool {
        self.correlation(other) >= SAME
    }

    /// Pearson's correlation of the cells, at the shift where it is largest.
    fn correlation(&self, other: &Self) -> f32 {
        let (ours, theirs) = (self.cells(), other.cells());
        let across = -SHIFT.0..=SHIFT.0;
        let shifts = across.flat_map(|dx| (-SHIFT.1..=SHIFT.1).map(move |dy| (dx, dy)));
        shifts.map(|shift| correlation(&ours, &theirs, shift)).fold(-1.0, f32::max)
    }

    fn cells(&self) -> Vec<u8> {
        let unpack = |byte: &u8| [byte & 3, byte >> 2 & 3, byte >> 4 & 3, byte >> 6];
        self.0.iter().flat_map(unpack).collect()
    }
}

/// Of two grids, the second one shifted.
fn correlation(ours: &[u8], theirs: &[u8], (dx, dy): (isize, isize)) -> f32 {
    let overlap = |shift: isize, all: usize| {
        let (start, end) = ((-shift).max(0), (all as isize - shift).min(all as isize));
        (start as usize, end as usize)
    };
    let ((left, right), (top, bottom)) = (overlap(dx, COLUMNS), overlap(dy, ROWS));
    let [mut a, mut b, mut aa, mut bb, mut ab] = [0u32; 5];
    for y in top..bottom {
        let row = |y: usize, from: usize, to: usize| y * COLUMNS + from..y * COLUMNS + to;
        let there = |at: usize, shift: isize| at.saturating_add_signed(shift);
        let our_row = &ours[row(y, left, right)];
        let their_row = &theirs[row(there(y, dy), there(left, dx), there(right, dx))];
        for (&p, &q) in our_row.iter().zip(their_row) {
            let (p, q) = (u32::from(p), u32::from(q));
            a += p;
            b += q;
            aa += p * p;
            bb += q * q;
            ab += p * q;
        }
    }
    let count = ((right - left) * (bottom - top)) as f32;
    let [a, b, aa, bb, ab] = [a, b, aa, bb, ab].map(|sum| sum as f32);
    let (spread_a, spread_b) = (aa - a * a / count, bb - b * b / count);
    if spread_a < 1.0 && spread_b < 1.0 {
        // Both are blank.
        return 1.0;
    }
    (ab - a * b / count) / (spread_a * spread_b).sqrt().max(1.0)
}

/// The share of black in each cell, against the paper around it. Means come first, so that noise
/// is gone before anything is compared.
fn inks(grey: &GrayImage) -> Vec<f32> {
    let (width, height) = (grey.width() as usize, grey.height() as usize);
    if width < COLUMNS || height < ROWS {
        return vec![0.0; COLUMNS * ROWS];
    }
    let bounds = |i: usize, all: usize, of: usize| i * all / of..(i + 1) * all / of;
    let mut means = Vec::with_capacity(COLUMNS * ROWS);
    for row in 0..ROWS {
        let rows = bounds(row, height, ROWS);
        for column in 0..COLUMNS {
            let columns = bounds(column, width, COLUMNS);
            let count = rows.len() * columns.len();
            let line = |y: usize| &grey.as_raw()[y * width..][columns.clone()];
            let sum: u32 = rows.clone().flat_map(line).map(|value| u32::from(*value)).sum();
            means.push(sum as f32 / count as f32);
        }
    }
    let ink = |row: usize, column: usize| {
        let reach = |at: usize, all: usize| at.saturating_sub(AROUND)..(at + AROUND + 1).min(all);
        let around = |y: usize| &means[y * COLUMNS..][reach(column, COLUMNS)];
        let paper = reach(row, ROWS).flat_map(around).copied().fold(1.0, f32::max);
        1.0 - means[row * COLUMNS + column] / paper
    };
    (0..ROWS)
        .flat_map(|row| (0..COLUMNS).map(move |column| (row, column)))
        .map(|(row, column)| ink(row, column))
        .collect()
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, Luma, imageops};

    use super::*;

    /// A form: rules and headings are always the same, what is filled in depends on `text`.
    fn form(text: u32, width: u32) -> GrayImage {
        GrayImage::from_fn(width, width * 1414 / 1000, |x, y| {
            let (x, y) = (x * 1000 / width, y * 1000 / width);
            let (line, column) = (y / 32, x / 180);
            let words = (line * 7 + column * 13 + text * (column % 3).min(1) * 31)
                .wrapping_mul(2_654_435_761);
            let length = ((words >> 20) % 220).saturating_sub(60);
            let is_rule = y % 256 < 3;
            let is_letter = y % 32 > 16 && y % 32 < 26 && x % 180 < length && x % 9 < 5;
            let inside = (80..920).contains(&x) && (80..1330).contains(&y);
            Luma([if inside && (is_rule || is_letter) { 40 } else { 235 }])
        })
    }

    fn likeness(grey: GrayImage) -> Likeness {
        Likeness::of(&Page::from_picture(0, DynamicImage::ImageLuma8(grey)))
    }

    /// The same page in another picture: smaller, dim on one side, soft, shifted, noisy.
    fn again(page: &GrayImage) -> GrayImage {
        let soft = imageops::blur(page, 1.5);
        GrayImage::from_fn(page.width(), page.height(), |x, y| {
            let pixel = soft.get_pixel_checked(x + 3, y.saturating_sub(2));
            let light = 0.5 + 0.4 * x as f32 / page.width() as f32;
            let noise = ((y * page.width() + x).wrapping_mul(2_654_435_761) >> 28) as f32 - 8.0;
            let value = pixel.map_or(235.0, |pixel| f32::from(pixel.0[0]));
            Luma([(light * value + noise) as u8])
        })
    }

    #[test]
    fn a_page_is_known_again_in_another_picture() {
        for text in 0..4 {
            let first = likeness(form(text, 1600));
            let second = likeness(again(&form(text, 900)));
            assert!(first.is_same_page(&second), "{text}: {}", first.correlation(&second));
        }
    }

    #[test]
    fn another_text_on_the_same_form_is_another_page() {
        for text in 0..4 {
            let first = likeness(form(text, 1600));
            for other in (0..4).filter(|other| *other != text) {
                let second = likeness(again(&form(other, 900)));
                let alike = first.correlation(&second);
                assert!(alike < SAME, "{text}, {other}: {alike}");
            }
        }
    }

    #[test]
    fn blank_and_tiny_pages_are_like_each_other_and_like_no_other() {
        let blank = || likeness(GrayImage::from_pixel(800, 1100, Luma([240])));
        let tiny = likeness(GrayImage::from_pixel(1, 1, Luma([0])));
        assert!(blank().is_same_page(&blank()) && blank().is_same_page(&tiny));
        assert!(!blank().is_same_page(&likeness(form(0, 900))));
    }
}
