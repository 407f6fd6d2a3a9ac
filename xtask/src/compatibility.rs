//! What stands beside the pinned CometBFT: other versions of it, and a signer in a process of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::cometbft;
use crate::network::{free_address, json};
use crate::step::{probe, say, step};
use crate::suite::Count;
use crate::workspace::Workspace;

/// Versions of CometBFT that the node starts and settles under, beside the pinned one.
const VERSIONS: [&str; 2] = ["v0.38.25", "v0.40.0"];
/// How long something may take to happen.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// A process that ends with this value, asked nicely first.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        probe(Command::new("kill").args(["-TERM", &self.0.id().to_string()]));
        let start = Instant::now();
        while matches!(self.0.try_wait(), Ok(None)) && start.elapsed() < PATIENCE {
            std::thread::sleep(POLL);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Settles a proof under each version, then lets a remote signer decide blocks.
pub(crate) fn check(workspace: &Workspace) -> Result<Count> {
    workspace.build_binaries()?;
    let mut count = Count::default();
    let mut hold = |name: &str, work: &dyn Fn() -> Result<()>| match step(name, work) {
        Ok(()) => count.passed += 1,
        Err(error) => {
            say(&format!("error: {error:#}"));
            count.failed += 1;
        }
    };
    for version in VERSIONS {
        hold(&format!("settle under CometBFT {version}"), &|| {
            settle(workspace, version)
        });
    }
    hold("decide blocks with a remote signer", &|| sign(workspace));
    Ok(count)
}

/// A directory of its own below `target`, empty.
fn directory(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let directory = workspace.target.join("compatibility").join(name);
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}

fn haca(workspace: &Workspace) -> Command {
    Command::new(workspace.target.join("debug").join("haca"))
}

/// Runs a network under another version, orders an inference, and verifies its settlement.
fn settle(workspace: &Workspace, version: &str) -> Result<()> {
    let binary = cometbft::install(workspace, version)?;
    let directory = directory(workspace, version)?;
    let mut child = haca(workspace)
        .args([
            "testnet",
            "--json",
            "--quiet",
            "--validators",
            "2",
            "--blocks-ms",
            "200",
        ])
        .args(["--comet-version", version, "--cometbft"])
        .arg(binary)
        .arg("--dir")
        .arg(&directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().context("stdout is piped")?;
    let _running = Running(child);
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let network: Value = serde_json::from_str(&line).context("the network starts")?;
    let trust = network["trust"].as_str().context("a genesis hash")?;
    let order = json(
        haca(workspace)
            .args(["infer", "--json", "--quiet", "--data"])
            .arg(&directory),
    )?;
    let bundle = order["files"]["bundle"].as_str().context("a bundle")?;
    let report = json(haca(workspace).args(["verify", "--json", "--quiet", bundle, "--trust", trust]))?;
    ensure!(
        report["outcome"] == "verified",
        "`haca verify` says {}",
        report["outcome"]
    );
    Ok(())
}

/// Runs a validator whose key only CometBFT's own signer has: with it there are blocks, without it there are none.
fn sign(workspace: &Workspace) -> Result<()> {
    let comet = cometbft::ensure(workspace)?;
    let program = cometbft::signer(workspace)?;
    let directory = directory(workspace, "signer")?;
    json(
        haca(workspace)
            .args([
                "testnet",
                "--prepare",
                "--json",
                "--quiet",
                "--validators",
                "1",
                "--dir",
            ])
            .arg(&directory),
    )?;
    let home = directory.join("node-0");
    let key = directory.join("key.json");
    std::fs::rename(home.join("validators").join("0.json"), &key)?;
    let state = directory.join("state.json");
    std::fs::write(&state, r#"{"height":"0","round":0,"step":0}"#)?;
    let socket = directory.join("signer.sock");
    let address = format!("unix://{}", socket.display());
    let listen = free_address()?;
    let _node = Running(
        haca(workspace)
            .args([
                "node",
                "start",
                "--engine",
                "cometbft",
                "--commit-ms",
                "200",
                "--cometbft",
            ])
            .arg(comet)
            .args(["--remote-signer", &address, "--listen", &listen, "--home"])
            .arg(&home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?,
    );
    let signer = || -> Result<Running> {
        let mut command = Command::new(&program);
        command.args(["-addr", &address, "-chain-id", "haca-local-1", "-priv-key"]);
        command.arg(&key).arg("-priv-state").arg(&state);
        Ok(Running(
            command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?,
        ))
    };
    // It dials for a second and then never again.
    wait("CometBFT listens for its signer", || socket.exists())?;
    let first = signer()?;
    wait("blocks", || height(&listen) > 3)?;
    drop(first);
    let stopped = settled_height(&listen)?;
    ensure!(height(&listen) == stopped, "there are blocks without a signer");
    let _second = signer()?;
    wait("blocks with the signer back", || height(&listen) > stopped + 2)
}

/// The height once it does not move any more.
fn settled_height(listen: &str) -> Result<u64> {
    let start = Instant::now();
    let mut last = height(listen);
    loop {
        std::thread::sleep(Duration::from_secs(3));
        let now = height(listen);
        if now == last {
            return Ok(now);
        }
        ensure!(start.elapsed() < PATIENCE, "there are blocks without a signer");
        last = now;
    }
}

fn wait(what: &str, ready: impl Fn() -> bool) -> Result<()> {
    let start = Instant::now();
    while !ready() {
        if start.elapsed() > PATIENCE {
            bail!("{what}: not within {} s", PATIENCE.as_secs());
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// The height of a full node, 0 while it does not answer.
fn height(listen: &str) -> u64 {
    let ask = || -> Option<u64> {
        let mut stream = TcpStream::connect(listen).ok()?;
        write!(stream, "GET /v1/status HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        serde_json::from_str::<Value>(body).ok()?["height"].as_u64()
    };
    ask().unwrap_or(0)
}
