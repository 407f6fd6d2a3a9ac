//! Receipts whose proofs can be demanded, or will be once they are settled: no more of them than the node proves in time.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Instant;

use haca_prover::{ProverError, Supervision};
use haca_wire::{Domain, EvidenceKind, ModelId, Tensor, proof_context};

use super::Service;
use crate::ExecError;
use crate::chain::Chain;
use crate::config::ExecConfig;
use crate::entry::{HeldFee, Place};
use crate::journal::Journal;
use crate::log;
use crate::model::ServedModel;
use crate::planner::{AnswerTime, Kind, Overload, Rates, count_models, longest_proofs_ms};
use crate::refusal::Refusal;

/// Model of each such receipt, or of the first of a range whose fee waits.
pub(crate) type Demandable = BTreeMap<Place, ModelId>;

impl Service {
    fn demandable(&self) -> MutexGuard<'_, Demandable> {
        self.demandable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Promises the proof of one more receipt, unless some demands would make an answer late then.
    pub(crate) fn promise_proof(&self, place: Place, model: ModelId) -> Result<(), Refusal> {
        let mut demandable = self.demandable();
        let models = demandable.values().copied().chain([model]);
        let overload = |found: Overload| Refusal::ProofsOutstanding {
            found_s: found.found_ms.div_ceil(1_000),
            expected_s: found.expected_ms / 1_000,
        };
        self.check_proofs(count_models(models)).map_err(overload)?;
        demandable.insert(place, model);
        Ok(())
    }

    /// No proof of this receipt can be demanded any more.
    pub(crate) fn forget_proof(&self, place: Place) {
        self.demandable().remove(&place);
    }

    /// These receipts were settled under one voucher, and one at a time of them is demanded: they count as the first.
    pub(crate) fn join_proofs(&self, held: &HeldFee) {
        let mut demandable = self.demandable();
        for place in held.places().skip(1) {
            demandable.remove(&place);
        }
    }

    /// That every proof of so many receipts of these models is made in time. A model that is not here is proven by nobody.
    fn check_proofs(&self, counts: BTreeMap<ModelId, u64>) -> Result<(), Overload> {
        let rates = self.known_rates();
        let proofs = counts.into_iter().filter_map(|(model, count)| {
            let kind = proof_of(model);
            Some((rates.get(&kind)?.prove_each_ms(kind), count))
        });
        answer_time(&self.chain, &self.config, &rates).check(proofs)
    }

    /// Longest time for the proofs of one settlement: bounded as long as a demand may come meanwhile.
    pub(crate) fn longest_proofs_ms(&self) -> u64 {
        if self.demandable().is_empty() {
            return u64::MAX;
        }
        let window = self.chain.params.respond_window;
        longest_proofs_ms(window.saturating_mul(self.chain.tick_ms()))
    }
}

pub(super) const fn proof_of(model: ModelId) -> Kind {
    Kind {
        model,
        evidence: EvidenceKind::Zk,
    }
}

fn answer_time(chain: &Chain, config: &ExecConfig, rates: &BTreeMap<Kind, Rates>) -> AnswerTime {
    let windows = (chain.params.respond_window, chain.params.respond_step);
    AnswerTime::new(chain.tick_ms(), windows, rates, config.policy.batch_wait_ms)
}

/// The receipts of a journal whose proofs can be demanded, or will be once they are settled.
pub(super) fn restored(journal: &Journal) -> Result<Demandable, ExecError> {
    let pending = journal.pending()?.into_iter();
    let pending = pending.filter(|one| one.evidence == EvidenceKind::Optimistic);
    let mut demandable: Demandable = pending.map(|one| (one.place, one.model)).collect();
    demandable.extend(journal.held_fees()?.iter().map(|fee| (fee.place, fee.model)));
    Ok(demandable)
}

/// Proves one inference of each model whose proving time nobody knows: what is promised rests on it.
pub(super) fn measure(models: &[ServedModel], rates: &mut BTreeMap<Kind, Rates>, domain: &Domain) {
    for model in models {
        let Some(rates) = rates.get_mut(&proof_of(model.id)) else {
            continue;
        };
        if rates.max_batch == 0 || !rates.prove_times.is_empty() {
            continue;
        }
        let start = Instant::now();
        match prove_zeros(model, domain) {
            Ok(()) => {
                let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
                rates.prove_times.learn(1, ms.max(1));
                log::event("measured", format_args!("model={} prove_ms={ms}", model.id));
            }
            Err(error) => log::event(
                "not_measured",
                format_args!("model={} code={} error={error}", model.id, error.code()),
            ),
        }
    }
}

fn prove_zeros(model: &ServedModel, domain: &Domain) -> Result<(), ProverError> {
    let zeros = |spec: &haca_wire::TensorSpec| {
        let values = vec![0; spec.shape.elements()];
        Tensor::new(spec.dtype, spec.shape.clone(), values)
    };
    let inputs: Vec<Tensor> = model.inputs().iter().filter_map(zeros).collect();
    let executions = model.key.infer_batch(vec![inputs])?;
    let context = proof_context(domain, &[]);
    let mut supervision = Supervision::default();
    model
        .key
        .prove_supervised(context, &executions, &mut supervision)?;
    Ok(())
}

/// Whether one proof of a model, demanded at any time, is made in time. Says why not in the log.
pub(super) fn is_answerable(
    chain: &Chain,
    config: &ExecConfig,
    rates: &BTreeMap<Kind, Rates>,
    model: ModelId,
) -> bool {
    let kind = proof_of(model);
    let Some(known) = rates.get(&kind).filter(|known| !known.prove_times.is_empty()) else {
        return false;
    };
    // Of a model whose answer may not fit into a transaction the chain takes no offer, nor anything else in the same message.
    let proof = known.proofs.first().map(|(gas, _)| *gas).unwrap_or_default();
    let (found, expected) = (chain.params.answer_gas_with(proof), chain.params.tx_gas);
    if found > expected {
        log::event(
            "not_offered",
            format_args!("model={model} evidence=optimistic answer_gas={found} tx_gas={expected}"),
        );
        return false;
    }
    let each_ms = known.prove_each_ms(kind);
    match answer_time(chain, config, rates).check([(each_ms, 1)].into_iter()) {
        Ok(()) => true,
        Err(Overload {
            found_ms,
            expected_ms,
        }) => {
            log::event(
                "not_offered",
                format_args!(
                    "model={model} evidence=optimistic prove_ms={each_ms} reckoned_ms={found_ms} window_ms={expected_ms}"
                ),
            );
            false
        }
    }
}
