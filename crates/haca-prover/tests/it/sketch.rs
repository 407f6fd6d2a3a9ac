//! Models drawn op by op.

use haca_graph::{
    Function, FunctionKind, Graph, Manifest, ModelFile, Op, ParamId, ParamSpec, Parameters, Stretch, Term,
    ValueId, Window, WindowAxis,
};
use haca_wire::{DType, Scale, Shape, Tensor, TensorSpec};

use crate::model::{Random, name};

/// Windows without dilation and padding.
pub(crate) const fn axis(kernel: u32, stride: u32) -> WindowAxis {
    padded(kernel, stride, 0, 0)
}

/// Windows without dilation.
pub(crate) const fn padded(kernel: u32, stride: u32, before: u32, after: u32) -> WindowAxis {
    WindowAxis {
        kernel,
        stride,
        dilation: 1,
        before,
        after,
    }
}

/// Windows that move alike along both axes.
pub(crate) const fn square(axis: WindowAxis) -> Window {
    Window {
        height: axis,
        width: axis,
    }
}

/// A function of arguments from `low` to `high`.
pub(crate) fn function(kind: FunctionKind, low: i16, high: i16) -> Function {
    Function {
        kind,
        argument: Scale::new(1, 5).unwrap(),
        result: Scale::new(1, 6).unwrap(),
        low,
        high,
    }
}

/// A model in the making. Two sketches of one seed draw the same parameters in the same order.
pub(crate) struct Sketch {
    random: Random,
    inputs: usize,
    params: Vec<ParamSpec>,
    tensors: Vec<Tensor>,
    nodes: Vec<Op>,
    /// Shapes of the values, and about how large their elements are.
    values: Vec<(Vec<u32>, f64)>,
    outputs: Vec<u32>,
}

impl Sketch {
    /// A model of inputs of the given shapes: values 0, 1, ...
    pub(crate) fn new(seed: u64, inputs: &[&[u32]]) -> Self {
        Self {
            random: Random::new(seed),
            inputs: inputs.len(),
            params: Vec::new(),
            tensors: Vec::new(),
            nodes: Vec::new(),
            values: inputs.iter().map(|dims| (dims.to_vec(), 74.0)).collect(),
            outputs: Vec::new(),
        }
    }

    pub(crate) fn dims(&self, value: u32) -> Vec<u32> {
        self.values[value as usize].0.clone()
    }

    fn push(&mut self, op: Op, dims: Vec<u32>, size: f64) -> u32 {
        self.nodes.push(op);
        self.values.push((dims, size));
        self.values.len() as u32 - 1
    }

    fn param(&mut self, dtype: DType, dims: &[u32], (low, high): (i64, i64)) -> ParamId {
        let shape = Shape::new(dims.to_vec()).unwrap();
        let values = (0..shape.elements())
            .map(|_| self.random.range(low, high))
            .collect();
        self.tensors
            .push(Tensor::new(dtype, shape.clone(), values).unwrap());
        self.params.push(ParamSpec {
            dtype,
            shape,
            low,
            high,
        });
        ParamId(self.params.len() as u32 - 1)
    }

    fn matrix(&mut self, dims: &[u32]) -> (ParamId, ParamId) {
        let weight = self.param(DType::I8, dims, (-127, 127));
        (weight, self.param(DType::I32, &dims[..1], (-5000, 6000)))
    }

    pub(crate) fn linear(&mut self, input: u32, n: u32) -> u32 {
        let mut dims = self.dims(input);
        let k = dims.pop().unwrap();
        let (weight, bias) = self.matrix(&[n, k]);
        dims.push(n);
        let input = ValueId(input);
        self.push(
            Op::Linear { input, weight, bias },
            dims,
            f64::from(k).sqrt() * 74.0 * 60.0,
        )
    }

    fn windows(&self, input: u32, window: &Window) -> ([u32; 3], f64) {
        let dims = self.dims(input);
        let counts = [
            window.height.count(dims[0]).unwrap(),
            window.width.count(dims[1]).unwrap(),
        ];
        let taps = window.height.kernel * window.width.kernel;
        ([counts[0], counts[1], dims[2]], taps.into())
    }

    pub(crate) fn convolve(&mut self, input: u32, n: u32, window: Window, groups: u32) -> u32 {
        let ([rows, columns, channels], taps) = self.windows(input, &window);
        let (kh, kw, width) = (window.height.kernel, window.width.kernel, channels / groups);
        let (weight, bias) = self.matrix(&[n, kh, kw, width]);
        let op = Op::Convolve {
            input: ValueId(input),
            weight,
            bias,
            window,
            groups,
        };
        let size = (taps * f64::from(width)).sqrt() * 74.0 * 60.0;
        self.push(op, vec![rows, columns, n], size)
    }

    pub(crate) fn window_sum(&mut self, input: u32, window: Window) -> u32 {
        let (dims, taps) = self.windows(input, &window);
        let input = ValueId(input);
        self.push(Op::WindowSum { input, window }, dims.to_vec(), taps.sqrt() * 74.0)
    }

    pub(crate) fn window_max(&mut self, input: u32, window: Window) -> u32 {
        let (dims, _) = self.windows(input, &window);
        let input = ValueId(input);
        self.push(Op::WindowMax { input, window }, dims.to_vec(), 74.0)
    }

