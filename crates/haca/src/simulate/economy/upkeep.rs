//! Registrations, bonds, channels, purchases of OPG: everything around settlement that is a transaction, too.

use haca_wire::{Amount, Close, EvidenceKind, Height, Message, Quote};

use super::*;
use crate::simulate::node::SPONSOR_MARKUP;

/// Warranty of an order, in units of its asset.
pub(super) const WARRANTY: u128 = 4_000;
/// What a node sets aside for a channel: a hundred and twenty warranties.
const RESERVE: u128 = 120 * WARRANTY;
/// The same under covering vouchers, whose warranties leave the channel for good: four times as much.
const COVERED_RESERVE: u128 = 4 * RESERVE;
/// First deposit of a channel.
const DEPOSIT: u128 = 500_000;
/// Value of the second fee asset below which nobody takes it any more.
pub(super) const ALT_FLOOR_USD: f64 = 0.7;

/// How many blocks of spending somebody holds in OPG: refilled to the second when below the first.
const NODE_STOCK: (f64, f64) = (20.0, 40.0);
const SPONSOR_STOCK: (f64, f64) = (40.0, 80.0);
/// How much more than the second number a node holds before it sells the rest.
const SURPLUS: f64 = 1.25;
/// Gas that users hold OPG for, at the base fee.
const PAYER_STOCK: (f64, f64) = (20e6, 60e6);
/// The same for users who may demand proofs: four to twelve deposits more.
const DOUBTING_PAYER_STOCK: (f64, f64) = (80e6, 200e6);

impl Economy {
    pub(super) fn register_model(&mut self) -> Result<(), Failure> {
        let message = Message::RegisterModel {
            verifying_key: vec![1; 64],
            proof: vec![1; 32],
        };
        let key = key("holders", 0);
        let bytes = self.tx(&key, message)?;
        self.must(bytes)
    }

    /// A block with one transaction that has to take effect.
    fn must(&mut self, bytes: Vec<u8>) -> Result<(), Failure> {
        let block = self.chain.block(&[bytes])?;
        let outcome = block.outcome.txs.first();
        match outcome.map(|outcome| &outcome.refusal) {
            Some(None) => Ok(()),
            other => Err(broken(format!("a transaction of the setup failed: {other:?}"))),
        }
    }

    /// The spammer is a node and its own user: its orders, receipts and transactions are in order and its proofs are
    /// not, so that every full node verifies them.
    pub(super) fn prepare_spam(&mut self) -> Result<(), Failure> {
        let spammer = self.spammer.clone();
        let register = self.tx(&spammer, registration(&spammer))?;
        self.must(register)?;
        let quote = Quote {
            deposit: Amount(1_000),
            warranty: Amount(0),
            ..self.quote(&spammer, &spammer, USD)?
        };
        let (quote, channel) = self.notary.quote(quote, &spammer)?;
        let open = self.tx(&spammer, Message::OpenChannel { quote })?;
        self.must(open)?;
        let height = self.chain.height()?;
        let items = (0..crate::simulate::chain::BATCH as u64).map(|sequence| {
            self.notary.item(&Deal {
                payer: &spammer,
                node: &spammer,
                channel,
                sequence,
                fee: 1,
                warranty: 0,
                evidence: EvidenceKind::Zk,
                settle_by: Tick(u64::MAX),
                height,
            })
        });
        let items = items.collect::<Result<Vec<_>, _>>()?;
        self.spam = vec![self.notary.group(items, false)];
        Ok(())
    }

    /// As many bad proofs as fit the block, while the base fee is low enough for the spammer and its OPG lasts.
    pub(super) fn spam_block(
        &mut self,
        outlook: &Outlook,
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), Failure> {
        if self
            .conditions
            .spam_up_to
            .is_none_or(|most| outlook.base_fee > most)
        {
            return Ok(());
        }
        let spammer = self.spammer.clone();
        for _ in 0..SPAM_PER_BLOCK {
            let groups = self.spam.clone();
            let bytes = self.tx(&spammer, Message::SettleBatch { groups })?;
            candidates.push(Candidate {
                purpose: Purpose::Spam,
                bytes,
            });
        }
        Ok(())
    }

    /// What a node sets aside for a channel.
    fn reserve(&self) -> u128 {
        if self.scenario.is_covered() {
            COVERED_RESERVE
        } else {
            RESERVE
        }
    }

    fn quote(&mut self, node: &SecretKey, payer: &SecretKey, asset: AssetId) -> Result<Quote, Failure> {
        Ok(Quote {
            node: node.address(),
            payer: payer.address(),
            asset,
            deposit: Amount(DEPOSIT),
            warranty: Amount(self.reserve()),
            offer_version: self.chain.offer_version(node)?.unwrap_or_default(),
            expires: Height(self.chain.height()?.0 + 2),
            nonce: self.chain.nonce(),
        })
    }

