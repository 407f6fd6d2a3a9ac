//! No deadline is admitted that the proofs before it would make late.

use std::collections::BTreeMap;

use haca_exec::planner::{
    Due, Kind, LastWork, ProveTimes, Rates, Workload, earliest_settle_by, earliest_signed, rest_ms,
};
use haca_wire::{EvidenceKind, Gas, ModelId, Tick};

use super::queue::{Case, MODEL_A, MODEL_B, TICK_MS, count_due, kind};

const ZK: Kind = kind(MODEL_A, EvidenceKind::Zk);
const SIGNED: Kind = kind(MODEL_A, EvidenceKind::Signed);

/// Proofs of up to four of model A, of 30 s for each inference; Signed ones in batches of four.
fn rates() -> BTreeMap<Kind, Rates> {
    let gas = Case::unpriced().gas;
    let mut times = ProveTimes::default();
    times.learn(1, 30_000);
    let proofs = (1..=4).map(|_| (Gas(1_000_000), 60_000));
    let zk = Rates::new(&gas, 4, 2_000, proofs.collect(), times);
    [(ZK, zk), (SIGNED, Rates::signed(&gas, 4))].into()
}

/// Ticks until the earliest deadline of an order that waits with others.
fn ticks(waiting: &[(Kind, usize)], running_ms: u64, is_proven: bool) -> u64 {
    let workload = Workload {
        now: Tick(1_000),
        tick_ms: TICK_MS,
        safety_ticks: 3,
        min_settle_ticks: 20,
        longest_proofs_ms: u64::MAX,
        running_ms,
        waiting: &waiting.iter().copied().collect(),
        rates: &rates(),
    };
    earliest_settle_by(&workload, is_proven).0 - 1_000
}

#[test]
fn an_idle_prover_asks_for_no_more_than_the_fewest_ticks_and_the_proof() {
    assert_eq!(ticks(&[(SIGNED, 1)], 0, false), 20);
    // Twice 30 s, two ticks until it is in a block, and three for safety.
    assert_eq!(ticks(&[(ZK, 1)], 0, true), 65);
}

#[test]
fn every_proof_that_waits_counts() {
    // Four in one batch; the fifth is one more, with its own inclusion.
    assert_eq!(ticks(&[(ZK, 4)], 0, true), 4 * 60 + 2 + 3);
    assert_eq!(ticks(&[(ZK, 5)], 0, true), 5 * 60 + 4 + 3);
    // Whoever needs no proof is settled before those who have time; nobody proves a model that is not here.
    assert_eq!(ticks(&[(ZK, 5), (SIGNED, 1)], 0, false), 20);
    let other = kind(MODEL_B, EvidenceKind::Zk);
    assert_eq!(ticks(&[(ZK, 1), (other, 50)], 0, true), 65);
    // Batches of signatures take blocks, though no proofs.
    assert_eq!(ticks(&[(ZK, 1), (SIGNED, 9)], 0, true), 65 + 3 * 2);
}

/// The settler is one thread.
#[test]
fn what_is_left_of_the_proof_in_progress_keeps_everybody_waiting() {
    let rest = rest_ms(100_000, 30_000, TICK_MS);
    assert_eq!(rest, 172_000);
    assert_eq!(ticks(&[(SIGNED, 1)], rest, false), 172 + 2 + 3);
    assert_eq!(ticks(&[(ZK, 1)], rest, true), 172 + 62 + 3);
    // One that takes longer than was reckoned may take as long again.
    assert_eq!(rest_ms(100_000, 300_000, TICK_MS), 302_000);
    assert!(ticks(&[(SIGNED, 1)], u64::MAX, false) > 1 << 40);
}

#[test]
fn nothing_overflows() {
    let waiting = [(ZK, usize::MAX), (SIGNED, usize::MAX)];
    assert!(ticks(&waiting, u64::MAX, true) > 1 << 40);
    let none = ModelId([9; 32]);
    assert_eq!(ticks(&[(kind(none, EvidenceKind::Zk), usize::MAX)], 0, true), 20);
}

/// Ticks that are kept free between a settlement and its deadline.
const FREE: u64 = 3;

