//! Steps from the ops of a graph.

use haca_graph::{Graph, Op, ParamId, Parameters, ValueId};

use super::arrangement::Arrangement;
use super::executor::{Narrow, Step, Wide};
use super::image::reduction;
use super::product::Product;
use super::values::Places;
use crate::kernel::Scaling;

/// What steps are made from. The graph is checked: operands, parameters and shapes are there and fit.
pub(super) struct Preparation<'a> {
    pub(super) graph: &'a Graph,
    pub(super) parameters: &'a Parameters,
}

impl Preparation<'_> {
    /// All steps, and where their values stand.
    pub(super) fn steps(&self) -> (Vec<Step>, Places) {
        let mut places = Places::default();
        for input in self.graph.inputs() {
            places.add_narrow(input.shape.elements());
        }
        let mut steps = Vec::new();
        for (node, op) in self.graph.nodes().iter().enumerate() {
            let step = self.step(node, op);
            let elements = self.elements(ValueId((self.graph.inputs().len() + node) as u32));
            match &step {
                Step::Narrow(_) => places.add_narrow(elements),
                Step::Wide(_) => places.add_wide(elements),
                Step::Same(value) => places.add_same(*value),
            }
            steps.push(step);
        }
        (steps, places)
    }

    fn step(&self, node: usize, op: &Op) -> Step {
        let index = |id: &ValueId| id.0 as usize;
        match op {
            Op::Linear { input, weight, bias } => {
                let (weight, bias): (Vec<i8>, Vec<i32>) = (self.narrow(*weight), self.wide(*bias));
                let columns = weight.len() / bias.len().max(1);
                let positions = self.elements(*input) / columns.max(1);
                Step::Wide(Wide::Product(
                    index(input),
                    Product::dense(&weight, &bias, positions),
                ))
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
                Step::Wide(Wide::Product(index(input), product))
            }
            Op::Requantise {
                input,
                multipliers,
                shift,
                low,
                high,
            } => Step::Narrow(Narrow::Requantise {
                input: index(input),
                scaling: Scaling::new(multipliers, *shift),
                low: *low,
                high: *high,
            }),
            Op::Activate {
                input,
                multipliers,
                shift,
                function,
            } => Step::Narrow(Narrow::Activate {
                input: index(input),
                scaling: Scaling::new(multipliers, *shift),
                low: function.low,
                table: function.table(),
            }),
            Op::ArgMax { input } => {
                let last = self.dims(*input).last().copied();
                Step::Wide(Wide::ArgMax(index(input), last.unwrap_or(1) as usize))
            }
            Op::WindowSum { input, window } => Step::Wide(Wide::WindowSum(
                index(input),
                reduction(self.image(*input), window),
            )),
            Op::WindowMax { input, window } => Step::Narrow(Narrow::WindowMax(
                index(input),
                reduction(self.image(*input), window),
            )),
            Op::Sum { terms } => {
                let term = |term: &haca_graph::Term| (index(&term.value), term.coefficient);
                Step::Wide(Wide::Sum(terms.iter().map(term).collect()))
            }
            Op::Product { left, right } => Step::Wide(Wide::Multiply(index(left), index(right))),
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
                Step::Narrow(Narrow::Arrange(operands.iter().map(index).collect(), arrangement))
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
