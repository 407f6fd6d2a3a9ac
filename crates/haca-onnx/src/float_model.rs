//! The imported network in floating point: what calibration observes and fidelity compares with.

use haca_wire::Shape;

use crate::{InputSpec, OnnxError, Sample};

/// One op of a float network. Values are numbered: inputs first, then one per op. Shapes are those of one
/// inference, without the batch axis.
#[derive(Clone, Debug, PartialEq)]
pub enum FloatOp {
    /// `y_i = bias_i + sum_j weight_ij * x_j`.
    Linear {
        /// Name of the node that multiplies.
        name: String,
        /// A vector of `k` elements.
        input: usize,
        /// Row-major `[n, k]`.
        weight: Vec<f32>,
        /// `n` elements.
        bias: Vec<f32>,
    },
    /// `max(x, 0)`; the input is the value of a Linear.
    Relu {
        /// Any value of a Linear.
        input: usize,
    },
    /// The same elements under another shape.
    Reshape {
        /// Any value.
        input: usize,
    },
    /// Index of the largest element along the last axis, the lowest on a tie.
    ArgMax {
        /// Any value.
        input: usize,
    },
}

impl FloatOp {
    /// The value the op reads.
    pub const fn input(&self) -> usize {
        match self {
            Self::Linear { input, .. }
            | Self::Relu { input }
            | Self::Reshape { input }
            | Self::ArgMax { input } => *input,
        }
    }

    pub(crate) const fn input_mut(&mut self) -> &mut usize {
        match self {
            Self::Linear { input, .. }
            | Self::Relu { input }
            | Self::Reshape { input }
            | Self::ArgMax { input } => input,
        }
    }
}

/// A dense network as an ONNX file describes it, with all constants folded.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatModel {
    pub(crate) name: String,
    pub(crate) inputs: Vec<String>,
    pub(crate) ops: Vec<FloatOp>,
    /// One per value.
    pub(crate) shapes: Vec<Shape>,
    /// Value and name.
    pub(crate) outputs: Vec<(usize, String)>,
}

impl FloatModel {
    /// Reads an ONNX file.
    ///
    /// # Errors
    ///
    /// Damaged files, ops and shapes outside what is supported, constants that are not finite.
    pub fn read(onnx: &[u8]) -> Result<Self, OnnxError> {
        crate::import::import(onnx)
    }

    /// Name of the graph in the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names and sizes of the inputs, for [`SampleSet::read`](crate::SampleSet::read).
    pub fn inputs(&self) -> Vec<InputSpec> {
        let spec = |(name, shape): (&String, &Shape)| InputSpec {
            name: name.clone(),
            elements: shape.elements(),
        };
        self.inputs.iter().zip(&self.shapes).map(spec).collect()
    }

    /// The ops, in the order of evaluation.
    pub fn ops(&self) -> &[FloatOp] {
        &self.ops
    }

    /// Values and names of the outputs.
    pub fn outputs(&self) -> &[(usize, String)] {
        &self.outputs
    }

    /// Shape of a value for one inference.
    pub fn shape(&self, value: usize) -> Option<&Shape> {
        self.shapes.get(value)
    }

    /// The op that makes a value; `None` for an input.
    pub fn producer(&self, value: usize) -> Option<&FloatOp> {
        self.ops.get(value.checked_sub(self.inputs.len())?)
    }

    /// Evaluates one sample and returns every value.
    ///
    /// # Errors
    ///
    /// A sample of another size, or with values that are not finite.
    pub fn evaluate(&self, sample: &Sample) -> Result<Vec<Vec<f32>>, OnnxError> {
        sample.check(&self.inputs())?;
        let mut values: Vec<Vec<f32>> = sample
            .0
            .iter()
            .map(|input| input.iter().map(|v| *v as f32).collect())
            .collect();
        for op in &self.ops {
            let x = &values[op.input()];
            let y = match op {
                FloatOp::Linear { weight, bias, .. } => linear(x, weight, bias),
                FloatOp::Relu { .. } => x.iter().map(|v| v.max(0.0)).collect(),
                FloatOp::Reshape { .. } => x.clone(),
                FloatOp::ArgMax { input } => {
                    let last = self.shapes[*input].dims().last().copied().unwrap_or(1) as usize;
                    x.chunks_exact(last).map(|row| arg_max(row) as f32).collect()
                }
            };
            values.push(y);
        }
        Ok(values)
    }

    /// Evaluates one sample and returns the outputs.
    ///
    /// # Errors
    ///
    /// As [`FloatModel::evaluate`].
    pub fn infer(&self, sample: &Sample) -> Result<Vec<Vec<f32>>, OnnxError> {
        let values = self.evaluate(sample)?;
        Ok(self
            .outputs
            .iter()
            .map(|(value, _)| values[*value].clone())
            .collect())
    }
}

/// Index of the largest element, the lowest on a tie.
pub(crate) fn arg_max<T: PartialOrd + Copy>(row: &[T]) -> usize {
    let mut best = 0;
    for (index, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = index;
        }
    }
    best
}

fn linear(x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
    weight
        .chunks_exact(x.len())
        .zip(bias)
        .map(|(row, b)| b + dot(row, x))
        .collect()
}

/// Eight partial sums in a fixed order: the same result on every machine, and wide enough for vector units.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_chunks
        .remainder()
        .iter()
        .zip(b_chunks.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}
