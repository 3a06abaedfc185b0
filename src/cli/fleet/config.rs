//! `fleet config`: what is wanted of kiosks, and what they have of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cic_kiosk::config::Name;
use clap::{Args, Subcommand};
use jiff::SignedDuration;
use serde_json::json;
use tokio::time::Instant;
use toml::Table;

use super::{BrokerArgs, FilterArgs, block_on, columns, duration, json_lines};
use crate::cli::{Failure, Outcome, print, usage_error};
use crate::fleet::configuration::message::Level;
use crate::office::fleet::Fleet;
use crate::office::seen::{self, Status};
use crate::office::session::{About, Session};
use crate::office::settings::{self, Difference};
use crate::office::topics::{Id, Whom};

/// Set kiosks' settings, or compare what is wanted with what they have
#[derive(Args)]
pub struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    Diff(Diff),
    Set(Set),
}

/// Say where kiosks do not have what is wanted, key by key
///
/// With a file, where that is not what is wanted. The exit status is 1 where something differs.
#[derive(Args)]
struct Diff {
    /// Settings (TOML, or JSON) to compare with what is wanted of all kiosks, or of those that
    /// --branch or --kiosk names
    file: Option<PathBuf>,

    /// Print one line of JSON for each difference
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    filter: FilterArgs,

    #[command(flatten)]
    broker: BrokerArgs,
}

/// Set what is wanted of all kiosks, of a branch's, or of one
///
/// What is not named stays as it is. The exit status is 1 unless all kiosks that are connected have
/// taken it.
#[derive(Args)]
struct Set {
    /// A file of settings (TOML, or JSON), or SECTION.KEY=VALUE
    #[arg(required_unless_present_any = ["unset", "replace"])]
    settings: Vec<String>,

    /// Of all kiosks
    #[arg(long, required_unless_present_any = ["branch", "kiosk"], conflicts_with_all = ["branch", "kiosk"])]
    all: bool,

    /// Of those of a branch
    #[arg(long, value_name = "NAME", conflicts_with = "kiosk")]
    branch: Option<Name>,

    /// Of one kiosk
    #[arg(long, value_name = "BRANCH/NAME")]
    kiosk: Option<Id>,

    /// Leave a key to the other levels, and to the kiosks
    #[arg(long, value_name = "SECTION.KEY")]
    unset: Vec<String>,

    /// Leave out whatever is not named
    #[arg(long)]
    replace: bool,

    /// Only if this version is the one that is wanted now; 0 where there is none
    #[arg(long, value_name = "VERSION")]
    expect: Option<u64>,

    /// How long is waited for kiosks to take it
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = duration)]
    timeout: SignedDuration,

    /// Wait for nothing
    #[arg(long)]
    no_wait: bool,

    /// Print one line of JSON for each kiosk
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    broker: BrokerArgs,
}

impl Config {
    /// Does what was asked for.
    pub fn run(&self) -> Outcome {
        match &self.action {
            Action::Diff(diff) => diff.run(),
            Action::Set(set) => set.run(),
        }
    }
}

fn read(path: &Path) -> Result<Table, Failure> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(settings::parse(path, &text)?)
}

async fn collect(broker: &BrokerArgs, branch: Option<&str>) -> Result<(Session, Fleet), Failure> {
    let (mut session, mut fleet) = (broker.open().await?, Fleet::default());
    session.collect(&[About::Presence, About::Configuration], branch, &mut fleet).await?;
    Ok((session, fleet))
}

impl Diff {
    fn run(&self) -> Outcome {
        let filter = self.filter.filter(None);
        let fleet = block_on(async {
            let (session, fleet) = collect(&self.broker, filter.branch.as_deref()).await?;
            session.close().await;
            Ok(fleet)
        })?;
        let rows: Vec<(String, Difference)> = match &self.file {
            Some(path) => {
                let whom = match (filter.branch, filter.kiosk) {
                    (Some(branch), Some(kiosk)) => {
                        let id = Id::new(&branch, &kiosk);
                        Whom::Kiosk(id.ok_or_else(|| usage_error("--kiosk: expected BRANCH/NAME"))?)
                    }
                    (Some(branch), None) => Whom::Branch(branch),
                    (None, None) => Whom::All,
                    (None, Some(_)) => {
                        return Err(usage_error("--kiosk: expected BRANCH/NAME").into());
                    }
                };
                let found = settings::differences(&read(path)?, &fleet.settings(&whom));
                found.into_iter().map(|it| (whom.to_string(), it)).collect()
            }
            None => {
                let of = |id: &Id| {
                    fleet
                        .differences(id)
                        .into_iter()
                        .map(|it| (id.to_string(), it))
                        .collect::<Vec<_>>()
                };
                fleet.select(&filter).flat_map(|(id, _)| of(id)).collect()
            }
        };
        let is_same = rows.is_empty();
        let titles = match self.file {
            Some(_) => ["whom", "key", "in the file", "wanted now", ""],
            None => ["kiosk", "key", "wanted", "has", "why"],
        };
        print(&if self.json {
            json_lines(rows.into_iter().map(|(whom, it)| json!({"whom": whom, "difference": it})))?
        } else if is_same {
            "no difference\n".to_owned()
        } else {
            let shown = |value: Option<crate::office::text::Text>| {
                value.map_or("-".to_owned(), |it| it.to_string())
            };
            columns(
                &titles,
                rows.into_iter().map(|(whom, it)| {
                    vec![whom, it.key.to_string(), shown(it.wanted), shown(it.has), it.why]
                }),
            )?
        })?;
        Ok(is_same)
    }
}

