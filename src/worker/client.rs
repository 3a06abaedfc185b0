//! The daemon's end: hands tasks to a worker, and believes little of what comes back.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cic_kiosk::config::{Config, Reading};
use cic_kiosk::engine::Pictures;
use cic_kiosk::models::{self, Manifest, ModelsError, Precision};
use cic_kiosk::page::{Files, Gate, Likeness, Limits, PageError};
use cic_kiosk::report::schema::{Answer, Meta};
use cic_kiosk::stage::Stage;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::Command;
use tokio::sync::{RwLock, mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::protocol::{
    self, Hello, Order, Outcome, Said, Task, VERSION, Welcome, broken, lengths_of,
};
use crate::reading::{Ahead, Done, Look, ReadError, Sheet, Work};

/// For a worker to start and to say who it is. A slow board needs a second.
const START: Duration = Duration::from_secs(20);

/// For a worker to end what nobody waits for any more: it looks after each stage of a page.
const GRACE: Duration = Duration::from_secs(10);

/// For what concerns one page, or none: the longest is to load the models on a slow board.
const PATIENCE: Duration = Duration::from_secs(60);

/// A worker with nothing to do for so long is let go.
const IDLE: Duration = Duration::from_secs(60);

/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// The most that an answer may have: 40 full pages have 2 MB.
const ANSWER: usize = 8 << 20;

/// The most that an answer with pictures may have, or a PDF of them: a page's picture has 1 to 4 MB.
const PICTURES: usize = 256 << 20;

/// Characters that are shown of why a worker could not do something.
const REASON: usize = 300;

/// Reads with a worker, which is started when it is needed. Must be used within a runtime.
pub struct Client {
    workers: Workers,
    reading: Reading,
    limits: Limits,
    quality: Gate,
    /// The folder of models, where these are not the installed ones: the worker cannot open it.
    models: Option<PathBuf>,
    max_pages: usize,
    connection: tokio::sync::Mutex<Option<Arc<Connection>>>,
    /// Held by many for a first try, and by one alone for a second.
    turns: RwLock<()>,
}

/// Where workers come from.
enum Workers {
    /// Each connection to a socket starts one.
    Socket(PathBuf),
    /// This program, started once more.
    Child,
}

/// What is asked of a worker.
struct Question {
    what: What,
    files: Vec<Bytes>,
    /// The most that the answer's bytes may have.
    room: usize,
}

enum What {
    Load,
    Open,
    Look,
    ReadAhead { page: Arc<Handle>, pictures: bool },
    Read { ahead: Vec<Option<Arc<Handle>>>, pictures: Pictures },
    Draw { pages: BTreeSet<usize> },
}

/// What came of it.
struct Reply {
    number: u64,
    outcome: Outcome,
    bytes: Vec<u8>,
    connection: Arc<Connection>,
}

/// A page that a worker keeps for as long as this is there, and the worker.
pub struct Handle {
    number: u64,
    connection: Arc<Connection>,
}

/// What a worker answered, with the bytes behind it.
type Answered = Result<(Outcome, Vec<u8>), ReadError>;

/// A worker, as long as it can be asked.
struct Connection {
    orders: mpsc::UnboundedSender<(Vec<u8>, Vec<Bytes>)>,
    state: Mutex<State>,
    closed: CancellationToken,
}

struct State {
    next: u64,
    under_way: HashMap<u64, Waiting>,
    used: Instant,
    /// Nobody asks any more.
    is_retired: bool,
    has_ended: bool,
}

/// A task that the worker has not answered.
struct Waiting {
    /// There may be nobody any more.
    answer: oneshot::Sender<Answered>,
    room: usize,
}

/// Why a connection ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The worker has ended, or does not keep to the protocol.
    Lost,
    /// It does not end this task.
    Hung(u64),
    /// There is nothing to do.
    Idle,
}

