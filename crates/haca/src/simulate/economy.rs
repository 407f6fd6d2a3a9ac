//! The agents and their blocks.

mod books;
mod cover;
mod demand;
mod outcome;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet};

use haca_wire::state::HeldKey;
use haca_wire::{AssetId, ChannelId, Group, Message, SecretKey, Tick};

use self::cover::Held;
use super::chain::{
    ALT, BLOCKS_PER_DAY, Chain, Holding, OPG_ISSUED, OPG_UNITS, SAMPLE, Terms, USD, USD_UNITS, broken,
    claim_gas, key,
};
use super::market::Market;
use super::node::{Answer, Batch, Node, Outlook, Standing};
use super::paper::{Deal, Notary};
use super::random::Random;
use super::scenario::{Conditions, Scenario};
use super::series::{Column, Day, Series};
use crate::failure::Failure;

/// Nodes at the start; the same number again may come later.
const NODES: usize = 8;
/// OPG that the exchange sells.
const FOR_SALE: u128 = OPG_ISSUED * 3 / 10;
/// Weight of a block in the mean of base fees: about three days.
const USUAL_WEIGHT: f64 = 1.0 / 12.0;
/// Blocks between two whole recounts of the state.
const RECOUNT_BLOCKS: u64 = 28;
/// Days before the first counted one, in which everybody registers and opens channels.
const SETUP_BLOCKS: u32 = 6;
/// Days whose fees are the market's reference: the first in which fees are paid.
const REFERENCE_DAYS: u32 = 10;
/// Blocks of the bad proofs that a spammer sends at most.
const SPAM_PER_BLOCK: usize = 7;

/// A kind of user. Willingness to pay is log-logistic around a median.
pub(super) struct Payer {
    key: SecretKey,
    /// The asset in which it now pays.
    asset: AssetId,
    /// Share of all demand.
    share: f64,
    /// Median of what an inference is worth to it, in dollars.
    median_usd: f64,
    /// Missed settlements to claim for.
    missed: Vec<Missed>,
}

/// A missed settlement, claimable between two ticks.
pub(super) struct Missed {
    answer: Answer,
    opens: Tick,
    shuts: Tick,
}

/// What the agents keep of a channel.
pub(super) struct Channel {
    id: ChannelId,
    payer: usize,
    node: usize,
    asset: AssetId,
    open: bool,
    /// Whether a newer channel takes the orders.
    replaced: bool,
    next: u64,
    /// Answers neither settled nor finally missed.
    outstanding: u64,
    /// Deposit that no outstanding fee is promised from.
    deposit: u128,
    /// Reserve that no outstanding warranty is promised from.
    reserve: u128,
    /// Fees per block, a moving mean.
    spending: f64,
    /// Part of an inference that is demanded and not yet whole.
    fraction: f64,
}

/// What a candidate for a block is for.
enum Purpose {
    Upkeep,
    Open { channel: Box<Channel> },
    Close { channel: usize },
    TopUp { channel: usize, amount: u128 },
    Settle { node: usize, positions: Vec<usize> },
    Cover { node: usize, ranges: Vec<Vec<usize>> },
    Demand,
    Respond { node: usize, count: usize },
    Claim { payer: usize, position: usize },
    PaySponsor { node: usize },
    Spam,
}

impl Purpose {
    /// The node that pays for its gas as part of settling.
    const fn settler(&self) -> Option<usize> {
        match self {
            Self::Settle { node, .. } | Self::Cover { node, .. } | Self::Respond { node, .. } => Some(*node),
            _ => None,
        }
    }
}

struct Candidate {
    purpose: Purpose,
    bytes: Vec<u8>,
}

/// One scenario's run.
pub(super) struct Economy {
    scenario: Scenario,
    pub(super) chain: Chain,
    notary: Notary,
    random: Random,
    market: Market,
    exchange: SecretKey,
    sponsor: SecretKey,
    spammer: SecretKey,
    spam: Vec<Group>,
    nodes: Vec<Node>,
    payers: Vec<Payer>,
    channels: Vec<Channel>,
    last_base_fee: u128,
    usual_base_fee: f64,
    conditions: Conditions,
    day: Day,
    /// Fees of the last block, in dollars.
    fees: f64,
    settled_positions: Vec<BTreeSet<usize>>,
    /// Which receipts are doubted.
    doubts: Random,
    /// Fees that wait.
    held: BTreeMap<HeldKey, Held>,
}

