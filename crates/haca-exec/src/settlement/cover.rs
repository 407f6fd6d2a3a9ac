//! Ranges that a voucher covers, settled at once: two signatures are charged for each range instead of two for each
//! receipt.

use std::collections::BTreeMap;

use haca_wire::state::{ChannelState, Clock, SequenceState};
use haca_wire::{Amount, Coverage, Encode as _, Message, Sequence, SignedTransaction, Tick, limit};

use super::Settler;
use super::payer::sign;
use crate::ExecError;
use crate::entry::{Entry, HeldFee, Pending, Place};
use crate::log;
use crate::planner::{self, coverage_signatures, item_signatures};

/// Receipts that one transaction settles: the entry of each is read and written twice, and all are in memory, without
/// what they were answered with.
const RECEIPTS: usize = 4 * limit::RANGE as usize;

/// One voucher whose receipts all wait.
struct Ready {
    coverage: Coverage,
    receipts: Vec<Pending>,
}

/// Vouchers that are settled together.
#[derive(Default)]
struct Batch {
    coverages: Vec<Coverage>,
    receipts: Vec<Pending>,
    bytes: usize,
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

/// The fees that wait after vouchers were settled, and those of receipts that were settled by themselves.
pub(super) fn held_fees(entries: &[Entry], coverages: &[Coverage]) -> Vec<HeldFee> {
    if coverages.is_empty() {
        return entries.iter().filter_map(Entry::held_fee).collect();
    }
    let of_place: BTreeMap<Place, &Entry> = entries.iter().map(|entry| (entry.place(), entry)).collect();
    let held = coverages.iter().filter_map(|coverage| {
        let voucher = &coverage.voucher.value;
        let first = of_place.get(&first(coverage))?.held_fee()?;
        Some(HeldFee {
            count: voucher.count,
            fee: voucher.total,
            warranty: voucher.warranty,
            ..first
        })
    });
    held.collect()
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
        if ready.is_empty() || !self.held.is_empty() {
            return Ok(false);
        }
        let Batch {
            coverages,
            receipts,
            bytes,
        } = self.worthwhile(clock, ready)?;
        let signatures = coverage_signatures(&coverages);
        let gas = self.service.gas_prices().vouchers(signatures, bytes);
        // What is not worth its gas now is looked at again, or settles as receipts do.
        let Some(most) = self.consult(clock, &receipts, |situation| planner::bid_for(situation, gas)) else {
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

    /// Of these vouchers, as many as one transaction takes of those that are worth the gas that they add and that the chain
    /// would settle: a transaction settles all of its vouchers or none. The others are looked at again, or forgotten.
    fn worthwhile(&self, clock: &Clock, ready: Vec<Ready>) -> Result<Batch, ExecError> {
        let prices = self.service.gas_prices();
        let mut batch = Batch::default();
        for one in ready {
            let bytes = batch.bytes.saturating_add(one.coverage.encode().len());
            let before = coverage_signatures(&batch.coverages);
            let more = item_signatures(one.coverage.voucher.value.evidence);
            let gas = prices.vouchers(before.saturating_add(more), bytes);
            let is_full = batch.coverages.len() >= limit::COVERAGES
                || batch.receipts.len() + one.receipts.len() > RECEIPTS
                || gas > prices.tx_gas;
            if is_full {
                break;
            }
            let own = gas.saturating_sub(prices.vouchers(before, batch.bytes));
            let bid = self.consult(clock, &one.receipts, |situation| planner::bid_for(situation, own));
            if bid.is_none() {
                continue;
            }
            if !self.can_settle(clock, &one.coverage, &batch)? {
                self.service.journal.uncover(first(&one.coverage))?;
                continue;
            }
            batch.receipts.extend(one.receipts);
            batch.coverages.push(one.coverage);
            batch.bytes = bytes;
        }
        Ok(batch)
    }

    /// Whether the chain would settle a voucher after those of a batch, by what it says of the channel.
    fn can_settle(&self, clock: &Clock, coverage: &Coverage, batch: &Batch) -> Result<bool, ExecError> {
        let voucher = &coverage.voucher.value;
        let Some((record, _)) = self.service.chain.channel(voucher.channel)? else {
            return Ok(false);
        };
        let before = batch.coverages.iter().map(|one| &one.voucher.value);
        let before = before.filter(|other| other.channel == voucher.channel);
        let due = before.fold(voucher.total.0, |sum, other| sum.saturating_add(other.total.0));
        let is_closed = matches!(record.state, ChannelState::Closed { .. });
        let is_unused = |place: Place| record.window.state(place.sequence) == SequenceState::Unused;
        Ok(!is_closed
            && record.deadline(voucher.settle_by) >= self.latest(clock)
            && Amount(due) <= record.deposit
            && places(coverage).all(is_unused))
    }

    /// Before this tick, too little time is left for a settlement.
    fn latest(&self, clock: &Clock) -> Tick {
        let safety = self.service.config.policy.safety_ticks;
        Tick(clock.tick.0.saturating_add(safety))
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
        let latest = self.latest(clock);
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
