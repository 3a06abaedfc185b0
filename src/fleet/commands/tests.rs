//! Commands from their message to their end, and over ends of the program.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;
use tempfile::{TempDir, tempdir};

use super::*;

const NOW: &str = "2026-03-02T08:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn topics() -> Topics {
    Topics::new("HN-01".parse().unwrap(), "k1".parse().unwrap())
}

fn senders() -> Senders {
    let kinds = |kinds: &[Kind]| BTreeSet::from_iter(kinds.iter().copied());
    let all = ("desk".parse().unwrap(), kinds(&Kind::ALL));
    Senders::from([all, ("guest".parse().unwrap(), kinds(&[Kind::Identify]))])
}

fn id(number: u64) -> Ulid {
    Ulid::from_parts(now().as_millisecond() as u64 + number, u128::from(number))
}

struct Kiosk {
    folder: TempDir,
    commands: Commands,
    boot_id: &'static str,
    anomalies: Anomalies,
}

fn open(state: &Path, boot_id: &str, anomalies: &Anomalies) -> Commands {
    let kept = Kept::load(state);
    let boot_id = Some(boot_id.to_owned());
    Commands::open(state, kept, topics(), boot_id, None, anomalies.clone())
}

impl Kiosk {
    fn new() -> Self {
        let (folder, anomalies) = (tempdir().unwrap(), Anomalies::default());
        let commands = open(folder.path(), "1", &anomalies);
        Self { folder, commands, boot_id: "1", anomalies }
    }

    /// Without any end in order.
    fn restart(&mut self) -> Vec<Json> {
        self.commands = open(self.folder.path(), self.boot_id, &self.anomalies);
        self.said()
    }

    fn said(&mut self) -> Vec<Json> {
        let said = self.commands.said().into_iter();
        said.map(|(_, payload)| serde_json::from_slice(&payload).unwrap()).collect()
    }

    fn arrive(&mut self, topic: &str, payload: Result<Vec<u8>, usize>) -> Vec<Json> {
        let letter = Letter { topic: topic.to_owned(), payload };
        self.commands.take(&letter, &senders(), now());
        self.said()
    }

    fn send(&mut self, sender: &str, number: u64, message: &str) -> Vec<Json> {
        let topic = topics().command(&sender.parse().unwrap(), id(number));
        self.arrive(&topic, Ok(message.as_bytes().to_vec()))
    }

    fn give(&mut self, sender: &str, number: u64, kind: &str, parameters: Json) -> Vec<Json> {
        self.send(sender, number, &command(kind, parameters))
    }

    fn begin(&mut self) -> Option<Begun> {
        self.commands.begin(&senders(), now())
    }

    /// What becomes of a command that is begun at once.
    fn begun(&mut self, number: u64, kind: &str) -> Begun {
        assert_eq!(self.give("desk", number, kind, json!({})), Vec::<Json>::new());
        let begun = self.begin().unwrap();
        assert_eq!(statuses(&self.said()), ["executing"]);
        begun
    }
}

fn command(kind: &str, parameters: Json) -> String {
    json!({"status": "init", "kind": kind, "at": NOW, "expires": "2026-03-02T09:00:00Z",
           "parameters": parameters})
    .to_string()
}

fn statuses(said: &[Json]) -> Vec<&str> {
    said.iter().map(|it| it["status"].as_str().unwrap()).collect()
}

fn codes(said: &[Json]) -> Vec<&str> {
    said.iter().map(|it| it["code"].as_str().unwrap_or("none")).collect()
}

#[test]
fn command_is_begun_once_and_its_state_is_said_again_as_often_as_it_comes() {
    let mut kiosk = Kiosk::new();
    let begun = kiosk.begun(1, "reload");
    assert_eq!(begun.task, Task::Reload);
    assert_eq!(statuses(&kiosk.give("desk", 1, "reload", json!({}))), ["executing"]);
    kiosk.commands.finish(&begun.address, Ok(json!({"needs_restart": []})));
    let said = kiosk.said();
    assert_eq!(statuses(&said), ["successful"]);
    assert_eq!(kiosk.give("desk", 1, "reload", json!({})), said);
    // Under the same id, even what is something else.
    assert_eq!(kiosk.give("desk", 1, "wipe", json!({"kiosk": "k1"})), said);
    assert_eq!(kiosk.restart(), Vec::<Json>::new());
    assert_eq!(kiosk.give("desk", 1, "reload", json!({})), said);
    assert_eq!(kiosk.begin(), None);
}

