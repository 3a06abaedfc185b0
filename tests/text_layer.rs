//! The text layer of a PDF: what a reader of the page sees, as lines and rules.

mod fixtures;

use cic_kiosk::page::{Document, Limits, Page};
use cic_kiosk::text::{Direction, PageText};
use fixtures::{PdfBuilder, deflated, drawn_pdf};

/// Pixels per point of a page with a text layer.
const SCALE: f32 = 150.0 / 72.0;

fn pages(pdf: Vec<u8>) -> Vec<Page> {
    let document = Document::open(pdf, &Limits::default()).expect("the PDF opens");
    document.pages().collect::<Result<_, _>>().expect("the pages can be made")
}

fn text(content: &str) -> PageText {
    let page = pages(drawn_pdf(content)).remove(0);
    page.text.expect("the page has a text layer")
}

fn lines(content: &str) -> Vec<String> {
    text(content).lines.iter().map(|line| line.text()).collect()
}

#[test]
fn a_line_lies_where_it_is_printed() {
    let page = text("BT /F1 10 Tf 72 700 Td (So: 2026/S11A) Tj ET");
    let [line] = page.lines.as_slice() else { panic!("{:?}", page.lines) };
    assert_eq!(line.text(), "So: 2026/S11A");
    let baseline = (842.0 - 700.0) * SCALE;
    assert!((line.rect.left - 72.0 * SCALE).abs() < 1.0, "{:?}", line.rect);
    assert!((line.rect.top - (baseline - 11.0 * SCALE)).abs() < 1.0, "{:?}", line.rect);
    assert!((line.rect.bottom - (baseline + 3.0 * SCALE)).abs() < 1.0, "{:?}", line.rect);
    assert!((line.em() - 10.0 * SCALE).abs() < 0.1);
    let lefts: Vec<f32> = line.chars.iter().map(|c| c.left).collect();
    assert!(lefts.is_sorted(), "{lefts:?}");
}

#[test]
fn cells_without_a_rule_between_them_are_two_lines() {
    let content = "BT /F1 10 Tf 72 700 Td (Dia chi:) Tj 60 0 Td (So 8 Pham Van Dong) Tj ET";
    assert_eq!(lines(content), ["Dia chi:", "So 8 Pham Van Dong"]);
}

#[test]
fn a_rule_parts_cells_however_close_they_are() {
    // "1,885" is 25 points wide, and the rule stands half a point after it.
    let content = "BT /F1 10 Tf 72 700 Td (1,885) Tj 27 0 Td (1,886) Tj ET 98 690 0.5 30 re f";
    let page = text(content);
    let found: Vec<String> = page.lines.iter().map(|line| line.text()).collect();
    assert_eq!(found, ["1,885", "1,886"]);
    let [rule] = page.rules.as_slice() else { panic!("{:?}", page.rules) };
    assert_eq!(rule.direction, Direction::Vertical);
    assert!((rule.rect.height() - 30.0 * SCALE).abs() < 1.0);
}

#[test]
fn words_parted_by_moves_alone_get_blanks() {
    let content = "BT /F1 10 Tf 72 700 Td [(Ngan) -300 (hang) -300 (Quan) -300 (doi)] TJ ET";
    assert_eq!(lines(content), ["Ngan hang Quan doi"]);
}

#[test]
fn a_blank_forgotten_among_blanks_is_put_back() {
    let content = "BT /F1 10 Tf 72 700 Td [(Thong tin ve hop dong tin) -278 (dung)] TJ ET";
    assert_eq!(lines(content), ["Thong tin ve hop dong tin dung"]);
}

