//! Circuits of graphs, closed forms against sums over the hypercube, and keys made of arbitrary numbers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod circuit;
mod closed_form;
mod encoding;
#[path = "../fuzz/harness.rs"]
mod fuzz;
mod fuzzing;
mod graph;
mod joined;
mod limits;
mod parameters;
mod price;
mod vectors;
mod witness;
