//! The settler against a full node that loses, refuses, is away; and against receipts that can't settle.

use std::sync::atomic::{AtomicUsize, Ordering};

use haca_wire::{Amount, Decode as _, Order, SignedTransaction, Tick};

use crate::gate::{Action, Gate, is_clock};
use crate::world::{FEE, World, ZK_FEE, wait};

/// Gas that one settlement alone burns, in OPG: the base fee stays at its floor of 1 in small blocks.
fn burned(world: &World, work: impl FnOnce()) -> u128 {
    let before = world.operator_opg();
    work();
    before - world.operator_opg()
}

#[test]
fn a_transaction_that_the_full_node_forgot_is_sent_again_and_paid_for_once() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = world.serve_behind(gate.url());
    let channel = serving.channel(ZK_FEE, 100);
    gate.transactions(Action::Lose);
    let order = serving.answer(&serving.zk(channel, 0, &serving.body()));
    let lost = serving.wait_for(order, "submitted");
    let sent = gate.submitted();
    wait("another sending", || (gate.submitted() > sent + 1).then_some(()));
    gate.open();
    let settled = serving.wait_for(order, "settled");
    assert_eq!(settled.tx, lost.tx);
    assert_eq!(world.record(channel).settled, 1);
}

#[test]
fn a_full_node_that_goes_away_and_comes_back_delays_and_loses_nothing() {
    let mut world = World::start();
    let (channel, order, signed) = {
        let serving = world.serve();
        let channel = serving.channel(2 * FEE, 1_000);
        let order = serving.order(channel, 0, &serving.body());
        (channel, order.clone(), serving.sign(&order))
    };
    let gate = Gate::before(world.url());
    let config = world.config(gate.url());
    let node = haca_exec::InferenceNode::start(config).unwrap();
    let client = haca_client::InferenceClient::new(node.url());
    let body = crate::world::body(order.model, "1,-2,3,4");
    // The first order shows the node the channel. Then nobody answers it any more.
    gate.transactions(Action::Shut);
    client.infer(&body, &signed).unwrap();
    gate.set(|_, _| Action::Shut);
    let second = Order {
        sequence: haca_wire::Sequence(1),
        ..order.clone()
    };
    let second_signed = world.user.sign_order(second.clone(), &world.domain).unwrap();
    client.infer(&body, &second_signed).unwrap();
    world.restart_node();
    gate.open();
    for order in [&order, &second] {
        let hash = order.hash(&world.domain);
        wait("the settlement", || {
            let status = client.receipt(hash).unwrap().unwrap().status;
            (status == "settled").then_some(())
        });
    }
    assert_eq!(world.record(channel).settled, 2);
}

#[test]
fn a_refusal_that_passes_is_waited_out_with_the_same_transaction() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = world.serve_behind(gate.url());
    let channel = serving.channel(ZK_FEE, 100);
    let refusals = [
        (422, "ledger.base_fee"),
        (422, "ledger.cannot_pay_gas"),
        (503, "node.mempool_full"),
    ];
    let next = AtomicUsize::new(0);
    gate.set(move |method, _| {
        if method != "POST" {
            return Action::Pass;
        }
        let turn = next.fetch_add(1, Ordering::SeqCst);
        refusals
            .get(turn)
            .map_or(Action::Pass, |(status, code)| Action::Answer(*status, code))
    });
    let sent = gate.submitted();
    let order = serving.answer(&serving.zk(channel, 0, &serving.body()));
    let first = serving.wait_for(order, "submitted").tx;
    assert_eq!(serving.wait_for(order, "settled").tx, first);
    assert_eq!(gate.submitted(), sent + refusals.len() + 1);
}

