//! The evidence: its kind, its place in a group, the model it rests on, and the proof itself.

use haca_wire::bundle::Bundle;
use haca_wire::state::{ModelRecord, key};
use haca_wire::{Decode, Domain, Evidence, EvidenceKind, proof_context};
use haca_zk::VerifyingKey;

use crate::light_client::Header;
use crate::policy::{Policy, SECURITY_FLOOR_BITS, SECURITY_NOTE_BITS};
use crate::report::Checks;
use crate::settlement::prove;
use crate::{check_id, rendering, zk};

/// V14: the evidence is what was ordered.
pub(crate) fn check_kind(bundle: &Bundle, checks: &mut Checks) {
    checks.equal(
        check_id::EVIDENCE_KIND,
        bundle.evidence.kind().name(),
        bundle.item.order.value.evidence.name(),
        "the evidence, and the kind ordered",
    );
}

/// V14: the receipt stands at its place in the group. Returns what a proof over the group must have absorbed.
pub(crate) fn check_group(bundle: &Bundle, domain: &Domain, checks: &mut Checks) -> Option<[u8; 32]> {
    let id = check_id::EVIDENCE_GROUP;
    let receipt = bundle.item.receipt.value.hash(domain);
    let single = bundle.evidence.kind() != EvidenceKind::Zk;
    if single && bundle.group.len() != 1 {
        // Signatures tie a receipt to no other, so others could be listed at will.
        checks.fail(id, bundle.group.len(), "1", "signatures cover one receipt");
        return None;
    }
    let at = usize::try_from(bundle.index)
        .ok()
        .and_then(|index| bundle.group.get(index));
    match at {
        Some(found) if *found == receipt => {
            checks.pass(
                id,
                format_args!(
                    "receipt {} of {}",
                    u64::from(bundle.index).saturating_add(1),
                    bundle.group.len()
                ),
                "",
            );
            Some(proof_context(domain, &bundle.group))
        }
        Some(found) => {
            checks.fail(id, found, receipt, "");
            None
        }
        None => {
            checks.fail(id, bundle.index, format_args!("below {}", bundle.group.len()), "");
            None
        }
    }
}

/// V12 to V14 for the kinds of evidence that rest on a registered model.
pub(crate) fn check_evidence(
    bundle: &Bundle,
    header: &Header,
    context: &[u8; 32],
    policy: &Policy,
    checks: &mut Checks,
) {
    match &bundle.evidence {
        Evidence::Signed => checks.not_checked(
            check_id::EVIDENCE_PROOF,
            "signatures say who answered, not that the model produced the answer",
        ),
        Evidence::Optimistic => checks.not_checked(
            check_id::EVIDENCE_PROOF,
            "the payer may demand a proof; until then signatures say who answered, no more",
        ),
        Evidence::Zk { inferences, proof } => {
            let Some(key) = check_model(bundle, header, checks) else {
                return;
            };
            let index = usize::try_from(bundle.index).unwrap_or(usize::MAX);
            let (Some(inference), true) = (inferences.get(index), inferences.len() == bundle.group.len())
            else {
                checks.fail(
                    check_id::EVIDENCE_PROOF,
                    format_args!("{} inferences", inferences.len()),
                    format_args!("{}, one per receipt", bundle.group.len()),
                    "",
                );
                return;
            };
            check_render(bundle, &key, inference, checks);
            check_security(&key, inferences.len(), policy, checks);
            match zk::verify(&key, context, inferences, proof) {
                Ok(()) => checks.pass(
                    check_id::EVIDENCE_PROOF,
                    format_args!("{} bytes, {} inferences", proof.len(), inferences.len()),
                    "the model produced the outputs; made for these receipts on this network",
                ),
                Err(rejection) => checks.fail(
                    check_id::EVIDENCE_PROOF,
                    rejection,
                    "a proof that verifies",
                    rejection.code(),
                ),
            }
        }
    }
}

/// V12: the model's record stands in the same state, and its verifying key is the ordered model's.
fn check_model(bundle: &Bundle, header: &Header, checks: &mut Checks) -> Option<VerifyingKey> {
    let model = bundle.item.order.value.model;
    let id = check_id::MODEL_RECORD;
    let Some(proof) = &bundle.model_proof else {
        checks.not_checked(id, "the bundle holds no proof of the model's record");
        return None;
    };
    let value = prove(proof, &header.app_hash, &key::model(model), id, checks)?;
    let record = match ModelRecord::decode_all(&value) {
        Ok(record) => record,
        Err(error) => {
            checks.fail(id, error, "a model record", error.code());
            return None;
        }
    };
    checks.pass(
        id,
        format_args!("registered at height {} by {}", record.registered, record.owner),
        "",
    );
    let key = match VerifyingKey::decode_all(&record.verifying_key) {
        Ok(key) => key,
        Err(error) => {
            checks.fail(check_id::MODEL_ID, error, model, error.code());
            return None;
        }
    };
    let same = checks.equal(
        check_id::MODEL_ID,
        key.model_id(),
        model,
        "the model id that the verifying key hashes to",
    );
    checks.equal(
        check_id::MODEL_UNITS,
        bundle.item.receipt.value.units,
        key.manifest().graph.macs(),
        "units charged, and the graph's multiply-accumulates",
    );
    checks.not_checked(
        check_id::MODEL_REGISTRATION,
        "the chain checked the range proof of the weights at registration",
    );
    checks.not_checked(
        check_id::MODEL_QUALITY,
        "a proof says which model answered, not that it is right",
    );
    same.then_some(key)
}

/// V13.
fn check_render(bundle: &Bundle, key: &VerifyingKey, inference: &haca_wire::Inference, checks: &mut Checks) {
    let graph = &key.manifest().graph;
    let receipt = &bundle.item.receipt.value;
    if receipt.render.0 != key.manifest().render {
        checks.fail(
            check_id::RENDER_PARAMETERS,
            receipt.render.0,
            key.manifest().render,
            "version of the render, and the model's",
        );
        return;
    }
    let model = bundle.item.order.value.model;
    let inputs = rendering::check_inputs(receipt, model, &bundle.request, graph.inputs(), checks);
    if let Some(inputs) = inputs {
        rendering::check_outputs(
            receipt,
            model,
            graph,
            &inputs,
            inference,
            &bundle.response,
            checks,
        );
    }
}

/// V14: how hard it would be to forge the proof.
fn check_security(key: &VerifyingKey, batch: usize, policy: &Policy, checks: &mut Checks) {
    let bits = zk::security_bits(key, batch);
    check_security_bits(check_id::EVIDENCE_SECURITY, bits, policy, checks);
}

/// Whole bits, round by round and of the union of all terms, against the policy's and the floor.
pub(crate) fn check_security_bits(
    id: &'static str,
    (bits, union_bits): (u32, u32),
    policy: &Policy,
    checks: &mut Checks,
) {
    let least = policy.security_bits.max(SECURITY_FLOOR_BITS);
    let found = format_args!("{bits} bits round by round, {union_bits} bits union").to_string();
    if bits < least {
        checks.fail(id, found, format_args!("{least} bits round by round"), "");
    } else {
        let note = if bits < SECURITY_NOTE_BITS {
            "below 128 bits"
        } else {
            "128 bits or more"
        };
        checks.pass(id, found, note);
    }
}
