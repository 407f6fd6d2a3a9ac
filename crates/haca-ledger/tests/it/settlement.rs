//! SettleBatch: what a node can't get paid for.

use haca_ledger::{Effect, Refusal, query};
use haca_wire::order::Signed;
use haca_wire::state::key;
use haca_wire::{
    Amount, ChannelId, Encode, Evidence, EvidenceKind, Group, Height, Item, Message, Order, Receipt,
    RenderId, Sequence, Tick, merkle,
};

use crate::script::Key;
use crate::world::{OPG, RICH, USD, World, alice, bob, node, other_node, pauper, payout, signer, sponsor};

/// Settles one item with order and receipt changed, both signed again; the receipt names the changed order.
fn changed(change_order: impl Fn(&mut Order), change_receipt: impl Fn(&mut Receipt)) -> (World, Message) {
    let (world, channel) = World::with_channel();
    let mut order = world.order(channel, 0, EvidenceKind::Signed);
    change_order(&mut order);
    let mut receipt = world.receipt(&order);
    change_receipt(&mut receipt);
    let item = world.sign_item(order, receipt);
    let message = world.settle_one(item);
    (world, message)
}

fn refused(change_order: impl Fn(&mut Order), change_receipt: impl Fn(&mut Receipt)) -> Refusal {
    let (mut world, message) = changed(change_order, change_receipt);
    let refusal = world.refused(&node(), message);
    assert_eq!(world.balance(payout(), USD), 0);
    refusal
}

#[test]
fn the_fee_moves_whole_and_at_once() {
    let (mut world, channel) = World::with_channel();
    let item = world.item(channel, 0, EvidenceKind::Zk);
    let receipt = item.receipt.value.hash(&world.domain);
    let message = world.settle(vec![world.zk_group(vec![item])]);
    let tx = world.tx(&node(), message);
    let outcome = world.block(&[tx]);
    assert_eq!(world.balance(payout(), USD), 10);
    assert_eq!(world.channel(channel).deposit, Amount(490));
    assert_eq!(world.supply(USD).escrow, Amount(490));
    let settlement = &outcome.settlements[0];
    assert_eq!(settlement.receipt, receipt);
    assert_eq!(settlement.tx, outcome.txs[0].hash);
    assert_eq!((settlement.fee, settlement.asset), (Amount(10), USD));
    assert_eq!(
        (settlement.payout, settlement.payer),
        (payout(), alice().address())
    );
}

#[test]
fn the_receipt_root_of_the_block_covers_every_settlement() {
    let (mut world, channel) = World::with_channel();
    let items: Vec<_> = (0..3)
        .map(|sequence| world.item(channel, sequence, EvidenceKind::Signed))
        .collect();
    let txs: Vec<_> = items
        .into_iter()
        .map(|item| {
            let message = world.settle_one(item);
            world.tx(&node(), message)
        })
        .collect();
    let outcome = world.block(&txs);
    let leaves: Vec<_> = outcome.settlements.iter().map(Encode::encode).collect();
    assert_eq!(leaves.len(), 3);
    let root = query::receipt_root(&world.state, world.height()).unwrap();
    assert_eq!(root, Some(merkle::root(&leaves)));
    assert_eq!(root, outcome.receipt_root);
    let empty = world.block(&[]);
    assert_eq!(empty.receipt_root, None);
    assert!(!world.state.contains_key(&key::receipts(world.height())));
}

#[test]
fn rejects_a_receipt_settled_twice() {
    let (mut world, channel) = World::with_channel();
    let item = world.item(channel, 0, EvidenceKind::Signed);
    let used = Refusal::SequenceUsed { found: Sequence(0) };
    let group = world.signed_group(vec![item.clone(), item.clone()]);
    assert_eq!(
        world.refused(&node(), world.settle(vec![group])),
        used,
        "in one group"
    );
    let group = world.signed_group(vec![item.clone()]);
    let twice = world.settle(vec![group.clone(), group]);
    assert_eq!(world.refused(&node(), twice), used, "in one batch");
    let message = world.settle_one(item);
    let txs = [
        world.tx(&node(), message.clone()),
        world.tx(&node(), message.clone()),
    ];
    let outcome = world.block(&txs);
    assert_eq!(outcome.txs[0].refusal, None);
    assert_eq!(outcome.txs[1].refusal, Some(used.clone()), "in one block");
    assert_eq!(world.refused(&node(), message), used, "later");
    assert_eq!(world.balance(payout(), USD), 10);
}

