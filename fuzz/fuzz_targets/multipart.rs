//! A form of the contract, in whatever pieces it arrives.
#![no_main]

use cic_kiosk::request::{Input, Parameters, Request, multipart};
use cic_kiosk_fuzz::{seeds, start};
use futures_util::{FutureExt, stream};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: start(seeds::requests), |data: &[u8]| {
    let Some((&piece, body)) = data.split_first() else { return };
    let pieces = body.chunks(usize::from(piece).max(1)).map(|piece| Ok::<_, std::io::Error>(piece.to_vec().into()));
    let form = multipart(stream::iter(pieces), seeds::BOUNDARY).now_or_never();
    // Nothing of it waits: all pieces are there.
    match form.expect("the form is read to its end").and_then(|form| form.request(Parameters::default())) {
        Ok(Request { input: Input::File(img) | Input::Base64(img), .. }) => assert!(img.len() < body.len()),
        Ok(Request { input: Input::Url(url), .. }) => assert!(!url.is_empty()),
        Err(error) => assert!(error.to_string().ends_with('.'), "{error}"),
    }
});
