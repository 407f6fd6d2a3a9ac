//! Wallet libraries as they are published: viem and MetaMask's from npm, eth_account from PyPI. Each signs every kind of
//! value that accounts sign, and recovers our signatures.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::step::{run, run_lines, step};
use crate::suite::Count;
use crate::workspace::{Workspace, cargo};

/// The libraries, as the scripts name what they sign with each.
const LIBRARIES: &[&str] = &["viem", "metamask", "eth_account"];

/// Has the libraries sign and recover, and the wire format judge what they signed.
pub(crate) fn check(workspace: &Workspace, python: &Path) -> Result<Count> {
    let directory = install(workspace)?;
    let cases = directory.join("cases.json");
    step("write what wallets sign", || {
        run(example(workspace).arg("write").arg(&cases))
    })?;
    let mut total = Count::default();
    let script = |name: &str| workspace.root.join("spec").join("wallets").join(name);
    // Node.js finds packages beside the script.
    std::fs::copy(script("wallets.mjs"), directory.join("wallets.mjs"))?;
    let mut node = Command::new("node");
    node.arg(directory.join("wallets.mjs"));
    let mut in_python = Command::new(python);
    in_python.arg("-B").arg(script("wallets.py"));
    for (name, mut command) in [("Node.js", node), ("Python", in_python)] {
        command.arg(&cases).arg(&directory);
        total.add(step(&format!("sign and recover in {name}"), || {
            counted(&mut command)
        })?);
    }
    let mut judge = example(workspace);
    judge.arg("check").arg(&cases);
    judge.args(
        LIBRARIES
            .iter()
            .map(|name| directory.join(format!("{name}.json"))),
    );
    total.add(step("check what they signed", || counted(&mut judge))?);
    Ok(total)
}

fn example(workspace: &Workspace) -> Command {
    let mut command = cargo();
    command.args(["run", "--locked", "--quiet", "--package", "haca-wire"]);
    command.args(["--example", "wallets", "--"]);
    command.current_dir(&workspace.root);
    command
}

/// Installs the packages of the lock file, once for each content of it, and returns the directory.
pub(crate) fn install(workspace: &Workspace) -> Result<PathBuf> {
    let sources = workspace.root.join("spec").join("wallets");
    let directory = workspace.target.join("wallets");
    let stamp = directory.join("installed.json");
    let wanted = std::fs::read(sources.join("package-lock.json"))?;
    if std::fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(directory);
    }
    std::fs::create_dir_all(&directory)?;
    for name in ["package.json", "package-lock.json"] {
        std::fs::copy(sources.join(name), directory.join(name))?;
    }
    step("install wallet libraries", || {
        let mut npm = Command::new("npm");
        npm.args([
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ]);
        run(npm.current_dir(&directory)).context("Node.js 20 or later with npm is needed")
    })?;
    std::fs::write(&stamp, wanted)?;
    Ok(directory)
}

fn counted(command: &mut Command) -> Result<Count> {
    let (status, lines) = run_lines(command)?;
    let count = lines.iter().rev().find_map(|line| Count::from_line(line));
    let count = count.with_context(|| format!("ended with {status} and printed no counts"))?;
    ensure!(status.success() || count.failed > 0, "ended with {status}");
    Ok(count)
}
