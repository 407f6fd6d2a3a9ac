//! Bounds on the parameters: under which a rule of money would not hold.

use haca_wire::state::{GovernanceParams, Params, ValidatorParams};
use haca_wire::{Amount, Gas, ParamChange, Parameter, limit};
use thiserror::Error;

use crate::fee::{NEEDED_SIGNATURES, RESPOND_SHARE, needed_gas};
use crate::validators::power_unit;

/// The longest window, in ticks or blocks.
const MAX_WINDOW: u64 = 100_000_000;

/// The most validators that decide blocks at a time. All of them vote on every block.
const MAX_ACTIVE: u64 = 128;

/// The most gas of a block: by the unit of gas, eight seconds of one core. A full node checks a block when it is proposed and
/// executes it; one that takes longer than consensus waits is voted for by nobody, and who is behind never catches up.
const MAX_BLOCK_GAS: u64 = 1 << 33;

/// Gas that prices can always rise to, for the largest transaction without its proofs: more than twice the standard.
const PRICE_ROOM: u64 = 1 << 25;

/// The most that proving a million units may be worth, in OPG units: a thousand times the standard. Who can't pay a deposit
/// can't doubt, and whoever is not doubted needs not be right.
const MAX_PROVE_PRICE: u128 = 1_000_000_000;

/// The least and the most that two votes in one round may leave of a stake: a hundredth at least is lost, else nothing is at
/// stake; half at most, because a backup that was started twice is an accident.
const SLASH_DIVISORS: core::ops::RangeInclusive<u64> = 2..=100;

/// The least bytes of a block. A block is exhausted by bytes once `block_bytes - block_bytes / 5 - 2^20` are used. From this
/// size on that is more than half of it, at which the base fee rises: who holds the clock pays more with every block.
const MIN_BLOCK_BYTES: u64 = 3_495_254;

/// A parameter out of bounds.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("parameter {name} is {found}, expected {expected}")]
pub struct ParamFault {
    /// The parameter.
    pub name: &'static str,
    /// Its value.
    pub found: u128,
    /// What it may be.
    pub expected: &'static str,
}

fn refuse(name: &'static str, found: impl Into<u128>, expected: &'static str) -> Result<(), ParamFault> {
    Err(ParamFault {
        name,
        found: found.into(),
        expected,
    })
}

/// Refuses parameters under which a rule of money would not hold. `issued` is what there is of OPG.
pub(crate) fn check_params(params: &Params, issued: Amount) -> Result<(), ParamFault> {
    if params.block_gas.0 > MAX_BLOCK_GAS {
        return refuse("block_gas", params.block_gas.0, "at most 8589934592");
    }
    // What is kept for answers holds the largest one. And a block with little in it is not exhausted: with `tx_gas` near
    // all that is usable, one transaction a block would stop the clock, and with it every deadline and timelock.
    let reserved = params.block_gas.0.checked_div(RESPOND_SHARE).unwrap_or_default();
    if params.tx_gas.0 == 0 || params.tx_gas.0 > reserved {
        return refuse("tx_gas", params.tx_gas.0, "1 to a fifth of block_gas");
    }
    // What fits a transaction has to fit it for ever (`check_room`), so prices rise only with `tx_gas`. Were all of the largest
    // block promised to proofs, prices could never rise again.
    let room = MAX_BLOCK_GAS.checked_div(RESPOND_SHARE).unwrap_or_default();
    let most = u128::from(room.saturating_sub(PRICE_ROOM)).saturating_add(carried_gas(params));
    if u128::from(params.tx_gas.0) > most {
        return refuse(
            "tx_gas",
            params.tx_gas.0,
            "at most 1684432486 + gas_flat + 1048576 gas_byte + 10 gas_signature",
        );
    }
    if params.prove_price.0 > MAX_PROVE_PRICE {
        return refuse("prove_price", params.prove_price.0, "at most 1000000000");
    }
    // Else a proposal would be refused for its gas, whoever makes it, and with it every remedy.
    if params.tx_gas < needed_gas(params) {
        return refuse(
            "tx_gas",
            params.tx_gas.0,
            "at least gas_flat + 16384 gas_byte + 10 gas_signature",
        );
    }
    if params.block_bytes < MIN_BLOCK_BYTES {
        return refuse("block_bytes", params.block_bytes, "at least 3495254");
    }
    if params.gas_flat.0 == 0 {
        return refuse("gas_flat", 0u64, "at least 1");
    }
    if params.gas_registration.0 == 0 {
        return refuse("gas_registration", 0u64, "at least 1");
    }
    if params.node_stake.0 == 0 {
        return refuse("node_stake", 0u64, "above 0");
    }
    check_windows(params)?;
    check_validators(&params.validators, issued)?;
    check_governance(params)
}

