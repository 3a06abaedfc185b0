//! The outbox as a whole, on a real file. `damage` tears the file, `bench` measures.

mod bench;
mod damage;

use std::collections::BTreeSet;
use std::fs;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cic_kiosk::config;
use cic_kiosk::finding::Finding;
use jiff::Timestamp;
use rusqlite::Connection;
use tokio::time::timeout;
use ulid::Ulid;

use super::{
    Console, Document, Fault, Figures, Full, Notes, Outbox, OutboxError, SealingKeys, Seq, Source,
    Waiting, Which, file, store,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Longer than anything here takes on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// A state folder, and a clock that goes when it is told to.
struct Fixture {
    folder: tempfile::TempDir,
    now: Arc<Mutex<Timestamp>>,
    limits: config::Outbox,
}

impl Fixture {
    fn new() -> Self {
        let now = Arc::new(Mutex::new("2026-03-04T15:00:00Z".parse().unwrap()));
        Self { folder: tempfile::tempdir().unwrap(), now, limits: config::Outbox::default() }
    }

    fn path(&self) -> PathBuf {
        file::path_in(self.folder.path())
    }

    fn open(&self) -> Outbox {
        self.open_with(&[1])
    }

    /// Each byte stands for a key; the first one seals.
    fn open_with(&self, keys: &[u8]) -> Outbox {
        self.try_open(self.folder.path(), keys).unwrap()
    }

    fn try_open(&self, state: &Path, keys: &[u8]) -> Result<Outbox, OutboxError> {
        let now = Arc::clone(&self.now);
        let clock = Box::new(move || *now.lock().unwrap());
        Outbox::with_clock(state, SealingKeys::of(keys), self.limits.clone(), clock)
    }

    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    fn pass(&self, duration: Duration) {
        *self.now.lock().unwrap() += duration;
    }

    fn turn_back(&self, duration: Duration) {
        *self.now.lock().unwrap() -= duration;
    }

    /// The files as a power cut would leave them now, in a folder of their own.
    fn power_cut(&self) -> tempfile::TempDir {
        let after = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let entry = entry.unwrap();
            // What is shared between processes does not survive them.
            if !entry.file_name().to_string_lossy().ends_with("-shm") {
                fs::copy(entry.path(), after.path().join(entry.file_name())).unwrap();
            }
        }
        after
    }

    /// Changes the file by hand.
    fn meddle(&self, sql: &str) {
        Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
    }

    fn console(&self) -> Console {
        Console::open(self.folder.path()).unwrap()
    }
}

async fn accept(outbox: &Outbox, content: &str) -> Ulid {
    let scan_id = Ulid::new();
    let accepted_at = Timestamp::now();
    outbox.accept(scan_id, Source::Folder, accepted_at, content.as_bytes().to_vec()).await.unwrap();
    scan_id
}

async fn put(outbox: &Outbox, content: &str) -> Seq {
    outbox.put(Ulid::new(), content.as_bytes().to_vec()).await.unwrap()
}

async fn take(outbox: &Outbox) -> Option<Document> {
    outbox.take(3).await.unwrap()
}

async fn waiting(outbox: &Outbox) -> Vec<String> {
    contents(&outbox.waiting(None, 100).await.unwrap())
}

fn contents(waiting: &[Waiting]) -> Vec<String> {
    waiting.iter().map(|result| String::from_utf8(result.payload.clone()).unwrap()).collect()
}

async fn figures(outbox: &Outbox) -> (u64, u64, u64, u64) {
    let Figures { documents, results_waiting, delivered_kept, dead, .. } =
        outbox.figures().await.unwrap();
    (documents, results_waiting, delivered_kept, dead)
}

fn reasons(fixture: &Fixture) -> Vec<String> {
    fixture.console().list().unwrap().into_iter().filter_map(|entry| entry.reason).collect()
}

#[tokio::test]
async fn document_is_taken_with_what_is_known_of_it_and_its_result_takes_its_place() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    let (scan_id, accepted_at) = (Ulid::new(), "2026-03-04T14:00:00.123Z".parse().unwrap());
    outbox.accept(scan_id, Source::Submit, accepted_at, b"paper".to_vec()).await.unwrap();
    let document = take(&outbox).await.unwrap();
    assert_eq!((document.scan_id, document.source), (scan_id, Some(Source::Submit)));
    assert_eq!((document.accepted_at, document.attempt), (accepted_at, 1));
    assert_eq!(document.files.0, [b"paper"]);
    assert_eq!(figures(&outbox).await, (1, 0, 0, 0));
    let seq = outbox.finish(scan_id, b"result".to_vec()).await.unwrap();
    assert_eq!(figures(&outbox).await, (0, 1, 0, 0));
    let result = outbox.get(seq).await.unwrap().unwrap();
    assert_eq!((result.seq, result.scan_id, &result.payload[..]), (seq, scan_id, &b"result"[..]));
}

