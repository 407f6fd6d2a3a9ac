//! Demand and Respond: a payer doubts a receipt that was settled as `Optimistic`, and the node proves it.

use haca_wire::state::{DemandRecord, DocketRecord, HeldKey, HeldRecord, ModelRecord, key};
use haca_wire::voucher::check_leaf;
use haca_wire::{
    Amount, Answer, AssetId, Domain, Inference, ModelId, ReceiptHash, Sequence, Tick, merkle, proof_context,
};

use super::hold::{close_demand, pay, schedule};
use super::settle::{check_render, check_tensors};
use super::{Execution, Stop, Trust, later};
use crate::bank::Purse;
use crate::outcome::Effect;
use crate::refusal::Refusal;

/// What an answer is about.
pub(crate) fn held_key(answer: &Answer) -> HeldKey {
    HeldKey {
        channel: answer.receipt.channel,
        first: answer.first,
    }
}

/// The held fee, if its open demand is for the answer's receipt.
pub(crate) fn open_demand(
    held: Option<HeldRecord>,
    answer: &Answer,
    domain: &Domain,
) -> Result<HeldRecord, Refusal> {
    let receipt = answer.receipt.hash(domain);
    held.filter(|held| held.demand.is_some_and(|demand| demand.receipt == receipt))
        .ok_or(Refusal::NoDemand {
            sequence: answer.receipt.sequence,
        })
}

impl Execution<'_, '_> {
    /// Opens a demand (`spec/ledger.md`, Demand).
    pub(super) fn demand(
        &mut self,
        held_key: HeldKey,
        sequence: Sequence,
        receipt: ReceiptHash,
        path: &[merkle::Hash],
    ) -> Result<(), Stop> {
        let record: Option<HeldRecord> = self.state.get(&key::held(held_key))?;
        let mut held = record.ok_or(Refusal::NothingHeld {
            first: held_key.first,
        })?;
        if self.sender != held.payer {
            return Err(Refusal::NotThePayer {
                found: self.sender,
                expected: held.payer,
            }
            .into());
        }
        if let Some(demand) = held.demand {
            return Err(Refusal::DemandOpen { due: demand.due }.into());
        }
        // The fee may wait for a sweep after that; the time to doubt it is over.
        if self.rules.tick > held.matures {
            return Err(Refusal::DemandTooLate {
                found: self.rules.tick,
                expected: held.matures,
            }
            .into());
        }
        check_receipt_of(&held, held_key, sequence, &receipt, path)?;
        let deposit = self.deposit_of(held.model)?;
        let payer = Purse::Balance(self.sender);
        self.state.shift(AssetId::OPG, payer, Purse::Held, deposit)?;
        let due = self.enter_docket(&held)?;
        held.demand = Some(DemandRecord {
            sequence,
            receipt,
            deposit,
            due,
        });
        self.state.put(key::held(held_key), &held);
        schedule(self.state, due, held_key)?;
        self.effects.push(Effect::Demanded {
            channel: held_key.channel,
            first: held_key.first,
            sequence,
            deposit,
            due,
        });
        Ok(())
    }

    /// What the payer deposits, at this block's base fee.
    fn deposit_of(&self, model: ModelId) -> Result<Amount, Stop> {
        let record: ModelRecord = self.state.need(&key::terms(model))?;
        let deposit = self.rules.params.demand_deposit(self.rules.base_fee, &record);
        deposit.ok_or(Refusal::NotProvable { model }.into())
    }

    /// Puts one more demand on the node's docket. A node with one demand has the respond window; each further one is due a
    /// step after the one before, so whoever demands many proofs at once gives the node the time to make them.
    fn enter_docket(&mut self, held: &HeldRecord) -> Result<Tick, Stop> {
        let docket_key = key::docket(held.node);
        let before: DocketRecord = self.state.get(&docket_key)?.unwrap_or_default();
        let params = &self.rules.params;
        let mut due = later(self.rules.tick, params.respond_window);
        if before.open > 0 {
            due = due.max(later(before.due, params.respond_step));
        }
        let open = before.open.saturating_add(1);
        self.state.put(docket_key, &DocketRecord { open, due });
        Ok(due)
    }

