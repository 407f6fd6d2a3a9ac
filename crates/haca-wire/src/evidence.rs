//! Evidence: what backs a group of receipts when it is settled.

use crate::codec::{Decode, DecodeError, Encode, Reader, format_version, put_bytes, put_list};
use crate::eip712::Domain;
use crate::id::{ReceiptHash, Sequence};
use crate::order::{EvidenceKind, Order, Signed};
use crate::receipt::Receipt;
use crate::tensor::Tensor;
use crate::{codec_struct, limit};

/// The format version that leads every encoded [`Evidence`].
pub const EVIDENCE_VERSION: u8 = 1;

/// The public tensors of one inference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inference {
    /// Input tensors, in the order of the graph.
    pub inputs: Vec<Tensor>,
    /// Output tensors, in the order of the graph.
    pub outputs: Vec<Tensor>,
}

impl Encode for Inference {
    fn encode_into(&self, out: &mut Vec<u8>) {
        put_list(out, &self.inputs);
        put_list(out, &self.outputs);
    }
}

impl Decode for Inference {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            inputs: reader.list("input tensors", limit::TENSORS)?,
            outputs: reader.list("output tensors", limit::TENSORS)?,
        })
    }
}

/// What backs the receipts of one group. Closed and versioned: a new kind is a new tag, refused until known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Nothing beyond the signatures of payer and node.
    Signed,
    /// One proof for all receipts of the group: the i-th inference is the i-th receipt's.
    Zk {
        /// Public tensors, one entry per receipt.
        inferences: Vec<Inference>,
        /// The proof, in the encoding of `spec/zk.md`.
        proof: Vec<u8>,
    },
    /// Nothing at first: the fees wait, and the payer may demand a proof of any of the receipts meanwhile.
    Optimistic,
}

impl Evidence {
    /// The kind that an order must have asked for.
    pub const fn kind(&self) -> EvidenceKind {
        match self {
            Self::Signed => EvidenceKind::Signed,
            Self::Zk { .. } => EvidenceKind::Zk,
            Self::Optimistic => EvidenceKind::Optimistic,
        }
    }
}

impl Encode for Evidence {
    fn encode_into(&self, out: &mut Vec<u8>) {
        out.push(EVIDENCE_VERSION);
        self.kind().encode_into(out);
        match self {
            Self::Signed | Self::Optimistic => {}
            Self::Zk { inferences, proof } => {
                put_list(out, inferences);
                put_bytes(out, proof);
            }
        }
    }
}

impl Decode for Evidence {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        format_version(reader, "evidence", EVIDENCE_VERSION)?;
        match EvidenceKind::decode(reader)? {
            EvidenceKind::Signed => Ok(Self::Signed),
            EvidenceKind::Zk => Ok(Self::Zk {
                inferences: reader.list("inferences", limit::ITEMS)?,
                proof: reader.bytes("proof", limit::PROOF_BYTES)?,
            }),
            EvidenceKind::Optimistic => Ok(Self::Optimistic),
            other => Err(DecodeError::BadTag {
                what: "evidence of this version",
                found: other as u64,
            }),
        }
    }
}

/// An order and its receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Signed by the payer.
    pub order: Signed<Order>,
    /// Signed by the node's receipt key.
    pub receipt: Signed<Receipt>,
}
codec_struct!(Item { order, receipt });

/// The receipt that one open demand asks a proof of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// First sequence of what was settled: the receipt's own, or that of the voucher which covers it.
    pub first: Sequence,
    /// The receipt, whose digest the demand names.
    pub receipt: Receipt,
}
codec_struct!(Answer { first, receipt });

/// Receipts of one model that share one piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Order and receipt pairs, at least one.
    pub items: Vec<Item>,
    /// What backs them all.
    pub evidence: Evidence,
}

impl Encode for Group {
    fn encode_into(&self, out: &mut Vec<u8>) {
        put_list(out, &self.items);
        self.evidence.encode_into(out);
    }
}

impl Decode for Group {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let items = reader.list("items", limit::ITEMS)?;
        if items.is_empty() {
            return Err(DecodeError::Invalid {
                what: "group without items",
            });
        }
        Ok(Self {
            items,
            evidence: Evidence::decode(reader)?,
        })
    }
}

/// What a settlement proof absorbs first: purpose, network (chain id and genesis, by the EIP-712 domain
/// separator) and the digests of the receipts it covers, in order. A proof made for one context verifies in no
/// other (`spec/wire.md`, step W7).
pub fn proof_context(domain: &Domain, receipts: &[ReceiptHash]) -> [u8; 32] {
    let mut bytes = domain.separator().to_vec();
    put_list(&mut bytes, receipts);
    blake3::derive_key("haca v1 settlement proof context", &bytes)
}
