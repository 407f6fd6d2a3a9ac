//! What the settler has before it: receipts in no transaction, open demands, and the proofs in progress. No order is
//! admitted that would be late behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, MutexGuard, PoisonError};
use std::time::Instant;

use haca_wire::{EvidenceKind, ModelId, Order, Tick};

use super::Service;
use super::demandable::proof_of;
use crate::ExecError;
use crate::chain::Head;
use crate::entry::{EntryState, Pending, Place};
use crate::planner::{
    Answering, Kind, LastWork, Settlement, Workload, earliest_settle_by, earliest_signed, rest_ms,
};
use crate::refusal::Refusal;

/// Proofs in progress, or announced.
struct Running {
    places: BTreeSet<Place>,
    /// What they are reckoned to take.
    prove_ms: u64,
    since: Instant,
    /// What waits again if they are not made.
    waiting: Vec<(Place, Waiting)>,
    demands: Vec<(Place, ModelId)>,
}

/// How far an order is that waits for its settlement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Being answered; its deadline is looked at again before its receipt is signed.
    Admitted,
    /// Its receipt is signed, and maybe not in the journal yet.
    Signed,
    /// Its receipt is in the journal.
    Answered,
}

/// A receipt, or an order that is being answered.
#[derive(Clone, Copy)]
struct Waiting {
    kind: Kind,
    stage: Stage,
}

/// All work of the settler that takes time.
#[derive(Default)]
pub(super) struct Backlog {
    waiting: BTreeMap<Place, Waiting>,
    demands: BTreeMap<Place, ModelId>,
    running: Option<Running>,
}

impl Backlog {
    /// What waits in a journal.
    pub(super) fn of(pending: &[Pending]) -> Self {
        let mut backlog = Self::default();
        backlog.extend(pending);
        backlog
    }

    fn extend(&mut self, pending: &[Pending]) {
        for one in pending.iter().filter(|one| one.tx.is_none()) {
            let kind = Kind {
                model: one.model,
                evidence: one.evidence,
            };
            let stage = Stage::Answered;
            self.waiting.insert(one.place, Waiting { kind, stage });
        }
    }

    fn running_ms(&self, tick_ms: u64) -> u64 {
        let running = self.running.as_ref().filter(|running| running.prove_ms > 0);
        running.map_or(0, |running| {
            let elapsed = u64::try_from(running.since.elapsed().as_millis()).unwrap_or(u64::MAX);
            rest_ms(running.prove_ms, elapsed, tick_ms)
        })
    }

    /// The proofs in progress are made, or what they were for waits again.
    fn end(&mut self, is_made: bool) {
        let Some(running) = self.running.take().filter(|_| !is_made) else {
            return;
        };
        for (place, waiting) in running.waiting {
            self.waiting.entry(place).or_insert(waiting);
        }
        self.demands.extend(running.demands);
    }

    /// Whether the receipt of an order is on its way into the journal.
    fn is_signed(&self, place: Place) -> bool {
        let waiting = self.waiting.get(&place);
        waiting.is_some_and(|one| one.stage == Stage::Signed)
    }

    /// All that waits by kind, a demand as a proof that is made at once.
    fn counts(&self) -> BTreeMap<Kind, usize> {
        let receipts = self.waiting.values().map(|one| one.kind);
        let demands = self.demands.values().map(|model| proof_of(*model));
        let mut counts = BTreeMap::new();
        for kind in receipts.chain(demands) {
            let count: &mut usize = counts.entry(kind).or_default();
            *count = count.saturating_add(1);
        }
        counts
    }
}

impl Service {
    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// That an order's deadline leaves time for it behind all that is there.
    fn check_deadline(&self, backlog: &Backlog, order: &Order, head: &Head) -> Result<Kind, Refusal> {
        let kind = Kind {
            model: order.model,
            evidence: order.evidence,
        };
        let mut waiting = backlog.counts();
        let own = waiting.entry(kind).or_default();
        *own = own.saturating_add(1);
        let (now, tick_ms) = (head.clock.tick, self.chain.tick_ms());
        let longest_proofs_ms = self.longest_proofs_ms();
        let earliest = earliest_settle_by(
            &Workload {
                now,
                tick_ms,
                safety_ticks: self.config.policy.safety_ticks,
                min_settle_ticks: self.config.min_settle_ticks,
                longest_proofs_ms,
                running_ms: backlog.running_ms(tick_ms),
                waiting: &waiting,
                rates: &self.known_rates(),
            },
            kind.evidence == EvidenceKind::Zk,
        );
        self.check_between(order, earliest, now).map(|()| kind)
    }

