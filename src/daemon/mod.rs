//! The service on the kiosk: takes documents from its sources, reads them, judges them, and delivers
//! the results to the branch's broker.
//!
//! Promises:
//! - A document that was accepted is delivered, or stays visible as a dead letter; a crash at any
//!   point leaves it wholly to do, or wholly done.
//! - Each part is a worker that begins anew when it fails, and is counted; one that is stuck makes
//!   systemd start the program again.
//! - What can change while it runs is changed by SIGHUP; a configuration that is wrong changes
//!   nothing.
//! - Damage of the outbox that is met at work ends it, as the next start repairs it.
//! - SIGTERM ends it within `kiosk.drain_seconds`. What is not done by then is still to do.

mod ahead;
mod commands;
mod configuration;
mod deck;
mod figures;
mod fleet;
mod models;
mod orders;
mod reload;
mod renewal;
mod screen;
mod session;
mod sources;
pub mod submit;
mod supervisor;
mod systemd;
mod worker;

use std::ffi::OsString;
use std::future::pending;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cic_kiosk::config::{Config, Loaded, Mqtt, Name};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tokio::runtime;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::capture::Sources;
use crate::cloud::Cloud;
use crate::credentials::Credentials;
use crate::fleet::anomalies::Anomalies;
use crate::fleet::commands::message::{Code, Failure as Failed};
use crate::fleet::commands::{Commands, Kept};
use crate::fleet::configuration::Configuration;
use crate::fleet::machine::Machine;
use crate::fleet::presence::Birth;
use crate::http::server::Listening;
use crate::http::{self, Api, Kiosk, router};
use crate::keys::KeyStore;
use crate::mqtt::{Dial, LinkState, Post, Publisher, Topics, renewed_in};
use crate::outbox::{self, Outbox, OutboxError, Salt, SealingKeys};
use crate::panel::{self, Identify};
use crate::reading::{self, Reader};
use crate::scan::Desk;
use crate::screen::Visits;
use crate::signals::{Signals, Wish};
use crate::updates::package::Package;
use ahead::ReadAhead;
use commands::{Ask, Means};
use figures::Figures;
use reload::{Concerned, Control};
use submit::Socket;
use supervisor::{Failure, Supervisor};
use worker::Worker;

/// Reads the configuration, at the start and whenever it is to be read again.
pub type Load = Arc<dyn Fn() -> Result<Loaded, Failure> + Send + Sync>;

/// How often figures are looked at and told.
const LOOK: Duration = Duration::from_secs(5);

/// How often what has been delivered long enough ago is erased.
const TIDY: Duration = Duration::from_secs(60);

/// A look at the outbox, or a change of it, on a slow disk.
const DISK: Duration = Duration::from_secs(60);

/// Ends of scans that are remembered for who is late to hear of them; who has missed some asks the
/// outbox.
const ENDED: usize = 1024;

/// For work that does not end when the program does: it is given up.
const GIVEN_UP: Duration = Duration::from_millis(500);

/// Where the program can be reached.
#[derive(Clone, Copy)]
pub struct Places<'a> {
    /// The HTTP API,
    pub api: Option<&'a str>,
    /// and the screen, where they are anywhere.
    pub screen: Option<&'a str>,
}

