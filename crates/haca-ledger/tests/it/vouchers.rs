//! Covering vouchers: two signatures settle a range, a leaf stays provable, a false leaf is a fault.

use haca_ledger::{Effect, Refusal, query};
use haca_wire::order::Signed;
use haca_wire::state::{ClaimKind, HeldKey};
use haca_wire::voucher::{check_leaf, receipt_path};
use haca_wire::*;

use crate::demands::{DEPOSIT, respond};
use crate::script::Key;
use crate::world::{STAKE, USD, World, alice, bob, key, node, other_node, payout, signer, test_params};

/// The papers of a range: what each order and receipt said, and what payer and node signed over them all.
#[derive(Clone)]
pub(crate) struct Range {
    pub(crate) items: Vec<Item>,
    pub(crate) leaves: Vec<Option<ReceiptHash>>,
    pub(crate) coverage: Coverage,
}

pub(crate) fn range(
    world: &World,
    channel: ChannelId,
    first: u64,
    count: u32,
    evidence: EvidenceKind,
) -> Range {
    let items: Vec<_> = (first..first + u64::from(count))
        .map(|sequence| world.item(channel, sequence, evidence))
        .collect();
    let leaves: Vec<_> = items
        .iter()
        .map(|item| Some(item.receipt.value.hash(&world.domain)))
        .collect();
    let voucher = Voucher {
        channel,
        first: Sequence(first),
        count,
        root: receipt_root(&leaves),
        model: Key::new(1).model,
        evidence,
        total: Amount(10 * u128::from(count)),
        warranty: Amount(50),
        settle_by: Tick(world.tick().0 + 15),
    };
    let coverage = cover(world, voucher);
    Range {
        items,
        leaves,
        coverage,
    }
}

/// Signed by both sides.
fn cover(world: &World, voucher: Voucher) -> Coverage {
    let root = ReceiptRoot {
        channel: voucher.channel,
        first: voucher.first,
        count: voucher.count,
        root: voucher.root,
        block_height: world.height(),
        block_hash: BlockHash([3; 32]),
        signer: signer().address(),
    };
    Coverage {
        voucher: Signed::new(voucher, &world.domain, &alice()).unwrap(),
        root: Signed::new(root, &world.domain, &signer()).unwrap(),
    }
}

pub(crate) fn settle(coverage: &Coverage) -> Message {
    Message::SettleVouchers {
        coverages: vec![coverage.clone()],
    }
}

#[test]
fn a_voucher_settles_its_range_with_one_fee_and_one_record() {
    let (mut world, channel) = World::with_channel();
    let range = range(&world, channel, 0, 20, EvidenceKind::Signed);
    let before = world.script.count();
    let effects = world.ok(&node(), settle(&range.coverage));
    assert_eq!(world.script.count(), before);
    let [Effect::Settled(record)] = &effects[..] else {
        panic!("{effects:?}")
    };
    let voucher = &range.coverage.voucher.value;
    assert_eq!(record.order, voucher.hash(&world.domain));
    assert_eq!(record.receipt.0, voucher.root);
    assert_eq!((record.sequence, record.fee), (Sequence(0), Amount(200)));
    assert_eq!(world.balance(payout(), USD), 200);
    let state = world.channel(channel);
    assert_eq!((state.deposit, state.settled), (Amount(300), 20));
    assert_eq!(state.window.next(), Sequence(20));
    for (index, leaf) in range.leaves.iter().enumerate() {
        let path = receipt_path(&range.leaves, index).unwrap();
        let place = Sequence(index as u64);
        check_leaf((Sequence(0), 20), &voucher.root, place, leaf.as_ref(), &path).unwrap();
        assert!(check_leaf((Sequence(0), 20), &voucher.root, place, None, &path).is_err());
    }
}

