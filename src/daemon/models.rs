//! Packages of models at work: which one is read with, how it does, and what the fleet orders of them.
//!
//! Promises:
//! - What the store says is in force is what is read with, within seconds, whoever changed it;
//!   documents in work are read to their end with what they were begun with.
//! - A package on trial that cannot be loaded, or with which readings become worse, is left by itself,
//!   and the fleet sees that.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cic_kiosk::config::{Config, Updates};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::reload::Control;
use super::supervisor::{Failure, Pulse};
use super::{DISK, Daemon, LOOK};
use crate::fleet::anomalies::Anomalies;
use crate::fleet::commands::task::From;
use crate::fleet::presence::{self, PackageInUse};
use crate::mqtt::{Post, Topics};
use crate::reading::{self, Reader};
use crate::scan::Desk;
use crate::updates::Refusal;
use crate::updates::fetch::{Fetcher, Parcel, Part};
use crate::updates::golden::{Golden, Tried};
use crate::updates::install::{Installed, Step, blocking, install, models_in_force};
use crate::updates::package::{Package, Version};
use crate::updates::store::{Begun, InForce, Store};
use crate::updates::trial::{Record, drift};

/// What is counted is written down at least that often, and after each document of a trial.
const WRITE: Duration = Duration::from_secs(10 * 60);

/// A start has come to something when the service worked for so long, or read a document.
const STARTED: u64 = 10 * 60;

/// Times that a package on trial is loaded before it is left, and the pause between them.
const LOADS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(2);

/// For a chunk of a package to come. The connection may be lost and found meanwhile.
const CHUNK_TIME: Duration = Duration::from_secs(120);

/// Bytes of each chunk but the last.
const CHUNK: u64 = 48 << 10;

/// Counts packages that were refused, and those that were left.
const REFUSED: &str = "packages_refused";
const LEFT: &str = "packages_left";

/// Looks after the models. Clones are the same.
#[derive(Clone)]
pub struct Models {
    store: Store,
    reader: Arc<Reader>,
    desk: Arc<Desk>,
    control: Control,
    post: Post,
    topics: Topics,
    anomalies: Anomalies,
    settings: watch::Receiver<Arc<Config>>,
    stop: CancellationToken,
    using: Arc<Mutex<Using>>,
}

/// What is read with now.
struct Using {
    version: Option<Version>,
    /// What had been counted at the last look,
    counted: Record,
    /// and since what was written down last,
    record: Record,
    /// which was then.
    written: Instant,
}

impl Daemon {
    /// Begins to look after the models.
    pub(super) fn start_models(&self) -> Models {
        let config = self.settings.borrow();
        let store = Store::new(&config.kiosk.state);
        let using = Using {
            version: self.package.as_ref().map(|package| package.version),
            counted: Record::default(),
            record: Record::default(),
            written: Instant::now(),
        };
        let models = Models {
            store,
            reader: Arc::clone(&self.reader),
            desk: Arc::clone(&self.desk),
            control: self.control.clone(),
            post: self.post.clone(),
            topics: self.topics.clone(),
            anomalies: self.anomalies.clone(),
            settings: self.settings.subscribe(),
            stop: self.stop.clone(),
            using: Arc::new(Mutex::new(using)),
        };
        let working = models.clone();
        self.supervisor.start("models", move |pulse| working.clone().work(pulse));
        models
    }
}

/// What the service begins with; what had to be left is told.
pub fn begin(here: &Config, anomalies: &Anomalies) -> Option<Package> {
    let store = Store::new(&here.kiosk.state);
    let installed = crate::updates::install::installed_version(here);
    let Begun { package, left } = store.begin(installed, Version::of_program());
    for it in left {
        log::error!("the models {} are left: {}", it.version, it.reason);
        anomalies.count(LEFT);
    }
    package
}

