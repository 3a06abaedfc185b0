//! The thread that owns the device.
//!
//! Promises:
//! - Whatever the device does, who asks waits no longer than the camera's time-out.
//! - A thread that is stuck in the kernel is left behind, and no other one opens the device until it
//!   has come back.
//! - A frame that is not whole is passed over and counted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;

use super::super::Fault;
use super::device;
use super::pixels::{Frame, Shape};

/// A device that gives frames. Every call may block for as long as the device pleases.
pub trait Device {
    /// What its frames are.
    fn shape(&self) -> Shape;
    /// Sets the controls that are configured; returns those that it refuses.
    fn begin(&mut self) -> Vec<&'static str>;
    /// Locks what it has found by itself; returns what it refuses.
    fn lock(&mut self) -> Vec<&'static str>;
    /// The next frame.
    fn next(&mut self) -> Result<Picture<'_>, Fault>;
}

/// A frame where the device has put it.
pub struct Picture<'a> {
    /// As they came.
    pub bytes: &'a [u8],
    /// Whether there is nothing missing.
    pub is_whole: bool,
    /// When it began or ended, by [`now`].
    pub at: Duration,
}

/// The clock that drivers stamp their frames with.
pub fn now() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    Duration::new(
        time.tv_sec.try_into().unwrap_or_default(),
        time.tv_nsec.try_into().unwrap_or_default(),
    )
}

/// Which frame is meant.
#[derive(Clone, Copy)]
pub enum Which {
    /// The next one.
    Next,
    /// The first one that begins from now on.
    Fresh,
}

enum Ask {
    Frame(Option<Duration>, oneshot::Sender<Frame>),
    Lock(oneshot::Sender<Vec<&'static str>>),
}

/// What went wrong, to be counted.
#[derive(Default)]
pub struct Counts {
    /// Frames that were not whole.
    pub broken: AtomicU64,
    /// Times that a device did not answer.
    pub hung: AtomicU64,
}

/// The thread, from outside.
pub struct Thread {
    asks: mpsc::Sender<Ask>,
    fault: watch::Receiver<Option<Fault>>,
    counts: Arc<Counts>,
    patience: Duration,
}

/// Whether a thread has ended, for whoever has let go of it.
pub struct Trace(Weak<()>);

impl Trace {
    /// Whether the device is closed.
    pub fn has_ended(&self) -> bool {
        self.0.strong_count() == 0
    }
}

impl Thread {
    /// Opens a device on a thread of its own, which lives until this is dropped, the device fails,
    /// or, where it is stuck, until it comes back. Returns it with the controls that the device
    /// refuses; and, in any case, its trace.
    pub async fn start<D: Device>(
        open: impl FnOnce() -> Result<D, Fault> + Send + 'static,
        patience: Duration,
        counts: Arc<Counts>,
        trace: &mut Option<Trace>,
    ) -> Result<(Self, Vec<&'static str>), Fault> {
        let (asks, asked) = mpsc::channel();
        let (opened, was_opened) = oneshot::channel();
        let (failed, fault) = watch::channel(None);
        let alive = Arc::new(());
        *trace = Some(Trace(Arc::downgrade(&alive)));
        let counted = counts.clone();
        let work = move || {
            let work = || {
                let mut device = open()?;
                let _ = opened.send(device.begin());
                // Told before the device is closed, which may take its time.
                serve(&mut device, &asked, &counted)
                    .inspect_err(|fault| _ = failed.send(Some(fault.clone())))
            };
            // The library that reads devices panics where a driver is odd.
            let ended = catch_unwind(AssertUnwindSafe(work));
            if let Err(fault) = ended.unwrap_or_else(|_| Err(device::odd())) {
                let _ = failed.send(Some(fault));
            }
            drop(alive);
        };
        thread::Builder::new().name("camera".to_owned()).spawn(work).map_err(|error| {
            Fault::Failing(format!("the camera gets no thread ({error}): start the kiosk again"))
        })?;
        let thread = Self { asks, fault, counts, patience };
        let refused = thread.answer(was_opened).await?;
        Ok((thread, refused))
    }

    /// A frame.
    pub async fn frame(&self, which: Which) -> Result<Frame, Fault> {
        let (answer, answered) = oneshot::channel();
        let after = match which {
            Which::Next => None,
            Which::Fresh => Some(now()),
        };
        // Where it has ended, the answer says so.
        let _ = self.asks.send(Ask::Frame(after, answer));
        self.answer(answered).await
    }

    /// Locks what the device has found by itself; returns what it refuses.
    pub async fn lock(&self) -> Result<Vec<&'static str>, Fault> {
        let (answer, answered) = oneshot::channel();
        let _ = self.asks.send(Ask::Lock(answer));
        self.answer(answered).await
    }

    async fn answer<T>(&self, answered: oneshot::Receiver<T>) -> Result<T, Fault> {
        let broken = self.counts.broken.load(Ordering::Relaxed);
        let mut fault = self.fault.clone();
        tokio::select! {
            biased;
            Ok(answer) = answered => Ok(answer),
            Ok(fault) = fault.wait_for(Option::is_some) => {
                Err(fault.clone().unwrap_or_else(super::silent))
            }
            () = sleep(self.patience) => {
                if self.counts.broken.load(Ordering::Relaxed) > broken {
                    return Err(super::broken());
                }
                self.counts.hung.fetch_add(1, Ordering::Relaxed);
                Err(super::silent())
            }
        }
    }
}

/// Reads frame after frame, so that the newest is at hand, and gives those that are asked for.
fn serve(
    device: &mut impl Device,
    asked: &mpsc::Receiver<Ask>,
    counts: &Counts,
) -> Result<(), Fault> {
    let shape = device.shape();
    let mut waiting: Option<(Option<Duration>, oneshot::Sender<Frame>)> = None;
    let mut before = Duration::ZERO;
    loop {
        loop {
            match asked.try_recv() {
                Ok(Ask::Frame(after, answer)) => waiting = Some((after, answer)),
                Ok(Ask::Lock(answer)) => _ = answer.send(device.lock()),
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) => return Ok(()),
            }
        }
        let picture = device.next()?;
        // Drivers stamp a frame's begin or its end: one that follows a stamp has begun after it.
        let fits = |&mut (after, _): &mut (Option<Duration>, _)| after.is_none_or(|it| before > it);
        if !picture.is_whole {
            counts.broken.fetch_add(1, Ordering::Relaxed);
        } else if let Some((_, answer)) = waiting.take_if(fits) {
            let _ = answer.send(Frame { bytes: picture.bytes.to_vec(), shape });
        }
        before = picture.at;
    }
}
