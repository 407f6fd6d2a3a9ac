//! Entries of the state, proven present or absent, and every way to be wrong about them.

use haca_verify::{Outcome, Policy, ProvenState, Report, check_id, verify_state};
use haca_wire::light_file::{Leaf, StateFile};
use haca_wire::merkle::InclusionPath;
use haca_wire::state::{Entry, key};
use haca_wire::{Address, Amount, AssetId, Encode as _, Height};
use prost::Message as _;
use tendermint_proto::v0_38::types as raw;

use crate::mutation::{Random, mutate};
use crate::network::{NOW_S, Network, SETTLED, START_S, checkpoint};

const DAY_S: u64 = 24 * 3600;

pub(crate) fn file(network: &Network, key: &[u8]) -> StateFile {
    let tree = network.tree();
    StateFile {
        genesis: network.genesis(),
        light_blocks: network.light_blocks(&tree.root),
        key: key.to_vec(),
        proof: tree.prove(key),
        leaf: None,
    }
}

pub(crate) fn settled(network: &Network) -> StateFile {
    let (leaves, index) = network.leaves();
    let mut file = file(network, &key::receipts(Height(SETTLED)));
    file.leaf = Some(Leaf {
        settlement: network.settlement(),
        branch: InclusionPath::new(&leaves, index).unwrap().branch().unwrap(),
    });
    file
}

fn verify(network: &Network, file: &StateFile) -> Report<ProvenState> {
    verify_state(&file.encode(), network.trust(), NOW_S, &Policy::default())
}

#[track_caller]
fn assert_rejected(report: &Report<ProvenState>, id: &str) {
    assert_eq!(report.outcome(), Outcome::Rejected, "{:#?}", report.checks());
    assert!(report.verified().is_none());
    assert_eq!(report.failures().next().unwrap().id, id, "{:#?}", report.checks());
}

#[test]
fn what_the_state_holds_is_proven() {
    let network = Network::new();
    let report = verify(
        &network,
        &file(&network, &key::balance(Address([7; 20]), AssetId(0))),
    );
    let proven = report.verified().unwrap().get();
    let amount = Amount(u128::from_le_bytes([7; 16]));
    assert_eq!(
        proven.entry,
        Some(Entry::Balance(Address([7; 20]), AssetId(0), amount))
    );
    assert_eq!(
        (proven.height, proven.header_height),
        (Height(SETTLED), Height(SETTLED + 1))
    );
    assert_eq!(proven.time_unix_s, START_S + SETTLED as i64 + 1);
    assert_eq!(proven.settlement, None);
}

#[test]
fn what_the_state_does_not_hold_is_proven_absent() {
    let network = Network::new();
    for account in 100..130 {
        let report = verify(
            &network,
            &file(&network, &key::balance(Address([account; 20]), AssetId(0))),
        );
        let proven = report.verified().unwrap().get();
        assert_eq!(proven.entry, None, "{account}");
    }
}

#[test]
fn a_settled_receipt_is_proven() {
    for neighbours in [0, 1, 5] {
        let network = Network {
            neighbours,
            ..Network::new()
        };
        let report = verify(&network, &settled(&network));
        let proven = report.verified().unwrap().get();
        assert_eq!(proven.settlement, Some(network.settlement()));
    }
}

#[test]
fn a_proof_for_another_key_proves_nothing() {
    let network = Network::new();
    let present = key::balance(Address([7; 20]), AssetId(0));
    let absent = key::balance(Address([100; 20]), AssetId(0));
    let other = key::balance(Address([8; 20]), AssetId(0));
    let tree = network.tree();
    // A present key's proof for another, for an absent one, and an absent one's for a present and for another one.
    for (asked, shown) in [
        (&present, &other),
        (&absent, &present),
        (&present, &absent),
        (&key::balance(Address([101; 20]), AssetId(0)), &absent),
    ] {
        let mut file = file(&network, asked);
        file.proof = tree.prove(shown);
        assert_rejected(&verify(&network, &file), check_id::STATE_PROOF);
    }
}

