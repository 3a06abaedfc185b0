//! How much the streams of a PDF unpack to, found out before `hayro` is let at them: it unpacks
//! without limits.
//!
//! Two looks are taken. The first is at the bare bytes, because already opening a file unpacks
//! its cross-references and object streams. The second is at every object of the opened file,
//! where chains of filters and the sizes of pictures can be seen.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::{DeflateDecoder, ZlibDecoder};
use hayro::hayro_syntax::object::{Dict, Name, Object, Stream};
use hayro::hayro_syntax::{Filter, Pdf};

use super::{Limits, PageError};

/// What a stream that is no picture may unpack to, in bytes. A dense page's drawing operations
/// take 1 MiB, a large font 20 MiB.
const MAX_PLAIN: usize = 32 << 20;
/// What the first look may unpack in all, as a multiple of what one stream may: several seconds'
/// work.
const MAX_WORK: usize = 16;

/// The first look: inflates whatever follows the word `stream`, as PDF readers will, and counts.
pub(super) fn check_bytes(bytes: &[u8], limits: &Limits) -> Result<(), PageError> {
    let mut work = limits.max_unpacked_bytes.saturating_mul(MAX_WORK);
    let mut rest = bytes;
    while let Some(at) = find(rest, b"stream") {
        rest = &rest[at + b"stream".len()..];
        let data = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n"));
        let length = inflated(data.unwrap_or(rest), limits.max_unpacked_bytes)?;
        work = work.checked_sub(length).ok_or(PageError::TooComplex)?;
    }
    Ok(())
}

/// The second look, at every stream of an opened file.
pub(super) fn check_objects(pdf: &Pdf, limits: &Limits) -> Result<(), PageError> {
    for object in pdf.objects() {
        if let Object::Stream(stream) = object {
            check_stream(&stream, limits)?;
        }
    }
    Ok(())
}

fn check_stream(stream: &Stream<'_>, limits: &Limits) -> Result<(), PageError> {
    let dict = stream.dict();
    let is_picture = dict.get::<Name<'_>>("Subtype").is_some_and(|name| &*name == b"Image");
    let number = |key: &str| dict.get::<u32>(key).unwrap_or(0);
    if is_picture {
        limits.check_pixels(number("Width"), number("Height"))?;
    }
    let limit = limits.max_unpacked_bytes.min(if is_picture { usize::MAX } else { MAX_PLAIN });
    let mut data = stream.raw_data();
    let mut unpacked = false;
    for filter in stream.filters() {
        let length = match filter {
            Filter::Crypt => continue,
            Filter::AsciiHexDecode => {
                data = Cow::Owned(from_hex(&data));
                continue;
            }
            Filter::Ascii85Decode => {
                data = Cow::Owned(from_base_85(&data));
                continue;
            }
            Filter::FlateDecode => inflated(&data, limit)?,
            Filter::LzwDecode => lzw_length(&data, limit),
            Filter::RunLengthDecode => run_length(&data),
            // Its decoder keeps to the size in the dictionary.
            Filter::DctDecode => return Ok(()),
            Filter::CcittFaxDecode => {
                let columns = dict.get::<Dict<'_>>("DecodeParms").and_then(|p| p.get("Columns"));
                return limits.check_pixels(columns.unwrap_or(1728), number("Height"));
            }
            Filter::JpxDecode | Filter::Jbig2Decode if unpacked => {
                return Err(PageError::TooComplex);
            }
            Filter::JpxDecode => return check_coded(jpeg_2000_size(&data), limits),
            Filter::Jbig2Decode => return check_coded(jbig2_size(&data), limits),
        };
        // Packed twice is how bombs are built; no program packs a report so.
        if unpacked || length > limit {
            return Err(PageError::TooComplex);
        }
        unpacked = true;
    }
    Ok(())
}

fn check_coded(size: Option<(u32, u32)>, limits: &Limits) -> Result<(), PageError> {
    let (width, height) = size.ok_or(PageError::Damaged)?;
    limits.check_pixels(width, height)
}

