//! The loops. Each is inlined into functions that are compiled for wider registers, where it becomes vector code.

use super::{Depthwise, Reduction, Scaling};

/// Calls `step` on accumulators, their multipliers and results, in runs as long as the turns of multipliers.
#[inline(always)]
fn scaled<T: Copy>(accumulators: &[i32], scaling: &Scaling, out: &mut [T], step: impl Fn(i64) -> T + Copy) {
    let half = 1i64 << (scaling.shift - 1);
    let shift = scaling.shift;
    // The graph's bounds keep product and sum below 2^62 in magnitude.
    let quotient = |acc: i32, m: i64| (i64::from(acc).wrapping_mul(m).wrapping_add(half)) >> shift;
    if let [multiplier] = *scaling.multipliers {
        for (out, acc) in out.iter_mut().zip(accumulators) {
            *out = step(quotient(*acc, multiplier));
        }
        return;
    }
    let turn = scaling.multipliers.len().max(1);
    for (out, accumulators) in out.chunks_mut(turn).zip(accumulators.chunks(turn)) {
        for ((out, acc), m) in out.iter_mut().zip(accumulators).zip(&scaling.multipliers) {
            *out = step(quotient(*acc, *m));
        }
    }
}

#[inline(always)]
pub(super) fn requantise(accumulators: &[i32], scaling: &Scaling, low: i8, high: i8, out: &mut [i8]) {
    let (low, high) = (i64::from(low), i64::from(high));
    scaled(accumulators, scaling, out, |y| y.max(low).min(high) as i8);
}

#[inline(always)]
pub(super) fn activate(accumulators: &[i32], scaling: &Scaling, low: i16, table: &[i8], out: &mut [i8]) {
    const RUN: usize = 1024;
    let last = table.len() as i64 - 1;
    let low = i64::from(low);
    // Whole turns of multipliers, so that each run begins with the first one.
    let run = RUN.next_multiple_of(scaling.multipliers.len().max(1));
    let mut indices = vec![0u16; run.min(out.len())];
    for (out, accumulators) in out.chunks_mut(run).zip(accumulators.chunks(run)) {
        let indices = &mut indices[..out.len()];
        scaled(accumulators, scaling, indices, |y| {
            (y - low).max(0).min(last) as u16
        });
        for (out, index) in out.iter_mut().zip(&*indices) {
            *out = table[usize::from(*index)];
        }
    }
}

#[inline(always)]
pub(super) fn product(left: &[i8], right: &[i8], out: &mut [i32]) {
    for ((out, left), right) in out.iter_mut().zip(left).zip(right) {
        *out = i32::from(i16::from(*left) * i16::from(*right));
    }
}

#[inline(always)]
pub(super) fn weighted_sum(value: &[i8], coefficient: i32, out: &mut [i32]) {
    for (out, value) in out.iter_mut().zip(value) {
        *out = out.wrapping_add(coefficient.wrapping_mul(i32::from(*value)));
    }
}

#[inline(always)]
pub(super) fn weighted_wide_sum(value: &[i32], coefficient: i32, out: &mut [i32]) {
    for (out, value) in out.iter_mut().zip(value) {
        *out = out.wrapping_add(coefficient.wrapping_mul(*value));
    }
}

/// Elements that are copied at a time where there are fewer channels.
const COPIED: usize = 16;

/// Reduces windows along their height, then along their width: `convert` for the elements of the value, `combine` for
/// reduced elements.
#[inline(always)]
fn windows<T: Copy>(
    windows: &Reduction,
    input: &[i8],
    out: &mut [T],
    convert: impl Fn(i8) -> T + Copy,
    combine: impl Fn(T, T) -> T + Copy,
    empty: T,
) {
    let channels = windows.channels.max(1);
    let line = windows.width * channels;
    let taps = windows.taps.as_deref().filter(|_| channels < COPIED);
    // Elements that no window has stand behind the line, so that copies of more elements than a window has stay inside.
    let (mut reduced, mut joined) = (vec![empty; line + COPIED], Vec::new());
    let lines = out.chunks_exact_mut(windows.columns.len() * channels);
    for (rows, out) in windows.rows.iter().zip(lines) {
        reduced.fill(empty);
        for row in rows {
            for (reduced, x) in reduced.iter_mut().zip(&input[row * line..(row + 1) * line]) {
                *reduced = combine(*reduced, convert(*x));
            }
        }
        let Some(taps) = taps else {
            for (columns, out) in windows.columns.iter().zip(out.chunks_exact_mut(channels)) {
                out.fill(empty);
                for column in columns {
                    let elements = &reduced[column * channels..(column + 1) * channels];
                    out.iter_mut()
                        .zip(elements)
                        .for_each(|(out, x)| *out = combine(*out, *x));
                }
            }
            continue;
        };
        // A window at every column, also where none is, in whole registers.
        joined.clone_from(&reduced);
        for tap in taps {
            let elements = joined.iter_mut().zip(&reduced[tap * channels..]);
            elements.for_each(|(joined, x)| *joined = combine(*joined, *x));
        }
        pick(&windows.columns, channels, &joined, out);
    }
}

/// Copies the `channels` elements, fewer than [`COPIED`], from the first column of each window on.
#[inline(always)]
fn pick<T: Copy>(columns: &[Vec<usize>], channels: usize, joined: &[T], out: &mut [T]) {
    for (window, columns) in columns.iter().enumerate() {
        let first = columns.first().map_or(0, |column| column * channels);
        let out = &mut out[window * channels..];
        let elements = joined[first..].first_chunk::<COPIED>();
        // What is copied too much, later windows overwrite.
        match (out.first_chunk_mut::<COPIED>(), elements) {
            (Some(out), Some(elements)) => *out = *elements,
            _ => out[..channels].copy_from_slice(&joined[first..first + channels]),
        }
    }
}

#[inline(always)]
pub(super) fn window_max(over: &Reduction, input: &[i8], out: &mut [i8]) {
    windows(over, input, out, |x| x, |a: i8, b: i8| a.max(b), i8::MIN);
}

#[inline(always)]
pub(super) fn window_sum(over: &Reduction, input: &[i8], out: &mut [i32]) {
    windows(over, input, out, i32::from, |a: i32, b: i32| a.wrapping_add(b), 0);
}

#[inline(always)]
pub(super) fn depthwise(convolution: &Depthwise, input: &[i8], out: &mut [i32]) {
    let channels = convolution.bias.len().max(1);
    for (start, out) in convolution.starts.iter().zip(out.chunks_exact_mut(channels)) {
        out.copy_from_slice(&convolution.bias);
        for (tap, weight) in convolution
            .taps
            .iter()
            .zip(convolution.weight.chunks_exact(channels))
        {
            let elements = &input[start + tap..];
            for ((out, x), w) in out.iter_mut().zip(elements).zip(weight) {
                *out = out.wrapping_add(i32::from(i16::from(*x) * i16::from(*w)));
            }
        }
    }
}
