//! Making a new network on this machine: keys, genesis, the model that it starts with.

use std::path::Path;

use haca_client::Wallet;
use haca_ledger::genesis::{
    Genesis, GenesisAsset, GenesisBalance, GenesisParams, GenesisValidator, Text, standard_params,
};
use haca_node::home::Home;
use haca_wire::{Address, Amount, ConsensusKey, GenesisHash};

use crate::failure::{Exit, Failure};
use crate::network::{Network, NetworkFile, NodePlace};
use crate::session::{client, replace};

/// The CometBFT chain identifier of local networks.
const CHAIN_NAME: &str = "haca-local-1";
/// Their number in the EIP-712 domain.
const CHAIN_ID: u64 = 7410;
/// Validators of a local network.
const VALIDATORS: usize = 4;
/// One OPG in its smallest unit.
const OPG: u128 = 1_000_000_000;
/// One DUSD, the fee asset of local networks, in its smallest unit.
const DUSD: u128 = 1_000_000;
/// All OPG there will ever be.
const OPG_ISSUED: u128 = 1_000_000_000 * OPG;
/// OPG set aside to pay validators.
const POOL: u128 = 100_000_000 * OPG;
/// What stands behind each validator.
const STAKE: u128 = 100_000 * OPG;

/// The handwritten digits model that local networks serve.
pub(crate) const DIGITS_MODEL: &[u8] = include_bytes!("../../../models/digits/digits.haca");

/// Makes keys, genesis and homes in a directory that holds no network yet. An interrupted attempt is continued:
/// `network.json` is written last.
pub(crate) fn create(dir: &Path, engine: &str) -> Result<Network, Failure> {
    found(dir, engine, Vec::new(), |network, state| {
        if network.genesis().exists() {
            return std::fs::read(network.genesis())
                .map_err(|error| Failure::file(&network.genesis(), "read", &error));
        }
        let validators = if engine == "cometbft" { 1 } else { VALIDATORS };
        let home = Home::new(network.node_home());
        let genesis = haca_node::home::init(&home, CHAIN_NAME, tendermint::Time::now(), validators, state);
        Ok(genesis.map_err(node)?.bytes)
    })
}

/// The same for a network of several full nodes with a validator's key each.
pub(crate) fn create_testnet(dir: &Path, validators: usize) -> Result<Network, Failure> {
    let places = vec![NodePlace::default(); validators];
    found(dir, "cometbft", places, |network, state| {
        let homes = (0..validators).map(|index| Home::new(network.testnet_home(index)));
        let homes: Vec<Home> = homes.collect();
        let genesis = haca_node::home::init_network(&homes, CHAIN_NAME, tendermint::Time::now(), state);
        Ok(genesis.map_err(node)?.bytes)
    })
}

/// What makes the ledger's first state from the validators' keys.
type FirstState<'a> = &'a dyn Fn(&[ConsensusKey]) -> serde_json::Value;

fn found(
    dir: &Path,
    engine: &str,
    nodes: Vec<NodePlace>,
    genesis: impl FnOnce(&Network, FirstState<'_>) -> Result<Vec<u8>, Failure>,
) -> Result<Network, Failure> {
    std::fs::create_dir_all(dir).map_err(|error| Failure::file(dir, "create", &error))?;
    let file = NetworkFile {
        node_url: String::new(),
        inference_url: String::new(),
        trust: String::new(),
        engine: engine.to_owned(),
        nodes,
    };
    let mut network = Network {
        dir: dir.to_owned(),
        file,
    };
    let user = Wallet::load_or_create(&network.user().join("wallet.key")).map_err(client)?;
    let operator = Wallet::load_or_create(&network.inference_home().join("account.key")).map_err(client)?;
    let treasury = Wallet::load_or_create(&dir.join("treasury.key")).map_err(client)?;
    let models = network.inference_home().join("models");
    std::fs::create_dir_all(&models).map_err(|error| Failure::file(&models, "create", &error))?;
    replace(&models.join("digits.haca"), DIGITS_MODEL)?;
    let state = |validators: &[ConsensusKey]| {
        app_state(validators, user.address(), operator.address(), treasury.address())
    };
    let genesis = genesis(&network, &state)?;
    network.file.trust = GenesisHash(*blake3::hash(&genesis).as_bytes()).to_string();
    Ok(network)
}

/// The ledger's first state: the treasury stakes for the validators, is paid for them, and holds what nobody else does.
fn app_state(
    validators: &[ConsensusKey],
    user: Address,
    operator: Address,
    treasury: Address,
) -> serde_json::Value {
    let staked = STAKE * validators.len() as u128;
    let held = [
        (user, 0, 100 * OPG),
        (user, 1, 1_000 * DUSD),
        (operator, 0, 10_000 * OPG),
        (operator, 1, 1_000 * DUSD),
        (treasury, 0, OPG_ISSUED - POOL - 10_100 * OPG - staked),
        (treasury, 1, 998_000 * DUSD),
    ];
    let balance = |(account, asset, amount)| GenesisBalance {
        account: Text(account),
        asset,
        amount: Text(Amount(amount)),
    };
    let asset = |id, symbol: &str, decimals, issued| GenesisAsset {
        id,
        symbol: symbol.to_owned(),
        decimals,
        issued: Text(Amount(issued)),
    };
    let validator = |key: &ConsensusKey| GenesisValidator {
        key: Text(*key),
        account: Text(treasury),
        stake: Text(Amount(STAKE)),
    };
    let genesis = Genesis {
        chain_id: CHAIN_ID,
        assets: vec![
            asset(0, "OPG", 9, OPG_ISSUED),
            asset(1, "DUSD", 6, 1_000_000 * DUSD),
        ],
        balances: held.map(balance).to_vec(),
        pool: Text(Amount(POOL)),
        validators: validators.iter().map(validator).collect(),
        params: GenesisParams::from(standard_params()),
    };
    serde_json::json!(genesis)
}

/// A full node's error as the command's failure.
pub(crate) fn node(error: haca_node::NodeError) -> Failure {
    Failure::new(Exit::Failure, error.code(), &error, error.hint())
}
