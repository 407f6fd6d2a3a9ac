//! What would be late behind a proof goes before it, whatever else waits or fails. Here proofs of 25 s.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use haca_client::demand;
use haca_wire::state::{HeldKey, key};
use haca_wire::{Amount, ChannelId, EvidenceKind, ModelId, Order, OrderHash, Sequence, Tick, render};

use crate::demand::{PRICE, config, held_fee, serve, with_slow_proofs};
use crate::gate::{Action, Gate, is_clock};
use crate::world::{FEE, Serving, World, ZK_FEE, body, wait};

const PROOF_MS: u64 = 25_000;

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

/// The settler has read what waits, and asks the chain about the demand.
#[test]
fn an_order_that_comes_while_demands_are_looked_for_settles_before_their_proof() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = with_slow_proofs(serve(&world, &gate), PROOF_MS);
    let channel = serving.channel(PRICE + FEE, 1_000);
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
    let pressing = serving.answer(&serving.pressing(channel, 1));
    gate.open();
    assert!(!is_proof_first(&serving, demanded, pressing, "answered"));
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
    let sent = |order| serving.status(order).status == "submitted";
    let is_pressing_first = wait("a settlement", || match (sent(pressing), sent(proven)) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    });
    assert!(is_pressing_first);
}
