//! The red ink of stamps, apart from print.

use image::{DynamicImage, GrayImage, Luma, RgbImage};

/// By how much red must exceed the other colours to be ink: from `LEAST` on a little, at `MOST` all.
const LEAST: f32 = 25.0;
const MOST: f32 = 70.0;

/// Share of a picture's pixels that must be red for it to have a stamp on it.
const LEAST_RED: f32 = 2e-4;

/// The picture in grey with as little of its red ink as a red light would show; none where there is
/// hardly any. A stamp over a word fades, what is printed black under it stays.
pub(super) fn faded(picture: &DynamicImage) -> Option<GrayImage> {
    let DynamicImage::ImageRgb8(picture) = picture else { return None };
    let red = picture.pixels().filter(|pixel| redness(pixel.0) == 1.0).count();
    let all = picture.width() as f32 * picture.height() as f32;
    (red as f32 > LEAST_RED * all).then(|| without_red_ink(picture))
}

/// From 0, no red ink, to 1.
fn redness([r, g, b]: [u8; 3]) -> f32 {
    let excess = f32::from(r) - f32::from(g.max(b));
    ((excess - LEAST) / (MOST - LEAST)).clamp(0.0, 1.0)
}

fn without_red_ink(picture: &RgbImage) -> GrayImage {
    let (width, height) = picture.dimensions();
    let mut grey = GrayImage::new(width, height);
    for (Luma([level]), pixel) in grey.pixels_mut().zip(picture.pixels()) {
        let [r, g, b] = pixel.0;
        // Rec. 709, as the `image` crate has it.
        let luma = (2126 * u32::from(r) + 7152 * u32::from(g) + 722 * u32::from(b)) / 10_000;
        let faded = luma as f32 + redness(pixel.0) * (f32::from(r) - luma as f32);
        *level = faded.round() as u8;
    }
    grey
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn picture(colour: [u8; 3]) -> DynamicImage {
        DynamicImage::ImageRgb8(RgbImage::from_pixel(1, 1, Rgb(colour)))
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
        let mut picture = RgbImage::from_pixel(2, 1, Rgb([214, 40, 60]));
        picture.put_pixel(1, 0, Rgb([90, 120, 60]));
        let picture = DynamicImage::ImageRgb8(picture);
        let grey = picture.to_luma8();
        assert_eq!(faded(&picture).unwrap().get_pixel(1, 0), grey.get_pixel(1, 0));
    }
}
