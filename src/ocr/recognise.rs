//! Reads lines: cuts each along its centre line, at the page's full resolution, scales it to the
//! network's height, and decodes what the network says by greedy CTC.
//!
//! Crops are made exactly as in training (`models/training/cictrain/lines.py`); whoever changes one
//! changes the other.

use std::cmp::Reverse;

use cic_kernels::Grey;
use image::GrayImage;
use rayon::prelude::*;

use super::alphabet::Alphabet;
use super::detect::TextBox;
use super::model::{Model, ModelError};
use crate::posteriors::{self, Posteriors};
use crate::text::Char;

/// Height of a crop, in pixels: that of the network's input.
pub const HEIGHT: usize = 40;

/// Crops are padded to a multiple of this: few shapes, for which ONNX Runtime keeps memory.
const WIDTH_STEP: usize = 16;

/// A lone "1" with less white beside it is overlooked.
const NARROWEST: usize = 32;

/// A wider line is squeezed.
const WIDEST: usize = 2048;

/// Columns of one run, all its crops together: enough to keep a core busy, and a few MiB of
/// activations at most.
const COLUMNS_OF_A_RUN: usize = 2048;

/// What a run costs beside its columns, in columns: measured with int8 on x86-64.
const COLUMNS_TO_START: usize = 40;

/// Pixels per step of the network's output.
const STRIDE: usize = 4;

/// Page pixels per crop pixel up to which sampling once is enough; beyond, several samples are
/// averaged.
const COARSEST: f32 = 1.4;

/// Grey levels between ink and paper below which contrast is not stretched further: it would be
/// noise.
const LEAST_CONTRAST: usize = 24;

/// A character's place reaches at most this far from its middle, in em.
const REACH: f32 = 0.4;

/// Pixels of an em in a crop: the box is 1.4 em high.
const EM: f32 = HEIGHT as f32 / 1.4;

/// The text of a line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LineText {
    /// Characters from left to right as the page has them; single blanks, none at the ends.
    pub chars: Vec<Char>,
    /// What else they could be.
    pub posteriors: Posteriors,
    /// How much darker than its paper its ink is, from 0 to 1.
    pub depth: f32,
    /// The same for the darkest ink of each character.
    pub depths: Vec<f32>,
}

impl LineText {
    /// Mean confidence of its characters; 0 without any.
    pub fn confidence(&self) -> f32 {
        let sum: f32 = self.chars.iter().map(|c| c.confidence).sum();
        sum / (self.chars.len().max(1)) as f32
    }
}

/// Reads lines.
pub struct Recogniser {
    model: Box<dyn Model>,
    alphabet: Alphabet,
}

impl Recogniser {
    /// The model takes lines of shape `[N, 1, 40, W]` with ink at 0 and paper at 1, and gives
    /// logits of shape `[N, W/4, C]` over the alphabet's classes.
    pub fn new(model: Box<dyn Model>, alphabet: Alphabet) -> Self {
        Self { model, alphabet }
    }

    /// Reads the given lines of a page; as many texts as lines, in their order.
    ///
    /// Runs go on side by side on the threads of the current `rayon` pool.
    pub fn read(&self, page: &GrayImage, lines: &[TextBox]) -> Result<Vec<LineText>, ModelError> {
        let batches: Vec<(Vec<usize>, Vec<LineText>)> = batches(lines)
            .into_iter()
            .par_bridge()
            .map(|batch| {
                let texts = self.read_batch(page, lines, &batch)?;
                Ok((batch.lines, texts))
            })
            .collect::<Result<_, ModelError>>()?;
        let mut texts = vec![LineText::default(); lines.len()];
        for (indices, batch) in batches {
            for (index, text) in indices.into_iter().zip(batch) {
                texts[index] = text;
            }
        }
        Ok(texts)
    }

