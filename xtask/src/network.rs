//! A real network, looked at from outside: by the command line, by the WebAssembly module and by Python.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::step::{probe, run_lines, say, step};
use crate::suite::Count;
use crate::workspace::Workspace;

/// Inferences ordered: two in one channel, so that one settlement follows another.
const ROWS: &[&str] = &["3", "4"];
/// Who is sent something by the wallet libraries.
const RECEIVER: &str = "0x00000000000000000000000000000000000000aa";

/// What looks at the network from outside.
pub(crate) struct Onlookers {
    /// A Python interpreter with the packages of `spec/requirements.txt`.
    pub(crate) python: PathBuf,
    /// The WebAssembly module.
    pub(crate) module: PathBuf,
    /// The directory with the wallet libraries of npm.
    pub(crate) wallets: PathBuf,
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
    for (name, signer) in signers(workspace, onlookers)? {
        step(&format!("send a transaction signed with {name}"), || {
            transfer(&haca, &directory, &network, signer)
        })?;
        count.passed = count.passed.saturating_add(1);
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

/// Programs that read typed data on stdin, sign it with the key in the file that their argument names, and print the
/// signature.
fn signers(workspace: &Workspace, onlookers: &Onlookers) -> Result<[(&'static str, Command); 2]> {
    let sources = workspace.root.join("spec").join("wallets");
    // Node.js finds packages beside the script.
    let script = onlookers.wallets.join("sign.mjs");
    std::fs::copy(sources.join("sign.mjs"), &script)?;
    let mut viem = Command::new("node");
    viem.arg(script);
    let mut eth_account = Command::new(&onlookers.python);
    eth_account.arg("-B").arg(sources.join("sign.py"));
    Ok([("viem", viem), ("eth_account", eth_account)])
}

/// Drafts a transfer from the user's account, has a wallet sign it, and sends it.
fn transfer(haca: &Path, directory: &Path, network: &Network, mut signer: Command) -> Result<()> {
    let key = directory.join("user").join("wallet.key");
    let on = ["--node", &network.node, "--trust", &network.trust];
    let address = wallet(signer.arg(&key), "")?;
    let draft = json(
        Command::new(haca)
            .args(["tx", "draft", "--json", "--quiet", "--from", &address])
            .args(on)
            .args(["transfer", "--to", RECEIVER, "--amount", "7"]),
    )?;
    let signature = wallet(&mut signer, &draft["typed_data"].to_string())?;
    let transaction = draft["transaction"]
        .as_str()
        .context("`haca tx draft` prints bytes")?;
    let sent = json(
        Command::new(haca)
            .args(["tx", "send", "--json", "--quiet", "--transaction", transaction])
            .args(["--signature", &signature])
            .args(on),
    )?;
    ensure!(sent["message"] == "Transfer", "`haca tx send` says {sent}");
    Ok(())
}

/// Gives a wallet a document on stdin and returns the line it prints: the signature, or its address without a document.
fn wallet(signer: &mut Command, document: &str) -> Result<String> {
    let mut child = signer.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().context("stdin is piped")?;
    stdin.write_all(document.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "the wallet ended with {}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
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
pub(crate) fn json(command: &mut Command) -> Result<Value> {
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
pub(crate) fn free_address() -> Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .to_string())
}
