//! Remembers what a full node found out about verifying keys without keeping them: facts and prices.
//!
//! A transaction that registers a model is looked at again after every block that it waits for. More of them can wait
//! than decoded keys fit in memory; what the ledger asks about each is small, and is kept for all of them.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Answers by the hash of what was asked about, the oldest answer forgotten first.
#[derive(Debug)]
pub struct AnswerMemory<A> {
    limit: usize,
    answers: Mutex<Answers<A>>,
}

#[derive(Debug)]
struct Answers<A> {
    known: HashMap<[u8; 32], A>,
    /// The hashes of `known`, the oldest first.
    order: VecDeque<[u8; 32]>,
}

impl<A: Clone> AnswerMemory<A> {
    /// An empty memory for at most `limit` answers.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            answers: Mutex::new(Answers {
                known: HashMap::new(),
                order: VecDeque::new(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Answers<A>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer about `bytes`, which must follow from them alone.
    pub fn get(&self, bytes: &[u8], answer: impl FnOnce() -> A) -> A {
        let hash = *blake3::hash(bytes).as_bytes();
        if let Some(known) = self.lock().known.get(&hash) {
            return known.clone();
        }
        // Not under the lock: finding an answer may take long, and others go on meanwhile.
        let answer = answer();
        self.remember(hash, answer.clone());
        answer
    }

    fn remember(&self, hash: [u8; 32], answer: A) {
        let mut answers = self.lock();
        if answers.known.insert(hash, answer).is_none() {
            answers.order.push_back(hash);
        }
        while answers.order.len() > self.limit {
            let Some(oldest) = answers.order.pop_front() else {
                break;
            };
            answers.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Asks about each letter and counts how many were looked at.
    fn ask(memory: &AnswerMemory<u8>, letters: &str) -> usize {
        let looked = Cell::new(0);
        for letter in letters.bytes() {
            let answer = memory.get(&[letter], || {
                looked.set(looked.get() + 1);
                letter.to_ascii_uppercase()
            });
            assert_eq!(answer, letter.to_ascii_uppercase());
        }
        looked.get()
    }

    #[test]
    fn a_question_is_answered_once() {
        let memory = AnswerMemory::new(26);
        assert_eq!(ask(&memory, "abcabca"), 3);
        assert_eq!(ask(&memory, "cab"), 0);
    }

    #[test]
    fn the_oldest_answer_goes_first_and_no_more_stay_than_allowed() {
        let memory = AnswerMemory::new(2);
        assert_eq!(ask(&memory, "abc"), 3);
        assert_eq!(ask(&memory, "bc"), 0);
        assert_eq!(ask(&memory, "a"), 1);
        assert_eq!(ask(&memory, "b"), 1, "b was the oldest when a came back");
        assert_eq!(memory.lock().known.len(), 2);
        assert_eq!(ask(&AnswerMemory::new(0), "aaa"), 3);
    }
}
