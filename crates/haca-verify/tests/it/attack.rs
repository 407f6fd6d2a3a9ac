//! Attacks on light clients: chains that fork by lying, by signing twice, by forgetting; and what is no attack.

use haca_verify::{
    Accused, AttackKind, Outcome, Policy, ProvenAttack, Report, check_id, is_attack_file, verify_attack,
};
use haca_wire::bundle::LightBlock;
use haca_wire::light_file::AttackFile;
use haca_wire::{Encode as _, Height};
use prost::Message as _;
use tendermint::evidence::LightClientAttackEvidence;
use tendermint_proto::v0_38::types as raw;

use crate::chain::{Member, Part, ordered, set};
use crate::mutation::Random;
use crate::network::{NOW_S, Network, START_S, checkpoint};

const COMMON: u64 = 5;
pub(crate) const FORK: u64 = 9;
const DAY_S: u64 = 24 * 3600;

pub(crate) fn file(network: &Network, first: LightBlock, second: LightBlock) -> AttackFile {
    AttackFile {
        genesis: network.genesis(),
        light_blocks: vec![
            network.block(1, vec![0; 32]).build(),
            network.block(COMMON, vec![1; 32]).build(),
        ],
        first: vec![first],
        second: vec![second],
    }
}

pub(crate) fn honest(network: &Network) -> LightBlock {
    network.block(FORK, vec![2; 32]).build()
}

fn verify(network: &Network, file: &AttackFile) -> Report<ProvenAttack> {
    verify_attack(&file.encode(), network.trust(), NOW_S, &Policy::default())
}

/// Those of the members at these places of CometBFT's order.
fn accused(members: &[Member], places: &[usize]) -> Vec<Accused> {
    let members = ordered(members);
    let one = |place: &usize| Accused {
        address: members[*place].info().address.as_bytes().try_into().unwrap(),
        power: members[*place].power,
    };
    places.iter().map(one).collect()
}

fn evidence(bytes: &[u8]) -> LightClientAttackEvidence {
    let raw = raw::LightClientAttackEvidence::decode(bytes).unwrap();
    raw.try_into().unwrap()
}

#[test]
fn equivocation_accuses_those_in_both_commits() {
    let network = Network::new();
    let mut first = network.block(FORK, vec![2; 32]);
    first.parts = vec![Part::Absent, Part::Commit, Part::Commit, Part::Commit];
    let mut second = network.block(FORK, vec![2; 32]);
    second.data = 44;
    second.parts = vec![Part::Commit, Part::Commit, Part::Nil, Part::Commit];
    let report = verify(&network, &file(&network, first.build(), second.build()));
    let attack = report.verified().unwrap().get();
    assert_eq!(attack.kind, AttackKind::Equivocation);
    assert_eq!(
        (attack.common_height, attack.height),
        (Height(COMMON), Height(FORK))
    );
    let both = accused(&network.members, &[1, 3]);
    assert_eq!(attack.double_signed, both);
    for (side, block) in attack.sides.iter().zip([first, second]) {
        assert_eq!(side.accused, both);
        let evidence = evidence(side.evidence.as_ref().unwrap());
        assert_eq!(evidence.common_height.value(), FORK, "the height itself");
        assert_eq!(evidence.total_voting_power.value(), 40);
        assert_eq!(evidence.timestamp, block.header().time);
        assert_eq!(evidence.conflicting_block.signed_header.header, block.header());
        assert_eq!(evidence.byzantine_validators.len(), 2);
    }
}

#[test]
fn a_lunatic_header_accuses_its_signers_of_the_common_set() {
    let network = Network::new();
    // Two of the old validators and strangers sign a state that does not follow; the strangers hold most power.
    let old = ordered(&network.members);
    let stranger = Member::new(77, 15);
    let liars = [old[0].clone(), old[2].clone(), stranger];
    let mut second = network.block(FORK, vec![66; 32]);
    second.validators = &liars;
    second.next_validators = &liars;
    let report = verify(&network, &file(&network, honest(&network), second.build()));
    let attack = report.verified().unwrap().get();
    assert_eq!(attack.kind, AttackKind::Lunatic);
    let [first, second_side] = &attack.sides;
    assert_eq!(second_side.accused, accused(&network.members, &[0, 2]));
    assert_eq!(first.accused, accused(&network.members, &[0, 1, 2, 3]));
    assert_eq!(attack.double_signed, accused(&network.members, &[0, 2]));
    let evidence = evidence(second_side.evidence.as_ref().unwrap());
    assert_eq!(evidence.common_height.value(), COMMON);
    assert_eq!(evidence.total_voting_power.value(), 40);
    assert_eq!(
        evidence.timestamp,
        network.block(COMMON, vec![1; 32]).header().time
    );
    assert_eq!(evidence.conflicting_block.signed_header.header, second.header());
    assert_eq!(
        evidence.conflicting_block.validator_set.hash(),
        set(&liars).hash(),
        "the set that signed"
    );
    assert!(evidence.conflicting_block.validator_set.proposer().is_some());
}

#[test]
fn amnesia_accuses_nobody() {
    let network = Network::new();
    let mut second = network.block(FORK, vec![2; 32]);
    second.data = 44;
    second.round = 1;
    let report = verify(&network, &file(&network, honest(&network), second.build()));
    let attack = report.verified().unwrap().get();
    assert_eq!(attack.kind, AttackKind::Amnesia);
    assert!(attack.sides.iter().all(|side| side.accused.is_empty()));
    assert_eq!(
        attack.double_signed.len(),
        4,
        "who signed both is shown all the same"
    );
}

