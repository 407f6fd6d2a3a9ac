//! The Merkle tree in redb tables: nodes, versioned values, key preimages, and what has gone stale since when.

use anyhow::Context as _;
use jmt::{
    KeyHash, OwnedValue, RootHash, Version,
    storage::{HasPreimage, LeafNode, Node, NodeKey, TreeReader, TreeUpdateBatch},
};
use redb::{
    ReadOnlyTable, ReadTransaction, ReadableTable as _, StorageError, TableDefinition, WriteTransaction,
};
use sha2::Sha256;

use super::{Write, update::update};
use crate::error::NodeError;

type Bytes = &'static [u8];

/// Version (big-endian) and nibble path to node.
pub(super) const NODES: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("nodes");
/// Key hash and version (big-endian) to a flag byte, then the value; the flag is 0 for a removal.
pub(super) const VALUES: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("values");
/// Key hash to key.
pub(super) const PREIMAGES: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("preimages");
/// Key to current value.
pub(super) const STATE: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("state");
/// Version since which it is stale (big-endian), then the key of the node.
pub(super) const STALE_NODES: TableDefinition<'static, Bytes, ()> = TableDefinition::new("stale_nodes");
/// Version since which it is stale (big-endian), then the key of the value.
pub(super) const STALE_VALUES: TableDefinition<'static, Bytes, ()> = TableDefinition::new("stale_values");

pub(super) fn be_u64(bytes: &[u8]) -> u64 {
    bytes.try_into().map(u64::from_be_bytes).unwrap_or(0)
}

pub(super) fn create_tables(write: &WriteTransaction) -> Result<(), NodeError> {
    for table in [NODES, VALUES, PREIMAGES, STATE] {
        write.open_table(table)?;
    }
    for table in [STALE_NODES, STALE_VALUES] {
        write.open_table(table)?;
    }
    Ok(())
}

pub(super) fn delete_tables(write: &WriteTransaction) -> Result<(), NodeError> {
    for table in [NODES, VALUES, PREIMAGES, STATE] {
        write.delete_table(table)?;
    }
    for table in [STALE_NODES, STALE_VALUES] {
        write.delete_table(table)?;
    }
    Ok(())
}

fn node_key(key: &NodeKey) -> anyhow::Result<Vec<u8>> {
    let mut bytes = key.version().to_be_bytes().to_vec();
    bytes.extend(borsh::to_vec(key.nibble_path())?);
    Ok(bytes)
}

fn value_key(key: &KeyHash, version: Version) -> [u8; 40] {
    let mut bytes = [0; 40];
    let (hash, rest) = bytes.split_at_mut(32);
    hash.copy_from_slice(&key.0);
    rest.copy_from_slice(&version.to_be_bytes());
    bytes
}

/// What a failed walk of the tree means: the storage under it failed, or what it holds makes no sense.
pub(super) fn damaged(error: anyhow::Error) -> NodeError {
    match error.downcast::<StorageError>() {
        Ok(error) => error.into(),
        Err(error) => NodeError::StoreCorrupt {
            what: format!("{error:#}"),
        },
    }
}

/// Tables of one read snapshot.
#[derive(Debug)]
pub(super) struct Tables {
    nodes: ReadOnlyTable<Bytes, Bytes>,
    values: ReadOnlyTable<Bytes, Bytes>,
    pub(super) preimages: ReadOnlyTable<Bytes, Bytes>,
    pub(super) state: ReadOnlyTable<Bytes, Bytes>,
}

impl Tables {
    pub(super) fn open(read: &ReadTransaction) -> Result<Self, NodeError> {
        Ok(Self {
            nodes: read.open_table(NODES)?,
            values: read.open_table(VALUES)?,
            preimages: read.open_table(PREIMAGES)?,
            state: read.open_table(STATE)?,
        })
    }
}

impl TreeReader for Tables {
    fn get_node_option(&self, key: &NodeKey) -> anyhow::Result<Option<Node>> {
        let found = self.nodes.get(node_key(key)?.as_slice())?;
        found
            .map(|bytes| borsh::from_slice(bytes.value()).context("a tree node does not decode"))
            .transpose()
    }

    fn get_value_option(&self, max: Version, key: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        let (first, last) = (value_key(&key, 0), value_key(&key, max));
        let newest = self
            .values
            .range::<&[u8]>(first.as_slice()..=last.as_slice())?
            .next_back();
        let Some(row) = newest else { return Ok(None) };
        Ok(match row?.1.value().split_first() {
            Some((1, value)) => Some(value.to_vec()),
            _ => None,
        })
    }

    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        anyhow::bail!("a restoration is never continued from its leaves")
    }
}

impl HasPreimage for Tables {
    fn preimage(&self, key: KeyHash) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(self
            .preimages
            .get(key.0.as_slice())?
            .map(|key| key.value().to_vec()))
    }
}

/// The tree before the genesis state.
pub(super) struct EmptyTree;

impl TreeReader for EmptyTree {
    fn get_node_option(&self, _: &NodeKey) -> anyhow::Result<Option<Node>> {
        Ok(None)
    }
    fn get_value_option(&self, _: Version, _: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        Ok(None)
    }
    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        Ok(None)
    }
}

