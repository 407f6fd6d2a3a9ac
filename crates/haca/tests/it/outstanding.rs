//! A user orders only what its channel covers beside all orders that are out.

use std::path::PathBuf;

use haca_wire::ChannelId;
use serde_json::{Value, json as object};

use crate::local::{Local, Running, haca, json, wait_for};

/// Price of an inference with signatures, and its warranty.
const FEE: u128 = 500;
const WARRANTY: u128 = 10 * FEE;

/// A node that settles nothing until it is started again without its patience.
fn start() -> (Local, Running) {
    let local = Local::start_with(&["--idle-ms", "10", "--block-ms", "1"]);
    let serving = local.serve_with(&["--batch-wait-s", "3600"]);
    (local, serving)
}

/// The user's side of the channel in use.
fn file(local: &Local) -> PathBuf {
    local.key("user/channel.json")
}

/// Channel and sequence of one more order, and the digest of its receipt.
fn infer(local: &Local) -> (Value, u64, Value) {
    let mut infer = haca();
    infer.args(["infer", "--evidence", "signed", "--no-wait", "--data"]);
    let (code, told) = json(infer.arg(local.path()));
    assert_eq!(code, 0, "{told}");
    let (order, receipt) = (&told["order"], &told["receipt"]["hash"]);
    let sequence = order["sequence"].as_u64().unwrap();
    (order["channel"].clone(), sequence, receipt.clone())
}

#[test]
fn a_receipt_that_is_withheld_is_claimed_however_many_orders_follow() {
    let (local, mut serving) = start();
    let (channel, first, _) = infer(&local);
    // As if all sequences between had been settled.
    let mut side: Value = serde_json::from_slice(&std::fs::read(file(&local)).unwrap()).unwrap();
    side["next_sequence"] = 1_023.into();
    std::fs::write(file(&local), side.to_string()).unwrap();
    let (same, last, _) = infer(&local);
    assert_eq!((first, &same, last), (0, &channel, 1_023));
    // The next sequence would void the first: it is not ordered.
    let (other, sequence, _) = infer(&local);
    assert_ne!(other, channel);
    assert_eq!(sequence, 0);
    serving.kill();
    let claim = || json(haca().args(["claim", "--data"]).arg(local.path())).1;
    let states = |claimed: Value| -> Vec<String> {
        let lines = claimed["receipts"].as_array().unwrap().iter();
        lines
            .map(|line| line["state"].as_str().unwrap().to_owned())
            .collect()
    };
    wait_for("the claims", || states(claim()) == ["claimed"; 3]);
}

#[test]
fn no_more_warranties_are_ordered_than_the_reserve_of_the_channel_holds() {
    let (local, mut serving) = start();
    let id: ChannelId = local.open_channel(100 * FEE, 2 * WARRANTY);
    wait_for("the channel", || local.node().channel(id).unwrap().is_some());
    // A file that says nothing of orders: those on disk are looked at.
    let side = |next: u64| object!({ "channel": id.to_string(), "next_sequence": next }).to_string();
    let small = Value::from(id.to_string());
    std::fs::write(file(&local), side(0)).unwrap();
    let both = [infer(&local), infer(&local)];
    assert_eq!(both.each_ref().map(|(channel, ..)| channel), [&small; 2]);
    for known in [None, Some(side(2))] {
        known
            .into_iter()
            .for_each(|side| std::fs::write(file(&local), side).unwrap());
        assert_ne!(infer(&local).0, small, "its warranty is not in the reserve");
    }
    // What is settled takes nothing up any more.
    serving.kill();
    let _serving = local.serve();
    for (_, _, receipt) in &both {
        let receipt = receipt.as_str().unwrap().parse().unwrap();
        wait_for("the settlement", || {
            local.node().settled(receipt).unwrap().is_some()
        });
    }
    let settled = || local.node().channel(id).unwrap().unwrap().settled;
    wait_for("the settlements in proven state", || settled() == 2);
    std::fs::write(file(&local), side(2)).unwrap();
    let (channel, sequence, _) = infer(&local);
    assert_eq!((channel, sequence), (small, 2));
}

#[test]
fn commands_that_order_at_the_same_time_take_one_sequence_each() {
    let (local, _serving) = start();
    let (channel, ..) = infer(&local);
    let orders = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..4).map(|_| scope.spawn(|| infer(&local))).collect();
        let orders = calls.into_iter().map(|call| call.join().unwrap());
        orders.collect::<Vec<_>>()
    });
    assert!(orders.iter().all(|(other, ..)| *other == channel));
    let mut sequences: Vec<u64> = orders.iter().map(|(_, sequence, _)| *sequence).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, [1, 2, 3, 4]);
}
