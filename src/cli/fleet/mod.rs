//! `fleet`: an operator's commands. They speak to the broker, and to nothing else.

mod config;
mod list;
mod report;
mod rollout;
mod send;
mod simulate;
mod watch;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use cic_kiosk::config::{Broker, Mqtt, Name};
use clap::{Args, Subcommand};
use jiff::SignedDuration;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::config::ConfigArgs;
use super::setup::set;
use super::{Failure, Outcome, table, usage_error};
use crate::credentials::{Credentials, Secret};
use crate::mqtt::{Caller, Dial, Topics};
use crate::office::fleet::Filter;
use crate::office::seen::Status;
use crate::office::session::{Session, client_id};

/// The variable that the password may be in.
const PASSWORD: &str = "CIC_KIOSK_MQTT_PASSWORD";

/// For tasks that do not end with the program.
const GIVEN_UP: Duration = Duration::from_millis(200);

/// Look after a fleet of kiosks, over their broker
#[derive(Args)]
pub struct Fleet {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    List(list::List),
    Watch(watch::Watch),
    Send(send::Send),
    Config(config::Config),
    Rollout(rollout::Rollout),
    Report(report::Report),
    Simulate(simulate::Simulate),
}

impl Fleet {
    /// Does what the subcommand says.
    pub fn run(&self) -> Outcome {
        match &self.command {
            Command::List(list) => list.run(),
            Command::Watch(watch) => watch.run(),
            Command::Send(send) => send.run(),
            Command::Config(config) => config.run(),
            Command::Rollout(rollout) => rollout.run(),
            Command::Report(report) => report.run(),
            Command::Simulate(simulate) => simulate.run(),
        }
    }
}

/// The broker, and who asks. What is not said is as [mqtt] of the configuration has it.
#[derive(Args, Clone)]
#[command(next_help_heading = "Broker")]
struct BrokerArgs {
    #[command(flatten)]
    config: ConfigArgs,

    /// The broker: mqtt://HOST[:PORT], mqtts://HOST[:PORT] or unix:///PATH
    #[arg(long, value_name = "URL")]
    broker: Option<Broker>,

    /// User name at the broker
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// File with the user's password; otherwise it is CIC_KIOSK_MQTT_PASSWORD's, or the credential
    /// mqtt-password
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,

    /// PEM file of the authorities that may vouch for the broker
    #[arg(long, value_name = "FILE")]
    authorities: Option<PathBuf>,

    /// PEM file of the operator's certificate; its key is the credential mqtt-key
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,

    /// Folder of the credentials mqtt-password and mqtt-key
    #[arg(long, value_name = "DIR")]
    credentials: Option<PathBuf>,

    /// Whose commands these are: the name that the broker's rules have for the operator [default:
    /// the user, or operator]
    #[arg(long, value_name = "NAME")]
    sender: Option<Name>,
}

/// What a connection is made of.
struct Access {
    settings: Mqtt,
    credentials: Credentials,
    password: Option<Secret>,
    sender: Name,
}

impl BrokerArgs {
    fn access(&self) -> Result<Access, Failure> {
        let config = self.config.load()?.config;
        let mut settings = config.mqtt;
        set(&mut settings.broker, self.broker.clone());
        set(&mut settings.user, self.user.clone().map(Some));
        set(&mut settings.authorities, self.authorities.clone().map(Some));
        set(&mut settings.certificate, self.certificate.clone().map(Some));
        let folder = self.credentials.as_ref().or(config.kiosk.credentials.as_ref());
        let credentials = Credentials::new(folder.map(PathBuf::as_path));
        let password = match &self.password_file {
            Some(path) => {
                let read = fs::read(path);
                Some(read.map_err(|error| format!("cannot read {}: {error}", path.display()))?)
            }
            None => env::var(PASSWORD).ok().map(String::into_bytes),
        };
        let sender = match (&self.sender, &settings.user) {
            (Some(sender), _) => sender.clone(),
            (None, Some(user)) => user.parse().map_err(|_| {
                usage_error("the user's name can be no level of a topic: say --sender")
            })?,
            (None, None) => "operator".parse()?,
        };
        Ok(Access { settings, credentials, password: password.map(Secret::from), sender })
    }

