//! The state machine behind consensus, as both engines drive it.
//!
//! The calls follow ABCI 2.0, with our own types: nothing here knows protobuf. All methods take `&self`, because
//! an engine calls from several threads; within one kind of work (mempool, consensus, queries) calls are serial.

use haca_ledger::{CommitVote, Misbehaviour};

use crate::{
    consensus::ValidatorUpdate,
    error::NodeError,
    snapshot::{Applied, Offered, Snapshot},
};

/// Digest of the application state after a block; the header of the next block carries it.
pub type AppHash = [u8; 32];

/// What the application remembers of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Height of the last committed block, 0 before the first.
    pub height: u64,
    /// Application hash at that height.
    pub app_hash: AppHash,
    /// Version of the state machine; stands in every block header.
    pub app_version: u64,
}

/// The start of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitChain {
    /// Chain identifier of the genesis document.
    pub chain_id: String,
    /// Height of the first block.
    pub initial_height: u64,
    /// The validators of the genesis document.
    pub validators: Vec<ValidatorUpdate>,
}

/// Outcome of checking or executing a transaction. `code`, `data` and both gas numbers enter
/// `last_results_hash`; the log does not.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TxResult {
    /// 0 means success.
    pub code: u32,
    /// Result bytes of the transaction.
    pub data: Vec<u8>,
    /// For people; not agreed on by consensus.
    pub log: String,
    /// Gas the transaction asks for.
    pub gas_wanted: u64,
    /// Gas it used.
    pub gas_used: u64,
    /// What it pays to go first, as a check finds it; no part of the outcome of a block.
    pub priority: u128,
}

impl TxResult {
    /// Whether the transaction succeeded.
    pub const fn is_ok(&self) -> bool {
        self.code == 0
    }
}

/// Where a block stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockPosition {
    /// Height of the block.
    pub height: u64,
    /// Header time in whole seconds since 1970.
    pub time_unix_s: u64,
    /// Address of the proposing validator.
    pub proposer: [u8; 20],
}

/// What a decided block says of its validators.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Decision {
    /// Who signed the block before, in the order of that block's validators; empty at the first height.
    pub votes: Vec<CommitVote>,
    /// What validators have been caught at.
    pub misbehaviour: Vec<Misbehaviour>,
}

/// What executing a block produced. Nothing is persisted before [`Application::commit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalizedBlock {
    /// One result per transaction, in order.
    pub results: Vec<TxResult>,
    /// Application hash after the block.
    pub app_hash: AppHash,
    /// Changes of the validators of the second height after the block, each key once.
    pub validator_updates: Vec<ValidatorUpdate>,
}

/// A question about the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Key in the state.
    pub key: Vec<u8>,
    /// Height to answer at; `None` is the last committed one.
    pub height: Option<u64>,
}

/// A value, or its absence, with the proof of either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenValue {
    /// The key asked for.
    pub key: Vec<u8>,
    /// The value, or `None` where the key is absent.
    pub value: Option<Vec<u8>>,
    /// Encoded ICS-23 `CommitmentProof` against the application hash at `height`.
    pub proof: Vec<u8>,
    /// Height of the state; the header one higher carries its hash.
    pub height: u64,
}

/// The state machine behind consensus.
pub trait Application: Send + Sync + 'static {
    /// What is committed, so that an engine knows which blocks to replay.
    fn info(&self) -> Result<Info, NodeError>;

    /// Builds the genesis state and returns its hash. Repeating it before the first block is harmless.
    fn init_chain(&self, request: &InitChain) -> Result<AppHash, NodeError>;

    /// Whether a transaction may enter, or (`recheck`) stay in, the mempool.
    fn check_tx(&self, tx: &[u8], recheck: bool) -> Result<TxResult, NodeError>;

    /// Chooses what to propose from `txs`, at most `max_bytes` of transactions.
    fn prepare_proposal(
        &self,
        position: BlockPosition,
        txs: Vec<Vec<u8>>,
        max_bytes: usize,
    ) -> Result<Vec<Vec<u8>>, NodeError>;

    /// Whether a proposed block is well formed and within its budgets.
    fn process_proposal(&self, position: BlockPosition, txs: &[Vec<u8>]) -> Result<bool, NodeError>;

    /// Executes a decided block on top of the last committed state.
    fn finalize_block(
        &self,
        position: BlockPosition,
        txs: &[Vec<u8>],
        decision: &Decision,
    ) -> Result<FinalizedBlock, NodeError>;

    /// Persists the block executed last, durably and as a whole.
    fn commit(&self) -> Result<(), NodeError>;

    /// Answers from committed state with a proof.
    fn query(&self, query: &Query) -> Result<ProvenValue, NodeError>;

    /// The oldest height whose block consensus has to keep; 0 keeps all.
    fn retain_height(&self) -> u64 {
        0
    }

    /// The snapshots that others can start from, oldest first.
    fn snapshots(&self) -> Result<Vec<Snapshot>, NodeError> {
        Ok(Vec::new())
    }

    /// A chunk of one of them, if it is here.
    fn snapshot_chunk(&self, _height: u64, _format: u32, _index: u32) -> Result<Option<Vec<u8>>, NodeError> {
        Ok(None)
    }

    /// Whether to start from a snapshot. `app_hash` is what a light client has verified for its height.
    fn offer_snapshot(&self, _snapshot: &Snapshot, _app_hash: &[u8]) -> Result<Offered, NodeError> {
        Ok(Offered::Reject)
    }

    /// Stores a chunk of the snapshot that was accepted last.
    fn apply_snapshot_chunk(&self, _index: u32, _chunk: &[u8]) -> Result<Applied, NodeError> {
        Ok(Applied::Abort)
    }
}
