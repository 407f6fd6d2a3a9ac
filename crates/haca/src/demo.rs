//! `haca demo`: one inference from request to verified settlement, on a network of its own.

mod files;
mod ledgered;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use haca_verify::ZkChecker;
use haca_wire::bundle::Bundle;
use haca_wire::state::Supply;
use haca_wire::{AssetId, Decode, Evidence, ModelId, proof_context};
use haca_zk::VerifyingKey;
use serde_json::{Value, json};

use crate::args::Demo;
use crate::demo::files::{Files, Scratch};
use crate::demo::ledgered::Ledgered;
use crate::failure::{Exit, Failure};
use crate::infer::{self, Terms};
use crate::network::{Network, Process, free_address};
use crate::sample::{self, Sample};
use crate::screen::{Ink, Screen};
use crate::session::{Exchange, Session, client};
use crate::{setup, verify};

/// What the proof took.
struct ProofFigures {
    bytes: u64,
    prove_ms: f64,
    verify_ms: f64,
    bits: f64,
    union_bits: f64,
}

/// Runs the command.
pub(crate) fn run(demo: &Demo, screen: &Screen) -> Result<u8, Failure> {
    let mut scratch = Scratch::new(demo)?;
    let (network, processes) = start(&scratch.dir, demo.keep, screen)?;
    let sample = sample::digit(demo.row)?;
    screen.say("");
    screen.say(screen.ink(Ink::Bold, "A handwritten digit that the model has not seen:"));
    if let Some(picture) = sample.picture(screen) {
        screen.say(picture.trim_end());
    }
    let session = Session::open(&network)?;
    let terms = Terms::of(&session.model(None)?, "zk")?;
    let files = Files::write(&network)?;
    let story = tell(&session, &terms, &sample, &files, screen)?;
    let verified = story["verification"]["outcome"] == "verified";
    scratch.told = true;
    screen.object(&story);
    next_steps(&network, &files, demo, verified, screen);
    if demo.keep {
        processes.into_iter().for_each(Process::let_go);
    }
    Ok(if verified { 0 } else { Exit::Rejected as u8 })
}

fn start(dir: &Path, keep: bool, screen: &Screen) -> Result<(Network, Vec<Process>), Failure> {
    screen.note("Starting a network: dev engine (single process, not BFT), 4 validator keys");
    let step = screen.step("keys and genesis");
    let mut network = setup::create(dir, "dev")?;
    step.done(&network.file.trust);
    let (node, inference) = (free_address()?, free_address()?);
    network.file.node_url = format!("http://{node}");
    network.file.inference_url = format!("http://{inference}");
    network.save()?;
    let step = screen.step("full node");
    let first = network.start_node(&node, !keep)?;
    step.done(&network.file.node_url);
    let step = screen.step("inference node: model registered, bond posted");
    let second = network.start_inference(&inference, !keep)?;
    step.done(&network.file.inference_url);
    Ok((network, vec![first, second]))
}

/// Order, answer, proof, settlement, verification; each is shown as it comes, and returned as JSON.
fn tell(
    session: &Session,
    terms: &Terms,
    sample: &Sample,
    files: &Files,
    screen: &Screen,
) -> Result<Value, Failure> {
    let exchange = infer::exchange(session, terms, sample, screen)?;
    let channel = session
        .node
        .channel(exchange.order.value.channel)
        .map_err(client)?
        .ok_or_else(|| {
            Failure::new(
                Exit::Failure,
                "cli.channel_gone",
                "the channel is not on chain",
                "try again",
            )
        })?;
    let genesis_supply = opg(session)?.issued;
    let answer = verify::class_of(&exchange.answered.response);
    say_answer(&exchange, answer, sample, session, screen);
    let settled = infer::settle(session, &exchange, screen)?;
    let settlement = Ledgered::read(session, &channel, &settled)?;
    infer::bundle(session, &exchange, &settled, &files.bundle, screen)?;
    let proof = measure(session, &exchange, &files.bundle)?;
    say_proof(&proof, screen);
    settlement.say(screen);
    let verification = verify_apart(files, screen)?;
    Ok(json!({
        "answer": answer,
        "label": sample.label,
        "latency_ms": exchange.answered.latency_ms,
        "model_id": terms.model.to_string(),
        "order": verify::order_json(&exchange.order, &session.domain),
        "receipt": verify::receipt_json(&exchange.answered.receipt, &session.domain),
        "proof": {
            "bytes": proof.bytes,
            "prove_ms": proof.prove_ms,
            "verify_ms": proof.verify_ms,
            "security_bits": proof.bits,
            "security_bits_union": proof.union_bits,
        },
        "settlement": settlement.json(&settled),
        "supply": {
            "genesis": genesis_supply.to_string(),
            "before": settlement.before.opg.existing().to_string(),
            "after": settlement.after.opg.existing().to_string(),
            "burned_total": settlement.after.opg.burned.to_string(),
        },
        "verification": verification,
        "files": { "genesis": files.genesis, "trust": files.trust, "bundle": files.bundle },
    }))
}

fn say_answer(exchange: &Exchange, answer: Option<i64>, sample: &Sample, session: &Session, screen: &Screen) {
    let domain = &session.domain;
    let answer = answer.map_or("?".to_owned(), |answer| answer.to_string());
    let label = sample
        .label
        .map_or("unknown".to_owned(), |label| label.to_string());
    screen.say("");
    screen.say(format!(
        "{}  {} (the label says {label}), after {:.1} ms",
        screen.ink(Ink::Bold, "Answer    "),
        screen.ink(Ink::Green, &answer),
        exchange.answered.latency_ms
    ));
    let order = &exchange.order.value;
    screen.say(format!("  order     {}", order.hash(domain)));
    screen.say(format!(
        "            sequence {}, at most {} for it, signed by the payer",
        order.sequence, order.max_fee
    ));
    let receipt = &exchange.answered.receipt.value;
    screen.say(format!("  receipt   {}", receipt.hash(domain)));
    screen.say(format!(
        "            fee {}, signed by {}",
        receipt.fee, receipt.signer
    ));
}

