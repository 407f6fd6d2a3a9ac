//! The imported network in floating point: what calibration observes and fidelity compares with.

mod evaluation;
mod function;

use haca_graph::{Stretch, Window};
use haca_wire::Shape;

use crate::{InputSpec, OnnxError, ReadOptions, Sample};

pub(crate) use evaluation::arg_max;
pub use function::FloatFunction;

/// What a layer multiplies with.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Row-major, one row per output channel.
    pub weight: Vec<f32>,
    /// One per output channel.
    pub bias: Vec<f32>,
    /// Real value of one step of each row, where the file fixes it (QLinearConv, DequantizeLinear); else quantisation
    /// chooses.
    pub steps: Option<Vec<f32>>,
}

/// One op of a float network. Values are numbered: inputs first, then one per op. Shapes are those of one
/// inference; images are `[h, w, c]`, whatever the file's layout.
#[derive(Clone, Debug, PartialEq)]
pub enum FloatOp {
    /// `y_pi = bias_i + sum_j weight_ij * x_pj` along the last axis.
    Linear {
        /// Name of the node that multiplies.
        name: String,
        /// A value `[.., k]`.
        input: usize,
        /// `[n, k]` and `n`.
        weights: Weights,
    },
    /// A convolution of a value `[h, w, c]`; outside the input stands 0.
    Convolve {
        /// Name of the node that multiplies.
        name: String,
        /// A value `[h, w, c]`.
        input: usize,
        /// `[n, kh, kw, c / groups]` and `n`.
        weights: Weights,
        /// Kernel, stride, dilation and padding.
        window: Window,
        /// Groups of channels.
        groups: u32,
    },
    /// `factor` times the sum of each channel over each window; outside the input stands 0.
    WindowSum {
        /// Name of the node.
        name: String,
        /// A value `[h, w, c]`.
        input: usize,
        /// Kernel, stride, dilation and padding.
        window: Window,
        /// One over the number of elements for a mean.
        factor: f32,
    },
    /// The largest element of each channel in each window, padding ignored.
    WindowMax {
        /// A value `[h, w, c]`.
        input: usize,
        /// Kernel, stride, dilation and padding.
        window: Window,
    },
    /// `sum_t coefficient_t * value_t`, element by element.
    Sum {
        /// Name of the node.
        name: String,
        /// Values of one shape with their coefficients.
        terms: Vec<(usize, f32)>,
    },
    /// `left * right`, element by element.
    Product {
        /// Name of the node.
        name: String,
        /// A value.
        left: usize,
        /// A value of the same shape.
        right: usize,
    },
    /// `weight * x + bias`, element by element. What stands in a network that was read is part of a Convolve or Sum.
    Affine {
        /// Name of the node.
        name: String,
        /// Any value.
        input: usize,
        /// One for all elements, one per index of the last axis, or one per element.
        weight: Vec<f32>,
        /// As many.
        bias: Vec<f32>,
    },
    /// `min(max(x, low), high)`; the ends may be infinite. `low = 0` is a ReLU.
    Clamp {
        /// Any value.
        input: usize,
        /// Smallest result.
        low: f32,
        /// Largest result.
        high: f32,
    },
    /// A function of each element.
    Function {
        /// Name of the node.
        name: String,
        /// Any value.
        input: usize,
        /// Which.
        function: FloatFunction,
    },
    /// `step * clamp(round(x / step), low, high)`: a QuantizeLinear of the file.
    Round {
        /// Any value.
        input: usize,
        /// Real value of one step.
        step: f32,
        /// Smallest number of steps.
        low: i32,
        /// Largest number of steps.
        high: i32,
    },
    /// The same elements under another shape.
    Reshape {
        /// Any value.
        input: usize,
    },
    /// Axis `i` of the value is axis `axes[i]` of the input.
    Transpose {
        /// Any value.
        input: usize,
        /// A permutation.
        axes: Vec<usize>,
    },
    /// A stretch of each axis.
    Slice {
        /// Any value.
        input: usize,
        /// One per axis.
        stretches: Vec<Stretch>,
    },
    /// Values behind one another along one axis.
    Concat {
        /// Values that differ in `axis` only.
        inputs: Vec<usize>,
        /// The axis.
        axis: usize,
    },
    /// A constant around the input.
    Pad {
        /// Any value.
        input: usize,
        /// Elements in front, per axis.
        before: Vec<u32>,
        /// Elements behind, per axis.
        after: Vec<u32>,
        /// The constant.
        value: f32,
    },
    /// Axes of one element repeated.
    Expand {
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
    /// The values the op reads.
    pub fn inputs(&self) -> Vec<usize> {
        match self {
            Self::Sum { terms, .. } => terms.iter().map(|(value, _)| *value).collect(),
            Self::Product { left, right, .. } => vec![*left, *right],
            Self::Concat { inputs, .. } => inputs.clone(),
            Self::Linear { input, .. }
            | Self::Convolve { input, .. }
            | Self::WindowSum { input, .. }
            | Self::WindowMax { input, .. }
            | Self::Affine { input, .. }
            | Self::Clamp { input, .. }
            | Self::Function { input, .. }
            | Self::Round { input, .. }
            | Self::Reshape { input }
            | Self::Transpose { input, .. }
            | Self::Slice { input, .. }
            | Self::Pad { input, .. }
            | Self::Expand { input }
            | Self::ArgMax { input } => vec![*input],
        }
    }

    /// Renames the values the op reads.
    pub(crate) fn rename(&mut self, name: impl Fn(usize) -> usize) {
        match self {
            Self::Sum { terms, .. } => terms.iter_mut().for_each(|(value, _)| *value = name(*value)),
            Self::Product { left, right, .. } => {
                *left = name(*left);
                *right = name(*right);
            }
            Self::Concat { inputs, .. } => inputs.iter_mut().for_each(|value| *value = name(*value)),
            Self::Linear { input, .. }
            | Self::Convolve { input, .. }
            | Self::WindowSum { input, .. }
            | Self::WindowMax { input, .. }
            | Self::Affine { input, .. }
            | Self::Clamp { input, .. }
            | Self::Function { input, .. }
            | Self::Round { input, .. }
            | Self::Reshape { input }
            | Self::Transpose { input, .. }
            | Self::Slice { input, .. }
            | Self::Pad { input, .. }
            | Self::Expand { input }
            | Self::ArgMax { input } => *input = name(*input),
        }
    }

    /// Name of the op in reports.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Linear { .. } => "Linear",
            Self::Convolve { .. } => "Convolve",
            Self::WindowSum { .. } => "WindowSum",
            Self::WindowMax { .. } => "WindowMax",
            Self::Sum { .. } => "Sum",
            Self::Product { .. } => "Product",
            Self::Affine { .. } => "Affine",
            Self::Clamp { .. } => "Clamp",
            Self::Function { .. } => "Function",
            Self::Round { .. } => "Round",
            Self::Reshape { .. } => "Reshape",
            Self::Transpose { .. } => "Transpose",
            Self::Slice { .. } => "Slice",
            Self::Concat { .. } => "Concat",
            Self::Pad { .. } => "Pad",
            Self::Expand { .. } => "Expand",
            Self::ArgMax { .. } => "ArgMax",
        }
    }
}

