//! What drawing one page may cost. A PDF is a program: forms draw forms, patterns draw patterns,
//! and a few lines of it can ask for years of work. So the page is interpreted once without
//! painting, and what it asks for is counted; only a page within its budget is painted.

use std::collections::HashMap;

use hayro::hayro_interpret::font::{Glyph, GlyphRun};
use hayro::hayro_interpret::pattern::Pattern;
use hayro::hayro_interpret::{
    BlendMode, ClipPath, Device, DrawMode, DrawProps, Image, ImageDrawProps, Paint, SoftMask,
    StrokeProps,
};
use hayro::hayro_syntax::object::ObjectIdentifier;
use hayro::kurbo::{Affine, BezPath, PathEl, Point, Rect, Shape};

use super::unpack::{Programs, picture_cost};
use super::{Limits, PageError};

/// Drawing operations. A dense page of a report makes some 10,000, and the renderer keeps 700
/// bytes for each until the page is done.
const OPERATIONS: usize = 200_000;
/// Lines and curves in all paths. A page whose letters are curves has 200,000.
const SEGMENTS: usize = 2_000_000;
/// Length of all paths, in page widths: the renderer keeps some 20 bytes for each pixel that an
/// edge goes through. 10,000 glyphs have 1,000.
const LENGTH: f64 = 5_000.0;
/// Area painted, in page areas. Tables with coloured cells paint 2 or 3.
const PAINTED: f32 = 300.0;
/// Area painted with pictures and patterns, in page areas: the renderer keeps 4 bytes for each
/// of their pixels until the page is done.
const TEXTURED: f32 = 4.0;
/// Pixels of all pictures drawn, as a multiple of the largest picture's: each is decoded as often
/// as it is drawn.
const DECODED: u64 = 8;
/// Forms drawn. A page of a report has some dozens.
const FORMS: usize = 10_000;
/// Elements of a box's outline: a move, three or four lines, a close.
const BOX: usize = 6;
/// Bytes of all forms drawn: each is unpacked and read as often as it is drawn, at some 30 ns a byte.
const FORM_BYTES: u64 = 128 << 20;
/// Bytes of all programs of glyphs drawn, likewise: the largest one may have 25 KiB, of 10,000 glyphs.
const GLYPH_BYTES: u64 = 256 << 20;
/// Bytes of functions and meshes, for each pixel that is coloured by one: a tint's function of 1 KiB
/// over a page at 200 dpi.
const SHADED: f64 = 4e9;
/// Reading a byte of a mesh takes as long as colouring so many pixels by it.
const READING: f64 = 250.0;
/// Soft masks: each is a picture of the page.
const MASKS: usize = 24;
/// Copies of a pattern's cell.
const COPIES: f64 = 10_000.0;
/// Dashes of one stroke.
const DASHES: f64 = 10_000.0;

/// Thrown as a panic's payload out of the interpreter, which a device cannot stop otherwise, and
/// caught where the decoder's thread ends.
pub(super) struct Exceeded(pub PageError);

fn stop(error: PageError) -> ! {
    // Resumed, not begun: nothing is broken, so no panic hook shall report it.
    std::panic::resume_unwind(Box::new(Exceeded(error)))
}

/// What a path costs to draw.
#[derive(Clone, Copy)]
struct Outline {
    segments: usize,
    /// Length of the lines between its points, control points too: no curve is longer.
    length: f64,
}

impl Outline {
    fn of(path: &BezPath) -> Self {
        // What lies far outside any page is cut off before it costs anything.
        const FAR: f64 = 20_000.0;
        let (mut from, mut length) = (Point::ZERO, 0.0);
        for element in path.elements() {
            let points: &[Point] = match element {
                PathEl::MoveTo(p) => {
                    from = *p;
                    continue;
                }
                PathEl::LineTo(p) => &[*p],
                PathEl::QuadTo(a, p) => &[*a, *p],
                PathEl::CurveTo(a, b, p) => &[*a, *b, *p],
                PathEl::ClosePath => continue,
            };
            for &to in points {
                length += (to - from).hypot().min(FAR);
                from = to;
            }
        }
        Self { segments: path.elements().len(), length }
    }
}

