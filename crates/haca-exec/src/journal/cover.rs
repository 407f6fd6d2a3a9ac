//! Vouchers that cover receipts which wait for their settlement.

use haca_wire::{Coverage, Decode as _, Encode as _, ReceiptHash, Sequence, Voucher};
use redb::{ReadableDatabase as _, ReadableTable};

use super::Journal;
use super::table::{COVERED, ENTRIES};
use crate::ExecError;
use crate::entry::{Entry, EntryState, Place};

/// The last sequence of a range.
fn last(voucher: &Voucher) -> u64 {
    let above = u64::from(voucher.count).saturating_sub(1);
    voucher.first.0.saturating_add(above)
}

fn first_place(coverage: &Coverage) -> Place {
    Place {
        channel: coverage.voucher.value.channel,
        sequence: coverage.voucher.value.first,
    }
}

/// Whether a voucher that is kept covers some of a voucher's receipts, and is not one that the latter replaces.
fn is_covered(
    covered: &impl ReadableTable<&'static [u8], &'static [u8]>,
    voucher: &Voucher,
) -> Result<bool, redb::Error> {
    for row in covered.range::<&[u8]>(&voucher.channel.0[..]..)? {
        let Ok(other) = Coverage::decode_all(row?.1.value()) else {
            continue;
        };
        let value = &other.voucher.value;
        if value.channel != voucher.channel {
            break;
        }
        let is_before = last(value) < voucher.first.0;
        let is_behind = value.first.0 > last(voucher);
        let is_part = value.first == voucher.first && value.count < voucher.count;
        if !(is_before || is_behind || is_part) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Journal {
    /// Whether [`cover`](Self::cover) would refuse a voucher for another one over some of its receipts. Reads neither these nor
    /// waits for whoever writes.
    pub fn is_covered(&self, voucher: &Voucher) -> Result<bool, ExecError> {
        let read = || -> Result<bool, redb::Error> {
            is_covered(&self.database.begin_read()?.open_table(COVERED)?, voucher)
        };
        read().map_err(|error| self.failed(&error))
    }

    /// Keeps a voucher with the root over exactly these receipts, durably. `false`, and nothing is written, unless all of
    /// them wait in no transaction, and every voucher that covers some of them is one with the same beginning and fewer
    /// receipts, which this one replaces. So a receipt costs its payer's vouchers one write at most.
    pub fn cover(&self, coverage: &Coverage, receipts: &[ReceiptHash]) -> Result<bool, ExecError> {
        let cover = || -> Result<bool, redb::Error> {
            let write = self.database.begin_write()?;
            let voucher = &coverage.voucher.value;
            {
                // First, as it takes one step: what follows takes one for each receipt.
                let mut covered = write.open_table(COVERED)?;
                if is_covered(&covered, voucher)? {
                    return Ok(false);
                }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use haca_wire::{
        Address, Amount, BlockHash, ChainId, ChannelId, Domain, EvidenceKind, GenesisHash, Height, ModelId,
        ReceiptRoot, Tick,
    };

    use super::*;

    fn voucher(first: u64, count: u32) -> Voucher {
        Voucher {
            channel: ChannelId([1; 32]),
            first: Sequence(first),
            count,
            root: [0; 32],
            model: ModelId([2; 32]),
            evidence: EvidenceKind::Signed,
            total: Amount(1),
            warranty: Amount(1),
            settle_by: Tick(1),
        }
    }

    /// Whoever has one voucher kept, and signs others over parts of it, gets its refusals while somebody else writes.
    #[test]
    fn an_overlap_is_seen_without_entries_and_beside_a_write() {
        let dir = tempfile::tempdir().unwrap();
        let domain = Domain {
            chain_id: ChainId(1),
            genesis: GenesisHash([0; 32]),
        };
        let journal = Journal::open(&dir.path().join("journal.redb"), domain, Address([0; 20])).unwrap();
        let kept = voucher(10, 4);
        let root = ReceiptRoot {
            channel: kept.channel,
            first: kept.first,
            count: kept.count,
            root: kept.root,
            block_height: Height(1),
            block_hash: BlockHash([0; 32]),
            signer: Address([0; 20]),
        };
        let wallet = haca_client::Wallet::generate().unwrap();
        let coverage = Coverage {
            root: wallet.sign(root, &domain).unwrap(),
            voucher: wallet.sign(kept, &domain).unwrap(),
        };
        let write = journal.database.begin_write().unwrap();
        let row = coverage.encode();
        let mut table = write.open_table(COVERED).unwrap();
        table.insert(&first_place(&coverage).key()[..], &row[..]).unwrap();
        drop(table);
        write.commit().unwrap();
        // Another writer would wait for this one for ever.
        let _write = journal.database.begin_write().unwrap();
        for (first, count) in [(10, 4), (10, 3), (11, 3), (13, 2), (9, 2), (9, 9)] {
            assert!(
                journal.is_covered(&voucher(first, count)).unwrap(),
                "{first}, {count}"
            );
        }
        for (first, count) in [(10, 5), (14, 2), (8, 2)] {
            assert!(
                !journal.is_covered(&voucher(first, count)).unwrap(),
                "{first}, {count}"
            );
        }
    }
}
