//! Evaluation in float32, in a fixed order of operations.

use haca_graph::{Stretch, Window};
use haca_wire::Shape;

use super::{FloatModel, FloatOp, Weights};

/// Index of the largest element, the lowest on a tie.
pub(crate) fn arg_max<T: PartialOrd + Copy>(row: &[T]) -> usize {
    let mut best = 0;
    for (index, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = index;
        }
    }
    best
}

impl FloatModel {
    /// The next value; `values` are all before it.
    pub(super) fn compute(&self, op: &FloatOp, values: &[Vec<f32>]) -> Vec<f32> {
        let of = |value: &usize| values[*value].as_slice();
        let dims = |value: &usize| self.shapes[*value].dims();
        let shape = &self.shapes[values.len()];
        match op {
            FloatOp::Linear { input, weights, .. } => linear(of(input), weights),
            FloatOp::Convolve {
                input,
                weights,
                window,
                groups,
                ..
            } => convolve(of(input), dims(input), weights, window, *groups as usize),
            FloatOp::WindowSum {
                input,
                window,
                factor,
                ..
            } => {
                let mut sums = windows(of(input), dims(input), window, 0.0, |sum, v| sum + v);
                sums.iter_mut().for_each(|v| *v *= factor);
                sums
            }
            FloatOp::WindowMax { input, window } => {
                windows(of(input), dims(input), window, f32::NEG_INFINITY, f32::max)
            }
            FloatOp::Sum { terms, .. } => {
                let mut sum = vec![0.0f32; shape.elements()];
                for (value, coefficient) in terms {
                    sum.iter_mut()
                        .zip(of(value))
                        .for_each(|(s, v)| *s += coefficient * v);
                }
                sum
            }
            FloatOp::Product { left, right, .. } => {
                of(left).iter().zip(of(right)).map(|(l, r)| l * r).collect()
            }
            FloatOp::Affine {
                input, weight, bias, ..
            } => {
                let constants = weight.iter().zip(bias).cycle();
                of(input)
                    .iter()
                    .zip(constants)
                    .map(|(x, (w, b))| w * x + b)
                    .collect()
            }
            FloatOp::Clamp { input, low, high } => of(input).iter().map(|v| v.max(*low).min(*high)).collect(),
            FloatOp::Function { input, function, .. } => of(input).iter().map(|v| function.at(*v)).collect(),
            FloatOp::Round {
                input,
                step,
                low,
                high,
            } => {
                let steps = |v: &f32| round_even(*v / step).clamp(f64::from(*low), f64::from(*high));
                of(input)
                    .iter()
                    .map(|v| (steps(v) * f64::from(*step)) as f32)
                    .collect()
            }
            FloatOp::Reshape { input } => of(input).to_vec(),
            FloatOp::Transpose { input, axes } => transpose(of(input), dims(input), axes),
            FloatOp::Slice { input, stretches } => slice(of(input), dims(input), stretches),
            FloatOp::Concat { inputs, axis } => concat(inputs, *axis, &self.shapes, values),
            FloatOp::Pad {
                input, before, value, ..
            } => pad(of(input), dims(input), shape.dims(), before, *value),
            FloatOp::Expand { input } => expand(of(input), dims(input), shape.dims()),
            FloatOp::ArgMax { input } => {
                let last = dims(input).last().copied().unwrap_or(1) as usize;
                of(input)
                    .chunks_exact(last)
                    .map(|row| arg_max(row) as f32)
                    .collect()
            }
        }
    }
}

/// Nearest integer, halves to the even one: what QuantizeLinear asks for.
fn round_even(x: f32) -> f64 {
    f64::from(x).round_ties_even()
}

fn linear(x: &[f32], weights: &Weights) -> Vec<f32> {
    let k = (weights.weight.len() / weights.bias.len().max(1)).max(1);
    let at = |x| {
        let rows = weights.weight.chunks_exact(k).zip(&weights.bias);
        rows.map(move |(row, b)| b + dot(row, x))
    };
    x.chunks_exact(k).flat_map(at).collect()
}

/// Eight partial sums in a fixed order: the same result on every machine, and wide enough for vector units.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_chunks
        .remainder()
        .iter()
        .zip(b_chunks.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// Calls `visit` for each window with its taps on elements: index of the tap and of the element, both flat over height
/// and width.
fn each_window(dims: &[u32], window: &Window, mut visit: impl FnMut(&[(usize, usize)])) {
    let (h, w) = (dims[0], dims[1]);
    let (rows, columns) = (
        window.height.count(h).unwrap_or(0),
        window.width.count(w).unwrap_or(0),
    );
    let mut taps = Vec::new();
    for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
        taps.clear();
        for a in 0..window.height.kernel {
            let Some(y) = window.height.element(row, a, h) else {
                continue;
            };
            for b in 0..window.width.kernel {
                if let Some(x) = window.width.element(column, b, w) {
                    taps.push(((a * window.width.kernel + b) as usize, (y * w + x) as usize));
                }
            }
        }
        visit(&taps);
    }
}

