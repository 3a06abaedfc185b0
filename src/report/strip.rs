//! One long strip of all pages, on which a table that runs over a page break is in one piece.
//!
//! Pages are scaled to the same width, brought to the same left and right edge by their tables,
//! freed of what a browser prints around them, and laid one below the other without the blank of
//! the margins. Strip units are thousandths of a page's width.

use std::borrow::Borrow;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::bend::Bend;
use super::lenders;
use super::schema::{Value, pixel_box};
use super::shapes;
use super::words;
use crate::geometry::Rect;
use crate::posteriors::Posteriors;
use crate::text::{Char, Direction, Line, PageText};

/// Width of a page in strip units.
const WIDTH: f32 = 1000.0;

/// A rule that is shorter than this, in em, is an accent or a part of a letter and parts nothing.
const SHORTEST_RULE: f32 = 1.6;

/// A line of more letters is not joined with another one.
const LONGEST: usize = 500;

/// A piece of text: one visual line of one cell, as a rule.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// 0-based index of its page.
    pub page: usize,
    /// Where it stands on the page, in pixels.
    pub rect: Rect,
    /// Where it stands on the strip.
    pub at: Rect,
    /// What was read.
    pub chars: Vec<Char>,
    /// What else that could be.
    pub posteriors: Option<Arc<Posteriors>>,
    /// What was read, as a string.
    pub text: String,
    /// The same, folded for comparison.
    pub key: String,
}

impl Piece {
    fn new(
        page: usize,
        rect: Rect,
        chars: Vec<Char>,
        posteriors: Option<Arc<Posteriors>>,
        at: Rect,
    ) -> Self {
        let text: String = chars.iter().map(|c| c.value).collect();
        let text = words::compose(text.trim());
        let key = words::fold(&text);
        Self { page, rect, at, chars, posteriors, text, key }
    }

    /// Whether it was read from a picture, not taken from a document's own text.
    pub fn is_from_picture(&self) -> bool {
        self.posteriors.is_some()
    }

    /// Height of its middle on the strip.
    pub fn y(&self) -> f32 {
        (self.at.top + self.at.bottom) / 2.0
    }

    /// Its middle from left to right, on the strip.
    pub fn x(&self) -> f32 {
        (self.at.left + self.at.right) / 2.0
    }

    /// Size of its type on the strip.
    pub fn em(&self) -> f32 {
        (self.at.height() / 1.4).max(1.0)
    }

    /// The part of the piece that the characters from `start` to `end` cover.
    pub fn part(&self, start: usize, end: usize) -> Option<Self> {
        let mut chars = self.chars.get(start..end)?;
        while let [blank, rest @ ..] = chars
            && blank.value == ' '
        {
            chars = rest;
        }
        while let [rest @ .., blank] = chars
            && blank.value == ' '
        {
            chars = rest;
        }
        let (first, last) = (chars.first()?, chars.last()?);
        let rect = Rect { left: first.left, right: last.right, ..self.rect };
        let scale = self.at.width() / self.rect.width().max(1.0);
        let at = Rect {
            left: self.at.left + (rect.left - self.rect.left) * scale,
            right: self.at.left + (rect.right - self.rect.left) * scale,
            ..self.at
        };
        Some(Self::new(self.page, rect, chars.to_vec(), self.posteriors.clone(), at))
    }

    /// The same piece with other characters.
    pub fn with_chars(&self, chars: Vec<Char>) -> Self {
        Self::new(self.page, self.rect, chars, self.posteriors.clone(), self.at)
    }

    /// Its words.
    pub fn words(&self) -> Vec<Self> {
        let blanks = self.chars.iter().enumerate().filter(|(_, c)| c.value == ' ').map(|(i, _)| i);
        let ends: Vec<usize> = blanks.chain([self.chars.len()]).collect();
        let starts = std::iter::once(0).chain(ends.iter().map(|end| end + 1));
        starts.zip(&ends).filter_map(|(start, end)| self.part(start, *end)).collect()
    }

    /// Cuts the piece at a place on the strip, at the blank nearest to it; none where the piece
    /// has no blank within `reach`.
    pub fn cut(&self, x: f32, reach: f32) -> Option<(Self, Self)> {
        let (index, _) = self.blank_near(x).filter(|(_, distance)| *distance <= reach)?;
        Some((self.part(0, index)?, self.part(index + 1, self.chars.len())?))
    }

