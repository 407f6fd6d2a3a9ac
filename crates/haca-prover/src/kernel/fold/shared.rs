//! Folds whose work threads share, with AVX-512.

#![allow(
    unsafe_code,
    reason = "calls of vector kernels; each block says why it is sound"
)]

use core::ops::Range;

use haca_zk::field::Extension;
use p3_field::PrimeCharacteristicRing;
use rayon::prelude::*;

use super::{SHARED, bytes};
use crate::kernel::avx512;

/// Parts of `0..length` of at most `most`, a multiple of `unit`.
fn parts(length: usize, count: usize, unit: usize, most: usize) -> Vec<Range<usize>> {
    let part = length.div_ceil(count.max(1)).next_multiple_of(unit).min(most);
    let starts = (0..length).step_by(part.max(1));
    starts.map(|start| start..(start + part).min(length)).collect()
}

/// [`super::fold_rows`]. Threads share columns if there are enough of them, else rows.
///
/// # Safety
///
/// The processor has AVX-512 with VNNI.
pub(super) unsafe fn fold_rows(matrix: &[i8], width: usize, coefficients: &[Extension]) -> Vec<Extension> {
    // SAFETY: the caller vouches for the processor.
    let words = unsafe { avx512::words(coefficients) };
    let rows = coefficients.len();
    let threads = if rows * width < SHARED {
        1
    } else {
        rayon::current_num_threads()
    };
    let across = width >= 2 * threads * bytes::LANES;
    let columns = parts(
        width,
        if across { threads } else { 1 },
        bytes::LANES,
        usize::MAX / 2,
    );
    let rows = parts(rows, if across { 1 } else { threads }, 4, bytes::TERMS);
    let fold = |rows: &Range<usize>, columns: &Range<usize>| {
        let mut out = vec![Extension::ZERO; columns.len()];
        // SAFETY: as above.
        unsafe { avx512::fold_rows(matrix, width, rows.clone(), columns.clone(), &words, &mut out) };
        out
    };
    if threads == 1 {
        let mut out = vec![Extension::ZERO; width];
        rows.iter()
            .for_each(|rows| add(&mut out, &fold(rows, &(0..width))));
        return out;
    }
    let tasks: Vec<_> = columns
        .iter()
        .flat_map(|c| rows.iter().map(move |r| (r, c)))
        .collect();
    let folded: Vec<_> = tasks
        .par_iter()
        .map(|(rows, columns)| fold(rows, columns))
        .collect();
    let mut out = vec![Extension::ZERO; width];
    for ((_, columns), folded) in tasks.iter().zip(&folded) {
        add(&mut out[(*columns).clone()], folded);
    }
    out
}

fn add(out: &mut [Extension], other: &[Extension]) {
    out.iter_mut().zip(other).for_each(|(out, other)| *out += *other);
}

/// [`super::fold_columns`]. Threads share rows.
///
/// # Safety
///
/// The processor has AVX-512 with VNNI.
pub(super) unsafe fn fold_columns(matrix: &[i8], width: usize, coefficients: &[Extension]) -> Vec<Extension> {
    let rows = matrix.len() / width.max(1);
    // SAFETY: the caller vouches for the processor.
    let words = unsafe { avx512::words(coefficients) };
    let threads = if matrix.len() > SHARED {
        rayon::current_num_threads()
    } else {
        1
    };
    let share = rows
        .div_ceil(threads)
        .next_multiple_of(bytes::LANES)
        .max(bytes::LANES);
    let mut out = vec![Extension::ZERO; rows];
    let fold = |(matrix, out): (&[i8], &mut [Extension])| {
        // SAFETY: as above.
        unsafe { avx512::fold_columns(matrix, width, &words, out) };
    };
    if threads == 1 {
        fold((matrix, &mut out));
    } else {
        matrix
            .par_chunks(share * width)
            .zip(out.par_chunks_mut(share))
            .for_each(fold);
    }
    out
}
