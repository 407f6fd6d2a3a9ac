//! Challenges as bytes, for kernels that multiply bytes.

use haca_zk::field::{Base, Extension};
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing, PrimeField64};

/// Bytes of one challenge: eight for each of three coefficients.
pub(crate) const BYTES: usize = 24;
/// Results of one block of work.
pub(crate) const LANES: usize = 64;
/// Terms whose sums stay inside 32 bits: `2^16 * 255 * 128 < 2^31`.
pub(crate) const TERMS: usize = 1 << 16;
/// Terms that are summed before the sums go back to memory.
pub(crate) const CHUNK: usize = 256;

/// Sums of one block of results: one for each byte of the challenges, by result.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Sums(pub(crate) [[i32; LANES]; BYTES]);

/// For every four challenges and every byte, the bytes of the four behind one another; padded with zeros to sixteen
/// challenges.
#[inline(always)]
pub(crate) fn words(challenges: &[Extension]) -> Vec<[u32; BYTES]> {
    let mut words = vec![[0u32; BYTES]; challenges.len().div_ceil(16) * 4];
    for (words, challenges) in words.iter_mut().zip(challenges.chunks(4)) {
        let mut bytes = [[0u8; BYTES]; 4];
        for (bytes, challenge) in bytes.iter_mut().zip(challenges) {
            let coefficients: &[Base] = challenge.as_basis_coefficients_slice();
            for (bytes, coefficient) in bytes.chunks_exact_mut(8).zip(coefficients) {
                bytes.copy_from_slice(&coefficient.as_canonical_u64().to_le_bytes());
            }
        }
        let [a, b, c, d] = bytes;
        for (index, word) in words.iter_mut().enumerate() {
            *word = u32::from_le_bytes([a[index], b[index], c[index], d[index]]);
        }
    }
    words
}

/// Adds what the sums stand for to `out`; `lane` says which lane has the sums of a result.
#[inline(always)]
pub(crate) fn join(sums: &Sums, out: &mut [Extension], lane: impl Fn(usize) -> usize) {
    let mut coefficients = [[0u64; LANES]; 3];
    for (coefficients, sums) in coefficients.iter_mut().zip(sums.0.chunks_exact(8)) {
        for (lane, coefficient) in coefficients.iter_mut().enumerate() {
            let four = |first: usize| {
                let term = |place: usize| i64::from(sums[first + place][lane]) << (8 * place);
                term(0) + term(1) + term(2) + term(3)
            };
            *coefficient = reduced(four(0), four(4));
        }
    }
    for (index, out) in out.iter_mut().enumerate() {
        let lane = lane(index);
        let base = |place: usize| Base::from_u64(coefficients[place][lane]);
        let value = Extension::from_basis_coefficients_slice(&[base(0), base(1), base(2)]);
        *out += value.unwrap_or(Extension::ZERO);
    }
}

/// `low + 2^32 * high` modulo the order `2^64 - 2^32 + 1`, for both below `2^56` in magnitude.
#[inline(always)]
fn reduced(low: i64, high: i64) -> u64 {
    const EPSILON: u64 = (1 << 32) - 1;
    // 2^64 is 2^32 - 1 modulo the order, so the upper half of `high` goes to the small summand, below 2^58.
    let small = low + (high >> 32) * EPSILON as i64;
    let small = if small < 0 {
        small.cast_unsigned().wrapping_add(Base::ORDER_U64)
    } else {
        small.cast_unsigned()
    };
    // The other summand is below the order, so a carry leaves room for what it stands for.
    let (sum, carry) = (high.cast_unsigned() << 32).overflowing_add(small);
    sum.wrapping_add(if carry { EPSILON } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Halves at their ends, and such that a sum is just below or above zero, or carries.
    #[test]
    fn reduction_is_exact() {
        let most = (1i64 << 56) - 1;
        let mut ends = vec![0, 1, -1, most, -most];
        for bits in [31, 32, 33, 55] {
            let near = (-2..3).map(|by| (1i64 << bits) + by);
            ends.extend(near.flat_map(|end| [end, -end]));
        }
        for low in &ends {
            for high in &ends {
                let order = i128::from(Base::ORDER_U64);
                let expected = (i128::from(*low) + (i128::from(*high) << 32)).rem_euclid(order);
                let found = i128::from(reduced(*low, *high)).rem_euclid(order);
                assert_eq!(found, expected, "{low} {high}");
            }
        }
    }
}
