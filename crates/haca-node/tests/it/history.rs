//! What leaves the window of a node leaves its disk, and nothing that is in it.

use std::{path::Path, sync::Arc};

use haca_node::{
    Genesis,
    application::Application as _,
    driver::Status,
    engine::{BlockStore, Chain},
    history::{History, HistoryPolicy},
    home::{Home, init, standard_app_state},
    ledger_app::LedgerApp,
    metrics::Metrics,
    snapshot::{Archive, SnapshotPolicy},
    store::Store,
};

use super::{
    engine::time,
    ledger::{CHAIN_NUMBER, NoEvidence, holder, transfer},
};

/// Blocks for which the ledger remembers nonces, versions that the store keeps, and blocks that the node keeps.
const NONCES: u64 = 10;
const VERSIONS: u64 = 20;
const BLOCKS: u64 = 50;

/// What a node keeps that takes no snapshots.
const POLICY: HistoryPolicy = snapshots_every(0);
/// Blocks between the snapshots of one that does.
const SNAPSHOTS: u64 = 20;

const fn snapshots_every(interval_blocks: u64) -> HistoryPolicy {
    HistoryPolicy {
        keep_blocks: BLOCKS,
        keep_mb: 0,
        snapshots: SnapshotPolicy {
            interval_blocks,
            keep: 3,
            chunk_bytes: 1 << 20,
        },
    }
}

struct Node {
    chain: Chain<LedgerApp>,
    app: Arc<LedgerApp>,
    blocks: Arc<BlockStore>,
    metrics: Arc<Metrics>,
    genesis: Genesis,
}

fn network(directory: &Path) -> Genesis {
    init(&Home::new(directory), "haca-test-3", time(0), 1, |keys| {
        let mut state = standard_app_state(CHAIN_NUMBER, holder().address(), keys);
        state["params"]["tx_lifetime"] = serde_json::json!(NONCES);
        state
    })
    .unwrap()
}

fn open(directory: &Path, genesis: &Genesis, policy: HistoryPolicy) -> Node {
    let home = Home::new(directory);
    let metrics = Arc::default();
    let store = Store::open(&home.state(), genesis.hash(), VERSIONS).unwrap();
    let history = History::open(&home, genesis.hash(), policy);
    let app = LedgerApp::new(genesis.clone(), store, Box::new(NoEvidence), Arc::clone(&metrics));
    let app = Arc::new(app.with_history(history));
    let blocks = Arc::new(BlockStore::open(&home.blocks(), genesis.hash()).unwrap());
    let keys = home.keys().unwrap();
    let chain = Chain::open(genesis.clone(), keys, Arc::clone(&blocks), Arc::clone(&app)).unwrap();
    Node {
        chain,
        app,
        blocks,
        metrics,
        genesis: genesis.clone(),
    }
}

impl Node {
    /// What a driver would say of it.
    fn status(&self) -> Status {
        Status {
            engine: "test",
            height: self.chain.height(),
            block_hash: Vec::new(),
            time: self.chain.time(),
            mempool_txs: 0,
            mempool_bytes: 0,
            catching_up: false,
        }
    }

    /// Makes blocks of one transfer each up to a height; returns the bytes of the last one.
    fn run_to(&mut self, height: u64) -> u64 {
        let mut bytes = 0;
        while self.chain.height() < height {
            let next = self.chain.height() + 1;
            let tx = transfer(&self.genesis, next, 1, next + NONCES);
            bytes = tx.len() as u64;
            let now = time(i64::try_from(next).unwrap());
            self.chain.make_block(vec![tx], now).unwrap();
            let results = self.blocks.results(next).unwrap().unwrap().results;
            assert!(results.iter().all(|result| result.is_ok()), "{results:?}");
        }
        bytes
    }
}

