//! `haca bench`. `zk`: one model through quantisation, registration, inference, proof and verification, in medians.

mod chain;
mod disk;
mod inference;
mod ledger;
mod light;
mod profile;

use std::time::Instant;

use haca_onnx::{fidelity, quantise_model, quantise_sample};
use haca_prover::{Execution, ProvingKey, Registration, Stages};
use haca_zk::Statement;
use serde_json::{Value, json};

use crate::args::{Bench, BenchZk};
use crate::bench::profile::{Counters, Memory};
use crate::failure::{Exit, Failure};
use crate::model::{fidelity_json, read_onnx};
use crate::proof::check_batch;
use crate::sample::{onnx, read_set};
use crate::screen::{Ink, Screen, Step};
use crate::work::{Work, prover};

/// Dispatches `haca bench`.
pub(crate) fn run(command: &Bench, screen: &Screen) -> Result<u8, Failure> {
    match command {
        Bench::Zk(bench) => zk(bench, screen),
        Bench::Ledger(bench) => ledger::run(bench, screen),
        Bench::Light(bench) => light::run(bench, screen),
        Bench::Chain(bench) => chain::run(bench, screen),
        Bench::Disk(bench) => disk::run(bench, screen),
    }
}

/// Milliseconds of what was repeated.
#[derive(Default)]
struct Times {
    prove: Vec<f64>,
    verify: Vec<f64>,
    stages: Vec<Stages>,
    /// Threads, page faults and memory of the proofs; with `--profile`.
    counted: Value,
}

fn zk(bench: &BenchZk, screen: &Screen) -> Result<u8, Failure> {
    if bench.batch == 0 || bench.runs == 0 {
        return Err(Failure::usage(
            "cli.bench",
            "--batch and --runs are at least 1",
            "leave them out",
        ));
    }
    let float = read_onnx(&bench.onnx, &bench.quantisation.reading())?;
    let specs = float.inputs();
    let samples = read_set(&bench.input, &specs)?.samples;
    let calibration = match &bench.calibration {
        Some(path) => read_set(path, &specs)?.samples,
        None => samples.clone(),
    };
    let step = screen.step("quantise");
    let start = Instant::now();
    let options = bench.quantisation.options(None);
    let (model, report) = quantise_model(&float, &calibration, &options).map_err(onnx)?;
    let quantise_ms = ms(start);
    step.done("");
    let measured = match &bench.test {
        None => None,
        Some(path) => {
            let set = read_set(path, &specs)?;
            Some(fidelity(&float, &model, &set.samples, set.labels.as_deref()).map_err(onnx)?)
        }
    };
    let work = Work::start(&bench.memory, screen)?;
    let estimate = ProvingKey::registration_memory_bytes(&model.manifest).map_err(prover)?;
    let before = Memory::now(bench.profile);
    let start = Instant::now();
    let registration = work.register(model)?;
    let register_ms = ms(start);
    let registration_memory = before.taken(estimate);
    check_batch(&registration.verifying_key, bench.batch)?;
    let key = &registration.verifying_key;
    let inputs: Vec<Vec<haca_wire::Tensor>> = samples
        .iter()
        .cycle()
        .take(bench.batch)
        .map(|sample| quantise_sample(key.manifest().graph.inputs(), sample))
        .collect::<Result<_, _>>()
        .map_err(onnx)?;
    let step = screen.step("infer");
    let inference = inference::measure(&registration.proving_key, &inputs, bench.runs)?;
    step.done(&format!("{} runs", inference.runs));
    let mut step = screen.step("prove, verify");
    let (times, proof) = repeat(bench, &registration, &inputs, &work, &mut step)?;
    let bytes = proof.len();
    step.done(&format!("{} runs", bench.runs));
    let budget = key.security(bench.batch);
    let stage = |of: fn(&Stages) -> f64| median(times.stages.iter().map(of).collect());
    let mut result = json!({
        "params": report.params,
        "macs": report.macs,
        "batch": bench.batch,
        "runs": bench.runs,
        "cpu": cpu(),
        "security_bits": budget.round_by_round_bits,
        "security_bits_union": budget.union_bits,
        "regime": budget.regime,
        "quantise_ms": quantise_ms,
        "register_ms": register_ms,
        "infer_ms": inference.ms,
        "infer_runs": inference.runs,
        "prove_ms": median(times.prove.clone()),
        "verify_ms": median(times.verify.clone()),
        "proof_bytes": bytes,
        "peak_rss_bytes": profile::status_bytes("VmHWM:"),
        "stages": {
            "witness_ms": stage(|s| s.witness),
            "commit_ms": stage(|s| s.commit),
            "lookups_ms": stage(|s| s.lookups),
            "folds_ms": stage(|s| s.folds),
            "sumchecks_ms": stage(|s| s.sumchecks),
            "openings_ms": stage(|s| s.openings),
            "encode_ms": stage(|s| s.encode),
            "release_ms": stage(|s| s.release),
        },
        "fidelity": measured.as_ref().map(fidelity_json),
    });
    if bench.profile {
        result["profile"] = times.counted.clone();
        result["profile"]["registration_memory"] = registration_memory;
        result["profile"]["bytes"] = profile::bytes(key, bench.batch, &proof).unwrap_or_default();
    }
    screen.object(&result);
    say(&result, screen);
    if bench.profile {
        profile::say(&result, screen);
    }
    Ok(0)
}