fn check_windows(params: &Params) -> Result<(), ParamFault> {
    let windows = [
        ("quote_lifetime", params.quote_lifetime),
        ("tx_lifetime", params.tx_lifetime),
        ("settle_horizon", params.settle_horizon),
        ("grace", params.grace),
        ("claim_window", params.claim_window),
        ("demand_window", params.demand_window),
        ("respond_window", params.respond_window),
        ("respond_step", params.respond_step),
        ("signer_grace", params.signer_grace),
    ];
    for (name, found) in windows {
        if !(1..=MAX_WINDOW).contains(&found) {
            return refuse(name, found, "1 to 100000000");
        }
    }
    // A shorter one would bring the deadline of orders within the horizon forward, and with it the payer's claim window.
    if params.signer_grace < params.settle_horizon {
        return refuse("signer_grace", params.signer_grace, "at least settle_horizon");
    }
    let windows = params
        .settle_horizon
        .saturating_add(params.grace)
        .saturating_add(params.claim_window);
    if params.unbonding < windows || params.unbonding > MAX_WINDOW.saturating_mul(4) {
        return refuse(
            "unbonding",
            params.unbonding,
            "at least settle_horizon + grace + claim_window",
        );
    }
    Ok(())
}

fn check_validators(params: &ValidatorParams, issued: Amount) -> Result<(), ParamFault> {
    if params.min_stake.0 == 0 {
        return refuse("validators.min_stake", 0u64, "above 0");
    }
    // A stake below one unit would have no power.
    if params.min_stake.0 < power_unit(issued) {
        return refuse(
            "validators.min_stake",
            params.min_stake.0,
            "at least what was issued of OPG divided by 2^50",
        );
    }
    if !(1..=MAX_ACTIVE).contains(&params.max_validators) {
        return refuse("validators.max_validators", params.max_validators, "1 to 128");
    }
    let windows = [
        ("validators.evidence_blocks", params.evidence_blocks),
        ("validators.evidence_s", params.evidence_s),
        ("validators.signed_window", params.signed_window),
        ("validators.jail_blocks", params.jail_blocks),
    ];
    for (name, found) in windows {
        if !(1..=MAX_WINDOW).contains(&found) {
            return refuse(name, found, "1 to 100000000");
        }
    }
    // A proposer can leave a third of the votes out of a commit: one missed vote, or a few, must jail nobody.
    let quarter = params.signed_window.div_ceil(4);
    if params.max_missed >= params.signed_window || params.max_missed < quarter {
        return refuse(
            "validators.max_missed",
            params.max_missed,
            "a quarter of signed_window, rounded up, and below it",
        );
    }
    if !SLASH_DIVISORS.contains(&params.slash_divisor) {
        return refuse("validators.slash_divisor", params.slash_divisor, "2 to 100");
    }
    Ok(())
}

