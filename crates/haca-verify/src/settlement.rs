//! The settlement record: that the state holds it, and that it is about this order and receipt or covers them.

use haca_wire::bundle::{Bundle, Covering};
use haca_wire::state::key;
use haca_wire::voucher::check_leaf;
use haca_wire::{Domain, Encode, EvidenceKind};

use crate::check_id;
use crate::light_client::Header;
use crate::report::Checks;
use crate::state_proof::StateProof;

/// V7 and V8: the settlement record stands in the state that the last header commits to, the state after the block
/// before it.
pub(crate) fn check_inclusion(bundle: &Bundle, header: &Header, checks: &mut Checks) -> Option<()> {
    let height = bundle.height;
    let id = check_id::SETTLEMENT_RECEIPT_ROOT;
    if height >= header.height {
        checks.fail(
            id,
            format_args!("height {height}"),
            format_args!("below {}", header.height),
            "a header proves the state before it",
        );
        return None;
    }
    let root = prove(
        &bundle.receipts_proof,
        &header.app_hash,
        &key::receipts(height),
        id,
        checks,
    )?;
    let Ok(root) = <[u8; 32]>::try_from(root.as_slice()) else {
        checks.fail(id, format_args!("{} bytes", root.len()), "32 bytes", "");
        return None;
    };
    checks.pass(
        id,
        hex::encode(root),
        "the receipt root in the state that the header commits to",
    );
    let found = bundle.branch.root(&bundle.settlement.encode());
    checks
        .equal(
            check_id::SETTLEMENT_INCLUSION,
            hex::encode(found),
            hex::encode(root),
            "root that the settlement record and its branch lead to",
        )
        .then_some(())
}

/// The value under `key` in the state with root `app_hash`; a failed check when the proof does not show it.
pub(crate) fn prove(
    proof: &[u8],
    app_hash: &[u8],
    key: &[u8],
    id: &'static str,
    checks: &mut Checks,
) -> Option<Vec<u8>> {
    let expected = format_args!(
        "{} under application hash {}",
        key.escape_ascii(),
        hex::encode(app_hash)
    );
    let proof = match StateProof::decode(proof) {
        Ok(proof) => proof,
        Err(error) => {
            checks.fail(id, &error, expected, error.code());
            return None;
        }
    };
    let value = proof.value(app_hash, key).map(<[u8]>::to_vec);
    if value.is_none() {
        checks.fail(
            id,
            format_args!("a proof for {}", proof.key().escape_ascii()),
            expected,
            "the state proof does not lead to the application hash",
        );
    }
    value
}

/// V9: the record is about this order and receipt, or about a voucher that covers them.
pub(crate) fn check_settlement(bundle: &Bundle, domain: &Domain, checks: &mut Checks) {
    match &bundle.covering {
        None => check_pair(bundle, domain, checks),
        Some(covering) => check_covering(bundle, covering, domain, checks),
    }
    let (order, settlement) = (&bundle.item.order.value, &bundle.settlement);
    checks.equal(
        check_id::SETTLEMENT_MODEL,
        settlement.model,
        order.model,
        "the settled model",
    );
    checks.equal(
        check_id::SETTLEMENT_EVIDENCE,
        settlement.evidence.name(),
        order.evidence.name(),
        "the evidence that the chain checked, and the one ordered",
    );
}

/// V9 of a receipt that has a record of its own.
fn check_pair(bundle: &Bundle, domain: &Domain, checks: &mut Checks) {
    let (order, receipt) = (&bundle.item.order.value, &bundle.item.receipt.value);
    let settlement = &bundle.settlement;
    checks.equal(
        check_id::SETTLEMENT_ORDER,
        settlement.order,
        order.hash(domain),
        "the settled order",
    );
    checks.equal(
        check_id::SETTLEMENT_RECEIPT,
        settlement.receipt,
        receipt.hash(domain),
        "the settled receipt",
    );
    checks.equal(
        check_id::SETTLEMENT_SEQUENCE,
        format!("{} of {}", settlement.sequence, settlement.channel),
        format!("{} of {}", order.sequence, order.channel),
        "sequence and channel",
    );
    checks.equal(
        check_id::SETTLEMENT_FEE,
        settlement.fee,
        receipt.fee,
        match settlement.evidence {
            EvidenceKind::Optimistic => "the fee put on hold, and the receipt's",
            _ => "the fee paid, and the receipt's",
        },
    );
}

/// V9 of a receipt under a voucher: the record names the voucher and its root, and the receipt stands under the root at
/// its sequence.
fn check_covering(bundle: &Bundle, covering: &Covering, domain: &Domain, checks: &mut Checks) {
    let (order, receipt) = (&bundle.item.order.value, &bundle.item.receipt.value);
    let (settlement, voucher) = (&bundle.settlement, &covering.voucher);
    checks.equal(
        check_id::SETTLEMENT_ORDER,
        settlement.order,
        voucher.hash(domain),
        "the settled voucher, which the payer signed for the orders of its range",
    );
    let range = (settlement.sequence, voucher.count);
    let id = check_id::SETTLEMENT_RECEIPT;
    match check_leaf(
        range,
        &settlement.receipt.0,
        order.sequence,
        Some(&receipt.hash(domain)),
        &covering.path,
    ) {
        Ok(()) => checks.pass(
            id,
            settlement.receipt,
            "the settled root, which the receipt leads to from its sequence",
        ),
        Err(error) => checks.fail(id, error, settlement.receipt, error.code()),
    }
    checks.equal(
        check_id::SETTLEMENT_SEQUENCE,
        format!("first {} of {}", settlement.sequence, settlement.channel),
        format!("first {} of {}", voucher.first, order.channel),
        "first sequence of the range, and channel",
    );
    let id = check_id::SETTLEMENT_FEE;
    if settlement.fee == voucher.total && receipt.fee <= settlement.fee {
        let of = format_args!("{} for {} sequences", settlement.fee, voucher.count);
        let note = match settlement.evidence {
            EvidenceKind::Optimistic => "the sum that the payer signed, put on hold as one",
            _ => "the sum that the payer signed; no fee is paid by itself",
        };
        checks.pass(id, of, note);
    } else {
        checks.fail(
            id,
            format_args!("{}, receipt {}", settlement.fee, receipt.fee),
            format_args!("{}, of which the receipt's fee is a part", voucher.total),
            "",
        );
    }
}
