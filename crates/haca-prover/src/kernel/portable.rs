//! Kernels in plain Rust: the reference for every other one.

use haca_zk::field::Extension;
use rayon::prelude::*;

use super::{CHUNK, DIGITS, Planes, join};

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

/// Adds `sum_x planes[q][x] * row[x]` to `sums[q]`, for a row of at most a chunk.
#[inline]
pub(super) fn add_weighted(row: &[i8], planes: &Planes, sums: &mut [i64; DIGITS]) {
    let mut wide = [0i16; CHUNK];
    wide.iter_mut()
        .zip(row)
        .for_each(|(wide, value)| *wide = i16::from(*value));
    for (sum, plane) in sums.iter_mut().zip(planes) {
        let products = plane
            .iter()
            .zip(&wide)
            .map(|(digit, value)| i32::from(*digit) * i32::from(*value));
        *sum += i64::from(products.sum::<i32>());
    }
}
