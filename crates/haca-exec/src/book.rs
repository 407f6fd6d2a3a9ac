//! What is promised but not settled: fees, warranties and sequences, channel by channel.

use std::collections::BTreeMap;

use haca_wire::state::{ChannelRecord, SEQUENCE_WINDOW, SequenceState};
use haca_wire::{Amount, ChannelId, Height, Sequence, Tick};

use crate::entry::{Missed, Pending, Place};
use crate::refusal::Refusal;

/// What one order may still take out of its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Promise {
    fee: Amount,
    warranty: Amount,
    stage: Stage,
}

/// How far an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Running, answered, or settled in a block that the known record does not show yet.
    Held,
    /// Not settled in time: its warranty can be claimed up to this tick.
    Missed(Tick),
}

/// One channel: its newest known record, and the promises that the record does not show yet.
#[derive(Debug, Default)]
struct Account {
    record: Option<(ChannelRecord, Height)>,
    promises: BTreeMap<Sequence, Promise>,
}

/// All promises. One lock around it makes checking and reserving one step.
#[derive(Debug, Default)]
pub(crate) struct Book(BTreeMap<ChannelId, Account>);

impl Book {
    /// The newest known record of a channel, and the height it was read at.
    pub(crate) fn known(&self, channel: ChannelId) -> Option<(ChannelRecord, Height)> {
        self.0.get(&channel)?.record.clone()
    }

    /// Learns a channel's record. An older one than the known is dropped: what it still shows may be spent.
    pub(crate) fn observe(&mut self, channel: ChannelId, record: &ChannelRecord, height: Height) {
        let account = self.0.entry(channel).or_default();
        if account.record.as_ref().is_some_and(|(_, known)| *known >= height) {
            return;
        }
        // What used the sequence, a settlement or a claim, has left deposit and reserve in the same block.
        let window = &record.window;
        account
            .promises
            .retain(|sequence, _| window.state(*sequence) == SequenceState::Unused);
        account.record = Some((record.clone(), height));
    }

    /// Reserves fee, warranty and sequence of an order against its channel's newest known record, or says why that
    /// is not possible.
    pub(crate) fn reserve(
        &mut self,
        place: Place,
        fee: Amount,
        warranty: Amount,
        tick: Tick,
    ) -> Result<(), Refusal> {
        let account = self.0.entry(place.channel).or_default();
        let Some((record, _)) = &account.record else {
            return Err(Refusal::UnknownChannel);
        };
        let promises = &mut account.promises;
        promises.retain(|_, promise| !matches!(promise.stage, Stage::Missed(until) if tick > until));
        check_sequence(place.sequence, promises, record)?;
        let sum = |of: fn(&Promise) -> Amount| {
            promises
                .values()
                .fold(0u128, |sum, promise| sum.saturating_add(of(promise).0))
        };
        let deposit = Amount(record.deposit.0.saturating_sub(sum(|promise| promise.fee)));
        if fee > deposit {
            return Err(Refusal::Deposit {
                found: fee,
                expected: deposit,
            });
        }
        let reserve = Amount(record.reserve.0.saturating_sub(sum(|promise| promise.warranty)));
        if warranty > reserve {
            return Err(Refusal::Warranty {
                found: warranty,
                expected: reserve,
            });
        }
        let stage = Stage::Held;
        let promise = Promise { fee, warranty, stage };
        promises.insert(place.sequence, promise);
        Ok(())
    }

    /// Counts an unsettled receipt of the journal again, after a restart.
    pub(crate) fn restore(&mut self, pending: &Pending) {
        let promise = Promise {
            fee: pending.fee,
            warranty: pending.warranty,
            stage: Stage::Held,
        };
        self.put(pending.place, promise);
    }

    /// A receipt missed its settlement: no fee is left, the warranty still counts.
    pub(crate) fn miss(&mut self, missed: &Missed) {
        let promise = Promise {
            fee: Amount(0),
            warranty: missed.warranty,
            stage: Stage::Missed(missed.until),
        };
        self.put(missed.place, promise);
    }

    fn put(&mut self, place: Place, promise: Promise) {
        let account = self.0.entry(place.channel).or_default();
        account.promises.insert(place.sequence, promise);
    }

    /// The order left no receipt, or nothing can be taken for it any more.
    pub(crate) fn release(&mut self, place: Place) {
        if let Some(account) = self.0.get_mut(&place.channel) {
            account.promises.remove(&place.sequence);
        }
    }
}

