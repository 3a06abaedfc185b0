//! Draws what was read over the pages: a box around each value, green where it is sure, through
//! yellow to red where it is not.
//!
//! All pages stand in one picture, side by side, four in a row.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cic_kiosk::report::schema::{Answer, Value};
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

const PAGES_IN_A_ROW: u32 = 4;

/// A page is as wide as A4 at 150 dpi: small type can still be read.
const PAGE_WIDTH: u32 = 1240;

/// Of documents that fill more than a row, the pages are half as wide: forty of them take 65 MB.
const SMALL_PAGE_WIDTH: u32 = 620;

const GAP: u32 = 16;
const BACKGROUND: Rgb<u8> = Rgb([96, 96, 96]);

/// How much of a box's colour its inside takes on; the type stays black.
const TINT: f32 = 0.18;

/// At this confidence and below a box is all red.
const RED: f32 = 0.5;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// The answer holds no pages, because no report was found.
    #[error("no overlay is drawn, because no report was found")]
    NoPages,
    /// A page's picture in the answer cannot be decoded.
    #[error("page {page} of the answer is no picture: {reason}")]
    Page {
        /// Its number, from 1.
        page: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The picture cannot be written.
    #[error("cannot write {path}: {reason}")]
    Write {
        /// Where to.
        path: String,
        /// Why not.
        reason: image::ImageError,
    },
}

/// Draws the answer, which must have been asked for with its pages' pictures, into a file whose
/// ending says its format.
pub fn write(answer: &Answer, path: &Path) -> Result<(), OverlayError> {
    draw(answer)?
        .save(path)
        .map_err(|reason| OverlayError::Write { path: path.display().to_string(), reason })
}

/// The pages of an answer with the boxes of its values.
pub fn draw(answer: &Answer) -> Result<RgbImage, OverlayError> {
    // Every report of a document carries all pages.
    let report = answer.reports.first().ok_or(OverlayError::NoPages)?;
    let count = report.imgs.len() as u32;
    let width = if count > PAGES_IN_A_ROW { SMALL_PAGE_WIDTH } else { PAGE_WIDTH };
    let values: Vec<_> = answer.reports.iter().flat_map(|report| report.values()).collect();
    let mut pages = Vec::new();
    for (index, img) in report.imgs.iter().enumerate() {
        let picture =
            decode(img).map_err(|reason| OverlayError::Page { page: index + 1, reason })?;
        let scale = width as f32 / picture.width().max(1) as f32;
        let height = ((picture.height() as f32 * scale) as u32).max(1);
        let mut page = imageops::resize(&picture, width, height, FilterType::Triangle);
        for (_, value) in values.iter().filter(|(_, value)| value.page == Some(index)) {
            draw_box(&mut page, value, scale);
        }
        pages.push(page);
    }
    side_by_side(&pages, width).ok_or(OverlayError::NoPages)
}

fn decode(base64: &str) -> Result<RgbImage, String> {
    let bytes = BASE64_STANDARD.decode(base64).map_err(|error| error.to_string())?;
    image::load_from_memory(&bytes).map(|image| image.to_rgb8()).map_err(|error| error.to_string())
}

fn side_by_side(pages: &[RgbImage], page_width: u32) -> Option<RgbImage> {
    let rows: Vec<_> = pages.chunks(PAGES_IN_A_ROW as usize).collect();
    let height_of = |row: &[RgbImage]| row.iter().map(RgbImage::height).max().unwrap_or(0);
    let columns = rows.first()?.len() as u32;
    let height = GAP + rows.iter().map(|row| height_of(row) + GAP).sum::<u32>();
    let mut sheet = RgbImage::from_pixel(GAP + columns * (page_width + GAP), height, BACKGROUND);
    let mut top = GAP;
    for row in rows {
        let mut left = GAP;
        for page in row {
            imageops::replace(&mut sheet, page, left.into(), top.into());
            left += page_width + GAP;
        }
        top += height_of(row) + GAP;
    }
    Some(sheet)
}

