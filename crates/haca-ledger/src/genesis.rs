//! The state before the first block, from the `app_state` of the genesis document.

use std::collections::{BTreeMap, BTreeSet};

use ed25519_consensus::VerificationKey;
use haca_wire::quant::Name;
use haca_wire::state::{
    AssetRecord, Calendar, ChainRecord, Clock, GovernanceParams, GovernanceRecord, Jail, Params, Queue,
    Supply, ValidatorParams, ValidatorRecord, ValidatorSetRecord, key,
};
use haca_wire::{
    Address, Amount, AssetId, ChainId, ConsensusAddress, ConsensusKey, Encode, Gas, GenesisHash, Height,
    ProposalId, Tick, limit,
};
use serde::{Deserialize, Serialize};

use crate::error::GenesisError;
use crate::fee::BASE_FEE_FLOOR;
use crate::params::check_params;
use crate::state_reader::Writes;
use crate::validators::{ValidatorUpdate, elect, power_unit};

/// The version of the rules that every network begins with.
const FIRST_VERSION: u64 = 1;

/// Assets of one network.
const ASSETS: usize = 64;

/// `app_state`: amounts are decimal strings, addresses and hashes hexadecimal, unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// The number in the EIP-712 domain.
    pub chain_id: u64,
    /// Assets by ascending id from 0, which is OPG.
    pub assets: Vec<GenesisAsset>,
    /// Accounts that hold something.
    pub balances: Vec<GenesisBalance>,
    /// OPG from which proposers are paid.
    pub pool: Decimal,
    /// Who decides the first blocks, at least one.
    pub validators: Vec<GenesisValidator>,
    /// The rules' numbers.
    pub params: GenesisParams,
}

/// One asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisAsset {
    /// Its index.
    pub id: u32,
    /// Its ticker.
    pub symbol: String,
    /// Digits behind the decimal point when amounts are shown.
    pub decimals: u8,
    /// All there will ever be: balances and, for OPG, pool and stakes.
    pub issued: Decimal,
}

/// What one account holds of one asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisBalance {
    /// The account.
    pub account: Text<Address>,
    /// The asset.
    pub asset: u32,
    /// The amount, above zero.
    pub amount: Decimal,
}

/// A validator from the first block on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisValidator {
    /// Its ed25519 key, 32 bytes in hexadecimal.
    pub key: Text<ConsensusKey>,
    /// The account that is paid, and that the stake belongs to.
    pub account: Text<Address>,
    /// OPG staked.
    pub stake: Decimal,
}

/// [`Params`] as JSON, with the same names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is documented on `Params`")]
pub struct GenesisParams {
    pub block_gas: u64,
    pub tx_gas: u64,
    pub block_bytes: u64,
    pub gas_flat: u64,
    pub gas_byte: u64,
    pub gas_signature: u64,
    pub node_stake: Decimal,
    pub quote_lifetime: u64,
    pub tx_lifetime: u64,
    pub settle_horizon: u64,
    pub grace: u64,
    pub claim_window: u64,
    pub demand_window: u64,
    pub respond_window: u64,
    pub respond_step: u64,
    pub prove_price: Decimal,
    pub unbonding: u64,
    pub signer_grace: u64,
    pub reward_divisor: u64,
    pub gas_registration: u64,
    pub validators: GenesisValidatorParams,
    pub governance: GenesisGovernanceParams,
}

/// [`ValidatorParams`] as JSON, with the same names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is documented on `ValidatorParams`")]
pub struct GenesisValidatorParams {
    pub min_stake: Decimal,
    pub max_validators: u64,
    pub evidence_blocks: u64,
    pub evidence_s: u64,
    pub signed_window: u64,
    pub max_missed: u64,
    pub jail_blocks: u64,
    pub slash_divisor: u64,
}

/// [`GovernanceParams`] as JSON, with the same names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is documented on `GovernanceParams`")]
pub struct GenesisGovernanceParams {
    pub voting_blocks: u64,
    pub timelock: u64,
}

/// An amount as a decimal string.
pub type Decimal = Text<Amount>;

