//! `haca bench ledger`: gas against time, for what blocks are made of.

mod books;
mod crowd;
mod graphs;
mod sweeps;

use haca_ledger::{CheckProof as _, standard_params, usable_gas};
use haca_node::evidence::ZkEvidence;
use haca_onnx::{quantise_model, quantise_sample};
use haca_prover::Registration;
use haca_wire::{
    Address, Amount, AssetId, Encode as _, Evidence, EvidenceKind, Group, Message, ReceiptHash, limit,
    proof_context,
};
use serde_json::{Value, json};

use self::books::{Books, Served, broken};
use super::inference;
use crate::args::BenchLedger;
use crate::bench::{cpu, median};
use crate::failure::Failure;
use crate::model::read_onnx;
use crate::sample::{onnx, read_set};
use crate::screen::Screen;
use crate::work::Work;

/// Orders with their receipts in one batch without proofs.
const PAIRS: u64 = 500;

/// One thing that was timed.
struct Row {
    what: String,
    /// How many of it a block held.
    count: usize,
    /// Gas of the block.
    gas: u64,
    /// Bytes by which the state grows with it, nonces aside, which are forgotten.
    stored_bytes: usize,
    /// Seconds of each execution.
    seconds: Vec<f64>,
}

impl Row {
    fn json(&self) -> Value {
        let seconds = median(self.seconds.clone());
        let least = self.seconds.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.seconds.iter().copied().fold(0.0, f64::max);
        json!({
            "what": self.what,
            "count": self.count,
            "gas": self.gas,
            "stored_bytes": self.stored_bytes,
            "ms": seconds * 1e3,
            "ns_per_gas": seconds * 1e9 / self.gas as f64,
            "per_second": self.count as f64 / seconds,
            "spread": most / least,
        })
    }
}

/// Executes a block of `txs` again and again over the same state; all of it must take effect, or nothing.
fn measure(
    what: String,
    count: usize,
    runs: usize,
    refused: bool,
    block: impl Fn() -> Result<(haca_ledger::BlockOutcome, f64), Failure>,
) -> Result<Row, Failure> {
    let mut row = Row {
        what,
        count,
        gas: 0,
        stored_bytes: 0,
        seconds: Vec::new(),
    };
    for run in 0..=runs {
        let (outcome, seconds) = block()?;
        if let Some(tx) = outcome.txs.iter().find(|tx| tx.refusal.is_some() != refused) {
            return Err(broken(tx.log()));
        }
        row.gas = outcome.gas_used.0;
        row.stored_bytes = books::lasting(&outcome);
        // The first one warms up.
        if run > 0 {
            row.seconds.push(seconds);
        }
    }
    Ok(row)
}