/// A page's budget, as it is used up.
pub(super) struct Budget {
    limits: Limits,
    page_area: f32,
    /// Outlines of the glyphs met, by what hayro tells them apart by.
    glyphs: HashMap<u128, Outline>,
    /// Costs of the pictures met.
    pictures: HashMap<ObjectIdentifier, u64>,
    operations: usize,
    segments: usize,
    length: f64,
    painted: f32,
    textured: f32,
    decoded: u64,
    programs: Programs,
    forms: usize,
    form_bytes: u64,
    glyph_bytes: u64,
    shaded: f64,
    masks: usize,
}

impl Budget {
    /// A full budget for a page of this area, in square pixels, in a file with these programs.
    pub fn new(limits: &Limits, page_area: f32, programs: Programs) -> Self {
        Self {
            limits: limits.clone(),
            page_area: page_area.max(1.0),
            glyphs: HashMap::new(),
            pictures: HashMap::new(),
            operations: 0,
            segments: 0,
            length: 0.0,
            painted: 0.0,
            textured: 0.0,
            decoded: 0,
            programs,
            forms: 0,
            form_bytes: 0,
            glyph_bytes: 0,
            shaded: 0.0,
            masks: 0,
        }
    }

    /// One drawing operation.
    pub fn operation(&mut self) {
        self.operations += 1;
        if self.operations > OPERATIONS {
            stop(PageError::TooComplex);
        }
    }

    /// An area painted, in square pixels.
    pub fn paint(&mut self, area: f32, paint: &Paint<'_>) {
        self.operation();
        self.painted += area / self.page_area;
        if let Paint::Pattern(pattern) = paint {
            self.texture(area);
            if let Pattern::Shading(_) = &**pattern {
                self.shade(area);
            }
            if let Pattern::Tiling(tiling) = &**pattern {
                let copies = (tiling.bbox.width() / f64::from(tiling.x_step).abs())
                    * (tiling.bbox.height() / f64::from(tiling.y_step).abs());
                if copies.is_nan() || copies > COPIES {
                    stop(PageError::TooComplex);
                }
                tiling.interpret(&mut Probe(self), Affine::IDENTITY, false);
            }
        }
        if self.painted > PAINTED {
            stop(PageError::TooComplex);
        }
    }

    /// An area coloured by a shading, in square pixels.
    fn shade(&mut self, area: f32) {
        self.shaded += (f64::from(area) + READING) * self.programs.shading as f64;
        if self.shaded > SHADED {
            stop(PageError::TooComplex);
        }
    }

    /// What is painted within a pattern, a mask or a glyph; that it covers the page, at worst.
    fn paint_within(&mut self, paint: &Paint<'_>) {
        self.paint(0.0, paint);
        if let Paint::Pattern(pattern) = paint
            && let Pattern::Shading(_) = &**pattern
        {
            self.shade(self.page_area);
        }
    }

    /// A path, as it lies on the page.
    pub fn path(&mut self, path: &BezPath, transform: Affine) {
        self.outline(Outline::of(path), transform);
    }

    fn outline(&mut self, outline: Outline, transform: Affine) {
        let scale = transform.determinant().abs().sqrt();
        self.segments += outline.segments;
        self.length += outline.length * scale / f64::from(self.page_area.sqrt());
        if self.segments > SEGMENTS || self.length > LENGTH {
            stop(PageError::TooComplex);
        }
    }

    fn texture(&mut self, area: f32) {
        self.textured += area / self.page_area;
        if self.textured > TEXTURED {
            stop(PageError::TooComplex);
        }
    }

    /// A picture that covers an area, in square pixels.
    pub fn picture(&mut self, image: &Image<'_, '_>, area: f32) {
        self.operation();
        self.texture(area);
        let stream = match image {
            Image::Stencil(stencil) => stencil.stream(),
            Image::Raster(raster) => raster.stream(),
        };
        let known = stream.dict().obj_id().and_then(|id| self.pictures.get(&id).copied());
        let cost = known.unwrap_or_else(|| {
            picture_cost(stream, &self.limits).unwrap_or_else(|error| stop(error))
        });
        if let Some(id) = stream.dict().obj_id() {
            self.pictures.insert(id, cost);
        }
        self.decoded += cost;
        if self.decoded > DECODED.saturating_mul(self.limits.max_pixels) {
            stop(PageError::TooComplex);
        }
    }

