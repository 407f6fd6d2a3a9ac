//! A real network, looked at from outside: by the command line, by the WebAssembly module and by Python.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::step::{probe, run_lines, say, step};
use crate::suite::Count;
use crate::workspace::Workspace;

/// Inferences ordered: two in one channel, so that one settlement follows another.
const ROWS: &[&str] = &["3", "4"];

/// What looks at the network from outside.
pub(crate) struct Onlookers {
    /// A Python interpreter with the packages of `spec/requirements.txt`.
    pub(crate) python: PathBuf,
    /// The WebAssembly module.
    pub(crate) module: PathBuf,
}

/// A network that ends with this value.
struct Network {
    child: Child,
    node: String,
    trust: String,
}

impl Drop for Network {
    fn drop(&mut self) {
        // The command stops its own processes when asked to; killed, it would leave them behind.
        probe(Command::new("kill").args(["-TERM", &self.child.id().to_string()]));
        let _ = self.child.wait();
    }
}

/// Starts a network with `haca up`, orders inferences, and has the outcome verified and the chain audited.
pub(crate) fn check(workspace: &Workspace, onlookers: &Onlookers) -> Result<Count> {
    workspace.build_binaries()?;
    let haca = workspace.target.join("debug").join("haca");
    let directory = workspace.target.join("network");
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    let network = step("start a network", || start(&haca, &directory))?;
    let mut count = Count::default();
    for row in ROWS {
        let order = json(
            Command::new(&haca)
                .args(["infer", "--json", "--quiet", "--row", row, "--data"])
                .arg(&directory),
        )?;
        let bundle = order["files"]["bundle"]
            .as_str()
            .context("`haca infer` names the bundle")?;
        verify(&haca, bundle, &network.trust, onlookers)?;
        count.passed = count.passed.saturating_add(2);
    }
    let (status, lines) = step("audit its chain in Python", || {
        let mut audit = Command::new(&onlookers.python);
        audit.arg("-B").arg(workspace.root.join("spec").join("audit.py"));
        run_lines(audit.args(["--node", &network.node, "--trust", &network.trust]))
    })?;
    let audited = lines.iter().rev().find_map(|line| Count::from_line(line));
    count.add(audited.with_context(|| format!("the audit ended with {status} and printed no counts"))?);
    Ok(count)
}

/// Verifies a bundle with the command line, then in WebAssembly.
fn verify(haca: &Path, bundle: &str, trust: &str, onlookers: &Onlookers) -> Result<()> {
    let report = json(Command::new(haca).args(["verify", "--json", "--quiet", bundle, "--trust", trust]))?;
    ensure!(
        report["outcome"] == "verified",
        "`haca verify` says {}",
        report["outcome"]
    );
    let script = "crates/haca-wasm/verify.mjs";
    let mut node = Command::new("node");
    node.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(script));
    let report = json(node.arg(&onlookers.module).args([bundle, trust]))?;
    ensure!(
        report["outcome"] == "verified",
        "WebAssembly says {}",
        report["outcome"]
    );
    say(&format!("{bundle}: verified twice"));
    Ok(())
}

fn start(haca: &Path, directory: &Path) -> Result<Network> {
    let mut up = Command::new(haca);
    up.args([
        "up",
        "--json",
        "--quiet",
        "--listen",
        &free_address()?,
        "--inference-listen",
        &free_address()?,
    ]);
    let mut child = up
        .arg("--data")
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = BufReader::new(child.stdout.take().context("stdout is piped")?);
    let mut network = Network {
        child,
        node: String::new(),
        trust: String::new(),
    };
    let mut text = String::new();
    let ready: Value = loop {
        if output.read_line(&mut text)? == 0 {
            bail!(
                "`haca up` ended before the network was ready; logs are in {}",
                directory.display()
            );
        }
        if let Ok(value) = serde_json::from_str(&text) {
            break value;
        }
    };
    // Whatever it still prints has to go somewhere.
    std::thread::spawn(move || output.read_to_end(&mut Vec::new()));
    network.node = ready["node"]
        .as_str()
        .context("`haca up` names the full node")?
        .to_owned();
    network.trust = ready["trust"]
        .as_str()
        .context("`haca up` names the genesis hash")?
        .to_owned();
    Ok(network)
}

/// Runs a command that must succeed, and reads the JSON it prints.
fn json(command: &mut Command) -> Result<Value> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "{:?} ended with {}: {text}",
        command.get_program(),
        output.status
    );
    serde_json::from_str(&text).with_context(|| format!("not one JSON object: {text}"))
}

/// A free port of the loopback address.
fn free_address() -> Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .to_string())
}
