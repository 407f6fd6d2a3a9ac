//! An upgrade on a running network of four validators: voted for, awaited, and gone through by those who know it. Beside
//! them a shadow, which finds every state to be its own, and one that does not.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use haca_node::{
    Genesis,
    cometbft::node_id,
    engine::ValidatorKey,
    home::{Home, init_network, join, standard_app_state},
    store::Store,
};
use haca_wire::{
    AssetId, ConsensusKey, Height, Message, Proposal, ProposalId,
    state::{Entry, key},
};
use serde_json::Value;

use super::{
    cometbft::require_cometbft,
    engine::{time, wait},
    ledger::{CHAIN_NUMBER, holder, signed},
    snapshot::free,
};

/// The rules that no release knows.
const NEXT: u64 = haca_ledger::LATEST_VERSION + 1;
const NODES: usize = 4;

/// A network whose timelock is a few blocks.
struct Network {
    directory: tempfile::TempDir,
    genesis: Genesis,
    homes: Vec<Home>,
    listen: Vec<String>,
    rpc: Vec<String>,
    p2p: Vec<String>,
    sent: u64,
}

/// A node's process, ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn app_state(validators: &[ConsensusKey]) -> Value {
    let mut state = standard_app_state(CHAIN_NUMBER, holder().address(), validators);
    for window in [
        "settle_horizon",
        "grace",
        "claim_window",
        "demand_window",
        "signer_grace",
    ] {
        state["params"][window] = 1.into();
    }
    state["params"]["unbonding"] = 3.into();
    state["params"]["governance"]["timelock"] = 3.into();
    state
}

