//! `haca zk`: proofs without a network.

use std::path::Path;

use haca_wire::codec::put_list;
use haca_wire::{Decode, DecodeError, Encode, Inference, ModelId, Reader, limit};
use haca_zk::{Statement, VerifyingKey};
use serde_json::json;

use crate::args::{Memory, Zk};
use crate::failure::{Exit, Failure};
use crate::model;
use crate::sample;
use crate::screen::{Ink, Screen};
use crate::search;
use crate::session::{remove, replace};
use crate::work::Work;

/// What a proof made here absorbs as context: it settles no receipt.
const CONTEXT: &str = "haca v1 proof outside of any settlement";

/// The public tensors of a proof, as `zk prove` writes them: context, then the inferences.
struct StatementFile {
    context: [u8; 32],
    inferences: Vec<Inference>,
}

impl Encode for StatementFile {
    fn encode_into(&self, out: &mut Vec<u8>) {
        self.context.encode_into(out);
        put_list(out, &self.inferences);
    }
}

impl Decode for StatementFile {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            context: reader.array()?,
            inferences: reader.list("inferences", limit::ITEMS)?,
        })
    }
}

/// Dispatches `haca zk`.
pub(crate) fn run(command: &Zk, screen: &Screen) -> Result<u8, Failure> {
    match command {
        Zk::Prove {
            model,
            input,
            row,
            count,
            out,
            memory,
        } => prove(model, input, (*row, *count), out, &Work::start(memory, screen)?),
        Zk::Verify { dir, model } => verify(dir, model.as_deref(), screen),
        Zk::Search(options) => search::run(options, screen),
        Zk::Params { file, batch, memory } => params(file, *batch, memory, screen),
    }
}

fn prove(
    model: &Path,
    input: &Path,
    (row, count): (usize, usize),
    out: &Path,
    work: &Work<'_>,
) -> Result<u8, Failure> {
    let screen = work.screen;
    let registration = work.register(model::read(model)?)?;
    check_batch(&registration.verifying_key, count)?;
    let inputs = registration.verifying_key.manifest().graph.inputs();
    let specs = model::input_specs(inputs);
    let step = screen.step("infer");
    let mut rows = Vec::new();
    for index in row..row.saturating_add(count) {
        rows.push(sample::read(input, index, &specs)?.tensors(inputs)?);
    }
    let executions = work.infer(&registration.proving_key, rows)?;
    step.done(&format!("{count} inferences"));
    let mut step = screen.step("prove");
    let context = blake3::derive_key(CONTEXT, b"");
    let (proof, _) = work.prove(&registration.proving_key, context, &executions, Some(&mut step))?;
    step.done(&format!("{} bytes", proof.len()));
    let inferences = executions
        .iter()
        .map(|execution| execution.inference.clone())
        .collect();
    let statement = StatementFile { context, inferences };
    std::fs::create_dir_all(out).map_err(|error| Failure::file(out, "create", &error))?;
    // The proof comes last, and an older one goes first: it never stands beside another statement.
    remove(&out.join("proof.bin"))?;
    for (name, bytes) in [
        ("model.vk", registration.verifying_key.encode()),
        ("registration.bin", registration.proof.clone()),
        ("statement.bin", statement.encode()),
        ("proof.bin", proof.clone()),
    ] {
        replace(&out.join(name), &bytes)?;
    }
    let id = registration.verifying_key.model_id().to_string();
    screen.object(&json!({
        "model_id": id,
        "inferences": count,
        "proof_bytes": proof.len(),
        "dir": out,
    }));
    screen.say(format!("model   {id}"));
    screen.say(format!(
        "proof   {} ({} bytes)",
        out.join("proof.bin").display(),
        proof.len()
    ));
    screen.say(format!(
        "check it with: haca zk verify {} --model {id}",
        out.display()
    ));
    Ok(0)
}

