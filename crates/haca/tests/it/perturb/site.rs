//! Full nodes as processes on this machine, with links between them that can be cut.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use haca_client::NodeClient;
use haca_node::cometbft::node_id;
use haca_node::home::{Home, join};
use serde_json::Value;

use super::link::{Course, Link};
use super::namespace::Namespaces;
use super::signer::Signer;
use crate::local::{PATIENCE, free_address, haca, json, wait_for};

/// Time between a block and the next height, in milliseconds.
const COMMIT_MS: &str = "200";
/// Blocks between snapshots.
const SNAPSHOT_BLOCKS: &str = "20";
/// A node that ends by itself so often in a row has a reason that goes beyond the perturbation.
const REVIVALS: usize = 5;

/// One full node, running or not.
pub(super) struct FullNode {
    pub(super) home: PathBuf,
    pub(super) url: String,
    rpc: String,
    p2p: String,
    id: String,
    /// Sockets by which it dials the others, by their index; none between hosts of their own.
    links: Vec<(usize, Link)>,
    options: Vec<String>,
    child: Option<Child>,
    /// Whether requests to it may be answered late or not at all.
    perturbed: Arc<AtomicBool>,
}

impl FullNode {
    pub(super) fn client(&self) -> NodeClient {
        NodeClient::new(&self.url)
    }

    /// Height of its newest block, 0 while it does not answer.
    pub(super) fn height(&self) -> u64 {
        self.client().status().map_or(0, |status| status.height.0)
    }

    /// The same for whoever asks from another thread.
    pub(super) fn perturbed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.perturbed)
    }

    pub(super) fn is_perturbed(&self) -> bool {
        self.perturbed.load(Ordering::SeqCst)
    }

    pub(super) fn perturb(&self, perturbed: bool) {
        self.perturbed.store(perturbed, Ordering::SeqCst);
    }

    fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// The process number of its CometBFT.
    fn consensus_pid(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.home.join("cometbft/pid")).ok()?;
        Some(text.trim().to_owned())
    }
}

/// The network's directory and nodes. Everything ends with this value.
pub(super) struct Site {
    pub(super) dir: PathBuf,
    pub(super) trust: String,
    pub(super) chain_id: String,
    pub(super) nodes: Vec<FullNode>,
    pub(super) signer: Option<Signer>,
    /// How often a node was started again because it had ended by itself.
    pub(super) revived: usize,
    /// The hosts of the nodes, where they have their own. Last, as they go when the nodes have.
    namespaces: Option<Namespaces>,
}

impl Site {
    /// Makes a network of validators, the last of which signs by way of a remote signer, and starts it.
    pub(super) fn found(dir: &Path, validators: usize, namespaces: Option<Namespaces>) -> Self {
        let prepare = [
            "testnet",
            "--prepare",
            "--validators",
            &validators.to_string(),
            "--dir",
        ];
        let (code, prepared) = json(haca().args(prepare).arg(dir));
        assert_eq!(code, 0, "{prepared}");
        let mut site = Self {
            dir: dir.to_owned(),
            trust: prepared["trust"].as_str().unwrap().to_owned(),
            chain_id: "haca-local-1".to_owned(),
            nodes: Vec::new(),
            signer: None,
            revived: 0,
            namespaces,
        };
        for index in 0..validators {
            let node = site.node(index, Vec::new());
            site.nodes.push(node);
        }
        let links: Vec<_> = (0..validators).map(|from| site.links(from, validators)).collect();
        for (node, links) in site.nodes.iter_mut().zip(links) {
            node.links = links;
        }
        let last = site.nodes.last_mut().unwrap();
        let socket = last.home.join("signer.sock");
        last.options
            .push(format!("--remote-signer=unix://{}", socket.display()));
        let key = last.home.join("validators/0.json");
        site.signer = Some(Signer::start(&key, &site.chain_id, socket));
        for index in 0..validators {
            site.start(index);
        }
        site
    }

    fn node(&mut self, index: usize, options: Vec<String>) -> FullNode {
        let home = self.dir.join(format!("node-{index}"));
        let id = node_id(&Home::new(&home)).unwrap().to_string();
        let [api, rpc, p2p] = match &mut self.namespaces {
            None => core::array::from_fn(|_| free_address()),
            Some(namespaces) => {
                let host = namespaces.host();
                [7410, 26657, 26656].map(|port| format!("{host}:{port}"))
            }
        };
        FullNode {
            home,
            url: format!("http://{api}"),
            rpc,
            p2p,
            id,
            links: Vec::new(),
            options,
            child: None,
            perturbed: Arc::default(),
        }
    }

