//! Proofs, checked by `haca-zk`.

use haca_wire::{Decode, Gas, Inference, ModelId, RenderId, TensorSpec};
use haca_zk::{ProofRejection, Statement, VerifyingKey};

use crate::policy::SECURITY_FLOOR_BITS;

/// What a verifying key says of its model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZkFacts {
    /// The identity of the model.
    pub model: ModelId,
    /// Multiply-accumulates of one inference.
    pub units: u64,
    /// The most inferences that one proof covers.
    pub max_batch: usize,
    /// Gas of verifying a proof of at most `2^i` inferences, at index `i`, up to the largest batch.
    pub batch_gas: Vec<Gas>,
    /// The most bytes of the tensors of one inference with its proof.
    pub answer_bytes: u64,
    /// The model's inputs.
    pub inputs: Vec<TensorSpec>,
    /// The model's outputs.
    pub outputs: Vec<TensorSpec>,
}

/// A decoded verifying key. Decoding takes up to a tenth of a second and verifying a small proof a thousandth, so
/// whoever checks many proofs of a model keeps it. Errors are stable codes.
#[derive(Debug)]
pub struct ZkKey(VerifyingKey);

impl ZkKey {
    /// Decodes a verifying key.
    pub fn decode(verifying_key: &[u8]) -> Result<Self, &'static str> {
        VerifyingKey::decode_all(verifying_key)
            .map(Self)
            .map_err(|error| error.code())
    }

    /// About the bytes of memory that it takes.
    pub fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }

    /// Checks that the union of all terms of the key's security reaches [`SECURITY_FLOOR_BITS`] for every batch size,
    /// and that its render is known.
    pub fn facts(&self) -> Result<ZkFacts, &'static str> {
        let key = &self.0;
        let max_batch = key.max_batch();
        if key.manifest().render != RenderId::INFER_V1.0 {
            return Err("zk.render");
        }
        for batch in batches(max_batch) {
            let (_, union_bits) = security_bits(key, batch);
            if union_bits < SECURITY_FLOOR_BITS {
                return Err("zk.security");
            }
        }
        let graph = &key.manifest().graph;
        let (inputs, outputs) = (graph.inputs(), graph.outputs());
        let tensors = inputs.iter().chain(outputs.iter().map(|(_, spec)| spec));
        let answer_bytes = tensors
            .map(TensorSpec::tensor_bytes)
            .fold(key.proof_bytes_bound(1), usize::saturating_add);
        Ok(ZkFacts {
            model: key.model_id(),
            units: graph.macs(),
            max_batch,
            batch_gas: batches(max_batch)
                .map(|batch| key.verification_gas(batch))
                .collect(),
            answer_bytes: answer_bytes as u64,
            inputs: inputs.to_vec(),
            outputs: outputs.iter().map(|(_, spec)| spec.clone()).collect(),
        })
    }

    /// Verifies that committed weights and biases lie in their declared ranges.
    pub fn registration(&self, proof: &[u8]) -> Result<(), &'static str> {
        haca_zk::verify_registration(&self.0, proof).map_err(|rejection| rejection.code())
    }

    /// Verifies that the model produced the outputs, in this context.
    pub fn settlement(
        &self,
        context: &[u8; 32],
        inferences: &[Inference],
        proof: &[u8],
    ) -> Result<(), &'static str> {
        verify(&self.0, context, inferences, proof).map_err(|rejection| rejection.code())
    }
}

/// Checks verifying keys and proofs. Holds nothing: every answer follows from the arguments alone, and each decodes
/// the key. Errors are stable codes.
#[derive(Clone, Copy, Debug, Default)]
pub struct ZkChecker;

impl ZkChecker {
    /// [`ZkKey::facts`].
    pub fn facts(&self, verifying_key: &[u8]) -> Result<ZkFacts, &'static str> {
        ZkKey::decode(verifying_key)?.facts()
    }

    /// Gas of decoding a key, of [`facts`](Self::facts) and of [`registration`](Self::registration), from an outline of the
    /// key: nothing of it is decoded that takes longer than reading it.
    pub fn registration_gas(&self, verifying_key: &[u8]) -> Result<Gas, &'static str> {
        haca_zk::registration_price(verifying_key).map_err(|error| error.code())
    }

    /// Verifies that committed weights and biases lie in their declared ranges.
    pub fn registration(&self, verifying_key: &[u8], proof: &[u8]) -> Result<(), &'static str> {
        ZkKey::decode(verifying_key)?.registration(proof)
    }

    /// Verifies that the model produced the outputs, in this context.
    pub fn settlement(
        &self,
        verifying_key: &[u8],
        context: &[u8; 32],
        inferences: &[Inference],
        proof: &[u8],
    ) -> Result<(), &'static str> {
        ZkKey::decode(verifying_key)?.settlement(context, inferences, proof)
    }
}

/// The batch sizes up to the largest, each twice the one before.
fn batches(max_batch: usize) -> impl Iterator<Item = usize> {
    core::iter::successors(Some(1usize), |batch| batch.checked_mul(2))
        .take_while(move |batch| *batch <= max_batch)
}

/// Verifies one proof.
pub(crate) fn verify(
    key: &VerifyingKey,
    context: &[u8; 32],
    inferences: &[Inference],
    proof: &[u8],
) -> Result<(), ProofRejection> {
    let statement = Statement {
        context: *context,
        inferences,
    };
    haca_zk::verify(key, &statement, proof)
}

/// Whole bits of security of a proof of `batch` inferences: round by round, and of the union of all terms.
pub(crate) fn security_bits(key: &VerifyingKey, batch: usize) -> (u32, u32) {
    let budget = key.security(batch);
    (whole(budget.round_by_round_bits), whole(budget.union_bits))
}

/// Rounds down; below zero and what is no number count as zero.
const fn whole(bits: f64) -> u32 {
    bits as u32
}
