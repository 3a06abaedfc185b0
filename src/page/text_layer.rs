//! The text layer of a PDF page: what a reader of the page sees as text, as lines of characters
//! with their places, and the rules of its tables.
//!
//! Only visible text counts. Text in invisible mode, text cut away by a clip, text under a later
//! picture or fill, and text of its background's colour say nothing about the paper.

use hayro::hayro_interpret::font::{Glyph, GlyphRun};
use hayro::hayro_interpret::hayro_cmap::BfString;
use hayro::hayro_interpret::{
    BlendMode, ClipPath, Device, DrawMode, DrawProps, Image, ImageDrawProps, Paint, SoftMask,
    StrokeProps,
};
use hayro::kurbo::{self, Affine, BezPath, PathEl, Shape};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::budget::Budget;
use crate::geometry::{Point, Rect};
use crate::text::{Char, Direction, Line, PageText, Rule};

/// Glyphs that are remembered of one page; a page of small print holds about 10,000.
const MAX_GLYPHS: usize = 100_000;
/// Rules that are remembered of one page: a dense table, drawn cell by cell, has about 1,000.
const MAX_RULES: usize = 5_000;
/// Fills, pictures, ticks and boxes that are remembered of one page, of each.
const MAX_FILLS: usize = 2_000;
/// Type size that glyph coordinates refer to (hayro scales all outlines and widths to it).
const UNITS_PER_EM: f64 = 1000.0;
/// Thickest line that is a rule, in points: 3 pt is the thickest border that browsers call
/// "medium" to "thick".
const RULE_THICKNESS: f32 = 3.5;
/// Shortest rule, in points: less than the height of a row.
const RULE_LENGTH: f32 = 8.0;
/// Side of a drawn checkbox, in points.
const CHECKBOX_SIDE: std::ops::RangeInclusive<f32> = 5.0..=18.0;
/// Least difference of brightness (0..1) between a glyph and its ground that a reader sees.
const VISIBLE_CONTRAST: f32 = 0.12;

/// A glyph as drawn, in page pixels.
struct Drawn {
    text: String,
    left: f32,
    right: f32,
    baseline: f32,
    em: f32,
    visible: bool,
    mapped: bool,
}

impl Drawn {
    fn is_blank(&self) -> bool {
        self.text.chars().all(char::is_whitespace)
    }

    fn centre(&self) -> Point {
        Point::new((self.left + self.right) / 2.0, self.baseline - 0.3 * self.em)
    }
}

/// A raster picture on the page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Picture {
    /// What it covers, in page pixels.
    pub rect: Rect,
    /// Width in its own pixels.
    pub width: u32,
    /// From its own pixels to page pixels.
    pub transform: Affine,
}

/// What a page draws, collected by interpreting it once.
pub(super) struct Collector {
    scale: f32,
    width: f32,
    height: f32,
    clips: Vec<Rect>,
    opacity: Vec<f32>,
    glyphs: Vec<Drawn>,
    fills: Vec<(Rect, f32)>,
    rules: Vec<Rule>,
    squares: Vec<Rect>,
    marks: Vec<Rect>,
    /// Pictures in painting order.
    pub pictures: Vec<Picture>,
    /// Whether anything but text and pictures was drawn.
    pub has_shapes: bool,
    budget: Budget,
}

impl Collector {
    /// A collector for a page of `width` × `height` pixels, drawn at `scale` pixels per point.
    pub fn new(width: u32, height: u32, scale: f32, budget: Budget) -> Self {
        let (width, height) = (width as f32, height as f32);
        Self {
            scale,
            width,
            height,
            clips: vec![Rect::new(0.0, 0.0, width, height)],
            opacity: vec![1.0],
            glyphs: Vec::new(),
            fills: Vec::new(),
            rules: Vec::new(),
            squares: Vec::new(),
            marks: Vec::new(),
            pictures: Vec::new(),
            has_shapes: false,
            budget,
        }
    }

    fn clip(&self) -> Rect {
        self.clips.last().copied().unwrap_or_default()
    }