impl Client {
    /// With workers behind `reading.worker`, or without that with one that is this program, started
    /// once more; they read with the models of this folder, or without one with the installed ones.
    pub fn new(config: &Config, models: Option<&Path>) -> Self {
        let Config { reading, limits, quality, .. } = config;
        let workers = reading.worker.clone().map_or(Workers::Child, Workers::Socket);
        Self {
            workers,
            reading: Reading { worker: None, ..reading.clone() },
            limits: limits.clone(),
            quality: quality.clone(),
            models: models.map(Path::to_owned),
            max_pages: limits.max_pages,
            connection: tokio::sync::Mutex::default(),
            turns: RwLock::new(()),
        }
    }

    /// Nothing more will be asked: the worker goes as soon as it has done what it has.
    pub async fn retire(&self) {
        if let Some(connection) = self.connection.lock().await.take() {
            connection.state().is_retired = true;
        }
    }

    /// What is said first, and the files behind it. Reads files: blocks.
    fn hello(&self) -> Result<(Hello, Vec<Bytes>), ModelsError> {
        let files = match &self.models {
            None => models::Files::new(),
            Some(folder) => {
                let precision = self.reading.precision;
                let precision = precision.unwrap_or_else(Precision::for_this_machine);
                Manifest::open(folder)?.files(precision)?
            }
        };
        let hello = Hello {
            version: VERSION.to_owned(),
            reading: self.reading.clone(),
            limits: self.limits.clone(),
            quality: self.quality.clone(),
            models: files.iter().map(|(name, file)| (name.clone(), file.len())).collect(),
        };
        Ok((hello, files.into_values().map(Bytes::from).collect()))
    }

    /// Has the models loaded.
    pub async fn load(self: &Arc<Self>) -> Result<(), ReadError> {
        let question = Question { what: What::Load, files: Vec::new(), room: 0 };
        self.ask(question, PATIENCE, |reply| match reply?.outcome()? {
            (Outcome::Done, _) => Ok(Some(())),
            _ => Ok(None),
        })
        .await
    }

    /// Whether a file is a document that can be opened.
    pub async fn open(self: &Arc<Self>, file: Vec<u8>) -> Result<Result<(), PageError>, ReadError> {
        let question = Question { what: What::Open, files: vec![file.into()], room: 0 };
        self.ask(question, PATIENCE, |reply| match reply?.outcome()? {
            (Outcome::Done, _) => Ok(Some(Ok(()))),
            (Outcome::Refused(error), _) => Ok(Some(Err(error))),
            _ => Ok(None),
        })
        .await
    }

    /// Looks at a picture's file, and gives it back.
    pub async fn look(
        self: &Arc<Self>,
        picture: Vec<u8>,
    ) -> (Vec<u8>, Result<Result<Look<Sheet>, PageError>, ReadError>) {
        let picture = Bytes::from(picture);
        let question = Question { what: What::Look, files: vec![picture.clone()], room: 4096 };
        let looked = self.ask(question, PATIENCE, |reply| {
            let reply = reply?;
            let handle = Handle { number: reply.number, connection: Arc::clone(&reply.connection) };
            match reply.outcome()? {
                (Outcome::Seen { page, findings }, bytes) => {
                    let likeness = Likeness::from_bytes(&bytes);
                    let page = page.then_some(Sheet::There(handle));
                    Ok(Some(Ok(Look { page, findings, likeness })))
                }
                (Outcome::Refused(error), _) => Ok(Some(Err(error))),
                _ => Ok(None),
            }
        });
        let looked = looked.await;
        (picture.into(), looked)
    }

    /// Reads a page that was looked at, ahead of its document.
    pub async fn read_ahead(
        self: &Arc<Self>,
        page: Handle,
        pictures: bool,
    ) -> Result<Ahead, ReadError> {
        let page = Arc::new(page);
        let what = What::ReadAhead { page: Arc::clone(&page), pictures };
        let question = Question { what, files: Vec::new(), room: 0 };
        self.ask(question, PATIENCE, |reply| match reply?.outcome()? {
            (Outcome::Done, _) => Ok(Some(())),
            _ => Ok(None),
        })
        .await?;
        Ok(Ahead::There(page))
    }