    /// The blank that is nearest to a place on the strip, and how far away it is.
    pub fn blank_near(&self, x: f32) -> Option<(usize, f32)> {
        let scale = self.at.width() / self.rect.width().max(1.0);
        let place = |c: &Char| self.at.left + ((c.left + c.right) / 2.0 - self.rect.left) * scale;
        self.chars
            .iter()
            .enumerate()
            .filter(|(_, c)| c.value == ' ')
            .map(|(index, c)| (index, (place(c) - x).abs()))
            .min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// A horizontal rule on the strip.
#[derive(Clone, Copy, Debug)]
pub(super) struct Across {
    pub left: f32,
    pub right: f32,
    pub y: f32,
}

/// A vertical rule on the strip.
#[derive(Clone, Copy, Debug)]
pub(super) struct Upright {
    pub x: f32,
    pub top: f32,
    pub bottom: f32,
}

/// A part of the strip: a section, a report, or all of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Strip {
    /// From top to bottom, by their middles.
    pub pieces: Vec<Piece>,
    pub across: Vec<Across>,
    pub upright: Vec<Upright>,
    /// Where one page follows another.
    pub seams: Vec<f32>,
    /// How strip coordinates lead back to each page.
    pub frames: Vec<Frame>,
    /// The usual size of type, once it was asked for.
    usual: OnceCell<f32>,
}

/// Where a page lies on the strip.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub page: usize,
    /// Strip units per pixel, and what is added after scaling.
    scale: f32,
    dx: f32,
    dy: f32,
    top: f32,
    bottom: f32,
    /// Where its sheet does not lie flat.
    bend: Option<Bend>,
}

impl Frame {
    /// Where a line of text in a rectangle of the page is on the strip, laid level.
    fn onto(&self, rect: &Rect) -> Rect {
        self.moved(rect, |y| self.falls(rect, y).mean)
    }

    /// The same of a rule.
    fn rule_onto(&self, rect: &Rect) -> Rect {
        self.moved(rect, |y| self.falls(rect, y).middle())
    }

    fn moved(&self, rect: &Rect, fall: impl Fn(f32) -> f32) -> Rect {
        Rect::new(
            rect.left * self.scale + self.dx,
            (rect.top - fall(rect.top)) * self.scale + self.dy,
            rect.right * self.scale + self.dx,
            (rect.bottom - fall(rect.bottom)) * self.scale + self.dy,
        )
    }

    fn falls(&self, across: &Rect, y: f32) -> Falls {
        Falls::of(self.bend.as_ref(), across, y)
    }

    /// What of a strip rectangle lies on this page, in the page's pixels.
    pub fn back(&self, rect: &Rect) -> Option<Rect> {
        let top = rect.top.max(self.top);
        let bottom = rect.bottom.min(self.bottom);
        (bottom > top).then(|| {
            let flat = Rect::new(
                (rect.left - self.dx) / self.scale,
                (top - self.dy) / self.scale,
                (rect.right - self.dx) / self.scale,
                (bottom - self.dy) / self.scale,
            );
            let top = flat.top + self.falls(&flat, flat.top).least;
            let bottom = flat.bottom + self.falls(&flat, flat.bottom).most;
            Rect { top, bottom, ..flat }
        })
    }
}

/// How many pixels lower than on a flat sheet something lies as far as it reaches.
struct Falls {
    least: f32,
    mean: f32,
    most: f32,
}

impl Falls {
    /// Those at a height, between the sides of a rectangle.
    fn of(bend: Option<&Bend>, across: &Rect, y: f32) -> Self {
        const PLACES: usize = 8;
        let Some(bend) = bend else { return Self { least: 0.0, mean: 0.0, most: 0.0 } };
        let place = |at| across.left + across.width() * (at as f32 + 0.5) / PLACES as f32;
        let falls: [f32; PLACES] = std::array::from_fn(|at| bend.fall(place(at), y));
        Self {
            least: falls.into_iter().fold(f32::MAX, f32::min),
            mean: falls.iter().sum::<f32>() / PLACES as f32,
            most: falls.into_iter().fold(f32::MIN, f32::max),
        }
    }

    /// Where the middle of what covers all of it lies.
    fn middle(&self) -> f32 {
        (self.least + self.most) / 2.0
    }
}

