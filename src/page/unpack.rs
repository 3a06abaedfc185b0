//! How much the streams of a PDF unpack to, found out before `hayro` is let at them: it unpacks
//! without limits.
//!
//! Two looks are taken. The first is at the bare bytes, because already opening a file unpacks
//! its cross-references and object streams. The second is at every object of the opened file,
//! where chains of filters and the sizes of pictures can be seen.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::Read;

use flate2::read::DeflateDecoder;
use hayro::hayro_syntax::object::{Array, Dict, MaybeRef, Name, Object, ObjectIdentifier, Stream};
use hayro::hayro_syntax::{Filter, Pdf};

use super::inflate::laxly_inflated;
use super::{Limits, PageError};

/// What a stream that is no picture may unpack to, in bytes. A dense page's drawing operations
/// take 1 MiB, a large font 20 MiB.
const MAX_PLAIN: usize = 32 << 20;
/// What the first look may read and unpack in all, as a multiple of what one stream may unpack to:
/// several seconds' work.
const MAX_WORK: usize = 16;
/// Areas of all regions of a JBIG2 page, as a multiple of the largest picture. Scanners lay text
/// and pictures over each other, each as large as the page.
const MAX_REGIONS: u64 = 4;
/// Widths of characters that the fonts of a document give by ranges: 16 times all that a font can have.
const MAX_WIDTHS: u64 = 16 << 16;
/// Objects within each other that a font is looked for in; resources hold it five deep.
const MAX_DEPTH: usize = 16;
/// Tiles of a JPEG 2000 picture: their numbers have 16 bits (ISO/IEC 15444-1, A.4.2).
const MAX_TILES: u64 = 65_535;

/// The first look: inflates whatever follows the word `stream`, as PDF readers will, and counts.
pub(super) fn check_bytes(bytes: &[u8], limits: &Limits) -> Result<(), PageError> {
    let mut work = limits.max_unpacked_bytes.saturating_mul(MAX_WORK);
    let mut rest = bytes;
    while let Some(at) = find(rest, b"stream") {
        rest = &rest[at + b"stream".len()..];
        let data = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n"));
        let inflated = inflated(data.unwrap_or(rest), limits.max_unpacked_bytes)?;
        work = work.checked_sub(inflated.read + inflated.written).ok_or(PageError::TooComplex)?;
    }
    Ok(())
}

/// Bytes, unpacked, of the largest program of each kind in a file: pages run them again and again, and
/// which one runs, `hayro` does not say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Programs {
    /// Forms and patterns.
    pub form: u64,
    /// Glyphs of Type 3 fonts.
    pub glyph: u64,
    /// Functions and meshes that colours are calculated from.
    pub shading: u64,
}

impl Programs {
    fn add(&mut self, dict: &Dict<'_>, bytes: u64) {
        let subtype = dict.get::<Name<'_>>("Subtype");
        let is_form = subtype.as_deref() == Some(b"Form") || dict.contains_key("PatternType");
        let kind = if dict.contains_key("FunctionType") || dict.contains_key("ShadingType") {
            &mut self.shading
        } else if is_form {
            &mut self.form
        } else {
            return;
        };
        *kind = (*kind).max(bytes);
    }
}

/// The glyphs that are programs: a stream does not say that it is one, its font does.
#[derive(Default)]
struct Glyphs {
    programs: HashSet<ObjectIdentifier>,
    /// Lists of glyphs that several fonts may share.
    lists: HashSet<ObjectIdentifier>,
}

impl Glyphs {
    fn add(&mut self, font: &Dict<'_>) {
        const LIST: &str = "CharProcs";
        if font.get_ref(LIST).is_some_and(|list| !self.lists.insert(list.into())) {
            return;
        }
        if let Some(list) = font.get::<Dict<'_>>(LIST) {
            let programs = list.entries().filter_map(|(_, value)| match value {
                MaybeRef::Ref(program) => Some(ObjectIdentifier::from(program)),
                MaybeRef::NotRef(_) => None,
            });
            self.programs.extend(programs);
        }
    }
}

