//! Fast integer executor and ZKML prover.
//!
//! Use this crate on an inference node: register a model, run it in microseconds, prove runs afterwards, alone or in
//! batches. What is proven, and how, is `spec/zk.md`; verification is in `haca-zk`.
//!
//! # Key types
//!
//! [`ProvingKey`] (`register`, `infer`, `prove`), [`Registration`], [`Execution`], [`Stages`]. [`adversary`] lets
//! tests be a lying prover.
//!
//! # Invariants
//!
//! * [`ProvingKey::infer`] computes bit for bit what `haca_graph::evaluate` does, on every processor.
//! * Each well-formed input can be run and proven: no value an input can cause is outside a table.
//! * Registration is deterministic: the same model file gives the same verifying key.
//!
//! # Limits
//!
//! Weights up to `2^24` padded cells. Proofs are sound, not hiding.

#![deny(clippy::panic, clippy::expect_used)]

pub mod adversary;

mod commitment;
mod error;
mod execution;
mod fraction;
mod inference;
mod integer_layout;
mod kernel;
mod lane;
mod lookup;
mod model;
mod parameters;
mod product;
mod proving_key;
mod registration;
mod shared_tree;
mod stages;
mod sumcheck;
mod witness;

pub use error::ProverError;
pub use execution::Execution;
pub use proving_key::{ProvingKey, Registration};
pub use stages::Stages;
