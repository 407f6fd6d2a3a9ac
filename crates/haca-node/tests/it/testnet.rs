//! Four validators through CometBFT, each a process of its own on loopback ports.

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
    home::{Home, init_network, standard_app_state},
    loopback,
    store::Store,
};
use haca_wire::{ConsensusKey, Message};
use serde_json::{Value, json};

use super::{
    engine::{time, wait},
    ledger::{CHAIN_NUMBER, holder, signed},
};

pub(crate) const NODES: usize = 4;

/// A network whose timelock is a few blocks.
pub(crate) struct Network {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) genesis: Genesis,
    pub(crate) homes: Vec<Home>,
    listen: Vec<String>,
    rpc: Vec<String>,
    p2p: Vec<String>,
    sent: u64,
}

/// A node's process, ended with the test.
pub(crate) struct Running(pub(crate) Child);

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
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let homes: Vec<Home> = (0..NODES)
            .map(|index| Home::new(directory.path().join(index.to_string())))
            .collect();
        let genesis = init_network(&homes, "haca-upgrade", time(0), app_state).unwrap();
        let address = |_| loopback::reserve().unwrap().to_string();
        let addresses = || (0..NODES).map(address).collect::<Vec<_>>();
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
    pub(crate) fn start(&self, index: usize, more: &[&str]) -> Running {
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

    pub(crate) fn log(&self, index: usize) -> PathBuf {
        self.directory.path().join(format!("{index}.log"))
    }

    pub(crate) fn get(&self, index: usize, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(&self.listen[index]).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.contains(" 200 ").then(|| serde_json::from_str(body).ok())?
    }

    pub(crate) fn height(&self, index: usize) -> u64 {
        let status = self.get(index, "/v1/status");
        status.and_then(|status| status["height"].as_u64()).unwrap_or(0)
    }

    /// Sends a message of the account that staked for all validators, and waits until it has taken effect.
    pub(crate) fn send(&mut self, message: Message) {
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

    pub(crate) fn key(&self, index: usize) -> ConsensusKey {
        let path = self.homes[index].validators().join("0.json");
        ConsensusKey(ValidatorKey::read(&path).unwrap().public())
    }

    /// The height and the application hash that a node has committed; it must not be running.
    pub(crate) fn committed(&self, index: usize) -> (u64, [u8; 32]) {
        let store = Store::open(&self.homes[index].state(), self.genesis.hash(), 100).unwrap();
        let tip = store.tip().unwrap();
        (tip.height, tip.app_hash)
    }

    /// What a node's CometBFT answers.
    pub(crate) fn rpc(&self, index: usize, method: &str, params: &Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let head = format!(
            "POST / HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(&self.rpc[index]).unwrap();
        stream.write_all((head + &body).as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }

    /// Runs a shadow of node 0 to its end.
    pub(crate) fn shadow(&self, home: &Path, until: u64) -> Output {
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
