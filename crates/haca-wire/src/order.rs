//! Quotes, orders and channel closings: what node and payer sign before and after an inference (`spec/wire.md`,
//! step W6).

use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::codec_struct;
use crate::eip712::{Domain, SecretKey, Signature, SignatureError, StructHasher, TypeHash, TypedData};
use crate::id::{
    Address, Amount, AssetId, ChannelId, Height, ModelId, Nonce, OrderHash, RequestHash, Sequence,
    TensorRoot, Tick,
};

/// How an inference is to be evidenced. The discriminant is the tag on the wire and in EIP-712.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EvidenceKind {
    /// The two signatures only: says who said it.
    Signed = 1,
    /// A proof that the model produced the output.
    Zk = 2,
    /// A signature by an attested key.
    Tee = 3,
    /// Nothing at first; a proof on demand.
    Optimistic = 4,
}

impl EvidenceKind {
    /// The name in JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::Zk => "zk",
            Self::Tee => "tee",
            Self::Optimistic => "optimistic",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Signed, Self::Zk, Self::Tee, Self::Optimistic]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

impl Encode for EvidenceKind {
    fn encode_into(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }
}

impl Decode for EvidenceKind {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(reader)? {
            1 => Ok(Self::Signed),
            2 => Ok(Self::Zk),
            3 => Ok(Self::Tee),
            4 => Ok(Self::Optimistic),
            found => Err(DecodeError::BadTag {
                what: "evidence kind",
                found: u64::from(found),
            }),
        }
    }
}

/// A value with the signature of one account over its EIP-712 digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<T> {
    /// What was signed.
    pub value: T,
    /// The signature.
    pub signature: Signature,
}

impl<T: TypedData> Signed<T> {
    /// Signs `value` in `domain`. `None` only if the signing library refuses.
    pub fn new(value: T, domain: &Domain, key: &SecretKey) -> Option<Self> {
        let signature = key.sign(&value.digest(domain))?;
        Some(Self { value, signature })
    }

    /// The account that signed.
    pub fn signer(&self, domain: &Domain) -> Result<Address, SignatureError> {
        self.signature.recover(&self.value.digest(domain))
    }

    /// Succeeds when `expected` signed the value in `domain`.
    pub fn check(&self, domain: &Domain, expected: Address) -> Result<(), SignatureError> {
        self.signature.check(&self.value.digest(domain), expected)
    }
}

impl<T: Encode> Encode for Signed<T> {
    fn encode_into(&self, out: &mut Vec<u8>) {
        self.value.encode_into(out);
        self.signature.encode_into(out);
    }
}

impl<T: Decode> Decode for Signed<T> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            value: T::decode(reader)?,
            signature: Signature::decode(reader)?,
        })
    }
}

/// A node's offer to open one channel with one payer, signed by the node's account. It can be used once, up to
/// its expiry height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The inference node's account.
    pub node: Address,
    /// Who may open the channel.
    pub payer: Address,
    /// The asset of fees, deposit and warranty.
    pub asset: AssetId,
    /// What the payer escrows.
    pub deposit: Amount,
    /// What the node sets aside of its bond for this channel's warranties.
    pub warranty: Amount,
    /// The version of the node's offers that the quote rests on.
    pub offer_version: u32,
    /// Last height at which the quote opens a channel.
    pub expires: Height,
    /// Makes the quote, and so the channel, unique.
    pub nonce: Nonce,
}
codec_struct!(Quote {
    node,
    payer,
    asset,
    deposit,
    warranty,
    offer_version,
    expires,
    nonce
});

impl Quote {
    /// EIP-712 type string.
    pub const TYPE: &'static str = "Quote(address node,address payer,uint32 asset,uint128 deposit,\
        uint128 warranty,uint32 offerVersion,uint64 expires,bytes32 nonce)";

    /// The identity of the channel that this quote opens: its EIP-712 digest.
    pub fn channel(&self, domain: &Domain) -> ChannelId {
        ChannelId(self.digest(domain))
    }
}

impl TypedData for Quote {
    fn struct_hash(&self) -> [u8; 32] {
        static TYPE: TypeHash = TypeHash::new(Quote::TYPE);
        StructHasher::new(TYPE.get())
            .address(&self.node)
            .address(&self.payer)
            .uint(self.asset.0.into())
            .uint(self.deposit.0)
            .uint(self.warranty.0)
            .uint(self.offer_version.into())
            .uint(self.expires.0.into())
            .bytes32(&self.nonce.0)
            .finish()
    }
}

/// One request, signed by the payer. Nothing is settled without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The channel that pays.
    pub channel: ChannelId,
    /// Position in the channel; each is used once.
    pub sequence: Sequence,
    /// BLAKE3 of the request bytes.
    pub request: RequestHash,
    /// Root of the input tensors that the render makes of the request. A receipt for other tensors settles nothing.
    pub input_root: TensorRoot,
    /// The model to run.
    pub model: ModelId,
    /// The evidence to settle with; no other kind settles this order.
    pub evidence: EvidenceKind,
    /// The version of the node's offers that the payer saw.
    pub offer_version: u32,
    /// The most that the receipt may charge.
    pub max_fee: Amount,
    /// What the payer may claim if the receipt is not settled in time.
    pub warranty: Amount,
    /// Last settlement tick at which the receipt settles.
    pub settle_by: Tick,
}
codec_struct!(Order {
    channel,
    sequence,
    request,
    input_root,
    model,
    evidence,
    offer_version,
    max_fee,
    warranty,
    settle_by
});

impl Order {
    /// EIP-712 type string.
    pub const TYPE: &'static str = "Order(bytes32 channel,uint64 sequence,bytes32 request,bytes32 inputRoot,\
        bytes32 model,uint8 evidence,uint32 offerVersion,uint128 maxFee,uint128 warranty,uint64 settleBy)";

    /// The EIP-712 digest that receipts refer to.
    pub fn hash(&self, domain: &Domain) -> OrderHash {
        OrderHash(self.digest(domain))
    }
}

impl TypedData for Order {
    fn struct_hash(&self) -> [u8; 32] {
        static TYPE: TypeHash = TypeHash::new(Order::TYPE);
        StructHasher::new(TYPE.get())
            .bytes32(&self.channel.0)
            .uint(self.sequence.0.into())
            .bytes32(&self.request.0)
            .bytes32(&self.input_root.0)
            .bytes32(&self.model.0)
            .uint((self.evidence as u8).into())
            .uint(self.offer_version.into())
            .uint(self.max_fee.0)
            .uint(self.warranty.0)
            .uint(self.settle_by.0.into())
            .finish()
    }
}

/// Consent to close a channel at once, signed by the side that does not send the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// The channel.
    pub channel: ChannelId,
    /// Last height at which the consent holds.
    pub expires: Height,
}
codec_struct!(Close { channel, expires });

impl Close {
    /// EIP-712 type string.
    pub const TYPE: &'static str = "Close(bytes32 channel,uint64 expires)";
}

impl TypedData for Close {
    fn struct_hash(&self) -> [u8; 32] {
        static TYPE: TypeHash = TypeHash::new(Close::TYPE);
        StructHasher::new(TYPE.get())
            .bytes32(&self.channel.0)
            .uint(self.expires.0.into())
            .finish()
    }
}