/// Runs until SIGTERM. `doctor` is what `cic-kiosk doctor` has to be called with for this kiosk;
/// `announce` is told where it can be reached, when all is ready.
///
/// # Errors
/// Whatever keeps it from starting, in words that say what to do.
pub fn run(
    load: Load,
    doctor: Vec<OsString>,
    announce: impl FnOnce(Places) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let here = load()?.config;
    let topics = topics(&here)?;
    let state = here.kiosk.state.clone();
    // Before anything that may keep the program from starting.
    let kept = Kept::load(&state);
    let wiped = kept.must_wipe().then(|| wiped(&state, &here)).transpose()?;
    reading::check(&here.reading)?;
    let credentials = Credentials::new(here.kiosk.credentials.as_deref());
    Salt::make(&state).map_err(|error| format!("{}: {error}", state.display()))?;
    let keys = SealingKeys::load(&credentials, &state)?;
    let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let outbox = Outbox::open(&state, keys, here.outbox.clone())?;
        // From here on nobody else works on this state folder.
        let anomalies = Anomalies::default();
        let boot_id = Machine::default().identity().boot_id;
        let commands =
            Commands::open(&state, kept, topics.clone(), boot_id, wiped, anomalies.clone());
        let package = models::begin(&here, &anomalies);
        let decision = package.as_ref().map(|it| it.decision.clone()).unwrap_or_default();
        let (configuration, mut config) =
            Configuration::open(&state, &here.with_defaults(&decision), anomalies.clone());
        config.cloud.enabled &= !commands.is_cloud_off();
        outbox.set_limits(config.outbox.clone());
        let settings = Given { here, config, configuration, commands, anomalies, package };
        let daemon = Daemon::new(settings, topics, credentials, outbox)?;
        daemon.serve(load, doctor, announce).await
    });
    runtime.shutdown_timeout(GIVEN_UP);
    result
}

/// Erases everything that is of papers, as was ordered of the last run; what came of it.
///
/// # Errors
/// Where another program has the state folder.
fn wiped(state: &Path, here: &Config) -> Result<Result<Json, Failed>, Failure> {
    match outbox::wipe(state, here.folder.watch.as_deref()) {
        Ok(files) => {
            log::warn!("all papers and results were erased: {files} files");
            Ok(Ok(json!({"files": files})))
        }
        Err(error @ OutboxError::InUse { .. }) => Err(error.into()),
        Err(error) => {
            log::error!("{error}");
            Ok(Err(Failed::new(Code::Failed, error.to_string())))
        }
    }
}

/// Who this kiosk is, which has no default.
fn topics(config: &Config) -> Result<Topics, Failure> {
    let named = |name: &Option<Name>, key: &str| {
        name.clone().ok_or_else(|| format!("{key} is not set: a level of this kiosk's topics"))
    };
    let branch = named(&config.kiosk.branch, "kiosk.branch")?;
    Ok(Topics::new(branch, named(&config.kiosk.id, "kiosk.id")?))
}

/// What the program was started with.
struct Given {
    /// The kiosk's own configuration,
    here: Config,
    /// the same with settings from afar,
    config: Config,
    /// and those.
    configuration: Configuration,
    commands: Commands,
    anomalies: Anomalies,
    /// The package of models in force.
    package: Option<Package>,
}

/// Everything that runs.
struct Daemon {
    settings: watch::Sender<Arc<Config>>,
    topics: Topics,
    /// What goes to the fleet and comes from it.
    post: Post,
    credentials: Credentials,
    outbox: Outbox,
    reader: Arc<Reader>,
    desk: Arc<Desk>,
    ahead: ReadAhead,
    /// Tells of each scan that is done with.
    ended: broadcast::Sender<Ulid>,
    /// Nothing new is begun when this is cancelled, ...
    stop: CancellationToken,
    /// ... and nothing is finished any more when this is.
    give_up: CancellationToken,
    supervisor: Supervisor,
    anomalies: Anomalies,
    /// Where there is a screen.
    visits: Option<Visits>,
    /// Changes the settings,
    control: Control,
    /// and what is wanted of them from afar.
    configuration: Arc<Mutex<Configuration>>,
    commands: Arc<Mutex<Commands>>,
    /// The package of models that it began with.
    package: Option<Package>,
}

