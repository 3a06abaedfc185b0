//! Reading in this process: the engine with its models' files.

use std::collections::BTreeSet;
use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use cic_kiosk::config::{Config, Reading};
use cic_kiosk::engine::{Engine, EngineError, Models, Options, PageAhead, Pictures};
use cic_kiosk::models::{MANIFEST, Manifest, ModelOptions};
use cic_kiosk::ocr::model::Runtime;
use cic_kiosk::page::{Document, Files, Gate, Likeness, Limits, Page, PageError};
use cic_kiosk::report::schema::{Answer, Meta, ModelInfo};
use cic_kiosk::stage::{Observer, Stage};
use cic_kiosk::text::PageText;
use ulid::Ulid;

use super::clock::{Clock, Stopwatch, Timed, milliseconds};
use super::{Look, pages, scan};

/// The environment variable that other programs with ONNX Runtime know, too.
const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Reads documents in this process. All of it blocks; one serves any number of threads.
pub struct Local {
    engine: Engine,
    limits: Limits,
    review_below: f32,
    gate: Gate,
    threads: usize,
    loading_took: Arc<OnceLock<Duration>>,
}

/// A page that was read ahead of its document.
#[derive(Clone)]
pub struct Ahead {
    page: PageAhead,
    spent: Vec<(Stage, Duration)>,
}

impl Local {
    /// Its models are loaded when they are first needed.
    pub fn new(config: &Config) -> Self {
        Self::with(config, None)
    }

    /// The same, with these files of models where there are some.
    pub fn with(config: &Config, models: Option<cic_kiosk::models::Files>) -> Self {
        let Config { reading, limits, quality, .. } = config;
        let threads = threads(reading);
        // The pool may exist already where a test makes several readers in one process.
        if let Err(error) = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global() {
            log::debug!("threads: {error}");
        }
        let loading_took = Arc::new(OnceLock::new());
        let (of, took) = (reading.clone(), Arc::clone(&loading_took));
        let engine = Engine::new(limits.clone(), move || {
            let begun = Instant::now();
            let models = load(&of, models.clone(), threads)?;
            took.get_or_init(|| begun.elapsed());
            Ok(models)
        });
        let (review_below, gate) = (reading.review_below, quality.clone());
        Self { engine, limits: limits.clone(), review_below, gate, threads, loading_took }
    }

    /// How many documents are worth reading at the same time.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Loads the models now rather than with the first page that needs them.
    pub fn load(&self) -> Result<(), EngineError> {
        self.engine.models().map(|_| ())
    }

    /// Whether a file is a document that can be opened.
    pub fn open(&self, file: Vec<u8>) -> Result<(), PageError> {
        Document::open(file, &self.limits).map(|_| ())
    }

    /// Looks at a picture's file.
    pub fn look(&self, picture: Vec<u8>) -> Result<Look<Page>, PageError> {
        let document = Document::open(picture, &self.limits)?;
        if document.page_count() > 1 {
            return Ok(Look::default());
        }
        let page = document.page(0)?;
        let is_read = page.text.is_some();
        let findings = if is_read { Vec::new() } else { self.gate.judge(&page.quality) };
        let likeness = Some(Likeness::of(&page));
        Ok(Look { page: Some(page), findings, likeness })
    }

    /// Reads a document as the scan of this id. Whatever happens, there is an answer.
    pub fn read(
        &self,
        files: impl Into<Files>,
        scan: Ulid,
        pictures: bool,
        clock: &impl Timed,
    ) -> Answer {
        self.read_pages(files.into(), Vec::new(), scan, pictures.into(), clock)
    }

    /// The same, where some of it was read ahead.
    pub fn read_rest(
        &self,
        files: Files,
        ahead: Vec<Option<Ahead>>,
        scan: Ulid,
        pictures: Pictures,
        clock: &Clock,
    ) -> Answer {
        let taken_over = |page: Ahead| {
            clock.stopwatch.add(&page.spent);
            page.page
        };
        let ahead = ahead.into_iter().map(|page| page.map(taken_over)).collect();
        self.read_pages(files, ahead, scan, pictures, clock)
    }

    fn read_pages(
        &self,
        files: Files,
        ahead: Vec<Option<PageAhead>>,
        scan: Ulid,
        pictures: Pictures,
        clock: &impl Timed,
    ) -> Answer {
        let was_loaded = self.loading_took.get().is_some();
        let mut answer = self.engine.read_rest(files, ahead, &self.options(pictures), clock);
        let meta = answer.meta.get_or_insert_default();
        meta.scan_id = scan.to_string();
        if let (false, Some(took)) = (was_loaded, self.loading_took.get()) {
            meta.elapsed_ms.insert("load".to_owned(), milliseconds(*took));
        }
        meta.elapsed_ms.extend(clock.elapsed_ms());
        answer
    }

