//! One answered order as the journal holds it.

use haca_wire::codec::put_bytes;
use haca_wire::{
    Amount, AssetId, ChannelId, Decode, DecodeError, Encode, EvidenceKind, Height, Inference, Item, ModelId,
    Reader, Sequence, Tick, TxHash, codec_struct,
};

use crate::totals::{Month, TotalsKey};

/// Bytes of a response.
const RESPONSE_BYTES: usize = 64 << 20;
/// Bytes of a reason.
const REASON_BYTES: usize = 4096;

/// Stands for a transaction that nobody named: the full node's state shows what it settled, and its index does not have it.
pub const UNKNOWN_TX: TxHash = TxHash([0; 32]);

/// Where a receipt stands. "Proving" is no state of the journal: a proof that was not finished was not begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryState {
    /// Answered; waits for proof and settlement.
    Answered,
    /// In this transaction, whose outcome is not known yet.
    Submitted(TxHash),
    /// Settled by this transaction at this height.
    Settled(TxHash, Height),
    /// Given up, for this reason.
    Refused(String),
    /// Settled as `Optimistic` by this transaction at this height; the fee waits while the payer may demand a proof. By
    /// [`UNKNOWN_TX`] when only the state told of it; the height is then that of the state.
    Held(TxHash, Height),
    /// Settled so, and lost: a demand was not answered in time.
    Forfeited(TxHash, Height),
}

impl Encode for EntryState {
    fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Self::Answered => out.push(1),
            Self::Submitted(tx) => {
                out.push(2);
                tx.encode_into(out);
            }
            Self::Settled(tx, height) => {
                out.push(3);
                tx.encode_into(out);
                height.encode_into(out);
            }
            Self::Refused(reason) => {
                out.push(4);
                let cut = reason.len().min(REASON_BYTES);
                let cut = (0..=cut)
                    .rev()
                    .find(|end| reason.is_char_boundary(*end))
                    .unwrap_or(0);
                put_bytes(out, &reason.as_bytes()[..cut]);
            }
            Self::Held(tx, height) => {
                out.push(5);
                tx.encode_into(out);
                height.encode_into(out);
            }
            Self::Forfeited(tx, height) => {
                out.push(6);
                tx.encode_into(out);
                height.encode_into(out);
            }
        }
    }
}

impl Decode for EntryState {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match u8::decode(reader)? {
            1 => Self::Answered,
            2 => Self::Submitted(Decode::decode(reader)?),
            3 => Self::Settled(Decode::decode(reader)?, Decode::decode(reader)?),
            4 => Self::Refused(reader.string("reason", REASON_BYTES)?),
            5 => Self::Held(Decode::decode(reader)?, Decode::decode(reader)?),
            6 => Self::Forfeited(Decode::decode(reader)?, Decode::decode(reader)?),
            found => {
                return Err(DecodeError::BadTag {
                    what: "entry state",
                    found: u64::from(found),
                });
            }
        })
    }
}

/// What a proof took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProofFigures {
    /// Size.
    pub bytes: u64,
    /// Time in microseconds.
    pub prove_us: u64,
    /// Inferences it covers.
    pub batch: u32,
}
codec_struct!(ProofFigures {
    bytes,
    prove_us,
    batch
});

/// One answered order, without its [`Content`]: thousands of them are read and written at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The order and its one final receipt.
    pub item: Item,
    /// Where it stands.
    pub state: EntryState,
    /// What its proof took, once there is one.
    pub proof: Option<ProofFigures>,
    /// Settlement transactions that were included, burned gas and failed while it was alone in them.
    pub failures: u32,
    /// The channel's asset.
    pub asset: AssetId,
    /// When it was answered, in milliseconds since 1970 by this machine's clock.
    pub answered_unix_ms: u64,
}

impl Encode for Entry {
    fn encode_into(&self, out: &mut Vec<u8>) {
        self.item.encode_into(out);
        self.state.encode_into(out);
        self.proof.encode_into(out);
        self.failures.encode_into(out);
        self.asset.encode_into(out);
        self.answered_unix_ms.encode_into(out);
    }
}

impl Decode for Entry {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            item: Decode::decode(reader)?,
            state: Decode::decode(reader)?,
            proof: Decode::decode(reader)?,
            failures: Decode::decode(reader)?,
            asset: Decode::decode(reader)?,
            answered_unix_ms: Decode::decode(reader)?,
        })
    }
}

/// What an order was answered with: megabytes at most, written once, and needed by its proof and its client alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The public tensors.
    pub inference: Inference,
    /// The response bytes.
    pub response: Vec<u8>,
}

impl Encode for Content {
    fn encode_into(&self, out: &mut Vec<u8>) {
        self.inference.encode_into(out);
        put_bytes(out, &self.response);
    }
}

impl Decode for Content {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            inference: Decode::decode(reader)?,
            response: reader.bytes("response", RESPONSE_BYTES)?,
        })
    }
}

impl Entry {
    /// Where the entry stands in the journal.
    pub fn place(&self) -> Place {
        Place {
            channel: self.item.order.value.channel,
            sequence: self.item.order.value.sequence,
        }
    }

