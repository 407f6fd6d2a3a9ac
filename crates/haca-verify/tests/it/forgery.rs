//! Named lies about an order, a receipt or their settlement. Each is refused by the check that it aims at.

use haca_verify::{check_id, verify_bundle};
use haca_wire::state::key;
use haca_wire::{Amount, Encode as _, Evidence, EvidenceKind, Height, ModelId, ReceiptHash, Sequence};

use crate::network::{NOW_S, Network, SETTLED, assert_rejected, secret, signed};

/// The lie is in what the chain recorded.
#[track_caller]
fn assert_settlement_refused(alter: fn(&mut haca_wire::Settlement), id: &str) {
    let network = Network {
        alter_settlement: alter,
        ..Network::new()
    };
    assert_rejected(&network.verify(&network.bundle()), id);
}

#[test]
fn rejects_settlement_of_another_order() {
    assert_settlement_refused(|s| s.order.0[0] ^= 1, check_id::SETTLEMENT_ORDER);
}

#[test]
fn rejects_settlement_of_another_receipt() {
    assert_settlement_refused(|s| s.receipt.0[0] ^= 1, check_id::SETTLEMENT_RECEIPT);
}

#[test]
fn rejects_settlement_of_another_sequence() {
    assert_settlement_refused(|s| s.sequence = Sequence(6), check_id::SETTLEMENT_SEQUENCE);
}

#[test]
fn rejects_settlement_in_another_channel() {
    assert_settlement_refused(|s| s.channel.0[0] ^= 1, check_id::SETTLEMENT_SEQUENCE);
}

#[test]
fn rejects_settlement_of_another_model() {
    assert_settlement_refused(|s| s.model = ModelId([9; 32]), check_id::SETTLEMENT_MODEL);
}

#[test]
fn rejects_settlement_with_another_kind_of_evidence() {
    assert_settlement_refused(|s| s.evidence = EvidenceKind::Zk, check_id::SETTLEMENT_EVIDENCE);
}

#[test]
fn rejects_settlement_with_another_fee() {
    assert_settlement_refused(|s| s.fee = Amount(91), check_id::SETTLEMENT_FEE);
}

#[test]
fn rejects_settlement_for_another_payer() {
    assert_settlement_refused(|s| s.payer.0[0] ^= 1, check_id::ORDER_SIGNATURE);
}

#[test]
fn rejects_a_settlement_that_is_not_in_the_tree() {
    let network = Network::new();
    let mut bundle = network.bundle();
    bundle.settlement.payout.0[0] ^= 1;
    assert_rejected(&network.verify(&bundle), check_id::SETTLEMENT_INCLUSION);
    let mut bundle = network.bundle();
    bundle.branch.steps.pop();
    assert_rejected(&network.verify(&bundle), check_id::SETTLEMENT_INCLUSION);
}

#[test]
fn rejects_a_receipt_root_of_another_block() {
    let mut network = Network::new();
    network.state = vec![(key::receipts(Height(SETTLED - 1)), vec![1; 32])];
    let mut bundle = network.bundle();
    bundle.receipts_proof = network.tree().prove(&key::receipts(Height(SETTLED - 1)));
    assert_rejected(&network.verify(&bundle), check_id::SETTLEMENT_RECEIPT_ROOT);
}

#[test]
fn rejects_a_settlement_at_another_height() {
    let network = Network::new();
    for height in [0, SETTLED - 1, SETTLED + 1, u64::MAX] {
        let mut bundle = network.bundle();
        bundle.height = Height(height);
        assert_rejected(&network.verify(&bundle), check_id::SETTLEMENT_RECEIPT_ROOT);
    }
}

#[test]
fn rejects_a_state_proof_of_another_state() {
    let network = Network::new();
    let mut other = Network::new();
    other.state = vec![(b"chain".to_vec(), vec![1])];
    let mut bundle = network.bundle();
    bundle.receipts_proof = other.tree().prove(&key::receipts(Height(SETTLED)));
    assert_rejected(&network.verify(&bundle), check_id::SETTLEMENT_RECEIPT_ROOT);
}

#[test]
fn rejects_a_proof_of_absence() {
    let network = Network::new();
    let mut bundle = network.bundle();
    bundle.receipts_proof = network.tree().prove(&key::receipts(Height(SETTLED + 1)));
    assert_rejected(&network.verify(&bundle), check_id::SETTLEMENT_RECEIPT_ROOT);
}

#[test]
fn rejects_an_order_for_another_request() {
    let network = Network::new();
    let mut bundle = network.bundle();
    bundle.request.push(b' ');
    assert_rejected(&network.verify(&bundle), check_id::ORDER_REQUEST);
}

