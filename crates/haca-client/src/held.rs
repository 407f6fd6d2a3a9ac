//! The fee that waits for a receipt, found by the receipt's sequence alone.

use haca_wire::state::{HeldKey, HeldRecord, RangesRecord, SEQUENCE_WINDOW, key};
use haca_wire::{ChannelId, Height, Sequence};

use crate::{ClientError, NodeClient};

impl NodeClient {
    /// The fee that waits for a sequence, that of its own receipt or of the range that it stands in, with its key, as the ledger
    /// finds it (`spec/ledger.md`, L17.5); and the lowest height of the states that were read. Unproven.
    pub fn held_for(
        &self,
        channel: ChannelId,
        sequence: Sequence,
    ) -> Result<(Option<(HeldKey, HeldRecord)>, Height), ClientError> {
        let itself = HeldKey {
            channel,
            first: sequence,
        };
        let (record, own) = self.held(itself)?;
        if let Some(record) = record {
            return Ok((Some((itself, record)), own));
        }
        let (first, ranges) = self.range_at_or_below(channel, sequence)?;
        let seen = own.min(ranges);
        let Some(first) = first else {
            return Ok((None, seen));
        };
        let range = HeldKey { channel, first };
        let (record, height) = self.held(range)?;
        let holds = |record: &HeldRecord| sequence.0.saturating_sub(first.0) < record.count.into();
        let found = record.filter(holds).map(|record| (range, record));
        Ok((found, seen.min(height)))
    }

    /// The first sequence of the nearest range that waits and starts at or below a sequence, of its 1,024 sequences or those
    /// below, and the lowest height of the states that were read.
    fn range_at_or_below(
        &self,
        channel: ChannelId,
        sequence: Sequence,
    ) -> Result<(Option<Sequence>, Height), ClientError> {
        let slot = sequence.0 % SEQUENCE_WINDOW;
        let from = sequence.0.saturating_sub(slot);
        let (ranges, seen) = self.ranges(channel, sequence)?;
        if let Some(found) = ranges.waiting.iter().rev().find(|first| *first <= slot) {
            return Ok((Some(Sequence(from.saturating_add(found))), seen));
        }
        let Some(below) = from.checked_sub(SEQUENCE_WINDOW) else {
            return Ok((None, seen));
        };
        let (ranges, height) = self.ranges(channel, Sequence(below))?;
        let found = ranges.waiting.iter().next_back();
        let first = found.map(|found| Sequence(below.saturating_add(found)));
        Ok((first, seen.min(height)))
    }

    fn ranges(&self, channel: ChannelId, sequence: Sequence) -> Result<(RangesRecord, Height), ClientError> {
        let (ranges, height) = self.record_seen::<RangesRecord>(&key::ranges(channel, sequence))?;
        Ok((ranges.unwrap_or_default(), height))
    }
}
