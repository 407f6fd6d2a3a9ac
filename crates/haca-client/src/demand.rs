//! Demanding the proof of a receipt that was settled as `Optimistic`.

use haca_wire::state::{ModelRecord, Params};
use haca_wire::{Amount, Domain, Item, Message, ModelId, Receipt, Signed, limit};

use crate::voucher::path_under;
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

/// The message that demands the proof of one of the receipts under a settled voucher, which are `items`; `None` behind
/// their end.
pub fn demand_under(items: &[Item], index: usize, domain: &Domain) -> Option<Message> {
    let value = &items.get(index)?.receipt.value;
    Some(Message::Demand {
        channel: value.channel,
        first: items.first()?.receipt.value.sequence,
        sequence: value.sequence,
        receipt: value.hash(domain),
        path: path_under(items, index, domain)?,
    })
}

/// What the payer deposits with a demand, in OPG (`spec/ledger.md`, L17.2.3): the node's when it answers, else returned.
/// `None` when no receipt of the model can be proven alone.
pub fn demand_deposit(params: &Params, base_fee: Amount, model: &ModelRecord) -> Option<Amount> {
    let (gas, proving) = deposit_parts(params, model)?;
    let burned = base_fee.0.saturating_mul(gas.into());
    Some(Amount(burned.saturating_add(proving)))
}

/// The highest base fee at which a demand deposits no more than `most`: signed for it, the chain takes no more. `None`
/// when no base fee is low enough, or no receipt of the model can be proven alone.
fn base_fee_of_deposit(params: &Params, most: Amount, model: &ModelRecord) -> Option<Amount> {
    let (gas, proving) = deposit_parts(params, model)?;
    let base_fee = most.0.checked_sub(proving)?.checked_div(gas.into())?;
    (base_fee > 0).then_some(Amount(base_fee))
}

/// Gas that a deposit pays at the base fee, and OPG that it pays for proving.
fn deposit_parts(params: &Params, model: &ModelRecord) -> Option<(u64, u128)> {
    let gas = params
        .gas_byte
        .0
        .saturating_mul(limit::TX_BYTES as u64)
        .saturating_add(params.gas_flat.0)
        .saturating_add(params.gas_signature.0)
        .saturating_add(model.gas(1)?.0)
        .min(params.tx_gas.0);
    let proving = params.prove_price.0.saturating_mul(model.units.into());
    Some((gas, proving.div_ceil(1_000_000)))
}

impl NodeClient {
    /// What a demand of a model's receipt would cost as a deposit at the present base fee.
    ///
    /// # Errors
    ///
    /// [`ClientError::UnknownModel`], also for a model of which no receipt can be proven alone.
    pub fn deposit_of_demand(&self, model: ModelId) -> Result<Amount, ClientError> {
        let (params, base_fee) = (self.params()?, self.clock()?.base_fee);
        let deposit = demand_deposit(&params, base_fee, &self.known_model(model)?);
        deposit.ok_or_else(|| self.unknown_model(model))
    }

    /// The base fee to sign a demand of a model's receipt for, so that the chain takes at most `most` as a deposit; `None`
    /// when the present one is above it.
    ///
    /// # Errors
    ///
    /// [`ClientError::UnknownModel`].
    pub fn base_fee_of_demand(&self, model: ModelId, most: Amount) -> Result<Option<Amount>, ClientError> {
        let record = self.known_model(model)?;
        let highest = base_fee_of_deposit(&self.params()?, most, &record);
        let present = self.clock()?.base_fee;
        Ok(highest.filter(|highest| *highest >= present))
    }

    fn known_model(&self, model: ModelId) -> Result<ModelRecord, ClientError> {
        self.model(model)?.ok_or_else(|| self.unknown_model(model))
    }

    fn unknown_model(&self, model: ModelId) -> ClientError {
        let url = self.url().to_owned();
        ClientError::UnknownModel { url, model }
    }
}
