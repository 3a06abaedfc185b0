//! From a frame's bytes to a grey look and to a picture's file.
//!
//! Promises:
//! - A frame that is not whole is told from one that is before anything is decoded.
//! - Whatever the bytes, there is no panic, and no more memory than the mode's own size asks for.
//! - A JPEG goes on as the camera made it. The tables that cameras leave out are put in.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{DynamicImage, GrayImage, RgbImage, imageops};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::mode::{Mode, Pixels};

/// Long side of a look, in pixels: A4 at 110 dpi, which is what the paper is judged on.
const LOOK: u32 = 1280;

/// JPEG quality of what came uncompressed in colour. PNG would be quicker (50 ms instead of 260 for
/// 3840 × 2160 with a camera's noise) and lose nothing, but is four times as large (12.7 MB
/// instead of 3.2): eight pages would be more than a document may have. In grey it is PNG: 18 ms
/// instead of 110, 3.8 MB instead of 2.7.
const QUALITY: u8 = 95;

/// What a device really gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Format and size.
    pub mode: Mode,
    /// Bytes from one line to the next.
    pub stride: u32,
    /// Whether luminance goes from 0 to 255, and not from 16 to 235.
    pub full_range: bool,
}

/// A frame that has been copied out of the device.
pub struct Frame {
    /// As the device gave it.
    pub bytes: Vec<u8>,
    /// What it is.
    pub shape: Shape,
}

impl Shape {
    /// Whether a frame's bytes are all there.
    pub fn holds(&self, bytes: &[u8]) -> bool {
        let (width, height) = (self.mode.width as usize, self.mode.height as usize);
        let stride = self.stride as usize;
        // The last line needs no padding.
        let raw = |line: usize, lines: usize| {
            stride >= line && bytes.len() >= stride * lines.saturating_sub(1) + line
        };
        match self.mode.pixels {
            Pixels::Mjpg => Jpeg::read(bytes)
                .is_some_and(|it| (it.width, it.height) == (self.mode.width, self.mode.height)),
            // Two pixels, and two lines, share a colour: there is no odd one.
            Pixels::Yuyv => width.is_multiple_of(2) && raw(2 * width, height),
            Pixels::Nv12 => {
                width.is_multiple_of(2)
                    && height.is_multiple_of(2)
                    && raw(width, height + height / 2)
            }
            Pixels::Rgb => raw(3 * width, height),
            Pixels::Grey => raw(width, height),
        }
    }
}

impl Frame {
    /// The whole frame in grey, its long side made [`LOOK`] at most. `None`: it is broken.
    pub fn look(&self) -> Option<GrayImage> {
        let grey = match self.shape.mode.pixels {
            Pixels::Mjpg => self.decoded()?,
            Pixels::Rgb => DynamicImage::ImageRgb8(self.rgb()?).into_luma8(),
            Pixels::Yuyv | Pixels::Nv12 | Pixels::Grey => self.luminance()?,
        };
        let (width, height) = grey.dimensions();
        let long = width.max(height);
        if long <= LOOK {
            return Some(grey);
        }
        let shrunk = |side: u32| (side * LOOK / long).max(1);
        Some(imageops::thumbnail(&grey, shrunk(width), shrunk(height)))
    }

    /// A picture's file, as good as the frame is. `None`: it is broken.
    pub fn file(&self) -> Option<Vec<u8>> {
        let mut file = Vec::new();
        match self.shape.mode.pixels {
            Pixels::Mjpg => return Some(Jpeg::read(&self.bytes)?.complete()),
            Pixels::Grey => {
                let (fast, filter) = (CompressionType::Fast, FilterType::Adaptive);
                let encoder = PngEncoder::new_with_quality(&mut file, fast, filter);
                self.luminance()?.write_with_encoder(encoder).ok()?;
            }
            _ => {
                let encoder = JpegEncoder::new_with_quality(&mut file, QUALITY);
                self.rgb()?.write_with_encoder(encoder).ok()?;
            }
        }
        Some(file)
    }

