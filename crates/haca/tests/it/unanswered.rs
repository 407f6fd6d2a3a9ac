//! An order whose answer never arrived: the node's receipt is asked for, and is worth what any other is.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use haca_client::{RECEIPT_HEADER, Wallet};
use haca_wire::{AssetId, Decode, Encode as _, Order, Receipt, Signed, render};
use serde_json::{Value, json as object};

use crate::gate::{Action, Gate};
use crate::local::{Local, Running, haca, json, wait_for};
use crate::server::Server;

/// The asset of fees, and the warranty of an inference with signatures.
const DUSD: AssetId = AssetId(1);
const WARRANTY: u128 = 5_000;

/// A node that settles nothing unless told to, and a door before it that answers may be lost behind.
struct Scene {
    local: Local,
    gate: Gate,
    serving: Running,
}

impl Scene {
    fn start() -> Self {
        Self::start_with(&["--batch-wait-s", "3600"])
    }

    /// The same with a node under these options.
    fn start_with(options: &[&str]) -> Self {
        let local = Local::start_with(&["--idle-ms", "10", "--block-ms", "1"]);
        let serving = local.serve_with(options);
        let gate = Gate::before(&format!("http://{}", local.inference_address));
        local.point("inference_url", gate.url());
        Self { local, gate, serving }
    }

    /// Orders, with this action on the order and its answer. The exit code, and where the order is kept.
    fn order(&self, evidence: &str, action: &Action) -> (i32, PathBuf) {
        let before = self.orders();
        let action = action.clone();
        self.gate.set(move |_, path| match path {
            "/v1/infer" => action.clone(),
            _ => Action::Pass,
        });
        let (code, _) = json(&mut self.infer(evidence));
        self.gate.open();
        (code, self.order_beside(&before).expect("an order on disk"))
    }

    fn infer(&self, evidence: &str) -> Command {
        let mut infer = haca();
        infer.args(["infer", "--evidence", evidence, "--no-wait", "--data"]);
        infer.arg(self.local.path());
        infer
    }

    /// An order that the node answers, whose answer is lost.
    fn lost(&self, evidence: &str) -> Lost {
        let (code, dir) = self.order(evidence, &Action::Swallow);
        assert_eq!(code, 20);
        assert!(!dir.join("receipt.bin").exists() && !dir.join("response.json").exists());
        let order: Signed<Order> = read(&dir, "order.bin");
        let hash = order.value.hash(&self.local.domain());
        let receipt = self.local.inference().told_receipt(hash).unwrap().unwrap();
        let page = format!("/v1/receipts/{hash}");
        Lost {
            dir,
            order,
            receipt,
            page,
        }
    }

    fn orders(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.local.key("user/receipts"));
        let entries = entries.into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Where an order is kept that is none of these.
    fn order_beside(&self, known: &[PathBuf]) -> Option<PathBuf> {
        self.orders().into_iter().find(|dir| !known.contains(dir))
    }

    fn claim(&self) -> (i32, Value) {
        json(haca().args(["claim", "--data"]).arg(self.local.path()))
    }

    /// The only line of a claim that ends well.
    fn claim_one(&self) -> Value {
        let (code, claimed) = self.claim();
        assert_eq!(code, 0, "{claimed}");
        assert_eq!(claimed["receipts"].as_array().unwrap().len(), 1, "{claimed}");
        claimed["receipts"][0].clone()
    }

    /// From now on, this server stands in for the node.
    fn replaced(&mut self) -> Server {
        self.serving.kill();
        let server = Server::start();
        self.local.point("inference_url", &server.url);
        server
    }

    fn wait_until_due(&self, order: &Signed<Order>) {
        let due = order.value.settle_by.0 + self.local.node().params().unwrap().grace;
        wait_for("the time of claims", || {
            self.local.node().clock().unwrap().tick.0 > due
        });
    }

    fn balance(&self) -> u128 {
        let user = self.local.user().address();
        self.local.node().balance(user, DUSD).unwrap().0
    }
}

/// An order whose answer was lost, with the receipt that its node holds and where the node tells it.
struct Lost {
    dir: PathBuf,
    order: Signed<Order>,
    receipt: Signed<Receipt>,
    page: String,
}

impl Lost {
    /// Has a node tell this receipt for the order.
    fn tell(&self, node: &Server, receipt: &Signed<Receipt>) {
        let receipt = hex::encode(receipt.encode());
        node.json(&self.page, &object!({ "status": "answered", "receipt": receipt }));
    }
}

/// A signed value on disk.
fn read<T>(dir: &Path, name: &str) -> Signed<T>
where
    Signed<T>: Decode,
{
    Signed::decode_all(&std::fs::read(dir.join(name)).unwrap()).unwrap()
}

