//! Small documents for the fuzzer to begin with: one for each kind of picture and each feature of a
//! PDF, so that it need not find them. What no encoder here can write lies in `seeds/` as files.

#[path = "../../tests/fixtures/mod.rs"]
mod fixtures;

use image::{DynamicImage, GrayImage, ImageFormat, Luma};

use fixtures::{PdfBuilder, deflated, encoded};

/// A file's name and its bytes.
pub type Seed = (String, Vec<u8>);

/// A page of lines, 40 × 56 pixels: little to decode, and more than one block of every coding.
fn lines() -> DynamicImage {
    let shade = |x, y| Luma([if y % 8 < 3 && (4..36).contains(&x) { 30 } else { 240 - x as u8 }]);
    DynamicImage::ImageLuma8(GrayImage::from_fn(40, 56, shade))
}

/// A sheet with lines that lies askew on a dark table, large enough to be found and straightened.
fn photograph() -> DynamicImage {
    let grey = GrayImage::from_fn(150, 200, |x, y| {
        let (x, y) = (x as i32 - y as i32 / 20, y as i32 + x as i32 / 20);
        let on_paper = (18..132).contains(&x) && (20..182).contains(&y);
        let inked = (28..120).contains(&x) && (30..170).contains(&y) && y % 9 < 4 && x % 5 < 3;
        Luma([if inked { 40 } else { if on_paper { 225 } else { 50 } }])
    });
    DynamicImage::ImageLuma8(grey)
}

/// What parts the fields of [`requests`].
pub const BOUNDARY: &str = "b";

/// Forms of the contract; the first byte says in pieces of how many bytes they arrive.
pub fn requests() -> Vec<Seed> {
    let field = |head: &str, body: &str| {
        format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n{body}\r\n")
    };
    let end = format!("--{BOUNDARY}--\r\n");
    let file = field("name=\"img\"; filename=\"a.pdf\"\r\nContent-Type: application/pdf", "%PDF-");
    let thumb = field("name=\"get_thumb\"", "true");
    let base64 = field("name=\"format_type\"", "base64") + &field("name=\"img\"", "QUJD");
    let other = field("name=\"other\"", "x");
    [file.clone(), file.clone() + &thumb, base64 + &other, file.clone() + &file]
        .into_iter()
        .zip([1, 7, 64, 255])
        .map(|(form, piece)| {
            (format!("form-{piece}"), [vec![piece], form.into_bytes(), end.clone().into()].concat())
        })
        .collect()
}

/// A request, and an answer as the cloud service gives it.
pub fn json() -> Vec<Seed> {
    let request = r#"{"img": "data:application/pdf;base64,QUJD", "format_type": "base64", "get_thumb": true}"#;
    let cell = r#"{"value": "1,234", "box": [1, 2, 3, 4], "score": 0.5, "id": 0}"#;
    let debts =
        r#"{"value": [{"debt_name": "a", "debt": "5"}], "box": [[1, 2, 3, 4]], "score": [0.5]}"#;
    let answer = format!(
        r#"{{"data": {{"info": [{{"cic_code": "0123456789", "cic_code_box": [[1, 2], [3, 4]],
        "cic_code_confidence": 0.99, "cic_code_id": 0, "imgs": ["QUJD"],
        "loan_details": [[{cell}, {cell}, {cell}, {debts}, {cell}]], "bad_debt": [[{cell}]]}}],
        "type": "credit_report"}}, "errorCode": "0", "errorMessage": "Success",
        "meta": {{"scan_id": "a", "confidence": 0.5, "checks": [], "elapsed_ms": {{"decode": 1}}}}}}"#
    );
    vec![("request".into(), request.into()), ("answer".into(), answer.into_bytes())]
}

/// The example of a configuration.
pub fn configurations() -> Vec<Seed> {
    vec![("example".into(), cic_kiosk::config::example().into_bytes())]
}

