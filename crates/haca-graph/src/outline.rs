//! A graph as it is written, before it is checked: shapes alone tell what a check of it would take.

use std::collections::BTreeSet;

use haca_wire::{DType, Decode, DecodeError, Encode, Reader, Shape};

use crate::graph::{Parts, check_counts};
use crate::{Function, FunctionKind, GraphError, Op, ParamSpec, Place, ValueId, arrangement};

/// The series of the error function has many more terms than that of the exponential: an argument of it counts twice.
const GELU: u64 = 2;

/// What can be told of a graph by reading it once. Nothing was computed that its bytes do not hold: no table of a function,
/// no arrangement, no static range. So it may stand for bytes that are no [`Graph`](crate::Graph); for bytes that are one,
/// it always exists, and its numbers are at least those of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    params: Vec<ParamSpec>,
    nodes: u64,
    arguments: u64,
    distinct_arguments: u64,
    moved: u64,
    stages: u64,
    uses: u64,
}

impl Outline {
    /// The declared parameters.
    pub fn params(&self) -> &[ParamSpec] {
        &self.params
    }

    /// Nodes.
    pub const fn nodes(&self) -> u64 {
        self.nodes
    }

    /// Arguments of the functions of all Activate nodes together; those of Gelu twice.
    pub const fn arguments(&self) -> u64 {
        self.arguments
    }

    /// Arguments of all different functions together; those of Gelu twice.
    pub const fn distinct_arguments(&self) -> u64 {
        self.distinct_arguments
    }

    /// Elements of all values that ops make which only move elements; those of a Reshape count where such an op made its
    /// operand.
    pub const fn moved(&self) -> u64 {
        self.moved
    }

    /// Comparisons of all window maxima: taps but the first.
    pub const fn stages(&self) -> u64 {
        self.stages
    }

    /// Accumulators that requantisations and outputs read; a sum counts its terms.
    pub const fn uses(&self) -> u64 {
        self.uses
    }
}

impl Decode for Outline {
    /// Reads a graph. Refuses nothing that makes a [`Graph`](crate::Graph).
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let Parts {
            inputs,
            params,
            nodes,
            outputs,
        } = Parts::decode(reader)?;
        check_counts(&inputs, &params, &nodes, &outputs)?;
        let mut sketch = Sketch::default();
        for input in &inputs {
            sketch.values.push(Sketched::new(input.shape.clone()));
        }
        for (node, op) in nodes.iter().enumerate() {
            let misfit = GraphError::Arrangement {
                place: Place::Node(node),
                op: op.name(),
            };
            sketch.add(op, &params).ok_or(misfit)?;
        }
        for (value, _) in &outputs {
            sketch.uses = sketch.uses.saturating_add(sketch.parts(*value));
        }
        Ok(Self {
            params,
            nodes: nodes.len() as u64,
            arguments: sketch.arguments,
            distinct_arguments: sketch.distinct_arguments,
            moved: sketch.moved,
            stages: sketch.stages,
            uses: sketch.uses,
        })
    }
}

/// What is known of a value.
struct Sketched {
    shape: Shape,
    /// Whether its elements are looked at one by one to tell where they come from.
    is_moved: bool,
    /// Accumulators that whoever reads it reads.
    parts: u64,
}

impl Sketched {
    const fn new(shape: Shape) -> Self {
        Self {
            shape,
            is_moved: false,
            parts: 1,
        }
    }
}

#[derive(Default)]
struct Sketch {
    values: Vec<Sketched>,
    functions: BTreeSet<Vec<u8>>,
    arguments: u64,
    distinct_arguments: u64,
    moved: u64,
    stages: u64,
    uses: u64,
}

impl Sketch {
    fn parts(&self, id: ValueId) -> u64 {
        self.values.get(id.0 as usize).map_or(1, |value| value.parts)
    }

    /// Counts the next node; `None` when its shapes do not fit.
    fn add(&mut self, op: &Op, params: &[ParamSpec]) -> Option<()> {
        let operands = op.inputs();
        let operands = operands.iter().map(|id| self.values.get(id.0 as usize));
        let operands = operands.collect::<Option<Vec<_>>>()?;
        let shapes: Vec<&Shape> = operands.iter().map(|value| &value.shape).collect();
        let shape = Shape::new(dims(op, &shapes, params)?)?;
        let first = operands.first();
        let mut value = Sketched::new(shape);
        match op {
            Op::Reshape { .. } => {
                value.is_moved = first.is_some_and(|first| first.is_moved);
                value.parts = first.map_or(1, |first| first.parts);
            }
            Op::Transpose { .. }
            | Op::Slice { .. }
            | Op::Concat { .. }
            | Op::Pad { .. }
            | Op::Expand { .. } => value.is_moved = true,
            Op::WindowMax { window, .. } => {
                let taps = u64::from(window.height.kernel).saturating_mul(u64::from(window.width.kernel));
                value.is_moved = taps == 1;
                self.stages = self.stages.saturating_add(taps.saturating_sub(1));
            }
            Op::Sum { terms } => value.parts = terms.len() as u64,
            Op::Requantise { .. } => {
                self.uses = self.uses.saturating_add(first.map_or(1, |first| first.parts))
            }
            Op::Activate { function, .. } => {
                self.uses = self.uses.saturating_add(first.map_or(1, |first| first.parts));
                self.function(function);
            }
            _ => {}
        }
        if value.is_moved {
            self.moved = self.moved.saturating_add(value.shape.elements() as u64);
        }
        self.values.push(value);
        Some(())
    }

    fn function(&mut self, function: &Function) {
        let factor = if function.kind == FunctionKind::Gelu {
            GELU
        } else {
            1
        };
        let arguments = (function.arguments() as u64).saturating_mul(factor);
        self.arguments = self.arguments.saturating_add(arguments);
        if self.functions.insert(function.encode()) {
            self.distinct_arguments = self.distinct_arguments.saturating_add(arguments);
        }
    }
}

/// The dimensions of what `op` makes of operands of these shapes; `None` when no graph has such a node.
fn dims(op: &Op, operands: &[&Shape], params: &[ParamSpec]) -> Option<Vec<u32>> {
    let first = operands.first()?.dims();
    let weight = || {
        let (weight, _) = op.params()?;
        let spec = params.get(weight.0 as usize)?;
        (spec.dtype == DType::I8).then(|| spec.shape.dims())
    };
    match op {
        Op::Linear { .. } => {
            let (_, positions) = first.split_last()?;
            let mut dims = positions.to_vec();
            dims.push(*weight()?.first()?);
            Some(dims)
        }
        Op::Convolve { window, .. } => {
            let [rows, columns, _] = windows(first, window)?;
            Some(vec![rows, columns, *weight()?.first()?])
        }
        Op::WindowSum { window, .. } | Op::WindowMax { window, .. } => {
            windows(first, window).map(|dims| dims.to_vec())
        }
        Op::Requantise { .. } | Op::Activate { .. } | Op::Sum { .. } | Op::Product { .. } => {
            Some(first.to_vec())
        }
        Op::ArgMax { .. } => first.split_last().map(|(_, outer)| outer.to_vec()),
        Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Slice { .. }
        | Op::Concat { .. }
        | Op::Pad { .. }
        | Op::Expand { .. } => arrangement::dims(op, operands),
    }
}

/// Windows along height and width of a value, and its channels.
fn windows(dims: &[u32], window: &crate::Window) -> Option<[u32; 3]> {
    let &[height, width, channels] = dims else {
        return None;
    };
    Some([window.height.count(height)?, window.width.count(width)?, channels])
}