#[test]
fn what_was_interrupted_has_failed_and_is_not_begun_again() {
    let mut kiosk = Kiosk::new();
    kiosk.begun(1, "reload");
    let said = kiosk.restart();
    assert_eq!((statuses(&said), codes(&said)), (vec!["failed"], vec!["interrupted"]));
    assert_eq!(kiosk.give("desk", 1, "reload", json!({})), said);
    assert_eq!(kiosk.begin(), None);
}

#[test]
fn restart_is_done_when_the_program_comes_back_and_reboot_when_the_machine_does() {
    let mut kiosk = Kiosk::new();
    kiosk.begun(1, "restart");
    assert_eq!(statuses(&kiosk.restart()), ["successful"]);
    kiosk.begun(2, "reboot");
    assert_eq!(codes(&kiosk.restart()), ["interrupted"]);
    kiosk.begun(3, "reboot");
    kiosk.boot_id = "2";
    assert_eq!(statuses(&kiosk.restart()), ["successful"]);
}

#[test]
fn wipe_that_was_begun_must_be_done_before_anything_else_until_it_is_answered() {
    let mut kiosk = Kiosk::new();
    kiosk.give("desk", 1, "wipe", json!({"kiosk": "k1"}));
    assert_eq!(kiosk.begin().unwrap().task, Task::Wipe);
    let state = kiosk.folder.path();
    let kept = Kept::load(state);
    assert!(kept.must_wipe());
    let wiped = Some(Ok(json!({"files": 3})));
    let mut commands = Commands::open(state, kept, topics(), None, wiped, Anomalies::default());
    let said = commands.said();
    assert!(String::from_utf8_lossy(&said[0].1).contains("\"files\":3"), "{said:?}");
    assert!(!Kept::load(state).must_wipe());
}

#[test]
fn worker_that_fails_in_the_middle_has_its_command_fail() {
    let mut kiosk = Kiosk::new();
    kiosk.begun(1, "reload");
    kiosk.commands.nothing_is_under_way();
    assert_eq!(codes(&kiosk.said()), ["interrupted"]);
    kiosk.commands.nothing_is_under_way();
    assert_eq!(kiosk.said(), Vec::<Json>::new());
}

#[test]
fn nobody_may_order_what_the_kiosk_does_not_let_him() {
    let mut kiosk = Kiosk::new();
    assert_eq!(codes(&kiosk.give("stranger", 1, "identify", json!({}))), ["not_allowed"]);
    assert_eq!(codes(&kiosk.give("guest", 2, "wipe", json!({"kiosk": "k1"}))), ["not_allowed"]);
    assert_eq!(codes(&kiosk.give("stranger", 3, "nonsense", json!({}))), ["not_allowed"]);
    assert_eq!(codes(&kiosk.give("guest", 4, "nonsense", json!({}))), ["unknown_kind"]);
    assert_eq!(
        codes(&kiosk.arrive("cic/v1/HN-01/k1/command/a b/1", Ok(b"{}".to_vec()))),
        ["not_allowed"]
    );
    assert_eq!(kiosk.give("guest", 5, "identify", json!({})), Vec::<Json>::new());
    assert_eq!(kiosk.begin().unwrap().task, Task::Identify(30));
    assert_eq!(kiosk.begin(), None);
    let counted = kiosk.anomalies.all();
    assert_eq!((counted["commands_not_allowed"], counted["commands_refused"]), (4, 1));
}

#[test]
fn right_that_is_taken_away_while_a_command_waits_is_away() {
    let mut kiosk = Kiosk::new();
    kiosk.give("guest", 1, "identify", json!({}));
    assert_eq!(kiosk.commands.begin(&Senders::new(), now()), None);
    assert_eq!(codes(&kiosk.said()), ["not_allowed"]);
}

