//! `haca bench disk`: the disk that a full node takes while a chain grows, part by part, and whether it stops growing once
//! the node has as many blocks as it keeps.

mod in_process;
mod looks;
mod under_cometbft;

use std::path::Path;
use std::time::Instant;

use haca_node::history::HistoryPolicy;
use haca_node::snapshot::SnapshotPolicy;
use haca_wire::{Address, Height};
use serde_json::{Value, json};

use super::chain::Scratch;
use super::chain::failed;
use super::chain::process::Usage;
use super::chain::site::Site;
use super::chain::transfers::transfer;
use super::cpu;
use crate::args::BenchDisk;
use crate::failure::{Exit, Failure};
use crate::screen::{Ink, Screen};

use looks::{Look, Verdict};

/// Blocks for which a transfer may wait.
const PATIENCE: u64 = 200;
/// Looks at a whole run unless asked otherwise.
const LOOKS: u64 = 40;
/// The least number of blocks that evidence reaches back.
const LEAST_EVIDENCE: u64 = 10;

/// What a run is asked to do, with what was left out filled in.
pub(super) struct Plan {
    blocks: u64,
    every: u64,
    txs: u64,
    fresh: u64,
    history: HistoryPolicy,
    deadline: Option<Instant>,
}

impl Plan {
    fn of(bench: &BenchDisk) -> Result<Self, Failure> {
        if bench.blocks == 0 || bench.every == Some(0) || bench.keep_blocks == Some(0) {
            return Err(Failure::usage(
                "cli.bench_disk",
                "--blocks, --every and --keep-blocks are at least 1",
                "leave them out",
            ));
        }
        if bench.fresh > bench.txs {
            return Err(Failure::usage(
                "cli.bench_disk",
                format!("{} of {} transfers go to new accounts", bench.fresh, bench.txs),
                "--fresh is at most --txs",
            ));
        }
        let limit = bench.limit_s.map(std::time::Duration::from_secs);
        Ok(Self {
            blocks: bench.blocks,
            every: bench.every.unwrap_or(bench.blocks.div_ceil(LOOKS)),
            txs: bench.txs,
            fresh: bench.fresh,
            history: HistoryPolicy {
                keep_blocks: bench.keep_blocks.unwrap_or((bench.blocks / 5).max(1)),
                keep_mb: bench.keep_mb,
                snapshots: SnapshotPolicy {
                    interval_blocks: bench.snapshot_blocks,
                    ..SnapshotPolicy::default()
                },
            },
            deadline: limit.and_then(|limit| Instant::now().checked_add(limit)),
        })
    }

    /// Height from which on the node has as many blocks, snapshots and nonces as it will ever have.
    fn full_height(&self) -> u64 {
        let SnapshotPolicy {
            interval_blocks,
            keep,
            ..
        } = self.history.snapshots;
        let snapshots = interval_blocks.saturating_mul(keep as u64 + 1);
        let nonces = haca_ledger::standard_params().tx_lifetime.saturating_add(2);
        self.history.keep_blocks.max(snapshots).max(nonces)
    }

    /// Whether the time is up.
    fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() > deadline)
    }

    /// The transfers for a block at about `height`, of which `made` were made before.
    fn transfers(&self, site: &Site, made: u64, height: u64) -> Result<Vec<Vec<u8>>, Failure> {
        let accounts = &site.accounts;
        let to = |place: u64| match place < self.fresh {
            true => {
                let hash = blake3::derive_key("haca benchmark recipient", &(made + place).to_le_bytes());
                let mut address = [0; 20];
                address.copy_from_slice(hash.get(..20)?);
                Some(Address(address))
            }
            false => {
                let next = usize::try_from(made + place + 1).ok()? % accounts.len();
                accounts.get(next).map(haca_wire::SecretKey::address)
            }
        };
        let signed = |place| transfer(site, made + place, to(place)?, Height(height + PATIENCE));
        let txs: Option<Vec<_>> = (0..self.txs).map(signed).collect();
        txs.ok_or_else(|| failed("a transfer can't be signed"))
    }
}

/// Looks at the disk as the chain grows.
pub(super) struct Watch<'a> {
    plan: &'a Plan,
    home: &'a Path,
    screen: &'a Screen,
    start: Instant,
    looks: Vec<Look>,
}

impl Watch<'_> {
    /// Called with the height of the chain and the transactions in it; `process` is the node's.
    fn at(&mut self, height: u64, txs: u64, process: u32) {
        let due = self.looks.last().map_or(0, |last| last.height) + self.plan.every;
        if height < due && height < self.plan.blocks {
            return;
        }
        let look = Look {
            height,
            txs,
            seconds: self.start.elapsed().as_secs_f64(),
            parts: looks::disk(self.home),
            usage: Usage::of(process),
        };
        self.screen.note(look.line());
        self.looks.push(look);
    }
}