#[test]
fn rejects_two_orders_on_one_sequence() {
    let (mut world, channel) = World::with_channel();
    let first = world.item(channel, 3, EvidenceKind::Signed);
    let message = world.settle_one(first);
    world.ok(&node(), message);
    let mut order = world.order(channel, 3, EvidenceKind::Signed);
    order.request = haca_wire::RequestHash([0x77; 32]);
    let receipt = world.receipt(&order);
    let message = world.settle_one(world.sign_item(order, receipt));
    assert_eq!(
        world.refused(&node(), message),
        Refusal::SequenceUsed { found: Sequence(3) }
    );
}

fn settle_sequence(world: &mut World, channel: ChannelId, sequence: u64) -> Option<Refusal> {
    let item = world.item(channel, sequence, EvidenceKind::Signed);
    let message = world.settle_one(item);
    world.run(&node(), message).refusal
}

#[test]
fn sequences_settle_in_any_order_inside_the_window() {
    let (mut world, channel) = World::with_channel();
    assert_eq!(settle_sequence(&mut world, channel, 1_023), None);
    assert_eq!(
        settle_sequence(&mut world, channel, 0),
        None,
        "the oldest in the window"
    );
    assert_eq!(settle_sequence(&mut world, channel, 1_022), None);
    assert_eq!(settle_sequence(&mut world, channel, 512), None);
    for used in [0, 512, 1_022, 1_023] {
        assert_eq!(
            settle_sequence(&mut world, channel, used),
            Some(Refusal::SequenceUsed {
                found: Sequence(used)
            })
        );
    }
}

#[test]
fn rejects_sequences_that_have_left_the_window() {
    let (mut world, channel) = World::with_channel();
    assert_eq!(settle_sequence(&mut world, channel, 1_024), None);
    assert_eq!(
        settle_sequence(&mut world, channel, 0),
        Some(Refusal::SequenceOutOfWindow {
            found: Sequence(0),
            expected: Sequence(1)
        })
    );
    assert_eq!(settle_sequence(&mut world, channel, 1), None);
    assert_eq!(settle_sequence(&mut world, channel, 1_000_000), None, "a jump");
    assert_eq!(
        settle_sequence(&mut world, channel, 1_024),
        Some(Refusal::SequenceOutOfWindow {
            found: Sequence(1_024),
            expected: Sequence(998_977)
        })
    );
    assert_eq!(settle_sequence(&mut world, channel, 998_977), None);
    assert!(matches!(
        settle_sequence(&mut world, channel, u64::MAX),
        Some(Refusal::SequenceOutOfWindow { .. })
    ));
    assert_eq!(settle_sequence(&mut world, channel, u64::MAX - 1), None);
}

#[test]
fn the_window_forgets_nothing_when_its_ring_wraps() {
    let (mut world, channel) = World::with_channel();
    for sequence in [5, 1_028, 1_029] {
        assert_eq!(settle_sequence(&mut world, channel, sequence), None, "{sequence}");
    }
    assert_eq!(
        settle_sequence(&mut world, channel, 5),
        Some(Refusal::SequenceOutOfWindow {
            found: Sequence(5),
            expected: Sequence(6)
        }),
        "1029 took its slot, not its place"
    );
    assert_eq!(settle_sequence(&mut world, channel, 6), None);
}

#[test]
fn rejects_a_fee_above_the_orders_maximum() {
    assert_eq!(
        refused(|_| {}, |receipt| receipt.fee = Amount(11)),
        Refusal::FeeAboveMax {
            found: Amount(11),
            expected: Amount(10)
        }
    );
    assert!(matches!(
        refused(|_| {}, |receipt| receipt.fee = Amount(u128::MAX)),
        Refusal::FeeAboveMax { .. }
    ));
}

#[test]
fn rejects_a_fee_the_deposit_does_not_cover() {
    assert_eq!(
        refused(
            |order| order.max_fee = Amount(501),
            |receipt| receipt.fee = Amount(501)
        ),
        Refusal::DepositShort {
            found: Amount(500),
            expected: Amount(501)
        }
    );
    let (mut world, message) = changed(
        |order| order.max_fee = Amount(500),
        |receipt| receipt.fee = Amount(500),
    );
    world.ok(&node(), message);
    assert_eq!(world.supply(USD).escrow, Amount(0));
}