    fn read_batch(
        &self,
        page: &GrayImage,
        lines: &[TextBox],
        batch: &Batch,
    ) -> Result<Vec<LineText>, ModelError> {
        let (count, width) = (batch.lines.len(), batch.width);
        let size = HEIGHT * width;
        let mut input = vec![1.0; count * size];
        let crops: Vec<Crop> =
            batch.lines.iter().map(|&index| Crop::of(page, &lines[index])).collect();
        for (target, crop) in input.chunks_exact_mut(size).zip(&crops) {
            crop.write_normalised(target, width);
        }
        let (steps, classes) = (width / STRIDE, self.alphabet.classes());
        let logits =
            self.model.run([count, 1, HEIGHT, width], &input)?.expect(&[count, steps, classes])?;
        let texts = logits.chunks_exact(steps * classes).zip(&crops).zip(&batch.lines);
        Ok(texts
            .map(|((logits, crop), &index)| {
                let line = &lines[index];
                let step = STRIDE as f32 * line.length() / crop.width as f32;
                let posteriors = posteriors(line.left(), step, logits, &self.alphabet);
                let marks = single_blanks(&decode(&posteriors));
                let (ink, paper) = crop.levels();
                let depth = |level: f32| (paper - level) / paper.max(1.0);
                let chars = place(&marks, crop.width, line);
                let depths = chars.iter().map(|c| depth(crop.darkest(c, line))).collect();
                LineText { chars, posteriors, depth: depth(ink), depths }
            })
            .collect())
    }
}

/// Lines that are read in one run, padded to one width.
#[derive(Debug, PartialEq, Eq)]
struct Batch {
    width: usize,
    lines: Vec<usize>,
}

impl Batch {
    fn columns(&self) -> usize {
        self.width * self.lines.len()
    }
}

/// Sorts lines into the runs that cost least, the most work first, so that threads end together.
///
/// Each run takes lines that follow each other by width, and is as wide as its widest: whether a
/// line is better padded or read in another run is found for each number of lines in turn.
fn batches(lines: &[TextBox]) -> Vec<Batch> {
    let padded = |line| crop_width(line).next_multiple_of(WIDTH_STEP).max(NARROWEST);
    let mut by_width: Vec<(usize, usize)> =
        lines.iter().enumerate().map(|(index, line)| (padded(line), index)).collect();
    by_width.sort_unstable_by(|a, b| b.cmp(a));
    // Of the first lines, as many as the index says: the least cost, and where the last run starts.
    let mut cheapest = vec![(0, 0)];
    for end in 1..=by_width.len() {
        let ending_here = (0..end)
            .rev()
            .map(|start| (start, by_width[start].0 * (end - start)))
            .take_while(|&(start, columns)| start + 1 == end || columns <= COLUMNS_OF_A_RUN)
            .map(|(start, columns)| (cheapest[start].0 + COLUMNS_TO_START + columns, start));
        cheapest.push(ending_here.min().unwrap_or_default());
    }
    let mut batches = Vec::new();
    let mut end = by_width.len();
    while end > 0 {
        let start = cheapest[end].1;
        let lines = by_width[start..end].iter().map(|&(_, index)| index).collect();
        batches.push(Batch { width: by_width[start].0, lines });
        end = start;
    }
    batches.sort_by_key(|batch| Reverse(batch.columns()));
    batches
}

/// Width of a line's crop: as long as the line at the scale that makes it 40 pixels high.
fn crop_width(line: &TextBox) -> usize {
    let slope = line.slope_at((line.left() + line.right()) / 2.0);
    let length = line.length() * (1.0 + slope * slope).sqrt();
    let width = (length * HEIGHT as f32 / line.height().max(1.0)).round();
    (width as usize).clamp(STRIDE, WIDEST)
}

/// A line cut from its page, grey.
struct Crop {
    width: usize,
    pixels: Vec<u8>,
}

