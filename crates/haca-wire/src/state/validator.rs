//! Validators: who stakes for which consensus key, who is jailed, and stake on its way out.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_list};
use crate::codec_struct;
use crate::id::{Address, Amount, ConsensusAddress, ConsensusKey, Height};
use crate::limit;

/// The numbers of the rules for validators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidatorParams {
    /// OPG that a validator stakes at least.
    pub min_stake: Amount,
    /// The most validators that consensus has at a time.
    pub max_validators: u64,
    /// Blocks that withdrawn stake is held at least, besides `evidence_s`; consensus takes no evidence that is older than
    /// both.
    pub evidence_blocks: u64,
    /// Seconds that withdrawn stake is held at least, besides `evidence_blocks`.
    pub evidence_s: u64,
    /// Blocks in which missed votes are counted together.
    pub signed_window: u64,
    /// The most votes that a validator may miss in a window.
    pub max_missed: u64,
    /// Blocks that a validator which missed more stays in jail.
    pub jail_blocks: u64,
    /// A validator that voted twice loses its stake divided by this, rounded up.
    pub slash_divisor: u64,
}
codec_struct!(ValidatorParams {
    min_stake,
    max_validators,
    evidence_blocks,
    evidence_s,
    signed_window,
    max_missed,
    jail_blocks,
    slash_divisor
});

/// Whether a validator may take part in consensus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jail {
    /// It may.
    Free,
    /// It missed too many votes. It may ask to be freed from this height on.
    Until(Height),
    /// Evidence was brought against it.
    Forever,
}

impl Encode for Jail {
    fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Self::Free => out.push(1),
            Self::Until(height) => {
                out.push(2);
                height.encode_into(out);
            }
            Self::Forever => out.push(3),
        }
    }
}

impl Decode for Jail {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(reader)? {
            1 => Ok(Self::Free),
            2 => Ok(Self::Until(Decode::decode(reader)?)),
            3 => Ok(Self::Forever),
            found => Err(DecodeError::BadTag {
                what: "jail",
                found: u64::from(found),
            }),
        }
    }
}

/// A validator, under its consensus address. The record stays when the stake is gone: a key belongs to one account for
/// ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorRecord {
    /// Who staked, is paid, and takes the stake out.
    pub account: Address,
    /// The key that signs blocks.
    pub key: ConsensusKey,
    /// OPG staked; without what is on its way out.
    pub stake: Amount,
    /// Whether it may take part.
    pub jail: Jail,
    /// The first height of the window that `missed` belongs to.
    pub window: u64,
    /// Votes missed in that window.
    pub missed: u64,
    /// OPG burned by slashing, altogether.
    pub slashed: Amount,
    /// Positions in the queue of stake on its way out, oldest first.
    pub unstaking: Vec<u64>,
}

/// Entries of one validator in the queue of stake on its way out.
const UNSTAKING: usize = 16;

impl ValidatorRecord {
    /// The most entries in the queue; the last is kept for leaving altogether.
    pub const MAX_UNSTAKING: usize = UNSTAKING;
}

impl Encode for ValidatorRecord {
    fn encode_into(&self, out: &mut Vec<u8>) {
        self.account.encode_into(out);
        self.key.encode_into(out);
        self.stake.encode_into(out);
        self.jail.encode_into(out);
        self.window.encode_into(out);
        self.missed.encode_into(out);
        self.slashed.encode_into(out);
        put_list(out, &self.unstaking);
    }
}

impl Decode for ValidatorRecord {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            account: Decode::decode(reader)?,
            key: Decode::decode(reader)?,
            stake: Decode::decode(reader)?,
            jail: Decode::decode(reader)?,
            window: Decode::decode(reader)?,
            missed: Decode::decode(reader)?,
            slashed: Decode::decode(reader)?,
            unstaking: reader.list("unstaking positions", UNSTAKING)?,
        })
    }
}

/// A validator as consensus was last told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveValidator {
    /// Its key.
    pub key: ConsensusKey,
    /// Its voting power, above 0.
    pub power: u64,
}
codec_struct!(ActiveValidator { key, power });

/// Everybody with a stake, and who of them decides blocks.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ValidatorSetRecord {
    /// Consensus addresses of all validators with a stake, ascending.
    pub members: Vec<ConsensusAddress>,
    /// What consensus was last told, by ascending key; never empty.
    pub active: Vec<ActiveValidator>,
    /// The first height of the window that `jailed_power` belongs to.
    pub window: u64,
    /// Power of those who were jailed for missed votes in that window.
    pub jailed_power: u64,
}

impl ValidatorSetRecord {
    /// The power of a key; 0 when it decides no blocks.
    pub fn power(&self, key: ConsensusKey) -> u64 {
        let found = self.active.iter().find(|validator| validator.key == key);
        found.map_or(0, |validator| validator.power)
    }

    /// The sum of all powers.
    pub fn total_power(&self) -> u64 {
        let powers = self.active.iter().map(|validator| validator.power);
        powers.fold(0, u64::saturating_add)
    }
}

impl Encode for ValidatorSetRecord {
    fn encode_into(&self, out: &mut Vec<u8>) {
        put_list(out, &self.members);
        put_list(out, &self.active);
        self.window.encode_into(out);
        self.jailed_power.encode_into(out);
    }
}

impl Decode for ValidatorSetRecord {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            members: reader.list("validators", limit::STAKERS)?,
            active: reader.list("active validators", limit::STAKERS)?,
            window: Decode::decode(reader)?,
            jailed_power: Decode::decode(reader)?,
        })
    }
}

/// Stake on its way back to its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnstakingRecord {
    /// Whose stake it is.
    pub validator: ConsensusAddress,
    /// What is left of it after slashing.
    pub amount: Amount,
    /// The block that withdrew it.
    pub height: Height,
    /// Header time of that block, in whole seconds since 1970.
    pub time_unix_s: u64,
}
codec_struct!(UnstakingRecord {
    validator,
    amount,
    height,
    time_unix_s
});
