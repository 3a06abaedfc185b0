//! The way of a package from a file to its place: checked, unpacked, tried on its golden pages, put in
//! force. Until the last step nothing that is used is touched.

use std::fs;
use std::path::{Path, PathBuf};

use cic_kiosk::config::Config;
use cic_kiosk::models::Manifest;
use jiff::Timestamp;
use serde::Serialize;
use tokio::task::spawn_blocking;

use super::Refusal;
use super::archive::{Signed, keys};
use super::golden::{Golden, Seen};
use super::package::{Package, Place, Version};
use super::store::{Held, InForce, Store};
use crate::reading::{self, Reader};

/// Where it is unpacked.
const UNPACKED: &str = "unpacked";

/// What an installation does, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The package comes in.
    Download,
    /// Its signature and what it says of itself are looked at.
    Verify,
    /// It is written down.
    Unpack,
    /// Its golden pages are read.
    Test,
    /// It is put in force.
    Switch,
}

impl Step {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Verify => "verify",
            Self::Unpack => "unpack",
            Self::Test => "test",
            Self::Switch => "switch",
        }
    }
}

/// A package that was put in force.
#[derive(Clone, Debug, Serialize)]
pub struct Installed {
    /// Which one.
    pub version: Version,
    /// How it read its golden pages.
    pub golden: Seen,
    /// How the models before it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Seen>,
}

/// The version of the models that were installed with the program: that of the newest of them.
pub fn installed_version(config: &Config) -> Option<Version> {
    let (folder, _) = reading::places(&config.reading).ok()?;
    let manifest = Manifest::open(&folder).ok()?;
    manifest.entries().iter().filter_map(|entry| entry.version.parse().ok()).max()
}

/// The folder of the models in force; nothing where these are the installed ones.
pub fn models_in_force(store: &Store) -> Option<PathBuf> {
    store.in_force().current.map(|version| store.models(version))
}

/// Checks a package: its signature, and whether it may be used here.
///
/// # Errors
/// Why not.
pub fn verify(
    path: &Path,
    config: &Config,
    now: &InForce,
    allow_older: bool,
) -> Result<(Signed, Package), Refusal> {
    let keys = keys(&config.models.keys).map_err(Refusal::Malformed)?;
    let mut signed = Signed::open(path, &keys, config.models.max_bytes)?;
    let package = signed.package()?;
    package.judge(&Place {
        devices: Place::devices(config),
        program: Version::of_program(),
        now: Timestamp::now(),
        present: now.current.max(installed_version(config)),
        failed: now.failed.iter().map(|it| it.version).collect(),
        allow_older,
    })?;
    Ok((signed, package))
}

/// Installs a package of which nobody else can change the file any more. `present` reads with the
/// models that are used now; `told` hears of each step when it begins. Must be used within a runtime.
///
/// # Errors
/// Why it is not used. All is as it was then.
pub async fn install(
    held: &Held,
    path: &Path,
    config: &Config,
    allow_older: bool,
    present: &Reader,
    told: &mut (dyn FnMut(Step) + Send),
) -> Result<Installed, Refusal> {
    let store = held.store();
    told(Step::Verify);
    let (now, from, settings) = (store.in_force(), path.to_owned(), config.clone());
    let (mut signed, _) = blocking(move || verify(&from, &settings, &now, allow_older)).await?;
    told(Step::Unpack);
    let unpacked = held.incoming()?.join(UNPACKED);
    let into = unpacked.clone();
    let package = blocking(move || {
        if into.exists() {
            fs::remove_dir_all(&into)?;
        }
        signed.unpack(&into)
    })
    .await?;
    let version = package.version;
    told(Step::Test);
    let tried = try_out(&unpacked, config, &package, present).await;
    let (golden, before) = tried.inspect_err(|_| {
        let _ = fs::remove_dir_all(&unpacked);
    })?;
    told(Step::Switch);
    held.place(&unpacked, version)?;
    // What was not newer was asked for.
    held.switch(version, allow_older)?;
    // What is left over goes at the next start, too.
    if let Err(error) = held.clean(None) {
        log::warn!("what is left of a package cannot be removed: {error}");
    }
    Ok(Installed { version, golden, before })
}

/// Away from those who wait for nothing but the network.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(std::io::Error::other("a defect of the program").into()))
}

async fn try_out(
    unpacked: &Path,
    config: &Config,
    package: &Package,
    present: &Reader,
) -> Result<(Seen, Option<Seen>), Refusal> {
    let golden = Golden::of_folder(&unpacked.join("golden")).map_err(Refusal::Golden)?;
    let new = Reader::apart(config, Some(&unpacked.join("models")));
    let compared = golden.compare(&new, present, config, &package.golden).await;
    new.retire().await;
    compared
}
