//! What both consensus engines offer to the rest of the node.

use haca_wire::TxHash;
use tendermint::{
    Time,
    block::{Block, Commit, Id},
};
use tendermint_proto::v0_38::types;

use crate::{consensus::ValidatorSet, error::NodeError};

/// A decided block with the votes for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidedBlock {
    /// Header, transactions, evidence, commit of the block before.
    pub block: Block,
    /// Header hash and part set.
    pub id: Id,
    /// The votes for this block.
    pub commit: Commit,
    /// Who could vote.
    pub validators: ValidatorSet,
}

/// What a light client needs to follow the chain, encoded as CometBFT does.
#[derive(Clone, Debug, PartialEq)]
pub struct LightBlock {
    /// Header and commit.
    pub signed_header: types::SignedHeader,
    /// Validators of the height.
    pub validators: types::ValidatorSet,
    /// Validators of the next height.
    pub next_validators: types::ValidatorSet,
}

/// Where the chain stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// `dev` or `cometbft`.
    pub engine: &'static str,
    /// Height of the last decided block.
    pub height: u64,
    /// Its header hash; empty before the first block.
    pub block_hash: Vec<u8>,
    /// Its header time; the genesis time before the first block.
    pub time: Time,
    /// Transactions in the mempool.
    pub mempool_txs: usize,
    /// Bytes in the mempool.
    pub mempool_bytes: usize,
    /// Whether the node is still behind the others, and takes no transactions.
    pub catching_up: bool,
}

/// A running consensus engine.
pub trait Driver: Send + Sync {
    /// Offers a transaction to the mempool. A transaction that waits there already is accepted again.
    fn submit_tx(&self, tx: Vec<u8>) -> Result<TxHash, NodeError>;

    /// A decided block, `None` where there is none yet.
    fn block(&self, height: u64) -> Result<Option<DecidedBlock>, NodeError>;

    /// Header, votes and validators at a height, `None` where there are none yet.
    fn light_block(&self, height: u64) -> Result<Option<LightBlock>, NodeError>;

    /// Where the chain stands.
    fn status(&self) -> Result<Status, NodeError>;

    /// Stops the engine after the block in progress. Repeating it is harmless.
    fn stop(&self);

    /// Why the engine ended by itself, once it has.
    fn failure(&self) -> Option<String>;
}