    /// Reads a document; see [`crate::reading::Reader::read_in_time`].
    pub async fn read(
        self: &Arc<Self>,
        work: Work,
        limit: Duration,
        done: impl FnOnce(Done) + Send + 'static,
    ) -> Result<Answer, ReadError> {
        let Work { scan, files, ahead, pictures } = work;
        let there = |ahead: Ahead| match ahead {
            Ahead::There(page) => Some(page),
            Ahead::Here(..) => None,
        };
        let ahead = ahead.into_iter().map(|page| page.and_then(there)).collect();
        let what = What::Read { ahead, pictures };
        let room = if pictures == Pictures::None { ANSWER } else { PICTURES };
        let question = Question { what, files: bytes_of(files), room };
        let (begun, max_pages) = (Instant::now(), self.max_pages);
        let read = move |reply: Result<Reply, ReadError>| {
            let read = reply.and_then(|reply| match reply.outcome {
                Outcome::Read { stages } => {
                    let answer = checked(&reply.bytes, max_pages, &scan.to_string());
                    Ok(answer.map(|answer| (answer, stages)))
                }
                Outcome::Panicked => Err(ReadError::Panic),
                _ => Ok(None),
            });
            let (pages, stages) = match &read {
                Ok(Some((answer, stages))) => {
                    let spent = |(stage, micros): &(Stage, u64)| {
                        (*stage, Duration::from_micros(*micros).min(begun.elapsed() * 64))
                    };
                    let stages = stages.iter().take(Stage::ALL.len()).map(spent).collect();
                    (answer.meta.as_ref().map_or(0, |meta| meta.pages), stages)
                }
                _ => (0, Vec::new()),
            };
            done(Done { pages, took: begun.elapsed(), stages });
            read.map(|read| read.map(|(answer, _)| answer))
        };
        self.ask(question, limit, read).await
    }

    /// These pages as a PDF of pictures, unless it is later than this.
    pub async fn pages(
        self: &Arc<Self>,
        files: Files,
        pages: BTreeSet<usize>,
        deadline: Instant,
    ) -> Result<Vec<u8>, ReadError> {
        let what = What::Draw { pages };
        let question = Question { what, files: bytes_of(files), room: PICTURES };
        let limit = deadline.saturating_duration_since(Instant::now());
        self.ask(question, limit, |reply| match reply?.outcome()? {
            (Outcome::Done, pdf) => Ok(Some(pdf)),
            _ => Ok(None),
        })
        .await
    }

