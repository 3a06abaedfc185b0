//! A camera that looks down on the paper (V4L2).
//!
//! Promises:
//! - Pages are taken by themselves: a picture of each paper that lies there as it must, begun after
//!   it was found to.
//! - A camera that hangs, is unplugged or sends broken pictures is told of within its time-out, in
//!   words, and is used again when it is back.
//! - Exposure, focus and white balance are the camera's own until it has seen paper for long enough,
//!   and then stay: what suits an empty dark table washes paper out.

mod controls;
mod device;
mod mode;
mod pixels;
mod thread;
#[cfg(test)]
mod vivid;
mod watch;

use std::collections::HashSet;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cic_kiosk::config;
use cic_kiosk::page::Gate;
use image::codecs::jpeg::JpegEncoder;
use image::{GrayImage, imageops};
use jiff::Timestamp;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use self::thread::{Device, Thread, Trace, Which};
use self::watch::Watch;
use super::{Captured, End, Fault, Gate as Way, Order, PageSource, Port, Preview, State, Taken};

pub use self::device::{Found, list};
pub use self::thread::Counts;
pub use self::watch::{Problem, Sight, gate_of_look};

/// How long something must be wrong before a person is asked to mend it: hands that lay down a
/// paper do that by themselves.
const PATIENCE: Duration = Duration::from_secs(1);

/// A table that has been empty for so long is somebody else's: the page that lay there last may come
/// again.
const FORGET: Duration = Duration::from_secs(30);

/// How often a device that is still closing is looked at.
const GLANCE: Duration = Duration::from_millis(20);

/// The longer side of what is shown of a look, in pixels.
const SHOWN: u32 = 800;

/// Share by which two looks may differ in brightness and still count as settled.
const SETTLED: f64 = 0.02;

/// Finds a device, and starts it.
type Open<D> = dyn Fn(&config::Camera) -> Result<D, Fault> + Send + Sync;

/// The camera of the kiosk, as a source of pages.
pub struct Camera<D = device::Camera> {
    settings: config::Camera,
    gate: Gate,
    open: Arc<Open<D>>,
    counts: Arc<Counts>,
    /// Controls that were refused, and said to be.
    refused: HashSet<&'static str>,
    /// The thread that has the device, or had it last.
    trace: Option<Trace>,
}

impl Camera {
    /// Pages that pass the gate, from the camera that the settings name.
    pub fn new(settings: config::Camera, gate: Gate) -> Self {
        Self::opened_by(device::open, settings, gate)
    }
}

/// What `probe` found.
pub struct Probed {
    /// The mode that the camera gives.
    pub mode: mode::Mode,
    /// Controls that it offers and refuses.
    pub refused: Vec<&'static str>,
}

/// Whether the camera can be used as it is configured: finds it, starts it, and waits for a
/// picture. It can take as long as the device pleases.
pub fn probe(settings: &config::Camera) -> Result<Probed, Fault> {
    let mut device = device::open(settings)?;
    let refused = device.begin();
    // Some of the first may be broken.
    for _ in 0..10 {
        if device.next()?.is_whole {
            return Ok(Probed { mode: device.shape().mode, refused });
        }
    }
    Err(broken())
}

/// No answer within the time-out.
fn silent() -> Fault {
    Fault::Failing("the camera does not answer: unplug it and plug it in again".to_owned())
}

/// Nothing but pictures that are not whole.
fn broken() -> Fault {
    Fault::Failing("the camera sends broken pictures: use another cable or USB port".to_owned())
}

