//! From the messages of an ONNX file to a [`FloatModel`].

use std::collections::{HashMap, HashSet};

use haca_wire::Shape;

use crate::float_model::{FloatModel, FloatOp};
use crate::initializer::Constant;
use crate::proto::{DimensionProto, GraphProto, ModelProto, NodeProto, ValueInfoProto, data_type};
use crate::{At, BatchAxis, InputLayout, OnnxError, ReadOptions, limit, proto};
use attributes::Node;
use view::View;

mod activation;
mod arrangement;
mod attributes;
mod convolution;
mod dense;
mod elementwise;
mod folding;
mod node;
mod pooling;
mod quantised;
mod reduction;
mod resize;
mod simplification;
mod view;

/// What a tensor name stands for.
#[derive(Clone, Debug)]
pub(crate) enum Operand {
    Constant(Constant),
    /// Reals of the float model.
    Value(View),
    /// Integers: the reals of a value divided by `step`, plus `zero`.
    Quantised {
        view: View,
        step: f32,
        zero: i64,
    },
}

/// The batch axis in front of every input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Batch {
    /// Inputs are vectors, or all axes belong to one inference: there is none.
    Absent,
    /// The dimension has no number.
    Symbolic,
    /// The dimension is fixed.
    Fixed(i64),
}

impl Batch {
    /// Whether the file says how several inferences go at once, so that ops must keep them apart.
    pub(crate) const fn counts(self) -> bool {
        !matches!(self, Self::Absent | Self::Fixed(1))
    }
}

/// The float model under construction.
#[derive(Debug)]
pub(crate) struct Importer {
    pub(crate) batch: Batch,
    pub(crate) opset: i64,
    pub(crate) tensors: HashMap<String, Operand>,
    pub(crate) ops: Vec<FloatOp>,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) inputs: usize,
    /// Ops of the live nodes that read each tensor; an empty name for an output of the graph.
    pub(crate) readers: HashMap<String, Vec<String>>,
    pub(crate) notes: Vec<String>,
    /// Elements of all values.
    elements: usize,
    /// Elements of all constants that were computed.
    folded: usize,
}

/// Reads, checks and converts a file.
pub(crate) fn import(onnx: &[u8], options: &ReadOptions) -> Result<FloatModel, OnnxError> {
    let model = proto::decode(onnx)?;
    let opset = operator_set(&model)?;
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
        opset,
        tensors,
        ops: Vec::new(),
        shapes: Vec::new(),
        inputs: 0,
        readers,
        notes: Vec::new(),
        elements: 0,
        folded: 0,
    };
    importer.add_inputs(&input, options)?;
    for node in live {
        importer.add_node(&node)?;
    }
    let outputs = importer.outputs(&output)?;
    let inputs = input.into_iter().map(|i| i.name).collect();
    let model = FloatModel {
        name,
        inputs,
        ops: importer.ops,
        shapes: importer.shapes,
        outputs,
        notes: importer.notes,
    };
    let model = simplification::simplify(model)?;
    check_inputs_used(&model)?;
    let work = model.work();
    if work > limit::FLOAT_WORK {
        return Err(OnnxError::TooLarge {
            what: "products of one inference",
            found: usize::try_from(work).unwrap_or(usize::MAX),
            expected: usize::try_from(limit::FLOAT_WORK).unwrap_or(usize::MAX),
        });
    }
    Ok(model)
}

