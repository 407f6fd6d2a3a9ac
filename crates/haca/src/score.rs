//! `haca model score`: a model's accuracy on a test set, proved and written into one file; and `haca verify` of it.

use std::path::Path;
use std::time::Instant;

use haca_onnx::quantise_sample;
use haca_prover::Registration;
use haca_verify::scorecard::{
    BYTES, Batch, Outputs, SAMPLES, Score, Scorecard, ScoredModel, TestSample, TestSetRoot, class_count,
    context, test_set_root,
};
use haca_verify::{CheckState, Policy, Report, scorecard};
use haca_wire::{Encode as _, TensorSpec};
use serde_json::{Value, json};

use crate::args;
use crate::failure::Failure;
use crate::model::{input_specs, read};
use crate::proof::check_batch;
use crate::sample::{onnx, read_labelled};
use crate::screen::{Ink, Screen, Step};
use crate::session::replace;
use crate::verify::{exit_code, report_json, show};
use crate::work::Work;

/// Proves a score and writes the scorecard.
pub(crate) fn run(score: &args::Score, screen: &Screen) -> Result<u8, Failure> {
    let model = read(&score.model)?;
    let graph = &model.manifest.graph;
    if class_count(graph).is_none() {
        return Err(Failure::usage(
            "cli.no_classes",
            "the first output of the model is not one element per class",
            "scorecards are about classifiers; `haca model show` prints the outputs",
        ));
    }
    let samples = test_set(&score.test, &score.key, graph.inputs())?;
    let root = test_set_root(&samples);
    let work = Work::start(&score.memory, screen)?;
    let (start, registration) = (Instant::now(), work.register(model)?);
    let register_ms = ms(start);
    let key = &registration.verifying_key;
    let batch = score
        .batch
        .unwrap_or_else(|| work.largest_batch(&registration.proving_key));
    check_batch(key, batch)?;
    let mut step = screen.step("infer and prove");
    let start = Instant::now();
    let batches = prove(&registration, &samples, (&root, batch), &work, &mut step)?;
    let prove_ms = ms(start);
    step.done(&format!("{} samples in {} proofs", samples.len(), batches.len()));
    let claim = scorecard::score(&samples, &batches);
    let file = Scorecard {
        verifying_key: key.encode(),
        registration: registration.proof.clone(),
        root,
        score: claim,
        samples,
        batches,
    };
    let bytes = file.encode();
    if bytes.len() > BYTES {
        return Err(too_large(format!("its scorecard has {} bytes", bytes.len())));
    }
    replace(&score.out, &bytes)?;
    let id = key.model_id().to_string();
    let mut result = claim_json(&id, key.manifest().name.as_str(), &root, claim);
    result["scorecard"] = json!(score.out);
    result["proofs"] = json!(file.batches.len());
    result["bytes"] = json!(bytes.len());
    result["register_ms"] = json!(register_ms);
    result["prove_ms"] = json!(prove_ms);
    screen.object(&result);
    say_claim(&result, screen);
    screen.say(format!("proving   {:.2} s", prove_ms / 1e3));
    screen.say(format!(
        "written   {} ({} bytes)",
        score.out.display(),
        bytes.len()
    ));
    screen.say(format!(
        "check it with: haca verify {} --model {id}",
        score.out.display()
    ));
    Ok(0)
}

/// Reads and quantises a test set.
fn test_set(path: &Path, key: &str, inputs: &[TensorSpec]) -> Result<Vec<TestSample>, Failure> {
    let set = read_labelled(path, &input_specs(inputs), key)?;
    if set.samples.len() > SAMPLES {
        return Err(too_large(format!(
            "{} has {} samples",
            path.display(),
            set.samples.len()
        )));
    }
    let pairs = set.samples.iter().zip(set.labels);
    pairs
        .map(|(sample, label)| {
            let inputs = quantise_sample(inputs, sample)?;
            Ok(TestSample { inputs, label })
        })
        .collect::<Result<_, _>>()
        .map_err(onnx)
}

fn too_large(message: String) -> Failure {
    Failure::usage(
        "cli.test_set_too_large",
        message,
        format!("a scorecard holds at most {SAMPLES} samples and {BYTES} bytes; split the test set"),
    )
}

