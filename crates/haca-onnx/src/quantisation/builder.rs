//! The integer graph under construction.

use haca_graph::{Graph, Op, ParamId, ParamSpec, ValueId};
use haca_wire::{DType, Scale, Shape, Tensor, TensorSpec};

use super::{LayerReport, name_of};
use crate::calibration::Ranges;
use crate::float_model::FloatOp;
use crate::scale::{scale_at_least, scale_product, scale_to_f64};
use crate::{FloatModel, OnnxError};

/// Largest magnitude of an int8 activation or weight.
const STEPS: f64 = 127.0;
/// Largest shift chosen; a finer step than 2^-20 of an activation step gains nothing.
const SHIFT: u8 = 20;
/// Largest magnitude of a bias.
const BIAS: f64 = (1u32 << 27) as f64;

/// An integer value that stands for a float value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) id: ValueId,
    pub(super) dtype: DType,
    pub(super) scale: Scale,
}

/// Which forms of a float value others read.
#[derive(Clone, Copy, Debug, Default)]
struct Needs {
    /// As an output or by an ArgMax: the accumulator of a Linear.
    raw: bool,
    /// By a Linear: int8.
    int8: bool,
}

/// The accumulator of a Linear.
#[derive(Clone, Debug)]
struct Accumulator {
    id: ValueId,
    /// Real value of one step, per channel.
    steps: Vec<f64>,
    /// The one scale of all channels, where the accumulator is shown.
    shared: Option<Scale>,
    /// The requantisation that the weight scales were chosen for.
    exact: Option<Requantisation>,
}

#[derive(Clone, Debug)]
struct Requantisation {
    multipliers: Vec<u32>,
    shift: u8,
}

/// A Linear of the graph, for the report.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    name: String,
    value: ValueId,
    inputs: u32,
    outputs: u32,
}

pub(super) struct Builder<'a> {
    model: &'a FloatModel,
    ranges: &'a Ranges,
    multiplier_bits: u8,
    needs: Vec<Needs>,
    accumulators: Vec<Option<Accumulator>>,
    raw: Vec<Option<Form>>,
    int8: Vec<Option<Form>>,
    pub(super) inputs: Vec<TensorSpec>,
    pub(super) params: Vec<ParamSpec>,
    pub(super) tensors: Vec<Tensor>,
    pub(super) nodes: Vec<Op>,
    pub(super) linears: Vec<Linear>,
}

impl<'a> Builder<'a> {
    /// Starts with the inputs of the model.
    pub(super) fn new(
        model: &'a FloatModel,
        ranges: &'a Ranges,
        multiplier_bits: u8,
    ) -> Result<Self, OnnxError> {
        let values = model.shapes.len();
        let mut builder = Self {
            model,
            ranges,
            multiplier_bits,
            needs: needs(model),
            accumulators: vec![None; values],
            raw: vec![None; values],
            int8: vec![None; values],
            inputs: Vec::new(),
            params: Vec::new(),
            tensors: Vec::new(),
            nodes: Vec::new(),
            linears: Vec::new(),
        };
        for (value, name) in model.inputs.iter().enumerate() {
            let scale = builder.activation_scale(value)?;
            let fallback = format!("input{value}");
            let mut name = name_of(name, &fallback);
            if builder.inputs.iter().any(|spec| spec.name == name) {
                name = name_of(&fallback, &fallback);
            }
            let shape = model.shapes[value].clone();
            builder.inputs.push(TensorSpec {
                name,
                dtype: DType::I8,
                shape,
                scale,
            });
            let form = Form {
                id: value_id(value),
                dtype: DType::I8,
                scale,
            };
            builder.raw[value] = Some(form);
            builder.int8[value] = Some(form);
        }
        Ok(builder)
    }

    /// Appends an op and returns its value.
    pub(super) fn push(&mut self, op: Op) -> ValueId {
        self.nodes.push(op);
        value_id(self.inputs.len() + self.nodes.len() - 1)
    }

    /// The form of a value that outputs show.
    pub(super) fn raw(&self, value: usize) -> Result<Form, OnnxError> {
        self.raw
            .get(value)
            .copied()
            .flatten()
            .ok_or_else(|| absent(value))
    }

