//! The key of every state entry.

use super::{HeldKey, SEQUENCE_WINDOW};
use crate::id::{
    Address, AssetId, ChannelId, ConsensusAddress, Height, ModelId, Nonce, ProposalId, Sequence, Tick,
};

/// [`ChainRecord`](super::ChainRecord): which network this is.
pub const CHAIN: &[u8] = b"chain";
/// [`Clock`](super::Clock): height, settlement tick, base fee.
pub const CLOCK: &[u8] = b"clock";
/// [`GovernanceRecord`](super::GovernanceRecord).
pub const GOVERNANCE: &[u8] = b"governance";
/// [`Params`](super::Params).
pub const PARAMS: &[u8] = b"params";
/// Amount of OPG in the validators' pool.
pub const POOL: &[u8] = b"pool";
/// [`Queue`](super::Queue) of unilateral closings.
pub const CLOSING_QUEUE: &[u8] = b"queue/closing";
/// [`Calendar`](super::Calendar): how far the entries under [`due`] have been worked off.
pub const DUE_QUEUE: &[u8] = b"queue/due";
/// [`Queue`](super::Queue) of unbonding amounts.
pub const UNBONDING_QUEUE: &[u8] = b"queue/unbonding";
/// [`Queue`](super::Queue) of stake on its way out.
pub const UNSTAKING_QUEUE: &[u8] = b"queue/unstaking";
/// [`ValidatorSetRecord`](super::ValidatorSetRecord).
pub const VALIDATORS: &[u8] = b"validators";

/// Prefix of [`asset`].
pub const ASSET: &[u8] = b"asset/";
/// Prefix of [`balance`].
pub const BALANCE: &[u8] = b"balance/";
/// Prefix of [`bond`].
pub const BOND: &[u8] = b"bond/";
/// Prefix of [`channel`].
pub const CHANNEL: &[u8] = b"channel/";
/// Prefix of [`claim`].
pub const CLAIM: &[u8] = b"claim/";
/// Prefix of [`closing`].
pub const CLOSING: &[u8] = b"closing/";
/// Prefix of [`docket`].
pub const DOCKET: &[u8] = b"docket/";
/// Prefix of [`due`].
pub const DUE: &[u8] = b"due/";
/// Prefix of [`dues`].
pub const DUES: &[u8] = b"dues/";
/// Prefix of [`held`].
pub const HELD: &[u8] = b"held/";
/// Prefix of [`model`].
pub const MODEL: &[u8] = b"model/";
/// Prefix of [`node`].
pub const NODE: &[u8] = b"node/";
/// Prefix of [`nonce`].
pub const NONCE: &[u8] = b"nonce/";
/// Prefix of [`proposal`].
pub const PROPOSAL: &[u8] = b"proposal/";
/// Prefix of [`ranges`].
pub const RANGES: &[u8] = b"ranges/";
/// Prefix of [`receipts`].
pub const RECEIPTS: &[u8] = b"receipts/";
/// Prefix of [`spent`].
pub const SPENT: &[u8] = b"spent/";
/// Prefix of [`supply`].
pub const SUPPLY: &[u8] = b"supply/";
/// Prefix of [`terms`].
pub const TERMS: &[u8] = b"terms/";
/// Prefix of [`unbonding`].
pub const UNBONDING: &[u8] = b"unbonding/";
/// Prefix of [`unstaking`].
pub const UNSTAKING: &[u8] = b"unstaking/";
/// Prefix of [`validator`].
pub const VALIDATOR: &[u8] = b"validator/";

/// [`AssetRecord`](super::AssetRecord) of an asset.
pub fn asset(asset: AssetId) -> Vec<u8> {
    [ASSET, &asset.0.to_be_bytes()].concat()
}

/// Balance of an account in one asset; absent when zero.
pub fn balance(account: Address, asset: AssetId) -> Vec<u8> {
    [BALANCE, &account.0, &asset.0.to_be_bytes()].concat()
}

/// [`BondRecord`](super::BondRecord) of a node in one asset.
pub fn bond(node: Address, asset: AssetId) -> Vec<u8> {
    [BOND, &node.0, &asset.0.to_be_bytes()].concat()
}