    /// Asks on a task of its own, so that nothing is left half said where nobody waits any more.
    /// `believe` sees what came, whether or not somebody still waits, and makes nothing of what a
    /// worker does not say.
    async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        question: Question,
        limit: Duration,
        believe: impl FnOnce(Result<Reply, ReadError>) -> Result<Option<T>, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let stop = CancellationToken::new();
        let _stops = stop.clone().drop_guard();
        let first = Arc::new(AtomicBool::new(false));
        let (client, is_first) = (Arc::clone(self), Arc::clone(&first));
        let asking = tokio::spawn(async move {
            let reply = client.ask_again(question, &is_first, &stop).await;
            let connection = reply.as_ref().ok().map(|reply| Arc::clone(&reply.connection));
            let believed = spawn_blocking(move || believe(reply)).await;
            believed.map_err(|_| ReadError::Panic)?.and_then(|believed| {
                believed.ok_or_else(|| {
                    if let Some(connection) = connection {
                        connection.end(End::Lost);
                    }
                    ReadError::Died
                })
            })
        });
        match timeout(limit, asking).await {
            Ok(Ok(believed)) => believed,
            Ok(Err(_)) => Err(ReadError::Panic),
            // It has waited for others, or is read anew because of them.
            Err(_) if !first.load(Ordering::Relaxed) => Err(ReadError::Interrupted),
            Err(_) => Err(ReadError::TooSlow(limit)),
        }
    }

    /// Asks, and where the worker ended for something else's sake, once more while it does nothing
    /// else. `first` is so while the first try is under way.
    async fn ask_again(
        self: &Arc<Self>,
        question: Question,
        first: &AtomicBool,
        stop: &CancellationToken,
    ) -> Result<Reply, ReadError> {
        let turn = self.turns.read().await;
        let tried = self.ask_once(&question, Some(first), stop).await;
        first.store(false, Ordering::Relaxed);
        drop(turn);
        if !matches!(tried, Err(ReadError::Interrupted)) {
            return tried;
        }
        let _alone = self.turns.write().await;
        self.ask_once(&question, None, stop).await
    }

    async fn ask_once(
        self: &Arc<Self>,
        question: &Question,
        first: Option<&AtomicBool>,
        stop: &CancellationToken,
    ) -> Result<Reply, ReadError> {
        let (connection, number, answer) = loop {
            // Whoever waited for it may have gone while it waited for its turn.
            if stop.is_cancelled() {
                return Err(ReadError::Interrupted);
            }
            let connection = self.connection().await?;
            if let Some((number, answer)) = connection.begin(question.room) {
                break (connection, number, answer);
            }
        };
        let Some(task) = question.task_for(&connection) else {
            connection.settle(number, Err(ReadError::Interrupted));
            return Err(ReadError::Interrupted);
        };
        if let Some(first) = first {
            first.store(true, Ordering::Relaxed);
        }
        connection.say(&Order::Do(number, task), question.files.clone());
        tokio::pin!(answer);
        let answered = tokio::select! {
            answered = &mut answer => answered,
            () = stop.cancelled() => {
                connection.say(&Order::Cancel(number), Vec::new());
                match timeout(GRACE, answer).await {
                    Ok(answered) => answered,
                    Err(_) => {
                        connection.end(End::Hung(number));
                        return Err(ReadError::Died);
                    }
                }
            }
        };
        let (outcome, bytes) = answered.unwrap_or(Err(ReadError::Interrupted))?;
        Ok(Reply { number, outcome, bytes, connection })
    }

    /// The worker that there is, or a new one.
    async fn connection(self: &Arc<Self>) -> Result<Arc<Connection>, ReadError> {
        let mut place = self.connection.lock().await;
        if let Some(connection) = place.as_ref().filter(|it| !it.closed.is_cancelled()) {
            return Ok(Arc::clone(connection));
        }
        let it = Arc::clone(self);
        let hello = spawn_blocking(move || it.hello()).await.map_err(|_| ReadError::Panic)?;
        let (hello, files) = hello.map_err(|error| ReadError::Unable(error.to_string()))?;
        let opened = timeout(START, async {
            let stream = match &self.workers {
                Workers::Socket(socket) => UnixStream::connect(socket).await?,
                Workers::Child => child()?,
            };
            Connection::open(stream, &hello, files).await
        });
        let opened = opened.await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
        let connection = opened.map_err(|error| self.absent(&error))?;
        Ok(Arc::clone(place.insert(connection)))
    }

    fn absent(&self, error: &io::Error) -> ReadError {
        let socket = match &self.workers {
            Workers::Socket(socket) => socket.display(),
            Workers::Child => {
                return ReadError::Unable(format!("a worker cannot be started: {error}"));
            }
        };
        ReadError::Unable(match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => format!(
                "no worker is behind reading.worker, {socket}: start cic-kiosk-worker.socket, or \
                 take the setting away"
            ),
            ErrorKind::PermissionDenied => format!(
                "the worker's socket, {socket}, cannot be used: it must belong to the service's \
                 user"
            ),
            ErrorKind::TimedOut | ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => format!(
                "the worker behind {socket} does not start: `journalctl -u 'cic-kiosk-worker@*'` \
                 says why"
            ),
            _ => format!("the worker behind {socket} cannot be used: {error}"),
        })
    }
}

