//! `submit`: hands documents to the daemon on this machine.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value as Json, json};
use tokio::runtime;
use ulid::Ulid;

use super::config::ConfigArgs;
use super::{Failure, Outcome, print};
use crate::daemon::submit::Client;

/// Hand documents to the daemon on this machine
///
/// One that is accepted is safe: it is read and delivered whatever happens to the program. Prints
/// the scan's id for each file.
#[derive(Args)]
pub struct Submit {
    /// Pictures or PDFs, one scan each unless they belong together
    #[arg(required = true)]
    files: Vec<PathBuf>,

    /// The files are the pages of one scan, in their order
    #[arg(long)]
    together: bool,

    /// The daemon's socket [default: kiosk.socket of the configuration]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    config: ConfigArgs,
}

impl Submit {
    /// Whether all were accepted.
    pub fn run(&self) -> Outcome {
        let config = self.config.load()?.config;
        let socket = self.socket.as_ref().unwrap_or(&config.kiosk.socket);
        let client = Client::new(socket)?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let max_bytes = config.limits.max_bytes;
        let mut submitted = Vec::new();
        if self.together {
            let files: Result<Vec<_>, _> =
                self.files.iter().map(|it| read(it, max_bytes)).collect();
            let scan = files.and_then(|files| runtime.block_on(client.submit_together(files)));
            submitted.extend(self.files.iter().map(|file| (file, scan.clone())));
            self.tell(&submitted)?;
        } else {
            for file in &self.files {
                let document = read(file, max_bytes);
                let scan = document.and_then(|document| runtime.block_on(client.submit(document)));
                submitted.push((file, scan));
                self.tell(&submitted[submitted.len() - 1..])?;
            }
        }
        if self.json {
            print(&format!("{:#}\n", json(&submitted)))?;
        }
        Ok(submitted.iter().all(|(_, scan)| scan.is_ok()))
    }

    /// As soon as it is known, so that whoever interrupts knows what is safe.
    fn tell(&self, submitted: &[Submitted]) -> Result<(), Failure> {
        for (file, scan) in submitted {
            match scan {
                Ok(_) if self.json => {}
                Ok(scan) => print(&format!("{scan}  {}\n", file.display()))?,
                Err(_) if self.json => {}
                Err(error) => eprintln!("cic-kiosk: {}: {error}", file.display()),
            }
        }
        Ok(())
    }
}

/// A file, and its scan or why there is none.
type Submitted<'a> = (&'a PathBuf, Result<Ulid, String>);

fn json(submitted: &[Submitted]) -> Json {
    let line = |(file, scan): &Submitted| match scan {
        Ok(scan) => json!({"file": file.display().to_string(), "scan_id": scan.to_string()}),
        Err(error) => json!({"file": file.display().to_string(), "error": error}),
    };
    submitted.iter().map(line).collect()
}

/// Never more than one byte over the limit: the daemon refuses what has it.
fn read(file: &Path, max_bytes: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|file| file.take((max_bytes as u64).saturating_add(1)).read_to_end(&mut bytes))
        .map_err(|error| format!("the file cannot be read: {error}"))?;
    Ok(bytes)
}
