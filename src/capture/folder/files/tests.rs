use std::os::unix::fs::{PermissionsExt, symlink};
use std::thread;

use super::*;

const MAX: usize = 4000;

struct Hot {
    folder: tempfile::TempDir,
    files: Files,
}

impl Hot {
    fn new(settles: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = Self::files(folder.path(), settles, true);
        Self { folder, files }
    }

    fn files(path: &Path, settles: Duration, keeps_done: bool) -> Files {
        let limits = Limits { max_bytes: MAX, ..Limits::default() };
        Files::new(path, settles, keeps_done, limits, Arc::new(Notify::new()))
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// What one look takes, which is one file.
    fn take(&mut self) -> Taken {
        let [taken] = &self.files.look().unwrap().taken[..] else { panic!("one file") };
        taken.clone()
    }

    fn names(&self, of: &str) -> Vec<String> {
        let Ok(names) = fs::read_dir(self.folder.path().join(of)) else { return Vec::new() };
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }
}

fn picture() -> Vec<u8> {
    let mut bytes = io::Cursor::new(Vec::new());
    let page = image::DynamicImage::new_luma8(60, 80);
    page.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn file_keeps_the_id_that_it_was_taken_under_until_its_outcome_is_known() {
    let mut hot = Hot::new(Duration::ZERO);
    hot.put("báo cáo.png", picture());
    let taken = hot.take();
    // As after a crash.
    hot.files = Hot::files(hot.folder.path(), Duration::from_secs(60), true);
    let again = hot.take();
    assert_eq!((again.scan, &again.name, again.before), (taken.scan, &taken.name, true));
    assert_eq!(hot.files.read(&again).unwrap(), Content::Document(picture()));
    hot.files.wait_for(again);
    assert!(hot.files.look().unwrap().taken.is_empty(), "it is waited for");
    hot.files.done(taken.scan).unwrap();
    assert_eq!(hot.names("done"), [format!("{}-báo cáo.png", taken.scan)]);
    assert_eq!((hot.names(""), hot.files.waiting()), (vec!["done".to_owned()], vec![]));
}

#[test]
fn file_that_failed_has_its_reason_beside_it() {
    let mut hot = Hot::new(Duration::ZERO);
    for _ in 0..2 {
        hot.put("a.pdf", "%PDF");
        let taken = hot.take();
        let reason = PageError::Damaged.to_string();
        hot.files.wait_for(taken.clone());
        hot.files.failed(taken.scan, &reason).unwrap();
        let name = format!("failed/{}-a.pdf", taken.scan);
        assert_eq!(hot.text(&name), "%PDF");
        assert_eq!(hot.text(&format!("{name}.reason.txt")), format!("{reason}\n"));
    }
    assert_eq!(hot.names("failed").len(), 4, "nothing is overwritten");
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let mut hot = Hot::new(Duration::ZERO);
    hot.put("a", [b'x'; MAX + 1]);
    let taken = hot.take();
    assert!(matches!(hot.files.read(&taken).unwrap(), Content::Refused(_)));
}

#[test]
fn file_that_still_changes_is_left_alone() {
    let mut hot = Hot::new(Duration::from_millis(50));
    for content in ["%", "%P", "%PD"] {
        let path = hot.put("a.pdf", content);
        // What the kernel says of it is not heard.
        hot.files.eyes.close();
        hot.files.eyes.take_hints();
        assert!(hot.files.find().unwrap().1.is_empty(), "{path:?}");
    }
    while hot.files.look().unwrap().taken.is_empty() {
        thread::yield_now();
    }
}

#[test]
fn empty_file_is_given_longer_for_somebody_may_be_about_to_fill_it() {
    let mut hot = Hot::new(Duration::from_millis(20));
    hot.put("a.pdf", "");
    hot.files.look().unwrap();
    thread::sleep(Duration::from_millis(40));
    let look = hot.files.look().unwrap();
    assert!(look.taken.is_empty() && look.unsettled);
    hot.put("a.pdf", "%PDF");
    while hot.files.look().unwrap().taken.is_empty() {
        thread::yield_now();
    }
}

#[test]
fn file_that_is_closed_or_moved_in_is_taken_at_once_unless_it_has_changed_since() {
    let mut hot = Hot::new(Duration::from_secs(3600));
    let elsewhere = tempfile::tempdir_in("/tmp").unwrap();
    assert!(hot.files.look().unwrap().taken.is_empty());
    hot.put("closed.pdf", "%PDF");
    let outside = elsewhere.path().join("moved.pdf");
    fs::write(&outside, "%PDF").unwrap();
    fs::rename(outside, hot.folder.path().join("moved.pdf")).unwrap();
    let mut open = File::create(hot.folder.path().join("open.pdf")).unwrap();
    open.write_all(b"%PDF").unwrap();
    let mut taken = Vec::new();
    while taken.len() < 2 {
        taken.extend(hot.files.look().unwrap().taken.into_iter().filter(|taken| !taken.before));
        thread::yield_now();
    }
    assert!(hot.folder.path().join("open.pdf").exists());
    drop(open);
    // The kernel's word is about the file as it was then.
    let path = hot.folder.path().join("open.pdf");
    while !hot.files.eyes.has_hint("open.pdf") {
        thread::yield_now();
    }
    let mut open = fs::OpenOptions::new().append(true).open(&path).unwrap();
    open.write_all(b"-1.7").unwrap();
    assert!(!hot.files.look().unwrap().taken.iter().any(|taken| !taken.before) && path.exists());
}

#[test]
fn hidden_files_folders_links_and_pipes_are_no_documents_and_a_hard_link_is_one() {
    let mut hot = Hot::new(Duration::ZERO);
    let here = hot.folder.path().to_owned();
    let other = tempfile::NamedTempFile::new_in(std::env::temp_dir()).unwrap();
    hot.put(".part", "%PDF");
    fs::create_dir(here.join("sub")).unwrap();
    symlink("/etc/passwd", here.join("link")).unwrap();
    make_pipe(&here, "pipe");
    assert!(hot.files.look().unwrap().taken.is_empty());
    if fs::hard_link(other.path(), here.join("hard")).is_ok() {
        assert!(hot.take().name.ends_with("hard"));
    }
}

fn make_pipe(folder: &Path, name: &str) {
    let root = open_root(folder).unwrap();
    let mode = Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(&root, name, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

#[test]
fn what_takes_a_files_place_between_the_look_and_the_reading_is_not_followed_nor_waited_for() {
    let mut hot = Hot::new(Duration::ZERO);
    for put in [
        |path: &Path| symlink("/etc/passwd", path).unwrap(),
        |path: &Path| {
            make_pipe(path.parent().unwrap(), path.file_name().unwrap().to_str().unwrap())
        },
        |path: &Path| fs::create_dir(path).unwrap(),
    ] {
        hot.put("a.png", picture());
        let taken = hot.take();
        let path = hot.folder.path().join(&taken.name);
        fs::remove_file(&path).unwrap();
        put(&path);
        assert_eq!(hot.files.read(&taken).unwrap(), Content::Refused(NO_FILE.to_owned()));
        hot.files.wait_for(taken.clone());
        hot.files.failed(taken.scan, NO_FILE).unwrap();
        assert!(fs::symlink_metadata(&path).is_err(), "it is put aside as it is");
    }
}

#[test]
fn file_that_somebody_takes_away_is_forgotten() {
    let mut hot = Hot::new(Duration::ZERO);
    hot.put("a.png", picture());
    let taken = hot.take();
    fs::remove_file(hot.folder.path().join(&taken.name)).unwrap();
    assert_eq!(hot.files.read(&taken).unwrap(), Content::Gone);
    hot.files.wait_for(taken.clone());
    hot.files.done(taken.scan).unwrap();
    assert!(hot.files.waiting().is_empty() && hot.files.look().unwrap().taken.is_empty());
}

#[test]
fn link_in_the_place_of_one_of_our_folders_is_refused_with_what_to_do() {
    for name in [DONE, FAILED] {
        let mut hot = Hot::new(Duration::ZERO);
        let elsewhere = tempfile::tempdir().unwrap();
        symlink(elsewhere.path(), hot.folder.path().join(name)).unwrap();
        hot.put("a.png", picture());
        let Err(Fault::Failing(reason)) = hot.files.look() else { panic!("a link") };
        assert!(reason.contains(name) && reason.contains("remove it"), "{reason}");
        assert!(hot.folder.path().join("a.png").exists());
        assert!(tidy(hot.folder.path(), Duration::ZERO).is_err() || name == FAILED);
    }
}

#[test]
fn folder_that_goes_away_is_absent_and_used_again_when_it_is_back() {
    let mut hot = Hot::new(Duration::from_secs(3600));
    let path = hot.folder.path().to_owned();
    for _ in 0..2 {
        fs::remove_dir_all(&path).unwrap();
        let Err(Fault::Absent(reason)) = hot.files.look() else { panic!("it is not there") };
        assert!(reason.contains("create it"), "{reason}");
        fs::create_dir(&path).unwrap();
        hot.files.look().unwrap();
        // And watched again.
        hot.put("a.png", picture());
        while hot.files.look().unwrap().taken.is_empty() {
            thread::yield_now();
        }
    }
}

#[test]
fn what_was_done_is_erased_in_time_and_nothing_else_is() {
    let hot = Hot::new(Duration::ZERO);
    assert_eq!(tidy(hot.folder.path(), Duration::ZERO).unwrap(), 0);
    fs::create_dir(hot.folder.path().join(DONE)).unwrap();
    let day = 24 * 60 * 60 * 1000;
    let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap();
    let [old, new, future] =
        [now - 8 * day, now - 6 * day, now + day].map(|time| Ulid::from_parts(time, 7));
    for name in [format!("{old}-a"), format!("{new}-a"), format!("{future}-a"), "mine".to_owned()] {
        hot.put(&format!("{DONE}/{name}"), "paper");
    }
    assert_eq!(tidy(hot.folder.path(), Duration::from_millis(7 * day)).unwrap(), 1);
    assert_eq!(hot.names(DONE), [format!("{new}-a"), format!("{future}-a"), "mine".to_owned()]);
}

#[test]
fn without_days_to_keep_it_a_file_is_erased_when_it_was_read() {
    let mut hot = Hot::new(Duration::ZERO);
    hot.files = Hot::files(hot.folder.path(), Duration::ZERO, false);
    hot.put("a.png", picture());
    let taken = hot.take();
    hot.files.wait_for(taken.clone());
    hot.files.done(taken.scan).unwrap();
    assert_eq!(hot.names(""), [""; 0]);
}

#[test]
fn names_as_long_as_a_file_system_allows_and_such_that_are_no_text_are_taken_and_put_aside() {
    use std::os::unix::ffi::OsStrExt;
    let mut hot = Hot::new(Duration::ZERO);
    for name in ["ế".repeat(85).as_bytes(), b"\xff\xfe.pdf"] {
        fs::write(hot.folder.path().join(OsStr::from_bytes(name)), "MZ").unwrap();
        let taken = hot.take();
        hot.files.wait_for(taken.clone());
        hot.files.failed(taken.scan, "No.").unwrap();
    }
    assert_eq!(hot.names(FAILED).len(), 4);
}

#[test]
fn few_files_are_taken_at_once_and_the_oldest_first() {
    let mut hot = Hot::new(Duration::ZERO);
    for number in (0..BATCH + 10).rev() {
        let path = hot.put(&number.to_string(), "MZ");
        let time = std::time::UNIX_EPOCH + Duration::from_secs(number as u64);
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }
    let look = hot.files.look().unwrap();
    assert!(look.more && look.taken.len() == BATCH);
    for (number, taken) in look.taken.iter().enumerate() {
        assert!(taken.name.ends_with(&format!("{TAKEN}{number}")), "{}", taken.name);
    }
}

#[test]
fn our_folders_are_not_for_everybody() {
    let mut hot = Hot::new(Duration::ZERO);
    hot.put("a.png", picture());
    let taken = hot.take();
    hot.files.wait_for(taken.clone());
    hot.files.done(taken.scan).unwrap();
    let mode = fs::metadata(hot.folder.path().join(DONE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o007, 0, "{mode:o}");
}

/// How long it takes beside very many old files: `cargo test --release -- --ignored old_files`.
#[test]
#[ignore = "a measurement"]
fn old_files_cost_nothing() {
    let mut hot = Hot::new(Duration::ZERO);
    fs::create_dir(hot.folder.path().join(DONE)).unwrap();
    for number in 0..100_000 {
        hot.put(&format!("{DONE}/{}-{number}", Ulid::new()), "");
    }
    let begun = Instant::now();
    assert!(hot.files.look().unwrap().taken.is_empty());
    println!("a look beside 100,000 files in done: {:?}", begun.elapsed());
    for number in 0..20_000 {
        hot.put(&number.to_string(), "MZ");
    }
    let (begun, mut count, mut longest) = (Instant::now(), 0, Duration::ZERO);
    while count < 20_000 {
        let looked = Instant::now();
        let look = hot.files.look().unwrap();
        longest = longest.max(looked.elapsed());
        for taken in look.taken {
            let reason = PageError::UnknownFormat.to_string();
            let scan = taken.scan;
            hot.files.wait_for(taken);
            hot.files.failed(scan, &reason).unwrap();
            count += 1;
        }
    }
    println!("20,000 files refused: {:?}, the longest look {longest:?}", begun.elapsed());
    let begun = Instant::now();
    assert_eq!(tidy(hot.folder.path(), Duration::ZERO).unwrap(), 100_000);
    println!("100,000 files erased: {:?}", begun.elapsed());
}
