//! SettleBatch: evidence checked, fees paid, sequences used, all or nothing.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use haca_wire::state::{ChannelRecord, HeldKey, HeldRecord, ModelRecord, NodeRecord, key};
use haca_wire::{
    Address, Amount, Evidence, EvidenceKind, Group, Inference, Item, ModelId, Order, OrderHash, Receipt,
    ReceiptHash, RenderId, Settlement, proof_context, render, tensor_root,
};

use super::hold::hold;
use super::receipt::{check_pair, use_sequence};
use super::{Execution, Stop, Trust, later};
use crate::bank::Purse;
use crate::outcome::Effect;
use crate::refusal::Refusal;

/// What is settled at once: one order with its receipt, or a voucher.
pub(super) struct Charge {
    pub(super) held_key: HeldKey,
    pub(super) count: u32,
    pub(super) order: OrderHash,
    pub(super) receipt: ReceiptHash,
    pub(super) model: ModelId,
    pub(super) evidence: EvidenceKind,
    pub(super) fee: Amount,
    pub(super) warranty: Amount,
}

impl Execution<'_, '_> {
    /// Settles every receipt of every group, or none (`spec/ledger.md`, SettleBatch). The cheap checks of all
    /// groups come before the first proof.
    pub(super) fn settle_batch(&mut self, groups: &[Group]) -> Result<(), Stop> {
        let mut models = BTreeMap::new();
        let mut proofs = Vec::new();
        for group in groups {
            let (id, model) = self.model_of(group, &mut models)?;
            let mut receipts = Vec::new();
            for item in &group.items {
                receipts.push(self.settle_item(item, group, id, model)?);
            }
            if let Evidence::Zk { inferences, proof } = &group.evidence {
                let settled = group.items.iter().map(|item| &item.receipt.value);
                check_tensors(settled, inferences, id, model)?;
                proofs.push((id, receipts, inferences, proof));
            }
        }
        let Trust::Checked(checker) = self.rules.trust else {
            return Ok(());
        };
        for (id, receipts, inferences, proof) in proofs {
            let model: ModelRecord = self.state.need(&key::model(id))?;
            let context = proof_context(&self.rules.domain, &receipts);
            checker
                .settlement(&model.verifying_key, &context, inferences, proof)
                .map_err(|reason| Refusal::Evidence { reason })?;
        }
        Ok(())
    }