/// Settings from afar, taken and refused.
pub fn desired() -> Vec<Seed> {
    let settings = [
        r#"{"decision":{"value_below":0.95,"values":{"cic_code":1}},"capture":{"asks":4}}"#,
        r#"{"url":{"allow":["a.bank","10.0.0.0/8"]},"http":{"queue":null}}"#,
        r#"[]"#,
    ];
    let message = |(number, settings): (u64, &str)| {
        let message = format!(r#"{{"version":{number},"settings":{settings}}}"#);
        (format!("settings-{number}"), message.into_bytes())
    };
    (1..).zip(settings).map(message).collect()
}

/// Nothing to begin with: what any bytes will do for.
pub fn none() -> Vec<Seed> {
    Vec::new()
}

/// Pictures of every format and kind of pixel.
pub fn pictures() -> Vec<Seed> {
    use ImageFormat::{Bmp, Jpeg, Png, Tiff, WebP};
    let (l, rgb) = (lines(), DynamicImage::from(lines().to_rgb8()));
    let rgba = DynamicImage::from(lines().to_rgba8());
    let deep: Vec<DynamicImage> = vec![
        lines().to_luma16().into(),
        lines().to_luma_alpha8().into(),
        lines().to_luma_alpha16().into(),
        lines().to_rgb16().into(),
        lines().to_rgba16().into(),
    ];
    let mut seeds = Vec::new();
    for (format, kinds) in [
        (Jpeg, vec![&l, &rgb]),
        (Png, [&l, &rgb, &rgba].into_iter().chain(&deep).collect()),
        (Tiff, vec![&l, &rgb, &rgba, &deep[0], &deep[3]]),
        (WebP, vec![&rgb, &rgba]),
        (Bmp, vec![&l, &rgb, &rgba]),
    ] {
        for picture in kinds {
            let name = format!("{format:?}-{:?}", picture.color());
            seeds.push((name, encoded(picture, format)));
        }
    }
    for orientation in 1..=8 {
        seeds.push((format!("orientation-{orientation}"), oriented(orientation)));
    }
    for big_endian in [false, true] {
        let name = format!("pages-{}", if big_endian { "MM" } else { "II" });
        seeds.push((name, tiff(&[10, 90, 200], big_endian)));
    }
    seeds.push(("photograph".into(), encoded(&photograph(), Png)));
    seeds
}

/// A JPEG with an orientation in its EXIF data.
fn oriented(orientation: u8) -> Vec<u8> {
    let jpeg = encoded(&lines(), ImageFormat::Jpeg);
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0_\0\0\0\0\0\0\0".to_vec();
    let value = exif.len() - 8;
    exif[value] = orientation;
    let head = [0xff, 0xe1, 0, exif.len() as u8 + 2];
    [&jpeg[..2], &head, &exif, &jpeg[2..]].concat()
}

/// An uncompressed TIFF: pages of 8 × 8 pixels in these shades of grey.
fn tiff(shades: &[u8], big_endian: bool) -> Vec<u8> {
    const ENTRIES: u16 = 8;
    const PIXELS: u32 = 64;
    let short = |n: u16| if big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
    let long = |n: u32| if big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
    let mut file = if big_endian { b"MM".to_vec() } else { b"II".to_vec() };
    file.extend(short(42));
    file.extend(long(8));
    for (index, &shade) in shades.iter().enumerate() {
        let pixels = file.len() as u32 + 2 + 12 * u32::from(ENTRIES) + 4;
        file.extend(short(ENTRIES));
        // Width, height, bits, no compression, black is zero, strip's offset, its rows, its bytes.
        for (tag, value) in [
            (256, 8),
            (257, 8),
            (258, 8),
            (259, 1),
            (262, 1),
            (273, pixels),
            (278, 8),
            (279, PIXELS),
        ] {
            file.extend(short(tag));
            file.extend(short(4));
            file.extend(long(1));
            file.extend(long(value));
        }
        let last = index + 1 == shades.len();
        file.extend(long(if last { 0 } else { pixels + PIXELS }));
        file.extend(std::iter::repeat_n(shade, PIXELS as usize));
    }
    file
}

/// PDFs with text, pictures in every coding, fonts, forms, patterns and the newer file structure.
pub fn pdfs() -> Vec<Seed> {
    let mut seeds: Vec<Seed> = Vec::new();
    let mut add = |name: &str, pdf: Vec<u8>| seeds.push((name.into(), pdf));
    add("text", drawn(TEXT, "", |_| String::new()));
    add("streams", with_object_streams());
    for (name, entries, data) in coded_pictures() {
        add(&format!("picture-{name}"), pictured(&entries, &data));
    }
    let inline = "90 0 0 120 9 9 cm BI /W 8 /H 4 /BPC 1 /IM true ID \x01\x02\x03\x04 EI";
    add("inline", drawn(inline, "", |_| String::new()));
    add("mask", masked());
    add("forms", forms());
    for (name, entries) in SHADINGS {
        let resources = format!("/Shading << /S << {entries} >> >>");
        add(&format!("shading-{name}"), drawn("/S sh", &resources, |_| String::new()));
    }
    add("mesh", mesh());
    for (name, space) in COLOUR_SPACES {
        let resources = format!("/ColorSpace << /C {space} >>");
        let content = "/C cs 0.4 0.5 0.6 0.2 scn 9 9 80 90 re f";
        add(&format!("colour-{name}"), drawn(content, &resources, |_| String::new()));
    }
    add("tiles", tiles());
    for font in [Font::TrueType, Font::Cff, Font::Cid, Font::Type3] {
        add(&format!("font-{font:?}"), font.pdf());
    }
    add("annotation", annotated());
    seeds
}

/// A text layer as on a report: words, moves, rules, a checkbox, a clip, text that is not seen.
const TEXT: &str = "q 0 0 140 190 re W n BT /F1 9 Tf 12 TL 10 170 Td (So: 2026/S11A) Tj T* \
    [(Dia) -300 (chi)] TJ 1 0 0.2 1 10 120 Tm 3 Tr <4E6F> ' 0 Tr 2 Ts 90 Tz (cao) Tj ET Q \
    0.5 w 10 110 m 130 110 l S 10 90 120 0.7 re f 20 60 8 8 re S [3 1] 0 d 1 J 1 j \
    9 9 m 20 30 40 9 60 20 c h B* 1 0 0 rg 0.2 0.3 0 0 K 70 20 9 9 re b";

/// A small page that draws this. Resources and further entries of the page may name objects that
/// `add` adds first.
fn drawn(content: &str, resources: &str, add: impl FnOnce(&mut PdfBuilder) -> String) -> Vec<u8> {
    let mut pdf = PdfBuilder::new();
    let added = add(&mut pdf);
    let content = pdf.stream("", content.as_bytes());
    pdf.page(&format!(
        "/MediaBox [0 0 150 200] /Contents {content} 0 R /Resources << {resources} {added} /Font << \
         /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >> >> >>"
    ));
    pdf.finish("")
}

/// A page that is one picture.
fn pictured(entries: &str, data: &[u8]) -> Vec<u8> {
    drawn("150 0 0 200 0 0 cm /Im Do", "", |pdf| {
        let image = pdf.stream(&format!("/Type /XObject /Subtype /Image {entries}"), data);
        format!("/XObject << /Im {image} 0 R >>")
    })
}

/// Entries and data of a picture in each coding.
fn coded_pictures() -> Vec<(&'static str, String, Vec<u8>)> {
    let size = "/Width 40 /Height 56 /BitsPerComponent 8 /ColorSpace";
    let grey = lines().to_luma8().into_raw();
    let rgb = lines().to_rgb8().into_raw();
    let hex: String = grey.iter().map(|b| format!("{b:02x}")).collect();
    // Each row begins with the number of its predictor.
    let rows = grey.chunks(40).enumerate().flat_map(|(y, row)| [&[y as u8 % 5], row].concat());
    let predicted = deflated(&rows.collect::<Vec<_>>());
    // 127 or fewer bytes as they are, each after their number less one.
    let runs = grey.chunks(100).flat_map(|run| [&[run.len() as u8 - 1], run].concat());
    let runs = runs.chain([128]);
    let fax = "/Width 48 /Height 64 /BitsPerComponent 1 /ColorSpace /DeviceGray /Filter";
    let jpeg = encoded(&lines(), ImageFormat::Jpeg);
    vec![
        ("plain", format!("{size} /DeviceGray"), grey.clone()),
        ("flate", format!("{size} /DeviceRGB /Filter /FlateDecode"), deflated(&rgb)),
        (
            "predictor",
            format!(
                "{size} /DeviceGray /Filter /FlateDecode /DecodeParms << /Predictor 15 /Columns 40 >>"
            ),
            predicted,
        ),
        (
            "lzw",
            format!("{size} /DeviceGray /Filter /LZWDecode"),
            b"\x80\x0b\x60\x50\x22\x0c\x0c\x85\x01".to_vec(),
        ),
        ("runs", format!("{size} /DeviceGray /Filter /RunLengthDecode"), runs.collect()),
        ("hex", format!("{size} /DeviceGray /Filter /ASCIIHexDecode"), (hex + ">").into_bytes()),
        (
            "base-85",
            "/Width 4 /Height 3 /BitsPerComponent 8 /ColorSpace /DeviceGray /Filter /ASCII85Decode"
                .into(),
            b"87cURD]j7BEbo80~>".to_vec(),
        ),
        ("indexed", format!("{size} [/Indexed /DeviceRGB 1 <ffffff202030>]"), grey),
        ("jpeg", format!("{size} /DeviceGray /Filter /DCTDecode"), jpeg.clone()),
        ("jpeg-inverted", format!("{size} /DeviceGray /Decode [1 0] /Filter /DCTDecode"), jpeg),
        (
            "fax",
            format!("{fax} /CCITTFaxDecode /DecodeParms << /K -1 /Columns 48 /Rows 64 >>"),
            include_bytes!("../seeds/parts/page.g4").to_vec(),
        ),
        (
            "jpeg-2000",
            "/Width 48 /Height 64 /Filter /JPXDecode".into(),
            include_bytes!("../seeds/parts/grey.jp2").to_vec(),
        ),
        ("jbig2", format!("{fax} /JBIG2Decode"), jbig2()),
    ]
}

/// A page of 48 × 64 pixels and a region of arithmetic codes on it: any bytes are some picture.
fn jbig2() -> Vec<u8> {
    let size = [0, 0, 0, 48, 0, 0, 0, 64];
    let page = [&size[..], &[0; 11]].concat();
    let at = [3, 0xff, 0xfd, 0xff, 2, 0xfe, 0xfe, 0xfe];
    let codes: Vec<u8> = (0..60u8).map(|i| i.wrapping_mul(37)).collect();
    let region = [&size[..], &[0; 8], &[0, 0], &at, &codes, &[0xff, 0xac]].concat();
    let mut data = Vec::new();
    for (number, kind, body) in [(0, 48, page), (1, 38, region)] {
        data.extend([0, 0, 0, number, kind, 0, 1]);
        data.extend((body.len() as u32).to_be_bytes());
        data.extend(body);
    }
    data
}

/// Cross-references and objects within streams, as PDF 1.5 and later have them.
fn with_object_streams() -> Vec<u8> {
    let packed = [
        (1, "<< /Type /Catalog /Pages 2 0 R >>"),
        (2, "<< /Type /Pages /Count 1 /Kids [3 0 R] >>"),
        (3, "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 150 200] /Rotate 90 /Contents 4 0 R >>"),
    ];
    let (mut index, mut bodies) = (String::new(), String::new());
    for (number, body) in packed {
        index += &format!("{number} {} ", bodies.len());
        bodies += &format!("{body} ");
    }
    let content = deflated(b"10 10 50 0.5 re f 20 20 70 70 re S");
    let objects = deflated((index.clone() + &bodies).as_bytes());
    let mut file = b"%PDF-1.7\n".to_vec();
    let mut add = |number: usize, entries: &str, data: &[u8]| {
        let start = file.len() as u16;
        let length = data.len();
        let head = format!("{number} 0 obj\n<< {entries} /Length {length} >>\nstream\n");
        file.extend([head.as_bytes(), data, b"\nendstream\nendobj\n"].concat());
        start
    };
    let content = add(4, "/Filter /FlateDecode", &content);
    let first = index.len();
    let entries = format!("/Type /ObjStm /N 3 /First {first} /Filter /FlateDecode");
    let objects = add(5, &entries, &objects);
    // Kind of entry, place (or the stream's number), generation (or place in the stream).
    let mut table = vec![0, 0, 0, 0];
    (0..3).for_each(|place| table.extend([2, 0, 5, place]));
    for start in [content, objects, objects] {
        table.push(1);
        table.extend(start.to_be_bytes());
        table.push(0);
    }
    let entries = "/Type /XRef /Size 7 /W [1 2 1] /Root 1 0 R /Filter /FlateDecode";
    let start = add(6, entries, &deflated(&table));
    file.extend(format!("startxref\n{start}\n%%EOF\n").into_bytes());
    file
}

/// Pictures that are masks of pictures, by a shade and by a stencil, and a soft mask of drawings.
fn masked() -> Vec<u8> {
    let content = "/G gs 150 0 0 90 0 0 cm /A Do 1 0 0 1 0 1 cm /B Do";
    drawn(content, "", |pdf| {
        let mut image = |entries: &str, data: &[u8]| {
            pdf.stream(&format!("/Subtype /Image /Width 4 /Height 2 {entries}"), data)
        };
        let grey = "/BitsPerComponent 8 /ColorSpace /DeviceGray";
        let soft = image(&format!("{grey} /Matte [0.5]"), b"\x00\x20\x40\x60\x80\xa0\xc0\xff");
        let hard = image("/BitsPerComponent 1 /ImageMask true", b"\xa0\x50");
        let a = image(&format!("{grey} /SMask {soft} 0 R"), b"abcdefgh");
        let b = image(&format!("{grey} /Mask {hard} 0 R /Interpolate true"), b"abcdefgh");
        let group = "/Group << /S /Transparency /CS /DeviceGray /I true /K true >>";
        let form = format!("/Subtype /Form /BBox [0 0 150 200] {group}");
        let form = pdf.stream(&form, b"0.5 g 0 0 99 99 re f");
        format!(
            "/XObject << /A {a} 0 R /B {b} 0 R >> /ExtGState << /G << /ca 0.5 /CA 0.7 /BM /Multiply \
             /LW 2 /SMask << /S /Luminosity /G {form} 0 R /BC [0.2] >> >> >>"
        )
    })
}

/// Three forms in each other, turned and scaled.
fn forms() -> Vec<u8> {
    drawn("/X Do", "", |pdf| {
        let head =
            "/Type /XObject /Subtype /Form /BBox [0 0 150 200] /Matrix [0.9 0.1 -0.1 0.9 3 4]";
        let mut form = pdf.stream(head, b"10 10 50 50 re f 0 0 m 99 99 l S");
        for _ in 0..2 {
            let resources = format!("/Resources << /XObject << /X {form} 0 R >> >>");
            form =
                pdf.stream(&format!("{head} {resources}"), b"q /X Do Q 0.5 0 0 0.5 0 0 cm /X Do");
        }
        format!("/XObject << /X {form} 0 R >>")
    })
}

/// Shadings that need no stream, by way of the functions that need none.
const SHADINGS: [(&str, &str); 3] = [
    (
        "function",
        "/ShadingType 1 /ColorSpace /DeviceGray /Domain [0 1 0 1] /Matrix [150 0 0 200 0 0] /Function \
         << /FunctionType 2 /Domain [0 1] /N 1 >>",
    ),
    (
        "axial",
        "/ShadingType 2 /ColorSpace /DeviceRGB /Coords [0 0 150 200] /Extend [true false] /Function << \
         /FunctionType 3 /Domain [0 1] /Bounds [0.4] /Encode [0 1 1 0] /Functions [<< /FunctionType 2 \
         /Domain [0 1] /C0 [1 0 0] /C1 [0 0 1] /N 2 >> << /FunctionType 2 /Domain [0 1] /C0 [1 0 0] \
         /C1 [0 1 1] /N 1 >>] >>",
    ),
    (
        "radial",
        "/ShadingType 3 /ColorSpace /DeviceCMYK /Coords [70 90 5 80 100 60] /Extend [true true] \
         /Background [0 0 0 1] /Function << /FunctionType 2 /Domain [0 1] /C0 [1 0 0 0] /C1 [0 0 1 0] \
         /N 0.5 >>",
    ),
];

const COLOUR_SPACES: [(&str, &str); 5] = [
    ("cmyk", "/DeviceCMYK"),
    ("calibrated", "[/CalRGB << /WhitePoint [0.95 1 1.09] /Gamma [2.2 2.2 2.2] >>]"),
    ("grey", "[/CalGray << /WhitePoint [0.95 1 1.09] /Gamma 2.2 >>]"),
    ("lab", "[/Lab << /WhitePoint [0.96 1 0.82] /Range [-99 99 -99 99] >>]"),
    (
        "tint",
        "[/Separation /Red /DeviceRGB << /FunctionType 2 /Domain [0 1] /C0 [1 1 1] /C1 [1 0 0] /N 1 >>]",
    ),
];

/// A mesh of triangles and one of patches, coloured by a table and by a calculator's program.
fn mesh() -> Vec<u8> {
    drawn("/A sh /B sh", "", |pdf| {
        let domain = "/Domain [0 1] /Range [0 1 0 1 0 1]";
        let program = b"{ dup 0.5 gt { 1 exch sub } if dup dup mul 0 }";
        let program = pdf.stream(&format!("/FunctionType 4 {domain}"), program);
        let table = format!("/FunctionType 0 {domain} /Size [2] /BitsPerSample 8");
        let table = pdf.stream(&table, b"\xff\x00\x00\x00\x00\xff");
        let bits = "/BitsPerCoordinate 8 /BitsPerComponent 8 /BitsPerFlag 8 /Decode [0 150 0 200 0 1] \
                    /ColorSpace /DeviceRGB";
        let triangles = format!("/ShadingType 4 {bits} /Function {program} 0 R");
        let triangles = pdf.stream(&triangles, b"\0\x10\x10\0\0\xf0\x20\x80\0\x80\xf0\xff");
        let corners =
            b"\x10\x10\x10\x50\x10\xa0\x10\xf0\x50\xf0\xa0\xf0\xf0\xf0\xf0\xa0\xf0\x50\xf0\x10\
                        \xa0\x10\x50\x10";
        let patch = [b"\0", &corners[..], b"\0\x50\xa0\xff"].concat();
        let patches = format!("/ShadingType 6 {bits} /Function {table} 0 R");
        let patches = pdf.stream(&patches, &patch);
        format!("/Shading << /A {triangles} 0 R /B {patches} 0 R >>")
    })
}

/// A coloured and an uncoloured pattern of tiles.
fn tiles() -> Vec<u8> {
    let content = "/Pattern cs /P scn 0 0 99 99 re f /C cs 1 0 0 /Q scn 50 50 99 99 re B";
    drawn(content, "/ColorSpace << /C [/Pattern /DeviceRGB] >>", |pdf| {
        let head = "/Type /Pattern /PatternType 1 /TilingType 1 /BBox [0 0 9 9] /XStep 10 /YStep 12 \
                    /Resources << >>";
        let p = pdf.stream(&format!("{head} /PaintType 1"), b"1 0 0 rg 0 0 5 5 re f");
        let q =
            pdf.stream(&format!("{head} /PaintType 2 /Matrix [1 0 0.3 1 0 0]"), b"0 0 5 5 re f");
        format!("/Pattern << /P {p} 0 R /Q {q} 0 R >>")
    })
}

/// Fonts whose programs are within the file.
#[derive(Clone, Copy, Debug)]
enum Font {
    TrueType,
    Cff,
    Cid,
    Type3,
}

impl Font {
    fn pdf(self) -> Vec<u8> {
        let mut pdf = PdfBuilder::new();
        let font = self.add_to(&mut pdf);
        let content = pdf.stream("", b"BT /F 20 Tf 10 150 Td (AB) Tj 0 -30 Td <00010002> Tj ET");
        pdf.page(&format!(
            "/MediaBox [0 0 150 200] /Contents {content} 0 R /Resources << /Font << /F {font} >> >>"
        ));
        pdf.finish("")
    }

    /// The font's dictionary, once its streams are added.
    fn add_to(self, pdf: &mut PdfBuilder) -> String {
        let map =
            b"/CIDInit /ProcSet findresource begin begincmap 1 begincodespacerange <0000> <ffff> \
                    endcodespacerange 1 beginbfrange <0001> <0002> <0041> endbfrange 1 beginbfchar \
                    <0003> <00660069> endbfchar endcmap end";
        let map = pdf.stream("", map);
        let descriptor = "/FontDescriptor << /Type /FontDescriptor /FontName /Square /Flags 4";
        let widths = format!("/FirstChar 65 /Widths [600 600] /ToUnicode {map} 0 R");
        match self {
            Self::TrueType => {
                let program = pdf.stream("", include_bytes!("../seeds/parts/square.ttf"));
                format!(
                    "<< /Subtype /TrueType /BaseFont /Square {widths} {descriptor} /FontFile2 \
                     {program} 0 R >> >>"
                )
            }
            Self::Cff => {
                let program = include_bytes!("../seeds/parts/square.cff");
                let program = pdf.stream("/Subtype /Type1C", program);
                format!(
                    "<< /Subtype /Type1 /BaseFont /Square {widths} /Encoding << /Differences [65 /A \
                     /B] >> {descriptor} /FontFile3 {program} 0 R >> >>"
                )
            }
            Self::Cid => {
                let program = pdf.stream("", include_bytes!("../seeds/parts/square.ttf"));
                format!(
                    "<< /Subtype /Type0 /BaseFont /Square /Encoding /Identity-H /ToUnicode {map} 0 R \
                     /DescendantFonts [<< /Subtype /CIDFontType2 /BaseFont /Square /CIDToGIDMap \
                     /Identity /DW 600 /W [1 [600] 2 3 500] {descriptor} /FontFile2 {program} 0 R >> \
                     >>] >>"
                )
            }
            Self::Type3 => {
                let square = pdf.stream("", b"600 0 0 0 500 700 d1 0 0 500 700 re f");
                format!(
                    "<< /Subtype /Type3 /FontBBox [0 0 600 700] /FontMatrix [0.001 0 0 0.001 0 0] \
                     /CharProcs << /A {square} 0 R /B {square} 0 R >> /Encoding << /Differences [65 \
                     /A /B] >> {widths} >>"
                )
            }
        }
    }
}

/// A page whose form field draws itself, with content that belongs to a hidden layer.
fn annotated() -> Vec<u8> {
    let mut pdf = PdfBuilder::new();
    let look = pdf.stream("/Subtype /Form /BBox [0 0 50 20]", b"0 0 50 20 re f");
    let content = pdf.stream("", b"/OC /L BDC 0 0 9 9 re f EMC BX unknown EX");
    pdf.page(&format!(
        "/MediaBox [0 0 150 200] /CropBox [5 5 140 190] /UserUnit 1.5 /Rotate 270 /Contents [{content} \
         0 R {content} 0 R] /Resources << /Properties << /L << /Type /OCG /Name (L) >> >> >> /Annots \
         [<< /Subtype /Widget /Rect [20 20 90 50] /F 4 /AP << /N {look} 0 R >> >>]"
    ));
    pdf.finish("")
}
