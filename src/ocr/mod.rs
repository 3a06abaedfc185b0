//! Reads a page by its pixels: finds lines of text and rules, then reads each line.
//!
//! Pixels and models in, [`Line`]s and [`Rule`]s out. It opens no file: models come as bytes. It
//! corrects nothing it has read; what a word ought to be is no business of this module. Everything
//! but [`model`] works on the [`Model`] trait alone, so it is tested with drawn maps and made-up
//! logits.
//!
//! Invariant: all places are in pixels of the upright page, which is the given page turned by
//! [`Reading::quarter_turns`].

pub mod alphabet;
pub mod detect;
mod lone;
pub mod model;
pub mod recognise;

use std::sync::Arc;

use image::GrayImage;
use image::imageops::{flip_horizontal, rotate90, rotate180};

use crate::geometry::Rect;
use crate::stage::{Stage, Watch};
use crate::text::{Char, Line, Rule};
use detect::{Detection, Detector, TextBox};
pub use model::{Model, ModelError, Tensor};
use recognise::{LineText, Recogniser};

/// Upright pages, even poor photocopies, read better than this, so they pay for no second look.
const SURELY_UPRIGHT: f32 = 0.9;

/// How many of a page's widest lines are turned over, or mirrored, to compare how they read.
const LINES_TO_TURN: usize = 8;

/// Lines that the recogniser itself believes in less than this, on average, are stains, stamps and
/// pictures, not text.
const READABLE: f32 = 0.5;

/// A box shorter than this, in its heights, holds a lone character or two.
const SHORT: f32 = 1.15;

/// How much higher the box of a lone character is at a second look.
const HIGHER: f32 = 1.3;

/// What the first look must hold of what the second one sees: less is a stain or a stamp.
const GLIMPSED: f32 = 0.05;

/// More second looks than any paper needs; a page of specks gets no more.
const MOST_LOOKS: usize = 64;

/// A heading is this many times as wide as high at least, and falls by no more than this beside the
/// other lines: one degree.
const HEADING: f32 = 4.0;
const ASKEW: f32 = 0.0175;

/// Lines that are print without a doubt read better than this.
const PLAIN: f32 = 0.9;

/// Lines whose ink stands out from the paper by less than the first part of what print does shine
/// through from the other side of the sheet, or stand behind the print; so may those below the second
/// one, which coloured headings are, too. Measured: 0.14 to 0.35, and 0.39 to 0.46.
const FAINT: f32 = 0.36;
const PALE: f32 = 0.5;

/// The share of a page's characters that is faint, at least, where a copier had too little toner.
const FADED: f32 = 0.1;

/// What was read on a page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// How often the page has to be turned by 90°, clockwise, before anything else here applies.
    pub quarter_turns: u8,
    /// Lines that hold text.
    pub lines: Vec<Line>,
    /// Rules of tables.
    pub rules: Vec<Rule>,
}

/// A detector and a recogniser that work together.
pub struct Reader {
    /// Finds lines and rules.
    pub detector: Detector,
    /// Reads lines.
    pub recogniser: Recogniser,
}

impl Reader {
    /// Reads a page, whichever way up it lies. The two stages come twice on a page that is turned.
    ///
    /// Lines are found on `page`; they are read on `print`, the same page without stamps, where there
    /// is one, and once more on `page` where that leaves too little of them: a heading can be red.
    pub fn read(
        &self,
        page: &GrayImage,
        print: Option<&GrayImage>,
        watch: Watch,
    ) -> Result<Reading, ModelError> {
        let found = self.detect(page, watch)?;
        if found.sideways {
            let (turned, print) = (rotate90(page), print.map(rotate90));
            let found = self.detect(&turned, watch)?;
            self.read_found(&turned, print.as_ref(), found, 1, watch)
        } else {
            self.read_found(page, print, found, 0, watch)
        }
    }

