//! The HTTP API of a node in this process.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use haca_node::{
    NodeError,
    engine::Pace,
    node::{Node, NodeConfig, NodeHandle},
    rest::HttpLimits,
};
use serde_json::Value;

use super::{
    engine::wait,
    ledger::{NoEvidence, holder, network, transfer},
};

pub(crate) struct Running {
    _directory: tempfile::TempDir,
    pub(crate) genesis: haca_node::Genesis,
    node: NodeHandle,
}

fn config(home: &std::path::Path) -> NodeConfig {
    NodeConfig {
        listen: "127.0.0.1:0".to_owned(),
        pace: Pace {
            between_blocks: Duration::ZERO,
            idle: Duration::from_secs(3600),
        },
        ..NodeConfig::new(home)
    }
}

/// A node whose connections may take little.
fn start_narrow(http: HttpLimits) -> Running {
    start_as(Box::new(NoEvidence), |config| config.http = http)
}

fn start() -> Running {
    start_with(Box::new(NoEvidence))
}

pub(crate) fn start_with(checker: Box<dyn haca_ledger::CheckProof + Send>) -> Running {
    start_as(checker, |_| ())
}

fn start_as(
    checker: Box<dyn haca_ledger::CheckProof + Send>,
    change: impl FnOnce(&mut NodeConfig),
) -> Running {
    let directory = tempfile::tempdir().unwrap();
    let genesis = network(directory.path(), 4);
    let mut config = config(directory.path());
    change(&mut config);
    let node = Node::start(&config, checker).unwrap();
    let running = Running {
        _directory: directory,
        genesis,
        node,
    };
    wait(|| (running.get("/health").0 == 200).then_some(()));
    running
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into()
}

impl Running {
    pub(crate) fn bytes(&self, path: &str) -> (u16, Vec<u8>) {
        let mut answer = agent().get(format!("{}{path}", self.node.url())).call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_vec().unwrap())
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        let (status, body) = self.bytes(path);
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    pub(crate) fn submit(&self, body: &[u8]) -> (u16, Value) {
        let mut answer = agent()
            .post(format!("{}/v1/tx", self.node.url()))
            .send(body)
            .unwrap();
        let body = answer.body_mut().read_to_vec().unwrap();
        (answer.status().as_u16(), serde_json::from_slice(&body).unwrap())
    }
}

fn error_code(answer: &(u16, Value)) -> (u16, &str) {
    let error = &answer.1["error"];
    for part in ["message", "hint"] {
        assert!(!error[part].as_str().unwrap().is_empty(), "{answer:?}");
    }
    (answer.0, error["code"].as_str().unwrap())
}

#[test]
fn a_transfer_goes_in_and_is_found_proven_exported_and_counted() {
    let running = start();
    let tx = transfer(&running.genesis, 1, 5, 100);
    let (status, answer) = running.submit(&tx);
    assert_eq!(status, 202, "{answer}");
    let hash = answer["tx_hash"].as_str().unwrap().to_owned();
    let found = wait(|| Some(running.get(&format!("/v1/tx/{hash}"))).filter(|(status, _)| *status == 200)).1;
    assert_eq!(found["code"], 0, "{found}");
    let burned: u128 = found["burned"].as_str().unwrap().parse().unwrap();
    assert!(burned > 0);

    assert_eq!(running.bytes(&format!("/v1/tx/{hash}/bytes")).1, tx);
    assert_eq!(running.submit(&tx).0, 200, "sending it again is harmless");
    let receiver = running
        .get("/v1/accounts/0x0909090909090909090909090909090909090909")
        .1;
    assert_eq!(receiver["balances"][0]["amount"], "5");
    let supply = running.get("/v1/supply").1;
    assert_eq!(supply["assets"][0]["burned"], burned.to_string());

    let height = found["height"].as_u64().unwrap();
    let key = hex::encode(haca_wire::state::key::supply(haca_wire::AssetId::OPG));
    let proven = running.get(&format!("/v1/state/{key}?height={height}")).1;
    let header = running.get(&format!("/v1/block/{}", height + 1)).1;
    let root = hex::decode(header["header"]["app_hash"].as_str().unwrap()).unwrap();
    let proof = hex::decode(proven["proof"].as_str().unwrap()).unwrap();
    let proof: ics23::CommitmentProof = prost_ics23::Message::decode(proof.as_slice()).unwrap();
    let value = hex::decode(proven["value"].as_str().unwrap()).unwrap();
    let key = hex::decode(key).unwrap();
    let spec = jmt::ics23_spec();
    assert!(ics23::verify_membership::<ics23::HostFunctionsManager>(
        &proof, &spec, &root, &key, &value
    ));

    let export = running.get("/v1/export").1;
    assert_eq!(export["genesis_hash"], running.genesis.hash().to_string());
    assert_eq!(export["state"]["supplies"][0]["burned"], burned.to_string());
    let metrics = String::from_utf8(running.bytes("/metrics").1).unwrap();
    assert!(
        metrics.contains("haca_transactions_total{code=\"0\"} 1\n"),
        "{metrics}"
    );
    assert!(metrics.contains(&format!("haca_burned_total{{asset=\"0\"}} {burned}\n")));
    check_supply_identity(&metrics, &supply);
    assert_eq!(running.bytes("/v1/genesis").1, running.genesis.bytes);
    let light = running.get(&format!("/v1/light_block/{height}")).1;
    assert!(light["signed_header"].as_str().unwrap().len() > 400);
}

