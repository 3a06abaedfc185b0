//! What helps to find out from afar what is wrong with a kiosk, in one bundle: a tar file, packed with
//! gzip.
//!
//! Promise: no value of a paper, and no secret, is in it. All of it is made of what already may be
//! told: the configuration, which holds no secret; figures; what the doctor finds; the log.

use std::ffi::OsString;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tar::{Builder, EntryType, Header};
use tokio::process::Command;
use tokio::time::timeout;

use super::deeds::Deeds;
use super::{Report, journal};
use crate::fleet::commands::Address;
use crate::fleet::commands::message::{Code, Failure};

/// The newest lines of the log that go with it.
const MOST_LINES: usize = 2000;

/// Steps that are told.
const STEPS: u64 = 3;

/// For the doctor, some of whose checks wait for devices and hosts.
const DOCTOR: Duration = Duration::from_secs(120);

/// Keys of the configuration that are nobody's business: whose account it is, and what was agreed
/// with whom.
const REDACTED: [(&str, &str); 2] = [("mqtt", "user"), ("cloud", "consent")];

impl Deeds {
    pub(super) async fn diagnostics(
        &self,
        address: &Address,
        report: &Report,
    ) -> Result<Json, Failure> {
        let failed = |error: &dyn ToString| Failure::new(Code::Failed, error.to_string());
        report.at("log", 0, STEPS);
        let log = match journal::lines(None, None, None, MOST_LINES).await {
            Ok(lines) => lines.text,
            Err(failure) => format!("{failure}\n"),
        };
        report.at("doctor", 1, STEPS);
        let doctor = doctor(self.doctor.clone()).await.unwrap_or_else(|why| json!({"failed": why}));
        report.at("pack", 2, STEPS);
        let birth = self.post.birth().borrow().clone();
        let telemetry = self.figures.telemetry();
        let files = [
            ("kiosk.json", pretty(&json!(birth))),
            ("configuration.json", pretty(&self.configuration())),
            ("from-afar.json", pretty(&self.configuring.reported())),
            ("telemetry.json", pretty(&json!(telemetry))),
            ("sources.json", pretty(&json!(self.sources.standing()))),
            ("doctor.json", pretty(&doctor)),
            ("log.txt", log),
        ];
        let bundle = pack(&files).map_err(|error| failed(&error))?;
        let mut result = self.send(address, &bundle, report).await?;
        result["files"] = json!(files.map(|(name, _)| name));
        Ok(result)
    }

    /// What is in force.
    fn configuration(&self) -> Json {
        let mut config = json!(**self.settings.borrow());
        for (section, key) in REDACTED {
            if let Some(value) = config[section].get_mut(key).filter(|value| !value.is_null()) {
                *value = json!("…");
            }
        }
        config
    }
}

/// What the program's own doctor says, in a process of its own: it decodes a page.
pub async fn doctor(arguments: Vec<OsString>) -> Result<Json, String> {
    let mut doctor = Command::new("/proc/self/exe");
    doctor.args(["doctor", "--json"]).args(arguments).kill_on_drop(true);
    doctor.stdin(Stdio::null()).stderr(Stdio::null());
    let output = timeout(DOCTOR, doctor.output()).await.map_err(|_| "it takes too long")?;
    let output = output.map_err(|error| error.to_string())?;
    serde_json::from_slice(&output.stdout).map_err(|_| format!("it ended with {}", output.status))
}

fn pretty(json: &Json) -> String {
    format!("{json:#}\n")
}

fn pack(files: &[(&str, String)]) -> io::Result<Vec<u8>> {
    let mut bundle = Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
    for (name, text) in files {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(u64::try_from(Timestamp::now().as_second()).unwrap_or(0));
        bundle.append_data(&mut header, name, text.as_bytes())?;
    }
    bundle.into_inner()?.finish()
}
