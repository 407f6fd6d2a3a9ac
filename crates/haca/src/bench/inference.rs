//! Inference alone: in a loop of its own, so that caches hold the model and not the last proof.

use std::time::{Duration, Instant};

use haca_prover::{Execution, ProvingKey};
use haca_wire::Tensor;

use crate::bench::{median, ms};
use crate::failure::Failure;
use crate::work::prover;

/// Runs that are not counted.
const WARM_UP: usize = 20;
/// Runs go on for so long at least.
const LONG_ENOUGH: Duration = Duration::from_millis(500);

/// What the loop found.
pub(super) struct Inference {
    /// Median of one run over all inputs.
    pub(super) ms: f64,
    /// How many runs the median is of.
    pub(super) runs: usize,
}

/// Times the runs of a batch, at least `runs` times. A time is all that a node does from input tensors to output tensors:
/// checks, conversions, the graph, the values that a proof needs, and freeing them.
pub(super) fn measure(key: &ProvingKey, inputs: &[Vec<Tensor>], runs: usize) -> Result<Inference, Failure> {
    for _ in 0..WARM_UP {
        run(key, inputs)?;
    }
    let (mut taken, begin) = (Vec::new(), Instant::now());
    while taken.len() < runs || begin.elapsed() < LONG_ENOUGH {
        // A node gives the tensors that it read away.
        let given = inputs.to_vec();
        let start = Instant::now();
        drop(key.infer_batch(given).map_err(prover)?);
        taken.push(ms(start));
    }
    let runs = taken.len();
    Ok(Inference {
        ms: median(taken),
        runs,
    })
}

/// Runs the model on each input.
pub(super) fn run(key: &ProvingKey, inputs: &[Vec<Tensor>]) -> Result<Vec<Execution>, Failure> {
    key.infer_batch(inputs.to_vec()).map_err(prover)
}
