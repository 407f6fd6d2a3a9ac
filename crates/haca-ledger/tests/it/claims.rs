//! ClaimMissed: warranty for what was not settled, and nothing else.

use haca_ledger::{Effect, Refusal};
use haca_wire::order::Signed;
use haca_wire::{Amount, ChannelId, EvidenceKind, Item, Message, Sequence, Tick};

use crate::world::{RICH, USD, World, alice, bob, node, payout, signer, test_params};

fn claim(item: &Item) -> Message {
    Message::ClaimMissed {
        order: item.order.clone(),
        receipt: item.receipt.clone(),
    }
}

/// The last tick before the claim opens, and the last tick of the claim.
fn window(item: &Item) -> (u64, u64) {
    let opens = item.order.value.settle_by.0 + test_params().grace;
    (opens, opens + test_params().claim_window)
}

fn missed(evidence: EvidenceKind) -> (World, ChannelId, Item) {
    let (world, channel) = World::with_channel();
    let item = world.item(channel, 0, evidence);
    (world, channel, item)
}

#[test]
fn a_missed_settlement_pays_the_warranty_out_of_the_reserve() {
    for evidence in [EvidenceKind::Signed, EvidenceKind::Zk] {
        let (mut world, channel, item) = missed(evidence);
        let (opens, _) = window(&item);
        world.wait_for_tick(opens + 1);
        let effects = world.ok(&alice(), claim(&item));
        assert_eq!(
            effects,
            [Effect::MissedClaimed {
                channel,
                sequence: Sequence(0),
                paid: Amount(50)
            }]
        );
        assert_eq!(world.balance(alice().address(), USD), RICH - 500 + 50);
        let bond = world.bond();
        assert_eq!((bond.total, bond.reserved), (Amount(950), Amount(250)));
        assert_eq!(world.channel(channel).reserve, Amount(250));
        assert_eq!(world.channel(channel).deposit, Amount(500), "no fee was due");
    }
}

#[test]
fn rejects_a_claim_while_the_node_may_settle_or_is_in_grace() {
    let (mut world, _, item) = missed(EvidenceKind::Signed);
    let (opens, _) = window(&item);
    for tick in [item.order.value.settle_by.0, opens] {
        world.wait_for_tick(tick);
        assert_eq!(
            world.refused(&alice(), claim(&item)),
            Refusal::ClaimTooEarly {
                found: Tick(tick),
                expected: Tick(opens)
            }
        );
    }
}

#[test]
fn rejects_a_claim_after_its_window() {
    let (mut world, _, item) = missed(EvidenceKind::Signed);
    let (_, shuts) = window(&item);
    world.wait_for_tick(shuts + 1);
    assert_eq!(
        world.refused(&alice(), claim(&item)),
        Refusal::ClaimTooLate {
            found: Tick(shuts + 1),
            expected: Tick(shuts)
        }
    );
}

#[test]
fn the_claim_holds_on_the_last_tick_of_its_window() {
    let (mut world, _, item) = missed(EvidenceKind::Signed);
    let (_, shuts) = window(&item);
    world.wait_for_tick(shuts);
    world.ok(&alice(), claim(&item));
}

#[test]
fn rejects_claim_after_settlement() {
    let (mut world, _, item) = missed(EvidenceKind::Signed);
    let message = world.settle_one(item.clone());
    world.ok(&node(), message);
    let (opens, _) = window(&item);
    world.wait_for_tick(opens + 1);
    assert_eq!(
        world.refused(&alice(), claim(&item)),
        Refusal::SequenceUsed { found: Sequence(0) }
    );
}

#[test]
fn rejects_settlement_after_claim() {
    let (mut world, channel, item) = missed(EvidenceKind::Signed);
    let (opens, _) = window(&item);
    world.wait_for_tick(opens + 1);
    world.ok(&alice(), claim(&item));
    // An order on the void sequence that is still in time.
    let message = world.settle_one(world.item(channel, 0, EvidenceKind::Signed));
    assert_eq!(
        world.refused(&node(), message),
        Refusal::SequenceUsed { found: Sequence(0) }
    );
    assert_eq!(world.balance(payout(), USD), 0);
}

#[test]
fn rejects_the_same_claim_twice() {
    let (mut world, _, item) = missed(EvidenceKind::Signed);
    let (opens, _) = window(&item);
    world.wait_for_tick(opens + 1);
    let txs = [world.tx(&alice(), claim(&item)), world.tx(&alice(), claim(&item))];
    let outcome = world.block(&txs);
    assert_eq!(outcome.txs[0].refusal, None);
    assert_eq!(
        outcome.txs[1].refusal,
        Some(Refusal::SequenceUsed { found: Sequence(0) })
    );
    assert_eq!(world.balance(alice().address(), USD), RICH - 450);
}

