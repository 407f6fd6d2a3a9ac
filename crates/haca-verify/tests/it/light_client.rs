//! From genesis to a header: sets that change, time that passes, validators that lie.

use haca_verify::{Outcome, Policy, check_id, needs_block_between, verify_bundle};
use haca_wire::Encode as _;
use haca_wire::bundle::LightBlock;

use crate::chain::{Member, Part};
use crate::network::{
    NOW_S, Network, SETTLED, START_S, assert_rejected, assert_verified, checkpoint, signed,
};

const DAY_S: u64 = 24 * 3600;

fn with_blocks(
    network: &Network,
    blocks: Vec<LightBlock>,
) -> haca_verify::Report<haca_verify::SettledInference> {
    let mut bundle = network.bundle();
    bundle.light_blocks = blocks;
    network.verify(&bundle)
}

#[test]
fn adjacent_blocks_verify_too() {
    let network = Network::new();
    let app_hash = network.tree().root;
    let blocks = (1..=SETTLED + 1)
        .map(|height| network.block(height, app_hash.clone()).build())
        .collect();
    assert_verified(&with_blocks(&network, blocks));
}

#[test]
fn a_commit_of_more_than_two_thirds_is_enough() {
    let network = Network::new();
    let mut last = network.block(SETTLED + 1, network.tree().root);
    last.parts = vec![Part::Commit, Part::Nil, Part::Commit, Part::Commit];
    let first = network.block(1, vec![0; 32]).build();
    assert_verified(&with_blocks(&network, vec![first.clone(), last.build()]));
    last.parts = vec![Part::Absent, Part::Commit, Part::Commit, Part::Commit];
    assert_verified(&with_blocks(&network, vec![first.clone(), last.build()]));

    last.parts = vec![Part::Commit, Part::Nil, Part::Absent, Part::Commit];
    assert_rejected(
        &with_blocks(&network, vec![first, last.build()]),
        check_id::CHAIN_HEADER,
    );
}

#[test]
fn the_first_block_needs_two_thirds_of_genesis() {
    let network = Network::new();
    let mut first = network.block(1, vec![0; 32]);
    first.parts = vec![Part::Absent, Part::Nil, Part::Commit, Part::Commit];
    let last = network.block(SETTLED + 1, network.tree().root).build();
    assert_rejected(
        &with_blocks(&network, vec![first.build(), last]),
        check_id::CHAIN_FIRST_BLOCK,
    );
}

#[test]
fn a_false_signature_beyond_two_thirds_is_refused() {
    let network = Network::new();
    let mut last = network.block(SETTLED + 1, network.tree().root);
    last.parts = vec![Part::Commit, Part::Commit, Part::Commit, Part::Forged];
    let first = network.block(1, vec![0; 32]).build();
    assert_rejected(
        &with_blocks(&network, vec![first, last.build()]),
        check_id::CHAIN_BLOCKS,
    );
}

#[test]
fn validators_of_nobody_are_refused() {
    let network = Network::new();
    let mut forged = network.clone();
    forged.members = (11..=14).map(|seed| Member::new(seed, 10)).collect();
    let app_hash = network.tree().root;

    // From the first block on.
    assert_rejected(
        &with_blocks(&network, forged.light_blocks(&app_hash)),
        check_id::CHAIN_FIRST_BLOCK,
    );
    // From the second on: skipping finds no trusted signer, so it is not known to be false.
    let mixed = vec![
        network.block(1, vec![0; 32]).build(),
        forged.block(SETTLED + 1, app_hash.clone()).build(),
    ];
    assert_eq!(with_blocks(&network, mixed).outcome(), Outcome::Unverifiable);
    // Adjacent: the header before it names other validators.
    let adjacent = vec![
        network.block(1, vec![0; 32]).build(),
        network.block(SETTLED, vec![1; 32]).build(),
        forged.block(SETTLED + 1, app_hash).build(),
    ];
    assert_rejected(&with_blocks(&network, adjacent), check_id::CHAIN_HEADER);
}