/// The figures for a person.
fn say(result: &Value, screen: &Screen) {
    let number = |key: &str| result[key].as_f64().unwrap_or_default();
    let line = |name: &str, text: String| screen.say(format!("{name:<12}{text}"));
    let time = |name: &str, ms: f64| line(name, format!("{ms:>10.3} ms"));
    line("machine", result["cpu"].as_str().unwrap_or_default().to_owned());
    line(
        "model",
        format!(
            "{} parameters, {} multiply-accumulates",
            result["params"], result["macs"]
        ),
    );
    line(
        "security",
        format!(
            "{:.1} bits round by round, {:.1} for the union ({})",
            number("security_bits"),
            number("security_bits_union"),
            result["regime"].as_str().unwrap_or_default()
        ),
    );
    screen.say(screen.ink(
        Ink::Bold,
        format!(
            "{} in one proof, medians of {} runs",
            result["batch"], result["runs"]
        ),
    ));
    time("quantise", number("quantise_ms"));
    time("register", number("register_ms"));
    time("infer", number("infer_ms"));
    time("prove", number("prove_ms"));
    for (stage, _) in profile::STAGES.iter().skip(1) {
        let ms = &result["stages"][format!("{stage}_ms")];
        time(&format!("  {stage}"), ms.as_f64().unwrap_or_default());
    }
    time("verify", number("verify_ms"));
    line("proof", format!("{:>10.1} KB", number("proof_bytes") / 1e3));
    line(
        "memory",
        format!("{:>10.1} MB at most", number("peak_rss_bytes") / 1e6),
    );
    let fidelity = &result["fidelity"];
    if fidelity.is_object() {
        line(
            "fidelity",
            format!(
                "{:>10.2} % argmax agrees with float on {} rows",
                fidelity["argmax_agree"].as_f64().unwrap_or_default() * 100.0,
                fidelity["rows"]
            ),
        );
    }
}

/// One round to warm up, then the counted ones. Verification is from proof bytes and key, on one thread.
fn repeat(
    bench: &BenchZk,
    registration: &Registration,
    inputs: &[Vec<haca_wire::Tensor>],
    work: &Work<'_>,
    step: &mut Step<'_>,
) -> Result<(Times, Vec<u8>), Failure> {
    let (mut times, mut last) = (Times::default(), Vec::new());
    let key = &registration.proving_key;
    let mut counters = Counters::default();
    let mut memory = Value::Null;
    for round in 0..=bench.runs {
        let before = Memory::now(bench.profile && round == 0);
        let executions = inference::run(key, inputs)?;
        let counted = (bench.profile && round > 0).then(|| counters.start());
        // Progress is drawn of the first proof only: the others are timed.
        let drawn = (round == 0).then_some(&mut *step);
        let start = Instant::now();
        let (proof, stages) = work.prove(key, [0; 32], &executions, drawn)?;
        let prove_ms = ms(start);
        if let Some(before) = counted {
            counters.stop(&before);
        }
        if round == 0 {
            memory = before.taken(key.memory_bytes(inputs.len()));
        }
        let verify_ms = verify(registration, executions, &proof)?;
        last = proof;
        if round > 0 {
            times.prove.push(prove_ms);
            times.verify.push(verify_ms);
            times.stages.push(stages);
        }
    }
    times.counted = counters.json(bench.runs);
    times.counted["proof_memory"] = memory;
    Ok((times, last))
}

/// Verifies a proof, in milliseconds.
fn verify(registration: &Registration, executions: Vec<Execution>, proof: &[u8]) -> Result<f64, Failure> {
    let inferences: Vec<_> = executions
        .into_iter()
        .map(|execution| execution.inference)
        .collect();
    let statement = Statement {
        context: [0; 32],
        inferences: &inferences,
    };
    let start = Instant::now();
    haca_zk::verify(&registration.verifying_key, &statement, proof)
        .map_err(|error| Failure::new(Exit::Rejected, error.code(), error, "this is a defect: report it"))?;
    Ok(ms(start))
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores", name.trim_start_matches([' ', '\t', ':']))
}
