//! After serving: what receipts earned and cost, by model, for the present month and altogether.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use haca_exec::{HeldFee, Month, Totals};
use haca_wire::state::{ClaimRecord, key};
use haca_wire::{AssetId, EvidenceKind, ModelId};
use serde_json::{Value, json};

use super::{Facts, table};
use crate::failure::Failure;
use crate::screen::{Ink, Screen};
use crate::session::client;

/// One model, evidence and asset.
pub(super) struct Line {
    model: String,
    evidence: &'static str,
    asset: AssetId,
    open: u64,
    /// Receipts whose fee waits while a proof can be demanded, and those fees.
    held: u64,
    held_fees: u128,
    month: Sums,
    all: Sums,
}

/// Totals, and what they come to in OPG.
struct Sums {
    totals: Totals,
    profit: Option<i128>,
}

type LineKey = (ModelId, EvidenceKind, AssetId);

/// A line for each model, evidence and asset that the node has answered with.
pub(super) fn of(facts: &Facts) -> Result<Vec<Line>, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let present = Month::of_unix_ms(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    let mut lines: BTreeMap<LineKey, (Totals, Totals)> = BTreeMap::new();
    for row in &facts.snapshot.totals {
        let (month, all) = lines
            .entry((row.key.model, row.key.evidence, row.key.asset))
            .or_default();
        all.add(&row.totals);
        if row.key.month == present {
            month.add(&row.totals);
        }
    }
    // Claims that the node has not booked yet: it does so when the window of a missed receipt ends.
    for one in &facts.snapshot.missed {
        let place = key::claim(one.missed.place.channel, one.missed.place.sequence);
        if let Some(claim) = facts.node.record::<ClaimRecord>(&place).map_err(client)? {
            let claimed = Totals {
                claimed: 1,
                warranties: claim.paid,
                ..Totals::default()
            };
            let (month, all) = lines.entry((one.model, one.evidence, one.asset)).or_default();
            month.add(&claimed);
            all.add(&claimed);
        }
    }
    let made = lines.into_iter().map(|((model, evidence, asset), (month, all))| {
        let waits = facts.snapshot.open.iter();
        let open = waits.filter(|one| (one.model, one.evidence, one.asset) == (model, evidence, asset));
        // Fees wait for one kind of evidence alone.
        let is_held =
            |fee: &&HeldFee| evidence == EvidenceKind::Optimistic && (fee.model, fee.asset) == (model, asset);
        let held: Vec<&HeldFee> = facts.snapshot.held.iter().filter(is_held).collect();
        Line {
            model: facts.model(model),
            evidence: evidence.name(),
            asset,
            open: open.count() as u64,
            held: held.iter().map(|fee| u64::from(fee.count)).sum(),
            held_fees: held.iter().fold(0, |sum, fee| sum.saturating_add(fee.fee.0)),
            month: Sums::of(facts, asset, month),
            all: Sums::of(facts, asset, all),
        }
    });
    Ok(made.collect())
}

impl Sums {
    fn of(facts: &Facts, asset: AssetId, totals: Totals) -> Self {
        let own = totals
            .burned
            .0
            .saturating_sub(totals.sponsored.0)
            .saturating_add(totals.tips.0);
        let own = i128::try_from(own).unwrap_or(i128::MAX);
        let earned = facts
            .opg(asset, totals.fees.0)
            .zip(facts.opg(asset, totals.warranties.0));
        let deposits = i128::try_from(totals.deposits.0).unwrap_or(i128::MAX);
        let profit = earned.map(|(fees, lost)| {
            let kept = fees.saturating_sub(lost).saturating_sub(own);
            kept.saturating_add(deposits)
        });
        Self { totals, profit }
    }

    /// Receipts in one group, in tenths.
    fn batch_tenths(&self) -> Option<u64> {
        self.totals
            .settled
            .saturating_mul(10)
            .checked_div(self.totals.groups)
    }

