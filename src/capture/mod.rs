//! Pages from devices: cameras, document scanners, and folders.
//!
//! Promises:
//! - A device that is blocked, slow or unplugged holds up nothing but itself; one that comes back is
//!   used again without a restart.
//! - How each source is can be asked at any time, with a reason that a person can act on.
//! - A page that a source has given is safe on the disk before the source is told so, and until
//!   then the source keeps it.

pub mod camera;
mod device;
pub mod escl;
mod folder;
pub mod sane;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cic_kiosk::finding::Finding;
use cic_kiosk::page::Quality;
use cic_kiosk::report::schema::Agreement;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

pub use camera::{Problem, Sight, gate_of_look};
pub use device::Device;
pub use folder::HotFolder;

pub use crate::outbox::Source;

/// The pause before a source that failed is tried again: from the first, doubled each time, to the
/// last. A person who plugs it in again waits no longer than that.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// Orders that wait for a source; a person presses no faster.
const ORDERS: usize = 4;

/// Characters of a name that a device gives itself.
const NAME: usize = 120;

/// What a device calls itself, without what a terminal would obey.
fn shown(name: &str) -> String {
    name.trim().chars().filter(|c| !c.is_control()).take(NAME).collect()
}

/// A device, or a place, that pages come from.
pub trait PageSource: Send + 'static {
    /// Captures until it is told to stop: pages, and how it is, go to the port, orders come from
    /// there. It is called again after a fault, and begins with finding its device.
    fn capture(&mut self, port: &mut Port) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// Why a source cannot capture now, in words that say what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The device is not there.
    #[error("{0}")]
    Absent(String),
    /// It is there, and does not do its work.
    #[error("{0}")]
    Failing(String),
}

/// How a source is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "snake_case")]
pub enum State {
    /// The device is not there.
    Absent(String),
    /// It waits for paper, or for an order.
    Ready,
    /// It captures.
    Busy,
    /// It waits for a person to do something.
    Asking(String),
    /// It does not do its work; it is tried again.
    Failing(String),
}

impl From<Fault> for State {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Absent(reason) => Self::Absent(reason),
            Fault::Failing(reason) => Self::Failing(reason),
        }
    }
}

impl State {
    /// Of a source that has not begun.
    pub fn unknown() -> Self {
        Self::Absent("it is being looked for".to_owned())
    }

    /// Its name, without the reason.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Absent(_) => "absent",
            Self::Ready => "ready",
            Self::Busy => "busy",
            Self::Asking(_) => "asking",
            Self::Failing(_) => "failing",
        }
    }

    /// Whether the source does, or can do, its work.
    pub fn is_well(&self) -> bool {
        matches!(self, Self::Ready | Self::Busy | Self::Asking(_))
    }
}

/// What a person, or a command, tells a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Begin to scan, or take the page that lies there, now.
    Start,
    /// That was the last page.
    Done,
    /// Forget the scan.
    Cancel,
}

impl Order {
    const ALL: [Self; 3] = [Self::Start, Self::Done, Self::Cancel];

    /// As it is called.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Done => "done",
            Self::Cancel => "cancel",
        }
    }

    /// The one that is called so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.as_str() == name)
    }
}

/// Whether devices may capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// They may not.
    Closed,
    /// They may, for this customer: what was captured for another one is captured again.
    Open(Ulid),
}

/// What becomes of a scan that a customer has seen.
pub struct Decision {
    /// Which one.
    pub scan: Ulid,
    /// It is sent, with what the customer agreed to; otherwise it is forgotten.
    pub send: Option<Agreement>,
}

/// What a camera sees.
#[derive(Clone, Debug, Default)]
pub struct Preview {
    /// Counts the looks.
    pub number: u64,
    /// What there is, or what is missing; none before the first look, nor while the camera is away.
    pub sight: Option<Sight>,
    /// Figures of the paper, where there is any.
    pub quality: Option<Quality>,
    /// Its corners where it lies still, as shares of the picture's width and height.
    pub outline: Option<[[f32; 2]; 4]>,
    /// A small JPEG; made only while somebody looks.
    pub picture: Option<Arc<[u8]>>,
}

/// A page as a source gives it.
pub struct Captured {
    /// A picture's file: JPEG, PNG or TIFF.
    pub picture: Vec<u8>,
    /// When it was taken.
    pub at: Timestamp,
}

/// What became of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is safe, and good enough.
    Kept,
    /// The same page has been taken before; this one is dropped.
    Same,
    /// It is not good enough: it is kept for now, and a better one will take its place.
    Again(Vec<Finding>),
}

/// Why there are no more pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// There is no more paper.
    Paper,
    /// A person said so.
    Person,
    /// A person wants the scan to be forgotten.
    Cancelled,
}