    /// The one model that the group's orders name, registered in an earlier block: gas was computed from the state
    /// before this block. `models` keeps what was read: a batch may have a thousand groups.
    fn model_of<'m>(
        &self,
        group: &Group,
        models: &'m mut BTreeMap<ModelId, ModelRecord>,
    ) -> Result<(ModelId, &'m ModelRecord), Stop> {
        let mut named = group.items.iter().map(|item| item.order.value.model);
        let id = named.next().unwrap_or_default();
        if let Some(found) = named.find(|model| *model != id) {
            return Err(Refusal::MixedModels { found, expected: id }.into());
        }
        let record = match models.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let record: Option<ModelRecord> = self.state.get(&key::terms(id))?;
                place.insert(record.ok_or(Refusal::UnknownModel { model: id })?)
            }
        };
        self.check_model_age(id, record)?;
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
        let mut channel = self.need_live_channel(order.channel)?;
        let node = self.need_node(channel.node)?;
        let order_hash = self.check_item(item, group.evidence.kind(), &channel, &node)?;
        check_terms(order, receipt, model)?;
        use_sequence(&mut channel.window, order.sequence)?;
        let hash = receipt.hash(&self.rules.domain);
        let charge = Charge {
            held_key: HeldKey {
                channel: order.channel,
                first: order.sequence,
            },
            count: 1,
            order: order_hash,
            receipt: hash,
            model: id,
            evidence: order.evidence,
            fee: receipt.fee,
            warranty: order.warranty,
        };
        self.charge(channel, node.payout, model, &charge)?;
        Ok(hash)
    }

    /// Takes the fee of what is settled from the deposit: to the payout address at once, or on hold while a proof can be
    /// demanded.
    pub(super) fn charge(
        &mut self,
        mut channel: ChannelRecord,
        payout: Address,
        model: &ModelRecord,
        charge: &Charge,
    ) -> Result<(), Stop> {
        let fee = charge.fee;
        channel.deposit = channel.deposit.checked_sub(fee).ok_or(Refusal::DepositShort {
            found: channel.deposit,
            expected: fee,
        })?;
        channel.paid = Amount(channel.paid.0.saturating_add(fee.0));
        channel.settled = channel.settled.saturating_add(charge.count.into());
        let optimistic = charge.evidence == EvidenceKind::Optimistic;
        let to = if optimistic {
            Purse::Held
        } else {
            Purse::Balance(payout)
        };
        self.state.shift(channel.asset, Purse::Escrow, to, fee)?;
        if optimistic {
            self.check_provable(charge.model, model)?;
            self.put_on_hold(&mut channel, payout, charge)?;
        }
        self.state.put(key::channel(charge.held_key.channel), &channel);
        self.effects.push(Effect::Settled(Box::new(Settlement {
            channel: charge.held_key.channel,
            sequence: charge.held_key.first,
            order: charge.order,
            receipt: charge.receipt,
            model: charge.model,
            evidence: charge.evidence,
            payer: channel.payer,
            node: channel.node,
            payout,
            asset: channel.asset,
            fee,
            tx: self.tx,
        })));
        Ok(())
    }

    /// Puts fee and warranty aside until the demand window has passed. The warranty leaves the channel's reserve and stays
    /// a reserved part of the node's bond, so nothing else can use it up meanwhile.
    fn put_on_hold(
        &mut self,
        channel: &mut ChannelRecord,
        payout: Address,
        charge: &Charge,
    ) -> Result<(), Stop> {
        let warranty = charge.warranty.min(channel.reserve);
        channel.reserve = Amount(channel.reserve.0.saturating_sub(warranty.0));
        let held = HeldRecord {
            payer: channel.payer,
            node: channel.node,
            payout,
            asset: channel.asset,
            model: charge.model,
            count: charge.count,
            receipts: charge.receipt.0,
            fee: charge.fee,
            warranty,
            matures: later(self.rules.tick, self.rules.params.demand_window),
            demand: None,
        };
        hold(self.state, charge.held_key, &held)
    }

    /// Refuses a model of which the answer to a demand may not fit into a transaction.
    pub(super) fn check_provable(&self, model: ModelId, record: &ModelRecord) -> Result<(), Refusal> {
        if self.rules.params.is_provable(record) {
            return Ok(());
        }
        Err(Refusal::NotProvable { model })
    }

    /// Refuses a model that was registered in this block: gas was computed from the state before it.
    pub(super) fn check_model_age(&self, model: ModelId, record: &ModelRecord) -> Result<(), Refusal> {
        if record.registered >= self.rules.height {
            return Err(Refusal::ModelTooNew { model });
        }
        Ok(())
    }

    /// Who sends, who signed, which evidence, and in time: all that does not depend on the money. Returns the
    /// order's hash.
    fn check_item(
        &self,
        item: &Item,
        evidence: EvidenceKind,
        channel: &ChannelRecord,
        node: &NodeRecord,
    ) -> Result<OrderHash, Refusal> {
        let order = &item.order.value;
        if self.sender != channel.node && node.signer() != Some(self.sender) {
            return Err(Refusal::NotTheNode {
                found: self.sender,
                expected: channel.node,
            });
        }
        let order_hash = self.check_order(&item.order, channel)?;
        check_pair(order, order_hash, &item.receipt.value)?;
        let term = self.check_receipt(&item.receipt, node)?;
        if item.receipt.value.input_root != order.input_root {
            return Err(Refusal::OrderInput);
        }
        if order.evidence != evidence {
            return Err(Refusal::EvidenceKind {
                found: evidence.name(),
                expected: order.evidence.name(),
            });
        }
        let deadline = self.deadline(order, channel, term);
        if self.rules.tick > deadline {
            return Err(Refusal::SettleByPassed {
                found: self.rules.tick,
                expected: deadline,
            });
        }
        Ok(order_hash)
    }
}

/// The inferences are the receipts' own, one each, and as many as the key covers.
pub(super) fn check_tensors<'r>(
    receipts: impl ExactSizeIterator<Item = &'r Receipt>,
    inferences: &[Inference],
    id: ModelId,
    model: &ModelRecord,
) -> Result<(), Refusal> {
    if inferences.len() != receipts.len() {
        return Err(Refusal::InferenceCount {
            found: inferences.len(),
            expected: receipts.len(),
        });
    }
    if model.gas(inferences.len()).is_none() {
        return Err(Refusal::BatchTooLarge {
            found: inferences.len(),
            expected: model.max_batch as usize,
        });
    }
    for (index, (inference, receipt)) in inferences.iter().zip(receipts).enumerate() {
        if tensor_root(&inference.inputs) != receipt.input_root {
            return Err(Refusal::InputRoot { index });
        }
        if tensor_root(&inference.outputs) != receipt.output_root {
            return Err(Refusal::OutputRoot { index });
        }
        // Tensors of another shape than the model's are refused by the proof.
        let response = render::response(id, &model.outputs, &inference.outputs);
        if render::response_hash(&response) != receipt.response {
            return Err(Refusal::Response { index });
        }
    }
    Ok(())
}

/// What a receipt may say: nothing that render 1 does not have, the model's units, a fee that the order allows.
fn check_terms(order: &Order, receipt: &Receipt, model: &ModelRecord) -> Result<(), Refusal> {
    check_render(receipt)?;
    if receipt.units != model.units {
        return Err(Refusal::Units {
            found: receipt.units,
            expected: model.units,
        });
    }
    if receipt.fee > order.max_fee {
        return Err(Refusal::FeeAboveMax {
            found: receipt.fee,
            expected: order.max_fee,
        });
    }
    Ok(())
}

/// Refuses what render 1 does not have.
pub(super) fn check_render(receipt: &Receipt) -> Result<(), Refusal> {
    if receipt.render != RenderId::INFER_V1 || receipt.parameters != [0; 32] || receipt.seed != 0 {
        return Err(Refusal::Render);
    }
    Ok(())
}
