//! What may be settled as `Optimistic`: receipts whose answer fits into a transaction, by its gas and by its bytes.

use haca_ledger::{Refusal, check_proposal, query, select_proposal};
use haca_wire::*;

use crate::demands::{answer_to, demand};
use crate::script::Key;
use crate::world::{USD, World, alice, bob, node, sponsor, test_params};

/// A model of which the proof of one inference takes this much gas, and one receipt of it as a group.
fn heavy(world: &mut World, channel: ChannelId, tag: u8, gas: Gas) -> (Key, Group) {
    let key = Key { gas, ..Key::new(tag) };
    let mut record = query::model(&world.state, Key::new(1).model).unwrap().unwrap();
    record.batch_gas = vec![gas];
    record.max_batch = 1;
    record.units = key.units;
    record.verifying_key = key.encode();
    world.state.insert(state::key::model(key.model), record.encode());
    world
        .state
        .insert(state::key::terms(key.model), record.terms().encode());
    let mut order = world.order(channel, 0, EvidenceKind::Optimistic);
    order.model = key.model;
    let mut receipt = world.receipt(&order);
    receipt.units = key.units;
    let items = vec![world.sign_item(order, receipt)];
    let evidence = Evidence::Optimistic;
    (key, Group { items, evidence })
}

/// Offers the model, settles the group as `Optimistic`, and demands the proof of its receipt.
fn demanded(world: &mut World, key: &Key, group: Group) -> Item {
    let terms = offering(world, key.model);
    world.ok(&node(), terms);
    let item = group.items[0].clone();
    world.ok(&node(), Message::SettleBatch { groups: vec![group] });
    let message = demand(world, &item);
    world.ok(&alice(), message);
    item
}

/// An answer carries bytes and signatures besides its proof. What can't be answered can't be promised either.
#[test]
fn what_is_held_can_be_answered_and_nothing_else_is_held() {
    let (mut world, channel) = World::with_channel();
    let params = test_params();
    let carried = params.gas_flat.0 + (params.gas_byte.0 << 20) + 2 * params.gas_signature.0;
    let most = params.tx_gas.0 - carried;
    let refused = |refusal: Refusal| assert!(matches!(refusal, Refusal::NotProvable { .. }), "{refusal:?}");

    let (key, group) = heavy(&mut world, channel, 3, Gas(most + 1));
    let terms = offering(&world, key.model);
    refused(world.refused(&node(), terms));
    refused(world.refused(&node(), Message::SettleBatch { groups: vec![group] }));

    let (key, group) = heavy(&mut world, channel, 4, Gas(most));
    let item = demanded(&mut world, &key, group);
    // As many bytes as a transaction may have, and a sponsor.
    let mut answer = answer_to(&world, &[&item]);
    let len = sponsored(&mut world, answer.clone()).len();
    if let Message::Respond { proof, .. } = &mut answer {
        proof.resize(proof.len() + limit::TX_BYTES - len, 0);
    }
    let tx = sponsored(&mut world, answer);
    assert_eq!(tx.len(), limit::TX_BYTES);
    let outcome = world.block(&[tx]).txs.remove(0);
    assert_eq!(outcome.gas_used, params.tx_gas, "included");
    assert!(matches!(outcome.refusal, Some(Refusal::Evidence { .. })));
}

/// A proof that verifies in time may belong to tensors that fill a transaction by themselves. Such a model is registered and
/// serves with signatures; nobody promises, settles or demands a proof of it.
#[test]
fn nothing_is_held_whose_answer_has_too_many_bytes() {
    let (mut world, channel) = World::with_channel();
    let most = limit::TX_BYTES as u64 - 1_024;
    for (tag, units) in [(3, most), (4, most + 1), (5, u64::MAX)] {
        let key = Key {
            units,
            ..Key::new(tag)
        };
        let message = Message::RegisterModel {
            verifying_key: key.encode(),
            proof: key.registration_proof(),
        };
        world.ok(&bob(), message);
        let record = query::model(&world.state, key.model).unwrap().unwrap();
        let mut order = world.order(channel, u64::from(tag), EvidenceKind::Optimistic);
        order.model = key.model;
        let mut receipt = world.receipt(&order);
        receipt.units = units;
        let items = vec![world.sign_item(order, receipt)];
        let evidence = Evidence::Optimistic;
        let group = Message::SettleBatch {
            groups: vec![Group { items, evidence }],
        };
        let terms = offering(&world, key.model);
        if units == most {
            assert_eq!(record.gas(1), Some(key.gas));
            world.ok(&node(), terms);
            world.ok(&node(), group);
            continue;
        }
        assert_eq!((record.gas(1), record.max_batch), (None, 0));
        assert_eq!(record.verifying_key, key.encode());
        let model = key.model;
        assert_eq!(world.refused(&node(), terms), Refusal::NotProvable { model });
        assert_eq!(world.refused(&node(), group), Refusal::NotProvable { model });
    }
}

