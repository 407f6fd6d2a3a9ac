//! Which receipts are worth the gas that they take.

use super::schedule::Family;
use super::{Situation, Waiting};

/// The value of a receipt that is settled at any price. Thousands of them add up without an overflow.
pub(super) const PRICELESS: u128 = 1 << 110;

/// What settling a receipt saves, in OPG: its fee and its warranty. An asset without a price is worth any gas as long
/// as a warranty is at stake, else as much as the operator's maximum base fee.
pub(super) fn value(situation: &Situation<'_>, receipt: &Waiting) -> u128 {
    let policy = situation.policy;
    match policy.prices.get(&receipt.asset) {
        Some(price) => {
            let both = receipt.fee.0.saturating_add(receipt.warranty.0);
            price.opg(both).min(PRICELESS)
        }
        None if receipt.warranty.0 > 0 || situation.market.base_fee <= policy.max_base_fee => PRICELESS,
        None => 0,
    }
}

/// Whether a receipt could ever be part of a batch that is worth its gas: it is worth what itself adds to one.
pub(super) fn may_pay(situation: &Situation<'_>, receipt: &Waiting) -> bool {
    let Some(rates) = situation.rates.get(&receipt.kind) else {
        return false;
    };
    let own = u128::from(rates.item_gas(&situation.gas)).saturating_mul(situation.market.base_fee.0);
    value(situation, receipt) >= own
}

/// Of the first `count` receipts of a family, those that together save the most beyond what they burn, by deadline.
/// `None` when every choice burns more than it saves.
///
/// The gas of a batch depends on its size alone, so for each size the receipts of the highest value are the best, and
/// the best of all sizes is the best choice there is. Of equals, the larger one.
pub(super) fn best<'a>(
    situation: &Situation<'_>,
    family: &Family<'a>,
    count: usize,
) -> Option<Vec<&'a Waiting>> {
    let first = family.members.get(..count.min(family.members.len()))?;
    let mut by_value: Vec<(u128, usize)> = first
        .iter()
        .enumerate()
        .map(|(index, receipt)| (value(situation, receipt), index))
        .collect();
    by_value.sort_by_key(|(value, index)| (u128::MAX - value, *index));
    let mut sum = 0u128;
    let mut best: Option<(u128, usize)> = None;
    for (index, (value, _)) in by_value.iter().enumerate() {
        sum = sum.saturating_add(*value);
        let size = index + 1;
        let gas = family.rates.transaction_gas(&situation.gas, size);
        let burned = u128::from(gas).saturating_mul(situation.market.base_fee.0);
        if let Some(saved) = sum.checked_sub(burned)
            && best.is_none_or(|(most, _)| saved >= most)
        {
            best = Some((saved, size));
        }
    }
    let (_, size) = best?;
    let mut chosen: Vec<usize> = by_value.iter().take(size).map(|(_, index)| *index).collect();
    chosen.sort_unstable();
    Some(chosen.into_iter().map(|index| first[index]).collect())
}