impl<D: Device + 'static> PageSource for Camera<D> {
    async fn capture(&mut self, port: &mut Port) -> Result<(), Fault> {
        let thread = self.begin().await?;
        let mut view = View { thread, watch: Some(self.watch()), at: Instant::now() };
        self.drop_dark(&view).await?;
        let mut asking = Asking::default();
        let (mut seen_at, mut paper_since, mut locked) = (Instant::now(), None, false);
        let mut empty_since = None;
        let mut way = port.gate();
        let mut looks = interval(self.settings.look_time());
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                order = port.order() => {
                    match order {
                        Order::Start if !port.is_open() => {}
                        Order::Start => view.insist(),
                        Order::Done => port.end(End::Person).await,
                        Order::Cancel => port.end(End::Cancelled).await,
                    }
                    continue;
                }
            }
            if way != port.gate() {
                // Another customer: what lies there has not been taken for this one, and what the
                // one before has laid there is nobody's to see.
                way = port.gate();
                port.show(Preview::default());
                view.watch = Some(self.watch());
                asking = Asking::default();
            }
            let is_watched = port.is_watched();
            if way == Way::Closed && !is_watched {
                // Whether it still works is known all the same.
                view.thread.frame(Which::Next).await?;
                seen_at = Instant::now();
                port.set(State::Ready);
                continue;
            }
            let Some((sight, preview)) = self.look(&mut view, is_watched).await? else {
                if seen_at.elapsed() > self.settings.timeout() {
                    return Err(broken());
                }
                continue;
            };
            seen_at = Instant::now();
            if way == Way::Closed {
                view.forget();
                port.show(preview);
                port.set(State::Ready);
                continue;
            }
            let state = asking.state(&sight, view.at.elapsed());
            // There are figures of paper that lies still alone.
            let sees_paper = preview.quality.is_some();
            port.show(preview);
            port.set(state);
            let mut kept = false;
            if let Sight::Take = sight {
                // Where its own frame is broken, the next look says take again.
                let Some(page) = self.page(&view).await? else { continue };
                let taken = port.page(page).await;
                view.taken(&taken);
                kept = taken == Taken::Kept;
                port.set(asking.taken(&taken));
            }
            if sight != Sight::Empty {
                empty_since = None;
            } else if empty_since.get_or_insert_with(Instant::now).elapsed() >= FORGET {
                view.watch = Some(self.watch());
                empty_since = None;
            }
            if sees_paper {
                paper_since.get_or_insert_with(Instant::now);
            } else {
                paper_since = None;
            }
            let settled = paper_since.is_some_and(|it| it.elapsed() >= self.settings.settle_time());
            if !locked && (settled || kept) {
                let refused = view.thread.lock().await?;
                self.say_refused(refused);
                locked = true;
            }
        }
    }
}

/// What the camera sees, and what is made of it.
struct View {
    thread: Thread,
    /// Away while it works on another thread.
    watch: Option<Watch>,
    /// When it began, which the watch counts from.
    at: Instant,
}

impl View {
    fn insist(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.insist();
        }
    }

    fn forget(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.forget();
        }
    }

    fn taken(&mut self, taken: &Taken) {
        if let Some(watch) = &mut self.watch {
            watch.taken(taken);
        }
    }
}

