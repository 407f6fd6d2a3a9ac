//! One node of an ONNX file at a time.

use super::{Importer, Node, Operand, View};
use crate::float_model::FloatOp;
use crate::initializer::{Constant, Elements};
use crate::proto::NodeProto;
use crate::{At, OnnxError};

impl Importer {
    /// Adds what a node computes.
    pub(super) fn add_node(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let name = if node.name.is_empty() {
            node.output.first().cloned()
        } else {
            Some(node.name.clone())
        };
        let at = At {
            node: name.unwrap_or_default(),
            op: node.op_type.clone(),
        };
        if !node.domain.is_empty() && node.domain != "ai.onnx" {
            return Err(OnnxError::UnsupportedOp {
                at,
                needed: "a meaning for ops outside the domain ai.onnx",
            });
        }
        let view = Node {
            at: &at,
            node,
            opset: self.opset,
        };
        let operands = match self.fold(&view)? {
            Some(constants) => constants.into_iter().map(Operand::Constant).collect(),
            None => self.compute(&view)?,
        };
        self.bind(&view, operands)
    }

    fn compute(&mut self, node: &Node<'_>) -> Result<Vec<Operand>, OnnxError> {
        let one = match node.at.op.as_str() {
            "Constant" => Operand::Constant(node.constant()?),
            "Identity" => self.operand(node, 0)?.clone(),
            "Dropout" => self.dropout(node)?,
            "Cast" => self.cast(node)?,
            "Shape" => self.shape_of(node)?,
            "Size" => self.size_of(node)?,
            "Transpose" => self.transpose(node)?,
            "Flatten" => self.flatten(node)?,
            "Reshape" => self.reshape(node)?,
            "Squeeze" => self.squeeze(node)?,
            "Unsqueeze" => self.unsqueeze(node)?,
            "Slice" => self.slice(node)?,
            "Gather" => self.gather(node)?,
            "Concat" => self.concat(node)?,
            "Pad" => self.pad(node)?,
            "Expand" => self.expand(node)?,
            "Resize" | "Upsample" => self.resize(node)?,
            "DepthToSpace" => self.depth_to_space(node)?,
            "SpaceToDepth" => self.space_to_depth(node)?,
            "Split" => return self.split(node),
            "Gemm" => self.gemm(node)?,
            "MatMul" => self.mat_mul(node)?,
            "Conv" => self.conv(node)?,
            "BatchNormalization" => self.batch_normalization(node)?,
            "MaxPool" => self.max_pool(node)?,
            "AveragePool" => self.average_pool(node)?,
            "GlobalAveragePool" => self.global_pool(node, "ReduceMean")?,
            "GlobalMaxPool" => self.global_pool(node, "ReduceMax")?,
            "ReduceMean" | "ReduceSum" | "ReduceMax" => self.reduce(node)?,
            "Add" | "Sub" | "Mul" | "Div" => self.binary(node)?,
            "Sum" | "Mean" => self.sum(node)?,
            "Neg" => self.negate(node)?,
            "Pow" => self.power(node)?,
            "Relu" => self.clamp(node, 0.0, f32::INFINITY)?,
            "Clip" => self.clip(node)?,
            "Min" | "Max" => self.extreme(node)?,
            "PRelu" => self.parametric_relu(node)?,
            "LeakyRelu" | "Sigmoid" | "Tanh" | "Gelu" | "Erf" | "Softplus" | "HardSigmoid" | "HardSwish"
            | "Swish" => self.function(node)?,
            "Softmax" | "LogSoftmax" => self.softmax(node)?,
            "ArgMax" => self.arg_max(node)?,
            "QuantizeLinear" => self.quantize_linear(node)?,
            "DequantizeLinear" => self.dequantize_linear(node)?,
            "QLinearConv" => self.q_linear_conv(node)?,
            "QLinearMatMul" => self.q_linear_mat_mul(node)?,
            other => {
                return Err(OnnxError::UnsupportedOp {
                    at: node.at.clone(),
                    needed: missing(other),
                });
            }
        };
        Ok(vec![one])
    }

    fn dropout(&self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let trains = node.has_input(2)
            && !matches!(self.operand(node, 2)?, Operand::Constant(c) if c.reals() == [0.0]);
        if trains {
            return Err(node.refuse("it drops elements at random", "export in evaluation mode"));
        }
        Ok(self.operand(node, 0)?.clone())
    }

    pub(super) fn operand(&self, node: &Node<'_>, index: usize) -> Result<&Operand, OnnxError> {
        let tensor = node.node.input.get(index).cloned().unwrap_or_default();
        let missing = OnnxError::MissingTensor {
            at: node.at.clone(),
            index,
            tensor: tensor.clone(),
        };
        self.tensors.get(&tensor).ok_or(missing)
    }

    /// Reals that depend on inputs.
    pub(super) fn value(&self, node: &Node<'_>, index: usize) -> Result<View, OnnxError> {
        let view = self.any_value(node, index)?;
        if matches!(self.producer(view.value), Some(FloatOp::ArgMax { .. })) {
            return Err(node.refuse("it reads the index that an ArgMax makes", "ArgMax ends a network"));
        }
        Ok(view)
    }

