//! Sessions with a real outbox and drawn pages.

use std::fs;
use std::io::Cursor;

use cic_kiosk::page::Files;
use image::{GrayImage, ImageFormat, Luma, imageops};
use tokio::sync::{broadcast, oneshot};
use tokio::time::timeout;

use super::*;
use crate::capture::Sources;
use crate::credentials::Credentials;
use crate::outbox::{SealingKeys, fresh_key};
use crate::reading::Reader;
use crate::scan::Desk;
use crate::screen::{Means, Step};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A source, and the session that takes its pages.
struct Fixture {
    outbox: Outbox,
    events: mpsc::Sender<Event>,
    shown: watch::Receiver<Option<OpenScan>>,
    settings: watch::Sender<Arc<Config>>,
    state: watch::Sender<State>,
    decisions: mpsc::Sender<Decision>,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

impl Fixture {
    fn new(source: Source, idle_seconds: u32) -> Self {
        Self::with(source, idle_seconds, |_, _| None)
    }

    /// The same with a customer at the screen, who has agreed.
    async fn with_customer(source: Source) -> (Self, Visits) {
        let mut visits = None;
        let fixture = Self::with(source, 600, |settings, outbox| {
            let customers = Visits::new(settings);
            customers.begin(Means {
                sources: Sources::default(),
                outbox: outbox.clone(),
                link: watch::Sender::default().subscribe(),
                ended: broadcast::Sender::new(1),
            });
            visits = Some(customers.clone());
            Some(customers)
        });
        let visits = visits.unwrap();
        visits.agree(visits.now().id, false).await;
        (fixture, visits)
    }

    fn with(
        source: Source,
        idle_seconds: u32,
        visits: impl FnOnce(watch::Receiver<Arc<Config>>, &Outbox) -> Option<Visits>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.capture.idle_seconds = idle_seconds.try_into().unwrap();
        config.outbox.min_free_bytes = 0;
        fs::write(folder.path().join("outbox-key"), fresh_key().unwrap().as_str()).unwrap();
        let keys =
            SealingKeys::load(&Credentials::new(Some(folder.path())), folder.path()).unwrap();
        let outbox = Outbox::open(folder.path(), keys, config.outbox.clone()).unwrap();
        let reader = Arc::new(Reader::new(&config));
        let settings = watch::Sender::new(Arc::new(config));
        let desk = Arc::new(Desk::new(outbox.clone(), settings.subscribe(), None));
        let (events, received) = mpsc::channel(1);
        let (decisions, decided) = mpsc::channel(1);
        let state = watch::Sender::new(State::Ready);
        let shown = watch::Sender::default();
        let stop = CancellationToken::new();
        let mut session = Session {
            source,
            events: received,
            state: state.subscribe(),
            outbox: outbox.clone(),
            ahead: ReadAhead::new(Arc::clone(&reader), desk, false),
            reader,
            settings: settings.subscribe(),
            shown: shown.clone(),
            tally: Arc::default(),
            visits: visits(settings.subscribe(), &outbox),
            decisions: decided,
            stop: stop.clone(),
            open: None,
        };
        tokio::spawn(async move { session.run().await });
        let shown = shown.subscribe();
        Self { outbox, events, shown, settings, state, decisions, stop, _folder: folder }
    }

    async fn give(&self, picture: Vec<u8>) -> Taken {
        let (became, taken) = oneshot::channel();
        let captured = Captured { picture, at: Timestamp::now() };
        self.events.send(Event::Page(captured, became)).await.ok().unwrap();
        timeout(PATIENCE, taken).await.unwrap().unwrap()
    }

    async fn end(&self, end: End) {
        self.events.send(Event::End(end)).await.ok().unwrap();
    }

    /// The files and notes of the scan that is complete.
    async fn complete(&self) -> (Files, Notes) {
        let mut documents = self.outbox.documents();
        let document = async {
            loop {
                if let Some(document) = self.outbox.take(3).await.unwrap() {
                    return (document.files, document.notes);
                }
                documents.changed().await.unwrap();
            }
        };
        timeout(PATIENCE, document).await.unwrap()
    }

