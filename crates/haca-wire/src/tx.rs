//! Transactions: what accounts sign to change the ledger (`spec/wire.md`, steps W3.4 and W6).

mod codec;

use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};

use crate::codec::{Decode, DecodeError, Encode, Reader, format_version, put_list};
use crate::eip712::{Domain, SecretKey, Signature, StructHasher, TypeHash, TypedData, keccak256};
use crate::evidence::{Answer, Group, Inference};
use crate::governance::{ParamChange, Proposal};
use crate::id::{
    Address, Amount, AssetId, ChannelId, ConsensusKey, Height, ModelId, Nonce, ProposalId, ReceiptHash,
    Sequence, TxHash,
};
use crate::merkle::Hash;
use crate::order::{Close, EvidenceKind, Order, Quote, Signed};
use crate::receipt::Receipt;
use crate::voucher::{Coverage, ReceiptRoot};
use crate::{codec_struct, limit};

/// Who sends a transaction, until when it holds, and what its verification may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxMeta {
    /// The account that acts and signs.
    pub sender: Address,
    /// Last height at which the transaction may be included.
    pub expiry: Height,
    /// Makes the transaction unique for the sender until the expiry height.
    pub nonce: Nonce,
    /// The most OPG the payer of gas burns per unit of gas.
    pub max_base_fee: Amount,
    /// OPG to the proposer, whole.
    pub tip: Amount,
    /// The account that pays gas and tip; zero for the sender.
    pub sponsor: Address,
}
codec_struct!(TxMeta {
    sender,
    expiry,
    nonce,
    max_base_fee,
    tip,
    sponsor
});

impl TxMeta {
    /// EIP-712 type string.
    pub const TYPE: &'static str = "TxMeta(address sender,uint64 expiry,bytes32 nonce,uint128 maxBaseFee,\
        uint128 tip,address sponsor)";

    /// The account that pays for verification.
    pub fn gas_payer(&self) -> Address {
        if self.sponsor.is_zero() {
            self.sender
        } else {
            self.sponsor
        }
    }
}

impl TypedData for TxMeta {
    fn struct_hash(&self) -> [u8; 32] {
        static TYPE: TypeHash = TypeHash::new(TxMeta::TYPE);
        StructHasher::new(TYPE.get())
            .address(&self.sender)
            .uint(self.expiry.0.into())
            .bytes32(&self.nonce.0)
            .uint(self.max_base_fee.0)
            .uint(self.tip.0)
            .address(&self.sponsor)
            .finish()
    }
}

/// One thing a node offers: a model, with one kind of evidence, at a price in one asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The model.
    pub model: ModelId,
    /// The evidence.
    pub evidence: EvidenceKind,
    /// The asset of the price.
    pub asset: AssetId,
    /// Price of one inference.
    pub base_price: Amount,
    /// Price of a million units on top, rounded up.
    pub unit_price: Amount,
}
codec_struct!(Offer {
    model,
    evidence,
    asset,
    base_price,
    unit_price
});

impl Offer {
    /// EIP-712 type string.
    pub const TYPE: &'static str =
        "Offer(bytes32 model,uint8 evidence,uint32 asset,uint128 basePrice,uint128 unitPrice)";

    /// The fee for `units`, or `None` on overflow.
    pub fn fee(&self, units: u64) -> Option<Amount> {
        let scaled = self
            .unit_price
            .0
            .checked_mul(u128::from(units))?
            .div_ceil(1_000_000);
        self.base_price.0.checked_add(scaled).map(Amount)
    }
}

impl TypedData for Offer {
    fn struct_hash(&self) -> [u8; 32] {
        static TYPE: TypeHash = TypeHash::new(Offer::TYPE);
        StructHasher::new(TYPE.get())
            .bytes32(&self.model.0)
            .uint((self.evidence as u8).into())
            .uint(self.asset.0.into())
            .uint(self.base_price.0)
            .uint(self.unit_price.0)
            .finish()
    }
}

/// The EIP-712 type of one kind of message, and of the transactions that carry it. The hashes are the same for every
/// value, and are made once.
#[derive(Debug)]
struct MessageType {
    main: &'static str,
    referenced: &'static [&'static str],
    hash: OnceLock<[u8; 32]>,
    transaction_hash: OnceLock<[u8; 32]>,
}

