//! Payment channels and the claims made on them.

use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::codec_struct;
use crate::id::{Address, Amount, AssetId, Height, OrderHash, Tick};

use super::window::SequenceWindow;

/// Where a channel stands between opening and closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelState {
    /// Orders settle until their settle-by tick.
    Open,
    /// One side asked to close alone.
    Closing {
        /// The side that asked.
        by: Address,
        /// Last tick at which any order of the channel settles.
        last_settle: Tick,
        /// Last tick before the channel closes by itself.
        matures: Tick,
    },
    /// Nothing settles, nothing is claimed, nothing is held. The record stays, so that the quote that opened
    /// the channel can't open it again.
    Closed {
        /// The block that closed it.
        height: Height,
    },
}

impl Encode for ChannelState {
    fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Self::Open => out.push(1),
            Self::Closing {
                by,
                last_settle,
                matures,
            } => {
                out.push(2);
                by.encode_into(out);
                last_settle.encode_into(out);
                matures.encode_into(out);
            }
            Self::Closed { height } => {
                out.push(3);
                height.encode_into(out);
            }
        }
    }
}

impl Decode for ChannelState {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(reader)? {
            1 => Ok(Self::Open),
            2 => Ok(Self::Closing {
                by: Decode::decode(reader)?,
                last_settle: Decode::decode(reader)?,
                matures: Decode::decode(reader)?,
            }),
            3 => Ok(Self::Closed {
                height: Decode::decode(reader)?,
            }),
            found => Err(DecodeError::BadTag {
                what: "channel state",
                found: u64::from(found),
            }),
        }
    }
}

/// A payer's escrow toward one node in one asset, and what the node set aside for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRecord {
    /// Who pays.
    pub payer: Address,
    /// The inference node's account.
    pub node: Address,
    /// The asset of fees, deposit and reserve.
    pub asset: AssetId,
    /// What is left of the payer's escrow.
    pub deposit: Amount,
    /// What is left of the node's warranty reserve.
    pub reserve: Amount,
    /// The version of the node's offers when the channel opened.
    pub offer_version: u32,
    /// The block that opened it.
    pub opened: Height,
    /// Open, closing or closed.
    pub state: ChannelState,
    /// Fees settled so far.
    pub paid: Amount,
    /// Receipts settled so far.
    pub settled: u64,
    /// The used sequences.
    pub window: SequenceWindow,
}
codec_struct!(ChannelRecord {
    payer,
    node,
    asset,
    deposit,
    reserve,
    offer_version,
    opened,
    state,
    paid,
    settled,
    window
});

impl ChannelRecord {
    /// Last tick at which an order with this settle-by settles: closing alone brings it forward.
    pub fn deadline(&self, settle_by: Tick) -> Tick {
        match self.state {
            ChannelState::Closing { last_settle, .. } => settle_by.min(last_settle),
            ChannelState::Open | ChannelState::Closed { .. } => settle_by,
        }
    }
}

/// Why a warranty was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ClaimKind {
    /// The receipt was not settled in time.
    Missed = 1,
    /// The node signed two receipts for the sequence.
    Equivocation = 2,
    /// The node left a demand unanswered.
    Unanswered = 3,
}

impl Encode for ClaimKind {
    fn encode_into(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }
}

impl Decode for ClaimKind {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(reader)? {
            1 => Ok(Self::Missed),
            2 => Ok(Self::Equivocation),
            3 => Ok(Self::Unanswered),
            found => Err(DecodeError::BadTag {
                what: "claim kind",
                found: u64::from(found),
            }),
        }
    }
}

/// A claim that was granted for one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimRecord {
    /// Why. An equivocation replaces a missed settlement of the same sequence.
    pub kind: ClaimKind,
    /// The order whose warranty was claimed; zero for an unanswered demand, which names none.
    pub order: OrderHash,
    /// What the payer received for this sequence.
    pub paid: Amount,
    /// The block that granted the claim.
    pub height: Height,
}
codec_struct!(ClaimRecord {
    kind,
    order,
    paid,
    height
});
