//! The options that every reading subcommand has, and the files that they read.

use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use cic_kiosk::config::Config;
use cic_kiosk::models::Precision;
use cic_kiosk::page::Limits;
use cic_kiosk::report::schema::{Answer, ErrorCode, Meta};
use cic_kiosk::text::PageText;
use clap::{Args, ValueEnum};
use ulid::Ulid;

use super::progress::Progress;
use crate::reading::{Local, scan};

/// Stands for stdin where a file is expected.
pub const STDIN: &str = "-";

/// How to read. What is not said is as the configuration has it.
#[derive(Args, Clone)]
#[command(next_help_heading = "Reading")]
pub struct ReadingArgs {
    /// Folder of the models and their manifest [default: models, beside the program or above it]
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,

    /// ONNX Runtime's shared library [default: $ORT_DYLIB_PATH, or libonnxruntime.so beside the
    /// program]
    #[arg(long, value_name = "FILE")]
    onnxruntime: Option<PathBuf>,

    /// Numbers that the models compute with; auto takes what this processor is fastest with
    /// [default: auto]
    #[arg(long, value_enum)]
    precision: Option<PrecisionArg>,

    /// Threads, all together [default: one for each core, four at most]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,

    /// Values below this confidence are named in meta.needs_review [default: 0.9]
    #[arg(long, value_name = "0..1", value_parser = parse_share)]
    review_below: Option<f32>,

    /// Bytes that a file may have [default: 67108864]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    max_bytes: Option<usize>,

    /// Pages that a document may have [default: 40]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    max_pages: Option<usize>,

    /// Pixels that a picture may have, width times height [default: 50000000]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    max_pixels: Option<u64>,

    /// Bytes that a PDF's streams may unpack to, all together [default: 134217728]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    max_unpacked_bytes: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PrecisionArg {
    Auto,
    Int8,
    Fp32,
}

fn parse_share(text: &str) -> Result<f32, String> {
    let share: f32 = text.parse().map_err(|_| "expected a number from 0 to 1".to_owned())?;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err("expected a number from 0 to 1".to_owned())
    }
}

impl ReadingArgs {
    /// Puts what the command line says over what the configuration says.
    pub fn apply(&self, config: &mut Config) {
        let reading = &mut config.reading;
        set(&mut reading.models, self.models.clone().map(Some));
        set(&mut reading.onnxruntime, self.onnxruntime.clone().map(Some));
        set(&mut reading.precision, self.precision.map(PrecisionArg::precision));
        set(&mut reading.threads, self.threads.map(|n| NonZeroUsize::new(n.max(1))));
        set(&mut reading.review_below, self.review_below);
        let limits = &mut config.limits;
        set(&mut limits.max_bytes, self.max_bytes);
        set(&mut limits.max_pages, self.max_pages);
        set(&mut limits.max_pixels, self.max_pixels);
        set(&mut limits.max_unpacked_bytes, self.max_unpacked_bytes);
    }

    /// A reader of files; its models are loaded when they are first needed.
    pub fn reader(&self) -> FileReader {
        let mut config = Config::default();
        self.apply(&mut config);
        FileReader { reader: Local::new(&config), limits: config.limits }
    }
}

/// Puts a value in its place where there is one.
pub fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

impl PrecisionArg {
    fn precision(self) -> Option<Precision> {
        match self {
            Self::Auto => None,
            Self::Int8 => Some(Precision::Int8),
            Self::Fp32 => Some(Precision::Fp32),
        }
    }
}

/// A reader of files.
pub struct FileReader {
    reader: Local,
    limits: Limits,
}

impl FileReader {
    /// How many documents are worth reading at the same time.
    pub fn threads(&self) -> usize {
        self.reader.threads()
    }

    /// Reads a file, or stdin where its name is `-`. Whatever happens, there is an answer.
    pub fn read_file(&self, file: &Path, pictures: bool, progress: &Progress) -> Answer {
        match self.bytes_of(file) {
            Ok(bytes) => self.read(bytes, &file.display().to_string(), pictures, progress),
            Err(error) => unreadable(&error),
        }
    }

    /// Reads bytes; `name` is shown as what is being read.
    pub fn read(&self, bytes: Vec<u8>, name: &str, pictures: bool, progress: &Progress) -> Answer {
        self.reader.read(bytes, Ulid::new(), pictures, &progress.watch(name.to_owned()))
    }

    /// The text of each page of a file, or the answer that says why there is none.
    pub fn read_text(
        &self,
        file: &Path,
        progress: &Progress,
    ) -> Result<Vec<PageText>, Box<Answer>> {
        let bytes = self.bytes_of(file).map_err(|error| Box::new(unreadable(&error)))?;
        self.reader.read_text(bytes, &progress.watch(file.display().to_string()))
    }

    /// Never more than one byte over the limit: the engine refuses what has it.
    fn bytes_of(&self, file: &Path) -> io::Result<Vec<u8>> {
        let limit = (self.limits.max_bytes as u64).saturating_add(1);
        let mut bytes = Vec::new();
        if file == Path::new(STDIN) {
            io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
        } else {
            File::open(file)?.take(limit).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }
}

fn unreadable(error: &io::Error) -> Answer {
    let detail = Some(format!("The file cannot be read: {error}."));
    Answer::failure(ErrorCode::Internal, Meta { detail, ..scan() })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Options {
        #[command(flatten)]
        reading: ReadingArgs,
    }

    fn config(arguments: &[&str]) -> Config {
        let mut config = Config::parse("[limits]\nmax_pages = 7").unwrap();
        let arguments = ["program"].iter().chain(arguments);
        Options::try_parse_from(arguments).ok().unwrap().reading.apply(&mut config);
        config
    }

    #[test]
    fn confidence_is_a_share() {
        assert_eq!(parse_share("0.5"), Ok(0.5));
        for text in ["1.5", "-1", "NaN", "high"] {
            assert!(parse_share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_command_line_goes_over_the_configuration_and_leaves_the_rest() {
        assert_eq!(config(&[]).limits.max_pages, 7);
        let config = config(&["--max-pages", "3", "--precision", "fp32"]);
        assert_eq!((config.limits.max_pages, config.reading.precision), (3, Some(Precision::Fp32)));
        assert_eq!(config.limits.max_bytes, Limits::default().max_bytes);
    }

    #[test]
    fn help_names_the_defaults_that_hold() {
        let help = <Options as clap::CommandFactory>::command().render_long_help().to_string();
        let Limits { max_bytes, max_pages, max_pixels, max_unpacked_bytes } = Limits::default();
        let review = Config::default().reading.review_below;
        for default in [
            max_bytes.to_string(),
            max_pages.to_string(),
            max_pixels.to_string(),
            max_unpacked_bytes.to_string(),
            review.to_string(),
        ] {
            assert!(help.contains(&format!("[default: {default}]")), "{default}\n{help}");
        }
    }
}
