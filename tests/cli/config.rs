//! `config`: where settings come from, and what is said of mistakes.

use std::fs;
use std::path::Path;

use crate::kiosk::{Run, bare_kiosk, run};

fn config(folder: &Path, action: &str, variables: &[(&str, &str)]) -> Run {
    let mut command = bare_kiosk();
    command.args(["config", action, "--config"]).arg(folder.join("config.toml"));
    run(command.envs(variables.iter().copied()), b"")
}

#[test]
fn files_beside_it_and_variables_go_over_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let beside = folder.path().join("config.d");
    fs::create_dir(&beside).expect("a folder");
    fs::write(
        folder.path().join("config.toml"),
        "[http]\nqueue = 1\ndrain_seconds = 1\n[url]\nmax_seconds = 1",
    )
    .expect("a file");
    fs::write(beside.join("20.toml"), "[http]\nqueue = 3").expect("a file");
    fs::write(beside.join("10.toml"), "[http]\nqueue = 2\ndrain_seconds = 2").expect("a file");
    fs::write(beside.join("30.toml.bak"), "no configuration").expect("a file");
    let run = config(folder.path(), "show", &[("CIC_KIOSK__URL__MAX_SECONDS", "4")]);
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    let place = |line: &str| {
        let line = run.stdout.lines().find(|shown| shown.starts_with(line)).unwrap_or_default();
        line.rsplit("# ").next().unwrap_or_default().to_owned()
    };
    assert!(place("queue = 3 ").ends_with("config.d/20.toml"), "{}", run.stdout);
    assert!(place("drain_seconds = 2 ").ends_with("config.d/10.toml"));
    assert_eq!(place("max_seconds = 4 "), "CIC_KIOSK__URL__MAX_SECONDS");
    assert_eq!(place("max_pages = 40 "), "default");
}

#[test]
fn a_mistake_is_told_with_its_file_line_and_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.toml");
    fs::write(&file, "[limits]\nmax_pages = 3\n\n[http]\nqeue = 4\n").expect("a file");
    let run = config(folder.path(), "check", &[]);
    assert_eq!(run.code(), Some(1));
    for words in [file.to_str().expect("UTF-8"), "line 5", "qeue", "`queue`"] {
        assert!(run.stderr.contains(words), "{words}: {}", run.stderr);
    }
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = config(folder.path(), "check", &[]);
    assert_eq!(run.code(), Some(1));
    assert!(run.stderr.contains("config.toml") && run.stderr.contains("No such file"));
}

#[test]
fn the_schema_describes_every_key_of_the_example() {
    let printed = |action| {
        let run = run(bare_kiosk().args(["config", action]), b"");
        assert_eq!(run.code(), Some(0), "{}", run.stderr);
        run.stdout
    };
    let schema: serde_json::Value = serde_json::from_str(&printed("schema")).expect("JSON");
    let example: toml::Table = printed("example").parse().expect("TOML");
    for (section, keys) in &example {
        let reference = schema["properties"][section]["$ref"].as_str().expect("a section");
        let properties = &schema.pointer(&reference[1..]).expect("its type")["properties"];
        for key in keys.as_table().expect("a section").keys() {
            assert!(properties[key]["description"].is_string(), "{section}.{key}");
        }
    }
}
