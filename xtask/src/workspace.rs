//! The workspace as `cargo metadata` describes it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::step::{run, step};

/// Packages, their edges, and where things lie.
pub(crate) struct Workspace {
    /// The repository's root.
    pub(crate) root: PathBuf,
    /// Cargo's target directory.
    pub(crate) target: PathBuf,
    /// Packages by id.
    packages: BTreeMap<String, Package>,
    /// Ids of the workspace's own packages.
    members: BTreeSet<String>,
}

struct Package {
    name: String,
    manifest: PathBuf,
    /// Ids of what the package links or runs at build time. What only its tests use is left out.
    edges: Vec<String>,
}

impl Workspace {
    /// Reads the metadata of the workspace this command was started in.
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask lies inside the workspace")?;
        let output = cargo()
            .args(["metadata", "--format-version", "1", "--filter-platform", &host()?])
            .current_dir(root)
            .stderr(std::process::Stdio::inherit())
            .output()
            .context("cargo metadata")?;
        ensure!(output.status.success(), "cargo metadata failed");
        Self::parse(&serde_json::from_slice(&output.stdout)?)
    }

    /// Reads a `cargo metadata` document, format version 1.
    pub(crate) fn parse(metadata: &Value) -> Result<Self> {
        let mut packages = BTreeMap::new();
        for package in list(&metadata["packages"])? {
            let id = text(&package["id"])?;
            let name = text(&package["name"])?;
            let manifest = PathBuf::from(text(&package["manifest_path"])?);
            packages.insert(
                id,
                Package {
                    name,
                    manifest,
                    edges: Vec::new(),
                },
            );
        }
        for node in list(&metadata["resolve"]["nodes"])? {
            let mut edges = Vec::new();
            for edge in list(&node["deps"])? {
                if list(&edge["dep_kinds"])?.iter().any(|kind| kind["kind"] != "dev") {
                    edges.push(text(&edge["pkg"])?);
                }
            }
            let id = text(&node["id"])?;
            packages
                .get_mut(&id)
                .with_context(|| format!("no package {id}"))?
                .edges = edges;
        }
        let members = list(&metadata["workspace_members"])?
            .iter()
            .map(text)
            .collect::<Result<BTreeSet<_>>>()?;
        Ok(Self {
            root: PathBuf::from(text(&metadata["workspace_root"])?),
            target: PathBuf::from(text(&metadata["target_directory"])?),
            packages,
            members,
        })
    }

    /// Names of the workspace's own packages.
    pub(crate) fn members(&self) -> Vec<&str> {
        self.members
            .iter()
            .filter_map(|id| self.packages.get(id))
            .map(|p| p.name.as_str())
            .collect()
    }

    /// Whether a package of this name belongs to the workspace.
    pub(crate) fn is_member(&self, name: &str) -> bool {
        self.id(name).is_some()
    }

    /// Directory of a member's sources.
    pub(crate) fn sources(&self, name: &str) -> Option<PathBuf> {
        Some(self.packages.get(self.id(name)?)?.manifest.parent()?.join("src"))
    }

    /// Names of what a member depends on directly; its tests' dependencies don't count.
    pub(crate) fn direct(&self, name: &str) -> Vec<&str> {
        let edges = self
            .id(name)
            .and_then(|id| self.packages.get(id))
            .map(|package| &package.edges);
        edges
            .into_iter()
            .flatten()
            .filter_map(|id| self.packages.get(id))
            .map(|p| p.name.as_str())
            .collect()
    }

    /// Everything a member reaches, each with the chain of names that leads to it.
    pub(crate) fn reach(&self, name: &str) -> BTreeMap<&str, Vec<&str>> {
        let mut found = BTreeMap::new();
        let mut queue = std::collections::VecDeque::new();
        if let Some(id) = self.id(name) {
            queue.push_back((id, Vec::new()));
        }
        while let Some((id, chain)) = queue.pop_front() {
            let Some(package) = self.packages.get(id) else {
                continue;
            };
            let mut chain = chain.clone();
            chain.push(package.name.as_str());
            if found.insert(package.name.as_str(), chain.clone()).is_none() {
                queue.extend(package.edges.iter().map(|edge| (edge.as_str(), chain.clone())));
            }
        }
        found.remove(name);
        found
    }

    /// Builds the binaries with the features that the tests are built with.
    pub(crate) fn build_binaries(&self) -> Result<()> {
        step("build the binaries", || {
            let arguments = ["build", "--locked", "--workspace", "--bins"];
            run(cargo().args(arguments).current_dir(&self.root))
        })
    }

    fn id(&self, name: &str) -> Option<&str> {
        let named = |id: &&String| self.packages.get(*id).is_some_and(|package| package.name == name);
        self.members.iter().find(named).map(String::as_str)
    }
}

/// The `cargo` that runs this task. It does not see what cargo has told this task of its own package: build scripts of
/// some dependencies look at that, and would run again whenever a task follows a command of a shell.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// The `rustc` beside it.
pub(crate) fn rustc() -> std::ffi::OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

/// The host's target triple.
fn host() -> Result<String> {
    let output = Command::new(rustc()).arg("-vV").output().context("rustc -vV")?;
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line.context("rustc -vV prints the host")?.to_owned())
}

fn text(value: &Value) -> Result<String> {
    Ok(value
        .as_str()
        .context("cargo metadata: text expected")?
        .to_owned())
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().context("cargo metadata: list expected")
}
