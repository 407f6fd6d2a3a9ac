//! Evidence moved to where it does not belong.

use haca_ledger::Refusal;
use haca_wire::order::Signed;
use haca_wire::{Evidence, EvidenceKind, GenesisHash, Group, Message, Sequence, proof_context};

use crate::script::Key;
use crate::world::{USD, World, alice, bob, node, payout, signer, test_params};

#[test]
fn rejects_a_proof_on_another_receipt_with_the_same_tensors() {
    let (mut world, channel) = World::with_channel();
    let first = world.item(channel, 0, EvidenceKind::Zk);
    let mut order = world.order(channel, 1, EvidenceKind::Zk);
    order.sequence = Sequence(100);
    order.input_root = first.order.value.input_root;
    let mut receipt = world.receipt(&order);
    receipt.input_root = first.receipt.value.input_root;
    receipt.output_root = first.receipt.value.output_root;
    receipt.response = first.receipt.value.response;
    let second = world.sign_item(order, receipt);
    let honest = world.zk_group(vec![first]);
    let stolen = Group {
        items: vec![second],
        evidence: honest.evidence.clone(),
    };
    assert_eq!(
        world.refused(&node(), Message::SettleBatch { groups: vec![stolen] }),
        Refusal::Evidence {
            reason: "script.proof"
        }
    );
    world.ok(&node(), Message::SettleBatch { groups: vec![honest] });
}

/// The model did make these outputs: of inputs that nobody ordered.
#[test]
fn rejects_a_proof_of_inputs_that_the_payer_did_not_sign() {
    let (mut world, channel) = World::with_channel();
    for evidence in [EvidenceKind::Zk, EvidenceKind::Signed] {
        let mut order = world.order(channel, 0, evidence);
        order.input_root = world.order(channel, 1, evidence).input_root;
        let receipt = world.receipt(&order);
        let item = world.sign_item(order, receipt);
        let group = match evidence {
            EvidenceKind::Zk => world.zk_group(vec![item]),
            _ => world.signed_group(vec![item]),
        };
        let message = Message::SettleBatch { groups: vec![group] };
        assert_eq!(world.refused(&node(), message), Refusal::OrderInput);
    }
}

/// The proof holds, and the payer was told something else.
#[test]
fn rejects_a_response_that_the_proven_outputs_do_not_give() {
    let (mut world, channel) = World::with_channel();
    let honest = world.item(channel, 0, EvidenceKind::Zk);
    let order = world.order(channel, 1, EvidenceKind::Zk);
    let mut receipt = world.receipt(&order);
    receipt.response = haca_wire::render::response_hash(b"whatever");
    let lie = world.sign_item(order, receipt);
    let group = world.zk_group(vec![honest, lie]);
    assert_eq!(
        world.refused(&node(), Message::SettleBatch { groups: vec![group] }),
        Refusal::Response { index: 1 }
    );
}

#[test]
fn rejects_a_proof_whose_receipts_stand_in_another_order() {
    let (mut world, channel) = World::with_channel();
    let items: Vec<_> = (0..2)
        .map(|sequence| world.item(channel, sequence, EvidenceKind::Zk))
        .collect();
    let mut group = world.zk_group(items);
    group.items.swap(0, 1);
    if let Evidence::Zk { inferences, .. } = &mut group.evidence {
        inferences.swap(0, 1);
    }
    assert!(matches!(
        world.refused(&node(), Message::SettleBatch { groups: vec![group] }),
        Refusal::Evidence { .. }
    ));
}

#[test]
fn rejects_a_proof_of_a_same_shaped_model() {
    let (mut world, channel) = World::with_channel();
    let twin = Key {
        units: Key::new(1).units,
        ..Key::new(2)
    };
    world.register_model(&twin);
    let item = world.item(channel, 0, EvidenceKind::Zk);
    let inferences = vec![world.inference(0)];
    let context = proof_context(&world.domain, &[item.receipt.value.hash(&world.domain)]);
    let group = Group {
        items: vec![item],
        evidence: Evidence::Zk {
            proof: twin.settlement_proof(&context, &inferences),
            inferences,
        },
    };
    assert!(matches!(
        world.refused(&node(), Message::SettleBatch { groups: vec![group] }),
        Refusal::Evidence { .. }
    ));
}

#[test]
fn rejects_a_zk_order_settled_as_signed_and_the_other_way_round() {
    let (mut world, channel) = World::with_channel();
    let item = world.item(channel, 0, EvidenceKind::Zk);
    let message = world.settle_one(item);
    assert_eq!(
        world.refused(&node(), message),
        Refusal::EvidenceKind {
            found: "signed",
            expected: "zk"
        }
    );
    let item = world.item(channel, 0, EvidenceKind::Signed);
    let message = world.settle(vec![world.zk_group(vec![item])]);
    assert!(matches!(
        world.refused(&node(), message),
        Refusal::EvidenceKind { .. }
    ));
    for kind in [EvidenceKind::Tee, EvidenceKind::Optimistic] {
        let item = world.item(channel, 0, kind);
        let message = world.settle_one(item);
        assert!(matches!(
            world.refused(&node(), message),
            Refusal::EvidenceKind { .. }
        ));
    }
}

