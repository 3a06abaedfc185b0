//! Promises of settings from afar, with a real state folder and a kiosk that takes all over.

use std::cell::RefCell;

use tempfile::{TempDir, tempdir};

use super::*;

/// A kiosk, and what was taken over there.
struct Kiosk {
    folder: TempDir,
    here: Config,
    configuration: Configuration,
    applied: RefCell<Vec<Table>>,
    /// Keys that it can only take over when it is started.
    slow: Vec<String>,
    fails: bool,
}

impl Kiosk {
    fn new() -> Self {
        let here = Config::parse("[fleet]\nbrokers = [\"mqtt://other\"]").unwrap();
        let folder = tempdir().unwrap();
        let (configuration, _) = Configuration::open(folder.path(), &here, Anomalies::default());
        let (applied, slow, fails) = Default::default();
        Self { folder, here, configuration, applied, slow, fails }
    }

    /// As after a power cut; gives the configuration that it starts with.
    fn restart(&mut self) -> Config {
        let (configuration, config) =
            Configuration::open(self.folder.path(), &self.here, Anomalies::default());
        self.configuration = configuration;
        config
    }

    fn change(&mut self, change: impl FnOnce(&mut Configuration, &Config, Apply) -> bool) -> bool {
        let Self { here, configuration, applied, slow, fails, .. } = self;
        change(configuration, here, &|settings| {
            if *fails {
                return Err("no luck".to_owned());
            }
            applied.borrow_mut().push(settings.clone());
            Ok(slow.clone())
        })
    }

    fn take(&mut self, level: Level, message: &str) -> bool {
        self.change(|it, here, apply| it.take(level, Ok(message.as_bytes()), here, apply))
    }

    fn desire(&mut self, level: Level, version: u64, settings: &str) -> bool {
        self.take(level, &format!("{{\"version\":{version},\"settings\":{settings}}}"))
    }

    fn go_back(&mut self) -> Result<(), Refusal> {
        let mut back = Ok(());
        self.change(|it, here, apply| {
            back = it.go_back(here, apply);
            back.is_ok()
        });
        back
    }

    fn roll_back(&mut self) {
        self.change(|it, _, apply| {
            it.roll_back(apply);
            true
        });
    }

    fn report(&self, level: Level) -> LevelReport {
        let Reported { all, branch, kiosk, .. } = self.configuration.reported();
        match level {
            Level::All => all,
            Level::Branch => branch,
            Level::Kiosk => kiosk,
        }
    }

    fn code(&self, level: Level) -> Option<Code> {
        self.report(level).refused.map(|refusal| refusal.code)
    }

    fn in_force(&self) -> Table {
        self.applied.borrow().last().cloned().unwrap_or_default()
    }
}

const ASKS: &str = "{\"capture\":{\"asks\":7}}";
const OTHER: &str = "{\"mqtt\":{\"broker\":\"mqtt://other\"}}";

#[test]
fn settings_of_all_levels_are_in_force_at_once_and_after_a_restart() {
    let mut kiosk = Kiosk::new();
    kiosk.desire(Level::Kiosk, 1, ASKS);
    kiosk.desire(Level::All, 9, "{\"capture\":{\"asks\":1,\"idle_seconds\":5}}");
    let expected: Table = "[capture]\nasks = 7\nidle_seconds = 5".parse().unwrap();
    assert_eq!(kiosk.in_force(), expected);
    assert_eq!(kiosk.configuration.reported().status, Status::Applied);
    let config = kiosk.restart();
    assert_eq!((config.capture.asks, config.capture.idle_seconds.get()), (7, 5));
    let versions = Versions { all: Some(9), branch: None, kiosk: Some(1) };
    assert_eq!(kiosk.configuration.versions(), versions);
}

#[test]
fn what_comes_twice_late_or_out_of_order_changes_nothing_and_is_answered() {
    let mut kiosk = Kiosk::new();
    assert!(kiosk.desire(Level::Kiosk, 5, ASKS));
    assert!(!kiosk.desire(Level::Kiosk, 5, ASKS));
    kiosk.desire(Level::Kiosk, 4, "{}");
    assert_eq!(kiosk.code(Level::Kiosk), Some(Code::Outdated));
    kiosk.desire(Level::Kiosk, 5, "{}");
    assert_eq!(kiosk.code(Level::Kiosk), Some(Code::Conflict));
    assert_eq!(kiosk.configuration.reported().status, Status::Refused);
    assert_eq!(kiosk.applied.borrow().len(), 1);
    // What is in force comes once more: nothing else is wanted.
    assert!(kiosk.desire(Level::Kiosk, 5, ASKS));
    assert_eq!(kiosk.report(Level::Kiosk), LevelReport { version: Some(5), refused: None });
    assert!(kiosk.desire(Level::Kiosk, 6, "{}"));
    assert_eq!(kiosk.in_force(), Table::new());
}

