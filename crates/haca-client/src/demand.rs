//! Demanding the proof of a receipt that was settled as `Optimistic`.

use haca_wire::state::{ModelRecord, Params};
use haca_wire::{Amount, Domain, Item, Message, ModelId, Receipt, Sequence, Signed, merkle};

use crate::voucher::{leaves, path_under};
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
    let path = path_under(&leaves(items, domain), index)?;
    let first = items.first()?.receipt.value.sequence;
    Some(demand_at(first, &items.get(index)?.receipt, path, domain))
}

/// The message that demands the proof of a receipt under a settled voucher, whose first sequence is `first` and to whose root
/// the path leads.
pub fn demand_at(
    first: Sequence,
    receipt: &Signed<Receipt>,
    path: Vec<merkle::Hash>,
    domain: &Domain,
) -> Message {
    let value = &receipt.value;
    Message::Demand {
        channel: value.channel,
        first,
        sequence: value.sequence,
        receipt: value.hash(domain),
        path,
    }
}

/// The highest base fee at which a demand deposits no more than `most`: signed for it, the chain takes no more. `None`
/// when no base fee is low enough, or the model is not provable.
fn base_fee_of_deposit(params: &Params, most: Amount, model: &ModelRecord) -> Option<Amount> {
    let gas = params.answer_gas(model).filter(|_| params.is_provable(model))?;
    let rest = most.0.checked_sub(params.proving_deposit(model).0)?;
    let base_fee = rest.checked_div(gas.0.into())?;
    (base_fee > 0).then_some(Amount(base_fee))
}

impl NodeClient {
    /// What a demand of a model's receipt would cost as a deposit at the present base fee.
    ///
    /// # Errors
    ///
    /// [`ClientError::UnknownModel`], also for a model of which no receipt can be proven alone.
    pub fn deposit_of_demand(&self, model: ModelId) -> Result<Amount, ClientError> {
        let (params, base_fee) = (self.params()?, self.clock()?.base_fee);
        let deposit = params.demand_deposit(base_fee, &self.known_model(model)?);
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
