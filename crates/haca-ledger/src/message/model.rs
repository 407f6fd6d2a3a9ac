//! RegisterModel.

use haca_wire::limit;
use haca_wire::state::{ModelRecord, key};

use super::{Execution, Stop, Trust};
use crate::outcome::Effect;
use crate::refusal::Refusal;

/// Bytes that an answer to one demand has besides tensors and proof, at most, rounded up.
const FRAME_BYTES: u64 = 1_024;

impl Execution<'_, '_> {
    /// Registers a model under the id that its verifying key hashes to (`spec/ledger.md`, RegisterModel).
    pub(super) fn register_model(&mut self, verifying_key: &[u8], proof: &[u8]) -> Result<(), Stop> {
        // Its key is looked at in a block, where that is paid for.
        let Trust::Checked(checker) = self.rules.trust else {
            return Ok(());
        };
        let facts = checker
            .facts(verifying_key)
            .map_err(|reason| Refusal::VerifyingKey { reason })?;
        let model = facts.model;
        if self.state.get::<ModelRecord>(&key::terms(model))?.is_some() {
            return Err(Refusal::ModelExists { model }.into());
        }
        checker
            .registration(verifying_key, proof)
            .map_err(|reason| Refusal::RegistrationProof { reason })?;
        // What fits no transaction covers nothing and has no price: no proof is promised of the model, nor is one settled.
        let fits = facts.answer_bytes.saturating_add(FRAME_BYTES) <= limit::TX_BYTES as u64;
        let (max_batch, batch_gas) = if fits {
            (facts.max_batch, facts.batch_gas)
        } else {
            (0, Vec::new())
        };
        let record = ModelRecord {
            owner: self.sender,
            units: facts.units,
            max_batch: u32::try_from(max_batch).unwrap_or(u32::MAX),
            registered: self.rules.height,
            batch_gas,
            outputs: facts.outputs,
            verifying_key: verifying_key.to_vec(),
        };
        self.state.put(key::terms(model), &record.terms());
        self.state.put(key::model(model), &record);
        self.effects.push(Effect::ModelRegistered { model });
        Ok(())
    }
}