    fn alpha(&self) -> f32 {
        self.opacity.last().copied().unwrap_or(1.0)
    }

    /// Brightness (0..1) and opacity of a paint; a pattern counts as a mid grey.
    fn shade(&self, paint: &Paint<'_>) -> (f32, f32) {
        match paint {
            Paint::Color(colour) => {
                let [r, g, b, a] = colour.to_rgba().components();
                (0.299 * r + 0.587 * g + 0.114 * b, a * self.alpha())
            }
            Paint::Pattern(_) => (0.5, self.alpha()),
        }
    }

    /// Brightness of what lies under a point now: of the last fill over it, white without one.
    fn ground(&self, point: Point) -> f32 {
        self.fills.iter().rev().find(|(rect, _)| rect.contains(point)).map_or(1.0, |fill| fill.1)
    }

    /// Whether something of this brightness and opacity can be seen at a point.
    fn stands_out(&self, point: Point, (luma, alpha): (f32, f32)) -> bool {
        (luma - self.ground(point)).abs() * alpha >= VISIBLE_CONTRAST
    }

    fn hide_glyphs_under(&mut self, rect: Rect) {
        for glyph in &mut self.glyphs {
            if glyph.visible && rect.contains(glyph.centre()) {
                glyph.visible = false;
            }
        }
    }

    fn draw_glyph(&mut self, glyph: &Glyph<'_>, transform: Affine, shade: (f32, f32), ink: bool) {
        if self.glyphs.len() >= MAX_GLYPHS {
            return;
        }
        let [a, b, c, d, x, y] = transform.as_coeffs().map(|v| v as f32);
        let em = (c * c + d * d).sqrt() * UNITS_PER_EM as f32;
        let upright = a > 0.0 && d < 0.0 && b.abs() < 0.05 * a;
        let (width, unicode) = match glyph {
            Glyph::Outline(glyph) => (glyph.advance_width(), glyph.as_unicode()),
            Glyph::Type3(glyph) => (glyph.advance_width(), glyph.as_unicode()),
        };
        let finite = [a, x, y, em].iter().all(|v| v.is_finite());
        if !finite || !upright || em < 1.0 || em > self.height {
            return;
        }
        let right = x + width.filter(|w| w.is_finite()).unwrap_or(500.0) * a;
        let text: String = match &unicode {
            Some(BfString::Char(c)) => folded(*c).collect(),
            Some(BfString::String(s)) => s.chars().flat_map(folded).collect(),
            None => String::new(),
        };
        let body = Rect::new(x, y - 0.75 * em, right.max(x + 0.05 * em), y + 0.1 * em);
        let shown = body.intersection(&self.clip()).area() >= 0.6 * body.area();
        let mapped = unicode.is_some() && !text.contains(char::REPLACEMENT_CHARACTER);
        let glyph = Drawn { text, left: x, right, baseline: y, em, visible: true, mapped };
        let visible = ink && shown && (glyph.is_blank() || self.stands_out(glyph.centre(), shade));
        self.glyphs.push(Drawn { visible, ..glyph });
    }

    fn draw_shape(
        &mut self,
        path: &BezPath,
        bounds: Rect,
        is_rectangle: bool,
        props: &DrawProps<'_>,
        mode: &DrawMode,
    ) {
        self.budget.paint(bounds.intersection(&self.clip()).area(), &props.paint);
        self.budget.path(path, props.transform);
        let shade = self.shade(&props.paint);
        if let DrawMode::Fill(_) | DrawMode::FillAndStroke(..) = mode {
            self.fill(bounds, shade, is_rectangle);
            let outlines = path.elements().iter().filter(|e| matches!(e, PathEl::MoveTo(_)));
            if outlines.count() > 1 {
                // A ring between two outlines: how browsers draw a control's frame.
                self.square(bounds.intersection(&self.clip()));
            }
        }
        if let DrawMode::Stroke(stroke) | DrawMode::FillAndStroke(_, stroke) = mode {
            self.budget.stroke(path, stroke);
            self.stroke(path, props.transform, stroke, shade);
        }
    }

