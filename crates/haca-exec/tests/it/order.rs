//! Orders that are wrong in one thing each. None of them may leave a reservation or a receipt behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use haca_client::Wallet;
use haca_wire::{
    Amount, AssetId, ChannelId, Encode as _, EvidenceKind, Height, Message, ModelId, Nonce, Order, Quote,
    Sequence, Signed, TensorRoot, Tick, render,
};

use crate::gate::{Action, Gate};
use crate::world::{DUSD, FEE, OTHER, Serving, World, ZK_FEE, body, code, wait};

/// A channel of the user's toward the node that `node` is the account of.
fn open(world: &World, node: &Wallet, asset: AssetId) -> ChannelId {
    let record = world.client().node(node.address()).unwrap().unwrap();
    let quote = Quote {
        node: node.address(),
        payer: world.user.address(),
        asset,
        deposit: Amount(10_000),
        warranty: Amount(0),
        offer_version: record.offer_version,
        expires: Height(world.client().status().unwrap().height.0 + 100),
        nonce: Nonce([asset.0 as u8; 32]),
    };
    let quote = node.sign(quote, &world.domain).unwrap();
    let channel = quote.value.channel(&world.domain);
    world.send(&world.user, Message::OpenChannel { quote });
    channel
}

#[test]
fn an_order_that_is_wrong_in_one_field_is_refused_and_leaves_nothing() {
    let world = World::start();
    let serving = world.serve();
    // Enough for one answer, and not for one more.
    let channel = serving.channel(FEE, 100);
    let body = serving.body();
    let good = serving.order(channel, 0, &body);
    // What is too early depends on the tick that the node knows of.
    serving.hear();
    let tick = world.tick();
    let horizon = world.client().params().unwrap().settle_horizon;
    let wrong = |change: fn(&mut Order)| {
        let mut order = good.clone();
        change(&mut order);
        order
    };
    let settle_by = |settle_by| Order {
        settle_by: Tick(settle_by),
        ..good.clone()
    };
    for (expected, order) in [
        (
            "exec.unknown_channel",
            wrong(|order| order.channel = ChannelId([3; 32])),
        ),
        (
            "exec.sequence",
            wrong(|order| order.sequence = Sequence(u64::MAX)),
        ),
        (
            "exec.request_hash",
            wrong(|order| order.request = render::request_hash(b"{}")),
        ),
        (
            "exec.input_root",
            wrong(|order| order.input_root = TensorRoot([3; 32])),
        ),
        ("exec.not_offered", wrong(|order| order.model = ModelId([3; 32]))),
        (
            "exec.not_offered",
            wrong(|order| order.evidence = EvidenceKind::Tee),
        ),
        (
            "exec.not_offered",
            wrong(|order| order.evidence = EvidenceKind::Optimistic),
        ),
        (
            "exec.fee_too_low",
            wrong(|order| order.evidence = EvidenceKind::Zk),
        ),
        ("exec.offer_version", wrong(|order| order.offer_version += 1)),
        ("exec.offer_version", wrong(|order| order.offer_version -= 1)),
        ("exec.fee_too_low", wrong(|order| order.max_fee = Amount(FEE - 1))),
        ("exec.warranty", wrong(|order| order.warranty = Amount(101))),
        ("exec.settle_by", settle_by(tick + 1)),
        // Blocks may come in the meantime.
        ("exec.settle_by", settle_by(tick + horizon + 100)),
        ("exec.settle_by", settle_by(u64::MAX)),
    ] {
        assert_eq!(code(serving.infer(&body, &order)), expected, "{order:?}");
        let hash = order.hash(&world.domain);
        assert!(serving.client.receipt(hash).unwrap().is_none(), "{expected}");
    }
    let dearer = Order {
        evidence: EvidenceKind::Zk,
        max_fee: Amount(ZK_FEE),
        ..good.clone()
    };
    assert_eq!(code(serving.infer(&body, &dearer)), "exec.deposit");
    serving.infer(&body, &good).unwrap();
}

#[test]
fn only_the_payer_of_this_network_orders() {
    let world = World::start();
    let serving = world.serve();
    let channel = serving.channel(FEE, 100);
    let body = serving.body();
    let order = serving.order(channel, 0, &body);
    let thief = Wallet::generate().unwrap();
    let send = |order: &Signed<Order>| code(serving.client.infer(&body, order));
    assert_eq!(
        send(&thief.sign_order(order.clone(), &world.domain).unwrap()),
        "exec.order_signature"
    );
    let mut elsewhere = world.domain;
    elsewhere.genesis.0[0] ^= 1;
    assert_eq!(
        send(&world.user.sign_order(order.clone(), &elsewhere).unwrap()),
        "exec.order_signature"
    );
    let mut altered = serving.sign(&order);
    altered.value.settle_by.0 += 1;
    assert_eq!(send(&altered), "exec.order_signature");
    serving.infer(&body, &order).unwrap();
    // Who knows an answered order does not thereby get its answer.
    let stolen = thief.sign_order(order, &world.domain).unwrap();
    assert_eq!(send(&stolen), "exec.order_signature");
}

