//! ClaimMissed and ClaimEquivocation.

use haca_wire::state::{BondRecord, ChannelRecord, ClaimKind, ClaimRecord, key};
use haca_wire::{Amount, AssetId, Order, Receipt, Signed, Tick};

use super::receipt::{check_pair, use_sequence};
use super::{Execution, Stop, later};
use crate::bank::Purse;
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
        let mut record = self.need_channel(channel)?;
        let order_hash = self.check_order(order, &record)?;
        let mut node = self.need_node(record.node)?;
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
            Amount(0) => self.pay_warranty(&mut record, order.value.warranty)?,
            _ => Amount(0),
        };
        // A sequence that was still unused is void from now on; a used one stays so.
        let _ = record.window.mark(sequence);
        self.state.put(key::channel(channel), &record);
        let burned = node.stake;
        self.state
            .shift(AssetId::OPG, Purse::Stakes, Purse::Burned, burned)?;
        node.stake = Amount(0);
        node.jailed = true;
        self.state.put(key::node(record.node), &node);
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

    /// Moves `warranty`, or what is left of the channel's reserve, from the node's bond to the payer.
    fn pay_warranty(&mut self, record: &mut ChannelRecord, warranty: Amount) -> Result<Amount, Stop> {
        let paid = warranty.min(record.reserve);
        if paid.0 == 0 {
            return Ok(paid);
        }
        let key = key::bond(record.node, record.asset);
        let mut bond: BondRecord = self.state.need(&key)?;
        bond.total = bond.total.checked_sub(paid).ok_or(OUT_OF_RANGE)?;
        bond.reserved = bond.reserved.checked_sub(paid).ok_or(OUT_OF_RANGE)?;
        record.reserve = record.reserve.checked_sub(paid).ok_or(OUT_OF_RANGE)?;
        if bond == BondRecord::default() {
            self.state.delete(key);
        } else {
            self.state.put(key, &bond);
        }
        self.state
            .shift(record.asset, Purse::Bonds, Purse::Balance(record.payer), paid)?;
        Ok(paid)
    }
}

const OUT_OF_RANGE: LedgerError = LedgerError::Arithmetic { what: "bond" };