    async fn open(&self) -> Result<Session, Failure> {
        let Access { settings, credentials, password, sender } = self.access()?;
        // A kiosk's name is part of how one connects; this one has none.
        let topics = Topics::new("office".parse()?, "operator".parse()?);
        let dial = Dial { settings, credentials, topics, renewed: None };
        let caller = Caller { dial, id: client_id(), password, will: None };
        Ok(Session::open(caller, sender).await?)
    }
}

/// Which kiosks.
#[derive(Args, Clone)]
#[command(next_help_heading = "Kiosks")]
struct FilterArgs {
    /// Of this branch
    #[arg(long, value_name = "NAME")]
    branch: Option<Name>,

    /// Of this name, or BRANCH/NAME
    #[arg(long, value_name = "NAME")]
    kiosk: Option<String>,

    /// In this state: online, stopping, offline or malformed
    #[arg(long, value_name = "STATUS", value_parser = status)]
    status: Option<Status>,

    /// With this version of the program, of a model, or of a package
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,

    /// Not connected for that long, as in 2h or 3d
    #[arg(long, value_name = "TIME", value_parser = duration)]
    stale: Option<SignedDuration>,
}

impl FilterArgs {
    fn filter(&self, text: Option<String>) -> Filter {
        let (mut branch, mut kiosk) =
            (self.branch.as_ref().map(Name::to_string), self.kiosk.clone());
        if let Some((of, name)) = self.kiosk.as_deref().and_then(|kiosk| kiosk.split_once('/')) {
            (branch, kiosk) = (Some(of.to_owned()), Some(name.to_owned()));
        }
        let Self { status, version, stale, .. } = self.clone();
        Filter { branch, kiosk, status, version, stale, text }
    }

    fn is_empty(&self) -> bool {
        let Self { branch, kiosk, status, version, stale } = self;
        branch.is_none()
            && kiosk.is_none()
            && status.is_none()
            && version.is_none()
            && stale.is_none()
    }
}

fn status(text: &str) -> Result<Status, String> {
    let all = [Status::Online, Status::Stopping, Status::Offline, Status::Malformed];
    let found = all.into_iter().find(|status| status.name() == text);
    found.ok_or_else(|| "expected online, stopping, offline or malformed".to_owned())
}

/// `90s`, `2h 30m`, `3d`: a day has 24 hours.
fn duration(text: &str) -> Result<SignedDuration, String> {
    let expected = |_| "expected a time as in 90s, 2h or 3d".to_owned();
    let days = text.strip_suffix('d').and_then(|days| days.parse::<i64>().ok());
    let duration = match days.and_then(|days| days.checked_mul(24 * 60 * 60)) {
        Some(seconds) => SignedDuration::from_secs(seconds),
        None => text.parse().map_err(expected)?,
    };
    if duration.is_negative() {
        Err("expected a time that is not negative".to_owned())
    } else {
        Ok(duration)
    }
}

/// Runs until it is done.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(GIVEN_UP);
    result
}

/// Is cancelled by SIGINT and SIGTERM.
fn interruption() -> Result<CancellationToken, Failure> {
    let stop = CancellationToken::new();
    let (mut interrupt, mut end) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = end.recv() => {}
        }
        token.cancel();
    });
    Ok(stop)
}

/// Columns under their titles.
fn columns(
    titles: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Result<String, Failure> {
    let titles = titles.iter().map(|title| (*title).to_owned()).collect();
    let lines: Vec<Vec<String>> = [titles].into_iter().chain(rows).collect();
    let mut text = String::new();
    table::write_columns(&lines, &mut text)?;
    Ok(text)
}

/// One line of JSON each.
fn json_lines<T: serde::Serialize>(all: impl IntoIterator<Item = T>) -> Result<String, Failure> {
    let mut text = String::new();
    for one in all {
        writeln!(text, "{}", serde_json::to_string(&one)?)?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_written_with_its_unit() {
        assert_eq!(duration("90s"), Ok(SignedDuration::from_secs(90)));
        assert_eq!(duration("2h 30m"), Ok(SignedDuration::from_mins(150)));
        assert_eq!(duration("3d"), Ok(SignedDuration::from_hours(72)));
        for text in ["3", "x", "-1h", ""] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
