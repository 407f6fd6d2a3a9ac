//! The public side: checks on the tensors of a statement, and their extensions.
//!
//! A batch is padded to a power of two by repeating its last inference, so that the padding, too, is an inference
//! the proof covers.

use haca_graph::Graph;
use haca_wire::{Inference, Tensor, TensorSpec};
use p3_field::PrimeCharacteristicRing;

use crate::circuit::{Circuit, Site};
use crate::field::{Extension, base};
use crate::functional::Folded;
use crate::multilinear::eq_table;
use crate::value::{Element, Source, Value};
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

/// The first output that does not follow from the other public tensors: elements of inputs and constants, another copy
/// of an output, or the index of a largest element.
fn derived_mismatch(graph: &Graph, circuit: &Circuit, tensors: &Inference) -> Option<usize> {
    let values = |tensors: &[Tensor], index: usize| tensors.get(index).map(|t| t.values().to_vec());
    let first = |site: &Site| circuit.outputs.iter().position(|other| other == site);
    let expected = |site: &Site| match site {
        Site::Value(index) => match circuit.values.get(*index).filter(|value| value.is_public()) {
            Some(value) => arranged(value, &tensors.inputs),
            None => first(site).and_then(|i| values(&tensors.outputs, i)),
        },
        Site::Accumulator(_) => first(site).and_then(|i| values(&tensors.outputs, i)),
        Site::ArgMax(operand, last) => {
            let output = graph.outputs().iter().position(|(id, _)| id == operand)?;
            values(&tensors.outputs, output).map(|values| arg_max(&values, *last))
        }
    };
    let mut sites = circuit.outputs.iter().enumerate();
    sites.find_map(|(index, site)| (expected(site) != values(&tensors.outputs, index)).then_some(index))
}

/// The elements of a value that is made of inputs and constants.
fn arranged(value: &Value, inputs: &[Tensor]) -> Option<Vec<i64>> {
    let element = |index: usize| match value.element(index)? {
        Element::Constant(constant) => Some(i64::from(constant)),
        Element::Of(Source::Input(input), index) => inputs.get(input)?.values().get(index as usize).copied(),
        Element::Of(..) => None,
    };
    (0..value.elements()).map(element).collect()
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

    /// The elements of input `index`, summed over the inferences with the weights of a batch point.
    pub fn input(&self, index: usize, point: &[Extension]) -> Folded {
        let values = |inference: &'a Inference| inference.inputs.get(index).map_or(&[][..], Tensor::values);
        match self.inferences {
            [one] if point.is_empty() => Folded::Plain(values(one).iter().map(|v| base(*v)).collect()),
            all => {
                let elements = all.first().map_or(0, |first| values(first).len());
                let mut sums = vec![Extension::ZERO; elements];
                for (inference, weight) in all.iter().zip(self.weights(point)) {
                    let cells = sums.iter_mut().zip(values(inference));
                    cells
                        .filter(|(_, v)| **v != 0)
                        .for_each(|(sum, v)| *sum += weight * base(*v));
                }
                Folded::Mixed(sums)
            }
        }
    }

    /// All inputs of a graph, folded at a batch point.
    pub fn inputs(&self, count: usize, point: &[Extension]) -> Vec<Folded> {
        (0..count).map(|index| self.input(index, point)).collect()
    }

    /// The extension of output `index` at a point of the batch: its elements times the weights of their positions and
    /// channels.
    pub fn output(
        &self,
        index: usize,
        point: &[Extension],
        positions: &[Extension],
        channels: &[Extension],
        width: usize,
    ) -> Extension {
        let pixel = |values: &[i64]| -> Extension {
            let pairs = values.iter().zip(channels).filter(|(v, _)| **v != 0);
            pairs.map(|(v, weight)| *weight * base(*v)).sum()
        };
        let rows = self.inferences.iter().map(|inference| {
            let values = inference.outputs.get(index).map_or(&[][..], Tensor::values);
            let pixels = values.chunks(width.max(1)).zip(positions);
            pixels.map(|(values, weight)| *weight * pixel(values)).sum()
        });
        self.weights(point)
            .into_iter()
            .zip(rows)
            .map(|(weight, row): (_, Extension)| weight * row)
            .sum()
    }
}
