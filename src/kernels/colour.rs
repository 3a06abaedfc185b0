//! From colours to grey.

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, u8x16};

/// By how much red must exceed the other colours to be ink: from `LEAST` on a little, at `MOST` all.
const LEAST: u32 = 25;
const MOST: u32 = 70;

/// Writes the brightness of pixels of red, green and blue, by the weights of Rec. 709.
pub fn luma(rgb: &[u8], grey: &mut [u8]) {
    for (level, &pixel) in grey.iter_mut().zip(rgb.as_chunks().0) {
        *level = brightness(pixel) as u8;
    }
}

/// Whether every pixel of red, green and blue is a grey one.
pub fn is_grey(rgb: &[u8]) -> bool {
    let is_grey = |piece: &[[u8; 3]]| {
        // Without a branch for each pixel.
        piece.iter().fold(0, |colour, [r, g, b]| colour | r ^ g | g ^ b) == 0
    };
    rgb.as_chunks().0.chunks(1024).all(is_grey)
}

/// How many pixels are nothing but red ink.
pub fn red_pixels(rgb: &[u8]) -> usize {
    let all_red = |pixels: &[[u8; 3]]| pixels.iter().filter(|p| redness(**p) >= MOST).count();
    let mut count = 0;
    pieces(rgb, |pixels, is_coloured| count += if is_coloured { all_red(pixels) } else { 0 });
    count
}

/// Writes the brightness as under a red light where ink is red, and as [`luma`] does elsewhere.
pub fn without_red(rgb: &[u8], grey: &mut [u8]) {
    const RANGE: u32 = MOST - LEAST;
    let faded = |pixel: [u8; 3]| {
        let luma = brightness(pixel);
        let share = redness(pixel).clamp(LEAST, MOST) - LEAST;
        // What is redder than it is green and blue is brighter in red than in all.
        let gain = u32::from(pixel[0]).max(luma) - luma;
        (luma + (2 * share * gain + RANGE) / (2 * RANGE)) as u8
    };
    let mut pieces_of_grey = grey.chunks_mut(PIECE);
    pieces(rgb, |pixels, is_coloured| {
        let pairs = pieces_of_grey.next().into_iter().flatten().zip(pixels);
        match is_coloured {
            true => pairs.for_each(|(level, &pixel)| *level = faded(pixel)),
            false => pairs.for_each(|(level, &pixel)| *level = brightness(pixel) as u8),
        }
    });
}

/// Pixels that are looked at together.
const PIECE: usize = 16;

/// Goes over the pixels in pieces, and says of which one may be red: most of a page's are white.
fn pieces(rgb: &[u8], mut each: impl FnMut(&[[u8; 3]], bool)) {
    let pixels: &[[u8; 3]] = rgb.as_chunks().0;
    dispatch!(Level::baseline(), simd => for (number, piece) in pixels.chunks(PIECE).enumerate() {
        let bytes = rgb.get(3 * PIECE * number..3 * PIECE * (number + 1) + 2);
        each(piece, bytes.is_none_or(|bytes| may_be_red(simd, bytes)));
    });
}

/// Whether some byte but the last two exceeds both of those after it as red does: that of a red
/// pixel does, and so may others of other colours.
#[inline(always)]
fn may_be_red<S: Simd>(simd: S, bytes: &[u8]) -> bool {
    let least = u8x16::splat(simd, LEAST as u8);
    (0..bytes.len() - 2).step_by(16).any(|at| {
        let levels = |at: usize| u8x16::from_slice(simd, &bytes[at..at + 16]);
        let others = levels(at + 1).max(levels(at + 2));
        simd.saturating_sub_u8x16(levels(at), others).simd_gt(least).any_true()
    })
}

fn brightness([r, g, b]: [u8; 3]) -> u32 {
    (2126 * u32::from(r) + 7152 * u32::from(g) + 722 * u32::from(b)) / 10_000
}

/// By how much red exceeds the other colours.
fn redness([r, g, b]: [u8; 3]) -> u32 {
    u32::from(r.saturating_sub(g.max(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(run: impl Fn(&[u8], &mut [u8]), pixel: [u8; 3]) -> u8 {
        let mut level = [0];
        run(&pixel, &mut level);
        level[0]
    }

    #[test]
    fn grey_keeps_its_level() {
        for level in 0..=255 {
            assert_eq!(of(luma, [level; 3]), level);
            assert_eq!(of(without_red, [level; 3]), level);
        }
    }

    #[test]
    fn red_ink_fades_to_its_red_and_other_colours_stay() {
        assert_eq!(of(without_red, [214, 40, 60]), 214);
        assert_eq!(of(without_red, [90, 12, 18]), 90);
        for pixel in [[90, 120, 60], [31, 56, 100], [120, 110, 100]] {
            assert_eq!(of(without_red, pixel), of(luma, pixel));
        }
        // Half way between a little red and all red.
        let (dark, red) = (of(luma, [148, 100, 100]), 148);
        assert!((dark + 1..red).contains(&of(without_red, [148, 100, 100])));
    }

    #[test]
    fn a_single_coloured_pixel_is_found() {
        let mut rgb = [[7; 3], [255; 3], [0; 3]].repeat(1000).concat();
        assert!(is_grey(&rgb) && is_grey(&[]));
        for channel in 0..3 {
            rgb[5000 + channel] ^= 1;
            assert!(!is_grey(&rgb), "{channel}");
            rgb[5000 + channel] ^= 1;
        }
    }

    #[test]
    fn red_pixels_are_counted_however_many() {
        let rgb = [[214, 40, 60], [255, 255, 255]].repeat(1000).concat();
        assert_eq!(red_pixels(&rgb), 1000);
    }
}
