//! Counters of a full node in Prometheus text format. All names start with `haca_`.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use haca_ledger::BlockOutcome;
use haca_wire::{Amount, AssetId, state::Supply};

use crate::driver::Status;

/// What is counted since the process started.
#[derive(Debug, Default)]
pub struct Metrics {
    transactions: Mutex<BTreeMap<u32, u64>>,
    gas: AtomicU64,
    blocks: AtomicU64,
    block_micros: AtomicU64,
    settled: AtomicU64,
    evidence_known: AtomicU64,
    evidence_verified: AtomicU64,
    snapshots_taken: AtomicU64,
    snapshots_failed: AtomicU64,
}

impl Metrics {
    /// Counts a committed block that took `time` from the start of execution to the end of the commit.
    pub fn block(&self, outcome: &BlockOutcome, time: Duration) {
        let mut transactions = self.transactions.lock().unwrap_or_else(PoisonError::into_inner);
        for tx in &outcome.txs {
            *transactions.entry(tx.code()).or_default() += 1;
        }
        self.gas.fetch_add(outcome.gas_used.0, Ordering::Relaxed);
        self.settled
            .fetch_add(outcome.settlements.len() as u64, Ordering::Relaxed);
        self.blocks.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.block_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Counts a piece of evidence that was asked for, `known` where it was remembered.
    pub fn evidence(&self, known: bool) {
        let counter = if known {
            &self.evidence_known
        } else {
            &self.evidence_verified
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a snapshot that was due, `taken` where it is whole.
    pub fn snapshot(&self, taken: bool) {
        let counter = if taken {
            &self.snapshots_taken
        } else {
            &self.snapshots_failed
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The text that Prometheus reads.
    pub fn render(&self, status: &Status, base_fee: u128, supplies: &[(AssetId, Supply)]) -> String {
        let mut text = Text(String::new());
        text.one("haca_height", "gauge", "Height of the last block", status.height);
        text.one(
            "haca_block_time_seconds",
            "gauge",
            "Header time of the last block",
            status.time.unix_timestamp(),
        );
        text.one(
            "haca_mempool_transactions",
            "gauge",
            "Transactions that wait",
            status.mempool_txs,
        );
        text.one(
            "haca_mempool_bytes",
            "gauge",
            "Bytes that wait",
            status.mempool_bytes,
        );
        text.one(
            "haca_base_fee",
            "gauge",
            "OPG burned per unit of gas in the next block",
            base_fee,
        );
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        text.one(
            "haca_verification_gas_total",
            "counter",
            "Verification gas burned for",
            count(&self.gas),
        );
        text.one(
            "haca_receipts_settled_total",
            "counter",
            "Receipts settled",
            count(&self.settled),
        );
        text.head(
            "haca_evidence_total",
            "counter",
            "Evidence asked for, by whether it was remembered",
        );
        text.row(
            "haca_evidence_total",
            "{remembered=\"yes\"}",
            count(&self.evidence_known),
        );
        text.row(
            "haca_evidence_total",
            "{remembered=\"no\"}",
            count(&self.evidence_verified),
        );
        text.head(
            "haca_snapshots_total",
            "counter",
            "Snapshots that were due, by whether they were taken",
        );
        let snapshots = [
            ("taken", &self.snapshots_taken),
            ("failed", &self.snapshots_failed),
        ];
        for (result, counter) in snapshots {
            let labels = format!("{{result=\"{result}\"}}");
            text.row("haca_snapshots_total", &labels, count(counter));
        }
        text.head(
            "haca_transactions_total",
            "counter",
            "Executed transactions by result code, 0 is success",
        );
        let transactions = self.transactions.lock().unwrap_or_else(PoisonError::into_inner);
        for (code, count) in transactions.iter() {
            text.row("haca_transactions_total", &format!("{{code=\"{code}\"}}"), count);
        }
        text.head(
            "haca_block_seconds",
            "summary",
            "Time from the start of execution to the end of the commit",
        );
        let seconds = count(&self.block_micros) as f64 / 1e6;
        text.row("haca_block_seconds_sum", "", format!("{seconds:.6}"));
        text.row("haca_block_seconds_count", "", count(&self.blocks));
        text.head(
            "haca_supply",
            "gauge",
            "Existing units by asset: issued less burned",
        );
        for (asset, supply) in supplies {
            text.row(
                "haca_supply",
                &format!("{{asset=\"{asset}\"}}"),
                supply.existing(),
            );
        }
        text.head("haca_burned_total", "counter", "Burned units by asset");
        for (asset, supply) in supplies {
            text.row(
                "haca_burned_total",
                &format!("{{asset=\"{asset}\"}}"),
                supply.burned,
            );
        }
        text.supply_identity(supplies);
        text.0
    }
}

struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn row(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, kind, help);
        self.row(name, "", value);
    }

    /// The supply identity of each asset: its sides, and their difference as an exact number, since Prometheus would
    /// round the sides to 53 bits before it subtracts them.
    fn supply_identity(&mut self, supplies: &[(AssetId, Supply)]) {
        let issued = "haca_supply_issued";
        self.head(issued, "gauge", "Units by asset that genesis issued");
        for (asset, supply) in supplies {
            self.row(issued, &format!("{{asset=\"{asset}\"}}"), supply.issued);
        }
        let part = "haca_supply_part";
        self.head(part, "gauge", "Units by asset and place");
        for (asset, supply) in supplies {
            for (name, amount) in supply.parts() {
                self.row(part, &format!("{{asset=\"{asset}\",part=\"{name}\"}}"), amount);
            }
        }
        let unaccounted = "haca_supply_unaccounted";
        self.head(
            unaccounted,
            "gauge",
            "Units by asset between what was issued and the sum of all places; 0, or the state is wrong",
        );
        for (asset, supply) in supplies {
            let found = supply.total().unwrap_or(Amount(u128::MAX));
            self.row(
                unaccounted,
                &format!("{{asset=\"{asset}\"}}"),
                found.0.abs_diff(supply.issued.0),
            );
        }
    }
}
