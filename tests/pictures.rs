//! Picture files: every page of them, upright, in plain pixels.

mod fixtures;

use cic_kiosk::page::{Document, Files, Limits, Page, PageError};
use fixtures::{drawn_pdf, encoded};
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};

fn pages(bytes: Vec<u8>) -> Vec<Page> {
    let document = Document::open(bytes, &Limits::default()).expect("the picture opens");
    document.pages().collect::<Result<_, _>>().expect("the pages decode")
}

/// White but for a dark corner at the top left.
fn marked(width: u32, height: u32) -> DynamicImage {
    let shade = |x, y| Luma([if x < width / 4 && y < height / 4 { 60 } else { 255 }]);
    DynamicImage::ImageLuma8(GrayImage::from_fn(width, height, shade))
}

fn dark_at(page: &Page, x: f32, y: f32) -> bool {
    let grey = page.grey();
    let (x, y) = ((grey.width() as f32 * x) as u32, (grey.height() as f32 * y) as u32);
    grey.get_pixel(x, y).0[0] < 128
}

#[test]
fn every_format_is_read_by_its_content() {
    for format in [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::Tiff,
        ImageFormat::WebP,
        ImageFormat::Bmp,
    ] {
        let colour = DynamicImage::ImageRgb8(marked(120, 160).to_rgb8());
        let [page] = pages(encoded(&colour, format)).try_into().expect("one page");
        assert_eq!((page.image.width(), page.image.height()), (120, 160), "{format:?}");
        assert!(dark_at(&page, 0.1, 0.1) && !dark_at(&page, 0.9, 0.9), "{format:?}");
    }
}

/// A baseline TIFF: these grey pages of 8 × 8 pixels, uncompressed.
fn tiff(pages: &[u8]) -> Vec<u8> {
    let mut file = b"II*\0".to_vec();
    file.extend_from_slice(&8u32.to_le_bytes());
    for (index, shade) in pages.iter().enumerate() {
        const ENTRIES: u16 = 8;
        let start = file.len() as u32;
        let end = start + 2 + 12 * u32::from(ENTRIES) + 4;
        let pixels = 64;
        file.extend_from_slice(&ENTRIES.to_le_bytes());
        // Tag, type (3: 16 bits, 4: 32 bits), value: width, height, bits, no compression, black
        // is zero, strip's offset, rows in a strip, strip's bytes.
        let entries: [(u16, u16, u32); ENTRIES as usize] = [
            (256, 4, 8),
            (257, 4, 8),
            (258, 3, 8),
            (259, 3, 1),
            (262, 3, 1),
            (273, 4, end),
            (278, 4, 8),
            (279, 4, pixels),
        ];
        for (tag, kind, value) in entries {
            file.extend_from_slice(&tag.to_le_bytes());
            file.extend_from_slice(&kind.to_le_bytes());
            file.extend_from_slice(&1u32.to_le_bytes());
            file.extend_from_slice(&value.to_le_bytes());
        }
        let next = if index + 1 < pages.len() { end + pixels } else { 0 };
        file.extend_from_slice(&next.to_le_bytes());
        file.extend(std::iter::repeat_n(*shade, pixels as usize));
    }
    file
}

#[test]
fn a_tiff_gives_all_its_pages_in_order() {
    let shades = [10, 90, 200];
    let document = Document::open(tiff(&shades), &Limits::default()).expect("the TIFF opens");
    assert_eq!(document.page_count(), 3);
    for (index, shade) in shades.iter().enumerate() {
        let page = document.page(index).expect("the page decodes");
        assert_eq!((page.index, page.grey().get_pixel(3, 3).0[0]), (index, *shade));
    }
    assert_eq!(document.page(3).err(), Some(PageError::NoSuchPage { index: 3 }));
}

#[test]
fn a_tiff_of_too_many_pages_is_refused() {
    let limits = Limits { max_pages: 2, ..Limits::default() };
    let error = Document::open(tiff(&[0; 3]), &limits).err();
    assert_eq!(error, Some(PageError::TooManyPages { pages: 3, limit: 2 }));
}

