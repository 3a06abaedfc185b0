//! `doctor`: checks all that a kiosk needs, and says what to do where something is wrong.
//!
//! Promises:
//! - It works beside a daemon and without one, and changes nothing: no document is sent, nothing is
//!   published.
//! - Checks run at the same time, each for so long: one device that hangs holds up none of them.
//! - No secret is shown, and nothing that is on a paper.

mod broker;
mod check;
mod cloud;
mod credentials;
mod devices;
mod machine;
mod reading;
mod screen;
mod sources;
mod store;
mod tls;

use std::env;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::sync::Arc;

use clap::Args;
use clap::builder::styling::{AnsiColor, Style};
use futures_util::future::join_all;
use serde_json::json;
use tokio::runtime;

use self::check::{Check, Finding, Row, Status};
use super::config::ConfigArgs;
use super::{Failure, Outcome, print, usage_error};
use cic_kiosk::config::Config;

/// Check devices, models, broker, disk and all else that a kiosk needs
///
/// Beside a daemon that runs, or without one. Says what was found, and what to do about each fault.
/// The exit status is 1 where there is one.
#[derive(Args)]
pub struct Doctor {
    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Make this check alone, beside the configuration's; can be given several times
    #[arg(long, value_name = "CHECK")]
    only: Vec<String>,

    #[command(flatten)]
    config: ConfigArgs,
}

impl Doctor {
    /// Whether there is no fault.
    pub fn run(&self) -> Outcome {
        let mut rows = Vec::new();
        match self.config.load() {
            Ok(loaded) => {
                rows.push(Row::new("configuration", Finding::ok("it is right")));
                let checks = self.wanted(checks(&Arc::new(loaded.config)))?.into_iter();
                let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
                // On tasks of their own: one that computes holds up no other.
                let tasks = runtime.block_on(async {
                    join_all(checks.map(|check| tokio::spawn(check.run()))).await
                });
                runtime.shutdown_background();
                for row in tasks {
                    rows.push(row?);
                }
            }
            // Without it, nobody knows what to check.
            Err(error) => rows.push(Row::new(
                "configuration",
                Finding::fault(
                    error.to_string(),
                    "mend what it names; `cic-kiosk config check` says whether it is right then",
                ),
            )),
        }
        let is_well = rows.iter().all(|row| row.status != Status::Fault);
        let text = if self.json {
            let status = if is_well { Status::Ok } else { Status::Fault };
            format!("{:#}\n", json!({"status": status, "checks": rows}))
        } else {
            table(&rows, is_coloured())
        };
        print(&text)?;
        Ok(is_well)
    }

    fn wanted(&self, mut checks: Vec<Check>) -> Result<Vec<Check>, Failure> {
        if self.only.is_empty() {
            return Ok(checks);
        }
        let is = |name: &String, check: &Check| name == check.name();
        if let Some(name) =
            self.only.iter().find(|name| !checks.iter().any(|check| is(name, check)))
        {
            return Err(usage_error(&format!("there is no check {name}")).into());
        }
        checks.retain(|check| self.only.iter().any(|name| is(name, check)));
        Ok(checks)
    }
}

fn checks(config: &Arc<Config>) -> Vec<Check> {
    let mut checks = machine::checks(config);
    checks.extend(credentials::checks(config));
    checks.extend(store::checks(config));
    checks.extend(reading::checks(config));
    checks.extend(broker::checks(config));
    checks.extend(cloud::checks(config));
    checks.extend(sources::checks(config));
    checks.extend(screen::checks(config));
    checks.extend(devices::checks(config));
    checks
}

/// Colours are for people at a terminal who have not said that they want none (no-color.org).
fn is_coloured() -> bool {
    let says = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdout().is_terminal() && !says("NO_COLOR") && !is_dumb
}

/// One line for each check, and one below it for what to do.
fn table(rows: &[Row], coloured: bool) -> String {
    let width = rows.iter().map(|row| row.check.len()).max().unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        let (word, colour) = match row.status {
            Status::Ok => ("ok", AnsiColor::Green),
            Status::Warning => ("warning", AnsiColor::Yellow),
            Status::Fault => ("fault", AnsiColor::Red),
            Status::Off => ("off", AnsiColor::BrightBlack),
        };
        let style =
            if coloured { Style::new().bold().fg_color(Some(colour.into())) } else { Style::new() };
        let _ = writeln!(text, "{style}{word:7}{style:#}  {:width$}  {}", row.check, row.found);
        if let Some(to_do) = &row.to_do {
            let _ = writeln!(text, "{:9}{:width$}  → {to_do}", "", "");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> [Row; 2] {
        [
            Row::new("disk", Finding::ok("9 GB are free")),
            Row::new("broker", Finding::fault("it is away", "plug it in")),
        ]
    }

    #[test]
    fn each_check_has_a_line_and_each_fault_another_with_what_to_do() {
        let expected = "ok       disk    9 GB are free\n\
                        fault    broker  it is away\n                 → plug it in\n";
        assert_eq!(table(&rows(), false), expected);
    }

    #[test]
    fn colours_stand_around_the_status_alone() {
        let text = table(&rows(), true);
        assert!(text.contains("\u{1b}[31mfault  \u{1b}[0m  broker"), "{text:?}");
    }
}