fn find(bytes: &[u8], word: &[u8]) -> Option<usize> {
    bytes.windows(word.len()).position(|w| w == word)
}

/// Bytes that data inflate to, with zlib's header or, as readers try next, without; too complex
/// where that is more than the limit. Damaged data count up to the damage.
fn inflated(data: &[u8], limit: usize) -> Result<usize, PageError> {
    let has_header = matches!(data, [first, second, ..]
        if first & 0x0f == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0);
    let length = if has_header {
        counted(ZlibDecoder::new(data), limit)
    } else {
        counted(DeflateDecoder::new(data), limit)
    };
    if length > limit { Err(PageError::TooComplex) } else { Ok(length) }
}

/// Bytes that can be read before an error, or a few more than the limit.
fn counted(mut reader: impl Read, limit: usize) -> usize {
    let mut buffer = [0; 1 << 15];
    let mut total = 0;
    while total <= limit {
        match reader.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => total += count,
        }
    }
    total
}

/// Bytes that LZW codes stand for, or a few more than the limit: each code's length is one more
/// than that of the code before it.
fn lzw_length(data: &[u8], limit: usize) -> usize {
    const CLEAR: usize = 256;
    const END: usize = 257;
    let mut lengths: Vec<usize> = vec![1; 258];
    let (mut previous, mut total) = (None, 0usize);
    let (mut bits, mut held, mut width) = (0u32, 0, 9);
    for byte in data {
        bits = bits << 8 | u32::from(*byte);
        held += 8;
        if held < width {
            continue;
        }
        held -= width;
        let code = (bits >> held) as usize & ((1 << width) - 1);
        match code {
            END => break,
            CLEAR => {
                lengths.truncate(258);
                previous = None;
                width = 9;
                continue;
            }
            _ => {}
        }
        let grown = previous.map_or(1, |length: usize| length + 1);
        let length = lengths.get(code).copied().unwrap_or(grown);
        if previous.is_some() && lengths.len() < 4096 {
            lengths.push(grown);
        }
        previous = Some(length);
        total = total.saturating_add(length);
        if total > limit {
            break;
        }
        width = match lengths.len() {
            0..511 => 9,
            511..1023 => 10,
            1023..2047 => 11,
            _ => 12,
        };
    }
    total
}

fn run_length(data: &[u8]) -> usize {
    let (mut at, mut total) = (0, 0);
    while let Some(&run) = data.get(at) {
        let run = usize::from(run);
        match run {
            128 => break,
            129.. => (at, total) = (at + 2, total + 257 - run),
            _ => (at, total) = (at + run + 2, total + run + 1),
        }
    }
    total
}

fn from_hex(data: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> =
        data.iter().filter_map(|c| char::from(*c).to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair.get(1).unwrap_or(&0)).collect()
}

fn from_base_85(data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(data.len() / 5 * 4);
    let mut group = Vec::with_capacity(5);
    for &c in data.iter().take_while(|c| **c != b'~') {
        match c {
            b'z' if group.is_empty() => bytes.extend([0; 4]),
            b'!'..=b'u' => group.push(c - b'!'),
            _ => {}
        }
        if group.len() == 5 {
            bytes.extend(base_85_group(&group));
            group.clear();
        }
    }
    if group.len() > 1 {
        let kept = group.len() - 1;
        group.resize(5, 84);
        bytes.extend(base_85_group(&group).into_iter().take(kept));
    }
    bytes
}

fn base_85_group(group: &[u8]) -> [u8; 4] {
    let value = group.iter().fold(0u32, |v, d| v.wrapping_mul(85).wrapping_add(u32::from(*d)));
    value.to_be_bytes()
}

/// Width and height in a JPEG 2000 code stream's SIZ segment (ISO/IEC 15444-1, A.5.1).
fn jpeg_2000_size(data: &[u8]) -> Option<(u32, u32)> {
    let at = find(data, &[0xff, 0x4f, 0xff, 0x51])?;
    let number = |offset: usize| number(data, at + offset);
    Some((number(8)?, number(12)?))
}

