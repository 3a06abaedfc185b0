//! `keys`: who may use the HTTP API, and who did.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, value_parser};
use jiff::civil::Date;
use serde_json::json;

use super::{Outcome, print, table};
use crate::keys::{AuditLine, Credentials, KeyStore, Listed, UsesFilter, check_name};

/// Longer than a year, an old secret is no longer being replaced.
const MAX_OVERLAP_HOURS: i64 = 366 * 24;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Add, list, rotate and revoke the keys of the HTTP API, and show what they were used for
///
/// A server that runs on the same state folder heeds every change from the next request on.
#[derive(Args)]
pub struct Keys {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Add(Add),
    List(List),
    Revoke(Revoke),
    Rotate(Rotate),
    Audit(Audit),
}

/// What all of them need.
#[derive(Args)]
struct Common {
    /// Folder of the key store, keys.sqlite
    #[arg(long, value_name = "DIR")]
    state: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Add a key, and print its secret, once
#[derive(Args)]
struct Add {
    /// Whose key it is: 1 to 64 printable characters
    #[arg(value_parser = name_of)]
    name: String,

    /// Uses in a calendar day [default: any number]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    quota: Option<u32>,

    #[command(flatten)]
    common: Common,
}

/// List all keys
#[derive(Args)]
struct List {
    #[command(flatten)]
    common: Common,
}

/// Make a key worth nothing, for good
#[derive(Args)]
struct Revoke {
    /// Name of the key
    name: String,

    #[command(flatten)]
    common: Common,
}

/// Give a key a new secret, and print it, once
#[derive(Args)]
struct Rotate {
    /// Name of the key
    name: String,

    /// Hours for which the old secret works on; 0 ends it at once
    #[arg(
        long,
        value_name = "HOURS",
        default_value_t = 0,
        value_parser = value_parser!(u32).range(..=MAX_OVERLAP_HOURS)
    )]
    overlap: u32,

    #[command(flatten)]
    common: Common,
}

/// Show the uses of all keys, oldest first; with --json one line each
#[derive(Args)]
struct Audit {
    /// Of this day only, in the machine's time zone
    #[arg(long, value_name = "YYYY-MM-DD")]
    day: Option<Date>,

    /// Of the key of this name only
    #[arg(long, value_name = "NAME")]
    key: Option<String>,

    #[command(flatten)]
    common: Common,
}

impl Keys {
    /// Does what the subcommand says.
    pub fn run(&self) -> Outcome {
        match &self.command {
            Command::Add(add) => add.run(),
            Command::List(list) => list.run(),
            Command::Revoke(revoke) => revoke.run(),
            Command::Rotate(rotate) => rotate.run(),
            Command::Audit(audit) => audit.run(),
        }
    }
}

impl Add {
    fn run(&self) -> Outcome {
        let store = KeyStore::create(&self.common.state)?;
        let credentials = store.add(&self.name, self.quota)?;
        hand_out(&self.name, &credentials, "", self.common.json)
    }
}

impl List {
    fn run(&self) -> Outcome {
        let keys = KeyStore::open(&self.common.state)?.list()?;
        let text = if self.common.json {
            serde_json::to_string_pretty(&keys)? + "\n"
        } else {
            columns_of_keys(&keys)?
        };
        print(&text)?;
        Ok(true)
    }
}

impl Revoke {
    fn run(&self) -> Outcome {
        KeyStore::open(&self.common.state)?.revoke(&self.name)?;
        let text = if self.common.json {
            json!({"name": self.name, "revoked": true}).to_string()
        } else {
            format!("The key {:?} is revoked.", self.name)
        };
        print(&(text + "\n"))?;
        Ok(true)
    }
}

impl Rotate {
    fn run(&self) -> Outcome {
        let store = KeyStore::open(&self.common.state)?;
        let credentials = store.rotate(&self.name, HOUR * self.overlap)?;
        let old = match self.overlap {
            0 => "The old secret does not work any more.\n".to_owned(),
            hours => format!("The old secret works for {hours} h more.\n"),
        };
        hand_out(&self.name, &credentials, &old, self.common.json)
    }
}

impl Audit {
    fn run(&self) -> Outcome {
        let store = KeyStore::open(&self.common.state)?;
        let lines = store.uses(&UsesFilter { day: self.day, name: self.key.clone() })?;
        let text = if self.common.json { json_lines(&lines)? } else { columns_of_uses(&lines)? };
        print(&text)?;
        Ok(true)
    }
}

fn name_of(text: &str) -> Result<String, String> {
    check_name(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

/// Prints a secret, which nobody can print again. Where that fails, even because nobody reads any
/// more, it is an error: the secret is lost.
fn hand_out(name: &str, credentials: &Credentials, old: &str, as_json: bool) -> Outcome {
    let Credentials { api_key, api_secret } = credentials;
    let text = if as_json {
        // Hexadecimal digits need no escapes.
        format!("{{\"api_key\": \"{api_key}\", \"api_secret\": \"{api_secret}\"}}\n")
    } else {
        format!(
            "name        {name}\napi_key     {api_key}\napi_secret  {api_secret}\n\n\
             The secret is shown only this once: keep it now. `cic-kiosk keys rotate` makes a new \
             one.\n{old}"
        )
    };
    print(&text).map_err(|reason| lost(name, &reason))?;
    Ok(true)
}

fn lost(name: &str, reason: &io::Error) -> String {
    format!(
        "the key {name:?} has a new secret, but it could not be printed ({reason}) and is lost; \
         `cic-kiosk keys rotate` makes another one"
    )
}

fn json_lines(uses: &[AuditLine]) -> serde_json::Result<String> {
    uses.iter().map(|line| Ok(serde_json::to_string(line)? + "\n")).collect()
}

fn columns_of_keys(keys: &[Listed]) -> Result<String, fmt::Error> {
    let header = ["name", "api_key", "quota", "used today", "created", "last used", "revoked"];
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let rows = keys.iter().map(|key| {
        vec![
            key.name.clone(),
            key.api_key.clone(),
            or_dash(&key.quota.map(|quota| quota.to_string())),
            key.used_today.to_string(),
            key.created.clone(),
            or_dash(&key.last_used),
            or_dash(&key.revoked),
        ]
    });
    columns(&header, rows)
}

fn columns_of_uses(uses: &[AuditLine]) -> Result<String, fmt::Error> {
    let header = ["at", "key", "scan", "client", "way", "bytes", "pages", "code", "elapsed"];
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let rows = uses.iter().map(|line| {
        vec![
            line.at.clone(),
            line.name.clone(),
            line.scan_id.clone(),
            line.client.clone(),
            line.way.clone(),
            or_dash(line.bytes.map(|bytes| bytes.to_string())),
            or_dash(line.pages.map(|pages| pages.to_string())),
            or_dash(line.code.clone()),
            or_dash(line.elapsed_ms.map(|elapsed| format!("{elapsed} ms"))),
        ]
    });
    columns(&header, rows)
}

fn columns(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Result<String, fmt::Error> {
    let header = header.iter().map(|title| (*title).to_owned()).collect();
    let lines: Vec<Vec<String>> = [header].into_iter().chain(rows).collect();
    let mut text = String::new();
    table::write_columns(&lines, &mut text)?;
    Ok(text)
}
