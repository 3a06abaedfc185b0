//! Neural networks: the trait that the rest of the reader is written against, and its one real
//! implementation, sessions of ONNX Runtime.
//!
//! ONNX Runtime is loaded from a shared library at run time, because vendors' boards bring their
//! own. Sessions are set up for a small device: no memory patterns, no spinning threads.
//! Their memory comes from ONNX Runtime's arena: lines have a few shapes only, so that it stops
//! growing soon, while the C library's allocator does not (`docs/decisions/0013`).

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};

use ort::environment::Environment;
use ort::ep::{self, ExecutionProviderDispatch};
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::TensorRef;

use crate::stage::Cancelled;

/// Numbers in row-major order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensor {
    /// Extent of each dimension.
    pub shape: Vec<usize>,
    /// As many numbers as the extents' product.
    pub data: Vec<f32>,
}

/// A network with one input of four dimensions and one output.
pub trait Model: Send + Sync {
    /// Runs it on numbers in row-major order, as many as the shape's product.
    fn run(&self, shape: [usize; 4], input: &[f32]) -> Result<Tensor, ModelError>;
}

/// Why a model cannot be had, or did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// ONNX Runtime's shared library is not to be had.
    #[error(
        "cannot load ONNX Runtime from {}: {reason}; install libonnxruntime 1.17 or later there, \
         or name another place in the configuration", path.display()
    )]
    Library {
        /// Where it was looked for.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// The bytes are no model, or none of the kind that was asked for.
    #[error("the {kind} model is unusable: {reason}")]
    Unusable {
        /// What it should be.
        kind: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The recogniser's alphabet does not do.
    #[error("the recogniser's alphabet is unusable: {0}")]
    Alphabet(String),
    /// A run failed.
    #[error("running the model failed: {0}")]
    Run(String),
    /// Nobody wants the result any more.
    #[error("the reading was cancelled")]
    Cancelled,
    /// The output is not as large as the contract with the model says.
    #[error("the model answered with shape {got:?}, not {expected:?}")]
    Shape {
        /// What came.
        got: Vec<usize>,
        /// What should have come.
        expected: Vec<usize>,
    },
}

impl From<Cancelled> for ModelError {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

impl Tensor {
    /// The numbers, if the shape is the expected one.
    pub(crate) fn expect(self, expected: &[usize]) -> Result<Vec<f32>, ModelError> {
        if self.shape == expected && self.data.len() == expected.iter().product::<usize>() {
            Ok(self.data)
        } else {
            Err(ModelError::Shape { got: self.shape, expected: expected.to_vec() })
        }
    }
}

/// ONNX Runtime, loaded. There is one in a process, and it stays.
pub struct Runtime {
    environment: Environment,
    path: PathBuf,
}

impl Runtime {
    /// Loads the shared library at `path`; gives the one already loaded if the path is the same.
    pub fn load(path: &Path) -> Result<&'static Self, ModelError> {
        static RUNTIME: OnceLock<Runtime> = OnceLock::new();
        static LOADING: Mutex<()> = Mutex::new(());
        let failed = |reason: String| ModelError::Library { path: path.to_owned(), reason };

        let _one_at_a_time = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = RUNTIME.get() {
            return if runtime.path == path {
                Ok(runtime)
            } else {
                Err(failed(format!("{} is loaded already", runtime.path.display())))
            };
        }
        if !path.is_file() {
            return Err(failed("there is no such file".to_owned()));
        }
        let environment = ort::init_from(path)
            .map_err(|error| failed(error.to_string()))?
            .with_name("cic-kiosk")
            .with_telemetry(false)
            .build()
            .map_err(|error| failed(error.to_string()))?;
        // Without it every message, down to the finest, would be formatted and then thrown away.
        environment.set_log_level(LogLevel::Warning);
        Ok(RUNTIME.get_or_init(|| Self { environment, path: path.to_owned() }))
    }

    /// Version and build of the library, in its own words.
    pub fn build_info(&self) -> &'static str {
        ort::info()
    }
}

/// What a session runs on. Only what this program was built with is listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Provider {
    /// The CPU, by ONNX Runtime's own kernels.
    #[default]
    Cpu,
}

impl Provider {
    /// The name in the configuration and in telemetry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
        }
    }

    /// Providers otherwise fall back to the CPU in silence, hence the error on failure.
    fn dispatch(self) -> ExecutionProviderDispatch {
        match self {
            Self::Cpu => ep::CPU::default().with_arena_allocator(true).build().error_on_failure(),
        }
    }
}

