//! The models' manifest, and the models it names.
//!
//! Reads files for whoever builds an [`crate::engine::Engine`]; the engine itself reads none. A
//! file whose checksum differs from the manifest's is refused: half an update must not read papers.
//! Who may open no file is given them in memory.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ocr::Reader;
use crate::ocr::alphabet::Alphabet;
use crate::ocr::detect::Detector;
use crate::ocr::model::{ModelError, OnnxModel, Provider, Runtime, Setup};
use crate::ocr::recognise::{self, Recogniser};

/// The manifest's name in the models' folder.
pub const MANIFEST: &str = "manifest.toml";

/// What a model does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Finds lines and rules on a page.
    Detector,
    /// Reads lines.
    Recogniser,
}

impl Kind {
    /// The name in the manifest and in the model's own metadata.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Detector => "detector",
            Self::Recogniser => "recogniser",
        }
    }
}

/// Numbers that a model computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 8-bit integers: faster where the processor multiplies them by fours, slower elsewhere.
    Int8,
    /// 32-bit floating point: right everywhere.
    Fp32,
}

impl Precision {
    /// The name in the manifest and in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Fp32 => "fp32",
        }
    }

    /// What this machine is fastest with.
    pub fn for_this_machine() -> Self {
        if multiplies_bytes_by_fours() { Self::Int8 } else { Self::Fp32 }
    }
}

/// Dot products of four bytes in one instruction: what makes int8 faster than floating point.
fn multiplies_bytes_by_fours() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::is_x86_feature_detected!("avx512vnni") || std::is_x86_feature_detected!("avxvnni");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("dotprod")
        || std::arch::is_aarch64_feature_detected!("i8mm");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

/// A model as the manifest describes it. What else the manifest tells is for people.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What it does.
    pub kind: Kind,
    /// Its version.
    pub version: String,
    /// Its file, beside the manifest.
    pub file: String,
    /// The file's SHA-256, in hexadecimal.
    pub sha256: String,
    /// What it computes with.
    pub precision: Precision,
}

/// Why the models cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// A file cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The manifest is not in its form.
    #[error("{}: {reason}", path.display())]
    Manifest {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file is not the one that the manifest describes.
    #[error("{} is not the file that the manifest describes (its SHA-256 differs)", path.display())]
    Checksum {
        /// Which one.
        path: PathBuf,
    },
    /// The manifest lists no such model.
    #[error("the manifest lists no {} in {}", kind.name(), precision.name())]
    Missing {
        /// What it should do.
        kind: Kind,
        /// What it should compute with.
        precision: Precision,
    },
    /// A model cannot be used.
    #[error("{file}: {reason}")]
    Model {
        /// Its file.
        file: String,
        /// Why.
        reason: ModelError,
    },
}

/// Files by their names.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The manifest of some models.
#[derive(Clone, Debug)]
pub struct Manifest {
    place: Place,
    entries: Vec<Entry>,
}

/// Where the files are.
#[derive(Clone, Debug)]
enum Place {
    Folder(PathBuf),
    Memory(Files),
}

impl Place {
    fn read(&self, name: &str) -> Result<Vec<u8>, ModelsError> {
        let (path, read) = match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                let read = fs::read(&path);
                (path, read)
            }
            Self::Memory(files) => {
                (name.into(), files.get(name).cloned().ok_or(io::ErrorKind::NotFound.into()))
            }
        };
        read.map_err(|reason| ModelsError::File { path, reason })
    }
}

/// How models are set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelOptions {
    /// What to compute with; `None`: what this machine is fastest with.
    pub precision: Option<Precision>,
    /// Threads, all together.
    pub threads: usize,
    /// Execution providers in the order they are tried.
    pub providers: Vec<Provider>,
}

impl Default for ModelOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        // More sessions would cost memory, and a board has four fast cores at most.
        Self { precision: None, threads: threads.min(4), providers: vec![Provider::Cpu] }
    }
}

impl Manifest {
    /// Reads the manifest of a folder.
    pub fn open(folder: &Path) -> Result<Self, ModelsError> {
        Self::of(Place::Folder(folder.to_owned()))
    }

