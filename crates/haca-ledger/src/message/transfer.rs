//! Transfer.

use haca_wire::{Address, Amount, AssetId};

use super::{Execution, Stop};
use crate::bank::Purse;
use crate::outcome::Effect;
use crate::refusal::Refusal;

impl Execution<'_, '_> {
    /// Moves an asset from the sender to another account (`spec/ledger.md`, Transfer).
    pub(super) fn transfer(&mut self, to: Address, asset: AssetId, amount: Amount) -> Result<(), Stop> {
        if amount.0 == 0 {
            return Err(Refusal::ZeroAmount.into());
        }
        if to.is_zero() {
            return Err(Refusal::ZeroAddress.into());
        }
        self.need_asset(asset)?;
        let from = self.sender;
        self.state
            .shift(asset, Purse::Balance(from), Purse::Balance(to), amount)?;
        self.effects.push(Effect::Transferred {
            from,
            to,
            asset,
            amount,
        });
        Ok(())
    }
}