#[test]
fn validators_are_listed_by_power() {
    let mut network = Network::new();
    network.members = vec![
        Member::new(1, 5),
        Member::new(2, 30),
        Member::new(3, 20),
        Member::new(4, 5),
    ];
    let mut second = network.block(FORK, vec![2; 32]);
    second.data = 44;
    let report = verify(&network, &file(&network, honest(&network), second.build()));
    let attack = report.verified().unwrap().get();
    let powers: Vec<u64> = attack.sides[0]
        .accused
        .iter()
        .map(|accused| accused.power)
        .collect();
    assert_eq!(powers, [30, 20, 5, 5]);
    let listed = evidence(attack.sides[0].evidence.as_ref().unwrap()).byzantine_validators;
    assert!(listed.windows(2).all(|pair| {
        (pair[1].power, pair[0].address) <= (pair[0].power, pair[1].address) || pair[0].power > pair[1].power
    }));
}

#[test]
fn one_header_and_different_heights_are_no_attack() {
    let network = Network::new();
    let higher = network.block(FORK + 1, vec![66; 32]).build();
    for second in [honest(&network), higher] {
        let report = verify(&network, &file(&network, honest(&network), second));
        assert_eq!(report.outcome(), Outcome::Rejected);
        assert_eq!(report.failures().next().unwrap().id, check_id::ATTACK_CONFLICT);
    }
}

/// The false header is named by the side that it stands on.
#[test]
fn a_header_that_does_not_follow_is_no_attack() {
    let network = Network::new();
    let strangers: Vec<Member> = (50..54).map(|seed| Member::new(seed, 10)).collect();
    let mut of_strangers = network.block(FORK, vec![66; 32]);
    of_strangers.validators = &strangers;
    of_strangers.next_validators = &strangers;
    let mut too_few = network.block(FORK, vec![66; 32]);
    too_few.parts = vec![Part::Commit, Part::Commit, Part::Absent, Part::Nil];
    let mut forged = network.block(FORK, vec![66; 32]);
    forged.parts = vec![Part::Commit, Part::Commit, Part::Commit, Part::Forged];
    let mut early = network.block(FORK, vec![66; 32]);
    early.unix_s = START_S;
    let below = network.block(COMMON, vec![66; 32]);
    for (false_block, outcome) in [
        (of_strangers, Outcome::Unverifiable),
        (too_few, Outcome::Rejected),
        (forged, Outcome::Rejected),
        (early, Outcome::Rejected),
        (below, Outcome::Rejected),
    ] {
        for (first, second, id) in [
            (honest(&network), false_block.build(), check_id::ATTACK_SECOND),
            (false_block.build(), honest(&network), check_id::ATTACK_FIRST),
        ] {
            let report = verify(&network, &file(&network, first, second));
            assert_eq!(report.outcome(), outcome, "{:#?}", report.checks());
            let check = report.check(id).unwrap();
            assert_ne!(check.state, haca_verify::CheckState::Pass);
        }
    }
}

#[test]
fn a_side_may_be_reached_in_steps() {
    let network = Network::new();
    let between = network.block(FORK - 1, vec![1; 32]).build();
    let mut file = file(
        &network,
        honest(&network),
        network.block(FORK, vec![66; 32]).build(),
    );
    file.second.insert(0, between);
    let report = verify(&network, &file);
    let attack = report.verified().unwrap().get();
    assert!(attack.sides[0].evidence.is_some());
    assert!(
        attack.sides[1].evidence.is_none(),
        "CometBFT's evidence is of one step"
    );
    file.second.swap(0, 1);
    assert_eq!(verify(&network, &file).outcome(), Outcome::Rejected);
    file.second.clear();
    assert_eq!(verify(&network, &file).outcome(), Outcome::Rejected);
}

#[test]
fn old_attacks_need_a_checkpoint_and_young_ones_a_true_start() {
    let network = Network::new();
    let second = network.block(FORK, vec![66; 32]).build();
    let file = file(&network, honest(&network), second);
    let late = START_S as u64 + 15 * DAY_S;
    let at = |file: &AttackFile, now, policy: &Policy| {
        verify_attack(&file.encode(), network.trust(), now, policy).outcome()
    };
    assert_eq!(at(&file, NOW_S, &Policy::default()), Outcome::Verified);
    assert_eq!(at(&file, late, &Policy::default()), Outcome::Unverifiable);
    // The common header may be pinned, but what was signed above it is as old as before.
    let pinned = Policy {
        checkpoint: Some(checkpoint(&file.light_blocks[1])),
        ..Policy::default()
    };
    assert_eq!(at(&file, late, &pinned), Outcome::Unverifiable);
    assert_eq!(at(&file, NOW_S, &pinned), Outcome::Verified);
    let mut from_common = file.clone();
    from_common.light_blocks.remove(0);
    assert_eq!(at(&from_common, NOW_S, &pinned), Outcome::Verified);
    assert_eq!(at(&from_common, NOW_S, &Policy::default()), Outcome::Rejected);
}

#[test]
fn no_byte_of_an_attack_file_can_change_unnoticed() {
    let network = Network::new();
    let mut second = network.block(FORK, vec![2; 32]);
    second.data = 44;
    let bytes = file(&network, honest(&network), second.build()).encode();
    assert!(is_attack_file(&bytes));
    let mut random = Random(4);
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << random.below(8);
        let report = verify_attack(&changed, network.trust(), NOW_S, &Policy::default());
        assert_ne!(report.outcome(), Outcome::Verified, "byte {at}");
    }
}
