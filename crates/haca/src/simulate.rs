//! `haca simulate`: years of the economy on the ledger itself, with agents for everybody who sends transactions.
//!
//! The ledger is a sample of the network: one in [`chain::SAMPLE`] inferences, transactions and units of every asset.
//! One simulated block stands for all blocks of six hours. Transactions are signed, ordered and executed as in a real
//! one; only whether a proof is honest is what the scenario says. Floating point is the agents', never the ledger's.

mod chain;
mod economy;
mod market;
mod node;
mod paper;
mod plot;
mod random;
mod scenario;
mod series;
mod statement;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::ValueEnum;
use serde_json::{Value, json};

use self::economy::Economy;
use self::scenario::SHOCK_DAYS;
pub(crate) use self::scenario::Scenario;
use self::series::{Column, Series};
use self::statement::Statement;
use crate::args::Simulate;
use crate::failure::Failure;
use crate::screen::{Ink, Screen};

/// Shortest and longest run, in years.
const YEARS: (f64, f64) = (0.25, 20.0);

/// Which days are compared.
#[derive(Clone, Copy)]
struct Calendar {
    /// Days simulated.
    days: u32,
    /// The first day of the shock.
    shock: u32,
}

impl Calendar {
    fn of(years: f64) -> Self {
        let days = (years * 365.0).round() as u32;
        let shock = (days / 3).max(SHOCK_DAYS);
        Self { days, shock }
    }

    /// Names and days, from the first to before the second: before the shock, its first month, and two weeks a month and
    /// a half after it began.
    fn windows(self) -> [(&'static str, u32, u32); 3] {
        let Self { shock, .. } = self;
        [
            ("before", shock - SHOCK_DAYS, shock),
            ("during", shock, shock + SHOCK_DAYS),
            ("after", shock + SHOCK_DAYS * 3 / 2, shock + 2 * SHOCK_DAYS),
        ]
    }
}

/// A scenario that has run.
struct Run {
    scenario: Scenario,
    series: Series,
    blocks: u64,
    recounts: u64,
    transactions: u64,
}

/// Runs scenarios, writes tables and plots, and says which of the documented statements hold.
pub(crate) fn run(simulate: &Simulate, screen: &Screen) -> Result<u8, Failure> {
    if !(YEARS.0..=YEARS.1).contains(&simulate.years) {
        let message = format!(
            "--years {} is not between {} and {}",
            simulate.years, YEARS.0, YEARS.1
        );
        return Err(Failure::usage(
            "cli.simulate_years",
            message,
            "leave it out for two years",
        ));
    }
    let calendar = Calendar::of(simulate.years);
    let mut scenarios = match simulate.scenario {
        None => Scenario::value_variants().to_vec(),
        Some(scenario) => scenario.with_references(),
    };
    scenarios.sort_by_key(|scenario| *scenario as u8);
    let runs = run_all(&scenarios, calendar, simulate, screen)?;
    let reports = runs
        .iter()
        .map(|run| Ok(Report::new(run, reference(&runs, run.scenario)?, calendar)))
        .collect::<Result<Vec<_>, Failure>>()?;
    if let Some(directory) = &simulate.out {
        write(directory, &reports, calendar)?;
    }
    screen.object(&json!({
        "seed": simulate.seed,
        "days": calendar.days,
        "shock_day": calendar.shock,
        "sample": chain::SAMPLE,
        "scenarios": reports.iter().map(Report::json).collect::<Vec<_>>(),
    }));
    for report in &reports {
        report.say(screen);
    }
    let failed = reports
        .iter()
        .flat_map(|report| &report.statements)
        .filter(|statement| !statement.holds())
        .count();
    if failed > 0 {
        screen.note(format!("{failed} statements do not hold in this run"));
    }
    Ok(0)
}

/// The run that a scenario is compared with.
fn reference(runs: &[Run], scenario: Scenario) -> Result<&Run, Failure> {
    let found = runs.iter().find(|run| run.scenario == scenario.reference());
    found.ok_or_else(|| chain::broken("a scenario ran without its reference"))
}

/// All scenarios, in order, on as many threads as there are cores.
fn run_all(
    scenarios: &[Scenario],
    calendar: Calendar,
    simulate: &Simulate,
    screen: &Screen,
) -> Result<Vec<Run>, Failure> {
    let step = screen.step(&format!("simulate {} days", calendar.days));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..cores.min(scenarios.len()).min(simulate.threads.max(1)) {
            scope.spawn(|| {
                while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = run_one(*scenario, calendar, simulate.seed);
                    let mut results = results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    results.push((*scenario, result));
                }
            });
        }
    });
    let mut results = results
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|(scenario, _)| *scenario as u8);
    let runs = results
        .into_iter()
        .map(|(_, run)| run)
        .collect::<Result<Vec<_>, _>>()?;
    step.done(&format!("{} scenarios", runs.len()));
    Ok(runs)
}

fn run_one(scenario: Scenario, calendar: Calendar, seed: u64) -> Result<Run, Failure> {
    let mut economy = Economy::start(scenario, seed)?;
    let series = economy.run(calendar.days, calendar.shock)?;
    Ok(Run {
        scenario,
        series,
        blocks: economy.chain.blocks,
        recounts: economy.chain.recounts,
        transactions: economy.chain.transactions,
    })
}

