//! Integration tests of the full node.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests")]

mod abci;
mod cometbft;
mod crash;
mod engine;
mod evidence;
mod kv;
mod ledger;
mod mempool;
mod rest;
mod settlement;
mod store;
mod vectors;