/// A network as an ONNX file describes it, with all constants folded.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatModel {
    pub(crate) name: String,
    pub(crate) inputs: Vec<String>,
    pub(crate) ops: Vec<FloatOp>,
    /// One per value.
    pub(crate) shapes: Vec<Shape>,
    /// Value and name.
    pub(crate) outputs: Vec<(usize, String)>,
    /// What import left out on purpose.
    pub(crate) notes: Vec<String>,
}

impl FloatModel {
    /// Reads an ONNX file.
    ///
    /// # Errors
    ///
    /// Damaged files, ops and shapes outside what is supported, constants that are not finite.
    pub fn read(onnx: &[u8]) -> Result<Self, OnnxError> {
        Self::read_with(onnx, &ReadOptions::default())
    }

    /// Reads an ONNX file with fixed symbolic dimensions, or another view of its inputs.
    ///
    /// # Errors
    ///
    /// As [`FloatModel::read`].
    pub fn read_with(onnx: &[u8], options: &ReadOptions) -> Result<Self, OnnxError> {
        crate::import::import(onnx, options)
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

    /// What import left out on purpose, in words: a final Softmax.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Shape of a value for one inference.
    pub fn shape(&self, value: usize) -> Option<&Shape> {
        self.shapes.get(value)
    }

    /// The op that makes a value; `None` for an input.
    pub fn producer(&self, value: usize) -> Option<&FloatOp> {
        self.ops.get(value.checked_sub(self.inputs.len())?)
    }

    /// Products and sums of one inference.
    pub(crate) fn work(&self) -> u64 {
        let work = |(op, shape): (&FloatOp, &Shape)| {
            let per_element = match op {
                FloatOp::Linear { weights, .. } | FloatOp::Convolve { weights, .. } => {
                    weights.weight.len() / weights.bias.len().max(1)
                }
                FloatOp::WindowSum { window, .. } | FloatOp::WindowMax { window, .. } => {
                    window.height.kernel as usize * window.width.kernel as usize
                }
                _ => 1,
            };
            (shape.elements() as u64).saturating_mul(per_element as u64)
        };
        let own = self.shapes.iter().skip(self.inputs.len());
        self.ops.iter().zip(own).map(work).fold(0, u64::saturating_add)
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
            let value = self.compute(op, &values);
            values.push(value);
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
