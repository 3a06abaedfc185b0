//! Pictures of all formats, from their first byte to the straightened page.
#![no_main]

use cic_kiosk_fuzz::{read, seeds, start};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: start(seeds::pictures), |data: &[u8]| read(data.to_vec()));
