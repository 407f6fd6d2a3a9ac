//! What happens at the start of a block without any transaction: matured amounts are paid, matured channels
//! close, forgotten nonces go, the proposer is paid.

use haca_wire::state::{
    Calendar, ChannelRecord, ChannelState, HeldKey, HeldRecord, Params, Queue, SpentNonces, UnbondingRecord,
    key,
};
use haca_wire::{Address, Amount, AssetId, ChannelId, Height, Tick};

use crate::bank::Purse;
use crate::error::LedgerError;
use crate::message::Stop;
use crate::message::{close, forfeit, pay};
use crate::outcome::Effect;
use crate::overlay::Overlay;

/// Entries of each queue that one block takes; what is left waits for the next block. More than a full block adds at the
/// standard prices and budget, so nobody's money waits because others leave: [`super::fee`] charges each message that enters a queue one
/// more signature, at least 652,000 gas in all, and 1.6 x 10^9 are usable.
pub const PER_BLOCK: u64 = 4_096;

/// Steps that one block takes through the calendar of held fees and demands: an entry, or a tick without one. More than
/// a full block adds, as above.
pub const CALENDAR_STEPS: u64 = 4_096;

/// Pays held fees whose demand window has passed, and punishes demands that were not answered in time. An entry whose
/// held fee is due at another tick by now is stale and skipped.
pub(crate) fn work_off_calendar(
    state: &mut Overlay<'_>,
    height: Height,
    tick: Tick,
) -> Result<Vec<Effect>, Stop> {
    let start: Calendar = state.need(key::DUE_QUEUE)?;
    let mut at = start;
    let mut effects = Vec::new();
    for _ in 0..CALENDAR_STEPS {
        if at.tick >= tick {
            break;
        }
        let entry = key::due(at.tick, at.position);
        let Some(held_key) = state.get::<HeldKey>(&entry)? else {
            if at.position > 0 {
                state.delete(key::dues(at.tick));
            }
            at = Calendar {
                tick: Tick(at.tick.0.saturating_add(1)),
                position: 0,
            };
            continue;
        };
        state.delete(entry);
        at.position = at.position.saturating_add(1);
        match state.get::<HeldRecord>(&key::held(held_key))? {
            Some(held) if held.due() == at.tick => effects.push(match held.demand {
                None => pay(state, held_key, &held)?,
                Some(demand) => forfeit(state, held_key, &held, &demand, height)?,
            }),
            _ => {}
        }
    }
    if at != start {
        state.put(key::DUE_QUEUE.to_vec(), &at);
    }
    Ok(effects)
}

/// Pays unbonded amounts whose time has come.
pub(crate) fn pay_unbonded(state: &mut Overlay<'_>, tick: Tick) -> Result<Vec<Effect>, Stop> {
    let mut queue: Queue = state.need(key::UNBONDING_QUEUE)?;
    let mut effects = Vec::new();
    for _ in 0..PER_BLOCK {
        if queue.head >= queue.tail {
            break;
        }
        let position = key::unbonding(queue.head);
        let entry: UnbondingRecord = state.need(&position)?;
        if tick <= entry.matures {
            break;
        }
        let to = Purse::Balance(entry.node);
        state.shift(entry.asset, Purse::Unbonding, to, entry.amount)?;
        state.delete(position);
        queue.head = queue.head.saturating_add(1);
        effects.push(Effect::Unbonded {
            node: entry.node,
            asset: entry.asset,
            amount: entry.amount,
        });
    }
    if !effects.is_empty() {
        state.put(key::UNBONDING_QUEUE.to_vec(), &queue);
    }
    Ok(effects)
}

/// Closes channels whose windows have passed. A channel that was closed with consent meanwhile is skipped.
pub(crate) fn close_matured(
    state: &mut Overlay<'_>,
    height: Height,
    tick: Tick,
) -> Result<Vec<Effect>, Stop> {
    let mut queue: Queue = state.need(key::CLOSING_QUEUE)?;
    let start = queue;
    let mut effects = Vec::new();
    for _ in 0..PER_BLOCK {
        if queue.head >= queue.tail {
            break;
        }
        let position = key::closing(queue.head);
        let channel: ChannelId = state.need(&position)?;
        let record: ChannelRecord = state.need(&key::channel(channel))?;
        match record.state {
            ChannelState::Closing { matures, .. } if tick <= matures => break,
            ChannelState::Closing { .. } => effects.push(close(state, channel, record, height)?),
            ChannelState::Open | ChannelState::Closed { .. } => {}
        }
        state.delete(position);
        queue.head = queue.head.saturating_add(1);
    }
    if queue != start {
        state.put(key::CLOSING_QUEUE.to_vec(), &queue);
    }
    Ok(effects)
}

/// Forgets the nonces of the block whose transactions have all expired: one block's worth per block.
pub(crate) fn forget_nonces(
    state: &mut Overlay<'_>,
    params: &Params,
    height: Height,
) -> Result<(), LedgerError> {
    let horizon = params.tx_lifetime.saturating_add(1);
    let Some(old) = height.0.checked_sub(horizon) else {
        return Ok(());
    };
    let spent_key = key::spent(Height(old));
    let Some(spent) = state.get::<SpentNonces>(&spent_key)? else {
        return Ok(());
    };
    for entry in spent.0 {
        state.delete(key::nonce(entry.sender, entry.nonce));
    }
    state.delete(spent_key);
    Ok(())
}

/// Pays the proposer its share of what is left of the pool, so that rewards decay geometrically.
pub(crate) fn reward(
    state: &mut Overlay<'_>,
    params: &Params,
    proposer: Option<Address>,
) -> Result<Amount, Stop> {
    let pool: Amount = state.need(key::POOL)?;
    let share = pool.0.checked_div(u128::from(params.reward_divisor));
    let (Some(account), Some(share)) = (proposer, share) else {
        return Ok(Amount(0));
    };
    state.shift(AssetId::OPG, Purse::Pool, Purse::Balance(account), Amount(share))?;
    Ok(Amount(share))
}
