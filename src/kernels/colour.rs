//! From colours to grey.

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
    // Counted in pieces, whose counts fit into few bits: so more of them go through at once.
    let in_piece = |piece: &[[u8; 3]]| -> u8 {
        piece.iter().map(|&pixel| u8::from(redness(pixel) >= MOST)).sum()
    };
    rgb.as_chunks().0.chunks(u8::MAX.into()).map(|piece| usize::from(in_piece(piece))).sum()
}

/// Writes the brightness as under a red light where ink is red, and as [`luma`] does elsewhere.
pub fn without_red(rgb: &[u8], grey: &mut [u8]) {
    const RANGE: u32 = MOST - LEAST;
    for (level, &pixel) in grey.iter_mut().zip(rgb.as_chunks().0) {
        let luma = brightness(pixel);
        let share = redness(pixel).clamp(LEAST, MOST) - LEAST;
        // What is redder than it is green and blue is brighter in red than in all.
        let gain = u32::from(pixel[0]).max(luma) - luma;
        *level = (luma + (2 * share * gain + RANGE) / (2 * RANGE)) as u8;
    }
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
