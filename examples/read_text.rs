//! Reads reports from a PDF's text layer and prints the API's JSON:
//! `cargo run --example read_text -- FILE`.

use cic_kiosk::page::{Document, Limits};
use cic_kiosk::report::{self, Options, schema};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: read_text FILE")?;
    let document = Document::open(std::fs::read(path)?, &Limits::default())?;
    let mut pages = Vec::new();
    for page in document.pages() {
        pages.extend(page?.text);
    }
    let reading = report::read(&pages, &Options::default());
    let meta = schema::Meta {
        confidence: reading.confidence,
        needs_review: reading.needs_review,
        checks: reading.checks,
        pages: pages.len(),
        ..schema::Meta::default()
    };
    let answer = if reading.reports.is_empty() {
        schema::Answer::failure(schema::ErrorCode::NoReport, meta)
    } else {
        schema::Answer::success(reading.reports, meta)
    };
    println!("{}", serde_json::to_string_pretty(&answer)?);
    Ok(())
}