impl Daemon {
    fn new(
        given: Given,
        topics: Topics,
        credentials: Credentials,
        outbox: Outbox,
    ) -> Result<Self, Failure> {
        let Given { here, config, configuration, commands, anomalies, package } = given;
        let folder = package.as_ref().and_then(|_| models::folder(&here));
        let reader = Arc::new(Reader::with(&config, folder.as_deref()));
        let cloud = cloud(&config, &credentials, &reader)?;
        let mut birth = Birth::of(&config, &Machine::default());
        birth.configuration = configuration.versions();
        let post = Post::new(birth);
        let settings = watch::Sender::new(Arc::new(config));
        let desk = Arc::new(Desk::new(outbox.clone(), settings.subscribe(), cloud));
        let visits = settings.borrow().screen.enabled.then(|| Visits::new(settings.subscribe()));
        let ahead = ReadAhead::new(Arc::clone(&reader), Arc::clone(&desk), visits.is_some());
        let concerned = Concerned {
            settings: settings.clone(),
            outbox: outbox.clone(),
            desk: Arc::clone(&desk),
            reader: Arc::clone(&reader),
            credentials: credentials.clone(),
            post: post.clone(),
        };
        let decision = package.as_ref().map(|it| it.decision.clone()).unwrap_or_default();
        let (afar, cloud_off) = (configuration.settings(), commands.is_cloud_off());
        let control = Control::new(concerned, here, decision, afar, cloud_off);
        let stop = CancellationToken::new();
        Ok(Self {
            settings,
            topics,
            post,
            credentials,
            outbox,
            reader,
            desk,
            ahead,
            ended: broadcast::Sender::new(ENDED),
            supervisor: Supervisor::new(stop.clone()),
            anomalies,
            visits,
            control,
            configuration: Arc::new(Mutex::new(configuration)),
            commands: Arc::new(Mutex::new(commands)),
            package,
            stop,
            give_up: CancellationToken::new(),
        })
    }

    async fn serve(
        self,
        load: Load,
        doctor: Vec<OsString>,
        announce: impl FnOnce(Places) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        // Taken over before anybody is told that there is something to end.
        let mut signals = Signals::take()?;
        let figures = self.start_publisher();
        let api = self.start_http(&figures).await?;
        self.start_readers();
        let sources = self.start_sources().await?;
        figures.watch(sources.clone());
        let identify = Identify::default();
        self.start_panel(sources.clone(), &figures, identify.clone());
        self.start_socket(sources.clone())?;
        self.start_keeper(figures.clone());
        self.start_telemetry(&figures);
        self.start_renewal(&figures);
        let models = self.start_models();
        let deck = self.deck(deck::Parts {
            api: api.as_ref().map(|(api, _)| &**api),
            figures: &figures,
            sources: sources.clone(),
            models: models.clone(),
            doctor: doctor.clone(),
            load: Arc::clone(&load),
        })?;
        let screen = self.start_screen(&sources, &figures, deck).await?;

        let address = api.as_ref().map(|(_, address)| address.as_str());
        announce(Places { api: address, screen: screen.as_deref() })?;
        systemd::ready();
        log::info!(version = env!("CARGO_PKG_VERSION"); "ready");
        let configuring = self.start_configuration(figures.link());
        let (asks, mut asked) = mpsc::channel(1);
        let means = Means { asks, configuring, doctor, identify, models, sources };
        self.start_commands(&figures, means);

        let watching = tokio::spawn(watch_over(self.supervisor.clone()));
        let ending = loop {
            tokio::select! {
                wish = signals.next() => match wish {
                    Wish::End => break Ending::InOrder,
                    Wish::Reload => _ = self.reload(&load),
                },
                Some(ask) = asked.recv() => match ask {
                    Ask::Reload(answer) => {
                        let reloaded = self.reload(&load).map_err(|error| error.to_string());
                        let _ = answer.send(reloaded);
                    }
                    Ask::End => break Ending::InOrder,
                    Ask::EndAtOnce => break Ending::AtOnce,
                },
                () = self.outbox.damaged() => break Ending::Damaged,
            }
        };
        watching.abort();
        self.end(api.map(|(api, _)| api), ending).await;
        if ending == Ending::Damaged {
            return Err("the outbox is damaged: start again, which saves what can be saved".into());
        }
        Ok(())
    }

    /// Takes over a new configuration, and tells systemd.
    fn reload(&self, load: &Load) -> Result<Vec<String>, Failure> {
        systemd::reloading();
        let reloaded = self.control.reload(load);
        systemd::ready();
        reloaded
    }