    /// A filled area: a rule when thin, else a ground for what follows.
    fn fill(&mut self, rect: Rect, shade: (f32, f32), is_rectangle: bool) {
        self.has_shapes = true;
        let rect = rect.intersection(&self.clip());
        let (thin, long) =
            (rect.width().min(rect.height()), rect.width().max(rect.height()) / self.scale);
        if thin / self.scale <= RULE_THICKNESS && long >= RULE_LENGTH {
            self.rule(rect, shade);
        } else if is_rectangle && rect.area() > 0.0 {
            if self.fills.len() < MAX_FILLS && shade.1 > 0.05 {
                if shade.1 > 0.95 {
                    self.hide_glyphs_under(rect);
                }
                let luma = shade.0 * shade.1 + self.ground(rect.centre()) * (1.0 - shade.1);
                self.fills.push((rect, luma));
            }
            self.mark(rect, shade);
        } else if thin > 0.0 {
            self.mark(rect, shade);
        }
    }

    /// A small dark shape: maybe the tick inside a drawn checkbox, or its filled frame.
    fn mark(&mut self, rect: Rect, shade: (f32, f32)) {
        let largest = rect.width().max(rect.height()) / self.scale;
        if largest <= *CHECKBOX_SIDE.end()
            && self.marks.len() < MAX_FILLS
            && (shade.0 < 0.6 && shade.1 > 0.4)
        {
            self.marks.push(rect);
        }
    }

    fn square(&mut self, rect: Rect) {
        let (width, height) = (rect.width() / self.scale, rect.height() / self.scale);
        let square = CHECKBOX_SIDE.contains(&width)
            && CHECKBOX_SIDE.contains(&height)
            && (width - height).abs() <= 0.15 * width.max(height);
        if square && self.squares.len() < MAX_FILLS {
            self.squares.push(rect);
        }
    }

    fn rule(&mut self, rect: Rect, shade: (f32, f32)) {
        if self.rules.len() >= MAX_RULES || !self.stands_out(rect.centre(), shade) {
            return;
        }
        let direction =
            if rect.width() >= rect.height() { Direction::Horizontal } else { Direction::Vertical };
        self.rules.push(Rule::level(direction, rect));
    }

    fn stroke(
        &mut self,
        path: &BezPath,
        transform: Affine,
        stroke: &StrokeProps,
        shade: (f32, f32),
    ) {
        self.has_shapes = true;
        let [a, b, c, d, ..] = transform.as_coeffs().map(|v| v as f32);
        let scale = (a * d - b * c).abs().sqrt();
        let half = (stroke.line_width * scale).max(1.0) / 2.0;
        let mut previous = kurbo::Point::ZERO;
        let mut start = kurbo::Point::ZERO;
        let mut straight = true;
        for element in path.elements() {
            let next = match *element {
                PathEl::MoveTo(p) => {
                    start = transform * p;
                    previous = start;
                    continue;
                }
                PathEl::LineTo(p) => transform * p,
                PathEl::ClosePath => start,
                PathEl::QuadTo(_, p) | PathEl::CurveTo(_, _, p) => {
                    straight = false;
                    previous = transform * p;
                    continue;
                }
            };
            self.stroke_segment(previous, next, half, shade);
            previous = next;
        }
        let bounds = rect_of(transform.transform_rect_bbox(path.bounding_box()));
        let closed = path.elements().iter().any(|e| matches!(e, PathEl::ClosePath)) || !straight;
        if closed && path.elements().len() >= 4 {
            self.square(bounds.intersection(&self.clip()));
        } else {
            self.mark(bounds, shade);
        }
    }

