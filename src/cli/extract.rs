//! `extract`: documents in, answers out.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use cic_kiosk::report::schema::{Answer, ErrorCode};
use cic_kiosk::text::{Line, PageText};
use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};

use super::progress::Progress;
use super::setup::{FileReader, ReadingArgs, STDIN};
use super::{Outcome, overlay, print, table, usage_error};

/// Read documents and print what they say
///
/// JPEG, PNG, TIFF, WebP, BMP and PDF are read; what a file is, its content says. Each file gets
/// one answer, in the order given, on an error too. The exit status is 1 when some file failed.
#[derive(Args)]
pub struct Extract {
    /// Files to read; - is stdin
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// Print each answer as JSON in one line
    #[arg(long, conflicts_with = "format")]
    jsonl: bool,

    /// Fill in the pictures of pages and tables (base64)
    #[arg(long)]
    thumb: bool,

    /// Draw a box around each value, green where it is sure and red where it is not, all pages in
    /// one picture; of several files, OUT-1.png, OUT-2.png and so on
    #[arg(long, value_name = "OUT.png")]
    overlay: Option<PathBuf>,

    #[command(flatten)]
    reading: ReadingArgs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The cloud API's JSON
    #[default]
    Json,
    /// Values in columns, for people
    Table,
    /// All lines that were read, page by page, not only the report's values
    Text,
}

/// What one file comes to.
struct Done {
    printed: String,
    failed: bool,
}