    /// Lets what is under way end, for as long as it may take, and gives up the rest.
    async fn end(self, api: Option<Arc<Api>>, ending: Ending) {
        let drain = match ending {
            Ending::AtOnce => GIVEN_UP,
            Ending::InOrder | Ending::Damaged => self.settings.borrow().kiosk.drain_time(),
        };
        log::info!("stopping; work under way has {} s", drain.as_secs());
        systemd::stopping(drain + 2 * GIVEN_UP);
        if let Some(api) = api {
            api.stop();
        }
        self.stop.cancel();
        if !self.supervisor.end(drain).await {
            log::warn!("some work was not done in time; it is done after the next start");
            self.give_up.cancel();
            self.supervisor.end(GIVEN_UP).await;
        }
        self.outbox.close().await;
        log::info!("stopped");
    }

    /// Begins to publish what waits, and gives the figures that tell of it.
    fn start_publisher(&self) -> Figures {
        let link = watch::Sender::new(LinkState::default());
        let figures = Figures::new(
            self.supervisor.clone(),
            link.subscribe(),
            Arc::clone(&self.desk),
            self.anomalies.clone(),
            self.settings.subscribe(),
        );
        let publishing = Publishing {
            outbox: Arc::new(self.outbox.clone()),
            credentials: self.credentials.clone(),
            topics: self.topics.clone(),
            post: self.post.clone(),
            settings: self.settings.subscribe(),
            link,
            stop: self.stop.clone(),
        };
        self.supervisor.start("publisher", move |_| publishing.clone().work());
        figures
    }

    /// The API and its address, where there is one.
    async fn start_http(&self, figures: &Figures) -> Result<Option<(Arc<Api>, String)>, Failure> {
        let config = Arc::clone(&self.settings.borrow());
        if !config.http.enabled {
            return Ok(None);
        }
        let keys = KeyStore::create(config.http.state.as_deref().unwrap_or(&config.kiosk.state))?;
        let fetcher = http::fetcher(&config, Vec::new())?;
        let kiosk = Kiosk { desk: Arc::clone(&self.desk), figures: Box::new(figures.clone()) };
        let (reader, settings) = (Arc::clone(&self.reader), config.http.clone());
        let limits = config.limits.clone();
        let api = Api::new(reader, Arc::new(keys), fetcher, settings, limits, Some(kiosk));
        let listening = Arc::new(Listening::bind(&config.http).await?);
        let address = format!("{}://{}", listening.scheme(), listening.address);
        let (stop, routes) = (self.stop.clone(), router(Arc::clone(&api)));
        self.supervisor.start("http", move |_| {
            let (listening, routes) = (Arc::clone(&listening), routes.clone());
            let end = stop.clone().cancelled_owned();
            async move { Ok(listening.serve(routes, end).await?) }
        });
        let (stop, house) = (self.stop.clone(), Arc::clone(&api));
        self.supervisor.start("keys", move |_| {
            let (stop, house) = (stop.clone(), Arc::clone(&house));
            async move {
                tokio::select! {
                    () = house.keep_house() => {}
                    () = stop.cancelled() => {}
                }
                Ok(())
            }
        });
        Ok(Some((api, address)))
    }

    /// As many as there are documents worth reading at a time.
    fn start_readers(&self) {
        let worker = Worker {
            outbox: self.outbox.clone(),
            reader: Arc::clone(&self.reader),
            ahead: self.ahead.clone(),
            desk: Arc::clone(&self.desk),
            settings: self.settings.subscribe(),
            stop: self.stop.clone(),
            give_up: self.give_up.clone(),
            ended: self.ended.clone(),
        };
        for _ in 0..self.reader.threads() {
            let worker = worker.clone();
            self.supervisor.start("reader", move |pulse| worker.clone().work(pulse));
        }
    }

    /// Begins to take in documents that programs hand in, and orders for the devices.
    fn start_socket(&self, sources: Sources) -> Result<(), Failure> {
        let config = Arc::clone(&self.settings.borrow());
        let max_bytes = config.limits.max_bytes;
        let (outbox, stop) = (self.outbox.clone(), self.stop.clone());
        let socket = Arc::new(Socket::bind(&config.kiosk.socket)?);
        self.supervisor.start("submit", move |_| {
            let (socket, outbox, stop) = (Arc::clone(&socket), outbox.clone(), stop.clone());
            let sources = sources.clone();
            async move { socket.serve(outbox, sources, max_bytes, stop).await }
        });
        Ok(())
    }

