//! The settler: proves what was answered, settles it in batches, and does not rest before each receipt is settled
//! or can't be any more.
//!
//! The chain lets each sequence settle once, so sending a receipt again is always safe: after a crash, and whenever
//! the fate of a transaction is not known, the settler first asks the chain and then sends what is still unsettled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use haca_client::ClientError;
use haca_prover::Execution;
use haca_wire::{
    Encode as _, Evidence, EvidenceKind, Group, Height, Message, ModelId, TxHash, limit, proof_context,
};

use crate::ExecError;
use crate::chain::POLL;
use crate::entry::{Entry, EntryState, ProofFigures};
use crate::log;
use crate::service::Service;

/// How long the settler waits for work before it looks by itself.
const REST: Duration = Duration::from_millis(500);
/// How long it pauses after a failure that may pass.
const PAUSE: Duration = Duration::from_millis(300);
/// Included failures of a receipt that was alone in its transaction, after which it is given up.
const MAX_FAILURES: u32 = 3;
/// Bytes of evidence, orders and receipts in one settlement transaction.
const BATCH_BYTES: usize = limit::TX_BYTES / 2;

/// Runs until `stop` is set.
pub(crate) fn run(service: &Arc<Service>, stop: &AtomicBool) {
    let mut alone = false;
    while !stop.load(Ordering::Relaxed) {
        match round(service, alone, stop) {
            Ok(Round::Idle) => {
                alone = false;
                service.wait_for_work(REST);
            }
            Ok(Round::Settled) => alone = false,
            // One bad receipt fails a whole batch: the next round sends each by itself.
            Ok(Round::Failed) => alone = true,
            Err(error) => {
                log::event("settlement", format_args!("code={} error={error}", error.code()));
                std::thread::sleep(PAUSE);
            }
        }
    }
}

/// What a round did.
enum Round {
    Idle,
    Settled,
    Failed,
}

/// Receipts that go into one group: same model, same evidence.
type Groups = BTreeMap<(ModelId, EvidenceKind), Vec<Entry>>;

fn round(service: &Arc<Service>, alone: bool, stop: &AtomicBool) -> Result<Round, ExecError> {
    let mut open = service.journal.open_entries()?;
    if open.is_empty() {
        return Ok(Round::Idle);
    }
    open = reconcile(service, open)?;
    let mut outcome = Round::Idle;
    let mut groups = Groups::new();
    for entry in open {
        let order = &entry.item.order.value;
        groups
            .entry((order.model, order.evidence))
            .or_default()
            .push(entry);
    }
    for ((model, evidence), entries) in groups {
        let size = if alone {
            1
        } else {
            batch_size(service, model, evidence)
        };
        for batch in entries.chunks(size) {
            if stop.load(Ordering::Relaxed) {
                return Ok(outcome);
            }
            outcome = settle(service, model, evidence, batch.to_vec())?;
            if matches!(outcome, Round::Failed) && batch.len() > 1 {
                return Ok(outcome);
            }
        }
    }
    Ok(outcome)
}

/// Asks the chain about receipts whose transaction may have been included, and gives up those that are too late.
/// Returns what is still to be settled.
fn reconcile(service: &Service, entries: Vec<Entry>) -> Result<Vec<Entry>, ExecError> {
    let tick = service.chain.client.clock()?.tick;
    let mut left = Vec::new();
    for mut entry in entries {
        let late = tick > entry.item.order.value.settle_by;
        if late || matches!(entry.state, EntryState::Submitted(_)) {
            if mark_if_settled(service, &mut entry)? {
                continue;
            }
            if late {
                refuse(service, entry, "its settle-by tick has passed")?;
                continue;
            }
            entry.state = EntryState::Answered;
        }
        left.push(entry);
    }
    Ok(left)
}

/// Journals the settlement of a receipt when the chain has it.
fn mark_if_settled(service: &Service, entry: &mut Entry) -> Result<bool, ExecError> {
    let receipt = entry.item.receipt.value.hash(&service.chain.domain);
    let Some(settled) = service.chain.client.settled(receipt)? else {
        return Ok(false);
    };
    entry.state = EntryState::Settled(settled.settlement.tx, settled.height);
    service.journal.update(std::slice::from_ref(entry))?;
    service.book().settle(entry.place(), settled.height);
    Ok(true)
}

fn refuse(service: &Service, mut entry: Entry, reason: &str) -> Result<(), ExecError> {
    log::event(
        "refused",
        format_args!("receipt={} reason={reason}", receipt_of(service, &entry)),
    );
    entry.state = EntryState::Refused(reason.to_owned());
    let place = entry.place();
    service.journal.update(&[entry])?;
    service.book().release(place);
    Ok(())
}

fn receipt_of(service: &Service, entry: &Entry) -> haca_wire::ReceiptHash {
    entry.item.receipt.value.hash(&service.chain.domain)
}

/// How many receipts go into one transaction.
fn batch_size(service: &Service, model: ModelId, evidence: EvidenceKind) -> usize {
    let most = service.config.max_batch.clamp(1, limit::ITEMS);
    let served = service.models.iter().find(|served| served.id == model);
    match (evidence, served) {
        (EvidenceKind::Zk, Some(served)) => most.min(served.key.verifying_key().max_batch()).max(1),
        _ => most,
    }
}

