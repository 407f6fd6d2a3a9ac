//! The pinned CometBFT, installed where it is missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::step::{probe, run, step};
use crate::workspace::Workspace;

/// The version that the consensus driver is written and tested against.
const VERSION: &str = "v0.39.4";
const PACKAGE: &str = "github.com/cometbft/cometbft/cmd/cometbft";

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
        .find(|path| is_pinned(path));
    if let Some(path) = found {
        return Ok(path);
    }
    ensure!(
        probe(Command::new("go").arg("version")).is_some(),
        "Go is needed to install CometBFT {VERSION}: https://go.dev/doc/install"
    );
    step(&format!("install CometBFT {VERSION}"), || {
        run(Command::new("go")
            .env("GOBIN", &tools)
            .args(["install", &format!("{PACKAGE}@{VERSION}")]))
    })?;
    let path = tools.join("cometbft");
    ensure!(
        is_pinned(&path),
        "{} is not CometBFT {VERSION} although it was just installed",
        path.display()
    );
    Ok(path)
}

/// The binary's own word is not enough: some releases print the version of another.
fn is_pinned(path: &Path) -> bool {
    if !path.is_file() {
        return false;
    }
    let printed = probe(Command::new("go").args(["version", "-m"]).arg(path)).unwrap_or_default();
    names_version(&printed)
}

fn names_version(printed: &str) -> bool {
    printed.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        matches!(words.as_slice(), ["mod", "github.com/cometbft/cometbft", version, ..] if *version == VERSION)
    })
}

#[cfg(test)]
mod tests {
    use super::names_version;

    #[test]
    fn reads_the_module_line() {
        let printed = "cometbft: go1.26.8\n\tpath\tgithub.com/cometbft/cometbft/cmd/cometbft\n\
                       \tmod\tgithub.com/cometbft/cometbft\tv0.39.4\th1:abc=\n";
        assert!(names_version(printed));
        assert!(!names_version(&printed.replace("v0.39.4", "v0.40.0")));
        assert!(!names_version(
            "\tdep\tgithub.com/cometbft/cometbft-db\tv0.39.4\n"
        ));
        assert!(!names_version(""));
    }
}
