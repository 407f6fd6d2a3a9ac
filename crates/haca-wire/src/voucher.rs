//! Covering vouchers: one signature of the payer and one of the node settle a whole range of sequences
//! (`spec/wire.md`, step W9).
//!
//! Node and payer exchange orders and receipts as always. When both are content with a range of them, the payer signs
//! a [`Voucher`] over the range's [`receipt_root`] and the sum of its fees, and the node a [`ReceiptRoot`]. A single
//! receipt of the range stays provable by its path to the root.

use crate::codec_struct;
use crate::eip712::{Domain, StructHasher, TypeHash, TypedData};
use crate::id::{
    Address, Amount, BlockHash, ChannelId, Height, ModelId, OrderHash, ReceiptHash, Sequence, Tick,
};
use crate::merkle::{Hash, InclusionPath, PathError};
use crate::order::{EvidenceKind, Signed};
use crate::{limit, merkle};

/// What a payer signs to have a range of sequences settled at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voucher {
    /// The channel that pays.
    pub channel: ChannelId,
    /// The first sequence of the range.
    pub first: Sequence,
    /// Sequences of the range, 2 to [`limit::RANGE`]. All of them are used by the settlement.
    pub count: u32,
    /// [`receipt_root`] of the range.
    pub root: Hash,
    /// The model of all receipts.
    pub model: ModelId,
    /// `Signed` or `Optimistic`.
    pub evidence: EvidenceKind,
    /// The fee of the whole range.
    pub total: Amount,
    /// For `Optimistic`: what the payer receives, with the total, when the node can't prove a receipt of the range.
    pub warranty: Amount,
    /// Last settlement tick at which the voucher settles.
    pub settle_by: Tick,
}
codec_struct!(Voucher {
    channel,
    first,
    count,
    root,
    model,
    evidence,
    total,
    warranty,
    settle_by
});

impl Voucher {
    /// EIP-712 type string.
    pub const TYPE: &'static str = "Voucher(bytes32 channel,uint64 first,uint32 count,bytes32 root,bytes32 model,\
        uint8 evidence,uint128 total,uint128 warranty,uint64 settleBy)";

    /// The EIP-712 digest, which stands as order in the record of the settlement.
    pub fn hash(&self, domain: &Domain) -> OrderHash {
        OrderHash(self.digest(domain))
    }
}

impl TypedData for Voucher {
    fn struct_hash(&self) -> [u8; 32] {
        static TYPE: TypeHash = TypeHash::new(Voucher::TYPE);
        StructHasher::new(TYPE.get())
            .bytes32(&self.channel.0)
            .uint(self.first.0.into())
            .uint(self.count.into())
            .bytes32(&self.root)
            .bytes32(&self.model.0)
            .uint((self.evidence as u8).into())
            .uint(self.total.0)
            .uint(self.warranty.0)
            .uint(self.settle_by.0.into())
            .finish()
    }
}

/// What a node signs: which receipts it gave for a range of sequences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptRoot {
    /// The channel.
    pub channel: ChannelId,
    /// The first sequence of the range.
    pub first: Sequence,
    /// Sequences of the range.
    pub count: u32,
    /// [`receipt_root`] of the range.
    pub root: Hash,
    /// A recent height the node had seen.
    pub block_height: Height,
    /// The header hash at that height.
    pub block_hash: BlockHash,
    /// The account whose key signs.
    pub signer: Address,
}
codec_struct!(ReceiptRoot {
    channel,
    first,
    count,
    root,
    block_height,
    block_hash,
    signer
});

impl ReceiptRoot {
    /// EIP-712 type string.
    pub const TYPE: &'static str = "ReceiptRoot(bytes32 channel,uint64 first,uint32 count,bytes32 root,\
        uint64 blockHeight,bytes32 blockHash,address signer)";
}

impl TypedData for ReceiptRoot {
    fn struct_hash(&self) -> [u8; 32] {
        static TYPE: TypeHash = TypeHash::new(ReceiptRoot::TYPE);
        StructHasher::new(TYPE.get())
            .bytes32(&self.channel.0)
            .uint(self.first.0.into())
            .uint(self.count.into())
            .bytes32(&self.root)
            .uint(self.block_height.0.into())
            .bytes32(&self.block_hash.0)
            .address(&self.signer)
            .finish()
    }
}

/// A voucher with the node's root: what settles a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Signed by the payer.
    pub voucher: Signed<Voucher>,
    /// Signed by the node's receipt key.
    pub root: Signed<ReceiptRoot>,
}
codec_struct!(Coverage { voucher, root });

/// The leaf of one sequence: its receipt's digest, or no bytes where the range has a gap.
pub fn leaf(receipt: Option<&ReceiptHash>) -> &[u8] {
    receipt.map_or(&[], |receipt| &receipt.0)
}

/// The RFC 6962 root over the receipts of a range, by sequence.
pub fn receipt_root(receipts: &[Option<ReceiptHash>]) -> Hash {
    let leaves: Vec<&[u8]> = receipts.iter().map(|receipt| leaf(receipt.as_ref())).collect();
    merkle::root(&leaves)
}

/// The path from one receipt of a range to its root; `None` when the range is shorter.
pub fn receipt_path(receipts: &[Option<ReceiptHash>], index: usize) -> Option<Vec<Hash>> {
    let leaves: Vec<&[u8]> = receipts.iter().map(|receipt| leaf(receipt.as_ref())).collect();
    InclusionPath::new(&leaves, index).map(|path| path.siblings)
}

/// Succeeds when the leaf of `sequence` in the range of `count` sequences from `first` is `receipt`.
pub fn check_leaf(
    (first, count): (Sequence, u32),
    root: &Hash,
    sequence: Sequence,
    receipt: Option<&ReceiptHash>,
    path: &[Hash],
) -> Result<(), PathError> {
    let leaves = u64::from(count);
    let index = sequence.0.checked_sub(first.0).ok_or(PathError::Index {
        found: sequence.0,
        expected: leaves,
    })?;
    let path = InclusionPath {
        index,
        leaves,
        siblings: path.iter().take(limit::MERKLE_PATH).copied().collect(),
    };
    path.verify(leaf(receipt), root)
}
