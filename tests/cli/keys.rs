//! `keys`: from the outside, with the store on a disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::kiosk::{Run, bare_kiosk, run};

/// A state folder that is not there yet.
struct State {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl State {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state");
        Self { _folder: folder, path }
    }

    fn keys(&self, arguments: &[&str]) -> Run {
        run(bare_kiosk().arg("keys").args(arguments).arg("--state").arg(&self.path), b"")
    }

    fn json(&self, arguments: &[&str]) -> Json {
        let run = self.keys(&[arguments, &["--json"]].concat());
        assert_eq!(run.code(), Some(0), "{}", run.stderr);
        run.json()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

fn is_hex(json: &Json, digits: usize) -> bool {
    json.as_str().is_some_and(|text| {
        text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[test]
fn added_key_is_printed_as_one_object_of_key_and_secret() {
    let state = State::new();
    let run = state.keys(&["add", "branch 1", "--quota", "50", "--json"]);
    assert_eq!((run.code(), run.stderr.as_str()), (Some(0), ""));
    let json = run.json();
    assert!(is_hex(&json["api_key"], 32) && is_hex(&json["api_secret"], 64), "{json}");
    let shape =
        format!("{{\"api_key\": {}, \"api_secret\": {}}}\n", json["api_key"], json["api_secret"]);
    assert_eq!(run.stdout, shape);
    assert_eq!(mode(&state.path), 0o700);
    assert_eq!(mode(&state.path.join("keys.sqlite")), 0o600);
}

#[test]
fn people_are_told_that_the_secret_is_shown_once() {
    let state = State::new();
    let run = state.keys(&["add", "branch"]);
    assert!(run.stdout.contains("api_secret  ") && run.stdout.contains("only this once"));
    let listed = state.keys(&["list"]).stdout;
    let secret = run.stdout.lines().find_map(|line| line.strip_prefix("api_secret  "));
    assert!(listed.contains("branch") && !listed.contains(secret.expect("it is printed")));
}

#[test]
fn list_has_what_there_is_to_know_of_each_key() {
    let state = State::new();
    let added = state.json(&["add", "one", "--quota", "3"]);
    state.json(&["add", "another"]);
    assert_eq!(state.json(&["revoke", "another"]), json!({"name": "another", "revoked": true}));
    let listed = state.json(&["list"]);
    let [one, another] = &listed.as_array().expect("an array")[..] else { panic!("{listed}") };
    let members: Vec<&String> = one.as_object().expect("an object").keys().collect();
    let expected = ["name", "api_key", "quota", "used_today", "created", "last_used", "revoked"];
    assert_eq!(members, expected);
    assert_eq!(
        (&one["name"], &one["quota"], &one["used_today"]),
        (&json!("one"), &json!(3), &json!(0))
    );
    assert_eq!((&one["api_key"], &one["revoked"]), (&added["api_key"], &Json::Null));
    assert!(another["revoked"].is_string() && another["quota"].is_null(), "{another}");
}

#[test]
fn rotated_key_keeps_its_public_half() {
    let state = State::new();
    let old = state.json(&["add", "branch"]);
    let new = state.json(&["rotate", "branch", "--overlap", "24"]);
    assert_eq!(new["api_key"], old["api_key"]);
    assert!(is_hex(&new["api_secret"], 64) && new["api_secret"] != old["api_secret"]);
    let people = state.keys(&["rotate", "branch"]);
    assert!(people.stdout.contains("old secret does not work any more"), "{}", people.stdout);
}

#[test]
fn audit_of_a_store_without_uses_is_empty() {
    let state = State::new();
    state.json(&["add", "branch"]);
    let run = state.keys(&["audit", "--json", "--day", "2026-03-04", "--key", "branch"]);
    assert_eq!((run.code(), run.stdout.as_str()), (Some(0), ""));
    assert!(state.keys(&["audit"]).stdout.starts_with("at  key  scan  client  way"));
}

#[test]
fn name_that_is_taken_is_refused_also_when_its_key_is_revoked() {
    let state = State::new();
    state.json(&["add", "branch"]);
    let run = state.keys(&["add", "branch", "--json"]);
    assert_eq!((run.code(), run.stdout.as_str()), (Some(1), ""));
    assert!(run.stderr.contains("`keys rotate` gives it a new secret"), "{}", run.stderr);
    state.json(&["revoke", "branch"]);
    let run = state.keys(&["add", "branch"]);
    assert_eq!(run.code(), Some(1));
    assert!(run.stderr.contains("choose another name"), "{}", run.stderr);
}

#[test]
fn unknown_name_is_an_error_that_names_it() {
    let state = State::new();
    state.json(&["add", "branch"]);
    for arguments in
        [&["revoke", "nobody"][..], &["rotate", "nobody"], &["audit", "--key", "nobody"]]
    {
        let run = state.keys(arguments);
        assert_eq!((run.code(), run.stdout.as_str()), (Some(1), ""), "{arguments:?}");
        assert!(run.stderr.contains("no key \"nobody\""), "{}", run.stderr);
    }
}

#[test]
fn only_add_makes_a_store() {
    let state = State::new();
    for arguments in [&["list"][..], &["revoke", "a"], &["rotate", "a"], &["audit"]] {
        let run = state.keys(arguments);
        assert_eq!(run.code(), Some(1), "{arguments:?}");
        assert!(run.stderr.contains("there is no key store"), "{}", run.stderr);
        assert!(!state.path.exists());
    }
}

#[test]
fn store_that_is_damaged_is_called_so() {
    let state = State::new();
    fs::create_dir(&state.path).expect("a folder");
    fs::write(state.path.join("keys.sqlite"), "no database at all".repeat(100)).expect("a file");
    let run = state.keys(&["add", "branch"]);
    assert_eq!(run.code(), Some(1));
    assert!(run.stderr.contains("is damaged") && run.stderr.contains("backup"), "{}", run.stderr);
}

#[test]
fn command_line_that_is_wrong_makes_nothing() {
    let state = State::new();
    let wrong: [&[&str]; 7] = [
        &["add", "branch", "--quota", "0"],
        &["add", "branch", "--quota", "many"],
        &["add", ""],
        &["add", "a\nb"],
        &["rotate", "branch", "--overlap", "-1"],
        &["audit", "--day", "yesterday"],
        &["add"],
    ];
    for arguments in wrong {
        assert_eq!(state.keys(arguments).code(), Some(64), "{arguments:?}");
    }
    assert_eq!(run(bare_kiosk().args(["keys", "list"]), b"").code(), Some(64));
    assert!(!state.path.exists());
}

#[test]
fn secret_that_cannot_be_printed_is_an_error() {
    let state = State::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let output = bare_kiosk()
        .args(["keys", "add", "branch", "--json", "--state"])
        .arg(&state.path)
        .stdout(full)
        .output()
        .expect("the program is built");
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(errors.contains("is lost") && errors.contains("keys rotate"), "{errors}");
}
