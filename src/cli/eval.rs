//! `eval`: how right the answers are, by kind of document.

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use cic_kiosk::eval::{Comparison, Summary, Tally, Truth, compare, compare_text};
use cic_kiosk::report::schema::Answer;
use clap::Args;
use serde_json::json;

use super::progress::Progress;
use super::setup::{FileReader, ReadingArgs};
use super::{Failure, Outcome, print, table};

/// What a document beside NAME.json may be called.
const ENDINGS: [&str; 8] = ["pdf", "png", "jpg", "jpeg", "tif", "tiff", "webp", "bmp"];

/// Compare answers with the truth
///
/// DIR holds documents, and beside each one its truth, NAME.json: {"kind": ..., "info": {scalar:
/// value, table: [[cell, ...], ...]}}, or "infos" for several reports, or "errorCode". With "text",
/// a list of printed lines for each page, characters are compared, too.
#[derive(Args)]
pub struct Eval {
    /// Folder of documents and truths
    dir: PathBuf,

    /// Write each answer to OUT/NAME.json
    #[arg(long, value_name = "OUT")]
    answers: Option<PathBuf>,

    /// Read no documents: compare the answers GIVEN/NAME.json, whoever made them
    #[arg(long, value_name = "GIVEN", conflicts_with = "answers")]
    given: Option<PathBuf>,

    /// List every value that is wrong
    #[arg(short, long)]
    verbose: bool,

    #[command(flatten)]
    reading: ReadingArgs,
}

impl Eval {
    /// Compares every document of the folder and prints the figures.
    pub fn run(&self) -> Outcome {
        let truths = truths(&self.dir)?;
        if truths.is_empty() {
            return Err(format!("{} holds no truth (NAME.json)", self.dir.display()).into());
        }
        if let Some(folder) = &self.answers {
            fs::create_dir_all(folder).map_err(|error| about(folder, &error))?;
        }
        let (reader, progress) = (self.reading.reader(), Progress::new());
        let mut summary = Summary::default();
        for path in &truths {
            let truth = read_truth(path)?;
            let answer = match &self.given {
                Some(folder) => given_answer(folder, path),
                None => Some(self.read(path, &truth, &reader, &progress, &mut summary)?),
            };
            let comparison = compare(&truth, answer.as_ref());
            if self.verbose {
                progress.suspend(|| print(&mistakes(path, &comparison, answer.as_ref())))?;
            }
            summary.add(&truth.kind, &comparison);
        }
        print(&figures(&summary)?)?;
        Ok(summary.total().failed == 0)
    }

    /// Reads the document beside a truth.
    fn read(
        &self,
        path: &Path,
        truth: &Truth,
        reader: &FileReader,
        progress: &Progress,
        summary: &mut Summary,
    ) -> Result<Answer, Failure> {
        let document = document(path)?;
        let begun = Instant::now();
        let answer = reader.read_file(&document, false, progress);
        let elapsed = begun.elapsed();
        if let Some(meta) = &answer.meta {
            summary.add_time(&truth.kind, meta.pages, elapsed);
            if let Some(detail) = &meta.detail {
                progress.suspend(|| log::warn!("{}: {detail}", document.display()));
            }
        }
        if let Some(printed) = &truth.text {
            let read = reader.read_text(&document, progress).unwrap_or_default();
            for (index, printed) in printed.iter().enumerate() {
                let lines = read.get(index).map_or(&[][..], |page| &page.lines);
                let lines: Vec<_> = lines.iter().map(|line| line.text()).collect();
                summary.add_text(&truth.kind, compare_text(printed, &lines));
            }
        }
        if let (Some(folder), Some(name)) = (&self.answers, path.file_name()) {
            let path = folder.join(name);
            fs::write(&path, json!(answer).to_string()).map_err(|error| about(&path, &error))?;
        }
        Ok(answer)
    }
}

/// The truths of a folder, by name.
fn truths(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(folder).map_err(|error| about(folder, &error))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    paths.sort();
    Ok(paths)
}

fn read_truth(path: &Path) -> Result<Truth, Failure> {
    let bytes = fs::read(path).map_err(|error| about(path, &error))?;
    Ok(serde_json::from_slice(&bytes).map_err(|error| about(path, &error))?)
}

fn given_answer(folder: &Path, truth: &Path) -> Option<Answer> {
    let path = folder.join(truth.file_name()?);
    let answer = fs::read(&path)
        .map_err(|error| about(&path, &error))
        .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| about(&path, &error)));
    answer.inspect_err(|error| log::error!("{error}")).ok()
}

fn document(truth: &Path) -> Result<PathBuf, String> {
    ENDINGS.iter().map(|ending| truth.with_extension(ending)).find(|path| path.exists()).ok_or_else(
        || format!("{}: no document of that name ({})", truth.display(), ENDINGS.join(", ")),
    )
}

fn about(path: &Path, error: &dyn Error) -> String {
    format!("{}: {error}", path.display())
}

fn mistakes(path: &Path, comparison: &Comparison, answer: Option<&Answer>) -> String {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let wrong = comparison.values.iter().filter(|value| !value.is_right);
    let mut text: String = wrong
        .map(|value| {
            let found = value.found.as_deref().unwrap_or("(no such row)");
            format!("{name} | {} | {} | {found}\n", value.name, value.expected)
        })
        .collect();
    if comparison.invented_rows > 0 {
        text += &format!("{name} | {} rows invented\n", comparison.invented_rows);
    }
    if comparison.values.is_empty() && !comparison.is_whole {
        let got = answer.map_or("none", |answer| answer.error.digit());
        text += &format!("{name} | errorCode | {got}\n");
    }
    text
}

fn figures(summary: &Summary) -> Result<String, std::fmt::Error> {
    let header = [
        "kind",
        "documents",
        "failed",
        "values",
        "scalars",
        "cells",
        "invented rows",
        "whole",
        "CER",
        "s/page",
    ];
    let mut lines = vec![header.map(str::to_owned).to_vec()];
    let total = summary.total();
    let kinds = summary.kinds.iter().map(|(kind, tally)| (&kind[..], tally));
    lines.extend(kinds.chain([("all", &total)]).map(|(kind, tally)| line(kind, tally)));
    let mut text = String::new();
    table::write_columns(&lines, &mut text)?;

    writeln!(text, "\nright, by field")?;
    let fields = summary.fields.iter().map(|(name, share)| {
        vec![format!("  {name}"), percent(share.value()), format!("of {}", share.of)]
    });
    table::write_columns(&fields.collect::<Vec<_>>(), &mut text)?;

    writeln!(text, "\nwrong, by confidence")?;
    let coverage = summary.coverage().into_iter().map(|coverage| {
        vec![
            format!("  the surest {:.0} %", coverage.share * 100.0),
            format!("confidence from {:.3}", coverage.threshold),
            format!("{} wrong", percent(coverage.wrong)),
        ]
    });
    table::write_columns(&coverage.collect::<Vec<_>>(), &mut text)?;
    Ok(text)
}

fn line(kind: &str, tally: &Tally) -> Vec<String> {
    vec![
        kind.to_owned(),
        tally.documents.to_string(),
        tally.failed.to_string(),
        percent(tally.values().value()),
        percent(tally.scalars.value()),
        percent(tally.cells.value()),
        tally.invented_rows.to_string(),
        format!("{}/{}", tally.whole, tally.documents),
        tally.text.rate().map_or_else(|| "-".to_owned(), percent),
        tally.seconds_per_page().map_or_else(|| "-".to_owned(), |s| format!("{s:.2}")),
    ]
}

/// With as many digits as a share of four decimals has.
fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}