    /// A stroke along a path.
    pub fn stroke(&mut self, path: &BezPath, stroke: &StrokeProps) {
        self.operation();
        if stroke.dash_array.is_empty() {
            return;
        }
        let period: f64 = stroke.dash_array.iter().map(|d| f64::from(d.abs())).sum();
        let bounds = path.bounding_box();
        let length = (bounds.width() + bounds.height()) * path.elements().len() as f64;
        let dashes = length / period * stroke.dash_array.len() as f64;
        // A period of nothing makes a solid line.
        if period > 0.0 && (dashes.is_nan() || dashes > DASHES) {
            stop(PageError::TooComplex);
        }
    }

    /// A glyph: those of Type 3 fonts are programs of their own.
    pub fn glyph<'a>(&mut self, glyph: &Glyph<'a>, transform: Affine, paint: &Paint<'a>) {
        self.operation();
        match glyph {
            Glyph::Type3(program) => {
                self.glyph_bytes += self.programs.glyph;
                if self.glyph_bytes > GLYPH_BYTES {
                    stop(PageError::TooComplex);
                }
                program.interpret(&mut Probe(self), transform, Affine::IDENTITY, paint);
            }
            Glyph::Outline(glyph) => {
                let key = glyph.identifier().cache_key();
                let outline =
                    *self.glyphs.entry(key).or_insert_with(|| Outline::of(&glyph.outline()));
                self.outline(outline, transform);
            }
        }
    }

    /// A clip. Which form is drawn, `hayro` does not say; but it clips each to its box, turned with
    /// the page, and rectangles that the content clips to come another way.
    pub fn clip(&mut self, clip: &ClipPath) {
        self.operation();
        if clip.path.elements().len() <= BOX {
            self.forms += 1;
            self.form_bytes += self.programs.form;
        }
        if self.forms > FORMS || self.form_bytes > FORM_BYTES {
            stop(PageError::TooComplex);
        }
    }

    /// A group of operations, maybe masked.
    pub fn group(&mut self, mask: Option<&SoftMask<'_>>) {
        self.operation();
        if let Some(mask) = mask {
            self.masks += 1;
            if self.masks > MASKS {
                stop(PageError::TooComplex);
            }
            mask.interpret(&mut Probe(self));
        }
    }
}

/// Counts what patterns, masks and glyphs that are programs draw within themselves.
struct Probe<'b>(&'b mut Budget);

impl<'a> Device<'a> for Probe<'_> {
    fn draw_path(&mut self, path: &BezPath, props: DrawProps<'a>, mode: &DrawMode) {
        self.0.paint_within(&props.paint);
        self.0.path(path, props.transform);
        if let DrawMode::Stroke(stroke) | DrawMode::FillAndStroke(_, stroke) = mode {
            self.0.stroke(path, stroke);
        }
    }

    fn draw_glyph_run(&mut self, run: &GlyphRun<'_, 'a>, props: DrawProps<'a>, _: &DrawMode) {
        for glyph in run.glyphs() {
            self.0.glyph(glyph, props.transform * glyph.transform(), &props.paint);
        }
    }

    fn draw_image(&mut self, image: Image<'a, '_>, _: ImageDrawProps<'a>) {
        self.0.picture(&image, 0.0);
    }

    fn push_transparency_group(&mut self, _: f32, mask: Option<SoftMask<'a>>, _: BlendMode) {
        self.0.group(mask.as_ref());
    }

    fn push_clip_path(&mut self, clip: &ClipPath) {
        self.0.clip(clip);
    }

    fn push_clip_rect(&mut self, _: &Rect) {
        self.0.operation();
    }

    fn pop_clip(&mut self) {}
    fn pop_transparency_group(&mut self) {}
}
