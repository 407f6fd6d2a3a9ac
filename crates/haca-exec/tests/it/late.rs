//! What would be late behind a proof goes before it, whatever else waits or fails. Here proofs of 25 s.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use haca_client::demand;
use haca_wire::state::{HeldKey, key};
use haca_wire::{Amount, ChannelId, EvidenceKind, ModelId, Order, OrderHash, Sequence, Tick, render};

use crate::demand::{PRICE, config, held_fee, serve, with_slow_proofs};
use crate::gate::{Action, Gate, is_clock};
use crate::world::{FEE, Serving, World, ZK_FEE, body, wait};

pub(crate) const PROOF_MS: u64 = 25_000;

/// A node that bids 1 for gas as long as nothing is urgent.
fn thrifty<'a>(world: &'a World, gate: &Gate) -> Serving<'a> {
    serve(world, gate).node.shutdown();
    let mut config = config(world, gate.url());
    config.policy.max_base_fee = Amount(1);
    with_slow_proofs(world.serve_with(config), PROOF_MS)
}

impl Serving<'_> {
    /// An order without a proof that is late behind one.
    fn pressing(&self, channel: ChannelId, sequence: u64) -> Order {
        Order {
            settle_by: Tick(self.world.tick() + 22),
            ..self.order(channel, sequence, &self.body())
        }
    }

    /// Answers an order, whose settlement no block takes since the base fee has risen.
    fn left_behind(&self, gate: &Gate, order: &Order) -> OrderHash {
        gate.transactions(Action::RefuseBelow(3));
        let sent = gate.submitted();
        let order = self.answer(order);
        // It is sent again only after a pause.
        wait("two refusals", || (gate.submitted() > sent + 1).then_some(()));
        order
    }
}

/// Whether the proof of a demanded receipt was made while another one waited.
fn is_proof_first(serving: &Serving<'_>, demanded: OrderHash, other: OrderHash, waits: &str) -> bool {
    wait("a settlement or an answer", || {
        let is_waiting = serving.status(other).status == waits;
        if serving.status(demanded).proof.is_some() {
            return Some(is_waiting);
        }
        (!is_waiting).then_some(false)
    })
}

/// Whether an order's transaction is sent before another's.
pub(crate) fn settles_first(serving: &Serving<'_>, first: OrderHash, other: OrderHash) -> bool {
    let is_sent = |order| serving.status(order).status == "submitted";
    wait("a settlement", || match (is_sent(first), is_sent(other)) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    })
}

/// The payer's own cheap receipt is left behind by a base fee that rises.
#[test]
fn a_transaction_that_waits_keeps_no_receipt_from_settling_before_an_answer() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = thrifty(&world, &gate);
    let channel = serving.channel(PRICE + 2 * FEE, 1_000);
    let (demanded, demand) = serving.doubted(channel, 0);
    held_fee(&world, channel, 0);
    let cheap = Order {
        warranty: Amount(0),
        ..serving.order(channel, 1, &serving.body())
    };
    serving.left_behind(&gate, &cheap);
    gate.freeze();
    let pressing = serving.answer(&serving.pressing(channel, 2));
    world.send(&world.user, demand);
    world.pass_a_block();
    gate.transactions(Action::RefuseBelow(3));
    assert!(!is_proof_first(&serving, demanded, pressing, "answered"));
}

#[test]
fn a_transaction_that_would_be_late_behind_an_answer_is_signed_anew_before_it() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = thrifty(&world, &gate);
    let channel = serving.channel(PRICE + FEE, 1_000);
    let (demanded, demand) = serving.doubted(channel, 0);
    held_fee(&world, channel, 0);
    let pressing = serving.left_behind(&gate, &serving.pressing(channel, 1));
    gate.freeze();
    world.send(&world.user, demand);
    world.pass_a_block();
    gate.set(|method, path| {
        if method == "POST" {
            Action::RefuseBelow(3)
        } else if is_clock(path) {
            Action::BaseFee(3)
        } else {
            Action::Pass
        }
    });
    assert!(!is_proof_first(&serving, demanded, pressing, "submitted"));
}

/// The file of its model was moved away.
#[test]
fn a_receipt_that_nobody_can_prove_keeps_no_demand_waiting() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = serve(&world, &gate);
    let kept = serving.model();
    serving.node.shutdown();
    let file = world.home().join("models/other.haca");
    std::fs::write(&file, crate::model::file(2)).unwrap();
    let serving = serve(&world, &gate);
    let models = serving.client.models().unwrap();
    let ids = models["data"].as_array().unwrap().iter();
    let mut ids = ids.map(|model| model["id"].as_str().unwrap().parse::<ModelId>().unwrap());
    let moved = ids.find(|id| *id != kept).unwrap();
    let channel = serving.channel(PRICE + ZK_FEE, 1_000);
    let answer = |model, sequence, evidence| {
        let body = body(model, "1,-2,3,4");
        let order = Order {
            model,
            evidence,
            max_fee: Amount(ZK_FEE),
            request: render::request_hash(&body),
            input_root: world.client().input_root(model, &body).unwrap(),
            ..serving.order(channel, sequence, &body)
        };
        serving.infer(&body, &order).unwrap().receipt
    };
    let demanded = answer(kept, 0, EvidenceKind::Optimistic);
    serving.wait_for(demanded.value.order, "held");
    held_fee(&world, channel, 0);
    gate.freeze();
    answer(moved, 1, EvidenceKind::Zk);
    let config = serving.config.clone();
    serving.node.shutdown();
    std::fs::remove_file(&file).unwrap();
    gate.open();
    let serving = world.serve_with(config);
    world.send(&world.user, demand(&demanded, &world.domain));
    world.pass_a_block();
    serving.wait_for(demanded.value.order, "settled");
}

