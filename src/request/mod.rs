//! The contract's request: which document is to be read, and how, in whichever of the three forms
//! it comes: by URL, as a file in multipart, or in base64 within JSON.
//!
//! Promises:
//! - Bytes in, a [`Request`] out: nothing is opened or fetched here, and sizes are the caller's to
//!   limit before.
//! - Each parameter may stand in the query or in the body, and counts once: two of a kind are
//!   refused rather than one of them ignored.
//! - Whatever the bytes, there is a [`Request`] or a [`RequestError`], never a panic. An error says
//!   in one sentence what to do, and repeats nothing of what was sent.

mod base64;
mod multipart;

use serde::Deserialize;
use thiserror::Error;
use url::form_urlencoded;

pub use base64::decode as base64;
pub use multipart::parse as multipart;

use crate::report::schema::ErrorCode;

/// A document to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The document, or where it is.
    pub input: Input,
    /// Whether the answer should hold pictures of pages and tables (`get_thumb`).
    pub pictures: bool,
}

/// A document, or where it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Input {
    /// To be fetched.
    Url(String),
    /// A picture or PDF, sent as a file.
    File(Vec<u8>),
    /// A picture or PDF, sent in base64.
    Base64(Vec<u8>),
}

impl Input {
    /// The `format_type` that it came by.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Url(_) => FormatType::Url.name(),
            Self::File(_) => FormatType::File.name(),
            Self::Base64(_) => FormatType::Base64.name(),
        }
    }
}

/// Figures only: what was sent is nobody's business but its reader's.
impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let size = match self {
            Self::Url(url) => url.len(),
            Self::File(bytes) | Self::Base64(bytes) => bytes.len(),
        };
        write!(f, "{} of {size} bytes", self.name())
    }
}

/// How `img` is to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatType {
    /// As the address of a document.
    Url,
    /// As the document itself.
    File,
    /// As the document in base64.
    Base64,
}

impl FormatType {
    /// All of them, in the contract's order.
    pub const ALL: [Self; 3] = [Self::Url, Self::File, Self::Base64];

    /// The value of `format_type`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::File => "file",
            Self::Base64 => "base64",
        }
    }

    fn parse(text: &str) -> Result<Self, RequestError> {
        let is_it = |known: &Self| known.name().eq_ignore_ascii_case(text.trim());
        Self::ALL.into_iter().find(is_it).ok_or(RequestError::UnknownFormatType)
    }
}

/// Why a request asks for nothing that can be read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RequestError {
    /// `format_type` is none of the three.
    #[error("The parameter format_type must be url, file or base64.")]
    UnknownFormatType,
    /// `get_thumb` is neither yes nor no.
    #[error("The parameter get_thumb must be true or false.")]
    UnknownGetThumb,
    /// There is no document.
    #[error(
        "There is no img; send the address of a picture or PDF, a file in a form, or base64 in \
         JSON."
    )]
    NoImg,
    /// A parameter comes twice.
    #[error("The parameter {0} comes more than once; send it once.")]
    Twice(&'static str),
    /// `format_type=file` with `img` as a piece of text.
    #[error("With format_type=file, img must be a file in a multipart/form-data body.")]
    NoFile,
    /// `format_type` is `url` or `base64`, and `img` is no text.
    #[error("With this format_type, img must be text in UTF-8.")]
    NoText,
    /// Not base64.
    #[error("The parameter img is no valid base64, or was cut off.")]
    NoBase64,
    /// Not the JSON of the contract.
    #[error("The body must be a JSON object with the member img, a string.")]
    NoJson,
    /// Not a multipart form, or one cut off.
    #[error("The body is no valid multipart/form-data, or was cut off.")]
    NoMultipart,
    /// A body of another kind.
    #[error("The body must be multipart/form-data, application/json or a URL-encoded form.")]
    UnknownContentType,
}

impl RequestError {
    /// The contract's code.
    pub const fn code(self) -> ErrorCode {
        ErrorCode::BadInput
    }
}

/// What a body is, by its `Content-Type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// `multipart/form-data` with this boundary.
    Multipart(String),
    /// `application/json`.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
}

impl BodyKind {
    /// The kind that a `Content-Type` names.
    ///
    /// # Errors
    /// [`RequestError::UnknownContentType`], or [`RequestError::NoMultipart`] without a boundary.
    pub fn of(content_type: &str) -> Result<Self, RequestError> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "multipart/form-data" => multer::parse_boundary(content_type)
                .map(Self::Multipart)
                .map_err(|_| RequestError::NoMultipart),
            "application/json" => Ok(Self::Json),
            "application/x-www-form-urlencoded" => Ok(Self::Form),
            _ => Err(RequestError::UnknownContentType),
        }
    }
}

