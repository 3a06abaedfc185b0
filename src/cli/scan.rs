//! `scan`: how the daemon's devices are, and orders for them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tokio::runtime;

use super::config::ConfigArgs;
use super::table::write_columns;
use super::{Outcome, print};
use crate::capture::{Device, Order, Source};
use crate::daemon::submit::Client;

/// See how the daemon's camera and scanners are, and tell them to begin, to end, or to forget a scan
///
/// The button on the kiosk's panel does the same.
#[derive(Args)]
pub struct Scan {
    /// What to do
    #[arg(value_enum, default_value_t = What::Status)]
    what: What,

    /// Which device; without it, the one that is ready, or that has a scan
    #[arg(long, value_name = "NAME", value_parser = device)]
    source: Option<Source>,

    /// The daemon's socket [default: kiosk.socket of the configuration]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// How they are
    Status,
    /// Begin, or take the page that lies there, now
    Start,
    /// That was the last page
    Done,
    /// Forget the scan
    Cancel,
}

/// A device's name.
pub fn device(name: &str) -> Result<Source, String> {
    Device::ALL
        .into_iter()
        .find(|source| source.as_str() == name)
        .ok_or_else(|| "expected camera, escl or sane".to_owned())
}

impl Scan {
    /// Whether the order was taken.
    pub fn run(&self) -> Outcome {
        let config = self.config.load()?.config;
        let client = Client::new(self.socket.as_ref().unwrap_or(&config.kiosk.socket))?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let order = match self.what {
            What::Status => return self.status(&runtime.block_on(client.sources())?),
            What::Start => Order::Start,
            What::Done => Order::Done,
            What::Cancel => Order::Cancel,
        };
        runtime.block_on(client.order(self.source, order))?;
        Ok(true)
    }

    fn status(&self, sources: &serde_json::Value) -> Outcome {
        if self.json {
            print(&format!("{sources:#}\n"))?;
            return Ok(true);
        }
        let sources = sources.as_array().map_or(&[][..], Vec::as_slice);
        if sources.is_empty() {
            print("no device is set up: see [camera], [escl] and [sane] of the configuration\n")?;
        }
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let lines: Vec<_> = sources
            .iter()
            .filter(|it| self.source.is_none_or(|source| it["source"] == source.as_str()))
            .map(|it| {
                let pages = it["scan"]["pages"].as_u64();
                let many =
                    |pages| if pages == 1 { "1 page".to_owned() } else { format!("{pages} pages") };
                let pages = pages.map_or_else(String::new, many);
                let ask = it["scan"]["ask"].as_str().or(it["reason"].as_str());
                let ask = ask.unwrap_or_default().to_owned();
                vec![text(&it["source"]), text(&it["state"]), pages, ask]
            })
            .collect();
        let mut table = String::new();
        write_columns(&lines, &mut table)?;
        print(&table)?;
        Ok(true)
    }
}
