//! An answer before its settlement: what can be checked at once, with two signatures and the model's inputs.

use haca_wire::{Address, Domain, Item, Order, Receipt, TensorSpec};

use crate::report::{Checks, Report};
use crate::{check_id, receipt, rendering};

/// An answer with what it is to be held against.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The network.
    pub domain: Domain,
    /// Order and receipt.
    pub item: &'a Item,
    /// The account that signed the order.
    pub payer: Address,
    /// The receipt key that the chain has for the node; `None` when that is not known.
    pub signer: Option<Address>,
    /// The request bytes.
    pub request: &'a [u8],
    /// The response bytes.
    pub response: &'a [u8],
    /// The model's inputs.
    pub inputs: &'a [TensorSpec],
}

/// An answer whose signatures, hashes and input tensors are what they should be. That the model produced it is
/// not known before the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptedAnswer {
    /// The order.
    pub order: Order,
    /// The receipt.
    pub receipt: Receipt,
}

/// Verifies an answer as soon as it arrives.
pub fn verify_answer(answer: &Answer<'_>) -> Report<ReceiptedAnswer> {
    let mut checks = Checks::default();
    let (order, receipt) = (&answer.item.order.value, &answer.item.receipt.value);
    receipt::check_order(
        answer.item,
        &answer.domain,
        answer.payer,
        answer.request,
        &mut checks,
    );
    receipt::check_receipt(answer.item, &answer.domain, answer.response, &mut checks);
    let id = check_id::RECEIPT_SIGNER_REGISTERED;
    match answer.signer {
        Some(signer) => {
            checks.equal(id, receipt.signer, signer, "the node's receipt key");
        }
        None => checks.not_checked(id, "the node's receipt key is not known"),
    }
    rendering::check_inputs(receipt, order.model, answer.request, answer.inputs, &mut checks);
    checks.not_checked(
        check_id::RENDER_OUTPUTS,
        "the output tensors come with the evidence",
    );
    checks.not_checked(
        check_id::EVIDENCE_PROOF,
        "evidence is settled after the answer; until then the warranty covers it",
    );
    let value = ReceiptedAnswer {
        order: order.clone(),
        receipt: receipt.clone(),
    };
    checks.finish(check_id::REQUIRED_ANSWER, Some(value))
}
