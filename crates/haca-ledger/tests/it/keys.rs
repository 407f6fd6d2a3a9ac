//! Verifying keys have up to a quarter of a megabyte: nothing reads one that has not paid for verifying with it.

use haca_ledger::{AuditError, CheckMode, ReadError, StateReader, audit, check_tx};
use haca_wire::state::{Entry, key};
use haca_wire::*;

use crate::demands::{answer_to, demand};
use crate::script::Key;
use crate::vouchers::{range, settle};
use crate::world::{State, USD, World, alice, node};

/// A state from which no verifying key is read.
struct Keyless<'a>(&'a State);

impl StateReader for Keyless<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        assert!(!key.starts_with(key::MODEL), "a verifying key is read");
        StateReader::get(self.0, key)
    }
}

fn check(world: &mut World, sender: &SecretKey, message: Message) {
    let name = message.name();
    let tx = world.tx(sender, message);
    for mode in [CheckMode::New, CheckMode::Again] {
        let admitted = check_tx(&Keyless(&world.state), &tx, mode, &|_| Amount(0), &world.script).unwrap();
        assert!(admitted.is_ok(), "{name}: {admitted:?}");
    }
}

#[test]
fn a_mempool_reads_no_verifying_key() {
    let (mut world, channel) = World::with_channel();
    let mut terms = world.terms();
    if let Message::RegisterNode { offers, .. } = &mut terms {
        offers.push(Offer {
            model: Key::new(1).model,
            evidence: EvidenceKind::Optimistic,
            asset: USD,
            base_price: Amount(1),
            unit_price: Amount(0),
        });
    }
    check(&mut world, &node(), terms);
    for evidence in [EvidenceKind::Signed, EvidenceKind::Optimistic] {
        let coverage = range(&world, channel, 10, 4, evidence).coverage;
        check(&mut world, &node(), settle(&coverage));
    }
    let proven = world.item(channel, 0, EvidenceKind::Zk);
    let groups = vec![world.zk_group(vec![proven])];
    check(&mut world, &node(), Message::SettleBatch { groups });
    let item = world.item(channel, 1, EvidenceKind::Optimistic);
    world.hold(vec![item.clone()]);
    let message = demand(&world, &item);
    check(&mut world, &alice(), message.clone());
    world.ok(&alice(), message);
    let answer = answer_to(&world, &[&item]);
    check(&mut world, &node(), answer);
}

#[test]
fn terms_that_are_not_those_of_the_record_are_found() {
    let mut world = World::with_node();
    let model = Key::new(1).model;
    let place = key::terms(model);
    let Entry::Terms(_, mut terms) = Entry::decode(&place, &world.state[&place]).unwrap() else {
        panic!("no terms")
    };
    terms.units += 1;
    world.state.insert(place.clone(), terms.encode());
    let audited = |state: &State| audit(state.iter().map(|(key, value)| (&key[..], &value[..])));
    assert_eq!(audited(&world.state).unwrap_err(), AuditError::Terms { model });
    world.state.remove(&place);
    assert_eq!(audited(&world.state).unwrap_err(), AuditError::Terms { model });
}
