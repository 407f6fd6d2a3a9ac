//! Everything that can go wrong in an inference node, with stable codes and hints.

use std::path::PathBuf;

use haca_client::ClientError;
use haca_prover::ProverError;
use haca_wire::{AssetId, DecodeError, GenesisHash};
use thiserror::Error;

/// Why the node can't start or go on. A refused order is a [`Refusal`](crate::Refusal), not one of these.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExecError {
    /// A file or directory of the home can't be used.
    #[error("cannot use {}: {source}", path.display())]
    Home {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A model file that is none.
    #[error("{} is not a model: {source}", path.display())]
    ModelFile {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: DecodeError,
    },
    /// A model that can't be registered, or not be proven in the memory there is.
    #[error("{}: {source}", path.display())]
    Model {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: ProverError,
    },
    /// A run of a model that can't be made.
    #[error(transparent)]
    Prover(#[from] ProverError),
    /// There is no model to serve.
    #[error("{} holds no model", path.display())]
    NoModels {
        /// The directory.
        path: PathBuf,
    },
    /// The full node can't be used.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The full node is on another network.
    #[error("the full node is on network {found}, expected {expected}")]
    OtherNetwork {
        /// Its genesis hash.
        found: GenesisHash,
        /// The trusted one.
        expected: GenesisHash,
    },
    /// The address to listen on is taken or forbidden.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The journal can't be opened, read or written.
    #[error("journal {}: {reason}", path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The journal holds receipts of another account, another network or another version of its format.
    #[error("journal {} belongs to another account, network or version", path.display())]
    OtherJournal {
        /// The file.
        path: PathBuf,
    },
    /// More models than one node can offer.
    #[error("{} holds {found} models, at most {expected} can be offered", path.display())]
    TooManyModels {
        /// The directory.
        path: PathBuf,
        /// Models found.
        found: usize,
        /// The limit.
        expected: usize,
    },
    /// A price of an asset that the network does not have.
    #[error("asset {asset} has a price, and the network has no such asset with at most 18 decimals")]
    Price {
        /// The asset.
        asset: AssetId,
    },
    /// Threads can't be started.
    #[error("cannot start the server: {source}")]
    Runtime {
        /// What the system said.
        source: std::io::Error,
    },
}

impl ExecError {
    /// A stable identifier for programs and documentation.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Home { .. } => "exec.home",
            Self::ModelFile { .. } => "exec.model_file",
            Self::Model { source, .. } => source.code(),
            Self::Prover(error) => error.code(),
            Self::NoModels { .. } => "exec.no_models",
            Self::Client(error) => error.code(),
            Self::OtherNetwork { .. } => "exec.other_network",
            Self::Listen { .. } => "exec.listen",
            Self::Journal { .. } => "exec.journal",
            Self::OtherJournal { .. } => "exec.other_journal",
            Self::TooManyModels { .. } => "exec.too_many_models",
            Self::Price { .. } => "exec.price",
            Self::Runtime { .. } => "exec.runtime",
        }
    }

    /// What the operator can do.
    pub fn hint(&self) -> String {
        match self {
            Self::Home { .. } => "check the path and its permissions".into(),
            Self::ModelFile { .. } => "make one with `haca model import`".into(),
            Self::Model {
                source: ProverError::Memory { .. },
                ..
            } => "use a machine with more memory, raise --memory-limit-mb, or move the model to another node's home".into(),
            Self::Model { source, .. } | Self::Prover(source) => source.hint().into(),
            Self::NoModels { .. } => "put .haca files there, made with `haca model import`".into(),
            Self::Client(error) => error.hint(),
            Self::OtherNetwork { .. } => "name the right full node with --node, or the right --trust".into(),
            Self::Listen { .. } => "choose another address with --listen, or stop who uses it".into(),
            Self::Journal { .. } => {
                "one process at a time may use it; if it is damaged, keep it and serve with another account: it says which \
                 sequences were answered, and an old copy does not"
                    .into()
            }
            Self::OtherJournal { .. } => {
                "use a home of its own for each account and network; keep this one until its receipts are settled"
                    .into()
            }
            Self::TooManyModels { .. } => "move some to another node's home".into(),
            Self::Price { .. } => "see `haca supply` for the network's assets".into(),
            Self::Runtime { .. } => "check limits on threads and memory".into(),
        }
    }
}
