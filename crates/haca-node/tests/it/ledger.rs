//! A network whose first account has a known key, and transactions signed with it.

use std::path::Path;

use haca_node::{
    Genesis,
    engine::{Chain, ValidatorKey},
    home::{Home, init, standard_app_state},
};
use haca_wire::{
    Address, Amount, AssetId, ChainId, Domain, Encode as _, Height, Message, Nonce, SecretKey,
    SignedTransaction, Transaction, TxMeta,
};

pub(crate) const CHAIN_NUMBER: u64 = 99;

pub(crate) fn holder() -> SecretKey {
    SecretKey::from_bytes(&[7; 32]).unwrap()
}

/// Makes the directory of a network in which [`holder`] holds all OPG.
pub(crate) fn network(directory: &Path, validators: usize) -> Genesis {
    let time = super::engine::time(0);
    init(
        &Home::new(directory),
        "haca-test-2",
        time,
        validators,
        |addresses| standard_app_state(CHAIN_NUMBER, holder().address(), addresses),
    )
    .unwrap()
}

/// A transfer from the holder; `number` makes it unique.
pub(crate) fn transfer(genesis: &Genesis, number: u64, amount: u128, expiry: u64) -> Vec<u8> {
    let mut nonce = [0; 32];
    nonce[..8].copy_from_slice(&number.to_be_bytes());
    let message = Message::Transfer {
        to: Address([9; 20]),
        asset: AssetId::OPG,
        amount: Amount(amount),
    };
    signed(genesis, nonce, expiry, message)
}

fn domain(genesis: &Genesis) -> Domain {
    Domain {
        chain_id: ChainId(CHAIN_NUMBER),
        genesis: genesis.hash(),
    }
}

/// A stake of the holder's behind a key; `number` makes it unique.
pub(crate) fn stake(genesis: &Genesis, number: u64, key: &ValidatorKey, amount: u128) -> Vec<u8> {
    let mut nonce = [1; 32];
    nonce[..8].copy_from_slice(&number.to_be_bytes());
    let possession = haca_wire::tx::possession_message(&domain(genesis), holder().address());
    let message = Message::Stake {
        key: haca_wire::ConsensusKey(key.public()),
        possession: key.sign(&possession),
        amount: Amount(amount),
    };
    signed(genesis, nonce, 300, message)
}

pub(crate) fn signed(genesis: &Genesis, nonce: [u8; 32], expiry: u64, message: Message) -> Vec<u8> {
    let transaction = Transaction {
        meta: TxMeta {
            sender: holder().address(),
            expiry: Height(expiry),
            nonce: Nonce(nonce),
            max_base_fee: Amount(1 << 40),
            tip: Amount(0),
            sponsor: Address::default(),
        },
        message,
    };
    SignedTransaction::sign(transaction, &domain(genesis), &holder())
        .unwrap()
        .encode()
}

/// Evidence is not part of these tests: nothing verifies.
#[derive(Debug)]
pub(crate) struct NoEvidence;

impl haca_ledger::CheckProof for NoEvidence {
    fn facts(&self, _: &[u8]) -> Result<haca_ledger::ModelFacts, &'static str> {
        Err("test.no_evidence")
    }
    fn registration_gas(&self, _: &[u8]) -> Result<haca_wire::Gas, &'static str> {
        Err("test.no_evidence")
    }
    fn registration(&self, _: &[u8], _: &[u8]) -> Result<(), &'static str> {
        Err("test.no_evidence")
    }
    fn settlement(
        &self,
        _: &[u8],
        _: &[u8; 32],
        _: &[haca_wire::Inference],
        _: &[u8],
    ) -> Result<(), &'static str> {
        Err("test.no_evidence")
    }
}

/// The ledger over a store in `directory`.
pub(crate) fn app(directory: &Path, genesis: &Genesis) -> std::sync::Arc<haca_node::ledger_app::LedgerApp> {
    let store = haca_node::store::Store::open(&directory.join("state.redb"), genesis.hash(), 100).unwrap();
    let metrics = std::sync::Arc::default();
    std::sync::Arc::new(haca_node::ledger_app::LedgerApp::new(
        genesis.clone(),
        store,
        Box::new(NoEvidence),
        metrics,
    ))
}

/// The chain of a network made by [`network`], with its stores in `directory`.
pub(crate) fn chain(
    directory: &Path,
    genesis: &Genesis,
    keys: Vec<ValidatorKey>,
) -> Chain<haca_node::ledger_app::LedgerApp> {
    let blocks = haca_node::engine::BlockStore::open(&directory.join("blocks.redb"), genesis.hash()).unwrap();
    Chain::open(
        genesis.clone(),
        keys,
        std::sync::Arc::new(blocks),
        app(directory, genesis),
    )
    .unwrap()
}

/// Only one of several transactions with a nonce can ever be charged, so one of them waits and no other.
#[test]
fn a_nonce_takes_one_place_in_the_mempool() {
    let directory = tempfile::tempdir().unwrap();
    let genesis = network(directory.path(), 1);
    let app = app(directory.path(), &genesis);
    use haca_node::application::Application as _;
    let start = haca_node::application::InitChain {
        chain_id: genesis.chain_id.to_string(),
        initial_height: 1,
        validators: genesis.validators.members(),
    };
    app.init_chain(&start).unwrap();
    let (first, second) = (transfer(&genesis, 1, 1, 300), transfer(&genesis, 1, 2, 300));
    assert_eq!(app.check_tx(&first, false).unwrap().code, 0);
    let refused = app.check_tx(&second, false).unwrap();
    assert!(refused.log.contains("ledger.nonce_waiting"), "{}", refused.log);
    assert_eq!(
        app.check_tx(&first, true).unwrap().code,
        0,
        "itself, checked again"
    );
    assert_eq!(
        app.check_tx(&transfer(&genesis, 2, 2, 300), false).unwrap().code,
        0
    );
}
