//! What a settlement moved and burned, read from the states before and after its block.

use haca_client::SettledReceipt;
use haca_wire::state::{ChannelRecord, Supply};
use haca_wire::{Address, Amount, AssetId};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::screen::{Ink, Screen};
use crate::session::{Session, client};
use crate::state::decimal;

/// Balances around the settlement.
pub(super) struct Books {
    payout: Amount,
    pub(super) opg: Supply,
}

/// What the ledger says before and after the block that settled the receipt.
pub(super) struct Ledgered {
    pub(super) before: Books,
    pub(super) after: Books,
    gas: u64,
}

impl Ledgered {
    /// Reads both states by height, so that nothing before or after the block is counted.
    pub(super) fn read(
        session: &Session,
        channel: &ChannelRecord,
        settled: &SettledReceipt,
    ) -> Result<Self, Failure> {
        let payout = settled.settlement.payout;
        let height = settled.height;
        let earlier = haca_wire::Height(height.0.saturating_sub(1));
        let included = session.node.transaction(settled.settlement.tx).map_err(client)?;
        Ok(Self {
            before: Books::at(session, payout, channel.asset, earlier)?,
            after: Books::at(session, payout, channel.asset, height)?,
            gas: included.map_or(0, |included| included.gas_used),
        })
    }

    fn burned(&self) -> Amount {
        self.after
            .opg
            .burned
            .checked_sub(self.before.opg.burned)
            .unwrap_or_default()
    }

    fn base_fee(&self) -> u128 {
        self.burned().0.checked_div(u128::from(self.gas)).unwrap_or(0)
    }

    pub(super) fn json(&self, settled: &SettledReceipt) -> Value {
        json!({
            "tx": settled.settlement.tx.to_string(),
            "height": settled.height.0,
            "fee": settled.settlement.fee.to_string(),
            "payout_before": self.before.payout.to_string(),
            "payout_after": self.after.payout.to_string(),
            "gas": self.gas,
            "base_fee": self.base_fee().to_string(),
            "burned": self.burned().to_string(),
        })
    }

    pub(super) fn say(&self, screen: &Screen) {
        let fee = Amount(self.after.payout.0.saturating_sub(self.before.payout.0));
        screen.say(screen.ink(Ink::Bold, "Settlement"));
        screen.say(format!(
            "  fee       {} DUSD, whole, to the inference node",
            decimal(fee.0, 6)
        ));
        screen.say(format!(
            "  burned    {} OPG = {} gas x {} base fee",
            decimal(self.burned().0, 9),
            self.gas,
            self.base_fee()
        ));
        screen.say(format!(
            "  supply    {} OPG before",
            decimal(self.before.opg.existing().0, 9)
        ));
        screen.say(format!(
            "            {} OPG after",
            decimal(self.after.opg.existing().0, 9)
        ));
    }
}

impl Books {
    fn at(
        session: &Session,
        payout: Address,
        asset: AssetId,
        height: haca_wire::Height,
    ) -> Result<Self, Failure> {
        let balance = haca_wire::state::key::balance(payout, asset);
        let supply = haca_wire::state::key::supply(AssetId::OPG);
        let payout = session.node.record_at(&balance, height).map_err(client)?;
        let opg: Option<Supply> = session.node.record_at(&supply, height).map_err(client)?;
        Ok(Self {
            payout: payout.unwrap_or_default(),
            opg: opg.unwrap_or_default(),
        })
    }
}
