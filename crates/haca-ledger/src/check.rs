//! Where evidence is verified: behind a trait, so that the ledger holds no proof system and the node may
//! remember what it has verified.

use haca_wire::state::{ChainRecord, ModelRecord, key};
use haca_wire::{
    Evidence, Gas, Inference, Message, ModelId, ReceiptHash, SignedTransaction, TensorSpec, proof_context,
};

use crate::error::LedgerError;
use crate::overlay::{need, read};
use crate::state_reader::StateReader;

/// What a verifying key says of its model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFacts {
    /// The identity of the model.
    pub model: ModelId,
    /// Multiply-accumulates of one inference.
    pub units: u64,
    /// The most inferences that one proof covers.
    pub max_batch: usize,
    /// Gas of verifying a proof of at most `2^i` inferences, at index `i`, up to the largest batch.
    pub batch_gas: Vec<Gas>,
    /// The model's outputs.
    pub outputs: Vec<TensorSpec>,
}

/// Verifies evidence. Every answer must be a pure function of the arguments: an implementation may remember, but
/// not change its mind. Error strings are stable codes.
pub trait CheckProof: Sync {
    /// Decodes the key and checks that its security reaches the floor.
    fn facts(&self, verifying_key: &[u8]) -> Result<ModelFacts, &'static str>;
    /// Gas of verifying the registration proof, from the key alone; `None` when the key is malformed.
    fn registration_gas(&self, verifying_key: &[u8]) -> Option<Gas>;
    /// Verifies that committed weights and biases lie in their declared ranges.
    fn registration(&self, verifying_key: &[u8], proof: &[u8]) -> Result<(), &'static str>;
    /// Verifies that the model produced the outputs, in this context.
    fn settlement(
        &self,
        verifying_key: &[u8],
        context: &[u8; 32],
        inferences: &[Inference],
        proof: &[u8],
    ) -> Result<(), &'static str>;
}

/// One proof of a transaction: what a node can verify ahead of, and in parallel to, execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvidenceJob {
    /// [`CheckProof::registration`].
    Registration {
        /// Encoded verifying key.
        verifying_key: Vec<u8>,
        /// The proof.
        proof: Vec<u8>,
    },
    /// [`CheckProof::settlement`].
    Settlement {
        /// Encoded verifying key of the registered model.
        verifying_key: Vec<u8>,
        /// What the proof must absorb.
        context: [u8; 32],
        /// Public tensors.
        inferences: Vec<Inference>,
        /// The proof.
        proof: Vec<u8>,
    },
}

impl EvidenceJob {
    /// Verifies with `checker`.
    pub fn run(&self, checker: &dyn CheckProof) -> Result<(), &'static str> {
        match self {
            Self::Registration { verifying_key, proof } => checker.registration(verifying_key, proof),
            Self::Settlement {
                verifying_key,
                context,
                inferences,
                proof,
            } => checker.settlement(verifying_key, context, inferences, proof),
        }
    }
}

/// The proofs that executing `tx` over `state` may ask for, without those that have no price and so are never
/// verified. A node runs them in parallel to fill the memory of its [`CheckProof`]; executing the block gives the same
/// result without.
pub fn evidence_jobs(
    state: &dyn StateReader,
    tx: &SignedTransaction,
) -> Result<Vec<EvidenceJob>, LedgerError> {
    let mut jobs = Vec::new();
    match &tx.transaction.message {
        Message::RegisterModel { verifying_key, proof } => jobs.push(EvidenceJob::Registration {
            verifying_key: verifying_key.clone(),
            proof: proof.clone(),
        }),
        Message::SettleBatch { groups } => {
            let domain = need::<ChainRecord>(state, key::CHAIN)?.domain();
            for group in groups {
                let Evidence::Zk { inferences, proof } = &group.evidence else {
                    continue;
                };
                let Some(first) = group.items.first() else {
                    continue;
                };
                let Some(model) = read::<ModelRecord>(state, &key::model(first.order.value.model))? else {
                    continue;
                };
                let count = inferences.len();
                if count != group.items.len() || count > model.max_batch as usize {
                    continue;
                }
                let receipts: Vec<ReceiptHash> = group
                    .items
                    .iter()
                    .map(|item| item.receipt.value.hash(&domain))
                    .collect();
                jobs.push(EvidenceJob::Settlement {
                    verifying_key: model.verifying_key,
                    context: proof_context(&domain, &receipts),
                    inferences: inferences.clone(),
                    proof: proof.clone(),
                });
            }
        }
        _ => {}
    }
    Ok(jobs)
}