/// Ticks until the earliest deadline for which a receipt is signed, beside proofs that wait and are due in so many ticks.
fn signed(
    kind: Kind,
    ticks: u64,
    (running_ms, min_settle_ticks): (u64, u64),
    waiting: &[(Kind, u64)],
    demands: &[(Kind, u64)],
) -> u64 {
    let due = |all: &[(Kind, u64)]| {
        count_due(all.iter().map(|(kind, ticks)| Due {
            by: Tick(1_000 + ticks),
            kind: *kind,
        }))
    };
    let work = LastWork {
        now: Tick(1_000),
        tick_ms: TICK_MS,
        safety_ticks: 3,
        min_settle_ticks,
        longest_proofs_ms: u64::MAX,
        running_ms,
        signed: &due(waiting),
        demands: &due(demands),
        rates: &rates(),
    };
    earliest_signed(&work, kind, Tick(1_000 + ticks)).0 - 1_000
}

/// A receipt is a debt from its signature on.
#[test]
fn no_receipt_is_signed_that_could_be_late() {
    let ticks = |kind, running_ms, least| signed(kind, 1, (running_ms, least), &[], &[]);
    assert_eq!(ticks(SIGNED, 0, 20), 2 + FREE, "two blocks and the safety ticks");
    assert_eq!(ticks(SIGNED, 0, 2), 2, "as little as the operator admits");
    assert_eq!(ticks(SIGNED, 42_000, 2), 42 + 2 + FREE);
    assert_eq!(ticks(ZK, 42_000, 20), 42 + 30 + 2 + FREE);
}

/// What is due first goes first: a receipt waits for what is due before it, and for nothing else.
#[test]
fn no_receipt_is_signed_that_is_late_behind_what_is_due_before_it() {
    let needs = |kind, ticks, waiting: &[(Kind, u64)]| signed(kind, ticks, (0, 20), waiting, &[]);
    // Two of 30 s, with two ticks for the block of each.
    let both = 2 * (30 + 2) + FREE;
    assert_eq!(needs(ZK, both - 1, &[(ZK, 60)]), both);
    assert_eq!(needs(ZK, both, &[(ZK, 60)]), both);
    let one = 30 + 2 + FREE;
    assert_eq!(needs(SIGNED, one + 1, &[(ZK, one)]), one + 2);
    assert_eq!(needs(SIGNED, one + 2, &[(ZK, one)]), one + 2);
    assert_eq!(needs(ZK, one + 1, &[(SIGNED, one)]), one + 2);
    // What is due later gives way, if it has the time.
    assert_eq!(needs(ZK, one, &[(ZK, both)]), one);
    assert_eq!(needs(SIGNED, 20, &[(ZK, one + 2)]), 2 + FREE);
    // Without a proof before it, a receipt shares the block of others.
    assert_eq!(needs(SIGNED, 20, &[(SIGNED, 10)]), 2 + FREE);
    // A full transaction takes its blocks, and so does what comes behind it.
    let full = |ticks| [(SIGNED, ticks); 4];
    assert_eq!(needs(SIGNED, 20, &full(10)[..3]), 2 + FREE);
    assert_eq!(needs(SIGNED, 20, &full(10)), 4 + FREE);
    assert_eq!(needs(SIGNED, 6, &full(6)), 4 + FREE);
    assert_eq!(needs(SIGNED, 6, &full(7)), 2 + FREE);
    assert_eq!(
        needs(SIGNED, 5, &full(6)),
        4 + FREE,
        "or it makes one of them late"
    );
    // What is late anyhow is nobody's fault, and what nobody proves takes no time.
    assert_eq!(needs(SIGNED, 20, &[(ZK, 31)]), 2 + FREE);
    let other = kind(MODEL_B, EvidenceKind::Zk);
    assert_eq!(needs(ZK, one, &[(other, 20)]), one);
}

#[test]
fn no_receipt_is_signed_that_makes_another_or_an_answer_late() {
    let needs = |kind, ticks, waiting: &[(Kind, u64)], demands: &[(Kind, u64)]| {
        signed(kind, ticks, (0, 20), waiting, demands)
    };
    let (one, both) = (30 + 2 + FREE, 2 * (30 + 2) + FREE);
    // Behind the other one it would be in time.
    assert_eq!(needs(ZK, one, &[(ZK, both - 1)], &[]), both);
    assert_eq!(needs(SIGNED, 20, &[(ZK, one + 1)], &[]), one + 2);
    assert_eq!(needs(SIGNED, 20, &[(ZK, 32)], &[]), one + 2);
    // An answer's proof is reckoned twice.
    assert_eq!(needs(ZK, one, &[], &[(ZK, both + 29)]), both + 30);
    assert_eq!(needs(ZK, one, &[], &[(ZK, both + 30)]), one);
}