    pub(crate) fn sum(&mut self, terms: &[(u32, i32)]) -> u32 {
        let dims = self.dims(terms[0].0);
        let size = terms
            .iter()
            .map(|(_, c)| f64::from(*c).powi(2))
            .sum::<f64>()
            .sqrt()
            * 74.0;
        let terms = terms.iter().map(|(value, coefficient)| Term {
            value: ValueId(*value),
            coefficient: *coefficient,
        });
        let terms = terms.collect();
        self.push(Op::Sum { terms }, dims, size)
    }

    pub(crate) fn product(&mut self, left: u32, right: u32) -> u32 {
        let dims = self.dims(left);
        let (left, right) = (ValueId(left), ValueId(right));
        self.push(Op::Product { left, right }, dims, 74.0 * 74.0)
    }

    /// Multipliers for results that saturate now and then: one, or one for each channel.
    fn multipliers(&mut self, input: u32, per_channel: bool) -> Vec<u32> {
        let (dims, size) = &self.values[input as usize];
        let middle = ((60.0 / size * f64::from(1 << 16)) as i64).max(2);
        let count = if per_channel { dims[dims.len() - 1] } else { 1 };
        let range = (middle.div_euclid(2), 2 * middle);
        let mut one = || self.random.range(range.0, range.1) as u32 | 1;
        (0..count).map(|_| one()).collect()
    }

    pub(crate) fn requantise(&mut self, input: u32, per_channel: bool) -> u32 {
        self.clamp(input, per_channel, -128)
    }

    /// A requantisation to `low..=127`.
    pub(crate) fn clamp(&mut self, input: u32, per_channel: bool, low: i8) -> u32 {
        let multipliers = self.multipliers(input, per_channel);
        self.scaled(input, multipliers, low)
    }

    /// A requantisation with given multipliers.
    pub(crate) fn scaled(&mut self, input: u32, multipliers: Vec<u32>, low: i8) -> u32 {
        let dims = self.dims(input);
        let op = Op::Requantise {
            input: ValueId(input),
            multipliers,
            shift: 16,
            low,
            high: 127,
        };
        self.push(op, dims, 74.0)
    }

    pub(crate) fn activate(&mut self, input: u32, function: Function) -> u32 {
        let multipliers = self.multipliers(input, false);
        let dims = self.dims(input);
        let op = Op::Activate {
            input: ValueId(input),
            multipliers,
            shift: 16,
            function,
        };
        self.push(op, dims, 74.0)
    }

    pub(crate) fn pad(&mut self, input: u32, before: &[u32], after: &[u32], value: i8) -> u32 {
        let sides = before.iter().zip(after);
        let from = self.dims(input);
        let dims = from.iter().zip(sides).map(|(d, (b, a))| d + b + a);
        let dims = dims.collect();
        let op = Op::Pad {
            input: ValueId(input),
            before: before.to_vec(),
            after: after.to_vec(),
            value,
        };
        self.push(op, dims, 74.0)
    }

    /// Reverses an axis.
    pub(crate) fn reverse(&mut self, input: u32, axis: usize) -> u32 {
        let dims = self.dims(input);
        let stretch = |(index, count): (usize, &u32)| Stretch {
            start: if index == axis { count - 1 } else { 0 },
            step: if index == axis { -1 } else { 1 },
            count: *count,
        };
        let stretches = dims.iter().enumerate().map(stretch).collect();
        let input = ValueId(input);
        self.push(Op::Slice { input, stretches }, dims, 74.0)
    }

    pub(crate) fn transpose(&mut self, input: u32, axes: &[u8]) -> u32 {
        let dims = self.dims(input);
        let dims = axes.iter().map(|axis| dims[usize::from(*axis)]).collect();
        let op = Op::Transpose {
            input: ValueId(input),
            axes: axes.to_vec(),
        };
        self.push(op, dims, 74.0)
    }

    pub(crate) fn reshape(&mut self, input: u32, dims: &[u32]) -> u32 {
        let shape = Shape::new(dims.to_vec()).unwrap();
        let input = ValueId(input);
        self.push(Op::Reshape { input, shape }, dims.to_vec(), 74.0)
    }

    /// Makes a value public.
    pub(crate) fn output(&mut self, value: u32) {
        self.outputs.push(value);
    }

    /// The model with one output.
    pub(crate) fn ending(mut self, value: u32) -> ModelFile {
        self.output(value);
        self.model()
    }

    pub(crate) fn model(self) -> ModelFile {
        let spec = |value: u32, dtype| TensorSpec {
            name: name(&format!("v{value}")),
            dtype,
            shape: Shape::new(self.dims(value)).unwrap(),
            scale: Scale::ONE,
        };
        let inputs = (0..self.inputs)
            .map(|index| spec(index as u32, DType::I8))
            .collect();
        let output = |value: &u32| {
            let node = (*value as usize).checked_sub(self.inputs);
            let is_wide = node.is_some_and(|node| self.nodes[node].makes_accumulators());
            (
                ValueId(*value),
                spec(*value, if is_wide { DType::I32 } else { DType::I8 }),
            )
        };
        let outputs = self.outputs.iter().map(output).collect();
        let graph = Graph::new(inputs, self.params, self.nodes, outputs).unwrap();
        let parameters = Parameters::new(&graph, self.tensors).unwrap();
        let manifest = Manifest {
            name: name("sketch"),
            graph,
            render: 1,
            tokenizer: [0; 32],
        };
        ModelFile { manifest, parameters }
    }
}
