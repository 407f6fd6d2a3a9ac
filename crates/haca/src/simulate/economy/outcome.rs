//! What a block changes for the agents, and what is measured of it.

use haca_ledger::{BlockOutcome, Effect, TxOutcome};

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
            if let Purpose::Settle { node, .. } = &purpose {
                self.charge(*node, paid, outlook);
                if let Some(spent) = spent.get_mut(*node) {
                    *spent += paid;
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
    }

    fn take_effect(
        &mut self,
        purpose: Purpose,
        outcome: &TxOutcome,
        outlook: &Outlook,
        claimed: &mut [BTreeSet<usize>],
    ) {
        match purpose {
            Purpose::Open { channel } => self.channels.push(*channel),
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

    /// Fees arrived.
    fn settled(&mut self, index: usize, positions: Vec<usize>, outlook: &Outlook) {
        self.day.proof();
        self.day
            .add(Column::NodeProfit, -network(proof_usd(positions.len())));
        let Some(node) = self.nodes.get(index) else {
            return;
        };
        for answer in positions.iter().filter_map(|at| node.queue.get(*at)) {
            let Some(channel) = self.channels.get_mut(answer.channel) else {
                continue;
            };
            channel.outstanding -= 1;
            channel.reserve += answer.warranty;
            let usd = outlook.usd(answer.asset, answer.fee);
            self.fees += usd;
            let column = if answer.asset == ALT {
                Column::FeesAlt
            } else {
                Column::FeesUsd
            };
            self.day.add(column, network(usd));
            self.day.add(Column::NodeProfit, network(usd));
            self.day.add(Column::Settled, SAMPLE as f64);
            if channel.payer == 0 {
                self.day.add(Column::SettledTop, SAMPLE as f64);
            }
        }
        if let Some(settled) = self.settled_positions.get_mut(index) {
            settled.extend(positions);
        }
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
