//! `scanimage` as a process: started without a shell, listened to within limits, and never left
//! behind.
//!
//! One that is to end is asked with SIGINT, which makes it cancel the scan: scanners that are cut
//! off in the middle may have to be switched off and on. One that does not listen is killed. That
//! holds, too, where a [`Process`] is dropped.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use cic_kiosk::config;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::runtime;
use tokio::time::timeout;

use super::Fault;
use super::folder::Folder;
use super::status::{Trouble, trouble};

/// For a scanner to stop and move its paper out, and for the program to end after that.
const GRACE: Duration = Duration::from_secs(5);

/// The most that an answer may have: the options of a large scanner are 30 KB.
const MAX_ANSWER: u64 = 256 << 10;

/// How much is kept of what the program wrote last to stderr.
const TAIL: usize = 4096;

/// The program while it runs, and the folder that it writes to.
pub(super) struct Process {
    child: Option<Child>,
    folder: Option<Folder>,
}

/// Its three pipes.
pub(super) struct Pipes {
    pub stdin: ChildStdin,
    pub stdout: ChildStdout,
    pub stderr: ChildStderr,
}

/// The last of what was written to stderr.
#[derive(Default)]
pub(super) struct Tail(Vec<u8>);

impl Process {
    /// Starts it in a folder.
    pub fn start(
        settings: &config::Sane,
        arguments: &[String],
        folder: Option<Folder>,
    ) -> Result<(Self, Pipes), Fault> {
        let mut command = Command::new(&settings.program);
        command
            .args(settings.device.iter().map(|device| format!("--device-name={device}")))
            .args(arguments)
            .current_dir(folder.as_ref().map_or(Path::new("/"), Folder::path))
            // What it says is understood in English.
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Some drivers start processes of their own.
            .process_group(0)
            .kill_on_drop(true);
        if let Some(path) = &settings.config_dir {
            command.env("SANE_CONFIG_DIR", path);
        }
        let mut child = command.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => Fault::Absent(
                "scanimage is not there: install the package sane-utils, or set sane.program"
                    .to_owned(),
            ),
            kind => Fault::Failing(format!("scanimage cannot be started: {kind}")),
        })?;
        let pipes = Pipes {
            stdin: child.stdin.take().expect("stdin is piped"),
            stdout: child.stdout.take().expect("stdout is piped"),
            stderr: child.stderr.take().expect("stderr is piped"),
        };
        Ok((Self { child: Some(child), folder }, pipes))
    }

    /// The folder that it writes to.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(Folder::path)
    }

    /// Waits for its end, which is near because it has closed its pipes.
    pub async fn exit(&mut self) -> Result<ExitStatus, Fault> {
        if let Some(child) = &mut self.child
            && let Ok(Ok(exit)) = timeout(GRACE, child.wait()).await
        {
            self.child = None;
            return Ok(exit);
        }
        Err(Fault::Failing("scanimage does not end by itself; it is tried again".to_owned()))
    }

    /// Ends it, and waits until it has ended.
    pub async fn end(mut self) {
        if let Some(child) = self.child.take() {
            interrupt(&child);
            end(child, self.folder.take()).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(child) = self.child.take() else { return };
        interrupt(&child);
        // Without a runtime, the child is killed as it is dropped.
        if let Ok(runtime) = runtime::Handle::try_current() {
            runtime.spawn(end(child, self.folder.take()));
        }
    }
}

fn pid(child: &Child) -> Option<Pid> {
    // There is none when it has been waited for; until then nobody else gets this one.
    child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?))
}

fn interrupt(child: &Child) {
    if let Some(pid) = pid(child) {
        let _ = kill_process(pid, Signal::INT);
    }
}

/// Waits for the end of what was interrupted; the folder goes after it.
async fn end(mut child: Child, folder: Option<Folder>) {
    if timeout(GRACE, child.wait()).await.is_err() {
        if let Some(pid) = pid(&child) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        // A driver may hold it in the kernel; it is reaped whenever that lets it go.
        let _ = timeout(GRACE, child.wait()).await;
    }
    drop(folder);
}

impl Tail {
    /// More of it.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        self.0.drain(..self.0.len().saturating_sub(TAIL));
    }

    /// As text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

/// What the program writes to stdout for these arguments.
pub(super) async fn ask(
    settings: &config::Sane,
    arguments: &[String],
    limit: Duration,
) -> Result<String, Fault> {
    let (mut process, pipes) = Process::start(settings, arguments, None)?;
    drop(pipes.stdin);
    let answer = async {
        let (out, tail) = tokio::join!(beginning(pipes.stdout), tail(pipes.stderr));
        process.exit().await.map(|exit| (exit, out, tail))
    };
    let Ok(answered) = timeout(limit, answer).await else {
        process.end().await;
        return Err(Fault::Failing(format!(
            "scanimage has not answered in {} s: look at the scanner's cable and power",
            limit.as_secs()
        )));
    };
    let (exit, out, tail) = answered?;
    match trouble(exit, &tail.text()) {
        None => Ok(out),
        Some(Trouble::Fault(fault)) => Err(fault),
        Some(Trouble::Person(words)) => Err(Fault::Failing(words.to_owned())),
        // Nothing was to be scanned.
        Some(Trouble::NoPaper) => Ok(out),
    }
}

async fn beginning(pipe: impl AsyncRead + Unpin) -> String {
    let mut bytes = Vec::new();
    let _ = pipe.take(MAX_ANSWER).read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn tail(mut pipe: impl AsyncRead + Unpin) -> Tail {
    let (mut tail, mut bytes) = (Tail::default(), [0; TAIL]);
    while let Ok(read @ 1..) = pipe.read(&mut bytes).await {
        tail.push(&bytes[..read]);
    }
    tail
}
