//! Validators at the borders of a block: evidence and missed votes before its transactions, the set that consensus
//! gets after them.

use haca_wire::state::{
    ActiveValidator, Jail, Params, Queue, Supply, UnstakingRecord, ValidatorParams, ValidatorRecord,
    ValidatorSetRecord, key,
};
use haca_wire::{Address, Amount, AssetId, ConsensusAddress, ConsensusKey, Height};

use crate::bank::Purse;
use crate::block::{BlockContext, MisbehaviourKind};
use crate::error::LedgerError;
use crate::message::Stop;
use crate::outcome::Effect;
use crate::overlay::Overlay;
use crate::sweep::PER_BLOCK;

/// All powers together stay below this, far below CometBFT's limit of 2^60.
const TOTAL_POWER: u128 = 1 << 50;

/// The part of all power that may be jailed for missed votes in one window: one over this.
const JAILED_SHARE: u64 = 3;

/// Blocks after which a withdrawn stake decides nothing any more.
const LAG_BLOCKS: u64 = 2;

/// A change of consensus' validators, as of the second height after the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidatorUpdate {
    /// The validator's key.
    pub key: ConsensusKey,
    /// Its voting power; 0 when it leaves.
    pub power: u64,
}

/// OPG behind one unit of voting power: what was issued spreads over 2^50 units.
pub(crate) fn power_unit(issued: Amount) -> u128 {
    issued.0.div_ceil(TOTAL_POWER).max(1)
}

/// The power of a stake. A stake is at most what was issued, so this is at most 2^50.
pub(crate) fn power(stake: Amount, unit: u128) -> u64 {
    let power = stake.0.checked_div(unit).unwrap_or_default();
    u64::try_from(power).unwrap_or_default()
}

/// Who is to decide blocks: the free validators with the largest stakes that reach the minimum, by ascending key.
pub(crate) fn elect(
    params: &ValidatorParams,
    unit: u128,
    validators: impl IntoIterator<Item = ValidatorRecord>,
) -> Vec<ActiveValidator> {
    let mut candidates: Vec<ValidatorRecord> = validators
        .into_iter()
        .filter(|record| is_candidate(params, record))
        .collect();
    candidates.sort_by(|a, b| b.stake.cmp(&a.stake).then(a.key.cmp(&b.key)));
    candidates.truncate(usize::try_from(params.max_validators).unwrap_or(usize::MAX));
    let mut active: Vec<ActiveValidator> = candidates
        .into_iter()
        .map(|record| ActiveValidator {
            key: record.key,
            power: power(record.stake, unit),
        })
        .filter(|validator| validator.power > 0)
        .collect();
    active.sort_by_key(|validator| validator.key);
    active
}

/// Whether a validator can be elected.
pub(crate) fn is_candidate(params: &ValidatorParams, record: &ValidatorRecord) -> bool {
    record.jail == Jail::Free && record.stake >= params.min_stake && record.stake.0 > 0
}

/// Slashes and jails for ever whom evidence convicts (`spec/ledger.md`, V5). Its age is for consensus to judge, which takes
/// none that is older than withdrawn stake is held.
pub(crate) fn punish(
    state: &mut Overlay<'_>,
    params: &Params,
    context: &BlockContext,
) -> Result<Vec<Effect>, Stop> {
    let mut effects = Vec::new();
    for found in &context.misbehaviour {
        let place = key::validator(ConsensusAddress(found.validator));
        let Some(mut record) = state.get::<ValidatorRecord>(&place)? else {
            continue;
        };
        let convicted = record.jail == Jail::Forever;
        let divisor = match found.kind {
            // Convicted once and for ever: no vote is punished twice.
            MisbehaviourKind::DuplicateVote if convicted => continue,
            MisbehaviourKind::DuplicateVote => u128::from(params.validators.slash_divisor).max(1),
            // No accident makes a second chain. It costs what an earlier conviction left, too: else whoever plans it
            // would have itself convicted of two votes first.
            MisbehaviourKind::LightClientAttack => 1,
        };
        record.jail = Jail::Forever;
        let burned = slash(state, &mut record, divisor)?;
        if convicted && burned.0 == 0 {
            continue;
        }
        if record.stake.0 == 0 {
            leave(state, record.key.address())?;
        }
        state.put(place, &record);
        effects.push(Effect::ValidatorSlashed {
            key: record.key,
            burned,
        });
    }
    Ok(effects)
}

