//! Reading documents, in this process or in one of its own: the seam between those who have
//! documents and those who look into them.
//!
//! Promises:
//! - Where `reading.worker` is set, no byte of a document is decoded here: pictures and PDFs are
//!   opened, judged, read and drawn by the worker. See [`crate::worker`].
//! - Whichever it is, answers are the same, and who asks need not know.
//! - Other models take the place of these from one document to the next: one in work is read to its
//!   end with those that it was begun with.

mod clock;
mod local;
mod pages;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use cic_kiosk::config::Config;
use cic_kiosk::engine::Pictures;
use cic_kiosk::finding::Finding;
use cic_kiosk::page::{Files, Likeness, Page, PageError};
use cic_kiosk::report::schema::{Answer, Meta};
use cic_kiosk::stage::{Observer, Stage};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use ulid::Ulid;

pub use clock::{Clock, Stopwatch, Timed};
pub use local::{Ahead as LocalAhead, Local, check, places};

#[cfg(feature = "office")]
use crate::queue::{Patience, Submitter};
use crate::worker::{Client, Handle};

/// Reads documents; one serves any number of tasks. Where it reads with a worker, it must be used
/// within a runtime.
pub struct Reader {
    place: RwLock<Place>,
    threads: usize,
}

#[derive(Clone)]
enum Place {
    Here(Arc<Local>),
    Worker(Arc<Client>),
    #[cfg(feature = "office")]
    Queue(Arc<Submitter>),
}

/// Documents that are with the queue at a time: who has them there computes nothing.
#[cfg(feature = "office")]
const AT_THE_QUEUE: usize = 64;

/// What can be seen of a page without reading it.
pub struct Look<P> {
    /// The page, straightened; `None` where the file has several, or nobody could look.
    pub page: Option<P>,
    /// What is wrong with it; nothing where it has several pages, or text of its own.
    pub findings: Vec<Finding>,
    /// To know it again by.
    pub likeness: Option<Likeness>,
}

impl<P> Default for Look<P> {
    fn default() -> Self {
        Self { page: None, findings: Vec::new(), likeness: None }
    }
}

/// A page that was looked at, wherever it lies.
pub enum Sheet {
    /// In this process.
    Here(Box<Page>),
    /// With the worker.
    There(Handle),
}

/// A page that was read ahead of its document, wherever that lies. Clones are the same page.
#[derive(Clone)]
pub enum Ahead {
    /// In this process, by this one.
    Here(Arc<Local>, Arc<LocalAhead>),
    /// With the worker.
    There(Arc<Handle>),
}

impl Reader {
    /// A reader as the configuration wants it. Models are loaded when they are first needed.
    pub fn new(config: &Config) -> Self {
        Self::with(config, None)
    }

    /// The same, with the models of this folder where there is one.
    pub fn with(config: &Config, models: Option<&Path>) -> Self {
        let place = RwLock::new(Place::of(config, models));
        Self { place, threads: local::threads(&config.reading) }
    }

    /// A reader that has documents read by others; it reads whole documents only.
    #[cfg(feature = "office")]
    pub fn queue(submitter: Arc<Submitter>) -> Self {
        Self { place: RwLock::new(Place::Queue(submitter)), threads: AT_THE_QUEUE }
    }

    /// Always in a process of its own, whatever the configuration wants: for models of which nobody
    /// knows yet what they do.
    pub fn apart(config: &Config, models: Option<&Path>) -> Self {
        let place = RwLock::new(Place::Worker(Arc::new(Client::new(config, models))));
        Self { place, threads: local::threads(&config.reading) }
    }