#[test]
fn an_expired_transaction_is_replaced_without_a_new_proof_and_paid_for_once() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = world.serve_behind(gate.url());
    let channel = serving.channel(ZK_FEE, 100);
    gate.transactions(Action::Lose);
    let order = serving.answer(&serving.zk(channel, 0, &serving.body()));
    let lost = serving.wait_for(order, "submitted");
    for _ in 0..haca_client::TX_LIFETIME_BLOCKS {
        world.pass_a_block();
    }
    let replaced = wait("the replacement", || {
        Some(serving.status(order)).filter(|status| status.tx != lost.tx)
    });
    assert_eq!(replaced.status, "submitted");
    let figures = |status: &haca_client::ReceiptStatus| status.proof.as_ref().unwrap().prove_ms;
    assert!(
        (figures(&replaced) - figures(&lost)).abs() < f64::EPSILON,
        "the same proof"
    );
    let burned = burned(&world, || {
        gate.open();
        serving.wait_for(order, "settled");
    });
    assert!(burned > 0);
    assert_eq!(world.record(channel).settled, 1);
}

#[test]
fn a_receipt_that_can_not_settle_keeps_no_other_from_settling() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = world.serve_behind(gate.url());
    let (closed, open) = (serving.channel(FEE, 100), serving.channel(2 * FEE, 1_000));
    gate.freeze();
    let body = serving.body();
    let bad = serving.answer(&serving.order(closed, 0, &body));
    let good = [0, 1].map(|sequence| serving.answer(&serving.order(open, sequence, &body)));
    serving.close(closed);
    let burned = burned(&world, || {
        gate.open();
        for order in good {
            serving.wait_for(order, "settled");
        }
    });
    let refused = serving.wait_for(bad, "refused");
    assert!(refused.reason.unwrap().contains("closed"));
    assert_eq!(world.record(open).settled, 2);
    assert!(
        burned < 3 * 2_000_000,
        "refused at the door costs nothing: {burned}"
    );
}

#[test]
fn a_receipt_that_is_refused_for_unknown_reasons_is_sent_alone_until_it_passes() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = world.serve_behind(gate.url());
    let channel = serving.channel(3 * ZK_FEE, 1_000);
    gate.freeze();
    let orders = [0, 1, 2].map(|sequence| serving.answer(&serving.zk(channel, sequence, &serving.body())));
    gate.transactions(Action::RefuseSequence(0));
    serving.wait_for(orders[1], "settled");
    serving.wait_for(orders[2], "settled");
    assert_eq!(world.record(channel).settled, 2);
    gate.open();
    let last = serving.wait_for(orders[0], "settled");
    assert_eq!(last.proof.unwrap().batch, 1);
    assert_eq!(world.record(channel).settled, 3);
}

#[test]
fn a_receipt_of_a_model_that_was_moved_away_waits_for_its_return() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = world.serve_behind(gate.url());
    let channel = serving.channel(ZK_FEE + FEE, 1_000);
    let hashes = {
        gate.freeze();
        let zk = serving.zk(channel, 0, &serving.body());
        let signed = serving.order(channel, 1, &serving.body());
        [serving.answer(&zk), serving.answer(&signed)]
    };
    serving.node.shutdown();
    gate.open();
    let models = world.home().join("models");
    std::fs::rename(models.join("linear.haca"), world.path().join("linear.haca")).unwrap();
    std::fs::write(models.join("other.haca"), crate::model::file(2)).unwrap();
    let serving = world.serve_behind(gate.url());
    serving.wait_for(hashes[1], "settled");
    assert_eq!(serving.status(hashes[0]).status, "answered");
    serving.node.shutdown();
    std::fs::rename(world.path().join("linear.haca"), models.join("linear.haca")).unwrap();
    let serving = world.serve_behind(gate.url());
    serving.wait_for(hashes[0], "settled");
    assert_eq!(world.record(channel).settled, 2);
}

#[test]
fn the_receipt_that_is_due_first_settles_first() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let mut config = world.config(gate.url());
    config.max_batch = 1;
    let serving = world.serve_with(config);
    let channel = serving.channel(3 * FEE, 1_000);
    gate.freeze();
    let due = [300, 100, 200];
    let tick = world.tick();
    let orders: Vec<_> = due
        .iter()
        .enumerate()
        .map(|(sequence, ticks)| {
            serving.answer(&Order {
                settle_by: Tick(tick + ticks),
                ..serving.order(channel, sequence as u64, &serving.body())
            })
        })
        .collect();
    gate.open();
    let heights: Vec<_> = orders
        .iter()
        .map(|order| serving.wait_for(*order, "settled").height.unwrap())
        .collect();
    assert!(heights[1] < heights[2] && heights[2] < heights[0], "{heights:?}");
}

