//! Integer graphs: what a provable model is, and what it computes, exactly.
//!
//! Use this crate to describe a model as a graph of integer ops, to check that it can neither overflow nor leave
//! the range a proof covers, to read and write it, and to evaluate it bit for bit as `spec/graph.md` says. The
//! vectors of that document are in `spec/vectors/graph/`.
//!
//! # Key types
//!
//! [`Graph`] with its [`Op`]s and [`ParamSpec`]s; [`Function`], what an Activate op has a table of; [`Parameters`], the
//! weights and biases; [`Manifest`], what is public about a model; [`ModelFile`], the `.haca` file; [`evaluate`], the
//! reference interpreter; [`Outline`], what can be told of a graph by reading it once.
//!
//! # Ops
//!
//! Dense layers, convolutions, window sums, weighted sums and products make int32 accumulators; a requantisation, with
//! or without a function, brings those back to int8. Window maxima and arrangements (reshape, transpose, slice, concat,
//! pad, expand) stay in int8; an ArgMax reads an output.
//!
//! # Invariants
//!
//! * A [`Graph`] exists only checked: shapes agree, every value is used, and no accumulator, product or quotient
//!   can leave its bound on any input and any parameters inside their declared ranges. The check reads shapes
//!   and declared ranges only, so it needs no weights. What it costs is bounded by [`limit`], whatever the graph.
//! * A graph is total: each well-formed input has exactly one output.
//! * Nothing here rounds with floating point, reads a clock, does I/O or panics. Accepted bytes re-encode to
//!   themselves, and a graph is its bytes: fields that change no result are not brought to one form.
//!
//! # Limits
//!
//! All in [`limit`], on top of [`haca_wire::limit`].

#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used
)]

pub mod limit;

mod arrangement;
mod bound;
mod error;
mod evaluation;
mod function;
mod graph;
mod manifest;
mod model_file;
mod op;
mod outline;
mod parameters;

pub use arrangement::Cell;
pub use bound::ValueType;
pub use error::{GraphError, Place};
pub use evaluation::{Evaluation, evaluate, requantise};
pub use function::{Function, FunctionKind};
pub use graph::Graph;
pub use manifest::Manifest;
pub use model_file::ModelFile;
pub use op::{Op, ParamId, Stretch, Term, ValueId, Window, WindowAxis};
pub use outline::Outline;
pub use parameters::{ParamSpec, Parameters};
