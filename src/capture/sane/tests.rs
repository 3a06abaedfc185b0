//! The source with the real `scanimage`, and SANE's drivers `test` and `pnm`.

use std::collections::BTreeMap;

use image::GenericImageView;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::capture::{Event, Outlet, Source, Taken, keep_at_work};

/// For what takes milliseconds on a machine that has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(60);

const FEEDER: &str = "Automatic Document Feeder";

/// A driver, and a place for pages.
struct Scanner {
    folder: TempDir,
    settings: config::Sane,
}

impl Scanner {
    fn new(driver: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config_dir = folder.path().join("sane");
        fs::create_dir(&config_dir).unwrap();
        fs::write(config_dir.join("dll.conf"), driver).unwrap();
        fs::create_dir(folder.path().join("pages")).unwrap();
        let settings = config::Sane {
            enabled: true,
            device: Some(format!("{driver}:0")),
            config_dir: Some(config_dir),
            dpi: 50.try_into().unwrap(),
            ..config::Sane::default()
        };
        Self { folder, settings }
    }

    fn feeder() -> Self {
        let mut scanner = Self::new("test");
        scanner.settings.source = Some(FEEDER.to_owned());
        scanner
    }

    /// One whose pages take a minute.
    fn slow(mut self) -> Self {
        self.settings.dpi = 300.try_into().unwrap();
        self.with(&[
            ("x", "200"),
            ("y", "200"),
            ("read-delay", "yes"),
            ("read-delay-duration", "200000"),
        ])
    }

    fn with(mut self, options: &[(&str, &str)]) -> Self {
        let options = options.iter().map(|(name, value)| (name.parse().unwrap(), (*value).into()));
        self.settings.options = options.collect::<BTreeMap<_, _>>();
        self
    }

    fn pages(&self) -> PathBuf {
        self.folder.path().join("pages")
    }

    fn capture(&self) -> (Outlet, CancellationToken) {
        let stop = CancellationToken::new();
        let (mut port, outlet) = Port::new(stop.clone());
        let mut source = Sane { settings: self.settings.clone(), place: self.pages() };
        tokio::spawn(async move { keep_at_work(&mut source, Source::Sane, &mut port).await });
        (outlet, stop)
    }

    /// Names of pages that lie between the two programs.
    fn lying(&self) -> Vec<String> {
        let folders = fs::read_dir(self.pages()).unwrap().flatten();
        let files = folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten());
        let mut names: Vec<_> =
            files.flatten().map(|file| file.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// `scanimage`, as long as it scans.
    fn processes(&self) -> Vec<Pid> {
        let is_ours = |pid: &i32| {
            let folder = fs::read_link(format!("/proc/{pid}/cwd"));
            folder.is_ok_and(|folder| folder.starts_with(self.pages()))
        };
        let all = fs::read_dir("/proc").unwrap().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(is_ours).filter_map(Pid::from_raw).collect()
    }

    /// Waits until neither process nor folder is left of a scan.
    async fn is_left_alone(&self) {
        let is_empty = || fs::read_dir(self.pages()).unwrap().next().is_none();
        until(|| self.processes().is_empty() && is_empty()).await;
    }
}

async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it becomes so in time");
}

async fn state(outlet: &mut Outlet, wanted: impl Fn(&State) -> bool) -> State {
    let found = timeout(PATIENCE, outlet.state.wait_for(|state| wanted(state))).await;
    let found = found.map(|state| state.unwrap().clone());
    found.unwrap_or_else(|_| panic!("the state stays {:?}", outlet.state.borrow()))
}

async fn order(outlet: &mut Outlet, order: Order) {
    outlet.orders.send(order).await.unwrap();
}

/// Waits until the scanner is ready, and lets it begin.
async fn start(outlet: &mut Outlet) {
    state(outlet, |state| *state == State::Ready).await;
    order(outlet, Order::Start).await;
}

async fn event(outlet: &mut Outlet) -> Event {
    timeout(PATIENCE, outlet.events.recv()).await.expect("it comes in time").unwrap()
}

async fn page(outlet: &mut Outlet) -> DynamicImage {
    let Event::Page(page, taken) = event(outlet).await else { panic!("no page") };
    taken.send(Taken::Kept).unwrap();
    image::load_from_memory_with_format(&page.picture, ImageFormat::Jpeg).unwrap()
}

async fn end(outlet: &mut Outlet) -> End {
    let Event::End(end) = event(outlet).await else { panic!("another page") };
    end
}

#[tokio::test]
async fn feeder_gives_page_after_page_until_it_is_empty() {
    let scanner = Scanner::feeder();
    let (mut outlet, _stop) = scanner.capture();
    start(&mut outlet).await;
    for _ in 0..10 {
        // 80 × 100 mm.
        assert_eq!(page(&mut outlet).await.dimensions(), (157, 196));
    }
    assert_eq!(end(&mut outlet).await, End::Paper);
    state(&mut outlet, |state| *state == State::Ready).await;
    scanner.is_left_alone().await;
}