fn opg(session: &Session) -> Result<Supply, Failure> {
    Ok(session
        .node
        .supply(AssetId::OPG)
        .map_err(client)?
        .unwrap_or_default())
}

/// Times the verification of the proof in the bundle, as a full node does it.
fn measure(session: &Session, exchange: &Exchange, bundle: &Path) -> Result<ProofFigures, Failure> {
    let bytes = std::fs::read(bundle).map_err(|error| Failure::file(bundle, "read", &error))?;
    let unreadable =
        |reason: &str| Failure::new(Exit::Failure, "cli.bundle", reason, "this is a defect: report it");
    let bundle = Bundle::decode_all(&bytes).map_err(|error| unreadable(&error.to_string()))?;
    let model: ModelId = exchange.order.value.model;
    let record = session
        .node
        .model(model)
        .map_err(client)?
        .ok_or_else(|| unreadable("no such model"))?;
    let key =
        VerifyingKey::decode_all(&record.verifying_key).map_err(|error| unreadable(&error.to_string()))?;
    let Evidence::Zk { inferences, proof } = &bundle.evidence else {
        return Err(unreadable("the evidence is not a proof"));
    };
    let context = proof_context(&session.domain, &bundle.group);
    let start = Instant::now();
    ZkChecker
        .settlement(&record.verifying_key, &context, inferences, proof)
        .map_err(unreadable)?;
    let verify_ms = start.elapsed().as_secs_f64() * 1e3;
    let budget = key.security(inferences.len());
    let order = exchange.order.value.hash(&session.domain);
    let status = session.inference.receipt(order).map_err(client)?;
    let took = status.and_then(|status| status.proof);
    Ok(ProofFigures {
        bytes: proof.len() as u64,
        prove_ms: took.map_or(0.0, |took| took.prove_ms),
        verify_ms,
        bits: budget.round_by_round_bits,
        union_bits: budget.union_bits,
    })
}

fn say_proof(proof: &ProofFigures, screen: &Screen) {
    screen.say(screen.ink(Ink::Bold, "Proof"));
    screen.say(format!(
        "  {:.1} KB, made in {:.1} ms, verified in {:.2} ms; {:.1} bits round by round, {:.1} for the union",
        proof.bytes as f64 / 1000.0,
        proof.prove_ms,
        proof.verify_ms,
        proof.bits,
        proof.union_bits
    ));
}

/// Verifies the bundle in a process that has neither model nor network: of this program it gets the `verify`
/// command, an empty environment and, where the system lets it, a network namespace without any interface.
fn verify_apart(files: &Files, screen: &Screen) -> Result<Value, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(
            Exit::Failure,
            "cli.spawn",
            error,
            "check limits on processes and memory",
        )
    };
    let program = std::env::current_exe().map_err(failed)?;
    let isolate = Command::new("unshare")
        .args(["--map-root-user", "--net", "true"])
        .output();
    let isolated = isolate.is_ok_and(|output| output.status.success());
    let mut command = if isolated {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net"]).arg(&program);
        command
    } else {
        Command::new(&program)
    };
    let place = if isolated { "without network" } else { "of its own" };
    screen.say(screen.ink(
        Ink::Bold,
        format!("Verification, in a process {place}, from the genesis hash and the bundle"),
    ));
    command
        .arg("verify")
        .arg(&files.bundle)
        .args(["--trust", &files.genesis_hash])
        .env_remove("HACA_URL");
    if !screen.is_json() {
        command.status().map_err(failed)?;
    }
    let output = command.args(["--json", "--quiet"]).output().map_err(failed)?;
    serde_json::from_slice(&output.stdout).map_err(|error| {
        Failure::new(
            Exit::Failure,
            "cli.verify_output",
            error,
            "this is a defect: report it",
        )
    })
}

fn next_steps(network: &Network, files: &Files, demo: &Demo, verified: bool, screen: &Screen) {
    if !verified {
        return;
    }
    let haca = program();
    screen.say("");
    screen.say(screen.ink(Ink::Bold, "What to try next"));
    let next = |what: &str, command: String| {
        screen.say(screen.ink(Ink::Dim, format!("  # {what}")));
        screen.say(format!("  {haca} {command}"));
    };
    let bundle = files.bundle.display();
    next(
        "the same check again; change a byte of the file and it is refused",
        format!("verify {bundle} --trust {}", files.genesis_hash),
    );
    match &demo.data {
        Some(dir) if demo.keep => {
            let dir = dir.display();
            next(
                "another digit on this network",
                format!("infer --data {dir} --row 3"),
            );
            next("where every coin is", format!("supply --data {dir}"));
            screen.say(format!(
                "The network runs on; its full node is {}.",
                network.file.node_url
            ));
        }
        _ => {
            next(
                "a network that stays, to order from with `infer`",
                "up".to_owned(),
            );
            next(
                "a model of your own",
                "model import model.onnx --calibration samples.npz --out model.haca".to_owned(),
            );
        }
    }
}

/// This program as the user called it.
fn program() -> String {
    let called = std::env::args_os().next().unwrap_or_else(|| "haca".into());
    called.to_string_lossy().into_owned()
}
