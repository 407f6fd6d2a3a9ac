//! Verifier of ZKML proofs: that a model with committed weights maps public inputs to public outputs.
//!
//! Use this crate to check a proof against a [`VerifyingKey`] and a [`Statement`], on a full node or in a browser.
//! It never sees weights. The written form of everything here is `spec/zk.md`; step numbers in comments refer to it.
//!
//! # Key types
//!
//! [`VerifyingKey`] (identity of a model, commitment to its weights, parameters), [`Statement`] (context and public
//! tensors), [`verify`], [`verify_registration`], [`ProofRejection`], [`SecurityBudget`].
//!
//! # Invariants
//!
//! * No bytes make a function of this crate panic. Every length is taken from the verifying key, never from a proof.
//! * Accepted proofs and keys have exactly one encoding.
//! * Openings are analysed in the Johnson regime; the capacity regime cannot be expressed.
//!
//! # Limits
//!
//! No verification takes more than [`WORK_LIMIT`]; what is beyond is refused before any work. What a circuit may have
//! is in steps R1 to R4 of the specification.
//!
//! Proofs are sound, not hiding: an opening reveals parts of the codeword of the weights. Whoever must keep weights
//! secret counts how many proofs leave under one commitment. See `docs/concepts/soundness.md`.

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::panic, clippy::expect_used)]

pub mod block;
pub mod byte_challenger;
pub mod cell;
pub mod circuit;
pub mod field;
pub mod fraction;
pub mod functional;
pub mod gather;
pub mod joined;
pub mod merkle;
pub mod multilinear;
pub mod opening;
pub mod product;
pub mod proof;
pub mod public;
pub mod registration;
pub mod schedule;
pub mod sponge;
pub mod sumcheck;
pub mod table;
pub mod transcript;
pub mod uses;
pub mod value;
pub mod verification;
pub mod weight;
pub mod windows;
pub mod witness;

mod gas;
mod key;
mod outline;
mod rejection;
mod security;
mod statement;

pub use gas::WORK_LIMIT;
pub use haca_wire::Inference;
pub use key::{
    Layouts, PROTOCOL_VERSION, ProtocolParameters, TABLE_CATALOGUE, VerifyingKey, out_of_domain_points,
};
pub use outline::registration_price;
pub use registration::verify as verify_registration;
pub use rejection::ProofRejection;
pub use security::{FLOOR_BITS, GOAL_BITS, SecurityBudget, UNION_GOAL_BITS};
pub use statement::Statement;
pub use verification::verify;
