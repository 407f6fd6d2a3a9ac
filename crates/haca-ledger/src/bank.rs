//! Moving assets: every unit leaves one purse and enters another, and the supply record follows.

use haca_wire::state::{Supply, key};
use haca_wire::{Address, Amount, AssetId};

use crate::error::LedgerError;
use crate::message::Stop;
use crate::overlay::Overlay;
use crate::refusal::Refusal;

/// Where an amount can be. The records of channels, held fees, bonds, stakes and the unbonding queue hold the shares of their
/// purse; whoever moves an amount updates them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purse {
    /// An account's balance.
    Balance(Address),
    /// Channel deposits.
    Escrow,
    /// Fees that wait, and deposits of demands.
    Held,
    /// Bonds.
    Bonds,
    /// Stakes of inference nodes and validators.
    Stakes,
    /// The queues of bond and stake on its way out.
    Unbonding,
    /// The validators' pool; OPG only.
    Pool,
    /// Gone.
    Burned,
}

impl Overlay<'_> {
    /// An account's balance.
    pub(crate) fn balance(&self, account: Address, asset: AssetId) -> Result<Amount, LedgerError> {
        Ok(self.get(&key::balance(account, asset))?.unwrap_or_default())
    }

    /// Moves `amount`. Refused when a balance is too small; any other shortage is a broken invariant.
    pub(crate) fn shift(
        &mut self,
        asset: AssetId,
        from: Purse,
        to: Purse,
        amount: Amount,
    ) -> Result<(), Stop> {
        let mut supply: Supply = self.need(&key::supply(asset))?;
        self.take(asset, from, amount, &mut supply)?;
        self.give(asset, to, amount, &mut supply)?;
        self.put(key::supply(asset), &supply);
        Ok(())
    }

    fn take(
        &mut self,
        asset: AssetId,
        purse: Purse,
        amount: Amount,
        supply: &mut Supply,
    ) -> Result<(), Stop> {
        match purse {
            Purse::Balance(account) => {
                let found = self.balance(account, asset)?;
                let left = found.checked_sub(amount).ok_or(Refusal::InsufficientBalance {
                    asset,
                    found,
                    expected: amount,
                })?;
                self.put_balance(account, asset, left);
            }
            Purse::Pool => {
                let pool: Amount = self.need(key::POOL)?;
                let left = pool.checked_sub(amount).ok_or(OUT_OF_RANGE)?;
                self.put(key::POOL.to_vec(), &left);
            }
            _ => {}
        }
        let part = part(supply, purse);
        *part = part.checked_sub(amount).ok_or(OUT_OF_RANGE)?;
        Ok(())
    }

    fn give(
        &mut self,
        asset: AssetId,
        purse: Purse,
        amount: Amount,
        supply: &mut Supply,
    ) -> Result<(), Stop> {
        match purse {
            Purse::Balance(account) => {
                let found = self.balance(account, asset)?;
                let sum = found.checked_add(amount).ok_or(OUT_OF_RANGE)?;
                self.put_balance(account, asset, sum);
            }
            Purse::Pool => {
                let pool: Amount = self.need(key::POOL)?;
                let sum = pool.checked_add(amount).ok_or(OUT_OF_RANGE)?;
                self.put(key::POOL.to_vec(), &sum);
            }
            _ => {}
        }
        let part = part(supply, purse);
        *part = part.checked_add(amount).ok_or(OUT_OF_RANGE)?;
        Ok(())
    }

    fn put_balance(&mut self, account: Address, asset: AssetId, amount: Amount) {
        let key = key::balance(account, asset);
        if amount.0 == 0 {
            self.delete(key);
        } else {
            self.put(key, &amount);
        }
    }
}

const OUT_OF_RANGE: LedgerError = LedgerError::Arithmetic { what: "supply" };

fn part(supply: &mut Supply, purse: Purse) -> &mut Amount {
    match purse {
        Purse::Balance(_) => &mut supply.balances,
        Purse::Escrow => &mut supply.escrow,
        Purse::Held => &mut supply.held,
        Purse::Bonds => &mut supply.bonds,
        Purse::Stakes => &mut supply.stakes,
        Purse::Unbonding => &mut supply.unbonding,
        Purse::Pool => &mut supply.pool,
        Purse::Burned => &mut supply.burned,
    }
}
