//! A float model in fewer ops: affine maps join the layers before or behind them, functions that a file spells out
//! become one op, and clamps stand directly behind what they clamp.

mod affine;
mod pattern;

use haca_wire::Shape;

use crate::float_model::{FloatFunction, FloatModel, FloatOp};
use crate::{At, OnnxError};

/// Rounds of rewriting: each shortens a chain of ops by at least one.
const ROUNDS: usize = 64;

/// The new ops, while the old ones are visited in order.
pub(super) struct Rewrite {
    inputs: usize,
    ops: Vec<FloatOp>,
    shapes: Vec<Shape>,
    /// How many ops and outputs read each new value.
    readers: Vec<usize>,
    changed: bool,
}

impl Rewrite {
    fn push(&mut self, op: FloatOp, shape: Shape) -> usize {
        self.ops.push(op);
        self.shapes.push(shape);
        self.readers.push(0);
        self.shapes.len() - 1
    }

    fn producer(&self, value: usize) -> Option<&FloatOp> {
        self.ops.get(value.checked_sub(self.inputs)?)
    }

    fn producer_mut(&mut self, value: usize) -> Option<&mut FloatOp> {
        self.ops.get_mut(value.checked_sub(self.inputs)?)
    }

    /// The op that makes a value which nobody else reads.
    fn own_producer(&self, value: usize) -> Option<&FloatOp> {
        self.producer(value).filter(|_| self.readers[value] <= 1)
    }

    fn last_axis(&self, value: usize) -> usize {
        self.shapes[value].dims().last().map_or(1, |d| *d as usize)
    }
}

/// Applies all rules until none applies, and brings what is left into the ops that quantisation knows.
pub(super) fn simplify(model: FloatModel) -> Result<FloatModel, OnnxError> {
    let mut model = remove_unused(model);
    for _ in 0..ROUNDS {
        let changed;
        (model, changed) = rewrite(model, fused);
        model = remove_unused(model);
        if !changed {
            break;
        }
    }
    (model, _) = rewrite(model, affine::lowered);
    for _ in 0..ROUNDS {
        let changed;
        (model, changed) = rewrite(remove_unused(model), commuted);
        if !changed {
            break;
        }
    }
    let model = remove_unused(model);
    for op in &model.ops {
        if let FloatOp::Function {
            name,
            function: FloatFunction::Erf,
            ..
        } = op
        {
            return Err(OnnxError::UnsupportedOp {
                at: At {
                    node: name.clone(),
                    op: "Erf".to_owned(),
                },
                needed: "a table of the error function; inside GELU it is part of the op Gelu",
            });
        }
    }
    if let Some((_, name)) = model
        .outputs
        .iter()
        .find(|(value, _)| *value < model.inputs.len())
    {
        return Err(OnnxError::Interface {
            place: "output",
            name: name.clone(),
            reason: "it is an input",
        });
    }
    Ok(model)
}

/// Visits each op with its operands renamed; the rule returns the value that stands for the op's.
fn rewrite(model: FloatModel, rule: impl Fn(&mut Rewrite, FloatOp, Shape) -> usize) -> (FloatModel, bool) {
    let inputs = model.inputs.len();
    let mut counts = vec![0usize; model.shapes.len()];
    for value in model
        .ops
        .iter()
        .flat_map(FloatOp::inputs)
        .chain(model.outputs.iter().map(|(v, _)| *v))
    {
        counts[value] += 1;
    }
    let mut rewrite = Rewrite {
        inputs,
        ops: Vec::new(),
        shapes: model.shapes[..inputs].to_vec(),
        readers: counts[..inputs].to_vec(),
        changed: false,
    };
    let mut names: Vec<usize> = (0..inputs).collect();
    for (index, mut op) in model.ops.into_iter().enumerate() {
        op.rename(|value| names[value]);
        let before = rewrite.shapes.len();
        let value = rule(&mut rewrite, op, model.shapes[inputs + index].clone());
        let count = counts[inputs + index];
        if value < before {
            // The op is gone, and its readers read this value instead.
            rewrite.readers[value] = (rewrite.readers[value] + count).saturating_sub(1);
            rewrite.changed = true;
        } else {
            rewrite.readers[value] = count;
        }
        names.push(value);
    }
    let outputs = model
        .outputs
        .into_iter()
        .map(|(value, name)| (names[value], name))
        .collect();
    let Rewrite {
        ops, shapes, changed, ..
    } = rewrite;
    (
        FloatModel {
            ops,
            shapes,
            outputs,
            ..model
        },
        changed,
    )
}

