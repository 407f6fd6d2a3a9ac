//! The validator set with proposer priorities, rotated as CometBFT does (`types/validator_set.go`).

use tendermint::{PublicKey, account, validator};
use tendermint_proto::v0_38::types;
use thiserror::Error;

/// Priorities may spread over this many times the total power before they are scaled down.
const PRIORITY_WINDOW: i64 = 2;
/// Largest total power; keeps all sums of powers and priorities inside 64 bits.
pub const MAX_TOTAL_POWER: i64 = i64::MAX / 8;
/// Largest number of validators in one set.
pub const MAX_VALIDATORS: usize = 10_000;

/// Why a list of validators is not a set.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ValidatorSetError {
    /// No validators.
    #[error("the validator set is empty")]
    Empty,
    /// Too many validators.
    #[error("{found} validators are more than {expected}")]
    TooMany {
        /// How many.
        found: usize,
        /// Limit.
        expected: usize,
    },
    /// A power is not positive, or the total is above [`MAX_TOTAL_POWER`].
    #[error("voting power {found} is not positive or takes the total above {expected}")]
    Power {
        /// The power at which the sum went out of range.
        found: i64,
        /// The largest total.
        expected: i64,
    },
    /// One key twice.
    #[error("validator {} stands twice in the set", hex::encode(.address))]
    Duplicate {
        /// Address of the repeated key.
        address: [u8; 20],
    },
    /// Somebody is to leave who is no member.
    #[error("validator {} is to leave the set, and is not in it", hex::encode(.address))]
    Unknown {
        /// Address of the key.
        address: [u8; 20],
    },
    /// Bytes that are not an ed25519 public key.
    #[error("a validator's public key is not an ed25519 key")]
    Key,
}

/// A change of the set, as a block of the application brings it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidatorUpdate {
    /// Ed25519 key.
    pub key: [u8; 32],
    /// Voting power from the second height after the block on; 0 leaves the set.
    pub power: i64,
}

/// Address, key and power of a changed validator.
type Change = (account::Id, PublicKey, i64);

fn power_error(found: i64) -> ValidatorSetError {
    ValidatorSetError::Power {
        found,
        expected: MAX_TOTAL_POWER,
    }
}

fn bytes(address: &account::Id) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes.copy_from_slice(address.as_bytes());
    bytes
}

/// Changes by address, each key once and each power in range.
fn sorted_changes(changes: &[ValidatorUpdate]) -> Result<Vec<Change>, ValidatorSetError> {
    let mut sorted = Vec::with_capacity(changes.len());
    for change in changes {
        let key = PublicKey::from_raw_ed25519(&change.key).ok_or(ValidatorSetError::Key)?;
        if !(0..=MAX_TOTAL_POWER).contains(&change.power) {
            return Err(power_error(change.power));
        }
        sorted.push((account::Id::from(key), key, change.power));
    }
    sorted.sort_by_key(|change| change.0);
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(ValidatorSetError::Duplicate {
            address: bytes(&pair[0].0),
        });
    }
    Ok(sorted)
}

/// One validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    /// First 20 bytes of the SHA-256 of the key.
    pub address: account::Id,
    /// Ed25519 key.
    pub public_key: PublicKey,
    /// Voting power, positive.
    pub power: i64,
    /// Proposer priority; the highest proposes.
    pub priority: i64,
}

/// Validators sorted by power (descending), then address, and the proposer of the height the set belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorSet {
    validators: Vec<Validator>,
    proposer: account::Id,
    total_power: i64,
}

impl ValidatorSet {
    /// The set that a genesis document starts with: `(public key, power)` pairs.
    pub fn genesis(members: &[([u8; 32], i64)]) -> Result<Self, ValidatorSetError> {
        let empty = Self {
            validators: Vec::new(),
            proposer: account::Id::new([0; 20]),
            total_power: 0,
        };
        let changes: Vec<ValidatorUpdate> = members
            .iter()
            .map(|(key, power)| ValidatorUpdate {
                key: *key,
                power: *power,
            })
            .collect();
        if let Some(found) = changes.iter().find(|change| change.power == 0) {
            return Err(power_error(found.power));
        }
        if changes.is_empty() {
            return Err(ValidatorSetError::Empty);
        }
        Ok(empty.update(&changes)?.next())
    }

