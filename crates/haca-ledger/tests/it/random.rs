//! Random histories: steps that pick from whatever exists, honest and dishonest, sealed into blocks. Sealing asserts
//! that only burns shrink the supply and that no sequence is paid for twice; the full node's tests replay the blocks.

use std::collections::BTreeSet;

use haca_ledger::{
    BlockContext, CommitVote, Effect, Misbehaviour, MisbehaviourKind, check_proposal, execute_block,
    select_proposal,
};
use haca_wire::order::Signed;
use haca_wire::{
    Amount, AssetId, ChannelId, Close, Evidence, EvidenceKind, Height, Item, Message, ResponseHash,
    SecretKey, Sequence, Tick,
};
use proptest::prelude::*;

use crate::world::{USD, World, alice, bob, consensus_id, key, node, sponsor};

/// One step of a history. Numbers pick from whatever exists when the step runs.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Transfer(u8, u8, u32, u128),
    Bond(u128),
    Unbond(u128),
    Open(bool, u128, u128),
    TopUp(u8, u128),
    Close(u8, u8, bool),
    Answer(u8, u16, bool, u128, u128, u8),
    Settle(u8, u8, bool),
    Claim(u8),
    Equivocate(u8),
    Rotate(u8),
    Garbage(Vec<u8>),
    Bent(u8, u16),
    Stake(u8, u8, u128),
    Unstake(u8, u8, u128),
    Unjail(u8, u8),
    Absent(u8, u8),
    Convict(u8, bool),
    Seal(u8),
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let amount = prop_oneof![Just(0u128), 1u128..50, 50u128..2_000, Just(u128::MAX)];
    prop_oneof![
        2 => (any::<u8>(), any::<u8>(), 0u32..3, amount.clone()).prop_map(|(a, b, c, d)| Step::Transfer(a, b, c, d)),
        1 => amount.clone().prop_map(Step::Bond),
        1 => amount.clone().prop_map(Step::Unbond),
        2 => (any::<bool>(), amount.clone(), 0u128..400).prop_map(|(a, b, c)| Step::Open(a, b, c)),
        1 => (any::<u8>(), amount.clone()).prop_map(|(a, b)| Step::TopUp(a, b)),
        1 => (any::<u8>(), any::<u8>(), any::<bool>()).prop_map(|(a, b, c)| Step::Close(a, b, c)),
        6 => (any::<u8>(), prop_oneof![0u16..6, any::<u16>()], any::<bool>(), 0u128..30, 0u128..80, 0u8..40)
            .prop_map(|(a, b, c, d, e, f)| Step::Answer(a, b, c, d, e, f)),
        6 => (any::<u8>(), any::<u8>(), any::<bool>()).prop_map(|(a, b, c)| Step::Settle(a, b, c)),
        4 => any::<u8>().prop_map(Step::Claim),
        1 => any::<u8>().prop_map(Step::Equivocate),
        1 => any::<u8>().prop_map(Step::Rotate),
        1 => prop::collection::vec(any::<u8>(), 0..200).prop_map(Step::Garbage),
        1 => (any::<u8>(), any::<u16>()).prop_map(|(a, b)| Step::Bent(a, b)),
        2 => (any::<u8>(), any::<u8>(), prop_oneof![900u128..4_000, amount.clone()])
            .prop_map(|(a, b, c)| Step::Stake(a, b, c)),
        1 => (any::<u8>(), any::<u8>(), prop_oneof![1u128..3_000, amount.clone()])
            .prop_map(|(a, b, c)| Step::Unstake(a, b, c)),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| Step::Unjail(a, b)),
        2 => (any::<u8>(), 1u8..8).prop_map(|(a, b)| Step::Absent(a, b)),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(a, b)| Step::Convict(a, b)),
        6 => (1u8..12).prop_map(Step::Seal),
    ]
}

/// The history so far, from the outside.
pub(crate) struct History {
    pub(crate) world: World,
    channels: Vec<(ChannelId, SecretKey)>,
    items: Vec<(Item, SecretKey)>,
    pending: Vec<Vec<u8>>,
    receipt_key: SecretKey,
    settled: BTreeSet<(ChannelId, Sequence)>,
    claimed: BTreeSet<(ChannelId, Sequence)>,
}

fn pick<T>(list: &[T], index: u8) -> Option<&T> {
    list.get(usize::from(index).checked_rem(list.len())?)
}

impl History {
    pub(crate) fn new() -> Self {
        Self::on(World::new())
    }

    /// A history on a network of its own, from the first block on.
    pub(crate) fn on(world: World) -> Self {
        let mut world = world.furnished();
        let channels = [alice(), bob()].map(|payer| (world.open(&payer), payer)).into();
        Self {
            world,
            channels,
            items: Vec::new(),
            pending: Vec::new(),
            receipt_key: crate::world::signer(),
            settled: BTreeSet::new(),
            claimed: BTreeSet::new(),
        }
    }