/// `img` as it was sent.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Img {
    Text(String),
    Bytes(Vec<u8>),
}

/// The contract's parameters as one place (query or body) gives them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Parameters {
    img: Option<Img>,
    format_type: Option<String>,
    get_thumb: Option<String>,
}

impl Parameters {
    /// Reads a query or a URL-encoded form; parameters of other names are ignored.
    ///
    /// # Errors
    /// [`RequestError::Twice`].
    pub fn from_form(text: &[u8]) -> Result<Self, RequestError> {
        let mut parameters = Self::default();
        for (name, value) in form_urlencoded::parse(text) {
            match name.as_ref() {
                IMG => put(IMG, &mut parameters.img, Img::Text(value.into_owned()))?,
                FORMAT_TYPE => {
                    put(FORMAT_TYPE, &mut parameters.format_type, value.into_owned())?;
                }
                GET_THUMB => put(GET_THUMB, &mut parameters.get_thumb, value.into_owned())?,
                _ => {}
            }
        }
        Ok(parameters)
    }

    /// Reads a JSON object; members of other names are ignored.
    ///
    /// # Errors
    /// [`RequestError::NoJson`].
    pub fn from_json(text: &[u8]) -> Result<Self, RequestError> {
        #[derive(Deserialize)]
        struct Body {
            img: Option<String>,
            format_type: Option<String>,
            get_thumb: Option<Flag>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Flag {
            Bool(bool),
            Text(String),
        }
        // A mark of byte order, which some clients write, may be ignored (RFC 8259, 8.1).
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
        let body: Body = serde_json::from_slice(text).map_err(|_| RequestError::NoJson)?;
        let get_thumb = body.get_thumb.map(|flag| match flag {
            Flag::Bool(flag) => flag.to_string(),
            Flag::Text(text) => text,
        });
        Ok(Self { img: body.img.map(Img::Text), format_type: body.format_type, get_thumb })
    }

    /// The request that these parameters and those of the body make.
    ///
    /// Without `format_type`, what `img` is decides: a file, an address, or else base64.
    ///
    /// # Errors
    /// Any [`RequestError`] about a parameter.
    pub fn request(self, body: Self) -> Result<Request, RequestError> {
        let format_type = only(FORMAT_TYPE, self.format_type, body.format_type)?
            .map(|text| FormatType::parse(&text))
            .transpose()?;
        let get_thumb = only(GET_THUMB, self.get_thumb, body.get_thumb)?;
        let pictures = get_thumb.map_or(Ok(false), |text| flag(&text))?;
        let img = only(IMG, self.img, body.img)?.ok_or(RequestError::NoImg)?;
        let input = match (format_type.unwrap_or_else(|| img.likely_format()), img) {
            (FormatType::Url, img) => Input::Url(img.into_text()?.trim().to_owned()),
            (FormatType::File, Img::Bytes(bytes)) => Input::File(bytes),
            (FormatType::File, Img::Text(_)) => return Err(RequestError::NoFile),
            (FormatType::Base64, img) => Input::Base64(base64(&img.into_text()?)?),
        };
        match &input {
            Input::Url(text) if text.is_empty() => Err(RequestError::NoImg),
            Input::File(bytes) | Input::Base64(bytes) if bytes.is_empty() => {
                Err(RequestError::NoImg)
            }
            _ => Ok(Request { input, pictures }),
        }
    }
}

const IMG: &str = "img";
const FORMAT_TYPE: &str = "format_type";
const GET_THUMB: &str = "get_thumb";

impl Img {
    fn likely_format(&self) -> FormatType {
        match self {
            Self::Bytes(_) => FormatType::File,
            Self::Text(text) if text.trim_start().to_ascii_lowercase().starts_with("http") => {
                FormatType::Url
            }
            Self::Text(_) => FormatType::Base64,
        }
    }

    fn into_text(self) -> Result<String, RequestError> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Bytes(bytes) => String::from_utf8(bytes).map_err(|_| RequestError::NoText),
        }
    }
}

/// Python writes `True`, JavaScript `true`, and people `1`; nothing at all is no.
fn flag(text: &str) -> Result<bool, RequestError> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" | "" => Ok(false),
        _ => Err(RequestError::UnknownGetThumb),
    }
}

fn put<T>(name: &'static str, place: &mut Option<T>, value: T) -> Result<(), RequestError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(RequestError::Twice(name)),
    }
}

