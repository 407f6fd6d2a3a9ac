//! Everything that has to hold, in one run that ends with the counts.

use std::fmt;
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::network::{self, Onlookers};
use crate::step::{self, print, run_lines, say, step};
use crate::workspace::{Workspace, cargo};
use crate::{cometbft, docs, layers, python, symbols, wallets, wasm};

/// Tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// How many passed.
    pub(crate) passed: usize,
    /// How many failed.
    pub(crate) failed: usize,
}

impl Count {
    /// Reads `N passed, M failed`, alone on a line or closing a cargo test suite.
    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let words: Vec<&str> = line
            .split([' ', ';', ',', '.'])
            .filter(|word| !word.is_empty())
            .collect();
        let before = |name: &str| {
            let at = words.iter().position(|word| *word == name)?.checked_sub(1)?;
            words.get(at)?.parse().ok()
        };
        Some(Self {
            passed: before("passed")?,
            failed: before("failed")?,
        })
    }

    /// Adds another count to this one.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed = self.passed.saturating_add(other.passed);
        self.failed = self.failed.saturating_add(other.failed);
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// What has been run so far.
#[derive(Default)]
struct Tally {
    suites: Vec<(String, Count)>,
    broken: Vec<String>,
}

impl Tally {
    /// Runs a step that either holds or not.
    fn hold(&mut self, name: &str, work: impl FnOnce() -> Result<()>) {
        if let Err(error) = step(name, work) {
            say(&format!("error: {error:#}"));
            self.broken.push(name.to_owned());
        }
    }

    /// Runs a step that counts tests.
    fn count(&mut self, name: &str, work: impl FnOnce() -> Result<Vec<(String, Count)>>) {
        match step(name, work) {
            Ok(suites) => self.suites.extend(suites),
            Err(error) => {
                say(&format!("error: {error:#}"));
                self.broken.push(name.to_owned());
            }
        }
    }
}

/// Runs all checks and tests. Goes on after a failure, so that one run shows everything.
pub(crate) fn run(workspace: &Workspace, fast: bool) -> Result<ExitCode> {
    let mut tally = Tally::default();
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    tally.hold("CometBFT", || {
        path = cometbft::search_path(workspace)?;
        Ok(())
    });
    let cargo = |arguments: &[&str]| {
        let mut command = cargo();
        command
            .args(arguments)
            .current_dir(&workspace.root)
            .env("PATH", &path);
        command
    };
    tally.hold("format", || step::run(&mut cargo(&["fmt", "--all", "--check"])));
    tally.hold("walls", || layers::check(workspace, false));
    tally.hold("documentation", || docs::check(workspace));
    let lints: &[&str] = &[
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ];
    tally.hold("lints", || step::run(&mut cargo(lints)));
    tally.count("tests", || {
        cargo_tests(&mut cargo(&["test", "--locked", "--workspace", "--no-fail-fast"]))
    });
    if !fast {
        tally.hold("binary wall", || binary_wall(workspace));
        outside(workspace, &mut tally);
    }
    Ok(close(&tally))
}

/// What looks at the project from outside: Node.js, Python, wallet libraries, and all of them at a running network.
fn outside(workspace: &Workspace, tally: &mut Tally) {
    let named = |name: &str, count: Count| Ok(vec![(name.to_owned(), count)]);
    let mut module = None;
    tally.count("WebAssembly", || {
        let built = module.insert(wasm::build(workspace, wasm::Profile::Dev)?);
        named("WebAssembly in Node.js", wasm::check(workspace, built)?)
    });
    let mut python = None;
    tally.count("Python", || {
        let python = python.insert(python::environment(workspace)?);
        named("checks in Python", python::check(workspace, python)?)
    });
    let mut libraries = None;
    tally.count("wallets", || {
        let Some(python) = &python else {
            bail!("Python is needed for its wallet library");
        };
        let counted = named("wallet libraries", wallets::check(workspace, python)?);
        libraries = Some(wallets::install(workspace)?);
        counted
    });
    tally.count("network", || {
        let (Some(module), Some(python), Some(wallets)) = (module, python, libraries) else {
            bail!("WebAssembly, Python and the wallet libraries are needed to look at a network");
        };
        let onlookers = Onlookers {
            python,
            module,
            wallets,
        };
        named("a network from outside", network::check(workspace, &onlookers)?)
    });
}

