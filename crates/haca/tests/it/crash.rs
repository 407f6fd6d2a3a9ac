//! `kill -9` of the inference node under parallel orders: what clients hold and what is settled stay the same.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use haca_client::Answered;
use haca_wire::{
    Amount, AssetId, ChannelId, Encode as _, EvidenceKind, ModelId, Order, ReceiptHash, Sequence, Signed,
    Tick, render,
};

use crate::local::{Local, wait_for};

/// Orders in flight at once.
const PARALLEL: usize = 20;
/// Price of an inference with a proof.
const FEE: u128 = 2_000;

/// Kills of one run: a few by default, `HACA_KILLS` for a long run.
fn kills() -> usize {
    std::env::var("HACA_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(4)
}

fn request(model: ModelId, seed: u64) -> Vec<u8> {
    let pixels: Vec<String> = (0..64)
        .map(|i| format!("{:.4}", ((i * 7 + seed) % 17) as f64 / 16.0))
        .collect();
    format!(
        "{{\"model\":\"{model}\",\"inputs\":[{{\"name\":\"image\",\"data\":[{}]}}]}}",
        pixels.join(",")
    )
    .into_bytes()
}

fn order(local: &Local, channel: ChannelId, model: ModelId, sequence: u64, request: &[u8]) -> Signed<Order> {
    let tick = local.node().clock().unwrap().tick;
    let order = Order {
        channel,
        sequence: Sequence(sequence),
        request: render::request_hash(request),
        input_root: local.node().input_root(model, request).unwrap(),
        model,
        evidence: EvidenceKind::Zk,
        offer_version: 1,
        max_fee: Amount(FEE),
        warranty: Amount(FEE),
        settle_by: Tick(tick.0 + 2_000),
    };
    local.user().sign_order(order, &local.domain()).unwrap()
}

/// Sends the same order until it is answered.
fn insist(local: &Local, request: &[u8], order: &Signed<Order>, stop: &AtomicBool) -> Option<Answered> {
    while !stop.load(Ordering::Relaxed) {
        match local.inference().infer(request, order) {
            Ok(answered) => return Some(answered),
            Err(haca_client::ClientError::Refused {
                status,
                refusal,
                message,
                ..
            }) if status < 500 => {
                // Another attempt of this very order may be running.
                assert_eq!(refusal, "exec.sequence", "{message}");
            }
            Err(_) => {}
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

#[test]
fn every_receipt_that_left_is_settled_once_whatever_dies_when() {
    let local = Local::start();
    // Final receipts leave the journal while others are made.
    let serve = || local.serve_with(&["--retain-blocks", "8"]);
    let mut serving = serve();
    let model = local.model();
    let channel = local.open_channel(10_000_000, 10_000_000);
    let node = local.node();
    let payout = node
        .node(node.channel(channel).unwrap().unwrap().node)
        .unwrap()
        .unwrap()
        .payout;
    let before = node.balance(payout, AssetId(1)).unwrap();
    let held: Mutex<BTreeMap<ReceiptHash, (Signed<Order>, Answered)>> = Mutex::default();
    let domain = local.domain();
    let rounds = kills();
    for round in 0..rounds {
        let answered = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for slot in 0..PARALLEL {
                let (local, held, answered, stop, domain) = (&local, &held, &answered, &stop, &domain);
                scope.spawn(move || {
                    let sequence = (round * PARALLEL + slot) as u64;
                    let request = request(model, sequence);
                    let order = order(local, channel, model, sequence, &request);
                    let Some(answer) = insist(local, &request, &order, stop) else {
                        return;
                    };
                    let hash = answer.receipt.value.hash(domain);
                    answered.fetch_add(1, Ordering::Relaxed);
                    held.lock().unwrap().insert(hash, (order, answer));
                });
            }
            // A different moment each round: before, between and after the answers.
            let moment = (round * 7) % (PARALLEL + 1);
            wait_for("answers", || answered.load(Ordering::Relaxed) >= moment);
            serving.kill();
            serving = serve();
            wait_for("all answers", || answered.load(Ordering::Relaxed) == PARALLEL);
            stop.store(true, Ordering::Relaxed);
        });
    }
    let held = held.into_inner().unwrap();
    assert_eq!(held.len(), rounds * PARALLEL, "one receipt for each order");
    for hash in held.keys() {
        wait_for("settlement", || node.settled(*hash).unwrap().is_some());
    }
    let channel = node.channel(channel).unwrap().unwrap();
    assert_eq!(
        channel.settled,
        held.len() as u64,
        "receipts settled are receipts held"
    );
    let fees: u128 = held.values().map(|(_, answer)| answer.receipt.value.fee.0).sum();
    assert_eq!(channel.paid, Amount(fees));
    assert_eq!(node.balance(payout, AssetId(1)).unwrap().0 - before.0, fees);
}

#[test]
fn a_repeated_order_gets_the_same_bytes_and_a_second_order_for_its_sequence_is_refused() {
    let local = Local::start();
    let _serving = local.serve();
    let model = local.model();
    let channel = local.open_channel(1_000_000, 1_000_000);
    let body = request(model, 1);
    let first = order(&local, channel, model, 0, &body);
    let stop = AtomicBool::new(false);
    let answers: Vec<Answered> = std::thread::scope(|scope| {
        let (local, body, first, stop) = (&local, &body, &first, &stop);
        let calls: Vec<_> = (0..8)
            .map(|_| scope.spawn(move || insist(local, body, first, stop).unwrap()))
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    for answer in &answers {
        assert_eq!(answer.response, answers[0].response);
        assert_eq!(answer.receipt.encode(), answers[0].receipt.encode());
    }
    let other = request(model, 2);
    let second = order(&local, channel, model, 0, &other);
    let refused = local.inference().infer(&other, &second).unwrap_err();
    assert!(refused.to_string().contains("exec.sequence"), "{refused}");
}
