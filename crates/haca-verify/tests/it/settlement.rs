//! Honest bundles verify, and say what was not checked.

use haca_verify::{CheckState, Outcome, Policy, check_id, verify_bundle};
use haca_wire::bundle::Bundle;
use haca_wire::{Decode as _, Encode as _};

use crate::network::{NOW_S, Network, SETTLED, assert_rejected, assert_verified, signed};

#[test]
fn an_honest_bundle_verifies() {
    for neighbours in 0..9 {
        let network = Network {
            neighbours,
            ..Network::new()
        };
        let report = network.verify(&network.bundle());
        assert_verified(&report);
        let settled = report.verified().unwrap().get();
        assert_eq!(settled.height.0, SETTLED);
        assert_eq!(settled.order, network.order);
        assert_eq!(settled.response, network.response);
    }
}

#[test]
fn any_later_header_proves_a_settlement() {
    let network = Network::new();
    let mut bundle = network.bundle();
    bundle.light_blocks[1] = network.block(SETTLED + 90, network.tree().root).build();
    let report = network.verify(&bundle);
    assert_verified(&report);
    let settled = report.verified().unwrap().get();
    assert_eq!(settled.height.0, SETTLED);
    assert_eq!(settled.header_height.0, SETTLED + 90);
}

#[test]
fn bundles_encode_canonically() {
    let bundle = Network::new().bundle();
    assert_eq!(Bundle::decode_all(&bundle.encode()).unwrap(), bundle);
}

#[test]
fn the_report_names_what_was_not_checked() {
    let network = Network::new();
    let report = network.verify(&network.bundle());
    for id in [
        check_id::EVIDENCE_PROOF,
        check_id::WARRANTY_CLAIMED,
        check_id::RECEIPT_BLOCK,
        check_id::RECEIPT_SIGNER_REGISTERED,
        check_id::POLICY_MODEL,
    ] {
        let check = report.check(id).unwrap();
        assert_eq!(check.state, CheckState::NotChecked);
        assert!(!check.note.is_empty());
    }
}

#[test]
fn ids_are_unique_in_a_report() {
    let network = Network::new();
    let report = network.verify(&network.bundle());
    let mut ids: Vec<_> = report.checks().iter().map(|check| check.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), report.checks().len());
}

#[test]
fn signatures_do_not_satisfy_a_policy_that_wants_a_proof() {
    let network = Network::new();
    let report = verify_bundle(
        &network.bundle().encode(),
        network.trust(),
        NOW_S,
        &Policy::default(),
    );
    assert_rejected(&report, check_id::POLICY_EVIDENCE);
    assert!(report.only_policy_failed());
    assert!(!network.verify(&network.bundle()).only_policy_failed());
}

#[test]
fn expected_model_payer_and_node_are_compared() {
    let network = Network::new();
    let bytes = network.bundle().encode();
    let settlement = network.settlement();
    let right = Policy {
        model: Some(settlement.model),
        payer: Some(settlement.payer),
        node: Some(settlement.node),
        ..signed()
    };
    assert_verified(&verify_bundle(&bytes, network.trust(), NOW_S, &right));
    let other = haca_wire::Address([0xee; 20]);
    for (policy, id) in [
        (
            Policy {
                model: Some(haca_wire::ModelId([1; 32])),
                ..signed()
            },
            check_id::POLICY_MODEL,
        ),
        (
            Policy {
                payer: Some(other),
                ..signed()
            },
            check_id::POLICY_PAYER,
        ),
        (
            Policy {
                node: Some(other),
                ..signed()
            },
            check_id::POLICY_NODE,
        ),
    ] {
        assert_rejected(&verify_bundle(&bytes, network.trust(), NOW_S, &policy), id);
    }
}

#[test]
fn bytes_that_are_no_bundle_are_rejected_with_everything_else_unchecked() {
    let network = Network::new();
    for bytes in [&b""[..], b"HACABND1", b"not a bundle at all"] {
        let report = verify_bundle(bytes, network.trust(), NOW_S, &signed());
        assert_rejected(&report, check_id::BUNDLE_ENCODING);
        assert_eq!(
            report.check(check_id::CHAIN_HEADER).unwrap().state,
            CheckState::NotChecked
        );
        assert_eq!(report.outcome(), Outcome::Rejected);
    }
}
