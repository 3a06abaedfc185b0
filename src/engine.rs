//! Chains the steps: bytes in, answer out.
//!
//! Promises:
//! - No file, no socket, no clock: models come from a loader that the caller gives, timings from
//!   an [`Observer`].
//! - Two pages at most are in memory at a time, however long the document; of a page that is done
//!   only its text remains, and its JPEG where pictures were asked for.
//! - Models are loaded when the first page without a text layer comes, so digital documents need
//!   none.
//! - Whatever the bytes, there is an answer with an error code of the contract.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageError, ImageFormat, Rgb, RgbImage};
use serde::{Deserialize, Serialize};

use crate::finding::Finding;
use crate::geometry::Rect;
use crate::ocr::{ModelError, Reader};
use crate::page::{Document, Files, Gate, Limits, Page, PageError};
use crate::report::{
    self,
    schema::{Answer, ErrorCode, Meta, ModelInfo, PageQuality, Region, Report, Table},
};
use crate::stage::{Cancelled, Observer, Stage, Watch};
use crate::text::PageText;

/// Quality of the pages' JPEGs: text stays clean, an A4 page at 300 dpi takes about 1 MB.
const JPEG_QUALITY: u8 = 85;

/// Models, ready to read, and what they are called in the answer.
pub struct Models {
    /// The reader that they make.
    pub reader: Reader,
    /// Their names and versions.
    pub info: Vec<ModelInfo>,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Loader = Box<dyn Fn() -> Result<Models, BoxError> + Send + Sync>;

/// Which pictures an answer has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pictures {
    /// None.
    #[default]
    None,
    /// Those of pages: for tables, pages are decoded again.
    Pages,
    /// Those of pages and tables.
    All,
}

impl From<bool> for Pictures {
    fn from(wanted: bool) -> Self {
        if wanted { Self::All } else { Self::None }
    }
}

/// What one reading should give.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Which pictures are filled in.
    pub pictures: Pictures,
    /// Values below this confidence are named in `meta.needs_review`.
    pub review_below: f32,
    /// What a picture must be like; what is wrong with one that is not stands in `meta.quality`.
    pub gate: Gate,
}

impl Default for Options {
    fn default() -> Self {
        let review_below = report::Options::default().review_below;
        Self { pictures: Pictures::None, review_below, gate: Gate::default() }
    }
}

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The input is not to be had as pages.
    #[error(transparent)]
    Page(#[from] PageError),
    /// The models cannot be loaded.
    #[error("The models cannot be loaded: {0}.")]
    Models(BoxError),
    /// A model failed.
    #[error("A model failed: {0}.")]
    Model(ModelError),
    /// The observer cancelled.
    #[error("The reading was cancelled.")]
    Cancelled,
    /// A picture could not be written.
    #[error("A picture could not be encoded: {0}.")]
    Picture(#[from] ImageError),
}

impl EngineError {
    /// The contract's code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Page(_) => ErrorCode::BadInput,
            Self::Models(_) | Self::Model(_) | Self::Picture(_) | Self::Cancelled => {
                ErrorCode::Internal
            }
        }
    }
}

impl From<Cancelled> for EngineError {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

impl From<ModelError> for EngineError {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Cancelled => Self::Cancelled,
            error => Self::Model(error),
        }
    }
}

/// A page as read.
#[derive(Clone)]
struct ReadPage {
    text: PageText,
    /// Whether models took part.
    by_pixels: bool,
    /// The page as JPEG, where pictures were asked for.
    picture: Option<Vec<u8>>,
    /// What is wrong with its picture, where it was read from one.
    findings: Vec<Finding>,
}

/// A page that was read before the last one of its document was there.
#[derive(Clone)]
pub struct PageAhead(ReadPage);

/// Reads credit reports. One serves any number of threads.
pub struct Engine {
    limits: Limits,
    load: Loader,
    models: OnceLock<Models>,
    loading: Mutex<()>,
}

impl Engine {
    /// An engine that loads its models when it first needs them; when that fails, it tries again
    /// on the next occasion.
    pub fn new(
        limits: Limits,
        load: impl Fn() -> Result<Models, BoxError> + Send + Sync + 'static,
    ) -> Self {
        Self { limits, load: Box::new(load), models: OnceLock::new(), loading: Mutex::new(()) }
    }

