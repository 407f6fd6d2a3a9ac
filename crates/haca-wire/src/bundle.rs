//! The bundle: one file with which a settled inference is verified without network, from the genesis hash alone.
//!
//! It holds what `spec/verify.md` needs and nothing that no step checks, so that no byte of it can be changed
//! unnoticed: validators without address and priority, a Merkle branch without index, of a proof's other receipts
//! their digests only.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_bytes, put_list};
use crate::evidence::{Evidence, Item};
use crate::id::{Height, ReceiptHash};
use crate::merkle::{Branch, Hash};
use crate::receipt::Settlement;
use crate::voucher::Voucher;
use crate::{codec_struct, limit};

/// The first bytes of a bundle whose settlement record is about its receipt: what it is, and version 1 of the form.
pub const MAGIC: [u8; 8] = *b"HACABND1";
/// The first bytes of a bundle whose settlement record is about a voucher that covers its receipt: version 2 of the form.
pub const COVERED_MAGIC: [u8; 8] = *b"HACABND2";

/// One member of a validator set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validator {
    /// Ed25519 public key.
    pub public_key: [u8; 32],
    /// Voting power, positive.
    pub power: u64,
}
codec_struct!(Validator { public_key, power });

/// A header with its commit and the validator sets they refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LightBlock {
    /// `tendermint.types.SignedHeader` in protobuf, fields in order, defaults left out.
    pub signed_header: Vec<u8>,
    /// The validators of this height, in CometBFT's order: power descending, then address.
    pub validators: Vec<Validator>,
    /// The validators of the next height where they differ.
    pub next_validators: Option<Vec<Validator>>,
}

impl Encode for LightBlock {
    fn encode_into(&self, out: &mut Vec<u8>) {
        put_bytes(out, &self.signed_header);
        put_list(out, &self.validators);
        self.next_validators.is_some().encode_into(out);
        if let Some(next) = &self.next_validators {
            put_list(out, next);
        }
    }
}

impl Decode for LightBlock {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let signed_header = reader.bytes("signed header", limit::SIGNED_HEADER_BYTES)?;
        let validators = reader.list("validators", limit::VALIDATORS)?;
        let next_validators = if bool::decode(reader)? {
            let next = reader.list("next validators", limit::VALIDATORS)?;
            if next == validators {
                return Err(DecodeError::Invalid {
                    what: "repeated validator set",
                });
            }
            Some(next)
        } else {
            None
        };
        Ok(Self {
            signed_header,
            validators,
            next_validators,
        })
    }
}

impl LightBlock {
    /// The validators of the next height.
    pub fn next_validators(&self) -> &[Validator] {
        self.next_validators.as_deref().unwrap_or(&self.validators)
    }
}

/// How a receipt was settled that has no settlement record of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covering {
    /// The voucher that the settlement record names.
    pub voucher: Voucher,
    /// The way from the receipt's leaf to the voucher's root, the leaf's own sibling first.
    pub path: Vec<Hash>,
}

impl Encode for Covering {
    fn encode_into(&self, out: &mut Vec<u8>) {
        self.voucher.encode_into(out);
        put_list(out, &self.path);
    }
}

impl Decode for Covering {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            voucher: Decode::decode(reader)?,
            path: reader.list("path under a voucher", limit::MERKLE_PATH)?,
        })
    }
}

