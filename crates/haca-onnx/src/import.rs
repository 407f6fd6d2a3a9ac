//! From the messages of an ONNX file to a [`FloatModel`].

use std::collections::{HashMap, HashSet};

use haca_wire::Shape;

use crate::float_model::{FloatModel, FloatOp};
use crate::initializer::Constant;
use crate::proto::{GraphProto, ModelProto, NodeProto, ValueInfoProto, data_type};
use crate::{At, OnnxError, limit, proto};

mod node;

/// What a tensor name stands for.
#[derive(Clone, Debug)]
pub(crate) enum Operand {
    Constant(Constant),
    /// A value of the float model.
    Value(usize),
}

/// The batch axis in front of every value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Batch {
    /// Inputs are vectors: there is none.
    Absent,
    /// The dimension has no number.
    Symbolic,
    /// The dimension is fixed.
    Fixed(i64),
}

/// The float model under construction.
#[derive(Debug)]
pub(crate) struct Importer {
    pub(crate) batch: Batch,
    pub(crate) tensors: HashMap<String, Operand>,
    pub(crate) ops: Vec<FloatOp>,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) inputs: usize,
    /// How many live nodes and outputs read each tensor.
    pub(crate) readers: HashMap<String, usize>,
}

/// Reads, checks and converts a file.
pub(crate) fn import(onnx: &[u8]) -> Result<FloatModel, OnnxError> {
    let model = proto::decode(onnx)?;
    check_operator_set(&model)?;
    let graph = model.graph.ok_or(OnnxError::Damaged {
        reason: "it holds no graph".to_owned(),
    })?;
    if graph.output.is_empty() {
        return Err(OnnxError::Damaged {
            reason: "its graph has no outputs".to_owned(),
        });
    }
    let GraphProto {
        node: nodes,
        name,
        initializer,
        input,
        output,
    } = graph;
    let (live, readers) = live_nodes(nodes, &output);
    // Old files list initializers among the inputs.
    let constants: HashSet<String> = initializer.iter().map(|tensor| tensor.name.clone()).collect();
    let input: Vec<ValueInfoProto> = input
        .into_iter()
        .filter(|i| !constants.contains(&i.name))
        .collect();
    let mut tensors = HashMap::new();
    for mut tensor in initializer
        .into_iter()
        .filter(|tensor| readers.contains_key(&tensor.name))
    {
        let name = core::mem::take(&mut tensor.name);
        let constant = Constant::read(&name, tensor)?;
        define(&mut tensors, name, Operand::Constant(constant))?;
    }
    let mut importer = Importer {
        batch: Batch::Symbolic,
        tensors,
        ops: Vec::new(),
        shapes: Vec::new(),
        inputs: 0,
        readers,
    };
    importer.add_inputs(&input)?;
    for node in live {
        importer.add_node(node)?;
    }
    let outputs = importer.outputs(&output)?;
    let inputs = input.into_iter().map(|i| i.name).collect();
    let mut model = FloatModel {
        name,
        inputs,
        ops: importer.ops,
        shapes: importer.shapes,
        outputs,
    };
    remove_unused(&mut model);
    check_inputs_used(&model)?;
    Ok(model)
}

fn check_operator_set(model: &ModelProto) -> Result<(), OnnxError> {
    let default = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    let found = model
        .opset_import
        .iter()
        .find(|o| default(&o.domain))
        .map_or(0, |o| o.version);
    if limit::OPSETS.contains(&found) {
        Ok(())
    } else {
        Err(OnnxError::OperatorSet { found })
    }
}

fn define(tensors: &mut HashMap<String, Operand>, name: String, operand: Operand) -> Result<(), OnnxError> {
    if tensors.contains_key(&name) {
        return Err(OnnxError::Damaged {
            reason: format!("tensor \"{}\" is defined twice", name.escape_debug()),
        });
    }
    tensors.insert(name, operand);
    Ok(())
}

/// The nodes that outputs depend on, in order, and how many of them and of the outputs read each tensor.
fn live_nodes(nodes: Vec<NodeProto>, outputs: &[ValueInfoProto]) -> (Vec<NodeProto>, HashMap<String, usize>) {
    let mut readers: HashMap<String, usize> = HashMap::new();
    for output in outputs {
        *readers.entry(output.name.clone()).or_default() += 1;
    }
    let mut live = Vec::new();
    for node in nodes.into_iter().rev() {
        if node.output.iter().any(|name| readers.contains_key(name)) {
            for name in &node.input {
                *readers.entry(name.clone()).or_default() += 1;
            }
            live.push(node);
        }
    }
    live.reverse();
    (live, readers)
}

impl Importer {
    fn add_inputs(&mut self, inputs: &[ValueInfoProto]) -> Result<(), OnnxError> {
        let mut batches = Vec::new();
        for input in inputs {
            let refuse = |reason| OnnxError::Interface {
                place: "input",
                name: input.name.clone(),
                reason,
            };
            let (batch, shape) = input_shape(input)?;
            batches.push(batch);
            if batches.iter().any(|other| *other != batch) {
                return Err(refuse("its batch axis differs from that of the first input"));
            }
            self.batch = batch;
            let value = self.shapes.len();
            define(&mut self.tensors, input.name.clone(), Operand::Value(value))?;
            self.shapes.push(shape);
        }
        self.inputs = inputs.len();
        Ok(())
    }

