//! A node that answers an order with a receipt for another one: nothing that its payer holds is lost.

use std::path::{Path, PathBuf};

use haca_client::{RECEIPT_HEADER, Wallet};
use haca_wire::{AssetId, Decode, Encode as _, Order, Receipt, Signed};
use serde_json::Value;

use crate::local::{Local, haca, json, wait_for};
use crate::server::Server;

/// The asset of fees, and the warranty of an inference with signatures.
const DUSD: AssetId = AssetId(1);
const WARRANTY: u128 = 5_000;

/// A user with one receipt that its node will never settle; from then on the node answers as it is told to.
struct Scene {
    local: Local,
    /// Where the order and its receipt are.
    dir: PathBuf,
    order: Signed<Order>,
    receipt: Signed<Receipt>,
    response: Vec<u8>,
    node: Server,
}

impl Scene {
    fn new() -> Self {
        let local = Local::start_with(&["--idle-ms", "10", "--block-ms", "1"]);
        let mut serving = local.serve_with(&["--batch-wait-s", "3600"]);
        let (code, inferred) = infer(&local);
        assert_eq!(code, 0, "{inferred}");
        let node = Server::start();
        node.json("/v1/models", &local.inference().models().unwrap());
        serving.kill();
        local.point("inference_url", &node.url);
        let dir = PathBuf::from(inferred["files"]["dir"].as_str().unwrap());
        Self {
            order: kept(&dir, "order.bin"),
            receipt: kept(&dir, "receipt.bin"),
            response: std::fs::read(dir.join("response.json")).unwrap(),
            node,
            local,
            dir,
        }
    }

    /// Orders, and has the node answer with this receipt. Exit code and error code, and where the order is kept.
    fn answered_with(&self, receipt: &str) -> (i32, String, PathBuf) {
        let before = self.orders();
        self.node
            .page_with("/v1/infer", RECEIPT_HEADER, receipt, self.response.clone());
        let (code, told) = infer(&self.local);
        let after = self.orders();
        let mut new = after.into_iter().filter(|dir| !before.contains(dir));
        let error = told["error"]["code"].as_str().unwrap_or_default();
        (code, error.to_owned(), new.next().expect("an order on disk"))
    }

    fn orders(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.local.key("user/receipts")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// What becomes of the only receipt on disk.
    fn claim(&self) -> Value {
        let (code, claimed) = json(haca().args(["claim", "--data"]).arg(self.local.path()));
        assert_eq!(code, 0, "{claimed}");
        assert_eq!(claimed["receipts"].as_array().unwrap().len(), 1, "{claimed}");
        claimed["receipts"][0].clone()
    }
}

fn infer(local: &Local) -> (i32, Value) {
    let mut infer = haca();
    infer.args(["infer", "--evidence", "signed", "--no-wait", "--data"]);
    json(infer.arg(local.path()))
}

/// A signed value that `haca infer` kept.
fn kept<T>(dir: &Path, name: &str) -> Signed<T>
where
    Signed<T>: Decode,
{
    Signed::decode_all(&std::fs::read(dir.join(name)).unwrap()).unwrap()
}

#[test]
fn an_answer_with_an_earlier_receipt_takes_no_order_off_the_disk() {
    let scene = Scene::new();
    let replayed = hex::encode(scene.receipt.encode());
    let (code, error, second) = scene.answered_with(&replayed);
    assert_eq!((code, error.as_str()), (10, "receipt.order"));
    assert_eq!(kept::<Order>(&second, "order.bin").value.sequence.0, 1);
    assert_eq!(kept::<Order>(&scene.dir, "order.bin"), scene.order);
    assert_eq!(kept::<Receipt>(&scene.dir, "receipt.bin"), scene.receipt);
    // An order that is not answered stays, too: the node can still settle it.
    let (code, error, third) = scene.answered_with("");
    assert_eq!((code, error.as_str()), (20, "client.malformed"));
    assert_eq!(kept::<Order>(&third, "order.bin").value.sequence.0, 2);

    let local = &scene.local;
    let due = scene.order.value.settle_by.0 + local.node().params().unwrap().grace;
    wait_for("the time of claims", || {
        local.node().clock().unwrap().tick.0 > due
    });
    let balance = || local.node().balance(local.user().address(), DUSD).unwrap().0;
    let before = balance();
    let claimed = scene.claim();
    assert_eq!(claimed["state"], "claimed", "{claimed}");
    assert_eq!(balance() - before, WARRANTY);
}

#[test]
fn a_second_receipt_for_an_earlier_sequence_that_answers_another_order_is_evidence() {
    let scene = Scene::new();
    let local = &scene.local;
    let signer = Wallet::load(&local.key("inference/receipt.key")).unwrap();
    let mut other = scene.receipt.value.clone();
    other.seed ^= 1;
    let other = signer.sign(other, &local.domain()).unwrap();
    let (code, error, second) = scene.answered_with(&hex::encode(other.encode()));
    assert_eq!((code, error.as_str()), (10, "receipt.order"));
    assert_eq!(kept::<Receipt>(&second, "other-receipt.bin"), other);
    let claimed = scene.claim();
    assert!(claimed["detail"].as_str().unwrap().contains("stake"), "{claimed}");
    assert_eq!(claimed["amount"], WARRANTY.to_string());
}