    /// Reads the manifest among these files.
    pub fn of_files(files: Files) -> Result<Self, ModelsError> {
        Self::of(Place::Memory(files))
    }

    fn of(place: Place) -> Result<Self, ModelsError> {
        #[derive(Deserialize)]
        struct File {
            model: Vec<Entry>,
        }
        let path = match &place {
            Place::Folder(folder) => folder.join(MANIFEST),
            Place::Memory(_) => MANIFEST.into(),
        };
        let broken = |reason: String| ModelsError::Manifest { path: path.clone(), reason };
        let text = String::from_utf8(place.read(MANIFEST)?)
            .map_err(|_| broken("it is no text".to_owned()))?;
        let file: File = toml::from_str(&text).map_err(|error| broken(error.to_string()))?;
        // A manifest comes with an update: it must not lead out of its folder.
        let outside =
            |entry: &&Entry| Path::new(&entry.file).file_name() != Some(entry.file.as_ref());
        if let Some(entry) = file.model.iter().find(outside) {
            return Err(broken(format!("{:?} is no plain file name", entry.file)));
        }
        Ok(Self { place, entries: file.model })
    }

    /// The manifest and the files of the models in `precision`, checked against it.
    pub fn files(&self, precision: Precision) -> Result<Files, ModelsError> {
        let entries = self.entries.iter().filter(|entry| entry.precision == precision);
        let mut files = entries
            .map(|entry| Ok((entry.file.clone(), self.bytes(entry)?)))
            .collect::<Result<Files, ModelsError>>()?;
        files.insert(MANIFEST.to_owned(), self.place.read(MANIFEST)?);
        Ok(files)
    }

    /// All models that are listed.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The first model listed that does `kind` in `precision`.
    pub fn entry(&self, kind: Kind, precision: Precision) -> Result<&Entry, ModelsError> {
        self.entries
            .iter()
            .find(|entry| entry.kind == kind && entry.precision == precision)
            .ok_or(ModelsError::Missing { kind, precision })
    }

    /// The bytes of a model, checked against the manifest.
    pub fn bytes(&self, entry: &Entry) -> Result<Vec<u8>, ModelsError> {
        let bytes = self.place.read(&entry.file)?;
        let digest: String =
            Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if digest.eq_ignore_ascii_case(&entry.sha256) {
            Ok(bytes)
        } else {
            let path = match &self.place {
                Place::Folder(folder) => folder.join(&entry.file),
                Place::Memory(_) => entry.file.clone().into(),
            };
            Err(ModelsError::Checksum { path })
        }
    }

    /// Loads a detector and a recogniser, with what they are.
    pub fn load(
        &self,
        runtime: &Runtime,
        options: &ModelOptions,
    ) -> Result<(Reader, [Entry; 2]), ModelsError> {
        let precision = options.precision.unwrap_or_else(Precision::for_this_machine);
        let setup =
            |sessions, threads| Setup { sessions, threads, providers: options.providers.clone() };
        // A page is one run of the detector, on all threads. Its lines are many runs of the
        // recogniser, each on one thread, which wastes no time on handing over.
        let detector = self.entry(Kind::Detector, precision)?;
        let model = self.onnx(runtime, detector, &setup(1, options.threads))?;
        let finds = Detector::new(Box::new(model));
        let recogniser = self.entry(Kind::Recogniser, precision)?;
        let model = self.onnx(runtime, recogniser, &setup(options.threads, 1))?;
        let reads = reading(model).map_err(|reason| unusable(recogniser, reason))?;
        let reader = Reader { detector: finds, recogniser: reads };
        Ok((reader, [detector.clone(), recogniser.clone()]))
    }

    fn onnx(
        &self,
        runtime: &Runtime,
        entry: &Entry,
        setup: &Setup,
    ) -> Result<OnnxModel, ModelsError> {
        let bytes = self.bytes(entry)?;
        OnnxModel::load(runtime, entry.kind.name(), &bytes, setup)
            .map_err(|reason| unusable(entry, reason))
    }
}