impl MessageType {
    const fn new(main: &'static str, referenced: &'static [&'static str]) -> Self {
        Self {
            main,
            referenced,
            hash: OnceLock::new(),
            transaction_hash: OnceLock::new(),
        }
    }

    fn hash(&self) -> &[u8; 32] {
        self.hash.get_or_init(|| {
            let types = [&[self.main], self.referenced].concat();
            keccak256(types.concat().as_bytes())
        })
    }

    /// The type string of the transactions.
    fn transaction(&self) -> String {
        let mut types: Vec<&str> = self.referenced.to_vec();
        types.extend([self.main, TxMeta::TYPE]);
        types.sort_unstable();
        let (name, _) = self.main.split_once('(').unwrap_or_default();
        format!("Transaction(TxMeta meta,{name} message){}", types.concat())
    }

    fn transaction_hash(&self) -> &[u8; 32] {
        self.transaction_hash
            .get_or_init(|| keccak256(self.transaction().as_bytes()))
    }
}

/// What a transaction does. Tags of the encoding are those of `spec/wire.md`, W6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Moves an asset.
    Transfer {
        /// Receiver.
        to: Address,
        /// Asset.
        asset: AssetId,
        /// Amount.
        amount: Amount,
    },
    /// Registers a model under the id its verifying key hashes to.
    RegisterModel {
        /// Encoded verifying key.
        verifying_key: Vec<u8>,
        /// Proof that the committed weights and biases lie in their declared ranges.
        proof: Vec<u8>,
    },
    /// Registers the sender as inference node with the fixed stake, or replaces its terms (the stake stays, the
    /// offer version grows by one).
    RegisterNode {
        /// Base URL of the node's HTTP API.
        endpoint: String,
        /// Receives the fees.
        payout: Address,
        /// Signs the receipts.
        signer: Address,
        /// What the node offers.
        offers: Vec<Offer>,
    },
    /// Adds to the sender's bond in one asset.
    Bond {
        /// Asset.
        asset: AssetId,
        /// Amount.
        amount: Amount,
    },
    /// Takes from the unreserved part of the sender's bond; it is paid out after the unbonding time.
    Unbond {
        /// Asset.
        asset: AssetId,
        /// Amount.
        amount: Amount,
    },
    /// Opens the channel that a node quoted to the sender.
    OpenChannel {
        /// The quote, signed by the node's account.
        quote: Signed<Quote>,
    },
    /// Adds to a channel's deposit.
    TopUp {
        /// Channel.
        channel: ChannelId,
        /// Amount.
        amount: Amount,
    },
    /// Closes a channel: at once with the other side's consent, else after the settlement and claim windows.
    CloseChannel {
        /// Channel.
        channel: ChannelId,
        /// Consent of the side that is not the sender.
        consent: Option<Signed<Close>>,
    },
    /// Verifies, pays and burns, all or nothing.
    SettleBatch {
        /// Groups of receipts, at least one.
        groups: Vec<Group>,
    },
    /// Claims the warranty of an order whose receipt was not settled in time.
    ClaimMissed {
        /// The order, signed by the sender.
        order: Signed<Order>,
        /// Its receipt, signed by the node.
        receipt: Signed<Receipt>,
    },
    /// Reports two different final receipts for one sequence.
    ClaimEquivocation {
        /// The order that one of them answers; its warranty is what the payer is owed.
        order: Signed<Order>,
        /// One receipt.
        first: Signed<Receipt>,
        /// Another receipt for the same channel and sequence.
        second: Signed<Receipt>,
    },
    /// Adds to the stake behind a consensus key of the sender's.
    Stake {
        /// The key that signs blocks.
        key: ConsensusKey,
        /// Signature of the key over [`possession_message`].
        possession: [u8; 64],
        /// Amount of OPG.
        amount: Amount,
    },
    /// Takes from the stake behind a key; it can be slashed until it is paid out.
    Unstake {
        /// The key.
        key: ConsensusKey,
        /// Amount of OPG.
        amount: Amount,
    },
    /// Frees a validator that missed too many votes and has sat its time.
    Unjail {
        /// The validator's key.
        key: ConsensusKey,
    },
    /// Proposes what validators vote on; the proposer approves.
    Propose {
        /// The proposer's consensus key.
        key: ConsensusKey,
        /// What for.
        proposal: Proposal,
    },
    /// Votes on an open proposal, or takes a vote back.
    Vote {
        /// The voter's consensus key.
        key: ConsensusKey,
        /// The proposal.
        proposal: ProposalId,
        /// Whether the validator approves.
        approve: bool,
    },
    /// Demands the proof of a receipt that was settled as `Optimistic`.
    Demand {
        /// Channel.
        channel: ChannelId,
        /// First sequence of what was settled: the receipt's own, or its voucher's.
        first: Sequence,
        /// The receipt's sequence.
        sequence: Sequence,
        /// The receipt.
        receipt: ReceiptHash,
        /// From the receipt to the voucher's root; empty without a voucher.
        path: Vec<Hash>,
    },
    /// Answers demands with one proof.
    Respond {
        /// Receipts of one model, at least one.
        answers: Vec<Answer>,
        /// Public tensors, one entry per receipt.
        inferences: Vec<Inference>,
        /// The proof, in the encoding of `spec/zk.md`.
        proof: Vec<u8>,
    },
    /// Settles whole ranges of sequences, all or nothing.
    SettleVouchers {
        /// Vouchers with their roots, at least one.
        coverages: Vec<Coverage>,
    },
    /// Reports that a node's root holds another receipt for a sequence than the node gave.
    ClaimFalseLeaf {
        /// The order of the sequence; its warranty is what the payer is owed.
        order: Signed<Order>,
        /// The receipt that the node gave for it.
        receipt: Signed<Receipt>,
        /// The root over a range with the sequence.
        root: Signed<ReceiptRoot>,
        /// The receipt under the root; none for a gap.
        leaf: Option<ReceiptHash>,
        /// From it to the root.
        path: Vec<Hash>,
    },
}

