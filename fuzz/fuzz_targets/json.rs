//! The contract's JSON: requests, and answers as the cloud service gives them.
#![no_main]

use cic_kiosk::report::schema::Answer;
use cic_kiosk::request::Parameters;
use cic_kiosk_fuzz::{seeds, start};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: start(seeds::json), |data: &[u8]| {
    let request = Parameters::from_json(data).and_then(|body| Parameters::default().request(body));
    if let Err(error) = request {
        assert!(error.to_string().ends_with('.'), "{error}");
    }
    if let Ok(answer) = serde_json::from_slice::<Answer>(data) {
        // What was understood once is understood in the same way again.
        let written = serde_json::to_string(&answer).expect("an answer can be written");
        let read: Answer = serde_json::from_str(&written).expect("what was written can be read");
        assert_eq!(serde_json::to_string(&read).expect("as before"), written);
    }
});
