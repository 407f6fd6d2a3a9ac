//! The fast integer executor: every op of a graph, prepared once per model.

use std::sync::Arc;

use haca_graph::{Graph, Op, ParamId, Parameters, ValueId};
use haca_wire::{Tensor, TensorSpec};

use super::arrangement::Arrangement;
use super::image::reduction;
use super::product::Product;
use crate::ProverError;
use crate::kernel::{
    Path, Reduction, Scaling, activate, product, requantise, weighted_sum, weighted_wide_sum, window_max,
    window_sum,
};

/// One value of a run: the elements, row-major, not padded. Clones share them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Int8 elements.
    I8(Arc<Vec<i8>>),
    /// Int32 elements.
    I32(Arc<Vec<i32>>),
}

impl Value {
    /// The elements of an int8 value; empty for others.
    pub fn narrow(&self) -> &[i8] {
        match self {
            Self::I8(elements) => elements,
            Self::I32(_) => &[],
        }
    }

    /// The elements of an int32 value; empty for others.
    pub fn wide(&self) -> &[i32] {
        match self {
            Self::I32(elements) => elements,
            Self::I8(_) => &[],
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::I8(elements) => elements.len(),
            Self::I32(elements) => elements.len(),
        }
    }

    /// The elements, as tensors hold them.
    pub fn integers(&self) -> Vec<i64> {
        match self {
            Self::I8(elements) => elements.iter().map(|v| i64::from(*v)).collect(),
            Self::I32(elements) => elements.iter().map(|v| i64::from(*v)).collect(),
        }
    }
}

/// A graph with its parameters, prepared to run: packed weights, tables, and where elements stand.
#[derive(Clone, Debug)]
pub struct Executor {
    path: Path,
    steps: Vec<Step>,
}

/// One node. Operands are indices of values.
#[derive(Clone, Debug)]
enum Step {
    Product(usize, Product),
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
    /// Of rows of so many elements.
    ArgMax(usize, usize),
    WindowSum(usize, Reduction),
    WindowMax(usize, Reduction),
    Sum(Vec<(usize, i32)>),
    Multiply(usize, usize),
    Same(usize),
    Arrange(Vec<usize>, Arrangement),
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
        let preparation = Preparation { graph, parameters };
        let nodes = graph.nodes().iter().enumerate();
        Self {
            path,
            steps: nodes.map(|(node, op)| preparation.step(node, op)).collect(),
        }
    }

    /// All values of one run of `graph`, the one this executor was prepared for: inputs first, then one per node.
    /// Bit for bit what [`haca_graph::evaluate`] computes.
    ///
    /// # Errors
    ///
    /// When the tensors do not fit the graph.
    pub fn run(&self, graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Value>, ProverError> {
        check_inputs(graph, inputs)?;
        let narrow = |tensor: &Tensor| tensor.values().iter().map(|v| *v as i8).collect();
        let mut values = Vec::with_capacity(inputs.len() + self.steps.len());
        values.extend(inputs.iter().map(|tensor| Value::I8(Arc::new(narrow(tensor)))));
        for step in &self.steps {
            let value = step.run(self.path, &values);
            values.push(value);
        }
        Ok(values)
    }
}

impl Step {
    fn run(&self, path: Path, values: &[Value]) -> Value {
        let narrow = |elements| Value::I8(Arc::new(elements));
        let wide = |elements| Value::I32(Arc::new(elements));
        match self {
            Self::Product(input, product) => wide(product.run(path, values[*input].narrow())),
            Self::Requantise {
                input,
                scaling,
                low,
                high,
            } => {
                let accumulators = values[*input].wide();
                let mut out = vec![0; accumulators.len()];
                requantise(path, accumulators, scaling, *low, *high, &mut out);
                narrow(out)
            }
            Self::Activate {
                input,
                scaling,
                low,
                table,
            } => {
                let accumulators = values[*input].wide();
                let mut out = vec![0; accumulators.len()];
                activate(path, accumulators, scaling, *low, table, &mut out);
                narrow(out)
            }
            Self::ArgMax(input, length) => wide(match &values[*input] {
                Value::I8(elements) => arg_max(elements, *length),
                Value::I32(elements) => arg_max(elements, *length),
            }),
            Self::WindowSum(input, windows) => {
                let mut out = vec![0; windows.elements()];
                window_sum(path, windows, values[*input].narrow(), &mut out);
                wide(out)
            }
            Self::WindowMax(input, windows) => {
                let mut out = vec![0; windows.elements()];
                window_max(path, windows, values[*input].narrow(), &mut out);
                narrow(out)
            }
            Self::Sum(terms) => {
                let length = terms.first().map_or(0, |(first, _)| values[*first].len());
                let mut out = vec![0; length];
                for (value, coefficient) in terms {
                    match &values[*value] {
                        Value::I8(elements) => weighted_sum(path, elements, *coefficient, &mut out),
                        Value::I32(elements) => weighted_wide_sum(path, elements, *coefficient, &mut out),
                    }
                }
                wide(out)
            }
            Self::Multiply(left, right) => {
                let (left, right) = (values[*left].narrow(), values[*right].narrow());
                let mut out = vec![0; left.len()];
                product(path, left, right, &mut out);
                wide(out)
            }
            Self::Same(input) => values[*input].clone(),
            Self::Arrange(operands, arrangement) => {
                let operands: Vec<&[i8]> = operands.iter().map(|operand| values[*operand].narrow()).collect();
                narrow(arrangement.apply(&operands))
            }
        }
    }
}

