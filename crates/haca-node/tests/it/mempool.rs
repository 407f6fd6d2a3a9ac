//! The mempool: bounds, duplicates, order by price, and what a block leaves of it.

use std::{collections::BTreeSet, sync::Mutex};

use haca_node::{
    NodeError,
    application::{
        AppHash, Application, BlockPosition, Decision, FinalizedBlock, Info, InitChain, ProvenValue, Query,
        TxResult,
    },
    engine::{Mempool, MempoolLimits},
};
use proptest::prelude::*;

/// Admits every transaction but those in the list.
#[derive(Default)]
struct Gate {
    refused: Mutex<BTreeSet<Vec<u8>>>,
}

impl Application for Gate {
    fn check_tx(&self, tx: &[u8], _: bool) -> Result<TxResult, NodeError> {
        let code = u32::from(self.refused.lock().unwrap().contains(tx));
        Ok(TxResult {
            code,
            priority: price(tx),
            ..TxResult::default()
        })
    }
    fn info(&self) -> Result<Info, NodeError> {
        unreachable!("a mempool only checks")
    }
    fn init_chain(&self, _: &InitChain) -> Result<AppHash, NodeError> {
        unreachable!("a mempool only checks")
    }
    fn prepare_proposal(
        &self,
        _: BlockPosition,
        _: Vec<Vec<u8>>,
        _: usize,
    ) -> Result<Vec<Vec<u8>>, NodeError> {
        unreachable!("a mempool only checks")
    }
    fn process_proposal(&self, _: BlockPosition, _: &[Vec<u8>]) -> Result<bool, NodeError> {
        unreachable!("a mempool only checks")
    }
    fn finalize_block(
        &self,
        _: BlockPosition,
        _: &[Vec<u8>],
        _: &Decision,
    ) -> Result<FinalizedBlock, NodeError> {
        unreachable!("a mempool only checks")
    }
    fn commit(&self) -> Result<(), NodeError> {
        unreachable!("a mempool only checks")
    }
    fn query(&self, _: &Query) -> Result<ProvenValue, NodeError> {
        unreachable!("a mempool only checks")
    }
}

/// What a transaction of these tests pays.
fn price(tx: &[u8]) -> u128 {
    tx.first().copied().unwrap_or(0).into()
}

const LIMITS: MempoolLimits = MempoolLimits {
    transactions: 10,
    bytes: 300,
    tx_bytes: 60,
};

/// What waits, in a list: the best paid first, equals in the order of arrival.
#[derive(Default)]
struct Model(Vec<Vec<u8>>);

impl Model {
    fn bytes(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// Whether the transaction waits now. Only what pays less leaves for it, and only if that is enough.
    fn submit(&mut self, tx: &[u8]) -> bool {
        let mut rest = self.0.clone();
        while rest.len() + 1 > LIMITS.transactions
            || rest.iter().map(Vec::len).sum::<usize>() + tx.len() > LIMITS.bytes
        {
            match rest.pop() {
                Some(worst) if price(&worst) < price(tx) => {}
                _ => return false,
            }
        }
        let place = rest.iter().position(|waiting| price(waiting) < price(tx));
        rest.insert(place.unwrap_or(rest.len()), tx.to_vec());
        self.0 = rest;
        true
    }
}

proptest! {
    #[test]
    fn stays_within_its_bounds_and_keeps_who_pays_most(
        txs in proptest::collection::vec(proptest::collection::vec(0..4_u8, 0..80), 0..40),
        refused in proptest::collection::btree_set(proptest::collection::vec(0..4_u8, 0..3), 0..6),
        max_bytes in 0..400_usize,
        included in 0..10_usize,
    ) {
        let gate = Gate::default();
        let mempool = Mempool::new(LIMITS);
        let mut expected = Model::default();
        for tx in txs {
            let found = mempool.submit(tx.clone(), &gate);
            if tx.len() > LIMITS.tx_bytes {
                let too_large = matches!(found, Err(NodeError::TxTooLarge { .. }));
                prop_assert!(too_large);
            } else if expected.0.contains(&tx) || expected.submit(&tx) {
                prop_assert!(found.is_ok());
            } else {
                let full = matches!(found, Err(NodeError::MempoolFull { .. }));
                prop_assert!(full);
            }
            prop_assert_eq!(mempool.size(), (expected.0.len(), expected.bytes()));
            prop_assert_eq!(mempool.reap(usize::MAX), expected.0.clone());
        }
        let expected = expected.0;
        let bytes = |txs: &[Vec<u8>]| txs.iter().map(Vec::len).sum::<usize>();
        let reaped = mempool.reap(max_bytes);
        prop_assert!(bytes(&reaped) <= max_bytes && expected.starts_with(&reaped));
        prop_assert!(reaped.len() == expected.len() || bytes(&expected[..=reaped.len()]) > max_bytes);

        let block: Vec<Vec<u8>> = expected.iter().take(included).cloned().collect();
        *gate.refused.lock().unwrap() = refused.clone();
        mempool.settle(&block, &gate).unwrap();
        let rest: Vec<Vec<u8>> = expected.into_iter().skip(included).filter(|tx| !refused.contains(tx)).collect();
        prop_assert_eq!(mempool.reap(usize::MAX), rest.clone());
        prop_assert_eq!(mempool.size(), (rest.len(), bytes(&rest)));
    }
}

#[test]
fn a_refused_transaction_does_not_wait() {
    let gate = Gate::default();
    gate.refused.lock().unwrap().insert(vec![1]);
    let mempool = Mempool::new(LIMITS);
    assert!(matches!(
        mempool.submit(vec![1], &gate),
        Err(NodeError::TxRefused { code: 1, .. })
    ));
    assert_eq!(mempool.size(), (0, 0));
}