    /// The set with the changes of one block applied (`ValidatorSet.updateWithChangeSet`): power 0 removes, a newcomer
    /// starts at -1.125 of the total power, so that leaving and joining again wins nothing. Nothing is rotated.
    pub fn update(&self, changes: &[ValidatorUpdate]) -> Result<Self, ValidatorSetError> {
        if changes.is_empty() {
            return Ok(self.clone());
        }
        let changes = sorted_changes(changes)?;
        let mut total_power = self.total_after(&changes)?;
        total_power += total_power >> 3;
        let mut set = self.clone();
        for (address, public_key, power) in changes {
            let known = set.validators.iter().position(|v| v.address == address);
            match (known.and_then(|at| set.validators.get_mut(at)), power) {
                (Some(_), 0) => set.validators.retain(|v| v.address != address),
                (Some(validator), _) => validator.power = power,
                (None, 0) => {
                    return Err(ValidatorSetError::Unknown {
                        address: bytes(&address),
                    });
                }
                (None, _) => set.validators.push(Validator {
                    address,
                    public_key,
                    power,
                    priority: -total_power,
                }),
            }
        }
        if set.validators.is_empty() {
            return Err(ValidatorSetError::Empty);
        }
        if set.validators.len() > MAX_VALIDATORS {
            return Err(ValidatorSetError::TooMany {
                found: set.validators.len(),
                expected: MAX_VALIDATORS,
            });
        }
        set.total_power = set.validators.iter().map(|v| v.power).sum();
        set.rescale();
        set.centre();
        let order = |a: &Validator, b: &Validator| b.power.cmp(&a.power).then(a.address.cmp(&b.address));
        set.validators.sort_by(order);
        Ok(set)
    }

    /// The total power after joins and changes and before leaves; refused where, without those who leave, it passes
    /// [`MAX_TOTAL_POWER`].
    fn total_after(&self, changes: &[Change]) -> Result<i64, ValidatorSetError> {
        let held = |address: &account::Id| self.find(address).map_or(0, |v| v.power);
        let leaving = changes.iter().filter(|change| change.2 == 0);
        let removed: i64 = leaving.map(|change| held(&change.0)).sum();
        let kept = changes.iter().filter(|change| change.2 != 0);
        let mut total = i128::from(self.total_power) - i128::from(removed);
        for (address, _, power) in kept {
            total += i128::from(*power) - i128::from(held(address));
        }
        match i64::try_from(total) {
            Ok(total) if total <= MAX_TOTAL_POWER => Ok(total + removed),
            _ => Err(power_error(i64::try_from(total).unwrap_or(i64::MAX))),
        }
    }

    /// The set of the following height: the same members, the proposer rotated once.
    pub fn next(&self) -> Self {
        self.rotated(1)
    }

    /// The set with the proposer rotated `times` times: who proposes in that round of this set's height.
    pub fn rotated(&self, times: u32) -> Self {
        let mut set = self.clone();
        if times > 0 {
            set.rescale();
            set.centre();
        }
        for _ in 0..times {
            set.rotate();
        }
        set
    }

    fn rotate(&mut self) {
        for validator in &mut self.validators {
            validator.priority = validator.priority.saturating_add(validator.power);
        }
        let total_power = self.total_power;
        let first = self
            .validators
            .iter_mut()
            .max_by(|a, b| a.priority.cmp(&b.priority).then(b.address.cmp(&a.address)));
        if let Some(proposer) = first {
            proposer.priority = proposer.priority.saturating_sub(total_power);
            self.proposer = proposer.address;
        }
    }

    /// Divides all priorities when they spread over more than twice the total power.
    fn rescale(&mut self) {
        let window = PRIORITY_WINDOW.saturating_mul(self.total_power);
        let priorities = || self.validators.iter().map(|v| v.priority);
        let (low, high) = (priorities().min().unwrap_or(0), priorities().max().unwrap_or(0));
        let spread = high.saturating_sub(low);
        if window > 0 && spread > window {
            let ratio = spread.saturating_add(window - 1) / window;
            for validator in &mut self.validators {
                validator.priority /= ratio;
            }
        }
    }

