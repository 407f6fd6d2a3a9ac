//! What goes before a proof: whatever would be late behind it. While a proof is made, nothing else is settled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use haca_wire::EvidenceKind;
use haca_wire::state::Clock;

use super::{Action, Cause, Settler, kind_of_pending};
use crate::ExecError;
use crate::entry::{Pending, Place};
use crate::planner::{self, Answering, Kind, SAFETY, Settlement, Situation};
use crate::service::Choice;

/// Ticks that a settlement before an answer takes besides its proofs.
const TICKS: u64 = 4;
/// The longest time that is looked ahead, in milliseconds.
const LONGEST_MS: u64 = 1 << 40;

/// A settlement that was chosen with all that is signed.
pub(super) struct Chosen {
    pub(super) settlement: Settlement,
    /// All that it was chosen from.
    pub(super) of_place: BTreeMap<Place, Pending>,
    /// Whether it has proofs, which are announced.
    pub(super) is_announced: bool,
}

impl Chosen {
    /// A settlement without proofs.
    fn bare(settlement: Settlement, waiting: &[Pending]) -> Self {
        Self {
            settlement,
            of_place: waiting.iter().map(|one| (one.place, *one)).collect(),
            is_announced: false,
        }
    }
}

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

    /// Settles what was planned with a part of what is signed, or what goes before it. The planner has reckoned with no more than
    /// one transaction that is signed anew before its proofs.
    pub(super) fn settle_next(
        &mut self,
        clock: &Clock,
        pending: &[Pending],
        planned: Settlement,
    ) -> Result<(), ExecError> {
        let behind_ms = self.service.prove_ms(&planned).saturating_mul(SAFETY);
        if behind_ms == 0 {
            let chosen = Chosen::bare(planned, pending);
            return self.settle(&chosen).map(drop);
        }
        let clock = if self.raise_held(clock, pending, behind_ms)? {
            self.service.chain.client.clock()?
        } else {
            *clock
        };
        match self.choose(&clock, |waiting| self.next_of(&clock, waiting))? {
            Some(chosen) => self.settle(&chosen).map(drop),
            None => Ok(()),
        }
    }

    /// What the planner says to settle, or what needs no proof and would be late behind its proofs if they took as long as is
    /// reckoned. What is due at once lets nothing before it that the planner does not.
    fn next_of(&self, clock: &Clock, waiting: &[Pending]) -> Option<Settlement> {
        let Action::Settle(planned) = self.consult(clock, waiting, planner::plan).action else {
            return None;
        };
        let behind_ms = self.service.prove_ms(&planned).saturating_mul(SAFETY);
        let is_bare = |one: &&Pending| one.evidence != EvidenceKind::Zk;
        let bare: Vec<Pending> = waiting.iter().filter(is_bare).copied().collect();
        let before = match planned.cause {
            Cause::Urgent => None,
            Cause::Profitable | Cause::NothingToGain => self.urgent_behind(clock, &bare, behind_ms),
        };
        before.or(Some(planned)).filter(|next| self.is_ready(next))
    }

    /// Chooses what to settle among all that is signed, and announces its proofs: no receipt is signed in between.
    pub(super) fn choose(
        &self,
        clock: &Clock,
        pick: impl FnOnce(&[Pending]) -> Option<Settlement>,
    ) -> Result<Option<Chosen>, ExecError> {
        let choice = self.service.begin_choice();
        let waiting = self.settleable(clock, &self.service.journal.pending()?);
        let settlement = pick(&waiting);
        Ok(settlement.map(|settlement| self.announce(choice, settlement, &waiting)))
    }

    fn announce(&self, choice: Choice<'_>, settlement: Settlement, waiting: &[Pending]) -> Chosen {
        let prove_ms = self.service.prove_ms(&settlement);
        if prove_ms > 0 {
            let places = settlement.groups.iter().flat_map(|group| &group.places);
            choice.announce(places.copied().collect(), &[], prove_ms);
        }
        Chosen {
            is_announced: prove_ms > 0,
            ..Chosen::bare(settlement, waiting)
        }
    }

    /// Settles what would be late after the answer's proof, and signs anew what waits for a lower base fee and would be, if the
    /// answer can wait for that: `true` when it sent something. Otherwise the proof for these receipts is announced. What can't
    /// be proven at present does not keep the answer waiting, nor does a transaction whose block takes longer than that.
    pub(super) fn settle_before(
        &mut self,
        answering: &Answering,
        receipts: BTreeSet<Place>,
    ) -> Result<bool, ExecError> {
        // Its proof, and those of all other demands, may take twice their time.
        let slack_ms = u64::try_from(answering.safe_slack_ms).unwrap_or(0);
        let latest = Instant::now() + Duration::from_millis(slack_ms.min(LONGEST_MS));
        self.follow_until = Some(latest);
        let settled = self.settle_until(latest, answering, receipts);
        self.follow_until = None;
        settled
    }

    fn settle_until(
        &mut self,
        latest: Instant,
        answering: &Answering,
        receipts: BTreeSet<Place>,
    ) -> Result<bool, ExecError> {
        let (service, mut failed) = (self.service, BTreeSet::<Kind>::new());
        let prove_ms = service.answer_ms(answering);
        let behind_ms = prove_ms.saturating_mul(SAFETY);
        let can_wait = |ms: u64, tick_ms: u64| {
            let needed_ms = tick_ms.saturating_mul(TICKS).saturating_add(ms);
            latest.saturating_duration_since(Instant::now()) > Duration::from_millis(needed_ms)
        };
        loop {
            let clock = service.chain.client.clock()?;
            let tick_ms = service.chain.tick_ms();
            if can_wait(0, tick_ms) && self.raise_held(&clock, &service.journal.pending()?, behind_ms)? {
                return Ok(true);
            }
            let choice = service.begin_choice();
            let pending = service.journal.pending()?;
            let mut waiting = self.settleable(&clock, &pending);
            waiting.retain(|receipt| !failed.contains(&kind_of_pending(receipt)));
            let urgent = self.urgent_behind(&clock, &waiting, behind_ms);
            let takes_ms = |urgent: &Settlement| service.prove_ms(urgent).saturating_mul(SAFETY);
            let Some(settlement) = urgent.filter(|urgent| can_wait(takes_ms(urgent), tick_ms)) else {
                choice.announce(receipts, &answering.places, prove_ms);
                return Ok(false);
            };
            let chosen = self.announce(choice, settlement, &waiting);
            let kinds: Vec<Kind> = chosen.settlement.groups.iter().map(|group| group.kind).collect();
            let is_covered = !chosen.is_announced && self.settle_covered(&clock, &pending)?;
            if is_covered || self.settle(&chosen)? {
                return Ok(true);
            }
            failed.extend(kinds);
        }
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