#[test]
fn a_camera_s_orientation_is_undone() {
    let jpeg = encoded(&marked(160, 120), ImageFormat::Jpeg);
    // Orientation 6: the picture must be turned a quarter clockwise to stand upright.
    let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let mut turned = jpeg[..2].to_vec();
    turned.extend_from_slice(&[0xff, 0xe1, 0, exif.len() as u8 + 2]);
    turned.extend_from_slice(exif);
    turned.extend_from_slice(&jpeg[2..]);
    let [page] = pages(turned).try_into().expect("one page");
    assert_eq!((page.image.width(), page.image.height()), (120, 160));
    assert!(dark_at(&page, 0.9, 0.1) && !dark_at(&page, 0.1, 0.1));
}

#[test]
fn clear_parts_of_a_picture_are_white_paper() {
    let clear = RgbaImage::from_pixel(40, 40, Rgba([0, 0, 0, 0]));
    let png = encoded(&DynamicImage::ImageRgba8(clear), ImageFormat::Png);
    assert_eq!(pages(png)[0].grey().get_pixel(20, 20).0[0], 255);
}

#[test]
fn grey_stays_grey_and_colour_stays_colour() {
    let grey = pages(encoded(&marked(80, 80), ImageFormat::Png)).remove(0);
    assert!(matches!(grey.image, DynamicImage::ImageLuma8(_)));
    let mut colour = marked(80, 80).to_rgb8();
    let colourless = DynamicImage::ImageRgb8(colour.clone());
    let colourless = pages(encoded(&colourless, ImageFormat::Png)).remove(0);
    assert_eq!(colourless.image, grey.image, "colours that none of its pixels has");
    colour.put_pixel(70, 70, Rgb([200, 30, 40]));
    let colour = pages(encoded(&DynamicImage::ImageRgb8(colour), ImageFormat::Png)).remove(0);
    assert!(matches!(colour.image, DynamicImage::ImageRgb8(_)));
}

#[test]
fn a_page_can_be_turned() {
    let page = pages(encoded(&marked(80, 120), ImageFormat::Png)).remove(0);
    for (turns, (x, y)) in [(0, (0.1, 0.1)), (1, (0.9, 0.1)), (2, (0.9, 0.9)), (3, (0.1, 0.9))] {
        assert!(dark_at(&page.clone().turned(turns), x, y), "{turns}");
    }
}