/// A value that stands in JSON as the string it parses from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<T>(pub T);

impl<T: core::fmt::Display> Serialize for Text<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: core::str::FromStr<Err: core::fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

impl From<Params> for GenesisParams {
    fn from(params: Params) -> Self {
        Self {
            block_gas: params.block_gas.0,
            tx_gas: params.tx_gas.0,
            block_bytes: params.block_bytes,
            gas_flat: params.gas_flat.0,
            gas_byte: params.gas_byte.0,
            gas_signature: params.gas_signature.0,
            node_stake: Text(params.node_stake),
            quote_lifetime: params.quote_lifetime,
            tx_lifetime: params.tx_lifetime,
            settle_horizon: params.settle_horizon,
            grace: params.grace,
            claim_window: params.claim_window,
            demand_window: params.demand_window,
            respond_window: params.respond_window,
            respond_step: params.respond_step,
            prove_price: Text(params.prove_price),
            unbonding: params.unbonding,
            signer_grace: params.signer_grace,
            reward_divisor: params.reward_divisor,
            gas_registration: params.gas_registration.0,
            validators: GenesisValidatorParams {
                min_stake: Text(params.validators.min_stake),
                max_validators: params.validators.max_validators,
                evidence_blocks: params.validators.evidence_blocks,
                evidence_s: params.validators.evidence_s,
                signed_window: params.validators.signed_window,
                max_missed: params.validators.max_missed,
                jail_blocks: params.validators.jail_blocks,
                slash_divisor: params.validators.slash_divisor,
            },
            governance: GenesisGovernanceParams {
                voting_blocks: params.governance.voting_blocks,
                timelock: params.governance.timelock,
            },
        }
    }
}

impl From<&GenesisParams> for Params {
    fn from(params: &GenesisParams) -> Self {
        Self {
            block_gas: Gas(params.block_gas),
            tx_gas: Gas(params.tx_gas),
            block_bytes: params.block_bytes,
            gas_flat: Gas(params.gas_flat),
            gas_byte: Gas(params.gas_byte),
            gas_signature: Gas(params.gas_signature),
            prove_price: params.prove_price.0,
            node_stake: params.node_stake.0,
            quote_lifetime: params.quote_lifetime,
            tx_lifetime: params.tx_lifetime,
            settle_horizon: params.settle_horizon,
            grace: params.grace,
            claim_window: params.claim_window,
            demand_window: params.demand_window,
            respond_window: params.respond_window,
            respond_step: params.respond_step,
            unbonding: params.unbonding,
            signer_grace: params.signer_grace,
            reward_divisor: params.reward_divisor,
            gas_registration: Gas(params.gas_registration),
            validators: ValidatorParams {
                min_stake: params.validators.min_stake.0,
                max_validators: params.validators.max_validators,
                evidence_blocks: params.validators.evidence_blocks,
                evidence_s: params.validators.evidence_s,
                signed_window: params.validators.signed_window,
                max_missed: params.validators.max_missed,
                jail_blocks: params.validators.jail_blocks,
                slash_divisor: params.validators.slash_divisor,
            },
            governance: GovernanceParams {
                voting_blocks: params.governance.voting_blocks,
                timelock: params.governance.timelock,
            },
        }
    }
}

/// Parameters of a network with blocks of about a second, OPG of nine decimals, and validators with two cores:
/// two seconds of single-core verification per block.
pub const fn standard_params() -> Params {
    Params {
        block_gas: Gas(2_000_000_000),
        tx_gas: Gas(400_000_000),
        block_bytes: 4 << 20,
        gas_flat: Gas(50_000),
        gas_byte: Gas(10),
        gas_signature: Gas(300_000),
        node_stake: Amount(1_000_000_000_000),
        quote_lifetime: 600,
        tx_lifetime: 600,
        settle_horizon: 3_600,
        grace: 300,
        claim_window: 3_600,
        demand_window: 3_600,
        respond_window: 1_800,
        respond_step: 30,
        prove_price: Amount(1_000_000),
        unbonding: 14_400,
        signer_grace: 3_600,
        reward_divisor: 10_000_000,
        gas_registration: Gas(300_000_000),
        validators: ValidatorParams {
            min_stake: Amount(10_000_000_000_000),
            max_validators: 100,
            evidence_blocks: 100_000,
            evidence_s: 172_800,
            signed_window: 10_000,
            max_missed: 5_000,
            jail_blocks: 3_600,
            slash_divisor: 20,
        },
        governance: GovernanceParams {
            voting_blocks: 50_000,
            timelock: 14_400,
        },
    }
}

