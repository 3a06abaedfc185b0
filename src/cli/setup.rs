//! The options that every reading subcommand has, and the engine they make.

use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use cic_kiosk::engine::{Engine, Models, Options};
use cic_kiosk::models::{MANIFEST, Manifest, ModelOptions, Precision};
use cic_kiosk::ocr::model::Runtime;
use cic_kiosk::page::Limits;
use cic_kiosk::report::schema::{Answer, ErrorCode, Meta, ModelInfo};
use cic_kiosk::text::PageText;
use clap::{Args, ValueEnum};
use ulid::Ulid;

use super::progress::{Progress, milliseconds};

/// Stands for stdin where a file is expected.
pub const STDIN: &str = "-";

/// The environment variable that other programs with ONNX Runtime know, too.
const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How to read.
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
    #[arg(long, value_enum, default_value_t)]
    precision: PrecisionArg,

    /// Threads, all together [default: one for each core, four at most]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,

    /// Values below this confidence are named in meta.needs_review
    #[arg(long, value_name = "0..1", default_value_t = 0.9, value_parser = parse_share)]
    review_below: f32,

    /// Bytes that a file may have
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_bytes, help_heading = "Limits")]
    max_bytes: usize,

    /// Pages that a document may have
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_pages, help_heading = "Limits")]
    max_pages: usize,

    /// Pixels that a picture may have, width times height
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_pixels, help_heading = "Limits")]
    max_pixels: u64,

    /// Bytes that a PDF's streams may unpack to, all together
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_unpacked_bytes, help_heading = "Limits")]
    max_unpacked_bytes: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum PrecisionArg {
    #[default]
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

/// The engine with what it lacks by design: files, a clock, and names for scans.
pub struct Reader {
    engine: Engine,
    args: ReadingArgs,
    threads: usize,
    loading_took: Arc<OnceLock<Duration>>,
}

impl ReadingArgs {
    /// A reader; its models are loaded when they are first needed.
    pub fn reader(&self) -> Reader {
        let threads = self.threads.map_or_else(|| ModelOptions::default().threads, |n| n.max(1));
        // The pool may exist already where a test makes several readers in one process.
        if let Err(error) = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global() {
            log::debug!("threads: {error}");
        }
        let loading_took = Arc::new(OnceLock::new());
        let (args, took) = (self.clone(), Arc::clone(&loading_took));
        let engine = Engine::new(self.limits(), move || {
            let begun = Instant::now();
            let models = args.load(threads)?;
            took.get_or_init(|| begun.elapsed());
            Ok(models)
        });
        Reader { engine, args: self.clone(), threads, loading_took }
    }

    fn limits(&self) -> Limits {
        Limits {
            max_bytes: self.max_bytes,
            max_pages: self.max_pages,
            max_pixels: self.max_pixels,
            max_unpacked_bytes: self.max_unpacked_bytes,
        }
    }

    fn load(&self, threads: usize) -> Result<Models, BoxError> {
        let folder = match &self.models {
            Some(folder) => folder.clone(),
            None => beside_program(&[&format!("models/{MANIFEST}")])
                .and_then(|manifest| manifest.parent().map(Path::to_owned))
                .ok_or("no models folder is beside the program; name it with --models")?,
        };
        let library = self
            .onnxruntime
            .clone()
            .or_else(|| env::var_os(LIBRARY_VARIABLE).map(PathBuf::from))
            .or_else(|| {
                beside_program(&["libonnxruntime.so", ".cache/onnxruntime/libonnxruntime.so"])
            })
            .ok_or(
                "libonnxruntime.so is not beside the program; name it with --onnxruntime or in \
                 ORT_DYLIB_PATH",
            )?;
        let precision = match self.precision {
            PrecisionArg::Auto => None,
            PrecisionArg::Int8 => Some(Precision::Int8),
            PrecisionArg::Fp32 => Some(Precision::Fp32),
        };
        let options = ModelOptions { precision, threads, ..ModelOptions::default() };
        let runtime = Runtime::load(&library)?;
        let (reader, entries) = Manifest::open(&folder)?.load(runtime, &options)?;
        log::info!("{}; {}", library.display(), runtime.build_info());
        let info = entries.map(|entry| ModelInfo { name: entry.name, version: entry.version });
        Ok(Models { reader, info: info.to_vec() })
    }
}

/// The first of some files that exists in the program's folder or in the two above it, which from
/// `target/release` leads to the repository.
fn beside_program(files: &[&str]) -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let folders = program.ancestors().skip(1).take(3);
    folders.flat_map(|folder| files.iter().map(|file| folder.join(file))).find(|path| path.exists())
}

impl Reader {
    /// How many documents are worth reading at the same time.
    pub fn threads(&self) -> usize {
        self.threads
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
        let watch = progress.watch(name.to_owned());
        let was_loaded = self.loading_took.get().is_some();
        let options = Options { pictures, review_below: self.args.review_below };
        let mut answer = self.engine.read(bytes, &options, &watch);
        let meta = answer.meta.get_or_insert_default();
        meta.scan_id = Ulid::new().to_string();
        if let (false, Some(took)) = (was_loaded, self.loading_took.get()) {
            meta.elapsed_ms.insert("load".to_owned(), milliseconds(*took));
        }
        meta.elapsed_ms.extend(watch.elapsed_ms());
        answer
    }

    /// The text of each page of a file, or the answer that says why there is none.
    pub fn read_text(
        &self,
        file: &Path,
        progress: &Progress,
    ) -> Result<Vec<PageText>, Box<Answer>> {
        let bytes = self.bytes_of(file).map_err(|error| Box::new(unreadable(&error)))?;
        let watch = progress.watch(file.display().to_string());
        self.engine.read_text(bytes, &watch).map_err(|error| {
            let meta = Meta { detail: Some(error.to_string()), ..scan() };
            Box::new(Answer::failure(error.code(), meta))
        })
    }

    /// Never more than one byte over the limit: the engine refuses what has it.
    fn bytes_of(&self, file: &Path) -> io::Result<Vec<u8>> {
        let limit = (self.args.max_bytes as u64).saturating_add(1);
        let mut bytes = Vec::new();
        if file == Path::new(STDIN) {
            io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
        } else {
            File::open(file)?.take(limit).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }
}

fn scan() -> Meta {
    Meta { scan_id: Ulid::new().to_string(), ..Meta::default() }
}

fn unreadable(error: &io::Error) -> Answer {
    let detail = Some(format!("The file cannot be read: {error}."));
    Answer::failure(ErrorCode::Internal, Meta { detail, ..scan() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidence_is_a_share() {
        assert_eq!(parse_share("0.5"), Ok(0.5));
        for text in ["1.5", "-1", "NaN", "high"] {
            assert!(parse_share(text).is_err(), "{text}");
        }
    }
}
