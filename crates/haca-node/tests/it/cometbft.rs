//! The same transactions through a real CometBFT v0.39.4 and through the dev engine.

use std::{sync::Arc, time::Duration};

use haca_node::{
    Genesis, NodeError,
    application::{
        AppHash, Application, BlockPosition, Decision, FinalizedBlock, Info, InitChain, ProvenValue, Query,
        TxResult,
    },
    cometbft::{COMETBFT_VERSION, CometBft, CometConfig, find_binary},
    consensus::block_id,
    driver::{DecidedBlock, Driver as _},
    engine::{BlockStore, Chain},
    home::{Home, init},
    ledger_app::LedgerApp,
    store::Store,
};
use tendermint::{Vote, block::CommitSig, vote};

use super::{
    chain_log::{ChainLog, app_state},
    engine::wait,
    every_kind::every_kind_of_traffic,
    kv::Kv,
    ledger::{self, transfer},
    script::Script,
};

pub(crate) fn config() -> CometConfig {
    CometConfig {
        timeout_commit: Duration::from_millis(50),
        ..CometConfig::default()
    }
}

pub(crate) fn require_cometbft() {
    if let Err(error) = find_binary(None, COMETBFT_VERSION) {
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

/// The ledger with the blocks of a log for proposals: what no mempool would take is in them, too.
struct Scripted {
    app: Arc<LedgerApp>,
    log: ChainLog,
}

impl Application for Scripted {
    fn info(&self) -> Result<Info, NodeError> {
        self.app.info()
    }
    fn init_chain(&self, request: &InitChain) -> Result<AppHash, NodeError> {
        self.app.init_chain(request)
    }
    fn check_tx(&self, tx: &[u8], recheck: bool) -> Result<TxResult, NodeError> {
        self.app.check_tx(tx, recheck)
    }
    fn prepare_proposal(
        &self,
        position: BlockPosition,
        _: Vec<Vec<u8>>,
        _: usize,
    ) -> Result<Vec<Vec<u8>>, NodeError> {
        match position.height > self.log.height() {
            true => Ok(Vec::new()),
            false => Ok(self.log.block(position.height).txs.clone()),
        }
    }
    fn process_proposal(&self, position: BlockPosition, txs: &[Vec<u8>]) -> Result<bool, NodeError> {
        self.app.process_proposal(position, txs)?;
        Ok(true)
    }
    fn finalize_block(
        &self,
        position: BlockPosition,
        txs: &[Vec<u8>],
        decision: &Decision,
    ) -> Result<FinalizedBlock, NodeError> {
        self.app.finalize_block(position, txs, decision)
    }
    fn commit(&self) -> Result<(), NodeError> {
        self.app.commit()
    }
    fn query(&self, query: &Query) -> Result<ProvenValue, NodeError> {
        self.app.query(query)
    }
}

/// The moment at which the only validator voted.
fn voted(block: &DecidedBlock) -> tendermint::Time {
    let CommitSig::BlockIdFlagCommit { timestamp, .. } = &block.commit.signatures[0] else {
        panic!("no vote")
    };
    *timestamp
}

/// Fields of two headers that must be equal, each by its name.
macro_rules! assert_fields {
    ($ours:expr, $theirs:expr, $($field:ident),*) => {$(
        assert_eq!(
            $ours.$field, $theirs.$field,
            "{} at height {}", stringify!($field), $theirs.height
        );
    )*};
}

/// Feeds the blocks' transactions to the dev engine and compares each block with CometBFT's.
fn compare<A: Application>(chain: &mut Chain<A>, theirs: &[DecidedBlock]) {
    // Votes carry the round. As long as no round has failed, blocks and votes are equal to the last byte.
    let mut exact = true;
    for block in theirs {
        let height = chain.make_block(block.block.data.clone(), voted(block)).unwrap();
        let ours = chain.store().block(height).unwrap().unwrap();
        let (header, expected) = (&ours.header, &block.block.header);
        assert_fields!(
            header,
            expected,
            version,
            chain_id,
            height,
            data_hash,
            validators_hash,
            next_validators_hash,
            consensus_hash,
            app_hash,
            last_results_hash,
            evidence_hash,
            proposer_address
        );
        assert_eq!(ours.evidence, block.block.evidence);
        assert_eq!(
            block_id(&block.block).unwrap(),
            block.id,
            "identity at height {height}"
        );
        assert_signed(block);
        if exact {
            assert_fields!(header, expected, time, last_block_id, last_commit_hash);
            assert_eq!(ours, block.block, "height {height}");
            exact = block.commit.round.value() == 0;
        }
        if exact {
            let commit = chain.store().commit(height).unwrap().unwrap();
            assert_eq!(commit, block.commit, "height {height}");
        }
    }
}

/// The bytes that our votes sign are the ones that CometBFT signed.
fn assert_signed(block: &DecidedBlock) {
    let commit = &block.commit;
    for (index, (signature, validator)) in commit
        .signatures
        .iter()
        .zip(block.validators.validators())
        .enumerate()
    {
        let CommitSig::BlockIdFlagCommit {
            validator_address,
            timestamp,
            signature: Some(signature),
        } = signature
        else {
            panic!("no vote at {}", commit.height)
        };
        let vote = Vote {
            vote_type: vote::Type::Precommit,
            height: commit.height,
            round: commit.round,
            block_id: Some(commit.block_id),
            timestamp: Some(*timestamp),
            validator_address: *validator_address,
            validator_index: index.try_into().unwrap(),
            signature: None,
            extension: Vec::new(),
            extension_signature: None,
        };
        let bytes = vote.into_signable_vec(block.block.header.chain_id.clone());
        let key = validator.public_key.ed25519().unwrap();
        let key = ed25519_consensus::VerificationKey::try_from(key.as_bytes()).unwrap();
        let signature = ed25519_consensus::Signature::try_from(signature.as_bytes()).unwrap();
        key.verify(&signature, &bytes).unwrap();
    }
}

/// A chain with every kind of message through CometBFT: block by block what the dev engine makes of it, and what the
/// dev engine replays when the blocks are its own.
#[test]
fn a_chain_of_every_kind_is_the_same_through_either_engine() {
    require_cometbft();
    let directories = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let [theirs, ours, replayed] = directories.each_ref().map(tempfile::TempDir::path);
    let home = Home::new(theirs);
    std::fs::create_dir_all(home.validators()).unwrap();
    crate::chain_log::validator_key()
        .write(&home.validators().join("0.json"))
        .unwrap();
    let genesis = init(&home, "haca-log", super::engine::time(0), 1, |_| app_state()).unwrap();
    let keys = home.keys().unwrap();
    let proposer = <[u8; 20]>::try_from(keys[0].address().unwrap().as_bytes()).unwrap();
    let open = |directory: &std::path::Path| {
        let store = Store::open(&directory.join("state.redb"), genesis.hash(), 100).unwrap();
        let checker = Box::new(Script::default());
        Arc::new(LedgerApp::new(genesis.clone(), store, checker, Arc::default()))
    };
    let blocks = |directory: &std::path::Path| {
        Arc::new(BlockStore::open(&directory.join("blocks.redb"), genesis.hash()).unwrap())
    };

    let app = Arc::new(Scripted {
        app: open(theirs),
        log: every_kind_of_traffic(genesis.clone(), proposer),
    });
    let log = &app.log;
    let comet = CometBft::start(&config(), &home, &genesis, app.clone(), || ()).unwrap();
    let decided: Vec<_> = (1..=log.height() + 1)
        .map(|height| {
            assert!(comet.failure().is_none(), "{:?}", comet.failure());
            wait(|| comet.block(height).unwrap())
        })
        .collect();
    comet.stop();
    for (height, block) in (1..).zip(&decided) {
        assert_eq!(
            block.block.header.app_hash.as_bytes(),
            log.hash(height - 1),
            "height {height}"
        );
        if height <= log.height() {
            assert_eq!(block.block.data, log.block(height).txs, "height {height}");
        }
    }

    let mut chain = Chain::open(genesis.clone(), keys.clone(), blocks(ours), open(ours)).unwrap();
    compare(&mut chain, &decided);

    let store = blocks(replayed);
    for block in &decided {
        let height = block.block.header.height.value();
        store.put_block(height, &block.block, &block.commit).unwrap();
    }
    let mut replay = Chain::open(genesis.clone(), keys, store, open(replayed)).unwrap();
    assert_eq!(
        (replay.height(), replay.app_hash()),
        (chain.height(), chain.app_hash())
    );
    let last = &decided[decided.len() - 1];
    replay.make_block(Vec::new(), voted(last)).unwrap();
    let next = replay.store().block(replay.height()).unwrap().unwrap();
    assert_eq!(next.header.last_block_id, Some(last.id));
    assert_eq!(next.last_commit.as_ref(), Some(&last.commit));
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
