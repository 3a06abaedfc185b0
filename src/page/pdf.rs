//! PDF pages: text layer, embedded scans, and rendering, through `hayro`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use hayro::hayro_interpret::{Context, InterpreterCache, InterpreterSettings, interpret_page};
use hayro::hayro_syntax::page::Page as PdfPage;
use hayro::hayro_syntax::{LoadPdfError, Pdf};
use hayro::kurbo::{Affine, Rect};
use hayro::vello_cpu::color::palette::css::WHITE;
use hayro::{PixmapSettings, RenderCache, RenderSettings, render};
use image::{DynamicImage, RgbImage};

use super::text_layer::{Collector, TooComplex};
use super::{Limits, Page, PageError};
use crate::text::PageText;

/// Pages with a text layer are drawn at this resolution: their picture is only looked at.
const TEXT_DPI: f32 = 150.0;
/// Points per inch.
const POINTS: f32 = 72.0;
/// Pages that show fewer characters beside a large picture are scans with a stamp of the
/// scanning program on them.
const SCAN_CAPTION: usize = 200;

/// An opened PDF.
pub(super) struct PdfDocument {
    pdf: Pdf,
}

impl PdfDocument {
    pub fn open(bytes: Vec<u8>, limits: &Limits) -> Result<Self, PageError> {
        let pdf = guarded(|| match Pdf::new(bytes) {
            Ok(pdf) => Ok(pdf),
            Err(LoadPdfError::Decryption(_)) => Err(PageError::Encrypted),
            Err(LoadPdfError::Invalid) => Err(PageError::Damaged),
        })?;
        match pdf.pages().len() {
            0 => Err(PageError::NoPages),
            pages if pages > limits.max_pages => {
                Err(PageError::TooManyPages { pages, limit: limits.max_pages })
            }
            _ => Ok(Self { pdf }),
        }
    }

    pub fn page_count(&self) -> usize {
        self.pdf.pages().len()
    }

    pub fn page(&self, index: usize, _limits: &Limits) -> Result<Page, PageError> {
        guarded(|| {
            let page = self.pdf.pages().get(index).ok_or(PageError::NoSuchPage { index })?;
            let (text, image) = (text_layer(page, index), draw(page, TEXT_DPI)?);
            Ok(Page { index, image, text })
        })
    }
}

/// Runs the PDF library on bytes that may be hostile. It is written without `unsafe` but not
/// without panics, so this one door catches them: a broken file is the sender's failure, not
/// the daemon's.
fn guarded<T>(work: impl FnOnce() -> Result<T, PageError>) -> Result<T, PageError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(payload) if payload.is::<TooComplex>() => Err(PageError::TooComplex),
        Err(_) => Err(PageError::Damaged),
    }
}

fn pixels(page: &PdfPage<'_>, scale: f32) -> (u32, u32) {
    let (width, height) = page.render_dimensions();
    ((width * scale) as u32, (height * scale) as u32)
}

fn text_layer(page: &PdfPage<'_>, index: usize) -> Option<PageText> {
    let collector = collect(page, TEXT_DPI / POINTS);
    let characters = collector.visible_characters();
    let area = collector.pictures.iter().map(|p| p.rect.area()).fold(0.0, f32::max);
    let (width, height) = pixels(page, TEXT_DPI / POINTS);
    let is_scan = area > 0.5 * (width * height) as f32 && characters < SCAN_CAPTION;
    (characters > 0 && !is_scan && collector.text_is_sound()).then(|| collector.into_text(index))
}

fn collect(page: &PdfPage<'_>, scale: f32) -> Collector {
    let (width, height) = pixels(page, scale);
    let mut collector = Collector::new(width, height, scale);
    let transform =
        Affine::scale(scale.into()) * Affine::new(page.initial_transform(true).as_coeffs());
    let bounds = Rect::new(0.0, 0.0, width.into(), height.into());
    let cache = InterpreterCache::new();
    let mut context =
        Context::new(transform, bounds, &cache, page.xref(), InterpreterSettings::default());
    interpret_page(page, &mut context, &mut collector);
    collector
}

fn draw(page: &PdfPage<'_>, dpi: f32) -> Result<DynamicImage, PageError> {
    let scale = dpi / POINTS;
    let settings = PixmapSettings { x_scale: scale, y_scale: scale, bg_color: WHITE };
    let pixmap = render(
        page,
        &RenderCache::new(),
        &InterpreterSettings::default(),
        &RenderSettings::default(),
        &settings,
    );
    let (width, height) = (pixmap.width().into(), pixmap.height().into());
    let rgb: Vec<u8> = pixmap.data().iter().flat_map(|p| [p.r, p.g, p.b]).collect();
    RgbImage::from_raw(width, height, rgb).map(DynamicImage::ImageRgb8).ok_or(PageError::Damaged)
}
