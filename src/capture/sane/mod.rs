//! Document scanners through SANE's program `scanimage`.
//!
//! Promises:
//! - A page goes to the kiosk as soon as it is complete, while the next one is scanned; the scanner
//!   gets no further ahead than that, so that pages never pile up.
//! - The driver, which SANE loads, runs in a process of its own, and takes nothing down with it. It
//!   gets `page_seconds` for a page, and a scan that is over leaves no process behind.
//! - No shell, no option that is not the scanner's own, and nothing of what the program says in a log
//!   but known words.
//! - Pages lie in a private folder for the moment between the two programs, and nowhere after it.
//!
//! Whether the device is there is found out when capturing begins, and again with each scan: to look
//! in between would open it, which moves parts in some.
//!
//! `scanimage` writes TIFF, and it becomes a JPEG of quality 95 here, 1 to 2 MB. The program's own
//! JPEGs have quality 75 and half the colour: of 570 values of re-scanned reports, 2 were then read
//! wrongly, 1 without any loss, and none at quality 95. PNG costs it 3 s for a page and has 10 MB,
//! TIFF 26 MB, of which eight are too many for a document.

mod folder;
mod listing;
mod process;
mod status;

use std::fs::{self, File};
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cic_kiosk::config;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat, ImageReader};
use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::ChildStdin;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Captured, End, Fault, Order, PageSource, Port, State, shown};
use folder::Folder;
use listing::Listing;
use process::{Process, Tail, ask};
use status::{NO_ROOM, Trouble, told, trouble};

/// For a device to be found and opened: drivers look for it in the network, or warm it up.
const LOOK: Duration = Duration::from_secs(30);

/// For the program to end after it has said what is wrong. Version 1.2.1 at times deadlocks instead.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How long a person is asked for something before the scanner counts as ready again.
const ASKED: Duration = Duration::from_secs(120);

/// The most that a page's file may have: A4 at 600 dpi in colour has 105 MB.
const MAX_PICTURE: u64 = 256 << 20;

/// Of the JPEGs that pages become: what is lost cannot be seen.
const QUALITY: u8 = 95;

const NO_PAPER: &str = "there is no paper in the feeder: put it in, and press the button";

/// A scanner that `scanimage` can use.
pub struct Sane {
    settings: config::Sane,
    place: PathBuf,
}

/// A scanner that is there.
struct Device {
    arguments: Vec<String>,
    listing: Listing,
}

impl Sane {
    /// The one that the settings name.
    pub fn new(settings: config::Sane) -> Self {
        Self { settings, place: folder::place() }
    }

    /// Scans: one page from the glass, or all that is in the feeder. What a person has to do, if
    /// that is why it ended.
    async fn scan(&self, device: &Device, port: &mut Port) -> Result<Option<&'static str>, Fault> {
        let folder = Folder::create(&self.place).map_err(|error| {
            let place = self.place.display();
            Fault::Failing(format!("no folder for pages can be made in {place}: {}", error.kind()))
        })?;
        let mut arguments = device.arguments.clone();
        // It waits for a line on stdin before each page, and prints one to stdout after it.
        let batch = ["--format=tiff", "--batch=%d.tif", "--batch-print", "--batch-prompt"];
        arguments.extend(batch.map(str::to_owned));
        if !device.listing.is_feeder() {
            arguments.push("--batch-count=1".to_owned());
        }
        let (mut process, pipes) = Process::start(&self.settings, &arguments, Some(folder))?;
        let (mut stdout, mut stderr) = (pipes.stdout, pipes.stderr);
        let mut stdin = Some(pipes.stdin);
        let (mut out, mut err) = ([0; 512], [0; 4096]);
        let (mut out_open, mut err_open) = (true, true);
        let (mut pages, mut tail) = (0, Tail::default());
        next_page(&mut stdin).await;
        let mut late = Instant::now() + self.settings.page_time();
        let trouble = loop {
            if !(out_open || err_open) {
                break trouble(process.exit().await?, &tail.text());
            }
            tokio::select! {
                // What a person says comes before more pages, and the limit before more words.
                biased;
                order = port.order() => match order {
                    Order::Start => {}
                    // The page that is under way is the last one.
                    Order::Done => stdin = None,
                    Order::Cancel => {
                        process.end().await;
                        port.end(End::Cancelled).await;
                        return Ok(None);
                    }
                },
                () = sleep_until(late) => {
                    process.end().await;
                    if let Some(trouble) = told(&tail.text()) {
                        break Some(trouble);
                    }
                    return Err(Fault::Failing(format!(
                        "the scanner has not given a page in {} s: look for stuck paper, and switch \
                         it off and on again",
                        self.settings.page_seconds
                    )));
                }
                read = stdout.read(&mut out), if out_open => {
                    let read = read.unwrap_or_default();
                    out_open = read > 0;
                    for _ in out[..read].iter().filter(|&&byte| byte == b'\n') {
                        pages += 1;
                        let (at, folder) = (Timestamp::now(), process.folder());
                        let page = folder.unwrap_or(&self.place).join(format!("{pages}.tif"));
                        let picture = taken_over(page).await?;
                        next_page(&mut stdin).await;
                        port.page(Captured { picture, at }).await;
                        late = Instant::now() + self.settings.page_time();
                    }
                }
                read = stderr.read(&mut err), if err_open => {
                    let read = read.unwrap_or_default();
                    err_open = read > 0;
                    tail.push(&err[..read]);
                    if told(&tail.text()).is_some() {
                        late = late.min(Instant::now() + LAST_WORDS);
                    }
                }
            }
        };
        match trouble {
            Some(Trouble::Fault(fault)) => return Err(fault),
            Some(Trouble::Person(words)) => return Ok(Some(words)),
            Some(Trouble::NoPaper) | None if stdin.is_none() => port.end(End::Person).await,
            Some(Trouble::NoPaper) if pages == 0 => return Ok(Some(NO_PAPER)),
            Some(Trouble::NoPaper) => port.end(End::Paper).await,
            None if device.listing.is_feeder() => port.end(End::Paper).await,
            None => {}
        }
        Ok(None)
    }
}

