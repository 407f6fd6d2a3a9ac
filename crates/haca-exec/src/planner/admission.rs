//! The earliest deadline that a new order may have: one prover works off what is before it.
//!
//! Counted is what is left of the proofs in progress and, for an order with a proof, every proof that waits, of
//! settlements and of demands, and its own. Batches of settlements go by deadline, so whoever is admitted later with an
//! earlier deadline was reckoned with those before it as well, and makes none of them late. An order without a proof takes
//! no time of theirs, and goes before any of them that would make it late: here only what is in progress keeps it waiting. What is signed
//! and due before it does, too, by [`earliest_signed`].

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
            let mut group = Group::of(rates, *kind, workload.longest_proofs_ms);
            group.add(*count);
            let batches = group.batches;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// Last tick of its transaction.
    pub by: Tick,
    /// Model and evidence; that of a demand is `Zk`.
    pub kind: Kind,
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
    /// How many receipts are signed and in no transaction, by deadline and kind.
    pub signed: &'a BTreeMap<Due, usize>,
    /// How many demands are open that no answer was sent for.
    pub demands: &'a BTreeMap<Due, usize>,
    /// Per kind: batch sizes, proving times. Kinds without rates are proven by nobody.
    pub rates: &'a BTreeMap<Kind, Rates>,
}

