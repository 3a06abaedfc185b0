//! Pictures at another size.

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, f32x4, u8x16, u16x8};

/// As many rows as 16 bits hold the sum of.
const MOST_ROWS: usize = 257;

/// What of a pixel's channels is averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// The only one there is.
    Grey,
    /// Brightness of red, green and blue, by the weights of Rec. 601.
    Luma,
    /// What red, green and blue have in common with white: the least of them.
    Whiteness,
}

/// Makes a smaller picture, row by row: of each pixel the mean over the area that it covers, in
/// whole pixels.
#[derive(Clone, Debug)]
pub struct Shrink {
    channels: Channels,
    width: usize,
    /// Of each pixel of a row the first one that it covers, and the one after the last.
    covered: Vec<(usize, usize)>,
}

/// Room for a [`Shrink`]'s work on one row after the other.
#[derive(Clone, Debug, Default)]
pub struct ShrinkRoom {
    /// Of each byte of a row, whatever channel it is, the sum over the rows.
    columns: Vec<u16>,
    /// Of each pixel the sum of all before it; they may wrap around.
    before: Vec<u32>,
}

impl Shrink {
    /// From rows of `width` pixels to rows of `target`.
    pub fn new(channels: Channels, width: usize, target: usize) -> Self {
        let width = width.max(1);
        let covered = (0..target).map(|x| covered(x, width, target)).collect();
        Self { channels, width, covered }
    }

    /// Writes a row. `rows` are the rows of the larger picture that it covers, of which the first
    /// 257 count.
    pub fn row(&self, rows: &[u8], room: &mut ShrinkRoom, row: &mut [u8]) {
        let of_pixel = if self.channels == Channels::Grey { 1 } else { 3 };
        let ShrinkRoom { columns, before } = room;
        let line = self.width * of_pixel;
        let count = (rows.len() / line).min(MOST_ROWS);
        let rows = &rows[..count * line];
        columns.resize(line, 0);
        dispatch!(Level::baseline(), simd => match self.channels {
            Channels::Grey | Channels::Luma => add(simd, rows, columns, &[0]),
            Channels::Whiteness => add(simd, rows, columns, &[0, 1, 2]),
        });
        before.clear();
        before.push(0);
        let pixels: &[[u16; 3]] = columns.as_chunks().0;
        match self.channels {
            Channels::Grey => run(before, columns.iter().map(|&sum| u32::from(sum))),
            Channels::Luma => run(before, pixels.iter().map(luma)),
            Channels::Whiteness => run(before, pixels.iter().map(|[least, ..]| u32::from(*least))),
        }
        // Pixels cover as many as each other, or one more. To divide is slow, to multiply is not.
        let narrow = self.width / self.covered.len().max(1);
        let areas = [narrow, narrow + 1].map(|columns| (columns * count).max(1) as u64);
        let shares = areas.map(|area| (1u64 << 32).div_ceil(area));
        for (value, &(left, right)) in row.iter_mut().zip(&self.covered) {
            let wide = usize::from(right - left > narrow);
            let sum = u64::from(before[right].wrapping_sub(before[left]));
            *value = (((sum + areas[wide] / 2) * shares[wide]) >> 32) as u8;
        }
    }
}

fn run(before: &mut Vec<u32>, sums: impl Iterator<Item = u32>) {
    let mut all = 0u32;
    before.extend(sums.map(|sum| {
        all = all.wrapping_add(sum);
        all
    }));
}

fn luma(pixel: &[u16; 3]) -> u32 {
    let [r, g, b] = pixel.map(u32::from);
    (77 * r + 150 * g + 29 * b) >> 8
}

/// The pixels, of `from`, that pixel `index` covers of as many as `to`: at least one.
pub fn covered(index: usize, from: usize, to: usize) -> (usize, usize) {
    let to = to.max(1);
    let start = (index * from / to).min(from.saturating_sub(1));
    (start, ((index + 1) * from / to).max(start + 1).min(from))
}

