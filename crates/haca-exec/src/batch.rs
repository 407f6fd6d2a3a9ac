//! How many receipts fit into one settlement transaction: its bytes, its gas, and what one proof covers.

use haca_wire::state::Params;
use haca_wire::{TensorSpec, limit};

use crate::model::ServedModel;

/// Bytes of an order with its receipt, with room to spare.
const ITEM_BYTES: usize = 1024;
/// Bytes of a transaction beside its items and evidence, with room to spare.
const FRAME_BYTES: usize = 1024;

/// The most receipts, up to `wanted`, that one transaction settles; of a model with a proof, else with signatures
/// only. 0 when not even one receipt can be settled, so that none must be signed.
pub(crate) fn most(params: &Params, model: Option<&ServedModel>, wanted: usize) -> usize {
    let provable = model.map_or(limit::ITEMS, |model| model.batch);
    let mut count = wanted.min(limit::ITEMS).min(provable);
    while count > 0 && !fits(params, model, count) {
        count -= 1;
    }
    count
}

fn fits(params: &Params, model: Option<&ServedModel>, count: usize) -> bool {
    let (mut evidence_bytes, mut evidence_gas) = (0usize, 0u64);
    if let Some(model) = model {
        let key = model.key.verifying_key();
        let public = tensors(model.inputs()).saturating_add(tensors(&model.outputs));
        evidence_bytes = count
            .saturating_mul(public)
            .saturating_add(key.proof_bytes_bound(count));
        evidence_gas = key.verification_gas(count).0;
    }
    let bytes = count
        .saturating_mul(ITEM_BYTES)
        .saturating_add(evidence_bytes)
        .saturating_add(FRAME_BYTES);
    let signatures = (count as u64).saturating_mul(2).saturating_add(1);
    let gas = params
        .gas_flat
        .0
        .saturating_add(params.gas_byte.0.saturating_mul(bytes as u64))
        .saturating_add(params.gas_signature.0.saturating_mul(signatures))
        .saturating_add(evidence_gas);
    bytes <= limit::TX_BYTES && gas <= params.tx_gas.0
}

/// Bytes of the encoded tensors of these types.
fn tensors(specs: &[TensorSpec]) -> usize {
    specs.iter().fold(8, |sum, spec| {
        let values = spec.shape.elements().saturating_mul(spec.dtype.width());
        sum.saturating_add(values).saturating_add(64)
    })
}

#[cfg(test)]
mod tests {
    use haca_wire::{Amount, Gas};

    use super::*;

    fn params(tx_gas: u64) -> Params {
        Params {
            block_gas: Gas(2_000_000_000),
            tx_gas: Gas(tx_gas),
            block_bytes: 8 << 20,
            gas_flat: Gas(50_000),
            gas_byte: Gas(10),
            gas_signature: Gas(300_000),
            node_stake: Amount(1),
            quote_lifetime: 1,
            tx_lifetime: 1,
            settle_horizon: 1,
            grace: 1,
            claim_window: 1,
            demand_window: 1,
            respond_window: 1,
            respond_step: 1,
            prove_price: Amount(0),
            unbonding: 3,
            signer_grace: 1,
            reward_divisor: 0,
            gas_registration: Gas(1),
        }
    }

    #[test]
    fn a_batch_never_needs_more_gas_than_a_transaction_may() {
        let most = most(&params(400_000_000), None, limit::ITEMS);
        let signatures = (2 * most as u64 + 1) * 300_000;
        assert!((500..limit::ITEMS).contains(&most), "{most}");
        assert!(signatures + 50_000 <= 400_000_000);
    }

    #[test]
    fn what_was_asked_for_is_not_exceeded() {
        assert_eq!(most(&params(400_000_000), None, 32), 32);
    }

    #[test]
    fn receipts_that_no_transaction_settles_are_seen_beforehand() {
        assert_eq!(most(&params(900_000), None, 32), 0);
    }
}