#[test]
fn rejects_another_response() {
    let network = Network::new();
    let mut bundle = network.bundle();
    bundle.response.push(b' ');
    assert_rejected(&network.verify(&bundle), check_id::RECEIPT_RESPONSE);
}

#[test]
fn rejects_an_order_signed_by_somebody_else() {
    let network = Network::new();
    let mut bundle = network.bundle();
    let stranger = Network {
        payer: secret(33),
        ..Network::new()
    };
    bundle.item.order = stranger.item().order;
    assert_rejected(&network.verify(&bundle), check_id::ORDER_SIGNATURE);
}

#[test]
fn rejects_a_receipt_signed_by_another_key_than_it_names() {
    let network = Network {
        signer: secret(34),
        ..Network::new()
    };
    assert_rejected(&network.verify(&network.bundle()), check_id::RECEIPT_SIGNATURE);
}

#[test]
fn rejects_a_receipt_for_another_order() {
    let mut network = Network::new();
    network.receipt.order.0 = [1; 32];
    assert_rejected(&network.verify(&network.bundle()), check_id::RECEIPT_ORDER);
}

#[test]
fn rejects_a_receipt_with_another_sequence_or_channel() {
    let mut network = Network::new();
    network.receipt.sequence = Sequence(6);
    assert_rejected(&network.verify(&network.bundle()), check_id::RECEIPT_SEQUENCE);
    let mut network = Network::new();
    network.receipt.channel.0[0] ^= 1;
    assert_rejected(&network.verify(&network.bundle()), check_id::RECEIPT_SEQUENCE);
}

#[test]
fn rejects_a_fee_above_the_order() {
    let mut network = Network::new();
    network.receipt.fee = Amount(101);
    assert_rejected(&network.verify(&network.bundle()), check_id::RECEIPT_FEE);
}

#[test]
fn rejects_a_proof_ordered_and_signatures_settled() {
    let mut network = Network::new();
    network.order.evidence = EvidenceKind::Zk;
    assert_rejected(&network.verify(&network.bundle()), check_id::EVIDENCE_KIND);
}

#[test]
fn rejects_other_receipts_beside_signatures() {
    let network = Network::new();
    let mut bundle = network.bundle();
    bundle.group.push(ReceiptHash([1; 32]));
    assert_rejected(&network.verify(&bundle), check_id::EVIDENCE_GROUP);
    let mut bundle = network.bundle();
    bundle.index = 1;
    assert_rejected(&network.verify(&bundle), check_id::EVIDENCE_GROUP);
    let mut bundle = network.bundle();
    bundle.group.clear();
    assert_rejected(&network.verify(&bundle), check_id::EVIDENCE_GROUP);
}

/// Nothing reads a proof of the model's record beside signatures, so none may stand there.
#[test]
fn rejects_a_model_proof_beside_signatures() {
    let network = Network::new();
    for evidence in [Evidence::Signed, Evidence::Optimistic] {
        for garbage in [Vec::new(), b"anything".to_vec()] {
            let mut bundle = network.bundle();
            bundle.evidence = evidence.clone();
            bundle.model_proof = Some(garbage);
            assert_rejected(&network.verify(&bundle), check_id::BUNDLE_ENCODING);
        }
    }
}

#[test]
fn rejects_a_receipt_for_inputs_that_the_payer_did_not_sign() {
    let mut network = Network::new();
    network.receipt.input_root.0[0] ^= 1;
    assert_rejected(&network.verify(&network.bundle()), check_id::RECEIPT_INPUTS);
}

#[test]
fn rejects_a_bundle_of_a_network_with_another_genesis() {
    let network = Network::new();
    let other = Network {
        number: 7411,
        ..Network::new()
    };
    let report = verify_bundle(&network.bundle().encode(), other.trust(), NOW_S, &signed());
    assert_rejected(&report, check_id::GENESIS_HASH);
}

/// The same validators run two networks; what was settled on one is carried to the other.
#[test]
fn rejects_a_receipt_settled_on_another_network() {
    let network = Network::new();
    let other = Network {
        number: 7411,
        ..Network::new()
    };
    let mut bundle = network.bundle();
    bundle.item = other.item();
    assert_rejected(&network.verify(&bundle), check_id::SETTLEMENT_RECEIPT);

    let mut bundle = other.bundle();
    bundle.genesis = network.genesis();
    assert_rejected(&network.verify(&bundle), check_id::SETTLEMENT_ORDER);
}

/// Another chain identifier is another chain, whatever else is equal.
#[test]
fn rejects_headers_of_another_chain() {
    let network = Network::new();
    let other = Network {
        chain_id: "haca-test-2".into(),
        ..Network::new()
    };
    let mut bundle = network.bundle();
    bundle.light_blocks = other.light_blocks(&network.tree().root);
    assert_rejected(&network.verify(&bundle), check_id::CHAIN_FIRST_BLOCK);
}
