//! Validator sets against CometBFT's own code: joins, leaves, powers, rounds, refused changes, and median times.

use haca_node::consensus::{ValidatorSet, ValidatorUpdate, median_time};
use serde::Deserialize;
use tendermint::{
    PublicKey, Signature, Time, account,
    block::{Commit, CommitSig},
};

#[derive(Deserialize)]
struct Change {
    key: String,
    power: i64,
}

#[derive(Deserialize)]
struct Member {
    key: String,
    power: i64,
    priority: i64,
}

#[derive(Deserialize)]
struct Step {
    changes: Option<Vec<Change>>,
    refused: bool,
    members: Vec<Member>,
    proposer: String,
    hash: String,
    rounds: Vec<String>,
}

#[derive(Deserialize)]
struct Vote {
    key: String,
    flag: u8,
    unix_ns: i64,
}

#[derive(Deserialize)]
struct Median {
    votes: Option<Vec<Vote>>,
    unix_ns: i64,
}

#[derive(Deserialize)]
struct Run {
    genesis: Vec<Change>,
    steps: Vec<Step>,
    medians: Vec<Median>,
}

fn runs() -> Vec<Run> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../spec/vectors/consensus/rotation.json"
    );
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn key(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn address(text: &str) -> account::Id {
    account::Id::from(PublicKey::from_raw_ed25519(&key(text)).unwrap())
}

fn updates(changes: &[Change]) -> Vec<ValidatorUpdate> {
    let update = |change: &Change| ValidatorUpdate {
        key: key(&change.key),
        power: change.power,
    };
    changes.iter().map(update).collect()
}

fn check(set: &ValidatorSet, step: &Step, place: &str) {
    let theirs: Vec<_> = step
        .members
        .iter()
        .map(|member| (address(&member.key), member.power, member.priority))
        .collect();
    let ours: Vec<_> = set
        .validators()
        .iter()
        .map(|v| (v.address, v.power, v.priority))
        .collect();
    assert_eq!(ours, theirs, "{place}");
    assert_eq!(set.proposer().to_string(), step.proposer, "{place}");
    assert_eq!(set.hash().to_string(), step.hash.to_uppercase(), "{place}");
    for (round, proposer) in [1, 2, 3, 7].into_iter().zip(&step.rounds) {
        assert_eq!(
            set.rotated(round).proposer().to_string(),
            *proposer,
            "{place}, round {round}"
        );
    }
}

#[test]
fn sets_change_and_rotate_as_in_cometbft() {
    let (mut refused, mut changed) = (0, 0);
    for (number, run) in runs().into_iter().enumerate() {
        let genesis: Vec<_> = run
            .genesis
            .iter()
            .map(|member| (key(&member.key), member.power))
            .collect();
        let mut set = ValidatorSet::genesis(&genesis).unwrap();
        check(&set, &run.steps[0], &format!("run {number}, genesis"));
        for (height, step) in run.steps.iter().enumerate().skip(1) {
            let changes = updates(step.changes.as_deref().unwrap_or_default());
            let next = set.update(&changes);
            assert_eq!(
                next.is_err(),
                step.refused,
                "run {number}, height {height}: {next:?}"
            );
            refused += usize::from(step.refused);
            changed += usize::from(!changes.is_empty());
            set = next.unwrap_or(set).next();
            check(&set, step, &format!("run {number}, height {height}"));
            assert_eq!(ValidatorSet::from_proto(&set.to_proto()).unwrap(), set);
        }
    }
    assert!(
        refused >= 10 && changed >= 60,
        "{refused} refused, {changed} changed"
    );
}

fn signature(vote: &Vote) -> CommitSig {
    let timestamp = Time::from_unix_timestamp(
        vote.unix_ns.div_euclid(1_000_000_000),
        u32::try_from(vote.unix_ns.rem_euclid(1_000_000_000)).unwrap(),
    )
    .unwrap();
    let (validator_address, signature) = (address(&vote.key), Signature::new([1; 64]).unwrap());
    match vote.flag {
        1 => CommitSig::BlockIdFlagAbsent,
        2 => CommitSig::BlockIdFlagCommit {
            validator_address,
            timestamp,
            signature,
        },
        _ => CommitSig::BlockIdFlagNil {
            validator_address,
            timestamp,
            signature,
        },
    }
}

#[test]
fn times_are_cometbfts_weighted_medians() {
    let mut compared = 0;
    for run in runs() {
        for (step, median) in run.steps.iter().skip(1).zip(&run.medians) {
            let Some(votes) = &median.votes else { continue };
            let members: Vec<_> = step.members.iter().map(|m| (key(&m.key), m.power)).collect();
            let set = ValidatorSet::genesis(&members).unwrap();
            let mut commit = Commit {
                signatures: votes.iter().map(signature).collect(),
                ..Commit::default()
            };
            let nanos = median_time(&commit, &set)
                .unwrap()
                .duration_since(Time::unix_epoch());
            assert_eq!(nanos.unwrap().as_nanos(), u128::try_from(median.unix_ns).unwrap());
            compared += 1;
            // Somebody who is no member makes the commit none of this set's.
            let stranger = key(&run.genesis[0].key).map(|byte| byte ^ 1);
            let stranger = account::Id::new(stranger[..20].try_into().unwrap());
            if let Some(CommitSig::BlockIdFlagCommit {
                validator_address, ..
            }) = commit.signatures.first_mut()
            {
                *validator_address = stranger;
                assert_eq!(median_time(&commit, &set), None);
            }
        }
    }
    assert!(compared >= 40, "{compared} medians");
}
