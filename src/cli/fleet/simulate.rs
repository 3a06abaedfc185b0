//! `fleet simulate`: a fleet to try all of this with.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use cic_kiosk::config::Name;
use clap::Args;
use tokio::runtime;

use super::{Access, BrokerArgs, GIVEN_UP, interruption};
use crate::cli::{Failure, Outcome, print};
use crate::office::rollout::Share;
use crate::office::simulate::{self, Born, Plan};

/// For files of the kiosks' settings: as many as a disk is worth asking at once.
const DISK_THREADS: usize = 16;

/// Simulate kiosks, to try a broker and these commands with
///
/// Each has a connection of its own, and is in everything that an office sees like a real one; it
/// reads nothing, and carries no command out. It runs until it is interrupted.
#[derive(Args)]
pub struct Simulate {
    /// How many
    #[arg(long, value_name = "N", default_value_t = 1000)]
    kiosks: usize,

    /// Share of them that fail at whatever they are told to do
    #[arg(long, value_name = "N%", default_value = "0%")]
    fail: Share,

    /// End after so many seconds
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,

    /// What the branches' names begin with
    #[arg(long, value_name = "NAME", default_value = "sim-")]
    prefix: Name,

    /// Seconds between two tellings of how a kiosk does
    #[arg(long, value_name = "N", default_value_t = 60.0, value_parser = positive)]
    telemetry: f64,

    /// Scans of a kiosk in a minute
    #[arg(long, value_name = "N", default_value_t = 2.0, value_parser = positive)]
    scans: f64,

    /// Seconds that a command takes, about
    #[arg(long, value_name = "N", default_value_t = 0.5, value_parser = positive)]
    work: f64,

    /// Leave nothing retained at the broker in the end
    #[arg(long)]
    clear: bool,

    /// Folder for the kiosks' settings, which is removed in the end [default: one for itself]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,

    #[command(flatten)]
    broker: BrokerArgs,
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=86_400.0).contains(number));
    number.ok_or_else(|| "expected a number from 0 to 86400".to_owned())
}

impl Simulate {
    /// Always true: nothing else is promised.
    pub fn run(&self) -> Outcome {
        simulate::allow(self.kiosks)?;
        let Access { settings, credentials, password, .. } = self.broker.access()?;
        let plan = Plan {
            kiosks: self.kiosks,
            fail: self.fail.0 / 100.0,
            prefix: self.prefix.to_string(),
            telemetry: Duration::from_secs_f64(self.telemetry.max(0.1)),
            scans_per_minute: self.scans,
            work: Duration::from_secs_f64(self.work),
            clear: self.clear,
            state: self.state.clone().unwrap_or_else(simulate::state_folder),
        };
        let runtime = runtime::Builder::new_multi_thread()
            .max_blocking_threads(DISK_THREADS)
            .enable_all()
            .build()?;
        let outcome = runtime.block_on(async {
            let (stop, born, begun) = (interruption()?, Born::default(), Instant::now());
            if let Some(seconds) = self.seconds {
                let stop = stop.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                    stop.cancel();
                });
            }
            let count = self.kiosks;
            let announced = async {
                born.wait(count).await;
                let seconds = begun.elapsed().as_secs_f64();
                print(&format!("ready: {count} kiosks were born in {seconds:.1} s\n"))?;
                Ok::<_, Failure>(())
            };
            let living =
                simulate::run(plan, settings, credentials, password, born.clone(), stop.clone());
            tokio::pin!(living);
            tokio::select! {
                ended = &mut living => return ended,
                announced = announced => announced?,
            }
            living.await
        });
        runtime.shutdown_timeout(GIVEN_UP);
        outcome.map(|()| true)
    }
}
