//! The reference interpreter: step G8 of `spec/graph.md`, written for reading, not for speed.

use haca_wire::{DType, Tensor};

use crate::parameters::check_tensor;
use crate::{Graph, GraphError, Op, Parameters, Place};

/// Everything one inference computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// The elements of each value, row-major, in the order of value ids: inputs first, then one per node.
    pub values: Vec<Vec<i64>>,
    /// The outputs, in the order of the graph.
    pub outputs: Vec<Tensor>,
}

/// Evaluates `graph` on one inference.
///
/// # Errors
///
/// Only for tensors that do not fit: wrong number, element type or shape of `inputs`, or `parameters` of another
/// graph. Each well-formed input has an output.
pub fn evaluate(graph: &Graph, parameters: &Parameters, inputs: &[Tensor]) -> Result<Evaluation, GraphError> {
    check_inputs(graph, inputs)?;
    parameters.check_shapes(graph)?;
    let mut values: Vec<Vec<i64>> = inputs.iter().map(|tensor| tensor.values().to_vec()).collect();
    for (node, op) in graph.nodes().iter().enumerate() {
        let place = Place::Node(node);
        let found = op.input().0;
        let unknown = GraphError::UnknownValue {
            place,
            found,
            expected: values.len(),
        };
        let input = values.get(found as usize).ok_or(unknown)?;
        let value = match op {
            Op::Linear { weight, bias, .. } => {
                let unknown = |found| GraphError::UnknownParam {
                    place,
                    found,
                    expected: parameters.tensors().len(),
                };
                let tensor = |id: u32| parameters.tensors().get(id as usize).ok_or(unknown(id));
                linear(input, tensor(weight.0)?.values(), tensor(bias.0)?.values())
            }
            Op::Requantise {
                multipliers,
                shift,
                low,
                high,
                ..
            } => requantise_all(input, multipliers, *shift, (*low, *high)),
            Op::ArgMax { .. } => arg_max(input, graph.values().get(found as usize)),
            Op::Reshape { .. } => input.clone(),
        };
        values.push(value);
    }
    let outputs = outputs(graph, &values)?;
    Ok(Evaluation { values, outputs })
}

fn check_inputs(graph: &Graph, inputs: &[Tensor]) -> Result<(), GraphError> {
    let (found, expected) = (inputs.len(), graph.inputs().len());
    if found != expected {
        let place = Place::Input(found.min(expected));
        return Err(GraphError::Length {
            place,
            what: "inputs",
            found,
            expected,
        });
    }
    for (index, (tensor, spec)) in inputs.iter().zip(graph.inputs()).enumerate() {
        check_tensor(Place::Input(index), tensor, spec.dtype, &spec.shape)?;
    }
    Ok(())
}

/// `acc_i = b_i + sum_j w_ij * x_j`. The bound check keeps each sum inside int32; another graph's parameters
/// could not make i64 overflow either, since a tensor has at most 2^22 elements of at most 2^31.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "at most 2^22 products of int8 by int8, and one int32"
)]
fn linear(input: &[i64], weight: &[i64], bias: &[i64]) -> Vec<i64> {
    let rows = weight.chunks_exact(input.len().max(1));
    let dot = |row: &[i64]| row.iter().zip(input).map(|(w, x)| w * x).sum::<i64>();
    rows.zip(bias).map(|(row, b)| b + dot(row)).collect()
}

fn requantise_all(acc: &[i64], multipliers: &[u32], shift: u8, clamp: (i8, i8)) -> Vec<i64> {
    // One multiplier stands for all channels.
    let multipliers = multipliers.iter().cycle().copied();
    acc.iter()
        .zip(multipliers)
        .map(|(acc, m)| requantise(*acc, m, shift, clamp.0, clamp.1))
        .collect()
}

/// Requantises one accumulator: `clamp((acc * multiplier + 2^(shift-1)) >> shift, low, high)`.
pub fn requantise(acc: i64, multiplier: u32, shift: u8, low: i8, high: i8) -> i64 {
    quotient(acc, i64::from(multiplier), shift)
        .max(i64::from(low))
        .min(i64::from(high))
}

/// The quotient before the clamp, rounded half up. Exact for all arguments; the bound check keeps it in range.
pub(crate) fn quotient(acc: i64, multiplier: i64, shift: u8) -> i64 {
    let half = 1i128.checked_shl(u32::from(shift).saturating_sub(1)).unwrap_or(0);
    let product = i128::from(acc)
        .saturating_mul(i128::from(multiplier))
        .saturating_add(half);
    let floor = product.checked_shr(u32::from(shift)).unwrap_or(0);
    i64::try_from(floor).unwrap_or(if floor < 0 { i64::MIN } else { i64::MAX })
}

fn arg_max(input: &[i64], operand: Option<&crate::ValueType>) -> Vec<i64> {
    let last = operand
        .and_then(|value| value.shape.dims().last().copied())
        .unwrap_or(1);
    let index = |row: &[i64]| {
        let mut best = (0i64, i64::MIN);
        for (index, value) in (0i64..).zip(row) {
            if *value > best.1 {
                best = (index, *value);
            }
        }
        best.0
    };
    input.chunks_exact(last.max(1) as usize).map(index).collect()
}

fn outputs(graph: &Graph, values: &[Vec<i64>]) -> Result<Vec<Tensor>, GraphError> {
    let mut outputs = Vec::new();
    for (index, (id, spec)) in graph.outputs().iter().enumerate() {
        let elements = values.get(id.0 as usize).cloned().unwrap_or_default();
        let (low, high) = spec.dtype.range();
        let outside = elements.iter().copied().find(|v| !(low..=high).contains(v));
        let (dtype, shape): (DType, _) = (spec.dtype, spec.shape.clone());
        let place = Place::Output(index);
        // Only parameters of another graph lead here: the bound check covers this graph's own.
        let tensor = Tensor::new(dtype, shape, elements).ok_or(GraphError::Range {
            place,
            found: outside.unwrap_or(0),
            low,
            high,
        })?;
        outputs.push(tensor);
    }
    Ok(outputs)
}