#[test]
fn rejects_another_payers_order_on_a_channel() {
    let (mut world, channel) = World::with_channel();
    let bobs = world.open(&bob());
    let mut order = world.order(bobs, 0, EvidenceKind::Signed);
    let signed_by_bob = Signed::new(order.clone(), &world.domain, &bob()).unwrap();
    order.channel = channel;
    let receipt = world.receipt(&order);
    let mut item = world.sign_item(order, receipt);
    item.order.signature = signed_by_bob.signature;
    let message = world.settle_one(item);
    assert!(matches!(
        world.refused(&node(), message),
        Refusal::OrderSignature { .. }
    ));
}

#[test]
fn rejects_a_receipt_of_another_channel_of_the_same_payer() {
    let (mut world, channel) = World::with_channel();
    let second = world.open(&alice());
    let other = world.item(second, 0, EvidenceKind::Signed);
    let mut item = world.item(channel, 0, EvidenceKind::Signed);
    item.receipt = other.receipt;
    let message = world.settle_one(item);
    assert_eq!(world.refused(&node(), message), Refusal::ReceiptMismatch);
}

#[test]
fn rejects_everything_signed_on_a_chain_with_another_genesis() {
    let (mut world, _) = World::with_channel();
    let other = GenesisHash([0x55; 32]);
    let foreign = {
        let mut foreign = World::on_genesis(test_params(), other);
        foreign.register_model(&Key::new(1));
        let terms = foreign.terms();
        foreign.ok(&node(), terms);
        foreign.ok(
            &node(),
            Message::Bond {
                asset: USD,
                amount: haca_wire::Amount(1_000),
            },
        );
        foreign
    };
    let mut foreign = foreign;
    let quote = foreign.quote(&alice());
    let quote = foreign.sign_quote(quote);
    assert!(matches!(
        world.refused(&alice(), Message::OpenChannel { quote: quote.clone() }),
        Refusal::QuoteSignature { .. }
    ));
    let channel = quote.value.channel(&foreign.domain);
    foreign.ok(&alice(), Message::OpenChannel { quote });
    let group = foreign.zk_group(vec![foreign.item(channel, 0, EvidenceKind::Zk)]);
    let message = Message::SettleBatch { groups: vec![group] };
    foreign.ok(&node(), message.clone());
    assert!(matches!(
        world.refused(&node(), message),
        Refusal::UnknownChannel { .. }
    ));
    assert_eq!(world.balance(payout(), USD), 0);
}

#[test]
fn rejects_foreign_signatures_even_where_the_channel_ids_agree() {
    let (mut world, channel) = World::with_channel();
    let mut foreign = World::on_genesis(test_params(), GenesisHash([0x55; 32]));
    foreign.block(&[]);
    let order = world.order(channel, 0, EvidenceKind::Zk);
    let receipt = world.receipt(&order);
    let mut item = world.sign_item(order, receipt);
    let home = item.clone();
    item.order = Signed::new(item.order.value, &foreign.domain, &alice()).unwrap();
    let message = world.settle(vec![world.zk_group(vec![item])]);
    assert!(matches!(
        world.refused(&node(), message),
        Refusal::OrderSignature { .. }
    ));
    let mut item = home.clone();
    item.receipt = Signed::new(item.receipt.value, &foreign.domain, &signer()).unwrap();
    let message = world.settle(vec![world.zk_group(vec![item])]);
    assert!(matches!(
        world.refused(&node(), message),
        Refusal::ReceiptSignature { .. }
    ));
    let inferences = vec![world.inference(0)];
    let context = proof_context(&foreign.domain, &[home.receipt.value.hash(&world.domain)]);
    let proof = Key::new(1).settlement_proof(&context, &inferences);
    let group = Group {
        items: vec![home],
        evidence: Evidence::Zk { inferences, proof },
    };
    assert!(matches!(
        world.refused(&node(), Message::SettleBatch { groups: vec![group] }),
        Refusal::Evidence { .. }
    ));
}

#[test]
fn a_batch_copied_from_the_mempool_pays_the_thief_nothing() {
    let (mut world, channel) = World::with_channel();
    let group = world.zk_group(vec![world.item(channel, 0, EvidenceKind::Zk)]);
    let message = Message::SettleBatch { groups: vec![group] };
    let theirs = world.tx(&bob(), message.clone());
    let ours = world.tx(&node(), message);
    let before = world.balance(bob().address(), USD);
    let outcome = world.block(&[theirs, ours]);
    assert!(matches!(outcome.txs[0].refusal, Some(Refusal::NotTheNode { .. })));
    assert_eq!(outcome.txs[1].refusal, None, "and stops nobody");
    assert_eq!(world.balance(bob().address(), USD), before);
    assert_eq!(world.balance(payout(), USD), 10);
}
