//! What is promised but not settled: fees, warranties and sequences, channel by channel.

use std::collections::BTreeMap;

use haca_wire::state::{ChannelRecord, SEQUENCE_WINDOW, SequenceState};
use haca_wire::{Amount, ChannelId, Height, Sequence};

use crate::entry::Place;
use crate::refusal::Refusal;

/// What one answered or running order may take out of its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Promise {
    /// The fee that its receipt charges.
    pub(crate) fee: Amount,
    /// The warranty that could be claimed.
    pub(crate) warranty: Amount,
    /// The height that settled it. It counts until the channel's record is read at that height or above, because
    /// an older record still holds the fee.
    settled: Option<Height>,
}

/// All promises. One lock around it makes checking and reserving one step.
#[derive(Debug, Default)]
pub(crate) struct Book(BTreeMap<ChannelId, BTreeMap<Sequence, Promise>>);

impl Book {
    /// Reserves fee, warranty and sequence of an order against its channel's record, read at `height`, or says why
    /// that is not possible.
    pub(crate) fn reserve(
        &mut self,
        place: Place,
        fee: Amount,
        warranty: Amount,
        record: &ChannelRecord,
        height: Height,
    ) -> Result<(), Refusal> {
        let promises = self.0.entry(place.channel).or_default();
        promises.retain(|_, promise| promise.settled.is_none_or(|settled| settled > height));
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
        promises.insert(
            place.sequence,
            Promise {
                fee,
                warranty,
                settled: None,
            },
        );
        Ok(())
    }

    /// Counts an order of the journal again, after a restart.
    pub(crate) fn restore(&mut self, place: Place, fee: Amount, warranty: Amount) {
        let promise = Promise {
            fee,
            warranty,
            settled: None,
        };
        self.0
            .entry(place.channel)
            .or_default()
            .insert(place.sequence, promise);
    }

    /// The order left no receipt, or its receipt can't settle any more.
    pub(crate) fn release(&mut self, place: Place) {
        if let Some(promises) = self.0.get_mut(&place.channel) {
            promises.remove(&place.sequence);
        }
    }

    /// The order was settled at `height`.
    pub(crate) fn settle(&mut self, place: Place, height: Height) {
        if let Some(promise) = self
            .0
            .get_mut(&place.channel)
            .and_then(|all| all.get_mut(&place.sequence))
        {
            promise.settled = Some(height);
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
    let lowest = promises
        .keys()
        .next()
        .map_or(sequence.0, |lowest| lowest.0.min(sequence.0));
    let highest = promises
        .keys()
        .next_back()
        .map_or(sequence.0, |highest| highest.0.max(sequence.0));
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
            channel: ChannelId([7; 32]),
            sequence: Sequence(sequence),
        }
    }

    #[test]
    fn fees_outstanding_never_exceed_the_deposit() {
        let mut book = Book::default();
        let record = record(25, 100);
        for sequence in 0..2 {
            book.reserve(place(sequence), Amount(10), Amount(1), &record, Height(5))
                .unwrap();
        }
        let refused = book
            .reserve(place(2), Amount(10), Amount(1), &record, Height(5))
            .unwrap_err();
        assert_eq!(
            refused,
            Refusal::Deposit {
                found: Amount(10),
                expected: Amount(5)
            }
        );
        book.release(place(0));
        book.reserve(place(2), Amount(10), Amount(1), &record, Height(5))
            .unwrap();
    }

    #[test]
    fn a_settled_fee_counts_until_the_record_shows_it() {
        let mut book = Book::default();
        book.reserve(place(0), Amount(10), Amount(0), &record(10, 0), Height(5))
            .unwrap();
        book.settle(place(0), Height(6));
        assert!(
            book.reserve(place(1), Amount(10), Amount(0), &record(10, 0), Height(5))
                .is_err()
        );
        book.reserve(place(1), Amount(10), Amount(0), &record(10, 0), Height(6))
            .unwrap();
    }

    #[test]
    fn warranties_outstanding_never_exceed_the_reserve() {
        let mut book = Book::default();
        book.reserve(place(0), Amount(1), Amount(60), &record(10, 100), Height(5))
            .unwrap();
        let refused = book
            .reserve(place(1), Amount(1), Amount(60), &record(10, 100), Height(5))
            .unwrap_err();
        assert_eq!(
            refused,
            Refusal::Warranty {
                found: Amount(60),
                expected: Amount(40)
            }
        );
    }

    #[test]
    fn one_sequence_is_reserved_once() {
        let mut book = Book::default();
        book.reserve(place(3), Amount(1), Amount(1), &record(10, 10), Height(5))
            .unwrap();
        let again = book.reserve(place(3), Amount(1), Amount(1), &record(10, 10), Height(5));
        assert_eq!(again.unwrap_err(), Refusal::Sequence { found: Sequence(3) });
    }

    #[test]
    fn a_far_sequence_may_not_push_another_out_of_the_window() {
        let mut book = Book::default();
        book.reserve(place(0), Amount(1), Amount(1), &record(10, 10), Height(5))
            .unwrap();
        assert!(
            book.reserve(
                place(SEQUENCE_WINDOW),
                Amount(1),
                Amount(1),
                &record(10, 10),
                Height(5)
            )
            .is_err()
        );
        book.reserve(
            place(SEQUENCE_WINDOW - 1),
            Amount(1),
            Amount(1),
            &record(10, 10),
            Height(5),
        )
        .unwrap();
    }
}
