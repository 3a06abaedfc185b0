//! From colours to grey, with the red ink of stamps as it is or faded.

use image::{DynamicImage, GrayImage, RgbImage};
use rayon::prelude::*;

/// Share of a picture's pixels that must be red for it to have a stamp on it.
const LEAST_RED: f32 = 2e-4;

/// Pixels that are worth a task of their own.
const PIECE: usize = 1 << 16;

/// The picture in grey.
pub(super) fn grey(picture: &DynamicImage) -> GrayImage {
    match picture {
        DynamicImage::ImageRgb8(rgb) => drawn(rgb, cic_kernels::luma),
        other => other.to_luma8(),
    }
}

/// The same picture; where none of its pixels has a colour, in grey, which costs a third.
pub(super) fn without_needless_colours(picture: DynamicImage) -> DynamicImage {
    match &picture {
        DynamicImage::ImageRgb8(rgb) if cic_kernels::is_grey(rgb) => {
            DynamicImage::ImageLuma8(drawn(rgb, cic_kernels::luma))
        }
        _ => picture,
    }
}

/// The picture in grey with as little of its red ink as a red light would show; none where there is
/// hardly any. A stamp over a word fades, what is printed black under it stays.
pub(super) fn faded(picture: &DynamicImage) -> Option<GrayImage> {
    let DynamicImage::ImageRgb8(picture) = picture else { return None };
    let red: usize = picture.par_chunks(3 * PIECE).map(cic_kernels::red_pixels).sum();
    let all = picture.width() as f32 * picture.height() as f32;
    (red as f32 > LEAST_RED * all).then(|| drawn(picture, cic_kernels::without_red))
}

fn drawn(picture: &RgbImage, draw: fn(&[u8], &mut [u8])) -> GrayImage {
    let mut grey = GrayImage::new(picture.width(), picture.height());
    let pieces = grey.par_chunks_mut(PIECE).zip(picture.par_chunks(3 * PIECE));
    pieces.for_each(|(grey, rgb)| draw(rgb, grey));
    grey
}

#[cfg(test)]
mod tests {
    use image::{Luma, Rgb};

    use super::*;

    fn picture(colour: [u8; 3]) -> DynamicImage {
        DynamicImage::ImageRgb8(RgbImage::from_pixel(1, 1, Rgb(colour)))
    }

    #[test]
    fn picture_without_colours_becomes_grey_and_keeps_its_levels() {
        for level in [0, 1, 128, 254, 255] {
            let grey = without_needless_colours(picture([level; 3]));
            assert_eq!(grey, DynamicImage::ImageLuma8(GrayImage::from_pixel(1, 1, Luma([level]))));
        }
        assert_eq!(without_needless_colours(picture([8, 8, 9])), picture([8, 8, 9]));
    }

    #[test]
    fn red_ink_fades_and_print_under_it_stays() {
        let level = |colour| faded(&picture(colour)).unwrap().get_pixel(0, 0).0[0];
        assert_eq!(level([214, 40, 60]), 214);
        assert_eq!(level([90, 12, 18]), 90);
    }

    #[test]
    fn picture_without_red_ink_has_none_to_fade() {
        for colour in [[0, 0, 0], [255, 255, 255], [31, 56, 100], [240, 228, 216], [90, 120, 60]] {
            assert_eq!(faded(&picture(colour)), None, "{colour:?}");
        }
    }

    #[test]
    fn what_is_not_red_is_as_grey_as_ever() {
        let mut picture = RgbImage::from_pixel(301, 301, Rgb([90, 120, 60]));
        for x in 0..301 {
            picture.put_pixel(x, 7, Rgb([214, 40, 60]));
        }
        let picture = DynamicImage::ImageRgb8(picture);
        let (grey, faded) = (grey(&picture), faded(&picture).unwrap());
        assert_eq!(grey.get_pixel(300, 300), picture.to_luma8().get_pixel(300, 300));
        assert_eq!(faded.get_pixel(300, 300), grey.get_pixel(300, 300));
        assert_eq!(faded.get_pixel(300, 7), &Luma([214]));
    }
}
