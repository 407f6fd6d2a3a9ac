//! The thread that makes blocks: when transactions wait, once more after them so that a header proves their effect,
//! and now and then so that the clock of the ledger moves.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use haca_wire::TxHash;
use prost::Message as _;
use tendermint::Time;
use tendermint_proto::v0_38::types;

use super::{BlockStore, Chain, Mempool, MempoolLimits};
use crate::{
    application::Application,
    driver::{DecidedBlock, Driver, LightBlock, Status},
    error::NodeError,
    genesis::Genesis,
};

/// When blocks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Shortest time between two blocks that carry transactions.
    pub between_blocks: Duration,
    /// Longest time without a block.
    pub idle: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            between_blocks: Duration::from_millis(100),
            idle: Duration::from_secs(10),
        }
    }
}

#[derive(Debug, Default)]
struct Signal {
    pending: bool,
    stop: bool,
}

#[derive(Debug)]
struct Shared<A> {
    app: Arc<A>,
    blocks: Arc<BlockStore>,
    mempool: Mempool,
    genesis_time: Time,
    signal: Mutex<Signal>,
    wake: Condvar,
    failure: OnceLock<String>,
}

impl<A> Shared<A> {
    fn signal(&self) -> MutexGuard<'_, Signal> {
        self.signal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a stop, or (if `for_txs`) for transactions, at most until `deadline`. Returns the flags.
    fn wait(&self, for_txs: bool, deadline: Instant) -> (bool, bool) {
        let mut signal = self.signal();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if signal.stop || (for_txs && signal.pending) || left.is_zero() {
                return (signal.stop, signal.pending);
            }
            signal = self
                .wake
                .wait_timeout(signal, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// Consensus in one process. Not Byzantine fault tolerant: whoever runs it decides.
#[derive(Debug)]
pub struct DevEngine<A> {
    shared: Arc<Shared<A>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<A: Application> DevEngine<A> {
    /// Starts making blocks. `now` is the validators' clock. `failed` is called once if block making fails.
    pub fn start(
        chain: Chain<A>,
        app: Arc<A>,
        genesis: &Genesis,
        limits: MempoolLimits,
        pace: Pace,
        now: impl Fn() -> Time + Send + 'static,
        failed: impl FnOnce() + Send + 'static,
    ) -> Result<Self, NodeError> {
        let shared = Arc::new(Shared {
            app,
            blocks: Arc::clone(chain.store()),
            mempool: Mempool::new(limits),
            genesis_time: genesis.time,
            signal: Mutex::default(),
            wake: Condvar::new(),
            failure: OnceLock::new(),
        });
        let worker = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("dev-engine".to_owned())
            .spawn(move || {
                // A node whose engine has died must not look alive.
                let made = catch_unwind(AssertUnwindSafe(|| produce(chain, &worker, pace, now)));
                let reason = match made {
                    Ok(Ok(())) => return,
                    Ok(Err(error)) => error.line(),
                    Err(_) => "the block producer panicked".to_owned(),
                };
                let _ = worker.failure.set(reason);
                worker.signal().stop = true;
                failed();
            })
            .map_err(|error| NodeError::Encoding {
                what: "engine thread",
                reason: error.to_string(),
            })?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }
}

fn produce<A: Application>(
    mut chain: Chain<A>,
    shared: &Shared<A>,
    pace: Pace,
    now: impl Fn() -> Time,
) -> Result<(), NodeError> {
    // The header that proves a block's effect is the next one.
    let mut unproven = chain.height() == 0;
    let mut last = Instant::now()
        .checked_sub(pace.between_blocks)
        .unwrap_or_else(Instant::now);
    loop {
        if !unproven {
            let (stop, _) = shared.wait(true, last + pace.idle);
            if stop {
                return Ok(());
            }
            // Lets more transactions join, so that a burst makes few blocks.
            let (stop, _) = shared.wait(false, last + pace.between_blocks);
            if stop {
                return Ok(());
            }
        }
        if shared.signal().stop {
            return Ok(());
        }
        shared.signal().pending = false;
        let max_bytes = chain.max_tx_bytes();
        let candidates = shared.mempool.reap(max_bytes);
        let position = chain.next_position()?;
        let txs = match candidates.is_empty() {
            true => candidates,
            false => shared.app.prepare_proposal(position, candidates, max_bytes)?,
        };
        if txs.is_empty() && !unproven && last.elapsed() < pace.idle {
            continue;
        }
        last = Instant::now();
        unproven = !txs.is_empty();
        let included = txs.clone();
        chain.make_block(txs, now())?;
        shared.mempool.settle(&included, shared.app.as_ref())?;
        if unproven && shared.mempool.size().0 > 0 {
            shared.signal().pending = true;
        }
    }
}

impl<A: Application> Driver for DevEngine<A> {
    fn submit_tx(&self, tx: Vec<u8>) -> Result<TxHash, NodeError> {
        if self.shared.signal().stop {
            return Err(NodeError::EngineStopped);
        }
        let hash = self.shared.mempool.submit(tx, self.shared.app.as_ref())?;
        self.shared.signal().pending = true;
        self.shared.wake.notify_all();
        Ok(hash)
    }

    fn block(&self, height: u64) -> Result<Option<DecidedBlock>, NodeError> {
        let blocks = &self.shared.blocks;
        let (Some(block), Some(commit), Some(validators)) = (
            blocks.block(height)?,
            blocks.commit(height)?,
            blocks.validators(height)?,
        ) else {
            return Ok(None);
        };
        Ok(Some(DecidedBlock {
            id: commit.block_id,
            block,
            commit,
            validators,
        }))
    }

    fn light_block(&self, height: u64) -> Result<Option<LightBlock>, NodeError> {
        let Some(decided) = self.block(height)? else {
            return Ok(None);
        };
        let next = match self.shared.blocks.validators(height + 1)? {
            Some(next) => next,
            None => decided.validators.next(),
        };
        Ok(Some(LightBlock {
            signed_header: types::SignedHeader {
                header: Some(decided.block.header.into()),
                commit: Some(decided.commit.into()),
            },
            validators: decided.validators.to_proto(),
            next_validators: next.to_proto(),
        }))
    }

    fn status(&self) -> Result<Status, NodeError> {
        let height = self.shared.blocks.height()?;
        let block = self.shared.blocks.block(height)?;
        let (mempool_txs, mempool_bytes) = self.shared.mempool.size();
        Ok(Status {
            engine: "dev",
            height,
            block_hash: block
                .as_ref()
                .map(|b| b.header.hash().as_bytes().to_vec())
                .unwrap_or_default(),
            time: block.map_or(self.shared.genesis_time, |b| b.header.time),
            mempool_txs,
            mempool_bytes,
            catching_up: false,
        })
    }

    fn stop(&self) {
        self.shared.signal().stop = true;
        self.shared.wake.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    fn failure(&self) -> Option<String> {
        self.shared.failure.get().cloned()
    }
}

impl LightBlock {
    /// Encoded signed header, validators, next validators.
    pub fn encode(&self) -> [Vec<u8>; 3] {
        [
            self.signed_header.encode_to_vec(),
            self.validators.encode_to_vec(),
            self.next_validators.encode_to_vec(),
        ]
    }
}
