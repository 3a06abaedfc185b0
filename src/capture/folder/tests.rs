//! The folder with a real outbox, and nobody who reads but the test.

use std::fs;
use std::path::Path;

use super::*;
use crate::credentials::Credentials;
use crate::outbox::{Document, SealingKeys};

/// Longer than anything here takes on a busy machine; less than a look that nobody asks for would
/// have to be waited for in vain.
const SOON: Duration = Duration::from_secs(60);

struct Hot {
    place: tempfile::TempDir,
    folder: HotFolder,
}

impl Hot {
    /// With a limit on what the outbox takes.
    fn new(entries: u64) -> Self {
        let place = tempfile::tempdir().unwrap();
        for name in ["in", "credentials"] {
            fs::create_dir(place.path().join(name)).unwrap();
        }
        let credentials = place.path().join("credentials");
        fs::write(credentials.join("outbox-key"), [7; 32]).unwrap();
        let keys = SealingKeys::load(&Credentials::new(Some(&credentials)), &credentials).unwrap();
        let limits = config::Outbox {
            max_entries: entries.try_into().unwrap(),
            min_free_bytes: 0,
            ..config::Outbox::default()
        };
        let folder = HotFolder {
            settings: config::Folder {
                watch: Some(place.path().join("in")),
                settle_seconds: 1.try_into().unwrap(),
                ..config::Folder::default()
            },
            limits: Limits::default(),
            reader: Arc::new(Reader::new(&config::Config::default())),
            outbox: Outbox::open(&place.path().join("state"), keys, limits).unwrap(),
            ended: broadcast::Sender::new(4),
            state: watch::Sender::new(State::Absent("new".to_owned())),
            stop: CancellationToken::new(),
        };
        Self { place, folder }
    }

    fn path(&self) -> PathBuf {
        self.place.path().join("in")
    }

    fn start(&self) -> tokio::task::JoinHandle<()> {
        let folder = HotFolder { stop: CancellationToken::new(), ..self.folder.clone() };
        tokio::spawn(async move { folder.work().await.unwrap() })
    }

    fn drop_picture(&self, name: &str) {
        let page = image::DynamicImage::new_luma8(60, 80);
        page.save_with_format(self.path().join(name), image::ImageFormat::Png).unwrap();
    }

    async fn take(&self) -> Document {
        soon(async || self.folder.outbox.take(3).await.unwrap()).await
    }

    async fn finish(&self, document: &Document, result: &str) {
        self.folder.outbox.finish(document.scan_id, result.into()).await.unwrap();
        self.folder.ended.send(document.scan_id).unwrap();
    }

    async fn is_put(&self, aside: &str, document: &Document, name: &str) -> PathBuf {
        let path = self.path().join(aside).join(format!("{}-{name}", document.scan_id));
        soon(async || path.exists().then_some(())).await;
        path
    }

    async fn is(&self, fits: impl FnMut(&State) -> bool) -> State {
        let mut state = self.folder.state.subscribe();
        timeout(SOON, state.wait_for(fits)).await.unwrap().unwrap().clone()
    }
}

/// What this gives as soon as it gives something.
async fn soon<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(given) = ask().await {
                return given;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, asking).await.expect("it did not come")
}

fn reason(file: &Path) -> String {
    fs::read_to_string(format!("{}.reason.txt", file.display())).unwrap()
}

const NO_REPORT: &str = r#"{"errorCode": "1", "data": {}, "meta": {"detail": "No report."}}"#;

