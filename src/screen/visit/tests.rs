//! Visits with a real outbox and a device whose session is here.

use std::fs;
use std::sync::Arc;

use cic_kiosk::report::schema::{Answer, Field, Meta, Report, Value};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::capture::{Handle, Tally};
use crate::credentials::Credentials;
use crate::outbox::{SealingKeys, fresh_key};

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

const DEVICE: Source = Source::Escl;

struct Fixture {
    visits: Visits,
    outbox: Outbox,
    orders: mpsc::Receiver<Order>,
    decisions: mpsc::Receiver<Decision>,
    ended: broadcast::Sender<Ulid>,
    link: watch::Sender<LinkState>,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
    settings: watch::Sender<Arc<Config>>,
}

impl Fixture {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.outbox.min_free_bytes = 0;
        config.cloud.enabled = true;
        change(&mut config);
        fs::write(folder.path().join("outbox-key"), fresh_key().unwrap().as_str()).unwrap();
        let keys =
            SealingKeys::load(&Credentials::new(Some(folder.path())), folder.path()).unwrap();
        let outbox = Outbox::open(folder.path(), keys, config.outbox.clone()).unwrap();
        let settings = watch::Sender::new(Arc::new(config));
        let visits = Visits::new(settings.subscribe());
        let (orders, ordered) = mpsc::channel(4);
        let (decisions, decided) = mpsc::channel(4);
        let handle = Handle {
            source: DEVICE,
            state: watch::Sender::new(State::Ready).subscribe(),
            scan: watch::Sender::default().subscribe(),
            orders,
            decisions,
            preview: watch::Sender::default(),
            tally: Arc::<Tally>::default(),
            counts: None,
        };
        let link = watch::Sender::new(LinkState::default());
        let ended = broadcast::Sender::new(8);
        let sources = Sources::new(vec![handle]);
        let means =
            Means { sources, outbox: outbox.clone(), link: link.subscribe(), ended: ended.clone() };
        visits.begin(means);
        let stop = CancellationToken::new();
        let (keeper, stopped) = (visits.clone(), stop.clone());
        tokio::spawn(async move { keeper.keep_time(stopped).await });
        Self {
            visits,
            outbox,
            orders: ordered,
            decisions: decided,
            ended,
            link,
            stop,
            _folder: folder,
            settings,
        }
    }

    /// A visit whose customer has agreed.
    async fn agreed(&self, cloud: bool) -> Ulid {
        let id = self.visits.now().id;
        self.visits.agree(id, cloud).await;
        assert_eq!(self.visits.now().step, Step::Put);
        id
    }

    /// A page of a scan comes, and is read.
    fn page(&self, scan: Ulid, number: usize) {
        assert!(self.visits.page((scan, DEVICE), number, b"picture", None));
        self.read(number);
    }

    fn read(&self, pages: usize) {
        let mut report = Report::default();
        let value = Value { text: "0184618475".to_owned(), confidence: 0.99, ..Value::default() };
        *report.scalar_mut(Field::CicCode) = value;
        let answer = Answer::success(vec![report], Meta::default());
        let reading = Reading::of(answer, pages, &self.visits.settings().decision);
        self.visits.read(self.visits.now().id, reading);
    }

    /// A scan with one page that its customer has sent.
    async fn sent(&mut self) -> Ulid {
        let id = self.agreed(false).await;
        let scan = Ulid::new();
        self.page(scan, 1);
        self.visits.all_there(scan);
        self.visits.send(id);
        assert!(self.decision().await.send.is_some());
        scan
    }

    /// The scan is done with, and whoever keeps the time hears of it.
    async fn ends(&self, scan: Ulid) {
        while self.ended.receiver_count() == 0 {
            tokio::task::yield_now().await;
        }
        self.ended.send(scan).unwrap();
    }

    async fn decision(&mut self) -> Decision {
        timeout(LONG, self.decisions.recv()).await.unwrap().unwrap()
    }

    async fn comes_to(&self, step: Step) {
        let mut changes = self.visits.changes();
        let comes = async {
            while self.visits.now().step != step {
                changes.changed().await.unwrap();
            }
        };
        timeout(LONG, comes).await.unwrap();
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test]
async fn devices_capture_from_the_consent_on_until_all_pages_are_there() {
    let fixture = Fixture::new(|_| {});
    let (gate, scan) = (fixture.visits.gate(), Ulid::new());
    assert!(*gate.borrow() == Gate::Closed && !fixture.visits.admits(DEVICE));
    assert!(!fixture.visits.page((scan, DEVICE), 1, b"picture", None));
    let id = fixture.agreed(false).await;
    assert!(*gate.borrow() == Gate::Open(id) && fixture.visits.admits(DEVICE));
    let scan = Ulid::new();
    fixture.page(scan, 1);
    assert!(!fixture.visits.admits(Source::Camera), "one device at a time");
    fixture.visits.all_there(scan);
    assert_eq!((fixture.visits.now().step, *gate.borrow()), (Step::Check, Gate::Closed));
}

