//! `haca model`: from ONNX to an integer graph, and a look inside.

use std::path::Path;

use haca_graph::{ModelFile, Op};
use haca_onnx::{
    ActivationReport, Explanation, Fidelity, FloatModel, ImportReport, InputSpec, LayerExplanation,
    ReadOptions, explain, fidelity, quantise_model,
};
use haca_wire::{Decode as _, Encode as _, Name, TensorSpec};
use serde_json::{Value, json};

use crate::args::{Import, Model};
use crate::failure::Failure;
use crate::proof::read as read_file;
use crate::sample::{onnx, read_set};
use crate::score;
use crate::screen::{Ink, Screen};
use crate::session::replace;

/// Bytes of a model file.
const FILE_BYTES: usize = 1 << 30;

/// Dispatches `haca model`.
pub(crate) fn run(command: &Model, screen: &Screen) -> Result<u8, Failure> {
    match command {
        Model::Import(arguments) => import(arguments, screen),
        Model::Score(arguments) => score::run(arguments, screen),
        Model::Show { model } => show(&read(model)?, screen),
    }
}

/// Reads a model file.
pub(crate) fn read(path: &Path) -> Result<ModelFile, Failure> {
    let bytes = read_file(path, FILE_BYTES)?;
    ModelFile::decode_all(&bytes).map_err(|error| {
        Failure::usage(
            error.code(),
            format!("{} is not a model: {error}", path.display()),
            "`haca model import` makes one from ONNX",
        )
    })
}

/// Reads an ONNX file.
pub(crate) fn read_onnx(path: &Path, options: &ReadOptions) -> Result<FloatModel, Failure> {
    FloatModel::read_with(&read_file(path, FILE_BYTES)?, options).map_err(onnx)
}

/// What a sample file holds for each input of a model.
pub(crate) fn input_specs(specs: &[TensorSpec]) -> Vec<InputSpec> {
    specs.iter().map(InputSpec::from).collect()
}

fn import(arguments: &Import, screen: &Screen) -> Result<u8, Failure> {
    let path = &arguments.onnx;
    let float = read_onnx(path, &arguments.quantisation.reading())?;
    let specs = float.inputs();
    let samples = read_set(&arguments.calibration, &specs)?.samples;
    let stem = path
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    let name = Name::new(arguments.name.as_deref().unwrap_or(&stem)).ok_or_else(|| {
        Failure::usage(
            "cli.model_name",
            "not a model name",
            "1 to 64 printable characters without spaces",
        )
    })?;
    let step = screen.step("calibrate and quantise");
    let options = arguments.quantisation.options(Some(name));
    let (model, report) = quantise_model(&float, &samples, &options).map_err(onnx)?;
    step.done(&format!("{} samples", report.calibration_rows));
    let mut explanation = None;
    if arguments.explain {
        let step = screen.step("explain");
        let explained = explain(&float, &samples, &options).map_err(onnx)?;
        step.done(&format!("{} samples", explained.rows));
        explanation = Some(explained);
    }
    let measured = match &arguments.test {
        None => None,
        Some(test) => {
            let step = screen.step("fidelity");
            let set = read_set(test, &specs)?;
            let measured = fidelity(&float, &model, &set.samples, set.labels.as_deref()).map_err(onnx)?;
            step.done(&format!("{} samples", measured.rows));
            Some(measured)
        }
    };
    let bytes = model.encode();
    let out = &arguments.out;
    replace(out, &bytes)?;
    screen.object(&json!({
        "model": out,
        "bytes": bytes.len(),
        "params": report.params,
        "macs": report.macs,
        "calibration_rows": report.calibration_rows,
        "notes": report.notes,
        "fidelity": measured.as_ref().map(fidelity_json),
        "explanation": explanation.as_ref().map(explanation_json),
    }));
    say_import(&report, measured.as_ref(), screen);
    match &explanation {
        // Its text ends with the notes.
        Some(explanation) => {
            let title = format!("beside the float network, on {} samples", explanation.rows);
            screen.say(screen.ink(Ink::Bold, title));
            screen.say(explanation.to_string().trim_end());
        }
        None => report
            .notes
            .iter()
            .for_each(|note| screen.say(format!("note     {note}"))),
    }
    screen.say(format!("written  {} ({} bytes)", out.display(), bytes.len()));
    Ok(0)
}

