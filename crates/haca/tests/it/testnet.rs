//! `haca testnet`: four validators agree, settle a real proof, and lose nothing when one of them is killed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::local::{Running, haca, json, wait_for};

/// Starts the command and reads its announcement.
fn testnet(dir: &Path, more: &[&str]) -> (Running, Value) {
    let child = haca()
        .args(["--json", "testnet", "--blocks-ms", "100", "--dir"])
        .arg(dir)
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let mut line = String::new();
    BufReader::new(running.0.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    (running, serde_json::from_str(&line).expect("one line of JSON"))
}

/// A JSON document of a full node; `None` where it has none.
fn get(url: &str, path: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.contains(" 200 ").then(|| serde_json::from_str(body).ok())?
}

fn height(url: &str) -> u64 {
    let status = get(url, "/v1/status");
    status.and_then(|status| status["height"].as_u64()).unwrap_or(0)
}

/// Waits until all nodes have a block, and compares what it says of the state.
fn assert_agreed(urls: &[String], at: u64) {
    let hashes = urls.iter().map(|url| {
        wait_for("the block", || height(url) > at);
        let block = get(url, &format!("/v1/block/{at}")).unwrap();
        assert!(block["header"]["app_hash"].is_string(), "{block}");
        (
            block["header"]["app_hash"].clone(),
            block["header"]["height"].clone(),
        )
    });
    let hashes: Vec<_> = hashes.collect();
    assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]), "{hashes:?}");
}

fn burned(dir: &Path) -> u128 {
    let (code, supply) = json(haca().args(["supply", "--data"]).arg(dir));
    assert_eq!((code, &supply["balanced"]), (0, &Value::from(true)), "{supply}");
    supply["assets"][0]["burned"].as_str().unwrap().parse().unwrap()
}

fn infer(dir: &Path, more: &[&str]) -> Value {
    let (code, exchange) = json(haca().args(["infer", "--data"]).arg(dir).args(more));
    assert_eq!(code, 0, "{exchange}");
    exchange
}

fn processes_of(dir: &Path) -> usize {
    let dir = dir.to_str().unwrap();
    let lines = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let path = entry.ok()?.path();
        path.file_name()?.to_str()?.parse::<u32>().ok()?;
        std::fs::read(path.join("cmdline")).ok()
    });
    lines
        .filter(|line| String::from_utf8_lossy(line).contains(dir))
        .count()
}

#[test]
fn four_validators_settle_a_proof_and_survive_the_death_of_one() {
    let dir = tempfile::tempdir().unwrap();
    let (mut running, network) = testnet(dir.path(), &[]);
    let nodes = network["nodes"].as_array().unwrap();
    let urls: Vec<String> = nodes
        .iter()
        .map(|node| node["url"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(urls.len(), 4);

    let before = burned(dir.path());
    let exchange = infer(dir.path(), &["--row", "3"]);
    assert_eq!(exchange["answer"], exchange["label"]);
    assert!(burned(dir.path()) > before, "verification is burned");
    assert_agreed(&urls, height(&urls[0]));

    // A proof that is made when its payer asks for it.
    let doubted = infer(dir.path(), &["--row", "6", "--evidence", "optimistic"]);
    let receipt = doubted["receipt"]["hash"].as_str().unwrap();
    let (code, answered) = json(haca().args(["demand", receipt, "--data"]).arg(dir.path()));
    assert_eq!((code, &answered["state"]), (0, &"answered".into()), "{answered}");

    // Three of four decide without the one that dies; it comes back and agrees.
    let pid = nodes[3]["pid"].to_string();
    let killed = Command::new("kill").args(["-9", &pid]).status().unwrap();
    assert!(killed.success());
    let at_death = height(&urls[0]);
    infer(dir.path(), &["--row", "4", "--evidence", "signed"]);
    wait_for("the rest to go on", || height(&urls[0]) > at_death + 2);
    assert_agreed(&urls, height(&urls[0]));

    // The parent dies without a word, and everything goes with it: nodes, and CometBFT under them.
    running.kill();
    wait_for("the end of all processes", || processes_of(dir.path()) == 0);
    let after = infer_again(dir.path(), &network["trust"]);
    assert_eq!(after["order"]["channel"], exchange["order"]["channel"]);
}

/// The same command continues the network.
fn infer_again(dir: &Path, trust: &Value) -> Value {
    let (_running, network) = testnet(dir, &[]);
    assert_eq!(&network["trust"], trust, "the same network");
    infer(dir, &["--row", "5", "--evidence", "signed"])
}

#[test]
fn a_network_of_one_node_is_no_testnet_and_the_other_way_round() {
    let dir = tempfile::tempdir().unwrap();
    let file = |nodes: Value| {
        serde_json::json!({
            "node_url": "", "inference_url": "", "trust": "", "engine": "dev", "nodes": nodes,
        })
        .to_string()
    };
    let path = dir.path().join("network.json");
    std::fs::write(&path, file(Value::Array(Vec::new()))).unwrap();
    let (code, told) = json(haca().args(["testnet", "--dir"]).arg(dir.path()));
    assert_eq!(code, 2);
    assert_eq!(told["error"]["code"], "cli.no_testnet");
    let place = serde_json::json!([{ "url": "", "rpc": "", "p2p": "", "id": "" }]);
    std::fs::write(&path, file(place)).unwrap();
    let (code, told) = json(haca().args(["up", "--data"]).arg(dir.path()));
    assert_eq!(code, 2);
    assert_eq!(told["error"]["code"], "cli.testnet");
}
