//! Stake, Unstake, Unjail (`spec/ledger.md`, V2 to V4).

use ed25519_consensus::{Signature, VerificationKey};
use haca_wire::state::{
    Jail, Queue, UnstakingRecord, ValidatorParams, ValidatorRecord, ValidatorSetRecord, key,
};
use haca_wire::{Amount, AssetId, ConsensusAddress, ConsensusKey, limit, tx::possession_message};

use super::{Execution, Stop, Trust};
use crate::bank::Purse;
use crate::error::LedgerError;
use crate::outcome::Effect;
use crate::refusal::Refusal;
use crate::validators::{is_candidate, leave};

impl Execution<'_, '_> {
    /// Adds to the stake behind a key of the sender's; the first time, the key becomes the sender's.
    pub(super) fn stake(
        &mut self,
        consensus: ConsensusKey,
        possession: &[u8; 64],
        amount: Amount,
    ) -> Result<(), Stop> {
        if amount.0 == 0 {
            return Err(Refusal::ZeroAmount.into());
        }
        self.check_possession(consensus, possession)?;
        let address = consensus.address();
        let place = key::validator(address);
        let mut record = match self.state.get::<ValidatorRecord>(&place)? {
            Some(record) => self.own(record)?,
            None => ValidatorRecord {
                account: self.sender,
                key: consensus,
                stake: Amount(0),
                jail: Jail::Free,
                window: 0,
                missed: 0,
                slashed: Amount(0),
                unstaking: Vec::new(),
            },
        };
        if record.jail == Jail::Forever {
            return Err(Refusal::ValidatorConvicted { key: consensus }.into());
        }
        // Before any sum: whoever has the amount stakes less than was issued.
        self.state
            .shift(AssetId::OPG, Purse::Balance(self.sender), Purse::Stakes, amount)?;
        let before = record.stake;
        record.stake = before.checked_add(amount).ok_or(OUT_OF_RANGE)?;
        let least = self.params().min_stake;
        if record.stake < least {
            return Err(Refusal::StakeTooSmall {
                found: record.stake,
                expected: least,
            }
            .into());
        }
        if before.0 == 0 {
            // Whoever is on the list can be made to leave it, which takes a place.
            let expected = ValidatorRecord::MAX_UNSTAKING.saturating_sub(1);
            if record.unstaking.len() > expected {
                return Err(Refusal::TooManyUnstakings { expected }.into());
            }
            self.join(address, record.stake)?;
        }
        self.state.put(place, &record);
        self.effects.push(Effect::Staked {
            key: consensus,
            amount,
        });
        Ok(())
    }

    /// Takes stake out. It is paid when no evidence can reach it any more.
    pub(super) fn unstake(&mut self, consensus: ConsensusKey, amount: Amount) -> Result<(), Stop> {
        if amount.0 == 0 {
            return Err(Refusal::ZeroAmount.into());
        }
        let mut record = self.need_validator(consensus)?;
        let Some(left) = record.stake.checked_sub(amount) else {
            return Err(Refusal::InsufficientStake {
                found: record.stake,
                expected: amount,
            }
            .into());
        };
        let least = self.params().min_stake;
        if left.0 > 0 && left < least {
            return Err(Refusal::StakeTooSmall {
                found: left,
                expected: least,
            }
            .into());
        }
        if left.0 == 0 && is_candidate(&self.params(), &record) && !self.has_other_candidate(consensus)? {
            return Err(Refusal::LastValidator.into());
        }
        // The last place is for leaving, by one's own will or for somebody with more stake.
        let places = ValidatorRecord::MAX_UNSTAKING;
        let expected = if left.0 == 0 {
            places
        } else {
            places.saturating_sub(1)
        };
        if record.unstaking.len() >= expected {
            return Err(Refusal::TooManyUnstakings { expected }.into());
        }
        self.withdraw(&mut record, amount)?;
        self.state.put(key::validator(consensus.address()), &record);
        if left.0 == 0 {
            leave(self.state, consensus.address())?;
        }
        Ok(())
    }