/// One proof for each `size` consecutive samples.
fn prove(
    registration: &Registration,
    samples: &[TestSample],
    (root, size): (&TestSetRoot, usize),
    work: &Work<'_>,
    step: &mut Step<'_>,
) -> Result<Vec<Batch>, Failure> {
    let key = &registration.proving_key;
    // The number of samples is limited far below.
    let index = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let total = index(samples.len());
    let (mut batches, count) = (Vec::new(), samples.len().div_ceil(size));
    for (number, samples) in samples.chunks(size).enumerate() {
        let inputs = samples.iter().map(|sample| sample.inputs.clone());
        let executions = work.infer(key, inputs.collect())?;
        let start = number * size;
        let range = index(start)..index(start + samples.len());
        let context = context(root, total, &range);
        step.part(number + 1, count);
        let (proof, _) = work.prove(key, context, &executions, Some(step))?;
        let outputs = executions.into_iter().map(|e| Outputs(e.inference.outputs));
        batches.push(Batch {
            start: range.start,
            outputs: outputs.collect(),
            proof,
        });
    }
    Ok(batches)
}

/// `haca verify` of a scorecard.
pub(crate) fn verify(
    verify: &args::Verify,
    bytes: &[u8],
    policy: &Policy,
    screen: &Screen,
) -> Result<u8, Failure> {
    let expected = expected_set(verify, bytes)?;
    let start = Instant::now();
    let report = scorecard::verify(bytes, policy, expected);
    let verify_ms = ms(start);
    show(&report, screen);
    let mut result = report_json(&report);
    result["hints"] = json!(hints(&report));
    result["bytes"] = json!(bytes.len());
    result["verify_ms"] = json!(verify_ms);
    if let Some(verified) = report.verified() {
        let scored = verified.get();
        let claim = claim_json(
            &scored.model.to_string(),
            scored.name.as_str(),
            &scored.test_set,
            scored.score,
        );
        for (name, value) in claim.as_object().into_iter().flatten() {
            result[name] = value.clone();
        }
        result["proofs"] = json!(scored.proofs);
        say_claim(&result, screen);
    }
    screen.object(&result);
    for hint in hints(&report) {
        screen.say(format!("hint: {hint}"));
    }
    screen.say(format!("{} bytes verified in {:.0} ms", bytes.len(), verify_ms));
    Ok(exit_code(&report))
}

/// The root of the test set that the verifier has, where it is named.
fn expected_set(verify: &args::Verify, bytes: &[u8]) -> Result<Option<TestSetRoot>, Failure> {
    if let Some(text) = &verify.test_root {
        let root = text.parse::<TestSetRoot>();
        return root
            .map(Some)
            .map_err(|error| Failure::usage(error.code(), &error, error.hint()));
    }
    match (&verify.test, Scorecard::inputs(bytes)) {
        (Some(path), Ok(inputs)) => Ok(Some(test_set_root(&test_set(path, &verify.key, &inputs)?))),
        // Without inputs nothing can be compared: the report refuses the file at its first or second step.
        (_, Err(_)) | (None, _) => Ok(None),
    }
}

fn hints(report: &Report<ScoredModel>) -> Vec<&'static str> {
    let failed = report
        .checks()
        .iter()
        .filter(|check| check.state == CheckState::Fail);
    failed.map(|check| scorecard::hint(check.id)).collect()
}

fn claim_json(model: &str, name: &str, root: &TestSetRoot, score: Score) -> Value {
    json!({
        "model_id": model,
        "name": name,
        "test_set_root": root.to_string(),
        "correct": score.correct,
        "total": score.total,
        "accuracy": f64::from(score.correct) / f64::from(score.total.max(1)),
    })
}

fn say_claim(claim: &Value, screen: &Screen) {
    let text = |key: &str| claim[key].as_str().unwrap_or_default().to_owned();
    screen.say(format!("model     {} {}", text("name"), text("model_id")));
    screen.say(format!("test set  {}", text("test_set_root")));
    let percent = claim["accuracy"].as_f64().unwrap_or_default() * 100.0;
    let line = format!("{percent:.2} %, {} of {}", claim["correct"], claim["total"]);
    screen.say(format!("accuracy  {}", screen.ink(Ink::Bold, line)));
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
