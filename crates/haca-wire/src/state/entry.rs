//! A state entry with its meaning: what audits and exports read.

use thiserror::Error;

use crate::codec::{Decode, DecodeError, Reader};
use crate::id::{
    Address, Amount, AssetId, ChannelId, ConsensusAddress, Height, ModelId, Nonce, ProposalId, Sequence, Tick,
};

use super::{
    AssetRecord, BondRecord, Calendar, ChainRecord, ChannelRecord, ClaimRecord, Clock, DocketRecord,
    GovernanceRecord, HeldKey, HeldRecord, ModelRecord, NodeRecord, Params, ProposalRecord, Queue,
    RangesRecord, SpentNonces, Supply, UnbondingRecord, UnstakingRecord, ValidatorRecord, ValidatorSetRecord,
    key,
};

/// Why a key and value are no state entry.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EntryError {
    /// No entry has such a key.
    #[error("no state entry has a key of this form")]
    UnknownKey,
    /// The value does not decode as the record that belongs under the key.
    #[error("value under {prefix}: {source}")]
    Value {
        /// The kind of key.
        prefix: &'static str,
        /// What is wrong.
        source: DecodeError,
    },
}

impl EntryError {
    /// A stable identifier for programs and documentation.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownKey => "wire.state_key",
            Self::Value { .. } => "wire.state_value",
        }
    }
}

/// Everything the state can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An asset.
    Asset(AssetId, AssetRecord),
    /// A balance.
    Balance(Address, AssetId, Amount),
    /// A bond.
    Bond(Address, AssetId, BondRecord),
    /// The network.
    Chain(ChainRecord),
    /// A channel.
    Channel(ChannelId, Box<ChannelRecord>),
    /// A granted claim.
    Claim(ChannelId, Sequence, ClaimRecord),
    /// The clock.
    Clock(Clock),
    /// A position of the closing queue.
    Closing(u64, ChannelId),
    /// The closing queue.
    ClosingQueue(Queue),
    /// What a node has still to prove.
    Docket(Address, DocketRecord),
    /// An entry of the calendar: the tick it is due at, and its position there.
    Due(Tick, u64, HeldKey),
    /// How far the calendar has been worked off.
    DueQueue(Calendar),
    /// Entries of the calendar at a tick.
    Dues(Tick, u64),
    /// Which rules run, and what is voted on.
    Governance(GovernanceRecord),
    /// A fee that waits.
    Held(HeldKey, Box<HeldRecord>),
    /// A model.
    Model(ModelId, ModelRecord),
    /// An inference node.
    Node(Address, NodeRecord),
    /// A used nonce and the height of its block.
    Nonce(Address, Nonce, Height),
    /// The parameters.
    Params(Params),
    /// The validators' pool.
    Pool(Amount),
    /// An open proposal.
    Proposal(ProposalId, ProposalRecord),
    /// Ranges that wait and sequences that were forfeited, for the 1,024 sequences from 1,024 times this number on.
    Ranges(ChannelId, u64, Box<RangesRecord>),
    /// The receipt root of a block.
    Receipts(Height, [u8; 32]),
    /// The nonces used in a block.
    Spent(Height, SpentNonces),
    /// The supply of an asset.
    Supply(AssetId, Supply),
    /// A model without its verifying key.
    Terms(ModelId, ModelRecord),
    /// A position of the unbonding queue.
    Unbonding(u64, UnbondingRecord),
    /// The unbonding queue.
    UnbondingQueue(Queue),
    /// A position of the queue of stake on its way out.
    Unstaking(u64, UnstakingRecord),
    /// The queue of stake on its way out.
    UnstakingQueue(Queue),
    /// A validator.
    Validator(ConsensusAddress, ValidatorRecord),
    /// All validators with a stake, and who of them decides blocks.
    Validators(ValidatorSetRecord),
}

