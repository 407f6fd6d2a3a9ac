//! Transactions that wait for a block, best paid first, bounded by count and bytes, no duplicates. When there is no
//! room, whoever pays least makes room for who pays more.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
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

/// Where a transaction stands: by what it pays, then by arrival.
type Place = (Reverse<u128>, u64);

#[derive(Debug, Default)]
struct Waiting {
    queue: BTreeMap<Place, (TxHash, Vec<u8>)>,
    places: BTreeMap<TxHash, Place>,
    bytes: usize,
    arrivals: u64,
}

impl Waiting {
    fn insert(&mut self, hash: TxHash, priority: u128, tx: Vec<u8>) {
        let place = (Reverse(priority), self.arrivals);
        self.arrivals = self.arrivals.wrapping_add(1);
        self.bytes = self.bytes.saturating_add(tx.len());
        self.places.insert(hash, place);
        self.queue.insert(place, (hash, tx));
    }

    fn remove(&mut self, hash: &TxHash) {
        let place = self.places.remove(hash);
        if let Some((_, tx)) = place.and_then(|place| self.queue.remove(&place)) {
            self.bytes = self.bytes.saturating_sub(tx.len());
        }
    }

    /// What has to leave so that `more` bytes fit: the worst paid, the latest of equals first, each paying less than
    /// `priority`. `None` when that is not enough.
    fn displaced(&self, limits: &MempoolLimits, more: usize, priority: u128) -> Option<Vec<TxHash>> {
        let mut count = self.queue.len().saturating_add(1);
        let mut bytes = self.bytes.saturating_add(more);
        let mut leaving = Vec::new();
        let mut worst = self.queue.iter().rev();
        while count > limits.transactions || bytes > limits.bytes {
            let ((Reverse(paid), _), (hash, tx)) = worst.next()?;
            if *paid >= priority {
                return None;
            }
            count = count.saturating_sub(1);
            bytes = bytes.saturating_sub(tx.len());
            leaving.push(*hash);
        }
        Some(leaving)
    }
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
        if self.lock().places.contains_key(&hash) {
            return Ok(hash);
        }
        // Checked outside the lock, so that several are checked at once.
        let result = app.check_tx(&tx, false)?;
        if !result.is_ok() {
            return Err(NodeError::TxRefused {
                code: result.code,
                log: result.log,
            });
        }
        let mut waiting = self.lock();
        if waiting.places.contains_key(&hash) {
            return Ok(hash);
        }
        let Some(leaving) = waiting.displaced(&self.limits, tx.len(), result.priority) else {
            return Err(NodeError::MempoolFull {
                transactions: waiting.queue.len(),
                bytes: waiting.bytes,
            });
        };
        for worst in &leaving {
            waiting.remove(worst);
        }
        waiting.insert(hash, result.priority, tx);
        Ok(hash)
    }

    /// The best paid transactions, together at most `max_bytes`. They stay until [`Self::settle`].
    pub fn reap(&self, max_bytes: usize) -> Vec<Vec<u8>> {
        let waiting = self.lock();
        let mut bytes = 0_usize;
        let mut txs = Vec::new();
        for (_, tx) in waiting.queue.values() {
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
        let gone = included.iter().map(|tx| TxHash(tx_hash(tx)));
        self.remove(gone.collect());
        let rest: Vec<(TxHash, Vec<u8>)> = self.lock().queue.values().cloned().collect();
        let mut refused = BTreeSet::new();
        for (hash, tx) in rest {
            if !app.check_tx(&tx, true)?.is_ok() {
                refused.insert(hash);
            }
        }
        self.remove(refused);
        Ok(())
    }

    fn remove(&self, gone: BTreeSet<TxHash>) {
        let mut waiting = self.lock();
        for hash in gone {
            waiting.remove(&hash);
        }
    }

    /// Transactions and bytes that wait.
    pub fn size(&self) -> (usize, usize) {
        let waiting = self.lock();
        (waiting.queue.len(), waiting.bytes)
    }
}