    fn stroke_segment(
        &mut self,
        from: kurbo::Point,
        to: kurbo::Point,
        half: f32,
        shade: (f32, f32),
    ) {
        let bounds = rect_of(kurbo::Rect::from_points(from, to));
        let (width, height) = (bounds.width(), bounds.height());
        let long = width.max(height);
        if width.min(height) > 0.01 * long + 0.5 || 2.0 * half > RULE_THICKNESS * self.scale {
            return;
        }
        let grown = if width >= height {
            Rect::new(bounds.left, bounds.top - half, bounds.right, bounds.bottom + half)
        } else {
            Rect::new(bounds.left - half, bounds.top, bounds.right + half, bounds.bottom)
        };
        let rect = grown.intersection(&self.clip());
        if rect.width().max(rect.height()) >= RULE_LENGTH * self.scale && rect.area() > 0.0 {
            self.rule(rect, shade);
        }
    }

    /// Visible characters, blanks aside.
    pub fn visible_characters(&self) -> usize {
        self.glyphs.iter().filter(|g| g.visible && !g.is_blank()).count()
    }

    /// Whether the visible text can be trusted: glyphs map to characters, and these are what a
    /// Vietnamese report is written in (fonts in the old TCVN3 and VNI encodings map theirs to
    /// unrelated signs).
    pub fn text_is_sound(&self) -> bool {
        let (mut sound, mut all) = (0usize, 0usize);
        for glyph in self.glyphs.iter().filter(|g| g.visible && !(g.mapped && g.is_blank())) {
            all += 1;
            let known = glyph.text.nfd().all(|c| {
                c.is_ascii_graphic()
                    || matches!(c, 'Đ' | 'đ' | '\u{300}'..='\u{36f}' | '\u{2010}'..='\u{2027}')
                    || matches!(c, '☐' | '☑' | '☒' | '✓' | '°' | '·' | '×' | '€' | '₫' | '©' | '®')
            });
            sound += usize::from(glyph.mapped && known);
        }
        sound * 100 >= all * 92
    }

    /// The page's lines and rules.
    pub fn into_text(mut self, page: usize) -> PageText {
        let boxes = self.checkboxes();
        let rules = merged_rules(std::mem::take(&mut self.rules), &boxes, self.scale);
        let mut glyphs: Vec<Drawn> = self.glyphs.into_iter().filter(|g| g.visible).collect();
        let blanks = glyphs.iter().filter(|g| g.is_blank()).count();
        let spacing = if blanks * 25 >= glyphs.len() { Spacing::Explicit } else { Spacing::Gaps };
        glyphs.retain(|g| !g.text.is_empty());
        let mut lines = Vec::new();
        for row in rows(glyphs) {
            break_row(&row, &rules, spacing, &mut lines);
        }
        lines.extend(boxes.into_iter().map(|(rect, ticked)| checkbox_line(rect, ticked)));
        PageText { page, width: self.width as u32, height: self.height as u32, lines, rules }
    }

    /// Drawn checkboxes and whether they are ticked: small square frames without text inside.
    fn checkboxes(&mut self) -> Vec<(Rect, bool)> {
        let mut boxes: Vec<(Rect, bool)> = Vec::new();
        for square in std::mem::take(&mut self.squares) {
            let holds = |p: Point| square.contains(p);
            if boxes.iter().any(|(b, _)| b.contains(square.centre()) || holds(b.centre())) {
                continue;
            }
            let mut ticked = false;
            let mut text = false;
            for glyph in self.glyphs.iter_mut().filter(|g| g.visible && holds(g.centre())) {
                match glyph.text.as_str() {
                    "✓" | "☑" | "☒" | "x" | "X" => {
                        ticked = true;
                        glyph.visible = false;
                    }
                    " " => {}
                    _ => text = true,
                }
            }
            let inner = |m: &Rect| {
                let share = m.width().max(m.height()) / square.width();
                holds(m.centre()) && (0.3..0.9).contains(&share)
            };
            ticked |= self.marks.iter().any(inner);
            if !text {
                boxes.push((square, ticked));
            }
        }
        boxes
    }
}

impl<'a> Device<'a> for Collector {
    fn draw_path(&mut self, path: &BezPath, props: DrawProps<'a>, mode: &DrawMode) {
        let bounds = rect_of(props.transform.transform_rect_bbox(path.bounding_box()));
        self.draw_shape(path, bounds, false, &props, mode);
    }

