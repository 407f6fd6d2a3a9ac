//! From a float model and the ranges of its values to an integer graph.
//!
//! Activations are int8 with one symmetric scale per tensor, weights int8 with one symmetric scale per output
//! channel or per tensor, biases int32 in steps of the accumulator. A clamp becomes the ends of the requantisation
//! before it, another function its table. Values that only move share the scale of what they are moved from.
//!
//! **Multipliers cost no accuracy.** A requantisation divides the accumulator by `s_out / (s_in * s_w)`. The weight
//! scale of a channel is free above `max |w| / 127`, so it is chosen such that the quotient is exactly
//! `M_c / 2^shift` with `M_c` of [`Options::multiplier_bits`] bits: the multiplier is not rounded, the weight scale
//! is at most one part in `M_c` coarser. Small multipliers keep the shift, and with it the remainder that a proof
//! carries, small. Sums take their coefficients in steps of a power of two of the output, so their multiplier is 1.
//!
//! **Logits share one scale.** A layer whose accumulator is an output has one weight scale for all channels, a
//! dyadic number, so that the scale of the output is exactly the product of two dyadic numbers.

use std::collections::BTreeMap;

use haca_graph::{Graph, Manifest, ModelFile, Op, Parameters, ValueId};
use haca_wire::{DType, Name, Scale, Shape, TensorSpec};

use crate::calibration::{Ranges, calibrate};
use crate::float_model::FloatOp;
use crate::quantisation::builder::{Builder, Form};
use crate::quantisation::width::Wide;
use crate::{Calibration, FloatModel, OnnxError, Sample, limit};

pub use explanation::{Explanation, LayerExplanation, explain};
pub use width::ActivationReport;

mod builder;
mod explanation;
mod layer;
mod plan;
mod requantisation;
mod width;

/// How wide activations are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Activations {
    /// Int8.
    #[default]
    Int8,
    /// Integers of 12 bits, in two int8 digits, wherever the ops that read them allow it.
    Int12,
    /// 12 bits where that takes away a twentieth of the error that the outputs have with int8, on the calibration
    /// samples.
    Auto,
}

/// How to quantise.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Name of the model; the graph's name in the ONNX file when `None`.
    pub name: Option<Name>,
    /// How ranges follow from samples.
    pub calibration: Calibration,
    /// Bits of the largest requantisation multiplier of a layer, 1 to 16. With 1, requantisation is a shift, and all
    /// channels of a layer have one weight scale.
    pub multiplier_bits: u8,
    /// Whether each output channel has a weight scale of its own; else there is one per layer.
    pub per_channel: bool,
    /// Whether biases make up for what rounding the weights adds to the mean of each channel on the samples.
    pub bias_correction: bool,
    /// Arguments of the table of a function, as a power of two, 8 to 12.
    pub table_bits: u8,
    /// How wide activations are. Inputs of the graph, and what is compared or looked up, are int8 in any case.
    pub activations: Activations,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: None,
            calibration: Calibration::MinMax,
            multiplier_bits: 2,
            per_channel: true,
            bias_correction: false,
            table_bits: 10,
            activations: Activations::Int8,
        }
    }
}

impl Options {
    fn check(&self) -> Result<(), OnnxError> {
        for (option, found, range, expected) in [
            (
                "multiplier_bits",
                self.multiplier_bits,
                limit::MULTIPLIER_BITS,
                "1 to 16",
            ),
            ("table_bits", self.table_bits, limit::TABLE_BITS, "8 to 12"),
        ] {
            if !range.contains(&found) {
                let found = f64::from(found);
                return Err(OnnxError::Option {
                    option,
                    found,
                    expected,
                });
            }
        }
        Ok(())
    }
}

/// What import found and chose.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportReport {
    /// Weights and biases.
    pub params: u64,
    /// Multiply-accumulate operations of one inference.
    pub macs: u64,
    /// Calibration samples that were read.
    pub calibration_rows: usize,
    /// One entry per dense or convolution layer.
    pub layers: Vec<LayerReport>,
    /// One entry per activation that a requantisation makes.
    pub activations: Vec<ActivationReport>,
    /// What was left out on purpose, in words.
    pub notes: Vec<String>,
}

/// What was chosen for one dense or convolution layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerReport {
    /// Name of its node.
    pub name: String,
    /// Products that make one element of its output.
    pub inputs: u32,
    /// Channels of its output.
    pub outputs: u32,
    /// Shift of its requantisation; `None` when its accumulators are the output.
    pub shift: Option<u8>,
    /// Largest multiplier of its requantisation.
    pub multiplier: Option<u32>,
    /// Static range of its quotient before the clamp.
    pub quotient: Option<(i64, i64)>,
}

/// Imports, calibrates and quantises.
///
/// # Errors
///
/// A file, samples or options that are refused, or a network that no integer graph can hold.
pub fn quantise(
    onnx: &[u8],
    calibration: &[Sample],
    options: &Options,
) -> Result<(ModelFile, ImportReport), OnnxError> {
    quantise_model(&FloatModel::read(onnx)?, calibration, options)
}

/// Calibrates and quantises a model that is already read.
///
/// # Errors
///
/// As [`quantise`].
pub fn quantise_model(
    model: &FloatModel,
    calibration: &[Sample],
    options: &Options,
) -> Result<(ModelFile, ImportReport), OnnxError> {
    let Quantised { file, report, .. } = quantised(model, calibration, options, false)?;
    Ok((file, report))
}

