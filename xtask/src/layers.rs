//! The walls between crates: who may use whom, and what may never be reached.

use anyhow::{Result, bail};

use crate::step::{run, say, step};
use crate::workspace::{Workspace, cargo};
use crate::{source, symbols};

/// One crate's place.
struct Wall {
    name: &'static str,
    /// Crates of the workspace that it may name in its manifest. What its tests use is free.
    may_use: &'static [&'static str],
    /// Packages it may not reach over any number of steps.
    never: &'static [&'static str],
    /// Packages it may not name itself. A dependency may bring them, for a use that stays inside it.
    never_direct: &'static [&'static str],
    /// Whether its results follow from its arguments alone.
    pure: bool,
    /// Whether it may contain `unsafe`.
    unsafe_code: bool,
}

const RUNTIMES: &[&str] = &["async-std", "mio", "smol", "socket2", "tokio"];
const HTTP: &[&str] = &[
    "axum", "h2", "hyper", "reqwest", "rustls", "tokio", "tower", "ureq",
];
const EFFECTS: &[&str] = &[
    "async-std",
    "axum",
    "clap",
    "fjall",
    "h2",
    "hyper",
    "memmap2",
    "mimalloc",
    "mio",
    "num_cpus",
    "redb",
    "reqwest",
    "rocksdb",
    "rustls",
    "smol",
    "socket2",
    "tempfile",
    "tendermint-rpc",
    "tokio",
    "tower",
    "tracing-subscriber",
    "ureq",
    "wasm-bindgen",
];
const ENTROPY: &[&str] = &[
    "ahash",
    "getrandom",
    "hashbrown",
    "indexmap",
    "rand",
    "rand_chacha",
    "rand_core",
    "rayon",
    "tracing",
];

const WALLS: &[Wall] = &[
    pure("haca-wire", &[]),
    pure("haca-graph", &["haca-wire"]),
    pure("haca-zk", &["haca-wire", "haca-graph"]),
    pure("haca-verify", &["haca-wire", "haca-graph", "haca-zk"]),
    pure("haca-ledger", &["haca-wire", "haca-verify"]),
    Wall {
        unsafe_code: true,
        ..wall("haca-prover", &["haca-wire", "haca-graph", "haca-zk"], RUNTIMES)
    },
    wall("haca-onnx", &["haca-wire", "haca-graph"], HTTP),
    wall(
        "haca-client",
        &["haca-wire", "haca-verify"],
        &["haca-ledger", "haca-prover", "redb"],
    ),
    wall(
        "haca-exec",
        &[
            "haca-wire",
            "haca-graph",
            "haca-prover",
            "haca-onnx",
            "haca-verify",
            "haca-client",
        ],
        &["haca-ledger", "haca-node"],
    ),
    wall(
        "haca-node",
        &["haca-wire", "haca-verify", "haca-ledger"],
        &["haca-exec", "haca-onnx", "haca-prover"],
    ),
    Wall {
        unsafe_code: true,
        ..wall("haca-wasm", &["haca-wire", "haca-verify"], EFFECTS)
    },
    wall(
        "haca",
        &[
            "haca-wire",
            "haca-graph",
            "haca-zk",
            "haca-verify",
            "haca-ledger",
            "haca-prover",
            "haca-onnx",
            "haca-client",
            "haca-exec",
            "haca-node",
        ],
        &[],
    ),
    wall("xtask", &[], &[]),
];

