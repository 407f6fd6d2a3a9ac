//! Random graphs of all ops.

use haca_graph::{
    Function, FunctionKind, Graph, GraphError, Op, ParamId, ParamSpec, Stretch, Term, ValueId, Window,
    WindowAxis,
};
use haca_wire::{DType, Name, Scale, Shape, TensorSpec};

use crate::reference::{self, Wide};

/// Draws what it is asked for; a seed makes one graph.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn next(&mut self, low: i64, high: i64) -> i64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        low + i64::try_from((self.0 >> 33) % u64::try_from(high - low + 1).unwrap()).unwrap()
    }

    fn number(&mut self, low: u32, high: u32) -> u32 {
        u32::try_from(self.next(low.into(), high.into())).unwrap()
    }

    fn ordered(&mut self, low: i64, high: i64) -> (i64, i64) {
        let (a, b) = (self.next(low, high), self.next(low, high));
        (a.min(b), a.max(b))
    }

    /// Small, or now and then so large that the sum may leave int32.
    fn coefficient(&mut self) -> i32 {
        let most = if self.next(0, 7) == 0 { 1 << 24 } else { 5000 };
        i32::try_from(self.next(-most, most)).unwrap()
    }

    fn axis(&mut self) -> WindowAxis {
        let (kernel, dilation) = (self.number(1, 3), self.number(1, 2));
        let most = (kernel - 1) * dilation;
        let (before, after) = match self.next(0, 2) {
            0 => (0, 0),
            _ => (self.number(0, most), self.number(0, most)),
        };
        WindowAxis {
            kernel,
            stride: self.number(1, 3),
            dilation,
            before,
            after,
        }
    }

    fn window(&mut self) -> Window {
        Window {
            height: self.axis(),
            width: self.axis(),
        }
    }

    fn function(&mut self) -> Function {
        let mut scale =
            |most| Scale::new(self.number(1, 99), u8::try_from(self.number(2, most)).unwrap()).unwrap();
        let (argument, result, slope, beta) = (scale(10), scale(12), scale(9), scale(9));
        let kind = match self.next(0, 10) {
            0 => FunctionKind::Sigmoid,
            1 => FunctionKind::Tanh,
            2 => FunctionKind::Silu,
            3 => FunctionKind::Gelu,
            4 => FunctionKind::GeluTanh,
            5 => FunctionKind::Softplus,
            6 => FunctionKind::LeakyRelu { slope },
            7 => FunctionKind::HardSigmoid { alpha: slope, beta },
            8 => FunctionKind::HighDigit { bits: 4 },
            9 => FunctionKind::LowDigit { bits: 6 },
            _ => FunctionKind::HardSwish,
        };
        let (low, high) = self.ordered(-60, 60);
        Function {
            kind,
            argument,
            result,
            low: i16::try_from(low).unwrap(),
            high: i16::try_from(high).unwrap(),
        }
    }
}

/// A graph that grows by random ops. Shapes are those of the reference, not of the crate.
pub(crate) struct Growth {
    draw: Draw,
    pub(crate) params: Vec<ParamSpec>,
    pub(crate) nodes: Vec<Op>,
    pub(crate) values: Vec<Wide>,
    /// Values that are int8.
    narrow: Vec<u32>,
    /// Accumulators, and 4 for a Sum.
    wide: Vec<(u32, i64)>,
}

pub(crate) fn shape(dims: &[u32]) -> Shape {
    Shape::new(dims.to_vec()).unwrap()
}

fn spec(name: &str, dtype: DType, shape: Shape) -> TensorSpec {
    TensorSpec {
        name: Name::new(name).unwrap(),
        dtype,
        shape,
        scale: Scale::ONE,
    }
}

impl Growth {
    fn new(seed: u64) -> Self {
        let mut draw = Draw(seed);
        let dims = [draw.number(1, 6), draw.number(1, 6), draw.number(1, 4)];
        let zeros = vec![0; shape(&dims).elements()];
        Self {
            draw,
            params: Vec::new(),
            nodes: Vec::new(),
            values: vec![Wide::new(&dims, &zeros)],
            narrow: vec![0],
            wide: Vec::new(),
        }
    }

    pub(crate) fn dims(&self, value: u32) -> Vec<u32> {
        let dims = &self.values[value as usize].dims;
        dims.iter().map(|d| u32::try_from(*d).unwrap()).collect()
    }

    /// An int8 value, most often the latest.
    fn pick(&mut self) -> u32 {
        let latest = self.narrow.len() - 1;
        let back = usize::try_from(self.draw.next(0, 3)).unwrap();
        self.narrow[latest.saturating_sub(back / 2)]
    }

    /// An int8 image, if the value picked is one.
    fn image(&mut self) -> Option<(u32, [u32; 3])> {
        let value = self.pick();
        Some((value, self.dims(value).try_into().ok()?))
    }

