//! `haca bench zk --profile`: where bytes, processor time and page faults of a proof go.

use std::collections::BTreeMap;
use std::path::Path;

use haca_zk::VerifyingKey;
use haca_zk::field::EXTENSION_BYTES;
use haca_zk::opening;
use haca_zk::proof::InferenceProof;
use serde_json::{Value, json};

use crate::screen::{Ink, Screen};

/// What the kernel has counted for this process so far.
pub(super) struct Counters {
    /// Pages that were not there when they were touched.
    page_faults: u64,
    /// Processor time of each thread: name and thread id, milliseconds.
    threads: BTreeMap<(String, String), f64>,
}

impl Counters {
    pub(super) fn now() -> Self {
        Self {
            page_faults: page_faults(),
            threads: threads(),
        }
    }

    /// What `runs` rounds since `before` took, each.
    pub(super) fn since(&self, before: &Self, runs: usize) -> Value {
        let runs = runs.max(1) as f64;
        let share = |(key, ms): (&(String, String), &f64)| {
            let spent = ms - before.threads.get(key).copied().unwrap_or_default();
            (spent > 0.0).then(|| json!({ "thread": key.0, "cpu_ms": spent / runs }))
        };
        json!({
            "page_faults": (self.page_faults.saturating_sub(before.page_faults)) as f64 / runs,
            "threads": self.threads.iter().filter_map(share).collect::<Vec<_>>(),
        })
    }
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
    let size = |opening: &haca_zk::opening::OpeningProof| {
        let mut out = Vec::new();
        opening::encode_into(opening, &mut out);
        out.len()
    };
    let weights = size(&proof.opening);
    let (mut witness, mut lookups) = (0, 0);
    if let Some(part) = &proof.witness {
        witness = size(&part.opening);
        let tree = |tree: &haca_zk::fraction::FractionProof| {
            let layers = tree
                .layers
                .iter()
                .map(|layer| 2 * layer.rounds.len() + layer.ends.len());
            (tree.root.len() + layers.sum::<usize>()) * EXTENSION_BYTES
        };
        lookups = tree(&part.lookups) + tree(&part.tables);
    }
    Some(json!({
        "weight_opening": weights,
        "witness_opening": witness,
        "lookups": lookups,
        "sumchecks_and_claims": whole - weights - witness - lookups,
    }))
}

/// Prints a profile for a person.
pub(super) fn say(profile: &Value, screen: &Screen) {
    screen.say(screen.ink(Ink::Bold, "Profile of one proof, mean"));
    for (part, size) in profile["bytes"].as_object().into_iter().flatten() {
        screen.say(format!("{:<24}{:>8} bytes", part.replace('_', " "), size));
    }
    for thread in profile["threads"].as_array().into_iter().flatten() {
        screen.say(format!(
            "{:<24}{:>8.3} ms of processor time",
            thread["thread"].as_str().unwrap_or_default(),
            thread["cpu_ms"].as_f64().unwrap_or_default()
        ));
    }
    screen.say(format!(
        "{:<24}{:>8.1}",
        "page faults",
        profile["page_faults"].as_f64().unwrap_or_default()
    ));
}
