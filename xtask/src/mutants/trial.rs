//! Running the tests with one mutant after the other.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, bail};

use crate::step::say;

/// The number of the mutant that runs.
const VARIABLE: &str = "HACA_MUTANT";
/// Tests that begin, since most mutants fail them at once.
const FIRST: &str = "accepted";
/// A mutant that allocates without end must not take the machine with it.
const MEMORY_KIB: u64 = 4 << 20;
/// Seconds of processor time of one process.
const LIMIT_S: u64 = 30;
/// How the system ends a process that takes more.
const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;

/// The tests of a package.
pub(super) struct Tests {
    /// What to run, and where: tests find files from there.
    pub(super) binaries: Vec<PathBuf>,
    pub(super) directory: PathBuf,
}

/// What became of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    Caught,
    TimedOut,
    Unviable,
    Survived,
}

impl Outcome {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Caught => "caught",
            Self::TimedOut => "timeout",
            Self::Unviable => "unviable",
            Self::Survived => "SURVIVED",
        }
    }

    pub(super) fn of(name: &str) -> Option<Self> {
        let all = [Self::Caught, Self::TimedOut, Self::Unviable, Self::Survived];
        all.into_iter().find(|outcome| outcome.name() == name)
    }
}

/// Runs the tests for each mutant.
pub(super) fn trials(tests: &Tests, ids: &[u32], jobs: usize) -> Result<BTreeMap<u32, Outcome>> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = || -> Result<()> {
        while let Some(id) = ids.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = trial(tests, *id)?;
            if outcome == Outcome::Survived {
                say(&format!("mutant {id} survives"));
            }
            if let Ok(mut done) = done.lock() {
                done.insert(*id, outcome);
                if done.len() % 100 == 0 {
                    let survivors = done
                        .values()
                        .filter(|outcome| **outcome == Outcome::Survived)
                        .count();
                    say(&format!("{} of {}, {survivors} survive", done.len(), ids.len()));
                }
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            match worker.join() {
                Ok(result) => result?,
                Err(_) => bail!("a worker panicked"),
            }
        }
        Ok(())
    })?;
    done.into_inner().ok().context("a worker panicked")
}

/// Runs the tests with one mutant: the first ones, then all.
pub(super) fn trial(tests: &Tests, id: u32) -> Result<Outcome> {
    for filter in [Some(FIRST), None] {
        for binary in &tests.binaries {
            let outcome = execute(tests, binary, filter, id)?;
            if outcome != Outcome::Survived {
                return Ok(outcome);
            }
        }
    }
    Ok(Outcome::Survived)
}

fn execute(tests: &Tests, binary: &Path, filter: Option<&str>, id: u32) -> Result<Outcome> {
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "ulimit -v {MEMORY_KIB} && ulimit -t {LIMIT_S} && ulimit -c 0 && exec \"$0\" \"$@\""
        ))
        .arg(binary)
        .args(filter)
        .args(["--quiet", "--test-threads", "1"])
        .current_dir(&tests.directory)
        .env(VARIABLE, id.to_string())
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    Ok(match (status.success(), status.signal()) {
        (true, _) => Outcome::Survived,
        (false, Some(SIGKILL | SIGXCPU)) => Outcome::TimedOut,
        (false, _) => Outcome::Caught,
    })
}