impl Economy {
    /// Genesis, registrations and channels.
    pub(super) fn start(scenario: Scenario, seed: u64) -> Result<Self, Failure> {
        let covered = scenario.is_covered();
        let nodes: Vec<Node> = (0..2 * NODES).map(|index| node(index, covered)).collect();
        let payers = payers();
        let chain = Chain::start(&holdings(&nodes, &payers), OPG_ISSUED / 5)?;
        let notary = Notary::new(chain.domain)?;
        let mut economy = Self {
            scenario,
            chain,
            notary,
            random: Random::new(seed),
            market: Market::new(),
            exchange: key("exchange", 0),
            sponsor: key("sponsor", 0),
            spammer: key("spammer", 0),
            spam: Vec::new(),
            settled_positions: vec![BTreeSet::new(); nodes.len()],
            nodes,
            payers,
            channels: Vec::new(),
            last_base_fee: 1,
            usual_base_fee: 1.0,
            conditions: scenario.conditions(-1.0),
            day: Day::new(),
            fees: 0.0,
            doubts: Random::new(!seed),
            held: BTreeMap::new(),
        };
        economy.register_model()?;
        economy.prepare_spam()?;
        for _ in 0..SETUP_BLOCKS {
            economy.step(None)?;
        }
        economy.day = Day::new();
        Ok(economy)
    }

    /// Runs `days` days with the shock on day `shock_day`.
    pub(super) fn run(&mut self, days: u32, shock_day: u32) -> Result<Series, Failure> {
        let first_paid = if self.scenario.is_covered() {
            cover::FEE_DAYS
        } else {
            0
        };
        let mut series = Series::default();
        for day in 0..days {
            if day == first_paid + REFERENCE_DAYS {
                let mean = |column| series.mean(column, first_paid, day);
                let fees = mean(Column::FeesUsd) + mean(Column::FeesAlt);
                self.market
                    .set_reference(fees / f64::from(BLOCKS_PER_DAY) / SAMPLE as f64);
            }
            for block in 0..BLOCKS_PER_DAY {
                let now = f64::from(day) + f64::from(block) / f64::from(BLOCKS_PER_DAY);
                self.conditions = self.scenario.conditions(now - f64::from(shock_day));
                self.step(Some(now))?;
            }
            let finished = core::mem::replace(&mut self.day, Day::new());
            series.push(finished);
        }
        self.chain.recount()?;
        Ok(series)
    }

    /// One block. Users order only when there is a time, in days.
    fn step(&mut self, now: Option<f64>) -> Result<(), Failure> {
        self.step_market()?;
        self.step_nodes()?;
        let outlook = self.outlook()?;
        self.expire(&outlook);
        let mut candidates = self.upkeep(&outlook)?;
        if self.scenario.is_covered() {
            self.cover(&outlook, &mut candidates)?;
            self.demand(&outlook, &mut candidates)?;
            self.respond(&outlook, &mut candidates)?;
        } else {
            self.settlements(&outlook, &mut candidates)?;
        }
        self.claims(&outlook, &mut candidates)?;
        self.spam_block(&outlook, &mut candidates)?;
        let validators = self.chain.validators_opg()?;
        let (purposes, bytes): (Vec<_>, Vec<_>) = candidates
            .into_iter()
            .map(|candidate| (candidate.purpose, candidate.bytes))
            .unzip();
        let block = self.chain.block(&bytes)?;
        self.apply(&outlook, &block, purposes)?;
        let earned = (self.chain.validators_opg()? - validators) as f64 / OPG_UNITS;
        self.measure_block(&outlook, &block.outcome, earned)?;
        self.last_base_fee = outlook.base_fee;
        if let Some(now) = now {
            self.order(now)?;
        }
        if self.chain.blocks.is_multiple_of(RECOUNT_BLOCKS) {
            self.chain.recount()?;
            self.check_books()?;
        }
        Ok(())
    }

    fn step_market(&mut self) -> Result<(), Failure> {
        let base_fee = self.chain.base_fee()? as f64;
        self.usual_base_fee += USUAL_WEIGHT * (base_fee - self.usual_base_fee);
        let left = self.chain.balance(&self.exchange, AssetId::OPG)? as f64 / FOR_SALE as f64;
        self.market
            .step(&self.conditions, &mut self.random, self.fees, left);
        Ok(())
    }

