//! The settler: proves what was answered, settles it in batches, and does not rest before each receipt is settled
//! or can't be any more.
//!
//! The chain lets each sequence settle once, so sending a receipt again is always safe. It may still burn gas for
//! nothing, so a transaction whose fate is not known is sent again as it is, and replaced by another only when it can't
//! be included any more. A receipt is given up only when the chain shows that it can't settle, or when it burned gas
//! and failed by itself several times.

mod fate;
mod proof;
mod transaction;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use haca_prover::Cancellation;
use haca_wire::TxHash;

use crate::ExecError;
use crate::entry::{Entry, Pending, Place};
use crate::log;
use crate::service::Service;

/// How long the settler waits for work before it looks by itself.
const REST: Duration = Duration::from_millis(500);
/// How long it pauses after an error that may pass.
const PAUSE: Duration = Duration::from_millis(300);
/// First pause before something that failed is tried again; it doubles with every failure.
const BACKOFF: Duration = Duration::from_millis(500);
/// Longest such pause.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// Runs until `stop` is cancelled, which ends a proof in progress, too.
pub(crate) fn run(service: &Arc<Service>, stop: &Cancellation) {
    let mut settler = Settler {
        service,
        stop,
        suspects: BTreeMap::new(),
        held: BTreeMap::new(),
    };
    let mut last = "";
    while !settler.is_stopped() {
        // A panic is a bug, and no reason to let the other receipts miss their settlement.
        match catch_unwind(AssertUnwindSafe(|| settler.round())) {
            Ok(Ok(worked)) => {
                last = "";
                if !worked {
                    service.wait_for_work(REST);
                }
            }
            Ok(Err(error)) => {
                // A full node that is away for hours is one event.
                if error.code() != last {
                    log::event("settlement", format_args!("code={} error={error}", error.code()));
                }
                last = error.code();
                settler.pause(PAUSE);
            }
            Err(_) => {
                log::event("settlement", "code=exec.panic");
                settler.pause(LONGEST_BACKOFF);
            }
        }
    }
}

/// Something that failed, and when it is tried again.
#[derive(Clone, Copy, Debug)]
struct Retry {
    failures: u32,
    due: Instant,
}

impl Retry {
    fn first() -> Self {
        Self {
            failures: 0,
            due: Instant::now(),
        }
    }

    fn failed(&mut self) {
        let pause = BACKOFF.saturating_mul(1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        self.due = Instant::now() + pause.min(LONGEST_BACKOFF);
    }

    fn is_due(&self) -> bool {
        Instant::now() >= self.due
    }
}

/// The settler's own memory. All of it may be lost: the journal and the chain say the rest.
struct Settler<'a> {
    service: &'a Arc<Service>,
    stop: &'a Cancellation,
    /// Receipts of failed batches. Each is sent by itself, so that a bad one does not keep others from settling.
    suspects: BTreeMap<Place, Retry>,
    /// Transactions that the full node does not take at present.
    held: BTreeMap<TxHash, Retry>,
}

impl Settler<'_> {
    fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Sleeps, but not through a stop.
    fn pause(&self, pause: Duration) {
        let end = Instant::now() + pause;
        while !self.is_stopped() && Instant::now() < end {
            std::thread::sleep(crate::chain::POLL);
        }
    }

    /// Does the most urgent thing. `false` when there is nothing to do at present.
    fn round(&mut self) -> Result<bool, ExecError> {
        let pending = self.service.journal.pending()?;
        self.forget(&pending);
        if pending.is_empty() {
            return Ok(false);
        }
        let sent: BTreeSet<TxHash> = pending.iter().filter_map(|pending| pending.tx).collect();
        if let Some(tx) = sent.iter().find(|tx| self.is_due(**tx)) {
            self.resume(*tx, &pending)?;
            return Ok(true);
        }
        let tick = self.service.chain.client.clock()?.tick;
        let mut waiting: Vec<Pending> = Vec::new();
        for receipt in pending.into_iter().filter(|pending| pending.tx.is_none()) {
            if tick <= receipt.settle_by {
                waiting.push(receipt);
            } else {
                let entry = self.service.journal.entry(&receipt)?;
                self.give_up(entry, "its settle-by tick has passed")?;
            }
        }
        // What keeps one transaction waiting keeps the others: more receipts meanwhile join the next batch.
        if !self.held.is_empty() {
            return Ok(false);
        }
        let Some(batch) = self.next_batch(waiting) else {
            return Ok(false);
        };
        self.settle(batch)?;
        Ok(true)
    }

    /// Drops what is known of receipts and transactions that wait no more.
    fn forget(&mut self, pending: &[Pending]) {
        let places: BTreeSet<Place> = pending.iter().map(|pending| pending.place).collect();
        let sent: BTreeSet<TxHash> = pending.iter().filter_map(|pending| pending.tx).collect();
        self.suspects.retain(|place, _| places.contains(place));
        self.held.retain(|tx, _| sent.contains(tx));
    }

    fn is_due(&self, tx: TxHash) -> bool {
        self.held.get(&tx).is_none_or(Retry::is_due)
    }

    /// The receipts that have to settle first, and those that fit into one transaction with them.
    fn next_batch(&self, mut waiting: Vec<Pending>) -> Option<Vec<Pending>> {
        waiting.sort_by_key(|receipt| (receipt.settle_by, receipt.place));
        let suspect = |receipt: &Pending| self.suspects.get(&receipt.place);
        let first = *waiting
            .iter()
            .find(|receipt| suspect(receipt).is_none_or(Retry::is_due))?;
        if suspect(&first).is_some() {
            return Some(vec![first]);
        }
        let kind = (first.model, first.evidence);
        let size = self.service.batch_size(first.model, first.evidence);
        let fitting = waiting
            .into_iter()
            .filter(|receipt| suspect(receipt).is_none() && (receipt.model, receipt.evidence) == kind);
        Some(fitting.take(size).collect())
    }

    /// Proves one batch, signs its transaction, journals it, and sends it.
    fn settle(&mut self, batch: Vec<Pending>) -> Result<(), ExecError> {
        let service = self.service;
        let read = batch.iter().map(|receipt| service.journal.entry(receipt));
        let mut entries = read.collect::<Result<Vec<Entry>, _>>()?;
        service.set_proving(entries.iter().map(Entry::place).collect());
        let made = proof::evidence(service, &entries, self.stop).map(|(evidence, figures)| {
            for entry in &mut entries {
                entry.proof = figures;
            }
            transaction::settlement(service, &entries, evidence)
        });
        service.set_proving(BTreeSet::new());
        match made {
            Ok(tx) => self.send(&tx?, entries, None),
            // Nothing was sent: the receipts are proven again after the next start.
            Err(_) if self.is_stopped() => Ok(()),
            Err(reason) => {
                self.suspect(&entries, &reason);
                Ok(())
            }
        }
    }

    /// Sends each of these receipts by itself from now on, after a pause that grows.
    fn suspect(&mut self, entries: &[Entry], reason: &str) {
        log::event(
            "not_settled",
            format_args!("receipts={} reason={reason}", entries.len()),
        );
        for entry in entries {
            let retry = self.suspects.entry(entry.place()).or_insert_with(Retry::first);
            if entries.len() == 1 {
                retry.failed();
            }
        }
    }
}
