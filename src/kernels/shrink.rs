//! Pictures at another size.

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

impl Shrink {
    /// From rows of `width` pixels to rows of `target`.
    pub fn new(channels: Channels, width: usize, target: usize) -> Self {
        let width = width.max(1);
        let covered = (0..target).map(|x| covered(x, width, target)).collect();
        Self { channels, width, covered }
    }

    /// Writes a row. `rows` are the rows of the larger picture that it covers; `sums` is room for
    /// its work.
    pub fn row(&self, rows: &[u8], sums: &mut Vec<u32>, row: &mut [u8]) {
        let of_pixel = if self.channels == Channels::Grey { 1 } else { 3 };
        // Of each byte of a row, whatever channel it is: all channels at once, as they come.
        sums.clear();
        sums.resize(self.width * of_pixel, 0);
        let lines = rows.chunks_exact(self.width * of_pixel);
        let count = lines.len();
        for line in lines {
            match self.channels {
                Channels::Grey | Channels::Luma => add(line, sums),
                Channels::Whiteness => add_least(line, sums),
            }
        }
        let pixels: &[[u32; 3]] = sums.as_chunks().0;
        for (value, &(left, right)) in row.iter_mut().zip(&self.covered) {
            let sum: u32 = match self.channels {
                Channels::Grey => sums[left..right].iter().sum(),
                Channels::Luma => {
                    let luma = |[r, g, b]: &[u32; 3]| (77 * r + 150 * g + 29 * b) >> 8;
                    pixels[left..right].iter().map(luma).sum()
                }
                Channels::Whiteness => pixels[left..right].iter().map(|[least, ..]| least).sum(),
            };
            let area = ((right - left) * count) as u32;
            *value = ((sum + area / 2) / area.max(1)) as u8;
        }
    }
}

/// The pixels, of `from`, that pixel `index` covers of as many as `to`: at least one.
pub fn covered(index: usize, from: usize, to: usize) -> (usize, usize) {
    let to = to.max(1);
    let start = (index * from / to).min(from.saturating_sub(1));
    (start, ((index + 1) * from / to).max(start + 1).min(from))
}

fn add(line: &[u8], sums: &mut [u32]) {
    for (sum, &level) in sums.iter_mut().zip(line) {
        *sum += u32::from(level);
    }
}

/// Adds to each byte the least of it and the two after it: for every third byte, the least channel
/// of a pixel. The others are nothing, but to pick them out would take longer.
fn add_least(line: &[u8], sums: &mut [u32]) {
    let (second, third) = (line.get(1..).unwrap_or_default(), line.get(2..).unwrap_or_default());
    for (((sum, a), b), c) in sums.iter_mut().zip(line).zip(second).zip(third) {
        *sum += u32::from(*a.min(b).min(c));
    }
}

/// A pixel of the target as a weighted sum of the source's: where they begin, and the end of its
/// weights among all.
struct Tap {
    first: usize,
    end: usize,
}

/// Rows or columns of a target.
struct Taps {
    taps: Vec<Tap>,
    weights: Vec<f32>,
}

/// Scales a grey picture to another width and height: by averaging the area that each target pixel
/// covers, pixels in part included, where the target is smaller, bilinearly where it is larger.
/// Extents are at least one; a source that has no pixels gives white.
pub fn scale(source: &[u8], from: (usize, usize), to: (usize, usize)) -> Vec<u8> {
    let to = (to.0.max(1), to.1.max(1));
    if from == to {
        return source.to_vec();
    }
    if from.0 == 0 || source.len() < from.0 * from.1.max(1) {
        return vec![u8::MAX; to.0 * to.1];
    }
    let (columns, rows) = (Taps::of(from.0, to.0), Taps::of(from.1, to.1));
    let mut out = Vec::with_capacity(to.0 * to.1);
    // One row of the target at a time: first the rows it covers are summed, then the columns.
    let mut sums = vec![0.0f32; from.0];
    for (first, weights) in rows.iter() {
        sums.fill(0.0);
        for (line, &weight) in source.chunks_exact(from.0).skip(first).zip(weights) {
            for (sum, &pixel) in sums.iter_mut().zip(line) {
                *sum += f32::from(pixel) * weight;
            }
        }
        out.extend(columns.iter().map(|(first, weights)| {
            let covered = sums.iter().skip(first).zip(weights);
            (covered.map(|(sum, weight)| sum * weight).sum::<f32>() + 0.5) as u8
        }));
    }
    out
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
            Tap { first, end: weights.len() }
        };
        let taps = (0..to).map(tap).collect();
        Self { taps, weights }
    }

    /// The first pixel of each, and its weights.
    fn iter(&self) -> impl Iterator<Item = (usize, &[f32])> {
        let mut start = 0;
        self.taps.iter().map(move |tap| {
            let weights = &self.weights[start..tap.end];
            start = tap.end;
            (tap.first, weights)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_flat_picture_stays_flat_at_any_size() {
        let flat = vec![77; 37 * 53];
        for to in [(1, 1), (10, 90), (200, 7), (37, 53)] {
            assert!(scale(&flat, (37, 53), to).iter().all(|&pixel| pixel == 77));
        }
    }

    #[test]
    fn a_picture_of_nothing_grows_white() {
        assert_eq!(scale(&[], (0, 0), (2, 1)), [255, 255]);
        assert_eq!(scale(&[], (3, 0), (1, 1)), [255]);
    }

    #[test]
    fn whole_pixels_are_averaged_in_any_channel() {
        let rgb = [[0, 100, 200], [100, 200, 255], [10, 20, 30]].concat();
        let shrunk = |channels, rows: &[u8], width, target| {
            let mut row = vec![0; target];
            Shrink::new(channels, width, target).row(rows, &mut Vec::new(), &mut row);
            row
        };
        assert_eq!(shrunk(Channels::Whiteness, &rgb, 3, 2), [0, 55]);
        assert_eq!(shrunk(Channels::Luma, &rgb[6..], 1, 1), [18]);
        // Two rows of three.
        assert_eq!(shrunk(Channels::Grey, &[10, 20, 30, 30, 40, 50], 3, 1), [30]);
        assert_eq!(shrunk(Channels::Grey, &[], 3, 2), [0, 0]);
    }
}
