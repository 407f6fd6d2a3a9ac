//! Integration tests of the full node.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod engine;
mod kv;
mod vectors;