    /// Adds the integer ops for the op at `index` of the float model.
    pub(super) fn add(&mut self, index: usize) -> Result<(), OnnxError> {
        let model = self.model;
        let value = model.inputs.len() + index;
        match &model.ops[index] {
            FloatOp::Linear {
                name,
                input,
                weight,
                bias,
            } => self.linear(value, name, *input, weight, bias),
            FloatOp::Relu { input } => {
                let form = self.requantise(*input, value, 0)?;
                self.raw[value] = Some(form);
                self.int8[value] = Some(form);
                Ok(())
            }
            FloatOp::Reshape { input } => {
                self.reshape(value, *input);
                Ok(())
            }
            FloatOp::ArgMax { input } => {
                let input = self.raw(*input)?.id;
                let id = self.push(Op::ArgMax { input });
                self.raw[value] = Some(Form {
                    id,
                    dtype: DType::I32,
                    scale: Scale::ONE,
                });
                Ok(())
            }
        }
    }

    fn linear(
        &mut self,
        value: usize,
        name: &str,
        input: usize,
        weight: &[f32],
        bias: &[f32],
    ) -> Result<(), OnnxError> {
        let x = self
            .int8
            .get(input)
            .copied()
            .flatten()
            .ok_or_else(|| absent(input))?;
        let (n, k) = (bias.len(), weight.len() / bias.len().max(1));
        let targets = self.targets(value);
        let needs = self.needs[value];
        let mut accumulator = match targets.as_slice() {
            [target] if !needs.raw => self.channel_scales(name, x, *target, weight, bias)?,
            _ => shared_scale(name, x, weight, bias)?,
        };
        let s_in = scale_to_f64(x.scale);
        let rows = weight.chunks_exact(k.max(1)).zip(&accumulator.steps);
        let quantised =
            rows.flat_map(|(row, step)| row.iter().map(move |w| nearest(f64::from(*w) * s_in / step)));
        let quantised: Vec<i64> = quantised.map(|q| q.clamp(-127, 127)).collect();
        let biases: Vec<i64> = bias
            .iter()
            .zip(&accumulator.steps)
            .map(|(b, s)| nearest(f64::from(*b) / s))
            .collect();
        let (rows, columns) = (dimension(n), dimension(k));
        let weight = self.param(name, DType::I8, vec![rows, columns], quantised, (-128, 127))?;
        let range = power_of_two_range(&biases);
        let bias = self.param(name, DType::I32, vec![rows], biases, range)?;
        accumulator.id = self.push(Op::Linear {
            input: x.id,
            weight,
            bias,
        });
        self.linears.push(Linear {
            name: name.to_owned(),
            value: accumulator.id,
            inputs: columns,
            outputs: rows,
        });
        if let Some(scale) = accumulator.shared {
            self.raw[value] = Some(Form {
                id: accumulator.id,
                dtype: DType::I32,
                scale,
            });
        }
        self.accumulators[value] = Some(accumulator);
        if needs.int8 {
            self.int8[value] = Some(self.requantise(value, value, i8::MIN)?);
        }
        Ok(())
    }

    /// The float values that requantisations of a Linear stand for: itself, and each Relu behind it.
    fn targets(&self, value: usize) -> Vec<usize> {
        let own = self.needs[value].int8.then_some(value);
        let relus = self
            .model
            .ops
            .iter()
            .enumerate()
            .filter_map(|(index, op)| match op {
                FloatOp::Relu { input } if *input == value => Some(self.model.inputs.len() + index),
                _ => None,
            });
        own.into_iter().chain(relus).collect()
    }

    /// One weight scale per channel, chosen so that each requantisation multiplier is a small integer.
    fn channel_scales(
        &self,
        name: &str,
        x: Form,
        target: usize,
        weight: &[f32],
        bias: &[f32],
    ) -> Result<Accumulator, OnnxError> {
        let s_in = scale_to_f64(x.scale);
        let s_out = scale_to_f64(self.activation_scale(target)?);
        let k = weight.len() / bias.len().max(1);
        // Output steps per step of the finest accumulator that holds each channel's weights in int8.
        let rows = weight.chunks_exact(k.max(1));
        let ratios: Vec<f64> = rows.map(|row| s_in * largest(row) / STEPS / s_out).collect();
        let largest_ratio = ratios.iter().copied().fold(0.0, f64::max);
        let shift = shift_for(largest_ratio, f64::from((1u32 << self.multiplier_bits) - 1));
        let unit = power_of_two(shift);
        // A bias beyond what the products reach would only widen the static range of the quotient.
        let reach = (k.max(16) as f64 * 8192.0).min(BIAS);
        let mut multipliers = Vec::new();
        for (ratio, b) in ratios.iter().zip(bias) {
            let for_bias = f64::from(*b).abs() / s_out * unit / reach;
            let multiplier = (ratio * unit).ceil().max(for_bias.ceil()).max(1.0);
            multipliers.push(checked_multiplier(name, multiplier)?);
        }
        let steps = multipliers.iter().map(|m| f64::from(*m) / unit * s_out).collect();
        let exact = Some(Requantisation { multipliers, shift });
        Ok(Accumulator {
            id: ValueId(0),
            steps,
            shared: None,
            exact,
        })
    }

