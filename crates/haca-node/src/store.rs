//! The state store: a Jellyfish Merkle tree over redb, one version per block, pruned as blocks are committed.
//!
//! The state after block H is version H; the genesis state is version 0. A block's state, its application hash and
//! the index of its transactions and receipts are committed in one durable database transaction.

pub mod database;
mod record;
mod restore;
mod tree;
mod update;
mod view;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
};

use haca_wire::GenesisHash;
use jmt::{KeyHash, storage::TreeUpdateBatch};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, StorageBackend};
use sha2::Sha256;

pub use record::{BlockIndex, TxLocation, decode_results, encode_results};
pub use restore::{RestoreError, TreeRestore};
pub use view::{Entry, StateView};

use crate::{application::AppHash, error::NodeError};
use tree::{NODES, PREIMAGES, Put as _, STALE_NODES, STALE_VALUES, STATE, VALUES};

/// Versions kept for proofs unless configured otherwise.
pub const DEFAULT_KEEP_VERSIONS: u64 = 100;
/// Format number of the tables; a store with another number is refused.
const FORMAT: u64 = 2;

const META: redb::TableDefinition<'static, &'static str, &'static [u8]> = redb::TableDefinition::new("meta");

/// A write: the new value of a key, or its removal.
pub type Write = (Vec<u8>, Option<Vec<u8>>);

/// What is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Height, 0 for the genesis state.
    pub height: u64,
    /// Application hash there.
    pub app_hash: AppHash,
}

impl Tip {
    /// As the store has it.
    fn record(&self) -> Vec<u8> {
        let mut record = self.height.to_be_bytes().to_vec();
        record.extend_from_slice(&self.app_hash);
        record
    }
}

/// An executed block that is not committed yet.
#[derive(Debug)]
pub struct StagedBlock {
    tip: Tip,
    writes: Vec<Write>,
    batch: TreeUpdateBatch,
    index_horizon: u64,
}

impl StagedBlock {
    /// Has the commit remove the index of blocks below `horizon`: a thousand of them at most, and of full blocks four or
    /// five. What is more waits for the next commits.
    #[must_use]
    pub fn pruning_index(self, horizon: u64) -> Self {
        Self {
            index_horizon: horizon,
            ..self
        }
    }

    /// Height and application hash of the block.
    pub const fn tip(&self) -> Tip {
        self.tip
    }
}

/// The state store of one network.
#[derive(Debug)]
pub struct Store {
    database: Database,
    path: PathBuf,
    keep_versions: u64,
    view: RwLock<Option<Arc<StateView>>>,
}

impl Store {
    /// Opens or creates the store in `path`. Refuses a store of another genesis, another format, or one whose tree
    /// does not have the recorded root. At least one version is kept.
    pub fn open(path: &Path, genesis: GenesisHash, keep_versions: u64) -> Result<Self, NodeError> {
        Self::on(database::open(path)?, path, genesis, keep_versions)
    }

    /// Opens or creates the store on another storage than a file, such as memory. `path` names it in errors.
    pub fn open_on(
        storage: impl StorageBackend,
        path: &Path,
        genesis: GenesisHash,
        keep_versions: u64,
    ) -> Result<Self, NodeError> {
        Self::on(database::open_on(storage, path)?, path, genesis, keep_versions)
    }

    fn on(
        database: Database,
        path: &Path,
        genesis: GenesisHash,
        keep_versions: u64,
    ) -> Result<Self, NodeError> {
        let store = Self {
            database,
            path: path.to_owned(),
            keep_versions: keep_versions.max(1),
            view: RwLock::new(None),
        };
        store.prepare_tables(genesis)?;
        store.drop_unfinished_restore()?;
        if let Some(view) = store.load_view()? {
            let root = view.root(view.tip().height)?;
            if root != view.tip().app_hash {
                return Err(NodeError::StoreCorrupt {
                    what: format!(
                        "state root at height {} is {}, recorded {}",
                        view.tip().height,
                        hex::encode(root),
                        hex::encode(view.tip().app_hash)
                    ),
                });
            }
            store.publish(view);
        }
        Ok(store)
    }

    fn prepare_tables(&self, genesis: GenesisHash) -> Result<(), NodeError> {
        let write = self.database.begin_write()?;
        {
            tree::create_tables(&write)?;
            record::create_tables(&write)?;
            let mut meta = write.open_table(META)?;
            let stored = meta.get("genesis")?.map(|v| v.value().to_vec());
            match stored {
                None => {
                    meta.insert("genesis", genesis.0.as_slice())?;
                    meta.insert("format", FORMAT.to_be_bytes().as_slice())?;
                }
                Some(found) if found != genesis.0 => {
                    return Err(NodeError::OtherGenesis {
                        found: hex::encode(found),
                        expected: hex::encode(genesis.0),
                    });
                }
                Some(_) => {}
            }
            let found = meta.get("format")?.map(|v| tree::be_u64(v.value())).unwrap_or(0);
            if found != FORMAT {
                return Err(NodeError::StoreFormat {
                    found,
                    expected: FORMAT,
                });
            }
        }
        Ok(write.commit()?)
    }