/// What comes out of a source.
pub enum Event {
    /// A page, and whom to tell what became of it.
    Page(Captured, oneshot::Sender<Taken>),
    /// The scan ends.
    End(End),
}

/// A source's side of its connection with the kiosk.
pub struct Port {
    events: mpsc::Sender<Event>,
    state: watch::Sender<State>,
    preview: watch::Sender<Preview>,
    orders: mpsc::Receiver<Order>,
    gate: watch::Receiver<Gate>,
    stop: CancellationToken,
}

/// The kiosk's side.
pub struct Outlet {
    /// Pages, and the ends of scans.
    pub events: mpsc::Receiver<Event>,
    /// How the source is.
    pub state: watch::Receiver<State>,
    /// What it sees; who subscribes has pictures made.
    pub preview: watch::Sender<Preview>,
    /// To tell it something.
    pub orders: mpsc::Sender<Order>,
}

impl Port {
    /// A source that has not begun, until `stop` is cancelled.
    pub fn new(stop: CancellationToken) -> (Self, Outlet) {
        Self::gated(stop, watch::Sender::new(Gate::Open(Ulid::nil())).subscribe())
    }

    /// The same, which captures only while the gate is open.
    pub fn gated(stop: CancellationToken, gate: watch::Receiver<Gate>) -> (Self, Outlet) {
        // One page at a time: a source gets no further ahead than what is safe.
        let (events, received) = mpsc::channel(1);
        let (orders, ordered) = mpsc::channel(ORDERS);
        let state = watch::Sender::new(State::unknown());
        let preview = watch::Sender::default();
        let outlet =
            Outlet { events: received, state: state.subscribe(), preview: preview.clone(), orders };
        (Self { events, state, preview, orders: ordered, gate, stop }, outlet)
    }

    /// Gives a page, and waits until it is safe, for as long as that takes.
    pub async fn page(&self, page: Captured) -> Taken {
        let (taken, became) = oneshot::channel();
        if self.events.send(Event::Page(page, taken)).await.is_err() {
            self.stop.cancelled().await;
        }
        // Nobody answers only where all ends.
        became.await.unwrap_or(Taken::Kept)
    }

    /// Says that no more pages come.
    pub async fn end(&self, end: End) {
        let _ = self.events.send(Event::End(end)).await;
    }

    /// Says how the source is.
    pub fn set(&self, state: State) {
        self.state.send_if_modified(|now| {
            let changes = *now != state;
            if changes {
                *now = state;
            }
            changes
        });
    }

    /// Shows what the source sees.
    pub fn show(&self, preview: Preview) {
        let number = self.preview.borrow().number + 1;
        self.preview.send_replace(Preview { number, ..preview });
    }

    /// Whether somebody looks at that.
    pub fn is_watched(&self) -> bool {
        self.preview.receiver_count() > 0
    }

    /// Whether it may capture, and for whom.
    pub fn gate(&self) -> Gate {
        *self.gate.borrow()
    }

    /// Whether it may capture.
    pub fn is_open(&self) -> bool {
        self.gate() != Gate::Closed
    }

    /// Waits for the next order.
    pub async fn order(&mut self) -> Order {
        match self.orders.recv().await {
            Some(order) => order,
            None => std::future::pending().await,
        }
    }

    /// Cancelled when the source is to stop.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }
}

/// Keeps a source at work until it is told to stop.
pub async fn keep_at_work(source: &mut impl PageSource, name: Source, port: &mut Port) {
    let mut pause = PAUSES.0;
    let mut told = None;
    let stop = port.stop().clone();
    loop {
        let begun = Instant::now();
        let fault = tokio::select! {
            ended = source.capture(port) => ended.err(),
            () = stop.cancelled() => return,
        };
        if stop.is_cancelled() {
            return;
        }
        if begun.elapsed() > PAUSES.1 {
            pause = PAUSES.0;
            told = None;
        }
        if let Some(fault) = fault {
            if told.as_ref() != Some(&fault) {
                log::warn!(source = name.as_str(); "{fault}");
                told = Some(fault.clone());
            }
            port.set(fault.into());
            // What it saw last is not what there is.
            port.show(Preview::default());
        }
        let again = sleep_until(Instant::now() + pause);
        tokio::pin!(again);
        loop {
            tokio::select! {
                () = &mut again => break,
                () = stop.cancelled() => return,
                // What was captured before the fault can still be ended.
                order = port.order() => match order {
                    Order::Start => {}
                    Order::Done => port.end(End::Person).await,
                    Order::Cancel => port.end(End::Cancelled).await,
                }
            }
        }
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// A scan whose pages are still coming.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenScan {
    /// Its id.
    pub scan_id: Ulid,
    /// Pages that it has.
    pub pages: usize,
    /// What a person is asked to do, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ask: Option<String>,
}

/// How a source and its scan are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Which source.
    pub source: Source,
    /// How it is.
    #[serde(flatten)]
    pub state: State,
    /// Its scan, where one has begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scan: Option<OpenScan>,
}

