//! A customer's visit: from the consent to the last page that says what was sent.
//!
//! Promises:
//! - Devices may capture from the consent on, and until all pages are there; what comes at any other
//!   time is dropped.
//! - What was captured is read at once and shown. It is sent when the customer says so, and forgotten
//!   when the customer does, or goes away.
//! - Nobody is told that something is on its way once it is a dead letter.
//! - There is one visit at a time, here and not in the browser: all its windows show the same, and an
//!   action of a page that shows an older one does nothing.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use cic_kiosk::config::Config;
use cic_kiosk::engine::Pictures;
use cic_kiosk::finding::Finding;
use cic_kiosk::page::Files;
use cic_kiosk::report::schema::Agreement;
use jiff::Timestamp;
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::view::Reading;
use crate::capture::{Decision, Gate, Order, Preview, Source, Sources, State};
use crate::mqtt::LinkState;
use crate::outbox::Outbox;
use crate::reading::{Reader, Work};

/// The text that customers agree to; another text gets another name.
pub const TEXT: &str = "2026-11";

/// Before the time is up, somebody is asked whether they are there.
pub const WARNING: Duration = Duration::from_secs(20);

/// Visits, one after the other. Clones are the same.
#[derive(Clone)]
pub struct Visits {
    inner: Arc<Inner>,
}

struct Inner {
    visit: Mutex<Visit>,
    /// Counts what changes on the page.
    changes: watch::Sender<u64>,
    /// What is to be read.
    wanted: watch::Sender<Option<Wanted>>,
    /// The visit that devices may capture for.
    gate: watch::Sender<Gate>,
    settings: watch::Receiver<Arc<Config>>,
    means: OnceLock<Means>,
}

/// What a visit works with.
pub struct Means {
    /// The devices.
    pub sources: Sources,
    /// Where their pages are safe.
    pub outbox: Outbox,
    /// The connection that results go out by.
    pub link: watch::Receiver<LinkState>,
    /// Tells of each scan that is done with.
    pub ended: broadcast::Sender<Ulid>,
}

/// Pages that were read before their document was complete.
pub trait Ahead: Send + Sync {
    /// What was read of a scan so far, in the order of its pages; what has begun is waited for.
    fn look(&self, scan: Ulid) -> impl Future<Output = Vec<Option<crate::reading::Ahead>>> + Send;
}

/// Where a visit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A customer is asked for consent.
    Consent,
    /// Pages are captured.
    Put,
    /// All are there, and being read.
    Reading,
    /// The customer looks at what was read.
    Check,
    /// It is on its way into the outbox.
    Sending,
    /// It was sent, or will be.
    Done,
    /// It was to be sent, and will not be: it is a dead letter.
    Unsent,
    /// It cannot go on.
    Sorry,
}

impl Step {
    /// As the page names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Consent => "consent",
            Self::Put => "put",
            Self::Reading => "reading",
            Self::Check => "check",
            Self::Sending => "sending",
            Self::Done => "done",
            Self::Unsent => "unsent",
            Self::Sorry => "sorry",
        }
    }
}

/// A visit as it is now.
#[derive(Clone)]
pub struct Visit {
    /// Which one; the reference of its consent, too.
    pub id: Ulid,
    /// Counts what changes on its page.
    pub revision: u64,
    /// Where it stands.
    pub step: Step,
    /// What the customer agreed to.
    pub agreement: Option<Agreement>,
    /// The scan that its pages belong to, and where they come from.
    pub scan: Option<(Ulid, Source)>,
    /// The pages' pictures, as they were captured.
    pages: Vec<Vec<u8>>,
    /// The page that is to be laid down again, and why.
    pub again: Option<(usize, Finding)>,
    /// What was read of the pages, as soon as it was.
    pub reading: Option<Arc<Reading>>,
    /// Where nothing happens until then, all is forgotten.
    pub ends_at: Instant,
    /// Somebody wants to read a page that would go by itself.
    pub stays: bool,
    /// At the end: what was sent, or should have been.
    pub sent: Option<Sent>,
}

