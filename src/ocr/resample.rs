//! Scales grey pictures and samples them between pixels.

use image::GrayImage;

/// A row or column of the target as a weighted sum of the source's.
struct Tap {
    first: usize,
    weights: Vec<f32>,
}

/// Scales to `width` × `height`: by averaging the area that each target pixel covers where the
/// target is smaller, bilinearly where it is larger. Extents of zero count as one.
pub fn scale(image: &GrayImage, width: u32, height: u32) -> GrayImage {
    let (width, height) = (width.max(1), height.max(1));
    if image.dimensions() == (width, height) || image.width() == 0 || image.height() == 0 {
        return image.clone();
    }
    let columns = taps(image.width(), width);
    let rows = taps(image.height(), height);
    let stride = image.width() as usize;
    let source = image.as_raw();
    let mut out = Vec::with_capacity((width * height) as usize);
    // One row of the target at a time: first the rows it covers are summed, then the columns.
    let mut sums = vec![0.0f32; stride];
    for row in &rows {
        sums.fill(0.0);
        for (line, &weight) in source.chunks_exact(stride).skip(row.first).zip(&row.weights) {
            for (sum, &pixel) in sums.iter_mut().zip(line) {
                *sum += f32::from(pixel) * weight;
            }
        }
        out.extend(columns.iter().map(|column| {
            let covered = sums.iter().skip(column.first).zip(&column.weights);
            (covered.map(|(sum, weight)| sum * weight).sum::<f32>() + 0.5) as u8
        }));
    }
    GrayImage::from_raw(width, height, out).unwrap_or_default()
}

/// The taps that turn `from` pixels into `to`; each one's weights add up to 1.
fn taps(from: u32, to: u32) -> Vec<Tap> {
    let ratio = f64::from(from) / f64::from(to);
    let last = from as usize - 1;
    let tap = |index: u32| {
        if ratio > 1.0 {
            let (start, end) = (f64::from(index) * ratio, f64::from(index + 1) * ratio);
            let first = (start as usize).min(last);
            let stop = (end.ceil() as usize).clamp(first + 1, last + 1);
            let covered =
                |pixel: usize| (end.min((pixel + 1) as f64) - start.max(pixel as f64)).max(0.0);
            let weights = (first..stop).map(|pixel| (covered(pixel) / ratio) as f32).collect();
            Tap { first, weights }
        } else {
            let place = ((f64::from(index) + 0.5) * ratio - 0.5).clamp(0.0, last as f64);
            let first = place as usize;
            let share = (place - first as f64) as f32;
            let weights = if first < last { vec![1.0 - share, share] } else { vec![1.0] };
            Tap { first, weights }
        }
    };
    (0..to).map(tap).collect()
}

/// The grey value, 0..255, at a point in pixels (the middle of the first pixel is at 0.5, 0.5),
/// bilinearly; the picture's edge goes on for ever.
pub fn sample(image: &GrayImage, x: f32, y: f32) -> f32 {
    let (width, height) = (image.width() as usize, image.height() as usize);
    if width == 0 || height == 0 {
        return 255.0;
    }
    let x = (x - 0.5).clamp(0.0, (width - 1) as f32);
    let y = (y - 0.5).clamp(0.0, (height - 1) as f32);
    let (left, top) = (x as usize, y as usize);
    let (right, bottom) = ((left + 1).min(width - 1), (top + 1).min(height - 1));
    let (across, down) = (x - left as f32, y - top as f32);
    let raw = image.as_raw();
    let at = |x: usize, y: usize| f32::from(raw[y * width + x]);
    let upper = at(left, top) + (at(right, top) - at(left, top)) * across;
    let lower = at(left, bottom) + (at(right, bottom) - at(left, bottom)) * across;
    upper + (lower - upper) * down
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    #[test]
    fn shrinking_averages_what_a_pixel_covers() {
        let image = GrayImage::from_raw(3, 1, vec![0, 90, 240]).unwrap();
        // Each target pixel covers one and a half of the source.
        assert_eq!(scale(&image, 2, 1).into_raw(), [30, 190]);
    }

    #[test]
    fn growing_interpolates_between_the_middles_of_pixels() {
        let image = GrayImage::from_raw(2, 1, vec![0, 100]).unwrap();
        assert_eq!(scale(&image, 4, 1).into_raw(), [0, 25, 75, 100]);
    }

    #[test]
    fn a_flat_picture_stays_flat_at_any_size() {
        let image = GrayImage::from_pixel(37, 53, Luma([77]));
        for (width, height) in [(1, 1), (10, 90), (200, 7), (37, 53)] {
            assert!(scale(&image, width, height).pixels().all(|pixel| pixel.0 == [77]));
        }
    }

    #[test]
    fn sampling_follows_the_pixels_middles_and_stops_at_the_edge() {
        let image = GrayImage::from_raw(2, 2, vec![0, 100, 100, 200]).unwrap();
        assert_eq!(sample(&image, 0.5, 0.5), 0.0);
        assert_eq!(sample(&image, 1.0, 1.0), 100.0);
        assert_eq!(sample(&image, 9.0, -9.0), 100.0);
    }
}
