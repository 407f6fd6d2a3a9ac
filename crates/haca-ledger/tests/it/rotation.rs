//! Receipt keys: active between registration and replacement, with a fixed grace.

use haca_ledger::Refusal;
use haca_wire::order::Signed;
use haca_wire::state::NodeRecord;
use haca_wire::{ChannelId, EvidenceKind, Height, Item, Message, SecretKey, Tick};

use crate::world::{USD, World, alice, key, node, payout, signer, test_params};

fn rotate(world: &mut World, new: &SecretKey) {
    let mut terms = world.terms();
    if let Message::RegisterNode { signer, .. } = &mut terms {
        *signer = new.address();
    }
    world.ok(&node(), terms);
}

fn item_by(world: &World, channel: ChannelId, sequence: u64, by: &SecretKey, height: u64) -> Item {
    let order = world.order(channel, sequence, EvidenceKind::Signed);
    let mut receipt = world.receipt(&order);
    receipt.signer = by.address();
    receipt.block_height = Height(height);
    let mut item = world.sign_item(order, receipt);
    item.receipt = Signed::new(item.receipt.value, &world.domain, by).unwrap();
    item
}

#[test]
fn receipts_of_a_replaced_key_settle_within_their_grace() {
    let (mut world, channel) = World::with_channel();
    let before = world.height().0;
    rotate(&mut world, &key(40));
    let end = world.tick().0 - 1;
    let item = item_by(&world, channel, 0, &signer(), before);
    let message = world.settle_one(item);
    world.ok(&node(), message);
    assert_eq!(world.balance(payout(), USD), 10);
    let mut order = world.order(channel, 1, EvidenceKind::Signed);
    order.settle_by = Tick(u64::MAX);
    let mut receipt = world.receipt(&order);
    receipt.block_height = Height(before);
    let item = world.sign_item(order, receipt);
    let message = world.settle_one(item);
    world.wait_for_tick(end + test_params().signer_grace + 1);
    assert_eq!(
        world.refused(&node(), message),
        Refusal::SettleByPassed {
            found: Tick(end + test_params().signer_grace + 1),
            expected: Tick(end + test_params().signer_grace)
        }
    );
}

#[test]
fn rejects_a_replaced_key_at_later_blocks_and_a_new_one_at_earlier_blocks() {
    let (mut world, channel) = World::with_channel();
    let before = world.height().0;
    rotate(&mut world, &key(40));
    let rotated = world.height().0;
    world.block(&[]);
    for (by, height) in [(signer(), rotated), (signer(), rotated + 1), (key(40), before)] {
        let item = item_by(&world, channel, 0, &by, height);
        let message = world.settle_one(item);
        assert_eq!(
            world.refused(&node(), message),
            Refusal::SignerInactive {
                found: by.address(),
                height: Height(height)
            }
        );
    }
    let item = item_by(&world, channel, 0, &key(40), rotated);
    let message = world.settle_one(item);
    world.ok(&node(), message);
}

#[test]
fn a_replaced_key_no_longer_settles_for_the_node() {
    let (mut world, channel) = World::with_channel();
    world.ok(
        &alice(),
        Message::Transfer {
            to: signer().address(),
            asset: crate::world::OPG,
            amount: haca_wire::Amount(1_000_000),
        },
    );
    let before = world.height().0;
    let item = item_by(&world, channel, 0, &signer(), before);
    let message = world.settle_one(item);
    rotate(&mut world, &key(40));
    assert!(matches!(
        world.refused(&signer(), message.clone()),
        Refusal::NotTheNode { .. }
    ));
    world.ok(&node(), message);
}

#[test]
fn a_missed_settlement_of_a_replaced_key_can_still_be_claimed() {
    let (mut world, channel) = World::with_channel();
    let before = world.height().0;
    let item = item_by(&world, channel, 0, &signer(), before);
    rotate(&mut world, &key(40));
    let opens = item.order.value.settle_by.0 + test_params().grace;
    world.wait_for_tick(opens + 1);
    world.ok(
        &alice(),
        Message::ClaimMissed {
            order: item.order,
            receipt: item.receipt,
        },
    );
}

#[test]
fn replacing_the_key_does_not_postpone_or_escape_the_claim() {
    let (mut world, channel) = World::with_channel();
    let mut order = world.order(channel, 0, EvidenceKind::Signed);
    order.settle_by = Tick(u64::MAX);
    let receipt = world.receipt(&order);
    let item = world.sign_item(order, receipt);
    let end = world.tick().0;
    rotate(&mut world, &key(40));
    let claim = Message::ClaimMissed {
        order: item.order,
        receipt: item.receipt,
    };
    let opens = end + test_params().signer_grace + test_params().grace;
    world.wait_for_tick(opens);
    assert!(matches!(
        world.refused(&alice(), claim.clone()),
        Refusal::ClaimTooEarly { .. }
    ));
    world.wait_for_tick(opens + test_params().claim_window - 1);
    // Registering again drops only keys whose receipts can't be claimed any more.
    rotate(&mut world, &key(41));
    world.ok(&alice(), claim);
}

#[test]
fn keys_are_kept_while_they_matter_and_no_longer() {
    let (mut world, _) = World::with_channel();
    let most = u8::try_from(NodeRecord::MAX_SIGNERS).unwrap();
    for tag in 1..most {
        rotate(&mut world, &key(100 + tag));
    }
    assert_eq!(world.node().signers.len(), NodeRecord::MAX_SIGNERS);
    let terms = world.terms();
    assert_eq!(
        world.refused(&node(), terms.clone()),
        Refusal::TooManySigners {
            expected: NodeRecord::MAX_SIGNERS
        }
    );
    world.wait(60);
    world.ok(&node(), terms);
    assert_eq!(world.node().signers.len(), 2, "the last one and its successor");
}

#[test]
fn the_same_key_again_changes_no_term() {
    let (mut world, _) = World::with_channel();
    let before = world.node().signers;
    let terms = world.terms();
    world.ok(&node(), terms);
    assert_eq!(world.node().signers, before);
}

#[test]
fn a_key_replaced_in_its_own_block_was_never_active() {
    let (mut world, channel) = World::with_channel();
    let mut txs = Vec::new();
    for tag in [50, 51] {
        let mut terms = world.terms();
        if let Message::RegisterNode { signer, .. } = &mut terms {
            *signer = key(tag).address();
        }
        txs.push(world.tx(&node(), terms));
    }
    let outcome = world.block(&txs);
    assert!(outcome.txs.iter().all(|tx| tx.refusal.is_none()));
    let height = world.height().0;
    assert_eq!(world.node().signers.len(), 2);
    let item = item_by(&world, channel, 0, &key(50), height);
    let message = world.settle_one(item);
    assert!(matches!(
        world.refused(&node(), message),
        Refusal::SignerInactive { .. }
    ));
}