#[test]
fn a_changed_set_is_followed_through_the_blocks_between() {
    let network = Network::new();
    let app_hash = network.tree().root;
    let old = network.members.clone();
    let middle: Vec<Member> = [
        old[2].clone(),
        old[3].clone(),
        Member::new(15, 10),
        Member::new(16, 10),
    ]
    .into();
    let new: Vec<Member> = [Member::new(15, 10), Member::new(16, 10), Member::new(17, 10)].into();
    let first = network.block(1, vec![0; 32]).build();
    let mut between = network.block(4, vec![1; 32]);
    between.validators = &middle;
    between.next_validators = &new;
    let mut last = network.block(SETTLED + 1, app_hash);
    last.validators = &new;
    last.next_validators = &new;

    let skipped = with_blocks(&network, vec![first.clone(), last.build()]);
    assert_eq!(skipped.outcome(), Outcome::Unverifiable);
    assert!(needs_block_between(&first, &last.build()));
    assert!(!needs_block_between(&first, &between.build()));
    assert!(!needs_block_between(&between.build(), &last.build()));
    assert_verified(&with_blocks(&network, vec![first, between.build(), last.build()]));
}

#[test]
fn past_the_trusting_period_only_a_checkpoint_helps() {
    let network = Network::new();
    let bundle = network.bundle();
    let bytes = bundle.encode();
    let late = START_S as u64 + 15 * DAY_S;
    let verify = |policy: &Policy| verify_bundle(&bytes, network.trust(), late, policy);

    let report = verify(&signed());
    assert_eq!(report.outcome(), Outcome::Unverifiable);
    assert!(
        report
            .check(check_id::CHAIN_TRUSTING_PERIOD)
            .unwrap()
            .note
            .contains("checkpoint")
    );

    let pin = checkpoint(&bundle.light_blocks[1]);
    let pinned = Policy {
        checkpoint: Some(pin),
        ..signed()
    };
    assert_verified(&verify(&pinned));

    let mut false_pin = pin;
    false_pin.hash.0[0] ^= 1;
    assert_rejected(
        &verify(&Policy {
            checkpoint: Some(false_pin),
            ..signed()
        }),
        check_id::CHAIN_CHECKPOINT,
    );
    let mut elsewhere = pin;
    elsewhere.height.0 += 1;
    let report = verify(&Policy {
        checkpoint: Some(elsewhere),
        ..signed()
    });
    assert_eq!(report.outcome(), Outcome::Unverifiable);
}

#[test]
fn a_bundle_may_start_at_the_checkpoint() {
    let network = Network::new();
    let mut bundle = network.bundle();
    bundle.light_blocks.remove(0);
    let pinned = Policy {
        checkpoint: Some(checkpoint(&bundle.light_blocks[0])),
        ..signed()
    };
    let bytes = bundle.encode();
    assert_verified(&verify_bundle(&bytes, network.trust(), NOW_S, &pinned));
    assert_rejected(
        &verify_bundle(&bytes, network.trust(), NOW_S, &signed()),
        check_id::CHAIN_FIRST_BLOCK,
    );
}

#[test]
fn headers_from_the_future_are_refused() {
    let network = Network::new();
    let report = verify_bundle(
        &network.bundle().encode(),
        network.trust(),
        START_S as u64 - 3600,
        &signed(),
    );
    assert_rejected(&report, check_id::CHAIN_HEADER);
}

#[test]
fn blocks_must_ascend() {
    let network = Network::new();
    let app_hash = network.tree().root;
    let first = network.block(1, vec![0; 32]).build();
    let later = network.block(SETTLED + 3, app_hash.clone()).build();
    let last = network.block(SETTLED + 1, app_hash).build();
    assert_rejected(
        &with_blocks(&network, vec![first.clone(), later, last.clone()]),
        check_id::CHAIN_HEADER,
    );
    assert_rejected(
        &with_blocks(&network, vec![first, last.clone(), last]),
        check_id::CHAIN_HEADER,
    );
}

#[test]
fn no_blocks_are_no_chain() {
    let network = Network::new();
    assert_rejected(&with_blocks(&network, Vec::new()), check_id::CHAIN_BLOCKS);
}

#[test]
fn a_set_in_another_order_is_refused() {
    let network = Network::new();
    let mut bundle = network.bundle();
    bundle.light_blocks[1].validators.swap(0, 1);
    assert_rejected(&network.verify(&bundle), check_id::CHAIN_BLOCKS);
}

#[test]
fn powers_that_overflow_are_refused() {
    let network = Network::new();
    for power in [0, u64::MAX, i64::MAX as u64, 1 << 60] {
        let mut bundle = network.bundle();
        for validator in &mut bundle.light_blocks[1].validators {
            validator.power = power;
        }
        assert_rejected(&network.verify(&bundle), check_id::CHAIN_BLOCKS);
    }
}
