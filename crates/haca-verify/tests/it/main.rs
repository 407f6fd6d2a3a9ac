//! Verification against chains, state trees and receipts made for the purpose, honest and not.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

mod answer;
mod attack;
mod chain;
mod cometbft;
mod covering;
mod forgery;
mod light_client;
mod mutation;
mod network;
mod proof;
mod scorecard;
mod settlement;
mod spec;
mod state_file;
