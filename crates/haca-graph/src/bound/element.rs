//! Ops that work element by element, and ops that only move elements.

use haca_wire::{DType, Shape};

use super::{ValueType, accumulators, product_range, same_type};
use crate::graph::Scope;
use crate::{GraphError, Op, Place, Term, ValueId, arrangement, limit};

pub(super) fn sum(scope: &Scope<'_>, terms: &[Term]) -> Result<ValueType, GraphError> {
    let place = scope.place();
    let (found, expected) = (terms.len(), limit::OPERANDS);
    let Some(first) = terms.first().filter(|_| found <= expected) else {
        return Err(GraphError::Length {
            place,
            what: "terms",
            found,
            expected,
        });
    };
    let shape = scope.value(first.value)?.shape.clone();
    // The exact range: sixteen products of an accumulator and a coefficient may leave 64 bits, and come back.
    let mut range = (0i128, 0i128);
    for term in terms {
        let value = summand(scope, term.value, &shape)?;
        let coefficient = i64::from(term.coefficient);
        let (low, high) = product_range((value.low, value.high), (coefficient, coefficient));
        range = (
            range.0.saturating_add(i128::from(low)),
            range.1.saturating_add(i128::from(high)),
        );
    }
    // What 64 bits do not hold, no accumulator holds.
    let end = |end: i128| i64::try_from(end).unwrap_or(if end < 0 { i64::MIN } else { i64::MAX });
    accumulators(place, shape.dims().to_vec(), (end(range.0), end(range.1)))
}

pub(super) fn product(scope: &Scope<'_>, left: ValueId, right: ValueId) -> Result<ValueType, GraphError> {
    let place = scope.place();
    let shape = scope.value(left)?.shape.clone();
    let left = same_shape(scope, left, &shape)?;
    let right = same_shape(scope, right, &shape)?;
    let range = product_range((left.low, left.high), (right.low, right.high));
    accumulators(place, shape.dims().to_vec(), range)
}

/// What a Sum adds up: an int8 value of a shape, or accumulators that are no Sum.
fn summand<'a>(scope: &'a Scope<'_>, id: ValueId, shape: &Shape) -> Result<&'a ValueType, GraphError> {
    let value = scope.value(id)?;
    let is_term = value.dtype == DType::I8 || scope.producer(id).is_some_and(Op::makes_terms);
    if !is_term {
        return Err(GraphError::NotAccumulator {
            place: scope.place(),
            found: id.0,
        });
    }
    of_shape(scope, value, shape)
}

/// An int8 value of a shape.
fn same_shape<'a>(scope: &'a Scope<'_>, id: ValueId, shape: &Shape) -> Result<&'a ValueType, GraphError> {
    let value = scope.value(id)?;
    same_type(scope.place(), value.dtype, DType::I8)?;
    of_shape(scope, value, shape)
}

fn of_shape<'a>(scope: &Scope<'_>, value: &'a ValueType, shape: &Shape) -> Result<&'a ValueType, GraphError> {
    let place = scope.place();
    if value.shape != *shape {
        let (found, expected) = (value.shape.clone(), shape.clone());
        return Err(GraphError::Shape {
            place,
            found,
            expected,
        });
    }
    Ok(value)
}

pub(super) fn arrangement(scope: &Scope<'_>, op: &Op) -> Result<ValueType, GraphError> {
    let place = scope.place();
    let inputs = op.inputs();
    let (found, expected) = (inputs.len(), limit::OPERANDS);
    if found == 0 || found > expected {
        return Err(GraphError::Length {
            place,
            what: "operands",
            found,
            expected,
        });
    }
    let values = inputs
        .iter()
        .map(|id| scope.value(*id))
        .collect::<Result<Vec<_>, _>>()?;
    let shapes: Vec<&Shape> = values.iter().map(|value| &value.shape).collect();
    let first = values.first().map_or(DType::I8, |value| value.dtype);
    if !matches!(op, Op::Reshape { .. }) {
        for value in &values {
            same_type(place, value.dtype, DType::I8)?;
        }
    }
    let dims = arrangement::dims(op, &shapes).ok_or_else(|| misfit(op, place, &shapes))?;
    let shape = Shape::new(dims).ok_or(GraphError::TooLarge { place })?;
    let constant = match op {
        Op::Pad { value, .. } => Some(i64::from(*value)),
        _ => None,
    };
    let lows = values.iter().map(|value| value.low).chain(constant);
    let highs = values.iter().map(|value| value.high).chain(constant);
    Ok(ValueType {
        dtype: first,
        shape,
        low: lows.fold(i64::MAX, i64::min),
        high: highs.fold(i64::MIN, i64::max),
    })
}

fn misfit(op: &Op, place: Place, shapes: &[&Shape]) -> GraphError {
    match (op, shapes.first()) {
        (Op::Reshape { shape, .. } | Op::Expand { shape, .. }, Some(from)) => GraphError::Shape {
            place,
            found: shape.clone(),
            expected: (*from).clone(),
        },
        _ => GraphError::Arrangement { place, op: op.name() },
    }
}
