//! The inference node: runs models, answers with signed receipts, proves and settles afterwards.
//!
//! Use this crate to serve models behind orders that pay for them. An order is checked and its fee reserved before
//! anything runs; the receipt is journalled before it leaves; proof and settlement follow without the client waiting.
//!
//! # Key types
//!
//! [`InferenceNode`] and [`NodeHandle`], [`Sponsor`], [`ExecConfig`], [`planner`], [`Journal`] with its [`Entry`]s, [`Refusal`] (why an order is
//! not served), [`ExecError`] (why the node can't go on).
//!
//! # Invariants
//!
//! * At most one final receipt exists per channel and sequence, whatever crashes when.
//! * A receipt that left the node is in the journal, and is settled after a restart, once. Final ones leave the journal
//!   after a while; that their sequences were answered, and what they earned, stays.
//! * A demand of a proof is answered before it is due as long as prover and full node work, whatever crashes meanwhile.
//! * Never can more proofs be demanded than are made in time, by their measured times twice.
//! * Fees and warranties outstanding never exceed what the channel holds.
//! * The answer waits for neither prover nor chain.
//! * A settlement burns no more than its receipts' fees and warranties are worth by the operator's prices.
//! * A model is served only if registering it and proving one inference fits into memory; batches are as large as fits.
//! * Shutting down cancels a proof in progress. It is made again after the next start.
//!
//! # Limits
//!
//! [`haca_wire::limit`], [`HttpLimits`], [`ExecConfig`]. A proof is cancelled between its stages and at each message, not
//! within a commitment or an opening: shutdown may wait that long.

#![forbid(unsafe_code)]

mod book;
mod chain;
mod config;
mod course;
mod entry;
mod error;
mod http;
mod journal;
mod log;
mod memory;
mod model;
mod node;
mod operator;
pub mod planner;
mod refusal;
mod server;
mod service;
mod settlement;
mod setup;
mod snapshot;
mod sponsor;
mod totals;

pub use config::{ExecConfig, HttpLimits};
pub use entry::{
    Content, Entry, EntryState, HeldFee, Missed, Pending, Place, ProofFigures, SentAnswer, UNKNOWN_TX,
};
pub use error::ExecError;
pub use journal::Journal;
pub use memory::available_bytes;
pub use model::ServedModel;
pub use node::{InferenceNode, NodeHandle};
pub use operator::read_snapshot;
pub use refusal::Refusal;
pub use snapshot::{AssetPrice, MissedReceipt, ModelFacts, ProofSize, Snapshot, Terms, TotalsRow};
pub use sponsor::{Sponsor, SponsorConfig, SponsorPolicy, SponsorRefusal};
pub use totals::{Histogram, Month, Totals, TotalsKey};
