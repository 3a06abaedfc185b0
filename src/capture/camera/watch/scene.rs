//! A look at the table as a thumbnail, and whether two of them show the same, whatever the light.

use image::GrayImage;

/// Cells along the longer side: at most eight pixels each, so that a sheet that is moved by one
/// pixel on a dark table is seen to move.
const CELLS: u32 = 160;
/// Levels of 255 that a cell may change by because of noise, and the share of its brightness because
/// of lamps.
const NOISE: f32 = 6.0;
const FLICKER: f32 = 0.08;
/// Share of all cells that may change without anything having moved.
const STRAY: f32 = 0.003;
/// Share of all cells that paper covers at least.
const PAPER: f32 = 0.04;
/// By how much brighter than the table a cell with paper is at least.
const BRIGHTER: f32 = 1.15;

/// Means of square cells.
#[derive(Clone)]
pub struct Scene {
    cells: Vec<f32>,
    columns: usize,
}

impl Scene {
    /// Of a grey picture.
    pub fn of(grey: &GrayImage) -> Self {
        let side = grey.width().max(grey.height()).div_ceil(CELLS).max(1) as usize;
        let width = grey.width() as usize;
        let columns = width / side;
        let mut cells = Vec::new();
        let mut sums = vec![0u32; columns];
        for rows in grey.as_raw().chunks_exact((width * side).max(1)) {
            sums.fill(0);
            for row in rows.chunks_exact(width) {
                for (sum, pixels) in sums.iter_mut().zip(row.chunks_exact(side)) {
                    *sum += pixels.iter().map(|pixel| u32::from(*pixel)).sum::<u32>();
                }
            }
            cells.extend(sums.iter().map(|sum| *sum as f32 / (side * side) as f32));
        }
        Self { cells, columns }
    }

    /// Whether nothing has moved between the two. Lamps flicker, and make bands where the sensor
    /// reads row by row: each row is compared in the light that most of it has.
    pub fn is_like(&self, other: &Self) -> bool {
        if self.columns != other.columns || self.cells.len() != other.cells.len() {
            return false;
        }
        let mut changed = 0;
        for (ours, theirs) in self.rows(other) {
            let gain = gain(ours, theirs, 0.5);
            let differs = |(a, b): (&f32, &f32)| {
                let b = (b * gain).min(255.0);
                (a - b).abs() > NOISE + FLICKER * a.max(b)
            };
            changed += ours.iter().zip(theirs).filter(|pair| differs(*pair)).count();
        }
        changed as f32 <= STRAY * self.cells.len() as f32
    }

    /// Whether something bright, and large enough for paper, is there that is not on `empty`.
    pub fn has_paper_beside(&self, empty: &Self) -> bool {
        if self.columns != empty.columns || self.cells.len() != empty.cells.len() {
            return true;
        }
        let mut brighter = 0;
        for (ours, theirs) in self.rows(empty) {
            // Paper covers three quarters of a row at most: the rest shows how the light is.
            let gain = gain(ours, theirs, 0.25);
            let is_brighter = |(a, b): &(&f32, &f32)| **a > BRIGHTER * gain * **b + NOISE;
            brighter += ours.iter().zip(theirs).filter(is_brighter).count();
        }
        brighter as f32 >= PAPER * self.cells.len() as f32
    }

    /// Rows of both, which are of the same size.
    fn rows<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (&'a [f32], &'a [f32])> {
        let columns = self.columns.max(1);
        self.cells.chunks_exact(columns).zip(other.cells.chunks_exact(columns))
    }
}

/// By how much brighter the first cells are than the second: the quantile of this share.
fn gain(ours: &[f32], theirs: &[f32], share: f32) -> f32 {
    let mut ratios: Vec<f32> =
        ours.iter().zip(theirs).map(|(a, b)| (a + 1.0) / (b + 1.0)).collect();
    let rank = (share * ratios.len() as f32) as usize;
    if ratios.is_empty() {
        return 1.0;
    }
    *ratios.select_nth_unstable_by(rank, f32::total_cmp).1
}
