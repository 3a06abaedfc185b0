//! `extract` on good and bad command lines.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use cic_kiosk::page::{Document, Limits};
use image::{DynamicImage, GrayImage, ImageFormat};
use serde_json::Value as Json;

use crate::fixtures::{PdfBuilder, drawn_pdf, encoded};
use crate::kiosk::{bare_kiosk, data, kiosk, run};

/// A digital report of one page: its text layer needs no model.
fn digital() -> Vec<u8> {
    let lines = ["BAO CAO CHI TIET QUAN HE TIN DUNG", "1. THONG TIN CHUNG"];
    let text: String = lines
        .iter()
        .enumerate()
        .map(|(i, line)| format!("BT /F1 12 Tf 72 {} Td ({line}) Tj ET\n", 760 - 24 * i))
        .collect();
    drawn_pdf(&text)
}

#[test]
fn scan_is_answered_in_the_contracts_json_and_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let overlay = folder.path().join("overlay.png");
    let run = run(
        kiosk("extract")
            .arg("--thumb")
            .arg("--overlay")
            .arg(&overlay)
            .arg(data("reports/scan.pdf")),
        b"",
    );
    let json = run.json();
    assert_eq!((run.code(), &json["errorCode"]), (Some(0), &"0".into()), "{}", run.stderr);
    assert!(run.stderr.is_empty(), "nothing to say: {}", run.stderr);
    assert!(run.peak_memory < 350 << 20, "took {} MiB", run.peak_memory >> 20);

    let report = &json["data"]["info"][0];
    assert_eq!(report["cic_code"], truth("scan")["cic_code"]);
    assert_eq!(report["customers_look_up"].as_array().map(Vec::len), Some(12));

    let pages: Vec<&str> =
        report["imgs"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    assert_eq!(pages.len(), 3);
    let page = BASE64_STANDARD.decode(pages[0]).expect("base64");
    assert!(image::load_from_memory(&page).is_ok());
    let table = report["customers_look_up_image"].as_str().expect("a picture");
    assert!(!table.is_empty());

    let meta = &json["meta"];
    assert_eq!(meta["scan_id"].as_str().map(str::len), Some(26), "a ULID");
    assert_eq!(meta["pages"], 3);
    assert_eq!(meta["models"].as_array().map(Vec::len), Some(2));
    for stage in ["load", "decode", "detect", "recognise", "report"] {
        assert!(meta["elapsed_ms"][stage].is_u64(), "{stage} is timed");
    }

    let drawn = image::open(&overlay).expect("an overlay").to_rgb8();
    let is_green = |[red, green, blue]: [u8; 3]| red < 120 && green > 130 && blue == 0;
    let greens = drawn.pixels().filter(|pixel| is_green(pixel.0)).count();
    assert!(greens > 10_000, "boxes are drawn: {greens}");
}

fn truth(name: &str) -> Json {
    let text = std::fs::read(data(&format!("reports/{name}.json"))).expect("a truth");
    let mut truth: Json = serde_json::from_slice(&text).expect("JSON");
    truth["info"].take()
}

#[test]
fn rows_of_curled_sheets_are_those_of_flat_ones() {
    let scan = std::fs::read(data("reports/scan.pdf")).expect("a document");
    let document = Document::open(scan, &Limits::default()).expect("the document opens");
    // At their right edge the sheets have sunk by two rows, and so much paper is left below.
    let curled = |flat: GrayImage| {
        GrayImage::from_fn(flat.width(), flat.height() + 260, |x, y| {
            let share = x as f32 / flat.width() as f32;
            let from = y.checked_sub((75.0 * share * share) as u32);
            *from.and_then(|y| flat.get_pixel_checked(x, y)).unwrap_or(flat.get_pixel(x, 0))
        })
    };
    let mut pdf = PdfBuilder::new();
    for page in document.pages() {
        let page = curled(page.expect("the page decodes").grey());
        let (width, height) = page.dimensions();
        let entries = format!(
            "/Type /XObject /Subtype /Image /Width {width} /Height {height} \
             /ColorSpace /DeviceGray /BitsPerComponent 8 /Filter /DCTDecode"
        );
        let jpeg = encoded(&DynamicImage::ImageLuma8(page), ImageFormat::Jpeg);
        let picture = pdf.stream(&entries, &jpeg);
        pdf.drawn_page("518 0 0 842 0 0 cm /P Do", &format!("/XObject << /P {picture} 0 R >>"));
    }
    let answer = run(kiosk("extract").arg("-"), &pdf.finish("")).json();
    let value = |cell: &Json| cell.get("value").unwrap_or(cell).clone();
    let cells = |row: &Json| row.as_array().into_iter().flatten().map(value).collect();
    let look_ups = |report: &Json| -> Vec<Vec<Json>> {
        report["customers_look_up"].as_array().into_iter().flatten().map(cells).collect()
    };
    // Nine rows are on the second page; the last one has too few lines to tell how it bends.
    let (rows, truth) = (look_ups(&answer["data"]["info"][0]), look_ups(&truth("scan")));
    assert_eq!(rows[..9], truth[..9]);
}

