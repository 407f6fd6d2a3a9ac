//! The same transactions through a real CometBFT v0.39.4 and through the dev engine.

use std::{sync::Arc, time::Duration};

use haca_node::{
    Genesis,
    application::Application,
    cometbft::{CometBft, CometConfig, find_binary},
    driver::{DecidedBlock, Driver as _},
    engine::{BlockStore, Chain},
    home::Home,
};
use tendermint::block::{CommitSig, Header};

use super::{
    engine::wait,
    kv::Kv,
    ledger::{self, transfer},
};

fn config() -> CometConfig {
    CometConfig {
        timeout_commit: Duration::from_millis(50),
        ..CometConfig::default()
    }
}

fn require_cometbft() {
    if let Err(error) = find_binary(None) {
        panic!("this test needs CometBFT: {error}; {}", error.hint());
    }
}

/// Runs CometBFT over `app`, sends `txs` one by one, and returns every block up to the one that proves the last.
fn run_cometbft(
    home: &Home,
    genesis: &Genesis,
    app: Arc<dyn Application>,
    txs: &[Vec<u8>],
) -> Vec<DecidedBlock> {
    require_cometbft();
    let comet = CometBft::start(&config(), home, genesis, Arc::clone(&app), || ()).unwrap();
    wait(|| (app.info().unwrap().height > 1).then_some(()));
    for tx in txs {
        comet.submit_tx(tx.clone()).unwrap();
    }
    let (mut blocks, mut seen) = (Vec::new(), 0);
    while seen < txs.len()
        || blocks
            .last()
            .is_none_or(|last: &DecidedBlock| !last.block.data.is_empty())
    {
        assert!(comet.failure().is_none(), "{:?}", comet.failure());
        let block = wait(|| comet.block(blocks.len() as u64 + 1).unwrap());
        seen += block.block.data.len();
        blocks.push(block);
    }
    comet.stop();
    blocks
}

/// The moment at which the only validator voted.
fn voted(block: &DecidedBlock) -> tendermint::Time {
    let CommitSig::BlockIdFlagCommit { timestamp, .. } = &block.commit.signatures[0] else {
        panic!("no vote")
    };
    *timestamp
}

/// Feeds the blocks' transactions to the dev engine and compares each block with CometBFT's.
fn compare<A: Application>(chain: &mut Chain<A>, theirs: &[DecidedBlock]) {
    for block in theirs {
        let height = chain.make_block(block.block.data.clone(), voted(block)).unwrap();
        let ours = chain.store().block(height).unwrap().unwrap();
        let results = |header: &Header| {
            (
                header.app_hash.clone(),
                header.data_hash,
                header.last_results_hash,
            )
        };
        assert_eq!(
            results(&ours.header),
            results(&block.block.header),
            "height {height}"
        );
        let rules = |header: &Header| {
            (
                header.validators_hash,
                header.next_validators_hash,
                header.consensus_hash,
            )
        };
        assert_eq!(rules(&ours.header), rules(&block.block.header), "height {height}");
        // Votes carry the round. As long as no round has failed, blocks and votes are equal to the last byte.
        if theirs.iter().all(|block| block.commit.round.value() == 0) {
            assert_eq!(ours, block.block, "height {height}");
            assert_eq!(
                chain.store().commit(height).unwrap().unwrap(),
                block.commit,
                "height {height}"
            );
        }
    }
}

#[test]
fn equal_transactions_give_equal_hashes_with_a_key_value_state() {
    let (theirs, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let home = Home::new(theirs.path());
    let genesis = ledger::network(theirs.path(), 1);
    let app = Arc::new(Kv::open(theirs.path(), genesis.hash(), 100).unwrap());
    let mut txs: Vec<Vec<u8>> = (0..40).map(|i| format!("k{}=v{i}", i % 7).into_bytes()).collect();
    txs.extend([
        b"fail=1".to_vec(),
        b"k3=".to_vec(),
        [b"large=".to_vec(), vec![b'x'; 150_000]].concat(),
    ]);
    let blocks = run_cometbft(&home, &genesis, app, &txs);

    let app = Arc::new(Kv::open(ours.path(), genesis.hash(), 100).unwrap());
    let store = Arc::new(BlockStore::open(&ours.path().join("blocks.redb"), genesis.hash()).unwrap());
    let mut chain = Chain::open(genesis, home.keys().unwrap(), store, app).unwrap();
    compare(&mut chain, &blocks);
    assert!(
        blocks.iter().any(|block| block.id.part_set_header.total > 1),
        "no block of several parts"
    );
}

#[test]
fn equal_transactions_give_equal_hashes_with_the_ledger() {
    let (theirs, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let home = Home::new(theirs.path());
    let genesis = ledger::network(theirs.path(), 1);
    let txs: Vec<Vec<u8>> = (0..30)
        .map(|i| transfer(&genesis, i, u128::from(i) + 1, 400))
        .collect();
    let app = ledger::app(theirs.path(), &genesis);
    let blocks = run_cometbft(&home, &genesis, app, &txs);
    compare(
        &mut ledger::chain(ours.path(), &genesis, home.keys().unwrap()),
        &blocks,
    );
}

#[test]
fn light_blocks_of_cometbft_pass_the_light_client_and_restart_continues() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::new(directory.path());
    let genesis = ledger::network(directory.path(), 1);
    run_cometbft(&home, &genesis, ledger::app(directory.path(), &genesis), &[]);

    let app = ledger::app(directory.path(), &genesis);
    let before = app.info().unwrap();
    let comet = CometBft::start(&config(), &home, &genesis, app.clone(), || ()).unwrap();
    let after = wait(|| Some(app.info().unwrap()).filter(|info| info.height > before.height + 1));
    let light: Vec<_> = (1..=after.height)
        .map(|h| comet.light_block(h).unwrap().unwrap())
        .collect();
    let status = comet.status().unwrap();
    comet.stop();
    assert!(status.height >= after.height);
    let proving = light[before.height as usize]
        .signed_header
        .header
        .as_ref()
        .unwrap();
    assert_eq!(
        proving.app_hash, before.app_hash,
        "the block after the restart builds on the state before it"
    );
    super::engine::assert_light_client_accepts(light);
}
