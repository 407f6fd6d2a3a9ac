//! A settled inference, verified from the genesis hash and one file: `spec/verify.md`, step by step.

use haca_wire::bundle::Bundle;
use haca_wire::state::{ModelRecord, key};
use haca_wire::{
    BlockHash, Decode, Domain, Encode, Evidence, EvidenceKind, GenesisHash, Height, Order, Receipt,
    Settlement, proof_context,
};
use haca_zk::VerifyingKey;

use crate::genesis::{Genesis, genesis_hash};
use crate::light_client::{self, Header};
use crate::policy::{Policy, SECURITY_FLOOR_BITS, SECURITY_NOTE_BITS};
use crate::report::{Checks, Report};
use crate::state_proof::StateProof;
use crate::{check_id, receipt, rendering, zk};

/// A settled inference of which every required check passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledInference {
    /// The network.
    pub domain: Domain,
    /// The order.
    pub order: Order,
    /// The receipt.
    pub receipt: Receipt,
    /// The settlement.
    pub settlement: Settlement,
    /// The block that settled it.
    pub height: Height,
    /// Height of the header that proves it; with its hash a checkpoint for later.
    pub header_height: Height,
    /// Hash of that header.
    pub header_hash: BlockHash,
    /// Time of that header, in seconds since 1970.
    pub time_unix_s: i64,
    /// The request bytes.
    pub request: Vec<u8>,
    /// The response bytes.
    pub response: Vec<u8>,
}

/// Verifies a bundle from the trusted genesis hash. `now_unix_s` is the verifier's time, in seconds since 1970.
///
/// Every byte string leads to a report; none to a panic.
pub fn verify_bundle(
    bytes: &[u8],
    trust: GenesisHash,
    now_unix_s: u64,
    policy: &Policy,
) -> Report<SettledInference> {
    let mut checks = Checks::default();
    // V1
    let bundle = match Bundle::decode_all(bytes) {
        Ok(bundle) => bundle,
        Err(error) => {
            checks.fail(
                check_id::BUNDLE_ENCODING,
                error,
                "a bundle of version 1 in canonical form",
                error.code(),
            );
            return checks.finish(check_id::REQUIRED, None);
        }
    };
    checks.pass(
        check_id::BUNDLE_ENCODING,
        format_args!("{} bytes, version 1", bytes.len()),
        "",
    );
    let mut required = check_id::REQUIRED.to_vec();
    if bundle.evidence.kind() == EvidenceKind::Zk {
        required.extend(check_id::REQUIRED_ZK);
    }
    let settled = check(bundle, trust, now_unix_s, policy, &mut checks);
    checks.finish(&required, settled)
}

fn check(
    bundle: Bundle,
    trust: GenesisHash,
    now_unix_s: u64,
    policy: &Policy,
    checks: &mut Checks,
) -> Option<SettledInference> {
    let genesis = check_genesis(&bundle.genesis, trust, checks)?;
    let header = light_client::follow(&bundle.light_blocks, &genesis, policy, now_unix_s, checks)?;
    check_inclusion(&bundle, &header, checks)?;
    check_settlement(&bundle, &genesis.domain, checks);
    receipt::check_order(
        &bundle.item,
        &genesis.domain,
        bundle.settlement.payer,
        &bundle.request,
        checks,
    );
    receipt::check_receipt(&bundle.item, &genesis.domain, &bundle.response, checks);
    check_kind(&bundle, checks);
    let group = check_group(&bundle, &genesis.domain, checks);
    match group {
        Some(context) => check_evidence(&bundle, &header, &context, policy, checks),
        None => checks.not_checked(
            check_id::EVIDENCE_PROOF,
            "the receipt is not where the evidence has it",
        ),
    }
    check_policy(&bundle, policy, checks);
    note_unchecked(checks);
    Some(SettledInference {
        domain: genesis.domain,
        order: bundle.item.order.value,
        receipt: bundle.item.receipt.value,
        settlement: bundle.settlement,
        height: bundle.height,
        header_height: header.height,
        header_hash: header.hash,
        time_unix_s: header.unix_s,
        request: bundle.request,
        response: bundle.response,
    })
}