#[test]
fn three_hundred_blocks_take_no_more_than_a_window_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let genesis = network(directory.path());
    let mut node = open(directory.path(), &genesis, POLICY);
    node.run_to(BLOCKS);
    assert_eq!(node.app.retain_height(), 0, "nothing has left the window");
    assert!(node.app.store().block_index(1).unwrap().is_some());
    let mut rows = Vec::new();
    for height in [100, 200, 300] {
        let tx_bytes = node.run_to(height);
        rows.push(node.app.store().row_counts().unwrap());
        // What a block drops follows from the height before it, and blocks go one block after their index.
        let oldest = height - 1 - BLOCKS;
        assert_eq!(node.app.retain_height(), oldest);
        assert_eq!(node.app.store().oldest_indexed().unwrap(), Some(oldest));
        let index = |height| node.app.store().block_index(height).unwrap();
        assert_eq!(index(oldest - 1), None);
        assert_eq!(index(oldest).unwrap().tx_bytes, tx_bytes);
        let blocks = &node.blocks;
        for (height, is_kept) in [
            (1, false),
            (oldest - 2, false),
            (oldest - 1, true),
            (height, true),
        ] {
            assert_eq!(blocks.block(height).unwrap().is_some(), is_kept, "block {height}");
            assert_eq!(
                blocks.commit(height).unwrap().is_some(),
                is_kept,
                "commit {height}"
            );
            assert_eq!(
                blocks.results(height).unwrap().is_some(),
                is_kept,
                "results {height}"
            );
            assert_eq!(
                blocks.validators(height).unwrap().is_some(),
                is_kept,
                "validators {height}"
            );
        }
    }
    // The number of the tree's nodes follows from hashes as well.
    let [nodes, values, keys, state, ..] = rows[0];
    for [later, rest @ ..] in &rows[1..] {
        assert_eq!(rest[..3], [values, keys, state]);
        assert!(later.abs_diff(nodes) < nodes / 4, "{nodes} nodes became {later}");
    }
    drop(node);
    let mut node = open(directory.path(), &genesis, POLICY);
    assert_eq!(node.chain.height(), 300);
    node.run_to(302);
}

/// Heights of the finished snapshots of the node in `directory`.
fn snapshots(directory: &Path) -> Vec<u64> {
    let entries = std::fs::read_dir(Home::new(directory).snapshots())
        .into_iter()
        .flatten();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut heights: Vec<u64> = entries.filter_map(|entry| name(entry).parse().ok()).collect();
    heights.sort_unstable();
    heights
}

/// A chain of some blocks, and the height at which it took its only snapshot.
fn with_one_snapshot(directory: &Path, genesis: &Genesis) -> u64 {
    let mut node = open(directory, genesis, POLICY);
    node.run_to(SNAPSHOTS + 10);
    let policy = snapshots_every(SNAPSHOTS).snapshots;
    let archive = Archive::open(&Home::new(directory).snapshots(), genesis.hash(), policy);
    archive.take(&node.app.store().view().unwrap()).unwrap();
    assert_eq!(snapshots(directory), [node.chain.height()]);
    node.chain.height()
}

#[test]
fn snapshots_of_before_hold_no_blocks_back_where_none_are_taken_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let genesis = network(directory.path());
    with_one_snapshot(directory.path(), &genesis);
    let mut node = open(directory.path(), &genesis, POLICY);
    assert!(snapshots(directory.path()).is_empty());
    assert!(node.app.snapshots().unwrap().is_empty());
    node.run_to(100);
    assert_eq!(node.app.retain_height(), 100 - 1 - BLOCKS);
}

#[test]
fn snapshots_that_fail_hold_blocks_back_for_a_while_and_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let genesis = network(directory.path());
    let oldest = with_one_snapshot(directory.path(), &genesis);
    // Where a snapshot would be written stands a file. Opening the node removes only directories.
    let place = Home::new(directory.path()).snapshots();
    for height in (1..20).map(|number| number * SNAPSHOTS) {
        std::fs::write(place.join(format!("{height}.partial")), b"").unwrap();
    }
    // Three are kept, a fourth is being taken; and twice that.
    let limit = 2 * 4 * SNAPSHOTS;
    let mut node = open(directory.path(), &genesis, snapshots_every(SNAPSHOTS));
    node.run_to(oldest + limit);
    assert_eq!(snapshots(directory.path()), [oldest]);
    assert_eq!(
        node.app.retain_height(),
        oldest,
        "whoever starts from it needs them"
    );
    node.run_to(300);
    assert_eq!(node.app.retain_height(), 300 - 1 - BLOCKS);
    assert!(
        node.app.snapshots().unwrap().is_empty(),
        "what follows them is gone"
    );
    let metrics = Arc::clone(&node.metrics);
    let status = node.status();
    drop(node);
    let text = metrics.render(&status, 0, &[]);
    assert!(
        text.contains("haca_snapshots_total{result=\"taken\"} 0"),
        "{text}"
    );
    assert!(
        text.contains("haca_snapshots_total{result=\"failed\"} "),
        "{text}"
    );
    assert!(
        !text.contains("haca_snapshots_total{result=\"failed\"} 0"),
        "{text}"
    );
}
