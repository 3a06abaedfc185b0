//! What a patch of a page looks like.

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, u8x16, u32x4};

/// How many pixels of a grey picture have each level.
pub fn levels(grey: &[u8]) -> [u32; 256] {
    // Neighbours are often alike, and to count on in the same place would have each wait for the
    // one before it.
    let mut counts = [[0u32; 256]; 4];
    let (groups, rest) = grey.as_chunks::<4>();
    for group in groups {
        for (counts, &level) in counts.iter_mut().zip(group) {
            counts[usize::from(level)] += 1;
        }
    }
    for &level in rest {
        counts[0][usize::from(level)] += 1;
    }
    std::array::from_fn(|level| counts.iter().map(|counts| counts[level]).sum())
}

/// Of a square of a grey picture in rows of `width` pixels: how many of its pixels have each level,
/// and the sums of squared differences between pixels that are one and three apart, along the rows
/// and along the columns. Both reach three pixels beyond the square, whose top left pixel is at
/// `corner`; what lies outside of the picture does not count.
pub fn texture(
    grey: &[u8],
    width: usize,
    (left, top): (usize, usize),
    side: usize,
) -> ([u32; 256], [[u32; 2]; 2]) {
    let mut counts = [0; 256];
    let mut steps = [[0; 2]; 2];
    let row = |y: usize, x: usize| grey.get(y * width + x..).and_then(|rest| rest.get(..side));
    for y in top..top + side {
        let here = row(y, left).unwrap_or_default();
        for &level in here {
            counts[usize::from(level)] += 1;
        }
        let to = |other: Option<&[u8]>| {
            let other = other.unwrap_or_default();
            dispatch!(Level::baseline(), simd => squares(simd, here, other))
        };
        steps[0][0] += to(row(y, left + 1));
        steps[0][1] += to(row(y, left + 3));
        steps[1][0] += to(row(y + 1, left));
        steps[1][1] += to(row(y + 3, left));
    }
    (counts, steps)
}

#[inline(always)]
fn squares<S: Simd>(simd: S, a: &[u8], b: &[u8]) -> u32 {
    let ((groups, rest), (others, others_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let mut all = u32x4::splat(simd, 0);
    for (a, b) in groups.iter().zip(others) {
        let (a, b) = (u8x16::from_slice(simd, a), u8x16::from_slice(simd, b));
        let apart = a.max(b) - a.min(b);
        let (low, high) = simd.widening_mul_u8x16(apart, apart);
        all += simd.pairwise_widening_add_u16x8(low) + simd.pairwise_widening_add_u16x8(high);
    }
    let square = |(a, b): (&u8, &u8)| u32::from(a.abs_diff(*b)).pow(2);
    let rest: u32 = rest.iter().zip(others_rest).map(square).sum();
    simd.reduce_sum_u32x4(all) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_counted_whatever_the_length() {
        for length in [0, 1, 3, 4, 255, 1027] {
            let grey: Vec<u8> = (0..length).map(|i| (i * i % 251) as u8).collect();
            let mut counts = [0; 256];
            grey.iter().for_each(|&level| counts[usize::from(level)] += 1);
            assert_eq!(levels(&grey), counts);
        }
    }

    #[test]
    fn levels_are_counted_and_differences_squared() {
        // Rises by 2 to the right and by 5 down.
        let width = 20;
        let grey: Vec<u8> =
            (0..width * 20).map(|i| (i % width * 2 + i / width * 5) as u8).collect();
        let (counts, steps) = texture(&grey, width, (4, 6), 8);
        assert_eq!(counts.iter().sum::<u32>(), 64);
        assert_eq!((counts[38], counts[37]), (1, 0));
        assert_eq!(steps, [[64 * 4, 64 * 36], [64 * 25, 64 * 225]]);
        // Some at once, and what is left.
        let grey: Vec<u8> = (0..40 * 40).map(|i| (i % 40 * 2 + i / 40 * 3) as u8).collect();
        let (_, steps) = texture(&grey, 40, (0, 0), 19);
        assert_eq!(steps, [[361 * 4, 361 * 36], [361 * 9, 361 * 81]]);
    }

    #[test]
    fn what_lies_outside_does_not_count() {
        let (counts, steps) = texture(&[0, 10], 2, (0, 0), 2);
        assert_eq!((counts[0], counts[10]), (1, 1));
        assert_eq!(steps, [[0; 2]; 2]);
        assert_eq!(texture(&[], 0, (3, 3), 2).0, [0; 256]);
    }
}
