//! `outbox`: what waits to be read or delivered, and what became a dead letter.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;
use ulid::Ulid;

use super::config::ConfigArgs;
use super::{Failure, Outcome, print, table, usage_error};
use crate::credentials::Credentials;
use crate::outbox::{Console, Entry, Resealed, SealingKeys, Which, fresh_key};

/// List what waits in the outbox, look at it, put dead letters back or purge them, change the key
///
/// A daemon that runs on the same state folder may go on meanwhile; it notices what is put back
/// within seconds.
#[derive(Args)]
pub struct Outbox {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    List(List),
    Show(Show),
    Retry(Retry),
    Purge(Purge),
    Reseal(Reseal),
    Key(Key),
}

/// What most of them need.
#[derive(Args)]
struct Common {
    /// Folder of the outbox, outbox.sqlite [default: state in [kiosk]]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,

    #[command(flatten)]
    config: ConfigArgs,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// List all that waits and all dead letters, oldest first
#[derive(Args)]
struct List {
    #[command(flatten)]
    common: Common,
}

/// Show what there is of a scan
#[derive(Args)]
struct Show {
    /// The scan's id
    scan_id: Ulid,

    /// Print the result instead, or the document where there is no result yet; needs the key
    #[arg(long, conflicts_with = "json")]
    payload: bool,

    /// Of a document that came in several files, print this one, counted from 1
    #[arg(long, value_name = "N", requires = "payload", default_value = "1")]
    page: NonZeroUsize,

    #[command(flatten)]
    common: Common,
}

/// Put dead letters back into the queue, as if they were new
#[derive(Args)]
struct Retry {
    /// The scan's id
    #[arg(required_unless_present = "all")]
    scan_id: Option<Ulid>,

    /// All dead letters
    #[arg(long, conflicts_with = "scan_id")]
    all: bool,

    #[command(flatten)]
    common: Common,
}

/// Erase dead letters, for good; what waits stays
#[derive(Args)]
struct Purge {
    /// The scan's id
    #[arg(required_unless_present = "all_dead")]
    scan_id: Option<Ulid>,

    /// All dead letters
    #[arg(long, conflicts_with = "scan_id")]
    all_dead: bool,

    /// Really do it
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    common: Common,
}

/// Seal everything with the credential outbox-key that is sealed with an older key
///
/// The older keys stand in the credential outbox-key-old, one a line. It can be interrupted and
/// begun again.
#[derive(Args)]
struct Reseal {
    #[command(flatten)]
    common: Common,
}

/// Print a new key, for the file of the credential outbox-key
#[derive(Args)]
struct Key {}

impl Outbox {
    /// Does what the subcommand says.
    pub fn run(&self) -> Outcome {
        match &self.command {
            Command::List(list) => list.run(),
            Command::Show(show) => show.run(),
            Command::Retry(retry) => retry.run(),
            Command::Purge(purge) => purge.run(),
            Command::Reseal(reseal) => reseal.run(),
            Command::Key(key) => key.run(),
        }
    }
}

impl Common {
    fn open(&self) -> Result<Console, Failure> {
        let state = match &self.state {
            Some(state) => state.clone(),
            None => self.config.load()?.config.kiosk.state,
        };
        Ok(Console::open(&state)?)
    }

