//! What operators are given: dashboard, alert rules and service units fit the programs.

#![allow(clippy::print_stderr, reason = "what a machine lacks is worth a line")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::local::{Local, haca, json};

fn ops() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ops")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(ops().join(path)).unwrap()
}

/// Every name of a metric in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
    words
        .filter(|word| word.starts_with("haca_"))
        .map(str::to_owned)
        .collect()
}

/// The names that a node exports, as Prometheus reads them.
fn exported(url: &str) -> BTreeSet<String> {
    let text = crate::perturb::body(url, "/metrics").unwrap();
    let mut names = BTreeSet::new();
    for line in text.lines() {
        let Some(declared) = line.strip_prefix("# TYPE ") else {
            continue;
        };
        let (name, kind) = declared.split_once(' ').unwrap();
        match kind {
            "summary" => names.extend([format!("{name}_sum"), format!("{name}_count")]),
            _ => drop(names.insert(name.to_owned())),
        }
    }
    assert!(names.len() > 3, "{text}");
    names
}

#[test]
fn dashboard_and_alerts_ask_for_what_the_nodes_export() {
    let local = Local::start();
    let _serving = local.serve();
    let known: BTreeSet<String> = exported(&local.node_url)
        .union(&exported(local.inference().url()))
        .cloned()
        .collect();
    let dashboard: serde_json::Value = serde_json::from_str(&read("grafana/full-node.json")).unwrap();
    let mut expressions = Vec::new();
    collect(&dashboard, &mut expressions);
    assert!(expressions.len() > 10, "{expressions:?}");
    for text in [expressions.join("\n"), rules()] {
        let asked = names(&text);
        assert!(asked.len() > 5, "{asked:?}");
        let unknown: Vec<_> = asked.difference(&known).collect();
        assert!(unknown.is_empty(), "no node exports {unknown:?}");
    }
}

/// The expressions of the alert rules.
fn rules() -> String {
    let text = read("prometheus/alerts.yml");
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    lines.collect::<Vec<_>>().join("\n")
}

fn collect(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(members) => {
            for (name, member) in members {
                match (name.as_str(), member.as_str()) {
                    ("expr", Some(text)) => found.push(text.to_owned()),
                    _ => collect(member, found),
                }
            }
        }
        serde_json::Value::Array(members) => members.iter().for_each(|member| collect(member, found)),
        _ => {}
    }
}

/// Runs a checker where the machine has it. What it says is shown when it fails.
fn check(command: &mut Command) {
    match command.output() {
        Ok(output) => assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => eprintln!("{:?} is not here: {error}", command.get_program()),
    }
}

#[test]
fn prometheus_and_systemd_take_the_files() {
    check(
        Command::new("promtool")
            .args(["check", "config", "prometheus.yml"])
            .current_dir(ops().join("prometheus")),
    );
    let directory = tempfile::tempdir().unwrap();
    for unit in ["haca-node.service", "haca-serve.service"] {
        // The binaries are where the packages of this machine do not put them.
        let text = read(&format!("systemd/{unit}"))
            .replace("/usr/local/bin/haca-node", env!("CARGO_BIN_EXE_haca"))
            .replace(
                "/usr/local/bin/haca ",
                &format!("{} ", env!("CARGO_BIN_EXE_haca")),
            );
        let path = directory.path().join(unit);
        std::fs::write(&path, text).unwrap();
        check(Command::new("systemd-analyze").arg("verify").arg(&path));
    }
}

/// The options that the units and the image give exist.
#[test]
fn units_and_image_start_what_there_is() {
    let image = read("docker/Dockerfile");
    assert!(
        image.contains(&format!("cometbft@{}", haca_node::cometbft::COMETBFT_VERSION)),
        "the pinned CometBFT"
    );
    let unit = read("systemd/haca-node.service");
    let arguments = |text: &str| -> Vec<String> {
        text.split(|c: char| c.is_whitespace() || "[]\",".contains(c))
            .filter(|word| word.starts_with("--"))
            .map(str::to_owned)
            .collect()
    };
    let started = unit.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
    let run = image.lines().find(|line| line.starts_with("CMD ")).unwrap();
    let help = haca().args(["node", "start", "--help"]).output().unwrap();
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for option in arguments(started).into_iter().chain(arguments(run)) {
        assert!(help.contains(&option), "haca-node start has no {option}");
    }
}