    /// Reals, or the index of an ArgMax.
    pub(super) fn any_value(&self, node: &Node<'_>, index: usize) -> Result<View, OnnxError> {
        match self.operand(node, index)? {
            Operand::Value(view) => Ok(view.clone()),
            Operand::Constant(_) => Err(node.refuse(
                "an operand that should come from an input is a constant",
                "simplify the model so that constants are folded (onnxsim does)",
            )),
            Operand::Quantised { .. } => Err(node.refuse(
                "it computes with quantised integers",
                "put a DequantizeLinear before it, or use QLinearConv, QLinearMatMul or the float model",
            )),
        }
    }

    pub(super) fn constant<'s>(&'s self, node: &Node<'_>, index: usize) -> Result<&'s Constant, OnnxError> {
        match self.operand(node, index)? {
            Operand::Constant(constant) => Ok(constant),
            Operand::Value(_) | Operand::Quantised { .. } => Err(node.refuse(
                "an operand that should be a constant depends on inputs",
                "a product of two activations is supported element by element only (Mul)",
            )),
        }
    }

    /// A float constant with its dimensions.
    pub(super) fn floats<'s>(
        &'s self,
        node: &Node<'_>,
        index: usize,
    ) -> Result<(&'s [usize], &'s [f32]), OnnxError> {
        match self.constant(node, index)? {
            Constant {
                dims,
                elements: Elements::Float(values),
                ..
            } => Ok((dims, values)),
            Constant { .. } => Err(node.refuse("weights are integers", "save weights as float32")),
        }
    }

    /// An integer constant.
    pub(super) fn ints(&self, node: &Node<'_>, index: usize) -> Result<Vec<i64>, OnnxError> {
        match self.operand(node, index)? {
            Operand::Constant(Constant {
                elements: Elements::Int(values),
                ..
            }) => Ok(values.clone()),
            _ => Err(node.refuse(
                "its shape, axes or indices are computed while the model runs",
                "export with fixed dimensions",
            )),
        }
    }

    /// A single number.
    pub(super) fn scalar(&self, node: &Node<'_>, index: usize) -> Result<f32, OnnxError> {
        let constant = self.constant(node, index)?;
        let values = constant.reals();
        match values.as_slice() {
            [one] => Ok(*one),
            _ => Err(node.shape("a number", &constant.dims, "one element")),
        }
    }

    /// Axes from an attribute, or from an input in newer operator sets.
    pub(super) fn axes_of(&self, node: &Node<'_>, input: usize) -> Result<Option<Vec<i64>>, OnnxError> {
        if let Some(axes) = node.ints("axes") {
            return Ok(Some(axes.to_vec()));
        }
        if node.has_input(input) {
            return self.ints(node, input).map(Some);
        }
        Ok(None)
    }
}

/// What the integer graph would need for an op that import refuses.
fn missing(op: &str) -> &'static str {
    match op {
        "ConvTranspose" => "a transposed convolution; upsample with Resize (nearest) and a Conv",
        "Elu" | "Selu" | "Celu" | "Mish" | "Softsign" | "ThresholdedRelu" | "Exp" | "Log" | "Sqrt"
        | "Reciprocal" | "Sin" | "Cos" | "Tan" | "Atan" | "Sinh" | "Cosh" | "Asin" | "Acos" | "Abs"
        | "Sign" | "Floor" | "Ceil" | "Round" => {
            "a table of that function; the functions of spec/graph.md are the ones there are"
        }
        "LayerNormalization"
        | "InstanceNormalization"
        | "GroupNormalization"
        | "LpNormalization"
        | "LRN"
        | "RMSNormalization" => "division by a value that depends on inputs",
        "LSTM" | "GRU" | "RNN" | "Loop" | "Scan" | "If" => "control flow; unroll the network",
        "MatMulInteger" | "ConvInteger" | "DynamicQuantizeLinear" => {
            "scales that depend on inputs; use QLinearConv, QLinearMatMul or the float model"
        }
        "TreeEnsembleClassifier" | "TreeEnsembleRegressor" | "TreeEnsemble" => "comparisons of values",
        "Einsum" | "Attention" => "products of two activations along an axis",
        "Equal" | "Greater" | "Less" | "GreaterOrEqual" | "LessOrEqual" | "Where" | "Not" | "And" | "Or" => {
            "comparisons of values; only constants are compared"
        }
        "GlobalLpPool" | "LpPool" | "ReduceL2" | "ReduceL1" | "ReduceMin" | "ReduceProd"
        | "ReduceLogSumExp" | "ReduceSumSquare" => {
            "another reduction; ReduceMean, ReduceSum and ReduceMax are supported"
        }
        "GatherND" | "GatherElements" | "ScatterND" | "ScatterElements" | "NonZero" | "TopK" | "Tile"
        | "OneHot" | "NonMaxSuppression" => {
            "an index map that is fixed; Gather, Slice, Concat and Expand of fixed indices are supported"
        }
        _ => "an op of that meaning in the integer graph",
    }
}
