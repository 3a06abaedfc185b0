//! `doctor`: a kiosk that is well, and one fault after the other.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;

use serde_json::Value as Json;

use crate::demo::{Peer, mosquitto};
use crate::kiosk::{Run, bare_kiosk, data, onnxruntime, repository, run};

/// Nobody listens on a port that was given up long ago (tcpmux).
const NOBODY: &str = "mqtt://127.0.0.1:1";

/// All checks, in their order: programs go by these names.
const CHECKS: [&str; 31] = [
    "configuration",
    "kiosk",
    "state",
    "disk",
    "clock",
    "descriptors",
    "memory",
    "outbox-key",
    "mqtt-password",
    "mqtt-key",
    "cloud-key",
    "cloud-secret",
    "outbox",
    "models",
    "onnxruntime",
    "reading",
    "broker-network",
    "broker-tls",
    "mqtt-certificate",
    "broker-mqtt",
    "cloud",
    "http",
    "http-certificate",
    "submit",
    "screen",
    "screen-admins",
    "folder",
    "camera",
    "escl",
    "sane",
    "panel",
];

/// A kiosk with all that it needs, but for a broker where none is asked for.
struct Kiosk {
    folder: tempfile::TempDir,
    broker: String,
    more: String,
    listen: String,
    models: PathBuf,
    _mosquitto: Option<(mpsc::Receiver<String>, Peer)>,
}

impl Kiosk {
    fn with_broker() -> Self {
        let mut kiosk = Self::new();
        let (port, log, broker) = mosquitto(kiosk.folder.path());
        kiosk.broker = format!("mqtt://127.0.0.1:{port}");
        kiosk._mosquitto = Some((log, broker));
        kiosk
    }

    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, mode) in [("state", 0o700), ("credentials", 0o700), ("in", 0o770)] {
            let path = folder.path().join(name);
            fs::create_dir(&path).expect("a folder");
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
        }
        let kiosk = Self {
            folder,
            broker: NOBODY.to_owned(),
            more: String::new(),
            listen: "127.0.0.1:0".to_owned(),
            models: repository().join("models"),
            _mosquitto: None,
        };
        kiosk.set_credential("outbox-key", &"01".repeat(32));
        kiosk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn set_credential(&self, name: &str, content: &str) {
        let path = self.path("credentials").join(name);
        fs::write(&path, content).expect("a file");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it is ours");
    }

    fn command(&self) -> Command {
        let text = format!(
            "[kiosk]\nbranch = \"hn-01\"\nid = \"kiosk-1\"\nstate = {:?}\ncredentials = {:?}\n\
             socket = {:?}\n[http]\nlisten = {:?}\nmax_connections = 100\n\
             max_held_bytes = 67108864\n[folder]\nwatch = {:?}\n[reading]\nmodels = {:?}\n\
             onnxruntime = {:?}\n[mqtt]\nbroker = {:?}\n{}\n",
            self.path("state"),
            self.path("credentials"),
            self.path("submit.sock"),
            self.listen,
            self.path("in"),
            self.models,
            onnxruntime(),
            self.broker,
            self.more,
        );
        let path = self.path("config.toml");
        fs::write(&path, text).expect("a file");
        let mut command = bare_kiosk();
        command.arg("doctor").arg("--config").arg(path).env_remove("NO_COLOR");
        command
    }

    fn examined(&self) -> Examined {
        Examined::of(run(self.command().arg("--json"), b""))
    }
}

struct Examined {
    run: Run,
    rows: Vec<Json>,
}

impl Examined {
    fn of(run: Run) -> Self {
        let json = run.json();
        let is_well = run.code() == Some(0);
        assert_eq!(json["status"], if is_well { "ok" } else { "fault" });
        let rows = json["checks"].as_array().expect("an array").clone();
        for row in &rows {
            let keys: Vec<_> = row.as_object().expect("an object").keys().collect();
            assert_eq!(keys, ["check", "status", "found", "to_do"]);
            assert!(row["found"].as_str().is_some_and(|found| !found.is_empty()), "{row}");
            let needs = ["warning", "fault"].contains(&row["status"].as_str().expect("text"));
            assert_eq!(row["to_do"].as_str().is_some_and(|it| !it.is_empty()), needs, "{row}");
        }
        assert_eq!(rows.iter().any(|row| row["status"] == "fault"), !is_well);
        Self { run, rows }
    }

    fn named(&self, status: &str) -> Vec<&str> {
        let fits = |row: &&Json| row["status"] == status;
        self.rows.iter().filter(fits).map(|row| row["check"].as_str().expect("text")).collect()
    }

    /// What was found by this check, which is a fault.
    #[track_caller]
    fn fault(&self, check: &str) -> &str {
        assert_eq!(self.run.code(), Some(1));
        let row = self.rows.iter().find(|row| row["check"] == check).expect("a row");
        assert_eq!(row["status"], "fault", "{row}");
        row["found"].as_str().expect("text")
    }
}

