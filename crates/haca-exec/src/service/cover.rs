//! Covering vouchers: many receipts of one channel settled by two signatures.

use haca_wire::state::ChannelState;
use haca_wire::{
    Amount, Coverage, EvidenceKind, ReceiptHash, ReceiptRoot, Sequence, Signed, Tick, Voucher, limit,
    receipt_root,
};

use super::{Service, internal};
use crate::chain::Head;
use crate::entry::{EntryState, Place};
use crate::refusal::Refusal;

const COVERED: &str = "its receipts are being settled, or another voucher covers some of them";

impl Service {
    /// Signs the root of a voucher over receipts that wait for their settlement, durably, and has it settled. While it waits,
    /// the same voucher and any other over the same receipts get that root, and nothing is written for them.
    pub(crate) fn cover(&self, voucher: Signed<Voucher>) -> Result<Signed<ReceiptRoot>, Refusal> {
        let place = Place {
            channel: voucher.value.channel,
            sequence: voucher.value.first,
        };
        let known = self.journal.coverage(place).map_err(internal)?;
        if let Some(known) = known.as_ref().filter(|known| known.voucher == voucher) {
            return Ok(known.root.clone());
        }
        let head = self.chain.head(self.config.stale_head_s)?;
        self.check_voucher(&voucher, &head)?;
        let value = &voucher.value;
        let covered = |root: &ReceiptRoot| (root.count, root.root) == (value.count, value.root);
        if let Some(known) = known.filter(|known| covered(&known.root.value)) {
            return check_again(value, &known.voucher.value).map(|()| known.root);
        }
        // Before its receipts are read: whoever signs voucher after voucher over the same ones costs no more than this.
        if self.journal.is_covered(value).map_err(internal)? {
            return refuse(COVERED);
        }
        let receipts = self.check_range(value)?;
        let root = ReceiptRoot {
            channel: value.channel,
            first: value.first,
            count: value.count,
            root: value.root,
            block_height: head.height,
            block_hash: head.hash,
            signer: self.signer.address(),
        };
        let root = self
            .signer
            .sign(root, &self.chain.domain)
            .map_err(|error| internal(error.into()))?;
        let coverage = Coverage { voucher, root };
        if !self.journal.cover(&coverage, &receipts).map_err(internal)? {
            return refuse(COVERED);
        }
        self.notify();
        Ok(coverage.root)
    }

    /// Payer, channel and time.
    fn check_voucher(&self, voucher: &Signed<Voucher>, head: &Head) -> Result<(), Refusal> {
        let value = &voucher.value;
        let found = self.chain.channel(value.channel);
        let (record, _) = found
            .map_err(|error| internal(error.into()))?
            .ok_or(Refusal::UnknownChannel)?;
        if record.node != self.account.address() {
            return Err(Refusal::OtherNode);
        }
        if record.state != ChannelState::Open {
            return Err(Refusal::ChannelNotOpen);
        }
        if voucher.check(&self.chain.domain, record.payer).is_err() {
            return refuse("the channel's payer did not sign it");
        }
        if !(2..=limit::RANGE).contains(&value.count) {
            return refuse("it covers fewer than 2 or more than 1,024 sequences");
        }
        if !matches!(value.evidence, EvidenceKind::Signed | EvidenceKind::Optimistic) {
            return refuse("receipts with proofs are not covered");
        }
        let tick = head.clock.tick.0;
        let earliest = Tick(tick.saturating_add(self.config.min_settle_ticks));
        let latest = Tick(tick.saturating_add(self.chain.params.settle_horizon));
        if value.settle_by < earliest || value.settle_by > latest {
            return Err(Refusal::SettleBy {
                found: value.settle_by,
                earliest,
                latest,
            });
        }
        Ok(())
    }

    /// That the voucher is for exactly the receipts of the journal, all of which wait. Returns them.
    fn check_range(&self, voucher: &Voucher) -> Result<Vec<ReceiptHash>, Refusal> {
        let (mut receipts, mut total, mut warranty) = (Vec::new(), 0u128, 0u128);
        for offset in 0..u64::from(voucher.count) {
            let place = Place {
                channel: voucher.channel,
                sequence: Sequence(voucher.first.0.saturating_add(offset)),
            };
            let Some(entry) = self.journal.at(place).map_err(internal)? else {
                return refuse("it covers a sequence that was not answered");
            };
            if entry.state != EntryState::Answered {
                return refuse(COVERED);
            }
            let order = &entry.item.order.value;
            if (order.model, order.evidence) != (voucher.model, voucher.evidence) {
                return refuse("a receipt is of another model or evidence");
            }
            receipts.push(self.receipt_of(&entry));
            total = total.saturating_add(entry.item.receipt.value.fee.0);
            warranty = warranty.saturating_add(order.warranty.0);
        }
        let leaves: Vec<Option<ReceiptHash>> = receipts.iter().copied().map(Some).collect();
        if receipt_root(&leaves) != voucher.root {
            return refuse("its root is over other receipts");
        }
        if voucher.total != Amount(total) {
            return refuse("its total is not the sum of the fees");
        }
        if voucher.warranty > Amount(warranty) {
            return refuse("its warranty is above the sum of the orders' warranties");
        }
        Ok(receipts)
    }
}

/// That a voucher over the receipts of one that is kept says the same of them.
fn check_again(voucher: &Voucher, kept: &Voucher) -> Result<(), Refusal> {
    if (voucher.model, voucher.evidence, voucher.total) != (kept.model, kept.evidence, kept.total) {
        return refuse("another voucher over its receipts has another model, evidence or total");
    }
    if voucher.warranty > kept.warranty {
        return refuse("another voucher over its receipts has a smaller warranty");
    }
    Ok(())
}

fn refuse<T>(reason: &'static str) -> Result<T, Refusal> {
    Err(Refusal::Voucher { reason })
}