/// Burns one part in `divisor`, rounded up, of what the validator has staked and of what is on its way out.
fn slash(state: &mut Overlay<'_>, record: &mut ValidatorRecord, divisor: u128) -> Result<Amount, Stop> {
    let part = |amount: Amount| Amount(amount.0.div_ceil(divisor));
    let mut burned = part(record.stake);
    state.shift(AssetId::OPG, Purse::Stakes, Purse::Burned, burned)?;
    record.stake = record.stake.checked_sub(burned).ok_or(OUT_OF_RANGE)?;
    for position in &record.unstaking {
        let place = key::unstaking(*position);
        let mut entry: UnstakingRecord = state.need(&place)?;
        let lost = part(entry.amount);
        state.shift(AssetId::OPG, Purse::Unbonding, Purse::Burned, lost)?;
        entry.amount = entry.amount.checked_sub(lost).ok_or(OUT_OF_RANGE)?;
        state.put(place, &entry);
        burned = burned.checked_add(lost).ok_or(OUT_OF_RANGE)?;
    }
    record.slashed = record.slashed.checked_add(burned).ok_or(OUT_OF_RANGE)?;
    Ok(burned)
}

/// Takes a validator without stake off the list.
pub(crate) fn leave(state: &mut Overlay<'_>, validator: ConsensusAddress) -> Result<(), LedgerError> {
    let mut set: ValidatorSetRecord = state.need(key::VALIDATORS)?;
    set.members.retain(|member| *member != validator);
    state.put(key::VALIDATORS.to_vec(), &set);
    Ok(())
}

/// Counts missed votes and jails who missed too many (`spec/ledger.md`, V6). Who signs costs no write.
pub(crate) fn count_missed(
    state: &mut Overlay<'_>,
    params: &Params,
    context: &BlockContext,
) -> Result<Vec<Effect>, Stop> {
    let params = &params.validators;
    let passed = context.height.0.checked_rem(params.signed_window);
    // By its first height, which stays what it is when a vote changes how long windows are.
    let window = context.height.0.saturating_sub(passed.unwrap_or_default());
    let mut effects = Vec::new();
    for vote in context.votes.iter().filter(|vote| !vote.signed) {
        let place = key::validator(ConsensusAddress(vote.validator));
        let Some(mut record) = state.get::<ValidatorRecord>(&place)? else {
            continue;
        };
        if record.jail != Jail::Free {
            continue;
        }
        if record.window != window {
            record.window = window;
            record.missed = 0;
        }
        record.missed = record.missed.saturating_add(1);
        if record.missed > params.max_missed && may_jail(state, window, record.key)? {
            let until = Height(context.height.0.saturating_add(params.jail_blocks));
            record.jail = Jail::Until(until);
            effects.push(Effect::ValidatorJailed {
                key: record.key,
                until,
            });
        }
        state.put(place, &record);
    }
    Ok(effects)
}

/// Whether this validator can be jailed and leave at most a third of the window's power in jail. Proposers choose which
/// votes a commit holds: without the bound a majority could jail everybody else, and the last one could be jailed, too.
fn may_jail(state: &mut Overlay<'_>, window: u64, validator: ConsensusKey) -> Result<bool, LedgerError> {
    let mut set: ValidatorSetRecord = state.need(key::VALIDATORS)?;
    if set.window != window {
        set.window = window;
        set.jailed_power = 0;
    }
    // Whom this block has jailed stands in `active` until its end; whom an earlier one has, does not.
    let total = set.total_power();
    let jailed = set.jailed_power.saturating_add(set.power(validator));
    if jailed.saturating_mul(JAILED_SHARE) > total {
        return Ok(false);
    }
    set.jailed_power = jailed;
    state.put(key::VALIDATORS.to_vec(), &set);
    Ok(true)
}