    /// Where the database file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The committed state, or `None` before the genesis state is written.
    pub fn view(&self) -> Option<Arc<StateView>> {
        self.view
            .read()
            .unwrap_or_else(|poison| poison.into_inner())
            .clone()
    }

    /// What is committed, or `None` before the genesis state is written.
    pub fn tip(&self) -> Option<Tip> {
        self.view().map(|view| view.tip())
    }

    fn publish(&self, view: StateView) {
        *self.view.write().unwrap_or_else(|poison| poison.into_inner()) = Some(Arc::new(view));
    }

    fn unpublish(&self) {
        *self.view.write().unwrap_or_else(|poison| poison.into_inner()) = None;
    }

    fn load_view(&self) -> Result<Option<StateView>, NodeError> {
        let read = self.database.begin_read()?;
        let tip = read.open_table(META)?.get("tip")?.map(|v| v.value().to_vec());
        let Some(tip) = tip else { return Ok(None) };
        let (height, hash) = tip.split_at_checked(8).unwrap_or_default();
        let tip = Tip {
            height: tree::be_u64(height),
            app_hash: hash.try_into().map_err(|_| NodeError::StoreCorrupt {
                what: "record of the committed height".to_owned(),
            })?,
        };
        let kept = tip.height.saturating_sub(self.keep_versions.saturating_sub(1));
        let restored = self.meta_height(restore::RESTORED)?.unwrap_or(0);
        StateView::new(&read, tip, kept.max(restored)).map(Some)
    }

    /// Computes the tree of the next block without writing. Keys must be unique and not empty.
    pub fn stage(&self, height: u64, writes: Vec<Write>) -> Result<StagedBlock, NodeError> {
        let view = self.view();
        let expected = view
            .as_ref()
            .map_or(0, |view| view.tip().height.saturating_add(1));
        if height != expected {
            return Err(NodeError::OutOfOrder {
                call: "stage",
                found: height,
                expected,
            });
        }
        let values = writes
            .iter()
            .map(|(key, value)| (KeyHash::with::<Sha256>(key), value.clone()));
        let (root, batch) = match &view {
            Some(view) => view.put(values, height),
            None => tree::EmptyTree.put(values, height),
        }?;
        Ok(StagedBlock {
            tip: Tip {
                height,
                app_hash: root.0,
            },
            writes,
            batch,
            index_horizon: 0,
        })
    }

    /// Writes a staged block and its index durably and as a whole, and prunes one version and the index.
    pub fn commit(&self, block: StagedBlock, index: &BlockIndex) -> Result<Tip, NodeError> {
        let tip = block.tip;
        let write = self.database.begin_write()?;
        {
            tree::insert(&write, tip.height, &block.writes, &block.batch)?;
            if let Some(horizon) = tip.height.checked_sub(self.keep_versions) {
                tree::prune(&write, horizon)?;
            }
            record::insert(&write, tip.height, index)?;
            record::prune(&write, block.index_horizon)?;
            write.open_table(META)?.insert("tip", tip.record().as_slice())?;
        }
        write.commit()?;
        if let Some(view) = self.load_view()? {
            self.publish(view);
        }
        Ok(tip)
    }

    /// Where a transaction was executed.
    pub fn tx_location(&self, hash: &[u8; 32]) -> Result<Option<TxLocation>, NodeError> {
        record::tx_location(&self.database.begin_read()?, hash)
    }

    /// The indexed content of a block; `None` above the committed height.
    pub fn block_index(&self, height: u64) -> Result<Option<BlockIndex>, NodeError> {
        record::block_index(&self.database.begin_read()?, height)
    }

    /// Where the receipt or voucher with this digest was settled: height and position in the block's receipt tree.
    pub fn receipt_location(&self, hash: &[u8; 32]) -> Result<Option<(u64, u32)>, NodeError> {
        record::receipt_location(&self.database.begin_read()?, hash)
    }

    /// Height of the oldest indexed block.
    pub fn oldest_indexed(&self) -> Result<Option<u64>, NodeError> {
        record::oldest(&self.database.begin_read()?)
    }

    /// The highest height from which on transactions and index of all blocks have at least `bytes` bytes, 0 if that is
    /// every indexed block. It is at most a thousand blocks above the oldest indexed one: what is more waits for the next
    /// commits.
    pub fn oldest_within(&self, bytes: u64) -> Result<u64, NodeError> {
        record::oldest_within(&self.database.begin_read()?, bytes)
    }

    /// Rows per table: tree nodes, values, preimages, current state. For measurements and tests.
    pub fn row_counts(&self) -> Result<[u64; 6], NodeError> {
        use redb::ReadableTableMetadata as _;
        let read = self.database.begin_read()?;
        Ok([
            read.open_table(NODES)?.len()?,
            read.open_table(VALUES)?.len()?,
            read.open_table(PREIMAGES)?.len()?,
            read.open_table(STATE)?.len()?,
            read.open_table(STALE_NODES)?.len()?,
            read.open_table(STALE_VALUES)?.len()?,
        ])
    }
}