impl Network {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let homes: Vec<Home> = (0..NODES)
            .map(|index| Home::new(directory.path().join(index.to_string())))
            .collect();
        let genesis = init_network(&homes, "haca-upgrade", time(0), app_state).unwrap();
        let addresses = || (0..NODES).map(|_| free().to_string()).collect::<Vec<_>>();
        Self {
            genesis,
            homes,
            listen: addresses(),
            rpc: addresses(),
            p2p: addresses(),
            sent: 0,
            directory,
        }
    }

    /// Starts a node with more arguments; returns once its API answers.
    fn start(&self, index: usize, more: &[&str]) -> Running {
        let peers: Vec<String> = (0..NODES)
            .filter(|other| *other != index)
            .map(|other| format!("{}@{}", node_id(&self.homes[other]).unwrap(), self.p2p[other]))
            .collect();
        let log = std::fs::File::create(self.log(index)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_haca-node"))
            .args(["start", "--engine", "cometbft", "--commit-ms", "100", "--home"])
            .arg(self.homes[index].path())
            .args(["--listen", &self.listen[index], "--comet-rpc", &self.rpc[index]])
            .args([
                "--comet-p2p",
                &self.p2p[index],
                "--persistent-peer",
                &peers.join(","),
            ])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut running = Running(child);
        let mut line = String::new();
        BufReader::new(running.0.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        running
    }

    fn log(&self, index: usize) -> PathBuf {
        self.directory.path().join(format!("{index}.log"))
    }

    fn get(&self, index: usize, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(&self.listen[index]).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.contains(" 200 ").then(|| serde_json::from_str(body).ok())?
    }

    fn height(&self, index: usize) -> u64 {
        let status = self.get(index, "/v1/status");
        status.and_then(|status| status["height"].as_u64()).unwrap_or(0)
    }

    /// Sends a message of the account that staked for all validators, and waits until it has taken effect.
    fn send(&mut self, message: Message) {
        self.sent += 1;
        let mut nonce = [0; 32];
        nonce[..8].copy_from_slice(&self.sent.to_be_bytes());
        let bytes = signed(&self.genesis, nonce, self.height(0) + 300, message);
        let mut stream = TcpStream::connect(&self.listen[0]).unwrap();
        let head = format!("POST /v1/tx HTTP/1.0\r\nContent-Length: {}\r\n\r\n", bytes.len());
        stream.write_all(&[head.as_bytes(), &bytes].concat()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        let hash: Value = serde_json::from_str(body).unwrap();
        let path = format!("/v1/tx/{}", hash["tx_hash"].as_str().expect(&answer));
        let outcome = wait(|| self.get(0, &path));
        assert_eq!(outcome["code"], 0, "{outcome}");
    }

    fn key(&self, index: usize) -> ConsensusKey {
        let path = self.homes[index].validators().join("0.json");
        ConsensusKey(ValidatorKey::read(&path).unwrap().public())
    }

    /// Votes an upgrade in, and returns its height.
    fn vote_upgrade(&mut self) -> u64 {
        let height = self.height(0) + 60;
        let proposal = Proposal::Upgrade {
            version: NEXT,
            height: Height(height),
        };
        let key = self.key(0);
        self.send(Message::Propose { key, proposal });
        for voter in [1, 2] {
            self.send(Message::Vote {
                key: self.key(voter),
                proposal: ProposalId(1),
                approve: true,
            });
        }
        let rules = &self.get(0, "/v1/governance").unwrap()["rules"];
        assert_eq!(rules["upgrade"]["height"], height, "{rules}");
        assert_eq!(rules["version"], 1);
        height
    }

    /// The height and the application hash that a node has committed; it must not be running.
    fn committed(&self, index: usize) -> (u64, [u8; 32]) {
        let store = Store::open(&self.homes[index].state(), self.genesis.hash(), 100).unwrap();
        let tip = store.tip().unwrap();
        (tip.height, tip.app_hash)
    }

    /// Runs a shadow of node 0 to its end.
    fn shadow(&self, home: &Path, until: u64) -> Output {
        Command::new(env!("CARGO_BIN_EXE_haca-node"))
            .args([
                "shadow",
                "--rpc",
                &self.rpc[0],
                "--until",
                &until.to_string(),
                "--home",
            ])
            .arg(home)
            .output()
            .unwrap()
    }
}

/// Replaces one account's balance in a stopped shadow's state.
fn falsify(network: &Network, home: &Path) {
    let store = Store::open(&Home::new(home).state(), network.genesis.hash(), 100).unwrap();
    let view = store.view().unwrap();
    let place = key::balance(holder().address(), AssetId::OPG);
    let value = view.get(&place).unwrap().unwrap();
    let Entry::Balance(_, _, amount) = Entry::decode(&place, &value).unwrap() else {
        panic!("no balance")
    };
    let more = haca_wire::Encode::encode(&haca_wire::Amount(amount.0 + 1));
    let height = view.tip().height + 1;
    drop(view);
    let staged = store.stage(height, vec![(place, Some(more))]).unwrap();
    store.commit(staged, &Default::default()).unwrap();
}

#[test]
fn four_validators_stop_before_an_upgrade_and_go_on_with_a_release_that_knows_it() {
    require_cometbft();
    let mut network = Network::new();
    let mut nodes: Vec<Running> = (0..NODES).map(|index| network.start(index, &[])).collect();
    wait(|| (network.height(0) > 1).then_some(()));
    let shadow = network.directory.path().join("shadow");
    join(&Home::new(&shadow), &network.homes[0].genesis(), true).unwrap();
    let beside = network.shadow(&shadow, 2);
    let told: Value = serde_json::from_slice(&beside.stdout).unwrap();
    assert_eq!(
        (&told["blocks"], &told["equal"]),
        (&2.into(), &true.into()),
        "{told}"
    );

    let at = network.vote_upgrade();
    let compared = network.height(0) - 1;
    let beside = network.shadow(&shadow, compared);
    let told: Value = serde_json::from_slice(&beside.stdout).unwrap();
    assert_eq!(told["height"], compared, "with the votes in it: {told}");
    // A shadow that computes another state says where.
    falsify(&network, &shadow);
    let beside = network.shadow(&shadow, compared + 2);
    let told = String::from_utf8_lossy(&beside.stderr).into_owned();
    assert!(
        !beside.status.success() && told.contains("error[node.app_hash]"),
        "{told}"
    );

    // Nobody knows the new rules: whoever has the last block before them stops. A node that had it not when the others
    // stopped waits for it, and stands below.
    let stopped = wait(|| {
        let stops = |(index, node): (usize, &mut Running)| Some((index, node.0.try_wait().unwrap()?));
        nodes.iter_mut().enumerate().find_map(stops)
    });
    let told = std::fs::read_to_string(network.log(stopped.0)).unwrap();
    assert!(
        !stopped.1.success() && told.contains("ledger.unknown_version"),
        "{}: {told}",
        stopped.1
    );
    drop(nodes);
    let committed: Vec<_> = (0..NODES).map(|index| network.committed(index)).collect();
    let first = committed.iter().find(|(height, _)| *height == at - 1).unwrap();
    for (height, app_hash) in &committed {
        assert!(
            *height < at && (*height < at - 1 || *app_hash == first.1),
            "{committed:?}"
        );
    }
    let output = Command::new(env!("CARGO_BIN_EXE_haca-node"))
        .args([
            "start",
            "--engine",
            "cometbft",
            "--listen",
            "127.0.0.1:0",
            "--home",
        ])
        .arg(network.homes[stopped.0].path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("error[ledger.unknown_version]") && told.contains("hint: "),
        "{told}"
    );

    // A release that knows them starts on the same directories, and the chain goes on.
    let known = NEXT.to_string();
    let nodes: Vec<Running> = (0..NODES)
        .map(|index| network.start(index, &["--rehearse-version", &known]))
        .collect();
    network.send(Message::Transfer {
        to: haca_wire::Address([9; 20]),
        asset: AssetId::OPG,
        amount: haca_wire::Amount(1),
    });
    let height = network.height(0);
    assert!(height >= at, "{height}");
    let rules = &network.get(0, "/v1/status").unwrap()["rules"];
    assert_eq!((&rules["version"], &rules["known"]), (&NEXT.into(), &NEXT.into()));
    let hashes: Vec<Value> = (0..NODES)
        .map(|index| {
            let block = wait(|| network.get(index, &format!("/v1/block/{height}")));
            block["header"]["app_hash"].clone()
        })
        .collect();
    assert!(
        hashes.iter().all(|hash| hash.is_string() && *hash == hashes[0]),
        "{hashes:?}"
    );
    drop(nodes);
}
