//! What reading a page yields, whether by its text layer or by its picture: lines of text with a
//! place and a confidence for each character, and the rules (ruled lines) of tables.

use std::sync::Arc;

use crate::geometry::Rect;
use crate::posteriors::Posteriors;

/// A character as read, with its place along the line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Char {
    /// The character; composed (NFC).
    pub value: char,
    /// Left edge on the page, in pixels.
    pub left: f32,
    /// Right edge on the page, in pixels.
    pub right: f32,
    /// The reader's posterior, 0..1; 1 for a text layer.
    pub confidence: f32,
}

/// One visual line of text inside one cell or paragraph.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// From the first glyph's left to the last one's right, and from 1.1 em above the baseline to
    /// 0.3 em below it.
    pub rect: Rect,
    /// Its characters from left to right; single blanks between words, none at the ends.
    pub chars: Vec<Char>,
    /// What else they could be; none for a text layer.
    pub posteriors: Option<Arc<Posteriors>>,
    /// Pixels that it falls for each one to the right; none where it is too short to tell, and for a
    /// text layer.
    pub slope: Option<f32>,
}

impl Line {
    /// The characters as a string.
    pub fn text(&self) -> String {
        self.chars.iter().map(|c| c.value).collect()
    }

    /// Size of the type, in pixels: the box is 1.4 em tall.
    pub fn em(&self) -> f32 {
        self.rect.height() / 1.4
    }
}

/// Which way a rule runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From left to right.
    Horizontal,
    /// From top to bottom.
    Vertical,
}

/// A ruled line of a table, as the thin rectangle it covers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Which way it runs.
    pub direction: Direction,
    /// What it covers.
    pub rect: Rect,
    /// Pixels by which its right end lies lower than its left one; 0 of an upright one.
    pub fall: f32,
}

impl Rule {
    /// A straight one.
    pub const fn level(direction: Direction, rect: Rect) -> Self {
        Self { direction, rect, fall: 0.0 }
    }
}

/// A page as read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PageText {
    /// 0-based index in the document.
    pub page: usize,
    /// Width of the aligned page image, in pixels.
    pub width: u32,
    /// Height of the aligned page image, in pixels.
    pub height: u32,
    /// Lines, in no promised order.
    pub lines: Vec<Line>,
    /// Rules, in no promised order.
    pub rules: Vec<Rule>,
}
