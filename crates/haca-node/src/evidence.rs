//! The verifier of proofs, as the ledger asks for it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use haca_ledger::{CheckProof, ModelFacts};
use haca_verify::{ZkChecker, ZkFacts, ZkKey};
use haca_wire::{Gas, Inference};

use crate::answer_memory::AnswerMemory;
use crate::key_memory::{KeyLimits, KeyMemory};

/// The verifier of `haca-verify` behind the ledger's trait. Keeps the verifying keys that it was asked about last, and
/// facts of many more; every answer follows from the arguments all the same.
#[derive(Debug)]
pub struct ZkEvidence {
    keys: KeyMemory<ZkKey>,
    answers: AnswerMemory<Result<ModelFacts, &'static str>>,
    decoded: AtomicU64,
}

impl Default for ZkEvidence {
    fn default() -> Self {
        Self::new(KeyLimits::default())
    }
}

impl ZkEvidence {
    /// Keeps as many verifying keys as `limits` allow.
    pub fn new(limits: KeyLimits) -> Self {
        Self {
            keys: KeyMemory::new(limits),
            answers: AnswerMemory::new(limits.answers),
            decoded: AtomicU64::new(0),
        }
    }

    /// How many keys were decoded so far. For measurements and tests.
    pub fn decoded(&self) -> u64 {
        self.decoded.load(Ordering::Relaxed)
    }

    fn key(&self, verifying_key: &[u8]) -> Result<Arc<ZkKey>, &'static str> {
        self.keys.get(verifying_key, |bytes| {
            self.decoded.fetch_add(1, Ordering::Relaxed);
            let key = ZkKey::decode(bytes)?;
            let bytes = key.memory_bytes();
            Ok((key, bytes))
        })
    }
}

fn ledger_facts(facts: ZkFacts) -> ModelFacts {
    ModelFacts {
        model: facts.model,
        units: facts.units,
        max_batch: facts.max_batch,
        batch_gas: facts.batch_gas,
        answer_bytes: facts.answer_bytes,
        outputs: facts.outputs,
    }
}

impl CheckProof for ZkEvidence {
    fn facts(&self, verifying_key: &[u8]) -> Result<ModelFacts, &'static str> {
        let facts = || self.key(verifying_key)?.facts().map(ledger_facts);
        self.answers.get(verifying_key, facts)
    }

    fn registration_gas(&self, verifying_key: &[u8]) -> Result<Gas, &'static str> {
        ZkChecker.registration_gas(verifying_key)
    }

    fn registration(&self, verifying_key: &[u8], proof: &[u8]) -> Result<(), &'static str> {
        self.key(verifying_key)?.registration(proof)
    }

    fn settlement(
        &self,
        verifying_key: &[u8],
        context: &[u8; 32],
        inferences: &[Inference],
        proof: &[u8],
    ) -> Result<(), &'static str> {
        self.key(verifying_key)?.settlement(context, inferences, proof)
    }
}
