//! The blocks of CometBFT: a full node as validators run it, fed with the transfers of a block whenever there is one.

use std::time::Duration;

use super::Watch;
use crate::args::BenchDisk;
use crate::bench::chain::failed;
use crate::bench::chain::site::{NodeStart, Site};
use crate::failure::Failure;

/// How often the height is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// Transactions that may wait for a block: many blocks' worth.
const WAITING: u64 = 2_000;

/// Runs until there are as many blocks as planned, or the time is up.
pub(super) fn run(site: &Site, bench: &BenchDisk, watch: &mut Watch<'_>) -> Result<(), Failure> {
    let plan = watch.plan;
    let (keep_blocks, keep_mb, snapshot_blocks) = (
        plan.history.keep_blocks.to_string(),
        plan.history.keep_mb.to_string(),
        plan.history.snapshots.interval_blocks.to_string(),
    );
    let node = site.start(&NodeStart {
        commit_ms: 0,
        cometbft: bench.cometbft.as_deref(),
        build: bench.build.as_deref(),
        flags: &[
            "--keep-blocks",
            &keep_blocks,
            "--keep-mb",
            &keep_mb,
            "--snapshot-blocks",
            &snapshot_blocks,
        ],
    })?;
    let [(_, process), _] = node.processes();
    let mut connection = node.rpc.connect()?;
    let (mut height, mut made) = (0, 0);
    while height < plan.blocks && !plan.is_over() {
        let newest = node.rpc.committed()?;
        for _ in height..newest {
            // One more waits than blocks hold, when they come faster than they are looked at.
            let txs = plan.transfers(site, made, newest)?;
            for batch in txs.chunks(10) {
                let mut batch: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
                while !batch.is_empty() {
                    batch = connection.broadcast(&batch)?;
                }
            }
            made += plan.txs;
        }
        if newest == height {
            std::thread::sleep(LOOK);
            continue;
        }
        height = newest;
        watch.at(height, made, process);
    }
    // What was sent last may still wait.
    let included = made.saturating_sub(WAITING);
    node.check_all_succeeded(usize::try_from(included).map_err(failed)?)
}
