//! SettleBatch: evidence checked, fees paid, sequences used, all or nothing.

use haca_wire::state::{ModelRecord, key};
use haca_wire::{
    Evidence, Group, Inference, Item, ModelId, Receipt, ReceiptHash, RenderId, Settlement, proof_context,
    tensor_root,
};

use super::receipt::{check_pair, use_sequence};
use super::{Execution, Stop};
use crate::bank::Purse;
use crate::error::LedgerError;
use crate::outcome::Effect;
use crate::refusal::Refusal;

impl Execution<'_, '_> {
    /// Settles every receipt of every group, or none (`spec/ledger.md`, SettleBatch). The cheap checks of all
    /// groups come before the first proof.
    pub(super) fn settle_batch(&mut self, groups: &[Group]) -> Result<(), Stop> {
        let mut proofs = Vec::new();
        for group in groups {
            let (id, model) = self.model_of(group)?;
            let mut receipts = Vec::new();
            for item in &group.items {
                receipts.push(self.settle_item(item, group, id, &model)?);
            }
            if let Evidence::Zk { inferences, proof } = &group.evidence {
                self.check_tensors(group, inferences, &model)?;
                proofs.push((model, receipts, inferences, proof));
            }
        }
        for (model, receipts, inferences, proof) in proofs {
            let context = proof_context(&self.rules.domain, &receipts);
            self.rules
                .checker
                .settlement(&model.verifying_key, &context, inferences, proof)
                .map_err(|reason| Refusal::Evidence { reason })?;
        }
        Ok(())
    }

    /// The one model that the group's orders name, registered in an earlier block: gas was computed from the state
    /// before this block.
    fn model_of(&self, group: &Group) -> Result<(ModelId, ModelRecord), Stop> {
        let mut models = group.items.iter().map(|item| item.order.value.model);
        let id = models.next().unwrap_or_default();
        if let Some(found) = models.find(|model| *model != id) {
            return Err(Refusal::MixedModels { found, expected: id }.into());
        }
        let record: Option<ModelRecord> = self.state.get(&key::model(id))?;
        let record = record.ok_or(Refusal::UnknownModel { model: id })?;
        if record.registered >= self.rules.height {
            return Err(Refusal::ModelTooNew { model: id }.into());
        }
        Ok((id, record))
    }

    /// Checks one order and receipt, uses the sequence, and moves the fee. Undone with the whole batch when a later
    /// check fails.
    fn settle_item(
        &mut self,
        item: &Item,
        group: &Group,
        id: ModelId,
        model: &ModelRecord,
    ) -> Result<ReceiptHash, Stop> {
        let (order, receipt) = (&item.order.value, &item.receipt.value);
        let channel = order.channel;
        let mut record = self.need_live_channel(channel)?;
        let node = self.need_node(record.node)?;
        if self.sender != record.node && node.signer() != Some(self.sender) {
            return Err(Refusal::NotTheNode {
                found: self.sender,
                expected: record.node,
            }
            .into());
        }
        let order_hash = self.check_order(&item.order, &record)?;
        check_pair(order, order_hash, receipt)?;
        let term = self.check_receipt(&item.receipt, &node)?;
        if order.evidence != group.evidence.kind() {
            return Err(Refusal::EvidenceKind {
                found: group.evidence.kind().name(),
                expected: order.evidence.name(),
            }
            .into());
        }
        let deadline = self.deadline(order, &record, term);
        if self.rules.tick > deadline {
            return Err(Refusal::SettleByPassed {
                found: self.rules.tick,
                expected: deadline,
            }
            .into());
        }
        check_terms(receipt, model)?;
        if receipt.fee > order.max_fee {
            return Err(Refusal::FeeAboveMax {
                found: receipt.fee,
                expected: order.max_fee,
            }
            .into());
        }
        use_sequence(&mut record.window, order.sequence)?;
        record.deposit = record
            .deposit
            .checked_sub(receipt.fee)
            .ok_or(Refusal::DepositShort {
                found: record.deposit,
                expected: receipt.fee,
            })?;
        record.paid = record.paid.checked_add(receipt.fee).ok_or(OUT_OF_RANGE)?;
        record.settled = record.settled.saturating_add(1);
        self.state.shift(
            record.asset,
            Purse::Escrow,
            Purse::Balance(node.payout),
            receipt.fee,
        )?;
        self.state.put(key::channel(channel), &record);
        let hash = receipt.hash(&self.rules.domain);
        self.effects.push(Effect::Settled(Box::new(Settlement {
            channel,
            sequence: order.sequence,
            order: order_hash,
            receipt: hash,
            model: id,
            evidence: order.evidence,
            payer: record.payer,
            node: record.node,
            payout: node.payout,
            asset: record.asset,
            fee: receipt.fee,
            tx: self.tx,
        })));
        Ok(hash)
    }

    /// The inferences are the receipts' own, one each, and as many as the key covers.
    fn check_tensors(
        &self,
        group: &Group,
        inferences: &[Inference],
        model: &ModelRecord,
    ) -> Result<(), Refusal> {
        if inferences.len() != group.items.len() {
            return Err(Refusal::InferenceCount {
                found: inferences.len(),
                expected: group.items.len(),
            });
        }
        let most = model.max_batch as usize;
        let priced = self.rules.checker.gas(&model.verifying_key, inferences.len());
        if inferences.len() > most || priced.is_none() {
            return Err(Refusal::BatchTooLarge {
                found: inferences.len(),
                expected: most,
            });
        }
        for (index, (inference, item)) in inferences.iter().zip(&group.items).enumerate() {
            let receipt = &item.receipt.value;
            if tensor_root(&inference.inputs) != receipt.input_root {
                return Err(Refusal::InputRoot { index });
            }
            if tensor_root(&inference.outputs) != receipt.output_root {
                return Err(Refusal::OutputRoot { index });
            }
        }
        Ok(())
    }
}

/// What a receipt may say for a model: its units, and nothing that render 1 does not have.
fn check_terms(receipt: &Receipt, model: &ModelRecord) -> Result<(), Refusal> {
    if receipt.render != RenderId::INFER_V1 || receipt.parameters != [0; 32] || receipt.seed != 0 {
        return Err(Refusal::Render);
    }
    if receipt.units != model.units {
        return Err(Refusal::Units {
            found: receipt.units,
            expected: model.units,
        });
    }
    Ok(())
}

const OUT_OF_RANGE: LedgerError = LedgerError::Arithmetic { what: "channel" };
