//! Imports each model of a directory, evaluates its integer graph and compares with the expected outputs: the other
//! half of `bench/onnx_node_tests.py`, which writes the directory.
//!
//! `cargo run --release -p haca-onnx --example node_tests -- DIRECTORY`
//!
//! A case is `NAME.onnx` and `NAME.json`: `op`, `inputs` (flat lists), `outputs` (flat lists). All axes belong to one
//! inference. Two comparisons:
//!
//! 1. The float model against the expected output, to `1e-4 * (1 + largest magnitude)`, `1e-3` for ops that round.
//! 2. The integer graph against the float model, element by element, to the sum of
//!    * `1.5` steps of the output,
//!    * the largest change of the output when the float model reads the inputs as the graph rounds them,
//!    * for each int8 value between two layers (`intermediate`) half a step times 4, a bound for the ops here, and
//!    * for each layer with weights, `largest |w| / 127` times the largest sum of the magnitudes it multiplies.

use std::{collections::BTreeMap, env, error::Error, fs, path::Path};

use haca_graph::{ModelFile, evaluate};
use haca_onnx::{
    BatchAxis, FloatModel, FloatOp, Options, ReadOptions, Sample, quantise_model, quantise_sample,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    op: String,
    inputs: Vec<Vec<f64>>,
    outputs: Vec<Vec<f64>>,
}

/// What became of a case.
enum Verdict {
    Pass,
    Refused(String),
    Wrong(String),
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = env::args().nth(1).ok_or("usage: node_tests DIRECTORY")?;
    let mut names: Vec<_> = fs::read_dir(&directory)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "onnx"))
        .collect();
    names.sort();
    let mut tally: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    let mut lines = Vec::new();
    for path in names {
        let case: Case = serde_json::from_slice(&fs::read(path.with_extension("json"))?)?;
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let verdict = judge(&path, &case).unwrap_or_else(|error| Verdict::Wrong(error.to_string()));
        let counts = tally.entry(case.op.clone()).or_default();
        match verdict {
            Verdict::Pass => counts[0] += 1,
            Verdict::Refused(reason) => {
                counts[1] += 1;
                lines.push(format!("refused {name}: {reason}"));
            }
            Verdict::Wrong(reason) => {
                counts[2] += 1;
                lines.push(format!("WRONG {name}: {reason}"));
            }
        }
    }
    report(&tally, &lines)
}

#[expect(clippy::print_stdout, reason = "the tally is what the tool is for")]
fn report(tally: &BTreeMap<String, [usize; 3]>, lines: &[String]) -> Result<(), Box<dyn Error>> {
    for line in lines {
        println!("{line}");
    }
    println!("\n{:<24} {:>6} {:>8} {:>6}", "op", "pass", "refused", "wrong");
    let mut total = [0; 3];
    for (op, counts) in tally {
        println!("{op:<24} {:>6} {:>8} {:>6}", counts[0], counts[1], counts[2]);
        total.iter_mut().zip(counts).for_each(|(t, c)| *t += c);
    }
    println!("{:<24} {:>6} {:>8} {:>6}", "all", total[0], total[1], total[2]);
    if total[2] > 0 {
        Err(format!("{} wrong", total[2]).into())
    } else {
        Ok(())
    }
}

fn judge(path: &Path, case: &Case) -> Result<Verdict, Box<dyn Error>> {
    let options = ReadOptions {
        batch: BatchAxis::Absent,
        ..ReadOptions::default()
    };
    let model = match FloatModel::read_with(&fs::read(path)?, &options) {
        Ok(model) => model,
        Err(error) => return Ok(Verdict::Refused(error.to_string())),
    };
    let sample = Sample(case.inputs.clone());
    let floats = model.infer(&sample)?;
    let rounds = model.ops().iter().any(|op| matches!(op, FloatOp::Round { .. }));
    for (index, (found, expected)) in floats.iter().zip(&case.outputs).enumerate() {
        let largest = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let tolerance = if rounds { 1e-3 } else { 1e-4 } * (1.0 + largest);
        if found.len() != expected.len() {
            return Ok(Verdict::Wrong(format!(
                "output {index}: {} elements for {}",
                found.len(),
                expected.len()
            )));
        }
        if let Some((f, e)) = found
            .iter()
            .zip(expected)
            .find(|(f, e)| (f64::from(**f) - **e).abs() > tolerance)
        {
            return Ok(Verdict::Wrong(format!("output {index}: float {f} for {e}")));
        }
    }
    let file = match quantise_model(&model, std::slice::from_ref(&sample), &Options::default()) {
        Ok((file, _)) => file,
        Err(error) => return Ok(Verdict::Refused(error.to_string())),
    };
    compare(&model, &file, &sample, &floats)
}

