//! What a node keeps of the past: snapshots for those who join, and blocks with their index up to an age.

use std::sync::Arc;

use haca_wire::GenesisHash;

use crate::{
    error::NodeError,
    home::Home,
    metrics::Metrics,
    snapshot::{Archive, Restoration, SnapshotPolicy},
    store::{StateView, Store},
};

/// Blocks kept unless configured otherwise: twice as many as evidence of misbehaviour reaches back.
pub const DEFAULT_KEEP_BLOCKS: u64 = 200_000;
/// Megabytes of blocks kept unless configured otherwise: two to three hours of full blocks, and more than three snapshots
/// need.
pub const DEFAULT_KEEP_MB: u64 = 20_000;

/// How much of the past a node keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryPolicy {
    /// Blocks and their index; 0 keeps all.
    pub keep_blocks: u64,
    /// Megabytes (10^6 bytes) of transactions and their index; 0 keeps all.
    pub keep_mb: u64,
    /// Snapshots of the state.
    pub snapshots: SnapshotPolicy,
}

impl Default for HistoryPolicy {
    fn default() -> Self {
        Self {
            keep_blocks: DEFAULT_KEEP_BLOCKS,
            keep_mb: DEFAULT_KEEP_MB,
            snapshots: SnapshotPolicy::default(),
        }
    }
}

/// The past of one node.
#[derive(Debug)]
pub struct History {
    keep_blocks: u64,
    keep_bytes: u64,
    pub(crate) archive: Archive,
    pub(crate) restoration: Restoration,
}

impl History {
    /// What the node in `home` keeps.
    pub fn open(home: &Home, genesis: GenesisHash, policy: HistoryPolicy) -> Self {
        Self {
            keep_blocks: policy.keep_blocks,
            keep_bytes: policy.keep_mb.saturating_mul(1_000_000),
            archive: Archive::open(&home.snapshots(), genesis, policy.snapshots),
            restoration: Restoration::default(),
        }
    }

    /// The oldest block to keep of those in `store`; 0 keeps all. Whoever starts from a snapshot needs the blocks after it.
    pub(crate) fn horizon(&self, store: &Store) -> Result<u64, NodeError> {
        let tip = store.tip().map_or(0, |tip| tip.height);
        let by_count = match self.keep_blocks {
            0 => 0,
            blocks => tip.saturating_sub(blocks),
        };
        let by_bytes = match self.keep_bytes {
            0 => 0,
            bytes => store.oldest_within(bytes)?,
        };
        let horizon = by_count.max(by_bytes);
        Ok(self
            .archive
            .oldest(tip)
            .map_or(horizon, |oldest| oldest.min(horizon)))
    }

    /// The oldest block that consensus has to keep; 0 keeps all. Its blocks go with our index of them, and so a few
    /// of them at a commit.
    pub(crate) fn retain_height(&self, store: &Store) -> Result<u64, NodeError> {
        let indexed = store.oldest_indexed()?.unwrap_or(0);
        Ok(self.horizon(store)?.min(indexed))
    }

    /// After each commit.
    pub(crate) fn committed(&self, view: &Arc<StateView>, metrics: &Arc<Metrics>) {
        self.archive.take_if_due(view, metrics);
    }
}
