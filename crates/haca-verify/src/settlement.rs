//! The settlement record: that the state holds it, and that it is about this order and receipt.

use haca_wire::bundle::Bundle;
use haca_wire::state::key;
use haca_wire::{Domain, Encode};

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

/// V9: the record is about this order and receipt.
pub(crate) fn check_settlement(bundle: &Bundle, domain: &Domain, checks: &mut Checks) {
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
    checks.equal(
        check_id::SETTLEMENT_FEE,
        settlement.fee,
        receipt.fee,
        "the fee paid, and the receipt's",
    );
}