#[test]
fn nothing_of_a_covered_range_settles_or_is_claimed_again() {
    let (mut world, channel) = World::with_channel();
    let covered = range(&world, channel, 0, 20, EvidenceKind::Signed);
    world.ok(&node(), settle(&covered.coverage));
    let single = covered.items[7].clone();
    let message = world.settle_one(single.clone());
    assert!(matches!(
        world.refused(&node(), message),
        Refusal::SequenceUsed { .. }
    ));
    assert!(matches!(
        world.refused(&node(), settle(&covered.coverage)),
        Refusal::SequenceUsed { .. }
    ));
    let overlapping = range(&world, channel, 19, 2, EvidenceKind::Signed);
    assert_eq!(
        world.refused(&node(), settle(&overlapping.coverage)),
        Refusal::SequenceUsed { found: Sequence(19) }
    );
    world.wait_for_tick(single.order.value.settle_by.0 + test_params().grace + 1);
    let claim = Message::ClaimMissed {
        order: single.order,
        receipt: single.receipt,
    };
    assert!(matches!(
        world.refused(&alice(), claim),
        Refusal::SequenceUsed { .. }
    ));
    assert_eq!(world.balance(payout(), USD), 200);
}

#[test]
fn rejects_a_range_with_one_used_or_void_sequence() {
    let (mut world, channel) = World::with_channel();
    let used = world.item(channel, 5, EvidenceKind::Signed);
    let message = world.settle_one(used);
    world.ok(&node(), message);
    let across = range(&world, channel, 0, 10, EvidenceKind::Signed);
    assert_eq!(
        world.refused(&node(), settle(&across.coverage)),
        Refusal::SequenceUsed { found: Sequence(5) }
    );
    let beside = range(&world, channel, 0, 5, EvidenceKind::Signed);
    world.ok(&node(), settle(&beside.coverage));
    let far = world.item(channel, 5_000, EvidenceKind::Signed);
    let message = world.settle_one(far);
    world.ok(&node(), message);
    let void = range(&world, channel, 6, 5, EvidenceKind::Signed);
    assert!(matches!(
        world.refused(&node(), settle(&void.coverage)),
        Refusal::SequenceOutOfWindow { .. }
    ));
}

#[test]
fn vouchers_of_a_batch_settle_all_or_none() {
    let (mut world, channel) = World::with_channel();
    let coverages: Vec<_> = [0, 4, 8]
        .map(|first| range(&world, channel, first, 4, EvidenceKind::Signed).coverage)
        .to_vec();
    let mut wrong = coverages.clone();
    wrong[2] = wrong[1].clone();
    assert!(matches!(
        world.refused(&node(), Message::SettleVouchers { coverages: wrong }),
        Refusal::SequenceUsed { .. }
    ));
    assert_eq!(world.balance(payout(), USD), 0);
    world.ok(&node(), Message::SettleVouchers { coverages });
    assert_eq!(world.balance(payout(), USD), 120);
}

#[test]
fn a_whole_window_fits_a_voucher_and_one_more_does_not() {
    let (mut world, channel) = World::with_channel();
    let voucher = |count: u32, first: u64, world: &World| {
        cover(
            world,
            Voucher {
                channel,
                first: Sequence(first),
                count,
                root: [7; 32],
                model: Key::new(1).model,
                evidence: EvidenceKind::Signed,
                total: Amount(1),
                warranty: Amount(0),
                settle_by: Tick(1_000),
            },
        )
    };
    for count in [0, 1, 1_025, u32::MAX] {
        assert!(matches!(
            world.refused(&node(), settle(&voucher(count, 0, &world))),
            Refusal::RangeLength { .. }
        ));
    }
    world.ok(&node(), settle(&voucher(1_024, 0, &world)));
    world.ok(&node(), settle(&voucher(1_024, 1_024, &world)));
    assert_eq!(world.channel(channel).settled, 2_048);
    assert!(matches!(
        world.refused(&node(), settle(&voucher(2, u64::MAX - 1, &world))),
        Refusal::SequenceOutOfWindow { .. }
    ));
}