impl<D: Device + 'static> Camera<D> {
    fn opened_by(
        open: impl Fn(&config::Camera) -> Result<D, Fault> + Send + Sync + 'static,
        settings: config::Camera,
        gate: Gate,
    ) -> Self {
        let counts = Arc::default();
        let refused = HashSet::new();
        Self { settings, gate, open: Arc::new(open), counts, refused, trace: None }
    }

    /// What has gone wrong so far, to be counted.
    pub fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    fn watch(&self) -> Watch {
        Watch::new(&self.settings, self.gate.clone())
    }

    /// Opens the device, once whoever had it before has let go of it.
    async fn begin(&mut self) -> Result<Thread, Fault> {
        let given_up = Instant::now() + self.settings.timeout();
        while self.trace.as_ref().is_some_and(|it| !it.has_ended()) {
            if Instant::now() >= given_up {
                return Err(silent());
            }
            sleep(GLANCE).await;
        }
        let (open, settings) = (self.open.clone(), self.settings.clone());
        let open = move || open(&settings);
        let (timeout, counts) = (self.settings.timeout(), self.counts.clone());
        let (thread, refused) = Thread::start(open, timeout, counts, &mut self.trace).await?;
        self.say_refused(refused);
        Ok(thread)
    }

    fn say_refused(&mut self, refused: Vec<&'static str>) {
        for control in refused {
            if self.refused.insert(control) {
                log::warn!(control; "the camera refuses a control, which stays as it is");
            }
        }
    }

    /// Passes over the first frames, which are dark, until two in a row are alike or the time to
    /// settle is over.
    async fn drop_dark(&self, view: &View) -> Result<(), Fault> {
        let mut before = None;
        while view.at.elapsed() < self.settings.settle_time() {
            let frame = view.thread.frame(Which::Next).await?;
            let look = spawn_blocking(move || frame.look()).await.ok().flatten();
            let sum = look.map(|it| it.as_raw().iter().map(|&v| f64::from(v)).sum::<f64>());
            if let (Some(now), Some(before)) = (sum, before)
                && now > 0.0
                && f64::abs(now - before) <= SETTLED * now
            {
                return Ok(());
            }
            before = sum;
            sleep(self.settings.look_time()).await;
        }
        Ok(())
    }

    /// Looks once. `None`: the frame is broken inside, which is counted.
    async fn look(
        &self,
        view: &mut View,
        is_watched: bool,
    ) -> Result<Option<(Sight, Preview)>, Fault> {
        let frame = view.thread.frame(Which::Next).await?;
        let at = view.at.elapsed();
        let mut watch = view.watch.take().unwrap_or_else(|| self.watch());
        let work = move || {
            let seen = frame.look().map(|grey| {
                let sight = watch.look(&grey, at);
                let preview = Preview {
                    number: 0,
                    sight: Some(sight),
                    quality: watch.quality(),
                    outline: watch.outline(),
                    picture: is_watched.then(|| small(&grey)).flatten(),
                };
                (sight, preview)
            });
            (watch, seen)
        };
        // A decoder that panics on a frame has it count as broken, and the watch begin anew.
        let seen = match spawn_blocking(work).await {
            Ok((watch, seen)) => {
                view.watch = Some(watch);
                seen
            }
            Err(_) => None,
        };
        if seen.is_none() {
            self.counts.broken.fetch_add(1, Ordering::Relaxed);
        }
        Ok(seen)
    }

    /// Takes the page. `None`: its frame is broken inside.
    async fn page(&self, view: &View) -> Result<Option<Captured>, Fault> {
        let frame = view.thread.frame(Which::Fresh).await?;
        let at = Timestamp::now();
        let picture = spawn_blocking(move || frame.file()).await.ok().flatten();
        if picture.is_none() {
            self.counts.broken.fetch_add(1, Ordering::Relaxed);
        }
        Ok(picture.map(|picture| Captured { picture, at }))
    }
}

/// A picture of the table to look at, not to read.
fn small(grey: &GrayImage) -> Option<Arc<[u8]>> {
    let share = f64::from(SHOWN) / f64::from(grey.width().max(grey.height()));
    let side = |pixels: u32| ((f64::from(pixels) * share.min(1.0)) as u32).max(1);
    let small = imageops::thumbnail(grey, side(grey.width()), side(grey.height()));
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 70).encode_image(&small).ok()?;
    Some(jpeg.into())
}

/// When a person is asked for something: not at each flicker.
#[derive(Default)]
struct Asking {
    /// What is asked for now.
    asked: Option<String>,
    /// Since when something has been wrong, whatever it was.
    since: Option<Duration>,
    /// What was wrong at the last look, and since when that.
    wrong: Option<(String, Duration)>,
}

impl Asking {
    /// How the source is by a look.
    fn state(&mut self, sight: &Sight, at: Duration) -> State {
        match sight {
            Sight::Empty => {
                *self = Self::default();
                return State::Ready;
            }
            Sight::Wait(problem) => self.wait(problem, at),
            Sight::Take => *self = Self::default(),
            // A page that shall be laid down again is asked for until something happens.
            Sight::Done => {
                (self.since, self.wrong) = (None, None);
                if self.asked.is_none() {
                    return State::Ready;
                }
            }
        }
        self.busy()
    }

    fn wait(&mut self, problem: impl Display, at: Duration) {
        let problem = problem.to_string();
        let lasts = |since: Duration| at.saturating_sub(since) >= PATIENCE;
        let since = *self.since.get_or_insert(at);
        let same = self.wrong.take().filter(|(wrong, _)| *wrong == problem);
        let same_since = same.map_or(at, |(_, since)| since);
        if lasts(same_since) || self.asked.is_none() && lasts(since) {
            self.asked = Some(problem.clone());
        }
        self.wrong = Some((problem, same_since));
    }

