//! Why the prover refuses.

use haca_graph::GraphError;
use haca_zk::ProofRejection;
use thiserror::Error;

/// Why a model cannot be registered, run or proven. Each has a stable [`code`](Self::code).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProverError {
    /// Tensors or parameters do not fit the graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// An input tensor is missing, superfluous, or has another element type or shape than the graph says.
    #[error("input tensor {index} is missing, superfluous, or has another element type or shape")]
    Input {
        /// Which tensor.
        index: usize,
    },
    /// No parameters of the proof system fit the graph.
    #[error(
        "no parameters of the proof system fit this graph: {what}; narrower shifts or smaller layers help"
    )]
    NoParameters {
        /// What has no fitting choice.
        what: &'static str,
    },
    /// The verifier's own checks refuse the layout.
    #[error(transparent)]
    Layout(#[from] ProofRejection),
    /// A batch is empty or too large for the verifying key.
    #[error("batch of {found} inferences; the verifying key allows 1 to {expected}")]
    BatchSize {
        /// Inferences given.
        found: usize,
        /// The most allowed.
        expected: usize,
    },
    /// An execution belongs to another model.
    #[error("execution {index} belongs to another model")]
    ForeignExecution {
        /// Which execution.
        index: usize,
    },
    /// The polynomial commitment backend refused; a defect, not a property of the input.
    #[error("the polynomial commitment backend refused its own parameters")]
    Backend,
    /// The caller cancelled the work.
    #[error("cancelled")]
    Cancelled,
    /// The work needs more memory than the caller allows.
    #[error("{what} needs about {} MB of memory, {} MB may be used", megabytes(*found), expected / 1_000_000)]
    Memory {
        /// A proof or a registration.
        what: &'static str,
        /// Bytes it needs, by estimate.
        found: u64,
        /// Bytes allowed.
        expected: u64,
    },
    /// No worker threads could be started.
    #[error("worker threads could not be started: {0}")]
    Threads(String),
}

impl ProverError {
    /// A stable identifier for programs and documentation.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Graph(_) => "prover.graph",
            Self::Input { .. } => "prover.input",
            Self::NoParameters { .. } => "prover.no_parameters",
            Self::Layout(_) => "prover.layout",
            Self::BatchSize { .. } => "prover.batch_size",
            Self::ForeignExecution { .. } => "prover.foreign_execution",
            Self::Backend => "prover.backend",
            Self::Cancelled => "prover.cancelled",
            Self::Memory { .. } => "prover.memory",
            Self::Threads(_) => "prover.threads",
        }
    }

    /// What the user can do.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Graph(_) => "import the model again with this version",
            Self::Input { .. } => "give one tensor for each input of the graph, of its type and shape",
            Self::NoParameters { .. } | Self::Layout(_) => {
                "quantise to fewer bits, or cut the network into smaller layers"
            }
            Self::BatchSize { .. } => "prove fewer inferences at once",
            Self::ForeignExecution { .. } => "prove executions with the key that ran them",
            Self::Backend => "this is a defect: report it with the model",
            Self::Cancelled => "nothing was written; start it again",
            Self::Memory { .. } => {
                "prove fewer inferences at once, use a machine with more memory, or raise the limit"
            }
            Self::Threads(_) => "check limits on threads and memory",
        }
    }
}

/// Whole megabytes that hold so many bytes.
const fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}
