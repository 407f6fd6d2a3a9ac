//! Integer kernels, chosen at run time by what the processor offers. All give the same bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod portable;

use haca_zk::field::{Base, Extension};
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing, PrimeField64};
use rayon::prelude::*;

/// Digits that one challenge is cut into: five of 13 bits for each of three coefficients.
pub(crate) const DIGITS: usize = 15;
/// Rows whose digits are summed in 32 bits: `1024 * 2^13 * 2^7 < 2^31`.
const CHUNK: usize = 1024;

/// Whether the processor has AVX2.
fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("avx2")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// The dot product of two int8 vectors of equal length; exact for fewer than `2^16` elements, which wrap beyond.
pub(crate) fn dot(a: &[i8], b: &[i8]) -> i32 {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        return avx2::dot(a, b);
    }
    portable::dot(a, b)
}

/// `out[x] = sum_t coefficients[t] * matrix[t * width + x]`, for a row-major int8 matrix.
pub(crate) fn fold_rows(matrix: &[i8], width: usize, coefficients: &[Extension]) -> Vec<Extension> {
    let digits: Vec<[i16; DIGITS]> = coefficients.iter().map(|c| split(*c)).collect();
    let mut out = vec![Extension::ZERO; width];
    #[cfg(target_arch = "x86_64")]
    if has_avx2() && width.is_multiple_of(16) {
        avx2::fold_rows(matrix, width, &digits, &mut out);
        return out;
    }
    portable::fold_rows(matrix, width, &digits, &mut out);
    out
}

/// `out[t] = sum_x coefficients[x] * matrix[t * width + x]`.
pub(crate) fn fold_columns(matrix: &[i8], width: usize, coefficients: &[Extension]) -> Vec<Extension> {
    let planes: Vec<Planes> = coefficients.chunks(CHUNK).map(planes).collect();
    let row = |row: &[i8]| {
        let mut sums = [0i64; DIGITS];
        for (row, planes) in row.chunks(CHUNK).zip(&planes) {
            add_weighted(row, planes, &mut sums);
        }
        join(&sums)
    };
    if matrix.len() > 1 << 15 {
        matrix.par_chunks_exact(width).map(row).collect()
    } else {
        matrix.chunks_exact(width).map(row).collect()
    }
}

/// The digits of up to [`CHUNK`] challenges, one plane for each digit.
type Planes = Vec<[i16; CHUNK]>;

fn planes(coefficients: &[Extension]) -> Planes {
    let mut planes = vec![[0i16; CHUNK]; DIGITS];
    for (x, coefficient) in coefficients.iter().enumerate() {
        for (plane, digit) in planes.iter_mut().zip(split(*coefficient)) {
            plane[x] = digit;
        }
    }
    planes
}

/// Adds the digit products of one chunk of a row.
fn add_weighted(row: &[i8], planes: &Planes, sums: &mut [i64; DIGITS]) {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        avx2::add_weighted(row, planes, sums);
        return;
    }
    portable::add_weighted(row, planes, sums);
}

/// Cuts a challenge into digits below `2^13`.
fn split(value: Extension) -> [i16; DIGITS] {
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
fn join(sums: &[i64; DIGITS]) -> Extension {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn bytes(count: usize, mut state: u64) -> Vec<i8> {
        (0..count)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8 as i8
            })
            .collect()
    }

    fn challenges(count: usize) -> Vec<Extension> {
        let raw = |i: usize, j: usize| {
            Base::from_u64(((i * 3 + j) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1)
        };
        let one = |i| Extension::from_basis_coefficients_slice(&[raw(i, 0), raw(i, 1), raw(i, 2)]).unwrap();
        (1..=count).map(one).collect()
    }

    #[test]
    fn dispatched_dot_equals_the_portable_one() {
        for len in [0, 1, 15, 16, 31, 32, 33, 64, 100, 1024] {
            let (a, b) = (bytes(len, 1), bytes(len, 2));
            let expected: i64 = a.iter().zip(&b).map(|(x, y)| i64::from(*x) * i64::from(*y)).sum();
            assert_eq!(i64::from(dot(&a, &b)), expected, "{len}");
            assert_eq!(i64::from(portable::dot(&a, &b)), expected, "{len}");
        }
        let worst = vec![-128i8; 4096];
        assert_eq!(dot(&worst, &worst), 4096 * 128 * 128);
    }

    #[test]
    fn folds_equal_field_arithmetic() {
        for (rows, width) in [(1, 1), (3, 16), (5, 64), (2050, 16), (7, 8)] {
            let matrix = bytes(rows * width, 3);
            let weights = challenges(rows);
            let entry = |t: usize, x: usize| Base::from_i64(i64::from(matrix[t * width + x]));
            let expected: Vec<Extension> = (0..width)
                .map(|x| (0..rows).map(|t| weights[t] * entry(t, x)).sum())
                .collect();
            assert_eq!(fold_rows(&matrix, width, &weights), expected, "{rows}x{width}");
            let weights = challenges(width);
            let expected: Vec<Extension> = (0..rows)
                .map(|t| (0..width).map(|x| weights[x] * entry(t, x)).sum())
                .collect();
            assert_eq!(fold_columns(&matrix, width, &weights), expected, "{rows}x{width}");
        }
    }
}
