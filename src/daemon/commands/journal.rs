//! The service's own lines of the journal.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use systemd_journal_logger::connected_to_journal;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::Report;
use super::deeds::Deeds;
use crate::fleet::commands::Address;
use crate::fleet::commands::message::{Code, Failure};

/// The most lines, and bytes, that are sent: the newest.
pub const MOST_LINES: usize = 20_000;
const MOST_BYTES: usize = 2 << 20;

/// Reading a journal of gigabytes on a slow disk.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is told of what went wrong, in characters.
const MOST_WORDS: usize = 300;

/// What the journal has.
pub struct Lines {
    /// One record a line, oldest first.
    pub text: String,
    /// There are older ones.
    pub is_cut: bool,
}

impl Deeds {
    pub(super) async fn log(
        &self,
        address: &Address,
        since: Timestamp,
        until: Option<Timestamp>,
        report: &Report,
    ) -> Result<Json, Failure> {
        report.at("read", 0, 1);
        let lines = lines(Some(since), until, None, MOST_LINES).await?;
        let mut result = self.send(address, lines.text.as_bytes(), report).await?;
        result["lines"] = json!(lines.text.lines().count());
        result["cut"] = json!(lines.is_cut);
        Ok(result)
    }
}

/// The newest lines of this service and its workers in this time, no more than so many; of a
/// priority, as journalctl calls it, those that are at least as urgent.
pub async fn lines(
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    priority: Option<&'static str>,
    most: usize,
) -> Result<Lines, Failure> {
    if !connected_to_journal() {
        let reason = "this program's log does not go to a journal";
        return Err(Failure::new(Code::Unavailable, reason));
    }
    let mut journalctl = Command::new("journalctl");
    journalctl.args(["--quiet", "--no-pager", "--utc", "--output=short-iso-precise"]);
    journalctl.arg(format!("--lines={}", most + 1));
    journalctl.args(priority.map(|priority| format!("--priority={priority}")));
    match fs::read_to_string("/proc/self/cgroup").ok().as_deref().and_then(unit) {
        // What systemd says of them is with them: how they ended, for one.
        Some(unit) => {
            journalctl.args([format!("--unit={unit}"), "--unit=cic-kiosk-worker@*".into()])
        }
        None => journalctl.arg("--identifier=cic-kiosk"),
    };
    for (option, time) in [("since", since), ("until", until)] {
        if let Some(time) = time {
            journalctl.arg(format!("--{option}=@{}", time.as_second()));
        }
    }
    let failed = |why: &str| {
        let why: String = why.trim().chars().take(MOST_WORDS).collect();
        let reason = format!(
            "journalctl does not show the log ({why}): the service's user must be in the group \
             systemd-journal"
        );
        Failure::new(Code::NotPermitted, reason)
    };
    journalctl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = journalctl.kill_on_drop(true).spawn().map_err(|it| failed(&it.to_string()))?;
    let (Some(mut stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(failed("it has no output"));
    };
    let (mut text, mut said, mut is_cut) = (Vec::new(), Vec::new(), false);
    let read = async {
        // The newest comes last: what is too old by then is let go.
        while stdout.read_buf(&mut text).await? > 0 {
            if text.len() > 2 * MOST_BYTES {
                text.drain(..text.len() - MOST_BYTES);
                is_cut = true;
            }
        }
        stderr.take(4096).read_to_end(&mut said).await?;
        child.wait().await
    };
    let ended = timeout(PATIENCE, read).await.map_err(|_| failed("it takes too long"))?;
    let ended = ended.map_err(|error| failed(&error.to_string()))?;
    let said = String::from_utf8_lossy(&said);
    if text.is_empty() && (!ended.success() || !said.trim().is_empty()) {
        return Err(failed(&said));
    }
    let mut lines = newest(&String::from_utf8_lossy(&text), most);
    lines.is_cut |= is_cut;
    Ok(lines)
}

/// The last lines, as many and as long as may be.
fn newest(text: &str, most: usize) -> Lines {
    let mut from = text.len();
    for (number, line) in text.split_inclusive('\n').rev().enumerate() {
        if number == most || text.len() - from + line.len() > MOST_BYTES {
            break;
        }
        from -= line.len();
    }
    Lines { text: text[from..].to_owned(), is_cut: from > 0 }
}

/// The service that this process belongs to, out of its control group.
fn unit(cgroup: &str) -> Option<&str> {
    let last = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?.rsplit('/').next()?;
    last.ends_with(".service").then_some(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_lines_are_kept_whole() {
        let of = |text: &str, most| {
            let lines = newest(text, most);
            (lines.text, lines.is_cut)
        };
        assert_eq!(of("a\nb\nc\n", 2), ("b\nc\n".to_owned(), true));
        assert_eq!(of("a\nb\n", 2), ("a\nb\n".to_owned(), false));
        assert_eq!(of("", 2), (String::new(), false));
        let long = format!("{}\nend\n", "x".repeat(MOST_BYTES));
        assert_eq!(of(&long, 9), ("end\n".to_owned(), true));
    }

    #[test]
    fn service_is_known_by_its_control_group() {
        assert_eq!(unit("0::/system.slice/cic-kiosk.service\n"), Some("cic-kiosk.service"));
        assert_eq!(unit("1:name=x:/a.service\n0::/user.slice/session-1.scope\n"), None);
        assert_eq!(unit(""), None);
    }
}
