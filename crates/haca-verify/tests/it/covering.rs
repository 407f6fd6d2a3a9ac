//! Receipts that a voucher covers: honest ones verify, and no other receipt, sequence or voucher does.

use haca_verify::{Policy, check_id, verify_bundle};
use haca_wire::bundle::Bundle;
use haca_wire::voucher::receipt_path;
use haca_wire::{
    Amount, ChannelId, Decode as _, Encode as _, Evidence, EvidenceKind, ReceiptHash, Sequence, Tick,
};

use crate::network::{NOW_S, Network, assert_rejected, assert_verified, signed};

#[test]
fn every_place_of_every_short_range_verifies() {
    for count in 2..=9u32 {
        for place in 0..u64::from(count) {
            let mut network = Network::new();
            network.order.sequence = Sequence(20);
            network.receipt.sequence = Sequence(20);
            network.range = Some((Sequence(20 - place), count));
            let bundle = network.bundle();
            assert_eq!(Bundle::decode_all(&bundle.encode()).unwrap(), bundle);
            let report = network.verify(&bundle);
            assert_verified(&report);
            let settled = report.verified().unwrap().get();
            assert_eq!(settled.voucher, Some(network.voucher()));
            assert_eq!(settled.order, network.order);
        }
    }
}

#[test]
fn optimistic_receipts_are_covered_too() {
    let mut network = Network::covered();
    network.order.evidence = EvidenceKind::Optimistic;
    network.evidence = Evidence::Optimistic;
    let policy = Policy {
        accepted: vec![EvidenceKind::Optimistic],
        ..Policy::default()
    };
    let bytes = network.bundle().encode();
    let report = verify_bundle(&bytes, network.trust(), NOW_S, &policy);
    assert_verified(&report);
    let note = |id| report.check(id).unwrap().note;
    assert!(note(check_id::SETTLEMENT_FEE).contains("put on hold"));
    assert!(note(check_id::WARRANTY_CLAIMED).contains("returned"));
    assert_rejected(
        &verify_bundle(&bytes, network.trust(), NOW_S, &signed()),
        check_id::POLICY_EVIDENCE,
    );
}

/// A payer and a node can sign whatever they like: what counts is what stood under the settled root.
#[test]
fn a_receipt_that_does_not_stand_under_the_root_is_rejected() {
    let network = Network::covered();
    let mut other = network.clone();
    other.receipt.fee = Amount(1);
    let mut bundle = network.bundle();
    bundle.item = other.item();
    bundle.group = vec![other.item().receipt.value.hash(&network.domain())];
    assert_rejected(&network.verify(&bundle), check_id::SETTLEMENT_RECEIPT);
}

/// The same receipt signed for two sequences would stand for two payments.
#[test]
fn a_receipt_stands_at_its_own_sequence_only() {
    let network = Network::covered();
    let index = (network.order.sequence.0 - 3) as usize;
    let honest = network.bundle();
    for claimed in [0, 1, 3, 4, 5, 6, 7, 8] {
        let mut moved = network.clone();
        moved.order.sequence = Sequence(3 + claimed);
        moved.receipt.sequence = Sequence(3 + claimed);
        let mut bundle = honest.clone();
        bundle.item = moved.item();
        bundle.group = vec![moved.item().receipt.value.hash(&network.domain())];
        // With its own path, and with the honest one.
        assert_ne!(claimed, index as u64);
        assert_rejected(&network.verify(&bundle), check_id::SETTLEMENT_RECEIPT);
        if let Some(path) = receipt_path(&network.range_receipts(), claimed as usize) {
            bundle.covering.as_mut().unwrap().path = path;
            assert_rejected(&network.verify(&bundle), check_id::SETTLEMENT_RECEIPT);
        }
    }
}

