//! Kernels for x86-64 processors with AVX2.
#![allow(unsafe_code, reason = "vector intrinsics; each block says why it is sound")]

use std::arch::x86_64::*;

use haca_zk::field::Extension;
use rayon::prelude::*;

use super::{CHUNK, DIGITS, Planes, join, portable};

/// Columns of one block of work.
const BLOCK: usize = 256;

pub(super) fn dot(a: &[i8], b: &[i8]) -> i32 {
    let len = a.len().min(b.len());
    let whole = len & !15;
    // SAFETY: the caller has checked that the processor has AVX2.
    let sum = unsafe { dot_whole(&a[..whole], &b[..whole]) };
    sum.wrapping_add(portable::dot(&a[whole..len], &b[whole..len]))
}

/// Both slices have the same length, a multiple of 16.
#[target_feature(enable = "avx2")]
fn dot_whole(a: &[i8], b: &[i8]) -> i32 {
    let mut sum = _mm256_setzero_si256();
    for (a, b) in a.chunks_exact(16).zip(b.chunks_exact(16)) {
        // SAFETY: both chunks are 16 readable bytes; unaligned loads are allowed.
        let (a, b) = unsafe {
            (
                _mm_loadu_si128(a.as_ptr().cast()),
                _mm_loadu_si128(b.as_ptr().cast()),
            )
        };
        let product = _mm256_madd_epi16(_mm256_cvtepi8_epi16(a), _mm256_cvtepi8_epi16(b));
        sum = _mm256_add_epi32(sum, product);
    }
    lanes(sum).into_iter().fold(0, i32::wrapping_add)
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
