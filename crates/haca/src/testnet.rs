//! `haca testnet`: several validators under CometBFT on this machine, with an inference node beside them.

use std::time::{Duration, Instant};

use haca_node::cometbft::node_id;
use haca_node::home::Home;
use serde_json::json;

use crate::args::Testnet;
use crate::failure::{Exit, Failure};
use crate::network::{Network, NodePlace, Process, free_address};
use crate::screen::{Ink, Screen};
use crate::setup;
use crate::signals::Signals;

/// How often the processes are looked at.
const POLL: Duration = Duration::from_millis(100);
/// A node that lives shorter than this has not started properly.
const SHORT_LIFE: Duration = Duration::from_secs(5);
/// Short lives in a row after which a node is given up.
const MAX_SHORT_LIVES: usize = 3;

/// Starts or continues the network of a directory and keeps it until interrupted.
pub(crate) fn run(testnet: &Testnet, screen: &Screen) -> Result<u8, Failure> {
    let signals = Signals::catch()?;
    let step = screen.step("keys and genesis");
    let network = prepare(testnet)?;
    step.done(&network.file.trust);
    if testnet.prepare {
        described(&network, &[], screen);
        screen.say(format!(
            "`haca testnet --dir {}` starts it",
            testnet.dir.display()
        ));
        return Ok(0);
    }
    let mut nodes = Vec::new();
    let step = screen.step("full nodes");
    for index in 0..network.file.nodes.len() {
        nodes.push(Member::start(&network, index, testnet)?);
    }
    for (member, place) in nodes.iter_mut().zip(&network.file.nodes) {
        member.process.wait_node(&place.url)?;
    }
    step.done(&format!("{} validators", nodes.len()));
    let step = screen.step("inference node: model, registration, bond");
    let listen = network.file.inference_url.trim_start_matches("http://");
    let mut inference = network.start_inference(listen, true)?;
    step.done(&network.file.inference_url);
    announce(&network, &nodes, screen);
    watch(signals, &network, &mut nodes, &mut inference, testnet, screen)?;
    screen.note("stopping");
    inference.stop();
    for member in &nodes {
        member.process.terminate();
    }
    drop(nodes);
    screen.note(format!(
        "stopped; `haca testnet --dir {}` continues",
        testnet.dir.display()
    ));
    Ok(0)
}

/// The directory's network with the addresses of this run.
fn prepare(testnet: &Testnet) -> Result<Network, Failure> {
    let fresh = !testnet.dir.join("network.json").exists();
    let mut network = if fresh {
        setup::create_testnet(&testnet.dir, testnet.validators)?
    } else {
        Network::load(&testnet.dir)?
    };
    if network.file.nodes.is_empty() {
        return Err(Failure::usage(
            "cli.no_testnet",
            format!("{} holds a network of one node", testnet.dir.display()),
            "`haca up` continues it; name another directory with --dir",
        ));
    }
    network.file.inference_url = format!("http://{}", free_address()?);
    let mut places = Vec::with_capacity(network.file.nodes.len());
    for index in 0..network.file.nodes.len() {
        let home = Home::new(network.testnet_home(index));
        places.push(NodePlace {
            url: format!("http://{}", free_address()?),
            rpc: free_address()?,
            p2p: free_address()?,
            id: node_id(&home).map_err(setup::node)?.to_string(),
        });
    }
    network.file.node_url = places.first().map(|first| first.url.clone()).unwrap_or_default();
    network.file.nodes = places;
    network.save()?;
    Ok(network)
}

/// A full node of the network.
struct Member {
    index: usize,
    process: Process,
    since: Instant,
    short_lives: usize,
}

impl Member {
    fn start(network: &Network, index: usize, testnet: &Testnet) -> Result<Self, Failure> {
        Ok(Self {
            index,
            process: start_process(network, index, testnet)?,
            since: Instant::now(),
            short_lives: 0,
        })
    }

