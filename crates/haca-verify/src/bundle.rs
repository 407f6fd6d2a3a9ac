//! A settled inference, verified from the genesis hash and one file: `spec/verify.md`, step by step.

use haca_wire::bundle::Bundle;
use haca_wire::{
    BlockHash, Decode, Domain, EvidenceKind, GenesisHash, Height, Order, Receipt, Settlement, Voucher,
};

use crate::genesis::{Genesis, genesis_hash};
use crate::policy::Policy;
use crate::report::{Checks, Report};
use crate::{check_id, evidence, light_client, receipt, settlement};

/// A settled inference of which every required check passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledInference {
    /// The network.
    pub domain: Domain,
    /// The order.
    pub order: Order,
    /// The receipt.
    pub receipt: Receipt,
    /// The settlement: of the receipt, or of the voucher.
    pub settlement: Settlement,
    /// The voucher that covers the receipt, where it was settled by one.
    pub voucher: Option<Voucher>,
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
                "a bundle of version 1 or 2 in canonical form",
                error.code(),
            );
            return checks.finish(check_id::REQUIRED, None);
        }
    };
    let form = match &bundle.covering {
        None => "a receipt with its settlement",
        Some(_) => "a receipt under a settled voucher",
    };
    checks.pass(
        check_id::BUNDLE_ENCODING,
        format_args!("{} bytes, {form}", bytes.len()),
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
    let header =
        light_client::follow(&bundle.light_blocks, &genesis, policy, now_unix_s, checks)?.header()?;
    settlement::check_inclusion(&bundle, &header, checks)?;
    settlement::check_settlement(&bundle, &genesis.domain, checks);
    receipt::check_order(
        &bundle.item,
        &genesis.domain,
        bundle.settlement.payer,
        &bundle.request,
        checks,
    );
    receipt::check_receipt(&bundle.item, &genesis.domain, &bundle.response, checks);
    evidence::check_kind(&bundle, checks);
    let group = evidence::check_group(&bundle, &genesis.domain, checks);
    match group {
        Some(context) => evidence::check_evidence(&bundle, &header, &context, policy, checks),
        None => checks.not_checked(
            check_id::EVIDENCE_PROOF,
            "the receipt is not where the evidence has it",
        ),
    }
    check_policy(&bundle, policy, checks);
    note_unchecked(bundle.settlement.evidence, bundle.covering.is_some(), checks);
    Some(SettledInference {
        domain: genesis.domain,
        order: bundle.item.order.value,
        receipt: bundle.item.receipt.value,
        settlement: bundle.settlement,
        voucher: bundle.covering.map(|covering| covering.voucher),
        height: bundle.height,
        header_height: header.height,
        header_hash: header.hash,
        time_unix_s: header.unix_s,
        request: bundle.request,
        response: bundle.response,
    })
}

/// V2 and V3.
pub(crate) fn check_genesis(bytes: &[u8], trust: GenesisHash, checks: &mut Checks) -> Option<Genesis> {
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
fn note_unchecked(evidence: EvidenceKind, is_covered: bool, checks: &mut Checks) {
    checks.not_checked(
        check_id::RECEIPT_SIGNER_REGISTERED,
        if is_covered {
            "the chain checked the key of the range's root; this receipt's key, units and terms are as payer and node have it"
        } else {
            "the chain checked the node's receipt key when it settled"
        },
    );
    checks.not_checked(
        check_id::RECEIPT_BLOCK,
        "the recent block that the receipt names is the node's word",
    );
    checks.not_checked(
        check_id::WARRANTY_CLAIMED,
        if evidence == EvidenceKind::Optimistic {
            "whether the fee on hold was paid, or returned with the warranty for want of a proof, is not looked up"
        } else {
            "a settled receipt excludes a claim for a missed one; claims for equivocation are not looked up"
        },
    );
}
