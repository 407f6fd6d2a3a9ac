//! The reference interpreter: step G10 of `spec/graph.md`, written for reading, not for speed.

use haca_wire::{DType, Tensor};

mod windows;

use crate::parameters::check_tensor;
use crate::{Cell, Function, Graph, GraphError, Op, ParamId, Parameters, Place, Term, ValueId};
use windows::{Filters, Windows};

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
        let value = Node {
            graph,
            parameters,
            values: &values,
            place: Place::Node(node),
            node,
        }
        .evaluate(op)?;
        values.push(value);
    }
    let outputs = outputs(graph, &values)?;
    Ok(Evaluation { values, outputs })
}

/// One node, and everything that stands before it.
struct Node<'a> {
    graph: &'a Graph,
    parameters: &'a Parameters,
    values: &'a [Vec<i64>],
    place: Place,
    node: usize,
}

impl Node<'_> {
    fn value(&self, id: ValueId) -> Result<&[i64], GraphError> {
        let unknown = GraphError::UnknownValue {
            place: self.place,
            found: id.0,
            expected: self.values.len(),
        };
        Ok(self.values.get(id.0 as usize).ok_or(unknown)?)
    }

    fn dims(&self, id: ValueId) -> &[u32] {
        self.graph.value_type(id).map_or(&[], |value| value.shape.dims())
    }

    fn param(&self, id: ParamId) -> Result<&Tensor, GraphError> {
        let unknown = GraphError::UnknownParam {
            place: self.place,
            found: id.0,
            expected: self.parameters.tensors().len(),
        };
        self.parameters.tensors().get(id.0 as usize).ok_or(unknown)
    }

    fn evaluate(&self, op: &Op) -> Result<Vec<i64>, GraphError> {
        Ok(match op {
            Op::Linear { input, weight, bias } => linear(
                self.value(*input)?,
                self.param(*weight)?,
                self.param(*bias)?.values(),
            ),
            Op::Requantise {
                input,
                multipliers,
                shift,
                low,
                high,
            } => {
                let quotients = quotients(self.value(*input)?, multipliers, *shift);
                let clamp = |y: i64| y.max(i64::from(*low)).min(i64::from(*high));
                quotients.map(clamp).collect()
            }
            Op::Activate {
                input,
                multipliers,
                shift,
                function,
            } => {
                let table = function.table();
                let quotients = quotients(self.value(*input)?, multipliers, *shift);
                quotients.map(|y| activate(y, function, &table)).collect()
            }
            Op::ArgMax { input } => arg_max(self.value(*input)?, self.dims(*input)),
            Op::Convolve {
                input,
                weight,
                bias,
                window,
                groups,
            } => {
                let windows = Windows::new(self.dims(*input), window);
                let filters = Filters {
                    weight: self.param(*weight)?,
                    bias: self.param(*bias)?.values(),
                    groups: *groups,
                };
                filters.convolve(self.value(*input)?, &windows)
            }
            Op::WindowSum { input, window } => {
                let windows = Windows::new(self.dims(*input), window);
                windows.reduce(self.value(*input)?, |elements| elements.sum())
            }
            Op::WindowMax { input, window } => {
                let windows = Windows::new(self.dims(*input), window);
                windows.reduce(self.value(*input)?, |elements| elements.max().unwrap_or(0))
            }
            Op::Sum { terms } => self.sum(terms)?,
            Op::Product { left, right } => {
                let pairs = self.value(*left)?.iter().zip(self.value(*right)?);
                pairs.map(|(l, r)| l.saturating_mul(*r)).collect()
            }
            Op::Reshape { input, .. } => self.value(*input)?.to_vec(),
            Op::Transpose { .. }
            | Op::Slice { .. }
            | Op::Concat { .. }
            | Op::Pad { .. }
            | Op::Expand { .. } => self.arrange(op)?,
        })
    }

    fn sum(&self, terms: &[Term]) -> Result<Vec<i64>, GraphError> {
        // Partial sums may leave 64 bits where the sum itself is an accumulator.
        let mut sum = Vec::new();
        for term in terms {
            let value = self.value(term.value)?;
            sum.resize(value.len(), 0i128);
            for (total, element) in sum.iter_mut().zip(value) {
                let product = i128::from(*element).saturating_mul(i128::from(term.coefficient));
                *total = total.saturating_add(product);
            }
        }
        let sum = sum.into_iter();
        Ok(sum
            .map(|total| i64::try_from(total).unwrap_or(if total < 0 { i64::MIN } else { i64::MAX }))
            .collect())
    }

    fn arrange(&self, op: &Op) -> Result<Vec<i64>, GraphError> {
        let operands = op.inputs();
        let operands = operands
            .iter()
            .map(|id| self.value(*id))
            .collect::<Result<Vec<_>, _>>()?;
        let of = |cell: Cell| match cell {
            Cell::Element(operand, index) => {
                let value = operands.get(usize::from(operand));
                value.and_then(|v| v.get(index as usize)).copied().unwrap_or(0)
            }
            Cell::Constant(value) => i64::from(value),
        };
        Ok(self
            .graph
            .arrangement(self.node)
            .unwrap_or_default()
            .into_iter()
            .map(of)
            .collect())
    }
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

/// `acc_pi = b_i + sum_j w_ij * x_pj`. The bound check keeps each sum inside int32; another graph's parameters
/// could not make i64 overflow either, since a tensor has at most 2^22 elements of at most 2^31.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "at most 2^22 products of int8 by int8, and one int32"
)]
fn linear(input: &[i64], weight: &Tensor, bias: &[i64]) -> Vec<i64> {
    let columns = weight.shape().dims().last().map_or(1, |k| *k as usize).max(1);
    let dot = |x: &[i64], row: &[i64]| row.iter().zip(x).map(|(w, x)| w * x).sum::<i64>();
    let rows = |x| {
        weight
            .values()
            .chunks_exact(columns)
            .zip(bias)
            .map(move |(row, b)| b + dot(x, row))
    };
    input.chunks_exact(columns).flat_map(rows).collect()
}

/// The quotients of accumulators whose last axis has the multipliers; one multiplier stands for all channels.
fn quotients(acc: &[i64], multipliers: &[u32], shift: u8) -> impl Iterator<Item = i64> {
    let multipliers = multipliers.iter().cycle();
    acc.iter()
        .zip(multipliers)
        .map(move |(acc, m)| quotient(*acc, i64::from(*m), shift))
}

fn activate(y: i64, function: &Function, table: &[i8]) -> i64 {
    let (low, high) = (i64::from(function.low), i64::from(function.high));
    let index = y.max(low).min(high).saturating_sub(low);
    let entry = usize::try_from(index).ok().and_then(|index| table.get(index));
    i64::from(entry.copied().unwrap_or(0))
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

fn arg_max(input: &[i64], dims: &[u32]) -> Vec<i64> {
    let last = dims.last().copied().unwrap_or(1);
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