/// The state after genesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisOutcome {
    /// Which network this is.
    pub chain: ChainRecord,
    /// The validators that the stakes give, by ascending key.
    pub validators: Vec<ValidatorUpdate>,
    /// What to commit before the first block.
    pub writes: Writes,
}

/// Builds the state before the first block. `app_state` is the JSON under that key of the genesis document,
/// `genesis` the hash of the whole document's bytes.
pub fn init_genesis(app_state: &[u8], genesis: GenesisHash) -> Result<GenesisOutcome, GenesisError> {
    let document: Genesis = serde_json::from_slice(app_state).map_err(GenesisError::Json)?;
    let params = Params::from(&document.params);
    let issued = document.assets.first().map(|asset| asset.issued.0);
    check_params(&params, issued.unwrap_or_default())?;
    let chain = ChainRecord {
        chain_id: ChainId(document.chain_id),
        genesis,
    };
    let mut state = State::default();
    state.put(key::CHAIN, &chain);
    state.put(key::PARAMS, &params);
    state.put(
        key::CLOCK,
        &Clock {
            height: Height(0),
            tick: Tick(0),
            base_fee: BASE_FEE_FLOOR,
        },
    );
    state.put(key::POOL, &document.pool.0);
    state.put(
        key::GOVERNANCE,
        &GovernanceRecord {
            version: FIRST_VERSION,
            next: ProposalId(1),
            open: Vec::new(),
        },
    );
    state.put(key::CLOSING_QUEUE, &Queue::default());
    state.put(key::UNBONDING_QUEUE, &Queue::default());
    state.put(key::DUE_QUEUE, &Calendar::default());
    state.put(key::UNSTAKING_QUEUE, &Queue::default());
    let supplies = balances(&mut state, &document)?;
    let stakes = stakes(&document)?;
    assets(&mut state, &document, &supplies, stakes)?;
    let validators = validators(&mut state, &document, &params.validators)?;
    Ok(GenesisOutcome {
        chain,
        validators,
        writes: state.0,
    })
}

#[derive(Default)]
struct State(Writes);

impl State {
    fn put<T: Encode>(&mut self, key: &[u8], value: &T) {
        self.0.insert(key.to_vec(), Some(value.encode()));
    }
}

/// Writes the balances and returns their sum per asset.
fn balances(state: &mut State, document: &Genesis) -> Result<BTreeMap<AssetId, Amount>, GenesisError> {
    let declared: BTreeSet<u32> = document.assets.iter().map(|asset| asset.id).collect();
    let mut sums = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for entry in &document.balances {
        let (account, asset, amount) = (entry.account.0, AssetId(entry.asset), entry.amount.0);
        if !declared.contains(&entry.asset) {
            return Err(GenesisError::UnknownAsset { account, asset });
        }
        if !seen.insert((account, asset)) {
            let what = format!("balance of {account} in asset {asset}");
            return Err(GenesisError::Duplicate { what });
        }
        if amount.0 == 0 || account.is_zero() {
            let what = format!("balance of {account} in asset {asset}, or its account,");
            return Err(GenesisError::Zero { what });
        }
        let sum: &mut Amount = sums.entry(asset).or_default();
        *sum = sum.checked_add(amount).ok_or(GenesisError::Overflow { asset })?;
        state.put(&key::balance(account, asset), &amount);
    }
    Ok(sums)
}