    /// The row of totals that it counts in, for what happened at a time in milliseconds since 1970.
    pub fn totals_key(&self, unix_ms: u64) -> TotalsKey {
        let order = &self.item.order.value;
        TotalsKey {
            month: Month::of_unix_ms(unix_ms),
            model: order.model,
            evidence: order.evidence,
            asset: self.asset,
        }
    }

    /// Whether it still waits for its settlement.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, EntryState::Answered | EntryState::Submitted(_))
    }

    /// What a settlement in a block makes of it.
    pub fn settled_by(&self, tx: TxHash, height: Height) -> EntryState {
        match self.item.order.value.evidence {
            EvidenceKind::Optimistic => EntryState::Held(tx, height),
            _ => EntryState::Settled(tx, height),
        }
    }

    /// The fee that waits when it was settled by itself; `None` unless it was settled as `Optimistic` and is neither paid nor
    /// lost.
    pub fn held_fee(&self) -> Option<HeldFee> {
        let EntryState::Held(tx, height) = self.state else {
            return None;
        };
        Some(HeldFee {
            place: self.place(),
            count: 1,
            model: self.item.order.value.model,
            fee: self.item.receipt.value.fee,
            warranty: self.item.order.value.warranty,
            asset: self.asset,
            tx,
            height,
            answer: None,
        })
    }

    /// What the planner has to know of it; `None` once it waits for nothing.
    pub fn pending(&self) -> Option<Pending> {
        let order = &self.item.order.value;
        let tx = match self.state {
            EntryState::Answered => None,
            EntryState::Submitted(tx) => Some(tx),
            EntryState::Settled(..)
            | EntryState::Refused(_)
            | EntryState::Held(..)
            | EntryState::Forfeited(..) => return None,
        };
        Some(Pending {
            place: self.place(),
            model: order.model,
            evidence: order.evidence,
            settle_by: order.settle_by,
            fee: self.item.receipt.value.fee,
            warranty: order.warranty,
            asset: self.asset,
            answered_unix_ms: self.answered_unix_ms,
            tx,
        })
    }
}

/// A receipt that waits for its settlement, as the planner looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Channel and sequence.
    pub place: Place,
    /// The model that answered.
    pub model: ModelId,
    /// The evidence that was ordered.
    pub evidence: EvidenceKind,
    /// Last tick at which it settles.
    pub settle_by: Tick,
    /// The fee that its receipt charges.
    pub fee: Amount,
    /// The warranty that could be claimed.
    pub warranty: Amount,
    /// The asset of both.
    pub asset: AssetId,
    /// When it was answered, in milliseconds since 1970 by this machine's clock.
    pub answered_unix_ms: u64,
    /// The transaction that it was sent in, if any.
    pub tx: Option<TxHash>,
}
codec_struct!(Pending {
    place,
    model,
    evidence,
    settle_by,
    fee,
    warranty,
    asset,
    answered_unix_ms,
    tx
});

/// The fee of a receipt that was settled as `Optimistic`, or of the range of a voucher: it is paid when no proof can be
/// demanded any more, and lost when a demand stays unanswered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldFee {
    /// Channel and first sequence.
    pub place: Place,
    /// Sequences that were settled together: 1 without a voucher.
    pub count: u32,
    /// The model that answered.
    pub model: ModelId,
    /// What waits.
    pub fee: Amount,
    /// What the payer receives besides the fee if a demand stays unanswered.
    pub warranty: Amount,
    /// The asset of both.
    pub asset: AssetId,
    /// The transaction that settled it, or [`UNKNOWN_TX`].
    pub tx: TxHash,
    /// Its height, or that of a state that shows the fee.
    pub height: Height,
    /// The answer to a demand, if one was sent.
    pub answer: Option<SentAnswer>,
}
codec_struct!(HeldFee {
    place,
    count,
    model,
    fee,
    warranty,
    asset,
    tx,
    height,
    answer
});

impl HeldFee {
    /// The places of its receipts.
    pub fn places(&self) -> impl Iterator<Item = Place> + use<> {
        let Place { channel, sequence } = self.place;
        (0..u64::from(self.count)).map(move |offset| Place {
            channel,
            sequence: Sequence(sequence.0.saturating_add(offset)),
        })
    }
}

/// An answer to a demand whose fate is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentAnswer {
    /// Its transaction.
    pub tx: TxHash,
    /// The sequence that was demanded.
    pub sequence: Sequence,
    /// OPG of the payer that it brings.
    pub deposit: Amount,
}
codec_struct!(SentAnswer {
    tx,
    sequence,
    deposit
});

/// A receipt that missed its settlement. The payer may claim the warranty until the window ends, so no other order
/// may count on that part of the reserve before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// Channel and sequence.
    pub place: Place,
    /// What can be claimed.
    pub warranty: Amount,
    /// Last tick at which it can be.
    pub until: Tick,
}
codec_struct!(Missed {
    place,
    warranty,
    until
});

/// Channel and sequence: at most one receipt exists for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The channel.
    pub channel: ChannelId,
    /// The sequence.
    pub sequence: Sequence,
}
codec_struct!(Place { channel, sequence });

impl Place {
    /// The journal's key: channel, then sequence big-endian.
    pub fn key(&self) -> [u8; 40] {
        let mut key = [0; 40];
        key[..32].copy_from_slice(&self.channel.0);
        key[32..].copy_from_slice(&self.sequence.0.to_be_bytes());
        key
    }
}
