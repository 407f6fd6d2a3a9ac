//! Compaction: receipts that are final leave the journal. What stays of them is that their sequences were answered, and
//! their part of the totals.

use haca_wire::state::SequenceWindow;
use haca_wire::{ChannelId, Decode as _, Encode as _, Height, Sequence};
use redb::{ReadableDatabase as _, ReadableTable as _, WriteTransaction};

use super::Journal;
use super::table::{CONTENTS, ENTRIES, FINAL, HASHES, MISSED, SEALED};
use crate::ExecError;
use crate::entry::{Entry, Missed, Place};
use crate::totals::{Totals, TotalsKey};

/// Receipts that one durable step seals.
const STEP: usize = 256;
/// Bytes of a place in the journal.
const PLACE_BYTES: usize = 40;

/// The key of [`FINAL`]: settled height, then place.
pub(super) fn final_key(height: Height, place: Place) -> [u8; 8 + PLACE_BYTES] {
    let mut key = [0; 8 + PLACE_BYTES];
    key[..8].copy_from_slice(&height.0.to_be_bytes());
    key[8..].copy_from_slice(&place.key());
    key
}

impl Journal {
    /// Seals receipts that were settled up to a height, a bounded number of them in one durable step. Returns how many.
    pub fn seal_settled(&self, up_to: Height) -> Result<usize, ExecError> {
        self.seal_settled_inner(up_to)
            .map_err(|error| self.failed(&error))
    }

    fn seal_settled_inner(&self, up_to: Height) -> Result<usize, redb::Error> {
        let write = self.database.begin_write()?;
        let due: Vec<Vec<u8>> = {
            let table = write.open_table(FINAL)?;
            let end = up_to.0.saturating_add(1).to_be_bytes();
            let rows = table.range::<&[u8]>(..&end[..])?.take(STEP);
            rows.map(|row| Ok(row?.0.value().to_vec()))
                .collect::<Result<_, redb::Error>>()?
        };
        if due.is_empty() {
            return Ok(0);
        }
        for key in &due {
            write.open_table(FINAL)?.remove(&key[..])?;
            self.seal(&write, key.get(8..).unwrap_or_default())?;
        }
        write.commit()?;
        Ok(due.len())
    }

    /// Seals a missed receipt whose warranty can't be claimed any more, and adds what became of it to the totals.
    pub fn seal_missed(&self, missed: &Missed, key: TotalsKey, more: &Totals) -> Result<(), ExecError> {
        let seal = || -> Result<(), redb::Error> {
            let write = self.database.begin_write()?;
            let place = missed.place.key();
            write.open_table(MISSED)?.remove(&place[..])?;
            self.seal(&write, &place)?;
            super::add_totals(&write, key, more)?;
            Ok(write.commit()?)
        };
        seal().map_err(|error| self.failed(&error))
    }

    /// Removes one entry and marks its sequence, whether the entry can be read or not.
    fn seal(&self, write: &WriteTransaction, place: &[u8]) -> Result<(), redb::Error> {
        let Some((channel, sequence)) = place.split_first_chunk::<32>() else {
            return Ok(());
        };
        let sequence = sequence.try_into().map_or(u64::MAX, u64::from_be_bytes);
        let mut sealed = write.open_table(SEALED)?;
        let mut window = window_of(sealed.get(&channel[..])?.map(|bytes| bytes.value().to_vec()));
        // Below the window, every sequence counts as answered.
        let _ = window.mark(Sequence(sequence));
        sealed.insert(&channel[..], &window.encode()[..])?;
        write.open_table(CONTENTS)?.remove(place)?;
        let mut entries = write.open_table(ENTRIES)?;
        let removed = entries.remove(place)?;
        if let Some(entry) = removed.and_then(|bytes| Entry::decode_all(bytes.value()).ok()) {
            let mut hashes = write.open_table(HASHES)?;
            hashes.remove(&entry.item.order.value.hash(&self.domain).0[..])?;
            hashes.remove(&entry.item.receipt.value.hash(&self.domain).0[..])?;
        }
        Ok(())
    }

    /// Channels of sealed receipts, from one on, a bounded number.
    pub fn sealed_channels(&self, from: ChannelId) -> Result<Vec<ChannelId>, ExecError> {
        let read = || -> Result<Vec<ChannelId>, redb::Error> {
            let table = self.database.begin_read()?.open_table(SEALED)?;
            let rows = table.range::<&[u8]>(&from.0[..]..)?.take(STEP / 16);
            let ids = rows.map(|row| Ok(<[u8; 32]>::try_from(row?.0.value()).map(ChannelId)));
            let ids = ids.collect::<Result<Vec<_>, redb::Error>>()?;
            Ok(ids.into_iter().flatten().collect())
        };
        read().map_err(|error| self.failed(&error))
    }

    /// Forgets the sequences of a channel that is closed for good, unless it has receipts here.
    pub fn forget_channel(&self, channel: ChannelId) -> Result<(), ExecError> {
        let forget = || -> Result<(), redb::Error> {
            let write = self.database.begin_write()?;
            let is_empty = {
                let entries = write.open_table(ENTRIES)?;
                let mut rows = entries.range::<&[u8]>(&channel.0[..]..)?;
                let first = rows.next().transpose()?;
                first.is_none_or(|(key, _)| !key.value().starts_with(&channel.0))
            };
            if is_empty {
                write.open_table(SEALED)?.remove(&channel.0[..])?;
            }
            Ok(write.commit()?)
        };
        forget().map_err(|error| self.failed(&error))
    }
}

/// A window that can't be read counts as used up: a second receipt is worse than a refused order.
pub(super) fn window_of(bytes: Option<Vec<u8>>) -> SequenceWindow {
    let Some(bytes) = bytes else {
        return SequenceWindow::default();
    };
    SequenceWindow::decode_all(&bytes).unwrap_or_else(|_| {
        let mut full = SequenceWindow::default();
        let _ = full.mark(Sequence(u64::MAX - 1));
        full
    })
}