/// The parts of each asset add up to what was issued, by the metrics alone and by the query.
fn check_supply_identity(metrics: &str, supply: &Value) {
    let value = |name: &str| -> u128 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse().unwrap()
    };
    for asset in supply["assets"].as_array().unwrap() {
        assert_eq!(asset["balanced"], true, "{asset}");
        let id = &asset["asset"];
        let part = |part: &str| value(&format!("haca_supply_part{{asset=\"{id}\",part=\"{part}\"}}"));
        let parts = [
            "balances",
            "escrow",
            "held",
            "bonds",
            "stakes",
            "unbonding",
            "pool",
            "burned",
        ];
        let issued = value(&format!("haca_supply_issued{{asset=\"{id}\"}}"));
        assert_eq!(parts.map(part).iter().sum::<u128>(), issued);
        assert_eq!(issued.to_string(), asset["issued"]);
        assert_eq!(value(&format!("haca_supply_unaccounted{{asset=\"{id}\"}}")), 0);
    }
}

#[test]
fn bad_requests_get_a_code_and_a_hint() {
    let running = start();
    let get = |path: &str| running.get(path);
    assert_eq!(error_code(&get("/v1/tx/zz")), (400, "request.malformed"));
    assert_eq!(
        error_code(&get(&format!("/v1/tx/{}", "00".repeat(32)))),
        (404, "request.not_found")
    );
    assert_eq!(
        error_code(&get(&format!("/v1/receipts/{}", "00".repeat(32)))),
        (404, "request.not_found")
    );
    assert_eq!(error_code(&get("/v1/block/0")), (404, "request.not_found"));
    assert_eq!(error_code(&get("/v1/block/99")), (404, "request.not_found"));
    assert_eq!(error_code(&get("/v1/block/x")), (400, "request.malformed"));
    assert_eq!(error_code(&get("/v1/state/xyz")), (400, "request.malformed"));
    assert_eq!(
        error_code(&get(&format!("/v1/state/{}", "00".repeat(300)))),
        (400, "request.malformed")
    );
    assert_eq!(
        error_code(&get("/v1/state/00?height=99")),
        (404, "node.height_unavailable")
    );
    assert_eq!(error_code(&get("/v1/models/0x12")), (400, "request.malformed"));
    assert_eq!(
        error_code(&get("/v1/nodes/0x1111111111111111111111111111111111111111")),
        (404, "request.not_found")
    );
    assert_eq!(error_code(&get("/no/such/path")), (404, "request.not_found"));
}

#[test]
fn bad_transactions_are_refused_and_lose_nothing() {
    let running = start();
    let before = running.get(&format!("/v1/accounts/{}", holder().address())).1["balances"].clone();
    assert_eq!(error_code(&running.submit(b"")), (422, "ledger.malformed"));
    // Refused by its length, before a byte of it is read: a client that still writes may find the connection closed.
    let mut stream = TcpStream::connect(running.node.url().trim_start_matches("http://")).unwrap();
    let head = format!(
        "POST /v1/tx HTTP/1.0\r\nContent-Length: {}\r\n\r\n",
        (1 << 20) + 2
    );
    stream.write_all(head.as_bytes()).unwrap();
    let answer = said(stream);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 413"), "{head}");
    let refused = (413, serde_json::from_str(body).unwrap());
    assert_eq!(error_code(&refused), (413, "tx.too_large"));
    let good = transfer(&running.genesis, 1, 5, 100);
    // Every byte of a signed transaction matters: no flipped one is admitted under the same account.
    for at in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let answer = running.submit(&bad);
        assert_eq!(answer.0, 422, "byte {at}: {answer:?}");
        error_code(&answer);
    }
    let too_much = transfer(&running.genesis, 2, u128::MAX, 100);
    assert_eq!(running.submit(&too_much).0, 422);
    let expired = transfer(&running.genesis, 3, 1, 0);
    assert_eq!(running.submit(&expired).0, 422);
    let after = running.get(&format!("/v1/accounts/{}", holder().address())).1["balances"].clone();
    assert_eq!(before, after);
}

