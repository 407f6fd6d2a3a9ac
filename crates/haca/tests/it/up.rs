//! `haca up` and what is done on its network: ordering, looking, verifying online, dying and going on.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::local::{Running, free_address, haca, json, wait_for};

/// The two addresses of a network.
struct Addresses {
    node: String,
    inference: String,
}

/// Starts `haca up` and waits for its announcement.
fn up(dir: &Path, at: &Addresses) -> (Running, String) {
    let mut child = haca()
        .args(["up", "--data"])
        .arg(dir)
        .args(["--listen", &at.node, "--inference-listen", &at.inference])
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap())
        .lines()
        .map_while(Result::ok);
    let trust = lines.find_map(|line| {
        line.trim()
            .strip_prefix("trust")
            .map(|hash| hash.trim().to_owned())
    });
    (
        Running(child),
        trust.expect("an announcement with the genesis hash"),
    )
}

fn infer(dir: &Path, row: &str, more: &[&str]) -> (i32, Value) {
    json(
        haca()
            .args(["infer", "--data"])
            .arg(dir)
            .args(["--row", row])
            .args(more),
    )
}

#[test]
fn a_network_is_used_killed_and_continued() {
    let dir = tempfile::tempdir().unwrap();
    let at = Addresses {
        node: free_address(),
        inference: free_address(),
    };
    let (mut running, trust) = up(dir.path(), &at);
    let (code, first) = infer(dir.path(), "3", &[]);
    assert_eq!(code, 0, "{first}");
    assert_eq!(first["answer"], first["label"]);
    let (_, before) = json(haca().args(["supply", "--data"]).arg(dir.path()));

    // The parent dies without a word, and its children go with it.
    running.kill();
    let free = || {
        [&at.node, &at.inference]
            .iter()
            .all(|address| TcpListener::bind(address.as_str()).is_ok())
    };
    wait_for("the end of both nodes", free);
    let (_running, again) = up(dir.path(), &at);
    assert_eq!(again, trust, "the same network");
    let (code, after) = json(haca().args(["supply", "--data"]).arg(dir.path()));
    assert_eq!(code, 0);
    assert_eq!(after["balanced"], true);
    assert_eq!(
        after["assets"], before["assets"],
        "nothing is lost and nothing appears"
    );

    let (code, second) = infer(dir.path(), "4", &["--evidence", "signed"]);
    assert_eq!(code, 0, "{second}");
    assert_eq!(
        second["order"]["channel"], first["order"]["channel"],
        "the channel goes on"
    );
    assert_eq!(second["order"]["sequence"], 1);
    verify_both(&first, &second, &trust, &at);
    prove_state(dir.path(), &first, &trust, &at);

    let (code, state) = json(haca().args(["state", "export", "--data"]).arg(dir.path()));
    assert_eq!(code, 0);
    assert!(state.as_object().is_some_and(|state| state.len() > 3));
    let (code, doctor) = json(haca().args(["doctor", "--data"]).arg(dir.path()));
    assert_eq!(code, 0, "{doctor}");
}

fn verify_both(first: &Value, second: &Value, trust: &str, at: &Addresses) {
    let text = |value: &Value, field: &str| value[field].as_str().unwrap().to_owned();
    let node = format!("http://{}", at.node);
    let online = |exchange: &Value, more: &[&str]| {
        let (hash, files) = (
            text(&exchange["receipt"], "hash"),
            text(&exchange["files"], "dir"),
        );
        let mut command = haca();
        command
            .args([
                "verify", &hash, "--trust", trust, "--node", &node, "--files", &files,
            ])
            .args(more);
        json(&mut command)
    };
    let (code, report) = online(first, &[]);
    assert_eq!(
        (code, &report["outcome"]),
        (0, &Value::from("verified")),
        "{report}"
    );
    let (code, report) = online(second, &[]);
    assert_eq!(
        (code, &report["outcome"]),
        (12, &Value::from("rejected")),
        "signatures alone: {report}"
    );
    assert_eq!(online(second, &["--accept-signed"]).0, 0);
    // The response of another receipt does not pass for this one's.
    let mut mixed = first.clone();
    mixed["files"]["dir"] = second["files"]["dir"].clone();
    assert_eq!(online(&mixed, &[]).0, 10);
    let mut unknown = first.clone();
    unknown["receipt"]["hash"] = Value::from(format!("0x{}", "77".repeat(32)));
    assert_eq!(online(&unknown, &[]).0, 21, "a receipt that is not settled");
    let bundle = text(&first["files"], "bundle");
    assert_eq!(json(haca().args(["verify", &bundle, "--trust", trust])).0, 0);
}

