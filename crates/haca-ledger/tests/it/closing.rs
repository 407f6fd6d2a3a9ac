//! CloseChannel: with consent, alone, and the races around it.

use haca_ledger::{Effect, Refusal};
use haca_wire::order::Signed;
use haca_wire::state::ChannelState;
use haca_wire::{Amount, ChannelId, Close, EvidenceKind, Height, Message, SecretKey, Tick};

use crate::world::{RICH, USD, World, alice, bob, node, payout, signer, test_params};

fn alone(channel: ChannelId) -> Message {
    Message::CloseChannel {
        channel,
        consent: None,
    }
}

fn consented(world: &World, channel: ChannelId, by: &SecretKey) -> Message {
    let consent = Close {
        channel,
        expires: Height(world.height().0 + 5),
    };
    Message::CloseChannel {
        channel,
        consent: Some(Signed::new(consent, &world.domain, by).unwrap()),
    }
}

/// Closing ticks as the rules give them for a request at `tick`.
fn windows(tick: u64) -> (u64, u64) {
    let params = test_params();
    let last_settle = tick + params.settle_horizon;
    (last_settle, last_settle + params.grace + params.claim_window)
}

#[test]
fn both_sides_close_at_once() {
    for (sender, other) in [(alice(), node()), (node(), alice())] {
        let (mut world, channel) = World::with_channel();
        let message = consented(&world, channel, &other);
        let effects = world.ok(&sender, message);
        assert_eq!(
            effects,
            [Effect::ChannelClosed {
                channel,
                refund: Amount(500),
                released: Amount(300)
            }]
        );
        assert_eq!(world.balance(alice().address(), USD), RICH);
        assert_eq!(world.bond().reserved, Amount(0));
        assert!(matches!(
            world.channel(channel).state,
            ChannelState::Closed { .. }
        ));
    }
}

#[test]
fn rejects_a_consent_the_other_side_did_not_give() {
    let (mut world, channel) = World::with_channel();
    let second = world.open(&alice());
    for (sender, forger) in [
        (alice(), alice()),
        (node(), node()),
        (alice(), signer()),
        (node(), bob()),
    ] {
        let message = consented(&world, channel, &forger);
        assert!(matches!(
            world.refused(&sender, message),
            Refusal::ConsentSignature { .. }
        ));
    }
    let other = consented(&world, second, &node());
    let Message::CloseChannel { consent, .. } = other else {
        unreachable!("built above");
    };
    assert_eq!(
        world.refused(&alice(), Message::CloseChannel { channel, consent }),
        Refusal::ConsentChannel {
            found: second,
            expected: channel
        }
    );
    let old = consented(&world, channel, &node());
    world.wait(6);
    assert!(matches!(
        world.refused(&alice(), old),
        Refusal::ConsentExpired { .. }
    ));
}

#[test]
fn rejects_closing_by_a_stranger() {
    let (mut world, channel) = World::with_channel();
    for message in [alone(channel), consented(&world, channel, &node())] {
        assert_eq!(
            world.refused(&bob(), message),
            Refusal::NotAParty {
                found: bob().address()
            }
        );
    }
}

#[test]
fn closing_alone_matures_by_itself() {
    for sender in [alice(), node()] {
        let (mut world, channel) = World::with_channel();
        let (last_settle, matures) = windows(world.tick().0);
        world.ok(&sender, alone(channel));
        assert_eq!(
            world.channel(channel).state,
            ChannelState::Closing {
                by: sender.address(),
                last_settle: Tick(last_settle),
                matures: Tick(matures)
            }
        );
        world.wait_for_tick(matures + 1);
        assert_eq!(world.bond().reserved, Amount(300), "reserved until closed");
        assert_eq!(world.supply(USD).escrow, Amount(500));
        let outcome = world.block(&[]);
        assert!(matches!(outcome.swept[..], [Effect::ChannelClosed { .. }]));
        assert_eq!(world.balance(alice().address(), USD), RICH);
        assert_eq!(world.bond().reserved, Amount(0));
    }
}

#[test]
fn rejects_closing_again_to_move_the_windows() {
    let (mut world, channel) = World::with_channel();
    world.ok(&alice(), alone(channel));
    let state = world.channel(channel).state;
    for sender in [alice(), node()] {
        assert_eq!(
            world.refused(&sender, alone(channel)),
            Refusal::ChannelClosing { channel }
        );
    }
    assert_eq!(world.channel(channel).state, state);
}

