//! Full node: agrees on what was answered and paid, and never loads a model.
//!
//! Use this crate to run a node in process ([`Node::start`](node::Node::start)) or through its binary `haca-node`.
//!
//! # Key types
//!
//! [`application::Application`] is the state machine behind consensus; [`engine::DevEngine`] (one process, not BFT)
//! and [`cometbft::CometBft`] drive it behind one [`driver::Driver`]; [`store::Store`] is the Merkle tree over redb;
//! [`genesis::Genesis`] the document a network starts from.
//!
//! # Invariants
//!
//! No code that runs or proves models is linked. State, application hash and index of a height are committed
//! together or not at all. Blocks of the dev engine equal CometBFT's byte for byte.
//!
//! # Limits
//!
//! [`genesis::MAX_BLOCK_BYTES`], [`genesis::MAX_GENESIS_BYTES`], [`engine::MempoolLimits`],
//! [`store::DEFAULT_KEEP_VERSIONS`], [`snapshot::MAX_CHUNK_BYTES`], [`snapshot::MAX_CHUNKS`], [`key_memory::KeyLimits`], `haca_wire::limit::TX_BYTES`.

#![forbid(unsafe_code)]

pub mod abci;
pub mod answer_memory;
pub mod application;
pub mod cli;
pub mod cometbft;
pub mod consensus;
pub mod driver;
pub mod engine;
pub mod error;
pub mod evidence;
pub mod evidence_ahead;
pub mod evidence_memory;
pub mod genesis;
pub mod history;
pub mod home;
pub mod key_memory;
pub mod ledger_app;
pub mod loopback;
pub mod metrics;
pub mod node;
pub mod possession;
pub mod price_floor;
pub mod rest;
pub mod shadow;
pub mod signer_memory;
pub mod snapshot;
pub mod store;

pub use error::NodeError;
pub use genesis::Genesis;
