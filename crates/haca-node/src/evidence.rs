//! The verifier of proofs, as the ledger asks for it.

use haca_ledger::{CheckProof, ModelFacts};
use haca_verify::ZkChecker;
use haca_wire::{Gas, Inference};

/// [`ZkChecker`] behind the ledger's trait.
#[derive(Clone, Copy, Debug, Default)]
pub struct ZkEvidence(ZkChecker);

impl CheckProof for ZkEvidence {
    fn facts(&self, verifying_key: &[u8]) -> Result<ModelFacts, &'static str> {
        let facts = self.0.facts(verifying_key)?;
        Ok(ModelFacts {
            model: facts.model,
            units: facts.units,
            max_batch: facts.max_batch,
            batch_gas: facts.batch_gas,
            outputs: facts.outputs,
        })
    }

    fn registration_gas(&self, verifying_key: &[u8]) -> Option<Gas> {
        self.0.registration_gas(verifying_key)
    }

    fn registration(&self, verifying_key: &[u8], proof: &[u8]) -> Result<(), &'static str> {
        self.0.registration(verifying_key, proof)
    }

    fn settlement(
        &self,
        verifying_key: &[u8],
        context: &[u8; 32],
        inferences: &[Inference],
        proof: &[u8],
    ) -> Result<(), &'static str> {
        self.0.settlement(verifying_key, context, inferences, proof)
    }
}
