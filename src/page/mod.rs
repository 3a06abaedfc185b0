//! From bytes to upright pages: images and PDFs are decoded, photographs are cut to the paper and
//! straightened, and a PDF's own text is read where it has any.
//!
//! Promises:
//! - What a file is, its content says; its name and its sender say nothing.
//! - Every limit of [`Limits`] is checked before the memory it guards is asked for.
//! - Pages are made one at a time, when they are asked for; a page costs at most its own picture
//!   twice, plus thumbnails.
//! - Hostile bytes yield a [`PageError`], never a panic.

mod budget;
mod decode;
mod gate;
mod inflate;
mod ink;
mod likeness;
mod pdf;
mod quality;
mod straighten;
mod text_layer;
mod unpack;

use std::{fmt, thread};

use image::{DynamicImage, GrayImage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use gate::Gate;
pub use likeness::Likeness;
pub use quality::Quality;
pub use straighten::Paper;

use crate::text::PageText;

use decode::{Format, PictureFile};
use pdf::PdfFile;
use straighten::straighten;

/// Name of the threads that decode, on which a panic is expected and caught.
pub const DECODER: &str = "decoder";

/// Stack of the thread that decodes. Libraries recurse into nested objects; hayro stops at 50
/// forms in each other, some 100 KiB apiece at worst. Only what is touched costs memory.
const DECODER_STACK: usize = 32 << 20;

/// What an input may cost.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Size of the input, in bytes. Default 64 MiB: eight pages of uncompressed A4 at 150 dpi.
    pub max_bytes: usize,
    /// Pages of one document. Default 40: a report has 2 to 8, and several can come in one file.
    pub max_pages: usize,
    /// Pixels of one picture, width × height. Default 50 million: A4 at 600 dpi is 35 million,
    /// a phone's camera 12 to 50 million.
    pub max_pixels: u64,
    /// Bytes that one compressed stream of a PDF may unpack to. Default 128 MiB: A4 in colour at
    /// 600 dpi has 105 million. Streams that are no picture have 32 MiB at most, whatever this
    /// says.
    pub max_unpacked_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            max_pages: 40,
            max_pixels: 50_000_000,
            max_unpacked_bytes: 128 << 20,
        }
    }
}

/// Why bytes yield no page. Each one says, in one sentence, what a person can do.
#[derive(Clone, Debug, Error, PartialEq, Eq, Deserialize, Serialize)]
pub enum PageError {
    /// No bytes at all.
    #[error("The file is empty; scan or choose it again.")]
    Empty,
    /// Neither a picture that is read here nor a PDF.
    #[error("The file is neither a picture (JPEG, PNG, TIFF, WebP, BMP) nor a PDF.")]
    UnknownFormat,
    /// Ends early, or is broken inside.
    #[error("The file is damaged or incomplete; scan or send it again.")]
    Damaged,
    /// A PDF that asks for a password.
    #[error("The PDF is protected by a password; save it without one and send it again.")]
    Encrypted,
    /// A PDF without pages.
    #[error("The document has no pages.")]
    NoPages,
    /// Larger than [`Limits::max_bytes`].
    #[error("The file has {bytes} bytes, {limit} are allowed; scan at 200 to 300 dpi.")]
    TooManyBytes {
        /// Its size.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// More than [`Limits::max_pages`].
    #[error("The document has {pages} pages, {limit} are allowed; send one report at a time.")]
    TooManyPages {
        /// Its pages.
        pages: usize,
        /// What is allowed.
        limit: usize,
    },
    /// More than [`Limits::max_pixels`].
    #[error("A picture measures {width} × {height} pixels, too many; scan at 200 to 300 dpi.")]
    TooManyPixels {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// Unpacks to more than [`Limits::max_unpacked_bytes`], or draws without end.
    #[error("The PDF is far more complex than a report; print it on paper and scan that.")]
    TooComplex,
    /// [`Document::page`] was asked for a page that does not exist.
    #[error("The document has no page {index} (counted from 0).")]
    NoSuchPage {
        /// What was asked for.
        index: usize,
    },
}

impl Limits {
    fn check_pixels(&self, width: u32, height: u32) -> Result<(), PageError> {
        if u64::from(width) * u64::from(height) > self.max_pixels {
            return Err(PageError::TooManyPixels { width, height });
        }
        Ok(())
    }
}

/// One page, upright, cut to the paper and straightened.
#[derive(Clone)]
pub struct Page {
    /// 0-based index in the document.
    pub index: usize,
    /// The picture, 8 bits per channel: [`DynamicImage::ImageLuma8`] where the input has no
    /// colour, else [`DynamicImage::ImageRgb8`].
    pub image: DynamicImage,
    /// A PDF page's own text, in the picture's pixels; `None` where it must be read from the
    /// picture.
    pub text: Option<PageText>,
    /// How good the picture is.
    pub quality: Quality,
}

/// Figures only: what is on a page is nobody's business but its reader's.
impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page")
            .field("index", &self.index)
            .field("width", &self.image.width())
            .field("height", &self.image.height())
            .field("lines", &self.text.as_ref().map(|text| text.lines.len()))
            .field("quality", &self.quality)
            .finish_non_exhaustive()
    }
}

impl Page {
    /// A page to be read from its picture, which is cut to the paper and levelled here.
    pub fn from_picture(index: usize, picture: DynamicImage) -> Self {
        let straight = straighten(ink::without_needless_colours(picture));
        let size = (straight.image.width(), straight.image.height());
        let quality = Quality::measure(&straight.preview, size);
        let quality = Quality {
            skew: straight.skew,
            cut: straight.cut,
            cut_off: straight.cut_off,
            ..quality
        };
        Self { index, image: straight.image, text: None, quality }
    }

