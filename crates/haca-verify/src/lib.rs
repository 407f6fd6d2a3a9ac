//! Verification: from a genesis hash and bytes to a report of every check.
//!
//! Use this crate to decide whether an inference was answered, proven and settled as somebody says, without
//! trusting anybody but the genesis hash: [`verify_bundle`]. The written form is `spec/verify.md`; its numbered
//! steps stand at the lines that do them. [`scorecard::verify`] decides in the same way whether a model labels as many
//! samples of a test set right as a scorecard says, [`verify_state`] what the ledger's state holds under a key, and
//! [`verify_attack`] whether two conflicting headers are an attack on light clients, and whose. [`ZkChecker`] is what a full node checks evidence with.
//!
//! # Key types
//!
//! [`Report`] with its [`Check`]s and [`Outcome`], [`Verified`], [`Policy`], [`SettledInference`], [`ProvenState`], [`ProvenAttack`],
//! [`scorecard::Scorecard`].
//!
//! # Invariants
//!
//! No clock, no I/O, no panic on any input: the time is an argument, and what is false is a failed check, not an
//! error. A [`Verified`] value comes from a report of this crate and from nowhere else. A required check that no
//! step reached makes the outcome [`Outcome::Unverifiable`], never [`Outcome::Verified`].
//!
//! # Limits
//!
//! Those of [`haca_wire::limit`]; heights up to 2^62; scorecards of [`scorecard::BYTES`] with
//! [`scorecard::SAMPLES`] samples.

#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used
)]

mod answer;
mod attack;
mod bundle;
pub mod check_id;
mod error;
mod evidence;
mod genesis;
mod light_block;
mod light_client;
mod policy;
mod receipt;
mod rendering;
mod report;
pub mod scorecard;
mod settlement;
mod state_file;
mod state_proof;
mod validators;
mod zk;

pub use answer::{Answer, ReceiptedAnswer, verify_answer};
pub use attack::{Accused, AttackKind, ProvenAttack, Side, is_attack_file, verify_attack};
pub use bundle::{SettledInference, verify_bundle};
pub use error::VerifyError;
pub use genesis::{Genesis, genesis_hash};
pub use light_block::{header_facts, light_block};
pub use light_client::needs_block_between;
pub use policy::{Checkpoint, Policy, SECURITY_FLOOR_BITS, SECURITY_NOTE_BITS, TRUSTING_PERIOD_S};
pub use report::{Check, CheckState, Outcome, Report, Verified};
pub use state_file::{ProvenState, is_state_file, verify_state};
pub use state_proof::StateProof;
pub use zk::{ZkChecker, ZkFacts, ZkKey};
