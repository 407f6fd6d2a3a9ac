//! A ledger on a disk of the tests' own, driven call by call and compared with a log.

use std::{path::Path, sync::Arc};

use haca_node::{
    NodeError,
    application::{Application, Decision, FinalizedBlock, InitChain},
    evidence_memory::EvidenceLimits,
    ledger_app::LedgerApp,
    store::Store,
};
use redb::StorageBackend;

use crate::{chain_log::ChainLog, script::Script};

/// Versions that a replica keeps: few, so that every block prunes.
pub(crate) const KEEP: u64 = 3;

/// Opens the ledger on a storage.
pub(crate) fn open(
    log: &ChainLog,
    storage: impl StorageBackend,
    limits: EvidenceLimits,
) -> Result<Arc<LedgerApp>, NodeError> {
    let store = Store::open_on(storage, Path::new("disk"), log.genesis.hash(), KEEP)?;
    Ok(Arc::new(LedgerApp::with_limits(
        log.genesis.clone(),
        store,
        Box::new(Script::default()),
        Arc::default(),
        limits,
    )))
}

/// The request that starts the chain.
pub(crate) fn init_request(log: &ChainLog) -> InitChain {
    InitChain {
        chain_id: log.genesis.chain_id.to_string(),
        initial_height: 1,
        validators: Vec::new(),
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
    let found = app.finalize_block(log.position(height), &log.block(height).txs, &Decision::default())?;
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
