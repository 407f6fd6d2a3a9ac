//! RegisterModel.

use haca_ledger::{
    Admission, CheckMode, Effect, ProposalRefusal, Refusal, check_proposal, check_tx, query, select_proposal,
};
use haca_wire::{Amount, Encode, EvidenceKind, Gas, Message};

use crate::script::{HOLLOW, Key};
use crate::world::{OPG, World, alice, bob, node};

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
    let mut hollow = Key::new(1);
    hollow.gas = HOLLOW;
    let tx = world.tx(&bob(), register(&hollow));
    let before = world.script.decoded();
    let admission = admission(&world, &tx).unwrap();
    assert_eq!(
        offered(&world, &tx),
        Ok(()),
        "else it could be asked for without end"
    );
    assert_eq!(world.script.decoded(), before, "looked at only in a block");
    let outcome = world.block(&[tx]).txs.remove(0);
    let reason = "script.hollow";
    assert_eq!(outcome.refusal, Some(Refusal::VerifyingKey { reason }));
    assert_eq!(outcome.gas_used, admission.gas);
    assert!(outcome.gas_used > HOLLOW && outcome.burned.0 > 0);
    assert_eq!(world.script.count(), 0);
}

fn admission(world: &World, tx: &[u8]) -> Result<Admission, Refusal> {
    let nobody_waits = |_| Amount(0);
    check_tx(&world.state, tx, CheckMode::New, &nobody_waits, &world.script).unwrap()
}

/// Whether a proposer includes the transaction, and others accept that.
fn offered(world: &World, tx: &[u8]) -> Result<(), ProposalRefusal> {
    let txs = [tx.to_vec()];
    let verdict = check_proposal(&world.state, &txs, &world.script).unwrap();
    let chosen = select_proposal(&world.state, &txs, u64::MAX, &world.script).unwrap();
    assert_eq!(chosen.len(), usize::from(verdict.is_ok()));
    verdict
}

/// An outline costs no more than reading it, so what only that fails need not be charged, and is refused everywhere.
#[test]
fn bytes_without_the_outline_of_a_key_are_refused_before_they_are_charged() {
    let mut world = World::new();
    let malformed = Message::RegisterModel {
        verifying_key: vec![1, 2, 3],
        proof: Vec::new(),
    };
    let reason = "script.key";
    refused_uncharged(&mut world, malformed, Refusal::VerifyingKey { reason });
}

fn refused_uncharged(world: &mut World, message: Message, refusal: Refusal) {
    let tx = world.tx(&bob(), message);
    let before = world.script.decoded();
    assert_eq!(admission(world, &tx), Err(refusal.clone()));
    assert!(offered(world, &tx).is_err());
    let outcome = world.block(&[tx]).txs.remove(0);
    assert_eq!(outcome.refusal, Some(refusal));
    assert_eq!((outcome.gas_used, outcome.burned), (Gas(0), Amount(0)));
    assert_eq!(world.script.decoded(), before, "no key is decoded");
    assert_eq!(world.script.count(), 0, "no proof is looked at");
}

#[test]
fn a_registration_costs_what_its_key_asks_for_and_the_bytes_that_stay() {
    let mut world = World::new();
    let cheap = Key::new(1);
    let mut dear = Key::new(2);
    dear.gas = world.params().gas_registration;
    let [one, other] = [&cheap, &dear].map(|key| {
        let outcome = world.run(&bob(), register(key));
        assert_eq!(outcome.refusal, None);
        outcome.gas_used
    });
    assert_eq!(other.0 - one.0, dear.gas.0 - cheap.gas.0);
    // A byte of the proof costs one of the transaction; a byte of the key stays.
    let price = |world: &mut World, message| {
        let tx = world.tx(&bob(), message);
        admission(world, &tx).unwrap().gas.0 - world.params().gas_byte.0 * tx.len() as u64
    };
    let transfer = Message::Transfer {
        to: alice().address(),
        asset: OPG,
        amount: Amount(1),
    };
    let third = Key::new(3);
    let (flat, whole) = (price(&mut world, transfer), price(&mut world, register(&third)));
    let stored = third.encode().len() as u64 * 100 * world.params().gas_byte.0;
    assert_eq!(whole - flat, third.gas.0 + stored);
}

#[test]
fn a_registration_that_takes_more_than_one_may_is_refused_before_it_is_charged() {
    let mut world = World::new();
    let mut dear = Key::new(3);
    let expected = world.params().gas_registration;
    dear.gas = Gas(expected.0 + 1);
    let found = dear.gas;
    refused_uncharged(
        &mut world,
        register(&dear),
        Refusal::RegistrationGas { found, expected },
    );
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
