//! Integration tests of registration, proving and verification.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod accept;
mod liar;
mod model;
mod reject;