    /// Emits the requantisation of the Linear value `source` that stands for the float value `target`.
    fn requantise(&mut self, source: usize, target: usize, low: i8) -> Result<Form, OnnxError> {
        let scale = self.activation_scale(target)?;
        let accumulator = self.accumulators[source].as_ref().ok_or_else(|| absent(source))?;
        let (input, name) = (accumulator.id, format!("value {target}"));
        let Requantisation { multipliers, shift } = match &accumulator.exact {
            Some(exact) => exact.clone(),
            None => rounded(&name, &accumulator.steps, scale_to_f64(scale))?,
        };
        let same = multipliers.iter().all(|m| Some(m) == multipliers.first());
        let multipliers = if same {
            multipliers[..1].to_vec()
        } else {
            multipliers
        };
        let id = self.push(Op::Requantise {
            input,
            multipliers,
            shift,
            low,
            high: i8::MAX,
        });
        Ok(Form {
            id,
            dtype: DType::I8,
            scale,
        })
    }

    fn reshape(&mut self, value: usize, input: usize) {
        let shape = &self.model.shapes[value];
        let (raw, int8) = (self.raw[input], self.int8[input]);
        let Needs {
            raw: needs_raw,
            int8: needs_int8,
        } = self.needs[value];
        let mut emit = |form: Form| Form {
            id: self.push(Op::Reshape {
                input: form.id,
                shape: shape.clone(),
            }),
            ..form
        };
        let new_int8 = int8.filter(|_| needs_int8).map(&mut emit);
        // One reshape serves both where the value is int8 anyway.
        let same = raw.is_some_and(|r| int8.is_some_and(|i| r.id == i.id));
        let new_raw = if same && new_int8.is_some() {
            new_int8
        } else {
            raw.filter(|_| needs_raw).map(emit)
        };
        self.int8[value] = new_int8;
        self.raw[value] = new_raw.filter(|_| needs_raw);
    }

    /// The scale of a value as int8, from its calibrated range.
    fn activation_scale(&self, value: usize) -> Result<Scale, OnnxError> {
        let magnitude = |value: usize| f64::from(self.ranges.magnitude[value]);
        let own = magnitude(value);
        // A Relu that no sample activates takes the range of what it clamps.
        let own = match self.model.producer(value) {
            Some(FloatOp::Relu { input }) if own == 0.0 => magnitude(*input),
            _ => own,
        };
        let real = if own == 0.0 { 1.0 } else { own } / STEPS;
        let scale = scale_at_least(real, Scale::MAX_SHIFT);
        let usable = scale.filter(|scale| scale_to_f64(*scale) <= 2.0 * real);
        usable.ok_or_else(|| OnnxError::Scale {
            what: format!("value {value}"),
            found: real,
        })
    }

    fn param(
        &mut self,
        name: &str,
        dtype: DType,
        dims: Vec<u32>,
        values: Vec<i64>,
        (low, high): (i64, i64),
    ) -> Result<ParamId, OnnxError> {
        let (found, expected) = (values.len(), haca_wire::limit::TENSOR_ELEMENTS);
        let too_large = OnnxError::TooLarge {
            what: "weights in a layer",
            found,
            expected,
        };
        let shape = Shape::new(dims).ok_or(too_large)?;
        let outside = OnnxError::Scale {
            what: format!("layer \"{name}\""),
            found: high as f64,
        };
        let tensor = Tensor::new(dtype, shape.clone(), values).ok_or(outside)?;
        self.params.push(ParamSpec {
            dtype,
            shape,
            low,
            high,
        });
        self.tensors.push(tensor);
        Ok(ParamId(dimension(self.params.len() - 1)))
    }
}

impl Linear {
    pub(super) fn report(&self, graph: &Graph) -> LayerReport {
        let node = graph
            .nodes()
            .iter()
            .position(|op| matches!(op, Op::Requantise { input, .. } if *input == self.value));
        let (shift, multiplier) = match node.and_then(|node| graph.nodes().get(node)) {
            Some(Op::Requantise {
                multipliers, shift, ..
            }) => (Some(*shift), multipliers.iter().max().copied()),
            _ => (None, None),
        };
        LayerReport {
            name: self.name.clone(),
            inputs: self.inputs,
            outputs: self.outputs,
            shift,
            multiplier,
            quotient: node.and_then(|node| graph.requantise_range(node)),
        }
    }
}