/// The second look, at every object of an opened file.
pub(super) fn check_objects(pdf: &Pdf, limits: &Limits) -> Result<Programs, PageError> {
    let (mut widths, mut programs) = (0, Programs::default());
    let (mut glyphs, mut streams) = (Glyphs::default(), Vec::new());
    for object in pdf.objects() {
        if let Object::Stream(stream) = &object {
            let bytes = check_stream(stream, limits)?;
            programs.add(stream.dict(), bytes);
            streams.push((stream.dict().obj_id(), bytes));
        }
        each_dict(&object, 0, &mut |dict| {
            widths += ranged_widths(dict);
            glyphs.add(dict);
        });
        if widths > MAX_WIDTHS {
            return Err(PageError::TooComplex);
        }
    }
    let is_glyph = |id: Option<ObjectIdentifier>| id.is_none_or(|id| glyphs.programs.contains(&id));
    let of_glyphs = streams.into_iter().filter(|(id, _)| is_glyph(*id));
    programs.glyph = of_glyphs.map(|(_, bytes)| bytes).max().unwrap_or(0);
    Ok(programs)
}

/// Goes over an object and those within it, as far as they are dictionaries: any may be a font.
fn each_dict(object: &Object<'_>, depth: usize, each: &mut impl FnMut(&Dict<'_>)) {
    if depth > MAX_DEPTH {
        return;
    }
    let mut within = |value: MaybeRef<Object<'_>>| {
        if let MaybeRef::NotRef(object) = value {
            each_dict(&object, depth + 1, each);
        }
    };
    let dict = match object {
        Object::Dict(dict) => dict,
        Object::Stream(stream) => stream.dict(),
        Object::Array(array) => return array.raw_iter().for_each(within),
        _ => return,
    };
    dict.entries().for_each(|(_, value)| within(value));
    each(dict);
}

/// Widths that a font gives by ranges of characters, each of which `hayro` writes out: a range takes
/// a few bytes, however long it is.
fn ranged_widths(font: &Dict<'_>) -> u64 {
    font.get("W").map_or(0, |list| ranges(list, false))
        + font.get("W2").map_or(0, |list| ranges(list, true))
}

/// Sum of the ranges in a list of widths (ISO 32000-1, 9.7.4.3), `W` across or `W2` down.
fn ranges(list: Array<'_>, down: bool) -> u64 {
    let mut list = list.flex_iter();
    let mut total = 0;
    loop {
        if list.next::<(u32, Array<'_>)>().is_some() {
            continue;
        }
        let range = if down {
            list.next::<(u32, u32, f32, f32, f32)>().map(|(first, last, ..)| (first, last))
        } else {
            list.next::<(u32, u32, f32)>().map(|(first, last, _)| (first, last))
        };
        let Some((first, last)) = range else { return total };
        total += u64::from(last.saturating_sub(first));
    }
}

/// What decoding a picture takes, in pixels or in bytes unpacked, whichever is more; its mask is
/// another picture. One within the page's content is no object of the file, and only looked at here.
pub(super) fn picture_cost(picture: &Stream<'_>, limits: &Limits) -> Result<u64, PageError> {
    let dict = picture.dict();
    let mask = dict.get::<Stream<'_>>("SMask").or_else(|| dict.get("Mask"));
    let mask = mask.map_or(Ok(0), |mask| check_stream(&mask, limits))?;
    Ok(mask + check_stream(picture, limits)?)
}

