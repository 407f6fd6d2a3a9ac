//! `haca up`: a network that stays.

use std::time::Duration;

use serde_json::json;

use crate::args::Up;
use crate::failure::Failure;
use crate::network::{Network, NetworkFile, Process};
use crate::screen::{Ink, Screen};
use crate::setup;
use crate::signals::Signals;

/// Starts or continues the network of a directory and keeps it until interrupted.
pub(crate) fn run(up: &Up, screen: &Screen) -> Result<u8, Failure> {
    let (network, mut processes) = start(up, screen)?;
    let signals = Signals::catch()?;
    announce(&network, screen);
    wait(signals, &mut processes)?;
    screen.note("stopping");
    for process in processes.iter_mut().rev() {
        process.stop();
    }
    screen.note(format!(
        "stopped; `haca up --data {}` continues",
        up.data.display()
    ));
    Ok(0)
}

fn start(up: &Up, screen: &Screen) -> Result<(Network, Vec<Process>), Failure> {
    let fresh = !up.data.join("network.json").exists();
    let mut network = if fresh {
        let step = screen.step("keys and genesis");
        let network = setup::create(&up.data, &up.engine)?;
        step.done(&network.file.trust);
        network
    } else {
        Network::load(&up.data)?
    };
    if !network.file.nodes.is_empty() {
        return Err(Failure::usage(
            "cli.testnet",
            format!("{} holds a network of several validators", up.data.display()),
            "`haca testnet --dir` continues it; name another directory with --data",
        ));
    }
    if network.file.engine != up.engine && !fresh {
        screen.note(format!(
            "continuing with the {} engine that the network has",
            network.file.engine
        ));
    }
    network.file = NetworkFile {
        node_url: format!("http://{}", up.listen),
        inference_url: format!("http://{}", up.inference_listen),
        ..network.file
    };
    network.save()?;
    if network.file.engine == "dev" {
        screen.note("dev engine: single process, not BFT");
    }
    let step = screen.step("full node");
    let node = network.start_node(&up.listen, true)?;
    step.done(&network.file.node_url);
    let step = screen.step("inference node: model, registration, bond");
    let inference = network.start_inference(&up.inference_listen, true)?;
    step.done(&network.file.inference_url);
    Ok((network, vec![node, inference]))
}

fn announce(network: &Network, screen: &Screen) {
    let dir = network.dir.display();
    screen.object(&json!({
        "node": network.file.node_url,
        "inference_node": network.file.inference_url,
        "trust": network.file.trust,
        "data": network.dir,
    }));
    screen.say(screen.ink(Ink::Bold, "The network is up."));
    screen.say(format!("  full node       {}", network.file.node_url));
    screen.say(format!("  inference node  {}", network.file.inference_url));
    screen.say(format!("  trust           {}", network.file.trust));
    screen.say("Try, in another terminal:");
    screen.say(format!("  haca infer --data {dir}"));
    screen.say(format!("  haca supply --data {dir}"));
    screen.say("Interrupt to stop; the same command continues.");
}

/// How often the processes are looked at.
const POLL: Duration = Duration::from_millis(250);

/// Returns when this process is asked to end; fails when a child ends by itself.
fn wait(mut signals: Signals, processes: &mut [Process]) -> Result<(), Failure> {
    while !signals.arrive_within(POLL) {
        if let Some(death) = processes.iter_mut().find_map(|p| p.ended().map(|_| p.death())) {
            return Err(death);
        }
    }
    Ok(())
}