    fn window(&mut self, [h, w, _]: [u32; 3]) -> Option<Window> {
        let window = self.draw.window();
        (window.height.count(h).is_some() && window.width.count(w).is_some()).then_some(window)
    }

    fn param(&mut self, dtype: DType, dims: &[u32], (low, high): (i64, i64)) -> ParamId {
        self.params.push(ParamSpec {
            dtype,
            shape: shape(dims),
            low,
            high,
        });
        ParamId(u32::try_from(self.params.len() - 1).unwrap())
    }

    fn weights(&mut self, dims: &[u32]) -> (ParamId, ParamId) {
        let weight = if self.draw.next(0, 1) == 0 {
            (-128, 127)
        } else {
            self.draw.ordered(-128, 127)
        };
        let bias = self.draw.ordered(-100_000, 100_000);
        (
            self.param(DType::I8, dims, weight),
            self.param(DType::I32, &dims[..1], bias),
        )
    }

    fn push(&mut self, op: Op) -> u32 {
        let params: Vec<Wide> = self
            .params
            .iter()
            .map(|p| Wide::new(p.shape.dims(), &vec![0; p.shape.elements()]))
            .collect();
        self.values.push(reference::evaluate(&op, &self.values, &params));
        self.nodes.push(op);
        u32::try_from(self.values.len() - 1).unwrap()
    }

    /// An op that makes accumulators.
    fn accumulators(&mut self) -> Option<Op> {
        Some(match self.draw.next(0, 4) {
            0 => {
                let value = self.pick();
                let k = *self.dims(value).last()?;
                let n = self.draw.number(1, 4);
                let (weight, bias) = self.weights(&[n, k]);
                Op::Linear {
                    input: ValueId(value),
                    weight,
                    bias,
                }
            }
            1 => {
                let (value, dims) = self.image()?;
                let window = self.window(dims)?;
                let divisors: Vec<u32> = (1..=dims[2]).filter(|g| dims[2].is_multiple_of(*g)).collect();
                let groups = divisors[self.draw.number(0, u32::try_from(divisors.len()).ok()? - 1) as usize];
                let n = groups * self.draw.number(1, 2);
                let (kh, kw) = (window.height.kernel, window.width.kernel);
                let (weight, bias) = self.weights(&[n, kh, kw, dims[2] / groups]);
                Op::Convolve {
                    input: ValueId(value),
                    weight,
                    bias,
                    window,
                    groups,
                }
            }
            2 => {
                let (value, dims) = self.image()?;
                let window = self.window(dims)?;
                Op::WindowSum {
                    input: ValueId(value),
                    window,
                }
            }
            3 => {
                let first = self.pick();
                // Now and then a sum of sums, which is refused.
                let most = if self.draw.next(0, 15) == 0 { 5 } else { 4 };
                let wide = self.wide.iter().filter(|(_, kind)| *kind < most);
                let all = self.narrow.iter().chain(wide.map(|(value, _)| value));
                let same: Vec<u32> = all
                    .copied()
                    .filter(|v| self.dims(*v) == self.dims(first))
                    .collect();
                let count = self.draw.next(1, 3);
                let term = |draw: &mut Draw| Term {
                    value: ValueId(same[draw.number(0, u32::try_from(same.len()).unwrap() - 1) as usize]),
                    coefficient: draw.coefficient(),
                };
                Op::Sum {
                    terms: (0..count).map(|_| term(&mut self.draw)).collect(),
                }
            }
            _ => {
                let left = self.pick();
                let right = self.pick();
                (self.dims(left) == self.dims(right)).then_some(Op::Product {
                    left: ValueId(left),
                    right: ValueId(right),
                })?
            }
        })
    }

    /// Accumulators and what reads them.
    fn layer(&mut self) -> Option<()> {
        let op = self.accumulators()?;
        let kind = if matches!(op, Op::Sum { .. }) { 4 } else { 0 };
        let input = ValueId(self.push(op));
        self.wide.push((input.0, kind));
        let channels = self.dims(input.0).last().copied().unwrap_or(1);
        let count = if self.draw.next(0, 1) == 0 { 1 } else { channels };
        let multipliers = (0..count).map(|_| self.draw.number(0, 1 << 20)).collect();
        let shift = u8::try_from(self.draw.next(18, 30)).unwrap();
        let op = if self.draw.next(0, 2) == 0 {
            Op::Activate {
                input,
                multipliers,
                shift,
                function: self.draw.function(),
            }
        } else {
            let (low, high) = self.draw.ordered(-128, 127);
            Op::Requantise {
                input,
                multipliers,
                shift,
                low: i8::try_from(low).unwrap(),
                high: i8::try_from(high).unwrap(),
            }
        };
        let value = self.push(op);
        self.narrow.push(value);
        Some(())
    }