#[test]
fn validators_propose_and_vote_from_the_command_line() {
    let local = Local::start();
    let account = local.key("treasury.key");
    let on = ["--node", &local.node_url, "--account", account.to_str().unwrap()];
    let home = local.path().join("node");
    let propose = ["validator", "propose", "--home", home.to_str().unwrap()];
    let refused = haca()
        .args(propose)
        .args(["--parameter", "settle_horizon=1"])
        .args(on)
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2), "windows are not voted on");

    let change = ["--parameter", "validators.jail_blocks=77"];
    let (code, told) = json(haca().args(propose).args(change).args(on));
    assert_eq!(code, 0, "{told}");
    let open = |local: &Local| crate::perturb::body(&local.node_url, "/v1/governance").unwrap();
    assert!(
        open(&local).contains("validators.jail_blocks"),
        "{}",
        open(&local)
    );
    // The network's second validator, whose stake is the same account's.
    let file = std::fs::read_to_string(home.join("validators/1.json")).unwrap();
    let other = local.path().join("other");
    std::fs::create_dir_all(other.join("validators")).unwrap();
    std::fs::write(other.join("validators/0.json"), file).unwrap();
    let vote = [
        "validator",
        "vote",
        "--home",
        other.to_str().unwrap(),
        "--proposal",
        "1",
    ];
    let before = open(&local);
    let (code, told) = json(haca().args(vote).args(on));
    assert_eq!(code, 0, "{told}");
    assert_ne!(open(&local), before, "the approval counts");
    let (code, told) = json(haca().args(vote).arg("--withdraw").args(on));
    assert_eq!(code, 0, "{told}");
    let (code, told) = json(
        haca()
            .args(["validator", "vote"])
            .args(&vote[2..5])
            .arg("9")
            .args(on),
    );
    assert_eq!(code, 1, "there is no ninth proposal: {told}");
}

#[test]
fn an_account_stakes_for_a_key_that_lies_elsewhere() {
    let local = Local::start();
    let account = local.key("treasury.key");
    let url = &local.node_url;
    // The machine with the key has the genesis document and no network.
    let signer = local.path().join("signer");
    let (genesis, home) = (local.path().join("node/genesis.json"), signer.to_str().unwrap());
    let made = haca()
        .args([
            "node",
            "init",
            "--home",
            home,
            "--genesis",
            genesis.to_str().unwrap(),
        ])
        .status()
        .unwrap();
    assert!(made.success());
    let address = haca_client::Wallet::load(&account).unwrap().address().to_string();
    let possess = |account: &str| -> serde_json::Value {
        let output = haca()
            .args(["node", "possession", "--home", home, "--account", account])
            .output()
            .unwrap();
        assert!(output.status.success());
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let signed = possess(&address);
    let (key, possession) = (
        signed["key"].as_str().unwrap(),
        signed["possession"].as_str().unwrap(),
    );
    let on = ["--node", url, "--account", account.to_str().unwrap()];
    let amount = "100000000000000";

    let stake = ["validator", "stake", "--key", key, "--amount", amount];
    let (code, told) = json(haca().args(stake).args(on));
    assert_eq!(
        (code, &told["error"]["code"]),
        (2, &"cli.no_possession".into()),
        "{told}"
    );
    // What the key has signed for another account is no consent to this one.
    let other = possess("0x00000000000000000000000000000000000000aa");
    let other = other["possession"].as_str().unwrap();
    let (code, told) = json(haca().args(stake).args(["--possession", other]).args(on));
    assert_ne!(code, 0, "{told}");
    assert!(told.to_string().contains("ledger.possession"), "{told}");

    let (code, shown) = json(haca().args(stake).args(["--possession", possession]).args(on));
    assert_eq!((code, &shown["stake"]), (0, &amount.into()), "{shown}");
    assert_eq!(
        (&shown["jail"], &shown["account"]),
        (&"free".into(), &address.clone().into())
    );
    assert!(shown["power"].as_u64().unwrap() > 0);
    let unstake = ["validator", "unstake", "--home", home, "--amount", amount];
    let (code, shown) = json(haca().args(unstake).args(on));
    assert_eq!(
        (code, &shown["stake"], &shown["power"]),
        (0, &"0".into(), &0.into()),
        "{shown}"
    );
    assert_eq!(shown["leaving"][0]["amount"], amount);
}