const fn wall(name: &'static str, may_use: &'static [&'static str], never: &'static [&'static str]) -> Wall {
    Wall {
        name,
        may_use,
        never,
        never_direct: &[],
        pure: false,
        unsafe_code: false,
    }
}

const fn pure(name: &'static str, may_use: &'static [&'static str]) -> Wall {
    Wall {
        never_direct: ENTROPY,
        pure: true,
        ..wall(name, may_use, EFFECTS)
    }
}

/// Checks every wall and fails with all the reasons. `binary` builds `haca-node` and looks into it too.
pub(crate) fn check(workspace: &Workspace, binary: bool) -> Result<()> {
    let mut breaches = dependencies(workspace);
    for wall in WALLS {
        if let Some(sources) = workspace.sources(wall.name) {
            breaches.extend(source::check(wall.name, &sources, wall.pure, wall.unsafe_code)?);
        }
    }
    for breach in &breaches {
        say(&format!("wall: {breach}"));
    }
    if !breaches.is_empty() {
        bail!(
            "{} walls are broken; ARCHITECTURE.md says why they stand",
            breaches.len()
        );
    }
    if binary {
        check_binary(workspace)?;
    }
    Ok(())
}

/// Builds the full node's binary alone and searches its symbols.
fn check_binary(workspace: &Workspace) -> Result<()> {
    step("build haca-node alone", || {
        let mut build = cargo();
        build.args([
            "build",
            "--locked",
            "--package",
            "haca-node",
            "--bin",
            "haca-node",
        ]);
        // Without line tables: the wall reads symbol names, and the tests' own build stays as it is.
        run(build.current_dir(&workspace.root))
    })?;
    symbols::check(&workspace.target.join("debug").join("haca-node"))
}

fn dependencies(workspace: &Workspace) -> Vec<String> {
    let mut breaches = Vec::new();
    for member in workspace.members() {
        if !WALLS.iter().any(|wall| wall.name == member) {
            breaches.push(format!(
                "{member} has no place in the walls table of xtask/src/layers.rs"
            ));
        }
    }
    for wall in WALLS {
        for used in workspace.direct(wall.name) {
            if workspace.is_member(used) && !wall.may_use.contains(&used) {
                breaches.push(format!("{} may not use {used}", wall.name));
            }
            if wall.never_direct.contains(&used) {
                breaches.push(format!("{} may not name {used}: it is pure", wall.name));
            }
        }
        for (reached, chain) in workspace.reach(wall.name) {
            if wall.never.contains(&reached) {
                breaches.push(format!("{} reaches {reached}: {}", wall.name, chain.join(" -> ")));
            }
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::dependencies;
    use crate::workspace::Workspace;

    /// A metadata document of packages and their normal dependencies; names that start with `haca` are members.
    fn metadata(packages: &[(&str, &[&str])]) -> Value {
        let edge = |name: &&str| json!({ "pkg": name, "dep_kinds": [{ "kind": null }] });
        let nodes: Vec<Value> = packages
            .iter()
            .map(|(id, uses)| json!({ "id": id, "deps": uses.iter().map(edge).collect::<Vec<_>>() }))
            .collect();
        let listed: Vec<Value> = packages
            .iter()
            .map(|(id, _)| json!({ "id": id, "name": id, "manifest_path": "/w/Cargo.toml" }))
            .collect();
        let members: Vec<&str> = packages
            .iter()
            .map(|(id, _)| *id)
            .filter(|id| id.starts_with("haca"))
            .collect();
        json!({ "packages": listed, "resolve": { "nodes": nodes }, "workspace_members": members,
                "workspace_root": "/w", "target_directory": "/w/target" })
    }

    fn breaches(packages: &[(&str, &[&str])]) -> Vec<String> {
        dependencies(&Workspace::parse(&metadata(packages)).expect("metadata"))
    }

    #[test]
    fn accepts_the_allowed_edges() {
        let packages: &[(&str, &[&str])] = &[
            ("haca-wire", &[]),
            ("haca-verify", &["haca-wire"]),
            ("haca-ledger", &["haca-verify"]),
            ("haca-node", &["haca-ledger", "tokio"]),
            ("tokio", &[]),
        ];
        assert!(breaches(packages).is_empty());
    }

    #[test]
    fn refuses_an_edge_that_is_not_listed() {
        let packages: &[(&str, &[&str])] = &[
            ("haca-node", &["haca-onnx"]),
            ("haca-onnx", &[]),
            ("haca-ledger", &["haca-zk"]),
            ("haca-zk", &[]),
        ];
        let found = breaches(packages);
        assert!(
            found.contains(&"haca-node may not use haca-onnx".to_owned()),
            "{found:?}"
        );
        assert!(found.contains(&"haca-node reaches haca-onnx: haca-node -> haca-onnx".to_owned()));
        assert!(
            found.contains(&"haca-ledger may not use haca-zk".to_owned()),
            "{found:?}"
        );
    }

    #[test]
    fn refuses_what_a_pure_crate_reaches_over_others() {
        let packages: &[(&str, &[&str])] = &[
            ("haca-zk", &["a"]),
            ("a", &["b"]),
            ("b", &["tokio"]),
            ("tokio", &[]),
        ];
        assert_eq!(
            breaches(packages),
            ["haca-zk reaches tokio: haca-zk -> a -> b -> tokio"]
        );
    }

    #[test]
    fn refuses_randomness_named_by_a_pure_crate_but_not_inside_a_dependency() {
        let direct: &[(&str, &[&str])] = &[("haca-wire", &["rand"]), ("rand", &[])];
        assert_eq!(breaches(direct), ["haca-wire may not name rand: it is pure"]);
        let inside: &[(&str, &[&str])] = &[("haca-wire", &["a"]), ("a", &["rand"]), ("rand", &[])];
        assert!(breaches(inside).is_empty());
    }

    #[test]
    fn refuses_a_crate_without_a_place() {
        assert_eq!(
            breaches(&[("haca-new", &[])]),
            ["haca-new has no place in the walls table of xtask/src/layers.rs"]
        );
    }

    #[test]
    fn test_dependencies_are_free() {
        let mut document = metadata(&[("haca-ledger", &["haca-prover"]), ("haca-prover", &[])]);
        document["resolve"]["nodes"][0]["deps"][0]["dep_kinds"][0]["kind"] = json!("dev");
        assert!(dependencies(&Workspace::parse(&document).expect("metadata")).is_empty());
    }
}