    /// From the next document on reads with the models of this folder, or the installed ones.
    pub async fn switch(&self, config: &Config, models: Option<&Path>) {
        let place = Place::of(config, models);
        let before = {
            let mut now = self.place.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *now, place)
        };
        if let Place::Worker(client) = before {
            client.retire().await;
        }
    }

    /// Nothing more will be read: what it is read with goes.
    pub async fn retire(&self) {
        if let Place::Worker(client) = self.place() {
            client.retire().await;
        }
    }

    fn place(&self) -> Place {
        self.place.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many documents are worth reading at the same time.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Loads the models now rather than with the first page that needs them.
    ///
    /// # Errors
    /// Why no document can be read now.
    pub async fn load(&self) -> Result<(), ReadError> {
        match &self.place() {
            Place::Here(local) => {
                let local = Arc::clone(local);
                let loaded = spawn_blocking(move || local.load()).await;
                loaded
                    .map_err(|_| ReadError::Panic)?
                    .map_err(|error| ReadError::Unable(error.to_string()))
            }
            Place::Worker(client) => client.load().await,
            // They have the models.
            #[cfg(feature = "office")]
            Place::Queue(_) => Ok(()),
        }
    }

    /// Ends what it has with others.
    pub async fn leave(&self) {
        #[cfg(feature = "office")]
        if let Place::Queue(submitter) = self.place() {
            submitter.leave().await;
        }
    }

    /// Whether a file is a document that can be opened.
    ///
    /// # Errors
    /// Where nobody can say so now.
    pub async fn open(&self, file: Vec<u8>) -> Result<Result<(), PageError>, ReadError> {
        let opened = match &self.place() {
            Place::Here(local) => {
                let local = Arc::clone(local);
                spawn_blocking(move || local.open(file)).await.map_err(|_| ReadError::Panic)
            }
            Place::Worker(client) => client.open(file).await,
            #[cfg(feature = "office")]
            Place::Queue(_) => Err(not_there()),
        };
        blamed(opened)
    }

    /// Looks at a picture's file, and gives it back.
    ///
    /// # Errors
    /// Where nobody can look at it now.
    pub async fn look(
        &self,
        picture: Vec<u8>,
    ) -> (Vec<u8>, Result<Result<Look<Sheet>, PageError>, ReadError>) {
        let (picture, looked) = match &self.place() {
            Place::Here(local) => {
                let local = Arc::clone(local);
                let looked = spawn_blocking(move || {
                    let look = local.look(picture.clone());
                    (picture, look)
                });
                // Decoders run on a thread of their own, where a panic is an error of the file.
                let (picture, look) =
                    looked.await.unwrap_or_else(|_| (Vec::new(), Err(PageError::Damaged)));
                (picture, Ok(look.map(|look| look.with(|page| Sheet::Here(Box::new(page))))))
            }
            Place::Worker(client) => client.look(picture).await,
            #[cfg(feature = "office")]
            Place::Queue(_) => (picture, Err(not_there())),
        };
        (picture, blamed(looked))
    }

    /// Reads a page of a document whose other pages are still coming.
    ///
    /// # Errors
    /// In a sentence; it is then read with its document.
    pub async fn read_ahead(&self, sheet: Sheet, pictures: bool) -> Result<Ahead, ReadError> {
        match (&self.place(), sheet) {
            (Place::Here(local), Sheet::Here(page)) => {
                let (by, local) = (Arc::clone(local), Arc::clone(local));
                let read = spawn_blocking(move || local.read_ahead(*page, pictures)).await;
                let read = read.map_err(|_| ReadError::Panic)?;
                let read = read.map_err(|error| ReadError::Unable(error.to_string()))?;
                Ok(Ahead::Here(by, Arc::new(read)))
            }
            (Place::Worker(client), Sheet::There(page)) => client.read_ahead(page, pictures).await,
            _ => Err(ReadError::Interrupted),
        }
    }

    /// Reads a document for as long as `limit` allows. `done` is told on another thread how long
    /// each stage took, whether or not somebody still waits. Should nobody wait any more, the engine
    /// stops before its next stage.
    ///
    /// # Errors
    /// Any [`ReadError`].
    pub async fn read_in_time(
        &self,
        work: Work,
        limit: Duration,
        done: impl FnOnce(Done) + Send + 'static,
    ) -> Result<Answer, ReadError> {
        let local = match &self.place() {
            Place::Here(local) => Arc::clone(local),
            Place::Worker(client) => return client.read(work, limit, done).await,
            #[cfg(feature = "office")]
            Place::Queue(submitter) => {
                // As long again for a worker to take it.
                let patience = Patience { reading: limit, waiting: limit };
                return submitter.read(work, patience, done).await;
            }
        };
        let clock = Arc::new(Clock::default());
        let _cancels = CancelOnDrop(Arc::clone(&clock));
        let Work { scan, files, ahead, pictures } = work;
        let here = |ahead: Ahead| match ahead {
            // A document is not read with two sets of models.
            Ahead::Here(by, ahead) => Arc::ptr_eq(&by, &local).then(|| Arc::unwrap_or_clone(ahead)),
            Ahead::There(_) => None,
        };
        let ahead = ahead.into_iter().map(|page| page.and_then(here)).collect();
        let reading = spawn_blocking(move || {
            let begun = Instant::now();
            let answer = local.read_rest(files, ahead, scan, pictures, &clock);
            let pages = answer.meta.as_ref().map_or(0, |meta| meta.pages);
            done(Done { pages, took: begun.elapsed(), stages: clock.spent() });
            answer
        });
        match timeout(limit, reading).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(ReadError::Panic),
            Err(_) => Err(ReadError::TooSlow(limit)),
        }
    }

    /// These pages as a PDF of pictures, in page order, unless it is later than this.
    ///
    /// # Errors
    /// In a sentence that says why there is none.
    pub async fn pages(
        &self,
        files: Files,
        pages: BTreeSet<usize>,
        deadline: Instant,
    ) -> Result<Vec<u8>, String> {
        match &self.place() {
            Place::Here(local) => {
                let local = Arc::clone(local);
                let drawn = spawn_blocking(move || local.pages(files, &pages, &Until(deadline)));
                drawn.await.unwrap_or_else(|_| Err(ReadError::Panic.to_string()))
            }
            Place::Worker(client) => {
                client.pages(files, pages, deadline).await.map_err(|error| error.to_string())
            }
            #[cfg(feature = "office")]
            Place::Queue(_) => Err(not_there().to_string()),
        }
    }
}

