//! Whatever is sent, every asset adds up after every block and nothing panics; the log of a history is all of it.

use std::collections::BTreeMap;

use haca_ledger::execute_block;
use haca_wire::{Amount, Encode, Message, SignedTransaction, Transaction};
use proptest::prelude::*;

use crate::random::{History, step};
use crate::script::Script;
use crate::world::{World, node};

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_every_asset_in_balance(steps in prop::collection::vec(step(), 1..80)) {
        let mut history = History::new();
        for step in steps {
            history.step(step);
        }
        history.seal(1);
        let mut replay = World::new().state;
        for entry in &history.world.log {
            let outcome = execute_block(&replay, &entry.context, &entry.txs, &Script::default()).unwrap();
            prop_assert_eq!(&outcome, &entry.outcome);
            replay = after(replay, &outcome.writes);
        }
        prop_assert_eq!(replay, history.world.state);
    }

    #[test]
    fn random_bytes_never_panic(txs in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..8)) {
        let mut world = World::new();
        let outcome = world.block(&txs);
        prop_assert!(outcome.txs.iter().all(|tx| tx.refusal.is_some()));
        prop_assert_eq!(outcome.burned, Amount(0));
    }

    #[test]
    fn validly_signed_nonsense_never_panics(body in prop::collection::vec(any::<u8>(), 1..300), tag in 1u8..12) {
        // A message that decodes, whatever it says, is signed by somebody who can pay.
        let mut bytes = vec![tag];
        bytes.extend(body);
        let mut reader = haca_wire::Reader::new(&bytes);
        let message = <Message as haca_wire::Decode>::decode(&mut reader);
        prop_assume!(message.is_ok());
        let (mut world, _) = World::with_channel();
        let meta = world.meta(&node());
        let transaction = Transaction { meta, message: message.unwrap() };
        let tx = SignedTransaction::sign(transaction, &world.domain, &node()).unwrap();
        world.block(&[tx.encode()]);
    }
}

fn after(mut state: BTreeMap<Vec<u8>, Vec<u8>>, writes: &haca_ledger::Writes) -> BTreeMap<Vec<u8>, Vec<u8>> {
    for (key, value) in writes {
        match value {
            Some(value) => state.insert(key.clone(), value.clone()),
            None => state.remove(key),
        };
    }
    state
}
