//! What a node keeps of the past: snapshots for those who join, and blocks with their index up to an age.

use std::sync::Arc;

use haca_wire::GenesisHash;

use crate::{
    error::NodeError,
    home::Home,
    snapshot::{Archive, Restoration, SnapshotPolicy},
    store::{StateView, Store},
};

/// Blocks kept unless configured otherwise: twice as many as evidence of misbehaviour reaches back.
pub const DEFAULT_KEEP_BLOCKS: u64 = 200_000;
/// Blocks whose index is pruned at once.
const PRUNED_TOGETHER: u64 = 100;

/// How much of the past a node keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryPolicy {
    /// Blocks and their index; 0 keeps all.
    pub keep_blocks: u64,
    /// Snapshots of the state.
    pub snapshots: SnapshotPolicy,
}

impl Default for HistoryPolicy {
    fn default() -> Self {
        Self {
            keep_blocks: DEFAULT_KEEP_BLOCKS,
            snapshots: SnapshotPolicy::default(),
        }
    }
}

/// The past of one node.
#[derive(Debug)]
pub struct History {
    keep_blocks: u64,
    pub(crate) archive: Archive,
    pub(crate) restoration: Restoration,
}

impl History {
    /// What the node in `home` keeps.
    pub fn open(home: &Home, genesis: GenesisHash, policy: HistoryPolicy) -> Self {
        Self {
            keep_blocks: policy.keep_blocks,
            archive: Archive::open(&home.snapshots(), genesis, policy.snapshots),
            restoration: Restoration::default(),
        }
    }

    /// The oldest block to keep at height `tip`; 0 keeps all. Whoever starts from a snapshot needs the blocks after it.
    pub fn retain_height(&self, tip: u64) -> u64 {
        if self.keep_blocks == 0 {
            return 0;
        }
        let horizon = tip.saturating_sub(self.keep_blocks);
        self.archive
            .oldest()
            .map_or(horizon, |oldest| oldest.min(horizon))
    }

    /// After each commit.
    pub(crate) fn committed(&self, store: &Store, view: &Arc<StateView>) -> Result<(), NodeError> {
        self.archive.take_if_due(view);
        let height = view.tip().height;
        let horizon = self.retain_height(height);
        if horizon > 0 && height.is_multiple_of(PRUNED_TOGETHER) {
            store.prune_index(horizon, 2 * PRUNED_TOGETHER as usize)?;
        }
        Ok(())
    }
}
