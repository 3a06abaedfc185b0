//! `fleet list`: who is there, and with what.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::time::Instant;

use super::{BrokerArgs, FilterArgs, block_on, columns, json_lines};
use crate::cli::{Failure, Outcome, print};
use crate::office::fleet::{Fleet, Kiosk, LevelState};
use crate::office::seen::{Status, Telemetry};
use crate::office::session::About;
use crate::office::topics::Id;

/// List kiosks, and the job queue's workers
///
/// The exit status is 1 where there is no such kiosk.
#[derive(Args)]
pub struct List {
    /// With this in its names or in what it says of itself
    text: Option<String>,

    /// Wait so many seconds for telemetry: kiosks tell how they do each minute
    #[arg(long, value_name = "SECONDS")]
    telemetry: Option<u64>,

    /// Print one line of JSON for each
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    filter: FilterArgs,

    #[command(flatten)]
    broker: BrokerArgs,
}

impl List {
    /// Whether there is such a kiosk.
    pub fn run(&self) -> Outcome {
        let filter = self.filter.filter(self.text.clone());
        let mut about = vec![About::Presence, About::Configuration, About::Queue];
        about.extend(self.telemetry.map(|_| About::Telemetry));
        let fleet = block_on(async {
            let (mut session, mut fleet) = (self.broker.open().await?, Fleet::default());
            session.collect(&about, filter.branch.as_deref(), &mut fleet).await?;
            let until = Instant::now() + Duration::from_secs(self.telemetry.unwrap_or(0));
            while self.telemetry.is_some() {
                let Some(message) = session.next_until(until).await? else { break };
                fleet.take(&message);
            }
            session.close().await;
            Ok(fleet)
        })?;
        let found: Vec<_> = fleet.select(&filter).collect();
        let text = if self.json {
            let kiosks = found.iter().map(|(id, _)| fleet.json(id));
            let queue =
                fleet.queue.iter().map(|(name, state)| json!({"queue": name, "state": state}));
            let odd = fleet.odd.iter().map(|(topic, what)| json!({"topic": topic, "odd": what}));
            json_lines(kiosks.chain(queue).chain(odd))?
        } else {
            self.text(&fleet, &found)?
        };
        print(&text)?;
        Ok(!found.is_empty())
    }

    fn text(&self, fleet: &Fleet, found: &[(&Id, &Kiosk)]) -> Result<String, Failure> {
        let mut titles = vec![
            "branch", "kiosk", "status", "since", "program", "board", "models", "provider",
            "settings",
        ];
        if self.telemetry.is_some() {
            titles.extend(["scans", "review", "waiting", "faults"]);
        }
        let mut text =
            columns(&titles, found.iter().map(|(id, kiosk)| self.row(fleet, id, kiosk)))?;
        let online = found.iter().filter(|(_, kiosk)| kiosk.status() == Status::Online).count();
        writeln!(text, "{} kiosks, {online} online", found.len())?;
        if !fleet.queue.is_empty() {
            let titles = [
                "queue", "role", "status", "held", "done", "a minute", "backlog", "oldest",
                "failed", "dead",
            ];
            let rows = fleet.queue.iter().map(|(name, it)| {
                vec![
                    name.clone(),
                    it.role.to_string(),
                    it.status.name().to_owned(),
                    it.held.to_string(),
                    it.done.max(it.answered).to_string(),
                    format!("{:.1}", it.per_minute),
                    it.backlog.to_string(),
                    format!("{} s", it.oldest_seconds),
                    it.failed.to_string(),
                    it.dead.to_string(),
                ]
            });
            write!(text, "\n{}", columns(&titles, rows)?)?;
        }
        for (topic, what) in fleet.odd.iter().take(20) {
            writeln!(text, "not understood: {topic}: {what}")?;
        }
        if fleet.odd.len() > 20 {
            writeln!(text, "not understood: {} more topics", fleet.odd.len() - 20)?;
        }
        Ok(text)
    }

    fn row(&self, fleet: &Fleet, id: &Id, kiosk: &Kiosk) -> Vec<String> {
        let presence = kiosk.presence.clone().unwrap_or_default();
        let reason = presence.reason.as_ref().map(|reason| format!(" ({reason})"));
        let levels: Vec<_> = fleet.levels(id).iter().map(LevelState::shown).collect();
        let mut row = vec![
            id.branch().to_owned(),
            id.kiosk().to_owned(),
            kiosk.status().name().to_owned() + &reason.unwrap_or_default(),
            presence.since.to_string(),
            presence.version.to_string(),
            presence.board.to_string(),
            presence.models_shown(),
            presence.provider.to_string(),
            levels.join(", "),
        ];
        if self.telemetry.is_some() {
            let counts = kiosk.telemetry.as_ref().map(Telemetry::counts);
            let share = counts.and_then(|it| it.share());
            let waiting = kiosk
                .telemetry
                .as_ref()
                .map(|it| it.outbox.documents.saturating_add(it.outbox.results));
            let faults = kiosk.telemetry.as_ref().map(Telemetry::faults).unwrap_or_default();
            row.extend([
                counts.map(|it| it.total.to_string()).unwrap_or_default(),
                share.map(|share| format!("{:.1} %", 100.0 * share)).unwrap_or_default(),
                waiting.map(|it| it.to_string()).unwrap_or_default(),
                faults.join(", "),
            ]);
        }
        row
    }
}