    fn json(&self) -> Value {
        let totals = &self.totals;
        json!({
            "answered": totals.answered,
            "settled": totals.settled,
            "missed": totals.missed,
            "claimed": totals.claimed,
            "void": totals.void,
            "demands_answered": totals.proven,
            "forfeited": totals.forfeited,
            "deposits": totals.deposits.to_string(),
            "fees": totals.fees.to_string(),
            "warranties_lost": totals.warranties.to_string(),
            "burned": totals.burned.to_string(),
            "burned_in_vain": totals.burned_in_vain.to_string(),
            "sponsored": totals.sponsored.to_string(),
            "tips": totals.tips.to_string(),
            "average_batch": self.batch_tenths().map(|tenths| tenths as f64 / 10.0),
            "gas_per_inference": totals.gas.checked_div(totals.settled),
            "prove_ms_per_inference": totals.prove_ms.checked_div(totals.settled),
            "settlement_ms_p50": totals.delays.quantile_ms(50),
            "settlement_ms_p99": totals.delays.quantile_ms(99),
            "profit": self.profit.map(|profit| profit.to_string()),
        })
    }
}

impl Line {
    pub(super) fn json(&self) -> Value {
        json!({
            "model": self.model,
            "evidence": self.evidence,
            "asset": self.asset.0,
            "open": self.open,
            "held": self.held,
            "held_fees": self.held_fees.to_string(),
            "month": self.month.json(),
            "all": self.all.json(),
        })
    }
}

pub(super) fn show(facts: &Facts, lines: &[Line], screen: &Screen) {
    if lines.is_empty() {
        screen.say("  no receipts yet");
        return;
    }
    let dash = || "-".to_owned();
    let opg = |amount: u128| facts.amount(AssetId::OPG, i128::try_from(amount).unwrap_or(i128::MAX));
    let (mut counts, mut money) = (Vec::new(), Vec::new());
    for line in lines {
        for (period, sums) in [("month", &line.month), ("all", &line.all)] {
            let totals = &sums.totals;
            let name = || vec![line.model.clone(), format!("{} {period}", line.evidence)];
            let batch = sums.batch_tenths();
            let delay = |quantile| totals.delays.quantile_ms(quantile).map_or_else(dash, seconds);
            let mut row = name();
            row.extend([
                totals.answered.to_string(),
                totals.settled.to_string(),
                if period == "all" {
                    line.open.to_string()
                } else {
                    dash()
                },
                totals.missed.to_string(),
                totals.void.to_string(),
                batch.map_or_else(dash, |tenths| format!("{}.{}", tenths / 10, tenths % 10)),
                totals
                    .gas
                    .checked_div(totals.settled)
                    .map_or_else(dash, |gas| gas.to_string()),
                delay(50),
                delay(99),
            ]);
            counts.push(row);
            let fee = |amount: u128| facts.amount(line.asset, i128::try_from(amount).unwrap_or(i128::MAX));
            let mut row = name();
            row.extend([
                fee(totals.fees.0),
                opg(totals.burned.0),
                opg(totals.sponsored.0),
                opg(totals.tips.0),
                fee(totals.warranties.0),
                sums.profit
                    .map_or_else(dash, |profit| facts.amount(AssetId::OPG, profit)),
            ]);
            money.push(row);
        }
    }
    let head = [
        "model", "receipts", "answered", "settled", "open", "missed", "void", "batch", "gas each", "p50",
        "p99",
    ];
    table(screen, &head, &counts);
    screen.say("");
    let head = [
        "model",
        "money",
        "fees",
        "burned",
        "by sponsor",
        "tips",
        "warranties lost",
        "profit",
    ];
    table(screen, &head, &money);
    for line in lines.iter().filter(|line| line.held > 0) {
        let fees = facts.amount(line.asset, i128::try_from(line.held_fees).unwrap_or(i128::MAX));
        let receipts = line.held;
        screen.say(format!(
            "  {}: {fees} of {receipts} receipts wait while proofs can be demanded",
            line.model
        ));
    }
    let forfeited: u64 = lines.iter().map(|line| line.all.totals.forfeited).sum();
    if forfeited > 0 {
        screen.say(screen.ink(
            Ink::Red,
            format!("  {forfeited} demands were not answered: the stake is burned"),
        ));
    }
    let lost: u64 = lines.iter().map(|line| line.month.totals.claimed).sum();
    if lost > 0 {
        screen.say(screen.ink(Ink::Red, format!("  {lost} warranties were claimed this month")));
    }
}

fn seconds(ms: u64) -> String {
    if ms < 1_000 {
        return format!("{ms} ms");
    }
    format!("{}.{} s", ms / 1_000, ms % 1_000 / 100)
}
