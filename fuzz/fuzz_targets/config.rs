//! Configuration files, and variables over them.
#![no_main]

use cic_kiosk::config::{Config, Layer, Loaded, VARIABLES};
use cic_kiosk_fuzz::{seeds, start};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: start(seeds::configurations), |data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    // What follows the last line that begins with the variables' prefix is a variable.
    let (text, variable) = text.rsplit_once(VARIABLES).unwrap_or((text, "HTTP__QUEUE=1"));
    let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
    let layers = [
        Layer::File("file".to_owned(), text.to_owned()),
        Layer::Variable(format!("{VARIABLES}{name}"), value.to_owned()),
    ];
    match Loaded::from_layers(layers) {
        Ok(loaded) => assert_eq!(Config::parse(&loaded.show()).as_ref(), Ok(&loaded.config)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
