//! The static check of one node: its type, and the range of its value from shapes and declared ranges alone.
//!
//! Steps G3 to G7 of `spec/graph.md`.

mod element;
mod window;

use haca_wire::{DType, Shape};

use crate::graph::Scope;
use crate::{Function, GraphError, Op, ParamId, ParamSpec, Place, ValueId, limit};

/// Type and static range of a value: no input and no parameters inside their ranges make it leave `low..=high`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueType {
    /// Element type.
    pub dtype: DType,
    /// Shape of one inference.
    pub shape: Shape,
    /// Smallest reachable element.
    pub low: i64,
    /// Largest reachable element.
    pub high: i64,
}

/// What the check of a node finds.
pub(crate) struct Checked {
    /// The node's value.
    pub(crate) value: ValueType,
    /// For a requantisation, the range of the quotient before the clamp.
    pub(crate) quotient: Option<(i64, i64)>,
}

/// Checks `op`, the next node of `scope`.
pub(crate) fn check(scope: &Scope<'_>, op: &Op) -> Result<Checked, GraphError> {
    let value = match op {
        Op::Linear { input, weight, bias } => linear(scope, *input, *weight, *bias)?,
        Op::Requantise {
            input,
            multipliers,
            shift,
            low,
            high,
        } => {
            return requantise(scope, *input, multipliers, *shift, (*low, *high));
        }
        Op::Activate {
            input,
            multipliers,
            shift,
            function,
        } => {
            return activate(scope, *input, multipliers, *shift, function);
        }
        Op::ArgMax { input } => arg_max(scope, *input)?,
        Op::Convolve {
            input,
            weight,
            bias,
            window,
            groups,
        } => window::convolve(scope, *input, (*weight, *bias), window, *groups)?,
        Op::WindowSum { input, window } => window::sum(scope, *input, window)?,
        Op::WindowMax { input, window } => window::max(scope, *input, window)?,
        Op::Sum { terms } => element::sum(scope, terms)?,
        Op::Product { left, right } => element::product(scope, *left, *right)?,
        Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Slice { .. }
        | Op::Concat { .. }
        | Op::Pad { .. }
        | Op::Expand { .. } => element::arrangement(scope, op)?,
    };
    Ok(Checked {
        value,
        quotient: None,
    })
}

fn linear(
    scope: &Scope<'_>,
    input: ValueId,
    weight: ParamId,
    bias: ParamId,
) -> Result<ValueType, GraphError> {
    let place = scope.place();
    let (x, w, b) = (scope.value(input)?, scope.param(weight)?, scope.param(bias)?);
    same_type(place, x.dtype, DType::I8)?;
    same_type(place, w.dtype, DType::I8)?;
    same_type(place, b.dtype, DType::I32)?;
    let Some((&k, positions)) = x.shape.dims().split_last() else {
        return Err(GraphError::Rank {
            place,
            found: 0,
            expected: 1,
        });
    };
    let &[n, columns] = w.shape.dims() else {
        return Err(GraphError::Rank {
            place,
            found: w.shape.dims().len(),
            expected: 2,
        });
    };
    if columns != k {
        return Err(mismatch(place, &w.shape, vec![n, k]));
    }
    if b.shape.dims() != [n] {
        return Err(mismatch(place, &b.shape, vec![n]));
    }
    let range = accumulator_range(i64::from(k), (x.low, x.high), w, b);
    let mut dims = positions.to_vec();
    dims.push(n);
    accumulators(place, dims, range)
}

/// A shape that is not the one asked for.
fn mismatch(place: Place, found: &Shape, dims: Vec<u32>) -> GraphError {
    let found = found.clone();
    match Shape::new(dims) {
        Some(expected) => GraphError::Shape {
            place,
            found,
            expected,
        },
        None => GraphError::TooLarge { place },
    }
}

/// An int32 value of a shape with a static range.
fn accumulators(place: Place, dims: Vec<u32>, (low, high): (i64, i64)) -> Result<ValueType, GraphError> {
    let (least, most) = DType::I32.range();
    if low < least || high > most {
        return Err(GraphError::AccumulatorOverflow { place, low, high });
    }
    Ok(ValueType {
        dtype: DType::I32,
        shape: Shape::new(dims).ok_or(GraphError::TooLarge { place })?,
        low,
        high,
    })
}

/// `k` products of two int8 ranges and one bias: at most `2^22 * 2^14 + 2^31`, far inside i64.
fn accumulator_range(k: i64, x: (i64, i64), w: &ParamSpec, b: &ParamSpec) -> (i64, i64) {
    let (least, most) = product_range(x, (w.low, w.high));
    (
        k.saturating_mul(least).saturating_add(b.low),
        k.saturating_mul(most).saturating_add(b.high),
    )
}

/// The least and the largest product of an end of one range with an end of another.
fn product_range(x: (i64, i64), w: (i64, i64)) -> (i64, i64) {
    let corners = [
        x.0.saturating_mul(w.0),
        x.0.saturating_mul(w.1),
        x.1.saturating_mul(w.0),
        x.1.saturating_mul(w.1),
    ];
    let least = corners.iter().copied().fold(i64::MAX, i64::min);
    let most = corners.iter().copied().fold(i64::MIN, i64::max);
    (least, most)
}