    fn draw_rect(&mut self, rect: &kurbo::Rect, props: DrawProps<'a>, mode: &DrawMode) {
        let bounds = rect_of(props.transform.transform_rect_bbox(*rect));
        self.draw_shape(&rect.to_path(0.1), bounds, true, &props, mode);
    }

    fn draw_glyph_run(&mut self, run: &GlyphRun<'_, 'a>, props: DrawProps<'a>, mode: &DrawMode) {
        let shade = self.shade(&props.paint);
        let ink = !matches!(mode, DrawMode::Invisible);
        for glyph in run.glyphs() {
            let transform = props.transform * glyph.transform();
            self.budget.glyph(glyph, transform, &props.paint);
            self.draw_glyph(glyph, transform, shade, ink);
        }
    }

    fn draw_image(&mut self, image: Image<'a, '_>, props: ImageDrawProps<'a>) {
        let (width, height) = (image.width(), image.height());
        let own = kurbo::Rect::new(0.0, 0.0, width.into(), height.into());
        let rect = rect_of(props.transform.transform_rect_bbox(own)).intersection(&self.clip());
        self.budget.picture(&image, rect.area());
        if self.pictures.len() >= MAX_FILLS {
            return;
        }
        if matches!(image, Image::Raster(_)) && self.alpha() > 0.95 {
            self.hide_glyphs_under(rect);
        }
        self.pictures.push(Picture { rect, width, transform: props.transform });
    }

    fn push_clip_path(&mut self, clip: &ClipPath) {
        self.budget.clip(clip);
        let bounds = rect_of(clip.path.bounding_box());
        self.clips.push(self.clip().intersection(&bounds));
    }

    fn push_clip_rect(&mut self, rect: &kurbo::Rect) {
        self.budget.operation();
        self.clips.push(self.clip().intersection(&rect_of(*rect)));
    }

    fn pop_clip(&mut self) {
        if self.clips.len() > 1 {
            self.clips.pop();
        }
    }

    fn push_transparency_group(&mut self, opacity: f32, mask: Option<SoftMask<'a>>, _: BlendMode) {
        self.budget.group(mask.as_ref());
        self.opacity.push(self.alpha() * opacity);
    }

    fn pop_transparency_group(&mut self) {
        if self.opacity.len() > 1 {
            self.opacity.pop();
        }
    }
}

fn rect_of(rect: kurbo::Rect) -> Rect {
    Rect::new(rect.x0 as f32, rect.y0 as f32, rect.x1 as f32, rect.y1 as f32)
}

/// A character as the rest of the engine knows it: CIC's Icelandic eth as the Vietnamese letter,
/// ligatures apart, one sign for each kind of box, tick, hyphen and blank.
fn folded(c: char) -> impl Iterator<Item = char> {
    let one = match c {
        'Ð' => 'Đ',
        'ð' => 'đ',
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\t' | '\n' | '\r' => ' ',
        '\u{ad}' | '\u{2010}' | '\u{2011}' | '\u{2212}' => '-',
        '□' | '◻' | '❏' | '❑' | '\u{f06f}' | '\u{f0a8}' | '\u{f071}' => '☐',
        '\u{f0fe}' | '🗹' => '☑',
        '\u{f0fd}' | '🗷' => '☒',
        '✔' | '\u{f0fc}' => '✓',
        c => c,
    };
    let apart = match one {
        '\u{fb00}'..='\u{fb06}' => one.to_string().nfkc().collect(),
        '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' => String::new(),
        c if c.is_control() => String::new(),
        c => String::from(c),
    };
    apart.chars().collect::<Vec<_>>().into_iter()
}

/// How a page separates words.
#[derive(Clone, Copy, PartialEq)]
enum Spacing {
    /// By blank characters.
    Explicit,
    /// By moving the pen only.
    Gaps,
}

