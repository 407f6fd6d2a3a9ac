//! Every order of messages in a small world: an exhaustive search that drives the real ledger.
//!
//! One channel, two sequences, windows of one tick, a payer, a node and a third account. Blocks are smaller than any genesis
//! allows: a transaction exhausts its block by bytes, which then does not advance the clock; an empty block does. Any number of messages so
//! fits into a tick, in any order. States that differ in nothing but nonces, gas and heights are one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use haca_ledger::{BlockContext, Effect, audit, execute_block, query};
use haca_wire::order::Signed;
use haca_wire::state::{ChannelState, Entry, Params, SequenceWindow, key};
use haca_wire::*;
use sha2::{Digest as _, Sha256};

use crate::demands::{demand, respond};
use crate::vouchers::{doubt, range, settle};
use crate::world::{OPG, State, USD, World, alice, bob, node, signer, test_params};

/// The clock of the search stops here, a few ticks after the last deadline; then everybody leaves.
const LAST_TICK: u64 = 5;
const FEE: u128 = 10;
const WARRANTY: u128 = 50;

/// What has happened, by the first sequence of what was settled, or by the sequence a warranty is for.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Ledgered {
    settled: BTreeMap<u64, u128>,
    paid: BTreeMap<u64, u128>,
    returned: BTreeMap<u64, u128>,
    warranties: BTreeMap<u64, u128>,
    missed: BTreeSet<u64>,
}

impl Ledgered {
    fn add(&mut self, effect: &Effect) {
        let grow = |map: &mut BTreeMap<u64, u128>, at: &Sequence, amount: &Amount| {
            *map.entry(at.0).or_default() += amount.0;
        };
        match effect {
            Effect::Settled(record) => {
                grow(&mut self.settled, &record.sequence, &record.fee);
                if record.evidence == EvidenceKind::Signed {
                    grow(&mut self.paid, &record.sequence, &record.fee);
                }
            }
            Effect::HeldPaid { first, fee, .. } => grow(&mut self.paid, first, fee),
            Effect::DemandUnanswered {
                first,
                sequence,
                fee,
                paid,
                ..
            } => {
                grow(&mut self.returned, first, fee);
                grow(&mut self.warranties, sequence, paid);
            }
            Effect::MissedClaimed { sequence, paid, .. } => {
                grow(&mut self.warranties, sequence, paid);
                self.missed.insert(sequence.0);
            }
            Effect::EquivocationClaimed { sequence, paid, .. } => grow(&mut self.warranties, sequence, paid),
            _ => {}
        }
    }

    /// What no order of messages may lead to.
    fn check(&self) -> Result<(), String> {
        let total = |map: &BTreeMap<u64, u128>| map.values().sum::<u128>();
        if total(&self.settled) > 2 * FEE {
            return Err(format!("two sequences are charged more than twice: {self:?}"));
        }
        for (first, settled) in &self.settled {
            let moved = [&self.paid, &self.returned].map(|map| map.get(first).copied().unwrap_or_default());
            if moved[0] + moved[1] > *settled {
                return Err(format!("a fee is paid twice: {self:?}"));
            }
            if self.missed.contains(first) {
                return Err(format!("settled and missed: {self:?}"));
            }
        }
        if self.warranties.values().any(|paid| *paid > WARRANTY) {
            return Err(format!("a warranty is paid twice: {self:?}"));
        }
        // Both sequences under a voucher: until its fee is paid, all that is paid out of the bond is the voucher's warranty.
        let is_covered = total(&self.settled) == 2 * FEE && self.settled.len() == 1;
        if is_covered && self.paid.is_empty() && total(&self.warranties) > WARRANTY {
            return Err(format!("a range pays more than its voucher's warranty: {self:?}"));
        }
        Ok(())
    }

    /// What must hold once everything has come to rest.
    fn check_at_rest(&self) -> Result<(), String> {
        for (first, settled) in &self.settled {
            let moved = [&self.paid, &self.returned].map(|map| map.get(first).copied().unwrap_or_default());
            if moved[0] + moved[1] != *settled {
                return Err(format!("a settled fee is lost: {self:?}"));
            }
        }
        Ok(())
    }
}

fn params() -> Params {
    Params {
        block_bytes: 1_310_719,
        settle_horizon: 1,
        grace: 1,
        claim_window: 1,
        demand_window: 1,
        respond_window: 1,
        respond_step: 1,
        signer_grace: 1,
        unbonding: 3,
        tx_lifetime: 1_000_000,
        ..test_params()
    }
}

/// A state without what tells two paths to it apart: nonces, receipts of blocks, gas.
fn stripped(mut state: State) -> State {
    let dropped = [key::NONCE, key::SPENT, key::RECEIPTS];
    state.retain(|key, _| !dropped.iter().any(|prefix| key.starts_with(prefix)));
    state
}

