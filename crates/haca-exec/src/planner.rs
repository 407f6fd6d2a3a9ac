//! The settlement planner: which receipts to prove and settle now, and what to wait for.
//!
//! A pure function of what waits, what it is worth, what settling costs and how long proving takes. The rules:
//!
//! * A receipt that left the node is settled by its deadline as long as that saves more than it burns: its fee and its
//!   warranty against its share of the gas. What the operator's settings put off is put off to the latest safe time,
//!   never further.
//! * Before that time a batch is settled when its fees pay its gas with the operator's margin and the base fee is neither
//!   above the operator's maximum nor a spike, or when waiting can't make it cheaper.
//! * The latest safe time is that of the whole queue: one prover works off all batches one after the other.
//! * A signed base fee is a bound of the chain's, so no transaction burns more than its receipts are worth.
//!
//! Amounts are OPG in its smallest unit, times in milliseconds or ticks as named.

mod admission;
mod answer;
mod cost;
mod demandable;
mod market;
mod prove_time;
mod schedule;
mod selection;

use std::collections::BTreeMap;

use haca_wire::{Amount, AssetId, EvidenceKind, ModelId, Tick};

use crate::entry::Place;

pub use admission::{Due, LastWork, Workload, earliest_settle_by, earliest_signed, rest_ms};
pub use answer::{AnswerPlan, Answering, Docket, OpenDemand, plan_answers, reprice_answer};
pub use cost::{GasPrices, Rates, coverage_signatures, item_bytes, item_signatures};
pub use demandable::{AnswerTime, LOOKS, Overload, SAFETY, count_models, longest_proofs_ms};
pub use market::{Decimal, Market, Policy, Price, Reprice, bid_for, reprice};
pub use prove_time::ProveTimes;
use schedule::{Family, Schedule};

/// Proving time that is reckoned with before one was measured.
pub const UNKNOWN_PROVE_MS: u64 = 10_000;

/// What may stand in one group: receipts of one model with one kind of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// The model.
    pub model: ModelId,
    /// The evidence.
    pub evidence: EvidenceKind,
}

/// A receipt that waits for its settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Channel and sequence.
    pub place: Place,
    /// Model and evidence.
    pub kind: Kind,
    /// The asset of fee and warranty.
    pub asset: AssetId,
    /// What settling it earns.
    pub fee: Amount,
    /// What not settling it may cost.
    pub warranty: Amount,
    /// Last tick at which it settles.
    pub settle_by: Tick,
    /// For how long it has waited.
    pub waited_ms: u64,
    /// Whether it settles by itself: it was in a batch that failed.
    pub is_alone: bool,
}

/// What the planner looks at.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// Tick of the next block.
    pub now: Tick,
    /// Milliseconds of a tick, rather too few than too many.
    pub tick_ms: u64,
    /// Milliseconds from sending a transaction to its inclusion.
    pub inclusion_ms: u64,
    /// Base fee of the next block, and those before it.
    pub market: Market<'a>,
    /// The chain's prices and bounds.
    pub gas: GasPrices,
    /// Longest time for the proofs of one transaction, unless one takes longer by itself: meanwhile no demand is answered.
    pub longest_proofs_ms: u64,
    /// The operator's settings.
    pub policy: &'a Policy,
    /// Per kind: batch sizes, gas, bytes, proving times.
    pub rates: &'a BTreeMap<Kind, Rates>,
    /// Everything that waits and may be sent now.
    pub queue: &'a [Waiting],
}

/// Why a batch is settled now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its fees pay its gas with the margin.
    Profitable,
    /// Waiting can't make it cheaper, and it saves more than it burns.
    NothingToGain,
    /// It is the latest safe time for some receipt of the queue.
    Urgent,
}

/// Why nothing is settled now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// More receipts would share the gas.
    LargerBatch,
    /// The base fee is above the operator's maximum, a spike, or too high for a profit.
    LowerBaseFee,
    /// At this base fee, settling burns more than fees and warranties are worth.
    Worthless,
}

/// Receipts of one kind, in the order in which they are proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedGroup {
    /// Model and evidence.
    pub kind: Kind,
    /// The receipts.
    pub places: Vec<Place>,
}

/// One transaction to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Its groups, at least one.
    pub groups: Vec<PlannedGroup>,
    /// The most OPG per gas that it is signed for.
    pub max_base_fee: Amount,
    /// The most gas that it takes.
    pub gas: u64,
    /// Why now.
    pub cause: Cause,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Prove and settle.
    Settle(Settlement),
    /// Wait, at most until this tick.
    Wait {
        /// What for.
        reason: Reason,
        /// The latest safe tick.
        until: Tick,
    },
    /// Nothing waits.
    Idle,
}

/// The planner's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What to do next.
    pub action: Action,
    /// Receipts whose settle-by tick has passed. Nothing else is ever given up here.
    pub late: Vec<Place>,
}

/// Decides what to do next.
pub fn plan(situation: &Situation<'_>) -> Plan {
    let (late, open): (Vec<&Waiting>, Vec<&Waiting>) = situation
        .queue
        .iter()
        .partition(|waiting| situation.now > waiting.settle_by);
    Plan {
        action: next(situation, &open),
        late: late.iter().map(|waiting| waiting.place).collect(),
    }
}

