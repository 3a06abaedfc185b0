//! The panel's parts on pins that are told what to expect, and the whole of it on a real chip.

use std::fs;
use std::path::{Path, PathBuf};

use cic_kiosk::config::{Line, LineName};
use embedded_hal_mock::eh1::digital::{Mock, State as Level, Transaction};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use ulid::Ulid;

use super::*;
use crate::capture::{Handle, OpenScan, Source, Standing, State};

/// A source, with a scan that is open where there is one; what is asked for in it.
pub fn standing(state: State, scan: Option<Option<&str>>) -> Standing {
    let open = |ask: Option<&str>| OpenScan {
        scan_id: Ulid::nil(),
        pages: 1,
        ask: ask.map(str::to_owned),
    };
    Standing { source: Source::Sane, state, scan: scan.map(open) }
}

/// A source that can be made to be in any state, and what it is told.
struct Told {
    sources: Sources,
    state: watch::Sender<State>,
    _scan: watch::Sender<Option<OpenScan>>,
    orders: mpsc::Receiver<Order>,
}

impl Told {
    fn new() -> Self {
        let (state, scan) = (watch::Sender::new(State::Ready), watch::Sender::new(None));
        let (sender, orders) = mpsc::channel(4);
        let handle = Handle {
            source: Source::Sane,
            state: state.subscribe(),
            scan: scan.subscribe(),
            orders: sender,
            decisions: mpsc::channel(1).0,
            preview: watch::Sender::default(),
            tally: Default::default(),
            counts: None,
        };
        Self { sources: Sources::new(vec![handle]), state, _scan: scan, orders }
    }
}

#[test]
fn active_low_turns_levels_round() {
    let levels = [Level::High, Level::Low];
    let mut pin = Mock::new(&levels.map(Transaction::set));
    for (active_low, on) in [(false, true), (true, true)] {
        Output::new("lamp", pin.clone(), active_low).set(on).unwrap();
    }
    pin.done();
    let mut pin = Mock::new(&levels.map(Transaction::get));
    for active_low in [false, true] {
        assert!(Input::new("button", pin.clone(), active_low).is_pressed().unwrap());
    }
    pin.done();
}

#[test]
fn panel_of_nothing_needs_no_pins_and_ends_when_it_is_told() {
    let panel = Panel::<Mock, Mock> { button: None, lamp: None, light: None, red: None };
    let stop = CancellationToken::new();
    stop.cancel();
    panel
        .work(&config::Panel::default(), &Sources::default(), || true, &Identify::default(), &stop)
        .unwrap();
}

#[test]
fn lamp_and_lights_are_dark_after_the_end() {
    let mut pins = [(); 3].map(|()| Mock::new(&[Transaction::set(Level::Low)]));
    let [lamp, light, red] = &pins;
    let output = |pin: &Mock| Some(Output::new("lamp", pin.clone(), false));
    let panel = Panel::<Mock, Mock> {
        button: None,
        lamp: output(lamp),
        light: output(light),
        red: output(red),
    };
    let stop = CancellationToken::new();
    stop.cancel();
    panel
        .work(&config::Panel::default(), &Told::new().sources, || true, &Identify::default(), &stop)
        .unwrap();
    pins.iter_mut().for_each(Mock::done);
}

#[test]
fn pin_that_fails_ends_the_work_with_its_name() {
    use std::io::{Error, ErrorKind};
    let error = Error::from(ErrorKind::NotConnected);
    let fails = Transaction::get(Level::Low).with_error(error.into());
    let mut pin = Mock::new(&[fails]);
    let button = Some(Input::new("button", pin.clone(), false));
    let panel = Panel::<Mock, Mock> { button, lamp: None, light: None, red: None };
    let (settings, stop) = (config::Panel::default(), CancellationToken::new());
    let error = panel
        .work(&settings, &Told::new().sources, || true, &Identify::default(), &stop)
        .unwrap_err();
    assert!(error.to_string().starts_with("panel.button: "), "{error}");
    pin.done();
}

#[test]
fn presses_become_orders_and_a_stuck_button_none() {
    let mut told = Told::new();
    obey(Press::Short, &told.sources);
    assert_eq!(told.orders.try_recv(), Ok(Order::Start));
    told._scan.send_replace(standing(State::Ready, Some(None)).scan);
    obey(Press::Long, &told.sources);
    assert_eq!(told.orders.try_recv(), Ok(Order::Done));
    obey(Press::Stuck, &told.sources);
    assert!(told.orders.try_recv().is_err());
}

#[test]
fn chip_that_is_not_there_is_named_with_those_that_are() {
    let settings =
        config::Panel { chip: Some("no-such-chip".to_owned()), ..config::Panel::default() };
    let error = probe(&settings).unwrap_err().to_string();
    assert!(error.contains("no-such-chip; there are: "), "{error}");
    assert_eq!(probe(&config::Panel::default()).unwrap(), None);
}

/// For what takes milliseconds on a machine that has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A chip of the kernel's module gpio-sim, whose inputs can be pulled and whose outputs be seen.
struct Chip {
    device: PathBuf,
    lines: PathBuf,
}

impl Chip {
    fn new(label: &str, names: &[&str]) -> Self {
        let device = Path::new("/sys/kernel/config/gpio-sim").join(label);
        let bank = device.join("bank");
        fs::create_dir_all(&bank).expect("gpio-sim is loaded, and configfs is mounted");
        fs::write(bank.join("label"), label).unwrap();
        fs::write(bank.join("num_lines"), names.len().to_string()).unwrap();
        for (offset, name) in names.iter().enumerate() {
            let line = bank.join(format!("line{offset}"));
            fs::create_dir(&line).unwrap();
            fs::write(line.join("name"), name).unwrap();
        }
        let mut chip = Self { device, lines: PathBuf::new() };
        chip.plug(true);
        chip
    }