#[tokio::test]
async fn what_was_seen_is_sent_with_what_was_agreed_and_then_nothing_is_left() {
    let mut fixture = Fixture::new(|_| {});
    let id = fixture.agreed(true).await;
    let scan = Ulid::new();
    fixture.page(scan, 1);
    fixture.visits.send(id);
    assert_eq!(fixture.visits.now().step, Step::Put, "not before all pages are there");
    fixture.visits.all(id);
    assert_eq!(fixture.orders.recv().await, Some(Order::Done));
    fixture.visits.all_there(scan);
    fixture.visits.send(id);
    let decision = fixture.decision().await;
    let agreement = decision.send.unwrap();
    assert_eq!((decision.scan, agreement.id, agreement.cloud), (scan, id.to_string(), true));
    fixture.link.send_modify(|link| link.connected_since = Some(Timestamp::now()));
    fixture.ends(scan).await;
    fixture.comes_to(Step::Done).await;
    let visit = fixture.visits.now();
    assert_eq!(visit.sent, Some(Sent { scan, pages: 1, values: 1, connected: true, cloud: true }));
    assert!(visit.pages.is_empty() && visit.reading.is_none() && visit.scan.is_none());
    assert!(fixture.visits.inner.wanted.borrow().is_none());
}

#[tokio::test]
async fn customer_whose_document_is_a_dead_letter_is_told() {
    let mut fixture = Fixture::new(|_| {});
    let scan = fixture.sent().await;
    let (source, now) = (crate::outbox::Source::Escl, Timestamp::now());
    fixture.outbox.accept(scan, source, now, b"document".to_vec()).await.unwrap();
    fixture.outbox.bury_document(scan, "it cannot be read in time").await.unwrap();
    fixture.ends(scan).await;
    fixture.comes_to(Step::Unsent).await;
    let visit = fixture.visits.now();
    assert!(visit.pages.is_empty() && visit.reading.is_none() && visit.scan.is_none());
}

#[tokio::test]
async fn customer_whose_result_the_broker_refuses_for_good_is_told_even_at_the_end() {
    let mut fixture = Fixture::new(|_| {});
    let scan = fixture.sent().await;
    let result = fixture.outbox.put(scan, b"result".to_vec()).await.unwrap();
    fixture.ends(scan).await;
    fixture.comes_to(Step::Done).await;
    // What becomes of others' is nothing to this customer.
    let other = fixture.outbox.put(Ulid::new(), b"result".to_vec()).await.unwrap();
    fixture.outbox.bury(other, "it is too large").await.unwrap();
    fixture.visits.settle(scan).await;
    assert_eq!(fixture.visits.now().step, Step::Done);
    fixture.outbox.bury(result, "it is too large").await.unwrap();
    fixture.link.send_modify(|link| link.buried += 1);
    fixture.comes_to(Step::Unsent).await;
}

#[tokio::test]
async fn cloud_that_was_not_chosen_or_is_off_is_not_agreed_to() {
    let fixture = Fixture::new(|_| {});
    fixture.agreed(false).await;
    assert!(!fixture.visits.now().agreement.unwrap().cloud);
    let fixture = Fixture::new(|config| config.cloud.enabled = false);
    fixture.agreed(true).await;
    assert!(!fixture.visits.now().agreement.unwrap().cloud);
}

#[tokio::test]
async fn a_button_of_an_older_page_does_nothing() {
    let mut fixture = Fixture::new(|_| {});
    let id = fixture.agreed(false).await;
    fixture.page(Ulid::new(), 1);
    let other = Ulid::new();
    for action in [Visits::again, Visits::cancel, Visits::send, Visits::more, Visits::all] {
        action(&fixture.visits, other);
    }
    let visit = fixture.visits.now();
    assert_eq!((visit.id, visit.step, visit.page_count()), (id, Step::Put, 1));
    assert!(fixture.decisions.try_recv().is_err() && fixture.orders.try_recv().is_err());
}

#[tokio::test]
async fn starting_over_forgets_the_pages_and_keeps_the_consent() {
    let mut fixture = Fixture::new(|_| {});
    let id = fixture.agreed(false).await;
    let scan = Ulid::new();
    fixture.page(scan, 1);
    // Ids tell which one is older by their milliseconds.
    tokio::time::sleep(Duration::from_millis(2)).await;
    fixture.visits.again(id);
    let decision = fixture.decision().await;
    assert!(decision.scan == scan && decision.send.is_none());
    let visit = fixture.visits.now();
    assert_eq!((visit.step, visit.page_count()), (Step::Put, 0));
    assert_eq!(visit.agreement.unwrap().id, id.to_string());
    assert_eq!(*fixture.visits.gate().borrow(), Gate::Open(visit.id), "pages are taken anew");
    // One that was under way is of the scan that is forgotten.
    assert!(!fixture.visits.page((scan, DEVICE), 2, b"picture", None));
}