    fn keys(&self) -> Result<SealingKeys, Failure> {
        let config = self.config.load()?.config;
        let credentials = Credentials::new(config.kiosk.credentials.as_deref());
        let state = self.state.as_ref().unwrap_or(&config.kiosk.state);
        Ok(SealingKeys::load(&credentials, state)?)
    }
}

impl List {
    fn run(&self) -> Outcome {
        let entries = self.common.open()?.list()?;
        print(&listed(&entries, self.common.json)?)?;
        Ok(true)
    }
}

impl Show {
    fn run(&self) -> Outcome {
        let scan_id = self.scan_id.to_string();
        let mut console = self.common.open()?;
        if self.payload {
            let files = console.payload(&scan_id, &self.common.keys()?)?.0;
            let count = files.len();
            let file = files.get(self.page.get() - 1);
            let file = file.ok_or_else(|| usage_error(&format!("it came in {count} files")))?;
            let mut stdout = io::stdout().lock();
            stdout.write_all(file)?;
            stdout.flush()?;
            return Ok(true);
        }
        let entries = console.of_scan(&scan_id)?;
        let text = if self.common.json { in_json(&entries)? } else { in_lines(&entries)? };
        print(&text)?;
        Ok(true)
    }
}

impl Retry {
    fn run(&self) -> Outcome {
        let retried = self.common.open()?.retry(&which(self.scan_id))?;
        let text = if self.common.json {
            json!({"retried": retried}).to_string()
        } else {
            format!("{retried} put back into the queue.")
        };
        print(&(text + "\n"))?;
        Ok(true)
    }
}

impl Purge {
    fn run(&self) -> Outcome {
        if !self.yes {
            return Err(usage_error("what is purged is gone for good: add --yes").into());
        }
        let purged = self.common.open()?.purge(&which(self.scan_id))?;
        let text = if self.common.json {
            json!({"purged": purged}).to_string()
        } else {
            format!("{purged} purged.")
        };
        print(&(text + "\n"))?;
        Ok(true)
    }
}

impl Reseal {
    /// It has failed where an older key is still needed.
    fn run(&self) -> Outcome {
        let keys = self.common.keys()?;
        let resealed = self.common.open()?.reseal(&keys)?;
        let text = if self.common.json {
            serde_json::to_string_pretty(&resealed)? + "\n"
        } else {
            in_words(&resealed, &keys)?
        };
        print(&text)?;
        Ok(resealed.remaining.is_empty())
    }
}

impl Key {
    fn run(&self) -> Outcome {
        print(&fresh_key()?)?;
        print("\n")?;
        Ok(true)
    }
}

fn which(scan_id: Option<Ulid>) -> Which {
    scan_id.map_or(Which::All, |scan_id| Which::Scan(scan_id.to_string()))
}

fn in_words(resealed: &Resealed, keys: &SealingKeys) -> Result<String, fmt::Error> {
    let mut text = String::new();
    writeln!(text, "{} sealed anew with the key {}.", resealed.resealed, resealed.key)?;
    if resealed.damaged > 0 {
        writeln!(text, "{} are damaged and do not open: they stay.", resealed.damaged)?;
    }
    for (key, entries) in &resealed.remaining {
        let hint = if keys.ids().any(|known| known == key) {
            "keep that key; where a daemon still seals with it, start it again and reseal again"
        } else {
            "that key is not here; put it into outbox-key-old and reseal again"
        };
        writeln!(text, "{entries} are sealed with the key {key}: {hint}.")?;
    }
    if resealed.remaining.is_empty() {
        text += "No other key is needed: outbox-key-old may be removed.\n";
    }
    Ok(text)
}

fn listed(entries: &[Entry], as_json: bool) -> Result<String, Failure> {
    Ok(if as_json { in_json(entries)? } else { in_columns(entries)? })
}

fn in_json(entries: &[Entry]) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(entries)? + "\n")
}

fn in_columns(entries: &[Entry]) -> Result<String, fmt::Error> {
    let header = ["scan", "kind", "state", "since", "bytes", "attempts", "reason"];
    let header = header.map(str::to_owned).to_vec();
    let rows = entries.iter().map(|entry| {
        vec![
            entry.scan_id.clone(),
            entry.kind.clone(),
            entry.state.clone(),
            entry.since.clone(),
            entry.bytes.to_string(),
            entry.attempts.to_string(),
            entry.reason.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    });
    let lines: Vec<Vec<String>> = [header].into_iter().chain(rows).collect();
    let mut text = String::new();
    table::write_columns(&lines, &mut text)?;
    Ok(text)
}

fn in_lines(entries: &[Entry]) -> Result<String, fmt::Error> {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let mut text = String::new();
    for entry in entries {
        let lines = [
            ("scan", entry.scan_id.clone()),
            ("kind", entry.kind.clone()),
            ("state", entry.state.clone()),
            ("place", entry.seq.to_string()),
            ("since", entry.since.clone()),
            ("source", or_dash(&entry.source)),
            ("attempts", entry.attempts.to_string()),
            ("ended", or_dash(&entry.ended)),
            ("reason", or_dash(&entry.reason)),
            ("key", entry.key.clone()),
            ("bytes", entry.bytes.to_string()),
        ];
        if !text.is_empty() {
            text.push('\n');
        }
        let lines = lines.map(|(name, value)| vec![name.to_owned(), value]);
        table::write_columns(&lines, &mut text)?;
    }
    Ok(text)
}