impl Set {
    fn run(&self) -> Outcome {
        let whom = match (&self.kiosk, &self.branch) {
            (Some(id), _) => Whom::Kiosk(id.clone()),
            (None, Some(branch)) => Whom::Branch(branch.to_string()),
            (None, None) => Whom::All,
        };
        let change = self.change()?;
        let branch = match &whom {
            Whom::All => None,
            Whom::Branch(branch) => Some(branch.clone()),
            Whom::Kiosk(id) => Some(id.branch().to_owned()),
        };
        block_on(async {
            let (mut session, mut fleet) = collect(&self.broker, branch.as_deref()).await?;
            let before = fleet.desired.get(&whom).map_or(0, |desired| desired.version);
            if self.expect.is_some_and(|expected| expected != before) {
                let reason = "look at it with `cic-kiosk fleet config diff` and try again";
                return Err(format!("version {before} is wanted of {whom} now: {reason}").into());
            }
            let version = fleet.next_version(&whom)?;
            let base = if self.replace { Table::new() } else { fleet.settings(&whom) };
            let mut wanted = settings::over(&base, &change);
            for key in &self.unset {
                if !settings::unset(&mut wanted, key) {
                    return Err(format!("{key} is not set for {whom}").into());
                }
            }
            if before > 0 && wanted == fleet.settings(&whom) {
                print(&format!("{whom}: version {before} is that already\n"))?;
                return Ok(true);
            }
            let message = settings::message(version, &wanted)?;
            // What was read may be old by now.
            session.sync(|message| _ = fleet.take(message)).await?;
            let now = fleet.desired.get(&whom).map_or(0, |desired| desired.version);
            if now != before {
                return Err(format!(
                    "somebody else has set version {now} of {whom} meanwhile: try again"
                )
                .into());
            }
            session.publish_all(vec![(whom.desired(), message, true)]).await?;
            session.sync(|message| _ = fleet.take(message)).await?;
            let stands = fleet.desired.get(&whom);
            if stands.is_none_or(|it| it.version != version || it.settings != wanted) {
                return Err(
                    format!("somebody else has set {whom} at the same moment: try again").into()
                );
            }
            if self.no_wait {
                print(&format!("{whom}: version {version}\n"))?;
                return Ok(true);
            }
            let outcome = self.follow(&mut session, &mut fleet, &whom, version).await;
            session.close().await;
            outcome
        })
    }

    /// What is named on the command line.
    fn change(&self) -> Result<Table, Failure> {
        let mut change = Table::new();
        for text in &self.settings {
            if text.contains('=') {
                settings::assign(text, &mut change)?;
            } else {
                change = settings::over(&change, &read(Path::new(text))?);
            }
        }
        Ok(change)
    }

    async fn follow(
        &self,
        session: &mut Session,
        fleet: &mut Fleet,
        whom: &Whom,
        version: u64,
    ) -> Result<bool, Failure> {
        let level = match whom {
            Whom::All => Level::All,
            Whom::Branch(_) => Level::Branch,
            Whom::Kiosk(_) => Level::Kiosk,
        };
        let online = fleet
            .kiosks
            .iter()
            .filter(|(id, kiosk)| whom.has(id) && kiosk.status() == Status::Online);
        let mut outcomes: BTreeMap<Id, Option<Result<(), String>>> =
            online.map(|(id, _)| (id.clone(), None)).collect();
        let until = Instant::now() + Duration::try_from(self.timeout).unwrap_or_default();
        let mut left = usize::MAX;
        while left > 0 {
            left = 0;
            for (id, outcome) in &mut outcomes {
                *outcome = of(fleet, id, level, version);
                left += usize::from(outcome.is_none());
            }
            if left == 0 {
                break;
            }
            let Some(message) = session.next_until(until).await? else { break };
            fleet.take(&message);
            // What has come with it is looked at together.
            session.sync(|message| _ = fleet.take(message)).await?;
        }
        let has = |wanted: bool| {
            outcomes
                .values()
                .filter(|it| it.as_ref().is_some_and(|it| it.is_ok() == wanted))
                .count()
        };
        let (taken, refused) = (has(true), has(false));
        let is_done = taken == outcomes.len();
        let rows = outcomes.into_iter().map(|(id, outcome)| {
            let (word, reason) = match outcome {
                Some(Ok(())) => ("in force", String::new()),
                Some(Err(reason)) => ("refused", reason),
                None => ("no answer", String::new()),
            };
            (id, word, reason)
        });
        print(&if self.json {
            json_lines(rows.map(|(id, word, reason)| {
                json!({"kiosk": id, "version": version, "outcome": word, "reason": reason})
            }))?
        } else {
            let others: Vec<_> = rows.filter(|(_, word, _)| *word != "in force").collect();
            let rows = others
                .into_iter()
                .map(|(id, word, reason)| vec![id.to_string(), word.to_owned(), reason]);
            let mut rows = rows.peekable();
            let table = if rows.peek().is_some() {
                columns(&["kiosk", "", "why"], rows)?
            } else {
                String::new()
            };
            format!(
                "{table}{whom}: version {version} is in force at {taken} kiosks, refused by {refused}, and {left} have not answered\n"
            )
        })?;
        Ok(is_done)
    }
}

/// What became of a version at a kiosk, if anything did.
fn of(fleet: &Fleet, id: &Id, level: Level, version: u64) -> Option<Result<(), String>> {
    let reported = fleet.kiosks.get(id)?.reported.as_ref()?;
    let report = reported.of(level);
    let refused = report.refused.as_ref().filter(|it| it.version == Some(version));
    match refused {
        Some(refusal) => Some(Err(seen::Refusal::shown(refusal))),
        None if report.version == Some(version) && reported.status.as_str() != "trial" => {
            Some(Ok(()))
        }
        None => None,
    }
}
