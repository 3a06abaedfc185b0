//! PDFs, from their first byte to their pages' pictures and text.
#![no_main]

use cic_kiosk_fuzz::{read, seeds, start};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: start(seeds::pdfs), |data: &[u8]| {
    // Without these the file is refused at once, and a mutation that hits them would be wasted.
    let head: &[u8] = if data.starts_with(b"%PDF-") { b"" } else { b"%PDF-1.7\n" };
    let tail: &[u8] = if data.ends_with(b"%%EOF\n") { b"" } else { b"\n%%EOF\n" };
    read([head, data, tail].concat());
});
