//! The fast integer executor: every op of a graph, prepared once per model.

use std::sync::Arc;

use haca_graph::{Graph, Parameters};
use haca_wire::{Tensor, TensorSpec};

use super::arrangement::Arrangement;
use super::preparation::Preparation;
use super::product::Product;
use super::values::{Batch, Places, Step as Work, Values};
use crate::ProverError;
use crate::kernel::{
    Path, Reduction, Scaling, activate, product, requantise, weighted_sum, weighted_wide_sum, window_max,
    window_sum,
};

/// A graph with its parameters, prepared to run: packed weights, tables, and where elements stand.
#[derive(Clone, Debug)]
pub struct Executor {
    path: Path,
    places: Arc<Places>,
    steps: Vec<Step>,
}

/// One node. Operands are indices of values.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Makes an int8 value.
    Narrow(Narrow),
    /// Makes an int32 value.
    Wide(Wide),
    /// The same elements as the operand.
    Same(usize),
}

/// A node with an int8 value.
#[derive(Clone, Debug)]
pub(super) enum Narrow {
    Requantise {
        input: usize,
        scaling: Scaling,
        low: i8,
        high: i8,
    },
    Activate {
        input: usize,
        scaling: Scaling,
        low: i16,
        table: Vec<i8>,
    },
    WindowMax(usize, Reduction),
    Arrange(Vec<usize>, Arrangement),
}

/// A node with an int32 value.
#[derive(Clone, Debug)]
pub(super) enum Wide {
    Product(usize, Product),
    /// Of rows of so many elements.
    ArgMax(usize, usize),
    WindowSum(usize, Reduction),
    Sum(Vec<(usize, i32)>),
    Multiply(usize, usize),
}

impl Executor {
    /// Prepares `graph` with its parameters, for the fastest kernels of this processor.
    pub fn new(graph: &Graph, parameters: &Parameters) -> Self {
        Self::with_path(graph, parameters, Path::best())
    }

    /// One executor for each family of kernels that this processor has, so that tests compare them.
    #[doc(hidden)]
    pub fn for_all_kernels(graph: &Graph, parameters: &Parameters) -> Vec<Self> {
        let paths = Path::all().into_iter();
        paths
            .map(|path| Self::with_path(graph, parameters, path))
            .collect()
    }

    fn with_path(graph: &Graph, parameters: &Parameters, path: Path) -> Self {
        let (steps, places) = Preparation { graph, parameters }.steps();
        Self {
            path,
            places: Arc::new(places),
            steps,
        }
    }

    /// All values of one run of `graph`, the one this executor was prepared for: bit for bit what
    /// [`haca_graph::evaluate`] computes.
    ///
    /// # Errors
    ///
    /// When the tensors do not fit the graph.
    pub fn run(&self, graph: &Graph, inputs: &[Tensor]) -> Result<Values, ProverError> {
        let mut values = self.run_batch(graph, &[inputs])?;
        values.next().ok_or(ProverError::Backend)
    }

    /// [`Executor::run`] for each of several runs, together: a layer's weights are read once for all of them.
    ///
    /// # Errors
    ///
    /// When the tensors of a run do not fit the graph.
    pub fn run_batch<I: AsRef<[Tensor]>>(
        &self,
        graph: &Graph,
        runs: &[I],
    ) -> Result<impl Iterator<Item = Values> + use<I>, ProverError> {
        let mut batch = Batch::new(&self.places, runs.len());
        for (run, inputs) in runs.iter().enumerate() {
            check_inputs(graph, inputs.as_ref())?;
            for (value, input) in inputs.as_ref().iter().enumerate() {
                let elements = batch.narrow_mut(value, run).iter_mut();
                elements
                    .zip(input.values())
                    .for_each(|(to, from)| *to = *from as i8);
            }
        }
        let mut scratch = Vec::new();
        for (value, step) in (graph.inputs().len()..).zip(&self.steps) {
            match step {
                Step::Narrow(node) => node.run(self.path, batch.narrow_step(value)),
                Step::Wide(node) => node.run(self.path, batch.wide_step(value), &mut scratch),
                Step::Same(_) => {}
            }
        }
        Ok(Values::of_all(batch))
    }
}

impl Narrow {
    fn run(&self, path: Path, work: Work<'_, i8>) {
        match self {
            Self::Requantise {
                input,
                scaling,
                low,
                high,
            } => requantise(path, work.wide(*input), scaling, *low, *high, work.out),
            Self::Activate {
                input,
                scaling,
                low,
                table,
            } => activate(path, work.wide(*input), scaling, *low, table, work.out),
            Self::WindowMax(input, windows) => {
                for (input, out) in windows
                    .runs(work.narrow(*input))
                    .zip(work.out.chunks_exact_mut(windows.elements()))
                {
                    window_max(path, windows, input, out);
                }
            }
            Self::Arrange(operands, arrangement) => {
                let runs = work.runs.max(1);
                let values: Vec<&[i8]> = operands.iter().map(|value| work.narrow(*value)).collect();
                let length = work.out.len() / runs;
                for (run, out) in work.out.chunks_exact_mut(length.max(1)).enumerate() {
                    let of_run = |all: &[i8]| {
                        let length = all.len() / runs;
                        run * length..(run + 1) * length
                    };
                    let operands: Vec<&[i8]> = values.iter().map(|all| &all[of_run(all)]).collect();
                    arrangement.apply(&operands, out);
                }
            }
        }
    }
}

impl Wide {
    fn run(&self, path: Path, work: Work<'_, i32>, scratch: &mut Vec<i8>) {
        match self {
            Self::Product(input, product) => {
                product.run(path, work.narrow(*input), work.runs, work.out, scratch);
            }
            Self::ArgMax(input, length) => {
                arg_max(work.narrow(*input), *length, work.out);
                arg_max(work.wide(*input), *length, work.out);
            }
            Self::WindowSum(input, windows) => {
                for (input, out) in windows
                    .runs(work.narrow(*input))
                    .zip(work.out.chunks_exact_mut(windows.elements()))
                {
                    window_sum(path, windows, input, out);
                }
            }
            Self::Sum(terms) => {
                // The sum begins with zeros; one of the two is empty.
                for (value, coefficient) in terms {
                    weighted_sum(path, work.narrow(*value), *coefficient, work.out);
                    weighted_wide_sum(path, work.wide(*value), *coefficient, work.out);
                }
            }
            Self::Multiply(left, right) => product(path, work.narrow(*left), work.narrow(*right), work.out),
        }
    }
}

/// The index of the largest element of each row, the lowest on a tie.
fn arg_max<T: Copy + PartialOrd>(elements: &[T], length: usize, out: &mut [i32]) {
    let best = |row: &[T]| {
        let mut best = 0;
        for (index, element) in row.iter().enumerate() {
            if *element > row[best] {
                best = index;
            }
        }
        best as i32
    };
    let rows = elements.chunks_exact(length.max(1));
    out.iter_mut().zip(rows).for_each(|(out, row)| *out = best(row));
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
