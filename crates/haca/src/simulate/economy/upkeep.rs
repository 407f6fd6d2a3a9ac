//! Registrations, bonds, channels, purchases of OPG: everything around settlement that is a transaction, too.

use haca_wire::{Amount, Close, Height, Message, Quote};

use super::*;
use crate::simulate::node::SPONSOR_MARKUP;

/// Warranty of an order, in units of its asset.
pub(super) const WARRANTY: u128 = 4_000;
/// What a node sets aside for a channel: a hundred and twenty warranties.
const RESERVE: u128 = 120 * WARRANTY;
/// First deposit of a channel.
const DEPOSIT: u128 = 500_000;
/// Value of the second fee asset below which nobody takes it any more.
pub(super) const ALT_FLOOR_USD: f64 = 0.7;

/// How many blocks of spending somebody holds in OPG: refilled to the second when below the first.
const NODE_STOCK: (f64, f64) = (20.0, 40.0);
const SPONSOR_STOCK: (f64, f64) = (40.0, 80.0);
/// Gas that users hold OPG for, at the base fee.
const PAYER_STOCK: (f64, f64) = (20e6, 60e6);

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

    fn quote(&mut self, node: &SecretKey, payer: &SecretKey, asset: AssetId) -> Result<Quote, Failure> {
        Ok(Quote {
            node: node.address(),
            payer: payer.address(),
            asset,
            deposit: Amount(DEPOSIT),
            warranty: Amount(RESERVE),
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
            self.buy_opg(outlook, &mut candidates)?;
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
                    if takes && self.chain.free_bond(&node, asset)? < RESERVE {
                        let amount = Amount(3 * RESERVE);
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

    /// Every kind of user has a channel to every node, in the asset that it pays in.
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
        let known = self
            .channels
            .iter()
            .any(|it| it.open && (it.payer, it.node, it.asset) == (payer, node, asset));
        let (user, server_key) = (user.key.clone(), server.key.clone());
        if known
            || server.standing != Standing::Serving
            || self.chain.free_bond(&server_key, asset)? < RESERVE
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
            next: 0,
            outstanding: 0,
            deposit: DEPOSIT,
            reserve: RESERVE,
            spending: 0.0,
            fraction: 0.0,
        });
        candidates.push(Candidate {
            purpose: Purpose::Open { channel },
            bytes,
        });
        Ok(())
    }

    /// Deposits grow before they run out. Channels whose node left, whose asset failed or whose reserve is half spent
    /// are closed; the last with the node's consent and once nothing is outstanding.
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
            let worn = channel.outstanding == 0 && channel.reserve < RESERVE / 2;
            let low = (channel.deposit as f64) < 50_000.0 + 16.0 * channel.spending;
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

    /// Whoever runs low on OPG buys some: dollars to the exchange, OPG from it. The exchange pays the gas of both.
    fn buy_opg(&mut self, outlook: &Outlook, candidates: &mut Vec<Candidate>) -> Result<(), Failure> {
        let base_fee = outlook.base_fee as f64;
        let stock = |spending: f64, (low, high): (f64, f64)| (spending * low, spending * high);
        let mut buyers = Vec::new();
        for node in &self.nodes {
            if node.standing == Standing::Serving && !node.sponsored {
                buyers.push((node.key.clone(), stock(node.spending.max(1e6), NODE_STOCK)));
            }
        }
        let sponsored = self.nodes.iter().filter(|node| node.sponsored);
        let spending: f64 = sponsored.map(|node| node.spending.max(1e6)).sum();
        buyers.push((self.sponsor.clone(), stock(spending, SPONSOR_STOCK)));
        for payer in &self.payers {
            buyers.push((payer.key.clone(), stock(base_fee, PAYER_STOCK)));
        }
        let exchange = self.exchange.clone();
        for (buyer, (low, high)) in buyers {
            let held = self.chain.balance(&buyer, AssetId::OPG)? as f64;
            if held >= low {
                continue;
            }
            let units = high - held;
            let price = Amount((units / OPG_UNITS * outlook.opg_usd * USD_UNITS).ceil() as u128 + 1);
            let amount = Amount(units as u128);
            if self.chain.balance(&buyer, USD)? < price.0 {
                continue;
            }
            for (sender, to, asset, amount) in [
                (&buyer, &exchange, USD, price),
                (&exchange, &buyer, AssetId::OPG, amount),
            ] {
                let terms = Terms {
                    sender,
                    sponsor: (sender.address() != exchange.address()).then_some(&exchange),
                    tip: 0,
                };
                let to = to.address();
                let message = Message::Transfer { to, asset, amount };
                let bytes = self.chain.tx(&terms, message)?;
                candidates.push(Candidate {
                    purpose: Purpose::Upkeep,
                    bytes,
                });
            }
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