    /// Who serves, and at which price.
    fn step_nodes(&mut self) -> Result<(), Failure> {
        let outlook = self.outlook()?;
        for (index, node) in self.nodes.iter_mut().enumerate() {
            let gone = index < NODES / 2 && self.conditions.half_gone;
            let later = (NODES..NODES + NODES / 2).contains(&index) && self.conditions.replaced;
            node.standing = match node.standing {
                Standing::Serving if gone => Standing::Gone,
                Standing::Waiting if index < NODES || later => Standing::Serving,
                standing => standing,
            };
            node.post_price(&outlook);
        }
        Ok(())
    }

    fn outlook(&self) -> Result<Outlook, Failure> {
        let unit = 1.0 / USD_UNITS;
        Ok(Outlook {
            params: self.chain.params,
            tick: self.chain.tick()?,
            height: self.chain.height()?,
            base_fee: self.chain.base_fee()?,
            last_base_fee: self.last_base_fee,
            usual_base_fee: self.usual_base_fee,
            opg_usd: self.market.opg_usd,
            unit_usd: [
                self.market.opg_usd / OPG_UNITS,
                unit,
                unit * self.conditions.alt_usd,
            ],
        })
    }

    /// OPG within reach of a node: its own, or its share of the sponsor's.
    fn opg_of(&self, node: &Node) -> Result<u128, Failure> {
        if !node.sponsored {
            return self.chain.balance(&node.key, AssetId::OPG);
        }
        let sharers = self
            .nodes
            .iter()
            .filter(|node| node.sponsored && node.standing == Standing::Serving);
        Ok(self.chain.balance(&self.sponsor, AssetId::OPG)? / (sharers.count().max(1) as u128))
    }

    /// A transaction of `sender`.
    fn tx(&mut self, sender: &SecretKey, message: Message) -> Result<Vec<u8>, Failure> {
        let terms = Terms {
            sender,
            sponsor: None,
            tip: 0,
        };
        self.chain.tx(&terms, message)
    }

    /// A transaction of a node, with its sponsor's gas if it has one.
    fn tx_of_node(&mut self, node: usize, tip: u128, message: Message) -> Result<Vec<u8>, Failure> {
        let node = self.nodes.get(node).ok_or_else(|| broken("no such node"))?;
        let terms = Terms {
            sender: &node.key,
            sponsor: node.sponsored.then_some(&self.sponsor),
            tip,
        };
        self.chain.tx(&terms, message)
    }

    /// Answers whose time has run out go to those who may claim.
    fn expire(&mut self, outlook: &Outlook) {
        let params = outlook.params;
        for node in &mut self.nodes {
            let (late, queue): (Vec<_>, Vec<_>) = core::mem::take(&mut node.queue)
                .into_iter()
                .partition(|answer| answer.settle_by < outlook.tick);
            node.queue = queue;
            for answer in late {
                self.day.add(Column::Missed, SAMPLE as f64);
                if node.careful && node.standing == Standing::Serving {
                    self.day.add(Column::MissedCareful, SAMPLE as f64);
                }
                if answer.asset == ALT {
                    self.day.add(Column::MissedAlt, SAMPLE as f64);
                }
                let usd = outlook.usd(answer.asset, answer.fee);
                self.day.add(Column::Unproven, usd * SAMPLE as f64);
                let opens = Tick(answer.settle_by.0 + params.grace);
                let Some(channel) = self.channels.get(answer.channel) else {
                    continue;
                };
                if let Some(payer) = self.payers.get_mut(channel.payer) {
                    payer.missed.push(Missed {
                        opens,
                        shuts: Tick(opens.0 + params.claim_window),
                        answer,
                    });
                }
            }
        }
    }