fn operator_set(model: &ModelProto) -> Result<i64, OnnxError> {
    let default = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    let found = model
        .opset_import
        .iter()
        .find(|o| default(&o.domain))
        .map_or(0, |o| o.version);
    if limit::OPSETS.contains(&found) {
        Ok(found)
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

/// The nodes that outputs depend on, in order, and which ops and outputs read each tensor.
fn live_nodes(
    nodes: Vec<NodeProto>,
    outputs: &[ValueInfoProto],
) -> (Vec<NodeProto>, HashMap<String, Vec<String>>) {
    let mut readers: HashMap<String, Vec<String>> = HashMap::new();
    for output in outputs {
        readers
            .entry(output.name.clone())
            .or_default()
            .push(String::new());
    }
    let mut live = Vec::new();
    for node in nodes.into_iter().rev() {
        if node.output.iter().any(|name| readers.contains_key(name)) {
            for name in &node.input {
                readers
                    .entry(name.clone())
                    .or_default()
                    .push(node.op_type.clone());
            }
            live.push(node);
        }
    }
    live.reverse();
    (live, readers)
}

impl Importer {
    fn add_inputs(&mut self, inputs: &[ValueInfoProto], options: &ReadOptions) -> Result<(), OnnxError> {
        let mut batches = Vec::new();
        for input in inputs {
            let refuse = |reason| OnnxError::Interface {
                place: "input",
                name: input.name.clone(),
                reason,
            };
            let (batch, dims) = input_shape(input, options)?;
            batches.push(batch);
            if batches.iter().any(|other| *other != batch) {
                return Err(refuse("its batch axis differs from that of the first input"));
            }
            self.batch = batch;
            let axis = (batch != Batch::Absent).then_some(0);
            let own = &dims[usize::from(axis.is_some())..];
            let mut order: Vec<usize> = (0..dims.len()).collect();
            let mut memory = own.to_vec();
            if options.input_layout == InputLayout::ChannelsLast && dims.len() >= 3 {
                // Axis 1 is the channels; it moves behind the others.
                order.remove(1);
                order.push(1);
                memory = order
                    .iter()
                    .skip(usize::from(axis.is_some()))
                    .map(|a| dims[*a])
                    .collect();
            }
            let shape = shape(&memory)
                .ok_or_else(|| refuse("a dimension is 0, or it has too many axes or elements"))?;
            let value = self.shapes.len();
            let view = View::new(value, &dims, &order, axis);
            define(&mut self.tensors, input.name.clone(), Operand::Value(view))?;
            self.shapes.push(shape);
        }
        self.inputs = inputs.len();
        Ok(())
    }

    fn outputs(&mut self, outputs: &[ValueInfoProto]) -> Result<Vec<(usize, String)>, OnnxError> {
        let mut all = Vec::new();
        for output in outputs {
            let refuse = |reason| OnnxError::Interface {
                place: "output",
                name: output.name.clone(),
                reason,
            };
            let view = match self.tensors.get(&output.name) {
                None => return Err(refuse("no node makes it")),
                Some(Operand::Constant(_)) => return Err(refuse("it is a constant")),
                Some(Operand::Quantised { .. }) => {
                    return Err(refuse(
                        "it is made of quantised integers; put a DequantizeLinear behind it",
                    ));
                }
                Some(Operand::Value(view)) if view.value < self.inputs => {
                    return Err(refuse("it is an input"));
                }
                Some(Operand::Value(view)) => view.clone(),
            };
            all.push((self.shown(&view, &output.name)?, output.name.clone()));
        }
        Ok(all)
    }

    /// A value that lies as an output of the file does, without the batch axis.
    fn shown(&mut self, view: &View, name: &str) -> Result<usize, OnnxError> {
        if matches!(self.producer(view.value), Some(FloatOp::ArgMax { .. })) {
            // An axis of one element that `keepdims` leaves carries nothing and is dropped.
            return Ok(view.value);
        }
        let at = At {
            node: name.to_owned(),
            op: "output".to_owned(),
        };
        let view = match view.batch {
            Some(batch) => view.squeezed(&[batch]),
            None => view.clone(),
        };
        self.plain(&at, &view)
    }

    /// Appends an op and returns its value.
    pub(crate) fn push(&mut self, at: &At, op: FloatOp, dims: &[usize]) -> Result<usize, OnnxError> {
        let too_large = |found: &[usize]| OnnxError::Shape {
            at: at.clone(),
            operand: "the result",
            found: found
                .iter()
                .map(|d| i64::try_from(*d).unwrap_or(i64::MAX))
                .collect(),
            expected: "at most 8 axes and 2^22 elements, none empty".to_owned(),
        };
        let shape = shape(dims).ok_or_else(|| too_large(dims))?;
        self.elements = self.elements.saturating_add(shape.elements());
        for (what, found, expected) in [
            ("elements of values", self.elements, limit::FLOAT_ELEMENTS),
            ("ops", self.ops.len() + 1, limit::FLOAT_OPS),
        ] {
            if found > expected {
                return Err(OnnxError::TooLarge {
                    what,
                    found,
                    expected,
                });
            }
        }
        self.ops.push(op);
        self.shapes.push(shape);
        Ok(self.shapes.len() - 1)
    }

    /// Dimensions of a value in memory.
    pub(crate) fn memory(&self, value: usize) -> Vec<usize> {
        self.shapes[value].dims().iter().map(|d| *d as usize).collect()
    }

    /// The op that makes a value; `None` for an input.
    pub(crate) fn producer(&self, value: usize) -> Option<&FloatOp> {
        self.ops.get(value.checked_sub(self.inputs)?)
    }

    /// The value under another shape in memory.
    pub(crate) fn in_shape(&mut self, at: &At, value: usize, dims: &[usize]) -> Result<usize, OnnxError> {
        let mut source = value;
        while let Some(FloatOp::Reshape { input }) = self.producer(source) {
            source = *input;
        }
        for same in [value, source] {
            if self.memory(same) == dims {
                return Ok(same);
            }
        }
        self.push(at, FloatOp::Reshape { input: source }, dims)
    }

    /// A value whose memory has one axis for each group of factors of `view`, in that order. Elements move only where
    /// they have to.
    pub(crate) fn arranged(
        &mut self,
        at: &At,
        view: &View,
        groups: &[Vec<usize>],
    ) -> Result<usize, OnnxError> {
        let dims: Vec<usize> = groups.iter().map(|group| view.size(group)).collect();
        let order = groups.concat();
        let value = match view.movement(&order) {
            None => view.value,
            Some((shape, axes)) => {
                let memory = self.memory(view.value);
                // Whole axes of memory change places where they can; else neighbours that stay together are one axis.
                let (shape, axes) = match view.permutation(&memory, &order) {
                    Some(axes) => (memory, axes),
                    None => (shape, axes),
                };
                let input = self.in_shape(at, view.value, &shape)?;
                let moved: Vec<usize> = axes.iter().map(|axis| shape[*axis]).collect();
                self.push(at, FloatOp::Transpose { input, axes }, &moved)?
            }
        };
        self.in_shape(at, value, &dims)
    }

    /// A value that lies exactly as the tensor does.
    pub(crate) fn plain(&mut self, at: &At, view: &View) -> Result<usize, OnnxError> {
        let groups: Vec<Vec<usize>> = (0..view.rank()).map(|axis| view.axis(axis).to_vec()).collect();
        self.arranged(at, view, &groups)
    }

    /// A view whose axes are each one stretch of memory, moved where this one is not, and their order there.
    pub(crate) fn simple(&mut self, at: &At, view: &View) -> Result<(View, Vec<usize>), OnnxError> {
        if let Some(order) = view.order() {
            return Ok((view.clone(), order));
        }
        let view = View::plain(self.plain(at, view)?, &view.dims(), view.batch);
        let order = view.order().unwrap_or_default();
        Ok((view, order))
    }

    /// Binds the outputs of a node.
    pub(crate) fn bind(&mut self, node: &Node<'_>, operands: Vec<Operand>) -> Result<(), OnnxError> {
        // Outputs that are not computed, as the mask of Dropout.
        let further = node.node.output.iter().enumerate().skip(operands.len().max(1));
        for (index, name) in further {
            if !name.is_empty() && self.readers.contains_key(name) {
                return Err(OnnxError::MissingTensor {
                    at: node.at.clone(),
                    index,
                    tensor: name.clone(),
                });
            }
        }
        for (index, operand) in operands.into_iter().enumerate() {
            let name = node.node.output.get(index).cloned().unwrap_or_default();
            if index == 0 || !name.is_empty() {
                define(&mut self.tensors, name, operand)?;
            }
        }
        Ok(())
    }

    /// Counts the elements of a constant that import computed.
    pub(crate) fn count_folded(&mut self, elements: usize) -> Result<(), OnnxError> {
        self.folded = self.folded.saturating_add(elements);
        if self.folded <= limit::FOLDED_ELEMENTS {
            return Ok(());
        }
        Err(OnnxError::TooLarge {
            what: "elements of computed constants",
            found: self.folded,
            expected: limit::FOLDED_ELEMENTS,
        })
    }
}

/// A shape of the wire format; `None` above its limits.
pub(crate) fn shape(dims: &[usize]) -> Option<Shape> {
    let wide: Option<Vec<u32>> = dims.iter().map(|d| u32::try_from(*d).ok()).collect();
    Shape::new(wide?)
}

/// Batch axis and dimensions of an input, 1 for the batch.
fn input_shape(input: &ValueInfoProto, options: &ReadOptions) -> Result<(Batch, Vec<usize>), OnnxError> {
    let refuse = |reason| OnnxError::Interface {
        place: "input",
        name: input.name.clone(),
        reason,
    };
    let tensor = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let tensor = tensor.ok_or_else(|| refuse("it is no tensor"))?;
    if ![data_type::FLOAT, data_type::DOUBLE, data_type::FLOAT16].contains(&tensor.elem_type) {
        return Err(refuse("its element type is not float32"));
    }
    let shape = tensor.shape.as_ref().ok_or_else(|| refuse("it has no shape"))?;
    let number = |dim: &DimensionProto| {
        let named = |name: &String| options.dimensions.iter().find(|(other, _)| other == name);
        let given = dim.dim_param.as_ref().and_then(named);
        given.map_or(dim.dim_value, |(_, size)| Some(i64::from(*size)))
    };
    let fixed: Vec<Option<i64>> = shape.dim.iter().map(number).collect();
    let whole = options.batch == BatchAxis::Absent;
    let (batch, rest) = match fixed.as_slice() {
        _ if whole => (Batch::Absent, fixed.as_slice()),
        [] => return Err(refuse("it is a scalar")),
        [_] => (Batch::Absent, fixed.as_slice()),
        [None, rest @ ..] => (Batch::Symbolic, rest),
        // Some exporters write 0 or -1 for a dimension without a number.
        [Some(..=0), rest @ ..] => (Batch::Symbolic, rest),
        [Some(batch), rest @ ..] => (Batch::Fixed(*batch), rest),
    };
    let own = rest.iter().map(|d| u32::try_from((*d)?).ok().map(|d| d as usize));
    let mut dims: Vec<usize> = own
        .collect::<Option<_>>()
        .ok_or_else(|| refuse("a dimension behind the batch axis has no number; fix it by its name"))?;
    if self::shape(&dims).is_none() {
        return Err(refuse("a dimension is 0, or it has too many axes or elements"));
    }
    if batch != Batch::Absent {
        dims.insert(0, 1);
    }
    Ok((batch, dims))
}

fn check_inputs_used(model: &FloatModel) -> Result<(), OnnxError> {
    let read: HashSet<usize> = model.ops.iter().flat_map(FloatOp::inputs).collect();
    match (0..model.inputs.len()).find(|input| !read.contains(input)) {
        None => Ok(()),
        Some(input) => Err(OnnxError::Interface {
            place: "input",
            name: model.inputs[input].clone(),
            reason: "no output depends on it",
        }),
    }
}
