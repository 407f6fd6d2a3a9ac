//! A checked graph.

mod cost;

use haca_wire::codec::put_list;
use haca_wire::limit::TENSORS;
use haca_wire::{DType, Decode, DecodeError, Encode, Reader, TensorSpec};

use crate::arrangement::{self, Cell};
use crate::bound::{self, Checked, ValueType};
use crate::{GraphError, Op, ParamId, ParamSpec, Place, ValueId, limit};
use cost::{Cost, products};

/// The version byte that starts the encoding of a graph.
const VERSION: u8 = 1;

/// An integer graph. It exists only checked: see the invariants of the crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    inputs: Vec<TensorSpec>,
    params: Vec<ParamSpec>,
    nodes: Vec<Op>,
    outputs: Vec<(ValueId, TensorSpec)>,
    values: Vec<ValueType>,
    quotients: Vec<Option<(i64, i64)>>,
}

/// What a node may read: everything that stands before it.
pub(crate) struct Scope<'a> {
    inputs: usize,
    params: &'a [ParamSpec],
    nodes: &'a [Op],
    outputs: &'a [(ValueId, TensorSpec)],
    values: Vec<ValueType>,
}

impl Scope<'_> {
    /// The node under check.
    pub(crate) fn place(&self) -> Place {
        Place::Node(self.values.len().saturating_sub(self.inputs))
    }

    /// The type of a value that stands before the node under check.
    pub(crate) fn value(&self, id: ValueId) -> Result<&ValueType, GraphError> {
        let expected = self.values.len();
        let unknown = GraphError::UnknownValue {
            place: self.place(),
            found: id.0,
            expected,
        };
        self.values.get(id.0 as usize).ok_or(unknown)
    }

    /// A declared parameter.
    pub(crate) fn param(&self, id: ParamId) -> Result<&ParamSpec, GraphError> {
        let expected = self.params.len();
        let unknown = GraphError::UnknownParam {
            place: self.place(),
            found: id.0,
            expected,
        };
        self.params.get(id.0 as usize).ok_or(unknown)
    }

    /// The op that makes a value; `None` for an input.
    pub(crate) fn producer(&self, id: ValueId) -> Option<&Op> {
        self.nodes.get((id.0 as usize).checked_sub(self.inputs)?)
    }

    /// Whether a value is an output of the graph.
    pub(crate) fn is_output(&self, id: ValueId) -> bool {
        self.outputs.iter().any(|(output, _)| *output == id)
    }
}

impl Graph {
    /// Checks the graph: steps G1 to G8 of `spec/graph.md`.
    ///
    /// # Errors
    ///
    /// The first rule it breaks, with the place.
    pub fn new(
        inputs: Vec<TensorSpec>,
        params: Vec<ParamSpec>,
        nodes: Vec<Op>,
        outputs: Vec<(ValueId, TensorSpec)>,
    ) -> Result<Self, GraphError> {
        check_counts(&inputs, &params, &nodes, &outputs)?;
        let mut values = Vec::new();
        for (index, input) in inputs.iter().enumerate() {
            values.push(input_type(Place::Input(index), input)?);
        }
        for (index, param) in params.iter().enumerate() {
            param.check(Place::Param(index))?;
        }
        let mut scope = Scope {
            inputs: inputs.len(),
            params: &params,
            nodes: &nodes,
            outputs: &outputs,
            values,
        };
        let mut quotients = Vec::new();
        let mut cost = Cost::default();
        for value in &scope.values {
            cost.add_value(value)?;
        }
        for op in &nodes {
            let Checked { value, quotient } = bound::check(&scope, op)?;
            cost.add_value(&value)?;
            cost.add_work(op, &value, &params)?;
            scope.values.push(value);
            quotients.push(quotient);
        }
        let values = scope.values;
        check_outputs(&inputs, &outputs, &values)?;
        check_use(&inputs, &params, &nodes, &outputs)?;
        Ok(Self {
            inputs,
            params,
            nodes,
            outputs,
            values,
            quotients,
        })
    }

    /// The inputs, with names and scales.
    pub fn inputs(&self) -> &[TensorSpec] {
        &self.inputs
    }

    /// The declared parameters.
    pub fn params(&self) -> &[ParamSpec] {
        &self.params
    }

    /// The nodes, in the order of evaluation.
    pub fn nodes(&self) -> &[Op] {
        &self.nodes
    }

    /// The outputs: which value, and its name and scale.
    pub fn outputs(&self) -> &[(ValueId, TensorSpec)] {
        &self.outputs
    }

