//! Integration tests of registration, proving and verification.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::type_complexity,
    clippy::field_reassign_with_default,
    reason = "tests"
)]

mod accept;
mod executor;
mod growth;
mod liar;
mod model;
mod ops;
mod reject;
mod sketch;
mod supervision;