    /// Answers demands with one proof (`spec/ledger.md`, Respond). The proof absorbs the digests of the receipts, so it
    /// answers for nothing else; the sender is their node, so nobody else's copy of it does anything.
    pub(super) fn respond(
        &mut self,
        answers: &[Answer],
        inferences: &[Inference],
        proof: &[u8],
    ) -> Result<(), Stop> {
        let mut receipts = Vec::new();
        let mut model = None;
        for answer in answers {
            let found = self.answer(answer)?;
            let expected = *model.get_or_insert(found);
            if found != expected {
                return Err(Refusal::MixedModels { found, expected }.into());
            }
            receipts.push(answer.receipt.hash(&self.rules.domain));
        }
        let id: ModelId = model.unwrap_or_default();
        let terms: Option<ModelRecord> = self.state.get(&key::terms(id))?;
        let terms = terms.ok_or(Refusal::UnknownModel { model: id })?;
        let expected = answers.iter().map(|answer| &answer.receipt);
        check_tensors(expected, inferences, id, &terms)?;
        let Trust::Checked(checker) = self.rules.trust else {
            return Ok(());
        };
        let record: ModelRecord = self.state.need(&key::model(id))?;
        let context = proof_context(&self.rules.domain, &receipts);
        checker
            .settlement(&record.verifying_key, &context, inferences, proof)
            .map_err(|reason| Refusal::Evidence { reason }.into())
    }

    /// Closes one demand as answered, except that its proof is still to be verified. Returns the model.
    fn answer(&mut self, answer: &Answer) -> Result<ModelId, Stop> {
        let held_key = held_key(answer);
        let mut held = open_demand(self.state.get(&key::held(held_key))?, answer, &self.rules.domain)?;
        let node = self.need_node(held.node)?;
        if self.sender != held.node && node.signer() != Some(self.sender) {
            return Err(Refusal::NotTheNode {
                found: self.sender,
                expected: held.node,
            }
            .into());
        }
        check_render(&answer.receipt)?;
        let Some(demand) = held.demand.take() else {
            return Ok(held.model);
        };
        if self.rules.tick > demand.due {
            return Err(Refusal::AnswerTooLate {
                found: self.rules.tick,
                expected: demand.due,
            }
            .into());
        }
        let to = Purse::Balance(held.node);
        self.state.shift(AssetId::OPG, Purse::Held, to, demand.deposit)?;
        close_demand(self.state, held.node)?;
        self.effects.push(Effect::Answered {
            channel: held_key.channel,
            first: held_key.first,
            sequence: demand.sequence,
            deposit: demand.deposit,
        });
        // A receipt that is proven needs no further doubt; of a range, the payer may doubt another one while it lasts.
        if held.count == 1 || self.rules.tick > held.matures {
            let effect = pay(self.state, held_key, &held)?;
            self.effects.push(effect);
        } else {
            self.state.put(key::held(held_key), &held);
        }
        Ok(held.model)
    }
}

/// Refuses a receipt that is not what was settled, or not a leaf of it.
fn check_receipt_of(
    held: &HeldRecord,
    held_key: HeldKey,
    sequence: Sequence,
    receipt: &ReceiptHash,
    path: &[merkle::Hash],
) -> Result<(), Refusal> {
    let settled = if held.count == 1 {
        sequence == held_key.first && receipt.0 == held.receipts && path.is_empty()
    } else {
        let range = (held_key.first, held.count);
        check_leaf(range, &held.receipts, sequence, Some(receipt), path).is_ok()
    };
    if settled {
        Ok(())
    } else {
        Err(Refusal::NotALeaf { found: sequence })
    }
}
