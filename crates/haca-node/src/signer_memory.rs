//! Remembers who signed what, so that a signature seen in the mempool is not recovered again in a proposal and in a block.
//!
//! What is remembered is the answer of a pure function under its arguments; forgetting changes nothing but time.

use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use haca_wire::{Address, Signature, SignatureError};

type Question = (Signature, [u8; 32]);
type Answer = Result<Address, SignatureError>;

/// Answers in two generations. A full one becomes the old one, and the old one is forgotten.
#[derive(Default)]
struct Generations {
    young: HashMap<Question, Answer>,
    old: HashMap<Question, Answer>,
}

/// Signers by signature and digest.
pub struct SignerMemory {
    /// Answers in a generation.
    limit: usize,
    answers: Mutex<Generations>,
}

impl SignerMemory {
    /// An empty memory for at least `limit` and at most twice as many answers.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            answers: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account whose key signed `digest`; `recover` says so when it is not remembered.
    pub fn get(&self, signature: &Signature, digest: &[u8; 32], recover: impl FnOnce() -> Answer) -> Answer {
        let question = (*signature, *digest);
        if let Some(answer) = self.remembered(&question) {
            return answer;
        }
        // Not under the lock: others go on meanwhile.
        let answer = recover();
        self.remember(question, answer);
        answer
    }

    fn remembered(&self, question: &Question) -> Option<Answer> {
        let answers = self.lock();
        let known = answers.young.get(question).or_else(|| answers.old.get(question));
        known.copied()
    }

    fn remember(&self, question: Question, answer: Answer) {
        if self.limit == 0 {
            return;
        }
        let mut answers = self.lock();
        if answers.young.len() >= self.limit {
            answers.old = mem::take(&mut answers.young);
        }
        answers.young.insert(question, answer);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::cell::Cell;

    use haca_wire::SecretKey;

    use super::*;

    /// Asks about each digest, told apart by its bytes, and counts how many signatures were recovered.
    fn ask(memory: &SignerMemory, digests: &[u8]) -> usize {
        let key = SecretKey::from_bytes(&[7; 32]).unwrap();
        let recovered = Cell::new(0);
        for digest in digests {
            let digest = [*digest; 32];
            let signature = key.sign(&digest).unwrap();
            let found = memory.get(&signature, &digest, || {
                recovered.set(recovered.get() + 1);
                signature.recover(&digest)
            });
            assert_eq!(found, Ok(key.address()));
        }
        recovered.get()
    }

    #[test]
    fn a_signature_is_recovered_once() {
        let memory = SignerMemory::new(4);
        assert_eq!(ask(&memory, b"abcabca"), 3);
        assert_eq!(ask(&memory, b"cab"), 0);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_newest_stay() {
        let memory = SignerMemory::new(2);
        assert_eq!(ask(&memory, b"abcde"), 5);
        let answers = memory.lock();
        assert!(answers.young.len() + answers.old.len() <= 4);
        drop(answers);
        assert_eq!(ask(&memory, b"cde"), 0);
        assert_eq!(ask(&memory, b"a"), 1);
        assert_eq!(ask(&SignerMemory::new(0), b"aaa"), 3);
    }

    #[test]
    fn another_digest_or_signature_is_another_question() {
        let memory = SignerMemory::new(8);
        let keys = [7, 8].map(|byte| SecretKey::from_bytes(&[byte; 32]).unwrap());
        let digests = [[1; 32], [2; 32]];
        for key in &keys {
            let signature = key.sign(&digests[0]).unwrap();
            for digest in &digests {
                let expected = signature.recover(digest);
                assert_eq!(memory.get(&signature, digest, || expected), expected);
                assert_eq!(memory.get(&signature, digest, || panic!("forgotten")), expected);
            }
        }
    }
}
