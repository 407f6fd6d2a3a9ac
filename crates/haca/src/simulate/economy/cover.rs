//! `Optimistic` evidence: ranges of answers settled under covering vouchers, receipts that users doubt, and their proofs.

use haca_ledger::Effect;
use haca_wire::state::HeldKey;
use haca_wire::voucher::receipt_path;
use haca_wire::{Evidence, Item, Receipt, Sequence, merkle};

use super::*;
use crate::simulate::chain::{BATCH, answer_gas, cover_gas, settlement_gas};
use crate::simulate::node::URGENT_TICKS;

/// Blocks that the first receipt of a range waits for others: four days.
const RANGE_WAIT: u64 = 16;
/// Days until the first fees under vouchers are paid: until their range is settled, and the demand window.
pub(super) const FEE_DAYS: u32 = 12;
/// Receipts that a voucher waits for at most.
const FULL_RANGE: usize = 64;
/// Share of all receipts that users doubt.
const DOUBT: f64 = 1.0 / 32.0;
/// Gas that users hold OPG for and spend on no doubt: their channels and claims need it.
const KEPT_GAS: u128 = 30_000_000;

/// What was settled as `Optimistic` and waits with its fee.
pub(super) struct Held {
    channel: usize,
    pub(super) asset: AssetId,
    pub(super) fee: u128,
    /// The last tick at which a proof may be demanded.
    matures: Tick,
    /// Receipts that the user doubts, the next one last. The last is the one demanded while a demand is open.
    doubts: Vec<Doubt>,
    /// The last tick at which the open demand is answered.
    due: Option<Tick>,
}

/// A receipt that is to be proven, and its path to the root of its range.
struct Doubt {
    receipt: Receipt,
    path: Vec<merkle::Hash>,
}

