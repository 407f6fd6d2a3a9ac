//! Fast integer executor and ZKML prover.
//!
//! Use this crate on an inference node: register a model, run it in microseconds, prove runs afterwards, alone or in
//! batches. What is proven, and how, is `spec/zk.md`; verification is in `haca-zk`.
//!
//! # Key types
//!
//! [`ProvingKey`] (`register`, `infer`, `prove`), [`Registration`], [`Execution`], [`Stages`]. [`Executor`] runs any
//! graph, without a key. [`Supervision`] is how long work is watched, cancelled and kept within a limit of memory.
//! [`adversary`] lets tests be a lying prover.
//!
//! # Invariants
//!
//! * [`ProvingKey::infer`] and [`Executor::run`] compute bit for bit what `haca_graph::evaluate` does, on every processor.
//! * Each well-formed input can be run and proven: no value an input can cause is outside a table.
//! * Registration is deterministic: the same model file gives the same verifying key.
//! * [`ProvingKey::memory_bytes`] and [`ProvingKey::registration_memory_bytes`] are known before the work, never below
//!   what it takes, and about twice that at most beside a constant for the program itself.
//! * A cancelled proof leaves nothing behind: the key makes the same proofs afterwards.
//!
//! # Limits
//!
//! Weights up to `2^24` padded cells. Proofs are sound, not hiding. Commitments and openings are calls of a library
//! and can't be interrupted: cancellation waits for the end of the one that runs, most of a proof when weights are large.

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
mod memory;
mod model;
pub mod parameters;
mod product;
mod proving_key;
mod registration;
pub mod schedules;
mod shared_tree;
mod stages;
mod sumcheck;
mod supervision;
mod trace;
mod witness;

pub use error::ProverError;
pub use execution::{Execution, Executor, Values};
pub use proving_key::{ProvingKey, Registration};
pub use stages::{Stage, Stages};
pub use supervision::{Cancellation, Progress, Supervision};

/// The instructions of the integer kernels on this processor, in words.
pub fn kernel_instructions() -> &'static str {
    kernel::Path::best().name()
}

/// Kernels of the prover, for measurements.
#[doc(hidden)]
pub mod kernels {
    pub use crate::kernel::{fold_columns, fold_rows};
}
