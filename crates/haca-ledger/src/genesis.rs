//! The state before the first block, from the `app_state` of the genesis document.

use std::collections::{BTreeMap, BTreeSet};

use haca_wire::quant::Name;
use haca_wire::state::{AssetRecord, Calendar, ChainRecord, Clock, Params, Queue, Supply, key};
use haca_wire::{Address, Amount, AssetId, ChainId, Encode, Gas, GenesisHash, Height, Tick};
use serde::{Deserialize, Serialize};

use crate::error::GenesisError;
use crate::fee::{BASE_FEE_FLOOR, usable_bytes, usable_gas};
use crate::state_reader::Writes;

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
    /// The accounts that validators are paid to.
    pub proposers: Vec<GenesisProposer>,
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
    /// All there will ever be: balances and, for OPG, the pool.
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

/// Where a validator is paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisProposer {
    /// Its consensus address, 20 bytes in hexadecimal.
    pub validator: Text<Address>,
    /// Its account.
    pub account: Text<Address>,
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
    }
}

/// The state after genesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisOutcome {
    /// Which network this is.
    pub chain: ChainRecord,
    /// What to commit before the first block.
    pub writes: Writes,
}

/// Builds the state before the first block. `app_state` is the JSON under that key of the genesis document,
/// `genesis` the hash of the whole document's bytes.
pub fn init_genesis(app_state: &[u8], genesis: GenesisHash) -> Result<GenesisOutcome, GenesisError> {
    let document: Genesis = serde_json::from_slice(app_state).map_err(GenesisError::Json)?;
    let params = Params::from(&document.params);
    check_params(&params)?;
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
    state.put(key::CLOSING_QUEUE, &Queue::default());
    state.put(key::UNBONDING_QUEUE, &Queue::default());
    state.put(key::DUE_QUEUE, &Calendar::default());
    let supplies = balances(&mut state, &document)?;
    assets(&mut state, &document, &supplies)?;
    proposers(&mut state, &document)?;
    Ok(GenesisOutcome {
        chain,
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
        let pool = if asset == AssetId::OPG {
            document.pool.0
        } else {
            Amount(0)
        };
        let found = balances
            .checked_add(pool)
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
            pool,
            ..Supply::default()
        };
        state.put(&key::supply(asset), &supply);
    }
    Ok(())
}

fn proposers(state: &mut State, document: &Genesis) -> Result<(), GenesisError> {
    let mut seen = BTreeSet::new();
    for entry in &document.proposers {
        let (validator, account) = (entry.validator.0, entry.account.0);
        if !seen.insert(validator) {
            let what = format!("proposer {}", hex::encode(validator.0));
            return Err(GenesisError::Duplicate { what });
        }
        if account.is_zero() {
            let what = format!("account of proposer {}", hex::encode(validator.0));
            return Err(GenesisError::Zero { what });
        }
        state.put(&key::proposer(&validator.0), &account);
    }
    Ok(())
}

/// Refuses parameters under which a rule of money would not hold.
fn check_params(params: &Params) -> Result<(), GenesisError> {
    let refuse = |name, found: u128, expected| {
        Err(GenesisError::Param {
            name,
            found,
            expected,
        })
    };
    if params.tx_gas.0 == 0 || params.tx_gas > usable_gas(params) {
        return refuse("tx_gas", params.tx_gas.0.into(), "1 to four fifths of block_gas");
    }
    if usable_bytes(params) < haca_wire::limit::TX_BYTES as u64 {
        return refuse("block_bytes", params.block_bytes.into(), "at least 1310719");
    }
    if params.gas_flat.0 == 0 {
        return refuse("gas_flat", 0, "at least 1");
    }
    if params.gas_registration.0 == 0 {
        return refuse("gas_registration", 0, "at least 1");
    }
    if params.node_stake.0 == 0 {
        return refuse("node_stake", 0, "above 0");
    }
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
            return refuse(name, found.into(), "1 to 100000000");
        }
    }
    // A shorter one would bring the deadline of orders within the horizon forward, and with it the payer's claim window.
    if params.signer_grace < params.settle_horizon {
        return refuse(
            "signer_grace",
            params.signer_grace.into(),
            "at least settle_horizon",
        );
    }
    let windows = params
        .settle_horizon
        .saturating_add(params.grace)
        .saturating_add(params.claim_window);
    if params.unbonding < windows || params.unbonding > MAX_WINDOW.saturating_mul(4) {
        return refuse(
            "unbonding",
            params.unbonding.into(),
            "at least settle_horizon + grace + claim_window",
        );
    }
    Ok(())
}

/// Longest window, in blocks or ticks: about three years of one-second blocks.
const MAX_WINDOW: u64 = 100_000_000;