impl Question {
    /// As this worker understands it; nothing where it cannot be asked of this one.
    fn task_for(&self, connection: &Arc<Connection>) -> Option<Task> {
        let is_there = |page: &Handle| Arc::ptr_eq(&page.connection, connection);
        Some(match &self.what {
            What::Load => Task::Load,
            What::Open => Task::Open,
            What::Look => Task::Look,
            What::ReadAhead { page, pictures } => is_there(page)
                .then_some(Task::ReadAhead { page: page.number, pictures: *pictures })?,
            What::Read { ahead, pictures } => {
                let number = |page: &Option<Arc<Handle>>| {
                    page.as_ref().filter(|page| is_there(page)).map(|page| page.number)
                };
                let ahead = ahead.iter().map(number).collect();
                Task::Read { files: lengths_of(&self.files), ahead, pictures: *pictures }
            }
            What::Draw { pages } => {
                Task::Draw { files: lengths_of(&self.files), pages: pages.clone() }
            }
        })
    }
}

impl Reply {
    /// What came of it, if it could be done.
    fn outcome(self) -> Result<(Outcome, Vec<u8>), ReadError> {
        match self.outcome {
            Outcome::Panicked => Err(ReadError::Panic),
            Outcome::Failed(reason) => Err(ReadError::Unable(shown(&reason))),
            outcome => Ok((outcome, self.bytes)),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.connection.say(&Order::Forget(self.number), Vec::new());
    }
}

impl Connection {
    async fn open(stream: UnixStream, hello: &Hello, files: Vec<Bytes>) -> io::Result<Arc<Self>> {
        let (mut from, mut to) = stream.into_split();
        let bytes = files.iter().map(Bytes::len).sum();
        to.write_all(&protocol::beginning(hello, bytes)).await?;
        for file in files {
            to.write_all(&file).await?;
        }
        let (welcome, _) = protocol::receive::<Welcome>(&mut from).await?;
        if welcome.version != VERSION {
            return Err(broken("it is of another version than this program; restart the service"));
        }
        let (orders, said) = mpsc::unbounded_channel();
        let state = Mutex::new(State {
            next: 0,
            under_way: HashMap::new(),
            used: Instant::now(),
            is_retired: false,
            has_ended: false,
        });
        let connection = Arc::new(Self { orders, state, closed: CancellationToken::new() });
        tokio::spawn(Arc::clone(&connection).send(to, said));
        tokio::spawn(Arc::clone(&connection).listen(from));
        tokio::spawn(Arc::clone(&connection).watch());
        Ok(connection)
    }

    async fn send(
        self: Arc<Self>,
        mut to: OwnedWriteHalf,
        mut said: mpsc::UnboundedReceiver<(Vec<u8>, Vec<Bytes>)>,
    ) {
        let all = async {
            while let Some((beginning, files)) = said.recv().await {
                to.write_all(&beginning).await?;
                for file in files {
                    to.write_all(&file).await?;
                }
            }
            io::Result::Ok(())
        };
        tokio::select! {
            _ = all => self.end(End::Lost),
            () = self.closed.cancelled() => {}
        }
    }

    async fn listen(self: Arc<Self>, mut from: OwnedReadHalf) {
        let all = async {
            loop {
                let (said, length) = protocol::receive::<Said>(&mut from).await?;
                let room = self.state().under_way.get(&said.number).map(|task| task.room);
                let room = room.ok_or_else(|| broken("nobody asked"))?;
                let bytes = protocol::receive_bytes(&mut from, length, room).await?;
                self.settle(said.number, Ok((said.outcome, bytes)));
            }
        };
        tokio::select! {
            ended = all => {
                let ended: io::Result<()> = ended;
                if let Err(error) = ended && error.kind() == ErrorKind::InvalidData {
                    log::error!("the worker does not keep to the protocol: {error}");
                }
                self.end(End::Lost);
            }
            () = self.closed.cancelled() => {}
        }
    }

