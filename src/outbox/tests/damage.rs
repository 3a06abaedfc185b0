//! Files that are torn, and what is saved of them.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};

use super::*;

const PAGE: u64 = 4096;

/// A closed outbox with so many results, each of a kilobyte.
async fn filled(fixture: &Fixture, results: usize) -> Vec<String> {
    let outbox = fixture.open();
    let contents: Vec<String> = (0..results).map(|index| format!("{index:01000}")).collect();
    let puts = contents.iter().map(|content| put(&outbox, content));
    futures_util::future::join_all(puts).await;
    accept(&outbox, "paper").await;
    outbox.close().await;
    contents
}

fn overwrite(path: &Path, from: u64, pages: u64) {
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(from * PAGE)).unwrap();
    file.write_all(&vec![0xa5; (pages * PAGE) as usize]).unwrap();
}

fn pages(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len() / PAGE
}

fn aside(fixture: &Fixture, number: u32) -> PathBuf {
    file::beside(&fixture.path(), &format!(".damaged-{number}"))
}

#[tokio::test]
async fn pages_that_were_overwritten_in_the_middle_cost_only_what_was_in_them() {
    let fixture = Fixture::new();
    let all: BTreeSet<String> = filled(&fixture, 300).await.into_iter().collect();
    let pages = pages(&fixture.path());
    overwrite(&fixture.path(), pages / 2, 4);
    let outbox = fixture.open();
    assert!(aside(&fixture, 1).exists());
    let saved: BTreeSet<String> =
        contents(&outbox.waiting(None, 1000).await.unwrap()).into_iter().collect();
    assert!(saved.is_subset(&all));
    // Three to a page, and some pages are not of payloads.
    assert!(saved.len() >= 300 - 4 * 4, "{}", saved.len());
    assert_eq!(take(&outbox).await.unwrap().files.0, [b"paper"]);
    let next = put(&outbox, "next").await;
    assert!(next > Seq(301), "a place is not given twice: {next}");
}

#[tokio::test]
async fn file_that_was_cut_off_keeps_its_beginning() {
    let fixture = Fixture::new();
    filled(&fixture, 300).await;
    let pages = pages(&fixture.path());
    let file = OpenOptions::new().write(true).open(fixture.path()).unwrap();
    file.set_len(pages * 3 / 4 * PAGE + 100).unwrap();
    let outbox = fixture.open();
    assert!(aside(&fixture, 1).exists());
    let saved = outbox.waiting(None, 1000).await.unwrap().len();
    assert!(saved >= 150, "{saved}");
}

#[tokio::test]
async fn payload_whose_entry_is_lost_is_saved_all_the_same() {
    let fixture = Fixture::new();
    filled(&fixture, 20).await;
    let root: u64 = Connection::open(fixture.path())
        .unwrap()
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'entries'", [], |row| {
            row.get::<_, i64>(0)
        })
        .unwrap()
        .unsigned_abs();
    overwrite(&fixture.path(), root - 1, 1);
    let outbox = fixture.open();
    assert_eq!(figures(&outbox).await, (1, 20, 0, 0));
    let document = take(&outbox).await.unwrap();
    assert_eq!((document.files.0, document.source), (vec![b"paper".to_vec()], None));
}

#[tokio::test]
async fn payload_that_was_damaged_becomes_a_dead_letter() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    let large = "x".repeat(1 << 20);
    put(&outbox, &large).await;
    put(&outbox, "small").await;
    outbox.close().await;
    // In the middle of the large one, and of a page, where SQLite itself has nothing to notice.
    let mut file = OpenOptions::new().write(true).open(fixture.path()).unwrap();
    file.seek(SeekFrom::Start(pages(&fixture.path()) / 2 * PAGE + 100)).unwrap();
    file.write_all(b"damage").unwrap();
    let outbox = fixture.open();
    assert_eq!(waiting(&outbox).await, ["small"]);
    assert_eq!(reasons(&fixture), ["damaged"]);
}

