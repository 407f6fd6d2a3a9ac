//! The journal lets final receipts go, and never what they stand for: a sequence is answered once, a sum counts once.

use std::sync::atomic::{AtomicBool, Ordering};

use haca_exec::{ExecConfig, Totals, read_snapshot};
use haca_wire::{Amount, Message, Order, OrderHash, Sequence, Tick};

use crate::crash::crash;
use crate::gate::{Action, Gate};
use crate::world::{CLAIM_WINDOW, FEE, GRACE, Serving, World, ZK_FEE, code, wait};

/// Settings under which settled receipts leave after two blocks.
fn short(world: &World, node_url: &str) -> ExecConfig {
    let mut config = world.config(node_url);
    config.retain_blocks = 2;
    config
}

/// All that a home's receipts came to.
fn sum(config: &ExecConfig) -> Totals {
    let mut sum = Totals::default();
    for row in read_snapshot(config).unwrap().totals {
        sum.add(&row.totals);
    }
    sum
}

fn is_gone(serving: &Serving<'_>, order: OrderHash) -> bool {
    serving.client.receipt(order).unwrap().is_none()
}

/// Lets blocks pass until a receipt has left the journal.
fn pass_until_gone(serving: &Serving<'_>, order: OrderHash) {
    serving.world.pass_a_block();
    serving.world.pass_a_block();
    serving.world.pass_a_block();
    wait("compaction", || is_gone(serving, order).then_some(()));
}

#[test]
fn a_receipt_that_left_the_journal_is_never_answered_again() {
    let world = World::start();
    let config = short(&world, world.url());
    let serving = world.serve_with(config.clone());
    let channel = serving.channel(4 * ZK_FEE, 1_000);
    let body = serving.body();
    let before = world.operator_opg();
    let first = serving.zk(channel, 0, &body);
    let order = serving.answer(&first);
    serving.wait_for(order, "settled");
    let burned = before - world.operator_opg();
    pass_until_gone(&serving, order);
    assert_eq!(code(serving.infer(&body, &first)), "exec.sequence");
    let other = Order {
        max_fee: Amount(2 * ZK_FEE),
        ..first.clone()
    };
    assert_eq!(code(serving.infer(&body, &other)), "exec.sequence");
    let totals = sum(&config);
    assert_eq!((totals.answered, totals.settled, totals.groups), (1, 1, 1));
    assert_eq!((totals.fees, totals.burned), (Amount(ZK_FEE), Amount(burned)));
    assert!(totals.prove_ms > 0 && totals.delays.quantile_ms(99).is_some());
    let next = serving.answer(&serving.zk(channel, 1, &body));
    serving.wait_for(next, "settled");
    assert_eq!(world.record(channel).settled, 2);
}

#[test]
fn killed_after_a_compaction_it_remembers_sequences_and_sums() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = world.serve_with(short(&world, gate.url()));
    let channel = serving.channel(4 * FEE, 1_000);
    let body = serving.body();
    let sealed = serving.order(channel, 0, &body);
    let order = serving.answer(&sealed);
    serving.wait_for(order, "settled");
    pass_until_gone(&serving, order);
    let kept = serving.answer(&serving.order(channel, 1, &body));
    serving.wait_for(kept, "settled");
    // One more is in a block, and nobody tells the node before it is killed.
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
    let last = serving.answer(&serving.order(channel, 2, &body));
    wait("inclusion", || (world.record(channel).settled == 3).then_some(()));
    let image = world.path().join("image");
    let serving = crash(serving, &gate, |_| {});
    serving.wait_for(last, "settled");
    assert_eq!(code(serving.infer(&body, &sealed)), "exec.sequence");
    let mut config = world.config(world.url());
    config.home = image;
    let totals = sum(&config);
    assert_eq!(
        (totals.answered, totals.settled, totals.fees),
        (3, 3, Amount(3 * FEE))
    );
    assert_eq!(world.record(channel).settled, 3);
    // Without a running node, the journal says the same.
    serving.node.shutdown();
    assert_eq!(sum(&config), totals);
}

#[test]
fn missed_receipts_stay_while_they_can_be_claimed_and_are_counted_by_what_became_of_them() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let config = short(&world, gate.url());
    let serving = world.serve_with(config.clone());
    let channel = serving.channel(4 * FEE, 1_000);
    let body = serving.body();
    gate.freeze();
    let settle_by = Tick(world.tick() + 4);
    let orders = [0, 1].map(|sequence| Order {
        settle_by,
        ..serving.order(channel, sequence, &body)
    });
    let receipts = orders
        .each_ref()
        .map(|order| serving.infer(&body, order).unwrap().receipt);
    let hashes = orders.each_ref().map(|order| order.hash(&world.domain));
    world.pass_tick(settle_by.0 + GRACE);
    gate.transactions(Action::Shut);
    for hash in hashes {
        serving.wait_for(hash, "refused");
    }
    assert_eq!(sum(&config).missed, 2);
    let claim = Message::ClaimMissed {
        order: serving.sign(&orders[0]),
        receipt: receipts[0].clone(),
    };
    world.send(&world.user, claim);
    assert!(!is_gone(&serving, hashes[1]), "it can still be claimed");
    world.pass_tick(settle_by.0 + GRACE + CLAIM_WINDOW + 1);
    wait("compaction", || {
        hashes.iter().all(|hash| is_gone(&serving, *hash)).then_some(())
    });
    let totals = sum(&config);
    assert_eq!(
        (totals.claimed, totals.void, totals.warranties),
        (1, 1, Amount(100))
    );
    assert!(read_snapshot(&config).unwrap().missed.is_empty());
    // The chain shows the sequence of the one that nobody claimed as unused. It was answered all the same.
    gate.open();
    let again = Order {
        settle_by: Tick(world.tick() + 1_000),
        ..orders[1].clone()
    };
    assert_eq!(code(serving.infer(&body, &again)), "exec.sequence");
    let next = Order {
        sequence: Sequence(2),
        ..again
    };
    serving.wait_for(serving.answer(&next), "settled");
}

#[test]
fn only_who_can_read_the_home_sees_the_books() {
    let world = World::start();
    let serving = world.serve();
    let config = world.config(world.url());
    assert!(read_snapshot(&config).unwrap().terms.offers.len() == 2);
    let client = serving.client.clone();
    assert_eq!(
        code(client.operator_bytes("/v1/snapshot", "guess")),
        "exec.no_such_path"
    );
    assert_eq!(
        code(client.operator_bytes("/v1/snapshot", "")),
        "exec.no_such_path"
    );
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(config.operator_file()).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}