    /// Moves the average priority to zero.
    fn centre(&mut self) {
        let count = i128::try_from(self.validators.len()).unwrap_or(1).max(1);
        let sum: i128 = self.validators.iter().map(|v| i128::from(v.priority)).sum();
        let average = i64::try_from(sum.div_euclid(count)).unwrap_or(0);
        for validator in &mut self.validators {
            validator.priority = validator.priority.saturating_sub(average);
        }
    }

    /// Members in the order of commits and of the hash.
    pub fn validators(&self) -> &[Validator] {
        &self.validators
    }

    /// Keys and powers of all members.
    pub fn members(&self) -> Vec<ValidatorUpdate> {
        let member = |validator: &Validator| {
            let key = validator.public_key.ed25519()?;
            Some(ValidatorUpdate {
                key: key.as_bytes().try_into().ok()?,
                power: validator.power,
            })
        };
        self.validators.iter().filter_map(member).collect()
    }

    /// The member with this address.
    pub fn find(&self, address: &account::Id) -> Option<&Validator> {
        self.validators.iter().find(|v| v.address == *address)
    }

    /// Who proposes in round 0.
    pub const fn proposer(&self) -> account::Id {
        self.proposer
    }

    /// Sum of the powers.
    pub const fn total_power(&self) -> i64 {
        self.total_power
    }

    /// The power of those members that `holds` picks, where it is more than two thirds; else what it is.
    pub fn quorum(&self, holds: impl Fn(&account::Id) -> bool) -> Result<i64, i64> {
        let found = self.validators.iter().filter(|v| holds(&v.address));
        let found: i64 = found.map(|v| v.power).sum();
        if i128::from(found) * 3 > i128::from(self.total_power) * 2 {
            Ok(found)
        } else {
            Err(found)
        }
    }

    /// `validators_hash` of a header.
    pub fn hash(&self) -> tendermint::Hash {
        let members = self
            .validators
            .iter()
            .map(|v| validator::Info {
                address: v.address,
                pub_key: v.public_key,
                power: u64::try_from(v.power).unwrap_or(0).try_into().unwrap_or_default(),
                name: None,
                proposer_priority: v.priority.into(),
            })
            .collect();
        validator::Set::without_proposer(members).hash()
    }

    /// The protobuf form with priorities and proposer.
    pub fn to_proto(&self) -> types::ValidatorSet {
        let member = |v: &Validator| types::Validator {
            address: v.address.as_bytes().to_vec(),
            pub_key: Some(v.public_key.into()),
            voting_power: v.power,
            proposer_priority: v.priority,
        };
        types::ValidatorSet {
            validators: self.validators.iter().map(member).collect(),
            proposer: self.find(&self.proposer).map(member),
            total_voting_power: self.total_power,
        }
    }

    /// Reads the protobuf form back.
    pub fn from_proto(raw: &types::ValidatorSet) -> Result<Self, ValidatorSetError> {
        let members = raw
            .validators
            .iter()
            .map(|v| {
                let info = validator::Info::try_from(v.clone()).map_err(|_| ValidatorSetError::Key)?;
                Ok(Validator {
                    address: info.address,
                    public_key: info.pub_key,
                    power: v.voting_power,
                    priority: v.proposer_priority,
                })
            })
            .collect::<Result<Vec<_>, ValidatorSetError>>()?;
        let proposer = raw
            .proposer
            .as_ref()
            .and_then(|p| account::Id::try_from(p.address.clone()).ok());
        Self::from_members(members, proposer)
    }

    /// A set from members that are sorted and prioritised already. Without a known proposer the first stands in.
    pub fn from_members(
        validators: Vec<Validator>,
        proposer: Option<account::Id>,
    ) -> Result<Self, ValidatorSetError> {
        let first = validators.first().ok_or(ValidatorSetError::Empty)?.address;
        let total_power = validators
            .iter()
            .fold(0_i64, |sum, v| sum.saturating_add(v.power));
        Ok(Self {
            validators,
            proposer: proposer.unwrap_or(first),
            total_power,
        })
    }
}
