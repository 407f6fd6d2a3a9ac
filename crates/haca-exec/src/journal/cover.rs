//! Vouchers that cover receipts which wait for their settlement.

use haca_wire::{Coverage, Decode as _, Encode as _, ReceiptHash, Sequence};
use redb::ReadableTable as _;

use super::Journal;
use super::table::{COVERED, ENTRIES};
use crate::ExecError;
use crate::entry::{Entry, EntryState, Place};

/// The last sequence of a range.
fn last(coverage: &Coverage) -> u64 {
    let voucher = &coverage.voucher.value;
    let above = u64::from(voucher.count).saturating_sub(1);
    voucher.first.0.saturating_add(above)
}

fn first_place(coverage: &Coverage) -> Place {
    Place {
        channel: coverage.voucher.value.channel,
        sequence: coverage.voucher.value.first,
    }
}

impl Journal {
    /// Keeps a voucher with the root over exactly these receipts, durably. `false`, and nothing is written, unless all of
    /// them wait in no transaction, and every voucher that covers some of them is one with the same beginning and fewer
    /// receipts, which this one replaces. So a receipt costs its payer's vouchers one write at most.
    pub fn cover(&self, coverage: &Coverage, receipts: &[ReceiptHash]) -> Result<bool, ExecError> {
        let cover = || -> Result<bool, redb::Error> {
            let write = self.database.begin_write()?;
            let voucher = &coverage.voucher.value;
            {
                let entries = write.open_table(ENTRIES)?;
                for (offset, receipt) in (0u64..).zip(receipts) {
                    let place = Place {
                        channel: voucher.channel,
                        sequence: Sequence(voucher.first.0.saturating_add(offset)),
                    };
                    let bytes = entries.get(&place.key()[..])?;
                    let entry = bytes.and_then(|bytes| Entry::decode_all(bytes.value()).ok());
                    let is_this = entry.is_some_and(|entry| {
                        entry.state == EntryState::Answered
                            && entry.item.receipt.value.hash(&self.domain) == *receipt
                    });
                    if !is_this {
                        return Ok(false);
                    }
                }
                let mut covered = write.open_table(COVERED)?;
                let rows = covered.range::<&[u8]>(&voucher.channel.0[..]..)?;
                for row in rows {
                    let other = Coverage::decode_all(row?.1.value());
                    let Ok(other) = other else { continue };
                    let value = &other.voucher.value;
                    if value.channel != voucher.channel {
                        break;
                    }
                    let is_before = last(&other) < voucher.first.0;
                    let is_behind = value.first.0 > last(coverage);
                    let is_part = value.first == voucher.first && value.count < voucher.count;
                    if !(is_before || is_behind || is_part) {
                        return Ok(false);
                    }
                }
                covered.insert(&first_place(coverage).key()[..], &coverage.encode()[..])?;
            }
            write.commit()?;
            Ok(true)
        };
        cover().map_err(|error| self.failed(&error))
    }

    /// Forgets a voucher: its receipts are settled, or settle one by one.
    pub fn uncover(&self, first: Place) -> Result<(), ExecError> {
        let uncover = || -> Result<(), redb::Error> {
            let write = self.database.begin_write()?;
            write.open_table(COVERED)?.remove(&first.key()[..])?;
            Ok(write.commit()?)
        };
        uncover().map_err(|error| self.failed(&error))
    }

    /// Every voucher that waits, by channel and first sequence.
    pub fn coverages(&self) -> Result<Vec<Coverage>, ExecError> {
        self.all(COVERED)
    }

    /// The voucher that begins at a place.
    pub fn coverage(&self, first: Place) -> Result<Option<Coverage>, ExecError> {
        self.decode(self.value(COVERED, &first.key())?)
    }
}