/// Makes the blocks, and judges what they left.
pub(super) fn run(bench: &BenchDisk, screen: &Screen) -> Result<u8, Failure> {
    let plan = Plan::of(bench)?;
    let scratch = Scratch::new("disk", bench.keep)?;
    let evidence = (plan.history.keep_blocks / 2).max(LEAST_EVIDENCE);
    let site = Site::make(&scratch.path, |state| shorten_evidence(state, evidence))?;
    let home = site.home();
    screen.note(looks::HEAD);
    let mut watch = Watch {
        plan: &plan,
        home: &home,
        screen,
        start: Instant::now(),
        looks: Vec::new(),
    };
    match bench.in_process {
        true => in_process::run(&site, &mut watch)?,
        false => under_cometbft::run(&site, bench, &mut watch)?,
    }
    let looks = watch.looks;
    let verdict = Verdict::of(&looks, plan.full_height(), plan.fresh > 0);
    let mut result = json!({
        "cpu": cpu(),
        "engine": if bench.in_process { "in process" } else { "cometbft" },
        "blocks": looks.last().map_or(0, |look| look.height),
        "txs_per_block": plan.txs,
        "fresh_per_block": plan.fresh,
        "keep_blocks": plan.history.keep_blocks,
        "keep_mb": plan.history.keep_mb,
        "snapshot_blocks": plan.history.snapshots.interval_blocks,
        "snapshots": plan.history.snapshots.keep,
        "evidence_blocks": evidence,
        "full_height": plan.full_height(),
        "looks": looks.iter().map(Look::json).collect::<Vec<_>>(),
        "verdict": verdict.as_ref().map_or(Value::Null, Verdict::json),
    });
    let failure = failure(verdict.as_ref(), plan.full_height());
    if let Some(failure) = &failure {
        result["error"] = failure.json()["error"].clone();
    }
    screen.object(&result);
    say(&result, screen);
    match failure {
        // One object holds figures and error.
        Some(failure) if screen.is_json() => Ok(failure.exit as u8),
        Some(failure) => Err(failure),
        None => Ok(0),
    }
}

/// What is wrong with the disk, or with the run that should have judged it.
fn failure(verdict: Option<&Verdict>, full_height: u64) -> Option<Failure> {
    let Some(verdict) = verdict else {
        return Some(Failure::new(
            Exit::Failure,
            "cli.bench_window",
            format!("fewer than four looks after height {full_height}, from which on nothing should grow"),
            "more --blocks, or fewer --keep-blocks, --snapshot-blocks and blocks from look to look (--every)",
        ));
    };
    (!verdict.is_bounded()).then(|| {
        Failure::new(
            Exit::Failure,
            "cli.bench_grows",
            format!("more disk than its bound: {}", verdict.excess()),
            "something is kept that should go: see the parts, and --keep leaves the directory",
        )
    })
}

/// CometBFT keeps headers and votes of blocks that evidence reaches, whatever age of blocks it is to drop. Evidence here
/// reaches back as far in proportion as it does on a network at its usual pace: half of the blocks kept.
fn shorten_evidence(state: &mut Value, blocks: u64) {
    let params = &mut state["params"]["validators"];
    params["evidence_blocks"] = json!(blocks);
    params["evidence_s"] = json!(1);
}

fn say(result: &Value, screen: &Screen) {
    screen.say(format!(
        "machine     {}",
        result["cpu"].as_str().unwrap_or_default()
    ));
    screen.say(format!(
        "chain       {} blocks, {} transfers in each, {}; {} blocks kept, full at height {}",
        result["blocks"],
        result["txs_per_block"],
        result["engine"].as_str().unwrap_or_default(),
        result["keep_blocks"],
        result["full_height"]
    ));
    let verdict = &result["verdict"];
    if verdict.is_null() {
        return;
    }
    let head = format!(
        "{:<12}{:>16}{:>16}{:>12}",
        "part", "1st half, MB", "2nd half, MB", "bound, MB"
    );
    screen.say(screen.ink(Ink::Bold, head));
    let mb = |value: &Value| value.as_f64().unwrap_or_default() / 1e6;
    for part in verdict["parts"].as_array().into_iter().flatten() {
        screen.say(format!(
            "{:<12}{:>16.1}{:>16.1}{:>12.1}",
            part["part"].as_str().unwrap_or_default(),
            mb(&part["first_bytes"]),
            mb(&part["second_bytes"]),
            mb(&part["bound_bytes"])
        ));
    }
    screen.say(format!(
        "growth      {:.1} bytes a transaction; node {:.0} MB of memory at most",
        verdict["bytes_per_tx"].as_f64().unwrap_or_default(),
        mb(&verdict["peak_rss_bytes"])
    ));
}
