//! Verification and its report as JSON.

use haca_verify::{Outcome, Policy, ZkChecker};
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

/// Verifies a bundle from the trusted genesis hash, as of `now_unix_s` (seconds since 1970). Evidence that is
/// signatures alone counts only with `accept_signed`.
pub fn verify_bundle(
    trust: [u8; 32],
    bundle: &[u8],
    now_unix_s: u64,
    accept_signed: bool,
) -> (Verdict, Value) {
    let mut policy = Policy::default();
    if accept_signed {
        policy.accepted.push(EvidenceKind::Signed);
    }
    let report = haca_verify::verify_bundle(bundle, GenesisHash(trust), now_unix_s, &policy);
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
    (
        verdict,
        json!({ "outcome": report.outcome().name(), "checks": checks }),
    )
}

#[cfg(test)]
mod tests {
    use super::{Verdict, verify_bundle, verify_proof};

    #[test]
    fn noise_is_rejected_with_a_code() {
        let (verdict, report) = verify_proof(&[], &[], &[]);
        assert_eq!(verdict, Verdict::Rejected);
        assert_eq!(report["code"], "wire.truncated");
    }

    #[test]
    fn a_bundle_of_noise_is_not_verified() {
        let (verdict, report) = verify_bundle([0; 32], &[1, 2, 3], 0, true);
        assert_ne!(verdict, Verdict::Verified);
        assert!(
            report["checks"]
                .as_array()
                .is_some_and(|checks| !checks.is_empty())
        );
    }
}