    /// How it is after a page.
    fn taken(&mut self, taken: &Taken) -> State {
        *self = Self::default();
        if let Taken::Again(findings) = taken {
            self.asked = findings.first().map(ToString::to_string);
        }
        self.busy()
    }

    fn busy(&self) -> State {
        self.asked.clone().map_or(State::Busy, State::Asking)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc;
    use std::thread;

    use cic_kiosk::finding::Finding;
    use tokio::sync::watch;
    use tokio::time::timeout;
    use tokio_util::sync::CancellationToken;

    use super::mode::{Mode, Pixels};
    use super::pixels::Shape;
    use super::thread::{Picture, now};
    use super::*;
    use crate::capture::{Event, Outlet};

    /// Far longer than anything takes here, and far less than for ever.
    const LONG: Duration = Duration::from_secs(60);
    const SIZE: (u32, u32) = (64, 48);

    /// What a device does at its frame of a number.
    #[derive(Clone, Copy)]
    enum Does {
        Gives,
        GivesBroken,
        /// Blocks until it is released.
        Hangs,
        Vanishes,
        Panics,
    }

    /// A device that gives a frame each 5 ms, whose bytes begin with when they began.
    struct Fake {
        does: fn(usize) -> Does,
        frames: usize,
        bytes: Vec<u8>,
        released: Arc<Mutex<mpsc::Receiver<()>>>,
        hangs_at_its_end: bool,
    }

    impl Device for Fake {
        fn shape(&self) -> Shape {
            let (width, height) = SIZE;
            let mode = Mode { code: *b"GREY", pixels: Pixels::Grey, width, height };
            Shape { mode, stride: width, full_range: true }
        }

        fn begin(&mut self) -> Vec<&'static str> {
            Vec::new()
        }

        fn lock(&mut self) -> Vec<&'static str> {
            vec!["focus"]
        }