#[tokio::test]
async fn glass_gives_one_page_for_each_order_and_a_person_ends_the_scan() {
    let scanner = Scanner::new("test");
    let (mut outlet, _stop) = scanner.capture();
    for _ in 0..2 {
        start(&mut outlet).await;
        page(&mut outlet).await;
    }
    order(&mut outlet, Order::Done).await;
    assert_eq!(end(&mut outlet).await, End::Person);
}

#[tokio::test]
async fn next_page_is_scanned_while_one_is_made_safe_and_no_more_than_that() {
    let scanner = Scanner::feeder();
    let (mut outlet, _stop) = scanner.capture();
    start(&mut outlet).await;
    let Event::Page(_, taken) = event(&mut outlet).await else { panic!("no page") };
    until(|| scanner.lying() == ["2.tif"]).await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(scanner.lying(), ["2.tif"]);
    taken.send(Taken::Kept).unwrap();
    for _ in 1..10 {
        page(&mut outlet).await;
    }
    assert_eq!(end(&mut outlet).await, End::Paper);
}

#[tokio::test]
async fn page_is_what_was_scanned() {
    let scanner = Scanner::new("pnm");
    let ramp = image::RgbImage::from_fn(320, 200, |x, y| [(x / 2) as u8, y as u8, 80].into());
    let file = scanner.folder.path().join("in.ppm");
    let header = b"P6\n320 200\n255\n".to_vec();
    fs::write(&file, [header, ramp.to_vec()].concat()).unwrap();
    let mut scanner = scanner.with(&[("filename", file.to_str().unwrap())]);
    scanner.settings.dpi = 75.try_into().unwrap();
    let (mut outlet, _stop) = scanner.capture();
    start(&mut outlet).await;
    let page = page(&mut outlet).await.into_rgb8();
    assert_eq!(page.dimensions(), ramp.dimensions());
    let worst = page.iter().zip(ramp.iter()).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(worst < Some(8), "{worst:?}");
}

#[tokio::test]
async fn what_a_person_can_mend_is_asked_for_and_the_scanner_goes_on_after_it() {
    for (status, word) in [
        ("JAMMED", "jammed"),
        ("COVER_OPEN", "cover"),
        ("NO_DOCS", "no paper"),
        ("CANCELLED", "go on"),
    ] {
        let value = format!("SANE_STATUS_{status}");
        let scanner = Scanner::feeder().with(&[("read-return-value", &value)]);
        let (mut outlet, _stop) = scanner.capture();
        start(&mut outlet).await;
        let State::Asking(words) = state(&mut outlet, |it| matches!(it, State::Asking(_))).await
        else {
            panic!()
        };
        assert!(words.contains(word), "{words}");
        scanner.is_left_alone().await;
        order(&mut outlet, Order::Start).await;
        timeout(PATIENCE, outlet.state.changed()).await.expect("it scans again").unwrap();
    }
}

#[tokio::test]
async fn what_nobody_there_can_mend_is_a_fault_with_what_to_do() {
    for (status, word) in [
        ("UNSUPPORTED", "sane.mode"),
        ("DEVICE_BUSY", "another program"),
        ("INVAL", "sane.options"),
        ("IO_ERROR", "cable"),
        ("NO_MEM", "sane.dpi"),
        ("ACCESS_DENIED", "group `scanner`"),
    ] {
        let value = format!("SANE_STATUS_{status}");
        let scanner = Scanner::feeder().with(&[("read-return-value", &value)]);
        let (mut outlet, _stop) = scanner.capture();
        start(&mut outlet).await;
        let State::Failing(words) = state(&mut outlet, |it| matches!(it, State::Failing(_))).await
        else {
            panic!()
        };
        assert!(words.contains(word), "{words}");
        state(&mut outlet, |state| *state == State::Ready).await;
    }
}

#[tokio::test]
async fn page_that_takes_too_long_is_given_up_and_nothing_is_left_behind() {
    let mut scanner = Scanner::feeder().slow();
    scanner.settings.page_seconds = 1.try_into().unwrap();
    let (mut outlet, _stop) = scanner.capture();
    start(&mut outlet).await;
    let state = state(&mut outlet, |it| matches!(it, State::Failing(_))).await;
    assert!(matches!(state, State::Failing(words) if words.contains("in 1 s")));
    scanner.is_left_alone().await;
}

#[tokio::test]
async fn scan_that_is_cancelled_ends_in_the_middle_of_a_page() {
    let scanner = Scanner::feeder().slow();
    let (mut outlet, _stop) = scanner.capture();
    start(&mut outlet).await;
    until(|| scanner.lying() == ["1.tif.part"]).await;
    order(&mut outlet, Order::Cancel).await;
    assert_eq!(end(&mut outlet).await, End::Cancelled);
    scanner.is_left_alone().await;
    state(&mut outlet, |state| *state == State::Ready).await;
}

#[tokio::test]
async fn nothing_is_left_behind_where_the_kiosk_stops_in_the_middle_of_a_page() {
    let scanner = Scanner::feeder().slow();
    let (mut outlet, stop) = scanner.capture();
    start(&mut outlet).await;
    until(|| scanner.lying() == ["1.tif.part"]).await;
    stop.cancel();
    scanner.is_left_alone().await;
}