    /// The luminance of a JPEG, which is all that a look needs of it.
    fn decoded(&self) -> Option<GrayImage> {
        let Mode { width, height, .. } = self.shape.mode;
        let file = Jpeg::read(&self.bytes)?.complete();
        // What is a little broken is for the page's own decoder to judge.
        let options = DecoderOptions::default()
            .set_strict_mode(false)
            .jpeg_set_out_colorspace(ColorSpace::Luma);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&file), options);
        decoder.decode_headers().ok()?;
        // The mode keeps within what is configured: memory is asked for after this.
        if decoder.dimensions()? != (width as usize, height as usize) {
            return None;
        }
        GrayImage::from_raw(width, height, decoder.decode().ok()?)
    }

    fn lines(&self, bytes_of_line: u32) -> impl Iterator<Item = &[u8]> {
        self.bytes
            .chunks(self.shape.stride.max(1) as usize)
            .map(move |line| line.get(..bytes_of_line as usize).unwrap_or(line))
    }

    fn luminance(&self) -> Option<GrayImage> {
        if !self.shape.holds(&self.bytes) {
            return None;
        }
        let Mode { pixels, width, height, .. } = self.shape.mode;
        let step = if pixels == Pixels::Yuyv { 2 } else { 1 };
        let range = self.range();
        let lines = self.lines(width * step).take(height as usize);
        let values = lines.flat_map(|line| line.iter().step_by(step as usize));
        GrayImage::from_raw(width, height, values.map(|&y| range[usize::from(y)]).collect())
    }

    fn rgb(&self) -> Option<RgbImage> {
        if !self.shape.holds(&self.bytes) {
            return None;
        }
        let Mode { pixels, width, height, .. } = self.shape.mode;
        let mut rgb = Vec::with_capacity(3 * width as usize * height as usize);
        match pixels {
            Pixels::Rgb => {
                self.lines(3 * width).take(height as usize).for_each(|it| rgb.extend(it));
            }
            Pixels::Yuyv => {
                for line in self.lines(2 * width).take(height as usize) {
                    for pair in line.chunks_exact(2).zip(0..) {
                        // Y U Y V: both pixels have the colour of both.
                        let at = pair.1 / 2 * 4;
                        rgb.extend(self.colour(pair.0[0], line[at + 1], line[at + 3]));
                    }
                }
            }
            Pixels::Nv12 => {
                let lines: Vec<_> = self.lines(width).collect();
                let (luminance, colours) = lines.split_at_checked(height as usize)?;
                for (row, line) in luminance.iter().enumerate() {
                    let colour = colours.get(row / 2)?;
                    for (x, &y) in line.iter().enumerate() {
                        let at = x / 2 * 2;
                        rgb.extend(self.colour(y, colour[at], colour[at + 1]));
                    }
                }
            }
            Pixels::Mjpg | Pixels::Grey => return None,
        }
        RgbImage::from_raw(width, height, rgb)
    }

    /// What luminance becomes in a picture.
    fn range(&self) -> [u8; 256] {
        let limited = self.shape.mode.pixels != Pixels::Grey && !self.shape.full_range;
        std::array::from_fn(|y| match limited {
            true => ((y as f32 - 16.0) * 255.0 / 219.0).round().clamp(0.0, 255.0) as u8,
            false => y as u8,
        })
    }

    /// ITU-R BT.601, V4L2's default for what cameras give; in 1/65536.
    fn colour(&self, y: u8, u: u8, v: u8) -> [u8; 3] {
        let (from, gain, chroma) =
            if self.shape.full_range { (0, 65_536, 65_536) } else { (16, 76_309, 74_606) };
        let y = (i32::from(y) - from) * gain;
        let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
        // Chroma's gain is 255/224 where luminance's is 255/219.
        let scaled = |factor: i32| ((i64::from(factor) * i64::from(chroma)) >> 16) as i32;
        let red = y + scaled(91_881) * v;
        let green = y - scaled(22_554) * u - scaled(46_802) * v;
        let blue = y + scaled(116_130) * u;
        [red, green, blue].map(|it| ((it + 32_768) >> 16).clamp(0, 255) as u8)
    }
}