    /// Types and static ranges of all values, in the order of their ids.
    pub fn values(&self) -> &[ValueType] {
        &self.values
    }

    /// Type and static range of one value; `None` when there is no such value.
    pub fn value_type(&self, id: ValueId) -> Option<&ValueType> {
        self.values.get(id.0 as usize)
    }

    /// The value that the node at `node` makes.
    pub fn node_value(&self, node: usize) -> ValueId {
        ValueId(u32::try_from(self.inputs.len().saturating_add(node)).unwrap_or(u32::MAX))
    }

    /// The index of the node that makes a value; `None` for an input.
    pub fn producer(&self, id: ValueId) -> Option<usize> {
        let node = (id.0 as usize).checked_sub(self.inputs.len())?;
        (node < self.nodes.len()).then_some(node)
    }

    /// The value whose elements `id` shows: follows [`Op::Reshape`] back to a value that no Reshape makes.
    pub fn origin(&self, mut id: ValueId) -> ValueId {
        // Each step goes to a smaller id.
        while let Some(Op::Reshape { input, .. }) = self.producer(id).and_then(|node| self.nodes.get(node)) {
            id = *input;
        }
        id
    }

    /// The static range of the quotient of a Requantise or Activate before its clamp, over all channels; `None` when
    /// the node at `node` is neither.
    pub fn requantise_range(&self, node: usize) -> Option<(i64, i64)> {
        self.quotients.get(node).copied().flatten()
    }

    /// Multiply-accumulate operations of one inference: those of its Linear and Convolve nodes.
    pub fn macs(&self) -> u64 {
        let of = |(node, op): (usize, &Op)| {
            let value = self.value_type(self.node_value(node))?;
            Some(products(op, value, &self.params))
        };
        let each = self.nodes.iter().enumerate().filter_map(of);
        each.fold(0, u64::saturating_add)
    }

    /// What stands in each element of the value of an op that only moves elements; `None` for other nodes.
    pub fn arrangement(&self, node: usize) -> Option<Vec<Cell>> {
        let op = self.nodes.get(node)?;
        let operands = op.inputs();
        let shapes = operands.iter().map(|id| Some(&self.value_type(*id)?.shape));
        let shapes = shapes.collect::<Option<Vec<_>>>()?;
        let value = &self.value_type(self.node_value(node))?.shape;
        arrangement::dims(op, &shapes)?;
        Some(arrangement::cells(op, &shapes, value))
    }

    /// Elements of all parameters together.
    pub fn param_count(&self) -> u64 {
        self.params
            .iter()
            .fold(0, |sum, spec| sum.saturating_add(spec.shape.elements() as u64))
    }
}

pub(crate) fn check_counts(
    inputs: &[TensorSpec],
    params: &[ParamSpec],
    nodes: &[Op],
    outputs: &[(ValueId, TensorSpec)],
) -> Result<(), GraphError> {
    at_most("inputs", inputs.len(), TENSORS)?;
    at_most("parameters", params.len(), limit::PARAMS)?;
    at_most("nodes", nodes.len(), limit::NODES)?;
    at_most("outputs", outputs.len(), TENSORS)?;
    let total = params
        .iter()
        .fold(0usize, |sum, spec| sum.saturating_add(spec.shape.elements()));
    at_most("elements of parameters", total, limit::PARAM_ELEMENTS)?;
    let arguments = |op: &Op| match op {
        Op::Activate { function, .. } => function.arguments(),
        _ => 0,
    };
    let total = nodes.iter().map(arguments).fold(0, usize::saturating_add);
    // No table is as good as one argument.
    at_most("arguments of tables", total.max(1), limit::TABLE_ARGUMENTS)
}

fn at_most(what: &'static str, found: usize, expected: usize) -> Result<(), GraphError> {
    if (1..=expected).contains(&found) {
        Ok(())
    } else {
        Err(GraphError::Count {
            what,
            found,
            expected,
        })
    }
}

fn input_type(place: Place, spec: &TensorSpec) -> Result<ValueType, GraphError> {
    if spec.dtype != DType::I8 {
        return Err(GraphError::ElementType {
            place,
            found: spec.dtype,
            expected: DType::I8,
        });
    }
    let (low, high) = spec.dtype.range();
    Ok(ValueType {
        dtype: spec.dtype,
        shape: spec.shape.clone(),
        low,
        high,
    })
}

