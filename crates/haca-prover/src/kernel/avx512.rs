//! Kernels for x86-64 processors with AVX-512 and its VNNI.
#![allow(unsafe_code, reason = "vector intrinsics; each block says why it is sound")]

mod fold;

use std::arch::x86_64::*;

pub(super) use fold::{fold_columns, fold_rows, words};

use super::matrix::{LANES, Task};
use super::unrolled::unrolled;

/// One row is multiplied with up to eight blocks at a time; several rows with up to four, so that the sums stay in
/// registers.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn multiply(task: &Task<'_>, output: &mut [i32]) {
    let most = if task.starts.len() == 1 { 8 } else { 4 };
    let mut block = 0;
    while block < task.count {
        let blocks = (task.count - block).min(most);
        match blocks {
            1 => rows::<1>(task, block, output),
            2 => rows::<2>(task, block, output),
            3 => rows::<3>(task, block, output),
            4 => rows::<4>(task, block, output),
            5 => tile::<1, 5>(task, 0, block, output),
            6 => tile::<1, 6>(task, 0, block, output),
            7 => tile::<1, 7>(task, 0, block, output),
            _ => tile::<1, 8>(task, 0, block, output),
        }
        block += blocks;
    }
}

/// All rows times `B` blocks, as many rows at a time as there are registers for: of sums, and of addresses of rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn rows<const B: usize>(task: &Task<'_>, block: usize, output: &mut [i32]) {
    let mut row = 0;
    while row < task.starts.len() {
        let left = task.starts.len() - row;
        let rows = match (B, left) {
            (..=3, 8..) => 8,
            (4.., 6..) => 6,
            (_, 4..) => 4,
            (_, 2..) => 2,
            _ => 1,
        };
        match rows {
            8 => tile::<8, B>(task, row, block, output),
            6 => tile::<6, B>(task, row, block, output),
            4 => tile::<4, B>(task, row, block, output),
            2 => tile::<2, B>(task, row, block, output),
            _ => tile::<1, B>(task, row, block, output),
        }
        row += rows;
    }
}

/// The results of the `R` rows from `row` on and the `B` blocks from `block` on. The input is shifted.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn tile<const R: usize, const B: usize>(task: &Task<'_>, row: usize, block: usize, output: &mut [i32]) {
    let blocks = task.blocks;
    let Some(starts) = task.starts[row..].first_chunk::<R>() else {
        return;
    };
    let mut sums = [[_mm512_setzero_si512(); B]; R];
    unrolled!(b < B, {
        let bias = &blocks.shifted_bias[task.first + block + b];
        // SAFETY: the bias is 64 readable bytes; unaligned loads are allowed.
        let bias = unsafe { _mm512_loadu_si512(bias.as_ptr().cast()) };
        unrolled!(r < R, { sums[r][b] = bias });
    });
    let per_block = blocks.per_block;
    let quads = &blocks.quads[(task.first + block) * per_block..(task.first + block + B) * per_block];
    let mut at = quads.as_ptr();
    for piece in task.pieces {
        let mut elements = [task.input.as_ptr(); R];
        unrolled!(r < R, {
            // SAFETY: a task says that `start + piece + 4 * per_piece` is inside the input.
            elements[r] = unsafe { elements[r].add(starts[r] + piece) }
        });
        for quad in 0..task.per_piece {
            let mut weights = [_mm512_setzero_si512(); B];
            unrolled!(b < B, {
                // SAFETY: `at` is below the end of the first block, since the pieces fill the quads of a block, and
                // `quads` are those of `B` blocks; a quad is 64 bytes, aligned.
                weights[b] = unsafe { _mm512_load_si512(at.add(b * per_block).cast()) }
            });
            unrolled!(r < R, {
                // SAFETY: as for `elements`: `quad < per_piece`.
                let x: i32 = unsafe { elements[r].add(4 * quad).cast::<i32>().read_unaligned() };
                let x = _mm512_set1_epi32(x);
                unrolled!(b < B, {
                    sums[r][b] = _mm512_dpbusd_epi32(sums[r][b], x, weights[b])
                });
            });
            // SAFETY: at most one past the last quad of the first block.
            at = unsafe { at.add(1) };
        }
    }
    unrolled!(r < R, {
        unrolled!(b < B, {
            let first = task.at(row + r, block + b);
            let out = &mut output[first..first + task.lanes(block + b)];
            let mask = u16::MAX >> (LANES - out.len());
            // SAFETY: the mask has as many lanes as `out` has elements, 1 to 16.
            unsafe { _mm512_mask_storeu_epi32(out.as_mut_ptr(), mask, sums[r][b]) };
        });
    });
}
