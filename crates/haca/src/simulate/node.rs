//! An inference node: what it charges, what it answers, and when it settles.

use haca_wire::state::Params;
use haca_wire::{AssetId, Height, Item, SecretKey, Tick};

use super::chain::{BATCH, OPG_UNITS, answer_gas, cover_gas, settlement_gas};

/// Dollars that computing an answer costs.
pub(super) const COMPUTE_USD: f64 = 0.0008;
/// Dollars that a proof costs, and each inference in it.
const PROOF_USD: (f64, f64) = (0.0004, 0.0002);
/// What a node adds to its costs.
const MARGIN: f64 = 1.25;
/// Most answers of a node that wait for settlement by proofs, and by vouchers.
const QUEUE: usize = 32;
const COVERED_QUEUE: usize = 256;
/// Receipts that a node expects a voucher to cover, and vouchers that it settles at a time: one for each kind of user.
const USUAL_RANGE: usize = 8;
const USUAL_VOUCHERS: usize = 3;
/// Ticks before the deadline from which a node waits for nothing.
pub(super) const URGENT_TICKS: u64 = 6;
/// A base fee this much above the usual one is waited out while it falls.
const DEAR: f64 = 1.3;
/// What a sponsor adds to the price of OPG.
pub(super) const SPONSOR_MARKUP: f64 = 1.05;

/// Whether a node takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not yet there.
    Waiting,
    /// Answers and settles.
    Serving,
    /// Left with everything it owed.
    Gone,
}

/// An answer that is not settled.
pub(super) struct Answer {
    pub(super) item: Item,
    /// Its channel's position.
    pub(super) channel: usize,
    pub(super) asset: AssetId,
    /// In units of the asset.
    pub(super) fee: u128,
    pub(super) warranty: u128,
    pub(super) made: Height,
    pub(super) settle_by: Tick,
}

/// What a node sees when it plans.
pub(super) struct Outlook {
    pub(super) params: Params,
    pub(super) tick: Tick,
    pub(super) height: Height,
    pub(super) base_fee: u128,
    /// The base fee of the last block.
    pub(super) last_base_fee: u128,
    /// The mean of the last days.
    pub(super) usual_base_fee: f64,
    pub(super) opg_usd: f64,
    /// Dollars for the smallest unit, by asset.
    pub(super) unit_usd: [f64; 3],
}

impl Outlook {
    /// What an amount is worth, in dollars.
    pub(super) fn usd(&self, asset: AssetId, amount: u128) -> f64 {
        let unit = self.unit_usd.get(asset.0 as usize).copied().unwrap_or_default();
        amount as f64 * unit
    }

    /// What the base fee may be when an answer of now is settled: where it rises, as much again.
    fn coming_base_fee(&self) -> f64 {
        let now = self.base_fee as f64;
        now * (now / self.usual_base_fee).max(1.0)
    }

    /// What burning for `gas` costs, in dollars.
    pub(super) fn gas_usd(&self, gas: u64, base_fee: f64) -> f64 {
        gas as f64 * base_fee / OPG_UNITS * self.opg_usd
    }
}

/// A settlement that a node wants.
pub(super) struct Batch {
    /// Positions in its queue.
    pub(super) positions: Vec<usize>,
    /// OPG units for the proposer.
    pub(super) tip: u128,
}

pub(super) struct Node {
    pub(super) key: SecretKey,
    pub(super) standing: Standing,
    /// Whether a sponsor pays its gas.
    pub(super) sponsored: bool,
    /// Whether it answers only what it holds the OPG to settle.
    pub(super) careful: bool,
    /// Whether its answers are covered by vouchers, and proven on demand.
    pub(super) covered: bool,
    /// Posted price of an inference.
    pub(super) price_usd: f64,
    pub(super) queue: Vec<Answer>,
    /// OPG units spent per block, a moving mean.
    pub(super) spending: f64,
    /// OPG units that the sponsor spent for it since it was paid.
    pub(super) owed: u128,
}

impl Node {
    /// How many blocks an answer may wait for others to share a proof with: longer the dearer gas is, measured by the
    /// price of an inference.
    fn patience(&self, outlook: &Outlook) -> u64 {
        let single = settlement_gas(&outlook.params, 1, self.sponsored);
        let share = outlook.gas_usd(single, outlook.base_fee as f64) / self.price_usd.max(1e-9);
        if share < 0.05 {
            0
        } else if share < 0.2 {
            1
        } else {
            6
        }
    }

