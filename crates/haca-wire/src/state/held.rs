//! Fees that wait for the end of a demand window, open demands, and the calendar of both.

use crate::codec_struct;
use crate::id::{Address, Amount, AssetId, ChannelId, ModelId, ReceiptHash, Sequence, Tick};

use super::sequence_bits::SequenceBits;

/// An open demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DemandRecord {
    /// The sequence of the receipt that has to be proven.
    pub sequence: Sequence,
    /// The receipt.
    pub receipt: ReceiptHash,
    /// OPG of the payer, which the node receives for its answer.
    pub deposit: Amount,
    /// Last tick at which the node answers.
    pub due: Tick,
}
codec_struct!(DemandRecord {
    sequence,
    receipt,
    deposit,
    due
});

/// What was settled as `Optimistic` and is not paid yet: one receipt, or the range of a voucher. It no longer depends
/// on its channel, which may close meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRecord {
    /// Who ordered, and may demand a proof.
    pub payer: Address,
    /// The inference node.
    pub node: Address,
    /// Receives the fee.
    pub payout: Address,
    /// The asset of fee and warranty.
    pub asset: AssetId,
    /// The model.
    pub model: ModelId,
    /// Sequences that were settled together; 1 without a voucher.
    pub count: u32,
    /// The receipt's digest; for a voucher, the root over its receipts.
    pub receipts: [u8; 32],
    /// The fee, out of the channel's deposit.
    pub fee: Amount,
    /// The warranty, out of the channel's reserve: a reserved part of the node's bond.
    pub warranty: Amount,
    /// Last tick at which a proof can be demanded. The fee is paid after it.
    pub matures: Tick,
    /// The demand that the node has to answer.
    pub demand: Option<DemandRecord>,
}
codec_struct!(HeldRecord {
    payer,
    node,
    payout,
    asset,
    model,
    count,
    receipts,
    fee,
    warranty,
    matures,
    demand
});

impl HeldRecord {
    /// The tick after which the ledger acts by itself: it pays the node, or finds a demand unanswered.
    pub fn due(&self) -> Tick {
        self.demand.map_or(self.matures, |demand| demand.due)
    }
}

/// Names a [`HeldRecord`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeldKey {
    /// The channel that paid.
    pub channel: ChannelId,
    /// The first sequence.
    pub first: Sequence,
}
codec_struct!(HeldKey { channel, first });

/// What was settled as `Optimistic`, for the 1,024 sequences of a channel from a multiple of 1,024 on. With it the range that a
/// sequence stands in is found, though no sequence names it, and what was forfeited stays known.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RangesRecord {
    /// First sequences of ranges whose fee waits: [`HeldRecord`]s of more than one sequence.
    pub waiting: SequenceBits,
    /// Sequences whose fee and warranty went to the payer, because a demand was not answered.
    pub forfeited: SequenceBits,
}
codec_struct!(RangesRecord { waiting, forfeited });

/// What a node has still to prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DocketRecord {
    /// Open demands.
    pub open: u64,
    /// When the last of them is due.
    pub due: Tick,
}
codec_struct!(DocketRecord { open, due });

/// How far the calendar has been worked off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Calendar {
    /// The oldest tick with entries that are not worked off.
    pub tick: Tick,
    /// The first of them.
    pub position: u64,
}
codec_struct!(Calendar { tick, position });
