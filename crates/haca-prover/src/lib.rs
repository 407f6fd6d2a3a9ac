//! Fast integer executor and ZKML prover.
//!
//! Use this crate on an inference node: register a model, run it in microseconds, prove runs afterwards, alone or in
//! batches. What is proven, and how, is `spec/zk.md`; verification is in `haca-zk`.
//!
//! # Key types
//!
//! [`ProvingKey`] (`register`, `infer`, `prove`), [`Registration`], [`Execution`], [`Stages`]. [`Executor`] runs any
//! graph, without a key. [`adversary`] lets tests be a lying prover.
//!
//! # Invariants
//!
//! * [`ProvingKey::infer`] and [`Executor::run`] compute bit for bit what `haca_graph::evaluate` does, on every processor.
//! * Each well-formed input can be run and proven: no value an input can cause is outside a table.
//! * Registration is deterministic: the same model file gives the same verifying key.
//!
//! # Limits
//!
//! Weights up to `2^24` padded cells. Proofs are sound, not hiding.

#![deny(clippy::panic, clippy::expect_used)]

pub mod adversary;

mod commitment;
mod elementwise;
mod error;
mod execution;
mod folding;
mod fraction;
mod gather;
mod inference;
mod integer_layout;
mod kernel;
mod lane;
mod lookup;
mod model;
pub mod parameters;
mod product;
mod proving_key;
mod registration;
pub mod schedules;
mod shared_tree;
mod stages;
mod sumcheck;
mod trace;
mod witness;

pub use error::ProverError;
pub use execution::{Execution, Executor, Value};
pub use proving_key::{ProvingKey, Registration};
pub use stages::Stages;

/// Kernels of the prover, for measurements.
#[doc(hidden)]
pub mod kernels {
    pub use crate::kernel::{fold_columns, fold_rows};
}
