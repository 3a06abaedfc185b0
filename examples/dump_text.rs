//! Prints the text layer of a PDF, one JSON object a line: `cargo run --example dump_text -- FILE`.

use cic_kiosk::page::{Document, Limits};
use cic_kiosk::text::Direction;
use serde_json::json;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: dump_text FILE")?;
    let document = Document::open(std::fs::read(path)?, &Limits::default())?;
    for page in document.pages() {
        let page = page?;
        let Some(text) = page.text else {
            println!("{}", json!({"page": page.index, "text": null}));
            continue;
        };
        for line in &text.lines {
            let r = line.rect;
            let rect = [r.left, r.top, r.right, r.bottom].map(f32::round);
            println!("{}", json!({"page": page.index, "line": line.text(), "rect": rect}));
        }
        for rule in &text.rules {
            let r = rule.rect;
            let rect = [r.left, r.top, r.right, r.bottom].map(f32::round);
            let direction = match rule.direction {
                Direction::Horizontal => "horizontal",
                Direction::Vertical => "vertical",
            };
            println!("{}", json!({"page": page.index, "rule": direction, "rect": rect}));
        }
    }
    Ok(())
}