#[test]
fn rejects_a_batch_that_drains_the_deposit_of_another_channel() {
    let (mut world, channel) = World::with_channel();
    world.open(&bob());
    let items: Vec<_> = (0..2)
        .map(|sequence| {
            let mut order = world.order(channel, sequence, EvidenceKind::Signed);
            order.max_fee = Amount(300);
            let mut receipt = world.receipt(&order);
            receipt.fee = Amount(300);
            world.sign_item(order, receipt)
        })
        .collect();
    let message = world.settle(vec![world.signed_group(items)]);
    assert!(matches!(
        world.refused(&node(), message),
        Refusal::DepositShort {
            found: Amount(200),
            ..
        }
    ));
    assert_eq!(world.supply(USD).escrow, Amount(1_000));
}

#[test]
fn a_batch_settles_whole_or_not_at_all() {
    let (mut world, channel) = World::with_channel();
    let good = |sequence| world.item(channel, sequence, EvidenceKind::Signed);
    let mut bad = good(9);
    bad.receipt.value.fee = Amount(9);
    let groups = vec![
        world.signed_group(vec![good(0), good(1)]),
        world.signed_group(vec![good(2), bad]),
    ];
    let before = world.channel(channel);
    assert!(matches!(
        world.refused(&node(), Message::SettleBatch { groups }),
        Refusal::ReceiptSignature { .. }
    ));
    assert_eq!(world.channel(channel), before);
    let groups = vec![
        world.signed_group(vec![world.item(channel, 0, EvidenceKind::Signed)]),
        world.zk_group(vec![
            world.item(channel, 5, EvidenceKind::Zk),
            world.item(channel, 4, EvidenceKind::Zk),
        ]),
    ];
    let effects = world.ok(&node(), Message::SettleBatch { groups });
    let settled = effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Settled(_)));
    assert_eq!(settled.count(), 3);
    assert_eq!(world.balance(payout(), USD), 30);
}

#[test]
fn rejects_an_order_the_payer_did_not_sign() {
    let (mut world, channel) = World::with_channel();
    for forger in [bob(), node(), signer()] {
        let mut item = world.item(channel, 0, EvidenceKind::Signed);
        item.order = Signed::new(item.order.value, &world.domain, &forger).unwrap();
        let message = world.settle_one(item);
        assert_eq!(
            world.refused(&node(), message),
            Refusal::OrderSignature {
                found: forger.address(),
                expected: alice().address()
            }
        );
    }
}

#[test]
fn rejects_an_order_changed_after_signing() {
    let (mut world, channel) = World::with_channel();
    let mut item = world.item(channel, 0, EvidenceKind::Signed);
    item.order.value.max_fee = Amount(400);
    let mut receipt = world.receipt(&item.order.value);
    receipt.fee = Amount(400);
    item.receipt = Signed::new(receipt, &world.domain, &signer()).unwrap();
    let message = world.settle_one(item);
    assert!(matches!(
        world.refused(&node(), message),
        Refusal::OrderSignature { .. }
    ));
}

#[test]
fn rejects_a_receipt_another_key_signed() {
    let (mut world, channel) = World::with_channel();
    for forger in [node(), alice(), other_node()] {
        let mut item = world.item(channel, 0, EvidenceKind::Signed);
        item.receipt = Signed::new(item.receipt.value.clone(), &world.domain, &forger).unwrap();
        let message = world.settle_one(item.clone());
        assert!(matches!(
            world.refused(&node(), message),
            Refusal::ReceiptSignature { .. }
        ));
        let mut receipt = item.receipt.value;
        receipt.signer = forger.address();
        item.receipt = Signed::new(receipt, &world.domain, &forger).unwrap();
        let message = world.settle_one(item);
        assert!(matches!(
            world.refused(&node(), message),
            Refusal::SignerInactive { .. }
        ));
    }
}