/// Glyphs that share a baseline, from left to right; rows from top to bottom.
fn rows(mut glyphs: Vec<Drawn>) -> Vec<Vec<Drawn>> {
    glyphs.sort_by(|a, b| a.baseline.total_cmp(&b.baseline));
    let mut rows: Vec<Vec<Drawn>> = Vec::new();
    for glyph in glyphs {
        match rows.last_mut() {
            Some(row)
                if row.first().is_some_and(|first| {
                    glyph.baseline - first.baseline <= 0.2 * first.em.min(glyph.em)
                }) =>
            {
                row.push(glyph);
            }
            _ => rows.push(vec![glyph]),
        }
    }
    for row in &mut rows {
        // Stable: glyphs at one place keep the order in which they were drawn, marks after bases.
        row.sort_by(|a, b| a.left.total_cmp(&b.left));
    }
    rows
}

/// Cuts a row into lines at rules, at gaps too wide for a blank, and around checkboxes.
fn break_row(row: &[Drawn], rules: &[Rule], spacing: Spacing, lines: &mut Vec<Line>) {
    let mut line = Builder::default();
    for glyph in row {
        if let Some(last) = &line.last {
            let gap = glyph.left - last.right;
            let em = last.em.max(glyph.em);
            // Gaps, in em, from which there is a blank, and from which there is another cell.
            let (blank, cell) = match spacing {
                // Nothing is missing beside a blank, and a justified blank is wide.
                Spacing::Explicit if last.blank || glyph.is_blank() => (f32::MAX, 0.8),
                // Between two cells a browser puts no blank; but other programs forget some where
                // the font changes, and the narrowest measures 0.25 em.
                Spacing::Explicit => (0.2, 0.35),
                Spacing::Gaps => (0.15, 0.9),
            };
            let ruled = gap > 0.0 && rule_between(rules, last.ink_right, glyph);
            let sizes = last.em.min(glyph.em) < 0.6 * em && gap > 0.1 * em;
            if gap > cell * em || ruled || sizes {
                lines.extend(line.finish());
            } else if gap > blank * em {
                line.blank(last.right, glyph.left);
            }
        }
        line.push(glyph, lines);
    }
    lines.extend(line.finish());
}

/// Whether a vertical rule stands between x = `from` and a glyph, at the glyph's height.
fn rule_between(rules: &[Rule], from: f32, glyph: &Drawn) -> bool {
    let height = glyph.baseline - 0.3 * glyph.em;
    let slack = 0.15 * glyph.em;
    rules.iter().any(|rule| {
        rule.direction == Direction::Vertical
            && (rule.rect.top..rule.rect.bottom).contains(&height)
            && (from - slack..glyph.left + slack).contains(&rule.rect.centre().x)
    })
}

#[derive(Clone, Copy)]
struct Last {
    right: f32,
    ink_right: f32,
    em: f32,
    blank: bool,
}

/// A line under construction.
#[derive(Default)]
struct Builder {
    chars: Vec<Char>,
    ems: Vec<(f32, f32)>,
    last: Option<Last>,
}

impl Builder {
    fn push(&mut self, glyph: &Drawn, lines: &mut Vec<Line>) {
        let count = glyph.text.chars().filter(|c| !is_combining_mark(*c)).count().max(1) as f32;
        let step = (glyph.right - glyph.left) / count;
        let mut left = glyph.left;
        for c in glyph.text.chars() {
            if is_combining_mark(c) {
                self.compose(c);
            } else if c.is_whitespace() {
                self.blank(left, left + step);
                left += step;
            } else if matches!(c, '☐' | '☑' | '☒') {
                lines.extend(self.finish());
                self.add(c, left, left + step, glyph);
                lines.extend(self.finish());
                left += step;
            } else if !self.repeats(c, left, glyph.em) {
                self.add(c, left, left + step, glyph);
                left += step;
            }
        }
        let blank = glyph.is_blank();
        let ink_right = match &self.last {
            Some(last) if blank => last.ink_right,
            _ => glyph.right,
        };
        // A lone box has just been finished: what follows starts a line of its own.
        if !self.chars.is_empty() {
            let right = self.last.map_or(glyph.right, |last| last.right.max(glyph.right));
            self.last = Some(Last { right, ink_right, em: glyph.em, blank });
        }
    }

