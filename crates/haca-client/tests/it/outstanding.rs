//! What orders that are out take up of their channel, at each edge.

use haca_client::{Issued, Outstanding};
use haca_wire::codec::Reader;
use haca_wire::state::{ChannelRecord, ChannelState, Params, SEQUENCE_WINDOW, SequenceWindow};
use haca_wire::{Address, Amount, AssetId, Decode as _, Height, Sequence, Tick};

use crate::network::Network;

const FEE: Amount = Amount(5);
const WARRANTY: Amount = Amount(50);
/// Last tick of a settlement, and of a claim.
const SETTLE_BY: Tick = Tick(100);
const CLAIM_BY: Tick = Tick(100 + 30 + 40);

/// Rules of which only grace and claim window count here.
fn params() -> Params {
    let zeros = [0; 4096];
    Params {
        grace: 30,
        claim_window: 40,
        ..Params::decode(&mut Reader::new(&zeros)).unwrap()
    }
}

/// A channel that covers `orders` orders.
fn channel(orders: u128) -> ChannelRecord {
    ChannelRecord {
        payer: Address::default(),
        node: Address::default(),
        asset: AssetId(1),
        deposit: Amount(orders * FEE.0),
        reserve: Amount(orders * WARRANTY.0),
        offer_version: 1,
        opened: Height(1),
        state: ChannelState::Open,
        paid: Amount(0),
        settled: 0,
        window: SequenceWindow::default(),
    }
}

fn issued(sequence: u64, has_receipt: bool) -> Issued {
    let mut order = Network::new().order;
    order.sequence = Sequence(sequence);
    (order.max_fee, order.warranty, order.settle_by) = (FEE, WARRANTY, SETTLE_BY);
    Issued { order, has_receipt }
}

fn at(tick: Tick, issued: &[Issued], channel: &ChannelRecord) -> Outstanding {
    // What counts for something is out.
    let (kept, gone): (Vec<_>, Vec<_>) = issued
        .iter()
        .partition(|one| one.is_out(channel, tick, &params()));
    let of = |some: Vec<&Issued>| Outstanding::of(some, channel, tick, &params());
    let out = of(issued.iter().collect());
    assert_eq!((of(kept), of(gone)), (out, Outstanding::default()));
    out
}

fn next(tick: Tick) -> Tick {
    Tick(tick.0 + 1)
}

fn covers(out: Outstanding, channel: &ChannelRecord, sequence: u64) -> bool {
    out.covers(channel, Sequence(sequence), FEE, WARRANTY)
}

#[test]
fn a_withheld_receipt_holds_the_next_sequence_back_until_its_claim_window_ends() {
    let mut channel = channel(2_000);
    let withheld = [issued(3, true)];
    // All others are settled, as many as the withheld one allows.
    for sequence in (0..3).chain(4..3 + SEQUENCE_WINDOW) {
        channel.window.mark(Sequence(sequence)).unwrap();
    }
    for tick in [Tick(0), SETTLE_BY, next(SETTLE_BY), CLAIM_BY] {
        let out = at(tick, &withheld, &channel);
        assert_eq!(out.lowest, Some(Sequence(3)));
        assert!(covers(out, &channel, 3 + SEQUENCE_WINDOW - 1));
        assert!(!covers(out, &channel, 3 + SEQUENCE_WINDOW), "it would be void");
    }
    assert!(covers(
        at(next(CLAIM_BY), &withheld, &channel),
        &channel,
        3 + SEQUENCE_WINDOW
    ));
    // The rule is the window's: one more settlement, and nothing can be claimed for it.
    channel.window.mark(Sequence(3 + SEQUENCE_WINDOW)).unwrap();
    assert_eq!(at(Tick(0), &withheld, &channel), Outstanding::default());
}

#[test]
fn the_lowest_of_several_withheld_receipts_counts() {
    let channel = channel(2_000);
    let withheld = [
        issued(9, true),
        issued(4, true),
        issued(700, true),
        issued(1, false),
    ];
    assert_eq!(at(SETTLE_BY, &withheld, &channel).lowest, Some(Sequence(1)));
    let out = at(next(SETTLE_BY), &withheld, &channel);
    assert_eq!(
        out.lowest,
        Some(Sequence(4)),
        "what was not answered can't be claimed"
    );
    assert!(!covers(out, &channel, 4 + SEQUENCE_WINDOW));
}

#[test]
fn a_settled_or_claimed_receipt_takes_nothing_up() {
    let mut channel = channel(1);
    let order = [issued(0, true)];
    assert!(!covers(at(Tick(0), &order, &channel), &channel, 1));
    channel.window.mark(Sequence(0)).unwrap();
    assert!(covers(at(Tick(0), &order, &channel), &channel, 1));
    assert!(covers(at(Tick(0), &order, &channel), &channel, SEQUENCE_WINDOW));
}

#[test]
fn fees_are_out_until_the_settle_by_and_warranties_until_the_claim_window_ends() {
    let channel = channel(3);
    let orders = [issued(0, true), issued(1, true), issued(2, false)];
    let sums = |tick| {
        let out = at(tick, &orders, &channel);
        (out.fees.0 / FEE.0, out.warranties.0 / WARRANTY.0)
    };
    // An `Optimistic` receipt that the payer never saw takes its warranty out of the reserve, too.
    assert_eq!(sums(SETTLE_BY), (3, 3));
    assert_eq!(sums(next(SETTLE_BY)), (0, 2));
    assert_eq!(sums(CLAIM_BY), (0, 2));
    assert_eq!(sums(next(CLAIM_BY)), (0, 0));
    assert!(
        !covers(at(SETTLE_BY, &orders, &channel), &channel, 3),
        "no fee is left"
    );
    assert!(covers(at(next(SETTLE_BY), &orders, &channel), &channel, 3));
}

#[test]
fn an_order_without_a_receipt_is_out_as_long_as_one_may_be_claimed() {
    let mut channel = channel(1);
    let order = issued(7, false);
    assert!(order.is_out(&channel, CLAIM_BY, &params()));
    assert!(!order.is_out(&channel, next(CLAIM_BY), &params()));
    channel.window.mark(Sequence(7)).unwrap();
    assert!(!order.is_out(&channel, Tick(0), &params()));
}

#[test]
fn no_more_warranties_are_out_than_the_reserve_has() {
    let mut channel = channel(100);
    channel.reserve = Amount(3 * WARRANTY.0 - 1);
    let orders: Vec<Issued> = (0..2).map(|sequence| issued(sequence, true)).collect();
    assert!(covers(at(Tick(0), &orders[..1], &channel), &channel, 2));
    assert!(!covers(at(Tick(0), &orders, &channel), &channel, 2));
    channel.reserve = Amount(3 * WARRANTY.0);
    assert!(covers(at(Tick(0), &orders, &channel), &channel, 2));
    // The last fee, too: the same sums for the deposit.
    channel.deposit = Amount(3 * FEE.0 - 1);
    assert!(!covers(at(Tick(0), &orders, &channel), &channel, 2));
}

#[test]
fn sums_above_all_amounts_are_covered_by_nothing() {
    let channel = channel(1);
    let mut order = issued(0, true);
    (order.order.max_fee, order.order.warranty) = (Amount(u128::MAX), Amount(u128::MAX));
    order.order.settle_by = Tick(u64::MAX);
    let out = at(Tick(u64::MAX), &[order.clone(), order], &channel);
    assert!(!covers(out, &channel, 1));
}
