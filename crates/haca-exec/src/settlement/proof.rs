//! Evidence for a batch of receipts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use haca_prover::{Cancellation, ProverError, Supervision};
use haca_wire::{Evidence, EvidenceKind, Inference, ModelId, proof_context};

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
    match order.evidence {
        EvidenceKind::Zk => {}
        EvidenceKind::Optimistic => return Ok((Evidence::Optimistic, None)),
        _ => return Ok((Evidence::Signed, None)),
    }
    let Proven {
        inferences,
        proof,
        figures,
    } = prove(service, order.model, entries, stop)?;
    Ok((Evidence::Zk { inferences, proof }, Some(figures)))
}

/// One proof with the public tensors that it is about.
pub(super) struct Proven {
    pub(super) inferences: Vec<Inference>,
    pub(super) proof: Vec<u8>,
    pub(super) figures: ProofFigures,
}

/// Proves receipts of one model together, or says why it can't at present.
pub(super) fn prove(
    service: &Service,
    model: ModelId,
    entries: &[Entry],
    stop: &Cancellation,
) -> Result<Proven, String> {
    // An operator who has moved the file away may bring it back before the receipts are late.
    let Some(model) = service.models.iter().find(|served| served.id == model) else {
        return Err(format!("model {model} is not in the node's home"));
    };
    let inferences = entries.iter().map(|entry| {
        let content = service.journal.content(entry.place());
        content.map(|content| content.inference)
    });
    let inferences = inferences.collect::<Result<Vec<Inference>, _>>();
    let inferences = inferences.map_err(|error| format!("{}: {error}", error.code()))?;
    let proved = catch_unwind(AssertUnwindSafe(|| {
        run(service, model, entries, inferences, stop)
    }));
    match proved {
        Ok(Ok(proven)) => Ok(proven),
        Ok(Err(error)) => Err(format!("{}: {error}", error.code())),
        Err(_) => Err("the prover panicked".to_owned()),
    }
}

/// Runs the executions again from the journalled inputs and proves them together.
fn run(
    service: &Service,
    model: &ServedModel,
    entries: &[Entry],
    inferences: Vec<Inference>,
    stop: &Cancellation,
) -> Result<Proven, ProverError> {
    let start = Instant::now();
    let inputs = inferences.iter().map(|inference| inference.inputs.clone());
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
    Ok(Proven {
        inferences,
        proof,
        figures,
    })
}