impl Strip {
    /// Lays the pages one below the other.
    pub fn of<P: Borrow<PageText>>(pages: &[P]) -> Self {
        let pages: Vec<PageText> = pages.iter().map(|page| without_noise(page.borrow())).collect();
        let pages = pages.as_slice();
        let bends: Vec<Option<Bend>> = pages.iter().map(Bend::of).collect();
        let furniture = furniture(pages, &bends);
        let edges: Vec<_> = pages.iter().map(table_edges).collect();
        let target = edges.iter().flatten().next().copied();
        let mut strip = Self::default();
        let mut end = 0.0;
        for (index, (page, bend)) in pages.iter().zip(bends).enumerate() {
            let kept: Vec<&Line> = page
                .lines
                .iter()
                .enumerate()
                .filter(|(line, _)| !furniture.contains_key(&(index, *line)))
                .map(|(_, line)| line)
                .filter(|line| !line.chars.is_empty() && line.rect.height() >= 2.0)
                .collect();
            let flat = |rect: &Rect, y: f32| y - Falls::of(bend.as_ref(), rect, y).mean;
            let tops = kept.iter().map(|line| flat(&line.rect, line.rect.top));
            let Some(first) = tops.min_by(f32::total_cmp) else { continue };
            let mut scale = WIDTH / (page.width.max(1) as f32);
            let mut dx = 0.0;
            if let (Some((to_left, to_right)), Some(Some((left, right)))) =
                (target, edges.get(index))
            {
                scale *= (to_right - to_left) / (right - left);
                dx = to_left - left / (WIDTH / page.width.max(1) as f32) * scale;
            }
            let bottoms = kept.iter().map(|line| flat(&line.rect, line.rect.bottom));
            let last = bottoms.fold(first, f32::max);
            let dy = end - first * scale;
            let bottom = last * scale + dy;
            let frame = Frame { page: page.page, scale, dx, dy, top: end, bottom, bend };
            if end > 0.0 {
                strip.seams.push(end);
            }
            strip.add_page(page, &kept, &frame);
            strip.frames.push(frame);
            end = bottom;
        }
        strip.drop_strokes();
        strip.cut_at_rules();
        strip.join_splits();
        strip.pieces.sort_by(|a, b| a.y().total_cmp(&b.y()).then(a.at.left.total_cmp(&b.at.left)));
        strip
    }

    fn add_page(&mut self, page: &PageText, lines: &[&Line], frame: &Frame) {
        for line in lines {
            let piece = Piece::new(
                page.page,
                line.rect,
                line.chars.clone(),
                line.posteriors.clone(),
                frame.onto(&line.rect),
            );
            if !piece.text.is_empty() {
                self.pieces.push(piece);
            }
        }
        for rule in &page.rules {
            let at = frame.rule_onto(&rule.rect);
            let middle = at.centre();
            match rule.direction {
                Direction::Horizontal => {
                    // What lies outside of the page's text would fall onto a neighbour's.
                    if middle.y > frame.top && middle.y < frame.bottom {
                        self.across.push(Across { left: at.left, right: at.right, y: middle.y });
                    }
                }
                Direction::Vertical => {
                    let (top, bottom) = (at.top.max(frame.top), at.bottom.min(frame.bottom));
                    if bottom > top {
                        self.upright.push(Upright { x: middle.x, top, bottom });
                    }
                }
            }
        }
    }

    /// Drops short horizontal rules that do not reach from one vertical rule to another: strokes of a
    /// signature or a stamp, which part no rows.
    fn drop_strokes(&mut self) {
        /// A rule of a table or of its part is longer, or as long as a column is wide.
        const SHORT: f32 = 0.15 * WIDTH;
        const REACH: f32 = 0.012 * WIDTH;
        let mut xs: Vec<&Upright> = self.upright.iter().collect();
        xs.sort_by(|a, b| a.x.total_cmp(&b.x));
        let meets = |x: f32, y: f32| {
            let from = xs.partition_point(|rule| rule.x < x - REACH);
            let near = xs.iter().skip(from).take_while(|rule| rule.x <= x + REACH);
            near.into_iter().any(|rule| rule.top - REACH <= y && y <= rule.bottom + REACH)
        };
        let is_rule = |rule: &Across| {
            rule.right - rule.left >= SHORT || meets(rule.left, rule.y) && meets(rule.right, rule.y)
        };
        let kept = self.across.iter().filter(|rule| is_rule(rule)).copied().collect();
        self.across = kept;
    }

    /// Parts lines that run across a vertical rule: two cells read as one line.
    fn cut_at_rules(&mut self) {
        let mut waiting = std::mem::take(&mut self.pieces);
        while let Some(piece) = waiting.pop() {
            let em = piece.em();
            let crossing = self.upright.iter().find_map(|rule| {
                let spans = rule.top <= piece.y() && piece.y() <= rule.bottom;
                let inside =
                    piece.at.left + 0.6 * em < rule.x && rule.x < piece.at.right - 0.6 * em;
                (spans && inside).then(|| piece.cut(rule.x, 0.9 * em)).flatten()
            });
            match crossing {
                Some((left, right)) => waiting.extend([left, right]),
                None => self.pieces.push(piece),
            }
        }
    }