/// Computes the tree after a set of writes.
pub(super) trait Put: TreeReader + Sized {
    fn put(
        &self,
        values: impl Iterator<Item = (KeyHash, Option<OwnedValue>)>,
        version: Version,
    ) -> Result<(RootHash, TreeUpdateBatch), NodeError> {
        update(self, values, version).map_err(damaged)
    }
}
impl Put for EmptyTree {}
impl Put for Tables {}

/// Writes nodes.
pub(super) fn insert_nodes<'a>(
    write: &WriteTransaction,
    new: impl Iterator<Item = (&'a NodeKey, &'a Node)>,
) -> Result<(), NodeError> {
    let mut nodes = write.open_table(NODES)?;
    for (key, node) in new {
        let key = node_key(key).map_err(damaged)?;
        let node = borsh::to_vec(node).map_err(|error| damaged(error.into()))?;
        nodes.insert(key.as_slice(), node.as_slice())?;
    }
    Ok(())
}

/// Writes the values of a state that had none before.
pub(super) fn insert_restored(
    write: &WriteTransaction,
    version: Version,
    entries: &[(Vec<u8>, Vec<u8>)],
) -> Result<(), NodeError> {
    let mut values = write.open_table(VALUES)?;
    let mut preimages = write.open_table(PREIMAGES)?;
    let mut state = write.open_table(STATE)?;
    for (key, value) in entries {
        let hash = KeyHash::with::<Sha256>(key);
        values.insert(value_key(&hash, version).as_slice(), flagged(value).as_slice())?;
        preimages.insert(hash.0.as_slice(), key.as_slice())?;
        state.insert(key.as_slice(), value.as_slice())?;
    }
    Ok(())
}

/// A value as its row has it.
fn flagged(value: &[u8]) -> Vec<u8> {
    let mut row = vec![1];
    row.extend_from_slice(value);
    row
}

/// Writes a block's nodes and values, and notes what they replace.
pub(super) fn insert(
    write: &WriteTransaction,
    version: Version,
    writes: &[Write],
    batch: &TreeUpdateBatch,
) -> Result<(), NodeError> {
    insert_nodes(write, batch.node_batch.nodes().iter())?;
    let mut stale_nodes = write.open_table(STALE_NODES)?;
    for index in &batch.stale_node_index_batch {
        let mut key = index.stale_since_version.to_be_bytes().to_vec();
        key.extend(node_key(&index.node_key).map_err(damaged)?);
        stale_nodes.insert(key.as_slice(), ())?;
    }
    let mut values = write.open_table(VALUES)?;
    let mut stale_values = write.open_table(STALE_VALUES)?;
    let mut preimages = write.open_table(PREIMAGES)?;
    let mut state = write.open_table(STATE)?;
    let mut stale = |value: &[u8]| -> Result<(), NodeError> {
        let mut key = version.to_be_bytes().to_vec();
        key.extend_from_slice(value);
        stale_values.insert(key.as_slice(), ())?;
        Ok(())
    };
    for (key, value) in writes {
        let was_there = match value {
            Some(value) => state.insert(key.as_slice(), value.as_slice())?.is_some(),
            None => state.remove(key.as_slice())?.is_some(),
        };
        let hash = KeyHash::with::<Sha256>(key);
        let (first, row) = (value_key(&hash, 0), value_key(&hash, version));
        // The row of a removal is stale from its own version on: only a value is replaced.
        if was_there {
            let previous = values
                .range::<&[u8]>(first.as_slice()..row.as_slice())?
                .next_back()
                .transpose()?
                .map(|(key, _)| key.value().to_vec());
            if let Some(previous) = previous {
                stale(&previous)?;
            }
        }
        match value {
            Some(value) => {
                values.insert(row.as_slice(), flagged(value).as_slice())?;
                if !was_there {
                    preimages.insert(hash.0.as_slice(), key.as_slice())?;
                }
            }
            None if was_there => {
                values.insert(row.as_slice(), [0].as_slice())?;
                stale(&row)?;
            }
            None => {}
        }
    }
    Ok(())
}

/// Removes every node and value that no version above `horizon` reads.
pub(super) fn prune(write: &WriteTransaction, horizon: Version) -> Result<(), NodeError> {
    let end = horizon.saturating_add(1).to_be_bytes();
    let mut nodes = write.open_table(NODES)?;
    let mut stale_nodes = write.open_table(STALE_NODES)?;
    for row in stale_nodes.extract_from_if::<&[u8], _>(..end.as_slice(), |_, ()| true)? {
        nodes.remove(row?.0.value().get(8..).unwrap_or_default())?;
    }
    let mut values = write.open_table(VALUES)?;
    let mut preimages = write.open_table(PREIMAGES)?;
    let mut stale_values = write.open_table(STALE_VALUES)?;
    for row in stale_values.extract_from_if::<&[u8], _>(..end.as_slice(), |_, ()| true)? {
        let row = row?;
        let key = row.0.value().get(8..).unwrap_or_default();
        if values.remove(key)?.is_none() {
            continue;
        }
        // Kept versions may still hold a leaf of a key that is gone now: its preimage leaves with its last value.
        if let Some(hash) = key.first_chunk::<32>() {
            let (first, last) = (
                value_key(&KeyHash(*hash), 0),
                value_key(&KeyHash(*hash), Version::MAX),
            );
            let unused = values
                .range::<&[u8]>(first.as_slice()..=last.as_slice())?
                .next()
                .is_none();
            if unused {
                preimages.remove(hash.as_slice())?;
            }
        }
    }
    Ok(())
}
