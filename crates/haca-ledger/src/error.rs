//! Failures of the ledger itself, as opposed to refused transactions.

use haca_wire::{Address, Amount, AssetId, ConsensusKey, DecodeError, Height};
use thiserror::Error;

use crate::params::ParamFault;
use crate::state_reader::ReadError;

/// Why a block can't be executed. Every variant means a broken store or a broken caller; no transaction causes one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The store failed.
    #[error("state store can't be read: {0}")]
    Read(#[source] ReadError),
    /// An entry that the rules rely on is missing.
    #[error("state entry {key} is missing")]
    Missing {
        /// The key, in hexadecimal where it is not text.
        key: String,
    },
    /// An entry does not decode.
    #[error("state entry {key} is corrupt: {source}")]
    Corrupt {
        /// The key.
        key: String,
        /// What is wrong.
        source: DecodeError,
    },
    /// The block is not the next one.
    #[error("block {found} does not follow the state, expected {expected}")]
    WrongHeight {
        /// The block's height.
        found: Height,
        /// The height that follows the state.
        expected: Height,
    },
    /// A vote has brought rules into force that this software does not know.
    #[error(
        "the next block is executed by version {found} of the rules, this software knows up to {expected}"
    )]
    UnknownVersion {
        /// The version in force.
        found: u64,
        /// The newest one known here.
        expected: u64,
    },
    /// The parts of an asset do not add up to what was issued.
    #[error("asset {asset} is out of balance: parts add up to {found}, expected {expected}")]
    Unbalanced {
        /// The asset.
        asset: AssetId,
        /// Sum of the parts.
        found: Amount,
        /// Issued at genesis.
        expected: Amount,
    },
    /// A sum that the supply identity bounds has left its range.
    #[error("arithmetic on {what} left its range")]
    Arithmetic {
        /// What was computed.
        what: &'static str,
    },
}

impl LedgerError {
    /// A stable identifier for programs and documentation.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Read(_) => "ledger.state_read",
            Self::Missing { .. } => "ledger.state_missing",
            Self::Corrupt { .. } => "ledger.state_corrupt",
            Self::WrongHeight { .. } => "ledger.wrong_height",
            Self::UnknownVersion { .. } => "ledger.unknown_version",
            Self::Unbalanced { .. } => "ledger.unbalanced",
            Self::Arithmetic { .. } => "ledger.arithmetic",
        }
    }

    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Read(_) => "check disk and permissions of the data directory",
            Self::Missing { .. } | Self::Corrupt { .. } => {
                "the store is damaged: restore it from a backup, or delete it and sync again"
            }
            Self::WrongHeight { .. } => "store and consensus engine disagree: restart both from one snapshot",
            Self::UnknownVersion { .. } => {
                "start a release that knows this version on the same data directory: nothing is lost"
            }
            Self::Unbalanced { .. } | Self::Arithmetic { .. } => {
                "this is a bug: keep the data directory and report it"
            }
        }
    }
}

/// Why a genesis document's `app_state` is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GenesisError {
    /// Not the JSON form of a genesis state.
    #[error("app_state: {0}")]
    Json(#[source] serde_json::Error),
    /// Asset ids are not 0, 1, 2 and so on.
    #[error("asset id {found} is out of order, expected {expected}")]
    AssetOrder {
        /// The id found.
        found: u32,
        /// The id that belongs there.
        expected: u32,
    },
    /// There is no asset, or too many.
    #[error("{found} assets, expected 1 to {expected}")]
    AssetCount {
        /// The number found.
        found: usize,
        /// The most.
        expected: usize,
    },
    /// A symbol is not a name.
    #[error("asset symbol {found:?} is not a name")]
    Symbol {
        /// The symbol.
        found: String,
    },
    /// A balance names an asset that is not declared.
    #[error("balance of {account} in undeclared asset {asset}")]
    UnknownAsset {
        /// The account.
        account: Address,
        /// The asset.
        asset: AssetId,
    },
    /// Two entries for the same account and asset, or for the same validator.
    #[error("{what} stands twice")]
    Duplicate {
        /// What stands twice.
        what: String,
    },
    /// An amount of zero, or the zero address.
    #[error("{what} is zero")]
    Zero {
        /// What is zero.
        what: String,
    },
    /// There is no validator, or too many.
    #[error("{found} validators, expected 1 to {expected}")]
    ValidatorCount {
        /// The number found.
        found: usize,
        /// The most.
        expected: usize,
    },
    /// A validator's key is none.
    #[error("validator key {key} is no ed25519 key")]
    ValidatorKey {
        /// The key.
        key: ConsensusKey,
    },
    /// A validator's stake is below the minimum.
    #[error("validator {key} stakes {found}, expected at least {expected}")]
    Stake {
        /// The validator's key.
        key: ConsensusKey,
        /// Its stake.
        found: Amount,
        /// The least.
        expected: Amount,
    },
    /// Balances, pool and stakes do not add up to the issued amount.
    #[error("asset {asset}: balances, pool and stakes add up to {found}, issued says {expected}")]
    Unbalanced {
        /// The asset.
        asset: AssetId,
        /// Sum of balances, pool and stakes.
        found: Amount,
        /// The issued amount.
        expected: Amount,
    },
    /// A sum is above 2^128.
    #[error("asset {asset}: balances overflow")]
    Overflow {
        /// The asset.
        asset: AssetId,
    },
    /// A parameter is outside its range.
    #[error("parameter {name} is {found}, expected {expected}")]
    Param {
        /// The parameter.
        name: &'static str,
        /// Its value.
        found: u128,
        /// The rule.
        expected: &'static str,
    },
}

impl From<ParamFault> for GenesisError {
    fn from(fault: ParamFault) -> Self {
        Self::Param {
            name: fault.name,
            found: fault.found,
            expected: fault.expected,
        }
    }
}

impl GenesisError {
    /// A stable identifier for programs and documentation.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Json(_) => "genesis.json",
            Self::AssetOrder { .. } => "genesis.asset_order",
            Self::AssetCount { .. } => "genesis.asset_count",
            Self::Symbol { .. } => "genesis.symbol",
            Self::UnknownAsset { .. } => "genesis.unknown_asset",
            Self::Duplicate { .. } => "genesis.duplicate",
            Self::Zero { .. } => "genesis.zero",
            Self::ValidatorCount { .. } => "genesis.validator_count",
            Self::ValidatorKey { .. } => "genesis.validator_key",
            Self::Stake { .. } => "genesis.stake",
            Self::Unbalanced { .. } => "genesis.unbalanced",
            Self::Overflow { .. } => "genesis.overflow",
            Self::Param { .. } => "genesis.param",
        }
    }

    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Param { .. } => {
                "change the parameter in app_state of the genesis document; spec/ledger.md, L2, says what each may be and why"
            }
            _ => "correct app_state in the genesis document; its form is in spec/ledger.md, \"Genesis\"",
        }
    }
}