    /// Lets a worker go that has nothing to do.
    async fn watch(self: Arc<Self>) {
        while !self.closed.is_cancelled() {
            tokio::select! {
                () = sleep(LOOK) => {}
                () = self.closed.cancelled() => {}
            }
            let is_idle = {
                let state = self.state();
                let is_idle = state.is_retired || state.used.elapsed() >= IDLE;
                state.under_way.is_empty() && is_idle
            };
            if is_idle {
                // What begins at this very moment is asked again of the next one.
                self.end(End::Idle);
            }
        }
    }

    /// A task that is under way from now on; none where the worker has ended.
    fn begin(&self, room: usize) -> Option<(u64, oneshot::Receiver<Answered>)> {
        let mut state = self.state();
        if state.has_ended {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        let number = state.next;
        state.next += 1;
        state.used = Instant::now();
        state.under_way.insert(number, Waiting { answer, room });
        Some((number, answered))
    }

    /// A task that is over.
    fn settle(&self, number: u64, outcome: Answered) {
        let mut state = self.state();
        state.used = Instant::now();
        if let Some(task) = state.under_way.remove(&number) {
            let _ = task.answer.send(outcome);
        }
    }

    fn say(&self, order: &Order, files: Vec<Bytes>) {
        let bytes = files.iter().map(Bytes::len).sum();
        // Where the worker has ended, who waits is told so.
        let _ = self.orders.send((protocol::beginning(order, bytes), files));
    }

    /// The worker cannot be asked any more; who waits is told whether it was its fault.
    fn end(&self, end: End) {
        let mut state = self.state();
        if state.has_ended {
            return;
        }
        state.has_ended = true;
        let tasks = std::mem::take(&mut state.under_way);
        drop(state);
        self.closed.cancel();
        let is_alone = tasks.len() == 1;
        if !tasks.is_empty() {
            log::error!(tasks = tasks.len(); "{}", match end {
                End::Hung(_) => "the worker does not end what it was told to, and is cut off",
                End::Lost | End::Idle => "the worker ended while it had work",
            });
        }
        for (number, task) in tasks {
            let is_guilty = match end {
                End::Lost => is_alone,
                End::Hung(task) => task == number,
                End::Idle => false,
            };
            let error = if is_guilty { ReadError::Died } else { ReadError::Interrupted };
            let _ = task.answer.send(Err(error));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// This program, started once more as a worker. It ends with its connection.
fn child() -> io::Result<UnixStream> {
    let (ours, its) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut child = Command::new(std::env::current_exe()?)
        .arg("worker")
        .stdin(OwnedFd::from(its))
        .stdout(Stdio::null())
        .spawn()?;
    tokio::spawn(async move { child.wait().await });
    UnixStream::from_std(ours)
}

fn bytes_of(files: Files) -> Vec<Bytes> {
    files.0.into_iter().map(Bytes::from).collect()
}

/// An answer, if it is one, about no more pages than there may be. Its id is the scan's own.
pub fn checked(json: &[u8], max_pages: usize, scan: &str) -> Option<Answer> {
    let mut answer: Answer = serde_json::from_slice(json).ok()?;
    let Meta { pages, quality, elapsed_ms, detail, scan_id, .. } = answer.meta.as_mut()?;
    if *pages > max_pages || quality.iter().any(|it| it.page >= *pages) {
        return None;
    }
    scan.clone_into(scan_id);
    let is_known = |name: &str| name == "load" || Stage::ALL.iter().any(|it| it.name() == name);
    elapsed_ms.retain(|name, time| is_known(name) && time.is_u64());
    *detail = detail.as_deref().map(shown);
    Some(answer)
}

/// What a worker says for people, without what a terminal would obey.
fn shown(reason: &str) -> String {
    reason.chars().filter(|c| !c.is_control()).take(REASON).collect()
}

#[cfg(test)]
mod tests;
