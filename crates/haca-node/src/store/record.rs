//! What a block did: results, and where transactions and receipts went.

use prost::Message as _;
use redb::{ReadTransaction, ReadableTable as _, TableDefinition, WriteTransaction};
use tendermint_proto::v0_38::abci;

use super::tree::be_u64;
use crate::{application::TxResult, consensus::hash::signed, error::NodeError};

/// Height (big-endian) to the encoded [`BlockIndex`].
const BLOCKS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("block_index");
/// Transaction hash to height and position (big-endian).
const TXS: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("tx_index");
/// Digest of a settled receipt or voucher to height and position (big-endian).
const RECEIPTS: TableDefinition<'static, &'static [u8], &'static [u8]> =
    TableDefinition::new("receipt_index");

/// Height to the bytes of all blocks up to it, as [`insert`] counts them. A height before the first row counts nothing.
const BYTES: TableDefinition<'static, u64, u64> = TableDefinition::new("block_bytes");

/// Bytes that a block counts without transactions: header, votes and rows of the tables.
const FRAME_BYTES: u64 = 2 << 10;
/// Bytes that a transaction or receipt counts in the index: its hash twice, and its place.
const PLACE_BYTES: u64 = 76;
/// Blocks by which the horizon moves on at a commit at most, so that no block waits long for it.
pub(super) const STEP: usize = 1_000;
/// Rows of transactions and receipts after which a commit removes no further block: those of some four full blocks, so
/// that the horizon catches up with any chain, and no commit takes seconds.
const ROWS: usize = 20_000;

/// Where a transaction was executed, and with what result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxLocation {
    /// Block height.
    pub height: u64,
    /// Position in the block.
    pub index: u32,
    /// Outcome.
    pub result: TxResult,
}

/// What is remembered of a block besides its state.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct BlockIndex {
    /// Bytes of the transactions, for [`Store::oldest_within`](super::Store::oldest_within) alone.
    pub tx_bytes: u64,
    /// Hash of each transaction.
    pub txs: Vec<[u8; 32]>,
    /// Outcome of each transaction.
    pub results: Vec<TxResult>,
    /// Digest of the receipt or voucher and encoded record of everything settled, in the order of the receipt tree's leaves.
    pub settled: Vec<([u8; 32], Vec<u8>)>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct BlockIndexProto {
    #[prost(bytes = "vec", repeated, tag = "1")]
    txs: Vec<Vec<u8>>,
    #[prost(bytes = "vec", tag = "2")]
    results: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    receipts: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "4")]
    settled: Vec<Vec<u8>>,
    #[prost(uint64, tag = "5")]
    tx_bytes: u64,
}

/// Encodes results with all their fields.
pub fn encode_results(results: &[TxResult]) -> Vec<u8> {
    let tx_results = results
        .iter()
        .map(|result| abci::ExecTxResult {
            code: result.code,
            data: result.data.clone().into(),
            log: result.log.clone(),
            gas_wanted: signed(result.gas_wanted),
            gas_used: signed(result.gas_used),
            ..Default::default()
        })
        .collect();
    abci::ResponseFinalizeBlock {
        tx_results,
        ..Default::default()
    }
    .encode_to_vec()
}

/// Reads what [`encode_results`] wrote.
pub fn decode_results(bytes: &[u8]) -> Result<Vec<TxResult>, NodeError> {
    let decoded = abci::ResponseFinalizeBlock::decode(bytes).map_err(|error| NodeError::StoreCorrupt {
        what: format!("block results: {error}"),
    })?;
    Ok(decoded.tx_results.into_iter().map(TxResult::from).collect())
}

impl From<abci::ExecTxResult> for TxResult {
    fn from(raw: abci::ExecTxResult) -> Self {
        Self {
            code: raw.code,
            data: raw.data.to_vec(),
            log: raw.log,
            gas_wanted: u64::try_from(raw.gas_wanted).unwrap_or(0),
            gas_used: u64::try_from(raw.gas_used).unwrap_or(0),
            priority: 0,
        }
    }
}

pub(super) fn create_tables(write: &WriteTransaction) -> Result<(), NodeError> {
    write.open_table(BLOCKS)?;
    write.open_table(TXS)?;
    write.open_table(RECEIPTS)?;
    write.open_table(BYTES)?;
    Ok(())
}

pub(super) fn delete_tables(write: &WriteTransaction) -> Result<(), NodeError> {
    write.delete_table(BLOCKS)?;
    write.delete_table(TXS)?;
    write.delete_table(RECEIPTS)?;
    write.delete_table(BYTES)?;
    Ok(())
}

/// Removes the index of blocks below a height, oldest first: at most [`STEP`] of them, and none after [`ROWS`] rows.
pub(super) fn prune(write: &WriteTransaction, horizon: u64) -> Result<(), NodeError> {
    let mut blocks = write.open_table(BLOCKS)?;
    let mut txs = write.open_table(TXS)?;
    let mut receipts = write.open_table(RECEIPTS)?;
    let mut bytes_up_to = write.open_table(BYTES)?;
    let mut rows = 0;
    for _ in 0..STEP {
        if rows >= ROWS {
            break;
        }
        let Some((height, bytes)) = blocks
            .first()?
            .map(|(height, row)| (height.value(), row.value().to_vec()))
        else {
            break;
        };
        if height >= horizon {
            break;
        }
        let raw = BlockIndexProto::decode(bytes.as_slice()).map_err(|_| NodeError::StoreCorrupt {
            what: format!("index of block {height}"),
        })?;
        rows = rows
            .saturating_add(raw.txs.len())
            .saturating_add(raw.receipts.len());
        // A repeated transaction or receipt belongs to the block that had it first, or last.
        let own = |row: Option<redb::AccessGuard<'_, &'static [u8]>>| {
            row.and_then(|row| parse_location(row.value()))
                .is_some_and(|(at, _)| at == height)
        };
        for hash in raw.txs {
            if own(txs.get(hash.as_slice())?) {
                txs.remove(hash.as_slice())?;
            }
        }
        for hash in raw.receipts {
            if own(receipts.get(hash.as_slice())?) {
                receipts.remove(hash.as_slice())?;
            }
        }
        blocks.remove(height)?;
        bytes_up_to.remove(height)?;
    }
    Ok(())
}

