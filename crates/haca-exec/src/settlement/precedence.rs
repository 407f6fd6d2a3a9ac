//! What goes before a proof: whatever would be late behind it. While a proof is made, nothing else is settled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use haca_wire::EvidenceKind;
use haca_wire::state::Clock;

use super::{Action, Cause, Settler, kind_of_pending};
use crate::ExecError;
use crate::entry::{Pending, Place};
use crate::planner::{self, Answering, Kind, Settlement, Situation};

/// Ticks that a settlement before an answer takes besides its proofs.
const TICKS: u64 = 4;
/// Settlements that go before the proof of an answer once it is announced.
pub(super) const ROUNDS: usize = 4;

impl Settler<'_> {
    /// Receipts in no transaction, but those whose pause after a failure is not over. What is late has no pause.
    pub(super) fn settleable(&self, clock: &Clock, pending: &[Pending]) -> Vec<Pending> {
        let rests = |receipt: &Pending| {
            let suspect = self.suspects.get(&receipt.place);
            clock.tick <= receipt.settle_by && suspect.is_some_and(|retry| !retry.is_due())
        };
        let waiting = pending
            .iter()
            .filter(|receipt| receipt.tx.is_none() && !rests(receipt));
        waiting.copied().collect()
    }

    /// Settles what would be late after the answer's proof, and signs anew what waits for a lower base fee and would be, if the
    /// answer can wait for that. `true` when it sent something. What can't be proven at present does not keep the answer waiting.
    pub(super) fn settle_before(
        &mut self,
        answering: &Answering,
        pending: &[Pending],
    ) -> Result<bool, ExecError> {
        let (start, mut failed) = (Instant::now(), BTreeSet::<Kind>::new());
        let behind_ms = self.service.answer_ms(answering).saturating_mul(2);
        let can_wait = |ms: u64, tick_ms: u64| {
            let spent_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
            let needed_ms = tick_ms.saturating_mul(TICKS).saturating_add(spent_ms);
            i64::try_from(ms.saturating_add(needed_ms)).is_ok_and(|ms| answering.slack_ms > ms)
        };
        loop {
            let clock = self.service.chain.client.clock()?;
            let tick_ms = self.service.chain.tick_ms();
            if can_wait(0, tick_ms) && self.raise_held(&clock, pending, behind_ms)? {
                return Ok(true);
            }
            let mut waiting = self.settleable(&clock, pending);
            waiting.retain(|receipt| !failed.contains(&kind_of_pending(receipt)));
            let urgent = self.urgent_behind(&clock, &waiting, behind_ms);
            let Some(settlement) = urgent.filter(|urgent| can_wait(self.service.prove_ms(urgent), tick_ms))
            else {
                return Ok(false);
            };
            let of_place: BTreeMap<Place, Pending> = waiting.iter().map(|one| (one.place, *one)).collect();
            if self.settle_covered(&clock, pending)? || self.settle(&settlement, &of_place)? {
                return Ok(true);
            }
            failed.extend(settlement.groups.iter().map(|group| group.kind));
        }
    }

    /// Settles receipts without a proof that would be late behind proofs that are announced, as long as that leaves some of
    /// `slack_ms`: those signed before the announcement and after the journal was last read, so that they are not `known`. And
    /// signs anew what waits for a lower base fee and would be late.
    pub(super) fn make_way(
        &mut self,
        known: &BTreeSet<Place>,
        prove_ms: u64,
        slack_ms: i64,
        rounds: usize,
    ) -> Result<(), ExecError> {
        let (start, behind_ms) = (Instant::now(), prove_ms.saturating_mul(2));
        for _ in 0..rounds {
            let pending = self.service.journal.pending()?;
            let is_new = |one: &Pending| !known.contains(&one.place);
            let is_bare = |one: &Pending| one.tx.is_none() && one.evidence != EvidenceKind::Zk && is_new(one);
            if self.held.is_empty() && !pending.iter().any(is_bare) {
                break;
            }
            let spent_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
            let needed_ms = self.service.chain.tick_ms().saturating_mul(TICKS);
            let needed_ms = i64::try_from(needed_ms.saturating_add(spent_ms)).unwrap_or(i64::MAX);
            if self.is_stopped() || slack_ms <= needed_ms {
                break;
            }
            let clock = self.service.chain.client.clock()?;
            if self.raise_held(&clock, &pending, behind_ms)? {
                continue;
            }
            let mut waiting = self.settleable(&clock, &pending);
            waiting.retain(is_bare);
            let Some(urgent) = self.urgent_behind(&clock, &waiting, behind_ms) else {
                break;
            };
            let of_place: BTreeMap<Place, Pending> = waiting.iter().map(|one| (one.place, *one)).collect();
            if !self.settle(&urgent, &of_place)? {
                break;
            }
        }
        Ok(())
    }

    /// What has to be settled first if every block came later by as long as the proof is reckoned to take.
    fn urgent_behind(&self, clock: &Clock, waiting: &[Pending], behind_ms: u64) -> Option<Settlement> {
        if waiting.is_empty() {
            return None;
        }
        let plan = self.consult(clock, waiting, |situation| {
            planner::plan(&Situation {
                inclusion_ms: situation.inclusion_ms.saturating_add(behind_ms),
                ..*situation
            })
        });
        match plan.action {
            Action::Settle(settlement) => Some(settlement).filter(|plan| plan.cause == Cause::Urgent),
            Action::Wait { .. } | Action::Idle => None,
        }
    }
}
