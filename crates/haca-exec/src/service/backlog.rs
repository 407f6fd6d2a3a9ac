//! What the settler has before it: receipts in no transaction, open demands, and the proofs in progress. No order is
//! admitted that would be late behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{MutexGuard, PoisonError};
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

/// Proofs in progress.
struct Running {
    places: BTreeSet<Place>,
    /// What they are reckoned to take.
    prove_ms: u64,
    since: Instant,
}

/// A receipt, or an order that is being answered.
#[derive(Clone, Copy)]
struct Waiting {
    kind: Kind,
    is_answered: bool,
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
            let is_answered = true;
            self.waiting.insert(one.place, Waiting { kind, is_answered });
        }
    }

    fn running_ms(&self, tick_ms: u64) -> u64 {
        let running = self.running.as_ref().filter(|running| running.prove_ms > 0);
        running.map_or(0, |running| {
            let elapsed = u64::try_from(running.since.elapsed().as_millis()).unwrap_or(u64::MAX);
            rest_ms(running.prove_ms, elapsed, tick_ms)
        })
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

    /// That time is left to settle the receipt of an order whose answer is ready: questions, inference and a proof that began
    /// meanwhile may have taken it.
    pub(super) fn check_signature(&self, order: &Order) -> Result<(), Refusal> {
        let head = self.chain.head(self.config.stale_head_s)?;
        let kind = Kind {
            model: order.model,
            evidence: order.evidence,
        };
        let backlog = self.backlog();
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
        self.check_between(order, earliest, now)
    }

    /// That an order would not be late if it joined the backlog now.
    pub(super) fn check_settle_by(&self, order: &Order, head: &Head) -> Result<(), Refusal> {
        self.check_deadline(&self.backlog(), order, head).map(drop)
    }

    /// Takes an order into the backlog, unless it would be late behind what is there.
    pub(super) fn join_backlog(&self, place: Place, order: &Order, head: &Head) -> Result<(), Refusal> {
        let mut backlog = self.backlog();
        let kind = self.check_deadline(&backlog, order, head)?;
        let is_answered = false;
        backlog.waiting.insert(place, Waiting { kind, is_answered });
        Ok(())
    }

    /// The order was not answered.
    pub(super) fn leave_backlog(&self, place: Place) {
        self.backlog().waiting.remove(&place);
    }

    /// The order's receipt is in the journal.
    pub(super) fn stay_in_backlog(&self, place: Place) {
        if let Some(waiting) = self.backlog().waiting.get_mut(&place) {
            waiting.is_answered = true;
        }
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
        let is_other =
            |(place, one): (&Place, &Waiting)| (one.is_answered && !places.contains(place)).then_some(*place);
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

    /// Says which receipts proofs are being made for, what they are reckoned to take, and the fees that demands wait on.
    pub(crate) fn start_proving(&self, places: BTreeSet<Place>, fees: &[Place], prove_ms: u64) {
        let mut backlog = self.backlog();
        for place in places.iter().chain(fees) {
            backlog.waiting.remove(place);
        }
        for fee in fees {
            backlog.demands.remove(fee);
        }
        backlog.running = Some(Running {
            places,
            prove_ms,
            since: Instant::now(),
        });
    }

    /// The proofs are made, or given up.
    pub(crate) fn end_proving(&self) {
        self.backlog().running = None;
    }
}