#[test]
fn what_is_too_late_or_cannot_be_told_to_be_in_time_is_not_begun() {
    let mut kiosk = Kiosk::new();
    let topic = topics().command(&"desk".parse().unwrap(), id(1));
    let message = command("reload", json!({})).into_bytes();
    let letter = Letter { topic, payload: Ok(message) };
    for (clock, expected) in [
        ("2026-03-02T09:00:00Z", "expired"),
        ("2030-01-01T00:00:00Z", "expired"),
        ("1970-01-01T00:00:09Z", "clock"),
        ("2026-03-02T07:54:00Z", "clock"),
    ] {
        kiosk.commands.take(&letter, &senders(), clock.parse().unwrap());
        let said = kiosk.said();
        assert_eq!(codes(&said), [expected], "{clock}: {said:?}");
    }
    assert_eq!(kiosk.begin(), None);
    // While it waits, its time may come to an end.
    kiosk.commands.take(&letter, &senders(), now());
    assert_eq!(kiosk.commands.begin(&senders(), "2026-03-02T09:00:01Z".parse().unwrap()), None);
    assert_eq!(codes(&kiosk.said()), ["expired"]);
}

#[test]
fn commands_wait_in_the_order_of_their_ids_and_one_that_is_taken_back_is_not_begun() {
    let mut kiosk = Kiosk::new();
    for number in [3, 1, 2] {
        kiosk.give("desk", number, "reload", json!({}));
    }
    kiosk.send("desk", 2, "");
    let order: Vec<_> = std::iter::from_fn(|| kiosk.begin()).map(|it| it.address.id).collect();
    assert_eq!(order, [id(1), id(3)]);
}

#[test]
fn command_that_its_sender_changes_before_it_is_begun_is_the_new_one() {
    let mut kiosk = Kiosk::new();
    kiosk.give("desk", 1, "reboot", json!({}));
    kiosk.give("desk", 1, "reload", json!({}));
    assert_eq!(kiosk.begin().unwrap().task, Task::Reload);
    assert_eq!(kiosk.begin(), None);
}

#[test]
fn one_sender_cannot_take_the_place_of_others_nor_all_memory() {
    let mut kiosk = Kiosk::new();
    let mut busy = 0;
    for number in 0..40 {
        busy += kiosk.give("guest", number, "identify", json!({})).len();
    }
    assert_eq!(busy, 40 - MOST_WAITING);
    assert_eq!(kiosk.give("desk", 90, "reload", json!({})), Vec::<Json>::new());
    for number in 100..300 {
        while let Some(begun) = kiosk.begin() {
            kiosk.commands.finish(&begun.address, Ok(json!({})));
        }
        kiosk.give("guest", number, "identify", json!({}));
    }
    assert_eq!(kiosk.commands.kept.commands.len(), MOST_KNOWN + 1);
    // When their time is over, there is room again.
    let later: Timestamp = "2026-03-02T09:00:01Z".parse().unwrap();
    let message = command("identify", json!({})).replace("09:00", "10:00");
    let topic = topics().command(&"guest".parse().unwrap(), id(900));
    let letter = Letter { topic, payload: Ok(message.into_bytes()) };
    kiosk.said();
    kiosk.commands.take(&letter, &senders(), later);
    assert!(kiosk.commands.begin(&senders(), later).is_some());
    assert!(kiosk.commands.kept.commands.len() < MOST_KNOWN);
}

#[test]
fn command_that_cannot_be_kept_is_not_begun() {
    let mut kiosk = Kiosk::new();
    kiosk.give("desk", 1, "reload", json!({}));
    kiosk.commands.file = KeptFile::new(Path::new("/nowhere"), FILE);
    assert_eq!(kiosk.begin(), None);
    assert_eq!(codes(&kiosk.said()), ["not_stored"]);
    kiosk.commands.file = KeptFile::new(kiosk.folder.path(), FILE);
    kiosk.give("desk", 1, "reload", json!({}));
    assert!(kiosk.begin().is_some());
}

