//! ICS-23 proofs that the state holds a value under a key.

use haca_wire::limit;
use ics23::commitment_proof::Proof;
use ics23::{CommitmentProof, ExistenceProof, HostFunctionsManager};
use prost_ics23::Message as _;

use crate::VerifyError;

/// A proof that reads as one. What it proves depends on the root it is held against.
#[derive(Clone, Debug)]
pub struct StateProof {
    proof: CommitmentProof,
}

impl StateProof {
    /// Reads a `CommitmentProof` in protobuf that holds one existence proof and is in canonical form.
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
            Some(Proof::Exist(_)) => Ok(Self { proof }),
            _ => Err(VerifyError::StateProof {
                reason: "not a proof of existence".into(),
            }),
        }
    }

    fn existence(&self) -> Option<&ExistenceProof> {
        match &self.proof.proof {
            Some(Proof::Exist(existence)) => Some(existence),
            _ => None,
        }
    }

    /// The key that the proof speaks of.
    pub fn key(&self) -> &[u8] {
        self.existence()
            .map(|proof| proof.key.as_slice())
            .unwrap_or_default()
    }

    /// The value under `key`, if the proof shows it under the root `app_hash`.
    pub fn value(&self, app_hash: &[u8], key: &[u8]) -> Option<&[u8]> {
        let value = self.existence()?.value.as_slice();
        ics23::verify_membership::<HostFunctionsManager>(
            &self.proof,
            &jmt::ics23_spec(),
            &app_hash.to_vec(),
            key,
            value,
        )
        .then_some(value)
    }
}
