//! Some pages of a document as a small PDF of their own.

use std::io::Cursor;

use image::codecs::jpeg::JpegDecoder;
use image::{ColorType, ImageDecoder, ImageError};
use pdf_writer::{Content, Filter, Finish, Name, Pdf, Rect, Ref};

/// The longer side of a page in points: that of A4.
const LONGER_SIDE: f32 = 842.0;

/// A PDF with each of these JPEGs on a page.
///
/// # Errors
/// Where one is no JPEG.
pub fn pdf_of(jpegs: &[Vec<u8>]) -> Result<Vec<u8>, ImageError> {
    let mut numbers = (1..).map(Ref::new);
    let mut next = move || numbers.next().unwrap_or(Ref::new(i32::MAX));
    let (catalog, tree) = (next(), next());
    let mut pdf = Pdf::new();
    pdf.catalog(catalog).pages(tree);
    let mut pages = Vec::new();
    for jpeg in jpegs {
        let (page, picture, content) = (next(), next(), next());
        add_page(&mut pdf, tree, [page, picture, content], jpeg)?;
        pages.push(page);
    }
    let count = i32::try_from(pages.len()).unwrap_or(i32::MAX);
    pdf.pages(tree).kids(pages).count(count);
    Ok(pdf.finish())
}

fn add_page(
    pdf: &mut Pdf,
    tree: Ref,
    [page, picture, content]: [Ref; 3],
    jpeg: &[u8],
) -> Result<(), ImageError> {
    let decoder = JpegDecoder::new(Cursor::new(jpeg))?;
    let (width, height) = decoder.dimensions();
    let points = LONGER_SIDE / width.max(height).max(1) as f32;
    let (across, down) = (width as f32 * points, height as f32 * points);
    let name = Name(b"P");

    let mut image = pdf.image_xobject(picture, jpeg);
    image.filter(Filter::DctDecode);
    image.bits_per_component(8);
    image.width(width.try_into().unwrap_or(i32::MAX));
    image.height(height.try_into().unwrap_or(i32::MAX));
    match decoder.color_type() {
        ColorType::L8 => image.color_space().device_gray(),
        _ => image.color_space().device_rgb(),
    }
    image.finish();

    let mut drawing = Content::new();
    drawing
        .save_state()
        .transform([across, 0.0, 0.0, down, 0.0, 0.0])
        .x_object(name)
        .restore_state();
    pdf.stream(content, &drawing.finish());

    let mut dictionary = pdf.page(page);
    dictionary.parent(tree).media_box(Rect::new(0.0, 0.0, across, down)).contents(content);
    dictionary.resources().x_objects().pair(name, picture);
    Ok(())
}

#[cfg(test)]
mod tests {
    use cic_kiosk::page::{Document, Limits};
    use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};

    use super::*;

    fn jpeg(picture: &DynamicImage) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn each_picture_is_a_page_pixel_by_pixel_and_in_order() {
        let grey = DynamicImage::ImageLuma8(GrayImage::from_pixel(420, 594, Luma([40])));
        let colour = DynamicImage::ImageRgb8(RgbImage::from_pixel(594, 420, Rgb([200, 40, 40])));
        let pdf = pdf_of(&[jpeg(&grey), jpeg(&colour)]).unwrap();
        let document = Document::open(pdf, &Limits::default()).unwrap();
        let pages: Vec<_> = document.pages().map(|page| page.unwrap().image).collect();
        assert_eq!(pages.len(), 2);
        assert_eq!((pages[0].width(), pages[0].height()), (420, 594));
        assert_eq!((pages[1].width(), pages[1].height()), (594, 420));
        let middle = |page: &DynamicImage| page.to_rgb8().get_pixel(200, 200).0;
        let near = |a: [u8; 3], b: [u8; 3]| a.iter().zip(b).all(|(a, b)| a.abs_diff(b) < 6);
        assert!(near(middle(&pages[0]), [40; 3]) && near(middle(&pages[1]), [200, 40, 40]));
    }

    #[test]
    fn what_is_no_picture_makes_no_page() {
        assert!(pdf_of(&[b"no picture".to_vec()]).is_err());
    }
}
