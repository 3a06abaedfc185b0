//! Bad input at the program's door: each gets its error code, a sentence and exit status 1, in
//! bounded memory and time.

use std::time::{Duration, Instant};

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

use crate::fixtures::{PdfBuilder, deflated, drawn_pdf, encoded};
use crate::kiosk::{Run, kiosk, run};

/// What a run may take that has nothing to read.
const MEMORY: u64 = 64 << 20;
const TIME: Duration = Duration::from_secs(20);

/// Reads bytes from stdin, and demands the error code with words about the cause.
fn refused(bytes: &[u8], code: &str, words: &str) -> Run {
    let begun = Instant::now();
    let run = run(kiosk("extract").arg("-"), bytes);
    let took = begun.elapsed();
    let json = run.json();
    assert_eq!(run.code(), Some(1), "{}", run.stderr);
    assert_eq!(json["errorCode"], code, "{json:#}");
    assert_eq!(json["errorMessage"], "Incorrect image format");
    assert_eq!(json["data"]["info"], serde_json::json!([]));
    let detail = json["meta"]["detail"].as_str().unwrap_or_default();
    assert!(
        detail.contains(words) && detail.ends_with('.'),
        "{detail:?} says nothing of {words:?}"
    );
    assert!(run.stderr.contains(detail), "stderr: {}", run.stderr);
    assert!(took < TIME, "took {took:?}");
    run
}

/// Demands that no more memory was taken than a program needs that reads nothing.
fn cheaply_refused(bytes: &[u8], code: &str, words: &str) {
    let run = refused(bytes, code, words);
    assert!(run.peak_memory < MEMORY, "took {} MiB", run.peak_memory >> 20);
}

fn drawn_picture() -> DynamicImage {
    DynamicImage::ImageRgb8(RgbImage::from_fn(600, 800, |x, y| {
        Rgb([(x / 3) as u8, (y / 4) as u8, ((x * y) % 251) as u8])
    }))
}

#[test]
fn empty_file() {
    cheaply_refused(b"", "3", "empty");
}

#[test]
fn text_named_as_a_picture() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("report.png");
    std::fs::write(&path, "Điểm tín dụng: 590").expect("a file");
    let run = run(kiosk("extract").arg(&path), b"");
    assert_eq!((run.code(), &run.json()["errorCode"]), (Some(1), &"3".into()));
}

#[test]
fn truncated_jpeg() {
    let jpeg = encoded(&drawn_picture(), ImageFormat::Jpeg);
    cheaply_refused(&jpeg[..jpeg.len() / 2], "3", "damaged");
}

#[test]
fn truncated_pdf() {
    let pdf = drawn_pdf("BT /F1 12 Tf 72 700 Td (Diem tin dung) Tj ET");
    cheaply_refused(&pdf[..pdf.len() * 3 / 4], "3", "damaged");
}

#[test]
fn header_of_40000_by_40000_pixels() {
    let mut png = encoded(&drawn_picture(), ImageFormat::Png);
    let side = 40_000u32.to_be_bytes();
    png[16..20].copy_from_slice(&side);
    png[20..24].copy_from_slice(&side);
    let mut checksum = flate2::Crc::new();
    checksum.update(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.sum().to_be_bytes());
    cheaply_refused(&png, "3", "40000 × 40000");
}

#[test]
fn zip_bomb_in_a_pdf() {
    // A gigabyte of blanks, deflated twice: some kilobytes.
    let once = deflated(&vec![b' '; 1 << 30]);
    let bomb = deflated(&once);
    drop(once);
    let mut pdf = PdfBuilder::new();
    let content = pdf.stream("/Filter [/FlateDecode /FlateDecode]", &bomb);
    pdf.page(&format!("/MediaBox [0 0 595 842] /Contents {content} 0 R"));
    let run = refused(&pdf.finish(""), "3", "complex");
    // It may unpack up to the limit (128 MiB) before it is refused.
    assert!(run.peak_memory < MEMORY + (192 << 20), "took {} MiB", run.peak_memory >> 20);
}

#[test]
fn encrypted_pdf() {
    let mut pdf = PdfBuilder::new();
    pdf.drawn_page("", "");
    let key = "00".repeat(32);
    let encryption = pdf.object(format!(
        "<< /Filter /Standard /V 2 /R 3 /Length 128 /P -44 /O <{key}> /U <{key}> >>"
    ));
    let trailer = format!("/Encrypt {encryption} 0 R /ID [<00> <00>]");
    cheaply_refused(&pdf.finish(&trailer), "3", "password");
}

#[test]
fn pdf_of_500_pages() {
    let mut pdf = PdfBuilder::new();
    for _ in 0..500 {
        pdf.drawn_page("", "");
    }
    cheaply_refused(&pdf.finish(""), "3", "500 pages");
}

#[test]
fn photo_of_a_cat() {
    let run = refused(&encoded(&cat(), ImageFormat::Jpeg), "1", "No credit report");
    assert!(run.peak_memory < 350 << 20, "took {} MiB", run.peak_memory >> 20);
}

/// Soft fur, round eyes, pointed ears: nothing with letters on it.
fn cat() -> DynamicImage {
    let in_ellipse = |x: f32, y: f32, cx: f32, cy: f32, rx: f32, ry: f32| {
        ((x - cx) / rx).powi(2) + ((y - cy) / ry).powi(2) < 1.0
    };
    DynamicImage::ImageRgb8(RgbImage::from_fn(1600, 1200, |px, py| {
        let (x, y) = (px as f32, py as f32);
        let fur = ((x / 7.0).sin() + (y / 11.0 + x / 23.0).sin()) * 14.0;
        let base = if [600.0, 1000.0].iter().any(|&eye| in_ellipse(x, y, eye, 520.0, 26.0, 70.0)) {
            [20.0, 20.0, 20.0]
        } else if [600.0, 1000.0].iter().any(|&eye| in_ellipse(x, y, eye, 520.0, 90.0, 75.0)) {
            [190.0, 200.0, 60.0]
        } else if in_ellipse(x, y, 800.0, 700.0, 60.0, 40.0) {
            [210.0, 130.0, 130.0]
        } else if in_ellipse(x, y, 800.0, 600.0, 460.0, 400.0)
            || [480.0, 1120.0]
                .iter()
                .any(|&ear| (90.0..420.0).contains(&y) && (x - ear).abs() < (y - 90.0) * 0.45)
        {
            [170.0 + fur, 120.0 + fur, 70.0 + fur]
        } else {
            [70.0, 90.0 + y / 20.0, 110.0]
        };
        Rgb(base.map(|channel| channel as u8))
    }))
}

#[test]
fn limits_are_what_the_command_line_says() {
    let pdf = {
        let mut pdf = PdfBuilder::new();
        (0..3).for_each(|_| pdf.drawn_page("", ""));
        pdf.finish("")
    };
    let detail = |arguments: &[&str]| {
        let run = run(kiosk("extract").args(arguments).arg("-"), &pdf);
        assert_eq!(run.json()["errorCode"], "3");
        run.json()["meta"]["detail"].as_str().unwrap_or_default().to_owned()
    };
    assert!(detail(&["--max-pages", "2"]).contains("3 pages, 2 are allowed"));
    assert!(detail(&["--max-bytes", "100"]).contains("100 are allowed"));
}
