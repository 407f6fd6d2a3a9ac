//! The earliest deadline that a new order may have: one prover works off what is before it.
//!
//! Counted is what is left of the proofs in progress and, for an order with a proof, every proof that waits, of
//! settlements and of demands, and its own. Batches of settlements go by deadline, so whoever is admitted later with an
//! earlier deadline was reckoned with those before it as well, and makes none of them late. An order without a proof takes
//! no time of theirs, and goes before any of them that would make it late: only what is in progress keeps it waiting.

use std::collections::BTreeMap;

use haca_wire::{EvidenceKind, Tick};

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
            let batches = Batches::of(rates, *kind, *count, workload.longest_proofs_ms);
            let one_by_one = (*count as u64).saturating_mul(rates.prove_ms(*kind, 1));
            let proofs_ms = SAFETY.saturating_mul(batches.together_ms.max(one_by_one));
            Some(proofs_ms.saturating_add(inclusion_ms.saturating_mul(batches.count)))
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

/// A receipt that waits for its settlement, or a demand for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Model and evidence; that of a demand is `Zk`.
    pub kind: Kind,
    /// Last tick of its transaction.
    pub by: Tick,
}

/// What is to be done besides an order whose answer is ready, before its receipt is signed.
#[derive(Clone, Copy, Debug)]
pub struct LastWork<'a> {
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
    /// Receipts that are signed and in no transaction.
    pub signed: &'a [Due],
    /// Open demands that no answer was sent for.
    pub demands: &'a [Due],
    /// Per kind: batch sizes, proving times. Kinds without rates are proven by nobody.
    pub rates: &'a BTreeMap<Kind, Rates>,
}

impl LastWork<'_> {
    /// When all is done that is due up to a tick, for each last tick from now on: by measured times, and twice for demands, which
    /// cost the stake.
    fn done(&self) -> Vec<Done> {
        let signed = self.signed.iter().map(|one| (one.by, 1, one.kind));
        let demands = self.demands.iter().map(|one| (one.by, SAFETY, one.kind));
        let mut all: Vec<(Tick, u64, Kind)> = signed.chain(demands).collect();
        all.retain(|(by, ..)| *by >= self.now);
        all.sort_unstable();
        let mut counts: BTreeMap<(u64, Kind), usize> = BTreeMap::new();
        let until = |due: &[(Tick, u64, Kind)]| {
            for (_, factor, kind) in due {
                let count = counts.entry((*factor, *kind)).or_default();
                *count = count.saturating_add(1);
            }
            let times = counts.iter().filter_map(|((factor, kind), count)| {
                let batches = Batches::of(self.rates.get(kind)?, *kind, *count, self.longest_proofs_ms);
                let proofs_ms = factor.saturating_mul(batches.together_ms);
                Some(proofs_ms.saturating_add(self.inclusion_ms().saturating_mul(batches.count)))
            });
            let ms = times.fold(self.running_ms, u64::saturating_add);
            let has_proofs = counts.keys().any(|(_, kind)| kind.evidence == EvidenceKind::Zk);
            due.first().map(|(by, ..)| Done {
                by: *by,
                ms,
                has_proofs,
            })
        };
        let same_tick = all.chunk_by(|one, next| one.0 == next.0);
        same_tick.filter_map(until).collect()
    }

    fn inclusion_ms(&self) -> u64 {
        self.tick_ms.saturating_mul(2)
    }

    /// Ticks from now in which work of so many milliseconds is settled, with the safety ticks.
    fn ticks(&self, ms: u64) -> u64 {
        let work = ms.div_ceil(self.tick_ms.max(1));
        work.saturating_add(self.safety_ticks)
    }
}

/// What is due up to a tick, when it is done first.
struct Done {
    by: Tick,
    /// Milliseconds from now.
    ms: u64,
    has_proofs: bool,
}

/// The earliest deadline for which a receipt is signed, no later than `settle_by` if it is: what was admitted in time is not
/// signed once it would be late, or would make another receipt or the answer to a demand late, with what is due first going first.
/// A receipt without a proof shares its block with others: where no proof goes before it, it needs two blocks and the safety ticks,
/// or what the operator admits if that is less.
pub fn earliest_signed(work: &LastWork<'_>, kind: Kind, settle_by: Tick) -> Tick {
    let own_ms = work.rates.get(&kind).map_or(0, |rates| rates.prove_ms(kind, 1));
    let after = |ticks: u64| Tick(work.now.0.saturating_add(ticks));
    let with_own = |ms: u64| work.ticks(ms.saturating_add(own_ms).saturating_add(work.inclusion_ms()));
    let behind = |before: Option<&Done>| {
        let has_proofs = before.is_some_and(|before| before.has_proofs);
        if own_ms == 0 && work.running_ms == 0 && !has_proofs {
            after(with_own(0).min(work.min_settle_ticks))
        } else {
            after(with_own(before.map_or(work.running_ms, |before| before.ms)))
        }
    };
    let done = work.done();
    let (before, later) = done.split_at(done.partition_point(|one| one.by <= settle_by));
    // What is late anyhow, even without the ticks that are kept free, is not made so.
    let in_time = |one: &Done| after(one.ms.div_ceil(work.tick_ms.max(1))) <= one.by;
    let is_made_late = |one: &Done| in_time(one) && one.by < after(with_own(one.ms));
    let needed = behind(before.last());
    if needed <= settle_by && !later.iter().any(|one| one.has_proofs && is_made_late(one)) {
        return needed;
    }
    // Behind all, it makes nothing late.
    behind(done.last())
}

/// The batches of so many receipts.
struct Batches {
    count: u64,
    /// Their proving time.
    together_ms: u64,
}

impl Batches {
    fn of(rates: &Rates, kind: Kind, receipts: usize, longest_proofs_ms: u64) -> Self {
        let most = rates.batch_within(kind, longest_proofs_ms);
        let (full, rest) = ((receipts / most) as u64, receipts % most);
        let last_ms = if rest > 0 { rates.prove_ms(kind, rest) } else { 0 };
        let full_ms = full.saturating_mul(rates.prove_ms(kind, most));
        Self {
            count: full.saturating_add(u64::from(rest > 0)),
            together_ms: full_ms.saturating_add(last_ms),
        }
    }
}

/// What is left of proofs that were reckoned to take `prove_ms` and have taken `elapsed_ms`, with their inclusion: twice the
/// time, and where they have taken longer than that already, as long again as they have.
pub fn rest_ms(prove_ms: u64, elapsed_ms: u64, tick_ms: u64) -> u64 {
    let whole = SAFETY.saturating_mul(prove_ms.max(elapsed_ms));
    let rest = whole.saturating_sub(elapsed_ms);
    rest.saturating_add(tick_ms.saturating_mul(2))
}