#[test]
fn kiosk_that_is_well_has_no_fault_and_every_check_keeps_its_name() {
    let kiosk = Kiosk::with_broker();
    let examined = kiosk.examined();
    assert_eq!(examined.named("fault"), [""; 0], "{:#?}", examined.rows);
    let names: Vec<_> = examined.rows.iter().map(|row| &row["check"]).collect();
    assert_eq!(names, CHECKS);
    for check in ["broker-tls", "mqtt-password", "cloud", "cloud-key", "submit", "screen"] {
        assert!(examined.named("off").contains(&check), "{check} is not used here");
    }
    let reading = examined.rows.iter().find(|row| row["check"] == "reading").expect("a row");
    assert!(reading["found"].as_str().is_some_and(|found| found.contains(" ms")), "{reading}");
    // Nothing was made, and nothing is left.
    assert_eq!(fs::read_dir(kiosk.path("state")).expect("a folder").count(), 0);

    let people = run(&mut kiosk.command(), b"");
    assert_eq!(people.code(), Some(0));
    assert!(people.stdout.starts_with("ok       configuration"), "{}", people.stdout);
    assert!(!people.stdout.contains('\u{1b}'), "a pipe gets no colours");
}

#[test]
fn faults_are_each_told_in_their_row() {
    let mut kiosk = Kiosk::new();
    // Half an update.
    kiosk.models = kiosk.path("models");
    fs::create_dir(&kiosk.models).expect("a folder");
    let models = fs::read_dir(repository().join("models")).expect("a folder");
    for file in models.map(|entry| entry.expect("an entry").path()).filter(|file| file.is_file()) {
        let name = file.file_name().expect("a name");
        if file.extension().is_some_and(|extension| extension == "onnx") {
            fs::write(kiosk.models.join(name), "half").expect("a file");
        } else {
            fs::copy(&file, kiosk.models.join(name)).expect("a file");
        }
    }
    kiosk.set_credential("outbox-key", "no-key-but-a-secret");
    kiosk.more = "user = \"kiosk-1\"".to_owned();
    fs::set_permissions(kiosk.path("state"), fs::Permissions::from_mode(0o755)).expect("ours");
    symlink("/etc", kiosk.path("in/done")).expect("a link");
    let examined = kiosk.examined();
    assert!(examined.fault("models").contains(".onnx"));
    assert!(!examined.fault("reading").is_empty());
    assert!(examined.fault("outbox-key").contains("outbox-key"));
    assert!(examined.fault("mqtt-password").contains("missing"));
    assert!(examined.fault("broker-network").contains("127.0.0.1:1"));
    assert!(!examined.fault("broker-mqtt").is_empty());
    assert!(examined.fault("state").contains("0755"));
    assert!(examined.fault("folder").contains("done"));
    for text in [&examined.run.stdout, &examined.run.stderr] {
        assert!(!text.contains("no-key-but-a-secret"), "{text}");
    }
    let people = run(&mut kiosk.command(), b"");
    assert_eq!(people.code(), Some(1));
    let to_do = people.stdout.lines().filter(|line| line.trim_start().starts_with('→')).count();
    let faults = examined.named("fault").len() + examined.named("warning").len();
    assert_eq!(to_do, faults, "{}", people.stdout);
}

#[test]
fn secret_that_everybody_may_read_is_a_fault() {
    let kiosk = Kiosk::new();
    let key = kiosk.path("credentials/outbox-key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("it is ours");
    assert!(kiosk.examined().fault("outbox-key").contains("0644"));
}

#[test]
fn address_that_another_program_has_is_a_fault() {
    let mut kiosk = Kiosk::new();
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let place = other.local_addr().expect("an address");
    kiosk.listen = place.to_string();
    assert!(kiosk.examined().fault("http").contains(&place.to_string()));
}

#[test]
fn configuration_that_is_wrong_is_the_only_thing_that_is_told() {
    let mut kiosk = Kiosk::new();
    kiosk.more = "brocker = \"secret\"".to_owned();
    let examined = kiosk.examined();
    assert!(examined.fault("configuration").contains("brocker"));
    assert_eq!(examined.rows.len(), 1);
    assert!(!examined.run.stdout.contains("secret"));
}

#[test]
fn outbox_that_is_no_database_is_a_fault() {
    let kiosk = Kiosk::new();
    fs::write(kiosk.path("state/outbox.sqlite"), "nothing".repeat(1000)).expect("a file");
    assert!(kiosk.examined().fault("outbox").contains("damaged"));
}

#[test]
fn dead_letters_and_keys_that_are_missing_are_told() {
    let kiosk = Kiosk::new();
    fs::copy(data("outbox.sqlite"), kiosk.path("state/outbox.sqlite")).expect("a file");
    let examined = kiosk.examined();
    assert!(examined.named("warning").contains(&"outbox"), "{:#?}", examined.rows);
    kiosk.set_credential("outbox-key", &"02".repeat(32));
    assert!(kiosk.examined().fault("outbox").contains("key that is not here"));
}

#[test]
fn checks_that_are_asked_for_are_made_alone() {
    let kiosk = Kiosk::new();
    let only = |names: &[&str]| {
        let asked = names.iter().flat_map(|name| ["--only", name]);
        run(kiosk.command().arg("--json").args(asked), b"")
    };
    // The broker is away, which is nobody's concern here.
    let examined = Examined::of(only(&["disk", "models"]));
    assert_eq!(examined.run.code(), Some(0));
    assert_eq!(examined.named("ok"), ["configuration", "disk", "models"]);
    let unknown = only(&["modles"]);
    assert_eq!(unknown.code(), Some(64));
    assert!(unknown.stderr.contains("modles"), "{}", unknown.stderr);
}
