//! What the fuzz targets share: what counts as a finding, and what a document may cost here.
//!
//! A finding is whatever ends the process: a panic in this project's code, wherever it would be
//! caught; a panic anywhere that is not caught; a stack that overflows; a report of
//! AddressSanitizer; and, by the options that `scripts/fuzz.sh` gives, a case that takes more than
//! ten seconds or a gibibyte. A decoder of another project that panics on the thread that
//! `page` keeps for decoders is no finding: it was expected, and the input counts as damaged.

pub mod seeds;

use std::panic::PanicHookInfo;
use std::path::Path;
use std::{env, fs, panic, process, thread};

use cic_kiosk::page::{Document, Limits, Page, PageError};
use image::DynamicImage;

pub use seeds::Seed;

/// Small, so that a case costs little; each is within the reach of an input of some kilobytes.
const LIMITS: Limits =
    Limits { max_bytes: 1 << 20, max_pages: 4, max_pixels: 4_000_000, max_unpacked_bytes: 8 << 20 };
/// Pixels of the largest page. A PDF is drawn with 9 million at most, rounding aside; a picture has
/// what the limit says and half as much again, for a sheet seen at a slant is drawn by its longest
/// sides.
const LARGEST_PAGE: u64 = 9_100_000;

/// To be run once, before the first case. With `FUZZ_SEEDS` in the environment the seeds are
/// written to the folder that it names, and there are no cases.
pub fn start(seeds: fn() -> Vec<Seed>) {
    if let Some(folder) = env::var_os("FUZZ_SEEDS") {
        for (name, bytes) in seeds() {
            fs::write(Path::new(&folder).join(name), bytes).expect("the seeds' folder is there");
        }
        process::exit(0);
    }
    // libFuzzer's own hook, which takes every panic for a finding.
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !is_expected(info) {
            report(info);
        }
    }));
}

/// Whether it is a decoder of another project that panics, and where that is caught.
fn is_expected(info: &PanicHookInfo<'_>) -> bool {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(|root| root.join("src"));
    let begun_by_us = info.location().zip(ours).is_none_or(|(location, ours)| {
        let file = Path::new(location.file());
        file.starts_with(ours) || file.is_relative()
    });
    thread::current().name() == Some("decoder") && !begun_by_us
}

/// Reads every page of a document and checks that it is what [`Page`] promises.
pub fn read(bytes: Vec<u8>) {
    match Document::open(bytes, &LIMITS) {
        Ok(document) => check_document(&document),
        Err(error) => check_error(&error),
    }
}

fn check_document(document: &Document) {
    let count = document.page_count();
    assert!((1..=LIMITS.max_pages).contains(&count), "{count} pages");
    assert_eq!(document.page(count).err(), Some(PageError::NoSuchPage { index: count }));
    for (index, page) in document.pages().enumerate() {
        match page {
            Ok(page) => check_page(&page, index),
            Err(error) => check_error(&error),
        }
    }
}

fn check_page(page: &Page, index: usize) {
    assert_eq!(page.index, index);
    let (width, height) = (page.image.width(), page.image.height());
    let pixels = u64::from(width) * u64::from(height);
    assert!((1..=LARGEST_PAGE).contains(&pixels), "{width} × {height}");
    assert!(matches!(page.image, DynamicImage::ImageLuma8(_) | DynamicImage::ImageRgb8(_)));
    let quality = &page.quality;
    // JSON knows no NaN.
    for figure in [
        quality.sharpness,
        quality.brightness,
        quality.contrast,
        quality.evenness,
        quality.glare,
        quality.dpi,
        quality.skew,
    ] {
        assert!(figure.is_finite(), "{quality:?}");
    }
    for line in page.text.iter().flat_map(|text| &text.lines) {
        let rect = &line.rect;
        let places = [rect.left, rect.top, rect.right, rect.bottom];
        assert!(places.iter().all(|place| place.is_finite()), "{rect:?}");
        assert!(!line.chars.is_empty());
    }
}

fn check_error(error: &PageError) {
    assert!(error.to_string().ends_with('.'), "{error}");
}
