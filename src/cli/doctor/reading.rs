//! Models, ONNX Runtime, and whether they read.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cic_kiosk::config::Config;
use cic_kiosk::models::{Manifest, ModelOptions, Precision};
use cic_kiosk::ocr::model::Runtime;

use super::check::{Check, Finding};
use crate::reading::{Reader, places};

/// A slow board loads the models for seconds, while all other checks run.
const LIMIT: Duration = Duration::from_secs(60);

/// A picture of this line, in DejaVu Sans.
const LINE: &str = "Thông tin tín dụng 0123456789";
const PICTURE: &[u8] = include_bytes!("line.png");

const REINSTALL: &str = "install the program's package again, or mend reading.models";

pub fn checks(config: &Arc<Config>) -> Vec<Check> {
    let of = |check: fn(&Config) -> Finding| {
        let config = Arc::clone(config);
        move || check(&config)
    };
    vec![
        Check::blocking("models", of(models)),
        Check::blocking("onnxruntime", of(onnxruntime)),
        Check::blocking("reading", of(reading)).within(LIMIT),
    ]
}

fn models(config: &Config) -> Finding {
    let checked = places(&config.reading).and_then(|(folder, _)| {
        let manifest = Manifest::open(&folder)?;
        for entry in manifest.entries() {
            manifest.bytes(entry)?;
        }
        let precision = config.reading.precision.unwrap_or_else(Precision::for_this_machine);
        Ok(format!(
            "{} models are as they were made; {} is used",
            manifest.entries().len(),
            precision.name()
        ))
    });
    checked.map_or_else(|error| Finding::fault(error.to_string(), REINSTALL), Finding::ok)
}

fn onnxruntime(config: &Config) -> Finding {
    let loaded = places(&config.reading).and_then(|(_, library)| {
        File::open(&library)
            .map_err(|error| format!("cannot read {}: {error}", library.display()))?;
        let runtime = Runtime::load(&library)?;
        let providers = ModelOptions::default().providers;
        let build = runtime.build_info();
        Ok(format!("{build}; it runs on {}", format!("{providers:?}").to_lowercase()))
    });
    let to_do = "install ONNX Runtime (libonnxruntime.so), or mend reading.onnxruntime";
    loaded.map_or_else(|error| Finding::fault(error.to_string(), to_do), Finding::ok)
}

fn reading(config: &Config) -> Finding {
    let reader = Reader::new(config);
    let begun = Instant::now();
    if let Err(error) = reader.load() {
        return Finding::fault(error.to_string(), REINSTALL);
    }
    let (loaded, begun) = (begun.elapsed(), Instant::now());
    let pages = match reader.read_text(PICTURE.to_vec(), &()) {
        Ok(pages) => pages,
        Err(answer) => {
            let detail = answer.meta.and_then(|meta| meta.detail).unwrap_or_default();
            return Finding::fault(format!("a picture of a line is not read: {detail}"), REINSTALL);
        }
    };
    let took = begun.elapsed();
    let lines: Vec<String> =
        pages.iter().flat_map(|page| &page.lines).map(|line| line.text()).collect();
    if lines != [LINE] {
        return Finding::fault(format!("a picture of {LINE:?} is read as {lines:?}"), REINSTALL);
    }
    let [loaded, took] = [loaded, took].map(|time| time.as_millis());
    Finding::ok(format!("a line was read in {took} ms, after {loaded} ms for loading"))
}