/// Which forms of each value are read, from the last op to the first.
fn needs(model: &FloatModel) -> Vec<Needs> {
    let mut needs = vec![Needs::default(); model.shapes.len()];
    for (value, _) in &model.outputs {
        needs[*value].raw = true;
    }
    for (index, op) in model.ops.iter().enumerate().rev() {
        let own = needs[model.inputs.len() + index];
        let input = &mut needs[op.input()];
        match op {
            FloatOp::Linear { .. } => input.int8 = true,
            FloatOp::ArgMax { .. } => input.raw = true,
            FloatOp::Reshape { .. } => {
                input.raw |= own.raw;
                input.int8 |= own.int8;
            }
            // It reads the accumulator itself.
            FloatOp::Relu { .. } => {}
        }
    }
    needs
}

/// One dyadic weight scale for all channels, so that the accumulator has one exact scale.
fn shared_scale(name: &str, x: Form, weight: &[f32], bias: &[f32]) -> Result<Accumulator, OnnxError> {
    let s_in = scale_to_f64(x.scale);
    let for_weights = f64::from(weight.iter().fold(0.0f32, |m, w| m.max(w.abs()))) / STEPS;
    let for_bias = f64::from(bias.iter().fold(0.0f32, |m, b| m.max(b.abs()))) / s_in / BIAS;
    let real = for_weights.max(for_bias);
    let real = if real == 0.0 { 1.0 / STEPS } else { real };
    let scale = scale_at_least(real, Scale::MAX_SHIFT.saturating_sub(x.scale.shift()));
    let shared = scale.and_then(|scale| scale_product(x.scale, scale));
    let shared = shared.ok_or(OnnxError::Scale {
        what: format!("layer \"{name}\""),
        found: real,
    })?;
    Ok(Accumulator {
        id: ValueId(0),
        steps: vec![scale_to_f64(shared); bias.len()],
        shared: Some(shared),
        exact: None,
    })
}

/// Multipliers of 16 bits for given steps, rounded to nearest.
fn rounded(name: &str, steps: &[f64], s_out: f64) -> Result<Requantisation, OnnxError> {
    let ratios = steps.iter().map(|step| step / s_out);
    let shift = shift_for(ratios.clone().fold(0.0, f64::max), 65535.0);
    let unit = power_of_two(shift);
    let multipliers = ratios.map(|ratio| checked_multiplier(name, (ratio * unit).round()));
    Ok(Requantisation {
        multipliers: multipliers.collect::<Result<_, _>>()?,
        shift,
    })
}

/// The largest shift up to [`SHIFT`] with which `ratio` makes a multiplier of at most `most`; at least 1.
fn shift_for(ratio: f64, most: f64) -> u8 {
    (1..=SHIFT)
        .rev()
        .find(|shift| ratio * power_of_two(*shift) <= most)
        .unwrap_or(1)
}

fn checked_multiplier(name: &str, multiplier: f64) -> Result<u32, OnnxError> {
    if multiplier < (1u32 << haca_graph::limit::MULTIPLIER_BITS) as f64 {
        return Ok(multiplier as u32);
    }
    Err(OnnxError::Scale {
        what: format!("the requantisation of {name}"),
        found: multiplier,
    })
}

/// The least range `-2^b..=2^b - 1`, `b` at least 7, that holds the values: a range proof of whole bits, and no more
/// told about the biases than their size.
fn power_of_two_range(values: &[i64]) -> (i64, i64) {
    let reach = values
        .iter()
        .map(|v| if *v < 0 { !*v } else { *v })
        .max()
        .unwrap_or(0);
    let bits = (i64::BITS - reach.leading_zeros()).max(7);
    let end = 1i64 << bits.min(62);
    (-end, end - 1)
}

fn largest(row: &[f32]) -> f64 {
    f64::from(row.iter().fold(0.0f32, |m, w| m.max(w.abs())))
}

/// Nearest integer, halves away from zero.
fn nearest(real: f64) -> i64 {
    real.round() as i64
}

fn power_of_two(shift: u8) -> f64 {
    (1u64 << shift.min(63)) as f64
}

fn dimension(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn value_id(value: usize) -> ValueId {
    ValueId(dimension(value))
}

/// Import leaves only ops in forms that the passes above provide.
fn absent(value: usize) -> OnnxError {
    OnnxError::Damaged {
        reason: format!("value {value} has no integer form"),
    }
}
