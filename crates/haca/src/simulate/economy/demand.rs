//! What users order, and from whom.

use haca_wire::EvidenceKind;
use haca_wire::state::SEQUENCE_WINDOW;

use super::upkeep::{ALT_FLOOR_USD, WARRANTY};
use super::*;
use crate::simulate::node::COMPUTE_USD;

/// Inferences of the sample that users would order per block on the first day, were they free.
const FIRST_DEMAND: f64 = 14.0;
/// Growth of demand in a year.
const YEARLY_GROWTH: f64 = 2.0;
/// Shape of the distribution of what an inference is worth.
const WORTH_SHAPE: i32 = 3;
/// How strongly users prefer a cheaper node.
const PREFERENCE: f64 = 10.0;
/// Random variation of a kind of user's demand in a block.
const NOISE: f64 = 0.1;
/// Ticks until an order's receipt has to be settled: six days.
const SETTLE_TICKS: u64 = 24;
/// Weight of a block in the moving means of spending.
pub(super) const SPENDING_WEIGHT: f64 = 0.05;

impl Economy {
    /// All orders of a block, with their answers.
    pub(super) fn order(&mut self, now: f64) -> Result<(), Failure> {
        let outlook = self.outlook()?;
        let week = 1.0 + 0.1 * (core::f64::consts::TAU * now / 7.0).sin();
        let growth = YEARLY_GROWTH.powf(now / 365.0);
        let all = FIRST_DEMAND * growth * week * self.conditions.demand;
        let mut accepts = Vec::new();
        for node in &self.nodes {
            accepts.push(node.accepts(&outlook, self.opg_of(node)?));
        }
        for payer in 0..self.payers.len() {
            let noise = (NOISE * self.random.normal()).exp();
            self.order_of(payer, all * noise, &accepts, &outlook)?;
        }
        Ok(())
    }

    fn order_of(
        &mut self,
        index: usize,
        all: f64,
        accepts: &[bool],
        outlook: &Outlook,
    ) -> Result<(), Failure> {
        let Some(payer) = self.payers.get(index) else {
            return Ok(());
        };
        let served = |channel: &Channel| {
            let worth_taking = channel.asset != ALT || self.conditions.alt_usd > ALT_FLOOR_USD;
            let accepts = accepts.get(channel.node) == Some(&true);
            channel.payer == index && channel.open && !channel.replaced && worth_taking && accepts
        };
        let price_of = |channel: &Channel| self.nodes.get(channel.node).map_or(1.0, |node| node.price_usd);
        let choices: Vec<usize> = (0..self.channels.len())
            .filter(|at| self.channels.get(*at).is_some_and(served))
            .collect();
        let prices: Vec<f64> = choices
            .iter()
            .filter_map(|at| self.channels.get(*at))
            .map(price_of)
            .collect();
        let all = all * payer.share;
        let serving = self
            .nodes
            .iter()
            .filter(|node| node.standing == Standing::Serving);
        let posted = serving.map(|node| node.price_usd).fold(f64::MAX, f64::min);
        let best = prices.iter().copied().fold(f64::MAX, f64::min).min(1e6);
        let willing = |price: f64| all / (1.0 + (price / payer.median_usd).powi(WORTH_SHAPE));
        self.day.add(Column::Demand, willing(posted) * SAMPLE as f64);
        let wanted = willing(best);
        let weights: Vec<f64> = prices
            .iter()
            .map(|price| (PREFERENCE * (1.0 - price / best)).exp())
            .collect();
        let sum: f64 = weights.iter().sum();
        for ((at, weight), price) in choices.into_iter().zip(weights).zip(prices) {
            self.order_from(at, wanted * weight / sum, price, outlook)?;
        }
        Ok(())
    }

    /// Orders on one channel, as far as deposit, reserve and window of sequences allow.
    fn order_from(&mut self, at: usize, wanted: f64, price: f64, outlook: &Outlook) -> Result<(), Failure> {
        let Some(channel) = self.channels.get_mut(at) else {
            return Ok(());
        };
        let (Some(payer), Some(node)) = (self.payers.get(channel.payer), self.nodes.get_mut(channel.node))
        else {
            return Ok(());
        };
        let evidence = if node.covered {
            EvidenceKind::Optimistic
        } else {
            EvidenceKind::Zk
        };
        let unit = outlook
            .unit_usd
            .get(channel.asset.0 as usize)
            .copied()
            .unwrap_or(1.0);
        let fee = (price / unit).ceil() as u128;
        channel.fraction += wanted;
        let mut spent = 0.0;
        while channel.fraction >= 1.0 {
            channel.fraction -= 1.0;
            let room = channel.deposit >= fee
                && channel.reserve >= WARRANTY
                && channel.outstanding < SEQUENCE_WINDOW / 2;
            if !room {
                continue;
            }
            let settle_by = Tick(outlook.tick.0 + SETTLE_TICKS);
            let item = self.notary.item(&Deal {
                payer: &payer.key,
                node: &node.key,
                channel: channel.id,
                sequence: channel.next,
                fee,
                warranty: WARRANTY,
                evidence,
                settle_by,
                height: outlook.height,
            })?;
            channel.next += 1;
            channel.outstanding += 1;
            channel.deposit -= fee;
            channel.reserve -= WARRANTY;
            spent += fee as f64;
            self.day.add(Column::NodeProfit, -COMPUTE_USD * SAMPLE as f64);
            node.queue.push(Answer {
                item,
                channel: at,
                asset: channel.asset,
                fee,
                warranty: WARRANTY,
                made: outlook.height,
                settle_by,
            });
        }
        channel.spending += SPENDING_WEIGHT * (spent - channel.spending);
        Ok(())
    }
}