/// A source as the rest of the kiosk sees it.
pub struct Handle {
    /// Which one.
    pub source: Source,
    /// How it is.
    pub state: watch::Receiver<State>,
    /// Its scan.
    pub scan: watch::Receiver<Option<OpenScan>>,
    /// To tell it something.
    pub orders: mpsc::Sender<Order>,
    /// To tell its session what a customer has decided.
    pub decisions: mpsc::Sender<Decision>,
    /// What it sees; who subscribes has pictures made.
    pub preview: watch::Sender<Preview>,
    /// What came of it.
    pub tally: Arc<Tally>,
    /// What went wrong with a camera's pictures.
    pub counts: Option<Arc<camera::Counts>>,
}

/// What came of a source since the program began.
#[derive(Debug, Default)]
pub struct Tally {
    /// Pages that it gave.
    pub pages: AtomicU64,
    /// Times that a page was asked for again.
    pub asked_again: AtomicU64,
}

/// What is said where an order to begin meets a gate that is closed.
pub const CLOSED: &str = "no page is wanted on the screen now: press \"I agree\" there, or \"Another \
                          page\" where a report is being checked; then order it again";

/// All sources that take orders, in the order in which they are asked.
#[derive(Clone, Default)]
pub struct Sources {
    handles: Arc<[Handle]>,
    /// What their devices capture behind, where that is closed at times.
    gate: Option<watch::Receiver<Gate>>,
}

impl Sources {
    /// Of these.
    pub fn new(sources: Vec<Handle>) -> Self {
        Self { handles: sources.into(), gate: None }
    }

    /// The same, which take no order to begin while this gate is closed.
    pub fn behind(self, gate: Option<watch::Receiver<Gate>>) -> Self {
        Self { gate, ..self }
    }

    /// Whether none of them may capture now.
    pub fn are_closed(&self) -> bool {
        self.gate.as_ref().is_some_and(|gate| *gate.borrow() == Gate::Closed)
    }

    /// How they are.
    pub fn standing(&self) -> Vec<Standing> {
        let standing = |handle: &Handle| Standing {
            source: handle.source,
            state: handle.state.borrow().clone(),
            scan: handle.scan.borrow().clone(),
        };
        self.handles.iter().map(standing).collect()
    }

    /// One figure of each source.
    pub fn tally(&self, figure: impl Fn(&Tally) -> &AtomicU64) -> BTreeMap<&'static str, u64> {
        let of = |handle: &Handle| figure(&handle.tally).load(Ordering::Relaxed);
        self.handles.iter().map(|handle| (handle.source.as_str(), of(handle))).collect()
    }

    /// What went wrong with the camera's pictures, where there is a camera.
    pub fn camera_counts(&self) -> Option<&camera::Counts> {
        self.handles.iter().find_map(|handle| handle.counts.as_deref())
    }

    /// Whether there is a source of this name.
    pub fn has(&self, source: Source) -> bool {
        self.handles.iter().any(|handle| handle.source == source)
    }

    /// What the camera sees from now on, where there is one.
    pub fn preview(&self) -> Option<watch::Receiver<Preview>> {
        let camera = self.handles.iter().find(|handle| handle.source == Source::Camera)?;
        Some(camera.preview.subscribe())
    }

    /// Tells a source's session what a customer has decided. Whether it heard.
    pub fn decide(&self, source: Source, decision: Decision) -> bool {
        let handle = self.handles.iter().find(|handle| handle.source == source);
        handle.is_some_and(|handle| handle.decisions.try_send(decision).is_ok())
    }

    /// Tells a source something. Without a name: the one that has a scan; where there is none, and it
    /// is to begin, the first one that waits for that. Whether there was one that took it.
    pub fn order(&self, source: Option<Source>, order: Order) -> bool {
        if order == Order::Start && self.are_closed() {
            return false;
        }
        let fits = |handle: &&Handle| match source {
            Some(source) => handle.source == source,
            None if handle.scan.borrow().is_some() => true,
            None => {
                let waits = matches!(*handle.state.borrow(), State::Ready | State::Asking(_));
                order == Order::Start && waits
            }
        };
        let with_scan = |handle: &&Handle| handle.scan.borrow().is_some();
        let fitting = || self.handles.iter().filter(fits);
        let handle = fitting().find(with_scan).or_else(|| fitting().next());
        handle.is_some_and(|handle| handle.orders.try_send(order).is_ok())
    }
}