#[test]
fn rejects_a_voucher_with_any_term_of_its_own() {
    let (mut world, channel) = World::with_channel();
    let mut honest = range(&world, channel, 0, 4, EvidenceKind::Signed);
    let mut base = honest.coverage.voucher.value.clone();
    base.settle_by = Tick(1_000);
    honest.coverage = cover(&world, base.clone());
    let mut cases: Vec<(Coverage, &str)> = Vec::new();
    let mut altered = |code, change: &dyn Fn(&mut Voucher)| {
        let mut voucher = base.clone();
        change(&mut voucher);
        cases.push((cover(&world, voucher), code));
    };
    altered("ledger.unsupported_evidence", &|v| v.evidence = EvidenceKind::Zk);
    altered("ledger.unsupported_evidence", &|v| v.evidence = EvidenceKind::Tee);
    altered("ledger.unknown_model", &|v| v.model = ModelId([9; 32]));
    altered("ledger.deposit_short", &|v| v.total = Amount(501));
    altered("ledger.settle_by_passed", &|v| v.settle_by = Tick(0));
    altered("ledger.unknown_channel", &|v| v.channel = ChannelId([9; 32]));
    let mut other = honest.coverage.clone();
    other.voucher.value.total = Amount(1);
    cases.push((other, "ledger.voucher_signature"));
    let mut other = honest.coverage.clone();
    other.voucher = Signed::new(base.clone(), &world.domain, &bob()).unwrap();
    cases.push((other, "ledger.voucher_signature"));
    let root = &honest.coverage.root.value;
    for (change, code) in [
        (
            ReceiptRoot {
                count: 5,
                ..root.clone()
            },
            "ledger.voucher_mismatch",
        ),
        (
            ReceiptRoot {
                first: Sequence(1),
                ..root.clone()
            },
            "ledger.voucher_mismatch",
        ),
        (
            ReceiptRoot {
                root: [1; 32],
                ..root.clone()
            },
            "ledger.voucher_mismatch",
        ),
        (
            ReceiptRoot {
                signer: bob().address(),
                ..root.clone()
            },
            "ledger.signer_inactive",
        ),
        (
            ReceiptRoot {
                block_height: Height(0),
                ..root.clone()
            },
            "ledger.signer_inactive",
        ),
        (
            ReceiptRoot {
                block_height: Height(99),
                ..root.clone()
            },
            "ledger.receipt_from_future",
        ),
    ] {
        let mut other = honest.coverage.clone();
        other.root = Signed::new(change, &world.domain, &signer()).unwrap();
        cases.push((other, code));
    }
    let mut other = honest.coverage.clone();
    other.root = Signed::new(root.clone(), &world.domain, &other_node()).unwrap();
    cases.push((other, "ledger.root_signature"));
    for (coverage, code) in cases {
        assert_eq!(world.refused(&node(), settle(&coverage)).code(), code);
    }
    // Who else could settle one voucher of a waiting batch would make it fail.
    for stranger in [alice(), bob()] {
        assert!(matches!(
            world.refused(&stranger, settle(&honest.coverage)),
            Refusal::NotTheNode { .. }
        ));
    }
    world.ok(&node(), settle(&honest.coverage));
}

#[test]
fn a_closing_channel_brings_a_vouchers_deadline_forward() {
    let (mut world, channel) = World::with_channel();
    let mut voucher = range(&world, channel, 0, 4, EvidenceKind::Signed)
        .coverage
        .voucher
        .value;
    voucher.settle_by = Tick(u64::MAX);
    let coverage = cover(&world, voucher);
    let consent = None;
    world.ok(&alice(), Message::CloseChannel { channel, consent });
    let last = world.tick().0 - 1 + test_params().settle_horizon;
    world.wait_for_tick(last + 1);
    assert!(matches!(
        world.refused(&node(), settle(&coverage)),
        Refusal::SettleByPassed { .. }
    ));
}

fn false_leaf(
    range: &Range,
    index: usize,
    leaves: &[Option<ReceiptHash>],
    root: Signed<ReceiptRoot>,
) -> Message {
    Message::ClaimFalseLeaf {
        order: range.items[index].order.clone(),
        receipt: range.items[index].receipt.clone(),
        root,
        leaf: leaves[index],
        path: receipt_path(leaves, index).unwrap(),
    }
}

