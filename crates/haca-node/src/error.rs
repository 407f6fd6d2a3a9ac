//! Everything that can go wrong in a full node, with stable codes and hints.

use std::{io, path::PathBuf};

use thiserror::Error;

use crate::consensus::ValidatorSetError;

/// Why the node, or a request to it, failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The data directory can't be created or written.
    #[error("cannot write to the data directory {}: {source}", path.display())]
    DataDirectory {
        /// Which directory or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file can't be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The address to listen on is taken.
    #[error("{address} is already in use")]
    PortInUse {
        /// The address.
        address: String,
    },
    /// Listening failed for another reason.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// `init` would overwrite a network.
    #[error("{} exists already", path.display())]
    AlreadyInitialised {
        /// The genesis document found.
        path: PathBuf,
    },
    /// The genesis document is not usable.
    #[error("genesis document: {what}: {reason}")]
    Genesis {
        /// Which part.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The store belongs to another network.
    #[error("the store belongs to genesis {found}, this node was started with {expected}")]
    OtherGenesis {
        /// Genesis hash in the store.
        found: String,
        /// Genesis hash of the document.
        expected: String,
    },
    /// A validator key file is not usable.
    #[error("validator key {}: {reason}", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The validator keys at hand can't decide a block.
    #[error(
        "the validator keys at hand have {found} of {total} voting power, more than two thirds are needed"
    )]
    NoQuorum {
        /// Power of the keys at hand.
        found: i64,
        /// Power of all validators.
        total: i64,
    },
    /// The genesis validators are not a set.
    #[error(transparent)]
    Validators(#[from] ValidatorSetError),
    /// Another process has the store open.
    #[error("{} is open in another process", path.display())]
    StoreLocked {
        /// Which store.
        path: PathBuf,
    },
    /// The store has another format.
    #[error("store format {found}, this version reads {expected}")]
    StoreFormat {
        /// Format number in the store.
        found: u64,
        /// Format number of this version.
        expected: u64,
    },
    /// The store contradicts itself.
    #[error("the store is damaged: {what}")]
    StoreCorrupt {
        /// What does not fit.
        what: String,
    },
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(redb::Error),
    /// State or block is no longer, or not yet, kept.
    #[error("height {found} is outside the kept range {oldest} to {newest}")]
    HeightUnavailable {
        /// Height asked for.
        found: u64,
        /// Oldest kept.
        oldest: u64,
        /// Newest kept.
        newest: u64,
    },
    /// The block that a state sync is to begin with is gone where headers come from.
    #[error(
        "the trusted block {found} is older than the blocks {oldest} to {newest} of those that give headers"
    )]
    TrustedBlock {
        /// Height of the trusted block.
        found: u64,
        /// Oldest block that one of them has.
        oldest: u64,
        /// Newest block that one of them has.
        newest: u64,
    },
    /// A replayed block leads to another state than the chain agreed on.
    #[error("application hash after block {height} is {found}, the chain says {expected}")]
    AppHash {
        /// Which block.
        height: u64,
        /// What the application computed.
        found: String,
        /// What the chain carries.
        expected: String,
    },
    /// A block's transactions come to another end than the chain agreed on.
    #[error("the digest of the results of block {height} is {found}, the chain says {expected}")]
    ResultsHash {
        /// Which block.
        height: u64,
        /// What the application computed.
        found: String,
        /// What the chain carries.
        expected: String,
    },
    /// The application was called out of order.
    #[error("{call} at height {found}, expected height {expected}")]
    OutOfOrder {
        /// Which call.
        call: &'static str,
        /// Height given.
        found: u64,
        /// Height that would have been next.
        expected: u64,
    },
    /// A value has no consensus encoding.
    #[error("{what} cannot be encoded: {reason}")]
    Encoding {
        /// Which value.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// A transaction is above the size limit.
    #[error("a transaction of {found} bytes is above the limit of {expected}")]
    TxTooLarge {
        /// Its size.
        found: usize,
        /// The limit.
        expected: usize,
    },
    /// The mempool is full.
    #[error("the mempool is full: {transactions} transactions, {bytes} bytes")]
    MempoolFull {
        /// Transactions waiting.
        transactions: usize,
        /// Bytes waiting.
        bytes: usize,
    },
    /// The application refused a transaction.
    #[error("transaction refused with code {code}: {log}")]
    TxRefused {
        /// The application's code.
        code: u32,
        /// The application's words.
        log: String,
    },
    /// The engine has stopped.
    #[error("the consensus engine has stopped")]
    EngineStopped,
    /// The engine ended by itself.
    #[error("the consensus engine failed: {reason}")]
    EngineFailed {
        /// Why.
        reason: String,
    },
    /// There is no block yet.
    #[error("there is no block yet")]
    NotReady,
    /// The ledger can't go on.
    #[error(transparent)]
    Ledger(haca_ledger::LedgerError),
    /// The genesis document's `app_state` is refused.
    #[error("genesis document: {0}")]
    AppState(#[from] haca_ledger::GenesisError),
    /// The CometBFT binary was not found.
    #[error("cometbft was not found on PATH or in GOPATH/bin")]
    CometMissing,
    /// The CometBFT binary is another version.
    #[error("{} is CometBFT {found}, expected {expected}", path.display())]
    CometVersion {
        /// Which binary.
        path: PathBuf,
        /// Its version.
        found: String,
        /// The version that was asked for.
        expected: String,
    },
    /// The CometBFT process could not be started or ended by itself.
    #[error("cometbft ended: {reason}")]
    CometExited {
        /// Exit status, or why it did not start.
        reason: String,
    },
    /// CometBFT runs and does not answer.
    #[error("cometbft has not answered within {seconds} s of its start")]
    CometSilent {
        /// How long it was waited for.
        seconds: u64,
    },
    /// The name or address of a peer is malformed.
    #[error("peer `{found}`: expected {expected}")]
    PeerAddress {
        /// What was given.
        found: String,
        /// What it has to look like.
        expected: &'static str,
    },
    /// The address for a remote signer is malformed.
    #[error("address for a signer `{found}`: expected unix:///PATH or tcp://IP:PORT")]
    SignerAddress {
        /// What was given.
        found: String,
    },
    /// CometBFT's RPC did not answer as expected.
    #[error("cometbft RPC {method}: {reason}")]
    CometRpc {
        /// Which method.
        method: &'static str,
        /// What happened.
        reason: String,
    },
    /// An ABCI peer broke the protocol.
    #[error("ABCI connection: {reason}")]
    Abci {
        /// How.
        reason: String,
    },
}

impl NodeError {
    /// A stable identifier for programs and documentation.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::DataDirectory { .. } => "node.data_directory",
            Self::Read { .. } => "node.read",
            Self::PortInUse { .. } => "node.port_in_use",
            Self::Listen { .. } => "node.listen",
            Self::AlreadyInitialised { .. } => "node.already_initialised",
            Self::Genesis { .. } => "node.genesis",
            Self::OtherGenesis { .. } => "node.other_genesis",
            Self::Key { .. } => "node.key",
            Self::NoQuorum { .. } => "node.no_quorum",
            Self::Validators(_) => "node.validators",
            Self::StoreLocked { .. } => "node.store_locked",
            Self::StoreFormat { .. } => "node.store_format",
            Self::StoreCorrupt { .. } => "node.store_corrupt",
            Self::Store(_) => "node.store",
            Self::HeightUnavailable { .. } => "node.height_unavailable",
            Self::TrustedBlock { .. } => "node.trusted_block",
            Self::AppHash { .. } => "node.app_hash",
            Self::ResultsHash { .. } => "node.results_hash",
            Self::OutOfOrder { .. } => "node.out_of_order",
            Self::Encoding { .. } => "node.encoding",
            Self::TxTooLarge { .. } => "tx.too_large",
            Self::MempoolFull { .. } => "tx.mempool_full",
            Self::TxRefused { .. } => "tx.refused",
            Self::EngineStopped => "node.engine_stopped",
            Self::EngineFailed { .. } => "node.engine_failed",
            Self::NotReady => "node.not_ready",
            Self::Ledger(error) => error.code(),
            Self::AppState(error) => error.code(),
            Self::CometMissing => "comet.missing",
            Self::CometVersion { .. } => "comet.version",
            Self::CometExited { .. } => "comet.exited",
            Self::CometSilent { .. } => "comet.silent",
            Self::PeerAddress { .. } => "comet.peer",
            Self::SignerAddress { .. } => "comet.signer_address",
            Self::CometRpc { .. } => "comet.rpc",
            Self::Abci { .. } => "abci.protocol",
        }
    }

    /// Code, message and hint on one line, for where only text gets through.
    pub fn line(&self) -> String {
        format!("{}: {self}; {}", self.code(), self.hint())
    }

    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::DataDirectory { .. } => "choose another directory with --home, or change its owner or mode",
            Self::Read { .. } => {
                "run `haca-node init --home DIR --chain-id ID` first, or pass the right --home"
            }
            Self::PortInUse { .. } => {
                "stop the other process, or choose another port with --listen; port 0 takes a free one"
            }
            Self::Listen { .. } => "pass --listen HOST:PORT with an address of this machine",
            Self::AlreadyInitialised { .. } => {
                "choose another --home, or remove the directory if its network is no longer needed"
            }
            Self::Genesis { .. } => {
                "compare the document with the one the network was started from; its exact bytes count"
            }
            Self::OtherGenesis { .. } => {
                "use the genesis document this store was made with, or an empty --home"
            }
            Self::Key { .. } => {
                "restore the key file from a backup; it has CometBFT's priv_validator_key.json format"
            }
            Self::NoQuorum { .. } => {
                "put the missing keys into the validators directory, or run the network with --engine cometbft, where each node holds one key"
            }
            Self::Validators(_) => "correct the validators in the genesis document",
            Self::StoreLocked { .. } => "stop the other node that uses this --home",
            Self::StoreFormat { .. } => {
                "use the release that wrote this store, or start again from an empty --home"
            }
            Self::StoreCorrupt { .. } => {
                "keep a copy, then remove state.redb: it is rebuilt from the blocks at the next start; a damaged blocks.redb must come from a backup"
            }
            Self::Store(_) => "check free space and the health of the disk, then start the node again",
            Self::HeightUnavailable { .. } => {
                "ask for a height in the kept range, or a node that keeps more (--keep-versions)"
            }
            Self::TrustedBlock { .. } => {
                "name a newer block in --trust, or nodes that keep more blocks in --state-sync; busy nodes keep a few hours of blocks"
            }
            Self::AppHash { .. } | Self::ResultsHash { .. } => {
                "this release computes another state than the one that made the block; use that release"
            }
            Self::OutOfOrder { .. } | Self::Encoding { .. } => "this is a bug; please report it with the log",
            Self::TxTooLarge { .. } => "split the batch into smaller transactions",
            Self::MempoolFull { .. } => "send again in a few seconds",
            Self::TxRefused { .. } => {
                "the message says which rule the transaction breaks; correct it and sign again"
            }
            Self::NotReady => "ask again in a second",
            Self::Ledger(error) => error.hint(),
            Self::AppState(error) => error.hint(),
            Self::EngineFailed { .. } => {
                "do what the reason says, then start the node again; if it fails at the same height, report it with the log"
            }
            Self::EngineStopped => "the log says why it stopped; start the node again",
            Self::CometMissing => {
                "`cargo xtask tools` installs it, as does `go install github.com/cometbft/cometbft/cmd/cometbft@v0.39.4`"
            }
            Self::CometVersion { .. } => {
                "`cargo xtask tools` installs the right one; pass its path with --cometbft"
            }
            Self::CometExited { .. } => "see cometbft.log in the data directory",
            Self::CometSilent { .. } => {
                "see cometbft.log in the data directory; the process was ended, and nothing is lost"
            }
            Self::PeerAddress { .. } => "`haca-node id` prints a node's ID; a peer is named ID@HOST:PORT",
            Self::SignerAddress { .. } => {
                "CometBFT waits there for the signer; name an absolute path of at most 107 bytes, or an IP address"
            }
            Self::CometRpc { .. } => {
                "see cometbft.log in the data directory; the process may still be starting"
            }
            Self::Abci { .. } => "the consensus process and this node must be of matching versions",
        }
    }
}

macro_rules! from_redb {
    ($($error:ty),*) => {$(
        impl From<$error> for NodeError {
            fn from(error: $error) -> Self { Self::from(redb::Error::from(error)) }
        }
    )*};
}
from_redb!(
    redb::CompactionError,
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError,
    redb::DatabaseError
);

impl From<redb::Error> for NodeError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Corrupted(what) => Self::StoreCorrupt { what },
            redb::Error::TableDoesNotExist(what) | redb::Error::TableTypeMismatch { table: what, .. } => {
                Self::StoreCorrupt {
                    what: format!("table {what}"),
                }
            }
            other => Self::Store(other),
        }
    }
}
