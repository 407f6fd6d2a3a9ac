//! Evaluation straight from the formulas of `spec/graph.md`, in i128 and with nested loops; it shares nothing with the
//! crate but the types, and the tables of functions, which the vectors cover.

use haca_graph::{Op, ParamSpec, ValueId, Window, WindowAxis};

/// A tensor of wide integers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wide {
    pub(crate) dims: Vec<i128>,
    pub(crate) elements: Vec<i128>,
}

impl Wide {
    pub(crate) fn new(dims: &[u32], elements: &[i64]) -> Self {
        Self {
            dims: dims.iter().copied().map(i128::from).collect(),
            elements: elements.iter().copied().map(i128::from).collect(),
        }
    }

    /// The element at a position; `None` outside.
    fn at(&self, position: &[i128]) -> Option<i128> {
        let mut index = 0;
        for (p, dim) in position.iter().zip(&self.dims) {
            if !(0..*dim).contains(p) {
                return None;
            }
            index = index * dim + p;
        }
        self.elements.get(usize::try_from(index).unwrap()).copied()
    }

    /// A tensor made position by position.
    fn make(dims: Vec<i128>, element: impl Fn(&[i128]) -> i128) -> Self {
        let mut positions = vec![Vec::new()];
        for dim in &dims {
            let longer = |p: &Vec<i128>| {
                let with = |i| p.iter().copied().chain([i]).collect::<Vec<_>>();
                (0..*dim).map(with).collect::<Vec<_>>()
            };
            positions = positions.iter().flat_map(longer).collect();
        }
        let elements = positions.iter().map(|p| element(p)).collect();
        Self { dims, elements }
    }
}

fn windows(axis: &WindowAxis, length: i128) -> i128 {
    let reach = i128::from(axis.kernel - 1) * i128::from(axis.dilation) + 1;
    (length + i128::from(axis.before) + i128::from(axis.after) - reach).div_euclid(i128::from(axis.stride))
        + 1
}

fn under(axis: &WindowAxis, window: i128, tap: i128) -> i128 {
    window * i128::from(axis.stride) + tap * i128::from(axis.dilation) - i128::from(axis.before)
}

/// The elements of a channel under the taps of a window, with the taps.
fn taps(x: &Wide, window: &Window, at: (i128, i128), channel: i128) -> Vec<((i128, i128), i128)> {
    let mut found = Vec::new();
    for a in 0..i128::from(window.height.kernel) {
        for b in 0..i128::from(window.width.kernel) {
            let (row, column) = (under(&window.height, at.0, a), under(&window.width, at.1, b));
            found.extend(x.at(&[row, column, channel]).map(|element| ((a, b), element)));
        }
    }
    found
}

fn windowed(x: &Wide, window: &Window, channels: i128) -> Vec<i128> {
    let [h, w, _] = x.dims[..] else { unreachable!() };
    vec![windows(&window.height, h), windows(&window.width, w), channels]
}

fn quotient(acc: i128, multipliers: &[u32], channel: i128, shift: u8) -> i128 {
    let index = if multipliers.len() == 1 {
        0
    } else {
        usize::try_from(channel).unwrap()
    };
    let divisor = 1i128 << shift;
    (acc * i128::from(multipliers[index]) + divisor / 2).div_euclid(divisor)
}

fn last(position: &[i128]) -> i128 {
    position.last().copied().unwrap_or(0)
}

