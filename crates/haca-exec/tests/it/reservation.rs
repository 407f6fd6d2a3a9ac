//! What is promised never exceeds what the channel holds, whatever happens meanwhile.

use haca_wire::{Amount, Message, Order, Sequence, Tick};

use crate::gate::{Action, Gate};
use crate::world::{CLAIM_WINDOW, DUSD, FEE, GRACE, World, code, wait};

#[test]
fn a_spent_deposit_is_refused_until_it_is_topped_up() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = world.serve_behind(gate.url());
    let channel = serving.channel(2 * FEE, 1_000);
    gate.transactions(Action::Answer(422, "ledger.base_fee"));
    let order = |sequence| serving.order(channel, sequence, &serving.body());
    let first = serving.answer(&order(0));
    serving.answer(&order(1));
    assert_eq!(code(serving.infer(&serving.body(), &order(2))), "exec.deposit");
    gate.open();
    serving.wait_for(first, "settled");
    assert_eq!(code(serving.infer(&serving.body(), &order(2))), "exec.deposit");
    let amount = Amount(FEE);
    world.send(&world.user, Message::TopUp { channel, amount });
    serving.answer(&order(2));
    assert_eq!(code(serving.infer(&serving.body(), &order(3))), "exec.deposit");
}

#[test]
fn a_reserved_warranty_is_free_again_once_its_order_is_settled() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = world.serve_behind(gate.url());
    let channel = serving.channel(10 * FEE, 100);
    gate.transactions(Action::Answer(422, "ledger.base_fee"));
    let first = serving.answer(&serving.order(channel, 0, &serving.body()));
    let second = serving.order(channel, 1, &serving.body());
    assert_eq!(code(serving.infer(&serving.body(), &second)), "exec.warranty");
    gate.open();
    serving.wait_for(first, "settled");
    serving.answer(&second);
}

#[test]
fn parallel_orders_do_not_overdraw_a_channel() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = world.serve_behind(gate.url());
    let channel = serving.channel(3 * FEE, 1_000);
    gate.transactions(Action::Answer(422, "ledger.base_fee"));
    let body = serving.body();
    let orders: Vec<_> = (0..8)
        .map(|sequence| serving.sign(&serving.order(channel, sequence, &body)))
        .collect();
    let answered = std::thread::scope(|scope| {
        let (serving, body) = (&serving, &body);
        let calls: Vec<_> = orders
            .iter()
            .map(|order| scope.spawn(move || serving.client.infer(body, order)))
            .collect();
        let answers = calls.into_iter().map(|call| call.join().unwrap());
        answers
            .filter(|answer| answer.is_ok() || code(answer.as_ref().map_err(again)) != "exec.deposit")
            .count()
    });
    assert_eq!(answered, 3);
}

/// The same error once more, which errors do not offer.
fn again(error: &haca_client::ClientError) -> haca_client::ClientError {
    match error {
        haca_client::ClientError::Refused {
            url,
            status,
            refusal,
            message,
            hint,
        } => haca_client::ClientError::Refused {
            url: url.clone(),
            status: *status,
            refusal: refusal.clone(),
            message: message.clone(),
            hint: hint.clone(),
        },
        other => panic!("{other}"),
    }
}

#[test]
fn reservations_outlive_a_restart() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = world.serve_behind(gate.url());
    let channel = serving.channel(2 * FEE, 150);
    gate.transactions(Action::Answer(422, "ledger.base_fee"));
    let body = serving.body();
    serving.answer(&serving.order(channel, 0, &body));
    serving.node.shutdown();
    let serving = world.serve_behind(gate.url());
    let used = serving.order(channel, 0, &serving.body());
    let used = Order {
        settle_by: Tick(used.settle_by.0 + 1),
        ..used
    };
    assert_eq!(code(serving.infer(&body, &used)), "exec.sequence");
    let second = serving.order(channel, 1, &body);
    assert_eq!(code(serving.infer(&body, &second)), "exec.warranty");
    let modest = Order {
        warranty: Amount(50),
        ..second
    };
    serving.answer(&modest);
    let third = Order {
        sequence: Sequence(2),
        warranty: Amount(0),
        ..modest
    };
    assert_eq!(code(serving.infer(&body, &third)), "exec.deposit");
}

#[test]
fn a_missed_receipt_keeps_warranty_and_sequence_but_frees_the_fee() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = world.serve_behind(gate.url());
    let channel = serving.channel(2 * FEE, 100);
    gate.transactions(Action::Answer(422, "ledger.base_fee"));
    let body = serving.body();
    let settle_by = world.tick() + 4;
    let late = Order {
        settle_by: Tick(settle_by),
        ..serving.order(channel, 0, &body)
    };
    let hash = serving.answer(&late);
    serving.wait_for(hash, "submitted");
    world.pass_tick(settle_by);
    gate.transactions(Action::Answer(422, "ledger.settle_by_passed"));
    let refused = serving.wait_for(hash, "refused");
    assert!(refused.reason.unwrap().contains("settle-by"));
    let check = |serving: &crate::world::Serving<'_>| {
        let second = serving.order(channel, 1, &body);
        assert_eq!(code(serving.infer(&body, &second)), "exec.warranty");
        let again = serving.order(channel, 0, &body);
        assert_eq!(code(serving.infer(&body, &again)), "exec.sequence");
    };
    check(&serving);
    serving.node.shutdown();
    let serving = world.serve_behind(gate.url());
    check(&serving);
    world.pass_tick(settle_by + GRACE + CLAIM_WINDOW);
    let second = serving.order(channel, 1, &body);
    wait("the end of the claim window", || {
        serving.infer(&body, &second).ok()
    });
    let again = Order {
        warranty: Amount(0),
        ..serving.order(channel, 0, &body)
    };
    assert_eq!(
        code(serving.infer(&body, &again)),
        "exec.sequence",
        "answered once is answered"
    );
    // The whole deposit is there for others.
    serving.answer(&Order {
        sequence: Sequence(2),
        ..again
    });
}

#[test]
fn no_quote_promises_more_than_the_free_bond() {
    let world = World::start();
    let mut config = world.config(world.url());
    config.bond = Amount(150);
    let serving = world.serve_with(config);
    let quote_for = |deposit, warranty| {
        let payer = world.user.address();
        let (deposit, warranty) = (Amount(deposit), Amount(warranty));
        serving
            .client
            .quote(payer, DUSD, deposit, warranty, &world.domain)
    };
    let quote = |warranty| quote_for(1_000, warranty);
    assert_eq!(
        code(quote_for(1, 11)),
        "exec.quote",
        "a bond is not tied up for nothing"
    );
    quote_for(1, 10).unwrap();
    assert_eq!(code(quote(151)), "exec.quote");
    quote(150).unwrap();
    serving.channel(FEE, 100);
    assert_eq!(code(quote(51)), "exec.quote");
    quote(50).unwrap();
}