#[test]
fn pictures_come_only_when_asked_for() {
    let run = run(kiosk("extract").arg(data("reports/copy.pdf")), b"");
    let report = &run.json()["data"]["info"][0];
    assert_eq!(report["imgs"], serde_json::json!([]));
    assert_eq!(report["loan_details_image"], "");
}

#[test]
fn several_files_answer_one_line_each_in_their_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().join("empty.pdf");
    let text = folder.path().join("text.png");
    std::fs::write(&empty, b"").expect("a file");
    std::fs::write(&text, b"text").expect("a file");
    let missing = folder.path().join("missing.pdf");
    let files = [&data("reports/copy.pdf"), &empty, &missing, &text, &empty];
    let run = run(kiosk("extract").arg("--jsonl").args(files), b"");
    let answers: Vec<Json> =
        run.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let codes: Vec<_> = answers.iter().map(|answer| answer["errorCode"].clone()).collect();
    assert_eq!(codes, ["0", "3", "6", "3", "3"]);
    let names: Vec<_> = answers.iter().map(|answer| answer["meta"]["file"].clone()).collect();
    assert_eq!(names, files.map(|file| file.display().to_string()));
    assert_eq!(run.code(), Some(1), "some file failed");
    let detail = answers[2]["meta"]["detail"].as_str().expect("a sentence");
    assert!(detail.contains("No such file"), "{detail}");
}

#[test]
fn table_is_for_people() {
    let run = run(kiosk("extract").args(["--format", "table", "-"]), b"");
    assert_eq!((run.code(), &run.stdout[..8]), (Some(1), "error 3:"));
}

#[test]
fn text_is_all_that_was_read() {
    let run = run(kiosk("extract").args(["--format", "text", "-"]), &digital());
    assert_eq!(run.stdout, "BAO CAO CHI TIET QUAN HE TIN DUNG\n1. THONG TIN CHUNG\n");
    assert_eq!(run.code(), Some(0));
}

#[test]
fn text_layer_needs_no_models() {
    let nowhere = ["--models", "nowhere", "--onnxruntime", "nowhere"];
    let run =
        run(bare_kiosk().arg("extract").args(nowhere).args(["--format", "text", "-"]), &digital());
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
}

#[test]
fn missing_models_are_an_answer_that_says_what_to_do() {
    let arguments = ["extract", "--onnxruntime", "/nowhere/libonnxruntime.so"];
    let mut command = bare_kiosk();
    command.args(arguments).arg("--models").arg(crate::kiosk::repository().join("models"));
    let run = run(command.arg(data("reports/copy.pdf")), b"");
    let json = run.json();
    assert_eq!((run.code(), &json["errorCode"]), (Some(1), &"6".into()));
    assert_eq!(json["errorMessage"], "Error when processing the request");
    let detail = json["meta"]["detail"].as_str().expect("a sentence");
    assert!(detail.contains("/nowhere/libonnxruntime.so"), "{detail}");
}

#[test]
fn wrong_command_lines_exit_with_64() {
    for arguments in [
        &["extract"][..],
        &["extract", "-", "-"],
        &["extract", "--format", "xml", "-"],
        &["extract", "--jsonl", "--format", "table", "-"],
        &["extract", "--review-below", "2", "-"],
        &["extract", "--precision", "int4", "-"],
        &["demo", "--broker", "http://host"],
        &["unknown"],
        &[],
    ] {
        let run = run(bare_kiosk().args(arguments), b"");
        assert_eq!(run.code(), Some(64), "{arguments:?}");
        assert!(run.stdout.is_empty() && !run.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for argument in ["--help", "--version"] {
        let run = run(bare_kiosk().arg(argument), b"");
        assert_eq!((run.code(), run.stderr.is_empty()), (Some(0), true), "{argument}");
    }
}

#[test]
fn closed_stdout_is_no_panic() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().join("empty.pdf");
    std::fs::write(&empty, b"").expect("a file");
    let mut child = kiosk("extract")
        .arg("--jsonl")
        .args(vec![&empty; 2000])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program is built");
    let mut line = String::new();
    // Takes one line of many and goes, as `head -n 1` does.
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let output = child.wait_with_output().expect("it ends");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panic"));
    assert_eq!(output.status.code(), Some(0));
}
