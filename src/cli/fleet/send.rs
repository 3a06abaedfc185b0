//! `fleet send`: kiosks are told to do something.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};
use tokio::time::Instant;
use ulid::Ulid;

use super::{BrokerArgs, FilterArgs, block_on, columns, duration, json_lines};
use crate::cli::{Failure, Outcome, print, usage_error};
use crate::office::commands::{Answer, Answers, Order, parameter, save};
use crate::office::fleet::Fleet;
use crate::office::seen::{self, Command, Status, Step};
use crate::office::session::{About, Session};
use crate::office::topics::{Id, Topic};

/// Kiosks take no command that may be begun later than that.
const MOST_LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Tell kiosks to do something, and follow what comes of it
///
/// Kinds are scan, identify, reload, restart, reboot, diagnostics, log, cloud, wipe, selftest,
/// model-update, model-rollback and config-rollback. The exit status is 1 unless all have done it.
#[derive(Args)]
pub struct Send {
    /// What they are to do
    #[arg(required_unless_present = "clear")]
    kind: Option<String>,

    /// With what: NAME=VALUE, where the value is JSON or else text
    #[arg(value_parser = parameter)]
    parameters: Vec<(String, Json)>,

    /// All kiosks, where no other option says which
    #[arg(long)]
    all: bool,

    /// Kiosks that are not connected, too: they may do it when they are
    #[arg(long)]
    absent: bool,

    /// Until when it is to be begun
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    expires: SignedDuration,

    /// How long is waited for the kiosks
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration)]
    timeout: SignedDuration,

    /// Wait for nothing
    #[arg(long)]
    no_wait: bool,

    /// Folder for what diagnostics and log give
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,

    /// Take finished commands of this sender away from the broker, instead
    #[arg(long, conflicts_with_all = ["kind", "parameters"])]
    clear: bool,

    /// Print one line of JSON for each kiosk
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    filter: FilterArgs,

    #[command(flatten)]
    broker: BrokerArgs,
}

impl Send {
    /// Whether all have done it.
    pub fn run(&self) -> Outcome {
        if !self.clear && self.all != self.filter.is_empty() {
            let reason = "say which kiosks: --branch, --kiosk, --status, --version or --stale, or else --all";
            return Err(usage_error(reason).into());
        }
        if self.expires.is_zero() || self.expires > MOST_LIFE {
            return Err(usage_error("--expires: expected a time of 7 days at most").into());
        }
        block_on(async {
            let mut session = self.broker.open().await?;
            let mut fleet = Fleet::default();
            let filter = self.filter.filter(None);
            session.collect(&[About::Presence], filter.branch.as_deref(), &mut fleet).await?;
            let outcome = if self.clear {
                self.clear(&mut session, &fleet).await
            } else {
                self.send(&mut session, &fleet).await
            };
            session.close().await;
            outcome
        })
    }

    async fn send(&self, session: &mut Session, fleet: &Fleet) -> Result<bool, Failure> {
        let filter = self.filter.filter(None);
        let to: Vec<Id> = fleet
            .select(&filter)
            .filter(|(_, kiosk)| self.absent || kiosk.status() == Status::Online)
            .map(|(id, _)| id.clone())
            .collect();
        if to.is_empty() {
            return Err(
                "there is no such kiosk that is connected; --absent sends to others, too".into()
            );
        }
        let kind = self.kind.clone().unwrap_or_default();
        let parameters = self.parameters.iter().cloned().collect();
        let order = Order { kind: kind.clone(), parameters, lasts: self.expires };
        let id = Ulid::new();
        let mut answers = Answers::new(id, session.sender.as_str(), to);
        let mut early = Vec::new();
        session.listen(answers.filters(), |message| early.push(message.clone())).await?;
        session.publish_all(answers.letters(&order, Timestamp::now())).await?;
        if self.no_wait {
            print(&format!("{id}\n"))?;
            return Ok(true);
        }
        let until = Instant::now() + Duration::try_from(self.timeout).unwrap_or_default();
        answers
            .follow(session, until, |id, answer| {
                log::info!("{id} {} {}", answer.command.status.name(), answer.note());
            })
            .await?;
        let rows: Vec<_> =
            answers.all().iter().map(|(of, answer)| self.row(&kind, id, of, answer)).collect();
        let is_done = rows.iter().all(|row| row.is_done);
        print(&if self.json {
            json_lines(rows.into_iter().map(|row| row.json))?
        } else {
            columns(
                &["kiosk", "status", "seconds", "outcome"],
                rows.into_iter().map(|row| row.cells),
            )?
        })?;
        Ok(is_done)
    }

    fn row(&self, kind: &str, id: Ulid, of: &Id, answer: &Answer) -> OutcomeRow {
        let mut is_done = answer.command.status == Step::Successful;
        let mut json =
            json!({"branch": of.branch(), "kiosk": of.kiosk(), "command": answer.command});
        let saved = answer.output().and_then(|output| {
            output.map(|output| save(&self.out, of, kind, id, &output)).transpose()
        });
        let note = match saved {
            Ok(Some(path)) => {
                json["file"] = json!(path);
                path.display().to_string()
            }
            Ok(None) if answer.command.status == Step::Init => "no answer".to_owned(),
            Ok(None) => answer.note(),
            Err(error) => {
                is_done = false;
                json["error"] = json!(error.to_string());
                error.to_string()
            }
        };
        let seconds = answer.seconds().map(|it| it.to_string()).unwrap_or_default();
        let cells = vec![of.to_string(), answer.command.status.name().to_owned(), seconds, note];
        OutcomeRow { is_done, json, cells }
    }

    /// What is done, or can not be begun any more.
    async fn clear(&self, session: &mut Session, fleet: &Fleet) -> Result<bool, Failure> {
        let sender = session.sender.clone();
        let mut old = Vec::new();
        let now = Timestamp::now();
        session
            .listen(vec![format!("cic/v1/+/+/command/{sender}/+")], |message| {
                let Topic::Command(id, ..) = Topic::of(&message.topic) else { return };
                let command = seen::read::<Command>(&message.payload).ok();
                let is_over = command.is_none_or(|it| {
                    let expires = it.expires.as_str().parse::<Timestamp>();
                    it.status.is_final()
                        || it.status == Step::Init && expires.is_ok_and(|at| at < now)
                });
                if is_over && !message.payload.is_empty() {
                    old.push((id, message.topic.clone()));
                }
            })
            .await?;
        let filter = self.filter.filter(None);
        let is_meant = |id: &Id| {
            let nothing = Default::default();
            filter.fits(id, fleet.kiosks.get(id).unwrap_or(&nothing), now)
        };
        let letters: Vec<_> = old
            .into_iter()
            .filter(|(id, _)| is_meant(id))
            .map(|(_, topic)| (topic, Vec::new(), true))
            .collect();
        let count = letters.len();
        session.publish_all(letters).await?;
        print(&format!("{count} commands of {sender} are cleared\n"))?;
        Ok(true)
    }
}

struct OutcomeRow {
    is_done: bool,
    json: Json,
    cells: Vec<String>,
}
