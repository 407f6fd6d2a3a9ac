//! The copy of the workspace that holds the mutants.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::site::{Mutant, Site, Sites};
use super::trial::Tests;
use super::weave::{Woven, weave};
use crate::step::say;
use crate::workspace::cargo;

/// Asked at each mutant which one runs.
const SWITCH: &str = include_str!("switch.rs.txt");

/// A source file with its mutants.
pub(super) struct Source {
    /// Relative to the sources of the crate.
    pub(super) name: String,
    text: String,
    sites: Vec<Site>,
    pub(super) mutants: Vec<Mutant>,
}

/// The copy of the workspace that holds the mutants.
pub(super) struct Copy<'a> {
    pub(super) root: PathBuf,
    pub(super) target: PathBuf,
    pub(super) package: &'a str,
}

impl Copy<'_> {
    /// Copies what the tests need.
    pub(super) fn fill(&self, from: &Path) -> Result<()> {
        if self.root.exists() {
            std::fs::remove_dir_all(&self.root)?;
        }
        let output = Command::new("git")
            .args(["ls-files", "-z"])
            .current_dir(from)
            .output()?;
        ensure!(output.status.success(), "git ls-files failed");
        for name in String::from_utf8(output.stdout)?
            .split('\0')
            .filter(|name| !name.is_empty())
        {
            let (source, target) = (from.join(name), self.root.join(name));
            if source.is_file() {
                std::fs::create_dir_all(target.parent().context("a file lies in a directory")?)?;
                std::fs::copy(source, target)?;
            }
        }
        Ok(())
    }

    fn directory(&self) -> PathBuf {
        self.root.join("crates").join(self.package).join("src")
    }

    pub(super) fn sources(&self, files: &[String]) -> Result<Vec<Source>> {
        let directory = self.directory();
        let mut names = Vec::new();
        let mut directories = vec![directory.clone()];
        while let Some(next) = directories.pop() {
            for entry in std::fs::read_dir(next)? {
                let path = entry?.path();
                if path.is_dir() {
                    directories.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    names.push(path.strip_prefix(&directory)?.to_string_lossy().into_owned());
                }
            }
        }
        names.sort();
        names.retain(|name| name != "lib.rs" && (files.is_empty() || files.contains(name)));
        let mut first = 1;
        let mut sources = Vec::new();
        for name in names {
            let text = std::fs::read_to_string(directory.join(&name))?;
            let found = Sites::of(&syn::parse_file(&text).with_context(|| name.clone())?, first);
            first += u32::try_from(found.mutants.len())?;
            sources.push(Source {
                name,
                text,
                sites: found.sites,
                mutants: found.mutants,
            });
        }
        Ok(sources)
    }

    /// Weaves all mutants in, and takes those out again that do not compile. Returns the latter.
    pub(super) fn settle(&self, sources: &[Source]) -> Result<BTreeSet<u32>> {
        let directory = self.directory();
        std::fs::write(directory.join("mutant.rs"), SWITCH)?;
        let library = directory.join("lib.rs");
        let text = std::fs::read_to_string(&library)?;
        std::fs::write(&library, format!("{text}\nmod mutant;\n"))?;
        let mut unviable = BTreeSet::new();
        loop {
            let mut woven = BTreeMap::new();
            for source in sources {
                let file = weave(&source.text, &source.sites, &unviable);
                std::fs::write(directory.join(&source.name), &file.text)?;
                woven.insert(format!("crates/{}/src/{}", self.package, source.name), file);
            }
            let messages = self.cargo(&["check", "--lib", "--package", self.package])?;
            let broken = broken(&messages, &woven)?;
            if broken.is_empty() {
                return Ok(unviable);
            }
            say(&format!("{} mutants do not compile", broken.len()));
            unviable.extend(broken);
        }
    }

    /// Builds the tests of a package.
    pub(super) fn tests(&self, package: &str) -> Result<Tests> {
        let messages = self.cargo(&["test", "--no-run", "--lib", "--tests", "--package", package])?;
        let binaries = messages
            .iter()
            .filter(|message| message["profile"]["test"] == true);
        let binaries: Vec<PathBuf> = binaries
            .filter_map(|message| message["executable"].as_str())
            .map(PathBuf::from)
            .collect();
        ensure!(
            !binaries.is_empty(),
            "{package} has no tests, or they do not compile"
        );
        // Integration tests see more than unit tests.
        let binaries = binaries.into_iter().rev().collect();
        let directory = self.root.join("crates").join(package);
        Ok(Tests { binaries, directory })
    }

    fn cargo(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        let output = cargo()
            .args(arguments)
            .args(["--locked", "--message-format", "json"])
            .env("CARGO_TARGET_DIR", &self.target)
            .current_dir(&self.root)
            .stderr(Stdio::null())
            .output()?;
        let lines = output
            .stdout
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        lines.map(|line| Ok(serde_json::from_slice(line)?)).collect()
    }
}

/// The mutants that errors of the compiler are about.
fn broken(messages: &[Value], woven: &BTreeMap<String, Woven>) -> Result<BTreeSet<u32>> {
    let mut ids = BTreeSet::new();
    let mut unexplained = String::new();
    for message in messages.iter().map(|message| &message["message"]) {
        let spans = message["spans"].as_array();
        if message["level"] != "error" || spans.is_none_or(Vec::is_empty) {
            continue;
        }
        let at = |span: &Value| -> Vec<u32> {
            let end = |name: &str| usize::try_from(span[name].as_u64()?).ok();
            let (Some(file), Some(start), Some(end)) = (
                span["file_name"].as_str().and_then(|name| woven.get(name)),
                end("byte_start"),
                end("byte_end"),
            ) else {
                return Vec::new();
            };
            file.at(&(start..end))
        };
        let spans: Vec<&Value> = spans.into_iter().flatten().collect();
        let primary: Vec<u32> = spans
            .iter()
            .filter(|span| span["is_primary"] == true)
            .flat_map(|span| at(span))
            .collect();
        let found = if primary.is_empty() {
            spans.iter().flat_map(|span| at(span)).collect()
        } else {
            primary
        };
        if found.is_empty() {
            unexplained.push_str(message["rendered"].as_str().unwrap_or_default());
        }
        ids.extend(found);
    }
    ensure!(
        !ids.is_empty() || unexplained.is_empty(),
        "errors of no mutant:\n{unexplained}"
    );
    Ok(ids)
}
