//! Ranges that a voucher covers, settled at once: two signatures are charged for each range instead of two for each
//! receipt.

use std::collections::BTreeMap;

use haca_wire::state::Clock;
use haca_wire::{Coverage, Encode as _, Message, Sequence, SignedTransaction, Tick, limit};

use super::Settler;
use super::payer::sign;
use crate::ExecError;
use crate::entry::{Entry, Pending, Place};
use crate::log;
use crate::planner;

/// Receipts that one transaction settles: the entry of each is read and written twice, and all are in memory, without
/// what they were answered with.
const RECEIPTS: usize = 4 * limit::RANGE as usize;

/// One voucher whose receipts all wait.
struct Ready {
    coverage: Coverage,
    receipts: Vec<Pending>,
}

/// The first place of a voucher's range.
fn first(coverage: &Coverage) -> Place {
    let voucher = &coverage.voucher.value;
    Place {
        channel: voucher.channel,
        sequence: voucher.first,
    }
}

/// Whether a transaction settles vouchers of which one can't settle at this tick any more: all fail with it.
pub(super) fn is_late(tx: &SignedTransaction, tick: Tick) -> bool {
    vouchers(tx).iter().any(|one| one.voucher.value.settle_by < tick)
}

/// The vouchers that a transaction settles.
pub(super) fn vouchers(tx: &SignedTransaction) -> &[Coverage] {
    match &tx.transaction.message {
        Message::SettleVouchers { coverages } => coverages,
        _ => &[],
    }
}

/// The places of a voucher's range.
fn places(coverage: &Coverage) -> impl Iterator<Item = Place> {
    let voucher = &coverage.voucher.value;
    let (channel, first) = (voucher.channel, voucher.first.0);
    (0..u64::from(voucher.count)).map(move |offset| Place {
        channel,
        sequence: Sequence(first.saturating_add(offset)),
    })
}

impl Settler<'_> {
    /// Settles what vouchers cover, as many of them as one transaction takes. `true` when it did. Vouchers that can't be
    /// used any more are forgotten: their receipts settle one by one.
    pub(super) fn settle_covered(&mut self, clock: &Clock, pending: &[Pending]) -> Result<bool, ExecError> {
        if pending.is_empty() {
            return Ok(false);
        }
        let ready = self.ready(clock)?;
        let prices = self.service.gas_prices();
        let (mut coverages, mut receipts, mut bytes) = (Vec::new(), Vec::new(), 0usize);
        let mut most = None;
        for one in ready {
            let more = bytes.saturating_add(one.coverage.encode().len());
            let gas = prices.vouchers(coverages.len() + 1, more);
            let is_full = coverages.len() >= limit::COVERAGES
                || receipts.len() + one.receipts.len() > RECEIPTS
                || gas > prices.tx_gas;
            if is_full && !coverages.is_empty() {
                break;
            }
            let together: Vec<Pending> = receipts.iter().chain(&one.receipts).copied().collect();
            let bid = self.consult(clock, &together, |situation| planner::bid_for(situation, gas));
            // What is not worth its gas now is looked at again, or settles as receipts do.
            let Some(bid) = bid else { continue };
            most = Some(bid);
            (receipts, bytes) = (together, more);
            coverages.push(one.coverage);
        }
        let Some(most) = most.filter(|_| self.held.is_empty()) else {
            return Ok(false);
        };
        let read = receipts.iter().map(|receipt| self.service.journal.entry(receipt));
        let entries = read.collect::<Result<Vec<Entry>, _>>()?;
        let (ranges, count) = (coverages.len(), entries.len());
        let tx = sign(self.service, Message::SettleVouchers { coverages }, most)?;
        let hash = tx.hash();
        log::event(
            "settling",
            format_args!("tx={hash} receipts={count} vouchers={ranges} max_base_fee={most}"),
        );
        self.send(&tx, entries, None)?;
        Ok(true)
    }

    /// The vouchers whose receipts all wait; those that have one which does not are forgotten, unless it is on its way, and
    /// so are those that could be late: one late voucher fails a transaction with the vouchers of other payers.
    fn ready(&self, clock: &Clock) -> Result<Vec<Ready>, ExecError> {
        let journal = &self.service.journal;
        let coverages = journal.coverages()?;
        if coverages.is_empty() {
            return Ok(Vec::new());
        }
        // After the vouchers: whatever they cover is in the journal by now.
        let pending = journal.pending()?;
        let latest = Tick(
            clock
                .tick
                .0
                .saturating_add(self.service.config.policy.safety_ticks),
        );
        let of_place: BTreeMap<Place, &Pending> = pending.iter().map(|one| (one.place, one)).collect();
        let mut ready = Vec::new();
        for coverage in coverages {
            let found: Vec<Option<&Pending>> = places(&coverage)
                .map(|place| of_place.get(&place).copied())
                .collect();
            let is_sent = found.iter().flatten().any(|one| one.tx.is_some());
            let is_late = coverage.voucher.value.settle_by < latest && !is_sent;
            let is_moot = is_late
                || found.iter().any(|one| {
                    one.is_none_or(|one| self.suspects.contains_key(&one.place) && one.tx.is_none())
                });
            let receipts: Vec<Pending> = found.into_iter().flatten().copied().collect();
            if is_moot {
                journal.uncover(first(&coverage))?;
            } else if receipts.iter().all(|one| one.tx.is_none()) {
                ready.push(Ready { coverage, receipts });
            }
        }
        Ok(ready)
    }

    /// Forgets vouchers that settled nothing: their receipts settle as others do.
    pub(super) fn forget_vouchers(&self, coverages: &[Coverage]) -> Result<(), ExecError> {
        let journal = &self.service.journal;
        for coverage in coverages {
            // One that has replaced it meanwhile may be better.
            if journal.coverage(first(coverage))?.as_ref() == Some(coverage) {
                journal.uncover(first(coverage))?;
            }
        }
        Ok(())
    }
}