fn say_import(report: &ImportReport, measured: Option<&Fidelity>, screen: &Screen) {
    screen.say(format!("params   {}", report.params));
    screen.say(format!("macs     {}", report.macs));
    for layer in &report.layers {
        screen.say(format!(
            "layer    {}: {} -> {}",
            layer.name, layer.inputs, layer.outputs
        ));
    }
    let Some(measured) = measured else { return };
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    screen.say(screen.ink(Ink::Bold, "fidelity"));
    screen.say(format!(
        "  argmax agrees   {} of {} rows",
        percent(measured.argmax_agree),
        measured.rows
    ));
    screen.say(format!("  largest error   {:.4}", measured.max_abs_err));
    screen.say(format!("  mean error      {:.4}", measured.mean_abs_err));
    if let (Some(float), Some(integer)) = (measured.accuracy_float, measured.accuracy_integer) {
        screen.say(format!(
            "  accuracy        float {}, integer {}",
            percent(float),
            percent(integer)
        ));
    }
}

/// A fidelity report as JSON.
pub(crate) fn fidelity_json(measured: &Fidelity) -> Value {
    json!({
        "rows": measured.rows,
        "argmax_agree": measured.argmax_agree,
        "max_abs_err": measured.max_abs_err,
        "mean_abs_err": measured.mean_abs_err,
        "accuracy_float": measured.accuracy_float,
        "accuracy_integer": measured.accuracy_integer,
    })
}

/// An explanation as JSON. A ratio without any difference is infinite and stands as null.
fn explanation_json(explanation: &Explanation) -> Value {
    let layer = |layer: &LayerExplanation| {
        let requantisation = layer.requantisation.map(
            |(count, largest, shift)| json!({ "multipliers": count, "largest": largest, "shift": shift }),
        );
        json!({
            "name": layer.name,
            "op": layer.op,
            "shape": layer.shape,
            "dtype": layer.dtype.name(),
            "bits": layer.bits,
            "scale": layer.scale,
            "requantisation": requantisation,
            "remainder_bits": layer.remainder_bits,
            "sqnr_db": layer.sqnr_db,
            "max_abs_err": layer.max_abs_err,
            "saturated": layer.saturated,
        })
    };
    let activation = |activation: &ActivationReport| json!({ "name": activation.name, "bits": activation.bits, "reason": activation.reason });
    let input = |(name, scale): &(String, f64)| json!({ "name": name, "scale": scale });
    json!({
        "rows": explanation.rows,
        "inputs": explanation.inputs.iter().map(input).collect::<Vec<_>>(),
        "layers": explanation.layers.iter().map(layer).collect::<Vec<_>>(),
        "activations": explanation.activations.iter().map(activation).collect::<Vec<_>>(),
    })
}

fn show(model: &ModelFile, screen: &Screen) -> Result<u8, Failure> {
    let graph = &model.manifest.graph;
    let spec = |spec: &TensorSpec| {
        json!({
            "name": spec.name.as_str(),
            "dtype": spec.dtype.name(),
            "shape": spec.shape.dims(),
            "scale": { "mantissa": spec.scale.mantissa(), "shift": spec.scale.shift() },
        })
    };
    screen.object(&json!({
        "name": model.manifest.name.as_str(),
        "params": graph.param_count(),
        "macs": graph.macs(),
        "inputs": graph.inputs().iter().map(spec).collect::<Vec<_>>(),
        "outputs": graph.outputs().iter().map(|(_, output)| spec(output)).collect::<Vec<_>>(),
        "nodes": graph.nodes().iter().map(describe).collect::<Vec<_>>(),
    }));
    screen.say(screen.ink(Ink::Bold, model.manifest.name.as_str()));
    screen.say(format!("params   {}", graph.param_count()));
    screen.say(format!("macs     {}", graph.macs()));
    let line = |kind: &str, spec: &TensorSpec| {
        let dims: Vec<String> = spec.shape.dims().iter().map(u32::to_string).collect();
        format!(
            "{kind}  {} {}[{}], 1 is {}/2^{}",
            spec.name,
            spec.dtype.name(),
            dims.join(","),
            spec.scale.mantissa(),
            spec.scale.shift()
        )
    };
    for input in graph.inputs() {
        screen.say(line("input  ", input));
    }
    for op in graph.nodes() {
        screen.say(format!("node     {}", describe(op)));
    }
    for (_, output) in graph.outputs() {
        screen.say(line("output ", output));
    }
    Ok(0)
}

fn describe(op: &Op) -> String {
    match op {
        Op::Linear { input, weight, bias } => {
            format!(
                "linear of value {} by parameters {} and {}",
                input.0, weight.0, bias.0
            )
        }
        Op::Requantise {
            input,
            multipliers,
            shift,
            low,
            high,
        } => format!(
            "requantise value {} by {} multiplier(s) and shift {shift}, clamp {low} to {high}",
            input.0,
            multipliers.len()
        ),
        Op::ArgMax { input } => format!("argmax of value {}", input.0),
        Op::Reshape { input, shape } => format!("reshape value {} to {:?}", input.0, shape.dims()),
        other => {
            let values: Vec<String> = other.inputs().iter().map(|id| id.0.to_string()).collect();
            format!("{} of {}", other.name().to_lowercase(), values.join(", "))
        }
    }
}