pub(super) fn run(bench: &BenchLedger, screen: &Screen) -> Result<u8, Failure> {
    if bench.runs == 0 || bench.proofs == 0 {
        return Err(Failure::usage(
            "cli.bench_ledger",
            "--runs and --proofs are at least 1",
            "leave them out",
        ));
    }
    let float = read_onnx(&bench.onnx, &bench.quantisation.reading())?;
    let samples = read_set(&bench.input, &float.inputs())?.samples;
    let (model, _) = quantise_model(&float, &samples, &bench.quantisation.options(None)).map_err(onnx)?;
    let work = Work::start(&bench.memory, screen)?;
    let registration = work.register(model)?;
    let key = &registration.verifying_key;
    let evidence = ZkEvidence::default();
    let encoded = key.encode();
    let facts = evidence.facts(&encoded).map_err(broken)?;
    let served = Served {
        id: facts.model,
        units: facts.units,
        outputs: facts.outputs,
    };
    let mut rows = Vec::new();

    rows.push(registering("registration".to_owned(), &registration, bench.runs)?);
    for (what, model) in graphs::all()? {
        rows.push(registering(
            format!("registration: {what}"),
            &work.register(model)?,
            bench.runs,
        )?);
    }
    rows.push(megabyte(&encoded, &evidence, bench.runs)?);

    rows.extend(crowd::rows(bench.runs, &evidence)?);
    rows.extend(sweeps::rows(bench.runs, &evidence)?);

    let mut books = Books::new()?;
    books.open(encoded.clone(), registration.proof.clone(), &evidence)?;
    let usable = usable_gas(&standard_params()).0;
    let transfer = |to: u64| Message::Transfer {
        to: address(to),
        asset: AssetId::OPG,
        amount: Amount(1),
    };
    let one = [books.sent_by_payer(transfer(1))?];
    let each = books.execute(&one, &evidence)?.0.gas_used.0;
    let count = usize::try_from(usable / each).unwrap_or(usize::MAX);
    let transfers = (0..count)
        .map(|to| books.sent_by_payer(transfer(to as u64 + 1)))
        .collect::<Result<Vec<_>, _>>()?;
    rows.push(measure(
        "transfers, a full block".to_owned(),
        count,
        bench.runs,
        false,
        || books.execute(&transfers, &evidence),
    )?);

    let inputs = samples
        .iter()
        .cycle()
        .take(key.max_batch().max(1))
        .map(|sample| quantise_sample(key.manifest().graph.inputs(), sample))
        .collect::<Result<Vec<_>, _>>()
        .map_err(onnx)?;
    let executions = inference::run(&registration.proving_key, &inputs)?;
    let items = (0..PAIRS)
        .map(|sequence| {
            let inference = &executions[sequence as usize % executions.len()].inference;
            books.item(&served, sequence, EvidenceKind::Signed, inference)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let pairs = [books.signed_batch(items)?];
    rows.push(measure(
        "orders with receipts, one batch".to_owned(),
        PAIRS as usize,
        bench.runs,
        false,
        || books.execute(&pairs, &evidence),
    )?);

    let mut batch = 1;
    while batch <= key.max_batch() {
        let mut txs = Vec::new();
        let mut step = screen.step(&format!("prove batches of {batch}"));
        for number in 0..bench.proofs {
            let part = executions.get(..batch).unwrap_or_default();
            let first = (number * batch) as u64;
            let items = part
                .iter()
                .zip(first..)
                .map(|(execution, sequence)| {
                    books.item(&served, sequence, EvidenceKind::Zk, &execution.inference)
                })
                .collect::<Result<Vec<_>, _>>()?;
            let receipts: Vec<ReceiptHash> = items
                .iter()
                .map(|item| item.receipt.value.hash(&books.domain))
                .collect();
            let context = proof_context(&books.domain, &receipts);
            let (proof, _) = work.prove(&registration.proving_key, context, part, Some(&mut step))?;
            let inferences = part.iter().map(|execution| execution.inference.clone()).collect();
            let group = Group {
                items,
                evidence: Evidence::Zk { inferences, proof },
            };
            txs.push(books.sent_by_node(Message::SettleBatch { groups: vec![group] })?);
        }
        step.done(&format!("{} proofs", txs.len()));
        rows.push(measure(
            format!("proofs of {batch}, one a batch"),
            txs.len(),
            bench.runs,
            false,
            || books.execute(&txs, &evidence),
        )?);
        batch *= 8;
    }

    let rows: Vec<Value> = rows.iter().map(Row::json).collect();
    say(&rows, screen);
    screen.object(&json!({
        "cpu": cpu(),
        "threads": 1,
        "runs": bench.runs,
        "registration_gas": key.registration_gas().0,
        "rows": rows,
    }));
    Ok(0)
}

/// A block with one registration, whose key no node has seen before.
fn registering(what: String, registration: &Registration, runs: usize) -> Result<Row, Failure> {
    let mut books = Books::new()?;
    let register = books.sent_by_payer(Message::RegisterModel {
        verifying_key: registration.verifying_key.encode(),
        proof: registration.proof.clone(),
    })?;
    measure(what, 1, runs, false, || {
        books.execute(std::slice::from_ref(&register), &ZkEvidence::default())
    })
}

/// The bytes of a large transaction alone: a registration whose key is known already, with a proof that is none. Its gas is
/// what bytes, one signature and the rest of every transaction cost.
fn megabyte(key: &[u8], evidence: &ZkEvidence, runs: usize) -> Result<Row, Failure> {
    let mut books = Books::new()?;
    let tx = books.sent_by_payer(Message::RegisterModel {
        verifying_key: key.to_vec(),
        proof: vec![1; limit::TX_BYTES - key.len() - 1_000],
    })?;
    let txs = [tx];
    let mut row = measure("megabytes".to_owned(), 1, runs, true, || {
        books.execute(&txs, evidence)
    })?;
    let params = standard_params();
    let bytes: usize = txs.iter().map(Vec::len).sum();
    row.gas = params.gas_flat.0 + params.gas_signature.0 + params.gas_byte.0 * bytes as u64;
    Ok(row)
}

/// An account of its own for each number.
fn address(number: u64) -> Address {
    let mut bytes = [1; 20];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Address(bytes)
}

/// The figures for a person.
fn say(rows: &[Value], screen: &Screen) {
    screen.say(format!("machine     {}, one thread of it", cpu()));
    screen.say(format!(
        "{:<40}{:>8}{:>16}{:>10}{:>12}{:>12}{:>12}{:>8}",
        "a block of", "count", "gas", "stored", "ms", "ns per gas", "per second", "spread"
    ));
    for row in rows {
        let number = |key: &str| row[key].as_f64().unwrap_or_default();
        screen.say(format!(
            "{:<40}{:>8}{:>16}{:>10}{:>12.3}{:>12.3}{:>12.0}{:>8.2}",
            row["what"].as_str().unwrap_or_default(),
            number("count"),
            number("gas"),
            number("stored_bytes"),
            number("ms"),
            number("ns_per_gas"),
            number("per_second"),
            number("spread"),
        ));
    }
}