fn requantise(
    scope: &Scope<'_>,
    input: ValueId,
    multipliers: &[u32],
    shift: u8,
    (low, high): (i8, i8),
) -> Result<Checked, GraphError> {
    let place = scope.place();
    in_range(place, i64::from(low), DType::I8.range().0, i64::from(high))?;
    let (acc, quotient) = quotients(scope, input, multipliers, shift)?;
    let clamp = |v: i64| v.clamp(i64::from(low), i64::from(high));
    let value = ValueType {
        dtype: DType::I8,
        shape: acc.shape.clone(),
        low: clamp(quotient.0),
        high: clamp(quotient.1),
    };
    Ok(Checked {
        value,
        quotient: Some(quotient),
    })
}

fn activate(
    scope: &Scope<'_>,
    input: ValueId,
    multipliers: &[u32],
    shift: u8,
    function: &Function,
) -> Result<Checked, GraphError> {
    function.check(scope.place())?;
    let (acc, quotient) = quotients(scope, input, multipliers, shift)?;
    let clamp = |v: i64| v.clamp(i64::from(function.low), i64::from(function.high));
    let (first, last) = (clamp(quotient.0), clamp(quotient.1));
    let reachable = |argument: &i16| (first..=last).contains(&i64::from(*argument));
    let results = (function.low..=function.high).filter(reachable);
    let results = results.map(|argument| i64::from(function.at(argument)));
    let (low, high) = results.fold((i64::MAX, i64::MIN), |(low, high), v| (low.min(v), high.max(v)));
    let value = ValueType {
        dtype: DType::I8,
        shape: acc.shape.clone(),
        low,
        high,
    };
    Ok(Checked {
        value,
        quotient: Some(quotient),
    })
}

/// The accumulators that a requantisation reads, and the range of its quotients.
fn quotients<'a>(
    scope: &'a Scope<'_>,
    input: ValueId,
    multipliers: &[u32],
    shift: u8,
) -> Result<(&'a ValueType, (i64, i64)), GraphError> {
    let place = scope.place();
    let acc = scope.value(input)?;
    if !scope.producer(input).is_some_and(Op::makes_accumulators) {
        return Err(GraphError::NotAccumulator {
            place,
            found: input.0,
        });
    }
    let n = acc.shape.dims().last().map_or(1, |n| *n as usize);
    if multipliers.len() != 1 && multipliers.len() != n {
        let found = multipliers.len();
        return Err(GraphError::Length {
            place,
            what: "multipliers",
            found,
            expected: n,
        });
    }
    in_range(
        place,
        i64::from(shift),
        i64::from(limit::SHIFT_MIN),
        i64::from(limit::SHIFT_MAX),
    )?;
    Ok((acc, quotient_range(place, acc, multipliers, shift)?))
}

/// The range of `(acc * M + 2^(shift-1)) >> shift` over all channels. Refused when a side of the identity
/// `acc * M + 2^(shift-1) = y * 2^shift + remainder` could reach `2^62`, or when `y` spans more than 24 bits.
fn quotient_range(
    place: Place,
    acc: &ValueType,
    multipliers: &[u32],
    shift: u8,
) -> Result<(i64, i64), GraphError> {
    let magnitude = acc.low.unsigned_abs().max(acc.high.unsigned_abs());
    let mut range = (i64::MAX, i64::MIN);
    for multiplier in multipliers {
        let multiplier = i64::from(*multiplier);
        in_range(place, multiplier, 0, (1 << limit::MULTIPLIER_BITS) - 1)?;
        let side = u128::from(magnitude)
            .saturating_mul(u128::from(multiplier.unsigned_abs()))
            .saturating_add(1 << shift);
        if side >= 1 << limit::PRODUCT_BITS {
            let found = u128::BITS.saturating_sub(side.leading_zeros());
            return Err(GraphError::ProductOverflow {
                place,
                found,
                expected: limit::PRODUCT_BITS,
            });
        }
        // Rounding and shifting are monotone, so the ends of the accumulator's range give the ends here.
        for end in [acc.low, acc.high] {
            let y = crate::evaluation::quotient(end, multiplier, shift);
            range = (range.0.min(y), range.1.max(y));
        }
    }
    let (low, high) = range;
    if high.saturating_sub(low) >= 1 << limit::QUOTIENT_BITS {
        return Err(GraphError::QuotientTooWide {
            place,
            low,
            high,
            expected: limit::QUOTIENT_BITS,
        });
    }
    Ok(range)
}

fn arg_max(scope: &Scope<'_>, input: ValueId) -> Result<ValueType, GraphError> {
    let place = scope.place();
    let operand = scope.value(input)?;
    if !scope.is_output(input) {
        return Err(GraphError::HiddenArgMax {
            place,
            found: input.0,
        });
    }
    let Some((last, outer)) = operand.shape.dims().split_last() else {
        return Err(GraphError::Rank {
            place,
            found: 0,
            expected: 1,
        });
    };
    // A prefix of a valid shape is a valid shape.
    let shape = Shape::new(outer.to_vec()).ok_or(GraphError::Rank {
        place,
        found: 0,
        expected: 1,
    })?;
    Ok(ValueType {
        dtype: DType::I32,
        shape,
        low: 0,
        high: i64::from(*last).saturating_sub(1),
    })
}

fn same_type(place: Place, found: DType, expected: DType) -> Result<(), GraphError> {
    if found == expected {
        Ok(())
    } else {
        Err(GraphError::ElementType {
            place,
            found,
            expected,
        })
    }
}

pub(crate) fn in_range(place: Place, found: i64, low: i64, high: i64) -> Result<(), GraphError> {
    if (low..=high).contains(&found) {
        Ok(())
    } else {
        Err(GraphError::Range {
            place,
            found,
            low,
            high,
        })
    }
}
