//! Bond and Unbond.

use haca_wire::state::{BondRecord, Queue, UnbondingRecord, key};
use haca_wire::{Address, Amount, AssetId};

use super::{Execution, Stop, later};
use crate::bank::Purse;
use crate::error::LedgerError;
use crate::outcome::Effect;
use crate::overlay::Overlay;
use crate::refusal::Refusal;

impl Execution<'_, '_> {
    /// Adds to the sender's bond (`spec/ledger.md`, Bond).
    pub(super) fn bond(&mut self, asset: AssetId, amount: Amount) -> Result<(), Stop> {
        if amount.0 == 0 {
            return Err(Refusal::ZeroAmount.into());
        }
        let node = self.sender;
        self.need_free_node(node)?;
        self.need_asset(asset)?;
        self.state
            .shift(asset, Purse::Balance(node), Purse::Bonds, amount)?;
        let key = key::bond(node, asset);
        let mut bond: BondRecord = self.state.get(&key)?.unwrap_or_default();
        bond.total = bond.total.checked_add(amount).ok_or(OUT_OF_RANGE)?;
        self.state.put(key, &bond);
        self.effects.push(Effect::Bonded { node, asset, amount });
        Ok(())
    }

    /// Takes from the unreserved part of the sender's bond; a jailed node may (`spec/ledger.md`, Unbond).
    pub(super) fn unbond(&mut self, asset: AssetId, amount: Amount) -> Result<(), Stop> {
        if amount.0 == 0 {
            return Err(Refusal::ZeroAmount.into());
        }
        let node = self.sender;
        self.need_node(node)?;
        let key = key::bond(node, asset);
        let mut bond: BondRecord = self.state.get(&key)?.unwrap_or_default();
        if bond.free() < amount {
            return Err(Refusal::InsufficientBond {
                asset,
                found: bond.free(),
                expected: amount,
            }
            .into());
        }
        bond.total = bond.total.checked_sub(amount).ok_or(OUT_OF_RANGE)?;
        if bond == BondRecord::default() {
            self.state.delete(key);
        } else {
            self.state.put(key, &bond);
        }
        self.state.shift(asset, Purse::Bonds, Purse::Unbonding, amount)?;
        let matures = later(self.rules.tick, self.rules.params.unbonding);
        let mut queue: Queue = self.state.need(key::UNBONDING_QUEUE)?;
        self.state.put(
            key::unbonding(queue.tail),
            &UnbondingRecord {
                node,
                asset,
                amount,
                matures,
            },
        );
        queue.tail = queue.tail.saturating_add(1);
        self.state.put(key::UNBONDING_QUEUE.to_vec(), &queue);
        self.effects.push(Effect::Unbonding {
            node,
            asset,
            amount,
            matures,
        });
        Ok(())
    }
}

/// Frees a reserved part of a node's bond.
pub(super) fn release(
    state: &mut Overlay<'_>,
    node: Address,
    asset: AssetId,
    amount: Amount,
) -> Result<(), Stop> {
    if amount.0 == 0 {
        return Ok(());
    }
    let key = key::bond(node, asset);
    let mut bond: BondRecord = state.need(&key)?;
    bond.reserved = bond.reserved.checked_sub(amount).ok_or(OUT_OF_RANGE)?;
    state.put(key, &bond);
    Ok(())
}

/// Moves a reserved part of a node's bond to `payer`.
pub(super) fn seize(
    state: &mut Overlay<'_>,
    node: Address,
    asset: AssetId,
    amount: Amount,
    payer: Address,
) -> Result<(), Stop> {
    if amount.0 == 0 {
        return Ok(());
    }
    let key = key::bond(node, asset);
    let mut bond: BondRecord = state.need(&key)?;
    bond.total = bond.total.checked_sub(amount).ok_or(OUT_OF_RANGE)?;
    bond.reserved = bond.reserved.checked_sub(amount).ok_or(OUT_OF_RANGE)?;
    if bond == BondRecord::default() {
        state.delete(key);
    } else {
        state.put(key, &bond);
    }
    state.shift(asset, Purse::Bonds, Purse::Balance(payer), amount)
}

const OUT_OF_RANGE: LedgerError = LedgerError::Arithmetic { what: "bond" };