fn check_outputs(
    inputs: &[TensorSpec],
    outputs: &[(ValueId, TensorSpec)],
    values: &[ValueType],
) -> Result<(), GraphError> {
    unique(inputs.iter().map(|spec| &spec.name), Place::Input)?;
    unique(outputs.iter().map(|(_, spec)| &spec.name), Place::Output)?;
    unique(outputs.iter().map(|(value, _)| value), Place::Output)?;
    for (index, (value, spec)) in outputs.iter().enumerate() {
        let place = Place::Output(index);
        let made = value.0 as usize >= inputs.len();
        let found = values
            .get(value.0 as usize)
            .filter(|_| made)
            .ok_or(GraphError::UnknownValue {
                place,
                found: value.0,
                expected: values.len(),
            })?;
        if spec.dtype != found.dtype {
            return Err(GraphError::ElementType {
                place,
                found: spec.dtype,
                expected: found.dtype,
            });
        }
        if spec.shape != found.shape {
            let (found, expected) = (spec.shape.clone(), found.shape.clone());
            return Err(GraphError::Shape {
                place,
                found,
                expected,
            });
        }
    }
    Ok(())
}

fn unique<T: PartialEq>(
    items: impl Iterator<Item = T> + Clone,
    place: fn(usize) -> Place,
) -> Result<(), GraphError> {
    for (index, item) in items.clone().enumerate() {
        if items.clone().take(index).any(|earlier| earlier == item) {
            return Err(GraphError::Repeated { place: place(index) });
        }
    }
    Ok(())
}

/// Every input, parameter and node is read by a node or shown by an output.
fn check_use(
    inputs: &[TensorSpec],
    params: &[ParamSpec],
    nodes: &[Op],
    outputs: &[(ValueId, TensorSpec)],
) -> Result<(), GraphError> {
    let mut values = vec![false; inputs.len().saturating_add(nodes.len())];
    let mut weights = vec![false; params.len()];
    let mark = |used: &mut Vec<bool>, id: u32| {
        if let Some(flag) = used.get_mut(id as usize) {
            *flag = true;
        }
    };
    for op in nodes {
        op.inputs().iter().for_each(|id| mark(&mut values, id.0));
        if let Some((weight, bias)) = op.params() {
            mark(&mut weights, weight.0);
            mark(&mut weights, bias.0);
        }
    }
    for (value, _) in outputs {
        mark(&mut values, value.0);
    }
    if let Some(index) = weights.iter().position(|used| !used) {
        return Err(GraphError::Unused {
            place: Place::Param(index),
        });
    }
    match values.iter().position(|used| !used) {
        None => Ok(()),
        Some(index) => Err(GraphError::Unused {
            place: match index.checked_sub(inputs.len()) {
                None => Place::Input(index),
                Some(node) => Place::Node(node),
            },
        }),
    }
}

/// One entry of the list of outputs.
struct Output(ValueId, TensorSpec);

impl Decode for Output {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(ValueId::decode(reader)?, TensorSpec::decode(reader)?))
    }
}

impl Encode for Graph {
    fn encode_into(&self, out: &mut Vec<u8>) {
        VERSION.encode_into(out);
        put_list(out, &self.inputs);
        put_list(out, &self.params);
        put_list(out, &self.nodes);
        u32::try_from(self.outputs.len())
            .unwrap_or(u32::MAX)
            .encode_into(out);
        for (value, spec) in &self.outputs {
            value.encode_into(out);
            spec.encode_into(out);
        }
    }
}

/// What stands in the encoding of a graph, unchecked.
pub(crate) struct Parts {
    pub(crate) inputs: Vec<TensorSpec>,
    pub(crate) params: Vec<ParamSpec>,
    pub(crate) nodes: Vec<Op>,
    pub(crate) outputs: Vec<(ValueId, TensorSpec)>,
}

impl Decode for Parts {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(reader)? {
            VERSION => {}
            found => {
                return Err(DecodeError::BadTag {
                    what: "graph version",
                    found: u64::from(found),
                });
            }
        }
        let inputs = reader.list("inputs", TENSORS)?;
        let params = reader.list("parameters", limit::PARAMS)?;
        let nodes = reader.list("nodes", limit::NODES)?;
        let outputs = reader.list::<Output>("outputs", TENSORS)?;
        let outputs = outputs
            .into_iter()
            .map(|Output(value, spec)| (value, spec))
            .collect();
        Ok(Self {
            inputs,
            params,
            nodes,
            outputs,
        })
    }
}

impl Decode for Graph {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let Parts {
            inputs,
            params,
            nodes,
            outputs,
        } = Parts::decode(reader)?;
        Ok(Self::new(inputs, params, nodes, outputs)?)
    }
}
