//! Base64 as clients write it: in either alphabet, padded or not, in lines as Python's
//! `encodebytes` and MIME break them, with the head of a data URL or without.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::RequestError;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The bytes that the text stands for.
///
/// # Errors
/// [`RequestError::NoBase64`].
pub fn decode(text: &str) -> Result<Vec<u8>, RequestError> {
    let digits: Vec<u8> = after_data_url_head(text)
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            byte => byte,
        })
        .collect();
    LENIENT.decode(digits).map_err(|_| RequestError::NoBase64)
}

/// What follows `data:image/png;base64,` (RFC 2397); all of it where there is no such head.
fn after_data_url_head(text: &str) -> &str {
    let text = text.trim_start();
    match text.split_once(',') {
        Some((head, data))
            if head.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
                && head.to_ascii_lowercase().ends_with(";base64") =>
        {
            data
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_alphabets_are_read_with_padding_and_without() {
        let bytes = [0xfb, 0xff, 0xfe, 0x01];
        for text in ["+//+AQ==", "-__-AQ==", "+//+AQ", "-__-AQ"] {
            assert_eq!(decode(text).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn line_breaks_are_skipped() {
        assert_eq!(decode("QUJD\nREVG\r\n R0g=\n").unwrap(), b"ABCDEFGH");
    }

    #[test]
    fn the_head_of_a_data_url_is_skipped() {
        assert_eq!(decode("data:image/png;base64,QUJD").unwrap(), b"ABC");
        assert_eq!(decode(" DATA:application/pdf;name=a.pdf;BASE64,QUJD").unwrap(), b"ABC");
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        for text in ["Q", "QUJD*", "QUI=QUI=", "data:image/png,QUJD", "QUJ\u{e9}", "===="] {
            assert_eq!(decode(text), Err(RequestError::NoBase64), "{text}");
        }
    }
}
