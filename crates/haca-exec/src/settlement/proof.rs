//! Evidence for a batch of receipts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use haca_prover::{Cancellation, ProverError, Supervision};
use haca_wire::{Evidence, EvidenceKind, proof_context};

use crate::entry::{Entry, ProofFigures};
use crate::model::ServedModel;
use crate::service::Service;

/// Evidence for receipts of one model and one kind, or why there is none at present.
pub(super) fn evidence(
    service: &Service,
    entries: &[Entry],
    stop: &Cancellation,
) -> Result<(Evidence, Option<ProofFigures>), String> {
    let Some(order) = entries.first().map(|entry| &entry.item.order.value) else {
        return Err("the batch is empty".to_owned());
    };
    if order.evidence != EvidenceKind::Zk {
        return Ok((Evidence::Signed, None));
    }
    // An operator who has moved the file away may bring it back before the receipts are late.
    let Some(model) = service.models.iter().find(|model| model.id == order.model) else {
        return Err(format!("model {} is not in the node's home", order.model));
    };
    let proved = catch_unwind(AssertUnwindSafe(|| prove(service, model, entries, stop)));
    match proved {
        Ok(Ok((evidence, figures))) => Ok((evidence, Some(figures))),
        Ok(Err(error)) => Err(format!("{}: {error}", error.code())),
        Err(_) => Err("the prover panicked".to_owned()),
    }
}

/// Runs the executions again from the journalled inputs and proves them together.
fn prove(
    service: &Service,
    model: &ServedModel,
    entries: &[Entry],
    stop: &Cancellation,
) -> Result<(Evidence, ProofFigures), ProverError> {
    let start = Instant::now();
    let inputs = entries.iter().map(|entry| entry.inference.inputs.clone());
    let executions = model.key.infer_batch(inputs.collect())?;
    let receipts: Vec<_> = entries.iter().map(|entry| service.receipt_of(entry)).collect();
    let context = proof_context(&service.chain.domain, &receipts);
    let mut supervision = Supervision {
        cancellation: stop.clone(),
        ..Supervision::default()
    };
    let (proof, _) = model
        .key
        .prove_supervised(context, &executions, &mut supervision)?;
    let figures = ProofFigures {
        bytes: proof.len() as u64,
        prove_us: u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX),
        batch: u32::try_from(entries.len()).unwrap_or(u32::MAX),
    };
    let inferences = entries.iter().map(|entry| entry.inference.clone()).collect();
    Ok((Evidence::Zk { inferences, proof }, figures))
}
