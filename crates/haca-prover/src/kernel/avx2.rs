//! Kernels for x86-64 processors with AVX2.
#![allow(unsafe_code, reason = "vector intrinsics; each block says why it is sound")]

use std::arch::x86_64::*;

use haca_zk::field::Extension;
use rayon::prelude::*;

use super::fold::digits::{CHUNK, DIGITS, Planes, join};
use super::matrix::Task;
use super::portable;
use super::unrolled::unrolled;

/// Columns of one block of work.
const BLOCK: usize = 256;

#[target_feature(enable = "avx2")]
pub(super) fn multiply(task: &Task<'_>, output: &mut [i32]) {
    for block in 0..task.count {
        let mut row = 0;
        while row < task.starts.len() {
            let rows = match task.starts.len() - row {
                3.. => 3,
                _ => 1,
            };
            match rows {
                3 => tile::<3>(task, row, block, output),
                _ => tile::<1>(task, row, block, output),
            }
            row += rows;
        }
    }
}

/// The results of the `R` rows from `row` on and one block. A register sums the two halves of four channels.
#[target_feature(enable = "avx2")]
fn tile<const R: usize>(task: &Task<'_>, row: usize, block: usize, output: &mut [i32]) {
    let blocks = task.blocks;
    let mut sums = [[_mm256_setzero_si256(); 4]; R];
    let starts: &[usize; R] = match task.starts[row..].first_chunk() {
        Some(starts) => starts,
        None => return,
    };
    let first = (task.first + block) * blocks.per_block;
    let mut quads = blocks.quads[first..first + blocks.per_block].iter();
    for piece in task.pieces {
        for (quad, cells) in quads.by_ref().take(task.per_piece).enumerate() {
            let mut xs = [_mm256_setzero_si256(); R];
            unrolled!(r < R, {
                // SAFETY: a task says that `start + piece + 4 * per_piece` is inside the input.
                let elements: i32 = unsafe {
                    let first = task.input.as_ptr().add(starts[r] + piece + 4 * quad);
                    first.cast::<i32>().read_unaligned()
                };
                xs[r] = _mm256_cvtepi8_epi16(_mm_set1_epi32(elements));
            });
            unrolled!(part < 4, {
                // SAFETY: a quad is four times 16 readable bytes, aligned.
                let weights = unsafe { _mm_load_si128(cells.0.as_ptr().cast::<__m128i>().add(part)) };
                let weights = _mm256_cvtepi8_epi16(weights);
                unrolled!(r < R, {
                    sums[r][part] = _mm256_add_epi32(sums[r][part], _mm256_madd_epi16(xs[r], weights));
                });
            });
        }
    }
    let bias = &blocks.bias[task.first + block];
    for (r, sums) in sums.iter().enumerate() {
        let mut results = *bias;
        for (results, sum) in results.chunks_exact_mut(4).zip(sums) {
            for (result, halves) in results.iter_mut().zip(lanes(*sum).chunks_exact(2)) {
                *result = result.wrapping_add(halves[0]).wrapping_add(halves[1]);
            }
        }
        let (at, count) = (task.at(row + r, block), task.lanes(block));
        output[at..at + count].copy_from_slice(&results[..count]);
    }
}

/// The eight 32-bit lanes of a register.
#[target_feature(enable = "avx2")]
fn lanes(register: __m256i) -> [i32; 8] {
    let mut out = [0; 8];
    // SAFETY: `out` is 32 writable bytes; unaligned stores are allowed.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), register) };
    out
}

/// `width` is a multiple of 16.
pub(super) fn fold_rows(matrix: &[i8], width: usize, digits: &[[i16; DIGITS]], out: &mut [Extension]) {
    // Digits of two rows side by side, as the operand of a pairwise multiply-add.
    let pairs: Vec<[i32; DIGITS]> = digits
        .chunks(2)
        .map(|rows| {
            core::array::from_fn(|q| {
                let second = rows.get(1).map_or(0, |row| row[q]);
                i32::from(rows[0][q]) | (i32::from(second) << 16)
            })
        })
        .collect();
    let work = |(block, out): (usize, &mut [Extension])| {
        for (step, out) in out.chunks_exact_mut(16).enumerate() {
            // SAFETY: the caller has checked that the processor has AVX2.
            unsafe {
                fold_sixteen(
                    matrix,
                    width,
                    digits.len(),
                    block * BLOCK + step * 16,
                    &pairs,
                    out,
                )
            };
        }
    };
    if matrix.len() > 1 << 15 {
        out.par_chunks_mut(BLOCK).enumerate().for_each(work);
    } else {
        out.chunks_mut(BLOCK).enumerate().for_each(work);
    }
}

/// Folds the sixteen columns from `column` on.
#[target_feature(enable = "avx2")]
fn fold_sixteen(
    matrix: &[i8],
    width: usize,
    rows: usize,
    column: usize,
    pairs: &[[i32; DIGITS]],
    out: &mut [Extension],
) {
    let load = |row: usize| {
        let start = row * width + column;
        match matrix.get(start..start + 16) {
            // SAFETY: the slice is 16 readable bytes; unaligned loads are allowed.
            Some(cells) if row < rows => unsafe {
                _mm256_cvtepi8_epi16(_mm_loadu_si128(cells.as_ptr().cast()))
            },
            _ => _mm256_setzero_si256(),
        }
    };
    let mut totals = [[0i64; DIGITS]; 16];
    for (chunk, pairs) in pairs.chunks(CHUNK / 2).enumerate() {
        for group in 0..DIGITS / 5 {
            let mut sums = [_mm256_setzero_si256(); 10];
            for (index, pair) in pairs.iter().enumerate() {
                let row = 2 * (chunk * (CHUNK / 2) + index);
                let (even, odd) = (load(row), load(row + 1));
                let low = _mm256_unpacklo_epi16(even, odd);
                let high = _mm256_unpackhi_epi16(even, odd);
                for q in 0..5 {
                    let digit = _mm256_set1_epi32(pair[group * 5 + q]);
                    sums[2 * q] = _mm256_add_epi32(sums[2 * q], _mm256_madd_epi16(low, digit));
                    sums[2 * q + 1] = _mm256_add_epi32(sums[2 * q + 1], _mm256_madd_epi16(high, digit));
                }
            }
            for q in 0..5 {
                let (low, high) = (lanes(sums[2 * q]), lanes(sums[2 * q + 1]));
                for i in 0..4 {
                    totals[i][group * 5 + q] += i64::from(low[i]);
                    totals[4 + i][group * 5 + q] += i64::from(high[i]);
                    totals[8 + i][group * 5 + q] += i64::from(low[4 + i]);
                    totals[12 + i][group * 5 + q] += i64::from(high[4 + i]);
                }
            }
        }
    }
    for (out, total) in out.iter_mut().zip(&totals) {
        *out = join(total);
    }
}

pub(super) fn add_weighted(row: &[i8], planes: &Planes, sums: &mut [i64; DIGITS]) {
    // SAFETY: the caller has checked that the processor has AVX2.
    unsafe { add_weighted_wide(row, planes, sums) }
}

/// The portable loop, compiled for wider registers.
#[target_feature(enable = "avx2")]
fn add_weighted_wide(row: &[i8], planes: &Planes, sums: &mut [i64; DIGITS]) {
    portable::add_weighted(row, planes, sums);
}