/// Checks what a stream and each of its filters ask for, and says what that is, in pixels or in bytes
/// unpacked, whichever is more.
fn check_stream(stream: &Stream<'_>, limits: &Limits) -> Result<u64, PageError> {
    let dict = stream.dict();
    let is_picture = dict.get::<Name<'_>>("Subtype").is_some_and(|name| &*name == b"Image");
    // Like `hayro`, whatever the stream says it is: pictures within a page's content have the short
    // names, and where there are both, they count.
    let side = |short: &str, long: &str| dict.get(short).or_else(|| dict.get(long)).unwrap_or(0);
    let (width, height) = (side("W", "Width"), side("H", "Height"));
    limits.check_pixels(width, height)?;
    let pixels = u64::from(width) * u64::from(height);
    let limit = limits.max_unpacked_bytes.min(if is_picture { usize::MAX } else { MAX_PLAIN });
    let parameters = parameters(dict);
    if parameters.iter().any(|p| predicted_row(p) > limit) {
        return Err(PageError::TooComplex);
    }
    let filters = stream.filters();
    let mut data = stream.raw_data();
    let mut cost = pixels.max(data.len() as u64);
    let mut unpacked = false;
    for (index, filter) in filters.iter().enumerate() {
        let is_coding = matches!(
            filter,
            Filter::DctDecode | Filter::CcittFaxDecode | Filter::JpxDecode | Filter::Jbig2Decode
        );
        // What a picture's coding yields is pixels: whoever unpacks them again hides something.
        if is_coding && index + 1 < filters.len() {
            return Err(PageError::TooComplex);
        }
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
            Filter::FlateDecode => inflated(&data, limit)?.written,
            Filter::LzwDecode => {
                let late = |p: &Dict<'_>| p.get::<u8>("EarlyChange") == Some(0);
                lzw_length(&data, !parameters.iter().any(late), limit)
            }
            Filter::RunLengthDecode => run_length(&data),
            // Its decoder keeps to the size in the dictionary.
            Filter::DctDecode => continue,
            Filter::CcittFaxDecode => {
                let columns = parameters.iter().filter_map(|p| p.get("Columns")).max();
                let columns: u32 = columns.unwrap_or(1728);
                limits.check_pixels(columns, height)?;
                cost = cost.max(u64::from(columns) * u64::from(height));
                continue;
            }
            Filter::JpxDecode | Filter::Jbig2Decode if unpacked => {
                return Err(PageError::TooComplex);
            }
            Filter::JpxDecode => {
                cost = cost.max(check_jpeg_2000(&data, limits)?);
                continue;
            }
            Filter::Jbig2Decode => {
                cost = cost.max(check_jbig2(&data, limits)?);
                continue;
            }
        };
        // Packed twice is how bombs are built; no program packs a report so.
        if unpacked || length > limit {
            return Err(PageError::TooComplex);
        }
        unpacked = true;
        cost = cost.max(length as u64);
    }
    Ok(cost)
}

/// Parameters of a stream's filters, whichever filter each belongs to.
fn parameters<'a>(dict: &Dict<'a>) -> Vec<Dict<'a>> {
    ["DP", "DecodeParms"]
        .into_iter()
        .flat_map(|key| match dict.get::<Object<'_>>(key) {
            Some(Object::Dict(one)) => vec![one],
            Some(Object::Array(several)) => dicts(&several),
            _ => Vec::new(),
        })
        .collect()
}

fn dicts<'a>(array: &Array<'a>) -> Vec<Dict<'a>> {
    array.iter::<Object<'_>>().filter_map(Object::into_dict).collect()
}

/// Bytes of a row that a predictor asks for, whether or not there are data for one.
fn predicted_row(parameters: &Dict<'_>) -> usize {
    let number = |key: &str| parameters.get::<u8>(key).map(usize::from);
    let columns = parameters.get::<usize>("Columns").unwrap_or(1);
    let bits = number("Colors").unwrap_or(1) * number("BitsPerComponent").unwrap_or(8);
    columns.saturating_mul(bits) / 8
}

fn find(bytes: &[u8], word: &[u8]) -> Option<usize> {
    bytes.windows(word.len()).position(|w| w == word)
}

/// Bytes that inflating takes and yields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Inflated {
    read: usize,
    written: usize,
}

