//! Running a model: the fast integer executor.

use haca_graph::{Graph, Manifest, Op, requantise};
use haca_wire::{Inference, Tensor, TensorSpec};
use haca_zk::block::log2_ceil;
use haca_zk::circuit::{Circuit, Site};

use crate::ProverError;
use crate::kernel::dot;
use crate::model::Weights;

/// One run of a model: its public tensors, and what a proof needs of the rest.
#[derive(Clone, Debug)]
pub struct Execution {
    /// Input and output tensors.
    pub inference: Inference,
    /// Accumulators of each linear op, in the order of the circuit.
    pub(crate) accumulators: Vec<Vec<i32>>,
    /// Results of each requantisation, padded with the clamp of zero.
    pub(crate) results: Vec<Vec<i8>>,
    /// Digest of the model's key, so that executions are not mixed up.
    pub(crate) model: haca_wire::ModelId,
}

/// Runs the graph. Bit for bit what [`haca_graph::evaluate`] computes.
pub(crate) fn run(
    manifest: &Manifest,
    circuit: &Circuit,
    weights: &Weights,
    model: haca_wire::ModelId,
    inputs: &[Tensor],
) -> Result<Execution, ProverError> {
    let graph = &manifest.graph;
    check_inputs(graph, inputs)?;
    let inputs_i8: Vec<Vec<i8>> = inputs
        .iter()
        .map(|t| padded(t.values().iter().map(|v| *v as i8)))
        .collect();
    let mut accumulators: Vec<Vec<i32>> = Vec::new();
    let mut results: Vec<Vec<i8>> = Vec::new();
    // Nodes appear in the circuit in the order of the graph, so each source is there when it is read.
    for op in graph.nodes() {
        match op {
            Op::Linear { .. } => {
                let linear = &circuit.linears[accumulators.len()];
                let input = match linear.source {
                    Site::Input(index) => &inputs_i8[index],
                    Site::Requantise(index) => &results[index],
                    Site::Linear(_) | Site::ArgMax(..) => return Err(ProverError::Backend),
                };
                let matrix = &weights.matrices[linear.weight];
                let width = 1 << linear.column_variables();
                let rows = matrix.chunks_exact(width).zip(&weights.biases[linear.bias]);
                accumulators.push(
                    rows.map(|(row, bias)| dot(row, input).wrapping_add(*bias))
                        .collect(),
                );
            }
            Op::Requantise { .. } => {
                let node = &circuit.requantises[results.len()];
                let multipliers = node.multipliers.iter().cycle();
                let accumulators = accumulators[node.linear].iter().zip(multipliers);
                let value = |(a, m): (&i32, &u32)| {
                    requantise(i64::from(*a), *m, node.shift, node.low, node.high) as i8
                };
                let mut result: Vec<i8> = accumulators.map(value).collect();
                let padding = 0i8.clamp(node.low, node.high);
                result.resize(result.len().next_power_of_two(), padding);
                results.push(result);
            }
            // The circuit holds no other ops.
            _ => {}
        }
    }
    let outputs = outputs(manifest, circuit, inputs, &accumulators, &results)?;
    let inference = Inference {
        inputs: inputs.to_vec(),
        outputs,
    };
    Ok(Execution {
        inference,
        accumulators,
        results,
        model,
    })
}

/// Number, element types and shapes of the inputs are those of the graph.
fn check_inputs(graph: &Graph, inputs: &[Tensor]) -> Result<(), ProverError> {
    let specs = graph.inputs();
    let fits = |(tensor, spec): (&Tensor, &TensorSpec)| {
        tensor.dtype() == spec.dtype && *tensor.shape() == spec.shape
    };
    match inputs.iter().zip(specs).position(|pair| !fits(pair)) {
        Some(index) => Err(ProverError::Input { index }),
        None if inputs.len() != specs.len() => Err(ProverError::Input {
            index: inputs.len().min(specs.len()),
        }),
        None => Ok(()),
    }
}

/// A vector padded with zeros to a power of two.
fn padded(values: impl Iterator<Item = i8>) -> Vec<i8> {
    let mut out: Vec<i8> = values.collect();
    out.resize(1 << log2_ceil(out.len()), 0);
    out
}

fn outputs(
    manifest: &Manifest,
    circuit: &Circuit,
    inputs: &[Tensor],
    accumulators: &[Vec<i32>],
    results: &[Vec<i8>],
) -> Result<Vec<Tensor>, ProverError> {
    let outputs = manifest.graph.outputs();
    let value = |site: &Site, elements: usize| -> Vec<i64> {
        match site {
            Site::Input(index) => inputs[*index].values().to_vec(),
            Site::Linear(index) => accumulators[*index].iter().map(|a| i64::from(*a)).collect(),
            Site::Requantise(index) => results[*index][..elements]
                .iter()
                .map(|r| i64::from(*r))
                .collect(),
            Site::ArgMax(..) => Vec::new(),
        }
    };
    let mut values: Vec<Vec<i64>> = Vec::new();
    for (site, (_, spec)) in circuit.outputs.iter().zip(outputs) {
        values.push(value(site, spec.shape.elements()));
    }
    for (index, site) in circuit.outputs.iter().enumerate() {
        if let Site::ArgMax(operand, last) = site {
            let source = outputs
                .iter()
                .position(|(id, _)| id == operand)
                .ok_or(ProverError::Backend)?;
            values[index] = haca_zk::public::arg_max(&values[source], *last);
        }
    }
    let tensors = values.into_iter().zip(outputs);
    tensors
        .map(|(values, (_, spec))| {
            Tensor::new(spec.dtype, spec.shape.clone(), values).ok_or(ProverError::Backend)
        })
        .collect()
}
