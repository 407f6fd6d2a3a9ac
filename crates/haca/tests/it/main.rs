//! End to end, with real processes on free ports.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod claim;
mod command;
mod cover;
mod crash;
mod demand;
mod demo;
mod interrupt;
mod local;
#[allow(dead_code, reason = "shared with the prover's examples")]
#[path = "../../../haca-prover/examples/networks/network.rs"]
mod network;
mod node_report;
mod operations;
mod perturb;
mod replay;
mod scorecard;
mod simulate;
mod testnet;
mod up;
