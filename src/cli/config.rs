//! `config`: what is set, where, and what could be.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cic_kiosk::config::{Layer, Loaded, VARIABLES, example, schema};
use clap::{Args, Subcommand};

use super::{Failure, Outcome, print};

/// Where the configuration is when nobody says otherwise.
const DEFAULT: &str = "/etc/cic-kiosk/config.toml";

/// Which configuration.
#[derive(Args, Clone)]
pub struct ConfigArgs {
    /// Configuration file (TOML); what lies in config.d beside it goes over it, and variables
    /// CIC_KIOSK__SECTION__KEY go over both [default: /etc/cic-kiosk/config.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigArgs {
    /// The arguments that name the same configuration to another command.
    pub fn arguments(&self) -> Vec<OsString> {
        let file = self.config.iter().flat_map(|file| ["--config".into(), file.into()]);
        file.collect()
    }

    /// Reads it all.
    pub fn load(&self) -> Result<Loaded, Failure> {
        let mut layers = Vec::new();
        match &self.config {
            Some(path) => layers.push(file(path)?),
            None if Path::new(DEFAULT).exists() => layers.push(file(Path::new(DEFAULT))?),
            None => {}
        }
        let beside =
            self.config.as_deref().unwrap_or(Path::new(DEFAULT)).with_file_name("config.d");
        for path in toml_files(&beside).map_err(|error| unreadable(&beside, &error))? {
            layers.push(file(&path)?);
        }
        let mut variables: Vec<(String, String)> = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with(VARIABLES))
            .collect();
        variables.sort();
        layers.extend(variables.into_iter().map(|(name, value)| Layer::Variable(name, value)));
        Ok(Loaded::from_layers(layers)?)
    }
}

fn file(path: &Path) -> Result<Layer, String> {
    let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    Ok(Layer::File(path.display().to_string(), text))
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("cannot read {}: {error}", path.display())
}

/// In the order of their names; none where there is no such folder.
fn toml_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    Ok(files)
}

/// Check the configuration, or show it
#[derive(Args)]
pub struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Say whether the configuration is right, and if not, where and why
    Check(ConfigArgs),
    /// Print all settings, each with the place that it comes from
    Show(ConfigArgs),
    /// Print the configuration's JSON Schema
    Schema,
    /// Print a commented example with all defaults
    Example,
}

impl Config {
    /// Does what was asked for.
    pub fn run(&self) -> Outcome {
        let text = match &self.action {
            Action::Check(args) => {
                args.load().map(|_| "the configuration is right\n".to_owned())?
            }
            Action::Show(args) => args.load()?.show(),
            Action::Schema => format!("{:#}\n", schema().as_value()),
            Action::Example => example(),
        };
        print(&text)?;
        Ok(true)
    }
}
