//! Demanding the proof of a receipt that was settled as `Optimistic`.

use haca_wire::state::{ModelRecord, Params};
use haca_wire::{Amount, Domain, Message, ModelId, Receipt, Signed, limit};

use crate::{ClientError, NodeClient};

/// The message that demands the proof of a receipt which was settled by itself, not under a voucher.
pub fn demand(receipt: &Signed<Receipt>, domain: &Domain) -> Message {
    let value = &receipt.value;
    Message::Demand {
        channel: value.channel,
        first: value.sequence,
        sequence: value.sequence,
        receipt: value.hash(domain),
        path: Vec::new(),
    }
}

/// What the payer deposits with a demand, in OPG (`spec/ledger.md`, L17.2.3): the node's when it answers, else returned.
/// `None` when no receipt of the model can be proven alone.
pub fn demand_deposit(params: &Params, base_fee: Amount, model: &ModelRecord) -> Option<Amount> {
    let gas = params
        .gas_byte
        .0
        .saturating_mul(limit::TX_BYTES as u64)
        .saturating_add(params.gas_flat.0)
        .saturating_add(params.gas_signature.0)
        .saturating_add(model.gas(1)?.0)
        .min(params.tx_gas.0);
    let proving = params.prove_price.0.saturating_mul(model.units.into());
    let burned = base_fee.0.saturating_mul(gas.into());
    Some(Amount(burned.saturating_add(proving.div_ceil(1_000_000))))
}

impl NodeClient {
    /// What a demand of a model's receipt would cost as a deposit at the present base fee.
    ///
    /// # Errors
    ///
    /// [`ClientError::UnknownModel`], also for a model of which no receipt can be proven alone.
    pub fn deposit_of_demand(&self, model: ModelId) -> Result<Amount, ClientError> {
        let record = self.model(model)?;
        let (params, base_fee) = (self.params()?, self.clock()?.base_fee);
        let deposit = record.and_then(|record| demand_deposit(&params, base_fee, &record));
        deposit.ok_or_else(|| ClientError::UnknownModel {
            url: self.url().to_owned(),
            model,
        })
    }
}
