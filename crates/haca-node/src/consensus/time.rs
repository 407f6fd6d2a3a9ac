//! Header time. Block 1 carries the genesis time; every later block the weighted median of the precommit times
//! in its last commit, which the voters keep above the time of the block they vote for.

use tendermint::{
    Time,
    block::{Commit, CommitSig},
};

use super::ValidatorSet;

/// Smallest distance between a block's time and a vote for it, in nanoseconds.
pub const MIN_BLOCK_STEP_NS: i128 = 1_000_000;

/// The time a validator puts on its vote: its clock, but at least one millisecond after the block.
pub fn vote_time(now: Time, block: Time) -> Time {
    let earliest = from_nanos(nanos(block).saturating_add(MIN_BLOCK_STEP_NS)).unwrap_or(block);
    now.max(earliest)
}

/// Weighted median of the times in a commit. `None` when nobody voted, or a stranger did.
pub fn median_time(commit: &Commit, validators: &ValidatorSet) -> Option<Time> {
    let mut votes: Vec<(Time, i64)> = Vec::new();
    for signature in &commit.signatures {
        let (address, time) = match signature {
            CommitSig::BlockIdFlagAbsent => continue,
            CommitSig::BlockIdFlagCommit {
                validator_address,
                timestamp,
                ..
            }
            | CommitSig::BlockIdFlagNil {
                validator_address,
                timestamp,
                ..
            } => (validator_address, timestamp),
        };
        votes.push((*time, validators.find(address)?.power));
    }
    votes.sort_by_key(|(time, _)| *time);
    let mut median = votes.iter().map(|(_, power)| power).sum::<i64>() / 2;
    for (time, power) in votes {
        if median <= power {
            return Some(time);
        }
        median -= power;
    }
    None
}

/// Nanoseconds since 1970.
pub(crate) fn nanos(time: Time) -> i128 {
    let raw = tendermint_proto::google::protobuf::Timestamp::from(time);
    i128::from(raw.seconds) * 1_000_000_000 + i128::from(raw.nanos)
}

/// The time `nanos` nanoseconds after 1970, where it can be expressed.
pub(crate) fn from_nanos(nanos: i128) -> Option<Time> {
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    let rest = u32::try_from(nanos.rem_euclid(1_000_000_000)).ok()?;
    Time::from_unix_timestamp(seconds, rest).ok()
}