/// What a consensus key signs to show that the account's owner holds it: purpose, network, account.
pub fn possession_message(domain: &Domain, account: Address) -> Vec<u8> {
    [
        &b"haca v1 validator possession"[..],
        &domain.separator(),
        &account.0,
    ]
    .concat()
}

impl Message {
    /// The name in JSON and logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Transfer { .. } => "Transfer",
            Self::RegisterModel { .. } => "RegisterModel",
            Self::RegisterNode { .. } => "RegisterNode",
            Self::Bond { .. } => "Bond",
            Self::Unbond { .. } => "Unbond",
            Self::OpenChannel { .. } => "OpenChannel",
            Self::TopUp { .. } => "TopUp",
            Self::CloseChannel { .. } => "CloseChannel",
            Self::SettleBatch { .. } => "SettleBatch",
            Self::ClaimMissed { .. } => "ClaimMissed",
            Self::ClaimEquivocation { .. } => "ClaimEquivocation",
            Self::Stake { .. } => "Stake",
            Self::Unstake { .. } => "Unstake",
            Self::Unjail { .. } => "Unjail",
            Self::Propose { .. } => "Propose",
            Self::Vote { .. } => "Vote",
            Self::Demand { .. } => "Demand",
            Self::Respond { .. } => "Respond",
            Self::SettleVouchers { .. } => "SettleVouchers",
            Self::ClaimFalseLeaf { .. } => "ClaimFalseLeaf",
        }
    }

    /// The members of the EIP-712 type of this message, and the types they refer to (each after the one before
    /// in alphabetical order, as EIP-712 asks; `TxMeta` is added by [`Transaction`]).
    fn message_type(&self) -> &'static MessageType {
        macro_rules! message_type {
            ($main:literal) => {
                message_type!($main, &[])
            };
            ($main:literal, $referenced:expr) => {{
                static TYPE: MessageType = MessageType::new($main, $referenced);
                &TYPE
            }};
        }
        match self {
            Self::Transfer { .. } => message_type!("Transfer(address to,uint32 asset,uint128 amount)"),
            Self::RegisterModel { .. } => message_type!("RegisterModel(bytes32 verifyingKey,bytes32 proof)"),
            Self::RegisterNode { .. } => message_type!(
                "RegisterNode(string endpoint,address payout,address signer,Offer[] offers)",
                &[Offer::TYPE]
            ),
            Self::Bond { .. } => message_type!("Bond(uint32 asset,uint128 amount)"),
            Self::Unbond { .. } => message_type!("Unbond(uint32 asset,uint128 amount)"),
            Self::OpenChannel { .. } => {
                message_type!("OpenChannel(Quote quote,bytes signature)", &[Quote::TYPE])
            }
            Self::TopUp { .. } => message_type!("TopUp(bytes32 channel,uint128 amount)"),
            Self::CloseChannel { .. } => message_type!("CloseChannel(bytes32 channel,bytes32 consent)"),
            Self::SettleBatch { .. } => message_type!("SettleBatch(bytes32 groups)"),
            Self::ClaimMissed { .. } => message_type!("ClaimMissed(bytes32 order,bytes32 receipt)"),
            Self::ClaimEquivocation { .. } => {
                message_type!("ClaimEquivocation(bytes32 order,bytes32 first,bytes32 second)")
            }
            Self::Stake { .. } => message_type!("Stake(bytes32 key,bytes possession,uint128 amount)"),
            Self::Unstake { .. } => message_type!("Unstake(bytes32 key,uint128 amount)"),
            Self::Unjail { .. } => message_type!("Unjail(bytes32 key)"),
            Self::Propose { .. } => message_type!(
                "Propose(bytes32 key,string kind,ParamChange[] parameters,uint64 version,uint64 height,uint64 cancels)",
                &[ParamChange::TYPE]
            ),
            Self::Vote { .. } => message_type!("Vote(bytes32 key,uint64 proposal,bool approve)"),
            Self::Demand { .. } => message_type!(
                "Demand(bytes32 channel,uint64 first,uint64 sequence,bytes32 receipt,bytes32[] path)"
            ),
            Self::Respond { .. } => {
                message_type!("Respond(bytes32 answers,bytes32 inferences,bytes32 proof)")
            }
            Self::SettleVouchers { .. } => message_type!("SettleVouchers(bytes32 coverages)"),
            Self::ClaimFalseLeaf { .. } => message_type!(
                "ClaimFalseLeaf(bytes32 order,bytes32 receipt,bytes32 root,bytes32 leaf,bytes32[] path)"
            ),
        }
    }

    /// `hashStruct` of the message. Content without an EIP-712 type stands in it by the BLAKE3 of its encoding.
    fn struct_hash(&self) -> [u8; 32] {
        let hasher = StructHasher::new(self.message_type().hash());
        match self {
            Self::Transfer { to, asset, amount } => hasher.address(to).uint(asset.0.into()).uint(amount.0),
            Self::RegisterModel { verifying_key, proof } => hasher
                .bytes32(&content_hash(verifying_key))
                .bytes32(&content_hash(proof)),
            Self::RegisterNode {
                endpoint,
                payout,
                signer,
                offers,
            } => {
                let offers: Vec<_> = offers.iter().map(TypedData::struct_hash).collect();
                hasher
                    .string(endpoint)
                    .address(payout)
                    .address(signer)
                    .array(&offers)
            }
            Self::Bond { asset, amount } | Self::Unbond { asset, amount } => {
                hasher.uint(asset.0.into()).uint(amount.0)
            }
            Self::OpenChannel { quote } => hasher
                .bytes32(&quote.value.struct_hash())
                .bytes32(&keccak256(quote.signature.as_bytes())),
            Self::TopUp { channel, amount } => hasher.bytes32(&channel.0).uint(amount.0),
            Self::CloseChannel { channel, consent } => hasher
                .bytes32(&channel.0)
                .bytes32(&content_hash(&consent.encode())),
            Self::SettleBatch { groups } => hasher.bytes32(&list_hash(groups)),
            Self::ClaimMissed { order, receipt } => hasher
                .bytes32(&content_hash(&order.encode()))
                .bytes32(&content_hash(&receipt.encode())),
            Self::ClaimEquivocation { order, first, second } => hasher
                .bytes32(&content_hash(&order.encode()))
                .bytes32(&content_hash(&first.encode()))
                .bytes32(&content_hash(&second.encode())),
            Self::Stake {
                key,
                possession,
                amount,
            } => hasher
                .bytes32(&key.0)
                .bytes32(&keccak256(possession))
                .uint(amount.0),
            Self::Unstake { key, amount } => hasher.bytes32(&key.0).uint(amount.0),
            Self::Unjail { key } => hasher.bytes32(&key.0),
            Self::Propose { key, proposal } => {
                let changes: Vec<_> = proposal.changes().iter().map(TypedData::struct_hash).collect();
                let (version, height, cancels) = proposal.numbers();
                hasher
                    .bytes32(&key.0)
                    .string(proposal.kind())
                    .array(&changes)
                    .uint(version.into())
                    .uint(height.0.into())
                    .uint(cancels.0.into())
            }
            Self::Vote {
                key,
                proposal,
                approve,
            } => hasher
                .bytes32(&key.0)
                .uint(proposal.0.into())
                .uint(u128::from(*approve)),
            Self::Demand {
                channel,
                first,
                sequence,
                receipt,
                path,
            } => hasher
                .bytes32(&channel.0)
                .uint(first.0.into())
                .uint(sequence.0.into())
                .bytes32(&receipt.0)
                .array(path),
            Self::Respond {
                answers,
                inferences,
                proof,
            } => hasher
                .bytes32(&list_hash(answers))
                .bytes32(&list_hash(inferences))
                .bytes32(&content_hash(proof)),
            Self::SettleVouchers { coverages } => hasher.bytes32(&list_hash(coverages)),
            Self::ClaimFalseLeaf {
                order,
                receipt,
                root,
                leaf,
                path,
            } => hasher
                .bytes32(&content_hash(&order.encode()))
                .bytes32(&content_hash(&receipt.encode()))
                .bytes32(&content_hash(&root.encode()))
                .bytes32(&content_hash(&leaf.encode()))
                .array(path),
        }
        .finish()
    }
}