#[test]
fn what_comes_back_of_what_was_said_is_no_news_and_what_differs_from_it_is() {
    let mut kiosk = Kiosk::new();
    let begun = kiosk.begun(1, "reload");
    let topic = topics().command(&begun.address.sender, begun.address.id);
    let told = kiosk.commands.told();
    let executing = told.0.lock().unwrap()[&topic].clone();
    kiosk.commands.finish(&begun.address, Ok(json!({})));
    let [(_, done)] = kiosk.commands.said().try_into().unwrap();
    let news = |message: &[u8], kept| told.is_news(&topic, Ok(message), kept);
    assert!(!news(&done, false) && !news(&done, true));
    // A late echo is no news; what the broker keeps must be put right.
    assert!(!news(&executing, false) && news(&executing, true));
    assert!(news(command("reload", json!({})).as_bytes(), true));
    assert!(!told.is_news("other", Ok(&executing), true), "nobody knows what that was");
    assert!(told.is_news("other", Err(70_000), false));
    assert_eq!(statuses(&kiosk.arrive(&topic, Ok(executing))), ["successful"]);
}

#[test]
fn cloud_that_is_off_stays_off_over_restarts_and_when_it_is_not_known() {
    let mut kiosk = Kiosk::new();
    kiosk.commands.turn_cloud(false).unwrap();
    kiosk.restart();
    assert!(kiosk.commands.is_cloud_off());
    kiosk.commands.turn_cloud(true).unwrap();
    kiosk.restart();
    assert!(!kiosk.commands.is_cloud_off());
    std::fs::write(kiosk.folder.path().join(FILE), "{\"commands\":").unwrap();
    kiosk.restart();
    assert!(kiosk.commands.is_cloud_off());
}

#[test]
fn no_message_whatever_it_is_does_harm_or_goes_without_an_answer() {
    let mut kiosk = Kiosk::new();
    let good = command("identify", json!({"seconds": 3})).into_bytes();
    // A small generator of its own: the same messages each time.
    let mut dice = 20_260_302_u64;
    let mut roll = |most: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (dice >> 33) as usize % most
    };
    let (mut answered, mut taken, mut ignored) = (0, 0, 0);
    for number in 0..5000 {
        let mut torn = good.clone();
        for _ in 0..=roll(5) {
            let place = roll(torn.len());
            match roll(4) {
                0 => torn.truncate(place),
                1 => torn.insert(place, roll(256) as u8),
                2 => _ = torn.remove(place),
                _ => torn[place] = roll(256) as u8,
            }
            if torn.is_empty() {
                break;
            }
        }
        let topic = topics().command(&"desk".parse().unwrap(), id(number));
        let said = kiosk.arrive(&topic, Ok(torn.clone()));
        let waits = kiosk.begin();
        match (said.len(), &waits) {
            (1, None) => answered += 1,
            (0, Some(begun)) => {
                assert!(matches!(begun.task, Task::Identify(_)), "{begun:?}");
                kiosk.commands.finish(&begun.address, Ok(json!({})));
                taken += 1;
            }
            // Cleared, or it looks like what a kiosk says.
            (0, None) => ignored += 1,
            other => panic!("{other:?}: {}", String::from_utf8_lossy(&torn)),
        }
        kiosk.said();
    }
    assert!(answered > 4000 && taken > 0 && ignored < 300, "{answered} {taken} {ignored}");
    for payload in [Err(70_000), Ok(vec![0xff; 64 << 10]), Ok(vec![b'['; 64 << 10])] {
        let topic = topics().command(&"desk".parse().unwrap(), id(9999));
        assert!(["too_large", "malformed"].contains(&codes(&kiosk.arrive(&topic, payload))[0]));
    }
    for topic in ["desk/1", "desk/", "desk/01arz3ndektsv4rrffq69g5fav", "desk/x\u{0}y"] {
        let topic = format!("cic/v1/HN-01/k1/command/{topic}");
        assert_eq!(codes(&kiosk.arrive(&topic, Ok(good.clone()))), ["malformed"]);
    }
    assert_eq!(kiosk.arrive("cic/v1/HN-01/k2/command/desk/1", Ok(good)), Vec::<Json>::new());
}