    /// Joins what the reader parted: neighbours in a line with hardly a gap and no rule between.
    fn join_splits(&mut self) {
        /// Where so many others begin too, at so many em from each other at most, a column does.
        const COLUMN: usize = 3;
        const ALIGNED: f32 = 0.25;
        self.pieces.sort_by(|a, b| a.at.left.total_cmp(&b.at.left));
        let mut lefts: HashMap<usize, Vec<f32>> = HashMap::new();
        for piece in &self.pieces {
            lefts.entry(piece.page).or_default().push(piece.at.left);
        }
        let begins_column = |piece: &Piece| {
            let lefts = lefts.get(&piece.page).map_or(&[][..], Vec::as_slice);
            let before = |aside: f32| lefts.partition_point(|left| *left < piece.at.left + aside);
            let reach = ALIGNED * piece.em();
            before(reach) - before(-reach) > COLUMN
        };
        let mut joined: Vec<Piece> = Vec::with_capacity(self.pieces.len());
        for piece in std::mem::take(&mut self.pieces) {
            let em = piece.em();
            let partner = joined.iter_mut().rev().find(|left| {
                left.page == piece.page
                    && left.chars.len() < LONGEST
                    && (left.y() - piece.y()).abs() < 0.3 * em
                    && (left.em() - em).abs() < 0.25 * em
                    && (-0.3 * em..0.4 * em).contains(&(piece.at.left - left.at.right))
                    && is_figures(&left.text) == is_figures(&piece.text)
            });
            match partner {
                Some(left) if !parted(&self.upright, left, &piece) && !begins_column(&piece) => {
                    let mut chars = std::mem::take(&mut left.chars);
                    let (from, to) = (left.rect.right, piece.rect.left);
                    chars.push(Char { value: ' ', left: from, right: to, confidence: 1.0 });
                    chars.extend(piece.chars.iter().copied());
                    *left = Piece::new(
                        left.page,
                        left.rect.union(&piece.rect),
                        chars,
                        // Those of two lines do not follow each other.
                        left.posteriors.as_ref().map(|_| Arc::default()),
                        left.at.union(&piece.at),
                    );
                }
                _ => joined.push(piece),
            }
        }
        self.pieces = joined;
    }

    /// The part between two heights. Pieces belong to it by their middles.
    pub fn slice(&self, top: f32, bottom: f32) -> Self {
        let inside = |y: f32| top <= y && y < bottom;
        Self {
            pieces: self.pieces.iter().filter(|piece| inside(piece.y())).cloned().collect(),
            across: self.across.iter().filter(|rule| inside(rule.y)).copied().collect(),
            upright: self
                .upright
                .iter()
                .filter(|rule| rule.bottom > top && rule.top < bottom)
                .map(|rule| Upright {
                    top: rule.top.max(top),
                    bottom: rule.bottom.min(bottom),
                    ..*rule
                })
                .collect(),
            seams: self.seams.iter().filter(|seam| inside(**seam)).copied().collect(),
            frames: self.frames.clone(),
            usual: OnceCell::new(),
        }
    }

    /// Lays level what leans by so much down for each step to the right; the page's middle stays.
    pub fn level(&mut self, lean: f32) {
        let middle = WIDTH / 2.0;
        for piece in &mut self.pieces {
            let up = lean * (piece.x() - middle);
            (piece.at.top, piece.at.bottom) = (piece.at.top - up, piece.at.bottom - up);
        }
        for rule in &mut self.across {
            rule.y -= lean * ((rule.left + rule.right) / 2.0 - middle);
        }
        self.pieces.sort_by(|a, b| a.y().total_cmp(&b.y()));
    }

    /// The usual size of type.
    pub fn em(&self) -> f32 {
        let usual = || median(self.pieces.iter().map(Piece::em)).unwrap_or(16.0);
        *self.usual.get_or_init(usual)
    }

    /// How many rules part two heights at `x`. Rules around a page break say nothing: the border
    /// of a table's part stands there whether or not a row ends.
    pub fn rules_between(&self, x: f32, from: f32, to: f32) -> usize {
        let (top, bottom) = (from.min(to), from.max(to));
        let reach = 0.4 * self.em();
        let mut ys: Vec<f32> = self
            .across
            .iter()
            .filter(|rule| rule.left - reach <= x && x <= rule.right + reach)
            .filter(|rule| rule.right - rule.left >= SHORTEST_RULE * self.em())
            .map(|rule| rule.y)
            .filter(|y| (top..bottom).contains(y) && !self.is_at_seam(*y))
            .collect();
        ys.sort_by(f32::total_cmp);
        ys.dedup_by(|b, a| *b - *a < reach);
        ys.len()
    }

    fn is_at_seam(&self, y: f32) -> bool {
        let reach = 0.6 * self.em();
        self.seams.iter().any(|seam| (seam - y).abs() < reach)
    }

    /// Middles of vertical rules that cover a good part of the height between two heights.
    pub fn columns_ruled(&self, top: f32, bottom: f32) -> Vec<f32> {
        let em = self.em();
        let mut found: Vec<(f32, f32)> = self
            .upright
            .iter()
            .map(|rule| (rule.x, rule.bottom.min(bottom) - rule.top.max(top)))
            .filter(|(_, length)| *length > 0.0)
            .collect();
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut columns: Vec<(f32, f32)> = Vec::new();
        for (x, length) in found {
            match columns.last_mut() {
                Some((at, total)) if x - *at < 0.6 * em => {
                    *at = (*at * *total + x * length) / (*total + length);
                    *total += length;
                }
                _ => columns.push((x, length)),
            }
        }
        let least = (0.3 * (bottom - top)).max(0.8 * em);
        columns.into_iter().filter(|(_, length)| *length >= least).map(|(x, _)| x).collect()
    }
}

