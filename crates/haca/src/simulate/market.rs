//! What OPG costs: the one price that comes from outside the ledger.

use super::random::Random;
use super::scenario::Conditions;

/// Dollars for an OPG on the first day.
const FIRST_USD: f64 = 0.1;
/// How fast a deviation from the level fades, per block.
const REVERSION: f64 = 0.02;
/// Random deviation of a block.
const VOLATILITY: f64 = 0.012;
/// Weight of a block in the mean of fees: ninety days.
const FEE_WEIGHT: f64 = 1.0 / 360.0;

/// The price of OPG moves at random around a level. The level grows with the square root of the fees that the network
/// has earned in the last ninety days, and inversely with the OPG that are for sale: what is bought and burned makes the
/// rest dearer.
pub(super) struct Market {
    deviation: f64,
    fees: f64,
    first_fees: f64,
    /// Dollars for an OPG.
    pub(super) opg_usd: f64,
}

impl Market {
    pub(super) fn new() -> Self {
        Self {
            deviation: 0.0,
            fees: 0.0,
            first_fees: 0.0,
            opg_usd: FIRST_USD,
        }
    }

    /// Fees of the blocks that the later ones are compared with.
    pub(super) fn set_reference(&mut self, fees: f64) {
        (self.fees, self.first_fees) = (fees, fees);
    }

    /// One block later. `fees` are those of the last block in dollars, `left` the share of the OPG for sale that is not
    /// sold.
    pub(super) fn step(&mut self, conditions: &Conditions, random: &mut Random, fees: f64, left: f64) {
        self.fees += FEE_WEIGHT * (fees - self.fees);
        self.deviation += VOLATILITY * random.normal() - REVERSION * self.deviation;
        let growth = if self.first_fees > 0.0 {
            (self.fees / self.first_fees).sqrt()
        } else {
            1.0
        };
        self.opg_usd = FIRST_USD * conditions.opg_level * growth / left.max(1e-6) * self.deviation.exp();
    }
}
