//! Files of the light client (`spec/verify.md`): a proven entry of the state, and an attack on light clients. Each is
//! verified without network, from the genesis hash or a checkpoint.

use crate::bundle::LightBlock;
use crate::codec::{Decode, DecodeError, Encode, Reader, put_bytes, put_list};
use crate::merkle::Branch;
use crate::receipt::Settlement;
use crate::{codec_struct, limit};

/// The first bytes of every state file, version 1.
pub const STATE_MAGIC: [u8; 8] = *b"HACASTA1";
/// The first bytes of every attack file, version 1.
pub const ATTACK_MAGIC: [u8; 8] = *b"HACALCA1";

/// A settled receipt under the receipt root of its block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The settled receipt's leaf.
    pub settlement: Settlement,
    /// The way from it to the receipt root.
    pub branch: Branch,
}
codec_struct!(Leaf { settlement, branch });

/// What the state holds under one key, or that it holds nothing there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFile {
    /// The exact bytes of the genesis document.
    pub genesis: Vec<u8>,
    /// Light blocks by ascending height, as in a [`Bundle`](crate::bundle::Bundle); the last one's application hash is
    /// the root of the state.
    pub light_blocks: Vec<LightBlock>,
    /// The state key.
    pub key: Vec<u8>,
    /// ICS-23 `CommitmentProof` in protobuf, of existence or of absence.
    pub proof: Vec<u8>,
    /// A receipt settled under the receipt root that the entry is. Beside no other entry.
    pub leaf: Option<Leaf>,
}

impl Encode for StateFile {
    fn encode_into(&self, out: &mut Vec<u8>) {
        STATE_MAGIC.encode_into(out);
        put_bytes(out, &self.genesis);
        put_list(out, &self.light_blocks);
        put_bytes(out, &self.key);
        put_bytes(out, &self.proof);
        self.leaf.encode_into(out);
    }
}

impl Decode for StateFile {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        begin(reader, "state file", STATE_MAGIC)?;
        Ok(Self {
            genesis: reader.bytes("genesis", limit::GENESIS_BYTES)?,
            light_blocks: reader.list("light blocks", limit::LIGHT_BLOCKS)?,
            key: reader.bytes("state key", limit::STATE_KEY_BYTES)?,
            proof: reader.bytes("state proof", limit::STATE_PROOF_BYTES)?,
            leaf: Decode::decode(reader)?,
        })
    }
}

/// Two headers of one height that a light client could both be made to believe: what CometBFT calls a light client
/// attack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttackFile {
    /// The exact bytes of the genesis document.
    pub genesis: Vec<u8>,
    /// Light blocks by ascending height; the last one is the common block, which both chains hold.
    pub light_blocks: Vec<LightBlock>,
    /// Light blocks by ascending height that lead from the common one to one header.
    pub first: Vec<LightBlock>,
    /// Those that lead from it to another header of the same height.
    pub second: Vec<LightBlock>,
}

impl Encode for AttackFile {
    fn encode_into(&self, out: &mut Vec<u8>) {
        ATTACK_MAGIC.encode_into(out);
        put_bytes(out, &self.genesis);
        put_list(out, &self.light_blocks);
        put_list(out, &self.first);
        put_list(out, &self.second);
    }
}

impl Decode for AttackFile {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        begin(reader, "attack file", ATTACK_MAGIC)?;
        Ok(Self {
            genesis: reader.bytes("genesis", limit::GENESIS_BYTES)?,
            light_blocks: reader.list("light blocks", limit::LIGHT_BLOCKS)?,
            first: reader.list("light blocks", limit::LIGHT_BLOCKS)?,
            second: reader.list("light blocks", limit::LIGHT_BLOCKS)?,
        })
    }
}

/// Refuses what is too long for any file, then what is another kind of file.
fn begin(reader: &mut Reader<'_>, what: &'static str, magic: [u8; 8]) -> Result<(), DecodeError> {
    if reader.remaining() > limit::BUNDLE_BYTES {
        return Err(DecodeError::TooLong {
            what,
            found: reader.remaining(),
            expected: limit::BUNDLE_BYTES,
        });
    }
    if <[u8; 8]>::decode(reader)? == magic {
        Ok(())
    } else {
        Err(DecodeError::Invalid { what: "magic" })
    }
}