    /// Frees a validator that was jailed for missed votes.
    pub(super) fn unjail(&mut self, consensus: ConsensusKey) -> Result<(), Stop> {
        let mut record = self.need_validator(consensus)?;
        match record.jail {
            Jail::Free => return Err(Refusal::NotJailed { key: consensus }.into()),
            Jail::Forever => return Err(Refusal::ValidatorConvicted { key: consensus }.into()),
            Jail::Until(until) if self.rules.height < until => {
                return Err(Refusal::JailedUntil {
                    found: self.rules.height,
                    expected: until,
                }
                .into());
            }
            Jail::Until(_) => {}
        }
        record.jail = Jail::Free;
        record.missed = 0;
        self.state.put(key::validator(consensus.address()), &record);
        self.effects.push(Effect::ValidatorFreed { key: consensus });
        Ok(())
    }

    fn params(&self) -> ValidatorParams {
        self.rules.params.validators
    }

    /// Whether the key's holder signed for this account on this network.
    fn check_possession(&self, consensus: ConsensusKey, possession: &[u8; 64]) -> Result<(), Refusal> {
        if matches!(self.rules.trust, Trust::Assumed) {
            return Ok(());
        }
        let wrong = Refusal::Possession { key: consensus };
        let verifier = VerificationKey::try_from(consensus.0).map_err(|_| wrong.clone())?;
        let message = possession_message(&self.rules.domain, self.sender);
        verifier
            .verify(&Signature::from(*possession), &message)
            .map_err(|_| wrong)
    }

    pub(super) fn need_validator(&self, consensus: ConsensusKey) -> Result<ValidatorRecord, Stop> {
        let record = self.state.get(&key::validator(consensus.address()))?;
        self.own(record.ok_or(Refusal::UnknownValidator { key: consensus })?)
    }

    /// The record, if it is the sender's.
    fn own(&self, record: ValidatorRecord) -> Result<ValidatorRecord, Stop> {
        if record.account != self.sender {
            return Err(Refusal::NotTheValidator {
                found: self.sender,
                expected: record.account,
            }
            .into());
        }
        Ok(record)
    }

    /// Puts a newcomer on the list. A full list makes room by the member with the smallest stake, if that is smaller.
    fn join(&mut self, newcomer: ConsensusAddress, stake: Amount) -> Result<(), Stop> {
        let mut set: ValidatorSetRecord = self.state.need(key::VALIDATORS)?;
        if set.members.len() >= limit::STAKERS {
            let mut smallest: Option<ValidatorRecord> = None;
            for member in &set.members {
                let record: ValidatorRecord = self.state.need(&key::validator(*member))?;
                if smallest.as_ref().is_none_or(|least| record.stake < least.stake) {
                    smallest = Some(record);
                }
            }
            let mut evicted = smallest.ok_or(OUT_OF_RANGE)?;
            if evicted.stake >= stake {
                return Err(Refusal::ValidatorsFull {
                    found: stake,
                    expected: evicted.stake,
                }
                .into());
            }
            let all = evicted.stake;
            self.withdraw(&mut evicted, all)?;
            let address = evicted.key.address();
            self.state.put(key::validator(address), &evicted);
            set.members.retain(|member| *member != address);
        }
        if let Err(at) = set.members.binary_search(&newcomer) {
            set.members.insert(at, newcomer);
        }
        self.state.put(key::VALIDATORS.to_vec(), &set);
        Ok(())
    }

    /// Moves stake to the queue.
    fn withdraw(&mut self, record: &mut ValidatorRecord, amount: Amount) -> Result<(), Stop> {
        record.stake = record.stake.checked_sub(amount).ok_or(OUT_OF_RANGE)?;
        self.state
            .shift(AssetId::OPG, Purse::Stakes, Purse::Unbonding, amount)?;
        let mut queue: Queue = self.state.need(key::UNSTAKING_QUEUE)?;
        self.state.put(
            key::unstaking(queue.tail),
            &UnstakingRecord {
                validator: record.key.address(),
                amount,
                height: self.rules.height,
                time_unix_s: self.rules.time_unix_s,
            },
        );
        record.unstaking.push(queue.tail);
        queue.tail = queue.tail.saturating_add(1);
        self.state.put(key::UNSTAKING_QUEUE.to_vec(), &queue);
        self.effects.push(Effect::Unstaking {
            key: record.key,
            amount,
        });
        Ok(())
    }

    fn has_other_candidate(&self, consensus: ConsensusKey) -> Result<bool, LedgerError> {
        let set: ValidatorSetRecord = self.state.need(key::VALIDATORS)?;
        for member in set.members {
            let record: ValidatorRecord = self.state.need(&key::validator(member))?;
            if record.key != consensus && is_candidate(&self.params(), &record) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

const OUT_OF_RANGE: LedgerError = LedgerError::Arithmetic { what: "stake" };