/// A batch that could be settled now.
struct Candidate<'a> {
    family: usize,
    members: Vec<&'a Waiting>,
    gas: u64,
    readiness: Result<Cause, Reason>,
}

fn next(situation: &Situation<'_>, open: &[&Waiting]) -> Action {
    if open.is_empty() {
        return Action::Idle;
    }
    let worthy: Vec<&Waiting> = open
        .iter()
        .copied()
        .filter(|waiting| selection::may_pay(situation, waiting))
        .collect();
    let mut families = Family::all(situation, &worthy);
    // A batch that is worth nothing as a whole makes room for the others.
    while !families.is_empty() {
        let schedule = Schedule::of(situation, &families);
        let first = schedule.first();
        match act(situation, &families, &schedule) {
            Some(action) => return action,
            None => families[first.0].drop_first(first.1),
        }
        families.retain(|family| !family.members.is_empty());
    }
    let last = open.iter().map(|waiting| waiting.settle_by).max();
    Action::Wait {
        reason: Reason::Worthless,
        until: last.unwrap_or(situation.now),
    }
}

/// What to do with these families; `None` when the batch that comes first is worth nothing.
fn act(situation: &Situation<'_>, families: &[Family<'_>], schedule: &Schedule) -> Option<Action> {
    let (family, count) = schedule.first();
    let mut first = candidate(situation, families, family, count)?;
    let is_unmeasured = families[family].rates.is_unmeasured(families[family].kind);
    if schedule.is_urgent() || is_unmeasured {
        first.readiness = Ok(Cause::Urgent);
    }
    let mut reason = match first.readiness {
        Ok(_) => return Some(settle(situation, families, schedule, &first)),
        Err(reason) => reason,
    };
    // The batch that is due first waits; another one may go, if that makes nobody late.
    for (index, other) in families.iter().enumerate().filter(|(index, _)| *index != family) {
        let count = schedule.most_now(index, other.most());
        let Some(other) = candidate(situation, families, index, count) else {
            continue;
        };
        match other.readiness {
            Ok(_) => return Some(settle(situation, families, schedule, &other)),
            Err(Reason::LargerBatch) => reason = Reason::LargerBatch,
            Err(_) => {}
        }
    }
    let slack_ticks = schedule.slack_ms().max(0).unsigned_abs() / situation.tick_ms.max(1);
    Some(Action::Wait {
        reason,
        until: Tick(situation.now.0.saturating_add(slack_ticks)),
    })
}

/// The best batch of up to `count` receipts of a family; `None` when none is worth its gas.
fn candidate<'a>(
    situation: &Situation<'_>,
    families: &[Family<'a>],
    family: usize,
    count: usize,
) -> Option<Candidate<'a>> {
    let chosen = &families[family];
    let members = selection::best(situation, chosen, count)?;
    let gas = chosen.rates.transaction_gas(&situation.gas, members.len());
    let readiness = market::readiness(situation, chosen, &members, gas);
    Some(Candidate {
        family,
        members,
        gas,
        readiness,
    })
}

/// The transaction of a batch, with other groups that share its fixed costs.
fn settle(
    situation: &Situation<'_>,
    families: &[Family<'_>],
    schedule: &Schedule,
    first: &Candidate<'_>,
) -> Action {
    let mut groups = vec![group(first)];
    let mut all = first.members.clone();
    let (mut gas, mut bytes) = (first.gas, families[first.family].bytes(first.members.len()));
    let is_alone = |members: &[&Waiting]| members.iter().any(|member| member.is_alone);
    let patience = situation.policy.batch_wait_ms.min(situation.longest_proofs_ms);
    let mut added_ms = 0u64;
    for (index, family) in families.iter().enumerate() {
        let is_other = index != first.family && !is_alone(&family.members) && !is_alone(&first.members);
        if !is_other || groups.len() >= haca_wire::limit::GROUPS {
            continue;
        }
        let Some(other) = candidate(situation, families, index, family.most()) else {
            continue;
        };
        let joins = match other.readiness {
            Ok(_) => true,
            // Signatures gain nothing from a larger batch but the fixed costs, which are shared here.
            Err(reason) => reason == Reason::LargerBatch && family.kind.evidence != EvidenceKind::Zk,
        };
        let prove_ms = family.rates.prove_ms(family.kind, other.members.len());
        let more = family.rates.group_gas(&situation.gas, other.members.len());
        let more_bytes = family.bytes(other.members.len());
        let in_time = prove_ms == 0 || (added_ms + prove_ms <= patience && !schedule.is_urgent());
        let fits = gas.saturating_add(more) <= situation.gas.tx_gas
            && bytes.saturating_add(more_bytes) <= haca_wire::limit::TX_BYTES;
        if joins && in_time && fits {
            groups.push(group(&other));
            all.extend(other.members);
            (gas, bytes) = (gas.saturating_add(more), bytes.saturating_add(more_bytes));
            added_ms = added_ms.saturating_add(prove_ms);
        }
    }
    let cause = first.readiness.unwrap_or(Cause::Urgent);
    Action::Settle(Settlement {
        groups,
        max_base_fee: market::bid(situation, &all, gas, cause),
        gas,
        cause,
    })
}

fn group(candidate: &Candidate<'_>) -> PlannedGroup {
    let places = candidate.members.iter().map(|member| member.place);
    // A candidate has members.
    let kind = candidate.members[0].kind;
    PlannedGroup {
        kind,
        places: places.collect(),
    }
}