/// What the node says of its state, proven, kept, compared with a witness, passed on, and refused where it is false.
fn prove_state(dir: &Path, settled: &Value, trust: &str, at: &Addresses) {
    let node = format!("http://{}", at.node);
    let (store, file) = (dir.join("trust.haca"), dir.join("receipt.haca"));
    let state = |what: &[&str], more: &[&str]| {
        let mut command = haca();
        command
            .arg("state")
            .args(what)
            .args(["--node", &node, "--trust", trust]);
        json(command.args(more).arg("--store").arg(&store))
    };
    let text = |value: &Value, field: &str| value[field].as_str().unwrap().to_owned();
    let receipt = text(&settled["receipt"], "hash");
    let out = file.to_str().unwrap();
    let (code, proven) = state(&["receipt", &receipt], &["--out", out, "--witness", &node]);
    assert_eq!(
        (code, &proven["outcome"]),
        (0, &Value::from("verified")),
        "{proven}"
    );
    assert_eq!(proven["settlement"]["receipt"], receipt.as_str());
    assert_eq!(proven["witnesses"][0]["state"], "agrees");
    assert!(proven["started_at"].is_null(), "from the first block");
    let payer = text(&proven["settlement"], "payer");
    let paid = text(&proven["settlement"], "node");
    let model = text(&proven["settlement"], "model");

    let (code, balance) = state(&["balance", &payer, "--asset", "1"], &["--max-age-s", "3600"]);
    assert_eq!(code, 0, "{balance}");
    assert_eq!(balance["entry"]["account"], payer.as_str());
    assert!(!balance["started_at"].is_null(), "from the store");
    let nobody = format!("0x{}", "44".repeat(20));
    let (code, nothing) = state(&["balance", &nobody], &[]);
    assert_eq!((code, &nothing["entry"]), (0, &Value::Null), "{nothing}");
    for what in [
        ["node", &paid],
        ["model", &model],
        ["channel", &text(&proven["settlement"], "channel")],
    ] {
        let (code, entry) = state(&what, &[]);
        assert!(code == 0 && entry["entry"].is_object(), "{what:?}: {code}");
    }
    let (_, supply) = json(haca().args(["supply", "--node", &node]));
    let (code, proven_supply) = state(&["supply"], &[]);
    assert_eq!(
        (code, &proven_supply["entry"]["issued"]),
        (0, &supply["assets"][0]["issued"])
    );

    // Whoever has the file and the hash needs no network.
    let verify = |trust: &str, more: &[&str]| json(haca().args(["verify", out, "--trust", trust]).args(more));
    let (code, report) = verify(trust, &[]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["settlement"]["receipt"], receipt.as_str());
    assert_eq!(
        verify(&format!("0x{}", "55".repeat(32)), &[]).0,
        10,
        "another network"
    );
    let later = (report["header"]["time_unix_s"].as_u64().unwrap() + 30 * 86_400).to_string();
    assert_eq!(verify(trust, &["--at", &later]).0, 11, "past the trusting period");
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 40;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    assert_eq!(verify(trust, &[]).0, 10, "an altered file");
    assert_eq!(json(haca().args(["bench", "light", out, "--trust", trust])).0, 11);
    let (code, error) = json(haca().args(["state", "clock", "--node", &node]));
    assert_eq!((code, &error["error"]["code"]), (2, &Value::from("cli.no_trust")));
    let foreign = format!("0x{}", "55".repeat(32));
    let (code, error) = json(haca().args(["state", "clock", "--node", &node, "--trust", &foreign]));
    assert_eq!(
        (code, &error["error"]["code"]),
        (1, &Value::from("client.other_network"))
    );
}

#[test]
fn a_port_in_use_and_an_unwritable_place_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_address = taken.local_addr().unwrap().to_string();
    let mut command = haca();
    command
        .args(["up", "--data"])
        .arg(dir.path().join("network"))
        .args(["--listen", &taken_address]);
    let (code, value) = json(command.args(["--inference-listen", &free_address()]));
    assert_eq!(code, 1, "{value}");
    let message = value["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("in use") && message.contains(&taken_address),
        "{message}"
    );

    let file = dir.path().join("file");
    std::fs::write(&file, b"not a directory").unwrap();
    let (code, value) = json(haca().args(["up", "--data"]).arg(file.join("network")));
    assert_eq!(code, 2, "{value}");
    assert_eq!(std::fs::read(&file).unwrap(), b"not a directory");
}
