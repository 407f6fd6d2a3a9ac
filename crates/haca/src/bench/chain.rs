//! `haca bench chain`: what consensus carries. CometBFT with one validator over the unix socket, a full node behind it or
//! CometBFT's own key-value store, fed over the RPC as fast as it takes transactions.

mod blocks;
mod peer;
pub(super) mod process;
pub(super) mod rpc;
mod settlements;
pub(super) mod site;
pub(super) mod transfers;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::args::{BenchChain, Load};
use crate::bench::cpu;
use crate::failure::{Exit, Failure};
use crate::screen::{Ink, Screen};

use blocks::Measured;
use process::Usage;
use rpc::Rpc;
use site::{NodeStart, Site};

/// Threads that send, each over a connection of its own.
const SENDERS: usize = 4;
/// Calls in one request of CometBFT's RPC, at most as many as it takes (`max_request_batch_size`).
const CALLS: usize = 10;
/// Bytes of the transactions of one request: in base64 they fit into what the RPC takes as a body.
const REQUEST_BYTES: usize = 1 << 20;
/// How long a full mempool is left alone.
const BACK_OFF: Duration = Duration::from_millis(2);
/// Transactions and bytes that are on their way to a block at most: fewer than the mempool takes from those who pay
/// nothing to go first, because what arrives above that is dropped.
const WAITING: usize = 3_500;
const WAITING_BYTES: usize = 40 << 20;
/// How often blocks are looked for.
const LOOK: Duration = Duration::from_millis(5);

/// What is sent, signed before the first is sent.
pub(super) struct Cargo {
    /// Encoded transactions, in the order in which they are sent.
    pub(super) txs: Vec<Vec<u8>>,
    /// What one transaction settles: receipts, or itself.
    pub(super) units_per_tx: usize,
    /// Bytes of proofs among them.
    pub(super) proof_bytes: usize,
}

/// Measures every load that was asked for.
pub(super) fn run(bench: &BenchChain, screen: &Screen) -> Result<u8, Failure> {
    if bench.seconds == 0 {
        return Err(Failure::usage(
            "cli.bench",
            "--seconds is at least 1",
            "leave it out",
        ));
    }
    let loads = match bench.load.as_slice() {
        [] => Load::ALL,
        some => some,
    };
    let mut rows = Vec::new();
    for load in loads {
        rows.push(measure(*load, bench, screen)?);
    }
    let result = json!({ "cpu": cpu(), "seconds": bench.seconds, "rows": rows });
    screen.object(&result);
    say(&result, screen);
    Ok(0)
}

/// A directory that goes with this value, unless it is kept.
pub(in crate::bench) struct Scratch {
    pub(in crate::bench) path: PathBuf,
    keep: bool,
}