/// The page without specks that were taken for text: a lone stroke, or a letter or two that the
/// reader itself does not believe in.
fn without_noise(page: &PageText) -> PageText {
    const DOUBTED: f32 = 0.35;
    let is_text = |line: &&Line| {
        let said: Vec<&Char> = line.chars.iter().filter(|c| c.value != ' ').collect();
        let believed = said.iter().map(|c| c.confidence).fold(0.0, f32::max);
        let stroke = said.len() == 1
            // An upright stroke may be a one.
            && said.iter().all(|c| {
                c.value.is_ascii_punctuation() && !matches!(c.value, '|' | '!' | '[' | ']')
                    || matches!(c.value, '·' | '–')
            });
        !stroke && (said.len() > 2 || believed >= DOUBTED)
    };
    PageText { lines: page.lines.iter().filter(is_text).cloned().collect(), ..page.clone() }
}

/// Digits and what goes with them: never one cell with words, however close they stand.
pub(super) fn is_figures(text: &str) -> bool {
    text.chars().any(|c| c.is_ascii_digit()) && !text.chars().any(char::is_alphabetic)
}

fn parted(rules: &[Upright], left: &Piece, right: &Piece) -> bool {
    let (from, to) = (left.at.right - 0.4 * left.em(), right.at.left + 0.4 * left.em());
    rules
        .iter()
        .any(|rule| (from..to).contains(&rule.x) && rule.top <= left.y() && left.y() <= rule.bottom)
}

/// The middle value.
pub(super) fn median(values: impl Iterator<Item = f32>) -> Option<f32> {
    let mut values: Vec<f32> = values.collect();
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Left and right edge of a page's tables in strip units, by its long horizontal rules.
fn table_edges(page: &PageText) -> Option<(f32, f32)> {
    /// Rules of a table are of one width, but for so much of the page's.
    const ALIKE: f32 = 0.03;
    let width = page.width.max(1) as f32;
    let long: Vec<&Rect> = page
        .rules
        .iter()
        .filter(|rule| rule.direction == Direction::Horizontal && rule.rect.width() > 0.6 * width)
        .map(|rule| &rule.rect)
        .collect();
    if long.len() < 3 {
        return None;
    }
    let left = median(long.iter().map(|rect| rect.left))?;
    let right = median(long.iter().map(|rect| rect.right))?;
    // Rules of which most are broken or false end anywhere.
    let is_whole = |rect: &&&Rect| (rect.width() - (right - left)).abs() < ALIKE * width;
    if long.iter().filter(is_whole).count() < 3 {
        return None;
    }
    Some((left / width * WIDTH, right / width * WIDTH))
}

/// Pieces on the same height, from left to right.
pub(super) fn rows<'a>(pieces: impl IntoIterator<Item = &'a Piece>) -> Vec<Vec<&'a Piece>> {
    let mut rows: Vec<Vec<&Piece>> = Vec::new();
    for piece in pieces {
        let fits = rows.last().is_some_and(|row| {
            let y = row.iter().map(|p| p.y()).sum::<f32>() / row.len().max(1) as f32;
            let em = row.iter().map(|p| p.em()).fold(piece.em(), f32::min);
            (piece.y() - y).abs() < 0.5 * em
        });
        match rows.last_mut() {
            Some(row) if fits => row.push(piece),
            _ => rows.push(vec![piece]),
        }
    }
    for row in &mut rows {
        row.sort_by(|a, b| a.at.left.total_cmp(&b.at.left));
    }
    rows
}

/// The text of pieces, line by line, joined with one blank.
pub(super) fn text_of(pieces: &[&Piece]) -> String {
    let mut words: Vec<&str> = Vec::new();
    let mut sorted = pieces.to_vec();
    sorted.sort_by(|a, b| a.y().total_cmp(&b.y()));
    for row in rows(sorted) {
        words.extend(row.into_iter().flat_map(|piece| piece.text.split_whitespace()));
    }
    words.join(" ")
}

/// A value made of pieces, with the reader's confidence in it: the product of its characters'.
pub(super) fn value_of(pieces: &[&Piece]) -> Value {
    let Some(first) = pieces.iter().min_by(|a, b| a.y().total_cmp(&b.y())) else {
        return Value::default();
    };
    let rect = pieces
        .iter()
        .filter(|piece| piece.page == first.page)
        .fold(first.rect, |rect, piece| rect.union(&piece.rect));
    let confidence = pieces
        .iter()
        .flat_map(|piece| &piece.chars)
        .filter(|c| c.value != ' ')
        .map(|c| c.confidence.clamp(0.0, 1.0))
        .product();
    Value {
        text: text_of(pieces),
        bounds: Some(pixel_box(&rect)),
        confidence,
        page: Some(first.page),
    }
}

