//! Pixels taken from between those of a picture.

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, u8x16, u16x8};

/// A grey picture.
#[derive(Clone, Copy, Debug)]
pub struct Grey<'a> {
    pixels: &'a [u8],
    width: usize,
    height: usize,
}

impl<'a> Grey<'a> {
    /// A picture of rows of `width` pixels; those that the slice does not fill do not count.
    pub fn new(pixels: &'a [u8], width: usize) -> Self {
        let height = pixels.len().checked_div(width).unwrap_or(0);
        Self { pixels, width, height }
    }

    /// Adds to each of `sums` as many samples of the picture as `fine`: they lie one `step` (in x
    /// and y) after the other, from `start` on. A place is in pixels, the middle of the first one
    /// being at 0.5, 0.5; the picture's edge goes on for ever. One without pixels is white.
    pub fn add_samples(&self, start: (f32, f32), step: (f32, f32), fine: usize, sums: &mut [f32]) {
        if self.width == 0 || self.height == 0 {
            sums.iter_mut().for_each(|sum| *sum += 255.0 * fine as f32);
            return;
        }
        let place = |at: f32| (start.0 + at * step.0 - 0.5, start.1 + at * step.1 - 0.5);
        let (right, bottom) = ((self.width - 1) as f32, (self.height - 1) as f32);
        // Where the ends of a line have neighbours to all sides, so has what is between them.
        let ends = [0.0, (sums.len() * fine).saturating_sub(1) as f32].map(place);
        let is_inside =
            ends.iter().all(|(x, y)| (0.0..right).contains(x) && (0.0..bottom).contains(y));
        let mut at = 0.0;
        for sum in sums {
            for _ in 0..fine {
                let (x, y) = place(at);
                *sum += if is_inside { self.within(x, y) } else { self.sample(x, y) };
                at += 1.0;
            }
        }
    }

    /// The same as [`Self::sample`] for a place between four pixels.
    #[inline(always)]
    fn within(&self, x: f32, y: f32) -> f32 {
        let (left, top) = (x as usize, y as usize);
        let at = top * self.width + left;
        let Some(around) = self.pixels.get(at..at + self.width + 2) else { return 0.0 };
        let level = |at: usize| f32::from(around[at]);
        let (across, down) = (x - left as f32, y - top as f32);
        let (corner, beneath) = (level(0), level(self.width));
        let upper = corner + (level(1) - corner) * across;
        let lower = beneath + (level(self.width + 1) - beneath) * across;
        upper + (lower - upper) * down
    }

    /// The level at a place, bilinearly.
    #[inline(always)]
    fn sample(&self, x: f32, y: f32) -> f32 {
        let x = x.clamp(0.0, (self.width - 1) as f32);
        let y = y.clamp(0.0, (self.height - 1) as f32);
        let (left, top) = (x as usize, y as usize);
        let (across, down) = (x - left as f32, y - top as f32);
        let at = top * self.width + left;
        let aside = usize::from(left + 1 < self.width);
        let below = if top + 1 < self.height { self.width } else { 0 };
        let level = |at: usize| self.pixels.get(at).map_or(0.0, |&level| f32::from(level));
        let (corner, beneath) = (level(at), level(at + below));
        let upper = corner + (level(at + aside) - corner) * across;
        let lower = beneath + (level(at + below + aside) - beneath) * across;
        upper + (lower - upper) * down
    }
}

/// Evenly spaced places of a picture of `N` channels, in fixed point: 65,536ths of a pixel, the
/// middle of the first one being at 0, 0.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The first place.
    pub from: (i64, i64),
    /// From one to the next.
    pub step: (i64, i64),
}

/// One pixel, in fixed point.
const ONE: i64 = 1 << 16;

/// Places that are drawn at once, where there are as many.
const AT_ONCE: usize = 16;

impl Span {
    /// Writes the pixels at its places, each interpolated between the four around it; those off the
    /// picture stay as they are. The picture has rows of `width` grey pixels, two at least.
    pub fn draw_grey(&self, source: &[u8], width: usize, target: &mut [u8]) {
        dispatch!(Level::baseline(), simd => self.draw::<1, _>(simd, source, width, target));
    }

