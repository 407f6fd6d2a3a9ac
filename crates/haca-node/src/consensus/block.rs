//! Encoding of blocks and their identity: header hash plus Merkle root over 64 KiB parts of the encoding.

use prost::Message as _;
use sha2::Sha256;
use tendermint::{
    Hash,
    block::{self, Block},
    merkle::simple_hash_from_byte_vectors,
};
use tendermint_proto::v0_38::types;

use crate::error::NodeError;

/// Size of a block part in bytes; the last part may be shorter.
pub const PART_BYTES: usize = 64 << 10;

/// The encoding of a block that CometBFT gossips and splits into parts.
///
/// Go always writes `last_block_id` and, in the first block, an empty `last_commit`; the `tendermint` crate maps
/// both to `None`, so they are put back here.
pub fn block_bytes(block: &Block) -> Vec<u8> {
    let mut raw = types::Block::from(block.clone());
    let empty_id = || types::BlockId {
        hash: Vec::new(),
        part_set_header: Some(types::PartSetHeader::default()),
    };
    raw.last_commit.get_or_insert_with(|| types::Commit {
        block_id: Some(empty_id()),
        ..Default::default()
    });
    if let Some(header) = raw.header.as_mut() {
        header.last_block_id.get_or_insert_with(empty_id);
    }
    raw.encode_to_vec()
}

/// Count and Merkle root of the parts of an encoded block.
pub fn part_set_header(block_bytes: &[u8]) -> Result<block::parts::Header, NodeError> {
    let parts: Vec<&[u8]> = block_bytes.chunks(PART_BYTES).collect();
    let root = simple_hash_from_byte_vectors::<Sha256>(&parts);
    let total = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    block::parts::Header::new(total, Hash::Sha256(root)).map_err(|source| NodeError::Encoding {
        what: "part set header",
        reason: source.to_string(),
    })
}

/// Identity of a block.
pub fn block_id(block: &Block) -> Result<block::Id, NodeError> {
    Ok(block::Id {
        hash: block.header.hash(),
        part_set_header: part_set_header(&block_bytes(block))?,
    })
}