impl Entry {
    /// Reads an entry of the state.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, EntryError> {
        match key {
            key::CHAIN => return record("chain", value).map(Self::Chain),
            key::CLOCK => return record("clock", value).map(Self::Clock),
            key::GOVERNANCE => return record("governance", value).map(Self::Governance),
            key::PARAMS => return record("params", value).map(Self::Params),
            key::POOL => return record("pool", value).map(Self::Pool),
            key::CLOSING_QUEUE => return record("queue/closing", value).map(Self::ClosingQueue),
            key::DUE_QUEUE => return record("queue/due", value).map(Self::DueQueue),
            key::UNBONDING_QUEUE => return record("queue/unbonding", value).map(Self::UnbondingQueue),
            key::UNSTAKING_QUEUE => return record("queue/unstaking", value).map(Self::UnstakingQueue),
            key::VALIDATORS => return record("validators", value).map(Self::Validators),
            _ => {}
        }
        let slash = key
            .iter()
            .position(|byte| *byte == b'/')
            .ok_or(EntryError::UnknownKey)?;
        let (prefix, rest) = key
            .split_at_checked(slash.saturating_add(1))
            .ok_or(EntryError::UnknownKey)?;
        let mut rest = Reader::new(rest);
        let entry = Self::decode_under(prefix, &mut rest, value)?;
        rest.finish().map_err(|_| EntryError::UnknownKey)?;
        Ok(entry)
    }

    fn decode_under(prefix: &[u8], rest: &mut Reader<'_>, value: &[u8]) -> Result<Self, EntryError> {
        Ok(match prefix {
            key::ASSET => Self::Asset(asset(rest)?, record("asset/", value)?),
            key::BALANCE => Self::Balance(part(rest)?, asset(rest)?, record("balance/", value)?),
            key::BOND => Self::Bond(part(rest)?, asset(rest)?, record("bond/", value)?),
            key::CHANNEL => Self::Channel(part(rest)?, Box::new(record("channel/", value)?)),
            key::CLAIM => Self::Claim(part(rest)?, Sequence(number(rest)?), record("claim/", value)?),
            key::CLOSING => Self::Closing(number(rest)?, record("closing/", value)?),
            key::DOCKET => Self::Docket(part(rest)?, record("docket/", value)?),
            key::DUE => Self::Due(Tick(number(rest)?), number(rest)?, record("due/", value)?),
            key::DUES => Self::Dues(Tick(number(rest)?), record("dues/", value)?),
            key::HELD => {
                let (channel, first) = (part(rest)?, Sequence(number(rest)?));
                Self::Held(HeldKey { channel, first }, Box::new(record("held/", value)?))
            }
            key::MODEL => Self::Model(part(rest)?, record("model/", value)?),
            key::NODE => Self::Node(part(rest)?, record("node/", value)?),
            key::NONCE => Self::Nonce(part(rest)?, part(rest)?, record("nonce/", value)?),
            key::PROPOSAL => Self::Proposal(ProposalId(number(rest)?), record("proposal/", value)?),
            key::RANGES => Self::Ranges(part(rest)?, number(rest)?, Box::new(record("ranges/", value)?)),
            key::RECEIPTS => Self::Receipts(Height(number(rest)?), record("receipts/", value)?),
            key::SPENT => Self::Spent(Height(number(rest)?), record("spent/", value)?),
            key::SUPPLY => Self::Supply(asset(rest)?, record("supply/", value)?),
            key::TERMS => Self::Terms(part(rest)?, record("terms/", value)?),
            key::UNBONDING => Self::Unbonding(number(rest)?, record("unbonding/", value)?),
            key::UNSTAKING => Self::Unstaking(number(rest)?, record("unstaking/", value)?),
            key::VALIDATOR => Self::Validator(part(rest)?, record("validator/", value)?),
            _ => return Err(EntryError::UnknownKey),
        })
    }
}

fn record<T: Decode>(prefix: &'static str, value: &[u8]) -> Result<T, EntryError> {
    T::decode_all(value).map_err(|source| EntryError::Value { prefix, source })
}

fn part<T: Decode>(rest: &mut Reader<'_>) -> Result<T, EntryError> {
    T::decode(rest).map_err(|_| EntryError::UnknownKey)
}

fn asset(rest: &mut Reader<'_>) -> Result<AssetId, EntryError> {
    part::<[u8; 4]>(rest).map(|bytes| AssetId(u32::from_be_bytes(bytes)))
}

fn number(rest: &mut Reader<'_>) -> Result<u64, EntryError> {
    part::<[u8; 8]>(rest).map(u64::from_be_bytes)
}
