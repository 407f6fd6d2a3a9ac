//! Running a model: the fast integer executor.

mod arrangement;
mod executor;
mod image;
mod product;

use haca_graph::Graph;
use haca_wire::{Inference, ModelId, Tensor};

use crate::ProverError;

pub use executor::{Executor, Value};

/// One run of a model: its public tensors, and what a proof needs of the rest.
#[derive(Clone, Debug)]
pub struct Execution {
    /// Input and output tensors.
    pub inference: Inference,
    /// All values, in the order of the graph's value ids.
    pub(crate) values: Vec<Value>,
    /// Digest of the model's key, so that executions are not mixed up.
    pub(crate) model: ModelId,
}

impl Execution {
    /// Runs the graph. Bit for bit what [`haca_graph::evaluate`] computes.
    pub(crate) fn new(
        executor: &Executor,
        graph: &Graph,
        model: ModelId,
        inputs: &[Tensor],
    ) -> Result<Self, ProverError> {
        let values = executor.run(graph, inputs)?;
        let inference = Inference {
            inputs: inputs.to_vec(),
            outputs: outputs(graph, &values)?,
        };
        Ok(Self {
            inference,
            values,
            model,
        })
    }
}

/// The output tensors of a run.
fn outputs(graph: &Graph, values: &[Value]) -> Result<Vec<Tensor>, ProverError> {
    let tensor = |(id, spec): &(haca_graph::ValueId, haca_wire::TensorSpec)| {
        let elements = values[id.0 as usize].integers();
        Tensor::new(spec.dtype, spec.shape.clone(), elements).ok_or(ProverError::Backend)
    };
    graph.outputs().iter().map(tensor).collect()
}