#[test]
fn pieces_of_one_rule_are_one_rule() {
    let pieces: String = (0..5).map(|i| format!("{} 600 100 0.75 re f ", 50 + 100 * i)).collect();
    let strokes = "0.5 w 50 500 m 550 500 l S 50 500 m 50 600 l S";
    let label = "BT /F1 10 Tf 60 610 Td (Thang) Tj ET ";
    let page = text(&format!("{label}{pieces}{strokes}"));
    let horizontal =
        page.rules.iter().filter(|r| r.direction == Direction::Horizontal).collect::<Vec<_>>();
    assert_eq!((page.rules.len(), horizontal.len()), (3, 2), "{:?}", page.rules);
    assert!(horizontal.iter().all(|r| (r.rect.width() - 500.0 * SCALE).abs() < 2.0));
}

#[test]
fn rules_of_tables_above_each_other_are_two_wherever_they_stand() {
    for offset in 0..10 {
        let lower = 300.0 - 0.15 * f64::from(offset);
        let rules = format!("300 600 0.75 100 re f {lower} 300 0.75 100 re f");
        let label = "BT /F1 10 Tf 60 710 Td (Thang) Tj ET ";
        let found = text(&format!("{label}{rules}")).rules;
        assert_eq!(found.len(), 2, "{lower}: {found:?}");
    }
}

#[test]
fn what_no_reader_sees_is_no_text() {
    let seen = "BT /F1 10 Tf 72 700 Td (Seen) Tj ET ";
    for (case, hidden) in [
        ("invisible mode", "BT 3 Tr /F1 10 Tf 72 600 Td (Hidden) Tj ET"),
        ("white on white", "1 g BT /F1 10 Tf 72 600 Td (Hidden) Tj ET"),
        ("clipped away", "q 72 590 200 5 re W n BT /F1 10 Tf 72 600 Td (Hidden) Tj ET Q"),
        ("off the page", "BT /F1 10 Tf 72 -20 Td (Hidden) Tj ET"),
        ("painted over", "BT /F1 10 Tf 72 600 Td (Hidden) Tj ET 0.9 g 60 590 200 30 re f"),
        ("a slanting watermark", "BT 0.7 0.7 -0.7 0.7 200 300 Tm /F1 40 Tf (Hidden) Tj ET"),
    ] {
        assert_eq!(lines(&format!("{seen}{hidden}")), ["Seen"], "{case}");
    }
}

#[test]
fn white_text_on_a_dark_cell_is_seen() {
    let content = "0 0 0.5 rg 60 590 200 30 re f 1 g BT /F1 10 Tf 72 600 Td (Thang) Tj ET";
    assert_eq!(lines(content), ["Thang"]);
}

#[test]
fn cheap_bold_type_is_not_read_twice() {
    let content = "BT /F1 10 Tf 72 700 Td (Tong) Tj 0.3 0 Td (Tong) Tj ET";
    assert_eq!(lines(content), ["Tong"]);
}

#[test]
fn a_drawn_checkbox_is_a_line_of_its_own() {
    let label = "BT /F1 10 Tf 72 700 Td (Cham thanh toan) Tj ET ";
    let frame = "200 699 8 8 re S ";
    let tick = "1.2 w 202 703 m 204 701 l 207 706 l S";
    assert_eq!(lines(&format!("{label}{frame}")), ["Cham thanh toan", "☐"]);
    assert_eq!(lines(&format!("{label}{frame}{tick}")), ["Cham thanh toan", "☑"]);
    let cross = "BT /F1 8 Tf 201.5 700.5 Td (x) Tj ET";
    assert_eq!(lines(&format!("{label}{frame}{cross}")), ["Cham thanh toan", "☑"]);
}

/// A page whose font maps these codes to these characters.
fn mapped(content: &str, characters: &[(u8, &str)]) -> Vec<u8> {
    let mut pdf = PdfBuilder::new();
    let entries: String = characters
        .iter()
        .map(|(code, text)| {
            let units: String = text.encode_utf16().map(|unit| format!("{unit:04x}")).collect();
            format!("<{code:02x}> <{units}>\n")
        })
        .collect();
    let map = pdf.stream(
        "",
        format!(
            "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /M def 1 \
             begincodespacerange <00> <ff> endcodespacerange {} beginbfchar\n{entries}endbfchar \
             endcmap end end",
            characters.len()
        )
        .as_bytes(),
    );
    let font = pdf.object(format!(
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding \
         /ToUnicode {map} 0 R >>"
    ));
    let content = pdf.stream("", content.as_bytes());
    pdf.page(&format!(
        "/MediaBox [0 0 595 842] /Contents {content} 0 R /Resources << /Font << /F1 {font} 0 R >> \
         >>"
    ));
    pdf.finish("")
}