impl Crop {
    fn of(page: &GrayImage, line: &TextBox) -> Self {
        let width = crop_width(line);
        let mut pixels = vec![0; width * HEIGHT];
        let factor = (line.height() / (COARSEST * HEIGHT as f32)).ceil().clamp(1.0, 6.0) as usize;
        let fine = (width * factor) as f32;
        let page = Grey::new(page, page.width() as usize);
        let mut sums = [0.0f32; HEIGHT];
        for column in 0..width {
            sums.fill(0.0);
            for part in 0..factor {
                let along = ((column * factor + part) as f32 + 0.5) / fine;
                let x = if line.is_turned() {
                    line.right() - along * line.length()
                } else {
                    line.left() + along * line.length()
                };
                add_column(&page, line, x, factor, &mut sums);
            }
            let samples = (factor * factor) as f32;
            for (row, sum) in sums.iter().enumerate() {
                pixels[row * width + column] = (sum / samples + 0.5) as u8;
            }
        }
        Self { width, pixels }
    }

    /// Writes it into rows of `stride` values, ink towards 0 and paper towards 1.
    fn write_normalised(&self, target: &mut [f32], stride: usize) {
        let table = self.contrast();
        for (row, line) in target.chunks_exact_mut(stride).zip(self.pixels.chunks_exact(self.width))
        {
            for (value, &pixel) in row.iter_mut().zip(line) {
                *value = table[usize::from(pixel)];
            }
        }
    }

    /// What each grey level becomes: that of ink 0, that of paper 1.
    fn contrast(&self) -> [f32; 256] {
        let (low, high) = self.levels();
        let low = low.min(high - LEAST_CONTRAST as f32);
        std::array::from_fn(|level| ((level as f32 - low) / (high - low)).clamp(0.0, 1.0))
    }

    /// The darkest grey level at a character's place.
    fn darkest(&self, char: &Char, line: &TextBox) -> f32 {
        let column = |x: f32| (x - line.left()) / line.length() * self.width as f32;
        let columns =
            column(char.left) as usize..(column(char.right).ceil() as usize).min(self.width);
        let rows = self.pixels.chunks_exact(self.width);
        let levels = rows.flat_map(|row| row.get(columns.clone()).unwrap_or_default());
        f32::from(levels.copied().min().unwrap_or(u8::MAX))
    }

    /// The grey levels of ink and of paper: the 2nd percentile and the 90th.
    fn levels(&self) -> (f32, f32) {
        let mut counts = [0usize; 256];
        for &pixel in &self.pixels {
            counts[usize::from(pixel)] += 1;
        }
        let percentile = |share: f32| {
            let wanted = share * self.pixels.len() as f32;
            let mut sum = 0;
            counts.iter().position(|count| {
                sum += count;
                sum as f32 >= wanted
            })
        };
        (percentile(0.02).unwrap_or(0) as f32, percentile(0.9).unwrap_or(255) as f32)
    }
}

/// Adds the samples of the page that lie across the line at `x` to the rows of a crop.
fn add_column(page: &Grey, line: &TextBox, x: f32, factor: usize, sums: &mut [f32; HEIGHT]) {
    let y = line.centre_at(x);
    let slope = line.slope_at(x);
    let norm = (1.0 + slope * slope).sqrt();
    let (mut across_x, mut across_y) = (-slope / norm, 1.0 / norm);
    if line.is_turned() {
        (across_x, across_y) = (-across_x, -across_y);
    }
    let step = line.height() / (HEIGHT * factor) as f32;
    let first = (step - line.height()) / 2.0;
    page.add_samples(
        (x + across_x * first, y + across_y * first),
        (across_x * step, across_y * step),
        factor,
        sums,
    );
}

/// A character that the network wrote, with the middle of its place in steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// The character.
    pub value: char,
    /// Middle of its steps, in steps from the left.
    pub middle: f32,
    /// Highest posterior of its steps.
    pub confidence: f32,
}