#[test]
fn receipts_settle_until_the_horizon_of_a_closing_channel() {
    let (mut world, channel) = World::with_channel();
    let (last_settle, _) = windows(world.tick().0);
    world.ok(&alice(), alone(channel));
    let mut items = Vec::new();
    for sequence in 0..2 {
        let mut order = world.order(channel, sequence, EvidenceKind::Signed);
        order.settle_by = Tick(u64::MAX);
        let receipt = world.receipt(&order);
        items.push(world.sign_item(order, receipt));
    }
    let late = items.pop().unwrap();
    world.wait_for_tick(last_settle);
    let message = world.settle_one(items.pop().unwrap());
    world.ok(&node(), message);
    assert_eq!(
        world.balance(payout(), USD),
        10,
        "the payer can't run away from a receipt"
    );
    let message = world.settle_one(late);
    assert_eq!(
        world.refused(&node(), message),
        Refusal::SettleByPassed {
            found: Tick(last_settle + 1),
            expected: Tick(last_settle)
        },
        "nor the node settle when the claim is open"
    );
}

#[test]
fn closing_gives_no_order_more_time_than_it_had() {
    let (mut world, channel) = World::with_channel();
    let item = world.item(channel, 0, EvidenceKind::Signed);
    let settle_by = item.order.value.settle_by.0;
    world.ok(&node(), alone(channel));
    world.wait_for_tick(settle_by + 1);
    let message = world.settle_one(item);
    assert!(matches!(
        world.refused(&node(), message),
        Refusal::SettleByPassed { .. }
    ));
}

#[test]
fn a_far_settle_by_does_not_escape_the_claim_when_the_channel_closes() {
    let (mut world, channel) = World::with_channel();
    let mut order = world.order(channel, 0, EvidenceKind::Signed);
    order.settle_by = Tick(u64::MAX);
    let receipt = world.receipt(&order);
    let item = world.sign_item(order, receipt);
    let (last_settle, matures) = windows(world.tick().0);
    world.ok(&node(), alone(channel));
    let claim = Message::ClaimMissed {
        order: item.order,
        receipt: item.receipt,
    };
    world.wait_for_tick(last_settle + test_params().grace);
    assert!(matches!(
        world.refused(&alice(), claim.clone()),
        Refusal::ClaimTooEarly { .. }
    ));
    world.wait_for_tick(matures);
    world.ok(&alice(), claim);
    assert_eq!(world.balance(alice().address(), USD), RICH - 500 + 50);
}

#[test]
fn rejects_settlement_and_claim_after_closing() {
    let (mut world, channel) = World::with_channel();
    let item = world.item(channel, 0, EvidenceKind::Signed);
    let message = consented(&world, channel, &node());
    world.ok(&alice(), message);
    let settle = world.settle_one(item.clone());
    assert_eq!(world.refused(&node(), settle), Refusal::ChannelClosed { channel });
    let claim = Message::ClaimMissed {
        order: item.order,
        receipt: item.receipt,
    };
    assert_eq!(world.refused(&alice(), claim), Refusal::ChannelClosed { channel });
    assert_eq!(
        world.refused(&alice(), alone(channel)),
        Refusal::ChannelClosed { channel }
    );
}

#[test]
fn a_consent_ends_a_closing_early_and_the_queue_goes_on() {
    let (mut world, channel) = World::with_channel();
    let second = world.open(&alice());
    world.ok(&alice(), alone(channel));
    world.ok(&alice(), alone(second));
    let (_, matures) = windows(world.tick().0);
    let message = consented(&world, channel, &node());
    world.ok(&alice(), message);
    world.wait_for_tick(matures);
    world.block(&[]);
    assert!(matches!(world.channel(second).state, ChannelState::Closed { .. }));
    assert_eq!(world.balance(alice().address(), USD), RICH, "each refunded once");
}

#[test]
fn the_last_settlement_and_the_closing_do_not_pay_twice() {
    let (mut world, channel) = World::with_channel();
    let item = world.item(channel, 0, EvidenceKind::Signed);
    let settle = world.settle_one(item);
    let close = consented(&world, channel, &node());
    let txs = [world.tx(&node(), settle), world.tx(&alice(), close)];
    let outcome = world.block(&txs);
    assert!(outcome.txs.iter().all(|tx| tx.refusal.is_none()));
    assert_eq!(world.balance(alice().address(), USD), RICH - 10);
    assert_eq!(world.balance(payout(), USD), 10);
}