    fn links(&self, from: usize, others: usize) -> Vec<(usize, Link)> {
        // Hosts of their own dial each other; what becomes of that is up to their network.
        let others = if self.namespaces.is_some() { 0 } else { others };
        (0..others)
            .filter(|to| *to != from)
            .map(|to| (to, Link::to(&self.nodes[to].p2p)))
            .collect()
    }

    /// Makes a node that takes a snapshot of its peers in place of the blocks before it, and waits until it has.
    pub(super) fn join(&mut self) {
        let index = self.nodes.len();
        let home = Home::new(self.dir.join(format!("node-{index}")));
        join(&home, &self.nodes[0].home.join("genesis.json"), true).unwrap();
        // A block that the others have decided: what a person looks up at somebody they believe.
        let height = self.nodes[0].height().saturating_sub(2).max(1);
        let block = super::audit::block(&self.nodes[0].url, height).unwrap();
        let options = vec![
            format!("--state-sync={},{}", self.nodes[0].rpc, self.nodes[1].rpc),
            format!("--trust={height}:{}", block["hash"].as_str().unwrap()),
        ];
        let mut node = self.node(index, options);
        node.links = self.links(index, index);
        self.nodes.push(node);
        self.start(index);
        self.settle(&format!("the state sync of node {index}"));
    }

    /// Starts a node that does not run.
    pub(super) fn start(&mut self, index: usize) {
        let node = &self.nodes[index];
        let peer = |to: &FullNode, address: &str| format!("{}@{address}", to.id);
        let (peers, mut command): (Vec<String>, _) = match &self.namespaces {
            None => {
                let links = node.links.iter();
                let peers = links.map(|(to, link)| peer(&self.nodes[*to], &link.address));
                (peers.collect(), haca())
            }
            Some(namespaces) => {
                // One that joins dials those that were there before it.
                let others = self.nodes.iter().filter(|other| other.id != node.id);
                let peers = others.map(|to| peer(to, &to.p2p));
                (peers.collect(), namespaces.run(index, &haca()))
            }
        };
        let log = self.dir.join(format!("node-{index}.log"));
        let log = File::options().create(true).append(true).open(log).unwrap();
        let child = command
            .args(["node", "start", "--engine", "cometbft", "--home"])
            .arg(&node.home)
            .args(["--listen", node.url.trim_start_matches("http://")])
            .args(["--comet-rpc", &node.rpc, "--comet-p2p", &node.p2p])
            .args(["--persistent-peer", &peers.join(",")])
            // Else they would find each other past the links.
            .arg("--no-peer-exchange")
            .args(["--commit-ms", COMMIT_MS, "--snapshot-blocks", SNAPSHOT_BLOCKS])
            .args(&node.options)
            .env("HACA_WITH_PARENT", "1")
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            // Signals to the group reach its CometBFT, too.
            .process_group(0)
            .spawn()
            .unwrap();
        self.nodes[index].child = Some(child);
    }

    /// Sends a signal to a node and its CometBFT.
    pub(super) fn signal(&self, index: usize, signal: &str) {
        if let Some(pid) = self.nodes[index].pid() {
            kill(signal, &format!("-{pid}"));
        }
    }

    /// Ends a node at once.
    pub(super) fn kill(&mut self, index: usize) {
        self.signal(index, "KILL");
        self.reap(index);
    }

    /// Ends a node's CometBFT at once.
    pub(super) fn kill_consensus(&mut self, index: usize) {
        if let Some(pid) = self.nodes[index].consensus_pid() {
            kill("KILL", &pid);
        }
        self.reap(index);
    }

    /// Asks a node to end, and waits until it has.
    pub(super) fn stop(&mut self, index: usize) {
        if let Some(pid) = self.nodes[index].pid() {
            kill("TERM", &pid.to_string());
        }
        self.reap(index);
    }

