//! Decided blocks on disk: block, votes, results and validators by height. A block is written, durably, before it is
//! executed, so that a node killed in between executes it again and reaches the same state.

use std::path::Path;

use haca_wire::GenesisHash;
use prost::Message as _;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, StorageBackend, TableDefinition};
use tendermint::block::{Block, Commit};
use tendermint_proto::v0_38::types;

use crate::{
    application::{AppHash, FinalizedBlock},
    consensus::{ValidatorSet, block_bytes},
    error::NodeError,
    store::{database, decode_results, encode_results},
};

const META: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("meta");
const BLOCKS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("blocks");
const COMMITS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("commits");
const VALIDATORS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("validators");
/// Application hash after the block, then the encoded results.
const RESULTS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("results");

/// The blocks of one chain.
#[derive(Debug)]
pub struct BlockStore {
    database: Database,
}

fn damaged(what: &str, height: u64) -> NodeError {
    NodeError::StoreCorrupt {
        what: format!("{what} of block {height}"),
    }
}

impl BlockStore {
    /// Opens or creates the store of the network with this genesis.
    pub fn open(path: &Path, genesis: GenesisHash) -> Result<Self, NodeError> {
        Self::on(database::open(path)?, genesis)
    }

    /// Opens or creates the store on another storage than a file, such as memory. `path` names it in errors.
    pub fn open_on(
        storage: impl StorageBackend,
        path: &Path,
        genesis: GenesisHash,
    ) -> Result<Self, NodeError> {
        Self::on(database::open_on(storage, path)?, genesis)
    }

    fn on(database: Database, genesis: GenesisHash) -> Result<Self, NodeError> {
        let write = database.begin_write()?;
        {
            for table in [BLOCKS, COMMITS, VALIDATORS, RESULTS] {
                write.open_table(table)?;
            }
            let mut meta = write.open_table(META)?;
            let found = meta.get("genesis")?.map(|v| v.value().to_vec());
            match found {
                None => {
                    meta.insert("genesis", genesis.0.as_slice())?;
                }
                Some(found) if found != genesis.0 => {
                    return Err(NodeError::OtherGenesis {
                        found: hex::encode(found),
                        expected: hex::encode(genesis.0),
                    });
                }
                Some(_) => {}
            }
        }
        write.commit()?;
        Ok(Self { database })
    }

    /// Height of the last decided block, 0 before the first.
    pub fn height(&self) -> Result<u64, NodeError> {
        let read = self.database.begin_read()?;
        let last = read.open_table(BLOCKS)?.last()?.map(|(height, _)| height.value());
        Ok(last.unwrap_or(0))
    }

    /// Writes a decided block and the votes for it, durably.
    pub fn put_block(&self, height: u64, block: &Block, commit: &Commit) -> Result<(), NodeError> {
        let write = self.database.begin_write()?;
        let commit = types::Commit::from(commit.clone()).encode_to_vec();
        write
            .open_table(BLOCKS)?
            .insert(height, block_bytes(block).as_slice())?;
        write.open_table(COMMITS)?.insert(height, commit.as_slice())?;
        Ok(write.commit()?)
    }

    /// Writes what a block led to and the validators of the second height after it, and drops what stands below
    /// `retain`, durably.
    pub fn put_results(
        &self,
        height: u64,
        finalized: &FinalizedBlock,
        validators: &ValidatorSet,
        retain: u64,
    ) -> Result<(), NodeError> {
        let mut row = finalized.app_hash.to_vec();
        row.extend(encode_results(&finalized.results));
        let set = validators.to_proto().encode_to_vec();
        let write = self.database.begin_write()?;
        write.open_table(RESULTS)?.insert(height, row.as_slice())?;
        write.open_table(VALIDATORS)?.insert(height + 2, set.as_slice())?;
        // The block before stays: an application that is killed before its commit goes on from there.
        let retain = retain.min(height.saturating_sub(1));
        for table in [BLOCKS, COMMITS, VALIDATORS, RESULTS] {
            let mut table = write.open_table(table)?;
            table.retain_in(..retain, |_, _| false)?;
        }
        Ok(write.commit()?)
    }

    /// Writes the validators of some heights, durably.
    pub fn put_validators(&self, sets: &[(u64, &ValidatorSet)]) -> Result<(), NodeError> {
        let write = self.database.begin_write()?;
        {
            let mut table = write.open_table(VALIDATORS)?;
            for (height, set) in sets {
                table.insert(height, set.to_proto().encode_to_vec().as_slice())?;
            }
        }
        Ok(write.commit()?)
    }

    fn row(
        &self,
        table: TableDefinition<'static, u64, &'static [u8]>,
        height: u64,
    ) -> Result<Option<Vec<u8>>, NodeError> {
        let read = self.database.begin_read()?;
        Ok(read
            .open_table(table)?
            .get(height)?
            .map(|row| row.value().to_vec()))
    }

    /// A decided block.
    pub fn block(&self, height: u64) -> Result<Option<Block>, NodeError> {
        let Some(row) = self.row(BLOCKS, height)? else {
            return Ok(None);
        };
        let raw = types::Block::decode(row.as_slice()).map_err(|_| damaged("encoding", height))?;
        Block::try_from(raw)
            .map(Some)
            .map_err(|_| damaged("content", height))
    }

    /// The votes for a block.
    pub fn commit(&self, height: u64) -> Result<Option<Commit>, NodeError> {
        let Some(row) = self.row(COMMITS, height)? else {
            return Ok(None);
        };
        let raw = types::Commit::decode(row.as_slice()).map_err(|_| damaged("commit", height))?;
        Commit::try_from(raw)
            .map(Some)
            .map_err(|_| damaged("commit", height))
    }

    /// The validators of a height.
    pub fn validators(&self, height: u64) -> Result<Option<ValidatorSet>, NodeError> {
        let Some(row) = self.row(VALIDATORS, height)? else {
            return Ok(None);
        };
        let raw = types::ValidatorSet::decode(row.as_slice()).map_err(|_| damaged("validators", height))?;
        Ok(Some(ValidatorSet::from_proto(&raw)?))
    }

    /// What a block led to.
    pub fn results(&self, height: u64) -> Result<Option<FinalizedBlock>, NodeError> {
        let Some(row) = self.row(RESULTS, height)? else {
            return Ok(None);
        };
        let (hash, results) = row
            .split_at_checked(32)
            .ok_or_else(|| damaged("results", height))?;
        Ok(Some(FinalizedBlock {
            app_hash: AppHash::try_from(hash).map_err(|_| damaged("results", height))?,
            results: decode_results(results)?,
            // They stand in the validators of the second height after.
            validator_updates: Vec::new(),
        }))
    }
}
