//! What validators vote on (`spec/ledger.md`, section G).

use crate::codec::{Decode, DecodeError, Encode, Reader, put_list};
use crate::codec_struct;
use crate::eip712::{StructHasher, TypeHash, TypedData};
use crate::id::{Height, ProposalId};
use crate::limit;

/// Declares the parameters that a vote can change: number in the encoding, and name.
macro_rules! parameters {
    ($($(#[$doc:meta])* $name:ident = $tag:literal, $text:literal;)*) => {
        /// A parameter that a vote can change. What is not here is fixed until an upgrade: every window and lifetime that
        /// an open channel, a signed order or a used nonce relies on, the bytes of a block and the age of evidence, which
        /// consensus keeps for itself, and the rules of voting.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Parameter {
            $($(#[$doc])* $name = $tag,)*
        }

        impl Parameter {
            /// All of them, by ascending number.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name that stands in the genesis document and in what a wallet shows.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            const fn of(tag: u8) -> Option<Self> {
                match tag {
                    $($tag => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

parameters! {
    /// `Params::block_gas`.
    BlockGas = 1, "block_gas";
    /// `Params::tx_gas`.
    TxGas = 2, "tx_gas";
    /// `Params::gas_flat`.
    GasFlat = 3, "gas_flat";
    /// `Params::gas_byte`.
    GasByte = 4, "gas_byte";
    /// `Params::gas_signature`.
    GasSignature = 5, "gas_signature";
    /// `Params::gas_registration`.
    GasRegistration = 6, "gas_registration";
    /// `Params::node_stake`.
    NodeStake = 7, "node_stake";
    /// `Params::quote_lifetime`.
    QuoteLifetime = 8, "quote_lifetime";
    /// `Params::prove_price`.
    ProvePrice = 9, "prove_price";
    /// `Params::reward_divisor`.
    RewardDivisor = 10, "reward_divisor";
    /// `ValidatorParams::min_stake`.
    MinStake = 11, "validators.min_stake";
    /// `ValidatorParams::max_validators`.
    MaxValidators = 12, "validators.max_validators";
    /// `ValidatorParams::signed_window`.
    SignedWindow = 13, "validators.signed_window";
    /// `ValidatorParams::max_missed`.
    MaxMissed = 14, "validators.max_missed";
    /// `ValidatorParams::jail_blocks`.
    JailBlocks = 15, "validators.jail_blocks";
    /// `ValidatorParams::slash_divisor`.
    SlashDivisor = 16, "validators.slash_divisor";
}

impl core::str::FromStr for Parameter {
    type Err = UnknownParameter;

    fn from_str(text: &str) -> Result<Self, UnknownParameter> {
        let found = Self::ALL.iter().find(|parameter| parameter.name() == text);
        found.copied().ok_or(UnknownParameter)
    }
}

/// A name that is no [`Parameter`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no parameter of this name can be voted on")]
pub struct UnknownParameter;

impl Encode for Parameter {
    fn encode_into(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }
}

impl Decode for Parameter {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let tag = u8::decode(reader)?;
        Self::of(tag).ok_or(DecodeError::BadTag {
            what: "parameter",
            found: u64::from(tag),
        })
    }
}

/// A parameter's new value, in the parameter's own unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParamChange {
    /// Which.
    pub parameter: Parameter,
    /// Its value.
    pub value: u128,
}
codec_struct!(ParamChange { parameter, value });

impl ParamChange {
    /// EIP-712 type string.
    pub const TYPE: &'static str = "ParamChange(string name,uint128 value)";
}

impl TypedData for ParamChange {
    fn struct_hash(&self) -> [u8; 32] {
        static TYPE: TypeHash = TypeHash::new(ParamChange::TYPE);
        StructHasher::new(TYPE.get())
            .string(self.parameter.name())
            .uint(self.value)
            .finish()
    }
}

/// What validators vote on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proposal {
    /// New values, by ascending parameter, at least one.
    Parameters(Vec<ParamChange>),
    /// From a height on, blocks are executed by another version of the rules.
    Upgrade {
        /// The version.
        version: u64,
        /// The first block under it.
        height: Height,
    },
    /// An open or passed proposal comes to nothing.
    Cancel(ProposalId),
}

impl Proposal {
    /// The kind, as a wallet shows it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Parameters(_) => "parameters",
            Self::Upgrade { .. } => "upgrade",
            Self::Cancel(_) => "cancel",
        }
    }

    /// The new values; none unless the proposal is for parameters.
    pub fn changes(&self) -> &[ParamChange] {
        match self {
            Self::Parameters(changes) => changes,
            Self::Upgrade { .. } | Self::Cancel(_) => &[],
        }
    }

    /// Version and height of an upgrade, and the number of what is cancelled; zero where the proposal has none.
    pub const fn numbers(&self) -> (u64, Height, ProposalId) {
        match self {
            Self::Parameters(_) => (0, Height(0), ProposalId(0)),
            Self::Upgrade { version, height } => (*version, *height, ProposalId(0)),
            Self::Cancel(proposal) => (0, Height(0), *proposal),
        }
    }
}

impl Encode for Proposal {
    fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Self::Parameters(changes) => {
                out.push(1);
                put_list(out, changes);
            }
            Self::Upgrade { version, height } => {
                out.push(2);
                version.encode_into(out);
                height.encode_into(out);
            }
            Self::Cancel(proposal) => {
                out.push(3);
                proposal.encode_into(out);
            }
        }
    }
}

impl Decode for Proposal {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(reader)? {
            1 => {
                let changes: Vec<ParamChange> = reader.list("parameter changes", limit::PARAM_CHANGES)?;
                let ascending = changes.is_sorted_by(|a, b| a.parameter < b.parameter);
                if changes.is_empty() || !ascending {
                    return Err(DecodeError::Invalid {
                        what: "order of parameter changes",
                    });
                }
                Ok(Self::Parameters(changes))
            }
            2 => Ok(Self::Upgrade {
                version: Decode::decode(reader)?,
                height: Decode::decode(reader)?,
            }),
            3 => Ok(Self::Cancel(Decode::decode(reader)?)),
            found => Err(DecodeError::BadTag {
                what: "proposal",
                found: u64::from(found),
            }),
        }
    }
}