#[test]
fn every_field_of_the_voucher_is_bound() {
    let network = Network::covered();
    let alter: [fn(&mut haca_wire::Voucher); 9] = [
        |voucher| voucher.channel = ChannelId([0xee; 32]),
        |voucher| voucher.first.0 += 1,
        |voucher| voucher.count += 1,
        |voucher| voucher.root[0] ^= 1,
        |voucher| voucher.model.0[0] ^= 1,
        |voucher| voucher.evidence = EvidenceKind::Optimistic,
        |voucher| voucher.total.0 += 1,
        |voucher| voucher.warranty.0 += 1,
        |voucher| voucher.settle_by = Tick(51),
    ];
    for change in alter {
        let mut bundle = network.bundle();
        change(&mut bundle.covering.as_mut().unwrap().voucher);
        assert_rejected(&network.verify(&bundle), check_id::SETTLEMENT_ORDER);
    }
}

#[test]
fn a_record_of_another_voucher_is_rejected() {
    type Change = fn(&mut haca_wire::Settlement);
    let cases: [(Change, &str); 6] = [
        (|record| record.order.0[0] ^= 1, check_id::SETTLEMENT_ORDER),
        (
            |record| record.receipt = ReceiptHash([1; 32]),
            check_id::SETTLEMENT_RECEIPT,
        ),
        (
            |record| record.channel = ChannelId([0xee; 32]),
            check_id::SETTLEMENT_SEQUENCE,
        ),
        (|record| record.model.0[0] ^= 1, check_id::SETTLEMENT_MODEL),
        (
            |record| record.evidence = EvidenceKind::Optimistic,
            check_id::SETTLEMENT_EVIDENCE,
        ),
        (|record| record.fee.0 -= 1, check_id::SETTLEMENT_FEE),
    ];
    for (alter_settlement, id) in cases {
        let network = Network {
            alter_settlement,
            ..Network::covered()
        };
        assert_rejected(&network.verify(&network.bundle()), id);
    }
}

/// The sum is the payer's word for the whole range; a receipt cannot have cost more than all of them.
#[test]
fn a_receipt_costs_no_more_than_its_range() {
    let mut network = Network::covered();
    network.order.max_fee = Amount(541);
    network.receipt.fee = Amount(541);
    assert_rejected(&network.verify(&network.bundle()), check_id::SETTLEMENT_FEE);
    network.receipt.fee = Amount(540);
    assert_verified(&network.verify(&network.bundle()));
}

/// A record of a voucher proves no receipt by itself, and a record of a receipt is no voucher's.
#[test]
fn the_two_forms_do_not_stand_for_each_other() {
    let covered = Network::covered();
    let mut bundle = covered.bundle();
    bundle.covering = None;
    assert_rejected(&covered.verify(&bundle), check_id::SETTLEMENT_ORDER);
    let single = Network::new();
    let mut bundle = single.bundle();
    bundle.covering = covered.covering();
    assert_rejected(&single.verify(&bundle), check_id::SETTLEMENT_ORDER);
}

#[test]
fn no_voucher_stands_beside_a_proof() {
    let network = Network::covered();
    let mut bundle = network.bundle();
    bundle.evidence = Evidence::Zk {
        inferences: Vec::new(),
        proof: Vec::new(),
    };
    assert_rejected(&network.verify(&bundle), check_id::BUNDLE_ENCODING);
}

/// The chain saw the root alone: payer and node can put a receipt under it that any key signed.
#[test]
fn the_key_of_a_covered_receipt_is_nobodys_word_but_theirs() {
    let mut network = Network::covered();
    network.signer = crate::network::secret(99);
    network.receipt.signer = network.signer.address();
    let report = network.verify(&network.bundle());
    assert_verified(&report);
    let check = report.check(check_id::RECEIPT_SIGNER_REGISTERED).unwrap();
    assert_eq!(check.state, haca_verify::CheckState::NotChecked);
    assert!(check.note.contains("key of the range's root"), "{}", check.note);
    let single = Network::new();
    let report = single.verify(&single.bundle());
    let check = report.check(check_id::RECEIPT_SIGNER_REGISTERED).unwrap();
    assert!(check.note.contains("when it settled"), "{}", check.note);
}
