//! A read snapshot of the committed state.

use jmt::{JellyfishMerkleTree, KeyHash, OwnedValue, RootHash, Version, storage::TreeUpdateBatch};
use prost_ics23::Message as _;
use redb::{ReadTransaction, ReadableTable as _};
use sha2::Sha256;

use super::{
    Tip,
    tree::{Put as _, Tables, damaged},
};
use crate::{
    application::{AppHash, ProvenValue},
    error::NodeError,
};

/// A key of the state with its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// The state as it was committed, unaffected by later blocks.
#[derive(Debug)]
pub struct StateView {
    tables: Tables,
    tip: Tip,
    oldest: u64,
}

impl StateView {
    /// `oldest` is the first height whose tree is whole.
    pub(super) fn new(read: &ReadTransaction, tip: Tip, oldest: u64) -> Result<Self, NodeError> {
        Ok(Self {
            tables: Tables::open(read)?,
            tip,
            oldest,
        })
    }

    /// Height and application hash of this state.
    pub const fn tip(&self) -> Tip {
        self.tip
    }

    /// Current value of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, NodeError> {
        Ok(self.tables.state.get(key)?.map(|value| value.value().to_vec()))
    }

    /// Current keys and values under a prefix, in key order, at most `limit` of them.
    pub fn scan(&self, prefix: &[u8], limit: usize) -> Result<Vec<Entry>, NodeError> {
        let mut found = Vec::new();
        for row in self.tables.state.range::<&[u8]>(prefix..)? {
            let (key, value) = row?;
            if !key.value().starts_with(prefix) || found.len() == limit {
                break;
            }
            found.push((key.value().to_vec(), value.value().to_vec()));
        }
        Ok(found)
    }

    /// All current keys and values, in key order, until `take` wants no more.
    pub fn each(
        &self,
        mut take: impl FnMut(&[u8], &[u8]) -> Result<bool, NodeError>,
    ) -> Result<(), NodeError> {
        for row in self.tables.state.range::<&[u8]>(..)? {
            let (key, value) = row?;
            if !take(key.value(), value.value())? {
                break;
            }
        }
        Ok(())
    }

    /// Oldest height that proofs can be made for.
    pub const fn oldest(&self) -> u64 {
        self.oldest
    }

    /// Gives all entries in the order of the tree's leaves, one at a time.
    pub fn leaves(
        &self,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), NodeError>,
    ) -> Result<(), NodeError> {
        // By key hash; a key that is gone keeps its row as long as an older version needs it.
        for row in self.tables.preimages.iter()? {
            let (_, key) = row?;
            if let Some(value) = self.tables.state.get(key.value())? {
                visit(key.value(), value.value())?;
            }
        }
        Ok(())
    }

    /// What proves, given all leaves up to this key's, that they are the tree's first ones.
    pub fn range_proof(&self, key: &[u8]) -> Result<Vec<u8>, NodeError> {
        let proof = self
            .tree()
            .get_range_proof(KeyHash::with::<Sha256>(key), self.tip.height);
        let bytes = proof.and_then(|proof| Ok(borsh::to_vec(&proof)?));
        bytes.map_err(damaged)
    }

    /// Value or absence of a key at a kept height, with its ICS-23 proof.
    pub fn prove(&self, key: &[u8], height: u64) -> Result<ProvenValue, NodeError> {
        if height < self.oldest() || height > self.tip.height {
            return Err(NodeError::HeightUnavailable {
                found: height,
                oldest: self.oldest(),
                newest: self.tip.height,
            });
        }
        let (value, proof) = self
            .tree()
            .get_with_ics23_proof(key.to_vec(), height)
            .map_err(damaged)?;
        Ok(ProvenValue {
            key: key.to_vec(),
            value,
            proof: proof.encode_to_vec(),
            height,
        })
    }

    fn tree(&self) -> JellyfishMerkleTree<'_, Tables, Sha256> {
        JellyfishMerkleTree::new(&self.tables)
    }

    /// Root of the tree at a height.
    pub(super) fn root(&self, height: u64) -> Result<AppHash, NodeError> {
        let root = self.tree().get_root_hash(height).map_err(damaged)?;
        Ok(root.0)
    }

    pub(super) fn put(
        &self,
        values: impl Iterator<Item = (KeyHash, Option<OwnedValue>)>,
        version: Version,
    ) -> Result<(RootHash, TreeUpdateBatch), NodeError> {
        self.tables.put(values, version)
    }
}
