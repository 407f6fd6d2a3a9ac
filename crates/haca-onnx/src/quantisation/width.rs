//! Which activations take 12 bits instead of 8.
//!
//! A wide activation is an integer of 12 bits in two int8 digits of one quotient: `y = 2^b * high + low`. A layer
//! that reads it multiplies both digits by the same weights and adds up the sums. The clamp stays exact: the digits
//! are those of the clamped quotient.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{Plan, accumulates, requantises};
use super::requantisation::STEPS;
use super::{Activations, Options, build};
use crate::calibration::Ranges;
use crate::float_model::FloatOp;
use crate::{FloatModel, OnnxError, Sample, fidelity, limit};

/// Bits of a wide activation: what the largest table of a function has arguments for.
pub(super) const BITS: u8 = haca_graph::limit::TABLE_BITS as u8;
/// Bits of the digit that holds the sign, and of one that is never negative.
const SIGNED: u8 = 8;
const UNSIGNED: u8 = 7;
/// What a bias may add to the sums of a layer.
const BIASES: f64 = (1u32 << 28) as f64;
/// Share of the int8 graph's error that an activation has to take away to be widened on its own account.
const MARGIN: f64 = 0.05;

/// A wide activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wide {
    /// Bits of the low digit.
    pub(super) bits: u8,
    /// Smallest integer.
    pub(super) low: i16,
    /// Largest integer.
    pub(super) high: i16,
    /// Real magnitude that the largest integer stands for.
    pub(super) magnitude: f64,
}

/// How wide one activation became, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivationReport {
    /// Name of the node that makes it.
    pub name: String,
    /// Bits: 8 or 12.
    pub bits: u8,
    /// Why, in words and numbers.
    pub reason: String,
}

/// One activation that a requantisation makes.
struct Candidate {
    value: usize,
    /// Its digits, or why it stays int8.
    wide: Result<Wide, String>,
}

/// What was decided: the wide activations, and a line for each activation.
pub(super) struct Widths {
    pub(super) wide: BTreeMap<usize, Wide>,
    pub(super) report: Vec<ActivationReport>,
}

/// Decides for each activation. `is_measured` asks for numbers where the options need none.
pub(super) fn decide(
    model: &FloatModel,
    ranges: &Ranges,
    samples: &[Sample],
    options: &Options,
    is_measured: bool,
) -> Result<Widths, OnnxError> {
    let all = candidates(model, ranges);
    let trial = Trial {
        model,
        ranges,
        samples: &samples[..rows(model, samples.len(), all.len())],
        options,
        all: &all,
    };
    let mut chosen = match options.activations {
        Activations::Int8 => BTreeSet::new(),
        Activations::Int12 | Activations::Auto => trial.buildable(),
    };
    let mut error = None;
    if options.activations == Activations::Auto && !chosen.is_empty() {
        error = Some(trial.eliminate(&mut chosen)?);
    }
    let error = match error {
        None if is_measured => Some(trial.error(&chosen)?),
        other => other,
    };
    let mut report = Vec::new();
    for candidate in &all {
        let is_chosen = chosen.contains(&candidate.value);
        let reason = match (&candidate.wide, error) {
            (Err(reason), _) => reason.clone(),
            (Ok(_), Some(error)) => trial.reason(&chosen, candidate.value, error),
            (Ok(_), None) => "as the options say".to_owned(),
        };
        report.push(ActivationReport {
            name: super::explanation::name_at(model, candidate.value),
            bits: if is_chosen { BITS } else { 8 },
            reason,
        });
    }
    Ok(Widths {
        wide: trial.digits(&chosen),
        report,
    })
}

/// Samples that are worth their time: fewer for large networks of many activations.
fn rows(model: &FloatModel, samples: usize, candidates: usize) -> usize {
    let each = model.work().saturating_mul(2 * candidates as u64 + 2).max(1);
    let affordable = usize::try_from(limit::WIDTH_WORK / each).unwrap_or(usize::MAX);
    samples.min(limit::EXPLAINED_SAMPLES).min(affordable.max(1))
}

/// Graphs with some activations widened, compared with the float network.
struct Trial<'a> {
    model: &'a FloatModel,
    ranges: &'a Ranges,
    samples: &'a [Sample],
    options: &'a Options,
    all: &'a [Candidate],
}

