//! From a float model and the ranges of its values to an integer graph.
//!
//! Activations are int8 with one symmetric scale per tensor, weights int8 with one symmetric scale per output
//! channel, biases int32 in steps of the accumulator. A Relu becomes the lower clamp of its requantisation.
//!
//! **Multipliers cost no accuracy.** A requantisation divides the accumulator by `s_out / (s_in * s_w)`. The weight
//! scale of a channel is free above `max |w| / 127`, so it is chosen such that the quotient is exactly
//! `M_c / 2^shift` with `M_c` of [`Options::multiplier_bits`] bits: the multiplier is not rounded, the weight scale
//! is at most one part in `M_c` coarser. Small multipliers keep the shift, and with it the remainder that a proof
//! carries, small.
//!
//! **Logits share one scale.** A Linear whose accumulator is an output has one weight scale for all channels, a
//! dyadic number, so that the scale of the output is exactly the product of two dyadic numbers.

use haca_graph::{Graph, Manifest, ModelFile, Op, Parameters, ValueId};
use haca_wire::{DType, Name, Scale, Shape, TensorSpec};

use crate::calibration::calibrate;
use crate::float_model::FloatOp;
use crate::quantisation::builder::{Builder, Form};
use crate::{Calibration, FloatModel, OnnxError, Sample, limit};

mod builder;

/// How to quantise.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Name of the model; the graph's name in the ONNX file when `None`.
    pub name: Option<Name>,
    /// How ranges follow from samples.
    pub calibration: Calibration,
    /// Bits of the largest requantisation multiplier of a layer, 1 to 16. With 1, requantisation is a shift.
    pub multiplier_bits: u8,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: None,
            calibration: Calibration::MinMax,
            multiplier_bits: 4,
        }
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
    /// One entry per dense layer.
    pub layers: Vec<LayerReport>,
}

/// What was chosen for one dense layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerReport {
    /// Name of its node.
    pub name: String,
    /// Length of its input.
    pub inputs: u32,
    /// Length of its output.
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
    if !limit::MULTIPLIER_BITS.contains(&options.multiplier_bits) {
        let (found, expected) = (f64::from(options.multiplier_bits), "1 to 16");
        return Err(OnnxError::Option {
            option: "multiplier_bits",
            found,
            expected,
        });
    }
    let ranges = calibrate(model, calibration, options.calibration)?;
    let mut builder = Builder::new(model, &ranges, options.multiplier_bits)?;
    for index in 0..model.ops.len() {
        builder.add(index)?;
    }
    let outputs = outputs(model, &mut builder)?;
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
    Ok((ModelFile { manifest, parameters }, report))
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
    let mut outputs = Vec::new();
    for (value, name) in &shown {
        let Form { id, dtype, scale } = builder.raw(*value)?;
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
    {
        let input = builder.raw(*logits)?.id;
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