#[tokio::test]
async fn what_was_accepted_is_there_after_a_power_cut() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    accept(&outbox, "paper").await;
    put(&outbox, "result").await;
    let after = fixture.power_cut();
    let survivor = fixture.try_open(after.path(), &[1]).unwrap();
    assert_eq!(take(&survivor).await.unwrap().files.0, [b"paper"]);
    assert_eq!(waiting(&survivor).await, ["result"]);
}

#[tokio::test]
async fn nothing_in_the_files_shows_what_they_hold() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    accept(&outbox, "the paper of somebody").await;
    put(&outbox, "the result of somebody").await;
    for entry in fs::read_dir(fixture.folder.path()).unwrap() {
        let content = fs::read(entry.unwrap().path()).unwrap();
        assert!(!content.windows(11).any(|part| part == b"of somebody"));
    }
}

#[tokio::test]
async fn documents_are_taken_oldest_first_and_each_by_one_worker() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    for content in ["a", "b", "c"] {
        accept(&outbox, content).await;
        // The order is that of coming, whatever the clock says.
        fixture.turn_back(TEN_YEARS);
    }
    let (a, b, c) = tokio::join!(take(&outbox), take(&outbox), take(&outbox));
    let taken = [a, b, c].map(|document| document.unwrap().files.0);
    assert_eq!(BTreeSet::from(taken.clone()).len(), 3, "{taken:?}");
    assert!(take(&outbox).await.is_none());
}

#[tokio::test]
async fn document_that_took_the_program_down_too_often_is_set_aside_and_the_next_is_tried() {
    let fixture = Fixture::new();
    let scan_id = accept(&fixture.open(), "poison").await;
    accept(&fixture.open(), "paper").await;
    for attempt in 1..=3 {
        let outbox = fixture.open();
        let document = take(&outbox).await.unwrap();
        assert_eq!((document.scan_id, document.attempt), (scan_id, attempt));
    }
    let outbox = fixture.open();
    assert_eq!(take(&outbox).await.unwrap().files.0, [b"paper"]);
    assert_eq!(figures(&outbox).await, (1, 0, 0, 1));
    assert_eq!(reasons(&fixture), ["it was begun 3 times and never finished"]);
}

#[tokio::test]
async fn attempt_is_on_the_disk_before_the_document_is_handed_out() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    accept(&outbox, "paper").await;
    take(&outbox).await.unwrap();
    let after = fixture.power_cut();
    let survivor = fixture.try_open(after.path(), &[1]).unwrap();
    assert_eq!(take(&survivor).await.unwrap().attempt, 2);
}

#[tokio::test]
async fn document_that_is_put_back_has_its_attempt_back() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    let scan_id = accept(&outbox, "paper").await;
    for _ in 0..5 {
        assert_eq!(take(&outbox).await.unwrap().attempt, 1);
        outbox.put_back(scan_id).await.unwrap();
    }
}

#[tokio::test]
async fn document_that_nobody_waited_for_is_as_it_was() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    accept(&outbox, "paper").await;
    let mut console = fixture.console();
    // Given up at once, and given up when the document is under way.
    for attempts in [0, 1] {
        let mut documents = outbox.documents();
        let mut given_up = Box::pin(outbox.take(3));
        assert!(futures_util::poll!(&mut given_up).is_pending());
        while console.list().unwrap()[0].attempts < attempts {
            tokio::task::yield_now().await;
        }
        drop(given_up);
        timeout(SOON, documents.changed()).await.unwrap().unwrap();
        let document = take(&outbox).await.unwrap();
        assert_eq!(document.attempt, 1);
        outbox.put_back(document.scan_id).await.unwrap();
    }
}

#[tokio::test]
async fn finishing_twice_gives_the_same_place_and_one_result() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    let scan_id = accept(&outbox, "paper").await;
    take(&outbox).await.unwrap();
    let first = outbox.finish(scan_id, b"one".to_vec()).await.unwrap();
    assert_eq!(outbox.finish(scan_id, b"two".to_vec()).await.unwrap(), first);
    assert_eq!(outbox.put(scan_id, b"three".to_vec()).await.unwrap(), first);
    assert_eq!(waiting(&outbox).await, ["one"]);
}

#[tokio::test]
async fn what_never_was_or_is_no_more_cannot_be_finished() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    let error = outbox.finish(Ulid::new(), b"result".to_vec()).await.unwrap_err();
    assert!(matches!(error, OutboxError::Unknown { .. }), "{error}");
    let error = outbox.bury_document(Ulid::new(), "unreadable").await.unwrap_err();
    assert!(matches!(error, OutboxError::Unknown { .. }), "{error}");
    assert_eq!(figures(&outbox).await, (0, 0, 0, 0));
}

