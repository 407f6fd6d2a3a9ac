//! The public side: checks on the tensors of a statement, and their extensions.
//!
//! A batch is padded to a power of two by repeating its last inference, so that the padding, too, is an inference
//! the proof covers.

use haca_graph::Graph;
use haca_wire::{Inference, Tensor, TensorSpec};

use crate::circuit::{Circuit, Site};
use crate::field::{Extension, base};
use crate::multilinear::eq_table;
use crate::{ProofRejection, VerifyingKey};

/// Step V2 of `spec/zk.md`: number, element types and shapes of the tensors are those of the graph, and outputs that
/// follow from other public tensors do so.
pub(crate) fn check_tensors(key: &VerifyingKey, inferences: &[Inference]) -> Result<(), ProofRejection> {
    let graph = &key.manifest().graph;
    for (inference, tensors) in inferences.iter().enumerate() {
        let inputs: Vec<&TensorSpec> = graph.inputs().iter().collect();
        let outputs: Vec<&TensorSpec> = graph.outputs().iter().map(|(_, spec)| spec).collect();
        for (what, specs, tensors) in [
            ("input", inputs, &tensors.inputs),
            ("output", outputs, &tensors.outputs),
        ] {
            let misfit = |(tensor, spec): (&Tensor, &&TensorSpec)| {
                tensor.dtype() != spec.dtype || *tensor.shape() != spec.shape
            };
            let index = match tensors.iter().zip(&specs).position(misfit) {
                Some(index) => index,
                None if tensors.len() == specs.len() => continue,
                None => tensors.len().min(specs.len()),
            };
            return Err(ProofRejection::TensorShape {
                inference,
                what,
                index,
            });
        }
        if let Some(index) = derived_mismatch(graph, key.circuit(), tensors) {
            return Err(ProofRejection::DerivedOutput { inference, index });
        }
    }
    Ok(())
}

/// The first output that does not follow from the other public tensors: a copy of an input, another copy of an
/// output, or the index of a largest element.
fn derived_mismatch(graph: &Graph, circuit: &Circuit, tensors: &Inference) -> Option<usize> {
    let values = |tensors: &[Tensor], index: usize| tensors.get(index).map(|t| t.values().to_vec());
    let first = |site: &Site| circuit.outputs.iter().position(|other| other == site);
    let expected = |site: &Site| match site {
        Site::Input(input) => values(&tensors.inputs, *input),
        Site::Linear(_) | Site::Requantise(_) => first(site).and_then(|i| values(&tensors.outputs, i)),
        Site::ArgMax(operand, last) => {
            let output = graph.outputs().iter().position(|(id, _)| id == operand)?;
            values(&tensors.outputs, output).map(|values| arg_max(&values, *last))
        }
    };
    let mut sites = circuit.outputs.iter().enumerate();
    sites.find_map(|(index, site)| (expected(site) != values(&tensors.outputs, index)).then_some(index))
}

/// The index of the largest element of each row; ties go to the lowest.
pub fn arg_max(values: &[i64], last: usize) -> Vec<i64> {
    let index = |row: &[i64]| {
        let largest = row.iter().max().copied().unwrap_or(0);
        row.iter().position(|value| *value == largest).unwrap_or(0) as i64
    };
    values.chunks_exact(last.max(1)).map(index).collect()
}

/// The tensors of a batch.
pub struct Batch<'a> {
    inferences: &'a [Inference],
}

impl<'a> Batch<'a> {
    /// The batch of a statement.
    pub const fn new(inferences: &'a [Inference]) -> Self {
        Self { inferences }
    }

    /// The weight of each inference at a point of the padded batch.
    fn weights(&self, point: &[Extension]) -> Vec<Extension> {
        let mut weights = eq_table(point);
        let last = self.inferences.len().saturating_sub(1);
        let rest: Extension = weights.drain(last.min(weights.len())..).sum();
        weights.push(rest);
        weights
    }

    fn evaluate<'b>(
        &self,
        tensors: impl Fn(&'b Inference) -> Option<&'b Tensor>,
        point: &[Extension],
        columns: &[Extension],
    ) -> Extension
    where
        'a: 'b,
    {
        let rows = self.inferences.iter().map(|inference| {
            let values = tensors(inference).map_or(&[][..], Tensor::values);
            values
                .iter()
                .zip(columns)
                .filter(|(v, _)| **v != 0)
                .map(|(v, c)| *c * base(*v))
                .sum()
        });
        self.weights(point)
            .into_iter()
            .zip(rows)
            .map(|(weight, row): (_, Extension)| weight * row)
            .sum()
    }

    /// The extension of input `index` at a point of the batch, with the elements weighted by `columns`.
    pub fn input(&self, index: usize, point: &[Extension], columns: &[Extension]) -> Extension {
        self.evaluate(|inference| inference.inputs.get(index), point, columns)
    }

    /// The extension of output `index` at a point of the batch, with the elements weighted by `columns`.
    pub fn output(&self, index: usize, point: &[Extension], columns: &[Extension]) -> Extension {
        self.evaluate(|inference| inference.outputs.get(index), point, columns)
    }
}