/// What data inflate to, with zlib's header or, as readers try next, without, whichever is more;
/// too complex where that is more than the limit.
fn inflated(data: &[u8], limit: usize) -> Result<Inflated, PageError> {
    let has_header = matches!(data, [first, second, ..]
        if first & 0x0f == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0);
    let bare = deflated(data, limit);
    let headed = if has_header { deflated(&data[2..], limit) } else { Inflated::default() };
    let written = bare.written.max(headed.written);
    if written > limit {
        return Err(PageError::TooComplex);
    }
    Ok(Inflated { read: bare.read + headed.read, written })
}

/// What can be read until data end or the limit is passed, past damage, too.
fn deflated(data: &[u8], limit: usize) -> Inflated {
    let mut reader = DeflateDecoder::new(data);
    let mut buffer = [0; 1 << 15];
    let mut written = 0;
    while written <= limit {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => written += count,
            Err(_) => {
                let (read, more) = laxly_inflated(data, limit);
                return Inflated { read, written: written.max(more) };
            }
        }
    }
    Inflated { read: reader.total_in() as usize, written }
}

/// Bytes that LZW codes stand for, or a few more than the limit: each code's length is one more
/// than that of the code before it. Codes grow by a bit one code early or not.
fn lzw_length(data: &[u8], early: bool, limit: usize) -> usize {
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
        width = match lengths.len() + usize::from(early) {
            0..512 => 9,
            512..1024 => 10,
            1024..2048 => 11,
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

/// Checks every SIZ segment of a JPEG 2000 picture (ISO/IEC 15444-1, A.5.1): where its code stream
/// begins, a box before it might lie about. Answers with the pixels of the largest.
fn check_jpeg_2000(data: &[u8], limits: &Limits) -> Result<u64, PageError> {
    const START: [u8; 4] = [0xff, 0x4f, 0xff, 0x51];
    let mut rest = data;
    let mut largest = None;
    while let Some(at) = find(rest, &START) {
        rest = &rest[at..];
        largest = largest.max(Some(check_siz(rest, limits).ok_or(PageError::Damaged)??));
        rest = &rest[START.len()..];
    }
    largest.ok_or(PageError::Damaged)
}

/// None where the segment is cut off.
fn check_siz(data: &[u8], limits: &Limits) -> Option<Result<u64, PageError>> {
    let (width, height) = (number(data, 8)?, number(data, 12)?);
    let (tile_width, tile_height) = (number(data, 24)?.max(1), number(data, 28)?.max(1));
    let components = u64::from(number(data, 38)? & 0xffff);
    let tiles = u64::from(width.div_ceil(tile_width)) * u64::from(height.div_ceil(tile_height));
    let samples = u64::from(width) * u64::from(height) * components;
    Some(limits.check_pixels(width, height).and_then(|()| {
        // Four components: CMYK, or RGB with transparency.
        if samples > limits.max_pixels.saturating_mul(4) {
            return Err(PageError::TooManyPixels { width, height });
        }
        if tiles > MAX_TILES { Err(PageError::TooComplex) } else { Ok(samples) }
    }))
}

/// Checks the page and all regions of a JBIG2 stream: each region is a picture of its own, however
/// small the page is. Answers with the pixels of all of them.
fn check_jbig2(data: &[u8], limits: &Limits) -> Result<u64, PageError> {
    let mut rest = data;
    let most = limits.max_pixels.saturating_mul(MAX_REGIONS);
    let mut pixels = 0;
    let mut has_page = false;
    while let Some((kind, body, next)) = jbig2_segment(rest) {
        let at = |offset| number(body, offset).unwrap_or(0);
        let sizes = match kind & 0x3f {
            // An unknown height grows with the data; the dictionary's has been checked.
            48 if at(4) == u32::MAX => [(at(0), 1), (0, 0)],
            48 => [(at(0), at(4)), (0, 0)],
            // A halftone region has a grid of its own after its first 18 bytes.
            20 | 22 | 23 => [(at(0), at(4)), (at(18), at(22))],
            4 | 6 | 7 | 36 | 38 | 39 | 40 | 42 | 43 => [(at(0), at(4)), (0, 0)],
            _ => [(0, 0); 2],
        };
        for (width, height) in sizes {
            limits.check_pixels(width, height)?;
            pixels += u64::from(width) * u64::from(height);
        }
        if pixels > most {
            return Err(PageError::TooComplex);
        }
        has_page |= kind & 0x3f == 48;
        rest = next;
    }
    if has_page { Ok(pixels) } else { Err(PageError::Damaged) }
}

/// Flags of the first segment (its type and two more bits), its data, and what follows it (ITU-T
/// T.88, 7.2). Data whose length is unknown or too long run to the end.
fn jbig2_segment(data: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let segment = number(data, 0)?;
    let flags = *data.get(4)?;
    let few = usize::from(data.get(5)? >> 5);
    let (referred, counts) = match few {
        7 => {
            let many = (number(data, 5)? & 0x1fff_ffff) as usize;
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
    let length_at = 5 + counts + referred.checked_mul(each)? + page;
    let length = number(data, length_at)? as usize;
    let body = data.get(length_at + 4..)?;
    let (body, rest) = body.split_at(length.min(body.len()));
    Some((flags, body, rest))
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
        assert_eq!(lzw_length(&codes, true, 1000), 10);
        // Each code is one longer than the code before it: 1 + 2 + … + 100.
        let growing: Vec<u16> = [256, 0].into_iter().chain(258..357).collect();
        assert_eq!(lzw_length(&nine_bit_codes(&growing), true, 1_000_000), 5050);
        assert!(lzw_length(&nine_bit_codes(&growing), true, 100) > 100);
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

    /// A JBIG2 segment of this type on page 1, which begins with a width and a height.
    fn segment(kind: u8, width: u32, height: u32) -> Vec<u8> {
        let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
        [&[0, 0, 0, 0, kind, 0, 1, 0, 0, 0, 26], &size[..], &[0; 18]].concat()
    }

    #[test]
    fn the_sizes_of_a_jbig2_page_and_of_its_regions_are_read() {
        let limits = Limits::default();
        let too_large = Err(PageError::TooManyPixels { width: 40_000, height: 40_000 });
        let page = segment(48, 100, 100);
        assert_eq!(check_jbig2(&page, &limits), Ok(10_000));
        assert_eq!(check_jbig2(&segment(48, 40_000, 40_000), &limits), too_large);
        let region = segment(38, 40_000, 40_000);
        assert_eq!(check_jbig2(&[&page[..], &region].concat(), &limits), too_large);
        assert_eq!(check_jbig2(&segment(38, 10, 10), &limits), Err(PageError::Damaged));
        let regions = [page, segment(36, 7_000, 7_000).repeat(5)].concat();
        assert_eq!(check_jbig2(&regions, &limits), Err(PageError::TooComplex));
    }

    #[test]
    fn bare_and_wrapped_deflate_streams_are_counted() {
        let mut packed = Vec::new();
        let mut encoder = ZlibEncoder::new(&[0; 1000][..], Compression::best());
        encoder.read_to_end(&mut packed).expect("a slice can be read");
        let written = |data: &[u8], limit| inflated(data, limit).map(|inflated| inflated.written);
        assert_eq!(written(&packed, 5000), Ok(1000));
        assert_eq!(written(&packed[2..], 5000), Ok(1000));
        assert_eq!(written(&packed, 500), Err(PageError::TooComplex));
    }

    #[test]
    fn what_follows_damage_is_counted_too() {
        let mut packed = Vec::new();
        let mut encoder = ZlibEncoder::new(&[0; 1000][..], Compression::best());
        encoder.read_to_end(&mut packed).expect("a slice can be read");
        // A stored block of one byte whose length's check is wrong, before the block of the zeros.
        let damaged = [&packed[..2], &[0, 1, 0, 0, 0, 7], &packed[2..]].concat();
        assert_eq!(inflated(&damaged, 5000).map(|inflated| inflated.written), Ok(1001));
    }
}
