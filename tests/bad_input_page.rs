//! Whatever bytes come in, the answer is a page or a sentence, soon and within the limits.

mod fixtures;

use std::time::{Duration, Instant};

use cic_kiosk::page::{Document, Limits, Page, PageError};
use fixtures::{PdfBuilder, deflated, drawn_pdf, encoded};
use image::{DynamicImage, ImageFormat, RgbImage};

/// Longest that refusing any of these inputs may take. They take milliseconds; the rest is for a
/// busy machine.
const SOON: Duration = Duration::from_secs(20);

fn small_limits() -> Limits {
    Limits { max_unpacked_bytes: 4 << 20, ..Limits::default() }
}

fn read(bytes: Vec<u8>) -> Result<Vec<Page>, PageError> {
    read_within(bytes, &small_limits())
}

fn read_within(bytes: Vec<u8>, limits: &Limits) -> Result<Vec<Page>, PageError> {
    let start = Instant::now();
    let pages = Document::open(bytes, limits).and_then(|document| document.pages().collect());
    assert!(start.elapsed() < SOON, "took {:?}", start.elapsed());
    pages
}

fn refused(bytes: Vec<u8>) -> PageError {
    read(bytes).expect_err("the input should be refused")
}

fn picture() -> DynamicImage {
    let shade = |x, y| image::Rgb([(x * 7 % 256) as u8, (y * 5 % 256) as u8, 128]);
    DynamicImage::ImageRgb8(RgbImage::from_fn(200, 280, shade))
}

#[test]
fn an_empty_file_is_refused() {
    assert_eq!(refused(Vec::new()), PageError::Empty);
}

#[test]
fn text_is_no_picture_whatever_its_name() {
    assert_eq!(refused(b"not a picture\n".repeat(100)), PageError::UnknownFormat);
}

#[test]
fn a_file_over_the_size_limit_is_refused() {
    let limits = Limits { max_bytes: 1000, ..Limits::default() };
    let error = read_within(vec![0; 1001], &limits).expect_err("too large");
    assert_eq!(error, PageError::TooManyBytes { bytes: 1001, limit: 1000 });
}

#[test]
fn half_a_picture_is_damaged_in_every_format() {
    for format in [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::Tiff,
        ImageFormat::WebP,
        ImageFormat::Bmp,
    ] {
        let whole = encoded(&picture(), format);
        assert_eq!(read(whole.clone()).map(|pages| pages.len()), Ok(1), "{format:?}");
        let half = whole[..whole.len() / 2].to_vec();
        assert_eq!(refused(half), PageError::Damaged, "{format:?}");
    }
}

#[test]
fn a_jpeg_cut_in_its_last_tenth_is_damaged() {
    let whole = encoded(&picture(), ImageFormat::Jpeg);
    assert_eq!(refused(whole[..whole.len() * 9 / 10].to_vec()), PageError::Damaged);
}

#[test]
fn every_beginning_of_a_file_is_refused_or_read() {
    let mut pdf = PdfBuilder::new();
    pdf.drawn_page("BT /F1 12 Tf 72 700 Td (Diem tin dung) Tj ET", "");
    for whole in [
        pdf.finish(""),
        encoded(&picture(), ImageFormat::Jpeg),
        encoded(&picture(), ImageFormat::Png),
        encoded(&picture(), ImageFormat::Tiff),
    ] {
        for length in (1..whole.len()).step_by(whole.len() / 40) {
            let _ = read(whole[..length].to_vec());
        }
    }
}

