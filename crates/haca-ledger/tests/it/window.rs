//! The sequence window against a plain set, and the records against their encodings.

use std::collections::BTreeSet;

use haca_wire::state::{Entry, EntryError, SEQUENCE_WINDOW, SequenceState, SequenceWindow, key};
use haca_wire::{Amount, Decode, Encode, EvidenceKind, Height, Message, Proposal, Sequence};
use proptest::prelude::*;

use crate::demands::demand;
use crate::vouchers::{range, settle};
use crate::world::{OPG, USD, World, alice, bob, consensus_id, node};

/// What the window means, written with a set.
#[derive(Default)]
struct Model {
    used: BTreeSet<u64>,
}

impl Model {
    fn state(&self, sequence: u64) -> SequenceState {
        let next = self.used.last().map_or(0, |highest| highest + 1);
        if sequence == u64::MAX || sequence < next.saturating_sub(SEQUENCE_WINDOW) {
            SequenceState::OutOfWindow
        } else if self.used.contains(&sequence) {
            SequenceState::Used
        } else {
            SequenceState::Unused
        }
    }
}

proptest! {
    #[test]
    fn the_window_is_a_set_of_the_last_1024(moves in prop::collection::vec((any::<bool>(), 0u64..3_000), 1..200)) {
        let (mut window, mut model) = (SequenceWindow::default(), Model::default());
        for (back, distance) in moves {
            let next = window.next().0;
            let sequence = if back { next.saturating_sub(distance) } else { next + distance % 40 };
            let expected = model.state(sequence);
            prop_assert_eq!(window.state(Sequence(sequence)), expected);
            match window.mark(Sequence(sequence)) {
                Ok(()) => {
                    prop_assert_eq!(expected, SequenceState::Unused);
                    model.used.insert(sequence);
                }
                Err(state) => prop_assert_eq!(state, expected),
            }
            prop_assert_eq!(SequenceWindow::decode_all(&window.encode()), Ok(window.clone()));
        }
        let next = window.next().0;
        for sequence in next.saturating_sub(1_100)..next + 10 {
            prop_assert_eq!(window.state(Sequence(sequence)), model.state(sequence), "{}", sequence);
        }
    }
}

#[test]
fn a_long_jump_leaves_nothing_behind() {
    let mut window = SequenceWindow::default();
    window.mark(Sequence(5)).unwrap();
    window.mark(Sequence(9 + 7 * SEQUENCE_WINDOW)).unwrap();
    assert_eq!(window.lowest(), Sequence(10 + 6 * SEQUENCE_WINDOW));
    let unused = (window.lowest().0..window.next().0 - 1)
        .filter(|sequence| window.state(Sequence(*sequence)) == SequenceState::Unused);
    assert_eq!(unused.count() as u64, SEQUENCE_WINDOW - 1);
}

#[test]
fn every_entry_of_a_lived_in_state_decodes_under_its_key() {
    let (mut world, channel) = World::with_channel();
    let item = world.item(channel, 0, EvidenceKind::Signed);
    let missed = world.item(channel, 1, EvidenceKind::Signed);
    let message = world.settle_one(item);
    world.ok(&node(), message);
    world.wait_for_tick(missed.order.value.settle_by.0 + world.params().grace + 1);
    let (order, receipt) = (missed.order, missed.receipt);
    world.ok(&alice(), Message::ClaimMissed { order, receipt });
    let close = Message::CloseChannel {
        channel,
        consent: None,
    };
    world.ok(&alice(), close);
    let unbond = Message::Unbond {
        asset: USD,
        amount: Amount(1),
    };
    world.ok(&node(), unbond);
    let order = world.order(channel, 2, EvidenceKind::Optimistic);
    let receipt = world.receipt(&order);
    let item = world.sign_item(order, receipt);
    world.hold(vec![item.clone()]);
    world.ok(&alice(), demand(&world, &item));
    let covered = range(&world, channel, 3, 2, EvidenceKind::Optimistic);
    world.ok(&node(), settle(&covered.coverage));
    let stake = world.stake_message(&bob(), 20, 3_000);
    world.ok(&bob(), stake);
    let unstake = Message::Unstake {
        key: consensus_id(20),
        amount: Amount(1_500),
    };
    world.ok(&bob(), unstake);
    let more = world.stake_message(&bob(), 20, 100_000);
    world.ok(&bob(), more);
    world.ok(
        &bob(),
        Message::Propose {
            key: consensus_id(20),
            proposal: Proposal::Upgrade {
                version: 2,
                height: Height(1_000),
            },
        },
    );
    let mut kinds = BTreeSet::new();
    for (key, value) in &world.state {
        let entry = Entry::decode(key, value).unwrap();
        kinds.insert(haca_ledger::record_json(&entry).0);
        assert!(
            Entry::decode(key, &[value.as_slice(), &[0]].concat()).is_err(),
            "trailing byte"
        );
    }
    assert_eq!(kinds.len(), 32, "every kind of entry occurs: {kinds:?}");
}

proptest! {
    /// A range takes the window where its sequences would take it one by one, or leaves it as it was.
    #[test]
    fn a_range_is_its_sequences(used in prop::collection::vec(0u64..3_000, 0..40), first in 0u64..3_000, count in 0u32..1_030) {
        let mut window = SequenceWindow::default();
        for sequence in used {
            let _ = window.mark(Sequence(sequence));
        }
        let mut single = window.clone();
        let all = (first..first + u64::from(count)).all(|sequence| single.mark(Sequence(sequence)).is_ok());
        let before = window.clone();
        let found = window.mark_range(Sequence(first), count);
        if all && u64::from(count) <= SEQUENCE_WINDOW {
            prop_assert_eq!(found, Ok(()));
            prop_assert_eq!(window, single);
        } else {
            prop_assert!(found.is_err());
            prop_assert_eq!(window, before);
        }
    }
}

#[test]
fn a_range_ends_before_the_last_number() {
    let mut window = SequenceWindow::default();
    assert!(window.mark_range(Sequence(u64::MAX - 1), 2).is_err());
    assert!(window.mark_range(Sequence(u64::MAX), 2).is_err());
    assert_eq!(window, SequenceWindow::default());
    assert_eq!(window.mark_range(Sequence(u64::MAX - 2), 2), Ok(()));
}

#[test]
fn keys_of_no_entry_are_refused() {
    let balance = key::balance(alice().address(), OPG);
    let value = Amount(1).encode();
    assert!(Entry::decode(&balance, &value).is_ok());
    let longer = [balance.as_slice(), &[0]].concat();
    for wrong in [
        &longer[..],
        &balance[..balance.len() - 1],
        b"",
        b"/",
        b"balance",
        b"clocks",
        b"nothing/",
    ] {
        assert_eq!(Entry::decode(wrong, &value), Err(EntryError::UnknownKey));
    }
    let error = Entry::decode(&balance, &[]).unwrap_err();
    assert_eq!(error.code(), "wire.state_value");
}