/// Greedy CTC: the likeliest class of each step, runs collapsed, blanks dropped.
pub fn decode(posteriors: &Posteriors) -> Vec<Mark> {
    let mut marks: Vec<Mark> = Vec::new();
    let mut previous = None;
    let mut start = 0;
    for (step, likely) in posteriors.steps().enumerate() {
        let best =
            likely.iter().copied().reduce(|best, next| if next.1 > best.1 { next } else { best });
        let (class, posterior) = best.unwrap_or((None, 0.0));
        if class != previous {
            start = step;
            previous = class;
            if let Some(value) = class {
                marks.push(Mark { value, middle: step as f32 + 0.5, confidence: posterior });
            }
        } else if let (Some(mark), true) = (marks.last_mut(), class.is_some()) {
            mark.middle = (start + step + 1) as f32 / 2.0;
            mark.confidence = mark.confidence.max(posterior);
        }
    }
    marks
}

/// The characters that have a chance at each step, from logits in rows of classes.
fn posteriors(left: f32, step: f32, logits: &[f32], alphabet: &Alphabet) -> Posteriors {
    let mut posteriors = Posteriors::new(left, step);
    let mut likely = Vec::new();
    for row in logits.chunks_exact(alphabet.classes()) {
        cic_kernels::likely(row, posteriors::LEAST, &mut likely);
        let named = |&(class, posterior): &(usize, f32)| (alphabet.character(class), posterior);
        posteriors.push(likely.iter().map(named));
    }
    posteriors
}

/// Puts marks on the page: each reaches half way to its neighbours.
fn place(marks: &[Mark], crop_width: usize, line: &TextBox) -> Vec<Char> {
    let reach = REACH * EM;
    let scale = line.length() / crop_width as f32;
    let on_page = |x: f32| line.left() + x.clamp(0.0, crop_width as f32) * scale;
    let middle = |index: usize| marks.get(index).map(|mark| mark.middle * STRIDE as f32);
    let chars = marks.iter().enumerate().map(|(index, mark)| {
        let here = mark.middle * STRIDE as f32;
        let before = index.checked_sub(1).and_then(middle);
        let left = before.map_or(here - reach, |before| (here - reach).max((before + here) / 2.0));
        let right = middle(index + 1)
            .map_or(here + reach, |after| (here + reach).min((here + after) / 2.0));
        Char {
            value: mark.value,
            left: on_page(left),
            right: on_page(right),
            confidence: mark.confidence,
        }
    });
    chars.collect()
}