    /// Reads what was found on a page whose lines lie level, upright or on their heads.
    fn read_found(
        &self,
        page: &GrayImage,
        print: Option<&GrayImage>,
        found: Detection,
        quarter_turns: u8,
        watch: Watch,
    ) -> Result<Reading, ModelError> {
        let read_on = print.unwrap_or(page);
        let texts = self.recognise_print(page, print, &found.boxes, watch)?;
        if !self.lies_upside_down(read_on, &found.boxes, &texts, watch)? {
            let lines = self.lines(read_on, &found.boxes, texts, watch)?;
            return Ok(Reading { quarter_turns, lines, rules: found.rules });
        }
        let (turned, print) = (rotate180(page), print.map(rotate180));
        let print = print.as_ref();
        let found = self.detect(&turned, watch)?;
        let texts = self.recognise_print(&turned, print, &found.boxes, watch)?;
        let lines = self.lines(print.unwrap_or(&turned), &found.boxes, texts, watch)?;
        Ok(Reading { quarter_turns: quarter_turns + 2, lines, rules: found.rules })
    }

    /// Reads lines without the red ink of stamps. What is too pale for print then is read once more
    /// on the page as it is: a heading in bright red is no stamp's. It must read well there; a
    /// stamp's words are short, askew or worn, as a rule.
    fn recognise_print(
        &self,
        page: &GrayImage,
        print: Option<&GrayImage>,
        boxes: &[TextBox],
        watch: Watch,
    ) -> Result<Vec<LineText>, ModelError> {
        let mut texts = self.recognise(print.unwrap_or(page), boxes, watch)?;
        let (deep, level) = (depth_of_print(&texts), level(boxes));
        let is_heading = |line: &TextBox| {
            let is_level = |slope: f32| (slope - level).abs() < ASKEW;
            line.length() >= HEADING * line.height() && line.own_slope().is_some_and(is_level)
        };
        let is_pale = |&index: &usize| {
            print.is_some() && texts[index].depth < FAINT * deep && is_heading(&boxes[index])
        };
        let pale: Vec<usize> = (0..texts.len()).filter(is_pale).take(MOST_LOOKS).collect();
        if pale.is_empty() {
            return Ok(texts);
        }
        let lines: Vec<TextBox> = pale.iter().map(|&index| boxes[index]).collect();
        for (index, text) in pale.into_iter().zip(self.recognise(page, &lines, watch)?) {
            if text.depth >= PALE * deep && text.confidence() >= PLAIN {
                texts[index] = text;
            }
        }
        Ok(texts)
    }

    /// Those lines that are print.
    fn lines(
        &self,
        page: &GrayImage,
        boxes: &[TextBox],
        mut texts: Vec<LineText>,
        watch: Watch,
    ) -> Result<Vec<Line>, ModelError> {
        let print = depth_of_print(&texts);
        self.look_again(page, boxes, &mut texts, print, watch)?;
        let all = boxes.iter().zip(&texts);
        let faint: Vec<_> = all.filter(|(_, text)| text.is_faint(print)).collect();
        let length: usize = texts.iter().map(|text| text.chars.len()).sum();
        let faint_length: usize = faint.iter().map(|(_, text)| text.chars.len()).sum();
        let is_faded = faint_length as f32 > FADED * length as f32
            && !self.shines_through(page, faint, watch)?;
        Ok(lines(boxes, texts, print, is_faded))
    }

    /// Reads lone characters of print once more that nobody could tell: a box that is too low cuts
    /// them, and in a high one a slim "1" could be an "I" or a "]". With more paper above and below
    /// most are plain. Only a single digit counts, which the first look held possible, and where it
    /// saw no other; it is believed in as much as both looks do on average.
    fn look_again(
        &self,
        page: &GrayImage,
        boxes: &[TextBox],
        texts: &mut [LineText],
        print: f32,
        watch: Watch,
    ) -> Result<(), ModelError> {
        let is_doubtful = |(line, text): (&TextBox, &LineText)| {
            let is_print = text.depth >= PALE * print && text.confidence() < READABLE;
            is_print && line.length() < SHORT * line.height()
        };
        let doubtful: Vec<usize> = (0..texts.len())
            .filter(|&index| is_doubtful((&boxes[index], &texts[index])))
            .take(MOST_LOOKS)
            .collect();
        if doubtful.is_empty() {
            return Ok(());
        }
        let higher: Vec<TextBox> =
            doubtful.iter().map(|&index| boxes[index].higher(HIGHER)).collect();
        for (index, look) in doubtful.into_iter().zip(self.recognise(page, &higher, watch)?) {
            let first = &mut texts[index];
            if let [digit] = look.chars[..]
                && digit.value.is_ascii_digit()
                && first.chars.iter().all(|c| c.value == digit.value || !c.value.is_ascii_digit())
                && let before = first.highest(digit.value)
                && before >= GLIMPSED
            {
                let confidence = (before + digit.confidence) / 2.0;
                let chars = vec![Char { confidence, ..digit }];
                *first = LineText { chars, depth: first.depth, ..look };
            }
        }
        Ok(())
    }

