//! Document scanners that speak eSCL (AirScan), in the network or on USB through `ipp-usb`.
//!
//! Promises:
//! - A page is given as soon as it has arrived, and one more is fetched meanwhile. A scan that breaks
//!   off has given all that arrived whole.
//! - No wait is longer than the settings say.
//! - No scan is left behind at the scanner: one that is cancelled, or fails, is deleted there.
//! - Paper is scanned without being asked for only once: the feeder must have been without it, for
//!   two looks, before paper counts as new. (A server that cannot tell, as AirSane, says "loaded" of
//!   every feeder, and "empty" once after it ran empty.)

mod capabilities;
mod client;
mod discovery;
mod job;
mod pin;
mod settings;
mod status;
#[cfg(test)]
mod tests;
mod xml;

use std::mem;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use cic_kiosk::config::{self, Begin, Tray};
use jiff::Timestamp;
use tokio::time::{Instant, sleep, sleep_until};
use url::Url;

pub use discovery::discover;

use self::capabilities::Capabilities;
use self::client::{Asked, Client, Limits};
use self::job::Job;
use self::pin::{Fingerprint, Trust};
use self::settings::{Place, ticket};
use self::status::{Device, EMPTY, Feeder, Status, Verdict};
use super::{Captured, End, Fault, Order, PageSource, Port, State};

/// How often paper is looked for, while the feeder begins a scan.
const LOOK: Duration = Duration::from_secs(1);

/// How often a scanner is asked how it is, while only the button begins a scan.
const GLANCE: Duration = Duration::from_secs(5);

/// How long scanners have to answer when they are looked for; RFC 6762 lets them wait for up to half a
/// second, and a first question may get lost.
const SEARCH: Duration = Duration::from_secs(3);

/// TCP's own first repetitions come after 1 s and 3 s.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// How long a person is told what hindered a scan, where the scanner itself does not go on to say it.
const NOTICE: Duration = Duration::from_secs(5);

/// A document scanner that speaks eSCL.
pub struct Escl {
    settings: config::Escl,
    url: Option<Url>,
    trust: Trust,
    limits: Limits,
    paper: Paper,
    /// What hindered the last scan, and how long that is told.
    notice: Option<(State, Instant)>,
}

/// A scanner that has been found.
struct Scanner {
    client: Client,
    there: Capabilities,
}

/// What a scanner says about itself, for people who set it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Maker and model.
    pub model: String,
    /// Where it takes paper from, in words.
    pub trays: Vec<String>,
    /// How it is.
    pub state: State,
}

/// Whether there is new paper in the feeder. Two looks must agree: a sheet that is just being put in
/// is not drawn in at once.
struct Paper {
    looks: u8,
    lies: bool,
    is_new: bool,
}

impl Paper {
    /// At the start one look without paper is enough: no scan can have left the feeder just now.
    const AT_THE_START: Self = Self { looks: 1, lies: false, is_new: false };

    /// Whether what lies in the feeder, by this look, is new.
    fn look(&mut self, feeder: Option<Feeder>) -> bool {
        let lies = match feeder {
            Some(Feeder::Loaded) => true,
            Some(Feeder::Empty | Feeder::Trouble(_)) => false,
            Some(Feeder::Processing) | None => return false,
        };
        self.looks = if lies == self.lies { self.looks.saturating_add(1) } else { 1 };
        self.lies = lies;
        match (self.looks >= 2, lies) {
            (true, true) => mem::take(&mut self.is_new),
            (true, false) => {
                self.is_new = true;
                false
            }
            _ => false,
        }
    }
}

impl Escl {
    /// A scanner by these settings, whose pages have at most so many bytes.
    ///
    /// # Errors
    /// With the key of the setting that is wrong.
    pub fn new(settings: config::Escl, max_bytes: usize) -> Result<Self, String> {
        let url = settings.url.as_deref().map(address).transpose()?;
        let pinned = settings.certificate_sha256.as_deref().map(Fingerprint::from_str).transpose();
        let pinned = pinned.map_err(|()| {
            "escl.certificate_sha256: expected a SHA-256, 64 hexadecimal digits".to_owned()
        })?;
        if pinned.is_some() && url.as_ref().is_some_and(|url| url.scheme() != "https") {
            return Err("escl.certificate_sha256: escl.url must begin with https:// for it".into());
        }
        if url.is_some() && settings.name.is_some() {
            return Err(
                "escl.name: it is for a scanner that is looked for, without escl.url".into()
            );
        }
        let trust = Trust::new(pinned).map_err(|error| format!("TLS cannot be set up: {error}"))?;
        let limits =
            Limits { page_time: settings.page_time(), timeout: settings.timeout(), max_bytes };
        Ok(Self { settings, url, trust, limits, paper: Paper::AT_THE_START, notice: None })
    }