fn location(height: u64, index: usize) -> [u8; 12] {
    let mut bytes = [0; 12];
    let (first, last) = bytes.split_at_mut(8);
    first.copy_from_slice(&height.to_be_bytes());
    last.copy_from_slice(&u32::try_from(index).unwrap_or(u32::MAX).to_be_bytes());
    bytes
}

fn parse_location(bytes: &[u8]) -> Option<(u64, u32)> {
    let (height, index) = bytes.split_at_checked(8)?;
    Some((be_u64(height), u32::from_be_bytes(index.try_into().ok()?)))
}

pub(super) fn insert(write: &WriteTransaction, height: u64, index: &BlockIndex) -> Result<(), NodeError> {
    let mut txs = write.open_table(TXS)?;
    for (position, hash) in index.txs.iter().enumerate() {
        // The first execution is the one that counts; a repeated transaction is refused by its nonce.
        if txs.get(hash.as_slice())?.is_none() {
            txs.insert(hash.as_slice(), location(height, position).as_slice())?;
        }
    }
    let mut receipts = write.open_table(RECEIPTS)?;
    for (position, (hash, _)) in index.settled.iter().enumerate() {
        receipts.insert(hash.as_slice(), location(height, position).as_slice())?;
    }
    let (hashes, records) = index
        .settled
        .iter()
        .cloned()
        .map(|(h, r)| (h.to_vec(), r))
        .unzip();
    let encoded = BlockIndexProto {
        txs: index.txs.iter().map(|hash| hash.to_vec()).collect(),
        results: encode_results(&index.results),
        receipts: hashes,
        settled: records,
        tx_bytes: index.tx_bytes,
    }
    .encode_to_vec();
    write.open_table(BLOCKS)?.insert(height, encoded.as_slice())?;
    let mut bytes_up_to = write.open_table(BYTES)?;
    let before = bytes_up_to.last()?.map_or(0, |(_, bytes)| bytes.value());
    let places = index.txs.len().saturating_add(index.settled.len()) as u64;
    let bytes = index
        .tx_bytes
        .saturating_add(encoded.len() as u64)
        .saturating_add(places.saturating_mul(PLACE_BYTES))
        .saturating_add(FRAME_BYTES);
    bytes_up_to.insert(height, before.saturating_add(bytes))?;
    Ok(())
}

/// Height of the oldest indexed block.
pub(super) fn oldest(read: &ReadTransaction) -> Result<Option<u64>, NodeError> {
    let blocks = read.open_table(BLOCKS)?;
    Ok(blocks.first()?.map(|(height, _)| height.value()))
}

/// The highest height from which on blocks have at least `limit` bytes together, but at most [`STEP`] blocks above the
/// oldest one; 0 where that is the oldest one.
pub(super) fn oldest_within(read: &ReadTransaction, limit: u64) -> Result<u64, NodeError> {
    let table = read.open_table(BYTES)?;
    let all = table.last()?.map_or(0, |(_, bytes)| bytes.value());
    let mut oldest = 0;
    for row in table.iter()?.take(STEP) {
        let (height, bytes) = row?;
        if all.saturating_sub(bytes.value()) < limit {
            break;
        }
        oldest = height.value().saturating_add(1);
    }
    Ok(oldest)
}

pub(super) fn block_index(read: &ReadTransaction, height: u64) -> Result<Option<BlockIndex>, NodeError> {
    let Some(bytes) = read.open_table(BLOCKS)?.get(height)? else {
        return Ok(None);
    };
    let damaged = || NodeError::StoreCorrupt {
        what: format!("index of block {height}"),
    };
    let raw = BlockIndexProto::decode(bytes.value()).map_err(|_| damaged())?;
    let hash = |bytes: Vec<u8>| <[u8; 32]>::try_from(bytes).map_err(|_| damaged());
    Ok(Some(BlockIndex {
        tx_bytes: raw.tx_bytes,
        txs: raw.txs.into_iter().map(hash).collect::<Result<_, _>>()?,
        results: decode_results(&raw.results)?,
        settled: raw
            .receipts
            .into_iter()
            .zip(raw.settled)
            .map(|(receipt, record)| Ok((hash(receipt)?, record)))
            .collect::<Result<_, NodeError>>()?,
    }))
}

pub(super) fn tx_location(read: &ReadTransaction, hash: &[u8; 32]) -> Result<Option<TxLocation>, NodeError> {
    let row = read
        .open_table(TXS)?
        .get(hash.as_slice())?
        .and_then(|row| parse_location(row.value()));
    let Some((height, index)) = row else {
        return Ok(None);
    };
    let block = block_index(read, height)?;
    let result = block.and_then(|block| block.results.into_iter().nth(index as usize));
    Ok(result.map(|result| TxLocation {
        height,
        index,
        result,
    }))
}

pub(super) fn receipt_location(
    read: &ReadTransaction,
    hash: &[u8; 32],
) -> Result<Option<(u64, u32)>, NodeError> {
    let row = read.open_table(RECEIPTS)?.get(hash.as_slice())?;
    Ok(row.and_then(|row| parse_location(row.value())))
}
