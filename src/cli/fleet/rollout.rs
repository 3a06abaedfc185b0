//! `fleet rollout`: a model or settings, in waves.

use std::path::PathBuf;
use std::{fs, io};

use cic_kiosk::config::Name;
use clap::{Args, Subcommand};

use super::{BrokerArgs, block_on, columns, interruption};
use crate::cli::setup::set;
use crate::cli::{Failure, Outcome, print};
use crate::office::fleet::{Filter, Fleet};
use crate::office::rollout::{
    self, Cargo, Keeper, Phase, Plan, RolloutError, Runner, Share, State, Wave,
};
use crate::office::seen::Status;
use crate::office::session::About;

/// Bring a model or settings to the fleet in waves
#[derive(Args)]
pub struct Rollout {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    Start(Box<Start>),
    Resume(Resume),
    Status(Show),
    Abort(Abort),
}

/// Begin a roll-out
///
/// How it stands is kept in a file; whatever interrupts it, `resume` goes on. The exit status is 1
/// where it stopped.
#[derive(Args)]
struct Start {
    /// A plan (TOML) with the names of the options below; options go over it
    plan: Option<PathBuf>,

    /// Package of models: a file, which goes over the broker, or an address that kiosks fetch it from
    #[arg(long, value_name = "FILE|URL", conflicts_with = "settings")]
    model: Option<String>,

    /// SHA-256 of the package, where it is at an address
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,

    /// Size of the package, where it is at an address
    #[arg(long, value_name = "N")]
    bytes: Option<u64>,

    /// A package that is older than what a kiosk has, too
    #[arg(long)]
    allow_older: bool,

    /// Settings: a file (TOML, or JSON)
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,

    /// Of this branch alone
    #[arg(long, value_name = "NAME")]
    branch: Option<Name>,

    /// How many kiosks have it after each wave [default: 1,5%,25%,100%]
    #[arg(long, value_name = "WAVES", value_delimiter = ',')]
    waves: Vec<Wave>,

    /// Share of the kiosks that may fail [default: 3%]
    #[arg(long, value_name = "N%")]
    stop_at: Option<Share>,

    /// Seconds for which the kiosks of a wave are watched [default: 300]
    #[arg(long, value_name = "SECONDS")]
    soak: Option<u64>,

    /// By how much more of the scans may need a review [default: 10%]
    #[arg(long, value_name = "N%")]
    worse_by: Option<Share>,

    /// Seconds that a kiosk has for it [default: 600]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,

    /// Kiosks that are at it at the same time [default: 50]
    #[arg(long, value_name = "N")]
    at_once: Option<usize>,

    /// At the end, make settings those of all kiosks, or of the branch, instead of each one's own
    #[arg(long)]
    promote: bool,

    /// File that keeps how it stands
    #[arg(long, value_name = "FILE", default_value = "rollout.json")]
    state: PathBuf,

    #[command(flatten)]
    broker: BrokerArgs,
}

/// Go on with a roll-out that was interrupted, has stopped, or has left out kiosks that were away
#[derive(Args)]
struct Resume {
    /// File that keeps how it stands
    #[arg(default_value = "rollout.json")]
    state: PathBuf,

    /// Try what has failed again; otherwise it counts no more
    #[arg(long)]
    retry: bool,

    #[command(flatten)]
    broker: BrokerArgs,
}

/// Show how a roll-out stands
#[derive(Args)]
struct Show {
    /// File that keeps how it stands
    #[arg(default_value = "rollout.json")]
    state: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Give a roll-out up
#[derive(Args)]
struct Abort {
    /// File that keeps how it stands
    #[arg(default_value = "rollout.json")]
    state: PathBuf,

    /// Kiosks that have it go back to what they had
    #[arg(long)]
    undo: bool,

    #[command(flatten)]
    broker: BrokerArgs,
}

impl Rollout {
    /// Whether it went through.
    pub fn run(&self) -> Outcome {
        match &self.action {
            Action::Start(start) => start.run(),
            Action::Resume(resume) => resume.run(),
            Action::Status(show) => show.run(),
            Action::Abort(abort) => abort.run(),
        }
    }
}

impl Start {
    fn run(&self) -> Outcome {
        let plan = self.plan()?;
        let cargo = Cargo::of(&plan)?;
        if self.state.exists() {
            let cause = io::ErrorKind::AlreadyExists.into();
            return Err(RolloutError::File { path: self.state.clone(), cause }.into());
        }
        block_on(async {
            let (mut session, mut fleet) = (self.broker.open().await?, Fleet::default());
            session.collect(&[About::Presence], plan.branch.as_deref(), &mut fleet).await?;
            let filter = Filter { branch: plan.branch.clone(), ..Filter::default() };
            let kiosks: Vec<_> = fleet
                .select(&filter)
                .filter(|(_, kiosk)| {
                    kiosk.presence.is_some() && kiosk.status() != Status::Malformed
                })
                .map(|(id, kiosk)| (id.clone(), kiosk.status() == Status::Online))
                .collect();
            let state = State::new(plan, cargo, kiosks)?;
            let keeper = Keeper::create(&self.state, &state)?;
            tell(&format!("{} to {} kiosks", state.cargo.shown(), state.kiosks.len()));
            let runner = Runner::new(state, keeper, session, tell, interruption()?).await?;
            end(&runner.run().await?)
        })
    }

