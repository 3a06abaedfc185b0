//! Pictures: from the bytes of a JPEG, PNG, TIFF, WebP or BMP file to upright 8-bit pixels.

use std::borrow::Cow;
use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};

use super::{Limits, PageError};

/// Directories that a TIFF's chain is followed for before it counts as endless.
const MAX_TIFF_DIRECTORIES: usize = 10_000;

/// What an input is, told by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// A picture, maybe of several pages (TIFF).
    Picture(ImageFormat),
    /// A PDF.
    Pdf,
}

/// Tells the format by content.
pub(super) fn sniff(bytes: &[u8]) -> Result<Format, PageError> {
    // Programs put up to a kilobyte of their own before a PDF's header, and readers accept it.
    let head = bytes.get(..1024).unwrap_or(bytes);
    match image::guess_format(bytes) {
        Ok(
            format @ (ImageFormat::Jpeg
            | ImageFormat::Png
            | ImageFormat::Tiff
            | ImageFormat::WebP
            | ImageFormat::Bmp),
        ) => Ok(Format::Picture(format)),
        _ if head.windows(5).any(|w| w == b"%PDF-") => Ok(Format::Pdf),
        _ => Err(PageError::UnknownFormat),
    }
}

/// A picture file: its bytes, and where each of its pages begins.
pub(super) struct PictureFile {
    bytes: Vec<u8>,
    format: ImageFormat,
    directories: Vec<u64>,
}

impl PictureFile {
    /// Reads headers only: the first page's size is checked, and a TIFF's pages are counted.
    pub fn open(bytes: Vec<u8>, format: ImageFormat, limits: &Limits) -> Result<Self, PageError> {
        let directories = match format {
            ImageFormat::Tiff => tiff_directories(&bytes).ok_or(PageError::Damaged)?,
            _ => vec![0],
        };
        let file = Self { bytes, format, directories };
        checked_decoder(&file.bytes, format, limits)?;
        Ok(file)
    }

    pub fn page_count(&self) -> usize {
        self.directories.len()
    }

    /// Decodes one page.
    pub fn picture(&self, index: usize, limits: &Limits) -> Result<DynamicImage, PageError> {
        let start = *self.directories.get(index).ok_or(PageError::NoSuchPage { index })?;
        let bytes = match index {
            0 => Cow::Borrowed(&self.bytes),
            _ => Cow::Owned(with_first_directory(&self.bytes, start)),
        };
        decode(&bytes, self.format, true, limits)
    }
}

/// Decodes one picture to 8-bit grey or RGB on white; `upright` turns it as its EXIF data say,
/// which holds for files but not for pictures within a PDF.
pub(super) fn decode(
    bytes: &[u8],
    format: ImageFormat,
    upright: bool,
    limits: &Limits,
) -> Result<DynamicImage, PageError> {
    if format == ImageFormat::Jpeg && !jpeg_is_complete(bytes) {
        return Err(PageError::Damaged);
    }
    let mut decoder = checked_decoder(bytes, format, limits)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = plain(DynamicImage::from_decoder(decoder).map_err(|_| PageError::Damaged)?);
    if upright {
        picture.apply_orientation(orientation);
    }
    Ok(picture)
}

fn checked_decoder<'a>(
    bytes: &'a [u8],
    format: ImageFormat,
    limits: &Limits,
) -> Result<impl ImageDecoder + use<'a>, PageError> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut allowed = image::Limits::default();
    // The picture itself, checked below, and as much again for the decoder's own tables.
    let most_bytes = limits.max_pixels.saturating_mul(4);
    allowed.max_alloc = Some(most_bytes.saturating_mul(2));
    reader.limits(allowed);
    let decoder = reader.into_decoder().map_err(|_| PageError::Damaged)?;
    let (width, height) = decoder.dimensions();
    limits.check_pixels(width, height)?;
    // Four bytes a pixel: 16-bit channels halve what is allowed.
    if decoder.total_bytes() > most_bytes {
        return Err(PageError::TooManyPixels { width, height });
    }
    Ok(decoder)
}