    fn send(&mut self, sender: &SecretKey, message: Message) {
        let tx = self.world.tx(sender, message);
        self.pending.push(tx);
    }

    fn account(tag: u8) -> SecretKey {
        [alice(), bob(), node(), sponsor(), key(9)][usize::from(tag % 5)].clone()
    }

    pub(crate) fn step(&mut self, step: Step) {
        match step {
            Step::Transfer(from, to, asset, amount) => {
                let message = Message::Transfer {
                    to: Self::account(to).address(),
                    asset: AssetId(asset),
                    amount: Amount(amount),
                };
                self.send(&Self::account(from), message);
            }
            Step::Bond(amount) => {
                let amount = Amount(amount);
                self.send(&node(), Message::Bond { asset: USD, amount });
            }
            Step::Unbond(amount) => {
                let amount = Amount(amount);
                self.send(&node(), Message::Unbond { asset: USD, amount });
            }
            Step::Open(first, deposit, warranty) => self.open(first, deposit, warranty),
            Step::TopUp(index, amount) => {
                let Some((channel, payer)) = pick(&self.channels, index).cloned() else {
                    return;
                };
                let amount = Amount(amount);
                self.send(&payer, Message::TopUp { channel, amount });
            }
            Step::Close(index, by, consent) => self.close(index, by, consent),
            Step::Answer(index, sequence, zk, fee, warranty, settle_in) => {
                self.answer(index, sequence, zk, fee, warranty, settle_in);
            }
            Step::Settle(index, count, broken) => self.settle(index, count, broken),
            Step::Claim(index) => {
                let Some((item, payer)) = pick(&self.items, index).cloned() else {
                    return;
                };
                let Item { order, receipt } = item;
                self.send(&payer, Message::ClaimMissed { order, receipt });
            }
            Step::Equivocate(index) => self.equivocate(index),
            Step::Rotate(tag) => {
                self.receipt_key = key(60 + tag % 3);
                let mut terms = self.world.terms();
                if let Message::RegisterNode { signer, .. } = &mut terms {
                    *signer = self.receipt_key.address();
                }
                self.send(&node(), terms);
            }
            Step::Garbage(bytes) => self.pending.push(bytes),
            Step::Bent(index, position) => {
                let Some(mut tx) = pick(&self.pending, index).cloned() else {
                    return;
                };
                if let Some(at) = usize::from(position).checked_rem(tx.len()) {
                    tx[at] = tx[at].wrapping_add(1);
                }
                self.pending.push(tx);
            }
            Step::Stake(account, tag, amount) => {
                let account = Self::account(account);
                let message = self.world.stake_message(&account, Self::validator(tag), amount);
                self.send(&account, message);
            }
            Step::Unstake(account, tag, amount) => {
                let key = consensus_id(Self::validator(tag));
                let amount = Amount(amount);
                self.send(&Self::account(account), Message::Unstake { key, amount });
            }
            Step::Unjail(account, tag) => {
                let key = consensus_id(Self::validator(tag));
                self.send(&Self::account(account), Message::Unjail { key });
            }
            Step::Absent(tag, blocks) => {
                for _ in 0..blocks {
                    let validator = consensus_id(Self::validator(tag)).address().0;
                    self.world.votes = vec![CommitVote {
                        validator,
                        signed: false,
                    }];
                    self.world.block(&[]);
                }
            }
            Step::Convict(tag, attack) => {
                let kind = match attack {
                    true => MisbehaviourKind::LightClientAttack,
                    false => MisbehaviourKind::DuplicateVote,
                };
                self.world.misbehaviour.push(Misbehaviour {
                    kind,
                    validator: consensus_id(Self::validator(tag)).address().0,
                    height: self.world.height(),
                    time_unix_s: self.world.time_s(self.world.height().0),
                });
                self.world.block(&[]);
            }
            Step::Seal(blocks) => self.seal(blocks),
        }
    }

    /// One of eight consensus keys, the first of which is genesis'.
    fn validator(tag: u8) -> u8 {
        8 + tag % 8
    }

    fn open(&mut self, first: bool, deposit: u128, warranty: u128) {
        let payer = if first { alice() } else { bob() };
        let mut quote = self.world.quote(&payer);
        quote.deposit = Amount(deposit);
        quote.warranty = Amount(warranty);
        let quote = self.world.sign_quote(quote);
        let channel = quote.value.channel(&self.world.domain);
        self.channels.push((channel, payer.clone()));
        self.send(&payer, Message::OpenChannel { quote });
    }

