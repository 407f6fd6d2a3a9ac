//! The receipt: what an inference node signs with every answer, and the record of its settlement.

use crate::eip712::{Domain, StructHasher, TypeHash, TypedData};
use crate::id::{
    Address, Amount, AssetId, BlockHash, ChannelId, Height, ModelId, OrderHash, ReceiptHash, ResponseHash,
    Sequence, TensorRoot, TxHash,
};
use crate::order::EvidenceKind;
use crate::{codec_struct, codec_struct_tuple};

/// The version of the pure function between bytes and tensors: see [`crate::render`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RenderId(pub u16);
codec_struct_tuple!(RenderId);

impl RenderId {
    /// Render v1, for `/v1/infer`.
    pub const INFER_V1: Self = Self(1);
}

/// The final receipt of one order. A node signs at most one per channel and sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The order's channel.
    pub channel: ChannelId,
    /// The order's sequence.
    pub sequence: Sequence,
    /// EIP-712 digest of the order.
    pub order: OrderHash,
    /// Root of the input tensors.
    pub input_root: TensorRoot,
    /// Root of the output tensors.
    pub output_root: TensorRoot,
    /// BLAKE3 of the response bytes.
    pub response: ResponseHash,
    /// The render between bytes and tensors.
    pub render: RenderId,
    /// BLAKE3 of the executed parameters' encoding; zero where the request has none, as in `/v1/infer`.
    pub parameters: [u8; 32],
    /// The executed seed; 0 where nothing is sampled.
    pub seed: u64,
    /// Units of work charged. For `Zk` evidence: the graph's multiply-accumulates.
    pub units: u64,
    /// The fee, in the channel's asset.
    pub fee: Amount,
    /// A recent height the node had seen.
    pub block_height: Height,
    /// The header hash at that height.
    pub block_hash: BlockHash,
    /// The account whose key signs the receipt.
    pub signer: Address,
}
codec_struct!(Receipt {
    channel,
    sequence,
    order,
    input_root,
    output_root,
    response,
    render,
    parameters,
    seed,
    units,
    fee,
    block_height,
    block_hash,
    signer
});

impl Receipt {
    /// EIP-712 type string.
    pub const TYPE: &'static str = "Receipt(bytes32 channel,uint64 sequence,bytes32 order,bytes32 inputRoot,\
        bytes32 outputRoot,bytes32 response,uint16 render,bytes32 parameters,uint64 seed,uint64 units,\
        uint128 fee,uint64 blockHeight,bytes32 blockHash,address signer)";

    /// The EIP-712 digest that proofs and settlements refer to.
    pub fn hash(&self, domain: &Domain) -> ReceiptHash {
        ReceiptHash(self.digest(domain))
    }
}

impl TypedData for Receipt {
    fn struct_hash(&self) -> [u8; 32] {
        static TYPE: TypeHash = TypeHash::new(Receipt::TYPE);
        StructHasher::new(TYPE.get())
            .bytes32(&self.channel.0)
            .uint(self.sequence.0.into())
            .bytes32(&self.order.0)
            .bytes32(&self.input_root.0)
            .bytes32(&self.output_root.0)
            .bytes32(&self.response.0)
            .uint(self.render.0.into())
            .bytes32(&self.parameters)
            .uint(self.seed.into())
            .uint(self.units.into())
            .uint(self.fee.0)
            .uint(self.block_height.0.into())
            .bytes32(&self.block_hash.0)
            .address(&self.signer)
            .finish()
    }
}

/// One settled receipt: a leaf of the receipt tree of the block that settled it (RFC 6962, leaf bytes = the
/// encoding of this record).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The channel.
    pub channel: ChannelId,
    /// The sequence that is now used.
    pub sequence: Sequence,
    /// The order.
    pub order: OrderHash,
    /// The receipt.
    pub receipt: ReceiptHash,
    /// The model.
    pub model: ModelId,
    /// The evidence that was checked.
    pub evidence: EvidenceKind,
    /// Who paid.
    pub payer: Address,
    /// The inference node.
    pub node: Address,
    /// The account that received the fee.
    pub payout: Address,
    /// The asset of the fee.
    pub asset: AssetId,
    /// The fee, whole.
    pub fee: Amount,
    /// The transaction that settled it.
    pub tx: TxHash,
}
codec_struct!(Settlement {
    channel,
    sequence,
    order,
    receipt,
    model,
    evidence,
    payer,
    node,
    payout,
    asset,
    fee,
    tx
});
