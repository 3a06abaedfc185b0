//! The engine with what it lacks by design: files, a clock, and names for scans.

use std::collections::{BTreeSet, HashMap};
use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use cic_kiosk::config::{Config, Reading};
use cic_kiosk::engine::{Engine, EngineError, Models, Options, PageAhead};
use cic_kiosk::models::{MANIFEST, Manifest, ModelOptions};
use cic_kiosk::ocr::model::Runtime;
use cic_kiosk::page::{Files, Gate, Page};
use cic_kiosk::report::schema::{Answer, Meta, ModelInfo};
use cic_kiosk::stage::{Observer, Stage};
use cic_kiosk::text::PageText;
use serde_json::{Map, Value as Json};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use ulid::Ulid;

/// The environment variable that other programs with ONNX Runtime know, too.
const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Reads documents; one serves any number of threads.
pub struct Reader {
    engine: Engine,
    review_below: f32,
    gate: Gate,
    threads: usize,
    loading_took: Arc<OnceLock<Duration>>,
}

/// An observer that keeps time.
pub trait Timed: Observer {
    /// Milliseconds of each stage that took place, in their order. Pages that are read at the same
    /// time count each.
    fn elapsed_ms(&self) -> Map<String, Json>;
}

impl Reader {
    /// A reader; its models are loaded when they are first needed.
    pub fn new(config: &Config) -> Self {
        let Config { reading, limits, quality, .. } = config;
        let threads = reading.threads.map_or_else(|| ModelOptions::default().threads, usize::from);
        // The pool may exist already where a test makes several readers in one process.
        if let Err(error) = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global() {
            log::debug!("threads: {error}");
        }
        let loading_took = Arc::new(OnceLock::new());
        let (of, took) = (reading.clone(), Arc::clone(&loading_took));
        let engine = Engine::new(limits.clone(), move || {
            let begun = Instant::now();
            let models = load(&of, threads)?;
            took.get_or_init(|| begun.elapsed());
            Ok(models)
        });
        let (review_below, gate) = (reading.review_below, quality.clone());
        Self { engine, review_below, gate, threads, loading_took }
    }

    /// How many documents are worth reading at the same time.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Whether models and ONNX Runtime are where they should be, without the cost of loading them.
    ///
    /// # Errors
    /// In a sentence that says what is missing and how it is named.
    pub fn check(reading: &Reading) -> Result<(), BoxError> {
        let (folder, library) = places(reading)?;
        Manifest::open(&folder)?;
        File::open(&library)
            .map_err(|error| format!("cannot read {}: {error}", library.display()))?;
        Ok(())
    }

    /// Loads the models now rather than with the first page that needs them.
    pub fn load(&self) -> Result<(), EngineError> {
        self.engine.models().map(|_| ())
    }

    /// Reads a document as the scan of this id. Whatever happens, there is an answer.
    pub fn read(
        &self,
        files: impl Into<Files>,
        scan: Ulid,
        pictures: bool,
        clock: &impl Timed,
    ) -> Answer {
        self.read_rest(files.into(), Vec::new(), scan, pictures, clock)
    }

    fn read_rest(
        &self,
        files: Files,
        ahead: Vec<Option<PageAhead>>,
        scan: Ulid,
        pictures: bool,
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

    fn options(&self, pictures: bool) -> Options {
        Options { pictures, review_below: self.review_below, gate: self.gate.clone() }
    }

    /// Reads a page of a document whose other pages are still coming.
    pub fn read_ahead(&self, page: Page, pictures: bool) -> Result<Ahead, EngineError> {
        let stopwatch = Stopwatch::default();
        let page = self.engine.read_ahead(page, &self.options(pictures), &stopwatch)?;
        Ok(Ahead { page, spent: stopwatch.spent() })
    }

    /// Reads a document on a thread of its own, for as long as `limit` allows. `done` is told there
    /// how long each stage took, whether or not somebody still waits. Should nobody wait any more, the
    /// engine stops before its next stage.
    ///
    /// # Errors
    /// Any [`ReadError`].
    pub async fn read_in_time(
        self: &Arc<Self>,
        work: Work,
        limit: Duration,
        done: impl FnOnce(Done) + Send + 'static,
    ) -> Result<Answer, ReadError> {
        let clock = Arc::new(Clock::default());
        let Work { scan, files, ahead, pictures } = work;
        let taken_over = |page: Ahead| {
            clock.stopwatch.add(&page.spent);
            page.page
        };
        let ahead = ahead.into_iter().map(|page| page.map(taken_over)).collect();
        let _cancels = CancelOnDrop(Arc::clone(&clock));
        let reader = Arc::clone(self);
        let reading = spawn_blocking(move || {
            let begun = Instant::now();
            let answer = reader.read_rest(files, ahead, scan, pictures, clock.as_ref());
            let pages = answer.meta.as_ref().map_or(0, |meta| meta.pages);
            done(Done { pages, took: begun.elapsed(), stages: clock.stopwatch.spent() });
            answer
        });
        match timeout(limit, reading).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(ReadError::Panic),
            Err(_) => Err(ReadError::TooSlow(limit)),
        }
    }