/// [`ChannelRecord`](super::ChannelRecord).
pub fn channel(channel: ChannelId) -> Vec<u8> {
    [CHANNEL, &channel.0[..]].concat()
}

/// [`ClaimRecord`](super::ClaimRecord) of one sequence of a channel.
pub fn claim(channel: ChannelId, sequence: Sequence) -> Vec<u8> {
    [CLAIM, &channel.0, &sequence.0.to_be_bytes()].concat()
}

/// Channel at a position of the closing queue.
pub fn closing(position: u64) -> Vec<u8> {
    [CLOSING, &position.to_be_bytes()].concat()
}

/// [`DocketRecord`](super::DocketRecord) of an inference node; absent when no demand on it is open.
pub fn docket(node: Address) -> Vec<u8> {
    [DOCKET, &node.0[..]].concat()
}

/// [`HeldKey`] at a position of the calendar's entries for a tick.
pub fn due(tick: Tick, position: u64) -> Vec<u8> {
    [DUE, &tick.0.to_be_bytes(), &position.to_be_bytes()].concat()
}

/// Number of the calendar's entries for a tick; absent when there are none.
pub fn dues(tick: Tick) -> Vec<u8> {
    [DUES, &tick.0.to_be_bytes()].concat()
}

/// [`HeldRecord`](super::HeldRecord) of what was settled from a sequence on.
pub fn held(key: HeldKey) -> Vec<u8> {
    [HELD, &key.channel.0, &key.first.0.to_be_bytes()].concat()
}

/// [`ModelRecord`](super::ModelRecord).
pub fn model(model: ModelId) -> Vec<u8> {
    [MODEL, &model.0[..]].concat()
}

/// [`NodeRecord`](super::NodeRecord) of the inference node with this account.
pub fn node(node: Address) -> Vec<u8> {
    [NODE, &node.0[..]].concat()
}

/// Height at which the sender's nonce was used.
pub fn nonce(sender: Address, nonce: Nonce) -> Vec<u8> {
    [NONCE, &sender.0, &nonce.0[..]].concat()
}

/// [`ProposalRecord`](super::ProposalRecord) of an open proposal.
pub fn proposal(proposal: ProposalId) -> Vec<u8> {
    [PROPOSAL, &proposal.0.to_be_bytes()].concat()
}

/// [`RangesRecord`](super::RangesRecord) for the 1,024 sequences of a channel of which this is one, by the sequence / 1,024;
/// absent when no bit of it is set.
pub fn ranges(channel: ChannelId, sequence: Sequence) -> Vec<u8> {
    let part = sequence.0 / SEQUENCE_WINDOW;
    [RANGES, &channel.0, &part.to_be_bytes()].concat()
}

/// RFC 6962 root of the [`Settlement`](crate::receipt::Settlement)s of a block; absent when it settled nothing.
pub fn receipts(height: Height) -> Vec<u8> {
    [RECEIPTS, &height.0.to_be_bytes()].concat()
}

/// [`SpentNonces`](super::SpentNonces) of a block.
pub fn spent(height: Height) -> Vec<u8> {
    [SPENT, &height.0.to_be_bytes()].concat()
}

/// [`Supply`](super::Supply) of an asset.
pub fn supply(asset: AssetId) -> Vec<u8> {
    [SUPPLY, &asset.0.to_be_bytes()].concat()
}

/// The [`ModelRecord`](super::ModelRecord) of a model without its verifying key, for whoever verifies nothing with it.
pub fn terms(model: ModelId) -> Vec<u8> {
    [TERMS, &model.0[..]].concat()
}

/// [`UnbondingRecord`](super::UnbondingRecord) at a position of the unbonding queue.
pub fn unbonding(position: u64) -> Vec<u8> {
    [UNBONDING, &position.to_be_bytes()].concat()
}

/// [`UnstakingRecord`](super::UnstakingRecord) at a position of the queue of stake on its way out.
pub fn unstaking(position: u64) -> Vec<u8> {
    [UNSTAKING, &position.to_be_bytes()].concat()
}

/// [`ValidatorRecord`](super::ValidatorRecord) of the validator with this consensus address.
pub fn validator(validator: ConsensusAddress) -> Vec<u8> {
    [VALIDATOR, &validator.0[..]].concat()
}
