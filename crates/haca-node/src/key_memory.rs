//! Remembers decoded verifying keys, so that a key is not decoded for each proof of its model, nor for each look at
//! the transaction that registers it.
//!
//! What is remembered is the outcome of a pure function under a hash of its argument; forgetting changes nothing but
//! time. A malformed key is remembered, too: finding out that it is may take as long as decoding a sound one.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What a memory of verifying keys may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLimits {
    /// Keys, malformed ones included.
    pub keys: usize,
    /// Bytes of all decoded keys together.
    pub bytes: usize,
    /// Keys whose facts and prices are kept, decoded or not: more than registrations wait at once.
    pub answers: usize,
}

impl Default for KeyLimits {
    fn default() -> Self {
        Self {
            keys: 256,
            bytes: 64 << 20,
            answers: 1 << 13,
        }
    }
}

#[derive(Debug)]
struct Known<K> {
    hash: [u8; 32],
    bytes: usize,
    key: Result<Arc<K>, &'static str>,
}

/// The keys asked for last, the latest first.
#[derive(Debug)]
pub struct KeyMemory<K> {
    limits: KeyLimits,
    known: Mutex<VecDeque<Known<K>>>,
}

impl<K> Default for KeyMemory<K> {
    fn default() -> Self {
        Self::new(KeyLimits::default())
    }
}

impl<K> KeyMemory<K> {
    /// An empty memory.
    pub const fn new(limits: KeyLimits) -> Self {
        Self {
            limits,
            known: Mutex::new(VecDeque::new()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Known<K>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The decoded key, or why it is none. `decode` gives it with the bytes of memory that it takes, and must depend on
    /// the bytes alone.
    pub fn get(
        &self,
        verifying_key: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<(K, usize), &'static str>,
    ) -> Result<Arc<K>, &'static str> {
        let hash = *blake3::hash(verifying_key).as_bytes();
        if let Some(key) = self.recall(&hash) {
            return key;
        }
        // Not under the lock: others go on meanwhile. Two that want the same new key both decode it.
        let (key, bytes) = match decode(verifying_key) {
            Ok((key, bytes)) => (Ok(Arc::new(key)), bytes),
            Err(code) => (Err(code), 0),
        };
        self.remember(Known {
            hash,
            bytes,
            key: key.clone(),
        });
        key
    }

    fn recall(&self, hash: &[u8; 32]) -> Option<Result<Arc<K>, &'static str>> {
        let mut known = self.lock();
        let place = known.iter().position(|known| known.hash == *hash)?;
        let found = known.remove(place)?;
        let key = found.key.clone();
        known.push_front(found);
        Some(key)
    }

    fn remember(&self, new: Known<K>) {
        // One key that fills all the memory would push out every other one.
        if new.bytes > self.limits.bytes {
            return;
        }
        let mut known = self.lock();
        known.retain(|known| known.hash != new.hash);
        known.push_front(new);
        let mut bytes = known
            .iter()
            .fold(0usize, |sum, known| sum.saturating_add(known.bytes));
        while known.len() > self.limits.keys || bytes > self.limits.bytes {
            let Some(oldest) = known.pop_back() else { break };
            bytes = bytes.saturating_sub(oldest.bytes);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Asks for keys of one letter, each as large as the letter stands in the alphabet; capitals are malformed.
    struct Asker {
        memory: KeyMemory<String>,
        decoded: Cell<usize>,
    }

    impl Asker {
        fn new(keys: usize, bytes: usize) -> Self {
            Self {
                memory: KeyMemory::new(KeyLimits {
                    keys,
                    bytes,
                    answers: 0,
                }),
                decoded: Cell::new(0),
            }
        }

        /// The answers, and how many keys were decoded for them.
        fn ask(&self, keys: &str) -> (Vec<Result<String, &'static str>>, usize) {
            let before = self.decoded.get();
            let decode = |bytes: &[u8]| {
                self.decoded.set(self.decoded.get() + 1);
                match bytes[0] {
                    letter @ b'a'..=b'z' => {
                        Ok((char::from(letter).to_string(), usize::from(letter - b'a' + 1)))
                    }
                    _ => Err("test.malformed"),
                }
            };
            let answer = |key: char| {
                let key = self.memory.get(key.to_string().as_bytes(), decode);
                key.map(|key| key.as_ref().clone())
            };
            (keys.chars().map(answer).collect(), self.decoded.get() - before)
        }
    }

    #[test]
    fn a_key_is_decoded_once() {
        let asker = Asker::new(8, 100);
        assert_eq!(asker.ask("abab").1, 2);
        assert_eq!(asker.ask("aabb").1, 0);
        assert_eq!(asker.ask("AAa").1, 1, "nor is a malformed one looked at again");
    }

    #[test]
    fn the_key_asked_for_longest_ago_goes_first() {
        let asker = Asker::new(2, 100);
        assert_eq!(asker.ask("abac").1, 3);
        assert_eq!(asker.ask("a").1, 0);
        assert_eq!(asker.ask("b").1, 1);
        let asker = Asker::new(9, 6);
        assert_eq!(asker.ask("abcd").1, 4);
        assert_eq!(asker.ask("d").1, 0);
        assert_eq!(asker.ask("c").1, 1, "c and d are more than six bytes");
    }

    #[test]
    fn a_key_larger_than_the_memory_is_not_kept_and_pushes_nothing_out() {
        let asker = Asker::new(9, 6);
        assert_eq!(asker.ask("ab").1, 2);
        assert_eq!(asker.ask("zz").1, 2);
        assert_eq!(asker.ask("ab").1, 0);
    }

    #[test]
    fn answers_do_not_depend_on_what_is_remembered() {
        let questions = "abcABzabcCAazbB";
        let (expected, _) = Asker::new(100, 1000).ask(questions);
        for (keys, bytes) in [(0, 0), (0, 100), (1, 100), (3, 4), (100, 0)] {
            let asker = Asker::new(keys, bytes);
            assert_eq!(asker.ask(questions).0, expected);
            assert!(asker.memory.lock().len() <= keys);
        }
        assert_eq!(Asker::new(0, 0).ask("aaa").1, 3);
    }
}