fn signed_root(world: &World, range: &Range, leaves: &[Option<ReceiptHash>]) -> Signed<ReceiptRoot> {
    let mut root = range.coverage.root.value.clone();
    root.root = receipt_root(leaves);
    Signed::new(root, &world.domain, &signer()).unwrap()
}

/// The user holds a receipt; the node's root says another one, or none.
#[test]
fn a_false_leaf_costs_the_node_its_stake_and_the_warranty() {
    for leaf in [Some(ReceiptHash([8; 32])), None] {
        let (mut world, channel) = World::with_channel();
        let range = range(&world, channel, 0, 4, EvidenceKind::Signed);
        let mut leaves = range.leaves.clone();
        leaves[2] = leaf;
        let root = signed_root(&world, &range, &leaves);
        let usd = world.balance(alice().address(), USD);
        let claim = false_leaf(&range, 2, &leaves, root);
        let effects = world.ok(&bob(), claim.clone());
        assert!(matches!(
            effects[..],
            [Effect::EquivocationClaimed {
                paid: Amount(50),
                burned: Amount(STAKE),
                ..
            }]
        ));
        assert_eq!(world.balance(alice().address(), USD), usd + 50);
        assert!(world.node().jailed);
        let record = query::claim(&world.state, channel, Sequence(2)).unwrap().unwrap();
        assert_eq!(record.kind, ClaimKind::Equivocation);
        assert!(matches!(world.refused(&bob(), claim), Refusal::AlreadyClaimed));
    }
}

#[test]
fn nobody_makes_a_true_leaf_false() {
    let (mut world, channel) = World::with_channel();
    let honest = range(&world, channel, 0, 4, EvidenceKind::Signed);
    let root = honest.coverage.root.clone();
    let claim = |leaf, path, root: &Signed<ReceiptRoot>| Message::ClaimFalseLeaf {
        order: honest.items[2].order.clone(),
        receipt: honest.items[2].receipt.clone(),
        root: root.clone(),
        leaf,
        path,
    };
    let path = receipt_path(&honest.leaves, 2).unwrap();
    assert_eq!(
        world.refused(&alice(), claim(honest.leaves[2], path.clone(), &root)),
        Refusal::TrueLeaf { found: Sequence(2) }
    );
    // Another sequence's leaf, a gap, an inner node, a path of another length: none stands at the place of sequence 2.
    for (leaf, path) in [
        (honest.leaves[3], path.clone()),
        (honest.leaves[3], receipt_path(&honest.leaves, 3).unwrap()),
        (None, path.clone()),
        (Some(ReceiptHash(path[0])), path[1..].to_vec()),
        (Some(ReceiptHash([1; 32])), vec![[0; 32]; 64]),
    ] {
        assert!(matches!(
            world.refused(&alice(), claim(leaf, path, &root)),
            Refusal::NotALeaf { .. }
        ));
    }
    // A root that the node did not sign, for a key that is not its own, or for another channel.
    let mut leaves = honest.leaves.clone();
    leaves[2] = None;
    let lie = |change: &dyn Fn(&mut ReceiptRoot), by: &SecretKey, world: &World| {
        let mut value = honest.coverage.root.value.clone();
        value.root = receipt_root(&leaves);
        change(&mut value);
        Signed::new(value, &world.domain, by).unwrap()
    };
    let path = receipt_path(&leaves, 2).unwrap();
    let cases = [
        (lie(&|_| {}, &key(40), &world), "ledger.root_signature"),
        (
            lie(&|root| root.signer = key(40).address(), &key(40), &world),
            "ledger.signer_inactive",
        ),
        (
            lie(&|root| root.channel = ChannelId([1; 32]), &signer(), &world),
            "ledger.receipt_mismatch",
        ),
        (
            lie(&|root| root.first = Sequence(3), &signer(), &world),
            "ledger.not_a_leaf",
        ),
    ];
    for (root, code) in cases {
        assert_eq!(
            world.refused(&alice(), claim(None, path.clone(), &root)).code(),
            code
        );
    }
    assert!(!world.node().jailed);
}

