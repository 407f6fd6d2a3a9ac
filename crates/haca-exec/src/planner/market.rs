//! What gas costs in OPG, now and lately, and what the operator will pay.

use std::collections::BTreeMap;

use haca_wire::{Amount, AssetId};

use super::schedule::{Family, due_ms};
use super::selection::{PRICELESS, value};
use super::{Cause, Reason, Situation, Waiting};

/// Observed base fees from which a spike can be told.
const SPIKE_SAMPLES: usize = 8;
/// A base fee above this many times the median of those observed is a spike.
const SPIKE_FACTOR: u128 = 2;
/// What is bid when it is urgent, in present base fees: about eleven full blocks of increases.
const URGENT_FACTOR: u128 = 4;

/// The base fee and its recent course.
#[derive(Clone, Copy, Debug)]
pub struct Market<'a> {
    /// OPG per gas in the next block.
    pub base_fee: Amount,
    /// Those of blocks before, in any order.
    pub recent: &'a [Amount],
}

impl Market<'_> {
    fn lowest(&self) -> Amount {
        let recent = self.recent.iter().copied().min();
        recent.map_or(self.base_fee, |lowest| lowest.min(self.base_fee))
    }

    fn is_spike(&self) -> bool {
        if self.recent.len() < SPIKE_SAMPLES {
            return false;
        }
        let mut sorted = self.recent.to_vec();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
        self.base_fee.0 > median.0.saturating_mul(SPIKE_FACTOR)
    }
}

/// What an asset is worth: `opg` units of OPG for `units` units of the asset, each the smallest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// OPG units.
    pub opg: u128,
    /// Units of the asset, above 0.
    pub units: u128,
}

impl Price {
    /// The worth of an amount, rounded down.
    pub fn opg(&self, amount: u128) -> u128 {
        let units = self.units.max(1);
        // Whole and rest apart, so that no amount overflows.
        let whole = (amount / units).saturating_mul(self.opg);
        whole.saturating_add((amount % units).saturating_mul(self.opg) / units)
    }
}

/// A decimal number, as an operator writes a price: at most 30 digits, at most 18 of them behind the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    digits: u128,
    places: u32,
}

impl core::str::FromStr for Decimal {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits = [whole, part].concat();
        let is_plain = !whole.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_plain || digits.len() > 30 || part.len() > 18 || text.ends_with('.') {
            return Err(());
        }
        Ok(Self {
            digits: digits.parse().map_err(|_| ())?,
            places: part.len() as u32,
        })
    }
}

impl Price {
    /// The price of an asset of which one whole unit is worth `decimal` whole OPG. `None` beyond 18 decimals.
    pub fn of_whole(decimal: Decimal, decimals: u8, opg_decimals: u8) -> Option<Self> {
        if decimals > 18 || opg_decimals > 18 {
            return None;
        }
        // Below 10^30 x 10^18 and 10^36: both fit, the first with saturation at worst.
        Some(Self {
            opg: decimal.digits.saturating_mul(10u128.pow(opg_decimals.into())),
            units: 10u128.pow(decimal.places + u32::from(decimals)),
        })
    }
}

/// The operator's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// OPG per gas above which settlements are put off to the latest safe time.
    pub max_base_fee: Amount,
    /// The profit that fees are to leave beyond gas before the latest safe time, in parts per 10,000 of the gas.
    pub margin_bp: u32,
    /// How long a receipt may wait for others to share a batch with.
    pub batch_wait_ms: u64,
    /// Ticks that are kept free between a settlement and its deadline.
    pub safety_ticks: u64,
    /// What assets are worth. Fees in any other asset pay any gas up to the maximum base fee.
    pub prices: BTreeMap<AssetId, Price>,
}

impl Default for Policy {
    /// Settles at once what the base fee allows.
    fn default() -> Self {
        Self {
            max_base_fee: Amount(1_000_000),
            margin_bp: 0,
            batch_wait_ms: 0,
            safety_ticks: 3,
            prices: BTreeMap::new(),
        }
    }
}

impl Policy {
    fn with_margin(&self, burned: u128) -> u128 {
        let factor = 10_000u128.saturating_add(self.margin_bp.into());
        burned.saturating_mul(factor).div_ceil(10_000)
    }

    /// What fees alone are worth.
    fn fees(&self, receipts: &[&Waiting]) -> u128 {
        receipts.iter().fold(0u128, |sum, receipt| {
            let price = self.prices.get(&receipt.asset);
            sum.saturating_add(price.map_or(PRICELESS, |price| price.opg(receipt.fee.0)))
        })
    }
}

