//! Long runs of the fuzzer of the verifier, in child processes, so that an abort is a result like any other.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::step::{self, print, say, step};
use crate::workspace::{Workspace, cargo};

/// Cases of one process.
const CHUNK: u64 = 1000;
/// Seconds of processor time that a chunk may take: a hundred times what it needs.
const CHUNK_S: u64 = 900;
/// Edits of a case.
const EDITS: u32 = 4;

/// How long to run, and from where.
pub(crate) struct Options {
    /// No new process starts after that.
    pub(crate) time: Duration,
    /// The same seed makes the same cases.
    pub(crate) seed: u64,
}

impl Options {
    /// Reads `[--seconds N] [--seed S]`.
    pub(crate) fn parse(arguments: &[&str]) -> Result<Self> {
        let mut options = Self {
            time: Duration::from_secs(60),
            seed: 1,
        };
        for pair in arguments.chunks(2) {
            match pair {
                ["--seconds", number] => options.time = Duration::from_secs(number.parse()?),
                ["--seed", number] => options.seed = number.parse()?,
                other => bail!("unknown option `{}`", other.join(" ")),
            }
        }
        Ok(options)
    }
}

/// What a process made of its cases.
#[derive(Default)]
struct Report {
    /// The last case that began.
    last: u64,
    cases: u64,
    verdicts: BTreeMap<String, u64>,
    /// Most bytes that one case allocated at once, and its index.
    memory: (u64, u64),
    failed: bool,
}

/// Runs until the time is over or a case fails; then finds the fewest edits that still fail and writes its bytes into
/// `target/fuzz-failure`.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    step("build", || {
        let arguments = [
            "build",
            "--locked",
            "--profile",
            "fuzz",
            "--package",
            "haca-zk",
            "--example",
            "fuzz",
        ];
        step::run(cargo().args(arguments).current_dir(&workspace.root))
    })?;
    let binary = workspace.target.join("fuzz/examples/fuzz");
    let start = Instant::now();
    let mut total = Report::default();
    while start.elapsed() < options.time {
        let report = execute(&binary, options.seed, total.cases, CHUNK, u32::MAX, None)?;
        if report.failed {
            return Err(minimise(
                &binary,
                options.seed,
                report.last,
                &workspace.target.join("fuzz-failure"),
            )?);
        }
        ensure!(report.cases > 0, "the fuzzer ran no case");
        total.cases += report.cases;
        total.memory = total.memory.max(report.memory);
        for (verdict, count) in report.verdicts {
            *total.verdicts.entry(verdict).or_default() += count;
        }
        if total.cases % (10 * CHUNK) == 0 {
            say(&format!(
                "{} cases in {} s",
                total.cases,
                start.elapsed().as_secs()
            ));
        }
    }
    for (verdict, count) in &total.verdicts {
        print(&format!("{count} {verdict}\n"));
    }
    let (bytes, index) = total.memory;
    print(&format!("{bytes} bytes at once at most, in case {index}\n"));
    print(&format!(
        "{} cases of seed {}, none failed\n",
        total.cases, options.seed
    ));
    Ok(())
}

/// Leaves out edits of a failing case, one after the other, as long as it fails.
fn minimise(binary: &Path, seed: u64, index: u64, directory: &PathBuf) -> Result<anyhow::Error> {
    let mut mask = (1u32 << EDITS) - 1;
    for edit in 0..EDITS {
        let less = mask & !(1 << edit);
        if execute(binary, seed, index, 1, less, None)?.failed {
            mask = less;
        }
    }
    execute(binary, seed, index, 1, mask, Some(directory))?;
    let again = format!("{} {seed} {index} 1 {mask}", binary.display());
    Ok(anyhow::anyhow!(
        "case {index} of seed {seed} fails; `{again}` repeats it, {} holds it",
        directory.display()
    ))
}

fn execute(
    binary: &Path,
    seed: u64,
    first: u64,
    count: u64,
    mask: u32,
    directory: Option<&PathBuf>,
) -> Result<Report> {
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "ulimit -t {CHUNK_S} && ulimit -c 0 && exec \"$0\" \"$@\""
        ))
        .arg(binary)
        .args([seed, first, count, u64::from(mask)].map(|number| number.to_string()))
        .args(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the fuzzer")?;
    let mut report = Report::default();
    for line in BufReader::new(child.stdout.take().context("piped")?).lines() {
        let line = line?;
        if let Some((count, verdict)) = line.strip_prefix("= ").and_then(|rest| rest.split_once(' ')) {
            *report.verdicts.entry(verdict.to_owned()).or_default() += count.parse::<u64>()?;
        } else if let Some((memory, index)) = line.strip_prefix("^ ").and_then(|rest| rest.split_once(' ')) {
            report.memory = (memory.parse()?, index.parse()?);
        } else {
            report.last = line.parse()?;
            report.cases += 1;
        }
    }
    report.failed = !child.wait()?.success();
    Ok(report)
}
