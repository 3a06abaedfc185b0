//! Writes a document's aligned pages as PNG files and prints their figures:
//! `cargo run --example dump_pages -- FILE OUT_PREFIX`.

use std::time::Instant;

use cic_kiosk::page::{Document, Limits};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: dump_pages FILE [OUT_PREFIX]")?;
    let prefix = args.next();
    let document = Document::open(std::fs::read(path)?, &Limits::default())?;
    for index in 0..document.page_count() {
        let start = Instant::now();
        let page = document.page(index)?;
        let elapsed = start.elapsed();
        let (width, height) = (page.image.width(), page.image.height());
        println!("page {index}: {width} × {height}, {elapsed:.1?}, {:?}", page.quality);
        if let Some(prefix) = &prefix {
            page.image.save(format!("{prefix}-{index}.png"))?;
        }
    }
    Ok(())
}