    /// The models, loaded if they were not yet.
    pub fn models(&self) -> Result<&Models, EngineError> {
        let _one_at_a_time = match self.models.get() {
            Some(models) => return Ok(models),
            None => self.loading.lock().unwrap_or_else(PoisonError::into_inner),
        };
        match self.models.get() {
            Some(models) => Ok(models),
            None => {
                let models = (self.load)().map_err(EngineError::Models)?;
                Ok(self.models.get_or_init(|| models))
            }
        }
    }

    /// The text of each page, in page order.
    pub fn read_text(
        &self,
        files: impl Into<Files>,
        observer: &dyn Observer,
    ) -> Result<Vec<PageText>, EngineError> {
        let pages = self.read_pages(files.into(), Vec::new(), &Options::default(), observer)?;
        Ok(pages.into_iter().map(|page| page.text).collect())
    }

    /// These pages (0-based), upright, cut to the paper and straightened, as JPEGs in page order. A
    /// page without a text layer is read for it, as only then is known which way up it lies.
    pub fn page_pictures(
        &self,
        files: impl Into<Files>,
        pages: &BTreeSet<usize>,
        observer: &dyn Observer,
    ) -> Result<Vec<Vec<u8>>, EngineError> {
        let document = Document::open(files, &self.limits)?;
        let picture = |&index: &usize| {
            let options = Options { pictures: Pictures::Pages, ..Options::default() };
            let page = self.read_page(&document, index, &options, Watch::new(observer, index))?;
            Ok(page.picture.unwrap_or_default())
        };
        pages.iter().map(picture).collect()
    }

    /// Reads all reports in the input. What the engine cannot know, the caller adds to the
    /// answer's meta: the scan's id and the time each stage took.
    pub fn read(
        &self,
        files: impl Into<Files>,
        options: &Options,
        observer: &dyn Observer,
    ) -> Answer {
        self.read_rest(files.into(), Vec::new(), options, observer)
    }

    /// Reads a page before the others of its document are there.
    pub fn read_ahead(
        &self,
        page: Page,
        options: &Options,
        observer: &dyn Observer,
    ) -> Result<PageAhead, EngineError> {
        let watch = Watch::new(observer, page.index);
        Ok(PageAhead(self.read_decoded(page, options, watch)?))
    }

    /// The same as [`Engine::read`], but for those files of which the one page was read ahead; they
    /// stand in the order of the files.
    pub fn read_rest(
        &self,
        files: Files,
        ahead: Vec<Option<PageAhead>>,
        options: &Options,
        observer: &dyn Observer,
    ) -> Answer {
        self.read_pages(files, ahead, options, observer)
            .and_then(|pages| self.answer(pages, options, observer))
            .unwrap_or_else(|error| failure(error, Meta::default()))
    }

    fn answer(
        &self,
        pages: Vec<ReadPage>,
        options: &Options,
        observer: &dyn Observer,
    ) -> Result<Answer, EngineError> {
        let by_pixels = pages.iter().any(|page| page.by_pixels);
        let models = self.models.get().filter(|_| by_pixels).map(|models| models.info.clone());
        let quality = pages.iter().enumerate().filter(|(_, page)| !page.findings.is_empty());
        let quality = quality.map(|(index, page)| PageQuality::found(index, &page.findings));
        let quality = quality.collect();
        let (texts, pictures): (Vec<PageText>, Vec<Option<Vec<u8>>>) =
            pages.into_iter().map(|page| (page.text, page.picture)).unzip();
        let mut reading = Watch::new(observer, 0).stage(Stage::Report, || {
            let options = report::Options { review_below: options.review_below };
            Ok::<_, EngineError>(report::read(&texts, &options))
        })?;
        let meta = Meta {
            confidence: reading.confidence,
            needs_review: reading.needs_review,
            checks: reading.checks,
            pages: texts.len(),
            models: models.unwrap_or_default(),
            detail: reading.detail,
            page_order: reading.page_order,
            missing_pages: reading.missing_pages,
            other_papers: reading.other_papers,
            quality,
            ..Meta::default()
        };
        if reading.reports.is_empty() {
            return Ok(Answer::failure(ErrorCode::NoReport, meta));
        }
        if options.pictures != Pictures::None {
            let pictures: Vec<Vec<u8>> = pictures.into_iter().flatten().collect();
            for report in &mut reading.reports {
                report.imgs = pictures.iter().map(|page| BASE64_STANDARD.encode(page)).collect();
                if options.pictures == Pictures::All
                    && let Err(error) = add_table_pictures(report, &pictures)
                {
                    return Ok(failure(error.into(), meta));
                }
            }
        }
        Ok(Answer::success(reading.reports, meta))
    }