    /// Asks the scanner what it is.
    ///
    /// # Errors
    /// Where it cannot be found, or gives no answer.
    pub async fn probe(&self) -> Result<Report, Fault> {
        let scanner = self.find().await?;
        let status = scanner.client.status().await?;
        let there = scanner.there;
        let mut trays = Vec::new();
        if there.glass.is_some() {
            trays.push("glass".to_owned());
        }
        if there.has_feeder() {
            let sides = if there.duplex.is_some() { "both sides" } else { "one side" };
            let sheets = there.sheets.map(|sheets| format!(", {sheets} sheets"));
            trays.push(format!("feeder ({sides}{})", sheets.unwrap_or_default()));
        }
        Ok(Report {
            model: there.model,
            trays,
            state: status.state(self.settings.tray != Tray::Glass),
        })
    }

    async fn find(&self) -> Result<Scanner, Fault> {
        let unusable = |error: &dyn ToString| {
            Fault::Failing(format!("no client can be made: {}", error.to_string()))
        };
        let mut http = self.trust.client().map_err(|error| unusable(&error))?;
        let url = match &self.url {
            Some(url) => url.clone(),
            None => {
                let pinned = self.settings.certificate_sha256.is_some();
                let name = self.settings.name.as_deref();
                let found = discovery::choose(discover(SEARCH).await, name, pinned)?;
                if let Some(host) = found.url.host_str() {
                    http = http.resolve_to_addrs(host, &found.addresses);
                }
                found.url
            }
        };
        let http = http.connect_timeout(CONNECT_TIME.min(self.limits.timeout)).build();
        let client = Client::new(http.map_err(|error| unusable(&error))?, url, self.limits);
        let there = client.capabilities().await?;
        Ok(Scanner { client, there })
    }

    /// Where the paper is, that a person wants to be scanned now, or what they must do first.
    fn place(&self, there: &Capabilities, status: &Status) -> Result<Place, State> {
        if matches!(status.device, Device::Testing | Device::Stopped | Device::Down) {
            return Err(status.state(false));
        }
        let by_glass = match self.settings.tray {
            Tray::Glass => true,
            Tray::Feeder => false,
            Tray::Auto => !there.has_feeder(),
        };
        if by_glass {
            return Ok(Place::Glass);
        }
        let either = self.settings.tray == Tray::Auto && there.glass.is_some();
        match status.feeder {
            Some(Feeder::Trouble(what)) => Err(State::Asking(what.to_owned())),
            Some(Feeder::Empty) | None if either => Ok(Place::Glass),
            Some(Feeder::Empty) => Err(State::Asking(EMPTY.to_owned())),
            _ => Ok(Place::Feeder),
        }
    }

    /// Scans what a person wants to be scanned, wherever it lies.
    async fn start(&mut self, port: &mut Port, scanner: &Scanner) -> Result<(), Fault> {
        let status = scanner.client.status().await?;
        match self.place(&scanner.there, &status) {
            Ok(place) => self.scan(port, scanner, place).await,
            Err(hindrance) => {
                self.tell(Some(hindrance));
                Ok(())
            }
        }
    }

    /// Scans what lies there.
    async fn scan(
        &mut self,
        port: &mut Port,
        scanner: &Scanner,
        place: Place,
    ) -> Result<(), Fault> {
        let scanned = self.pages(port, scanner, place).await;
        self.tell(match &scanned {
            Ok(hindrance) => hindrance.clone(),
            Err(fault) => Some(fault.clone().into()),
        });
        scanned.map(|_| ())
    }

    fn tell(&mut self, hindrance: Option<State>) {
        self.notice = hindrance.map(|state| (state, Instant::now() + NOTICE));
    }

    /// What a person is told, where the scanner is in this state.
    fn told(&self, state: State) -> State {
        match (&self.notice, state) {
            (Some((notice, until)), State::Ready) if Instant::now() < *until => notice.clone(),
            (_, state) => state,
        }
    }

