//! What was chosen for each value of a network, and what it costs.

use core::fmt;

use haca_graph::{Op, evaluate};
use haca_wire::DType;

use super::builder::Form;
use super::width::{ActivationReport, BITS};
use super::{Options, Quantised, quantised};
use crate::float_model::FloatOp;
use crate::scale::{quantise_sample, scale_to_f64};
use crate::{FloatModel, OnnxError, Sample, limit};

/// One value of the network that an op makes.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerExplanation {
    /// Name of the node of the file, or of the nearest one before it that is no arrangement; empty behind an input.
    pub name: String,
    /// The op, with the function it applies.
    pub op: String,
    /// Shape of the value.
    pub shape: Vec<u32>,
    /// What the elements are.
    pub dtype: DType,
    /// Bits of an element: of its type, or 12 for two int8 digits.
    pub bits: u8,
    /// Real value of one step.
    pub scale: f64,
    /// Number of multipliers, the largest one, and the shift of the requantisation that makes the value.
    pub requantisation: Option<(usize, u32, u8)>,
    /// Bits of the remainder that a proof carries per element: the shift.
    pub remainder_bits: Option<u8>,
    /// Power of the float values over power of the differences, in decibels; infinite where there is no difference.
    pub sqnr_db: f64,
    /// Largest difference to the float value.
    pub max_abs_err: f64,
    /// Share of elements at an end of int8, or of 12 bits.
    pub saturated: f64,
}

/// An integer graph beside the float network it came from, value by value.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Samples compared.
    pub rows: usize,
    /// Scale of each input of the graph.
    pub inputs: Vec<(String, f64)>,
    /// One entry per value of the network that the graph has, in the order of evaluation.
    pub layers: Vec<LayerExplanation>,
    /// How wide each activation is, and why.
    pub activations: Vec<ActivationReport>,
    /// What was left out on purpose, in words.
    pub notes: Vec<String>,
}

/// Quantises and compares each value of the integer graph with the float network on the calibration samples, up to
/// [`limit::EXPLAINED_SAMPLES`] of them.
///
/// # Errors
///
/// As [`quantise_model`](crate::quantise_model).
pub fn explain(
    model: &FloatModel,
    calibration: &[Sample],
    options: &Options,
) -> Result<Explanation, OnnxError> {
    let Quantised { file, forms, report } = quantised(model, calibration, options, true)?;
    let graph = &file.manifest.graph;
    let rows = calibration.len().min(limit::EXPLAINED_SAMPLES);
    let mut differences = vec![Difference::default(); forms.len()];
    for sample in &calibration[..rows] {
        let floats = model.evaluate(sample)?;
        let integers = evaluate(graph, &file.parameters, &quantise_sample(graph.inputs(), sample)?)?.values;
        for ((difference, float), form) in differences.iter_mut().zip(&floats).zip(&forms) {
            let Some(form) = form else { continue };
            let mut value = vec![0; float.len()];
            for (part, coefficient) in form.parts() {
                let elements = integers.get(part.0 as usize).map_or(&[][..], Vec::as_slice);
                let pairs = value.iter_mut().zip(elements);
                pairs.for_each(|(sum, element)| *sum += i64::from(coefficient) * element);
            }
            let high = match (form.digit, form.dtype) {
                (Some(digit), _) => Some(digit.high.into()),
                (None, DType::I8) => Some(127),
                (None, _) => None,
            };
            difference.add(float, &value, scale_to_f64(form.scale), high);
        }
    }
    let mut layers = Vec::new();
    for (index, op) in model.ops.iter().enumerate() {
        let value = model.inputs.len() + index;
        let Some(form) = &forms[value] else { continue };
        let requantisation = match graph.producer(form.id).and_then(|node| graph.nodes().get(node)) {
            Some(
                Op::Requantise {
                    multipliers, shift, ..
                }
                | Op::Activate {
                    multipliers, shift, ..
                },
            ) => Some((
                multipliers.len(),
                multipliers.iter().copied().max().unwrap_or(0),
                *shift,
            )),
            _ => None,
        };
        let (name, op) = (name_at(model, value), described(op));
        let bits = bits_of(form);
        layers.push(LayerExplanation {
            name,
            op,
            shape: model.shapes[value].dims().to_vec(),
            dtype: form.dtype,
            bits,
            scale: scale_to_f64(form.scale),
            requantisation,
            remainder_bits: requantisation.map(|(_, _, shift)| shift),
            sqnr_db: differences[value].sqnr_db(),
            max_abs_err: differences[value].largest,
            saturated: differences[value].saturated as f64 / differences[value].elements.max(1) as f64,
        });
    }
    let inputs = graph
        .inputs()
        .iter()
        .map(|spec| (spec.name.to_string(), scale_to_f64(spec.scale)));
    Ok(Explanation {
        rows,
        inputs: inputs.collect(),
        layers,
        activations: report.activations,
        notes: model.notes.clone(),
    })
}