impl Place {
    fn of(config: &Config, models: Option<&Path>) -> Self {
        if config.reading.worker.is_some() {
            return Self::Worker(Arc::new(Client::new(config, models)));
        }
        let mut config = config.clone();
        if let Some(models) = models {
            config.reading.models = Some(models.to_owned());
        }
        Self::Here(Arc::new(Local::new(&config)))
    }
}

impl<P> Look<P> {
    /// The same, with the page somewhere else.
    pub fn with<Q>(self, place: impl FnOnce(P) -> Q) -> Look<Q> {
        Look { page: self.page.map(place), findings: self.findings, likeness: self.likeness }
    }
}

/// What brings its reader down, or takes it without end, is a damaged file.
fn blamed<T>(
    result: Result<Result<T, PageError>, ReadError>,
) -> Result<Result<T, PageError>, ReadError> {
    match result {
        Err(ReadError::Panic | ReadError::Died | ReadError::TooSlow(_)) => {
            Ok(Err(PageError::Damaged))
        }
        other => other,
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
    /// Which pictures the answer has.
    pub pictures: Pictures,
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
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReadError {
    /// The document takes longer than this.
    #[error("reading takes more than {} s", .0.as_secs())]
    TooSlow(Duration),
    /// Where it was, the program's panic hook has said.
    #[error("a panic")]
    Panic,
    /// The worker did, while it did this and nothing else.
    #[error("the worker that read it died, or had to be ended")]
    Died,
    /// The worker did, and it is not known to be this one's fault: it can be tried again.
    #[error("the worker ended while it did other work, too")]
    Interrupted,
    /// No document can be read now.
    #[error("{0}")]
    Unable(String),
}

impl ReadError {
    /// Whether it may be the document's fault.
    pub fn is_its_own(&self) -> bool {
        matches!(self, Self::TooSlow(_) | Self::Panic | Self::Died)
    }
}

#[cfg(feature = "office")]
fn not_there() -> ReadError {
    ReadError::Unable("the queue reads whole documents only".to_owned())
}

/// Cancels the reading when nobody waits for it any more.
struct CancelOnDrop(Arc<Clock>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Nobody waits any longer than this.
struct Until(Instant);

impl Observer for Until {
    fn is_cancelled(&self) -> bool {
        Instant::now() >= self.0
    }
}

/// The meta of a scan that nothing is known of yet.
pub fn scan() -> Meta {
    Meta { scan_id: Ulid::new().to_string(), ..Meta::default() }
}