#[test]
fn restart_keeps_height_and_transactions() {
    let running = start();
    let tx = transfer(&running.genesis, 1, 5, 100);
    let hash = running.submit(&tx).1["tx_hash"].as_str().unwrap().to_owned();
    wait(|| (running.get(&format!("/v1/tx/{hash}")).0 == 200).then_some(()));
    let status = running.get("/v1/status").1;
    let Running {
        _directory: directory,
        genesis,
        node,
    } = running;
    node.shutdown();
    let node = Node::start(&config(directory.path()), Box::new(NoEvidence)).unwrap();
    let running = Running {
        _directory: directory,
        genesis,
        node,
    };
    let again = running.get("/v1/status").1;
    for field in ["height", "block_hash", "app_hash"] {
        assert_eq!(status[field], again[field], "{field}");
    }
    assert_eq!(running.get(&format!("/v1/tx/{hash}")).0, 200);
}

#[test]
fn start_errors_name_their_cause() {
    let directory = tempfile::tempdir().unwrap();
    let missing = Node::start(&config(directory.path()), Box::new(NoEvidence)).unwrap_err();
    assert!(matches!(missing, NodeError::Read { .. }));
    network(directory.path(), 4);
    let key = directory.path().join("validators/1.json");
    std::fs::rename(&key, directory.path().join("1.json")).unwrap();
    let without_quorum = config(directory.path());
    let quorum = Node::start(&without_quorum, Box::new(NoEvidence)).unwrap_err();
    assert!(
        matches!(quorum, NodeError::NoQuorum { found, total } if found * 4 == total),
        "{quorum}"
    );
    std::fs::rename(directory.path().join("1.json"), key).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config(directory.path());
    config.listen = taken.local_addr().unwrap().to_string();
    let port = Node::start(&config, Box::new(NoEvidence)).unwrap_err();
    assert!(matches!(port, NodeError::PortInUse { .. }), "{port}");
    config.listen = "not an address".to_owned();
    let listen = Node::start(&config, Box::new(NoEvidence)).unwrap_err();
    assert!(matches!(listen, NodeError::Listen { .. }), "{listen}");
}

/// All that the node says on a connection before it closes it.
fn said(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    // A reset is an end, too.
    let _ = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn connect(running: &Running, text: &str) -> TcpStream {
    let address = running.node.url();
    let mut stream = TcpStream::connect(address.trim_start_matches("http://")).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

/// Each test ends only if the node closes connections by itself.
#[test]
fn headers_and_bodies_that_do_not_come_are_not_waited_for() {
    let running = start_narrow(HttpLimits {
        header_time: Duration::from_millis(300),
        body_time: Duration::from_millis(300),
        ..HttpLimits::default()
    });
    said(connect(&running, ""));
    said(connect(&running, "GET /v1/status HTTP/1.1\r\nHost: x\r\n"));
    let slow = "POST /v1/tx HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nslow";
    let answer = said(connect(&running, slow));
    assert!(
        answer.starts_with("HTTP/1.1 408 ") && answer.contains("request.timeout"),
        "{answer}"
    );
    assert_eq!(running.get("/health").0, 200);
}

#[test]
fn more_connections_than_allowed_wait_until_the_slow_ones_are_closed() {
    let running = start_narrow(HttpLimits {
        connections: 2,
        header_time: Duration::from_millis(300),
        ..HttpLimits::default()
    });
    let _slow: Vec<_> = (0..6)
        .map(|_| connect(&running, "GET /health HTTP/1.1\r\n"))
        .collect();
    assert_eq!(running.get("/health").0, 200, "after them");
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_has_come() {
    let running = start();
    let head = format!(
        "POST /v1/tx HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        1_u64 << 40
    );
    let mut stream = connect(&running, &head);
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 413");
}

#[test]
fn the_whole_state_is_exported_piece_by_piece() {
    let running = start();
    for number in 1..4 {
        let (status, answer) = running.submit(&transfer(&running.genesis, number, 5, 100));
        assert_eq!(status, 202, "{answer}");
        let path = format!("/v1/tx/{}", answer["tx_hash"].as_str().unwrap());
        wait(|| Some(running.get(&path)).filter(|(status, _)| *status == 200));
    }
    let exported = running.get("/v1/export").1;
    let raw = exported["state"]["raw"].as_object().unwrap();
    assert!(raw.len() > 10);
    let entries: Vec<(Vec<u8>, Vec<u8>)> = raw
        .iter()
        .map(|(key, value)| {
            (
                hex::decode(key).unwrap(),
                hex::decode(value.as_str().unwrap()).unwrap(),
            )
        })
        .collect();
    let entries = entries
        .iter()
        .map(|(key, value)| (key.as_slice(), value.as_slice()));
    assert_eq!(exported["state"], haca_ledger::export(entries).unwrap());
    assert_eq!(exported["chain_id"], running.genesis.chain_id.as_str());
}
