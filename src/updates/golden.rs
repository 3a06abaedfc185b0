//! Golden pages: made-up papers whose truth is known, which tell whether models do on this machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use cic_kiosk::config::Config;
use cic_kiosk::engine::Pictures;
use cic_kiosk::eval::{Judged, Share, Truth, compare};
use cic_kiosk::page::Files;
use serde::Serialize;
use ulid::Ulid;

use super::Refusal;
use super::package::{Demand, truth_of};
use crate::reading::{Reader, Work};

/// Times that the pages are read, of which the fastest counts: something else may have kept the
/// machine busy.
const ROUNDS: usize = 3;

/// The most golden pages' files that are read of a folder.
const MAX_PAGES: usize = 16;

/// Papers with what they say.
pub struct Golden(Vec<(Vec<u8>, Truth)>);

/// What reading them came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Seen {
    /// Values of the truth.
    pub values: usize,
    /// Those that were read as they are.
    pub right: usize,
    /// Pages.
    pub pages: usize,
    /// Seconds for a page.
    pub page_seconds: f64,
}

/// A reading of golden pages for somebody to look at: whatever stands on them is made up.
pub struct Tried {
    /// In figures.
    pub seen: Seen,
    /// Values that were read as something else, or not at all.
    pub wrong: Vec<Judged>,
    /// Rows that were read and are not there.
    pub invented_rows: usize,
    /// Milliseconds of each stage.
    pub stages: BTreeMap<String, u64>,
}

impl Seen {
    /// The share of values that are right.
    pub fn share(&self) -> f64 {
        Share { right: self.right, of: self.values }.value()
    }
}

impl Golden {
    /// The golden pages of a folder, each beside its truth, `NAME.json`.
    ///
    /// # Errors
    /// Where there is none, or one cannot be read.
    pub fn of_folder(folder: &Path) -> Result<Self, String> {
        let unreadable = |error| format!("{}: {error}", folder.display());
        let entries = fs::read_dir(folder).map_err(unreadable)?;
        let names = entries.map(|entry| Ok(entry?.file_name().into_string().unwrap_or_default()));
        let mut names = names.collect::<Result<Vec<String>, _>>().map_err(unreadable)?;
        names.retain(|name| !name.ends_with(".json"));
        names.sort();
        let read = |name: &String| {
            let page = fs::read(folder.join(name)).map_err(unreadable)?;
            let truth = fs::read(folder.join(truth_of(name))).map_err(unreadable)?;
            let truth = serde_json::from_slice(&truth)
                .map_err(|error| format!("the truth of {name}: {error}"))?;
            Ok((page, truth))
        };
        let pages: Vec<_> =
            names.iter().take(MAX_PAGES).map(read).collect::<Result<_, String>>()?;
        if pages.is_empty() {
            return Err(format!("{} holds no golden page", folder.display()));
        }
        Ok(Self(pages))
    }

    /// The first of them, as a file.
    pub fn page(self) -> Vec<u8> {
        self.0.into_iter().next().map(|(page, _)| page).unwrap_or_default()
    }

    /// Reads them, and looks how right that was.
    ///
    /// # Errors
    /// Where they cannot be read at all.
    pub async fn read(&self, reader: &Reader, config: &Config) -> Result<Seen, String> {
        Ok(self.try_out(reader, config).await?.seen)
    }

    /// The same, with what was wrong, and how long its stages took.
    ///
    /// # Errors
    /// Where they cannot be read at all.
    pub async fn try_out(&self, reader: &Reader, config: &Config) -> Result<Tried, String> {
        let limit = config.http.reading_time();
        let (mut values, mut pages, mut took) = (0, 0, Duration::ZERO);
        let (mut wrong, mut invented_rows, mut stages) = (Vec::new(), 0, BTreeMap::new());
        for (page, truth) in &self.0 {
            let files = Files::from(page.clone());
            let work =
                Work { scan: Ulid::nil(), files, ahead: Vec::new(), pictures: Pictures::None };
            let begun = Instant::now();
            let answer = reader.read_in_time(work, limit, |_| {}).await;
            took += begun.elapsed();
            let answer = answer.map_err(|error| error.to_string())?;
            if let Some(meta) = &answer.meta {
                pages += meta.pages;
                for (stage, spent) in &meta.elapsed_ms {
                    *stages.entry(stage.clone()).or_default() += spent.as_u64().unwrap_or(0);
                }
            }
            let compared = compare(truth, Some(&answer));
            values += compared.values.len();
            invented_rows += compared.invented_rows;
            wrong.extend(compared.values.into_iter().filter(|value| !value.is_right));
        }
        let page_seconds = took.as_secs_f64() / pages.max(1) as f64;
        let seen = Seen { values, right: values - wrong.len(), pages, page_seconds };
        Ok(Tried { seen, wrong, invented_rows, stages })
    }

    /// Reads them with new models and with those that are used now, in turn.
    ///
    /// # Errors
    /// Where the new ones do not do what is demanded of them.
    pub async fn compare(
        &self,
        new: &Reader,
        present: &Reader,
        config: &Config,
        demand: &Demand,
    ) -> Result<(Seen, Option<Seen>), Refusal> {
        let (mut best, mut before): (Option<Seen>, Option<Seen>) = (None, None);
        // What it takes to start a process and to load models is not what a page takes.
        new.load().await.map_err(|error| Refusal::Golden(error.to_string()))?;
        let mut compares = present.load().await.is_ok();
        for _ in 0..ROUNDS {
            let seen = self.read(new, config).await.map_err(Refusal::Golden)?;
            if seen.share() < demand.right {
                let Seen { right, values, .. } = seen;
                let least = demand.right * 100.0;
                return Err(Refusal::Golden(format!(
                    "{right} of {values} values are right, and {least} % are demanded"
                )));
            }
            faster(&mut best, seen);
            // Models that cannot be read with are no measure of others.
            if compares {
                match self.read(present, config).await {
                    Ok(seen) => faster(&mut before, seen),
                    Err(_) => compares = false,
                }
            }
        }
        let best = best.ok_or_else(|| Refusal::Golden("they were not read".to_owned()))?;
        let before = before.filter(|_| compares);
        if let Some(before) = before {
            let (took, present, most) = (best.page_seconds, before.page_seconds, demand.slowdown);
            if took > present * most {
                return Err(Refusal::Slow { took, present, most });
            }
        }
        Ok((best, before))
    }
}

fn faster(best: &mut Option<Seen>, seen: Seen) {
    if best.is_none_or(|best| seen.page_seconds < best.page_seconds) {
        *best = Some(seen);
    }
}
