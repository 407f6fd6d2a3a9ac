//! The genesis document as a verifier reads it: the network's names and its first validators.

use haca_wire::bundle::Validator;
use haca_wire::{ChainId, Domain, GenesisHash};
use serde::Deserialize;

use crate::VerifyError;
use crate::validators::{canonical_order, validator_of};

/// The parts of a genesis document that verification rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// CometBFT's chain identifier.
    pub chain_id: String,
    /// EIP-712 domain of the network.
    pub domain: Domain,
    /// The validators of the first block, in CometBFT's order.
    pub validators: Vec<Validator>,
}

#[derive(Deserialize)]
struct Document {
    chain_id: String,
    initial_height: String,
    #[serde(default)]
    validators: Vec<Member>,
    app_state: AppState,
}

#[derive(Deserialize)]
struct Member {
    pub_key: tendermint::PublicKey,
    power: String,
}

#[derive(Deserialize)]
struct AppState {
    chain_id: u64,
}

/// BLAKE3 of the exact bytes of a genesis document.
pub fn genesis_hash(bytes: &[u8]) -> GenesisHash {
    GenesisHash(*blake3::hash(bytes).as_bytes())
}

impl Genesis {
    /// Reads a document.
    pub fn parse(bytes: &[u8]) -> Result<Self, VerifyError> {
        let bad = |what: &'static str, reason: &dyn core::fmt::Display| VerifyError::Genesis {
            what,
            reason: reason.to_string(),
        };
        let document: Document = serde_json::from_slice(bytes).map_err(|error| bad("JSON", &error))?;
        if document.initial_height != "1" {
            return Err(bad("initial_height", &"not 1"));
        }
        let mut validators = Vec::new();
        for member in &document.validators {
            let power: u64 = member
                .power
                .parse()
                .map_err(|error| bad("validator power", &error))?;
            validators.push(
                validator_of(&member.pub_key, power).ok_or_else(|| bad("validator key", &"not ed25519"))?,
            );
        }
        Ok(Self {
            chain_id: document.chain_id,
            domain: Domain {
                chain_id: ChainId(document.app_state.chain_id),
                genesis: genesis_hash(bytes),
            },
            validators: canonical_order(validators)?,
        })
    }
}