fn is_bare_number(text: &str) -> bool {
    let bare = text.trim_matches(|c: char| !c.is_alphanumeric());
    !bare.is_empty() && bare.len() <= 3 && bare.chars().all(|c| c.is_ascii_digit())
}

/// What stands in a page's margin and in no table: an address, the page's number in words or between
/// dashes, and when it was printed.
fn is_in_margin(text: &str, key: &str) -> bool {
    let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let address = ["http", "https", "www", "file", "aboutblank"];
    if address.iter().any(|start| key.starts_with(start)) || plain.contains("://") {
        return true;
    }
    // A page's number between dashes, however it was read.
    let dashed = plain.strip_prefix(['-', '–']).and_then(|rest| rest.strip_suffix(['-', '–']));
    if dashed.is_some_and(|number| (1..=2).contains(&number.chars().count())) {
        return true;
    }
    if key.starts_with("ngayin") {
        return true;
    }
    let rest = key.strip_prefix("trang").or_else(|| key.strip_prefix("page"));
    rest.is_some_and(|rest| rest.len() <= 6 && rest.chars().all(|c| c.is_ascii_digit()))
}

/// A page's number with that of all, or part of a contract's.
fn is_page_of_pages(text: &str) -> bool {
    let both = |(page, pages): (&str, &str)| is_bare_number(page) && is_bare_number(pages);
    text.split_once('/').is_some_and(both)
}

/// What may stand in a margin, or in a table: numbers, dates, the form's code, the document's title.
fn is_furniture(text: &str, key: &str) -> bool {
    if is_in_margin(text, key) || is_page_of_pages(text) || is_bare_number(text) {
        return true;
    }
    let digits = key.chars().filter(char::is_ascii_digit).count();
    // A date or a time, misread ones too.
    let date = shapes::find_date(text).is_some() || (digits >= 6 && text.contains(['/', ':', '-']));
    let letters = key.chars().filter(|c| c.is_alphabetic()).count();
    if date && letters <= 2 {
        return true;
    }
    // The form's code, its beginning read or not.
    (key.len() >= 3 && "s11acic".ends_with(key))
        || matches!(key, "s11a" | "cics11a")
        || words::similarity(key, "baocaochitietquanhetindung") > 0.9 && text.len() < 60
}