pub(crate) fn doubt(world: &World, range: &Range, index: usize) -> Message {
    let voucher = &range.coverage.voucher.value;
    Message::Demand {
        channel: voucher.channel,
        first: voucher.first,
        sequence: Sequence(voucher.first.0 + index as u64),
        receipt: range.items[index].receipt.value.hash(&world.domain),
        path: receipt_path(&range.leaves, index).unwrap(),
    }
}

fn held_key(range: &Range) -> HeldKey {
    let voucher = &range.coverage.voucher.value;
    HeldKey {
        channel: voucher.channel,
        first: voucher.first,
    }
}

#[test]
fn any_leaf_of_an_optimistic_voucher_can_be_demanded_one_after_the_other() {
    let (mut world, channel) = World::with_channel();
    let covered = range(&world, channel, 3, 5, EvidenceKind::Optimistic);
    world.ok(&node(), settle(&covered.coverage));
    let held = world.held(held_key(&covered)).unwrap();
    assert_eq!((held.fee, held.warranty, held.count), (Amount(50), Amount(50), 5));
    assert_eq!(world.balance(payout(), USD), 0);
    for index in [4, 1] {
        world.ok(&alice(), doubt(&world, &covered, index));
        assert!(matches!(
            world.refused(&alice(), doubt(&world, &covered, 0)),
            Refusal::DemandOpen { .. }
        ));
        let receipt = &covered.items[index].receipt.value;
        let answer = respond(&world, &[(Sequence(3), receipt)]);
        world.ok(&node(), answer);
        assert_eq!(
            world.balance(payout(), USD),
            0,
            "other leaves may still be doubted"
        );
        assert_eq!(world.supply(crate::world::OPG).held, Amount(0));
    }
    world.wait(test_params().demand_window);
    assert_eq!(world.balance(payout(), USD), 50);
    assert_eq!(
        world.bond().reserved,
        Amount(300 - 50),
        "the warranty is released"
    );
}

#[test]
fn one_leaf_that_is_not_proven_forfeits_the_range() {
    let (mut world, channel) = World::with_channel();
    let range = range(&world, channel, 0, 5, EvidenceKind::Optimistic);
    world.ok(&node(), settle(&range.coverage));
    let usd = world.balance(alice().address(), USD);
    world.ok(&alice(), doubt(&world, &range, 2));
    let opg = world.balance(alice().address(), crate::world::OPG);
    let due = world.held(held_key(&range)).unwrap().due();
    world.wait_for_tick(due.0 + 2);
    assert_eq!(world.balance(alice().address(), USD), usd + 50 + 50);
    assert_eq!(world.balance(alice().address(), crate::world::OPG), opg + DEPOSIT);
    assert_eq!(world.balance(payout(), USD), 0);
    assert!(world.node().jailed);
    let record = query::claim(&world.state, channel, Sequence(2)).unwrap().unwrap();
    assert_eq!(record.kind, ClaimKind::Unanswered);
}

#[test]
fn a_demand_answered_after_the_window_pays_the_range_at_once() {
    let (mut world, channel) = World::with_channel();
    let range = range(&world, channel, 0, 5, EvidenceKind::Optimistic);
    world.ok(&node(), settle(&range.coverage));
    let matures = world.held(held_key(&range)).unwrap().matures;
    world.wait_for_tick(matures.0);
    world.ok(&alice(), doubt(&world, &range, 2));
    world.wait(2);
    assert_eq!(world.balance(payout(), USD), 0, "an open demand holds it back");
    let receipt = &range.items[2].receipt.value;
    let answer = respond(&world, &[(Sequence(0), receipt)]);
    world.ok(&node(), answer);
    assert_eq!(world.balance(payout(), USD), 50);
    world.wait(20);
    assert_eq!(world.balance(payout(), USD), 50);
}