    /// Posts a new price: costs at the base fee to come and the batches or ranges it makes then, and a margin. Proofs on
    /// demand are not among the costs: the deposit pays for them.
    pub(super) fn post_price(&mut self, outlook: &Outlook) {
        let (count, gas, proof) = if self.covered {
            (USUAL_RANGE, cover_gas(&outlook.params, 1, self.sponsored), 0.0)
        } else {
            let batch = if self.patience(outlook) > 1 { BATCH } else { 2 };
            let gas = settlement_gas(&outlook.params, batch, self.sponsored);
            (batch, gas, proof_usd(batch))
        };
        let markup = if self.sponsored { SPONSOR_MARKUP } else { 1.0 };
        let gas_usd = outlook.gas_usd(gas, outlook.coming_base_fee()) * markup + proof;
        self.price_usd = MARGIN * (COMPUTE_USD + gas_usd / count as f64);
    }

    /// Whether it answers now, with this much OPG within reach.
    pub(super) fn accepts(&self, outlook: &Outlook, opg: u128) -> bool {
        let (gas, most) = if self.covered {
            let settlement = cover_gas(&outlook.params, USUAL_VOUCHERS, self.sponsored);
            (
                settlement + answer_gas(&outlook.params, 1, self.sponsored),
                COVERED_QUEUE,
            )
        } else {
            let batches = (self.queue.len() / BATCH + 1) as u64;
            (
                batches * settlement_gas(&outlook.params, BATCH, self.sponsored),
                QUEUE,
            )
        };
        let enough = opg >= 2 * u128::from(gas) * outlook.base_fee;
        self.standing == Standing::Serving && self.queue.len() < most && (enough || !self.careful)
    }

    /// The settlements of the next block: whole batches, smaller ones when patience or time runs out; nothing while an
    /// unusual base fee falls, unless it is urgent; never at a loss, counting the warranties that a miss would cost.
    pub(super) fn plan(&self, outlook: &Outlook, mut opg: u128) -> Vec<Batch> {
        let mut batches = Vec::new();
        let falling = outlook.base_fee < outlook.last_base_fee;
        let wait = falling && outlook.base_fee as f64 > DEAR * outlook.usual_base_fee;
        let patience = self.patience(outlook);
        let worth: Vec<usize> = (0..self.queue.len())
            .filter(|position| self.is_worth_it(&[*position], BATCH, outlook))
            .collect();
        for positions in worth.chunks(BATCH) {
            let answers = || positions.iter().filter_map(|position| self.queue.get(*position));
            let urgent =
                answers().any(|answer| answer.settle_by.0 <= outlook.tick.0.saturating_add(URGENT_TICKS));
            let waited = answers()
                .map(|answer| outlook.height.0.saturating_sub(answer.made.0))
                .max();
            let ready = positions.len() == BATCH || waited >= Some(patience);
            if !(urgent || (ready && !wait)) || !self.is_worth_it(positions, positions.len(), outlook) {
                continue;
            }
            let gas = settlement_gas(&outlook.params, positions.len(), self.sponsored) as u128;
            let burn = gas * outlook.base_fee;
            let tip = if urgent { burn / 4 } else { burn / 20 };
            if burn + tip > opg {
                break;
            }
            opg -= burn + tip;
            batches.push(Batch {
                positions: positions.to_vec(),
                tip,
            });
        }
        batches
    }

    /// Whether settling these answers, in batches of `batch`, costs less than what they bring and save.
    fn is_worth_it(&self, positions: &[usize], batch: usize, outlook: &Outlook) -> bool {
        let gas = settlement_gas(&outlook.params, batch, self.sponsored);
        let cost = outlook.gas_usd(gas, outlook.base_fee as f64) * 1.05 / batch as f64;
        let answers = positions.iter().filter_map(|position| self.queue.get(*position));
        let value: f64 = answers
            .map(|answer| outlook.usd(answer.asset, answer.fee + answer.warranty))
            .sum();
        value > cost * positions.len() as f64
    }
}

/// Dollars that a proof of `count` inferences costs.
pub(super) fn proof_usd(count: usize) -> f64 {
    PROOF_USD.0 + PROOF_USD.1 * count as f64
}