fn only<T>(name: &'static str, a: Option<T>, b: Option<T>) -> Result<Option<T>, RequestError> {
    match (a, b) {
        (Some(_), Some(_)) => Err(RequestError::Twice(name)),
        (a, b) => Ok(a.or(b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Result<Request, RequestError> {
        Parameters::from_form(text.as_bytes())?.request(Parameters::default())
    }

    fn json(query: &str, body: &str) -> Result<Request, RequestError> {
        let body = Parameters::from_json(body.as_bytes())?;
        Parameters::from_form(query.as_bytes())?.request(body)
    }

    #[test]
    fn the_contracts_query_names_an_address_without_escaping_it() {
        let request =
            query("img=https://example.com/image.png&format_type=url&get_thumb=false").unwrap();
        let input = Input::Url("https://example.com/image.png".to_owned());
        assert_eq!(request, Request { input, pictures: false });
    }

    #[test]
    fn an_escaped_address_keeps_its_own_query() {
        let request = query("img=https%3A%2F%2Fa.vn%2Fb%3Fc%3D1%26d%3D2&get_thumb=true").unwrap();
        let input = Input::Url("https://a.vn/b?c=1&d=2".to_owned());
        assert_eq!(request, Request { input, pictures: true });
    }

    #[test]
    fn json_holds_base64() {
        let request = json("format_type=base64&get_thumb=True", r#"{"img": "QU\nJD\n"}"#).unwrap();
        assert_eq!(request, Request { input: Input::Base64(b"ABC".to_vec()), pictures: true });
    }

    #[test]
    fn json_may_hold_all_parameters() {
        let body = r#"{"img": "https://a.vn", "format_type": "url", "get_thumb": true, "x": [1]}"#;
        let request = json("", body).unwrap();
        assert_eq!(request, Request { input: Input::Url("https://a.vn".into()), pictures: true });
    }

    #[test]
    fn json_may_begin_with_a_mark_of_byte_order() {
        assert!(json("", "\u{feff}{\"img\": \"QUJD\"}").is_ok());
    }

    #[test]
    fn what_img_is_decides_where_format_type_is_missing() {
        assert_eq!(query("img=http://a.vn/").unwrap().input.name(), "url");
        assert_eq!(json("", r#"{"img": "QUJD"}"#).unwrap().input.name(), "base64");
        let file = Parameters { img: Some(Img::Bytes(vec![1])), ..Parameters::default() };
        assert_eq!(file.request(Parameters::default()).unwrap().input.name(), "file");
    }

    #[test]
    fn each_fault_is_named() {
        let missing = [query(""), query("img="), json("", "{}"), json("", r#"{"img": ""}"#)];
        for request in missing {
            assert_eq!(request, Err(RequestError::NoImg));
        }
        assert_eq!(query("img=a&format_type=ftp"), Err(RequestError::UnknownFormatType));
        assert_eq!(query("img=http://a&get_thumb=maybe"), Err(RequestError::UnknownGetThumb));
        assert_eq!(query("img=a&img=b"), Err(RequestError::Twice("img")));
        assert_eq!(json("img=a", r#"{"img": "b"}"#), Err(RequestError::Twice("img")));
        assert_eq!(query("img=a&format_type=file"), Err(RequestError::NoFile));
        for body in ["", "[]", "null", r#"{"img": 1}"#, r#"{"img": "a", "img": "b"}"#, "{"] {
            assert_eq!(json("", body), Err(RequestError::NoJson), "{body}");
        }
        assert_eq!(json("", r#"{"img": "*"}"#), Err(RequestError::NoBase64));
    }

    #[test]
    fn a_body_is_what_its_content_type_says() {
        let multipart = BodyKind::of("multipart/form-data; boundary=\"a b\"");
        assert_eq!(multipart, Ok(BodyKind::Multipart("a b".to_owned())));
        assert_eq!(BodyKind::of("multipart/form-data"), Err(RequestError::NoMultipart));
        assert_eq!(BodyKind::of("Application/JSON; charset=utf-8"), Ok(BodyKind::Json));
        assert_eq!(BodyKind::of("application/x-www-form-urlencoded"), Ok(BodyKind::Form));
        assert_eq!(BodyKind::of("text/plain"), Err(RequestError::UnknownContentType));
        assert_eq!(BodyKind::of(""), Err(RequestError::UnknownContentType));
    }

    #[test]
    fn debug_output_shows_no_more_than_sizes() {
        let request = query("img=http://secret.vn/");
        assert!(!format!("{request:?}").contains("secret"));
    }
}
