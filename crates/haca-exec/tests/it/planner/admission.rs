//! No deadline is admitted that the proofs before it would make late.

use std::collections::BTreeMap;

use haca_exec::planner::{
    Kind, LastWork, ProveTimes, Rates, Workload, earliest_settle_by, earliest_signed, rest_ms,
};
use haca_wire::{EvidenceKind, Gas, ModelId, Tick};

use super::queue::{Case, MODEL_A, MODEL_B, TICK_MS, kind};

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

/// A receipt is a debt from its signature on.
#[test]
fn no_receipt_is_signed_that_could_be_late() {
    let ticks = |running_ms, prove_ms, min_settle_ticks| {
        let work = LastWork {
            now: Tick(1_000),
            tick_ms: TICK_MS,
            safety_ticks: 3,
            min_settle_ticks,
            running_ms,
            prove_ms,
        };
        earliest_signed(&work).0 - 1_000
    };
    assert_eq!(ticks(0, 0, 20), 2 + 3, "two blocks and the safety ticks");
    assert_eq!(ticks(0, 0, 2), 2, "as little as the operator admits");
    assert_eq!(ticks(42_000, 0, 2), 42 + 2 + 3);
    assert_eq!(ticks(42_000, 30_000, 20), 42 + 30 + 2 + 3);
}
