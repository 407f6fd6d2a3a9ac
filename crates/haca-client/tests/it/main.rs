//! The SDK against a scripted full node: what is fetched, what is believed, and how it fails.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    dead_code,
    reason = "tests; the network of haca-verify's tests has more than these need"
)]

mod bundle;
#[path = "../../../haca-verify/tests/it/chain.rs"]
mod chain;
mod claim;
mod full_node;
mod light_client;
#[path = "../../../haca-verify/tests/it/network.rs"]
mod network;
mod outstanding;
mod server;
mod wallet;
