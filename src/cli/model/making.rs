//! Packages are made and signed here: what an office does.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use cic_kiosk::config::Name;
use clap::Args;
use serde_json::json;

use crate::cli::{Failure, Outcome, print};
use crate::updates::making::{self, Recipe};
use crate::updates::package::{Demand, Version};

/// Make a package that has yet to be signed
#[derive(Args)]
pub struct Pack {
    /// Folder of the models and their manifest
    #[arg(long, value_name = "DIR")]
    models: PathBuf,

    /// Folder of golden pages, each document beside its truth, NAME.json (as `eval` reads it)
    #[arg(long, value_name = "DIR")]
    golden: PathBuf,

    /// Which one it is, such as 1.2.0: kiosks take only one that is newer than theirs
    #[arg(long, value_name = "VERSION")]
    set_version: Version,

    /// Device class that it is for; may be said several times
    #[arg(long, value_name = "CLASS", required = true)]
    device: Vec<Name>,

    /// Days that it may be installed
    #[arg(long, value_name = "N", default_value_t = 90)]
    days: u16,

    /// The oldest program that can use it [default: this one]
    #[arg(long, value_name = "VERSION")]
    program: Option<Version>,

    /// Share of the golden pages' values that must be right
    #[arg(long, value_name = "0..1", default_value_t = 0.95)]
    right: f64,

    /// How much longer than with the models before a golden page may take
    #[arg(long, value_name = "FACTOR", default_value_t = 1.5)]
    slowdown: f64,

    /// TOML file of what goes into [decision] in the place of the program's own defaults
    #[arg(long, value_name = "FILE")]
    decision: Option<PathBuf>,

    /// The package
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Sign a package
#[derive(Args)]
pub struct Sign {
    /// The package, as `pack` made it
    file: PathBuf,

    /// The secret key's file, of `keygen` or of minisign
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    #[command(flatten)]
    password: Password,

    /// What operators are shown; it decides about nothing
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,

    /// The signed package, NAME.cicmodel
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Make a pair of keys, print the public one as models.keys takes it, and keep the secret one
#[derive(Args)]
pub struct Keygen {
    /// The secret key's new file
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    #[command(flatten)]
    password: Password,
}

/// How the secret key's file is kept.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Password {
    /// File of the password that the secret key's file is encrypted with
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,

    /// The secret key's file is not encrypted: whoever can read it can sign
    #[arg(long)]
    no_password: bool,
}

impl Password {
    fn read(&self) -> Result<Option<String>, Failure> {
        let Some(path) = &self.password_file else { return Ok(None) };
        let text = fs::read_to_string(path).map_err(|error| about(path, &error))?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

impl Pack {
    pub fn run(&self) -> Outcome {
        let decision = match &self.decision {
            None => toml::Table::new(),
            Some(path) => fs::read_to_string(path)
                .map_err(|error| about(path, &error))?
                .parse()
                .map_err(|error: toml::de::Error| about(path, &error.message()))?,
        };
        let package = making::pack(
            &Recipe {
                models: self.models.clone(),
                golden: self.golden.clone(),
                version: self.set_version,
                days: self.days,
                devices: self.device.clone(),
                program: self.program.unwrap_or_else(Version::of_program),
                demand: Demand { right: self.right, slowdown: self.slowdown },
                decision,
            },
            &self.out,
        )?;
        print(&format!("{:#}\n", super::described(&package)))?;
        Ok(true)
    }
}

impl Sign {
    pub fn run(&self) -> Outcome {
        let password = self.password.read()?;
        making::sign(&self.file, &self.key, password, &self.comment, &self.out)?;
        let mut signed = fs::File::open(&self.out)?;
        let bytes = signed.metadata()?.len();
        let sha256 = crate::updates::archive::copy(&mut signed, &mut std::io::sink())?;
        // What a command to install it says.
        print(&format!("{:#}\n", json!({ "bytes": bytes, "sha256": sha256 })))?;
        Ok(true)
    }
}

impl Keygen {
    pub fn run(&self) -> Outcome {
        let (public, secret) = making::key_pair(self.password.read()?)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.key);
        let file = file.as_mut().map_err(|error| about(&self.key, error))?;
        file.write_all(secret.as_bytes())?;
        file.sync_all()?;
        print(&format!("{public}\n"))?;
        Ok(true)
    }
}

fn about(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}
