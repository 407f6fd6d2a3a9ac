//! Folding with challenges: their bytes, unsigned, times the cells, signed.

use core::ops::Range;
use std::arch::x86_64::*;

use haca_zk::field::Extension;

use crate::kernel::fold::bytes::{self, BYTES, CHUNK, LANES, Sums, TERMS, join};

/// Sums are kept in registers for half of the bytes and half of the results.
const HALF: usize = BYTES / 2;
/// Steps of four terms in a chunk.
const STEPS: usize = CHUNK / 4;

/// The cells of four terms, for each of the results of a block.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Step([[i8; 64]; 4]);

/// [`bytes::words`], compiled for these registers.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(in super::super) fn words(challenges: &[Extension]) -> Vec<[u32; BYTES]> {
    bytes::words(challenges)
}

/// Adds `sum_t coefficients[t] * matrix[t * width + x]` to the results of `columns`, over at most [`TERMS`] rows, the
/// first a multiple of four.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(in super::super) fn fold_rows(
    matrix: &[i8],
    width: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    words: &[[u32; BYTES]],
    out: &mut [Extension],
) {
    let mut sums = vec![Sums([[0; LANES]; BYTES]); columns.len().div_ceil(LANES)];
    let mut steps = [Step([[0; 64]; 4]); STEPS];
    for first in rows.clone().step_by(CHUNK) {
        let last = (first + CHUNK).min(rows.end);
        let count = (last - first).div_ceil(4);
        let words = &words[first / 4..first / 4 + count];
        for (block, sums) in sums.iter_mut().enumerate() {
            let column = columns.start + block * LANES;
            let cells = column..(column + LANES).min(columns.end);
            for (step, row) in steps.iter_mut().zip((first..last).step_by(4)) {
                interleave(matrix, width, row..(row + 4).min(last), cells.clone(), step);
            }
            accumulate(&steps[..count], words, 4, sums);
        }
    }
    for (sums, out) in sums.iter().zip(out.chunks_mut(LANES)) {
        // Where `interleave` puts a column.
        join(sums, out, |x| x / 4 % 4 * 16 + x / 16 * 4 + x % 4);
    }
}

/// Brings the cells of four rows side by side, column by column; missing rows and columns are zero.
#[target_feature(enable = "avx512f,avx512bw")]
fn interleave(matrix: &[i8], width: usize, rows: Range<usize>, columns: Range<usize>, step: &mut Step) {
    let mask = u64::MAX >> (64 - columns.len());
    let mut cells = [_mm512_setzero_si512(); 4];
    for (cells, row) in cells.iter_mut().zip(rows) {
        let row = &matrix[row * width..(row + 1) * width];
        // The next block of the same rows.
        let next = row.get(columns.end..).unwrap_or_default();
        _mm_prefetch::<_MM_HINT_T0>(next.as_ptr());
        let row = &row[columns.clone()];
        // SAFETY: the mask leaves as many bytes as the slice has, 1 to 64.
        *cells = unsafe { _mm512_maskz_loadu_epi8(mask, row.as_ptr()) };
    }
    let [a, b, c, d] = cells;
    let (low, high) = (_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b));
    let (other_low, other_high) = (_mm512_unpacklo_epi8(c, d), _mm512_unpackhi_epi8(c, d));
    let quads = [
        _mm512_unpacklo_epi16(low, other_low),
        _mm512_unpackhi_epi16(low, other_low),
        _mm512_unpacklo_epi16(high, other_high),
        _mm512_unpackhi_epi16(high, other_high),
    ];
    for (to, quads) in step.0.iter_mut().zip(quads) {
        // SAFETY: 64 writable bytes, aligned.
        unsafe { _mm512_store_si512(to.as_mut_ptr().cast(), quads) };
    }
}

/// Adds `sum_x coefficients[x] * matrix[t * width + x]` to the results of all rows `t`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(in super::super) fn fold_columns(
    matrix: &[i8],
    width: usize,
    words: &[[u32; BYTES]],
    out: &mut [Extension],
) {
    let mut steps = [Step([[0; 64]; 4]); STEPS];
    let columns = width.min(words.len() * 4);
    for (rows, out) in matrix.chunks(LANES * width).zip(out.chunks_mut(LANES)) {
        for terms in (0..columns).step_by(TERMS) {
            let mut sums = Sums([[0; LANES]; BYTES]);
            let end = (terms + TERMS).min(columns);
            for first in (terms..end).step_by(CHUNK) {
                let last = (first + CHUNK).min(end);
                let count = (last - first).div_ceil(4);
                for (steps, column) in steps.chunks_exact_mut(4).zip((first..last).step_by(16)) {
                    transpose(rows, width, column..(column + 16).min(last), steps);
                }
                let vectors = out.len().div_ceil(16);
                let words = &words[first / 4..first / 4 + count];
                accumulate(&steps[..count], words, vectors, &mut sums);
            }
            join(&sums, out, |row| row);
        }
    }
}

