//! The blocks of the dev engine: the same application over the same store, without CometBFT around it.

use std::sync::Arc;
use std::time::Duration;

use haca_node::Genesis;
use haca_node::engine::{BlockStore, Chain};
use haca_node::evidence::ZkEvidence;
use haca_node::history::History;
use haca_node::home::Home;
use haca_node::ledger_app::LedgerApp;
use haca_node::store::{DEFAULT_KEEP_VERSIONS, Store};

use super::Watch;
use crate::bench::chain::failed;
use crate::bench::chain::site::Site;
use crate::failure::Failure;
use crate::setup::node;

/// Makes as many blocks as planned, or as there is time for; a second of the chain passes from one to the next.
pub(super) fn run(site: &Site, watch: &mut Watch<'_>) -> Result<(), Failure> {
    let plan = watch.plan;
    let home = Home::new(site.home());
    let genesis = Genesis::read(&home.genesis()).map_err(node)?;
    let store = Store::open(&home.state(), genesis.hash(), DEFAULT_KEEP_VERSIONS).map_err(node)?;
    let history = History::open(&home, genesis.hash(), plan.history);
    let app = LedgerApp::new(
        genesis.clone(),
        store,
        Box::new(ZkEvidence::default()),
        Arc::default(),
    );
    let app = Arc::new(app.with_history(history));
    let blocks = BlockStore::open(&home.blocks(), genesis.hash()).map_err(node)?;
    let blocks = Arc::new(blocks);
    let keys = home.keys().map_err(node)?;
    let mut chain = Chain::open(genesis, keys, Arc::clone(&blocks), app).map_err(node)?;
    let mut made = 0;
    while chain.height() < plan.blocks && !plan.is_over() {
        let txs = plan.transfers(site, made, chain.height())?;
        let now = chain.time() + Duration::from_secs(1);
        let height = chain.make_block(txs, now.map_err(failed)?).map_err(node)?;
        made += plan.txs;
        let results = blocks.results(height).map_err(node)?;
        let all_succeeded = results.is_some_and(|block| block.results.iter().all(|tx| tx.is_ok()));
        if !all_succeeded {
            return Err(failed(format!("a transfer of block {height} failed")));
        }
        watch.at(height, made, std::process::id());
    }
    Ok(())
}
