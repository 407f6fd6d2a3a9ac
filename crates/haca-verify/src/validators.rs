//! Validator sets between the bundle's form and CometBFT's.

use haca_wire::bundle::Validator;
use haca_wire::limit;
use tendermint::validator::{Info, Set};
use tendermint::{PublicKey, account, vote};

use crate::VerifyError;

/// The bundle's form of a validator; `None` when the key is not ed25519.
pub(crate) fn validator_of(key: &PublicKey, power: u64) -> Option<Validator> {
    let key = key.ed25519()?;
    let public_key = <[u8; 32]>::try_from(key.as_bytes()).ok()?;
    Some(Validator { public_key, power })
}

/// CometBFT's form of a set. The set must be in CometBFT's order, without repetition, and with a total power
/// that CometBFT allows, so that equal sets have equal encodings and no sum overflows.
pub(crate) fn validator_set(validators: &[Validator]) -> Result<Set, VerifyError> {
    let set = |reason| VerifyError::ValidatorSet { reason };
    if validators.is_empty() || validators.len() > limit::VALIDATORS {
        return Err(set("empty or too large"));
    }
    let mut total = 0u64;
    let mut infos: Vec<Info> = Vec::new();
    for validator in validators {
        total = total.saturating_add(validator.power);
        if validator.power == 0 || total > Set::MAX_TOTAL_VOTING_POWER {
            return Err(set("voting power out of range"));
        }
        let key = PublicKey::from_raw_ed25519(&validator.public_key).ok_or_else(|| set("no ed25519 key"))?;
        let power = vote::Power::try_from(validator.power).map_err(|_| set("voting power out of range"))?;
        infos.push(Info::new(key, power));
    }
    let ordered = infos.iter().is_sorted_by(|a, b| precedes(a, b));
    let mut addresses: Vec<account::Id> = infos.iter().map(|info| info.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    if !ordered || addresses.len() != infos.len() {
        return Err(set("out of order or with repetition"));
    }
    Ok(Set::without_proposer(infos))
}

fn precedes(a: &Info, b: &Info) -> bool {
    (core::cmp::Reverse(a.power), a.address) < (core::cmp::Reverse(b.power), b.address)
}

/// Brings a list of validators into CometBFT's order and checks that it is a set.
pub(crate) fn canonical_order(mut validators: Vec<Validator>) -> Result<Vec<Validator>, VerifyError> {
    validators.sort_by_key(|validator| {
        let address = PublicKey::from_raw_ed25519(&validator.public_key).map(account::Id::from);
        (core::cmp::Reverse(validator.power), address)
    });
    validator_set(&validators)?;
    Ok(validators)
}