/// Pays withdrawn stake that no evidence can reach any more.
pub(crate) fn pay_unstaked(
    state: &mut Overlay<'_>,
    params: &Params,
    context: &BlockContext,
) -> Result<Vec<Effect>, Stop> {
    let params = &params.validators;
    let mut queue: Queue = state.need(key::UNSTAKING_QUEUE)?;
    let mut effects = Vec::new();
    for _ in 0..PER_BLOCK {
        if queue.head >= queue.tail {
            break;
        }
        let position = key::unstaking(queue.head);
        let entry: UnstakingRecord = state.need(&position)?;
        let blocks = context.height.0.saturating_sub(entry.height.0);
        let seconds = context.time_unix_s.saturating_sub(entry.time_unix_s);
        if blocks <= params.evidence_blocks.saturating_add(LAG_BLOCKS) || seconds <= params.evidence_s {
            break;
        }
        let place = key::validator(entry.validator);
        let mut record: ValidatorRecord = state.need(&place)?;
        record.unstaking.retain(|taken| *taken != queue.head);
        let to = Purse::Balance(record.account);
        state.shift(AssetId::OPG, Purse::Unbonding, to, entry.amount)?;
        state.put(place, &record);
        state.delete(position);
        queue.head = queue.head.saturating_add(1);
        effects.push(Effect::Unstaked {
            key: record.key,
            amount: entry.amount,
        });
    }
    if !effects.is_empty() {
        state.put(key::UNSTAKING_QUEUE.to_vec(), &queue);
    }
    Ok(effects)
}

/// Whether anybody could be elected under these parameters.
pub(crate) fn has_candidate(state: &Overlay<'_>, params: &ValidatorParams) -> Result<bool, LedgerError> {
    let set: ValidatorSetRecord = state.need(key::VALIDATORS)?;
    for member in set.members {
        if is_candidate(params, &state.need(&key::validator(member))?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The account that a proposer is paid to: nobody is paid who is convicted.
pub(crate) fn payee(state: &Overlay<'_>, proposer: [u8; 20]) -> Result<Option<Address>, LedgerError> {
    let record: Option<ValidatorRecord> = state.get(&key::validator(ConsensusAddress(proposer)))?;
    Ok(record
        .filter(|record| record.jail != Jail::Forever)
        .map(|record| record.account))
}

/// Elects the validators anew where a block has changed one or their rules (`anew`), and returns what consensus has to know (`spec/ledger.md`,
/// V7). Where nobody could be elected everything stays as it is: consensus without validators is over for good.
pub(crate) fn update_set(
    state: &mut Overlay<'_>,
    params: &Params,
    anew: bool,
) -> Result<Vec<ValidatorUpdate>, LedgerError> {
    if !anew && !state.has_written(key::VALIDATOR) {
        return Ok(Vec::new());
    }
    let mut set: ValidatorSetRecord = state.need(key::VALIDATORS)?;
    let supply: Supply = state.need(&key::supply(AssetId::OPG))?;
    let mut records: Vec<ValidatorRecord> = Vec::new();
    for member in &set.members {
        records.push(state.need(&key::validator(*member))?);
    }
    let active = elect(&params.validators, power_unit(supply.issued), records);
    if active.is_empty() || active == set.active {
        return Ok(Vec::new());
    }
    let mut updates: Vec<ValidatorUpdate> = Vec::new();
    for old in &set.active {
        if !active.iter().any(|validator| validator.key == old.key) {
            updates.push(ValidatorUpdate {
                key: old.key,
                power: 0,
            });
        }
    }
    for validator in &active {
        if set.power(validator.key) != validator.power {
            updates.push(ValidatorUpdate {
                key: validator.key,
                power: validator.power,
            });
        }
    }
    updates.sort_by_key(|update| update.key);
    set.active = active;
    state.put(key::VALIDATORS.to_vec(), &set);
    state.keep();
    Ok(updates)
}

const OUT_OF_RANGE: LedgerError = LedgerError::Arithmetic { what: "stake" };
