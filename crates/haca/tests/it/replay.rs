//! A node that answers an order with a receipt for another one: nothing that its payer holds is lost.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use haca_client::{RECEIPT_HEADER, Wallet};
use haca_wire::{AssetId, Decode, Encode as _, Order, Receipt, Signed};
use serde_json::Value;

use crate::local::{Local, haca, json, wait_for};

/// The asset of fees, and the warranty of an inference with signatures.
const DUSD: AssetId = AssetId(1);
const WARRANTY: u128 = 5_000;

/// What the node puts into the receipt's header, whatever the order.
type Header = Arc<Mutex<String>>;

/// Says at `address` what the node has said of its models, and answers every order with the same response.
fn serve(address: &str, models: String, response: Vec<u8>) -> Header {
    let listener = TcpListener::bind(address).unwrap();
    let header = Header::default();
    let served = header.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let receipt = served.lock().unwrap().clone();
            // A client that goes away is no failure of the test.
            let _ = answer(&stream, &models, &receipt, &response);
        }
    });
    header
}

/// Answers one request and closes the connection.
fn answer(mut stream: &TcpStream, models: &str, receipt: &str, response: &[u8]) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut request, mut length) = (String::new(), 0);
    reader.read_line(&mut request)?;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if header.trim().is_empty() {
            break;
        }
    }
    reader.take(length).read_to_end(&mut Vec::new())?;
    let body = match request.split(' ').nth(1) {
        Some("/v1/models") => models.as_bytes(),
        Some("/v1/infer") => response,
        _ => b"{}",
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\n{RECEIPT_HEADER}: {receipt}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    )?;
    stream.write_all(body)
}

/// A user with one receipt that its node will never settle; from then on the node answers as it is told to.
struct Scene {
    local: Local,
    /// Where the order and its receipt are.
    dir: PathBuf,
    order: Signed<Order>,
    receipt: Signed<Receipt>,
    header: Header,
}

impl Scene {
    fn new() -> Self {
        let local = Local::start_with(&["--idle-ms", "10", "--block-ms", "1"]);
        let mut serving = local.serve_with(&["--batch-wait-s", "3600"]);
        let (code, inferred) = infer(&local);
        assert_eq!(code, 0, "{inferred}");
        let models = local.inference().models().unwrap().to_string();
        serving.kill();
        let dir = PathBuf::from(inferred["files"]["dir"].as_str().unwrap());
        let response = std::fs::read(dir.join("response.json")).unwrap();
        Self {
            order: kept(&dir, "order.bin"),
            receipt: kept(&dir, "receipt.bin"),
            header: serve(&local.inference_address, models, response),
            local,
            dir,
        }
    }

    /// Orders, and has the node answer with this header. Exit code and error code, and where the order is kept.
    fn answered_with(&self, header: String) -> (i32, String, PathBuf) {
        let before = self.orders();
        *self.header.lock().unwrap() = header;
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
    let (code, error, second) = scene.answered_with(replayed);
    assert_eq!((code, error.as_str()), (10, "receipt.order"));
    assert_eq!(kept::<Order>(&second, "order.bin").value.sequence.0, 1);
    assert_eq!(kept::<Order>(&scene.dir, "order.bin"), scene.order);
    assert_eq!(kept::<Receipt>(&scene.dir, "receipt.bin"), scene.receipt);
    // An order that is not answered stays, too: the node can still settle it.
    let (code, error, third) = scene.answered_with(String::new());
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
    let (code, error, second) = scene.answered_with(hex::encode(other.encode()));
    assert_eq!((code, error.as_str()), (10, "receipt.order"));
    assert_eq!(kept::<Receipt>(&second, "other-receipt.bin"), other);
    let claimed = scene.claim();
    assert!(claimed["detail"].as_str().unwrap().contains("stake"), "{claimed}");
    assert_eq!(claimed["amount"], WARRANTY.to_string());
}
