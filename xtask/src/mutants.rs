//! Mutation testing: which alterations of a crate's sources no test notices.
//!
//! A build for each of some thousand mutants would take days. So all of them are woven into one copy of the crate,
//! each behind a question that the environment answers, and the tests run once for each.

mod copy;
mod site;
mod trial;
mod weave;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::step::{print, step};
use crate::workspace::Workspace;
use copy::{Copy, Source};
use site::Mutant;
use trial::{Outcome, trial, trials};

/// What to alter, and what has to notice.
pub(crate) struct Options {
    /// The crate whose sources are altered.
    pub(crate) package: String,
    /// Crates whose tests run on what survives the tests of the package itself.
    pub(crate) also: Vec<String>,
    /// Files that are altered, relative to the sources; all when there are none.
    pub(crate) files: Vec<String>,
    /// Processes at once.
    pub(crate) jobs: usize,
    /// Whether only what survived the run before is run: after a test was added, say.
    pub(crate) again: bool,
}

impl Options {
    /// Reads `PACKAGE [--also PACKAGE] [--jobs N] [--again] [FILE ...]`.
    pub(crate) fn parse(arguments: &[&str]) -> Result<Self> {
        let mut rest = arguments.iter();
        let package = (*rest.next().context("which package?")?).to_owned();
        let mut options = Self {
            package,
            also: Vec::new(),
            files: Vec::new(),
            jobs: 1,
            again: false,
        };
        while let Some(argument) = rest.next() {
            match *argument {
                "--also" => options
                    .also
                    .push((*rest.next().context("--also which package?")?).to_owned()),
                "--jobs" => options.jobs = rest.next().context("--jobs how many?")?.parse()?,
                "--again" => options.again = true,
                file => options.files.push(file.to_owned()),
            }
        }
        Ok(options)
    }
}

/// Runs all mutants, prints how many of each file survive, and writes what became of each into
/// `target/mutants.txt`.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let copy = Copy {
        root: workspace.target.join("mutants/workspace"),
        // Cargo would take what it built of the copy for what it built of the workspace.
        target: workspace.target.join("mutants/target"),
        package: &options.package,
    };
    step("copy", || copy.fill(&workspace.root))?;
    let sources = copy.sources(&options.files)?;
    let unviable = step("which mutants compile", || copy.settle(&sources))?;
    let mut outcomes: BTreeMap<u32, Outcome> = unviable.iter().map(|id| (*id, Outcome::Unviable)).collect();
    let all = sources
        .iter()
        .flat_map(|source| &source.mutants)
        .map(|mutant| mutant.id);
    let list = workspace.target.join("mutants.txt");
    if options.again {
        outcomes.extend(read(&list)?);
    }
    let mut left: Vec<u32> = all.filter(|id| !outcomes.contains_key(id)).collect();
    for package in core::iter::once(&options.package).chain(&options.also) {
        let tests = step(&format!("build the tests of {package}"), || copy.tests(package))?;
        ensure!(
            trial(&tests, 0)? == Outcome::Survived,
            "the tests of {package} fail without any mutant"
        );
        let found = step(&format!("{} mutants, {package}", left.len()), || {
            trials(&tests, &left, options.jobs)
        })?;
        left.retain(|id| found.get(id) == Some(&Outcome::Survived));
        outcomes.extend(found);
        write(&list, &sources, &outcomes)?;
    }
    Ok(())
}

/// What became of the mutants that did not survive.
fn read(path: &Path) -> Result<BTreeMap<u32, Outcome>> {
    let mut outcomes = BTreeMap::new();
    for line in std::fs::read_to_string(path)?.lines() {
        let mut words = line.split(' ');
        let outcome = words.next().and_then(Outcome::of).context("no outcome")?;
        let id = words.next().context("no number")?.parse()?;
        if outcome != Outcome::Survived {
            outcomes.insert(id, outcome);
        }
    }
    Ok(outcomes)
}

/// Writes a line for each mutant, and prints the counts of each file.
fn write(path: &Path, sources: &[Source], outcomes: &BTreeMap<u32, Outcome>) -> Result<()> {
    let (mut lines, mut table) = (
        String::new(),
        String::from("file mutants caught timeouts unviable survivors\n"),
    );
    let mut totals = [0usize; 5];
    for source in sources {
        let mut counts = BTreeMap::<Outcome, usize>::new();
        for mutant in &source.mutants {
            let Some(outcome) = outcomes.get(&mutant.id) else {
                continue;
            };
            *counts.entry(*outcome).or_default() += 1;
            let Mutant {
                id,
                line,
                function,
                what,
            } = mutant;
            writeln!(
                lines,
                "{} {id} {}:{line} {function}: {what}",
                outcome.name(),
                source.name
            )?;
        }
        let count = |outcome| counts.get(&outcome).copied().unwrap_or(0);
        let row = [
            counts.values().sum(),
            count(Outcome::Caught),
            count(Outcome::TimedOut),
            count(Outcome::Unviable),
            count(Outcome::Survived),
        ];
        totals
            .iter_mut()
            .zip(row)
            .for_each(|(total, count)| *total += count);
        writeln!(
            table,
            "{} {}",
            source.name,
            row.map(|count| count.to_string()).join(" ")
        )?;
    }
    writeln!(table, "all {}", totals.map(|count| count.to_string()).join(" "))?;
    std::fs::write(path, lines)?;
    print(&table);
    Ok(())
}
