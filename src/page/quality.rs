//! How good a page's picture is, as plain numbers: for an answer's `meta`, and for gates that ask
//! for another capture.

use image::GrayImage;
use rayon::prelude::*;

/// Width of the picture that quality is measured on, in pixels: A4 at 120 dpi, where the strokes
/// of 9 pt type are about 1.5 pixels wide.
pub(super) const MEASURED_WIDTH: u32 = 1000;
/// Tile side for lighting, in measured pixels: larger than a letter, smaller than a lamp's glare.
const TILE: u32 = 16;
/// A4's width in inches.
const A4_INCHES: f32 = 8.27;

/// Levels of 255 between the paper and the ink of a tile that has text, at least.
const INKED: u8 = 16;
/// Levels from which on a pixel holds no more than light.
const WHITE: u8 = 252;

/// Figures of one page's picture.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// One over the width of the strokes' edges, along the axis where they are wider, in pixels of
    /// 120 dpi: a sharp picture has 1 and more, one out of focus 0.5 and less.
    pub sharpness: f32,
    /// Brightness of the paper, 0..1.
    pub brightness: f32,
    /// Brightness of the paper less that of the ink, 0..1.
    pub contrast: f32,
    /// Darkest part of the paper over the brightest, 0..1: 1 is even light.
    pub evenness: f32,
    /// Share of the page (0..1) that a reflection has washed out.
    pub glare: f32,
    /// Pixels per inch, taking the page's short side for that of A4.
    pub dpi: f32,
    /// By how much the page was turned to make it level, in degrees, clockwise.
    pub skew: f32,
    /// Whether the page was cut out of a larger picture.
    pub cut: bool,
    /// Whether the paper runs out of that picture.
    pub cut_off: bool,
}

impl Quality {
    /// Measures a page of `width` × `height` pixels by a grey picture of it.
    pub(super) fn measure(small: &GrayImage, (width, height): (u32, u32)) -> Self {
        let (histogram, tiles) = rayon::join(|| cic_kernels::levels(small), || tiles(small));
        let [ink, paper] = percentiles(&histogram, [0.002, 0.75]);
        let mut papers: Vec<u8> = tiles.iter().map(|tile| tile.paper).collect();
        let dark = f32::from(level(&mut papers, 0.05));
        let bright = f32::from(level(&mut papers, 0.95));
        let washed = tiles.iter().filter(|tile| tile.is_white).count();
        Self {
            sharpness: sharpness(small, &tiles),
            brightness: f32::from(paper) / 255.0,
            contrast: f32::from(paper.saturating_sub(ink)) / 255.0,
            evenness: dark / bright.max(1.0),
            // A scan is white all over: only white amid paper that is not is a reflection.
            glare: if level(&mut papers, 0.5) < 240 {
                washed as f32 / tiles.len().max(1) as f32
            } else {
                0.0
            },
            dpi: width.min(height) as f32 / A4_INCHES,
            ..Self::default()
        }
    }
}

/// The values that these shares of all values are below, ascending; 255 where there are none.
fn percentiles<const N: usize>(histogram: &[u32; 256], shares: [f32; N]) -> [u8; N] {
    let all = histogram.iter().sum::<u32>() as f32;
    let (mut seen, mut value) = (0, 0);
    shares.map(|share| {
        let wanted = (all * share) as u32;
        while let Some(count) = histogram.get(value).filter(|count| seen + **count <= wanted) {
            seen += count;
            value += 1;
        }
        value.min(255) as u8
    })
}

/// The value that this share of all values is below; 0 where there are none.
fn level(values: &mut [u8], share: f32) -> u8 {
    let rank = (share * values.len() as f32) as usize;
    if rank < values.len() { *values.select_nth_unstable(rank).1 } else { 0 }
}

/// A square of the page.
struct Tile {
    /// Brightness of the paper: the 80th percentile, so that text does not count.
    paper: u8,
    /// Whether there is ink on it.
    is_inked: bool,
    /// Whether nothing on it is darker than white.
    is_white: bool,
    /// Squared differences of neighbours and of pixels three apart, along each axis.
    steps: [[u32; 2]; 2],
}

fn tiles(grey: &GrayImage) -> Vec<Tile> {
    let (width, height) = (grey.width() as usize, grey.height() as usize);
    let side = TILE as usize;
    // Three pixels from the edge, for the differences.
    let (columns, rows) = (width.saturating_sub(3) / side, height.saturating_sub(3) / side);
    let tile = |index: usize| {
        let (left, top) = (index % columns * side, index / columns * side);
        let (counts, steps) = cic_kernels::texture(grey, width, (left, top), side);
        let [darkest, ink, paper] = percentiles(&counts, [0.0, 0.03, 0.8]);
        Tile {
            paper,
            is_inked: paper.saturating_sub(ink) >= INKED,
            is_white: darkest >= WHITE,
            steps,
        }
    };
    (0..columns * rows).into_par_iter().map(tile).collect()
}

