//! The warranty of a range is one: whatever its node is caught at, in whatever order, the payer gets it once.

use haca_ledger::{Effect, query};
use haca_wire::order::Signed;
use haca_wire::state::{HeldKey, key};
use haca_wire::voucher::receipt_path;
use haca_wire::*;

use crate::script::Key;
use crate::vouchers::{Range, doubt, range, settle};
use crate::world::{USD, World, alice, bob, node, signer, test_params};

/// Two receipts for one order of a warranty.
fn report(world: &World, channel: ChannelId, sequence: u64, warranty: u128) -> Message {
    let mut order = world.order(channel, sequence, EvidenceKind::Optimistic);
    order.warranty = Amount(warranty);
    let receipt = world.receipt(&order);
    let item = world.sign_item(order, receipt);
    let mut other = item.receipt.value.clone();
    other.response = ResponseHash([9; 32]);
    Message::ClaimEquivocation {
        order: item.order,
        first: item.receipt,
        second: Signed::new(other, &world.domain, &signer()).unwrap(),
    }
}

/// What a report pays.
fn paid_for(world: &mut World, channel: ChannelId, sequence: u64, warranty: u128) -> u128 {
    let message = report(world, channel, sequence, warranty);
    let effects = world.ok(&bob(), message);
    let [Effect::EquivocationClaimed { paid, .. }] = &effects[..] else {
        panic!("{effects:?}")
    };
    paid.0
}

/// Five receipts from a sequence on under a voucher with this warranty, settled.
fn covered(world: &mut World, channel: ChannelId, first: u64, warranty: u128) -> Range {
    let mut range = range(world, channel, first, 5, EvidenceKind::Optimistic);
    let mut voucher = range.coverage.voucher.value.clone();
    voucher.warranty = Amount(warranty);
    range.coverage.voucher = Signed::new(voucher, &world.domain, &alice()).unwrap();
    world.ok(&node(), settle(&range.coverage));
    range
}

fn place(channel: ChannelId, first: u64) -> HeldKey {
    HeldKey {
        channel,
        first: Sequence(first),
    }
}

fn warranty_left(world: &World, channel: ChannelId, first: u64) -> u128 {
    world.held(place(channel, first)).unwrap().warranty.0
}

/// Settles a range of which nobody holds the receipts.
fn settle_unseen(world: &mut World, channel: ChannelId, first: u64, count: u32, warranty: u128) {
    let (first, root) = (Sequence(first), [7; 32]);
    let voucher = Voucher {
        channel,
        first,
        count,
        root,
        model: Key::new(1).model,
        evidence: EvidenceKind::Optimistic,
        total: Amount(1),
        warranty: Amount(warranty),
        settle_by: Tick(world.tick().0 + 15),
    };
    let root = ReceiptRoot {
        channel,
        first,
        count,
        root,
        block_height: world.height(),
        block_hash: BlockHash([3; 32]),
        signer: signer().address(),
    };
    let coverage = Coverage {
        voucher: Signed::new(voucher, &world.domain, &alice()).unwrap(),
        root: Signed::new(root, &world.domain, &signer()).unwrap(),
    };
    world.ok(&node(), settle(&coverage));
}

#[test]
fn an_equivocation_is_paid_out_of_what_waits_with_its_range() {
    let (mut world, channel) = World::with_channel();
    covered(&mut world, channel, 0, 300);
    assert_eq!(world.channel(channel).reserve, Amount(0), "the range took all");
    let usd = world.balance(alice().address(), USD);
    assert_eq!(paid_for(&mut world, channel, 2, 50), 50);
    assert_eq!(world.balance(alice().address(), USD), usd + 50);
    assert_eq!(warranty_left(&world, channel, 0), 250);
}

#[test]
fn a_false_leaf_is_paid_out_of_what_waits_with_its_range() {
    let (mut world, channel) = World::with_channel();
    let range = covered(&mut world, channel, 0, 300);
    let mut leaves = range.leaves.clone();
    leaves[3] = Some(ReceiptHash([8; 32]));
    let mut root = range.coverage.root.value.clone();
    root.root = receipt_root(&leaves);
    let claim = Message::ClaimFalseLeaf {
        order: range.items[3].order.clone(),
        receipt: range.items[3].receipt.clone(),
        root: Signed::new(root, &world.domain, &signer()).unwrap(),
        leaf: leaves[3],
        path: receipt_path(&leaves, 3).unwrap(),
    };
    let usd = world.balance(alice().address(), USD);
    world.ok(&bob(), claim);
    assert_eq!(world.balance(alice().address(), USD), usd + 50);
    assert_eq!(warranty_left(&world, channel, 0), 250);
}

#[test]
fn a_range_pays_no_more_than_its_vouchers_warranty_in_any_order_of_faults() {
    for unanswered_after in 0..=5 {
        let (mut world, channel) = World::with_channel();
        let usd = world.balance(alice().address(), USD);
        let range = covered(&mut world, channel, 0, 120);
        assert_eq!(world.channel(channel).reserve, Amount(180));
        let mut paid = 0;
        for sequence in 0..=5 {
            if sequence == unanswered_after {
                let demand = doubt(&world, &range, 1);
                world.ok(&alice(), demand);
                let due = world.held(place(channel, 0)).unwrap().due();
                world.wait_for_tick(due.0 + 2);
            }
            if sequence < 5 {
                paid += paid_for(&mut world, channel, sequence, 50);
            }
        }
        let before = unanswered_after.min(3);
        assert_eq!(paid, [0, 50, 100, 120][before as usize]);
        assert_eq!(
            world.balance(alice().address(), USD),
            usd + 50 + 120,
            "fee and warranty"
        );
        assert_eq!(
            world.channel(channel).reserve,
            Amount(180),
            "nothing of it was due"
        );
        assert_eq!(world.bond().reserved, Amount(180));
    }
}