#[tokio::test]
async fn scan_that_has_a_document_gets_no_second_one() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    let scan_id = accept(&outbox, "paper").await;
    outbox.accept(scan_id, Source::Api, fixture.now(), b"other".to_vec()).await.unwrap();
    assert_eq!(figures(&outbox).await, (1, 0, 0, 0));
    assert_eq!(take(&outbox).await.unwrap().files.0, [b"paper"]);
}

/// A page's number.
fn page(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).unwrap()
}

#[tokio::test]
async fn scan_of_several_pages_is_read_when_all_are_there() {
    let fixture = Fixture::new();
    let (scan_id, now) = (Ulid::new(), fixture.now());
    let outbox = fixture.open();
    for (number, content) in [(1, "a"), (2, "b"), (2, "not again")] {
        outbox.add(scan_id, Source::Submit, now, page(number), content.into()).await.unwrap();
    }
    let missing = outbox.add(scan_id, Source::Submit, now, page(4), b"d".to_vec()).await;
    assert!(matches!(missing, Err(OutboxError::PageMissing { number: 4, .. })), "{missing:?}");
    assert!(take(&outbox).await.is_none());
    // What is there is safe, as after a crash.
    drop(outbox);
    let outbox = fixture.open();
    outbox.add(scan_id, Source::Submit, now, page(3), b"c".to_vec()).await.unwrap();
    let mut documents = outbox.documents();
    documents.mark_unchanged();
    outbox.complete(scan_id, &Notes::default()).await.unwrap();
    assert!(documents.has_changed().unwrap());
    outbox.complete(scan_id, &Notes::default()).await.unwrap();
    outbox.add(scan_id, Source::Submit, now, page(4), b"too late".to_vec()).await.unwrap();
    let document = take(&outbox).await.unwrap();
    assert_eq!(document.files.0, [b"a", b"b", b"c"]);
    outbox.finish(scan_id, b"result".to_vec()).await.unwrap();
    outbox.complete(scan_id, &Notes::default()).await.unwrap();
    outbox.add(scan_id, Source::Submit, now, page(1), b"far too late".to_vec()).await.unwrap();
    assert_eq!(figures(&outbox).await, (0, 1, 0, 0));
    let unknown = outbox.complete(Ulid::new(), &Notes::default()).await;
    assert!(matches!(unknown, Err(OutboxError::Unknown { .. })), "{unknown:?}");
}

#[tokio::test]
async fn better_picture_takes_the_place_of_one_while_the_scan_is_open() {
    let fixture = Fixture::new();
    let (scan_id, now) = (Ulid::new(), fixture.now());
    let outbox = fixture.open();
    for (number, content) in [(1, "a"), (2, "b")] {
        outbox.add(scan_id, Source::Camera, now, page(number), content.into()).await.unwrap();
    }
    outbox.replace(scan_id, page(2), b"better".to_vec()).await.unwrap();
    outbox.replace(scan_id, page(3), b"none of this number".to_vec()).await.unwrap();
    let asked = [(1, vec![Finding::Blurred])].into();
    let notes = Notes { asked, ..Notes::default() };
    outbox.complete(scan_id, &notes).await.unwrap();
    outbox.replace(scan_id, page(1), b"too late".to_vec()).await.unwrap();
    outbox.discard(scan_id).await.unwrap();
    let document = take(&outbox).await.unwrap();
    assert_eq!(document.files.0, [&b"a"[..], b"better"]);
    assert_eq!(document.notes, notes);
}

#[tokio::test]
async fn open_scan_is_forgotten_where_a_person_wants_that() {
    let fixture = Fixture::new();
    let (scan_id, now) = (Ulid::new(), fixture.now());
    let outbox = fixture.open();
    outbox.add(scan_id, Source::Camera, now, page(1), b"a".to_vec()).await.unwrap();
    outbox.discard(scan_id).await.unwrap();
    assert_eq!(figures(&outbox).await, (0, 0, 0, 0));
}

#[tokio::test]
async fn open_scans_of_devices_are_read_after_a_restart_and_known_to_be_interrupted() {
    let fixture = Fixture::new();
    let now = fixture.now();
    let outbox = fixture.open();
    let scans = [Source::Camera, Source::Submit].map(|source| (Ulid::new(), source));
    for (scan_id, source) in scans {
        outbox.add(scan_id, source, now, page(1), b"a".to_vec()).await.unwrap();
    }
    drop(outbox);
    let outbox = fixture.open();
    let devices = [Source::Camera, Source::Escl];
    assert_eq!(outbox.complete_interrupted(&devices).await.unwrap(), 1);
    let document = take(&outbox).await.unwrap();
    assert_eq!((document.scan_id, document.notes.interrupted), (scans[0].0, true));
    assert!(take(&outbox).await.is_none());
}