    /// The same for red, green and blue.
    pub fn draw_rgb(&self, source: &[u8], width: usize, target: &mut [u8]) {
        dispatch!(Level::baseline(), simd => self.draw::<3, _>(simd, source, width, target));
    }

    #[inline(always)]
    fn draw<const N: usize, S: Simd>(
        &self,
        simd: S,
        source: &[u8],
        width: usize,
        target: &mut [u8],
    ) {
        let height = source.len().checked_div(width * N).unwrap_or(0);
        let (right, bottom) = ((width as i64 - 1) * ONE, (height as i64 - 1) * ONE);
        let target: &mut [[u8; N]] = target.as_chunks_mut().0;
        let steps = target.len().saturating_sub(1) as i64;
        let last = (self.from.0 + steps * self.step.0, self.from.1 + steps * self.step.1);
        let is_inside = |(x, y)| (0..right).contains(&x) && (0..bottom).contains(&y);
        let (mut x, mut y) = self.from;
        if is_inside(self.from) && is_inside(last) {
            for target in target.chunks_mut(AT_ONCE) {
                let span = Self { from: (x, y), step: self.step };
                span.draw_amid(simd, source, width * N, target);
                let steps = target.len() as i64;
                (x, y) = (x + steps * self.step.0, y + steps * self.step.1);
            }
            return;
        }
        let below = if height > 1 { width * N } else { 0 };
        for pixel in target {
            if (-ONE..right + ONE).contains(&x) && (-ONE..bottom + ONE).contains(&y) {
                // The last pixel of a row or column has none beside it, nor does it need one.
                let nearest = |place: i64, last: i64| place.clamp(0, (last - 1).max(0));
                blend(source, width * N, below, (nearest(x, right), nearest(y, bottom)), pixel);
            }
            (x, y) = (x + self.step.0, y + self.step.1);
        }
    }

    /// Writes its pixels, all of which lie between four others, of a picture with rows of `row`
    /// bytes.
    #[inline(always)]
    fn draw_amid<const N: usize, S: Simd>(
        &self,
        simd: S,
        source: &[u8],
        row: usize,
        target: &mut [[u8; N]],
    ) {
        if self.draw_row(simd, source, row, target).is_none() {
            let (mut x, mut y) = self.from;
            for pixel in target {
                amid(source, row, (x, y), pixel);
                (x, y) = (x + self.step.0, y + self.step.1);
            }
        }
    }

    /// The same where [`AT_ONCE`] of them follow each other pixel by pixel, up or down by less than
    /// one: several bytes at once.
    #[inline(always)]
    fn draw_row<const N: usize, S: Simd>(
        &self,
        simd: S,
        source: &[u8],
        row: usize,
        target: &mut [[u8; N]],
    ) -> Option<()> {
        let ((x, y), (right, down)) = (self.from, self.step);
        let steps = AT_ONCE as i64 - 1;
        // What is between the ends steps as evenly as they do.
        if target.len() != AT_ONCE
            || (x + steps * right) >> 16 != (x >> 16) + steps
            || (steps * down).abs() >= ONE
        {
            return None;
        }
        // Where they go up, the row that they come to is above.
        let is_up = down < 0;
        let at = ((y >> 16) as usize).checked_sub(is_up.into())? * row + (x >> 16) as usize * N;
        let bytes = |at: usize| source.get(at..at + (AT_ONCE + 1) * N);
        let (first, second) = (bytes(at)?, bytes(at + row)?);
        // None of them comes to a third row that is not there.
        let third = bytes(at + 2 * row).unwrap_or(second);
        let (x, y, right, down) = (x as u16, y as u16, right as u16, down as u16);
        let between = |a: u16x8<S>, b: u16x8<S>, share: u16x8<S>| {
            (a * (u16x8::splat(simd, 256) - share) + b * share + 128) >> 8
        };
        for (part, target) in target.as_flattened_mut().chunks_exact_mut(16).enumerate() {
            let halves = |row: &[u8], at: usize| {
                let (low, high) = simd.widen_u8x16(u8x16::from_slice(simd, &row[at..at + 16]));
                [low, high]
            };
            // Pixels, and those right of them.
            let pixels = |row| [halves(row, 16 * part), halves(row, 16 * part + N)];
            let rows = [pixels(first), pixels(second), pixels(third)];
            let [low, high] = std::array::from_fn(|half| {
                // The 16 bits below the point of each place step by those of a step.
                let byte = 16 * part + 8 * half;
                let steps: [u16; 8] = std::array::from_fn(|i| ((byte + i) / N) as u16);
                let steps = u16x8::from_slice(simd, &steps);
                let (across, place) = ((steps * right + x) >> 8, steps * down + y);
                let columns =
                    |[left, right]: [[u16x8<S>; 2]; 2]| between(left[half], right[half], across);
                let [first, second, third] = rows.map(columns);
                let is_low = if is_up { place.simd_le(y) } else { place.simd_lt(y) };
                // In the lower one of both rows, between the second and the third.
                let (above, beneath) = (is_low.select(second, first), is_low.select(third, second));
                between(above, beneath, place >> 8)
            });
            simd.relaxed_narrow_u16x8(low, high).store_slice(target);
        }
        Some(())
    }
}

