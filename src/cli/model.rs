//! `model`: packages of models, which take the place of the installed ones.

#[cfg(feature = "office")]
mod making;

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};

use cic_kiosk::config::Config;
use clap::{Args, Subcommand};
use serde_json::json;
use tokio::runtime;

use super::config::ConfigArgs;
use super::setup::ReadingArgs;
use super::{Failure, Outcome, print};
use crate::reading::{self, Reader};
use crate::updates::golden::Golden;
use crate::updates::install::{
    Installed, Step, install, installed_version, models_in_force, verify,
};
use crate::updates::package::Package;
use crate::updates::store::{Held, Store};

/// Check, install and leave packages of models
///
/// A service that runs on the same state folder notices within seconds what is put in force here, and
/// watches how it does.
#[derive(Args)]
pub struct Model {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Verify(Verify),
    Install(Install),
    List(List),
    Rollback(Rollback),
    Selftest(Selftest),
    #[cfg(feature = "office")]
    Pack(making::Pack),
    #[cfg(feature = "office")]
    Sign(making::Sign),
    #[cfg(feature = "office")]
    Keygen(making::Keygen),
}

/// Which kiosk.
#[derive(Args)]
struct Common {
    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    reading: ReadingArgs,
}

/// Say whether a package may be used on this kiosk, and if not, why
#[derive(Args)]
struct Verify {
    /// The package
    file: PathBuf,

    /// Public key that may have signed it [default: models.keys of the configuration]
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,

    /// Even if it is not newer than what is used
    #[arg(long)]
    allow_older: bool,

    #[command(flatten)]
    common: Common,
}

/// Check a package, read its golden pages with it, and put it in force
#[derive(Args)]
struct Install {
    /// The package
    file: PathBuf,

    /// Even if it is not newer than what is used, or did not do here before
    #[arg(long)]
    allow_older: bool,

    #[command(flatten)]
    common: Common,
}

/// Show which packages there are, and which is in force, as JSON
#[derive(Args)]
struct List {
    #[command(flatten)]
    common: Common,
}

/// Go back to the models that were used before
#[derive(Args)]
struct Rollback {
    #[command(flatten)]
    common: Common,
}

/// Read the built-in golden page with the models in force, and compare it with its truth
#[derive(Args)]
struct Selftest {
    #[command(flatten)]
    common: Common,
}

impl Model {
    /// Does what the subcommand says.
    pub fn run(&self) -> Outcome {
        match &self.command {
            Command::Verify(verify) => verify.run(),
            Command::Install(install) => install.run(),
            Command::List(list) => list.run(),
            Command::Rollback(rollback) => rollback.run(),
            Command::Selftest(selftest) => selftest.run(),
            #[cfg(feature = "office")]
            Command::Pack(pack) => pack.run(),
            #[cfg(feature = "office")]
            Command::Sign(sign) => sign.run(),
            #[cfg(feature = "office")]
            Command::Keygen(keygen) => keygen.run(),
        }
    }
}

impl Common {
    fn load(&self) -> Result<(Config, Store), Failure> {
        let mut config = self.config.load()?.config;
        self.reading.apply(&mut config);
        // The service's workers are the service's; here each is a process of this program.
        config.reading.worker = None;
        let store = Store::new(&config.kiosk.state);
        Ok((config, store))
    }
}

impl Verify {
    fn run(&self) -> Outcome {
        let (mut config, store) = self.common.load()?;
        if !self.key.is_empty() {
            config.models.keys.clone_from(&self.key);
        }
        let (signed, package) = verify(&self.file, &config, &store.in_force(), self.allow_older)
            .map_err(|refusal| format!("{}: {refusal}", self.file.display()))?;
        let mut shown = described(&package);
        shown["comment"] = json!(signed.comment);
        print(&format!("{shown:#}\n"))?;
        Ok(true)
    }
}

impl Install {
    fn run(&self) -> Outcome {
        let (config, store) = self.common.load()?;
        let held = store.hold_soon()?;
        held.clean_keeping_parts()?;
        let installed = self.install(&held, &config);
        print(&format!("{:#}\n", json!(installed?)))?;
        Ok(true)
    }

    fn install(&self, held: &Held, config: &Config) -> Result<Installed, Failure> {
        // What is checked is what is used, whatever somebody writes to the file meanwhile.
        let copy = held.incoming()?.join("local.cicmodel");
        copied(&self.file, &copy, config.models.max_bytes)
            .map_err(|error| format!("{}: {error}", self.file.display()))?;
        let installed = block_on(async {
            let present = Reader::apart(config, models_in_force(held.store()).as_deref());
            let told = &mut |step: Step| log::info!("{}", step.name());
            install(held, &copy, config, self.allow_older, &present, told).await
        })?;
        installed.map_err(|refusal| {
            let _ = fs::remove_file(&copy);
            format!("{}: {refusal}", self.file.display()).into()
        })
    }
}

impl List {
    fn run(&self) -> Outcome {
        let (config, store) = self.common.load()?;
        let installed = installed_version(&config);
        let shown = json!({
            "installed": installed,
            "packages": store.packages(),
            "in_force": store.in_force(),
        });
        print(&format!("{shown:#}\n"))?;
        Ok(true)
    }
}

impl Rollback {
    fn run(&self) -> Outcome {
        let (_, store) = self.common.load()?;
        let now = store.hold_soon()?.roll_back("an operator went back")?;
        print(&format!("{:#}\n", json!({ "current": now.current })))?;
        Ok(true)
    }
}

impl Selftest {
    fn run(&self) -> Outcome {
        let (config, store) = self.common.load()?;
        let golden = Golden::of_folder(&reading::places(&config.reading)?.0.join("golden"))?;
        let seen = block_on(async {
            let reader = Reader::apart(&config, models_in_force(&store).as_deref());
            reader.load().await.map_err(|error| error.to_string())?;
            golden.read(&reader, &config).await
        })??;
        print(&format!("{:#}\n", json!(seen)))?;
        Ok(seen.right == seen.values)
    }
}

/// What a package says of itself.
fn described(package: &Package) -> serde_json::Value {
    json!({
        "version": package.version,
        "created": package.created,
        "expires": package.expires,
        "devices": package.devices,
        "program": package.program,
        "golden": package.golden,
        "bytes": package.bytes(),
    })
}

/// Copies no more than a package may have, and one byte.
fn copied(from: &Path, to: &Path, max_bytes: u64) -> std::io::Result<()> {
    use std::io::Read;
    let mut from = fs::File::open(from)?.take(max_bytes.saturating_add(1));
    std::io::copy(&mut from, &mut fs::File::create(to)?)?;
    Ok(())
}

fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    Ok(runtime::Builder::new_current_thread().enable_all().build()?.block_on(work))
}