/// What makes two states one.
fn identity(state: &State, ledgered: &Ledgered) -> [u8; 32] {
    let mut hash = Sha256::new();
    for (key, value) in state {
        match Entry::decode(key, value).unwrap() {
            Entry::Balance(_, OPG, _) | Entry::Supply(OPG, _) => {}
            Entry::Clock(clock) => hash.update(clock.tick.encode()),
            Entry::Claim(_, _, mut claim) => {
                claim.height = Height(0);
                hash.update(claim.encode());
            }
            Entry::Channel(_, mut channel) => {
                if let ChannelState::Closed { height } = &mut channel.state {
                    *height = Height(0);
                }
                hash.update(channel.encode());
            }
            _ => {
                hash.update(key);
                hash.update(value);
            }
        }
    }
    hash.update(format!("{ledgered:?}"));
    hash.finalize().into()
}

/// Every message that payer, node or a stranger may send in this world, signed once.
fn messages(world: &mut World, channel: ChannelId) -> Vec<(&'static str, Vec<u8>)> {
    let signed = world.item(channel, 0, EvidenceKind::Signed);
    let doubted = world.item(channel, 1, EvidenceKind::Optimistic);
    let soon = |item: Item, world: &World| {
        let mut order = item.order.value;
        order.settle_by = Tick(1);
        let receipt = world.receipt(&order);
        world.sign_item(order, receipt)
    };
    let (signed, doubted) = (soon(signed, world), soon(doubted, world));
    let covered = range(world, channel, 0, 2, EvidenceKind::Optimistic);
    let report = |item: &Item, world: &World| {
        let mut lie = item.receipt.value.clone();
        lie.response = ResponseHash([9; 32]);
        Message::ClaimEquivocation {
            order: item.order.clone(),
            first: item.receipt.clone(),
            second: Signed::new(lie, &world.domain, &signer()).unwrap(),
        }
    };
    let consent = Close {
        channel,
        expires: Height(1_000_000),
    };
    let consent = Signed::new(consent, &world.domain, &alice()).unwrap();
    let held = Group {
        items: vec![doubted.clone()],
        evidence: Evidence::Optimistic,
    };
    let missed = |item: &Item| Message::ClaimMissed {
        order: item.order.clone(),
        receipt: item.receipt.clone(),
    };
    let close = |consent| Message::CloseChannel { channel, consent };
    let leaf = &covered.items[1].receipt.value;
    let list = [
        ("settle 0", node(), world.settle_one(signed.clone())),
        ("settle 1", node(), Message::SettleBatch { groups: vec![held] }),
        ("settle 0 and 1", node(), settle(&covered.coverage)),
        ("demand 1", alice(), demand(world, &doubted)),
        ("demand leaf 1", alice(), doubt(world, &covered, 1)),
        (
            "respond 1",
            node(),
            respond(world, &[(Sequence(1), &doubted.receipt.value)]),
        ),
        ("respond leaf 1", node(), respond(world, &[(Sequence(0), leaf)])),
        ("claim 0", alice(), missed(&signed)),
        ("claim 1", alice(), missed(&doubted)),
        ("report 0", bob(), report(&signed, world)),
        ("report 1", bob(), report(&doubted, world)),
        ("payer closes", alice(), close(None)),
        ("node closes", node(), close(None)),
        ("both close", node(), close(Some(consent))),
    ];
    list.map(|(name, sender, message)| {
        let mut tx = world.signed(&sender, message).transaction;
        tx.meta.expiry = Height(900_000);
        (name, world.sign(&sender, tx).encode())
    })
    .to_vec()
}

struct Search {
    world: World,
    channel: ChannelId,
    messages: Vec<(&'static str, Vec<u8>)>,
    /// What a broken ledger would do to the state after a block.
    sabotage: fn(&mut State, ChannelId),
}

struct Place {
    state: State,
    ledgered: Ledgered,
    path: Vec<&'static str>,
}

impl Search {
    fn new(sabotage: fn(&mut State, ChannelId)) -> Self {
        let mut world = World::under(params());
        world.register_model(&crate::script::Key::new(1));
        let terms = world.terms();
        world.ok(&node(), terms);
        let (asset, amount) = (USD, Amount(1_000));
        world.ok(&node(), Message::Bond { asset, amount });
        let channel = world.open(&alice());
        assert_eq!(world.tick(), Tick(0), "blocks with a transaction do not tick");
        let messages = messages(&mut world, channel);
        Self {
            world,
            channel,
            messages,
            sabotage,
        }
    }