    fn options(&self, pictures: Pictures) -> Options {
        Options { pictures, review_below: self.review_below, gate: self.gate.clone() }
    }

    /// Reads a page of a document whose other pages are still coming.
    pub fn read_ahead(&self, page: Page, pictures: bool) -> Result<Ahead, EngineError> {
        let stopwatch = Stopwatch::default();
        let pictures = if pictures { Pictures::Pages } else { Pictures::None };
        let page = self.engine.read_ahead(page, &self.options(pictures), &stopwatch)?;
        Ok(Ahead { page, spent: stopwatch.spent() })
    }

    /// These pages as a PDF of pictures, in page order.
    ///
    /// # Errors
    /// Where that cannot be, in a sentence.
    pub fn pages(
        &self,
        files: Files,
        pages: &BTreeSet<usize>,
        observer: &impl Observer,
    ) -> Result<Vec<u8>, String> {
        let pictures = self.engine.page_pictures(files, pages, observer);
        let pictures = pictures.map_err(|error| error.to_string())?;
        pages::pdf_of(&pictures).map_err(|error| error.to_string())
    }

    /// The text of each page, or the answer that says why there is none.
    pub fn read_text(
        &self,
        bytes: Vec<u8>,
        observer: &impl Observer,
    ) -> Result<Vec<PageText>, Box<Answer>> {
        self.engine.read_text(bytes, observer).map_err(|error| {
            let meta = Meta { detail: Some(error.to_string()), ..scan() };
            Box::new(Answer::failure(error.code(), meta))
        })
    }
}

/// Threads for reading, all together.
pub(super) fn threads(reading: &Reading) -> usize {
    reading.threads.map_or_else(|| ModelOptions::default().threads, usize::from)
}

/// Whether models and ONNX Runtime are where they should be, without the cost of loading them.
///
/// # Errors
/// In a sentence that says what is missing and how it is named.
pub fn check(reading: &Reading) -> Result<(), BoxError> {
    let (folder, library) = places(reading)?;
    Manifest::open(&folder)?;
    File::open(&library).map_err(|error| format!("cannot read {}: {error}", library.display()))?;
    Ok(())
}

fn load(
    reading: &Reading,
    files: Option<cic_kiosk::models::Files>,
    threads: usize,
) -> Result<Models, BoxError> {
    let library = library(reading)?;
    let manifest = match files {
        Some(files) => Manifest::of_files(files)?,
        None => Manifest::open(&folder(reading)?)?,
    };
    let options = ModelOptions { precision: reading.precision, threads, ..ModelOptions::default() };
    let runtime = Runtime::load(&library)?;
    let (reader, entries) = manifest.load(runtime, &options)?;
    log::info!("{}; {}", library.display(), runtime.build_info());
    let info = entries.map(|entry| ModelInfo { name: entry.name, version: entry.version });
    Ok(Models { reader, info: info.to_vec() })
}

/// The folder of the models, and ONNX Runtime's library.
pub fn places(reading: &Reading) -> Result<(PathBuf, PathBuf), BoxError> {
    Ok((folder(reading)?, library(reading)?))
}

fn folder(reading: &Reading) -> Result<PathBuf, BoxError> {
    match &reading.models {
        Some(folder) => Ok(folder.clone()),
        None => beside_program(&[&format!("models/{MANIFEST}")])
            .and_then(|manifest| manifest.parent().map(Path::to_owned))
            .ok_or("no models folder is beside the program; name it with --models".into()),
    }
}

fn library(reading: &Reading) -> Result<PathBuf, BoxError> {
    reading
        .onnxruntime
        .clone()
        .or_else(|| env::var_os(LIBRARY_VARIABLE).map(PathBuf::from))
        .or_else(|| beside_program(&["libonnxruntime.so", ".cache/onnxruntime/libonnxruntime.so"]))
        .ok_or(
            "libonnxruntime.so is not beside the program; name it with --onnxruntime or in \
             ORT_DYLIB_PATH"
                .into(),
        )
}

/// The first of some files that exists in the program's folder or in the two above it, which from
/// `target/release` leads to the repository.
fn beside_program(files: &[&str]) -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let folders = program.ancestors().skip(1).take(3);
    folders.flat_map(|folder| files.iter().map(|file| folder.join(file))).find(|path| path.exists())
}