fn compare(
    model: &FloatModel,
    file: &ModelFile,
    sample: &Sample,
    floats: &[Vec<f32>],
) -> Result<Verdict, Box<dyn Error>> {
    let graph = &file.manifest.graph;
    let inputs = quantise_sample(graph.inputs(), sample)?;
    let outputs = evaluate(graph, &file.parameters, &inputs)?.outputs;
    let seen = inputs.iter().zip(graph.inputs()).map(|(tensor, spec)| {
        let step = step(spec);
        tensor.values().iter().map(|q| *q as f64 * step).collect()
    });
    let seen = model.infer(&Sample(seen.collect()))?;
    let inner = inner_error(model, sample)?;
    let specs: Vec<_> = graph.outputs().iter().map(|(_, spec)| spec).collect();
    for (index, (_, name)) in model.outputs().iter().enumerate() {
        let wanted = floats[index].as_slice();
        let Some(place) = specs.iter().position(|spec| spec.name.as_str() == name) else {
            return Ok(Verdict::Wrong(format!("no output {name}")));
        };
        let spec = specs[place];
        let is_class = matches!(
            model.outputs().get(index).and_then(|(v, _)| model.producer(*v)),
            Some(FloatOp::ArgMax { .. })
        );
        let moved = wanted
            .iter()
            .zip(&seen[index])
            .map(|(a, b)| f64::from((a - b).abs()))
            .fold(0.0, f64::max);
        let tolerance = if is_class {
            0.0
        } else {
            1.5 * step(spec) + moved + inner
        };
        for (q, f) in outputs[place].values().iter().zip(wanted) {
            let found = *q as f64 * step(spec);
            if (found - f64::from(*f)).abs() > tolerance {
                return Ok(Verdict::Wrong(format!(
                    "integer {found} for {f}, tolerance {tolerance}"
                )));
            }
        }
    }
    Ok(Verdict::Pass)
}

fn step(spec: &haca_wire::TensorSpec) -> f64 {
    f64::from(spec.scale.mantissa()) / 2f64.powi(i32::from(spec.scale.shift()))
}

/// What rounding inside the network may add: of weights, and of int8 values between two layers.
fn inner_error(model: &FloatModel, sample: &Sample) -> Result<f64, Box<dyn Error>> {
    let values = model.evaluate(sample)?;
    let magnitude = |value: usize| {
        values[value]
            .iter()
            .fold(0.0f64, |m, v| m.max(f64::from(v.abs())))
    };
    let first = model.inputs().len();
    let mut error = 0.0;
    for (index, op) in model.ops().iter().enumerate() {
        if let FloatOp::Linear { input, weights, .. } | FloatOp::Convolve { input, weights, .. } = op {
            let row = weights.weight.len() / weights.bias.len().max(1);
            let largest = weights
                .weight
                .iter()
                .fold(0.0f64, |m, w| m.max(f64::from(w.abs())));
            error += largest / 127.0 * row as f64 * magnitude(*input);
        }
        let moves = matches!(
            op,
            FloatOp::Reshape { .. }
                | FloatOp::Transpose { .. }
                | FloatOp::Slice { .. }
                | FloatOp::Concat { .. }
                | FloatOp::Pad { .. }
                | FloatOp::Expand { .. }
                | FloatOp::WindowMax { .. }
                | FloatOp::ArgMax { .. }
        );
        let last = model.outputs().iter().any(|(value, _)| *value == first + index);
        if !moves && !last {
            error += 4.0 * 0.5 * magnitude(first + index) / 127.0;
        }
    }
    Ok(error)
}