/// What came of a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Which scan.
    pub scan: Ulid,
    /// Pages.
    pub pages: usize,
    /// Values that were read of them.
    pub values: usize,
    /// Whether there is a connection to the branch.
    pub connected: bool,
    /// Whether the cloud service might have been asked.
    pub cloud: bool,
}

/// Pages to read.
#[derive(Clone)]
struct Wanted {
    visit: Ulid,
    scan: Ulid,
    pages: Vec<Vec<u8>>,
}

impl Visit {
    fn new(settings: &Config) -> Self {
        Self {
            id: Ulid::new(),
            revision: 0,
            step: Step::Consent,
            agreement: None,
            scan: None,
            pages: Vec::new(),
            again: None,
            reading: None,
            ends_at: Instant::now() + settings.screen.idle_time(),
            stays: false,
            sent: None,
        }
    }

    /// Pages that were captured.
    pub fn page_count(&self) -> usize {
        self.pages.len()
    }

    /// Whether nothing more comes of it.
    fn is_last(&self) -> bool {
        matches!(self.step, Step::Done | Step::Unsent | Step::Sorry)
    }

    /// When to ask whether somebody is there; never where there is nothing that goes by itself, or
    /// nobody would have to answer.
    pub fn asks_at(&self) -> Option<Instant> {
        let may_ask = match self.step {
            Step::Consent | Step::Sending => false,
            Step::Put | Step::Reading | Step::Check => true,
            Step::Done | Step::Unsent | Step::Sorry => self.stays,
        };
        may_ask.then(|| self.ends_at.checked_sub(WARNING).unwrap_or(self.ends_at))
    }

    /// What has left the customer's hands.
    fn sent_scan(&self) -> Option<Ulid> {
        match self.step {
            Step::Sending => self.scan.map(|(scan, _)| scan),
            _ => self.sent.map(|sent| sent.scan),
        }
    }

    /// Whether all captured pages were read.
    fn is_read(&self) -> bool {
        self.reading.as_ref().is_some_and(|reading| reading.pages_read == self.pages.len())
    }
}