/// How sharp strokes are: the smaller of both axes, as a shake blurs one alone.
///
/// Squared differences of pixels grow with their distance until they are as far apart as an edge is
/// wide. For an edge like a bell curve of width s, differences one and three pixels apart have the
/// ratio (1 - q) / (1 - q⁹) with q = exp(-1 / 4s²), whatever the contrast, and however much ink
/// there is. What blank paper has of them is noise.
fn sharpness(grey: &GrayImage, tiles: &[Tile]) -> f32 {
    let axis = |axis: usize| {
        let mut blank: Vec<[u32; 2]> = tiles.iter().map(|tile| tile.steps[axis]).collect();
        let rank = blank.len() / 5;
        if blank.is_empty() {
            return 1.0;
        }
        let noise = *blank.select_nth_unstable(rank).1;
        let (mut near, mut far) = (0.0, 0.0);
        for tile in tiles.iter().filter(|tile| tile.is_inked) {
            let steps = tile.steps[axis];
            near += f64::from(steps[0]) - f64::from(noise[0]);
            far += f64::from(steps[1]) - f64::from(noise[1]);
        }
        if far > 0.0 { (near / far).clamp(0.0, 1.0) } else { 1.0 }
    };
    let ratio = axis(0).min(axis(1));
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..24 {
        let q: f64 = (low + high) / 2.0;
        let sum: f64 = (0..9).map(|power| q.powi(power)).sum();
        if sum * ratio < 1.0 { low = q } else { high = q }
    }
    let q: f64 = (low + high) / 2.0;
    let scale = f64::from(MEASURED_WIDTH) / f64::from(grey.width().min(grey.height()).max(1));
    ((-4.0 * q.ln()).sqrt() / scale) as f32
}

#[cfg(test)]
mod tests {
    use image::{Luma, imageops};

    use super::*;

    /// A page of strokes, lit from full on the left to `dim` on the right.
    fn page(dim: f32) -> GrayImage {
        GrayImage::from_fn(1000, 1414, |x, y| {
            let light = 1.0 - (1.0 - dim) * x as f32 / 1000.0;
            let inked = (100..900).contains(&x) && y % 24 < 3 && x % 7 < 4;
            Luma([(if inked { 30.0 } else { 235.0 } * light) as u8])
        })
    }

    fn measured(page: &GrayImage) -> Quality {
        Quality::measure(page, (1654, 2339))
    }

    #[test]
    fn blur_is_seen_whatever_the_light() {
        let blurred = |dim| imageops::blur(&page(dim), 3.0);
        for dim in [1.0, 0.6] {
            let (sharp, soft) = (measured(&page(dim)).sharpness, measured(&blurred(dim)).sharpness);
            assert!(sharp > 1.0 && soft < 0.5, "{dim}: {sharp}, {soft}");
        }
    }

    #[test]
    fn a_shake_along_one_axis_is_seen() {
        let is_inked = |x: u32, y: u32| x % 23 < 4 && y % 24 < 10;
        let page =
            GrayImage::from_fn(1000, 1414, |x, y| Luma([if is_inked(x, y) { 30 } else { 235 }]));
        let shaken = GrayImage::from_fn(1000, 1414, |x, y| {
            let inked = (0..9).filter(|along| is_inked(x + along, y)).count();
            Luma([235 - 22 * inked as u8])
        });
        let (still, shaken) = (measured(&page).sharpness, measured(&shaken).sharpness);
        assert!(still > 1.0 && shaken < 0.75, "{still}, {shaken}");
    }

    #[test]
    fn noise_is_not_taken_for_sharpness_nor_is_little_ink_for_blur() {
        let mut soft = imageops::blur(&page(1.0), 2.5);
        for y in 400..1414 {
            for x in 0..1000 {
                soft.put_pixel(x, y, Luma([235]));
            }
        }
        let clean = measured(&soft).sharpness;
        for (i, pixel) in soft.pixels_mut().enumerate() {
            let noise = (i as u32).wrapping_mul(2_654_435_761) >> 28;
            pixel.0[0] = pixel.0[0].saturating_add_signed(noise as i8 - 8);
        }
        let noisy = measured(&soft).sharpness;
        assert!(clean < 0.5 && (noisy - clean).abs() < 0.1, "{clean}, {noisy}");
    }

    #[test]
    fn light_and_its_evenness_are_seen() {
        let (even, uneven) = (measured(&page(1.0)), measured(&page(0.5)));
        assert!((even.brightness - 235.0 / 255.0).abs() < 0.01 && even.evenness > 0.98);
        assert!((0.45..0.6).contains(&uneven.evenness), "{}", uneven.evenness);
        assert!((even.dpi - 200.0).abs() < 1.0);
    }

    #[test]
    fn a_reflection_is_glare_and_a_white_scan_is_not() {
        let mut photo = GrayImage::from_fn(1000, 1414, |_, _| Luma([190]));
        for (x, y) in (300..500).flat_map(|x| (300..600).map(move |y| (x, y))) {
            photo.put_pixel(x, y, Luma([255]));
        }
        let share = measured(&photo).glare;
        assert!((0.03..0.06).contains(&share), "{share}");
        assert_eq!(measured(&GrayImage::from_pixel(1000, 1414, Luma([255]))).glare, 0.0);
    }
}