/// Writes of each byte of a row the sum over `rows`, of the least of it and those at other places
/// from it. With the next two of [0, 1, 2] that is, for every third byte, the least channel of a
/// pixel; the others are nothing, but to pick them out would take longer.
#[inline(always)]
fn add<S: Simd>(simd: S, rows: &[u8], sums: &mut [u16], others: &[usize]) {
    let line = sums.len();
    let least = |at: usize| others.iter().filter_map(|other| rows.get(at + other)).copied().min();
    let (groups, rest) = sums.as_chunks_mut::<16>();
    let vectors = groups.len();
    for (start, sums) in groups.iter_mut().enumerate() {
        let mut all = [u16x8::splat(simd, 0); 2];
        for at in (16 * start..rows.len()).step_by(line) {
            let bytes =
                |at: usize| rows.get(at..at + 16).map(|bytes| u8x16::from_slice(simd, bytes));
            let levels = others.iter().map(|other| bytes(at + other));
            let levels = levels.reduce(|a, b| Some(a?.min(b?))).flatten();
            // Of the last pixels of all, less than as many bytes are left.
            let levels = levels.unwrap_or_else(|| {
                let levels: [u8; 16] = std::array::from_fn(|i| least(at + i).unwrap_or(0));
                u8x16::from_slice(simd, &levels)
            });
            let (low, high) = simd.widen_u8x16(levels);
            all = [all[0] + low, all[1] + high];
        }
        all[0].store_slice(&mut sums[..8]);
        all[1].store_slice(&mut sums[8..]);
    }
    for (i, sum) in rest.iter_mut().enumerate() {
        let places = (16 * vectors + i..rows.len()).step_by(line);
        *sum = places.filter_map(least).map(u16::from).sum();
    }
}

/// Pixels of a target as weighted sums of the source's, along rows or columns.
struct Taps {
    /// Of each target pixel the first of the source's, and the end of its weights among all.
    taps: Vec<(usize, usize)>,
    weights: Vec<f32>,
}

/// Scales a grey picture to another width and height, row by row: by averaging the area that each
/// target pixel covers, pixels in part included, where the target is smaller, bilinearly where it
/// is larger.
pub struct Scale {
    width: usize,
    columns: Taps,
    rows: Taps,
}

impl Scale {
    /// From a picture of this width and height to one of another; extents are at least one.
    pub fn new(from: (usize, usize), to: (usize, usize)) -> Self {
        let width = from.0.max(1);
        Self { width, columns: Taps::of(width, to.0), rows: Taps::of(from.1.max(1), to.1) }
    }

    /// Writes row `y`; `sums` is room for its work. What the source lacks is black.
    pub fn row(&self, source: &[u8], y: usize, sums: &mut Vec<f32>, row: &mut [u8]) {
        // First the rows that it covers are summed, then the columns.
        sums.resize(self.width, 0.0);
        let (first, weights) = self.rows.at(y);
        let rows = source.get(first * self.width..).unwrap_or_default();
        dispatch!(Level::baseline(), simd => weigh(simd, rows, weights, sums));
        for (x, value) in row.iter_mut().enumerate() {
            let (first, weights) = self.columns.at(x);
            let covered = sums.get(first..first + weights.len()).unwrap_or_default();
            let covered = covered.iter().zip(weights).map(|(sum, weight)| sum * weight);
            *value = (covered.sum::<f32>() + 0.5) as u8;
        }
    }
}

/// Writes the weighted sums of as many of `rows` as there are weights, and rows.
#[inline(always)]
fn weigh<S: Simd>(simd: S, rows: &[u8], weights: &[f32], sums: &mut [f32]) {
    let line = sums.len();
    let (groups, rest) = sums.as_chunks_mut::<16>();
    let vectors = groups.len();
    for (start, sums) in groups.iter_mut().enumerate() {
        let mut all = [f32x4::splat(simd, 0.0); 4];
        for (row, &weight) in rows.chunks_exact(line).zip(weights) {
            let (low, high) =
                simd.widen_u8x16(u8x16::from_slice(simd, &row[16 * start..16 * (start + 1)]));
            let ((a, b), (c, d)) = (simd.widen_u16x8(low), simd.widen_u16x8(high));
            for (sum, levels) in all.iter_mut().zip([a, b, c, d]) {
                // As signed numbers, which more processors turn into fractions.
                *sum += simd.cvt_f32_i32x4(levels.bitcast()) * weight;
            }
        }
        for (sum, to) in all.iter().zip(sums.chunks_exact_mut(4)) {
            sum.store_slice(to);
        }
    }
    for (i, sum) in rest.iter_mut().enumerate() {
        let rows = rows.chunks_exact(line).zip(weights);
        *sum = rows.map(|(row, weight)| f32::from(row[16 * vectors + i]) * weight).sum();
    }
}