impl Extract {
    /// Reads all files, several at a time, and prints the answers in the order of the files.
    pub fn run(&self) -> Outcome {
        self.check()?;
        // The process ends after this, which frees models and their memory sooner than we could.
        let reader = ManuallyDrop::new(self.reading.reader());
        let progress = Progress::new();
        let next = AtomicUsize::new(0);
        let stopped = AtomicBool::new(false);
        let (sender, receiver) = mpsc::channel();
        let work = |sender: mpsc::Sender<(usize, Done)>| {
            while !stopped.load(Ordering::Relaxed) {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(file) = self.files.get(index) else { break };
                let done = self.one(&reader, index, file, &progress);
                // The receiver is gone when nobody reads stdout any more.
                if sender.send((index, done)).is_err() {
                    break;
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..reader.threads().min(self.files.len()) {
                let sender = sender.clone();
                scope.spawn(|| work(sender));
            }
            drop(sender);
            let outcome = print_in_order(receiver, &progress);
            stopped.store(true, Ordering::Relaxed);
            outcome
        })
    }

    fn check(&self) -> Result<(), clap::Error> {
        if self.files.iter().filter(|file| *file == Path::new(STDIN)).count() > 1 {
            return Err(usage_error("stdin (-) can be read once only"));
        }
        Ok(())
    }

    fn one(&self, reader: &FileReader, index: usize, file: &Path, progress: &Progress) -> Done {
        if self.format == Format::Text {
            return match reader.read_text(file, progress) {
                Ok(pages) => Done { printed: text_of(&pages), failed: false },
                Err(answer) => self.done(file, *answer, None),
            };
        }
        let answer = reader.read_file(file, self.thumb || self.overlay.is_some(), progress);
        let drawn = self
            .overlay
            .as_ref()
            .filter(|_| !answer.reports.is_empty())
            .map(|path| overlay::write(&answer, &numbered(path, index, self.files.len())));
        self.done(file, answer, drawn.and_then(Result::err))
    }

    /// Prints an answer; what went wrong is said on stderr, too.
    fn done(
        &self,
        file: &Path,
        mut answer: Answer,
        overlay_error: Option<overlay::OverlayError>,
    ) -> Done {
        if !self.thumb {
            answer.drop_pictures();
        }
        let mut failed = answer.error != ErrorCode::Success;
        if let Some(detail) = answer.meta.as_ref().and_then(|meta| meta.detail.as_ref()) {
            log::error!("{}: {detail}", file.display());
        }
        if let Some(error) = overlay_error {
            log::error!("{}: {error}", file.display());
            failed = true;
        }
        Done { printed: self.printed(file, &answer), failed }
    }

    fn printed(&self, file: &Path, answer: &Answer) -> String {
        let mut text = String::new();
        let written = match self.format {
            Format::Json if self.jsonl => writeln!(text, "{}", json_of(file, answer)),
            Format::Json | Format::Text => writeln!(text, "{:#}", json_of(file, answer)),
            Format::Table if self.files.len() > 1 => writeln!(text, "== {}", file.display())
                .and_then(|()| table::write(answer, &mut text)),
            Format::Table => table::write(answer, &mut text),
        };
        debug_assert!(written.is_ok(), "a string takes everything");
        text
    }
}

fn print_in_order(done: mpsc::Receiver<(usize, Done)>, progress: &Progress) -> Outcome {
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    let mut all_well = true;
    for (index, done) in done {
        waiting.insert(index, done);
        while let Some(done) = waiting.remove(&next) {
            progress.suspend(|| print(&done.printed))?;
            all_well &= !done.failed;
            next += 1;
        }
    }
    Ok(all_well)
}

/// The contract's JSON; the file's name stands in the part that is ours.
pub fn json_of(file: &Path, answer: &Answer) -> Json {
    let mut json = json!(answer);
    json["meta"]["file"] = json!(file.display().to_string());
    json
}

/// The lines of all pages, a form feed between pages.
fn text_of(pages: &[PageText]) -> String {
    let pages: Vec<String> = pages
        .iter()
        .map(|page| in_reading_order(&page.lines).iter().map(|line| line.text() + "\n").collect())
        .collect();
    pages.join("\u{c}")
}

/// From top to bottom, and from left to right what stands on the same height.
fn in_reading_order(lines: &[Line]) -> Vec<&Line> {
    let mut lines: Vec<&Line> = lines.iter().collect();
    lines.sort_by(|a, b| a.rect.centre().y.total_cmp(&b.rect.centre().y));
    lines
        .chunk_by_mut(|a, b| b.rect.centre().y - a.rect.centre().y < a.em() / 2.0)
        .for_each(|row| row.sort_by(|a, b| a.rect.left.total_cmp(&b.rect.left)));
    lines
}

/// `out.png` for a single file, else `out-1.png`, `out-2.png` and so on.
fn numbered(path: &Path, index: usize, count: usize) -> PathBuf {
    if count == 1 {
        return path.to_owned();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{}.{extension}", index + 1))
}

#[cfg(test)]
mod tests {
    use cic_kiosk::geometry::Rect;
    use cic_kiosk::text::Char;

    use super::*;

    #[test]
    fn overlays_of_several_files_are_numbered_from_one() {
        let path = Path::new("there/out.png");
        assert_eq!(numbered(path, 0, 1), path);
        assert_eq!(numbered(path, 1, 3), Path::new("there/out-2.png"));
    }

    #[test]
    fn text_runs_from_top_to_bottom_and_from_left_to_right() {
        let line = |text: &str, left, top| Line {
            rect: Rect::new(left, top, left + 50.0, top + 14.0),
            chars: text
                .chars()
                .map(|value| Char { value, left, right: left, confidence: 1.0 })
                .collect(),
            posteriors: None,
            slope: None,
        };
        let lines = vec![line("c", 10.0, 40.0), line("b", 90.0, 19.0), line("a", 10.0, 21.0)];
        let page = PageText { lines, ..PageText::default() };
        assert_eq!(text_of(&[page.clone(), page]), "a\nb\nc\n\u{c}a\nb\nc\n");
    }

    #[test]
    fn file_name_stands_in_our_part_of_the_answer() {
        let json = json_of(Path::new("a.pdf"), &Answer::success(Vec::new(), Default::default()));
        assert_eq!(json["meta"]["file"], "a.pdf");
        assert_eq!(json["data"]["type"], "credit_report");
    }
}
