//! RegisterModel.

use haca_ledger::{CheckMode, Effect, Refusal, check_proposal, check_tx, query, select_proposal};
use haca_wire::{Amount, Encode, EvidenceKind, Gas, Message};

use crate::script::{Key, UNPRICED};
use crate::world::{World, alice, bob, node};

fn register(key: &Key) -> Message {
    Message::RegisterModel {
        verifying_key: key.encode(),
        proof: key.registration_proof(),
    }
}

#[test]
fn a_model_stands_under_the_id_its_key_names() {
    let mut world = World::new();
    let key = Key::new(1);
    let effects = world.ok(&bob(), register(&key));
    assert_eq!(effects, [Effect::ModelRegistered { model: key.model }]);
    let record = query::model(&world.state, key.model).unwrap().unwrap();
    assert_eq!(record.owner, bob().address());
    assert_eq!(record.units, key.units);
    assert_eq!(record.verifying_key, key.encode());
    assert_eq!(record.registered, world.height());
}

#[test]
fn rejects_a_second_registration_by_anybody() {
    let mut world = World::new();
    let key = Key::new(1);
    world.ok(&bob(), register(&key));
    for sender in [alice(), bob()] {
        let refusal = world.refused(&sender, register(&key));
        assert_eq!(refusal, Refusal::ModelExists { model: key.model });
    }
    let mut cheaper = key;
    cheaper.units = 1;
    assert!(matches!(
        world.refused(&alice(), register(&cheaper)),
        Refusal::ModelExists { .. }
    ));
}

#[test]
fn a_wrong_registration_proof_burns_its_gas() {
    let mut world = World::new();
    let refusal = world.refused(
        &bob(),
        Message::RegisterModel {
            verifying_key: Key::new(1).encode(),
            proof: Key::new(2).registration_proof(),
        },
    );
    assert_eq!(
        refusal,
        Refusal::RegistrationProof {
            reason: "script.proof"
        }
    );
    assert_eq!(query::model(&world.state, Key::new(1).model).unwrap(), None);
}

/// Finding out that a key is none may take as long as verifying many proofs.
#[test]
fn a_key_that_is_refused_has_paid_for_being_looked_at() {
    let mut world = World::new();
    let mut unpriced = Key::new(1);
    unpriced.gas = UNPRICED;
    let malformed = Message::RegisterModel {
        verifying_key: vec![1, 2, 3],
        proof: Vec::new(),
    };
    for (message, reason) in [(malformed, "script.key"), (register(&unpriced), "no_gas")] {
        let tx = world.tx(&bob(), message);
        let before = world.script.decoded();
        let nobody_waits = |_| Amount(0);
        let admission = check_tx(&world.state, &tx, CheckMode::New, &nobody_waits, &world.script).unwrap();
        assert!(admission.is_ok(), "else it could be asked for without end");
        let txs = [tx];
        assert_eq!(
            select_proposal(&world.state, &txs, u64::MAX, &world.script).unwrap(),
            [0]
        );
        assert_eq!(check_proposal(&world.state, &txs, &world.script).unwrap(), Ok(()));
        assert_eq!(world.script.decoded(), before, "looked at only in a block");
        let outcome = world.block(&txs).txs.remove(0);
        assert_eq!(outcome.refusal, Some(Refusal::VerifyingKey { reason }));
        assert!(outcome.gas_used > world.params().gas_registration);
    }
    assert_eq!(world.script.count(), 0);
}

#[test]
fn every_registration_has_the_same_price_and_none_takes_more() {
    let mut world = World::new();
    let mut dear = Key::new(2);
    dear.gas = world.params().gas_registration;
    let cheap = world.run(&bob(), register(&Key::new(1))).gas_used;
    let outcome = world.run(&bob(), register(&dear));
    assert_eq!((outcome.refusal, outcome.gas_used), (None, cheap));
    let mut too_dear = Key::new(3);
    too_dear.gas = Gas(dear.gas.0 + 1);
    let (found, expected) = (too_dear.gas, dear.gas);
    let before = world.script.count();
    assert_eq!(
        world.refused(&bob(), register(&too_dear)),
        Refusal::RegistrationGas { found, expected }
    );
    assert_eq!(world.script.count(), before, "its proof is not looked at");
}

#[test]
fn rejects_settling_a_model_in_the_block_that_registers_it() {
    let (mut world, channel) = World::with_channel();
    let key = Key::new(5);
    let mut order = world.order(channel, 0, EvidenceKind::Signed);
    order.model = key.model;
    let mut receipt = world.receipt(&order);
    receipt.units = key.units;
    let item = world.sign_item(order, receipt);
    let settle = world.settle_one(item);
    let txs = [
        world.tx(&bob(), register(&key)),
        world.tx(&node(), settle.clone()),
    ];
    let outcome = world.block(&txs);
    assert_eq!(
        outcome.txs[1].refusal,
        Some(Refusal::ModelTooNew { model: key.model }),
        "its gas was computed without the key"
    );
    world.ok(&node(), settle);
}