#[tokio::test]
async fn scan_that_is_never_completed_is_set_aside_and_can_be_read_all_the_same() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    let (scan_id, now) = (Ulid::new(), fixture.now());
    outbox.add(scan_id, Source::Submit, now, page(1), b"a".to_vec()).await.unwrap();
    outbox.tidy(now).await.unwrap();
    assert_eq!(figures(&outbox).await, (1, 0, 0, 0));
    fixture.pass(Duration::from_secs(2 * 60 * 60));
    outbox.tidy(fixture.now()).await.unwrap();
    assert_eq!(figures(&outbox).await, (0, 0, 0, 1));
    fixture.console().retry(&Which::All).unwrap();
    assert_eq!(take(&outbox).await.unwrap().files.0, [b"a"]);
}

#[tokio::test]
async fn whether_a_document_would_be_taken_in_is_known_beforehand() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    outbox.accepts().await.unwrap();
    accept(&outbox, "paper").await;
    let max_entries = NonZeroU64::MIN;
    outbox.set_limits(config::Outbox { max_entries, ..config::Outbox::default() });
    assert!(matches!(outbox.accepts().await, Err(OutboxError::Full(_))));
    outbox.set_limits(config::Outbox::default());
    outbox.accepts().await.unwrap();
}

#[tokio::test]
async fn results_wait_in_order_behind_a_place_and_within_a_window() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    let a = put(&outbox, "a").await;
    put(&outbox, "b").await;
    put(&outbox, "c").await;
    assert_eq!(waiting(&outbox).await, ["a", "b", "c"]);
    assert_eq!(contents(&outbox.waiting(Some(a), 1).await.unwrap()), ["b"]);
    // The first is always there, however large.
    let large = "x".repeat(5 << 20);
    put(&outbox, &large).await;
    let c = outbox.waiting(None, 100).await.unwrap();
    assert_eq!(contents(&c), ["a", "b", "c"]);
    let last = outbox.waiting(Some(c[2].seq), 100).await.unwrap();
    assert_eq!(last[0].payload.len(), large.len());
}

#[tokio::test]
async fn what_is_delivered_does_not_wait_and_is_erased_in_time() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    let seq = put(&outbox, "a").await;
    put(&outbox, "b").await;
    outbox.delivered(vec![seq]).await.unwrap();
    assert_eq!(waiting(&outbox).await, ["b"]);
    assert!(outbox.get(seq).await.unwrap().is_none());
    fixture.pass(DAY - Duration::from_millis(1));
    assert_eq!(outbox.tidy(fixture.now()).await.unwrap().erased, 0);
    fixture.pass(Duration::from_millis(1));
    assert_eq!(outbox.tidy(fixture.now()).await.unwrap().erased, 1);
    assert_eq!(figures(&outbox).await, (0, 1, 0, 0));
}

#[tokio::test]
async fn clock_that_jumps_ten_years_ahead_erases_nothing_that_waits() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    accept(&outbox, "paper").await;
    put(&outbox, "result").await;
    fixture.pass(TEN_YEARS);
    assert_eq!(outbox.tidy(fixture.now()).await.unwrap().erased, 0);
    assert_eq!(waiting(&outbox).await, ["result"]);
    assert_eq!(take(&outbox).await.unwrap().files.0, [b"paper"]);
}

#[tokio::test]
async fn clock_that_jumps_ten_years_back_keeps_what_is_delivered_for_one_more_time_only() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    let seq = put(&outbox, "result").await;
    outbox.delivered(vec![seq]).await.unwrap();
    fixture.turn_back(TEN_YEARS);
    assert_eq!(outbox.tidy(fixture.now()).await.unwrap().erased, 0);
    fixture.pass(DAY);
    assert_eq!(outbox.tidy(fixture.now()).await.unwrap().erased, 1);
}

#[tokio::test]
async fn age_of_the_oldest_is_never_negative() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    assert_eq!(outbox.figures().await.unwrap().oldest_waiting_age, None);
    put(&outbox, "result").await;
    fixture.pass(DAY);
    assert_eq!(outbox.figures().await.unwrap().oldest_waiting_age, Some(DAY));
    fixture.turn_back(TEN_YEARS);
    assert_eq!(outbox.figures().await.unwrap().oldest_waiting_age, Some(Duration::ZERO));
}

