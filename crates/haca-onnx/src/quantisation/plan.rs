//! What is decided before the first integer op: which form of each value is read, and which values share a scale.

use std::collections::BTreeMap;

use haca_wire::Scale;

use super::requantisation::STEPS;
use super::width::Wide;
use crate::calibration::Ranges;
use crate::float_model::FloatOp;
use crate::scale::{scale_at_least, scale_to_f64};
use crate::{FloatModel, OnnxError};

/// Which forms of a float value others read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Needs {
    /// As an output or by an ArgMax: the accumulator of a layer.
    pub(super) raw: bool,
    /// By another op: int8.
    pub(super) int8: bool,
}

/// Whether the integer form of an op is an accumulator.
pub(super) const fn accumulates(op: &FloatOp) -> bool {
    matches!(
        op,
        FloatOp::Linear { .. }
            | FloatOp::Convolve { .. }
            | FloatOp::WindowSum { .. }
            | FloatOp::Sum { .. }
            | FloatOp::Product { .. }
    )
}

/// Whether an op is part of the requantisation of what it reads.
pub(super) const fn requantises(op: &FloatOp) -> bool {
    matches!(
        op,
        FloatOp::Clamp { .. } | FloatOp::Function { .. } | FloatOp::Round { .. }
    )
}

/// Whether a Round is the identity on int8 of its own step.
const fn is_whole(op: &FloatOp) -> bool {
    matches!(
        op,
        FloatOp::Round {
            low: -128,
            high: 127,
            ..
        }
    )
}

/// Forms and scales of the values of a model.
pub(super) struct Plan {
    pub(super) needs: Vec<Needs>,
    /// For each value, the first of those that share its scale.
    groups: Vec<usize>,
    /// For each first one, the real value of one step; `None` where a file does not fix it.
    fixed: Vec<Option<f64>>,
    /// For each first one, the magnitude that 127 steps hold.
    magnitudes: Vec<f64>,
    /// For each first one, the digits of wide integers.
    wide: BTreeMap<usize, Wide>,
}

impl Plan {
    /// `wide` has the activations of 12 bits, by value.
    pub(super) fn new(model: &FloatModel, ranges: &Ranges, wide: BTreeMap<usize, Wide>) -> Self {
        let groups = groups(model);
        let mut fixed = vec![None; groups.len()];
        let mut magnitudes = vec![0.0f64; groups.len()];
        for (value, group) in groups.iter().enumerate() {
            let own = f64::from(ranges.magnitude[value]);
            let own = match model.producer(value) {
                // A clamp that cuts everything off takes the range of what it clamps.
                Some(FloatOp::Clamp { input, .. }) if own == 0.0 => f64::from(ranges.magnitude[*input]),
                Some(FloatOp::Round {
                    step,
                    low: -128..,
                    high: ..=127,
                    ..
                }) => {
                    let step = f64::from(*step);
                    fixed[*group] = Some(fixed[*group].map_or(step, |other: f64| other.max(step)));
                    own
                }
                _ => own,
            };
            magnitudes[*group] = magnitudes[*group].max(own);
        }
        Self {
            needs: needs(model),
            wide: wide
                .into_iter()
                .map(|(value, wide)| (groups[value], wide))
                .collect(),
            groups,
            fixed,
            magnitudes,
        }
    }

    /// The digits of a value of 12 bits; `None` for int8.
    pub(super) fn wide(&self, value: usize) -> Option<Wide> {
        self.wide.get(&self.groups[value]).copied()
    }

    /// The scale of a value as int8, or of its wide integers.
    pub(super) fn scale(&self, value: usize) -> Result<Scale, OnnxError> {
        let group = self.groups[value];
        let (own, steps) = match self.wide.get(&group) {
            Some(wide) => (wide.magnitude, f64::from(wide.high)),
            None => (self.magnitudes[group], STEPS),
        };
        let real = self.fixed[group].unwrap_or(if own == 0.0 { 1.0 } else { own } / steps);
        let scale = scale_at_least(real, Scale::MAX_SHIFT);
        let usable = scale.filter(|scale| scale_to_f64(*scale) <= 2.0 * real);
        usable.ok_or_else(|| OnnxError::Scale {
            what: format!("value {value}"),
            found: real,
        })
    }

    /// Whether two values have one scale by construction.
    pub(super) fn share(&self, a: usize, b: usize) -> bool {
        self.groups[a] == self.groups[b]
    }
}

/// Values that arrangements and maxima relate have one scale.
fn groups(model: &FloatModel) -> Vec<usize> {
    fn root(groups: &mut [usize], mut value: usize) -> usize {
        while groups[value] != value {
            groups[value] = groups[groups[value]];
            value = groups[value];
        }
        value
    }
    let mut groups: Vec<usize> = (0..model.shapes.len()).collect();
    for (index, op) in model.ops.iter().enumerate() {
        let value = model.inputs.len() + index;
        let moves = match op {
            FloatOp::Reshape { .. }
            | FloatOp::Transpose { .. }
            | FloatOp::Slice { .. }
            | FloatOp::Concat { .. }
            | FloatOp::Pad { .. }
            | FloatOp::Expand { .. }
            | FloatOp::WindowMax { .. } => true,
            FloatOp::Round { input, .. } => is_whole(op) && !model.producer(*input).is_some_and(accumulates),
            _ => false,
        };
        if moves {
            for input in op.inputs() {
                let (a, b) = (root(&mut groups, input), root(&mut groups, value));
                groups[a.max(b)] = a.min(b);
            }
        }
    }
    (0..groups.len()).map(|value| root(&mut groups, value)).collect()
}

/// Which forms of each value are read, from the last op to the first.
fn needs(model: &FloatModel) -> Vec<Needs> {
    let mut needs = vec![Needs::default(); model.shapes.len()];
    for (value, _) in &model.outputs {
        needs[*value].raw = true;
    }
    for (index, op) in model.ops.iter().enumerate().rev() {
        let value = model.inputs.len() + index;
        let shows = matches!(
            op,
            FloatOp::Linear { .. }
                | FloatOp::Convolve { .. }
                | FloatOp::Reshape { .. }
                | FloatOp::ArgMax { .. }
        );
        if needs[value].raw && !shows {
            // Everything else is shown as int8.
            needs[value].int8 = true;
        }
        let own = needs[value];
        for input in op.inputs() {
            let fused = requantises(op) && model.producer(input).is_some_and(accumulates);
            match op {
                FloatOp::ArgMax { .. } => needs[input].raw = true,
                FloatOp::Reshape { .. } => {
                    needs[input].raw |= own.raw;
                    needs[input].int8 |= own.int8;
                }
                _ => needs[input].int8 |= !fused,
            }
        }
    }
    needs
}