/// Writes the same as [`blend`], of a place between four pixels; three channels at once.
#[inline(always)]
fn amid<const N: usize>(source: &[u8], row: usize, (x, y): (i64, i64), pixel: &mut [u8; N]) {
    /// One half of a level, and a whole one's bits, in each of three numbers of 16 bits.
    const HALVES: u64 = 0x0080_0080_0080;
    const LEVELS: u64 = 0x00ff_00ff_00ff;
    let at = (y >> 16) as usize * row + (x >> 16) as usize * N;
    let (across, down) = ((x as u64 >> 8) & 0xff, (y as u64 >> 8) & 0xff);
    let two_pixels = |at: usize| Some(u64::from_le_bytes(*source.get(at..)?.first_chunk()?));
    let (3, Some(upper), Some(lower)) = (N, two_pixels(at), two_pixels(at + row)) else {
        return blend(source, row, row, (x, y), pixel);
    };
    let apart = |rgb: u64| rgb & 0xff | (rgb & 0xff00) << 8 | (rgb & 0xff_0000) << 16;
    let between =
        |a: u64, b: u64, share: u64| (a * (256 - share) + b * share + HALVES) >> 8 & LEVELS;
    let columns = |pair: u64| between(apart(pair), apart(pair >> 24), across);
    let levels = between(columns(upper), columns(lower), down);
    let levels = [levels as u8, (levels >> 16) as u8, (levels >> 32) as u8];
    pixel.copy_from_slice(&levels[..N]);
}

