//! How good a page's picture is, as plain numbers: for an answer's `meta`, and for gates that ask
//! for another capture.

use image::GrayImage;

/// Width of the picture that quality is measured on, in pixels: A4 at 120 dpi, where the strokes
/// of 9 pt type are about 1.5 pixels wide.
pub(super) const MEASURED_WIDTH: u32 = 1000;
/// Tile side for lighting, in measured pixels: larger than a letter, smaller than a lamp's glare.
const TILE: u32 = 16;
/// A4's width in inches.
const A4_INCHES: f32 = 8.27;

/// Figures of one page's picture.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// Variance of the Laplacian at 120 dpi over the square of the contrast; a sharp scan has
    /// 0.02 and more, a photo out of focus below 0.002.
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
}

impl Quality {
    /// Measures a page of `width` × `height` pixels by a grey picture of it.
    pub(super) fn measure(small: &GrayImage, (width, height): (u32, u32)) -> Self {
        let mut histogram = [0u32; 256];
        for &value in small.as_raw() {
            histogram[usize::from(value)] += 1;
        }
        let paper = percentile(&histogram, 0.75);
        let ink = percentile(&histogram, 0.002);
        let contrast = f32::from(paper.saturating_sub(ink)) / 255.0;
        let tiles = tiles(small);
        let level = |share: f32| {
            tiles.get((share * tiles.len() as f32) as usize).copied().unwrap_or_default()
        };
        let median = level(0.5);
        let washed = tiles.iter().filter(|&&tile| tile >= 253).count();
        Self {
            sharpness: laplacian_variance(small) / contrast.max(0.05).powi(2),
            brightness: f32::from(paper) / 255.0,
            contrast,
            evenness: f32::from(level(0.05)) / f32::from(level(0.95)).max(1.0),
            // A scan is white all over: only white amid paper that is not is a reflection.
            glare: if median < 240 { washed as f32 / tiles.len().max(1) as f32 } else { 0.0 },
            dpi: width.min(height) as f32 / A4_INCHES,
            skew: 0.0,
            cut: false,
        }
    }
}

fn percentile(histogram: &[u32; 256], share: f32) -> u8 {
    let wanted = (histogram.iter().sum::<u32>() as f32 * share) as u32;
    let mut seen = 0;
    for (value, count) in histogram.iter().enumerate() {
        seen += count;
        if seen > wanted {
            return value as u8;
        }
    }
    255
}

/// Brightness of the paper in each tile (its 80th percentile, so that text does not count),
/// sorted.
fn tiles(grey: &GrayImage) -> Vec<u8> {
    let (width, height) = grey.dimensions();
    let mut tiles = Vec::with_capacity((width / TILE * (height / TILE)) as usize);
    let mut values = Vec::with_capacity((TILE * TILE) as usize);
    for top in (0..height.saturating_sub(TILE - 1)).step_by(TILE as usize) {
        for left in (0..width.saturating_sub(TILE - 1)).step_by(TILE as usize) {
            values.clear();
            for y in top..top + TILE {
                let start = (y * width + left) as usize;
                values.extend_from_slice(&grey.as_raw()[start..start + TILE as usize]);
            }
            let rank = values.len() * 4 / 5;
            tiles.push(*values.select_nth_unstable(rank).1);
        }
    }
    tiles.sort_unstable();
    tiles
}

/// Variance of the 4-neighbour Laplacian, with brightness in 0..1.
fn laplacian_variance(grey: &GrayImage) -> f32 {
    let (width, height) = (grey.width() as usize, grey.height() as usize);
    if width < 3 || height < 3 {
        return 0.0;
    }
    let (mut sum, mut squares) = (0i64, 0i64);
    let raw = grey.as_raw();
    for y in 1..height - 1 {
        let row = |y: usize| &raw[y * width..(y + 1) * width];
        let (above, here, below) = (row(y - 1), row(y), row(y + 1));
        for x in 1..width - 1 {
            let around = i64::from(above[x])
                + i64::from(below[x])
                + i64::from(here[x - 1])
                + i64::from(here[x + 1]);
            let laplacian = around - 4 * i64::from(here[x]);
            sum += laplacian;
            squares += laplacian * laplacian;
        }
    }
    let count = ((width - 2) * (height - 2)) as f32;
    let mean = sum as f32 / count;
    (squares as f32 / count - mean * mean) / (255.0 * 255.0)
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
            assert!(sharp > 0.02 && soft < 0.002, "{dim}: {sharp}, {soft}");
        }
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
        assert!((0.04..0.06).contains(&share), "{share}");
        assert_eq!(measured(&GrayImage::from_pixel(1000, 1414, Luma([255]))).glare, 0.0);
    }
}