/// Width and height in a JBIG2 stream's page information, its segment of type 48 (ITU-T T.88,
/// 7.2 and 7.4.8).
fn jbig2_size(data: &[u8]) -> Option<(u32, u32)> {
    let mut at = 0;
    loop {
        let segment = number(data, at)?;
        let flags = *data.get(at + 4)?;
        let few = usize::from(data.get(at + 5)? >> 5);
        let (referred, counts) = match few {
            7 => {
                let many = (number(data, at + 5)? & 0x1fff_ffff) as usize;
                (many, 4 + (many + 8) / 8)
            }
            _ => (few, 1),
        };
        let each = match segment {
            0..=256 => 1,
            257..=65_536 => 2,
            _ => 4,
        };
        let page = if flags & 0x40 == 0 { 1 } else { 4 };
        let length_at = at + 5 + counts + referred.checked_mul(each)? + page;
        let length = number(data, length_at)?;
        at = length_at + 4;
        if flags & 0x3f == 48 {
            let (width, height) = (number(data, at)?, number(data, at + 4)?);
            // An unknown height grows with the data; the dictionary's has been checked.
            return Some((width, if height == u32::MAX { 1 } else { height }));
        }
        at = at.checked_add(length as usize)?;
    }
}

fn number(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::read::ZlibEncoder;

    use super::*;

    /// Packs 9-bit codes, as LZW begins with.
    fn nine_bit_codes(codes: &[u16]) -> Vec<u8> {
        let bits: Vec<u8> =
            codes.iter().flat_map(|c| (0..9).rev().map(move |i| (c >> i & 1) as u8)).collect();
        bits.chunks(8)
            .map(|byte| byte.iter().fold(0, |v, b| v << 1 | b) << (8 - byte.len()))
            .collect()
    }

    #[test]
    fn lzw_codes_are_counted_by_what_they_stand_for() {
        // ISO 32000-1, 7.4.4.2: "-----A---B".
        let codes = nine_bit_codes(&[256, 45, 258, 258, 65, 259, 66, 257]);
        assert_eq!(lzw_length(&codes, 1000), 10);
        // Each code is one longer than the code before it: 1 + 2 + … + 100.
        let growing: Vec<u16> = [256, 0].into_iter().chain(258..357).collect();
        assert_eq!(lzw_length(&nine_bit_codes(&growing), 1_000_000), 5050);
        assert!(lzw_length(&nine_bit_codes(&growing), 100) > 100);
    }

    #[test]
    fn runs_are_counted() {
        // Three bytes as they are, then one a hundred times.
        assert_eq!(run_length(&[2, 7, 8, 9, 157, 0, 128, 5, 5]), 103);
    }

    #[test]
    fn text_encodings_are_undone() {
        assert_eq!(from_hex(b"48 65 6C6c 6F>"), b"Hello");
        assert_eq!(from_base_85(b"87cURD]j7BEbo80~>"), b"Hello world!");
        assert_eq!(from_base_85(b"z!!~>"), [0, 0, 0, 0, 0]);
    }

    #[test]
    fn the_size_of_a_jbig2_page_is_read() {
        // Segment 0 of type 48 on page 1: 19 bytes, of which width and height come first.
        let mut data = vec![0, 0, 0, 0, 48, 0, 1, 0, 0, 0, 19];
        data.extend_from_slice(&[0, 0, 0x9c, 0x40, 0, 0, 0x9c, 0x40]);
        assert_eq!(jbig2_size(&data), Some((40_000, 40_000)));
        assert_eq!(jbig2_size(&data[..14]), None);
    }

    #[test]
    fn bare_and_wrapped_deflate_streams_are_counted() {
        let mut packed = Vec::new();
        let mut encoder = ZlibEncoder::new(&[0; 1000][..], Compression::best());
        encoder.read_to_end(&mut packed).expect("a slice can be read");
        assert_eq!(inflated(&packed, 5000), Ok(1000));
        assert_eq!(inflated(&packed[2..], 5000), Ok(1000));
        assert_eq!(inflated(&packed, 500), Err(PageError::TooComplex));
    }
}
