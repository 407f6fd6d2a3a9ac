//! Which demands to answer now, with one proof, and at what price.
//!
//! An unanswered demand costs fee, warranty and the node's whole stake, as far as it has one, and an answer brings the
//! payer's deposit. So:
//!
//! * While more than half of the response window is left, demands are answered as soon as their deposits pay the gas.
//! * From then on they are answered at any base fee up to all that is at stake.
//! * Demands are taken in the order in which they are due. As many of one model as one transaction answers share a proof
//!   if they follow one another, and others of the model join as long as that leaves more than half of the window to all.

use std::collections::BTreeMap;

use haca_wire::{Amount, AssetId, EvidenceKind, ModelId, Tick};

use super::market::urgent_bid;
use super::{GasPrices, Kind, Policy, Rates};
use crate::entry::Place;

/// A demand that the node has to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenDemand {
    /// Channel and sequence of the receipt.
    pub place: Place,
    /// Its model.
    pub model: ModelId,
    /// Last tick of an answer.
    pub due: Tick,
    /// OPG that the answer brings.
    pub deposit: Amount,
    /// The fee that waits, which an unanswered demand returns to the payer.
    pub fee: Amount,
    /// The warranty that the payer receives with it.
    pub warranty: Amount,
    /// The asset of both.
    pub asset: AssetId,
    /// Whether it is answered by itself: it was in an answer that failed.
    pub is_alone: bool,
}

/// What the planner of answers looks at.
#[derive(Clone, Copy, Debug)]
pub struct Docket<'a> {
    /// Tick of the next block.
    pub now: Tick,
    /// Milliseconds of a tick, rather too few than too many.
    pub tick_ms: u64,
    /// Milliseconds from sending a transaction to its inclusion.
    pub inclusion_ms: u64,
    /// OPG per gas in the next block.
    pub base_fee: Amount,
    /// The chain's prices and bounds.
    pub gas: GasPrices,
    /// Ticks before `due` up to which a lower base fee is waited for: half the response window.
    pub patience_ticks: u64,
    /// OPG that the node loses with an unanswered demand, whatever the receipt.
    pub stake: Amount,
    /// The operator's settings: what fees and warranties are worth.
    pub policy: &'a Policy,
    /// Per kind: batch sizes, gas, proving times.
    pub rates: &'a BTreeMap<Kind, Rates>,
    /// Every open demand that may be answered now.
    pub demands: &'a [OpenDemand],
}

/// One answer to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answering {
    /// The model of the receipts.
    pub model: ModelId,
    /// The receipts, in the order in which they are proven.
    pub places: Vec<Place>,
    /// The most OPG per gas that it is signed for.
    pub max_base_fee: Amount,
    /// Milliseconds by which it could begin later without making any demand late.
    pub slack_ms: i64,
    /// The same if every proof took twice its measured time: until then, settlements may go before.
    pub safe_slack_ms: i64,
}

/// What to do about demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerPlan {
    /// Prove and answer.
    Answer(Answering),
    /// The deposits do not pay the gas; wait for a lower base fee, at most until this tick.
    Wait(Tick),
    /// No demand that this node can answer.
    Idle,
}

/// Receipts that one proof answers for.
#[derive(Clone)]
struct Chunk {
    model: ModelId,
    demands: Vec<OpenDemand>,
    gas: u64,
    prove_ms: i64,
    takes_ms: i64,
}

/// Decides which demands to answer now.
pub fn plan_answers(docket: &Docket<'_>) -> AnswerPlan {
    let runs = runs(docket);
    let Some(next) = runs.first() else {
        return AnswerPlan::Idle;
    };
    let slack_ms = runs.iter().rev().fold(i64::MAX / 4, |next, run| {
        due_ms(docket, run).min(next).saturating_sub(run.takes_ms)
    });
    let patience_ms = ms(docket.patience_ticks, docket.tick_ms);
    // Later demands of the same model share the first proof as long as those in between can well wait for it.
    let joined = joined(docket, next);
    let left_ms = slack_ms.saturating_sub(joined.takes_ms.saturating_sub(next.takes_ms).max(0));
    let (first, slack_ms) = if left_ms > patience_ms {
        (&joined, left_ms)
    } else {
        (next, slack_ms)
    };
    let is_patient = slack_ms > patience_ms;
    match bid(docket, first, !is_patient) {
        Some(max_base_fee) => AnswerPlan::Answer(Answering {
            model: first.model,
            places: first.demands.iter().map(|demand| demand.place).collect(),
            max_base_fee,
            slack_ms,
            safe_slack_ms: safe_slack_ms(docket, &runs, first),
        }),
        None => {
            let left = slack_ms.saturating_sub(if is_patient { patience_ms } else { 0 });
            let ticks = left.max(0).unsigned_abs() / docket.tick_ms.max(1);
            AnswerPlan::Wait(Tick(docket.now.0.saturating_add(ticks)))
        }
    }
}

/// How much later `first` could begin if every proof took twice its time.
fn safe_slack_ms(docket: &Docket<'_>, runs: &[Chunk], first: &Chunk) -> i64 {
    let latest = |next: i64, run: &Chunk| {
        let takes_ms = run.takes_ms.saturating_add(run.prove_ms);
        due_ms(docket, run).min(next).saturating_sub(takes_ms)
    };
    let after = runs.iter().skip(1).rev().fold(i64::MAX / 4, latest);
    // What joins the first proof stays in its run, too: rather too little than too much.
    latest(after, first)
}

