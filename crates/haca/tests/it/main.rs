//! End to end, with real processes on free ports.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod claim;
mod command;
mod cover;
mod crash;
mod demand;
mod demo;
#[allow(
    dead_code,
    clippy::indexing_slicing,
    reason = "shared with the tests of inference nodes"
)]
#[path = "../../../haca-exec/tests/it/gate.rs"]
mod gate;
mod interrupt;
mod local;
#[allow(dead_code, reason = "shared with the prover's examples")]
#[path = "../../../haca-prover/examples/networks/network.rs"]
mod network;
mod node_report;
mod opening;
mod operations;
mod outstanding;
mod perturb;
mod replay;
mod scorecard;
#[allow(dead_code, reason = "shared with the tests of the SDK")]
#[path = "../../../haca-client/tests/it/server.rs"]
mod server;
mod simulate;
mod testnet;
mod trust;
mod unanswered;
mod up;