#[test]
fn a_proof_of_another_state_proves_nothing() {
    let network = Network::new();
    let mut other = Network::new();
    other.state = vec![(key::balance(Address([200; 20]), AssetId(0)), vec![1; 16])];
    for account in [7, 100, 200] {
        let key = key::balance(Address([account; 20]), AssetId(0));
        let mut file = file(&network, &key);
        file.proof = other.tree().prove(&key);
        assert_rejected(&verify(&network, &file), check_id::STATE_PROOF);
    }
}

#[test]
fn a_value_that_is_no_record_is_refused() {
    let mut network = Network::new();
    network.state = vec![
        (key::balance(Address([200; 20]), AssetId(0)), vec![1; 15]),
        (b"elsewhere".to_vec(), vec![1; 16]),
    ];
    for key in [&key::balance(Address([200; 20]), AssetId(0))[..], b"elsewhere"] {
        assert_rejected(&verify(&network, &file(&network, key)), check_id::STATE_RECORD);
    }
}

#[test]
fn a_receipt_is_proven_under_its_own_root_only() {
    let network = Network::new();
    let honest = settled(&network);
    let mut altered = honest.clone();
    altered.leaf.as_mut().unwrap().settlement.fee = Amount(1);
    let mut cut = honest.clone();
    cut.leaf.as_mut().unwrap().branch.steps.pop();
    let mut elsewhere = file(&network, &key::balance(Address([7; 20]), AssetId(0)));
    elsewhere.leaf = honest.leaf.clone();
    let mut nowhere = file(&network, &key::receipts(Height(SETTLED - 1)));
    nowhere.leaf = honest.leaf;
    for file in [altered, cut, elsewhere, nowhere] {
        assert_rejected(&verify(&network, &file), check_id::SETTLEMENT_INCLUSION);
    }
}

#[test]
fn no_byte_of_a_state_file_can_change_unnoticed() {
    let network = Network::new();
    let absent = file(&network, &key::balance(Address([100; 20]), AssetId(0)));
    let mut random = Random(3);
    for file in [settled(&network), absent] {
        let bytes = file.encode();
        let check = |changed: &[u8], what: &str| {
            let report = verify_state(changed, network.trust(), NOW_S, &Policy::default());
            assert_ne!(report.outcome(), Outcome::Verified, "{what}");
        };
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << random.below(8);
            check(&changed, &format!("byte {at}"));
        }
        for round in 0..500 {
            let changed = mutate(&bytes, &mut random);
            if changed != bytes {
                check(&changed, &format!("round {round}"));
            }
        }
    }
}

#[test]
fn past_the_trusting_period_nothing_is_verified_without_a_checkpoint() {
    let network = Network::new();
    let file = file(&network, &key::balance(Address([7; 20]), AssetId(0)));
    let late = START_S as u64 + 15 * DAY_S;
    let verify = |file: &StateFile, now, policy: &Policy| {
        verify_state(&file.encode(), network.trust(), now, policy).outcome()
    };
    assert_eq!(verify(&file, late, &Policy::default()), Outcome::Unverifiable);
    let pinned = Policy {
        checkpoint: Some(checkpoint(&file.light_blocks[1])),
        ..Policy::default()
    };
    assert_eq!(verify(&file, late, &pinned), Outcome::Verified);

    // The first block alone: no step from it looks at its age.
    let mut alone = file.clone();
    alone.light_blocks = vec![network.block(1, network.tree().root).build()];
    assert_eq!(verify(&alone, NOW_S, &Policy::default()), Outcome::Verified);
    assert_eq!(verify(&alone, late, &Policy::default()), Outcome::Unverifiable);
    let early = START_S as u64 - 3600;
    assert_eq!(verify(&alone, early, &Policy::default()), Outcome::Rejected);
    // A shorter trusting period counts, too, to the second.
    let policy = |trusting_period_s| Policy {
        trusting_period_s,
        ..Policy::default()
    };
    let now = START_S as u64 + 1 + 100;
    assert_eq!(verify(&alone, now, &policy(100)), Outcome::Verified);
    assert_eq!(verify(&alone, now + 1, &policy(100)), Outcome::Unverifiable);
}