/// Whether an order goes before a demand's proof that comes when the settler has read what waits, and asks the chain about the
/// demand.
fn goes_before_an_answer(order: impl Fn(&Serving<'_>, ChannelId) -> Order) -> bool {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = with_slow_proofs(serve(&world, &gate), PROOF_MS);
    let channel = serving.channel(PRICE + ZK_FEE, 1_000);
    let (demanded, demand) = serving.doubted(channel, 0);
    held_fee(&world, channel, 0);
    let first = Sequence(0);
    let held_path = hex::encode(key::held(HeldKey { channel, first }));
    let looks = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&looks);
    gate.set(move |_, path| {
        if path.contains(&held_path) {
            seen.fetch_add(1, Ordering::SeqCst);
            Action::Hold
        } else {
            Action::Pass
        }
    });
    world.send(&world.user, demand);
    world.pass_a_block();
    wait("the question", || {
        (looks.load(Ordering::SeqCst) > 0).then_some(())
    });
    let pressing = serving.answer(&order(&serving, channel));
    gate.open();
    !is_proof_first(&serving, demanded, pressing, "answered")
}

#[test]
fn an_order_that_comes_while_demands_are_looked_for_settles_before_their_proof() {
    assert!(goes_before_an_answer(
        |serving, channel| serving.pressing(channel, 1)
    ));
}

/// Its own proof, twice, is in time; behind the answer's it would not be.
#[test]
fn an_order_with_a_proof_that_comes_while_demands_are_looked_for_is_proven_before_them() {
    assert!(goes_before_an_answer(|serving, channel| {
        let body = serving.body();
        Order {
            settle_by: Tick(serving.world.tick() + 57),
            ..serving.zk(channel, 1, &body)
        }
    }));
}

/// The settler has read what waits, and asks the chain for the time.
#[test]
fn an_order_that_comes_before_a_proof_is_announced_settles_before_it() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = with_slow_proofs(serve(&world, &gate), PROOF_MS);
    let channel = serving.channel(ZK_FEE + FEE, 1_000);
    let questions = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&questions);
    gate.set(move |_, path| {
        if is_clock(path) {
            // One is the settler's, one that of whoever follows the head.
            asked.fetch_add(1, Ordering::SeqCst);
            Action::Hold
        } else {
            Action::Pass
        }
    });
    let proven = serving.answer(&serving.zk(channel, 0, &serving.body()));
    wait("both questions", || {
        (questions.load(Ordering::SeqCst) > 1).then_some(())
    });
    let pressing = serving.answer(&serving.pressing(channel, 1));
    gate.transactions(Action::Lose);
    assert!(settles_first(&serving, pressing, proven));
}

/// Its proof could begin 27 s later if it took no longer than was measured. It may take twice as long.
#[test]
fn an_answer_that_has_no_more_than_twice_its_time_waits_for_no_settlement() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = with_slow_proofs(serve(&world, &gate), PROOF_MS);
    let channel = serving.channel(PRICE + FEE, 1_000);
    let (demanded, demand) = serving.doubted(channel, 0);
    held_fee(&world, channel, 0);
    gate.freeze();
    let waiting = serving.answer(&Order {
        settle_by: Tick(world.tick() + 100),
        ..serving.order(channel, 1, &serving.body())
    });
    let config = serving.config.clone();
    serving.node.shutdown();
    world.send(&world.user, demand);
    let due = held_fee(&world, channel, 0).due().0;
    world.pass_tick(due - 2 * 27 - 1);
    gate.open();
    let serving = world.serve_with(config);
    assert!(is_proof_first(&serving, demanded, waiting, "answered"));
    serving.wait_for(waiting, "settled");
}

/// Two transactions wait that are signed too low since the base fee has risen, and would be late behind a proof that is due. One
/// for low fees, one that was to go before an answer.
#[test]
fn one_transaction_is_signed_anew_before_a_proof_that_is_due() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = thrifty(&world, &gate);
    let channel = serving.channel(PRICE + 2 * FEE + ZK_FEE, 1_000);
    let (demanded, demand) = serving.doubted(channel, 0);
    held_fee(&world, channel, 0);
    let due_in = |ticks: u64, order: Order| Order {
        settle_by: Tick(world.tick() + ticks),
        ..order
    };
    let body = serving.body();
    gate.transactions(Action::Answer(503, "node.busy"));
    let cheap = serving.answer(&due_in(45, serving.order(channel, 1, &body)));
    let first = serving.wait_for(cheap, "submitted").tx;
    gate.freeze();
    let pressing = serving.answer(&due_in(45, serving.order(channel, 2, &body)));
    world.send(&world.user, demand);
    world.pass_a_block();
    gate.transactions(Action::Answer(503, "node.busy"));
    let second = serving.wait_for(pressing, "submitted").tx;
    wait("the answer", || serving.status(demanded).proof.map(drop));
    // Its proof took less than the time that was reckoned, which is half as long from now on: one of 12.5 s is due 18 ticks before.
    let proven = due_in(PROOF_MS / 1_000 + 10, serving.zk(channel, 3, &body));
    let due = proven.settle_by.0 - 18;
    let proven = serving.answer(&proven);
    gate.set(|method, path| {
        if method == "POST" {
            Action::Answer(503, "node.busy")
        } else if is_clock(path) {
            Action::BaseFee(5)
        } else {
            Action::Pass
        }
    });
    let is_raised = || {
        [
            serving.status(cheap).tx != first,
            serving.status(pressing).tx != second,
        ]
    };
    assert_eq!(is_raised(), [false, false]);
    world.pass_tick(due - 1);
    serving.wait_for(proven, "submitted");
    let raised = is_raised().iter().filter(|is_raised| **is_raised).count();
    assert_eq!(raised, 1);
}