/// Brings four columns of each row side by side, row by row; missing rows and columns are zero.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn transpose(rows: &[i8], width: usize, columns: Range<usize>, steps: &mut [Step]) {
    let mask = u16::MAX >> (16 - columns.len());
    let load = |row: usize| {
        let start = row * width;
        match rows.get(start + columns.start..start + columns.end) {
            // SAFETY: the mask leaves as many bytes as the slice has, 1 to 16.
            Some(cells) => unsafe { _mm_maskz_loadu_epi8(mask, cells.as_ptr()) },
            None => _mm_setzero_si128(),
        }
    };
    let count = (rows.len() / width).div_ceil(16);
    for vector in 0..count {
        let four = |row: usize| {
            let row = 16 * vector + row;
            let first = _mm512_castsi128_si512(load(row));
            let second = _mm512_inserti32x4::<1>(first, load(row + 4));
            let third = _mm512_inserti32x4::<2>(second, load(row + 8));
            _mm512_inserti32x4::<3>(third, load(row + 12))
        };
        let (a, b, c, d) = (four(0), four(1), four(2), four(3));
        let (low, other_low) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
        let (high, other_high) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
        let quads = [
            _mm512_unpacklo_epi64(low, other_low),
            _mm512_unpackhi_epi64(low, other_low),
            _mm512_unpacklo_epi64(high, other_high),
            _mm512_unpackhi_epi64(high, other_high),
        ];
        for (step, quads) in steps.iter_mut().zip(quads) {
            // SAFETY: 64 writable bytes, aligned.
            unsafe { _mm512_store_si512(step.0[vector].as_mut_ptr().cast(), quads) };
        }
    }
}

/// Adds the products of the bytes of `words` and the cells of the first `vectors` vectors of `steps`.
#[target_feature(enable = "avx512f,avx512vnni")]
fn accumulate(steps: &[Step], words: &[[u32; BYTES]], vectors: usize, sums: &mut Sums) {
    for half in 0..2 {
        match vectors {
            1 => products::<1>(steps, words, half * HALF, 0, sums),
            2 => products::<2>(steps, words, half * HALF, 0, sums),
            3 => {
                products::<2>(steps, words, half * HALF, 0, sums);
                products::<1>(steps, words, half * HALF, 2, sums);
            }
            _ => {
                products::<2>(steps, words, half * HALF, 0, sums);
                products::<2>(steps, words, half * HALF, 2, sums);
            }
        }
    }
}

/// Half of the bytes, from `byte` on, and `V` vectors of cells, from `vector` on.
#[target_feature(enable = "avx512f,avx512vnni")]
fn products<const V: usize>(
    steps: &[Step],
    words: &[[u32; BYTES]],
    byte: usize,
    vector: usize,
    sums: &mut Sums,
) {
    let lanes = &mut sums.0[byte..byte + HALF];
    let mut registers = [[_mm512_setzero_si512(); V]; HALF];
    for (registers, lanes) in registers.iter_mut().zip(&*lanes) {
        for (register, lanes) in registers.iter_mut().zip(lanes[vector * 16..].chunks_exact(16)) {
            // SAFETY: sixteen lanes are 64 readable bytes; unaligned loads are allowed.
            *register = unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) };
        }
    }
    for (step, words) in steps.iter().zip(words) {
        let mut cells = [_mm512_setzero_si512(); V];
        for (cells, from) in cells.iter_mut().zip(&step.0[vector..vector + V]) {
            // SAFETY: 64 readable bytes, aligned.
            *cells = unsafe { _mm512_load_si512(from.as_ptr().cast()) };
        }
        for (registers, word) in registers.iter_mut().zip(&words[byte..byte + HALF]) {
            let bytes = _mm512_set1_epi32(word.cast_signed());
            for (register, cells) in registers.iter_mut().zip(cells) {
                *register = _mm512_dpbusd_epi32(*register, bytes, cells);
            }
        }
    }
    for (registers, lanes) in registers.iter().zip(lanes) {
        for (register, lanes) in registers.iter().zip(lanes[vector * 16..].chunks_exact_mut(16)) {
            // SAFETY: sixteen lanes are 64 writable bytes; unaligned stores are allowed.
            unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), *register) };
        }
    }
}
