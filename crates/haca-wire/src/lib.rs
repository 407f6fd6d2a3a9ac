//! The contract between the execution layer and the verification layer.
//!
//! Use this crate to build, sign, encode, decode and hash what crosses between users, inference nodes and full
//! nodes. The written form is `spec/wire.md`; its vectors are in `spec/vectors/wire/`.
//!
//! # Key types
//!
//! [`order::Order`], [`receipt::Receipt`], [`evidence::Evidence`], [`tx::Transaction`], [`tensor::Tensor`],
//! [`eip712::Domain`], [`typed_document::TypedDocument`], [`codec::Encode`] and [`codec::Decode`].
//!
//! # Invariants
//!
//! No I/O, no clock, no floating point, no panic on any input. Accepted bytes re-encode to themselves.
//!
//! # Limits
//!
//! All in [`limit`].

#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used
)]

pub mod bundle;
pub mod codec;
pub mod eip712;
pub mod evidence;
pub mod governance;
pub mod id;
pub mod light_file;
pub mod limit;
pub mod merkle;
pub mod order;
pub mod quant;
pub mod receipt;
pub mod render;
pub mod state;
pub mod tensor;
pub mod tx;
pub mod typed_document;
pub mod voucher;

pub use codec::{Decode, DecodeError, Encode, Reader};
pub use eip712::{Domain, SecretKey, Signature, SignatureError, TypedData};
pub use evidence::{Answer, Evidence, Group, Inference, Item, proof_context};
pub use governance::{ParamChange, Parameter, Proposal};
pub use id::{
    Address, Amount, AssetId, BlockHash, ChainId, ChannelId, ConsensusAddress, ConsensusKey, Gas,
    GenesisHash, Height, ModelId, Nonce, OrderHash, ProposalId, ReceiptHash, RequestHash, ResponseHash,
    Sequence, TensorRoot, Tick, TxHash,
};
pub use order::{Close, EvidenceKind, Order, Quote, Signed};
pub use quant::{Name, Scale, TensorSpec};
pub use receipt::{Receipt, RenderId, Settlement};
pub use tensor::{DType, Shape, Tensor, tensor_root};
pub use tx::{Message, Offer, SignedTransaction, Transaction, TxMeta};
pub use typed_document::TypedDocument;
pub use voucher::{Coverage, ReceiptRoot, Voucher, receipt_root};