#[test]
fn a_receipt_whose_answer_was_lost_is_fetched_and_its_warranty_claimed() {
    let mut scene = Scene::start();
    let lost = scene.lost("signed");
    // The node tells its receipt and does not answer again.
    scene.gate.transactions(Action::Shut);
    let line = scene.claim_one();
    assert_eq!(
        (&line["state"], &line["fetched_now"]),
        (&"waiting".into(), &true.into()),
        "{line}"
    );
    assert_eq!(read::<Receipt>(&lost.dir, "receipt.bin"), lost.receipt);
    let response = lost.dir.join("response.json");
    assert!(!response.exists(), "what never came is not there");
    scene.gate.open();
    let line = scene.claim_one();
    assert_eq!(line["fetched_now"], false, "{line}");
    let response = render::response_hash(&std::fs::read(response).unwrap());
    assert_eq!(response, lost.receipt.value.response);
    // The node is not asked for a response that is there.
    let asked = scene.gate.submitted();
    scene.claim_one();
    assert_eq!(scene.gate.submitted(), asked);

    scene.serving.kill();
    scene.wait_until_due(&lost.order);
    let before = scene.balance();
    let line = scene.claim_one();
    assert_eq!(line["state"], "claimed", "{line}");
    assert_eq!(scene.balance() - before, WARRANTY);
}

#[test]
fn what_a_node_tells_falsely_of_lost_answers_keeps_no_other_from_being_claimed() {
    let mut scene = Scene::start();
    let (first, second, third) = (scene.lost("signed"), scene.lost("signed"), scene.lost("signed"));
    let (code, answered) = scene.order("signed", &Action::Pass);
    assert_eq!(code, 0);
    let node = scene.replaced();
    let forged = Wallet::generate().unwrap();
    let forged = forged.sign(second.receipt.value.clone(), &scene.local.domain());
    first.tell(&node, &second.receipt);
    second.tell(&node, &forged.unwrap());
    node.json(&third.page, &object!({ "status": "answered", "receipt": "zz" }));
    let (code, claimed) = scene.claim();
    assert_eq!(code, 20, "{claimed}");
    let lines = claimed["receipts"].as_array().unwrap();
    let find = |lost: &Lost| {
        let order = lost.order.value.hash(&scene.local.domain()).to_string();
        let line = lines.iter().find(|line| line["order"] == order).unwrap();
        assert_eq!(
            (&line["state"], &line["receipt"]),
            (&"failed".into(), &Value::Null)
        );
        let code = line["error"]["code"].as_str().unwrap().to_owned();
        (code, line["detail"].as_str().unwrap().to_owned())
    };
    let told = "cli.told_receipt";
    for (lost, code, why) in [
        (&first, told, "it answers another order"),
        (&second, told, "no key of the node signed it"),
        (&third, "client.malformed", "a signed receipt"),
    ] {
        let (found, detail) = find(lost);
        assert!(found == code && detail.contains(why), "{found}: {detail}");
        assert!(!lost.dir.join("receipt.bin").exists());
    }
    let waiting = lines.iter().filter(|line| line["state"] == "waiting");
    assert_eq!((lines.len(), waiting.count()), (4, 1), "{claimed}");

    // The truth is still good, and silence is no failure.
    second.tell(&node, &second.receipt);
    node.page(&first.page, 404, "{}");
    node.page(&third.page, 404, "{}");
    scene.wait_until_due(&read(&answered, "order.bin"));
    let before = scene.balance();
    let (code, claimed) = scene.claim();
    assert_eq!(code, 0, "{claimed}");
    assert_eq!(claimed["unanswered"].as_array().unwrap().len(), 2, "{claimed}");
    assert_eq!(scene.balance() - before, 2 * WARRANTY, "{claimed}");
}

#[test]
fn a_node_that_answers_a_lost_order_with_another_receipt_than_it_told_loses_its_stake() {
    let mut scene = Scene::start();
    let lost = scene.lost("signed");
    let node = scene.replaced();
    let signer = Wallet::load(&scene.local.key("inference/receipt.key")).unwrap();
    let mut other = lost.receipt.value.clone();
    other.seed ^= 1;
    let other = signer.sign(other, &scene.local.domain()).unwrap();
    lost.tell(&node, &lost.receipt);
    node.page_with("/v1/infer", RECEIPT_HEADER, &hex::encode(other.encode()), "{}");
    let line = scene.claim_one();
    assert!(line["detail"].as_str().unwrap().contains("stake"), "{line}");
    assert_eq!(read::<Receipt>(&lost.dir, "receipt.bin"), lost.receipt);
    assert_eq!(read::<Receipt>(&lost.dir, "told-receipt.bin"), other);
    assert!(!lost.dir.join("response.json").exists(), "it is no answer");
}