    fn close(&mut self, index: u8, by: u8, consent: bool) {
        let Some((channel, payer)) = pick(&self.channels, index).cloned() else {
            return;
        };
        let (sender, other) = match by % 3 {
            0 => (payer, node()),
            1 => (node(), payer),
            _ => (bob(), payer),
        };
        let consent = consent.then(|| {
            let expires = Height(self.world.height().0 + u64::from(by % 4));
            Signed::new(Close { channel, expires }, &self.world.domain, &other).unwrap()
        });
        self.send(&sender, Message::CloseChannel { channel, consent });
    }

    fn answer(&mut self, index: u8, sequence: u16, zk: bool, fee: u128, warranty: u128, settle_in: u8) {
        let Some((channel, payer)) = pick(&self.channels, index).cloned() else {
            return;
        };
        let kind = if zk {
            EvidenceKind::Zk
        } else {
            EvidenceKind::Signed
        };
        let world = &self.world;
        let mut order = world.order(channel, u64::from(sequence), kind);
        order.warranty = Amount(warranty);
        order.settle_by = Tick(world.tick().0 + u64::from(settle_in));
        let mut receipt = world.receipt(&order);
        receipt.fee = Amount(fee % 12);
        receipt.signer = self.receipt_key.address();
        let item = Item {
            order: Signed::new(order, &world.domain, &payer).unwrap(),
            receipt: Signed::new(receipt, &world.domain, &self.receipt_key).unwrap(),
        };
        self.items.push((item, payer));
    }

    fn settle(&mut self, index: u8, count: u8, broken: bool) {
        let start = usize::from(index)
            .checked_rem(self.items.len())
            .unwrap_or_default();
        let items: Vec<Item> = self
            .items
            .iter()
            .skip(start)
            .take(usize::from(count % 4) + 1)
            .map(|i| i.0.clone())
            .collect();
        let mut groups = Vec::new();
        for item in items {
            let mut group = match item.order.value.evidence {
                EvidenceKind::Zk => self.world.zk_group(vec![item]),
                _ => self.world.signed_group(vec![item]),
            };
            if let (Evidence::Zk { proof, .. }, true) = (&mut group.evidence, broken) {
                proof[3] ^= 0x10;
            }
            groups.push(group);
        }
        if groups.is_empty() {
            return;
        }
        let sender = if count % 7 == 6 { bob() } else { node() };
        self.send(&sender, Message::SettleBatch { groups });
    }

    fn equivocate(&mut self, index: u8) {
        let Some((item, payer)) = pick(&self.items, index).cloned() else {
            return;
        };
        let mut receipt = item.receipt.value.clone();
        receipt.response = ResponseHash([index; 32]);
        let second = Signed::new(receipt, &self.world.domain, &self.receipt_key).unwrap();
        let message = Message::ClaimEquivocation {
            order: item.order,
            first: item.receipt,
            second,
        };
        self.send(&payer, message);
    }

    pub(crate) fn seal(&mut self, blocks: u8) {
        let txs = std::mem::take(&mut self.pending);
        let state = &self.world.state;
        let chosen = select_proposal(state, &txs, u64::MAX, &self.world.script).unwrap();
        let proposal: Vec<_> = chosen.iter().map(|index| txs[*index].clone()).collect();
        let verdict = check_proposal(state, &proposal, &self.world.script).unwrap();
        assert_eq!(verdict, Ok(()), "an honest proposal is accepted");
        let context = BlockContext {
            height: Height(self.world.height().0 + 1),
            proposer: [0; 20],
            ..BlockContext::default()
        };
        let proposed = execute_block(state, &context, &proposal, &self.world.script).unwrap();
        assert!(
            proposed.txs.iter().all(|tx| tx.gas_used.0 > 0),
            "and every transaction in it is charged"
        );
        let existing = self.world.supply(AssetId::OPG).existing();
        let outcome = self.world.block(&txs);
        let after = self.world.supply(AssetId::OPG).existing();
        assert_eq!(existing.0 - after.0, outcome.burned.0);
        for effect in outcome.txs.iter().flat_map(|tx| &tx.effects) {
            match effect {
                Effect::Settled(settlement) => {
                    let place = (settlement.channel, settlement.sequence);
                    assert!(self.settled.insert(place), "settled twice");
                    assert!(!self.claimed.contains(&place), "settled after a claim");
                }
                Effect::MissedClaimed {
                    channel, sequence, ..
                } => {
                    let place = (*channel, *sequence);
                    assert!(self.claimed.insert(place), "claimed twice");
                    assert!(!self.settled.contains(&place), "claimed after settlement");
                }
                _ => {}
            }
        }
        self.world.wait(u64::from(blocks) - 1);
    }
}