fn fused(rewrite: &mut Rewrite, mut op: FloatOp, shape: Shape) -> usize {
    match &mut op {
        FloatOp::Affine { .. } => return affine::join_producer(rewrite, op, shape),
        FloatOp::Linear { .. } | FloatOp::Convolve { .. } => affine::absorb_producer(rewrite, &mut op),
        FloatOp::Product { name, left, right } => {
            if let Some(value) = pattern::gated(rewrite, name, *left, *right, &shape) {
                rewrite.changed = true;
                return value;
            }
        }
        FloatOp::Sum { terms, .. } => flatten_sum(rewrite, terms),
        FloatOp::Clamp { input, low, high } => {
            if let Some(FloatOp::Clamp {
                input: x,
                low: l,
                high: h,
            }) = rewrite.own_producer(*input)
            {
                (*low, *high) = (l.max(*low).min(*high), h.min(*high).max(*low));
                *input = *x;
                rewrite.changed = true;
            }
        }
        _ => {}
    }
    rewrite.push(op, shape)
}

/// Terms that are sums or multiples themselves join.
fn flatten_sum(rewrite: &mut Rewrite, terms: &mut Vec<(usize, f32)>) {
    let mut flat = Vec::new();
    for (value, coefficient) in terms.iter() {
        let inner: Vec<(usize, f32)> = match rewrite.own_producer(*value) {
            Some(FloatOp::Sum { terms: inner, .. }) => inner.clone(),
            Some(FloatOp::Affine {
                input, weight, bias, ..
            }) if weight.len() == 1 && bias[0] == 0.0 => {
                vec![(*input, weight[0])]
            }
            _ => vec![(*value, 1.0)],
        };
        flat.extend(inner.iter().map(|(v, c)| (*v, c * coefficient)));
    }
    let finite = flat.iter().all(|(_, c)| c.is_finite());
    if finite && flat != *terms && flat.len() <= haca_graph::limit::OPERANDS {
        *terms = flat;
        rewrite.changed = true;
    }
}

/// Clamps and functions move before arrangements, so that they stand behind the sum that they are part of; arrangements
/// of arrangements become one.
fn commuted(rewrite: &mut Rewrite, mut op: FloatOp, shape: Shape) -> usize {
    let pointwise = matches!(
        op,
        FloatOp::Clamp { .. } | FloatOp::Function { .. } | FloatOp::Round { .. }
    );
    let monotone = !matches!(op, FloatOp::Function { .. });
    let input = op.inputs().first().copied().unwrap_or(0);
    let source_shape = |rewrite: &Rewrite, source: usize| rewrite.shapes[source].clone();
    match rewrite.own_producer(input).cloned() {
        Some(mut moved @ (FloatOp::Reshape { .. } | FloatOp::Transpose { .. } | FloatOp::Expand { .. }))
            if pointwise =>
        {
            let source = moved.inputs()[0];
            op.rename(|_| source);
            let shape_before = source_shape(rewrite, source);
            let value = rewrite.push(op, shape_before);
            rewrite.readers[value] = 1;
            moved.rename(|_| value);
            rewrite.changed = true;
            rewrite.push(moved, shape)
        }
        Some(mut moved @ FloatOp::WindowMax { .. }) if pointwise && monotone => {
            let source = moved.inputs()[0];
            op.rename(|_| source);
            let shape_before = source_shape(rewrite, source);
            let value = rewrite.push(op, shape_before);
            rewrite.readers[value] = 1;
            moved.rename(|_| value);
            rewrite.changed = true;
            rewrite.push(moved, shape)
        }
        _ => {
            if matches!(op, FloatOp::Reshape { .. }) {
                if rewrite.shapes[input] == shape {
                    return input;
                }
                if let Some(FloatOp::Reshape { input: source }) = rewrite.producer(input).cloned() {
                    rewrite.changed = true;
                    if rewrite.shapes[source] == shape {
                        return source;
                    }
                    op.rename(|_| source);
                }
            }
            rewrite.push(op, shape)
        }
    }
}

/// Removes ops that no output depends on.
fn remove_unused(mut model: FloatModel) -> FloatModel {
    let inputs = model.inputs.len();
    let mut used = vec![false; model.shapes.len()];
    for (value, _) in &model.outputs {
        used[*value] = true;
    }
    for (index, op) in model.ops.iter().enumerate().rev() {
        if used[inputs + index] {
            for value in op.inputs() {
                used[value] = true;
            }
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
        op.rename(|value| numbers[value]);
    }
    for (value, _) in &mut model.outputs {
        *value = numbers[*value];
    }
    model
}