impl Economy {
    /// What the nodes want to settle under vouchers: in each channel, the receipts that wait, once there are many, or the
    /// first has waited long, or no more will come. One transaction of a node has all of its vouchers.
    pub(super) fn cover(
        &mut self,
        outlook: &Outlook,
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), Failure> {
        for index in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(index) else {
                continue;
            };
            if node.standing != Standing::Serving {
                continue;
            }
            let (single, ranges): (Vec<_>, Vec<_>) = self
                .ranges(node, outlook)
                .into_iter()
                .partition(|positions| positions.len() == 1);
            let ranges = (!ranges.is_empty()).then_some(ranges);
            for ranges in ranges.into_iter().chain(single.into_iter().map(|it| vec![it])) {
                self.cover_ranges(index, ranges, outlook, candidates)?;
            }
        }
        Ok(())
    }

    /// Positions in a node's queue that are ready to be settled together, by channel.
    fn ranges(&self, node: &Node, outlook: &Outlook) -> Vec<Vec<usize>> {
        let mut waiting: BTreeMap<usize, Vec<(usize, &Answer)>> = BTreeMap::new();
        for (position, answer) in node.queue.iter().enumerate() {
            waiting
                .entry(answer.channel)
                .or_default()
                .push((position, answer));
        }
        let ready = |channel: usize, answers: &[(usize, &Answer)]| {
            let ends = self.channels.get(channel).is_some_and(|it| it.replaced);
            let urgent = |answer: &Answer| {
                let waited = outlook.height.0.saturating_sub(answer.made.0);
                waited >= RANGE_WAIT || answer.settle_by.0 <= outlook.tick.0.saturating_add(URGENT_TICKS)
            };
            ends || answers.len() >= FULL_RANGE || answers.iter().any(|(_, answer)| urgent(answer))
        };
        waiting
            .into_iter()
            .filter(|(channel, answers)| ready(*channel, answers))
            .map(|(_, answers)| consecutive(&answers))
            .collect()
    }

    /// A transaction that settles ranges, or one receipt by itself, if the gas is within reach and worth it.
    fn cover_ranges(
        &mut self,
        index: usize,
        ranges: Vec<Vec<usize>>,
        outlook: &Outlook,
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), Failure> {
        let Some(node) = self.nodes.get(index) else {
            return Ok(());
        };
        let answers = || ranges.iter().flatten().filter_map(|at| node.queue.get(*at));
        let worth: f64 = answers()
            .map(|answer| outlook.usd(answer.asset, answer.fee + answer.warranty))
            .sum();
        let gas = cover_gas(&outlook.params, ranges.len(), node.sponsored);
        let burn = u128::from(gas) * outlook.base_fee;
        let tip = burn / 20;
        if burn + tip > self.opg_of(node)? || worth < 1.05 * outlook.gas_usd(gas, outlook.base_fee as f64) {
            return Ok(());
        }
        let message = self.coverage(node, &ranges, outlook)?;
        let bytes = self.tx_of_node(index, tip, message)?;
        let purpose = Purpose::Cover { node: index, ranges };
        candidates.push(Candidate { purpose, bytes });
        Ok(())
    }

    fn coverage(&self, node: &Node, ranges: &[Vec<usize>], outlook: &Outlook) -> Result<Message, Failure> {
        let mut coverages = Vec::new();
        for positions in ranges {
            let answers: Vec<&Answer> = positions.iter().filter_map(|at| node.queue.get(*at)).collect();
            let items: Vec<&Item> = answers.iter().map(|answer| &answer.item).collect();
            if let [item] = &items[..] {
                let items = vec![(*item).clone()];
                let evidence = Evidence::Optimistic;
                let groups = vec![Group { items, evidence }];
                return Ok(Message::SettleBatch { groups });
            }
            let channel = answers
                .first()
                .and_then(|answer| self.channels.get(answer.channel));
            let payer = channel.and_then(|channel| self.payers.get(channel.payer));
            let payer = payer.ok_or_else(|| broken("a range has no payer"))?;
            let signers = (&payer.key, &node.key);
            coverages.push(self.notary.coverage(&items, signers, outlook.height)?);
        }
        Ok(Message::SettleVouchers { coverages })
    }

    /// Ranges were settled: their fees wait, and users draw the receipts that they doubt.
    pub(super) fn covered(&mut self, index: usize, ranges: Vec<Vec<usize>>, outlook: &Outlook) {
        for positions in ranges {
            self.day.settlement();
            let Some(node) = self.nodes.get(index) else {
                continue;
            };
            let answers: Vec<&Answer> = positions.iter().filter_map(|at| node.queue.get(*at)).collect();
            let Some(first) = answers.first() else {
                continue;
            };
            let Some(channel) = self.channels.get_mut(first.channel) else {
                continue;
            };
            channel.outstanding -= answers.len() as u64;
            let settled = SAMPLE as f64 * answers.len() as f64;
            self.day.add(Column::Settled, settled);
            if channel.payer == 0 {
                self.day.add(Column::SettledTop, settled);
            }
            let doubts = draw_doubts(&mut self.doubts, &self.notary, &answers);
            let place = HeldKey {
                channel: channel.id,
                first: first.item.order.value.sequence,
            };
            let held = Held {
                channel: first.channel,
                asset: first.asset,
                fee: answers.iter().map(|answer| answer.fee).sum(),
                matures: Tick(outlook.tick.0 + outlook.params.demand_window),
                doubts,
                due: None,
            };
            self.held.insert(place, held);
            if let Some(settled) = self.settled_positions.get_mut(index) {
                settled.extend(positions);
            }
        }
    }

    /// Users demand the proofs of what they doubt, one receipt of a range after the other, while they hold OPG for the
    /// deposits.
    pub(super) fn demand(
        &mut self,
        outlook: &Outlook,
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), Failure> {
        let deposit = self.chain.demand_deposit()?;
        let burn = u128::from(demand_gas(outlook)) * outlook.base_fee;
        let price = deposit + burn + burn / 20;
        let mut budgets = self.doubt_budgets(outlook)?;
        let mut wanted = Vec::new();
        for (place, held) in &self.held {
            let Some(doubt) = held.doubts.last() else {
                continue;
            };
            let payer = self.channels.get(held.channel).map(|channel| channel.payer);
            let Some((payer, budget)) =
                payer.and_then(|at| Some((self.payers.get(at)?, budgets.get_mut(at)?)))
            else {
                continue;
            };
            if held.due.is_some() || outlook.tick > held.matures || *budget < price {
                continue;
            }
            *budget -= price;
            let message = Message::Demand {
                channel: place.channel,
                first: place.first,
                sequence: doubt.receipt.sequence,
                receipt: doubt.receipt.hash(&self.chain.domain),
                path: doubt.path.clone(),
            };
            wanted.push((payer.key.clone(), message));
        }
        for (payer, message) in wanted {
            let terms = Terms {
                sender: &payer,
                sponsor: None,
                tip: burn / 20,
            };
            let bytes = self.chain.tx(&terms, message)?;
            candidates.push(Candidate {
                purpose: Purpose::Demand,
                bytes,
            });
        }
        Ok(())
    }

    /// OPG that users hold for doubts. Who has claims to make keeps its OPG for them.
    fn doubt_budgets(&self, outlook: &Outlook) -> Result<Vec<u128>, Failure> {
        let mut budgets = Vec::new();
        for payer in &self.payers {
            let held = self.chain.balance(&payer.key, AssetId::OPG)?;
            let budget = held.saturating_sub(KEPT_GAS * outlook.base_fee);
            budgets.push(if payer.missed.is_empty() { budget } else { 0 });
        }
        Ok(budgets)
    }

    /// Nodes prove what was demanded of them in the next block, up to a whole proof at a time.
    pub(super) fn respond(
        &mut self,
        outlook: &Outlook,
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), Failure> {
        for index in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(index) else {
                continue;
            };
            if node.standing != Standing::Serving {
                continue;
            }
            let sponsored = node.sponsored;
            let of_node = |held: &Held| self.channels.get(held.channel).map(|it| it.node) == Some(index);
            let demanded: Vec<(HeldKey, Receipt)> = self
                .held
                .iter()
                .filter(|(_, held)| of_node(held) && held.due.is_some_and(|due| outlook.tick <= due))
                .filter_map(|(place, held)| Some((*place, held.doubts.last()?.receipt.clone())))
                .collect();
            for demanded in demanded.chunks(BATCH) {
                let gas = answer_gas(&outlook.params, demanded.len(), sponsored);
                let tip = u128::from(gas) * outlook.base_fee / 4;
                let answers = demanded.iter().map(|(place, receipt)| haca_wire::Answer {
                    first: place.first,
                    receipt: receipt.clone(),
                });
                let message = self.notary.respond(answers.collect());
                let bytes = self.tx_of_node(index, tip, message)?;
                let purpose = Purpose::Respond {
                    node: index,
                    count: demanded.len(),
                };
                candidates.push(Candidate { purpose, bytes });
            }
        }
        Ok(())
    }

    /// Takes over what became of fees that wait: in a transaction, or in the sweep before all of them, which pays what no
    /// demand holds back and forfeits what was demanded in vain.
    pub(super) fn held_effects(&mut self, effects: &[Effect], outlook: &Outlook) {
        for effect in effects {
            self.held_effect(effect, outlook);
        }
    }

    fn held_effect(&mut self, effect: &Effect, outlook: &Outlook) {
        let (channel, first) = match effect {
            Effect::Demanded { channel, first, .. }
            | Effect::Answered { channel, first, .. }
            | Effect::HeldPaid { channel, first, .. }
            | Effect::DemandUnanswered { channel, first, .. } => (*channel, *first),
            _ => return,
        };
        let place = HeldKey { channel, first };
        match effect {
            Effect::Demanded { due, .. } => {
                self.day.add(Column::Demanded, SAMPLE as f64);
                if let Some(held) = self.held.get_mut(&place) {
                    held.due = Some(*due);
                }
            }
            Effect::Answered { deposit, .. } => {
                self.day.add(Column::Answered, SAMPLE as f64);
                let usd = outlook.usd(AssetId::OPG, deposit.0);
                self.day.add(Column::NodeProfit, usd * SAMPLE as f64);
                if let Some(held) = self.held.get_mut(&place) {
                    held.due = None;
                    held.doubts.pop();
                }
            }
            Effect::HeldPaid { .. } => {
                if let Some(held) = self.held.remove(&place) {
                    self.day
                        .add(Column::Forgone, SAMPLE as f64 * held.doubts.len() as f64);
                    self.earn(held.asset, held.fee, outlook);
                }
            }
            Effect::DemandUnanswered { paid, .. } => self.forfeit(place, paid.0, outlook),
            _ => {}
        }
    }

    /// A demand was not answered: fee and warranty are the user's, and the node is out.
    fn forfeit(&mut self, place: HeldKey, paid: u128, outlook: &Outlook) {
        let Some(held) = self.held.remove(&place) else {
            return;
        };
        let warranty = outlook.usd(held.asset, paid) * SAMPLE as f64;
        self.day.add(Column::Forfeited, SAMPLE as f64);
        self.day.add(Column::Warranties, warranty);
        self.day.add(Column::NodeProfit, -warranty);
        let fee = outlook.usd(held.asset, held.fee);
        self.day.add(Column::Unproven, fee * SAMPLE as f64);
        let node = self.channels.get(held.channel).map(|channel| channel.node);
        if let Some(node) = node.and_then(|node| self.nodes.get_mut(node)) {
            node.standing = Standing::Gone;
        }
    }
}