    fn add(&mut self, value: char, left: f32, right: f32, glyph: &Drawn) {
        self.chars.push(Char { value, left, right, confidence: 1.0 });
        self.ems.push((glyph.em, glyph.baseline));
    }

    /// Whether the same character was just drawn at the same place, as cheap bold type does.
    fn repeats(&self, c: char, left: f32, em: f32) -> bool {
        self.chars.last().is_some_and(|last| last.value == c && (left - last.left).abs() < 0.1 * em)
    }

    fn blank(&mut self, left: f32, right: f32) {
        if self.chars.last().is_some_and(|last| last.value != ' ') {
            self.chars.push(Char { value: ' ', left, right, confidence: 1.0 });
        }
    }

    /// Puts a combining mark on the last character.
    fn compose(&mut self, mark: char) {
        if let Some(last) = self.chars.last_mut() {
            let pair = String::from_iter([last.value, mark]);
            let mut whole = pair.nfc();
            if let (Some(value), None) = (whole.next(), whole.next()) {
                last.value = value;
            }
        }
    }

    fn finish(&mut self) -> Option<Line> {
        self.last = None;
        let ems = std::mem::take(&mut self.ems);
        let mut chars = std::mem::take(&mut self.chars);
        if chars.last().is_some_and(|last| last.value == ' ') {
            chars.pop();
        }
        let (first, last) = (chars.first()?, chars.last()?);
        // The type size of most characters; a raised sign or a fallback glyph may differ.
        let mut sorted = ems;
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (em, baseline) = *sorted.get(sorted.len() / 2)?;
        let rect = Rect::new(first.left, baseline - 1.1 * em, last.right, baseline + 0.3 * em);
        Some(Line { rect, chars, posteriors: None, slope: None })
    }
}

/// A drawn checkbox as the line of one character that a printed one would be.
fn checkbox_line(square: Rect, ticked: bool) -> Line {
    let value = if ticked { '☑' } else { '☐' };
    let (em, baseline) = (square.height() / 0.75, square.bottom);
    let rect = Rect::new(square.left, baseline - 1.1 * em, square.right, baseline + 0.3 * em);
    Line {
        rect,
        chars: vec![Char { value, left: square.left, right: square.right, confidence: 1.0 }],
        posteriors: None,
        slope: None,
    }
}

/// Rules with the pieces that browsers draw per cell joined, and without checkboxes' frames.
fn merged_rules(mut rules: Vec<Rule>, boxes: &[(Rect, bool)], scale: f32) -> Vec<Rule> {
    rules.retain(|rule| {
        let centre = rule.rect.centre();
        !boxes.iter().any(|(b, _)| {
            let grown = Rect::new(b.left - 2.0, b.top - 2.0, b.right + 2.0, b.bottom + 2.0);
            grown.contains(centre) && rule.rect.width().max(rule.rect.height()) < b.width() + 4.0
        })
    });
    // Pieces meet within a border's width.
    let reach = 1.2 * scale;
    let key = |rule: &Rule| match rule.direction {
        Direction::Horizontal => (0, rule.rect.centre().y, rule.rect.left, rule.rect.right),
        Direction::Vertical => (1, rule.rect.centre().x, rule.rect.top, rule.rect.bottom),
    };
    rules.sort_by(|a, b| {
        let (a, b) = (key(a), key(b));
        a.0.cmp(&b.0)
            .then((a.1 / reach).round().total_cmp(&(b.1 / reach).round()))
            .then(a.2.total_cmp(&b.2))
    });
    let mut merged: Vec<Rule> = Vec::new();
    for rule in rules {
        if let Some(last) = merged.last_mut() {
            let (a, b) = (key(last), key(&rule));
            let meets = b.2 <= a.3 + reach && a.2 <= b.3 + reach;
            if a.0 == b.0 && (a.1 - b.1).abs() <= reach && meets {
                last.rect = last.rect.union(&rule.rect);
                continue;
            }
        }
        merged.push(rule);
    }
    merged
}