/// Proves and settles one batch.
fn settle(
    service: &Service,
    model: ModelId,
    evidence: EvidenceKind,
    mut batch: Vec<Entry>,
) -> Result<Round, ExecError> {
    let mut size = 0usize;
    let fitting = batch.iter().take_while(|entry| {
        size = size
            .saturating_add(entry.item.encode().len())
            .saturating_add(entry.inference.encode().len());
        size <= BATCH_BYTES
    });
    let fitting = fitting.count().max(1);
    batch.truncate(fitting);
    let (evidence, figures) = match evidence {
        EvidenceKind::Zk => {
            service.set_proving(batch.iter().map(Entry::place).collect());
            let proved = prove(service, model, &batch);
            service.set_proving(BTreeSet::new());
            let Some((evidence, figures)) = proved? else {
                for entry in batch {
                    refuse(service, entry, "the node no longer serves the model")?;
                }
                return Ok(Round::Failed);
            };
            (evidence, Some(figures))
        }
        _ => (Evidence::Signed, None),
    };
    let items = batch.iter().map(|entry| entry.item.clone()).collect();
    let message = Message::SettleBatch {
        groups: vec![Group { items, evidence }],
    };
    let head = service.chain.client.status()?.height;
    let tx =
        service
            .account
            .transaction(message, &service.chain.domain, head, service.config.max_base_fee)?;
    let hash = tx.hash();
    for entry in &mut batch {
        entry.state = EntryState::Submitted(hash);
        entry.proof = figures;
    }
    service.journal.update(&batch)?;
    match service.chain.client.submit(&tx) {
        Ok(_) => {}
        // Refused at the door: nothing of it is on chain, though an earlier sending may be.
        Err(ClientError::Refused { message, refusal, .. }) => {
            return failed(service, batch, &format!("{refusal}: {message}"), false);
        }
        Err(error) => return Err(error.into()),
    }
    await_inclusion(service, batch, hash, tx.transaction.meta.expiry)
}

/// Runs the executions again from the journalled inputs and proves them together.
fn prove(
    service: &Service,
    model: ModelId,
    batch: &[Entry],
) -> Result<Option<(Evidence, ProofFigures)>, ExecError> {
    let Some(served) = service.models.iter().find(|served| served.id == model) else {
        return Ok(None);
    };
    let start = Instant::now();
    let executions = batch
        .iter()
        .map(|entry| served.key.infer(&entry.inference.inputs))
        .collect::<Result<Vec<Execution>, _>>()?;
    let receipts: Vec<_> = batch.iter().map(|entry| receipt_of(service, entry)).collect();
    let context = proof_context(&service.chain.domain, &receipts);
    let (proof, _) = served.key.prove(context, &executions)?;
    let figures = ProofFigures {
        bytes: proof.len() as u64,
        prove_us: u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX),
        batch: u32::try_from(batch.len()).unwrap_or(u32::MAX),
    };
    let inferences = batch.iter().map(|entry| entry.inference.clone()).collect();
    Ok(Some((Evidence::Zk { inferences, proof }, figures)))
}

/// Waits until the transaction is in a block or can't come into one any more.
fn await_inclusion(
    service: &Service,
    batch: Vec<Entry>,
    hash: TxHash,
    expiry: Height,
) -> Result<Round, ExecError> {
    loop {
        if let Some(included) = service.chain.client.transaction(hash)? {
            if included.code == 0 {
                return settled(service, batch, hash, Height(included.height));
            }
            // A transaction that burned nothing was not admitted: the node is short of gas money, not wrong.
            return failed(service, batch, &included.log, included.gas_used > 0);
        }
        if service.chain.client.status()?.height > expiry {
            return failed(service, batch, "its transaction expired", false);
        }
        std::thread::sleep(POLL);
    }
}

fn settled(service: &Service, mut batch: Vec<Entry>, tx: TxHash, height: Height) -> Result<Round, ExecError> {
    for entry in &mut batch {
        entry.state = EntryState::Settled(tx, height);
    }
    service.journal.update(&batch)?;
    let mut book = service.book();
    for entry in &batch {
        book.settle(entry.place(), height);
    }
    log::event(
        "settled",
        format_args!("tx={tx} height={height} receipts={}", batch.len()),
    );
    Ok(Round::Settled)
}

/// A batch that was not settled: what the chain has after all is marked; a receipt that keeps failing by itself is
/// given up; the rest is tried again.
fn failed(service: &Service, batch: Vec<Entry>, reason: &str, executed: bool) -> Result<Round, ExecError> {
    log::event(
        "not_settled",
        format_args!("receipts={} reason={reason}", batch.len()),
    );
    let alone = batch.len() == 1;
    for mut entry in batch {
        if mark_if_settled(service, &mut entry)? {
            continue;
        }
        entry.state = EntryState::Answered;
        entry.failures = entry.failures.saturating_add(u32::from(alone && executed));
        if entry.failures >= MAX_FAILURES {
            refuse(service, entry, reason)?;
        } else {
            service.journal.update(&[entry])?;
        }
    }
    std::thread::sleep(PAUSE);
    Ok(Round::Failed)
}