    fn plug(&mut self, is_in: bool) {
        fs::write(self.device.join("live"), if is_in { "1" } else { "0" }).unwrap();
        if is_in {
            let read = |file| fs::read_to_string(self.device.join(file)).unwrap().trim().to_owned();
            let platform = Path::new("/sys/devices/platform").join(read("dev_name"));
            self.lines = platform.join(read("bank/chip_name"));
        }
    }

    fn pull(&self, offset: usize, is_up: bool) {
        let pull = if is_up { "pull-up" } else { "pull-down" };
        fs::write(self.lines.join(format!("sim_gpio{offset}/pull")), pull).unwrap();
    }

    fn is_high(&self, offset: usize) -> bool {
        let value = fs::read_to_string(self.lines.join(format!("sim_gpio{offset}/value")));
        value.unwrap().trim() == "1"
    }

    async fn becomes(&self, offset: usize, is_high: bool) {
        let waiting = async {
            while self.is_high(offset) != is_high {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("the line changes in time");
    }
}

impl Drop for Chip {
    fn drop(&mut self) {
        let _ = fs::write(self.device.join("live"), "0");
    }
}

/// Needs root and gpio-sim, which `scripts/vm.sh` has. Build the tests, and run them in it:
///
/// ```sh
/// cargo test --bin cic-kiosk --no-run
/// scripts/vm.sh run sh -c 'modprobe gpio-sim && "$0" --ignored panel::' target/debug/deps/cic_kiosk-…
/// ```
#[tokio::test]
#[ignore = "needs the kernel's module gpio-sim"]
async fn panel_works_on_a_chip_of_the_kernel_and_after_it_was_unplugged() {
    let mut chip = Chip::new("kiosk", &["LAMP", "BUTTON", "GREEN", "RED"]);
    let line =
        |name: &str, active_low| Some(Line { line: LineName::Name(name.to_owned()), active_low });
    // The button and the red light are wired active-low.
    let settings = config::Panel {
        chip: Some("kiosk".to_owned()),
        lamp: Some(Line { line: LineName::Offset(0), active_low: false }),
        button: line("BUTTON", true),
        light: line("GREEN", false),
        red: line("RED", true),
        ..config::Panel::default()
    };
    chip.pull(1, true);
    let (_, parts) = probe(&settings).unwrap().unwrap();
    assert!(parts.iter().all(|part| part.used_by.is_none()), "{parts:?}");
    assert_eq!(parts[0].line, "line 0 (LAMP)");

    let mut told = Told::new();
    let online = LinkState { connected_since: Some(Timestamp::now()), ..LinkState::default() };
    let (stop, link) = (CancellationToken::new(), watch::Sender::new(online));
    let start = || {
        let (settings, sources) = (settings.clone(), told.sources.clone());
        tokio::spawn(run(settings, sources, link.subscribe(), Identify::default(), stop.clone()))
    };
    let panel = start();

    // Ready: green, and nothing else.
    chip.becomes(2, true).await;
    assert!(!chip.is_high(0) && chip.is_high(3), "lamp and red are off");
    let (_, parts) = probe(&settings).unwrap().unwrap();
    assert!(parts.iter().all(|it| it.used_by.as_deref() == Some("cic-kiosk")), "{parts:?}");
    let taken = run(
        settings.clone(),
        told.sources.clone(),
        link.subscribe(),
        Identify::default(),
        stop.clone(),
    )
    .await;
    assert!(matches!(taken, Err(PanelError::Taken { .. })), "{taken:?}");

    let press = async |chip: &Chip, time| {
        chip.pull(1, false);
        sleep(Duration::from_millis(time)).await;
        chip.pull(1, true);
    };
    sleep(Duration::from_millis(500)).await;
    press(&chip, 300).await;
    assert_eq!(timeout(PATIENCE, told.orders.recv()).await.unwrap(), Some(Order::Start));
    told._scan.send_replace(standing(State::Ready, Some(None)).scan);
    press(&chip, 2500).await;
    assert_eq!(timeout(PATIENCE, told.orders.recv()).await.unwrap(), Some(Order::Done));
    told._scan.send_replace(None);

    told.state.send_replace(State::Busy);
    chip.becomes(0, true).await;
    chip.becomes(2, false).await;
    told.state.send_replace(State::Failing("no luck".to_owned()));
    chip.becomes(3, false).await;
    chip.becomes(3, true).await;
    chip.becomes(0, false).await;

    // Unplugged under its hands, and begun anew by whoever watches it.
    chip.plug(false);
    let ended = timeout(PATIENCE, panel).await.unwrap().unwrap();
    assert!(matches!(ended, Err(PanelError::Failed { .. })), "{ended:?}");
    let gone = timeout(PATIENCE, start()).await.unwrap().unwrap();
    assert!(matches!(gone, Err(PanelError::NoChip { .. })), "{gone:?}");
    chip.plug(true);
    chip.pull(1, true);
    told.state.send_replace(State::Ready);
    let panel = start();
    chip.becomes(2, true).await;

    stop.cancel();
    timeout(PATIENCE, panel).await.unwrap().unwrap().unwrap();
    let wrong = config::Panel { lamp: line("LAMB", false), ..settings };
    let error = probe(&wrong).unwrap_err().to_string();
    assert!(error.contains("LAMB") && error.contains("LAMP"), "{error}");
}