/// A JPEG, looked through as far as its coded data.
struct Jpeg<'a> {
    /// From the start to the end mark, without what a driver puts after it.
    bytes: &'a [u8],
    width: u32,
    height: u32,
    /// Where the coded data's header is.
    scan_at: usize,
    has_tables: bool,
}

impl<'a> Jpeg<'a> {
    /// `None`: it is not whole.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        if !bytes.starts_with(&[0xff, 0xd8]) {
            return None;
        }
        let (mut at, mut size, mut has_tables) = (2, None, false);
        loop {
            let &[0xff, marker, high, low] = bytes.get(at..at + 4)? else { return None };
            match marker {
                0xff => {
                    at += 1;
                    continue;
                }
                // A frame's header: its precision, then height and width.
                0xc0..=0xc2 => {
                    let header = bytes.get(at + 5..at + 9)?;
                    let number =
                        |at: usize| u32::from(u16::from_be_bytes([header[at], header[at + 1]]));
                    size = Some((number(2), number(0)));
                }
                0xc4 => has_tables = true,
                0xda => break,
                _ => {}
            }
            at += 2 + usize::from(u16::from_be_bytes([high, low]));
        }
        let (width, height) = size?;
        let end = at + bytes[at..].windows(2).position(|it| it == [0xff, 0xd9])? + 2;
        Some(Self { bytes: &bytes[..end], width, height, scan_at: at, has_tables })
    }

    /// A file that any decoder reads.
    fn complete(&self) -> Vec<u8> {
        if self.has_tables {
            return self.bytes.to_vec();
        }
        let (head, coded) = self.bytes.split_at(self.scan_at);
        [head, &standard_tables(), coded].concat()
    }
}

