//! Integration tests of the full node.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests")]

mod abci;
mod censoring;
mod censors;
mod chain_log;
mod cometbft;
mod corruption;
mod crash;
mod determinism;
mod disk;
mod double_sign;
mod engine;
mod every_kind;
mod evidence;
mod faults;
mod floods;
mod grammar;
mod history;
mod kv;
mod ledger;
mod loopback;
mod mempool;
mod replica;
mod rest;
mod rotation;
mod settlement;
mod snapshot;
mod socket;
mod state_sync;
mod store;
mod supervision;
mod testnet;
mod upgrade;
mod validators;
mod vectors;

/// The network in memory of the ledger's tests, and their generator of histories.
#[allow(dead_code, reason = "the ledger's own tests use the rest")]
#[path = "../../../haca-ledger/tests/it/random.rs"]
mod random;
#[allow(dead_code, reason = "the ledger's own tests use the rest")]
#[path = "../../../haca-ledger/tests/it/script.rs"]
mod script;
#[allow(dead_code, reason = "the ledger's own tests use the rest")]
#[path = "../../../haca-ledger/tests/it/world.rs"]
mod world;
