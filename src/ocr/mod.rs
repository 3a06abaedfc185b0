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
use image::imageops::{rotate90, rotate180};

use crate::stage::{Stage, Watch};
use crate::text::{Line, Rule};
use detect::{Detection, Detector, TextBox};
pub use model::{Model, ModelError, Tensor};
use recognise::{LineText, Recogniser};

/// Upright pages, even poor photocopies, read better than this, so they pay for no second look.
const SURELY_UPRIGHT: f32 = 0.9;

/// How many of a page's widest lines are turned over to compare both ways up.
const LINES_TO_TURN: usize = 8;

/// Lines that the recogniser itself believes in less than this, on average, are stains, stamps and
/// pictures, not text.
const READABLE: f32 = 0.5;

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
    /// Lines are found on `page`, as a heading can be red; they are read on `print`, the same page
    /// without stamps, where there is one.
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
        let texts = self.recognise(read_on, &found.boxes, watch)?;
        if !self.lies_upside_down(read_on, &found.boxes, &texts, watch)? {
            let lines = lines(&found.boxes, texts);
            return Ok(Reading { quarter_turns, lines, rules: found.rules });
        }
        let found = self.detect(&rotate180(page), watch)?;
        let texts = self.recognise(&rotate180(read_on), &found.boxes, watch)?;
        let lines = lines(&found.boxes, texts);
        Ok(Reading { quarter_turns: quarter_turns + 2, lines, rules: found.rules })
    }

    /// Whether the widest lines read better when turned over.
    fn lies_upside_down(
        &self,
        page: &GrayImage,
        boxes: &[TextBox],
        texts: &[LineText],
        watch: Watch,
    ) -> Result<bool, ModelError> {
        let mut widest: Vec<(&TextBox, &LineText)> = boxes.iter().zip(texts).collect();
        widest.sort_by(|(a, _), (b, _)| b.length().total_cmp(&a.length()));
        widest.truncate(LINES_TO_TURN);
        let upright = mean(widest.iter().map(|(_, text)| text.confidence()));
        if widest.is_empty() || upright >= SURELY_UPRIGHT {
            return Ok(false);
        }
        let turned: Vec<TextBox> = widest.iter().map(|(line, _)| line.turned_over()).collect();
        let texts = self.recognise(page, &turned, watch)?;
        Ok(mean(texts.iter().map(LineText::confidence)) > upright)
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

fn lines(boxes: &[TextBox], texts: Vec<LineText>) -> Vec<Line> {
    boxes
        .iter()
        .zip(texts)
        .filter(|(_, text)| !text.chars.is_empty() && text.confidence() >= READABLE)
        .map(|(line, text)| Line {
            rect: line.rect(),
            chars: text.chars,
            posteriors: Some(Arc::new(text.posteriors)),
        })
        .collect()
}

fn mean(values: impl Iterator<Item = f32>) -> f32 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { 0.0 } else { sum / count as f32 }
}