/// V2 and V3.
fn check_genesis(bytes: &[u8], trust: GenesisHash, checks: &mut Checks) -> Option<Genesis> {
    let found = genesis_hash(bytes);
    if !checks.equal(
        check_id::GENESIS_HASH,
        found,
        trust,
        "BLAKE3 of the genesis document, and the hash you trust",
    ) {
        return None;
    }
    match Genesis::parse(bytes) {
        Ok(genesis) => {
            checks.pass(
                check_id::GENESIS_DOCUMENT,
                format_args!(
                    "{}, chain id {}, {} validators",
                    genesis.chain_id,
                    genesis.domain.chain_id,
                    genesis.validators.len()
                ),
                "",
            );
            Some(genesis)
        }
        Err(error) => {
            checks.fail(
                check_id::GENESIS_DOCUMENT,
                &error,
                "a genesis document",
                error.code(),
            );
            None
        }
    }
}

/// V7 and V8: the settlement record stands in the state that the last header commits to, the state after the block
/// before it.
fn check_inclusion(bundle: &Bundle, header: &Header, checks: &mut Checks) -> Option<()> {
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
fn prove(
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
fn check_settlement(bundle: &Bundle, domain: &Domain, checks: &mut Checks) {
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

/// V14: the evidence is what was ordered.
fn check_kind(bundle: &Bundle, checks: &mut Checks) {
    checks.equal(
        check_id::EVIDENCE_KIND,
        bundle.evidence.kind().name(),
        bundle.item.order.value.evidence.name(),
        "the evidence, and the kind ordered",
    );
}

/// V14: the receipt stands at its place in the group. Returns what a proof over the group must have absorbed.
fn check_group(bundle: &Bundle, domain: &Domain, checks: &mut Checks) -> Option<[u8; 32]> {
    let id = check_id::EVIDENCE_GROUP;
    let receipt = bundle.item.receipt.value.hash(domain);
    let single = bundle.evidence.kind() == EvidenceKind::Signed;
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
fn check_evidence(
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
    let (bits, union_bits) = zk::security_bits(key, batch);
    let least = policy.security_bits.max(SECURITY_FLOOR_BITS);
    let found = format_args!("{bits} bits round by round, {union_bits} bits union").to_string();
    if bits < least {
        checks.fail(
            check_id::EVIDENCE_SECURITY,
            found,
            format_args!("{least} bits round by round"),
            "",
        );
    } else {
        let note = if bits < SECURITY_NOTE_BITS {
            "below 128 bits"
        } else {
            "128 bits or more"
        };
        checks.pass(check_id::EVIDENCE_SECURITY, found, note);
    }
}

/// V15.
fn check_policy(bundle: &Bundle, policy: &Policy, checks: &mut Checks) {
    let kind = bundle.item.order.value.evidence;
    let accepted: Vec<&str> = policy.accepted.iter().map(|kind| kind.name()).collect();
    let id = check_id::POLICY_EVIDENCE;
    if policy.accepted.contains(&kind) {
        checks.pass(id, kind.name(), "accepted by the policy");
    } else {
        checks.fail(
            id,
            kind.name(),
            accepted.join(" or "),
            "not accepted by the policy",
        );
    }
    let settlement = &bundle.settlement;
    let id = check_id::POLICY_MODEL;
    match policy.model {
        Some(expected) => {
            checks.equal(id, settlement.model, expected, "the model you expect");
        }
        None => checks.not_checked(id, "any model is accepted"),
    }
    for (id, found, expected) in [
        (check_id::POLICY_PAYER, settlement.payer, policy.payer),
        (check_id::POLICY_NODE, settlement.node, policy.node),
    ] {
        match expected {
            Some(expected) => {
                checks.equal(id, found, expected, "the account you expect");
            }
            None => checks.not_checked(id, "any account is accepted"),
        }
    }
}

/// V16: what a reader might take for checked and is not.
fn note_unchecked(checks: &mut Checks) {
    checks.not_checked(
        check_id::RECEIPT_SIGNER_REGISTERED,
        "the chain checked the node's receipt key when it settled",
    );
    checks.not_checked(
        check_id::RECEIPT_BLOCK,
        "the recent block that the receipt names is the node's word",
    );
    checks.not_checked(
        check_id::WARRANTY_CLAIMED,
        "a settled receipt excludes a claim for a missed one; claims for equivocation are not looked up",
    );
}