/// The receipts of a range that its user doubts.
fn draw_doubts(random: &mut Random, notary: &Notary, answers: &[&Answer]) -> Vec<Doubt> {
    let leaves = notary.leaves(answers.iter().map(|answer| &answer.item));
    let mut doubts = Vec::new();
    for (place, answer) in answers.iter().enumerate() {
        if random.unit() <= DOUBT {
            let path = receipt_path(&leaves, place).unwrap_or_default();
            let receipt = answer.item.receipt.value.clone();
            doubts.push(Doubt { receipt, path });
        }
    }
    doubts
}

/// OPG that proofs of as many answers would burn. A node holds OPG for these, whatever it settles with: any of its answers
/// may have to be proven.
pub(super) fn proofs_burn(count: usize, sponsored: bool, outlook: &Outlook) -> u128 {
    let gas = settlement_gas(&outlook.params, BATCH, sponsored);
    u128::from(gas) * outlook.base_fee * count as u128 / BATCH as u128
}

/// The first positions whose sequences follow each other.
fn consecutive(answers: &[(usize, &Answer)]) -> Vec<usize> {
    let sequence = |answer: &Answer| answer.item.order.value.sequence;
    let first = answers.first().map_or(0, |(_, answer)| sequence(answer).0);
    answers
        .iter()
        .zip(first..)
        .take_while(|((_, answer), expected)| sequence(answer) == Sequence(*expected))
        .take(haca_wire::limit::RANGE as usize)
        .map(|((position, _), _)| *position)
        .collect()
}

/// Gas of a demand with the longest path.
fn demand_gas(outlook: &Outlook) -> u64 {
    let params = &outlook.params;
    params.gas_flat.0 + params.gas_byte.0 * 1_000 + params.gas_signature.0 * 2
}