/// The base fee to sign an answer of `gas` to all of `docket` for, when it was signed for `signed` and waits; `None` to
/// leave it as it is.
pub fn reprice_answer(docket: &Docket<'_>, signed: Amount) -> Option<Amount> {
    if signed >= docket.base_fee {
        return None;
    }
    match plan_answers(docket) {
        AnswerPlan::Answer(answering) => Some(answering.max_base_fee),
        AnswerPlan::Wait(_) | AnswerPlan::Idle => None,
    }
}

/// What may share a proof with a demand: those of its model, and nothing with one that is answered alone.
type Family = (ModelId, Option<Place>);

fn family(demand: &OpenDemand) -> Family {
    (demand.model, demand.is_alone.then_some(demand.place))
}

/// The demands that can be answered here, by deadline.
fn by_deadline(docket: &Docket<'_>) -> Vec<OpenDemand> {
    let mut demands = docket.demands.to_vec();
    demands.retain(|demand| rates(docket, demand.model).is_some());
    demands.sort_by_key(|demand| (demand.due, demand.place));
    demands
}

fn rates<'a>(docket: &Docket<'a>, model: ModelId) -> Option<&'a Rates> {
    let rates = docket.rates.get(&proof_of(model))?;
    (rates.max_batch > 0).then_some(rates)
}

const fn proof_of(model: ModelId) -> Kind {
    Kind {
        model,
        evidence: EvidenceKind::Zk,
    }
}

/// Batches in the strict order of deadlines: those that follow one another and may share a proof do.
fn runs(docket: &Docket<'_>) -> Vec<Chunk> {
    let mut runs: Vec<Vec<OpenDemand>> = Vec::new();
    for demand in by_deadline(docket) {
        let most = rates(docket, demand.model).map_or(1, |rates| rates.max_batch);
        let fits = |run: &Vec<OpenDemand>| {
            run.len() < most && run.first().is_some_and(|first| family(first) == family(&demand))
        };
        match runs.last_mut().filter(|run| fits(run)) {
            Some(run) => run.push(demand),
            None => runs.push(vec![demand]),
        }
    }
    let chunks = runs.into_iter().filter_map(|demands| chunk(docket, demands));
    chunks.collect()
}

/// The demands that may share the proof of the first of a run, by deadline.
fn joined(docket: &Docket<'_>, run: &Chunk) -> Chunk {
    let wanted = run.demands.first().map(family);
    let most = rates(docket, run.model).map_or(1, |rates| rates.max_batch);
    let all = by_deadline(docket).into_iter();
    let members = all.filter(|demand| Some(family(demand)) == wanted).take(most);
    chunk(docket, members.collect()).unwrap_or_else(|| run.clone())
}

fn chunk(docket: &Docket<'_>, demands: Vec<OpenDemand>) -> Option<Chunk> {
    let model = demands.first()?.model;
    let rates = rates(docket, model)?;
    let prove_ms = rates.prove_ms(proof_of(model), demands.len());
    let takes = prove_ms.saturating_add(docket.inclusion_ms);
    Some(Chunk {
        model,
        gas: rates.answer_gas(&docket.gas, demands.len()),
        prove_ms: i64::try_from(prove_ms).unwrap_or(i64::MAX / 8),
        takes_ms: i64::try_from(takes).unwrap_or(i64::MAX / 8),
        demands,
    })
}

/// The base fee to sign for, at least the present one: what the deposits pay, or, when it is pressing, all that is lost
/// otherwise. `None` when that is below the present base fee.
fn bid(docket: &Docket<'_>, chunk: &Chunk, is_pressing: bool) -> Option<Amount> {
    let deposits = chunk
        .demands
        .iter()
        .fold(0u128, |sum, demand| sum.saturating_add(demand.deposit.0));
    let gas = u128::from(chunk.gas.max(1));
    let most = if is_pressing {
        let worth = deposits.saturating_add(docket.stake.0).saturating_add(
            chunk.demands.iter().fold(0, |sum, demand| {
                sum.saturating_add(priced(docket, demand).unwrap_or(0))
            }),
        );
        let is_unpriced = |demand: &OpenDemand| priced(docket, demand).is_none();
        let unpriced = chunk.demands.iter().any(is_unpriced);
        let floor = unpriced.then(|| urgent_bid(docket.policy, docket.base_fee));
        Amount(worth / gas).max(floor.unwrap_or_default())
    } else {
        Amount(deposits / gas)
    };
    (most >= docket.base_fee).then_some(most)
}

/// What fee and warranty of a demanded receipt are worth in OPG; `None` when nobody knows, and they are something.
fn priced(docket: &Docket<'_>, demand: &OpenDemand) -> Option<u128> {
    let both = demand.fee.0.saturating_add(demand.warranty.0);
    match docket.policy.prices.get(&demand.asset) {
        Some(price) => Some(price.opg(both)),
        None => (both == 0).then_some(0),
    }
}

fn due_ms(docket: &Docket<'_>, chunk: &Chunk) -> i64 {
    let due = chunk.demands.first().map_or(docket.now, |first| first.due);
    ms(due.0.saturating_sub(docket.now.0), docket.tick_ms)
}

fn ms(ticks: u64, tick_ms: u64) -> i64 {
    i64::try_from(ticks.saturating_mul(tick_ms))
        .unwrap_or(i64::MAX / 4)
        .min(i64::MAX / 4)
}
