//! The orders of a channel that are out: what they may still take of it, and how far above them the next sequence may lie.

use haca_wire::state::{ChannelRecord, Params, SEQUENCE_WINDOW, SequenceState};
use haca_wire::{Amount, Order, Sequence, Tick};

/// An order that its payer has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The order.
    pub order: Order,
    /// Whether its payer holds a receipt for it, and so may claim its warranty.
    pub has_receipt: bool,
}

impl Issued {
    /// Whether the order may still cost its fee: the node may settle it, with or without having answered.
    fn may_settle(&self, channel: &ChannelRecord, tick: Tick) -> bool {
        self.is_unused(channel) && tick <= channel.deadline(self.order.settle_by)
    }

    /// Whether its warranty may still be claimed, now or later, or may leave the reserve with its settlement, as that of an
    /// `Optimistic` receipt does: a node may settle what its payer never saw.
    fn takes_warranty(&self, channel: &ChannelRecord, tick: Tick, params: &Params) -> bool {
        (self.has_receipt && self.is_out(channel, tick, params)) || self.may_settle(channel, tick)
    }

    fn is_unused(&self, channel: &ChannelRecord) -> bool {
        channel.window.state(self.order.sequence) == SequenceState::Unused
    }

    /// Whether the order is neither settled nor claimed nor past its last deadline, that of a claim: a receipt for it may still
    /// come. A receipt key that is replaced brings deadlines forward (`spec/ledger.md`, L13.9); without it, this says yes too
    /// long and never too short.
    pub fn is_out(&self, channel: &ChannelRecord, tick: Tick, params: &Params) -> bool {
        let deadline = channel.deadline(self.order.settle_by);
        let window = params.grace.saturating_add(params.claim_window);
        self.is_unused(channel) && tick.0 <= deadline.0.saturating_add(window)
    }
}

/// What the orders of one channel that are out may still take of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outstanding {
    /// Fees, by the most that each order allows.
    pub fees: Amount,
    /// Warranties of the receipts, and of orders that may still settle.
    pub warranties: Amount,
    /// The lowest sequence of these.
    pub lowest: Option<Sequence>,
}

impl Outstanding {
    /// Counts the orders that are out, which are orders of this channel. The record is that of `tick` or later: what was
    /// settled up to `tick` shows in it.
    pub fn of<'a>(
        issued: impl IntoIterator<Item = &'a Issued>,
        channel: &ChannelRecord,
        tick: Tick,
        params: &Params,
    ) -> Self {
        let mut out = Self::default();
        for one in issued {
            if one.may_settle(channel, tick) {
                out.fees = Amount(out.fees.0.saturating_add(one.order.max_fee.0));
            }
            if one.takes_warranty(channel, tick, params) {
                out.warranties = Amount(out.warranties.0.saturating_add(one.order.warranty.0));
                let sequence = one.order.sequence;
                out.lowest = Some(out.lowest.map_or(sequence, |lowest| lowest.min(sequence)));
            }
        }
        out
    }

    /// Whether one more order is covered: the deposit pays its fee and the reserve its warranty after those of all that are
    /// out, and its settlement voids no sequence that may still be claimed (`spec/ledger.md`, L15).
    pub fn covers(
        &self,
        channel: &ChannelRecord,
        sequence: Sequence,
        max_fee: Amount,
        warranty: Amount,
    ) -> bool {
        let pays = |has: Amount, out: Amount, more: Amount| out.0.saturating_add(more.0) <= has.0;
        let is_near = |lowest: Sequence| sequence.0.saturating_sub(lowest.0) < SEQUENCE_WINDOW;
        pays(channel.deposit, self.fees, max_fee)
            && pays(channel.reserve, self.warranties, warranty)
            && self.lowest.is_none_or(is_near)
    }
}
