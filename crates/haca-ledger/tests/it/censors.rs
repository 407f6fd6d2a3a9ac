//! A quarter of the proposers leave out whatever a channel's two sides send, and fill their own blocks with something else
//! if they like: every message still lands before its deadline.

use haca_ledger::Refusal;
use haca_wire::state::HeldKey;
use haca_wire::{
    Amount, ChannelId, Encode as _, Evidence, EvidenceKind, Gas, Group, Message, SecretKey, Sequence, state,
};

use crate::demands::{answer_to, demand, place};
use crate::vouchers::{range, settle};
use crate::world::{STAKE, USD, World, alice, bob, node, payout, test_params};

/// Proposers, each with as many turns as every other, of whom `CENSORS` censor.
const PROPOSERS: u64 = 8;
const CENSORS: u64 = 2;

/// What censors put into their blocks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Filling {
    Nothing,
    /// As much as fits, so that nobody can say there was room.
    Flood,
}

/// A chain whose proposers take turns.
struct Rotation {
    world: World,
    censors: [u64; CENSORS as usize],
    filling: Filling,
    turn: u64,
}

impl Rotation {
    /// The next block, with this transaction unless a censor proposes it. Says whether it was in.
    fn block(&mut self, tx: &[u8]) -> bool {
        let is_censored = self.censors.contains(&(self.turn % PROPOSERS));
        self.turn += 1;
        let txs = match (is_censored, self.filling) {
            (false, _) => vec![tx.to_vec()],
            (true, Filling::Nothing) => Vec::new(),
            (true, Filling::Flood) => (0..40).map(|_| self.noise()).collect(),
        };
        let outcome = self.world.block(&txs);
        if !is_censored {
            assert_eq!(outcome.txs[0].refusal, None::<Refusal>);
        }
        !is_censored
    }

    fn noise(&mut self) -> Vec<u8> {
        let (to, asset, amount) = (alice().address(), USD, Amount(1));
        self.world.tx(&bob(), Message::Transfer { to, asset, amount })
    }

    /// Sends a message until it is in a block. Says how many ticks that took: 1 without a censor.
    fn land(&mut self, sender: &SecretKey, message: Message) -> u64 {
        let tx = self.world.tx(sender, message);
        let from = self.world.tick().0;
        while !self.block(&tx) {}
        self.world.tick().0 - from
    }
}

/// Every way in which two of eight can stand in the rotation, whoever begins.
fn rotations(filling: Filling) -> impl Iterator<Item = (Rotation, ChannelId)> {
    let pairs = (0..PROPOSERS).flat_map(|first| (first + 1..PROPOSERS).map(move |second| [first, second]));
    pairs.map(move |censors| {
        let (mut world, channel) = World::with_channel();
        let mut params = world.params();
        if filling == Filling::Flood {
            params.block_gas = Gas(10_000);
            params.tx_gas = Gas(2_000);
            // A transfer is a fortieth of a block, and an answer of any size fits one.
            (params.gas_flat, params.gas_byte) = (Gas(250), Gas(0));
        }
        world.state.insert(state::key::PARAMS.to_vec(), params.encode());
        let turn = 0;
        let rotation = Rotation {
            world,
            censors,
            filling,
            turn,
        };
        (rotation, channel)
    })
}

/// The most ticks that any message of a channel's life took, over all places of the censors.
fn worst(filling: Filling, life: impl Fn(&mut Rotation, ChannelId) -> u64) -> u64 {
    let lives = rotations(filling).map(|(mut rotation, channel)| life(&mut rotation, channel));
    lives.max().unwrap()
}

/// Settled, doubted, answered: the node keeps its stake and has fee and deposit.
fn doubted(rotation: &mut Rotation, channel: ChannelId) -> u64 {
    let item = rotation.world.item(channel, 0, EvidenceKind::Optimistic);
    let group = Group {
        items: vec![item.clone()],
        evidence: Evidence::Optimistic,
    };
    let settled = rotation.land(&node(), Message::SettleBatch { groups: vec![group] });
    assert!(rotation.world.tick() <= item.order.value.settle_by);
    let matures = rotation.world.held(place(&item)).unwrap().matures;
    let message = demand(&rotation.world, &item);
    let demanded = rotation.land(&alice(), message);
    assert!(rotation.world.tick() <= matures);
    let due = rotation.world.held(place(&item)).unwrap().due();
    let message = answer_to(&rotation.world, &[&item]);
    let answered = rotation.land(&node(), message);
    assert!(rotation.world.tick() <= due);
    assert_eq!(rotation.world.balance(payout(), USD), 10);
    assert_eq!(rotation.world.node().stake, Amount(STAKE));
    settled.max(demanded).max(answered)
}

/// Never settled: the payer has its warranty.
fn missed(rotation: &mut Rotation, channel: ChannelId) -> u64 {
    let item = rotation.world.item(channel, 0, EvidenceKind::Zk);
    let opens = item.order.value.settle_by.0 + test_params().grace;
    while rotation.world.tick().0 <= opens {
        rotation.world.block(&[]);
    }
    let before = rotation.world.balance(alice().address(), USD);
    let claim = Message::ClaimMissed {
        order: item.order.clone(),
        receipt: item.receipt.clone(),
    };
    let claimed = rotation.land(&alice(), claim);
    assert!(rotation.world.tick().0 <= opens + test_params().claim_window);
    assert!(rotation.world.balance(alice().address(), USD) >= before + 50);
    claimed
}

/// A voucher at the last moment, with the node's own close before it: the channel is still there for both.
fn covered(rotation: &mut Rotation, channel: ChannelId) -> u64 {
    let range = range(&rotation.world, channel, 0, 4, EvidenceKind::Optimistic);
    let settle_by = range.coverage.voucher.value.settle_by;
    let closing = rotation.land(
        &alice(),
        Message::CloseChannel {
            channel,
            consent: None,
        },
    );
    let settled = rotation.land(&node(), settle(&range.coverage));
    assert!(rotation.world.tick() <= settle_by);
    let held = HeldKey {
        channel,
        first: Sequence(0),
    };
    assert!(rotation.world.held(held).is_some());
    closing.max(settled)
}

#[test]
fn a_censoring_quarter_of_the_proposers_makes_nobody_miss_a_deadline() {
    for life in [doubted, missed, covered] {
        // At worst both censors stand next to each other: two blocks without the message, and the one with it.
        assert_eq!(worst(Filling::Nothing, life), 1 + CENSORS);
    }
}

/// Blocks that are full are no ticks: a censor who fills his own gives everybody the time back.
#[test]
fn censors_who_fill_their_blocks_take_no_time_from_anybody() {
    for life in [doubted, missed, covered] {
        assert_eq!(worst(Filling::Flood, life), 1);
    }
}
