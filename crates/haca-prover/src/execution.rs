//! Running a model: the fast integer executor.

mod arrangement;
mod executor;
mod image;
mod preparation;
mod product;
mod values;

use haca_graph::Graph;
use haca_wire::{Inference, ModelId, Tensor};

use crate::ProverError;

pub use executor::Executor;
pub use values::Values;

/// One run of a model: its public tensors, and what a proof needs of the rest.
#[derive(Clone, Debug)]
pub struct Execution {
    /// Input and output tensors.
    pub inference: Inference,
    /// All values, in the order of the graph's value ids.
    pub(crate) values: Values,
    /// Digest of the model's key, so that executions are not mixed up.
    pub(crate) model: ModelId,
}

impl Execution {
    /// Runs the graph. Bit for bit what [`haca_graph::evaluate`] computes.
    pub(crate) fn new(
        executor: &Executor,
        graph: &Graph,
        model: ModelId,
        inputs: Vec<Tensor>,
    ) -> Result<Self, ProverError> {
        let values = executor.run(graph, &inputs)?;
        let outputs = outputs(graph, &values)?;
        Ok(Self {
            inference: Inference { inputs, outputs },
            values,
            model,
        })
    }

    /// Runs the graph on each of several lists of inputs, together.
    pub(crate) fn all(
        executor: &Executor,
        graph: &Graph,
        model: ModelId,
        runs: Vec<Vec<Tensor>>,
    ) -> Result<Vec<Self>, ProverError> {
        let values = executor.run_batch(graph, &runs)?;
        // Fallible iterators have no length to reserve memory for.
        let mut executions = Vec::with_capacity(runs.len());
        for (inputs, values) in runs.into_iter().zip(values) {
            let outputs = outputs(graph, &values)?;
            executions.push(Self {
                inference: Inference { inputs, outputs },
                values,
                model,
            });
        }
        Ok(executions)
    }
}

/// The output tensors of a run.
fn outputs(graph: &Graph, values: &Values) -> Result<Vec<Tensor>, ProverError> {
    let mut tensors = Vec::with_capacity(graph.outputs().len());
    for (id, spec) in graph.outputs() {
        let elements = values.integers(id.0 as usize);
        let Some(tensor) = Tensor::new(spec.dtype, spec.shape.clone(), elements) else {
            return Err(ProverError::Backend);
        };
        tensors.push(tensor);
    }
    Ok(tensors)
}
