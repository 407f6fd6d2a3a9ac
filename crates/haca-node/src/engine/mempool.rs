//! Transactions that wait for a block: first come, first served, bounded by count and bytes, no duplicates.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use haca_wire::TxHash;

use crate::{application::Application, consensus::hash::tx_hash, error::NodeError};

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MempoolLimits {
    /// Transactions.
    pub transactions: usize,
    /// Bytes of all transactions together.
    pub bytes: usize,
    /// Bytes of one transaction.
    pub tx_bytes: usize,
}

impl Default for MempoolLimits {
    fn default() -> Self {
        Self {
            transactions: 5_000,
            bytes: 64 << 20,
            tx_bytes: haca_wire::limit::TX_BYTES,
        }
    }
}

#[derive(Debug, Default)]
struct Waiting {
    queue: VecDeque<(TxHash, Vec<u8>)>,
    hashes: BTreeSet<TxHash>,
    bytes: usize,
}

/// The mempool.
#[derive(Debug)]
pub struct Mempool {
    limits: MempoolLimits,
    waiting: Mutex<Waiting>,
}

impl Mempool {
    /// An empty mempool.
    pub fn new(limits: MempoolLimits) -> Self {
        Self {
            limits,
            waiting: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks a transaction and lets it wait. One that waits already is accepted again.
    pub fn submit(&self, tx: Vec<u8>, app: &dyn Application) -> Result<TxHash, NodeError> {
        if tx.len() > self.limits.tx_bytes {
            return Err(NodeError::TxTooLarge {
                found: tx.len(),
                expected: self.limits.tx_bytes,
            });
        }
        let hash = TxHash(tx_hash(&tx));
        {
            let waiting = self.lock();
            if waiting.hashes.contains(&hash) {
                return Ok(hash);
            }
            self.check_room(&waiting, tx.len())?;
        }
        // Checked outside the lock: evidence may take milliseconds.
        let result = app.check_tx(&tx, false)?;
        if !result.is_ok() {
            return Err(NodeError::TxRefused {
                code: result.code,
                log: result.log,
            });
        }
        let mut waiting = self.lock();
        self.check_room(&waiting, tx.len())?;
        if waiting.hashes.insert(hash) {
            waiting.bytes += tx.len();
            waiting.queue.push_back((hash, tx));
        }
        Ok(hash)
    }

    fn check_room(&self, waiting: &Waiting, more: usize) -> Result<(), NodeError> {
        if waiting.queue.len() >= self.limits.transactions
            || waiting.bytes.saturating_add(more) > self.limits.bytes
        {
            return Err(NodeError::MempoolFull {
                transactions: waiting.queue.len(),
                bytes: waiting.bytes,
            });
        }
        Ok(())
    }

    /// The oldest transactions, together at most `max_bytes`. They stay until [`Self::settle`].
    pub fn reap(&self, max_bytes: usize) -> Vec<Vec<u8>> {
        let waiting = self.lock();
        let mut bytes = 0_usize;
        let mut txs = Vec::new();
        for (_, tx) in &waiting.queue {
            bytes = bytes.saturating_add(tx.len());
            if bytes > max_bytes {
                break;
            }
            txs.push(tx.clone());
        }
        txs
    }

    /// Removes what a block included and what the new state no longer admits.
    pub fn settle(&self, included: &[Vec<u8>], app: &dyn Application) -> Result<(), NodeError> {
        let gone: BTreeSet<TxHash> = included.iter().map(|tx| TxHash(tx_hash(tx))).collect();
        self.remove(|hash| gone.contains(hash));
        let rest: Vec<(TxHash, Vec<u8>)> = self.lock().queue.iter().cloned().collect();
        let mut refused = BTreeSet::new();
        for (hash, tx) in rest {
            if !app.check_tx(&tx, true)?.is_ok() {
                refused.insert(hash);
            }
        }
        self.remove(|hash| refused.contains(hash));
        Ok(())
    }

    fn remove(&self, gone: impl Fn(&TxHash) -> bool) {
        let mut waiting = self.lock();
        let waiting = &mut *waiting;
        waiting.queue.retain(|(hash, tx)| {
            let leaves = gone(hash);
            if leaves {
                waiting.hashes.remove(hash);
                waiting.bytes -= tx.len();
            }
            !leaves
        });
    }

    /// Transactions and bytes that wait.
    pub fn size(&self) -> (usize, usize) {
        let waiting = self.lock();
        (waiting.queue.len(), waiting.bytes)
    }
}