fn content_hash(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

fn list_hash<T: Encode>(items: &[T]) -> [u8; 32] {
    let mut bytes = Vec::new();
    put_list(&mut bytes, items);
    content_hash(&bytes)
}

/// A message with its terms. The signed EIP-712 type is `Transaction(TxMeta meta,<Message> message)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Terms.
    pub meta: TxMeta,
    /// Message.
    pub message: Message,
}
codec_struct!(Transaction { meta, message });

impl Transaction {
    /// The full EIP-712 type string: the primary type, then every referenced type in alphabetical order.
    pub fn type_string(&self) -> String {
        self.message.message_type().transaction()
    }
}

impl TypedData for Transaction {
    fn struct_hash(&self) -> [u8; 32] {
        StructHasher::new(self.message.message_type().transaction_hash())
            .bytes32(&self.meta.struct_hash())
            .bytes32(&self.message.struct_hash())
            .finish()
    }
}

/// The format version that leads every encoded [`SignedTransaction`]. It stands outside the signatures: a version
/// with another meaning has to have other EIP-712 types.
pub const TX_VERSION: u8 = 1;

/// A transaction with the sender's signature and, where a sponsor is named, the sponsor's over the same digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTransaction {
    /// What is signed.
    pub transaction: Transaction,
    /// The sender's signature.
    pub signature: Signature,
    /// The sponsor's signature; present exactly when a sponsor is named.
    pub sponsor_signature: Option<Signature>,
}

