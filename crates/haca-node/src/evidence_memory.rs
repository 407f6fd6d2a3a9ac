//! Remembers which evidence was verified, so that a proof seen in the mempool is not verified again in a block.
//!
//! What is remembered is the answer of a pure function under a hash of all its arguments; forgetting changes
//! nothing but time.

use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZero,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use haca_ledger::{CheckProof, EvidenceJob, ModelFacts};
use haca_wire::{Encode as _, Gas, Inference};

use crate::metrics::Metrics;

/// What remembering and verifying evidence may take. None of it changes an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvidenceLimits {
    /// Answers kept; the oldest goes first.
    pub answers: usize,
    /// Threads that verify the evidence of a block ahead of its execution.
    pub threads: usize,
}

impl Default for EvidenceLimits {
    fn default() -> Self {
        Self {
            answers: 8_192,
            threads: thread::available_parallelism().map_or(1, NonZero::get),
        }
    }
}

type Key = [u8; 32];

#[derive(Default)]
struct Answers {
    known: BTreeMap<Key, Result<(), &'static str>>,
    order: VecDeque<Key>,
}

/// A [`CheckProof`] that remembers.
pub struct EvidenceMemory {
    checker: Box<dyn CheckProof + Send>,
    metrics: Arc<Metrics>,
    limits: EvidenceLimits,
    answers: Mutex<Answers>,
}

impl EvidenceMemory {
    /// Remembers the answers of `checker` within `limits`.
    pub fn new(checker: Box<dyn CheckProof + Send>, metrics: Arc<Metrics>, limits: EvidenceLimits) -> Self {
        Self {
            checker,
            metrics,
            limits,
            answers: Mutex::default(),
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
        if let Some(answer) = self.lock().known.get(&key) {
            self.metrics.evidence(true);
            return *answer;
        }
        self.metrics.evidence(false);
        let answer = verify();
        let mut answers = self.lock();
        if answers.known.insert(key, answer).is_none() {
            answers.order.push_back(key);
        }
        if answers.order.len() > self.limits.answers
            && let Some(oldest) = answers.order.pop_front()
        {
            answers.known.remove(&oldest);
        }
        answer
    }

    /// Verifies jobs on all threads.
    pub fn run_all(&self, jobs: &[EvidenceJob]) {
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let _ = job.run(self);
            }
        };
        let threads = self.limits.threads.min(jobs.len());
        if threads < 2 {
            return work();
        }
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
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

    fn registration_gas(&self, verifying_key: &[u8]) -> Option<Gas> {
        self.checker.registration_gas(verifying_key)
    }

    fn registration(&self, verifying_key: &[u8], proof: &[u8]) -> Result<(), &'static str> {
        let key = key("haca-node evidence registration", &[verifying_key, proof]);
        self.remembered(key, || self.checker.registration(verifying_key, proof))
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
}