    /// Whether faint lines read better in the mirror, whichever edge the sheet was turned over.
    fn shines_through(
        &self,
        page: &GrayImage,
        faint: Vec<(&TextBox, &LineText)>,
        watch: Watch,
    ) -> Result<bool, ModelError> {
        let faint = widest(faint);
        let upright = confidence(faint.iter().map(|(_, text)| *text));
        let mirror = flip_horizontal(page);
        let mirrored = |(line, _): &(&TextBox, _)| line.mirrored(page.width() as f32);
        let sideways: Vec<TextBox> = faint.iter().map(mirrored).collect();
        let overhead: Vec<TextBox> = sideways.iter().map(TextBox::turned_over).collect();
        for lines in [sideways, overhead] {
            if confidence(&self.recognise(&mirror, &lines, watch)?) >= upright {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the widest lines read better when turned over.
    fn lies_upside_down(
        &self,
        page: &GrayImage,
        boxes: &[TextBox],
        texts: &[LineText],
        watch: Watch,
    ) -> Result<bool, ModelError> {
        let widest = widest(boxes.iter().zip(texts).collect());
        let upright = confidence(widest.iter().map(|(_, text)| *text));
        if widest.is_empty() || upright >= SURELY_UPRIGHT {
            return Ok(false);
        }
        let turned: Vec<TextBox> = widest.iter().map(|(line, _)| line.turned_over()).collect();
        Ok(confidence(&self.recognise(page, &turned, watch)?) > upright)
    }

    fn detect(&self, page: &GrayImage, watch: Watch) -> Result<Detection, ModelError> {
        watch.stage(Stage::Detect, || self.detector.detect(page))
    }

    fn recognise(
        &self,
        page: &GrayImage,
        boxes: &[TextBox],
        watch: Watch,
    ) -> Result<Vec<LineText>, ModelError> {
        watch.stage(Stage::Recognise, || self.recogniser.read(page, boxes))
    }
}

impl LineText {
    /// The highest posterior of a character, wherever in the line.
    fn highest(&self, value: char) -> f32 {
        let likely = self.posteriors.steps().flatten();
        likely.filter(|(class, _)| *class == Some(value)).map(|(_, p)| *p).fold(0.0, f32::max)
    }

    /// Whether it is text, but of so much less ink than this depth that it may be no print.
    fn is_faint(&self, print: f32) -> bool {
        self.depth < PALE * print && !self.is_plain(print) && self.confidence() >= READABLE
    }

    /// Whether it is print, on a page whose print is so deep, be it coloured or smudged.
    fn is_plain(&self, print: f32) -> bool {
        let stands_out = self.depth / print;
        let least = if stands_out < PALE { PLAIN } else { READABLE };
        stands_out >= FAINT && self.confidence() >= least
    }
}

/// How deep the ink of most lines is that are print without a doubt.
fn depth_of_print(texts: &[LineText]) -> f32 {
    let mut plain: Vec<f32> =
        texts.iter().filter(|text| text.confidence() >= PLAIN).map(|text| text.depth).collect();
    plain.sort_by(f32::total_cmp);
    plain.get(plain.len() / 2).copied().unwrap_or(f32::MIN_POSITIVE)
}

/// What of these texts is print of this depth, or any text at all on a page where print faded.
fn lines(boxes: &[TextBox], texts: Vec<LineText>, print: f32, is_faded: bool) -> Vec<Line> {
    let is_print = |text: &LineText| text.is_plain(print) || is_faded && text.is_faint(print);
    let least = if is_faded { 0.0 } else { FAINT * print };
    boxes
        .iter()
        .zip(texts)
        .filter(|(_, text)| !text.chars.is_empty() && is_print(text))
        .map(|(line, mut text)| {
            let rect = cut_faint_ends(&mut text, line.rect(), least);
            let posteriors = Some(Arc::new(text.posteriors));
            Line { rect, chars: text.chars, posteriors, slope: line.own_slope() }
        })
        .collect()
}

/// Cuts off what follows print in its line, or comes before it, and shines through the sheet: ink of
/// less than this depth that does not read well. Gives what is left of the line's place.
fn cut_faint_ends(text: &mut LineText, mut rect: Rect, depth: f32) -> Rect {
    let is_print = |&ink: &f32| ink >= depth;
    let (Some(start), Some(last)) =
        (text.depths.iter().position(is_print), text.depths.iter().rposition(is_print))
    else {
        return rect;
    };
    let is_doubtful = |chars: &[Char]| {
        chars.iter().any(|c| c.value.is_alphanumeric())
            && chars.iter().any(|c| c.confidence < PLAIN)
    };
    if is_doubtful(&text.chars[last + 1..]) {
        text.chars.truncate(last + 1);
        rect.right = text.chars[last].right;
    }
    if is_doubtful(&text.chars[..start]) {
        text.chars.drain(..start);
        rect.left = text.chars[0].left;
    }
    rect
}

/// How much most lines fall.
fn level(boxes: &[TextBox]) -> f32 {
    let long = boxes.iter().filter(|line| line.length() >= HEADING * line.height());
    let mut slopes: Vec<f32> = long.filter_map(TextBox::own_slope).collect();
    slopes.sort_by(f32::total_cmp);
    slopes.get(slopes.len() / 2).copied().unwrap_or(0.0)
}

/// The widest lines of these.
fn widest<'a>(mut lines: Vec<(&'a TextBox, &'a LineText)>) -> Vec<(&'a TextBox, &'a LineText)> {
    lines.sort_by(|(a, _), (b, _)| b.length().total_cmp(&a.length()));
    lines.truncate(LINES_TO_TURN);
    lines
}

/// The mean confidence of lines; 0 of none.
fn confidence<'a>(texts: impl IntoIterator<Item = &'a LineText>) -> f32 {
    let confidences = texts.into_iter().map(LineText::confidence);
    let (sum, count) = confidences.fold((0.0, 0), |(sum, count), one| (sum + one, count + 1));
    if count == 0 { 0.0 } else { sum / count as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alphabet::Alphabet;

    /// A line's text, read so well, of ink that is so much darker than its paper.
    fn read(text: &str, confidence: f32, depth: f32) -> LineText {
        let char = |value| Char { value, left: 0.0, right: 8.0, confidence };
        LineText { chars: text.chars().map(char).collect(), depth, ..LineText::default() }
    }

    /// What is print on a page that did not fade.
    fn print_of(boxes: &[TextBox], texts: Vec<LineText>) -> Vec<Line> {
        let print = depth_of_print(&texts);
        lines(boxes, texts, print, false)
    }

    #[test]
    fn what_shines_through_the_sheet_is_no_line_and_what_is_printed_in_colour_is() {
        let texts = vec![
            read("print", 0.99, 0.8),
            read("more print", 0.98, 0.75),
            read("a smudge of print", 0.6, 0.7),
            read("a blue heading", 0.97, 0.34),
            read("0", 0.99, 0.2),
            read("OUTT MUT", 0.8, 0.3),
        ];
        let boxes = vec![TextBox::level(&Rect::new(0.0, 0.0, 50.0, 20.0)); texts.len()];
        let kept: Vec<String> = print_of(&boxes, texts).iter().map(Line::text).collect();
        assert_eq!(kept, ["print", "more print", "a smudge of print", "a blue heading"]);
        // A page that is pale all over.
        let pale = vec![read("faded", 0.95, 0.1), read("toner", 0.7, 0.08)];
        assert_eq!(print_of(&boxes, pale).len(), 2);
    }

    #[test]
    fn what_shines_through_beside_print_is_cut_off_its_line() {
        // Characters in this range are print; the others are faint and read so well.
        let line = |text: &str, print: std::ops::Range<usize>, confidence: f32| {
            let mut read = read(text, 0.99, 0.8);
            let places = 0..read.chars.len();
            read.depths = places.map(|n| if print.contains(&n) { 0.7 } else { 0.2 }).collect();
            for (n, char) in read.chars.iter_mut().enumerate() {
                (char.left, char.right) = (8.0 * n as f32, 8.0 * (n + 1) as f32);
                if !print.contains(&n) && char.value != ' ' {
                    char.confidence = confidence;
                }
            }
            read
        };
        let texts = vec![
            line("R20 1ôD", 0..3, 0.6),
            line("doiJ R20", 5..8, 0.6),
            line("faded", 0..4, 0.95),
            line("dash -", 0..4, 0.6),
        ];
        let boxes = vec![TextBox::level(&Rect::new(0.0, 0.0, 64.0, 20.0)); texts.len()];
        let lines = print_of(&boxes, texts);
        let kept: Vec<String> = lines.iter().map(Line::text).collect();
        assert_eq!(kept, ["R20", "R20", "faded", "dash -"]);
        assert_eq!((lines[0].rect.left, lines[0].rect.right), (0.0, 24.0));
        assert_eq!((lines[1].rect.left, lines[1].rect.right), (40.0, 64.0));
    }

    /// Reads a line whose ink is at its upper left as "E", and any other as an uncertain "3".
    struct Letter(Alphabet);

    impl Model for Letter {
        fn run(
            &self,
            [count, _, height, width]: [usize; 4],
            input: &[f32],
        ) -> Result<Tensor, ModelError> {
            let (classes, steps) = (self.0.classes(), width / 4);
            let class = |value| (1..classes).find(|&class| self.0.character(class) == Some(value));
            let mut data = vec![0.0; count * steps * classes];
            for (index, line) in input.chunks_exact(height * width).enumerate() {
                let is_e = line[height / 4 * width + 6] < 0.5;
                let (value, logit) = if is_e { ('E', 12.0) } else { ('3', 6.0) };
                for step in 0..steps {
                    let class = if step == 1 { class(value).unwrap() } else { 0 };
                    data[(index * steps + step) * classes + class] = logit;
                }
            }
            Ok(Tensor { shape: vec![count, steps, classes], data })
        }
    }

    /// Reads a line whose ink touches its upper edge as what it may be, any other as one character.
    struct Cut {
        alphabet: Alphabet,
        cut: [(char, f32); 2],
        whole: char,
    }

    impl Model for Cut {
        fn run(
            &self,
            [count, _, height, width]: [usize; 4],
            input: &[f32],
        ) -> Result<Tensor, ModelError> {
            let (classes, steps) = (self.alphabet.classes(), width / 4);
            let class = |value| (1..classes).find(|&c| self.alphabet.character(c) == Some(value));
            let mut data = vec![-30.0; count * steps * classes];
            for (index, line) in input.chunks_exact(height * width).enumerate() {
                let is_cut = line[..width].iter().any(|&level| level < 0.5);
                for (step, row) in
                    data[index * steps * classes..].chunks_exact_mut(classes).enumerate()
                {
                    match step {
                        1 if is_cut => {
                            for (value, posterior) in self.cut {
                                row[class(value).unwrap()] = posterior.ln();
                            }
                            row[0] = (1.0 - self.cut[0].1 - self.cut[1].1).ln();
                        }
                        1 => {
                            row[class(self.whole).unwrap()] = 0.98_f32.ln();
                            row[0] = 0.02_f32.ln();
                        }
                        _ => row[0] = 0.0,
                    }
                }
            }
            Ok(Tensor { shape: vec![count, steps, classes], data })
        }
    }

    /// What is read of a lone spot as high as its box, of print, and how sure.
    fn read_cut(cut: [(char, f32); 2], whole: char) -> Vec<(String, f32)> {
        let alphabet = || Alphabet::parse(&alphabet::full()).unwrap();
        let model = || Box::new(Cut { alphabet: alphabet(), cut, whole });
        let reader = Reader {
            detector: Detector::new(model()),
            recogniser: Recogniser::new(model(), alphabet()),
        };
        let page = GrayImage::from_fn(100, 100, |x, y| {
            let is_ink = (55..60).contains(&x) && (20..40).contains(&y);
            image::Luma([if is_ink { 20 } else { 250 }])
        });
        let boxes = [TextBox::level(&Rect::new(50.0, 20.0, 70.0, 40.0))];
        let watch = Watch::new(&Nobody, 0);
        let texts = reader.recognise(&page, &boxes, watch).unwrap();
        let lines = reader.lines(&page, &boxes, texts, watch).unwrap();
        lines.iter().map(|line| (line.text(), line.chars[0].confidence)).collect()
    }

    #[test]
    fn a_digit_that_its_box_cut_is_read_in_a_higher_one_and_believed_as_much_as_both_looks() {
        let read = read_cut([('Q', 0.4), ('8', 0.3)], '8');
        let [(text, confidence)] = &read[..] else { panic!("{read:?}") };
        assert_eq!(text, "8");
        assert!((confidence - 0.64).abs() < 0.01, "{confidence}");
    }

    #[test]
    fn a_second_look_makes_no_text_of_what_is_no_digit_and_does_not_choose_between_digits() {
        assert_eq!(read_cut([('.', 0.4), ('-', 0.3)], 'I'), []);
        assert_eq!(read_cut([('4', 0.4), ('1', 0.3)], '1'), []);
        // The first look saw next to nothing like it.
        assert_eq!(read_cut([('.', 0.4), ('3', 0.03)], '3'), []);
    }

    struct Nobody;

    impl crate::stage::Observer for Nobody {}

    /// What is read of two lines of print and two faint ones, all with a spot in a corner.
    fn read_faint(is_mirrored: bool) -> Vec<String> {
        let letter = || Letter(Alphabet::parse(&alphabet::full()).unwrap());
        let reader = Reader {
            detector: Detector::new(Box::new(letter())),
            recogniser: Recogniser::new(Box::new(letter()), letter().0),
        };
        let mut page = GrayImage::from_pixel(200, 200, image::Luma([250]));
        let mut boxes = Vec::new();
        let faint_left = if is_mirrored { 95 } else { 55 };
        let spots = [(30, 55), (30, 55), (200, faint_left), (200, faint_left)];
        for (top, (level, left)) in (0..).step_by(40).zip(spots) {
            for (x, y) in (left..left + 10).flat_map(|x| (top + 5..top + 18).map(move |y| (x, y))) {
                page.put_pixel(x, y, image::Luma([level]));
            }
            boxes.push(TextBox::level(&Rect::new(50.0, top as f32, 110.0, (top + 40) as f32)));
        }
        let watch = Watch::new(&Nobody, 0);
        let texts = reader.recognise(&page, &boxes, watch).unwrap();
        let lines = reader.lines(&page, &boxes, texts, watch).unwrap();
        lines.iter().map(Line::text).collect()
    }

    /// What is read of one line in red, which falls so much and is so long, below many of print.
    fn read_red(fall: f32, length: f32) -> Option<Line> {
        const PRINT: usize = 11;
        let letter = || Letter(Alphabet::parse(&alphabet::full()).unwrap());
        let reader = Reader {
            detector: Detector::new(Box::new(letter())),
            recogniser: Recogniser::new(Box::new(letter()), letter().0),
        };
        let mut page = GrayImage::from_pixel(400, 800, image::Luma([250]));
        let mut print = page.clone();
        let mut boxes = Vec::new();
        let levels = [[55; PRINT].as_slice(), &[200]].concat();
        for (top, level) in (10..).step_by(60).zip(levels) {
            for (x, y) in (55..75).flat_map(|x| (top..top + 28).map(move |y| (x, y))) {
                page.put_pixel(x, y, image::Luma([55]));
                print.put_pixel(x, y, image::Luma([level]));
            }
            let right = 50.0 + if level == 55 { 300.0 } else { length };
            boxes.push(TextBox::level(&Rect::new(50.0, top as f32, right, (top + 40) as f32)));
        }
        let middle = boxes[PRINT].rect().centre().y;
        boxes[PRINT] = boxes[PRINT].with_curve([middle, fall * length / 2.0, 0.0]);
        let found = Detection { boxes, ..Detection::default() };
        let read = reader.read_found(&page, Some(&print), found, 0, Watch::new(&Nobody, 0));
        read.unwrap().lines.into_iter().nth(PRINT)
    }

    #[test]
    fn heading_in_red_is_read_and_what_is_askew_or_short_is_a_stamps() {
        assert_eq!(read_red(0.0, 300.0).unwrap().text(), "E");
        assert_eq!(read_red(-0.05, 300.0), None);
        assert_eq!(read_red(0.0, 100.0), None);
    }

    #[test]
    fn print_that_faded_is_read_and_what_shines_through_is_not() {
        assert_eq!(read_faint(false), ["E", "E", "E", "E"]);
        assert_eq!(read_faint(true), ["E", "E"]);
    }
}
