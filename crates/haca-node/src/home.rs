//! The directory of a node: genesis document, validator keys, stores.

use std::{
    fs,
    path::{Path, PathBuf},
};

use haca_wire::{Address, ConsensusKey};
use serde_json::{Value, json};
use tendermint::Time;

use crate::{
    engine::ValidatorKey,
    error::NodeError,
    genesis::{Genesis, document},
    ledger_app::{genesis_state, genesis_validators},
    store::database::prepare_directory,
};

/// Validators of a dev network unless asked otherwise.
pub const DEFAULT_VALIDATORS: usize = 4;
/// Most validators of a dev network.
pub const MAX_VALIDATORS: usize = 100;

/// Paths in a node's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home(PathBuf);

impl Home {
    /// The directory `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The genesis document.
    pub fn genesis(&self) -> PathBuf {
        self.0.join("genesis.json")
    }

    /// Validator keys, `0.json` and so on.
    pub fn validators(&self) -> PathBuf {
        self.0.join("validators")
    }

    /// The state store.
    pub fn state(&self) -> PathBuf {
        self.0.join("state.redb")
    }

    /// The dev engine's blocks.
    pub fn blocks(&self) -> PathBuf {
        self.0.join("blocks.redb")
    }

    /// Snapshots of the state.
    pub fn snapshots(&self) -> PathBuf {
        self.0.join("snapshots")
    }

    /// CometBFT's own directory.
    pub fn cometbft(&self) -> PathBuf {
        self.0.join("cometbft")
    }

    /// The key that names the node in CometBFT's peer-to-peer network.
    pub fn node_key(&self) -> PathBuf {
        self.cometbft().join("config/node_key.json")
    }

    /// Reads the validator keys in order.
    pub fn keys(&self) -> Result<Vec<ValidatorKey>, NodeError> {
        let mut keys = Vec::new();
        for index in 0..MAX_VALIDATORS {
            let path = self.validators().join(format!("{index}.json"));
            if !path.exists() {
                break;
            }
            keys.push(ValidatorKey::read(&path)?);
        }
        if keys.is_empty() {
            return Err(NodeError::Key {
                path: self.validators().join("0.json"),
                reason: "no such file".to_owned(),
            });
        }
        Ok(keys)
    }
}

/// Creates the directory of a new network: keys, then the genesis document. `app_state` is built by
/// [`standard_app_state`] or by hand, given the keys of the validators.
pub fn init(
    home: &Home,
    chain_id: &str,
    time: Time,
    validators: usize,
    app_state: impl FnOnce(&[ConsensusKey]) -> Value,
) -> Result<Genesis, NodeError> {
    if home.genesis().exists() {
        return Err(NodeError::AlreadyInitialised { path: home.genesis() });
    }
    let keys = make_keys(home, validators.clamp(1, MAX_VALIDATORS))?;
    let genesis = first_document(chain_id, time, &keys, app_state)?;
    write_genesis(home, &genesis)?;
    Ok(genesis)
}

/// Creates a new network of several nodes with one validator key each, all with the same genesis document.
pub fn init_network(
    homes: &[Home],
    chain_id: &str,
    time: Time,
    app_state: impl FnOnce(&[ConsensusKey]) -> Value,
) -> Result<Genesis, NodeError> {
    let mut keys = Vec::new();
    for home in homes {
        keys.extend(make_keys(home, 1)?);
    }
    // An earlier attempt may have been cut short after some of the homes.
    let genesis = match homes.iter().find(|home| home.genesis().exists()) {
        Some(home) => Genesis::read(&home.genesis())?,
        None => first_document(chain_id, time, &keys, app_state)?,
    };
    for home in homes {
        write_genesis(home, &genesis)?;
    }
    Ok(genesis)
}

/// Creates the directory of a node that joins a network: a key of its own unless a signer elsewhere holds it, and the
/// network's genesis document byte for byte. The node validates once the network counts its key among the validators.
pub fn join(home: &Home, genesis: &Path, with_key: bool) -> Result<Genesis, NodeError> {
    if home.genesis().exists() {
        return Err(NodeError::AlreadyInitialised { path: home.genesis() });
    }
    let genesis = Genesis::read(genesis)?;
    genesis_state(&genesis)?;
    prepare_directory(home.path())?;
    if with_key {
        make_keys(home, 1)?;
    }
    write_genesis(home, &genesis)?;
    Ok(genesis)
}

fn make_keys(home: &Home, validators: usize) -> Result<Vec<ValidatorKey>, NodeError> {
    prepare_directory(home.path())?;
    prepare_directory(&home.validators())?;
    let mut keys = Vec::new();
    for index in 0..validators {
        let path = home.validators().join(format!("{index}.json"));
        // An earlier attempt may have been cut short.
        let key = match path.exists() {
            true => ValidatorKey::read(&path)?,
            false => {
                let key = ValidatorKey::generate()?;
                key.write(&path)?;
                key
            }
        };
        keys.push(key);
    }
    Ok(keys)
}

fn first_document(
    chain_id: &str,
    time: Time,
    keys: &[ValidatorKey],
    app_state: impl FnOnce(&[ConsensusKey]) -> Value,
) -> Result<Genesis, NodeError> {
    let public: Vec<ConsensusKey> = keys.iter().map(|key| ConsensusKey(key.public())).collect();
    let app_state = app_state(&public);
    let bytes = document(chain_id, time, &genesis_validators(&app_state)?, &app_state)?;
    let genesis = Genesis::parse(bytes)?;
    genesis_state(&genesis)?;
    Ok(genesis)
}

/// Written under another name first: a genesis document is whole or absent.
fn write_genesis(home: &Home, genesis: &Genesis) -> Result<(), NodeError> {
    let partial = home.path().join("genesis.json.partial");
    let unwritable = |source| NodeError::DataDirectory {
        path: home.genesis(),
        source,
    };
    fs::write(&partial, &genesis.bytes).map_err(unwritable)?;
    fs::rename(&partial, home.genesis()).map_err(unwritable)
}

/// A ledger with the standard parameters and one asset: a thousand million OPG of nine decimals, a tenth of it in the
/// validators' pool and the rest with `holder`, who also stakes for the validators and is paid for them.
pub fn standard_app_state(chain_number: u64, holder: Address, validators: &[ConsensusKey]) -> Value {
    let unit = 1_000_000_000_u128;
    let issued = 1_000_000_000 * unit;
    let pool = issued / 10;
    let stake = 100_000 * unit;
    let staked = stake * validators.len() as u128;
    let params = haca_wire::state::Entry::Params(haca_ledger::standard_params());
    json!({
        "chain_id": chain_number,
        "assets": [{ "id": 0, "symbol": "OPG", "decimals": 9, "issued": issued.to_string() }],
        "balances": [{ "account": holder.to_string(), "asset": 0, "amount": (issued - pool - staked).to_string() }],
        "pool": pool.to_string(),
        "validators": validators
            .iter()
            .map(|key| json!({
                "key": key.to_string(),
                "account": holder.to_string(),
                "stake": stake.to_string(),
            }))
            .collect::<Vec<_>>(),
        "params": haca_ledger::record_json(&params).1,
    })
}