    /// What the nodes want to settle.
    fn settlements(&mut self, outlook: &Outlook, candidates: &mut Vec<Candidate>) -> Result<(), Failure> {
        for index in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(index) else {
                continue;
            };
            if node.standing != Standing::Serving || node.queue.is_empty() {
                continue;
            }
            for batch in node.plan(outlook, self.opg_of(node)?) {
                let bytes = self.settlement(index, &batch)?;
                let positions = batch.positions;
                candidates.push(Candidate {
                    purpose: Purpose::Settle {
                        node: index,
                        positions,
                    },
                    bytes,
                });
            }
        }
        Ok(())
    }

    fn settlement(&mut self, node: usize, batch: &Batch) -> Result<Vec<u8>, Failure> {
        let queue = self.nodes.get(node).map_or(&[][..], |node| &node.queue);
        let answers = batch.positions.iter().filter_map(|at| queue.get(*at));
        let items = answers.map(|answer| answer.item.clone()).collect();
        let groups = vec![self.notary.group(items, true)];
        self.tx_of_node(node, batch.tip, Message::SettleBatch { groups })
    }

    /// Users claim what a claim brings more for than it costs.
    fn claims(&mut self, outlook: &Outlook, candidates: &mut Vec<Candidate>) -> Result<(), Failure> {
        let gas = claim_gas(&outlook.params);
        let cost = outlook.gas_usd(gas, outlook.base_fee as f64);
        for index in 0..self.payers.len() {
            self.give_up(index, outlook);
            let Some(payer) = self.payers.get(index) else {
                continue;
            };
            let mut opg = self.chain.balance(&payer.key, AssetId::OPG)?;
            for (position, missed) in payer.missed.iter().enumerate() {
                let answer = &missed.answer;
                let burn = u128::from(gas) * outlook.base_fee;
                let worth = outlook.usd(answer.asset, answer.warranty) > cost;
                if outlook.tick <= missed.opens || !worth || burn > opg {
                    continue;
                }
                opg -= burn;
                let message = Message::ClaimMissed {
                    order: answer.item.order.clone(),
                    receipt: answer.item.receipt.clone(),
                };
                let terms = Terms {
                    sender: &payer.key,
                    sponsor: None,
                    tip: burn / 20,
                };
                candidates.push(Candidate {
                    purpose: Purpose::Claim {
                        payer: index,
                        position,
                    },
                    bytes: self.chain.tx(&terms, message)?,
                });
            }
        }
        Ok(())
    }

    /// Forgets missed settlements whose claim window has passed.
    fn give_up(&mut self, payer: usize, outlook: &Outlook) {
        let Some(payer) = self.payers.get_mut(payer) else {
            return;
        };
        let (over, missed): (Vec<_>, Vec<_>) = core::mem::take(&mut payer.missed)
            .into_iter()
            .partition(|missed| missed.shuts < outlook.tick);
        payer.missed = missed;
        for Missed { answer, .. } in over {
            let usd = outlook.usd(answer.asset, answer.warranty);
            self.day.add(Column::Unclaimed, usd * SAMPLE as f64);
            if let Some(channel) = self.channels.get_mut(answer.channel) {
                channel.outstanding -= 1;
                channel.deposit += answer.fee;
                channel.reserve += answer.warranty;
            }
        }
    }
}

/// Every second node from the fifth on is sponsored, and every fourth answers without looking at its OPG.
fn node(index: usize, covered: bool) -> Node {
    Node {
        key: key("node", index),
        standing: Standing::Waiting,
        sponsored: matches!(index % NODES, 3 | 5 | 6),
        careful: !matches!(index % NODES, 2 | 6),
        covered,
        price_usd: 0.0,
        queue: Vec::new(),
        spending: 2e6,
        owed: 0,
    }
}

/// Those who pay most, many, and the crowd; the crowd pays in the second fee asset.
fn payers() -> Vec<Payer> {
    let kinds = [(USD, 0.2, 0.02), (USD, 0.5, 0.006), (ALT, 0.3, 0.004)];
    kinds
        .into_iter()
        .enumerate()
        .map(|(index, (asset, share, median_usd))| Payer {
            key: key("payer", index),
            asset,
            share,
            median_usd,
            missed: Vec::new(),
        })
        .collect()
}

fn holdings(nodes: &[Node], payers: &[Payer]) -> Vec<Holding> {
    let stake = super::chain::params().node_stake.0;
    let mut holdings = Vec::new();
    let mut hold = |key: &SecretKey, amounts: [u128; 3]| {
        for (asset, amount) in [AssetId::OPG, USD, ALT].into_iter().zip(amounts) {
            holdings.push(Holding {
                key: key.clone(),
                asset,
                amount,
            });
        }
    };
    for node in nodes {
        hold(&node.key, [stake + 150_000_000, 20_000_000, 20_000_000]);
    }
    for payer in payers {
        hold(&payer.key, [100_000_000, 1_000_000_000_000, 1_000_000_000_000]);
    }
    hold(&key("sponsor", 0), [1_000_000_000, 1_000_000_000, 1]);
    hold(&key("spammer", 0), [stake + OPG_ISSUED / 100, 1_000_000, 1]);
    hold(&key("exchange", 0), [FOR_SALE, 1_000_000_000, 1]);
    let rest = OPG_ISSUED * 45 / 100;
    hold(&key("holders", 0), [rest, 1, 1]);
    holdings
}