async fn refused(outbox: &Outbox, bytes: usize) -> Full {
    let document = vec![0; bytes];
    let accepted =
        outbox.accept(Ulid::new(), Source::Api, Timestamp::now(), document.clone()).await;
    let put = outbox.put(Ulid::new(), document).await;
    match (accepted, put) {
        (Err(OutboxError::Full(one)), Err(OutboxError::Full(other))) if one == other => one,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn at_the_limit_of_entries_documents_are_refused_and_accepted_ones_finished() {
    let mut fixture = Fixture::new();
    fixture.limits.max_entries = NonZeroU64::new(3).unwrap();
    let outbox = fixture.open();
    let scan_id = accept(&outbox, "paper").await;
    let seq = put(&outbox, "a").await;
    put(&outbox, "b").await;
    assert_eq!(refused(&outbox, 1).await, Full::Entries { most: 3 });
    outbox.finish(scan_id, b"c".to_vec()).await.unwrap();
    outbox.bury(seq, "the broker refuses it").await.unwrap();
    // A dead letter needs somebody, too.
    assert_eq!(refused(&outbox, 1).await, Full::Entries { most: 3 });
    let next = outbox.waiting(None, 1).await.unwrap()[0].seq;
    outbox.delivered(vec![next]).await.unwrap();
    accept(&outbox, "paper").await;
}

#[tokio::test]
async fn at_the_limit_of_bytes_the_delivered_go_first_and_then_documents_are_refused() {
    let mut fixture = Fixture::new();
    fixture.limits.max_bytes = NonZeroU64::new(1 << 20).unwrap();
    let outbox = fixture.open();
    let scan_id = accept(&outbox, "paper").await;
    let large = "x".repeat(700 << 10);
    let seq = put(&outbox, &large).await;
    assert_eq!(refused(&outbox, 700 << 10).await, Full::Bytes { most: 1 << 20 });
    outbox.delivered(vec![seq]).await.unwrap();
    put(&outbox, &large).await;
    assert_eq!(figures(&outbox).await, (1, 1, 0, 0));
    outbox.finish(scan_id, large.into_bytes()).await.unwrap();
    assert!(outbox.figures().await.unwrap().bytes > 1 << 20);
}

#[tokio::test]
async fn while_a_result_waits_too_long_documents_are_refused() {
    let mut fixture = Fixture::new();
    fixture.limits.max_age_days = NonZeroU32::new(2).unwrap();
    let outbox = fixture.open();
    let since = fixture.now();
    let seq = put(&outbox, "result").await;
    fixture.pass(2 * DAY);
    accept(&outbox, "paper").await;
    fixture.pass(Duration::from_millis(1));
    assert_eq!(refused(&outbox, 1).await, Full::Age { since, days: 2 });
    outbox.delivered(vec![seq]).await.unwrap();
    accept(&outbox, "paper").await;
}

#[tokio::test]
async fn refusal_says_why_and_what_to_do() {
    let full = OutboxError::Full(Full::Entries { most: 3 }).to_string();
    assert!(
        full.contains("outbox.max_entries") && full.contains("cic-kiosk outbox list"),
        "{full}"
    );
}

#[tokio::test]
async fn one_that_fails_by_itself_takes_no_other_of_its_batch_with_it() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    accept(&outbox, "paper").await;
    // While somebody else writes, all that comes is gathered into one batch.
    let mut other = Connection::open(fixture.path()).unwrap();
    let lock = crate::database::write(&mut other).unwrap();
    let documents = ["a", "b"]
        .map(|content| outbox.accept(Ulid::new(), Source::Api, fixture.now(), Vec::from(content)));
    let [a, b] = documents;
    let refused = outbox.add(Ulid::new(), Source::Api, fixture.now(), page(2), b"b".to_vec());
    let torn = outbox.write(0, |connection| -> Result<(), Fault> {
        connection.execute("UPDATE entries SET attempts = 7", [])?;
        connection.execute("INSERT INTO entries (kind) VALUES ('nonsense')", [])?;
        Ok(())
    });
    let release = async { drop(lock) };
    let (a, refused, torn, b, ()) = tokio::join!(a, refused, torn, b, release);
    a.unwrap();
    b.unwrap();
    assert!(matches!(refused, Err(OutboxError::PageMissing { .. })), "{refused:?}");
    assert!(matches!(torn, Err(OutboxError::Failed { .. })), "{torn:?}");
    assert_eq!(figures(&outbox).await, (3, 0, 0, 0));
    assert_eq!(take(&outbox).await.unwrap().attempt, 1);
}

#[tokio::test]
async fn disk_that_is_full_fails_all_of_the_batch_and_work_goes_on_when_it_has_space_again() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    accept(&outbox, "paper").await;
    // The limit is the connection's, and goes with it.
    let fill = |connection: &Connection| -> rusqlite::Result<()> {
        let limit = |pages: i64| {
            let pragma = format!("PRAGMA max_page_count = {pages}");
            connection.query_row(&pragma, [], |_| Ok(()))
        };
        limit(1)
    };
    outbox.write(0, move |connection| Ok(fill(connection)?)).await.unwrap();
    let failed = outbox.accept(Ulid::new(), Source::Api, fixture.now(), vec![0; 1 << 20]).await;
    let error = failed.unwrap_err();
    assert!(matches!(error, OutboxError::NotStored { .. }), "{error}");
    assert!(error.to_string().contains("space left"), "{error}");
    assert_eq!(figures(&outbox).await, (1, 0, 0, 0));
    outbox.accept(Ulid::new(), Source::Api, fixture.now(), vec![0; 1 << 20]).await.unwrap();
    assert_eq!(figures(&outbox).await, (2, 0, 0, 0));
}