/// The value of one node, given the values and parameters before it.
pub(crate) fn evaluate(op: &Op, values: &[Wide], params: &[Wide]) -> Wide {
    let of = |id: &ValueId| &values[id.0 as usize];
    let x = of(&op.inputs()[0]);
    match op {
        Op::Linear { weight, bias, .. } => {
            let (w, b) = (&params[weight.0 as usize], &params[bias.0 as usize]);
            let mut dims = x.dims.clone();
            let k = dims.pop().unwrap();
            dims.push(w.dims[0]);
            Wide::make(dims, |p| {
                let (i, lead) = p.split_last().unwrap();
                let term = |j: i128| w.at(&[*i, j]).unwrap() * x.at(&[lead, &[j]].concat()).unwrap();
                b.at(&[*i]).unwrap() + (0..k).map(term).sum::<i128>()
            })
        }
        Op::Convolve {
            weight,
            bias,
            window,
            groups,
            ..
        } => {
            let (w, b) = (&params[weight.0 as usize], &params[bias.0 as usize]);
            let (per_group, filters) = (w.dims[3], w.dims[0] / i128::from(*groups));
            Wide::make(windowed(x, window, w.dims[0]), |p| {
                let mut sum = b.at(&[p[2]]).unwrap();
                for j in 0..per_group {
                    let channel = p[2] / filters * per_group + j;
                    for ((a, c), element) in taps(x, window, (p[0], p[1]), channel) {
                        sum += w.at(&[p[2], a, c, j]).unwrap() * element;
                    }
                }
                sum
            })
        }
        Op::WindowSum { window, .. } => Wide::make(windowed(x, window, x.dims[2]), |p| {
            taps(x, window, (p[0], p[1]), p[2]).iter().map(|(_, e)| e).sum()
        }),
        Op::WindowMax { window, .. } => Wide::make(windowed(x, window, x.dims[2]), |p| {
            let elements = taps(x, window, (p[0], p[1]), p[2]);
            elements.iter().map(|(_, e)| *e).max().unwrap()
        }),
        Op::Sum { terms } => Wide::make(x.dims.clone(), |p| {
            let term = |t: &haca_graph::Term| i128::from(t.coefficient) * of(&t.value).at(p).unwrap();
            terms.iter().map(term).sum()
        }),
        Op::Product { left, right } => Wide::make(x.dims.clone(), |p| {
            of(left).at(p).unwrap() * of(right).at(p).unwrap()
        }),
        Op::Requantise {
            multipliers,
            shift,
            low,
            high,
            ..
        } => Wide::make(x.dims.clone(), |p| {
            let y = quotient(x.at(p).unwrap(), multipliers, last(p), *shift);
            y.clamp(i128::from(*low), i128::from(*high))
        }),
        Op::Activate {
            multipliers,
            shift,
            function,
            ..
        } => {
            let table = function.table();
            Wide::make(x.dims.clone(), |p| {
                let y = quotient(x.at(p).unwrap(), multipliers, last(p), *shift);
                let argument = y.clamp(i128::from(function.low), i128::from(function.high));
                i128::from(table[usize::try_from(argument - i128::from(function.low)).unwrap()])
            })
        }
        Op::ArgMax { .. } => {
            let (n, lead) = x.dims.split_last().unwrap();
            Wide::make(lead.to_vec(), |p| {
                let row: Vec<_> = (0..*n).map(|i| x.at(&[p, &[i]].concat()).unwrap()).collect();
                let best = row.iter().max().unwrap();
                i128::try_from(row.iter().position(|e| e == best).unwrap()).unwrap()
            })
        }
        _ => arrange(op, values),
    }
}

fn arrange(op: &Op, values: &[Wide]) -> Wide {
    let operands: Vec<&Wide> = op.inputs().iter().map(|id| &values[id.0 as usize]).collect();
    let x = operands[0];
    match op {
        Op::Reshape { shape, .. } => Wide {
            dims: shape.dims().iter().copied().map(i128::from).collect(),
            elements: x.elements.clone(),
        },
        Op::Transpose { axes, .. } => {
            let axes: Vec<usize> = axes.iter().map(|a| usize::from(*a)).collect();
            Wide::make(axes.iter().map(|a| x.dims[*a]).collect(), |p| {
                let source = |axis| p[axes.iter().position(|a| *a == axis).unwrap()];
                x.at(&(0..p.len()).map(source).collect::<Vec<_>>()).unwrap()
            })
        }
        Op::Slice { stretches, .. } => {
            let dims = stretches.iter().map(|s| i128::from(s.count)).collect();
            Wide::make(dims, |p| {
                let source =
                    |(i, s): (&i128, &haca_graph::Stretch)| i128::from(s.start) + i * i128::from(s.step);
                x.at(&p.iter().zip(stretches).map(source).collect::<Vec<_>>())
                    .unwrap()
            })
        }
        Op::Concat { axis, .. } => {
            let axis = usize::from(*axis);
            let mut dims = x.dims.clone();
            dims[axis] = operands.iter().map(|o| o.dims[axis]).sum();
            Wide::make(dims, |p| {
                let mut p = p.to_vec();
                for operand in &operands {
                    if let Some(element) = operand.at(&p) {
                        return element;
                    }
                    p[axis] -= operand.dims[axis];
                }
                unreachable!()
            })
        }
        Op::Pad {
            before, after, value, ..
        } => {
            let grown = |((d, b), a): ((&i128, &u32), &u32)| d + i128::from(*b) + i128::from(*a);
            let dims = x.dims.iter().zip(before).zip(after).map(grown).collect();
            Wide::make(dims, |p| {
                let source: Vec<_> = p.iter().zip(before).map(|(i, b)| i - i128::from(*b)).collect();
                x.at(&source).unwrap_or(i128::from(*value))
            })
        }
        Op::Expand { shape, .. } => {
            let dims = shape.dims().iter().copied().map(i128::from).collect();
            Wide::make(dims, |p| {
                let source = |(i, d): (&i128, &i128)| if *d == 1 { 0 } else { *i };
                x.at(&p.iter().zip(&x.dims).map(source).collect::<Vec<_>>())
                    .unwrap()
            })
        }
        other => unreachable!("{other:?}"),
    }
}

/// Elements of a parameter: `pick(low, high)` for every one.
pub(crate) fn fill(params: &[ParamSpec], mut pick: impl FnMut(i64, i64) -> i64) -> Vec<Vec<i64>> {
    let of = |p: &ParamSpec| (0..p.shape.elements()).map(|_| pick(p.low, p.high)).collect();
    params.iter().map(of).collect()
}