/// What steps are made from. The graph is checked: operands, parameters and shapes are there and fit.
struct Preparation<'a> {
    graph: &'a Graph,
    parameters: &'a Parameters,
}

impl Preparation<'_> {
    fn step(&self, node: usize, op: &Op) -> Step {
        let index = |id: &ValueId| id.0 as usize;
        match op {
            Op::Linear { input, weight, bias } => {
                let (weight, bias): (Vec<i8>, Vec<i32>) = (self.narrow(*weight), self.wide(*bias));
                let columns = weight.len() / bias.len().max(1);
                let positions = self.elements(*input) / columns.max(1);
                Step::Product(index(input), Product::dense(&weight, &bias, positions))
            }
            Op::Convolve {
                input,
                weight,
                bias,
                window,
                groups,
            } => {
                let (weight, bias) = (self.narrow(*weight), self.wide(*bias));
                let dims = self.image(*input);
                let product = Product::convolution(&weight, &bias, dims, window, *groups as usize);
                Step::Product(index(input), product)
            }
            Op::Requantise {
                input,
                multipliers,
                shift,
                low,
                high,
            } => Step::Requantise {
                input: index(input),
                scaling: Scaling::new(multipliers, *shift),
                low: *low,
                high: *high,
            },
            Op::Activate {
                input,
                multipliers,
                shift,
                function,
            } => Step::Activate {
                input: index(input),
                scaling: Scaling::new(multipliers, *shift),
                low: function.low,
                table: function.table(),
            },
            Op::ArgMax { input } => {
                let last = self.dims(*input).last().copied();
                Step::ArgMax(index(input), last.unwrap_or(1) as usize)
            }
            Op::WindowSum { input, window } => {
                Step::WindowSum(index(input), reduction(self.image(*input), window))
            }
            Op::WindowMax { input, window } => {
                Step::WindowMax(index(input), reduction(self.image(*input), window))
            }
            Op::Sum { terms } => {
                let term = |term: &haca_graph::Term| (index(&term.value), term.coefficient);
                Step::Sum(terms.iter().map(term).collect())
            }
            Op::Product { left, right } => Step::Multiply(index(left), index(right)),
            Op::Reshape { input, .. } => Step::Same(index(input)),
            Op::Transpose { .. }
            | Op::Slice { .. }
            | Op::Concat { .. }
            | Op::Pad { .. }
            | Op::Expand { .. } => {
                let operands = op.inputs();
                let lengths: Vec<usize> = operands.iter().map(|id| self.elements(*id)).collect();
                let cells = self.graph.arrangement(node).unwrap_or_default();
                let arrangement = Arrangement::new(&cells, &lengths);
                Step::Arrange(operands.iter().map(index).collect(), arrangement)
            }
        }
    }

    fn dims(&self, id: ValueId) -> &[u32] {
        self.graph.value_type(id).map_or(&[], |value| value.shape.dims())
    }

    fn elements(&self, id: ValueId) -> usize {
        self.graph
            .value_type(id)
            .map_or(0, |value| value.shape.elements())
    }

    /// The dimensions of an image.
    fn image(&self, id: ValueId) -> [usize; 3] {
        match self.dims(id) {
            &[height, width, channels] => [height as usize, width as usize, channels as usize],
            _ => [0; 3],
        }
    }

    fn narrow(&self, id: ParamId) -> Vec<i8> {
        let values = self.parameters.tensors()[id.0 as usize].values();
        values.iter().map(|v| *v as i8).collect()
    }

    fn wide(&self, id: ParamId) -> Vec<i32> {
        let values = self.parameters.tensors()[id.0 as usize].values();
        values.iter().map(|v| *v as i32).collect()
    }
}

/// The index of the largest element of each row, the lowest on a tie.
fn arg_max<T: Copy + PartialOrd>(elements: &[T], length: usize) -> Vec<i32> {
    let best = |row: &[T]| {
        let mut best = 0;
        for (index, element) in row.iter().enumerate() {
            if *element > row[best] {
                best = index;
            }
        }
        best as i32
    };
    elements.chunks_exact(length.max(1)).map(best).collect()
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