#[tokio::test]
async fn file_that_was_moved_away_takes_nothing_until_it_is_back() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    accept(&outbox, "paper").await;
    let (path, elsewhere) = (fixture.path(), fixture.folder.path().join("elsewhere"));
    fs::rename(&path, &elsewhere).unwrap();
    let error = outbox.put(Ulid::new(), b"result".to_vec()).await.unwrap_err();
    assert!(matches!(error, OutboxError::NotStored { .. }), "{error}");
    assert!(!path.exists());
    fs::rename(&elsewhere, &path).unwrap();
    put(&outbox, "result").await;
    assert_eq!(figures(&outbox).await, (1, 1, 0, 0));
}

#[tokio::test]
async fn result_that_was_tampered_with_becomes_a_dead_letter_and_holds_nobody_up() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    let a = put(&outbox, "a").await;
    put(&outbox, "b").await;
    fixture.meddle(&format!(
        "UPDATE payloads SET sealed = CAST(substr(sealed, 1, length(sealed) - 1) || 'x' AS BLOB)
         WHERE id = {a}"
    ));
    assert!(outbox.get(a).await.unwrap().is_none());
    assert_eq!(waiting(&outbox).await, ["b"]);
    assert_eq!(figures(&outbox).await, (0, 1, 0, 1));
    assert_eq!(reasons(&fixture), ["damaged"]);
}

#[tokio::test]
async fn results_whose_payloads_were_exchanged_are_refused() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    let (a, b) = (put(&outbox, "a").await, put(&outbox, "b").await);
    fixture.meddle(&format!(
        "PRAGMA foreign_keys = OFF;
         UPDATE payloads SET id = -1 WHERE id = {a};
         UPDATE payloads SET id = {a} WHERE id = {b};
         UPDATE payloads SET id = {b} WHERE id = -1;"
    ));
    assert_eq!(waiting(&outbox).await, [""; 0]);
    assert_eq!(figures(&outbox).await, (0, 0, 0, 2));
}

#[tokio::test]
async fn damaged_document_becomes_a_dead_letter_and_the_next_is_taken() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    accept(&outbox, "a").await;
    accept(&outbox, "b").await;
    fixture.meddle("UPDATE payloads SET sealed = x'' WHERE id = (SELECT min(id) FROM payloads)");
    assert_eq!(take(&outbox).await.unwrap().files.0, [b"b"]);
    assert_eq!(reasons(&fixture), ["damaged"]);
}

#[tokio::test]
async fn what_is_sealed_with_a_key_that_is_not_here_stays_and_is_counted() {
    let fixture = Fixture::new();
    let outbox = fixture.open_with(&[1]);
    let old = SealingKeys::of(&[1]).current().clone();
    accept(&outbox, "old paper").await;
    let seq = put(&outbox, "old").await;
    drop(outbox);
    let outbox = fixture.open_with(&[2]);
    accept(&outbox, "new paper").await;
    put(&outbox, "new").await;
    assert_eq!(waiting(&outbox).await, ["new"]);
    assert!(outbox.get(seq).await.unwrap().is_none());
    assert_eq!(take(&outbox).await.unwrap().files.0, [b"new paper"]);
    assert!(take(&outbox).await.is_none());
    let figures = outbox.figures().await.unwrap();
    assert_eq!(figures.unreadable_by_key, [(old, 2)]);
    assert_eq!((figures.documents, figures.results_waiting, figures.dead), (2, 2, 0));
    drop(outbox);
    let outbox = fixture.open_with(&[2, 1]);
    assert_eq!(waiting(&outbox).await, ["old", "new"]);
    assert_eq!(take(&outbox).await.unwrap().files.0, [b"old paper"]);
}