    fn read_pages(
        &self,
        files: Files,
        ahead: Vec<Option<PageAhead>>,
        options: &Options,
        observer: &dyn Observer,
    ) -> Result<Vec<ReadPage>, EngineError> {
        let document = Document::open(files, &self.limits)?;
        let count = document.page_count();
        let ready = Mutex::new(placed(&document, ahead));
        let read = |index| {
            let page = ready.lock().unwrap_or_else(PoisonError::into_inner).remove(&index);
            match page {
                Some(page) => Ok(page),
                None => self.read_page(&document, index, options, Watch::new(observer, index)),
            }
        };
        // Two threads take pages in turn: while one page is decoded, which keeps one core busy,
        // another is read. They are no threads of rayon's pool, because decoding waits for that.
        let next = AtomicUsize::new(0);
        let take_turns = || {
            let mut pages = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return Ok(pages);
                }
                match read(index) {
                    Ok(page) => pages.push(page),
                    Err(error) => {
                        next.store(count, Ordering::Relaxed);
                        return Err(error);
                    }
                }
            }
        };
        let mut pages = thread::scope(|scope| {
            // While the first picture is decoded, which keeps one core busy. Where it fails, the
            // page that needs them says so.
            if document.has_pictures() && self.models.get().is_none() {
                scope.spawn(|| self.models().is_ok());
            }
            let other = (count > 1).then(|| scope.spawn(take_turns));
            let mut pages = take_turns()?;
            if let Some(other) = other {
                pages.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic))?);
            }
            Ok::<_, EngineError>(pages)
        })?;
        pages.sort_by_key(|page| page.text.page);
        Ok(pages)
    }

    fn read_page(
        &self,
        document: &Document,
        index: usize,
        options: &Options,
        watch: Watch,
    ) -> Result<ReadPage, EngineError> {
        let page =
            watch.stage(Stage::Decode, || document.page(index).map_err(EngineError::Page))?;
        self.read_decoded(page, options, watch)
    }

    fn read_decoded(
        &self,
        mut page: Page,
        options: &Options,
        watch: Watch,
    ) -> Result<ReadPage, EngineError> {
        let (index, pictures) = (page.index, options.pictures != Pictures::None);
        let layer = page.text.take();
        let by_pixels = layer.is_none();
        let findings = if by_pixels { options.gate.judge(&page.quality) } else { Vec::new() };
        let text = match layer {
            Some(text) => text,
            None => {
                let (grey, print) = (page.grey(), page.without_stamps());
                if !pictures {
                    // Its colours are not needed any more, and take three times the memory.
                    page.image = DynamicImage::new_luma8(0, 0);
                }
                let reading = self.models()?.reader.read(&grey, print.as_ref(), watch)?;
                let (mut width, mut height) = grey.dimensions();
                if reading.quarter_turns % 2 == 1 {
                    (width, height) = (height, width);
                }
                page = page.turned(reading.quarter_turns);
                let (lines, rules) = (reading.lines, reading.rules);
                PageText { page: index, width, height, lines, rules }
            }
        };
        let picture = pictures.then(|| jpeg(&page.image)).transpose()?;
        Ok(ReadPage { text, by_pixels, picture, findings })
    }
}

