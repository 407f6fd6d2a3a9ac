//! SettleVouchers and ClaimFalseLeaf: many receipts settled by two signatures, and what a node answers for when it
//! signs another receipt into the range than it gave.

use haca_wire::state::{ChannelRecord, ModelRecord, NodeRecord, SequenceState, SignerTerm, key};
use haca_wire::voucher::check_leaf;
use haca_wire::{
    Coverage, EvidenceKind, Height, Order, OrderHash, Receipt, ReceiptHash, ReceiptRoot, Signed, Voucher,
    limit, merkle, state::HeldKey,
};

use super::receipt::check_pair;
use super::settle::Charge;
use super::{Execution, Stop, later, signer_found};
use crate::refusal::Refusal;

impl Execution<'_, '_> {
    /// Settles every range, or none (`spec/ledger.md`, SettleVouchers).
    pub(super) fn settle_vouchers(&mut self, coverages: &[Coverage]) -> Result<(), Stop> {
        for coverage in coverages {
            self.settle_voucher(coverage)?;
        }
        Ok(())
    }

    fn settle_voucher(&mut self, coverage: &Coverage) -> Result<(), Stop> {
        let voucher = &coverage.voucher.value;
        let mut channel = self.need_live_channel(voucher.channel)?;
        let node = self.need_node(channel.node)?;
        if self.sender != channel.node && node.signer() != Some(self.sender) {
            return Err(Refusal::NotTheNode {
                found: self.sender,
                expected: channel.node,
            }
            .into());
        }
        let order = self.check_voucher(coverage, &channel, &node)?;
        let record: Option<ModelRecord> = self.state.get(&key::terms(voucher.model))?;
        let record = record.ok_or(Refusal::UnknownModel { model: voucher.model })?;
        self.check_model_age(voucher.model, &record)?;
        let lowest = channel.window.lowest();
        channel
            .window
            .mark_range(voucher.first, voucher.count)
            .map_err(|(found, state)| match state {
                SequenceState::OutOfWindow => Refusal::SequenceOutOfWindow {
                    found,
                    expected: lowest,
                },
                SequenceState::Used | SequenceState::Unused => Refusal::SequenceUsed { found },
            })?;
        let charge = Charge {
            held_key: HeldKey {
                channel: voucher.channel,
                first: voucher.first,
            },
            count: voucher.count,
            order,
            receipt: ReceiptHash(voucher.root),
            model: voucher.model,
            evidence: voucher.evidence,
            fee: voucher.total,
            warranty: voucher.warranty,
        };
        self.charge(channel, node.payout, &record, &charge)
    }

    /// That payer and node signed the same range, in time. Returns the voucher's digest.
    fn check_voucher(
        &self,
        coverage: &Coverage,
        channel: &ChannelRecord,
        node: &NodeRecord,
    ) -> Result<OrderHash, Refusal> {
        let (voucher, root) = (&coverage.voucher.value, &coverage.root.value);
        if !(2..=limit::RANGE).contains(&voucher.count) {
            return Err(Refusal::RangeLength {
                found: voucher.count,
                expected: limit::RANGE,
            });
        }
        if !matches!(voucher.evidence, EvidenceKind::Signed | EvidenceKind::Optimistic) {
            let found = voucher.evidence.name();
            return Err(Refusal::UnsupportedEvidence { found });
        }
        if range_of(voucher) != (root.channel, root.first, root.count, root.root) {
            return Err(Refusal::VoucherMismatch);
        }
        self.rules
            .check_signature(&coverage.voucher, channel.payer)
            .map_err(|error| Refusal::VoucherSignature {
                found: signer_found(error),
                expected: channel.payer,
            })?;
        let last = Height(self.rules.height.0.saturating_sub(1));
        if root.block_height > last {
            return Err(Refusal::ReceiptFromFuture {
                found: root.block_height,
                expected: last,
            });
        }
        let term = node
            .term(root.signer, root.block_height)
            .ok_or(Refusal::SignerInactive {
                found: root.signer,
                height: root.block_height,
            })?;
        self.check_root_signature(&coverage.root)?;
        self.check_voucher_deadline(voucher, channel, term)?;
        Ok(voucher.hash(&self.rules.domain))
    }

    fn check_voucher_deadline(
        &self,
        voucher: &Voucher,
        channel: &ChannelRecord,
        term: &SignerTerm,
    ) -> Result<(), Refusal> {
        let mut deadline = channel.deadline(voucher.settle_by);
        if let Some(end) = term.end {
            deadline = deadline.min(later(end.tick, self.rules.params.signer_grace));
        }
        if self.rules.tick > deadline {
            return Err(Refusal::SettleByPassed {
                found: self.rules.tick,
                expected: deadline,
            });
        }
        Ok(())
    }

    fn check_root_signature(&self, root: &Signed<ReceiptRoot>) -> Result<(), Refusal> {
        let expected = root.value.signer;
        self.rules
            .check_signature(root, expected)
            .map_err(|error| Refusal::RootSignature {
                found: signer_found(error),
                expected,
            })
    }

    /// Punishes a node whose root holds another receipt for a sequence than it gave (`spec/ledger.md`, ClaimFalseLeaf).
    pub(super) fn claim_false_leaf(
        &mut self,
        order: &Signed<Order>,
        receipt: &Signed<Receipt>,
        root: &Signed<ReceiptRoot>,
        leaf: Option<ReceiptHash>,
        path: &[merkle::Hash],
    ) -> Result<(), Stop> {
        let (channel, sequence) = (order.value.channel, order.value.sequence);
        let record = self.need_channel(channel)?;
        let order_hash = self.check_order(order, &record)?;
        check_pair(&order.value, order_hash, &receipt.value)?;
        let node = self.need_node(record.node)?;
        self.check_receipt_of_claim(receipt, &node)?;
        let signed = &root.value;
        if signed.channel != channel {
            return Err(Refusal::ReceiptMismatch.into());
        }
        node.last_term(signed.signer).ok_or(Refusal::SignerInactive {
            found: signed.signer,
            height: signed.block_height,
        })?;
        self.check_root_signature(root)?;
        let range = (signed.first, signed.count);
        check_leaf(range, &signed.root, sequence, leaf.as_ref(), path)
            .map_err(|_| Refusal::NotALeaf { found: sequence })?;
        if leaf == Some(receipt.value.hash(&self.rules.domain)) {
            return Err(Refusal::TrueLeaf { found: sequence }.into());
        }
        self.punish_equivocation(record, &order.value, order_hash)
    }
}

fn range_of(voucher: &Voucher) -> (haca_wire::ChannelId, haca_wire::Sequence, u32, merkle::Hash) {
    (voucher.channel, voucher.first, voucher.count, voucher.root)
}
