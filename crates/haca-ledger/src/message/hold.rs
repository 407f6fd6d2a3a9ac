//! Fees that wait: put aside at settlement, then paid to the node, or returned when it leaves a demand unanswered.

use haca_wire::state::{ClaimKind, ClaimRecord, DemandRecord, DocketRecord, HeldKey, HeldRecord, key};
use haca_wire::{Address, Amount, AssetId, Height, OrderHash, Tick};

use super::Stop;
use super::bond::{release, seize};
use super::node::burn_stake;
use crate::bank::Purse;
use crate::error::LedgerError;
use crate::outcome::Effect;
use crate::overlay::Overlay;

/// Puts a held fee on record. Its money is in [`Purse::Held`] and its warranty in the node's reserved bond already.
pub(super) fn hold(state: &mut Overlay<'_>, held_key: HeldKey, held: &HeldRecord) -> Result<(), Stop> {
    state.put(key::held(held_key), held);
    schedule(state, held.due(), held_key)
}

/// Has the calendar look at a held fee after `tick`, which is not before the block's.
pub(super) fn schedule(state: &mut Overlay<'_>, tick: Tick, held_key: HeldKey) -> Result<(), Stop> {
    let count = state.get::<u64>(&key::dues(tick))?.unwrap_or_default();
    state.put(key::due(tick, count), &held_key);
    state.put(key::dues(tick), &count.saturating_add(1));
    Ok(())
}

/// Pays the node a fee that no demand holds back, and releases the warranty to its free bond.
pub(crate) fn pay(state: &mut Overlay<'_>, held_key: HeldKey, held: &HeldRecord) -> Result<Effect, Stop> {
    state.shift(held.asset, Purse::Held, Purse::Balance(held.payout), held.fee)?;
    release(state, held.node, held.asset, held.warranty)?;
    state.delete(key::held(held_key));
    Ok(Effect::HeldPaid {
        channel: held_key.channel,
        first: held_key.first,
        payout: held.payout,
        asset: held.asset,
        fee: held.fee,
    })
}

/// What an unanswered demand costs the node: the whole fee, the warranty, its stake, and its place in the network. The
/// payer has its deposit back.
pub(crate) fn forfeit(
    state: &mut Overlay<'_>,
    held_key: HeldKey,
    held: &HeldRecord,
    demand: &DemandRecord,
    height: Height,
) -> Result<Effect, Stop> {
    let payer = Purse::Balance(held.payer);
    state.shift(held.asset, Purse::Held, payer, held.fee)?;
    state.shift(AssetId::OPG, Purse::Held, payer, demand.deposit)?;
    // An equivocation that was reported meanwhile stays on record, and what it paid for this sequence is not paid again.
    let claim_key = key::claim(held_key.channel, demand.sequence);
    let reported = state.get::<ClaimRecord>(&claim_key)?;
    let before = reported.as_ref().map_or(Amount(0), |claim| claim.paid);
    let paid = Amount(held.warranty.0.saturating_sub(before.0));
    seize(state, held.node, held.asset, paid, held.payer)?;
    let rest = Amount(held.warranty.0.saturating_sub(paid.0));
    release(state, held.node, held.asset, rest)?;
    let burned = burn_stake(state, held.node)?;
    close_demand(state, held.node)?;
    if reported.is_none() {
        let claim = ClaimRecord {
            kind: ClaimKind::Unanswered,
            order: OrderHash::default(),
            paid,
            height,
        };
        state.put(claim_key, &claim);
    }
    state.delete(key::held(held_key));
    Ok(Effect::DemandUnanswered {
        channel: held_key.channel,
        first: held_key.first,
        sequence: demand.sequence,
        node: held.node,
        fee: held.fee,
        paid,
        burned,
    })
}

/// Takes one demand off the node's docket.
pub(super) fn close_demand(state: &mut Overlay<'_>, node: Address) -> Result<(), Stop> {
    let mut docket: DocketRecord = state.need(&key::docket(node))?;
    docket.open = docket
        .open
        .checked_sub(1)
        .ok_or(LedgerError::Arithmetic { what: "docket" })?;
    if docket.open == 0 {
        state.delete(key::docket(node));
    } else {
        state.put(key::docket(node), &docket);
    }
    Ok(())
}