#[test]
fn evidence_that_the_node_tells_once_is_kept_beside_what_is_none() {
    let mut scene = Scene::start();
    let lost = scene.lost("signed");
    let domain = scene.local.domain();
    let mut other = lost.receipt.value.clone();
    other.seed ^= 1;
    // Something that came with the answer while the node's receipt was fetched.
    let forged = Wallet::generate().unwrap().sign(other.clone(), &domain).unwrap();
    std::fs::write(lost.dir.join("receipt.bin"), lost.receipt.encode()).unwrap();
    std::fs::write(lost.dir.join("told-receipt.bin"), forged.encode()).unwrap();
    let node = scene.replaced();
    let signer = Wallet::load(&scene.local.key("inference/receipt.key")).unwrap();
    lost.tell(&node, &signer.sign(other, &domain).unwrap());
    // The full node takes no report of it now, and the node tells it no more.
    let full_node = Gate::before(&scene.local.node_url);
    full_node.transactions(Action::Shut);
    scene.local.point("node_url", full_node.url());
    assert_eq!(scene.claim().0, 20);
    full_node.open();
    node.page(&lost.page, 404, "{}");
    let line = scene.claim_one();
    assert!(line["detail"].as_str().unwrap().contains("stake"), "{line}");
    assert_eq!(read::<Receipt>(&lost.dir, "told-receipt.bin"), forged);
}

#[test]
fn an_answer_beside_another_receipt_that_was_told_meanwhile_is_evidence_with_it() {
    let scene = Scene::start();
    let (code, answered) = scene.order("signed", &Action::Pass);
    assert_eq!(code, 0);
    let (known, sent) = (scene.orders(), scene.gate.submitted());
    scene.gate.transactions(Action::Hold);
    let waiting = scene
        .infer("signed")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut waiting = Running(waiting.unwrap());
    wait_for("the order", || scene.gate.submitted() > sent);
    let dir = scene.order_beside(&known).unwrap();
    let order: Signed<Order> = read(&dir, "order.bin");
    let hash = order.value.hash(&scene.local.domain());
    // While it waits for its answer, the node tells another command a receipt of its own making.
    let signer = Wallet::load(&scene.local.key("inference/receipt.key")).unwrap();
    let mut told = read::<Receipt>(&answered, "receipt.bin").value;
    (told.sequence, told.order) = (order.value.sequence, hash);
    told.response = render::response_hash(b"{}");
    let told = signer.sign(told, &scene.local.domain()).unwrap();
    let node = Server::start();
    node.page_with("/v1/infer", RECEIPT_HEADER, &hex::encode(told.encode()), "{}");
    let page = object!({ "status": "answered", "receipt": hex::encode(told.encode()) });
    node.json(&format!("/v1/receipts/{hash}"), &page);
    scene.local.point("inference_url", &node.url);
    assert_eq!(scene.claim().0, 0);
    assert_eq!(read::<Receipt>(&dir, "receipt.bin"), told);
    let response = || std::fs::read(dir.join("response.json")).unwrap();
    assert_eq!(response(), b"{}");

    scene.gate.open();
    assert!(waiting.0.wait().unwrap().success());
    assert_eq!(read::<Receipt>(&dir, "receipt.bin"), told);
    assert_eq!(response(), b"{}", "the response that the receipt is for stays");
    assert_eq!(read::<Receipt>(&dir, "told-receipt.bin").value.order, hash);
    let (code, claimed) = scene.claim();
    assert_eq!(code, 0, "{claimed}");
    let lines = claimed["receipts"].as_array().unwrap();
    let line = lines.iter().find(|line| line["order"] == hash.to_string());
    let detail = line.unwrap()["detail"].as_str().unwrap();
    assert!(detail.contains("stake"), "{claimed}");
}

#[test]
fn what_no_key_of_the_node_signed_gives_way_to_the_receipt_that_the_node_tells() {
    let scene = Scene::start();
    let lost = scene.lost("signed");
    let stranger = Wallet::generate().unwrap();
    let mut forged = lost.receipt.value.clone();
    forged.seed ^= 1;
    let forged = stranger.sign(forged, &scene.local.domain()).unwrap();
    std::fs::write(lost.dir.join("receipt.bin"), forged.encode()).unwrap();
    let line = scene.claim_one();
    assert_eq!(
        (&line["state"], &line["fetched_now"]),
        (&"waiting".into(), &true.into()),
        "{line}"
    );
    assert_eq!(read::<Receipt>(&lost.dir, "receipt.bin"), lost.receipt);
    assert_eq!(
        read::<Receipt>(&lost.dir, "other-receipt.bin"),
        forged,
        "nothing is dropped"
    );
    let line = scene.claim_one();
    assert_eq!(
        (&line["state"], &line["fetched_now"]),
        (&"waiting".into(), &false.into())
    );
}

#[test]
fn the_proof_of_a_lost_answer_is_demanded_once_its_receipt_is_fetched() {
    let scene = Scene::start_with(&[]);
    let lost = scene.lost("optimistic");
    let receipt = lost.receipt.value.hash(&scene.local.domain());
    wait_for("the settlement", || {
        scene.local.node().settled(receipt).unwrap().is_some()
    });
    let line = scene.claim_one();
    assert_eq!(
        (&line["state"], &line["fetched_now"]),
        (&"held".into(), &true.into()),
        "{line}"
    );
    assert!(lost.dir.join("response.json").exists());
    let mut demand = haca();
    demand.args(["demand", &receipt.to_string(), "--wait-s", "120", "--data"]);
    let (code, answered) = json(demand.arg(scene.local.path()));
    assert_eq!((code, &answered["state"]), (0, &"answered".into()), "{answered}");
}