impl Models {
    async fn work(self, pulse: Pulse) -> Result<(), Failure> {
        self.tell(&self.store.in_force());
        if self.store.in_force().trial.is_some() {
            self.try_to_load().await;
        }
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                _ = looks.tick() => {
                    let _busy = pulse.busy(DISK);
                    self.look(false).await;
                }
            }
        }
        self.look(true).await;
        Ok(())
    }

    /// A package on trial that cannot be loaded is no use, whoever's fault it is.
    async fn try_to_load(&self) {
        let mut reason = String::new();
        for _ in 0..LOADS {
            match self.reader.load().await {
                Ok(()) => return,
                Err(error) => reason = error.to_string(),
            }
            tokio::select! {
                () = sleep(PAUSE) => {}
                () = self.stop.cancelled() => return,
            }
        }
        if let Err(error) = self.roll_back(&reason).await {
            log::error!("the models cannot be left: {error}");
        }
    }

    /// Takes over what the store says, and writes down how the models did.
    async fn look(&self, is_last: bool) {
        let it = self.clone();
        let looked = spawn_blocking(move || it.count(is_last)).await;
        match looked {
            Ok(Ok(Some(now))) => self.switch(&now).await,
            Ok(Ok(None)) => {}
            // It is tried again at the next look.
            Ok(Err(Refusal::Busy)) => log::debug!("a package is being installed"),
            Ok(Err(error)) => log::warn!("how the models do cannot be written down: {error}"),
            Err(_) => {}
        }
    }

    /// Writes down what was counted, and judges a trial. What is in force where that is something
    /// else than what is read with.
    fn count(&self, is_last: bool) -> Result<Option<InForce>, Refusal> {
        let now = self.store.in_force();
        let counted = self.desk.scans().record();
        let mut using = self.using();
        let news = counted.since(&using.counted);
        using.counted = counted;
        if now.current != using.version {
            return Ok(Some(now));
        }
        using.record = using.record.and(&news);
        let passed = using.written.elapsed();
        let is_due = match now.trial {
            Some(_) => using.record.documents > 0 || passed >= LOOK * 6,
            None => using.record.documents > 0 && passed >= WRITE,
        };
        if !is_due && !(is_last && (using.record.documents > 0 || now.trial.is_some())) {
            return Ok(None);
        }
        let held = self.store.hold()?;
        let record = std::mem::take(&mut using.record);
        using.written = Instant::now();
        let settings = self.settings.borrow().models.clone();
        let mut verdict = None;
        let now = held.change(|now| {
            now.record = now.record.and(&record);
            let Some(trial) = &mut now.trial else {
                now.record = now.record.recent();
                return;
            };
            trial.seconds += passed.as_secs();
            if is_last || now.record.documents > 0 || trial.seconds >= STARTED {
                trial.starts = 0;
            }
            match drift(&trial.before, &now.record, settings.drift.into()) {
                Some(drift) => verdict = Some(drift.to_string()),
                None if is_over(trial.seconds, &now.record, &settings) => now.trial = None,
                None => {}
            }
        })?;
        let Some(reason) = verdict else {
            drop(using);
            self.tell(&now);
            return Ok(None);
        };
        let back = held.roll_back(&reason)?;
        self.left(using.version, &reason);
        Ok(Some(back))
    }

    fn left(&self, version: Option<Version>, reason: &str) {
        let version = version.map_or_else(String::new, |version| version.to_string());
        log::error!("the models {version} are left for those before: {reason}");
        self.anomalies.count(LEFT);
    }

    /// Reads with what is in force from now on.
    async fn switch(&self, now: &InForce) {
        let folder = now.current.map(|version| self.store.models(version));
        let config = Arc::clone(&self.settings.borrow());
        self.reader.switch(&config, folder.as_deref()).await;
        {
            let mut using = self.using();
            using.version = now.current;
            using.record = Record::default();
            using.written = Instant::now();
        }
        let decision = self.store.in_force_package().map(|package| package.decision);
        if let Err(error) = self.control.lay_under(decision.unwrap_or_default()) {
            log::error!("the thresholds of the models are not in force: {error}");
        }
        self.tell(now);
        match now.current {
            Some(version) => log::info!("the models {version} are read with"),
            None => log::info!("the installed models are read with"),
        }
    }

    /// What the kiosk says it reads with.
    fn tell(&self, now: &InForce) {
        let config = Arc::clone(&self.settings.borrow());
        let folder = now.current.map(|version| self.store.models(version));
        let models = presence::models(&config, folder.as_deref());
        let package = now.current.map(|version| PackageInUse {
            version: version.to_string(),
            trial: now.trial.is_some(),
        });
        self.post.change_birth(|birth| (birth.models, birth.package) = (models, package));
    }

    /// Fetches, checks and tries a package, and reads with it. `told` hears of what is done, how much
    /// of it, and of how much.
    ///
    /// # Errors
    /// Why it is not used; all is as it was then.
    pub async fn update(
        &self,
        from: From,
        parcel: Parcel,
        allow_older: bool,
        mut told: impl FnMut(&'static str, u64, u64) + Send,
    ) -> Result<Installed, Refusal> {
        let updated = self.install(from, parcel, allow_older, &mut told).await;
        match &updated {
            Ok(installed) => {
                log::info!("the models {} were installed, and are on trial", installed.version);
                self.look(false).await;
            }
            Err(refusal) => {
                log::error!("a package of models is not used: {refusal}");
                self.anomalies.count(REFUSED);
            }
        }
        updated
    }

    async fn install(
        &self,
        from: From,
        parcel: Parcel,
        allow_older: bool,
        told: &mut (impl FnMut(&'static str, u64, u64) + Send),
    ) -> Result<Installed, Refusal> {
        let config = Arc::clone(&self.settings.borrow());
        parcel.check(&config.models)?;
        let (store, its) = (self.store.clone(), parcel.clone());
        let (held, mut part) = blocking(move || {
            let held = store.hold_soon()?;
            held.clean(Some(&Part::name(&its)))?;
            let part = Part::open(&held.incoming()?, &its)?;
            Ok((held, part))
        })
        .await?;
        told(Step::Download.name(), part.bytes, parcel.bytes);
        let mut progress = |bytes| told(Step::Download.name(), bytes, parcel.bytes);
        match from {
            From::Url(address) => {
                let settings = config.models.clone();
                let fetcher = blocking(move || Fetcher::new(&settings)).await?;
                fetcher.fetch(&address, &mut part, &mut progress).await?;
            }
            From::Topic => self.receive(&parcel, &mut part, &mut progress).await?,
        }
        let path = blocking(move || part.finish()).await?;
        let told = &mut |step: Step| told(step.name(), 0, 1);
        let installed = install(&held, &path, &config, allow_older, &self.reader, told).await;
        if installed.is_err() {
            // It is whole, and does not do: nothing of it is gone on with.
            let _ = std::fs::remove_file(&path);
        }
        installed
    }

    /// Takes a package's chunks from the broker, one subscription at a time.
    async fn receive(
        &self,
        parcel: &Parcel,
        part: &mut Part,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), Refusal> {
        let failed = |reason: String| Err(Refusal::Download(reason));
        while !part.is_whole() {
            // What is no whole chunk was cut off by a power cut.
            let number = part.bytes / CHUNK;
            part.cut(number * CHUNK)?;
            let topic = self.topics.package(&parcel.sha256, number);
            let inbox = self.post.listen(vec![topic.clone()], |_, _, _| true);
            let Ok(letter) = timeout(CHUNK_TIME, inbox.letter()).await else {
                return failed(format!("the broker has no {topic}"));
            };
            let expected = CHUNK.min(parcel.bytes - part.bytes);
            match letter.payload {
                Ok(chunk) if chunk.len() as u64 == expected => part.append(&chunk)?,
                _ => return failed(format!("{topic} has not {expected} bytes")),
            }
            progress(part.bytes);
        }
        Ok(())
    }

    /// Reads with what was before.
    ///
    /// # Errors
    /// Where there is nothing before, or the disk fails.
    pub async fn roll_back(&self, reason: &str) -> Result<Option<Version>, Refusal> {
        let (store, why) = (self.store.clone(), reason.to_owned());
        let before = self.store.in_force().current;
        let now = blocking(move || store.hold_soon()?.roll_back(&why)).await?;
        self.left(before, reason);
        self.switch(&now).await;
        Ok(now.current)
    }

    /// Reads the built-in golden page with what is in force.
    ///
    /// # Errors
    /// Where there is none, or it cannot be read.
    pub async fn test(&self) -> Result<Tried, String> {
        let config = Arc::clone(&self.settings.borrow());
        self.golden().await?.try_out(&self.reader, &config).await
    }

    /// The built-in golden page, as a file.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn golden_page(&self) -> Result<Vec<u8>, String> {
        Ok(self.golden().await?.page())
    }

    async fn golden(&self) -> Result<Golden, String> {
        let settings = self.settings.borrow().reading.clone();
        let golden = spawn_blocking(move || {
            let (models, _) = reading::places(&settings).map_err(|error| error.to_string())?;
            Golden::of_folder(&models.join("golden"))
        });
        golden.await.map_err(|error| error.to_string())?
    }

    /// Which package is read with.
    pub fn in_use(&self) -> Option<Version> {
        self.using().version
    }

    fn using(&self) -> MutexGuard<'_, Using> {
        self.using.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a package has proven itself.
fn is_over(seconds: u64, record: &Record, settings: &Updates) -> bool {
    record.documents >= settings.trial_documents.get().into()
        || seconds >= u64::from(settings.trial_hours.get()) * 60 * 60
}

/// The models' folder of the package that is begun with.
pub fn folder(here: &Config) -> Option<std::path::PathBuf> {
    models_in_force(&Store::new(&here.kiosk.state))
}