/// The lines of each page that are furniture, as (page, line).
///
/// Only the outermost rows of a page can be: those in its outer tenth of which one line is in no
/// table, or of which every line looks the part, or stands at the same place on another page too.
fn furniture(pages: &[PageText], bends: &[Option<Bend>]) -> HashMap<(usize, usize), ()> {
    let mut found = HashMap::new();
    let masked = |line: &Line| -> String {
        words::fold(&line.text()).chars().filter(|c| !c.is_ascii_digit()).collect()
    };
    for (index, (page, bend)) in pages.iter().zip(bends).enumerate() {
        let height = page.height.max(1) as f32;
        // Where the middle of a line lies, laid level.
        let level = |line: &Line| {
            let y = line.rect.centre().y;
            y - Falls::of(bend.as_ref(), &line.rect, y).mean
        };
        let repeated = |line: &Line| {
            let key = masked(line);
            key.chars().count() >= 2
                && pages.iter().enumerate().any(|(other, sheet)| {
                    other != index
                        && sheet.lines.iter().any(|twin| {
                            let place = twin.rect.top / sheet.height.max(1) as f32;
                            (place - line.rect.top / height).abs() < 0.012
                                && words::similarity(&masked(twin), &key) > 0.85
                        })
                })
        };
        let mut order: Vec<usize> = (0..page.lines.len()).collect();
        let middle = |i: &usize| page.lines.get(*i).map_or(0.0, level);
        order.sort_by(|a, b| middle(a).total_cmp(&middle(b)));
        let mut rows: Vec<Vec<usize>> = Vec::new();
        for line in order {
            let em = page.lines.get(line).map_or(1.0, Line::em);
            match rows.last_mut() {
                Some(row) if row.first().is_some_and(|f| middle(&line) - middle(f) < 0.6 * em) => {
                    row.push(line);
                }
                _ => rows.push(vec![line]),
            }
        }
        let outer = |row: &[usize]| {
            let lines: Vec<&Line> = row.iter().filter_map(|i| page.lines.get(*i)).collect();
            let place = lines.first().map_or(0.5, |line| level(line) / height);
            let far_out = !(0.045..=0.955).contains(&place);
            let texts: Vec<String> = lines.iter().map(|line| line.text()).collect();
            let keys: Vec<String> = texts.iter().map(|text| words::fold(text)).collect();
            // A row of a table ends in several figures, a page in one number.
            let numbers = texts.iter().filter(|text| is_bare_number(text)).count();
            let is_whole = || {
                lines.iter().zip(texts.iter().zip(&keys)).all(|(line, (text, key))| {
                    is_furniture(text, key) || (far_out && repeated(line))
                })
            };
            // Beside what is in no table stand a clock, a code, or the page's number misread.
            let is_beside = || texts.iter().zip(&keys).any(|(text, key)| is_in_margin(text, key));
            // A contract has a lender and two dates, and its number may look like a page's.
            let dates = texts.iter().filter(|text| shapes::find_date(text).is_some()).count();
            let is_numbered = || {
                texts.iter().any(|text| is_page_of_pages(text))
                    && !keys.iter().any(|key| lenders::key_begins(key))
            };
            let looks_the_part = || is_numbered() || lines.len() <= 3 && numbers <= 1 && is_whole();
            !(0.075..=0.9).contains(&place) && (is_beside() || dates <= 1 && looks_the_part())
        };
        let top = rows.iter().take(2).take_while(|row| outer(row));
        let bottom = rows.iter().rev().take(2).take_while(|row| outer(row));
        for row in top.chain(bottom) {
            found.extend(row.iter().map(|line| ((index, *line), ())));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{line, page, ruled, strip};
    use crate::text::Rule;

    fn said(strip: &Strip) -> Vec<&str> {
        strip.pieces.iter().map(|piece| piece.text.as_str()).collect()
    }

    #[test]
    fn pages_follow_each_other_without_margins_and_page_numbers() {
        let strip = Strip::of(&[
            page(0, &[("một", 100.0, 200.0), ("Trang 1", 450.0, 1360.0)]),
            page(1, &[("hai", 100.0, 300.0), ("Trang 2", 450.0, 1360.0)]),
        ]);
        assert_eq!(said(&strip), ["một", "hai"]);
        assert_eq!(strip.pieces[1].at.top, strip.pieces[0].at.bottom);
    }

    #[test]
    fn part_of_a_letter_that_was_taken_for_a_rule_parts_no_lines() {
        let rules_under = |width: f32| {
            let mut sheet =
                page(0, &[("Thông tin quan hệ tín", 100.0, 100.0), ("dụng", 100.0, 122.0)]);
            let rect = Rect::new(100.0, 121.0, 100.0 + width, 123.0);
            sheet.rules.push(Rule::level(Direction::Horizontal, rect));
            Strip::of(&[sheet]).rules_between(116.0, 11.0, 33.0)
        };
        assert_eq!((rules_under(24.0), rules_under(200.0)), (0, 1));
    }

    #[test]
    fn broken_rules_tell_no_edges_of_tables() {
        let left_of_the_second = |ends: [(f32, f32); 3]| {
            let mut pages = [page(0, &[("một", 200.0, 300.0)]), page(1, &[("hai", 200.0, 300.0)])];
            let whole = [(100.0, 900.0); 3];
            for (page, ends) in pages.iter_mut().zip([whole, ends]) {
                for (y, (left, right)) in [200.0, 290.0, 330.0].into_iter().zip(ends) {
                    let rect = Rect::new(left, y, right, y + 2.0);
                    page.rules.push(Rule::level(Direction::Horizontal, rect));
                }
            }
            Strip::of(&pages).pieces[1].at.left
        };
        // Of a page that lies further left, and of one whose rules are broken.
        assert_eq!(left_of_the_second([(60.0, 860.0), (61.0, 861.0), (62.0, 862.0)]), 239.0);
        assert_eq!(left_of_the_second([(60.0, 700.0), (150.0, 860.0), (230.0, 862.0)]), 200.0);
    }

    #[test]
    fn last_row_of_a_page_is_no_page_number() {
        let figures = [("7", 100.0, 1340.0), ("01348002", 300.0, 1340.0), ("3", 500.0, 1340.0)];
        assert_eq!(strip(&figures).pieces.len(), 3);
    }

    #[test]
    fn code_of_the_form_is_furniture_even_where_its_beginning_was_not_read() {
        for code in ["S11A - CIC", "A - CIC"] {
            let sheet = [(code, 60.0, 40.0), ("một", 100.0, 200.0), ("hai", 100.0, 300.0)];
            assert_eq!(said(&strip(&sheet)), ["một", "hai"]);
        }
    }

    #[test]
    fn number_between_dashes_is_a_pages_however_it_was_read() {
        for number in ["- 3 -", "- Q -"] {
            let sheet = [("một", 100.0, 200.0), ("hai", 100.0, 300.0), (number, 480.0, 1360.0)];
            assert_eq!(said(&strip(&sheet)), ["một", "hai"]);
        }
    }

    #[test]
    fn what_stands_beside_what_is_in_no_table_is_furniture() {
        let printed = ("Ngày in: 11/11/2021", 800.0, 1345.0);
        for margin in [
            vec![("03:51", 60.0, 30.0), ("16/06/2021", 130.0, 30.0), ("2/2", 900.0, 30.0)],
            vec![("Ulmodn", 60.0, 1345.0), ("3", 480.0, 1345.0), printed],
            vec![("'– C -", 480.0, 1345.0), printed],
            vec![("WMQO", 60.0, 1345.0), ("5", 480.0, 1345.0), ("Trang 5", 900.0, 1345.0)],
        ] {
            let sheet = vec![("một", 100.0, 200.0), ("hai", 100.0, 300.0)];
            assert_eq!(said(&strip(&[sheet, margin].concat())), ["một", "hai"]);
        }
        let (number, signed) = (("12/34", 100.0, 1345.0), ("11/11/2021", 600.0, 1345.0));
        let (lender, end) = (("Ngân hàng TMCP", 300.0, 1345.0), ("11/11/2022", 800.0, 1345.0));
        for row in [
            vec![("7", 100.0, 1345.0), ("S37", 300.0, 1345.0), signed],
            vec![number, ("nhánh Huế", 300.0, 1345.0), signed, end],
            vec![number, lender, signed],
            vec![signed, end],
        ] {
            assert_eq!(strip(&row).pieces.len(), row.len(), "{row:?}");
        }
    }

    #[test]
    fn line_across_a_vertical_rule_is_parted_at_the_blank() {
        let mut sheet = page(0, &[("01348002 S11A", 100.0, 200.0)]);
        let rect = Rect::new(167.0, 100.0, 169.0, 300.0);
        sheet.rules.push(Rule::level(Direction::Vertical, rect));
        assert_eq!(said(&Strip::of(&[sheet])), ["01348002", "S11A"]);
    }

    #[test]
    fn stroke_that_reaches_from_no_column_to_another_is_no_rule() {
        let rules = |spans: &[(f32, f32, f32)]| {
            let mut sheet = ruled(page(0, &[("một", 100.0, 100.0)]), &[90.0, 190.0], &[]);
            sheet.lines.push(line("hai", 100.0, 400.0));
            sheet.rules.retain(|rule| rule.direction == Direction::Vertical);
            for upright in &mut sheet.rules {
                (upright.rect.top, upright.rect.bottom) = (90.0, 420.0);
            }
            sheet.rules.extend(spans.iter().map(|&(left, right, y)| {
                Rule::level(Direction::Horizontal, Rect::new(left, y - 1.0, right, y + 1.0))
            }));
            Strip::of(&[sheet]).across.len()
        };
        assert_eq!(rules(&[(92.0, 188.0, 200.0)]), 1, "a column's");
        assert_eq!(rules(&[(50.0, 140.0, 200.0)]), 0, "a stroke");
        assert_eq!(rules(&[(250.0, 700.0, 200.0)]), 1, "a long one");
    }

    #[test]
    fn neighbours_without_a_gap_are_joined() {
        let words = strip(&[("Ngân", 100.0, 200.0), ("hàng", 136.0, 201.0)]);
        assert_eq!(said(&words), ["Ngân hàng"]);
    }

    #[test]
    fn neighbour_that_begins_where_its_column_does_is_a_cell_of_its_own() {
        let row = [("Ngân hàng", 100.0, 200.0), ("S11A", 176.0, 200.0)];
        let column = [("S37", 176.0, 230.0), ("R20", 177.0, 260.0), ("S11A", 176.0, 290.0)];
        assert_eq!(said(&strip(&[&row[..], &column].concat()))[..2], ["Ngân hàng", "S11A"]);
        assert_eq!(said(&strip(&[&row[..], &column[..2]].concat()))[0], "Ngân hàng S11A");
    }

    #[test]
    fn code_and_name_are_two_cells_however_close_they_stand() {
        let row = strip(&[("01348002", 100.0, 200.0), ("Ngân hàng", 168.0, 200.0)]);
        assert_eq!(said(&row), ["01348002", "Ngân hàng"]);
    }

    #[test]
    fn specks_and_what_the_reader_doubts_are_dropped() {
        let mut sheet = page(0, &[("'", 100.0, 200.0), ("ab", 300.0, 200.0), ("0", 500.0, 200.0)]);
        for c in &mut sheet.lines[1].chars {
            c.confidence = 0.2;
        }
        assert_eq!(said(&Strip::of(&[sheet])), ["0"]);
    }

    #[test]
    fn value_takes_the_product_of_its_characters_and_the_first_pages_box() {
        let mut first = line("Tỉnh An", 100.0, 200.0);
        first.chars[0].confidence = 0.5;
        let mut sheet = page(0, &[("Giang", 100.0, 225.0)]);
        sheet.lines.push(first);
        let strip = Strip::of(&[sheet]);
        let value = value_of(&strip.pieces.iter().collect::<Vec<_>>());
        assert_eq!(value.text, "Tỉnh An Giang");
        assert_eq!(value.confidence, 0.5);
        assert_eq!(value.bounds, Some([100, 200, 156, 247]));
    }
}
