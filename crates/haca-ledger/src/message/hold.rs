//! Fees that wait: put aside at settlement, then paid to the node, or returned when it leaves a demand unanswered.
//! And what pays the warranty of a sequence meanwhile and afterwards.

use haca_wire::state::{
    ClaimKind, ClaimRecord, DemandRecord, DocketRecord, HeldKey, HeldRecord, RangesRecord, SEQUENCE_WINDOW,
    key,
};
use haca_wire::{Address, AssetId, ChannelId, Height, OrderHash, Sequence, Tick};

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
    if held.count > 1 {
        change_ranges(state, held_key, |ranges| ranges.waiting.set(held_key.first, true))?;
    }
    schedule(state, held.due(), held_key)
}

/// Takes a held fee off the record.
fn end(state: &mut Overlay<'_>, held_key: HeldKey, held: &HeldRecord) -> Result<(), Stop> {
    state.delete(key::held(held_key));
    if held.count > 1 {
        change_ranges(state, held_key, |ranges| {
            ranges.waiting.set(held_key.first, false)
        })?;
    }
    Ok(())
}

/// Changes what is known of the ranges around a sequence.
fn change_ranges(
    state: &mut Overlay<'_>,
    at: HeldKey,
    change: impl FnOnce(&mut RangesRecord),
) -> Result<(), Stop> {
    let ranges_key = key::ranges(at.channel, at.first);
    let mut ranges: RangesRecord = state.get(&ranges_key)?.unwrap_or_default();
    change(&mut ranges);
    if ranges == RangesRecord::default() {
        state.delete(ranges_key);
    } else {
        state.put(ranges_key, &ranges);
    }
    Ok(())
}

/// Remembers that fee and warranty of these sequences went to the payer.
fn mark_forfeited(state: &mut Overlay<'_>, held_key: HeldKey, count: u32) -> Result<(), Stop> {
    let (first, end) = (held_key.first.0, held_key.first.0.saturating_add(count.into()));
    let mut from = first;
    while from < end {
        let part_end = (from / SEQUENCE_WINDOW)
            .saturating_add(1)
            .saturating_mul(SEQUENCE_WINDOW);
        let to = end.min(part_end);
        let at = HeldKey {
            first: Sequence(from),
            ..held_key
        };
        change_ranges(state, at, |ranges| {
            (from..to).for_each(|sequence| ranges.forfeited.set(Sequence(sequence), true));
        })?;
        from = to;
    }
    Ok(())
}

/// What pays the warranty of a sequence.
pub(super) enum WarrantySource {
    /// What its settlement put aside, which waits.
    Held(HeldKey, Box<HeldRecord>),
    /// The channel's reserve.
    Reserve,
    /// Nothing more: it went to the payer with the fee.
    Forfeited,
}

/// Finds what pays the warranty of a sequence. Ranges don't overlap, so the nearest one that starts at or below the sequence
/// is the only one that can hold it; it starts among the 1,024 sequences of the sequence's part, or of the part below.
pub(super) fn warranty_source(
    state: &Overlay<'_>,
    channel: ChannelId,
    sequence: Sequence,
) -> Result<WarrantySource, Stop> {
    let itself = HeldKey {
        channel,
        first: sequence,
    };
    if let Some(held) = state.get::<HeldRecord>(&key::held(itself))? {
        return Ok(WarrantySource::Held(itself, held.into()));
    }
    let ranges: RangesRecord = state.get(&key::ranges(channel, sequence))?.unwrap_or_default();
    if ranges.forfeited.contains(sequence) {
        return Ok(WarrantySource::Forfeited);
    }
    let Some(first) = first_at_or_below(state, channel, sequence, &ranges)? else {
        return Ok(WarrantySource::Reserve);
    };
    let range = HeldKey { channel, first };
    let held: HeldRecord = state.need(&key::held(range))?;
    Ok(if sequence.0.saturating_sub(first.0) < held.count.into() {
        WarrantySource::Held(range, held.into())
    } else {
        WarrantySource::Reserve
    })
}

/// The first sequence of the nearest range that waits and starts at or below the sequence, of its part or the part below.
fn first_at_or_below(
    state: &Overlay<'_>,
    channel: ChannelId,
    sequence: Sequence,
    ranges: &RangesRecord,
) -> Result<Option<Sequence>, Stop> {
    let slot = sequence.0 % SEQUENCE_WINDOW;
    let from = sequence.0.saturating_sub(slot);
    if let Some(found) = ranges.waiting.iter().rev().find(|first| *first <= slot) {
        return Ok(Some(Sequence(from.saturating_add(found))));
    }
    let Some(below) = from.checked_sub(SEQUENCE_WINDOW) else {
        return Ok(None);
    };
    let ranges: Option<RangesRecord> = state.get(&key::ranges(channel, Sequence(below)))?;
    let found = ranges.and_then(|ranges| ranges.waiting.iter().next_back());
    Ok(found.map(|found| Sequence(below.saturating_add(found))))
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
    end(state, held_key, held)?;
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
    // What an equivocation has paid is no longer held.
    let paid = held.warranty;
    seize(state, held.node, held.asset, paid, held.payer)?;
    let burned = burn_stake(state, held.node)?;
    close_demand(state, held.node)?;
    // An equivocation that was reported meanwhile stays on record.
    let claim_key = key::claim(held_key.channel, demand.sequence);
    if state.get::<ClaimRecord>(&claim_key)?.is_none() {
        let claim = ClaimRecord {
            kind: ClaimKind::Unanswered,
            order: OrderHash::default(),
            paid,
            height,
        };
        state.put(claim_key, &claim);
    }
    end(state, held_key, held)?;
    mark_forfeited(state, held_key, held.count)?;
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
