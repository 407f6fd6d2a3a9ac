//! The pinned CometBFT, installed where it is missing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::step::{probe, run, step};
use crate::workspace::Workspace;

/// The version that the consensus driver is written and tested against.
const VERSION: &str = "v0.39.4";
const PACKAGE: &str = "github.com/cometbft/cometbft/cmd/cometbft";
/// Its signer in a process of its own.
const SIGNER: &str = "github.com/cometbft/cometbft/cmd/priv_val_server";

/// Returns the path of the pinned binary: the one on PATH, in Go's directory or in `target/tools`, or else a new one.
pub(crate) fn ensure(workspace: &Workspace) -> Result<PathBuf> {
    let tools = workspace.target.join("tools");
    let mut places: Vec<PathBuf> =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    places.extend(probe(Command::new("go").args(["env", "GOPATH"])).map(|path| Path::new(&path).join("bin")));
    places.push(tools.clone());
    let found = places
        .into_iter()
        .map(|place| place.join("cometbft"))
        .find(|path| is_of(path, VERSION));
    if let Some(path) = found {
        return Ok(path);
    }
    build(&tools, PACKAGE, VERSION)
}

/// Returns the path of another version, which is installed beside the tools.
pub(crate) fn install(workspace: &Workspace, version: &str) -> Result<PathBuf> {
    let tools = workspace.target.join("tools").join(version);
    let path = tools.join("cometbft");
    if is_of(&path, version) {
        return Ok(path);
    }
    build(&tools, PACKAGE, version)
}

/// Returns the path of the signer that comes with the pinned version.
pub(crate) fn signer(workspace: &Workspace) -> Result<PathBuf> {
    let tools = workspace.target.join("tools");
    let path = tools.join("priv_val_server");
    if is_of(&path, VERSION) {
        return Ok(path);
    }
    build(&tools, SIGNER, VERSION)
}

fn build(tools: &Path, package: &str, version: &str) -> Result<PathBuf> {
    let name = package.rsplit('/').next().unwrap_or(package);
    ensure!(
        probe(Command::new("go").arg("version")).is_some(),
        "Go is needed to install {name} {version}: https://go.dev/doc/install"
    );
    step(&format!("install {name} {version}"), || {
        run(Command::new("go")
            .env("GOBIN", tools)
            .args(["install", &format!("{package}@{version}")]))
    })?;
    let path = tools.join(name);
    ensure!(
        is_of(&path, version),
        "{} is not {name} {version} although it was just installed",
        path.display()
    );
    Ok(path)
}

/// What PATH has to be for the pinned binary to be the one that is found.
pub(crate) fn search_path(workspace: &Workspace) -> Result<OsString> {
    let binary = ensure(workspace)?;
    let directory = binary.parent().context("a binary lies in a directory")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::iter::once(directory.to_owned()).chain(std::env::split_paths(&path));
    Ok(std::env::join_paths(places)?)
}

/// The binary's own word is not enough: some releases print the version of another.
fn is_of(path: &Path, version: &str) -> bool {
    if !path.is_file() {
        return false;
    }
    let printed = probe(Command::new("go").args(["version", "-m"]).arg(path)).unwrap_or_default();
    names_version(&printed, version)
}

fn names_version(printed: &str, wanted: &str) -> bool {
    printed.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        matches!(words.as_slice(), ["mod", "github.com/cometbft/cometbft", version, ..] if *version == wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::{VERSION, names_version};

    #[test]
    fn reads_the_module_line() {
        let printed = "cometbft: go1.26.8\n\tpath\tgithub.com/cometbft/cometbft/cmd/cometbft\n\
                       \tmod\tgithub.com/cometbft/cometbft\tv0.39.4\th1:abc=\n";
        assert!(names_version(printed, VERSION));
        assert!(!names_version(&printed.replace("v0.39.4", "v0.40.0"), VERSION));
        assert!(!names_version(
            "\tdep\tgithub.com/cometbft/cometbft-db\tv0.39.4\n",
            VERSION
        ));
        assert!(!names_version("", VERSION));
    }
}