    fn reap(&mut self, index: usize) {
        if let Some(mut child) = self.nodes[index].child.take() {
            let start = Instant::now();
            while child.try_wait().unwrap().is_none() {
                assert!(start.elapsed() < PATIENCE, "node {index} does not end");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Changes what becomes of bytes between the nodes for which `chosen` holds.
    pub(super) fn set_links(&self, course: Course, chosen: impl Fn(usize, usize) -> bool) {
        if let Some(namespaces) = &self.namespaces {
            let nodes = 0..self.nodes.len();
            for (from, to) in nodes
                .clone()
                .flat_map(|from| nodes.clone().map(move |to| (from, to)))
            {
                if from != to && chosen(from, to) {
                    namespaces.set(course, from, to);
                }
            }
        }
        for (from, node) in self.nodes.iter().enumerate() {
            for (to, link) in &node.links {
                if chosen(from, *to) {
                    link.set(course);
                }
            }
        }
    }

    /// Makes each sync of a node's disk take longer, its CometBFT's, too, until the value is dropped. `None` where the
    /// system has no way to do that.
    pub(super) fn slow_disk(&self, index: usize, by: Duration) -> Option<SlowDisk> {
        let node = &self.nodes[index];
        let (pid, consensus) = (node.pid()?.to_string(), node.consensus_pid()?);
        let delay = format!("inject=fsync,fdatasync:delay_enter={}", by.as_micros());
        let mut tracer = Command::new("strace")
            .args([
                "-f",
                "-qq",
                "-o",
                "/dev/null",
                "-e",
                "trace=fsync,fdatasync",
                "-e",
                &delay,
            ])
            .args(["-p", &pid, "-p", &consensus])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        // One that may not look into other processes ends at once.
        std::thread::sleep(Duration::from_millis(300));
        match tracer.try_wait() {
            Ok(None) => Some(SlowDisk(tracer)),
            _ => None,
        }
    }

    /// Starts nodes again that have ended by themselves, as a service manager does.
    fn revive(&mut self) {
        for index in 0..self.nodes.len() {
            let ended = match &mut self.nodes[index].child {
                Some(child) => child.try_wait().unwrap(),
                None => None,
            };
            if let Some(status) = ended {
                self.revived += 1;
                let log = self.dir.join(format!("node-{index}.log"));
                assert!(
                    self.revived <= REVIVALS,
                    "node {index} ended with {status}; its log {} ends with:\n{}",
                    log.display(),
                    end_of(&log)
                );
                self.start(index);
            }
        }
    }

    /// Waits until all nodes keep up and the chain has gone on for two blocks.
    pub(super) fn settle(&mut self, what: &str) {
        let start = Instant::now();
        let mut goal = None;
        loop {
            self.revive();
            let heights: Vec<u64> = self.nodes.iter().map(FullNode::height).collect();
            let (low, high) = (heights.iter().min().unwrap(), heights.iter().max().unwrap());
            let goal = *goal.get_or_insert(high + 2);
            if *low >= goal && self.nodes.iter().all(|node| node.client().is_ready()) {
                return;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "after {what}, heights are {heights:?}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Starts the inference node, which asks the first full node.
    pub(super) fn serve(&self) -> (Inference, String) {
        let address = free_address();
        let log = File::create(self.dir.join("inference.log")).unwrap();
        let child = haca()
            .args(["serve", "--home"])
            .arg(self.dir.join("inference"))
            .args([
                "--node",
                &self.nodes[0].url,
                "--trust",
                &self.trust,
                "--listen",
                &address,
            ])
            .env("HACA_WITH_PARENT", "1")
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let inference = Inference(crate::local::Running(child));
        let url = format!("http://{address}");
        let client = haca_client::InferenceClient::new(&url);
        wait_for("the inference node", || client.is_ready());
        (inference, url)
    }

    /// What the nodes are connected by.
    pub(super) fn connected_by(&self) -> &'static str {
        match self.namespaces {
            Some(_) => "namespaces",
            None => "sockets",
        }
    }

    /// Which CometBFT the network runs, by its own word.
    pub(super) fn consensus_version(&self) -> Value {
        let status = super::audit::get(&format!("http://{}", self.nodes[0].rpc), "/status");
        status.map_or(Value::Null, |status| {
            status["result"]["node_info"]["version"].clone()
        })
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for index in 0..self.nodes.len() {
            if let Some(mut child) = self.nodes[index].child.take() {
                kill("KILL", &format!("-{}", child.id()));
                let _ = child.wait();
            }
        }
    }
}

/// The inference node, which ends with this value.
pub(super) struct Inference(#[expect(dead_code, reason = "held to keep the process")] crate::local::Running);

/// A slow disk, until this value is dropped.
pub(super) struct SlowDisk(Child);

impl Drop for SlowDisk {
    fn drop(&mut self) {
        // Ended like this, the tracer lets go of the processes.
        kill("TERM", &self.0.id().to_string());
        let _ = self.0.wait();
    }
}

/// The last lines of a file.
fn end_of(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

fn kill(signal: &str, target: &str) {
    let _ = Command::new("kill")
        .args([&format!("-{signal}"), "--", target])
        .stderr(Stdio::null())
        .status();
}
