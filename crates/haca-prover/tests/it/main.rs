//! Integration tests of registration, proving and verification.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod accept;
mod model;
