//! What the settler has before it: receipts in no transaction, open demands, and the proofs in progress. No order is
//! admitted that would be late behind it, and no receipt is signed that would be late or make another one late.
//!
//! Signatures and announcements of proofs are ordered by one lock: what a proof is chosen with is all that is signed, and
//! what is signed later was reckoned with the proof.

mod queue;

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
    Answering, Due, Kind, LastWork, Settlement, Workload, earliest_settle_by, earliest_signed, rest_ms,
};
use crate::refusal::Refusal;
use queue::{Queue, Stage, Waiting};

/// Proofs in progress, or announced.
struct Running {
    places: BTreeSet<Place>,
    /// What they are reckoned to take.
    prove_ms: u64,
    since: Instant,
    /// What waits again if they are not made.
    waiting: Vec<(Place, Waiting)>,
    demands: Vec<(Place, Demanded)>,
}

/// An open demand that nothing was sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Demanded {
    /// The model of the receipt.
    pub(crate) model: ModelId,
    /// Last tick of the answer.
    pub(crate) due: Tick,
}

/// All work of the settler that takes time.
#[derive(Default)]
pub(super) struct Backlog {
    waiting: Queue,
    demands: BTreeMap<Place, Demanded>,
    running: Option<Running>,
    /// Whether the settler chooses what to prove: until it has, nothing is signed.
    is_choosing: bool,
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
            let waiting = Waiting {
                kind,
                settle_by: one.settle_by,
                stage: Stage::Answered,
            };
            self.waiting.insert(one.place, waiting);
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
            if self.waiting.stage(place).is_none() {
                self.waiting.insert(place, waiting);
            }
        }
        self.demands.extend(running.demands);
    }

    /// Sets proofs in progress, and takes what they are for out of what waits.
    fn begin(&mut self, places: BTreeSet<Place>, fees: &[Place], prove_ms: u64) {
        let taken = |place: &Place| Some((*place, self.waiting.remove(*place)?));
        let waiting = places.iter().chain(fees).filter_map(taken).collect();
        let taken = |fee: &Place| Some((*fee, self.demands.remove(fee)?));
        let demands = fees.iter().filter_map(taken).collect();
        self.running = Some(Running {
            places,
            prove_ms,
            since: Instant::now(),
            waiting,
            demands,
        });
    }

    /// The demands that wait.
    fn demanded(&self) -> BTreeMap<Due, usize> {
        let mut counts = BTreeMap::new();
        for one in self.demands.values() {
            let (by, kind) = (one.due, proof_of(one.model));
            let count: &mut usize = counts.entry(Due { by, kind }).or_default();
            *count = count.saturating_add(1);
        }
        counts
    }

    /// All that waits by kind, a demand as a proof that is made at once.
    fn counts(&self) -> BTreeMap<Kind, usize> {
        let mut counts = self.waiting.kinds().clone();
        for kind in self.demands.values().map(|one| proof_of(one.model)) {
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
        // What would not be signed now is not answered in vain.
        let earliest = earliest.max(self.earliest_signed(backlog, order, head));
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

    /// Has the receipt of an order signed whose answer is ready, if it can be settled in time and makes no other receipt late:
    /// questions, inference and a proof that began meanwhile may have taken the time for that. Waits while the settler chooses
    /// what to prove.
    pub(super) fn check_signature(&self, place: Place, order: &Order) -> Result<(), Refusal> {
        let mut backlog = wait_for_choice(self.backlog(), &self.signatures);
        let head = self.chain.head(self.config.stale_head_s)?;
        let earliest = self.earliest_signed(&backlog, order, &head);
        self.check_between(order, earliest, head.clock.tick)?;
        backlog.waiting.reach(place, Stage::Signed);
        Ok(())
    }

    /// The earliest deadline of an order for which its receipt would be signed now.
    fn earliest_signed(&self, backlog: &Backlog, order: &Order, head: &Head) -> Tick {
        let kind = Kind {
            model: order.model,
            evidence: order.evidence,
        };
        let tick_ms = self.chain.tick_ms();
        let longest_proofs_ms = self.longest_proofs_ms();
        earliest_signed(
            &LastWork {
                now: head.clock.tick,
                tick_ms,
                safety_ticks: self.config.policy.safety_ticks,
                min_settle_ticks: self.config.min_settle_ticks,
                longest_proofs_ms,
                running_ms: backlog.running_ms(tick_ms),
                signed: backlog.waiting.signed(),
                demands: &backlog.demanded(),
                rates: &self.known_rates(),
            },
            kind,
            order.settle_by,
        )
    }

    /// That an order would not be late if it joined the backlog now.
    pub(super) fn check_settle_by(&self, order: &Order, head: &Head) -> Result<(), Refusal> {
        self.check_deadline(&self.backlog(), order, head).map(drop)
    }

    /// Takes an order into the backlog, unless it would be late behind what is there.
    pub(super) fn join_backlog(&self, place: Place, order: &Order, head: &Head) -> Result<(), Refusal> {
        let mut backlog = self.backlog();
        let kind = self.check_deadline(&backlog, order, head)?;
        let waiting = Waiting {
            kind,
            settle_by: order.settle_by,
            stage: Stage::Admitted,
        };
        backlog.waiting.insert(place, waiting);
        Ok(())
    }

    /// The order was not answered.
    pub(super) fn leave_backlog(&self, place: Place) {
        self.backlog().waiting.remove(place);
        self.signatures.notify_all();
    }

    /// The order's receipt is in the journal, or may be.
    pub(super) fn stay_in_backlog(&self, place: Place) {
        self.backlog().waiting.reach(place, Stage::Answered);
        self.signatures.notify_all();
    }

    /// Learns from the settler what waits: what was in the journal, and the open demands that nothing was sent for.
    pub(crate) fn set_backlog(
        &self,
        pending: &[Pending],
        demands: BTreeMap<Place, Demanded>,
    ) -> Result<(), ExecError> {
        let places: BTreeSet<Place> = pending
            .iter()
            .filter(|one| one.tx.is_none())
            .map(|one| one.place)
            .collect();
        let mut others = self.backlog().waiting.answered();
        others.retain(|place| !places.contains(place));
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
            backlog.waiting.remove(place);
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

    /// Begins a choice of proofs: each receipt that is signed is in the journal, and none is signed before the choice ends.
    pub(crate) fn begin_choice(&self) -> Choice<'_> {
        wait_for_journal(self.backlog(), &self.signatures);
        Choice { service: self }
    }

    /// The proofs are made, or given up: then what they were for waits again.
    pub(crate) fn end_proving(&self, is_made: bool) {
        self.backlog().end(is_made);
    }
}

/// The settler's choice of what to prove next, with all that is signed. It ends when it is dropped.
#[must_use]
pub(crate) struct Choice<'a> {
    service: &'a Service,
}

