//! Remembers which evidence was verified and who signed what, so that a proof or a signature seen in the mempool is not
//! verified again in a block, nor a proof by two threads at once.
//!
//! What is remembered is the answer of a pure function under a hash of all its arguments; forgetting changes
//! nothing but time.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    num::NonZero,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use haca_ledger::{CheckProof, ModelFacts};
use haca_wire::{Address, Encode as _, Gas, Inference, Signature, SignatureError};

use crate::{metrics::Metrics, signer_memory::SignerMemory};

/// What remembering and verifying evidence may take. None of it changes an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvidenceLimits {
    /// Answers kept about proofs; the oldest goes first.
    pub answers: usize,
    /// Answers kept about signatures, in each of two generations. A block that is full of signatures has some 5,000, a
    /// full mempool as many. The default is as many as a table of 2^15 places takes: 4 MB.
    pub signers: usize,
    /// Threads that verify evidence and recover signers ahead of execution.
    pub threads: usize,
}

impl Default for EvidenceLimits {
    fn default() -> Self {
        Self {
            answers: 8_192,
            signers: 28_672,
            threads: thread::available_parallelism().map_or(1, NonZero::get),
        }
    }
}

type Key = [u8; 32];

#[derive(Default)]
struct Answers {
    known: BTreeMap<Key, Result<(), &'static str>>,
    order: VecDeque<Key>,
    /// What is being verified: whoever asks for it meanwhile waits.
    pending: BTreeSet<Key>,
}

impl Answers {
    fn remember(&mut self, key: Key, answer: Result<(), &'static str>, limit: usize) {
        if self.known.insert(key, answer).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > limit {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.known.remove(&oldest);
        }
    }
}

/// A [`CheckProof`] that remembers.
pub struct EvidenceMemory {
    checker: Box<dyn CheckProof + Send>,
    metrics: Arc<Metrics>,
    limits: EvidenceLimits,
    answers: Mutex<Answers>,
    found: Condvar,
    signers: SignerMemory,
}

/// Lets others in when a verification ends, however it ends.
struct Pending<'a> {
    memory: &'a EvidenceMemory,
    key: Key,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.memory.lock().pending.remove(&self.key);
        self.memory.found.notify_all();
    }
}

impl EvidenceMemory {
    /// Remembers the answers of `checker` within `limits`.
    pub fn new(checker: Box<dyn CheckProof + Send>, metrics: Arc<Metrics>, limits: EvidenceLimits) -> Self {
        Self {
            checker,
            metrics,
            limits,
            answers: Mutex::default(),
            found: Condvar::new(),
            signers: SignerMemory::new(limits.signers),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remembered(
        &self,
        key: Key,
        verify: impl FnOnce() -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        let mut answers = self.lock();
        loop {
            if let Some(answer) = answers.known.get(&key) {
                self.metrics.evidence(true);
                return *answer;
            }
            if answers.pending.insert(key) {
                break;
            }
            answers = self.found.wait(answers).unwrap_or_else(PoisonError::into_inner);
        }
        drop(answers);
        let _pending = Pending { memory: self, key };
        self.metrics.evidence(false);
        let answer = verify();
        self.lock().remember(key, answer, self.limits.answers);
        answer
    }
}

/// Hash of all arguments of a verification, each with its length.
fn key(purpose: &str, parts: &[&[u8]]) -> Key {
    let mut hasher = blake3::Hasher::new_derive_key(purpose);
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

impl CheckProof for EvidenceMemory {
    fn facts(&self, verifying_key: &[u8]) -> Result<ModelFacts, &'static str> {
        self.checker.facts(verifying_key)
    }

    fn registration_gas(&self, verifying_key: &[u8]) -> Result<Gas, &'static str> {
        self.checker.registration_gas(verifying_key)
    }

    fn registration(&self, verifying_key: &[u8], proof: &[u8]) -> Result<(), &'static str> {
        let key = key("haca-node evidence registration", &[verifying_key, proof]);
        // Execution asks for the facts first. A checker that has no room for the key has some for what it says.
        self.remembered(key, || {
            let facts = self.checker.facts(verifying_key);
            facts.and_then(|_| self.checker.registration(verifying_key, proof))
        })
    }

    fn settlement(
        &self,
        verifying_key: &[u8],
        context: &[u8; 32],
        inferences: &[Inference],
        proof: &[u8],
    ) -> Result<(), &'static str> {
        let tensors: Vec<u8> = inferences
            .iter()
            .flat_map(|inference| inference.encode())
            .collect();
        let key = key(
            "haca-node evidence settlement",
            &[verifying_key, context, &tensors, proof],
        );
        self.remembered(key, || {
            self.checker.settlement(verifying_key, context, inferences, proof)
        })
    }

    fn signer(&self, signature: &Signature, digest: &[u8; 32]) -> Result<Address, SignatureError> {
        self.signers
            .get(signature, digest, || self.checker.signer(signature, digest))
    }
}