#[test]
fn a_receipt_that_burns_gas_in_vain_is_given_up_after_a_few_times() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = world.serve_behind(gate.url());
    let channel = serving.channel(FEE, 100);
    gate.transactions(Action::Lose);
    let order = serving.answer(&serving.order(channel, 0, &serving.body()));
    serving.wait_for(order, "submitted");
    // The full node says that whatever is asked for was included and failed.
    gate.set(|method, path| match method {
        "POST" => Action::Lose,
        _ if path.starts_with("/v1/tx/") => Action::Failed,
        _ => Action::Pass,
    });
    let refused = serving.wait_for(order, "refused");
    assert_eq!(refused.reason.as_deref(), Some("failed in its block"));
    assert_eq!(world.record(channel).settled, 0);
}

/// A node that was registered before, and now pays no more than this of its own accord.
fn frugal<'a>(world: &'a World, gate: &Gate, max_base_fee: u128) -> crate::world::Serving<'a> {
    world.serve().node.shutdown();
    let mut config = world.config(gate.url());
    config.policy.max_base_fee = Amount(max_base_fee);
    world.serve_with(config)
}

#[test]
fn a_base_fee_above_the_maximum_is_waited_out_to_the_latest_safe_time_and_then_paid() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = frugal(&world, &gate, 0);
    let channel = serving.channel(2 * FEE, 1_000);
    let settle_by = Tick(world.tick() + 40);
    let due = |sequence| Order {
        settle_by,
        ..serving.order(channel, sequence, &serving.body())
    };
    let backed = serving.answer(&due(0));
    let bare = serving.answer(&Order {
        warranty: Amount(0),
        ..due(1)
    });
    world.pass_tick(settle_by.0 - 30);
    assert_eq!(serving.status(backed).status, "answered", "there is time");
    world.pass_tick(settle_by.0 - 5);
    serving.wait_for(backed, "settled");
    world.pass_tick(settle_by.0);
    let refused = serving.wait_for(bare, "refused");
    assert!(
        refused.reason.unwrap().contains("settle-by"),
        "no warranty, no price: not above the maximum"
    );
    assert_eq!(world.record(channel).settled, 1);
}

#[test]
fn a_transaction_that_a_rising_base_fee_left_behind_is_raised_in_time_and_paid_for_once() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = frugal(&world, &gate, 1);
    let channel = serving.channel(ZK_FEE, 1_000);
    let settle_by = Tick(world.tick() + 60);
    gate.transactions(Action::RefuseBelow(5));
    let order = serving.answer(&Order {
        settle_by,
        ..serving.zk(channel, 0, &serving.body())
    });
    let first = serving.wait_for(order, "submitted").tx.unwrap();
    gate.set(|_, path| {
        if is_clock(path) {
            Action::BaseFee(5)
        } else {
            Action::RefuseBelow(5)
        }
    });
    world.pass_tick(settle_by.0 - 30);
    assert_eq!(serving.status(order).tx.as_ref(), Some(&first), "there is time");
    world.pass_tick(settle_by.0 - 5);
    let settled = serving.wait_for(order, "settled").tx.unwrap();
    assert_ne!(settled, first);
    let bytes = world
        .client()
        .transaction_bytes(settled.parse().unwrap())
        .unwrap()
        .unwrap();
    let tx = SignedTransaction::decode_all(&bytes).unwrap();
    assert_eq!(tx.transaction.meta.max_base_fee, Amount(20));
    assert_eq!(world.record(channel).settled, 1);
}

#[test]
fn signatures_settle_with_a_proof_in_one_transaction() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = world.serve_behind(gate.url());
    let channel = serving.channel(ZK_FEE + FEE, 1_000);
    gate.freeze();
    let orders = [
        serving.answer(&serving.zk(channel, 0, &serving.body())),
        serving.answer(&serving.order(channel, 1, &serving.body())),
    ];
    gate.open();
    let [zk, signed] = orders.map(|order| serving.wait_for(order, "settled"));
    assert_eq!(zk.tx, signed.tx);
    assert!(zk.proof.is_some() && signed.proof.is_none());
    assert_eq!(world.record(channel).settled, 2);
}
