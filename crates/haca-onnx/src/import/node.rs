//! One node of an ONNX file at a time.

use haca_wire::Shape;

use super::{Batch, Importer, Operand};
use crate::float_model::FloatOp;
use crate::initializer::{Constant, Elements, transpose};
use crate::proto::{AttributeProto, NodeProto};
use crate::{At, OnnxError};

impl Importer {
    /// Adds what a node computes.
    pub(super) fn add_node(&mut self, mut node: NodeProto) -> Result<(), OnnxError> {
        let attributes = core::mem::take(&mut node.attribute);
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
            node: &node,
            attributes: &attributes,
        };
        let operand = match node.op_type.as_str() {
            "Constant" => Operand::Constant(view.constant()?),
            "Identity" | "Dropout" => self.operand(&view, 0)?.clone(),
            "Transpose" => self.transpose(&view)?,
            "Gemm" => self.gemm(&view)?,
            "MatMul" => self.mat_mul(&view)?,
            "Add" => self.add(&view)?,
            "Relu" => self.relu(&view)?,
            "Flatten" => self.flatten(&view)?,
            "Reshape" => self.reshape(&view)?,
            "ArgMax" => self.arg_max(&view)?,
            other => {
                let needed = missing_gadget(other);
                return Err(OnnxError::UnsupportedOp { at, needed });
            }
        };
        self.bind(&at, &node, operand)
    }

    fn operand(&self, node: &Node<'_>, index: usize) -> Result<&Operand, OnnxError> {
        let tensor = node.node.input.get(index).cloned().unwrap_or_default();
        let missing = OnnxError::MissingTensor {
            at: node.at.clone(),
            index,
            tensor: tensor.clone(),
        };
        self.tensors.get(&tensor).ok_or(missing)
    }

    fn value(&self, node: &Node<'_>, index: usize) -> Result<usize, OnnxError> {
        match self.operand(node, index)? {
            Operand::Value(value) => Ok(*value),
            Operand::Constant(_) => Err(node.refuse(
                "an operand that should come from an input is a constant",
                "simplify the model so that constants are folded (onnxsim does)",
            )),
        }
    }

    /// A float constant with its dimensions.
    fn floats(&self, node: &Node<'_>, index: usize) -> Result<(&[usize], &[f32]), OnnxError> {
        match self.operand(node, index)? {
            Operand::Constant(Constant { dims, elements: Elements::Float(values) }) => Ok((dims, values)),
            Operand::Constant(_) => Err(node.refuse("weights are integers", "save weights as float32")),
            Operand::Value(_) => Err(node.refuse(
                "both operands depend on inputs",
                "a product or sum of two activations needs an elementwise op; only constant weights are supported",
            )),
        }
    }

    fn transpose(&self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let Operand::Constant(constant) = self.operand(node, 0)? else {
            return Err(node.refuse(
                "it transposes an activation",
                "only constant matrices are transposed",
            ));
        };
        let turned = match node.ints("perm") {
            None | Some([1, 0]) => constant.transposed(),
            Some([0, 1]) if constant.dims.len() == 2 => Some(constant.clone()),
            Some(perm) => return Err(node.attribute("perm", format!("{perm:?}"), "[1, 0]")),
        };
        turned
            .map(Operand::Constant)
            .ok_or_else(|| node.shape("data", &constant.dims, "a matrix"))
    }

    fn gemm(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        if node.int("transA", 0) != 0 {
            return Err(node.attribute("transA", node.int("transA", 0).to_string(), "0"));
        }
        let (alpha, beta) = (node.float("alpha", 1.0)?, node.float("beta", 1.0)?);
        let input = self.value(node, 0)?;
        let k = self.vector(node, input)?;
        if self.batch == Batch::Absent {
            return Err(node.refuse(
                "its input has no batch axis",
                "give the model's input the shape [batch, n]",
            ));
        }
        let (dims, values) = self.floats(node, 1)?;
        let &[rows, columns] = dims else {
            return Err(node.shape("B", dims, "a matrix"));
        };
        let turned = node.int("transB", 0) != 0;
        let (n, found) = if turned { (rows, columns) } else { (columns, rows) };
        if found != k || n == 0 {
            let expected = if turned {
                format!("[n, {k}]")
            } else {
                format!("[{k}, n]")
            };
            return Err(node.shape("B", dims, &expected));
        }
        let rows_of = if turned {
            values.to_vec()
        } else {
            transpose(values, k, n)
        };
        let weight = rows_of.iter().map(|w| alpha * w).collect();
        let has_bias = node.node.input.get(2).is_some_and(|name| !name.is_empty());
        let bias = if has_bias {
            self.bias(node, 2, n)?
        } else {
            vec![0.0; n]
        };
        let bias = bias.iter().map(|b| beta * b).collect();
        self.linear(node, node.at.node.clone(), input, weight, bias)
    }

    fn mat_mul(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        if matches!(self.operand(node, 0)?, Operand::Constant(_)) {
            return Err(node.refuse(
                "the constant stands on the left",
                "write x * W with W [k, n]; a constant on the left multiplies along the batch axis",
            ));
        }
        let input = self.value(node, 0)?;
        let k = self.vector(node, input)?;
        let (dims, values) = self.floats(node, 1)?;
        match *dims {
            [rows, n] if rows == k && n > 0 => {
                let weight = transpose(values, k, n);
                self.linear(node, node.at.node.clone(), input, weight, vec![0.0; n])
            }
            _ => Err(node.shape("B", dims, &format!("[{k}, n]"))),
        }
    }

    /// A constant behind a MatMul or Gemm joins its bias.
    fn add(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let constant = usize::from(matches!(self.operand(node, 0)?, Operand::Value(_)));
        let input = self.value(node, 1 - constant)?;
        let n = self.shapes[input].elements();
        // Checked first, so that a sum of two activations is named as such.
        self.floats(node, constant)?;
        let more = self.bias(node, constant, n)?;
        let Some(FloatOp::Linear {
            name,
            input: x,
            weight,
            bias,
        }) = self.producer(input)
        else {
            return Err(node.refuse(
                "it adds a constant to something other than a product",
                "an Add of a constant stands directly behind MatMul or Gemm",
            ));
        };
        // The product itself stays for whoever else reads it.
        let bias = bias.iter().zip(&more).map(|(a, b)| a + b).collect();
        let (name, x, weight) = (name.clone(), *x, weight.clone());
        self.linear(node, name, x, weight, bias)
    }

    /// A constant that broadcasts to one element per channel and the same for the whole batch.
    fn bias(&self, node: &Node<'_>, index: usize, n: usize) -> Result<Vec<f32>, OnnxError> {
        let (dims, values) = self.floats(node, index)?;
        let (outer, last) = match dims.split_last() {
            None => (dims, 1),
            Some((last, outer)) => (outer, *last),
        };
        if outer.len() > 1 || outer.iter().any(|d| *d != 1) || (last != n && last != 1) {
            return Err(node.shape("the constant", dims, &format!("[{n}], [1, {n}] or one element")));
        }
        Ok(if last == n {
            values.to_vec()
        } else {
            vec![values.first().copied().unwrap_or(0.0); n]
        })
    }

    fn linear(
        &mut self,
        node: &Node<'_>,
        name: String,
        input: usize,
        weight: Vec<f32>,
        bias: Vec<f32>,
    ) -> Result<Operand, OnnxError> {
        for (what, values) in [("weights", &weight), ("bias", &bias)] {
            if let Some(index) = values.iter().position(|v| !v.is_finite()) {
                let what = format!("{what} of {}", node.at);
                return Err(OnnxError::NotFinite {
                    what,
                    index,
                    found: f64::from(values[index]),
                });
            }
        }
        let n = bias.len();
        let too_wide = || node.shape("B", &[n], "at most 2^22 elements");
        let shape = u32::try_from(n)
            .ok()
            .and_then(|n| Shape::new(vec![n]))
            .ok_or_else(too_wide)?;
        Ok(Operand::Value(self.push(
            FloatOp::Linear {
                name,
                input,
                weight,
                bias,
            },
            shape,
        )))
    }

    /// Length of a value that is a vector for each inference.
    fn vector(&self, node: &Node<'_>, value: usize) -> Result<usize, OnnxError> {
        if matches!(self.producer(self.source(value)), Some(FloatOp::ArgMax { .. })) {
            return Err(node.refuse("it reads the index that an ArgMax makes", "ArgMax ends a network"));
        }
        match self.shapes[value].dims() {
            [k] => Ok(*k as usize),
            dims => {
                let dims: Vec<usize> = dims.iter().map(|d| *d as usize).collect();
                Err(node.shape(
                    "one inference of the input",
                    &dims,
                    "a vector; put a Flatten before it",
                ))
            }
        }
    }

    /// The value whose elements a value shows: reshapes followed back.
    fn source(&self, mut value: usize) -> usize {
        while let Some(FloatOp::Reshape { input }) = self.producer(value) {
            value = *input;
        }
        value
    }

    /// A Relu belongs to its Linear, so it moves before a Reshape between them.
    fn relu(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let input = self.value(node, 0)?;
        let source = self.source(input);
        match self.producer(source) {
            Some(FloatOp::Relu { .. }) => return Ok(Operand::Value(input)),
            Some(FloatOp::Linear { .. }) => {}
            Some(FloatOp::ArgMax { .. } | FloatOp::Reshape { .. }) | None => {
                return Err(node.refuse(
                    "it stands behind no MatMul or Gemm",
                    "put the Relu behind a dense layer",
                ));
            }
        }
        let shape = self.shapes[source].clone();
        let relu = self.push(FloatOp::Relu { input: source }, shape);
        if source == input {
            return Ok(Operand::Value(relu));
        }
        let shape = self.shapes[input].clone();
        Ok(Operand::Value(self.push(FloatOp::Reshape { input: relu }, shape)))
    }

    fn flatten(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let input = self.value(node, 0)?;
        let axes = self.axes(input);
        let axis = node.int("axis", 1);
        let axis = if axis < 0 { axis.saturating_add(axes) } else { axis };
        // Axis 0 gives [1, all]: the same for a batch of one, a mix of inferences for any other.
        let one = axis == 0 && self.batch == Batch::Fixed(1);
        if self.batch == Batch::Absent || !(axis == 1 || one) {
            return Err(node.attribute(
                "axis",
                node.int("axis", 1).to_string(),
                "1, with a batch axis in front",
            ));
        }
        let elements = self.shapes[input].elements();
        self.reshaped(node, input, vec![elements])
    }

    fn reshape(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let input = self.value(node, 0)?;
        let target = match self.operand(node, 1)? {
            Operand::Constant(Constant {
                elements: Elements::Int(target),
                ..
            }) => target.clone(),
            _ => {
                return Err(node.refuse(
                    "its target shape is computed while the model runs",
                    "export with fixed dimensions, or use Flatten",
                ));
            }
        };
        let refuse = || OnnxError::Shape {
            at: node.at.clone(),
            operand: "the target",
            found: target.clone(),
            expected: "the batch axis in front, then as many elements as the input has".to_owned(),
        };
        let keep_zero = node.int("allowzero", 0) != 0;
        let rest = self.behind_batch(&target, keep_zero).ok_or_else(refuse)?;
        let dims = self
            .resolve(input, rest, keep_zero, target.len() - rest.len())
            .ok_or_else(refuse)?;
        self.reshaped(node, input, dims)
    }

    /// The target's dimensions behind the batch axis.
    fn behind_batch<'t>(&self, target: &'t [i64], keep_zero: bool) -> Option<&'t [i64]> {
        if self.batch == Batch::Absent {
            return Some(target);
        }
        let (first, rest) = target.split_first()?;
        let same = match (*first, self.batch) {
            (0, _) => !keep_zero,
            (-1, _) => !rest.contains(&-1),
            (n, Batch::Fixed(batch)) => n == batch,
            (n, Batch::Symbolic | Batch::Absent) => n == 1,
        };
        same.then_some(rest)
    }

    /// Replaces 0 (as in the input) and -1 (what remains); `None` when the elements do not fit.
    fn resolve(&self, input: usize, target: &[i64], keep_zero: bool, offset: usize) -> Option<Vec<usize>> {
        let from = self.shapes[input].dims();
        let elements = self.shapes[input].elements();
        let skipped = usize::from(self.batch != Batch::Absent);
        let mut dims = Vec::new();
        let mut inferred = None;
        for (index, dim) in target.iter().enumerate() {
            match *dim {
                0 if !keep_zero => dims.push(*from.get((index + offset).checked_sub(skipped)?)? as usize),
                -1 if inferred.is_none() => {
                    inferred = Some(index);
                    dims.push(1);
                }
                dim => dims.push(usize::try_from(dim).ok().filter(|d| *d > 0)?),
            }
        }
        let known = dims.iter().try_fold(1usize, |n, d| n.checked_mul(*d))?;
        if let Some(index) = inferred {
            *dims.get_mut(index)? = elements.checked_div(known)?;
        }
        let product = dims.iter().try_fold(1usize, |n, d| n.checked_mul(*d))?;
        (product == elements).then_some(dims)
    }

    fn reshaped(&mut self, node: &Node<'_>, input: usize, dims: Vec<usize>) -> Result<Operand, OnnxError> {
        let wide: Option<Vec<u32>> = dims.iter().map(|d| u32::try_from(*d).ok()).collect();
        let shape = wide
            .and_then(Shape::new)
            .ok_or_else(|| node.shape("the result", &dims, "at most 8 axes"))?;
        if shape == self.shapes[input] {
            return Ok(Operand::Value(input));
        }
        Ok(Operand::Value(self.push(FloatOp::Reshape { input }, shape)))
    }

    fn arg_max(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let input = self.value(node, 0)?;
        let source = self.source(input);
        if matches!(self.producer(source), None | Some(FloatOp::ArgMax { .. })) {
            return Err(node.refuse("it stands behind no dense layer", "ArgMax ends a network"));
        }
        let axes = self.axes(input);
        let axis = node.int("axis", 0);
        if axis != -1 && axis != axes - 1 {
            return Err(node.attribute("axis", axis.to_string(), "the last axis"));
        }
        if node.int("select_last_index", 0) != 0 {
            return Err(node.attribute("select_last_index", "1".to_owned(), "0"));
        }
        let Some((_, outer)) = self.shapes[input].dims().split_last() else {
            return Err(node.shape("the input", &[], "a vector for each inference"));
        };
        // An axis of one element that `keepdims` leaves carries nothing and is dropped.
        let shape = Shape::new(outer.to_vec());
        let shape = shape.ok_or_else(|| node.shape("the input", &[], "a vector for each inference"))?;
        Ok(Operand::Value(self.push(FloatOp::ArgMax { input }, shape)))
    }

    /// Number of axes of a value, the batch axis included.
    fn axes(&self, value: usize) -> i64 {
        let own = i64::try_from(self.shapes[value].dims().len()).unwrap_or(i64::MAX - 1);
        own + i64::from(self.batch != Batch::Absent)
    }
}