fn assets(
    state: &mut State,
    document: &Genesis,
    sums: &BTreeMap<AssetId, Amount>,
    staked: Amount,
) -> Result<(), GenesisError> {
    let count = document.assets.len();
    if count == 0 || count > ASSETS {
        return Err(GenesisError::AssetCount {
            found: count,
            expected: ASSETS,
        });
    }
    for (expected, entry) in (0u32..).zip(&document.assets) {
        if entry.id != expected {
            return Err(GenesisError::AssetOrder {
                found: entry.id,
                expected,
            });
        }
        let asset = AssetId(entry.id);
        let symbol = Name::new(&entry.symbol).ok_or_else(|| GenesisError::Symbol {
            found: entry.symbol.clone(),
        })?;
        let balances = sums.get(&asset).copied().unwrap_or_default();
        let (pool, stakes) = if asset == AssetId::OPG {
            (document.pool.0, staked)
        } else {
            (Amount(0), Amount(0))
        };
        let found = balances
            .checked_add(pool)
            .and_then(|sum| sum.checked_add(stakes))
            .ok_or(GenesisError::Overflow { asset })?;
        let issued = entry.issued.0;
        if found != issued {
            return Err(GenesisError::Unbalanced {
                asset,
                found,
                expected: issued,
            });
        }
        let decimals = entry.decimals;
        state.put(&key::asset(asset), &AssetRecord { symbol, decimals });
        let supply = Supply {
            issued,
            balances,
            stakes,
            pool,
            ..Supply::default()
        };
        state.put(&key::supply(asset), &supply);
    }
    Ok(())
}

fn stakes(document: &Genesis) -> Result<Amount, GenesisError> {
    let asset = AssetId::OPG;
    let add = |sum: Amount, entry: &GenesisValidator| sum.checked_add(entry.stake.0);
    let sum = document.validators.iter().try_fold(Amount(0), add);
    sum.ok_or(GenesisError::Overflow { asset })
}

/// Writes the validators and returns who decides the first blocks.
fn validators(
    state: &mut State,
    document: &Genesis,
    params: &ValidatorParams,
) -> Result<Vec<ValidatorUpdate>, GenesisError> {
    let found = document.validators.len();
    if found == 0 || found > limit::STAKERS {
        return Err(GenesisError::ValidatorCount {
            found,
            expected: limit::STAKERS,
        });
    }
    let mut records: BTreeMap<ConsensusAddress, ValidatorRecord> = BTreeMap::new();
    for entry in &document.validators {
        let record = genesis_validator(entry, params)?;
        let key = record.key;
        if records.insert(key.address(), record).is_some() {
            let what = format!("validator {key}");
            return Err(GenesisError::Duplicate { what });
        }
    }
    let issued = document.assets.first().map(|asset| asset.issued.0);
    let unit = power_unit(issued.unwrap_or_default());
    let active = elect(params, unit, records.values().cloned());
    for (address, record) in &records {
        state.put(&key::validator(*address), record);
    }
    let updates = active
        .iter()
        .map(|validator| ValidatorUpdate {
            key: validator.key,
            power: validator.power,
        })
        .collect();
    let set = ValidatorSetRecord {
        members: records.into_keys().collect(),
        active,
        ..ValidatorSetRecord::default()
    };
    state.put(key::VALIDATORS, &set);
    Ok(updates)
}

fn genesis_validator(
    entry: &GenesisValidator,
    params: &ValidatorParams,
) -> Result<ValidatorRecord, GenesisError> {
    let (key, account, stake) = (entry.key.0, entry.account.0, entry.stake.0);
    if VerificationKey::try_from(key.0).is_err() {
        return Err(GenesisError::ValidatorKey { key });
    }
    if account.is_zero() {
        let what = format!("account of validator {key}");
        return Err(GenesisError::Zero { what });
    }
    if stake < params.min_stake {
        return Err(GenesisError::Stake {
            key,
            found: stake,
            expected: params.min_stake,
        });
    }
    Ok(ValidatorRecord {
        account,
        key,
        stake,
        jail: Jail::Free,
        window: 0,
        missed: 0,
        slashed: Amount(0),
        unstaking: Vec::new(),
    })
}
