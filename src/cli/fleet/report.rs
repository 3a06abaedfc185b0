//! `fleet report`: what the fleet does in some minutes, as a page.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use tokio::time::Instant;

use super::{BrokerArgs, block_on, interruption};
use crate::cli::{Failure, Outcome, print};
use crate::mqtt::Message;
use crate::office::report::{Recorded, Report as Told, page};
use crate::office::session::About;

/// Write a page about the fleet: throughput, confidence, review rate, failing kiosks, versions
///
/// Kiosks tell how they do each minute, and nobody keeps it: it is listened to for some minutes, or
/// read from a record of such minutes.
#[derive(Args)]
pub struct Report {
    /// The page (HTML)
    #[arg(long, value_name = "FILE", required_unless_present = "record")]
    out: Option<PathBuf>,

    /// Minutes to listen
    #[arg(long, value_name = "N", default_value_t = 5.0, value_parser = minutes)]
    minutes: f64,

    /// Keep what is heard in a file: one line of JSON for each message, after what is there
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    record: Option<PathBuf>,

    /// Listen to nothing, and read a record
    #[arg(long, value_name = "FILE")]
    from: Vec<PathBuf>,

    #[command(flatten)]
    broker: BrokerArgs,
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse().ok().filter(|minutes| (0.0..=10_080.0).contains(minutes));
    minutes.ok_or_else(|| "expected a number of minutes, of a week at most".to_owned())
}

impl Report {
    /// Always true: nothing else is promised.
    pub fn run(&self) -> Outcome {
        let report = if self.from.is_empty() { block_on(self.listen())? } else { self.read()? };
        if let Some(out) = &self.out {
            let html = page(&report)?;
            fs::write(out, html)
                .map_err(|error| format!("cannot write {}: {error}", out.display()))?;
            let (kiosks, heard) = (report.fleet.kiosks.len(), report.heard());
            print(&format!("{}: {kiosks} kiosks, {heard} told how they do\n", out.display()))?;
        }
        Ok(true)
    }

    fn read(&self) -> Result<Told, Failure> {
        let mut report = Told::default();
        for path in &self.from {
            let unreadable =
                |error: std::io::Error| format!("cannot read {}: {error}", path.display());
            let file = BufReader::new(File::open(path).map_err(unreadable)?);
            for (number, line) in file.lines().enumerate() {
                let line = line.map_err(unreadable)?;
                let recorded = serde_json::from_str::<Recorded>(&line).map_err(|error| {
                    format!(
                        "{}, line {}: no message of a record: {error}",
                        path.display(),
                        number + 1
                    )
                })?;
                report.take(recorded);
            }
        }
        Ok(report)
    }

    async fn listen(&self) -> Result<Told, Failure> {
        let stop = interruption()?;
        let (mut report, mut record) = (Told::default(), None);
        if let Some(path) = &self.record {
            let file = File::options().create(true).append(true).open(path);
            let file = file.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            record = Some(BufWriter::new(file));
        }
        let mut failed = None;
        let mut take = |report: &mut Told, message: &Message| {
            let recorded = Recorded::of(message, Timestamp::now());
            if let Some(file) = &mut record {
                let line = serde_json::to_string(&recorded).unwrap_or_default();
                failed = failed.take().or(writeln!(file, "{line}").err());
            }
            report.take(recorded);
        };
        let mut session = self.broker.open().await?;
        let about = [About::Presence, About::Configuration, About::Queue, About::Telemetry];
        session.collect_with(&about, None, |message| take(&mut report, message)).await?;
        let until = Instant::now() + Duration::from_secs_f64(self.minutes * 60.0);
        loop {
            let message = tokio::select! {
                message = session.next_until(until) => message,
                // What was heard until then is told.
                () = stop.cancelled() => break,
            };
            match message {
                Ok(Some(message)) => take(&mut report, &message),
                Ok(None) => break,
                Err(failure) => {
                    log::warn!("the connection broke: {failure}");
                    tokio::select! {
                        () = session.reopen(|failure| log::warn!("{failure}")) => {}
                        () = stop.cancelled() => break,
                    }
                }
            }
        }
        session.close().await;
        report.end(Timestamp::now());
        if let Some(mut file) = record {
            failed = failed.or(file.flush().err());
        }
        match failed {
            Some(error) => Err(format!("the record is not whole: {error}").into()),
            None => Ok(report),
        }
    }
}
