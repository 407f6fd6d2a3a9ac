//! `haca claim`: a node that goes away pays the warranty, and one that signs twice loses its stake.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use haca_client::Wallet;
use haca_wire::{Amount, AssetId, Encode as _, Order, OrderHash, Receipt, Sequence, Signed};
use serde_json::{Value, json as object};

use crate::gate::{Action, Gate};
use crate::local::{Local, haca, json, wait_for};
use crate::server::Server;

/// The asset of fees.
const DUSD: AssetId = AssetId(1);
/// Price of an inference with signatures, and its warranty.
const FEE: u128 = 500;
const WARRANTY: u128 = 10 * FEE;

/// A network with a block every few milliseconds, and a node that waits with its settlements until it is killed.
fn missed_receipt() -> (Local, Value) {
    let (local, mut inferred) = missed_receipts(1);
    (local, inferred.remove(0))
}

/// The same with several receipts of one channel.
fn missed_receipts(count: u8) -> (Local, Vec<Value>) {
    let local = Local::start_with(&["--idle-ms", "10", "--block-ms", "1"]);
    let mut serving = local.serve_with(&["--batch-wait-s", "3600"]);
    let infer = |row: u8| {
        let (code, inferred) = json(
            haca()
                .args(["infer", "--evidence", "signed", "--no-wait", "--row"])
                .arg(row.to_string())
                .arg("--data")
                .arg(local.path()),
        );
        assert_eq!(code, 0, "{inferred}");
        inferred
    };
    let inferred = (0..count).map(infer).collect();
    serving.kill();
    (local, inferred)
}

/// The directory of what `haca infer` kept.
fn dir(inferred: &Value) -> PathBuf {
    PathBuf::from(inferred["files"]["dir"].as_str().unwrap())
}

/// A signed value that `haca infer` kept.
fn kept<T: haca_wire::Decode>(inferred: &Value, name: &str) -> T {
    T::decode_all(&std::fs::read(dir(inferred).join(name)).unwrap()).unwrap()
}

/// Another receipt for the order of this one, signed by a key of the node.
fn rival(local: &Local, inferred: &Value) -> Signed<Receipt> {
    let mut other = kept::<Signed<Receipt>>(inferred, "receipt.bin").value;
    other.seed ^= 1;
    node_key(local).sign(other, &local.domain()).unwrap()
}

fn node_key(local: &Local) -> Wallet {
    Wallet::load(&local.key("inference/receipt.key")).unwrap()
}