#[tokio::test]
async fn page_under_way_is_the_last_one_after_a_person_said_so() {
    let scanner = Scanner::feeder();
    let (mut outlet, _stop) = scanner.capture();
    start(&mut outlet).await;
    let Event::Page(_, taken) = event(&mut outlet).await else { panic!("no page") };
    until(|| scanner.lying() == ["2.tif"]).await;
    order(&mut outlet, Order::Done).await;
    taken.send(Taken::Kept).unwrap();
    let mut pages = 1;
    let end = loop {
        match event(&mut outlet).await {
            Event::Page(_, taken) => taken.send(Taken::Kept).unwrap(),
            Event::End(end) => break end,
        }
        pages += 1;
    };
    assert_eq!(end, End::Person);
    assert_eq!(pages, 2);
}

#[tokio::test]
async fn program_that_is_killed_costs_the_page_under_way_and_no_other() {
    let scanner = Scanner::feeder();
    let (mut outlet, _stop) = scanner.capture();
    start(&mut outlet).await;
    let Event::Page(_, taken) = event(&mut outlet).await else { panic!("no page") };
    until(|| scanner.lying() == ["2.tif"]).await;
    for pid in scanner.processes() {
        kill_process(pid, Signal::KILL).unwrap();
    }
    taken.send(Taken::Kept).unwrap();
    page(&mut outlet).await;
    let state = state(&mut outlet, |it| matches!(it, State::Failing(_))).await;
    assert!(matches!(state, State::Failing(words) if words.contains("signal 9")));
    start(&mut outlet).await;
    page(&mut outlet).await;
}

#[tokio::test]
async fn program_that_is_not_there_is_named_with_its_package() {
    let mut scanner = Scanner::new("test");
    scanner.settings.program = scanner.folder.path().join("scanimage");
    let (mut outlet, _stop) = scanner.capture();
    let state =
        state(&mut outlet, |it| matches!(it, State::Absent(it) if it.contains("sane"))).await;
    assert!(matches!(state, State::Absent(words) if words.contains("package sane-utils")));
}

#[tokio::test]
async fn probe_finds_the_scanner_or_says_which_ones_there_are() {
    let mut scanner = Scanner::feeder();
    let found = probe(&scanner.settings).await.unwrap();
    assert!(found.version.starts_with("1."), "{found:?}");
    assert_eq!((found.device.as_str(), found.source.as_deref()), ("test:0", Some(FEEDER)));
    scanner.settings.device = Some("test:7".to_owned());
    let Err(Fault::Absent(words)) = probe(&scanner.settings).await else { panic!() };
    assert!(words.contains("sane.device") && words.contains("test:1"), "{words}");
}

#[tokio::test]
async fn setting_that_the_scanner_refuses_is_named_before_anything_is_scanned() {
    let refused = async |change: &dyn Fn(&mut config::Sane)| {
        let mut scanner = Scanner::new("test");
        change(&mut scanner.settings);
        let Err(Fault::Failing(words)) = probe(&scanner.settings).await else { panic!() };
        words
    };
    let words = refused(&|it| it.mode = "Purple".to_owned()).await;
    assert!(words.contains("sane.mode"), "{words}");
    let words = refused(&|it| it.source = Some("Drawer".to_owned())).await;
    assert!(words.contains("sane.source"), "{words}");
    let other = |name: &str, value: &str| [(name.parse().unwrap(), value.to_owned())].into();
    let words = refused(&|it| it.options = other("depth", "7x")).await;
    assert!(words.contains("depth"), "{words}");
    let words = refused(&|it| it.options = other("three-pass-order", "RGB")).await;
    assert!(words.contains("three-pass-order"), "{words}");
}

#[tokio::test]
async fn program_that_never_stops_talking_or_does_not_listen_is_ended() {
    let ignores = vec!["--ignore-signal=INT".to_owned(), "sleep".to_owned(), "600.0417".to_owned()];
    for (program, arguments, word) in [("yes", vec![], "signal 13"), ("env", ignores, "in 1 s")] {
        let settings = config::Sane { program: program.into(), ..config::Sane::default() };
        let answer = ask(&settings, &arguments, Duration::from_secs(1));
        let answer = timeout(PATIENCE, answer).await.unwrap();
        assert!(matches!(&answer, Err(Fault::Failing(it)) if it.contains(word)), "{answer:?}");
    }
    let sleeps = fs::read_dir("/proc").unwrap().flatten().any(|process| {
        let command = fs::read(process.path().join("cmdline"));
        command.is_ok_and(|command| command == b"sleep\x00600.0417\x00")
    });
    assert!(!sleeps);
}

#[test]
fn page_of_which_a_part_is_missing_is_no_page() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("1.tif");
    image::RgbImage::new(300, 300).save(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    assert!(picture(&path).is_some() && !path.exists());
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(picture(&path).is_none());
}