/// `NAME.csv` and `NAME.svg` of every run.
fn write(directory: &Path, reports: &[Report<'_>], calendar: Calendar) -> Result<(), Failure> {
    std::fs::create_dir_all(directory).map_err(|error| Failure::file(directory, "make", &error))?;
    for Report { run, calm, .. } in reports {
        let name = run.scenario.name();
        let other = (run.scenario != calm.scenario).then_some(&calm.series);
        let shock = run.scenario.shock_days().map(|days| (calendar.shock, days));
        let figure = plot::figure(run.scenario, &run.series, other, calendar.shock, shock);
        for (file, text) in [
            (format!("{name}.csv"), run.series.csv()),
            (format!("{name}.svg"), figure),
        ] {
            let path = directory.join(file);
            std::fs::write(&path, text).map_err(|error| Failure::file(&path, "write", &error))?;
        }
    }
    Ok(())
}

/// What is printed of a run.
struct Report<'a> {
    run: &'a Run,
    /// Its reference.
    calm: &'a Run,
    calendar: Calendar,
    statements: Vec<Statement>,
}

/// The columns that a person sees, with their scale and unit.
const SHOWN: &[(Column, f64, &str)] = &[
    (Column::Settled, 1e-6, "million inferences settled a day"),
    (Column::Backlog, 1e-6, "million inferences wait"),
    (Column::Missed, 1e-6, "million settlements missed a day"),
    (Column::Batch, 1.0, "inferences of a proof or voucher"),
    (Column::BaseFee, 1.0, "OPG units per gas: base fee"),
    (Column::BudgetUse, 100.0, "% of the verification budget used"),
    (Column::ClockStopped, 100.0, "% of blocks stop the clock"),
    (Column::Burned, 1e-3, "thousand OPG burned a day"),
    (Column::OpgUsd, 1.0, "$ for an OPG"),
    (Column::PriceUsd, 1e3, "$ for 1,000 inferences"),
    (Column::FeesUsd, 1e-3, "thousand $ of fees a day in USD"),
    (Column::FeesAlt, 1e-3, "thousand $ of fees a day in ALT"),
    (
        Column::NodeProfit,
        1e-3,
        "thousand $ of profit of all nodes a day",
    ),
    (
        Column::Unproven,
        1e-3,
        "thousand $ of fees a day for answers without proof, unpaid",
    ),
    (Column::Warranties, 1e-3, "thousand $ of warranties paid a day"),
    (
        Column::Unclaimed,
        1e-3,
        "thousand $ of warranties nobody claimed a day",
    ),
    (
        Column::NodeOpg,
        1e-3,
        "thousand OPG of gas and tips of nodes and sponsors a day",
    ),
    (Column::Demanded, 1e-6, "million proofs demanded a day"),
    (
        Column::Forgone,
        1e-6,
        "million receipts a day doubted without OPG to demand proofs",
    ),
    (
        Column::ValidatorOpg,
        1e-3,
        "thousand OPG of income of validators a day",
    ),
    (
        Column::ValidatorUsd,
        1e-3,
        "thousand $ of income of validators a day",
    ),
];

impl<'a> Report<'a> {
    fn new(run: &'a Run, calm: &'a Run, calendar: Calendar) -> Self {
        Self {
            run,
            calm,
            calendar,
            statements: statement::of(run.scenario, &run.series, &calm.series, calendar.shock),
        }
    }

    fn json(&self) -> Value {
        let windows = |series: &Series, column: Column| {
            let means = self
                .calendar
                .windows()
                .map(|(name, from, to)| (name.to_owned(), json!(series.mean(column, from, to))));
            Value::Object(means.into_iter().collect())
        };
        let figures = |series: &Series| {
            let columns = Column::ALL.iter();
            Value::Object(
                columns
                    .map(|column| (column.name().to_owned(), windows(series, *column)))
                    .collect(),
            )
        };
        json!({
            "scenario": self.run.scenario.name(),
            "blocks": self.run.blocks,
            "transactions": self.run.transactions,
            "recounts": self.run.recounts,
            "figures": figures(&self.run.series),
            "calm": figures(&self.calm.series),
            "statements": self.statements.iter().map(Statement::json).collect::<Vec<_>>(),
        })
    }

    fn say(&self, screen: &Screen) {
        screen.say("");
        screen.say(screen.ink(Ink::Bold, self.run.scenario.title()));
        screen.say(format!(
            "  {} blocks, {} transactions; the supply of every asset checked after each block, recounted {} times",
            self.run.blocks, self.run.transactions, self.run.recounts
        ));
        screen.say(format!(
            "  {:>10}{:>10}{:>10}{:>10}",
            "before", "during", "after", "calm"
        ));
        for (column, scale, unit) in SHOWN {
            let [before, during, after] = self
                .calendar
                .windows()
                .map(|(_, from, to)| self.run.series.mean(*column, from, to) * scale);
            let [_, (_, from, to), _] = self.calendar.windows();
            let calm = self.calm.series.mean(*column, from, to) * scale;
            screen.say(format!(
                "  {before:>10.2}{during:>10.2}{after:>10.2}{calm:>10.2}  {unit}"
            ));
        }
        for statement in &self.statements {
            let (mark, ink) = if statement.holds() {
                ("✓", Ink::Green)
            } else {
                ("✗", Ink::Red)
            };
            screen.say(format!("  {} {statement}", screen.ink(ink, mark)));
        }
    }
}
