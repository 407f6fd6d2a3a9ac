//! What settlement and claims check alike: that payer and node signed an order and its receipt.

use haca_wire::state::{ChannelRecord, NodeRecord, SequenceState, SequenceWindow, SignerTerm};
use haca_wire::{Height, Order, OrderHash, Receipt, Sequence, Signed, Tick};

use super::{Execution, Stop, later, signer_found};
use crate::refusal::Refusal;

impl Execution<'_, '_> {
    /// The hash of an order that the channel's payer signed.
    pub(super) fn check_order(
        &self,
        order: &Signed<Order>,
        channel: &ChannelRecord,
    ) -> Result<OrderHash, Refusal> {
        self.rules
            .check_signature(order, channel.payer)
            .map_err(|error| Refusal::OrderSignature {
                found: signer_found(error),
                expected: channel.payer,
            })?;
        Ok(order.value.hash(&self.rules.domain))
    }

    /// The term of the node's receipt key that signed the receipt: active at the block the receipt names, which
    /// must be one the node can have seen.
    pub(super) fn check_receipt<'n>(
        &self,
        receipt: &Signed<Receipt>,
        node: &'n NodeRecord,
    ) -> Result<&'n SignerTerm, Refusal> {
        let value = &receipt.value;
        let last = Height(self.rules.height.0.saturating_sub(1));
        if value.block_height > last {
            return Err(Refusal::ReceiptFromFuture {
                found: value.block_height,
                expected: last,
            });
        }
        let term = node
            .term(value.signer, value.block_height)
            .ok_or(Refusal::SignerInactive {
                found: value.signer,
                height: value.block_height,
            })?;
        self.check_receipt_signature(receipt)?;
        Ok(term)
    }

    /// The term of the node's receipt key that signed a receipt held against the node. The block that the receipt
    /// names does not matter here: else a node could sign what it says to a user in a way that no claim can use.
    pub(super) fn check_receipt_of_claim<'n>(
        &self,
        receipt: &Signed<Receipt>,
        node: &'n NodeRecord,
    ) -> Result<&'n SignerTerm, Refusal> {
        let value = &receipt.value;
        let term = node.last_term(value.signer).ok_or(Refusal::SignerInactive {
            found: value.signer,
            height: value.block_height,
        })?;
        self.check_receipt_signature(receipt)?;
        Ok(term)
    }

    fn check_receipt_signature(&self, receipt: &Signed<Receipt>) -> Result<(), Refusal> {
        let expected = receipt.value.signer;
        self.rules
            .check_signature(receipt, expected)
            .map_err(|error| Refusal::ReceiptSignature {
                found: signer_found(error),
                expected,
            })
    }
}

impl Execution<'_, '_> {
    /// Last tick at which the receipt settles, and from which the claim on it is counted: the order's settle-by,
    /// brought forward when one side closes alone and when the receipt's key was replaced.
    pub(super) fn deadline(&self, order: &Order, channel: &ChannelRecord, term: &SignerTerm) -> Tick {
        let deadline = channel.deadline(order.settle_by);
        match term.end {
            Some(end) => deadline.min(later(end.tick, self.rules.params.signer_grace)),
            None => deadline,
        }
    }
}

/// Refuses a receipt that answers another order, or another place in the channel.
pub(super) fn check_pair(order: &Order, hash: OrderHash, receipt: &Receipt) -> Result<(), Refusal> {
    if receipt.channel != order.channel || receipt.sequence != order.sequence {
        return Err(Refusal::ReceiptMismatch);
    }
    if receipt.order != hash {
        return Err(Refusal::ReceiptOrder);
    }
    Ok(())
}

/// Uses a sequence, or says why it can't be.
pub(super) fn use_sequence(window: &mut SequenceWindow, sequence: Sequence) -> Result<(), Stop> {
    let lowest = window.lowest();
    window.mark(sequence).map_err(|state| {
        match state {
            SequenceState::OutOfWindow => Refusal::SequenceOutOfWindow {
                found: sequence,
                expected: lowest,
            },
            SequenceState::Used | SequenceState::Unused => Refusal::SequenceUsed { found: sequence },
        }
        .into()
    })
}
