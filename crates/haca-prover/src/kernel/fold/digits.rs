//! Challenges as digits of 13 bits, for kernels that multiply 16-bit integers.

use haca_zk::field::{Base, Extension};
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing, PrimeField64};

/// Digits that one challenge is cut into: five of 13 bits for each of three coefficients.
pub(crate) const DIGITS: usize = 15;
/// Rows whose digits are summed in 32 bits: `1024 * 2^13 * 2^7 < 2^31`.
pub(crate) const CHUNK: usize = 1024;

/// The digits of up to [`CHUNK`] challenges, one plane for each digit.
pub(crate) type Planes = Vec<[i16; CHUNK]>;

pub(crate) fn planes(coefficients: &[Extension]) -> Planes {
    let mut planes = vec![[0i16; CHUNK]; DIGITS];
    for (x, coefficient) in coefficients.iter().enumerate() {
        for (plane, digit) in planes.iter_mut().zip(split(*coefficient)) {
            plane[x] = digit;
        }
    }
    planes
}

/// Cuts a challenge into digits below `2^13`.
pub(crate) fn split(value: Extension) -> [i16; DIGITS] {
    let mut digits = [0i16; DIGITS];
    let coefficients: &[Base] = value.as_basis_coefficients_slice();
    for (chunk, coefficient) in digits.chunks_exact_mut(5).zip(coefficients) {
        let mut rest = coefficient.as_canonical_u64();
        for digit in chunk {
            *digit = (rest & 0x1fff) as i16;
            rest >>= 13;
        }
    }
    digits
}

/// Puts sums of digit products together again.
pub(crate) fn join(sums: &[i64; DIGITS]) -> Extension {
    let place = Base::from_u64(1 << 39);
    let coefficient = |s: &[i64]| {
        // Each sum is below 2^26 * 2^20 in magnitude, so neither half leaves i64 by more than the i128 covers.
        let low = i128::from(s[0]) + (i128::from(s[1]) << 13) + (i128::from(s[2]) << 26);
        let high = i128::from(s[3]) + (i128::from(s[4]) << 13);
        reduce(low) + reduce(high) * place
    };
    let mut chunks = sums.chunks_exact(5);
    let mut next = || chunks.next().map_or(Base::ZERO, coefficient);
    let coefficients = [next(), next(), next()];
    Extension::from_basis_coefficients_slice(&coefficients).unwrap_or(Extension::ZERO)
}

fn reduce(value: i128) -> Base {
    match i64::try_from(value) {
        Ok(small) => Base::from_i64(small),
        Err(_) => Base::from_u64(value.rem_euclid(i128::from(Base::ORDER_U64)) as u64),
    }
}