/// Writes one pixel between the four around a place, of a picture with rows of `row` bytes; the two
/// lower ones lie `below` bytes on.
#[inline(always)]
fn blend<const N: usize>(
    source: &[u8],
    row: usize,
    below: usize,
    (x, y): (i64, i64),
    pixel: &mut [u8; N],
) {
    let at = (y >> 16) as usize * row + (x >> 16) as usize * N;
    let (across, down) = ((x >> 8) as u16 & 0xff, (y >> 8) as u16 & 0xff);
    let (upper, lower) = (source.get(at..at + 2 * N), source.get(at + below..at + below + 2 * N));
    if let (Some(upper), Some(lower)) = (upper, lower) {
        let between = |a: u16, b: u16, share: u16| (a * (256 - share) + b * share + 128) >> 8;
        for i in 0..N {
            let columns = |row: &[u8]| between(row[i].into(), row[i + N].into(), across);
            pixel[i] = between(columns(upper), columns(lower), down) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampling_follows_the_pixels_middles_and_stops_at_the_edge() {
        let picture = Grey::new(&[0, 100, 100, 200], 2);
        let at = |x, y| {
            let mut sum = [0.0];
            picture.add_samples((x, y), (0.0, 0.0), 1, &mut sum);
            sum[0]
        };
        assert_eq!(
            [at(0.5, 0.5), at(1.0, 1.0), at(9.0, -9.0), at(9.0, 9.0)],
            [0.0, 100.0, 100.0, 200.0]
        );
    }

    #[test]
    fn samples_are_added_in_groups_along_a_line() {
        let mut sums = [1.0; 2];
        Grey::new(&[0, 10, 20, 30], 4).add_samples((0.5, 0.5), (1.0, 0.0), 2, &mut sums);
        assert_eq!(sums, [11.0, 51.0]);
    }

    #[test]
    fn samples_are_the_same_whether_their_line_leaves_the_picture_or_not() {
        let pixels: Vec<u8> = (0..48).map(|i| (i * 89 % 251) as u8).collect();
        let picture = Grey::new(&pixels, 8);
        let mut leaving = [0.0; 9];
        picture.add_samples((-1.0, 0.8), (1.1, 0.45), 1, &mut leaving);
        let mut amid = [0.0; 5];
        picture.add_samples((1.2, 1.7), (1.1, 0.45), 1, &mut amid);
        for (a, b) in leaving[2..].iter().zip(amid) {
            assert!((a - b).abs() < 0.001, "{leaving:?} {amid:?}");
        }
    }

    #[test]
    fn a_picture_without_pixels_is_white() {
        let mut sums = [0.0];
        Grey::new(&[], 0).add_samples((3.0, 4.0), (1.0, 1.0), 3, &mut sums);
        assert_eq!(sums, [765.0]);
    }

    #[test]
    fn three_channels_at_once_are_each_what_it_is_alone() {
        let rgb: Vec<u8> = (0..9 * 7 * 3).map(|i| (i * 89 % 256) as u8).collect();
        let channel = |i: usize| rgb.iter().skip(i).step_by(3).copied().collect::<Vec<u8>>();
        for from in [(ONE / 3, ONE / 7), (5 * ONE, 4 * ONE - 1), (ONE, 0)] {
            let span = Span { from, step: (ONE - 977, 311) };
            let mut drawn = [0; 9];
            span.draw_rgb(&rgb, 9, &mut drawn);
            for i in 0..3 {
                let mut alone = [0; 3];
                span.draw_grey(&channel(i), 9, &mut alone);
                let of_three: Vec<u8> = drawn.iter().skip(i).step_by(3).copied().collect();
                assert_eq!(of_three, alone, "{from:?}, channel {i}");
            }
        }
    }

    #[test]
    fn many_pixels_at_once_are_each_what_it_is_alone() {
        let rgb: Vec<u8> = (0..20 * 6 * 3).map(|i| (i * 89 % 251) as u8).collect();
        let drawn = |span: Span, count: usize| {
            let mut target = vec![7; 3 * count];
            span.draw_rgb(&rgb, 20, &mut target);
            target
        };
        // Along a row, into the one below and above, over two rows, and with other steps than one.
        let ways = [(0, 0), (-3, 2000), (3, -2000), (0, 4369), (0, -4369), (0, 9000), (900, 0)];
        for (right, down) in ways {
            for y in [0, ONE / 2, ONE, 2 * ONE + 1, 3 * ONE - 1, 4 * ONE + ONE / 2] {
                let step = (ONE + right, down);
                let from = (ONE + 300, y);
                let one =
                    |i: i64| drawn(Span { from: (from.0 + i * step.0, y + i * down), step }, 1);
                let alone: Vec<u8> = (0..16).flat_map(one).collect();
                assert_eq!(drawn(Span { from, step }, 16), alone, "{from:?} {step:?}");
            }
        }
    }

    #[test]
    fn a_span_draws_between_pixels_up_to_half_of_one_beyond_the_edge() {
        let source = [0, 100, 200, 40, 140, 240];
        let mut target = [7; 6];
        let span = Span { from: (-ONE - 1, ONE / 2), step: (ONE / 2, 0) };
        span.draw_grey(&source, 3, &mut target);
        assert_eq!(target, [7, 20, 20, 70, 120, 170]);
        let mut target = [7; 3];
        Span { from: (ONE / 2, 0), step: (0, 0) }.draw_rgb(
            &[0, 10, 20, 100, 110, 120],
            2,
            &mut target,
        );
        assert_eq!(target, [50, 60, 70]);
        Span { from: (0, 0), step: (0, 0) }.draw_grey(&[], 0, &mut target);
        assert_eq!(target, [50, 60, 70]);
    }
}