#[test]
fn pages_of_several_files_are_counted_through() {
    let files = Files(vec![
        tiff(&[10, 20]),
        drawn_pdf("BT /F1 40 Tf 100 600 Td (Three) Tj ET"),
        tiff(&[30]),
    ]);
    let document = Document::open(files, &Limits::default()).expect("the files open");
    assert_eq!(document.page_count(), 4);
    let pages: Vec<_> = document.pages().map(|page| page.expect("a page")).collect();
    assert_eq!(pages.iter().map(|page| page.index).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(pages[2].text.as_ref().expect("a text layer").page, 2);
    assert!(matches!(document.page(4), Err(PageError::NoSuchPage { index: 4 })));
}

#[test]
fn limits_are_for_all_files_together() {
    let files = || Files(vec![tiff(&[10, 20]), tiff(&[30])]);
    let limits = Limits { max_pages: 2, ..Limits::default() };
    let error = Document::open(files(), &limits).err();
    assert_eq!(error, Some(PageError::TooManyPages { pages: 3, limit: 2 }));
    let limits = Limits { max_bytes: files().bytes() - 1, ..Limits::default() };
    assert!(matches!(Document::open(files(), &limits), Err(PageError::TooManyBytes { .. })));
    assert_eq!(Document::open(Files::default(), &limits).err(), Some(PageError::Empty));
}

/// Whether print stands at a place of a page of lines.
fn is_print(x: f64, y: f64, (width, height): (f64, f64)) -> bool {
    (50.0..width - 50.0).contains(&x) && (50.0..height - 50.0).contains(&y) && y % 24.0 < 4.0
}

#[test]
fn a_sheet_askew_on_cloth_as_bright_as_itself_is_cut_out() {
    let (paper, cloth) = (Rgb([190, 190, 190]), Rgb([150, 215, 150]));
    let size = (480.0, 679.0);
    for degrees in [-30.0_f64, 12.0, 35.0] {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let photo = RgbImage::from_fn(900, 1200, |x, y| {
            let (x, y) = (f64::from(x) - 450.0, f64::from(y) - 600.0);
            let (x, y) = (x * cos + y * sin + size.0 / 2.0, y * cos - x * sin + size.1 / 2.0);
            match (0.0..size.0).contains(&x) && (0.0..size.1).contains(&y) {
                true if is_print(x, y, size) => Rgb([40, 40, 40]),
                true => paper,
                false => cloth,
            }
        });
        let photo = encoded(&DynamicImage::ImageRgb8(photo), ImageFormat::Png);
        let [page] = pages(photo).try_into().expect("one page");
        assert!(page.quality.cut, "{degrees}");
        let sides = (f64::from(page.image.width()), f64::from(page.image.height()));
        let near = |side: f64, wanted: f64| (side / wanted - 1.0).abs() < 0.03;
        assert!(near(sides.0, size.0) && near(sides.1, size.1), "{degrees}: {sides:?}");
    }
}

#[test]
fn a_scan_is_not_cut_at_a_grey_row_of_its_table() {
    let size = (900.0, 1273.0);
    let scan = GrayImage::from_fn(900, 1273, |x, y| {
        let (x, y) = (f64::from(x), f64::from(y));
        let lid = !(20.0..880.0).contains(&x) || y > 1253.0;
        let grey_row = (125.0..180.0).contains(&y) && (60.0..840.0).contains(&x);
        Luma([match () {
            () if is_print(x, y, size) => 40,
            () if lid || grey_row => 200,
            () => 228,
        }])
    });
    let scan = encoded(&DynamicImage::ImageLuma8(scan), ImageFormat::Png);
    let [page] = pages(scan).try_into().expect("one page");
    let grey = page.grey();
    let first = grey.enumerate_rows().position(|(_, mut row)| row.any(|(.., p)| p.0[0] < 100));
    // The first line stands 50 px below the top; 12 px below the grey row stands another one.
    assert!(first.is_some_and(|first| (40..60).contains(&first)), "{first:?}");
}

#[test]
fn a_scan_is_not_cut_at_a_table_s_head_far_up_its_page() {
    let size = (900.0, 1273.0);
    let scan = GrayImage::from_fn(900, 1273, |x, y| {
        let (x, y) = (f64::from(x), f64::from(y));
        // The scanner's bed shows at the top and on the right; rows of a table end the page.
        let bed = y < 14.0 || x > 886.0;
        let table = (1030.0..1200.0).contains(&y) && (50.0..825.0).contains(&x);
        let (head, rule) = (table && y < 1105.0, table && (y - 1030.0) % 42.0 < 2.0);
        Luma([match () {
            () if bed || rule => 30,
            () if y < 1000.0 && is_print(x, y, size) => 40,
            () if head => 226,
            // What the printer and the scanner make of white.
            () => 249 + ((x as u32 * 7 + y as u32 * 13) % 5) as u8,
        }])
    });
    let scan = encoded(&DynamicImage::ImageLuma8(scan), ImageFormat::Png);
    let [page] = pages(scan).try_into().expect("one page");
    assert!(page.image.height() > 1200, "{}", page.image.height());
}

#[test]
fn stamps_fade_where_there_are_any() {
    let page = |ink| {
        let picture = RgbImage::from_fn(200, 280, |x, y| match (x, y) {
            (60..140, 100..180) if y % 20 < 4 => Rgb([30, 10, 12]),
            (60..140, 100..180) => ink,
            _ => Rgb([255, 255, 255]),
        });
        let picture = encoded(&DynamicImage::ImageRgb8(picture), ImageFormat::Png);
        pages(picture).remove(0)
    };
    assert!(page(Rgb([40, 60, 150])).without_stamps().is_none());
    let stamped = page(Rgb([210, 40, 50]));
    let (all, print) = (stamped.grey(), stamped.without_stamps().expect("there is red ink"));
    assert!(all.get_pixel(100, 110).0[0] < 100 && print.get_pixel(100, 110).0[0] > 180);
    assert!(print.get_pixel(100, 121).0[0] < 60, "what is printed under it stays");
}
