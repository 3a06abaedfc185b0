//! Models, ONNX Runtime, and whether they read.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cic_kiosk::config::Config;
use cic_kiosk::engine::Pictures;
use cic_kiosk::models::{Manifest, ModelOptions, Precision};
use cic_kiosk::ocr::model::Runtime;
use cic_kiosk::report::schema::Field;
use ulid::Ulid;

use super::check::{Check, Finding};
use crate::reading::{Reader, Work, places};

/// A slow board loads the models for seconds, while all other checks run.
const LIMIT: Duration = Duration::from_secs(60);

/// A picture of the beginning of a report, in DejaVu Sans, and the CIC code in it.
const PICTURE: &[u8] = include_bytes!("report.png");
const CODE: &str = "0123456789";

const REINSTALL: &str = "install the program's package again, or mend reading.models";

pub fn checks(config: &Arc<Config>) -> Vec<Check> {
    let of = |check: fn(&Config) -> Finding| {
        let config = Arc::clone(config);
        move || check(&config)
    };
    vec![
        Check::blocking("models", of(models)),
        Check::blocking("onnxruntime", of(onnxruntime)),
        Check::new("reading", reading(Arc::clone(config))).within(LIMIT),
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

/// Reads as the service does: with the worker, where there is one.
async fn reading(config: Arc<Config>) -> Finding {
    let reader = Reader::new(&config);
    let begun = Instant::now();
    if let Err(error) = reader.load().await {
        return Finding::fault(error.to_string(), REINSTALL);
    }
    let (loaded, begun) = (begun.elapsed(), Instant::now());
    let files = PICTURE.to_vec().into();
    let work = Work { scan: Ulid::new(), files, ahead: Vec::new(), pictures: Pictures::None };
    let answer = match reader.read_in_time(work, LIMIT, |_| {}).await {
        Ok(answer) => answer,
        Err(error) => return Finding::fault(error.to_string(), REINSTALL),
    };
    let took = begun.elapsed();
    let code = answer.reports.first().map_or("", |report| &report.scalar(Field::CicCode).text);
    if code != CODE {
        let detail = answer.meta.and_then(|meta| meta.detail).unwrap_or_default();
        let found = format!("a picture of a report about {CODE} is read as {code:?}. {detail}");
        return Finding::fault(found.trim_end(), REINSTALL);
    }
    let [loaded, took] = [loaded, took].map(|time| time.as_millis());
    let place = if config.reading.worker.is_some() { " by the worker" } else { "" };
    Finding::ok(format!("a report was read{place} in {took} ms, after {loaded} ms for loading"))
}
