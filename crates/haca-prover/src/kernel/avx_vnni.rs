//! Kernels for x86-64 processors with AVX-VNNI, 256 bits wide.
#![allow(unsafe_code, reason = "vector intrinsics; each block says why it is sound")]

use std::arch::x86_64::*;

use super::matrix::{LANES, Task};
use super::unrolled::unrolled;

#[target_feature(enable = "avx2,avxvnni")]
pub(super) fn multiply(task: &Task<'_>, output: &mut [i32]) {
    for block in 0..task.count {
        let mut row = 0;
        while row < task.starts.len() {
            let rows = match task.starts.len() - row {
                6.. => 6,
                3.. => 3,
                _ => 1,
            };
            match rows {
                6 => tile::<6>(task, row, block, output),
                3 => tile::<3>(task, row, block, output),
                _ => tile::<1>(task, row, block, output),
            }
            row += rows;
        }
    }
}

/// The results of the `R` rows from `row` on and one block. The input is shifted.
#[target_feature(enable = "avx2,avxvnni")]
fn tile<const R: usize>(task: &Task<'_>, row: usize, block: usize, output: &mut [i32]) {
    let Some(starts) = task.starts[row..].first_chunk::<R>() else {
        return;
    };
    let blocks = task.blocks;
    let bias = &blocks.shifted_bias[task.first + block];
    // SAFETY: the bias is 64 readable bytes; unaligned loads are allowed.
    let bias: [__m256i; 2] = unsafe {
        let first = bias.as_ptr().cast::<__m256i>();
        [_mm256_loadu_si256(first), _mm256_loadu_si256(first.add(1))]
    };
    let mut sums = [bias; R];
    let first = (task.first + block) * blocks.per_block;
    let mut quads = blocks.quads[first..first + blocks.per_block].iter();
    for piece in task.pieces {
        let mut elements = [task.input.as_ptr(); R];
        unrolled!(r < R, {
            // SAFETY: a task says that `start + piece + 4 * per_piece` is inside the input.
            elements[r] = unsafe { elements[r].add(starts[r] + piece) }
        });
        for (quad, cells) in quads.by_ref().take(task.per_piece).enumerate() {
            // SAFETY: a quad is 64 readable bytes, aligned.
            let weights: [__m256i; 2] = unsafe {
                let first = cells.0.as_ptr().cast::<__m256i>();
                [_mm256_load_si256(first), _mm256_load_si256(first.add(1))]
            };
            unrolled!(r < R, {
                // SAFETY: as for `elements`: `quad < per_piece`.
                let x: i32 = unsafe { elements[r].add(4 * quad).cast::<i32>().read_unaligned() };
                let x = _mm256_set1_epi32(x);
                sums[r] = [
                    _mm256_dpbusd_avx_epi32(sums[r][0], x, weights[0]),
                    _mm256_dpbusd_avx_epi32(sums[r][1], x, weights[1]),
                ];
            });
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        let mut lanes = [0i32; LANES];
        // SAFETY: the lanes are 64 writable bytes; unaligned stores are allowed.
        unsafe {
            let first = lanes.as_mut_ptr().cast::<__m256i>();
            _mm256_storeu_si256(first, sums[0]);
            _mm256_storeu_si256(first.add(1), sums[1]);
        }
        let (at, count) = (task.at(row + r, block), task.lanes(block));
        output[at..at + count].copy_from_slice(&lanes[..count]);
    }
}
