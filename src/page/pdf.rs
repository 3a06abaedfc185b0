//! PDF pages, through `hayro`: their text layer where they have one, the scan where they are
//! nothing but a scan, and a rendering otherwise.

use std::ops::RangeInclusive;

use hayro::hayro_interpret::font::GlyphRun;
use hayro::hayro_interpret::{
    BlendMode, ClipPath, Context, Device, DrawMode, DrawProps, Image, ImageData, ImageDrawProps,
    InterpreterCache, InterpreterSettings, RasterImage, SoftMask, interpret_page,
};
use hayro::hayro_syntax::Filter;
use hayro::hayro_syntax::page::Page as PdfPage;
use hayro::hayro_syntax::{LoadPdfError, Pdf};
use hayro::kurbo::{Affine, BezPath, Rect};
use hayro::vello_cpu::color::palette::css::WHITE;
use hayro::{PixmapSettings, RenderCache, RenderSettings, render};
use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};

use super::budget::Budget;
use super::quality::MEASURED_WIDTH;
use super::straighten::grey_thumbnail;
use super::text_layer::{Collector, Picture};
use super::unpack::Programs;
use super::{Limits, Page, PageError, Quality, decode, turned, unpack};

/// Points per inch.
const POINTS: f32 = 72.0;
/// Pages with a text layer are drawn at this resolution: their picture is only looked at.
const TEXT_DPI: f32 = 150.0;
/// Pages that are drawn without text or pictures (letters as curves).
const CURVES_DPI: f32 = 200.0;
/// Resolutions that pictures on a page are drawn at.
const PICTURE_DPI: RangeInclusive<f32> = 100.0..=300.0;
/// Pixels of the largest rendering: A4 at 300 dpi. Larger pages are drawn smaller.
const MAX_RENDERED: f32 = 9e6;
/// Longest side of a rendering, in pixels, whatever its area: the renderer counts in 16 bits.
const MAX_SIDE: f32 = 16_000.0;
/// Pages that show fewer characters beside a large picture are scans with a stamp of the
/// scanning program on them.
const SCAN_CAPTION: usize = 200;
/// Share of the page that a picture covers on a page that is a scan.
const SCAN_COVER: f32 = 0.5;
/// Share of the page that a picture covers when it is the whole page.
const WHOLE_COVER: f32 = 0.9;

/// Bytes at the end of a file that hold its end mark. Readers look at 1024; mail gateways and
/// scanners add a little of their own.
const TAIL: usize = 4096;

/// An opened PDF.
pub(super) struct PdfFile {
    pdf: Pdf,
    programs: Programs,
}

impl PdfFile {
    pub fn open(bytes: Vec<u8>, limits: &Limits) -> Result<Self, PageError> {
        // What is cut off would be rebuilt from the objects that are left, pages missing.
        let tail = &bytes[bytes.len().saturating_sub(TAIL)..];
        if !tail.windows(5).any(|w| w == b"%%EOF") {
            return Err(PageError::Damaged);
        }
        unpack::check_bytes(&bytes, limits)?;
        match Pdf::new(bytes) {
            Ok(pdf) => {
                let programs = unpack::check_objects(&pdf, limits)?;
                Ok(Self { pdf, programs })
            }
            Err(LoadPdfError::Decryption(_)) => Err(PageError::Encrypted),
            Err(LoadPdfError::Invalid) => Err(PageError::Damaged),
        }
    }

    pub fn page_count(&self) -> usize {
        self.pdf.pages().len()
    }

    pub fn page(&self, index: usize, limits: &Limits) -> Result<Page, PageError> {
        let page = self.pdf.pages().get(index).ok_or(PageError::NoSuchPage { index })?;
        let scale = bounded_scale(page, TEXT_DPI);
        let (width, height) = pixels(page, scale);
        let budget = Budget::new(limits, (width * height) as f32, self.programs);
        let collector = interpret(page, scale, Collector::new(width, height, scale, budget));
        let area = (width * height) as f32;
        let covered = collector.pictures.iter().map(|p| p.rect.area() / area).fold(0.0, f32::max);
        let characters = collector.visible_characters();
        let is_scan = covered > SCAN_COVER && characters < SCAN_CAPTION;
        if characters > 0 && !is_scan && collector.text_is_sound() {
            let image = draw(page, scale)?;
            let preview = grey_thumbnail(&image, MEASURED_WIDTH);
            let quality = Quality::measure(&preview, (image.width(), image.height()));
            return Ok(Page { index, image, text: Some(collector.into_text(index)), quality });
        }
        if let [picture] = collector.pictures.as_slice()
            && covered > WHOLE_COVER
            && characters == 0
            && !collector.has_shapes
            && let Some(turns) = quarter_turns(picture)
            && let Some(scan) = interpret(page, scale, Grabber { limits, found: None }).found
        {
            return Ok(Page::from_picture(index, turned(scan?, turns)));
        }
        let dpi = |p: &Picture| p.width as f32 / (p.rect.width() / scale).max(1.0) * POINTS;
        let finest = collector.pictures.iter().map(dpi).fold(0.0, f32::max);
        let dpi = if finest > 0.0 && characters == 0 {
            finest.clamp(*PICTURE_DPI.start(), *PICTURE_DPI.end())
        } else {
            CURVES_DPI.max(finest.min(*PICTURE_DPI.end()))
        };
        Ok(Page::from_picture(index, draw(page, bounded_scale(page, dpi))?))
    }
}