/// What the proof system would need for an op that import refuses.
fn missing_gadget(op: &str) -> &'static str {
    match op {
        "Softmax" | "LogSoftmax" => {
            "an exponential; export the model without its final Softmax: the largest logit is at the same place"
        }
        "Conv" | "ConvTranspose" => "a convolution op",
        "MaxPool" | "AveragePool" | "GlobalAveragePool" => "a pooling op",
        "Sigmoid" | "Tanh" | "Gelu" | "Elu" | "Selu" | "Softplus" | "HardSigmoid" | "HardSwish" | "Erf"
        | "Exp" => "a table lookup op",
        "LeakyRelu" | "PRelu" | "Clip" => "a requantisation with another clamp or slope",
        "Sub" | "Mul" | "Div" => "an elementwise op; fold constants into the dense layer before or behind",
        "BatchNormalization" => "folding into the dense layer before it: export the model in evaluation mode",
        "LayerNormalization" => "a normalisation op",
        "QuantizeLinear" | "DequantizeLinear" | "QLinearMatMul" | "MatMulInteger" => {
            "an importer for quantised files; give the float model, quantisation happens here"
        }
        "Concat" | "Slice" | "Gather" | "Split" | "Squeeze" | "Unsqueeze" | "Shape" => {
            "an index map; export with fixed shapes so that shape arithmetic folds away"
        }
        _ => "an op of that meaning in the integer graph",
    }
}