    /// These pages as JPEGs, in page order.
    pub fn page_pictures(
        &self,
        files: Files,
        pages: &BTreeSet<usize>,
        observer: &impl Observer,
    ) -> Result<Vec<Vec<u8>>, EngineError> {
        self.engine.page_pictures(files, pages, observer)
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

/// What is to be read.
pub struct Work {
    /// As the scan of this id.
    pub scan: Ulid,
    /// The document.
    pub files: Files,
    /// What was read of it ahead: for each file its one page, where that was.
    pub ahead: Vec<Option<Ahead>>,
    /// Whether the answer has pictures.
    pub pictures: bool,
}

/// A page that was read ahead of its document.
pub struct Ahead {
    page: PageAhead,
    spent: Vec<(Stage, Duration)>,
}

/// A document that was read.
pub struct Done {
    /// Its pages.
    pub pages: usize,
    /// The time for all of it.
    pub took: Duration,
    /// The time of each stage that took place.
    pub stages: Vec<(Stage, Duration)>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReadError {
    /// The document takes longer than this.
    #[error("reading takes more than {} s", .0.as_secs())]
    TooSlow(Duration),
    /// Where it was, the program's panic hook has said.
    #[error("a panic")]
    Panic,
}

/// Keeps time of a reading that can be cancelled.
#[derive(Default)]
struct Clock {
    stopwatch: Stopwatch,
    cancelled: AtomicBool,
}

impl Observer for Clock {
    fn begin(&self, stage: Stage, page: usize) {
        self.stopwatch.begin(stage, page);
    }

    fn end(&self, stage: Stage, page: usize) {
        self.stopwatch.end(stage, page);
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

impl Timed for Clock {
    fn elapsed_ms(&self) -> Map<String, Json> {
        self.stopwatch.elapsed_ms()
    }
}

/// Cancels the reading when nobody waits for it any more.
struct CancelOnDrop(Arc<Clock>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }
}

/// The meta of a scan that nothing is known of yet.
pub fn scan() -> Meta {
    Meta { scan_id: Ulid::new().to_string(), ..Meta::default() }
}

fn load(reading: &Reading, threads: usize) -> Result<Models, BoxError> {
    let (folder, library) = places(reading)?;
    let options = ModelOptions { precision: reading.precision, threads, ..ModelOptions::default() };
    let runtime = Runtime::load(&library)?;
    let (reader, entries) = Manifest::open(&folder)?.load(runtime, &options)?;
    log::info!("{}; {}", library.display(), runtime.build_info());
    let info = entries.map(|entry| ModelInfo { name: entry.name, version: entry.version });
    Ok(Models { reader, info: info.to_vec() })
}

/// The folder of the models, and ONNX Runtime's library.
pub fn places(reading: &Reading) -> Result<(PathBuf, PathBuf), BoxError> {
    let folder = match &reading.models {
        Some(folder) => folder.clone(),
        None => beside_program(&[&format!("models/{MANIFEST}")])
            .and_then(|manifest| manifest.parent().map(Path::to_owned))
            .ok_or("no models folder is beside the program; name it with --models")?,
    };
    let library = reading
        .onnxruntime
        .clone()
        .or_else(|| env::var_os(LIBRARY_VARIABLE).map(PathBuf::from))
        .or_else(|| beside_program(&["libonnxruntime.so", ".cache/onnxruntime/libonnxruntime.so"]))
        .ok_or(
            "libonnxruntime.so is not beside the program; name it with --onnxruntime or in \
             ORT_DYLIB_PATH",
        )?;
    Ok((folder, library))
}

/// The first of some files that exists in the program's folder or in the two above it, which from
/// `target/release` leads to the repository.
fn beside_program(files: &[&str]) -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let folders = program.ancestors().skip(1).take(3);
    folders.flat_map(|folder| files.iter().map(|file| folder.join(file))).find(|path| path.exists())
}

/// Keeps time of one document being read.
#[derive(Default)]
pub struct Stopwatch(Mutex<Clocks>);

#[derive(Default)]
struct Clocks {
    running: HashMap<(Stage, usize), Instant>,
    spent: HashMap<Stage, Duration>,
}

impl Stopwatch {
    /// Adds what was spent elsewhere.
    fn add(&self, spent: &[(Stage, Duration)]) {
        let mut clocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (stage, spent) in spent {
            *clocks.spent.entry(*stage).or_default() += *spent;
        }
    }

    /// The time that each stage took, in their order.
    pub fn spent(&self) -> Vec<(Stage, Duration)> {
        let clocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = |stage: Stage| clocks.spent.get(&stage).map(|spent| (stage, *spent));
        Stage::ALL.into_iter().filter_map(spent).collect()
    }
}

impl Observer for Stopwatch {
    fn begin(&self, stage: Stage, page: usize) {
        let mut clocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clocks.running.insert((stage, page), Instant::now());
    }

    fn end(&self, stage: Stage, page: usize) {
        let mut clocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(begun) = clocks.running.remove(&(stage, page)) {
            *clocks.spent.entry(stage).or_default() += begun.elapsed();
        }
    }
}

impl Timed for Stopwatch {
    fn elapsed_ms(&self) -> Map<String, Json> {
        self.spent()
            .into_iter()
            .map(|(stage, spent)| (stage.name().to_owned(), milliseconds(spent)))
            .collect()
    }
}

/// Whole milliseconds as a JSON number.
fn milliseconds(duration: Duration) -> Json {
    Json::from(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_timed_in_their_order_and_added_up_over_pages() {
        let watch = Stopwatch::default();
        for (stage, page) in [(Stage::Report, 0), (Stage::Decode, 0), (Stage::Decode, 1)] {
            watch.begin(stage, page);
            std::thread::sleep(Duration::from_millis(2));
            watch.end(stage, page);
        }
        let elapsed = watch.elapsed_ms();
        assert_eq!(elapsed.keys().collect::<Vec<_>>(), ["decode", "report"]);
        assert!(elapsed["decode"].as_u64() >= Some(4), "{elapsed:?}");
    }
}
