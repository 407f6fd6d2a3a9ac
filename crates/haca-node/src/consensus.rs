//! What CometBFT v0.39 computes from blocks, byte for byte: hashes, block encoding, header time, proposer rotation.
//!
//! The `tendermint` crate has the types, header hash, validator set hash and sign bytes; the rest is here. Every
//! function is checked against blocks of a real node, see `spec/vectors/consensus/`.

pub mod block;
pub mod hash;
pub mod time;
pub mod validator_set;

pub use block::{PART_BYTES, block_bytes, block_id, part_set_header};
pub use hash::{commit_hash, data_hash, evidence_hash, params_hash, results_hash};
pub use time::{MIN_BLOCK_STEP_NS, median_time, vote_time};
pub use validator_set::{Validator, ValidatorSet, ValidatorSetError, ValidatorUpdate};
