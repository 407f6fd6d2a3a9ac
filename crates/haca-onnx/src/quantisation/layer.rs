//! Dense and convolution layers: weight scales, integer weights and biases.

use haca_graph::{Graph, Op, ParamId, ParamSpec, ValueId};
use haca_wire::{DType, Scale, Shape, Tensor};

use super::LayerReport;
use super::builder::{Accumulator, Builder, Form, dimension};
use super::requantisation::{Requantisation, STEPS, checked_multiplier, nearest, power_of_two, shift_for};
use crate::OnnxError;
use crate::float_model::{FloatOp, Weights};
use crate::scale::{scale_at_least, scale_product, scale_to_f64};

/// Largest magnitude of a bias.
const BIAS: f64 = (1u32 << 27) as f64;

/// A layer of the graph, for the report.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    pub(super) name: String,
    pub(super) value: ValueId,
    pub(super) inputs: u32,
    pub(super) outputs: u32,
}

impl Linear {
    pub(super) fn report(&self, graph: &Graph) -> LayerReport {
        let node = graph.nodes().iter().position(|op| {
            matches!(op, Op::Requantise { input, .. } | Op::Activate { input, .. } if *input == self.value)
        });
        let (shift, multiplier) = match node.and_then(|node| graph.nodes().get(node)) {
            Some(
                Op::Requantise {
                    multipliers, shift, ..
                }
                | Op::Activate {
                    multipliers, shift, ..
                },
            ) => (Some(*shift), multipliers.iter().max().copied()),
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

impl Builder<'_> {
    /// Adds a Linear or Convolve and its parameters.
    pub(super) fn layer(&mut self, value: usize, op: &FloatOp) -> Result<Accumulator, OnnxError> {
        let (FloatOp::Linear { name, input, weights }
        | FloatOp::Convolve {
            name, input, weights, ..
        }) = op
        else {
            return Err(super::builder::absent(value));
        };
        let x = self.int8(*input)?;
        let Weights { weight, bias, .. } = weights;
        let (n, k) = (bias.len(), weight.len() / bias.len().max(1));
        let target = self
            .targets(value)
            .first()
            .copied()
            .filter(|_| !self.plan.needs[value].raw);
        let mut accumulator = match (own_steps(x, weights), target) {
            (Some(steps), Some(_)) => Accumulator::of(steps),
            (None, Some(target)) => self.channel_scales(name, x, target, weight, bias)?,
            (_, None) => shared_scale(name, x, weight, bias)?,
        };
        let s_in = scale_to_f64(x.scale);
        let rows = weight.chunks_exact(k.max(1)).zip(&accumulator.steps);
        let quantised =
            rows.flat_map(|(row, step)| row.iter().map(move |w| nearest(f64::from(*w) * s_in / step)));
        let quantised: Vec<i64> = quantised.map(|q| q.clamp(-127, 127)).collect();
        let corrections = self.corrections(*input, op, weights, &quantised, &accumulator.steps, s_in);
        let biases: Vec<i64> = bias
            .iter()
            .zip(&accumulator.steps)
            .zip(corrections)
            .map(|((b, s), correction)| nearest((f64::from(*b) - correction) / s))
            .collect();
        let (rows, columns) = (dimension(n), dimension(k));
        let dims = match op {
            FloatOp::Convolve { window, .. } => {
                let (h, w) = (window.height.kernel, window.width.kernel);
                vec![rows, h, w, columns / (h * w).max(1)]
            }
            _ => vec![rows, columns],
        };
        let weight = self.param(name, DType::I8, dims, quantised, (-128, 127))?;
        let range = power_of_two_range(&biases);
        let bias = self.param(name, DType::I32, vec![rows], biases, range)?;
        let zeros = match x.digit {
            Some(_) => self.param(name, DType::I32, vec![rows], vec![0; n], (0, 0))?,
            None => bias,
        };
        accumulator.id = self.both(x, |input, is_last| {
            let bias = if is_last { bias } else { zeros };
            match op {
                FloatOp::Convolve { window, groups, .. } => Op::Convolve {
                    input,
                    weight,
                    bias,
                    window: *window,
                    groups: *groups,
                },
                _ => Op::Linear { input, weight, bias },
            }
        });
        self.linears.push(Linear {
            name: name.clone(),
            value: accumulator.id,
            inputs: columns,
            outputs: rows,
        });
        Ok(accumulator)
    }

    /// What rounding the weights adds to each output on the mean of the samples, in reals.
    fn corrections(
        &self,
        input: usize,
        op: &FloatOp,
        weights: &Weights,
        quantised: &[i64],
        steps: &[f64],
        s_in: f64,
    ) -> Vec<f64> {
        let n = weights.bias.len();
        if !self.options.bias_correction {
            return vec![0.0; n];
        }
        let means = &self.ranges.means[input];
        let k = (weights.weight.len() / n.max(1)).max(1);
        let (groups, per_group) = match op {
            FloatOp::Convolve { groups, .. } => (*groups as usize, means.len() / *groups as usize),
            _ => (1, k),
        };
        let rows = weights
            .weight
            .chunks_exact(k)
            .zip(quantised.chunks_exact(k))
            .zip(steps)
            .enumerate();
        rows.map(|(i, ((row, integers), step))| {
            let first = i / (n / groups).max(1) * per_group;
            let added = |(j, (w, q)): (usize, (&f32, &i64))| {
                (*q as f64 * step / s_in - f64::from(*w)) * means[(first + j % per_group) % means.len()]
            };
            row.iter().zip(integers).enumerate().map(added).sum()
        })
        .collect()
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
        let s_out = scale_to_f64(self.target_scale(target)?);
        let k = weight.len() / bias.len().max(1);
        // Output steps per step of the finest accumulator that holds each channel's weights in int8.
        let rows = weight.chunks_exact(k.max(1));
        let mut ratios: Vec<f64> = rows.map(|row| s_in * largest(row) / STEPS / s_out).collect();
        let largest_ratio = ratios.iter().copied().fold(0.0, f64::max);
        if !self.options.per_channel {
            ratios.fill(largest_ratio);
        }
        let shift = shift_for(
            largest_ratio,
            f64::from((1u32 << self.options.multiplier_bits) - 1),
        );
        let unit = power_of_two(shift);
        // A bias beyond what the products reach would only widen the static range of the quotient.
        let steps = power_of_two(x.digit.map_or(0, |digit| digit.bits));
        let reach = (k.max(16) as f64 * 8192.0 * steps).min(BIAS);
        let mut multipliers = Vec::new();
        for (ratio, b) in ratios.iter().zip(bias) {
            let for_bias = f64::from(*b).abs() / s_out * unit / reach;
            let multiplier = (ratio * unit).ceil().max(for_bias.ceil()).max(1.0);
            multipliers.push(checked_multiplier(name, multiplier)?);
        }
        if !self.options.per_channel {
            let most = multipliers.iter().copied().max().unwrap_or(1);
            multipliers.fill(most);
        }
        let steps = multipliers.iter().map(|m| f64::from(*m) / unit * s_out).collect();
        let exact = Some((target, Requantisation { multipliers, shift }));
        Ok(Accumulator {
            exact,
            ..Accumulator::of(steps)
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

/// Steps of the accumulator where the file fixes those of the weights, and each weight is a whole number of them.
fn own_steps(x: Form, weights: &Weights) -> Option<Vec<f64>> {
    let steps = weights.steps.as_ref()?;
    let k = (weights.weight.len() / weights.bias.len().max(1)).max(1);
    let whole = |w: &f32, step: &f32| {
        let q = w / step;
        q.abs() < 127.5 && (q - q.round()).abs() < 0.01
    };
    let mut rows = weights.weight.chunks_exact(k).zip(steps);
    let fits = rows.all(|(row, step)| row.iter().all(|w| whole(w, step)));
    let s_in = scale_to_f64(x.scale);
    (fits && steps.len() == weights.bias.len())
        .then(|| steps.iter().map(|step| s_in * f64::from(*step)).collect())
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
        shared: Some(shared),
        ..Accumulator::of(vec![scale_to_f64(shared); bias.len()])
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
