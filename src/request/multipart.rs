//! `multipart/form-data` (RFC 7578), read as it arrives.

use std::error::Error;

use bytes::Bytes;
use futures_util::Stream;
use multer::{Field, Multipart};

use super::{FORMAT_TYPE, GET_THUMB, IMG, Img, Parameters, RequestError, put};

/// The longest value of a parameter other than `img`, in bytes: several times the longest one that
/// means anything.
const LONGEST_VALUE: usize = 64;

/// Reads the parameters of a form; fields of other names are skipped.
///
/// An error of the stream itself comes out as [`RequestError::NoMultipart`]: whoever made the
/// stream knows more.
///
/// # Errors
/// [`RequestError::NoMultipart`], [`RequestError::Twice`], or that of a value too long to mean
/// anything.
pub async fn parse<S, E>(stream: S, boundary: &str) -> Result<Parameters, RequestError>
where
    S: Stream<Item = Result<Bytes, E>> + Send,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let mut form = Multipart::new(stream, boundary);
    let mut parameters = Parameters::default();
    while let Some(mut field) = form.next_field().await.map_err(damaged)? {
        match field.name() {
            Some(IMG) => {
                let img = all_of(&mut field, usize::MAX, RequestError::NoImg).await?;
                put(IMG, &mut parameters.img, Img::Bytes(img))?;
            }
            Some(FORMAT_TYPE) => {
                let text = short(&mut field, RequestError::UnknownFormatType).await?;
                put(FORMAT_TYPE, &mut parameters.format_type, text)?;
            }
            Some(GET_THUMB) => {
                let text = short(&mut field, RequestError::UnknownGetThumb).await?;
                put(GET_THUMB, &mut parameters.get_thumb, text)?;
            }
            _ => {}
        }
    }
    Ok(parameters)
}

async fn short(field: &mut Field<'_>, otherwise: RequestError) -> Result<String, RequestError> {
    let bytes = all_of(field, LONGEST_VALUE, otherwise).await?;
    String::from_utf8(bytes).map_err(|_| otherwise)
}

async fn all_of(
    field: &mut Field<'_>,
    most: usize,
    otherwise: RequestError,
) -> Result<Vec<u8>, RequestError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(damaged)? {
        if bytes.len() + chunk.len() > most {
            return Err(otherwise);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn damaged(_: multer::Error) -> RequestError {
    RequestError::NoMultipart
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, stream};

    use super::super::{Input, Request};
    use super::*;

    /// Parses a form that arrives in pieces of so many bytes.
    fn parsed(body: &[u8], piece: usize) -> Result<Parameters, RequestError> {
        let pieces = body.chunks(piece).map(Bytes::copy_from_slice).map(Ok::<_, std::io::Error>);
        let stream = stream::iter(pieces.collect::<Vec<_>>());
        parse(stream, "B").now_or_never().expect("nothing to wait for")
    }

    fn field(head: &str, body: &str) -> String {
        format!("--B\r\nContent-Disposition: form-data; {head}\r\n\r\n{body}\r\n")
    }

    #[test]
    fn a_file_and_its_parameters_are_read_in_whatever_pieces_they_come() {
        let body = field("name=\"img\"; filename=\"a.png\"", "\r\n--no boundary\r\n")
            + &field("name=\"get_thumb\"", "true")
            + &field("name=\"other\"", &"x".repeat(1000))
            + &field("name=\"format_type\"", "file")
            + "--B--\r\n";
        for piece in [1, 7, body.len()] {
            let parameters = parsed(body.as_bytes(), piece).unwrap();
            let request = parameters.request(Parameters::default()).unwrap();
            let input = Input::File(b"\r\n--no boundary\r\n".to_vec());
            assert_eq!(request, Request { input, pictures: true });
        }
    }

    #[test]
    fn a_form_may_hold_base64() {
        let body = field("name=\"img\"", "QUJD") + "--B--\r\n";
        let query = Parameters::from_form(b"format_type=base64").unwrap();
        let request = query.request(parsed(body.as_bytes(), 99).unwrap()).unwrap();
        assert_eq!(request.input, Input::Base64(b"ABC".to_vec()));
    }

    #[test]
    fn a_form_that_was_cut_off_is_refused_wherever_it_was_cut() {
        let body = field("name=\"img\"; filename=\"a.png\"", "abc") + "--B--\r\n";
        // Without its last line break the form is whole.
        for end in 0..body.len() - 2 {
            let result = parsed(&body.as_bytes()[..end], 16);
            assert!(result == Err(RequestError::NoMultipart), "cut at {end}");
        }
    }

    #[test]
    fn two_files_and_endless_values_are_refused() {
        let file = field("name=\"img\"; filename=\"a.png\"", "abc");
        let twice = parsed((file.clone() + &file + "--B--\r\n").as_bytes(), 99);
        assert!(twice == Err(RequestError::Twice("img")));
        let long = parsed((field("name=\"get_thumb\"", &"1".repeat(65)) + "--B--").as_bytes(), 99);
        assert!(long == Err(RequestError::UnknownGetThumb));
    }
}