fn draw_box(page: &mut RgbImage, value: &Value, scale: f32) {
    let Some([left, top, right, bottom]) = value.bounds else { return };
    let colour = colour(value.confidence);
    let line = (page.width() / 400).max(1) as i32;
    // The line lies outside, so that it touches no letter.
    let scaled = |edge: i32| (edge as f32 * scale).round() as i32;
    let [x0, y0] = [scaled(left) - line, scaled(top) - line];
    let [x1, y1] = [scaled(right) + line, scaled(bottom) + line];
    for y in y0.max(0)..y1.min(page.height() as i32) {
        for x in x0.max(0)..x1.min(page.width() as i32) {
            let is_inside =
                (x0 + line..x1 - line).contains(&x) && (y0 + line..y1 - line).contains(&y);
            let pixel = page.get_pixel_mut(x as u32, y as u32);
            if is_inside {
                for (channel, target) in pixel.0.iter_mut().zip(colour.0) {
                    // Multiplied, as a felt pen would: black stays black.
                    let tinted = f32::from(*channel) * f32::from(target) / 255.0;
                    *channel = (f32::from(*channel) * (1.0 - TINT) + tinted * TINT) as u8;
                }
            } else {
                *pixel = colour;
            }
        }
    }
}

/// Red, yellow, green, for a confidence from [`RED`] to 1.
fn colour(confidence: f32) -> Rgb<u8> {
    let sure = ((confidence - RED) / (1.0 - RED)).clamp(0.0, 1.0);
    let red = (2.0 * (1.0 - sure)).min(1.0);
    let green = (2.0 * sure).min(1.0);
    Rgb([(red * 220.0) as u8, (green * 170.0) as u8, 0])
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use cic_kiosk::report::schema::{Field, Meta, Report};
    use image::ImageFormat;

    use super::*;

    fn answer_with_pages(count: usize) -> Answer {
        let mut png = Vec::new();
        let white = RgbImage::from_pixel(310, 400, Rgb([255; 3]));
        white.write_to(&mut Cursor::new(&mut png), ImageFormat::Png).unwrap();
        let mut report = Report::default();
        report.imgs = vec![BASE64_STANDARD.encode(&png); count];
        *report.scalar_mut(Field::CicCode) = Value {
            text: "0184618475".to_owned(),
            bounds: Some([100, 100, 200, 120]),
            confidence: 1.0,
            page: Some(1),
        };
        Answer::success(vec![report], Meta::default())
    }

    #[test]
    fn boxes_stand_on_their_page_only() {
        let sheet = draw(&answer_with_pages(2)).unwrap();
        assert_eq!(sheet.dimensions(), (GAP + 2 * (PAGE_WIDTH + GAP), 1600 + 2 * GAP));
        // The box's left edge is at 400 px of the enlarged second page.
        let (x, y) = (GAP + PAGE_WIDTH + GAP + 399, GAP + 440);
        assert_eq!(*sheet.get_pixel(x, y), colour(1.0));
        assert_eq!(*sheet.get_pixel(GAP + 399, y), Rgb([255; 3]));
    }

    #[test]
    fn many_pages_stand_in_rows_and_are_smaller() {
        let sheet = draw(&answer_with_pages(5)).unwrap();
        assert_eq!(sheet.dimensions(), (GAP + 4 * (SMALL_PAGE_WIDTH + GAP), 2 * 800 + 3 * GAP));
    }

    #[test]
    fn colours_run_from_red_to_green() {
        assert_eq!(colour(0.0), Rgb([220, 0, 0]));
        assert_eq!(colour(0.75), Rgb([220, 170, 0]));
        assert_eq!(colour(1.0), Rgb([0, 170, 0]));
    }

    #[test]
    fn answer_without_a_report_has_no_picture() {
        assert!(matches!(draw(&Answer::default()), Err(OverlayError::NoPages)));
    }

    #[test]
    fn box_beyond_the_page_is_cut_off() {
        let mut answer = answer_with_pages(2);
        let value = answer.reports[0].scalar_mut(Field::CicCode);
        value.bounds = Some([-50, -50, 10_000, 10_000]);
        assert!(draw(&answer).is_ok());
    }
}