#[test]
fn a_forfeit_pays_what_equivocations_have_left() {
    for demanded in [1, 2] {
        let (mut world, channel) = World::with_channel();
        let range = covered(&mut world, channel, 0, 250);
        let usd = world.balance(alice().address(), USD);
        paid_for(&mut world, channel, 2, 50);
        let demand = doubt(&world, &range, demanded);
        world.ok(&alice(), demand);
        let due = world.held(place(channel, 0)).unwrap().due();
        world.wait_for_tick(due.0 + 2);
        assert_eq!(world.balance(alice().address(), USD), usd + 50 + 250);
        assert_eq!(world.bond().reserved, Amount(50), "what the reserve has left");
    }
}

#[test]
fn once_a_range_is_paid_its_sequences_are_like_any_other_settled_ones() {
    let (mut world, channel) = World::with_channel();
    covered(&mut world, channel, 0, 250);
    assert!(world.state.keys().any(|key| key.starts_with(key::RANGES)));
    world.wait(test_params().demand_window + 2);
    assert!(world.held(place(channel, 0)).is_none());
    assert!(!world.state.keys().any(|key| key.starts_with(key::RANGES)));
    assert_eq!(paid_for(&mut world, channel, 2, 50), 50);
    assert_eq!(world.channel(channel).reserve, Amount(0), "50 were left in it");
    assert_eq!(paid_for(&mut world, channel, 3, 50), 0);
}

#[test]
fn what_waits_pays_though_the_channel_is_closed() {
    let (mut world, channel) = World::with_channel();
    covered(&mut world, channel, 0, 250);
    let close = Close {
        channel,
        expires: Height(1_000),
    };
    let consent = Some(Signed::new(close, &world.domain, &alice()).unwrap());
    world.ok(&node(), Message::CloseChannel { channel, consent });
    assert_eq!(paid_for(&mut world, channel, 4, 50), 50);
    assert_eq!(warranty_left(&world, channel, 0), 200);
}

/// Ranges and single receipts side by side, at and across multiples of 1,024: each sequence draws on its own.
#[test]
fn a_sequence_draws_on_the_range_that_it_stands_in() {
    let (mut world, channel) = World::with_channel();
    let mut params = world.params();
    params.demand_window = 1_000;
    world.set_params(params);
    let settled = [
        (0, 2),
        (2, 1),
        (3, 1_021),
        (1_024, 2),
        (1_026, 1),
        (1_030, 1_024),
        (2_054, 2),
        (3_071, 2),
        (4_000, 1),
    ];
    for (first, count) in settled {
        if count == 1 {
            let mut order = world.order(channel, first, EvidenceKind::Optimistic);
            order.warranty = Amount(20);
            let receipt = world.receipt(&order);
            let item = world.sign_item(order, receipt);
            world.hold(vec![item]);
        } else {
            settle_unseen(&mut world, channel, first, count, 20);
        }
    }
    let left = |world: &World| settled.map(|(first, _)| warranty_left(world, channel, first));
    let sequences = [
        0, 1, 2, 3, 4, 1_022, 1_023, 1_024, 1_025, 1_026, 1_027, 1_029, 1_030, 1_500, 2_047, 2_048, 2_053,
        2_054, 2_055, 2_056, 3_070, 3_071, 3_072, 3_073, 3_999, 4_000, 4_001, 9_000,
    ];
    for sequence in sequences {
        let (before, reserve) = (left(&world), world.channel(channel).reserve.0);
        assert_eq!(
            paid_for(&mut world, channel, sequence, 1),
            1,
            "sequence {sequence}"
        );
        let owner = settled
            .iter()
            .position(|(first, count)| (*first..first + u64::from(*count)).contains(&sequence));
        let mut expected = before;
        if let Some(owner) = owner {
            expected[owner] -= 1;
        }
        assert_eq!(left(&world), expected, "sequence {sequence}");
        let drawn = u128::from(owner.is_none());
        assert_eq!(world.channel(channel).reserve.0, reserve - drawn);
    }
}

/// A forfeited range that lies across a multiple of 1,024 pays nothing more, and its neighbours do.
#[test]
fn a_forfeited_range_is_remembered_to_its_ends() {
    let (mut world, channel) = World::with_channel();
    let range = covered(&mut world, channel, 1_022, 100);
    settle_unseen(&mut world, channel, 1_027, 2, 10);
    let demand = doubt(&world, &range, 4);
    world.ok(&alice(), demand);
    let due = world.held(place(channel, 1_022)).unwrap().due();
    world.wait_for_tick(due.0 + 2);
    assert!(world.held(place(channel, 1_022)).is_none());
    for (sequence, paid) in [
        (1_021, 1),
        (1_022, 0),
        (1_023, 0),
        (1_024, 0),
        (1_026, 0),
        (1_027, 1),
        (1_029, 1),
        (2_048, 1),
    ] {
        assert_eq!(
            paid_for(&mut world, channel, sequence, 1),
            paid,
            "sequence {sequence}"
        );
    }
    let claim = query::claim(&world.state, channel, Sequence(1_024))
        .unwrap()
        .unwrap();
    assert_eq!(claim.paid, Amount(0));
}