/// A header of the last light block with one field altered after it was signed.
#[track_caller]
fn assert_header_refused(alter: impl FnOnce(&mut raw::Header, &mut raw::Commit)) {
    let network = Network::new();
    let mut file = file(&network, &key::balance(Address([7; 20]), AssetId(0)));
    let block = &mut file.light_blocks[1];
    let mut signed = raw::SignedHeader::decode(block.signed_header.as_slice()).unwrap();
    alter(signed.header.as_mut().unwrap(), signed.commit.as_mut().unwrap());
    block.signed_header = signed.encode_to_vec();
    let report = verify(&network, &file);
    assert_eq!(report.outcome(), Outcome::Rejected, "{:#?}", report.checks());
    let failed = report.failures().next().unwrap().id;
    assert!(
        [check_id::CHAIN_BLOCKS, check_id::CHAIN_HEADER].contains(&failed),
        "{failed}"
    );
}

#[test]
fn each_field_of_a_header_is_signed() {
    assert_header_refused(|header, _| header.version.as_mut().unwrap().app += 1);
    assert_header_refused(|header, _| header.version.as_mut().unwrap().block += 1);
    assert_header_refused(|header, _| header.chain_id.push('x'));
    assert_header_refused(|header, _| header.height += 1);
    assert_header_refused(|header, commit| {
        header.height += 1;
        commit.height += 1;
    });
    assert_header_refused(|header, _| header.time.as_mut().unwrap().seconds += 1);
    assert_header_refused(|header, _| header.last_block_id.as_mut().unwrap().hash[0] ^= 1);
    let hashes: [fn(&mut raw::Header) -> &mut Vec<u8>; 9] = [
        |header| &mut header.last_commit_hash,
        |header| &mut header.data_hash,
        |header| &mut header.validators_hash,
        |header| &mut header.next_validators_hash,
        |header| &mut header.consensus_hash,
        |header| &mut header.app_hash,
        |header| &mut header.last_results_hash,
        |header| &mut header.evidence_hash,
        |header| &mut header.proposer_address,
    ];
    for field in hashes {
        assert_header_refused(|header, _| field(header)[0] ^= 1);
    }
}

#[test]
fn each_field_of_a_commit_is_signed() {
    assert_header_refused(|_, commit| commit.height += 1);
    assert_header_refused(|_, commit| commit.round += 1);
    assert_header_refused(|_, commit| commit.block_id.as_mut().unwrap().hash[0] ^= 1);
    assert_header_refused(|_, commit| {
        let parts = commit
            .block_id
            .as_mut()
            .unwrap()
            .part_set_header
            .as_mut()
            .unwrap();
        parts.hash[0] ^= 1;
    });
    assert_header_refused(|_, commit| {
        let parts = commit
            .block_id
            .as_mut()
            .unwrap()
            .part_set_header
            .as_mut()
            .unwrap();
        parts.total += 1;
    });
    assert_header_refused(|_, commit| {
        commit.signatures.pop();
    });
    assert_header_refused(|_, commit| {
        let again = commit.signatures[0].clone();
        commit.signatures[1] = again;
    });
    assert_header_refused(|_, commit| commit.signatures.swap(0, 1));
    assert_header_refused(|_, commit| commit.signatures[0].block_id_flag = 3);
    assert_header_refused(|_, commit| commit.signatures[0].block_id_flag = 1);
    assert_header_refused(|_, commit| commit.signatures[0].signature[5] ^= 1);
    assert_header_refused(|_, commit| commit.signatures[0].validator_address[0] ^= 1);
    assert_header_refused(|_, commit| commit.signatures[0].timestamp.as_mut().unwrap().nanos += 1);
}
