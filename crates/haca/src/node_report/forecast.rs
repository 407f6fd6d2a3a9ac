//! Before serving: what an inference costs by the size of its batch, and what a day brings.

use haca_exec::planner::{Kind, Rates};
use haca_wire::{AssetId, EvidenceKind, Offer};
use serde_json::{Value, json};

use super::{Facts, table};
use crate::screen::Screen;

/// One model, evidence and batch size.
pub(super) struct Line {
    model: String,
    evidence: &'static str,
    asset: AssetId,
    fee: u128,
    batch: usize,
    /// Gas and OPG of one inference.
    gas: u64,
    burned: u128,
    /// Proving time of one inference; `None` before the first measurement.
    prove_ms: Option<u64>,
    /// The fee at which it neither earns nor loses; `None` without a price of the asset.
    break_even: Option<u128>,
    /// OPG a day.
    profit: Option<i128>,
    /// Most inferences a day that the prover makes.
    capacity: Option<u64>,
}

/// A line for the smallest, a middle and the largest batch of each offer.
pub(super) fn of(facts: &Facts) -> Vec<Line> {
    let offers = &facts.snapshot.terms.offers;
    offers.iter().flat_map(|offer| of_offer(facts, offer)).collect()
}

fn of_offer(facts: &Facts, offer: &Offer) -> Vec<Line> {
    let most = usize::try_from(facts.snapshot.terms.max_batch).unwrap_or(usize::MAX);
    let known = facts
        .snapshot
        .models
        .iter()
        .find(|known| known.model == offer.model);
    let rates = match (offer.evidence, known) {
        (EvidenceKind::Zk, Some(known)) => known.rates(),
        (EvidenceKind::Zk, None) => return Vec::new(),
        (evidence, _) => Rates::unproven(&facts.gas, most, evidence),
    };
    let mut sizes = vec![1, rates.max_batch / 4, rates.max_batch];
    sizes.retain(|size| *size > 0);
    sizes.dedup();
    sizes
        .into_iter()
        .map(|batch| line(facts, offer, &rates, batch))
        .collect()
}

fn line(facts: &Facts, offer: &Offer, rates: &Rates, batch: usize) -> Line {
    let kind = Kind {
        model: offer.model,
        evidence: offer.evidence,
    };
    let gas = rates.transaction_gas(&facts.gas, batch).div_ceil(batch as u64);
    let burned = u128::from(gas).saturating_mul(facts.base_fee);
    let own = if facts.snapshot.terms.is_sponsored {
        0
    } else {
        burned
    };
    let price = facts.prices.get(&offer.asset);
    // Rounded up: one unit less would lose.
    let break_even = price
        .filter(|price| price.opg > 0)
        .map(|price| own.saturating_mul(price.units).div_ceil(price.opg));
    let each = facts
        .opg(offer.asset, offer.base_price.0)
        .map(|fee| fee.saturating_sub(i128::try_from(own).unwrap_or(i128::MAX)));
    let is_proven = offer.evidence == EvidenceKind::Zk;
    let whole_ms = rates
        .prove_times
        .estimate_ms(batch)
        .map(|_| rates.prove_ms(kind, batch));
    let whole_ms = whole_ms.filter(|_| is_proven);
    Line {
        model: facts.model(offer.model),
        evidence: offer.evidence.name(),
        asset: offer.asset,
        fee: offer.base_price.0,
        batch,
        gas,
        burned,
        prove_ms: whole_ms.map(|ms| ms.div_ceil(batch as u64)),
        break_even,
        profit: each.map(|each| each.saturating_mul(facts.per_day.into())),
        capacity: whole_ms.map(|ms| (86_400_000u64).saturating_mul(batch as u64) / ms.max(1)),
    }
}

impl Line {
    pub(super) fn json(&self) -> Value {
        json!({
            "model": self.model,
            "evidence": self.evidence,
            "asset": self.asset.0,
            "fee": self.fee.to_string(),
            "batch": self.batch,
            "gas_per_inference": self.gas,
            "burned_per_inference": self.burned.to_string(),
            "prove_ms_per_inference": self.prove_ms,
            "break_even_fee": self.break_even.map(|fee| fee.to_string()),
            "profit_per_day": self.profit.map(|profit| profit.to_string()),
            "capacity_per_day": self.capacity,
        })
    }
}

pub(super) fn show(facts: &Facts, lines: &[Line], screen: &Screen) {
    if lines.is_empty() {
        screen.say("  nothing is offered: the node has not served yet");
        return;
    }
    let dash = || "-".to_owned();
    let rows: Vec<Vec<String>> = lines
        .iter()
        .map(|line| {
            let burned = i128::try_from(line.burned).unwrap_or(i128::MAX);
            let fee = |fee: u128| facts.amount(line.asset, i128::try_from(fee).unwrap_or(i128::MAX));
            vec![
                line.model.clone(),
                line.evidence.to_owned(),
                line.batch.to_string(),
                fee(line.fee),
                line.break_even.map_or_else(dash, fee),
                line.gas.to_string(),
                facts.amount(AssetId::OPG, burned),
                line.prove_ms.map_or_else(dash, |ms| format!("{ms} ms")),
                line.capacity.map_or_else(dash, |count| count.to_string()),
                line.profit
                    .map_or_else(dash, |profit| facts.amount(AssetId::OPG, profit)),
            ]
        })
        .collect();
    let head = [
        "model",
        "evidence",
        "batch",
        "fee",
        "break-even",
        "gas each",
        "burned each",
        "proof each",
        "most a day",
        "profit a day",
    ];
    table(screen, &head, &rows);
}
