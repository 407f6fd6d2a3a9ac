//! Verification and its report as JSON.

use haca_verify::{Accused, Outcome, Policy, ProvenAttack, ProvenState, Report, ZkChecker};
use haca_wire::{Decode as _, EvidenceKind, GenesisHash};
use serde_json::{Value, json};

use crate::Statement;

/// The outcome as a number: the exit code that the command line has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Verdict {
    /// Every required check passed.
    Verified = 0,
    /// The call itself is wrong; nothing was checked.
    Misuse = 2,
    /// A check failed.
    Rejected = 10,
    /// No check failed, but a required one could not be done.
    Unverifiable = 11,
}

/// Verifies one proof: key as `model.vk`, statement as [`Statement`] encodes it.
pub fn verify_proof(key: &[u8], statement: &[u8], proof: &[u8]) -> (Verdict, Value) {
    let result = Statement::decode_all(statement)
        .map_err(|error| error.code())
        .and_then(|statement| {
            let facts = ZkChecker.facts(key)?;
            ZkChecker.settlement(key, &statement.context, &statement.inferences, proof)?;
            Ok((facts, statement.inferences.len()))
        });
    match result {
        Ok((facts, inferences)) => {
            let model = facts.model.to_string();
            (
                Verdict::Verified,
                json!({ "outcome": "verified", "model_id": model, "inferences": inferences }),
            )
        }
        Err(code) => (Verdict::Rejected, json!({ "outcome": "rejected", "code": code })),
    }
}

/// Verifies a bundle, a state file or an attack file from the trusted genesis hash, as of `now_unix_s` (seconds since
/// 1970). Of a bundle, these kinds of evidence count beside proofs. A verified state or attack file's report says under
/// `proven` what it proves.
pub fn verify_file(
    trust: [u8; 32],
    file: &[u8],
    now_unix_s: u64,
    accepted: &[EvidenceKind],
) -> (Verdict, Value) {
    let mut policy = Policy::default();
    policy.accepted.extend(accepted);
    let trust = GenesisHash(trust);
    if haca_verify::is_state_file(file) {
        let report = haca_verify::verify_state(file, trust, now_unix_s, &policy);
        return of_report(&report, |state| Some(state_json(state)));
    }
    if haca_verify::is_attack_file(file) {
        let report = haca_verify::verify_attack(file, trust, now_unix_s, &policy);
        return of_report(&report, |attack| Some(attack_json(attack)));
    }
    let report = haca_verify::verify_bundle(file, trust, now_unix_s, &policy);
    of_report(&report, |_| None)
}

fn of_report<T>(report: &Report<T>, proven: impl FnOnce(&T) -> Option<Value>) -> (Verdict, Value) {
    let verdict = match report.outcome() {
        Outcome::Verified => Verdict::Verified,
        Outcome::Rejected => Verdict::Rejected,
        Outcome::Unverifiable => Verdict::Unverifiable,
    };
    let checks = report.checks().iter();
    let checks: Vec<Value> = checks
        .map(|check| {
            json!({
                "id": check.id,
                "state": check.state.name(),
                "found": check.found,
                "expected": check.expected,
                "note": check.note,
            })
        })
        .collect();
    let mut json = json!({ "outcome": report.outcome().name(), "checks": checks });
    if let Some(proven) = report.verified().and_then(|verified| proven(verified.get())) {
        json["proven"] = proven;
    }
    (verdict, json)
}

fn state_json(state: &ProvenState) -> Value {
    json!({
        "key": hex(&state.key),
        "value": state.value.as_deref().map(hex),
        "height": state.height.0,
        "header_height": state.header_height.0,
        "header_hash": state.header_hash.to_string(),
        "time_unix_s": state.time_unix_s,
    })
}

fn attack_json(attack: &ProvenAttack) -> Value {
    let accused = |accused: &[Accused]| -> Vec<Value> {
        accused
            .iter()
            .map(|one| json!({ "address": hex(&one.address), "power": one.power }))
            .collect()
    };
    let sides = attack.sides.iter();
    let sides: Vec<Value> = sides
        .map(|side| json!({ "hash": side.hash.to_string(), "accused": accused(&side.accused) }))
        .collect();
    json!({
        "kind": attack.kind.name(),
        "common_height": attack.common_height.0,
        "height": attack.height.0,
        "sides": sides,
        "double_signed": accused(&attack.double_signed),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use haca_wire::EvidenceKind;

    use super::{Verdict, verify_file, verify_proof};

    #[test]
    fn noise_is_rejected_with_a_code() {
        let (verdict, report) = verify_proof(&[], &[], &[]);
        assert_eq!(verdict, Verdict::Rejected);
        assert_eq!(report["code"], "wire.truncated");
    }

    #[test]
    fn a_file_of_noise_is_not_verified() {
        for start in [&b"HACABND1"[..], b"HACASTA1", b"HACALCA1", b""] {
            let noise = [start, &[1, 2, 3]].concat();
            let (verdict, report) = verify_file([0; 32], &noise, 0, &[EvidenceKind::Signed]);
            assert_eq!(verdict, Verdict::Rejected);
            assert!(report["proven"].is_null());
            assert!(
                report["checks"]
                    .as_array()
                    .is_some_and(|checks| !checks.is_empty())
            );
        }
    }
}