impl LastWork<'_> {
    /// When all is done that is due up to a tick, for each last tick from now on: by measured times, and twice for demands, which
    /// cost the stake. Takes as long as there are deadlines and kinds, however many receipts wait.
    fn done(&self) -> Vec<Done> {
        let signed = self
            .signed
            .iter()
            .map(|(due, count)| (due.by, 1, due.kind, *count));
        let demands = self.demands.iter();
        let demands = demands.map(|(due, count)| (due.by, SAFETY, due.kind, *count));
        let mut all: Vec<(Tick, u64, Kind, usize)> = signed.chain(demands).collect();
        all.retain(|(by, ..)| *by >= self.now);
        all.sort();
        let mut groups: BTreeMap<(u64, Kind), Group<'_>> = BTreeMap::new();
        let until = |due: &[(Tick, u64, Kind, usize)]| {
            for (_, factor, kind, count) in due {
                let Some(rates) = self.rates.get(kind) else {
                    continue;
                };
                let group = groups.entry((*factor, *kind));
                let group = group.or_insert_with(|| Group::of(rates, *kind, self.longest_proofs_ms));
                group.add(*count);
            }
            due.first().map(|(by, ..)| self.sum(*by, &groups))
        };
        let same_tick = all.chunk_by(|one, next| one.0 == next.0);
        same_tick.filter_map(until).collect()
    }

    /// When these groups are done. Those without proofs share a transaction as far as they don't fill their own.
    fn sum(&self, by: Tick, groups: &BTreeMap<(u64, Kind), Group<'_>>) -> Done {
        let has_proofs = groups.keys().any(|(_, kind)| kind.evidence == EvidenceKind::Zk);
        let has_room = !has_proofs && groups.values().any(Group::has_room);
        let sum = |of: fn(&Group<'_>) -> u64| groups.values().map(of).fold(0, u64::saturating_add);
        let transactions = if has_proofs {
            sum(|group| group.batches.count)
        } else {
            sum(|group| group.full()).saturating_add(u64::from(has_room))
        };
        let proofs_ms = groups
            .iter()
            .map(|((factor, _), group)| factor.saturating_mul(group.batches.together_ms))
            .fold(self.running_ms, u64::saturating_add);
        Done {
            by,
            ms: proofs_ms.saturating_add(self.inclusion_ms().saturating_mul(transactions)),
            has_proofs,
            has_room,
        }
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
#[derive(Clone, Copy)]
struct Done {
    by: Tick,
    /// Milliseconds from now.
    ms: u64,
    has_proofs: bool,
    /// Whether nothing of it is proven and its last transaction takes another receipt.
    has_room: bool,
}

/// The earliest deadline for which a receipt is signed, no later than `settle_by` if it is: what was admitted in time is not
/// signed once it would be late, or would make another receipt or the answer to a demand late, with what is due first going first.
/// A receipt without a proof shares its transaction with others: where neither a proof nor a full one goes before it, it needs two
/// blocks and the safety ticks, or what the operator admits if that is less.
pub fn earliest_signed(work: &LastWork<'_>, kind: Kind, settle_by: Tick) -> Tick {
    let own_ms = work.rates.get(&kind).map_or(0, |rates| rates.prove_ms(kind, 1));
    let after = |ticks: u64| Tick(work.now.0.saturating_add(ticks));
    // With the block of another transaction, unless that of the last one is shared.
    let ms_with_own = |one: &Done, shares: bool| {
        let block_ms = if shares { 0 } else { work.inclusion_ms() };
        one.ms.saturating_add(own_ms).saturating_add(block_ms)
    };
    let joins = |one: &Done| own_ms == 0 && one.has_room;
    let behind = |before: &Done| {
        let ms = ms_with_own(before, joins(before));
        let is_first = own_ms == 0 && !before.has_proofs && ms <= work.inclusion_ms();
        let most = if is_first { work.min_settle_ticks } else { u64::MAX };
        after(work.ticks(ms).min(most))
    };
    let none = Done {
        by: work.now,
        ms: work.running_ms,
        has_proofs: false,
        has_room: false,
    };
    let done = work.done();
    let (before, later) = done.split_at(done.partition_point(|one| one.by <= settle_by));
    // What is late anyhow, even without the ticks that are kept free, is not made so.
    let in_time = |one: &Done| after(one.ms.div_ceil(work.tick_ms.max(1))) <= one.by;
    // What needs no proof rides along with one.
    let with_own = |one: &Done| after(work.ticks(ms_with_own(one, one.has_room)));
    let is_made_late = |one: &Done| !joins(one) && in_time(one) && one.by < with_own(one);
    let needed = behind(before.last().unwrap_or(&none));
    if needed <= settle_by && !later.iter().any(is_made_late) {
        return needed;
    }
    // Behind all, it makes nothing late.
    behind(done.last().unwrap_or(&none))
}

/// Receipts of one kind, and their batches.
struct Group<'a> {
    rates: &'a Rates,
    kind: Kind,
    /// Receipts of a full batch.
    most: usize,
    /// Proving time of a full batch.
    full_ms: u64,
    receipts: usize,
    batches: Batches,
}

impl<'a> Group<'a> {
    /// None yet.
    fn of(rates: &'a Rates, kind: Kind, longest_proofs_ms: u64) -> Self {
        let most = rates.batch_within(kind, longest_proofs_ms);
        Self {
            rates,
            kind,
            most,
            full_ms: rates.prove_ms(kind, most),
            receipts: 0,
            batches: Batches::default(),
        }
    }

    fn add(&mut self, receipts: usize) {
        self.receipts = self.receipts.saturating_add(receipts);
        let (full, rest) = (self.full(), self.receipts % self.most);
        let last_ms = if rest > 0 {
            self.rates.prove_ms(self.kind, rest)
        } else {
            0
        };
        self.batches = Batches {
            count: full.saturating_add(u64::from(rest > 0)),
            together_ms: full.saturating_mul(self.full_ms).saturating_add(last_ms),
        };
    }

    /// Full batches.
    fn full(&self) -> u64 {
        (self.receipts / self.most) as u64
    }

    fn has_room(&self) -> bool {
        !self.receipts.is_multiple_of(self.most)
    }
}

/// The batches of so many receipts.
#[derive(Clone, Copy, Default)]
struct Batches {
    count: u64,
    /// Their proving time.
    together_ms: u64,
}

/// What is left of proofs that were reckoned to take `prove_ms` and have taken `elapsed_ms`, with their inclusion: twice the
/// time, and where they have taken longer than that already, as long again as they have.
pub fn rest_ms(prove_ms: u64, elapsed_ms: u64, tick_ms: u64) -> u64 {
    let whole = SAFETY.saturating_mul(prove_ms.max(elapsed_ms));
    let rest = whole.saturating_sub(elapsed_ms);
    rest.saturating_add(tick_ms.saturating_mul(2))
}