/// Pages that were read ahead, by their indices in the document.
fn placed(document: &Document, ahead: Vec<Option<PageAhead>>) -> BTreeMap<usize, ReadPage> {
    let mut first = 0;
    let mut pages = BTreeMap::new();
    for (count, page) in document.file_page_counts().zip(ahead) {
        if let (1, Some(PageAhead(mut page))) = (count, page) {
            page.text.page = first;
            pages.insert(first, page);
        }
        first += count;
    }
    pages
}

fn failure(error: EngineError, meta: Meta) -> Answer {
    Answer::failure(error.code(), Meta { detail: Some(error.to_string()), ..meta })
}

/// Fills in each table's picture from the pages' JPEGs.
fn add_table_pictures(report: &mut Report, pages: &[Vec<u8>]) -> Result<(), ImageError> {
    for table in Table::ALL {
        let rows = report.table_mut(table);
        if !rows.regions.is_empty() {
            rows.image = BASE64_STANDARD.encode(stacked(&rows.regions, pages)?);
        }
    }
    Ok(())
}

/// One picture of all regions, one below the other, as JPEG.
fn stacked(regions: &[Region], pages: &[Vec<u8>]) -> Result<Vec<u8>, ImageError> {
    let mut parts: Vec<RgbImage> = Vec::new();
    let mut open: Option<(usize, DynamicImage)> = None;
    for region in regions {
        let Some(bytes) = pages.get(region.page) else { continue };
        let page = match open.take() {
            Some((number, page)) if number == region.page => page,
            _ => image::load_from_memory_with_format(bytes, ImageFormat::Jpeg)?,
        };
        parts.push(cut(&page, &region.rect));
        open = Some((region.page, page));
    }
    let width = parts.iter().map(RgbImage::width).max().unwrap_or(0);
    let height: u32 = parts.iter().map(RgbImage::height).sum();
    let mut whole = RgbImage::from_pixel(width.max(1), height.max(1), Rgb([255; 3]));
    let mut top = 0;
    for part in &parts {
        image::imageops::replace(&mut whole, part, 0, top);
        top += i64::from(part.height());
    }
    jpeg(&DynamicImage::ImageRgb8(whole))
}

/// The part of a page that a rectangle covers, as far as it lies on the page.
fn cut(page: &DynamicImage, rect: &Rect) -> RgbImage {
    let (left, top) = (rect.left.max(0.0) as u32, rect.top.max(0.0) as u32);
    let right = (rect.right.max(0.0).ceil() as u32).min(page.width());
    let bottom = (rect.bottom.max(0.0).ceil() as u32).min(page.height());
    page.crop_imm(left, top, right.saturating_sub(left), bottom.saturating_sub(top)).into_rgb8()
}

