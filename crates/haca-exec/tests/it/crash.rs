//! What `kill -9` leaves behind: a copy of the home, taken while the node runs, is what is on disk at that moment. The
//! node that took it is then cut off from the chain, and another one goes on from the copy.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use haca_exec::{Entry, EntryState, Journal};
use haca_wire::{Encode as _, OrderHash};

use crate::gate::{Action, Gate};
use crate::world::{FEE, Serving, World, ZK_FEE};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Takes the image of a running node, ends it without another word to the chain, and starts again from the image.
pub(crate) fn crash<'a>(serving: Serving<'a>, gate: &Gate, then: impl FnOnce(&Path)) -> Serving<'a> {
    let (world, config) = (serving.world, serving.config);
    let image = world.path().join("image");
    copy(&world.home(), &image);
    gate.set(|_, _| Action::Shut);
    serving.node.shutdown();
    then(&image);
    let mut config = config;
    config.home = image;
    config.node_url = world.url().to_owned();
    world.serve_with(config)
}

/// What a home's journal says of an order.
pub(crate) fn entry(home: &Path, world: &World, order: OrderHash) -> Entry {
    let account = haca_client::Wallet::load(&home.join("account.key"))
        .unwrap()
        .address();
    let journal = Journal::open(&home.join("journal.redb"), world.domain, account).unwrap();
    journal.by_order(order).unwrap().unwrap()
}

fn state(home: &Path, world: &World, order: OrderHash) -> EntryState {
    entry(home, world, order).state
}

#[test]
fn killed_after_the_answer_it_settles_after_the_start() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = world.serve_behind(gate.url());
    let channel = serving.channel(ZK_FEE, 100);
    gate.freeze();
    let order = serving.zk(channel, 0, &serving.body());
    let signed = serving.sign(&order);
    let first = serving.client.infer(&serving.body(), &signed).unwrap();
    let hash = order.hash(&world.domain);
    let serving = crash(serving, &gate, |image| {
        assert_eq!(state(image, &world, hash), EntryState::Answered);
    });
    let again = serving.client.infer(&serving.body(), &signed).unwrap();
    assert_eq!(again.receipt.encode(), first.receipt.encode());
    assert_eq!(again.response, first.response);
    serving.wait_for(hash, "settled");
    assert_eq!(world.record(channel).settled, 1);
}

#[test]
fn killed_before_its_transaction_left_it_sends_that_one() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = world.serve_behind(gate.url());
    let channel = serving.channel(ZK_FEE, 100);
    gate.transactions(Action::Shut);
    let order = serving.answer(&serving.zk(channel, 0, &serving.body()));
    let submitted = serving.wait_for(order, "submitted");
    let serving = crash(serving, &gate, |image| {
        assert!(matches!(state(image, &world, order), EntryState::Submitted(_)));
    });
    assert_eq!(serving.wait_for(order, "settled").tx, submitted.tx);
    assert_eq!(world.record(channel).settled, 1);
}

#[test]
fn killed_after_its_transaction_was_included_it_burns_no_gas_again() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = world.serve_behind(gate.url());
    let channel = serving.channel(ZK_FEE, 100);
    // The transaction passes, and then nobody says what became of it.
    let passed = AtomicBool::new(false);
    gate.set(move |method, path| {
        if method == "POST" {
            passed.store(true, Ordering::SeqCst);
        }
        if path.starts_with("/v1/tx/") && passed.load(Ordering::SeqCst) {
            Action::Shut
        } else {
            Action::Pass
        }
    });
    let order = serving.answer(&serving.zk(channel, 0, &serving.body()));
    crate::world::wait("inclusion", || (world.record(channel).settled == 1).then_some(()));
    let before = world.operator_opg();
    assert_eq!(serving.status(order).status, "submitted");
    let tx = serving.status(order).tx;
    let serving = crash(serving, &gate, |_| {});
    assert_eq!(serving.wait_for(order, "settled").tx, tx);
    assert_eq!(world.operator_opg(), before);
    assert_eq!(world.record(channel).settled, 1);
}

#[test]
fn settled_and_refused_receipts_stay_what_they_are() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = world.serve_behind(gate.url());
    let channel = serving.channel(2 * FEE, 1_000);
    let settled = serving.answer(&serving.order(channel, 0, &serving.body()));
    let tx = serving.wait_for(settled, "settled").tx;
    gate.freeze();
    let settle_by = world.tick() + 3;
    let refused = serving.answer(&haca_wire::Order {
        settle_by: haca_wire::Tick(settle_by),
        ..serving.order(channel, 1, &serving.body())
    });
    world.pass_tick(settle_by);
    gate.transactions(Action::Shut);
    serving.wait_for(refused, "refused");
    let before = world.operator_opg();
    let serving = crash(serving, &gate, |_| {});
    assert_eq!(serving.status(settled).status, "settled");
    assert_eq!(serving.status(settled).tx, tx);
    assert_eq!(serving.status(refused).status, "refused");
    // Another receipt passes by both.
    let third = serving.order(channel, 2, &serving.body());
    let third = serving.answer(&third);
    serving.wait_for(third, "settled");
    assert_eq!(serving.status(refused).status, "refused");
    assert_eq!(world.record(channel).settled, 2);
    assert!(world.operator_opg() < before);
}