#[test]
fn a_dense_page_of_letters_that_are_programs_is_read() {
    let mut pdf = PdfBuilder::new();
    let letter = pdf.stream("", b"600 0 0 0 500 700 d1 0 0 500 700 re f");
    let font = format!(
        "/Font << /F << /Type /Font /Subtype /Type3 /FontBBox [0 0 600 700] /FontMatrix [0.001 0 0 \
         0.001 0 0] /CharProcs << /A {letter} 0 R >> /Encoding << /Differences [65 /A] >> /FirstChar \
         65 /Widths [600] >> >>"
    );
    // As browsers print: a place for each letter, which makes the page's own program a long one.
    let letters: String = (0..6000)
        .map(|i| {
            let (column, row) = (i % 80, i / 80);
            format!(
                "BT /F 8 Tf 1 0 0 1 {}.000000 {}.000000 Tm (A) Tj ET\n",
                50 + 6 * column,
                800 - 10 * row
            )
        })
        .collect();
    let content = pdf.stream("", letters.as_bytes());
    pdf.page(&format!("/MediaBox [0 0 595 842] /Contents {content} 0 R /Resources << {font} >>"));
    let page = pages(pdf.finish("")).remove(0);
    let lines = page.text.expect("the page has a text layer").lines;
    assert_eq!(lines.iter().map(|line| line.text().matches('A').count()).sum::<usize>(), 6000);
}

#[test]
fn letters_are_composed_and_folded() {
    let pdf = mapped(
        "BT /F1 10 Tf 72 700 Td (ABC) Tj ET",
        &[(b'A', "\u{d0}"), (b'B', "i\u{323}"), (b'C', "\u{fb01}")],
    );
    let page = pages(pdf).remove(0).text.expect("a text layer");
    assert_eq!(page.lines[0].text(), "Địfi");
}

#[test]
fn a_font_in_an_old_encoding_is_left_to_the_picture() {
    let pdf = mapped(
        "BT /F1 10 Tf 72 700 Td (ABCABCABC) Tj ET",
        &[(b'A', "µ"), (b'B', "¸"), (b'C', "¶")],
    );
    assert_eq!(pages(pdf).remove(0).text, None);
}

#[test]
fn hidden_text_under_a_scan_is_left_and_the_scan_taken_as_it_is() {
    let mut pdf = PdfBuilder::new();
    let pixels: Vec<u8> = (0..413 * 585).map(|i| if i % 413 < 200 { 250 } else { 240 }).collect();
    let entries = "/Type /XObject /Subtype /Image /Width 413 /Height 585 /BitsPerComponent 8 \
                   /ColorSpace /DeviceGray /Filter /FlateDecode";
    let image = pdf.stream(entries, &deflated(&pixels));
    let resources = format!("/XObject << /Im {image} 0 R >>");
    let hidden = "BT 3 Tr /F1 10 Tf 72 700 Td (Recognised by somebody else) Tj ET";
    pdf.drawn_page(&format!("q 595 0 0 842 0 0 cm /Im Do Q {hidden}"), &resources);
    // The same scan on its side, on a page that is turned back.
    pdf.drawn_page("q 0 842 -595 0 595 0 cm /Im Do Q", &resources);
    let pages = pages(pdf.finish(""));
    for page in &pages {
        assert_eq!(page.text, None);
    }
    assert_eq!((pages[0].image.width(), pages[0].image.height()), (413, 585));
    assert_eq!(pages[0].image.to_luma8().as_raw(), &pixels);
}