impl Taps {
    /// Those that turn `from` pixels into `to`; each one's weights add up to 1.
    fn of(from: usize, to: usize) -> Self {
        let ratio = from as f64 / to as f64;
        let last = from - 1;
        let mut weights = Vec::new();
        let tap = |index: usize| {
            let first = if ratio > 1.0 {
                let (start, end) = (index as f64 * ratio, (index + 1) as f64 * ratio);
                let first = (start as usize).min(last);
                let stop = (end.ceil() as usize).clamp(first + 1, last + 1);
                let covered =
                    |pixel: usize| (end.min((pixel + 1) as f64) - start.max(pixel as f64)).max(0.0);
                weights.extend((first..stop).map(|pixel| (covered(pixel) / ratio) as f32));
                first
            } else {
                let place = ((index as f64 + 0.5) * ratio - 0.5).clamp(0.0, last as f64);
                let first = place as usize;
                let share = (place - first as f64) as f32;
                if first < last {
                    weights.extend([1.0 - share, share]);
                } else {
                    weights.push(1.0);
                }
                first
            };
            (first, weights.len())
        };
        let taps = (0..to).map(tap).collect();
        Self { taps, weights }
    }

    /// The first pixel of a target pixel, and its weights; none beyond the last one.
    fn at(&self, index: usize) -> (usize, &[f32]) {
        let start = index.checked_sub(1).map_or(0, |before| self.end(before));
        let first = self.taps.get(index).map_or(0, |&(first, _)| first);
        (first, self.weights.get(start..self.end(index)).unwrap_or_default())
    }

    fn end(&self, index: usize) -> usize {
        self.taps.get(index).map_or(0, |&(_, end)| end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(source: &[u8], from: (usize, usize), to: (usize, usize)) -> Vec<u8> {
        let scale = Scale::new(from, to);
        let mut scaled = vec![7; to.0 * to.1];
        for (y, row) in scaled.chunks_exact_mut(to.0).enumerate() {
            scale.row(source, y, &mut Vec::new(), row);
        }
        scaled
    }

    #[test]
    fn shrinking_averages_what_a_pixel_covers() {
        // Each target pixel covers one and a half of the source.
        assert_eq!(scale(&[0, 90, 240], (3, 1), (2, 1)), [30, 190]);
    }

    #[test]
    fn growing_interpolates_between_the_middles_of_pixels() {
        assert_eq!(scale(&[0, 100], (2, 1), (4, 1)), [0, 25, 75, 100]);
    }

    #[test]
    fn a_picture_of_the_same_size_stays_as_it_is() {
        let source: Vec<u8> = (0..12).map(|i| i * 20).collect();
        assert_eq!(scale(&source, (4, 3), (4, 3)), source);
    }

    #[test]
    fn a_flat_picture_stays_flat_at_any_size() {
        let flat = vec![77; 37 * 53];
        for to in [(1, 1), (10, 90), (200, 7), (37, 53)] {
            assert!(scale(&flat, (37, 53), to).iter().all(|&pixel| pixel == 77));
        }
    }

    #[test]
    fn what_a_picture_lacks_is_black() {
        assert_eq!(scale(&[], (0, 0), (2, 1)), [0, 0]);
        assert_eq!(scale(&[40], (1, 3), (1, 3)), [40, 0, 0]);
        let mut row = [7; 2];
        Scale::new((1, 1), (1, 1)).row(&[40], 1, &mut Vec::new(), &mut row);
        assert_eq!(row, [0, 0]);
    }

    #[test]
    fn whole_pixels_are_averaged_in_any_channel() {
        let rgb = [[0, 100, 200], [100, 200, 255], [10, 20, 30]].concat();
        let shrunk = |channels, rows: &[u8], width, target| {
            let mut row = vec![0; target];
            Shrink::new(channels, width, target).row(rows, &mut ShrinkRoom::default(), &mut row);
            row
        };
        assert_eq!(shrunk(Channels::Whiteness, &rgb, 3, 2), [0, 55]);
        assert_eq!(shrunk(Channels::Luma, &rgb[6..], 1, 1), [18]);
        // Two rows of three.
        assert_eq!(shrunk(Channels::Grey, &[10, 20, 30, 30, 40, 50], 3, 1), [30]);
        assert_eq!(shrunk(Channels::Grey, &[], 3, 2), [0, 0]);
        // More rows than count.
        assert_eq!(shrunk(Channels::Grey, &[255; 1000], 2, 1), [255]);
    }
}