/// Pixels per point for a resolution, or fewer where the page is too large for it.
fn bounded_scale(page: &PdfPage<'_>, dpi: f32) -> f32 {
    let (width, height) = page.render_dimensions();
    let area = (MAX_RENDERED / (width * height)).sqrt();
    let side = MAX_SIDE / width.max(height);
    (dpi / POINTS).min(area).min(side)
}

fn pixels(page: &PdfPage<'_>, scale: f32) -> (u32, u32) {
    let (width, height) = page.render_dimensions();
    (((width * scale) as u32).max(1), ((height * scale) as u32).max(1))
}

/// Runs a page's drawing operations on a device, in page pixels.
fn interpret<D: for<'a> Device<'a>>(page: &PdfPage<'_>, scale: f32, mut device: D) -> D {
    let (width, height) = pixels(page, scale);
    let transform =
        Affine::scale(scale.into()) * Affine::new(page.initial_transform(true).as_coeffs());
    let bounds = Rect::new(0.0, 0.0, width.into(), height.into());
    let cache = InterpreterCache::new();
    let mut context =
        Context::new(transform, bounds, &cache, page.xref(), InterpreterSettings::default());
    interpret_page(page, &mut context, &mut device);
    device
}

fn draw(page: &PdfPage<'_>, scale: f32) -> Result<DynamicImage, PageError> {
    let settings = PixmapSettings { x_scale: scale, y_scale: scale, bg_color: WHITE };
    let pixmap = render(
        page,
        &RenderCache::new(),
        &InterpreterSettings::default(),
        &RenderSettings::default(),
        &settings,
    );
    let (width, height) = (pixmap.width().into(), pixmap.height().into());
    let pixels = pixmap.data();
    let image = if pixels.iter().all(|p| p.r == p.g && p.g == p.b) {
        let grey = pixels.iter().map(|p| p.r).collect();
        GrayImage::from_raw(width, height, grey).map(DynamicImage::ImageLuma8)
    } else {
        let rgb = pixels.iter().flat_map(|p| [p.r, p.g, p.b]).collect();
        RgbImage::from_raw(width, height, rgb).map(DynamicImage::ImageRgb8)
    };
    image.ok_or(PageError::Damaged)
}

/// Clockwise quarter turns that bring a picture upright on its page; none where the page slants,
/// mirrors or distorts it.
fn quarter_turns(picture: &Picture) -> Option<u8> {
    let [a, b, c, d, ..] = picture.transform.as_coeffs();
    let (across, down) = (a.hypot(b), c.hypot(d));
    let even = across.max(down) <= 1.05 * across.min(down);
    let along = |x: f64, y: f64| even && x > 0.999 * across && y > 0.999 * down;
    [along(a, d), along(b, -c), along(-a, -d), along(-b, c)]
        .iter()
        .position(|&is| is)
        .map(|t| t as u8)
}

/// Takes the first picture that a page draws, in its own pixels.
struct Grabber<'l> {
    limits: &'l Limits,
    found: Option<Result<DynamicImage, PageError>>,
}

impl Grabber<'_> {
    fn grab(&self, picture: &RasterImage<'_>) -> Option<Result<DynamicImage, PageError>> {
        let stream = picture.stream();
        let plain = ["SMask", "Mask", "Decode"].iter().all(|key| !stream.dict().contains_key(key));
        if plain && matches!(stream.filters().as_slice(), [Filter::DctDecode]) {
            let jpeg = stream.raw_data();
            if !decode::jpeg_is_complete(&jpeg) {
                return Some(Err(PageError::Damaged));
            }
            let decoded = decode::decode(&jpeg, ImageFormat::Jpeg, false, self.limits);
            // A JPEG within a PDF may be odd in ways that only PDF explains; hayro knows them.
            if decoded.is_ok() {
                return Some(decoded);
            }
        }
        let mut image = None;
        picture.with_rgba(
            |data, _| {
                image = match data {
                    ImageData::Luma(l) => {
                        GrayImage::from_raw(l.width, l.height, l.data).map(DynamicImage::ImageLuma8)
                    }
                    ImageData::Rgb(rgb) => RgbImage::from_raw(rgb.width, rgb.height, rgb.data)
                        .map(DynamicImage::ImageRgb8),
                };
            },
            None,
        );
        plain.then(|| image.ok_or(PageError::Damaged))
    }
}

impl<'a> Device<'a> for Grabber<'_> {
    fn draw_image(&mut self, image: Image<'a, '_>, _: ImageDrawProps<'a>) {
        if let (Image::Raster(picture), None) = (&image, &self.found) {
            self.found = self.grab(picture);
        }
    }

    fn draw_path(&mut self, _: &BezPath, _: DrawProps<'a>, _: &DrawMode) {}
    fn push_clip_path(&mut self, _: &ClipPath) {}
    fn push_transparency_group(&mut self, _: f32, _: Option<SoftMask<'a>>, _: BlendMode) {}
    fn draw_glyph_run(&mut self, _: &GlyphRun<'_, 'a>, _: DrawProps<'a>, _: &DrawMode) {}
    fn pop_clip(&mut self) {}
    fn pop_transparency_group(&mut self) {}
}