    /// Waits until what is shown is so.
    async fn shows(&mut self, so: impl Fn(&Option<OpenScan>) -> bool) {
        timeout(PATIENCE, self.shown.wait_for(|shown| so(shown))).await.unwrap().unwrap();
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A page of text lines; each number has others.
fn page(number: u64) -> GrayImage {
    let mut page = GrayImage::from_pixel(1240, 1754, Luma([245]));
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for line in 0..40u32 {
        let mut x = 120;
        while x < 1100 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let width = 6 + (state >> 59) as u32;
            if !(state >> 40).is_multiple_of(4) {
                for (dx, dy) in (0..width).flat_map(|dx| (0..18).map(move |dy| (dx, dy))) {
                    page.put_pixel((x + dx).min(1239), 140 + line * 38 + dy, Luma([25]));
                }
            }
            x += width + 4;
        }
    }
    page
}

fn png(page: &GrayImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    page.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn sharp(number: u64) -> Vec<u8> {
    png(&page(number))
}

fn blurred(number: u64) -> Vec<u8> {
    png(&imageops::blur(&page(number), 6.0))
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_feeder_are_one_scan_in_their_order() {
    let fixture = Fixture::new(Source::Escl, 600);
    let pages = [sharp(1), sharp(2), sharp(3)];
    for page in &pages {
        assert_eq!(fixture.give(page.clone()).await, Taken::Kept);
    }
    fixture.end(End::Paper).await;
    assert!(fixture.complete().await == (Files(pages.to_vec()), Notes::default()));
}

#[tokio::test(flavor = "multi_thread")]
async fn weak_picture_is_kept_until_a_better_one_takes_its_place() {
    let mut fixture = Fixture::new(Source::Escl, 600);
    assert_eq!(fixture.give(sharp(1)).await, Taken::Kept);
    assert_eq!(fixture.give(blurred(2)).await, Taken::Again(vec![Finding::Blurred]));
    let asks = |shown: &Option<OpenScan>| {
        shown
            .as_ref()
            .and_then(|it| it.ask.clone())
            .is_some_and(|it| it.starts_with("Page 2 again"))
    };
    fixture.shows(asks).await;
    assert_eq!(fixture.give(sharp(3)).await, Taken::Kept);
    fixture.end(End::Paper).await;
    assert_eq!(fixture.give(sharp(2)).await, Taken::Kept);
    fixture.shows(|shown| shown.as_ref().is_some_and(|it| it.ask.is_none())).await;
    fixture.end(End::Paper).await;
    let (files, notes) = fixture.complete().await;
    assert!(files == Files(vec![sharp(1), sharp(2), sharp(3)]));
    assert_eq!(notes.asked.into_iter().collect::<Vec<_>>(), [(1, vec![Finding::Blurred])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn weak_picture_is_taken_as_it_is_when_it_was_asked_for_often_enough() {
    let fixture = Fixture::new(Source::Camera, 600);
    for _ in 0..2 {
        assert_eq!(fixture.give(blurred(1)).await, Taken::Again(vec![Finding::Blurred]));
    }
    assert_eq!(fixture.give(blurred(1)).await, Taken::Kept);
    assert_eq!(fixture.give(blurred(1)).await, Taken::Same);
    fixture.end(End::Paper).await;
    let (files, notes) = fixture.complete().await;
    assert_eq!((files.0.len(), notes.asked[&0].as_slice()), (1, &[Finding::Blurred][..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn person_ends_a_scan_whatever_is_still_asked_for() {
    let fixture = Fixture::new(Source::Escl, 600);
    assert_eq!(fixture.give(blurred(1)).await, Taken::Again(vec![Finding::Blurred]));
    fixture.end(End::Person).await;
    assert_eq!(fixture.complete().await.0.0.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn camera_sees_the_same_page_as_often_as_it_likes() {
    let fixture = Fixture::new(Source::Camera, 600);
    assert_eq!(fixture.give(sharp(1)).await, Taken::Kept);
    assert_eq!(fixture.give(sharp(2)).await, Taken::Kept);
    assert_eq!(fixture.give(sharp(1)).await, Taken::Same);
    fixture.end(End::Person).await;
    assert!(fixture.complete().await.0 == Files(vec![sharp(1), sharp(2)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn feeder_may_hold_two_sheets_that_are_alike() {
    let fixture = Fixture::new(Source::Sane, 600);
    for _ in 0..2 {
        assert_eq!(fixture.give(sharp(1)).await, Taken::Kept);
    }
    fixture.end(End::Paper).await;
    assert_eq!(fixture.complete().await.0.0.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn scan_ends_when_nothing_comes_any_more() {
    let fixture = Fixture::new(Source::Camera, 1);
    assert_eq!(fixture.give(sharp(1)).await, Taken::Kept);
    assert_eq!(fixture.complete().await.0.0.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn scan_does_not_end_while_its_source_waits_for_a_person() {
    let fixture = Fixture::new(Source::Escl, 1);
    fixture.state.send_replace(State::Asking("The paper is jammed.".to_owned()));
    assert_eq!(fixture.give(sharp(1)).await, Taken::Kept);
    sleep(Duration::from_millis(2500)).await;
    assert!(fixture.outbox.take(3).await.unwrap().is_none());
    fixture.state.send_replace(State::Ready);
    assert_eq!(fixture.complete().await.0.0.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn scan_with_as_many_pages_as_a_document_may_have_ends_and_the_next_one_begins() {
    let fixture = Fixture::new(Source::Escl, 600);
    fixture.settings.send_modify(|config| Arc::make_mut(config).limits.max_pages = 2);
    for number in 1..=3 {
        assert_eq!(fixture.give(sharp(number)).await, Taken::Kept);
    }
    assert!(fixture.complete().await.0 == Files(vec![sharp(1), sharp(2)]));
    fixture.end(End::Paper).await;
    assert!(fixture.complete().await.0 == Files(vec![sharp(3)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn page_of_a_scan_that_an_operator_purged_begins_another_one() {
    let mut fixture = Fixture::new(Source::Escl, 600);
    assert_eq!(fixture.give(sharp(1)).await, Taken::Kept);
    let purged = fixture.shown.borrow_and_update().as_ref().unwrap().scan_id;
    fixture.outbox.discard(purged).await.unwrap();
    assert_eq!(fixture.give(sharp(2)).await, Taken::Kept);
    fixture.end(End::Paper).await;
    assert!(fixture.complete().await.0 == Files(vec![sharp(2)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_scan_is_forgotten() {
    let mut fixture = Fixture::new(Source::Camera, 600);
    assert_eq!(fixture.give(sharp(1)).await, Taken::Kept);
    fixture.end(End::Cancelled).await;
    fixture.shows(Option::is_none).await;
    assert_eq!(fixture.outbox.figures().await.unwrap().documents, 0);
    assert_eq!(fixture.give(sharp(2)).await, Taken::Kept);
    fixture.end(End::Person).await;
    assert!(fixture.complete().await.0 == Files(vec![sharp(2)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn page_is_kept_while_the_outbox_is_full_and_a_person_is_told() {
    let fixture = Fixture::new(Source::Escl, 600);
    let mut full = fixture.settings.borrow().outbox.clone();
    full.min_free_bytes = u64::MAX;
    fixture.outbox.set_limits(full);
    let mut shown = fixture.shown.clone();
    let given = fixture.give(sharp(1));
    tokio::pin!(given);
    let told = shown.wait_for(|shown| {
        shown.as_ref().and_then(|it| it.ask.as_ref()).is_some_and(|ask| ask.contains("full"))
    });
    tokio::select! {
        taken = &mut given => panic!("the page is not safe: {taken:?}"),
        told = timeout(PATIENCE, told) => drop(told.unwrap().unwrap()),
    }
    fixture.outbox.set_limits(fixture.settings.borrow().outbox.clone());
    assert_eq!(given.await, Taken::Kept);
    let shown = fixture.shown.borrow().clone();
    assert!(shown.is_some_and(|it| it.pages == 1 && it.ask.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn picture_that_did_not_come_whole_is_asked_for_again_and_spoils_nothing() {
    let fixture = Fixture::new(Source::Escl, 600);
    assert_eq!(fixture.give(sharp(1)).await, Taken::Kept);
    for broken in [Vec::new(), b"no picture".to_vec(), sharp(2)[..2000].to_vec()] {
        assert_eq!(fixture.give(broken).await, Taken::Again(vec![Finding::Damaged]));
    }
    fixture.end(End::Paper).await;
    assert_eq!(fixture.complete().await.0.0.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn scan_of_a_customer_is_complete_when_the_customer_says_so() {
    let (fixture, visits) = Fixture::with_customer(Source::Escl).await;
    assert_eq!(fixture.give(sharp(1)).await, Taken::Kept);
    fixture.end(End::Paper).await;
    // The paper is over; the next one has to wait for its turn in the session.
    assert_eq!(fixture.give(sharp(2)).await, Taken::Same);
    assert!(fixture.outbox.take(3).await.unwrap().is_none());
    let visit = visits.now();
    assert_eq!((visit.step, visit.page_count()), (Step::Reading, 1));
    let ((scan, _), send) = (visit.scan.unwrap(), visit.agreement.clone());
    fixture.decisions.send(Decision { scan, send }).await.ok().unwrap();
    let (files, notes) = fixture.complete().await;
    assert!(files == Files(vec![sharp(1)]));
    assert_eq!(notes.consent, visit.agreement);
}

#[tokio::test(flavor = "multi_thread")]
async fn scan_that_a_customer_does_not_send_is_forgotten() {
    let (mut fixture, visits) = Fixture::with_customer(Source::Camera).await;
    assert_eq!(fixture.give(sharp(1)).await, Taken::Kept);
    let (scan, _) = visits.now().scan.unwrap();
    fixture.decisions.send(Decision { scan, send: None }).await.ok().unwrap();
    fixture.shows(Option::is_none).await;
    assert_eq!(fixture.outbox.figures().await.unwrap().documents, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn customer_is_told_what_is_wrong_with_a_page() {
    let (fixture, visits) = Fixture::with_customer(Source::Escl).await;
    let damaged = Taken::Again(vec![Finding::Damaged]);
    assert_eq!(fixture.give(b"no picture".to_vec()).await, damaged);
    assert_eq!(visits.now().again, Some((1, Finding::Damaged)));
    assert_eq!(fixture.give(blurred(1)).await, Taken::Again(vec![Finding::Blurred]));
    assert_eq!(visits.now().again, Some((1, Finding::Blurred)));
    assert_eq!(fixture.give(sharp(1)).await, Taken::Kept);
    let visit = visits.now();
    assert_eq!((visit.again, visit.page_count()), (None, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn page_that_cannot_be_made_safe_ends_the_visit_with_an_apology() {
    let (fixture, visits) = Fixture::with_customer(Source::Camera).await;
    let mut full = fixture.settings.borrow().outbox.clone();
    full.min_free_bytes = u64::MAX;
    fixture.outbox.set_limits(full);
    let mut changes = visits.changes();
    let given = fixture.give(sharp(1));
    tokio::pin!(given);
    let told = async {
        while visits.now().step != Step::Sorry {
            changes.changed().await.unwrap();
        }
    };
    tokio::select! {
        taken = &mut given => panic!("the page is not safe: {taken:?}"),
        told = timeout(PATIENCE, told) => told.unwrap(),
    }
    fixture.outbox.set_limits(fixture.settings.borrow().outbox.clone());
    assert_eq!(given.await, Taken::Same);
    assert_eq!(fixture.outbox.figures().await.unwrap().documents, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_customer_nothing_is_taken() {
    let (fixture, visits) = Fixture::with_customer(Source::Camera).await;
    visits.cancel(visits.now().id);
    assert_eq!(fixture.give(sharp(1)).await, Taken::Same);
    assert_eq!(fixture.outbox.figures().await.unwrap().documents, 0);
}