#[tokio::test]
async fn file_that_is_no_database_is_moved_aside_and_work_begins_anew() {
    let fixture = Fixture::new();
    for number in 1..=2 {
        fs::write(fixture.path(), "not a database".repeat(1000)).unwrap();
        let outbox = fixture.open();
        assert!(aside(&fixture, number).exists());
        accept(&outbox, "paper").await;
        drop(outbox);
    }
}

#[tokio::test]
async fn log_that_was_cut_off_loses_nothing_that_is_before_the_cut() {
    let fixture = Fixture::new();
    let outbox = fixture.open();
    put(&outbox, "first").await;
    let wal = |folder: &Path| file::beside(&file::path_in(folder), "-wal");
    let kept = fs::metadata(wal(fixture.folder.path())).unwrap().len();
    put(&outbox, &"x".repeat(100_000)).await;
    let after = fixture.power_cut();
    OpenOptions::new().write(true).open(wal(after.path())).unwrap().set_len(kept + 5000).unwrap();
    let survivor = fixture.try_open(after.path(), &[1]).unwrap();
    assert_eq!(waiting(&survivor).await, ["first"]);
}

#[tokio::test]
async fn what_only_the_log_has_is_saved_too() {
    let fixture = Fixture::new();
    filled(&fixture, 300).await;
    let outbox = fixture.open();
    put(&outbox, "last").await;
    let after = fixture.power_cut();
    let path = file::path_in(after.path());
    overwrite(&path, pages(&path) / 2, 4);
    let survivor = fixture.try_open(after.path(), &[1]).unwrap();
    let last = contents(&survivor.waiting(None, 1000).await.unwrap()).pop();
    assert_eq!(last.as_deref(), Some("last"));
    assert!(file::beside(&path, ".damaged-1").exists());
}

#[tokio::test]
async fn saving_that_was_interrupted_is_begun_again() {
    let fixture = Fixture::new();
    filled(&fixture, 20).await;
    // As after moving the file, and half of the new one.
    fs::rename(fixture.path(), aside(&fixture, 1)).unwrap();
    fs::write(file::beside(&fixture.path(), ".new"), "half").unwrap();
    let outbox = fixture.open();
    assert_eq!(figures(&outbox).await, (1, 20, 0, 0));
}

#[tokio::test]
async fn outbox_that_somebody_removes_begins_anew_whatever_was_moved_aside_before() {
    let fixture = Fixture::new();
    filled(&fixture, 300).await;
    overwrite(&fixture.path(), 100, 4);
    drop(fixture.open());
    fs::remove_file(fixture.path()).unwrap();
    let outbox = fixture.open();
    assert_eq!(figures(&outbox).await, (0, 0, 0, 0));
}

#[tokio::test]
async fn damage_that_is_met_at_work_is_repaired_at_the_next_start() {
    let fixture = Fixture::new();
    filled(&fixture, 300).await;
    let outbox = fixture.open();
    let pages = pages(&fixture.path());
    overwrite(&fixture.path(), 3, pages - 20);
    let error = outbox.waiting(None, 1000).await.unwrap_err();
    assert!(matches!(error, OutboxError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("cic-kiosk run"), "{error}");
    timeout(SOON, outbox.damaged()).await.unwrap();
    drop(outbox);
    let outbox = fixture.open();
    assert!(aside(&fixture, 1).exists());
    put(&outbox, "next").await;
}

#[tokio::test]
async fn file_of_a_later_version_is_refused_and_left_as_it_is() {
    let fixture = Fixture::new();
    fixture.open();
    fixture.meddle("PRAGMA user_version = 99");
    let error = fixture.try_open(fixture.folder.path(), &[1]).err().unwrap();
    assert!(error.to_string().contains("later version"), "{error}");
    assert!(!aside(&fixture, 1).exists());
}
