//! A key-value application over the real store: `key=value` sets, `key=` removes, `fail=` fails, `bad` is malformed,
//! `validator/KEY=POWER` changes a validator.

use std::{
    path::Path,
    sync::{Mutex, atomic::AtomicUsize},
};

use haca_node::{
    NodeError,
    application::{
        AppHash, Application, BlockPosition, Decision, FinalizedBlock, Info, InitChain, ProvenValue, Query,
        TxResult,
    },
    consensus::{ValidatorUpdate, hash::tx_hash},
    store::{BlockIndex, StagedBlock, Store, Write},
};
use haca_wire::GenesisHash;

#[derive(Debug)]
pub(crate) struct Kv {
    pub(crate) store: Store,
    staged: Mutex<Option<(StagedBlock, BlockIndex)>>,
    pub(crate) executed: AtomicUsize,
    /// What came with each executed block.
    pub(crate) decisions: Mutex<Vec<Decision>>,
}

fn validator_update(tx: &[u8]) -> Option<ValidatorUpdate> {
    let (key, power) = std::str::from_utf8(tx)
        .ok()?
        .strip_prefix("validator/")?
        .split_once('=')?;
    Some(ValidatorUpdate {
        key: hex::decode(key).ok()?.try_into().ok()?,
        power: power.parse().ok()?,
    })
}

impl Kv {
    pub(crate) fn open(directory: &Path, genesis: GenesisHash, keep: u64) -> Result<Self, NodeError> {
        Ok(Self {
            store: Store::open(&directory.join("state.redb"), genesis, keep)?,
            staged: Mutex::default(),
            executed: AtomicUsize::default(),
            decisions: Mutex::default(),
        })
    }

    fn parse(tx: &[u8]) -> Option<Write> {
        let at = tx.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (tx.get(..at)?, tx.get(at + 1..)?);
        if key.is_empty() || key == b"fail" {
            return None;
        }
        Some((key.to_vec(), (!value.is_empty()).then(|| value.to_vec())))
    }
}

impl Application for Kv {
    fn info(&self) -> Result<Info, NodeError> {
        let (height, app_hash) = self
            .store
            .tip()
            .map_or((0, [0; 32]), |tip| (tip.height, tip.app_hash));
        Ok(Info {
            height,
            app_hash,
            app_version: 1,
        })
    }

    fn init_chain(&self, _: &InitChain) -> Result<AppHash, NodeError> {
        if let Some(tip) = self.store.tip() {
            return Ok(tip.app_hash);
        }
        let staged = self
            .store
            .stage(0, vec![(b"genesis".to_vec(), Some(b"kv".to_vec()))])?;
        Ok(self.store.commit(staged, &BlockIndex::default())?.app_hash)
    }

    fn check_tx(&self, tx: &[u8], _: bool) -> Result<TxResult, NodeError> {
        let ok = tx.contains(&b'=');
        Ok(TxResult {
            code: u32::from(!ok),
            log: if ok { String::new() } else { "no =".to_owned() },
            ..TxResult::default()
        })
    }

    fn prepare_proposal(
        &self,
        _: BlockPosition,
        txs: Vec<Vec<u8>>,
        _: usize,
    ) -> Result<Vec<Vec<u8>>, NodeError> {
        Ok(txs)
    }

    fn process_proposal(&self, _: BlockPosition, txs: &[Vec<u8>]) -> Result<bool, NodeError> {
        Ok(txs.iter().all(|tx| tx.contains(&b'=')))
    }

    fn finalize_block(
        &self,
        position: BlockPosition,
        txs: &[Vec<u8>],
        decision: &Decision,
    ) -> Result<FinalizedBlock, NodeError> {
        self.decisions.lock().unwrap().push(decision.clone());
        self.executed.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let mut writes = std::collections::BTreeMap::new();
        let mut results = Vec::new();
        for (index, tx) in txs.iter().enumerate() {
            let write = Self::parse(tx);
            results.push(TxResult {
                code: if write.is_some() { 0 } else { 7 },
                data: tx.iter().take(index % 5).copied().collect(),
                log: format!("height {}", position.height),
                gas_wanted: tx.len() as u64,
                gas_used: index as u64,
                priority: 0,
            });
            writes.extend(write);
        }
        let staged = self.store.stage(position.height, writes.into_iter().collect())?;
        let app_hash = staged.tip().app_hash;
        let index = BlockIndex {
            tx_bytes: txs.iter().map(|tx| tx.len() as u64).sum(),
            txs: txs.iter().map(|tx| tx_hash(tx)).collect(),
            results: results.clone(),
            settled: Vec::new(),
        };
        *self.staged.lock().unwrap() = Some((staged, index));
        Ok(FinalizedBlock {
            results,
            app_hash,
            validator_updates: txs.iter().filter_map(|tx| validator_update(tx)).collect(),
        })
    }

    fn commit(&self) -> Result<(), NodeError> {
        let (staged, index) = self.staged.lock().unwrap().take().unwrap();
        self.store.commit(staged, &index).map(|_| ())
    }

    fn query(&self, query: &Query) -> Result<ProvenValue, NodeError> {
        let view = self.store.view().unwrap();
        view.prove(&query.key, query.height.unwrap_or(view.tip().height))
    }
}