impl Visits {
    /// None yet.
    pub fn new(settings: watch::Receiver<Arc<Config>>) -> Self {
        let visit = Mutex::new(Visit::new(&settings.borrow()));
        let inner = Inner {
            visit,
            changes: watch::Sender::default(),
            wanted: watch::Sender::default(),
            gate: watch::Sender::new(Gate::Closed),
            settings,
            means: OnceLock::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Before the first customer comes.
    pub fn begin(&self, means: Means) {
        let _ = self.inner.means.set(means);
    }

    /// Whether devices may capture, and for whom.
    pub fn gate(&self) -> watch::Receiver<Gate> {
        self.inner.gate.subscribe()
    }

    /// Whether nobody is there.
    pub fn is_free(&self) -> bool {
        self.lock().step == Step::Consent
    }

    /// The visit as it is now.
    pub fn now(&self) -> Visit {
        self.lock().clone()
    }

    /// Tells of each change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// What is set.
    pub fn settings(&self) -> Arc<Config> {
        Arc::clone(&self.inner.settings.borrow())
    }

    /// How a device is, for each.
    pub fn devices(&self) -> Vec<(Source, State)> {
        let standing = self.means().map(|means| means.sources.standing()).unwrap_or_default();
        let devices = standing.into_iter().filter(|it| it.source != Source::Folder);
        devices.map(|it| (it.source, it.state)).collect()
    }

    /// What the camera sees from now on, where there is one.
    pub fn preview(&self) -> Option<watch::Receiver<Preview>> {
        self.means()?.sources.preview()
    }

    fn means(&self) -> Option<&Means> {
        self.inner.means.get()
    }

    fn lock(&self) -> MutexGuard<'_, Visit> {
        self.inner.visit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the visit, where it is this one, and tells of it. Whether it was.
    fn change(&self, id: Option<Ulid>, change: impl FnOnce(&mut Visit) -> bool) -> bool {
        let settings = self.settings();
        let mut visit = self.lock();
        if id.is_some_and(|id| id != visit.id) || !change(&mut visit) {
            return false;
        }
        visit.revision += 1;
        visit.ends_at = Instant::now()
            + if visit.is_last() && !visit.stays {
                settings.screen.done_time()
            } else {
                settings.screen.idle_time()
            };
        self.inner.gate.send_if_modified(|gate| {
            let now = if visit.step == Step::Put { Gate::Open(visit.id) } else { Gate::Closed };
            mem::replace(gate, now) != now
        });
        drop(visit);
        self.inner.changes.send_modify(|count| *count += 1);
        true
    }

    // What the customer does.

    /// The customer agrees; with the cloud, too, where it may be asked.
    pub async fn agree(&self, id: Ulid, cloud: bool) {
        let accepts = match self.means() {
            Some(means) => means.outbox.accepts().await.is_ok(),
            None => false,
        };
        let cloud = cloud && self.settings().cloud.enabled;
        let agreement = Agreement {
            id: id.to_string(),
            at: Timestamp::now().to_string(),
            text: TEXT.to_owned(),
            cloud,
        };
        let agreed = self.change(Some(id), |visit| {
            if visit.step != Step::Consent {
                return false;
            }
            if accepts {
                visit.step = Step::Put;
                visit.agreement = Some(agreement);
            } else {
                visit.step = Step::Sorry;
            }
            true
        });
        if agreed && accepts {
            log::info!(consent:% = id, text = TEXT, cloud; "a customer has agreed");
        }
    }

    /// The customer wants the scanner to begin.
    pub fn scan(&self, id: Ulid) {
        let visit = self.now();
        if visit.id == id && visit.step == Step::Put {
            let scanner = |it: &Source| matches!(it, Source::Escl | Source::Sane);
            let mut devices = self.devices().into_iter();
            let fits = |(source, state): &(Source, State)| scanner(source) && state.is_well();
            if let (Some((source, _)), Some(means)) = (devices.find(fits), self.means()) {
                means.sources.order(Some(source), Order::Start);
                self.change(Some(id), |_| true);
            }
        }
    }

    /// The customer says that those were all pages.
    pub fn all(&self, id: Ulid) {
        let Visit { id: now, step: Step::Put, scan: Some((_, source)), .. } = self.now() else {
            return;
        };
        if let (true, Some(means)) = (now == id, self.means()) {
            means.sources.order(Some(source), Order::Done);
        }
    }

    /// The customer has another page.
    pub fn more(&self, id: Ulid) {
        self.change(Some(id), |visit| {
            let can = visit.step == Step::Check;
            if can {
                visit.step = Step::Put;
            }
            can
        });
    }

    /// The customer finds it right.
    pub fn send(&self, id: Ulid) {
        let mut scan = None;
        self.change(Some(id), |visit| {
            if visit.step != Step::Check || visit.reading.as_ref().is_none_or(|it| !it.is_report) {
                return false;
            }
            scan = visit.scan.zip(visit.agreement.clone());
            visit.step = Step::Sending;
            true
        });
        if let Some(((scan, source), agreement)) = scan {
            self.decide(source, Decision { scan, send: Some(agreement) });
        }
    }

    /// The customer wants to put the pages once more.
    pub fn again(&self, id: Ulid) {
        self.forget(id, Step::Put);
    }

    /// The customer wants to go, and everything to be forgotten.
    pub fn cancel(&self, id: Ulid) {
        self.forget(id, Step::Consent);
    }

    /// The customer is still there; a last page goes no sooner than any other then.
    pub fn stay(&self, id: Ulid) {
        self.change(Some(id), |visit| {
            visit.stays = visit.is_last();
            true
        });
    }

    /// Forgets all pages. A visit that does not go on is another one then.
    fn forget(&self, id: Ulid, to: Step) {
        let mut scan = None;
        let settings = self.settings();
        let forgotten = self.change(Some(id), |visit| {
            if matches!(visit.step, Step::Sending) {
                return false;
            }
            scan = visit.scan;
            let agreement = visit.agreement.take();
            *visit = Visit::new(&settings);
            if to == Step::Put && agreement.is_some() {
                visit.agreement = agreement;
                visit.step = Step::Put;
            }
            true
        });
        if forgotten {
            self.inner.wanted.send_replace(None);
        }
        if let Some((scan, source)) = scan {
            self.decide(source, Decision { scan, send: None });
        }
    }

    fn decide(&self, source: Source, decision: Decision) {
        let scan = decision.scan;
        if !self.means().is_some_and(|means| means.sources.decide(source, decision)) {
            self.lost(scan);
        }
    }

    // What the devices do.

    /// Whether a page of this device belongs to the visit.
    pub fn admits(&self, source: Source) -> bool {
        let visit = self.lock();
        visit.step == Step::Put && visit.scan.is_none_or(|(_, its)| its == source)
    }

    /// A page is safe, the `number`-th of its scan from 1, or a better picture of it; it should be
    /// laid down again where something is wrong with it. Whether it is wanted.
    pub fn page(
        &self,
        (scan, source): (Ulid, Source),
        number: usize,
        picture: &[u8],
        wrong: Option<Finding>,
    ) -> bool {
        let mut wanted = None;
        let taken = self.change(None, |visit| {
            let is_its_own = match visit.scan {
                Some(its) => its == (scan, source),
                // One that a customer before has forgotten is older.
                None => scan.timestamp_ms() >= visit.id.timestamp_ms(),
            };
            if visit.step != Step::Put || !is_its_own || number > visit.pages.len() + 1 {
                return false;
            }
            visit.scan = Some((scan, source));
            visit.again = wrong.map(|finding| (number, finding));
            match visit.pages.get_mut(number - 1) {
                Some(page) => *page = picture.to_vec(),
                None => visit.pages.push(picture.to_vec()),
            }
            visit.reading = None;
            wanted = Some(Wanted { visit: visit.id, scan, pages: visit.pages.clone() });
            true
        });
        if let (true, None, Some(wanted)) = (taken, wrong, wanted) {
            self.inner.wanted.send_replace(Some(wanted));
        }
        taken
    }

    /// A picture that cannot be read was to be this page.
    pub fn ask_again(&self, number: usize, wrong: Finding) {
        self.change(None, |visit| {
            let can = visit.step == Step::Put;
            if can {
                visit.again = Some((number, wrong));
            }
            can
        });
    }

    /// Pages cannot be made safe now.
    pub fn give_up(&self) {
        self.change(None, |visit| {
            let can = matches!(visit.step, Step::Put | Step::Reading | Step::Check);
            if can {
                visit.step = Step::Sorry;
            }
            can
        });
    }

    /// All pages of the scan are there.
    pub fn all_there(&self, scan: Ulid) {
        self.change(None, |visit| {
            let is_its_own = visit.scan.is_some_and(|(its, _)| its == scan);
            let can = is_its_own && visit.step == Step::Put && !visit.pages.is_empty();
            if can {
                visit.again = None;
                visit.step = if visit.is_read() { Step::Check } else { Step::Reading };
            }
            can
        });
        // A page that was not good enough, and of which no better picture came, is read as it is.
        let visit = self.now();
        if let (Step::Reading, Some((scan, _))) = (visit.step, visit.scan) {
            let wanted = Wanted { visit: visit.id, scan, pages: visit.pages };
            self.inner.wanted.send_if_modified(|now| {
                let is_known = now.as_ref().is_some_and(|it| it.pages == wanted.pages);
                if !is_known {
                    *now = Some(wanted);
                }
                !is_known
            });
        }
    }

    /// The scan is gone: at the device somebody has cancelled it, or an operator has erased it.
    pub fn lost(&self, scan: Ulid) {
        let visit = self.now();
        if visit.scan.is_some_and(|(its, _)| its == scan) && visit.step != Step::Done {
            let settings = self.settings();
            self.change(Some(visit.id), |visit| {
                let agreement = visit.agreement.take();
                *visit = Visit { agreement, step: Step::Put, ..Visit::new(&settings) };
                true
            });
            self.inner.wanted.send_replace(None);
        }
    }

    /// What was sent is done with here, or a dead letter later: the customer is told which.
    async fn settle(&self, scan: Ulid) {
        let Some(means) = self.means() else { return };
        let is_dead = means.outbox.is_dead(scan).await.unwrap_or_else(|error| {
            log::warn!(scan_id:% = scan; "nobody knows whether it is a dead letter: {error}");
            false
        });
        let connected = means.link.borrow().connected_since.is_some();
        self.change(None, |visit| {
            if visit.sent_scan() != Some(scan) {
                return false;
            }
            match visit.step {
                Step::Sending => {
                    visit.sent = Some(Sent {
                        scan,
                        pages: visit.pages.len(),
                        values: visit.reading.as_ref().map_or(0, |reading| reading.values.len()),
                        connected,
                        cloud: visit.agreement.as_ref().is_some_and(|it| it.cloud),
                    });
                    // Nothing of it is left.
                    visit.pages = Vec::new();
                    visit.reading = None;
                    visit.scan = None;
                    self.inner.wanted.send_replace(None);
                    visit.step = if is_dead { Step::Unsent } else { Step::Done };
                }
                Step::Done if is_dead => visit.step = Step::Unsent,
                _ => return false,
            }
            true
        });
    }

    fn read(&self, id: Ulid, reading: Reading) {
        self.change(Some(id), |visit| {
            let fits = matches!(visit.step, Step::Put | Step::Reading)
                && reading.pages_read == visit.pages.len();
            if fits {
                visit.reading = Some(Arc::new(reading));
                if visit.step == Step::Reading {
                    visit.step = Step::Check;
                }
            }
            fits
        });
    }

    /// Keeps the time, and hears of what is done with, until it is told to stop.
    pub async fn keep_time(&self, stop: CancellationToken) {
        let Some(means) = self.means() else { return };
        let (mut ended, mut link) = (means.ended.subscribe(), means.link.clone());
        let mut changes = self.changes();
        loop {
            let visit = self.now();
            // Who has not begun has nothing to forget.
            let time_is_up = async {
                match visit.step {
                    Step::Consent => std::future::pending().await,
                    _ => sleep_until(visit.ends_at).await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
                scan = ended.recv() => match (scan, self.now().sent_scan()) {
                    (Ok(scan), Some(its)) if scan == its => self.settle(scan).await,
                    // Too many at once to hear each: its own may have been among them.
                    (Err(broadcast::error::RecvError::Lagged(_)), Some(its)) => self.settle(its).await,
                    _ => {}
                },
                // The broker may have refused a result for good.
                Ok(()) = link.changed() => if let (Step::Done, Some(scan)) = (visit.step, visit.sent_scan()) {
                    self.settle(scan).await;
                },
                () = time_is_up => match (visit.step, visit.sent_scan()) {
                    // It is safe, and will be sent.
                    (Step::Sending, Some(scan)) => self.settle(scan).await,
                    _ => self.forget(visit.id, Step::Consent),
                },
            }
        }
    }

    /// Reads what is to be read, until it is told to stop.
    pub async fn keep_reading(&self, reader: &Reader, ahead: &impl Ahead, stop: CancellationToken) {
        let mut wanted = self.inner.wanted.subscribe();
        loop {
            let job = wanted.borrow_and_update().clone();
            let work = async {
                match job {
                    Some(job) => self.read_pages(job, reader, ahead).await,
                    None => std::future::pending().await,
                }
                std::future::pending().await
            };
            tokio::select! {
                () = stop.cancelled() => return,
                changed = wanted.changed() => if changed.is_err() { return },
                () = work => {}
            }
        }
    }

    async fn read_pages(&self, job: Wanted, reader: &Reader, ahead: &impl Ahead) {
        let Wanted { visit, scan, pages } = job;
        let settings = self.settings();
        let count = pages.len();
        // Whatever hangs, the customer is told in the end.
        let limit = settings.http.reading_time();
        let ahead = timeout(limit, ahead.look(scan)).await.unwrap_or_default();
        let work = Work { scan, files: Files(pages), ahead, pictures: Pictures::Pages };
        let reading = match reader.read_in_time(work, limit, |_| {}).await {
            Ok(answer) => Reading::of(answer, count, &settings.decision),
            Err(error) => {
                log::warn!(scan_id:% = scan; "what was captured cannot be shown: {error}");
                Reading::failed(count)
            }
        };
        self.read(visit, reading);
    }
}

#[cfg(test)]
mod tests;
