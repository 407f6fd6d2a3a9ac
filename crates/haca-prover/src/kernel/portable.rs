//! Kernels in plain Rust: the reference for every other one.

use haca_zk::field::Extension;
use rayon::prelude::*;

use super::fold::digits::{CHUNK, DIGITS, Planes, join};
use super::matrix::Task;

pub(super) fn multiply(task: &Task<'_>, output: &mut [i32]) {
    let blocks = task.blocks;
    for block in 0..task.count {
        let first = (task.first + block) * blocks.per_block;
        let quads = &blocks.quads[first..first + blocks.per_block];
        for (row, start) in task.starts.iter().enumerate() {
            let mut sums = blocks.bias[task.first + block];
            for (piece, quads) in task.pieces.iter().zip(quads.chunks_exact(task.per_piece.max(1))) {
                let elements = &task.input[start + piece..];
                for (quad, x) in quads.iter().zip(elements.chunks_exact(4)) {
                    for (sum, w) in sums.iter_mut().zip(quad.0.chunks_exact(4)) {
                        let products = w.iter().zip(x).map(|(w, x)| i32::from(*w) * i32::from(*x));
                        *sum = sum.wrapping_add(products.sum());
                    }
                }
            }
            let at = task.at(row, block);
            let lanes = task.lanes(block);
            output[at..at + lanes].copy_from_slice(&sums[..lanes]);
        }
    }
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
            .zip(&wide[..row.len()])
            .map(|(digit, value)| i32::from(*digit) * i32::from(*value));
        *sum += i64::from(products.sum::<i32>());
    }
}