/// A node with its attributes.
struct Node<'a> {
    at: &'a At,
    node: &'a NodeProto,
    attributes: &'a [AttributeProto],
}

impl Node<'_> {
    fn find(&self, name: &str) -> Option<&AttributeProto> {
        self.attributes.iter().find(|a| a.name == name)
    }

    fn int(&self, name: &str, default: i64) -> i64 {
        self.find(name).map_or(default, |a| a.i)
    }

    fn ints(&self, name: &str) -> Option<&[i64]> {
        self.find(name).map(|a| a.ints.as_slice())
    }

    fn float(&self, name: &'static str, default: f32) -> Result<f32, OnnxError> {
        let found = self.find(name).map_or(default, |a| a.f);
        if found.is_finite() {
            Ok(found)
        } else {
            Err(self.attribute(name, found.to_string(), "a finite number"))
        }
    }

    /// The value of a Constant node.
    fn constant(&self) -> Result<Constant, OnnxError> {
        let name = self.node.output.first().map_or("", String::as_str);
        let [attribute] = self.attributes else {
            return Err(self.attribute(
                "value",
                format!("one of {}", self.attributes.len()),
                "exactly one",
            ));
        };
        match attribute.name.as_str() {
            "value" => {
                let tensor = attribute.t.clone();
                let missing = OnnxError::Constant {
                    name: name.to_owned(),
                    reason: "it has no value",
                };
                Constant::read(name, tensor.ok_or(missing)?)
            }
            "value_float" => Ok(Constant::floats(name, vec![attribute.f])?.scalar()),
            "value_floats" => Constant::floats(name, attribute.floats.clone()),
            "value_int" => Ok(Constant::ints(vec![attribute.i]).scalar()),
            "value_ints" => Ok(Constant::ints(attribute.ints.clone())),
            other => Err(self.attribute("value", other.to_owned(), "a tensor, floats or ints")),
        }
    }

    fn refuse(&self, reason: &'static str, needed: &'static str) -> OnnxError {
        OnnxError::UnsupportedUse {
            at: self.at.clone(),
            reason,
            needed,
        }
    }

    fn attribute(&self, attribute: &'static str, found: String, expected: &'static str) -> OnnxError {
        OnnxError::Attribute {
            at: self.at.clone(),
            attribute,
            found,
            expected,
        }
    }

    fn shape(&self, operand: &'static str, found: &[usize], expected: &str) -> OnnxError {
        let found = found
            .iter()
            .map(|d| i64::try_from(*d).unwrap_or(i64::MAX))
            .collect();
        OnnxError::Shape {
            at: self.at.clone(),
            operand,
            found,
            expected: expected.to_owned(),
        }
    }
}