fn check_governance(params: &Params) -> Result<(), ParamFault> {
    let GovernanceParams {
        voting_blocks,
        timelock,
    } = params.governance;
    if !(1..=MAX_WINDOW).contains(&voting_blocks) {
        return refuse("governance.voting_blocks", voting_blocks, "1 to 100000000");
    }
    // Whoever dislikes what has passed can be out, with everything settled, claimed and paid, before it takes effect.
    let closing = params.settle_horizon.saturating_add(params.demand_window);
    let least = params.unbonding.max(closing);
    if timelock < least || timelock > MAX_WINDOW.saturating_mul(4) {
        return refuse(
            "governance.timelock",
            timelock,
            "at least unbonding and settle_horizon + demand_window, at most 400000000",
        );
    }
    Ok(())
}

/// The parameters after a vote, or the first that may not be so.
pub(crate) fn changed(old: &Params, changes: &[ParamChange], issued: Amount) -> Result<Params, ParamFault> {
    let mut new = *old;
    for change in changes {
        set(&mut new, change)?;
    }
    check_params(&new, issued)?;
    check_room(old, &new)?;
    Ok(new)
}

fn set(params: &mut Params, change: &ParamChange) -> Result<(), ParamFault> {
    let number = u64::try_from(change.value).map_err(|_| ParamFault {
        name: change.parameter.name(),
        found: change.value,
        expected: "at most 18446744073709551615",
    });
    let validators = &mut params.validators;
    match change.parameter {
        Parameter::BlockGas => params.block_gas = Gas(number?),
        Parameter::TxGas => params.tx_gas = Gas(number?),
        Parameter::GasFlat => params.gas_flat = Gas(number?),
        Parameter::GasByte => params.gas_byte = Gas(number?),
        Parameter::GasSignature => params.gas_signature = Gas(number?),
        Parameter::GasRegistration => params.gas_registration = Gas(number?),
        Parameter::NodeStake => params.node_stake = Amount(change.value),
        Parameter::QuoteLifetime => params.quote_lifetime = number?,
        Parameter::ProvePrice => params.prove_price = Amount(change.value),
        Parameter::RewardDivisor => params.reward_divisor = number?,
        Parameter::MinStake => validators.min_stake = Amount(change.value),
        Parameter::MaxValidators => validators.max_validators = number?,
        Parameter::SignedWindow => validators.signed_window = number?,
        Parameter::MaxMissed => validators.max_missed = number?,
        Parameter::JailBlocks => validators.jail_blocks = number?,
        Parameter::SlashDivisor => validators.slash_divisor = number?,
    }
    Ok(())
}

/// Gas of the largest transaction without its proofs.
fn carried_gas(params: &Params) -> u128 {
    let bytes = u128::from(params.gas_byte.0).saturating_mul(limit::TX_BYTES as u128);
    let signatures = u128::from(params.gas_signature.0).saturating_mul(NEEDED_SIGNATURES.into());
    u128::from(params.gas_flat.0)
        .saturating_add(bytes)
        .saturating_add(signatures)
}

/// What fitted a transaction still fits it: a node that offered a model must be able to settle its receipts and to answer
/// demands. Whatever makes the largest such transaction dearer has to raise `tx_gas` by as much.
fn check_room(old: &Params, new: &Params) -> Result<(), ParamFault> {
    let bytes = limit::TX_BYTES as u64;
    let dearer = |old: Gas, new: Gas, count: u64| {
        let more = new.0.saturating_sub(old.0);
        u128::from(more).saturating_mul(count.into())
    };
    let growth = dearer(old.gas_flat, new.gas_flat, 1)
        .saturating_add(dearer(old.gas_byte, new.gas_byte, bytes))
        .saturating_add(dearer(old.gas_signature, new.gas_signature, NEEDED_SIGNATURES));
    if u128::from(new.tx_gas.0) < u128::from(old.tx_gas.0).saturating_add(growth) {
        return refuse(
            "tx_gas",
            new.tx_gas.0,
            "more by at least what the largest settlement becomes dearer",
        );
    }
    Ok(())
}
