//! Settings that the fleet wants of a kiosk, as they come from its broker.
#![no_main]

use cic_kiosk_fuzz::{seeds, start};
use libfuzzer_sys::fuzz_target;

use message::Desired;

// The program's, not the library's: its file stands for itself. Not all of it is there to be parsed.
#[allow(dead_code)]
#[path = "../../src/fleet/configuration/message.rs"]
mod message;

fuzz_target!(init: start(seeds::desired), |data: &[u8]| match Desired::parse(data) {
    Ok(desired) => {
        // It is kept on the disk, and must mean the same when it comes back from there.
        let kept = serde_json::to_vec(&desired).expect("what was taken can be kept");
        let again = Desired::parse(&kept).expect("what was kept can be read");
        assert_eq!(again.version, desired.version);
        assert!(again.keys().map(|(key, _)| key).eq(desired.keys().map(|(key, _)| key)));
    }
    Err(refusal) => {
        // It is told to the fleet, and must be small whatever came.
        let told = serde_json::to_vec(&refusal).expect("a refusal can be told");
        assert!(!refusal.reason.is_empty() && told.len() < 16 << 10);
    }
});