#[test]
fn rejects_a_receipt_for_another_order_channel_or_sequence() {
    assert_eq!(
        refused(|_| {}, |receipt| receipt.order.0[0] ^= 1),
        Refusal::ReceiptOrder
    );
    assert_eq!(
        refused(|_| {}, |receipt| receipt.channel.0[0] ^= 1),
        Refusal::ReceiptMismatch
    );
    assert_eq!(
        refused(|_| {}, |receipt| receipt.sequence = Sequence(1)),
        Refusal::ReceiptMismatch
    );
}

#[test]
fn rejects_an_order_after_its_settle_by() {
    let (mut world, channel) = World::with_channel();
    let now = world.tick().0;
    let items: Vec<_> = (0..2)
        .map(|sequence| world.item(channel, sequence, EvidenceKind::Signed))
        .collect();
    let [on_time, late] = items.try_into().unwrap();
    world.wait_for_tick(now + 15);
    let message = world.settle_one(on_time);
    world.ok(&node(), message);
    let message = world.settle_one(late);
    assert_eq!(
        world.refused(&node(), message),
        Refusal::SettleByPassed {
            found: Tick(now + 16),
            expected: Tick(now + 15)
        }
    );
}

#[test]
fn rejects_units_that_the_model_does_not_have() {
    for units in [0, Key::new(1).units + 1, u64::MAX] {
        assert!(matches!(
            refused(|_| {}, |receipt| receipt.units = units),
            Refusal::Units { .. }
        ));
    }
}

#[test]
fn rejects_an_unknown_render_and_parameters_it_has_not() {
    assert_eq!(refused(|_| {}, |r| r.render = RenderId(2)), Refusal::Render);
    assert_eq!(refused(|_| {}, |r| r.parameters = [1; 32]), Refusal::Render);
    assert_eq!(refused(|_| {}, |r| r.seed = 1), Refusal::Render);
}

#[test]
fn rejects_an_unregistered_model_and_two_models_in_one_group() {
    assert!(matches!(
        refused(|order| order.model.0[0] ^= 1, |_| {}),
        Refusal::UnknownModel { .. }
    ));
    let (mut world, channel) = World::with_channel();
    world.register_model(&Key::new(2));
    let first = world.item(channel, 0, EvidenceKind::Signed);
    let mut order = world.order(channel, 1, EvidenceKind::Signed);
    order.model = Key::new(2).model;
    let receipt = world.receipt(&order);
    let second = world.sign_item(order, receipt);
    let message = world.settle(vec![world.signed_group(vec![first, second])]);
    assert!(matches!(
        world.refused(&node(), message),
        Refusal::MixedModels { .. }
    ));
}

#[test]
fn rejects_a_receipt_that_names_a_block_to_come() {
    let (mut world, message) = changed(
        |_| {},
        |receipt| {
            receipt.block_height = Height(receipt.block_height.0 + 1);
        },
    );
    assert!(matches!(
        world.refused(&node(), message),
        Refusal::ReceiptFromFuture { .. }
    ));
}

#[test]
fn rejects_settlement_by_anybody_but_the_node() {
    let (mut world, channel) = World::with_channel();
    for stranger in [alice(), bob(), other_node()] {
        let item = world.item(channel, 0, EvidenceKind::Signed);
        let message = world.settle_one(item);
        assert!(
            matches!(world.refused(&stranger, message), Refusal::NotTheNode { .. }),
            "whoever settles one receipt of a waiting batch makes the whole batch fail"
        );
    }
}

#[test]
fn a_node_without_opg_settles_through_a_sponsor() {
    let (mut world, channel) = World::with_channel();
    let item = world.item(channel, 0, EvidenceKind::Signed);
    let message = world.settle_one(item);
    let mut meta = world.meta(&signer());
    meta.sponsor = sponsor().address();
    assert_eq!(
        world.balance(signer().address(), OPG),
        0,
        "the receipt key holds nothing"
    );
    let tx = world.sign(&signer(), haca_wire::Transaction { meta, message });
    let tx = tx.cosign(&world.domain, &sponsor()).unwrap();
    let outcome = world.block(&[tx.encode()]).txs.remove(0);
    assert_eq!(outcome.refusal, None);
    assert_eq!(world.balance(sponsor().address(), OPG), RICH - outcome.burned.0);
    assert_eq!(world.balance(payout(), USD), 10);
}