fn verify(dir: &Path, wanted: Option<&str>, screen: &Screen) -> Result<u8, Failure> {
    let key: VerifyingKey = decode(&dir.join("model.vk"))?;
    let statement: StatementFile = decode(&dir.join("statement.bin"))?;
    let proof = read(&dir.join("proof.bin"), limit::PROOF_BYTES)?;
    let wanted: Option<ModelId> = wanted
        .map(|text| {
            text.parse()
                .map_err(|error| Failure::usage("cli.model_id", error, "0x and 64 digits"))
        })
        .transpose()?;
    let rejection = match wanted {
        Some(expected) if expected != key.model_id() => Some((
            "zk.other_model",
            format!("the key is of model {}, expected {expected}", key.model_id()),
        )),
        _ => {
            let claim = Statement {
                context: statement.context,
                inferences: &statement.inferences,
            };
            haca_zk::verify(&key, &claim, &proof)
                .err()
                .map(|error| (error.code(), error.to_string()))
        }
    };
    let budget = key.security(statement.inferences.len());
    screen.object(&json!({
        "outcome": if rejection.is_none() { "verified" } else { "rejected" },
        "model_id": key.model_id().to_string(),
        "inferences": statement.inferences.len(),
        "security_bits": budget.round_by_round_bits,
        "security_bits_union": budget.union_bits,
        "code": rejection.as_ref().map(|(code, _)| code),
        "reason": rejection.as_ref().map(|(_, reason)| reason),
    }));
    match rejection {
        None => {
            screen.say(format!(
                "{}  {} inferences of model {}, {:.1} bits",
                screen.ink(Ink::Green, "verified"),
                statement.inferences.len(),
                key.model_id(),
                budget.union_bits
            ));
            Ok(0)
        }
        Some((code, reason)) => {
            screen.say(format!("{}  {reason} [{code}]", screen.ink(Ink::Red, "rejected")));
            Ok(Exit::Rejected as u8)
        }
    }
}

fn params(file: &Path, batch: usize, memory: &Memory, screen: &Screen) -> Result<u8, Failure> {
    let key = match decode::<VerifyingKey>(file) {
        Ok(key) => key,
        Err(_) => {
            let model = model::read(file)?;
            Work::start(memory, screen)?.register(model)?.verifying_key
        }
    };
    check_batch(&key, batch)?;
    let budget = key.security(batch);
    screen.object(&json!({
        "model_id": key.model_id().to_string(),
        "batch": batch,
        "max_batch": key.max_batch(),
        "regime": budget.regime,
        "security_bits": budget.round_by_round_bits,
        "security_bits_union": budget.union_bits,
        "terms": budget.terms.iter().map(|(name, bits)| json!({ "name": name, "bits": bits })).collect::<Vec<_>>(),
        "verification_gas": key.verification_gas(batch).0,
        "proof_bytes_bound": key.proof_bytes_bound(batch),
        "verifying_key_bytes": key.encode().len(),
    }));
    screen.say(format!("model   {}", key.model_id()));
    screen.say(format!("batch   {batch} of at most {}", key.max_batch()));
    screen.say(format!(
        "gas     {}, known before verification",
        key.verification_gas(batch)
    ));
    screen.say(format!("proof   at most {} bytes", key.proof_bytes_bound(batch)));
    screen.say(screen.ink(Ink::Bold, format!("security ({})", budget.regime)));
    for (name, bits) in &budget.terms {
        screen.say(format!("  {name:<44} {bits:>7.1} bits"));
    }
    screen.say(format!(
        "  {:<44} {:>7.1} bits",
        "smallest term (round by round)", budget.round_by_round_bits
    ));
    screen.say(format!(
        "  {:<44} {:>7.1} bits",
        "union of all terms", budget.union_bits
    ));
    Ok(0)
}

/// Refuses a batch that no proof covers.
pub(crate) fn check_batch(key: &VerifyingKey, batch: usize) -> Result<(), Failure> {
    if batch > 0 && batch <= key.max_batch() {
        return Ok(());
    }
    Err(Failure::usage(
        "cli.batch",
        format!("a proof covers 1 to {} inferences, not {batch}", key.max_batch()),
        "prove fewer at once",
    ))
}

fn decode<T: Decode>(path: &Path) -> Result<T, Failure> {
    let bytes = read(path, limit::BUNDLE_BYTES)?;
    T::decode_all(&bytes).map_err(|error| {
        Failure::usage(
            error.code(),
            format!("{}: {error}", path.display()),
            "`haca zk prove` writes these files",
        )
    })
}

/// Reads a file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let failed = |error: std::io::Error| Failure::file(path, "read", &error);
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() > limit {
        return Err(Failure::usage(
            "cli.file_too_long",
            format!("{} is longer than {limit} bytes", path.display()),
            "check that it is the right file",
        ));
    }
    Ok(bytes)
}