#[test]
fn rejects_a_claim_without_a_receipt_of_the_node() {
    let (mut world, channel, item) = missed(EvidenceKind::Signed);
    let (opens, _) = window(&item);
    world.wait_for_tick(opens + 1);
    let mut forged = item.clone();
    forged.receipt.value.signer = alice().address();
    forged.receipt = Signed::new(forged.receipt.value, &world.domain, &alice()).unwrap();
    assert!(matches!(
        world.refused(&alice(), claim(&forged)),
        Refusal::SignerInactive { .. }
    ));
    let mut forged = item.clone();
    forged.receipt = Signed::new(forged.receipt.value, &world.domain, &alice()).unwrap();
    assert!(matches!(
        world.refused(&alice(), claim(&forged)),
        Refusal::ReceiptSignature { .. }
    ));
    let mut other = item.clone();
    other.receipt = world.item(channel, 1, EvidenceKind::Signed).receipt;
    assert_eq!(world.refused(&alice(), claim(&other)), Refusal::ReceiptMismatch);
}

#[test]
fn rejects_an_order_written_after_the_fact_with_a_higher_warranty() {
    let (mut world, _, item) = missed(EvidenceKind::Signed);
    let (opens, _) = window(&item);
    world.wait_for_tick(opens + 1);
    let mut order = item.order.value.clone();
    order.warranty = Amount(300);
    let mut dearer = item;
    dearer.order = Signed::new(order, &world.domain, &alice()).unwrap();
    assert_eq!(
        world.refused(&alice(), claim(&dearer)),
        Refusal::ReceiptOrder,
        "the receipt names the order the node saw"
    );
}

#[test]
fn rejects_a_claim_by_anybody_but_the_payer() {
    let (mut world, _, item) = missed(EvidenceKind::Signed);
    let (opens, _) = window(&item);
    world.wait_for_tick(opens + 1);
    for stranger in [bob(), node(), signer()] {
        if stranger.address() == signer().address() {
            continue;
        }
        assert!(matches!(
            world.refused(&stranger, claim(&item)),
            Refusal::NotThePayer { .. }
        ));
    }
}

#[test]
fn warranties_never_exceed_what_is_left_of_the_reserve() {
    let (mut world, channel) = World::with_channel();
    let items: Vec<_> = (0..3)
        .map(|sequence| {
            let mut order = world.order(channel, sequence, EvidenceKind::Signed);
            order.warranty = Amount(200);
            let receipt = world.receipt(&order);
            world.sign_item(order, receipt)
        })
        .collect();
    let (opens, _) = window(&items[0]);
    world.wait_for_tick(opens + 1);
    world.ok(&alice(), claim(&items[0]));
    world.ok(&alice(), claim(&items[1]));
    assert_eq!(world.balance(alice().address(), USD), RICH - 500 + 300);
    assert_eq!(world.refused(&alice(), claim(&items[2])), Refusal::NothingToClaim);
    assert_eq!(world.bond().total, Amount(700), "nothing beyond the reserve");
    assert_eq!(world.bond().reserved, Amount(0));
}

#[test]
fn a_claim_draws_on_no_other_channels_reserve() {
    let (mut world, channel) = World::with_channel();
    let bobs = world.open(&bob());
    let mut order = world.order(channel, 0, EvidenceKind::Signed);
    order.warranty = Amount(1_000_000);
    let receipt = world.receipt(&order);
    let item = world.sign_item(order, receipt);
    let (opens, _) = window(&item);
    world.wait_for_tick(opens + 1);
    world.ok(&alice(), claim(&item));
    assert_eq!(world.channel(channel).reserve, Amount(0));
    assert_eq!(world.channel(bobs).reserve, Amount(300));
    assert_eq!(world.bond().total, Amount(700));
}

#[test]
fn an_order_without_warranty_claims_nothing() {
    let (mut world, channel) = World::with_channel();
    let mut order = world.order(channel, 0, EvidenceKind::Signed);
    order.warranty = Amount(0);
    let receipt = world.receipt(&order);
    let item = world.sign_item(order, receipt);
    let (opens, _) = window(&item);
    world.wait_for_tick(opens + 1);
    assert_eq!(world.refused(&alice(), claim(&item)), Refusal::NothingToClaim);
}

#[test]
fn rejects_a_claim_on_a_sequence_that_has_left_the_window() {
    let (mut world, channel, item) = missed(EvidenceKind::Signed);
    let far = world.item(channel, 5_000, EvidenceKind::Signed);
    let message = world.settle_one(far);
    world.ok(&node(), message);
    let (opens, _) = window(&item);
    world.wait_for_tick(opens + 1);
    assert!(matches!(
        world.refused(&alice(), claim(&item)),
        Refusal::SequenceOutOfWindow { .. }
    ));
}

#[test]
fn an_order_for_evidence_that_cannot_settle_can_still_be_claimed() {
    let (mut world, _, item) = missed(EvidenceKind::Tee);
    let (opens, _) = window(&item);
    world.wait_for_tick(opens + 1);
    world.ok(&alice(), claim(&item));
}