impl Scratch {
    pub(in crate::bench) fn new(name: &str, keep: bool) -> Result<Self, Failure> {
        let name = format!("haca-bench-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).map_err(|error| Failure::file(&path, "create", &error))?;
        Ok(Self { path, keep })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.keep {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// Runs one load on a network of its own.
fn measure(load: Load, bench: &BenchChain, screen: &Screen) -> Result<Value, Failure> {
    let step = screen.step(load.name());
    let scratch = Scratch::new(load.name(), bench.keep)?;
    let rate = bench.rate.unwrap_or(load.expected_per_second());
    let count = rate.saturating_mul(bench.seconds);
    let site = Site::make(&scratch.path, |_| ())?;
    let row = match load {
        Load::Kvstore => {
            let cargo = peer::cargo(count);
            let peer = peer::Peer::start(&site, bench)?;
            feed(&cargo, &peer.rpc, &peer.processes(), None, bench)?
        }
        Load::Transfers => {
            let cargo = transfers::cargo(&site, count)?;
            let node = site.start(&node_start(bench))?;
            feed(&cargo, &node.rpc, &node.processes(), Some(&node), bench)?
        }
        Load::Pairs | Load::Vouchers | Load::Zk => {
            let node = site.start(&node_start(bench))?;
            let cargo = settlements::cargo(&site, &node, bench, load, count)?;
            feed(&cargo, &node.rpc, &node.processes(), Some(&node), bench)?
        }
    };
    step.done(&format!(
        "{:.0} {}/s",
        row["units_per_s"].as_f64().unwrap_or_default(),
        load.unit()
    ));
    let mut row = row;
    row["load"] = json!(load.name());
    row["unit"] = json!(load.unit());
    Ok(row)
}

/// How the full node of a benchmark is started.
fn node_start(bench: &BenchChain) -> NodeStart<'_> {
    NodeStart {
        commit_ms: bench.commit_ms,
        cometbft: bench.cometbft.as_deref(),
        build: bench.build.as_deref(),
        flags: &[],
    }
}

/// Sends everything, or until the time is up, and looks at the blocks.
fn feed(
    cargo: &Cargo,
    rpc: &Rpc,
    processes: &[(&'static str, u32)],
    node: Option<&site::Running>,
    bench: &BenchChain,
) -> Result<Value, Failure> {
    let before: Vec<Usage> = processes.iter().map(|(_, id)| Usage::of(*id)).collect();
    let first = rpc.height()?;
    let start = Instant::now();
    let sent = send(cargo, rpc, Duration::from_secs(bench.seconds as u64))?;
    let sending = start.elapsed();
    let measured = blocks::measure(rpc, first, sent)?;
    if let Some(node) = node {
        node.check_all_succeeded(measured.txs)?;
    }
    Ok(row(cargo, &measured, sent, sending, processes, &before))
}

fn row(
    cargo: &Cargo,
    measured: &Measured,
    sent: usize,
    sending: Duration,
    processes: &[(&'static str, u32)],
    before: &[Usage],
) -> Value {
    let txs_per_s = measured.txs_per_s();
    let mut row = json!({
        "tx_bytes": cargo.txs.first().map_or(0, Vec::len),
        "units_per_tx": cargo.units_per_tx,
        "sent": sent,
        "sending_s": sending.as_secs_f64(),
        "blocks": measured.blocks,
        "blocks_per_s": measured.blocks_per_s(),
        "txs_per_s": txs_per_s,
        "units_per_s": txs_per_s * cargo.units_per_tx as f64,
        "bytes_per_s": measured.bytes_per_s(),
        "proof_bytes_per_tx": cargo.proof_bytes / cargo.txs.len().max(1),
    });
    for ((name, id), before) in processes.iter().zip(before) {
        let now = Usage::of(*id);
        row[format!("{name}_cpu_s")] = json!(now.cpu_s - before.cpu_s);
        row[format!("{name}_peak_rss_bytes")] = json!(now.peak_rss_bytes);
    }
    row
}

/// What is on its way to a block.
#[derive(Default)]
struct Flow {
    /// Position of the next transaction.
    next: AtomicUsize,
    taken: AtomicUsize,
    taken_bytes: AtomicUsize,
    included: AtomicUsize,
    included_bytes: AtomicUsize,
    done: AtomicBool,
}

impl Flow {
    fn is_full(&self) -> bool {
        let on_the_way = |taken: &AtomicUsize, included: &AtomicUsize| {
            let included = included.load(Ordering::Relaxed);
            taken.load(Ordering::Relaxed).saturating_sub(included)
        };
        on_the_way(&self.taken, &self.included) > WAITING
            || on_the_way(&self.taken_bytes, &self.included_bytes) > WAITING_BYTES
    }

    /// Counts what the blocks above `height` hold once the application has committed them, until all is sent.
    fn count(&self, rpc: &Rpc, mut height: u64) -> Result<(), Failure> {
        while !self.done.load(Ordering::Relaxed) {
            let newest = rpc.committed()?;
            for block in blocks::metas(rpc, height + 1, newest)? {
                self.included.fetch_add(block.txs, Ordering::Relaxed);
                self.included_bytes.fetch_add(block.bytes, Ordering::Relaxed);
            }
            height = newest;
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Sends what comes next over a connection of its own, until the time is up.
    fn send(&self, cargo: &Cargo, rpc: &Rpc, deadline: Instant) -> Result<(), Failure> {
        let mut connection = rpc.connect()?;
        let largest = cargo.txs.iter().map(Vec::len).max().unwrap_or_default();
        let calls = (REQUEST_BYTES / largest.max(1)).clamp(1, CALLS);
        loop {
            let from = self.next.fetch_add(calls, Ordering::Relaxed);
            let rest = cargo.txs.get(from..).unwrap_or_default();
            let batch = rest.get(..calls).unwrap_or(rest);
            if batch.is_empty() || Instant::now() > deadline {
                return Ok(());
            }
            let mut batch: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
            while !batch.is_empty() {
                if self.is_full() {
                    std::thread::sleep(BACK_OFF);
                    continue;
                }
                let size = |batch: &[&[u8]]| batch.iter().map(|tx| tx.len()).sum::<usize>();
                self.taken.fetch_add(batch.len(), Ordering::Relaxed);
                self.taken_bytes.fetch_add(size(&batch), Ordering::Relaxed);
                batch = connection.broadcast(&batch)?;
                self.taken.fetch_sub(batch.len(), Ordering::Relaxed);
                self.taken_bytes.fetch_sub(size(&batch), Ordering::Relaxed);
            }
        }
    }
}

/// Sends from several connections, in the order of the cargo as far as that can be; returns how many were taken.
fn send(cargo: &Cargo, rpc: &Rpc, time: Duration) -> Result<usize, Failure> {
    let flow = Flow::default();
    let first = rpc.committed()?;
    let deadline = Instant::now() + time;
    std::thread::scope(|scope| {
        let counter = scope.spawn(|| flow.count(rpc, first));
        // One connection keeps the order, and the sequences of a channel may not change places by more than its window.
        let senders = if cargo.units_per_tx > 1 { 1 } else { SENDERS };
        let senders: Vec<_> = (0..senders)
            .map(|_| scope.spawn(|| flow.send(cargo, rpc, deadline)))
            .collect();
        let ended: Vec<_> = senders.into_iter().map(|sender| sender.join()).collect();
        flow.done.store(true, Ordering::Relaxed);
        for ended in ended.into_iter().chain([counter.join()]) {
            ended.map_err(|_| failed("a sender panicked"))??;
        }
        Ok(flow.taken.load(Ordering::Relaxed))
    })
}

/// A benchmark that could not be run.
pub(in crate::bench) fn failed(reason: impl core::fmt::Display) -> Failure {
    Failure::new(
        Exit::Failure,
        "cli.bench_failed",
        reason,
        "--keep leaves the node's log; try a lower --rate",
    )
}

/// A binary of CometBFT's module, on PATH or where `go install` puts it.
pub(super) fn go_binary(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let home = std::env::var_os("GOPATH")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join("go")))
        .map(|go| go.join("bin"));
    std::env::split_paths(&path)
        .chain(home)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}

/// The figures for a person.
fn say(result: &Value, screen: &Screen) {
    screen.say(format!(
        "machine     {}",
        result["cpu"].as_str().unwrap_or_default()
    ));
    let head = format!(
        "{:<12}{:>10}{:>10}{:>10}{:>10}{:>12}{:>12}",
        "load", "B/tx", "tx/s", "MB/s", "blocks/s", "settled/s", "node MB"
    );
    screen.say(screen.ink(Ink::Bold, head));
    for row in result["rows"].as_array().into_iter().flatten() {
        let number = |key: &str| row[key].as_f64().unwrap_or_default();
        let settled = if row["unit"] == "transactions" {
            "-".to_owned()
        } else {
            format!("{:.0}", number("units_per_s"))
        };
        screen.say(format!(
            "{:<12}{:>10}{:>10.0}{:>10.2}{:>10.1}{:>12}{:>12.0}",
            row["load"].as_str().unwrap_or_default(),
            row["tx_bytes"],
            number("txs_per_s"),
            number("bytes_per_s") / 1e6,
            number("blocks_per_s"),
            settled,
            number("app_peak_rss_bytes") / 1e6,
        ));
    }
}