#[tokio::test]
async fn file_goes_where_its_scans_outcome_says() {
    let hot = Hot::new(100);
    let _work = hot.start();
    for name in ["read", "none", "dead"] {
        hot.drop_picture(name);
        let document = hot.take().await;
        match name {
            "read" => {
                hot.finish(&document, r#"{"errorCode": "0"}"#).await;
                hot.is_put("done", &document, name).await;
            }
            "none" => {
                hot.finish(&document, NO_REPORT).await;
                assert_eq!(reason(&hot.is_put("failed", &document, name).await), "No report.\n");
            }
            _ => {
                let why = "it was begun too often";
                hot.folder.outbox.bury_document(document.scan_id, why).await.unwrap();
                hot.folder.ended.send(document.scan_id).unwrap();
                let path = hot.is_put("failed", &document, name).await;
                assert_eq!(reason(&path), format!("{why}\n"));
            }
        }
    }
    hot.is(|state| *state == State::Ready).await;
}

#[tokio::test]
async fn what_no_page_can_be_had_of_is_refused_before_it_is_accepted() {
    let hot = Hot::new(100);
    let _work = hot.start();
    for name in ["a.pdf", "b.exe", "c.png", "d"] {
        let content = match name {
            "a.pdf" => &b"%PDF"[..],
            "b.exe" => b"MZ",
            "c.png" => b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
            _ => b"?",
        };
        fs::write(hot.path().join(name), content).unwrap();
        let failed = hot.path().join("failed");
        let file = soon(async || {
            let mut names = fs::read_dir(&failed).ok()?.flatten().map(|entry| entry.path());
            names.find(|path| path.to_string_lossy().ends_with(&format!("-{name}")))
        });
        let reason = reason(&file.await);
        assert!(reason.ends_with(".\n") && !reason.contains(name), "{reason}");
    }
    assert!(hot.folder.outbox.take(3).await.unwrap().is_none());
}

#[tokio::test]
async fn outcome_that_came_while_nobody_heard_it_is_asked_for() {
    let hot = Hot::new(100);
    let work = hot.start();
    hot.drop_picture("a");
    let document = hot.take().await;
    work.abort();
    hot.folder.outbox.finish(document.scan_id, NO_REPORT.into()).await.unwrap();
    let _work = hot.start();
    hot.is_put("failed", &document, "a").await;
    // And where too many came at once.
    hot.drop_picture("b");
    let document = hot.take().await;
    for _ in 0..10 {
        hot.folder.ended.send(Ulid::new()).unwrap();
    }
    hot.finish(&document, r#"{"errorCode": "0"}"#).await;
    hot.is_put("done", &document, "b").await;
}

#[tokio::test]
async fn what_is_no_document_costs_no_reading() {
    let hot = Hot::new(100);
    let _work = hot.start();
    fs::write(hot.path().join("a.pdf"), "%PDF-1.7 and no more").unwrap();
    let failed = hot.path().join("failed");
    let files = soon(async || {
        let files: Vec<_> = fs::read_dir(&failed).ok()?.map(|it| it.unwrap().path()).collect();
        (files.len() == 2).then_some(files)
    });
    let files = files.await;
    assert!(files.iter().any(|file| file.to_str().is_some_and(|it| it.ends_with("-a.pdf"))));
    assert_eq!(hot.folder.outbox.figures().await.unwrap().documents, 0);
}

#[tokio::test]
async fn files_stay_while_the_outbox_is_full_and_are_taken_when_it_is_not() {
    let hot = Hot::new(1);
    let _work = hot.start();
    hot.drop_picture("first");
    let first = hot.take().await;
    hot.drop_picture("second");
    let full = hot.is(|state| matches!(state, State::Failing(_))).await;
    let State::Failing(reason) = full else { unreachable!() };
    assert!(reason.contains("full"), "{reason}");
    assert!(hot.path().join("second").exists());
    hot.folder.outbox.finish(first.scan_id, Vec::new()).await.unwrap();
    let result = hot.folder.outbox.waiting(None, 1).await.unwrap();
    hot.folder.outbox.delivered(vec![result[0].seq]).await.unwrap();
    assert_ne!(hot.take().await.scan_id, first.scan_id);
    hot.is(|state| *state == State::Ready).await;
}

#[tokio::test]
async fn folder_that_goes_away_is_told_and_used_again_when_it_is_back() {
    let hot = Hot::new(100);
    fs::remove_dir(hot.path()).unwrap();
    let _work = hot.start();
    let told = hot.is(|state| matches!(state, State::Absent(reason) if reason != "new")).await;
    assert!(matches!(told, State::Absent(reason) if reason.contains("mount")));
    fs::create_dir(hot.path()).unwrap();
    hot.is(|state| *state == State::Ready).await;
    hot.drop_picture("a");
    hot.take().await;
}

#[tokio::test]
async fn scan_that_the_outbox_has_lost_is_accepted_again_under_its_id() {
    let hot = Hot::new(100);
    let work = hot.start();
    hot.drop_picture("a");
    let document = hot.take().await;
    work.abort();
    hot.folder.outbox.bury_document(document.scan_id, "gone").await.unwrap();
    let mut console = crate::outbox::Console::open(&hot.place.path().join("state")).unwrap();
    assert_eq!(console.purge(&crate::outbox::Which::All).unwrap(), 1);
    let _work = hot.start();
    assert_eq!(hot.take().await.scan_id, document.scan_id);
}
