//! `haca bench zk --profile`: where bytes, processor time and page faults of a proof go.

use std::collections::BTreeMap;
use std::path::Path;

use haca_zk::VerifyingKey;
use haca_zk::field::EXTENSION_BYTES;
use haca_zk::opening;
use haca_zk::proof::InferenceProof;
use serde_json::{Value, json};

use crate::screen::{Ink, Screen};

/// What the kernel has counted for this process at one moment.
pub(super) struct Moment {
    /// Pages that were not there when they were touched.
    page_faults: u64,
    /// Processor time of each thread: name and thread id, milliseconds.
    threads: BTreeMap<(String, String), f64>,
}

impl Moment {
    fn now() -> Self {
        Self {
            page_faults: page_faults(),
            threads: threads(),
        }
    }
}

/// What several proofs took.
#[derive(Default)]
pub(super) struct Counters {
    /// Of the last proof.
    page_faults: u64,
    /// Of all proofs.
    threads: BTreeMap<(String, String), f64>,
}

impl Counters {
    /// Before a proof.
    pub(super) fn start(&self) -> Moment {
        Moment::now()
    }

    /// After it.
    pub(super) fn stop(&mut self, before: &Moment) {
        let after = Moment::now();
        self.page_faults = after.page_faults.saturating_sub(before.page_faults);
        for (thread, ms) in after.threads {
            let spent = ms - before.threads.get(&thread).copied().unwrap_or_default();
            *self.threads.entry(thread).or_default() += spent;
        }
    }

    /// The counters of `runs` proofs.
    pub(super) fn json(&self, runs: usize) -> Value {
        let runs = runs.max(1) as f64;
        let share = |((name, _), ms): (&(String, String), &f64)| {
            (*ms > 0.0).then(|| json!({ "thread": name, "cpu_ms": ms / runs }))
        };
        json!({
            "page_faults": self.page_faults,
            "threads": self.threads.iter().filter_map(share).collect::<Vec<_>>(),
        })
    }
}

/// The memory of this process before some work, when it is measured.
pub(super) struct Memory(Option<u64>);

impl Memory {
    /// Lets the kernel count the peak anew.
    pub(super) fn now(measured: bool) -> Self {
        let reset = || std::fs::write("/proc/self/clear_refs", "5").ok();
        Self(measured.then(reset).flatten().map(|()| status_bytes("VmRSS:")))
    }

    /// What the work took at its peak, beside the estimate.
    pub(super) fn taken(&self, estimate: u64) -> Value {
        let Some(before) = self.0 else {
            return Value::Null;
        };
        let peak = status_bytes("VmHWM:").saturating_sub(before);
        json!({ "estimate_bytes": estimate, "peak_bytes": peak })
    }
}

/// A number of this process that the kernel gives in KiB, such as the most memory it has held.
pub(super) fn status_bytes(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line
        .and_then(|text| text.trim().split(' ').next())
        .and_then(|text| text.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// The tenth field of the process's status line; the name in the second may hold spaces.
fn page_faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    fields
        .split_whitespace()
        .nth(7)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

fn threads() -> BTreeMap<(String, String), f64> {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return BTreeMap::new();
    };
    let time = |task: &Path| {
        let name = std::fs::read_to_string(task.join("comm")).ok()?.trim().to_owned();
        let schedule = std::fs::read_to_string(task.join("schedstat")).ok()?;
        let ns: f64 = schedule.split_whitespace().next()?.parse().ok()?;
        let id = task.file_name()?.to_string_lossy().into_owned();
        Some(((name, id), ns / 1e6))
    };
    tasks.flatten().filter_map(|task| time(&task.path())).collect()
}

/// Bytes of each part of a proof of `batch` inferences.
pub(super) fn bytes(key: &VerifyingKey, batch: usize, proof: &[u8]) -> Option<Value> {
    let variables = batch.next_power_of_two().trailing_zeros() as usize;
    let proof = InferenceProof::decode_for(key, variables, proof).ok()?;
    let whole = proof.encode().len();
    let size = |opening: &haca_zk::opening::OpeningProof, joined| {
        let mut out = Vec::new();
        opening::encode_into(opening, joined, &mut out);
        out.len()
    };
    let last = size(&proof.opening, proof.joined);
    let (weights, joined) = match proof.joined {
        None => (last, 0),
        Some(_) => (0, last),
    };
    let (mut witness, mut lookups) = (0, 0);
    if let Some(part) = &proof.witness {
        witness = part.opening.as_ref().map_or(0, |opening| size(opening, None));
        let tree = |tree: &haca_zk::fraction::FractionProof| {
            let layers = tree
                .layers
                .iter()
                .map(|layer| 2 * layer.rounds.len() + layer.ends.len());
            (tree.root.len() + layers.sum::<usize>()) * EXTENSION_BYTES
        };
        lookups = tree(&part.lookups) + tree(&part.tables);
    }
    let commit = proof.witness.as_ref().map_or(0, |part| part.root.len());
    Some(json!({
        "commit": commit,
        "lookups": lookups,
        "sumchecks": whole - last - witness - lookups - commit,
        "witness_opening": witness,
        "weight_opening": weights,
        "joined_opening": joined,
    }))
}

/// The stages in the order of a proof, and the parts of its bytes that each makes.
pub(super) const STAGES: [(&str, &[&str]); 9] = [
    ("infer", &[]),
    ("witness", &[]),
    ("commit", &["commit"]),
    ("lookups", &["lookups"]),
    ("folds", &[]),
    ("sumchecks", &["sumchecks"]),
    (
        "openings",
        &["witness_opening", "weight_opening", "joined_opening"],
    ),
    ("encode", &[]),
    ("release", &[]),
];

/// Prints a profile for a person. Times are medians; folds and sumchecks take turns.
pub(super) fn say(result: &Value, screen: &Screen) {
    let profile = &result["profile"];
    let number = |value: &Value| value.as_f64().unwrap_or_default();
    screen.say(screen.ink(Ink::Bold, "Profile of one proof"));
    for (stage, parts) in STAGES {
        let time = match stage {
            "infer" => number(&result["infer_ms"]),
            _ => number(&result["stages"][format!("{stage}_ms")]),
        };
        let size = |part: &&str| profile["bytes"][*part].as_u64().unwrap_or_default();
        let bytes: u64 = parts.iter().map(size).sum();
        screen.say(format!("{stage:<24}{time:>10.3} ms{bytes:>10} bytes"));
        for part in parts.iter().filter(|_| parts.len() > 1) {
            let name = format!("  {}", part.replace('_', " "));
            screen.say(format!(
                "{name:<37}{:>10} bytes",
                number(&profile["bytes"][*part])
            ));
        }
    }
    for thread in profile["threads"].as_array().into_iter().flatten() {
        screen.say(format!(
            "{:<24}{:>10.3} ms of processor time, mean",
            thread["thread"].as_str().unwrap_or_default(),
            number(&thread["cpu_ms"])
        ));
    }
    screen.say(format!(
        "{:<24}{:>10}, of the last proof",
        "page faults",
        number(&profile["page_faults"])
    ));
    for (work, name) in [("registration", "registration_memory"), ("proof", "proof_memory")] {
        let memory = &profile[name];
        if memory.is_object() {
            screen.say(format!(
                "{:<24}{:>10.1} MB more resident at its peak, estimated {:.1} MB",
                format!("memory of {work}"),
                number(&memory["peak_bytes"]) / 1e6,
                number(&memory["estimate_bytes"]) / 1e6
            ));
        }
    }
}