/// Whether a batch is settled before it has to be, or what it waits for.
pub(super) fn readiness(
    situation: &Situation<'_>,
    family: &Family<'_>,
    members: &[&Waiting],
    gas: u64,
) -> Result<Cause, Reason> {
    let (policy, market) = (situation.policy, situation.market);
    let has_room = family.has_room(members.len());
    let waited = members.iter().map(|receipt| receipt.waited_ms).max().unwrap_or(0);
    if market.base_fee > policy.max_base_fee || market.is_spike() {
        return Err(Reason::LowerBaseFee);
    }
    if has_room && waited < policy.batch_wait_ms {
        return Err(Reason::LargerBatch);
    }
    let pays = |fees: u128, gas: u64, base_fee: Amount| {
        fees >= policy.with_margin(u128::from(gas).saturating_mul(base_fee.0))
    };
    let fees = policy.fees(members);
    if pays(fees, gas, market.base_fee) {
        return Ok(Cause::Profitable);
    }
    // What a full batch of such receipts would earn, and at the best base fee there was lately.
    let largest = family.largest();
    let full_gas = family.rates.transaction_gas(&situation.gas, largest);
    let full_fees = fees.saturating_mul(largest as u128) / (members.len().max(1) as u128);
    if has_room && pays(full_fees, full_gas, market.base_fee) {
        return Err(Reason::LargerBatch);
    }
    let lowest = market.lowest();
    if lowest < market.base_fee
        && (pays(fees, gas, lowest) || (has_room && pays(full_fees, full_gas, lowest)))
    {
        return Err(Reason::LowerBaseFee);
    }
    Ok(Cause::NothingToGain)
}

/// The most that is bid for what has to be in a block soon, and whose worth nobody knows.
pub(super) fn urgent_bid(policy: &Policy, base_fee: Amount) -> Amount {
    Amount(base_fee.0.saturating_mul(URGENT_FACTOR)).max(policy.max_base_fee)
}

/// The base fee to sign for: never more than the receipts are worth, and beyond the operator's maximum only when it is
/// urgent.
pub(super) fn bid(situation: &Situation<'_>, receipts: &[&Waiting], gas: u64, cause: Cause) -> Amount {
    let market = situation.market;
    let worth = receipts.iter().fold(0u128, |sum, receipt| {
        sum.saturating_add(value(situation, receipt))
    });
    let break_even = worth / u128::from(gas.max(1));
    let most = if cause == Cause::Urgent {
        urgent_bid(situation.policy, market.base_fee).0
    } else {
        situation.policy.max_base_fee.0
    };
    Amount(break_even.min(most))
}

/// The base fee to sign a transaction over all of `situation.queue` for that takes `gas`; `None` when that is below the
/// present one.
pub fn bid_for(situation: &Situation<'_>, gas: u64) -> Option<Amount> {
    let receipts: Vec<&Waiting> = situation.queue.iter().collect();
    let due = receipts.iter().map(|receipt| due_ms(situation, receipt)).min();
    let latest = due?.saturating_sub_unsigned(situation.inclusion_ms);
    let cause = if latest < i64::try_from(situation.tick_ms).unwrap_or(i64::MAX) {
        Cause::Urgent
    } else {
        Cause::Profitable
    };
    let most = bid(situation, &receipts, gas, cause);
    (most >= situation.market.base_fee).then_some(most)
}

/// What to do with a transaction that waits since the base fee is above what it was signed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reprice {
    /// Wait on.
    Keep,
    /// Sign it anew, with the same nonce, for this base fee.
    Raise(Amount),
}

/// Decides on a transaction over `situation.queue` that takes `gas` and was signed for `signed`.
pub fn reprice(situation: &Situation<'_>, gas: u64, signed: Amount) -> Reprice {
    let receipts: Vec<&Waiting> = situation.queue.iter().collect();
    let due = receipts.iter().map(|receipt| due_ms(situation, receipt)).min();
    let latest = due
        .unwrap_or(i64::MAX)
        .saturating_sub_unsigned(situation.inclusion_ms);
    let is_urgent = latest < i64::try_from(situation.tick_ms).unwrap_or(i64::MAX);
    if !is_urgent || signed >= situation.market.base_fee {
        return Reprice::Keep;
    }
    let raised = bid(situation, &receipts, gas, Cause::Urgent);
    if raised >= situation.market.base_fee {
        Reprice::Raise(raised)
    } else {
        Reprice::Keep
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_written_for_whole_units() {
        let price = Price::of_whole("0.25".parse().unwrap(), 6, 9).unwrap();
        assert_eq!(price.opg(1_000_000), 250_000_000);
        assert_eq!(price.opg(2_000), 500_000);
        assert_eq!(
            price.opg(u128::MAX),
            u128::MAX,
            "more than there is is as much as there is"
        );
        assert_eq!(Price::of_whole("3".parse().unwrap(), 0, 0).unwrap().opg(7), 21);
        assert_eq!(Price::of_whole("1".parse().unwrap(), 19, 9), None);
    }

    #[test]
    fn what_is_no_decimal_number_is_no_price() {
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "1e3",
            "1,5",
            "0x1",
            "1.2.3",
            "0.0000000000000000001",
        ] {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
    }
}
