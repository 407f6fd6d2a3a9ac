//! One receipt per order, and what its status says.

use haca_wire::{Amount, Encode as _, Message, Order, Tick};

use crate::gate::{Action, Gate};
use crate::world::{FEE, World, ZK_FEE, body, code, wait};

#[test]
fn a_receipt_is_answered_proven_submitted_and_settled() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = world.serve_behind(gate.url());
    let channel = serving.channel(ZK_FEE, 100);
    let before = world.operator_opg();
    gate.freeze();
    let order = serving.answer(&serving.zk(channel, 0, &serving.body()));
    let answered = serving.status(order);
    assert_eq!(answered.status, "answered");
    assert!(answered.proof.is_none() && answered.tx.is_none());
    // The head is what a transaction is signed for, once there is a proof.
    gate.set(|_, path| match path {
        "/v1/status" => Action::Hold,
        _ => Action::Pass,
    });
    serving.wait_for(order, "proving");
    gate.transactions(Action::Answer(503, "node.not_ready"));
    serving.wait_for(order, "submitted");
    let submitted = serving.status(order);
    let proof = submitted.proof.unwrap();
    assert!(proof.bytes > 0 && proof.batch == 1);
    assert!(submitted.height.is_none());
    gate.open();
    let settled = serving.wait_for(order, "settled");
    assert_eq!(settled.tx, submitted.tx, "the transaction that waited");
    let record = world.record(channel);
    assert_eq!(
        (record.settled, record.paid, record.deposit),
        (1, Amount(ZK_FEE), Amount(0))
    );
    assert!(world.operator_opg() < before, "gas is burned");
    let included = world.client().transaction(settled.tx.unwrap().parse().unwrap());
    assert_eq!(Some(included.unwrap().unwrap().height), settled.height);
}

#[test]
fn receipts_that_wait_are_proven_and_settled_together() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = world.serve_behind(gate.url());
    let channel = serving.channel(4 * ZK_FEE, 1_000);
    gate.freeze();
    let orders: Vec<_> = (0..4)
        .map(|sequence| serving.answer(&serving.zk(channel, sequence, &serving.body())))
        .collect();
    let sent = gate.submitted();
    gate.open();
    for order in &orders {
        assert_eq!(serving.wait_for(*order, "settled").proof.unwrap().batch, 4);
    }
    assert_eq!(gate.submitted(), sent + 1);
    assert_eq!(world.record(channel).settled, 4);
}

#[test]
fn while_a_transaction_waits_for_a_lower_base_fee_the_next_batch_grows() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = world.serve_behind(gate.url());
    let channel = serving.channel(4 * ZK_FEE, 1_000);
    gate.transactions(Action::Answer(422, "ledger.base_fee"));
    let answer = |sequence| serving.answer(&serving.zk(channel, sequence, &serving.body()));
    let first = answer(0);
    serving.wait_for(first, "submitted");
    let others = [1, 2, 3].map(answer);
    let sent = gate.submitted();
    wait("another sending", || (gate.submitted() > sent).then_some(()));
    for order in others {
        assert_eq!(serving.status(order).status, "answered");
    }
    gate.open();
    assert_eq!(serving.wait_for(first, "settled").proof.unwrap().batch, 1);
    for order in others {
        assert_eq!(serving.wait_for(order, "settled").proof.unwrap().batch, 3);
    }
}

#[test]
fn a_repeated_order_gets_the_same_bytes_and_another_for_its_sequence_nothing() {
    let world = World::start();
    let serving = world.serve();
    let channel = serving.channel(FEE, 1_000);
    let first = serving.order(channel, 0, &serving.body());
    let signed = serving.sign(&first);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let (serving, signed) = (&serving, &signed);
        let calls: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(move || {
                    // While the first one runs, the others are told to wait.
                    wait("an answer", || {
                        match serving.client.infer(&serving.body(), signed) {
                            Ok(answer) => Some(answer),
                            Err(refused) => {
                                assert_eq!(code::<()>(Err(refused)), "exec.sequence");
                                None
                            }
                        }
                    })
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let second = Order {
        settle_by: Tick(first.settle_by.0 + 1),
        ..first.clone()
    };
    let check = |serving: &crate::world::Serving<'_>| {
        let again = serving.client.infer(&serving.body(), &signed).unwrap();
        for answer in answers.iter().chain([&again]) {
            assert_eq!(answer.response, answers[0].response);
            assert_eq!(answer.receipt.encode(), answers[0].receipt.encode());
        }
        assert_eq!(code(serving.infer(&serving.body(), &second)), "exec.sequence");
        let other = body(serving.model(), "9,9,9,9");
        let third = serving.order(channel, 0, &other);
        assert_eq!(code(serving.infer(&other, &third)), "exec.sequence");
    };
    check(&serving);
    serving.wait_for(first.hash(&world.domain), "settled");
    check(&serving);
    serving.node.shutdown();
    let serving = world.serve();
    check(&serving);
    assert_eq!(world.record(channel).settled, 1);
    // What was answered stays answered, whatever becomes of the channel.
    let consent = None;
    world.send(&world.user, Message::CloseChannel { channel, consent });
    let fresh = serving.order(channel, 1, &serving.body());
    wait("the closing", || {
        let refused = code(serving.infer(&serving.body(), &fresh));
        (refused == "exec.channel_not_open").then_some(())
    });
    let again = serving.client.infer(&serving.body(), &signed).unwrap();
    assert_eq!(again.receipt.encode(), answers[0].receipt.encode());
}

#[test]
fn a_receipt_is_found_by_its_order_and_by_its_own_hash() {
    let world = World::start();
    let serving = world.serve();
    let channel = serving.channel(FEE, 100);
    let order = serving.order(channel, 0, &serving.body());
    let answer = serving.infer(&serving.body(), &order).unwrap();
    let hash = answer.receipt.value.hash(&world.domain);
    let get = |id: String| {
        let url = format!("{}/v1/receipts/{id}", serving.node.url());
        let mut answer = ureq::get(url).call().unwrap();
        serde_json::from_reader::<_, serde_json::Value>(answer.body_mut().as_reader()).unwrap()
    };
    let by_order = get(order.hash(&world.domain).to_string());
    assert_eq!(by_order["receipt_hash"], hash.to_string());
    assert_eq!(by_order["receipt"], hex::encode(answer.receipt.encode()));
    assert_eq!(get(hash.to_string())["order"], by_order["order"]);
}