#[test]
fn an_order_on_a_channel_of_another_node_asset_or_time_is_refused() {
    let world = World::start();
    let serving = world.serve();
    let body = serving.body();
    // The user runs a node, too.
    world.send(
        &world.user,
        Message::RegisterNode {
            endpoint: "http://127.0.0.1:2".to_owned(),
            payout: world.user.address(),
            signer: world.user.address(),
            offers: Vec::new(),
        },
    );
    let elsewhere = open(&world, &world.user, DUSD);
    assert_eq!(
        code(serving.infer(&body, &serving.order(elsewhere, 0, &body))),
        "exec.other_node"
    );
    let operator = Wallet::load(&world.home().join("account.key")).unwrap();
    let asset = open(&world, &operator, OTHER);
    assert_eq!(
        code(serving.infer(&body, &serving.order(asset, 0, &body))),
        "exec.not_offered"
    );
    let quote = serving
        .client
        .quote(world.user.address(), OTHER, Amount(1), Amount(0), &world.domain);
    assert_eq!(code(quote), "exec.quote");
    let channel = serving.channel(FEE, 100);
    let order = serving.order(channel, 0, &body);
    world.send(
        &world.user,
        Message::CloseChannel {
            channel,
            consent: None,
        },
    );
    wait("the closing", || {
        Some(code(serving.infer(&body, &order))).filter(|code| code == "exec.channel_not_open")
    });
}

#[test]
fn a_request_for_another_model_than_the_order_is_refused() {
    let world = World::start();
    let serving = world.serve();
    let channel = serving.channel(FEE, 100);
    let other = body(ModelId([3; 32]), "1,2,3,4");
    let order = serving.order(channel, 0, &other);
    assert_eq!(code(serving.infer(&other, &order)), "exec.other_model");
}

#[test]
fn no_order_is_taken_on_a_chain_that_is_not_heard_of() {
    let world = World::start();
    let mut config = world.config(world.url());
    config.stale_head_s = 2;
    let serving = world.serve_with(config);
    let channel = serving.channel(FEE, 100);
    let body = serving.body();
    let order = serving.order(channel, 0, &body);
    wait("the refusal", || {
        // The full node answers all the time, and there is no new block.
        let refused = serving.client.node().is_err();
        refused.then_some(())
    });
    assert_eq!(code(serving.infer(&body, &order)), "exec.stale_head");
    assert!(!serving.client.is_ready());
    let quote = serving
        .client
        .quote(world.user.address(), DUSD, Amount(1), Amount(0), &world.domain);
    assert_eq!(code(quote), "exec.stale_head");
    world.pass_a_block();
    wait("the answer", || serving.infer(&body, &order).ok());
}

/// Posts with these headers and returns status and error code.
fn post(serving: &Serving<'_>, orders: &[String], body: &[u8]) -> (u16, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let mut request = agent.post(format!("{}/v1/infer", serving.node.url()));
    for order in orders {
        request = request.header("haca-order", order);
    }
    let mut answer = request.send(body).unwrap();
    let json: serde_json::Value = serde_json::from_reader(answer.body_mut().as_reader()).unwrap();
    let code = json["error"]["code"].as_str().unwrap_or_default().to_owned();
    (answer.status().as_u16(), code)
}

#[test]
fn an_order_header_that_is_missing_doubled_or_malformed_is_refused() {
    let world = World::start();
    let serving = world.serve();
    let channel = serving.channel(FEE, 100);
    let body = serving.body();
    let order = hex::encode(serving.sign(&serving.order(channel, 0, &body)).encode());
    let no_order = (400, "exec.no_order".to_owned());
    let encoding = (400, "exec.order_encoding".to_owned());
    assert_eq!(post(&serving, &[], &body), no_order);
    assert_eq!(post(&serving, &[order.clone(), order.clone()], &body), no_order);
    assert_eq!(post(&serving, &["zz".to_owned()], &body), no_order);
    assert_eq!(post(&serving, &[order[1..].to_owned()], &body), no_order);
    assert_eq!(post(&serving, &[String::new()], &body), encoding);
    assert_eq!(post(&serving, &[format!("{order}00")], &body), encoding);
    assert_eq!(post(&serving, &[order[2..].to_owned()], &body), encoding);
    assert_eq!(post(&serving, &[order], &body).0, 200);
}

/// What takes time between the first look at an order and its receipt, here a slow full node, takes it from the settlement.
#[test]
fn an_order_whose_time_passed_while_it_was_worked_on_gets_no_receipt() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = world.serve_behind(gate.url());
    let channel = serving.channel(FEE, 100);
    let path = hex::encode(haca_wire::state::key::channel(channel));
    let order = Order {
        settle_by: Tick(world.tick() + 25),
        ..serving.order(channel, 0, &serving.body())
    };
    let (signed, body) = (serving.sign(&order), serving.body());
    let (asked, heads) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (questions, looks) = (Arc::clone(&asked), Arc::clone(&heads));
    gate.set(move |_, found| {
        if found == "/v1/status" {
            looks.fetch_add(1, Ordering::SeqCst);
        }
        if found.contains(&path) {
            questions.fetch_add(1, Ordering::SeqCst);
            return Action::Hold;
        }
        Action::Pass
    });
    let url = serving.client.url().to_owned();
    let answer = std::thread::spawn(move || haca_client::InferenceClient::new(&url).infer(&body, &signed));
    wait("the question", || {
        (asked.load(Ordering::SeqCst) > 0).then_some(())
    });
    world.pass_tick(order.settle_by.0 + 1);
    // The second look begins after the first one has read the new head.
    let before = heads.load(Ordering::SeqCst);
    wait("the head", || {
        (heads.load(Ordering::SeqCst) > before + 1).then_some(())
    });
    gate.open();
    assert_eq!(code(answer.join().unwrap()), "exec.settle_by");
    assert!(
        serving
            .client
            .receipt(order.hash(&world.domain))
            .unwrap()
            .is_none()
    );
    // Nothing stays reserved.
    serving.answer(&serving.order(channel, 0, &serving.body()));
}
