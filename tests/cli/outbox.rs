//! `outbox`: from the outside, with a file that an earlier build has made.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value as Json, json};

use crate::kiosk::{Run, bare_kiosk, data, run};

/// What is in the file; see `make_the_file_of_this_version` in the outbox's own tests.
const DOCUMENT: &str = "01KJWNSTC00000000000000000";
const DEAD_DOCUMENT: &str = "01KJWNSTC10000000000000001";
const RESULT: &str = "01KJWNSTC20000000000000002";
const DEAD_RESULT: &str = "01KJWNSTC30000000000000003";

/// The key that it is sealed with.
const KEY: [u8; 32] = [1; 32];

/// A state folder with that file, and a folder of credentials.
struct State {
    folder: tempfile::TempDir,
}

impl State {
    fn new() -> Self {
        let state = Self { folder: tempfile::tempdir().expect("a folder") };
        fs::copy(data("outbox.sqlite"), state.path().join("outbox.sqlite")).expect("a file");
        state.set("outbox-key", &KEY);
        state
    }

    fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    fn set(&self, credential: &str, content: &[u8]) {
        fs::write(self.path().join(credential), content).expect("a file");
    }

    fn outbox(&self, arguments: &[&str]) -> Run {
        let mut command = bare_kiosk();
        command.arg("outbox").args(arguments).arg("--state").arg(self.path());
        run(command.env("CREDENTIALS_DIRECTORY", self.path()), b"")
    }

    fn json(&self, arguments: &[&str]) -> Json {
        let run = self.outbox(&[arguments, &["--json"]].concat());
        assert_eq!(run.code(), Some(0), "{}", run.stderr);
        run.json()
    }

    /// Scan, kind and state of all that is listed.
    fn listed(&self) -> Vec<[String; 3]> {
        let listed = self.json(&["list"]);
        let text = |entry: &Json, name: &str| entry[name].as_str().expect("text").to_owned();
        let entries = listed.as_array().expect("an array").iter();
        entries.map(|entry| ["scan_id", "kind", "state"].map(|name| text(entry, name))).collect()
    }
}

#[test]
fn list_has_what_waits_and_the_dead_letters_with_their_reasons() {
    let state = State::new();
    let expected = [
        [DOCUMENT, "document", "waiting"],
        [DEAD_DOCUMENT, "document", "dead"],
        [RESULT, "result", "waiting"],
        [DEAD_RESULT, "result", "dead"],
    ];
    assert_eq!(state.listed(), expected);
    let people = state.outbox(&["list"]).stdout;
    assert!(people.starts_with("scan ") && people.contains("the broker refuses it"), "{people}");
}

#[test]
fn show_has_what_is_known_of_a_scan() {
    let state = State::new();
    let shown = &state.json(&["show", DEAD_DOCUMENT])[0];
    assert_eq!((&shown["source"], &shown["attempts"]), (&json!("folder"), &json!(0)));
    assert_eq!(shown["reason"], "no page can be read");
    let people = state.outbox(&["show", RESULT]).stdout;
    assert!(people.contains("waiting") && !people.contains("{\"result\""), "{people}");
}

#[test]
fn payload_is_printed_as_it_is_to_who_has_the_key() {
    let state = State::new();
    assert_eq!(state.outbox(&["show", RESULT, "--payload"]).stdout, "{\"result\": 2}\n");
    assert_eq!(state.outbox(&["show", DOCUMENT, "--payload"]).stdout, "paper 0");
    state.set("outbox-key", &[2; 32]);
    let run = state.outbox(&["show", RESULT, "--payload"]);
    assert_eq!((run.code(), run.stdout.as_str()), (Some(1), ""));
    assert!(run.stderr.contains("outbox-key-old"), "{}", run.stderr);
}