/// `haca-node` holds no prover code, and the search would find it where it is.
fn binary_wall(workspace: &Workspace) -> Result<()> {
    layers::check(workspace, true)?;
    workspace.build_binaries()?;
    symbols::check_control(&workspace.target.join("debug").join("haca"))
}

/// Runs `cargo test` and reads the counts of each suite.
fn cargo_tests(command: &mut Command) -> Result<Vec<(String, Count)>> {
    let (status, lines) = run_lines(command)?;
    let suites = read_suites(&lines);
    let failed: usize = suites.iter().map(|(_, count)| count.failed).sum();
    if suites.is_empty() || (!status.success() && failed == 0) {
        bail!("cargo test ended with {status} after {} suites", suites.len());
    }
    Ok(suites)
}

/// Cargo runs the unit tests of a package before its integration tests, whose binaries all have the same name.
fn read_suites(lines: &[String]) -> Vec<(String, Count)> {
    let (mut package, mut name) = (String::new(), String::new());
    let mut suites = Vec::new();
    for line in lines {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("Running unittests ") {
            // `src/lib.rs (target/debug/deps/haca_wire-0123)`
            let binary = rest.rsplit('/').next().unwrap_or_default();
            package = binary
                .rsplit_once('-')
                .map_or(binary, |(package, _)| package)
                .to_owned();
            name = format!("{package} {}", rest.split(" (").next().unwrap_or_default());
        } else if let Some(rest) = line.strip_prefix("Running ") {
            name = format!("{package} {}", rest.split(" (").next().unwrap_or_default());
        } else if let Some(rest) = line.strip_prefix("Doc-tests ") {
            name = format!("{rest} documentation");
        } else if line.starts_with("test result: ") {
            suites.extend(Count::from_line(line).map(|count| (name.clone(), count)));
        }
    }
    suites
}

/// Prints the counts. A step that broke counts as one failed test, so that the last line is never green by omission.
fn close(tally: &Tally) -> ExitCode {
    let mut total = Count {
        passed: 0,
        failed: tally.broken.len(),
    };
    for (name, count) in &tally.suites {
        total.add(*count);
        if *count != Count::default() {
            print(&format!(
                "{name}: {} of {}\n",
                count.passed,
                count.passed.saturating_add(count.failed)
            ));
        }
    }
    for name in &tally.broken {
        print(&format!("{name}: FAILED\n"));
    }
    print(&format!("{total}\n"));
    if total.failed == 0 && total.passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::{Count, read_suites};

    #[test]
    fn reads_counts() {
        let line = "test result: FAILED. 12 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(
            Count::from_line(line),
            Some(Count {
                passed: 12,
                failed: 1
            })
        );
        assert_eq!(
            Count::from_line("7 passed, 0 failed"),
            Some(Count { passed: 7, failed: 0 })
        );
        assert_eq!(Count::from_line("test passed"), None);
        assert_eq!(Count::from_line(""), None);
    }

    #[test]
    fn names_suites() {
        let lines = [
            "     Running unittests src/lib.rs (target/debug/deps/haca_wire-0123abcd)",
            "test result: ok. 3 passed; 0 failed; 0 ignored",
            "     Running tests/it/main.rs (target/debug/deps/it-0123abcd)",
            "test result: ok. 4 passed; 0 failed; 0 ignored",
            "   Doc-tests haca_wire",
            "test result: ok. 1 passed; 0 failed; 0 ignored",
        ]
        .map(str::to_owned);
        let suites = read_suites(&lines);
        let names: Vec<&str> = suites.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "haca_wire src/lib.rs",
                "haca_wire tests/it/main.rs",
                "haca_wire documentation"
            ]
        );
        assert_eq!(suites.iter().map(|(_, count)| count.passed).sum::<usize>(), 8);
    }
}