#[test]
fn what_was_before_the_last_change_can_be_had_back_once_and_is_not_given_way_to_again() {
    let mut kiosk = Kiosk::new();
    assert!(kiosk.go_back().is_err());
    kiosk.desire(Level::Kiosk, 1, ASKS);
    kiosk.desire(Level::Branch, 4, "{\"capture\":{\"idle_seconds\":5}}");
    kiosk.desire(Level::Kiosk, 2, "{\"capture\":{\"asks\":9}}");
    kiosk.go_back().unwrap();
    assert_eq!(kiosk.in_force(), "[capture]\nasks = 7\nidle_seconds = 5".parse().unwrap());
    assert_eq!(kiosk.report(Level::Kiosk).version, Some(1));
    assert_eq!(kiosk.code(Level::Kiosk), Some(Code::RolledBack));
    // It is still desired, and comes again; after a restart, too.
    kiosk.desire(Level::Kiosk, 2, "{\"capture\":{\"asks\":9}}");
    assert_eq!(kiosk.restart().capture.asks, 7);
    kiosk.desire(Level::Kiosk, 2, "{\"capture\":{\"asks\":9}}");
    assert_eq!(kiosk.code(Level::Kiosk), Some(Code::RolledBack));
    assert!(kiosk.go_back().is_err(), "what was before that is not known");
    kiosk.desire(Level::Kiosk, 3, "{\"capture\":{\"asks\":8}}");
    assert_eq!(kiosk.report(Level::Kiosk), LevelReport { version: Some(3), refused: None });
}

#[test]
fn going_back_to_another_broker_is_a_trial() {
    let mut kiosk = Kiosk::new();
    kiosk.desire(Level::Kiosk, 1, OTHER);
    kiosk.configuration.reached();
    kiosk.configuration.started();
    kiosk.go_back().unwrap();
    assert!(kiosk.configuration.must_reach());
    assert!(kiosk.go_back().is_err());
}

#[test]
fn what_is_malformed_too_large_or_nothing_is_refused_or_ignored_and_changes_nothing() {
    let mut kiosk = Kiosk::new();
    assert!(!kiosk.take(Level::Branch, ""));
    assert!(kiosk.take(Level::Branch, "\u{0}\u{1}{"));
    assert_eq!(kiosk.code(Level::Branch), Some(Code::Malformed));
    kiosk.change(|it, here, apply| it.take(Level::All, Err(70_000), here, apply));
    assert_eq!(kiosk.code(Level::All), Some(Code::TooLarge));
    assert!(kiosk.applied.borrow().is_empty());
    assert_eq!(kiosk.configuration.anomalies.all()["configurations_refused"], 2);
}

#[test]
fn one_wrong_key_refuses_all_and_is_named() {
    let mut kiosk = Kiosk::new();
    let settings = "{\"capture\":{\"asks\":7},\"cloud\":{\"hosts\":[\"evil.example\"]}}";
    kiosk.desire(Level::Kiosk, 1, settings);
    let refusal = kiosk.report(Level::Kiosk).refused.unwrap();
    assert_eq!((refusal.code, refusal.version), (Code::Keys, Some(1)));
    assert_eq!(refusal.keys.keys().collect::<Vec<_>>(), ["cloud.hosts"]);
    assert!(kiosk.applied.borrow().is_empty());
    // It was never in force, so the same version may come again, corrected.
    kiosk.desire(Level::Kiosk, 1, ASKS);
    assert_eq!(kiosk.report(Level::Kiosk), LevelReport { version: Some(1), refused: None });
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let mut kiosk = Kiosk::new();
    kiosk.desire(Level::All, 1, "{\"mqtt\":{\"retry_max_seconds\":5}}");
    kiosk.desire(Level::Kiosk, 1, "{\"mqtt\":{\"retry_min_seconds\":6}}");
    let refusal = kiosk.report(Level::Kiosk).refused.unwrap();
    assert_eq!(refusal.code, Code::Contradiction);
    assert!(refusal.reason.contains("mqtt.retry_max_seconds"), "{refusal:?}");
}