/// 8-bit grey where the picture has no colour channels, else 8-bit RGB; clear parts turn white.
fn plain(picture: DynamicImage) -> DynamicImage {
    match picture {
        DynamicImage::ImageLuma8(_) | DynamicImage::ImageRgb8(_) => picture,
        DynamicImage::ImageLuma16(_) => DynamicImage::ImageLuma8(picture.into_luma8()),
        DynamicImage::ImageLumaA8(_) | DynamicImage::ImageLumaA16(_) => {
            let source = picture.into_luma_alpha8();
            let grey = source.pixels().map(|p| on_white(p.0[0], p.0[1])).collect();
            GrayImage::from_raw(source.width(), source.height(), grey)
                .map_or_else(DynamicImage::default, DynamicImage::ImageLuma8)
        }
        DynamicImage::ImageRgba8(_)
        | DynamicImage::ImageRgba16(_)
        | DynamicImage::ImageRgba32F(_) => {
            let source = picture.into_rgba8();
            let rgb = source.pixels().flat_map(|p| {
                let [r, g, b, a] = p.0;
                [on_white(r, a), on_white(g, a), on_white(b, a)]
            });
            RgbImage::from_raw(source.width(), source.height(), rgb.collect())
                .map_or_else(DynamicImage::default, DynamicImage::ImageRgb8)
        }
        _ => DynamicImage::ImageRgb8(picture.into_rgb8()),
    }
}

fn on_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

/// Whether a JPEG's coded data come to their end mark. Decoders fill what is missing with grey,
/// and half a page must not pass for a page.
pub(super) fn jpeg_is_complete(bytes: &[u8]) -> bool {
    let mut at = 2;
    // Segments are skipped by their length: a thumbnail inside one has an end mark of its own.
    while let Some(&[0xff, marker, high, low]) = bytes.get(at..at + 4) {
        match marker {
            0xff => at += 1,
            0xda => return bytes[at..].windows(2).any(|w| w == [0xff, 0xd9]),
            _ => at += 2 + usize::from(u16::from_be_bytes([high, low])),
        }
    }
    false
}

/// Byte offsets of a TIFF's image directories, one for each page.
fn tiff_directories(bytes: &[u8]) -> Option<Vec<u64>> {
    let tiff = Tiff::new(bytes)?;
    let mut next = tiff.offset(tiff.first_at())?;
    let mut directories = Vec::new();
    while next != 0 && directories.len() < MAX_TIFF_DIRECTORIES && !directories.contains(&next) {
        let (count_size, entry_size) = if tiff.big { (8, 20) } else { (2, 12) };
        let entries = tiff.number(next, count_size)?;
        directories.push(next);
        let end = entries.checked_mul(entry_size)?.checked_add(next)?.checked_add(count_size)?;
        next = tiff.offset(end).unwrap_or(0);
    }
    (!directories.is_empty()).then_some(directories)
}

/// The file with its header pointing at another directory: `image` reads the first one only.
fn with_first_directory(bytes: &[u8], directory: u64) -> Vec<u8> {
    let mut patched = bytes.to_vec();
    if let Some(tiff) = Tiff::new(bytes) {
        let (at, size) = (tiff.first_at() as usize, tiff.offset_size() as usize);
        let mut value = directory.to_le_bytes()[..size].to_vec();
        if tiff.big_endian {
            value.reverse();
        }
        if let Some(place) = patched.get_mut(at..at + size) {
            place.copy_from_slice(&value);
        }
    }
    patched
}

/// Numbers of a TIFF file, in its byte order.
struct Tiff<'a> {
    bytes: &'a [u8],
    big_endian: bool,
    /// BigTIFF: 8-byte offsets.
    big: bool,
}

impl<'a> Tiff<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let big_endian = bytes.starts_with(b"MM");
        let mut tiff = Self { bytes, big_endian, big: false };
        tiff.big = tiff.number(2, 2)? == 43;
        Some(tiff)
    }

    fn first_at(&self) -> u64 {
        if self.big { 8 } else { 4 }
    }

    fn offset_size(&self) -> u64 {
        if self.big { 8 } else { 4 }
    }

    fn offset(&self, at: u64) -> Option<u64> {
        self.number(at, self.offset_size())
    }

    fn number(&self, at: u64, size: u64) -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let digits = self.bytes.get(at..at.checked_add(size as usize)?)?;
        let fold = |value: u64, digit: &u8| value << 8 | u64::from(*digit);
        Some(if self.big_endian {
            digits.iter().fold(0, fold)
        } else {
            digits.iter().rev().fold(0, fold)
        })
    }
}
