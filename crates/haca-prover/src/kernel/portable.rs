//! Kernels in plain Rust: the reference for every other one.

use haca_zk::field::Extension;
use rayon::prelude::*;

use super::{CHUNK, DIGITS, join};

pub(super) fn dot(a: &[i8], b: &[i8]) -> i32 {
    let products = a.iter().zip(b).map(|(x, y)| i32::from(*x) * i32::from(*y));
    products.fold(0, i32::wrapping_add)
}

pub(super) fn fold_rows(matrix: &[i8], width: usize, digits: &[[i16; DIGITS]], out: &mut [Extension]) {
    let cell = |(x, out): (usize, &mut Extension)| {
        let mut sums = [0i64; DIGITS];
        for (row, digits) in matrix.chunks_exact(width).zip(digits) {
            let value = i64::from(row[x]);
            for (sum, digit) in sums.iter_mut().zip(digits) {
                *sum += value * i64::from(*digit);
            }
        }
        *out = join(&sums);
    };
    if matrix.len() > 1 << 15 {
        out.par_iter_mut().enumerate().for_each(cell);
    } else {
        out.iter_mut().enumerate().for_each(cell);
    }
}

/// `sum_x digits[x] * row[x]`, put together.
pub(super) fn weighted_sum(row: &[i8], digits: &[[i16; DIGITS]]) -> Extension {
    let mut sums = [0i64; DIGITS];
    for (row, digits) in row.chunks(CHUNK).zip(digits.chunks(CHUNK)) {
        let mut partial = [0i32; DIGITS];
        for (value, digits) in row.iter().zip(digits) {
            for (sum, digit) in partial.iter_mut().zip(digits) {
                *sum += i32::from(*value) * i32::from(*digit);
            }
        }
        for (sum, partial) in sums.iter_mut().zip(partial) {
            *sum += i64::from(partial);
        }
    }
    join(&sums)
}
