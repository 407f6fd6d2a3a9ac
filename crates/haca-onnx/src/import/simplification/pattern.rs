//! Functions that exporters spell out: `x` times a gate of `x`.

use core::f32::consts::FRAC_1_SQRT_2;

use haca_wire::Shape;

use super::Rewrite;
use crate::float_model::{FloatFunction, FloatOp};

/// sqrt(2 / pi).
const TANH_FACTOR: f32 = 0.797_884_6;
/// The coefficient of the cube in GELU's approximation.
const CUBIC: f32 = 0.044_715;

fn close(found: f32, expected: f32) -> bool {
    (found - expected).abs() <= 1e-4 * expected.abs()
}

/// `factor * base + offset`.
#[derive(Clone, Copy)]
struct Line {
    base: usize,
    factor: f32,
    offset: f32,
}

impl Rewrite {
    fn line(&self, value: usize) -> Line {
        match self.producer(value) {
            Some(FloatOp::Affine {
                input, weight, bias, ..
            }) if weight.len() == 1 => Line {
                base: *input,
                factor: weight[0],
                offset: bias[0],
            },
            Some(FloatOp::Sum { terms, .. }) if terms.len() == 1 => Line {
                base: terms[0].0,
                factor: terms[0].1,
                offset: 0.0,
            },
            _ => Line {
                base: value,
                factor: 1.0,
                offset: 0.0,
            },
        }
    }
}

/// The function of one value that a product computes, if it does.
pub(super) fn gated(
    rewrite: &mut Rewrite,
    name: &str,
    left: usize,
    right: usize,
    shape: &Shape,
) -> Option<usize> {
    let (mut function, mut argument, mut factor) = (None, 1.0, 1.0);
    let mut base = 0;
    for (x, gate) in [(left, right), (right, left)] {
        let x = rewrite.line(x);
        if function.is_some() || x.offset != 0.0 {
            continue;
        }
        if let Some((found, inner, outer)) = gate_of(rewrite, x.base, gate) {
            (function, argument, factor, base) = (Some(found), inner, x.factor * outer, x.base);
        }
    }
    let function = function?;
    let mut push = |op| {
        let value = rewrite.push(op, shape.clone());
        rewrite.readers[value] = 1;
        value
    };
    let affine = |input, factor| FloatOp::Affine {
        name: name.to_owned(),
        input,
        weight: vec![factor],
        bias: vec![0.0],
    };
    let input = if argument == 1.0 {
        base
    } else {
        push(affine(base, argument))
    };
    let value = push(FloatOp::Function {
        name: name.to_owned(),
        input,
        function,
    });
    Some(if close(factor, 1.0) {
        value
    } else {
        push(affine(value, factor))
    })
}

/// With `g` the gate: a function, a factor of its argument and one of its result that make `x * g`.
fn gate_of(rewrite: &Rewrite, x: usize, gate: usize) -> Option<(FloatFunction, f32, f32)> {
    let gate = rewrite.line(gate);
    let balanced = close(gate.offset, gate.factor);
    match rewrite.producer(gate.base)? {
        FloatOp::Function {
            function: FloatFunction::Erf,
            input,
            ..
        } => {
            let inner = rewrite.line(*input);
            let fits = inner.base == x && inner.offset == 0.0 && close(inner.factor, FRAC_1_SQRT_2);
            (fits && balanced).then_some((FloatFunction::Gelu, 1.0, 2.0 * gate.factor))
        }
        FloatOp::Function {
            function: FloatFunction::Tanh,
            input,
            ..
        } => {
            let inner = rewrite.line(*input);
            let fits = inner.offset == 0.0 && is_cubic(rewrite, x, inner.base, inner.factor);
            (fits && balanced).then_some((FloatFunction::GeluTanh, 1.0, 2.0 * gate.factor))
        }
        FloatOp::Function {
            function: FloatFunction::Sigmoid,
            input,
            ..
        } => {
            let inner = rewrite.line(*input);
            let fits = inner.base == x && inner.offset == 0.0 && inner.factor > 0.0 && gate.offset == 0.0;
            let factor = if close(inner.factor, 1.0) {
                1.0
            } else {
                inner.factor
            };
            fits.then_some((FloatFunction::Silu, factor, gate.factor / factor))
        }
        FloatOp::Function {
            function: FloatFunction::HardSigmoid { alpha, beta },
            input,
            ..
        } => {
            let fits = *input == x && close(*alpha, 1.0 / 6.0) && close(*beta, 0.5) && gate.offset == 0.0;
            fits.then_some((FloatFunction::HardSwish, 1.0, gate.factor))
        }
        FloatOp::Clamp { input, low, high } => {
            let inner = rewrite.line(*input);
            let fits = inner.base == x
                && *low == 0.0
                && close(inner.factor / high, 1.0 / 6.0)
                && close(inner.offset / high, 0.5)
                && gate.offset == 0.0;
            fits.then_some((FloatFunction::HardSwish, 1.0, gate.factor * high))
        }
        _ => None,
    }
}

/// Whether `factor * value` is `sqrt(2/pi) (x + 0.044715 x^3)`.
fn is_cubic(rewrite: &Rewrite, x: usize, value: usize, factor: f32) -> bool {
    let Some(FloatOp::Sum { terms, .. }) = rewrite.producer(value) else {
        return false;
    };
    let [a, b] = terms.as_slice() else { return false };
    [(a, b), (b, a)].iter().any(|(line, cube)| {
        let inner = rewrite.line(cube.0);
        line.0 == x
            && close(factor * line.1, TANH_FACTOR)
            && close(factor * cube.1 * inner.factor, TANH_FACTOR * CUBIC)
            && inner.offset == 0.0
            && is_cube(rewrite, x, inner.base)
    })
}

fn is_cube(rewrite: &Rewrite, x: usize, value: usize) -> bool {
    let product = |value: usize| match rewrite.producer(value) {
        Some(FloatOp::Product { left, right, .. }) => Some((*left, *right)),
        _ => None,
    };
    let Some((left, right)) = product(value) else {
        return false;
    };
    [(left, right), (right, left)]
        .iter()
        .any(|(one, square)| *one == x && product(*square) == Some((x, x)))
}
