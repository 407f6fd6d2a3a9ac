//! Affine maps of elements: part of a layer where there is one, else a convolution of their own.

use haca_graph::{Window, WindowAxis};
use haca_wire::Shape;

use super::Rewrite;
use crate::float_model::{FloatOp, Weights};

/// An affine map joins the op that makes its operand.
pub(super) fn join_producer(rewrite: &mut Rewrite, op: FloatOp, shape: Shape) -> usize {
    let FloatOp::Affine {
        name,
        input,
        weight,
        bias,
    } = op
    else {
        return rewrite.push(op, shape);
    };
    if weight.iter().all(|w| *w == 1.0) && bias.iter().all(|b| *b == 0.0) {
        return input;
    }
    let last = rewrite.last_axis(input);
    let scalar = weight.len() == 1;
    let own = rewrite.own_producer(input).is_some();
    match rewrite.producer_mut(input).filter(|_| own) {
        Some(FloatOp::Linear { weights, .. } | FloatOp::Convolve { weights, .. })
            if (scalar || weight.len() == last) && weights.bias.len() == last =>
        {
            scale_rows(weights, &weight, &bias);
            return input;
        }
        Some(FloatOp::Sum { terms, .. }) if scalar && bias[0] == 0.0 => {
            terms.iter_mut().for_each(|(_, c)| *c *= weight[0]);
            return input;
        }
        // Multipliers are positive.
        Some(FloatOp::WindowSum { factor, .. }) if scalar && bias[0] == 0.0 && weight[0] > 0.0 => {
            *factor *= weight[0];
            return input;
        }
        Some(FloatOp::Affine {
            weight: w, bias: b, ..
        }) => {
            let len = w.len().max(weight.len());
            let at = |v: &[f32], i: usize| v[i % v.len()];
            let factors = (0..len).map(|i| at(&weight, i) * at(w, i)).collect();
            let offsets = (0..len)
                .map(|i| at(&weight, i) * at(b, i) + at(&bias, i))
                .collect();
            (*w, *b) = (factors, offsets);
            return input;
        }
        _ => {}
    }
    rewrite.push(
        FloatOp::Affine {
            name,
            input,
            weight,
            bias,
        },
        shape,
    )
}

/// Each row times its factor, each bias with its offset.
fn scale_rows(weights: &mut Weights, factors: &[f32], offsets: &[f32]) {
    let n = weights.bias.len();
    let len = weights.weight.len() / n.max(1);
    let at = |v: &[f32], i: usize| v[i % v.len()];
    for i in 0..n {
        let factor = at(factors, i);
        if factor != 1.0 {
            weights.weight[i * len..][..len]
                .iter_mut()
                .for_each(|w| *w *= factor);
            if let Some(steps) = &mut weights.steps {
                steps[i] *= factor.abs();
            }
        }
        weights.bias[i] = factor * weights.bias[i] + at(offsets, i);
    }
    if factors.contains(&0.0) {
        weights.steps = None;
    }
}

/// A layer takes over the affine map that makes its operand.
pub(super) fn absorb_producer(rewrite: &mut Rewrite, op: &mut FloatOp) {
    let (FloatOp::Linear { input, .. } | FloatOp::Convolve { input, .. }) = op else {
        return;
    };
    let input = *input;
    // A Reshape between the two, as of a Flatten, leaves the order of the elements.
    let reshaped = match rewrite.own_producer(input) {
        Some(FloatOp::Reshape { input: source }) => *source,
        _ => input,
    };
    let Some(FloatOp::Affine {
        input: source,
        weight,
        bias,
        ..
    }) = rewrite.own_producer(reshaped)
    else {
        return;
    };
    let (factors, offsets) = (weight.clone(), bias.clone());
    let source = *source;
    let same_axis = reshaped == input;
    let k = rewrite.last_axis(input);
    let fits =
        factors.len() == 1 || (same_axis && factors.len() == k) || k == rewrite.shapes[input].elements();
    if !fits {
        return;
    }
    let absorbed = match op {
        FloatOp::Linear { weights, .. } => scale_columns(weights, &factors, &offsets, 1, 1),
        FloatOp::Convolve {
            weights,
            window,
            groups,
            ..
        } => {
            let Window { height, width } = window;
            let padded = [height.before, height.after, width.before, width.after] != [0; 4];
            let zero = offsets.iter().all(|b| *b == 0.0);
            let taps = (height.kernel * width.kernel) as usize;
            (zero || !padded) && scale_columns(weights, &factors, &offsets, taps, *groups as usize)
        }
        _ => false,
    };
    if !absorbed {
        return;
    }
    let source = if same_axis {
        source
    } else {
        let shape = rewrite.shapes[input].clone();
        let value = rewrite.push(FloatOp::Reshape { input: source }, shape);
        rewrite.readers[value] = 1;
        value
    };
    op.rename(|_| source);
    rewrite.changed = true;
}

/// Columns times the factors of their channels, and biases with what the offsets add; false where the file fixes the
/// steps of the weights.
fn scale_columns(
    weights: &mut Weights,
    factors: &[f32],
    offsets: &[f32],
    taps: usize,
    groups: usize,
) -> bool {
    if weights.steps.is_some() {
        return false;
    }
    let n = weights.bias.len();
    let len = weights.weight.len() / n.max(1);
    let per_group = len / taps.max(1);
    let at = |v: &[f32], i: usize| v[i % v.len()];
    for (i, row) in weights.weight.chunks_exact_mut(len.max(1)).enumerate() {
        let first = i / (n / groups) * per_group;
        let mut offset = 0.0;
        for (j, w) in row.iter_mut().enumerate() {
            let channel = first + j % per_group;
            offset += *w * at(offsets, channel);
            *w *= at(factors, channel);
        }
        weights.bias[i] += offset;
    }
    true
}

/// An affine map that no layer took: one coefficient, or a convolution with one weight per channel.
pub(super) fn lowered(rewrite: &mut Rewrite, op: FloatOp, shape: Shape) -> usize {
    let FloatOp::Affine {
        name,
        input,
        weight,
        bias,
    } = op
    else {
        return rewrite.push(op, shape);
    };
    if weight.len() == 1 && bias[0] == 0.0 {
        return rewrite.push(
            FloatOp::Sum {
                name,
                terms: vec![(input, weight[0])],
            },
            shape,
        );
    }
    let channels = if weight.len() == 1 {
        rewrite.last_axis(input)
    } else {
        weight.len()
    };
    let spread = |v: Vec<f32>| if v.len() == 1 { vec![v[0]; channels] } else { v };
    let rest = shape.elements() / channels.max(1);
    let wide = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    // As many elements as the shape of the operand, so it is a shape as well.
    let image = Shape::new(vec![1, wide(rest), wide(channels)]).unwrap_or_else(|| shape.clone());
    let value = if image == shape {
        input
    } else {
        rewrite.push(FloatOp::Reshape { input }, image.clone())
    };
    const ONE: WindowAxis = WindowAxis {
        kernel: 1,
        stride: 1,
        dilation: 1,
        before: 0,
        after: 0,
    };
    let convolve = FloatOp::Convolve {
        name,
        input: value,
        weights: Weights {
            weight: spread(weight),
            bias: spread(bias),
            steps: None,
        },
        window: Window {
            height: ONE,
            width: ONE,
        },
        groups: wide(channels),
    };
    let value = rewrite.push(convolve, image.clone());
    if image == shape {
        return value;
    }
    rewrite.readers[value] = 1;
    rewrite.push(FloatOp::Reshape { input: value }, shape)
}