fn jpeg(image: &DynamicImage) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ocr::alphabet::{self, Alphabet};
    use crate::ocr::detect::Detector;
    use crate::ocr::recognise::{HEIGHT, Recogniser};
    use crate::ocr::{Model, Tensor};
    use image::{GrayImage, Luma};
    use std::sync::atomic::AtomicBool;
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    /// Marks whatever is dark as text.
    struct Dark;

    impl Model for Dark {
        fn run(
            &self,
            [_, _, height, width]: [usize; 4],
            input: &[f32],
        ) -> Result<Tensor, ModelError> {
            let (rows, columns) = (height / 2, width / 2);
            let mut data = vec![0.0; 3 * rows * columns];
            for y in 0..rows {
                for x in 0..columns {
                    data[y * columns + x] = f32::from(input[2 * y * width + 2 * x] < 0.5);
                }
            }
            Ok(Tensor { shape: vec![1, 3, rows, columns], data })
        }
    }

    /// Reads every line as the alphabet's first character.
    struct First;

    impl Model for First {
        fn run(
            &self,
            [count, _, height, width]: [usize; 4],
            _: &[f32],
        ) -> Result<Tensor, ModelError> {
            assert_eq!(height, HEIGHT);
            let classes = alphabet::full().chars().count() + 1;
            let mut data = vec![0.0; count * width / 4 * classes];
            for step in data.chunks_exact_mut(classes) {
                step[1] = 20.0;
            }
            Ok(Tensor { shape: vec![count, width / 4, classes], data })
        }
    }

    fn models() -> Models {
        let alphabet = Alphabet::parse(&alphabet::full()).unwrap();
        let reader = Reader {
            detector: Detector::new(Box::new(Dark)),
            recogniser: Recogniser::new(Box::new(First), alphabet),
        };
        let info = vec![ModelInfo { name: "dark".to_owned(), version: "1".to_owned() }];
        Models { reader, info }
    }

    fn png() -> Vec<u8> {
        let mut page = GrayImage::from_pixel(900, 1270, Luma([255]));
        for (x, y) in (200..700).flat_map(|x| (600..612).map(move |y| (x, y))) {
            page.put_pixel(x, y, Luma([0]));
        }
        let mut bytes = std::io::Cursor::new(Vec::new());
        page.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    fn engine() -> Engine {
        Engine::new(Limits::default(), || Ok(models()))
    }

    #[test]
    fn a_picture_is_read_into_lines_of_its_page() {
        let pages = engine().read_text(png(), &()).unwrap();
        let [page] = &pages[..] else { panic!("one page: {pages:?}") };
        assert_eq!(page.page, 0);
        let [line] = &page.lines[..] else { panic!("one line: {page:?}") };
        assert_eq!(line.text(), "\u{e0}");
        assert!(line.rect.top > 0.0 && line.rect.bottom < page.height as f32);
    }

    #[test]
    fn a_picture_without_a_report_is_error_1_and_names_its_models() {
        let answer = engine().read(png(), &Options::default(), &());
        assert_eq!(answer.error, ErrorCode::NoReport);
        let meta = answer.meta.unwrap();
        assert_eq!((meta.pages, meta.models.len()), (1, 1));
        assert!(meta.detail.unwrap().contains("No credit report"));
    }

    #[test]
    fn what_is_no_picture_is_error_3_and_loads_no_models() {
        let engine = Engine::new(Limits::default(), || panic!("nothing to read with models"));
        for bytes in [&b""[..], b"no picture", b"%PDF-1.7"] {
            let answer = engine.read(bytes.to_vec(), &Options::default(), &());
            assert_eq!(answer.error, ErrorCode::BadInput);
            assert!(answer.meta.unwrap().detail.is_some_and(|detail| !detail.is_empty()));
        }
    }

    #[test]
    fn models_that_cannot_be_loaded_are_error_6_and_are_tried_again() {
        let (is_there, loaded) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (disk, counted) = (Arc::clone(&is_there), Arc::clone(&loaded));
        let engine = Engine::new(Limits::default(), move || {
            if !disk.load(Ordering::Relaxed) {
                return Err("the disk is not there yet".into());
            }
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(models())
        });
        let answer = engine.read(png(), &Options::default(), &());
        assert_eq!(answer.error, ErrorCode::Internal);
        assert!(answer.meta.unwrap().detail.unwrap().contains("the disk is not there yet"));
        is_there.store(true, Ordering::Relaxed);
        for _ in 0..2 {
            assert_eq!(engine.read_text(png(), &()).unwrap().len(), 1);
        }
        assert_eq!(loaded.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn models_are_loaded_while_the_first_picture_is_decoded() {
        struct Decoding(Mutex<mpsc::Receiver<()>>);
        impl Observer for Decoding {
            fn begin(&self, stage: Stage, _: usize) {
                if stage == Stage::Decode {
                    let loading = self.0.lock().unwrap().recv_timeout(Duration::from_secs(60));
                    loading.expect("nobody loads the models");
                }
            }
        }
        let (begun, loading) = mpsc::channel();
        let engine = Engine::new(Limits::default(), move || {
            begun.send(()).unwrap();
            Ok(models())
        });
        let pages = engine.read_text(png(), &Decoding(Mutex::new(loading))).unwrap();
        assert_eq!(pages.len(), 1);
    }

    #[test]
    fn pages_are_pictured_as_they_are_read() {
        let pictures = engine().page_pictures(png(), &BTreeSet::from([0]), &()).unwrap();
        let [picture] = &pictures[..] else { panic!("one picture expected") };
        let picture = image::load_from_memory_with_format(picture, ImageFormat::Jpeg).unwrap();
        assert_eq!((picture.width(), picture.height()), (900, 1270));
        let beyond = engine().page_pictures(png(), &BTreeSet::from([1]), &());
        assert!(matches!(beyond, Err(EngineError::Page(PageError::NoSuchPage { index: 1 }))));
    }

    #[test]
    fn a_page_that_was_read_ahead_is_not_read_again() {
        let engine = engine();
        let files = Files(vec![png(), png(), png()]);
        let options = Options::default();
        let whole = engine.read(files.clone(), &options, &());
        let page = || Document::open(png(), &Limits::default()).unwrap().page(0).unwrap();
        let ahead = || Some(engine.read_ahead(page(), &options, &()).unwrap());
        let decoded = Decoded::default();
        let answer = engine.read_rest(files, vec![ahead(), None, ahead()], &options, &decoded);
        assert_eq!(*decoded.0.lock().unwrap(), [1]);
        assert_eq!(answer, whole);
        // Where the files are others than they were thought to be, what was read ahead is of no use.
        let empty = engine.read_rest(Files(Vec::new()), vec![ahead()], &options, &());
        assert_eq!(empty.error, ErrorCode::BadInput);
    }

    /// Pages that were decoded.
    #[derive(Default)]
    struct Decoded(Mutex<Vec<usize>>);

    impl Observer for Decoded {
        fn begin(&self, stage: Stage, page: usize) {
            if stage == Stage::Decode {
                self.0.lock().unwrap().push(page);
            }
        }
    }

    #[test]
    fn pictures_that_are_not_good_enough_are_named() {
        let gate = Gate { min_dpi: 10_000.0, ..Gate::default() };
        let options = Options { gate, ..Options::default() };
        let meta = engine().read(png(), &options, &()).meta.unwrap();
        let [quality] = &meta.quality[..] else { panic!("one page: {meta:?}") };
        assert!(quality.page == 0 && quality.findings.contains(&Finding::Coarse), "{quality:?}");
    }

    #[test]
    fn an_observer_that_cancels_stops_the_work_before_the_next_stage() {
        struct AfterDecoding(AtomicUsize);
        impl Observer for AfterDecoding {
            fn begin(&self, _: Stage, _: usize) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
            fn is_cancelled(&self) -> bool {
                self.0.load(Ordering::Relaxed) > 0
            }
        }
        let observer = AfterDecoding(AtomicUsize::new(0));
        let result = engine().read_text(png(), &observer);
        assert!(matches!(result, Err(EngineError::Cancelled)));
        assert_eq!(observer.0.into_inner(), 1);
    }

    #[test]
    fn an_observer_sees_each_stage_begin_and_end() {
        struct Seen(Mutex<Vec<(Stage, bool)>>);
        impl Observer for Seen {
            fn begin(&self, stage: Stage, _: usize) {
                self.0.lock().unwrap().push((stage, true));
            }
            fn end(&self, stage: Stage, _: usize) {
                self.0.lock().unwrap().push((stage, false));
            }
        }
        let seen = Seen(Mutex::new(Vec::new()));
        engine().read(png(), &Options::default(), &seen);
        let expected: Vec<(Stage, bool)> =
            Stage::ALL.into_iter().flat_map(|stage| [(stage, true), (stage, false)]).collect();
        assert_eq!(*seen.0.lock().unwrap(), expected);
    }

    #[test]
    fn a_table_over_two_pages_is_one_picture_of_its_stacked_parts() {
        let page = |grey| {
            jpeg(&DynamicImage::ImageLuma8(GrayImage::from_pixel(100, 80, Luma([grey])))).unwrap()
        };
        let region = |page, bottom| Region { page, rect: Rect::new(-5.0, 10.0, 60.0, bottom) };
        let regions = [region(0, 30.0), region(1, 200.0), region(7, 20.0)];
        let bytes = stacked(&regions, &[page(0), page(200)]).unwrap();
        let whole = image::load_from_memory(&bytes).unwrap().into_luma8();
        assert_eq!(whole.dimensions(), (60, 20 + 70));
        assert!(whole.get_pixel(30, 10).0[0] < 20 && whole.get_pixel(30, 60).0[0] > 180);
    }
}