    /// That a deadline is neither before `earliest` nor further than the network allows.
    fn check_between(&self, order: &Order, earliest: Tick, now: Tick) -> Result<(), Refusal> {
        let latest = Tick(now.0.saturating_add(self.chain.params.settle_horizon));
        if (earliest..=latest).contains(&order.settle_by) {
            return Ok(());
        }
        Err(Refusal::SettleBy {
            found: order.settle_by,
            earliest,
            latest,
        })
    }

    /// Has the receipt of an order signed whose answer is ready, if time is left to settle it: questions, inference and a proof that
    /// began meanwhile may have taken it. A proof that begins from now on waits until the receipt is in the journal.
    pub(super) fn check_signature(&self, place: Place, order: &Order) -> Result<(), Refusal> {
        let head = self.chain.head(self.config.stale_head_s)?;
        let kind = Kind {
            model: order.model,
            evidence: order.evidence,
        };
        let mut backlog = self.backlog();
        let (now, tick_ms) = (head.clock.tick, self.chain.tick_ms());
        let prove_ms = self
            .known_rates()
            .get(&kind)
            .map_or(0, |rates| rates.prove_ms(kind, 1));
        let earliest = earliest_signed(&LastWork {
            now,
            tick_ms,
            safety_ticks: self.config.policy.safety_ticks,
            min_settle_ticks: self.config.min_settle_ticks,
            running_ms: backlog.running_ms(tick_ms),
            prove_ms,
        });
        self.check_between(order, earliest, now)?;
        if let Some(waiting) = backlog.waiting.get_mut(&place) {
            waiting.stage = Stage::Signed;
        }
        Ok(())
    }

    /// That an order would not be late if it joined the backlog now.
    pub(super) fn check_settle_by(&self, order: &Order, head: &Head) -> Result<(), Refusal> {
        self.check_deadline(&self.backlog(), order, head).map(drop)
    }

    /// Takes an order into the backlog, unless it would be late behind what is there.
    pub(super) fn join_backlog(&self, place: Place, order: &Order, head: &Head) -> Result<(), Refusal> {
        let mut backlog = self.backlog();
        let kind = self.check_deadline(&backlog, order, head)?;
        let stage = Stage::Admitted;
        backlog.waiting.insert(place, Waiting { kind, stage });
        Ok(())
    }

    /// The order was not answered.
    pub(super) fn leave_backlog(&self, place: Place) {
        self.backlog().waiting.remove(&place);
        self.journalled.notify_all();
    }

    /// The order's receipt is in the journal, or may be.
    pub(super) fn stay_in_backlog(&self, place: Place) {
        if let Some(waiting) = self.backlog().waiting.get_mut(&place) {
            waiting.stage = Stage::Answered;
        }
        self.journalled.notify_all();
    }

    /// Learns from the settler what waits: what was in the journal, and the open demands that nothing was sent for.
    pub(crate) fn set_backlog(
        &self,
        pending: &[Pending],
        demands: BTreeMap<Place, ModelId>,
    ) -> Result<(), ExecError> {
        let places: BTreeSet<Place> = pending
            .iter()
            .filter(|one| one.tx.is_none())
            .map(|one| one.place)
            .collect();
        let is_other = |(place, one): (&Place, &Waiting)| {
            (one.stage == Stage::Answered && !places.contains(place)).then_some(*place)
        };
        let others: Vec<Place> = self.backlog().waiting.iter().filter_map(is_other).collect();
        // Either it was answered after the journal was read, or it waits no more.
        let mut ended = Vec::new();
        for place in others {
            let entry = self.journal.at(place)?;
            if entry.is_none_or(|entry| entry.state != EntryState::Answered) {
                ended.push(place);
            }
        }
        let mut backlog = self.backlog();
        for place in ended {
            backlog.waiting.remove(&place);
        }
        backlog.extend(pending);
        backlog.demands = demands;
        Ok(())
    }

    /// What the proofs of a settlement take.
    pub(crate) fn prove_ms(&self, settlement: &Settlement) -> u64 {
        let rates = self.rates(settlement.groups.iter().map(|group| group.kind));
        settlement.groups.iter().fold(0, |sum: u64, group| {
            let rates = rates.get(&group.kind);
            sum.saturating_add(rates.map_or(0, |rates| rates.prove_ms(group.kind, group.places.len())))
        })
    }

