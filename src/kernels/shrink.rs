//! Pictures at another size.

/// As many rows as 16 bits hold the sum of.
const MOST_ROWS: usize = 257;

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

    /// Writes a row. `rows` are the rows of the larger picture that it covers, of which the first
    /// 257 count; `sums` is room for its work.
    pub fn row(&self, rows: &[u8], sums: &mut Vec<u16>, row: &mut [u8]) {
        let of_pixel = if self.channels == Channels::Grey { 1 } else { 3 };
        // Of each byte of a row, whatever channel it is: all channels at once, as they come.
        sums.clear();
        sums.resize(self.width * of_pixel, 0);
        let lines = rows.chunks_exact(self.width * of_pixel).take(MOST_ROWS);
        let count = lines.len();
        for line in lines {
            match self.channels {
                Channels::Grey | Channels::Luma => add(line, sums),
                Channels::Whiteness => add_least(line, sums),
            }
        }
        let pixels: &[[u16; 3]] = sums.as_chunks().0;
        for (value, &(left, right)) in row.iter_mut().zip(&self.covered) {
            let sum: u32 = match self.channels {
                Channels::Grey => sums[left..right].iter().map(|&sum| u32::from(sum)).sum(),
                Channels::Luma => {
                    let luma = |pixel: &[u16; 3]| {
                        let [r, g, b] = pixel.map(u32::from);
                        (77 * r + 150 * g + 29 * b) >> 8
                    };
                    pixels[left..right].iter().map(luma).sum()
                }
                Channels::Whiteness => {
                    pixels[left..right].iter().map(|[least, ..]| u32::from(*least)).sum()
                }
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

fn add(line: &[u8], sums: &mut [u16]) {
    for (sum, &level) in sums.iter_mut().zip(line) {
        *sum += u16::from(level);
    }
}

/// Adds to each byte the least of it and the two after it: for every third byte, the least channel
/// of a pixel. The others are nothing, but to pick them out would take longer.
fn add_least(line: &[u8], sums: &mut [u16]) {
    let (second, third) = (line.get(1..).unwrap_or_default(), line.get(2..).unwrap_or_default());
    for (((sum, a), b), c) in sums.iter_mut().zip(line).zip(second).zip(third) {
        *sum += u16::from(*a.min(b).min(c));
    }
}

/// Pixels of a target as weighted sums of the source's, along rows or columns.
struct Taps {
    /// Of each target pixel the first of the source's, and the end of its weights among all.
    taps: Vec<(usize, usize)>,
    weights: Vec<f32>,
}

/// Scales a grey picture to another width and height, row by row: by averaging the area that each
/// target pixel covers, pixels in part included, where the target is smaller, bilinearly where it
/// is larger.
pub struct Scale {
    width: usize,
    columns: Taps,
    rows: Taps,
}

impl Scale {
    /// From a picture of this width and height to one of another; extents are at least one.
    pub fn new(from: (usize, usize), to: (usize, usize)) -> Self {
        let width = from.0.max(1);
        Self { width, columns: Taps::of(width, to.0), rows: Taps::of(from.1.max(1), to.1) }
    }

    /// Writes row `y`; `sums` is room for its work. What the source lacks is black.
    pub fn row(&self, source: &[u8], y: usize, sums: &mut Vec<f32>, row: &mut [u8]) {
        // First the rows that it covers are summed, then the columns.
        sums.clear();
        sums.resize(self.width, 0.0);
        let (first, weights) = self.rows.at(y);
        for (line, &weight) in source.chunks_exact(self.width).skip(first).zip(weights) {
            for (sum, &pixel) in sums.iter_mut().zip(line) {
                *sum += f32::from(pixel) * weight;
            }
        }
        for (x, value) in row.iter_mut().enumerate() {
            let (first, weights) = self.columns.at(x);
            let covered = sums.get(first..first + weights.len()).unwrap_or_default();
            let covered = covered.iter().zip(weights).map(|(sum, weight)| sum * weight);
            *value = (covered.sum::<f32>() + 0.5) as u8;
        }
    }
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
            (first, weights.len())
        };
        let taps = (0..to).map(tap).collect();
        Self { taps, weights }
    }

    /// The first pixel of a target pixel, and its weights; none beyond the last one.
    fn at(&self, index: usize) -> (usize, &[f32]) {
        let start = index.checked_sub(1).map_or(0, |before| self.end(before));
        let first = self.taps.get(index).map_or(0, |&(first, _)| first);
        (first, self.weights.get(start..self.end(index)).unwrap_or_default())
    }

    fn end(&self, index: usize) -> usize {
        self.taps.get(index).map_or(0, |&(_, end)| end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(source: &[u8], from: (usize, usize), to: (usize, usize)) -> Vec<u8> {
        let scale = Scale::new(from, to);
        let mut scaled = vec![7; to.0 * to.1];
        for (y, row) in scaled.chunks_exact_mut(to.0).enumerate() {
            scale.row(source, y, &mut Vec::new(), row);
        }
        scaled
    }

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
    fn a_picture_of_the_same_size_stays_as_it_is() {
        let source: Vec<u8> = (0..12).map(|i| i * 20).collect();
        assert_eq!(scale(&source, (4, 3), (4, 3)), source);
    }

    #[test]
    fn a_flat_picture_stays_flat_at_any_size() {
        let flat = vec![77; 37 * 53];
        for to in [(1, 1), (10, 90), (200, 7), (37, 53)] {
            assert!(scale(&flat, (37, 53), to).iter().all(|&pixel| pixel == 77));
        }
    }

    #[test]
    fn what_a_picture_lacks_is_black() {
        assert_eq!(scale(&[], (0, 0), (2, 1)), [0, 0]);
        assert_eq!(scale(&[40], (1, 3), (1, 3)), [40, 0, 0]);
        let mut row = [7; 2];
        Scale::new((1, 1), (1, 1)).row(&[40], 1, &mut Vec::new(), &mut row);
        assert_eq!(row, [0, 0]);
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
        // More rows than count.
        assert_eq!(shrunk(Channels::Grey, &[255; 1000], 2, 1), [255]);
    }
}
