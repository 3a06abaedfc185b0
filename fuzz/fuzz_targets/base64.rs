//! Text that may be base64; and all bytes, which must survive it in every spelling.
#![no_main]

use base64::Engine as _;
use base64::prelude::{
    BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD,
};
use cic_kiosk::request::base64;
use cic_kiosk_fuzz::{seeds, start};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: start(seeds::none), |data: &[u8]| {
    if let Ok(text) = str::from_utf8(data)
        && let Ok(bytes) = base64(text)
    {
        assert!(bytes.len() <= text.len() / 4 * 3 + 2);
    }
    for engine in [BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD] {
        let text = engine.encode(data);
        let lines: Vec<&str> = text.as_bytes().chunks(76).filter_map(|line| str::from_utf8(line).ok()).collect();
        for text in [text.clone(), lines.join("\n"), format!("data:application/pdf;base64,{text}")] {
            assert_eq!(base64(&text).as_deref(), Ok(data));
        }
    }
});