/// The Huffman tables of ITU-T T.81, annex K.3, as a DHT segment. Motion JPEG means these where a
/// frame has none.
fn standard_tables() -> Vec<u8> {
    // How many codes there are of 1 bit, of 2, … of 16; luminance, then chrominance.
    const DC: [[u8; 16]; 2] = [
        [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
        [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
    ];
    const AC: [[u8; 16]; 2] = [
        [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d],
        [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77],
    ];
    // What they mean, by their length.
    #[rustfmt::skip]
    const AC_VALUES: [[u8; 162]; 2] = [[
        0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71,
        0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72,
        0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37,
        0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59,
        0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83,
        0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3,
        0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
        0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
        0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
    ], [
        0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22,
        0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1,
        0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36,
        0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58,
        0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a,
        0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a,
        0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba,
        0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
        0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
    ]];
    // The marker, and a length of 420 bytes.
    let mut segment = vec![0xff, 0xc4, 0x01, 0xa2];
    for channel in 0..2u8 {
        let of = usize::from(channel);
        segment.push(channel);
        segment.extend(DC[of]);
        segment.extend(0..12);
        segment.push(0x10 | channel);
        segment.extend(AC[of]);
        segment.extend(AC_VALUES[of]);
    }
    segment
}

#[cfg(test)]
pub mod tests {
    use image::ImageFormat;

    use super::*;

    /// A page with some colour, so that channels that are swapped show.
    pub fn page(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| match (x / 8 + y / 8) % 4 {
            0 => image::Rgb([230, 225, 220]),
            1 => image::Rgb([200, 40, 30]),
            2 => image::Rgb([20, 30, 160]),
            _ => image::Rgb([10, 10, 10]),
        })
    }

    pub fn shape(pixels: Pixels, width: u32, height: u32, stride: u32) -> Shape {
        let mode = Mode { code: *b"none", pixels, width, height };
        Shape { mode, stride, full_range: false }
    }

    pub fn jpeg(picture: &RgbImage) -> Vec<u8> {
        let mut bytes = Vec::new();
        picture.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 95)).unwrap();
        bytes
    }

    /// BT.601 by its definition, in floating point.
    fn yuv(pixel: [u8; 3], full_range: bool) -> [f64; 3] {
        let [r, g, b] = pixel.map(f64::from);
        let y = 0.299 * r + 0.587 * g + 0.114 * b;
        let (u, v) = ((b - y) / 1.772, (r - y) / 1.402);
        match full_range {
            true => [y, u + 128.0, v + 128.0],
            false => {
                [16.0 + y * 219.0 / 255.0, 128.0 + u * 224.0 / 255.0, 128.0 + v * 224.0 / 255.0]
            }
        }
    }

    /// The frame that a camera gives for a picture whose colours keep to squares of 2 × 2.
    fn frame(picture: &RgbImage, pixels: Pixels, padding: u32, full_range: bool) -> Frame {
        let (width, height) = picture.dimensions();
        let of = |x, y| yuv(picture.get_pixel(x, y).0, full_range).map(|it| it.round() as u8);
        let mut bytes = Vec::new();
        let mut line = |values: Vec<u8>| {
            bytes.extend(&values);
            bytes.extend(vec![0xee; padding as usize]);
            values.len() as u32 + padding
        };
        let mut stride = 0;
        for y in 0..height {
            stride = line(match pixels {
                Pixels::Rgb => (0..width).flat_map(|x| picture.get_pixel(x, y).0).collect(),
                Pixels::Yuyv => {
                    (0..width).flat_map(|x| [of(x, y)[0], of(x, y)[1 + x as usize % 2]]).collect()
                }
                _ => (0..width).map(|x| of(x, y)[0]).collect(),
            });
        }
        if pixels == Pixels::Nv12 {
            for y in 0..height / 2 {
                line((0..width).map(|x| of(x, 2 * y)[1 + x as usize % 2]).collect());
            }
        }
        Frame { bytes, shape: Shape { full_range, ..shape(pixels, width, height, stride) } }
    }

    fn largest_difference(one: &[u8], other: &[u8]) -> u8 {
        assert_eq!(one.len(), other.len());
        one.iter().zip(other).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
    }

    #[test]
    fn uncompressed_frames_become_the_picture_that_they_were_made_of() {
        let picture = page(64, 48);
        for pixels in [Pixels::Rgb, Pixels::Yuyv, Pixels::Nv12] {
            for padding in [0, 10] {
                for full_range in [false, true] {
                    let frame = frame(&picture, pixels, padding, full_range);
                    let found = frame.rgb().unwrap();
                    // What rounding to whole steps of limited range costs.
                    let off = largest_difference(found.as_raw(), picture.as_raw());
                    assert!(off <= 3, "{pixels:?} {padding} {full_range}: {off}");
                    let look = frame.look().unwrap();
                    let exact = picture.pixels().map(|it| yuv(it.0, true)[0].round() as u8);
                    let exact: Vec<_> = exact.collect();
                    // The library's weights for RGB are those of BT.709.
                    let most = if pixels == Pixels::Rgb { 30 } else { 2 };
                    assert!(largest_difference(look.as_raw(), &exact) <= most, "{pixels:?}");
                }
            }
        }
    }

    #[test]
    fn every_format_becomes_a_file_that_reads_as_the_picture() {
        let picture = page(64, 48);
        for pixels in [Pixels::Rgb, Pixels::Yuyv, Pixels::Nv12, Pixels::Grey] {
            let file = frame(&picture, pixels, 6, false).file().unwrap();
            let read = image::load_from_memory(&file).unwrap();
            assert_eq!((read.width(), read.height()), (64, 48));
            assert_eq!(read.color().has_color(), pixels != Pixels::Grey);
        }
    }

    #[test]
    fn a_look_is_1280_pixels_long_at_most() {
        let size = |width, height| {
            let bytes = vec![200; width as usize * height as usize];
            let shape = shape(Pixels::Grey, width, height, width);
            Frame { bytes, shape }.look().unwrap().dimensions()
        };
        assert_eq!(size(2560, 1440), (1280, 720));
        assert_eq!(size(1440, 2560), (720, 1280));
        assert_eq!(size(640, 480), (640, 480));
        assert_eq!(size(20_000, 1), (1280, 1));
    }

    /// A JPEG whose DHT segments have been cut out, as UVC cameras send it.
    pub fn without_tables(jpeg: &[u8]) -> Vec<u8> {
        let (mut rest, mut at) = (jpeg[..2].to_vec(), 2);
        loop {
            let length = 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
            match jpeg[at + 1] {
                0xc4 => {}
                0xda => break,
                _ => rest.extend(&jpeg[at..at + length]),
            }
            at += length;
        }
        rest.extend(&jpeg[at..]);
        rest
    }

    #[test]
    fn a_jpeg_without_its_tables_is_completed_to_the_same_picture() {
        let whole = jpeg(&page(64, 48));
        let cut = without_tables(&whole);
        assert!(cut.len() + 400 < whole.len());
        assert!(image::load_from_memory_with_format(&cut, ImageFormat::Jpeg).is_err());
        let shape = shape(Pixels::Mjpg, 64, 48, 0);
        let file = Frame { bytes: cut, shape }.file().unwrap();
        let read = |file: &[u8]| image::load_from_memory(file).unwrap().into_rgb8();
        assert_eq!(read(&file), read(&whole));
    }

    #[test]
    fn a_whole_jpeg_goes_on_as_it_came_less_what_follows_its_end() {
        let whole = jpeg(&page(64, 48));
        let shape = shape(Pixels::Mjpg, 64, 48, 0);
        let padded = Frame { bytes: [&whole[..], &[0; 500]].concat(), shape };
        assert!(shape.holds(&padded.bytes));
        assert_eq!(padded.file().unwrap(), whole);
    }

    #[test]
    fn frames_that_are_cut_short_at_any_byte_are_no_pages() {
        let picture = page(16, 8);
        let whole = jpeg(&picture);
        let mjpg = Frame { bytes: whole, shape: shape(Pixels::Mjpg, 16, 8, 0) };
        let raw = [Pixels::Rgb, Pixels::Yuyv, Pixels::Nv12, Pixels::Grey];
        let raw = raw.map(|pixels| frame(&picture, pixels, 0, false));
        for frame in raw.into_iter().chain([mjpg]) {
            assert!(frame.shape.holds(&frame.bytes));
            for length in 0..frame.bytes.len() {
                let bytes = frame.bytes[..length].to_vec();
                let short = Frame { bytes, shape: frame.shape };
                assert!(!short.shape.holds(&short.bytes), "{:?} {length}", frame.shape);
                assert!(short.look().is_none() && short.file().is_none());
            }
        }
    }

    #[test]
    fn a_jpeg_of_another_size_than_the_modes_is_no_page() {
        let bytes = jpeg(&page(64, 48));
        for (width, height) in [(48, 64), (65, 48), (10_000, 10_000)] {
            let frame =
                Frame { bytes: bytes.clone(), shape: shape(Pixels::Mjpg, width, height, 0) };
            assert!(!frame.shape.holds(&frame.bytes) && frame.look().is_none());
        }
    }

    #[test]
    fn no_byte_that_is_changed_makes_a_panic() {
        let whole = without_tables(&jpeg(&page(32, 16)));
        for at in 0..whole.len() {
            for value in [0x00, 0x01, 0x7f, 0xd9, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                let frame = Frame { bytes, shape: shape(Pixels::Mjpg, 32, 16, 0) };
                let _ = (frame.look(), frame.file());
            }
        }
        for pixels in [Pixels::Rgb, Pixels::Yuyv, Pixels::Nv12, Pixels::Grey] {
            for (width, height, stride) in
                [(0, 0, 0), (3, 3, 0), (3, 5, 9), (2, 2, 4000), (4, 0, 8)]
            {
                let shape = shape(pixels, width, height, stride);
                for length in [0, 1, 9, 45, 100] {
                    let frame = Frame { bytes: vec![7; length], shape };
                    let _ = (frame.look(), frame.file());
                }
            }
        }
    }
}