fn bits_of(form: &Form) -> u8 {
    match (form.digit, form.dtype) {
        (Some(_), _) => BITS,
        (None, DType::I8) => 8,
        (None, _) => 32,
    }
}

#[derive(Clone, Default)]
struct Difference {
    signal: f64,
    noise: f64,
    largest: f64,
    saturated: usize,
    elements: usize,
}

impl Difference {
    fn add(&mut self, float: &[f32], integers: &[i64], step: f64, high: Option<i64>) {
        for (f, q) in float.iter().zip(integers) {
            let error = (f64::from(*f) - *q as f64 * step).abs();
            self.signal += f64::from(*f) * f64::from(*f);
            self.noise += error * error;
            self.largest = self.largest.max(error);
            self.saturated += usize::from(high.is_some_and(|high| *q == high || *q == -high - 1));
            self.elements += 1;
        }
    }

    fn sqnr_db(&self) -> f64 {
        if self.noise == 0.0 {
            f64::INFINITY
        } else {
            10.0 * (self.signal / self.noise).log10()
        }
    }
}

/// Name of the node that made a value: of the op itself, or of the nearest one before it that has a name.
pub(super) fn name_at(model: &FloatModel, mut value: usize) -> String {
    while let Some(op) = model.producer(value) {
        match op {
            FloatOp::Linear { name, .. }
            | FloatOp::Convolve { name, .. }
            | FloatOp::WindowSum { name, .. }
            | FloatOp::Sum { name, .. }
            | FloatOp::Product { name, .. }
            | FloatOp::Affine { name, .. }
            | FloatOp::Function { name, .. } => return name.clone(),
            _ => {}
        }
        // An op reads values that stand before it only.
        match op.inputs().first() {
            Some(input) => value = *input,
            None => break,
        }
    }
    String::new()
}

fn described(op: &FloatOp) -> String {
    match op {
        FloatOp::Function { function, .. } => function.name().to_owned(),
        FloatOp::Clamp { low, high, .. } => format!("Clamp {low} to {high}"),
        _ => op.kind().to_owned(),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, scale) in &self.inputs {
            writeln!(f, "input {name}: step {scale:.3e}")?;
        }
        writeln!(
            f,
            "{:<28} {:<18} {:<14} {:<6} {:>10} {:>14} {:>8} {:>10} {:>7}",
            "node", "op", "shape", "type", "step", "multipliers", "SQNR dB", "max error", "at end"
        )?;
        for layer in &self.layers {
            let requantised = layer
                .requantisation
                .map_or_else(String::new, |(count, most, shift)| {
                    format!("{count} <={most} >>{shift}")
                });
            writeln!(
                f,
                "{:<28} {:<18} {:<14} {:<6} {:>10.3e} {:>14} {:>8.1} {:>10.3e} {:>6.2}%",
                layer.name,
                layer.op,
                layer
                    .shape
                    .iter()
                    .map(u32::to_string)
                    .collect::<Vec<_>>()
                    .join("x"),
                format!("int{}", layer.bits),
                layer.scale,
                requantised,
                layer.sqnr_db,
                layer.max_abs_err,
                layer.saturated * 100.0
            )?;
        }
        for activation in &self.activations {
            writeln!(
                f,
                "{:<28} int{}: {}",
                activation.name, activation.bits, activation.reason
            )?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}
