//! ICS-23 proofs that the state holds a value under a key, or holds none.

use haca_wire::limit;
use ics23::commitment_proof::Proof;
use ics23::{CommitmentProof, HostFunctionsManager};
use prost_ics23::Message as _;

use crate::VerifyError;

/// A proof that reads as one. What it proves depends on the root it is held against.
#[derive(Clone, Debug)]
pub struct StateProof {
    proof: CommitmentProof,
}

impl StateProof {
    /// Reads a `CommitmentProof` in protobuf that holds one proof of existence or absence and is in canonical form.
    pub fn decode(bytes: &[u8]) -> Result<Self, VerifyError> {
        if bytes.len() > limit::STATE_PROOF_BYTES {
            return Err(VerifyError::Range {
                what: "bytes of a state proof",
                found: bytes.len() as u64,
                expected: limit::STATE_PROOF_BYTES as u64,
            });
        }
        let proof = CommitmentProof::decode(bytes).map_err(|error| VerifyError::StateProof {
            reason: error.to_string(),
        })?;
        let canonical = proof.encode_to_vec();
        if canonical != bytes {
            return Err(VerifyError::NotCanonical {
                what: "state proof",
                found: bytes.len(),
                expected: canonical.len(),
            });
        }
        match &proof.proof {
            Some(Proof::Exist(_) | Proof::Nonexist(_)) => Ok(Self { proof }),
            _ => Err(VerifyError::StateProof {
                reason: "no single proof of existence or absence".into(),
            }),
        }
    }

    /// The key that the proof speaks of.
    pub fn key(&self) -> &[u8] {
        match &self.proof.proof {
            Some(Proof::Exist(existence)) => &existence.key,
            Some(Proof::Nonexist(absence)) => &absence.key,
            _ => &[],
        }
    }

    /// The value under `key`, if the proof shows it under the root `app_hash`.
    pub fn value(&self, app_hash: &[u8], key: &[u8]) -> Option<&[u8]> {
        let Some(Proof::Exist(existence)) = &self.proof.proof else {
            return None;
        };
        let value = existence.value.as_slice();
        ics23::verify_membership::<HostFunctionsManager>(
            &self.proof,
            &jmt::ics23_spec(),
            &app_hash.to_vec(),
            key,
            value,
        )
        .then_some(value)
    }

    /// Whether the proof shows that the state with root `app_hash` holds nothing under `key`.
    pub fn is_absent(&self, app_hash: &[u8], key: &[u8]) -> bool {
        // The library takes the key from its caller; a proof that names another would be bytes that nothing checks.
        self.key() == key
            && ics23::verify_non_membership::<HostFunctionsManager>(
                &self.proof,
                &jmt::ics23_spec(),
                &app_hash.to_vec(),
                key,
            )
    }
}