    /// An op that moves int8 elements, or takes the largest.
    fn moved(&mut self) -> Option<()> {
        let value = self.pick();
        let (input, dims) = (ValueId(value), self.dims(value));
        let op = match self.draw.next(0, 6) {
            0 => {
                let (value, dims) = self.image()?;
                let window = self.window(dims)?;
                let covers = |axis: &WindowAxis, length| {
                    let windows = 0..axis.count(length).unwrap();
                    windows
                        .into_iter()
                        .all(|w| (0..axis.kernel).any(|t| axis.element(w, t, length).is_some()))
                };
                let covered = covers(&window.height, dims[0]) && covers(&window.width, dims[1]);
                covered.then_some(Op::WindowMax {
                    input: ValueId(value),
                    window,
                })?
            }
            1 => {
                let mut axes: Vec<u8> = (0..u8::try_from(dims.len()).ok()?).collect();
                let turn = usize::try_from(self.draw.next(0, 2)).ok()?.min(axes.len());
                axes.rotate_left(turn);
                Op::Transpose { input, axes }
            }
            2 => Op::Slice {
                input,
                stretches: dims.iter().map(|d| self.stretch(*d)).collect(),
            },
            3 => {
                let axis = usize::try_from(self.draw.next(0, 3))
                    .ok()?
                    .min(dims.len().checked_sub(1)?);
                let fits = |growth: &Self, v: u32| {
                    let mut other = growth.dims(v);
                    other.len() == dims.len() && {
                        other[axis] = dims[axis];
                        other == dims
                    }
                };
                let others: Vec<u32> = self
                    .narrow
                    .iter()
                    .copied()
                    .filter(|v| fits(self, *v))
                    .take(3)
                    .collect();
                Op::Concat {
                    inputs: [input]
                        .into_iter()
                        .chain(others.into_iter().map(ValueId))
                        .collect(),
                    axis: u8::try_from(axis).ok()?,
                }
            }
            4 => Op::Pad {
                input,
                before: dims.iter().map(|_| self.draw.number(0, 2)).collect(),
                after: dims.iter().map(|_| self.draw.number(0, 2)).collect(),
                value: i8::try_from(self.draw.next(-128, 127)).ok()?,
            },
            5 => {
                let to = |d: &u32| if *d == 1 { self.draw.number(1, 3) } else { *d };
                Op::Expand {
                    input,
                    shape: shape(&dims.iter().map(to).collect::<Vec<_>>()),
                }
            }
            _ => Op::Reshape {
                input,
                shape: shape(&[
                    dims[..dims.len() / 2].iter().product(),
                    1,
                    dims[dims.len() / 2..].iter().product(),
                ]),
            },
        };
        let value = self.push(op);
        self.narrow.push(value);
        Some(())
    }

    fn stretch(&mut self, length: u32) -> Stretch {
        let (start, end) = (self.draw.number(0, length - 1), self.draw.number(0, length - 1));
        let step = self.draw.number(1, 3);
        let count = start.abs_diff(end) / step + 1;
        let step = i32::try_from(step).unwrap();
        Stretch {
            start,
            step: if end < start { -step } else { step },
            count,
        }
    }

    /// The graph; every value that no node reads is an output.
    pub(crate) fn graph(&self) -> Result<Graph, GraphError> {
        let read: Vec<ValueId> = self.nodes.iter().flat_map(Op::inputs).collect();
        let mut outputs = Vec::new();
        for (index, op) in self.nodes.iter().enumerate() {
            let value = u32::try_from(index + 1).unwrap();
            if !read.contains(&ValueId(value)) {
                let dtype = if op.makes_accumulators() {
                    DType::I32
                } else {
                    DType::I8
                };
                outputs.push((
                    ValueId(value),
                    spec(&format!("y{value}"), dtype, shape(&self.dims(value))),
                ));
            }
        }
        let input = spec("x", DType::I8, shape(&self.dims(0)));
        Graph::new(vec![input], self.params.clone(), self.nodes.clone(), outputs)
    }
}

/// A graph of a few random ops; some are refused by their bounds.
pub(crate) fn grown(seed: u64, steps: usize) -> Growth {
    let mut growth = Growth::new(seed);
    // One layer at least, since a graph has parameters and reads its input.
    while growth.params.is_empty() {
        let Growth { draw, .. } = growth;
        growth = Growth::new(draw.0);
        let _ = growth.layer();
    }
    for _ in 0..steps {
        let small = growth.values.iter().map(|v| v.elements.len()).sum::<usize>() < 4000;
        if small && growth.draw.next(0, 1) == 0 {
            let _ = growth.layer();
        } else if small {
            let _ = growth.moved();
        }
    }
    growth
}
