//! The client SDK: keys, requests, and verification of what comes back.
//!
//! Use this crate to order inferences and to check them without trusting anybody: a [`Wallet`] signs, a
//! [`NodeClient`] reads the chain through a full node, an [`InferenceClient`] asks an inference node, and a [`LightClient`]
//! has a full node prove what it says and holds it against others.
//!
//! # Key types
//!
//! [`Wallet`], [`NodeClient`], [`InferenceClient`], [`LightClient`], [`TrustStore`], [`verify_online`], [`fetch_bundle`],
//! [`CoveredRange`], [`Settleable`], [`Standing`], [`Outstanding`], [`ClientError`].
//!
//! # Invariants
//!
//! Everything is synchronous and bounded in time and size. A key file is never overwritten, and never read when
//! others may read it. What a node says is taken for its word only, until `haca-verify` has checked it.
//!
//! # Limits
//!
//! 30 seconds a request, 64 MiB an answer, 8 headers in a trust store.

#![forbid(unsafe_code)]

mod bundle;
mod claim;
mod covering;
mod demand;
mod error;
mod full_node;
mod held;
mod http;
mod inference_node;
mod light_client;
mod outstanding;
mod settleable;
mod sponsor;
mod trust_store;
mod voucher;
mod wallet;

pub use bundle::{Inferred, build_bundle, fetch_bundle, fetch_light_blocks, verify_online};
pub use claim::{Standing, equivocation, missed};
pub use covering::CoveredRange;
pub use demand::{demand, demand_at, demand_under};
pub use error::ClientError;
pub use full_node::{Included, LightBlockBytes, NodeClient, ProvenEntry, SettledReceipt, Status};
pub use inference_node::{
    Answered, InferenceClient, ORDER_HEADER, ProofStatus, RECEIPT_HEADER, ReceiptStatus, channel_of,
};
pub use light_client::{LightClient, Proof, Witness, attack_checkpoint};
pub use outstanding::{Issued, Outstanding};
pub use settleable::Settleable;
pub use sponsor::{SponsorClient, SponsorTerms};
pub use trust_store::TrustStore;
pub use voucher::{
    KeptVoucher, KeptVouchers, VoucherStore, are_leaves, check_coverage, is_coverable, is_in_range, leaves,
    path_under, voucher,
};
pub use wallet::{TX_LIFETIME_BLOCKS, Wallet, random_nonce};