    /// The place after one block, or `None` when its transaction was refused.
    fn after(&self, from: &Place, name: &'static str, txs: &[Vec<u8>]) -> Option<Place> {
        let context = BlockContext {
            height: Height(query::clock(&from.state).unwrap().height.0 + 1),
            ..BlockContext::default()
        };
        let outcome = execute_block(&from.state, &context, txs, &self.world.script).unwrap();
        if outcome.txs.iter().any(|tx| tx.refusal.is_some()) {
            return None;
        }
        let mut state = from.state.clone();
        for (key, value) in outcome.writes {
            match value {
                Some(value) => state.insert(key, value),
                None => state.remove(&key),
            };
        }
        let mut ledgered = from.ledgered.clone();
        let effects = outcome
            .swept
            .iter()
            .chain(outcome.txs.iter().flat_map(|tx| &tx.effects));
        effects.for_each(|effect| ledgered.add(effect));
        (self.sabotage)(&mut state, self.channel);
        let mut path = from.path.clone();
        path.push(name);
        Some(Place {
            state: stripped(state),
            ledgered,
            path,
        })
    }

    /// Everybody leaves: the payer closes what is open, and time passes.
    fn rest(&self, place: Place) -> Result<(), String> {
        let closing = self
            .messages
            .iter()
            .find(|(name, _)| *name == "payer closes")
            .unwrap();
        let mut last = self
            .after(&place, "leave", std::slice::from_ref(&closing.1))
            .unwrap_or(place);
        for _ in 0..8 {
            last = self.after(&last, "wait", &[]).unwrap();
        }
        last.ledgered.check().and(last.ledgered.check_at_rest())?;
        for asset in [OPG, USD] {
            let supply = query::supply(&last.state, asset).unwrap().unwrap();
            if (supply.escrow, supply.held) != (Amount(0), Amount(0)) {
                return Err(format!("locked for ever after {:?}: {supply:?}", last.path));
            }
        }
        let bond = query::bond(&last.state, node().address(), USD).unwrap();
        if bond.reserved != Amount(0) {
            return Err(format!("a reserve outlives its channel after {:?}", last.path));
        }
        Ok(())
    }

    /// Visits every state. How many there are, and how many steps lead to them.
    fn run(&self) -> Result<(usize, usize), String> {
        let start = Place {
            state: stripped(self.world.state.clone()),
            ledgered: Ledgered::default(),
            path: Vec::new(),
        };
        let mut seen = BTreeSet::from([identity(&start.state, &start.ledgered)]);
        let mut open = VecDeque::from([start]);
        let mut steps = 0;
        while let Some(place) = open.pop_front() {
            if query::clock(&place.state).unwrap().tick.0 >= LAST_TICK {
                self.rest(place)?;
                continue;
            }
            let waits = self.after(&place, "wait", &[]);
            let acts = self
                .messages
                .iter()
                .filter_map(|(name, tx)| self.after(&place, name, core::slice::from_ref(tx)));
            for next in waits.into_iter().chain(acts) {
                steps += 1;
                if !seen.insert(identity(&next.state, &next.ledgered)) {
                    continue;
                }
                next.ledgered
                    .check()
                    .map_err(|error| format!("{error} after {:?}", next.path))?;
                audit(next.state.iter().map(|(key, value)| (&key[..], &value[..])))
                    .map_err(|error| format!("{error} after {:?}", next.path))?;
                open.push_back(next);
            }
        }
        Ok((seen.len(), steps))
    }
}

#[test]
fn no_order_of_messages_pays_twice_loses_a_fee_or_locks_funds() {
    let (states, steps) = Search::new(|_, _| {}).run().unwrap();
    assert!(steps > 2 * states, "{states} states, {steps} steps");
    assert!(states > 4_000, "the world is not trivial: {states} states");
}

/// The search finds what it looks for: a ledger that forgets used sequences pays twice.
#[test]
fn a_ledger_that_forgets_sequences_is_found() {
    let search = Search::new(|state, channel| {
        let mut record = query::channel(state, channel).unwrap().unwrap();
        record.window = SequenceWindow::default();
        state.insert(key::channel(channel), record.encode());
    });
    let found = search.run().unwrap_err();
    assert!(found.contains("twice") || found.contains("missed"), "{found}");
}

/// And a ledger that forgets its calendar locks what it holds.
#[test]
fn a_ledger_that_forgets_its_calendar_is_found() {
    let search = Search::new(|state, _| {
        state.retain(|key, _| !key.starts_with(key::DUE) && !key.starts_with(key::DUES));
    });
    let found = search.run().unwrap_err();
    assert!(found.contains("locked") || found.contains("lost"), "{found}");
}