/// Waits until every receipt of the directory can be claimed for.
fn wait_for_claims(local: &Local) {
    let (code, early) = json(haca().args(["claim", "--data"]).arg(local.path()));
    assert_eq!(code, 0, "{early}");
    let from = |line: &Value| -> u64 {
        assert_eq!(
            (&line["state"], &line["claimed_now"]),
            (&"waiting".into(), &false.into()),
            "{line}"
        );
        line["detail"]
            .as_str()
            .unwrap()
            .rsplit(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    let last = early["receipts"]
        .as_array()
        .unwrap()
        .iter()
        .map(from)
        .max()
        .unwrap();
    wait_for("the time of claims", || {
        local.node().clock().unwrap().tick.0 >= last
    });
}

/// The lines of receipts with this state.
fn lines<'a>(claimed: &'a Value, state: &str) -> Vec<&'a Value> {
    let receipts = claimed["receipts"].as_array().unwrap();
    receipts.iter().filter(|line| line["state"] == state).collect()
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
    wait_for_claims(&local);
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
    let first: Signed<Receipt> = kept(&inferred, "receipt.bin");
    let second = rival(&local, &inferred);
    let path = local.key("second.bin");
    std::fs::write(&path, second.encode()).unwrap();
    let file = path.to_str().unwrap();

    let node = local.node().channel(first.value.channel).unwrap().unwrap().node;
    assert!(!local.node().node(node).unwrap().unwrap().jailed);
    // The same receipt again proves nothing.
    std::fs::write(local.key("first.bin"), first.encode()).unwrap();
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

/// An inference node that answers the question for the receipt of an order with this one.
fn telling(inferred: &Value, local: &Local, told: &Signed<Receipt>) -> Server {
    let server = Server::start();
    let order: Signed<Order> = kept(inferred, "order.bin");
    let path = format!("/v1/receipts/{}", order.value.hash(&local.domain()));
    let receipt = hex::encode(told.encode());
    server.json(&path, &object!({ "status": "refused", "receipt": receipt }));
    local.point("inference_url", &server.url);
    server
}

#[test]
fn a_made_up_second_receipt_keeps_no_warranty_from_being_claimed() {
    let (local, inferred) = missed_receipt();
    wait_for_claims(&local);
    // A receipt in the name of the node's key, with the signature of anybody.
    let forged = Wallet::generate().unwrap();
    let forged = forged
        .sign(rival(&local, &inferred).value, &local.domain())
        .unwrap();
    let _node = telling(&inferred, &local, &forged);
    let paid = claim(local.path(), &[]);
    assert_eq!(
        (&paid["state"], &paid["claimed_now"], &paid["amount"]),
        (&"claimed".into(), &true.into(), &WARRANTY.to_string().into()),
        "{paid}"
    );
    assert!(paid["detail"].as_str().unwrap().contains("missed"), "{paid}");
}

#[test]
fn a_node_that_tells_its_second_receipt_itself_loses_its_stake() {
    let (local, inferred) = missed_receipt();
    let told = rival(&local, &inferred);
    let _node = telling(&inferred, &local, &told);
    let reported = claim(local.path(), &[]);
    assert!(
        reported["detail"].as_str().unwrap().contains("stake"),
        "{reported}"
    );
    assert_eq!(kept::<Signed<Receipt>>(&inferred, "told-receipt.bin"), told);
    let channel = local.node().channel(told.value.channel).unwrap().unwrap();
    assert!(local.node().node(channel.node).unwrap().unwrap().jailed);
}

/// What a node signed wrongly, `haca infer` refuses and keeps. These directories come before that of the genuine receipt.
#[test]
fn a_receipt_that_the_chain_would_refuse_keeps_no_other_warranty_from_being_claimed() {
    let (local, inferred) = missed_receipt();
    let first: Signed<Receipt> = kept(&inferred, "receipt.bin");
    let order: Signed<Order> = kept(&inferred, "order.bin");
    wait_for_claims(&local);
    let (stranger, signer, user) = (Wallet::generate().unwrap(), node_key(&local), local.user());
    let keep = |payer: &Wallet, signer: &Wallet, another: Option<OrderHash>, number: u64| {
        let mut order = order.value.clone();
        order.sequence = Sequence(order.sequence.0 + number);
        let mut receipt = first.value.clone();
        receipt.sequence = order.sequence;
        receipt.order = another.unwrap_or_else(|| order.hash(&local.domain()));
        receipt.signer = signer.address();
        let order = payer.sign_order(order, &local.domain()).unwrap();
        let receipt = signer.sign(receipt, &local.domain()).unwrap();
        let dir = dir(&inferred).with_file_name(format!("0x{number:064x}"));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("order.bin"), order.encode()).unwrap();
        std::fs::write(dir.join("receipt.bin"), receipt.encode()).unwrap();
    };
    keep(&user, &stranger, None, 1);
    keep(&user, &signer, Some(OrderHash([7; 32])), 2);
    keep(&stranger, &signer, None, 3);
    let balance = |asset| local.node().balance(user.address(), asset).unwrap();
    let before = balance(DUSD);
    let (code, claimed) = json(haca().args(["claim", "--data"]).arg(local.path()));
    assert_eq!(code, 0, "{claimed}");
    assert_eq!(balance(DUSD).0 - before.0, WARRANTY, "{claimed}");
    let invalid = lines(&claimed, "invalid");
    let reasons = invalid.iter().map(|line| line["detail"].as_str().unwrap());
    assert_eq!(
        reasons.collect::<Vec<_>>(),
        [
            "no key of the node signed it",
            "it answers another order",
            "the channel's payer did not sign its order"
        ]
    );
    assert_eq!(lines(&claimed, "claimed").len(), 1, "{claimed}");
    // Nothing is sent for what can't be claimed, so nothing is burned.
    let before = balance(AssetId::OPG);
    assert_eq!(json(haca().args(["claim", "--data"]).arg(local.path())).0, 0);
    assert_eq!(balance(AssetId::OPG), before);
}

#[test]
fn a_claim_that_is_refused_keeps_no_other_from_being_made() {
    let (local, inferred) = missed_receipts(2);
    wait_for_claims(&local);
    let gate = Gate::before(&local.node_url);
    local.point("node_url", gate.url());
    let refuse_next = || {
        let is_refused = AtomicBool::new(false);
        gate.set(move |method, _| match method {
            "POST" if !is_refused.swap(true, Ordering::SeqCst) => Action::Answer(422, "ledger.no"),
            _ => Action::Pass,
        });
    };
    refuse_next();
    let (code, claimed) = json(haca().args(["claim", "--data"]).arg(local.path()));
    assert_eq!(code, 1, "{claimed}");
    assert_eq!(lines(&claimed, "claimed").len(), 1, "{claimed}");
    let failed = lines(&claimed, "failed");
    assert_eq!(failed.len(), 1, "{claimed}");
    assert_eq!(failed[0]["error"]["code"], "client.refused", "{claimed}");
    // A report that is refused leaves the warranty to be claimed.
    let failed = &failed[0]["receipt"];
    let one = inferred.iter().find(|one| one["receipt"]["hash"] == *failed);
    let second = local.key("second.bin");
    std::fs::write(&second, rival(&local, one.unwrap()).encode()).unwrap();
    refuse_next();
    let mut command = haca();
    command.args(["claim", "--data"]).arg(local.path());
    let (code, claimed) = json(command.arg("--receipt").arg(second));
    assert_eq!(code, 0, "{claimed}");
    let claimed_now = |line: &&Value| line["claimed_now"] == true;
    let now: Vec<_> = lines(&claimed, "claimed")
        .into_iter()
        .filter(claimed_now)
        .collect();
    assert_eq!((now.len(), &now[0]["receipt"]), (1, failed), "{claimed}");
    assert!(now[0]["detail"].as_str().unwrap().contains("missed"), "{claimed}");
}