#[test]
fn settings_without_the_broker_are_taken_back_and_not_tried_again() {
    let mut kiosk = Kiosk::new();
    kiosk.desire(Level::Kiosk, 1, ASKS);
    kiosk.desire(Level::Kiosk, 2, OTHER);
    assert_eq!(kiosk.configuration.reported().status, Status::Trial);
    assert!(kiosk.configuration.must_reach());
    kiosk.roll_back();
    assert!(!kiosk.configuration.must_reach());
    assert_eq!(kiosk.in_force(), "[capture]\nasks = 7".parse().unwrap());
    let report = kiosk.report(Level::Kiosk);
    assert_eq!(
        (report.version, report.refused.map(|it| it.code)),
        (Some(1), Some(Code::Unreachable))
    );
    // It is still retained at the broker.
    let tries = kiosk.applied.borrow().len();
    for _ in 0..2 {
        kiosk.desire(Level::Kiosk, 2, OTHER);
        assert_eq!(kiosk.code(Level::Kiosk), Some(Code::Unreachable));
        kiosk.restart();
    }
    assert_eq!(kiosk.applied.borrow().len(), tries);
    kiosk.desire(Level::Kiosk, 3, OTHER);
    assert!(kiosk.configuration.must_reach());
    kiosk.configuration.reached();
    assert_eq!(kiosk.configuration.reported().status, Status::Applied);
    assert_eq!(kiosk.restart().mqtt.broker.to_string(), "mqtt://other:1883");
    assert!(!kiosk.configuration.must_reach());
}

#[test]
fn power_cut_during_a_trial_goes_on_with_it() {
    let mut kiosk = Kiosk::new();
    kiosk.desire(Level::Kiosk, 1, OTHER);
    assert_eq!(kiosk.restart().mqtt.broker.to_string(), "mqtt://other:1883");
    assert!(kiosk.configuration.must_reach());
    kiosk.configuration.started();
    assert!(kiosk.configuration.must_reach());
    kiosk.roll_back();
    assert_eq!(kiosk.restart().mqtt, kiosk.here.mqtt);
}

#[test]
fn settings_that_the_program_does_not_start_with_are_taken_back_after_three_starts() {
    let mut kiosk = Kiosk::new();
    kiosk.slow = vec!["reading.threads".to_owned()];
    kiosk.desire(Level::Kiosk, 1, "{\"reading\":{\"threads\":3}}");
    assert_eq!(kiosk.configuration.reported().needs_restart, kiosk.slow);
    for _ in 0..MOST_STARTS {
        assert!(kiosk.restart().reading.threads.is_some());
    }
    assert_eq!(kiosk.restart().reading.threads, None);
    assert_eq!(kiosk.code(Level::Kiosk), Some(Code::NotStarted));
    kiosk.desire(Level::Kiosk, 1, "{\"reading\":{\"threads\":3}}");
    assert_eq!(kiosk.code(Level::Kiosk), Some(Code::NotStarted));
    assert_eq!(kiosk.restart().reading.threads, None);
}

#[test]
fn settings_that_the_program_was_started_with_stay() {
    let mut kiosk = Kiosk::new();
    kiosk.slow = vec!["reading.threads".to_owned()];
    kiosk.desire(Level::Kiosk, 1, "{\"reading\":{\"threads\":3}}");
    kiosk.restart();
    kiosk.configuration.started();
    for _ in 0..2 * MOST_STARTS {
        assert!(kiosk.restart().reading.threads.is_some());
    }
}

#[test]
fn what_cannot_be_taken_over_or_kept_is_refused_and_forgotten() {
    let mut kiosk = Kiosk::new();
    kiosk.fails = true;
    kiosk.desire(Level::Kiosk, 1, ASKS);
    assert_eq!(kiosk.code(Level::Kiosk), Some(Code::NotApplied));
    assert_eq!(kiosk.restart(), kiosk.here);
    kiosk.fails = false;
    // Where its file should be, there is a folder.
    let place = kiosk.folder.path().join("desired.json.new");
    std::fs::create_dir(&place).unwrap();
    kiosk.desire(Level::Kiosk, 1, ASKS);
    assert_eq!(kiosk.code(Level::Kiosk), Some(Code::NotStored));
    assert!(kiosk.applied.borrow().is_empty());
    std::fs::remove_dir(place).unwrap();
    kiosk.desire(Level::Kiosk, 1, ASKS);
    assert_eq!(kiosk.code(Level::Kiosk), None);
}

#[test]
fn what_the_kiosk_forbids_later_is_not_in_force_any_more() {
    let mut kiosk = Kiosk::new();
    kiosk.desire(Level::Kiosk, 1, OTHER);
    kiosk.desire(Level::All, 1, ASKS);
    kiosk.configuration.reached();
    kiosk.here.fleet.brokers.clear();
    let config = kiosk.restart();
    assert_eq!((config.mqtt, config.capture.asks), (kiosk.here.mqtt.clone(), 7));
    assert_eq!(kiosk.code(Level::Kiosk), Some(Code::Keys));
    kiosk.here.fleet.configuration = false;
    kiosk.change(|it, here, apply| {
        it.fit_again(here, apply);
        true
    });
    assert_eq!(kiosk.in_force(), Table::new());
    assert_eq!(kiosk.code(Level::All), Some(Code::Disabled));
    kiosk.desire(Level::All, 2, ASKS);
    assert_eq!(kiosk.report(Level::All).version, None);
}