/// A recogniser, if its alphabet and the height of its lines are what the reader works with.
fn reading(model: OnnxModel) -> Result<Recogniser, ModelError> {
    let metadata = model.metadata();
    let expected = recognise::HEIGHT.to_string();
    if metadata.height.as_ref() != Some(&expected) {
        return Err(ModelError::Unusable {
            kind: Kind::Recogniser.name(),
            reason: format!("its lines are {:?} px high, not {expected}", metadata.height),
        });
    }
    let alphabet = Alphabet::parse(metadata.alphabet.as_deref().unwrap_or_default())?;
    Ok(Recogniser::new(Box::new(model), alphabet))
}

fn unusable(entry: &Entry, reason: ModelError) -> ModelsError {
    ModelsError::Model { file: entry.file.clone(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(manifest: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(MANIFEST), manifest).unwrap();
        fs::write(folder.path().join("a.onnx"), b"abc").unwrap();
        folder
    }

    /// The SHA-256 is that of "abc", from FIPS 180-2.
    const MANIFEST_OF_ONE: &str = r#"
        [[model]]
        name = "cic-detector"
        kind = "detector"
        version = "1.0.0"
        file = "a.onnx"
        sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        precision = "int8"
        trained = "for people"
    "#;

    #[test]
    fn a_model_is_given_when_its_checksum_is_right() {
        let folder = folder(MANIFEST_OF_ONE);
        let manifest = Manifest::open(folder.path()).unwrap();
        let entry = manifest.entry(Kind::Detector, Precision::Int8).unwrap();
        assert_eq!(manifest.bytes(entry).unwrap(), b"abc");
    }

    #[test]
    fn files_in_memory_are_read_as_those_of_a_folder_are() {
        let folder = folder(MANIFEST_OF_ONE);
        let manifest = Manifest::open(folder.path()).unwrap();
        let files = manifest.files(Precision::Int8).unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["a.onnx", MANIFEST]);
        let mut again = Manifest::of_files(files).unwrap();
        assert_eq!(again.bytes(&again.entries()[0]).unwrap(), b"abc");
        again.place = Place::Memory(Files::from([("a.onnx".to_owned(), b"ab".to_vec())]));
        let entry = again.entries()[0].clone();
        assert!(matches!(again.bytes(&entry), Err(ModelsError::Checksum { .. })));
        again.place = Place::Memory(Files::new());
        assert!(matches!(again.bytes(&entry), Err(ModelsError::File { .. })));
        assert!(Manifest::of_files(Files::new()).is_err());
    }

    #[test]
    fn half_an_update_is_refused_by_its_checksum() {
        let folder = folder(MANIFEST_OF_ONE);
        fs::write(folder.path().join("a.onnx"), b"ab").unwrap();
        let manifest = Manifest::open(folder.path()).unwrap();
        let entry = &manifest.entries()[0];
        assert!(matches!(manifest.bytes(entry), Err(ModelsError::Checksum { .. })));
    }

    #[test]
    fn a_model_that_is_not_listed_is_named() {
        let folder = folder(MANIFEST_OF_ONE);
        let manifest = Manifest::open(folder.path()).unwrap();
        let error = manifest.entry(Kind::Recogniser, Precision::Fp32).unwrap_err();
        assert_eq!(error.to_string(), "the manifest lists no recogniser in fp32");
    }

    #[test]
    fn a_manifest_must_not_lead_out_of_its_folder() {
        let folder = folder(&MANIFEST_OF_ONE.replace("a.onnx", "../a.onnx"));
        assert!(matches!(Manifest::open(folder.path()), Err(ModelsError::Manifest { .. })));
    }

    #[test]
    fn a_missing_or_broken_manifest_is_named_with_its_path() {
        let folder = folder("model = 3");
        let broken = Manifest::open(folder.path()).unwrap_err().to_string();
        let missing = Manifest::open(&folder.path().join("none")).unwrap_err().to_string();
        assert!(broken.contains(MANIFEST) && missing.contains("none"), "{broken}; {missing}");
    }
}