/// An integer graph, and which of its values stands for which float value.
struct Quantised {
    file: ModelFile,
    report: ImportReport,
    /// One per float value; `None` where the graph has no value for it.
    forms: Vec<Option<Form>>,
}

/// Calibrates, decides how wide activations are, and quantises. `is_measured` asks for numbers in the reasons.
fn quantised(
    model: &FloatModel,
    calibration: &[Sample],
    options: &Options,
    is_measured: bool,
) -> Result<Quantised, OnnxError> {
    options.check()?;
    let ranges = calibrate(model, calibration, options.calibration)?;
    let widths = width::decide(model, &ranges, calibration, options, is_measured)?;
    let mut quantised = build(model, &ranges, options, widths.wide)?;
    quantised.report.activations = widths.report;
    Ok(quantised)
}

/// Quantises with the given wide activations.
fn build(
    model: &FloatModel,
    ranges: &Ranges,
    options: &Options,
    wide: BTreeMap<usize, Wide>,
) -> Result<Quantised, OnnxError> {
    let mut builder = Builder::new(model, ranges, options, wide)?;
    for index in 0..model.ops.len() {
        builder.add(index)?;
    }
    let outputs = outputs(model, &mut builder)?;
    let forms = builder.forms();
    let Builder {
        inputs,
        params,
        nodes,
        tensors,
        linears,
        ..
    } = builder;
    let graph = Graph::new(inputs, params, nodes, outputs)?;
    let parameters = Parameters::new(&graph, tensors)?;
    let layers = linears.iter().map(|linear| linear.report(&graph)).collect();
    let report = ImportReport {
        params: graph.param_count(),
        macs: graph.macs(),
        calibration_rows: ranges.rows,
        layers,
        activations: Vec::new(),
        notes: model.notes.clone(),
    };
    let name = options
        .name
        .clone()
        .unwrap_or_else(|| name_of(&model.name, "model"));
    let manifest = Manifest {
        name,
        graph,
        render: 1,
        tokenizer: [0; 32],
    };
    let file = ModelFile { manifest, parameters };
    Ok(Quantised { file, report, forms })
}

/// The values of the float model that the integer graph shows, with their names: logits before classes. The operand
/// of an ArgMax must be shown, so it joins the outputs of the file.
pub(crate) fn shown(model: &FloatModel) -> Vec<(usize, String)> {
    let is_class = |value: usize| matches!(model.producer(value), Some(FloatOp::ArgMax { .. }));
    let mut all = model.outputs.clone();
    for op in &model.ops {
        if let FloatOp::ArgMax { input } = op {
            all.push((*input, "logits".to_owned()));
        }
    }
    let mut shown: Vec<(usize, String)> = Vec::new();
    for wanted in [false, true] {
        for (value, name) in &all {
            if is_class(*value) == wanted && !shown.iter().any(|(other, _)| other == value) {
                shown.push((*value, name.clone()));
            }
        }
    }
    shown
}

/// The outputs of the integer graph: what the model shows, and the class where it shows one vector of logits and
/// makes no class itself.
fn outputs(model: &FloatModel, builder: &mut Builder<'_>) -> Result<Vec<(ValueId, TensorSpec)>, OnnxError> {
    let shown = shown(model);
    let mut outputs: Vec<(ValueId, TensorSpec)> = Vec::new();
    for (value, name) in &shown {
        let Form {
            mut id, dtype, scale, ..
        } = builder.raw(*value)?;
        // Two float values may be one integer value: an output is a value of its own.
        if outputs.iter().any(|(other, _)| *other == id) || (id.0 as usize) < model.inputs.len() {
            let shape = model.shapes[*value].clone();
            id = builder.push(Op::Reshape { input: id, shape });
        }
        let name = unique(name, "output", &outputs);
        outputs.push((
            id,
            TensorSpec {
                name,
                dtype,
                shape: model.shapes[*value].clone(),
                scale,
            },
        ));
    }
    if let [(logits, _)] = shown.as_slice()
        && let [n] = model.shapes[*logits].dims()
        && *n > 1
        && let Some((input, _)) = outputs.first()
    {
        let input = *input;
        let class = builder.push(Op::ArgMax { input });
        let name = unique("class", "class", &outputs);
        let shape = Shape::new(Vec::new()).expect("a scalar has a shape");
        outputs.push((
            class,
            TensorSpec {
                name,
                dtype: DType::I32,
                shape,
                scale: Scale::ONE,
            },
        ));
    }
    Ok(outputs)
}

/// A name that none of the outputs has yet.
fn unique(text: &str, fallback: &str, outputs: &[(ValueId, TensorSpec)]) -> Name {
    let mut name = name_of(text, fallback);
    let mut number = 2;
    while outputs.iter().any(|(_, spec)| spec.name == name) {
        name = name_of(&format!("{number}_{text}"), fallback);
        number += 1;
    }
    name
}

/// A name of the wire format from any text: other characters become underscores, the rest is cut.
pub(crate) fn name_of(text: &str, fallback: &str) -> Name {
    let text = if text.is_empty() { fallback } else { text };
    let keep = |c: char| {
        if c.is_ascii_graphic() && c != '"' && c != '\\' {
            c
        } else {
            '_'
        }
    };
    let clean: String = text
        .chars()
        .map(keep)
        .take(haca_wire::limit::NAME_BYTES)
        .collect();
    Name::new(&clean).expect("1 to 64 graphic characters are a name")
}