    /// The page as another one of its document.
    fn numbered(mut self, index: usize) -> Self {
        self.index = index;
        if let Some(text) = &mut self.text {
            text.page = index;
        }
        self
    }

    /// The picture in grey.
    pub fn grey(&self) -> GrayImage {
        ink::grey(&self.image)
    }

    /// The picture in grey with the red ink of stamps faded; none where there is no such ink.
    pub fn without_stamps(&self) -> Option<GrayImage> {
        ink::faded(&self.image)
    }

    /// The page turned clockwise by quarter turns, for one that turns out to lie on its side or
    /// on its head. A text layer is dropped: it is upright by itself.
    #[must_use]
    pub fn turned(mut self, quarter_turns: u8) -> Self {
        if !quarter_turns.is_multiple_of(4) {
            self.image = turned(self.image, quarter_turns);
            self.text = None;
        }
        self
    }
}

fn turned(picture: DynamicImage, quarter_turns: u8) -> DynamicImage {
    match quarter_turns % 4 {
        1 => picture.rotate90(),
        2 => picture.rotate180(),
        3 => picture.rotate270(),
        _ => picture,
    }
}

/// What a document comes as: one file, or several of which each has some of its pages, as where a
/// camera takes sheet after sheet.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Files(pub Vec<Vec<u8>>);

impl Files {
    /// Bytes, all together.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }
}

impl From<Vec<u8>> for Files {
    fn from(file: Vec<u8>) -> Self {
        Self(vec![file])
    }
}

/// An input, opened: its format is known, it is within the limits, and its pages can be had.
pub struct Document {
    files: Vec<File>,
    limits: Limits,
}

enum File {
    Picture(PictureFile),
    Pdf(PdfFile),
}

impl File {
    fn open(bytes: Vec<u8>, limits: &Limits) -> Result<Self, PageError> {
        if bytes.is_empty() {
            return Err(PageError::Empty);
        }
        let format = decode::sniff(&bytes)?;
        guarded(move || match format {
            Format::Picture(format) => Ok(Self::Picture(PictureFile::open(bytes, format, limits)?)),
            Format::Pdf => Ok(Self::Pdf(PdfFile::open(bytes, limits)?)),
        })
    }

    fn page_count(&self) -> usize {
        match self {
            Self::Picture(file) => file.page_count(),
            Self::Pdf(file) => file.page_count(),
        }
    }

    fn page(&self, index: usize, limits: &Limits) -> Result<Page, PageError> {
        guarded(|| match self {
            Self::Picture(file) => Ok(Page::from_picture(index, file.picture(index, limits)?)),
            Self::Pdf(file) => file.page(index, limits),
        })
    }
}

impl Document {
    /// Recognises the formats and checks what can be checked without decoding. The limits are for
    /// all files together.
    ///
    /// # Errors
    /// Any [`PageError`] but [`PageError::NoSuchPage`].
    pub fn open(files: impl Into<Files>, limits: &Limits) -> Result<Self, PageError> {
        let files: Files = files.into();
        let bytes = files.bytes();
        if bytes > limits.max_bytes {
            return Err(PageError::TooManyBytes { bytes, limit: limits.max_bytes });
        }
        let files = files.0.into_iter().map(|file| File::open(file, limits));
        let document = Self { files: files.collect::<Result<_, _>>()?, limits: limits.clone() };
        match document.page_count() {
            0 if document.files.is_empty() => Err(PageError::Empty),
            0 => Err(PageError::NoPages),
            pages if pages > limits.max_pages => {
                Err(PageError::TooManyPages { pages, limit: limits.max_pages })
            }
            _ => Ok(document),
        }
    }

    /// How many pages there are, at least one.
    pub fn page_count(&self) -> usize {
        self.file_page_counts().sum()
    }

    /// Whether some of its pages are surely without a text of their own.
    pub fn has_pictures(&self) -> bool {
        self.files.iter().any(|file| matches!(file, File::Picture(_)))
    }

    /// How many pages each file has, in the order of the files.
    pub fn file_page_counts(&self) -> impl Iterator<Item = usize> + '_ {
        self.files.iter().map(File::page_count)
    }

    /// Makes one page.
    ///
    /// # Errors
    /// [`PageError::NoSuchPage`], or what its content fails by.
    pub fn page(&self, index: usize) -> Result<Page, PageError> {
        let mut within = index;
        for file in &self.files {
            match within.checked_sub(file.page_count()) {
                Some(beyond) => within = beyond,
                None => return Ok(file.page(within, &self.limits)?.numbered(index)),
            }
        }
        Err(PageError::NoSuchPage { index })
    }

    /// Every page in turn, each made when it is asked for.
    pub fn pages(&self) -> impl Iterator<Item = Result<Page, PageError>> + '_ {
        (0..self.page_count()).map(|index| self.page(index))
    }
}

/// Runs decoders on bytes that may be hostile. They are written without `unsafe` but not without
/// panics, so they run on a thread of their own, with a known stack, whose end by panic is the
/// input's failure and not the program's.
fn guarded<T: Send>(work: impl FnOnce() -> Result<T, PageError> + Send) -> Result<T, PageError> {
    thread::scope(|scope| {
        let decoder = thread::Builder::new()
            .name(DECODER.into())
            .stack_size(DECODER_STACK)
            .spawn_scoped(scope, work);
        match decoder.map(thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result,
            Ok(Err(payload)) => match payload.downcast::<budget::Exceeded>() {
                Ok(exceeded) => Err(exceeded.0),
                Err(_) => Err(PageError::Damaged),
            },
            Err(_) => Err(PageError::Damaged),
        }
    })
}
