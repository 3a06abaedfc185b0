//! From bytes to upright pages: images and PDFs are decoded, photographs are cut to the paper and
//! straightened, and a PDF's own text is read where it has any.
//!
//! Promises:
//! - What a file is, its content says; its name and its sender say nothing.
//! - Every limit of [`Limits`] is checked before the memory it guards is asked for.
//! - Pages are made one at a time, when they are asked for; a page costs at most its own picture
//!   twice, plus thumbnails.
//! - Hostile bytes yield a [`PageError`], never a panic.

mod pdf;
mod text_layer;

use image::{DynamicImage, GrayImage};
use thiserror::Error;

use crate::text::PageText;

/// What an input may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size of the input, in bytes. Default 64 MiB: eight pages of uncompressed A4 at 150 dpi.
    pub max_bytes: usize,
    /// Pages of one document. Default 40: a report has 2 to 8, and several can come in one file.
    pub max_pages: usize,
    /// Pixels of one picture, width × height. Default 50 million: A4 at 600 dpi is 35 million,
    /// a phone's camera 12 to 50 million.
    pub max_pixels: u64,
    /// Bytes that the compressed streams of a PDF may unpack to, all together, pictures aside.
    /// Default 128 MiB.
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
#[derive(Clone, Debug, Error, PartialEq, Eq)]
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

/// One page, upright, cut to the paper and straightened.
#[derive(Clone, Debug)]
pub struct Page {
    /// 0-based index in the document.
    pub index: usize,
    /// The picture, 8 bits per channel: [`DynamicImage::ImageLuma8`] where the input has no
    /// colour, else [`DynamicImage::ImageRgb8`].
    pub image: DynamicImage,
    /// A PDF page's own text, in the picture's pixels; `None` where it must be read from the
    /// picture.
    pub text: Option<PageText>,
}

impl Page {
    /// The picture in grey.
    pub fn grey(&self) -> GrayImage {
        self.image.to_luma8()
    }
}

/// An input, opened: its format is known, it is within the limits, and its pages can be had.
pub struct Document {
    pdf: pdf::PdfDocument,
    limits: Limits,
}

impl Document {
    /// Recognises the format and checks what can be checked without decoding.
    ///
    /// # Errors
    /// Any [`PageError`] but [`PageError::NoSuchPage`].
    pub fn open(bytes: Vec<u8>, limits: &Limits) -> Result<Self, PageError> {
        if bytes.is_empty() {
            return Err(PageError::Empty);
        }
        if bytes.len() > limits.max_bytes {
            return Err(PageError::TooManyBytes { bytes: bytes.len(), limit: limits.max_bytes });
        }
        let pdf = pdf::PdfDocument::open(bytes, limits)?;
        Ok(Self { pdf, limits: limits.clone() })
    }

    /// How many pages there are, at least one.
    pub fn page_count(&self) -> usize {
        self.pdf.page_count()
    }

    /// Makes one page.
    ///
    /// # Errors
    /// [`PageError::NoSuchPage`], or what its content fails by.
    pub fn page(&self, index: usize) -> Result<Page, PageError> {
        if index >= self.page_count() {
            return Err(PageError::NoSuchPage { index });
        }
        self.pdf.page(index, &self.limits)
    }

    /// Every page in turn, each made when it is asked for.
    pub fn pages(&self) -> impl Iterator<Item = Result<Page, PageError>> + '_ {
        (0..self.page_count()).map(|index| self.page(index))
    }
}