#[test]
fn failed_evidence_burns_its_gas_and_settles_nothing() {
    let (mut world, channel) = World::with_channel();
    let mut group = world.zk_group(vec![world.item(channel, 0, EvidenceKind::Zk)]);
    if let Evidence::Zk { proof, .. } = &mut group.evidence {
        proof[0] ^= 1;
    }
    let before = world.balance(node().address(), OPG);
    let message = world.settle(vec![group]);
    let refusal = world.refused(&node(), message);
    assert_eq!(
        refusal,
        Refusal::Evidence {
            reason: "script.proof"
        }
    );
    let spent = before - world.balance(node().address(), OPG);
    assert!(spent > 100, "the proof's gas included: {spent}");
}

#[test]
fn nobody_verifies_a_proof_that_is_not_paid_for() {
    let (mut world, channel) = World::with_channel();
    let group = world.zk_group(vec![world.item(channel, 0, EvidenceKind::Zk)]);
    let before = world.script.count();
    let message = world.settle(vec![group]);
    let tx = world.tx(&pauper(), message);
    let outcome = world.block(&[tx]).txs.remove(0);
    assert!(matches!(outcome.refusal, Some(Refusal::CannotPayGas { .. })));
    assert_eq!(world.script.count(), before);
}

#[test]
fn gas_of_a_proof_follows_from_the_key_before_it_is_verified() {
    let (mut world, channel) = World::with_channel();
    let gas_of = |world: &mut World, broken: bool, sequences: &[u64]| {
        let items = sequences
            .iter()
            .map(|sequence| world.item(channel, *sequence, EvidenceKind::Zk))
            .collect();
        let mut group = world.zk_group(items);
        if let (Evidence::Zk { proof, .. }, true) = (&mut group.evidence, broken) {
            proof[0] ^= 1;
        }
        let message = world.settle(vec![group]);
        world.run(&node(), message).gas_used
    };
    let failed = gas_of(&mut world, true, &[0, 1]);
    let settled = gas_of(&mut world, false, &[0, 1]);
    assert_eq!(failed, settled, "the same price, whatever the proof is worth");
}

#[test]
fn rejects_a_group_larger_than_one_proof_covers() {
    let (mut world, channel) = World::with_channel();
    let items = (0..5)
        .map(|sequence| world.item(channel, sequence, EvidenceKind::Zk))
        .collect();
    let message = world.settle(vec![world.zk_group(items)]);
    let before = world.script.count();
    assert_eq!(
        world.refused(&node(), message),
        Refusal::BatchTooLarge {
            found: 5,
            expected: 4
        }
    );
    assert_eq!(world.script.count(), before, "its proof had no price");
}

#[test]
fn rejects_inferences_that_are_not_the_receipts() {
    let (mut world, channel) = World::with_channel();
    let items: Vec<Item> = (0..2)
        .map(|sequence| world.item(channel, sequence, EvidenceKind::Zk))
        .collect();
    let honest = world.zk_group(items);
    let tampered = |change: &dyn Fn(&mut Vec<haca_wire::Inference>)| {
        let mut group: Group = honest.clone();
        if let Evidence::Zk { inferences, .. } = &mut group.evidence {
            change(inferences);
        }
        Message::SettleBatch { groups: vec![group] }
    };
    let message = tampered(&|list| list.swap(0, 1));
    assert_eq!(world.refused(&node(), message), Refusal::InputRoot { index: 0 });
    let message = tampered(&|list| list[1].outputs = list[0].outputs.clone());
    assert_eq!(world.refused(&node(), message), Refusal::OutputRoot { index: 1 });
    let message = tampered(&|list| list.truncate(1));
    assert!(matches!(
        world.refused(&node(), message),
        Refusal::InferenceCount { .. }
    ));
    let message = tampered(&|list| list[0].inputs.clear());
    assert_eq!(world.refused(&node(), message), Refusal::InputRoot { index: 0 });
    world.ok(&node(), Message::SettleBatch { groups: vec![honest] });
}

#[test]
fn rejects_an_order_on_a_channel_that_does_not_exist() {
    assert!(matches!(
        refused(
            |order| order.channel = ChannelId([4; 32]),
            |receipt| receipt.channel = ChannelId([4; 32])
        ),
        Refusal::UnknownChannel { .. }
    ));
}
