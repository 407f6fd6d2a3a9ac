//! The dev engine: consensus in one process, with all validator keys at hand. Its blocks, votes and light-client
//! proofs are CometBFT's byte for byte; its fault tolerance is none.

mod block_store;
mod chain;
mod key;
mod mempool;
mod producer;

pub use block_store::BlockStore;
pub use chain::Chain;
pub(crate) use chain::{app_hash_mismatch, position, votes};
pub(crate) use key::base64_decode;
pub use key::{ValidatorKey, base64_encode};
pub use mempool::{Mempool, MempoolLimits};
pub use producer::{DevEngine, Pace};