    /// Everything that agents send beside settlements and claims.
    pub(super) fn upkeep(&mut self, outlook: &Outlook) -> Result<Vec<Candidate>, Failure> {
        let mut candidates = Vec::new();
        self.join(&mut candidates)?;
        self.open_channels(&mut candidates)?;
        self.tend_channels(&mut candidates)?;
        if self.conditions.opg_for_sale {
            self.trade_opg(outlook, &mut candidates)?;
        }
        self.pay_sponsor(outlook, &mut candidates)?;
        Ok(candidates)
    }

    /// Serving nodes that are not registered register; those that are keep enough bond for their next channel.
    fn join(&mut self, candidates: &mut Vec<Candidate>) -> Result<(), Failure> {
        for index in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(index) else {
                continue;
            };
            if node.standing != Standing::Serving {
                continue;
            }
            let node = node.key.clone();
            let mut messages = Vec::new();
            if self.chain.offer_version(&node)?.is_none() {
                messages.push(registration(&node));
            } else {
                for asset in [USD, ALT] {
                    let takes = asset != ALT || self.conditions.alt_usd > ALT_FLOOR_USD;
                    if takes && self.chain.free_bond(&node, asset)? < self.reserve() {
                        let amount = Amount(3 * self.reserve());
                        messages.push(Message::Bond { asset, amount });
                    }
                }
            }
            for message in messages {
                let bytes = self.tx(&node, message)?;
                candidates.push(Candidate {
                    purpose: Purpose::Upkeep,
                    bytes,
                });
            }
        }
        Ok(())
    }

    /// Every kind of user has a channel to every node, in the asset that it pays in; under vouchers, the next one before the
    /// last one's reserve is spent.
    fn open_channels(&mut self, candidates: &mut Vec<Candidate>) -> Result<(), Failure> {
        for payer in 0..self.payers.len() {
            if self.conditions.alt_usd < ALT_FLOOR_USD
                && let Some(payer) = self.payers.get_mut(payer)
            {
                payer.asset = USD;
            }
            for node in 0..self.nodes.len() {
                self.open_channel(payer, node, candidates)?;
            }
        }
        Ok(())
    }

    fn open_channel(
        &mut self,
        payer: usize,
        node: usize,
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), Failure> {
        let (Some(user), Some(server)) = (self.payers.get(payer), self.nodes.get(node)) else {
            return Ok(());
        };
        let asset = user.asset;
        let reserve = self.reserve();
        let worn = |channel: &Channel| self.scenario.is_covered() && channel.reserve < reserve / 2;
        let known = self
            .channels
            .iter()
            .any(|it| it.open && !worn(it) && (it.payer, it.node, it.asset) == (payer, node, asset));
        let (user, server_key) = (user.key.clone(), server.key.clone());
        if known
            || server.standing != Standing::Serving
            || self.chain.free_bond(&server_key, asset)? < reserve
        {
            return Ok(());
        }
        let quote = self.quote(&server_key, &user, asset)?;
        let (quote, id) = self.notary.quote(quote, &server_key)?;
        let bytes = self.tx(&user, Message::OpenChannel { quote })?;
        let channel = Box::new(Channel {
            id,
            payer,
            node,
            asset,
            open: true,
            replaced: false,
            next: 0,
            outstanding: 0,
            deposit: DEPOSIT,
            reserve,
            spending: 0.0,
            fraction: 0.0,
        });
        candidates.push(Candidate {
            purpose: Purpose::Open { channel },
            bytes,
        });
        Ok(())
    }

    /// Deposits grow before they run out. Channels whose node left, whose asset failed, whose reserve is half spent or
    /// that were replaced are closed; the last two with the node's consent and once nothing is outstanding.
    fn tend_channels(&mut self, candidates: &mut Vec<Candidate>) -> Result<(), Failure> {
        for index in 0..self.channels.len() {
            let Some(channel) = self.channels.get(index) else {
                continue;
            };
            let (Some(payer), Some(node)) = (self.payers.get(channel.payer), self.nodes.get(channel.node))
            else {
                continue;
            };
            if !channel.open {
                continue;
            }
            let user = payer.key.clone();
            let left = node.standing == Standing::Gone || payer.asset != channel.asset;
            let worn = channel.reserve < RESERVE / 2 && !self.scenario.is_covered();
            let worn = channel.outstanding == 0 && (channel.replaced || worn);
            let low = !channel.replaced && (channel.deposit as f64) < 50_000.0 + 16.0 * channel.spending;
            let id = channel.id;
            let (purpose, message) = if left || worn {
                let close = Close {
                    channel: id,
                    expires: Height(self.chain.height()?.0 + 2),
                };
                let consent = self.notary.consent(close, &node.key)?;
                let consent = (!left).then_some(consent);
                (
                    Purpose::Close { channel: index },
                    Message::CloseChannel { channel: id, consent },
                )
            } else if low {
                let amount = 300_000 + (56.0 * channel.spending) as u128;
                (
                    Purpose::TopUp {
                        channel: index,
                        amount,
                    },
                    Message::TopUp {
                        channel: id,
                        amount: Amount(amount),
                    },
                )
            } else {
                continue;
            };
            let bytes = self.tx(&user, message)?;
            candidates.push(Candidate { purpose, bytes });
        }
        Ok(())
    }

    /// Whoever runs low on OPG buys some. Nodes that earned more than they need, from deposits of demands, sell the rest.
    fn trade_opg(&mut self, outlook: &Outlook, candidates: &mut Vec<Candidate>) -> Result<(), Failure> {
        for (trader, (low, high)) in self.stocks(outlook) {
            let held = self.chain.balance(&trader, AssetId::OPG)? as f64;
            let usd = |units: f64| (units / OPG_UNITS * outlook.opg_usd * USD_UNITS).ceil() as u128 + 1;
            let exchange = self.exchange.clone();
            if held < low {
                let (price, units) = (usd(high - held), (high - held) as u128);
                if self.chain.balance(&trader, USD)? >= price {
                    self.swap(
                        (&trader, USD, price),
                        (&exchange, AssetId::OPG, units),
                        candidates,
                    )?;
                }
            } else if self.scenario.is_covered() && held > SURPLUS * high {
                let (price, units) = (usd(held - high), (held - high) as u128);
                self.swap(
                    (&exchange, USD, price),
                    (&trader, AssetId::OPG, units),
                    candidates,
                )?;
            }
        }
        Ok(())
    }

    /// Who holds OPG, and how many units: refilled to the second number when below the first.
    fn stocks(&self, outlook: &Outlook) -> Vec<(SecretKey, (f64, f64))> {
        let base_fee = outlook.base_fee as f64;
        let stock = |spending: f64, (low, high): (f64, f64)| (spending * low, spending * high);
        let mut stocks = Vec::new();
        let serving = |node: &&Node| node.standing == Standing::Serving;
        for node in self.nodes.iter().filter(serving) {
            let (low, high) = stock(node.spending.max(1e6), NODE_STOCK);
            if !node.sponsored {
                stocks.push((node.key.clone(), (low, high)));
            } else if node.covered {
                stocks.push((node.key.clone(), (0.0, high)));
            }
        }
        let sponsored = self.nodes.iter().filter(|node| node.sponsored);
        let spending: f64 = sponsored.map(|node| node.spending.max(1e6)).sum();
        stocks.push((self.sponsor.clone(), stock(spending, SPONSOR_STOCK)));
        let gas = if self.scenario.is_covered() {
            DOUBTING_PAYER_STOCK
        } else {
            PAYER_STOCK
        };
        for payer in &self.payers {
            stocks.push((payer.key.clone(), stock(base_fee, gas)));
        }
        stocks
    }

    /// Two transfers, one for the other. The exchange pays the gas of both.
    fn swap(
        &mut self,
        one: (&SecretKey, AssetId, u128),
        other: (&SecretKey, AssetId, u128),
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), Failure> {
        for ((from, asset, amount), (to, ..)) in [(one, other), (other, one)] {
            let of_exchange = from.address() == self.exchange.address();
            let terms = Terms {
                sender: from,
                sponsor: (!of_exchange).then_some(&self.exchange),
                tip: 0,
            };
            let message = Message::Transfer {
                to: to.address(),
                asset,
                amount: Amount(amount),
            };
            let bytes = self.chain.tx(&terms, message)?;
            candidates.push(Candidate {
                purpose: Purpose::Upkeep,
                bytes,
            });
        }
        Ok(())
    }

    /// Sponsored nodes pay once a week for the gas of that week.
    fn pay_sponsor(&mut self, outlook: &Outlook, candidates: &mut Vec<Candidate>) -> Result<(), Failure> {
        if !outlook.height.0.is_multiple_of(u64::from(7 * BLOCKS_PER_DAY)) {
            return Ok(());
        }
        for index in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(index) else {
                continue;
            };
            let dollars = node.owed as f64 / OPG_UNITS * outlook.opg_usd * SPONSOR_MARKUP;
            if node.owed == 0 || node.standing != Standing::Serving {
                continue;
            }
            let terms = Terms {
                sender: &node.key,
                sponsor: Some(&self.sponsor),
                tip: 0,
            };
            let message = Message::Transfer {
                to: self.sponsor.address(),
                asset: USD,
                amount: Amount((dollars * USD_UNITS).ceil() as u128),
            };
            let bytes = self.chain.tx(&terms, message)?;
            candidates.push(Candidate {
                purpose: Purpose::PaySponsor { node: index },
                bytes,
            });
        }
        Ok(())
    }
}

fn registration(node: &SecretKey) -> Message {
    Message::RegisterNode {
        endpoint: "https://node.example".to_owned(),
        payout: node.address(),
        signer: node.address(),
        offers: Vec::new(),
    }
}