    /// Starts a node that has ended again, as the service manager of a real machine does.
    fn revive(&mut self, network: &Network, testnet: &Testnet, screen: &Screen) -> Result<(), Failure> {
        let Some(status) = self.process.ended() else {
            return Ok(());
        };
        self.short_lives = match self.since.elapsed() < SHORT_LIFE {
            true => self.short_lives.saturating_add(1),
            false => 0,
        };
        if self.short_lives >= MAX_SHORT_LIVES {
            return Err(self.process.death());
        }
        screen.note(format!(
            "full node {} ended with {status} and is started again",
            self.index
        ));
        self.process = start_process(network, self.index, testnet)?;
        self.since = Instant::now();
        Ok(())
    }
}

fn start_process(network: &Network, index: usize, testnet: &Testnet) -> Result<Process, Failure> {
    let place = network.file.nodes.get(index).ok_or_else(|| {
        Failure::new(
            Exit::Failure,
            "cli.no_testnet",
            format!("there is no node {index}"),
            "`haca testnet` writes network.json anew",
        )
    })?;
    let peers: Vec<String> = (network.file.nodes.iter().enumerate())
        .filter(|(other, _)| *other != index)
        .map(|(_, peer)| format!("{}@{}", peer.id, peer.p2p))
        .collect();
    let listen = place.url.trim_start_matches("http://");
    let (peers, commit_ms) = (peers.join(","), testnet.blocks_ms.to_string());
    let mut arguments = vec!["--engine", "cometbft", "--listen", listen];
    arguments.extend(["--comet-rpc", &place.rpc, "--comet-p2p", &place.p2p]);
    arguments.extend(["--commit-ms", &commit_ms]);
    if !peers.is_empty() {
        arguments.extend(["--persistent-peer", &peers]);
    }
    if let Some(version) = &testnet.comet_version {
        arguments.extend(["--comet-version", version]);
    }
    let home = network.testnet_home(index);
    let mut paths = vec![
        "node".as_ref(),
        "start".as_ref(),
        "--home".as_ref(),
        home.as_os_str(),
    ];
    if let Some(binary) = &testnet.cometbft {
        paths.extend(["--cometbft".as_ref(), binary.as_os_str()]);
    }
    let log = network.dir.join(format!("logs/node-{index}.log"));
    Process::start("full node", &log, &paths, &arguments, true)
}

/// Prints all addresses, and the process of each node that runs.
fn described(network: &Network, nodes: &[Member], screen: &Screen) {
    let node = |(index, place): (usize, &NodePlace)| {
        json!({
            "url": place.url,
            "rpc": format!("http://{}", place.rpc),
            "p2p": format!("{}@{}", place.id, place.p2p),
            "home": network.testnet_home(index),
            "pid": nodes.get(index).map(|member| member.process.id()),
        })
    };
    screen.line(&json!({
        "nodes": network.file.nodes.iter().enumerate().map(node).collect::<Vec<_>>(),
        "node": network.file.node_url,
        "inference_node": network.file.inference_url,
        "trust": network.file.trust,
        "data": network.dir,
    }));
}

fn announce(network: &Network, nodes: &[Member], screen: &Screen) {
    described(network, nodes, screen);
    screen.say(screen.ink(Ink::Bold, "The network is up."));
    for (member, place) in nodes.iter().zip(&network.file.nodes) {
        screen.say(format!(
            "  validator {:<5} {}, process {}, {}",
            member.index,
            place.url,
            member.process.id(),
            network.testnet_home(member.index).display()
        ));
    }
    screen.say(format!("  inference node  {}", network.file.inference_url));
    screen.say(format!("  trust           {}", network.file.trust));
    screen.say("Try, in another terminal:");
    let dir = network.dir.display();
    screen.say(format!("  haca infer --data {dir}"));
    screen.say(format!("  haca supply --data {dir}"));
    if let Some(last) = nodes.last() {
        screen.say(format!(
            "  kill -9 {}    the rest goes on, and the node comes back",
            last.process.id()
        ));
    }
    screen.say("Interrupt to stop; the same command continues.");
}

/// Returns when this process is asked to end. Full nodes that end are started again.
fn watch(
    mut signals: Signals,
    network: &Network,
    nodes: &mut [Member],
    inference: &mut Process,
    testnet: &Testnet,
    screen: &Screen,
) -> Result<(), Failure> {
    while !signals.arrive_within(POLL) {
        for member in nodes.iter_mut() {
            member.revive(network, testnet, screen)?;
        }
        if inference.ended().is_some() {
            return Err(inference.death());
        }
    }
    Ok(())
}