#[tokio::test]
async fn resealed_outbox_needs_no_old_key() {
    let fixture = Fixture::new();
    let outbox = fixture.open_with(&[1]);
    accept(&outbox, "paper").await;
    for index in 0..150 {
        put(&outbox, &index.to_string()).await;
    }
    let buried = put(&outbox, "dead").await;
    outbox.bury(buried, "the broker refuses it").await.unwrap();
    let both = SealingKeys::of(&[2, 1]);
    let resealed = fixture.console().reseal(&both).unwrap();
    assert_eq!((resealed.resealed, resealed.damaged), (152, 0));
    assert_eq!(resealed.remaining, []);
    assert_eq!(fixture.console().reseal(&both).unwrap().resealed, 0);
    // The daemon beside it has the old key alone, and still seals with it.
    put(&outbox, "late").await;
    let old = SealingKeys::of(&[1]).current().clone();
    assert_eq!(fixture.console().reseal(&SealingKeys::of(&[2])).unwrap().remaining, [(old, 1)]);
    assert_eq!(fixture.console().reseal(&both).unwrap().resealed, 1);
    drop(outbox);
    let outbox = fixture.open_with(&[2]);
    assert_eq!(outbox.waiting(None, 1000).await.unwrap().len(), 151);
    assert_eq!(take(&outbox).await.unwrap().files.0, [b"paper"]);
}

#[tokio::test]
async fn result_that_is_retried_waits_behind_all_others_and_a_document_is_as_new() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    let scan_id = accept(&outbox, "paper").await;
    let dead = put(&outbox, "dead").await;
    let last = put(&outbox, "other").await;
    outbox.take(3).await.unwrap();
    outbox.bury_document(scan_id, "unreadable").await.unwrap();
    outbox.bury(dead, "the broker refuses it").await.unwrap();
    assert!(take(&outbox).await.is_none());
    let mut results = outbox.subscribe();
    assert_eq!(*results.borrow_and_update(), last);
    // As another process does it; this one notices by itself.
    assert_eq!(fixture.console().retry(&Which::All).unwrap(), 2);
    timeout(SOON, results.changed()).await.unwrap().unwrap();
    let newest = *results.borrow();
    assert!(newest > last);
    assert_eq!(waiting(&outbox).await, ["other", "dead"]);
    assert_eq!(take(&outbox).await.unwrap().attempt, 1);
    let next = put(&outbox, "next").await;
    assert!(next > newest);
    assert_eq!(figures(&outbox).await, (1, 3, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn daemon_and_operator_work_at_once_and_lose_nothing() {
    let fixture = Fixture::new();
    let outbox = fixture.open_with(&[1, 2]);
    let mut console = fixture.console();
    let operator = tokio::task::spawn_blocking(move || {
        for key in [[2, 1], [1, 2]].iter().cycle().take(20) {
            console.reseal(&SealingKeys::of(key)).unwrap();
            console.retry(&Which::All).unwrap();
            console.list().unwrap();
        }
    });
    let mut put_in = BTreeSet::new();
    while !operator.is_finished() || put_in.len() < 100 {
        let content = put_in.len().to_string();
        let seq = put(&outbox, &content).await;
        put_in.insert(content);
        outbox.bury(seq, "the broker refuses it").await.unwrap();
    }
    operator.await.unwrap();
    fixture.console().retry(&Which::All).unwrap();
    let waiting = contents(&outbox.waiting(None, usize::MAX).await.unwrap());
    assert_eq!(waiting.len(), put_in.len());
    assert_eq!(BTreeSet::from_iter(waiting), put_in);
}

#[tokio::test]
async fn only_dead_letters_are_purged() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    let scan_id = accept(&outbox, "paper").await;
    let dead = put(&outbox, "dead").await;
    outbox.bury(dead, "the broker refuses it").await.unwrap();
    let mut console = fixture.console();
    let error = console.purge(&Which::Scan(scan_id.to_string())).unwrap_err();
    assert!(matches!(error, OutboxError::Unknown { .. }), "{error}");
    assert_eq!(console.purge(&Which::All).unwrap(), 1);
    assert_eq!(figures(&outbox).await, (1, 0, 0, 0));
    let left: i64 = Connection::open(fixture.path())
        .unwrap()
        .query_row("SELECT count(*) FROM payloads", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 1);
}

#[tokio::test]
async fn who_waits_is_woken_by_what_comes() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    let (mut documents, mut results) = (outbox.documents(), outbox.subscribe());
    accept(&outbox, "paper").await;
    timeout(SOON, documents.changed()).await.unwrap().unwrap();
    let seq = put(&outbox, "result").await;
    timeout(SOON, results.changed()).await.unwrap().unwrap();
    assert_eq!(*results.borrow(), seq);
}

#[tokio::test]
async fn one_daemon_has_the_outbox_and_lets_it_go_when_it_ends() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    let error = fixture.try_open(fixture.folder.path(), &[1]).err().unwrap();
    assert!(matches!(error, OutboxError::InUse { .. }), "{error}");
    drop(outbox);
    fixture.open();
}

#[tokio::test]
async fn lock_that_is_let_go_of_in_a_moment_is_waited_for() {
    let fixture = Fixture::new();
    let held = file::lock(fixture.folder.path()).unwrap();
    let other = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        drop(held);
    });
    fixture.open();
    other.join().unwrap();
}

