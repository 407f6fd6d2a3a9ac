//! The hash function of transcript and leaves: BLAKE3, with short messages hashed side by side.
//!
//! A search for a witness of work hashes a digest and a candidate, 40 bytes, over and over, and a tree of short rows has
//! many short leaves. Messages of at most one block are one compression each, and eight of them fill the registers of a processor with AVX2. The code says nothing of
//! registers: it is written so that compilers see eight equal operations where BLAKE3 has one.

use p3_blake3::Blake3;
use p3_symmetric::CryptographicHasher;

/// BLAKE3 (<https://github.com/BLAKE3-team/BLAKE3-specs>), as transcript and trees call it.
#[derive(Clone, Copy, Debug)]
pub struct Sponge;

/// Messages that are hashed side by side.
const LANES: usize = 8;
/// Bytes of a block.
const BLOCK_BYTES: usize = 64;
/// Bytes of a digest.
const DIGEST_BYTES: usize = 32;
/// The initial chaining value (BLAKE3, section 2.2).
const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];
/// Flags of a block that is the whole input: chunk start, chunk end, root (BLAKE3, table 3).
const WHOLE_INPUT: u32 = 1 | 1 << 1 | 1 << 3;
impl CryptographicHasher<u8, [u8; DIGEST_BYTES]> for Sponge {
    const LANES: usize = LANES;

    fn hash_iter<I: IntoIterator<Item = u8>>(&self, input: I) -> [u8; DIGEST_BYTES] {
        Blake3.hash_iter(input)
    }

    fn hash_iter_slices<'a, I: IntoIterator<Item = &'a [u8]>>(&self, input: I) -> [u8; DIGEST_BYTES] {
        Blake3.hash_iter_slices(input)
    }

    fn hash_many(&self, input: &[u8], out: &mut [[u8; DIGEST_BYTES]]) {
        let length = input.len().checked_div(out.len()).unwrap_or(0);
        // Whole blocks go side by side in the library, too.
        if length == 0 || length >= BLOCK_BYTES {
            return Blake3.hash_many(input, out);
        }
        for (messages, digests) in input.chunks(length * LANES).zip(out.chunks_mut(LANES)) {
            let words = compress(&transposed(messages, length), length as u32);
            for (lane, digest) in digests.iter_mut().enumerate() {
                for (bytes, word) in digest.chunks_exact_mut(4).zip(&words) {
                    let word = word.get(lane).copied().unwrap_or_default();
                    bytes.copy_from_slice(&word.to_le_bytes());
                }
            }
        }
    }
}

/// The same word of each message.
type Word = [u32; LANES];

/// Messages of `length` bytes, at most a block: the words of each, zeros behind its end and for messages that are not there.
fn transposed(messages: &[u8], length: usize) -> [Word; 16] {
    let mut blocks = [[0; BLOCK_BYTES]; LANES];
    for (block, message) in blocks.iter_mut().zip(messages.chunks_exact(length)) {
        for (to, from) in block.iter_mut().zip(message) {
            *to = *from;
        }
    }
    let mut words = [[0; LANES]; 16];
    for (lane, block) in blocks.iter().enumerate() {
        for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
            if let Some(slot) = word.get_mut(lane) {
                *slot = u32::from_le_bytes(*bytes);
            }
        }
    }
    words
}

/// Digests of inputs of one block each, of `length` bytes (BLAKE3, section 2.2).
#[allow(
    clippy::indexing_slicing,
    reason = "lanes are below the length of every array"
)]
fn compress(block: &[Word; 16], length: u32) -> [Word; 8] {
    let mut digests = [[0; LANES]; 8];
    for lane in 0..LANES {
        let mut words = [0; 16];
        for (word, of_lanes) in words.iter_mut().zip(block) {
            *word = of_lanes[lane];
        }
        for (digest, word) in digests.iter_mut().zip(compress_one(&words, length)) {
            digest[lane] = word;
        }
    }
    digests
}

#[inline(always)]
fn compress_one(block: &[u32; 16], length: u32) -> [u32; 8] {
    let [h0, h1, h2, h3, h4, h5, h6, h7] = INITIAL;
    let mut state = [
        h0,
        h1,
        h2,
        h3,
        h4,
        h5,
        h6,
        h7,
        h0,
        h1,
        h2,
        h3,
        0,
        0,
        length,
        WHOLE_INPUT,
    ];
    // Rounds are written out: a loop over lanes becomes vectors where it holds no other loop.
    let block = round(&mut state, *block);
    let block = round(&mut state, block);
    let block = round(&mut state, block);
    let block = round(&mut state, block);
    let block = round(&mut state, block);
    let block = round(&mut state, block);
    round(&mut state, block);
    let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3] = state;
    [
        a0 ^ c0,
        a1 ^ c1,
        a2 ^ c2,
        a3 ^ c3,
        b0 ^ d0,
        b1 ^ d1,
        b2 ^ d2,
        b3 ^ d3,
    ]
}

/// One round (BLAKE3, section 2.2); gives the words in the order of the next (BLAKE3, table 2).
#[inline(always)]
const fn round(state: &mut [u32; 16], m: [u32; 16]) -> [u32; 16] {
    let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3] = state;
    quarter(a0, b0, c0, d0, m[0], m[1]);
    quarter(a1, b1, c1, d1, m[2], m[3]);
    quarter(a2, b2, c2, d2, m[4], m[5]);
    quarter(a3, b3, c3, d3, m[6], m[7]);
    quarter(a0, b1, c2, d3, m[8], m[9]);
    quarter(a1, b2, c3, d0, m[10], m[11]);
    quarter(a2, b3, c0, d1, m[12], m[13]);
    quarter(a3, b0, c1, d2, m[14], m[15]);
    [
        m[2], m[6], m[3], m[10], m[7], m[0], m[4], m[13], m[1], m[11], m[12], m[5], m[9], m[14], m[15], m[8],
    ]
}

/// The function that mixes four words of the state with two of the block (BLAKE3, section 2.2).
#[inline(always)]
const fn quarter(a: &mut u32, b: &mut u32, c: &mut u32, d: &mut u32, first: u32, second: u32) {
    *a = a.wrapping_add(*b).wrapping_add(first);
    *d = (*d ^ *a).rotate_right(16);
    *c = c.wrapping_add(*d);
    *b = (*b ^ *c).rotate_right(12);
    *a = a.wrapping_add(*b).wrapping_add(second);
    *d = (*d ^ *a).rotate_right(8);
    *c = c.wrapping_add(*d);
    *b = (*b ^ *c).rotate_right(7);
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Side by side or alone, of every length up to two blocks and of every number up to three groups.
        #[test]
        fn digests_are_those_of_blake3(
            length in 0..=2 * BLOCK_BYTES,
            bytes in prop::collection::vec(any::<u8>(), 2 * BLOCK_BYTES * 3 * LANES),
            count in 1..=3 * LANES,
        ) {
            let messages = &bytes[..count * length];
            let mut digests = vec![[0xff; DIGEST_BYTES]; count];
            Sponge.hash_many(messages, &mut digests);
            for (lane, digest) in digests.iter().enumerate() {
                let message = &messages[lane * length..(lane + 1) * length];
                prop_assert_eq!(*digest, *blake3::hash(message).as_bytes());
            }
        }
    }

    #[test]
    fn no_digests_of_nothing() {
        Sponge.hash_many(&[], &mut []);
    }
}
