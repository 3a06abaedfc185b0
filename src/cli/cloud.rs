//! `cloud`: what was sent to the cloud service.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::civil::Date;

use super::config::ConfigArgs;
use super::{Outcome, print, table};
use crate::cloud::transfers::{Transfer, Transfers};

/// Show what was sent to the cloud service
#[derive(Args)]
pub struct Cloud {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Transfers(List),
}

/// Show all transfers, oldest first; with --json one line each
#[derive(Args)]
struct List {
    /// Of this day only, in the machine's time zone
    #[arg(long, value_name = "YYYY-MM-DD")]
    day: Option<Date>,

    /// Folder of the record, transfers.sqlite [default: kiosk.state of the configuration]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    config: ConfigArgs,
}

impl Cloud {
    /// Does what the subcommand says.
    pub fn run(&self) -> Outcome {
        match &self.command {
            Command::Transfers(list) => list.run(),
        }
    }
}

impl List {
    fn run(&self) -> Outcome {
        let state = match &self.state {
            Some(state) => state.clone(),
            None => self.config.load()?.config.kiosk.state,
        };
        let transfers = Transfers::open(&state)?.list(self.day)?;
        print(&if self.json { json_lines(&transfers)? } else { columns(&transfers)? })?;
        Ok(true)
    }
}

fn json_lines(transfers: &[Transfer]) -> serde_json::Result<String> {
    transfers.iter().map(|line| Ok(serde_json::to_string(line)? + "\n")).collect()
}

fn columns(transfers: &[Transfer]) -> Result<String, fmt::Error> {
    let header = ["at", "scan", "pages", "bytes", "host", "consent", "outcome", "elapsed"];
    let header = header.iter().map(|title| (*title).to_owned()).collect();
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let rows = transfers.iter().map(|line| {
        let pages: Vec<String> = line.pages.iter().map(usize::to_string).collect();
        vec![
            line.at.clone(),
            line.scan_id.clone(),
            pages.join(","),
            line.bytes.to_string(),
            line.host.clone(),
            line.consent.clone(),
            or_dash(line.outcome.clone()),
            or_dash(line.elapsed_ms.map(|elapsed| format!("{elapsed} ms"))),
        ]
    });
    let lines: Vec<Vec<String>> = [header].into_iter().chain(rows).collect();
    let mut text = String::new();
    table::write_columns(&lines, &mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value as Json, json};

    use super::*;
    use crate::cloud::transfers::NewTransfer;

    /// One that came to an end, and one that did not.
    fn transfers() -> Vec<Transfer> {
        let state = tempfile::tempdir().unwrap();
        let transfers = Transfers::create(state.path()).unwrap();
        let new = NewTransfer {
            scan_id: "01J".to_owned(),
            pages: vec![0, 2],
            bytes: 1234,
            host: "ocr.example.vn".to_owned(),
            consent: "2026/17".to_owned(),
        };
        let id = transfers.begin(&new, 2).unwrap();
        transfers.finish(id, "0", Duration::from_millis(789)).unwrap();
        transfers.begin(&new, 2).unwrap();
        transfers.list(None).unwrap()
    }

    #[test]
    fn transfers_are_columns_for_people() {
        let text = columns(&transfers()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let words = |line: &str| line.split_whitespace().skip(1).map(str::to_owned).collect();
        let [header, ended, begun]: [Vec<String>; 3] = [lines[0], lines[1], lines[2]].map(words);
        let titles = ["scan", "pages", "bytes", "host", "consent", "outcome", "elapsed"];
        assert_eq!(header, titles);
        let known = ["01J", "0,2", "1234", "ocr.example.vn", "2026/17"];
        assert_eq!(ended, [&known[..], &["0", "789", "ms"]].concat());
        assert_eq!(begun, [&known[..], &["-", "-"]].concat());
    }

    #[test]
    fn transfers_are_a_line_of_json_each_for_programs() {
        let text = json_lines(&transfers()).unwrap();
        let lines: Vec<Json> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[0]["pages"], &lines[0]["outcome"]), (&json!([0, 2]), &json!("0")));
        assert_eq!(lines[1]["outcome"], Json::Null);
    }
}
