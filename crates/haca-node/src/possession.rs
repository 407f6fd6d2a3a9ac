//! What a validator's key signs so that an account can stake for it. The key may lie on a machine without a network.

use haca_wire::{Address, ChainId, ConsensusKey, Domain, tx::possession_message};
use serde::Deserialize;

use crate::{error::NodeError, genesis::Genesis, home::Home};

/// A validator's key with its consent that an account stakes for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Possession {
    /// The key.
    pub key: ConsensusKey,
    /// Its signature over [`possession_message`].
    pub signature: [u8; 64],
}

/// Lets the first key of a home sign for an account, on the network of the home's genesis document.
pub fn possession(home: &Home, account: Address) -> Result<Possession, NodeError> {
    #[derive(Deserialize)]
    struct State {
        chain_id: u64,
    }
    let genesis = Genesis::read(&home.genesis())?;
    let state: State = serde_json::from_slice(&genesis.app_state).map_err(|error| NodeError::Genesis {
        what: "app_state",
        reason: error.to_string(),
    })?;
    let domain = Domain {
        chain_id: ChainId(state.chain_id),
        genesis: genesis.hash(),
    };
    let keys = home.keys()?;
    let key = keys.first().ok_or_else(|| NodeError::Key {
        path: home.validators(),
        reason: "no key".to_owned(),
    })?;
    Ok(Possession {
        key: ConsensusKey(key.public()),
        signature: key.sign(&possession_message(&domain, account)),
    })
}