fn convolve(x: &[f32], dims: &[u32], weights: &Weights, window: &Window, groups: usize) -> Vec<f32> {
    let c = dims[2] as usize;
    let (n, per_group) = (weights.bias.len(), c / groups);
    let filter = (window.height.kernel * window.width.kernel) as usize * per_group;
    let mut out = Vec::new();
    each_window(dims, window, |taps| {
        for (i, bias) in weights.bias.iter().enumerate() {
            let first = i / (n / groups) * per_group;
            let weight = &weights.weight[i * filter..][..filter];
            let mut sum = 0.0;
            for (tap, element) in taps {
                sum += dot(
                    &weight[tap * per_group..][..per_group],
                    &x[element * c + first..][..per_group],
                );
            }
            out.push(bias + sum);
        }
    });
    out
}

fn windows(x: &[f32], dims: &[u32], window: &Window, start: f32, add: impl Fn(f32, f32) -> f32) -> Vec<f32> {
    let c = dims[2] as usize;
    let mut out = Vec::new();
    each_window(dims, window, |taps| {
        let mut channels = vec![start; c];
        for (_, element) in taps {
            for (channel, v) in channels.iter_mut().zip(&x[element * c..][..c]) {
                *channel = add(*channel, *v);
            }
        }
        out.extend(channels);
    });
    out
}

/// Row-major strides.
fn strides(dims: &[u32]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis] as usize;
    }
    strides
}

/// Calls `visit` with each index of a shape, in row-major order.
fn each_index(dims: &[u32], mut visit: impl FnMut(&[u32])) {
    let mut index = vec![0u32; dims.len()];
    loop {
        visit(&index);
        let Some(axis) = (0..dims.len()).rev().find(|axis| index[*axis] + 1 < dims[*axis]) else {
            return;
        };
        index[axis] += 1;
        index[axis + 1..].fill(0);
    }
}

fn transpose(x: &[f32], dims: &[u32], axes: &[usize]) -> Vec<f32> {
    let strides = strides(dims);
    let out: Vec<u32> = axes.iter().map(|axis| dims[*axis]).collect();
    let mut values = Vec::with_capacity(x.len());
    each_index(&out, |index| {
        let place = index
            .iter()
            .zip(axes)
            .map(|(i, axis)| *i as usize * strides[*axis]);
        values.push(x[place.sum::<usize>()]);
    });
    values
}

fn slice(x: &[f32], dims: &[u32], stretches: &[Stretch]) -> Vec<f32> {
    let strides = strides(dims);
    let out: Vec<u32> = stretches.iter().map(|s| s.count).collect();
    let mut values = Vec::new();
    each_index(&out, |index| {
        let place = index.iter().zip(stretches).zip(&strides).map(|((i, s), stride)| {
            (i64::from(s.start) + i64::from(s.step) * i64::from(*i)) as usize * stride
        });
        values.push(x[place.sum::<usize>()]);
    });
    values
}

fn concat(inputs: &[usize], axis: usize, shapes: &[Shape], values: &[Vec<f32>]) -> Vec<f32> {
    let inner = |value: usize| {
        shapes[value].dims()[axis..]
            .iter()
            .map(|d| *d as usize)
            .product::<usize>()
    };
    let outer: usize = shapes[inputs[0]].dims()[..axis]
        .iter()
        .map(|d| *d as usize)
        .product();
    let mut out = Vec::new();
    for row in 0..outer {
        for value in inputs {
            let inner = inner(*value);
            out.extend_from_slice(&values[*value][row * inner..][..inner]);
        }
    }
    out
}

fn pad(x: &[f32], dims: &[u32], out: &[u32], before: &[u32], value: f32) -> Vec<f32> {
    let strides = strides(dims);
    let mut values = Vec::new();
    each_index(out, |index| {
        let mut place = 0;
        let mut inside = true;
        for axis in 0..dims.len() {
            match index[axis].checked_sub(before[axis]).filter(|i| *i < dims[axis]) {
                Some(i) => place += i as usize * strides[axis],
                None => inside = false,
            }
        }
        values.push(if inside { x[place] } else { value });
    });
    values
}

fn expand(x: &[f32], dims: &[u32], out: &[u32]) -> Vec<f32> {
    let strides = strides(dims);
    let mut values = Vec::new();
    each_index(out, |index| {
        let place = (0..dims.len()).map(|axis| {
            if dims[axis] == 1 {
                0
            } else {
                index[axis] as usize * strides[axis]
            }
        });
        values.push(x[place.sum::<usize>()]);
    });
    values
}