/// Everything about one settled inference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The exact bytes of the genesis document.
    pub genesis: Vec<u8>,
    /// Light blocks by ascending height: the first block or a checkpoint, then whatever the light client steps
    /// over, last the one whose application hash the state proofs lead to: the block after the one that settled, or
    /// any later one.
    pub light_blocks: Vec<LightBlock>,
    /// The block that settled the receipt.
    pub height: Height,
    /// The leaf in the receipt tree of that block: of the receipt, or of the voucher that covers it.
    pub settlement: Settlement,
    /// The way from that leaf to the root of the receipt tree.
    pub branch: Branch,
    /// The voucher, where it and not the receipt was settled. Never beside `Zk` evidence.
    pub covering: Option<Covering>,
    /// ICS-23 `CommitmentProof` in protobuf of the receipt root, against the last light block's application hash.
    pub receipts_proof: Vec<u8>,
    /// ICS-23 `CommitmentProof` of the model's record, against the same hash. Only beside `Zk` evidence.
    pub model_proof: Option<Vec<u8>>,
    /// The order and the receipt.
    pub item: Item,
    /// Digests of all receipts that the evidence covers, in its order.
    pub group: Vec<ReceiptHash>,
    /// Where this receipt stands among them.
    pub index: u32,
    /// The evidence of the whole group.
    pub evidence: Evidence,
    /// The request bytes as they crossed the wire.
    pub request: Vec<u8>,
    /// The response bytes as they crossed the wire.
    pub response: Vec<u8>,
}

impl Encode for Bundle {
    fn encode_into(&self, out: &mut Vec<u8>) {
        let magic = if self.covering.is_some() {
            COVERED_MAGIC
        } else {
            MAGIC
        };
        magic.encode_into(out);
        put_bytes(out, &self.genesis);
        put_list(out, &self.light_blocks);
        self.height.encode_into(out);
        self.settlement.encode_into(out);
        self.branch.encode_into(out);
        if let Some(covering) = &self.covering {
            covering.encode_into(out);
        }
        put_bytes(out, &self.receipts_proof);
        self.model_proof.is_some().encode_into(out);
        if let Some(proof) = &self.model_proof {
            put_bytes(out, proof);
        }
        self.item.encode_into(out);
        put_list(out, &self.group);
        self.index.encode_into(out);
        self.evidence.encode_into(out);
        put_bytes(out, &self.request);
        put_bytes(out, &self.response);
    }
}

impl Decode for Bundle {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if reader.remaining() > limit::BUNDLE_BYTES {
            return Err(DecodeError::TooLong {
                what: "bundle",
                found: reader.remaining(),
                expected: limit::BUNDLE_BYTES,
            });
        }
        let is_covered = match <[u8; 8]>::decode(reader)? {
            MAGIC => false,
            COVERED_MAGIC => true,
            _ => {
                return Err(DecodeError::Invalid {
                    what: "magic of a bundle",
                });
            }
        };
        let bundle = Self {
            genesis: reader.bytes("genesis", limit::GENESIS_BYTES)?,
            light_blocks: reader.list("light blocks", limit::LIGHT_BLOCKS)?,
            height: Decode::decode(reader)?,
            settlement: Decode::decode(reader)?,
            branch: Decode::decode(reader)?,
            covering: if is_covered {
                Some(Decode::decode(reader)?)
            } else {
                None
            },
            receipts_proof: reader.bytes("receipts proof", limit::STATE_PROOF_BYTES)?,
            model_proof: if bool::decode(reader)? {
                Some(reader.bytes("model proof", limit::STATE_PROOF_BYTES)?)
            } else {
                None
            },
            item: Decode::decode(reader)?,
            group: reader.list("group", limit::ITEMS)?,
            index: Decode::decode(reader)?,
            evidence: Decode::decode(reader)?,
            request: reader.bytes("request", limit::BODY_BYTES)?,
            response: reader.bytes("response", limit::BODY_BYTES)?,
        };
        if bundle.covering.is_some() && matches!(bundle.evidence, Evidence::Zk { .. }) {
            return Err(DecodeError::Invalid {
                what: "voucher beside a proof of inference",
            });
        }
        // No step reads a proof of the model beside signatures, so its bytes could be anything.
        if bundle.model_proof.is_some() && !matches!(bundle.evidence, Evidence::Zk { .. }) {
            return Err(DecodeError::Invalid {
                what: "model proof without a proof of inference",
            });
        }
        Ok(bundle)
    }
}
