//! What order and receipt say about each other and about the bytes that crossed the wire.

use haca_wire::render;
use haca_wire::{Address, Domain, Item};

use crate::check_id;
use crate::report::Checks;

/// V10: the payer ordered these request bytes.
pub(crate) fn check_order(item: &Item, domain: &Domain, payer: Address, request: &[u8], checks: &mut Checks) {
    let id = check_id::ORDER_SIGNATURE;
    match item.order.signer(domain) {
        Ok(signer) => {
            checks.equal(id, signer, payer, "the payer signed the order");
        }
        Err(error) => checks.fail(id, error, payer, error.code()),
    }
    checks.equal(
        check_id::ORDER_REQUEST,
        render::request_hash(request),
        item.order.value.request,
        "BLAKE3 of the request bytes",
    );
}

/// V11: the receipt's key signed these response bytes as the answer to the order.
pub(crate) fn check_receipt(item: &Item, domain: &Domain, response: &[u8], checks: &mut Checks) {
    let (order, receipt) = (&item.order.value, &item.receipt.value);
    let id = check_id::RECEIPT_SIGNATURE;
    match item.receipt.signer(domain) {
        Ok(signer) => {
            checks.equal(
                id,
                signer,
                receipt.signer,
                "the key that the receipt names signed it",
            );
        }
        Err(error) => checks.fail(id, error, receipt.signer, error.code()),
    }
    checks.equal(
        check_id::RECEIPT_ORDER,
        receipt.order,
        order.hash(domain),
        "the receipt answers the order",
    );
    checks.equal(
        check_id::RECEIPT_INPUTS,
        receipt.input_root,
        order.input_root,
        "root of the input tensors that the payer signed",
    );
    checks.equal(
        check_id::RECEIPT_SEQUENCE,
        format!("{} of {}", receipt.sequence, receipt.channel),
        format!("{} of {}", order.sequence, order.channel),
        "sequence and channel",
    );
    checks.equal(
        check_id::RECEIPT_RESPONSE,
        render::response_hash(response),
        receipt.response,
        "BLAKE3 of the response bytes",
    );
    let id = check_id::RECEIPT_FEE;
    if receipt.fee <= order.max_fee {
        checks.pass(id, receipt.fee, "within what the order allows");
    } else {
        checks.fail(
            id,
            receipt.fee,
            format_args!("{} at most", order.max_fee),
            "more than the order allows",
        );
    }
}
