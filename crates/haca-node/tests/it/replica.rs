//! A ledger on a disk of the tests' own, driven call by call and compared with a log.

use std::{path::Path, sync::Arc};

use haca_node::{
    NodeError,
    application::{Application, FinalizedBlock, InitChain},
    engine::{BlockStore, Chain, ValidatorKey},
    evidence_memory::EvidenceLimits,
    history::History,
    ledger_app::LedgerApp,
    store::Store,
};
use redb::StorageBackend;

use crate::{
    chain_log::{ChainLog, network, steps},
    disk::Disk,
    engine::time,
    script::Script,
};

/// Versions that a replica keeps: few, so that every block prunes.
pub(crate) const KEEP: u64 = 3;

/// Opens the ledger on a storage.
pub(crate) fn open(
    log: &ChainLog,
    storage: impl StorageBackend,
    limits: EvidenceLimits,
) -> Result<Arc<LedgerApp>, NodeError> {
    open_with(log, storage, limits, None)
}

/// The same, with snapshots.
pub(crate) fn open_with(
    log: &ChainLog,
    storage: impl StorageBackend,
    limits: EvidenceLimits,
    history: Option<History>,
) -> Result<Arc<LedgerApp>, NodeError> {
    let store = Store::open_on(storage, Path::new("disk"), log.genesis.hash(), KEEP)?;
    let app = LedgerApp::with_limits(
        log.genesis.clone(),
        store,
        Box::new(Script::default()),
        Arc::default(),
        limits,
    );
    Ok(Arc::new(match history {
        Some(history) => app.with_history(history),
        None => app,
    }))
}

/// The request that starts the chain.
pub(crate) fn init_request(log: &ChainLog) -> InitChain {
    InitChain {
        chain_id: log.genesis.chain_id.to_string(),
        initial_height: 1,
        validators: log.genesis.validators.members(),
    }
}

/// The handshake: where the application stands, after the genesis state if it has none. Whatever it holds is compared.
pub(crate) fn handshake(log: &ChainLog, app: &dyn Application) -> Result<u64, NodeError> {
    let info = app.info()?;
    if info.height == 0 {
        assert_eq!(app.init_chain(&init_request(log))?, log.hash(0));
    } else {
        assert_eq!(info.app_hash, log.hash(info.height), "height {}", info.height);
    }
    Ok(info.height)
}

/// Executes the block of a height and compares.
pub(crate) fn finalize(
    log: &ChainLog,
    app: &dyn Application,
    height: u64,
) -> Result<FinalizedBlock, NodeError> {
    let found = app.finalize_block(
        log.position(height),
        &log.block(height).txs,
        &log.decision(height),
    )?;
    log.check(height, &found);
    Ok(found)
}

/// Executes and commits blocks from `from` to `to`; `committed` follows.
pub(crate) fn replay(
    log: &ChainLog,
    app: &dyn Application,
    from: u64,
    to: u64,
    committed: &mut u64,
) -> Result<(), NodeError> {
    for height in from..=to {
        finalize(log, app, height)?;
        app.commit()?;
        *committed = height;
    }
    Ok(())
}

/// Compares everything that a store holds of the state at its height.
pub(crate) fn compare(log: &ChainLog, app: &LedgerApp) {
    let view = app.store().view().unwrap();
    let height = view.tip().height;
    assert_eq!(view.tip().app_hash, log.hash(height));
    let found: Vec<_> = view.scan(b"", usize::MAX).unwrap();
    let expected: Vec<_> = log
        .state(height)
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    assert_eq!(found, expected, "state at {height}");
}

/// The dev engine with its two stores, each on a disk.
pub(crate) struct Engine {
    pub(crate) log: ChainLog,
    keys: Vec<ValidatorKey>,
}

impl Engine {
    pub(crate) fn new() -> Self {
        let (genesis, keys) = network();
        let proposer = keys[0].address().unwrap();
        let proposer = <[u8; 20]>::try_from(proposer.as_bytes()).unwrap();
        let log = ChainLog::record(genesis, proposer, steps(5, 5));
        Self { log, keys }
    }

    fn open(&self, [state, blocks]: &[Disk; 2]) -> Result<Chain<LedgerApp>, NodeError> {
        let app = open(&self.log, state.open(), EvidenceLimits::default())?;
        let genesis = self.log.genesis.clone();
        let store = BlockStore::open_on(blocks.open(), Path::new("blocks"), genesis.hash())?;
        Chain::open(genesis, self.keys.clone(), Arc::new(store), app)
    }

    /// Makes the blocks of the log from wherever the chain stands; returns the identity of each.
    pub(crate) fn run(&self, disks: &[Disk; 2]) -> Result<Vec<tendermint::Hash>, NodeError> {
        let mut chain = self.open(disks)?;
        while chain.height() < self.log.height() {
            let height = chain.height() + 1;
            let now = time(i64::try_from(height).unwrap());
            chain.make_block(self.log.block(height).txs.clone(), now)?;
            assert_eq!(chain.app_hash(), self.log.hash(height), "height {height}");
        }
        let block = |height| chain.store().block(height)?.ok_or(NodeError::NotReady);
        (1..=chain.height())
            .map(|height| Ok(block(height)?.header.hash()))
            .collect()
    }
}