    fn start_panel(&self, sources: Sources, figures: &Figures, identify: Identify) {
        let settings = self.settings.borrow().panel.clone();
        if settings.chip.is_none() {
            return;
        }
        let (link, stop) = (figures.link(), self.stop.clone());
        self.supervisor.start("panel", move |_| {
            let (link, identify, stop) = (link.clone(), identify.clone(), stop.clone());
            let panel = panel::run(settings.clone(), sources.clone(), link, identify, stop);
            async move { Ok(panel.await?) }
        });
    }

    fn start_keeper(&self, figures: Figures) {
        let (outbox, stop) = (self.outbox.clone(), self.stop.clone());
        self.supervisor.start("keeper", move |pulse| {
            let (outbox, stop, figures) = (outbox.clone(), stop.clone(), figures.clone());
            async move {
                let mut looks = interval(LOOK);
                looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                let mut tidies = interval(TIDY);
                tidies.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        _ = looks.tick() => {
                            let _busy = pulse.busy(DISK);
                            figures.look(&outbox).await?;
                        }
                        _ = tidies.tick() => {
                            let _busy = pulse.busy(DISK);
                            outbox.tidy(Timestamp::now()).await?;
                        }
                    }
                }
            }
        });
    }
}

/// Why the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It is to end.
    InOrder,
    /// It is to end, and nothing is worth waiting for.
    AtOnce,
    /// The outbox is damaged.
    Damaged,
}

/// What the publisher works with.
#[derive(Clone)]
struct Publishing {
    outbox: Arc<Outbox>,
    credentials: Credentials,
    topics: Topics,
    post: Post,
    settings: watch::Receiver<Arc<Config>>,
    link: watch::Sender<LinkState>,
    stop: CancellationToken,
}

impl Publishing {
    /// Publishes until it is told to stop. Another broker, or other settings for it, mean another
    /// connection.
    async fn work(mut self) -> Result<(), Failure> {
        while !self.stop.is_cancelled() {
            let (settings, renewed) = {
                let now = self.settings.borrow_and_update();
                (now.mqtt.clone(), Some(renewed_in(&now.kiosk.state)))
            };
            let (topics, credentials) = (self.topics.clone(), self.credentials.clone());
            let dial = Dial { settings: settings.clone(), credentials, topics, renewed };
            let (outbox, post) = (Arc::clone(&self.outbox), self.post.clone());
            let publisher = Publisher::new(outbox, dial, post, self.link.clone());
            let ends = self.stop.child_token();
            let publishing = publisher.run(ends.clone(), self.stop.clone());
            tokio::pin!(publishing);
            tokio::select! {
                () = &mut publishing => {}
                () = self.others(&settings) => {
                    ends.cancel();
                    publishing.await;
                }
            }
        }
        Ok(())
    }

    /// Waits for other settings than these.
    async fn others(&mut self, known: &Mqtt) {
        while self.settings.changed().await.is_ok() {
            if self.settings.borrow().mqtt != *known {
                return;
            }
        }
        // Nobody can set anything any more.
        pending().await
    }
}

fn cloud(
    config: &Config,
    credentials: &Credentials,
    reader: &Arc<Reader>,
) -> Result<Option<Arc<Cloud>>, Failure> {
    if !config.cloud.enabled {
        return Ok(None);
    }
    Ok(Some(Arc::new(Cloud::new(config, credentials, Arc::clone(reader))?)))
}

/// Tells systemd that the service is alive, for as long as no worker is stuck.
async fn watch_over(supervisor: Supervisor) {
    let Some(every) = systemd::watchdog() else { return };
    let mut told = None;
    loop {
        let stuck = supervisor.stuck();
        match stuck {
            None => systemd::alive(),
            Some(worker) if told != stuck => {
                log::error!(worker; "worker is stuck; systemd will start the program again");
            }
            Some(_) => {}
        }
        told = stuck;
        sleep(every).await;
    }
}
