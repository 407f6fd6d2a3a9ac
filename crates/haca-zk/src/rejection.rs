//! Why a proof or a verifying key is refused.

use haca_wire::DecodeError;
use thiserror::Error;

/// Why a verifying key, a statement or a proof is refused. Each has a stable [`code`](Self::code).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProofRejection {
    /// Bytes are not the canonical encoding.
    #[error("not the canonical encoding: {0}")]
    Encoding(#[from] DecodeError),
    /// The statement covers no inference, or more than the verifying key allows.
    #[error("{found} inferences; the verifying key allows 1 to {expected}")]
    BatchSize {
        /// Inferences in the statement.
        found: usize,
        /// The most that the verifying key allows.
        expected: usize,
    },
    /// A tensor of the statement is missing, or has another element type or shape than the graph says.
    #[error("inference {inference}: {what} tensor {index} is missing or has another element type or shape")]
    TensorShape {
        /// Which inference.
        inference: usize,
        /// `input` or `output`.
        what: &'static str,
        /// Which tensor of the list.
        index: usize,
    },
    /// An output that follows from the other public tensors does not.
    #[error("inference {inference}: output {index} does not follow from the public tensors")]
    DerivedOutput {
        /// Which inference.
        inference: usize,
        /// Which output.
        index: usize,
    },
    /// The graph has a form that this version cannot prove.
    #[error("graph cannot be proven: {what}")]
    Graph {
        /// What stands in the way.
        what: &'static str,
    },
    /// A parameter of the verifying key is outside its domain.
    #[error("parameter of the verifying key out of range: {what}")]
    Parameter {
        /// Which parameter.
        what: &'static str,
    },
    /// The parameters of the verifying key reach too low a security level.
    #[error("security of {found} bits is below the floor of {expected}")]
    Security {
        /// Whole bits reached, rounded down.
        found: u32,
        /// The floor.
        expected: u32,
    },
    /// Verification would take longer than anybody is asked to spend on one proof.
    #[error("verification takes {found} gas; at most {expected} are spent on one proof")]
    Work {
        /// Gas of the verification.
        found: u64,
        /// The most.
        expected: u64,
    },
    /// The lookup argument does not balance: some value is in no table, or a multiplicity is wrong.
    #[error("lookup argument: {what}")]
    Lookup {
        /// Which check of `spec/zk.md` failed.
        what: &'static str,
    },
    /// A product sumcheck does not end in the claimed evaluations.
    #[error("sumcheck: {what}")]
    Sumcheck {
        /// Which one.
        what: &'static str,
    },
    /// A commitment does not open to the claimed evaluations.
    #[error("opening of the {commitment} commitment fails")]
    Opening {
        /// `weight`, `witness` or `registration`.
        commitment: &'static str,
    },
}

impl ProofRejection {
    /// A stable identifier for programs and documentation.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Encoding(_) => "zk.encoding",
            Self::BatchSize { .. } => "zk.batch_size",
            Self::TensorShape { .. } => "zk.tensor_shape",
            Self::DerivedOutput { .. } => "zk.derived_output",
            Self::Graph { .. } => "zk.graph",
            Self::Parameter { .. } => "zk.parameter",
            Self::Security { .. } => "zk.security",
            Self::Work { .. } => "zk.work",
            Self::Lookup { .. } => "zk.lookup",
            Self::Sumcheck { .. } => "zk.sumcheck",
            Self::Opening { .. } => "zk.opening",
        }
    }
}