    fn plan(&self) -> Result<Plan, Failure> {
        let mut plan = match &self.plan {
            None => Plan::default(),
            Some(path) => {
                let text = fs::read_to_string(path);
                let text =
                    text.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?
            }
        };
        set(&mut plan.model, self.model.clone().map(Some));
        set(&mut plan.settings, self.settings.clone().map(Some));
        set(&mut plan.sha256, self.sha256.clone().map(Some));
        set(&mut plan.bytes, self.bytes.map(Some));
        set(&mut plan.branch, self.branch.as_ref().map(|name| Some(name.to_string())));
        set(&mut plan.waves, (!self.waves.is_empty()).then(|| self.waves.clone()));
        set(&mut plan.stop_at, self.stop_at);
        set(&mut plan.soak_seconds, self.soak);
        set(&mut plan.worse_by, self.worse_by);
        set(&mut plan.timeout_seconds, self.timeout);
        set(&mut plan.at_once, self.at_once);
        plan.promote |= self.promote;
        plan.allow_older |= self.allow_older;
        Ok(plan)
    }
}

impl Resume {
    fn run(&self) -> Outcome {
        let (keeper, mut state) = Keeper::open(&self.state)?;
        match &state.phase {
            Phase::Aborted => return Err("it was given up: begin another one".into()),
            // It was interrupted: nothing has to be seen to.
            Phase::Running if !self.retry => {}
            _ => state.go_on(self.retry),
        }
        block_on(async {
            let session = self.broker.open().await?;
            let runner = Runner::new(state, keeper, session, tell, interruption()?).await?;
            end(&runner.run().await?)
        })
    }
}

impl Abort {
    fn run(&self) -> Outcome {
        let (keeper, state) = Keeper::open(&self.state)?;
        block_on(async {
            let session = self.broker.open().await?;
            let runner = Runner::new(state, keeper, session, tell, interruption()?).await?;
            let state = runner.abort(self.undo).await?;
            print(&text(&state)?)?;
            let left = state.kiosks.iter().any(|it| {
                it.outcome == rollout::Outcome::Sent
                    || self.undo && it.outcome == rollout::Outcome::Done
            });
            Ok(!left)
        })
    }
}

impl Show {
    fn run(&self) -> Outcome {
        let state = rollout::load(&self.state)?;
        print(&if self.json { serde_json::to_string(&state)? + "\n" } else { text(&state)? })?;
        Ok(!matches!(state.phase, Phase::Stopped(_)))
    }
}

fn tell(line: &str) {
    eprintln!("{line}");
}

fn end(state: &State) -> Outcome {
    print(&text(state)?)?;
    Ok(state.phase == Phase::Done)
}

fn text(state: &State) -> Result<String, Failure> {
    use rollout::Outcome::{Absent, Done, Failed, Sent, Undone, Waiting};
    let phase = match &state.phase {
        Phase::Running => "interrupted; `cic-kiosk fleet rollout resume` goes on".to_owned(),
        Phase::Stopped(reason) => format!("stopped: {reason}"),
        Phase::Done => "done".to_owned(),
        Phase::Aborted => "given up".to_owned(),
    };
    let waves: Vec<_> = state.plan.waves.iter().map(Wave::to_string).collect();
    let counts = [Done, Failed, Absent, Undone, Sent, Waiting]
        .map(|outcome| format!("{} {}", state.count(outcome), outcome.name()));
    let mut text = format!(
        "{}, begun {}\n{phase}\nwave {} of {} ({}): {}\n",
        state.cargo.shown(),
        state.began,
        state.wave + 1,
        waves.len(),
        waves.join(", "),
        counts.join(", ")
    );
    let bad: Vec<_> = state
        .kiosks
        .iter()
        .filter(|member| matches!(member.outcome, Failed | Absent))
        .map(|it| vec![it.id.to_string(), it.outcome.name().to_owned(), it.note.clone()])
        .collect();
    if !bad.is_empty() {
        text += &columns(&["kiosk", "", "why"], bad)?;
    }
    Ok(text)
}
