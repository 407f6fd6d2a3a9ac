//! `haca claim`: a node that goes away pays the warranty, and one that signs twice loses its stake.

use std::path::Path;

use haca_client::Wallet;
use haca_wire::{Amount, AssetId, Decode as _, Encode as _, Receipt, Signed};
use serde_json::Value;

use crate::local::{Local, haca, json, wait_for};

/// The asset of fees.
const DUSD: AssetId = AssetId(1);
/// Price of an inference with signatures, and its warranty.
const FEE: u128 = 500;
const WARRANTY: u128 = 10 * FEE;

/// A network with a block every few milliseconds, and a node that waits with its settlements until it is killed.
fn missed_receipt() -> (Local, Value) {
    let local = Local::start_with(&["--idle-ms", "10", "--block-ms", "1"]);
    let mut serving = local.serve_with(&["--batch-wait-s", "3600"]);
    let (code, inferred) = json(
        haca()
            .args(["infer", "--evidence", "signed", "--no-wait", "--data"])
            .arg(local.path()),
    );
    assert_eq!(code, 0, "{inferred}");
    serving.kill();
    (local, inferred)
}

fn claim(data: &Path, more: &[&str]) -> Value {
    let (code, claimed) = json(haca().args(["claim", "--data"]).arg(data).args(more));
    assert_eq!(code, 0, "{claimed}");
    assert_eq!(claimed["receipts"].as_array().unwrap().len(), 1, "{claimed}");
    claimed["receipts"][0].clone()
}

#[test]
fn the_warranty_of_a_receipt_that_was_not_settled_is_claimed_once() {
    let (local, inferred) = missed_receipt();
    let early = claim(local.path(), &[]);
    assert_eq!(
        (&early["state"], &early["claimed_now"]),
        (&"waiting".into(), &false.into()),
        "{early}"
    );
    assert_eq!(early["receipt"], inferred["receipt"]["hash"]);
    let detail = early["detail"].as_str().unwrap();
    let from: u64 = detail.rsplit(' ').next().unwrap().parse().unwrap();
    wait_for("the time of claims", || {
        local.node().clock().unwrap().tick.0 >= from
    });
    let user = local.user().address();
    let before = local.node().balance(user, DUSD).unwrap();
    let dry = claim(local.path(), &["--dry-run"]);
    assert_eq!(
        (&dry["state"], &dry["amount"]),
        (&"can be claimed".into(), &WARRANTY.to_string().into())
    );
    let paid = claim(local.path(), &[]);
    assert_eq!(
        (&paid["state"], &paid["claimed_now"]),
        (&"claimed".into(), &true.into()),
        "{paid}"
    );
    assert_eq!(paid["amount"], WARRANTY.to_string());
    let again = claim(local.path(), &[]);
    assert_eq!(
        (&again["state"], &again["claimed_now"]),
        (&"claimed".into(), &false.into())
    );
    let after = local.node().balance(user, DUSD).unwrap();
    assert_eq!(after.0 - before.0, WARRANTY);
}

#[test]
fn a_second_receipt_for_the_same_sequence_burns_the_stake() {
    let (local, inferred) = missed_receipt();
    let dir = inferred["files"]["dir"].as_str().unwrap();
    let bytes = std::fs::read(Path::new(dir).join("receipt.bin")).unwrap();
    let first = Signed::<Receipt>::decode_all(&bytes).unwrap();
    let signer = Wallet::load(&local.key("inference/receipt.key")).unwrap();
    let mut other = first.value.clone();
    other.seed ^= 1;
    let second = signer.sign(other, &local.domain()).unwrap();
    let path = local.key("second.bin");
    std::fs::write(&path, second.encode()).unwrap();
    let file = path.to_str().unwrap();

    let node = local.node().channel(first.value.channel).unwrap().unwrap().node;
    assert!(!local.node().node(node).unwrap().unwrap().jailed);
    // The same receipt again proves nothing.
    std::fs::write(local.key("first.bin"), &bytes).unwrap();
    let same = claim(
        local.path(),
        &["--receipt", local.key("first.bin").to_str().unwrap()],
    );
    assert_eq!(same["state"], "waiting");
    let reported = claim(local.path(), &["--receipt", file]);
    assert_eq!(
        (&reported["state"], &reported["claimed_now"]),
        (&"claimed".into(), &true.into()),
        "{reported}"
    );
    assert!(
        reported["detail"].as_str().unwrap().contains("stake"),
        "{reported}"
    );
    assert_eq!(reported["amount"], WARRANTY.to_string());
    let record = local.node().node(node).unwrap().unwrap();
    assert_eq!((record.jailed, record.stake), (true, Amount(0)));
    let again = claim(local.path(), &["--receipt", file]);
    assert_eq!(again["claimed_now"], false);
}
