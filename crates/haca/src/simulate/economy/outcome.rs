//! What a block changes for the agents, and what is measured of it.

use haca_ledger::{BlockOutcome, Effect, TxOutcome};

use super::cover::proofs_burn;
use super::demand::SPENDING_WEIGHT;
use super::*;
use crate::simulate::chain::Block;
use crate::simulate::node::{SPONSOR_MARKUP, proof_usd};

/// A sum of the sample as one of the network.
fn network(value: f64) -> f64 {
    value * SAMPLE as f64
}

impl Economy {
    /// Takes over what became of the candidates.
    pub(super) fn apply(
        &mut self,
        outlook: &Outlook,
        block: &Block,
        purposes: Vec<Purpose>,
    ) -> Result<(), Failure> {
        self.fees = 0.0;
        self.held_effects(&block.outcome.swept, outlook);
        let mut spent = vec![0u128; self.nodes.len()];
        let mut claimed: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); self.payers.len()];
        let mut purposes: Vec<Option<Purpose>> = purposes.into_iter().map(Some).collect();
        for (index, outcome) in block.chosen.iter().zip(&block.outcome.txs) {
            let Some(purpose) = purposes.get_mut(*index).and_then(Option::take) else {
                continue;
            };
            let paid = outcome.burned.0 + outcome.tip.0;
            if outcome.refusal.is_some() && !matches!(purpose, Purpose::Spam) {
                self.day.add(Column::Refused, 1.0);
            }
            if let Some(node) = purpose.settler() {
                self.charge(node, paid, outlook);
                if let Some(spent) = spent.get_mut(node) {
                    *spent += self.stock_for(&purpose, paid, outlook);
                }
            }
            if outcome.refusal.is_none() {
                self.take_effect(purpose, outcome, outlook, &mut claimed);
            }
        }
        self.clear(&claimed);
        for (node, spent) in self.nodes.iter_mut().zip(spent) {
            node.spending += SPENDING_WEIGHT * (spent as f64 - node.spending);
        }
        Ok(())
    }

    /// A node bears the gas of its settlement, whatever becomes of it.
    fn charge(&mut self, node: usize, paid: u128, outlook: &Outlook) {
        let Some(node) = self.nodes.get_mut(node) else {
            return;
        };
        let mut usd = outlook.usd(AssetId::OPG, paid);
        if node.sponsored {
            node.owed += paid;
            usd *= SPONSOR_MARKUP;
        }
        self.day.add(Column::NodeProfit, -network(usd));
        self.day.add(Column::NodeOpg, network(paid as f64 / OPG_UNITS));
    }

    /// What a node needs OPG for because of this: what it pays, and for answers under vouchers what their proofs would.
    fn stock_for(&self, purpose: &Purpose, paid: u128, outlook: &Outlook) -> u128 {
        match purpose {
            Purpose::Cover { node, ranges } => {
                let answers = ranges.iter().map(Vec::len).sum();
                let sponsored = self.nodes.get(*node).is_some_and(|node| node.sponsored);
                proofs_burn(answers, sponsored, outlook)
            }
            Purpose::Respond { .. } => 0,
            _ => paid,
        }
    }

    fn take_effect(
        &mut self,
        purpose: Purpose,
        outcome: &TxOutcome,
        outlook: &Outlook,
        claimed: &mut [BTreeSet<usize>],
    ) {
        match purpose {
            Purpose::Open { channel } => self.opened(*channel),
            Purpose::Close { channel } => {
                if let Some(channel) = self.channels.get_mut(channel) {
                    channel.open = false;
                }
            }
            Purpose::TopUp { channel, amount } => {
                if let Some(channel) = self.channels.get_mut(channel) {
                    channel.deposit += amount;
                }
            }
            Purpose::Settle { node, positions } => self.settled(node, positions, outlook),
            Purpose::Cover { node, ranges } => self.covered(node, ranges, outlook),
            Purpose::Demand => self.held_effects(&outcome.effects, outlook),
            Purpose::Respond { count, .. } => {
                self.day.add(Column::NodeProfit, -network(proof_usd(count)));
                self.held_effects(&outcome.effects, outlook);
            }
            Purpose::Claim { payer, position } => {
                if let Some(claimed) = claimed.get_mut(payer) {
                    claimed.insert(position);
                }
                self.pay_claim(payer, position, outcome, outlook);
            }
            Purpose::PaySponsor { node } => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.owed = 0;
                }
            }
            Purpose::Upkeep | Purpose::Spam => {}
        }
    }

    /// Answers were proven, and their fees arrived.
    fn settled(&mut self, index: usize, positions: Vec<usize>, outlook: &Outlook) {
        self.day.settlement();
        self.day
            .add(Column::NodeProfit, -network(proof_usd(positions.len())));
        let mut fees = Vec::new();
        let Some(node) = self.nodes.get(index) else {
            return;
        };
        for answer in positions.iter().filter_map(|at| node.queue.get(*at)) {
            let Some(channel) = self.channels.get_mut(answer.channel) else {
                continue;
            };
            channel.outstanding -= 1;
            channel.reserve += answer.warranty;
            fees.push((answer.asset, answer.fee));
            self.day.add(Column::Settled, SAMPLE as f64);
            if channel.payer == 0 {
                self.day.add(Column::SettledTop, SAMPLE as f64);
            }
        }
        if let Some(settled) = self.settled_positions.get_mut(index) {
            settled.extend(positions);
        }
        for (asset, fee) in fees {
            self.earn(asset, fee, outlook);
        }
    }

    /// A fee arrived.
    pub(super) fn earn(&mut self, asset: AssetId, fee: u128, outlook: &Outlook) {
        let usd = outlook.usd(asset, fee);
        self.fees += usd;
        let column = if asset == ALT {
            Column::FeesAlt
        } else {
            Column::FeesUsd
        };
        self.day.add(column, network(usd));
        self.day.add(Column::NodeProfit, network(usd));
    }

    /// A channel was opened. Where there is another one for the same, its last orders are settled and it is closed.
    fn opened(&mut self, channel: Channel) {
        let place = |it: &Channel| (it.payer, it.node, it.asset);
        let same = self.channels.iter_mut().filter(|it| place(it) == place(&channel));
        same.for_each(|it| it.replaced = true);
        self.channels.push(channel);
    }

    fn pay_claim(&mut self, payer: usize, position: usize, outcome: &TxOutcome, outlook: &Outlook) {
        let Some(missed) = self
            .payers
            .get(payer)
            .and_then(|payer| payer.missed.get(position))
        else {
            return;
        };
        let answer = &missed.answer;
        if let Some(channel) = self.channels.get_mut(answer.channel) {
            channel.outstanding -= 1;
            channel.deposit += answer.fee;
        }
        for effect in &outcome.effects {
            if let Effect::MissedClaimed { paid, .. } = effect {
                let usd = network(outlook.usd(answer.asset, paid.0));
                self.day.add(Column::Warranties, usd);
                self.day.add(Column::NodeProfit, -usd);
            }
        }
    }

    /// Removes what is settled from the queues, and what is claimed from the lists of missed settlements.
    fn clear(&mut self, claimed: &[BTreeSet<usize>]) {
        for (node, settled) in self.nodes.iter_mut().zip(&mut self.settled_positions) {
            let mut position = 0..;
            node.queue
                .retain(|_| position.next().is_none_or(|at| !settled.contains(&at)));
            settled.clear();
        }
        for (payer, claimed) in self.payers.iter_mut().zip(claimed) {
            let mut position = 0..;
            payer
                .missed
                .retain(|_| position.next().is_none_or(|at| !claimed.contains(&at)));
        }
    }

    /// What is measured of every block.
    pub(super) fn measure_block(
        &mut self,
        outlook: &Outlook,
        block: &BlockOutcome,
        earned: f64,
    ) -> Result<(), Failure> {
        let serving = self
            .nodes
            .iter()
            .filter(|node| node.standing == Standing::Serving);
        let prices: Vec<f64> = serving.map(|node| node.price_usd).collect();
        let price = prices.iter().sum::<f64>() / prices.len().max(1) as f64;
        let backlog: usize = self.nodes.iter().map(|node| node.queue.len()).sum();
        let existing = self.chain.supply(AssetId::OPG)?.existing().0 as f64;
        let budget = self.chain.params.block_gas.0 as f64;
        let day = &mut self.day;
        day.add(Column::BaseFee, block.base_fee.0 as f64);
        day.add(Column::BudgetUse, block.gas_used.0 as f64 / budget);
        day.add(Column::ClockStopped, f64::from(u8::from(block.exhausted)));
        day.add(Column::Burned, network(block.burned.0 as f64 / OPG_UNITS));
        day.set(Column::Existing, network(existing / OPG_UNITS));
        day.add(Column::OpgUsd, outlook.opg_usd);
        day.set(Column::Backlog, network(backlog as f64));
        day.add(Column::PriceUsd, price);
        day.add(Column::ValidatorOpg, network(earned));
        day.add(Column::ValidatorUsd, network(earned * outlook.opg_usd));
        day.end_block();
        Ok(())
    }
}
