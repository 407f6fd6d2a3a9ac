//! The bytes under the transcript: BLAKE3 of all that was absorbed since the last digest, that digest first.
//!
//! The same function as `HashChallenger` of p3-challenger 0.8.0 over BLAKE3, whose bytes are read from the end of each
//! digest. That one keeps whatever it absorbs until it is asked for a challenge. The backend absorbs the sizes of all
//! tables for each claim of an opening before it asks for one: a key of many small tables would make a verifier keep
//! their product. This one hashes as it goes.

use p3_challenger::{ByteGrindingChallenger, CanObserve, CanSample, HashChallenger};

use crate::sponge::Sponge;

/// Bytes that are kept before they are hashed: enough for BLAKE3 to work on sixteen chunks at once.
const PENDING: usize = 16 * blake3::CHUNK_LEN;

/// A challenger of bytes over BLAKE3 that keeps a bounded number of them.
#[derive(Clone, Debug, Default)]
pub struct ByteChallenger {
    /// What was absorbed before `pending`, once it is more than that holds.
    absorbed: Option<Box<blake3::Hasher>>,
    /// At most [`PENDING`] bytes.
    pending: Vec<u8>,
    /// The last digest, of which the first `left` bytes are unused.
    digest: [u8; blake3::OUT_LEN],
    left: usize,
}

impl ByteChallenger {
    /// A challenger that has absorbed `seed`.
    pub fn new(seed: &[u8]) -> Self {
        let mut sponge = Self::default();
        sponge.observe_slice(seed);
        sponge
    }

    /// Hashes what was absorbed. The digest is the first that the next one absorbs.
    fn squeeze(&mut self) {
        let digest = match self.absorbed.take() {
            None => blake3::hash(&self.pending),
            Some(mut hasher) => hasher.update(&self.pending).finalize(),
        };
        self.digest = *digest.as_bytes();
        self.left = self.digest.len();
        self.pending.clear();
        self.pending.extend_from_slice(&self.digest);
    }
}

impl CanObserve<u8> for ByteChallenger {
    fn observe(&mut self, value: u8) {
        self.observe_slice(&[value]);
    }

    fn observe_slice(&mut self, values: &[u8]) {
        if values.is_empty() {
            return;
        }
        self.left = 0;
        for part in values.chunks(PENDING) {
            if self.pending.len() + part.len() > PENDING {
                self.absorbed.get_or_insert_default().update(&self.pending);
                self.pending.clear();
            }
            self.pending.extend_from_slice(part);
        }
    }
}

impl CanSample<u8> for ByteChallenger {
    fn sample(&mut self) -> u8 {
        if self.left == 0 {
            self.squeeze();
        }
        self.left = self.left.saturating_sub(1);
        self.digest.get(self.left).copied().unwrap_or_default()
    }
}

impl ByteGrindingChallenger for ByteChallenger {
    /// After a digest, which grinding draws first, there is little to absorb: the backend then tries many at once.
    fn find_witness<const W: usize, const S: usize>(
        &self,
        candidates: u64,
        encode: impl Fn(u64) -> [u8; W] + Sync,
        accepts: impl Fn([u8; S]) -> bool + Sync,
    ) -> Option<u64> {
        if self.absorbed.is_none() && W > 0 {
            let same = HashChallenger::<u8, Sponge, 32>::new(self.pending.clone(), Sponge);
            return same.find_witness(candidates, encode, accepts);
        }
        (0..candidates).find(|candidate| {
            let mut one = self.clone();
            one.observe_slice(&encode(*candidate));
            accepts(one.sample_array())
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use p3_blake3::Blake3;

    use super::*;

    type Theirs = HashChallenger<u8, Blake3, 32>;

    #[test]
    fn it_is_the_challenger_of_the_backend() {
        let mut random = 1u64;
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % below
        };
        let (mut ours, mut theirs) = (
            ByteChallenger::new(b"seed"),
            Theirs::new(b"seed".to_vec(), Blake3),
        );
        let sizes = [0, 1, 8, 31, PENDING - 40, PENDING, PENDING + 1, 3 * PENDING + 5];
        for round in 0..2_000 {
            if next(3) > 0 {
                let size = match round % 50 {
                    0 => sizes[next(sizes.len())],
                    _ => next(40),
                };
                let bytes: Vec<u8> = (0..size).map(|_| next(256) as u8).collect();
                ours.observe_slice(&bytes);
                theirs.observe_slice(&bytes);
                assert!(ours.pending.len() <= PENDING);
            } else {
                let count = next(70);
                let (found, expected): (Vec<u8>, Vec<u8>) =
                    (ours.sample_vec(count), theirs.sample_vec(count));
                assert_eq!(found, expected, "round {round}");
            }
        }
    }

    #[test]
    fn grinding_accepts_what_the_backend_accepts() {
        let long = vec![7; PENDING + 1];
        for seed in [&b"seed"[..], &long] {
            let (ours, theirs) = (ByteChallenger::new(seed), Theirs::new(seed.to_vec(), Blake3));
            let encode = |candidate: u64| candidate.to_le_bytes();
            let accepts = |bytes: [u8; 2]| bytes == [3, 1];
            let found = ours.find_witness(1 << 24, encode, accepts).unwrap();
            let mut theirs = theirs;
            theirs.observe_slice(&encode(found));
            assert!(accepts(theirs.sample_array()));
        }
    }
}
