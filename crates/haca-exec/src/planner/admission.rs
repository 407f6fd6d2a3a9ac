//! The earliest deadline that a new order may have: one prover works off what is before it.
//!
//! Counted is what is left of the proofs in progress and, for an order with a proof, every proof that waits, of
//! settlements and of demands, and its own. Batches of settlements go by deadline, so whoever is admitted later with an
//! earlier deadline was reckoned with those before it as well, and makes none of them late. An order without a proof takes
//! no time of theirs, and goes before any of them that would make it late: only what is in progress keeps it waiting.

use std::collections::BTreeMap;

use haca_wire::Tick;

use super::demandable::SAFETY;
use super::{Kind, Rates};

/// What the prover has to do before the transaction of an order is sent.
#[derive(Clone, Copy, Debug)]
pub struct Workload<'a> {
    /// Tick of the next block.
    pub now: Tick,
    /// Milliseconds of a tick, rather too few than too many.
    pub tick_ms: u64,
    /// Ticks that are kept free between a settlement and its deadline.
    pub safety_ticks: u64,
    /// Fewest ticks of an order that is sent at once.
    pub min_settle_ticks: u64,
    /// Longest time for the proofs of one settlement, which bounds its batch.
    pub longest_proofs_ms: u64,
    /// What is left of the proofs in progress, reckoned by [`rest_ms`].
    pub running_ms: u64,
    /// Receipts that wait, the order's included, and open demands, each as one of evidence `Zk`. Kinds without rates are
    /// proven by nobody.
    pub waiting: &'a BTreeMap<Kind, usize>,
    /// Per kind: batch sizes, proving times.
    pub rates: &'a BTreeMap<Kind, Rates>,
}

/// The earliest tick by which an order may have to be settled: with its own proof and all that waits, or without a proof.
pub fn earliest_settle_by(workload: &Workload<'_>, is_proven: bool) -> Tick {
    let inclusion_ms = workload.tick_ms.saturating_mul(2);
    let queue_ms = if is_proven {
        let all = workload.waiting.iter().filter_map(|(kind, count)| {
            let rates = workload.rates.get(kind)?;
            let (proofs_ms, batches) = batches(rates, *kind, *count, workload.longest_proofs_ms);
            let proofs_ms = SAFETY.saturating_mul(proofs_ms);
            Some(proofs_ms.saturating_add(inclusion_ms.saturating_mul(batches)))
        });
        all.fold(0, u64::saturating_add)
    } else if workload.running_ms > 0 {
        inclusion_ms
    } else {
        0
    };
    let needed_ms = workload.running_ms.saturating_add(queue_ms);
    let needed = match needed_ms {
        0 => 0,
        ms => ms
            .div_ceil(workload.tick_ms.max(1))
            .saturating_add(workload.safety_ticks),
    };
    let ticks = needed.max(workload.min_settle_ticks);
    Tick(workload.now.0.saturating_add(ticks))
}

/// What is left to do for an order whose answer is ready, before its receipt is signed.
#[derive(Clone, Copy, Debug)]
pub struct LastWork {
    /// Tick of the next block.
    pub now: Tick,
    /// Milliseconds of a tick, rather too few than too many.
    pub tick_ms: u64,
    /// Ticks that are kept free between a settlement and its deadline.
    pub safety_ticks: u64,
    /// Fewest ticks of an order that is sent at once.
    pub min_settle_ticks: u64,
    /// What is left of the proofs in progress, reckoned by [`rest_ms`].
    pub running_ms: u64,
    /// The order's own proof, by its measured time; 0 without a proof.
    pub prove_ms: u64,
}

/// The earliest deadline for which a receipt is signed: what was admitted in time is not signed once it would be late. Without
/// proofs to wait for, that is two blocks and the safety ticks, or what the operator admits if that is less.
pub fn earliest_signed(work: &LastWork) -> Tick {
    let proofs_ms = work.running_ms.saturating_add(work.prove_ms);
    let needed_ms = proofs_ms.saturating_add(work.tick_ms.saturating_mul(2));
    let ticks = needed_ms
        .div_ceil(work.tick_ms.max(1))
        .saturating_add(work.safety_ticks);
    let ticks = if proofs_ms == 0 {
        ticks.min(work.min_settle_ticks)
    } else {
        ticks
    };
    Tick(work.now.0.saturating_add(ticks))
}

/// Proving time of so many receipts, rather too long than too short, and the number of their batches.
fn batches(rates: &Rates, kind: Kind, count: usize, longest_proofs_ms: u64) -> (u64, u64) {
    let most = rates.batch_within(kind, longest_proofs_ms);
    let (full, rest) = ((count / most) as u64, count % most);
    let last_ms = if rest > 0 { rates.prove_ms(kind, rest) } else { 0 };
    let together = full
        .saturating_mul(rates.prove_ms(kind, most))
        .saturating_add(last_ms);
    let one_by_one = (count as u64).saturating_mul(rates.prove_ms(kind, 1));
    (together.max(one_by_one), full.saturating_add(u64::from(rest > 0)))
}

/// What is left of proofs that were reckoned to take `prove_ms` and have taken `elapsed_ms`, with their inclusion: twice the
/// time, and where they have taken longer than that already, as long again as they have.
pub fn rest_ms(prove_ms: u64, elapsed_ms: u64, tick_ms: u64) -> u64 {
    let whole = SAFETY.saturating_mul(prove_ms.max(elapsed_ms));
    let rest = whole.saturating_sub(elapsed_ms);
    rest.saturating_add(tick_ms.saturating_mul(2))
}