    /// Takes all pages. Gives what hindered it, where a person can do something about it at once.
    async fn pages(
        &mut self,
        port: &mut Port,
        scanner: &Scanner,
        place: Place,
    ) -> Result<Option<State>, Fault> {
        port.set(State::Busy);
        let by_feeder = place == Place::Feeder;
        self.paper.is_new &= !by_feeder;
        let ticket = ticket(&scanner.there, place, &self.settings)?.into();
        let mut said = Said::default();
        let job = match said.hear(port, self.begin(&scanner.client, ticket)).await {
            Some(Ok(Some(job))) => job,
            Some(Ok(None)) => {
                let status = scanner.client.status().await?;
                return match status.trouble(by_feeder) {
                    Some(fault) => Err(fault),
                    None => Ok(Some(State::Asking(EMPTY.to_owned()))),
                };
            }
            Some(Err(fault)) => return Err(fault),
            None => return cancelled(port).await,
        };
        let patience = Instant::now() + self.limits.page_time;
        let mut pages = 0;
        let mut coming = job.next();
        loop {
            let Some(page) = said.hear(port, &mut coming).await else {
                // What is under way is dropped first, then the job is deleted.
                drop(coming);
                drop(job);
                return cancelled(port).await;
            };
            let page = match page {
                Ok(page) => page,
                Err(fault) => {
                    // The scanner itself may know better why.
                    let status = scanner.client.status().await;
                    return Err(match status.map(|it| it.verdict(job.path(), pages, by_feeder)) {
                        Ok(Verdict::Broken(better)) => better,
                        _ => fault,
                    });
                }
            };
            if let Some(picture) = page {
                let page = Captured { picture, at: Timestamp::now() };
                pages += 1;
                if !by_feeder {
                    drop(job);
                    port.page(page).await;
                    break;
                }
                // The scanner goes on while this page is made safe.
                coming = job.next();
                port.page(page).await;
                continue;
            }
            let status = scanner.client.status().await?;
            self.paper.look(status.feeder);
            match status.verdict(job.path(), pages, by_feeder) {
                Verdict::NotYet if Instant::now() < patience => {
                    sleep(LOOK).await;
                    coming = job.next();
                }
                Verdict::Broken(fault) => return Err(fault),
                Verdict::NotYet => return Err(scanner.client.too_slow()),
                Verdict::Complete => {
                    job.ended();
                    break;
                }
            }
        }
        match (said.done, by_feeder) {
            (true, _) => port.end(End::Person).await,
            (false, true) if pages > 0 => port.end(End::Paper).await,
            (false, _) => {}
        }
        let nothing = if by_feeder { EMPTY } else { "the scanner gave no page: begin again" };
        Ok((pages == 0).then(|| State::Asking(nothing.to_owned())))
    }

    /// Begins a job, and asks again while the scanner is busy. `None` where it cannot begin.
    async fn begin(&self, client: &Client, ticket: Bytes) -> Result<Option<Box<Job>>, Fault> {
        let deadline = Instant::now() + self.limits.page_time;
        loop {
            match Job::begin(client, ticket.clone()).await? {
                Asked::Begun(job) => return Ok(Some(job)),
                Asked::Refused => return Ok(None),
                Asked::Later(pause) if Instant::now() + pause < deadline => sleep(pause).await,
                Asked::Later(_) => {
                    return Err(Fault::Failing(
                        "the scanner is busy with another scan: wait until it has finished, or \
                         cancel it at the scanner"
                            .to_owned(),
                    ));
                }
            }
        }
    }
}

/// What a person has said during a scan.
#[derive(Default)]
struct Said {
    done: bool,
}

impl Said {
    /// Waits for the scanner, and hears the person meanwhile. `None`: the scan is to be forgotten.
    async fn hear<T>(&mut self, port: &mut Port, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                order = port.order() => match order {
                    Order::Start => {}
                    Order::Done => self.done = true,
                    Order::Cancel => return None,
                },
                result = &mut work => return Some(result),
            }
        }
    }
}

async fn cancelled(port: &Port) -> Result<Option<State>, Fault> {
    port.end(End::Cancelled).await;
    Ok(None)
}

/// Where a scanner is.
fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    url.ok_or_else(|| "escl.url: expected http[s]://HOST[:PORT]/eSCL".to_owned())
}

impl PageSource for Escl {
    async fn capture(&mut self, port: &mut Port) -> Result<(), Fault> {
        let scanner = self.find().await?;
        let by_feeder = self.settings.tray != Tray::Glass && scanner.there.has_feeder();
        let by_itself = by_feeder && self.settings.begin == Begin::Paper;
        let pause = if by_itself { LOOK } else { GLANCE };
        loop {
            let status = scanner.client.status().await?;
            let state = status.state(by_feeder);
            if self.paper.look(status.feeder)
                && by_itself
                && port.is_open()
                && state == State::Ready
            {
                self.scan(port, &scanner, Place::Feeder).await?;
            } else {
                port.set(self.told(state));
            }
            let next = Instant::now() + pause;
            loop {
                tokio::select! {
                    () = sleep_until(next) => break,
                    order = port.order() => match order {
                        Order::Start if !port.is_open() => {}
                        Order::Start => {
                            self.start(port, &scanner).await?;
                            break;
                        }
                        Order::Done => port.end(End::Person).await,
                        Order::Cancel => port.end(End::Cancelled).await,
                    }
                }
            }
        }
    }
}
