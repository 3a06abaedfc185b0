//! Runs the program with the models of this repository.

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// No test's program runs longer, however loaded the machine is.
const LIMIT: Duration = Duration::from_secs(600);

/// What a run came to.
pub struct Run {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    /// The most memory it held, in bytes.
    pub peak_memory: u64,
}

impl Run {
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub fn json(&self) -> Json {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("{error}\nstdout: {}\nstderr: {}", self.stdout, self.stderr)
        })
    }
}

/// A file below tests/data.
pub fn data(name: &str) -> PathBuf {
    repository().join("tests/data").join(name)
}

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// ONNX Runtime where `make` puts it, unless the environment says otherwise.
pub fn onnxruntime() -> PathBuf {
    let library = env::var_os("ORT_DYLIB_PATH")
        .map_or_else(|| repository().join(".cache/onnxruntime/libonnxruntime.so"), PathBuf::from);
    assert!(library.exists(), "ONNX Runtime is missing: run scripts/setup.sh onnxruntime");
    library
}

/// The program, with models and ONNX Runtime of its own choice.
pub fn bare_kiosk() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cic-kiosk"));
    command.env_remove("RUST_LOG").env_remove("ORT_DYLIB_PATH");
    command
}

/// A subcommand with what it needs to read.
pub fn kiosk(subcommand: &str) -> Command {
    let mut command = bare_kiosk();
    command.arg(subcommand);
    command.arg("--models").arg(repository().join("models"));
    command.arg("--onnxruntime").arg(onnxruntime());
    command
}

/// Runs to the end, with this on stdin.
pub fn run(command: &mut Command, stdin: &[u8]) -> Run {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program is built");
    let (mut input, output, errors) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        // A program that does not want all of it closes its end.
        scope.spawn(move || input.as_mut().map(|input| input.write_all(stdin)));
        let stdout = scope.spawn(|| text(output));
        let stderr = scope.spawn(|| text(errors));
        let begun = Instant::now();
        let mut peak_memory = 0;
        let status = loop {
            peak_memory = peak_memory.max(memory_of(child.id()));
            if let Some(status) = child.try_wait().expect("it is our child") {
                break status;
            }
            if begun.elapsed() > LIMIT {
                child.kill().expect("it is our child");
            }
            thread::sleep(Duration::from_millis(2));
        };
        let [stdout, stderr] = [stdout, stderr].map(|text| text.join().expect("no panic"));
        keep(&stderr, child.id());
        Run { status, stdout, stderr, peak_memory }
    })
}

/// Leaves what was logged where the whole suite's logs are searched for what must not be in them.
fn keep(log: &str, process: u32) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("logs");
    fs::create_dir_all(&folder).expect("target can be written to");
    fs::write(folder.join(format!("cli-{process}.log")), log).expect("target can be written to");
}

fn text(source: Option<impl std::io::Read>) -> String {
    let mut text = String::new();
    if let Some(mut source) = source {
        source.read_to_string(&mut text).expect("the program writes UTF-8");
    }
    text
}

/// The high-water mark of a process that runs.
fn memory_of(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let mark = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = mark.and_then(|mark| mark.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