/// What an answer to one demand has besides tensors and proof is within what the rule sets aside for it.
#[test]
fn the_frame_of_an_answer_is_within_a_kibibyte() {
    let (mut world, channel) = World::with_channel();
    let item = world.item(channel, 0, EvidenceKind::Optimistic);
    let mut answer = answer_to(&world, &[&item]);
    let Message::Respond {
        inferences, proof, ..
    } = &mut answer
    else {
        panic!("no answer");
    };
    for inference in inferences {
        (inference.inputs, inference.outputs) = (Vec::new(), Vec::new());
    }
    proof.clear();
    let frame = sponsored(&mut world, answer).len();
    assert!(frame <= 1_024, "{frame}");
}

fn offering(world: &World, model: ModelId) -> Message {
    let mut terms = world.terms();
    if let Message::RegisterNode { offers, .. } = &mut terms {
        offers.push(Offer {
            model,
            evidence: EvidenceKind::Optimistic,
            asset: USD,
            base_price: Amount(1),
            unit_price: Amount(0),
        });
    }
    terms
}

/// A transaction of the node's whose gas somebody else pays.
fn sponsored(world: &mut World, message: Message) -> Vec<u8> {
    let mut meta = world.meta(&node());
    meta.sponsor = sponsor().address();
    let signed = world.sign(&node(), Transaction { meta, message });
    signed.cosign(&world.domain, &sponsor()).unwrap().encode()
}

/// A wrong answer leaves its demand open, so a node with one open demand has any number of them for a block.
#[test]
fn wrong_answers_go_before_nothing_that_pays_more() {
    let (mut world, channel) = World::with_channel();
    let params = test_params();
    let carried = params.gas_flat.0 + (params.gas_byte.0 << 20) + 2 * params.gas_signature.0;
    let proof_gas = params.tx_gas.0 - carried;
    let (key, group) = heavy(&mut world, channel, 4, Gas(proof_gas));
    let item = demanded(&mut world, &key, group);
    let mut wrong = answer_to(&world, &[&item]);
    let frame = world.tx(&node(), wrong.clone()).len() as u64;
    let own = params.gas_flat.0 + params.gas_signature.0 + proof_gas + frame;
    // Twenty-one of them are the whole of a block's gas.
    if let Message::Respond { proof, .. } = &mut wrong {
        *proof = vec![0; (params.block_gas.0 / 21 - own) as usize];
    }
    let transfer = |world: &mut World| {
        let mut meta = world.meta(&bob());
        meta.tip = Amount(900);
        let (to, asset, amount) = (alice().address(), USD, Amount(1));
        let message = Message::Transfer { to, asset, amount };
        world.sign(&bob(), Transaction { meta, message }).encode()
    };
    let mut candidates: Vec<_> = (0..40).map(|_| transfer(&mut world)).collect();
    candidates.extend((0..21).map(|_| world.tx(&node(), wrong.clone())));
    let chosen = select_proposal(&world.state, &candidates, u64::MAX, &world.script).unwrap();
    assert!(chosen[0] >= 40, "one answer first: it has a deadline");
    assert_eq!(chosen[1..41], (0..40).collect::<Vec<_>>(), "then what pays more");
    assert!(chosen.len() > 50, "then what pays less");
    let txs: Vec<_> = chosen.iter().map(|index| candidates[*index].clone()).collect();
    assert_eq!(check_proposal(&world.state, &txs, &world.script).unwrap(), Ok(()));
}
