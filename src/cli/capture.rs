//! `capture`: takes pages without reading them.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cic_kiosk::config::Config;
use cic_kiosk::finding::Finding;
use cic_kiosk::page::{Likeness, Quality};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use tokio::runtime;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::config::ConfigArgs;
use super::scan::device;
use super::{Failure, Outcome, print};
use crate::capture::{
    Captured, Device, End, Event, Order, Outlet, Port, Preview, Source, State, Taken, keep_at_work,
};
use crate::reading::Local;

/// Between two looks at the preview.
const PREVIEW: Duration = Duration::from_millis(200);

/// Take pages with a camera or scanner without reading them, and judge each picture
///
/// To set up a kiosk: on a terminal it shows what the device sees, and how good that is, as it
/// changes. The daemon must not be using the device. Ends with Ctrl-C, after the last page of a
/// feeder, or when one of the limits is reached.
#[derive(Args)]
pub struct Capture {
    /// Which device: camera, escl or sane
    #[arg(long, value_name = "NAME", value_parser = device)]
    source: Source,

    /// Folder that the pages are written to, which must not have them yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// End after so many pages
    #[arg(long, value_name = "N")]
    pages: Option<usize>,

    /// End after so many seconds
    #[arg(long, value_name = "S")]
    seconds: Option<u64>,

    /// Print JSON, one object a page
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    config: ConfigArgs,
}

impl Capture {
    /// Whether pages were taken, and all are good enough.
    pub fn run(&self) -> Outcome {
        let config = self.config.load()?.config;
        let device = Device::named(self.source, &config)?;
        fs::create_dir_all(&self.out)
            .map_err(|error| format!("cannot make {}: {error}", self.out.display()))?;
        let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
        let outcome = runtime.block_on(self.capture(device, &config));
        // A device that does not answer is left behind.
        runtime.shutdown_background();
        outcome
    }

    async fn capture(&self, mut device: Device, config: &Config) -> Outcome {
        let stop = CancellationToken::new();
        let (mut port, mut outlet) = Port::new(stop.clone());
        let source = self.source;
        let work = tokio::spawn(async move { keep_at_work(&mut device, source, &mut port).await });
        let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            line.set_style(style);
        }
        let until = self.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let mut pages = Pages {
            reader: Arc::new(Local::new(config)),
            folder: &self.out,
            json: self.json,
            likenesses: Vec::new(),
            weak: 0,
        };
        let mut previews = interval(PREVIEW);
        let mut begun = false;
        while self.pages.is_none_or(|most| pages.likenesses.len() < most) {
            let time_is_up = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = outlet.events.recv() => match event {
                    Some(Event::Page(captured, became)) => {
                        let _ = became.send(pages.take(captured, &line).await?);
                    }
                    Some(Event::End(End::Paper | End::Cancelled)) | None => break,
                    Some(Event::End(End::Person)) => {}
                },
                _ = previews.tick() => {
                    begun |= self.begin(begun, &outlet);
                    line.set_message(words(&outlet));
                    line.tick();
                }
                () = time_is_up => break,
                _ = tokio::signal::ctrl_c() => break,
            }
        }
        line.finish_and_clear();
        let state = outlet.state.borrow().clone();
        stop.cancel();
        work.await?;
        if pages.likenesses.is_empty() {
            return Err(match state {
                State::Absent(reason) | State::Failing(reason) | State::Asking(reason) => reason,
                State::Ready | State::Busy => "no page was taken".to_owned(),
            }
            .into());
        }
        Ok(pages.weak == 0)
    }

    /// A scanner waits for the button, which nobody here presses.
    fn begin(&self, begun: bool, outlet: &Outlet) -> bool {
        let begins =
            !begun && self.source != Source::Camera && *outlet.state.borrow() == State::Ready;
        begins && outlet.orders.try_send(Order::Start).is_ok()
    }
}

/// Pages as they are written.
struct Pages<'a> {
    reader: Arc<Local>,
    folder: &'a Path,
    json: bool,
    likenesses: Vec<Option<Likeness>>,
    weak: usize,
}

impl Pages<'_> {
    async fn take(&mut self, captured: Captured, line: &ProgressBar) -> Result<Taken, Failure> {
        let (reader, picture) = (Arc::clone(&self.reader), captured.picture.clone());
        let look = match spawn_blocking(move || reader.look(picture)).await? {
            Ok(look) => look,
            Err(error) => {
                line.suspend(|| eprintln!("cic-kiosk: a picture was not taken: {error}"));
                return Ok(Taken::Again(vec![Finding::Damaged]));
            }
        };
        let seen = |before: &Option<Likeness>| {
            before.as_ref().zip(look.likeness.as_ref()).is_some_and(|(a, b)| a.is_same_page(b))
        };
        if self.likenesses.iter().any(seen) {
            return Ok(Taken::Same);
        }
        let path = self.path(&captured.picture);
        write_new(&path, &captured.picture)?;
        let quality = look.page.as_ref().map(|page| page.quality);
        let text = if self.json {
            let findings = &look.findings;
            let at = captured.at.to_string();
            let path = path.display().to_string();
            let figures = quality.map(|it| figures_json(&it));
            let line = json!({"file": path, "at": at, "findings": findings, "quality": figures});
            format!("{line}\n")
        } else {
            let figures = quality.map_or_else(String::new, |it| figures(&it));
            let findings: Vec<_> = look.findings.iter().map(ToString::to_string).collect();
            format!("{}  {figures}  {}\n", path.display(), findings.join(" "))
        };
        line.suspend(|| print(&text))?;
        self.likenesses.push(look.likeness);
        self.weak += usize::from(!look.findings.is_empty());
        Ok(Taken::Kept)
    }

    fn path(&self, picture: &[u8]) -> PathBuf {
        let extension = match picture {
            [0xff, 0xd8, ..] => "jpg",
            [0x89, b'P', b'N', b'G', ..] => "png",
            [b'%', b'P', b'D', b'F', ..] => "pdf",
            _ => "tif",
        };
        self.folder.join(format!("page-{:03}.{extension}", self.likenesses.len() + 1))
    }
}

/// Pages are somebody's secrets: they belong to who captures them.
fn write_new(path: &Path, picture: &[u8]) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(picture))
        .map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}

/// How the device is, and what it sees.
fn words(outlet: &Outlet) -> String {
    let state = match &*outlet.state.borrow() {
        State::Absent(reason) | State::Failing(reason) | State::Asking(reason) => reason.clone(),
        State::Ready => "ready".to_owned(),
        State::Busy => "busy".to_owned(),
    };
    let Preview { sight, quality, .. } = outlet.preview.borrow().clone();
    let sight = sight.map_or_else(String::new, |sight| sight.to_string());
    let figures = quality.map_or_else(String::new, |it| figures(&it));
    [state, sight, figures].into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join(" · ")
}

fn figures(it: &Quality) -> String {
    format!(
        "sharpness {:.4}, brightness {:.2}, contrast {:.2}, glare {:.1} %, {:.0} dpi, skew {:.1}°",
        it.sharpness,
        it.brightness,
        it.contrast,
        it.glare * 100.0,
        it.dpi,
        it.skew
    )
}

fn figures_json(it: &Quality) -> serde_json::Value {
    json!({
        "sharpness": it.sharpness,
        "brightness": it.brightness,
        "contrast": it.contrast,
        "evenness": it.evenness,
        "glare": it.glare,
        "dpi": it.dpi,
        "skew": it.skew,
    })
}