    /// What the proof of an answer takes.
    pub(crate) fn answer_ms(&self, answering: &Answering) -> u64 {
        let kind = proof_of(answering.model);
        let rates = self.rates(std::iter::once(kind));
        rates
            .get(&kind)
            .map_or(0, |rates| rates.prove_ms(kind, answering.places.len()))
    }

    /// Whether a proof for the receipt is being made.
    pub(crate) fn is_proving(&self, place: Place) -> bool {
        let backlog = self.backlog();
        let running = backlog.running.as_ref();
        running.is_some_and(|running| running.places.contains(&place))
    }

    /// Announces which receipts proofs are made for, what they are reckoned to take, and the fees that demands wait on. From now
    /// on, no receipt is signed that would be late behind them. Those signed before are in the journal afterwards.
    pub(crate) fn start_proving(&self, places: BTreeSet<Place>, fees: &[Place], prove_ms: u64) {
        announce(self.backlog(), &self.journalled, places, fees, prove_ms);
    }

    /// The proofs are made, or given up: then what they were for waits again.
    pub(crate) fn end_proving(&self, is_made: bool) {
        self.backlog().end(is_made);
    }
}

/// Sets the proofs in progress, then waits until each receipt that is signed by now is in the journal.
fn announce(
    mut backlog: MutexGuard<'_, Backlog>,
    journalled: &Condvar,
    places: BTreeSet<Place>,
    fees: &[Place],
    prove_ms: u64,
) {
    let taken = |place: &Place| Some((*place, backlog.waiting.remove(place)?));
    let waiting = places.iter().chain(fees).filter_map(taken).collect();
    let taken = |fee: &Place| Some((*fee, backlog.demands.remove(fee)?));
    let demands = fees.iter().filter_map(taken).collect();
    backlog.running = Some(Running {
        places,
        prove_ms,
        since: Instant::now(),
        waiting,
        demands,
    });
    let signed = backlog.waiting.keys().filter(|place| backlog.is_signed(**place));
    let signed: Vec<Place> = signed.copied().collect();
    let is_on_its_way = |backlog: &mut Backlog| signed.iter().any(|place| backlog.is_signed(*place));
    drop(journalled.wait_while(backlog, is_on_its_way));
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use haca_wire::{ChannelId, Sequence};

    use super::*;

    const ZK: Kind = proof_of(ModelId([1; 32]));

    fn place(sequence: u64) -> Place {
        Place {
            channel: ChannelId([2; 32]),
            sequence: Sequence(sequence),
        }
    }

    fn lock(backlog: &Mutex<Backlog>) -> MutexGuard<'_, Backlog> {
        backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(sequence: u64, stage: Stage) -> Mutex<Backlog> {
        let mut backlog = Backlog::default();
        backlog
            .waiting
            .insert(place(sequence), Waiting { kind: ZK, stage });
        Mutex::new(backlog)
    }

    /// What was signed before a proof was announced is read from the journal after it.
    #[test]
    fn a_proof_waits_for_receipts_that_are_signed_and_not_journalled() {
        let (backlog, journalled) = (waiting(1, Stage::Signed), Condvar::new());
        let is_journalled = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                announce(lock(&backlog), &journalled, BTreeSet::new(), &[], 1);
                assert!(is_journalled.load(Ordering::SeqCst));
            });
            while lock(&backlog).running.is_none() {
                std::thread::yield_now();
            }
            is_journalled.store(true, Ordering::SeqCst);
            let answered = waiting(1, Stage::Answered);
            std::mem::swap(&mut lock(&backlog).waiting, &mut lock(&answered).waiting);
            journalled.notify_all();
        });
    }

    #[test]
    fn what_was_not_proven_waits_again() {
        let (backlog, journalled) = (waiting(1, Stage::Answered), Condvar::new());
        lock(&backlog).demands.insert(place(2), ZK.model);
        let start = || announce(lock(&backlog), &journalled, [place(1)].into(), &[place(2)], 1);
        start();
        assert!(lock(&backlog).counts().is_empty());
        lock(&backlog).end(false);
        assert_eq!(lock(&backlog).counts(), [(ZK, 2)].into());
        start();
        lock(&backlog).end(true);
        assert!(lock(&backlog).counts().is_empty());
    }
}