impl Choice<'_> {
    /// Announces which receipts proofs are made for, what they are reckoned to take, and the fees that demands wait on. From now
    /// on, no receipt is signed that would be late behind them.
    pub(crate) fn announce(self, places: BTreeSet<Place>, fees: &[Place], prove_ms: u64) {
        self.service.backlog().begin(places, fees, prove_ms);
    }
}

impl Drop for Choice<'_> {
    fn drop(&mut self) {
        self.service.backlog().is_choosing = false;
        self.service.signatures.notify_all();
    }
}

/// Keeps receipts from being signed, then waits until each that is signed by now is in the journal.
fn wait_for_journal(mut backlog: MutexGuard<'_, Backlog>, signatures: &Condvar) {
    backlog.is_choosing = true;
    drop(signatures.wait_while(backlog, |backlog| backlog.waiting.has_unjournalled()));
}

/// Waits until the settler has chosen what to prove.
fn wait_for_choice<'a>(backlog: MutexGuard<'a, Backlog>, signatures: &Condvar) -> MutexGuard<'a, Backlog> {
    let chosen = signatures.wait_while(backlog, |backlog| backlog.is_choosing);
    chosen.unwrap_or_else(PoisonError::into_inner)
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
        let waiting = Waiting {
            kind: ZK,
            settle_by: Tick(9),
            stage,
        };
        backlog.waiting.insert(place(sequence), waiting);
        Mutex::new(backlog)
    }

    /// What was signed before a choice is read from the journal in it.
    #[test]
    fn a_choice_waits_for_receipts_that_are_signed_and_not_journalled() {
        let (backlog, signatures) = (waiting(1, Stage::Signed), Condvar::new());
        let is_journalled = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                wait_for_journal(lock(&backlog), &signatures);
                assert!(is_journalled.load(Ordering::SeqCst));
            });
            while !lock(&backlog).is_choosing {
                std::thread::yield_now();
            }
            is_journalled.store(true, Ordering::SeqCst);
            let answered = waiting(1, Stage::Answered);
            std::mem::swap(&mut lock(&backlog).waiting, &mut lock(&answered).waiting);
            signatures.notify_all();
        });
    }

    #[test]
    fn nothing_is_signed_during_a_choice() {
        let (backlog, signatures) = (waiting(1, Stage::Admitted), Condvar::new());
        wait_for_journal(lock(&backlog), &signatures);
        let (begun, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let signing = scope.spawn(|| {
                let guard = lock(&backlog);
                begun.store(true, Ordering::SeqCst);
                let guard = wait_for_choice(guard, &signatures);
                assert!(is_over.load(Ordering::SeqCst));
                drop(guard);
            });
            while !begun.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            let mut guard = lock(&backlog);
            is_over.store(true, Ordering::SeqCst);
            guard.is_choosing = false;
            drop(guard);
            signatures.notify_all();
            assert!(signing.join().is_ok());
        });
    }

    #[test]
    fn what_was_not_proven_waits_again() {
        let backlog = waiting(1, Stage::Answered);
        let mut backlog = lock(&backlog);
        let (model, due) = (ZK.model, Tick(9));
        backlog.demands.insert(place(2), Demanded { model, due });
        backlog.begin([place(1)].into(), &[place(2)], 1);
        assert!(backlog.counts().is_empty());
        backlog.end(false);
        assert_eq!(backlog.counts(), [(ZK, 2)].into());
        backlog.begin([place(1)].into(), &[place(2)], 1);
        backlog.end(true);
        assert!(backlog.counts().is_empty());
    }
}