#[tokio::test]
async fn whoever_goes_away_leaves_nothing_behind() {
    let mut fixture = Fixture::new(|_| {});
    let id = fixture.agreed(false).await;
    let scan = Ulid::new();
    fixture.page(scan, 1);
    // From here on there is nothing to be late with.
    let mut config = Config::default();
    config.screen.idle_seconds = std::num::NonZeroU32::MIN;
    fixture.settings.send_replace(Arc::new(config));
    fixture.visits.all_there(scan);
    let decision = fixture.decision().await;
    assert!(decision.scan == scan && decision.send.is_none());
    fixture.comes_to(Step::Consent).await;
    let visit = fixture.visits.now();
    assert!(visit.id != id && visit.agreement.is_none() && visit.pages.is_empty());
    assert!(visit.reading.is_none() && fixture.visits.is_free());
}

#[tokio::test]
async fn page_that_is_to_be_laid_down_again_is_asked_for_and_read_as_it_is_in_the_end() {
    let fixture = Fixture::new(|_| {});
    fixture.agreed(false).await;
    let scan = Ulid::new();
    let wanted = fixture.visits.inner.wanted.subscribe();
    assert!(fixture.visits.page((scan, DEVICE), 1, b"blurred", Some(Finding::Blurred)));
    assert_eq!(fixture.visits.now().again, Some((1, Finding::Blurred)));
    assert!(wanted.borrow().is_none());
    fixture.visits.all_there(scan);
    assert_eq!(fixture.visits.now().step, Step::Reading);
    assert!(wanted.borrow().as_ref().is_some_and(|wanted| wanted.pages == [b"blurred"]));
}

#[tokio::test]
async fn scan_that_is_lost_at_the_device_is_begun_anew() {
    let fixture = Fixture::new(|_| {});
    fixture.agreed(false).await;
    let scan = Ulid::new();
    fixture.page(scan, 1);
    fixture.visits.lost(Ulid::new());
    assert_eq!(fixture.visits.now().page_count(), 1);
    fixture.visits.lost(scan);
    let visit = fixture.visits.now();
    assert_eq!((visit.step, visit.page_count(), visit.agreement.is_some()), (Step::Put, 0, true));
}

#[tokio::test]
async fn kiosk_whose_outbox_is_full_takes_no_papers_and_says_so() {
    let fixture = Fixture::new(|config| config.outbox.min_free_bytes = u64::MAX);
    let id = fixture.visits.now().id;
    fixture.visits.agree(id, false).await;
    assert_eq!(fixture.visits.now().step, Step::Sorry);
}

#[tokio::test]
async fn order_to_begin_is_taken_behind_an_open_gate_alone() {
    let mut fixture = Fixture::new(|_| {});
    let sources = fixture.visits.means().unwrap().sources.clone();
    let sources = sources.behind(Some(fixture.visits.gate()));
    assert!(sources.are_closed() && !sources.order(Some(DEVICE), Order::Start));
    fixture.agreed(false).await;
    assert!(!sources.are_closed() && sources.order(Some(DEVICE), Order::Start));
    assert_eq!(fixture.orders.recv().await, Some(Order::Start));
}

#[tokio::test]
async fn last_page_goes_without_a_question_unless_somebody_wants_to_read_it() {
    let fixture = Fixture::new(|config| config.outbox.min_free_bytes = u64::MAX);
    let id = fixture.visits.now().id;
    assert_eq!(fixture.visits.now().asks_at(), None, "who has not begun is asked nothing");
    fixture.visits.agree(id, false).await;
    let (soon, is_asked) = (fixture.visits.now().ends_at, fixture.visits.now().asks_at().is_some());
    fixture.visits.stay(id);
    let visit = fixture.visits.now();
    assert!(!is_asked && visit.stays && visit.asks_at().is_some() && visit.ends_at > soon);
}

#[tokio::test]
async fn pages_that_could_not_be_read_are_shown_as_that() {
    let fixture = Fixture::new(|_| {});
    let id = fixture.agreed(false).await;
    let scan = Ulid::new();
    assert!(fixture.visits.page((scan, DEVICE), 1, b"picture", None));
    fixture.visits.all_there(scan);
    fixture.visits.read(id, Reading::failed(1));
    let visit = fixture.visits.now();
    assert!(visit.step == Step::Check && !visit.reading.unwrap().is_read);
    fixture.visits.send(id);
    assert_eq!(fixture.visits.now().step, Step::Check, "there is nothing to send");
}