impl Trial<'_> {
    fn digits(&self, chosen: &BTreeSet<usize>) -> BTreeMap<usize, Wide> {
        let wide = |c: &Candidate| Some((c.value, *c.wide.as_ref().ok()?));
        let all = self.all.iter().filter_map(wide);
        all.filter(|(value, _)| chosen.contains(value)).collect()
    }

    fn builds(&self, chosen: &BTreeSet<usize>) -> bool {
        build(self.model, self.ranges, self.options, self.digits(chosen)).is_ok()
    }

    /// All activations that can be wide together, the first ones first.
    fn buildable(&self) -> BTreeSet<usize> {
        let able = self.all.iter().filter(|c| c.wide.is_ok()).map(|c| c.value);
        let whole: BTreeSet<usize> = able.clone().collect();
        if self.builds(&whole) {
            return whole;
        }
        let mut chosen = BTreeSet::new();
        for value in able {
            chosen.insert(value);
            if !self.builds(&chosen) {
                chosen.remove(&value);
            }
        }
        chosen
    }

    /// The mean error of the outputs.
    fn error(&self, chosen: &BTreeSet<usize>) -> Result<f64, OnnxError> {
        let built = build(self.model, self.ranges, self.options, self.digits(chosen))?;
        Ok(fidelity(self.model, &built.file, self.samples, None)?.mean_abs_err)
    }

    /// Takes out the activations that int8 does for. Returns the error of what is left.
    fn eliminate(&self, chosen: &mut BTreeSet<usize>) -> Result<f64, OnnxError> {
        let narrow = self.error(&BTreeSet::new())?;
        let mut error = self.error(chosen)?;
        for value in chosen.clone() {
            let mut fewer = chosen.clone();
            fewer.remove(&value);
            let without = self.error(&fewer)?;
            if without <= error + MARGIN * narrow {
                *chosen = fewer;
                error = without;
            }
        }
        Ok(error)
    }

    /// What the other width of an activation would change.
    fn reason(&self, chosen: &BTreeSet<usize>, value: usize, error: f64) -> String {
        let mut other = chosen.clone();
        let bits = if other.remove(&value) {
            8
        } else {
            other.insert(value);
            BITS
        };
        match self.error(&other) {
            Ok(found) => format!(
                "{bits} bits would change the mean error of the outputs by {:+.1} % to {found:.3e}",
                (found / error - 1.0) * 100.0
            ),
            Err(error) => format!("no graph with {bits} bits: {error}"),
        }
    }
}

/// The activations of a model: what requantisations of accumulators make.
fn candidates(model: &FloatModel, ranges: &Ranges) -> Vec<Candidate> {
    let plan = Plan::new(model, ranges, BTreeMap::new());
    let first = model.inputs.len();
    let mut all = Vec::new();
    for (index, op) in model.ops.iter().enumerate() {
        let value = first + index;
        let is_made = match op {
            op if accumulates(op) => plan.needs[value].int8,
            op if requantises(op) => true,
            _ => false,
        };
        if is_made {
            let wide = digits(model, ranges, &plan, value, op);
            all.push(Candidate { value, wide });
        }
    }
    all
}

fn digits(
    model: &FloatModel,
    ranges: &Ranges,
    plan: &Plan,
    value: usize,
    op: &FloatOp,
) -> Result<Wide, String> {
    match op {
        FloatOp::Function { function, .. } => return Err(format!("{} has a table of int8", function.name())),
        FloatOp::Round { .. } => return Err("the file fixes its steps".to_owned()),
        _ => {}
    }
    let is_unsigned = matches!(op, FloatOp::Clamp { low, .. } if *low >= 0.0);
    let bits = BITS - if is_unsigned { UNSIGNED } else { SIGNED };
    let (low, high) = if is_unsigned {
        (0, (1i16 << BITS) - 1)
    } else {
        (-(1i16 << (BITS - 1)), (1i16 << (BITS - 1)) - 1)
    };
    // Every value that shows its elements, and who reads them.
    let mut shown = vec![value];
    let mut next = 0;
    while let Some(member) = shown.get(next).copied() {
        next += 1;
        if plan.needs[member].raw {
            return Err("it is an output".to_owned());
        }
        let is_sum = model.producer(member).is_some_and(accumulates);
        for (index, reader) in model.ops.iter().enumerate() {
            if !reader.inputs().contains(&member) || (is_sum && requantises(reader)) {
                continue;
            }
            match reader {
                FloatOp::Reshape { .. }
                | FloatOp::Transpose { .. }
                | FloatOp::Slice { .. }
                | FloatOp::Expand { .. } => shown.push(model.inputs.len() + index),
                FloatOp::Linear { weights, .. } | FloatOp::Convolve { weights, .. } => {
                    let products = weights.weight.len() / weights.bias.len().max(1);
                    let most = products as f64 * (STEPS + 1.0) * f64::from(high.max(-low));
                    if most + BIASES > f64::from(i32::MAX) {
                        return Err(format!("sums of {products} products would leave int32"));
                    }
                }
                FloatOp::WindowSum { window, .. } => {
                    let taps = f64::from(window.height.kernel) * f64::from(window.width.kernel);
                    if taps * f64::from(high.max(-low)) > f64::from(i32::MAX) {
                        return Err("sums over its windows would leave int32".to_owned());
                    }
                }
                FloatOp::Sum { terms, .. } if 2 * terms.len() <= haca_graph::limit::OPERANDS => {}
                reader => return Err(format!("{} reads it", reader.kind())),
            }
        }
    }
    let (least, most) = ranges.ends[value];
    Ok(Wide {
        bits,
        low,
        high,
        magnitude: f64::from(least.abs().max(most.abs())),
    })
}