impl PageSource for Sane {
    async fn capture(&mut self, port: &mut Port) -> Result<(), Fault> {
        folder::sweep(&self.place);
        let device = look(&self.settings).await?;
        let mut asked = None;
        loop {
            port.set(asked.map_or(State::Ready, |words: &str| State::Asking(words.to_owned())));
            let order = match asked.take() {
                Some(_) => timeout(ASKED, port.order()).await.ok(),
                None => Some(port.order().await),
            };
            match order {
                Some(Order::Start) if port.is_open() => {
                    port.set(State::Busy);
                    asked = self.scan(&device, port).await?;
                }
                Some(Order::Done) => port.end(End::Person).await,
                Some(Order::Cancel) => port.end(End::Cancelled).await,
                Some(Order::Start) | None => {}
            }
        }
    }
}

/// Lets the program scan the next page. One that has ended says so by its exit status.
async fn next_page(stdin: &mut Option<ChildStdin>) {
    if let Some(stdin) = stdin {
        let _ = stdin.write_all(b"\n").await;
    }
}

/// The page in a file, which is gone after that. The file lies in memory, so that it would survive
/// nothing that the page does not survive.
async fn taken_over(path: PathBuf) -> Result<Vec<u8>, Fault> {
    // `scanimage` does not notice where a file's end does not fit.
    let unusable = || Fault::Failing(NO_ROOM.to_owned());
    spawn_blocking(move || picture(&path)).await.ok().flatten().ok_or_else(unusable)
}

fn picture(path: &Path) -> Option<Vec<u8>> {
    let mut tiff = Vec::new();
    File::open(path).ok()?.take(MAX_PICTURE).read_to_end(&mut tiff).ok()?;
    fs::remove_file(path).ok()?;
    let page = ImageReader::with_format(Cursor::new(tiff), ImageFormat::Tiff).decode().ok()?;
    let page = match page.color().has_color() {
        true => DynamicImage::ImageRgb8(page.into_rgb8()),
        false => DynamicImage::ImageLuma8(page.into_luma8()),
    };
    let mut jpeg = Vec::new();
    page.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, QUALITY)).ok()?;
    Some(jpeg)
}

/// Opens the device, and finds out what it can do and whether it takes the settings.
async fn look(settings: &config::Sane) -> Result<Device, Fault> {
    let options = async |arguments: &[String]| {
        let list = [arguments, &["--all-options".to_owned()]].concat();
        ask(settings, &list, LOOK).await.map(|text| Listing::parse(&text))
    };
    let arguments = options(&[]).await?.arguments(settings)?;
    // The settings decide whether pages come from the feeder.
    let listing = options(&arguments).await?;
    Ok(Device { arguments, listing })
}

/// What there is, for people who set it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Of `scanimage`.
    pub version: String,
    /// SANE's name of the scanner.
    pub device: String,
    /// Where it takes paper from, as it calls it, if it has a choice.
    pub source: Option<String>,
}

/// Looks whether program and scanner are there, and whether the scanner takes the settings. Where
/// there is no such scanner, the reason says which ones there are.
pub async fn probe(settings: &config::Sane) -> Result<Probe, Fault> {
    let version = ask(settings, &["--version".to_owned()], LOOK).await?;
    let version = shown(version.split_whitespace().last().unwrap_or_default());
    match look(settings).await {
        Ok(Device { listing, .. }) => {
            let device = settings.device.clone().unwrap_or(listing.device);
            let source = listing.source.as_deref().map(shown);
            Ok(Probe { version, device: shown(&device), source })
        }
        Err(Fault::Absent(reason)) => {
            let any = config::Sane { device: None, ..settings.clone() };
            let list =
                ask(&any, &["--formatted-device-list=%d (%v %m)%n".to_owned()], LOOK).await?;
            let found = list.lines().take(10).map(shown).collect::<Vec<_>>().join(", ");
            let found = if found.is_empty() { "none" } else { &found };
            Err(Fault::Absent(format!("{reason}. SANE finds: {found}")))
        }
        Err(fault) => Err(fault),
    }
}

#[cfg(test)]
mod tests;