/// Refuses a sequence that is used, in work, or so far above or below the channel's others that settling one would
/// push another out of the window.
fn check_sequence(
    sequence: Sequence,
    promises: &BTreeMap<Sequence, Promise>,
    record: &ChannelRecord,
) -> Result<(), Refusal> {
    let refused = Err(Refusal::Sequence { found: sequence });
    if promises.contains_key(&sequence) || record.window.state(sequence) != SequenceState::Unused {
        return refused;
    }
    // What was missed settles no more, so it needs no place in the window; but the claim on it uses its sequence and
    // moves the window up to it, away from what stands below.
    let missed = |promise: &Promise| matches!(promise.stage, Stage::Missed(_));
    let unsettled = promises.iter().filter(|(_, promise)| !missed(promise));
    let lowest = unsettled.fold(sequence.0, |lowest, (other, _)| lowest.min(other.0));
    let highest = promises
        .keys()
        .fold(sequence.0, |highest, other| highest.max(other.0));
    let highest = highest.max(record.window.next().0.saturating_sub(1));
    if highest.saturating_sub(lowest) >= SEQUENCE_WINDOW {
        return refused;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use haca_wire::state::{ChannelState, SequenceWindow};
    use haca_wire::{Address, AssetId};

    use super::*;

    const CHANNEL: ChannelId = ChannelId([7; 32]);

    fn record(deposit: u128, reserve: u128) -> ChannelRecord {
        ChannelRecord {
            payer: Address::default(),
            node: Address::default(),
            asset: AssetId(1),
            deposit: Amount(deposit),
            reserve: Amount(reserve),
            offer_version: 1,
            opened: Height(1),
            state: ChannelState::Open,
            paid: Amount(0),
            settled: 0,
            window: SequenceWindow::default(),
        }
    }

    fn place(sequence: u64) -> Place {
        Place {
            channel: CHANNEL,
            sequence: Sequence(sequence),
        }
    }

    fn book(deposit: u128, reserve: u128) -> Book {
        let mut book = Book::default();
        book.observe(CHANNEL, &record(deposit, reserve), Height(5));
        book
    }

    fn reserve(book: &mut Book, sequence: u64, fee: u128, warranty: u128) -> Result<(), Refusal> {
        book.reserve(place(sequence), Amount(fee), Amount(warranty), Tick(50))
    }

    fn short(found: u128, expected: u128) -> Refusal {
        Refusal::Deposit {
            found: Amount(found),
            expected: Amount(expected),
        }
    }

    #[test]
    fn fees_outstanding_never_exceed_the_deposit() {
        let mut book = book(25, 100);
        reserve(&mut book, 0, 10, 1).unwrap();
        reserve(&mut book, 1, 10, 1).unwrap();
        assert_eq!(reserve(&mut book, 2, 10, 1).unwrap_err(), short(10, 5));
        book.release(place(0));
        reserve(&mut book, 2, 10, 1).unwrap();
    }

    /// The record after the settlement of sequence 0.
    fn settled(deposit: u128) -> ChannelRecord {
        let mut settled = record(deposit, 0);
        settled.window.mark(Sequence(0)).unwrap();
        settled
    }

    #[test]
    fn a_fee_counts_until_the_record_shows_it_paid_and_then_no_more() {
        let mut book = book(20, 0);
        reserve(&mut book, 0, 10, 0).unwrap();
        book.observe(CHANNEL, &record(20, 0), Height(6));
        assert_eq!(reserve(&mut book, 1, 20, 0).unwrap_err(), short(20, 10));
        book.observe(CHANNEL, &settled(10), Height(7));
        reserve(&mut book, 1, 10, 0).unwrap();
    }

    #[test]
    fn an_older_record_brings_no_spent_money_back() {
        let mut book = book(10, 0);
        reserve(&mut book, 0, 10, 0).unwrap();
        book.observe(CHANNEL, &settled(0), Height(6));
        book.observe(CHANNEL, &record(10, 0), Height(5));
        assert_eq!(reserve(&mut book, 1, 10, 0).unwrap_err(), short(10, 0));
    }

    #[test]
    fn a_top_up_counts_once_its_record_is_known() {
        let mut book = book(10, 0);
        reserve(&mut book, 0, 10, 0).unwrap();
        book.observe(CHANNEL, &record(20, 0), Height(6));
        reserve(&mut book, 1, 10, 0).unwrap();
        assert_eq!(reserve(&mut book, 2, 1, 0).unwrap_err(), short(1, 0));
    }

    #[test]
    fn warranties_outstanding_never_exceed_the_reserve() {
        let mut book = book(10, 100);
        reserve(&mut book, 0, 1, 60).unwrap();
        let refused = Refusal::Warranty {
            found: Amount(60),
            expected: Amount(40),
        };
        assert_eq!(reserve(&mut book, 1, 1, 60).unwrap_err(), refused);
    }

    #[test]
    fn a_missed_receipt_keeps_its_warranty_until_it_is_claimed_or_can_not_be() {
        let missed = Missed {
            place: place(0),
            warranty: Amount(60),
            until: Tick(49),
        };
        let mut late = book(10, 100);
        late.miss(&Missed {
            until: Tick(50),
            ..missed
        });
        assert!(
            reserve(&mut late, 1, 10, 60).is_err(),
            "claimable at this very tick"
        );
        assert!(reserve(&mut late, 0, 10, 1).is_err(), "answered once is answered");
        let mut claimed = record(10, 40);
        claimed.window.mark(Sequence(0)).unwrap();
        late.observe(CHANNEL, &claimed, Height(6));
        reserve(&mut late, 1, 10, 40).unwrap();
        let mut over = book(10, 100);
        over.miss(&missed);
        reserve(&mut over, 1, 10, 60).unwrap();
    }

    #[test]
    fn one_sequence_is_reserved_once() {
        let mut book = book(10, 10);
        reserve(&mut book, 3, 1, 1).unwrap();
        let again = Refusal::Sequence { found: Sequence(3) };
        assert_eq!(reserve(&mut book, 3, 1, 1).unwrap_err(), again);
    }

    #[test]
    fn a_far_sequence_may_not_push_another_out_of_the_window() {
        let mut book = book(10, 10);
        reserve(&mut book, 0, 1, 1).unwrap();
        assert!(reserve(&mut book, SEQUENCE_WINDOW, 1, 1).is_err());
        reserve(&mut book, SEQUENCE_WINDOW - 1, 1, 1).unwrap();
    }

    /// The claim on what was missed moves the window: whatever stood below it could never settle.
    #[test]
    fn nothing_is_answered_that_the_claim_of_a_miss_would_void() {
        let mut book = book(100, 100);
        let missed = Missed {
            place: place(5_000),
            warranty: Amount(1),
            until: Tick(500),
        };
        book.miss(&missed);
        let below = 5_000 - SEQUENCE_WINDOW;
        assert!(reserve(&mut book, 0, 10, 1).is_err());
        assert!(reserve(&mut book, below, 10, 1).is_err());
        reserve(&mut book, below + 1, 10, 1).unwrap();
    }
}
