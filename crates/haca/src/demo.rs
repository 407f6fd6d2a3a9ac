//! `haca demo`: one inference from request to verified settlement, on a network of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use haca_client::SettledReceipt;
use haca_verify::ZkChecker;
use haca_wire::bundle::Bundle;
use haca_wire::state::{ChannelRecord, Supply};
use haca_wire::{Address, Amount, AssetId, Decode, Evidence, ModelId, proof_context};
use haca_zk::VerifyingKey;
use serde_json::{Value, json};

use crate::args::Demo;
use crate::failure::{Exit, Failure};
use crate::infer::{self, Terms};
use crate::network::{Network, Process, free_address};
use crate::sample::{self, Sample};
use crate::screen::{Ink, Screen};
use crate::session::{Exchange, Session, client, write};
use crate::state::decimal;
use crate::{setup, verify};

/// Balances around the settlement.
struct Books {
    payout: Amount,
    opg: Supply,
}

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
    let scratch = Scratch::new(demo)?;
    let (network, processes) = start(&scratch.dir, demo.keep, screen)?;
    let sample = sample::digit(demo.row)?;
    screen.say("");
    screen.say(screen.ink(Ink::Bold, "A handwritten digit that the model has not seen:"));
    if let Some(picture) = sample.picture(screen) {
        screen.say(picture.trim_end());
    }
    let session = Session::open(
        &network.user(),
        &network.file.node_url,
        &network.file.inference_url,
    )?;
    let terms = Terms::of(&session.model(None)?, "zk")?;
    let story = tell(&session, &terms, &sample, &network, screen)?;
    let verified = story["verification"]["outcome"] == "verified";
    screen.object(&story);
    next_steps(&network, demo, verified, screen);
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
    let first = network.start_node(&node, keep)?;
    step.done(&network.file.node_url);
    let step = screen.step("inference node: model registered, bond posted");
    let second = network.start_inference(&inference, keep)?;
    step.done(&network.file.inference_url);
    Ok((network, vec![first, second]))
}

/// Order, answer, proof, settlement, verification; each is shown as it comes, and returned as JSON.
fn tell(
    session: &Session,
    terms: &Terms,
    sample: &Sample,
    network: &Network,
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
    let path = exchange.dir.join("bundle.haca");
    infer::bundle(session, &exchange, &settled, &path, screen)?;
    let proof = measure(session, &exchange, &path)?;
    say_proof(&proof, screen);
    settlement.say(screen);
    let trust_path = exchange.dir.join("trust.txt");
    write(&trust_path, format!("{}\n", network.file.trust).as_bytes())?;
    let verification = verify_apart(&path, &network.file.trust, screen)?;
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
        "files": { "genesis": network.genesis(), "trust": trust_path, "bundle": path },
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

/// What the ledger says before and after the block that settled the receipt.
struct Ledgered {
    before: Books,
    after: Books,
    gas: u64,
}

impl Ledgered {
    /// Reads both states by height, so that nothing before or after the block is counted.
    fn read(session: &Session, channel: &ChannelRecord, settled: &SettledReceipt) -> Result<Self, Failure> {
        let payout = settled.settlement.payout;
        let height = settled.height;
        let earlier = haca_wire::Height(height.0.saturating_sub(1));
        let included = session.node.transaction(settled.settlement.tx).map_err(client)?;
        Ok(Self {
            before: Books::at(session, payout, channel.asset, earlier)?,
            after: Books::at(session, payout, channel.asset, height)?,
            gas: included.map_or(0, |included| included.gas_used),
        })
    }

    fn burned(&self) -> Amount {
        self.after
            .opg
            .burned
            .checked_sub(self.before.opg.burned)
            .unwrap_or_default()
    }

    fn base_fee(&self) -> u128 {
        self.burned().0.checked_div(u128::from(self.gas)).unwrap_or(0)
    }

    fn json(&self, settled: &SettledReceipt) -> Value {
        json!({
            "tx": settled.settlement.tx.to_string(),
            "height": settled.height.0,
            "fee": settled.settlement.fee.to_string(),
            "payout_before": self.before.payout.to_string(),
            "payout_after": self.after.payout.to_string(),
            "gas": self.gas,
            "base_fee": self.base_fee().to_string(),
            "burned": self.burned().to_string(),
        })
    }

    fn say(&self, screen: &Screen) {
        let fee = Amount(self.after.payout.0.saturating_sub(self.before.payout.0));
        screen.say(screen.ink(Ink::Bold, "Settlement"));
        screen.say(format!(
            "  fee       {} DUSD, whole, to the inference node",
            decimal(fee.0, 6)
        ));
        screen.say(format!(
            "  burned    {} OPG = {} gas x {} base fee",
            decimal(self.burned().0, 9),
            self.gas,
            self.base_fee()
        ));
        screen.say(format!(
            "  supply    {} OPG before",
            decimal(self.before.opg.existing().0, 9)
        ));
        screen.say(format!(
            "            {} OPG after",
            decimal(self.after.opg.existing().0, 9)
        ));
    }
}

impl Books {
    fn at(
        session: &Session,
        payout: Address,
        asset: AssetId,
        height: haca_wire::Height,
    ) -> Result<Self, Failure> {
        let balance = haca_wire::state::key::balance(payout, asset);
        let supply = haca_wire::state::key::supply(AssetId::OPG);
        let payout = session.node.record_at(&balance, height).map_err(client)?;
        let opg: Option<Supply> = session.node.record_at(&supply, height).map_err(client)?;
        Ok(Self {
            payout: payout.unwrap_or_default(),
            opg: opg.unwrap_or_default(),
        })
    }
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
fn verify_apart(bundle: &Path, trust: &str, screen: &Screen) -> Result<Value, Failure> {
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
        .arg(bundle)
        .args(["--trust", trust])
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

fn next_steps(network: &Network, demo: &Demo, verified: bool, screen: &Screen) {
    if !verified {
        return;
    }
    screen.say("");
    screen.say(screen.ink(Ink::Bold, "What to try next"));
    match &demo.data {
        Some(dir) if demo.keep => {
            let dir = dir.display();
            screen.say(format!(
                "  haca infer --data {dir} --row 3     another digit on this network"
            ));
            screen.say(format!(
                "  haca supply --data {dir}            where every coin is"
            ));
            screen.say(format!(
                "  the network runs on; its full node is {}",
                network.file.node_url
            ));
        }
        _ => {
            screen.say("  haca demo --data DIR --keep     keep the files and the network");
            screen.say("  haca up                         a network that stays");
            screen.say("  haca model import model.onnx --calibration x.npz --out model.haca");
        }
    }
}

/// The demo's directory; removed at the end when nobody named it.
struct Scratch {
    dir: PathBuf,
    temporary: bool,
}

impl Scratch {
    fn new(demo: &Demo) -> Result<Self, Failure> {
        let Some(dir) = &demo.data else {
            let dir = std::env::temp_dir().join(format!("haca-demo-{}", std::process::id()));
            return Ok(Self { dir, temporary: true });
        };
        let occupied = std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
        if occupied {
            return Err(Failure::usage(
                "cli.not_empty",
                format!("{} is not empty", dir.display()),
                "name another directory; `haca up --data` continues a network",
            ));
        }
        Ok(Self {
            dir: dir.clone(),
            temporary: false,
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}