    fn outputs(&self, outputs: &[ValueInfoProto]) -> Result<Vec<(usize, String)>, OnnxError> {
        let find = |output: &ValueInfoProto| {
            let refuse = |reason| OnnxError::Interface {
                place: "output",
                name: output.name.clone(),
                reason,
            };
            match self.tensors.get(&output.name) {
                None => Err(refuse("no node makes it")),
                Some(Operand::Constant(_)) => Err(refuse("it is a constant")),
                Some(Operand::Value(value)) if *value < self.inputs => Err(refuse("it is an input")),
                Some(Operand::Value(value)) => Ok((*value, output.name.clone())),
            }
        };
        outputs.iter().map(find).collect()
    }

    /// Appends an op and returns its value.
    pub(crate) fn push(&mut self, op: FloatOp, shape: Shape) -> usize {
        self.ops.push(op);
        self.shapes.push(shape);
        self.shapes.len() - 1
    }

    /// The op that makes a value; `None` for an input.
    pub(crate) fn producer(&self, value: usize) -> Option<&FloatOp> {
        self.ops.get(value.checked_sub(self.inputs)?)
    }

    /// Binds the first output of a node.
    pub(crate) fn bind(&mut self, at: &At, node: &NodeProto, operand: Operand) -> Result<(), OnnxError> {
        let name = node.output.first().cloned().unwrap_or_default();
        // Further outputs (the mask of Dropout) are not computed.
        if let Some(read) = node
            .output
            .iter()
            .skip(1)
            .find(|name| self.readers.contains_key(*name))
        {
            return Err(OnnxError::MissingTensor {
                at: at.clone(),
                index: 1,
                tensor: read.clone(),
            });
        }
        define(&mut self.tensors, name, operand)
    }
}

fn input_shape(input: &ValueInfoProto) -> Result<(Batch, Shape), OnnxError> {
    let refuse = |reason| OnnxError::Interface {
        place: "input",
        name: input.name.clone(),
        reason,
    };
    let tensor = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let tensor = tensor.ok_or_else(|| refuse("it is no tensor"))?;
    if tensor.elem_type != data_type::FLOAT && tensor.elem_type != data_type::DOUBLE {
        return Err(refuse("its element type is not float32"));
    }
    let shape = tensor.shape.as_ref().ok_or_else(|| refuse("it has no shape"))?;
    let fixed: Vec<Option<i64>> = shape.dim.iter().map(|d| d.dim_value).collect();
    let (batch, rest) = match fixed.as_slice() {
        [] => return Err(refuse("it is a scalar")),
        [_] => (Batch::Absent, fixed.as_slice()),
        [None, rest @ ..] => (Batch::Symbolic, rest),
        // Some exporters write 0 or -1 for a dimension without a number.
        [Some(..=0), rest @ ..] => (Batch::Symbolic, rest),
        [Some(batch), rest @ ..] => (Batch::Fixed(*batch), rest),
    };
    let dims: Option<Vec<u32>> = rest.iter().map(|d| u32::try_from((*d)?).ok()).collect();
    let dims = dims.ok_or_else(|| refuse("a dimension behind the batch axis has no number"))?;
    let shape =
        Shape::new(dims).ok_or_else(|| refuse("a dimension is 0, or it has too many axes or elements"))?;
    Ok((batch, shape))
}

/// Removes ops that no output depends on: folding a bias or moving a Relu leaves some behind.
fn remove_unused(model: &mut FloatModel) {
    let inputs = model.inputs.len();
    let mut used = vec![false; model.shapes.len()];
    for (value, _) in &model.outputs {
        used[*value] = true;
    }
    for (index, op) in model.ops.iter().enumerate().rev() {
        if used[inputs + index] {
            used[op.input()] = true;
        }
    }
    used[..inputs].fill(true);
    // The new number of each value that stays.
    let mut next = 0;
    let mut numbers = Vec::new();
    for used in &used {
        numbers.push(next);
        next += usize::from(*used);
    }
    let mut keep = used.iter();
    model.shapes.retain(|_| keep.next().copied().unwrap_or(false));
    let mut keep = used[inputs..].iter();
    model.ops.retain(|_| keep.next().copied().unwrap_or(false));
    for op in &mut model.ops {
        *op.input_mut() = numbers[op.input()];
    }
    for (value, _) in &mut model.outputs {
        *value = numbers[*value];
    }
}

fn check_inputs_used(model: &FloatModel) -> Result<(), OnnxError> {
    let read: HashSet<usize> = model.ops.iter().map(FloatOp::input).collect();
    match (0..model.inputs.len()).find(|input| !read.contains(input)) {
        None => Ok(()),
        Some(input) => Err(OnnxError::Interface {
            place: "input",
            name: model.inputs[input].clone(),
            reason: "no output depends on it",
        }),
    }
}
