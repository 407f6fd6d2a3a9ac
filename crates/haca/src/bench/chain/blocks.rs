//! What the blocks of a run held, and how fast they came.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tendermint::Time;

use super::failed;
use super::rpc::Rpc;
use crate::failure::Failure;

/// How long the last transactions may take to be included.
const DRAIN: Duration = Duration::from_secs(60);
/// How often the mempool is looked at meanwhile.
const POLL: Duration = Duration::from_millis(50);
/// Block headers that one call gives.
const PAGE: u64 = 20;

/// The blocks between the first and the last that held transactions.
pub(super) struct Measured {
    /// Transactions in all blocks of the run.
    pub(super) txs: usize,
    /// Blocks that were timed.
    pub(super) blocks: usize,
    timed_txs: usize,
    timed_bytes: usize,
    time: Duration,
}

impl Measured {
    fn per_s(&self, count: usize) -> f64 {
        count as f64 / self.time.as_secs_f64().max(1e-9)
    }

    pub(super) fn txs_per_s(&self) -> f64 {
        self.per_s(self.timed_txs)
    }

    pub(super) fn blocks_per_s(&self) -> f64 {
        self.per_s(self.blocks)
    }

    pub(super) fn bytes_per_s(&self) -> f64 {
        self.per_s(self.timed_bytes)
    }
}

/// Waits until everything that was sent is in a block, then reads the headers after `first`.
pub(super) fn measure(rpc: &Rpc, first: u64, sent: usize) -> Result<Measured, Failure> {
    let deadline = Instant::now() + DRAIN;
    let mut metas = Vec::new();
    let mut height = first;
    loop {
        let newest = rpc.committed()?;
        metas.extend(self::metas(rpc, height + 1, newest)?);
        height = newest;
        let found: usize = metas.iter().map(|meta| meta.txs).sum();
        if found >= sent {
            break;
        }
        if Instant::now() > deadline {
            return Err(failed(format!(
                "{found} of {sent} transactions are in blocks, and {} wait",
                rpc.waiting()?
            )));
        }
        std::thread::sleep(POLL);
    }
    let full: Vec<&Meta> = {
        let start = metas.iter().position(|meta| meta.txs > 0);
        let end = metas.iter().rposition(|meta| meta.txs > 0);
        match (start, end) {
            (Some(start), Some(end)) => metas.get(start..=end).unwrap_or_default().iter().collect(),
            _ => return Err(failed("no block held a transaction")),
        }
    };
    let txs: usize = full.iter().map(|meta| meta.txs).sum();
    // A header's time is that of the commit before it: block i took from its own time to that of the next one. The last
    // block has no next one, and is often not full.
    let (Some(start), Some(end)) = (full.first(), full.last()) else {
        return Err(failed("no block held a transaction"));
    };
    let timed = full.get(..full.len().saturating_sub(1)).unwrap_or_default();
    Ok(Measured {
        txs,
        blocks: timed.len(),
        timed_txs: timed.iter().map(|meta| meta.txs).sum(),
        timed_bytes: timed.iter().map(|meta| meta.bytes).sum(),
        time: end.time.duration_since(start.time).unwrap_or_default(),
    })
}

/// What a header says of its block.
pub(super) struct Meta {
    time: Time,
    pub(super) txs: usize,
    pub(super) bytes: usize,
}

/// The headers of a range of heights, in order.
pub(super) fn metas(rpc: &Rpc, from: u64, to: u64) -> Result<Vec<Meta>, Failure> {
    let mut metas = Vec::new();
    let mut low = from;
    while low <= to {
        let high = to.min(low + PAGE - 1);
        let params = json!({ "minHeight": low.to_string(), "maxHeight": high.to_string() });
        let answer = rpc.call("blockchain", &params)?;
        let page = answer["block_metas"].as_array().cloned().unwrap_or_default();
        // Newest first.
        for meta in page.iter().rev() {
            metas.push(parse(meta).ok_or_else(|| failed(format!("a block's header is {meta}")))?);
        }
        low = high + 1;
    }
    Ok(metas)
}

fn parse(meta: &Value) -> Option<Meta> {
    let number = |value: &Value| value.as_str()?.parse().ok();
    Some(Meta {
        time: Time::parse_from_rfc3339(meta["header"]["time"].as_str()?).ok()?,
        txs: number(&meta["num_txs"])?,
        bytes: number(&meta["block_size"])?,
    })
}