#[test]
fn a_header_of_40000_by_40000_pixels_costs_nothing() {
    let side = 40_000u32;
    let error = PageError::TooManyPixels { width: side, height: side };

    let mut png = encoded(&picture(), ImageFormat::Png);
    png[16..20].copy_from_slice(&side.to_be_bytes());
    png[20..24].copy_from_slice(&side.to_be_bytes());
    let checksum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    assert_eq!(refused(png), error, "PNG");

    let mut bmp = encoded(&picture(), ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&side.to_le_bytes());
    bmp[22..26].copy_from_slice(&side.to_le_bytes());
    assert_eq!(refused(bmp), error, "BMP");

    let mut jpeg = encoded(&picture(), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).expect("a baseline JPEG");
    jpeg[frame + 5..frame + 7].copy_from_slice(&(side as u16).to_be_bytes());
    jpeg[frame + 7..frame + 9].copy_from_slice(&(side as u16).to_be_bytes());
    assert_eq!(refused(jpeg), error, "JPEG");
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[test]
fn a_pdf_without_its_end_is_damaged() {
    let whole = drawn_pdf("BT /F1 12 Tf 72 700 Td (Diem tin dung) Tj ET");
    assert_eq!(read(whole.clone()).map(|pages| pages.len()), Ok(1));
    assert_eq!(refused(whole[..whole.len() * 3 / 4].to_vec()), PageError::Damaged);
}

#[test]
fn an_encrypted_pdf_says_so() {
    let mut pdf = PdfBuilder::new();
    pdf.drawn_page("", "");
    let key = "00".repeat(32);
    let encryption = pdf.object(format!(
        "<< /Filter /Standard /V 2 /R 3 /Length 128 /P -44 /O <{key}> /U <{key}> >>"
    ));
    let trailer = format!("/Encrypt {encryption} 0 R /ID [<00> <00>]");
    assert_eq!(refused(pdf.finish(&trailer)), PageError::Encrypted);
}

#[test]
fn a_pdf_of_500_pages_is_refused() {
    let mut pdf = PdfBuilder::new();
    for _ in 0..500 {
        pdf.page("/MediaBox [0 0 595 842]");
    }
    assert_eq!(refused(pdf.finish("")), PageError::TooManyPages { pages: 500, limit: 40 });
}

#[test]
fn a_pdf_without_pages_is_refused() {
    assert_eq!(refused(PdfBuilder::new().finish("")), PageError::NoPages);
}

#[test]
fn a_zip_bomb_is_refused_before_it_unpacks() {
    let zeros = deflated(&vec![b' '; 16 << 20]);
    let twice = deflated(&zeros);
    let base_85 = ascii_85(&zeros);
    for (entries, data) in [
        ("/Filter /FlateDecode", &zeros),
        ("/Filter [/FlateDecode /FlateDecode]", &twice),
        ("/Filter [/ASCII85Decode /FlateDecode]", &base_85),
    ] {
        let mut pdf = PdfBuilder::new();
        let content = pdf.stream(entries, data);
        pdf.page(&format!("/MediaBox [0 0 595 842] /Contents {content} 0 R"));
        assert_eq!(refused(pdf.finish("")), PageError::TooComplex, "{entries}");
    }
}

fn ascii_85(data: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for group in data.chunks(4) {
        let mut four = [0; 4];
        four[..group.len()].copy_from_slice(group);
        let mut value = u32::from_be_bytes(four);
        let mut digits = [0; 5];
        for digit in digits.iter_mut().rev() {
            *digit = (value % 85) as u8 + b'!';
            value /= 85;
        }
        text.extend_from_slice(&digits[..group.len() + 1]);
    }
    text.extend_from_slice(b"~>");
    text
}

#[test]
fn a_huge_picture_in_a_pdf_is_refused() {
    let mut pdf = PdfBuilder::new();
    let entries = "/Type /XObject /Subtype /Image /Width 40000 /Height 40000 /BitsPerComponent 1 \
                   /ColorSpace /DeviceGray /Filter /FlateDecode";
    let image = pdf.stream(entries, &deflated(&[0; 1000]));
    pdf.drawn_page("595 0 0 842 0 0 cm /Im Do", &format!("/XObject << /Im {image} 0 R >>"));
    assert_eq!(refused(pdf.finish("")), PageError::TooManyPixels { width: 40000, height: 40000 });

    let inline = "595 0 0 842 0 0 cm BI /W 40000 /H 40000 /BPC 1 /CS /G ID x EI";
    assert_eq!(
        refused(drawn_pdf(inline)),
        PageError::TooManyPixels { width: 40000, height: 40000 }
    );
}

/// A page that is a picture with these entries and data.
fn pictured_pdf(entries: &str, data: &[u8]) -> Vec<u8> {
    let mut pdf = PdfBuilder::new();
    let entries = format!("/Type /XObject /Subtype /Image {entries}");
    let image = pdf.stream(&entries, data);
    pdf.drawn_page("595 0 0 842 0 0 cm /Im Do", &format!("/XObject << /Im {image} 0 R >>"));
    pdf.finish("")
}

const SMALL: &str = "/Width 8 /Height 8 /BitsPerComponent 8 /ColorSpace /DeviceGray";

#[test]
fn a_zip_bomb_within_the_page_s_content_is_refused() {
    let zeros = deflated(&vec![0; 16 << 20]);
    let head = b"595 0 0 842 0 0 cm BI /W 8 /H 8 /BPC 8 /CS /G /F /Fl ID ";
    let content = deflated(&[&head[..], &zeros, b" EI"].concat());
    let mut pdf = PdfBuilder::new();
    let content = pdf.stream("/Filter /FlateDecode", &content);
    pdf.page(&format!("/MediaBox [0 0 595 842] /Contents {content} 0 R"));
    assert_eq!(refused(pdf.finish("")), PageError::TooComplex);
}

/// Readers that forgive damage go on behind it.
#[test]
fn a_zip_bomb_behind_damage_is_refused() {
    let zeros = deflated(&vec![0; 16 << 20]);
    let entries = format!("{SMALL} /Filter /FlateDecode");
    // A stored block whose length's check is wrong.
    let damaged = [&zeros[..2], &[0, 1, 0, 0, 0, 7], &zeros[2..]].concat();
    assert_eq!(refused(pictured_pdf(&entries, &damaged)), PageError::TooComplex);
    // zlib's header is itself the head of a stored block, here of one byte.
    let ambiguous = [&[0x78, 1, 0, 0xfe, 0xff, 7], &zeros[2..]].concat();
    assert_eq!(refused(pictured_pdf(&entries, &ambiguous)), PageError::TooComplex);
}

#[test]
fn a_fax_of_endless_columns_is_refused() {
    let error = PageError::TooManyPixels { width: 2_000_000, height: 2000 };
    let size = "/Width 8 /Height 2000 /BitsPerComponent 1 /ColorSpace /DeviceGray";
    for filter in [
        "/Filter /CCITTFaxDecode /DecodeParms << /K -1 /Columns 2000000 >>",
        "/Filter /CCITTFaxDecode /DP << /K -1 /Columns 2000000 >>",
        "/Filter [/CCITTFaxDecode] /DecodeParms [<< /K -1 /Columns 2000000 >>]",
    ] {
        let pdf = pictured_pdf(&format!("{size} {filter}"), &[0xff; 500]);
        assert_eq!(refused(pdf), error, "{filter}");
    }
    let inline = "595 0 0 842 0 0 cm BI /W 8 /H 2000 /BPC 1 /CS /G /F /CCF /DP << /K -1 /Columns \
                  2000000 >> ID xxxx EI";
    assert_eq!(refused(drawn_pdf(inline)), error);
}

/// Memory that is not to be had ends a program; it is no panic that can be caught.
#[test]
fn a_predictor_with_endless_rows_is_refused() {
    let entries = format!(
        "{SMALL} /Filter /FlateDecode /DecodeParms << /Predictor 2 /BitsPerComponent 4 /Columns \
         90000000000000 >>"
    );
    assert_eq!(refused(pictured_pdf(&entries, &deflated(&[0; 64]))), PageError::TooComplex);
}

#[test]
fn a_picture_drawn_again_and_again_is_refused() {
    let mut pdf = PdfBuilder::new();
    let entries = "/Type /XObject /Subtype /Image /Width 4000 /Height 4000 /BitsPerComponent 1 \
                   /ColorSpace /DeviceGray /Filter /FlateDecode";
    let image = pdf.stream(entries, &deflated(&vec![0; 2_000_000]));
    let content = "0.1 0 0 0.1 9 9 cm ".to_owned() + &"/Im Do ".repeat(1000);
    pdf.drawn_page(&content, &format!("/XObject << /Im {image} 0 R >>"));
    assert_eq!(refused(pdf.finish("")), PageError::TooComplex);
}

/// The head of a JPEG 2000 code stream: its SIZ segment.
fn jpeg_2000(size: u32, tile: u32, components: u16) -> Vec<u8> {
    let mut data = vec![0xff, 0x4f, 0xff, 0x51];
    data.extend((38 + 3 * components).to_be_bytes());
    data.extend([0, 0]);
    for number in [size, size, 0, 0, tile, tile, 0, 0] {
        data.extend(number.to_be_bytes());
    }
    data.extend(components.to_be_bytes());
    data.extend([7, 1, 1].repeat(components.into()));
    data
}

#[test]
fn a_jpeg_2000_of_endless_components_or_tiles_is_refused() {
    let entries = format!("{SMALL} /Filter /JPXDecode");
    for (size, tile, components, error) in [
        (40_000, 40_000, 3, PageError::TooManyPixels { width: 40_000, height: 40_000 }),
        (5_000, 5_000, 9_000, PageError::TooManyPixels { width: 5_000, height: 5_000 }),
        (5_000, 1, 3, PageError::TooComplex),
    ] {
        // Which of two code streams is decoded, boxes around them say.
        let data = [jpeg_2000(8, 8, 1), jpeg_2000(size, tile, components)].concat();
        assert_eq!(refused(pictured_pdf(&entries, &data)), error);
    }
}

#[test]
fn a_font_that_lists_endless_widths_is_refused() {
    for widths in ["/W [0 4294967295 500]", "/W2 [0 4294967295 500 500 500]"] {
        let font = format!(
            "/Font << /F << /Type /Font /Subtype /Type0 /BaseFont /A /Encoding /Identity-H \
             /DescendantFonts [<< /Type /Font /Subtype /CIDFontType2 /BaseFont /A {widths} >>] >> >>"
        );
        let mut pdf = PdfBuilder::new();
        let content = pdf.stream("", b"BT /F 9 Tf 9 9 Td <0001> Tj ET");
        pdf.page(&format!(
            "/MediaBox [0 0 595 842] /Contents {content} 0 R /Resources << {font} >>"
        ));
        assert_eq!(refused(pdf.finish("")), PageError::TooComplex, "{widths}");
    }
}

/// Ten forms, each of which draws the next one ten times: 10^10 rectangles.
#[test]
fn forms_that_draw_each_other_without_end_are_refused() {
    let mut pdf = PdfBuilder::new();
    let form = |next: Option<usize>| {
        let resources =
            next.map(|n| format!("/Resources << /XObject << /X {n} 0 R >> >>")).unwrap_or_default();
        format!("/Type /XObject /Subtype /Form /BBox [0 0 595 842] {resources}")
    };
    let mut inner = pdf.stream(&form(None), &b"0 0 9 9 re f ".repeat(10));
    for _ in 0..10 {
        inner = pdf.stream(&form(Some(inner)), &b"/X Do ".repeat(10));
    }
    pdf.drawn_page("/X Do", &format!("/XObject << /X {inner} 0 R >>"));
    assert_eq!(refused(pdf.finish("")), PageError::TooComplex);
}

/// What its operations are is all the same: none of these can be seen.
#[test]
fn a_long_form_drawn_again_and_again_is_refused() {
    let mut pdf = PdfBuilder::new();
    let entries = "/Type /XObject /Subtype /Form /BBox [0 0 595 842] /Filter /FlateDecode";
    let form = pdf.stream(entries, &deflated(&b"q Q ".repeat(500_000)));
    pdf.drawn_page(&"/X Do ".repeat(1000), &format!("/XObject << /X {form} 0 R >>"));
    assert_eq!(refused(pdf.finish("")), PageError::TooComplex);
}

#[test]
fn a_shading_by_an_endless_program_is_refused() {
    let mut pdf = PdfBuilder::new();
    let program = format!("{{ {} pop }}", "dup pop ".repeat(100_000));
    let entries = "/FunctionType 4 /Domain [0 1 0 1] /Range [0 1] /Filter /FlateDecode";
    let program = pdf.stream(entries, &deflated(program.as_bytes()));
    let shading = format!(
        "/Shading << /S << /ShadingType 1 /ColorSpace /DeviceGray /Matrix [595 0 0 842 0 0] /Function \
         {program} 0 R >> >>"
    );
    pdf.drawn_page("/S sh", &shading);
    assert_eq!(refused(pdf.finish("")), PageError::TooComplex);
}

#[test]
fn a_glyph_that_is_a_long_program_is_refused() {
    let mut pdf = PdfBuilder::new();
    let program = [b"600 0 0 0 500 700 d1 ".to_vec(), b"q Q ".repeat(1_000_000)].concat();
    let program = pdf.stream("/Filter /FlateDecode", &deflated(&program));
    let font = format!(
        "/Font << /F << /Type /Font /Subtype /Type3 /FontBBox [0 0 600 700] /FontMatrix [0.001 0 0 \
         0.001 0 0] /CharProcs << /A {program} 0 R >> /Encoding << /Differences [65 /A] >> /FirstChar \
         65 /Widths [600] >> >>"
    );
    let text = format!("BT /F 9 Tf 9 9 Td ({}) Tj ET", "A".repeat(1000));
    let content = pdf.stream("", text.as_bytes());
    pdf.page(&format!("/MediaBox [0 0 595 842] /Contents {content} 0 R /Resources << {font} >>"));
    assert_eq!(refused(pdf.finish("")), PageError::TooComplex);
}

#[test]
fn more_shapes_than_any_page_has_are_refused() {
    let rectangles = "0 0 5 8 re f ".repeat(300_000);
    assert_eq!(refused(drawn_pdf(&rectangles)), PageError::TooComplex);
    let curves: String =
        (0..100_000).map(|i| format!("{} {} l ", i * 211 % 590, i * 397 % 840)).collect();
    assert_eq!(refused(drawn_pdf(&format!("9 9 m {curves} f"))), PageError::TooComplex);
}

#[test]
fn a_form_that_draws_itself_ends() {
    let mut pdf = PdfBuilder::new();
    let number = 3;
    let itself = format!(
        "/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X {number} 0 R \
         >> >>"
    );
    assert_eq!(pdf.stream(&itself, b"/X Do /X Do"), number);
    pdf.drawn_page("/X Do", &format!("/XObject << /X {number} 0 R >>"));
    let _ = read(pdf.finish(""));
}

#[test]
fn a_pattern_of_endless_cells_is_refused() {
    let mut pdf = PdfBuilder::new();
    let entries = "/Type /Pattern /PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 99999 99999] \
                   /XStep 0.01 /YStep 0.01 /Resources << >>";
    let pattern = pdf.stream(entries, b"0 0 1 1 re f");
    pdf.drawn_page(
        "/Pattern cs /P scn 0 0 595 842 re f",
        &format!("/Pattern << /P {pattern} 0 R >>"),
    );
    assert_eq!(refused(pdf.finish("")), PageError::TooComplex);
}

#[test]
fn endless_dashes_are_refused() {
    let content = "[0.000001 0.000001] 0 d 0 0 m 595 842 l S";
    assert_eq!(refused(drawn_pdf(content)), PageError::TooComplex);
}

#[test]
fn deeply_nested_objects_do_not_overflow_the_stack() {
    for (open, close) in [("[", "]"), ("<< /A ", ">>")] {
        let mut pdf = PdfBuilder::new();
        let depth = 100_000;
        let deep = pdf.object(format!("{}0{}", open.repeat(depth), close.repeat(depth)));
        pdf.page(&format!("/MediaBox [0 0 595 842] /Annots {deep} 0 R /Contents {deep} 0 R"));
        let _ = read(pdf.finish(""));
    }
    let nested = "q ".repeat(200_000) + "0 0 9 9 re f";
    let _ = read(drawn_pdf(&nested));
}

#[test]
fn a_page_of_any_size_makes_a_picture_of_bounded_size() {
    for side in ["1", "14400", "2000000000", "-5"] {
        let mut pdf = PdfBuilder::new();
        let content = pdf.stream("", b"10 10 100 100 re f");
        pdf.page(&format!("/MediaBox [0 0 {side} {side}] /Contents {content} 0 R"));
        if let Ok(pages) = read(pdf.finish("")) {
            let image = &pages[0].image;
            assert!(image.width() * image.height() <= 9_100_000, "{side}: {}", image.width());
        }
    }
}

#[test]
fn a_tiff_whose_pages_run_in_a_circle_ends() {
    let mut tiff = encoded(&picture(), ImageFormat::Tiff);
    let start = u32::from_le_bytes([tiff[4], tiff[5], tiff[6], tiff[7]]) as usize;
    let entries = usize::from(u16::from_le_bytes([tiff[start], tiff[start + 1]]));
    let next = start + 2 + 12 * entries;
    tiff[next..next + 4].copy_from_slice(&(start as u32).to_le_bytes());
    let _ = read(tiff);
}

#[test]
fn each_error_tells_a_person_what_to_do() {
    for error in [PageError::Empty, PageError::Damaged, PageError::Encrypted] {
        let sentence = error.to_string();
        assert!(sentence.ends_with('.') && sentence.contains(';'), "{sentence}");
    }
}
