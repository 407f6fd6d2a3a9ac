//! Random graphs of all ops, wide enough for every kernel.

use haca_graph::{
    Function, FunctionKind, Graph, GraphError, Op, ParamId, ParamSpec, Stretch, Term, ValueId, Window,
    WindowAxis,
};
use haca_wire::{DType, Name, Scale, Shape, TensorSpec};

use crate::model::Random;

/// A graph that grows by random ops.
pub(crate) struct Growth {
    random: Random,
    params: Vec<ParamSpec>,
    nodes: Vec<Op>,
    /// Shapes of the values: the inputs first.
    shapes: Vec<Vec<u32>>,
    inputs: usize,
    /// Values that are int8.
    narrow: Vec<u32>,
    /// Accumulators that a Sum may add up.
    wide: Vec<u32>,
}

impl Growth {
    /// A graph of one to `steps` layers and moves; some are refused by their bounds.
    pub(crate) fn graph(seed: u64, steps: usize) -> Result<Graph, GraphError> {
        let mut growth = Self::new(seed);
        growth.layer();
        for _ in 0..steps {
            if growth
                .shapes
                .iter()
                .flat_map(|s| s.iter().product::<u32>().checked_ilog2())
                .max()
                > Some(14)
            {
                break;
            }
            if growth.number(0, 1) == 0 {
                growth.layer();
            } else {
                growth.moved();
            }
        }
        growth.finish()
    }

    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        random.next();
        let mut growth = Self {
            random,
            params: Vec::new(),
            nodes: Vec::new(),
            shapes: Vec::new(),
            inputs: 0,
            narrow: Vec::new(),
            wide: Vec::new(),
        };
        for _ in 0..growth.number(1, 2) {
            let channels = growth.length();
            let dims = match growth.number(0, 3) {
                0 => vec![channels],
                1 => vec![growth.number(1, 9), channels],
                _ => vec![growth.number(1, 12), growth.number(1, 12), channels],
            };
            growth.narrow.push(growth.shapes.len() as u32);
            growth.shapes.push(dims);
            growth.inputs += 1;
        }
        growth
    }

    fn number(&mut self, low: u32, high: u32) -> u32 {
        self.random.range(low.into(), high.into()) as u32
    }

    /// Lengths around those of registers, and small ones.
    fn length(&mut self) -> u32 {
        match self.number(0, 3) {
            0 => self.number(1, 8),
            1 => [16, 32, 64][self.number(0, 2) as usize],
            _ => self.number(1, 90),
        }
    }

    fn ordered(&mut self, low: i64, high: i64) -> (i64, i64) {
        let (a, b) = (self.random.range(low, high), self.random.range(low, high));
        (a.min(b), a.max(b))
    }

    fn pick(&mut self) -> u32 {
        let last = self.narrow.len() as u32 - 1;
        let place = self.number(last.saturating_sub(3), last);
        self.narrow[place as usize]
    }

    fn dims(&self, value: u32) -> Vec<u32> {
        self.shapes[value as usize].clone()
    }

    fn push(&mut self, op: Op, dims: Vec<u32>) -> u32 {
        self.nodes.push(op);
        self.shapes.push(dims);
        self.shapes.len() as u32 - 1
    }

    fn param(&mut self, dtype: DType, dims: &[u32], (low, high): (i64, i64)) -> ParamId {
        let shape = Shape::new(dims.to_vec()).unwrap();
        self.params.push(ParamSpec {
            dtype,
            shape,
            low,
            high,
        });
        ParamId(self.params.len() as u32 - 1)
    }

    fn weights(&mut self, dims: &[u32]) -> (ParamId, ParamId) {
        let weight = if self.number(0, 1) == 0 {
            (-128, 127)
        } else {
            self.ordered(-128, 127)
        };
        let bias = self.ordered(-100_000, 100_000);
        (
            self.param(DType::I8, dims, weight),
            self.param(DType::I32, &dims[..1], bias),
        )
    }

    fn axis(&mut self, most: u32) -> WindowAxis {
        let (kernel, dilation) = (self.number(1, most), self.number(1, 2));
        let reach = (kernel - 1) * dilation;
        WindowAxis {
            kernel,
            stride: self.number(1, 3),
            dilation,
            before: self.number(0, reach),
            after: self.number(0, reach),
        }
    }

    /// An image, a window over it, and the numbers of windows.
    fn windows(&mut self) -> Option<(u32, Window, [u32; 2], u32)> {
        let value = self.pick();
        let &[height, width, channels] = &*self.dims(value) else {
            return None;
        };
        let window = Window {
            height: self.axis(5),
            width: self.axis(5),
        };
        let counts = [window.height.count(height)?, window.width.count(width)?];
        Some((value, window, counts, channels))
    }

    /// An op that makes accumulators, and its shape.
    fn accumulators(&mut self) -> Option<(Op, Vec<u32>)> {
        Some(match self.number(0, 6) {
            0 | 1 => {
                let value = self.pick();
                let mut dims = self.dims(value);
                let n = self.length();
                let (weight, bias) = self.weights(&[n, *dims.last()?]);
                *dims.last_mut()? = n;
                let input = ValueId(value);
                (Op::Linear { input, weight, bias }, dims)
            }
            2 | 3 => {
                let (value, window, [rows, columns], channels) = self.windows()?;
                let divisors: Vec<u32> = (1..=channels).filter(|g| channels.is_multiple_of(*g)).collect();
                let groups = match self.number(0, 3) {
                    0 => channels,
                    1 => divisors[self.number(0, divisors.len() as u32 - 1) as usize],
                    _ => 1,
                };
                let most = if self.number(0, 1) == 0 { 1 } else { 80 / groups };
                let n = groups * self.number(1, most.max(1));
                let taps = (window.height.kernel, window.width.kernel);
                let (weight, bias) = self.weights(&[n, taps.0, taps.1, channels / groups]);
                let input = ValueId(value);
                let op = Op::Convolve {
                    input,
                    weight,
                    bias,
                    window,
                    groups,
                };
                (op, vec![rows, columns, n])
            }
            4 => {
                let (value, window, [rows, columns], channels) = self.windows()?;
                let input = ValueId(value);
                (Op::WindowSum { input, window }, vec![rows, columns, channels])
            }
            5 => {
                let first = self.pick();
                let dims = self.dims(first);
                let all = self.narrow.iter().chain(&self.wide).copied();
                let same: Vec<u32> = all.filter(|v| self.dims(*v) == dims).collect();
                let terms = (0..self.number(1, 3)).map(|_| Term {
                    value: ValueId(same[self.number(0, same.len() as u32 - 1) as usize]),
                    coefficient: self.random.range(-5000, 5000) as i32,
                });
                (
                    Op::Sum {
                        terms: terms.collect(),
                    },
                    dims,
                )
            }
            _ => {
                let (left, right) = (self.pick(), self.pick());
                let dims = self.dims(left);
                let (left, right) = (
                    ValueId(left),
                    if self.dims(right) == dims {
                        ValueId(right)
                    } else {
                        ValueId(left)
                    },
                );
                (Op::Product { left, right }, dims)
            }
        })
    }

    /// Accumulators and what reads them.
    fn layer(&mut self) {
        let Some((op, dims)) = self.accumulators() else {
            return;
        };
        let is_term = op.makes_terms();
        let input = ValueId(self.push(op, dims.clone()));
        if is_term {
            self.wide.push(input.0);
        }
        let channels = dims.last().copied().unwrap_or(1);
        let count = if self.number(0, 1) == 0 { 1 } else { channels };
        let multipliers = (0..count).map(|_| self.number(0, 1 << 20)).collect();
        let shift = self.number(18, 30) as u8;
        let op = if self.number(0, 2) == 0 {
            Op::Activate {
                input,
                multipliers,
                shift,
                function: self.function(),
            }
        } else {
            let (low, high) = self.ordered(-128, 127);
            Op::Requantise {
                input,
                multipliers,
                shift,
                low: low as i8,
                high: high as i8,
            }
        };
        let value = self.push(op, dims);
        self.narrow.push(value);
    }

    fn function(&mut self) -> Function {
        let kinds = [
            FunctionKind::Sigmoid,
            FunctionKind::Tanh,
            FunctionKind::Gelu,
            FunctionKind::HardSwish,
            FunctionKind::HighDigit { bits: 3 },
            FunctionKind::LowDigit { bits: 5 },
        ];
        let (low, high) = self.ordered(-300, 300);
        Function {
            kind: kinds[self.number(0, 5) as usize],
            argument: Scale::new(self.number(1, 99), 8).unwrap(),
            result: Scale::new(self.number(1, 99), 10).unwrap(),
            low: low as i16,
            high: high as i16,
        }
    }

    /// An op that moves int8 elements, or takes the largest.
    fn moved(&mut self) {
        let value = self.pick();
        let Some((op, dims)) = self.arrangement(value) else {
            return;
        };
        let value = self.push(op, dims);
        self.narrow.push(value);
    }

    fn arrangement(&mut self, value: u32) -> Option<(Op, Vec<u32>)> {
        let (input, dims) = (ValueId(value), self.dims(value));
        Some(match self.number(0, 7) {
            0 | 1 => {
                let (value, window, [rows, columns], channels) = self.windows()?;
                let covers = |axis: &WindowAxis, length| {
                    let taps = |w| (0..axis.kernel).any(|t| axis.element(w, t, length).is_some());
                    axis.count(length).is_some_and(|windows| (0..windows).all(taps))
                };
                let dims = self.dims(value);
                let covered = covers(&window.height, dims[0]) && covers(&window.width, dims[1]);
                let input = ValueId(value);
                covered.then_some((Op::WindowMax { input, window }, vec![rows, columns, channels]))?
            }
            2 => {
                let mut axes: Vec<u8> = (0..dims.len() as u8).collect();
                axes.rotate_left(self.number(0, dims.len() as u32 - 1) as usize);
                let to = axes.iter().map(|axis| dims[usize::from(*axis)]).collect();
                (Op::Transpose { input, axes }, to)
            }
            3 => {
                let stretches: Vec<Stretch> = dims.iter().map(|d| self.stretch(*d)).collect();
                let to = stretches.iter().map(|stretch| stretch.count).collect();
                (Op::Slice { input, stretches }, to)
            }
            4 => {
                let axis = self.number(0, dims.len() as u32 - 1) as usize;
                let fits = |v: &u32| {
                    let mut other = self.dims(*v);
                    other.len() == dims.len() && {
                        other[axis] = dims[axis];
                        other == dims
                    }
                };
                let others: Vec<u32> = self.narrow.iter().copied().filter(fits).take(3).collect();
                let mut to = dims.clone();
                to[axis] += others.iter().map(|v| self.dims(*v)[axis]).sum::<u32>();
                let inputs = [value].into_iter().chain(others).map(ValueId).collect();
                let axis = axis as u8;
                (Op::Concat { inputs, axis }, to)
            }
            5 => {
                let mut sides = || dims.iter().map(|_| self.number(0, 2)).collect::<Vec<u32>>();
                let (before, after) = (sides(), sides());
                let to = dims.iter().zip(&before).zip(&after).map(|((d, b), a)| d + b + a);
                let to = to.collect();
                let value = self.random.range(-128, 127) as i8;
                let op = Op::Pad {
                    input,
                    before,
                    after,
                    value,
                };
                (op, to)
            }
            6 => {
                let to: Vec<u32> = dims
                    .iter()
                    .map(|d| if *d == 1 { self.number(1, 20) } else { *d })
                    .collect();
                let shape = Shape::new(to.clone()).unwrap();
                (Op::Expand { input, shape }, to)
            }
            _ => {
                let middle = dims.len() / 2;
                let to = vec![
                    dims[..middle].iter().product(),
                    1,
                    dims[middle..].iter().product(),
                ];
                let shape = Shape::new(to.clone()).unwrap();
                (Op::Reshape { input, shape }, to)
            }
        })
    }

    fn stretch(&mut self, length: u32) -> Stretch {
        let (start, end) = (self.number(0, length - 1), self.number(0, length - 1));
        let step = self.number(1, 3);
        let count = start.abs_diff(end) / step + 1;
        let step = if end < start { -(step as i32) } else { step as i32 };
        Stretch { start, step, count }
    }

    /// The graph; every value that no node reads is an output, and one of the outputs has an argmax.
    fn finish(mut self) -> Result<Graph, GraphError> {
        let read: Vec<ValueId> = self.nodes.iter().flat_map(Op::inputs).collect();
        let mut outputs = Vec::new();
        for (node, op) in self.nodes.iter().enumerate() {
            let value = (node + self.inputs) as u32;
            if !read.contains(&ValueId(value)) {
                let wide = op.makes_accumulators();
                outputs.push((value, if wide { DType::I32 } else { DType::I8 }));
            }
        }
        if let Some((value, _)) = outputs.last().copied() {
            let mut dims = self.dims(value);
            if dims.pop().is_some() {
                let index = self.push(
                    Op::ArgMax {
                        input: ValueId(value),
                    },
                    dims,
                );
                outputs.push((index, DType::I32));
            }
        }
        let inputs = (0..self.inputs)
            .map(|index| self.spec(index as u32, DType::I8))
            .collect();
        let outputs = outputs
            .into_iter()
            .map(|(value, dtype)| (ValueId(value), self.spec(value, dtype)));
        let outputs = outputs.collect();
        Graph::new(inputs, self.params, self.nodes, outputs)
    }

    fn spec(&self, value: u32, dtype: DType) -> TensorSpec {
        TensorSpec {
            name: Name::new(&format!("v{value}")).unwrap(),
            dtype,
            shape: Shape::new(self.dims(value)).unwrap(),
            scale: Scale::ONE,
        }
    }
}