#[tokio::test]
async fn closed_outbox_has_written_everything_and_takes_nothing() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    put(&outbox, "result").await;
    let copy = outbox.clone();
    outbox.close().await;
    let wal = file::beside(&fixture.path(), "-wal");
    assert!(fs::metadata(wal).map_or(0, |file| file.len()) == 0);
    let error = copy.put(Ulid::new(), b"late".to_vec()).await.unwrap_err();
    assert!(matches!(error, OutboxError::Closed), "{error}");
}

#[tokio::test]
async fn space_of_what_was_erased_is_used_again_or_given_back() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    fixture.meddle(
        "INSERT INTO entries (id, kind, state, scan_id, since, ended_at, key, bytes)
            VALUES (1, 'result', 'delivered', 'A', 0, 0, 'k', 0);
         INSERT INTO payloads VALUES (1, 'result', 'A', zeroblob(80 << 20));",
    );
    assert!(outbox.figures().await.unwrap().bytes > 80 << 20);
    fixture.pass(DAY);
    outbox.tidy(fixture.now()).await.unwrap();
    assert!(outbox.figures().await.unwrap().bytes < 1 << 20);
    let size = fs::metadata(fixture.path()).unwrap().len();
    assert!((60 << 20..70 << 20).contains(&size), "{size}");
}

#[tokio::test]
async fn console_shows_what_there_is_and_no_content() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    let scan_id = accept(&outbox, "paper").await;
    let mut console = fixture.console();
    let [document] = &console.of_scan(&scan_id.to_string()).unwrap()[..] else { panic!("one") };
    assert_eq!((document.kind.as_str(), document.state.as_str()), ("document", "waiting"));
    assert_eq!(document.source.as_deref(), Some("folder"));
    let keys = SealingKeys::of(&[1]);
    assert_eq!(console.payload(&scan_id.to_string(), &keys).unwrap().0, [b"paper"]);
    outbox.finish(scan_id, b"result".to_vec()).await.unwrap();
    assert_eq!(console.payload(&scan_id.to_string(), &keys).unwrap().0, [b"result"]);
    let error = console.payload(&scan_id.to_string(), &SealingKeys::of(&[2])).err().unwrap();
    assert!(error.to_string().contains("outbox-key-old"), "{error}");
}

/// The file that `tests/cli/outbox.rs` works with, and that later versions must be able to read.
#[tokio::test]
#[ignore = "it makes tests/data/outbox.sqlite anew"]
async fn make_the_file_of_this_version() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    let scan_id = |number: u64| Ulid::from_parts(1_772_636_400_000 + number, u128::from(number));
    for number in 0..2 {
        let document = format!("paper {number}").into_bytes();
        outbox.accept(scan_id(number), Source::Folder, fixture.now(), document).await.unwrap();
    }
    outbox.bury_document(scan_id(1), "no page can be read").await.unwrap();
    for number in 2..4 {
        let result = format!("{{\"result\": {number}}}\n").into_bytes();
        outbox.put(scan_id(number), result).await.unwrap();
    }
    let last = *outbox.subscribe().borrow();
    outbox.bury(last, "the broker refuses it").await.unwrap();
    outbox.close().await;
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/outbox.sqlite");
    fs::copy(fixture.path(), kept).unwrap();
}

#[test]
fn totals_are_those_of_the_entries_whatever_was_done() {
    let fixture = Fixture::new();
    file::make(&fixture.path()).unwrap();
    fixture.meddle(
        "INSERT INTO entries (kind, state, scan_id, since, key, bytes) VALUES
            ('document', 'waiting', 'A', 0, 'k', 1), ('result', 'waiting', 'B', 0, 'k', 1),
            ('result', 'waiting', 'C', 0, 'k', 1), ('result', 'waiting', 'D', 0, 'l', 1);
         UPDATE entries SET state = 'delivered' WHERE scan_id = 'B';
         UPDATE entries SET state = 'dead' WHERE scan_id IN ('A', 'C');
         UPDATE entries SET state = 'waiting', id = 100 WHERE scan_id = 'C';
         UPDATE entries SET key = 'l' WHERE scan_id = 'C';
         DELETE FROM entries WHERE scan_id = 'D';",
    );
    let connection = file::open(&fixture.path()).unwrap();
    let mut counted = connection
        .prepare("SELECT kind, state, key, count(*) FROM entries GROUP BY 1, 2, 3 ORDER BY 1, 2, 3")
        .unwrap();
    let counted: Vec<(String, String, String, u64)> = counted
        .query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, i64>(3)?.unsigned_abs()))
        })
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let mut totals: Vec<_> = store::totals(&connection)
        .unwrap()
        .into_iter()
        .map(|total| (total.kind, total.state, total.key.to_string(), total.entries))
        .collect();
    totals.sort();
    assert_eq!(totals, counted);
}