        fn next(&mut self) -> Result<Picture<'_>, Fault> {
            let at = now();
            thread::sleep(Duration::from_millis(5));
            self.frames += 1;
            self.bytes = vec![200; SIZE.0 as usize * SIZE.1 as usize];
            self.bytes[..16].copy_from_slice(&at.as_nanos().to_be_bytes());
            let does = (self.does)(self.frames);
            match does {
                Does::Gives | Does::GivesBroken => {}
                Does::Hangs => drop(self.released.lock().unwrap().recv()),
                Does::Vanishes => return Err(Fault::Absent("unplugged".to_owned())),
                Does::Panics => panic!("a driver is odd"),
            }
            let is_whole = !matches!(does, Does::GivesBroken);
            Ok(Picture { bytes: &self.bytes, is_whole, at })
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            if self.hangs_at_its_end {
                let _ = self.released.lock().unwrap().recv();
            }
        }
    }

    struct Bench {
        camera: Camera<Fake>,
        port: Port,
        outlet: Outlet,
        opened: Arc<AtomicUsize>,
        release: mpsc::Sender<()>,
    }

    impl Bench {
        fn new(does: fn(usize) -> Does, hangs_at_its_end: bool) -> Self {
            let (release, released) = mpsc::channel();
            let released = Arc::new(Mutex::new(released));
            let opened = Arc::new(AtomicUsize::new(0));
            let count = opened.clone();
            let open = move |_: &config::Camera| {
                count.fetch_add(1, Ordering::SeqCst);
                let released = released.clone();
                Ok(Fake { does, frames: 0, bytes: Vec::new(), released, hangs_at_its_end })
            };
            let settings = config::Camera {
                looks_per_second: NonZeroU32::new(20).unwrap(),
                settle_seconds: NonZeroU32::MIN,
                timeout_seconds: NonZeroU32::MIN,
                ..config::Camera::default()
            };
            let (port, outlet) = Port::new(CancellationToken::new());
            let camera = Camera::opened_by(open, settings, Gate::default());
            Self { camera, port, outlet, opened, release }
        }

        /// The fault that capturing ends with.
        async fn fault(&mut self) -> Fault {
            let captured = timeout(LONG, self.camera.capture(&mut self.port)).await;
            captured.expect("it hangs").expect_err("it ends")
        }

        fn opened(&self) -> usize {
            self.opened.load(Ordering::SeqCst)
        }
    }

    #[tokio::test]
    async fn a_device_that_hangs_does_not_hang_the_source_and_no_second_one_is_opened() {
        let mut bench =
            Bench::new(|frame| if frame > 3 { Does::Hangs } else { Does::Gives }, false);
        assert_eq!(bench.fault().await, silent());
        assert_eq!(bench.fault().await, silent());
        assert_eq!(bench.opened(), 1);
        // It comes back: the one that was left behind closes it, and it is opened anew.
        bench.release.send(()).unwrap();
        assert_eq!(bench.fault().await, silent());
        assert_eq!(bench.opened(), 2);
        assert_eq!(bench.camera.counts().hung.load(Ordering::Relaxed), 2);
        drop(bench.release);
    }

    #[tokio::test]
    async fn a_device_that_is_unplugged_is_absent_even_where_it_hangs_while_it_is_closed() {
        let does = |frame| if frame > 50 { Does::Vanishes } else { Does::Gives };
        let mut bench = Bench::new(does, true);
        assert_eq!(bench.fault().await, Fault::Absent("unplugged".to_owned()));
        drop(bench.release);
    }

    #[tokio::test]
    async fn a_device_that_sends_nothing_but_broken_frames_says_so() {
        let mut bench = Bench::new(|_| Does::GivesBroken, false);
        assert_eq!(bench.fault().await, broken());
        assert!(bench.camera.counts().broken.load(Ordering::Relaxed) > 10);
    }

    #[tokio::test]
    async fn a_library_that_panics_is_a_fault_and_not_the_end() {
        let does = |frame| if frame > 20 { Does::Panics } else { Does::Gives };
        assert_eq!(Bench::new(does, false).fault().await, device::odd());
    }

    #[tokio::test]
    async fn a_page_is_taken_from_a_whole_frame_that_begins_after_it_was_wanted() {
        let does = |frame: usize| match frame.is_multiple_of(3) {
            true => Does::Gives,
            false => Does::GivesBroken,
        };
        let Bench { mut camera, mut port, mut outlet, .. } = Bench::new(does, false);
        let capture = tokio::spawn(async move { camera.capture(&mut port).await });
        let looks = outlet.state.wait_for(|it| !matches!(it, State::Absent(_)));
        timeout(LONG, looks).await.unwrap().unwrap();
        let wanted = now();
        outlet.orders.send(Order::Start).await.unwrap();
        let event = timeout(LONG, outlet.events.recv()).await.unwrap();
        let Some(Event::Page(page, taken)) = event else { panic!("a page is wanted") };
        let picture = image::load_from_memory(&page.picture).unwrap().into_luma8();
        let begun = u128::from_be_bytes(picture.as_raw()[..16].try_into().unwrap());
        assert!(begun >= wanted.as_nanos());
        taken.send(Taken::Again(vec![Finding::Blurred])).unwrap();
        let asked = State::Asking(Finding::Blurred.to_string());
        let asks = outlet.state.wait_for(|it| *it == asked);
        timeout(LONG, asks).await.unwrap().unwrap();
        for (order, end) in [(Order::Done, End::Person), (Order::Cancel, End::Cancelled)] {
            outlet.orders.send(order).await.unwrap();
            let event = timeout(LONG, outlet.events.recv()).await.unwrap();
            assert!(matches!(event, Some(Event::End(it)) if it == end));
        }
        capture.abort();
    }

    #[tokio::test]
    async fn nothing_is_captured_or_shown_before_a_customer_has_agreed_and_then_it_is() {
        let mut bench = Bench::new(|_| Does::Gives, false);
        let gate = watch::Sender::new(Way::Closed);
        let (port, mut outlet) = Port::gated(CancellationToken::new(), gate.subscribe());
        bench.port = port;
        let Bench { mut camera, mut port, .. } = bench;
        let capture = tokio::spawn(async move { camera.capture(&mut port).await });
        let ready = outlet.state.wait_for(|it| *it == State::Ready);
        timeout(LONG, ready).await.unwrap().unwrap();
        outlet.orders.send(Order::Start).await.unwrap();
        let early = timeout(Duration::from_millis(300), outlet.events.recv()).await;
        assert!(early.is_err(), "a page is captured");
        assert_eq!(outlet.preview.borrow().number, 0);

        gate.send_replace(Way::Open(ulid::Ulid::new()));
        let mut preview = outlet.preview.subscribe();
        let seen = preview.wait_for(|it| it.picture.is_some());
        let picture = timeout(LONG, seen).await.unwrap().unwrap().picture.clone().unwrap();
        assert_eq!(image::load_from_memory(&picture).unwrap().width(), SIZE.0);
        drop(preview);
        outlet.orders.send(Order::Start).await.unwrap();
        let event = timeout(LONG, outlet.events.recv()).await.unwrap();
        let Some(Event::Page(_, taken)) = event else { panic!("a page is wanted") };
        taken.send(Taken::Kept).unwrap();
        // Nobody looks any more, and no pictures are made; the customer has gone, and none is left.
        let number = outlet.preview.borrow().number;
        let mut later = 0;
        while later < number + 3 {
            sleep(GLANCE).await;
            later = outlet.preview.borrow().number;
        }
        assert!(outlet.preview.borrow().picture.is_none());
        gate.send_replace(Way::Closed);
        let gone = async {
            while outlet.preview.borrow().sight.is_some() {
                sleep(GLANCE).await;
            }
        };
        timeout(LONG, gone).await.unwrap();
        capture.abort();
    }

    #[tokio::test]
    async fn the_thread_ends_when_nobody_wants_frames() {
        let mut bench = Bench::new(|_| Does::Gives, false);
        let captured = timeout(Duration::from_millis(100), bench.camera.capture(&mut bench.port));
        assert!(captured.await.is_err(), "it goes on by itself");
        let ends = async {
            while !bench.camera.trace.as_ref().unwrap().has_ended() {
                sleep(GLANCE).await;
            }
        };
        timeout(LONG, ends).await.unwrap();
    }

    #[test]
    fn a_person_is_asked_only_for_what_stays_wrong_for_a_second() {
        let at = |tenths: u64| Duration::from_millis(100 * tenths);
        let mut asking = Asking::default();
        asking.wait("Keep it still.", at(0));
        asking.wait("Keep it still.", at(9));
        assert_eq!(asking.busy(), State::Busy);
        asking.wait("Keep it still.", at(10));
        assert_eq!(asking.busy(), State::Asking("Keep it still.".to_owned()));
        // Another one must last as long to take its place.
        asking.wait("Lay it straight.", at(12));
        asking.wait("Lay it straight.", at(21));
        assert_eq!(asking.busy(), State::Asking("Keep it still.".to_owned()));
        asking.wait("Lay it straight.", at(22));
        assert_eq!(asking.busy(), State::Asking("Lay it straight.".to_owned()));
        assert_eq!(asking.state(&Sight::Take, at(23)), State::Busy);
    }

    #[test]
    fn problems_that_take_turns_are_asked_about_too() {
        let mut asking = Asking::default();
        for tenths in 0..=10 {
            let problem = if tenths % 2 == 0 { "Keep it still." } else { "Lay it straight." };
            asking.wait(problem, Duration::from_millis(100 * tenths));
        }
        assert_eq!(asking.busy(), State::Asking("Keep it still.".to_owned()));
    }

    #[test]
    fn a_page_to_be_laid_down_again_is_asked_for_until_it_is_gone() {
        let mut asking = Asking::default();
        let asked = State::Asking(Finding::Glare.to_string());
        assert_eq!(asking.taken(&Taken::Again(vec![Finding::Glare, Finding::Dark])), asked);
        assert_eq!(asking.state(&Sight::Done, Duration::ZERO), asked);
        assert_eq!(asking.state(&Sight::Empty, Duration::ZERO), State::Ready);
        assert_eq!(asking.taken(&Taken::Kept), State::Busy);
    }
}
