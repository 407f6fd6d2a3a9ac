//! Reading single records of a state.

use haca_wire::state::{
    AssetRecord, BondRecord, ChainRecord, ChannelRecord, ClaimRecord, Clock, GovernanceRecord, HeldKey,
    HeldRecord, ModelRecord, NodeRecord, Params, ProposalRecord, Supply, ValidatorRecord, ValidatorSetRecord,
    key,
};
use haca_wire::{
    Address, Amount, AssetId, ChannelId, ConsensusKey, Height, ModelId, Nonce, Proposal, ProposalId, Sequence,
};

use crate::error::LedgerError;
use crate::overlay::{need, read};
use crate::state_reader::StateReader;

/// All validators with a stake, and who of them decides blocks.
pub fn validators(state: &dyn StateReader) -> Result<ValidatorSetRecord, LedgerError> {
    need(state, key::VALIDATORS)
}

/// A validator, by its key.
pub fn validator(
    state: &dyn StateReader,
    consensus: ConsensusKey,
) -> Result<Option<ValidatorRecord>, LedgerError> {
    read(state, &key::validator(consensus.address()))
}

/// Which version of the rules runs, and which proposals are open.
pub fn governance(state: &dyn StateReader) -> Result<GovernanceRecord, LedgerError> {
    need(state, key::GOVERNANCE)
}

/// An open proposal.
pub fn proposal(
    state: &dyn StateReader,
    proposal: ProposalId,
) -> Result<Option<ProposalRecord>, LedgerError> {
    read(state, &key::proposal(proposal))
}

/// The upgrade that is to come first of those that have passed: its version and the first block under it.
pub fn upgrade(state: &dyn StateReader) -> Result<Option<(u64, Height)>, LedgerError> {
    let mut first: Option<(u64, Height)> = None;
    for id in governance(state)?.open {
        let Some(record) = proposal(state, id)? else {
            continue;
        };
        if let (Proposal::Upgrade { version, height }, Some(_)) = (record.proposal, record.due)
            && first.is_none_or(|(_, earlier)| height < earlier)
        {
            first = Some((version, height));
        }
    }
    Ok(first)
}

/// Which network this is.
pub fn chain(state: &dyn StateReader) -> Result<ChainRecord, LedgerError> {
    need(state, key::CHAIN)
}

/// Height, tick and base fee.
pub fn clock(state: &dyn StateReader) -> Result<Clock, LedgerError> {
    need(state, key::CLOCK)
}

/// The parameters.
pub fn params(state: &dyn StateReader) -> Result<Params, LedgerError> {
    need(state, key::PARAMS)
}

/// Every asset with its supply, by id.
pub fn assets(state: &dyn StateReader) -> Result<Vec<(AssetId, AssetRecord, Supply)>, LedgerError> {
    let mut assets = Vec::new();
    let mut asset = AssetId::OPG;
    while let Some(record) = read(state, &key::asset(asset))? {
        assets.push((asset, record, need(state, &key::supply(asset))?));
        asset = AssetId(asset.0.saturating_add(1));
    }
    Ok(assets)
}

/// Where every unit of one asset is.
pub fn supply(state: &dyn StateReader, asset: AssetId) -> Result<Option<Supply>, LedgerError> {
    read(state, &key::supply(asset))
}

/// What an account holds of one asset.
pub fn balance(state: &dyn StateReader, account: Address, asset: AssetId) -> Result<Amount, LedgerError> {
    Ok(read(state, &key::balance(account, asset))?.unwrap_or_default())
}

/// What an account holds of every asset, by id.
pub fn balances(state: &dyn StateReader, account: Address) -> Result<Vec<(AssetId, Amount)>, LedgerError> {
    let mut balances = Vec::new();
    for (asset, _, _) in assets(state)? {
        balances.push((asset, balance(state, account, asset)?));
    }
    Ok(balances)
}

/// A channel, closed ones included.
pub fn channel(state: &dyn StateReader, channel: ChannelId) -> Result<Option<ChannelRecord>, LedgerError> {
    read(state, &key::channel(channel))
}

/// The claim that was granted for one sequence.
pub fn claim(
    state: &dyn StateReader,
    channel: ChannelId,
    sequence: Sequence,
) -> Result<Option<ClaimRecord>, LedgerError> {
    read(state, &key::claim(channel, sequence))
}

/// A fee that waits, by the first sequence of what was settled.
pub fn held(state: &dyn StateReader, held_key: HeldKey) -> Result<Option<HeldRecord>, LedgerError> {
    read(state, &key::held(held_key))
}

/// What a demand on a receipt of `model` would cost its payer in the next block, besides the gas of the demand.
pub fn deposit_of_demand(state: &dyn StateReader, model: ModelId) -> Result<Option<Amount>, LedgerError> {
    let (params, clock) = (params(state)?, clock(state)?);
    let terms: Option<ModelRecord> = read(state, &key::terms(model))?;
    Ok(terms.and_then(|terms| params.demand_deposit(clock.base_fee, &terms)))
}

/// A model.
pub fn model(state: &dyn StateReader, model: ModelId) -> Result<Option<ModelRecord>, LedgerError> {
    read(state, &key::model(model))
}

/// An inference node.
pub fn node(state: &dyn StateReader, node: Address) -> Result<Option<NodeRecord>, LedgerError> {
    read(state, &key::node(node))
}

/// A node's bond in one asset.
pub fn bond(state: &dyn StateReader, node: Address, asset: AssetId) -> Result<BondRecord, LedgerError> {
    Ok(read(state, &key::bond(node, asset))?.unwrap_or_default())
}

/// The height at which a sender's nonce was used, while it is remembered.
pub fn nonce(state: &dyn StateReader, sender: Address, nonce: Nonce) -> Result<Option<Height>, LedgerError> {
    read(state, &key::nonce(sender, nonce))
}

/// The receipt root of a block that settled something.
pub fn receipt_root(state: &dyn StateReader, height: Height) -> Result<Option<[u8; 32]>, LedgerError> {
    read(state, &key::receipts(height))
}