#[test]
fn retried_dead_letters_wait_behind_all_others() {
    let state = State::new();
    assert_eq!(state.json(&["retry", DEAD_RESULT]), json!({"retried": 1}));
    assert_eq!(state.json(&["retry", "--all"]), json!({"retried": 1}));
    let expected = [
        [DOCUMENT, "document", "waiting"],
        [RESULT, "result", "waiting"],
        [DEAD_RESULT, "result", "waiting"],
        [DEAD_DOCUMENT, "document", "waiting"],
    ];
    assert_eq!(state.listed(), expected);
    let run = state.outbox(&["retry", DEAD_RESULT]);
    assert_eq!(run.code(), Some(1));
    assert!(run.stderr.contains("no dead letter"), "{}", run.stderr);
}

#[test]
fn purge_erases_dead_letters_only_and_only_when_it_is_meant() {
    let state = State::new();
    for arguments in [&["purge", "--all-dead"][..], &["purge", DEAD_RESULT]] {
        let run = state.outbox(arguments);
        assert_eq!(run.code(), Some(64));
        assert!(run.stderr.contains("--yes"), "{}", run.stderr);
    }
    assert_eq!(state.listed().len(), 4);
    assert_eq!(state.outbox(&["purge", RESULT, "--yes"]).code(), Some(1));
    assert_eq!(state.json(&["purge", DEAD_RESULT, "--yes"]), json!({"purged": 1}));
    assert_eq!(state.json(&["purge", "--all-dead", "--yes"]), json!({"purged": 1}));
    let left = [[DOCUMENT, "document", "waiting"], [RESULT, "result", "waiting"]];
    assert_eq!(state.listed(), left);
}

#[test]
fn resealed_outbox_opens_with_the_new_key_alone() {
    let state = State::new();
    let key = run(bare_kiosk().args(["outbox", "key"]), b"").stdout;
    assert_eq!(key.len(), 65, "64 digits and a line break");
    state.set("outbox-key", key.as_bytes());
    let run = state.outbox(&["reseal"]);
    assert_eq!(run.code(), Some(1));
    assert!(run.stdout.contains("4 are sealed with the key"), "{}", run.stdout);
    state.set("outbox-key-old", "01".repeat(32).as_bytes());
    let run = state.outbox(&["reseal"]);
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    assert!(run.stdout.contains("outbox-key-old may be removed"), "{}", run.stdout);
    fs::remove_file(state.path().join("outbox-key-old")).expect("a file");
    assert_eq!(state.outbox(&["show", RESULT, "--payload"]).stdout, "{\"result\": 2}\n");
}

#[test]
fn every_key_is_another() {
    let key = || run(bare_kiosk().args(["outbox", "key"]), b"").stdout;
    assert_ne!(key(), key());
}

#[test]
fn what_is_no_key_is_refused_with_how_one_is_made() {
    let state = State::new();
    state.set("outbox-key", b"secret");
    let run = state.outbox(&["reseal"]);
    assert_eq!(run.code(), Some(1));
    assert!(run.stderr.contains("cic-kiosk outbox key"), "{}", run.stderr);
    assert!(!run.stderr.contains("secret"), "{}", run.stderr);
}

#[test]
fn no_command_makes_an_outbox() {
    let folder = tempfile::tempdir().expect("a folder");
    for arguments in [&["list"][..], &["show", RESULT], &["retry", "--all"]] {
        let mut command = bare_kiosk();
        command.arg("outbox").args(arguments).arg("--state").arg(folder.path());
        let run = run(&mut command, b"");
        assert_eq!(run.code(), Some(1), "{arguments:?}");
        assert!(run.stderr.contains("there is no outbox"), "{}", run.stderr);
    }
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn command_line_that_is_wrong_is_told() {
    let state = State::new();
    for arguments in [&["show"][..], &["show", "../../x"], &["retry"], &["retry", "--all", RESULT]]
    {
        assert_eq!(state.outbox(arguments).code(), Some(64), "{arguments:?}");
    }
}
