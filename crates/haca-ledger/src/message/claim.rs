//! ClaimMissed and ClaimEquivocation.

use haca_wire::state::{ChannelRecord, ClaimKind, ClaimRecord, key};
use haca_wire::{Amount, Order, OrderHash, Receipt, Signed, Tick};

use super::bond::seize;
use super::hold::{WarrantySource, warranty_source};
use super::node::burn_stake;
use super::receipt::{check_pair, use_sequence};
use super::{Execution, Stop, later};
use crate::error::LedgerError;
use crate::outcome::Effect;
use crate::refusal::Refusal;

impl Execution<'_, '_> {
    /// Pays the warranty of an order whose receipt was not settled in time (`spec/ledger.md`, ClaimMissed).
    pub(super) fn claim_missed(
        &mut self,
        order: &Signed<Order>,
        receipt: &Signed<Receipt>,
    ) -> Result<(), Stop> {
        let (channel, sequence) = (order.value.channel, order.value.sequence);
        let mut record = self.need_live_channel(channel)?;
        if self.sender != record.payer {
            return Err(Refusal::NotThePayer {
                found: self.sender,
                expected: record.payer,
            }
            .into());
        }
        let hash = self.check_order(order, &record)?;
        check_pair(&order.value, hash, &receipt.value)?;
        let node = self.need_node(record.node)?;
        let term = self.check_receipt_of_claim(receipt, &node)?;
        self.check_claim_window(self.deadline(&order.value, &record, term))?;
        use_sequence(&mut record.window, sequence)?;
        let paid = self.pay_warranty(&mut record, order.value.warranty)?;
        if paid.0 == 0 {
            return Err(Refusal::NothingToClaim.into());
        }
        self.state.put(key::channel(channel), &record);
        let claim = ClaimRecord {
            kind: ClaimKind::Missed,
            order: hash,
            paid,
            height: self.rules.height,
        };
        self.state.put(key::claim(channel, sequence), &claim);
        self.effects.push(Effect::MissedClaimed {
            channel,
            sequence,
            paid,
        });
        Ok(())
    }

    /// Refuses a claim while the receipt may settle or is in grace, and after the claim window.
    fn check_claim_window(&self, deadline: Tick) -> Result<(), Refusal> {
        let opens = later(deadline, self.rules.params.grace);
        let shuts = later(opens, self.rules.params.claim_window);
        if self.rules.tick <= opens {
            return Err(Refusal::ClaimTooEarly {
                found: self.rules.tick,
                expected: opens,
            });
        }
        if self.rules.tick > shuts {
            return Err(Refusal::ClaimTooLate {
                found: self.rules.tick,
                expected: shuts,
            });
        }
        Ok(())
    }

    /// Pays the order's warranty, the stake burns, the node is jailed (`spec/ledger.md`, ClaimEquivocation).
    pub(super) fn claim_equivocation(
        &mut self,
        order: &Signed<Order>,
        first: &Signed<Receipt>,
        second: &Signed<Receipt>,
    ) -> Result<(), Stop> {
        let (channel, sequence) = (order.value.channel, order.value.sequence);
        let record = self.need_channel(channel)?;
        let order_hash = self.check_order(order, &record)?;
        let node = self.need_node(record.node)?;
        for receipt in [first, second] {
            if receipt.value.channel != channel || receipt.value.sequence != sequence {
                return Err(Refusal::ReceiptMismatch.into());
            }
            self.check_receipt_of_claim(receipt, &node)?;
        }
        if ![first, second]
            .iter()
            .any(|receipt| receipt.value.order == order_hash)
        {
            return Err(Refusal::ReceiptsUnrelated.into());
        }
        // The digests, not the signatures: a second signature over the same receipt says nothing new.
        if first.value.hash(&self.rules.domain) == second.value.hash(&self.rules.domain) {
            return Err(Refusal::SameReceipt.into());
        }
        self.punish_equivocation(record, &order.value, order_hash)
    }

    /// Pays the warranty of a sequence for which the node signed two different receipts, burns the node's stake, and jails
    /// it.
    pub(super) fn punish_equivocation(
        &mut self,
        mut record: ChannelRecord,
        order: &Order,
        order_hash: OrderHash,
    ) -> Result<(), Stop> {
        let (channel, sequence) = (order.channel, order.sequence);
        let claim_key = key::claim(channel, sequence);
        let before = match self.state.get::<ClaimRecord>(&claim_key)? {
            Some(claim) if claim.kind == ClaimKind::Equivocation => {
                return Err(Refusal::AlreadyClaimed.into());
            }
            Some(claim) => claim.paid,
            None => Amount(0),
        };
        // The warranty of one sequence is paid once. A closed channel has no reserve to pay it from.
        let paid = match before {
            Amount(0) => self.pay_warranty_of(&mut record, order)?,
            _ => Amount(0),
        };
        // A sequence that was still unused is void from now on; a used one stays so.
        let _ = record.window.mark(sequence);
        self.state.put(key::channel(channel), &record);
        let burned = burn_stake(self.state, record.node)?;
        let claim = ClaimRecord {
            kind: ClaimKind::Equivocation,
            order: order_hash,
            paid: before.max(paid),
            height: self.rules.height,
        };
        self.state.put(claim_key, &claim);
        self.effects.push(Effect::EquivocationClaimed {
            channel,
            sequence,
            node: record.node,
            paid,
            burned,
        });
        Ok(())
    }

    /// Pays an order's warranty: out of what its settlement put aside, if that waits, else out of the channel's reserve, and
    /// not if it went to the payer with the fee.
    fn pay_warranty_of(&mut self, record: &mut ChannelRecord, order: &Order) -> Result<Amount, Stop> {
        match warranty_source(self.state, order.channel, order.sequence)? {
            WarrantySource::Held(held_key, mut held) => {
                let paid = order.warranty.min(held.warranty);
                held.warranty = held.warranty.checked_sub(paid).ok_or(OUT_OF_RANGE)?;
                self.state.put(key::held(held_key), &*held);
                seize(self.state, held.node, held.asset, paid, held.payer)?;
                Ok(paid)
            }
            WarrantySource::Reserve => self.pay_warranty(record, order.warranty),
            WarrantySource::Forfeited => Ok(Amount(0)),
        }
    }

    /// Moves `warranty`, or what is left of the channel's reserve, from the node's bond to the payer.
    fn pay_warranty(&mut self, record: &mut ChannelRecord, warranty: Amount) -> Result<Amount, Stop> {
        let paid = warranty.min(record.reserve);
        record.reserve = record.reserve.checked_sub(paid).ok_or(OUT_OF_RANGE)?;
        seize(self.state, record.node, record.asset, paid, record.payer)?;
        Ok(paid)
    }
}

const OUT_OF_RANGE: LedgerError = LedgerError::Arithmetic { what: "bond" };