impl Encode for SignedTransaction {
    fn encode_into(&self, out: &mut Vec<u8>) {
        out.push(TX_VERSION);
        self.transaction.encode_into(out);
        self.signature.encode_into(out);
        self.sponsor_signature.encode_into(out);
    }
}

impl Decode for SignedTransaction {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if reader.remaining() > limit::TX_BYTES {
            return Err(DecodeError::TooLong {
                what: "transaction",
                found: reader.remaining(),
                expected: limit::TX_BYTES,
            });
        }
        format_version(reader, "transaction", TX_VERSION)?;
        let signed = Self {
            transaction: Decode::decode(reader)?,
            signature: Decode::decode(reader)?,
            sponsor_signature: Decode::decode(reader)?,
        };
        if signed.transaction.meta.sponsor.is_zero() == signed.sponsor_signature.is_some() {
            return Err(DecodeError::Invalid {
                what: "sponsor signature",
            });
        }
        Ok(signed)
    }
}

impl SignedTransaction {
    /// Signs for the sender. `None` only if the signing library refuses.
    pub fn sign(transaction: Transaction, domain: &Domain, key: &SecretKey) -> Option<Self> {
        let signature = key.sign(&transaction.digest(domain))?;
        Some(Self {
            transaction,
            signature,
            sponsor_signature: None,
        })
    }

    /// The transaction's identity: SHA-256 of its encoding, as CometBFT computes it.
    pub fn hash(&self) -> TxHash {
        TxHash(Sha256::digest(self.encode()).into())
    }

    /// Adds the sponsor's signature.
    pub fn cosign(mut self, domain: &Domain, sponsor: &SecretKey) -> Option<Self> {
        self.sponsor_signature = Some(sponsor.sign(&self.transaction.digest(domain))?);
        Some(self)
    }
}