impl std::str::FromStr for Provider {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "cpu" => Ok(Self::Cpu),
            _ => Err(format!("unknown execution provider {name:?}; this program has: cpu")),
        }
    }
}

/// How a model's sessions are set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Runs that can go on at once, each in a session of its own.
    pub sessions: usize,
    /// Threads of each session.
    pub threads: usize,
    /// Execution providers, tried in this order for each node.
    pub providers: Vec<Provider>,
}

/// What a model says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// `detector` or `recogniser`.
    pub kind: Option<String>,
    /// The model's version.
    pub version: Option<String>,
    /// A recogniser's characters, concatenated.
    pub alphabet: Option<String>,
    /// The height of a recogniser's lines, in pixels.
    pub height: Option<String>,
}

/// A model in sessions of ONNX Runtime.
///
/// A session runs one thing at a time; several of them serve several threads. Whoever finds none
/// idle waits for one.
pub struct OnnxModel {
    idle: Mutex<Vec<Session>>,
    returned: Condvar,
    metadata: Metadata,
}

impl OnnxModel {
    /// Loads a model that must be of the given kind.
    pub fn load(
        runtime: &Runtime,
        kind: &'static str,
        bytes: &[u8],
        setup: &Setup,
    ) -> Result<Self, ModelError> {
        let unusable = |reason: String| ModelError::Unusable { kind, reason };
        let sessions = (0..setup.sessions.max(1))
            .map(|_| session(runtime, bytes, setup).map_err(|error| unusable(error.to_string())))
            .collect::<Result<Vec<_>, _>>()?;
        let metadata = sessions.first().map(metadata).unwrap_or_default();
        if metadata.kind.as_deref() != Some(kind) {
            return Err(unusable(format!("it says it is {:?}", metadata.kind)));
        }
        Ok(Self { idle: Mutex::new(sessions), returned: Condvar::new(), metadata })
    }

    /// What the model says about itself.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn take(&self) -> Session {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(session) = idle.pop() {
                return session;
            }
            idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give_back(&self, session: Session) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
        self.returned.notify_one();
    }
}

impl Model for OnnxModel {
    fn run(&self, shape: [usize; 4], input: &[f32]) -> Result<Tensor, ModelError> {
        let mut session = self.take();
        let result = run(&mut session, shape, input);
        self.give_back(session);
        result.map_err(|error| ModelError::Run(error.to_string()))
    }
}

fn run(session: &mut Session, shape: [usize; 4], input: &[f32]) -> ort::Result<Tensor> {
    let outputs = session.run(ort::inputs![TensorRef::from_array_view((shape, input))?])?;
    let output = outputs.values().next().ok_or_else(|| ort::Error::new("it has no output"))?;
    let (shape, data) = output.try_extract_tensor::<f32>()?;
    let shape = shape.iter().map(|&extent| usize::try_from(extent).unwrap_or_default()).collect();
    Ok(Tensor { shape, data: data.to_vec() })
}

fn session(runtime: &Runtime, bytes: &[u8], setup: &Setup) -> ort::Result<Session> {
    let providers: Vec<_> = setup.providers.iter().map(|provider| provider.dispatch()).collect();
    SessionBuilder::new(&runtime.environment)?
        .with_execution_providers(providers)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(setup.threads.max(1))?
        .with_inter_threads(1)?
        .with_memory_pattern(false)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .commit_from_memory(bytes)
}

fn metadata(session: &Session) -> Metadata {
    let Ok(metadata) = session.metadata() else { return Metadata::default() };
    Metadata {
        kind: metadata.custom("kind"),
        version: metadata.custom("version"),
        alphabet: metadata.custom("alphabet"),
        height: metadata.custom("height"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_named_with_what_to_do() {
        let Err(error) = Runtime::load(Path::new("/nowhere/libonnxruntime.so")) else {
            panic!("there is no such library");
        };
        let text = error.to_string();
        assert!(text.contains("/nowhere/libonnxruntime.so") && text.contains("configuration"));
    }

    #[test]
    fn providers_go_by_their_names() {
        assert_eq!(Provider::Cpu.name().parse(), Ok(Provider::Cpu));
        assert!("cuda".parse::<Provider>().unwrap_err().contains("cuda"));
    }

    #[test]
    fn an_output_of_another_shape_is_refused() {
        let tensor = Tensor { shape: vec![1, 2], data: vec![0.0, 1.0] };
        assert!(tensor.clone().expect(&[2, 1]).is_err());
        assert_eq!(tensor.expect(&[1, 2]).unwrap(), [0.0, 1.0]);
    }
}