/// Drops blanks at the ends and all but the first of several.
fn single_blanks(marks: &[Mark]) -> Vec<Mark> {
    let mut kept: Vec<Mark> = Vec::with_capacity(marks.len());
    for mark in marks {
        if mark.value != ' ' || kept.last().is_some_and(|last| last.value != ' ') {
            kept.push(*mark);
        }
    }
    if kept.last().is_some_and(|last| last.value == ' ') {
        kept.pop();
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Rect;
    use crate::ocr::alphabet;
    use crate::ocr::model::Tensor;
    use image::Luma;

    fn alphabet() -> Alphabet {
        Alphabet::parse(&alphabet::full()).unwrap()
    }

    fn class(alphabet: &Alphabet, value: char) -> usize {
        (1..alphabet.classes()).find(|&class| alphabet.character(class) == Some(value)).unwrap()
    }

    /// Logits that say each character for one step; `_` is the CTC blank.
    fn logits(alphabet: &Alphabet, steps: &str) -> Vec<f32> {
        let mut logits = Vec::new();
        for step in steps.chars() {
            let mut row = vec![0.0; alphabet.classes()];
            row[if step == '_' { 0 } else { class(alphabet, step) }] = 12.0;
            logits.extend(row);
        }
        logits
    }

    fn read(logits: &[f32], alphabet: &Alphabet) -> Vec<Mark> {
        decode(&posteriors(0.0, 1.0, logits, alphabet))
    }

    fn text(marks: &[Mark]) -> String {
        marks.iter().map(|mark| mark.value).collect()
    }

    #[test]
    fn runs_collapse_and_a_ctc_blank_parts_equal_characters() {
        let alphabet = alphabet();
        let marks = read(&logits(&alphabet, "__ợợ_ss_s-1__1"), &alphabet);
        assert_eq!(text(&marks), "ợss-11");
        assert_eq!(marks[0].middle, 3.0);
        assert!(marks.iter().all(|mark| mark.confidence > 0.99));
    }

    #[test]
    fn confidence_is_the_highest_posterior_of_the_run() {
        let alphabet = alphabet();
        let mut logits = logits(&alphabet, "11");
        logits[class(&alphabet, '1')] = 12.0;
        logits[class(&alphabet, '7')] = 12.0;
        let marks = read(&logits, &alphabet);
        assert_eq!(text(&marks), "1");
        assert!(marks[0].confidence > 0.99, "{marks:?}");
    }

    #[test]
    fn numbers_that_are_none_give_no_confidence() {
        let alphabet = alphabet();
        let marks = read(&vec![f32::NAN; 2 * alphabet.classes()], &alphabet);
        assert!(marks.is_empty());
    }

    #[test]
    fn blanks_are_single_and_none_is_at_the_ends() {
        let alphabet = alphabet();
        let marks = read(&logits(&alphabet, " _ a _ _ b _ "), &alphabet);
        assert_eq!(text(&single_blanks(&marks)), "a b");
    }

    #[test]
    fn characters_lie_side_by_side_on_the_page() {
        let alphabet = alphabet();
        let line = TextBox::level(&Rect::new(100.0, 0.0, 260.0, 80.0));
        let marks = read(&logits(&alphabet, "_1_______2_3________"), &alphabet);
        let chars = place(&marks, 80, &line);
        // A step is 8 page pixels wide; middles at 1.5, 9.5 and 11.5 steps.
        assert_eq!(chars[1].right, 100.0 + 8.0 * 10.5);
        assert_eq!(chars[2].left, chars[1].right);
        assert!(chars[0].left >= 100.0 && chars[0].right < chars[1].left);
        assert!(chars[2].right <= 260.0);
    }

    #[test]
    fn lines_are_sorted_into_few_widths_and_bounded_runs() {
        let line = |length: f32| TextBox::level(&Rect::new(0.0, 0.0, length, 40.0));
        let lines: Vec<TextBox> = (0..100).map(|n| line(10.0 + 30.0 * n as f32)).collect();
        let batches = batches(&lines);
        let mut all: Vec<usize> = batches.iter().flat_map(|batch| batch.lines.clone()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        for batch in &batches {
            assert!(batch.width % WIDTH_STEP == 0 && batch.columns() <= COLUMNS_OF_A_RUN);
            assert!(batch.lines.iter().all(|&index| crop_width(&lines[index]) <= batch.width));
        }
        assert!(batches.windows(2).all(|pair| pair[0].columns() >= pair[1].columns()));
    }

    #[test]
    fn lines_share_a_run_where_padding_costs_less_than_another_run() {
        let batches = |widths: &[f32]| {
            let line = |&width: &f32| TextBox::level(&Rect::new(0.0, 0.0, width, 40.0));
            let lines: Vec<TextBox> = widths.iter().map(line).collect();
            batches(&lines).into_iter().map(|batch| (batch.width, batch.lines)).collect::<Vec<_>>()
        };
        assert_eq!(batches(&[300.0, 290.0]), [(304, vec![1, 0])]);
        assert_eq!(batches(&[9.0, 11.0]), [(NARROWEST, vec![1, 0])]);
        assert_eq!(batches(&[200.0, 600.0]), [(608, vec![1]), (208, vec![0])]);
        assert_eq!(batches(&[1200.0, 1100.0]), [(1200, vec![0]), (1104, vec![1])]);
        assert!(batches(&[]).is_empty());
    }

    /// A page with a bar of ink along a slanting line, darker at its right end.
    fn slanting(slope: f32) -> GrayImage {
        GrayImage::from_fn(600, 200, |x, y| {
            let off = y as f32 + 0.5 - (60.0 + slope * (x as f32 + 0.5));
            let ink = if x < 500 { 60 } else { 0 };
            Luma([if off.abs() < 10.0 { ink } else { 230 }])
        })
    }

    #[test]
    fn a_crop_follows_its_line() {
        let line = TextBox::level(&Rect::new(50.0, 0.0, 550.0, 40.0)).with_curve([
            60.0 + 0.05 * 300.0,
            0.05 * 250.0,
            0.0,
        ]);
        let crop = Crop::of(&slanting(0.05), &line);
        let rows = |row: usize| &crop.pixels[row * crop.width..(row + 1) * crop.width];
        assert!(rows(20).iter().all(|&pixel| pixel <= 60));
        assert!(rows(5).iter().chain(rows(34)).all(|&pixel| pixel == 230));
    }

    #[test]
    fn a_turned_crop_is_the_upright_one_turned() {
        let line = TextBox::level(&Rect::new(50.0, 40.0, 550.0, 80.0));
        let page = slanting(0.0);
        let upright = Crop::of(&page, &line);
        let mut turned = Crop::of(&page, &line.turned_over());
        turned.pixels.reverse();
        let far = upright.pixels.iter().zip(&turned.pixels).filter(|(a, b)| a.abs_diff(**b) > 2);
        assert_eq!(far.count(), 0);
    }

    #[test]
    fn contrast_is_stretched_between_ink_and_paper_but_noise_is_not() {
        let crop = |pixels: Vec<u8>| Crop { width: pixels.len(), pixels };
        let table = crop([vec![50; 20], vec![150; 80]].concat()).contrast();
        assert_eq!((table[50], table[100], table[150], table[255]), (0.0, 0.5, 1.0, 1.0));
        let table = crop([vec![198; 20], vec![200; 80]].concat()).contrast();
        assert!(table[198] > 0.9 && table[200] == 1.0);
    }

    /// Reads a dark line as "1", a light one as "0".
    struct Darkness(Alphabet);

    impl Model for Darkness {
        fn run(
            &self,
            [count, _, _, width]: [usize; 4],
            input: &[f32],
        ) -> Result<Tensor, ModelError> {
            let classes = self.0.classes();
            let steps = width / STRIDE;
            let mut data = vec![0.0; count * steps * classes];
            for (index, line) in input.chunks_exact(HEIGHT * width).enumerate() {
                let digit = if line[width * 20 + 2] < 0.5 { '1' } else { '0' };
                for step in 0..steps {
                    let class = if step == 1 { class(&self.0, digit) } else { 0 };
                    data[(index * steps + step) * classes + class] = 9.0;
                }
            }
            Ok(Tensor { shape: vec![count, steps, classes], data })
        }
    }

    #[test]
    fn texts_come_in_the_order_of_their_lines() {
        let mut page = GrayImage::from_pixel(900, 1000, Luma([255]));
        let mut lines = Vec::new();
        for n in 0..20u32 {
            let (top, width) = (n * 50, 60 + (n * 37) % 11 * 70);
            lines.push(TextBox::level(&Rect::new(
                0.0,
                top as f32,
                width as f32,
                top as f32 + 40.0,
            )));
            for y in top + 15..top + 25 {
                for x in 0..width * (n % 2) {
                    page.put_pixel(x, y, Luma([0]));
                }
            }
        }
        let recogniser = Recogniser::new(Box::new(Darkness(alphabet())), alphabet());
        let texts = recogniser.read(&page, &lines).unwrap();
        let read: String = texts.iter().map(|text| text.chars[0].value).collect();
        assert_eq!(read, "01".repeat(10));
        assert!(recogniser.read(&page, &[]).unwrap().is_empty());
    }
}
